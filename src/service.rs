//! The service: what `gatewatch run` starts from a configuration, and how it stops.
//!
//! Promises: everything that can be wrong with the configuration is found by `check`, before anything starts. A source that
//! fails later fails alone. SIGTERM and Ctrl-C stop reading, commit what was read, and give deliveries under way a moment. A
//! changed configuration begins the service again within the process (`reload`); one with which it cannot begin is given up
//! for the one before.

mod alone;
mod deaf;
mod reload;
mod signals;
mod watched;
mod watching;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use detectors::Rule;
use schemas::{DriftKind, RawBatch, SourceConfig};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::app::{self, Job, Keep};
use crate::audit::Audit;
use crate::bystanders::LakeBystanders;
use crate::clock;
use crate::config::{self, Config, Listen, SourceSection};
use crate::geo::GeoFiles;
use crate::ingest::file::{self, FileSource};
use crate::ingest::follow::find::Look;
use crate::ingest::follow::{Content, FollowConfig, FollowSource, find};
use crate::ingest::health::Health;
use crate::ingest::kafka::{KafkaConfig, KafkaSource};
use crate::ingest::merged::{Merged, Named};
use crate::ingest::retried::Retried;
use crate::ingest::{IngestError, Positions, ReadLimits, Source};
use crate::lake::{self, LakeConfig};
use crate::observe::Phase;
use crate::observe::warn::{Kind, NO_TARGETS, Warning};
use crate::pipeline::{Drifted, LedgerConfig, PipelineError, Swap, Totals};
use crate::pushed::{self, Inlets, Pushed};
use crate::respond::actions::common::Ready;
use crate::respond::guard::Guard;
use crate::respond::{Outbox, Secret, SecretRef};
use crate::store::Store;
use crate::survey::Survey;
use crate::{keys, private, rules, trail};
use alone::Alone;
use reload::{Coming, Hands, Next, Refused, Reload};
pub use signals::Signals;
use watching::Watching;

/// How long deliveries may go on after the last record was committed.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// Followed files whose first records `check` looks at.
const LOOKS_MAX: usize = 8;

/// What a configuration amounts to once everything it names was read.
pub struct Parts {
    pub rules: Vec<Arc<Rule>>,
    pub sources: Vec<SourceConfig>,
    /// How many response targets there are.
    pub targets: usize,
    /// What they do, by name.
    done_by_targets: BTreeSet<&'static str>,
    /// Databases of addresses, if any.
    geo: Option<GeoFiles>,
    kafka: HashMap<String, KafkaConfig>,
    pushed: Pushed,
}

/// Reads everything the configuration names; contacts nothing.
pub fn check(config: &Config) -> anyhow::Result<Parts> {
    let rules = rules::load(&config.detectors).context("detectors")?;
    config.respond.check()?;
    Guard::new(&config.respond.guard, &proxies(config))?;
    keys::check(&config.keys, &config.data_dir)?;
    config.observe.api_token()?;
    lake::check_storage(&app::lake_uri(config), &app::lake_options(config)).context("lake")?;
    let sources = source_configs(config)?;
    let mut kafka = HashMap::new();
    for section in &config.sources {
        if let Some(topic) = &section.kafka {
            let of_source = || format!("sources: {}", section.name);
            let mut built = topic.build(&config.instance, &section.name).with_context(of_source)?;
            built.try_client().with_context(of_source)?;
            built.marks = Some(config.data_dir.join(format!("kafka-{}.marks", section.name)));
            kafka.insert(section.name.clone(), built);
        }
    }
    let pushed = Pushed::build(config)?;
    app::check_sources(&sources).context("sources")?;
    for section in &config.sources {
        check_files(section, &config.data_dir).with_context(|| format!("sources: {}", section.name))?;
    }
    let geo = geo(config)?;
    let targets = targets(config)?;
    let done_by_targets = targets.iter().flat_map(|ready| ready.common.kinds.iter().map(|kind| kind.name())).collect();
    Ok(Parts { rules, sources, targets: targets.len(), done_by_targets, geo, kafka, pushed })
}

/// Files that are read to their end are there and readable. Patterns may match nothing yet; what is named without one and
/// can never be a log file is refused.
fn check_files(section: &SourceSection, data_dir: &Path) -> anyhow::Result<()> {
    if let Some(follow) = section.follow(data_dir)? {
        follow.patterns.check()?;
        return Ok(());
    }
    for file in section.files.iter().flatten() {
        file::unpacked(file).map(drop)?;
    }
    Ok(())
}

