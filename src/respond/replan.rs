//! What is done about an alert is decided again while it is open: its next telling may be far away.
//!
//! Promises: after a change of the policy (at a start, after a reload, when an hour begins that it names), of what detectors ask for,
//! of what an incident is, and after a verdict, all open alerts that it is about are looked at, a bounded number in a pass of the
//! control loop, each in one transaction with what follows from it; after a change of the policy those that are over as well, whose
//! wishes may still be begun. Those that are left after a crash are looked at then.
//! Never: takes an alert in, or tells of an attack what is not known of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;

use schemas::Alert;
use schemas::alert::State;
use sqlx::Row as _;

use super::action::{Kind, hex_id};
use super::control::Pass;
use super::follow::Occasion;
use super::incident::{Change, Row, book};
use super::outbox::{Outbox, locked, micros};
use super::plan;
use super::policy;
use super::queue::{Queue, Tx};
use crate::store::StoreError;

/// Alerts of one transaction: what people change is heeded between two of them.
const AT_ONCE: u32 = 100;
/// Transactions of one pass: what is in force has to be renewed in between.
const IN_A_PASS: usize = 10;
/// And how long it may take.
const PASS_US: i64 = 300_000;

/// An alert about which it is to be decided again.
struct Owed {
    place: i64,
    alert_id: String,
    /// What is not asked for any more is withdrawn.
    withdraws: bool,
    /// The hours of the policy that held before, where nothing but these has changed: what they do not decide is not withdrawn.
    hours: Option<String>,
}

/// Alerts are owed a look. `which` is a condition about one of them.
fn owe(which: &str) -> String {
    format!(
        "INSERT INTO to_plan (place, alert_id, withdraws, hours) \
         SELECT CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 ELSE 2 END, alert_id, ?, ? \
         FROM incident_alerts WHERE incident_id <> '' AND {which} ON CONFLICT (place, alert_id) DO UPDATE SET \
         hours = CASE WHEN excluded.withdraws AND excluded.hours IS NULL THEN NULL WHEN to_plan.withdraws THEN to_plan.hours \
         ELSE excluded.hours END, withdraws = CASE WHEN excluded.withdraws THEN 1 ELSE to_plan.withdraws END"
    )
}

/// All open alerts of an incident are: it has become another one.
pub(super) async fn owe_incident(tx: &mut Tx, incident_id: &str) -> Result<(), StoreError> {
    let query = owe("state <> 'closed' AND incident_id = ?");
    sqlx::query(&query).bind(false).bind(None::<String>).bind(incident_id).execute(&mut **tx).await?;
    Ok(())
}

/// Why nobody is contained at a start with another policy.
pub(super) const UNDECIDED: &str = "the policy has changed, and it is decided again once the detectors are read";

impl Outbox {
    /// Whether it is still to be decided what a changed policy asks for.
    pub(super) async fn is_undecided(&self, tx: &mut Tx, now_us: i64) -> Result<bool, StoreError> {
        if !self.detectors_to_come.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let before: Option<String> =
            sqlx::query_scalar("SELECT policy FROM planned_by").fetch_optional(&mut **tx).await?;
        Ok(before.is_some_and(|before| before != self.deciding(now_us)))
    }

