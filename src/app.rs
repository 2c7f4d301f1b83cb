//! The composition root: settings in, a running pipeline out. This is the one file that knows every stage.
//!
//! Never: does a stage's work.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use detectors::{Engine, EngineError, EngineLimits, Rule};
use schemas::{KeyPin, Keys, Lane, Normaliser, SourceConfig};
use tokio::runtime::{Handle, Runtime};

use crate::audit::Audit;
use crate::clock;
use crate::config::{Config, LakeSection};
use crate::geo::GeoFiles;
use crate::ingest::{Positions, Source};
use crate::lake::{self, Damage, Lake, LakeConfig, Maintenance, Pinned, RetainDays};
use crate::pipeline::{
    Controls, Drifted, LaneStates, Lanes, Ledger, LedgerConfig, Outlet, Pipeline, Prepare, Reader, Swap, Totals,
    Watcher,
};
use crate::respond::Outbox;
use crate::respond::incident::left;
use crate::teller::Teller;

/// Makes the source once it is known where its lanes continue.
pub type OpenSource<'a> = Box<dyn FnOnce(Arc<dyn Positions>) -> anyhow::Result<Box<dyn Source>> + 'a>;

/// What is kept and when; without it a run keeps nothing.
pub struct Keep {
    pub lake: LakeConfig,
    pub instance: String,
    pub ledger: LedgerConfig,
    /// What is copied into the lake besides, if anything.
    pub audit: Option<Arc<Audit>>,
}

/// Everything one run of the pipeline needs.
pub struct Job<'a> {
    pub sources: Vec<SourceConfig>,
    /// Where clients are looked up, if anywhere.
    pub geo: Option<GeoFiles>,
    /// By source name; a source that is not named is ordered.
    pub lateness_us: HashMap<String, i64>,
    pub open: OpenSource<'a>,
    pub keys: Keys,
    /// That normalise, and among which detectors are divided; none: as many as fit this machine.
    pub threads: Option<usize>,
    pub rules: Vec<Arc<Rule>>,
    pub keep: Option<Keep>,
    pub outbox: Option<Arc<Outbox>>,
    pub outlets: Vec<Box<dyn Outlet>>,
    pub stop: Arc<AtomicBool>,
    /// New detectors while it runs.
    pub swap: Arc<Swap>,
    pub progress: Box<dyn FnMut(&Totals) + 'a>,
    pub watcher: Box<dyn Watcher + 'a>,
}

/// What a run did.
pub struct Done {
    pub totals: Totals,
    pub engine: detectors::EngineStats,
    /// Detection went on from a checkpoint of an earlier run.
    pub continued: bool,
    /// How records differ from what their mappings expect.
    pub drifted: Vec<Drifted>,
}

/// The runtime of everything asynchronous: the lake, the outbox, queries.
pub fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the async runtime")
}

