//! The outbox's tables: every query on `outbox`, `action_steps` and `blocks`.
//!
//! Promises: an action's row and the step that says why it changed are written in one transaction, so the history never
//! disagrees with the state. An action id is taken once, for ever (until `forget`).
//! Never: decides; it is told the state and the step.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::action::{Action, Kind, State, Step, StepKind, scrub};
use super::guard::address_of;
use crate::store::{Store, StoreError};

/// An action as it stands in the outbox.
#[derive(Clone, Debug)]
pub struct Entry {
    pub n: i64,
    pub action: Action,
    pub attempts: u32,
    pub next_attempt_us: i64,
    pub remote_ref: Option<String>,
}

/// How many actions of one target are in one state.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    pub target: String,
    pub state: String,
    pub actions: u64,
}

/// A step about to be written: what, why, and what the target said.
#[derive(Clone, Debug)]
pub struct NewStep {
    pub kind: StepKind,
    pub detail: String,
    pub answer: String,
}

impl NewStep {
    pub fn new(kind: StepKind, detail: impl Into<String>) -> NewStep {
        NewStep { kind, detail: detail.into(), answer: String::new() }
    }

    pub fn answered(self, answer: impl Into<String>) -> NewStep {
        NewStep { answer: answer.into(), ..self }
    }
}

/// From which state to which, and what else changes.
#[derive(Clone, Debug)]
pub struct Change {
    pub from: State,
    pub to: State,
    pub next_attempt_us: i64,
    pub remote_ref: Option<String>,
}

#[derive(Clone)]
pub struct Queue {
    store: Store,
}

pub type Tx = Transaction<'static, Sqlite>;

const ENTRY: &str = "n, action_id, alert_id, detector, entity_kind, entity_value, target, kind, queue, body, dry_run, \
                     created_us, expires_us, attempts, next_attempt_us, remote_ref";

