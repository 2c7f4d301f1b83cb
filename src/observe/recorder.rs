//! The metrics as Prometheus reads them, and as `/status` does: one truth for both.
//!
//! Promises: every metric of `metric.rs` has its text, type and buckets here, and starts at 0 for everything that is
//! configured, so that a rate has a beginning. What the process itself uses is read when it is asked for. Gauges of a source or
//! a target that a reload took away, or that were set to no number, are not shown; counters are, for they count since the
//! process began.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::metric::{self, Kind, METRICS};

/// Upper ends of the buckets, in seconds, by metric.
pub const BUCKETS: &[(&str, &[f64])] = &[
    // An alert waits for the lateness of its source, two seconds by default.
    (metric::ALERT_DELAY, &[0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0]),
    (metric::DELIVERY, &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
    (metric::CHECKPOINT_SECONDS, &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
];

/// Linux counts processor time of a process in hundredths of a second, on every machine.
const TICKS_PER_SECOND: u64 = 100;

/// Counts from now on. The process has one: a service that begins again goes on with its counts.
pub fn install() -> anyhow::Result<Recorder> {
    static INSTALLED: OnceLock<Recorder> = OnceLock::new();
    if let Some(installed) = INSTALLED.get() {
        return Ok(installed.clone());
    }
    let mut builder = PrometheusBuilder::new();
    for (name, buckets) in BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
    }
    let handle = builder.install_recorder().context("counting metrics")?;
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.help),
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
    gauge!(metric::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(INSTALLED.get_or_init(|| Recorder(handle)).clone())
}

/// Sources and targets of the configuration in force, by the label that names them; none before it is known.
static CONFIGURED: Mutex<BTreeMap<&str, BTreeSet<String>>> = Mutex::new(BTreeMap::new());

#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// Everything, as Prometheus reads it.
    pub fn render(&self) -> String {
        note_process();
        self.shown()
    }

    pub fn samples(&self) -> Samples {
        Samples::parse(&self.shown())
    }

    fn shown(&self) -> String {
        let configured = CONFIGURED.lock().unwrap_or_else(PoisonError::into_inner);
        without_what_is_gone(self.0.render(), &configured)
    }

    /// To be called now and then: observations that wait are put into their buckets.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn without_what_is_gone(text: String, configured: &BTreeMap<&str, BTreeSet<String>>) -> String {
    let gauges: BTreeSet<&str> =
        METRICS.iter().filter(|metric| matches!(metric.kind, Kind::Gauge)).map(|metric| metric.name).collect();
    let is_gone = |line: &str| {
        let found = sample(line).filter(|(name, ..)| gauges.contains(name));
        found.is_some_and(|(_, labels, value)| {
            value.is_nan()
                || configured.iter().any(|(label, names)| labels.get(*label).is_some_and(|name| !names.contains(name)))
        })
    };
    match text.lines().any(is_gone) {
        false => text,
        true => text.split_inclusive('\n').filter(|line| !is_gone(line.trim_end())).collect(),
    }
}

/// Begins the series of detectors.
pub fn begin_detectors(detectors: &[&str], sources: &[&str]) {
    for detector in detectors {
        for state in ["opened", "updated", "closed"] {
            counter!(metric::ALERTS, "detector" => (*detector).to_owned(), "state" => state).absolute(0);
        }
        for source in sources {
            let labels = [("detector", (*detector).to_owned()), ("source", (*source).to_owned())];
            gauge!(metric::DETECTOR_BLIND, &labels).set(0.0);
        }
    }
}

/// Begins the series of everything that is known from the configuration.
pub fn begin(sources: &[&str], detectors: &[&str], targets: &[&str], started_us: i64) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    *CONFIGURED.lock().unwrap_or_else(PoisonError::into_inner) =
        BTreeMap::from([("source", names(sources)), ("target", names(targets))]);
    for source in sources {
        for name in [metric::RECORDS, metric::RECORD_BYTES, metric::EVENTS, metric::LATE, metric::AHEAD] {
            counter!(name, "source" => (*source).to_owned()).absolute(0);
        }
    }
    begin_detectors(detectors, sources);
    for target in targets {
        for name in [metric::OUTBOX_PENDING, metric::OUTBOX_PARKED, metric::TARGET_BREAKER] {
            gauge!(name, "target" => (*target).to_owned()).set(0.0);
        }
        let _registered = histogram!(metric::DELIVERY, "target" => (*target).to_owned());
    }
    for result in ["committed", "failed"] {
        counter!(metric::CHECKPOINTS, "result" => result).absolute(0);
    }
    let _registered = (histogram!(metric::CHECKPOINT_SECONDS), histogram!(metric::ALERT_DELAY));
    for name in [metric::UNCOMMITTED_ROWS, metric::HELD_ROWS] {
        gauge!(name).set(0.0);
    }
    // A service that begins again is the same process.
    static STARTED_US: OnceLock<i64> = OnceLock::new();
    gauge!(metric::PROCESS_START).set(*STARTED_US.get_or_init(|| started_us) as f64 / 1e6);
}

