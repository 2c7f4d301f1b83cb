//! What is due in the outbox: the waiting actions of one target, and which of them may be attempted now.
//!
//! Promises: of each queue only the first that waits; of those that are due the most urgent first, then who waits longest. What keeps up
//! a containment, and what undoes one, goes before new ones.
//! The cost of a look does not grow with what waits behind the first ones, as long as some of these are due.
//! Never: changes a state but for an update that a newer one of the same alert says again.

use sqlx::Row;

use super::action::{Action, State, StepKind};
use super::queue::{ENTRY, Entry, NewStep, Queue, Tx, entry};
use crate::store::StoreError;

/// The urgencies there are; 0 is first (`Action::urgency`).
const URGENCIES: std::ops::RangeInclusive<u8> = 0..=3;

/// When, and under which circumstances, it is asked what is due.
pub struct Moment {
    pub now_us: i64,
    /// What is dated further ahead than this is due, too: the clock was set back since.
    pub longest_wait_us: i64,
    /// Nobody is contained anew; what an attempt may have left ends in time all the same.
    pub halted: bool,
}

impl Moment {
    fn furthest_us(&self) -> i64 {
        self.now_us.saturating_add(self.longest_wait_us)
    }
}

impl Queue {
    /// The actions that may be attempted now, in the order in which they should be.
    pub(super) async fn due(&self, target: &str, moment: &Moment, limit: usize) -> Result<Vec<Entry>, StoreError> {
        // By index and without sorting, urgency by urgency: with a flood of one the others are found at once.
        let due = |index: &str, which: &str| {
            format!(
                "SELECT {ENTRY} FROM outbox AS o INDEXED BY {index} WHERE target = ?1 AND state = 'pending' AND urgency = ?2 AND {which} \
                 AND next_attempt_us BETWEEN ?3 AND ?4 AND NOT (?5 AND op = 'apply' AND coalesce(expires_us, ?7) > ?7) AND NOT EXISTS \
                 (SELECT 1 FROM outbox AS p INDEXED BY outbox_queue WHERE p.target = o.target AND p.queue = o.queue \
                  AND p.state = 'pending' AND p.n < o.n) ORDER BY next_attempt_us, n LIMIT ?6"
            )
        };
        let first = "urgency = 0 AND (renews OR op = 'revert')";
        let (first, others) = (due("outbox_first", first), due("outbox_due", &format!("NOT ({first})")));
        let furthest_us = moment.furthest_us();
        let mut found: Vec<Entry> = Vec::new();
        for (urgency, sql) in [(0, &first)].into_iter().chain(URGENCIES.map(|urgency| (urgency, &others))) {
            let spans = [(i64::MIN, moment.now_us), (furthest_us.saturating_add(1), i64::MAX)];
            for (from_us, until_us) in spans {
                let left = i64::try_from(limit.saturating_sub(found.len())).unwrap_or(i64::MAX);
                if left == 0 {
                    return Ok(found);
                }
                let halted = moment.halted && urgency == 0;
                let query = sqlx::query(sql).bind(target).bind(urgency).bind(from_us).bind(until_us);
                let rows = query.bind(halted).bind(left).bind(moment.now_us).fetch_all(self.store.pool()).await?;
                for row in &rows {
                    found.push(entry(row)?);
                }
            }
        }
        Ok(found)
    }

    /// When the next action becomes due that is not due yet.
    pub(super) async fn next_due(&self, target: &str, moment: &Moment) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT min(next_attempt_us) FROM outbox INDEXED BY outbox_due WHERE target = ? AND state = 'pending' \
                   AND urgency = ? AND next_attempt_us > ? AND next_attempt_us <= ?";
        let mut next_us: Option<i64> = None;
        for urgency in URGENCIES {
            let query = sqlx::query(sql).bind(target).bind(urgency).bind(moment.now_us).bind(moment.furthest_us());
            let first: Option<i64> = query.fetch_one(self.store.pool()).await?.try_get(0)?;
            next_us = next_us.into_iter().chain(first).min();
        }
        if moment.halted {
            let sql = "SELECT min(expires_us) FROM outbox WHERE target = ? AND state = 'pending' AND urgency = 0 \
                       AND op = 'apply' AND expires_us > ?";
            let query = sqlx::query(sql).bind(target).bind(moment.now_us);
            let first: Option<i64> = query.fetch_one(self.store.pool()).await?.try_get(0)?;
            next_us = next_us.into_iter().chain(first).min();
        }
        Ok(next_us)
    }

    /// How many actions of one target wait.
    pub async fn waiting(&self, target: &str) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM outbox WHERE state = 'pending' AND target = ?";
        let row = sqlx::query(sql).bind(target).fetch_one(self.store.pool()).await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    pub(super) async fn is_empty(&self, target: &str) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM outbox WHERE state = 'pending' AND target = ? LIMIT 1";
        Ok(sqlx::query(sql).bind(target).fetch_optional(self.store.pool()).await?.is_none())
    }

    /// Updates of the same alert that wait for this target and were never sent are not needed once this one is there; how
    /// many they were. So a flood of updates waits as one for each alert.
    pub(super) async fn overtake(tx: &mut Tx, update: &Action, now_us: i64) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT {ENTRY} FROM outbox INDEXED BY outbox_queue WHERE target = ? AND queue = ? AND state = 'pending' \
             AND kind = ? AND attempts = 0 AND alert_id = ? AND op = 'apply' ORDER BY n"
        );
        let query = sqlx::query(&sql).bind(&update.target).bind(&update.queue).bind(update.kind.name());
        let rows = query.bind(&update.alert_id).fetch_all(&mut **tx).await?;
        let mut overtaken = 0;
        for row in &rows {
            let waiting = entry(row)?;
            if waiting.action.id == update.id || !is_update(&waiting.action) {
                continue;
            }
            let step = NewStep::new(StepKind::Cancelled, format!("{} says it anew", update.id));
            overtaken +=
                u64::from(Queue::settle_in(tx, &waiting, State::Pending, State::Cancelled, now_us, step).await?);
        }
        Ok(overtaken)
    }
}

fn is_update(action: &Action) -> bool {
    super::message::read(action).is_ok_and(|message| message.event == schemas::incident::Event::Updated)
}
