//! A flood of addresses blinds no detector: those who attack among them are found, those who were known stay known, an IPv6
//! network is one attacker however many addresses it has, and an address that many share is known as such.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use detectors::engine::rfc3339;
use detectors::testkit::batch_of;
use detectors::{Engine, EngineLimits, Predicate, Rule, parse_rule};
use schemas::alert::State;
use schemas::{Alert, Lane};
use serde_json::{Value, json};

const START_US: i64 = 1_772_323_200_000_000;
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn rule(id: &str, entity: &str, method: &str, more: &str) -> Arc<Rule> {
    let yaml =
        format!("id: {id}\ntitle: A test\nseverity: low\nentity: {entity}\nnotes: none\nmethod: {method}\n{more}\n");
    Arc::new(parse_rule(&yaml, id).unwrap_or_else(|error| panic!("{error}\n{yaml}")))
}

/// A request `at` microseconds after the start.
fn request(at: i64, client_ip: &str, status: i32) -> Value {
    json!({ "time": START_US + at, "client_ip": client_ip, "status": status })
}

struct Story {
    engine: Engine,
    lane: Lane,
    told: Vec<Alert>,
}

impl Story {
    fn of(rules: Vec<Arc<Rule>>, limits: EngineLimits) -> Story {
        let (mut engine, lane) = (Engine::new(rules, limits).unwrap(), Lane::new("test", 0));
        engine.open(&lane, 0);
        Story { engine, lane, told: Vec::new() }
    }

    fn push(&mut self, mut rows: Vec<Value>) {
        rows.sort_by_key(|row| row["time"].as_i64());
        for rows in rows.chunks(8192) {
            self.engine.push(&self.lane, batch_of(rows).unwrap()).unwrap();
            self.told.extend(self.engine.advance().unwrap());
        }
    }

    /// The entities about which an alert opened, each as often as one did.
    fn opened(mut self) -> Vec<String> {
        self.told.extend(self.engine.finish().unwrap());
        let opened = self.told.iter().filter(|alert| alert.state == State::Open);
        let mut entities: Vec<String> = opened.map(|alert| alert.entity.value.clone()).collect();
        entities.sort();
        entities
    }
}

fn alerts(rules: Vec<Arc<Rule>>, rows: Vec<Value>) -> Vec<Alert> {
    let mut story = Story::of(rules, EngineLimits::default());
    story.push(rows);
    story.told.extend(story.engine.finish().unwrap());
    story.told
}

fn address(n: u32) -> String {
    std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string()
}

/// `many` requests spread over `length` from `from` on.
fn spread(from: i64, length: i64, many: i64, client_ip: &str) -> impl Iterator<Item = Value> {
    (0..many).map(move |n| request(from + length * n / many, client_ip, 200))
}

#[test]
fn a_day_of_210_000_addresses_switches_no_baseline_off() {
    let method = "{ baseline: { of: count, window: 10m, history: 1d, warmup: 6, min_change: 2.0, min_value: 200 } }";
    let mut story = Story::of(vec![rule("loud", "client_ip", method, "")], EngineLimits::default());
    let (steady, newer, sleeper) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
    const ADDRESSES: i64 = 210_000;
    let mut rows = Vec::new();
    for hour in 0..24 {
        let from = hour * HOUR;
        // The flood: each address comes twice, forty minutes apart, so that each has a past.
        if (3..17).contains(&hour) {
            let (first, last) = ((hour - 3) * ADDRESSES / 14, (hour - 2) * ADDRESSES / 14);
            for n in first..last {
                let at = from + (n - first) * HOUR / (last - first);
                rows.push(request(at, &address(n as u32), 200));
                rows.push(request(at + 40 * MINUTE, &address(n as u32), 200));
            }
        }
        let spike = hour == 22;
        rows.extend(spread(from, HOUR, if spike { 18_000 } else { 180 }, steady));
        // Nobody knew it before the flood had filled every place.
        if hour >= 18 {
            rows.extend(spread(from, HOUR, if spike { 18_000 } else { 180 }, newer));
        }
        // Away for half a day.
        if !(10..22).contains(&hour) {
            rows.extend(spread(from, HOUR, if spike { 18_000 } else { 180 }, sleeper));
        }
        let is_now = |row: &Value| row["time"].as_i64() < Some(START_US + from + HOUR);
        let (now, later) = rows.into_iter().partition(is_now);
        story.push(now);
        rows = later;
    }
    let detector = &story.engine.stats().detectors[0];
    assert!(detector.entities <= 200_000 && detector.evicted > 10_000, "{detector:?}");
    assert_eq!(story.opened(), [steady, newer, sleeper]);
}

