//! Enumerations through the engine: order, strangers, the own past and that of peers, refused and answered, late rows, cuts and restarts,
//! and settings that cannot be.

use std::sync::Arc;

use schemas::alert::State;
use schemas::{Alert, Lane};
use serde_json::{Value, json};

use crate::engine::parse_rfc3339;
use crate::engine::testing::alerts_of;
use crate::testkit::batch_of;
use crate::{Engine, EngineLimits, Rule, parse_rule};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const START: i64 = 1_772_323_200_000_000;

const BOTH: &str = "{ within: 1h, refused: 40, answered: 100, times: 3 }";

fn yaml(method: &str) -> String {
    format!("id: a\ntitle: A\nseverity: low\nnotes: N.\nentity: principal\nmethod: {{ enumeration: {method} }}\n")
}

fn rules(method: &str) -> Vec<Arc<Rule>> {
    vec![Arc::new(parse_rule(&yaml(method), "a.yaml").unwrap())]
}

/// Somebody asks for one object.
fn asked(at: i64, who: &str, object: &str, status: i64) -> Value {
    json!({
        "time": START + at, "principal": who, "principal_kind": if who.starts_with("svc") { "service" } else { "user" },
        "endpoint": "GET /v1/orders/{id}", "path": format!("/v1/orders/{object}"), "object_id": format!("k1:{object}"),
        "status": status,
    })
}

/// A shuffled number of six digits.
fn scattered(n: i64) -> String {
    (100_000 + (n * 48_271 + 11) % 899_981).to_string()
}

/// Two days of twelve people who look at four new orders an hour and at the same ten again, and of three services that take in sixty
/// new ones, in order.
fn usual(hours: i64) -> Vec<Value> {
    let mut rows = Vec::new();
    for hour in 0..hours {
        for person in 0..12 {
            let who = format!("person-{person}");
            for n in 0..4 {
                let object = scattered(person * 100_000 + hour * 4 + n);
                rows.push(asked(hour * HOUR + n * 13 * MINUTE + person * SECOND, &who, &object, 200));
            }
            rows.extend(
                (0..10).map(|n| asked(hour * HOUR + n * MINUTE + SECOND, &who, &scattered(person * 500 + n), 200)),
            );
        }
        for service in 0..3 {
            let object = |n: i64| (9_000_000 + service * 1_000_000 + hour * 60 + n).to_string();
            let who = format!("svc-{service}");
            rows.extend((0..60).map(|n| asked(hour * HOUR + n * 30 * SECOND, &who, &object(n), 200)));
        }
    }
    rows
}

/// `many` orders from 5001 on, every so often.
fn counted_up(from: i64, every: i64, many: i64, who: &str, status: i64) -> Vec<Value> {
    (0..many).map(|n| asked(from + n * every, who, &(5_001 + n).to_string(), status)).collect()
}

fn alerts(method: &str, rows: Vec<Value>, cut: usize) -> Vec<Alert> {
    alerts_of(&rules(method), rows, cut)
}

/// Who was told of, at how many, of what was needed.
fn opened(rows: Vec<Value>) -> Vec<(String, f64, f64)> {
    let alerts = alerts(BOTH, rows, usize::MAX);
    let open = alerts.into_iter().filter(|alert| alert.state == State::Open);
    open.map(|alert| (alert.entity.value, alert.observed, alert.threshold)).collect()
}

fn with(more: Vec<Value>) -> Vec<Value> {
    let mut rows = usual(26);
    rows.extend(more);
    rows
}

const NOBODY: [(String, f64, f64); 0] = [];

#[test]
fn who_is_as_ever_is_not_told() {
    assert_eq!(opened(usual(48)), NOBODY);
}

#[test]
fn who_counts_up_is_told_after_less_than_half() {
    let attack = |status: i64| counted_up(24 * HOUR, 30 * SECOND, 110, "new-person", status);
    // Of n objects in order n - 1 are next to another.
    assert_eq!(opened(with(attack(200))), [("new-person".into(), 42.0, 42.0)]);
    assert_eq!(opened(with(attack(404))), [("new-person".into(), 18.0, 18.0)]);
    let random =
        (0..110).map(|n| asked(24 * HOUR + n * 30 * SECOND, "new-person", &scattered(700_000 + n), 200)).collect();
    let random = opened(with(random));
    assert!(random.len() == 1 && random[0].1 >= 98.0, "{random:?}");
}

#[test]
fn the_evidence_names_what_and_how() {
    let mut attack = counted_up(24 * HOUR, 30 * SECOND, 110, "person-3", 200);
    attack.iter_mut().step_by(5).for_each(|row| row["status"] = Value::from(403));
    let alerts = alerts(BOTH, with(attack), usize::MAX);
    let open = alerts.iter().find(|alert| alert.state == State::Open).unwrap();
    let shown = &open.evidence["objects"];
    assert_eq!(open.entity.value, "person-3");
    let [refused, answered] = ["refused", "answered"].map(|key| shown[key].as_u64().unwrap());
    assert!(open.observed == answered as f64 && (9..14).contains(&refused) && answered >= 40, "{shown}");
    assert!(shown["in_order"].as_f64().unwrap() > 0.9, "{shown}");
    let [first, last] = ["first", "last"].map(|key| shown[key].as_str().unwrap().parse::<i64>().unwrap());
    assert!((5_001..5_045).contains(&first) && (5_040..5_056).contains(&last), "{shown}");
    assert!(open.expected.unwrap() < 12.0 && shown["windows"].as_u64().unwrap() == 24, "{shown}");
}

