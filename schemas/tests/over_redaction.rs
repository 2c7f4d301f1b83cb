//! Ordinary text stays readable: what only looks like a secret to a careless eye is kept, character by character.
//!
//! The lists are of kinds: paths, queries, agents, referrers, numbers, times, hashes, names that hold the letters of telling
//! words. With `GATEWATCH_REFERENCE` (the folder of the reference data) shares are measured on real and on labelled traffic.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // a test is told by the environment where data is

#[path = "leak_hunt/digits.rs"]
mod digits;
#[path = "leak_hunt/ordinary.rs"]
mod ordinary;
#[path = "leak_hunt/rng.rs"]
mod rng;

use std::path::PathBuf;

use ordinary::{AGENTS, PATHS, QUERIES, REFERRERS, TEXTS};
use rng::Rng;
use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json, scrub};
use serde_json::{Map, Value};

fn changed<'t>(texts: impl IntoIterator<Item = &'t str>) -> Vec<String> {
    let made = texts.into_iter().map(|text| (text, scrub(text)));
    made.filter(|(text, kept)| text != kept).map(|(text, kept)| format!("{text:?} became {kept:?}")).collect()
}

/// The events of records of the kind `combined`.
fn events(lines: &[String]) -> Vec<Map<String, Value>> {
    let mut raw = RawBatch::new();
    for (offset, line) in lines.iter().enumerate() {
        raw.push(offset as i64, 1_790_000_000_000_000, line.as_bytes());
    }
    let config = SourceConfig::new("combined");
    let mut normaliser =
        Normaliser::new(&config, &Keys::new("k1", b"fake key of over-redaction")).expect("a built-in kind");
    let normalised = normaliser.normalise(&Lane::new("ordinary", 0), &raw);
    assert!(normalised.rejects.is_empty(), "{:?}", normalised.rejects);
    (0..normalised.events.num_rows()).map(|row| event_json(&normalised.events, row)).collect()
}

