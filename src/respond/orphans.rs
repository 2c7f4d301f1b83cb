//! What belongs to targets that are not configured any more, because they were removed or renamed.
//!
//! Promises: said in the log at each start: what waits for such a target, and what is in force there, which nobody can undo.
//! Never: forgets it; under its old name a target takes it up again.

use std::collections::BTreeMap;

use super::action::State;
use super::outbox::Outbox;
use crate::store::StoreError;

/// What a target left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// Actions that wait.
    pub waiting: u64,
    /// Containments that are in force there, or were when it was last seen.
    pub in_force: u64,
}

impl Outbox {
    pub(super) async fn warn_of_orphans(&self) {
        match self.orphans().await {
            Ok(all) => all.iter().for_each(|(target, left)| warn(target, *left)),
            Err(error) => tracing::error!(%error, "what removed targets left behind cannot be read"),
        }
    }

    /// By the name of the target.
    pub(super) async fn orphans(&self) -> Result<BTreeMap<String, Left>, StoreError> {
        let mut orphans: BTreeMap<String, Left> = BTreeMap::new();
        for count in self.queue.counts().await? {
            if count.state == State::Pending.name() {
                orphans.entry(count.target).or_default().waiting = count.actions;
            }
        }
        let sql = "SELECT target, count(*) FROM blocks GROUP BY target";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(self.store.pool()).await?;
        for (target, blocks) in rows {
            orphans.entry(target).or_default().in_force = blocks.unsigned_abs();
        }
        orphans.retain(|target, _| !self.knows(target));
        Ok(orphans)
    }

    /// Whether a target of that name is configured.
    pub fn knows(&self, target: &str) -> bool {
        self.lanes.iter().any(|lane| lane.name() == target)
    }
}

fn warn(target: &str, Left { waiting, in_force }: Left) {
    if waiting > 0 {
        tracing::warn!(target, actions = waiting, "actions wait for a target that is not configured");
    }
    if in_force > 0 {
        tracing::warn!(
            target,
            actions = in_force,
            "what is in force at a target that is not configured any more is undone by nobody: configure it again under this \
             name until it is undone, or take it out there by hand"
        );
    }
}
