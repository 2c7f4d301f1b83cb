//! `gatewatch demo`: made-up API traffic with planted attacks through the whole pipeline, then what was found of it. With
//! `--days` weeks of it, to measure the detectors: what they find, how soon, and what they tell for nothing.
//!
//! Promises: the folder is one of its own; the short demo fails when it did not go as planned, the long one only when it could
//! not run, since it measures.
//! Never: the network.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use clap::builder::PossibleValuesParser;
use schemas::{Alert, SourceConfig};
use tokio::runtime::Runtime;

use super::output::{self, Progress};
use super::{Failure, shell, usage};
use crate::app::{self, Job};
use crate::clock::{self, Stopwatch};
use crate::config::DetectorsSection;
use crate::demo::days::{self, Days};
use crate::demo::{self, DemoSource, Format, Traffic, TrafficConfig};
use crate::geo::GeoFiles;
use crate::pipeline::{Nobody, Outlet, Totals};
use crate::query::{self, QueryLimits};
use crate::respond::{Outbox, RespondConfig};
use crate::store::Store;
use crate::{keys, private, rules};

const SOURCE: &str = "demo";
/// Marks a folder that the demo made and may empty again.
const MARKER: &str = ".gatewatch-demo";

/// Make API traffic with planted attacks, run it through everything, and say what was found.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch demo
  gatewatch demo --seed 7 --events 1000000 --data-dir /tmp/demo
  gatewatch demo --days 21 --format nginx_json --report score.json")]
pub struct Args {
    /// The same seed makes the same traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests to make, planted ones included.
    #[arg(long, default_value_t = 200_000, conflicts_with = "days")]
    events: u64,
    /// Weeks instead of a day, with every attack at three strengths and a harmless twin of each: 14 to 60 days.
    #[arg(long)]
    days: Option<u32>,
    /// What the gateway of the long demo writes.
    #[arg(long, value_name = "KIND", default_value = "kong", requires = "days", value_parser = formats())]
    format: String,
    /// The score of the long demo as JSON.
    #[arg(long, value_name = "FILE", requires = "days")]
    report: Option<PathBuf>,
    /// Where the tables go; emptied first if an earlier demo made it.
    #[arg(long, value_name = "DIR", default_value = "gatewatch-demo")]
    data_dir: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match args.days {
        None => short(args),
        Some(days) => long(args, days),
    }
}

fn short(args: &Args) -> Result<(), Failure> {
    let config = TrafficConfig { seed: args.seed, events: args.events, ..TrafficConfig::default() };
    let traffic = Traffic::new(&config).map_err(usage)?;
    let plan = traffic.plan().clone();
    let made = Made {
        source: SourceConfig { name: SOURCE.to_owned(), kind: "kong".to_owned(), ..SourceConfig::default() },
        lines: DemoSource::new(SOURCE, traffic),
        events: Some(args.events),
        places: None,
    };
    let Gone { totals, alerts, seconds, runtime } = go(args, made)?;

    let score = demo::score(&plan, &alerts);
    let redactions = runtime.block_on(redactions(&args.data_dir))?;
    let (folder, program) = (args.data_dir.display().to_string(), shell::program());
    let query = format!("{program} query --data-dir {}", shell::quoted(&folder));
    let run = demo::Run {
        seed: args.seed,
        events: totals.events,
        rejects: totals.rejects,
        bytes: totals.bytes,
        seconds,
        redactions: &redactions,
        program: &program,
        lake: Some(demo::Tables { folder: &folder, query: &query }),
    };
    output::stdout(demo::render(&plan, &score, &run, io::stdout().is_terminal()).as_bytes())?;
    if score.perfect() { Ok(()) } else { Err(Failure::Failed(anyhow::anyhow!("the demo did not go as planned"))) }
}

/// The long demo.
fn long(args: &Args, days: u32) -> Result<(), Failure> {
    let format = format_named(&args.format);
    let traffic = Days::new(args.seed, days, format).map_err(usage)?;
    let plan = traffic.plan().clone();
    let source = SourceConfig {
        name: SOURCE.to_owned(),
        kind: format.source_kind().to_owned(),
        verifies_credentials: true,
        ..SourceConfig::default()
    };
    let (lines, places) = (DemoSource::new(SOURCE, traffic), Some(days::database()));
    let gone = go(args, Made { source, lines, events: None, places })?;
    let score = days::judge(&plan, &gone.alerts);
    let Totals { events, rejects, .. } = gone.totals;
    let ran = days::Ran { seed: args.seed, format: &args.format, events, rejects, seconds: gone.seconds };
    if let Some(path) = &args.report {
        let text = format!("{:#}\n", days::document(&score, &ran));
        fs::write(path, text).with_context(|| format!("{}", path.display()))?;
    }
    output::stdout(days::page(&score, &ran).as_bytes())?;
    Ok(())
}

