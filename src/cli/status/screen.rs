//! The status as a person reads it: warnings first, then one table each for sources, detectors and targets.
//!
//! Promises: columns line up; times are told from now (`3 s ago`); what is not known is `-`. Text from elsewhere is one line.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::DateTime;

use crate::cli::output::{counted, grouped};
use crate::observe::status::{DetectorStatus, SourceStatus, Status, TargetStatus};

/// Detectors that are shown at most: those that have something to tell.
const DETECTORS_MAX: usize = 20;

pub fn render(status: &Status) -> String {
    let mut text = String::new();
    let Status { version, instance, phase, uptime_seconds, .. } = status;
    let phase = format!("{phase:?}").to_lowercase();
    let up = span(*uptime_seconds * 1_000);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "gatewatch {version}, instance {instance}: {phase}, up {up}");
    if let Some(why) = &status.unhealthy {
        let _ = writeln!(text, "\nNOT HEALTHY: {}", one_line(why));
    }
    warnings(&mut text, status);
    sources(&mut text, status);
    detection(&mut text, status);
    response(&mut text, status);
    let checkpoint = &status.checkpoint;
    let mean = checkpoint.seconds_mean.map_or("-".to_owned(), |seconds| format!("{:.0} ms", seconds * 1e3));
    let _ = writeln!(
        text,
        "\nCheckpoints: last {}, {} committed, {} failed, {mean} on average, {} not committed yet",
        ago(status, checkpoint.last.as_deref()),
        grouped(checkpoint.committed),
        grouped(checkpoint.failed),
        counted(checkpoint.uncommitted_rows, "row"),
    );
    text
}

fn warnings(text: &mut String, status: &Status) {
    if status.warnings.is_empty() {
        let _ = writeln!(text, "No warnings.");
        return;
    }
    let _ = writeln!(text, "\n{}:", counted(status.warnings.len() as u64, "warning").to_uppercase());
    for warning in &status.warnings {
        let (held, since) = (&warning.held, ago(status, Some(&warning.since)));
        let (kind, about) = (held.warning.name(), one_line(&held.about));
        let _ = writeln!(text, "  {kind} ({about}), since {since}: {}", one_line(&held.message));
        let _ = writeln!(text, "    -> {}", one_line(&held.cure));
    }
}

fn sources(text: &mut String, status: &Status) {
    let row = |source: &SourceStatus| {
        let lag = match (source.lag_records, source.lag_bytes) {
            (Some(records), _) => grouped(records),
            (None, Some(bytes)) => format!("{} B", grouped(bytes)),
            (None, None) => "-".to_owned(),
        };
        vec![
            source.name.clone(),
            source.kind.clone(),
            source.state.clone(),
            grouped(source.partitions),
            lag,
            grouped(source.records),
            grouped(source.events),
            grouped(source.rejects.values().sum()),
            grouped(source.damaged.values().sum()),
            grouped(source.late),
            ago(status, source.last_record.as_deref()),
            ago(status, source.last_event.as_deref()),
        ]
    };
    let head = [
        "SOURCE",
        "KIND",
        "STATE",
        "PARTITIONS",
        "LAG",
        "RECORDS",
        "EVENTS",
        "REJECTS",
        "DAMAGED",
        "LATE",
        "LAST RECORD",
        "LAST EVENT",
    ];
    table(text, &head, &status.sources.iter().map(row).collect::<Vec<_>>());
    for source in &status.sources {
        if let Some(error) = &source.error {
            let next = source
                .next_try
                .as_deref()
                .map_or(String::new(), |next| format!("; next try {}", ago(status, Some(next))));
            let since = ago(status, source.failing_since.as_deref());
            let _ = writeln!(text, "  {} fails since {since}{next}: {}", source.name, one_line(error));
        }
        for (what, counts) in [("rejects", &source.rejects), ("damaged", &source.damaged), ("refused", &source.refused)]
        {
            if !counts.is_empty() {
                let _ = writeln!(text, "  {} {what}: {}", source.name, listed(counts));
            }
        }
    }
}

fn detection(text: &mut String, status: &Status) {
    let detection = &status.detection;
    let _ = writeln!(
        text,
        "\nDetection: seen up to {}, {} held back, {}",
        ago(status, detection.watermark.as_deref()),
        counted(detection.held_rows, "row"),
        counted(detection.detectors.len() as u64, "detector"),
    );
    let says = |d: &&DetectorStatus| d.open + d.opened + d.evicted > 0 || !d.blind.is_empty();
    let mut telling: Vec<&DetectorStatus> = detection.detectors.iter().filter(says).collect();
    telling.sort_by(|a, b| (b.open, b.opened, &a.id).cmp(&(a.open, a.opened, &b.id)));
    let row = |detector: &&DetectorStatus| {
        vec![
            detector.id.clone(),
            grouped(detector.open),
            grouped(detector.opened),
            grouped(detector.entities),
            grouped(detector.evicted),
            if detector.blind.is_empty() { "-".to_owned() } else { detector.blind.join(", ") },
        ]
    };
    let head = ["DETECTOR", "OPEN", "OPENED", "ENTITIES", "EVICTED", "BLIND ON"];
    if !telling.is_empty() {
        table(text, &head, &telling.iter().take(DETECTORS_MAX).map(row).collect::<Vec<_>>());
    }
    if telling.len() > DETECTORS_MAX {
        let _ = writeln!(text, "  and {} more; --json has all", telling.len() - DETECTORS_MAX);
    }
}

