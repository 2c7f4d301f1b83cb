//! `gatewatch replay`: detects on files, and keeps the events as tables unless told not to.

mod inputs;
mod known;
mod told;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::anyhow;
use schemas::SourceConfig;

use super::output::{AlertsFile, Progress, stderr_line};
use super::shared::{DetectorArgs, SourceArgs};
use super::{Failure, usage};
use crate::app::{self, Job};
use crate::clock::Stopwatch;
use crate::config::Span;
use crate::pipeline::{Nobody, Outlet};
use crate::{keys, private, rules};
use inputs::Inputs;
use told::{Summary, tell};

/// Replay log files through detection.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch replay access.log
  gatewatch replay access.log --source combined
  gatewatch replay kong-*.json.gz --source kong --detectors my-detectors --alerts - --no-lake
  zcat old.gz | gatewatch replay - --source nginx_json --summary summary.json

A file that is already in the lake continues where it was left; nothing is counted twice.
Exit status 1 also when no record at all became an event.")]
pub struct Args {
    /// Log files, plain, gzip or zstd; - is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    detectors: DetectorArgs,
    /// Where the tables go [default: $GATEWATCH_DATA_DIR, or gatewatch-data].
    #[arg(long, value_name = "DIR", conflicts_with = "no_lake")]
    data_dir: Option<PathBuf>,
    /// Detect only; keep nothing.
    #[arg(long)]
    no_lake: bool,
    /// How far a record may come behind a later one and still be detected on.
    #[arg(long, default_value = "2m", value_name = "SPAN")]
    lateness: Span,
    /// Threads that normalise, one file one of them, and that detect [default: as many as there are processors, up to 4].
    #[arg(long, value_name = "NUMBER", value_parser = threads)]
    threads: Option<usize>,
    /// Alerts as JSON Lines; - is standard output.
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// One JSON object about the run; - is standard output.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
}

fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|error| format!("{error}"))?;
    crate::limits::check_threads(number)
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let rules = rules::load(&args.detectors.section()).map_err(usage)?;
    let mut inputs = Inputs::new(&args.files).map_err(usage)?;
    let data_dir = args.data_dir.clone().unwrap_or_else(super::default_data_dir);
    if !args.no_lake {
        for path in inputs.tell_apart(&data_dir).map_err(usage)? {
            let what =
                "is another file than the one that was read before under this name: it is read from its beginning";
            stderr_line(&format!("{}: {what}", path.display()));
        }
    }
    let config = |(name, path): (&str, &Path)| args.source.config(name, path);
    let sources: Vec<SourceConfig> = inputs.named().map(config).collect::<anyhow::Result<_>>().map_err(usage)?;
    app::check_sources(&sources).map_err(usage)?;
    let geo = args.source.geo().map_err(usage)?;
    let alerts = args.alerts.as_deref().map(AlertsFile::new).transpose().map_err(usage)?;
    let keys = if args.no_lake {
        keys::of_the_moment().map_err(usage)?
    } else {
        private::data_folder(&data_dir, true)?;
        keys::of_data_dir(&data_dir).map_err(usage)?
    };

    let progress = Progress::new(inputs.bytes(), true);
    let watch = Stopwatch::start();
    let runtime = app::runtime()?;
    let job = Job {
        lateness_us: inputs.names().map(|name| (name.to_owned(), args.lateness.us)).collect(),
        sources,
        geo,
        open: Box::new(|positions| inputs.open(positions)),
        keys,
        threads: args.threads,
        rules,
        keep: (!args.no_lake).then(|| app::keep_in(&data_dir, inputs.instance())),
        outbox: None,
        outlets: alerts.clone().map(|file| Box::new(file) as Box<dyn Outlet>).into_iter().collect(),
        stop: Arc::new(AtomicBool::new(false)),
        swap: Arc::default(),
        progress: Box::new(|totals| progress.update(inputs.bytes_read(), totals)),
        watcher: Box::new(Nobody),
    };
    let done = app::run(job, runtime.handle())?;
    progress.done();
    if !args.no_lake {
        inputs.note(&data_dir)?;
    }

    // Something was read and nothing told of it: that is an answer, too.
    if let Some(alerts) = alerts.filter(|_| done.totals.records > 0) {
        alerts.open()?;
    }
    let summary = Summary::of(&done.totals, watch.elapsed().as_secs_f64());
    tell(args, &inputs, &done, &summary, &data_dir)?;
    if summary.records > 0 && summary.events == 0 {
        return Err(Failure::Failed(anyhow!("no record became an event: is --source {} right?", args.source.kind)));
    }
    Ok(())
}
