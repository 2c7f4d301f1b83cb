//! The sources: one folder per gateway. What is in it is told by a mapping file (data), whatever the shape of the records:
//! JSON, text lines, key=value, W3C.
//!
//! Promises: adding a gateway is one folder and one line of `KINDS`; its cases are found by walking that table.
//! Never: redacts; what a source reads is raw until `shape.rs` is done with it.

mod columns;
pub(crate) mod json;
mod logfmt;
mod made;
mod mapping;
mod plan;
mod reader;
mod slots;
mod text;
mod unit;
mod w3c;

pub(crate) use made::Usual;
pub use mapping::{MAPPING_COLUMNS, Mapping, MappingError};
pub(crate) use plan::Plan;
pub(crate) use reader::{Bare, Outcome, Reader};
pub use text::LINE_CLASSES;
pub(crate) use text::{Ends, Front};

use std::sync::Arc;

use crate::limits::FORWARDED_HOPS_MAX;
use crate::redact::{Policy, PolicyError};
use crate::route::Templates;
use crate::time::Zone;
use text::Forms;
pub(crate) use w3c::Fields as W3cFields;

/// A kind of source: its name in configuration, what it reads, and the mapping that says how.
pub struct Kind {
    pub name: &'static str,
    pub reads: &'static str,
    mapping: Option<(&'static str, &'static str)>,
}

macro_rules! kinds {
    ($($name:literal $reads:literal;)*) => {
        /// Every kind, in the order `--help` shows them.
        pub static KINDS: &[Kind] = &[
            $(Kind {
                name: $name,
                reads: $reads,
                mapping: Some((concat!($name, "/mapping.yaml"), include_str!(concat!($name, "/mapping.yaml")))),
            },)*
            Kind { name: "nginx", reads: "nginx by its log_format, as it stands in nginx.conf", mapping: NGINX },
            Kind { name: "mapping", reads: "any other log, by a mapping file", mapping: None },
        ];
    };
}

impl Kind {
    /// What hardly any other kind has in its records; built-in mappings parse, a test says so.
    pub(crate) fn sign(&self) -> Option<regex::bytes::Regex> {
        let (file, yaml) = self.mapping?;
        Mapping::parse(yaml, file).ok()?.sign
    }
}

/// The fields of a pasted `log_format` are nginx's variables, which the mapping of `nginx_json` knows.
const NGINX: Option<(&str, &str)> = Some(("nginx_json/mapping.yaml", include_str!("nginx_json/mapping.yaml")));

kinds! {
    "combined" "access logs of nginx and Apache: common, combined, with a virtual host, ingress-nginx";
    "nginx_json" "nginx access logs with log_format escape=json, by nginx variable names";
    "kong" "Kong http-log, file-log and kafka-log";
    "envoy" "Envoy and Istio access logs, JSON and the default text formats";
    "haproxy" "HAProxy: httplog, httpslog, and log-format as JSON";
    "traefik" "Traefik access logs: JSON, common and genericCLF";
    "caddy" "Caddy's JSON access log";
    "tyk" "Tyk Pump's analytics records";
    "krakend" "KrakenD access logs, Community and Enterprise";
    "apisix" "Apache APISIX: http-logger, kafka-logger and the like";
    "cloudfront" "Amazon CloudFront standard logs (W3C, JSON), and real-time logs as JSON";
    "iis" "Microsoft IIS: W3C log files";
    "w3c" "other W3C extended log files, time-taken in seconds";
    "otel" "OpenTelemetry log records with HTTP semantic conventions";
    "ecs" "records in the Elastic Common Schema";
    "ocsf" "OCSF HTTP Activity and API Activity";
    "zoraxy" "Zoraxy's traffic log";
    "npm" "Nginx Proxy Manager and NPMplus";
    "aws_apigateway" "AWS API Gateway access logs: REST, HTTP and WebSocket APIs, as JSON, CLF or CSV";
    "alb" "AWS Application Load Balancer access logs";
    "elb" "AWS Classic Load Balancer access logs";
    "nlb" "AWS Network Load Balancer access logs, one line for each TLS connection";
    "s3" "Amazon S3 server access logs";
    "azure_apim" "Azure API Management, log category GatewayLogs";
    "azure_appgateway" "Azure Application Gateway access logs: v1, v2, for Containers";
    "azure_frontdoor" "Azure Front Door access logs";
    "apigee" "Apigee flow variables as JSON, and Analytics rows";
    "gcp_lb" "Google Cloud log entries of requests: load balancers, Cloud Run, API Gateway";
    "cloudflare" "Cloudflare Logpush, dataset http_requests";
}

