//! Desired state: who is to be kept out, at any moment, whatever is in force at the targets.
//!
//! Promises: one row per entity and kind of containment; it is made and ended in the transaction of the telling that asks
//! for it (`wanted/claims.rs` says who asks). The control loop (`control.rs`) makes the targets agree with it.
//! Never: sends anything.

mod claims;

use schemas::alert::{Entity, Severity};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::action::{Action, Kind, Op};
use super::incident::book::severity_of;
use super::message::severity_name;
use super::plan::NO_TARGET;
use super::queue::Tx;
use super::scope::Scope;
use crate::store::StoreError;

pub use claims::{incidents, is_dropped, is_let_go, stand_of_incident, told};

/// Whether something that is wanted is to be kept up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// The attack goes on: renewed before it ends.
    Active,
    /// The attack ended: it lasts to its end.
    Ending,
    /// A person, the kill switch or a changed rail says no: undone.
    Lift,
}

impl Stand {
    pub const ALL: [Stand; 3] = [Stand::Active, Stand::Ending, Stand::Lift];

    pub fn name(self) -> &'static str {
        match self {
            Stand::Active => "active",
            Stand::Ending => "ending",
            Stand::Lift => "lift",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Wanted {
    pub kind: Kind,
    pub entity_kind: String,
    pub entity_value: String,
    pub incident_id: String,
    pub alert_id: String,
    pub detector: String,
    pub stand: Stand,
    pub since_us: i64,
    /// The event time at which the attack was last told.
    pub attack_us: i64,
    pub ttl_us: i64,
    pub approve: bool,
    pub held: Option<String>,
    pub body: Vec<u8>,
    pub dry_run: bool,
    pub severity: Severity,
    /// The principal to whose revocation or throttling this gives way while that is in force (`narrow.rs`).
    pub narrower: Option<String>,
    /// It is wanted in the place of a block that would hit others, not because the policy names it.
    pub instead: bool,
    /// The policy or the detector names this kind; else it is one of several ways.
    pub by_name: bool,
}

impl Wanted {
    /// The alert that asks for it.
    pub fn alert(&self) -> Option<schemas::Alert> {
        serde_json::from_slice::<schemas::Message>(&self.body).ok().and_then(|message| message.alert)
    }

    /// The queue of everything done to this entity in this way, at each target.
    pub fn queue(&self) -> String {
        queue_of(self.kind, &self.entity_kind, &self.entity_value)
    }
}

/// An address in whatever spelling has one queue.
pub fn queue_of(kind: Kind, entity_kind: &str, entity_value: &str) -> String {
    match Scope::of_entity(entity_kind, entity_value) {
        Some(scope) => format!("{}:{scope}", kind.name()),
        None => format!("{}:{entity_kind}:{entity_value}", kind.name()),
    }
}

const ORDER: &str =
    "CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 ELSE 2 END, since_us, narrower <> '', entity_value, kind";
/// No end of its own.
const FOR_EVER: i64 = i64::MAX;
const COLUMNS: &str = "kind, entity_kind, entity_value, incident_id, alert_id, detector, state, since_us, attack_us, \
                       ttl_us, approve, held, body, dry_run, severity, narrower";

/// How often this entity was blocked since then, not counted what keeps it out now.
pub async fn offences(tx: &mut Tx, entity: &Entity, since_us: i64) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM offences WHERE entity = ? AND since_us >= ? AND since_us < coalesce((SELECT since_us \
               FROM wanted WHERE kind = ? AND entity_kind = ? AND entity_value = ? AND state <> 'lift'), ?)";
    let query = sqlx::query_scalar(sql).bind(queue_of(Kind::Block, &entity.kind, &entity.value)).bind(since_us);
    let query = query.bind(Kind::Block.name()).bind(&entity.kind).bind(&entity.value).bind(i64::MAX);
    let count: i64 = query.fetch_one(&mut **tx).await?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The IPv6 addresses and networks that were blocked since then.
pub async fn contained_since(tx: &mut Tx, since_us: i64) -> Result<Vec<Scope>, StoreError> {
    let sql =
        "SELECT DISTINCT entity FROM offences WHERE since_us >= ? AND entity >= ? AND entity < ? AND entity LIKE ?";
    let kind = Kind::Block.name();
    // A semicolon is what comes behind a colon.
    let query = sqlx::query(sql).bind(since_us).bind(format!("{kind}:")).bind(format!("{kind};"));
    let rows = query.bind(format!("{kind}:%:%")).fetch_all(&mut **tx).await?;
    let entity = |row: &SqliteRow| row.try_get::<String, _>(0);
    let entities = rows.iter().map(entity).collect::<Result<Vec<_>, _>>()?;
    let scope = |entity: &String| Scope::parse(entity.split_once(':')?.1);
    Ok(entities.iter().filter_map(scope).collect())
}

/// Asks for it, or goes on asking. True when nobody asked before; what lasts to its end goes on. A dry run takes nothing over from what
/// is really wanted, nor from what a person let go; what gives way to something narrower takes nothing over from what another alert wants outright, and what is
/// wanted because of two principals gives way to neither.
pub async fn want(tx: &mut Tx, wanted: &Wanted) -> Result<bool, StoreError> {
    let sql = "SELECT state FROM wanted WHERE kind = ? AND entity_kind = ? AND entity_value = ?";
    let query = sqlx::query(sql).bind(wanted.kind.name()).bind(&wanted.entity_kind).bind(&wanted.entity_value);
    let before: Option<String> = query.fetch_optional(&mut **tx).await?.map(|row| row.try_get(0)).transpose()?;
    let sql = format!(
        "INSERT INTO wanted ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (kind, entity_kind, entity_value) DO UPDATE SET incident_id = excluded.incident_id, \
         alert_id = excluded.alert_id, detector = excluded.detector, \
         state = excluded.state, \
         attack_us = CASE WHEN excluded.attack_us > wanted.attack_us THEN excluded.attack_us ELSE wanted.attack_us END, ttl_us = CASE wanted.state WHEN 'lift' THEN excluded.ttl_us \
         ELSE wanted.ttl_us END, since_us = CASE wanted.state WHEN 'lift' THEN excluded.since_us ELSE wanted.since_us END, \
         approve = excluded.approve, body = excluded.body, dry_run = excluded.dry_run, severity = excluded.severity, \
         ttl_max_us = CASE wanted.state WHEN 'lift' THEN {FOR_EVER} ELSE wanted.ttl_max_us END, \
         narrower = CASE WHEN excluded.narrower = '' AND wanted.alert_id = excluded.alert_id AND {} THEN wanted.narrower \
         WHEN wanted.state = 'active' AND wanted.narrower <> '' AND wanted.narrower <> excluded.narrower THEN '' \
         ELSE excluded.narrower END \
         WHERE NOT (NOT wanted.dry_run AND excluded.dry_run) \
         AND NOT (excluded.narrower <> '' AND wanted.narrower = '' AND wanted.state = 'active' \
         AND wanted.alert_id <> excluded.alert_id) AND NOT {}",
        claims::names_narrower("excluded.alert_id", wanted.by_name),
        claims::let_go_by("excluded.incident_id")
    );
    sqlx::query(&sql)
        .bind(wanted.kind.name())
        .bind(&wanted.entity_kind)
        .bind(&wanted.entity_value)
        .bind(&wanted.incident_id)
        .bind(&wanted.alert_id)
        .bind(&wanted.detector)
        .bind(wanted.stand.name())
        .bind(wanted.since_us)
        .bind(wanted.attack_us)
        .bind(wanted.ttl_us)
        .bind(wanted.approve)
        .bind(&wanted.held)
        .bind(wanted.body.as_slice())
        .bind(wanted.dry_run)
        .bind(severity_name(wanted.severity))
        .bind(wanted.narrower.as_deref().unwrap_or_default())
        .execute(&mut **tx)
        .await?;
    claims::claim(tx, wanted).await?;
    Ok(!matches!(before.as_deref(), Some("active" | "lift")))
}

/// A target keeps it out as a part of something wider.
pub async fn offend_within(tx: &mut Tx, wanted: &Wanted) -> Result<(), StoreError> {
    let sql = "INSERT INTO offences (entity, since_us) VALUES (?, ?) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(wanted.queue()).bind(wanted.since_us).execute(&mut **tx).await?;
    Ok(())
}

/// A target took it: an offence, one for each time at which somebody became wanted, at however many targets.
pub async fn offend(tx: &mut Tx, action: &Action) -> Result<(), StoreError> {
    let sql = "INSERT INTO offences (entity, since_us) VALUES (?, coalesce((SELECT since_us FROM wanted \
               WHERE kind = ? AND entity_kind = ? AND entity_value = ?), ?)) ON CONFLICT DO NOTHING";
    let query = sqlx::query(sql).bind(&action.queue).bind(action.kind.name()).bind(&action.entity_kind);
    query.bind(&action.entity_value).bind(action.created_us).execute(&mut **tx).await?;
    Ok(())
}

/// The attack was last told then.
pub async fn goes_on(tx: &mut Tx, brief: &Brief, attack_us: i64) -> Result<(), StoreError> {
    let sql = "UPDATE wanted SET attack_us = ?1 WHERE kind = ?2 AND entity_kind = ?3 AND entity_value = ?4 AND attack_us < ?1";
    let query = sqlx::query(sql).bind(attack_us).bind(brief.kind.name());
    query.bind(&brief.entity_kind).bind(&brief.entity_value).execute(&mut **tx).await?;
    Ok(())
}

/// From now on it gives way to what is done to this principal.
pub async fn give_way(tx: &mut Tx, wanted: &Wanted, principal: &str) -> Result<(), StoreError> {
    let sql = "UPDATE wanted SET narrower = ? WHERE kind = ? AND entity_kind = ? AND entity_value = ?";
    let query = sqlx::query(sql).bind(principal).bind(wanted.kind.name());
    query.bind(&wanted.entity_kind).bind(&wanted.entity_value).execute(&mut **tx).await?;
    Ok(())
}

/// It is no longer renewed.
pub async fn end(tx: &mut Tx, kind: Kind, entity_kind: &str, entity_value: &str) -> Result<(), StoreError> {
    let sql = "UPDATE wanted SET state = 'ending' WHERE kind = ? AND entity_kind = ? AND entity_value = ? AND state = 'active'";
    sqlx::query(sql).bind(kind.name()).bind(entity_kind).bind(entity_value).execute(&mut **tx).await?;
    Ok(())
}

/// It lasts no longer than that at a time, until its attack is over.
pub async fn last_at_most(tx: &mut Tx, wanted: &Wanted, ttl_us: i64) -> Result<(), StoreError> {
    let sql = "UPDATE wanted SET ttl_max_us = ?1 WHERE kind = ?2 AND entity_kind = ?3 AND entity_value = ?4 AND ttl_max_us > ?1";
    let query = sqlx::query(sql).bind(ttl_us).bind(wanted.kind.name());
    query.bind(&wanted.entity_kind).bind(&wanted.entity_value).execute(&mut **tx).await?;
    Ok(())
}

/// A person says no: it is undone, and asked for in vain while the incidents of those who asked last.
pub async fn lift(tx: &mut Tx, kind: Kind, entity_kind: &str, entity_value: &str) -> Result<(), StoreError> {
    claims::let_go(tx, kind.name(), entity_kind, entity_value).await?;
    let_in(tx, kind, entity_kind, entity_value).await
}

/// It is undone; whoever asks again is heard.
pub async fn let_in(tx: &mut Tx, kind: Kind, entity_kind: &str, entity_value: &str) -> Result<(), StoreError> {
    let sql = "UPDATE wanted SET state = 'lift' WHERE kind = ? AND entity_kind = ? AND entity_value = ?";
    sqlx::query(sql).bind(kind.name()).bind(entity_kind).bind(entity_value).execute(&mut **tx).await?;
    Ok(())
}

/// It is over; where a person let it go that is remembered for as long as it matters.
pub async fn finish(tx: &mut Tx, wanted: &Wanted) -> Result<(), StoreError> {
    let sql = match claims::is_remembered(tx, wanted).await? {
        true if wanted.stand == Stand::Lift => return Ok(()),
        true => "UPDATE wanted SET state = 'lift' WHERE kind = ? AND entity_kind = ? AND entity_value = ?",
        false => {
            claims::forget(tx, wanted).await?;
            "DELETE FROM wanted WHERE kind = ? AND entity_kind = ? AND entity_value = ?"
        }
    };
    let query = sqlx::query(sql).bind(wanted.kind.name()).bind(&wanted.entity_kind).bind(&wanted.entity_value);
    query.execute(&mut **tx).await?;
    Ok(())
}

/// A row in short: enough to leave it alone.
#[derive(Clone, Debug)]
pub struct Brief {
    pub kind: Kind,
    pub entity_kind: String,
    pub entity_value: String,
    pub stand: Stand,
    pub held: Option<String>,
    pub dry_run: bool,
    pub severity: Severity,
    pub attack_us: i64,
}

impl Brief {
    pub fn queue(&self) -> String {
        queue_of(self.kind, &self.entity_kind, &self.entity_value)
    }
}

/// All that is to be kept up to its end, the worst and the oldest first.
pub async fn kept(tx: &mut Tx) -> Result<Vec<Brief>, StoreError> {
    briefs(tx, "state <> 'lift'").await
}

/// All that is to be undone.
pub async fn lifted(tx: &mut Tx) -> Result<Vec<Brief>, StoreError> {
    briefs(tx, "state = 'lift'").await
}

async fn briefs(tx: &mut Tx, which: &str) -> Result<Vec<Brief>, StoreError> {
    // The words are ours.
    let sql = format!(
        "SELECT kind, entity_kind, entity_value, state, held, dry_run, severity, attack_us FROM wanted WHERE {which} \
         ORDER BY {ORDER}"
    );
    let rows = sqlx::query(&sql).fetch_all(&mut **tx).await?;
    let brief = |row: &SqliteRow| {
        let (kind, stand, severity): (String, String, String) =
            (row.try_get("kind")?, row.try_get("state")?, row.try_get("severity")?);
        Ok(Brief {
            kind: kind_of(&kind)?,
            entity_kind: row.try_get("entity_kind")?,
            entity_value: row.try_get("entity_value")?,
            stand: stand_of(&stand)?,
            held: row.try_get("held")?,
            dry_run: row.try_get("dry_run")?,
            severity: severity_of(&severity).ok_or_else(|| wrong("severity", &severity))?,
            attack_us: row.try_get("attack_us")?,
        })
    };
    rows.iter().map(brief).collect()
}

/// The whole of it, unless it is gone by now.
pub async fn row(tx: &mut Tx, brief: &Brief) -> Result<Option<Wanted>, StoreError> {
    find(tx, brief.kind, &brief.entity_kind, &brief.entity_value).await
}

/// What is wanted of this entity in this way.
pub async fn find(
    tx: &mut Tx,
    kind: Kind,
    entity_kind: &str,
    entity_value: &str,
) -> Result<Option<Wanted>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS}, ttl_max_us FROM wanted WHERE kind = ? AND entity_kind = ? AND entity_value = ?");
    let query = sqlx::query(&sql).bind(kind.name()).bind(entity_kind).bind(entity_value);
    query.fetch_optional(&mut **tx).await?.map(|row| read(&row)).transpose()
}

