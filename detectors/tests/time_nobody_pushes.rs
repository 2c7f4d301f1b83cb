//! Promise: no row moves the time of the others on. With clocks that are wrong, deliveries that are slow, backlogs and
//! partitions that are idle, bursty or away, detection finds the attacks that it finds when every row comes in order.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::BTreeSet;
use std::sync::Arc;

use detectors::testkit::{Chance, batch_of};
use detectors::{Engine, EngineLimits, EngineStats, Rule, parse_rule};
use proptest::prelude::*;
use schemas::alert::State;
use schemas::{Alert, Lane};
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const START: i64 = 1_772_366_400_000_000;
/// What the service has by default.
const LATENESS: i64 = 2 * SECOND;
const BATCH: usize = 500;

/// One row: when it happened, what its gateway says, when it arrives.
#[derive(Clone)]
struct Row {
    happened: i64,
    time: i64,
    arrives: i64,
    node: u64,
    columns: Value,
}

fn rules() -> Vec<Arc<Rule>> {
    let texts = [
        ("guessing", "client_ip", "where: status = 401", "{ threshold: { at_least: 20, within: 1m } }"),
        ("sweep", "client_ip", "", "{ distinct: { of: endpoint, at_least: 25, within: 1m } }"),
        ("hoard", "principal", "", "{ sum: { of: response_bytes, at_least: 15000000, within: 1m } }"),
        ("outage", "endpoint", "", "{ ratio: { of: \"status >= 500\", at_least: 0.5, min_events: 20, within: 1m } }"),
    ];
    let rule = |(id, entity, filter, method): (&str, &str, &str, &str)| {
        let head = format!("id: {id}\ntitle: A test\nseverity: low\nnotes: For a test.\nentity: {entity}\n");
        Arc::new(parse_rule(&format!("{head}{filter}\nmethod: {method}\nquiet: 5m\n"), id).unwrap())
    };
    texts.into_iter().map(rule).collect()
}

/// `seconds` of ordinary traffic of four nodes, so many rows a second, and one attack of each kind at these times.
fn traffic(seed: u64, seconds: i64, per_second: i64, attacks: [i64; 4]) -> Vec<Row> {
    let mut chance = Chance::new(seed);
    let mut rows = Vec::new();
    let mut row = |chance: &mut Chance, at: i64, columns: Value| {
        // No two rows happen at once.
        let happened = START + at + chance.below(1000) as i64;
        rows.push(Row { happened, time: happened, arrives: happened, node: chance.below(4), columns });
    };
    for n in 0..seconds * per_second {
        let endpoint = if chance.below(20) == 0 { "GET /pay".to_owned() } else { format!("GET /{}", chance.below(4)) };
        let client = format!("192.0.2.{}", chance.below(200));
        // The attackers are customers, too.
        let client = if chance.below(50) == 0 { format!("203.0.113.{}", 1 + chance.below(2)) } else { client };
        let columns = json!({ "client_ip": client, "endpoint": endpoint, "status": 200, "response_bytes": 900,
            "principal": format!("user-{}", chance.below(90)) });
        row(&mut chance, n * SECOND / per_second, columns);
    }
    let [guessing, sweep, hoard, outage] = attacks;
    for n in 0..30 {
        row(
            &mut chance,
            guessing + n * SECOND * 5 / 6,
            json!({ "client_ip": "203.0.113.1", "endpoint": "POST /login", "status": 401 }),
        );
        row(
            &mut chance,
            hoard + n * SECOND,
            json!({ "client_ip": "192.0.2.9", "principal": "mallory", "endpoint": "GET /1", "status": 200,
            "response_bytes": 800_000 }),
        );
    }
    for n in 0..40 {
        row(
            &mut chance,
            sweep + n * SECOND,
            json!({ "client_ip": "203.0.113.2", "endpoint": format!("GET /hidden/{n}"), "status": 404 }),
        );
    }
    for n in 0..120 {
        let status = if n % 6 == 0 { 200 } else { 503 };
        row(
            &mut chance,
            outage + n * SECOND / 4,
            json!({ "client_ip": "192.0.2.77", "endpoint": "GET /pay", "status": status }),
        );
    }
    rows.sort_by_key(|row| row.happened);
    rows
}

fn half_an_hour(seed: u64) -> Vec<Row> {
    traffic(seed, 1800, 10, [5 * MINUTE, 11 * MINUTE, 17 * MINUTE, 23 * MINUTE])
}

fn lane(partition: usize) -> Lane {
    Lane::new("s", partition as i32)
}

