//! The outbox's tables: every query on `outbox`, `action_steps` and `blocks`.
//!
//! Promises: an action's row and the step that says why it changed are written in one transaction, so the history never
//! disagrees with the state. An action id is taken once, for ever (until `forget`).
//! Never: decides; it is told the state and the step.

use std::collections::HashSet;

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::action::{Action, Kind, Op, State, Step, StepKind, scrub};
use super::incident::desk::WhichActions;
use super::scope::Scope;
use super::wanted;
use crate::audit::{self, Fact, What};
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
    /// The attempt does not count: it tried nothing. That one was made stays known.
    pub uncounted: bool,
}

#[derive(Clone)]
pub struct Queue {
    pub(super) store: Store,
}

pub type Tx = Transaction<'static, Sqlite>;

pub(super) const ENTRY: &str = "n, action_id, op, undoes, incident_id, alert_id, detector, entity_kind, entity_value, target, kind, \
                     queue, body, dry_run, created_us, about_us, expires_us, renews, attempts, next_attempt_us, remote_ref";

/// Of a row `b` of `blocks`: nobody undoes it.
pub(in crate::respond) const LASTS: &str = "NOT EXISTS (SELECT 1 FROM outbox AS u WHERE u.undoes = b.action_id AND u.op = 'revert' \
                     AND u.state IN ('pending', 'parked'))";

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

    /// Offenders let through in that time, by their queues: those of a dry run, which counts dry runs so that it shows what would
    /// have happened, and the others.
    pub async fn offenders_in(tx: &mut Tx, span: (i64, i64)) -> Result<[HashSet<String>; 2], StoreError> {
        let sql = "SELECT DISTINCT queue, dry_run FROM outbox WHERE urgency = 0 AND op = 'apply' AND created_us > ? \
                   AND created_us <= ? AND renews = 0 AND state NOT IN ('suppressed', 'cancelled', 'awaiting')";
        let mut found = [HashSet::new(), HashSet::new()];
        for row in sqlx::query(sql).bind(span.0).bind(span.1).fetch_all(&mut **tx).await? {
            let dry_run: bool = row.try_get(1)?;
            found[usize::from(!dry_run)].insert(row.try_get(0)?);
        }
        Ok(found)
    }

    /// The newest action that was to put something of this queue in force at this target, and how it stands.
    pub async fn newest(tx: &mut Tx, target: &str, queue: &str) -> Result<Option<(Entry, State)>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY}, state FROM outbox WHERE target = ? AND queue = ? AND op = 'apply' ORDER BY n DESC LIMIT 1"
        );
        let row = sqlx::query(&sql).bind(target).bind(queue).fetch_optional(&mut **tx).await?;
        row.map(|row| with_state(&row)).transpose()
    }

    /// Actions of this queue at this target that wait, for a person too.
    pub async fn unsent(tx: &mut Tx, target: &str, queue: &str) -> Result<Vec<(Entry, State)>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY}, state FROM outbox WHERE target = ? AND queue = ? AND op = 'apply' \
             AND state IN ('pending', 'awaiting', 'parked') ORDER BY n"
        );
        let rows = sqlx::query(&sql).bind(target).bind(queue).fetch_all(&mut **tx).await?;
        rows.iter().map(with_state).collect()
    }

    /// The same of every queue.
    pub async fn all_unsent(tx: &mut Tx, target: &str) -> Result<Vec<(Entry, State)>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY}, state FROM outbox WHERE target = ? AND urgency = 0 AND op = 'apply' \
             AND state IN ('pending', 'awaiting', 'parked') ORDER BY n"
        );
        let rows = sqlx::query(&sql).bind(target).fetch_all(&mut **tx).await?;
        rows.iter().map(with_state).collect()
    }

    /// What is in force of this queue at this target, as far as we know.
    pub async fn in_force(tx: &mut Tx, target: &str, queue: &str) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox WHERE target = ? AND queue = ? AND op = 'apply' AND state = 'delivered' \
             AND action_id IN (SELECT action_id FROM blocks) ORDER BY n"
        );
        let rows = sqlx::query(&sql).bind(target).bind(queue).fetch_all(&mut **tx).await?;
        rows.iter().map(entry).collect()
    }

    /// The same at every target.
    pub async fn alike_in_force(tx: &mut Tx, queue: &str) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox WHERE action_id IN (SELECT action_id FROM blocks) AND queue = ? AND op = 'apply' ORDER BY n"
        );
        sqlx::query(&sql).bind(queue).fetch_all(&mut **tx).await?.iter().map(entry).collect()
    }

    /// Everything in force at this target.
    pub async fn all_in_force(tx: &mut Tx, target: &str) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox WHERE action_id IN (SELECT action_id FROM blocks WHERE target = ?) ORDER BY n"
        );
        let rows = sqlx::query(&sql).bind(target).fetch_all(&mut **tx).await?;
        rows.iter().map(entry).collect()
    }

    /// The newest action of each queue at this target that has ended, where it ended not long ago and nothing is on its way. One
    /// that was cancelled after an attempt may have its effect late.
    pub async fn ended_since(tx: &mut Tx, target: &str, since_us: i64) -> Result<Vec<Entry>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox AS o WHERE target = ?1 AND urgency = 0 AND op = 'apply' \
             AND state IN ('expired', 'reverted', 'cancelled') AND attempts > 0 AND coalesce(expires_us, 0) > ?2 AND NOT EXISTS \
             (SELECT 1 FROM outbox AS p WHERE p.target = o.target AND p.queue = o.queue AND p.n > o.n \
              AND (p.op = 'apply' OR p.state = 'pending')) ORDER BY n LIMIT 1000"
        );
        let rows = sqlx::query(&sql).bind(target).bind(since_us).fetch_all(&mut **tx).await?;
        rows.iter().map(entry).collect()
    }

    /// Whether something of this queue is being undone at this target.
    pub async fn reverts_waiting(tx: &mut Tx, target: &str, queue: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM outbox WHERE target = ? AND queue = ? AND op = 'revert' AND state = 'pending' LIMIT 1";
        let found = sqlx::query(sql).bind(target).bind(queue).fetch_optional(&mut **tx).await?;
        Ok(found.is_some())
    }

    /// The how-manieth undoing of this action would come next; none while one is under way or waits for a person.
    pub async fn next_revert(tx: &mut Tx, action_id: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT count(*), coalesce(sum(state IN ('pending', 'parked')), 0) FROM outbox WHERE undoes = ?";
        let row = sqlx::query(sql).bind(action_id).fetch_one(&mut **tx).await?;
        let (before, waiting): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok((waiting == 0).then_some(before))
    }

    /// Whether this action is being undone, or should be and could not.
    pub async fn is_being_undone(tx: &mut Tx, action_id: &str) -> Result<bool, StoreError> {
        Ok(Queue::next_revert(tx, action_id).await?.is_none())
    }

    /// What was in force of this queue before that action is in force through that action now.
    pub async fn supersede(&self, entry: &Entry, now_us: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for older in Queue::in_force(&mut tx, &entry.action.target, &entry.action.queue).await? {
            if older.n < entry.n {
                let step = NewStep::new(StepKind::Expired, format!("renewed by {}", entry.action.id));
                Queue::settle_in(&mut tx, &older, State::Delivered, State::Expired, now_us, step).await?;
            }
        }
        Queue::commit(tx).await
    }

    pub async fn pending(tx: &mut Tx) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM outbox WHERE state = 'pending'").fetch_one(&mut **tx).await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    pub async fn insert(tx: &mut Tx, action: &Action, state: State, steps: &[NewStep]) -> Result<(), StoreError> {
        let sql = "INSERT INTO outbox (action_id, op, undoes, incident_id, alert_id, detector, entity_kind, entity_value, target, kind, queue, \
                   body, dry_run, state, next_attempt_us, created_us, expires_us, about_us, renews, urgency) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        sqlx::query(sql)
            .bind(&action.id)
            .bind(action.op.name())
            .bind(&action.undoes)
            .bind(&action.incident_id)
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
            .bind(action.about_us)
            .bind(action.renews)
            .bind(action.urgency())
            .execute(&mut **tx)
            .await?;
        write_steps(tx, action, action.created_us, steps).await
    }

    /// What the target called what this action undoes, or else the newest delivered one before it in its queue.
    pub async fn thread(&self, entry: &Entry) -> Result<Option<String>, StoreError> {
        if let Some(undone) = &entry.action.undoes {
            let sql = "SELECT remote_ref FROM outbox WHERE action_id = ?";
            let row = sqlx::query(sql).bind(undone).fetch_optional(self.store.pool()).await?;
            return Ok(row.map(|row| row.try_get(0)).transpose()?.flatten());
        }
        let sql = "SELECT remote_ref FROM outbox WHERE target = ? AND queue = ? AND state = 'delivered' AND n < ? \
                   AND remote_ref IS NOT NULL ORDER BY n DESC LIMIT 1";
        let query = sqlx::query(sql).bind(&entry.action.target).bind(&entry.action.queue).bind(entry.n);
        let row = query.fetch_optional(self.store.pool()).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
    }

    pub async fn entry(&self, action_id: &str) -> Result<Option<(Entry, State)>, StoreError> {
        let sql = format!("SELECT {ENTRY}, state FROM outbox WHERE action_id = ?");
        let row = sqlx::query(&sql).bind(action_id).fetch_optional(self.store.pool()).await?;
        row.map(|row| with_state(&row)).transpose()
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
        let sql = "UPDATE outbox SET state = ?, next_attempt_us = ?, attempts = CASE WHEN ? THEN max(attempts - 1, 1) \
                   ELSE attempts END, remote_ref = coalesce(?, remote_ref), last_answer = coalesce(?, last_answer) \
                   WHERE n = ? AND state = ? AND attempts = ?";
        let changed = sqlx::query(sql)
            .bind(change.to.name())
            .bind(change.next_attempt_us)
            .bind(change.uncounted)
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
        if entry.action.kind.contains() {
            note_containment(&mut tx, &entry.action, change.to, now_us).await?;
        }
        write_steps(&mut tx, &entry.action, now_us, steps).await?;
        Queue::commit(tx).await?;
        Ok(true)
    }

    /// The same inside a transaction, for actions that are not under way.
    pub async fn settle_in(
        tx: &mut Tx,
        entry: &Entry,
        from: State,
        to: State,
        now_us: i64,
        step: NewStep,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE outbox SET state = ? WHERE n = ? AND state = ?";
        let changed = sqlx::query(sql).bind(to.name()).bind(entry.n).bind(from.name()).execute(&mut **tx).await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        if entry.action.kind.contains() {
            note_containment(tx, &entry.action, to, now_us).await?;
        }
        write_steps(tx, &entry.action, now_us, &[step]).await?;
        Ok(true)
    }

    /// The blocks in force, as far as we know, without those that are being undone: (address, target, action id, end).
    pub async fn blocks(&self, limit: u32) -> Result<Vec<(String, String, String, i64)>, StoreError> {
        let sql = format!(
            "SELECT entity, target, action_id, expires_us FROM blocks AS b WHERE {LASTS} ORDER BY expires_us DESC LIMIT ?"
        );
        Ok(sqlx::query_as(&sql).bind(limit).fetch_all(self.store.pool()).await?)
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

    /// When the next block of this target ends. What has ended is being undone, or waits for what comes after it.
    pub async fn next_end(&self, target: &str, now_us: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT min(expires_us) FROM blocks WHERE target = ? AND expires_us > ?";
        Ok(sqlx::query(sql).bind(target).bind(now_us).fetch_one(self.store.pool()).await?.try_get(0)?)
    }

    /// Actions as people ask for them, the newest first.
    pub async fn list(&self, which: &WhichActions) -> Result<Vec<(Entry, State)>, StoreError> {
        let sql = format!(
            "SELECT {ENTRY}, state FROM outbox WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR target = ?2) \
             AND (?3 IS NULL OR incident_id = ?3) ORDER BY n DESC LIMIT ?4"
        );
        let query = sqlx::query(&sql).bind(which.state.map(State::name)).bind(&which.target);
        let rows = query.bind(&which.incident).bind(which.limit).fetch_all(self.store.pool()).await?;
        rows.iter().map(with_state).collect()
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

    /// When it ends, and the news that it is about, as this entry has them; while it waits for a person.
    pub async fn restart(tx: &mut Tx, entry: &Entry) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET expires_us = ?, about_us = ? WHERE n = ? AND state = 'awaiting'";
        let query = sqlx::query(sql).bind(entry.action.expires_us).bind(entry.action.about_us).bind(entry.n);
        query.execute(&mut **tx).await?;
        Ok(())
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
        let sql = "DELETE FROM outbox WHERE state NOT IN ('pending', 'parked', 'awaiting') AND created_us < ? \
                   AND action_id NOT IN (SELECT action_id FROM blocks)";
        let gone = sqlx::query(sql).bind(before_us).execute(&mut *tx).await?.rows_affected();
        for table in ["incident_alerts", "incident_keys", "incident_notes", "incidents"] {
            // The names are ours.
            let sql = format!(
                "DELETE FROM {table} WHERE incident_id IN \
                 (SELECT incident_id FROM incidents WHERE status = 'closed' AND alerts_open = 0 AND changed_us < ?)"
            );
            sqlx::query(&sql).bind(before_us).execute(&mut *tx).await?;
        }
        sqlx::query("DELETE FROM incident_alerts WHERE incident_id = '' AND changed_us < ?")
            .bind(before_us)
            .execute(&mut *tx)
            .await?;
        let sql = "DELETE FROM wanted_by WHERE alert_id NOT IN (SELECT alert_id FROM incident_alerts)";
        sqlx::query(sql).execute(&mut *tx).await?;
        sqlx::query("DELETE FROM offences WHERE since_us < ?").bind(before_us).execute(&mut *tx).await?;
        let sql = "DELETE FROM action_steps WHERE seq <= ? AND time_us < ?";
        sqlx::query(sql).bind(steps_through).bind(before_us).execute(&mut *tx).await?;
        Queue::commit(tx).await?;
        Ok(gone)
    }
}

