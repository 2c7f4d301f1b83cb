//! What people look at: one thing by the beginning of its id, with everything that belongs to it; who is contained and why
//! somebody is not.
//!
//! Promises: the command line and the HTTP interface show the same, from here; times are RFC 3339. Looking changes nothing.
//! Never: guesses which one was meant; a beginning that several ids have is refused with those.

use std::collections::BTreeMap;

use schemas::Incident;
use schemas::alert::{Alert, Severity};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::desk::{self, DeskError, Note, Shown, WhichActions, WhichAlerts};
use super::rfc3339;
use crate::respond::action::{Kind, Op, StepKind, scrub};
use crate::respond::halt::{self, Halt, Never};
use crate::respond::queue::{LASTS, Queue};
use crate::respond::wanted::{self, Stand, Wanted};
use crate::store::{Store, StoreError};

/// Fewer characters name nothing.
pub const ID_CHARS_MIN: usize = 6;
/// Ids that are named when a beginning fits several.
const CANDIDATES_MAX: usize = 8;
/// Alerts and actions that are shown with an incident; their lists have the others.
const WITH_INCIDENT_MAX: u32 = 200;
/// Lines of the list of who is contained.
const CONTAINED_MAX: u32 = 10_000;
const PERHAPS: &str = "perhaps in force";
/// Of those whom nobody wants out any more, as far as is known here.
const ADOPTED: &str = "adopted";
const INCIDENT_PREFIX: &str = "in-";

/// What has an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Incident,
    Alert,
    Action,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Incident => "incident",
            What::Alert => "alert",
            What::Action => "action",
        }
    }

    fn place(self) -> (&'static str, &'static str) {
        match self {
            What::Incident => ("incidents", "incident_id"),
            What::Alert => ("incident_alerts", "alert_id"),
            What::Action => ("outbox", "action_id"),
        }
    }
}

/// The whole id that is meant by its beginning. An incident's may be given without `in-`.
pub async fn id(store: &Store, what: What, text: &str) -> Result<String, DeskError> {
    let (table, column) = what.place();
    let shown = scrub(text);
    // The names are ours.
    let sql = format!("SELECT {column} FROM {table} WHERE {column} = ?");
    if sqlx::query(&sql).bind(text).fetch_optional(store.pool()).await?.is_some() {
        return Ok(text.to_owned());
    }
    let begin = match what {
        What::Incident if !text.starts_with(INCIDENT_PREFIX) => format!("{INCIDENT_PREFIX}{text}"),
        _ => text.to_owned(),
    };
    if begin.trim_start_matches(INCIDENT_PREFIX).chars().count() < ID_CHARS_MIN {
        return Err(DeskError::Short(shown));
    }
    let sql =
        format!("SELECT {column} FROM {table} WHERE {column} >= ?1 AND substr({column}, 1, length(?1)) = ?1 LIMIT ?2");
    let limit = i64::try_from(CANDIDATES_MAX).unwrap_or(i64::MAX);
    let rows = sqlx::query(&sql).bind(&begin).bind(limit).fetch_all(store.pool()).await?;
    let mut found: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    match found.len() {
        0 => Err(DeskError::NoSuch { what: what.name(), id: shown }),
        1 => Ok(found.remove(0)),
        _ => Err(DeskError::Several { what: what.name(), id: shown, candidates: found.join(", ") }),
    }
}

/// An incident with what belongs to it.
#[derive(Clone, Debug, Serialize)]
pub struct IncidentFile {
    pub incident: Incident,
    pub alerts: Vec<Alert>,
    pub notes: Vec<Note>,
    pub actions: Vec<Shown>,
}

pub async fn incident(store: &Store, id: &str) -> Result<IncidentFile, DeskError> {
    let id = self::id(store, What::Incident, id).await?;
    let row = desk::incident(store, &id).await?;
    let which = WhichAlerts { incident: Some(id.clone()), limit: WITH_INCIDENT_MAX, ..WhichAlerts::default() };
    let alerts = desk::alerts(store, &which).await?.into_iter().map(|(alert, _)| alert).collect();
    let which = WhichActions { incident: Some(id.clone()), limit: WITH_INCIDENT_MAX, ..WhichActions::default() };
    let actions = desk::actions(store, &which).await?;
    Ok(IncidentFile { incident: row.show(), alerts, notes: desk::notes(store, &id).await?, actions })
}

/// An alert, and whose it is.
#[derive(Clone, Debug, Serialize)]
pub struct AlertFile {
    pub alert: Alert,
    /// None where a suppression held it back.
    pub incident_id: Option<String>,
}

impl AlertFile {
    fn of((alert, incident_id): (Alert, String)) -> AlertFile {
        AlertFile { alert, incident_id: Some(incident_id).filter(|id| !id.is_empty()) }
    }
}

pub async fn alert(store: &Store, id: &str) -> Result<AlertFile, DeskError> {
    let id = self::id(store, What::Alert, id).await?;
    let found = desk::alert(store, &id).await?;
    found.map(AlertFile::of).ok_or(DeskError::NoSuch { what: What::Alert.name(), id })
}

