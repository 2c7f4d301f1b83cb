//! The engine through its public calls: order, lateness, episodes, bounds, restarts.

use schemas::alert::State;
use serde_json::{Value, json};

use super::*;
use crate::parse_rule;
use crate::testkit::batch_of;

/// 2026-03-01T12:00:00Z
const NOON: i64 = 1_772_366_400_000_000;
const SECOND: i64 = 1_000_000;

fn rule(id: &str, entity: &str, method: &str, more: &str) -> Arc<Rule> {
    let yaml =
        format!("id: {id}\ntitle: A test\nseverity: low\nentity: {entity}\nmethod: {method}\nnotes: none\n{more}");
    Arc::new(parse_rule(&yaml, "test.yaml").unwrap_or_else(|error| panic!("{error}\n{yaml}")))
}

fn engine(rules: &[Arc<Rule>]) -> Engine {
    Engine::new(rules.to_vec(), EngineLimits::default()).unwrap()
}

fn lane(partition: i32) -> Lane {
    Lane::new("test", partition)
}

/// An event `at` seconds after noon.
fn event(at: f64, more: Value) -> Value {
    let mut row = json!({ "time": NOON + (at * 1e6) as i64, "client_ip": "203.0.113.7" });
    row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    row
}

fn push(engine: &mut Engine, lane: &Lane, rows: &[Value]) -> Vec<bool> {
    let back = engine.push(lane, batch_of(rows).unwrap()).unwrap();
    let late = back.column_by_name("late").unwrap();
    late.as_any().downcast_ref::<arrow::array::BooleanArray>().unwrap().iter().map(Option::unwrap).collect()
}

/// All alerts of one ordered lane.
fn alerts(rules: &[Arc<Rule>], rows: &[Value]) -> Vec<Alert> {
    let mut engine = engine(rules);
    engine.open(&lane(0), 0);
    push(&mut engine, &lane(0), rows);
    let mut alerts = engine.advance().unwrap();
    alerts.extend(engine.finish().unwrap());
    alerts
}

fn brief(alerts: &[Alert]) -> Vec<String> {
    let state = |alert: &Alert| format!("{:?}", alert.state).to_lowercase();
    let at = |alert: &Alert| (parse_rfc3339(&alert.updated).unwrap() - NOON) as f64 / 1e6;
    let one =
        |a: &Alert| format!("{}s {} {} {} {} of {}", at(a), a.detector, state(a), a.entity.value, a.observed, a.events);
    alerts.iter().map(one).collect()
}

fn three_in_ten_seconds() -> Arc<Rule> {
    rule("three", "client_ip", "{ threshold: { at_least: 3, within: 10s } }", "quiet: 1m")
}

/// Eight rows of the same time, which is then what the clock of the lane says.
fn eight(at: f64) -> Vec<Value> {
    (0..8).map(|n| event(at, json!({ "client_ip": format!("192.0.2.{n}") }))).collect()
}

#[test]
fn a_row_is_late_by_its_own_lane_alone() {
    let mut engine = engine(&[]);
    engine.open(&lane(0), 5 * SECOND);
    engine.open(&lane(1), 0);
    assert_eq!(push(&mut engine, &lane(0), &eight(12.0)), [false; 8]);
    let rows: Vec<Value> = [20.0, 7.0, 6.999, 14.0].into_iter().map(|at| event(at, json!({}))).collect();
    assert_eq!(push(&mut engine, &lane(0), &rows), [false, false, true, false]);
    // The other lane is ordered: anything before its clock is late, whatever the first lane does.
    assert_eq!(push(&mut engine, &lane(1), &eight(3.0)), [false; 8]);
    let rows: Vec<Value> = [1.0, 3.0, 2.0, 4.0].into_iter().map(|at| event(at, json!({}))).collect();
    assert_eq!(push(&mut engine, &lane(1), &rows), [true, false, true, false]);
    let stats = engine.stats();
    assert_eq!((stats.events, stats.late, stats.folded, stats.held), (24, 3, 0, 24), "late rows wait as others do");
}

