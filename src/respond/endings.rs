//! Ends are owed: whoever was told that something began is told that it is over, however long it lasted.
//!
//! Promises: looks at the outbox alone. What was sent and may have arrived counts as told.
//! Never: tells an end to somebody who was told nothing.

use schemas::incident::Event;
use sqlx::sqlite::SqliteExecutor;

use super::action::{Action, Kind};
use super::message;
use super::outbox::Outbox;
use super::queue::Tx;
use crate::store::StoreError;

/// What was sent and may have arrived.
const TOLD: &str = "(state = 'delivered' OR attempts > 0 AND state IN ('pending', 'parked'))";

impl Outbox {
    /// In which ways which targets were told of an incident.
    pub(super) async fn told_of(tx: &mut Tx, incident: &str) -> Result<Vec<(Kind, String)>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT kind, target FROM outbox WHERE queue = ? AND op = 'apply' AND {TOLD} ORDER BY kind, target"
        );
        let rows: Vec<(String, String)> =
            sqlx::query_as(&sql).bind(format!("incident:{incident}")).fetch_all(&mut **tx).await?;
        let told = rows.into_iter().filter_map(|(kind, target)| Some((Kind::parse(&kind)?, target)));
        Ok(told.filter(|(kind, _)| !kind.contains()).collect())
    }

    /// Whether this is the end of something of which the same target was told in the same way: then it is never too old.
    pub(super) async fn is_owed(&self, store: impl SqliteExecutor<'_>, action: &Action) -> Result<bool, StoreError> {
        if action.kind.contains() || !message::read(action).is_ok_and(|message| message.event == Event::Closed) {
            return Ok(false);
        }
        let sql = format!(
            "SELECT 1 FROM outbox WHERE target = ? AND queue = ? AND kind = ? AND action_id <> ? AND {TOLD} LIMIT 1"
        );
        let query = sqlx::query(&sql).bind(&action.target).bind(&action.queue).bind(action.kind.name());
        Ok(query.bind(&action.id).fetch_optional(store).await?.is_some())
    }
}
