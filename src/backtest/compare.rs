//! Two sets of alerts beside each other: which are new, which are gone, which say something else.
//!
//! Promises: each alert of either is the same, added, lost or changed, once.
//! Never: judges which of the two is right.

use std::collections::BTreeMap;

use anyhow::Context;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use schemas::Alert;
use serde::Serialize;

use super::{Alerts, Period};
use crate::query::{self, QueryLimits};

/// Of an alert what is compared, and what a person needs to know it by. Times are RFC 3339 UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    pub id: String,
    pub detector: String,
    pub entity_kind: String,
    pub entity_value: String,
    pub severity: String,
    pub opened: String,
    pub updated: String,
    /// Events that counted in it until it ended.
    pub events: u64,
    pub part_of: Option<String>,
    pub dry_run: bool,
}

impl Told {
    fn of(alert: &Alert) -> anyhow::Result<Told> {
        let severity = serde_json::to_value(alert.severity)?;
        Ok(Told {
            id: alert.id.clone(),
            detector: alert.detector.clone(),
            entity_kind: alert.entity.kind.clone(),
            entity_value: alert.entity.value.clone(),
            severity: severity.as_str().unwrap_or_default().to_owned(),
            opened: alert.opened.clone(),
            updated: alert.updated.clone(),
            events: alert.events,
            part_of: alert.part_of.clone(),
            dry_run: alert.dry_run,
        })
    }

    /// What this says otherwise than `before` did, as `severity: was low, is high`. What went on beyond `until` is no difference.
    fn changes(&self, before: &Told, until: Option<&str>) -> Vec<String> {
        let mut changes = Vec::new();
        let mut compare = |what: &str, was: String, is: String| {
            if was != is {
                changes.push(format!("{what}: was {was}, is {is}"));
            }
        };
        let part = |told: &Told| told.part_of.clone().unwrap_or_else(|| "nothing".to_owned());
        let trial = |told: &Told| if told.dry_run { "on trial".to_owned() } else { "in earnest".to_owned() };
        compare("severity", before.severity.clone(), self.severity.clone());
        if until.is_none_or(|until| before.updated.as_str() < until) {
            compare("events", before.events.to_string(), self.events.to_string());
        }
        compare("part of", part(before), part(self));
        compare("it runs", trial(before), trial(self));
        changes
    }
}

pub type All = BTreeMap<String, Told>;

/// The alerts that a set of detectors told.
pub fn told(alerts: &Alerts) -> anyhow::Result<All> {
    alerts.iter().map(|(id, alert)| Ok((id.clone(), Told::of(alert)?))).collect()
}

/// Those that the service told in its time.
pub async fn told_live(session: &SessionContext, period: Period) -> anyhow::Result<All> {
    if !session.table_exist("alerts_latest")? {
        return Ok(All::new());
    }
    let when = Period::sql(period.from_us, period.to_us, "opened");
    let text = |name: &str| format!("arrow_cast({name}, 'Utf8') AS {name}");
    let texts = ["id", "detector", "entity_kind", "entity_value", "severity", "part_of"].map(text).join(", ");
    let sql = format!(
        "SELECT {texts}, arrow_cast(opened, 'Int64') AS opened_us, arrow_cast(events, 'Int64') AS events, dry_run, \
         arrow_cast(updated, 'Int64') AS updated_us \
         FROM alerts_latest WHERE {when}"
    );
    let limits = QueryLimits { rows_max: usize::MAX, ..QueryLimits::default() };
    let answer = query::run(session, &sql, limits).await.context("reading alerts")?;
    let mut all = All::new();
    for batch in &answer.batches {
        for row in 0..batch.num_rows() {
            let one = of_row(batch, row);
            all.insert(one.id.clone(), one);
        }
    }
    Ok(all)
}

fn of_row(batch: &RecordBatch, row: usize) -> Told {
    let text = |at: usize| batch.column(at).as_string::<i32>().value(row).to_owned();
    let number = |at: usize| batch.column(at).as_primitive::<Int64Type>().value(row);
    Told {
        id: text(0),
        detector: text(1),
        entity_kind: text(2),
        entity_value: text(3),
        severity: text(4),
        part_of: Some(text(5)).filter(|id| !id.is_empty()),
        opened: schemas::time_text(number(6)),
        updated: schemas::time_text(number(9)),
        events: number(7).unsigned_abs(),
        dry_run: batch.column(8).as_boolean().value(row),
    }
}

/// What became of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Difference {
    Added { alert: Told },
    Lost { alert: Told },
    Changed { alert: Told, changes: Vec<String> },
}

impl Difference {
    pub fn alert(&self) -> &Told {
        match self {
            Difference::Added { alert } | Difference::Lost { alert } | Difference::Changed { alert, .. } => alert,
        }
    }
}

/// The alerts of `after` that `before` had not, those of `before` that `after` has not, and those of both that say
/// something else, in the order in which they opened. Events were read until `until`.
pub fn compare(before: &All, after: &All, until: Option<&str>) -> Vec<Difference> {
    let of_after = after.values().filter_map(|alert| match before.get(&alert.id) {
        None => Some(Difference::Added { alert: alert.clone() }),
        Some(known) => {
            let changes = alert.changes(known, until);
            (!changes.is_empty()).then(|| Difference::Changed { alert: alert.clone(), changes })
        }
    });
    let lost = before.values().filter(|alert| !after.contains_key(&alert.id));
    let mut all: Vec<Difference> =
        of_after.chain(lost.map(|alert| Difference::Lost { alert: alert.clone() })).collect();
    all.sort_by(|a, b| (&a.alert().opened, &a.alert().id).cmp(&(&b.alert().opened, &b.alert().id)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(id: &str, opened: &str, severity: &str, events: u64) -> Told {
        Told {
            id: id.to_owned(),
            detector: "d".to_owned(),
            entity_kind: "client_ip".to_owned(),
            entity_value: "203.0.113.7".to_owned(),
            severity: severity.to_owned(),
            opened: opened.to_owned(),
            updated: "2026-01-01T01:00:00Z".to_owned(),
            events,
            part_of: None,
            dry_run: false,
        }
    }

    fn all(alerts: &[&Told]) -> All {
        alerts.iter().map(|one| (one.id.clone(), (*one).clone())).collect()
    }

    #[test]
    fn each_alert_is_the_same_added_lost_or_changed() {
        let same = alert("a", "2026-01-01T00:00:04Z", "low", 4);
        let (lost, added) =
            (alert("b", "2026-01-01T00:00:03Z", "low", 4), alert("c", "2026-01-01T00:00:02Z", "high", 1));
        let (was, is) = (alert("d", "2026-01-01T00:00:01Z", "low", 4), alert("d", "2026-01-01T00:00:01Z", "high", 5));
        let differences = compare(&all(&[&same, &lost, &was]), &all(&[&same, &added, &is]), None);
        let changes = vec!["severity: was low, is high".to_owned(), "events: was 4, is 5".to_owned()];
        let expected = [
            Difference::Changed { alert: is, changes },
            Difference::Added { alert: added },
            Difference::Lost { alert: lost },
        ];
        assert_eq!(differences, expected);
        let longer = Told { events: 9, ..same.clone() };
        assert_eq!(compare(&all(&[&longer]), &all(&[&same]), Some("2026-01-01T00:30:00Z")), []);
        assert_eq!(compare(&all(&[&longer]), &all(&[&same]), Some("2026-01-01T02:00:00Z")).len(), 1);
        assert_eq!(compare(&all(&[&same]), &all(&[&same]), None), []);
    }
}
