//! Which alerts want somebody out: what is wanted stays so for as long as one of them goes on.
//!
//! Promises: an alert counts while it is open, nobody has judged its incident to be no attack, and no person let go what it asks
//! for, whichever incident the row of `wanted` names. When the alert that it names counts no more, it names another that does.
//! Where none counts any more, what a verdict does not speak of lasts to its end. Whom a person let go is remembered while the
//! incidents of those alerts last. What is on trial keeps up nothing real.
//! Never: says of ranges; they are made of their parts (`neighbours.rs`).

use std::collections::BTreeSet;

use schemas::Alert;
use schemas::alert::State;
use schemas::incident::Event;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Stand, Wanted};
use crate::respond::action::Kind;
use crate::respond::incident::{Change, Row, book};
use crate::respond::message::severity_name;
use crate::respond::plan;
use crate::respond::queue::Tx;
use crate::respond::scope::{RANGE, Scope};
use crate::store::StoreError;

/// The key of a row of `wanted`.
struct Place {
    kind: String,
    entity_kind: String,
    entity_value: String,
    /// In the place of a block that would hit others.
    instead: bool,
}

/// The claims `b` on a row `w`, with their alerts and incidents.
const CLAIMS: &str = "wanted AS w JOIN wanted_by AS b ON b.kind = w.kind AND b.entity_kind = w.entity_kind \
                      AND b.entity_value = w.entity_value JOIN incident_alerts AS a ON a.alert_id = b.alert_id \
                      JOIN incidents AS i ON i.incident_id = a.incident_id";
/// It was asked for, and neither a person nor a verdict nor the policy says no to that.
const ASKED: &str =
    "NOT b.let_go AND NOT b.dropped AND (i.verdict IS NULL OR i.verdict = 'true') AND (w.dry_run OR NOT i.dry_run)";
const IS_PLACE: &str = "kind = ? AND entity_kind = ? AND entity_value = ?";

/// An alert asks for it.
pub(super) async fn claim(tx: &mut Tx, wanted: &Wanted) -> Result<(), StoreError> {
    if wanted.entity_kind == RANGE {
        return Ok(());
    }
    // What a person said of an incident holds for all its alerts.
    let sql = "INSERT INTO wanted_by (kind, entity_kind, entity_value, alert_id, approve, narrower, ttl_us, instead, let_go) \
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?8, ?9, CASE WHEN EXISTS (SELECT 1 FROM wanted_by AS b \
               JOIN incident_alerts AS a ON a.alert_id = b.alert_id WHERE b.kind = ?1 AND b.entity_kind = ?2 \
               AND b.entity_value = ?3 AND b.let_go AND a.incident_id = ?7) THEN 1 ELSE 0 END WHERE 1 = 1 \
               ON CONFLICT (kind, entity_kind, entity_value, alert_id) \
               DO UPDATE SET approve = excluded.approve, narrower = excluded.narrower, ttl_us = excluded.ttl_us, \
               instead = CASE WHEN excluded.instead AND (wanted_by.instead OR wanted_by.dropped) THEN 1 ELSE 0 END, dropped = 0";
    let query = sqlx::query(sql).bind(wanted.kind.name()).bind(&wanted.entity_kind).bind(&wanted.entity_value);
    let query = query.bind(&wanted.alert_id).bind(wanted.approve).bind(wanted.narrower.as_deref().unwrap_or_default());
    let query = query.bind(&wanted.incident_id).bind(wanted.ttl_us).bind(wanted.instead);
    query.execute(&mut **tx).await?;
    settle_terms(tx, wanted.kind.name(), &wanted.entity_kind, &wanted.entity_value).await?;
    if wanted.kind != Kind::Block {
        return Ok(());
    }
    // What stands in its place lasts for as long.
    let sql = "UPDATE wanted_by SET approve = ?, ttl_us = ? WHERE alert_id = ? AND instead";
    let query = sqlx::query(sql).bind(wanted.approve).bind(wanted.ttl_us).bind(&wanted.alert_id);
    if query.execute(&mut **tx).await?.rows_affected() > 0 {
        for place in places(tx, &wanted.alert_id).await?.into_iter().filter(|place| place.instead) {
            settle_terms(tx, &place.kind, &place.entity_kind, &place.entity_value).await?;
        }
    }
    Ok(())
}

