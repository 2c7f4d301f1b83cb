//! Lines with the values that other tools' own test suites expect of them. The data is not part of the repository: its
//! folder is `$GATEWATCH_REFERENCE`, without which these tests are ignored.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)] // a test is told by the environment where data is

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json};
use serde_json::{Map, Value};

/// Formats of the suite, and the kind that reads them.
const FORMATS: [(&str, &str); 29] = [
    ("nginx", "combined"),
    ("nginx/combined", "combined"),
    ("nginx/main", "combined"),
    ("nginx/ingress_upstreaminfo", "combined"),
    ("bunkerweb(nginx)", "combined"),
    ("apache", "combined"),
    ("apache/common", "combined"),
    ("apache/combined", "combined"),
    ("nginx-proxy-manager", "npm"),
    ("npmplus", "npm"),
    ("kong", "kong"),
    ("envoy", "envoy"),
    ("istio-json", "envoy"),
    ("istio-text", "envoy"),
    ("aws-alb", "alb"),
    ("aws-elb", "elb"),
    ("aws-apigateway", "aws_apigateway"),
    ("aws-cloudfront", "cloudfront"),
    ("aws-s3", "s3"),
    ("gcp-loadbalancer", "gcp_lb"),
    ("cloudflare-logpush", "cloudflare"),
    ("haproxy", "haproxy"),
    ("traefik", "traefik"),
    ("caddy", "caddy"),
    ("iis", "iis"),
    ("zoraxy", "zoraxy"),
    ("apisix", "apisix"),
    ("tyk", "tyk"),
    ("krakend", "krakend"),
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

/// How many fields the suite states of an event, and what is wrong with them.
fn compare(event: &Map<String, Value>, expected: &Value) -> (usize, Vec<String>) {
    let (mut stated, mut wrong) = (0, Vec::new());
    let mut check = |name: &str, found: &Value, wanted: Value| {
        stated += 1;
        if *found != wanted {
            wrong.push(format!("{name}: found {found}, expected {wanted}"));
        }
    };
    let scrubbed = |text: &str| Value::from(schemas::scrub(text));
    for (theirs, ours) in
        [("client_ip", "client_ip"), ("method", "method"), ("status", "status"), ("bytes_out", "response_bytes")]
    {
        if let Some(wanted) = expected.get(theirs) {
            check(theirs, &event[ours], wanted.clone());
        }
    }
    for (theirs, ours) in [("user_agent", "user_agent"), ("referrer", "referrer"), ("user", "principal")] {
        if let Some(wanted) = expected[theirs].as_str() {
            check(theirs, &event[ours], scrubbed(wanted));
        }
    }
    if let Some(host) = expected["host"].as_str() {
        check("host", &event["host"], host.split(':').next().unwrap_or(host).into());
    }
    if let Some(ms) = expected["duration_ms"].as_f64() {
        check("duration_ms", &event["latency_us"], ((ms * 1000.0) as i64).into());
    }
    if let Some(target) = expected["path"].as_str().or(expected["url"].as_str()) {
        // Of an absolute URL the path; what is no target stays whole.
        let target = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => target,
        };
        // IIS writes a dash where there is no query, and its suite takes that for one.
        let target = target.strip_suffix("?-").unwrap_or(target);
        let is_raw = event["method"].is_null();
        let (path, query) = match target.split_once('?').filter(|_| !is_raw) {
            Some((path, query)) => (path, scrubbed(query)),
            None => (target, Value::Null),
        };
        let kept = event["path"].as_str().unwrap_or_default();
        // A suite shows escapes as they stand in the line or as what they stand for; both are right.
        let is_same = schemas::scrub(path) == kept || unescaped(&schemas::scrub(path)) == unescaped(kept);
        check("path", &Value::from(is_same), true.into());
        check("query", &event["query"], query);
    }
    if let Some(ts) = expected["ts"].as_str() {
        let parse = |text: &str| chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339").timestamp_micros();
        let found = parse(event["time"].as_str().expect("every event has a time"));
        // A suite may state the start of the request. Seconds may be all it has.
        let latency = event["latency_us"].as_i64().unwrap_or(0);
        let is_right = [found, found - latency].iter().any(|time| (time - parse(ts)).abs() < 1_000_000);
        check("ts", &Value::from(is_right), true.into());
    }
    (stated, wrong)
}

/// With the escapes resolved that stand for what is printable.
fn unescaped(text: &str) -> String {
    text.replace("\\x22", "\"").replace("\\x5C", "\\")
}

/// Of the fields that the suites state, at least this many of a hundred are right; of each format so many, for some have few.
const RIGHT_PERCENT_MIN: usize = 98;
const RIGHT_OF_FORMAT_PERCENT_MIN: usize = 90;

#[test]
#[ignore = "needs GATEWATCH_REFERENCE, the folder of the reference data"]
fn every_line_reads_as_its_suite_expects() {
    let (mut failures, mut lines, mut stated) = (Vec::new(), 0, 0);
    // By format, fields stated and wrong.
    let mut formats: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for case in &cases() {
        let format = case["format"].as_str().unwrap_or_default();
        let Some((_, kind)) = FORMATS.iter().find(|(name, _)| *name == format) else {
            failures.push(format!("{}: no kind reads {format}", case["id"]));
            continue;
        };
        lines += 1;
        let before = (stated, failures.len());
        let line = case["line"].as_str().expect("a case has a line");
        let expected = &case["expected"];
        match event(kind, line) {
            Ok(event) => {
                let (count, wrong) = compare(&event, expected);
                stated += count;
                failures.extend(wrong.into_iter().map(|w| format!("{}: {w}", case["id"])));
            }
            Err(reject) => {
                let count = expected.as_object().map_or(0, Map::len);
                stated += count;
                failures.extend((0..count).map(|_| format!("{}: rejected, {reject}", case["id"])));
            }
        }
        let of_format = formats.entry(format.to_string()).or_default();
        *of_format = (of_format.0 + stated - before.0, of_format.1 + failures.len() - before.1);
    }
    println!(
        "{lines} lines, {} of {stated} fields right; the others:\n{}",
        stated - failures.len(),
        failures.join("\n")
    );
    assert!(failures.len() * 100 <= stated * (100 - RIGHT_PERCENT_MIN), "{} of {stated} wrong", failures.len());
    let is_bad = |(stated, wrong): &(usize, usize)| wrong * 100 > stated * (100 - RIGHT_OF_FORMAT_PERCENT_MIN);
    let bad: Vec<_> = formats.iter().filter(|(_, counts)| is_bad(counts)).collect();
    assert!(bad.is_empty(), "stated and wrong: {bad:?}");
    assert!(lines > 110, "only {lines} lines of the suites were checked");
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
