//! The engine's first promise: the same events give the same alerts, byte for byte, however they are cut into batches,
//! interrupted and restored, interleaved across lanes within the allowed lateness, or divided among threads; those that are late
//! or ahead, too.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic, and prints its seed

use std::sync::Arc;

use detectors::testkit::{Chance, batch_of};
use detectors::{Engine, EngineLimits, Rule, parse_rule};
use proptest::prelude::*;
use schemas::{Alert, Lane};
use serde_json::{Value, json};

const LATENESS_US: i64 = 5_000_000;
const LANES: usize = 3;

/// Where people are, by turns: country, location, network. Two are in one network, and one is where nobody knows.
const PLACES: [(&str, f64, f64, i64); 5] = [
    ("DE", 52.52, 13.405, 64500),
    ("US", 40.7128, -74.006, 64510),
    ("DE", 48.137, 11.575, 64500),
    ("AU", -33.8688, 151.2093, 64520),
    ("ZZ", 0.0, 0.0, 64530),
];

/// One detector of each kind, with bounds small enough to be met.
fn rules() -> Vec<Arc<Rule>> {
    let texts = [
        (
            "threshold",
            "client_ip",
            "where: status = 401",
            "{ threshold: { at_least: 6, within: 30s } }",
            "quiet: 40s\npart_of: [distinct]",
        ),
        (
            "new",
            "client_ip",
            "where: status >= 400",
            "{ threshold: { at_least: 4, within: 20s } }",
            "first_seen_within: 1m\npart_of: [threshold, distinct]",
        ),
        ("distinct", "client_ip", "", "{ distinct: { of: endpoint, at_least: 8, within: 20s } }", "quiet: 30s"),
        (
            "few",
            "client_ip",
            "where: status >= 400 AND principals_behind < 3",
            "{ distinct: { of: request_id, at_least: 5, within: 30s } }",
            "",
        ),
        ("tardy", "client_ip", "where: late AND status >= 400", "{ threshold: { at_least: 3, within: 5m } }", ""),
        ("news", "principal", "", "{ new_value: { of: endpoint, learn: 1m, forget: 1h } }", ""),
        ("kinds", "client_ip", "", "{ distinct: { of: [endpoint, late], at_least: 10, within: 30s } }", ""),
        ("pairs", "principal+endpoint", "", "{ threshold: { at_least: 5, within: 1m } }", "part_of: [sum, ratio]"),
        ("sum", "principal", "", "{ sum: { of: response_bytes, at_least: 30000, within: 1m } }", "quiet: 60s"),
        (
            "ratio",
            "endpoint",
            "",
            "{ ratio: { of: \"status >= 500\", at_least: 0.4, min_events: 5, within: 15s } }",
            "quiet: 20s\npart_of: [variety, lack, distinct]",
        ),
        (
            "count",
            "client_ip",
            "",
            "{ baseline: { of: count, window: 10s, warmup: 1, history: 20, sigmas: 1, direction: both } }",
            "quiet: 20s\npart_of: [variety]",
        ),
        (
            "rate",
            "tenant",
            "where: client_ip <> '203.0.113.66'",
            "{ baseline: { of: ratio(\"status >= 400\"), window: 30s, warmup: 2, sigmas: 1.5, min_events: 3, parent: whole } }",
            "",
        ),
        (
            "bytes",
            "tenant",
            "",
            "{ baseline: { of: sum(response_bytes), window: 15s, warmup: 3, sigmas: 1.5, floor: 500, parent: whole } }",
            "",
        ),
        (
            "rare",
            "client_ip",
            "where: status = 503",
            "{ baseline: { of: count, window: 10s, warmup: 1, history: 20, sigmas: 1 } }",
            "quiet: 20s",
        ),
        (
            "lack",
            "whole",
            "where: status < 400",
            "{ baseline: { of: count, window: 20s, warmup: 1, history: 20, sigmas: 1, direction: down } }",
            "",
        ),
        (
            "steps",
            "principal",
            "",
            "{ sequence: { steps: [{ where: status >= 400, times: 3, different: endpoint }, { where: status = 200 }],\
               within: 1m, without: status = 503 } }",
            "part_of: [threshold]",
        ),
        (
            "same",
            "client_ip",
            "",
            "{ sequence: { steps: [{ where: status = 401 }, { where: status = 200, times: 2 }],\
               within: 30s, by: [principal, tenant] } }",
            "",
        ),
        ("places", "principal", "", "{ travel: { learn: 30s, settle: 1h, shared_by: 4 } }", "quiet: 30s"),
        ("token", "credential", "", "{ travel: { learn: 0s, settle: 1h, sightings: 1, network: as_org } }", ""),
        (
            "kind",
            "client_ip",
            "",
            "{ baseline: { of: count, window: 10s, warmup: 1, history: 20, sigmas: 1, parent: principal_kind } }",
            "quiet: 20s",
        ),
        (
            "large",
            "endpoint",
            "",
            "{ percentile: { of: response_bytes, p: 75, window: 20s, times: 2, min_events: 10, warmup: 20s, history: 1h } }",
            "",
        ),
        (
            "above",
            "tenant",
            "",
            "{ percentile: { of: response_bytes, p: 90, window: 10s, at_least: 2900, min_events: 12 } }",
            "",
        ),
        (
            "guesses",
            "client_ip",
            "",
            "{ enumeration: { within: 20s, refused: 4, answered: 5, times: 1.2, forget: 1h } }",
            "",
        ),
        (
            "walks",
            "principal",
            "",
            "{ enumeration: { within: 30s, refused: 3, answered: 4, times: 1, order: 0.9 } }",
            "",
        ),
        (
            "variety",
            "whole",
            "",
            "{ baseline: { of: \"distinct(endpoint)\", window: 10s, warmup: 1, sigmas: 1 } }",
            "quiet: 20s",
        ),
    ];
    texts
        .into_iter()
        .map(|(id, entity, filter, method, more)| {
            let yaml = format!(
                "id: {id}\ntitle: A test\nseverity: low\nnotes: For a test.\nentity: {entity}\n{filter}\nmethod: {}\n{more}\n",
                method.replace("ratio(\"status >= 400\")", "'ratio(\"status >= 400\")'")
            );
            Arc::new(parse_rule(&yaml, id).unwrap_or_else(|error| panic!("{error}\n{yaml}")))
        })
        .collect()
}

