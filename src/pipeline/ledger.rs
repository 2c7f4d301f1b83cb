//! The ledger: the only place that commits. It collects what a checkpoint will hold, hands it to the lake in one piece,
//! and says which positions are safe once the lake has it.
//!
//! A commit runs beside detection; the next one waits for it. The snapshot is taken when the commit begins, so it and
//! the positions belong together.
//! A checkpoint that fails, and may succeed later (a full disk, storage that cannot be reached), is tried again for some
//! minutes; detection goes on meanwhile, as far as what waits stays bounded. Told to stop, the service waits for seconds.
//! Never: reorders checkpoints, forgets a failed one (a failure that lasts, or cannot pass, stops the pipeline; the restart
//! repeats from the last commit).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use schemas::{Alert, Lane, Reject};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::PipelineError;
use super::patience::{Patience, commit};
use super::reader::ReadBatch;
use crate::audit::{self, Audit, Chained};
use crate::clock::{Clock, Stopwatch};
use crate::lake::{ActionRow, AuditRow, Checkpoint, Lake, LakeError, Maintenance, TableReport};
use crate::respond::{Outbox, Step};
use crate::{limits, metric};

/// How long a service that is to stop waits for a lake that fails, and for one that is slow.
const STOP_FAILING: Duration = Duration::from_secs(10);
const STOP_SLOW: Duration = Duration::from_secs(60);
/// How long whoever must wait for the lake does so before it looks whether it is to stop.
const STEP: Duration = Duration::from_millis(50);

/// When to commit and what to do besides.
pub struct LedgerConfig {
    pub every: Duration,
    pub rows: usize,
    pub maintain_every: Duration,
    pub maintenance: Maintenance,
}

/// Resolves when what was told somewhere is there.
type Told = BoxFuture<'static, anyhow::Result<()>>;
type Landing = (Lake, Result<(), PipelineError>);
type UnderWay = (JoinHandle<Landing>, Vec<(Lane, i64)>);
type Looking = JoinHandle<(Lake, Result<Option<i64>, LakeError>)>;

pub struct Ledger {
    runtime: Handle,
    config: LedgerConfig,
    clock: Clock,
    outbox: Option<Arc<Outbox>>,
    audit: Option<Arc<Audit>>,
    /// Away while a commit is under way, or a look where a lane continues.
    lake: Option<Lake>,
    under_way: Option<UnderWay>,
    looking: Option<Looking>,
    /// Event rows of the commit under way.
    rows_under_way: usize,
    /// The commit under way failed and is tried again: nobody should wait for it who need not.
    retrying: Arc<AtomicBool>,
    /// The commit under way has landed, and what goes on is upkeep: the same.
    upkeep: Arc<AtomicBool>,
    pending: Pending,
    /// What each lane has to know to go on where its records were noted last.
    lane_states: BTreeMap<Lane, Arc<[u8]>>,
    since_commit: Stopwatch,
    since_maintenance: Stopwatch,
    /// A checkpoint is due, whatever waits for it.
    owed: bool,
    /// Set from outside: the service is to stop; since when that is known.
    stop: Arc<AtomicBool>,
    stopping: Option<Stopwatch>,
}

/// What the next checkpoint will hold.
#[derive(Default)]
struct Pending {
    events: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    positions: BTreeMap<Lane, i64>,
    alerts: Vec<Alert>,
    rejects: Vec<Reject>,
}

impl Ledger {
    pub fn new(runtime: Handle, lake: Lake, outbox: Option<Arc<Outbox>>, clock: Clock, config: LedgerConfig) -> Ledger {
        metrics::gauge!(metric::CHECKPOINT_LAST).set(clock() as f64 / 1e6);
        Ledger {
            runtime,
            config,
            clock,
            outbox,
            audit: None,
            lake: Some(lake),
            under_way: None,
            looking: None,
            rows_under_way: 0,
            retrying: Arc::default(),
            upkeep: Arc::default(),
            pending: Pending::default(),
            lane_states: BTreeMap::new(),
            since_commit: Stopwatch::start(),
            since_maintenance: Stopwatch::start(),
            owed: false,
            stop: Arc::default(),
            stopping: None,
        }
    }

