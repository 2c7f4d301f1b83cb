//! Delivery: one loop per target takes what is due, attempts it and settles the result.
//!
//! Promises: within a queue one action after the other, and a few queues side by side, the most urgent first; an attempt is on
//! record before it is made; every attempt ends within the time-out, and one that contains somebody when the kill switch is
//! pulled; a failing target costs nobody else anything. Stopping waits for attempts under way and starts no new ones.
//! Never: gives up before the configured attempts, or keeps on after them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::action::{Action, Op, State, StepKind, scrub};
use super::breaker::{LETS_GO_AFTER_US, Pass, Position};
use super::due::Moment;
use super::outbox::{Lane, Outbox, count_step, count_suppressed, locked, micros};
use super::queue::{Change, Entry, NewStep};
use super::target::{Attempt, Delivery, Order};
use crate::clock::Stopwatch;
use crate::store::StoreError;

/// The longest sleep without looking: another process may have released an action.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// While draining, how often to look whether everything is done, where another loop does the work.
const LOOK_EVERY_DRAINING: Duration = Duration::from_millis(50);
/// The shortest: what is due sooner waits this little longer.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(1);
/// The pause after the state store failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often to look whether a message need not wait any longer.
const HELD_BACK_LOOK_US: i64 = 50_000;
const ENDED_BLOCKS_MAX: u32 = 100;
/// How often what waits is counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);

