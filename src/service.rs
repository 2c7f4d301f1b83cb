//! The service: what `gatewatch run` starts from a configuration, and how it stops.
//!
//! Promises: everything that can be wrong with the configuration is found by `check`, before anything starts. SIGTERM and
//! Ctrl-C stop reading, commit what was read, and give deliveries under way a moment.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use detectors::Rule;
use schemas::{DriftKind, SourceConfig};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::app::{self, Job, Keep};
use crate::clock;
use crate::config::{self, Config, SourceSection};
use crate::geo::GeoFiles;
use crate::ingest::file::{self, FileSource};
use crate::ingest::kafka::{KafkaConfig, KafkaSource};
use crate::ingest::merged::{Merged, Named};
use crate::ingest::{Positions, ReadLimits, Source};
use crate::lake::{self, LakeConfig};
use crate::pipeline::{Drifted, LedgerConfig};
use crate::respond::guard::Guard;
use crate::respond::{Outbox, Secret, SecretRef, Target};
use crate::store::Store;
use crate::survey::Survey;
use crate::{keys, private, rules};

/// How long deliveries may go on after the last record was committed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// What a configuration amounts to once everything it names was read.
pub struct Parts {
    pub rules: Vec<Arc<Rule>>,
    pub sources: Vec<SourceConfig>,
    /// How many response targets there are.
    pub targets: usize,
    /// Databases of addresses, if any.
    geo: Option<GeoFiles>,
    kafka: HashMap<String, KafkaConfig>,
}

/// Reads everything the configuration names; contacts nothing.
pub fn check(config: &Config) -> anyhow::Result<Parts> {
    let rules = rules::load(&config.detectors).context("detectors")?;
    config.respond.check()?;
    Guard::new(&config.respond.guard, &proxies(config))?;
    keys::check(&config.keys, &config.data_dir)?;
    lake::check_storage(&app::lake_uri(config), &app::lake_options(config)).context("lake")?;
    let sources = source_configs(config)?;
    let mut kafka = HashMap::new();
    for section in &config.sources {
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
    let geo = GeoFiles::open(&config.enrich.mmdb, clock::system()).context("enrich.mmdb")?;
    let targets = targets(config)?.len();
    Ok(Parts { rules, sources, targets, geo, kafka })
}

/// What the first records of the files that the configuration names say against it: kinds and units that cannot be right.
pub fn doubts(config: &Config, parts: &Parts) -> anyhow::Result<Vec<String>> {
    let mut doubts = Vec::new();
    for (section, source) in config.sources.iter().zip(&parts.sources) {
        let mut normaliser = schemas::Normaliser::new(source, &keys::of_the_moment()?)?;
        for path in section.files.iter().flatten() {
            let Some(head) = file::head(path)? else { continue };
            let normalised = normaliser.normalise(&schemas::Lane::new(&section.name, 0), &head);
            let mut survey = Survey::default();
            survey.note_events(&normalised.events);
            survey.note_rejects(&normalised.rejects);
            let told = |doubt: String| format!("sources: {}: {}: {doubt}", section.name, path.display());
            doubts.extend(survey.doubts(None).into_iter().map(told));
        }
    }
    Ok(doubts)
}

/// The normaliser settings of every source, in order.
pub fn source_configs(config: &Config) -> anyhow::Result<Vec<SourceConfig>> {
    let of =
        |section| normaliser_config(section, &config.redaction).with_context(|| format!("sources: {}", section.name));
    config.sources.iter().map(of).collect()
}

/// Whether everything that is written to a folder lies below `data_dir`.
pub fn lake_is_within(config: &Config) -> bool {
    let uri = app::lake_uri(config);
    uri.contains("://") || Path::new(&uri).starts_with(&config.data_dir)
}

/// What the configuration allows and yet should be changed.
pub fn warnings(config: &Config) -> Vec<String> {
    keys::beside_the_lake(&config.keys, &config.data_dir, &app::lake_uri(config)).into_iter().collect()
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
        log_format: section.log_format.clone(),
        time_zone: section.time_zone.clone(),
        trusted_proxies: section.trusted_proxies.clone(),
        trusted_hops: section.trusted_hops.unwrap_or(0),
        client_ip_header: section.client_ip_header,
        tokenise_principal: section.tokenise_principal,
        ahead_max_us: Some(section.ahead_max.us),
        tenant: section.tenant.clone(),
        templates: config::templates(&section.openapi, &section.endpoints, "endpoints")?,
        redaction: redaction.clone(),
    })
}

fn targets(config: &Config) -> anyhow::Result<Vec<Arc<dyn Target>>> {
    let resolve = |secret: &SecretRef| config::resolve(secret).map(Secret::new).map_err(|e| format!("{e:#}"));
    Ok(config.respond.targets.build(&resolve)?)
}

/// Runs until it is told to stop, or something fails that only a restart can mend.
pub fn run(config: &Config, parts: Parts) -> anyhow::Result<()> {
    private::data_folder(&config.data_dir, lake_is_within(config))?;
    warnings(config).iter().for_each(|warning| tracing::warn!("{warning}"));
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
        geo: parts.geo,
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
    for Drifted { source, drift } in &done.drifted {
        let (field, sampled, of) = (&drift.path, drift.sampled, drift.of);
        match drift.kind {
            DriftKind::Appeared => tracing::info!(source = &**source, field, sampled, of, "this field is in no column"),
            DriftKind::Vanished => {
                tracing::warn!(source = &**source, field, sampled, of, "this field of a column is no longer there");
            }
            DriftKind::ChangedType { was, is } => {
                tracing::warn!(
                    source = &**source,
                    field,
                    was,
                    is,
                    sampled,
                    of,
                    "this field of a column changed its type"
                );
            }
        }
    }
    for (source, survey) in &done.totals.surveys {
        for doubt in survey.doubts(None) {
            tracing::warn!(source = &**source, "{doubt}");
        }
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

/// The lake of a configuration.
pub fn lake_config(config: &Config) -> LakeConfig {
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