    /// Once this is set, nobody waits for the lake for long.
    pub fn stop_with(&mut self, stop: Arc<AtomicBool>) {
        self.stop = stop;
    }

    /// Copies the entries of this audit into the lake, too.
    pub fn with_audit(mut self, audit: Option<Arc<Audit>>) -> Ledger {
        self.audit = audit;
        self
    }

    /// The states of lanes that the last checkpoint held; those of lanes that do not move stay in the next ones.
    pub fn keep_lane_states(&mut self, states: impl IntoIterator<Item = (Lane, Arc<[u8]>)>) {
        self.lane_states.extend(states);
    }

    /// Notes a batch: its events (with `late` decided), its rejects, its position.
    pub fn note(&mut self, batch: &mut ReadBatch, events: RecordBatch) {
        self.pending.rows += events.num_rows();
        self.pending.bytes += events.get_array_memory_size();
        if events.num_rows() > 0 {
            self.pending.events.push(events);
        }
        let sealed = |reject: &Reject| reject.sealed.as_ref().map_or(0, Vec::len);
        self.pending.bytes += batch.rejects.iter().map(sealed).sum::<usize>();
        self.pending.rejects.append(&mut batch.rejects);
        self.pending.positions.insert(batch.lane.clone(), batch.next_offset);
        if let Some(state) = batch.state.take() {
            self.lane_states.insert(batch.lane.clone(), state.into());
        }
        self.show_uncommitted();
    }

    fn show_uncommitted(&self) {
        metrics::gauge!(metric::UNCOMMITTED_ROWS).set((self.pending.rows + self.rows_under_way) as f64);
    }

    pub fn note_alerts(&mut self, alerts: &[Alert]) {
        self.pending.alerts.extend_from_slice(alerts);
    }

    /// Whether it is time to commit, by rows or by age, and the one before has landed.
    pub fn due(&self) -> bool {
        let old = self.something_pending() && self.since_commit.elapsed() >= self.config.every;
        (self.owed || self.is_large() || self.is_many() || old) && !self.is_busy()
    }

    /// What the last checkpoint says of the detectors is no longer so: the next one is due at once.
    pub fn owe(&mut self) {
        self.owed = true;
    }

    /// Whether as much waits for the next checkpoint as may, and the one before has not landed.
    pub fn is_full(&self) -> bool {
        let goes_on = self.retrying.load(Ordering::Relaxed) || self.upkeep.load(Ordering::Relaxed);
        self.is_busy() && (self.is_large() || (self.is_many() && !goes_on))
    }

    fn is_large(&self) -> bool {
        let side = self.pending.alerts.len() + self.pending.rejects.len();
        side >= limits::CHECKPOINT_SIDE_ROWS_MAX || self.pending.bytes >= limits::CHECKPOINT_BYTES_MAX
    }

    fn is_many(&self) -> bool {
        self.pending.rows >= self.config.rows
    }

    /// To begin a commit, or to look where a lane continues, is to wait for what the lake is at.
    pub fn is_busy(&self) -> bool {
        let commits = self.under_way.as_ref().is_some_and(|(task, _)| !task.is_finished());
        commits || self.looking.as_ref().is_some_and(|task| !task.is_finished())
    }

    fn something_pending(&self) -> bool {
        !self.pending.positions.is_empty() || !self.pending.alerts.is_empty()
    }