#[test]
fn what_was_touched_before_never_counts() {
    let again = |day: i64| counted_up(day * 6 * HOUR, MINUTE, 35, "person-5", 200);
    let rows = with((0..4).flat_map(again).collect());
    assert_eq!(opened(rows), NOBODY);
}

#[test]
fn a_machine_that_takes_in_what_is_new_is_compared_with_machines() {
    let like_others = counted_up(24 * HOUR, 20 * SECOND, 90, "svc-new", 200);
    assert_eq!(opened(with(like_others)), NOBODY);
    let more = opened(with(counted_up(24 * HOUR, 10 * SECOND, 300, "svc-new", 200)));
    assert!(more.len() == 1 && more[0].1 >= 180.0, "three times the usual: {more:?}");
}

#[test]
fn while_nothing_is_known_nobody_is_told() {
    assert_eq!(opened(counted_up(0, 30 * SECOND, 110, "anna", 200)), NOBODY);
    // Three hours of her own are enough.
    let mut rows: Vec<Value> = (0..3).map(|hour| asked(hour * HOUR, "anna", &(100 * hour).to_string(), 200)).collect();
    rows.extend(counted_up(3 * HOUR, 30 * SECOND, 110, "anna", 200));
    assert_eq!(opened(rows), [("anna".into(), 42.0, 42.0)]);
}

#[test]
fn what_lasts_for_three_days_is_usual() {
    let rows = (0..100).flat_map(|hour| {
        let object = move |n: i64| (1_000_000 + hour * 100 + n).to_string();
        let many = if hour < 4 { 1 } else { 60 };
        (0..many).map(move |n| asked(hour * HOUR + n * 50 * SECOND, "anna", &object(n), 200))
    });
    let alerts = alerts(BOTH, rows.collect(), usize::MAX);
    let states: Vec<State> = alerts.iter().map(|alert| alert.state).filter(|state| *state != State::Updated).collect();
    assert_eq!(states, [State::Open, State::Closed]);
    let hours = (parse_rfc3339(&alerts.last().unwrap().window.end).unwrap() - START) / HOUR;
    assert!((75..80).contains(&hours), "{hours}");
}

#[test]
fn a_slow_walk_is_not_in_one_window() {
    assert_eq!(opened(with(counted_up(20 * HOUR, 5 * MINUTE, 72, "new-person", 200))), NOBODY);
}

#[test]
fn whole_cut_and_restored_tell_the_same() {
    let rows = with(counted_up(24 * HOUR, 30 * SECOND, 110, "new-person", 404));
    let whole = alerts(BOTH, rows.clone(), usize::MAX);
    assert!(whole.len() >= 2);
    for cut in [501, 4_999] {
        assert_eq!(alerts(BOTH, rows.clone(), cut), whole, "in batches of {cut}");
    }
}

#[test]
fn a_late_row_counts_while_the_window_holds_its_time() {
    let told = |late: i64| {
        let mut rows: Vec<Value> =
            (1..5).map(|hour| asked(-hour * HOUR, "anna", &(10 * hour).to_string(), 200)).rev().collect();
        rows.extend(counted_up(0, SECOND, 60, "anna", 200));
        rows.push(asked(61 * SECOND, "ben", "77", 200));
        rows.extend((0..40).map(|n| asked(50 * SECOND - late + n, "anna", &(5_061 + n).to_string(), 200)));
        let mut engine =
            Engine::new(rules("{ within: 1h, answered: 100, order: 0 }"), EngineLimits::default()).unwrap();
        engine.open(&Lane::new("s", 0), 0);
        rows.iter_mut().zip(0..).for_each(|(row, offset)| row["offset"] = Value::from(offset));
        engine.push(&Lane::new("s", 0), batch_of(&rows).unwrap()).unwrap();
        let open = engine.finish().unwrap().iter().filter(|alert| alert.state == State::Open).count();
        (open, engine.stats().detectors[0].too_late)
    };
    assert_eq!(told(0), (1, 0));
    assert_eq!(told(2 * HOUR), (0, 40));
}

#[test]
fn it_opens_on_the_row_that_reaches_the_number() {
    let alerts = alerts(BOTH, with(counted_up(24 * HOUR, 30 * SECOND, 110, "new-person", 404)), usize::MAX);
    assert_eq!(parse_rfc3339(&alerts[0].opened).unwrap(), START + 24 * HOUR + 17 * 30 * SECOND);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let error = |method: &str| parse_rule(&yaml(method), "a.yaml").unwrap_err().to_string();
    for (method, expected) in [
        ("{ within: 1h }", "a.yaml:6:24: method.enumeration: expected `refused`, `answered` or both"),
        ("{ refused: 20 }", "method.enumeration.within: missing; expected a duration from 1s to 31d"),
        (
            "{ within: 1h, refused: 1 }",
            "a.yaml:6:47: method.enumeration.refused: expected a whole number from 2 to 500, found 1",
        ),
        ("{ within: 1h, refused: 20, order: 1 }", "method.enumeration.order: expected a number from 0 to 0.9, found 1"),
        ("{ within: 1d, refused: 20, forget: 1h }", "method.enumeration.forget: expected longer than `within`"),
        ("{ of: latency, within: 1h, refused: 20 }", "method.enumeration.of: unknown column `latency`"),
        ("{ within: 1h, refused: 20, at_least: 3 }", "method.enumeration.at_least: unknown key"),
    ] {
        let found = error(method);
        assert!(found.contains(expected), "{found}\n{expected}");
    }
    let whole = yaml("{ within: 1h, refused: 20 }").replace("principal", "whole");
    let found = parse_rule(&whole, "a.yaml").unwrap_err().to_string();
    assert!(found.contains("method.enumeration: expected an entity other than whole"), "{found}");
}
