//! The composition root: settings in, a running pipeline out. This is the one file that knows every stage.
//!
//! Never: does a stage's work.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use detectors::{Engine, EngineError, EngineLimits, Rule};
use schemas::{KeyPin, Keys, Lane, Normaliser, SourceConfig};
use tokio::runtime::{Handle, Runtime};

use crate::audit::Audit;
use crate::clock::{self, Clock, Stopwatch};
use crate::config::{Config, LakeSection};
use crate::geo::GeoFiles;
use crate::ingest::{Positions, Source};
use crate::lake::{self, Damage, Lake, LakeConfig, Maintenance, Pinned, RetainDays};
use crate::pipeline::{
    Controls, Drifted, Lanes, Ledger, LedgerConfig, Outlet, Pipeline, Reader, Swap, Totals, Watcher,
};
use crate::respond::Outbox;

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
    let mut normalisers = normalisers(&job.sources, &job.keys)?;
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
        let lane_states = recovered.as_ref().map(|recovered| recovered.lane_states.clone()).unwrap_or_default();
        snapshot = recovered.map(|recovered| recovered.snapshot).filter(|snapshot| !snapshot.is_empty());
        restore_lanes(&mut normalisers, &lane_states);
        if let (Some(outbox), Some(seq)) = (&job.outbox, lake.actions_marker()) {
            runtime.block_on(outbox.continue_after(seq))?;
        }
        let mut new =
            Ledger::new(runtime.clone(), lake, job.outbox.clone(), clock.clone(), keep.ledger).with_audit(keep.audit);
        new.keep_lane_states(lane_states);
        ledger = Some(new);
    }
    let continued = snapshot.is_some();
    let respond = responses(&job.rules);
    let engine = engine(job.rules, &job.keys, snapshot.as_deref())?;
    let mut reader = Reader::new((job.open)(positions)?, normalisers, Arc::new(Controls::default()));
    if let Some(mut files) = job.geo {
        reader = reader.with_geo(files.geo(), Box::new(move || files.replaced()));
    }
    let mut outlets = job.outlets;
    let blocked = job.outbox.as_ref().map(|outbox| outbox.blocked()).unwrap_or_default();
    if let Some(outbox) = job.outbox {
        outlets.push(Box::new(ToOutbox { outbox, respond, runtime: runtime.clone(), clock, stop: job.stop.clone() }));
    }
    let lateness = job.lateness_us;
    let mut pipeline = Pipeline {
        lanes: Lanes::of(&engine),
        engine,
        ledger,
        outlets,
        blocked,
        lateness_us: Box::new(move |lane: &Lane| lateness.get(&*lane.source).copied().unwrap_or(0)),
        stop: job.stop,
        swap: job.swap,
        progress: job.progress,
        watcher: job.watcher,
        totals: Totals::default(),
    };
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

/// Lanes go on with what they knew; one whose state cannot be used begins anew, which costs templates their past, no data.
fn restore_lanes(normalisers: &mut HashMap<Arc<str>, Normaliser>, states: &[(Lane, Arc<[u8]>)]) {
    for (lane, state) in states {
        let Some(normaliser) = normalisers.get_mut(&lane.source) else { continue };
        if let Err(error) = normaliser.restore(lane, state) {
            tracing::warn!(%lane, %error, "what was learned of this lane's paths is learned anew");
        }
    }
}

/// The engine where it was left, or a new one.
fn engine(rules: Vec<Arc<Rule>>, keys: &Keys, snapshot: Option<&[u8]>) -> anyhow::Result<Engine> {
    // Outsiders choose addresses and names; with a known key they could choose them to collide.
    let limits = EngineLimits { hash_key: keys.hash_key(), ..EngineLimits::default() };
    let Some(snapshot) = snapshot else { return Ok(Engine::new(rules, limits)?) };
    let engine = match Engine::restore(rules.clone(), limits.clone(), snapshot) {
        Ok(engine) => engine,
        // Of a later version, or damaged: detection without a past is better than none.
        Err(error @ EngineError::Snapshot(_)) => {
            tracing::error!(
                "detection starts without a past, what it held of the last checkpoint cannot be read: {error}"
            );
            return Ok(Engine::new(rules, limits)?);
        }
        Err(error) => return Err(error).context("restoring detection from the last checkpoint"),
    };
    for note in engine.notes() {
        tracing::info!("{note}");
    }
    Ok(engine)
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

/// A state store that takes nothing is asked again for so long, after waits that double from the first to the longest.
const TELL_AGAIN_FOR: Duration = Duration::from_secs(300);
const TELL_AGAIN_FIRST: Duration = Duration::from_secs(1);
const TELL_AGAIN_MAX: Duration = Duration::from_secs(5);

/// Alerts into the outbox, at once, with what their detectors ask for.
struct ToOutbox {
    outbox: Arc<Outbox>,
    respond: HashMap<String, Vec<String>>,
    runtime: Handle,
    clock: Clock,
    stop: Arc<AtomicBool>,
}

/// What each detector asks for.
fn responses(rules: &[Arc<Rule>]) -> HashMap<String, Vec<String>> {
    rules.iter().map(|rule| (rule.id.clone(), rule.respond.clone())).collect()
}

impl Outlet for ToOutbox {
    fn swapped(&mut self, rules: &[Arc<Rule>]) {
        self.respond = responses(rules);
    }

    fn tell(&mut self, alerts: &[schemas::Alert]) -> anyhow::Result<()> {
        let none: &[String] = &[];
        let asked = |alert: &schemas::Alert| self.respond.get(&alert.detector).map_or(none, Vec::as_slice);
        let told: Vec<(&schemas::Alert, &[String])> = alerts.iter().map(|alert| (alert, asked(alert))).collect();
        let (since, mut wait) = (Stopwatch::start(), TELL_AGAIN_FIRST);
        // All of it or nothing is taken in, and each telling once: the same is told again.
        while let Err(error) = self.runtime.block_on(self.outbox.tell(&told, (self.clock)())) {
            if !error.may_pass() || since.elapsed() >= TELL_AGAIN_FOR {
                return Err(error.into());
            }
            let seconds = since.elapsed().as_secs();
            tracing::warn!(seconds, "alerts wait for the state store and are told again; nothing is lost: {error}");
            // Told to stop, it does not wait: what was not told is not committed either, and is found again.
            if self.stop.load(Ordering::Relaxed) {
                return Err(anyhow::Error::from(error).context("told to stop while alerts waited for the state store"));
            }
            self.runtime.block_on(tokio::time::sleep(wait));
            wait = (2 * wait).min(TELL_AGAIN_MAX);
        }
        Ok(())
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
