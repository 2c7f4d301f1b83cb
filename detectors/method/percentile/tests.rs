//! Percentiles through the engine: against a bound, against the own past, few events, late rows, cuts and restarts, and settings that
//! cannot be.

use std::sync::Arc;

use schemas::alert::State;
use schemas::{Alert, Lane};
use serde_json::{Value, json};

use crate::engine::parse_rfc3339;
use crate::testkit::{Chance, batch_of};
use crate::{Engine, EngineLimits, parse_rule};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const START: i64 = 1_772_323_200_000_000;
const MS: i64 = 1_000;

const BOUND: &str = "{ of: latency_us, p: 95, window: 2m, at_least: 1000000 }";
const PAST: &str = "{ of: latency_us, p: 95, window: 10m, times: 3, min_value: 100000, warmup: 1h }";

fn yaml(method: &str) -> String {
    format!(
        "id: a\ntitle: A\nseverity: low\nnotes: N.\nentity: endpoint\nquiet: 15m\nmethod: {{ percentile: {method} }}\n"
    )
}

fn engine(method: &str) -> Engine {
    let rule = parse_rule(&yaml(method), "a.yaml").unwrap();
    let mut engine = Engine::new(vec![Arc::new(rule)], EngineLimits::default()).unwrap();
    engine.open(&Lane::new("s", 0), 5 * SECOND);
    engine
}

/// Answers of one endpoint, `every` so often from `from` up to `to`, that take about `ms`.
fn answers((from, to, every): (i64, i64, i64), ms: i64, seed: u64) -> Vec<Value> {
    let mut chance = Chance::new(seed);
    let times = (from..to).step_by(every as usize);
    let row = |time: i64| {
        let latency = (ms as f64 * MS as f64 * (0.4 * chance.normal()).exp()) as i64;
        json!({ "time": START + time, "endpoint": "GET /v1/reports", "latency_us": latency })
    };
    times.map(row).collect()
}

fn alerts(engine: &mut Engine, mut rows: Vec<Value>) -> Vec<Alert> {
    rows.sort_by_key(|row| row["time"].as_i64());
    push(engine, rows)
}

fn push(engine: &mut Engine, mut rows: Vec<Value>) -> Vec<Alert> {
    rows.iter_mut().zip(0..).for_each(|(row, offset)| row["offset"] = Value::from(offset));
    engine.push(&Lane::new("s", 0), batch_of(&rows).unwrap()).unwrap();
    engine.finish().unwrap()
}

fn minute(text: &str) -> f64 {
    (parse_rfc3339(text).unwrap() - START) as f64 / MINUTE as f64
}

fn opened(alerts: &[Alert]) -> Vec<f64> {
    alerts.iter().filter(|alert| alert.state == State::Open).map(|alert| minute(&alert.opened)).collect()
}

#[test]
fn an_absolute_bound_is_told_of_whom_nothing_is_known() {
    let mut rows = answers((0, HOUR, SECOND), 100, 1);
    rows.extend(answers((HOUR, HOUR + 5 * MINUTE, SECOND), 2_500, 2));
    rows.extend(answers((HOUR + 5 * MINUTE, 2 * HOUR, SECOND), 100, 3));
    let alerts = alerts(&mut engine(BOUND), rows);
    let [opened] = opened(&alerts)[..] else { panic!("{alerts:?}") };
    assert!((60.0..60.6).contains(&opened), "a twentieth of two minutes is six seconds, and chance: {opened}");
    let first = &alerts[0];
    assert_eq!((first.threshold, first.expected), (1_000_000.0, None));
    assert!(first.observed >= 1_000_000.0);
    let shown = &first.evidence["percentile"];
    assert_eq!((&shown["p"], &shown["window_seconds"], &shown["usual"]), (&json!(95.0), &json!(120), &Value::Null));
    assert_eq!(alerts.last().unwrap().state, State::Closed);
}

#[test]
fn a_few_slow_ones_are_none() {
    // One in fifty takes five seconds.
    let mut rows = answers((0, 2 * HOUR, SECOND), 100, 1);
    rows.iter_mut().step_by(50).for_each(|row| row["latency_us"] = Value::from(5 * SECOND));
    assert_eq!(opened(&alerts(&mut engine(BOUND), rows.clone())), Vec::<f64>::new());
    // One in six.
    rows.iter_mut().step_by(6).for_each(|row| row["latency_us"] = Value::from(5 * SECOND));
    assert_eq!(opened(&alerts(&mut engine(BOUND), rows)).len(), 1);
    // All of too few.
    let rows = answers((0, HOUR, 4 * SECOND), 5_000, 1);
    assert_eq!(opened(&alerts(&mut engine(BOUND), rows)), Vec::<f64>::new(), "thirty in two minutes");
}

