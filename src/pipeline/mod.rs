//! The step loop: batches of events go into the engine, its alerts go out at once, and the ledger commits.
//!
//! Lanes that are taken up begin where the lake says. What was read of a lane that was lost meanwhile is committed before it
//! is taken up again, so that a copy which moved it fences us, and what the reader reads a second time is left out.
//!
//! Promises: one thread owns the engine and the ledger, so the order of everything that matters is the order of this
//! loop. Lanes too far ahead of the others are paused, so what the merge holds back stays bounded.
//! Never: opens a record, decides what an alert is, talks to a target.

mod ledger;
mod patience;
mod pool;
mod prepare;
mod reader;
mod swap;
#[cfg(test)]
mod tests;
mod totals;
mod watcher;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use arrow::array::AsArray;
use detectors::{Engine, EngineError, Rule};
use futures::future::BoxFuture;
use schemas::alert::State;
use schemas::{Alert, Lane};

pub use ledger::{Ledger, LedgerConfig, write_audit, write_steps};
pub use pool::LaneStates;
pub use prepare::Prepare;
pub use reader::{Controls, Drifted, Read, ReadBatch, Reader, Turns};
pub use swap::Swap;
pub use totals::Totals;
pub use watcher::{Nobody, Taken, Watcher};

use crate::audit::AuditError;
use crate::clock::Stopwatch;
use crate::ingest::IngestError;
use crate::ingest::retried::text_of_panic;
use crate::lake::LakeError;
use crate::limits;
use crate::store::StoreError;

