//! What a replay says at its end, on standard error, and the object of `--summary`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use schemas::{Code, DriftKind};
use serde::Serialize;

use super::Args;
use super::inputs::Inputs;
use crate::app::Done;
use crate::cli::output::{self, counted, grouped, stderr_line};
use crate::cli::{Failure, shell, usage};
use crate::pipeline::{Drifted, Totals};
use crate::telemetry;

/// Fields that drifted are named up to this many, those that a column lacks first.
const DRIFTED_SHOWN: usize = 5;
/// And files that were in the lake before.
const KEPT_FILES_SHOWN: usize = 5;

/// What `--summary` writes. Times are RFC 3339 UTC.
#[derive(Serialize)]
pub struct Summary {
    pub records: u64,
    pub events: u64,
    pub rejects: u64,
    pub alerts_opened: u64,
    /// Those of them that opened as parts of others.
    pub alert_parts: u64,
    pub seconds: f64,
    pub events_per_second: f64,
    pub bytes: u64,
    pub rss_max_bytes: u64,
    pub first_event: Option<String>,
    pub last_event: Option<String>,
    pub late: u64,
}

impl Summary {
    pub fn of(totals: &Totals, seconds: f64) -> Summary {
        let time = |us: Option<i64>| us.map(schemas::time_text);
        Summary {
            records: totals.records,
            events: totals.events,
            rejects: totals.rejects,
            alerts_opened: totals.alerts_opened,
            alert_parts: totals.alert_parts,
            seconds,
            events_per_second: totals.events as f64 / seconds.max(1e-9),
            bytes: totals.bytes,
            rss_max_bytes: telemetry::rss_max_bytes(),
            first_event: time(totals.first_event_us),
            last_event: time(totals.last_event_us),
            late: totals.late,
        }
    }
}

/// Says what was done, and what a person might wonder about.
pub fn tell(args: &Args, inputs: &Inputs, done: &Done, summary: &Summary, data_dir: &Path) -> Result<(), Failure> {
    if let Some(path) = &args.summary {
        let mut out = output::create(path).map_err(usage)?;
        serde_json::to_writer(&mut out, summary).context("--summary")?;
        out.write_all(b"\n").and_then(|()| out.flush()).context("--summary")?;
    }
    done.drifted.iter().take(DRIFTED_SHOWN).for_each(|one| stderr_line(&drifted(inputs, one)));
    if done.totals.rejects > 0 {
        stderr_line(&rejects(args, inputs, &done.totals));
    }
    for (source, survey) in &done.totals.surveys {
        for doubt in survey.doubts(inputs.written_us(source)) {
            stderr_line(&format!("{}: {doubt}", inputs.shown(source)));
        }
    }
    kept_before(inputs, done, data_dir);
    let parts = match summary.alert_parts {
        0 => String::new(),
        parts => format!(", {} of them parts of others", grouped(parts)),
    };
    stderr_line(&format!(
        "{}: {}, {}, {} late; {}{parts}; {:.1} s, {} events/s",
        counted(summary.records, "record"),
        counted(summary.events, "event"),
        counted(summary.rejects, "reject"),
        grouped(summary.late),
        counted(summary.alerts_opened, "alert"),
        summary.seconds,
        grouped(summary.events_per_second as u64),
    ));
    if !args.no_lake {
        stderr_line(&format!(
            "kept in {}; ask it with: {} query --data-dir {} 'select * from alerts_latest'",
            data_dir.display(),
            shell::program(),
            shell::quoted(&data_dir.display().to_string())
        ));
    }
    Ok(())
}

/// One field that is not as the mapping expects it.
fn drifted(inputs: &Inputs, Drifted { source, drift }: &Drifted) -> String {
    let (file, path, sampled) = (inputs.shown(source), &drift.path, counted(drift.sampled, "sampled record"));
    match drift.kind {
        DriftKind::Appeared => format!("{file}: field `{path}` is in no column (seen in {sampled})"),
        DriftKind::Vanished => format!("{file}: field `{path}`, which fills a column, is not in the last {sampled}"),
        DriftKind::ChangedType { was, is } => {
            format!("{file}: field `{path}`, which fills a column, was {was} and is {is} (in {sampled})")
        }
    }
}

/// How many rejects there are, why, and the command that shows them.
fn rejects(args: &Args, inputs: &Inputs, totals: &Totals) -> String {
    let word = |path: &Path| shell::quoted(&path.display().to_string());
    let mapping = args.source.mapping.as_deref().map_or(String::new(), |path| format!(" --mapping {}", word(path)));
    let format = args.source.nginx_format.as_deref();
    let format = format.map_or(String::new(), |format| format!(" --nginx-format {}", shell::quoted(format)));
    let file = inputs.only_file().map_or("FILE".to_owned(), word);
    let mut counts: BTreeMap<Code, u64> = BTreeMap::new();
    for (code, count) in totals.surveys.values().flat_map(|survey| &survey.rejects) {
        *counts.entry(*code).or_default() += count;
    }
    let mut codes: Vec<(&Code, &u64)> = counts.iter().collect();
    codes.sort_by_key(|(_, count)| Reverse(**count));
    let codes: Vec<String> =
        codes.iter().map(|(code, count)| format!("{} {}", code.as_str(), grouped(**count))).collect();
    let (rejects, program, kind) = (counted(totals.rejects, "reject"), shell::program(), &args.source.kind);
    format!("{rejects}: {}; `{program} explain --source {kind}{mapping}{format} {file}` shows each", codes.join(", "))
}

/// Files that were in the lake before: why less was read of them than is in them, and what detection knows of them.
fn kept_before(inputs: &Inputs, done: &Done, data_dir: &Path) {
    let (files, folder) = (inputs.kept(), data_dir.display());
    let first = if done.totals.records == 0 { "" } else { "first " };
    for (file, records) in files.iter().take(KEPT_FILES_SHOWN) {
        let (records, are) = (counted(*records, "record"), if *records == 1 { "is" } else { "are" });
        stderr_line(&format!(
            "{file}: its {first}{records} {are} in {folder} already; --no-lake detects again without keeping"
        ));
    }
    if files.len() > KEPT_FILES_SHOWN {
        stderr_line(&format!("and so it is with {} more of the files", files.len() - KEPT_FILES_SHOWN));
    }
    if !files.is_empty() && done.totals.records > 0 && !done.continued {
        stderr_line("these files were not replayed together before: detection began without a past");
    }
}
