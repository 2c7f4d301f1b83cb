//! The service: what `gatewatch run` starts from a configuration, and how it stops.
//!
//! Promises: everything that can be wrong with the configuration is found by `check`, before anything starts. SIGTERM and
//! Ctrl-C stop reading, commit what was read, and give deliveries under way a moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use detectors::Rule;
use schemas::SourceConfig;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::app::{self, Job, Keep};
use crate::clock;
use crate::config::{self, Config, SourceSection};
use crate::ingest::file::{self, FileSource};
use crate::ingest::kafka::{KafkaConfig, KafkaSource};
use crate::ingest::merged::{Merged, Named};
use crate::ingest::{Positions, ReadLimits, Source};
use crate::lake::{self, LakeConfig};
use crate::pipeline::LedgerConfig;
use crate::respond::guard::Guard;
use crate::respond::{Outbox, Secret, SecretRef, Target};
use crate::store::Store;
use crate::{keys, rules};

/// How long deliveries may go on after the last record was committed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// What a configuration amounts to once everything it names was read.
pub struct Parts {
    pub rules: Vec<Arc<Rule>>,
    pub sources: Vec<SourceConfig>,
    /// How many response targets there are.
    pub targets: usize,
    kafka: HashMap<String, KafkaConfig>,
}

/// Reads everything the configuration names; contacts nothing.
pub fn check(config: &Config) -> anyhow::Result<Parts> {
    let rules = rules::load(&config.detectors).context("detectors")?;
    config.respond.check()?;
    Guard::new(&config.respond.guard, &proxies(config))?;
    keys::check(&config.keys)?;
    lake::check_storage(&app::lake_uri(config), &app::lake_options(config)).context("lake")?;
    let mut sources = Vec::new();
    let mut kafka = HashMap::new();
    for section in &config.sources {
        let normaliser =
            normaliser_config(section, &config.redaction).with_context(|| format!("sources: {}", section.name))?;
        sources.push(normaliser);
        if let Some(topic) = &section.kafka {
            let built =
                topic.build(&config.instance, &section.name).with_context(|| format!("sources: {}", section.name))?;
            kafka.insert(section.name.clone(), built);
        }
    }
    app::check_sources(&sources).context("sources")?;
    for section in &config.sources {
        for file in section.files.iter().flatten() {
            file::unpacked(file).map(drop).with_context(|| format!("sources: {}", section.name))?;
        }
    }
    let targets = targets(config)?.len();
    Ok(Parts { rules, sources, targets, kafka })
}

fn normaliser_config(section: &SourceSection, redaction: &schemas::Policy) -> anyhow::Result<SourceConfig> {
    let mapping = match &section.mapping_file {
        Some(path) => Some(schemas::Mapping::parse(&config::read_text(path)?, &path.display().to_string())?),
        None => None,
    };
    Ok(SourceConfig {
        name: section.name.clone(),
        kind: section.kind.clone(),
        mapping,
        trusted_proxies: section.trusted_proxies.clone(),
        tokenise_principal: section.tokenise_principal,
        ahead_max_us: Some(section.ahead_max.us),
        tenant: section.tenant.clone(),
        redaction: redaction.clone(),
    })
}

fn targets(config: &Config) -> anyhow::Result<Vec<Arc<dyn Target>>> {
    let resolve = |secret: &SecretRef| config::resolve(secret).map(Secret::new).map_err(|e| format!("{e:#}"));
    Ok(config.respond.targets.build(&resolve)?)
}