/// A person is asked where all open alerts that want it say so, and it lasts for as long at a time as any of them says; one that gives
/// way to something narrower has no say where another does not.
async fn settle_terms(tx: &mut Tx, kind: &str, entity_kind: &str, entity_value: &str) -> Result<(), StoreError> {
    let claims = format!(
        "FROM {CLAIMS} WHERE w.kind = wanted.kind AND w.entity_kind = wanted.entity_kind \
         AND w.entity_value = wanted.entity_value AND {ASKED} AND a.state <> 'closed' \
         AND (b.narrower = '' OR wanted.narrower <> '')"
    );
    let sql = format!(
        "UPDATE wanted SET approve = CASE WHEN EXISTS (SELECT 1 {claims} AND NOT b.approve) THEN 0 \
         WHEN EXISTS (SELECT 1 {claims}) THEN 1 ELSE approve END, \
         ttl_us = coalesce((SELECT b.ttl_us {claims} ORDER BY b.ttl_us DESC LIMIT 1), ttl_us) WHERE {IS_PLACE}"
    );
    sqlx::query(&sql).bind(kind).bind(entity_kind).bind(entity_value).execute(&mut **tx).await?;
    Ok(())
}

/// What an alert asks for now: of these kinds for nobody else, and for nobody once it is closed; after a change of the policy or of its
/// detector nothing but these kinds (`asks`). What it asked for besides is no longer renewed, unless another alert wants it.
pub async fn told(tx: &mut Tx, alert: &Alert, named: &[Wanted], asks: Option<&[Kind]>) -> Result<(), StoreError> {
    for place in places(tx, &alert.id).await? {
        let is_kind = |wanted: &&Wanted| wanted.kind.name() == place.kind;
        let is_it =
            |wanted: &Wanted| (&wanted.entity_kind, &wanted.entity_value) == (&place.entity_kind, &place.entity_value);
        // Nobody in particular is no other one.
        let is_somebody = |it: &Wanted| {
            it.entity_kind == "principal" || Scope::of_entity(&it.entity_kind, &it.entity_value).is_some()
        };
        let is_another = named.iter().filter(is_kind).any(is_somebody) && !named.iter().filter(is_kind).any(is_it);
        let is_asked = |kind: &Kind| kind.name() == place.kind || (place.instead && *kind == Kind::Block);
        let is_dropped = asks.is_some_and(|asks| !asks.iter().any(is_asked));
        if is_dropped {
            drop_claim(tx, &place, &alert.id).await?;
        } else if is_another || alert.state == State::Closed {
            withdraw(tx, &place, &alert.id, is_another).await?;
        }
    }
    Ok(())
}

/// Nobody asks for it any more, nor is it remembered that somebody did.
pub(super) async fn forget(tx: &mut Tx, wanted: &Wanted) -> Result<(), StoreError> {
    let sql = format!("DELETE FROM wanted_by WHERE {IS_PLACE}");
    let query = sqlx::query(&sql).bind(wanted.kind.name()).bind(&wanted.entity_kind).bind(&wanted.entity_value);
    query.execute(&mut **tx).await?;
    Ok(())
}

/// A person says no to all who ask for it.
pub(super) async fn let_go(tx: &mut Tx, kind: &str, entity_kind: &str, entity_value: &str) -> Result<(), StoreError> {
    // The alert that it names may be over, and its incident not.
    let sql = format!(
        "INSERT INTO wanted_by (kind, entity_kind, entity_value, alert_id, approve, narrower, ttl_us, let_go) \
         SELECT kind, entity_kind, entity_value, alert_id, approve, narrower, ttl_us, 1 FROM wanted WHERE {IS_PLACE} \
         ON CONFLICT DO NOTHING"
    );
    let query = sqlx::query(&sql).bind(kind).bind(entity_kind).bind(entity_value);
    query.execute(&mut **tx).await?;
    let sql = format!("UPDATE wanted_by SET let_go = 1 WHERE {IS_PLACE}");
    sqlx::query(&sql).bind(kind).bind(entity_kind).bind(entity_value).execute(&mut **tx).await?;
    Ok(())
}

