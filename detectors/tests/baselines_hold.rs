//! Baselines through the engine: told while the attack goes on, open until it is over, the next one found; silence teaches nothing,
//! and the first hour is free for nobody.

use std::sync::Arc;

use detectors::engine::parse_rfc3339;
use detectors::testkit::batch_of;
use detectors::{Engine, EngineLimits, Rule, parse_rule};
use schemas::alert::State;
use schemas::{Alert, Lane};
use serde_json::{Value, json};

const START: i64 = 1_772_323_200_000_000;
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const COUNT: &str = "{ baseline: { of: count, window: 10m, history: 7d, floor: 1, min_change: 1.0 } }";

/// `entity` may be followed by lines of its own: a `where`, say.
fn rules(method: &str, entity: &str) -> Vec<Arc<Rule>> {
    let yaml = format!("id: usual\ntitle: A test\nseverity: low\nentity: {entity}\nnotes: none\nmethod: {method}\n");
    vec![Arc::new(parse_rule(&yaml, "usual").expect("a rule"))]
}

fn engine(method: &str, entity: &str) -> Engine {
    Engine::new(rules(method, entity), EngineLimits::default()).expect("an engine")
}

fn row(at: i64, client_ip: &str, status: i32, bytes: i64) -> Value {
    json!({ "time": START + at, "client_ip": client_ip, "status": status, "response_bytes": bytes })
}

/// `many` requests evenly over `length` from `from` on.
fn spread(from: i64, length: i64, many: i64, client_ip: &str, bytes: i64) -> impl Iterator<Item = Value> {
    (0..many).map(move |n| row(from + length * n / many, client_ip, 200, bytes))
}

fn alerts(engine: &mut Engine, rows: Vec<Value>) -> Vec<Alert> {
    alerts_of(engine, rows, 8192, |_| None)
}

/// In batches of so many rows; before each, another engine may take over.
fn alerts_of(
    engine: &mut Engine,
    mut rows: Vec<Value>,
    size: usize,
    mut taken_over: impl FnMut(&Engine) -> Option<Engine>,
) -> Vec<Alert> {
    let lane = Lane::new("test", 0);
    engine.open(&lane, 0);
    rows.sort_by_key(|row| row["time"].as_i64());
    rows.iter_mut().enumerate().for_each(|(n, row)| row["offset"] = n.into());
    let mut alerts = Vec::new();
    for rows in rows.chunks(size) {
        if let Some(next) = taken_over(engine) {
            *engine = next;
        }
        engine.push(&lane, batch_of(rows).expect("rows")).expect("pushed");
        alerts.extend(engine.advance().expect("advanced"));
    }
    alerts.extend(engine.finish().expect("finished"));
    alerts
}

/// What is told, by when it was decided, and of whom: (microseconds after the start, entity, state, observed).
fn told(engine: &mut Engine, rows: Vec<Value>) -> Vec<(i64, String, State, f64)> {
    let alerts = alerts(engine, rows);
    let at = |text: &str| parse_rfc3339(text).expect("a time") - START;
    alerts.iter().map(|alert| (at(&alert.updated), alert.entity.value.clone(), alert.state, alert.observed)).collect()
}

fn states(told: &[(i64, String, State, f64)]) -> Vec<(State, i64)> {
    told.iter().filter(|(_, _, state, _)| *state != State::Updated).map(|(at, _, state, _)| (*state, *at)).collect()
}

#[test]
fn a_flood_is_told_on_the_request_that_shows_it() {
    let mut rows: Vec<Value> = spread(0, DAY, 144 * 30, "192.0.2.1", 0).collect();
    rows.extend(spread(DAY, 10 * MINUTE, 6_000, "192.0.2.1", 0));
    let told = told(&mut engine(COUNT, "client_ip"), rows);
    let (at, _, state, observed) = &told[0];
    assert_eq!(*state, State::Open);
    assert!((DAY..DAY + 20 * SECOND).contains(at), "ten requests a second are told after {} s", (at - DAY) / SECOND);
    assert!((60.0..200.0).contains(observed), "{observed}");
}

