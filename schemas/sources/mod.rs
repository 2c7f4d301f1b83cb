//! The sources: one folder per gateway. A gateway whose records are JSON is a mapping file (data); text formats are code.
//!
//! Promises: adding a gateway is one folder and one line of `KINDS`.
//! Never: redacts; what a source reads is raw until `shape.rs` is done with it.

mod combined;
mod envoy;
pub(crate) mod json;

pub use json::{MAPPING_COLUMNS, Mapping, MappingError};

use crate::redact::{Policy, PolicyError};
use crate::request::{Fault, Request};

/// A kind of source: its name in configuration, what it reads, and its mapping when that is all it takes.
pub struct Kind {
    pub name: &'static str,
    pub reads: &'static str,
    mapping: Option<(&'static str, &'static str)>,
}

/// Every kind, in the order `--help` shows them.
pub static KINDS: &[Kind] = &[
    Kind { name: "combined", reads: "access logs of nginx and Apache: common and combined format", mapping: None },
    Kind {
        name: "nginx_json",
        reads: "nginx access logs with log_format escape=json, by nginx variable names",
        mapping: Some(("nginx_json/mapping.yaml", include_str!("nginx_json/mapping.yaml"))),
    },
    Kind {
        name: "kong",
        reads: "Kong http-log, file-log and kafka-log",
        mapping: Some(("kong/mapping.yaml", include_str!("kong/mapping.yaml"))),
    },
    Kind {
        name: "envoy",
        reads: "Envoy and Istio access logs, JSON and the default text formats",
        mapping: Some(("envoy/mapping.yaml", include_str!("envoy/mapping.yaml"))),
    },
    Kind { name: "mapping", reads: "any other JSON, by a mapping file", mapping: None },
];

/// A configured source.
#[derive(Clone, Debug, Default)]
pub struct SourceConfig {
    /// The name in the `source` column and in metrics.
    pub name: String,
    /// One of `KINDS`.
    pub kind: String,
    /// For the kind `mapping`; for the others it replaces the built-in mapping.
    pub mapping: Option<Mapping>,
    /// Networks (CIDR), addresses, or `unix:`, whose forwarding headers are believed.
    pub trusted_proxies: Vec<String>,
    /// Replace principals by keyed tokens.
    pub tokenise_principal: bool,
    /// A time further than this ahead of its arrival makes the record a reject; `None` allows any until 2100.
    pub ahead_max_us: Option<i64>,
    /// The tenant of records that name none.
    pub tenant: Option<String>,
    /// What is done with each class of secrets and personal data.
    pub redaction: Policy,
}

impl SourceConfig {
    /// A source of a built-in kind with nothing else set, named after the kind.
    pub fn new(kind: &str) -> SourceConfig {
        SourceConfig { name: kind.to_string(), kind: kind.to_string(), ..SourceConfig::default() }
    }
}

/// Why a source cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("source {source_name}: unknown kind {kind:?}, expected one of {}", kinds())]
    Kind { source_name: String, kind: String },
    #[error("source {source_name}: the kind mapping needs a mapping file")]
    NoMapping { source_name: String },
    #[error(
        "source {source_name}: trusted proxy {network:?}: expected a network such as 10.0.0.0/8, an address, or unix:"
    )]
    Network { source_name: String, network: String },
    #[error("source {source_name}: {error}")]
    Redaction { source_name: String, error: PolicyError },
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