fn formats() -> PossibleValuesParser {
    PossibleValuesParser::new(Format::ALL.map(Format::source_kind))
}

fn format_named(kind: &str) -> Format {
    Format::ALL.into_iter().find(|format| format.source_kind() == kind).expect("the argument is one of these")
}

/// What is to run.
struct Made {
    source: SourceConfig,
    lines: DemoSource,
    events: Option<u64>,
    /// A database of where addresses are.
    places: Option<Vec<u8>>,
}

/// What ran.
struct Gone {
    totals: Totals,
    alerts: Vec<Alert>,
    seconds: f64,
    runtime: Runtime,
}

/// Runs lines through everything, into the folder.
fn go(args: &Args, made: Made) -> Result<Gone, Failure> {
    fresh_folder(&args.data_dir).map_err(usage)?;
    private::data_folder(&args.data_dir, true)?;
    let geo = match made.places {
        None => None,
        Some(database) => {
            let path = args.data_dir.join("places.mmdb");
            fs::write(&path, database).with_context(|| format!("{}", path.display()))?;
            GeoFiles::open(&[path], clock::system())?
        }
    };

    let runtime = app::runtime()?;
    let store = runtime.block_on(Store::open(&args.data_dir.join("state.db")))?;
    let outbox = Outbox::new(store, RespondConfig::default(), Vec::new(), &[], clock::system(), args.seed)?;
    let told = Arc::new(Mutex::new(Vec::new()));
    let progress = Progress::new(made.events, false);
    let watch = Stopwatch::start();
    let lines = made.lines;
    let job = Job {
        sources: vec![made.source],
        geo,
        lateness_us: [(SOURCE.to_owned(), demo::MAX_DISORDER_MS * 1000)].into(),
        open: Box::new(|_| Ok(Box::new(lines))),
        keys: keys::of_data_dir(&args.data_dir).map_err(usage)?,
        threads: None,
        rules: rules::load(&DetectorsSection::default()).map_err(usage)?,
        keep: Some(app::keep_in(&args.data_dir, "demo".to_owned())),
        outbox: Some(Arc::new(outbox)),
        outlets: vec![Box::new(Collect(told.clone()))],
        stop: Arc::new(AtomicBool::new(false)),
        swap: Arc::default(),
        progress: Box::new(|totals| progress.update(totals.events, totals)),
        watcher: Box::new(Nobody),
    };
    let done = app::run(job, runtime.handle())?;
    progress.done();
    let seconds = watch.elapsed().as_secs_f64();
    let alerts = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Gone { totals: done.totals, alerts, seconds, runtime })
}

/// An empty folder of our own. One that holds something else is left alone.
fn fresh_folder(folder: &Path) -> anyhow::Result<()> {
    let marker = folder.join(MARKER);
    if marker.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    } else if folder.exists() && fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?.next().is_some()
    {
        bail!("{}: is not empty and not from an earlier demo; expected a new folder, see --data-dir", folder.display());
    }
    fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
    fs::write(&marker, "made by gatewatch demo, emptied by the next one\n")
        .with_context(|| format!("{}", marker.display()))
}

/// Which classes were removed, and from how many events, most first.
async fn redactions(data_dir: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let limits = QueryLimits::default();
    let uri = app::lake_dir(data_dir).display().to_string();
    let session = query::session(&uri, &Default::default(), limits).await?;
    let sql = "select class, count(*) from (select unnest(redactions) class from events) group by 1 order by 2 desc, 1";
    let answer = query::run(&session, sql, limits).await?;
    let mut counts = Vec::new();
    for batch in &answer.batches {
        let classes = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)?;
        let numbers = batch.column(1).as_primitive::<Int64Type>();
        for (class, number) in classes.as_string::<i32>().iter().zip(numbers.values()) {
            counts.push((class.unwrap_or_default().to_owned(), number.unsigned_abs()));
        }
    }
    Ok(counts)
}

/// Keeps every telling, for the score.
struct Collect(Arc<Mutex<Vec<Alert>>>);

impl Outlet for Collect {
    fn tell(&mut self, alerts: &[Alert]) -> anyhow::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(alerts);
        Ok(())
    }
}
