//! What is done about an alert is decided again while it is open: its next telling may be far away.
//!
//! Promises: after a change of the policy (at a start, after a reload, when an hour begins that it names), of what detectors ask for,
//! of what an incident is, and after a verdict, all open alerts that it is about are looked at, a bounded number in a pass of the
//! control loop, each in one transaction with what follows from it. Those that are left after a crash are looked at then.
//! Never: takes an alert in, or tells of an attack what is not known of it.

use std::collections::{BTreeSet, HashMap};

use schemas::Alert;
use sqlx::Row as _;

use super::action::{Kind, hex_id};
use super::control::Pass;
use super::incident::{Change, Row, book};
use super::outbox::{Outbox, locked};
use super::plan;
use super::policy;
use super::queue::{Queue, Tx};
use crate::store::StoreError;

/// Alerts of one transaction: what people change is heeded between two of them.
const AT_ONCE: u32 = 100;
/// Transactions of one pass: what is in force has to be renewed in between.
const IN_A_PASS: usize = 10;

/// All open alerts of an incident are owed a look.
pub(super) async fn owe_incident(tx: &mut Tx, incident_id: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO to_plan (alert_id) SELECT alert_id FROM incident_alerts WHERE incident_id = ? \
               AND state <> 'closed' ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(incident_id).execute(&mut **tx).await?;
    Ok(())
}

async fn owe_all(tx: &mut Tx) -> Result<u64, StoreError> {
    let sql = "INSERT INTO to_plan (alert_id) SELECT alert_id FROM incident_alerts WHERE incident_id <> '' \
               AND state <> 'closed' ON CONFLICT DO NOTHING";
    Ok(sqlx::query(sql).execute(&mut **tx).await?.rows_affected())
}

impl Outbox {
    /// What each detector asks for from now on, also for the alerts that it has open.
    pub async fn detectors_ask(&self, respond: &HashMap<String, Vec<String>>) -> Result<(), StoreError> {
        let mut tx = self.queue.begin().await?;
        let sql = "SELECT alert_id, detector, asked FROM incident_alerts WHERE state <> 'closed'";
        for row in sqlx::query(sql).fetch_all(&mut *tx).await? {
            let (alert_id, detector, before): (String, String, Option<String>) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            // One that is gone has its alerts closed.
            let Some(names) = respond.get(&detector) else { continue };
            let kinds: Vec<Kind> = names.iter().filter_map(|name| Kind::parse(name)).collect();
            let now = book::json(&kinds);
            if before.as_deref() == Some(now.as_str()) {
                continue;
            }
            let sql = "UPDATE incident_alerts SET asked = ? WHERE alert_id = ?";
            sqlx::query(sql).bind(&now).bind(&alert_id).execute(&mut *tx).await?;
            let sql = "INSERT INTO to_plan (alert_id) VALUES (?) ON CONFLICT DO NOTHING";
            sqlx::query(sql).bind(&alert_id).execute(&mut *tx).await?;
        }
        Queue::commit(tx).await?;
        self.wake.notify_one();
        Ok(())
    }

    /// Whether another entry of the policy decides about an incident than before.
    pub(super) fn decides_otherwise(&self, before: &Row, row: &Row, now_us: i64) -> bool {
        let entry = |row: &Row| policy::entry(&self.config.policy, &plan::case(row, 0, now_us));
        entry(before) != entry(row)
    }

    /// Whether something decides now that did not when it was last looked.
    pub(super) fn decides_otherwise_now(&self, now_us: i64) -> bool {
        *locked(&self.decided_by) != self.deciding(now_us)
    }

    /// What decides about alerts, apart from their detectors: a hash of it.
    fn deciding(&self, now_us: i64) -> String {
        let (policy, guard) = (&self.config.policy, &self.config.guard);
        let kinds: BTreeSet<Kind> = self.routes.iter().flat_map(|route| route.kinds.iter().copied()).collect();
        let hours: Vec<Option<bool>> =
            policy.iter().map(|entry| entry.when.hours.as_ref().map(|hours| hours.hold(now_us))).collect();
        hex_id(&[&format!("{policy:?} {:?} {} {kinds:?} {hours:?}", guard.ttl, guard.ipv6_prefix)])
    }

    /// Decides anew about the alerts to which that is owed.
    pub(super) async fn plan_anew(&self, pass: &mut Pass) -> Result<(), StoreError> {
        self.owe_where_it_changed(pass.now_us).await?;
        for _ in 0..IN_A_PASS {
            let sql = "SELECT alert_id FROM to_plan ORDER BY alert_id LIMIT ?";
            let owed: Vec<String> = sqlx::query_scalar(sql).bind(AT_ONCE).fetch_all(self.store.pool()).await?;
            if owed.is_empty() {
                return Ok(());
            }
            let mut tx = self.queue.begin().await?;
            pass.taken.pending = Queue::pending(&mut tx).await?;
            for alert_id in &owed {
                self.plan_again(&mut tx, alert_id, pass).await?;
                sqlx::query("DELETE FROM to_plan WHERE alert_id = ?").bind(alert_id).execute(&mut *tx).await?;
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
            let alerts = owe_all(&mut tx).await?;
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

    async fn plan_again(&self, tx: &mut Tx, alert_id: &str, pass: &mut Pass) -> Result<(), StoreError> {
        let sql = "SELECT incident_id, asked, body FROM incident_alerts WHERE alert_id = ? AND state <> 'closed' \
                   AND incident_id <> '' AND asked IS NOT NULL";
        let Some(found) = sqlx::query(sql).bind(alert_id).fetch_optional(&mut **tx).await? else { return Ok(()) };
        let (incident_id, asked, body): (String, String, Vec<u8>) =
            (found.try_get(0)?, found.try_get(1)?, found.try_get(2)?);
        let wrong = |error: serde_json::Error| sqlx::Error::Decode(format!("incident_alerts: {error}").into());
        let alert: Alert = serde_json::from_slice(&body).map_err(wrong)?;
        let asked: Vec<Kind> = serde_json::from_str(&asked).map_err(wrong)?;
        let Some(row) = book::row(tx, &incident_id).await? else { return Ok(()) };
        let change = Change { row, event: None, alert: Some(alert) };
        self.follow(tx, change, &asked, pass.now_us, &mut pass.taken).await
    }
}
