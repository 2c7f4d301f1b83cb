//! What follows from a change of an incident, made durable: messages, and who is wanted out.
//!
//! Promises: part of the caller's transaction. After a change of the policy what it does not ask for any more is withdrawn; what an
//! incident becomes withdraws nothing. The number of waiting messages is bounded, but for pages.
//! Never: sends anything; says who takes part in an incident (`incident/book.rs`).

use schemas::incident::{Event, Status};

use super::action::{Action, Kind, Op};
use super::config::Telling;
use super::guard::{Circumstances, Reason, Verdict};
use super::incident::{Change, Row, book};
use super::outbox::{HOUR_US, Outbox, TakenIn, changed, insert, micros, planned};
use super::plan::{self, Around, NO_TARGET};
use super::policy;
use super::queue::{Queue, Tx};
use super::wanted::{self, Stand};
use crate::audit;
use crate::store::StoreError;

/// How far back offences count.
const OFFENCES_US: i64 = 30 * 24 * HOUR_US;

/// Why it is decided.
pub(super) struct Occasion<'a> {
    /// What the detector asks for.
    pub asked: &'a [Kind],
    pub now_us: i64,
    /// What led to it is no older than this: it is decided again about an attack that goes on.
    pub news_us: i64,
    /// What is not asked for any more is withdrawn.
    pub withdraws: bool,
}

/// Which messages are due.
struct Due<'a> {
    kinds: &'a [Kind],
    offences: u32,
    /// Nobody has heard of the incident in these ways.
    is_first: bool,
    news_us: i64,
    now_us: i64,
}

impl Outbox {
    /// What follows from a change: messages, and who is wanted out.
    pub(super) async fn follow(
        &self,
        tx: &mut Tx,
        mut change: Change,
        occasion: &Occasion<'_>,
        taken: &mut TakenIn,
    ) -> Result<(), StoreError> {
        let &Occasion { asked, now_us, news_us, withdraws } = occasion;
        let around = self.around(now_us, news_us);
        let offences = self.offences(tx, &change, now_us).await?;
        let case = plan::case(&change.row, offences, now_us);
        let decision = policy::decide(&self.config.policy, &case, asked, self.config.guard.ttl);
        let mut grown: Vec<Kind> = Vec::new();
        for kind in &decision.messages {
            if !change.row.kinds.contains(kind) {
                change.row.kinds.push(*kind);
                grown.push(*kind);
            } else if news_us > i64::MIN && self.is_new_to_all(tx, &change.row, *kind).await? {
                // It is decided again, perhaps because there is a target now.
                grown.push(*kind);
            }
        }
        // Somebody is to hear of it who has not yet; the others have.
        let is_first = !grown.is_empty() && change.event.is_none() && change.row.status != Status::Closed;
        if is_first {
            change.event = Some(Event::Updated);
            change.row.revision += 1;
        }
        if !grown.is_empty() {
            book::write(tx, &change.row).await?;
        }
        let kinds = if is_first { grown } else { change.row.kinds.clone() };
        let due = Due { kinds: &kinds, offences, is_first, news_us, now_us };
        self.send_messages(tx, &change, &due, taken).await?;
        let all = plan::containment(&change, &decision, &around);
        if let Some(alert) = &change.alert {
            let asks = plan::asks(&decision, &around);
            wanted::told(tx, alert, &all, Some(asks.as_slice()).filter(|_| withdraws)).await?;
        }
        for wanted in &all {
            if around.routes.iter().any(|route| route.kinds.contains(&wanted.kind)) {
                if wanted::want(tx, wanted).await? {
                    audit::pend(tx, now_us, &planned(wanted)).await?;
                }
            } else {
                let dry_run = wanted.dry_run || around.dry_run;
                let action = wanted::action(wanted, NO_TARGET, 0, Op::Apply, dry_run, now_us);
                self.take_in(tx, action, taken).await?;
            }
        }
        if change.row.quiet_us.is_some_and(|since| now_us.saturating_sub(since) >= micros(self.config.incidents.quiet))
        {
            self.close(tx, change.row, now_us, taken).await?;
        }
        Ok(())
    }

    /// What an alert that is over asked for, and the policy does not, is withdrawn.
    pub(super) async fn withdraw(
        &self,
        tx: &mut Tx,
        change: &Change,
        occasion: &Occasion<'_>,
    ) -> Result<(), StoreError> {
        let &Occasion { asked, now_us, news_us, withdraws } = occasion;
        let Some(alert) = change.alert.as_ref().filter(|_| withdraws) else { return Ok(()) };
        let offences = self.offences(tx, change, now_us).await?;
        let case = plan::case(&change.row, offences, now_us);
        let decision = policy::decide(&self.config.policy, &case, asked, self.config.guard.ttl);
        wanted::told(tx, alert, &[], Some(&plan::asks(&decision, &self.around(now_us, news_us)))).await
    }

    /// Closes an incident that has been quiet for long enough, or that a person has judged.
    pub(super) async fn close(
        &self,
        tx: &mut Tx,
        mut row: Row,
        now_us: i64,
        taken: &mut TakenIn,
    ) -> Result<(), StoreError> {
        if row.status == Status::Closed {
            return Ok(());
        }
        (row.status, row.changed_us) = (Status::Closed, now_us);
        row.revision += 1;
        book::write(tx, &row).await?;
        if !row.goes_on_though_judged() {
            wanted::stand_of_incident(tx, &row.id, Stand::Ending).await?;
        }
        let kinds = row.kinds.clone();
        let change = Change { row, event: Some(Event::Closed), alert: None };
        let due = Due { kinds: &kinds, offences: 0, is_first: false, news_us: i64::MIN, now_us };
        self.send_messages(tx, &change, &due, taken).await
    }