/// Where a file is read long after it was written: the engine learns nothing from when rows arrive.
const LONG_AFTER: i64 = 30 * 86_400 * SECOND;

fn batch(partition: usize, from: usize, rows: &[Row], read_later: i64) -> arrow::array::RecordBatch {
    let one = |(n, row): (usize, &Row)| {
        let mut columns = row.columns.clone();
        columns["time"] = row.time.into();
        columns["observed_time"] = (row.arrives + read_later).into();
        columns["source"] = "s".into();
        columns["partition"] = partition.into();
        columns["offset"] = (from + n).into();
        columns
    };
    batch_of(&rows.iter().enumerate().map(one).collect::<Vec<Value>>()).unwrap()
}

fn started(partitions: usize, lateness: i64) -> Engine {
    let mut engine = Engine::new(rules(), EngineLimits::default()).unwrap();
    (0..partitions).for_each(|partition| engine.open(&lane(partition), lateness));
    engine
}

/// Everything through one partition, in the order of arrival.
fn judged(rows: &[Row], lateness: i64, read_later: i64) -> (Vec<Alert>, EngineStats) {
    let mut engine = started(1, lateness);
    let mut told = Vec::new();
    for (at, rows) in rows.chunks(BATCH).enumerate() {
        engine.push(&lane(0), batch(0, at * BATCH, rows, read_later)).unwrap();
        told.extend(engine.advance().unwrap());
    }
    told.extend(engine.finish().unwrap());
    (told, engine.stats())
}

fn found(alerts: &[Alert]) -> BTreeSet<(String, String)> {
    let opened = alerts.iter().filter(|alert| alert.state == State::Open);
    opened.map(|alert| (alert.detector.clone(), alert.entity.value.clone())).collect()
}

fn planted() -> BTreeSet<(String, String)> {
    let all = [("guessing", "203.0.113.1"), ("sweep", "203.0.113.2"), ("hoard", "mallory"), ("outage", "GET /pay")];
    all.into_iter().map(|(detector, entity)| (detector.to_owned(), entity.to_owned())).collect()
}

/// In order of arrival, as a partition has them.
fn arriving(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| row.arrives);
    rows
}

#[test]
fn on_tidy_input_exactly_the_planted_attacks_are_found() {
    for seed in 0..4 {
        let (alerts, stats) = judged(&half_an_hour(seed), LATENESS, 0);
        assert_eq!((found(&alerts), stats.late, stats.ahead), (planted(), 0, 0), "seed {seed}");
    }
}

#[test]
fn one_node_of_four_may_be_ahead() {
    for (ahead, read_later) in [(3, 0), (60, 0), (600, 0), (3, LONG_AFTER), (60, LONG_AFTER), (600, LONG_AFTER)] {
        let mut rows = half_an_hour(1);
        rows.iter_mut().filter(|row| row.node == 3).for_each(|row| row.time += ahead * SECOND);
        let (alerts, stats) = judged(&rows, LATENESS, read_later);
        let what = format!("{ahead} s ahead, read {} s later", read_later / SECOND);
        assert_eq!((found(&alerts), stats.late), (planted(), 0), "{what}");
        let of_node = rows.iter().filter(|row| row.node == 3).count() as u64;
        let expected = if ahead == 3 { 0..=0 } else { of_node - 200..=of_node };
        assert!(expected.contains(&stats.ahead), "{what}: {} of {of_node} are ahead", stats.ahead);
    }
}

#[test]
fn one_line_of_2099_does_nothing() {
    let far = 4_083_000_000_000_000;
    let rows = half_an_hour(2);
    for read_later in [0, LONG_AFTER] {
        for at in [0, 3, 200, rows.len() / 2, rows.len() - 1] {
            let mut rows = rows.clone();
            rows[at].time = far;
            let (alerts, stats) = judged(&rows, LATENESS, read_later);
            assert_eq!((found(&alerts), stats.late, stats.ahead), (planted(), 0, 1), "line {at} of {}", rows.len());
            assert!(stats.folded_to < Some(START + LONG_AFTER + 86_400 * SECOND), "the next run goes on");
        }
    }
}

#[test]
fn one_line_in_500_ten_minutes_ahead_does_nothing() {
    for read_later in [0, LONG_AFTER] {
        let mut rows = half_an_hour(3);
        let count = rows.len() as u64;
        rows.iter_mut().step_by(500).for_each(|row| row.time += 10 * MINUTE);
        let (alerts, stats) = judged(&rows, LATENESS, read_later);
        assert_eq!((found(&alerts), stats.late, stats.ahead), (planted(), 0, count.div_ceil(500)));
    }
}