/// Runs a job to its end, or until `stop` is set.
pub fn run(job: Job<'_>, runtime: &Handle) -> anyhow::Result<Done> {
    let clock = clock::system();
    let mut ledger = None;
    let mut snapshot = None;
    let normalisers = normalisers(&job.sources, &job.keys)?;
    let mut lane_states = LaneStates::new();
    let mut positions: Arc<dyn Positions> = Arc::new(FromTheStart);
    if let Some(keep) = job.keep {
        positions = Arc::new(LakePositions { runtime: runtime.clone(), lake: keep.lake.clone() });
        for damage in runtime.block_on(lake::mend(&keep.lake)).with_context(|| format!("lake {}", keep.lake.uri))? {
            let Damage { table, path, what, rows } = damage;
            tracing::error!(table, path, rows, "{what}");
        }
        let opened = runtime.block_on(Lake::open(&keep.lake, &keep.instance));
        let (mut lake, recovered) = opened.with_context(|| format!("lake {}", keep.lake.uri))?;
        let pinned = runtime.block_on(lake.pin_keys(&job.keys.pins()));
        tell_keys(&pinned.with_context(|| format!("lake {}", keep.lake.uri))?);
        lane_states = recovered.as_ref().map(|recovered| recovered.lane_states.clone()).unwrap_or_default();
        snapshot = recovered.map(|recovered| recovered.snapshot).filter(|snapshot| !snapshot.is_empty());
        if let (Some(outbox), Some(seq)) = (&job.outbox, lake.actions_marker()) {
            runtime.block_on(outbox.continue_after(seq))?;
        }
        let mut new =
            Ledger::new(runtime.clone(), lake, job.outbox.clone(), clock.clone(), keep.ledger).with_audit(keep.audit);
        new.keep_lane_states(lane_states.clone());
        ledger = Some(new);
    }
    let continued = snapshot.is_some();
    let rules = job.rules.clone();
    let threads = job.threads.unwrap_or_else(default_threads);
    let (engine, is_cold) = engine(job.rules, &job.keys, snapshot.as_deref())?;
    let begins_anew = is_cold || engine.was_any_emptied();
    let engine = engine.on_threads(threads);
    let mut reader = Reader::new((job.open)(positions)?, normalisers, Arc::new(Controls::default()))
        .continuing(lane_states)
        .on_threads(threads);
    if let Some(mut files) = job.geo {
        reader = reader.with_geo(files.geo(), Box::new(move || files.replaced()));
    }
    let mut outlets = job.outlets;
    let blocked = job.outbox.as_ref().map(|outbox| outbox.blocked()).unwrap_or_default();
    let prepare = Arc::new(Prepare::new(blocked, &engine));
    let mut left_open = Vec::new();
    if let Some(outbox) = job.outbox {
        let goes_on = |id: &str| !is_cold && rules.iter().any(|rule| rule.id == id) && !engine.was_emptied(id);
        left_open = runtime.block_on(left::closings(outbox.store(), goes_on))?;
        let unknown = runtime.block_on(left::unknown(outbox.store(), engine.open_alerts()))?;
        let mut teller = Teller::new(outbox, &rules, clock, job.stop.clone(), runtime);
        if !unknown.is_empty() {
            tracing::warn!(
                alerts = unknown.len(),
                "are open in detection and unknown to the state store, as after its loss or a restore: they are told again"
            );
            // Not to the lake, which has them.
            teller.tell(&unknown)?;
        }
        outlets.push(Box::new(teller));
    }
    let lateness = job.lateness_us;
    let mut pipeline = Pipeline {
        lanes: Lanes::of(&engine),
        engine,
        ledger,
        outlets,
        prepare,
        lateness_us: Box::new(move |lane: &Lane| lateness.get(&*lane.source).copied().unwrap_or(0)),
        stop: job.stop,
        swap: job.swap,
        progress: job.progress,
        watcher: job.watcher,
        totals: Totals::default(),
    };
    if !left_open.is_empty() {
        tracing::info!(alerts_closed = left_open.len(), "their detectors are gone or start without a past");
    }
    if !left_open.is_empty() || begins_anew {
        pipeline.begin_anew(&left_open)?;
    }
    let drifted = pipeline.run(reader)?;
    Ok(Done { totals: pipeline.totals, engine: pipeline.engine.stats(), continued, drifted })
}

/// Says when tokens stop being comparable with those in the lake.
pub fn tell_keys(pinned: &Pinned) {
    let tokens = |pins: &[KeyPin]| pins.iter().filter(|pin| pin.kind == "token").map(|pin| pin.id.clone()).collect();
    let (known, new): (Vec<String>, Vec<String>) = (tokens(&pinned.known), tokens(&pinned.new));
    if pinned.others && !new.is_empty() {
        tracing::warn!(
            keys = new.join(", "),
            "none of the token keys has written to this lake before: equal secrets no longer give the tokens that are in it; \
             to rotate, keep the old key in keys.token beside the new one"
        );
    } else if !known.is_empty() && !new.is_empty() {
        tracing::info!(known = known.join(", "), new = new.join(", "), "a token key is new in this lake: a rotation");
    }
}

/// As many as there are processors, up to a few.
fn default_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.min(crate::limits::THREADS_DEFAULT_MAX)
}

