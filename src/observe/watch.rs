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
use super::warn::{Kind, NO_TARGETS, Warning};
use crate::clock::Stopwatch;
use crate::ingest::health::SourceHealth;
use crate::metric;
use crate::respond::Outbox;
use crate::respond::breaker::Position;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the outbox is counted.
const COUNT_EVERY: Duration = Duration::from_secs(3);
/// Rows that no checkpoint covers for so long, and for several of its intervals, are too many.
const OVERDUE_MIN: Duration = Duration::from_secs(60);
const OVERDUE_INTERVALS: u32 = 6;

/// A group has divided its topic after so long.
const SHARED_AFTER_US: i64 = 15_000_000;

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
        awaiting: BTreeMap::new(),
        uncommitted: Uncommitted::default(),
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
    awaiting: BTreeMap<String, u64>,
    uncommitted: Uncommitted,
}

/// Rows that no checkpoint covers.
#[derive(Default)]
struct Uncommitted {
    /// Since when there are some that the last checkpoint does not cover.
    since_us: Option<i64>,
    /// The checkpoint of then.
    last: Option<f64>,
}

impl Uncommitted {
    /// Warns when it is too long.
    fn judge(&mut self, board: &Board, rows: u64, last: Option<f64>) {
        let now_us = board.now_us();
        if rows == 0 || last != self.last {
            (self.last, self.since_us) = (last, None);
        }
        let since_us = match rows {
            0 => now_us,
            _ => *self.since_us.get_or_insert(now_us),
        };
        let patience = OVERDUE_MIN.max(board.facts.checkpoint_every * OVERDUE_INTERVALS);
        let seconds = (now_us - since_us) / 1_000_000;
        if u64::try_from(seconds).unwrap_or(0) < patience.as_secs() {
            return board.warnings.end(Kind::Checkpoint, "lake", now_us, false);
        }
        let warning = Warning {
            kind: Kind::Checkpoint,
            about: "lake".to_owned(),
            count: rows,
            message: format!("{rows} rows have not been committed for {seconds} s"),
            cure: "can the lake be reached and written, is there room on its disk, and is it fast enough? nothing is lost: what \
                   is not committed is read again after a restart"
                .to_owned(),
        };
        board.warnings.hold(warning, now_us, false);
    }
}

