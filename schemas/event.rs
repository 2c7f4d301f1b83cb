//! The event schema: ONE table of fields. The Arrow schema, the builder's columns, the Markdown and the JSON Schema
//! derive from it; nothing else names a column's type or privacy class.
//!
//! Promises: a new field has no default privacy class, its author must choose; units are canonical (UTC microseconds,
//! microseconds, bytes). Integers are signed because the open table format has no unsigned types; a negative size or
//! status never gets this far, it is null and the column is named in `damaged`.
//! Never: reads a record, redacts, or does I/O.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef, TimeUnit};
use serde_json::json;

/// The column that ties tokens of a new key to those of the key before it.
pub const EARLIER_TOKENS: &str = "earlier_tokens";

/// How a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Microseconds since 1970-01-01 UTC.
    Time,
    /// Text that repeats: dictionary-encoded.
    Dict,
    Text,
    Int32,
    Int64,
    Float32,
    Bool,
    TextList,
}

/// What a column may reveal, and therefore how the normaliser must treat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// Says nothing about a person.
    Technical,
    /// May point at a person (an address, an account name); kept readable unless configured otherwise.
    Personal,
    /// Free text an outsider controls: scrubbed of secrets and personal data before it is kept.
    Scrubbed,
    /// Only ever a keyed token.
    Token,
}

/// One column of the event.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    pub privacy: Privacy,
    pub meaning: &'static str,
    /// Attribute of OCSF HTTP Activity (4002), empty when it has none.
    pub ocsf: &'static str,
    /// Field of the Elastic Common Schema, empty when it has none.
    pub ecs: &'static str,
}

const fn field(
    name: &'static str,
    kind: Kind,
    nullable: bool,
    privacy: Privacy,
    meaning: &'static str,
    ocsf: &'static str,
    ecs: &'static str,
) -> Field {
    Field { name, kind, nullable, privacy, meaning, ocsf, ecs }
}

use Kind::{Bool, Dict, Float32, Int32, Int64, Text, TextList, Time};
use Privacy::{Personal, Scrubbed, Technical, Token};