/// Everything that an incident asked for is no longer kept up, or is undone, unless an alert of another one wants it.
pub async fn stand_of_incident(tx: &mut Tx, incident_id: &str, stand: Stand) -> Result<(), StoreError> {
    let sql = "SELECT kind, entity_kind, entity_value, 0 FROM wanted WHERE incident_id = ?1 AND state <> 'lift' \
               UNION SELECT w.kind, w.entity_kind, w.entity_value, 0 FROM incident_alerts AS a \
               JOIN wanted_by AS b ON b.alert_id = a.alert_id JOIN wanted AS w ON w.kind = b.kind \
               AND w.entity_kind = b.entity_kind AND w.entity_value = b.entity_value \
               WHERE a.incident_id = ?1 AND w.state <> 'lift'";
    let rows = sqlx::query(sql).bind(incident_id).fetch_all(&mut **tx).await?;
    for place in rows.iter().map(place) {
        settle(tx, &place?, stand).await?;
    }
    Ok(())
}

/// A person let it go, and the incident lasts.
const LET_GO: &str = "b.let_go AND (i.status <> 'closed' OR (i.verdict = 'true' AND i.alerts_open > 0))";

/// Whether a person let it go, and an incident that asked for it lasts.
pub async fn is_let_go(tx: &mut Tx, wanted: &Wanted) -> Result<bool, StoreError> {
    is(tx, wanted, LET_GO).await
}

/// The same, or an alert that asks for it is open and judged to be no attack: nothing wider keeps it out meanwhile.
pub(super) async fn is_remembered(tx: &mut Tx, wanted: &Wanted) -> Result<bool, StoreError> {
    is(tx, wanted, &format!("(({LET_GO}) OR (a.state <> 'closed' AND i.verdict <> 'true'))")).await
}

async fn is(tx: &mut Tx, wanted: &Wanted, what: &str) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {CLAIMS} WHERE w.kind = ? AND w.entity_kind = ? AND w.entity_value = ? AND {what})"
    );
    let query = sqlx::query_scalar(&sql).bind(wanted.kind.name()).bind(&wanted.entity_kind).bind(&wanted.entity_value);
    Ok(query.fetch_one(&mut **tx).await?)
}

/// The incidents that ask for it, the worst first, at most so many.
pub async fn incidents(tx: &mut Tx, wanted: &Wanted) -> Result<Vec<Row>, StoreError> {
    let sql = format!(
        "SELECT i.incident_id FROM {CLAIMS} WHERE w.kind = ? AND w.entity_kind = ? AND w.entity_value = ? AND {ASKED} \
         AND (w.state <> 'active' OR a.state <> 'closed') GROUP BY i.incident_id, i.severity \
         ORDER BY CASE i.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 ELSE 2 END, i.incident_id LIMIT 8"
    );
    let query = sqlx::query_scalar(&sql).bind(wanted.kind.name()).bind(&wanted.entity_kind).bind(&wanted.entity_value);
    let mut rows = Vec::new();
    let ids: Vec<String> = query.fetch_all(&mut **tx).await?;
    for id in ids.iter().chain([&wanted.incident_id]).collect::<BTreeSet<_>>() {
        rows.extend(book::row(tx, id).await?);
    }
    Ok(rows)
}

/// Whether a person let go what this incident asked for. A condition about a row of `wanted`; `incident` is a term of its query.
pub(super) fn let_go_by(incident: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM wanted_by AS b JOIN incident_alerts AS a ON a.alert_id = b.alert_id \
         WHERE b.kind = wanted.kind AND b.entity_kind = wanted.entity_kind AND b.entity_value = wanted.entity_value \
         AND b.let_go AND a.incident_id = {incident})"
    )
}