#[test]
fn an_alert_is_open_until_it_is_over_and_the_next_one_is_found() {
    let share = "{ baseline: { of: 'ratio(\"status >= 500\")', window: 5m, history: 7d, warmup: 12, min_change: 1.0, min_events: 40 } }";
    let mut rows = Vec::new();
    // Of 200 requests in each window two fail; for two hours half do, a quarter of an hour is good, and again an hour.
    for window in 0..40 * 12 {
        let from = window * 5 * MINUTE;
        let bad = (24 * 12..26 * 12).contains(&window) || (26 * 12 + 3..27 * 12 + 3).contains(&window);
        for n in 0..200 {
            let failed = if bad { n % 2 == 0 } else { n % 100 == 0 };
            rows.push(row(from + n * 1_500_000, "192.0.2.1", if failed { 502 } else { 200 }, 0));
        }
    }
    let states = states(&told(&mut engine(share, "whole"), rows));
    assert_eq!(states.iter().map(|(state, _)| *state).collect::<Vec<_>>(), [State::Open, State::Closed].repeat(2));
    assert!(
        states[0].1 - 24 * HOUR < 2 * MINUTE,
        "half of all is told within {} s",
        (states[0].1 - 24 * HOUR) / SECOND
    );
    assert!(states[1].1 >= 26 * HOUR, "open as long as it lasts");
    assert!((26 * HOUR + 15 * MINUTE..26 * HOUR + 17 * MINUTE).contains(&states[2].1), "{states:?}");
    assert!(states[3].1 >= 27 * HOUR + 15 * MINUTE);
}

#[test]
fn two_hours_without_a_single_record_make_nobody_alert() {
    let mut rows = Vec::new();
    for client in 0..10 {
        let client_ip = format!("192.0.2.{client}");
        for window in (0..300).filter(|window| !(200..212).contains(window)) {
            rows.extend(spread(window * 10 * MINUTE, 10 * MINUTE, 20 + 5 * ((client + window) % 5), &client_ip, 0));
        }
    }
    assert_eq!(told(&mut engine(COUNT, "client_ip"), rows), []);
}

/// Ten failures every two hours for two days, then four hundred: what is expected of them.
fn expected_failures(others: bool) -> f64 {
    let mut engine = engine(COUNT, "client_ip\nwhere: status = 401");
    let failures = |from: i64, many: i64| (0..many).map(move |n| row(from + n * SECOND, "192.0.2.1", 401, 0));
    let mut rows: Vec<Value> = (0..24).flat_map(|visit| failures(visit * 2 * HOUR, 10)).collect();
    rows.extend(failures(2 * DAY, 400));
    if others {
        rows.extend(spread(0, 2 * DAY, 2 * 144, "192.0.2.2", 0));
    }
    let alerts = alerts(&mut engine, rows);
    assert_eq!(alerts.iter().filter(|alert| alert.state == State::Open).count(), 1, "{others}");
    alerts[0].expected.expect("a baseline says what it expects")
}

#[test]
fn a_window_in_which_others_are_heard_is_a_zero_and_one_without_any_record_is_nothing() {
    let (zeros, silence) = (expected_failures(true), expected_failures(false));
    assert!(zeros < 0.6 * silence, "{zeros} where others were heard between, {silence} where nobody was");
}

#[test]
fn silence_is_told_of_the_whole_and_of_nobody_in_it() {
    let both = "{ baseline: { of: count, window: 10m, history: 7d, direction: both, min_change: 0.5 } }";
    let mut rows = Vec::new();
    for client in 0..10 {
        let client_ip = format!("192.0.2.{client}");
        for window in (0..300).filter(|window| !(200..212).contains(window)) {
            rows.extend(spread(window * 10 * MINUTE, 10 * MINUTE, 20 + (client + window) % 5, &client_ip, 0));
        }
    }
    assert_eq!(told(&mut engine(both, "client_ip"), rows.clone()), []);
    let whole = states(&told(&mut engine(both, "whole"), rows));
    let (opened, closed) = (201 * 10 * MINUTE, 212 * 10 * MINUTE);
    assert!(
        matches!(whole[..], [(State::Open, at), (State::Closed, over)] if at == opened && over > closed),
        "{whole:?}"
    );
}