impl Queue {
    pub fn new(store: Store) -> Queue {
        Queue { store }
    }

    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.store.begin().await
    }

    pub async fn commit(tx: Tx) -> Result<(), StoreError> {
        Ok(tx.commit().await?)
    }

    pub async fn knows(tx: &mut Tx, action_id: &str) -> Result<bool, StoreError> {
        let found = sqlx::query("SELECT 1 FROM outbox WHERE action_id = ?").bind(action_id);
        Ok(found.fetch_optional(&mut **tx).await?.is_some())
    }

    /// Blocks let through since then; a dry run counts dry runs, so that it shows what would have happened.
    pub async fn blocks_since(tx: &mut Tx, since_us: i64, dry_run: bool) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) FROM outbox \
                   WHERE kind = 'block' AND created_us > ? AND dry_run = ? AND state <> 'suppressed'";
        let row = sqlx::query(sql).bind(since_us).bind(dry_run).fetch_one(&mut **tx).await?;
        Ok(u32::try_from(row.try_get::<i64, _>(0)?).unwrap_or(u32::MAX))
    }

    pub async fn pending(tx: &mut Tx) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM outbox WHERE state = 'pending'").fetch_one(&mut **tx).await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    pub async fn insert(tx: &mut Tx, action: &Action, state: State, steps: &[NewStep]) -> Result<(), StoreError> {
        let sql = "INSERT INTO outbox (action_id, alert_id, detector, entity_kind, entity_value, target, kind, queue, \
                   body, dry_run, state, next_attempt_us, created_us, expires_us) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(&action.id)
            .bind(&action.alert_id)
            .bind(&action.detector)
            .bind(&action.entity_kind)
            .bind(&action.entity_value)
            .bind(&action.target)
            .bind(action.kind.name())
            .bind(&action.queue)
            .bind(action.body.as_slice())
            .bind(action.dry_run)
            .bind(state.name())
            .bind(action.created_us)
            .bind(action.created_us)
            .bind(action.expires_us)
            .execute(&mut **tx)
            .await?;
        write_steps(tx, action, action.created_us, steps).await
    }

    /// The first waiting action of each of a target's queues, those that are due soonest first.
    pub async fn heads(&self, target: &str, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox AS o WHERE target = ? AND state = 'pending' AND NOT EXISTS \
             (SELECT 1 FROM outbox AS p WHERE p.target = o.target AND p.queue = o.queue AND p.state = 'pending' \
              AND p.n < o.n) ORDER BY next_attempt_us, n LIMIT ?"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sqlx::query(&sql).bind(target).bind(limit).fetch_all(self.store.pool()).await?;
        rows.iter().map(entry).collect()
    }

    pub async fn entry(&self, action_id: &str) -> Result<Option<(Entry, String)>, StoreError> {
        let sql = format!("SELECT {ENTRY}, state FROM outbox WHERE action_id = ?");
        let row = sqlx::query(&sql).bind(action_id).fetch_optional(self.store.pool()).await?;
        row.map(|row| Ok((entry(&row)?, row.try_get("state")?))).transpose()
    }

    /// Write down that an attempt begins, before it does: after a crash the next one knows that it is not the first. False
    /// when the action is no longer as `entry` shows it; then the attempt must not be made.
    pub async fn begin_attempt(&self, entry: &mut Entry, now_us: i64, step: NewStep) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE outbox SET attempts = attempts + 1 WHERE n = ? AND state = 'pending' AND attempts = ?";
        let changed = sqlx::query(sql).bind(entry.n).bind(entry.attempts).execute(&mut *tx).await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        write_steps(&mut tx, &entry.action, now_us, &[step]).await?;
        Queue::commit(tx).await?;
        entry.attempts += 1;
        Ok(true)
    }

    /// Write down what became of an action. False when it is no longer as `entry` and `change.from` say; then nothing is
    /// written.
    pub async fn settle(
        &self,
        entry: &Entry,
        now_us: i64,
        change: &Change,
        steps: &[NewStep],
    ) -> Result<bool, StoreError> {
        let answer = steps.iter().map(|step| scrub(&step.answer)).rfind(|answer| !answer.is_empty());
        let mut tx = self.begin().await?;
        let sql = "UPDATE outbox SET state = ?, next_attempt_us = ?, remote_ref = coalesce(?, remote_ref), \
                   last_answer = coalesce(?, last_answer) WHERE n = ? AND state = ? AND attempts = ?";
        let changed = sqlx::query(sql)
            .bind(change.to.name())
            .bind(change.next_attempt_us)
            .bind(&change.remote_ref)
            .bind(answer)
            .bind(entry.n)
            .bind(change.from.name())
            .bind(entry.attempts)
            .execute(&mut *tx)
            .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        if entry.action.kind == Kind::Block {
            note_block(&mut tx, &entry.action, change.to).await?;
        }
        write_steps(&mut tx, &entry.action, now_us, steps).await?;
        Queue::commit(tx).await?;
        Ok(true)
    }

    /// Until when the address of this queue is blocked at this target; for a dry run, until when it would be.
    pub async fn blocked_until<'e, E>(runs_on: E, action: &Action) -> Result<Option<i64>, StoreError>
    where
        E: sqlx::Executor<'e, Database = Sqlite>,
    {
        let sql = "SELECT max(expires_us) FROM outbox WHERE kind = 'block' AND target = ? AND queue = ? AND dry_run = ? \
                   AND state IN ('delivered', 'dry_run')";
        let query = sqlx::query(sql).bind(&action.target).bind(&action.queue).bind(action.dry_run);
        Ok(query.fetch_one(runs_on).await?.try_get(0)?)
    }

    pub async fn blocked_until_now(&self, action: &Action) -> Result<Option<i64>, StoreError> {
        Queue::blocked_until(self.store.pool(), action).await
    }

    /// The blocks in force, as far as we know: (address, target, action id, end).
    pub async fn blocks(&self, limit: u32) -> Result<Vec<(String, String, String, i64)>, StoreError> {
        let sql = "SELECT entity, target, action_id, expires_us FROM blocks ORDER BY expires_us DESC LIMIT ?";
        Ok(sqlx::query_as(sql).bind(limit).fetch_all(self.store.pool()).await?)
    }

    /// Delivered blocks whose time is over.
    pub async fn ended_blocks(&self, target: &str, now_us: i64, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox WHERE action_id IN \
             (SELECT action_id FROM blocks WHERE target = ? AND expires_us <= ? ORDER BY expires_us LIMIT ?)"
        );
        let rows = sqlx::query(&sql).bind(target).bind(now_us).bind(limit).fetch_all(self.store.pool()).await?;
        rows.iter().map(entry).collect()
    }

    /// When the next block of this target ends.
    pub async fn next_end(&self, target: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT min(expires_us) FROM blocks WHERE target = ?";
        Ok(sqlx::query(sql).bind(target).fetch_one(self.store.pool()).await?.try_get(0)?)
    }

    pub async fn parked(&self, target: Option<&str>, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox WHERE state = 'parked' AND (?1 IS NULL OR target = ?1) ORDER BY n LIMIT ?2"
        );
        let rows = sqlx::query(&sql).bind(target).bind(limit).fetch_all(self.store.pool()).await?;
        rows.iter().map(entry).collect()
    }

    pub async fn counts(&self) -> Result<Vec<Count>, StoreError> {
        let sql = "SELECT target, state, count(*) FROM outbox GROUP BY target, state ORDER BY target, state";
        let rows = sqlx::query(sql).fetch_all(self.store.pool()).await?;
        let count = |row: &SqliteRow| {
            let actions = row.try_get::<i64, _>(2)?.unsigned_abs();
            Ok(Count { target: row.try_get(0)?, state: row.try_get(1)?, actions })
        };
        rows.iter().map(count).collect()
    }

    /// Waiting actions of one target.
    pub async fn waiting(&self, target: &str) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM outbox WHERE state = 'pending' AND target = ?";
        let row = sqlx::query(sql).bind(target).fetch_one(self.store.pool()).await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    /// Back into the queue with a clean count of attempts. The next one still looks before it posts.
    pub async fn release(&self, entry: &Entry, now_us: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        // One attempt stays counted: an earlier one may have had its effect.
        let sql = "UPDATE outbox SET state = 'pending', attempts = min(attempts, 1), next_attempt_us = ? \
                   WHERE n = ? AND state = 'parked'";
        sqlx::query(sql).bind(now_us).bind(entry.n).execute(&mut *tx).await?;
        write_steps(&mut tx, &entry.action, now_us, &[NewStep::new(StepKind::Released, "")]).await?;
        Queue::commit(tx).await
    }

    pub async fn steps_after(&self, seq: i64, limit: u32) -> Result<Vec<Step>, StoreError> {
        let sql = "SELECT * FROM action_steps WHERE seq > ? ORDER BY seq LIMIT ?";
        let rows = sqlx::query(sql).bind(seq).bind(limit).fetch_all(self.store.pool()).await?;
        rows.iter().map(step).collect()
    }

    /// The next step gets a number above `seq`, and above all there were.
    pub async fn continue_after(&self, seq: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let raise = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'action_steps'";
        if sqlx::query(raise).bind(seq).execute(&mut *tx).await?.rows_affected() == 0 {
            let first = "INSERT INTO sqlite_sequence (name, seq) VALUES ('action_steps', ?)";
            sqlx::query(first).bind(seq).execute(&mut *tx).await?;
        }
        Queue::commit(tx).await
    }

    /// Delete ended actions from before that time and steps up to that number. What is forgotten would be done again if
    /// its alert were told again, so the time must lie before anything that can still be replayed.
    pub async fn forget(&self, before_us: i64, steps_through: i64) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "DELETE FROM outbox WHERE state NOT IN ('pending', 'parked') AND created_us < ? \
                   AND action_id NOT IN (SELECT action_id FROM blocks)";
        let gone = sqlx::query(sql).bind(before_us).execute(&mut *tx).await?.rows_affected();
        let sql = "DELETE FROM action_steps WHERE seq <= ? AND time_us < ?";
        sqlx::query(sql).bind(steps_through).bind(before_us).execute(&mut *tx).await?;
        Queue::commit(tx).await?;
        Ok(gone)
    }
}