/// The table. Order is the column order everywhere.
#[rustfmt::skip]
pub static FIELDS: &[Field] = &[
    field("time", Time, false, Technical, "When the response was complete", "time", "@timestamp"),
    field("observed_time", Time, false, Technical, "When the record reached us", "metadata.logged_time", "event.ingested"),
    field("source", Dict, false, Technical, "Configured name of the log source", "metadata.log_name", "event.dataset"),
    field("gateway", Dict, false, Technical, "Kind of gateway: nginx, kong, envoy ...", "metadata.product.name", "observer.product"),
    field("request_id", Text, true, Scrubbed, "Correlation id of the request", "http_request.uid", "http.request.id"),
    field("trace_id", Text, true, Scrubbed, "Distributed trace id", "metadata.correlation_uid", "trace.id"),
    field("method", Dict, true, Technical, "HTTP method, upper case", "http_request.http_method", "http.request.method"),
    field("host", Dict, true, Scrubbed, "Host the client asked for, lower case", "http_request.url.hostname", "url.domain"),
    field("path", Text, true, Scrubbed, "Path as requested, without the query", "http_request.url.path", "url.path"),
    field("endpoint", Dict, true, Scrubbed, "Method and path template: GET /v1/orders/{id}", "", "http.route"),
    field("documented", Bool, true, Technical, "Whether an OpenAPI document describes the endpoint; null when none covers the host", "", ""),
    field("object_id", Text, true, Token, "Keyed token of the identifiers in the path", "", ""),
    field("query", Text, true, Scrubbed, "Query string: keys kept, sensitive values replaced", "http_request.url.query_string", "url.query"),
    field("status", Int32, true, Technical, "HTTP status sent to the client; 0 when there was none", "http_response.code", "http.response.status_code"),
    field("grpc_status", Int32, true, Technical, "gRPC status of the answer, where the gateway logs one; status is then the HTTP status it amounts to", "", ""),
    field("latency_us", Int64, true, Technical, "Total time in the gateway, microseconds", "http_response.latency", "event.duration"),
    field("request_bytes", Int64, true, Technical, "Bytes received from the client", "traffic.bytes_out", "http.request.bytes"),
    field("response_bytes", Int64, true, Technical, "Bytes sent to the client", "traffic.bytes_in", "http.response.bytes"),
    field("client_ip", Text, true, Personal, "Address of the client after the trusted-proxy rule", "src_endpoint.ip", "client.ip"),
    field("client_ip_source", Dict, true, Technical, "Where client_ip came from: peer, forwarded or header; unproven where nobody to be trusted says that it is the client", "", ""),
    field("country", Dict, true, Technical, "ISO 3166-1 alpha-2 country of client_ip", "src_endpoint.location.country", "client.geo.country_iso_code"),
    field("asn", Int64, true, Technical, "Autonomous system number of client_ip", "src_endpoint.autonomous_system.number", "client.as.number"),
    field("as_org", Dict, true, Technical, "Organisation of that autonomous system", "src_endpoint.autonomous_system.name", "client.as.organization.name"),
    field("lat", Float32, true, Technical, "Latitude of client_ip", "src_endpoint.location.lat", "client.geo.location.lat"),
    field("lon", Float32, true, Technical, "Longitude of client_ip", "src_endpoint.location.long", "client.geo.location.lon"),
    field("user_agent", Dict, true, Scrubbed, "User agent", "http_request.user_agent", "user_agent.original"),
    field("referrer", Text, true, Scrubbed, "Referring page", "http_request.referrer", "http.request.referrer"),
    field("client_class", Dict, true, Technical, "browser, library, scanner, bot or monitor, from the user agent", "", ""),
    field("principal", Text, true, Personal, "Authenticated user, consumer or service", "actor.user.name", "user.name"),
    field("principal_kind", Dict, true, Technical, "user, consumer or service", "actor.user.type", ""),
    field("principal_source", Dict, true, Technical, "Who says that it was that principal: gateway; unproven where only the request does, or it was refused", "", ""),
    field("tenant", Dict, true, Personal, "Customer organisation", "actor.user.org.name", "organization.name"),
    field("credential", Text, true, Token, "Keyed token of the JWT, API key, session or certificate used", "actor.session.uid", ""),
    field("credential_kind", Dict, true, Technical, "jwt, bearer, basic, api_key, session or certificate", "", ""),
    field("jwt_alg", Dict, true, Technical, "alg of the JWT header", "", ""),
    field("jwt_iss", Dict, true, Scrubbed, "iss claim of the JWT", "actor.session.issuer", ""),
    field("jwt_exp", Time, true, Technical, "exp claim of the JWT", "actor.session.expiration_time", ""),
    field("scopes", Text, true, Scrubbed, "Scopes of the credential, space separated", "", ""),
    field("auth_result", Dict, true, Technical, "ok, missing, invalid, expired, forbidden or limited", "status_detail", "event.outcome"),
    field("denied_by_us", Bool, true, Technical, "True where our own block was in force and the request was denied; else null. Detectors count no such request", "", ""),
    field("tls_version", Dict, true, Technical, "TLS version, for example TLSv1.3", "tls.version", "tls.version"),
    field("probes", TextList, true, Technical, "Classes of attack seen in the request: payloads (sqli, nosqli, ldapi, cmdi, xss, traversal, ssrf, template, jndi, deserialisation, pollution, crlf, graphql, xxe), exploit (a known weak spot), sensitive (a file nobody should ask for)", "", ""),
    field("records", Int64, true, Technical, "Rows returned, where the gateway or a header says", "", ""),
    field("redactions", TextList, true, Technical, "Classes of secrets and personal data removed from this record", "", ""),
    field("damaged", TextList, true, Technical, "Columns that are null or doubtful because the record held something there that cannot be", "", ""),
    field(EARLIER_TOKENS, TextList, true, Token, "While two token keys overlap: tokens of this event under the key before, as `column=token`", "", ""),
    field("partition", Int32, false, Technical, "Partition (or file) of the raw record", "", ""),
    field("offset", Int64, false, Technical, "Offset (or line, from 0) of the raw record", "", "log.offset"),
    field("late", Bool, false, Technical, "Older than what detection had already folded when it came", "", ""),
];