/// What Linux says of this process; elsewhere these metrics are missing.
fn note_process() {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    // The name of the program stands in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    // The 14th and 15th field: user and system time.
    counter!(metric::PROCESS_CPU).absolute((number(11) + number(12)) / TICKS_PER_SECOND);
    gauge!(metric::PROCESS_RSS).set(crate::telemetry::rss_bytes() as f64);
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge!(metric::PROCESS_FDS).set(open.count() as f64);
    }
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        gauge!(metric::PROCESS_FDS_MAX).set(most as f64);
    }
}

/// The labels and the value of one series.
type Series = (BTreeMap<String, String>, f64);

/// The values of all series at one moment, by name.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<String, Vec<Series>>);

impl Samples {
    /// Reads Prometheus' text format.
    pub fn parse(text: &str) -> Samples {
        let mut samples = Samples::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, labels, value)) = sample(line) {
                samples.0.entry(name.to_owned()).or_default().push((labels, value));
            }
        }
        samples
    }

    /// The sum over all series of this name that have these labels; none when there is no such series.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.matching(name, labels).map(|(_, value)| value);
        found.reduce(|sum, value| sum + value)
    }

    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.value(name, labels).unwrap_or(0.0) as u64
    }

    /// The same, per value of one more label; those at 0 are left out.
    pub fn counts_by(&self, name: &str, labels: &[(&str, &str)], by: &str) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for (found, value) in self.matching(name, labels).filter(|(_, value)| *value > 0.0) {
            if let Some(key) = found.get(by) {
                *counts.entry(key.clone()).or_default() += value as u64;
            }
        }
        counts
    }

    fn matching<'a>(
        &'a self,
        name: &str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = (&'a BTreeMap<String, String>, f64)> {
        let series = self.0.get(name).map_or(&[][..], Vec::as_slice);
        let has_all = move |found: &BTreeMap<String, String>| {
            labels.iter().all(|(label, value)| found.get(*label).is_some_and(|found| found == value))
        };
        series.iter().filter(move |(found, _)| has_all(found)).map(|(found, value)| (found, *value))
    }
}

/// `name{label="value",...} 1.5`; none where the line is not of this form.
fn sample(line: &str) -> Option<(&str, BTreeMap<String, String>, f64)> {
    let name_end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        other => other,
                    }),
                    (_, other) => value.push(other),
                }
            };
            labels.insert(label.to_owned(), value);
            rest = &after[end + 1..];
        }
        rest = &rest[1..];
    }
    Some((name, labels, rest.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let text = "# HELP a Text.\n# TYPE a counter\na{source=\"edge\",code=\"empty\"} 3\na{source=\"edge\",code=\"oversized\"} 4\n\
                    a{source=\"sh\\\"op\\\\\\n\",code=\"empty\"} 5\nb 1.5e3\nc_bucket{le=\"+Inf\"} 2\nbroken{ 1\n\n";
        let samples = Samples::parse(text);
        assert_eq!(samples.value("a", &[]), Some(12.0));
        assert_eq!(samples.count("a", &[("source", "edge")]), 7);
        assert_eq!(samples.count("a", &[("source", "sh\"op\\\n")]), 5);
        assert_eq!(
            samples.counts_by("a", &[("source", "edge")], "code"),
            [("empty".into(), 3), ("oversized".into(), 4)].into()
        );
        assert_eq!(samples.value("b", &[]), Some(1500.0));
        assert_eq!(samples.value("c_bucket", &[("le", "+Inf")]), Some(2.0));
        assert_eq!((samples.value("broken", &[]), samples.value("d", &[])), (None, None));
    }

    #[test]
    fn every_histogram_has_buckets_in_order() {
        let named: Vec<&str> = BUCKETS.iter().map(|(name, _)| *name).collect();
        for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
            assert!(named.contains(&metric.name), "{}", metric.name);
        }
        assert!(BUCKETS.iter().all(|(_, ends)| ends.is_sorted() && ends.len() > 5));
    }

    #[test]
    fn gauges_of_what_a_reload_took_away_are_not_shown() {
        let text = "# TYPE gatewatch_source_up gauge\n\
                    gatewatch_source_up{source=\"edge\"} 1\n\
                    gatewatch_source_up{source=\"old\"} 0\n\
                    gatewatch_source_up{source=\"edge\",kind=\"file\"} NaN\n\
                    gatewatch_records_total{source=\"old\"} 7\n\
                    gatewatch_target_breaker{target=\"waf\"} 2\n\
                    gatewatch_held_rows 3\n";
        let names = |name: &str| BTreeSet::from([name.to_owned()]);
        let configured = BTreeMap::from([("source", names("edge")), ("target", names("edge"))]);
        let shown = without_what_is_gone(text.to_owned(), &configured);
        let ended = "gatewatch_source_up{source=\"edge\",kind=\"file\"} NaN\n";
        let gone = [ended, "gatewatch_source_up{source=\"old\"} 0\n", "gatewatch_target_breaker{target=\"waf\"} 2\n"];
        assert_eq!(shown, gone.iter().fold(text.to_owned(), |text, line| text.replace(line, "")));
        assert_eq!(without_what_is_gone(text.to_owned(), &BTreeMap::new()), text.replace(ended, ""));
    }
}
