//! Sequences through the engine: what is told and when, what breaks one, late rows, and settings that cannot be.

use std::sync::Arc;

use schemas::alert::State;
use schemas::{Alert, Lane};
use serde_json::{Value, json};

use crate::engine::parse_rfc3339;
use crate::testkit::batch_of;
use crate::{Engine, EngineLimits, parse_rule};

const SECOND: i64 = 1_000_000;
const START: i64 = 1_772_366_400_000_000;

fn yaml(method: &str) -> String {
    format!("id: a\ntitle: A\nseverity: low\nnotes: N.\nentity: principal\nmethod: {{ sequence: {method} }}\n")
}

fn engine(method: &str) -> Engine {
    let rule = parse_rule(&yaml(method), "a.yaml").unwrap();
    let mut engine = Engine::new(vec![Arc::new(rule)], EngineLimits::default()).unwrap();
    engine.open(&Lane::new("s", 0), 0);
    engine
}

/// A request of somebody, so many seconds after the start.
fn row(second: i64, principal: &str, status: i32) -> Value {
    json!({ "time": START + second * SECOND, "principal": principal, "status": status })
}

fn failures(seconds: impl IntoIterator<Item = i64>) -> Vec<Value> {
    seconds.into_iter().map(|second| row(second, "ines", 401)).collect()
}

fn alerts(engine: &mut Engine, rows: &[Value]) -> Vec<Alert> {
    let rows: Vec<Value> = rows.iter().enumerate().map(|(at, row)| with(row, "offset", at.into())).collect();
    engine.push(&Lane::new("s", 0), batch_of(&rows).unwrap()).unwrap();
    engine.finish().unwrap()
}

fn with(row: &Value, column: &str, value: Value) -> Value {
    let mut row = row.clone();
    row[column] = value;
    row
}

/// When alerts opened, as (second, of whom).
fn opened(method: &str, rows: &[Value]) -> Vec<(i64, String)> {
    let alerts = alerts(&mut engine(method), rows);
    let opened = alerts.into_iter().filter(|alert| alert.state == State::Open);
    opened.map(|alert| (second(&alert.opened), alert.entity.value)).collect()
}

fn second(text: &str) -> i64 {
    (parse_rfc3339(text).unwrap() - START) / SECOND
}

const FOUR: &str = "{ steps: [ { where: status = 401, times: 3 }, { where: status = 200 } ], within: 1m }";

#[test]
fn the_row_that_completes_it_is_told_with_where_it_began() {
    let mut rows = failures([0, 10, 20, 30, 40]);
    rows.push(row(50, "ines", 200));
    rows.push(row(55, "ines", 200));
    let alerts = alerts(&mut engine(FOUR), &rows);
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert_eq!((second(&alert.opened), second(&alert.window.start), second(&alert.window.end)), (50, 20, 50));
    assert_eq!((alert.observed, alert.threshold, alert.events), (1.0, 1.0, 4));
    // From the second failure on there is evidence.
    assert_eq!(alert.evidence["counted"], 5);
    assert_eq!(alert.evidence["statuses"], json!([{"value": "401", "count": 4}, {"value": "200", "count": 1}]));
}

#[test]
fn order_time_and_number_count() {
    let cases: [(&[i64], i64, bool); 5] = [
        (&[0, 1, 2], 60, true),
        (&[0, 1, 2], 61, false),
        (&[0, 1], 2, false),
        (&[0, 5, 10], 7, false),
        // The first is too old, the last three are not.
        (&[0, 50, 60, 70], 100, true),
    ];
    for (failed, succeeded, expected) in cases {
        let mut rows = failures(failed.iter().copied());
        rows.push(row(succeeded, "ines", 200));
        rows.sort_by_key(|row| row["time"].as_i64());
        assert_eq!(opened(FOUR, &rows).len(), usize::from(expected), "{failed:?} {succeeded}");
    }
    // Others neither help nor disturb.
    let mut rows = failures([0, 2]);
    rows.extend([row(4, "tom", 401), row(5, "tom", 200), row(6, "ines", 200)]);
    assert_eq!(opened(FOUR, &rows), []);
}

#[test]
fn a_complete_one_uses_up_its_rows_and_the_next_is_told_when_they_have_doubled() {
    let round = |from: i64| {
        let mut rows = failures([from, from + 1, from + 2]);
        rows.push(row(from + 3, "ines", 200));
        rows
    };
    let rows = [round(0), vec![row(10, "ines", 200)], round(20), round(40), vec![row(2000, "tom", 401)]].concat();
    let alerts = alerts(&mut engine(FOUR), &rows);
    let told: Vec<(State, i64, f64)> =
        alerts.iter().map(|alert| (alert.state, second(&alert.updated), alert.observed)).collect();
    assert_eq!(told, [(State::Open, 3, 1.0), (State::Updated, 23, 2.0), (State::Closed, 343, 3.0)]);
}

#[test]
fn what_comes_in_between_breaks_it() {
    let method = format!("{}, without: 'status = 204' }}", FOUR.trim_end_matches(" }"));
    let mut rows = failures([0, 1, 2]);
    rows.extend([row(3, "ines", 204), row(4, "ines", 200)]);
    assert_eq!(opened(FOUR, &rows).len(), 1);
    assert_eq!(opened(&method, &rows), []);
    rows.extend([row(5, "ines", 401), row(6, "ines", 401), row(7, "ines", 401), row(8, "ines", 200)]);
    assert_eq!(opened(&method, &rows), [(8, "ines".into())]);
}