impl Outbox {
    /// Deliver until told to stop.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        self.warn_of_orphans().await;
        let (stop, stopped) = watch::channel(false);
        let lanes = join_all(self.lanes.iter().map(|lane| self.work(lane, stopped.clone(), false)));
        let control = self.control(stopped.clone());
        let ask = async {
            // A dropped sender means the same as a spoken word: nobody wants this to go on.
            let _ = shutdown.wait_for(|stop| *stop).await;
            let _ = stop.send(true);
        };
        tokio::join!(lanes, control, ask);
    }

    /// Deliver until nothing waits any more or the time is up; the number of actions that still wait. Waits for retries.
    pub async fn drain(self: &Arc<Self>, deadline: Duration) -> Result<u64, StoreError> {
        self.changes.refresh((self.clock)()).await?;
        self.guard.refresh();
        self.pass(true).await?;
        let (_stop, stopped) = watch::channel(false);
        let lanes = join_all(self.lanes.iter().map(|lane| self.work(lane, stopped.clone(), true)));
        // An attempt that the deadline cuts off is uncertain, like one that a crash cuts off: it is made again.
        let _ = tokio::time::timeout(deadline, lanes).await;
        let mut left = 0;
        for lane in &self.lanes {
            left += self.queue.waiting(lane.name()).await?;
        }
        Ok(left)
    }

    async fn work(self: &Arc<Self>, lane: &Arc<Lane>, mut stop: watch::Receiver<bool>, until_empty: bool) {
        // Tasks of their own, because an attempt must go on while this loop waits for the state store.
        let mut running = JoinSet::new();
        while !*stop.borrow() {
            let sleep = match self.look(lane).await {
                Ok((claims, next)) => {
                    for claim in claims {
                        running.spawn(Arc::clone(self).attempt(claim));
                    }
                    if until_empty && running.is_empty() && self.is_empty(lane).await {
                        break;
                    }
                    if until_empty { next.min(LOOK_EVERY_DRAINING) } else { next }
                }
                Err(error) => {
                    tracing::error!(target = lane.name(), %error, "the outbox cannot be read");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                _ = stop.changed() => {}
                Some(ended) = running.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(target = lane.name(), %error, "an attempt broke off");
                    }
                }
                () = lane.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn is_empty(&self, lane: &Lane) -> bool {
        matches!(self.queue.is_empty(lane.name()).await, Ok(true))
    }

    /// How many wait, for the metrics; counting takes time where many do, so it is done now and then.
    async fn count_waiting(&self, lane: &Lane) -> Result<(), StoreError> {
        let due = locked(&lane.counted).as_ref().is_none_or(|since| since.elapsed() >= COUNT_EVERY);
        if due {
            *locked(&lane.counted) = Some(Stopwatch::start());
            let waiting = self.queue.waiting(lane.name()).await?;
            metrics::gauge!(crate::metric::OUTBOX_PENDING, "target" => lane.name().to_owned()).set(waiting as f64);
        }
        Ok(())
    }

    /// What can start now, and when to look again.
    async fn look(&self, lane: &Arc<Lane>) -> Result<(Vec<Claim>, Duration), StoreError> {
        let now_us = (self.clock)();
        self.end_blocks(lane, now_us).await?;
        self.count_waiting(lane).await?;
        let mut next_us = self.queue.next_end(lane.name(), now_us).await?.unwrap_or(i64::MAX);
        let busy = locked(&lane.in_flight).len();
        let (at_once, halted) = (lane.target.orders_max(), self.changes.live().halt.is_some());
        let limit = busy + self.delivery.concurrency.saturating_mul(at_once) + 1;
        let moment = Moment { now_us, longest_wait_us: self.longest_wait_us(), halted };
        next_us = next_us.min(self.queue.next_due(lane.name(), &moment).await?.unwrap_or(i64::MAX));
        let mut claims: Vec<Claim> = Vec::new();
        for entry in self.queue.due(lane.name(), &moment, limit).await? {
            if self.is_held_back(lane, &entry).await? {
                next_us = next_us.min(now_us.saturating_add(HELD_BACK_LOOK_US));
                continue;
            }
            // A list that changes as a whole takes many at once.
            if at_once > 1
                && let Some(claim) = claims.last_mut().filter(|claim| claim.entries.len() < at_once)
            {
                claim.join(entry);
                continue;
            }
            match Claim::take(lane, entry, now_us) {
                Taken::Yes(claim) => claims.push(*claim),
                Taken::Elsewhere => {}
                // What ends the wait wakes us.
                Taken::Full => break,
                Taken::NotBefore(us) => {
                    next_us = next_us.min(us);
                    break;
                }
            }
        }
        let sleep = Duration::from_micros(u64::try_from(next_us.saturating_sub(now_us)).unwrap_or(0));
        Ok((claims, sleep.clamp(LOOK_AT_MOST_EVERY, LOOK_EVERY)))
    }

    /// What has come to its end: recorded where the target ends it by itself, undone there where it does not.
    async fn end_blocks(&self, lane: &Lane, now_us: i64) -> Result<(), StoreError> {
        let ended = self.queue.ended_blocks(lane.name(), now_us, ENDED_BLOCKS_MAX).await?;
        if !lane.target.ends_by_itself() {
            return self.undo_ended(lane, &ended, now_us).await;
        }
        for entry in ended {
            let change = Change { from: State::Delivered, ..waiting_to(State::Expired) };
            self.settle(&entry, now_us, change, &[NewStep::new(StepKind::Expired, "its time is over")]).await?;
        }
        Ok(())
    }

    async fn attempt(self: Arc<Self>, mut claim: Claim) {
        if let Err(error) = self.try_attempt(&mut claim).await {
            let (target, actions) = (claim.lane.name(), claim.entries.len());
            // The rows are as they were, so the actions are taken up again; the pause keeps that from spinning.
            tracing::error!(target, actions, %error, "actions could not be recorded");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }

    async fn try_attempt(&self, claim: &mut Claim) -> Result<(), StoreError> {
        let now_us = (self.clock)();
        let mut ready = Vec::with_capacity(claim.entries.len());
        for entry in &claim.entries {
            if self.stands_down(&claim.lane, entry, now_us).await? {
                continue;
            }
            let mut entry = entry.clone();
            if !entry.action.kind.contains() && entry.action.op == Op::Apply {
                entry.action.body = self.told_now(&entry.action, now_us).await?;
            }
            let number = entry.attempts.saturating_add(1);
            let sent = NewStep::new(StepKind::Sent, format!("attempt {number}"));
            if self.queue.begin_attempt(&mut entry, now_us, sent).await? {
                count_step(&entry.action, StepKind::Sent);
                let thread = self.queue.thread(&entry).await?;
                self.tell_whom_we_are_about_to_keep_out(&entry.action, now_us);
                ready.push((entry, thread));
            }
        }
        if ready.is_empty() {
            return Ok(());
        }
        let orders: Vec<Order> = ready
            .iter()
            .map(|(entry, thread)| Order {
                action: &entry.action,
                attempt: Attempt { number: entry.attempts, now_us },
                remote_ref: entry.remote_ref.as_deref().or(thread.as_deref()),
            })
            .collect();
        let (target, kind, took) = (claim.lane.name(), ready[0].0.action.kind.name(), Stopwatch::start());
        let (number, several) = (ready[0].0.attempts, orders.len());
        let span = tracing::info_span!(
            target: crate::telemetry::SPANS, "delivery", to = target, kind, attempt = number, actions = several
        );
        let outcomes = self.call(&claim.lane, &orders).instrument(span).await;
        metrics::histogram!(crate::metric::DELIVERY, "target" => target.to_owned())
            .record(took.elapsed().as_secs_f64());
        let done_us = (self.clock)();
        // One call is one word about the target: the worst.
        let passing = outcomes.iter().find(|outcome| matches!(outcome, Delivery::Retry { .. }));
        let said = outcomes.iter().find(|outcome| !matches!(outcome, Delivery::Later { .. }));
        claim.report(passing.or(said).or(outcomes.first()).expect("as many outcomes as orders"), done_us);
        for ((entry, _), outcome) in ready.iter().zip(outcomes) {
            self.tell_what_came_of_it(&entry.action, &outcome, done_us);
            let outcome = sooner_where_it_lets_go(&entry.action, outcome);
            let (change, steps) = self.conclude(entry.attempts, outcome, done_us);
            let renewed = entry.action.kind.contains()
                && entry.action.op == Op::Apply
                && change.to == State::Delivered
                && !claim.lane.target.ends_by_itself();
            let settled = self.settle(entry, done_us, change, &steps).await?;
            if settled && renewed {
                self.queue.supersede(entry, done_us).await?;
            }
            if entry.action.kind.contains() {
                self.wake.notify_one();
            }
        }
        Ok(())
    }

    /// One call to the target, cut off by the time-out and, where it contains somebody, by the kill switch.
    async fn call(&self, lane: &Lane, orders: &[Order<'_>]) -> Vec<Delivery> {
        let again = |reason: String| orders.iter().map(|_| Delivery::retry(reason.clone())).collect::<Vec<_>>();
        let stoppable = orders.iter().all(|order| order.action.kind.contains() && order.action.op == Op::Apply);
        let mut live = self.changes.subscribe();
        let halted = async {
            // Never ends where messages are sent; the sender lives as long as we do.
            if !stoppable || live.wait_for(|live| live.halt.is_some()).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            outcomes = tokio::time::timeout(self.delivery.timeout, lane.target.carry_out_all(orders)) => match outcomes {
                Ok(outcomes) if outcomes.len() == orders.len() => outcomes,
                Ok(_) => again("the target's answer does not cover all that was asked".to_owned()),
                Err(_) => again(format!("no answer within {:?}", self.delivery.timeout)),
            },
            // That one was made stays known. It is no fault of the target.
            () = halted => orders.iter().map(|_| broken_off()).collect(),
        }
    }

    /// Whether it is not sent after all; then that is on record.
    async fn stands_down(&self, lane: &Lane, entry: &Entry, now_us: i64) -> Result<bool, StoreError> {
        let is_owed = self.is_owed(self.store.pool(), &entry.action).await?;
        let Some((change, mut steps)) = self.stand_down(lane, entry, is_owed, now_us) else { return Ok(false) };
        match change.to {
            State::Expired => self.expire(lane, entry, steps.remove(0), now_us).await?,
            _ => {
                self.settle(entry, now_us, change, &steps).await?;
            }
        }
        Ok(true)
    }

    /// Reasons, found only now, not to send it after all.
    fn stand_down(&self, lane: &Lane, entry: &Entry, is_owed: bool, now_us: i64) -> Option<(Change, Vec<NewStep>)> {
        let action = &entry.action;
        if action.expires_us.is_some_and(|expires| expires <= now_us) {
            let step = NewStep::new(StepKind::Expired, "its time was over before it could be delivered");
            return Some((waiting_to(State::Expired), vec![step]));
        }
        // A crash in the last attempt gets one more; a message that crashes us each time does not go on for ever.
        if entry.attempts > self.delivery.attempts_max {
            let why = format!("{} attempts ended without a result", entry.attempts);
            return Some(park(why, String::new()));
        }
        // What undoes is always right, and after an attempt the effect may be there: the control loop sees to that.
        if action.op == Op::Revert || (action.kind.contains() && entry.attempts > 0) {
            return None;
        }
        if self.is_dry(lane) {
            let step = NewStep::new(StepKind::DryRun, "the target was switched to dry run before it was sent");
            return Some((waiting_to(State::DryRun), vec![step]));
        }
        let of_us = if is_owed { action.about_us } else { now_us };
        let still = self.guard.may_still(action, &self.changes.live().never, of_us);
        still.err().map(|(reason, words)| {
            count_suppressed(action.kind, reason);
            (waiting_to(State::Suppressed), vec![NewStep::new(StepKind::Suppressed, words)])
        })
    }

    /// What an attempt's outcome means for the action.
    fn conclude(&self, number: u32, outcome: Delivery, now_us: i64) -> (Change, Vec<NewStep>) {
        match outcome {
            Delivery::Delivered { answer, remote_ref } => {
                let step = NewStep::new(StepKind::Delivered, format!("attempt {number}")).answered(answer);
                (Change { remote_ref, ..waiting_to(State::Delivered) }, vec![step])
            }
            Delivery::Noted { remote_ref } => {
                let step =
                    NewStep::new(StepKind::Retry, format!("attempt {number}: noted `{remote_ref}`, goes on at once"));
                (
                    Change { next_attempt_us: now_us, remote_ref: Some(remote_ref), ..waiting_to(State::Pending) },
                    vec![step],
                )
            }
            Delivery::Retry { after, reason, answer } if number < self.delivery.attempts_max => {
                let wait_us = self.wait_us(number, after);
                let detail = format!("attempt {number}: {reason}; again in {} ms", wait_us / 1000);
                let step = NewStep::new(StepKind::Retry, detail).answered(answer);
                let next_attempt_us = now_us.saturating_add(wait_us);
                (Change { next_attempt_us, ..waiting_to(State::Pending) }, vec![step])
            }
            Delivery::Later { after, reason } => {
                let wait_us = micros(after.min(self.delivery.retry_after_max));
                let step = NewStep::new(StepKind::Retry, format!("not yet: {reason}; again in {} ms", wait_us / 1000));
                let next_attempt_us = now_us.saturating_add(wait_us);
                (Change { next_attempt_us, uncounted: true, ..waiting_to(State::Pending) }, vec![step])
            }
            Delivery::Retry { reason, answer, .. } => park(format!("attempt {number}, the last: {reason}"), answer),
            Delivery::Failed { reason, answer } => park(format!("attempt {number}: {reason}"), answer),
        }
    }

    /// False when it is no longer as `entry` says: somebody cancelled it meanwhile.
    async fn settle(&self, entry: &Entry, now_us: i64, change: Change, steps: &[NewStep]) -> Result<bool, StoreError> {
        let settled = self.queue.settle(entry, now_us, &change, steps).await?;
        if settled {
            steps.iter().for_each(|step| count_step(&entry.action, step.kind));
            self.say(&entry.action, steps);
        }
        Ok(settled)
    }
}

fn broken_off() -> Delivery {
    Delivery::Later { after: Duration::from_secs(1), reason: "broken off by the kill switch".to_owned() }
}

fn waiting_to(to: State) -> Change {
    Change { from: State::Pending, to, next_attempt_us: 0, remote_ref: None, uncounted: false }
}

fn park(why: String, answer: String) -> (Change, Vec<NewStep>) {
    let failed = NewStep::new(StepKind::Failed, why).answered(answer);
    let parked = NewStep::new(StepKind::Parked, "waits for a person to look and release it");
    (waiting_to(State::Parked), vec![failed, parked])
}

/// The right to attempt one action, held for the length of the attempt. Dropping it gives everything back.
struct Claim {
    lane: Arc<Lane>,
    entries: Vec<Entry>,
    reported: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

enum Taken {
    Yes(Box<Claim>),
    /// It is being attempted already, or another of its queue is: what undoes must not overtake what it undoes.
    Elsewhere,
    Full,
    NotBefore(i64),
}

/// Whom it lets go does not wait as long as a target may ask.
fn sooner_where_it_lets_go(action: &Action, outcome: Delivery) -> Delivery {
    match outcome {
        Delivery::Retry { after: Some(after), reason, answer } if action.op == Op::Revert => {
            let most = Duration::from_micros(LETS_GO_AFTER_US.unsigned_abs());
            Delivery::Retry { after: Some(after.min(most)), reason, answer }
        }
        outcome => outcome,
    }
}

impl Claim {
    fn take(lane: &Arc<Lane>, entry: Entry, now_us: i64) -> Taken {
        let mut in_flight = locked(&lane.in_flight);
        if in_flight.contains(&entry.action.queue) {
            return Taken::Elsewhere;
        }
        let Ok(permit) = Arc::clone(&lane.permits).try_acquire_owned() else {
            return Taken::Full;
        };
        match locked(&lane.breaker).pass(now_us, entry.action.op == Op::Revert) {
            Pass::Yes => {}
            Pass::Wait => return Taken::Full,
            Pass::NotBefore(us) => return Taken::NotBefore(us),
        }
        if let Err(us) = locked(&lane.pace).take(now_us) {
            locked(&lane.breaker).abandoned();
            return Taken::NotBefore(us);
        }
        in_flight.insert(entry.action.queue.clone());
        Taken::Yes(Box::new(Claim {
            lane: Arc::clone(lane),
            entries: vec![entry],
            reported: AtomicBool::new(false),
            _permit: permit,
        }))
    }

    /// One more action of the same call, unless one of its queue is under way.
    fn join(&mut self, entry: Entry) {
        if locked(&self.lane.in_flight).insert(entry.action.queue.clone()) {
            self.entries.push(entry);
        }
    }

    /// Tell the breaker what the target answered, if it did. Where nothing was tried, dropping the claim frees its place.
    fn report(&self, outcome: &Delivery, now_us: i64) {
        if matches!(outcome, Delivery::Later { .. }) {
            return;
        }
        self.reported.store(true, Ordering::Relaxed);
        let mut breaker = locked(&self.lane.breaker);
        let before = breaker.position();
        let reason = match outcome {
            Delivery::Retry { after, reason, .. } => {
                breaker.failed(now_us, after.map(micros));
                scrub(reason)
            }
            Delivery::Delivered { .. } | Delivery::Noted { .. } | Delivery::Later { .. } | Delivery::Failed { .. } => {
                breaker.succeeded();
                "it answers".to_owned()
            }
        };
        let after = breaker.position();
        drop(breaker);
        *locked(&self.lane.failing) = matches!(outcome, Delivery::Retry { .. }).then(|| reason.clone());
        let target = self.lane.name();
        if after != before {
            tracing::warn!(target, from = before.name(), to = after.name(), reason, "the breaker moved");
        }
        let level = match after {
            Position::Closed => 0.0,
            Position::HalfOpen => 1.0,
            Position::Open => 2.0,
        };
        metrics::gauge!(crate::metric::TARGET_BREAKER, "target" => target.to_owned()).set(level);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.reported.load(Ordering::Relaxed) {
            locked(&self.lane.breaker).abandoned();
        }
        let mut in_flight = locked(&self.lane.in_flight);
        self.entries.iter().for_each(|entry| {
            in_flight.remove(&entry.action.queue);
        });
        drop(in_flight);
        self.lane.wake.notify_one();
    }
}

#[cfg(test)]
impl Outbox {
    /// Attempts what is due now, until nothing is.
    pub(super) async fn deliver_due(self: &Arc<Self>) {
        for lane in &self.lanes {
            loop {
                let (claims, _) = self.look(lane).await.expect("the outbox is read");
                if claims.is_empty() {
                    break;
                }
                for claim in claims {
                    Arc::clone(self).attempt(claim).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::respond::Kind;
    use crate::respond::action::Op;
    use crate::respond::incident::desk;
    use crate::respond::tests::{Trial, alert};

    /// What is due at the only target, by operation, with the right to attempt it.
    #[tokio::test]
    async fn what_undoes_waits_for_the_attempt_that_it_undoes() {
        let trial = Trial::new("", false, &[Kind::Block]).await;
        trial.tell(&alert("al-1", "203.0.113.7"), &["block"]).await;
        trial.outbox.pass(true).await.expect("a pass");
        let lane = &trial.outbox.lanes[0];
        let due = async || {
            let (claims, _) = trial.outbox.look(lane).await.expect("looked");
            (claims.iter().map(|claim| claim.entries[0].action.op).collect::<Vec<_>>(), claims)
        };
        let (ops, attempt) = due().await;
        assert_eq!(ops, [Op::Apply]);
        let id = attempt[0].entries[0].action.id.clone();
        let sent = super::NewStep::new(super::StepKind::Sent, "attempt 1");
        let mut entry = attempt[0].entries[0].clone();
        assert!(trial.outbox.queue.begin_attempt(&mut entry, trial.now(), sent).await.expect("written"));
        desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
        assert!(due().await.0.is_empty(), "the attempt may have its effect at any moment");
        drop(attempt);
        assert_eq!(due().await.0, [Op::Revert]);
    }
}