    /// What each detector asks for from now on, also for the alerts that it has open.
    pub async fn detectors_ask(&self, respond: &HashMap<String, Vec<String>>) -> Result<(), StoreError> {
        let sql = "SELECT alert_id, detector, asked FROM incident_alerts WHERE state <> 'closed'";
        let open: Vec<(String, String, Option<String>)> = sqlx::query_as(sql).fetch_all(self.store.pool()).await?;
        // One that is gone has its alerts closed.
        let now = |(alert_id, detector, before): (String, String, Option<String>)| {
            let kinds: Vec<Kind> = respond.get(&detector)?.iter().filter_map(|name| Kind::parse(name)).collect();
            let now = book::json(&kinds);
            (before.as_ref() != Some(&now)).then_some((alert_id, now))
        };
        let changed: Vec<(String, String)> = open.into_iter().filter_map(now).collect();
        let owe = owe("alert_id = ?");
        for some in changed.chunks(AT_ONCE as usize) {
            let mut tx = self.queue.begin().await?;
            for (alert_id, asked) in some {
                let sql = "UPDATE incident_alerts SET asked = ? WHERE alert_id = ?";
                sqlx::query(sql).bind(asked).bind(alert_id).execute(&mut *tx).await?;
                sqlx::query(&owe).bind(true).bind(None::<String>).bind(alert_id).execute(&mut *tx).await?;
            }
            Queue::commit(tx).await?;
        }
        self.detectors_to_come.store(false, Ordering::Relaxed);
        self.wake.notify_one();
        Ok(())
    }

    /// Whether other entries of the policy hold for an incident than before; of who comes back, too.
    pub(super) fn decides_otherwise(&self, before: &Row, row: &Row, now_us: i64) -> bool {
        let (before, now) = (plan::case(before, u32::MAX, now_us), plan::case(row, u32::MAX, now_us));
        self.config.policy.iter().any(|entry| entry.when.holds(&before) != entry.when.holds(&now))
    }

    /// Whether something decides now that did not when it was last looked.
    pub(super) fn decides_otherwise_now(&self, now_us: i64) -> bool {
        !self.detectors_to_come.load(Ordering::Relaxed) && *locked(&self.decided_by) != self.deciding(now_us)
    }

    /// What decides about alerts, apart from their detectors: a hash of the policy, which of its hours hold, and a hash of the rest.
    fn deciding(&self, now_us: i64) -> String {
        let (policy, guard) = (&self.config.policy, &self.config.guard);
        let kinds: BTreeSet<Kind> = self.routes.iter().flat_map(|route| route.kinds.iter().copied()).collect();
        let hours = policy::hours(policy, now_us);
        let rest = hex_id(&[&format!("{:?} {} {kinds:?}", guard.ttl, guard.ipv6_prefix)]);
        format!("{} {hours} {rest}", hex_id(&[&format!("{policy:?}")]))
    }

    /// Decides anew about the alerts to which that is owed.
    pub(super) async fn plan_anew(&self, pass: &mut Pass) -> Result<(), StoreError> {
        if self.detectors_to_come.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.owe_where_it_changed(pass.now_us).await?;
        let until_us = (self.clock)().saturating_add(PASS_US);
        for _ in 0..IN_A_PASS {
            if (self.clock)() > until_us {
                break;
            }
            // A person does not wait for the end of a long list.
            if self.changes.refresh((self.clock)()).await? {
                pass.live = self.changes.live();
                self.let_go(pass, true).await?;
            }
            let sql = "SELECT place, alert_id, withdraws, hours FROM to_plan ORDER BY place, alert_id LIMIT ?";
            let owed: Vec<(i64, String, bool, Option<String>)> =
                sqlx::query_as(sql).bind(AT_ONCE).fetch_all(self.store.pool()).await?;
            let owed =
                owed.into_iter().map(|(place, alert_id, withdraws, hours)| Owed { place, alert_id, withdraws, hours });
            let owed: Vec<Owed> = owed.collect();
            if owed.is_empty() {
                return Ok(());
            }
            pass.now_us = (self.clock)();
            let mut tx = self.queue.begin().await?;
            pass.taken.pending = Queue::pending(&mut tx).await?;
            for owed in &owed {
                self.plan_again(&mut tx, owed, pass).await?;
                // What was owed since then is looked at next.
                let sql = "DELETE FROM to_plan WHERE place = ? AND alert_id = ? AND withdraws = ? AND hours IS ?";
                let query = sqlx::query(sql).bind(owed.place).bind(&owed.alert_id).bind(owed.withdraws);
                query.bind(&owed.hours).execute(&mut *tx).await?;
            }
            self.commit(tx, pass).await?;
        }
        pass.next_us = pass.now_us;
        Ok(())
    }

