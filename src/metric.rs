//! Every metric of Gatewatch: name, kind, labels and meaning. The one place where names are made; who counts uses the
//! constants, and who reads `/metrics` finds the texts there as HELP.
//!
//! Units are in the names as Prometheus asks: `_total` counts since the start, `_seconds`, `_bytes`; a gauge of a point in
//! time ends in `_timestamp_seconds` (Unix time). Label values come from the configuration and from fixed sets, never
//! from what a client wrote.

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Declares the constants and the table of them.
macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// All of them.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help,
        }),*];
    };
}

metrics! {
    BUILD_INFO = Gauge "gatewatch_build_info" ["version"] "Always 1; the version is the label.";
    // Sources and their partitions.
    SOURCE_UP = Gauge "gatewatch_source_up" ["source"] "1 while the source can be read, 0 while it fails and is retried; gone once it was read to its end.";
    SOURCE_FAILURES = Counter "gatewatch_source_failures_total" ["source"] "Times a source failed and was tried again.";
    SOURCE_LAST_RECORD = Gauge "gatewatch_source_last_record_timestamp_seconds" ["source"] "When the last record of the source was read.";
    SOURCE_LAST_EVENT = Gauge "gatewatch_source_last_event_timestamp_seconds" ["source"] "The newest event time of the source.";
    PARTITIONS = Gauge "gatewatch_partitions" ["source"] "Partitions, files or connections that are open.";
    TOPIC_PARTITIONS = Gauge "gatewatch_topic_partitions" ["source"] "Partitions of the topic; more than gatewatch_partitions when other copies read some.";
    LAG_RECORDS = Gauge "gatewatch_lag_records" ["source", "partition"] "Records of a topic or spool that are not read yet.";
    LAG_BYTES = Gauge "gatewatch_lag_bytes" ["source"] "Bytes of the followed files that are not read yet.";
    RECORDS = Counter "gatewatch_records_total" ["source"] "Records read.";
    RECORD_BYTES = Counter "gatewatch_record_bytes_total" ["source"] "Bytes of the records read.";
    EVENTS = Counter "gatewatch_events_total" ["source"] "Records that became events.";
    REJECTS = Counter "gatewatch_rejects_total" ["source", "code"] "Records that could not become events, by reason.";
    DAMAGED = Counter "gatewatch_damaged_total" ["source", "column"] "Events whose column is null or doubtful because of what the record held there.";
    LATE = Counter "gatewatch_late_total" ["source"] "Events behind the watermark of their partition.";
    AHEAD = Counter "gatewatch_ahead_total" ["source"] "Events whose time is ahead of their partition.";
    REFUSED = Counter "gatewatch_refused_total" ["source", "reason"] "Requests, datagrams or connections a listener refused: rate, size, token, full, shape, slow, network, tls, disk, stopping.";
    SPOOL_BYTES = Gauge "gatewatch_spool_bytes" ["source"] "Bytes of acknowledged records on disk that no checkpoint covers yet.";
    SPOOL_LIMIT_BYTES = Gauge "gatewatch_spool_limit_bytes" ["source"] "Where the spool is full and senders are told to wait.";
    // Detection.
    WATERMARK = Gauge "gatewatch_watermark_timestamp_seconds" [] "The event time up to which rows have been folded.";
    HELD_ROWS = Gauge "gatewatch_held_rows" [] "Rows held back until every partition has passed their time.";
    UNEVALUATED = Counter "gatewatch_unevaluated_total" [] "Rows for which a detector's condition could not be evaluated.";
    ENTITIES = Gauge "gatewatch_detector_entities" ["detector"] "Entities with state.";
    TOO_LATE = Counter "gatewatch_detector_too_late_total" ["detector"] "Late events that no window of the detector held any more.";
    EVICTED = Counter "gatewatch_detector_evicted_total" ["detector"] "Entities that went to make room for newer ones.";
    ALERTS = Counter "gatewatch_alerts_total" ["detector", "state"] "Alert updates told: opened, updated, closed.";
    ALERTS_OPEN = Gauge "gatewatch_alerts_open" ["detector"] "Alerts open now.";
    ALERT_DELAY = Histogram "gatewatch_alert_delay_seconds" [] "From the arrival of the record to the alert that it opened.";
    DETECTOR_BLIND = Gauge "gatewatch_detector_blind" ["detector", "source"] "1 while `client_ip`, `principal`, `endpoint`, `path`, `status` or `response_bytes`, needed by the detector, is never filled by the source.";
    // Response.
    ACTION_STEPS = Counter "gatewatch_action_steps_total" ["target", "kind", "step"] "Steps of actions: planned, sent, suppressed and so on.";
    OUTBOX_PENDING = Gauge "gatewatch_outbox_pending" ["target"] "Actions waiting for their target.";
    OUTBOX_PARKED = Gauge "gatewatch_outbox_parked" ["target"] "Actions that were given up on and wait for a person.";
    OUTBOX_AWAITING = Gauge "gatewatch_outbox_awaiting" ["target"] "Actions that wait for a person to agree.";
    CONTAINED = Gauge "gatewatch_contained" [] "Addresses, networks and principals that are kept out now, at any target.";
    HELD = Gauge "gatewatch_contained_held" [] "Those that should be kept out and are not, because a guard rail or the kill switch says no.";
    DRIFTED = Counter "gatewatch_drifted_total" ["target"] "Entries of a target's list that were changed behind our back and are repaired.";
    SUPPRESSED = Counter "gatewatch_actions_suppressed_total" ["kind", "reason"] "Actions that were not sent, by reason: no target, budget, never-block, unproven and so on.";
    TARGET_BREAKER = Gauge "gatewatch_target_breaker" ["target"] "Circuit breaker: 0 closed, 1 half open, 2 open.";
    DELIVERY = Histogram "gatewatch_delivery_seconds" ["target"] "How long a target took to answer.";
    // The lake.
    CHECKPOINTS = Counter "gatewatch_checkpoints_total" ["result"] "Attempts at a checkpoint by result: committed, failed.";
    CHECKPOINT_SECONDS = Histogram "gatewatch_checkpoint_seconds" [] "How long a checkpoint took to commit.";
    CHECKPOINT_LAST = Gauge "gatewatch_checkpoint_last_timestamp_seconds" [] "When the last checkpoint was committed; before the first one, when the service started.";
    UNCOMMITTED_ROWS = Gauge "gatewatch_uncommitted_rows" [] "Event rows that no checkpoint covers yet.";
    // What a person should know.
    WARNINGS = Gauge "gatewatch_warnings" ["warning"] "Warnings in force now, by kind; the log and /status say what to do about them.";
    CONFIG_RELOAD_SUCCESSFUL = Gauge "gatewatch_config_last_reload_successful" [] "1 when the configuration was right the last time it was read, 0 when it was refused.";
    CONFIG_RELOAD_SUCCESS = Gauge "gatewatch_config_last_reload_success_timestamp_seconds" [] "When the configuration was last read and right.";
    // The process, under the names every exporter uses.
    PROCESS_CPU = Counter "process_cpu_seconds_total" [] "Processor time used, in whole seconds.";
    PROCESS_RSS = Gauge "process_resident_memory_bytes" [] "Resident memory.";
    PROCESS_FDS = Gauge "process_open_fds" [] "Open file descriptors.";
    PROCESS_FDS_MAX = Gauge "process_max_fds" [] "Most file descriptors the process may open.";
    PROCESS_START = Gauge "process_start_time_seconds" [] "When the process started.";
}

/// The table as Markdown, for the documentation.
pub fn markdown() -> String {
    let mut text = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        text.push_str(&format!("| `{}` | {kind} | {} | {} |\n", metric.name, labels.join(", "), metric.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_table() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/observing.md");
        let page = std::fs::read_to_string(page).expect("the page is there");
        let table = markdown();
        assert!(page.contains(&table), "docs/observing.md should hold this table:\n{table}");
    }

    #[test]
    fn names_are_used_once_and_say_their_unit() {
        let mut names = std::collections::HashSet::new();
        for metric in METRICS {
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
