//! The configuration and the detectors read again while the service runs: on SIGHUP, and when one of their files changes.
//!
//! Promises: what is read is checked whole first, as `gatewatch check` does; when anything in it is wrong, all of it is
//! refused, a warning is in force until it is right, and what runs goes on. Detectors are swapped in place (`pipeline::Swap`).
//! For anything else everything that was read is committed and the service begins again, within this process, with the new
//! configuration; it goes on where it stopped. An editor that writes a file in several steps is waited for.
//! Never: reads a file that the configuration does not name; takes a part of what was read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use detectors::Rule;
use metrics::gauge;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;

use super::{Parts, check, watching};
use crate::audit::{self, Audit, Fact, SELF, What};
use crate::config::Config;
use crate::lake::LakeError;
use crate::metric;
use crate::observe::Board;
use crate::observe::warn::{Kind, Warning};
use crate::pipeline::Swap;

/// Nothing more is written to a file for so long: then it is read.
const SETTLED: Duration = Duration::from_millis(300);
/// What the warning is about.
const ABOUT: &str = "configuration";

/// What the service begins again with.
pub struct Coming {
    pub config: Config,
    pub parts: Parts,
    /// What it amounts to.
    pub amounts: String,
}

/// A configuration with which the service could not begin.
pub struct Refused {
    pub amounts: String,
    pub why: String,
}

/// Whether the service cannot begin because of its configuration. What may pass is no fault of it: whoever restarts the service begins
/// with it.
pub fn is_its_fault(error: &anyhow::Error) -> bool {
    let of_the_lake =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref().is_some_and(LakeError::is_retryable);
    !error.chain().any(of_the_lake)
}

/// What the service begins again with, once it is known.
#[derive(Default)]
pub struct Next(Mutex<Option<Coming>>);

impl Next {
    pub fn take(&self) -> Option<Coming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, next: Coming) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }
}

/// Whoever reads the configuration again.
pub struct Reload {
    path: PathBuf,
    /// What runs, apart from its detectors.
    runs: String,
    /// The hash of each key at the top of its file.
    hashes: BTreeMap<String, String>,
    rules: Vec<Arc<Rule>>,
    /// The files and folders that are watched.
    watched: BTreeSet<PathBuf>,
    hands: Hands,
    /// What is in the files as they are, unless they were changed since: it is not tried again unasked.
    refused: Option<Refused>,
}

/// Where it takes what it read.
pub struct Hands {
    pub board: Arc<Board>,
    pub audit: Arc<Audit>,
    pub swap: Arc<Swap>,
    pub next: Arc<Next>,
    pub stop: Arc<AtomicBool>,
}

/// Why it is read again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Asked,
    Changed,
}

impl Reload {
    pub fn new(path: &Path, config: &Config, parts: &Parts, hands: Hands, refused: Option<Refused>) -> Reload {
        if refused.is_none() {
            gauge!(metric::CONFIG_RELOAD_SUCCESSFUL).set(1.0);
            gauge!(metric::CONFIG_RELOAD_SUCCESS).set(hands.board.now_us() as f64 / 1e6);
        }
        Reload {
            path: path.to_owned(),
            runs: all_but_detectors(config),
            hashes: config.hashes.clone(),
            rules: parts.rules.clone(),
            watched: watched(path, config),
            hands,
            refused,
        }
    }

    /// Until the service ends, or begins again. `asked` counts the signals.
    pub async fn watch(mut self, mut asked: Receiver<u32>) {
        if let Some(refused) = &self.refused {
            self.refuse(&anyhow::anyhow!("the service could not begin with it: {}", refused.why));
        }
        let changed = Arc::new(Notify::new());
        let watcher = watcher(&self.watched, changed.clone());
        if watcher.is_some() {
            // What was changed between its being read and being watched.
            changed.notify_one();
        }
        loop {
            let why = tokio::select! {
                sent = asked.changed() => match sent {
                    Ok(()) => Why::Asked,
                    Err(_) => return,
                },
                () = settled(&changed) => Why::Changed,
            };
            let path = self.path.clone();
            let read = tokio::task::spawn_blocking(move || read(&path)).await;
            let read = read.unwrap_or_else(|panic| Err(anyhow::anyhow!("reading it failed: {panic}")));
            match read {
                Ok((config, parts)) => {
                    if self.take(config, parts, why).await {
                        return;
                    }
                }
                Err(error) => self.refuse(&error),
            }
        }
    }