/// Keeps the table of what is in force in step with the states of its actions.
pub(super) async fn note_containment(
    tx: &mut Tx,
    action: &Action,
    state: State,
    now_us: i64,
) -> Result<(), StoreError> {
    if action.op == Op::Revert {
        if state == State::Delivered
            && let Some(undone) = &action.undoes
        {
            end(tx, undone, State::Reverted, now_us, NewStep::new(StepKind::Reverted, format!("by {}", action.id)))
                .await?;
        }
        return Ok(());
    }
    match (state, action.expires_us) {
        (State::Delivered, Some(expires_us)) => {
            let sql = "INSERT INTO blocks (entity, target, action_id, expires_us) VALUES (?, ?, ?, ?) \
                       ON CONFLICT (entity, target, action_id) DO UPDATE SET expires_us = excluded.expires_us";
            let entity = Scope::of(action).map_or_else(|| action.entity_value.clone(), |scope| scope.to_string());
            let insert = sqlx::query(sql).bind(entity).bind(&action.target).bind(&action.id).bind(expires_us);
            insert.execute(&mut **tx).await?;
            if !action.renews {
                wanted::offend(tx, action).await?;
            }
        }
        _ => {
            sqlx::query("DELETE FROM blocks WHERE action_id = ?").bind(&action.id).execute(&mut **tx).await?;
        }
    }
    Ok(())
}

