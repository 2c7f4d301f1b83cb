//! Letting go: what is in force and may no longer be, or is no longer wanted, is undone; what waits is cancelled.
//!
//! Promises: an undoing is an action of its own, planned once at a time in the caller's transaction. It asks nobody: neither the
//! lake nor a target nor a rail.
//! Never: forgets what an attempt may have left behind; that is undone, too.

use schemas::incident::Verdict;

use super::action::{Action, Op, State, StepKind, hex_id};
use super::control::{Pass, UNDO_AGAIN_US};
use super::incident::book;
use super::outbox::{Lane, Outbox, count_step};
use super::queue::{Entry, NewStep, Queue, Tx};
use super::standing::why;
use super::wanted::{Stand, Wanted};
use crate::store::StoreError;

/// Why an action waits that the policy lets nobody but a person send.
pub(super) const POLICY_ASKS: &str = "the policy asks for a person's word";

/// Whether it was undone because it was over.
pub(super) async fn had_its_time(tx: &mut Tx, action: &Action) -> Result<bool, StoreError> {
    let sql = "SELECT max(created_us) FROM outbox WHERE undoes = ? AND op = 'revert'";
    let undone_us: Option<i64> = sqlx::query_scalar(sql).bind(&action.id).fetch_one(&mut **tx).await?;
    Ok(undone_us.zip(action.expires_us).is_some_and(|(undone_us, ends_us)| undone_us >= ends_us))
}

