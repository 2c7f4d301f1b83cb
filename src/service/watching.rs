//! The watch over a running service: what it is made of, the HTTP listener, the look once a second, and the words when it
//! stops.
//!
//! Promises: everything here is started by `start` and ended by `end`.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::watch::{self, Sender};
use tokio::task::JoinHandle;

use super::{DRAIN_DEADLINE, Parts, concerns};
use crate::config::{Config, Listen};
use crate::ingest::health::Health;
use crate::metric;
use crate::observe::api::Access;
use crate::observe::recorder::{self, Recorder};
use crate::observe::serve::{self, Shown};
use crate::observe::warn::Kind;
use crate::observe::{self, Board, DetectorFacts, Facts, Manager, Phase, SourceFacts, Tally};
use crate::respond::Outbox;
use crate::respond::link::Links;
use crate::{clock, keys};

/// Requests under way may take so long when the service stops.
const SERVE_DEADLINE: Duration = Duration::from_secs(2);

pub struct Watching {
    pub board: Arc<Board>,
    recorder: Recorder,
    manager: Arc<Manager>,
    stop: Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// The address of the routes, taken before anything else starts.
pub fn bind(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    match config.observe.listen()? {
        Listen::Off => Ok(None),
        Listen::At(address) => serve::bind(address).map(Some),
    }
}

impl Watching {
    pub fn start(
        config: &Config,
        parts: &Parts,
        outbox: &Arc<Outbox>,
        health: &Health,
        listener: Option<TcpListener>,
        runtime: &Handle,
    ) -> anyhow::Result<Watching> {
        let recorder = recorder::install()?;
        let board = Arc::new(Board::new(facts(config), health.clone(), clock::system()));
        let names: Vec<&str> = board.facts.sources.iter().map(|source| source.name.as_str()).collect();
        let running = DetectorFacts::of(&parts.rules);
        board.set_detectors(running.clone());
        let detectors: Vec<&str> = running.ids.iter().map(String::as_str).collect();
        let targets = outbox.targets();
        let targets: Vec<&str> = targets.iter().map(|target| target.target.as_str()).collect();
        recorder::begin(&names, &detectors, &targets, board.started_us);
        hold_concerns(&board, config, parts);
        let manager = Arc::new(Manager::from_environment());
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        if let Some(listener) = listener {
            let address = listener.local_addr().context("observe.listen")?;
            tracing::info!("metrics and status: http://{address}");
            let shown = Shown {
                board: board.clone(),
                recorder: recorder.clone(),
                outbox: outbox.clone(),
                access: access(config)?,
            };
            let serving = serve::serve(listener, shown, stopped.clone());
            tasks.push(runtime.spawn(async move {
                if let Err(error) = serving.await {
                    tracing::error!(%error, "metrics and status are not served any more");
                }
            }));
        }
        let watching = observe::watch(board.clone(), recorder.clone(), outbox.clone(), manager.clone(), stopped);
        tasks.push(runtime.spawn(watching));
        Ok(Watching { board, recorder, manager, stop, tasks })
    }

    pub fn tally(&self) -> Tally {
        Tally::new(self.board.clone(), self.manager.clone())
    }

    /// What is said, and to whom, when the service is told to stop.
    pub fn farewell(&self, outbox: Arc<Outbox>) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (board, recorder, manager) = (self.board.clone(), self.recorder.clone(), self.manager.clone());
        async move {
            board.set_phase(Phase::Stopping);
            manager.stopping();
            let rows = recorder.samples().count(metric::UNCOMMITTED_ROWS, &[]);
            let counts = outbox.counts().await.unwrap_or_default();
            let waiting: u64 = counts.iter().filter(|count| count.state == "pending").map(|count| count.actions).sum();
            tracing::info!(
                rows,
                waiting_actions = waiting,
                seconds_max = DRAIN_DEADLINE.as_secs(),
                "stopping: nothing more is read, what was read is committed, and waiting actions get a last moment"
            );
        }
    }

    /// Ends listening and looking.
    pub fn end(self, runtime: &Handle) {
        // Nobody listening means that all have ended already.
        let _ended = self.stop.send(true).is_err();
        runtime.block_on(async {
            for task in self.tasks {
                let abort = task.abort_handle();
                // A client that reads slowly is not waited for.
                if tokio::time::timeout(SERVE_DEADLINE, task).await.is_err() {
                    abort.abort();
                }
            }
        });
    }
}

/// What the configuration says against itself is in force, and nothing that it said before.
pub fn hold_concerns(board: &Board, config: &Config, parts: &Parts) {
    let concerns = concerns(config, parts);
    let of_configuration = |kind: Kind| matches!(kind, Kind::NoTarget | Kind::NotAsked);
    for held in board.warnings.in_force().into_iter().filter(|held| of_configuration(held.warning)) {
        if !concerns.iter().any(|concern| (concern.kind, &concern.about) == (held.warning, &held.about)) {
            board.warnings.end(held.warning, &held.about, board.now_us(), false);
        }
    }
    for concern in concerns {
        board.warnings.hold(concern, board.now_us(), false);
    }
}

/// What makes and judges the links with which people agree to actions.
pub fn links(config: &Config) -> anyhow::Result<Option<Links>> {
    let Some(links) = &config.respond.links else { return Ok(None) };
    Ok(Some(Links::new(links, &keys::approve(&config.keys, &config.data_dir)?)))
}

/// Who may do something over HTTP.
fn access(config: &Config) -> anyhow::Result<Access> {
    Ok(Access { token: config.observe.api_token()?, links: links(config)? })
}

fn facts(config: &Config) -> Facts {
    let source = |section: &crate::config::SourceSection| SourceFacts {
        name: section.name.clone(),
        kind: section.kind.clone(),
        lateness_us: section.lateness.us,
        silent_us: section.silent_after.us,
    };
    Facts {
        instance: config.instance.clone(),
        sources: config.sources.iter().map(source).collect(),
        checkpoint_every: config.lake.checkpoint_every.duration(),
        dry_run: config.respond.dry_run,
    }
}
