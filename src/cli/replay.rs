//! `gatewatch replay`: detects on files, and keeps the events as tables unless told not to.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use schemas::SourceConfig;
use serde::Serialize;

use super::output::{self, JsonLines, Progress};
use super::{Failure, usage};
use crate::app::{self, Job};
use crate::clock::{self, Stopwatch};
use crate::config::{DetectorsSection, Span};
use crate::ingest::file::{self, FileSource};
use crate::ingest::merged::{Merged, Named};
use crate::ingest::stdin::StdinSource;
use crate::ingest::{Positions, ReadLimits, Source};
use crate::pipeline::{Outlet, Totals};
use crate::{keys, rules, telemetry};

/// Fields that no mapping knows are named up to this many.
const UNKNOWN_FIELDS_SHOWN: usize = 5;
/// A pipe that is silent for so long no longer holds other files back.
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// Replay log files through detection.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch replay access.log --source combined
  gatewatch replay kong-*.json.gz --source kong --detectors my-detectors --alerts - --no-lake
  zcat old.gz | gatewatch replay - --source nginx_json --summary summary.json

A file that is already in the lake continues where it was left; nothing is counted twice.")]
pub struct Args {
    /// Log files, plain, gzip or zstd; - is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Format of the records.
    #[arg(long, value_name = "KIND")]
    source: String,
    /// Mapping file for --source mapping.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
    /// Detectors to run besides the built-in catalogue: a file or a folder.
    #[arg(long, value_name = "DIR")]
    detectors: Vec<PathBuf>,
    /// Leave the built-in catalogue out.
    #[arg(long)]
    no_catalogue: bool,
    /// Where the tables go.
    #[arg(long, value_name = "DIR", conflicts_with = "no_lake")]
    data_dir: Option<PathBuf>,
    /// Detect only; keep nothing.
    #[arg(long)]
    no_lake: bool,
    /// Proxies (CIDR) whose X-Forwarded-For is believed.
    #[arg(long, value_name = "CIDR")]
    trusted_proxy: Vec<String>,
    /// How far a record may come behind a later one and still be detected on.
    #[arg(long, default_value = "2m", value_name = "SPAN")]
    lateness: Span,
    /// Alerts as JSON Lines; - is standard output.
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// One JSON object about the run; - is standard output.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
}

/// What `--summary` writes. Times are RFC 3339 UTC.
#[derive(Serialize)]
pub struct Summary {
    pub records: u64,
    pub events: u64,
    pub rejects: u64,
    pub alerts_opened: u64,
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

pub fn run(args: &Args) -> Result<(), Failure> {
    let section =
        DetectorsSection { catalogue: !args.no_catalogue, paths: args.detectors.clone(), disabled: Vec::new() };
    let rules = rules::load(&section).map_err(usage)?;
    let inputs = inputs(&args.files).map_err(usage)?;
    let sources: Vec<SourceConfig> =
        inputs.iter().map(|input| source_config(args, &input.name)).collect::<anyhow::Result<_>>().map_err(usage)?;
    let data_dir = args.data_dir.clone().unwrap_or_else(super::default_data_dir);
    let keys = if args.no_lake { keys::of_the_moment()? } else { keys::of_data_dir(&data_dir)? };
    app::check_sources(&sources).map_err(usage)?;
    let keep = (!args.no_lake).then(|| app::keep_in(&data_dir, instance(&inputs)));

    let mut outlets: Vec<Box<dyn Outlet>> = Vec::new();
    if let Some(path) = &args.alerts {
        outlets.push(Box::new(JsonLines(output::create(path).map_err(usage)?)));
    }
    let total = inputs.iter().all(|input| !input.is_stdin()).then(|| inputs.iter().map(|input| input.bytes).sum());
    let (progress, read) = (Progress::new(total, true), BytesRead::default());
    let watch = Stopwatch::start();
    let runtime = app::runtime()?;
    let job = Job {
        lateness_us: sources.iter().map(|s| (s.name.clone(), args.lateness.us)).collect(),
        sources,
        open: Box::new(|positions| open(&inputs, &positions, &read)),
        keys,
        rules,
        keep,
        outbox: None,
        outlets,
        stop: Arc::new(AtomicBool::new(false)),
        progress: Box::new(|totals| progress.update(bytes_read(&read), totals)),
    };
    let done = app::run(job, runtime.handle())?;
    progress.done();
    for field in done.unknown_fields.iter().take(UNKNOWN_FIELDS_SHOWN) {
        output::stderr_line(&format!(
            "{}: no column takes the field {} (sampled {} times)",
            field.source, field.path, field.sampled
        ));
    }
    let summary = Summary::of(&done.totals, watch.elapsed().as_secs_f64());
    tell(args, &summary, &data_dir)
}

/// One thing to read: its lane's source name says which file it was, the same on every run.
struct Input {
    path: PathBuf,
    name: String,
    bytes: u64,
}

impl Input {
    fn is_stdin(&self) -> bool {
        self.path.as_os_str() == "-"
    }
}

fn inputs(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let one = |path: &PathBuf| {
        if path.as_os_str() == "-" {
            // Each stream is another one, although all have the same name to the system.
            return Ok(Input { path: path.clone(), name: format!("stdin@{:x}", clock::now_us()), bytes: 0 });
        }
        let identity = file::identity(path)?;
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain: String =
            file_name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let bytes = std::fs::metadata(path).map_or(0, |meta| meta.len());
        Ok(Input { path: path.clone(), name: format!("{plain}@{}", &identity[..8]), bytes })
    };
    let inputs: Vec<Input> = paths.iter().map(one).collect::<anyhow::Result<_>>()?;
    for (index, input) in inputs.iter().enumerate() {
        if inputs[..index].iter().any(|earlier| earlier.name == input.name) {
            anyhow::bail!("{}: is named twice", input.path.display());
        }
    }
    Ok(inputs)
}

/// The same files in the same order are one job: a second run continues the first.
fn instance(inputs: &[Input]) -> String {
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, names.join("\n").as_bytes());
    let short: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("replay-{short}")
}