async fn note_block(tx: &mut Tx, action: &Action, state: State) -> Result<(), StoreError> {
    match (state, action.expires_us) {
        (State::Delivered, Some(expires_us)) => {
            let sql = "INSERT OR REPLACE INTO blocks (entity, target, action_id, expires_us) VALUES (?, ?, ?, ?)";
            let entity = address_of(action).map_or_else(|| action.entity_value.clone(), |address| address.to_string());
            let insert = sqlx::query(sql).bind(entity).bind(&action.target).bind(&action.id).bind(expires_us);
            insert.execute(&mut **tx).await?;
        }
        _ => {
            sqlx::query("DELETE FROM blocks WHERE action_id = ?").bind(&action.id).execute(&mut **tx).await?;
        }
    }
    Ok(())
}

async fn write_steps(tx: &mut Tx, action: &Action, time_us: i64, steps: &[NewStep]) -> Result<(), StoreError> {
    let sql = "INSERT INTO action_steps (time_us, action_id, alert_id, detector, entity_kind, entity_value, target, kind, \
               step, dry_run, expires_us, detail, answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    for step in steps {
        sqlx::query(sql)
            .bind(time_us)
            .bind(&action.id)
            .bind(&action.alert_id)
            .bind(&action.detector)
            .bind(&action.entity_kind)
            .bind(&action.entity_value)
            .bind(&action.target)
            .bind(action.kind.name())
            .bind(step.kind.name())
            .bind(action.dry_run)
            .bind(action.expires_us)
            .bind(scrub(&step.detail))
            .bind(scrub(&step.answer))
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

fn entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    let kind: String = row.try_get("kind")?;
    let unknown = || sqlx::Error::Decode(format!("outbox: unknown kind `{kind}`").into());
    let action = Action {
        id: row.try_get("action_id")?,
        alert_id: row.try_get("alert_id")?,
        detector: row.try_get("detector")?,
        entity_kind: row.try_get("entity_kind")?,
        entity_value: row.try_get("entity_value")?,
        target: row.try_get("target")?,
        kind: Kind::parse(&kind).ok_or_else(unknown)?,
        queue: row.try_get("queue")?,
        body: row.try_get("body")?,
        dry_run: row.try_get("dry_run")?,
        created_us: row.try_get("created_us")?,
        expires_us: row.try_get("expires_us")?,
    };
    Ok(Entry {
        n: row.try_get("n")?,
        action,
        attempts: row.try_get("attempts")?,
        next_attempt_us: row.try_get("next_attempt_us")?,
        remote_ref: row.try_get("remote_ref")?,
    })
}

fn step(row: &SqliteRow) -> Result<Step, StoreError> {
    Ok(Step {
        seq: row.try_get("seq")?,
        time_us: row.try_get("time_us")?,
        action_id: row.try_get("action_id")?,
        alert_id: row.try_get("alert_id")?,
        detector: row.try_get("detector")?,
        entity_kind: row.try_get("entity_kind")?,
        entity_value: row.try_get("entity_value")?,
        target: row.try_get("target")?,
        kind: row.try_get("kind")?,
        step: row.try_get("step")?,
        dry_run: row.try_get("dry_run")?,
        expires_us: row.try_get("expires_us")?,
        detail: row.try_get("detail")?,
        answer: row.try_get("answer")?,
    })
}