/// Rows per lane, in arrival order: out of order by less than the lateness, some late, some out of a backlog, some ahead.
fn lanes(seed: u64, events: usize) -> Vec<Vec<Value>> {
    let mut chance = Chance::new(seed);
    let mut lanes = vec![Vec::new(); LANES];
    let mut now = 1_772_366_400_000_000_i64;
    for number in 0..events {
        // Bursts and pauses, and at last a flood.
        let flood = number * 8 / events == 7;
        now += match chance.below(40) {
            _ if flood => chance.below(30_000) as i64,
            0 => chance.below(60_000_000) as i64,
            _ => chance.below(400_000) as i64,
        };
        let lane = chance.below(LANES as u64) as usize;
        let behind = match chance.below(60) {
            0 | 1 => 12_000_000,
            2 => 600_000_000,
            3 => -200_000_000,
            _ => chance.below(LATENESS_US as u64) as i64,
        };
        // Whole tenths of seconds, so that many rows share a time.
        let time = (now - behind) / 100_000 * 100_000;
        let attacker = chance.below(3) == 0;
        // For a while half of what is asked of one endpoint fails.
        let outage = (events / 2..events * 3 / 4).contains(&number) && !attacker && chance.below(2) == 0;
        let bad = attacker || outage || chance.below(12) == 0;
        let status = if bad { [401, 404, 500, 503][chance.below(4) as usize] } else { 200 };
        // Then everybody asks for something else each time.
        let endpoint = match number * 8 / events {
            6 => number as u64,
            _ if outage => 2,
            _ => chance.below(if attacker { 30 } else { 4 }),
        };
        let endpoint = format!("GET /{endpoint}");
        let rows = &mut lanes[lane];
        // Two events of one record share an offset.
        let offset = rows.len() - rows.len() % 2;
        let mut row = json!({
            "time": time,
            "source": "s",
            "partition": lane,
            "offset": offset,
            "status": status,
            "client_ip": client_ip(attacker, &mut chance),
            "endpoint": endpoint,
            "path": format!("/orders/{}", if attacker { number / 2 } else { number % 40 * 7 }),
            "object_id": format!("k1:{}", if attacker { number / 2 } else { number % 40 * 7 }),
            "response_bytes": if outage { 50_000_000 } else { chance.below(3000) },
            "request_id": format!("r{}", chance.below(1_000_000)),
        });
        if chance.below(4) > 0 {
            row["principal"] = format!("user-{}", chance.below(5)).into();
            row["principal_kind"] = ["user", "service"][number % 2].into();
            row["tenant"] = format!("tenant-{}", chance.below(2)).into();
            row["credential"] = format!("k1:{}", chance.below(5)).into();
            let (country, lat, lon, asn) = PLACES[number / 7 % PLACES.len()];
            (row["country"], row["lat"], row["lon"]) = (country.into(), lat.into(), lon.into());
            (row["asn"], row["as_org"]) = (asn.into(), format!("Network {asn}").into());
            row["auth_result"] = if status == 401 { "invalid" } else { "ok" }.into();
        }
        rows.push(row);
    }
    lanes
}

/// Some come out of IPv6 networks, and of one in which many neighbours are about.
fn client_ip(is_attacker: bool, chance: &mut Chance) -> String {
    match chance.below(6) {
        _ if is_attacker => "203.0.113.66".to_owned(),
        0 => format!("2001:db8:0:{:x}::{:x}", chance.below(40), chance.below(5)),
        1 => format!("2001:db8:7:1::{:x}", chance.below(2000)),
        _ => format!("192.0.2.{}", chance.below(12)),
    }
}

