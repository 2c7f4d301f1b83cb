//! What only wall-clock time shows, looked at once a second: a source that is silent or fails, a checkpoint that does not
//! land, a target that does not answer, actions that wait for a person. Detection never sees this clock.
//!
//! Promises: goes on while the step loop waits, so that a loop that hangs is seen; the service manager hears that we live only
//! as long as the loop moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::sync::watch as channel;

use super::board::{Board, Phase};
use super::notify::Manager;
use super::recorder::{Recorder, Samples};
use super::warn::{Kind, Warning};
use crate::clock::Stopwatch;
use crate::metric;
use crate::respond::Outbox;
use crate::respond::breaker::Position;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the outbox is counted.
const COUNT_EVERY: Duration = Duration::from_secs(3);
/// Rows that no checkpoint covers for so long, and for several of its intervals, are too many.
const OVERDUE_MIN: Duration = Duration::from_secs(60);
const OVERDUE_INTERVALS: u32 = 6;

/// Looks until `stop` is said.
pub async fn watch(
    board: Arc<Board>,
    recorder: Recorder,
    outbox: Arc<Outbox>,
    manager: Arc<Manager>,
    mut stop: channel::Receiver<bool>,
) {
    let mut beat = tokio::time::interval(LOOK_EVERY);
    let mut watch = Watch {
        board,
        recorder,
        outbox,
        counted: None,
        parked: BTreeMap::new(),
        uncommitted_since_us: None,
        last: None,
    };
    let mut since_alive = Stopwatch::start();
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            // A dropped sender means the same as a spoken word.
            _ = stop.wait_for(|stop| *stop) => return,
        }
        watch.look().await;
        let is_due = manager.alive_every().is_some_and(|every| since_alive.elapsed() + LOOK_EVERY >= every);
        if is_due && watch.board.phase() != Phase::Starting && watch.board.stalled().is_none() {
            manager.alive();
            since_alive = Stopwatch::start();
        }
    }
}

struct Watch {
    board: Arc<Board>,
    recorder: Recorder,
    outbox: Arc<Outbox>,
    counted: Option<Stopwatch>,
    /// Parked actions by target, as last counted.
    parked: BTreeMap<String, u64>,
    /// Since when there are rows that the last checkpoint does not cover.
    uncommitted_since_us: Option<i64>,
    /// The checkpoint of then.
    last: Option<f64>,
}

impl Watch {
    async fn look(&mut self) {
        self.recorder.upkeep();
        let (samples, now_us) = (self.recorder.samples(), self.board.now_us());
        if self.board.phase() == Phase::Running {
            self.judge_sources(now_us);
        }
        self.judge_checkpoint(&samples, now_us);
        self.count_suppressed(&samples, now_us);
        self.judge_targets(now_us).await;
    }

    fn hold(&self, kind: Kind, about: &str, count: u64, message: String, cure: &str, now_us: i64, quietly: bool) {
        let warning = Warning { kind, about: about.to_owned(), count, message, cure: cure.to_owned() };
        self.board.warnings.hold(warning, now_us, quietly);
    }

    fn judge_sources(&self, now_us: i64) {
        let health = self.board.health.all();
        for facts in &self.board.facts.sources {
            let (name, is) = (facts.name.as_str(), health.get(&facts.name).cloned().unwrap_or_default());
            // The source itself logs that it fails.
            match &is.error {
                Some(error) => {
                    let cure = "see the error; it is tried again, and goes on where the lake says";
                    self.hold(Kind::Failing, name, is.failures, error.clone(), cure, now_us, true);
                }
                None => self.board.warnings.end(Kind::Failing, name, now_us, true),
            }
            let activity = self.board.activity(name);
            let quiet_us = now_us.saturating_sub(activity.last_us.unwrap_or(self.board.started_us));
            let had_records = activity.before || activity.last_us.is_some();
            let judged = facts.silent_us > 0 && had_records && !is.ended && is.error.is_none();
            if judged && quiet_us >= facts.silent_us {
                let seconds = quiet_us / 1_000_000;
                let message =
                    format!("nothing came from this source for {seconds} s, although there were records before");
                let cure = "does the gateway still log, and does it get here? silent_after of the source says what is too long";
                self.hold(Kind::Silent, name, seconds.unsigned_abs(), message, cure, now_us, false);
            } else {
                self.board.warnings.end(Kind::Silent, name, now_us, false);
            }
        }
    }