    async fn send_messages(
        &self,
        tx: &mut Tx,
        change: &Change,
        due: &Due<'_>,
        taken: &mut TakenIn,
    ) -> Result<(), StoreError> {
        let now_us = due.now_us;
        if let Some(event) = change.event {
            audit::pend(tx, now_us, &changed(&change.row, event)).await?;
        }
        let told = match change.event {
            Some(Event::Open) => self.config.tell.contains(&Telling::Open),
            // What changed matters even where not each update of an alert is told.
            Some(Event::Updated) => !self.config.tell.is_empty(),
            Some(Event::Closed) => self.config.tell.contains(&Telling::Closed),
            None => false,
        };
        if !told {
            return Ok(());
        }
        let planned = |change: &Change, kinds: &[Kind]| {
            let case = plan::case(&change.row, due.offences, now_us);
            plan::messages(change, kinds, &case, &self.around(now_us, due.news_us))
        };
        let mut actions = planned(change, due.kinds);
        if change.event == Some(Event::Closed) {
            // Who was told that it began is told that it is over, whatever its conditions say by now.
            for (kind, target) in Outbox::told_of(tx, &change.row.id).await? {
                let is_planned = actions.iter().any(|action| action.kind == kind && action.target == target);
                if let Some(route) = self.routes.iter().find(|route| route.name == target).filter(|_| !is_planned) {
                    actions.push(plan::message_to(
                        route,
                        change,
                        Event::Closed,
                        kind,
                        &self.around(now_us, due.news_us),
                    ));
                }
            }
        }
        let is_first = due.is_first || change.event == Some(Event::Open);
        let of_us = change.row.updated_us.max(due.news_us);
        if self.is_one_of_many(tx, change, &actions, is_first.then_some(of_us), now_us).await? {
            actions = match self.digest(tx, change, actions, is_first, now_us, taken).await? {
                Some(digest) => {
                    audit::pend(tx, now_us, &changed(&digest.row, digest.event.unwrap_or(Event::Updated))).await?;
                    planned(&digest, &digest.row.kinds)
                }
                None => Vec::new(),
            };
        }
        for action in actions {
            if change.event == Some(Event::Updated) {
                taken.pending = taken.pending.saturating_sub(Queue::overtake(tx, &action, now_us).await?);
            }
            self.take_in(tx, action, taken).await?;
        }
        Ok(())
    }

    /// A target takes this kind, and none was to be told of the incident: when it was asked for there was none.
    async fn is_new_to_all(&self, tx: &mut Tx, row: &Row, kind: Kind) -> Result<bool, StoreError> {
        if !self.routes.iter().any(|route| route.kinds.contains(&kind)) {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM outbox WHERE queue = ? AND kind = ? AND target <> ?)";
        let query = sqlx::query_scalar(sql).bind(format!("incident:{}", row.id)).bind(kind.name()).bind(NO_TARGET);
        Ok(!query.fetch_one(&mut **tx).await?)
    }

    pub(super) async fn offences(&self, tx: &mut Tx, change: &Change, now_us: i64) -> Result<u32, StoreError> {
        let Some(alert) = &change.alert else { return Ok(0) };
        let Some(entity) = plan::entity_for(alert, Kind::Block, self.config.guard.ipv6_prefix) else { return Ok(0) };
        wanted::offences(tx, &entity, now_us.saturating_sub(OFFENCES_US)).await
    }

    fn around(&self, now_us: i64, news_us: i64) -> Around<'_> {
        Around {
            routes: &self.routes,
            dry_run: self.config.dry_run,
            ipv6_prefix: self.config.guard.ipv6_prefix,
            now_us,
            news_us,
        }
    }

    /// Judges a message and makes it durable, unless it is known.
    async fn take_in(&self, tx: &mut Tx, action: Action, taken: &mut TakenIn) -> Result<(), StoreError> {
        if Queue::knows(tx, &action.id).await? {
            return Ok(());
        }
        let verdict = if action.target == NO_TARGET {
            Verdict::Suppress(Reason::NoTarget, format!("no target takes `{}`", action.kind.name()))
        } else {
            let live = self.changes.live();
            let is_owed = self.is_owed(&mut **tx, &action).await?;
            let around = Circumstances {
                now_us: if is_owed { action.about_us } else { action.created_us },
                severity: schemas::alert::Severity::Info,
                offenders_last_hour: 0,
                never: &live.never,
            };
            match self.guard.judge(&action, &around) {
                // Pages are never refused for want of room.
                Verdict::Send if action.urgency() > 1 && taken.pending >= u64::from(self.delivery.pending_max) => {
                    Verdict::Suppress(Reason::QueueFull, format!("{} actions are waiting already", taken.pending))
                }
                verdict => verdict,
            }
        };
        taken.pending += u64::from(verdict == Verdict::Send);
        let steps = insert(tx, &action, verdict).await?;
        taken.new.push((action, steps));
        Ok(())
    }
}
