//! The outbox: where alerts are told, and what can be asked and done about actions.
//!
//! Promises: `tell` is one durable transaction, and telling the same again changes nothing. After a crash at any point
//! every action is where it was; what was being sent is sent again under the same id. The number of waiting actions is
//! bounded: what comes beyond is recorded as suppressed.
//! Never: reads a clock of its own; never loses or invents an action.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemas::Alert;
use tokio::sync::{Notify, Semaphore};

use super::action::{Action, Kind, State, Step, StepKind};
use super::backoff;
use super::breaker::{Breaker, Position};
use super::config::{ConfigError, DeliveryConfig, RespondConfig};
use super::guard::{Circumstances, Guard, Reason, Verdict};
use super::plan::{self, NO_TARGET, Route};
use super::queue::{Change, Count, Entry, NewStep, Queue, Tx};
use super::target::{Attempt, Delivery, Target};
use crate::store::{Store, StoreError};

/// Microseconds since 1970, UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

const HOUR_US: i64 = 3_600_000_000;

pub struct Outbox {
    pub(super) queue: Queue,
    pub(super) delivery: DeliveryConfig,
    pub(super) lanes: Vec<Arc<Lane>>,
    pub(super) clock: Clock,
    config: RespondConfig,
    guard: Guard,
    routes: Vec<Route>,
    rng: Mutex<ChaCha8Rng>,
    aloud: bool,
}

/// A target with what is known of it while we run.
pub(super) struct Lane {
    pub target: Arc<dyn Target>,
    pub breaker: Mutex<Breaker>,
    /// The actions that are being attempted, by row.
    pub in_flight: Mutex<HashSet<i64>>,
    pub permits: Arc<Semaphore>,
    /// Something changed: an action came, or a place became free.
    pub wake: Notify,
}