#[test]
fn deliveries_may_take_five_seconds_on_average_at_the_default_lateness() {
    for seed in 0..4 {
        let mut chance = Chance::new(seed);
        let mut rows = half_an_hour(seed);
        rows.iter_mut().for_each(|row| row.arrives += chance.exponential(5.0 * SECOND as f64) as i64);
        let (alerts, stats) = judged(&arriving(rows), LATENESS, 0);
        assert_eq!((found(&alerts), stats.ahead), (planted(), 0), "seed {seed}");
        assert!(stats.late > 0, "the story is one of late rows");
        let too_late: u64 = stats.detectors.iter().map(|detector| detector.too_late).sum();
        assert_eq!(too_late, 0, "seed {seed}");
    }
}

#[test]
fn a_backlog_of_two_hours_ten_minutes_after_the_live_stream_resumed_is_judged() {
    // From 20 minutes to 2 h 20 min nothing is delivered; the attacks are in there.
    let (from, to) = (20 * MINUTE, 140 * MINUTE);
    let attacks = [31 * MINUTE, 62 * MINUTE, 93 * MINUTE, 125 * MINUTE];
    let mut rows = traffic(5, 160 * 60, 3, attacks);
    let mut backlog = 0;
    for row in rows.iter_mut().filter(|row| (START + from..START + to).contains(&row.happened)) {
        // A hundred a second, beside the live stream.
        row.arrives = START + to + 10 * MINUTE + backlog * SECOND / 100;
        backlog += 1;
    }
    let rows = arriving(rows);
    for read_later in [0, LONG_AFTER] {
        let (alerts, stats) = judged(&rows, LATENESS, read_later);
        assert_eq!(found(&alerts), planted());
        assert_eq!((stats.late, stats.ahead), (backlog as u64, 0), "the backlog is late, and nothing else");
        for alert in alerts.iter().filter(|alert| alert.state == State::Open) {
            let attack = START
                + attacks
                    [["guessing", "sweep", "hoard", "outage"].iter().position(|id| *id == alert.detector).unwrap()];
            let start = detectors::engine::parse_rfc3339(&alert.window.start).unwrap();
            assert!(
                (start - attack).abs() < 2 * MINUTE,
                "{} tells the window it was in: {:?}",
                alert.detector,
                alert.window
            );
        }
    }
}

/// Three partitions, each with its rows in the order they arrive; the engine gets them as they arrive.
fn in_partitions(rows: Vec<Row>, mut before: impl FnMut(&mut Engine, i64)) -> (Vec<Alert>, EngineStats) {
    let mut engine = started(3, LATENESS);
    let (mut told, mut offsets) = (Vec::new(), [0; 3]);
    let rows = arriving(rows);
    for rows in rows.chunk_by(|a, b| a.arrives / SECOND == b.arrives / SECOND && a.node % 3 == b.node % 3) {
        let partition = (rows[0].node % 3) as usize;
        before(&mut engine, rows[0].arrives);
        engine.push(&lane(partition), batch(partition, offsets[partition], rows, 0)).unwrap();
        offsets[partition] += rows.len();
        told.extend(engine.advance().unwrap());
    }
    told.extend(engine.finish().unwrap());
    (told, engine.stats())
}

#[test]
fn partitions_may_be_bursty_or_away_and_the_others_wait() {
    let tidy = in_partitions(half_an_hour(6), |_, _| {});
    assert_eq!((found(&tidy.0), tidy.1.late), (planted(), 0));
    let mut rows = half_an_hour(6);
    for row in &mut rows {
        match row.node % 3 {
            1 => row.arrives += MINUTE - row.happened % MINUTE,
            2 if (10 * MINUTE..20 * MINUTE).contains(&(row.happened - START)) => row.arrives = START + 20 * MINUTE,
            _ => {}
        }
    }
    let untidy = in_partitions(rows, |_, _| {});
    assert_eq!(untidy, tidy, "byte for byte");
}

#[test]
fn a_partition_that_comes_back_after_the_others_went_on_is_judged() {
    let mut rows = traffic(7, 1800, 10, [13 * MINUTE, 5 * MINUTE, 7 * MINUTE, 23 * MINUTE]);
    // One of the attacks is seen by nobody else.
    rows.iter_mut().filter(|row| row.columns["endpoint"] == "POST /login").for_each(|row| row.node = 2);
    for row in rows.iter_mut().filter(|row| row.node % 3 == 2) {
        if (10 * MINUTE..20 * MINUTE).contains(&(row.happened - START)) {
            row.arrives = START + 20 * MINUTE + row.happened % 1000;
        }
    }
    let mut was_idle = false;
    let (alerts, stats) = in_partitions(rows, |engine, now| {
        if now > START + 11 * MINUTE && !was_idle {
            engine.idle(&lane(2));
            was_idle = true;
        }
    });
    assert_eq!(found(&alerts), planted());
    assert!(stats.late > 1000, "{} rows are late", stats.late);
}