    /// Begins a checkpoint with the engine's state of this very moment, after the one under way has landed. `told` says when the
    /// alerts it holds are told.
    pub fn begin(&mut self, snapshot: Vec<u8>, told: Vec<Told>) -> Result<Vec<(Lane, i64)>, PipelineError> {
        let landed = self.settle()?;
        let pending = std::mem::take(&mut self.pending);
        self.rows_under_way = pending.rows;
        let positions: Vec<(Lane, i64)> = pending.positions.into_iter().collect();
        let checkpoint = Checkpoint {
            events: pending.events,
            positions: positions.clone(),
            snapshot,
            alerts: pending.alerts,
            rejects: pending.rejects,
            lane_states: self.saved_lane_states(),
        };
        let maintain = self.maintenance_due();
        let mut lake = self.lake.take().expect("settle brought the lake back");
        let (outbox, audit) = (self.outbox.clone(), self.audit.clone());
        let now_us = (self.clock)();
        let (retrying, upkeep) = (self.retrying.clone(), self.upkeep.clone());
        let task = self.runtime.spawn(async move {
            let (outbox, audit) = (outbox.as_deref(), audit.as_deref());
            let result = async {
                for told in told {
                    told.await.map_err(PipelineError::Outlet)?;
                }
                land(&mut lake, checkpoint, &retrying, outbox, audit).await?;
                if let Some(policy) = maintain {
                    upkeep.store(true, Ordering::Relaxed);
                    keep_up(&mut lake, outbox, audit, &policy, now_us).await;
                }
                Ok(())
            };
            let result = result.await;
            retrying.store(false, Ordering::Relaxed);
            upkeep.store(false, Ordering::Relaxed);
            (lake, result)
        });
        self.under_way = Some((task, positions));
        (self.since_commit, self.owed) = (Stopwatch::start(), false);
        Ok(landed)
    }

    /// The states of the lanes, as many as a checkpoint may hold; a lane that is left out begins anew after a restart.
    fn saved_lane_states(&self) -> Vec<(Lane, Arc<[u8]>)> {
        let mut bytes = 0;
        let fits = |(_, state): &(&Lane, &Arc<[u8]>)| {
            bytes += state.len();
            bytes <= limits::LANE_STATES_BYTES_MAX
        };
        let states = self.lane_states.iter().take_while(fits);
        states.map(|(lane, state)| (lane.clone(), state.clone())).collect()
    }

    fn maintenance_due(&mut self) -> Option<Maintenance> {
        if self.since_maintenance.elapsed() < self.config.maintain_every {
            return None;
        }
        self.since_maintenance = Stopwatch::start();
        Some(self.config.maintenance.clone())
    }

    /// Waits for the commit under way; returns the positions it made safe. It is an error when the service is to stop
    /// meanwhile and the lake does not take it soon.
    pub fn settle(&mut self) -> Result<Vec<(Lane, i64)>, PipelineError> {
        loop {
            if let Some(landed) = self.settle_within(STEP)? {
                return Ok(landed);
            }
            self.check_stop()?;
        }
    }

    fn check_stop(&mut self) -> Result<(), PipelineError> {
        if !self.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let waited = self.stopping.get_or_insert_with(Stopwatch::start).elapsed();
        let most = if self.retrying.load(Ordering::Relaxed) { STOP_FAILING } else { STOP_SLOW };
        if waited < most { Ok(()) } else { Err(PipelineError::NotKept(waited.as_secs())) }
    }

    /// Waits for so long at most; none when the lake is busy behind that.
    pub fn settle_within(&mut self, patience: Duration) -> Result<Option<Vec<(Lane, i64)>>, PipelineError> {
        if let Some(task) = &mut self.looking {
            // Its answer is of no use any more: whoever wants it asks again.
            let Some((lake, _)) = within(&self.runtime, patience, task) else { return Ok(None) };
            (self.lake, self.looking) = (Some(lake), None);
        }
        let Some((task, positions)) = &mut self.under_way else { return Ok(Some(Vec::new())) };
        let Some((lake, result)) = within(&self.runtime, patience, task) else { return Ok(None) };
        let positions = std::mem::take(positions);
        (self.lake, self.under_way, self.rows_under_way) = (Some(lake), None, 0);
        match &result {
            Ok(()) => {
                self.show_uncommitted();
                metrics::gauge!(metric::CHECKPOINT_LAST).set((self.clock)() as f64 / 1e6);
                metrics::counter!(metric::CHECKPOINTS, "result" => "committed").increment(1);
            }
            // Each attempt was counted.
            Err(PipelineError::Lake(_)) => {}
            Err(_) => metrics::counter!(metric::CHECKPOINTS, "result" => "failed").increment(1),
        }
        result.map(|()| Some(positions))
    }