fn response(text: &mut String, status: &Status) {
    let response = &status.response;
    let mode = if response.dry_run { "dry run" } else { "live" };
    let _ = writeln!(text, "\nResponse: {mode}, {}", counted(response.targets.len() as u64, "target"));
    let row = |target: &TargetStatus| {
        vec![
            target.name.clone(),
            if target.dry_run { "dry run" } else { "live" }.to_owned(),
            target.breaker.clone(),
            grouped(target.pending),
            grouped(target.parked),
            grouped(target.delivered),
        ]
    };
    let head = ["TARGET", "MODE", "BREAKER", "PENDING", "PARKED", "DELIVERED"];
    if !response.targets.is_empty() {
        table(text, &head, &response.targets.iter().map(row).collect::<Vec<_>>());
    }
    for (kind, reasons) in &response.suppressed {
        let _ = writeln!(text, "  {kind} suppressed: {}", listed(reasons));
    }
}

fn listed(counts: &BTreeMap<String, u64>) -> String {
    let one = |(name, count): (&String, &u64)| format!("{name} {}", grouped(*count));
    counts.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The first column to the left, numbers to the right, words to the left.
pub fn table(text: &mut String, head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_number =
        |column: usize| rows.iter().all(|row| row[column].starts_with(|c: char| c.is_ascii_digit() || c == '-'));
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    text.push('\n');
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = match column > 0 && is_number(column) {
                true => write!(line, "{cell:>width$}  "),
                false => write!(line, "{cell:<width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// A time from now on: `3 s ago`, `in 4 s`.
fn ago(status: &Status, time: Option<&str>) -> String {
    let parse = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis());
    let Some((then, now)) = time.and_then(parse).zip(parse(&status.now)) else { return "-".to_owned() };
    if then > now { format!("in {}", span(then - now)) } else { format!("{} ago", span(now - then)) }
}

/// A length of time with one or two units.
pub fn span(ms: i64) -> String {
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Without characters that steer a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> Status {
        let source = json!({
            "name": "edge", "kind": "kong", "state": "failing", "error": "kafka a:9092: away\u{1b}[31m",
            "failing_since": "2026-03-02T09:59:00.000Z", "next_try": "2026-03-02T10:00:04.000Z", "failures": 3,
            "partitions": 3, "lag_records": 1200, "lag_bytes": null, "spool_bytes": null, "records": 1234567, "bytes": 9,
            "events": 1234000, "rejects": {"invalid_json": 567}, "damaged": {}, "refused": {}, "late": 0, "ahead": 0,
            "last_record": "2026-03-02T09:59:57.000Z", "last_event": "2026-03-02T09:00:00.000Z",
        });
        serde_json::from_value(json!({
            "version": "0.1.0", "instance": "main", "phase": "running", "now": "2026-03-02T10:00:00.000Z",
            "started": "2026-03-01T08:00:00.000Z", "uptime_seconds": 93_600,
            "warnings": [{"warning": "rejects", "about": "edge", "count": 567, "message": "567 of the last 1,000 records are rejects",
                          "cure": "is kind: kong right?", "since": "2026-03-02T09:58:00.000Z"}],
            "sources": [source],
            "detection": {"watermark": null, "held_rows": 1, "unevaluated": 0, "detectors": [
                {"id": "auth-burst-ip", "entities": 10, "open": 1, "opened": 2, "evicted": 0, "blind": ["edge"]},
                {"id": "quiet-one", "entities": 5, "open": 0, "opened": 0, "evicted": 0, "blind": []}]},
            "response": {"dry_run": true, "targets": [], "suppressed": {"block": {"no_target": 85}}},
            "checkpoint": {"last": "2026-03-02T09:59:55.000Z", "seconds_mean": 0.0421, "committed": 12, "failed": 0,
                           "uncommitted_rows": 0},
        }))
        .expect("a status")
    }

    #[test]
    fn a_screen_says_what_matters_first_and_lines_up() {
        let text = render(&status());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "gatewatch 0.1.0, instance main: running, up 1 d 2 h");
        assert_eq!(lines[2], "1 WARNING:");
        assert_eq!(lines[3], "  rejects (edge), since 2 min ago: 567 of the last 1,000 records are rejects");
        assert_eq!(lines[4], "    -> is kind: kong right?");
        let head = lines.iter().position(|line| line.starts_with("SOURCE")).expect("a table");
        let row = lines[head + 1];
        let end_of = |line: &str, word: &str| line.find(word).map(|at| at + word.len());
        for (name, cell) in
            [("LAG", "1,200"), ("RECORDS", "1,234,567"), ("REJECTS", "567"), ("LAST EVENT", "1 h 0 min ago")]
        {
            assert_eq!(end_of(lines[head], name), row.rfind(cell).map(|at| at + cell.len()), "{name}: {text}");
        }
        assert!(text.contains("  edge fails since 1 min ago; next try in 4 s: kafka a:9092: away [31m\n"), "{text}");
        assert!(text.contains("  edge rejects: invalid_json 567\n"), "{text}");
        assert!(text.contains("Detection: seen up to -, 1 row held back, 2 detectors\n"), "{text}");
        assert!(text.contains("auth-burst-ip") && !text.contains("quiet-one"), "{text}");
        assert!(text.contains("  block suppressed: no_target 85\n"), "{text}");
        assert!(
            text.contains(
                "Checkpoints: last 5 s ago, 12 committed, 0 failed, 42 ms on average, 0 rows not committed yet\n"
            ),
            "{text}"
        );
    }
}