impl Watch {
    async fn look(&mut self) {
        self.recorder.upkeep();
        let (samples, now_us) = (self.recorder.samples(), self.board.now_us());
        if self.board.phase() == Phase::Running {
            self.judge_sources(now_us);
        }
        let last = self.board.facts.sources.iter().filter_map(|facts| self.board.activity(&facts.name).last_us).max();
        self.outbox.heard(last.unwrap_or(self.board.started_us));
        let uncommitted = samples.count(metric::UNCOMMITTED_ROWS, &[]);
        self.uncommitted.judge(&self.board, uncommitted, samples.value(metric::CHECKPOINT_LAST, &[]));
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
            self.judge_share(name, &is, now_us);
            let activity = self.board.activity(name);
            let quiet_us = now_us.saturating_sub(activity.last_us.unwrap_or(self.board.started_us));
            let judged = facts.silent_us > 0 && !is.ended && is.error.is_none();
            if judged && quiet_us >= facts.silent_us {
                let seconds = quiet_us / 1_000_000;
                let before = match activity.before || activity.last_us.is_some() {
                    true => "although there were records before",
                    false => "and nothing ever did",
                };
                let message = format!("nothing came from this source for {seconds} s, {before}");
                let cure = "does the gateway still log, and does it get here? silent_after of the source says what is too long";
                self.hold(Kind::Silent, name, seconds.unsigned_abs(), message, cure, now_us, false);
            } else {
                self.board.warnings.end(Kind::Silent, name, now_us, false);
            }
        }
    }

    /// A copy that reads a part of a topic sees a part of an attack. While a group divides its topic nobody is warned.
    fn judge_share(&self, name: &str, is: &SourceHealth, now_us: i64) {
        let long = is.shared_since_us.is_some_and(|since_us| now_us - since_us >= SHARED_AFTER_US);
        let Some((open, of)) = is.share.filter(|_| long && is.error.is_none()) else {
            return self.board.warnings.end(Kind::Shared, name, now_us, false);
        };
        let message = format!(
            "this copy reads {open} of the {of} partitions of the topic, and its detectors count what is in those alone: an attack that \
             is spread over all of them is seen in part by each copy, or by none"
        );
        let cure = "let one copy read the whole topic, or have the producer key it by what detectors count (the client's address)";
        self.hold(Kind::Shared, name, u64::from(of.saturating_sub(open)), message, cure, now_us, false);
    }

    /// The warning that nobody does what detectors ask for is of the configuration; its count grows.
    fn count_suppressed(&self, samples: &Samples, now_us: i64) {
        for held in self.board.warnings.in_force().into_iter().filter(|held| held.warning == Kind::NoTarget) {
            let by_kind = samples.counts_by(metric::SUPPRESSED, &[("reason", "no_target")], "kind");
            // Of all kinds, where there is no target at all.
            let count = by_kind.get(&held.about).copied().unwrap_or_else(|| match held.about == NO_TARGETS {
                true => by_kind.values().sum(),
                false => 0,
            });
            self.hold(Kind::NoTarget, &held.about, count, held.message, &held.cure, now_us, false);
        }
    }

    async fn judge_targets(&mut self, now_us: i64) {
        if self.counted.is_none_or(|since| since.elapsed() >= COUNT_EVERY) {
            self.counted = Some(Stopwatch::start());
            // The outbox says itself when it cannot be read.
            if let Ok(counts) = self.outbox.counts().await {
                let of = |state: &str| {
                    let mine = counts.iter().filter(|count| count.state == state);
                    mine.map(|count| (count.target.clone(), count.actions)).collect()
                };
                (self.parked, self.awaiting) = (of("parked"), of("awaiting"));
            }
        }
        self.judge_halt(now_us);
        self.judge_budget(now_us);
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
                let why = target.failing.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                let message = format!("this target does not answer as it should{why}: its actions wait");
                let cure = "is it up, and are its address and secret right? the actions table has what it answered; they are sent \
                            when it answers";
                self.hold(Kind::Breaker, name, 1, message, cure, now_us, false);
            }
            match &target.unread {
                None => self.board.warnings.end(Kind::Unread, name, now_us, false),
                Some(error) => {
                    let message = format!("what is in force there cannot be read back: {error}");
                    let cure = "is it up, and may we read its list? until then what is changed there behind our back stays unseen";
                    self.hold(Kind::Unread, name, 1, message, cure, now_us, false);
                }
            }
            let parked = self.parked.get(name).copied().unwrap_or(0);
            gauge!(metric::OUTBOX_PARKED, "target" => name.to_owned()).set(parked as f64);
            if parked == 0 {
                self.board.warnings.end(Kind::Parked, name, now_us, false);
            } else {
                let message = format!("{parked} actions were given up on and wait for a person");
                let cure = "the actions table says why (step failed): mend the cause at the target, then gatewatch actions \
                            retry --all --target NAME";
                self.hold(Kind::Parked, name, parked, message, cure, now_us, false);
            }
            let awaiting = self.awaiting.get(name).copied().unwrap_or(0);
            gauge!(metric::OUTBOX_AWAITING, "target" => name.to_owned()).set(awaiting as f64);
            if awaiting == 0 {
                self.board.warnings.end(Kind::Awaiting, name, now_us, false);
            } else {
                let message = format!("{awaiting} actions wait for a person to agree");
                let cure = "gatewatch actions list --state awaiting says what and why; then approve or revert each";
                self.hold(Kind::Awaiting, name, awaiting, message, cure, now_us, false);
            }
        }
    }

    fn judge_budget(&self, now_us: i64) {
        match self.outbox.no_room() {
            0 => self.board.warnings.end(Kind::Budget, "respond", now_us, false),
            held => {
                let message = format!("{held} attackers are not kept out: the budget of this hour is used up");
                let cure = "gatewatch actions contained says who: block one network by hand at the edge, raise \
                            respond.guard.blocks_per_hour for many attackers, mend or silence a detector that is wrong";
                self.hold(Kind::Budget, "respond", held, message, cure, now_us, false);
            }
        }
    }

    fn judge_halt(&self, now_us: i64) {
        match self.outbox.halt() {
            None => self.board.warnings.end(Kind::Halted, "respond", now_us, false),
            Some(halt) => {
                let who = if halt.lift { "nobody is contained" } else { "nobody is contained anew" };
                let message = format!("{who}: the kill switch was pulled by {}: {}", halt.actor, halt.reason);
                self.hold(Kind::Halted, "respond", 1, message, "gatewatch actions resume", now_us, false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::observe::board::testing::board;

    #[test]
    fn a_checkpoint_that_does_not_land_is_warned_of_until_one_does() {
        let (board, seconds) = board();
        let mut uncommitted = Uncommitted::default();
        let mut warned = |at: u64, rows: u64, last: f64| {
            seconds.store(at, Ordering::Relaxed);
            uncommitted.judge(&board, rows, Some(last));
            board.warnings.in_force().into_iter().map(|held| held.message).next()
        };
        assert_eq!(warned(100, 5, 90.0), None);
        assert_eq!(warned(159, 8, 90.0), None);
        assert_eq!(warned(160, 8, 90.0).as_deref(), Some("8 rows have not been committed for 60 s"));
        assert_eq!(warned(170, 9, 90.0).as_deref(), Some("9 rows have not been committed for 70 s"));
        assert_eq!(warned(171, 9, 171.0), None, "one landed, and others wait for the next one");
        assert_eq!(warned(230, 9, 171.0), None);
        assert_eq!(warned(231, 9, 171.0).as_deref(), Some("9 rows have not been committed for 60 s"));
        assert_eq!(warned(232, 0, 171.0), None, "nothing waits");
    }
}