    fn judge_checkpoint(&mut self, samples: &Samples, now_us: i64) {
        let uncommitted = samples.count(metric::UNCOMMITTED_ROWS, &[]);
        let last = samples.value(metric::CHECKPOINT_LAST, &[]);
        if uncommitted == 0 || last != self.last {
            (self.last, self.uncommitted_since_us) = (last, None);
        }
        let since_us = match uncommitted {
            0 => now_us,
            _ => *self.uncommitted_since_us.get_or_insert(now_us),
        };
        let patience = OVERDUE_MIN.max(self.board.facts.checkpoint_every * OVERDUE_INTERVALS);
        let seconds = (now_us - since_us) / 1_000_000;
        if u64::try_from(seconds).unwrap_or(0) >= patience.as_secs() {
            let message = format!("{uncommitted} rows have not been committed for {seconds} s");
            let cure = "can the lake be reached and written, and is it fast enough? nothing is lost: what is not committed is \
                        read again after a restart";
            self.hold(Kind::Checkpoint, "lake", uncommitted, message, cure, now_us, false);
        } else {
            self.board.warnings.end(Kind::Checkpoint, "lake", now_us, false);
        }
    }

    /// The warning that nobody does what detectors ask for is of the configuration; its count grows.
    fn count_suppressed(&self, samples: &Samples, now_us: i64) {
        for held in self.board.warnings.in_force().into_iter().filter(|held| held.warning == Kind::NoTarget) {
            let count = samples.count(metric::SUPPRESSED, &[("kind", &held.about), ("reason", "no_target")]);
            self.hold(Kind::NoTarget, &held.about, count, held.message, &held.cure, now_us, false);
        }
    }

    async fn judge_targets(&mut self, now_us: i64) {
        if self.counted.is_none_or(|since| since.elapsed() >= COUNT_EVERY) {
            self.counted = Some(Stopwatch::start());
            // The outbox says itself when it cannot be read.
            if let Ok(counts) = self.outbox.counts().await {
                self.parked =
                    counts.into_iter().filter(|c| c.state == "parked").map(|c| (c.target, c.actions)).collect();
            }
        }
        for target in self.outbox.targets() {
            let name = target.target.as_str();
            let level = match target.breaker {
                Position::Closed => 0.0,
                Position::HalfOpen => 1.0,
                Position::Open => 2.0,
            };
            gauge!(metric::TARGET_BREAKER, "target" => name.to_owned()).set(level);
            if target.breaker == Position::Closed {
                self.board.warnings.end(Kind::Breaker, name, now_us, false);
            } else {
                let message = "this target does not answer as it should: its actions wait".to_owned();
                let cure = "is it up, and are its address and secret right? the actions table has what it answered; they are sent \
                            when it answers";
                self.hold(Kind::Breaker, name, 1, message, cure, now_us, false);
            }
            let parked = self.parked.get(name).copied().unwrap_or(0);
            gauge!(metric::OUTBOX_PARKED, "target" => name.to_owned()).set(parked as f64);
            if parked == 0 {
                self.board.warnings.end(Kind::Parked, name, now_us, false);
            } else {
                let message = format!("{parked} actions were given up on and wait for a person");
                let cure = "the actions table says why (step failed): mend the cause at the target";
                self.hold(Kind::Parked, name, parked, message, cure, now_us, false);
            }
        }
    }
}