impl Kind {
    /// The Arrow type of a column of this kind.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Dict => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Kind::Text => DataType::Utf8,
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Float32 => DataType::Float32,
            Kind::Bool => DataType::Boolean,
            Kind::TextList => DataType::List(Arc::new(ArrowField::new("item", DataType::Utf8, true))),
        }
    }
}

/// The Arrow schema of an event batch.
pub fn arrow_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields: Vec<ArrowField> =
            FIELDS.iter().map(|f| ArrowField::new(f.name, f.kind.data_type(), f.nullable)).collect();
        Arc::new(Schema::new(fields))
    });
    SCHEMA.clone()
}

impl Kind {
    /// The type as the documentation names it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Time => "timestamp[us, UTC]",
            Kind::Dict => "text (dictionary)",
            Kind::Text => "text",
            Kind::Int32 => "int32",
            Kind::Int64 => "int64",
            Kind::Float32 => "float32",
            Kind::Bool => "bool",
            Kind::TextList => "list of text",
        }
    }

    fn json_type(self) -> serde_json::Value {
        match self {
            Kind::Time => json!({"type": "string", "format": "date-time"}),
            Kind::Dict | Kind::Text => json!({"type": "string"}),
            Kind::Int32 | Kind::Int64 => json!({"type": "integer"}),
            Kind::Float32 => json!({"type": "number"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::TextList => json!({"type": "array", "items": {"type": "string"}}),
        }
    }
}

impl Privacy {
    pub fn name(self) -> &'static str {
        match self {
            Privacy::Technical => "technical",
            Privacy::Personal => "personal",
            Privacy::Scrubbed => "scrubbed",
            Privacy::Token => "token",
        }
    }
}

/// The table as a Markdown table, for the documentation.
pub fn markdown() -> String {
    let mut text = String::from("| column | type | privacy | meaning | OCSF | ECS |\n|---|---|---|---|---|---|\n");
    for f in FIELDS {
        let null = if f.nullable { "?" } else { "" };
        let (kind, privacy) = (f.kind.name(), f.privacy.name());
        text.push_str(&format!("| {} | {kind}{null} | {privacy} | {} | {} | {} |\n", f.name, f.meaning, f.ocsf, f.ecs));
    }
    text
}

/// The JSON Schema of an event as `explain` prints it.
pub fn json_schema() -> serde_json::Value {
    let mut properties = serde_json::Map::new();
    for f in FIELDS {
        let mut property = f.kind.json_type();
        if f.nullable {
            let plain = property["type"].clone();
            property["type"] = json!([plain, "null"]);
        }
        property["description"] = f.meaning.into();
        property["x-privacy"] = f.privacy.name().into();
        properties.insert(f.name.to_string(), property);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gatewatch event",
        "description": "One normalised, redacted API request",
        "type": "object",
        "additionalProperties": false,
        "required": FIELDS.iter().map(|f| f.name).collect::<Vec<_>>(),
        "properties": properties,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_field_is_named_once_and_explained() {
        let mut names = HashSet::new();
        for f in FIELDS {
            assert!(names.insert(f.name), "{} is there twice", f.name);
            assert!(f.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{} is not snake case", f.name);
            assert!(f.meaning.len() >= 10, "{} is not explained", f.name);
        }
    }

    #[test]
    fn derived_forms_hold_every_field() {
        let schema = arrow_schema();
        let (markdown, json) = (markdown(), json_schema());
        for (i, f) in FIELDS.iter().enumerate() {
            assert_eq!((schema.field(i).name().as_str(), schema.field(i).is_nullable()), (f.name, f.nullable));
            assert_eq!(schema.field(i).data_type(), &f.kind.data_type());
            assert!(markdown.contains(&format!("| {} | {}", f.name, f.kind.name())), "{} is not in the table", f.name);
            assert_eq!(json["properties"][f.name]["description"], f.meaning);
        }
        assert_eq!(markdown.lines().count(), FIELDS.len() + 2);
        assert_eq!(json["required"].as_array().map(Vec::len), Some(FIELDS.len()));
        assert_eq!(json["properties"]["path"]["type"], json!(["string", "null"]));
        assert_eq!(json["properties"]["time"]["format"], "date-time");
    }
}
