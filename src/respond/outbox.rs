//! The outbox: where alerts are told, and what can be asked and done about actions.
//!
//! Promises: `tell` is one durable transaction, and telling the same again changes nothing. After a crash at any point
//! every action is where it was; what was being sent is sent again under the same id. The number of waiting actions is
//! bounded: what comes beyond is recorded as suppressed, but for pages and containment.
//! Never: reads a clock of its own; never loses or invents an action.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemas::Alert;
use schemas::incident::Event;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};

use super::action::{Action, Kind, Op, State, Step, StepKind};
use super::actions::common::{Common, Ready};
use super::backoff;
use super::breaker::{Breaker, Position, STALE_US_MAX};
use super::config::{ConfigError, DeliveryConfig, RespondConfig, Telling};
use super::follow::Occasion;
use super::guard::{Guard, Reason, Verdict};
use super::halt::Changes;
use super::incident::{Change, Row, book};
use super::kept_out::KeptOut;
use super::link::Links;
use super::message;
use super::pace::Pace;
use super::preflight::{Bystanders, Preflight};
use super::queue::{Count, Entry, NewStep, Queue, Tx};
use super::release::Released;
use super::replan;
use super::target::Target;
use super::wanted;
use crate::audit::{self, Fact, What};
use crate::clock::Stopwatch;
use crate::store::{Store, StoreError};

/// Microseconds since 1970, UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

pub(super) const HOUR_US: i64 = 3_600_000_000;

pub struct Outbox {
    /// Of this copy of the service (`adopt.rs`).
    pub(super) tag: String,
    pub(super) queue: Queue,
    pub(super) store: Store,
    pub(super) delivery: DeliveryConfig,
    pub(super) lanes: Vec<Arc<Lane>>,
    pub(super) clock: Clock,
    pub(super) config: RespondConfig,
    pub(super) guard: Guard,
    pub(super) changes: Changes,
    /// What signs the links in messages; without it there are none.
    pub(super) links: Option<Links>,
    pub(super) preflight: Preflight,
    pub(super) kept_out: KeptOut,
    /// When the last event came, from any source; the end of time where nobody says (`heard`).
    pub(super) heard_us: AtomicI64,
    /// Attackers for whom the budget had no room in the last pass.
    pub(super) no_room: AtomicU64,
    /// When the latest incidents were opened, for `flood.rs`.
    pub(super) opened: Mutex<VecDeque<i64>>,
    /// Something is wanted that was not, or no longer.
    pub(super) wake: Notify,
    pub(super) routes: Vec<Common>,
    /// What detectors ask for now is still to be said (`detectors_ask`): nothing is decided again before.
    pub(super) detectors_to_come: AtomicBool,
    /// What decided when it was last looked whether that has changed.
    pub(super) decided_by: Mutex<String>,
    rules: book::Rules,
    rng: Mutex<ChaCha8Rng>,
    aloud: bool,
}

/// A target with what is known of it while we run.
pub(super) struct Lane {
    pub common: Common,
    pub target: Arc<dyn Target>,
    pub breaker: Mutex<Breaker>,
    pub pace: Mutex<Pace>,
    /// The queues of which an action is being attempted, one of each at a time: also when it was cancelled meanwhile.
    pub in_flight: Mutex<HashSet<String>>,
    pub permits: Arc<Semaphore>,
    /// Something changed: an action came, or a place became free.
    pub wake: Notify,
    /// Since what waits was counted.
    pub counted: Mutex<Option<Stopwatch>>,
    /// Messages that wait for what is done about their attackers, by row, and since when.
    pub held_back: Mutex<HashMap<i64, Stopwatch>>,
    /// Why what is in force there could not be read back, if it was so the last time.
    pub unread: Mutex<Option<String>>,
    /// What went wrong with the last delivery, where the target did not answer as it should.
    pub failing: Mutex<Option<String>>,
}

impl Lane {
    pub fn name(&self) -> &str {
        &self.common.name
    }
}

