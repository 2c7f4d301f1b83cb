//! `gatewatch demo`: made-up API traffic with planted attacks through the whole pipeline, then what was found of it.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use schemas::{Alert, SourceConfig};

use super::output::{self, Progress};
use super::{Failure, shell, usage};
use crate::app::{self, Job};
use crate::clock::{self, Stopwatch};
use crate::config::DetectorsSection;
use crate::demo::{self, DemoSource, Traffic, TrafficConfig};
use crate::pipeline::{Nobody, Outlet};
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
  gatewatch demo --seed 7 --events 1000000 --data-dir /tmp/demo")]
pub struct Args {
    /// The same seed makes the same traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests to make, planted ones included.
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// Where the tables go; emptied first if an earlier demo made it.
    #[arg(long, value_name = "DIR", default_value = "gatewatch-demo")]
    data_dir: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = TrafficConfig { seed: args.seed, events: args.events, ..TrafficConfig::default() };
    let traffic = Traffic::new(&config).map_err(usage)?;
    let plan = traffic.plan().clone();
    fresh_folder(&args.data_dir).map_err(usage)?;
    private::data_folder(&args.data_dir, true)?;

    let runtime = app::runtime()?;
    let store = runtime.block_on(Store::open(&args.data_dir.join("state.db")))?;
    let outbox = Outbox::new(store, RespondConfig::default(), Vec::new(), &[], clock::system(), args.seed)?;
    let told = Arc::new(Mutex::new(Vec::new()));
    let progress = Progress::new(Some(args.events), false);
    let watch = Stopwatch::start();
    let job = Job {
        sources: vec![SourceConfig { name: SOURCE.to_owned(), kind: "kong".to_owned(), ..SourceConfig::default() }],
        geo: None,
        lateness_us: [(SOURCE.to_owned(), demo::MAX_DISORDER_MS * 1000)].into(),
        open: Box::new(|_| Ok(Box::new(DemoSource::new(SOURCE, traffic)))),
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
    let score = demo::score(&plan, &alerts);
    let redactions = runtime.block_on(redactions(&args.data_dir))?;
    let (folder, program) = (args.data_dir.display().to_string(), shell::program());
    let query = format!("{program} query --data-dir {}", shell::quoted(&folder));
    let run = demo::Run {
        seed: args.seed,
        events: done.totals.events,
        rejects: done.totals.rejects,
        bytes: done.totals.bytes,
        seconds,
        redactions: &redactions,
        program: &program,
        lake: Some(demo::Tables { folder: &folder, query: &query }),
    };
    output::stdout(demo::render(&plan, &score, &run, io::stdout().is_terminal()).as_bytes())?;
    if score.perfect() { Ok(()) } else { Err(Failure::Failed(anyhow::anyhow!("the demo did not go as planned"))) }
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
