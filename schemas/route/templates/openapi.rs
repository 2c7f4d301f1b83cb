//! OpenAPI 3.x documents, YAML or JSON: which paths there are, below which hosts and base paths.
//!
//! ```yaml
//! openapi: 3.1.0
//! servers:                                    # also per path and per operation, where they replace these
//!   - url: https://{region}.example.com/v1    # a variable is each of its enum; a host's without enum is any label
//! paths:
//!   /orders/{id}: { get: {} }
//! ```
//!
//! Promises: what is wrong is named with file, line and what was expected; keys this does not need are read over. A
//! relative server, or none, is a base path on every host.
//! Never: follows a reference to another file: a path item that is only a `$ref` counts for every method.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::{TemplateError, Templates};
use crate::limits::SERVER_URLS_MAX;
use crate::route::pattern::Pattern;

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    openapi: Option<String>,
    #[serde(default)]
    servers: Option<Vec<Server>>,
    #[serde(default)]
    paths: Option<Paths>,
}

#[derive(Deserialize)]
pub(super) struct Server {
    url: String,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
}

#[derive(Deserialize)]
struct Variable {
    #[serde(default, rename = "enum")]
    values: Option<Vec<String>>,
    #[serde(default)]
    default: Option<String>,
}

/// The entries that are paths; extensions (`x-...`) may hold anything.
struct Paths(Vec<(String, Item)>);

#[derive(Default, Deserialize)]
pub(super) struct Item {
    #[serde(default, rename = "$ref")]
    reference: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) servers: Option<Vec<Server>>,
    #[serde(default, rename = "x-owner")]
    pub(super) owner: Option<Value>,
    #[serde(default, rename = "x-risk-class")]
    pub(super) risk: Option<Value>,
    get: Option<Operation>,
    put: Option<Operation>,
    post: Option<Operation>,
    delete: Option<Operation>,
    options: Option<Operation>,
    head: Option<Operation>,
    patch: Option<Operation>,
    trace: Option<Operation>,
    query: Option<Operation>,
}

#[derive(Deserialize)]
pub(super) struct Operation {
    #[serde(default)]
    pub(super) servers: Option<Vec<Server>>,
    #[serde(default)]
    pub(super) deprecated: Option<Value>,
    #[serde(default, rename = "x-owner")]
    pub(super) owner: Option<Value>,
    #[serde(default, rename = "x-risk-class")]
    pub(super) risk: Option<Value>,
}

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Paths, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Paths;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mapping of paths to what may be done there")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Paths, A::Error> {
                let mut entries = Vec::new();
                while let Some(path) = map.next_key::<String>()? {
                    if path.starts_with("x-") {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((path, map.next_value::<Option<Item>>()?.unwrap_or_default()));
                    }
                }
                Ok(Paths(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl Item {
    pub(super) fn operations(&self) -> impl Iterator<Item = (&'static str, &Operation)> {
        let list = [
            ("GET", &self.get),
            ("PUT", &self.put),
            ("POST", &self.post),
            ("DELETE", &self.delete),
            ("OPTIONS", &self.options),
            ("HEAD", &self.head),
            ("PATCH", &self.patch),
            ("TRACE", &self.trace),
            ("QUERY", &self.query),
        ];
        list.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
    }
}

/// Where a server is: its host (none for every one) and base path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) host: Option<String>,
    pub(super) path: String,
}

impl Templates {
    /// Reads the text of an OpenAPI 3.x document; `file` is its name in errors.
    pub fn openapi(text: &str, file: &str) -> Result<Templates, TemplateError> {
        let error =
            |key: &str, message| TemplateError { file: file.to_string(), line: line_of(text, key), column: 1, message };
        let (paths, bases) = document(text, file)?;
        let mut templates = Templates::default();
        for (path, item) in &paths {
            templates.add_item(path, item, &bases).map_err(|message| error(path, format!("{path:?}: {message}")))?;
        }
        Ok(templates)
    }

    fn add_item(&mut self, path: &str, item: &Item, servers: &[Base]) -> Result<(), String> {
        // Checked by itself first: what is wrong with it is not to be blamed on a server.
        Pattern::parse(path)?;
        let own = item.servers.as_deref().map(|own| bases(Some(own))).transpose()?;
        let servers = own.as_deref().unwrap_or(servers);
        if item.reference.is_some() && item.operations().next().is_none() {
            return self.add_below(servers, path, &[]);
        }
        for (method, operation) in item.operations() {
            match &operation.servers {
                Some(own) => self.add_below(&bases(Some(own))?, path, &[method])?,
                None => self.add_below(servers, path, &[method])?,
            }
        }
        Ok(())
    }

    fn add_below(&mut self, servers: &[Base], path: &str, methods: &[&str]) -> Result<(), String> {
        for base in servers {
            let pattern = Pattern::parse(&format!("{}{path}", base.path))?;
            self.add(base.host.as_deref(), pattern, methods)?;
        }
        Ok(())
    }
}

/// The paths of a document, and where its servers are.
type Described = (Vec<(String, Item)>, Vec<Base>);

pub(super) fn document(text: &str, file: &str) -> Result<Described, TemplateError> {
    let error = |line, column, message| TemplateError { file: file.to_string(), line, column, message };
    let document = read(text).map_err(|(line, column, message)| error(line, column, message))?;
    match document.openapi.as_deref() {
        Some(version) if version.starts_with("3.") => {}
        Some(_) => return Err(error(line_of(text, "openapi"), 1, "openapi: expected a version 3.x".to_string())),
        None => return Err(error(1, 1, "expected an OpenAPI document, with openapi: 3.x".to_string())),
    }
    let Some(Paths(paths)) = document.paths else {
        return Err(error(1, 1, "expected paths, the endpoints of the document".to_string()));
    };
    let bases = bases(document.servers.as_deref()).map_err(|message| error(line_of(text, "servers"), 1, message))?;
    Ok((paths, bases))
}

type Fault = (u64, u64, String);

fn read(text: &str) -> Result<Document, Fault> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|e| {
            let message = e.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            (e.line() as u64, e.column() as u64, message.to_string())
        });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 20_000_000, max_nodes: 10_000_000 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| {
        let (line, column) = e.location().map_or((1, 1), |at| (at.line(), at.column()));
        let message = e.without_snippet().to_string();
        let message = message.lines().next().unwrap_or_default();
        let message = message.split_once(" at line ").map_or(message, |(message, _)| message);
        (line, column, message.to_string())
    })
}

