//! Reading back: what a target holds against what we believe is in force there.
//!
//! Promises: each target is read by itself, at its own time; one that does not answer delays nobody else, and is told of in the
//! target's status. One that asks to be left alone (Retry-After), when it is read or when something is sent to it, is not read
//! before that time. What was taken away behind our back is put back, what is still there after its end is undone, what is ours
//! and not known here is taken up (`adopt.rs`).
//! Never: changes a target; what is to be done goes through the outbox.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;

use super::action::{Action, Kind, State, StepKind, scrub};
use super::breaker::lies_ahead;
use super::control::{NEAR_END_US, Pass};
use super::outbox::{HOUR_US, Lane, Outbox, locked, micros};
use super::queue::{NewStep, Queue};
use super::scope::Scope;
use super::target::{InForce, Unread};
use crate::metric;
use crate::store::StoreError;

/// How often it is looked whose turn it is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Outbox {
    /// Reads every target back now, whosever turn it is.
    pub async fn reconcile(&self) -> Result<(), StoreError> {
        for lane in &self.lanes {
            self.read_back(lane, (self.clock)()).await?;
        }
        Ok(())
    }

    /// Reads each target back when it is its turn, until told to stop.
    pub(super) async fn keep_reading_back(&self, stop: watch::Receiver<bool>) {
        let holds_somebody = |lane: &&std::sync::Arc<Lane>| lane.common.kinds.iter().any(|kind| kind.contains());
        let lanes = self.lanes.iter().filter(holds_somebody).filter(|lane| !self.is_dry(lane));
        join_all(lanes.map(|lane| self.keep_reading_one(lane, stop.clone()))).await;
    }

    async fn keep_reading_one(&self, lane: &Lane, mut stop: watch::Receiver<bool>) {
        let mut next_us = i64::MIN;
        // What is dated further ahead tells of a clock that was set back since.
        let longest_us = micros(self.config.reconcile_every.max(self.delivery.retry_after_max));
        while !*stop.borrow() {
            let now_us = (self.clock)();
            let asked_us = locked(&lane.breaker).asked_until(now_us);
            next_us = asked_us.map_or(next_us, |us| next_us.max(us));
            if !lies_ahead(now_us, next_us, longest_us) {
                next_us = now_us.saturating_add(micros(self.config.reconcile_every));
                let read = tokio::select! {
                    read = self.read_back(lane, now_us) => read,
                    _ = stop.changed() => continue,
                };
                match read {
                    Ok(true) => self.wake.notify_one(),
                    Ok(false) => {}
                    Err(error) => tracing::error!(target = lane.name(), %error, "what is in force cannot be read back"),
                }
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Holds one target's own list against ours.
    pub(super) async fn read_back(&self, lane: &Lane, now_us: i64) -> Result<bool, StoreError> {
        // Before the list is asked for: what is delivered meanwhile is no drift.
        let mut tx = self.queue.begin().await?;
        let ours = Queue::all_in_force(&mut tx, lane.name()).await?;
        let ended = Queue::ended_since(&mut tx, lane.name(), now_us.saturating_sub(HOUR_US)).await?;
        Queue::commit(tx).await?;
        if locked(&lane.breaker).asked_until(now_us).is_some() {
            return Ok(false);
        }
        let asked = tokio::time::timeout(self.delivery.timeout, lane.target.read_back(now_us)).await;
        let asked = asked.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.delivery.timeout).into()));
        let unread = asked.as_ref().err().map(|unread| scrub(&unread.reason));
        let is_news = unread != std::mem::replace(&mut *locked(&lane.unread), unread.clone());
        let found = match asked {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(Unread { reason, after }) => {
                if let Some(after) = after {
                    locked(&lane.breaker).asked((self.clock)(), micros(after));
                }
                if is_news {
                    tracing::warn!(
                        target = lane.name(),
                        reason,
                        "what is in force cannot be read back; it is tried again"
                    );
                }
                return Ok(false);
            }
        };
        let names = |entries: &mut dyn Iterator<Item = &InForce>| -> HashSet<(Option<Kind>, String)> {
            entries.map(|entry| (entry.kind, entry.entity.clone())).collect()
        };
        let there = names(&mut found.iter());
        // Of another copy of the service somebody's entry is no concern of ours.
        let is_not_others = |entry: &&InForce| entry.action_id.as_ref().is_none_or(|id| id.ends_with(&self.tag));
        let may_be_ours = names(&mut found.iter().filter(is_not_others));
        // A list that ran out of room holds some of ours as one network.
        let names = there.iter().filter_map(|(_, text)| Scope::parse(text));
        let networks: Vec<Scope> = names.filter(|scope| !scope.is_address()).collect();
        let is_named = |among: &HashSet<(Option<Kind>, String)>, kind: Kind, name: &str| {
            [None, Some(kind)].into_iter().any(|kind| among.contains(&(kind, name.to_owned())))
        };
        let is_there = |kind: Kind, name: &str| {
            let within = |scope: Scope| networks.iter().any(|network| network.contains(&scope));
            is_named(&there, kind, name) || Scope::parse(name).is_some_and(within)
        };
        let mut tx = self.queue.begin().await?;
        let mut pass = Pass::new(now_us, self.changes.live());
        let name = |action: &Action| Scope::of(action).map_or_else(|| action.entity_value.clone(), |s| s.to_string());
        let held: HashSet<(Kind, String)> = ours.iter().map(|entry| (entry.action.kind, name(&entry.action))).collect();
        for entry in ours {
            let lasts = entry.action.expires_us.is_some_and(|ends| ends > now_us + NEAR_END_US);
            // What is being undone goes by us.
            let is_gone = lasts && !is_there(entry.action.kind, &name(&entry.action));
            if is_gone && !Queue::is_being_undone(&mut tx, &entry.action.id).await? {
                let step = NewStep::new(StepKind::Drifted, "it is not there any more, and not by us");
                if Queue::settle_in(&mut tx, &entry, State::Delivered, State::Expired, now_us, step.clone()).await? {
                    metrics::counter!(metric::DRIFTED, "target" => lane.name().to_owned()).increment(1);
                    pass.taken.new.push((entry.action, vec![step]));
                }
            }
        }
        for entry in ended {
            let name = name(&entry.action);
            let kind = entry.action.kind;
            if is_named(&may_be_ours, kind, &name) && !held.contains(&(kind, name)) {
                metrics::counter!(metric::DRIFTED, "target" => lane.name().to_owned()).increment(1);
                self.undo(&mut tx, lane, &entry, "it is still there, or there again", &mut pass).await?;
            }
        }
        self.adopt(&mut tx, lane, &found, &held, &mut pass).await?;
        let drifted = !pass.taken.new.is_empty();
        self.commit(tx, &mut pass).await?;
        Ok(drifted)
    }
}