fn lane(partition: usize) -> Lane {
    Lane::new("s", partition as i32)
}

fn limits() -> EngineLimits {
    EngineLimits {
        entities_per_detector: 9,
        suspects_per_detector: 4,
        first_seen_entities: 10,
        ..EngineLimits::default()
    }
}

fn started(threads: usize) -> Engine {
    let mut engine = Engine::new(rules(), limits()).unwrap().on_threads(threads);
    (0..LANES).for_each(|partition| engine.open(&lane(partition), LATENESS_US));
    engine
}

fn lines(alerts: &[Alert]) -> String {
    alerts.iter().map(|alert| serde_json::to_string(alert).unwrap() + "\n").collect()
}

/// Late rows, and rows ahead.
type Astray = (u64, u64);

fn astray(engine: &Engine) -> Astray {
    (engine.stats().late, engine.stats().ahead)
}

/// Each lane in one batch, one after the other.
fn whole(lanes: &[Vec<Value>]) -> (String, Astray) {
    let mut engine = started(1);
    for (partition, rows) in lanes.iter().enumerate() {
        engine.push(&lane(partition), batch_of(rows).unwrap()).unwrap();
    }
    let alerts = engine.finish().unwrap();
    (lines(&alerts), astray(&engine))
}

/// The same, with what an engine of other detectors has prepared for the first lane, and on threads.
fn prepared_elsewhere(lanes: &[Vec<Value>]) -> (String, Astray) {
    let mut engine = started(3);
    let other = Engine::new(rules().split_off(3), limits()).unwrap();
    for (partition, rows) in lanes.iter().enumerate() {
        let events = batch_of(rows).unwrap();
        let wants = if partition == 0 { other.wants() } else { engine.wants() };
        let prepared = std::thread::spawn(move || (wants.prepare(&events).unwrap(), events));
        let (prepared, events) = prepared.join().unwrap();
        engine.push_prepared(&lane(partition), events, prepared).unwrap();
    }
    let alerts = engine.finish().unwrap();
    (lines(&alerts), astray(&engine))
}

/// Lanes in turns by chance, batches of `size`, restored from a snapshot by chance.
fn in_pieces(lanes: &[Vec<Value>], (size, threads): (usize, usize), seed: u64) -> (String, Astray) {
    let mut chance = Chance::new(seed);
    let mut engine = started(threads);
    let mut next = [0; LANES];
    let mut told = Vec::new();
    while let Some(partition) = pick(lanes, &next, &mut chance) {
        let end = (next[partition] + size).min(lanes[partition].len());
        engine.push(&lane(partition), batch_of(&lanes[partition][next[partition]..end]).unwrap()).unwrap();
        next[partition] = end;
        if chance.below(2) == 0 {
            told.extend(engine.advance().unwrap());
        }
        if chance.below(if size == 1 { 40 } else { 6 }) == 0 {
            let bytes = engine.snapshot();
            engine = Engine::restore(rules(), limits(), &bytes).unwrap().on_threads(threads);
            assert!(engine.snapshot() == bytes, "a snapshot restores to itself");
        }
    }
    told.extend(engine.finish().unwrap());
    (lines(&told), astray(&engine))
}

fn pick(lanes: &[Vec<Value>], next: &[usize; LANES], chance: &mut Chance) -> Option<usize> {
    let left: Vec<usize> = (0..LANES).filter(|partition| next[*partition] < lanes[*partition].len()).collect();
    (!left.is_empty()).then(|| left[chance.below(left.len() as u64) as usize])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_events_give_the_same_alerts(seed in any::<u64>()) {
        let lanes = lanes(seed, 900);
        let expected = whole(&lanes);
        for (size, threads) in [(1, 1), (7, 2), (8192, 1), (8192, 2), (8192, 8)] {
            let found = in_pieces(&lanes, (size, threads), seed ^ size as u64);
            prop_assert_eq!(&found, &expected, "seed {} in batches of {} on {} threads", seed, size, threads);
        }
        prop_assert_eq!(&prepared_elsewhere(&lanes), &expected, "seed {} prepared elsewhere", seed);
    }
}

/// The property above would also hold for an engine that never says anything.
#[test]
fn every_detector_of_the_property_alerts_on_some_seed() {
    let mut told = String::new();
    let (mut late, mut ahead) = (0, 0);
    for seed in 0..16 {
        let (lines, astray) = whole(&lanes(seed, 1500));
        told += &lines;
        (late, ahead) = (late + astray.0, ahead + astray.1);
    }
    for rule in rules() {
        assert!(told.contains(&format!("\"detector\":\"{}\"", rule.id)), "{} never alerts", rule.id);
    }
    for state in ["open", "updated", "closed"] {
        assert!(told.contains(&format!("\"state\":\"{state}\"")), "nothing is ever {state}");
    }
    assert!(told.contains("\"part_of\":") && told.contains("\"parts\":{"), "no alert is a part of another");
    assert!(late > 100 && ahead > 100, "{late} rows were late, {ahead} ahead");
}