#[test]
fn slow_attackers_are_found_in_a_flood_of_whoever_comes_once() {
    let slow = rule("slow", "client_ip", "{ threshold: { at_least: 10, within: 1h } }", "where: status = 401");
    let mut story = Story::of(vec![slow], EngineLimits { entities_per_detector: 20_000, ..EngineLimits::default() });
    // 300,000 in three hours: 8,300 of them between two requests of an attacker.
    let mut rows: Vec<Value> = (0..300_000_i64).map(|n| request(n * 36_000, &address(n as u32), 401)).collect();
    let attackers: Vec<String> = (1..=20).map(|n| format!("203.0.113.{n}")).collect();
    for (n, attacker) in attackers.iter().enumerate() {
        rows.extend((0..30).map(|k| request(n as i64 * 14 * SECOND + k * 5 * MINUTE, attacker, 401)));
    }
    story.push(rows);
    assert!(story.engine.stats().detectors[0].evicted > 270_000);
    let mut expected = attackers;
    expected.sort();
    assert_eq!(story.opened(), expected);
}

#[test]
fn who_comes_ten_times_and_goes_pushes_out_nobody_who_goes_on() {
    let slow = rule("slow", "client_ip", "{ threshold: { at_least: 20, within: 1h } }", "where: status = 401");
    let mut story = Story::of(vec![slow], EngineLimits { entities_per_detector: 2_000, ..EngineLimits::default() });
    // Half-way to an alert each, and more of them at a time than there are places.
    let mut rows = Vec::new();
    for n in 0..20_000_i64 {
        rows.extend((0..10).map(|k| request(n * 540_000 + k * SECOND, &address(n as u32), 401)));
    }
    rows.extend((0..60).map(|k| request(k * 2 * MINUTE, "203.0.113.7", 401)));
    story.push(rows);
    assert_eq!(story.opened(), ["203.0.113.7"]);
}

#[test]
fn more_open_alerts_than_places_close_the_quietest_and_refuse_nobody() {
    let any = rule("any", "client_ip", "{ threshold: { at_least: 2, within: 1m } }", "quiet: 1d");
    let mut story = Story::of(vec![any], EngineLimits { entities_per_detector: 1_000, ..EngineLimits::default() });
    let rows = (0..6_000_i64).flat_map(|n| [0, 1].map(|k| request(n * SECOND + k, &address(n as u32), 200)));
    story.push(rows.collect());
    story.told.extend(story.engine.finish().unwrap());
    let closed: Vec<&Alert> = story.told.iter().filter(|alert| alert.state == State::Closed).collect();
    assert!(closed.len() >= 5_000 && closed.iter().all(|alert| alert.evidence["closed"] == "to make room"));
    assert_eq!(closed[0].entity.value, address(0));
    assert_eq!(story.engine.stats().detectors[0].open + closed.len(), 6_000);
    assert_eq!(story.opened().len(), 6_000);
}

fn probing() -> Vec<Arc<Rule>> {
    let distinct = "{ distinct: { of: endpoint, at_least: 30, within: 2m } }";
    vec![
        rule("paths", "client_ip", distinct, "where: status = 404"),
        rule(
            "share",
            "client_ip",
            "{ ratio: { of: \"status = 404\", at_least: 0.9, min_events: 40, within: 2m } }",
            "",
        ),
        rule("loud", "client_ip", "{ baseline: { of: count, window: 10m, parent: whole, min_value: 100 } }", ""),
    ]
}

fn probe(n: i64, client_ip: &str) -> Value {
    let mut row = request(n * 50_000, client_ip, 404);
    row["endpoint"] = format!("GET /{n}").into();
    row["offset"] = n.into();
    row
}

