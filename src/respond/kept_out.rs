//! Tells the reading side whom the outbox keeps out: what our own block or revocation denies is no attack that goes on, and
//! teaches nothing.
//!
//! Promises: it is told before its target is asked for it; its end within a beat of the control loop. With which credentials a
//! revoked principal came is looked up beside it.
//! Never: counts a dry run, which keeps nobody out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Notify, watch};

use super::action::{Action, Kind, Op};
use super::outbox::Outbox;
use super::scope::Scope;
use super::target::Delivery;
use crate::blocked::Blocked;
use crate::store::StoreError;

/// What was read last is stored a little later.
const LEARN_EVERY: Duration = Duration::from_secs(15);

/// What is told, and of which state of the store.
pub struct KeptOut {
    blocked: Arc<Blocked>,
    /// Somebody is about to be revoked.
    revoking: Notify,
    told: AtomicI64,
    /// When what was told changes by itself.
    until_us: AtomicI64,
}

impl Default for KeptOut {
    /// Nothing was told yet, also of a store in which nothing was changed yet.
    fn default() -> KeptOut {
        KeptOut {
            blocked: Arc::default(),
            revoking: Notify::new(),
            told: AtomicI64::new(-1),
            until_us: AtomicI64::new(i64::MAX),
        }
    }
}

impl Outbox {
    /// Whom it keeps out.
    pub fn blocked(&self) -> Arc<Blocked> {
        self.kept_out.blocked.clone()
    }

    /// Before the target is asked: it may deny sooner than it answers.
    pub(super) fn tell_whom_we_are_about_to_keep_out(&self, action: &Action, now_us: i64) {
        if let Some(scope) = blocks(action) {
            self.kept_out.blocked.begins(scope.net(), now_us);
        }
        if let Some(principal) = revokes(action) {
            self.kept_out.blocked.begins_to_revoke(principal, now_us);
            self.kept_out.revoking.notify_one();
        }
    }

    /// The target was asked; what it keeps out is told by `tell_whom_we_keep_out`.
    pub(super) fn tell_what_came_of_it(&self, action: &Action, outcome: &Delivery, now_us: i64) {
        let is_refused = matches!(outcome, Delivery::Failed { .. } | Delivery::Retry { .. } | Delivery::Later { .. });
        if let Some(scope) = blocks(action).filter(|_| is_refused) {
            self.kept_out.blocked.failed(scope.net(), now_us);
        }
        if let Some(principal) = revokes(action).filter(|_| is_refused) {
            self.kept_out.blocked.failed_to_revoke(principal, now_us);
        }
    }

    /// Looks up with which credentials revoked principals came, until told to stop.
    pub(super) async fn keep_learning(&self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let open = self.kept_out.blocked.to_look_up();
            if !open.is_empty() {
                match self.preflight.credentials(&open, (self.clock)()).await {
                    Ok(found) => self.kept_out.blocked.learn(&open, found),
                    Err(error) => {
                        tracing::debug!(error, "what revoked principals came with is not known; it is asked again");
                    }
                }
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = self.kept_out.revoking.notified() => {}
                () = tokio::time::sleep(LEARN_EVERY) => {}
            }
        }
    }

    pub(super) async fn tell_whom_we_keep_out(&self, now_us: i64) -> Result<(), StoreError> {
        // One connection writes: when it changed no row, nothing is in force that was not.
        let changes = self.store.changes().await?;
        let KeptOut { blocked, told, until_us, .. } = &self.kept_out;
        if told.load(Ordering::Relaxed) != changes || until_us.load(Ordering::Relaxed) <= now_us {
            let (in_force, next_us) = self.in_force(now_us).await?;
            blocked.is(&in_force, now_us);
            blocked.revoked(self.revoked(now_us).await?, now_us);
            told.store(changes, Ordering::Relaxed);
            until_us.store(next_us, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Principals that are revoked at some target, each with when that began.
    async fn revoked(&self, now_us: i64) -> Result<HashMap<String, i64>, StoreError> {
        let sql = "SELECT o.entity_value, b.target, b.expires_us, o.created_us FROM blocks AS b JOIN outbox AS o USING (action_id) \
                   WHERE o.kind = 'revoke' AND NOT o.dry_run";
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(sql).fetch_all(self.store.pool()).await?;
        let mut revoked = HashMap::new();
        for (principal, target, ends_us, since_us) in rows {
            if self.knows(&target) || ends_us > now_us {
                let since = revoked.entry(principal).or_insert(since_us);
                *since = since_us.min(*since);
            }
        }
        Ok(revoked)
    }

    /// Addresses and networks that some target keeps out, each with when that began; and when the first of them is over of which
    /// nobody will hear. Past its end a block is in force until it is undone, but for one at a target that is not configured
    /// any more: there it is over for us.
    pub(super) async fn in_force(&self, now_us: i64) -> Result<(Vec<(IpNet, i64)>, i64), StoreError> {
        let sql = "SELECT b.entity, b.target, b.expires_us, o.created_us FROM blocks AS b JOIN outbox AS o USING (action_id) \
                   WHERE o.kind = 'block' AND NOT o.dry_run";
        let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(sql).fetch_all(self.store.pool()).await?;
        let (mut in_force, mut next_us) = (HashMap::new(), i64::MAX);
        for (entity, target, ends_us, since_us) in rows {
            let is_known = self.knows(&target);
            let Some(scope) = Scope::parse(&entity).filter(|_| is_known || ends_us > now_us) else { continue };
            if !is_known {
                next_us = next_us.min(ends_us);
            }
            let since = in_force.entry(scope.net()).or_insert(since_us);
            *since = since_us.min(*since);
        }
        Ok((in_force.into_iter().collect(), next_us))
    }
}

/// The principal that this action would revoke.
fn revokes(action: &Action) -> Option<&str> {
    let is_revocation = action.kind == Kind::Revoke && action.op == Op::Apply && !action.dry_run;
    is_revocation.then_some(action.entity_value.as_str())
}

/// What this action would keep out.
fn blocks(action: &Action) -> Option<Scope> {
    let is_block = action.kind == Kind::Block && action.op == Op::Apply && !action.dry_run;
    Scope::of(action).filter(|_| is_block)
}