/// Whether an alert asks for something narrower about the principal to whom a row gives way; where it asks for the row by its name, in
/// the place of that. A condition about a row of `wanted`, as above.
pub(super) fn names_narrower(alert: &str, by_name: bool) -> String {
    let which = if by_name { "b.instead" } else { "b.kind <> wanted.kind" };
    format!(
        "EXISTS (SELECT 1 FROM wanted_by AS b WHERE b.alert_id = {alert} AND {which} AND NOT b.dropped \
         AND b.entity_kind = 'principal' AND b.entity_value = wanted.narrower)"
    )
}

/// Whether it is not kept up because the policy, or a detector, does not ask for it any more.
pub async fn is_dropped(tx: &mut Tx, wanted: &Wanted) -> Result<bool, StoreError> {
    Ok(is(tx, wanted, "b.dropped").await? && !is(tx, wanted, ASKED).await?)
}

/// All that an alert asks for.
async fn places(tx: &mut Tx, alert_id: &str) -> Result<Vec<Place>, StoreError> {
    let sql = "SELECT kind, entity_kind, entity_value, instead FROM wanted_by WHERE alert_id = ?";
    let rows = sqlx::query(sql).bind(alert_id).fetch_all(&mut **tx).await?;
    rows.iter().map(place).collect()
}

/// What was judged to be no attack, by all who asked for it, is no offence.
async fn forgive(tx: &mut Tx, place: &Place) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT since_us FROM wanted WHERE {IS_PLACE} AND state <> 'lift' AND NOT EXISTS (SELECT 1 FROM {CLAIMS} \
         WHERE w.kind = wanted.kind AND w.entity_kind = wanted.entity_kind AND w.entity_value = wanted.entity_value \
         AND (i.verdict IS NULL OR i.verdict = 'true'))"
    );
    let query = sqlx::query_scalar(&sql).bind(&place.kind).bind(&place.entity_kind).bind(&place.entity_value);
    let (Some(since_us), Some(kind)) = (query.fetch_optional(&mut **tx).await?, Kind::parse(&place.kind)) else {
        return Ok(());
    };
    let since_us: i64 = since_us;
    let sql = "DELETE FROM offences WHERE entity = ? AND since_us = ?";
    let entity = super::queue_of(kind, &place.entity_kind, &place.entity_value);
    sqlx::query(sql).bind(entity).bind(since_us).execute(&mut **tx).await?;
    Ok(())
}

/// The policy, or its detector, does not ask for it any more.
async fn drop_claim(tx: &mut Tx, place: &Place, alert_id: &str) -> Result<(), StoreError> {
    let sql = format!("UPDATE wanted_by SET dropped = 1 WHERE {IS_PLACE} AND alert_id = ?");
    let query = sqlx::query(&sql).bind(&place.kind).bind(&place.entity_kind).bind(&place.entity_value);
    query.bind(alert_id).execute(&mut **tx).await?;
    settle(tx, place, Stand::Ending).await
}

/// The alert asks for it no longer. What a person said of it is remembered; and that its incident did, unless it is about others.
async fn withdraw(tx: &mut Tx, place: &Place, alert_id: &str, is_another: bool) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM wanted_by WHERE {IS_PLACE} AND alert_id = ? AND NOT let_go AND (? OR EXISTS \
         (SELECT 1 FROM wanted_by AS b JOIN incident_alerts AS a ON a.alert_id = b.alert_id WHERE b.kind = wanted_by.kind \
         AND b.entity_kind = wanted_by.entity_kind AND b.entity_value = wanted_by.entity_value AND b.alert_id <> wanted_by.alert_id \
         AND NOT b.dropped AND a.incident_id = (SELECT incident_id FROM incident_alerts WHERE alert_id = wanted_by.alert_id)))"
    );
    let query = sqlx::query(&sql).bind(&place.kind).bind(&place.entity_kind).bind(&place.entity_value);
    query.bind(alert_id).bind(is_another).execute(&mut **tx).await?;
    settle(tx, place, Stand::Ending).await
}

