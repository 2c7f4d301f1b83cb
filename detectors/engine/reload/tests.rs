//! Detectors are swapped under open alerts, half counted windows and rows that wait.

use schemas::{Alert, Lane};
use serde_json::{Value, json};

use super::*;
use crate::engine::EngineLimits;
use crate::parse_rule;
use crate::testkit::batch_of;

/// 2026-03-01T12:00:00Z
const NOON: i64 = 1_772_366_400_000_000;

fn rule(id: &str, at_least: u32, title: &str) -> Arc<Rule> {
    let text = format!(
        "id: {id}\ntitle: {title}\nseverity: low\nentity: client_ip\nquiet: 1h\nnotes: none\n\
         method: {{ threshold: {{ at_least: {at_least}, within: 10m }} }}\n"
    );
    Arc::new(parse_rule(&text, "test.yaml").unwrap())
}

fn lane() -> Lane {
    Lane::new("test", 0)
}

fn engine(rules: &[Arc<Rule>]) -> Engine {
    let mut engine = Engine::new(rules.to_vec(), EngineLimits::default()).unwrap();
    engine.open(&lane(), 0);
    engine
}

/// Requests at these seconds after noon, all of them folded.
fn feed(engine: &mut Engine, seconds: std::ops::Range<i64>) -> Vec<Alert> {
    let rows: Vec<Value> =
        seconds.map(|at| json!({ "time": NOON + at * 1_000_000, "client_ip": "203.0.113.7" })).collect();
    engine.push(&lane(), batch_of(&rows).unwrap()).unwrap();
    engine.idle(&lane());
    engine.advance().unwrap()
}

#[test]
fn what_counts_as_before_goes_on_and_what_does_not_is_closed() {
    let mut engine =
        engine(&[rule("gone", 3, "A"), rule("kept", 3, "B"), rule("other", 3, "C"), rule("slow", 20, "D")]);
    assert_eq!(feed(&mut engine, 0..9).len(), 6, "three open, and one more telling each when it has doubled");
    let closed = engine.reload(vec![
        rule("kept", 3, "Another title"),
        rule("new", 12, "E"),
        rule("other", 4, "C"),
        rule("slow", 20, "D"),
    ]);
    let closed = closed.unwrap();
    let told: Vec<(&str, State, &Value)> =
        closed.iter().map(|a| (a.detector.as_str(), a.state, &a.evidence["closed"])).collect();
    let because = json!("the detector was changed or taken away");
    assert_eq!(told, [("gone", State::Closed, &because), ("other", State::Closed, &because)]);
    assert_eq!(closed[0].updated, "2026-03-01T12:00:08.000000Z");
    let notes = engine.notes().join("\n");
    for note in [
        "detector gone dropped: the detector is gone",
        "detector other dropped: what it counts has changed",
        "detector new is new",
    ] {
        assert!(notes.contains(note), "{notes}");
    }
    // `slow` has nine of its twenty already; `other` and `new` begin with the next row.
    let alerts = feed(&mut engine, 9..20);
    let opened: Vec<&str> = alerts.iter().filter(|a| a.state == State::Open).map(|a| a.detector.as_str()).collect();
    assert_eq!(opened, ["other", "slow"]);
    let kept = alerts.iter().find(|a| a.detector == "kept").unwrap();
    assert_eq!((kept.state, kept.title.as_str(), kept.revision), (State::Updated, "Another title", 2));
}

#[test]
fn an_alert_is_told_by_the_same_rows_as_without_a_reload() {
    let rules = [rule("kept", 3, "B"), rule("slow", 20, "D")];
    let (mut whole, mut swapped) = (engine(&rules), engine(&rules));
    let mut expected = feed(&mut whole, 0..7);
    expected.extend(feed(&mut whole, 7..30));
    let mut told = feed(&mut swapped, 0..7);
    for _ in 0..2 {
        assert_eq!(swapped.reload(rules.to_vec()).unwrap(), []);
    }
    told.extend(feed(&mut swapped, 7..30));
    assert_eq!(told, expected);
}

#[test]
fn rows_that_wait_are_judged_by_the_new_detectors() {
    let mut engine = engine(&[]);
    let rows: Vec<Value> =
        (0..3).map(|at| json!({ "time": NOON + at * 1_000_000, "client_ip": "203.0.113.7" })).collect();
    engine.push(&lane(), batch_of(&rows).unwrap()).unwrap();
    assert_eq!(engine.held_rows(), 3);
    engine.reload(vec![rule("new", 3, "E")]).unwrap();
    assert_eq!(engine.held_rows(), 3);
    engine.idle(&lane());
    assert_eq!(engine.advance().unwrap().len(), 1);
}

#[test]
fn two_detectors_of_one_name_are_refused_and_nothing_changes() {
    let mut engine = engine(&[rule("kept", 3, "B")]);
    feed(&mut engine, 0..2);
    engine.reload(vec![rule("twice", 3, "A"), rule("twice", 3, "B")]).unwrap_err();
    assert_eq!(feed(&mut engine, 2..3).len(), 1);
}

#[test]
fn what_is_open_can_be_told_again() {
    let mut engine = engine(&[rule("a", 3, "A"), rule("b", 100, "B")]);
    assert_eq!(engine.open_alerts(), []);
    let told = feed(&mut engine, 0..9);
    let before = engine.snapshot();
    let open = engine.open_alerts();
    let last = told.last().unwrap();
    assert_eq!((open.len(), &open[0].id, open[0].revision), (1, &last.id, last.revision));
    assert_eq!(engine.open_ids(), [last.id.clone()].into());
    assert_eq!((open[0].state, open[0].evidence.get("closed")), (State::Updated, None));
    assert_eq!(engine.snapshot(), before, "nothing has changed by it");
    let next = feed(&mut engine, 9..20);
    assert_eq!((next[0].revision, next[0].state), (last.revision + 1, State::Updated));
}