fn kinds() -> String {
    KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

/// How the records of a source are read.
pub(crate) enum Parser {
    Combined,
    Json(json::Plan),
    Envoy(json::Plan),
}

impl Parser {
    pub(crate) fn new(config: &SourceConfig) -> Result<Parser, SourceError> {
        let source_name = config.name.clone();
        let Some(kind) = KINDS.iter().find(|kind| kind.name == config.kind) else {
            return Err(SourceError::Kind { source_name, kind: config.kind.clone() });
        };
        let mapping = match (&config.mapping, kind.mapping) {
            (Some(mapping), _) => Some(mapping.clone()),
            (None, Some((file, yaml))) => Some(Mapping::parse(yaml, file)?),
            (None, None) => None,
        };
        match (mapping, kind.name) {
            (Some(mapping), "envoy") => Ok(Parser::Envoy(mapping.plan())),
            (_, "combined") => Ok(Parser::Combined),
            (Some(mapping), _) => Ok(Parser::Json(mapping.plan())),
            (None, _) => Err(SourceError::NoMapping { source_name }),
        }
    }

    /// The `gateway` column.
    pub(crate) fn gateway(&self) -> &str {
        match self {
            Parser::Combined => "combined",
            Parser::Json(plan) | Parser::Envoy(plan) => plan.gateway(),
        }
    }

    pub(crate) fn plan(&self) -> Option<&json::Plan> {
        match self {
            Parser::Combined => None,
            Parser::Json(plan) | Parser::Envoy(plan) => Some(plan),
        }
    }

    /// A reader for the records of one batch.
    pub(crate) fn reader<'p, 'b>(&'p self) -> Reader<'p, 'b> {
        match self {
            Parser::Combined => Reader::Combined(combined::Reader::default()),
            Parser::Json(plan) => Reader::Json(json::Reader::new(plan)),
            Parser::Envoy(plan) => Reader::Envoy(json::Reader::new(plan), envoy::Reader),
        }
    }
}

/// What a record (or an element of it) turned out to be, with its bytes.
pub(crate) type Outcome<'r, 'b> = Result<(Request<'r>, &'b [u8]), (Fault, &'b [u8])>;

/// Reads the records of a batch one after the other.
pub(crate) enum Reader<'p, 'b> {
    Combined(combined::Reader),
    Json(json::Reader<'p, 'b>),
    Envoy(json::Reader<'p, 'b>, envoy::Reader),
}

impl<'b> Reader<'_, 'b> {
    /// Hands the requests that `text` tells of, or the fault, to `sink`; at least one of them.
    pub(crate) fn read(&mut self, text: &'b str, sink: &mut dyn FnMut(Outcome<'_, 'b>)) {
        let bytes = text.as_bytes();
        match self {
            Reader::Combined(reader) => {
                sink(reader.read(text).map(|request| (request, bytes)).map_err(|fault| (fault, bytes)));
            }
            Reader::Json(reader) => reader.read(text, sink),
            Reader::Envoy(json, text_reader) => {
                let line = envoy::without_prefix(text);
                if line.starts_with('{') || line.starts_with('"') {
                    json.read(line, sink);
                } else {
                    sink(text_reader.read(line).map(|request| (request, bytes)).map_err(|fault| (fault, bytes)));
                }
            }
        }
    }
}

/// The largest size or number of rows that is believed (a terabyte), far above what a request moves; a longer number
/// is a mistake, or a card number in the wrong place.
pub(crate) const COUNT_MAX: i64 = 1 << 40;
/// The longest time a request may take (30 days), in microseconds.
pub(crate) const LATENCY_US_MAX: i64 = 30 * 86_400 * 1_000_000;

/// Why a text is no count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCount {
    NoNumber,
    /// Negative, or above `COUNT_MAX`.
    OutOfRange,
}

/// Reads a whole number from 0 on; `-` and nothing are absent.
pub(crate) fn count(text: &str) -> Result<Option<i64>, NoCount> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() {
        return Ok(None);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NoCount::NoNumber);
    }
    match text.parse() {
        Ok(number @ 0..=COUNT_MAX) => Ok(Some(number)),
        _ => Err(NoCount::OutOfRange),
    }
}

/// A text that says something: not empty, not `-`.
pub(crate) fn present(text: &str) -> Option<&str> {
    (!text.is_empty() && text != "-").then_some(text)
}