    /// The positions made safe by a commit that has landed by now, without waiting.
    pub fn landed(&mut self) -> Result<Vec<(Lane, i64)>, PipelineError> {
        match &self.under_way {
            Some((task, _)) if task.is_finished() => self.settle(),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether rows of the lane wait for the next checkpoint.
    pub fn holds(&self, lane: &Lane) -> bool {
        self.pending.positions.contains_key(lane)
    }

    /// Takes over a lane that another copy may have moved: its position in the lake, which is returned, counts from now
    /// on. None while the lake is busy, or does not say yet: it is to be asked for the same lane again.
    pub fn adopt(&mut self, lane: &Lane, patience: Duration) -> Result<Option<Option<i64>>, PipelineError> {
        if self.looking.is_none() {
            let Some(mut lake) = self.lake.take() else { return Ok(None) };
            let (lane, retrying) = (lane.clone(), self.retrying.clone());
            self.looking = Some(self.runtime.spawn(async move {
                let position = position_of(&mut lake, &lane, &retrying).await;
                retrying.store(false, Ordering::Relaxed);
                (lake, position)
            }));
        }
        let Some(task) = &mut self.looking else { return Ok(None) };
        let Some((lake, position)) = within(&self.runtime, patience, task) else { return Ok(None) };
        (self.lake, self.looking) = (Some(lake), None);
        Ok(Some(position?))
    }

    /// Whether the lake is asked where a lane continues.
    pub fn is_looking(&self) -> bool {
        self.looking.is_some()
    }
}

/// What a task comes to, if that is soon enough.
fn within<T>(runtime: &Handle, patience: Duration, task: &mut JoinHandle<T>) -> Option<T> {
    let done = runtime.block_on(async { tokio::time::timeout(patience, task).await });
    done.ok().map(|done| done.expect("a task of the lake does not panic and is never cancelled"))
}

async fn position_of(lake: &mut Lake, lane: &Lane, retrying: &AtomicBool) -> Result<Option<i64>, LakeError> {
    let mut patience = Patience::new("looking where a lane continues");
    loop {
        match lake.refresh_positions(std::slice::from_ref(lane)).await {
            Err(error) => patience.bear(error, retrying).await?,
            Ok(positions) => return Ok(positions.into_iter().find_map(|(_, position)| position)),
        }
    }
}

/// One checkpoint, then the actions' steps and the audit's entries.
async fn land(
    lake: &mut Lake,
    checkpoint: Checkpoint,
    retrying: &AtomicBool,
    outbox: Option<&Outbox>,
    audit: Option<&Audit>,
) -> Result<(), PipelineError> {
    let took = Stopwatch::start();
    let span = tracing::info_span!(target: crate::telemetry::SPANS, "checkpoint", rows = tracing::field::Empty);
    let committed = commit(lake, &checkpoint, retrying).instrument(span.clone()).await?;
    span.record("rows", committed.rows);
    metrics::histogram!(metric::CHECKPOINT_SECONDS).record(took.elapsed().as_secs_f64());
    tracing::debug!(number = committed.checkpoint, rows = committed.rows, bytes = committed.bytes, "checkpoint");
    if let Some(outbox) = outbox {
        match write_steps(lake, outbox).await {
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, "the steps of actions wait for the next checkpoint");
            }
            done => done?,
        }
    }
    if let Some(audit) = audit {
        match write_audit(lake, audit).await {
            Err(error) if error.may_pass() => {
                tracing::warn!(%error, "the audit's entries wait for the next checkpoint");
            }
            done => done?,
        }
    }
    Ok(())
}

