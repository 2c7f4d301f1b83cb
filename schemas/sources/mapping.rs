//! The mapping file: YAML that says where each column is in a gateway's JSON, and in which unit.
//!
//! ```yaml
//! gateway: kong                       # what the column `gateway` shows
//! headers: [request.headers]          # objects whose keys are compared without regard to case
//! columns:
//!   start_time: { from: started_at, unit: epoch_ms, required: true }
//!   latency: { from: latencies.request, unit: ms, none: -1 }
//!   user_agent: { from: [request.headers.user-agent, user_agent] }
//!   principal_kind: { value: consumer }
//! known: [route, service]             # not used, and no drift when it is there
//! ```
//!
//! Paths are dotted; a dot that belongs to a key is written `\.`; `attributes[http.route]` is the value of that name in an
//! array of names and values. Of several paths the first with a value counts; `unit` is then one for all, or a list with
//! one for each. Records that are no JSON: `lines` (forms of text lines, see `text/form.rs`), `w3c` or `logfmt`.
//! Promises: an unknown key, a unit that does not fit, a missing unit, a path that may hold a secret under a column of
//! plain text: each is refused with file, line, column and what was expected. A mapping that parsed always works.
//! Never: reads a file; the caller does.

use std::collections::BTreeMap;

use regex::bytes::Regex;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::plan::Plan;
use super::text::{Form, Forms};
use super::unit::{Unit, check_units};
use crate::limits::{LINE_FORMS_MAX, MAPPING_PATHS_MAX};
use crate::redact::names_secret;

/// A checked mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(super) gateway: String,
    pub(super) lines: Vec<Form>,
    pub(super) w3c: Option<W3c>,
    pub(super) logfmt: bool,
    /// What has no method, target, path, route and status is no request.
    pub(super) http_only: bool,
    /// JSON is made of strings, which nobody escapes.
    pub(super) strings: bool,
    /// What hardly any other kind of log has in its records.
    pub(super) sign: Option<Regex>,
    pub(super) headers: Vec<Vec<String>>,
    pub(super) known: Vec<Vec<String>>,
    /// Objects that some write as JSON in a text.
    pub(super) packed: Vec<Vec<String>>,
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
    /// Per path, another one that must have a value for it to count.
    pub(super) given: Vec<Option<Vec<String>>>,
    /// Values that mean "none".
    pub(super) none: Vec<Nothing>,
    pub(super) value: Option<String>,
    /// How the gateway wrote the text.
    pub(super) decode: Option<Decode>,
    /// The value is that of all paths together.
    pub(super) sum: bool,
    /// What a dash says, where it does not say "nothing".
    pub(super) dash: Option<i64>,
    /// Nobody vouches for the address.
    pub(super) unproven: bool,
    /// The paths are names of one thing, of which a record has one.
    pub(super) alike: bool,
    /// Paths under which the gateway logs the nearest hop of the forwarding list, and its peer only where there is none.
    pub(super) nearest: Vec<Vec<String>>,
}

/// A value that means "none".
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a number or a text")]
pub(super) enum Nothing {
    Number(i64),
    Text(String),
}