/// A target as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TargetStatus {
    pub target: String,
    pub breaker: Position,
    pub in_flight: usize,
    pub dry_run: bool,
    /// Why what is in force there could not be read back, if it was so the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// What went wrong with the last delivery, where it did not answer as it should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

impl Outbox {
    /// `trusted_proxies` are those of all sources; `seed` is for the jitter of the waits.
    pub fn new(
        store: Store,
        config: RespondConfig,
        targets: Vec<Ready>,
        trusted_proxies: &[String],
        clock: Clock,
        seed: u64,
    ) -> Result<Outbox, ConfigError> {
        config.check()?;
        let guard = Guard::new(&config.guard, trusted_proxies)?;
        let routes = targets.iter().map(|ready| ready.common.clone()).collect();
        let delivery = config.delivery.clone();
        let (open_us, asked_us_max) = (micros(delivery.breaker_open), micros(delivery.retry_after_max));
        let lane = |Ready { common, target }: Ready| {
            let concurrency = target.concurrency_max().unwrap_or(usize::MAX).min(delivery.concurrency);
            Arc::new(Lane {
                pace: Mutex::new(Pace::new(common.per_minute)),
                common,
                target,
                breaker: Mutex::new(Breaker::new(delivery.breaker_failures, open_us, asked_us_max)),
                in_flight: Mutex::new(HashSet::new()),
                permits: Arc::new(Semaphore::new(concurrency)),
                wake: Notify::new(),
                counted: Mutex::default(),
                held_back: Mutex::default(),
                unread: Mutex::new(None),
                failing: Mutex::new(None),
            })
        };
        let parts_apart = targets.iter().any(|ready| ready.common.when.is_about_alerts());
        let lanes = targets.into_iter().map(lane).collect();
        let rules = book::Rules {
            join_within: config.incidents.join_within,
            half_life: config.incidents.half_life,
            tell_updates: config.tell.contains(&Telling::Updated),
            parts_apart,
        };
        Ok(Outbox {
            tag: super::adopt::tag_of("main"),
            queue: Queue::new(store.clone()),
            changes: Changes::new(store.clone()),
            store,
            delivery,
            lanes,
            clock,
            config,
            guard,
            links: None,
            preflight: Preflight::default(),
            kept_out: KeptOut::default(),
            heard_us: AtomicI64::new(i64::MAX),
            no_room: AtomicU64::new(0),
            opened: Mutex::default(),
            wake: Notify::new(),
            routes,
            detectors_to_come: AtomicBool::new(false),
            decided_by: Mutex::default(),
            rules,
            rng: Mutex::new(ChaCha8Rng::seed_from_u64(seed)),
            aloud: false,
        })
    }

    /// Logs what becomes of each action, for people who look after the service.
    pub fn aloud(self) -> Outbox {
        Outbox { aloud: true, ..self }
    }

    /// What detectors ask for is told once they are known (`detectors_ask`).
    pub fn expecting_detectors(self) -> Outbox {
        Outbox { detectors_to_come: AtomicBool::new(true), ..self }
    }

    /// Looks who else is behind an address before it is blocked.
    pub fn asking(self, bystanders: Arc<dyn Bystanders>) -> Outbox {
        Outbox { preflight: Preflight::of(bystanders), ..self }
    }

    /// To be told when the last event came. Where it is, nobody is kept out for longer than `guard.ttl` after it: without
    /// events an alert never closes.
    pub fn heard(&self, at_us: i64) {
        self.heard_us.store(at_us, Ordering::Relaxed);
    }

    /// Attackers that are not kept out because the budget has no room.
    pub fn no_room(&self) -> u64 {
        self.no_room.load(Ordering::Relaxed)
    }

    /// Puts the links with which people agree into messages.
    pub fn linking(self, links: Option<Links>) -> Outbox {
        Outbox { links, ..self }
    }

