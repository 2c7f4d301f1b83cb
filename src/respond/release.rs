//! Parked actions back into the queue.
//!
//! Promises: a person's word or the outbox's own puts back what is parked, and nothing else; a step says so where it happened. What
//! opens a page or a case is not sent once its end was: that would open it for good.
//! Never: forgets that an earlier attempt may have had its effect; the next one still looks before it posts.

use schemas::incident::Event;

use super::action::{State, StepKind};
use super::breaker::STALE_US_MAX;
use super::message;
use super::queue::{ENTRY, Entry, NewStep, Queue, Tx, entry, with_state, write_steps};
use crate::store::StoreError;

/// What became of a word to release something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// It waits for its next attempt.
    Queued,
    /// Its end was told since: it is cancelled.
    Over,
    /// It was not parked any more.
    Not,
}

/// One attempt stays counted: an earlier one may have had its effect.
const AGAIN: &str = "UPDATE outbox SET state = 'pending', attempts = min(attempts, 1), next_attempt_us = ? \
                     WHERE n = ? AND state = 'parked'";

impl Queue {
    /// As it stands, until this transaction ends.
    pub async fn entry_in(tx: &mut Tx, action_id: &str) -> Result<Option<(Entry, State)>, StoreError> {
        let sql = format!("SELECT {ENTRY}, state FROM outbox WHERE action_id = ?");
        let row = sqlx::query(&sql).bind(action_id).fetch_optional(&mut **tx).await?;
        row.map(|row| with_state(&row)).transpose()
    }

    /// Back into the queue with a clean count of attempts.
    pub async fn release(&self, entry: &Entry, now_us: i64, actor: &str) -> Result<Released, StoreError> {
        let mut tx = self.begin().await?;
        let released = if end_was_told(&mut tx, entry).await? {
            let step = NewStep::new(StepKind::Cancelled, format!("its end was told since; released by {actor}"));
            match Queue::settle_in(&mut tx, entry, State::Parked, State::Cancelled, now_us, step).await? {
                true => Released::Over,
                false => Released::Not,
            }
        } else if sqlx::query(AGAIN).bind(now_us).bind(entry.n).execute(&mut *tx).await?.rows_affected() > 0 {
            let step = NewStep::new(StepKind::Released, format!("by {actor}"));
            write_steps(&mut tx, &entry.action, now_us, &[step]).await?;
            Released::Queued
        } else {
            Released::Not
        };
        Queue::commit(tx).await?;
        Ok(released)
    }

    /// What was given up on and is not left at that: undoings of which nothing was tried since that time, and containments whose end
    /// is past by now.
    pub async fn parked_too_long(tx: &mut Tx, before_us: i64, now_us: i64) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox AS o WHERE state = 'parked' AND urgency = 0 AND (op = 'apply' AND expires_us <= ?1 OR \
             op = 'revert' AND NOT EXISTS (SELECT 1 FROM action_steps AS s WHERE s.action_id = o.action_id \
             AND s.time_us > ?2 AND s.time_us <= ?3)) ORDER BY n"
        );
        let query = sqlx::query(&sql).bind(now_us).bind(before_us).bind(now_us.saturating_add(STALE_US_MAX));
        query.fetch_all(&mut **tx).await?.iter().map(entry).collect()
    }

    /// Puts an undoing that was given up on back into the queue.
    pub async fn release_undo(tx: &mut Tx, undo: &Entry, now_us: i64) -> Result<(), StoreError> {
        sqlx::query(AGAIN).bind(now_us).bind(undo.n).execute(&mut **tx).await?;
        let step = NewStep::new(StepKind::Released, "letting go is never given up on");
        write_steps(tx, &undo.action, now_us, &[step]).await
    }
}

/// Whether the target was told the end of what this message is about, after it, or may have been: an attempt is counted before it
/// is made.
async fn end_was_told(tx: &mut Tx, message: &Entry) -> Result<bool, StoreError> {
    let action = &message.action;
    if action.kind.contains() {
        return Ok(false);
    }
    let sql = format!(
        "SELECT {ENTRY} FROM outbox WHERE target = ? AND queue = ? AND n > ? AND kind = ? \
         AND (state = 'delivered' OR attempts > 0 AND state IN ('pending', 'parked')) ORDER BY n"
    );
    let query = sqlx::query(&sql).bind(&action.target).bind(&action.queue).bind(message.n).bind(action.kind.name());
    for row in &query.fetch_all(&mut **tx).await? {
        if message::read(&entry(row)?.action).is_ok_and(|message| message.event == Event::Closed) {
            return Ok(true);
        }
    }
    Ok(false)
}