fn line(target: &str, referrer: &str, agent: &str) -> String {
    format!(r#"203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] "GET {target} HTTP/1.1" 200 5 "{referrer}" "{agent}""#)
}

#[test]
fn ordinary_texts_stay() {
    let lists = [PATHS, QUERIES, AGENTS, REFERRERS, TEXTS];
    let count: usize = lists.iter().map(|list| list.len()).sum();
    assert!(count >= 230, "only {count} texts");
    let wrong = changed(lists.into_iter().flatten().copied());
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn ordinary_records_stay() {
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    // An agent with quotes is written with escapes, which is another test's matter.
    let agents: Vec<&'static str> = AGENTS.iter().copied().filter(|agent| !agent.contains('"')).collect();
    for index in 0..PATHS.len().max(QUERIES.len()) {
        let pick = |list: &[&'static str]| list[index % list.len()];
        let (path, query, referrer, agent) = (pick(PATHS), pick(QUERIES), pick(REFERRERS), pick(&agents));
        lines.push(line(&format!("{path}?{query}"), referrer, agent));
        expected.push([("path", path), ("query", query), ("referrer", referrer), ("user_agent", agent)]);
    }
    let mut wrong = Vec::new();
    for (event, columns) in events(&lines).iter().zip(expected) {
        for (column, text) in columns {
            if event[column] != text {
                wrong.push(format!("{column}: {text:?} became {}", event[column]));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Numbers, ids and hashes as programs make them: at random, by the thousand.
#[test]
fn random_ids_stay() {
    let kinds: &[(&str, &str, f64)] = &[
        ("numbers of sixteen digits", "/v1/orders/<d:16>", 1.0),
        ("numbers of sixteen digits in a query", "order=<d:16>&page=2", 1.0),
        ("numbers of ten digits", "/v1/items/<d:10>", 0.1),
        ("numbers of nine digits", "/v1/items/<d:9>", 0.1),
        ("numbers of eight digits", "id=<d:8>", 0.0),
        ("numbers of eleven digits", "/articles/<d:11>", 0.1),
        ("numbers of twelve digits", "id=<d:12>", 0.1),
        ("numbers of thirteen digits", "ts=1<d:12>", 0.1),
        ("numbers of nineteen digits", "since=1<d:18>", 1.0),
        ("uuids", "/v1/orders/<g>", 0.0),
        ("uuids in a query", "order_id=<g>", 0.0),
        ("md5", "/static/<h:32>.js", 0.0),
        ("sha-1", "/commit/<h:40>", 0.0),
        ("sha-256", "etag=<h:64>", 0.0),
        ("short hashes", "/app.<h:8>.css", 0.0),
        ("object ids", "/v1/docs/<h:24>", 0.0),
        ("ulids", "/v1/jobs/01J<U:23>", 0.0),
        ("trace contexts", "00-<h:32>-<h:16>-01", 0.0),
        ("videos", "/watch?v=<u:11>", 0.0),
        ("chunks", "/_next/static/chunks/<h:16>.js?v=<n:6>", 0.0),
    ];
    let mut wrong = Vec::new();
    for (name, shape, share_max) in kinds {
        let mut rng = Rng::of(name);
        let count = 4000;
        let texts: Vec<String> = (0..count).map(|_| rng::generate(shape, &mut rng).0).collect();
        let lost = changed(texts.iter().map(String::as_str));
        let share = 100.0 * lost.len() as f64 / f64::from(count);
        println!("{name}: {share:.3} % of {count} changed");
        if share > *share_max {
            wrong.push(format!("{name}: {share:.3} %, at most {share_max}: {}", lost[0]));
        }
    }
    assert!(wrong.is_empty(), "seed {:#x}:\n{}", rng::seed(), wrong.join("\n"));
}

/// Numbers that carry a check digit of another kind: articles of trade, books, devices.
#[test]
fn numbers_of_trade_stay() {
    let mut rng = Rng::of("trade");
    let mut texts = Vec::new();
    for _ in 0..500 {
        let thirteen = |beginning: &str, rng: &mut Rng| {
            let digits = format!("{beginning}{}", rng.digits(12 - beginning.len()));
            let sum = digits::weighted(&digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3]);
            format!("{digits}{}", (10 - sum % 10) % 10)
        };
        texts.push(format!("/products/{}", thirteen("40", &mut rng)));
        texts.push(format!("ean={}", thirteen("54", &mut rng)));
        texts.push(format!("isbn={}", thirteen("978", &mut rng)));
        texts.push(format!("sku=A{}-{}", rng.digits(4), rng.digits(6)));
        texts.push(format!("invoice=INV-2026-{}", rng.digits(6)));
        texts.push(format!("from=2026-{:02}-01&to=2026-{:02}-28", 1 + rng.below(12), 1 + rng.below(12)));
        texts.push(format!("parcel=1Z{}", rng.text(b"ABCDEFGHJKLMNPRSTVWXYZ0123456789", 16)));
    }
    let wrong = changed(texts.iter().map(String::as_str));
    let share = 100.0 * wrong.len() as f64 / texts.len() as f64;
    println!("numbers of trade: {share:.3} % of {} changed", texts.len());
    assert!(share <= 0.1, "{} of {}:\n{}", wrong.len(), texts.len(), wrong[..wrong.len().min(20)].join("\n"));
}

/// A file of the reference data.
fn reference(name: &str) -> String {
    let root = std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data");
    let path = PathBuf::from(root).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
#[ignore = "needs GATEWATCH_REFERENCE, the folder of the reference data"]
fn a_real_access_log_stays_readable() {
    let text = reference("access-logs/apache_semicomplete_2015.log");
    let lines: Vec<String> = text.lines().map(str::to_string).collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (line, event) in lines.iter().zip(events(&lines)) {
        let request = line.split('"').nth(1).unwrap_or_default();
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        for (column, wanted) in [("path", Some(path)), ("query", query)] {
            let Some(wanted) = wanted.filter(|text| !text.is_empty()) else { continue };
            count += 1;
            if event[column] != wanted {
                wrong.push(format!("{column}: {wanted:?} became {}", event[column]));
            }
        }
    }
    let share = 100.0 * wrong.len() as f64 / f64::from(count);
    println!("{} of {count} paths and queries changed ({share:.4} %)\n{}", wrong.len(), wrong.join("\n"));
    assert!(share <= 0.1, "{share:.4} %");
}

/// Benign values of the labelled sets: what is changed is counted and named; e-mail addresses and cards among them are data.
#[test]
#[ignore = "needs GATEWATCH_REFERENCE, the folder of the reference data"]
fn labelled_benign_traffic_is_reported() {
    for (set, share_max) in [("httpparams", 100.0), ("libinjection", 1.0), ("gotestwaf", 5.0)] {
        let text = reference(&format!("{set}/cases.jsonl"));
        let cases = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a case is JSON"));
        let targets: Vec<String> = cases
            .filter(|case| case["attack"] == false)
            .filter_map(|case| case["target"].as_str().map(str::to_string))
            .collect();
        // Values with an at sign are e-mail addresses here.
        let (mail, other): (Vec<&String>, Vec<&String>) =
            targets.iter().partition(|target| target.contains('@') || target.contains("%40"));
        let wrong = changed(other.iter().map(|t| t.as_str()));
        let share = 100.0 * wrong.len() as f64 / other.len().max(1) as f64;
        println!(
            "{set}: {} of {} benign targets changed ({share:.3} %), {} e-mail addresses aside",
            wrong.len(),
            other.len(),
            mail.len()
        );
        println!("{}", wrong[..wrong.len().min(25)].join("\n"));
        assert!(share <= share_max, "{set}: {share:.3} %");
    }
}