    /// The state store, for what people do with incidents and the kill switch.
    pub fn store(&self) -> &Store {
        &self.store
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
                StepKind::Delivered if action.op == Op::Revert => line!(info, "action undone"),
                StepKind::Delivered => line!(info, "action delivered"),
                StepKind::DryRun => line!(info, "action not sent, this is a dry run"),
                StepKind::Suppressed => line!(info, "action suppressed"),
                StepKind::Expired => line!(info, "action expired"),
                StepKind::Reverted => line!(info, "action reverted"),
                StepKind::Released => line!(info, "action released"),
                StepKind::Parked => line!(error, "action parked, it waits for a person"),
                StepKind::Failed => line!(warn, "action failed"),
                StepKind::Retry => line!(debug, "action not delivered yet"),
                StepKind::Awaiting => line!(warn, "action waits for a person to agree"),
                StepKind::Approved => line!(info, "action approved"),
                StepKind::Cancelled => line!(info, "action cancelled"),
                StepKind::Drifted => line!(warn, "no longer in force at the target, and not by us"),
                StepKind::Adopted => line!(warn, "in force at the target by us, and not known here: taken up"),
                StepKind::Planned | StepKind::Sent => {}
            }
        }
    }

    /// Take in tellings with what their rules ask for, and make what follows durable. The number of actions that are new.
    pub async fn tell(&self, alerts: &[(&Alert, &[String])], now_us: i64) -> Result<usize, StoreError> {
        if alerts.is_empty() {
            return Ok(0);
        }
        let mut tx = self.queue.begin().await?;
        let mut taken = TakenIn { pending: Queue::pending(&mut tx).await?, new: Vec::new() };
        for (alert, names) in alerts {
            let asked: Vec<Kind> = names.iter().filter_map(|name| Kind::parse(name)).collect();
            match book::take(&mut tx, alert, &asked, &self.rules, now_us).await? {
                book::Taken::Known => {}
                book::Taken::Suppressed(_) => asked.iter().for_each(|kind| count_suppressed(*kind, Reason::Suppressed)),
                book::Taken::Changed(change, before) => {
                    if before.is_some_and(|before| self.decides_otherwise(&before, &change.row, now_us)) {
                        replan::owe_incident(&mut tx, &change.row.id).await?;
                    }
                    audit::pend(&mut tx, now_us, &told(&change)).await?;
                    let occasion = Occasion { asked: &asked, now_us, news_us: i64::MIN, withdraws: false };
                    self.follow(&mut tx, *change, &occasion, &mut taken).await?;
                }
            }
        }
        Queue::commit(tx).await?;
        self.wake.notify_one();
        self.lanes.iter().for_each(|lane| lane.wake.notify_one());
        taken.new.iter().for_each(|(action, steps)| self.say(action, steps));
        Ok(taken.new.len())
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
            target: lane.name().to_owned(),
            breaker: locked(&lane.breaker).position(),
            in_flight: locked(&lane.in_flight).len(),
            dry_run: self.is_dry(lane),
            unread: locked(&lane.unread).clone(),
            failing: locked(&lane.failing).clone(),
        };
        self.lanes.iter().map(status).collect()
    }

    /// Put a parked action back into the queue.
    pub async fn release(&self, entry: &Entry, actor: &str) -> Result<Released, StoreError> {
        let released = self.queue.release(entry, (self.clock)(), actor).await?;
        self.lanes.iter().for_each(|lane| lane.wake.notify_one());
        Ok(released)
    }

    /// A person agrees to an action that waited for that; false when it does not wait.
    pub async fn approve(&self, action_id: &str, actor: &str) -> Result<bool, StoreError> {
        let done = super::incident::desk::approve(&self.store, action_id, actor, (self.clock)()).await?;
        self.lanes.iter().for_each(|lane| lane.wake.notify_one());
        Ok(done)
    }

    /// The kill switch, while it is pulled.
    pub fn halt(&self) -> Option<super::halt::Halt> {
        self.changes.live().halt.clone()
    }

    /// Whether nothing is sent to this target.
    pub(super) fn is_dry(&self, lane: &Lane) -> bool {
        lane.common.dry_run.unwrap_or(self.config.dry_run)
    }

    /// No wait reaches further ahead, not even seen from a clock that was read before the failure that began it.
    pub(super) fn longest_wait_us(&self) -> i64 {
        micros(self.delivery.backoff_max.max(self.delivery.retry_after_max) + self.delivery.backoff_first)
            .saturating_add(STALE_US_MAX)
    }

    /// Number steps above `seq`: the lake has steps up to there, of a state store that is gone.
    pub async fn continue_after(&self, seq: i64) -> Result<(), StoreError> {
        self.queue.continue_after(seq).await
    }

    pub(super) fn wait_us(&self, attempt: u32, after: Option<Duration>) -> i64 {
        micros(backoff::wait(&self.delivery, attempt, after, &mut *locked(&self.rng)))
    }
}