/// W3C extended log files: the fields where no `#Fields` line was seen, and what stands between them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct W3c {
    /// Several are told apart by how many values a line has.
    pub(super) fields: OneOrMore<String>,
    #[serde(default)]
    pub(super) separator: Separator,
    /// A value in quotes may hold blanks. Where the writer never quotes, quotes are a client's own.
    #[serde(default)]
    pub(super) quotes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Separator {
    #[default]
    Blank,
    Tab,
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
    ($($field:ident $variant:ident $holds:ident $column:ident $meaning:literal;)*) => {
        /// The columns a mapping may fill.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Input { $($variant),* }

        impl Input {
            pub(super) const COUNT: usize = [$(Input::$variant),*].len();

            pub(super) fn name(self) -> &'static str {
                match self { $(Input::$variant => stringify!($field)),* }
            }

            /// The column of the event that it is for; that is named in `damaged`.
            pub(super) const COLUMNS: [&str; Input::COUNT] = [$(stringify!($column)),*];

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
    time Time Time time "when the response was complete";
    start_time StartTime Time time "when the request began; the latency is added";
    latency Latency Duration latency_us "total time in the gateway";
    method Method Text method "HTTP method";
    target Target Text path "path with query, or absolute URL";
    path Path Text path "path without query";
    query Query Text query "query string";
    request_line RequestLine Text path "GET /path HTTP/1.1";
    route Route Text endpoint "the gateway's own template: /pets/{id}, GET /pets/{id}";
    host Host Text host "host the client asked for";
    status Status Count status "HTTP status, 0 for none";
    grpc_status GrpcStatus Count grpc_status "gRPC status, as a number or a name";
    details Details Text status "the gateway's words for how it answered; says refusals that the status does not";
    request_bytes RequestBytes Count request_bytes "bytes received from the client";
    response_bytes ResponseBytes Count response_bytes "bytes sent to the client";
    client_ip ClientIp Text client_ip "address of the peer, with or without port";
    forwarded_for ForwardedFor Text client_ip "X-Forwarded-For";
    forwarded Forwarded Text client_ip "Forwarded (RFC 7239)";
    real_ip RealIp Text client_ip "one address that a proxy vouches for: X-Real-IP";
    user_agent UserAgent Text user_agent "user agent";
    referrer Referrer Text referrer "referring page";
    principal Principal Text principal "authenticated user or consumer";
    principal_kind PrincipalKind Text principal_kind "user, consumer or service";
    principal_source PrincipalSource Text principal_source "anything where the gateway authenticated that principal";
    tenant Tenant Text tenant "customer organisation";
    request_id RequestId Text request_id "correlation id";
    trace_id TraceId Text trace_id "distributed trace id";
    authorization Authorization Secret credential "Authorization header; becomes a token";
    api_key ApiKey Secret credential "API key; becomes a token";
    cookie Cookie Secret credential "Cookie header; the session in it becomes a token";
    certificate Certificate Secret credential "fingerprint or subject of a client certificate; becomes a token";
    credential_id CredentialId Secret credential "the gateway's own name of the credential; becomes a token";
    scopes Scopes Text scopes "scopes of the credential";
    tls_version TlsVersion Text tls_version "TLS version";
    country Country Text country "country of the client, two letters";
    asn Asn Count asn "autonomous system number of the client";
    as_org AsOrg Text as_org "organisation of that autonomous system";
    records Records Count records "rows returned";
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateway: Spanned<String>,
    /// Every record may be an array of requests; said so in older files.
    #[serde(default, rename = "batch")]
    _batch: bool,
    #[serde(default)]
    lines: Option<Spanned<Lines>>,
    #[serde(default)]
    w3c: Option<W3c>,
    #[serde(default)]
    logfmt: bool,
    #[serde(default)]
    http_only: bool,
    #[serde(default)]
    strings: bool,
    #[serde(default)]
    sign: Option<Spanned<String>>,
    #[serde(default)]
    headers: Vec<Spanned<String>>,
    columns: Columns,
    #[serde(default)]
    known: Vec<Spanned<String>>,
    #[serde(default)]
    packed: Vec<Spanned<String>>,
}

/// Forms as a list, or every head with every tail.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a list of line forms, or heads and tails")]
enum Lines {
    List(Vec<String>),
    Product { heads: Vec<String>, tails: Vec<String> },
}

impl Lines {
    fn into_vec(self) -> Vec<String> {
        match self {
            Lines::List(list) => list,
            Lines::Product { heads, tails } => {
                heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect()
            }
        }
    }
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
    none: Option<OneOrMore<Nothing>>,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    decode: Option<Decode>,
    #[serde(default)]
    given: Option<OneOrMore<String>>,
    #[serde(default)]
    sum: bool,
    #[serde(default)]
    dash: Option<i64>,
    #[serde(default = "yes")]
    proven: bool,
    #[serde(default)]
    alike: bool,
    #[serde(default)]
    nearest: Option<OneOrMore<String>>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Decode {
    /// `%20`.
    Percent,
    /// `+` for blanks, and `%20`.
    Plus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "one value or a list of them")]
pub(super) enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    pub(super) fn into_vec(self) -> Vec<T> {
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
        let lines = match parsed.lines {
            None => Vec::new(),
            Some(lines) => {
                let location = lines.referenced;
                let forms = lines.value.into_vec();
                if forms.len() > LINE_FORMS_MAX {
                    return Err(error(Some(location), format!("lines: expected at most {LINE_FORMS_MAX} forms")));
                }
                let parse =
                    |text: &String| Form::parse(text).map_err(|why| error(Some(location), format!("lines: {why}")));
                forms.iter().map(parse).collect::<Result<_, _>>()?
            }
        };
        let headers = parsed.headers.iter().map(path).collect::<Result<_, _>>()?;
        let known = parsed.known.iter().map(path).collect::<Result<Vec<_>, _>>()?;
        let packed = parsed.packed.iter().map(path).collect::<Result<_, _>>()?;
        if known.len() + columns.values().map(|c| c.paths.len()).sum::<usize>() > MAPPING_PATHS_MAX {
            return Err(error(None, format!("expected at most {MAPPING_PATHS_MAX} paths")));
        }
        let sign = parsed.sign.map(|sign| {
            let message = |why| format!("sign: expected a regular expression: {why}");
            Regex::new(&sign.value).map_err(|why| error(Some(sign.referenced), message(why)))
        });
        let sign = sign.transpose()?;
        let (w3c, logfmt, http_only, strings) = (parsed.w3c, parsed.logfmt, parsed.http_only, parsed.strings);
        Ok(Mapping { gateway, lines, w3c, logfmt, http_only, strings, sign, headers, known, packed, columns })
    }

    pub(super) fn plan(&self) -> Plan {
        Plan::new(self)
    }

    /// The line forms, their fields bound to the plan's slots.
    pub(super) fn forms(&self, plan: &Plan) -> Forms {
        Forms::new(&self.lines, plan)
    }

    /// The same columns, read from lines of another form.
    pub(super) fn with_lines(&self, lines: Vec<Form>) -> Mapping {
        Mapping { lines, ..self.clone() }
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

/// Before a key that names an element of an array of names and values.
pub(super) const ELEMENT: char = '\0';

/// The keys of a dotted path; `\.` is a dot in a key, `[name]` an element by its name.
fn split(path: &str) -> Option<Vec<String>> {
    let mut keys = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => keys.push(String::new()),
            '\\' => keys.last_mut()?.push(chars.next()?),
            '[' => {
                let (name, rest) = chars.as_str().split_once(']')?;
                keys.push(format!("{ELEMENT}{name}"));
                if name.is_empty() || !(rest.is_empty() || rest.starts_with(['.', '['])) {
                    return None;
                }
                let next = rest.strip_prefix('.');
                keys.extend(next.map(|_| String::new()));
                chars = next.unwrap_or(rest).chars();
            }
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
        if input.holds() == Holds::Text && !matches!(input, Input::Scopes | Input::Country) {
            let secret = paths
                .iter()
                .filter_map(|path| path.last())
                .find(|key| names_secret(key.trim_start_matches(ELEMENT).as_bytes()));
            if let Some(key) = secret {
                return Err(format!(
                    "{name}: {:?} names a secret; expected it under authorization, api_key, cookie or credential_id, which become tokens",
                    key.trim_start_matches(ELEMENT)
                ));
            }
        }
        let none = spec.none.map(OneOrMore::into_vec).unwrap_or_default();
        if spec.decode.is_some() && !matches!(input.holds(), Holds::Text | Holds::Secret) {
            return Err(format!("{name}: decode is for columns of text"));
        }
        if spec.sum && input.holds() != Holds::Duration {
            return Err(format!("{name}: sum is for durations"));
        }
        if spec.dash.is_some() && input.holds() != Holds::Count {
            return Err(format!("{name}: dash is for columns of whole numbers"));
        }
        if !spec.proven && input != Input::ClientIp {
            return Err(format!("{name}: proven is for client_ip"));
        }
        if spec.alike && !input.is_settled() {
            return Err(format!("{name}: alike is for clients, lists, statuses and times"));
        }
        let nearest = spec.nearest.map(OneOrMore::into_vec).unwrap_or_default();
        if !nearest.iter().all(|path| input == Input::ClientIp && from.contains(path)) {
            return Err(format!("{name}: nearest is for client_ip, expected paths that stand in its from"));
        }
        let given = spec.given.map(OneOrMore::into_vec).unwrap_or_default();
        if !given.is_empty() && given.len() != paths.len() {
            return Err(format!("{name}: given: expected one path for each of from, '' where none must be there"));
        }
        let given = given
            .iter()
            .map(|path| match path.is_empty() {
                true => Ok(None),
                false => split(path).map(Some).ok_or_else(|| format!("{name}: given: {}", bad_path(path))),
            })
            .collect::<Result<_, _>>()?;
        let units = units.into_iter().flatten().collect();
        Ok(Column {
            paths,
            units,
            required: spec.required,
            given,
            none,
            value: spec.value,
            decode: spec.decode,
            sum: spec.sum,
            dash: spec.dash,
            unproven: !spec.proven,
            alike: spec.alike,
            nearest: nearest.iter().filter_map(|path| split(path)).collect(),
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
        let nearest =
            "gateway: g\ncolumns:\n  time: { from: ts, unit: epoch_s }\n  client_ip: { from: a, nearest: b }\n";
        refused(nearest, 4, "paths that stand in its from");
        refused("gateway: g\nsign: '('\ncolumns:\n  time: { from: ts, unit: epoch_s }\n", 2, "regular expression");
        refused("gateway: [\n", 1, "");
        let secret = "gateway: g\ncolumns:\n  time: { from: ts, unit: epoch_s }\n  request_id: { from: headers.Authorization }\n";
        refused(secret, 4, "names a secret");
    }

    #[test]
    fn built_in_mappings_parse() {
        for kind in crate::sources::KINDS {
            let config = crate::sources::SourceConfig::new(kind.name);
            let parser = crate::sources::Parser::new(&config);
            let is_built_in = !matches!(kind.name, "mapping" | "nginx");
            assert_eq!(parser.is_ok(), is_built_in, "{}: {:?}", kind.name, parser.err());
        }
    }

    #[test]
    fn paths() {
        assert_eq!(split("a.b"), Some(vec!["a".to_string(), "b".to_string()]));
        assert_eq!(split(r"a.url\.path"), Some(vec!["a".to_string(), "url.path".to_string()]));
        let element = split("a.attributes[http.route].b");
        assert_eq!(element, Some(["a", "attributes", "\0http.route", "b"].map(String::from).to_vec()));
        for bad in ["", ".", "a.", ".a", "a\\", "a[", "a[]", "a[b]c", "[b]"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