    /// The policy has changed, or an hour has begun that it names.
    async fn owe_where_it_changed(&self, now_us: i64) -> Result<(), StoreError> {
        if !self.decides_otherwise_now(now_us) {
            return Ok(());
        }
        let deciding = self.deciding(now_us);
        let mut tx = self.queue.begin().await?;
        let before: Option<String> =
            sqlx::query_scalar("SELECT policy FROM planned_by").fetch_optional(&mut *tx).await?;
        if before.as_deref() != Some(deciding.as_str()) {
            // Of another ttl or target, and by an older version, nothing is withdrawn.
            let part = |deciding: &str, n| deciding.split(' ').nth(n).map(str::to_owned);
            let is_other = |n| before.as_deref().is_some_and(|before| part(before, n) != part(&deciding, n));
            let withdraws = is_other(0) || is_other(1);
            let hours = before.as_deref().and_then(|before| part(before, 1)).filter(|_| !is_other(0) && withdraws);
            // What alerts that are over asked for may still be begun.
            let which = "(state <> 'closed' OR EXISTS (SELECT 1 FROM wanted_by AS b WHERE b.alert_id = incident_alerts.alert_id))";
            let alerts = sqlx::query(&owe(which)).bind(withdraws).bind(&hours).execute(&mut *tx).await?.rows_affected();
            let sql = "INSERT INTO planned_by (one, policy) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET policy = excluded.policy";
            sqlx::query(sql).bind(&deciding).execute(&mut *tx).await?;
            if alerts > 0 && before.is_some() {
                tracing::info!(alerts, "the policy has changed: what is done about open alerts is decided again");
            }
        }
        Queue::commit(tx).await?;
        *locked(&self.decided_by) = deciding;
        Ok(())
    }

    async fn plan_again(&self, tx: &mut Tx, owed: &Owed, pass: &mut Pass) -> Result<(), StoreError> {
        let alert_id = &owed.alert_id;
        let sql = "SELECT incident_id, asked, body, changed_us - updated_us FROM incident_alerts WHERE alert_id = ? \
                   AND incident_id <> '' AND asked IS NOT NULL";
        let Some(found) = sqlx::query(sql).bind(alert_id).fetch_optional(&mut **tx).await? else { return Ok(()) };
        let (incident_id, asked, body): (String, String, Vec<u8>) =
            (found.try_get(0)?, found.try_get(1)?, found.try_get(2)?);
        let read = || Ok::<_, serde_json::Error>((serde_json::from_slice(&body)?, serde_json::from_str(&asked)?));
        let (alert, asked): (Alert, Vec<Kind>) = match read() {
            Ok(read) => read,
            // Of a newer version: it is decided when it is told.
            Err(error) => {
                tracing::warn!(alert = alert_id, %error, "it cannot be decided again what is done about an alert");
                return Ok(());
            }
        };
        let Some(row) = book::row(tx, &incident_id).await? else { return Ok(()) };
        // What was news when it was told, and goes on, is as new now.
        let lag_us = found.try_get::<i64, _>(3)?.max(0);
        let is_news = lag_us <= micros(self.config.guard.alert_age_max);
        let now_us = pass.now_us;
        let news_us = if is_news { now_us.saturating_sub(lag_us) } else { i64::MIN };
        let is_over = alert.state == State::Closed;
        let change = Change { row, event: None, alert: Some(alert) };
        let withdraws = owed.withdraws
            && match &owed.hours {
                None => true,
                Some(before) => {
                    let offences = self.offences(tx, &change, now_us).await?;
                    policy::hours_decide(&self.config.policy, &plan::case(&change.row, offences, now_us), before)
                }
            };
        let occasion = Occasion { asked: &asked, now_us, news_us, withdraws };
        if is_over {
            return self.withdraw(tx, &change, &occasion).await;
        }
        self.follow(tx, change, &occasion, &mut pass.taken).await
    }
}
