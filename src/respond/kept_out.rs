//! Tells the reading side whom the outbox keeps out: what our own block denies is no attack that goes on, and teaches nothing.
//!
//! Promises: a block is told before its target is asked for it; its end within a beat of the control loop.
//! Never: counts a dry run, which keeps nobody out.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::action::{Action, Kind, Op};
use super::outbox::Outbox;
use super::scope::Scope;
use super::target::Delivery;
use crate::blocked::Blocked;
use crate::store::{Store, StoreError};

/// What is told, and of which state of the store.
pub struct KeptOut {
    blocked: Arc<Blocked>,
    told: AtomicI64,
}

impl Default for KeptOut {
    /// Nothing was told yet, also of a store in which nothing was changed yet.
    fn default() -> KeptOut {
        KeptOut { blocked: Arc::default(), told: AtomicI64::new(-1) }
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
    }

    /// The target was asked; what it keeps out is told by `tell_whom_we_keep_out`.
    pub(super) fn tell_what_came_of_it(&self, action: &Action, outcome: &Delivery, now_us: i64) {
        let is_refused = matches!(outcome, Delivery::Failed { .. } | Delivery::Retry { .. } | Delivery::Later { .. });
        if let Some(scope) = blocks(action).filter(|_| is_refused) {
            self.kept_out.blocked.failed(scope.net(), now_us);
        }
    }

    pub(super) async fn tell_whom_we_keep_out(&self, now_us: i64) -> Result<(), StoreError> {
        // One connection writes: when it changed no row, nothing is in force that was not.
        let changes: i64 = sqlx::query_scalar("SELECT total_changes()").fetch_one(self.store.pool()).await?;
        if self.kept_out.told.load(Ordering::Relaxed) != changes {
            self.kept_out.blocked.is(&in_force(&self.store).await?, now_us);
            self.kept_out.told.store(changes, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What this action would keep out.
fn blocks(action: &Action) -> Option<Scope> {
    let is_block = action.kind == Kind::Block && action.op == Op::Apply && !action.dry_run;
    Scope::of(action).filter(|_| is_block)
}

/// Addresses and networks that some target keeps out, each with when that began.
async fn in_force(store: &Store) -> Result<Vec<(ipnet::IpNet, i64)>, StoreError> {
    let sql = "SELECT b.entity, min(o.created_us) FROM blocks AS b JOIN outbox AS o USING (action_id) \
               WHERE o.kind = 'block' AND NOT o.dry_run GROUP BY b.entity";
    let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(store.pool()).await?;
    Ok(rows.into_iter().filter_map(|(text, since_us)| Some((Scope::parse(&text)?.net(), since_us))).collect())
}
