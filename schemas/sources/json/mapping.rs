//! The mapping file: YAML that says where each column is in a gateway's JSON, and in which unit.
//!
//! ```yaml
//! gateway: kong                       # what the column `gateway` shows
//! batch: true                         # a record may be an array of requests
//! headers: [request.headers]          # objects whose keys are compared without regard to case
//! columns:
//!   start_time: { from: started_at, unit: epoch_ms, required: true }
//!   latency: { from: latencies.request, unit: ms, none: -1 }
//!   user_agent: { from: [request.headers.user-agent, user_agent] }
//!   principal_kind: { value: consumer }
//! known: [route, service]             # not used, and no drift when it is there
//! ```
//!
//! Paths are dotted; a dot that belongs to a key is written `\.`. Of several paths the first with a value counts; `unit`
//! is then one for all, or a list with one for each.
//! Promises: an unknown key, a unit that does not fit, a missing unit, a path that may hold a secret under a column of
//! plain text: each is refused with file, line, column and what was expected. A mapping that parsed always works.
//! Never: reads a file; the caller does.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::plan::Plan;
use crate::limits::MAPPING_PATHS_MAX;
use crate::redact::key_class;

/// A checked mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(super) gateway: String,
    pub(super) batch: bool,
    pub(super) headers: Vec<Vec<String>>,
    pub(super) known: Vec<Vec<String>>,
    pub(super) columns: BTreeMap<Input, Column>,
}

/// What is wrong with a mapping file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct MappingError {
    pub file: String,
    pub line: u64,
    pub column: u64,
    pub message: String,
}

/// Where one column comes from.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) paths: Vec<Vec<String>>,
    /// One per path; empty where the column has no unit.
    pub(super) units: Vec<Unit>,
    pub(super) required: bool,
    /// Numbers that mean "none".
    pub(super) none: Vec<i64>,
    pub(super) value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Rfc3339,
    Clf,
    EpochS,
    EpochMs,
    EpochUs,
    EpochNs,
    S,
    Ms,
    Us,
    Ns,
    /// A number with its unit behind it: `0.012s`, `12ms`.
    Text,
}

/// What a column holds, and therefore which units fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    /// Text that becomes a token or is taken apart: it may come from a path that names a secret.
    Secret,
    Time,
    Duration,
    Count,
}

macro_rules! inputs {
    ($($field:ident $variant:ident $holds:ident $meaning:literal;)*) => {
        /// The columns a mapping may fill.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Input { $($variant),* }

        impl Input {
            pub(super) const COUNT: usize = [$(Input::$variant),*].len();

            pub(super) fn name(self) -> &'static str {
                match self { $(Input::$variant => stringify!($field)),* }
            }

            pub(super) fn holds(self) -> Holds {
                match self { $(Input::$variant => Holds::$holds),* }
            }
        }

        /// Name and meaning of each column a mapping may fill, for the documentation.
        pub static MAPPING_COLUMNS: &[(&str, &str)] = &[$((stringify!($field), $meaning)),*];

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Columns { $(#[serde(default)] $field: Option<Spanned<Spec>>),* }

        impl Columns {
            fn into_list(self) -> Vec<(Input, Spanned<Spec>)> {
                let list = [$((Input::$variant, self.$field)),*];
                list.into_iter().filter_map(|(input, spec)| Some((input, spec?))).collect()
            }
        }
    };
}

inputs! {
    time Time Time "when the response was complete";
    start_time StartTime Time "when the request began; the latency is added";
    latency Latency Duration "total time in the gateway";
    method Method Text "HTTP method";
    target Target Text "path with query, or absolute URL";
    path Path Text "path without query";
    query Query Text "query string";
    request_line RequestLine Text "GET /path HTTP/1.1";
    host Host Text "host the client asked for";
    route Route Text "the gateway's own route, such as GET /pets/{petId}";
    status Status Count "HTTP status, 0 for none";
    request_bytes RequestBytes Count "bytes received from the client";
    response_bytes ResponseBytes Count "bytes sent to the client";
    client_ip ClientIp Text "address of the peer, with or without port";
    forwarded_for ForwardedFor Text "X-Forwarded-For";
    user_agent UserAgent Text "user agent";
    referrer Referrer Text "referring page";
    principal Principal Text "authenticated user or consumer";
    principal_kind PrincipalKind Text "user, consumer or service";
    tenant Tenant Text "customer organisation";
    request_id RequestId Text "correlation id";
    trace_id TraceId Text "distributed trace id";
    authorization Authorization Secret "Authorization header; becomes a token";
    api_key ApiKey Secret "API key; becomes a token";
    cookie Cookie Secret "Cookie header; the session in it becomes a token";
    certificate Certificate Secret "fingerprint or subject of a client certificate; becomes a token";
    credential_id CredentialId Secret "the gateway's own name of the credential; becomes a token";
    scopes Scopes Text "scopes of the credential";
    tls_version TlsVersion Text "TLS version";
    country Country Text "country of the client, two letters";
    asn Asn Count "autonomous system number of the client";
    records Records Count "rows returned";
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateway: Spanned<String>,
    #[serde(default)]
    batch: bool,
    #[serde(default)]
    headers: Vec<Spanned<String>>,
    columns: Columns,
    #[serde(default)]
    known: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(default)]
    from: Option<OneOrMore<String>>,
    #[serde(default)]
    unit: Option<OneOrMore<String>>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    none: Option<OneOrMore<i64>>,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "one value or a list of them")]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        }
    }
}

