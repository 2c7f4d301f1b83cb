//! The book of incidents: which alert belongs to which, in the state store.
//!
//! Promises: taking in a telling is part of the caller's transaction; a telling that was taken in before changes nothing. One
//! row is read and one written per telling, however many alerts an incident has.
//! Never: decides what is done about it.

use std::time::Duration;

use schemas::alert::{Alert, Entity, Severity, State};
use schemas::incident::{Event, Status, Verdict};
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::keys::{self, Key};
use super::{Change, LISTED_MAX, Row, hushed, micros_of, score};
use crate::respond::action::{Kind, hex_id};
use crate::respond::queue::Tx;
use crate::store::StoreError;

/// How alerts become incidents.
#[derive(Clone, Debug)]
pub struct Rules {
    /// An alert joins an incident that was last told of within this time.
    pub join_within: Duration,
    pub half_life: Duration,
    /// Each update of an alert is a message.
    pub tell_updates: bool,
    /// Some target is chosen by what an alert is about: a part of another alert is told as if it were none.
    pub parts_apart: bool,
}

/// What a telling came to.
#[derive(Debug)]
pub enum Taken {
    /// It was taken in before.
    Known,
    /// A person has said that this entity is not to be told of; why.
    Suppressed(String),
    /// Changed, and how the incident was before, if it was.
    Changed(Box<Change>, Option<Box<Row>>),
}

pub const COLUMNS: &str = "incident_id, revision, status, title, severity, score, score_us, subject_kind, \
    subject_value, opened_us, updated_us, changed_us, quiet_us, alerts, alerts_open, entities, detectors, tenants, owasp, \
    attack, kinds, assignee, verdict, dry_run";

/// Takes in one telling of an alert, whose detector asks for these kinds of action.
pub async fn take(tx: &mut Tx, alert: &Alert, asked: &[Kind], rules: &Rules, now_us: i64) -> Result<Taken, StoreError> {
    let known = sqlx::query("SELECT revision, state, incident_id, body FROM incident_alerts WHERE alert_id = ?");
    let known = known.bind(&alert.id).fetch_optional(&mut **tx).await?;
    let mut owner: Option<String> = None;
    if let Some(row) = &known {
        let (revision, state): (u32, String) = (row.try_get(0)?, row.try_get(1)?);
        if alert.revision < revision || (alert.revision == revision && state == state_name(alert.state)) {
            return Ok(Taken::Known);
        }
        owner = Some(row.try_get(2)?);
    }
    if owner.as_deref() == Some("") || (owner.is_none() && alert.state != State::Closed) {
        if let Some(words) = hushed::why(tx, alert, now_us).await? {
            note_alert(tx, alert, asked, "", now_us).await?;
            return Ok(Taken::Suppressed(words));
        }
        // A suppression that ended in the middle of an alert: from here on it is told.
        owner = owner.filter(|owner| !owner.is_empty());
    }
    let (at_us, keys) = (updated_us(alert, now_us), keys::keys(alert));
    let was_part = match &known {
        Some(row) if alert.part_of.is_none() => is_part(&row.try_get::<Vec<u8>, _>(3)?),
        _ => false,
    };
    let mut found = match &owner {
        Some(owner) => row(tx, owner).await?,
        None => None,
    };
    // What goes on alone when a person has judged what it was a part of was not judged.
    let is_left = was_part && found.as_ref().is_some_and(|row| row.verdict.is_some());
    if is_left && let Some(judged) = &mut found {
        let was_open = known.as_ref().is_some_and(|row| row.try_get(1).is_ok_and(|state: String| state != "closed"));
        leave(tx, judged, was_open).await?;
    }
    let of_lead = if rules.parts_apart { None } else { of_lead(tx, alert).await? };
    let is_new_here = owner.is_none() || is_left;
    if is_new_here {
        found = match &of_lead {
            Some(row) => Some(row.clone()),
            None => find(tx, alert, &keys, at_us, rules).await?,
        };
    }
    let is_part = of_lead.is_some_and(|lead| found.as_ref().is_some_and(|row| row.id == lead.id));
    let was_open = match &known {
        Some(_) if is_left => false,
        Some(row) => row.try_get::<String, _>(1)? != "closed" && !row.try_get::<String, _>(2)?.is_empty(),
        None => false,
    };
    let is_new_alert = is_left
        || known.is_none()
        || known.as_ref().is_some_and(|row| row.try_get::<&str, _>(2).is_ok_and(str::is_empty));
    let before = found.clone().map(Box::new);
    let change = match found {
        None => begin(alert, at_us, now_us),
        Some(row) => join(row, alert, Before { is_new_alert, was_open, was_part, is_part }, rules, at_us, now_us),
    };
    write(tx, &change.row).await?;
    note_alert(tx, alert, asked, &change.row.id, now_us).await?;
    // A part drags nobody else into the incident: who attacks besides has one of their own.
    if !is_part {
        note_keys(tx, &keys, &change.row.id, at_us).await?;
    }
    Ok(Taken::Changed(Box::new(change), before))
}