#[test]
fn probes_out_of_one_ipv6_network_are_one_attacker() {
    let rows: Vec<Value> = (0..2000).map(|n| probe(n, &format!("2001:db8:0:7::{:x}", n * 31 + 1))).collect();
    let told = alerts(probing(), rows.clone());
    let opened: Vec<&Alert> = told.iter().filter(|alert| alert.state == State::Open).collect();
    let entities: Vec<&str> = opened.iter().map(|alert| &*alert.entity.value).collect();
    assert_eq!(entities, ["2001:db8:0:7::/64"; 2], "paths and share; a baseline has no past yet");
    assert!(opened.iter().all(|alert| alert.entity.kind == "client_ip"));
    let evidence = &opened[0].evidence;
    assert_eq!(evidence["entity"], json!({ "client_ip": "2001:db8:0:7::/64" }));
    assert_eq!((&evidence["addresses"], evidence["client_ips"].as_array().map(Vec::len)), (&json!(16), Some(5)));
    let last = told.iter().rfind(|alert| alert.detector == "paths").unwrap();
    let (addresses, error) = (last.evidence["addresses"].as_f64().unwrap(), &last.evidence["addresses_error"]);
    assert!((1600.0..2300.0).contains(&addresses) && error.as_f64() < Some(0.045), "{addresses} {error}");
    // The query shows the rows, and those of nobody else.
    let sql = last.evidence["sql"].as_str().unwrap();
    let condition = sql.split_once("WHERE ").unwrap().1.split_once(" ORDER").unwrap().0;
    let until = &last.window.end;
    let counted = (0..2000).filter(|n| rfc3339(START_US + n * 50_000) <= *until).count();
    assert!(counted > 1600);
    let beside = probe(100, "2001:db8::7:0:0:1");
    let all: Vec<Value> = rows.into_iter().chain([beside, probe(100, "2001:db8:0:8::1")]).collect();
    let shown = Predicate::compile(condition).unwrap().matches(&batch_of(&all).unwrap()).0;
    assert_eq!(shown.count_set_bits(), counted);
    assert!(!shown.value(2000) && !shown.value(2001));
}

#[test]
fn neighbours_who_probe_at_once_are_one_attacker() {
    let of = |rows: Vec<Value>| {
        let mut story = Story::of(probing(), EngineLimits::default());
        story.push(rows);
        story.opened()
    };
    // One address of each /64 of a /56, then of /64s all over a /48.
    let joined = of((0..400).map(|n| probe(n, &format!("2001:db8:0:{:x}::1", n % 200))).collect());
    assert_eq!(joined, ["2001:db8::/56"; 2]);
    let joined = of((0..400).map(|n| probe(n, &format!("2001:db8:5:{:x}::1", n * 40_503 % 65_536))).collect());
    assert_eq!(joined, ["2001:db8:5::/48"; 2]);
    // A few neighbours stay apart: one of them probes, another only visits.
    let mut rows: Vec<Value> = (0..100).map(|n| probe(n, "2001:db8:0:1::1")).collect();
    rows.extend((0..1000).map(|n| request(n * 5_000, &format!("2001:db8:0:{:x}::1", 2 + n % 10), 200)));
    assert_eq!(of(rows), ["2001:db8:0:1::/64"; 2]);
}

#[test]
fn visitors_of_one_provider_are_not_joined_by_what_is_not_counted() {
    let paths = probing().remove(0);
    let mut rows: Vec<Value> =
        (0..2000).map(|n| request(n * 5_000, &format!("2001:db8:0:{:x}::1", n % 200), 200)).collect();
    rows.extend((0..40).map(|n| probe(n, &format!("2001:db8:0:{:x}::1", n % 4))));
    assert_eq!(alerts(vec![paths], rows), [], "ten paths each, of four among two hundred");
}