/// How far reading has come, in bytes of the files as they are on disk.
type BytesRead = Arc<Mutex<Vec<file::Progress>>>;

fn bytes_read(read: &BytesRead) -> u64 {
    read.lock().unwrap_or_else(PoisonError::into_inner).iter().map(file::Progress::read_bytes).sum()
}

fn open(inputs: &[Input], positions: &Arc<dyn Positions>, read: &BytesRead) -> anyhow::Result<Box<dyn Source>> {
    let mut sources = Vec::new();
    for input in inputs {
        let (name, limits) = (input.name.as_str(), ReadLimits::default());
        let source: Box<dyn Source> = if input.is_stdin() {
            Box::new(StdinSource::new(name, limits, IDLE_AFTER, positions.clone(), clock::system())?)
        } else {
            let paths = std::slice::from_ref(&input.path);
            let source = FileSource::new(paths, name, limits, positions.clone(), clock::system())?;
            read.lock().unwrap_or_else(PoisonError::into_inner).push(source.progress());
            Box::new(source)
        };
        sources.push(Named { name: input.name.clone(), source });
    }
    Ok(Box::new(Merged::new(sources)))
}

fn source_config(args: &Args, name: &str) -> anyhow::Result<SourceConfig> {
    super::explain::source_config(name, &args.source, args.mapping.as_deref(), &args.trusted_proxy)
}

fn tell(args: &Args, summary: &Summary, data_dir: &Path) -> Result<(), Failure> {
    if let Some(path) = &args.summary {
        let mut out = output::create(path).map_err(usage)?;
        serde_json::to_writer(&mut out, summary).context("--summary")?;
        out.write_all(b"\n").and_then(|()| out.flush()).context("--summary")?;
    }
    let line = format!(
        "{} records: {} events, {} rejects, {} late; {} alerts; {:.1} s, {} events/s",
        output::grouped(summary.records),
        output::grouped(summary.events),
        output::grouped(summary.rejects),
        output::grouped(summary.late),
        summary.alerts_opened,
        summary.seconds,
        output::grouped(summary.events_per_second as u64),
    );
    output::stderr_line(&line);
    if !args.no_lake {
        output::stderr_line(&format!(
            "kept in {}; ask it with: gatewatch query --data-dir {} 'select * from alerts_latest'",
            data_dir.display(),
            data_dir.display()
        ));
    }
    Ok(())
}