/// Runs until it is told to stop, or something fails that only a restart can mend.
pub fn run(config: &Config, parts: Parts) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.data_dir).with_context(|| format!("{}", config.data_dir.display()))?;
    let runtime = app::runtime()?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signals(runtime.handle(), stop.clone())?;
    let outbox = outbox(config, runtime.handle())?;
    let (end, ended) = watch::channel(false);
    let delivering = runtime.spawn(outbox.clone().run(ended));

    let job = Job {
        lateness_us: config.sources.iter().map(|s| (s.name.clone(), s.lateness.us)).collect(),
        open: Box::new(|positions| open(config, &parts.kafka, &positions)),
        sources: parts.sources,
        keys: keys::from_config(&config.keys, &config.data_dir)?,
        rules: parts.rules,
        keep: Some(keep(config)),
        outbox: Some(outbox.clone()),
        outlets: Vec::new(),
        stop,
        progress: Box::new(|_| {}),
    };
    tracing::info!(sources = config.sources.len(), detectors = job.rules.len(), "gatewatch runs");
    let result = app::run(job, runtime.handle());
    let left = runtime.block_on(outbox.drain(DRAIN_DEADLINE))?;
    // Nobody listening means delivery has ended already.
    let _ended = end.send(true).is_err();
    runtime.block_on(delivering)?;
    runtime.block_on(app::write_steps(&lake_config(config), &config.instance, &outbox))?;
    let done = result?;
    for field in &done.unknown_fields {
        tracing::info!(
            source = &*field.source,
            field = field.path,
            sampled = field.sampled,
            "this field is in no column"
        );
    }
    tracing::info!(
        records = done.totals.records,
        events = done.totals.events,
        rejects = done.totals.rejects,
        alerts = done.totals.alerts_opened,
        waiting_actions = left,
        "gatewatch stopped; everything read is committed"
    );
    Ok(())
}

fn outbox(config: &Config, runtime: &Handle) -> anyhow::Result<Arc<Outbox>> {
    let path = config.data_dir.join("state.db");
    let store = runtime.block_on(Store::open(&path)).with_context(|| format!("{}", path.display()))?;
    let seed = clock::now_us().unsigned_abs();
    let outbox = Outbox::new(store, config.respond.clone(), targets(config)?, &proxies(config), clock::system(), seed)?;
    Ok(Arc::new(outbox))
}

/// Those of all sources.
fn proxies(config: &Config) -> Vec<String> {
    config.sources.iter().flat_map(|source| source.trusted_proxies.clone()).collect()
}

fn lake_config(config: &Config) -> LakeConfig {
    let mut lake = LakeConfig::new(&app::lake_uri(config), clock::now_us);
    lake.options = app::lake_options(config);
    lake
}

fn keep(config: &Config) -> Keep {
    let ledger = LedgerConfig {
        every: config.lake.checkpoint_every.duration(),
        rows: config.lake.checkpoint_rows,
        maintain_every: config.lake.maintain_every.duration(),
        maintenance: app::maintenance(&config.lake),
    };
    Keep { lake: lake_config(config), instance: config.instance.clone(), ledger }
}

fn open(
    config: &Config,
    kafka: &HashMap<String, KafkaConfig>,
    positions: &Arc<dyn Positions>,
) -> anyhow::Result<Box<dyn Source>> {
    let mut sources = Vec::new();
    for section in &config.sources {
        let limits = ReadLimits::default();
        let source: Box<dyn Source> = match (kafka.get(&section.name), &section.files) {
            (Some(topic), _) => {
                Box::new(KafkaSource::new(topic.clone(), &section.name, limits, positions.clone(), clock::system())?)
            }
            (None, Some(files)) => {
                Box::new(FileSource::new(files, &section.name, limits, positions.clone(), clock::system())?)
            }
            (None, None) => bail!("sources: {}: neither kafka nor files", section.name),
        };
        sources.push(Named { name: section.name.clone(), source });
    }
    Ok(Box::new(Merged::new(sources)))
}

/// The first signal stops in good order, a second one at once.
fn stop_on_signals(runtime: &Handle, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let _guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    runtime.spawn(async move {
        for signals in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if signals > 0 {
                std::process::exit(1);
            }
            tracing::info!("stopping: committing what was read");
            stop.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}
