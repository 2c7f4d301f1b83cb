//! Delivery: one loop per target takes what is due, attempts it and settles the result.
//!
//! Promises: within a queue one action after the other, and a few queues side by side; an attempt is on record before it
//! is made; every attempt ends within the time-out; a failing target costs nobody else anything. Stopping waits for
//! attempts under way and starts no new ones.
//! Never: gives up before the configured attempts, or keeps on after them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::action::{Kind, State, StepKind, scrub};
use super::breaker::{Pass, Position};
use super::guard::{Reason, already_blocked};
use super::outbox::{Lane, Outbox, count_step, count_suppressed, locked, micros};
use super::queue::{Change, Entry, NewStep};
use super::target::{Attempt, Delivery};
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
const ENDED_BLOCKS_MAX: u32 = 100;

impl Outbox {
    /// Deliver until told to stop.
    pub async fn run(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        self.warn_of_orphans().await;
        let (stop, stopped) = watch::channel(false);
        let lanes = join_all(self.lanes.iter().map(|lane| self.work(lane, stopped.clone(), false)));
        let ask = async {
            // A dropped sender means the same as a spoken word: nobody wants this to go on.
            let _ = shutdown.wait_for(|stop| *stop).await;
            let _ = stop.send(true);
        };
        tokio::join!(lanes, ask);
    }

    /// Deliver until nothing waits any more or the time is up; the number of actions that still wait. Waits for retries.
    pub async fn drain(self: &Arc<Self>, deadline: Duration) -> Result<u64, StoreError> {
        let (_stop, stopped) = watch::channel(false);
        let lanes = join_all(self.lanes.iter().map(|lane| self.work(lane, stopped.clone(), true)));
        // An attempt that the deadline cuts off is uncertain, like one that a crash cuts off: it is made again.
        let _ = tokio::time::timeout(deadline, lanes).await;
        let mut left = 0;
        for lane in &self.lanes {
            left += self.queue.waiting(lane.target.name()).await?;
        }
        Ok(left)
    }