pub async fn alerts(store: &Store, which: &WhichAlerts) -> Result<Vec<AlertFile>, DeskError> {
    Ok(desk::alerts(store, which).await?.into_iter().map(AlertFile::of).collect())
}

/// An action with its whole history.
#[derive(Clone, Debug, Serialize)]
pub struct ActionFile {
    pub action: Shown,
    pub steps: Vec<Moment>,
    /// Where a person can agree to it, where it waits for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approve: Option<String>,
}

/// A step of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    pub time: String,
    pub step: String,
    pub detail: String,
    pub answer: String,
}

impl ActionFile {
    /// Why a person has to agree.
    pub fn why_asked(&self) -> &str {
        let asked = |moment: &&Moment| moment.step == StepKind::Awaiting.name();
        self.steps.iter().rfind(asked).map_or("", |moment| &moment.detail)
    }
}

pub async fn action(store: &Store, id: &str) -> Result<ActionFile, DeskError> {
    let id = self::id(store, What::Action, id).await?;
    let found = Queue::new(store.clone()).entry(&id).await?;
    let (entry, state) = found.ok_or_else(|| DeskError::NoSuch { what: What::Action.name(), id: id.clone() })?;
    let sql = "SELECT time_us, step, detail, answer FROM action_steps WHERE action_id = ? ORDER BY seq";
    let rows = sqlx::query(sql).bind(&id).fetch_all(store.pool()).await?;
    let moment = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Moment {
            time: rfc3339(row.try_get(0)?),
            step: row.try_get(1)?,
            detail: row.try_get(2)?,
            answer: row.try_get(3)?,
        })
    };
    let steps = rows.iter().map(moment).collect::<Result<_, sqlx::Error>>()?;
    Ok(ActionFile { action: Shown::of(&entry, state), steps, approve: None })
}

/// Somebody who is to be kept out, or is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Contained {
    pub kind: &'static str,
    pub entity_kind: String,
    pub entity_value: String,
    pub incident_id: String,
    pub detector: String,
    /// None where nobody wants it out, as far as is known here.
    pub severity: Option<Severity>,
    /// `active`: renewed; `ending`: lasts to its end; `lift`: being undone; `adopted`: found at the target with our mark, lasts to
    /// its end.
    pub wanted: &'static str,
    pub since: String,
    pub in_force: Vec<InForce>,
    /// Why it is not in force, where it is not.
    pub why_not: Option<String>,
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InForce {
    pub target: String,
    pub action_id: String,
    pub until: String,
}

