//! Quiet traffic stays quiet: the whole catalogue over weeks of made-up traffic in which nothing is planted. Whatever is told is a
//! false alert.

use std::collections::BTreeMap;
use std::io::Write;

use detectors::{Engine, EngineLimits};
use gatewatch::demo::{START_MS, Traffic, TrafficConfig};
use schemas::alert::State;
use schemas::{Alert, Keys, Lane, Normaliser, RawBatch, SourceConfig};

const BATCH_ROWS: usize = 8192;
/// As dense as the demo: 200,000 requests in thirty hours.
const EVENTS_PER_DAY: u64 = 160_000;

/// The alerts that open in so many days of ordinary traffic.
fn false_alerts(seed: u64, days: u32) -> Vec<Alert> {
    let events = EVENTS_PER_DAY * u64::from(days);
    let config = TrafficConfig { seed, events, hours: 24 * days, attacks: false, ..TrafficConfig::default() };
    let mut traffic = Traffic::new(&config).expect("traffic");
    let source = SourceConfig { name: "demo".into(), kind: "kong".into(), ..SourceConfig::default() };
    let mut normaliser = Normaliser::new(&source, &Keys::new("k1", b"a key for the test")).expect("a normaliser");
    let mut engine = Engine::new(detectors::catalogue(), EngineLimits::default()).expect("an engine").on_threads(2);
    let lane = Lane::new("demo", 0);
    engine.open(&lane, 2_000_000);
    let (mut alerts, mut line, mut offset) = (Vec::new(), Vec::new(), 0);
    while traffic.left() > 0 {
        let mut records = RawBatch::new();
        while records.len() < BATCH_ROWS && traffic.next_line(&mut line) {
            records.push(offset, traffic.completed_us(), line.trim_ascii_end());
            (offset, line) = (offset + 1, Vec::new());
        }
        engine.push(&lane, normaliser.normalise(&lane, &records).events).expect("pushed");
        alerts.extend(engine.advance().expect("advanced"));
    }
    alerts.extend(engine.finish().expect("finished"));
    assert_eq!(engine.stats().events, events, "every line is an event");
    alerts.retain(|alert| alert.state == State::Open);
    alerts
}

/// One line per alert: when, which detector, about whom, and what it saw.
fn shown(seed: u64, alert: &Alert) -> String {
    let opened = detectors::engine::parse_rfc3339(&alert.opened).expect("a time");
    let hours = (opened / 1_000 - START_MS) as f64 / 3_600_000.0;
    let Alert { detector, entity, observed, expected, threshold, score, events, .. } = alert;
    format!(
        "seed {seed} day {:.0} {:05.2}h {detector} {} observed {observed} of {events}, expected {expected:?}, threshold {threshold:?}, score {score:?}",
        (hours / 24.0).floor(),
        hours % 24.0,
        entity.value
    )
}

/// So many of each detector, and every one of them.
fn summary(alerts: &[(u64, Alert)]) -> String {
    let mut many: BTreeMap<&str, usize> = BTreeMap::new();
    alerts.iter().for_each(|(_, alert)| *many.entry(&alert.detector).or_default() += 1);
    let lines: Vec<String> = alerts.iter().map(|(seed, alert)| shown(*seed, alert)).collect();
    format!("{many:#?}\n{}", lines.join("\n"))
}

fn of_seeds(seeds: impl IntoIterator<Item = u64>, days: u32) -> Vec<(u64, Alert)> {
    seeds.into_iter().flat_map(|seed| false_alerts(seed, days).into_iter().map(move |alert| (seed, alert))).collect()
}

#[test]
fn two_days_of_quiet_traffic_are_quiet() {
    let alerts = of_seeds([1], 2);
    assert!(alerts.is_empty(), "{}", summary(&alerts));
}

/// At most one false alert in five days.
#[test]
#[ignore = "six weeks of traffic take some minutes"]
fn six_weeks_of_quiet_traffic_are_quiet() {
    let (days, seeds) = (14, [1, 2, 3]);
    let alerts = of_seeds(seeds, days);
    let per_day = alerts.len() as f64 / f64::from(days) / seeds.len() as f64;
    writeln!(std::io::stdout(), "{per_day:.3} a day {}", summary(&alerts)).expect("written");
    assert!(per_day <= 0.2, "{per_day}");
}