/// The entry of the audit about a telling.
fn told(change: &Change) -> Fact {
    let alert = change.alert.as_ref();
    let detail = json!({
        "incident": change.row.id, "state": alert.map(|alert| book::state_name(alert.state)),
        "revision": alert.map(|alert| alert.revision), "detector": alert.map(|alert| alert.detector.as_str()),
        "severity": alert.map(|alert| message::severity_name(alert.severity)),
        "entity_kind": alert.map(|alert| alert.entity.kind.as_str()),
        "entity_value": alert.map(|alert| alert.entity.value.as_str()),
        "opened": alert.map(|alert| alert.opened.as_str()), "updated": alert.map(|alert| alert.updated.as_str()),
    });
    Fact::new(What::AlertUpdate, audit::SELF, alert.map_or("", |alert| alert.id.as_str()), detail)
}

/// The entry of the audit about somebody who is wanted out.
pub(super) fn planned(wanted: &wanted::Wanted) -> Fact {
    let detail = json!({
        "kind": wanted.kind.name(), "entity_kind": wanted.entity_kind, "entity_value": wanted.entity_value,
        "alert": wanted.alert_id, "detector": wanted.detector, "seconds": wanted.ttl_us / 1_000_000,
        "approve": wanted.approve, "dry_run": wanted.dry_run,
    });
    Fact::new(What::Plan, audit::SELF, &wanted.incident_id, detail)
}

/// The entry of the audit about a message that is due.
pub(super) fn changed(row: &Row, event: Event) -> Fact {
    let detail = json!({
        "event": event.name(), "revision": row.revision, "severity": message::severity_name(row.severity),
        "status": row.status.name(), "title": row.title, "alerts": row.alerts, "alerts_open": row.alerts_open,
        "subject_kind": row.subject.kind, "subject_value": row.subject.value,
    });
    Fact::new(What::Incident, audit::SELF, &row.id, detail)
}

/// What a telling has brought so far.
pub(super) struct TakenIn {
    pub pending: u64,
    pub new: Vec<(Action, Vec<NewStep>)>,
}

/// Makes the action durable with what was decided; the steps, for the log.
pub(super) async fn insert(tx: &mut Tx, action: &Action, verdict: Verdict) -> Result<Vec<NewStep>, StoreError> {
    let planned = NewStep::new(StepKind::Planned, "");
    let (state, steps) = match verdict {
        Verdict::Send => (State::Pending, vec![planned]),
        Verdict::DryRun => (State::DryRun, vec![planned, NewStep::new(StepKind::DryRun, "would be sent")]),
        Verdict::Ask(words) => (State::Awaiting, vec![planned, NewStep::new(StepKind::Awaiting, words)]),
        Verdict::Suppress(reason, words) => {
            count_suppressed(action.kind, reason);
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

pub(super) fn count_suppressed(kind: Kind, reason: Reason) {
    metrics::counter!(crate::metric::SUPPRESSED, "kind" => kind.name(), "reason" => reason.name()).increment(1);
}

/// The data behind these locks is whole after every statement, so a panic elsewhere does not spoil it.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