/// An alert is no longer of the incident that a person has judged: what it asks for it asks for by itself.
async fn leave(tx: &mut Tx, judged: &mut Row, was_open: bool) -> Result<(), StoreError> {
    judged.alerts_open = judged.alerts_open.saturating_sub(u64::from(was_open));
    write(tx, judged).await
}

fn updated_us(alert: &Alert, now_us: i64) -> i64 {
    micros_of(&alert.updated).unwrap_or(now_us)
}

/// The first alert of an incident.
fn begin(alert: &Alert, at_us: i64, now_us: i64) -> Change {
    let open = u64::from(alert.state != State::Closed);
    let subject = keys::parts(alert).into_iter().next().unwrap_or_else(|| alert.entity.clone());
    let mut row = Row {
        id: format!("in-{}", hex_id(&["incident", &alert.id])),
        revision: 0,
        status: Status::Open,
        title: alert.title.clone(),
        severity: alert.severity,
        score: score::with_alert(0.0, alert.severity, false),
        score_us: at_us,
        subject,
        opened_us: micros_of(&alert.opened).unwrap_or(at_us),
        updated_us: at_us,
        changed_us: now_us,
        quiet_us: (open == 0).then_some(now_us),
        alerts: 1,
        alerts_open: open,
        entities: Vec::new(),
        detectors: Vec::new(),
        tenants: Vec::new(),
        owasp: Vec::new(),
        attack: Vec::new(),
        kinds: Vec::new(),
        assignee: None,
        verdict: None,
        dry_run: alert.dry_run,
    };
    list(&mut row, alert);
    Change { row, event: Some(Event::Open), alert: Some(alert.clone()) }
}

/// What was known of an alert before this telling.
struct Before {
    is_new_alert: bool,
    was_open: bool,
    was_part: bool,
    /// It is a part of an alert of the same incident.
    is_part: bool,
}

/// A further telling.
fn join(
    mut row: Row,
    alert: &Alert,
    Before { is_new_alert: is_new, was_open, was_part, is_part }: Before,
    rules: &Rules,
    at_us: i64,
    now_us: i64,
) -> Change {
    let known_detector = row.detectors.contains(&alert.detector);
    let half_life_us = i64::try_from(rules.half_life.as_micros()).unwrap_or(i64::MAX);
    let mut significant = false;
    if is_new {
        row.score = score::decayed(row.score, row.score_us, at_us, half_life_us);
        row.score = score::with_alert(row.score, alert.severity, known_detector);
        row.score_us = row.score_us.max(at_us);
        row.alerts += 1;
        significant |= !known_detector;
    }
    significant &= !is_part;
    if alert.severity > row.severity {
        (row.severity, row.title) = (alert.severity, alert.title.clone());
        significant = true;
    }
    let open = alert.state != State::Closed;
    row.alerts_open = row.alerts_open.saturating_sub(u64::from(was_open)) + u64::from(open);
    row.updated_us = row.updated_us.max(at_us);
    row.changed_us = now_us;
    // What a person has judged stays closed.
    let reopened = open && row.status == Status::Closed && row.verdict.is_none();
    if reopened {
        row.status = if row.assignee.is_some() { Status::Acknowledged } else { Status::Open };
    }
    row.quiet_us = match (row.alerts_open, row.quiet_us) {
        // A person has judged it; it is about to close, whatever comes.
        (_, since) if row.verdict.is_some() => since,
        (0, since) => Some(since.unwrap_or(now_us)),
        _ => None,
    };
    let known = row.entities.len();
    // A part is told with the alert it is a part of; when that is over and it goes on, it is told.
    if !is_part {
        list(&mut row, alert);
    }
    // Whoever joins is worth telling, each once and at most as many as are listed.
    significant |= was_part || (is_new && row.entities[known..].iter().any(keys::is_somebody));
    let event = if reopened {
        Some(Event::Open)
    } else if row.status != Status::Closed && (significant || (alert.state == State::Updated && rules.tell_updates)) {
        Some(Event::Updated)
    } else {
        None
    };
    row.revision += u32::from(event.is_some());
    Change { row, event, alert: Some(alert.clone()) }
}