/// The engine where it was left, or a new one; and whether there was a checkpoint of which it can read nothing.
fn engine(rules: Vec<Arc<Rule>>, keys: &Keys, snapshot: Option<&[u8]>) -> anyhow::Result<(Engine, bool)> {
    // Outsiders choose addresses and names; with a known key they could choose them to collide.
    let limits = EngineLimits { hash_key: keys.hash_key(), ..EngineLimits::default() };
    let Some(snapshot) = snapshot else { return Ok((Engine::new(rules, limits)?, false)) };
    let engine = match Engine::restore(rules.clone(), limits.clone(), snapshot) {
        Ok(engine) => engine,
        // Of a later version, or damaged: detection without a past is better than none.
        Err(error @ EngineError::Snapshot(_)) => {
            tracing::error!(
                "detection starts without a past, what it held of the last checkpoint cannot be read: {error}"
            );
            return Ok((Engine::new(rules, limits)?, true));
        }
        Err(error) => return Err(error).context("restoring detection from the last checkpoint"),
    };
    for note in engine.notes() {
        tracing::info!("{note}");
    }
    Ok((engine, false))
}

/// Finds what is wrong with source settings, before anything starts.
pub fn check_sources(sources: &[SourceConfig]) -> anyhow::Result<()> {
    // Building shows it; the real ones get the real keys.
    normalisers(sources, &Keys::new("check", b"check")).map(drop)
}

fn normalisers(sources: &[SourceConfig], keys: &Keys) -> anyhow::Result<HashMap<Arc<str>, Normaliser>> {
    let build = |config: &SourceConfig| {
        let normaliser = Normaliser::new(config, keys)?;
        Ok((Arc::from(config.name.as_str()), normaliser))
    };
    sources.iter().map(build).collect()
}

/// Nothing is kept, so everything is read.
pub struct FromTheStart;

impl Positions for FromTheStart {
    fn next_offset(&self, _lane: &Lane) -> anyhow::Result<Option<i64>> {
        Ok(None)
    }
}

/// Where the lake says a lane continues, asked afresh each time: another copy may have moved it.
struct LakePositions {
    runtime: Handle,
    lake: LakeConfig,
}

impl Positions for LakePositions {
    fn next_offset(&self, lane: &Lane) -> anyhow::Result<Option<i64>> {
        Ok(self.next_offsets(std::slice::from_ref(lane))?.into_iter().next().flatten())
    }

    fn next_offsets(&self, lanes: &[Lane]) -> anyhow::Result<Vec<Option<i64>>> {
        Ok(self.runtime.block_on(crate::lake::stored_positions(&self.lake, lanes))?)
    }
}

/// The lake below a data folder, with the settings of a one-off run.
pub fn keep_in(data_dir: &Path, instance: String) -> Keep {
    let lake = LakeConfig::new(&lake_dir(data_dir).display().to_string(), clock::now_us);
    let ledger = LedgerConfig {
        every: Duration::from_secs(10),
        rows: crate::limits::CHECKPOINT_ROWS_MAX / 2,
        maintain_every: Duration::from_secs(600),
        maintenance: Maintenance::default(),
    };
    Keep { lake, instance, ledger, audit: None }
}

/// The upkeep of the lake as configured.
pub fn maintenance(section: &LakeSection) -> Maintenance {
    let days = |table: &str| section.retain_days.get(table).copied().filter(|days| *days > 0).map(u64::from);
    Maintenance {
        compact_after_files: section.compact_after_files,
        retain: RetainDays {
            events: days("events"),
            alerts: days("alerts"),
            actions: days("actions"),
            rejects: days("rejects"),
            audit: days("audit"),
        },
        vacuum_after: section.vacuum_after.duration(),
        ..Maintenance::default()
    }
}

/// Copies what is left of the actions' steps into the lake, after a run.
pub async fn write_steps(lake: &LakeConfig, instance: &str, outbox: &Outbox) -> anyhow::Result<()> {
    let (mut lake, _) = Lake::open(lake, instance).await?;
    Ok(crate::pipeline::write_steps(&mut lake, outbox).await?)
}

/// Copies what is left of the audit into the lake, after a run.
pub async fn write_audit(lake: &LakeConfig, instance: &str, audit: &Audit) -> anyhow::Result<()> {
    let (mut lake, _) = Lake::open(lake, instance).await?;
    Ok(crate::pipeline::write_audit(&mut lake, audit).await?)
}

/// Where a configuration puts its tables.
pub fn lake_uri(config: &Config) -> String {
    config.lake.uri.clone().unwrap_or_else(|| lake_dir(&config.data_dir).display().to_string())
}

/// How they are reached.
pub fn lake_options(config: &Config) -> HashMap<String, String> {
    config.lake.options.clone().into_iter().collect()
}

pub fn lake_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("lake")
}
