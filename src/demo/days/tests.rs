//! What the long demo promises, counted from its lines and from alerts made by hand.
//! Never: starts the program; what the command line promises is tested there.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::LazyLock;

use schemas::Alert;
use schemas::alert::Entity;
use serde_json::{Value, json};

use super::*;
use crate::demo::tests::score;

const DAYS: u32 = 16;

/// One line as a test reads it.
struct Read {
    at_ms: i64,
    address: String,
    status: u64,
    text: String,
}

fn lines(seed: u64, days: u32, format: Format) -> (DaysPlan, Vec<Vec<u8>>) {
    let mut traffic = Days::new(seed, days, format).unwrap();
    let plan = traffic.plan().clone();
    let mut lines = Vec::new();
    let mut line = Vec::new();
    while traffic.next_line(&mut line) {
        lines.push(std::mem::take(&mut line));
    }
    (plan, lines)
}

fn read(line: &[u8]) -> Read {
    let value: Value = serde_json::from_slice(line).unwrap();
    Read {
        at_ms: value["started_at"].as_i64().unwrap() + value["latencies"]["request"].as_i64().unwrap(),
        address: value["client_ip"].as_str().unwrap().to_owned(),
        status: value["response"]["status"].as_u64().unwrap(),
        text: String::from_utf8(line.to_vec()).unwrap(),
    }
}

/// Sixteen days of Kong, read once for all tests.
fn kong() -> &'static (DaysPlan, Vec<Read>) {
    static READ: LazyLock<(DaysPlan, Vec<Read>)> = LazyLock::new(|| {
        let (plan, lines) = lines(1, DAYS, Format::Kong);
        (plan, lines.iter().map(|line| read(line)).collect())
    });
    &READ
}

fn addresses(incident: &Incident) -> HashSet<&str> {
    incident.actors.iter().filter(|actor| actor.kind == "client_ip").map(|actor| actor.value.as_str()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = |seed| {
        let mut traffic = Days::new(seed, 14, Format::Envoy).unwrap();
        let mut out = Vec::new();
        for _ in 0..20_000 {
            assert!(traffic.next_line(&mut out));
        }
        out
    };
    assert!(first(5) == first(5));
    assert!(first(5) != first(6));
}

#[test]
fn lines_are_in_order_within_the_days_and_of_a_bounded_number() {
    let (_, lines) = kong();
    assert!(lines.is_sorted_by_key(|line| line.at_ms));
    for day in 0..DAYS {
        let of_day = lines.iter().filter(|line| (line.at_ms - START_MS).div_euclid(DAY_MS) == i64::from(day)).count();
        assert!((8_000..75_000).contains(&of_day), "day {day}: {of_day} lines");
    }
    let last = lines.last().unwrap().at_ms;
    assert!(lines[0].at_ms >= START_MS && last < world::midnight(DAYS), "{} to {last}", lines[0].at_ms);
}

#[test]
fn every_address_is_reserved_for_benchmarks_or_documentation() {
    for line in &kong().1 {
        let reserved = match line.address.parse().unwrap() {
            IpAddr::V4(a) => a.octets()[0] == 198 && matches!(a.octets()[1], 18 | 19),
            IpAddr::V6(a) => a.segments()[..2] == [0x2001, 0x0db8],
        };
        assert!(reserved, "{}", line.text);
    }
}

#[test]
fn people_work_by_day_and_on_working_days() {
    let in_hour = |day: u32, hour: i64| {
        let from = world::midnight(day) + hour * HOUR_MS;
        kong().1.iter().filter(|line| (from..from + HOUR_MS).contains(&line.at_ms)).count()
    };
    assert!(in_hour(1, 10) > 5 * in_hour(1, 23), "{} and {}", in_hour(1, 10), in_hour(1, 23));
    assert!(in_hour(1, 10) > 3 * in_hour(5, 10), "{} and {}", in_hour(1, 10), in_hour(5, 10));
}

#[test]
fn every_format_is_read_as_json_and_holds_what_it_says() {
    for format in [Format::Kong, Format::NginxJson, Format::Envoy] {
        let mut traffic = Days::new(3, 14, format).unwrap();
        let mut line = Vec::new();
        for _ in 0..5_000 {
            line.clear();
            assert!(traffic.next_line(&mut line));
            let value: Value = serde_json::from_slice(&line).unwrap();
            let tls = [&value["request"]["tls"]["version"], &value["ssl_protocol"], &value["downstream_tls_version"]];
            assert!(tls.iter().any(|tls| tls.as_str() == Some("TLSv1.3")), "{value}");
        }
    }
    let blind = |format| Days::new(1, 14, format).unwrap().plan().blind.clone();
    assert_eq!(blind(Format::Kong), Vec::<&str>::new());
    assert_eq!(blind(Format::Envoy), ["tenants-read", "tenants-tried", "rows-at-once", "rows-taken-out"]);
}

#[test]
fn each_kind_is_told_at_three_strengths_and_has_a_twin_after_a_week_of_quiet() {
    let plan = Days::new(2, 21, Format::Kong).unwrap().plan().clone();
    let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.id).collect();
    assert_eq!(names.len(), KINDS.len());
    assert_eq!(plan.incidents.len(), KINDS.len() * 4);
    for incident in &plan.incidents {
        let day = (incident.start_us / 1000 - START_MS) / DAY_MS;
        assert!((8..21).contains(&day), "{incident:?}");
        assert!(incident.start_us <= incident.enough_us && incident.enough_us <= incident.end_us, "{incident:?}");
        assert!(!incident.actors.is_empty() || !incident.shared.is_empty(), "{incident:?}");
    }
}