#[test]
fn customers_of_one_carrier_are_not_joined_by_what_is_answered_well() {
    let sweep = rule("sweep", "client_ip", "{ distinct: { of: endpoint, at_least: 30, within: 1m } }", "");
    let visit = |n: i64, status: i32| {
        let mut row = request(n * 20_000, &format!("2001:db8:5:{:x}::1", n * 40_503 % 65_536), status);
        row["endpoint"] = format!("GET /v1/pages/{}", n % 100).into();
        row
    };
    assert_eq!(alerts(vec![sweep.clone()], (0..2000).map(|n| visit(n, 200)).collect()), []);
    // One of them sweeps what is there: it is told of, and its neighbours are not.
    let mut rows: Vec<Value> = (0..2000).map(|n| visit(n, 200)).collect();
    rows.extend((0..40).map(|n| {
        let mut row = request(n * 20_000, "2001:db8:5:7::9", 200);
        row["endpoint"] = format!("GET /v1/pages/{n}").into();
        row
    }));
    let told = alerts(vec![sweep.clone()], rows);
    assert!(!told.is_empty() && told.iter().all(|alert| alert.entity.value == "2001:db8:5:7::/64"), "{told:?}");
    // What is refused to a whole range at once is one sweep.
    let told = alerts(vec![sweep], (0..2000).map(|n| visit(n, 404)).collect());
    assert_eq!(told[0].entity.value, "2001:db8:5::/48");
}

#[test]
fn a_count_of_many_values_is_near_the_truth_and_says_how_near() {
    let distinct = |at_least| format!("{{ distinct: {{ of: object_id, at_least: {at_least}, within: 1h }} }}");
    for (at_least, is_exact) in [(100, true), (1_000, true), (10_000, false)] {
        let rows: Vec<Value> = (0..12_000)
            .map(|n| {
                let mut row = request(n * 100_000, "203.0.113.7", 200);
                (row["object_id"], row["offset"]) = (format!("k1:{n:032x}").into(), n.into());
                row
            })
            .collect();
        let told = alerts(vec![rule("many", "client_ip", &distinct(at_least), "quiet: 1h")], rows);
        let (open, offset) =
            (&told[0], told[0].evidence["samples"].as_array().unwrap().last().unwrap()["offset"].clone());
        let truth = offset.as_f64().unwrap() + 1.0;
        if is_exact {
            assert_eq!((open.observed, truth), (f64::from(at_least), f64::from(at_least)));
            assert_eq!(open.evidence.get("observed_error"), None);
        } else {
            let error = open.evidence["observed_error"].as_f64().unwrap();
            assert!((0.03..0.045).contains(&error), "{error}");
            assert!((truth / open.observed - 1.0).abs() < 4.0 * error, "{} of {truth}, {error}", open.observed);
        }
    }
}

#[test]
fn an_address_that_many_share_is_known_as_such() {
    let few = rule(
        "few",
        "client_ip",
        "{ threshold: { at_least: 10, within: 5m } }",
        "where: status = 401 AND principals_behind < 20",
    );
    let all = rule("all", "client_ip", "{ threshold: { at_least: 10, within: 5m } }", "where: status = 401");
    let person = |at: i64, client_ip: &str, n: i64, is_proven: bool| {
        let mut row = request(at, client_ip, if is_proven { 200 } else { 401 });
        row["principal"] = format!("user-{n}").into();
        row["credential"] = format!("k1:{n:032x}").into();
        row["principal_source"] = if is_proven { "gateway" } else { "unproven" }.into();
        row
    };
    let (office, spray, home) = ("198.51.100.1", "198.51.100.2", "198.51.100.3");
    let mut rows: Vec<Value> = (0..60).map(|n| person(n * SECOND, office, n % 30, true)).collect();
    rows.push(person(0, spray, 1, true));
    rows.extend((0..3).map(|n| person(n, home, n, true)));
    for (client_ip, people) in [(office, 30), (spray, 1000), (home, 3)] {
        rows.extend((0..12).map(|n| person(2 * MINUTE + n * SECOND, client_ip, n % people + 100 * (n % 2), false)));
    }
    let told = alerts(vec![few, all], rows);
    let behind = |id: &str, client_ip: &str| {
        let mut opened = told.iter().filter(|alert| alert.state == State::Open && alert.detector == id);
        opened.find(|alert| alert.entity.value == client_ip).map(|alert| alert.evidence["principals_behind"].clone())
    };
    assert_eq!([office, spray, home].map(|ip| behind("all", ip)), [30, 1, 3].map(|n| Some(json!(n))));
    assert_eq!([office, spray, home].map(|ip| behind("few", ip)), [None, Some(json!(1)), Some(json!(3))]);
    let sql = told.iter().find(|alert| alert.detector == "few").unwrap().evidence["sql"].as_str().unwrap();
    assert!(sql.contains("(status = 401)") && !sql.contains("principals_behind"), "{sql}");
}