#[test]
fn the_first_hour_is_free_for_nobody() {
    let mut rows: Vec<Value> = Vec::new();
    for client in 1..40 {
        rows.extend(spread(0, HOUR, 6 * client, &format!("192.0.2.{client}"), 0));
    }
    rows.extend(spread(25 * MINUTE, 5 * MINUTE, 3_000, "198.51.100.9", 0));
    let told = told(&mut engine(COUNT, "client_ip"), rows);
    let opened: Vec<&str> =
        told.iter().filter(|(_, _, state, _)| *state == State::Open).map(|(_, entity, ..)| entity.as_str()).collect();
    assert_eq!(opened, ["198.51.100.9"]);
    assert!(told[0].0 < 30 * MINUTE, "told while it goes on");
}

/// Sixty requests in ten minutes in office hours, for three weeks and a half from a Sunday on; at night there is one other. Then an
/// attack at three in the morning, whose time is returned.
fn office_by_night() -> (i64, Vec<Value>) {
    let attack = 24 * DAY + 3 * HOUR;
    let mut rows: Vec<Value> = spread(0, attack + HOUR, 24 * 144, "192.0.2.2", 0).collect();
    for day in (0..24).filter(|day| (1..=5).contains(&(day % 7))) {
        rows.extend(spread(day * DAY + 8 * HOUR, 10 * HOUR, 3_600, "192.0.2.1", 0));
    }
    rows.extend(spread(attack, 10 * MINUTE, 2_500, "192.0.2.1", 0));
    (attack, rows)
}

#[test]
fn an_attack_at_three_in_the_morning_is_held_against_the_night() {
    let (attack, rows) = office_by_night();
    let alerts = alerts(&mut engine(COUNT, "client_ip"), rows);
    let since = |text: &str| parse_rfc3339(text).expect("a time") - START - attack;
    let told = alerts.iter().find(|alert| alert.state == State::Open && since(&alert.opened) >= 0).expect("told");
    // While it runs: what was quiet since the evening is known before its first row is judged.
    assert!(since(&told.opened) <= 6 * MINUTE, "{} s", since(&told.opened) / SECOND);
    assert!(told.expected.is_some_and(|expected| (5.0..20.0).contains(&expected)), "{:?}", told.expected);
}

#[test]
fn what_hours_of_the_week_say_depends_on_no_cut_and_no_restart() {
    let (_, rows) = office_by_night();
    let new = || engine(COUNT, "client_ip");
    let whole = alerts(&mut new(), rows.clone());
    assert!(whole.iter().any(|alert| alert.state == State::Open));
    for size in [97, 1_000, 40_000] {
        assert_eq!(alerts_of(&mut new(), rows.clone(), size, |_| None), whole, "{size} at a time");
    }
    let restored = |engine: &Engine| {
        let rules = rules(COUNT, "client_ip");
        Some(Engine::restore(rules, EngineLimits::default(), &engine.snapshot()).expect("restored"))
    };
    assert_eq!(alerts_of(&mut new(), rows, 5_003, restored), whole, "restored before each batch");
}

#[test]
fn an_export_is_told_of_whoever_has_no_past_and_of_whoever_takes_five_times_as_much() {
    let bytes = "{ baseline: { of: sum(response_bytes), window: 10m, history: 7d, floor: 50000, min_change: 1.0 } }";
    let mut rows: Vec<Value> = Vec::new();
    for client in 1..20 {
        rows.extend(spread(0, 2 * DAY + 8 * HOUR, 336 * 4, &format!("192.0.2.{client}"), 100_000));
    }
    // 800 MB in ten minutes by somebody who is new in the first hour.
    rows.extend((0..80).map(|n| row(20 * MINUTE + n * 5 * SECOND, "198.51.100.9", 200, 10_000_000)));
    // Five times what is usual, by somebody well known.
    rows.extend((0..8 * 6 * 16).map(|n| row(2 * DAY + n * 37 * SECOND, "192.0.2.7", 200, 100_000)));
    let told = told(&mut engine(bytes, "client_ip"), rows);
    let opened: Vec<&str> =
        told.iter().filter(|(_, _, state, _)| *state == State::Open).map(|(_, entity, ..)| entity.as_str()).collect();
    assert_eq!(opened, ["198.51.100.9", "192.0.2.7"]);
}