    /// Takes what is right; true when the service begins again.
    async fn take(&mut self, config: Config, parts: Parts, why: Why) -> bool {
        let (now_us, amounts) = (self.hands.board.now_us(), all_but_detectors(&config));
        // What it could not begin with is not tried again unasked; detectors have nothing to do with that.
        let is_refused = why == Why::Changed && self.refused.as_ref().is_some_and(|refused| refused.amounts == amounts);
        if !is_refused {
            self.refused = None;
            self.hands.board.warnings.end(Kind::Reload, ABOUT, now_us, false);
        }
        let same_detectors = texts(&self.rules) == texts(&parts.rules);
        let same_rest = self.runs == amounts;
        // Whether the rest is right shows when the service begins with it.
        if same_rest {
            gauge!(metric::CONFIG_RELOAD_SUCCESSFUL).set(1.0);
            gauge!(metric::CONFIG_RELOAD_SUCCESS).set(now_us as f64 / 1e6);
        }
        if same_rest && same_detectors {
            if why == Why::Asked {
                tracing::info!("nothing has changed in the configuration or the detectors");
            }
            return false;
        }
        if !same_detectors {
            self.note(&parts.rules).await;
            self.hands.swap.put(parts.rules.clone());
        }
        if same_rest {
            watching::hold_concerns(&self.hands.board, &config, &parts);
        }
        if same_rest || is_refused {
            self.rules = parts.rules;
            return false;
        }
        tracing::info!(
            changed = changed(&self.hashes, &config.hashes),
            "the configuration has changed: what was read is committed, and the service begins again with it"
        );
        self.hands.next.put(Coming { config, parts, amounts });
        self.hands.stop.store(true, Ordering::Relaxed);
        true
    }

    fn refuse(&self, error: &anyhow::Error) {
        gauge!(metric::CONFIG_RELOAD_SUCCESSFUL).set(0.0);
        let warning = Warning {
            kind: Kind::Reload,
            about: ABOUT.to_owned(),
            count: 1,
            message: format!("the configuration was changed and is refused, what ran before goes on: {error:#}"),
            cure: format!("mend it; `gatewatch check --config {}` says whether it is right", self.path.display()),
        };
        // Each time anew: what is wrong may be another thing.
        self.hands.board.warnings.end(Kind::Reload, ABOUT, self.hands.board.now_us(), true);
        self.hands.board.warnings.hold(warning, self.hands.board.now_us(), false);
    }

    /// Which detectors change, in the audit. A restart of the rest has its own entries there.
    async fn note(&self, rules: &[Arc<Rule>]) {
        let (before, after) = (texts(&self.rules), texts(rules));
        let ids = |of: &[(String, String)], others: &[(String, String)]| -> Vec<String> {
            of.iter().filter(|one| !others.iter().any(|other| other.0 == one.0)).map(|one| one.0.clone()).collect()
        };
        let (added, removed) = (ids(&after, &before), ids(&before, &after));
        let changed = after.iter().filter(|one| !before.contains(one) && !added.contains(&one.0)).map(|one| &one.0);
        let changed: Vec<&String> = changed.collect();
        tracing::info!(
            added = added.join(", "),
            removed = removed.join(", "),
            changed = changed.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", "),
            "the detectors have changed"
        );
        let detail = serde_json::json!({ "detectors": { "added": added, "removed": removed, "changed": changed } });
        if let Err(error) = self.hands.audit.note(&[Fact::new(What::Configuration, SELF, "detectors", detail)]).await {
            tracing::warn!("this is not in the audit: {error:#}");
        }
    }
}