#[test]
fn with_by_all_of_it_comes_from_one() {
    let method = format!("{}, by: client_ip }}", FOUR.trim_end_matches(" }"));
    let from = |row: Value, address: &str| with(&row, "client_ip", address.into());
    let rows = |last: &str| {
        let mut rows: Vec<Value> = failures([0, 1, 2]).into_iter().map(|row| from(row, "203.0.113.1")).collect();
        rows.extend([from(row(3, "ines", 401), "203.0.113.2"), from(row(4, "ines", 200), last)]);
        rows
    };
    assert_eq!(opened(&method, &rows("203.0.113.1")), [(4, "ines".into())]);
    assert_eq!(opened(&method, &rows("203.0.113.2")), []);
    // Of nine addresses the one that was heard of longest ago is forgotten.
    let mut many = rows("203.0.113.1");
    let others = (10..18).map(|n| from(row(3, "ines", 401), &format!("203.0.113.{n}")));
    many.splice(4..4, others);
    assert_eq!(opened(&method, &many), []);
}

#[test]
fn different_values_of_the_first_step() {
    let method =
        "{ steps: [ { where: status = 401, times: 3, different: endpoint }, { where: status = 200 } ], within: 1m }";
    let rows = |endpoints: [&str; 4]| {
        let mut rows: Vec<Value> = (0..4)
            .zip(endpoints)
            .map(|(second, endpoint)| with(&row(second, "ines", 401), "endpoint", endpoint.into()))
            .collect();
        rows.push(row(5, "ines", 200));
        rows
    };
    assert_eq!(opened(method, &rows(["a", "b", "c", "a"])).len(), 1);
    assert_eq!(opened(method, &rows(["a", "b", "b", "a"])).len(), 0);
}

#[test]
fn only_the_first_step_makes_an_entity_known() {
    let mut engine = engine(FOUR);
    let rows: Vec<Value> = (0..50).map(|n| row(n, &format!("p{n}"), 200)).chain([row(60, "ines", 401)]).collect();
    alerts(&mut engine, &rows);
    assert_eq!(engine.stats().detectors[0].entities, 1);
}

#[test]
fn a_backlog_is_judged_as_if_it_had_come_alone() {
    let ahead = |from: i64| (0..300).map(move |n| row(from + n / 100, "tom", 204));
    // Nobody heard of her since: late rows are in order.
    let mut rows: Vec<Value> = ahead(3600).collect();
    rows.extend(failures([0, 1, 2]));
    rows.push(row(3, "ines", 200));
    assert_eq!(opened(FOUR, &rows).len(), 1);
    // She was: a late failure and a row in time are no sequence, late rows among themselves are; and who is later than these...
    let mut engine = engine(FOUR);
    let mut rows = vec![row(3600, "ines", 401)];
    rows.extend(ahead(3600));
    rows.extend(failures([10, 11]));
    rows.extend([row(5, "ines", 401), row(3604, "ines", 200), row(12, "ines", 401), row(13, "ines", 200)]);
    let alerts = alerts(&mut engine, &rows);
    assert_eq!(alerts.iter().map(|alert| second(&alert.window.start)).collect::<Vec<_>>(), [10]);
    // ... is too late.
    assert_eq!(engine.stats().detectors[0].too_late, 1);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let error = |method: &str| parse_rule(&yaml(method), "a.yaml").unwrap_err().to_string();
    let cases = [
        ("{ within: 1m }", "method.sequence.steps: missing; expected a list of 2 to 8 steps"),
        ("{ steps: 3, within: 1m }", "method.sequence.steps: expected a list of 2 to 8 steps"),
        ("{ steps: [ { where: status = 1 } ], within: 1m }", "found 1 of them"),
        ("{ steps: [ 5, 6 ], within: 1m }", "method.sequence.steps.1: expected a mapping, found 5"),
        (
            "{ steps: [ { where: status = 1 }, { where: statuz = 1 } ], within: 1m }",
            "a.yaml:6:64: method.sequence.steps.2.where: unknown column `statuz`; did you mean `status`?",
        ),
        (
            "{ steps: [ { where: status = 1, times: 0 }, { where: status = 2 } ], within: 1m }",
            "method.sequence.steps.1.times: expected a whole number from 1 to 64, found 0",
        ),
        (
            "{ steps: [ { where: status = 1, times: 60 }, { where: status = 2, times: 5 } ], within: 1m }",
            "method.sequence.steps: expected at most 64 events in all steps together, found 65",
        ),
        (
            "{ steps: [ { where: status = 1 }, { where: status = 2, times: 5, different: endpoint } ], within: 1m }",
            "method.sequence.steps.2.different: expected only in the first step, with `times` of at least 2",
        ),
        (
            "{ steps: [ { where: status = 1, until: 5 }, { where: status = 2 } ], within: 1m }",
            "method.sequence.steps.1.until: unknown key; expected one of where, times, different",
        ),
        ("{ steps: [ { where: status = 1 }, { where: status = 2 } ] }", "method.sequence.within: missing"),
        (
            "{ steps: [ { where: status = 1 }, { where: status = 2 } ], within: 1m, by: latency }",
            "method.sequence.by: unknown column `latency`",
        ),
        (
            "{ steps: [ { where: status = 1 }, { where: status = 2 } ], within: 1m, without: status }",
            "method.sequence.without: expected a condition that is true or false",
        ),
    ];
    for (method, expected) in cases {
        let found = error(method);
        assert!(found.starts_with("a.yaml:6:") && found.contains(expected), "{method}\n{found}");
    }
}
