//! States of older formats.

use serde_json::{Value, json};

use super::*;
use crate::parse_rule;
use crate::testkit::batch_of;

fn rules() -> Vec<Arc<Rule>> {
    let rule = |id: &str, method: &str| {
        let yaml =
            format!("id: {id}\ntitle: A test\nseverity: low\nentity: client_ip\nmethod: {method}\nnotes: none\n");
        Arc::new(parse_rule(&yaml, id).unwrap())
    };
    vec![
        rule("many", "{ threshold: { at_least: 40, within: 1m } }"),
        rule("paths", "{ distinct: { of: endpoint, at_least: 30, within: 1m } }"),
        rule("bad", "{ ratio: { of: \"status >= 400\", at_least: 0.4, min_events: 30, within: 1m } }"),
        rule("loud", "{ baseline: { of: count, window: 10s, warmup: 3, history: 60 } }"),
    ]
}

/// In order, two a second; one in three is bad.
fn rows(from: usize, to: usize) -> Vec<Value> {
    let row = |n: usize| {
        json!({ "time": 1_772_366_400_000_000_i64 + n as i64 * 500_000, "offset": n, "client_ip": "203.0.113.7",
            "status": if n.is_multiple_of(2) { 404 } else { 200 }, "endpoint": format!("GET /{n}") })
    };
    (from..to).map(row).collect()
}

/// What the engine before this one would have saved: its clock was the newest time.
fn as_before(bytes: &[u8], lateness_us: i64, newest: i64) -> Vec<u8> {
    let (saved, _) = open(bytes).unwrap();
    let lane = |(source, partition, clock): (String, i32, LaneClock)| {
        (source, partition, Lane2 { lateness_us, newest: Some(newest), idle: clock.idle })
    };
    let before = Saved2 {
        hash_key: saved.hash_key,
        lanes: saved.lanes.into_iter().map(lane).collect(),
        folded_to: saved.folded_to,
        newest: Some(newest),
        counters: saved.counters,
        detectors: saved.detectors.into_iter().map(|(id, hash, state, _)| (id, hash, state)).collect(),
        seen: saved.seen,
        held: saved.held.into_iter().map(|(source, partition, ipc, _)| (source, partition, ipc)).collect(),
    };
    let mut body = Vec::new();
    binary::write(&mut body, &before).unwrap();
    [MAGIC_2.as_slice(), &checksum(&body), &body].concat()
}

/// As the format before this one had it: the same, but for what a detector and what is first seen writes.
fn as_3(bytes: &[u8]) -> Vec<u8> {
    let (mut saved, _) = open(bytes).unwrap();
    saved.detectors.iter_mut().for_each(|(_, _, state, late)| (state.0, late.0) = (vec![7; 99], vec![7; 9]));
    saved.seen.iter_mut().for_each(|(_, state)| state.0 = vec![7; 50]);
    let mut body = Vec::new();
    binary::write(&mut body, &saved).unwrap();
    [MAGIC_3.as_slice(), &checksum(&body), &body].concat()
}

#[test]
fn a_state_of_an_older_format_starts_where_it_was_with_detectors_without_a_past() {
    let lane = Lane::new("test", 0);
    let (lateness_us, cut) = (2_000_000, 500);
    let mut first = Engine::new(rules(), EngineLimits::default()).unwrap();
    first.open(&lane, lateness_us);
    first.push(&lane, batch_of(&rows(0, cut)).unwrap()).unwrap();
    first.advance().unwrap();
    let newest = 1_772_366_400_000_000 + (cut as i64 - 1) * 500_000;
    let now = first.snapshot();
    for older in [as_before(&now, lateness_us, newest), as_3(&now)] {
        let mut second = Engine::restore(rules(), EngineLimits::default(), &older).unwrap();
        let mut notes: Vec<String> = ["bad", "loud", "many", "paths"]
            .map(|id| format!("state of detector {id} dropped: it is of an older format"))
            .into();
        notes.push("first-seen times of client_ip dropped: they are of an older format".to_owned());
        assert_eq!((second.notes(), second.held_rows()), (&notes[..], first.held_rows()));
        second.open(&lane, lateness_us);
        let events = second.push(&lane, batch_of(&rows(cut, 900)).unwrap()).unwrap();
        assert_eq!((events.num_rows(), second.stats().late), (400, 0));
        let told = second.finish().unwrap();
        let found: Vec<&str> = told.iter().map(|alert| &*alert.detector).collect();
        assert!(["bad", "many", "paths"].iter().all(|id| found.contains(id)), "{found:?}");
        assert_eq!(second.stats().folded, 900, "every row once");
        for at in [8, 30, older.len() / 2, older.len() - 1] {
            assert!(Engine::restore(rules(), EngineLimits::default(), &older[..at]).is_err(), "cut at {at}");
        }
    }
}

#[test]
fn rows_of_a_version_with_fewer_columns_have_nulls_there() {
    let events = batch_of(&rows(0, 3)).unwrap();
    let without = |names: &[&str]| {
        let kept: Vec<usize> = (0..FIELDS.len()).filter(|at| !names.contains(&FIELDS[*at].name)).collect();
        of_now(&events.project(&kept).unwrap())
    };
    assert_eq!(without(&["principal_source", "denied_by_us"]).unwrap(), events);
    let error = without(&["offset"]).unwrap_err();
    assert!(matches!(&error, EngineError::Snapshot(words) if words.contains("offset")), "{error}");
}