/// The keys at the top of the file that are not as before; where there is none, a file that it names has changed.
fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<&str> =
        keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).map(String::as_str).collect();
    if changed.is_empty() { "a file that it names".to_owned() } else { changed.join(", ") }
}

fn read(path: &Path) -> anyhow::Result<(Config, Parts)> {
    let config = Config::load(path)?;
    let parts = check(&config).with_context(|| path.display().to_string())?;
    Ok((config, parts))
}

/// Every detector with all that it says.
fn texts(rules: &[Arc<Rule>]) -> Vec<(String, String)> {
    let text = |rule: &Rule| {
        let Rule { title, severity, owasp, attack, respond, part_of, dry_run, notes, runbook, .. } = rule;
        let counts = rule.state_identity();
        format!(
            "{counts} {title} {severity:?} {owasp:?} {attack:?} {respond:?} {part_of:?} {dry_run} {notes} {runbook:?}"
        )
    };
    rules.iter().map(|rule| (rule.id.clone(), text(rule))).collect()
}

/// What a configuration amounts to, apart from its detectors, as a text to compare. References to secrets are in it, no secret.
fn all_but_detectors(config: &Config) -> String {
    let config = Config { detectors: Default::default(), hashes: Default::default(), ..config.clone() };
    let hash = |path: &PathBuf| {
        let bytes = std::fs::read(path).ok()?;
        Some(audit::hex(&audit::sha256(&[&bytes])))
    };
    let hashes: Vec<Option<String>> = config.files.iter().map(hash).collect();
    format!("{config:?}\n{hashes:?}")
}

/// The files and folders that are watched: the configuration, and what it names that people edit. Whole paths, as the system
/// tells of them.
fn watched(path: &Path, config: &Config) -> BTreeSet<PathBuf> {
    if !config.watch_config_files {
        return BTreeSet::new();
    }
    let named = config.detectors.paths.iter().chain(&config.files).map(PathBuf::as_path);
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    std::iter::once(path).chain(named).map(whole).collect()
}

/// Watches the folders these are in, for editors and package managers put a new file in the place of the old one.
fn watcher(watched: &BTreeSet<PathBuf>, changed: Arc<Notify>) -> Option<RecommendedWatcher> {
    let files = watched.clone();
    let concerns = move |event: &Event| {
        let is =
            |path: &PathBuf| files.iter().any(|file| path == file || path.starts_with(file) || is_swap(file, path));
        !matches!(event.kind, EventKind::Access(_)) && (event.paths.iter().any(is) || event.need_rescan())
    };
    let made = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.as_ref().map_or(true, &concerns) {
            changed.notify_one();
        }
    });
    let told = |error: &notify::Error| {
        tracing::warn!(%error, "changes of the configuration are not seen: send SIGHUP after a change");
    };
    let mut watcher = made.inspect_err(told).ok().filter(|_| !watched.is_empty())?;
    let folder = |path: &PathBuf| if path.is_dir() { path.clone() } else { parent(path) };
    let above = watched.iter().filter(|path| path.is_dir()).map(|path| parent(path));
    let folders: BTreeSet<PathBuf> = watched.iter().map(folder).chain(above).collect();
    for folder in folders {
        // A folder of detectors is read with the folders in it.
        let mode = if watched.contains(&folder) { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        watcher.watch(&folder, mode).inspect_err(told).ok()?;
    }
    Some(watcher)
}

/// Kubernetes changes a mounted configuration by a link beside it.
fn is_swap(file: &Path, path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "..data") && path.parent() == file.parent()
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

/// Waits for a change, and until nothing more happens for a moment.
async fn settled(changed: &Notify) {
    changed.notified().await;
    while tokio::time::timeout(SETTLED, changed.notified()).await.is_ok() {}
}
