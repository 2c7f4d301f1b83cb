//! States of the format before this one.

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

#[test]
fn a_state_of_the_format_before_goes_on_where_it_was() {
    let lane = Lane::new("test", 0);
    let (lateness_us, cut) = (2_000_000, 500);
    let start = || {
        let mut engine = Engine::new(rules(), EngineLimits::default()).unwrap();
        engine.open(&lane, lateness_us);
        engine
    };
    let mut whole = start();
    whole.push(&lane, batch_of(&rows(0, 900)).unwrap()).unwrap();
    let expected = whole.finish().unwrap();

    let mut first = start();
    first.push(&lane, batch_of(&rows(0, cut)).unwrap()).unwrap();
    let mut told = first.advance().unwrap();
    let newest = 1_772_366_400_000_000 + (cut as i64 - 1) * 500_000;
    let before = as_before(&first.snapshot(), lateness_us, newest);
    let mut second = Engine::restore(rules(), EngineLimits::default(), &before).unwrap();
    assert_eq!((second.notes(), second.held_rows()), (&[][..], first.held_rows()));
    second.open(&lane, lateness_us);
    let events = second.push(&lane, batch_of(&rows(cut, 900)).unwrap()).unwrap();
    assert_eq!((events.num_rows(), second.stats().late), (400, 0));
    told.extend(second.finish().unwrap());
    assert!(!told.is_empty());
    assert_eq!(told, expected);
    for at in [8, 30, before.len() / 2, before.len() - 1] {
        assert!(Engine::restore(rules(), EngineLimits::default(), &before[..at]).is_err(), "cut at {at}");
    }
}