/// The line on which `key` is a key for the first time.
fn line_of(text: &str, key: &str) -> u64 {
    let is_key = |line: &str| {
        let rest = line.trim_start().trim_start_matches(['"', '\'']).strip_prefix(key);
        rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':'))
    };
    text.lines().position(is_key).map_or(1, |at| at as u64 + 1)
}

/// The places of these servers; without any, every host.
pub(super) fn bases(servers: Option<&[Server]>) -> Result<Vec<Base>, String> {
    let mut bases: Vec<Base> = Vec::new();
    for server in servers.unwrap_or_default() {
        for url in expand(server)? {
            let base = base(&url)?;
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
    }
    if bases.is_empty() {
        bases.push(Base { host: None, path: String::new() });
    }
    Ok(bases)
}

/// The URLs a server stands for, one per value of its variables.
fn expand(server: &Server) -> Result<Vec<String>, String> {
    let mut urls = vec![String::new()];
    let mut rest = server.url.as_str();
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}').map(|at| open + at) else {
            return Err(format!("server {:?}: expected }} after {{", server.url));
        };
        let name = &rest[open + 1..close];
        urls.iter_mut().for_each(|url| url.push_str(&rest[..open]));
        let Some(variable) = server.variables.get(name) else {
            return Err(format!("server {:?}: expected {name} under its variables", server.url));
        };
        let values = match (&variable.values, &variable.default) {
            (Some(values), _) if !values.is_empty() => values.clone(),
            _ if is_in_host(&urls[0]) => vec!["*".to_string()],
            (_, Some(default)) => vec![default.clone()],
            (_, None) => return Err(format!("server {:?}: expected enum or default of {name}", server.url)),
        };
        urls = urls.iter().flat_map(|url| values.iter().map(move |value| format!("{url}{value}"))).collect();
        if urls.len() > SERVER_URLS_MAX {
            return Err(format!(
                "server {:?}: expected at most {SERVER_URLS_MAX} combinations of its variables",
                server.url
            ));
        }
        rest = &rest[close + 1..];
    }
    urls.iter_mut().for_each(|url| url.push_str(rest));
    Ok(urls)
}

/// Does a URL that begins so go on with its host?
fn is_in_host(begun: &str) -> bool {
    begun.split_once("//").is_some_and(|(_, rest)| !rest.contains(['/', ':']))
}

fn base(url: &str) -> Result<Base, String> {
    let (host, path) = match url.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            let bare = host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
            (Some(bare.map_or(host, |(name, _)| name).to_ascii_lowercase()), path)
        }
        _ => (None, url.trim_start_matches('.')),
    };
    if host.as_ref().is_some_and(String::is_empty) {
        return Err(format!("server {url:?}: expected a host after //"));
    }
    let path = path.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    if !path.is_empty() {
        Pattern::parse(&path).map_err(|expected| format!("server {url:?}: {expected}"))?;
    }
    Ok(Base { host, path })
}