/// Who is wanted out, where that is in force, and if it is not, why.
pub async fn contained(store: &Store, now_us: i64) -> Result<Vec<Contained>, StoreError> {
    // Reads alone: it does not take the right to write.
    let mut tx = store.pool().begin().await?;
    let all = wanted::all(&mut tx, CONTAINED_MAX).await?;
    // By queue: whom it keeps out, as far as the actions know, where, and whether that is being undone.
    let mut in_force: BTreeMap<String, (Contained, Vec<InForce>)> = BTreeMap::new();
    let sql = format!(
        "SELECT o.queue, b.target, b.action_id, b.expires_us, o.kind, o.entity_kind, o.entity_value, o.created_us, {LASTS} \
         FROM blocks AS b JOIN outbox AS o USING (action_id) ORDER BY b.target"
    );
    for row in sqlx::query(&sql).fetch_all(&mut *tx).await? {
        let force = InForce { target: row.try_get(1)?, action_id: row.try_get(2)?, until: rfc3339(row.try_get(3)?) };
        let (adopted, forces) = in_force.entry(row.try_get(0)?).or_default();
        *adopted = unwanted(&row, 4, ADOPTED)?;
        if row.try_get(8)? {
            forces.push(force);
        }
    }
    // With it whether it says that somebody may be kept out all the same.
    let mut waiting: BTreeMap<String, (Contained, String, bool)> = BTreeMap::new();
    let sql = "SELECT queue, action_id, target, state, kind, entity_kind, entity_value, created_us, op, attempts FROM outbox \
               WHERE urgency = 0 AND (state IN ('pending', 'awaiting', 'parked') OR (state = 'dry_run' AND expires_us > ?)) \
               ORDER BY n";
    for row in sqlx::query(sql).bind(now_us).fetch_all(&mut *tx).await? {
        let (id, target, state): (String, String, String) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let is_undoing = row.try_get::<&str, _>(8)? == Op::Revert.name();
        let words = match state.as_str() {
            "parked" if is_undoing => format!("could not be undone at {target}, is tried again: action {id}"),
            _ if is_undoing => format!("being undone at {target}: action {id}"),
            "awaiting" => format!("a person has to agree: action {id}"),
            "parked" => format!("given up on at {target}: action {id}"),
            "pending" if row.try_get::<i64, _>(9)? > 0 => {
                format!("{PERHAPS} at {target}, no attempt was answered yet: action {id}")
            }
            "pending" => format!("being sent to {target}: action {id}"),
            _ => format!("dry run at {target}"),
        };
        let stand = if is_undoing { Stand::Lift.name() } else { ADOPTED };
        let may_be_out = is_undoing || words.starts_with(PERHAPS);
        waiting.insert(row.try_get(0)?, (unwanted(&row, 4, stand)?, words, may_be_out));
    }
    tx.commit().await?;
    let halted = halt(store, now_us).await?.map(|it| format!("halted by {}: {}", it.actor, it.reason));
    let mut show = |wanted: Wanted| {
        let queue = wanted.queue();
        let in_force = in_force.remove(&queue).map(|(_, in_force)| in_force).unwrap_or_default();
        let why_not = match in_force.is_empty() {
            true => {
                // Halted, nothing else matters but what may be in force all the same.
                let waits = waiting.remove(&queue);
                let waits = waits.filter(|(.., may_be_out)| halted.is_none() || *may_be_out).map(|(_, why, _)| why);
                let whys: Vec<String> = halted.iter().cloned().chain(waits).collect();
                Some(whys.join("; ")).filter(|why| !why.is_empty()).or_else(|| wanted.held.clone())
            }
            false => None,
        };
        Contained {
            kind: wanted.kind.name(),
            entity_kind: wanted.entity_kind,
            entity_value: wanted.entity_value,
            incident_id: wanted.incident_id,
            detector: wanted.detector,
            severity: Some(wanted.severity),
            wanted: wanted.stand.name(),
            since: rfc3339(wanted.since_us),
            in_force,
            why_not,
            dry_run: wanted.dry_run,
        }
    };
    let mut contained: Vec<Contained> = all.into_iter().map(&mut show).collect();
    // Whom nobody wants out any more, and who is, or may be.
    for (queue, (adopted, in_force)) in in_force {
        let why_not = waiting.remove(&queue).map(|(_, words, _)| words).filter(|_| in_force.is_empty());
        contained.push(Contained { in_force, why_not, ..adopted });
    }
    let undone = waiting.into_values().filter(|(it, ..)| it.wanted == Stand::Lift.name());
    contained.extend(undone.map(|(it, words, _)| Contained { why_not: Some(words), ..it }));
    Ok(contained)
}

/// Somebody of whom no row says that he is to be kept out: by the kind in this column and what follows it.
fn unwanted(row: &SqliteRow, at: usize, stand: &'static str) -> Result<Contained, sqlx::Error> {
    let kind: String = row.try_get(at)?;
    Ok(Contained {
        kind: Kind::parse(&kind).map_or("", Kind::name),
        entity_kind: row.try_get(at + 1)?,
        entity_value: row.try_get(at + 2)?,
        since: rfc3339(row.try_get(at + 3)?),
        wanted: stand,
        ..Contained::default()
    })
}

/// The kill switch as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct HaltShown {
    pub actor: String,
    pub reason: String,
    pub since: String,
    pub lift: bool,
}

pub async fn halt(store: &Store, now_us: i64) -> Result<Option<HaltShown>, StoreError> {
    let show = |Halt { actor, reason, since_us, lift }| HaltShown { actor, reason, since: rfc3339(since_us), lift };
    Ok(halt::read(store, now_us).await?.halt.map(show))
}

/// A suppression as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct SuppressionShown {
    pub n: i64,
    pub entity_kind: String,
    pub entity_value: String,
    /// A pattern; none: any.
    pub detector: Option<String>,
    pub owner: String,
    pub reason: String,
    pub created: String,
    pub expires: String,
}

pub async fn suppressions(store: &Store, now_us: i64) -> Result<Vec<SuppressionShown>, StoreError> {
    let show = |it: desk::Suppression| SuppressionShown {
        n: it.n,
        entity_kind: it.entity_kind,
        entity_value: it.entity_value,
        detector: it.detector,
        owner: it.owner,
        reason: it.reason,
        created: rfc3339(it.created_us),
        expires: rfc3339(it.expires_us),
    };
    Ok(desk::suppressions(store, now_us).await?.into_iter().map(show).collect())
}

/// An entry of the never-block list as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct NeverShown {
    pub entity: String,
    pub owner: String,
    pub reason: String,
    pub created: String,
    /// None: until it is removed.
    pub expires: Option<String>,
}

/// Those in force.
pub async fn never_block(store: &Store, now_us: i64) -> Result<Vec<NeverShown>, StoreError> {
    let show = |it: Never| NeverShown {
        entity: it.entity,
        owner: it.owner,
        reason: it.reason,
        created: rfc3339(it.created_us),
        expires: it.expires_us.map(rfc3339),
    };
    let in_force = |it: &Never| it.expires_us.is_none_or(|until| until > now_us);
    Ok(halt::protected(store).await?.into_iter().filter(in_force).map(show).collect())
}
