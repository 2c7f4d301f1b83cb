//! A rotation of the token key in mid-attack loses no detection and makes none: every kind of detector says the same at the
//! same moments as if the key had stayed, while the keys overlap and after, whole or in pieces and restored.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use detectors::testkit::batch_of;
use detectors::{Engine, EngineLimits, Rule, parse_rule};
use schemas::{Alert, Lane};
use serde_json::{Value, json};

const START_US: i64 = 1_772_366_400_000_000;
const STEP_US: i64 = 1_000_000;
const ROWS: i64 = 600;

fn rules() -> Vec<Arc<Rule>> {
    let texts = [
        ("threshold", "credential", "{ threshold: { at_least: 10, within: 5m } }", "where: status = 401\nquiet: 5m"),
        ("new", "credential", "{ threshold: { at_least: 7, within: 5m } }", "first_seen_within: 4m\nquiet: 5m"),
        ("pairs", "principal+client_ip", "{ threshold: { at_least: 8, within: 5m } }", "where: status = 401"),
        ("values", "client_ip", "{ distinct: { of: credential, at_least: 11, within: 10m } }", ""),
        ("sum", "principal", "{ sum: { of: response_bytes, at_least: 4000, within: 2m } }", "quiet: 2m"),
        ("ratio", "credential", "{ ratio: { of: \"status = 401\", at_least: 0.6, min_events: 8, within: 2m } }", ""),
        ("base", "credential", "{ baseline: { of: count, window: 30s, warmup: 3, sigmas: 2 } }", "quiet: 1m"),
        (
            "variety",
            "client_ip",
            "{ baseline: { of: \"distinct(credential)\", window: 30s, warmup: 3, sigmas: 2, min_value: 4 } }",
            "",
        ),
    ];
    let parse = |(id, entity, method, more): &(&str, &str, &str, &str)| {
        let yaml = format!(
            "id: {id}\ntitle: A test\nseverity: low\nnotes: For a test.\nentity: {entity}\nmethod: {method}\n{more}\n"
        );
        Arc::new(parse_rule(&yaml, id).unwrap_or_else(|error| panic!("{error}\n{yaml}")))
    };
    texts.iter().map(parse).collect()
}

/// When the second key comes into force, and when the first one is forgotten, in rows.
#[derive(Clone, Copy)]
struct Rotation(i64, i64);

/// Requests of a few credentials: one is attacked all the time, one is new in the middle, two work now and then, the
/// rarer one much at one time; in the end come many at once, from one address.
fn rows(rotation: Option<Rotation>) -> Vec<Value> {
    let row = |number: i64| {
        let person = match number {
            450..510 => 4,
            520.. => 20 + number,
            _ if number % 3 == 0 => 0,
            200..400 if number % 3 == 1 => 1,
            _ if number % 9 == 2 => 4,
            _ => 3,
        };
        let bad = person < 2 || number % 50 == 0;
        let token = |key: i64| (format!("k{key}:{person:032x}"), format!("u***@k{key}:{person:032x}"));
        let mut row = json!({
            "time": START_US + number * STEP_US,
            "offset": number,
            "status": if bad { 401 } else { 200 },
            "client_ip": format!("192.0.2.{}", if number < 520 { number % 2 } else { 0 }),
            "response_bytes": if person == 0 { 200 } else { 90 },
        });
        let key = if rotation.is_some_and(|Rotation(from, _)| number >= from) { 2 } else { 1 };
        let (credential, principal) = token(key);
        (row["credential"], row["principal"]) = (credential.into(), principal.into());
        if let Some(Rotation(from, until)) = rotation
            && (from..until).contains(&number)
        {
            let (credential, principal) = token(1);
            row["earlier_tokens"] = json!([format!("credential={credential}"), format!("principal={principal}")]);
        }
        row
    };
    (0..ROWS).map(row).collect()
}

/// What was told, with the names of the first key, so that runs compare. Ids are made of names.
fn told(alerts: &[Alert]) -> Vec<String> {
    let line = |alert: &Alert| {
        let value = alert.entity.value.replace("k2:", "k1:");
        let Alert { detector, state, revision, opened, updated, observed, expected, events, .. } = alert;
        format!("{updated} {detector} {value} {state:?} {revision} {opened} {observed} {expected:?} {events}")
    };
    let mut lines: Vec<String> = alerts.iter().map(line).collect();
    lines.sort();
    lines
}

fn detect(rows: &[Value], size: usize, restore: bool) -> Vec<Alert> {
    let lane = Lane::new("case", 0);
    let mut engine = Engine::new(rules(), EngineLimits::default()).unwrap();
    engine.open(&lane, 0);
    let mut alerts = Vec::new();
    for part in rows.chunks(size) {
        engine.push(&lane, batch_of(part).unwrap()).unwrap();
        alerts.extend(engine.advance().unwrap());
        if restore {
            engine = Engine::restore(rules(), EngineLimits::default(), &engine.snapshot()).unwrap();
        }
    }
    alerts.extend(engine.finish().unwrap());
    alerts
}

#[test]
fn a_rotation_in_mid_attack_changes_nothing_that_is_told() {
    let unrotated = detect(&rows(None), 1000, false);
    for rule in rules() {
        assert!(unrotated.iter().any(|alert| alert.detector == rule.id), "{} never alerts", rule.id);
    }
    let expected = told(&unrotated);
    for from in [1, 25, 31, 210, 333] {
        for overlap in [100, 260, ROWS] {
            let rotated = rows(Some(Rotation(from, from + overlap)));
            let whole = detect(&rotated, 1000, false);
            assert_eq!(told(&whole), expected, "rotated at {from}, for {overlap} rows");
            assert_eq!(detect(&rotated, 7, true), whole, "in pieces, rotated at {from}, for {overlap} rows");
        }
    }
}

/// The test above would also hold if nothing depended on the key.
#[test]
fn without_the_overlap_the_attack_falls_apart() {
    let rotated = detect(&rows(Some(Rotation(25, 25))), 1000, false);
    assert_ne!(told(&rotated), told(&detect(&rows(None), 1000, false)));
}

/// Events of two partitions: the merge keeps what ties the keys together.
#[test]
fn partitions_are_merged_with_their_ties() {
    let rows = rows(Some(Rotation(25, 200)));
    let lanes = [Lane::new("case", 0), Lane::new("case", 1)];
    let mut engine = Engine::new(rules(), EngineLimits::default()).unwrap();
    lanes.iter().for_each(|lane| engine.open(lane, 0));
    for (at, lane) in lanes.iter().enumerate() {
        let mine: Vec<Value> = rows.iter().skip(at).step_by(2).cloned().collect();
        engine.push(lane, batch_of(&mine).unwrap()).unwrap();
    }
    let merged = engine.finish().unwrap();
    assert_eq!(told(&merged), told(&detect(&rows, 1000, false)));
}
