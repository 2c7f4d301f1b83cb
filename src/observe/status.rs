//! `/status`: the whole service on one page of JSON, and what `gatewatch status` shows. Figures are those of `/metrics`.
//!
//! Promises: times are RFC 3339 UTC. A field that is not known is null, never left out.
//! Never: holds an entity or anything else of an event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::board::{Board, Phase, SourceFacts};
use super::recorder::Samples;
use super::warn::InForce;
use crate::ingest::health::SourceHealth;
use crate::metric;
use crate::respond::Outbox;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub instance: String,
    pub phase: Phase,
    /// Why `/healthz` says no; null while it says yes.
    pub unhealthy: Option<String>,
    pub now: String,
    pub started: String,
    pub uptime_seconds: i64,
    pub warnings: Vec<WarningStatus>,
    pub sources: Vec<SourceStatus>,
    pub detection: DetectionStatus,
    pub response: ResponseStatus,
    pub checkpoint: CheckpointStatus,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WarningStatus {
    #[serde(flatten)]
    pub held: InForce,
    pub since: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceStatus {
    pub name: String,
    pub kind: String,
    /// up, failing, ended
    pub state: String,
    pub error: Option<String>,
    pub failing_since: Option<String>,
    pub next_try: Option<String>,
    pub failures: u64,
    pub partitions: u64,
    /// Of a topic: how many it has.
    #[serde(default)]
    pub topic_partitions: Option<u64>,
    pub lag_records: Option<u64>,
    pub lag_bytes: Option<u64>,
    pub spool_bytes: Option<u64>,
    pub records: u64,
    pub bytes: u64,
    pub events: u64,
    pub rejects: BTreeMap<String, u64>,
    pub damaged: BTreeMap<String, u64>,
    pub refused: BTreeMap<String, u64>,
    pub late: u64,
    pub ahead: u64,
    pub last_record: Option<String>,
    pub last_event: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DetectionStatus {
    pub watermark: Option<String>,
    pub held_rows: u64,
    pub unevaluated: u64,
    pub detectors: Vec<DetectorStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DetectorStatus {
    pub id: String,
    pub entities: u64,
    pub open: u64,
    /// Since the start.
    pub opened: u64,
    pub evicted: u64,
    /// The sources on which it sees nothing.
    pub blind: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResponseStatus {
    pub dry_run: bool,
    pub targets: Vec<TargetStatus>,
    /// Actions that were not sent since the start, by kind and reason.
    pub suppressed: BTreeMap<String, BTreeMap<String, u64>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TargetStatus {
    pub name: String,
    pub breaker: String,
    pub dry_run: bool,
    pub pending: u64,
    pub in_flight: u64,
    pub parked: u64,
    /// Since the start.
    pub delivered: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckpointStatus {
    pub last: Option<String>,
    /// How long they took on average since the start.
    pub seconds_mean: Option<f64>,
    pub committed: u64,
    pub failed: u64,
    pub uncommitted_rows: u64,
}

impl Status {
    pub async fn of(board: &Board, samples: &Samples, outbox: &Outbox) -> Status {
        let now_us = board.now_us();
        let warning = |held: InForce| WarningStatus { since: time(held.since_us), held };
        let health = board.health.all();
        let source = |facts: &SourceFacts| {
            let health = health.get(&facts.name).cloned().unwrap_or_default();
            source_status(facts, health, samples)
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: board.facts.instance.clone(),
            phase: board.phase(),
            unhealthy: board.unhealthy(),
            now: time(now_us),
            started: time(board.started_us),
            uptime_seconds: (now_us - board.started_us) / 1_000_000,
            warnings: board.warnings.in_force().into_iter().map(warning).collect(),
            sources: board.facts.sources.iter().map(source).collect(),
            detection: detection(board, samples),
            response: response(board, samples, outbox).await,
            checkpoint: checkpoint(samples),
        }
    }
}

/// Of each source one word, or why it cannot be read.
pub fn sources_in_words(board: &Board) -> Vec<(String, serde_json::Value)> {
    let health = board.health.all();
    let of = |facts: &SourceFacts| {
        let is = health.get(&facts.name).cloned().unwrap_or_default();
        let mut words = serde_json::json!({ "state": state_of(&is) });
        if let Some(error) = &is.error {
            words["error"] = error.as_str().into();
            words["next_try"] = is.next_try_us.map(time).into();
        }
        (facts.name.clone(), words)
    };
    board.facts.sources.iter().map(of).collect()
}

fn state_of(health: &SourceHealth) -> &'static str {
    match (&health.error, health.ended) {
        (Some(_), _) => "failing",
        (None, true) => "ended",
        (None, false) => "up",
    }
}

fn time(us: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(us).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// A gauge of a point in time.
fn time_of(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> Option<String> {
    samples.value(name, labels).map(|seconds| time((seconds * 1e6) as i64))
}

fn source_status(facts: &SourceFacts, health: SourceHealth, samples: &Samples) -> SourceStatus {
    let label = [("source", facts.name.as_str())];
    let count = |name: &str| samples.count(name, &label);
    let sum = |name: &str| samples.value(name, &label).map(|value| value as u64);
    SourceStatus {
        name: facts.name.clone(),
        kind: facts.kind.clone(),
        state: state_of(&health).to_owned(),
        failing_since: health.since_us.filter(|_| health.error.is_some()).map(time),
        next_try: health.next_try_us.map(time),
        error: health.error,
        failures: health.failures,
        partitions: count(metric::PARTITIONS),
        topic_partitions: sum(metric::TOPIC_PARTITIONS),
        lag_records: sum(metric::LAG_RECORDS),
        lag_bytes: sum(metric::LAG_BYTES),
        spool_bytes: sum(metric::SPOOL_BYTES),
        records: count(metric::RECORDS),
        bytes: count(metric::RECORD_BYTES),
        events: count(metric::EVENTS),
        rejects: samples.counts_by(metric::REJECTS, &label, "code"),
        damaged: samples.counts_by(metric::DAMAGED, &label, "column"),
        refused: samples.counts_by(metric::REFUSED, &label, "reason"),
        late: count(metric::LATE),
        ahead: count(metric::AHEAD),
        last_record: time_of(samples, metric::SOURCE_LAST_RECORD, &label),
        last_event: time_of(samples, metric::SOURCE_LAST_EVENT, &label),
    }
}

fn detection(board: &Board, samples: &Samples) -> DetectionStatus {
    let detector = |id: &String| {
        let label = [("detector", id.as_str())];
        let count = |name: &str| samples.count(name, &label);
        DetectorStatus {
            id: id.clone(),
            entities: count(metric::ENTITIES),
            open: count(metric::ALERTS_OPEN),
            opened: samples.count(metric::ALERTS, &[("detector", id), ("state", "opened")]),
            evicted: count(metric::EVICTED),
            blind: samples.counts_by(metric::DETECTOR_BLIND, &label, "source").into_keys().collect(),
        }
    };
    DetectionStatus {
        watermark: time_of(samples, metric::WATERMARK, &[]),
        held_rows: samples.count(metric::HELD_ROWS, &[]),
        unevaluated: samples.count(metric::UNEVALUATED, &[]),
        detectors: board.detectors().ids.iter().map(detector).collect(),
    }
}

async fn response(board: &Board, samples: &Samples, outbox: &Outbox) -> ResponseStatus {
    // Counted now where the outbox can be read, else as last counted.
    let counts = outbox.counts().await.unwrap_or_default();
    let stands = |target: &str, state: &str| {
        counts.iter().find(|count| count.target == target && count.state == state).map_or(0, |count| count.actions)
    };
    let target = |is: crate::respond::outbox::TargetStatus| TargetStatus {
        breaker: is.breaker.name().to_owned(),
        dry_run: is.dry_run,
        pending: stands(&is.target, "pending"),
        in_flight: is.in_flight as u64,
        parked: stands(&is.target, "parked"),
        delivered: samples.count(metric::ACTION_STEPS, &[("target", &is.target), ("step", "delivered")]),
        name: is.target,
    };
    let kinds = samples.counts_by(metric::SUPPRESSED, &[], "kind").into_keys();
    let by_reason = |kind: String| {
        let reasons = samples.counts_by(metric::SUPPRESSED, &[("kind", &kind)], "reason");
        (kind, reasons)
    };
    ResponseStatus {
        dry_run: board.facts.dry_run,
        targets: outbox.targets().into_iter().map(target).collect(),
        suppressed: kinds.map(by_reason).collect(),
    }
}

fn checkpoint(samples: &Samples) -> CheckpointStatus {
    let seconds = samples.value(&format!("{}_sum", metric::CHECKPOINT_SECONDS), &[]);
    let times = samples.value(&format!("{}_count", metric::CHECKPOINT_SECONDS), &[]);
    let committed = samples.count(metric::CHECKPOINTS, &[("result", "committed")]);
    CheckpointStatus {
        // Before the first one it is the time of the start.
        last: time_of(samples, metric::CHECKPOINT_LAST, &[]).filter(|_| committed > 0),
        seconds_mean: seconds.zip(times).filter(|(_, times)| *times > 0.0).map(|(seconds, times)| seconds / times),
        committed,
        failed: samples.count(metric::CHECKPOINTS, &[("result", "failed")]),
        uncommitted_rows: samples.count(metric::UNCOMMITTED_ROWS, &[]),
    }
}
