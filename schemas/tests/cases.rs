//! Contract tests of the sources, by walking the table of kinds: every file under `sources/*/cases/` is a list of cases,
//! each a record (or `records`, in this order) and what must become of it. An expected event names every column that is not null, but those that say where the record came from.
//!
//! With `UPDATE_CASES=1` the expectations are rewritten; read the difference before committing it.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)] // a test is told by the environment where data is

use std::path::{Path, PathBuf};

use schemas::{Keys, Lane, Mapping, Normaliser, RawBatch, SourceConfig, event_json};
use serde_json::{Map, Value, json};

const OBSERVED_US: i64 = 1_790_000_000_000_000;
const POSITION: [&str; 5] = ["observed_time", "source", "partition", "offset", "late"];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sources")
}

/// What becomes of `records`, in this order, under `config`, in the form the case files have.
fn outcome(config: &SourceConfig, records: &[String]) -> Value {
    let keys = Keys::new("k1", b"fake key of the case files");
    let mut normaliser = Normaliser::new(config, &keys).expect("the source of a case file is valid");
    let mut raw = RawBatch::new();
    records.iter().for_each(|record| raw.push(0, OBSERVED_US, record.as_bytes()));
    let normalised = normaliser.normalise(&Lane::new("case", 3), &raw);
    let mut outcomes: Vec<Value> = (0..normalised.events.num_rows())
        .map(|row| {
            let event = event_json(&normalised.events, row);
            assert_eq!(
                (&event["offset"], &event["partition"], &event["source"]),
                (&json!(0), &json!(3), &json!("case"))
            );
            let kept = event.into_iter().filter(|(name, value)| !value.is_null() && !POSITION.contains(&name.as_str()));
            json!({"event": kept.collect::<Map<_, _>>()})
        })
        .collect();
    outcomes
        .extend(normalised.rejects.iter().map(|r| json!({"reject": {"code": r.code.as_str(), "detail": r.detail}})));
    if outcomes.len() == 1 { outcomes.remove(0) } else { Value::Array(outcomes) }
}

fn config(kind: &str, case: &Value) -> SourceConfig {
    let mut config = SourceConfig::new(kind);
    if let Some(file) = case["mapping"].as_str() {
        let path = sources().join(kind).join("cases").join(file);
        let yaml = std::fs::read_to_string(&path).expect("the mapping of a case can be read");
        config.mapping = Some(Mapping::parse(&yaml, file).expect("the mapping of a case is valid"));
    }
    let proxies = case["trusted_proxies"].as_array().into_iter().flatten();
    config.trusted_proxies = proxies.map(|p| p.as_str().expect("a network is a text").to_string()).collect();
    config.trusted_hops = case["trusted_hops"].as_u64().unwrap_or(0) as usize;
    config.client_ip_header = case["client_ip_header"] == true;
    config.time_zone = case["time_zone"].as_str().map(str::to_string);
    config.log_format = case["log_format"].as_str().map(str::to_string);
    config.tokenise_principal = case["tokenise_principal"] == true;
    config.ahead_max_us = case["ahead_max_us"].as_i64();
    config.tenant = case["tenant"].as_str().map(str::to_string);
    config
}

/// The one helper: runs every case of one file.
fn check(kind: &str, path: &Path) -> usize {
    let text = std::fs::read_to_string(path).expect("a case file can be read");
    let mut cases: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let update = std::env::var_os("UPDATE_CASES").is_some();
    for case in &mut cases {
        let text = |record: &Value| match record {
            Value::String(line) => line.clone(),
            object => object.to_string(),
        };
        let records = match &case["records"] {
            Value::Array(records) => records.iter().map(text).collect(),
            _ => vec![text(&case["record"])],
        };
        let found = outcome(&config(kind, case), &records);
        if update {
            case["becomes"] = found;
        } else {
            assert_eq!(found, case["becomes"], "{}: {}\nfound {found:#}", path.display(), case["name"]);
        }
    }
    if update {
        let text = serde_json::to_string_pretty(&cases).expect("cases are JSON");
        std::fs::write(path, text + "\n").expect("a case file can be written");
    }
    cases.len()
}

fn check_kind(kind: &str) {
    let folder = sources().join(kind).join("cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{kind} has no cases: {error}"))
        .map(|f| f.expect("a readable entry").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "json"));
    files.sort();
    let cases: usize = files.iter().map(|file| check(kind, file)).sum();
    assert!(cases >= 5, "{kind} has only {cases} cases");
}

#[test]
fn every_kind_reads_its_cases() {
    for kind in schemas::sources::KINDS {
        check_kind(kind.name);
    }
}