#[test]
fn rows_wait_until_every_live_lane_has_passed_their_time() {
    let mut engine = engine(&[]);
    engine.open(&lane(0), 0);
    engine.open(&lane(1), 2 * SECOND);
    push(&mut engine, &lane(0), &[event(1.0, json!({})), event(5.0, json!({}))]);
    push(&mut engine, &lane(0), &eight(9.0));
    engine.advance().unwrap();
    assert_eq!((engine.held_rows(), engine.laggard()), (10, Some(lane(1))), "the second lane has shown nothing yet");
    push(&mut engine, &lane(1), &eight(7.5)[..7]);
    engine.advance().unwrap();
    assert_eq!(engine.stats().folded, 0, "seven rows do not show how far it is");
    push(&mut engine, &lane(1), &eight(7.5)[..1]);
    engine.advance().unwrap();
    // Its lateness of two seconds leaves 5.5 s: the rows at 1 and 5 are folded.
    assert_eq!((engine.held_rows(), engine.stats().folded), (16, 2));
    assert_eq!(engine.stats().folded_to, Some(NOON + 5_500_000));
    engine.idle(&lane(1));
    push(&mut engine, &lane(0), &eight(9.0));
    engine.advance().unwrap();
    assert_eq!((engine.held_rows(), engine.laggard()), (16, Some(lane(0))), "only the newest rows of lane 0 wait");
    assert_eq!(push(&mut engine, &lane(1), &[event(8.9, json!({})), event(9.0, json!({}))]), [true, false]);
    engine.close(&lane(0));
    engine.close(&lane(1));
    engine.advance().unwrap();
    assert_eq!((engine.held_rows(), engine.stats().late, engine.stats().folded), (0, 1, 28));
}

#[test]
fn when_all_are_idle_everything_is_folded_and_the_last_instant_stays_open() {
    let mut engine = engine(&[three_in_ten_seconds()]);
    engine.open(&lane(0), 3 * SECOND);
    push(&mut engine, &lane(0), &[event(1.0, json!({})), event(2.0, json!({}))]);
    engine.idle(&lane(0));
    assert_eq!(brief(&engine.advance().unwrap()), [""; 0]);
    assert_eq!(engine.held_rows(), 0);
    assert_eq!(push(&mut engine, &lane(0), &[event(1.9, json!({})), event(2.0, json!({}))]), [true, false]);
    engine.idle(&lane(0));
    assert_eq!(brief(&engine.advance().unwrap()), ["2s three open 203.0.113.7 3 of 3"]);
}

