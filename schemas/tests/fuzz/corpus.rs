//! What the fuzz targets begin with: the records of all case files, the mapping files, `log_format` texts, OpenAPI
//! documents, and the field cases where `$GATEWATCH_REFERENCE` names the reference data.
//!
//! Promises: in the same order in every run.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A kind of source with its records.
pub struct Kind {
    pub name: &'static str,
    /// The text of its mapping file; empty where it has none of its own.
    pub yaml: String,
    pub records: Vec<Vec<u8>>,
}

impl Kind {
    pub fn has_lines(&self) -> bool {
        self.yaml.contains("\nlines:")
    }

    pub fn has_w3c(&self) -> bool {
        self.yaml.contains("\nw3c:")
    }

    pub fn has_json(&self) -> bool {
        self.records.iter().any(|record| record.starts_with(b"{"))
    }
}

pub struct Corpus {
    /// In the order of the table of kinds.
    pub kinds: Vec<Kind>,
    /// Mapping files, also those of cases.
    pub mappings: Vec<String>,
    /// Forms of text lines.
    pub forms: Vec<String>,
    pub log_formats: Vec<String>,
    pub documents: Vec<String>,
    /// Records of any kind, one per line of the field cases' logs.
    pub field_cases: Vec<Vec<u8>>,
}

/// Beside those of the cases.
const LOG_FORMATS: [&str; 3] = [
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
    r#"log_format j escape=json '{"t":"$time_iso8601","a":"$remote_addr","r":"$request","s":$status,"x":"$http_x_forwarded_for"}';"#,
    "$msec|${remote_addr}|$host|$request_method|$request_uri|$status|$request_time|$upstream_response_time",
];

/// What stands in the place of a gateway that writes key=value.
pub const LOGFMT_MAPPING: &str = "gateway: invented
logfmt: true
columns:
  time: { from: [time, ts], unit: auto }
  latency: { from: [duration, took], unit: text }
  method: { from: method }
  target: { from: [target, path] }
  host: { from: host }
  status: { from: status }
  response_bytes: { from: bytes }
  client_ip: { from: [remote, client] }
  forwarded_for: { from: xff }
  user_agent: { from: [agent, ua] }
  authorization: { from: authorization }
";

pub const LOGFMT_LINES: [&str; 4] = [
    r#"time=2026-11-27T10:00:00Z level=info msg="request done" method=GET target="/v1/orders/7?page=2" host=api.shop.example status=200 bytes=512 remote=203.0.113.7:443 duration=12ms agent="curl/8.5.0""#,
    r#"ts=1790000000.25 client=2001:db8::7 method=POST path=/login status=401 took=0.3s xff="198.51.100.7, 192.0.2.1" ua="Shop \"beta\" 1.2""#,
    r"ts=1790000000 client=203.0.113.9 method=GET path=/a=b&c=d status=- bytes=-",
    r#"time="2026-11-27T10:00:00+01:00" remote=unix: target="/x\ny\t\u0041" status=404 authorization="Bearer fake-opaque-1""#,
];

const DOCUMENTS: [&str; 4] = [
    "openapi: 3.1.0
servers:
  - url: https://{region}.shop.example/v{major}
    variables:
      region: { enum: [eu, us], default: eu }
      major: { enum: ['1', '2'], default: '1' }
  - url: /base
paths:
  /orders: { get: {}, post: {} }
  /orders/{id}: { get: {}, delete: { servers: [{ url: 'https://admin.shop.example' }] } }
  /orders/{id}/lines/{line}.{format}: { get: {} }
  /files/{path}: { $ref: 'files.yaml' }
  x-note: [1, { a: b }]
",
    r#"{"openapi":"3.0.3","info":{"title":"t","version":"1"},"servers":[{"url":"https://*.shop.example"}],"paths":{"/":{"get":{}},"/v1/users/{name}":{"get":{"parameters":[]},"put":{}},"/v1/users/me":{"get":{}},"/{a}/{b}/{c}":{"options":{},"trace":{}}}}"#,
    "openapi: 3.0.0\npaths:\n  '/a/{b}(c={d})': { get: {} }\n  '/a:{verb}': { post: {} }\n  /%7Bx%7D/..;/y: { head: {} }\n",
    "openapi: 3.0.0\nx: &x { get: {} }\npaths:\n  /one: *x\n  /two: { <<: *x, put: {} }\n",
];

impl Corpus {
    /// Reads the repository that this was built from.
    pub fn read() -> Corpus {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("sources");
        let mut corpus = Corpus {
            kinds: Vec::new(),
            mappings: vec![LOGFMT_MAPPING.to_string()],
            forms: Vec::new(),
            log_formats: LOG_FORMATS.map(String::from).to_vec(),
            documents: DOCUMENTS.map(String::from).to_vec(),
            field_cases: field_cases(),
        };
        for kind in schemas::sources::KINDS {
            let folder = sources.join(kind.name);
            let yaml = std::fs::read_to_string(folder.join("mapping.yaml")).unwrap_or_default();
            let mut records = Vec::new();
            for file in files(&folder.join("cases")) {
                let text = std::fs::read_to_string(&file).expect("a file of cases can be read");
                if file.extension().is_some_and(|e| e == "yaml") {
                    corpus.mappings.push(text);
                    continue;
                }
                let cases: Vec<Value> = serde_json::from_str(&text).expect("a file of cases is JSON");
                for case in &cases {
                    corpus.log_formats.extend(case["log_format"].as_str().map(String::from));
                    let record = std::iter::once(&case["record"]).filter(|record| !record.is_null());
                    records.extend(record.chain(case["records"].as_array().into_iter().flatten()).map(bytes_of));
                }
            }
            let trimmed = yaml.lines().map(str::trim).filter_map(|line| line.strip_prefix("- '")?.strip_suffix('\''));
            corpus.forms.extend(trimmed.filter(|form| form.contains('<')).map(|form| form.replace("''", "'")));
            corpus.mappings.extend((!yaml.is_empty()).then(|| yaml.clone()));
            corpus.kinds.push(Kind { name: kind.name, yaml, records });
        }
        corpus
    }

    /// The numbers of the kinds that `fits` says yes to.
    pub fn numbers(&self, fits: impl Fn(&Kind) -> bool) -> Vec<usize> {
        let own = |kind: &Kind| !["mapping", "nginx"].contains(&kind.name) && !kind.records.is_empty();
        (0..self.kinds.len()).filter(|i| own(&self.kinds[*i]) && fits(&self.kinds[*i])).collect()
    }
}

fn bytes_of(record: &Value) -> Vec<u8> {
    match record {
        Value::String(line) => line.clone().into_bytes(),
        object => object.to_string().into_bytes(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.sort();
    files
}

fn field_cases() -> Vec<Vec<u8>> {
    let Some(root) = std::env::var_os("GATEWATCH_REFERENCE") else { return Vec::new() };
    let mut lines = Vec::new();
    for file in files(&PathBuf::from(root).join("field-cases")).iter().flat_map(|folder| files(folder)) {
        if file.extension().is_some_and(|e| e == "log") {
            let bytes = std::fs::read(&file).expect("a field case can be read");
            // Some are long; what differs is at their beginning.
            lines.extend(bytes.split(|b| *b == b'\n').take(50).map(<[u8]>::to_vec));
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}