fn list(row: &mut Row, alert: &Alert) {
    fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
        if list.len() < LISTED_MAX && !list.contains(&item) {
            list.push(item);
        }
    }
    add(&mut row.detectors, alert.detector.clone());
    alert.owasp.iter().for_each(|label| add(&mut row.owasp, label.clone()));
    alert.attack.iter().for_each(|label| add(&mut row.attack, label.clone()));
    for part in keys::parts(alert) {
        if part.kind == "tenant" {
            add(&mut row.tenants, part.value.clone());
        }
        add(&mut row.entities, part);
    }
}

/// The incident of the alert that this one is a part of, if it can be joined.
async fn of_lead(tx: &mut Tx, alert: &Alert) -> Result<Option<Row>, StoreError> {
    let Some(lead) = &alert.part_of else { return Ok(None) };
    let sql = "SELECT incident_id FROM incident_alerts WHERE alert_id = ?";
    let Some(found) = sqlx::query(sql).bind(lead).fetch_optional(&mut **tx).await? else { return Ok(None) };
    // What a person has judged is joined by nothing new, and what is on trial by nothing real.
    let is_open = |row: &Row| row.verdict.is_none() && row.dry_run == alert.dry_run;
    Ok(row(tx, found.try_get(0)?).await?.filter(is_open))
}

/// Whether an alert as it was kept is a part of another.
fn is_part(body: &[u8]) -> bool {
    serde_json::from_slice::<Alert>(body).is_ok_and(|alert| alert.part_of.is_some())
}

/// The incident that an alert belongs to: an open one before a closed one, the oldest before newer ones.
async fn find(tx: &mut Tx, alert: &Alert, keys: &[Key], at_us: i64, rules: &Rules) -> Result<Option<Row>, StoreError> {
    let since_us = at_us.saturating_sub(i64::try_from(rules.join_within.as_micros()).unwrap_or(i64::MAX));
    let mut best: Option<(bool, i64, Row)> = None;
    let sql = format!(
        "SELECT i.n AS place, {COLUMNS} FROM incident_keys AS k JOIN incidents AS i USING (incident_id) \
         WHERE k.kind = ? AND k.value = ? AND k.last_us >= ? AND i.dry_run = ? \
         AND i.verdict IS NULL ORDER BY i.status = 'closed', i.n LIMIT 1"
    );
    for key in keys {
        let query = sqlx::query(&sql).bind(&key.kind).bind(&key.value).bind(since_us).bind(alert.dry_run);
        let Some(found) = query.fetch_optional(&mut **tx).await? else { continue };
        let (place, row) = (found.try_get("place")?, read(&found)?);
        let rank = (row.status == Status::Closed, place);
        if best.as_ref().is_none_or(|(closed, place, _)| rank < (*closed, *place)) {
            best = Some((rank.0, rank.1, row));
        }
    }
    Ok(best.map(|(_, _, row)| row))
}

pub async fn row(tx: &mut Tx, id: &str) -> Result<Option<Row>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM incidents WHERE incident_id = ?");
    let found = sqlx::query(&sql).bind(id).fetch_optional(&mut **tx).await?;
    found.map(|row| read(&row)).transpose()
}

/// Open incidents none of whose alerts has been open since that time.
pub async fn quiet(tx: &mut Tx, since_us: i64, limit: u32) -> Result<Vec<Row>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM incidents WHERE status <> 'closed' AND quiet_us <= ? ORDER BY quiet_us, n LIMIT ?"
    );
    let rows = sqlx::query(&sql).bind(since_us).bind(limit).fetch_all(&mut **tx).await?;
    rows.iter().map(read).collect()
}

/// When the next open incident became quiet.
pub async fn next_quiet(tx: &mut Tx) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT min(quiet_us) FROM incidents WHERE status <> 'closed' AND quiet_us IS NOT NULL";
    Ok(sqlx::query(sql).fetch_one(&mut **tx).await?.try_get(0)?)
}

pub async fn write(tx: &mut Tx, row: &Row) -> Result<(), StoreError> {
    let sql = "INSERT INTO incidents (incident_id, revision, status, title, severity, score, score_us, subject_kind, \
        subject_value, opened_us, updated_us, changed_us, quiet_us, alerts, alerts_open, entities, detectors, tenants, \
        owasp, attack, kinds, assignee, verdict, dry_run) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
        ON CONFLICT (incident_id) DO UPDATE SET revision = excluded.revision, status = excluded.status, \
        title = excluded.title, severity = excluded.severity, score = excluded.score, score_us = excluded.score_us, \
        updated_us = excluded.updated_us, changed_us = excluded.changed_us, quiet_us = excluded.quiet_us, \
        alerts = excluded.alerts, alerts_open = excluded.alerts_open, entities = excluded.entities, \
        detectors = excluded.detectors, tenants = excluded.tenants, owasp = excluded.owasp, attack = excluded.attack, \
        kinds = excluded.kinds, assignee = excluded.assignee, verdict = excluded.verdict";
    sqlx::query(sql)
        .bind(&row.id)
        .bind(row.revision)
        .bind(row.status.name())
        .bind(&row.title)
        .bind(crate::respond::message::severity_name(row.severity))
        .bind(row.score)
        .bind(row.score_us)
        .bind(&row.subject.kind)
        .bind(&row.subject.value)
        .bind(row.opened_us)
        .bind(row.updated_us)
        .bind(row.changed_us)
        .bind(row.quiet_us)
        .bind(i64::try_from(row.alerts).unwrap_or(i64::MAX))
        .bind(i64::try_from(row.alerts_open).unwrap_or(i64::MAX))
        .bind(json(&row.entities))
        .bind(json(&row.detectors))
        .bind(json(&row.tenants))
        .bind(json(&row.owasp))
        .bind(json(&row.attack))
        .bind(json(&row.kinds))
        .bind(&row.assignee)
        .bind(row.verdict.map(Verdict::name))
        .bind(row.dry_run)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(in crate::respond) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("plain data with string keys")
}