#[test]
fn a_threshold_alerts_on_the_row_that_reaches_it_tells_doublings_and_closes_when_quiet() {
    let mut rows: Vec<Value> = (0..8).map(|n| event(f64::from(n), json!({ "status": 401 }))).collect();
    rows.push(event(40.0, json!({})));
    rows.push(event(200.0, json!({ "client_ip": "192.0.2.1" })));
    let told = alerts(&[three_in_ten_seconds()], &rows);
    assert_eq!(
        brief(&told),
        [
            "2s three open 203.0.113.7 3 of 3",
            "5s three updated 203.0.113.7 6 of 6",
            // A minute after the last breach at 7 s; the row at 40 s was counted and did not breach.
            "67s three closed 203.0.113.7 8 of 9",
        ]
    );
    assert!(told.iter().all(|alert| alert.id == told[0].id && alert.opened == told[0].opened));
    assert_eq!(told.iter().map(|alert| alert.revision).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(told[0].id, "44b64229fa80c086fe4fcbcc277b6d79", "ids are the same on every machine");
    assert_eq!((told[0].threshold, told[0].score, told[0].expected), (3.0, 1.0, None));
}

#[test]
fn two_events_exactly_a_window_apart_do_not_count_together() {
    let pair = rule("pair", "client_ip", "{ threshold: { at_least: 2, within: 10s } }", "");
    assert_eq!(alerts(std::slice::from_ref(&pair), &[event(0.0, json!({})), event(10.0, json!({}))]).len(), 0);
    assert_eq!(alerts(&[pair], &[event(0.0, json!({})), event(9.999, json!({}))]).len(), 1);
}

#[test]
fn distinct_counts_values_and_pairs_of_columns_and_skips_null() {
    let rules = [
        rule("paths", "client_ip", "{ distinct: { of: endpoint, at_least: 3, within: 1m } }", ""),
        rule("pairs", "client_ip+tenant", "{ distinct: { of: [endpoint, status], at_least: 3, within: 1m } }", ""),
    ];
    let rows: Vec<Value> = [("a", 200), ("b", 200), ("a", 404), ("b", 200), ("", 1), ("c", 200)]
        .into_iter()
        .enumerate()
        .map(|(n, (endpoint, status))| {
            event(n as f64, json!({ "endpoint": endpoint, "status": status, "tenant": "t" }))
        })
        .chain([event(9.0, json!({ "endpoint": "d", "status": 1 }))])
        .collect();
    let told = alerts(&rules, &rows);
    assert_eq!(
        brief(&told),
        ["2s pairs open 203.0.113.7+t 3 of 3", "5s paths open 203.0.113.7 3 of 3"],
        "an empty endpoint is none, and a row without tenant has no such entity"
    );
    assert_eq!(told[0].entity.kind, "client_ip+tenant");
    assert_eq!(told[0].evidence["entity"], json!({ "client_ip": "203.0.113.7", "tenant": "t" }));
}

#[test]
fn a_sum_counts_only_rows_with_a_value() {
    let kilobyte = rule("kb", "principal", "{ sum: { of: response_bytes, at_least: 1000, within: 1m } }", "");
    let sizes = [json!(400), json!(null), json!(599), json!(1), json!(5)];
    let rows: Vec<Value> = sizes
        .into_iter()
        .enumerate()
        .map(|(n, bytes)| event(n as f64, json!({ "principal": "ana", "response_bytes": bytes })))
        .collect();
    assert_eq!(brief(&alerts(&[kilobyte], &rows)), ["3s kb open ana 1000 of 3"]);
}

#[test]
fn a_ratio_is_decided_when_its_pane_closes() {
    let half =
        rule("half", "endpoint", "{ ratio: { of: \"status >= 500\", at_least: 0.5, min_events: 4, within: 10s } }", "");
    let statuses =
        [(0.1, 500), (0.2, 500), (0.3, 500), (1.0, 200), (1.1, 200), (1.2, 200), (1.3, 200), (1.9, 500), (3.0, 200)];
    let rows: Vec<Value> =
        statuses.into_iter().map(|(at, status)| event(at, json!({ "status": status, "endpoint": "GET /x" }))).collect();
    // After 0.3 s all three failed but three are too few; at 2 s it is four of eight.
    let told = alerts(&[half], &rows);
    assert_eq!(brief(&told), ["2s half open GET /x 0.5 of 8"]);
    assert_eq!((told[0].threshold, told[0].score), (0.5, 1.0));
}

#[test]
fn a_baseline_judges_windows_while_they_run_and_shows_its_history() {
    let method = "{ baseline: { of: count, window: 1m, warmup: 5, history: 60, min_value: 20 } }";
    let mut rows = Vec::new();
    for minute in 0..30 {
        let events = if minute == 20 { 90 } else { 10 };
        rows.extend((0..events).map(|n| event(f64::from(minute * 60) + f64::from(n) * 0.5, json!({}))));
    }
    let told = alerts(&[rule("loud", "client_ip", method, "")], &rows);
    let lines = [
        "1220s loud open 203.0.113.7 41 of 41",
        "1240.5s loud updated 203.0.113.7 82 of 82",
        "1560s loud closed 203.0.113.7 90 of 140",
    ];
    assert_eq!(brief(&told), lines);
    let expected = told[0].expected.expect("its own past");
    assert!((10.0..10.5).contains(&expected), "ten, and a little of what others do: {expected}");
    assert_eq!(told[0].window.start, rfc3339(NOON + 1200 * SECOND));
    assert_eq!(told[0].evidence["baseline"]["recent"], json!([10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0]));
    assert_eq!(told[0].evidence["baseline"]["windows"], json!(19), "the first window was only partly seen");
}

#[test]
fn a_baseline_watches_for_silence_when_asked() {
    let method = "{ baseline: { of: count, window: 1m, warmup: 5, history: 60, direction: down, min_value: 20 } }";
    let busy = |n: &i32| *n < 12_000;
    let row = |n: i32| event(f64::from(n) / 10.0, json!({}));
    let other = |n: i32| event(f64::from(n) / 10.0, json!({ "client_ip": "192.0.2.1" }));
    let both = (0..15_000).flat_map(|n| busy(&n).then(|| row(n)).into_iter().chain((n % 300 == 0).then(|| other(n))));
    let told = alerts(&[rule("silent", "client_ip", method, "")], &both.collect::<Vec<Value>>());
    assert_eq!(brief(&told)[0], "1260s silent open 203.0.113.7 0 of 0");
    // Where nobody is heard at all that is silence of the source, and no news of any client.
    let rows: Vec<Value> = (0..12_000).map(row).chain([other(15_000)]).collect();
    assert!(alerts(&[rule("silent", "client_ip", method, "")], &rows).is_empty());
}

#[test]
fn only_newcomers_count_where_that_is_asked() {
    let burst = rule(
        "new",
        "client_ip",
        "{ threshold: { at_least: 3, within: 1m } }",
        "where: status = 401\nfirst_seen_within: 1h",
    );
    let mut rows = vec![event(0.0, json!({ "status": 200 }))];
    rows.extend((0..5).map(|n| event(3601.0 + f64::from(n), json!({ "status": 401 }))));
    rows.extend((0..5).map(|n| event(3610.0 + f64::from(n), json!({ "status": 401, "client_ip": "198.51.100.9" }))));
    assert_eq!(brief(&alerts(&[burst], &rows)), ["3612s new open 198.51.100.9 3 of 3"]);
}

#[test]
fn a_name_is_proven_by_whom_the_gateway_vouches_for() {
    let any = rule("any", "client_ip", "{ threshold: { at_least: 4, within: 1m } }", "where: \"status > 0\"");
    let proven = |more: Value| {
        let rows: Vec<Value> = (0..6).map(|n| event(f64::from(n), more.clone())).collect();
        alerts(std::slice::from_ref(&any), &rows)[0].evidence["proven"].clone()
    };
    let three = json!([{ "value": "anna", "count": 3 }]);
    let with = |status: i32, more: Value| {
        let mut event = json!({ "principal": "anna", "principal_kind": "user", "status": status });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    assert_eq!(proven(with(404, json!({ "principal_source": "gateway" }))), three);
    assert_eq!(proven(with(200, json!({ "principal_source": "unproven" }))), Value::Null);
    // A token of one's own making, which a page without log-in answers like any other.
    let forged = json!({ "principal_source": "unproven", "credential": "tok:1", "auth_result": "ok" });
    assert_eq!(proven(with(200, forged)), Value::Null);
    assert_eq!(proven(with(200, json!({ "principal_kind": "consumer" }))), Value::Null);
}

#[test]
fn what_our_own_block_denied_counts_nowhere() {
    let rules = [
        rule("burst", "client_ip", "{ threshold: { at_least: 3, within: 1m } }", "quiet: 1m"),
        rule("whole", "whole", "{ threshold: { at_least: 3, within: 1m } }", "quiet: 1m"),
    ];
    let denied = |at: f64| event(at, json!({ "status": 403, "denied_by_us": true }));
    let other = |at: f64| event(at, json!({ "status": 403, "denied_by_us": null }));
    let all: Vec<Value> = (0..20).map(|n| denied(f64::from(n))).collect();
    assert_eq!(alerts(&rules, &all), []);
    // An attack is over although its denied requests go on, and is counted without them.
    let mut rows: Vec<Value> = (0..3).map(|n| other(f64::from(n))).collect();
    rows.extend((3..90).map(|n| denied(f64::from(n))));
    rows.push(event(95.0, json!({ "client_ip": "198.51.100.9" })));
    let told = alerts(&rules[..1], &rows);
    assert_eq!(brief(&told), ["2s burst open 203.0.113.7 3 of 3", "62s burst closed 203.0.113.7 3 of 3"]);
    assert_eq!(told[1].evidence["statuses"], json!([{ "value": "403", "count": 2 }]), "since it looked bad");
    // A baseline takes no flood of them for one, as it does of the same requests where nobody is blocked.
    let loud = rule("loud", "client_ip", "{ baseline: { of: count, window: 10s, warmup: 3, history: 60 } }", "");
    let flood = |ours: Value| {
        let mut rows: Vec<Value> = (0..600).map(|n| event(f64::from(n) / 2.0, json!({ "status": 200 }))).collect();
        let one = |n: i32| event(300.0 + f64::from(n) / 100.0, json!({ "status": 403, "denied_by_us": ours.clone() }));
        rows.extend((0..900).map(one));
        rows.extend((620..700).map(|n| event(f64::from(n) / 2.0, json!({ "status": 200 }))));
        alerts(std::slice::from_ref(&loud), &rows).len()
    };
    assert_eq!(flood(json!(true)), 0);
    assert!(flood(Value::Null) > 0);
}

#[test]
fn evidence_holds_what_a_person_needs() {
    let quoted = rule("q", "principal", "{ threshold: { at_least: 4, within: 1m } }", "where: \"status = 401 -- any\"");
    let rows: Vec<Value> = (0..6)
        .map(|n| {
            let more = json!({ "principal": "o'neil", "status": 401, "country": "IE", "request_id": format!("r{n}"),
                "endpoint": if n % 3 == 0 { "GET /a" } else { "GET /b" }, "offset": 100 + n, "partition": 2 });
            event(f64::from(n), more)
        })
        .collect();
    let told = alerts(&[quoted], &rows);
    let evidence = &told[0].evidence;
    assert_eq!(evidence["entity"], json!({ "principal": "o'neil" }));
    assert_eq!(evidence["endpoints"], json!([{ "value": "GET /b", "count": 2 }, { "value": "GET /a", "count": 1 }]));
    assert_eq!(evidence["statuses"], json!([{ "value": "401", "count": 3 }]));
    assert_eq!(evidence["client_ips"], json!([{ "value": "203.0.113.7", "count": 3 }]));
    assert_eq!((&evidence["principals"][0]["count"], &evidence["proven"]), (&json!(3), &Value::Null), "guessed at");
    assert_eq!((&evidence["counted"], evidence["samples"].as_array().map(Vec::len)), (&json!(3), Some(3)));
    assert_eq!(
        evidence["samples"][2],
        json!({ "time": "2026-03-01T12:00:03.000000Z", "request_id": "r3", "source": "case", "partition": 2,
            "offset": 103, "endpoint": "GET /a", "status": 401 })
    );
    let sql = evidence["sql"].as_str().unwrap();
    assert_eq!(
        sql,
        "SELECT * FROM events WHERE time >= TIMESTAMP '2026-03-01T11:59:04.000000Z' AND time <= TIMESTAMP \
         '2026-03-01T12:00:03.000000Z' AND principal = 'o''neil' AND (status = 401) ORDER BY time, \"partition\", \"offset\""
    );
    // The condition means the same rows to SQL as to the engine.
    let condition = sql.split_once("WHERE ").unwrap().1.split_once(" ORDER").unwrap().0;
    let shown = crate::Predicate::compile(condition).unwrap().matches(&batch_of(&rows).unwrap()).0;
    assert_eq!(shown.set_indices().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn alerts_come_in_one_order() {
    let rules = [
        rule("b", "client_ip", "{ threshold: { at_least: 1, within: 1s } }", "quiet: 5s"),
        rule("a", "client_ip", "{ threshold: { at_least: 1, within: 1s } }", "quiet: 5s"),
    ];
    let ips = ["192.0.2.9", "192.0.2.10", "192.0.2.9"];
    let mut rows: Vec<Value> = ips.into_iter().map(|ip| event(1.0, json!({ "client_ip": ip }))).collect();
    rows.push(event(6.0, json!({ "client_ip": "192.0.2.1" })));
    assert_eq!(
        brief(&alerts(&rules, &rows)),
        [
            "1s a open 192.0.2.10 1 of 1",
            "1s a open 192.0.2.9 1 of 1",
            "1s a updated 192.0.2.9 2 of 2",
            "1s b open 192.0.2.10 1 of 1",
            "1s b open 192.0.2.9 1 of 1",
            "1s b updated 192.0.2.9 2 of 2",
            // What is due at six seconds comes before the row of that time.
            "6s a closed 192.0.2.10 1 of 1",
            "6s a closed 192.0.2.9 2 of 2",
            "6s b closed 192.0.2.10 1 of 1",
            "6s b closed 192.0.2.9 2 of 2",
            "6s a open 192.0.2.1 1 of 1",
            "6s b open 192.0.2.1 1 of 1",
        ]
    );
}

#[test]
fn a_flood_of_new_entities_cannot_evict_one_that_looks_bad() {
    let limits = EngineLimits { entities_per_detector: 1_000, ..EngineLimits::default() };
    let slow = rule("slow", "client_ip", "{ threshold: { at_least: 10, within: 1h } }", "");
    let mut engine = Engine::new(vec![slow], limits).unwrap();
    engine.open(&lane(0), 0);
    let bad: Vec<Value> = (0..6).map(|n| event(f64::from(n), json!({}))).collect();
    push(&mut engine, &lane(0), &bad);
    let mut told = Vec::new();
    for batch in 0..10 {
        let flood: Vec<Value> = (0..10_000)
            .map(|n| {
                event(10.0 + f64::from(batch), json!({ "client_ip": format!("10.{batch}.{}.{}", n >> 8, n & 255) }))
            })
            .collect();
        push(&mut engine, &lane(0), &flood);
        told.extend(engine.advance().unwrap());
    }
    let more: Vec<Value> = (0..4).map(|n| event(30.0 + f64::from(n), json!({}))).collect();
    push(&mut engine, &lane(0), &more);
    told.extend(engine.finish().unwrap());
    assert_eq!(brief(&told), ["33s slow open 203.0.113.7 10 of 10"]);
    let stats = &engine.stats().detectors[0];
    assert_eq!(stats.entities as u64 + stats.evicted, 100_001);
}

#[test]
fn a_snapshot_restores_to_itself_and_what_was_cut_or_changed_is_refused() {
    let rules = [
        three_in_ten_seconds(),
        rule("loud", "client_ip", "{ baseline: { of: count, window: 1m } }", ""),
        rule("new", "client_ip", "{ threshold: { at_least: 3, within: 1m } }", "first_seen_within: 1h"),
    ];
    let mut engine = engine(&rules);
    engine.open(&lane(0), SECOND);
    engine.open(&lane(1), 0);
    let rows: Vec<Value> = (0..300).map(|n| event(f64::from(n), json!({ "request_id": format!("r{n}") }))).collect();
    push(&mut engine, &lane(0), &rows);
    push(&mut engine, &lane(1), &rows[..200]);
    engine.advance().unwrap();
    let bytes = engine.snapshot();
    assert_eq!(engine.snapshot(), bytes);
    let again = Engine::restore(rules.to_vec(), EngineLimits::default(), &bytes).unwrap();
    assert_eq!((again.snapshot() == bytes, again.stats(), again.notes()), (true, engine.stats(), &[][..]));
    for at in [0, 7, 8, 20, 24, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(Engine::restore(rules.to_vec(), EngineLimits::default(), &changed).is_err(), "byte {at} changed");
        assert!(Engine::restore(rules.to_vec(), EngineLimits::default(), &bytes[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn state_of_a_changed_or_removed_detector_is_dropped_and_said() {
    let keep = three_in_ten_seconds();
    let gone = rule("gone", "client_ip", "{ threshold: { at_least: 9, within: 10s } }", "");
    let before = rule("changed", "client_ip", "{ threshold: { at_least: 9, within: 10s } }", "");
    let after = rule("changed", "client_ip", "{ threshold: { at_least: 8, within: 10s } }", "");
    let mut first = engine(&[keep.clone(), gone, before]);
    first.open(&lane(0), 0);
    push(&mut first, &lane(0), &[event(1.0, json!({})), event(2.0, json!({})), event(3.0, json!({}))]);
    first.advance().unwrap();
    let retitled = Arc::new(Rule { title: "Another title".into(), ..(*keep).clone() });
    let fresh = rule("fresh", "client_ip", "{ threshold: { at_least: 9, within: 10s } }", "");
    let mut second = Engine::restore(vec![retitled, after, fresh], EngineLimits::default(), &first.snapshot()).unwrap();
    assert_eq!(
        second.notes(),
        [
            "state of detector changed dropped: what it counts has changed",
            "state of detector gone dropped: the detector is gone",
            "detector fresh is new and starts without a past",
        ]
    );
    assert_eq!(["changed", "gone", "fresh", "three"].map(|id| second.was_emptied(id)), [true, true, false, false]);
    assert_eq!(brief(&second.finish().unwrap()), ["3s three open 203.0.113.7 3 of 3"]);
}

#[test]
fn what_the_engine_refuses_it_names() {
    let double = Engine::new(vec![three_in_ten_seconds(), three_in_ten_seconds()], EngineLimits::default());
    assert_eq!(double.err().unwrap().to_string(), "two detectors have the id `three`");
    let mut engine = engine(&[]);
    let rows = batch_of(&[event(0.0, json!({}))]).unwrap();
    assert_eq!(engine.push(&lane(3), rows.clone()).unwrap_err().to_string(), "lane test/3 was not opened");
    engine.open(&lane(3), 0);
    let without = rows.project(&[0, 1, 2]).unwrap();
    let error = engine.push(&lane(3), without).unwrap_err().to_string();
    assert_eq!(error, "a batch does not have the event schema: column `gateway`");
}

#[test]
fn explain_names_the_detectors_whose_condition_a_row_meets() {
    let rules = [
        rule("refused", "client_ip", "{ threshold: { at_least: 9, within: 10s } }", "where: status = 401"),
        rule("any", "client_ip", "{ threshold: { at_least: 9, within: 10s } }", ""),
    ];
    let rows = batch_of(&[event(0.0, json!({ "status": 401 })), event(1.0, json!({}))]).unwrap();
    assert_eq!(engine(&rules).matched(&rows).unwrap(), [vec!["any", "refused"], vec!["any"]]);
}

#[test]
fn an_open_episode_survives_a_restart_and_closes() {
    let rules = [three_in_ten_seconds()];
    let mut engine = engine(&rules);
    engine.open(&lane(0), 0);
    push(
        &mut engine,
        &lane(0),
        &[event(1.0, json!({})), event(2.0, json!({})), event(3.0, json!({})), event(4.0, json!({}))],
    );
    (0..2).for_each(|_| _ = push(&mut engine, &lane(0), &eight(9.0)));
    let opened = engine.advance().unwrap();
    assert_eq!((opened.len(), opened[0].state), (1, State::Open));
    let mut engine = Engine::restore(rules.to_vec(), EngineLimits::default(), &engine.snapshot()).unwrap();
    assert_eq!(engine.stats().detectors[0].open, 1);
    push(&mut engine, &lane(0), &eight(100.0));
    let told = engine.finish().unwrap();
    assert_eq!(brief(&told), ["64s three closed 203.0.113.7 4 of 4"]);
    assert_eq!(told[0].id, opened[0].id);
}

#[test]
fn many_small_batches_wait_as_few() {
    let mut engine = engine(&[three_in_ten_seconds()]);
    engine.open(&lane(0), 0);
    engine.open(&lane(1), 0);
    for n in 0..500 {
        push(&mut engine, &lane(0), &[event(f64::from(n), json!({ "endpoint": format!("GET /{n}") }))]);
    }
    assert_eq!(engine.held_rows(), 500);
    assert!(engine.order.held.len() <= 65, "{} batches are held", engine.order.held.len());
    engine.close(&lane(1));
    assert_eq!(brief(&engine.advance().unwrap())[0], "2s three open 203.0.113.7 3 of 3");
}

#[test]
fn many_lanes_are_joined_when_there_is_something_to_join() {
    const LANES: i32 = 200;
    let mut engine = engine(&[]);
    (0..=LANES).for_each(|n| engine.open(&lane(n), 0));
    let round = |engine: &mut Engine, second: i32| {
        (0..LANES).for_each(|n| _ = push(engine, &lane(n), &[event(f64::from(second), json!({}))]));
    };
    round(&mut engine, 1);
    let computed = std::cell::Cell::new(0);
    let plan = &engine.plan;
    let compute = |events: &RecordBatch| {
        computed.set(computed.get() + 1);
        Ok(plan.compute(events)?.0)
    };
    engine.order.join_small(compute).unwrap();
    assert_eq!((computed.get(), engine.order.held.len()), (0, 200), "each lane has one batch");
    (2..40).for_each(|second| round(&mut engine, second));
    assert!(engine.order.held.len() <= 2 * LANES as usize + 1, "{}", engine.order.held.len());
    assert_eq!(engine.stats().held, 39 * LANES as usize);
}

#[test]
fn an_unproven_address_is_an_entity_of_its_own() {
    let rules = [three_in_ten_seconds()];
    let unproven = || json!({ "client_ip_source": "unproven" });
    let proven = || json!({ "client_ip_source": "peer" });
    // Two of each: neither reaches three, however alike the addresses are.
    let mixed = [event(0.0, unproven()), event(1.0, proven()), event(2.0, unproven()), event(3.0, json!({}))];
    assert_eq!(brief(&alerts(&rules, &mixed)), Vec::<String>::new());

    let both: Vec<Value> =
        (0..6).map(|n| event(f64::from(n), if n % 2 == 0 { unproven() } else { proven() })).collect();
    let alerts = alerts(&rules, &both);
    let opened: Vec<&Alert> = alerts.iter().filter(|alert| alert.state == State::Open).collect();
    assert_eq!(opened.len(), 2);
    let source = |alert: &Alert| alert.evidence["client_ip_source"].clone();
    let sql = |alert: &Alert| alert.evidence["sql"].as_str().unwrap().contains("client_ip_source = 'unproven'");
    assert_eq!((source(opened[0]), sql(opened[0])), (json!("unproven"), true));
    assert_eq!((source(opened[1]), sql(opened[1])), (Value::Null, false));
    assert!(opened.iter().all(|alert| (&*alert.entity.kind, &*alert.entity.value) == ("client_ip", "203.0.113.7")));
    assert_ne!(opened[0].id, opened[1].id);
}