/// A target as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TargetStatus {
    pub target: String,
    pub breaker: Position,
    pub in_flight: usize,
    pub dry_run: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    #[error("no action has the id {0}")]
    Unknown(String),
    #[error("action {id} is {state}, and only what was delivered can be reverted")]
    State { id: String, state: String },
    #[error("target {0} is not configured any more")]
    Target(String),
    #[error("target {target} did not revert: {reason}")]
    Refused { target: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Outbox {
    /// `trusted_proxies` are those of all sources; `seed` is for the jitter of the waits.
    pub fn new(
        store: Store,
        config: RespondConfig,
        targets: Vec<Arc<dyn Target>>,
        trusted_proxies: &[String],
        clock: Clock,
        seed: u64,
    ) -> Result<Outbox, ConfigError> {
        config.check()?;
        let guard = Guard::new(&config.guard, trusted_proxies)?;
        let route = |target: &Arc<dyn Target>| Route {
            target: target.name().to_owned(),
            kinds: target.kinds().to_vec(),
            dry_run: target.dry_run(),
        };
        let routes = targets.iter().map(route).collect();
        let delivery = config.delivery.clone();
        let (open_us, asked_us_max) = (micros(delivery.breaker_open), micros(delivery.retry_after_max));
        let lane = |target: Arc<dyn Target>| {
            let concurrency = target.concurrency_max().unwrap_or(usize::MAX).min(delivery.concurrency);
            Arc::new(Lane {
                target,
                breaker: Mutex::new(Breaker::new(delivery.breaker_failures, open_us, asked_us_max)),
                in_flight: Mutex::new(HashSet::new()),
                permits: Arc::new(Semaphore::new(concurrency)),
                wake: Notify::new(),
            })
        };
        let lanes = targets.into_iter().map(lane).collect();
        let rng = Mutex::new(ChaCha8Rng::seed_from_u64(seed));
        Ok(Outbox { queue: Queue::new(store), delivery, lanes, clock, config, guard, routes, rng, aloud: false })
    }

    /// Logs what becomes of each action, for people who look after the service.
    pub fn aloud(self) -> Outbox {
        Outbox { aloud: true, ..self }
    }

    /// One line per step that says what became of an action; attempts and their errors are for `debug`.
    pub(super) fn say(&self, action: &Action, steps: &[NewStep]) {
        for step in steps {
            let (target, kind, why) = (action.target.as_str(), action.kind.name(), step.detail.as_str());
            let Action { id, alert_id, detector, entity_kind, entity_value, dry_run, .. } = action;
            macro_rules! line {
                ($level:ident, $words:literal) => {
                    tracing::$level!(
                        kind,
                        target,
                        entity_kind,
                        entity = entity_value,
                        why,
                        detector,
                        alert = alert_id,
                        action = id,
                        dry_run,
                        $words
                    )
                };
            }
            match step.kind {
                _ if !self.aloud => {}
                StepKind::Delivered => line!(info, "action delivered"),
                StepKind::DryRun => line!(info, "action not sent, this is a dry run"),
                StepKind::Suppressed => line!(info, "action suppressed"),
                StepKind::Expired => line!(info, "action expired"),
                StepKind::Reverted => line!(info, "action reverted"),
                StepKind::Released => line!(info, "action released"),
                StepKind::Parked => line!(error, "action parked, it waits for a person"),
                StepKind::Failed => line!(warn, "action failed"),
                StepKind::Retry => line!(debug, "action not delivered yet"),
                StepKind::Planned | StepKind::Sent => {}
            }
        }
    }

    /// Take in tellings with what their rules ask for, and make the actions durable. The number of actions that are new.
    pub async fn tell(&self, alerts: &[(&Alert, &[String])], now_us: i64) -> Result<usize, StoreError> {
        let mut planned = Vec::new();
        for (alert, kinds) in alerts {
            let opened_us = plan::opened_us(alert);
            let actions = plan::plan(alert, kinds, &self.config, &self.routes, now_us);
            planned.extend(actions.into_iter().map(|action| (action, opened_us)));
        }
        if planned.is_empty() {
            return Ok(0);
        }
        let mut tx = self.queue.begin().await?;
        let mut pending = Queue::pending(&mut tx).await?;
        let mut new = Vec::new();
        for (action, opened_us) in &planned {
            if Queue::knows(&mut tx, &action.id).await? {
                continue;
            }
            let verdict = self.judge(&mut tx, action, *opened_us, pending).await?;
            pending += u64::from(verdict == Verdict::Send);
            new.push((action, take_in(&mut tx, action, verdict).await?));
        }
        Queue::commit(tx).await?;
        self.lanes.iter().for_each(|lane| lane.wake.notify_one());
        new.iter().for_each(|(action, steps)| self.say(action, steps));
        Ok(new.len())
    }

    async fn judge(
        &self,
        tx: &mut Tx,
        action: &Action,
        alert_opened_us: Option<i64>,
        pending: u64,
    ) -> Result<Verdict, StoreError> {
        if action.target == NO_TARGET {
            let words = format!("no target takes `{}`", action.kind.name());
            return Ok(Verdict::Suppress(Reason::NoTarget, words));
        }
        let now_us = action.created_us;
        let mut around = Circumstances { now_us, alert_opened_us, blocked_until_us: None, blocks_last_hour: 0 };
        if action.kind == Kind::Block {
            around.blocked_until_us = Queue::blocked_until(&mut **tx, action).await?;
            around.blocks_last_hour = Queue::blocks_since(tx, now_us.saturating_sub(HOUR_US), action.dry_run).await?;
        }
        let verdict = self.guard.judge(action, &around);
        if verdict == Verdict::Send && pending >= u64::from(self.delivery.pending_max) {
            return Ok(Verdict::Suppress(Reason::QueueFull, format!("{pending} actions are waiting already")));
        }
        Ok(verdict)
    }

    /// The history of all actions after a step number, in order.
    pub async fn steps_after(&self, seq: i64, limit: u32) -> Result<Vec<Step>, StoreError> {
        self.queue.steps_after(seq, limit).await
    }

    /// Actions by target and state.
    pub async fn counts(&self) -> Result<Vec<Count>, StoreError> {
        self.queue.counts().await
    }

    /// The blocks in force, as far as we know: (address, target, action id, end in microseconds), longest first.
    pub async fn blocks(&self, limit: u32) -> Result<Vec<(String, String, String, i64)>, StoreError> {
        self.queue.blocks(limit).await
    }

    /// Actions that were given up on, oldest first.
    pub async fn parked(&self, target: Option<&str>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        self.queue.parked(target, limit).await
    }

    /// Forget ended actions and steps; see `Queue::forget` for what that means.
    pub async fn forget(&self, before_us: i64, steps_through: i64) -> Result<u64, StoreError> {
        self.queue.forget(before_us, steps_through).await
    }

    pub fn targets(&self) -> Vec<TargetStatus> {
        let status = |lane: &Arc<Lane>| TargetStatus {
            target: lane.target.name().to_owned(),
            breaker: locked(&lane.breaker).position(),
            in_flight: locked(&lane.in_flight).len(),
            dry_run: lane.target.dry_run().unwrap_or(self.config.dry_run),
        };
        self.lanes.iter().map(status).collect()
    }

    /// Put a parked action back into the queue.
    pub async fn release(&self, entry: &Entry) -> Result<(), StoreError> {
        self.queue.release(entry, (self.clock)()).await?;
        self.lanes.iter().for_each(|lane| lane.wake.notify_one());
        Ok(())
    }

    /// Undo a delivered action at its target, once, now. `reason` goes into the record.
    pub async fn revert(&self, action_id: &str, reason: &str) -> Result<(), RevertError> {
        let found = self.queue.entry(action_id).await?;
        let (entry, state) = found.ok_or_else(|| RevertError::Unknown(action_id.to_owned()))?;
        if state != State::Delivered.name() {
            return Err(RevertError::State { id: action_id.to_owned(), state });
        }
        let target = &entry.action.target;
        let lane = self.lanes.iter().find(|lane| lane.target.name() == target);
        let lane = lane.ok_or_else(|| RevertError::Target(target.clone()))?;
        let now_us = (self.clock)();
        let attempt = Attempt { number: 1, now_us };
        let call = lane.target.revert(entry.remote_ref.as_deref().unwrap_or_default(), attempt);
        let outcome = tokio::time::timeout(self.delivery.timeout, call).await;
        let (problem, answer) = match outcome {
            Ok(Delivery::Delivered { answer, .. }) => (None, answer),
            Ok(Delivery::Retry { reason, answer, .. } | Delivery::Failed { reason, answer }) => (Some(reason), answer),
            Err(_) => (Some(format!("no answer within {:?}", self.delivery.timeout)), String::new()),
        };
        let (to, step) = match &problem {
            None => (State::Reverted, NewStep::new(StepKind::Reverted, reason)),
            Some(problem) => (State::Delivered, NewStep::new(StepKind::Failed, format!("revert: {problem}"))),
        };
        let change = Change { from: State::Delivered, to, next_attempt_us: entry.next_attempt_us, remote_ref: None };
        let steps = [step.answered(answer)];
        if self.queue.settle(&entry, (self.clock)(), &change, &steps).await? {
            self.say(&entry.action, &steps);
        }
        problem.map_or(Ok(()), |reason| Err(RevertError::Refused { target: target.clone(), reason }))
    }

    pub(super) fn longest_wait_us(&self) -> i64 {
        micros(self.delivery.backoff_max.max(self.delivery.retry_after_max) + self.delivery.backoff_first)
    }

    /// Number steps above `seq`: the lake has steps up to there, of a state store that is gone.
    pub async fn continue_after(&self, seq: i64) -> Result<(), StoreError> {
        self.queue.continue_after(seq).await
    }

    pub(super) fn wait_us(&self, attempt: u32, after: Option<Duration>) -> i64 {
        micros(backoff::wait(&self.delivery, attempt, after, &mut *locked(&self.rng)))
    }
}

/// Makes the action durable with what was decided; the steps, for the log.
async fn take_in(tx: &mut Tx, action: &Action, verdict: Verdict) -> Result<Vec<NewStep>, StoreError> {
    let planned = NewStep::new(StepKind::Planned, "");
    let (state, steps) = match verdict {
        Verdict::Send => (State::Pending, vec![planned]),
        Verdict::DryRun => (State::DryRun, vec![planned, NewStep::new(StepKind::DryRun, "would be sent")]),
        Verdict::Suppress(reason, words) => {
            count_suppressed(action, reason);
            (State::Suppressed, vec![planned, NewStep::new(StepKind::Suppressed, words)])
        }
    };
    for step in &steps {
        count_step(action, step.kind);
    }
    Queue::insert(tx, action, state, &steps).await?;
    Ok(steps)
}

pub(super) fn count_step(action: &Action, step: StepKind) {
    let (target, kind) = (action.target.clone(), action.kind.name());
    metrics::counter!(crate::metric::ACTION_STEPS, "target" => target, "kind" => kind, "step" => step.name())
        .increment(1);
}

pub(super) fn count_suppressed(action: &Action, reason: Reason) {
    metrics::counter!(crate::metric::SUPPRESSED, "kind" => action.kind.name(), "reason" => reason.name()).increment(1);
}

/// The data behind these locks is whole after every statement, so a panic elsewhere does not spoil it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