    /// Actions that wait for a target which is not configured any more stay where they are; that needs a person's word.
    async fn warn_of_orphans(&self) {
        let known = |name: &str| self.lanes.iter().any(|lane| lane.target.name() == name);
        for count in self.queue.counts().await.unwrap_or_default() {
            if count.state == State::Pending.name() && !known(&count.target) {
                let (target, actions) = (count.target, count.actions);
                tracing::warn!(target, actions, "actions wait for a target that is not configured");
            }
        }
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
                    tracing::error!(target = lane.target.name(), %error, "the outbox cannot be read");
                    STORE_PAUSE
                }
            };
            tokio::select! {
                _ = stop.changed() => {}
                Some(ended) = running.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(target = lane.target.name(), %error, "an attempt broke off");
                    }
                }
                () = lane.wake.notified() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn is_empty(&self, lane: &Lane) -> bool {
        matches!(self.queue.waiting(lane.target.name()).await, Ok(0))
    }

    /// What can start now, and when to look again.
    async fn look(&self, lane: &Arc<Lane>) -> Result<(Vec<Claim>, Duration), StoreError> {
        let now_us = (self.clock)();
        self.end_blocks(lane, now_us).await?;
        let (name, waiting) = (lane.target.name(), self.queue.waiting(lane.target.name()).await?);
        metrics::gauge!(crate::metric::OUTBOX_PENDING, "target" => name.to_owned()).set(waiting as f64);
        let mut next_us = self.queue.next_end(lane.target.name()).await?.unwrap_or(i64::MAX);
        let busy = locked(&lane.in_flight).len();
        let heads = self.queue.heads(lane.target.name(), busy + self.delivery.concurrency + 1).await?;
        let mut claims = Vec::new();
        for entry in heads {
            // Further ahead than any wait is: the clock was set back since.
            let ahead_us = entry.next_attempt_us.saturating_sub(now_us);
            if ahead_us > 0 && ahead_us <= self.longest_wait_us() {
                next_us = next_us.min(entry.next_attempt_us);
                break;
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

    /// Record the end of blocks whose time is over; the targets end them by themselves.
    async fn end_blocks(&self, lane: &Lane, now_us: i64) -> Result<(), StoreError> {
        for entry in self.queue.ended_blocks(lane.target.name(), now_us, ENDED_BLOCKS_MAX).await? {
            let change = Change { from: State::Delivered, to: State::Expired, next_attempt_us: 0, remote_ref: None };
            self.settle(&entry, now_us, change, &[NewStep::new(StepKind::Expired, "its time is over")]).await?;
        }
        Ok(())
    }

    async fn attempt(self: Arc<Self>, mut claim: Claim) {
        if let Err(error) = self.try_attempt(&mut claim).await {
            let (target, action) = (claim.lane.target.name(), &claim.entry.action.id);
            // The row is as it was, so the action is taken up again; the pause keeps that from spinning.
            tracing::error!(target, action, %error, "an action could not be recorded");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }

    async fn try_attempt(&self, claim: &mut Claim) -> Result<(), StoreError> {
        let now_us = (self.clock)();
        if let Some((change, steps)) = self.stand_down(&claim.entry, now_us).await? {
            return self.settle(&claim.entry, now_us, change, &steps).await;
        }
        let number = claim.entry.attempts.saturating_add(1);
        let sent = NewStep::new(StepKind::Sent, format!("attempt {number}"));
        if !self.queue.begin_attempt(&mut claim.entry, now_us, sent).await? {
            return Ok(());
        }
        let entry = &claim.entry;
        count_step(&entry.action, StepKind::Sent);
        let (target, kind, took) = (claim.lane.target.name(), entry.action.kind.name(), Stopwatch::start());
        let span =
            tracing::info_span!(target: crate::telemetry::SPANS, "delivery", to = target, kind, attempt = number);
        let call = claim.lane.target.deliver(&entry.action, Attempt { number, now_us }).instrument(span);
        let outcome = tokio::time::timeout(self.delivery.timeout, call).await.unwrap_or_else(|_| Delivery::Retry {
            after: None,
            reason: format!("no answer within {:?}", self.delivery.timeout),
            answer: String::new(),
        });
        metrics::histogram!(crate::metric::DELIVERY, "target" => target.to_owned())
            .record(took.elapsed().as_secs_f64());
        let done_us = (self.clock)();
        claim.report(&outcome, done_us);
        let (change, steps) = self.conclude(number, outcome, done_us);
        self.settle(entry, done_us, change, &steps).await
    }

    /// Reasons, found only now, not to send it after all.
    async fn stand_down(&self, entry: &Entry, now_us: i64) -> Result<Option<(Change, Vec<NewStep>)>, StoreError> {
        let action = &entry.action;
        if action.expires_us.is_some_and(|expires| expires <= now_us) {
            let step = NewStep::new(StepKind::Expired, "its time was over before it could be delivered");
            return Ok(Some((waiting_to(State::Expired), vec![step])));
        }
        // A crash in the last attempt gets one more; a message that crashes us each time does not go on for ever.
        if entry.attempts > self.delivery.attempts_max {
            let why = format!("{} attempts ended without a result", entry.attempts);
            return Ok(Some(park(why, String::new())));
        }
        // After the first attempt the block may be our own.
        if action.kind != Kind::Block || entry.attempts > 0 {
            return Ok(None);
        }
        let until_us = self.queue.blocked_until_now(action).await?;
        let reason = already_blocked(action, until_us, now_us);
        if reason.is_some() {
            count_suppressed(action, Reason::AlreadyBlocked);
        }
        let suppressed = |reason| (waiting_to(State::Suppressed), vec![NewStep::new(StepKind::Suppressed, reason)]);
        Ok(reason.map(suppressed))
    }

    /// What an attempt's outcome means for the action.
    fn conclude(&self, number: u32, outcome: Delivery, now_us: i64) -> (Change, Vec<NewStep>) {
        match outcome {
            Delivery::Delivered { answer, remote_ref } => {
                let step = NewStep::new(StepKind::Delivered, format!("attempt {number}")).answered(answer);
                (Change { remote_ref, ..waiting_to(State::Delivered) }, vec![step])
            }
            Delivery::Retry { after, reason, answer } if number < self.delivery.attempts_max => {
                let wait_us = self.wait_us(number, after);
                let detail = format!("attempt {number}: {reason}; again in {} ms", wait_us / 1000);
                let step = NewStep::new(StepKind::Retry, detail).answered(answer);
                let next_attempt_us = now_us.saturating_add(wait_us);
                (Change { next_attempt_us, ..waiting_to(State::Pending) }, vec![step])
            }
            Delivery::Retry { reason, answer, .. } => park(format!("attempt {number}, the last: {reason}"), answer),
            Delivery::Failed { reason, answer } => park(format!("attempt {number}: {reason}"), answer),
        }
    }

    async fn settle(&self, entry: &Entry, now_us: i64, change: Change, steps: &[NewStep]) -> Result<(), StoreError> {
        if self.queue.settle(entry, now_us, &change, steps).await? {
            steps.iter().for_each(|step| count_step(&entry.action, step.kind));
            self.say(&entry.action, steps);
        }
        Ok(())
    }
}

fn waiting_to(to: State) -> Change {
    Change { from: State::Pending, to, next_attempt_us: 0, remote_ref: None }
}

fn park(why: String, answer: String) -> (Change, Vec<NewStep>) {
    let failed = NewStep::new(StepKind::Failed, why).answered(answer);
    let parked = NewStep::new(StepKind::Parked, "waits for a person to look and release it");
    (waiting_to(State::Parked), vec![failed, parked])
}

/// The right to attempt one action, held for the length of the attempt. Dropping it gives everything back.
struct Claim {
    lane: Arc<Lane>,
    entry: Entry,
    reported: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

enum Taken {
    Yes(Box<Claim>),
    /// It is being attempted already.
    Elsewhere,
    Full,
    NotBefore(i64),
}

impl Claim {
    fn take(lane: &Arc<Lane>, entry: Entry, now_us: i64) -> Taken {
        let mut in_flight = locked(&lane.in_flight);
        if in_flight.contains(&entry.n) {
            return Taken::Elsewhere;
        }
        let Ok(permit) = Arc::clone(&lane.permits).try_acquire_owned() else {
            return Taken::Full;
        };
        match locked(&lane.breaker).pass(now_us) {
            Pass::Yes => {}
            Pass::Wait => return Taken::Full,
            Pass::NotBefore(us) => return Taken::NotBefore(us),
        }
        in_flight.insert(entry.n);
        Taken::Yes(Box::new(Claim { lane: Arc::clone(lane), entry, reported: AtomicBool::new(false), _permit: permit }))
    }

    /// Tell the breaker what the target answered, if it did.
    fn report(&self, outcome: &Delivery, now_us: i64) {
        self.reported.store(true, Ordering::Relaxed);
        let mut breaker = locked(&self.lane.breaker);
        let before = breaker.position();
        let reason = match outcome {
            Delivery::Retry { after, reason, .. } => {
                breaker.failed(now_us, after.map(micros));
                scrub(reason)
            }
            Delivery::Delivered { .. } | Delivery::Failed { .. } => {
                breaker.succeeded();
                "it answers".to_owned()
            }
        };
        let after = breaker.position();
        drop(breaker);
        let target = self.lane.target.name();
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
        locked(&self.lane.in_flight).remove(&self.entry.n);
        self.lane.wake.notify_one();
    }
}
