//! Lines with the values that other tools' own test suites expect of them. The data is not part of the repository: its
//! folder is `$GATEWATCH_REFERENCE`, without which these tests are ignored.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)] // a test is told by the environment where data is

use std::path::PathBuf;

use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json};
use serde_json::{Map, Value};

/// Formats of the suite, the kind that reads them, and proxies to trust where the expectation takes a forwarded address.
const FORMATS: [(&str, &str); 13] = [
    ("nginx", "combined"),
    ("nginx/combined", "combined"),
    ("nginx/main", "combined"),
    ("nginx/ingress_upstreaminfo", "combined"),
    ("bunkerweb(nginx)", "combined"),
    ("nginx-proxy-manager", "combined"),
    ("apache", "combined"),
    ("apache/common", "combined"),
    ("apache/combined", "combined"),
    ("kong", "kong"),
    ("envoy", "envoy"),
    ("istio-json", "envoy"),
    ("istio-text", "envoy"),
];

/// A file of the reference data.
fn reference(name: &str) -> Vec<u8> {
    let root = std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data");
    let path = PathBuf::from(root).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn cases() -> Vec<Value> {
    let text = String::from_utf8(reference("parser-suites/cases.jsonl")).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect()
}

fn event(kind: &str, line: &str) -> Result<Map<String, Value>, String> {
    // The networks of the suites' own proxies.
    let trusted = ["10.2.1.185", "204.246.1.1", "fd00:1234:5678::1"].map(String::from).to_vec();
    let config = SourceConfig { trusted_proxies: trusted, ..SourceConfig::new(kind) };
    let mut normaliser = Normaliser::new(&config, &Keys::new("k1", b"fake")).expect("a built-in kind");
    let mut raw = RawBatch::new();
    raw.push(0, 0, line.as_bytes());
    let normalised = normaliser.normalise(&Lane::new("reference", 0), &raw);
    match normalised.rejects.first() {
        Some(reject) => Err(format!("{:?}: {}", reject.code, reject.detail)),
        None => Ok(event_json(&normalised.events, 0)),
    }
}

/// What is wrong with an event, given what the suite expects.
fn differences(event: &Map<String, Value>, expected: &Value, adds_latency: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut compare = |name: &str, found: &Value, wanted: Value| {
        if *found != wanted {
            wrong.push(format!("{name}: found {found}, expected {wanted}"));
        }
    };
    let is_http = expected["method"].is_string();
    for (theirs, ours) in
        [("client_ip", "client_ip"), ("method", "method"), ("status", "status"), ("bytes_out", "response_bytes")]
    {
        if let Some(wanted) = expected.get(theirs) {
            compare(theirs, &event[ours], wanted.clone());
        }
    }
    for (theirs, ours) in [("user_agent", "user_agent"), ("referrer", "referrer"), ("user", "principal")] {
        if let Some(wanted) = expected[theirs].as_str() {
            compare(theirs, &event[ours], schemas::scrub(wanted).into());
        }
    }
    if let Some(host) = expected["host"].as_str() {
        compare("host", &event["host"], host.split(':').next().unwrap_or(host).into());
    }
    if let Some(ms) = expected["duration_ms"].as_f64() {
        compare("duration_ms", &event["latency_us"], ((ms * 1000.0) as i64).into());
    }
    let target = expected["path"].as_str().or(expected["url"].as_str()).filter(|_| is_http);
    let (path, query) = target.map_or((None, None), |t| match t.split_once('?') {
        Some((path, query)) => (Some(path), Some(query)),
        None => (Some(t), None),
    });
    compare("path", &event["path"], path.map(schemas::scrub).map_or(Value::Null, Into::into));
    compare("query", &event["query"], query.map(schemas::scrub).map_or(Value::Null, Into::into));
    if let Some(ts) = expected["ts"].as_str() {
        let added = if adds_latency { event["latency_us"].as_i64().unwrap_or(0) } else { 0 };
        let parse = |text: &str| chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339").timestamp_micros();
        let found = parse(event["time"].as_str().expect("every event has a time"));
        compare("ts", &(found - added).into(), parse(ts).into());
    }
    wrong
}

#[test]
#[ignore = "needs GATEWATCH_REFERENCE, the folder of the reference data"]
fn every_line_reads_as_its_suite_expects() {
    let mut failures = Vec::new();
    let mut checked = 0;
    for case in &cases() {
        let format = case["format"].as_str().unwrap_or_default();
        let Some((_, kind)) = FORMATS.iter().find(|(name, _)| *name == format) else { continue };
        let line = case["line"].as_str().expect("a case has a line");
        if line.starts_with('[') && *kind == "combined" {
            // nginx-proxy-manager's own format, which is not the combined one.
            assert!(event(kind, line).is_err());
            continue;
        }
        checked += 1;
        match event(kind, line) {
            Ok(event) => {
                let wrong = differences(&event, &case["expected"], *kind != "combined");
                failures.extend(wrong.into_iter().map(|w| format!("{}: {w}", case["id"])));
            }
            Err(reject) => failures.push(format!("{}: rejected, {reject}", case["id"])),
        }
    }
    assert!(failures.is_empty(), "{checked} lines, {} wrong:\n{}", failures.len(), failures.join("\n"));
    assert!(checked > 60, "only {checked} lines of the suites were checked");
    println!("{checked} lines of other tools' suites read as expected");
}

#[test]
#[ignore = "needs GATEWATCH_REFERENCE, the folder of the reference data"]
fn a_real_access_log_reads_without_a_reject() {
    let text = reference("access-logs/apache_semicomplete_2015.log");
    let mut raw = RawBatch::new();
    let mut lines = 0;
    for line in text.split(|&b| b == b'\n').filter(|line| !line.is_empty()) {
        raw.push(lines, 1_790_000_000_000_000, line);
        lines += 1;
    }
    let mut normaliser =
        Normaliser::new(&SourceConfig::new("combined"), &Keys::new("k1", b"fake")).expect("combined is a kind");
    let normalised = normaliser.normalise(&Lane::new("log", 0), &raw);
    assert_eq!((normalised.events.num_rows() as i64, normalised.rejects.len()), (lines, 0));
    let column = normalised.events.column_by_name("endpoint").expect("the column exists");
    let endpoints = arrow::array::AsArray::as_any_dictionary(column).values().len();
    println!("{lines} lines, {endpoints} endpoints");
    assert!(endpoints < 1000, "{endpoints} endpoints: paths of an ordinary site explode");
}