impl Outbox {
    /// What is in force and may no longer be is undone: a changed list, a switch to dry run, the kill switch.
    pub(super) async fn hold_against_rails(&self, tx: &mut Tx, pass: &mut Pass) -> Result<(), StoreError> {
        for lane in &self.lanes {
            for entry in Queue::all_in_force(tx, lane.name()).await? {
                let why = self.no_longer(lane, &entry.action, pass);
                if let Some(why) = why {
                    self.undo(tx, lane, &entry, &why, pass).await?;
                }
            }
            for (entry, state) in Queue::all_unsent(tx, lane.name()).await? {
                if let Some(why) = self.no_longer(lane, &entry.action, pass) {
                    self.cancel(tx, lane, &entry, state, &why, pass).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn no_longer(&self, lane: &Lane, action: &Action, pass: &Pass) -> Option<String> {
        if let Some(halt) = pass.live.halt.as_ref().filter(|halt| halt.lift) {
            return Some(format!("halted by {}: {}", halt.actor, halt.reason));
        }
        if self.is_dry(lane) {
            return Some("the target was switched to dry run".to_owned());
        }
        // Age is no reason to undo: a block outlives the news of its attack.
        let still = self.guard.may_still(action, &pass.live.never, action.about_us);
        still.err().map(|(_, words)| words)
    }

    /// Cancels what waits and undoes what is in force; whether anything is left to wait for.
    pub(super) async fn lift(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        queue: &str,
        why: &str,
        pass: &mut Pass,
    ) -> Result<bool, StoreError> {
        let mut left = false;
        for (entry, state) in Queue::unsent(tx, lane.name(), queue).await? {
            self.cancel(tx, lane, &entry, state, why, pass).await?;
        }
        for entry in Queue::in_force(tx, lane.name(), queue).await? {
            left = true;
            self.undo(tx, lane, &entry, why, pass).await?;
        }
        Ok(left || Queue::reverts_waiting(tx, lane.name(), queue).await?)
    }

    /// It is not sent; where an attempt may have had its effect, that is undone.
    async fn cancel(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        entry: &Entry,
        state: State,
        why: &str,
        pass: &mut Pass,
    ) -> Result<(), StoreError> {
        let step = NewStep::new(StepKind::Cancelled, why);
        if Queue::settle_in(tx, entry, state, State::Cancelled, pass.now_us, step.clone()).await? {
            pass.taken.new.push((entry.action.clone(), vec![step]));
            if entry.attempts > 0 {
                self.undo(tx, lane, entry, why, pass).await?;
            }
        }
        Ok(())
    }

    /// What is in force for the sake of an incident that was judged to be no attack is undone; whether anything is left.
    pub(super) async fn lift_judged(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        queue: &str,
        pass: &mut Pass,
    ) -> Result<bool, StoreError> {
        let entries = Queue::in_force(tx, lane.name(), queue).await?;
        for entry in &entries {
            let verdict = book::row(tx, &entry.action.incident_id).await?.and_then(|row| row.verdict);
            if verdict.is_some_and(|verdict| verdict != Verdict::True) {
                self.undo(tx, lane, entry, "it was judged to be no attack", pass).await?;
            }
        }
        Ok(!entries.is_empty() || Queue::reverts_waiting(tx, lane.name(), queue).await?)
    }

    /// What waits for a person because the policy said so, and says so no longer, is asked for anew.
    pub(super) async fn ask_no_more(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        entry: &Entry,
        wanted: &Wanted,
        pass: &mut Pass,
    ) -> Result<(), StoreError> {
        // It has become worse.
        let asks_nobody = wanted.stand == Stand::Active && !wanted.approve;
        if asks_nobody && why(tx, &entry.action.id, StepKind::Awaiting).await?.as_deref() == Some(POLICY_ASKS) {
            self.cancel(tx, lane, entry, State::Awaiting, "the policy asks nobody any more", pass).await?;
            self.wake.notify_one();
        }
        Ok(())
    }

    /// What nobody asks for any more is not begun; whether what is in force, or prolongs it, is left to its end.
    pub(super) async fn begin_no_more(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        queue: &str,
        pass: &mut Pass,
    ) -> Result<bool, StoreError> {
        let mut lasts = false;
        for (entry, state) in Queue::unsent(tx, lane.name(), queue).await? {
            if entry.action.renews {
                lasts = true;
            } else {
                self.cancel(tx, lane, &entry, state, "nobody wants it any more", pass).await?;
            }
        }
        let in_force = !Queue::in_force(tx, lane.name(), queue).await?.is_empty();
        Ok(lasts || in_force || Queue::reverts_waiting(tx, lane.name(), queue).await?)
    }

    /// Plans the undoing of an action, once at a time.
    pub(super) async fn undo(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        entry: &Entry,
        why: &str,
        pass: &mut Pass,
    ) -> Result<(), StoreError> {
        let Some(nth) = Queue::next_revert(tx, &entry.action.id).await? else { return Ok(()) };
        let action = Action {
            id: hex_id(&["revert", &entry.action.id, &nth.to_string()]),
            op: Op::Revert,
            undoes: Some(entry.action.id.clone()),
            dry_run: false,
            created_us: pass.now_us,
            about_us: pass.now_us,
            expires_us: None,
            renews: false,
            target: lane.name().to_owned(),
            ..entry.action.clone()
        };
        let steps = vec![NewStep::new(StepKind::Planned, format!("undoes {}: {why}", entry.action.id))];
        Queue::insert(tx, &action, State::Pending, &steps).await?;
        pass.taken.new.push((action, steps));
        Ok(())
    }

    /// Of what was given up on, undoings are tried again, and what is past its end has ended.
    pub(super) async fn look_at_parked(&self, tx: &mut Tx, pass: &mut Pass) -> Result<(), StoreError> {
        let again_us = pass.now_us.saturating_sub(UNDO_AGAIN_US);
        for entry in Queue::parked_too_long(tx, again_us, pass.now_us).await? {
            let lane = self.lanes.iter().find(|lane| lane.name() == entry.action.target);
            if entry.action.op == Op::Revert {
                Queue::release_undo(tx, &entry, pass.now_us).await?;
                lane.iter().for_each(|lane| lane.wake.notify_one());
            } else if let Some(lane) = lane {
                let step = NewStep::new(StepKind::Expired, "its time was over before anybody released it");
                self.expire_in(tx, lane, &entry, State::Parked, step, pass).await?;
            }
        }
        Ok(())
    }

    /// What waits has come to its end.
    pub(super) async fn expire(
        &self,
        lane: &Lane,
        entry: &Entry,
        step: NewStep,
        now_us: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.queue.begin().await?;
        let mut pass = Pass::new(now_us, self.changes.live());
        self.expire_in(&mut tx, lane, entry, State::Pending, step, &mut pass).await?;
        self.commit(tx, &mut pass).await
    }

    /// It has ended; what an attempt may have left behind is undone where it does not end by itself.
    async fn expire_in(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        entry: &Entry,
        from: State,
        step: NewStep,
        pass: &mut Pass,
    ) -> Result<(), StoreError> {
        if Queue::settle_in(tx, entry, from, State::Expired, pass.now_us, step.clone()).await? {
            count_step(&entry.action, step.kind);
            pass.taken.new.push((entry.action.clone(), vec![step]));
            if entry.attempts > 0 && !lane.target.ends_by_itself() {
                let why = "its time is over, and an attempt may have had its effect";
                self.undo_unless_replaced(tx, lane, entry, why, pass).await?;
            }
        }
        Ok(())
    }

    /// Undoes what has ended, unless what came after it stands in its place, or is about to: then that one's end counts. The one
    /// that stands there.
    async fn undo_unless_replaced(
        &self,
        tx: &mut Tx,
        lane: &Lane,
        entry: &Entry,
        why: &str,
        pass: &mut Pass,
    ) -> Result<Option<Entry>, StoreError> {
        let newest = Queue::newest(tx, lane.name(), &entry.action.queue).await?;
        match newest.filter(|(newer, _)| newer.n > entry.n) {
            Some((newer, State::Delivered)) => return Ok(Some(newer)),
            Some((newer, State::Pending)) => {
                match pass.live.halt.as_ref().map(|halt| format!("halted: {}", halt.reason)) {
                    // Nobody knows for how long. The control loop asks for it anew.
                    Some(why) => self.cancel(tx, lane, &newer, State::Pending, &why, pass).await?,
                    None => return Ok(None),
                }
            }
            // One that waits for a person may wait for ever.
            _ => {}
        }
        self.undo(tx, lane, entry, why, pass).await?;
        Ok(None)
    }

    /// What ends at a target that does not end it by itself is undone there.
    pub(super) async fn undo_ended(&self, lane: &Lane, entries: &[Entry], now_us: i64) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut tx = self.queue.begin().await?;
        let mut pass = Pass::new(now_us, self.changes.live());
        for entry in entries {
            let why = "its time is over";
            if let Some(newer) = self.undo_unless_replaced(&mut tx, lane, entry, why, &mut pass).await? {
                let step = NewStep::new(StepKind::Expired, format!("renewed by {}", newer.action.id));
                Queue::settle_in(&mut tx, entry, State::Delivered, State::Expired, now_us, step).await?;
            }
        }
        Queue::commit(tx).await
    }
}