async fn note_alert(
    tx: &mut Tx,
    alert: &Alert,
    asked: &[Kind],
    incident_id: &str,
    now_us: i64,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM incident_alerts WHERE alert_id = ?").bind(&alert.id).execute(&mut **tx).await?;
    let sql = "INSERT INTO incident_alerts (alert_id, incident_id, revision, state, detector, severity, \
               entity_kind, entity_value, opened_us, updated_us, changed_us, body, asked) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(sql)
        .bind(&alert.id)
        .bind(incident_id)
        .bind(alert.revision)
        .bind(state_name(alert.state))
        .bind(&alert.detector)
        .bind(crate::respond::message::severity_name(alert.severity))
        .bind(&alert.entity.kind)
        .bind(&alert.entity.value)
        .bind(micros_of(&alert.opened).unwrap_or(now_us))
        .bind(updated_us(alert, now_us))
        .bind(now_us)
        .bind(serde_json::to_vec(alert).expect("an alert is plain data with string keys"))
        .bind(json(&asked))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn note_keys(tx: &mut Tx, keys: &[Key], incident_id: &str, at_us: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO incident_keys (kind, value, incident_id, last_us) VALUES (?, ?, ?, ?) \
               ON CONFLICT (kind, value, incident_id) DO UPDATE SET last_us = excluded.last_us \
               WHERE incident_keys.last_us < excluded.last_us";
    for key in keys {
        let query = sqlx::query(sql).bind(&key.kind).bind(&key.value).bind(incident_id).bind(at_us);
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

pub fn state_name(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Updated => "updated",
        State::Closed => "closed",
    }
}

/// A row of `incidents`, from `COLUMNS`.
pub fn read(row: &SqliteRow) -> Result<Row, StoreError> {
    fn wrong(what: &str, value: &str) -> sqlx::Error {
        sqlx::Error::Decode(format!("incidents: unknown {what} `{value}`").into())
    }
    fn list<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, StoreError> {
        let text: String = row.try_get(column)?;
        Ok(serde_json::from_str(&text).map_err(|_| wrong(column, &text))?)
    }
    let (status, severity): (String, String) = (row.try_get("status")?, row.try_get("severity")?);
    let verdict: Option<String> = row.try_get("verdict")?;
    Ok(Row {
        id: row.try_get("incident_id")?,
        revision: row.try_get("revision")?,
        status: Status::parse(&status).ok_or_else(|| wrong("status", &status))?,
        title: row.try_get("title")?,
        severity: severity_of(&severity).ok_or_else(|| wrong("severity", &severity))?,
        score: row.try_get("score")?,
        score_us: row.try_get("score_us")?,
        subject: Entity { kind: row.try_get("subject_kind")?, value: row.try_get("subject_value")? },
        opened_us: row.try_get("opened_us")?,
        updated_us: row.try_get("updated_us")?,
        changed_us: row.try_get("changed_us")?,
        quiet_us: row.try_get("quiet_us")?,
        alerts: row.try_get::<i64, _>("alerts")?.unsigned_abs(),
        alerts_open: row.try_get::<i64, _>("alerts_open")?.unsigned_abs(),
        entities: list(row, "entities")?,
        detectors: list(row, "detectors")?,
        tenants: list(row, "tenants")?,
        owasp: list(row, "owasp")?,
        attack: list(row, "attack")?,
        kinds: list(row, "kinds")?,
        assignee: row.try_get("assignee")?,
        verdict: verdict.as_deref().and_then(Verdict::parse),
        dry_run: row.try_get("dry_run")?,
    })
}

pub fn severity_of(name: &str) -> Option<Severity> {
    serde_json::from_value(serde_json::Value::from(name)).ok()
}