#[test]
fn what_the_plan_claims_is_in_the_lines() {
    let (plan, lines) = kong();
    let losses: Vec<&Incident> = plan.incidents.iter().filter(|i| i.kind == "traffic-lost").collect();
    let is_hit = |i: &Incident| losses.iter().any(|loss| i.start_us <= loss.end_us && i.end_us >= loss.start_us);
    for incident in plan.incidents.iter().filter(|incident| incident.lines > 0) {
        let (from, to) = (incident.start_us / 1000, incident.end_us / 1000);
        let actors = addresses(incident);
        if is_hit(incident) || actors.is_empty() {
            continue;
        }
        let mine =
            lines.iter().filter(|line| (from..=to).contains(&line.at_ms) && actors.contains(line.address.as_str()));
        assert!(mine.count() as u64 >= incident.lines, "{incident:?}");
    }
}

#[test]
fn twins_differ_from_attacks_in_what_is_asked_or_answered() {
    let (plan, lines) = kong();
    let shape = |kind: &str, act: Act| {
        let incident = plan.incidents.iter().find(|i| i.kind == kind && i.act == act).unwrap();
        let (from, to, actors) = (incident.start_us / 1000, incident.end_us / 1000, addresses(incident));
        let mine = lines.iter().filter(|l| (from..=to).contains(&l.at_ms) && actors.contains(l.address.as_str()));
        let mine: Vec<&Read> = mine.collect();
        let paths: HashSet<String> = mine.iter().map(|l| path(&l.text)).collect();
        (mine.len(), paths.len(), mine.iter().filter(|l| l.status < 400).count())
    };
    // The same dozen again, instead of number after number.
    assert_eq!(shape("object-guessing", Act::Twin).1, 12);
    assert!(shape("object-guessing", Act::Strong).1 > 250);
    // Somebody who mistypes gets in and works.
    let (all, _, good) = shape("brute-force", Act::Twin);
    assert_eq!((all, good), (25, 21));
    assert_eq!(shape("brute-force", Act::Strong), (180, 1, 0));
    // Searches with apostrophes are answered by the same page.
    assert_eq!(shape("path-probing", Act::Twin).1, 3);
}

fn path(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap();
    let uri = value["request"]["uri"].as_str().unwrap();
    uri.split('?').next().unwrap_or_default().to_owned()
}

#[test]
fn too_few_days_are_refused_and_some_kinds_need_more() {
    assert_eq!(Days::new(1, 13, Format::Kong).err(), Some(DaysError(13)));
    let plan = Days::new(1, 14, Format::Kong).unwrap().plan().clone();
    assert!(plan.too_early.contains(&"zombie-endpoint") && !plan.too_early.contains(&"brute-force"));
    assert!(Days::new(1, 21, Format::Kong).unwrap().plan().too_early.is_empty());
}

#[test]
fn the_database_of_places_says_where_networks_are() {
    let geo = schemas::Geo::new(vec![database()]);
    assert!(geo.is_ok(), "{:?}", geo.err());
    assert!(database() == database());
}

fn alert(id: &str, detector: &str, (kind, value): (&str, &str), at_us: i64) -> Alert {
    score::alert(id, detector, &Entity { kind: kind.into(), value: value.into() }, at_us)
}

fn incident(act: Act, address: &str, start_us: i64) -> Incident {
    Incident {
        kind: "brute-force",
        owasp: "API2",
        act,
        actors: vec![Entity { kind: "client_ip".into(), value: address.into() }],
        tells: &["brute-force-principal"],
        shared: vec![Entity { kind: "whole".into(), value: "whole".into() }],
        start_us,
        enough_us: start_us + 30_000_000,
        end_us: start_us + 60_000_000,
        lines: 40,
        habit_us: start_us,
    }
}