#[test]
fn what_is_slower_than_ever_is_told_far_below_any_bound() {
    let mut rows = answers((0, 6 * HOUR, SECOND), 30, 1);
    rows.extend(answers((6 * HOUR, 6 * HOUR + 20 * MINUTE, SECOND), 300, 2));
    rows.extend(answers((6 * HOUR + 20 * MINUTE, 8 * HOUR, SECOND), 30, 3));
    let alerts = alerts(&mut engine(PAST), rows);
    let [opened] = opened(&alerts)[..] else { panic!("{alerts:?}") };
    assert!((360.0..361.5).contains(&opened), "{opened}");
    let expected = alerts[0].expected.unwrap();
    assert!((50_000.0..70_000.0).contains(&expected), "the p95 of 30 ms times e^(0.4 z) is 58 ms: {expected}");
    let closed = alerts.last().unwrap();
    assert!(closed.state == State::Closed && minute(&closed.window.end) < 390.0, "{closed:?}");
    assert!((400_000.0..700_000.0).contains(&closed.observed), "{}", closed.observed);
}

#[test]
fn twice_as_slow_is_not_three_times_and_a_slow_one_is_not_slower() {
    let mut rows = answers((0, 6 * HOUR, SECOND), 60, 1);
    rows.extend(answers((6 * HOUR, 7 * HOUR, SECOND), 120, 2));
    assert_eq!(opened(&alerts(&mut engine(PAST), rows)), Vec::<f64>::new());
    assert_eq!(opened(&alerts(&mut engine(PAST), answers((0, 8 * HOUR, SECOND), 4_000, 1))), Vec::<f64>::new());
    // In the first hour nothing is known to compare with.
    let mut rows = answers((0, HOUR / 2, SECOND), 30, 1);
    rows.extend(answers((HOUR / 2, HOUR - 10 * MINUTE, SECOND), 900, 2));
    assert_eq!(opened(&alerts(&mut engine(PAST), rows)), Vec::<f64>::new());
}

#[test]
fn a_level_that_lasts_is_the_usual_one() {
    let mut rows = answers((0, 6 * HOUR, 5 * SECOND), 60, 1);
    rows.extend(answers((6 * HOUR, 120 * HOUR, 5 * SECOND), 600, 2));
    let alerts = alerts(&mut engine(PAST), rows);
    assert_eq!(opened(&alerts).len(), 1);
    let closed = alerts.iter().find(|alert| alert.state == State::Closed).unwrap();
    let hours = minute(&closed.window.end) / 60.0;
    assert!((77.0..80.0).contains(&hours), "three days after six hours, and is known then: {hours}");
}

#[test]
fn a_late_row_counts_in_its_own_half_or_is_counted_as_too_late() {
    let late = |ms: i64, by: i64| {
        let mut rows = answers((0, 10 * MINUTE, SECOND), 100, 1);
        rows.sort_by_key(|row| row["time"].as_i64());
        // Sixty slow ones of a quarter of a minute, that come at the end.
        let slow = (0..60).map(|n| {
            let time = START + 10 * MINUTE - by + n * SECOND / 4;
            json!({ "time": time, "endpoint": "GET /v1/reports", "latency_us": ms * MS })
        });
        rows.extend(slow);
        rows.extend(answers((10 * MINUTE, 12 * MINUTE, SECOND), 100, 2));
        let mut engine = engine(BOUND);
        let alerts = push(&mut engine, rows);
        (opened(&alerts).len(), engine.stats().detectors[0].too_late)
    };
    assert_eq!(late(4_000, 4 * MINUTE), (1, 0), "of the half before the one that runs");
    assert_eq!(late(4_000, 6 * MINUTE), (0, 60));
    assert_eq!(late(100, 4 * MINUTE), (0, 0));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let error = |method: &str| parse_rule(&yaml(method), "a.yaml").unwrap_err().to_string();
    for (method, expected) in [
        (
            "{ of: latency_us, p: 95, window: 2m }",
            "a.yaml:7:23: method.percentile: expected `at_least`, `times` or both",
        ),
        (
            "{ of: latency_us, window: 2m, times: 2 }",
            "a.yaml:7:23: method.percentile.p: missing; expected a number from 50 to 99.9",
        ),
        (
            "{ of: latency_us, p: 0.95, window: 2m, times: 2 }",
            "method.percentile.p: expected a number from 50 to 99.9, found 0.95",
        ),
        (
            "{ of: endpoint, p: 95, window: 2m, times: 2 }",
            "method.percentile.of: expected a column of whole numbers; `endpoint` is not",
        ),
        (
            "{ of: latency_us, p: 95, window: 5s, times: 2 }",
            "method.percentile.window: expected an even number of seconds",
        ),
        (
            "{ of: latency_us, p: 95, window: 2m, times: 1 }",
            "method.percentile.times: expected a number from 1.1 to 1000, found 1",
        ),
        (
            "{ of: latency_us, p: 95, window: 2h, times: 2, history: 1h }",
            "method.percentile.history: expected at least as long as",
        ),
        (
            "{ of: latency_us, p: 95, window: 2m, times: 2, within: 1m }",
            "method.percentile.within: unknown key; expected one of of, p,",
        ),
    ] {
        let found = error(method);
        assert!(found.contains(expected), "{found}\n{expected}");
    }
}