/// A delivered action is in force no more.
async fn end(tx: &mut Tx, action_id: &str, to: State, now_us: i64, step: NewStep) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM blocks WHERE action_id = ?").bind(action_id).execute(&mut **tx).await?;
    let sql = "UPDATE outbox SET state = ? WHERE action_id = ? AND state = 'delivered'";
    let changed = sqlx::query(sql).bind(to.name()).bind(action_id).execute(&mut **tx).await?;
    if changed.rows_affected() > 0 {
        let sql = format!("SELECT {ENTRY} FROM outbox WHERE action_id = ?");
        let ended = entry(&sqlx::query(&sql).bind(action_id).fetch_one(&mut **tx).await?)?;
        write_steps(tx, &ended.action, now_us, &[step]).await?;
    }
    Ok(())
}

pub(super) async fn write_steps(
    tx: &mut Tx,
    action: &Action,
    time_us: i64,
    steps: &[NewStep],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO action_steps (time_us, action_id, op, incident_id, alert_id, detector, entity_kind, entity_value, target, kind, \
               step, dry_run, expires_us, detail, answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    for step in steps {
        sqlx::query(sql)
            .bind(time_us)
            .bind(&action.id)
            .bind(action.op.name())
            .bind(&action.incident_id)
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
        audit::pend(tx, time_us, &entry_of(action, step)).await?;
    }
    Ok(())
}

/// The entry of the audit about a step.
fn entry_of(action: &Action, step: &NewStep) -> Fact {
    let detail = json!({
        "step": step.kind.name(), "op": action.op.name(), "kind": action.kind.name(), "target": action.target,
        "incident": action.incident_id, "entity_kind": action.entity_kind, "entity_value": action.entity_value,
        "dry_run": action.dry_run, "detail": scrub(&step.detail), "answer": scrub(&step.answer),
        "expires": action.expires_us.map(super::incident::rfc3339),
    });
    Fact::new(What::ActionStep, audit::SELF, &action.id, detail)
}

pub(super) fn entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    let kind: String = row.try_get("kind")?;
    let op: String = row.try_get("op")?;
    let unknown = |what: &str, name: &str| sqlx::Error::Decode(format!("outbox: unknown {what} `{name}`").into());
    let action = Action {
        id: row.try_get("action_id")?,
        op: Op::parse(&op).ok_or_else(|| unknown("operation", &op))?,
        undoes: row.try_get("undoes")?,
        incident_id: row.try_get("incident_id")?,
        alert_id: row.try_get("alert_id")?,
        detector: row.try_get("detector")?,
        entity_kind: row.try_get("entity_kind")?,
        entity_value: row.try_get("entity_value")?,
        target: row.try_get("target")?,
        kind: Kind::parse(&kind).ok_or_else(|| unknown("kind", &kind))?,
        queue: row.try_get("queue")?,
        body: row.try_get("body")?,
        dry_run: row.try_get("dry_run")?,
        created_us: row.try_get("created_us")?,
        about_us: row.try_get::<Option<i64>, _>("about_us")?.unwrap_or(row.try_get("created_us")?),
        expires_us: row.try_get("expires_us")?,
        renews: row.try_get("renews")?,
    };
    Ok(Entry {
        n: row.try_get("n")?,
        action,
        attempts: row.try_get("attempts")?,
        next_attempt_us: row.try_get("next_attempt_us")?,
        remote_ref: row.try_get("remote_ref")?,
    })
}

pub(super) fn with_state(row: &SqliteRow) -> Result<(Entry, State), StoreError> {
    let state: String = row.try_get("state")?;
    let unknown = || sqlx::Error::Decode(format!("outbox: unknown state `{state}`").into());
    Ok((entry(row)?, State::parse(&state).ok_or_else(unknown)?))
}

fn step(row: &SqliteRow) -> Result<Step, StoreError> {
    Ok(Step {
        seq: row.try_get("seq")?,
        time_us: row.try_get("time_us")?,
        action_id: row.try_get("action_id")?,
        op: row.try_get("op")?,
        incident_id: row.try_get("incident_id")?,
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