const HOUR_US: i64 = HOUR_MS * 1000;

/// A weak and a strong attack and a twin, an hour apart.
fn plan() -> DaysPlan {
    let start = START_MS * 1000;
    let incidents = vec![
        incident(Act::Weak, "198.19.0.1", start),
        incident(Act::Strong, "198.19.0.2", start + HOUR_US),
        incident(Act::Twin, "198.19.0.3", start + 2 * HOUR_US),
    ];
    DaysPlan { days: 20, incidents, ..DaysPlan::default() }
}

#[test]
fn nothing_told_is_all_missed_and_all_quiet() {
    let score = judge(&plan(), &[]);
    assert_eq!((score.recall(Act::Weak), score.recall(Act::Strong)), ((0, 1), (0, 1)));
    assert_eq!((score.twins_alerted(), score.false_alerts.len(), score.median_seconds(false)), (0, 0, None));
}

#[test]
fn an_alert_belongs_to_the_attack_of_its_actor_and_time() {
    let start = START_MS * 1000;
    let tells = "brute-force-principal";
    let mut beside = alert("c", "path-probing", ("client_ip", "198.19.0.2"), start + HOUR_US + 50_000_000);
    let mut part = alert("d", "error-spike-4xx", ("endpoint", "POST /v1/auth/login"), start + HOUR_US + 50_000_000);
    part.part_of = Some("b".into());
    beside.evidence = Value::Null;
    let alerts = [
        alert("a", "path-probing", ("client_ip", "198.19.0.1"), start + 40_000_000),
        alert("b", tells, ("client_ip", "198.19.0.2"), start + HOUR_US + 42_000_000),
        beside,
        part,
        alert("e", tells, ("client_ip", "198.19.0.3"), start + 2 * HOUR_US),
        alert("f", tells, ("client_ip", "198.19.0.1"), start + 30 * HOUR_US),
    ];
    let score = judge(&plan(), &alerts);
    // The weak one: somebody spoke about its address, but did not say what it is.
    assert_eq!((score.recall(Act::Weak), score.recall(Act::Strong)), ((0, 1), (1, 1)));
    let strong = score.kinds[0].told["strong"].clone().unwrap();
    assert_eq!((strong.detector.as_str(), strong.seconds, strong.alerts), (tells, 12.0, 2));
    assert_eq!((score.twins_alerted(), score.kinds[0].twin.len()), (1, 1));
    assert_eq!(score.false_alerts.len(), 1);
    assert!((score.false_per_day() - 0.05).abs() < 1e-12, "{}", score.false_per_day());
    assert_eq!((score.median_seconds(false), score.alerts_per_incident()), (Some(12.0), 2.0));
}

#[test]
fn what_is_told_of_the_whole_belongs_to_those_whom_its_evidence_names() {
    let start = START_MS * 1000;
    let with_evidence = |id: &str, at_us: i64, address: &str| {
        let mut alert = alert(id, "error-spike-4xx-whole", ("whole", "whole"), at_us);
        alert.evidence =
            json!({ "client_ips": [{ "value": address, "count": 30 }, { "value": "198.18.0.9", "count": 3 }] });
        alert
    };
    let alerts = [
        with_evidence("a", start + 40_000_000, "198.19.0.1"),
        with_evidence("b", start + 40_000_000, "198.18.0.7"),
        with_evidence("c", start + 2 * HOUR_US, "198.19.0.3"),
    ];
    let score = judge(&plan(), &alerts);
    assert_eq!(score.false_alerts.len(), 1);
    assert_eq!(score.twins_alerted(), 1);
}

#[test]
fn the_page_names_what_was_missed_and_what_was_told_for_nothing() {
    let start = START_MS * 1000;
    let alerts = [alert("a", "endpoint-sweep", ("client_ip", "198.18.0.9"), start + 5 * HOUR_US)];
    let score = judge(&plan(), &alerts);
    let ran = Ran { seed: 7, format: "kong", events: 1_000, rejects: 0, seconds: 2.0 };
    let page = page(&score, &ran);
    assert!(page.starts_with("Gatewatch demo, seed 7, kong: 20 days, 1000 requests, 0 rejects, 2 s\n"), "{page}");
    for text in [
        "MISSED",
        "recall, weak                                  0.000 (0 of 1)",
        "endpoint-sweep              client_ip 198.18.0.9",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let document = document(&score, &ran);
    assert_eq!((&document["recall"]["weak"]["planted"], &document["false_alerts_per_day"]), (&json!(1), &json!(0.05)));
    assert_eq!(document["score"]["kinds"][0]["told"]["weak"], Value::Null);
}