/// A configured source.
#[derive(Clone, Debug, Default)]
pub struct SourceConfig {
    /// The name in the `source` column and in metrics.
    pub name: String,
    /// One of `KINDS`.
    pub kind: String,
    /// For the kind `mapping`; for the others it replaces the built-in mapping.
    pub mapping: Option<Mapping>,
    /// nginx's `log_format`, for the kind `nginx`.
    pub log_format: Option<String>,
    /// Of times that name no zone: `Europe/Berlin`, `+01:00`; UTC when it is not said.
    pub time_zone: Option<String>,
    /// Networks (CIDR), addresses, or `unix:`, whose forwarding headers are believed.
    pub trusted_proxies: Vec<String>,
    /// In the place of networks: how many proxies stand before the gateway; 0 is none.
    pub trusted_hops: usize,
    /// Trusted proxies set the header with the client's address, and it is believed before the list.
    pub client_ip_header: bool,
    /// Replace principals by keyed tokens.
    pub tokenise_principal: bool,
    /// The gateway verifies every credential it answers well: whoever comes with one is who it says.
    pub verifies_credentials: bool,
    /// Several processes may have written what comes in one lane, as in a topic: a line that a runtime split may be told from those
    /// of others only by what its records say.
    pub several_writers: bool,
    /// A time further than this ahead of its arrival makes the record a reject; `None` allows any until 2100.
    pub ahead_max_us: Option<i64>,
    /// The tenant of records that name none.
    pub tenant: Option<String>,
    /// The endpoints there are, from OpenAPI documents or a list.
    pub templates: Option<Arc<Templates>>,
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
    #[error("source {source_name}: the kind nginx needs log_format: the text of nginx's log_format directive")]
    NoLogFormat { source_name: String },
    #[error("source {source_name}: {message}")]
    LogFormat { source_name: String, message: String },
    #[error(
        "source {source_name}: time_zone {zone:?}: expected a name such as Europe/Berlin, or an offset such as +01:00"
    )]
    Zone { source_name: String, zone: String },
    #[error("source {source_name}: trusted proxies are told by network or by number, expected one of them")]
    NetworkAndHops { source_name: String },
    #[error("source {source_name}: {hops} trusted hops, expected at most {FORWARDED_HOPS_MAX}")]
    Hops { source_name: String, hops: usize },
    #[error("source {source_name}: {error}")]
    Redaction { source_name: String, error: PolicyError },
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

fn kinds() -> String {
    KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

/// How the records of a source are read.
pub(crate) struct Parser {
    plan: Plan,
    forms: Forms,
    /// Text lines by forms even where a line looks like JSON.
    forms_first: bool,
    w3c: Option<W3cFields>,
    logfmt: bool,
    zone: Zone,
    several_writers: bool,
}

impl Parser {
    pub(crate) fn new(config: &SourceConfig) -> Result<Parser, SourceError> {
        let source_name = config.name.clone();
        let Some(kind) = KINDS.iter().find(|kind| kind.name == config.kind) else {
            return Err(SourceError::Kind { source_name, kind: config.kind.clone() });
        };
        let mut mapping = match (&config.mapping, kind.mapping) {
            (Some(mapping), _) => mapping.clone(),
            (None, Some((file, yaml))) => Mapping::parse(yaml, file)?,
            (None, None) => return Err(SourceError::NoMapping { source_name }),
        };
        if let Some(format) = &config.log_format {
            let forms = text::nginx::forms(format);
            let forms =
                forms.map_err(|message| SourceError::LogFormat { source_name: source_name.clone(), message })?;
            mapping = mapping.with_lines(forms);
        } else if kind.name == "nginx" {
            return Err(SourceError::NoLogFormat { source_name });
        }
        let zone = match &config.time_zone {
            None => Zone::default(),
            Some(zone) => Zone::parse(zone).ok_or_else(|| SourceError::Zone { source_name, zone: zone.clone() })?,
        };
        let plan = mapping.plan();
        Ok(Parser {
            forms: mapping.forms(&plan),
            forms_first: config.log_format.is_some(),
            w3c: mapping.w3c.as_ref().map(|w3c| W3cFields::new(w3c, &plan)),
            logfmt: mapping.logfmt,
            zone,
            several_writers: config.several_writers,
            plan,
        })
    }

    /// The `gateway` column.
    pub(crate) fn gateway(&self) -> &str {
        self.plan.gateway()
    }

    /// The fields of W3C files before any directive.
    pub(crate) fn fields(&self) -> Option<W3cFields> {
        self.w3c.clone()
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The number of the client's address among the damaged columns.
    pub(crate) const CLIENT_IP: u8 = mapping::Input::ClientIp as u8;

    /// The column that a number of `Damaged` is for.
    pub(crate) fn damaged_column(number: u8) -> &'static str {
        mapping::Input::COLUMNS.get(usize::from(number)).copied().unwrap_or("record")
    }
}

/// The largest size or number of rows that is believed (a terabyte), far above what a request moves; a longer number
/// is a mistake, or a card number in the wrong place.
pub(crate) const COUNT_MAX: i64 = 1 << 40;
/// The longest time a request may take (30 days), in microseconds.
pub(crate) const LATENCY_US_MAX: i64 = 30 * 86_400 * 1_000_000;

/// The most that `severity` says.
pub(crate) const SEVERITY_MAX: u8 = 3;

/// How bad a status is for who got it: refusals, other mistakes of the client's, the server's, anything else. Where a status
/// can be read in two ways the worse one counts: nobody forges a refusal of his own request.
pub(crate) fn severity(status: i32) -> u8 {
    match status {
        401 | 403 | 407 | 429 => SEVERITY_MAX,
        400..=499 => 2,
        500..=599 => 1,
        _ => 0,
    }
}

/// A text that says something: not empty, not `-`.
pub(crate) fn present(text: &str) -> Option<&str> {
    (!text.is_empty() && text != "-").then_some(text)
}