impl Mapping {
    /// Reads and checks the text of a mapping file; `file` is its name in errors.
    pub fn parse(yaml: &str, file: &str) -> Result<Mapping, MappingError> {
        let error = |location: Option<Location>, message: String| MappingError {
            file: file.to_string(),
            line: location.as_ref().map_or(1, Location::line),
            column: location.as_ref().map_or(1, Location::column),
            message,
        };
        let parsed: File = serde_saphyr::from_str(yaml).map_err(|e| error(e.location(), message_of(&e)))?;
        let path = |text: &Spanned<String>| {
            split(&text.value).ok_or_else(|| error(Some(text.referenced), bad_path(&text.value)))
        };
        let mut columns = BTreeMap::new();
        for (input, spec) in parsed.columns.into_list() {
            let location = spec.referenced;
            let column = Column::check(input, spec.value).map_err(|message| error(Some(location), message))?;
            columns.insert(input, column);
        }
        let gateway = parsed.gateway.value;
        if gateway.is_empty() || gateway.len() > 64 {
            return Err(error(Some(parsed.gateway.referenced), "gateway: expected 1 to 64 characters".to_string()));
        }
        if !columns.contains_key(&Input::Time) && !columns.contains_key(&Input::StartTime) {
            return Err(error(None, "columns: expected time or start_time".to_string()));
        }
        let headers = parsed.headers.iter().map(path).collect::<Result<_, _>>()?;
        let known = parsed.known.iter().map(path).collect::<Result<Vec<_>, _>>()?;
        if known.len() + columns.values().map(|c| c.paths.len()).sum::<usize>() > MAPPING_PATHS_MAX {
            return Err(error(None, format!("expected at most {MAPPING_PATHS_MAX} paths")));
        }
        Ok(Mapping { gateway, batch: parsed.batch, headers, known, columns })
    }

    pub(crate) fn plan(&self) -> Plan {
        Plan::new(self)
    }
}

/// The parser's message without its own place and excerpt; ours stand before it.
fn message_of(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.split_once("error: ").map_or(line, |(_, rest)| rest);
    match line.find(" at line ") {
        Some(at) => line[..at].to_string(),
        None => line.to_string(),
    }
}

fn bad_path(path: &str) -> String {
    format!("path {path:?}: expected keys joined by dots, at most {DEPTH_MAX}, a dot in a key written \\.")
}

/// Deepest path of a mapping; bounds the recursion of the walk.
const DEPTH_MAX: usize = 16;

/// The keys of a dotted path; `\.` is a dot in a key.
fn split(path: &str) -> Option<Vec<String>> {
    let mut keys = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => keys.push(String::new()),
            '\\' => keys.last_mut()?.push(chars.next()?),
            c => keys.last_mut()?.push(c),
        }
    }
    (keys.len() <= DEPTH_MAX && keys.iter().all(|key| !key.is_empty())).then_some(keys)
}

impl Column {
    fn check(input: Input, spec: Spec) -> Result<Column, String> {
        let name = input.name();
        let from = spec.from.map(OneOrMore::into_vec).unwrap_or_default();
        let paths: Vec<Vec<String>> = from
            .iter()
            .map(|path| split(path).ok_or_else(|| format!("{name}: {}", bad_path(path))))
            .collect::<Result<_, _>>()?;
        if paths.is_empty() == spec.value.is_none() {
            return Err(format!("{name}: expected either from (a path or a list of paths) or value"));
        }
        if spec.value.is_some() && !matches!(input.holds(), Holds::Text) {
            return Err(format!("{name}: value is for columns of text, expected from"));
        }
        let units = spec.unit.map(OneOrMore::into_vec).unwrap_or_default();
        let mut units = units.iter().map(|unit| Unit::parse(unit)).collect::<Vec<_>>();
        check_units(input, &units).map_err(|expected| format!("{name}: {expected}"))?;
        if units.len() == 1 {
            units.resize(paths.len(), units[0]);
        }
        if !units.is_empty() && units.len() != paths.len() {
            return Err(format!("{name}: expected one unit, or one for each path"));
        }
        if input.holds() == Holds::Text && input != Input::Scopes {
            let secret = paths.iter().filter_map(|path| path.last()).find(|key| key_class(key.as_bytes()).is_some());
            if let Some(key) = secret {
                return Err(format!(
                    "{name}: {key:?} names a secret; expected it under authorization, api_key, cookie or credential_id, which become tokens"
                ));
            }
        }
        let none = spec.none.map(OneOrMore::into_vec).unwrap_or_default();
        let units = units.into_iter().flatten().collect();
        Ok(Column { paths, units, required: spec.required, none, value: spec.value })
    }
}