#[test]
fn a_partition_whose_clock_is_stuck_holds_nobody_back_for_long() {
    let mut rows = half_an_hour(8);
    for row in rows.iter_mut().filter(|row| row.node == 1) {
        let is_attack = row.columns["client_ip"] == "203.0.113.1" || row.columns["client_ip"] == "203.0.113.2";
        if is_attack || row.columns["principal"] == "mallory" || row.columns["endpoint"] == "GET /pay" {
            row.node = 0;
        } else {
            row.time = row.happened.min(START + 4 * MINUTE);
        }
    }
    let (mut most, mut at_end) = (0, 0);
    let (alerts, stats) = in_partitions(rows, |engine, _| {
        at_end = engine.held_rows();
        most = most.max(at_end);
    });
    assert_eq!(found(&alerts), planted());
    // Ten rows a second: for a minute and a half everybody waits, and then no longer than usual.
    assert!((900..1_800).contains(&most) && at_end < 600, "{most} rows wait at most, {at_end} at the end");
    assert!(stats.late > 2_000, "{} rows are late", stats.late);
}

/// Each partition is read to its end each second.
fn read_to_their_ends(engine: &mut Engine, now: i64) {
    (0..3).for_each(|partition| engine.at_end(&lane(partition), now));
}

#[test]
fn a_partition_that_is_hours_behind_holds_nobody_back() {
    let mut rows = traffic(9, 1800, 10, [13 * MINUTE, 5 * MINUTE, 7 * MINUTE, 23 * MINUTE]);
    // One of the attacks is seen by nobody else.
    rows.iter_mut().filter(|row| row.columns["endpoint"] == "POST /login").for_each(|row| row.node = 2);
    rows.iter_mut().filter(|row| row.node % 3 == 2).for_each(|row| row.time -= 180 * MINUTE);
    let mut most = 0;
    let (alerts, stats) = in_partitions(rows.clone(), |engine, now| {
        read_to_their_ends(engine, now);
        most = most.max(engine.held_rows());
    });
    assert_eq!(found(&alerts), planted());
    assert!(most < 300, "{most} rows wait at most");
    let of_it = rows.iter().filter(|row| row.node % 3 == 2).count() as u64;
    assert!((of_it - 300..=of_it).contains(&stats.late), "{} of its {of_it} rows are late", stats.late);

    // Where all are, nobody is behind anybody: an outage of what delivers them, or one zone that is wrong for all.
    rows.iter_mut().filter(|row| row.node % 3 != 2).for_each(|row| row.time -= 180 * MINUTE);
    let (alerts, stats) = in_partitions(rows.clone(), read_to_their_ends);
    assert_eq!((found(&alerts), stats.late), (planted(), 0));

    // Nor where its lateness says that it may be.
    rows.iter_mut().filter(|row| row.node % 3 != 2).for_each(|row| row.time += 180 * MINUTE);
    let (alerts, stats) = in_partitions(rows, |engine, now| {
        engine.open(&lane(2), 181 * MINUTE);
        read_to_their_ends(engine, now);
    });
    assert_eq!((found(&alerts), stats.late), (planted(), 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any order within the lateness gives what the tidy order gives: ids, revisions, figures.
    #[test]
    fn any_disorder_within_the_lateness_gives_the_same_alerts(seed in any::<u64>()) {
        let lateness = 30 * SECOND;
        let attacks = [2 * MINUTE, 4 * MINUTE, 6 * MINUTE, 8 * MINUTE];
        let rows = traffic(seed, 600, 8, attacks);
        let mut untidy = rows.clone();
        let mut chance = Chance::new(seed ^ 1);
        untidy.iter_mut().for_each(|row| row.arrives += chance.below(lateness as u64) as i64);
        let told = |rows: &[Row]| {
            let (alerts, stats) = judged(rows, lateness, 0);
            let one = |a: &Alert| (a.id.clone(), a.revision, a.state, a.observed.to_string(), a.events, a.updated.clone());
            (alerts.iter().map(one).collect::<Vec<_>>(), stats.late, stats.ahead)
        };
        let expected = told(&rows);
        prop_assert!(expected.0.len() >= 4);
        prop_assert_eq!(told(&arriving(untidy)), expected, "seed {}", seed);
    }
}