/// Upkeep that fails costs space, not data: it is told and tried again next time.
async fn keep_up(lake: &mut Lake, outbox: Option<&Outbox>, audit: Option<&Audit>, policy: &Maintenance, now_us: i64) {
    if let Some(audit) = audit
        && let Err(error) = audit.forget(lake.audit_marker().unwrap_or(0)).await
    {
        tracing::warn!(%error, "old entries of the audit stay in the state store; it is tried again later");
    }
    if let Some(outbox) = outbox {
        let before_us = now_us - limits::OUTBOX_KEPT_US;
        if let Err(error) = outbox.forget(before_us, lake.actions_marker().unwrap_or(0)).await {
            tracing::warn!(%error, "old actions stay in the outbox; it is tried again later");
        }
    }
    let today = chrono::DateTime::from_timestamp_micros(now_us).unwrap_or_default().date_naive();
    match lake.maintain(policy, today).await {
        Ok(report) => report.tables.iter().for_each(tell_upkeep),
        Err(error) => tracing::warn!(%error, "lake maintenance failed; it is tried again later"),
    }
}

fn tell_upkeep(done: &TableReport) {
    if (done.expired, done.merged, done.vacuumed) != (0, 0, 0) {
        let TableReport { table, expired, merged, written, vacuumed } = *done;
        tracing::info!(table, expired, merged, written, vacuumed, "upkeep: files of a table");
    }
}

/// Copies the actions' steps into the lake, each once: the table's marker says how far it has come.
pub async fn write_steps(lake: &mut Lake, outbox: &Outbox) -> Result<(), PipelineError> {
    loop {
        let steps = outbox.steps_after(lake.actions_marker().unwrap_or(0), limits::ACTION_STEPS_MAX).await?;
        let Some(through) = steps.last().map(|step| step.seq) else { return Ok(()) };
        let rows: Vec<ActionRow> = steps.into_iter().map(action_row).collect();
        lake.append_actions(&rows, through).await?;
    }
}

fn action_row(step: Step) -> ActionRow {
    let answer = (!step.answer.is_empty()).then_some(step.answer);
    ActionRow {
        seq: step.seq,
        time_us: step.time_us,
        action_id: step.action_id,
        alert_id: step.alert_id,
        detector: step.detector,
        entity_kind: step.entity_kind,
        entity_value: step.entity_value,
        target: step.target,
        kind: step.kind,
        step: step.step,
        dry_run: step.dry_run,
        expires_us: step.expires_us,
        detail: step.detail,
        answer,
        op: step.op,
        incident_id: step.incident_id,
    }
}

/// Copies the entries of the audit into the lake, each once, as `write_steps` does. What is due for a head is signed first.
pub async fn write_audit(lake: &mut Lake, audit: &Audit) -> Result<(), PipelineError> {
    audit.sign(true).await?;
    loop {
        let entries = audit.entries_after(lake.audit_marker().unwrap_or(0), limits::AUDIT_ENTRIES_MAX).await?;
        let Some(through) = entries.last().map(|chained| chained.entry.n) else { return Ok(()) };
        let rows: Result<Vec<AuditRow>, _> = entries.iter().map(audit_row).collect();
        lake.append_audit(&rows.map_err(audit::AuditError::from)?, through).await?;
    }
}

fn audit_row(chained: &Chained) -> Result<AuditRow, audit::CanonicalError> {
    let entry = &chained.entry;
    Ok(AuditRow {
        instance: entry.instance.clone(),
        n: entry.n,
        time_us: entry.time_us,
        actor: entry.actor.clone(),
        what: entry.what.clone(),
        about: entry.about.clone(),
        detail: audit::canonical(&serde_json::Value::Object(entry.detail.clone()))?,
        previous: audit::hex(&chained.previous),
        hash: audit::hex(&chained.hash),
    })
}