/// Those that are shown.
pub async fn all(tx: &mut Tx, limit: u32) -> Result<Vec<Wanted>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, ttl_max_us FROM wanted ORDER BY {ORDER} LIMIT ?");
    let rows = sqlx::query(&sql).bind(limit).fetch_all(&mut **tx).await?;
    rows.iter().map(read).collect()
}

pub async fn hold(tx: &mut Tx, wanted: &Wanted, why: Option<&str>) -> Result<(), StoreError> {
    let sql = "UPDATE wanted SET held = ? WHERE kind = ? AND entity_kind = ? AND entity_value = ?";
    let query = sqlx::query(sql).bind(why).bind(wanted.kind.name());
    query.bind(&wanted.entity_kind).bind(&wanted.entity_value).execute(&mut **tx).await?;
    Ok(())
}

fn wrong(what: &str, value: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("wanted: unknown {what} `{value}`").into())
}

fn kind_of(name: &str) -> Result<Kind, sqlx::Error> {
    Kind::parse(name).ok_or_else(|| wrong("kind", name))
}

fn stand_of(name: &str) -> Result<Stand, sqlx::Error> {
    Stand::ALL.into_iter().find(|stand| stand.name() == name).ok_or_else(|| wrong("state", name))
}

fn read(row: &SqliteRow) -> Result<Wanted, StoreError> {
    let (kind, stand): (String, String) = (row.try_get("kind")?, row.try_get("state")?);
    let severity: String = row.try_get("severity")?;
    Ok(Wanted {
        kind: kind_of(&kind)?,
        entity_kind: row.try_get("entity_kind")?,
        entity_value: row.try_get("entity_value")?,
        incident_id: row.try_get("incident_id")?,
        alert_id: row.try_get("alert_id")?,
        detector: row.try_get("detector")?,
        stand: stand_of(&stand)?,
        since_us: row.try_get("since_us")?,
        attack_us: row.try_get("attack_us")?,
        ttl_us: row.try_get::<i64, _>("ttl_us")?.min(row.try_get("ttl_max_us")?),
        approve: row.try_get("approve")?,
        held: row.try_get("held")?,
        body: row.try_get("body")?,
        dry_run: row.try_get("dry_run")?,
        severity: severity_of(&severity).ok_or_else(|| wrong("severity", &severity))?,
        narrower: Some(row.try_get("narrower")?).filter(|principal: &String| !principal.is_empty()),
        instead: false,
        by_name: true,
    })
}

/// The action that puts it in force at a target until then, or undoes another.
pub fn action(wanted: &Wanted, target: &str, nth: i64, op: Op, dry_run: bool, now_us: i64) -> Action {
    let queue = wanted.queue();
    // The time, too: a state store that was lost or restored counts its actions anew. What nobody takes is one.
    let now = if target == NO_TARGET { String::new() } else { now_us.to_string() };
    let nth = nth.to_string();
    Action {
        id: super::action::hex_id(&[op.name(), &queue, target, &wanted.incident_id, &nth, &now]),
        op,
        undoes: None,
        incident_id: wanted.incident_id.clone(),
        alert_id: wanted.alert_id.clone(),
        detector: wanted.detector.clone(),
        entity_kind: wanted.entity_kind.clone(),
        entity_value: wanted.entity_value.clone(),
        target: target.to_owned(),
        kind: wanted.kind,
        queue,
        body: wanted.body.clone(),
        dry_run,
        created_us: now_us,
        about_us: wanted.attack_us,
        expires_us: Some(now_us.saturating_add(wanted.ttl_us)),
        renews: false,
    }
}