/// The files whose first records are looked at: of followed ones the newest few that can be read.
fn first_looks(section: &SourceSection, data_dir: &Path) -> anyhow::Result<Vec<(PathBuf, RawBatch)>> {
    let follow = section.follow(data_dir)?;
    let paths = match &follow {
        Some(follow) => {
            follow.patterns.look().found.into_iter().rev().take(LOOKS_MAX).map(|found| found.path).collect()
        }
        None => section.files.clone().unwrap_or_default(),
    };
    let mut heads = Vec::new();
    for path in paths {
        match file::head(&path) {
            Ok(head) => heads.extend(head.map(|head| (path, head))),
            // `unread` says so.
            Err(_) if follow.is_some() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(heads)
}

/// What the first records of the files that the configuration names say against it: kinds and units that cannot be right.
pub fn doubts(config: &Config, parts: &Parts) -> anyhow::Result<Vec<String>> {
    let mut doubts = Vec::new();
    for (section, source) in config.sources.iter().zip(&parts.sources) {
        let mut normaliser = schemas::Normaliser::new(source, &keys::of_the_moment()?)?;
        for (path, head) in first_looks(section, &config.data_dir)? {
            let normalised = normaliser.normalise(&schemas::Lane::new(&section.name, 0), &head);
            let mut survey = Survey::default();
            survey.note_events(&normalised.events);
            survey.note_rejects(&normalised.rejects);
            let told = |doubt: String| format!("sources: {}: {}: {doubt}", section.name, path.display());
            doubts.extend(survey.doubts(file::written_us(&path)).into_iter().map(told));
        }
    }
    Ok(doubts)
}

/// The databases of addresses that are configured.
pub fn geo(config: &Config) -> anyhow::Result<Option<GeoFiles>> {
    GeoFiles::open(&config.enrich.mmdb, clock::system()).context("enrich.mmdb")
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

/// What of the followed files cannot be read as things are now.
pub fn unread(config: &Config) -> anyhow::Result<Vec<String>> {
    let mut unread = Vec::new();
    for section in &config.sources {
        let Some(follow) = section.follow(&config.data_dir)? else { continue };
        let Look { found, refused, .. } = follow.patterns.look();
        let told = |path: &Path, why: &str| format!("sources: {}: {}: {why}", section.name, path.display());
        unread.extend(refused.iter().map(|refused| told(&refused.path, &refused.why)));
        let open = |path: &PathBuf| find::open(path).and_then(Content::new);
        let closed = found.iter().filter_map(|found| Some((&found.path, open(&found.path).err()?)));
        unread.extend(closed.map(|(path, error)| told(path, &find::in_words(&error))));
        if found.is_empty() {
            let patterns = follow.patterns.texts().join(", ");
            unread.push(format!("sources: {}: no file matches {patterns} yet; is the path right?", section.name));
        }
    }
    Ok(unread)
}

/// What the configuration allows and yet should be changed.
pub fn warnings(config: &Config, parts: &Parts) -> Vec<String> {
    let keys = keys::beside_the_lake(&config.keys, &config.data_dir, &app::lake_uri(config));
    let waiting = pushed::left_over(config).into_iter().map(|folder| {
        let folder = folder.display();
        format!("{folder}: holds records that were accepted for a source which is not configured any more")
    });
    let open = keys::open_folder(&config.keys, &config.data_dir).into_iter().chain(config.observe.open_token());
    keys.into_iter().chain(open).chain(parts.pushed.warnings()).chain(waiting).collect()
}

/// What the service would warn of from its first moment on, because the configuration says so.
pub fn concerns(config: &Config, parts: &Parts) -> Vec<Warning> {
    let mut concerns = Vec::new();
    let mut asked: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    if parts.targets == 0 {
        let asks = parts.rules.iter().filter(|rule| !rule.respond.is_empty()).count();
        concerns.push(Warning {
            kind: Kind::NoTarget,
            about: NO_TARGETS.to_owned(),
            count: asks as u64,
            message: match asks {
                0 => "there is no target: nobody is told of alerts".to_owned(),
                1 => "there is no target: what 1 detector asks for is recorded, and done by nobody".to_owned(),
                _ => format!("there is no target: what {asks} detectors ask for is recorded, and done by nobody"),
            },
            cure: "name targets (respond.targets), if somebody or something shall hear of it".to_owned(),
        });
    }
    for rule in &parts.rules {
        let undone = |kind: &&String| parts.targets > 0 && !parts.done_by_targets.contains(kind.as_str());
        for kind in rule.respond.iter().filter(undone) {
            asked.entry(kind).or_default().push(&rule.id);
        }
    }
    concerns.extend(asked.into_iter().map(|(kind, detectors)| Warning {
        kind: Kind::NoTarget,
        about: kind.to_owned(),
        count: detectors.len() as u64,
        message: format!("no target takes `{kind}`, which these detectors ask for: {}", detectors.join(", ")),
        cure: "name a target that takes it (respond.targets, kinds), or take it out of their `respond`".to_owned(),
    }));
    concerns.extend(deaf::targets(&config.respond, &parts.rules));
    for (source, topic) in parts.kafka.iter().collect::<BTreeMap<_, _>>() {
        let brokers = topic.without_port();
        if !brokers.is_empty() {
            concerns.push(Warning {
                kind: Kind::Address,
                about: source.clone(),
                count: brokers.len() as u64,
                message: format!("kafka.brokers names no port for {}: 9092 is taken", brokers.join(", ")),
                cure: "write host:port".to_owned(),
            });
        }
    }
    if let Ok(Listen::At(address)) = config.observe.listen()
        && !address.ip().is_loopback()
    {
        concerns.push(Warning {
            kind: Kind::Address,
            about: "observe.listen".to_owned(),
            count: 1,
            message: format!("metrics and status are open to whoever reaches {address}"),
            cure: "let only the scraper reach it, or listen on 127.0.0.1".to_owned(),
        });
    }
    concerns
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
        verifies_credentials: section.verifies_credentials,
        several_writers: section.files.is_none(),
        ahead_max_us: Some(section.ahead_max.us),
        tenant: section.tenant.clone(),
        templates: config::templates(&section.openapi, &section.endpoints, "endpoints")?,
        redaction: redaction.clone(),
    })
}

fn targets(config: &Config) -> anyhow::Result<Vec<Ready>> {
    let resolve = |secret: &SecretRef| config::resolve(secret).map(Secret::new).map_err(|e| format!("{e:#}"));
    Ok(config.respond.targets.build(&resolve)?)
}

/// How a run ended.
enum End {
    Stopped,
    /// It begins again with this configuration.
    Again(Box<Coming>),
}

/// Runs until it is told to stop, or something fails that only a restart can mend.
pub fn serve(path: &Path, config: Config, parts: Parts, signals: &Signals) -> anyhow::Result<()> {
    let mut running = (config, parts);
    let mut lock = Alone::default();
    let (mut before, mut amounts): (Option<Config>, String) = (None, String::new());
    let mut refused: Option<Refused> = None;
    loop {
        let began = AtomicBool::new(false);
        let (config, parts) = running;
        match run(path, &config, parts, (signals, refused.take()), &mut lock, &began) {
            Ok(End::Stopped) => return Ok(()),
            // Told to stop meanwhile: all is committed.
            Ok(End::Again(_)) if signals.stopping() => return Ok(()),
            Ok(End::Again(next)) => {
                before = Some(config);
                running = (next.config, next.parts);
                amounts = next.amounts;
            }
            Err(error) => {
                let is_its_fault = !began.load(Ordering::Relaxed) && reload::is_its_fault(&error);
                let Some(last) = before.take().filter(|_| is_its_fault) else { return Err(error) };
                tracing::error!(
                    "the service cannot begin with the new configuration and goes back to the one before: {error:#}"
                );
                let parts = check(&last).context("the configuration before")?;
                refused = Some(Refused { amounts: std::mem::take(&mut amounts), why: format!("{error:#}") });
                running = (last, parts);
            }
        }
    }
}

fn run(
    path: &Path,
    config: &Config,
    parts: Parts,
    (signals, refused): (&Signals, Option<Refused>),
    lock: &mut Alone,
    began: &AtomicBool,
) -> anyhow::Result<End> {
    // What was asked before is no wish for what was read just now; what is asked from here on is, however long the start takes.
    let mut asked = signals.reload.clone();
    asked.mark_unchanged();
    let listener = watching::bind(config)?;
    private::data_folder(&config.data_dir, lake_is_within(config))?;
    lock.hold(&config.data_dir)?;
    warnings(config, &parts).iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime = app::runtime()?;
    let stop = Arc::new(AtomicBool::new(false));
    let store = store(config, runtime.handle())?;
    let (outbox, health) = (outbox(config, store.clone())?, Health::default());
    let watching = Watching::start(config, &parts, &outbox, &health, listener, runtime.handle())?;
    // Before anything acts: what is done has its place in the chain.
    let audit = runtime.block_on(trail::begin(config, store)).context("the audit's table")?;
    runtime.spawn(stop_when_told(signals.clone(), stop.clone(), watching.farewell(outbox.clone())));
    let (end, ended) = watch::channel(false);
    let signing = runtime.spawn(trail::keep_signed(audit.clone(), ended.clone()));
    let delivering = runtime.spawn(watched::response(outbox.clone().run(ended), stop.clone()));
    let (swap, next) = (Arc::new(Swap::default()), Arc::new(Next::default()));
    let hands = Hands {
        board: watching.board.clone(),
        audit: audit.clone(),
        swap: swap.clone(),
        next: next.clone(),
        stop: stop.clone(),
    };
    let reload = Reload::new(path, config, &parts, hands, refused);

    let inlets = Arc::new(parts.pushed.ready(config, runtime.handle())?);
    let job = Job {
        lateness_us: config.sources.iter().map(|s| (s.name.clone(), s.lateness.us)).collect(),
        open: Box::new(|positions| {
            let opened = open(config, &parts.kafka, &inlets, &positions, &health)?;
            // What fails from here on is no matter of the configuration.
            began.store(true, Ordering::Relaxed);
            Ok(opened)
        }),
        sources: parts.sources,
        geo: parts.geo,
        keys: keys::from_config(&config.keys, &config.data_dir)?,
        threads: config.threads,
        rules: parts.rules,
        keep: Some(keep(config, audit.clone())),
        outbox: Some(outbox.clone()),
        outlets: Vec::new(),
        stop,
        swap,
        progress: Box::new(|_| {}),
        watcher: Box::new(watching.tally()),
    };
    runtime.spawn(reload.watch(asked));
    tracing::info!(sources = config.sources.len(), detectors = job.rules.len(), "gatewatch runs");
    let result = app::run(job, runtime.handle());
    let next = next.take().filter(|_| result.is_ok());
    watching.board.set_phase(Phase::Stopping);
    // What waits is delivered after the new beginning.
    let deadline = if next.is_some() { Duration::ZERO } else { DRAIN_DEADLINE };
    let left = runtime.block_on(watched::last_deliveries(&outbox, delivering.is_finished(), deadline))?;
    // Nobody listening means delivery has ended already.
    let _ended = end.send(true).is_err();
    let delivered = runtime.block_on(delivering)?;
    runtime.block_on(signing)?;
    // A lake that failed just now is not asked again: what is left is written at the next start.
    let failed = result.as_ref().err().and_then(|error| error.downcast_ref::<PipelineError>());
    let lake_is_there = !failed.is_some_and(PipelineError::is_of_the_lake);
    let written = match lake_is_there {
        true => runtime.block_on(app::write_steps(&lake_config(config), &config.instance, &outbox)),
        false => Ok(()),
    };
    let told = runtime.block_on(stopped(config, &audit, result.as_ref().ok(), left, lake_is_there));
    watching.end(runtime.handle());
    let done = result?;
    delivered?;
    written?;
    told?;
    tell_drift(&done.drifted);
    for (source, survey) in &done.totals.surveys {
        if let Some(doubt) = survey.latency_doubt() {
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
    if let Some(next) = next {
        return Ok(End::Again(Box::new(next)));
    }
    all_was_read(config, &health, &done.totals)?;
    Ok(End::Stopped)
}

/// Says how records differ from what their mappings expect.
fn tell_drift(drifted: &[Drifted]) {
    for Drifted { source, drift } in drifted {
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
}

/// A run that came to its end has read what it should, or fails.
fn all_was_read(config: &Config, health: &Health, totals: &Totals) -> anyhow::Result<()> {
    let mut wrong: Vec<String> =
        health.given_up().into_iter().map(|(source, error)| format!("source {source}: {error}")).collect();
    for section in config.sources.iter().filter(|section| is_finite(section)) {
        let Some(survey) = totals.surveys.get(section.name.as_str()) else { continue };
        if survey.events == 0 && survey.rejected() > 0 {
            let (name, kind, rejects) = (&section.name, &section.kind, survey.rejected());
            wrong.push(format!(
                "source {name}: no record became an event, all {rejects} are rejects; is kind: {kind} right?"
            ));
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("; ")) }
}

/// Whether a source is read to its end.
fn is_finite(section: &SourceSection) -> bool {
    section.files.is_some() && !section.follow
}

fn store(config: &Config, runtime: &Handle) -> anyhow::Result<Store> {
    let path = config.data_dir.join("state.db");
    runtime.block_on(Store::open(&path)).with_context(|| format!("{}", path.display()))
}

/// The last entry of the audit, and all of it in the lake, if that is there.
async fn stopped(
    config: &Config,
    audit: &Audit,
    done: Option<&app::Done>,
    left: u64,
    lake_is_there: bool,
) -> anyhow::Result<()> {
    let detail = match done.map(|done| &done.totals) {
        Some(totals) => serde_json::json!({
            "records": totals.records, "events": totals.events, "rejects": totals.rejects,
            "alerts": totals.alerts_opened, "waiting_actions": left,
        }),
        None => serde_json::json!({ "failed": true, "waiting_actions": left }),
    };
    trail::end(audit, detail).await?;
    if lake_is_there {
        app::write_audit(&lake_config(config), &config.instance, audit).await?;
    }
    Ok(())
}

fn outbox(config: &Config, store: Store) -> anyhow::Result<Arc<Outbox>> {
    let seed = clock::now_us().unsigned_abs();
    let outbox = Outbox::new(store, config.respond.clone(), targets(config)?, &proxies(config), clock::system(), seed)?;
    let bystanders = LakeBystanders { uri: app::lake_uri(config), options: app::lake_options(config) };
    let outbox = outbox.named(&config.instance).aloud().expecting_detectors().asking(Arc::new(bystanders));
    Ok(Arc::new(outbox.linking(watching::links(config)?)))
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

fn keep(config: &Config, audit: Arc<Audit>) -> Keep {
    let ledger = LedgerConfig {
        every: config.lake.checkpoint_every.duration(),
        rows: config.lake.checkpoint_rows,
        maintain_every: config.lake.maintain_every.duration(),
        maintenance: app::maintenance(&config.lake),
    };
    Keep { lake: lake_config(config), instance: config.instance.clone(), ledger, audit: Some(audit) }
}

/// Every source of the configuration, each of which fails alone.
fn open(
    config: &Config,
    kafka: &HashMap<String, KafkaConfig>,
    inlets: &Arc<Inlets>,
    positions: &Arc<dyn Positions>,
    health: &Health,
) -> anyhow::Result<Box<dyn Source>> {
    let once = config.sources.iter().all(is_finite);
    let open = |section: &SourceSection| {
        let name = section.name.clone();
        let at = || format!("sources: {name}");
        let follow = section.follow(&config.data_dir).with_context(at)?;
        let (section, kafka, positions) = (section.clone(), kafka.get(&name).cloned(), positions.clone());
        let inlets = inlets.clone();
        let open = Box::new(move || open_one(&section, kafka.as_ref(), follow.as_ref(), &inlets, &positions));
        let retried = Retried::first(&name, once, open, health.clone(), clock::system()).with_context(at)?;
        Ok(Named { name, source: Box::new(retried) })
    };
    let sources = config.sources.iter().map(open).collect::<anyhow::Result<Vec<Named>>>()?;
    Ok(Box::new(Merged::new(sources)))
}

/// One source of the configuration, by how its records come in.
fn open_one(
    section: &SourceSection,
    kafka: Option<&KafkaConfig>,
    follow: Option<&FollowConfig>,
    inlets: &Inlets,
    positions: &Arc<dyn Positions>,
) -> Result<Box<dyn Source>, IngestError> {
    let (name, limits, clock) = (&section.name, ReadLimits::default(), clock::system());
    if let Some(topic) = kafka {
        return Ok(Box::new(KafkaSource::new(topic.clone(), name, limits, positions.clone(), clock)?));
    }
    if let Some(follow) = follow {
        return Ok(Box::new(FollowSource::new(follow.clone(), name, limits, positions.clone(), clock)?));
    }
    if let Some(source) = inlets.open(section, positions)? {
        return Ok(source);
    }
    // The configuration was checked: what is none of these is files.
    let files = section.files.as_deref().unwrap_or_default();
    Ok(Box::new(FileSource::new(files, name, limits, positions.clone(), clock)?))
}

/// The first signal stops in good order, a second one at once.
async fn stop_when_told(mut signals: Signals, stop: Arc<AtomicBool>, farewell: impl Future<Output = ()> + Send) {
    // An error says that nobody listens to signals any more, which does not happen before the process ends.
    if signals.stop.wait_for(|count| *count > 0).await.is_err() {
        return;
    }
    farewell.await;
    stop.store(true, Ordering::Relaxed);
    if signals.stop.wait_for(|count| *count > 1).await.is_ok() {
        tracing::warn!("told to stop a second time: what is not committed is read again at the next start");
        std::process::exit(1);
    }
}

#[cfg(test)]
mod tests;
