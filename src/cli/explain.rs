//! `gatewatch explain`: what each record becomes, one JSON object per record, in order.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use detectors::{Engine, EngineLimits};
use schemas::{Normaliser, RawBatch};
use serde_json::{Value, json};

use super::output::stderr_line;
use super::shared::{DetectorArgs, SourceArgs};
use super::{Failure, usage};
use crate::app::FromTheStart;
use crate::ingest::file::{self, FileSource};
use crate::ingest::stdin::StdinSource;
use crate::ingest::{Positions, ReadLimits, Signal, Source};
use crate::survey::Survey;
use crate::{clock, keys, rules};

/// Show what each record becomes: the redacted event and the detectors that look at it, or why it is rejected.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch explain --source combined access.log | head -1 | jq
  tail -n 1 kong.log | gatewatch explain --source kong

One JSON object per record: {\"event\": {...}, \"matched\": [detector ids]} or {\"reject\": {\"code\": ..., \"detail\": ...}}.")]
pub struct Args {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    detectors: DetectorArgs,
    /// A log file; without one, or with -, standard input.
    file: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let rules = rules::load(&args.detectors.section()).map_err(usage)?;
    let engine = Engine::new(rules, EngineLimits::default())?;
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from("-"));
    let config = args.source.config("explain", &path).map_err(usage)?;
    let mut normaliser = Normaliser::new(&config, &keys::of_the_moment().map_err(usage)?).map_err(usage)?;
    normaliser.set_geo(args.source.geo().map_err(usage)?.map(|files| files.geo()));
    let (positions, limits): (Arc<dyn Positions>, _) = (Arc::new(FromTheStart), ReadLimits::default());
    let mut source: Box<dyn Source> = match args.file.as_deref() {
        Some(path) if path.as_os_str() != "-" => {
            Box::new(FileSource::new(&[path], "explain", limits, positions, clock::system()).map_err(usage)?)
        }
        _ => Box::new(StdinSource::new("explain", limits, Duration::MAX, positions, clock::system())?),
    };
    let mut survey = Survey::default();
    let mut out = BufWriter::new(io::stdout().lock());
    while !source.finished() {
        let Some(Signal::Records { lane, records }) = source.next(Duration::from_millis(50))? else { continue };
        explain(&mut normaliser, &engine, &lane, &records, &mut survey, &mut out)?;
    }
    out.flush()?;
    let file = args.file.as_deref().filter(|path| path.as_os_str() != "-");
    for doubt in survey.doubts(file.and_then(file::written_us)) {
        stderr_line(&format!("{}: {doubt}", path.display()));
    }
    Ok(())
}

fn explain(
    normaliser: &mut Normaliser,
    engine: &Engine,
    lane: &schemas::Lane,
    records: &RawBatch,
    survey: &mut Survey,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let normalised = normaliser.normalise(lane, records);
    survey.note_events(&normalised.events);
    survey.note_rejects(&normalised.rejects);
    let matched = engine.matched(&normalised.events)?;
    let mut lines: Vec<(i64, Value)> = Vec::with_capacity(records.len());
    for (row, ids) in matched.into_iter().enumerate() {
        let event = schemas::event_json(&normalised.events, row);
        let offset = event.get("offset").and_then(Value::as_i64).unwrap_or(0);
        lines.push((offset, json!({ "event": event, "matched": ids })));
    }
    for reject in &normalised.rejects {
        let told =
            json!({ "code": reject.code, "detail": reject.detail, "offset": reject.offset, "length": reject.length });
        lines.push((reject.offset, json!({ "reject": told })));
    }
    // Stable: the events of one record keep their order.
    lines.sort_by_key(|(offset, _)| *offset);
    for (_, line) in lines {
        serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