/// Checks that every unit exists (`None` is one that does not) and fits the column.
fn check_units(input: Input, units: &[Option<Unit>]) -> Result<(), &'static str> {
    use Unit::{Clf, EpochMs, EpochNs, EpochS, EpochUs, Ms, Ns, Rfc3339, S, Text, Us};
    let is_time = |unit: &Option<Unit>| matches!(unit, Some(Rfc3339 | Clf | EpochS | EpochMs | EpochUs | EpochNs));
    let is_duration = |unit: &Option<Unit>| matches!(unit, Some(S | Ms | Us | Ns | Text));
    match input.holds() {
        Holds::Time if units.is_empty() || !units.iter().all(is_time) => {
            Err("expected unit: rfc3339, clf, epoch_s, epoch_ms, epoch_us or epoch_ns")
        }
        Holds::Duration if units.is_empty() || !units.iter().all(is_duration) => {
            Err("expected unit: s, ms, us, ns, or text for a number with its unit behind it")
        }
        Holds::Text | Holds::Secret | Holds::Count if !units.is_empty() => Err("this column has no unit"),
        _ => Ok(()),
    }
}

impl Unit {
    fn parse(text: &str) -> Option<Unit> {
        Some(match text {
            "rfc3339" => Unit::Rfc3339,
            "clf" => Unit::Clf,
            "epoch_s" => Unit::EpochS,
            "epoch_ms" => Unit::EpochMs,
            "epoch_us" => Unit::EpochUs,
            "epoch_ns" => Unit::EpochNs,
            "s" => Unit::S,
            "ms" => Unit::Ms,
            "us" => Unit::Us,
            "ns" => Unit::Ns,
            "text" => Unit::Text,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(yaml: &str, line: u64, expected: &str) {
        let error = Mapping::parse(yaml, "m.yaml").expect_err("it is wrong");
        assert_eq!((error.file.as_str(), error.line), ("m.yaml", line), "{error}");
        assert!(error.message.contains(expected), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        refused("gateway: g\ncolumns:\n  tiem: { from: ts, unit: epoch_s }\n", 3, "tiem");
        refused("gateway: g\ncolumns:\n  time: { from: ts, units: epoch_s }\n", 3, "units");
        refused("gateway: g\ncolumns:\n  time: { from: ts, unit: fortnight }\n", 3, "expected unit: rfc3339");
        refused("gateway: g\ncolumns:\n  time: { from: ts }\n", 3, "time: expected unit: rfc3339");
        refused("gateway: g\ncolumns:\n  time: { from: ts, unit: ms }\n", 3, "expected unit: rfc3339");
        refused(
            "gateway: g\ncolumns:\n  time: { from: ts, unit: epoch_s }\n  latency: { from: d }\n",
            4,
            "expected unit: s, ms",
        );
        refused(
            "gateway: g\ncolumns:\n  time: { from: ts, unit: epoch_s }\n  status: { from: s, unit: ms }\n",
            4,
            "no unit",
        );
        refused("gateway: g\ncolumns:\n  time: { from: a..b, unit: epoch_s }\n", 3, "keys joined by dots");
        refused("gateway: g\ncolumns:\n  time: { unit: epoch_s }\n", 3, "either from");
        refused("gateway: g\ncolumns:\n  status: { from: s }\n", 1, "expected time or start_time");
        refused("gateway: g\ncolumns:\n  time: { from: ts, unit: epoch_s }\nextra: 1\n", 4, "extra");
        refused("columns:\n  time: { from: ts, unit: epoch_s }\n", 1, "gateway");
        refused("gateway: [\n", 1, "");
        let secret = "gateway: g\ncolumns:\n  time: { from: ts, unit: epoch_s }\n  request_id: { from: headers.Authorization }\n";
        refused(secret, 4, "names a secret");
    }

    #[test]
    fn built_in_mappings_parse() {
        for kind in crate::sources::KINDS {
            let config = crate::sources::SourceConfig::new(kind.name);
            assert_eq!(crate::sources::Parser::new(&config).is_ok(), kind.name != "mapping", "{}", kind.name);
        }
    }

    #[test]
    fn paths() {
        assert_eq!(split("a.b"), Some(vec!["a".to_string(), "b".to_string()]));
        assert_eq!(split(r"a.url\.path"), Some(vec!["a".to_string(), "url.path".to_string()]));
        for bad in ["", ".", "a.", ".a", "a\\"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