/// An alert or an incident counts no more: another takes its place, or what is wanted is no longer kept up.
async fn settle(tx: &mut Tx, place: &Place, stand: Stand) -> Result<(), StoreError> {
    let first = async |tx: &mut Tx, which: &str| -> Result<Option<SqliteRow>, StoreError> {
        let sql = format!(
            "SELECT a.alert_id, a.incident_id, a.body, b.approve, b.narrower FROM {CLAIMS} WHERE w.kind = ? AND w.entity_kind = ? \
             AND w.entity_value = ? AND {ASKED} AND {which} ORDER BY b.alert_id LIMIT 1"
        );
        let query = sqlx::query(&sql).bind(&place.kind).bind(&place.entity_kind).bind(&place.entity_value);
        Ok(query.fetch_optional(&mut **tx).await?)
    };
    // Mostly it is the one that is named.
    if first(tx, "a.state <> 'closed' AND b.alert_id = w.alert_id").await?.is_some() {
        return settle_terms(tx, &place.kind, &place.entity_kind, &place.entity_value).await;
    }
    let mut next = first(tx, "a.state <> 'closed'").await?;
    let goes_on = next.is_some();
    if !goes_on && stand == Stand::Lift {
        // What others found as well, and not long before, lasts to its end.
        next = first(tx, "w.state <> 'lift' AND a.updated_us + w.ttl_us > w.attack_us").await?;
    }
    if !goes_on && next.is_none() && stand == Stand::Lift {
        forgive(tx, place).await?;
    }
    if !goes_on {
        let stand = if next.is_some() { Stand::Ending } else { stand };
        let from = if stand == Stand::Ending { "state = 'active'" } else { "state <> 'lift'" };
        let sql = format!("UPDATE wanted SET state = ? WHERE {IS_PLACE} AND {from}");
        let query = sqlx::query(&sql).bind(stand.name()).bind(&place.kind).bind(&place.entity_kind);
        query.bind(&place.entity_value).execute(&mut **tx).await?;
    }
    let Some(next) = next else { return Ok(()) };
    let (alert_id, incident_id, body): (String, String, Vec<u8>) =
        (next.try_get(0)?, next.try_get(1)?, next.try_get(2)?);
    let wrong = |error: serde_json::Error| sqlx::Error::Decode(format!("incident_alerts: {error}").into());
    let alert: Alert = serde_json::from_slice(&body).map_err(wrong)?;
    let Some(row) = book::row(tx, &incident_id).await? else { return Ok(()) };
    let (detector, severity) = (alert.detector.clone(), severity_name(row.severity));
    let change = Change { row, event: None, alert: Some(alert) };
    let sql = format!(
        "UPDATE wanted SET incident_id = ?, alert_id = ?, detector = ?, severity = ?, body = ?, approve = ?, narrower = ? \
         WHERE {IS_PLACE} AND state <> 'lift'"
    );
    let query = sqlx::query(&sql).bind(incident_id).bind(alert_id).bind(detector).bind(severity);
    let query = query.bind(plan::body(&change, Event::Updated, &place.kind));
    let query = query.bind(next.try_get::<bool, _>(3)?).bind(next.try_get::<String, _>(4)?);
    let query = query.bind(&place.kind).bind(&place.entity_kind).bind(&place.entity_value);
    query.execute(&mut **tx).await?;
    settle_terms(tx, &place.kind, &place.entity_kind, &place.entity_value).await
}

fn place(row: &SqliteRow) -> Result<Place, StoreError> {
    Ok(Place {
        kind: row.try_get(0)?,
        entity_kind: row.try_get(1)?,
        entity_value: row.try_get(2)?,
        instead: row.try_get(3)?,
    })
}