/// Where alerts go at once: a file, the outbox.
pub trait Outlet: Send {
    fn tell(&mut self, alerts: &[Alert]) -> anyhow::Result<()>;
    /// When all that was told so far is where it is to go; an error says why it never will be.
    fn taken(&mut self) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// From now on these detectors run.
    fn swapped(&mut self, _rules: &[Arc<Rule>]) {}
    /// The updates that close what is open there of detectors that do not go on. Asked for when all that was told is there.
    fn left_open(&mut self, _goes_on: &dyn Fn(&str) -> bool) -> anyhow::Result<Vec<Alert>> {
        Ok(Vec::new())
    }
    /// The updates that close what is open there and is none of these, which are all that detection holds open.
    fn not_held(&mut self, _held: &HashSet<String>) -> anyhow::Result<Vec<Alert>> {
        Ok(Vec::new())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    #[error(transparent)]
    Ingest(#[from] IngestError),
    #[error("detection: {0}")]
    Engine(#[from] EngineError),
    #[error("lake: {0}")]
    Lake(#[from] LakeError),
    #[error("state store: {0}")]
    Store(#[from] StoreError),
    #[error("audit: {0}")]
    Audit(#[from] AuditError),
    #[error("telling alerts: {0:#}")]
    Outlet(anyhow::Error),
    #[error(
        "the lake took no checkpoint within {0} s after the service was told to stop: what is not committed is read again at \
         the next start"
    )]
    NotKept(u64),
    #[error("the reading thread stopped: {0}; this is a bug")]
    ReaderGone(String),
}

impl PipelineError {
    /// Whether the same may succeed later.
    fn may_pass(&self) -> bool {
        match self {
            PipelineError::Lake(error) => error.is_retryable(),
            PipelineError::Store(error) | PipelineError::Audit(AuditError::Store(error)) => error.may_pass(),
            _ => false,
        }
    }

    /// The lake failed, or did not answer.
    pub fn is_of_the_lake(&self) -> bool {
        matches!(self, PipelineError::Lake(_) | PipelineError::NotKept(_))
    }
}

pub struct Pipeline<'a> {
    pub engine: Engine,
    /// None: nothing is kept.
    pub ledger: Option<Ledger>,
    pub outlets: Vec<Box<dyn Outlet>>,
    /// What is done for detection before a batch gets here.
    pub prepare: Arc<Prepare>,
    pub lateness_us: Box<dyn Fn(&Lane) -> i64 + Send + 'a>,
    /// Set from outside: stop at the next step, commit, return.
    pub stop: Arc<AtomicBool>,
    /// New detectors, from outside.
    pub swap: Arc<Swap>,
    /// Told after every batch.
    pub progress: Box<dyn FnMut(&Totals) + 'a>,
    pub watcher: Box<dyn Watcher + 'a>,
    pub totals: Totals,
    pub lanes: Lanes,
}

/// Which lanes are ours, and which of them are read to their end.
pub struct Lanes {
    /// Open in the snapshot, not yet opened by their source.
    restored: BTreeSet<Lane>,
    since_start: Stopwatch,
    open: BTreeSet<Lane>,
    /// Idle: nothing came for a while.
    at_end: BTreeSet<Lane>,
    announced: bool,
    /// Where lanes were taken up, until a batch of them lies wholly behind that.
    begins: BTreeMap<Lane, i64>,
    /// Some lanes are kept waiting for the one that is furthest behind.
    paused: bool,
    /// What waits for the lake; nothing more is read before it is done.
    waiting: Option<Waiting>,
    caught_up: CaughtUp,
    /// Read to their end at least once; since when all were.
    ended: BTreeSet<Lane>,
    since_ended: Option<Stopwatch>,
    /// What was told before the start was told again by then, or is over, and that was acted on.
    was_compared: bool,
}

/// What the loop goes on with when the lake has done what it is at.
enum Waiting {
    /// A lane to take up.
    Open(Lane),
    /// Lanes to let go, and whether the commit has begun that holds what was read of them.
    LetGo(Vec<Lane>, bool),
}

/// What is done once all lanes were read to their end.
enum CaughtUp {
    Done,
    /// It is to be committed when the lake can take it.
    Owed,
    /// And told when the lake has it.
    Committing,
}

impl Lanes {
    pub fn of(engine: &Engine) -> Lanes {
        Lanes {
            restored: engine.lanes().into_iter().collect(),
            since_start: Stopwatch::start(),
            open: BTreeSet::new(),
            at_end: BTreeSet::new(),
            announced: false,
            begins: BTreeMap::new(),
            paused: false,
            waiting: None,
            caught_up: CaughtUp::Done,
            ended: BTreeSet::new(),
            since_ended: None,
            was_compared: false,
        }
    }

    fn gone(&mut self, lane: &Lane) {
        self.open.remove(lane);
        self.at_end.remove(lane);
    }

    /// These were at their end.
    fn note_ended(&mut self, lanes: &BTreeSet<Lane>) {
        if self.since_ended.is_some() {
            return;
        }
        self.ended.extend(lanes.iter().cloned());
        if !self.open.is_empty() && self.restored.is_empty() && self.open.is_subset(&self.ended) {
            self.since_ended = Some(Stopwatch::start());
            self.ended.clear();
        }
    }

    /// True once each time all lanes have come to their end.
    fn all_at_end(&mut self) -> bool {
        let all = !self.open.is_empty() && self.open == self.at_end;
        let news = all && !self.announced;
        self.announced = all;
        news
    }
}

/// How long the loop waits for the reader before it looks at the time and at `stop`.
const PATIENCE: Duration = Duration::from_millis(50);
/// So long after all lanes were at their end, and their lateness, what was read of them by then is folded.
const FOLDED_AFTER: Duration = Duration::from_secs(300);
/// How long detection waits for a source that had lanes before the restart and has not opened any yet.
const RESTORED_PATIENCE: Duration = Duration::from_secs(60);

/// Stops the reader however the loop ends, also by a panic: nobody would be left to listen to it.
struct StopReader<'a>(&'a Controls);

impl Drop for StopReader<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Pipeline<'_> {
    /// Runs until the source is finished or `stop` is set, then commits what is open.
    pub fn run(&mut self, reader: Reader) -> Result<Vec<Drifted>, PipelineError> {
        let (controls, prepare) = (reader.controls.clone(), self.prepare.clone());
        self.ledger.iter_mut().for_each(|ledger| ledger.stop_with(self.stop.clone()));
        // Each thread that normalises has one of these in hand.
        let (sender, turns) = sync_channel(limits::READ_QUEUE_BATCHES + reader.threads());
        std::thread::scope(|scope| {
            let prepare = &*prepare;
            let reading = scope.spawn(move || reader.run(&sender, prepare));
            let stop = StopReader(&controls);
            let mut turns = Turns::new(turns);
            let result = self.step_all(&mut turns, &controls);
            drop(stop);
            // Unblocks a reader that waits for room in the queue.
            drop(turns);
            let drifted = reading.join().map_err(|panic| PipelineError::ReaderGone(text_of_panic(panic.as_ref())))?;
            result.map(|()| drifted)
        })
    }

    /// Tells what is closed because detectors began without the past that the last checkpoint has, and replaces that checkpoint
    /// before anything is read: after a crash what they told since then is still theirs.
    pub fn begin_anew(&mut self, closed: &[Alert]) -> Result<(), PipelineError> {
        self.tell(closed)?;
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        ledger.stop_with(self.stop.clone());
        let told = self.outlets.iter_mut().map(|outlet| outlet.taken()).collect();
        ledger.begin(self.engine.snapshot(), told)?;
        ledger.settle()?;
        Ok(())
    }

    fn step_all(&mut self, turns: &mut Turns, controls: &Controls) -> Result<(), PipelineError> {
        let mut finished = false;
        while !finished && !self.stop.load(Ordering::Relaxed) {
            finished = self.go_on(turns, controls)?;
            self.stop_waiting_for_restored();
            self.swap_detectors()?;
            let alerts = self.engine.advance()?;
            self.tell(&alerts)?;
            self.balance(controls);
            self.watcher.turned(&self.engine);
            self.commit_what_is_caught_up(controls)?;
            self.compare_when_all_was_read()?;
            self.commit_if_due(controls)?;
        }
        // Those that came with the word to stop close alerts, too.
        self.swap_detectors()?;
        if finished {
            let alerts = self.engine.finish()?;
            self.tell(&alerts)?;
        }
        self.watcher.ended(&self.engine);
        self.commit(controls)?;
        self.settle(controls)?;
        self.tell_caught_up();
        let told: Vec<_> = self.outlets.iter_mut().map(|outlet| outlet.taken()).collect();
        told.into_iter().try_for_each(futures::executor::block_on).map_err(PipelineError::Outlet)
    }

    /// The next thing the reader said, or what waits for the lake; true when it was the reader's last word.
    fn go_on(&mut self, turns: &mut Turns, controls: &Controls) -> Result<bool, PipelineError> {
        match self.lanes.waiting.take() {
            Some(Waiting::Open(lane)) => self.open(lane, controls)?,
            Some(Waiting::LetGo(lanes, begun)) => self.let_go(lanes, begun, controls)?,
            // Nothing more is read before the lake takes some of what was.
            None if self.ledger.as_ref().is_some_and(Ledger::is_full) => _ = self.is_settled(controls)?,
            None => match turns.next(PATIENCE) {
                Ok(read) => return self.step(read, controls),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PipelineError::ReaderGone("without a word".to_owned()));
                }
            },
        }
        Ok(false)
    }

    /// Each time all lanes have come to their end: what was read is committed, and that is told. Nothing waits for it.
    fn commit_what_is_caught_up(&mut self, controls: &Controls) -> Result<(), PipelineError> {
        if self.lanes.all_at_end() {
            self.lanes.caught_up = CaughtUp::Owed;
        }
        if self.ledger.as_ref().is_some_and(Ledger::is_busy) {
            return Ok(());
        }
        match self.lanes.caught_up {
            CaughtUp::Done => {}
            CaughtUp::Owed => {
                self.commit(controls)?;
                self.lanes.caught_up = CaughtUp::Committing;
            }
            CaughtUp::Committing => {
                self.settle(controls)?;
                self.close_what_is_not_held()?;
                self.tell_caught_up();
            }
        }
        Ok(())
    }

    /// A service that is never idle: once all lanes were at their end, and what was read of them by then must be folded.
    fn compare_when_all_was_read(&mut self) -> Result<(), PipelineError> {
        let lanes = &self.lanes;
        let since = lanes.since_ended.as_ref().filter(|_| !lanes.was_compared).map(Stopwatch::elapsed);
        let Some(since) = since.filter(|since| *since >= FOLDED_AFTER) else { return Ok(()) };
        let lateness_us = lanes.open.iter().map(|lane| (self.lateness_us)(lane)).max().unwrap_or(0);
        let lateness = Duration::from_micros(lateness_us.max(0).unsigned_abs());
        if since >= FOLDED_AFTER + lateness { self.close_what_is_not_held() } else { Ok(()) }
    }

    /// After a crash, or with an older state store, what is open there may be open nowhere else: nobody would ever close it. Once.
    fn close_what_is_not_held(&mut self) -> Result<(), PipelineError> {
        if std::mem::replace(&mut self.lanes.was_compared, true) {
            return Ok(());
        }
        let (held, mut closed) = (self.engine.open_ids(), Vec::new());
        for outlet in &mut self.outlets {
            closed.extend(outlet.not_held(&held).map_err(PipelineError::Outlet)?);
        }
        if !closed.is_empty() {
            tracing::warn!(
                alerts_closed = closed.len(),
                "are open in the state store and not in detection, as after a restore"
            );
        }
        self.tell(&closed)
    }

    fn tell_caught_up(&mut self) {
        if !matches!(std::mem::replace(&mut self.lanes.caught_up, CaughtUp::Done), CaughtUp::Done) {
            tracing::info!(events = self.totals.events, "caught up: every lane is read to its end");
        }
    }

    /// One thing the reader said; true when it was its last word.
    fn step(&mut self, read: Read, controls: &Controls) -> Result<bool, PipelineError> {
        match read {
            Read::Opened(lane) => self.open(lane, controls)?,
            Read::Batch(batch) => {
                self.close_what_is_not_ours(&batch.lane);
                self.take(*batch)?;
            }
            Read::CaughtUp(lane) => {
                self.close_what_is_not_ours(&lane);
                self.engine.idle(&lane);
                self.lanes.at_end.insert(lane);
            }
            Read::AtEnd(lanes, at_us) => self.note_ends(&lanes, at_us),
            Read::Ended(lane) => {
                self.engine.close(&lane);
                self.lanes.gone(&lane);
            }
            Read::Revoking(lanes) => self.close_revoked(lanes, controls)?,
            Read::Finished => return Ok(true),
            Read::Failed(error) => {
                // When every lane has ended, the damage is at the end of one: what was before it is judged as a whole.
                let alerts = if self.lanes.open.is_empty() { self.engine.finish()? } else { self.engine.advance()? };
                self.tell(&alerts)?;
                self.commit(controls)?;
                self.settle(controls)?;
                return Err(error.into());
            }
        }
        Ok(false)
    }

    /// Of lanes that are read to their end, detection need not wait for further rows to know how far they are.
    fn note_ends(&mut self, lanes: &BTreeSet<Lane>, at_us: i64) {
        lanes.iter().for_each(|lane| self.engine.at_end(lane, at_us));
        self.lanes.note_ended(lanes);
    }

    /// Takes a lane up, as soon as the lake says where it continues.
    fn open(&mut self, lane: Lane, controls: &Controls) -> Result<(), PipelineError> {
        if !self.adopt(&lane, controls)? {
            self.lanes.waiting = Some(Waiting::Open(lane));
            return Ok(());
        }
        self.engine.open(&lane, (self.lateness_us)(&lane));
        self.lanes.restored.remove(&lane);
        self.lanes.open.insert(lane);
        Ok(())
    }

    /// False when the lake does not say yet where the lane continues.
    fn adopt(&mut self, lane: &Lane, controls: &Controls) -> Result<bool, PipelineError> {
        let looking = self.ledger.as_ref().is_some_and(Ledger::is_looking);
        if !looking && !self.is_settled(controls)? {
            return Ok(false);
        }
        if self.ledger.as_ref().is_some_and(|ledger| ledger.holds(lane)) {
            self.commit(controls)?;
            if !self.is_settled(controls)? {
                return Ok(false);
            }
        }
        let position = match &mut self.ledger {
            None => None,
            Some(ledger) => match ledger.adopt(lane, PATIENCE)? {
                None => return Ok(false),
                Some(position) => position,
            },
        };
        if let Some(position) = position {
            self.lanes.begins.insert(lane.clone(), position);
        }
        self.watcher.opened(lane, position);
        Ok(true)
    }

    /// A source opens its lanes before it reads any. Its lanes of the snapshot that it did not open are another copy's by
    /// now (or their file is not read any more); nothing shall wait for them.
    fn close_what_is_not_ours(&mut self, read: &Lane) {
        let engine = &mut self.engine;
        self.lanes.restored.retain(|lane| {
            let stays = lane.source != read.source;
            if !stays {
                engine.close(lane);
            }
            stays
        });
    }

    /// A source that was taken out of the configuration, or cannot be reached, does not hold the others back for ever.
    fn stop_waiting_for_restored(&mut self) {
        if self.lanes.restored.is_empty() || self.lanes.since_start.elapsed() < RESTORED_PATIENCE {
            return;
        }
        for lane in std::mem::take(&mut self.lanes.restored) {
            tracing::warn!(%lane, "was read before the restart and is not now: detection goes on without it");
            self.engine.close(&lane);
        }
    }

    fn take(&mut self, mut batch: ReadBatch) -> Result<(), PipelineError> {
        self.lanes.at_end.remove(&batch.lane);
        if let Some(begin) = self.lanes.begins.get(&batch.lane).copied() {
            if batch.next_offset <= begin {
                // Its rows are in the lake; what was learned from them goes on.
                if let (Some(ledger), Some(state)) = (&mut self.ledger, batch.state.take()) {
                    ledger.keep_lane_states([(batch.lane, state.into())]);
                }
                return Ok(());
            }
            self.lanes.begins.remove(&batch.lane);
            batch.leave_out_before(begin).map_err(EngineError::from)?;
        }
        let totals = &mut self.totals;
        totals.records += batch.records;
        totals.bytes += batch.bytes;
        totals.rejects += batch.rejects.len() as u64;
        let survey = totals.surveys.entry(batch.lane.source.clone()).or_default();
        survey.note_rejects(&batch.rejects);
        totals.events += batch.events.num_rows() as u64;
        totals.note_times(&batch.events);
        let ahead_before = self.engine.ahead(&batch.lane);
        let events = batch.events.clone();
        let events = match batch.prepared.take() {
            Some(prepared) => self.engine.push_prepared(&batch.lane, events, prepared?)?,
            None => self.engine.push(&batch.lane, events)?,
        };
        let ahead = self.engine.ahead(&batch.lane).saturating_sub(ahead_before);
        totals.ahead += ahead;
        if let Some(late) = events.column_by_name("late") {
            totals.late += late.as_boolean().true_count() as u64;
        }
        if let Some(survey) = totals.surveys.get_mut(&batch.lane.source) {
            survey.note_events(&events);
        }
        let (records, bytes, rejects) = (batch.records, batch.bytes, batch.rejects.as_slice());
        self.watcher.took(&Taken { lane: &batch.lane, records, bytes, rejects, ahead, events: &events });
        if let Some(ledger) = &mut self.ledger {
            ledger.note(&mut batch, events);
        }
        (self.progress)(&self.totals);
        Ok(())
    }

    /// Lanes the group takes away: fold what is held of them, commit, and only then let them go.
    fn close_revoked(&mut self, lanes: Vec<Lane>, controls: &Controls) -> Result<(), PipelineError> {
        for lane in &lanes {
            self.engine.close(lane);
            self.lanes.gone(lane);
        }
        let alerts = self.engine.advance()?;
        self.tell(&alerts)?;
        self.let_go(lanes, false, controls)
    }

    /// `begun`: the commit that holds what was read of them.
    fn let_go(&mut self, lanes: Vec<Lane>, begun: bool, controls: &Controls) -> Result<(), PipelineError> {
        if !self.is_settled(controls)? {
            self.lanes.waiting = Some(Waiting::LetGo(lanes, begun));
        } else if begun {
            controls.release(lanes);
        } else {
            self.commit(controls)?;
            self.lanes.waiting = Some(Waiting::LetGo(lanes, true));
        }
        Ok(())
    }

    /// To everybody who is to hear of alerts; before `run`, of what an earlier run left open.
    pub fn tell(&mut self, alerts: &[Alert]) -> Result<(), PipelineError> {
        if alerts.is_empty() {
            return Ok(());
        }
        let opened = alerts.iter().filter(|alert| alert.state == State::Open);
        self.totals.alert_parts += opened.clone().filter(|alert| alert.part_of.is_some()).count() as u64;
        self.totals.alerts_opened += opened.count() as u64;
        self.watcher.told(alerts);
        for outlet in &mut self.outlets {
            outlet.tell(alerts).map_err(PipelineError::Outlet)?;
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.note_alerts(alerts);
        }
        Ok(())
    }

    /// Pauses every lane but the one the others wait for while too many rows are held back, until half of them are folded.
    fn balance(&mut self, controls: &Controls) {
        let held = self.engine.held_rows();
        if held > limits::HELD_ROWS_MAX {
            self.lanes.paused = true;
        } else if held < limits::HELD_ROWS_MAX / 2 && self.lanes.paused {
            self.lanes.paused = false;
            controls.pause([]);
        }
        if self.lanes.paused {
            // Anew each time: another lane may be the one furthest behind by now, and must not stay paused.
            let laggard = self.engine.laggard();
            let ahead = self.engine.lanes().into_iter().filter(|lane| Some(lane) != laggard.as_ref());
            controls.pause(ahead);
        }
    }

    fn commit_if_due(&mut self, controls: &Controls) -> Result<(), PipelineError> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let landed = ledger.landed()?;
        let due = ledger.due();
        controls.committed(&landed);
        if due { self.commit(controls) } else { Ok(()) }
    }

    fn commit(&mut self, controls: &Controls) -> Result<(), PipelineError> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let told = self.outlets.iter_mut().map(|outlet| outlet.taken()).collect();
        let landed = ledger.begin(self.engine.snapshot(), told)?;
        controls.committed(&landed);
        Ok(())
    }

    /// Whether the lake has done what it was at; waits for a moment.
    fn is_settled(&mut self, controls: &Controls) -> Result<bool, PipelineError> {
        let Some(ledger) = &mut self.ledger else { return Ok(true) };
        let landed = ledger.settle_within(PATIENCE)?;
        landed.iter().for_each(|landed| controls.committed(landed));
        Ok(landed.is_some())
    }

    fn settle(&mut self, controls: &Controls) -> Result<(), PipelineError> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let landed = ledger.settle()?;
        controls.committed(&landed);
        Ok(())
    }
}
