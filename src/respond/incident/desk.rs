//! What people do: take, comment, judge and close incidents; agree to, take back, retry and cancel actions; suppress.
//!
//! Promises: each is one transaction in the state store, with who did it; the running service sees it within a moment, so
//! the verbs of the command line and the HTTP interface are the same calls.
//! Never: speaks to a target.

use schemas::alert::Alert;
use schemas::incident::{Status, Verdict};
use serde_json::json;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

pub use super::revert::revert;
use super::{Row, book, look};
pub use crate::audit::in_the_name_of;
use crate::audit::{self, Fact, What};
use crate::respond::Outbox;
use crate::respond::action::{ANSWER_CHARS_MAX, Action, State, StepKind, scrub};
use crate::respond::halt::{self, Never};
use crate::respond::queue::{Entry, NewStep, Queue};
use crate::respond::release::Released;
use crate::respond::replan;
use crate::respond::scope::{ADDRESS, NETWORK, Scope};
use crate::respond::wanted::{self, Stand};
use crate::store::{Store, StoreError};

#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("no {what} has the id {id}")]
    NoSuch { what: &'static str, id: String },
    #[error("{0:?} is too short for the beginning of an id; expected at least {min} characters", min = look::ID_CHARS_MIN)]
    Short(String),
    #[error("{id} begins the ids of several {what}s; expected more of one of these: {candidates}")]
    Several { what: &'static str, id: String, candidates: String },
    #[error("{what}: {problem}")]
    Words { what: &'static str, problem: String },
    #[error("action {id} is {state}; {expected}")]
    State { id: String, state: &'static str, expected: &'static str },
    #[error("incident {id} is closed already, with this verdict: {verdict}")]
    Closed { id: String, verdict: &'static str },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for DeskError {
    fn from(error: sqlx::Error) -> DeskError {
        DeskError::Store(error.into())
    }
}

fn no_incident(id: &str) -> DeskError {
    DeskError::NoSuch { what: "incident", id: id.to_owned() }
}

pub(super) fn no_action(id: &str) -> DeskError {
    DeskError::NoSuch { what: "action", id: id.to_owned() }
}

/// Parked actions that are put back at once.
const RETRIED_MAX: u32 = 10_000;
/// No suppression lasts longer: one that is for ever is a change of the detector's `where`.
const SUPPRESSED_MAX_US: i64 = 365 * 86_400_000_000;
const NAME_CHARS_MAX: usize = 64;
const VALUE_CHARS_MAX: usize = 256;

/// What a person wrote, made one line; refused when it is empty or longer than is kept.
pub fn words(what: &'static str, text: &str) -> Result<String, DeskError> {
    at_most(what, text, ANSWER_CHARS_MAX)
}

/// Names under which the system itself acts.
const RESERVED: [&str; 3] = [audit::SELF, "link", "system"];

/// Who does it, as they say. Nobody goes by a name of the system.
pub fn actor(name: &str) -> Result<String, DeskError> {
    let name = at_most("the actor", name, NAME_CHARS_MAX)?;
    if is_reserved(&name) {
        let problem = format!("{name:?} is the system itself; expected the name of a person or a program");
        return Err(DeskError::Words { what: "the actor", problem });
    }
    Ok(name)
}

pub fn is_reserved(name: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

fn at_most(what: &'static str, text: &str, chars_max: usize) -> Result<String, DeskError> {
    let chars = text.trim().chars().count();
    let clean = scrub(text);
    match () {
        () if clean.is_empty() => Err(DeskError::Words { what, problem: "is empty; expected some words".to_owned() }),
        () if chars > chars_max => {
            Err(DeskError::Words { what, problem: format!("{chars} characters; expected at most {chars_max}") })
        }
        () => Ok(clean),
    }
}

/// Which incidents are listed.
#[derive(Clone, Debug, Default)]
pub struct Which {
    pub status: Option<Status>,
    /// Those that name this entity.
    pub entity: Option<String>,
    pub limit: u32,
}

/// What somebody did or said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    pub time: String,
    pub actor: String,
    pub what: String,
    pub text: String,
}

/// An action as it is shown.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Shown {
    pub id: String,
    pub op: &'static str,
    pub kind: &'static str,
    pub target: String,
    pub state: &'static str,
    pub entity_kind: String,
    pub entity_value: String,
    pub incident_id: String,
    pub detector: String,
    pub attempts: u32,
    pub created: String,
    /// When it ends; none while it waits for a person.
    pub expires: Option<String>,
    /// While it waits for a person: how many seconds it lasts from when they agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts_seconds: Option<i64>,
    pub dry_run: bool,
}

impl Shown {
    pub fn of(entry: &Entry, state: State) -> Shown {
        let Action { id, op, kind, target, entity_kind, entity_value, incident_id, detector, dry_run, .. } =
            &entry.action;
        let lasts_us = entry.action.expires_us.map(|ends| ends.saturating_sub(entry.action.created_us));
        Shown {
            id: id.clone(),
            op: op.name(),
            kind: kind.name(),
            target: target.clone(),
            state: state.name(),
            entity_kind: entity_kind.clone(),
            entity_value: entity_value.clone(),
            incident_id: incident_id.clone(),
            detector: detector.clone(),
            attempts: entry.attempts,
            created: super::rfc3339(entry.action.created_us),
            expires: entry.action.expires_us.filter(|_| state != State::Awaiting).map(super::rfc3339),
            lasts_seconds: lasts_us.filter(|_| state == State::Awaiting).map(|us| us / 1_000_000),
            dry_run: *dry_run,
        }
    }
}

/// Incidents, the newest first.
pub async fn incidents(store: &Store, which: &Which) -> Result<Vec<Row>, StoreError> {
    let columns = book::COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM incidents AS i WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR EXISTS \
         (SELECT 1 FROM incident_alerts AS a WHERE a.incident_id = i.incident_id AND a.entity_value = ?2)) \
         ORDER BY updated_us DESC, n DESC LIMIT ?3"
    );
    let query = sqlx::query(&sql).bind(which.status.map(Status::name)).bind(&which.entity).bind(which.limit);
    query.fetch_all(store.pool()).await?.iter().map(book::read).collect()
}

pub async fn incident(store: &Store, id: &str) -> Result<Row, DeskError> {
    let sql = format!("SELECT {} FROM incidents WHERE incident_id = ?", book::COLUMNS);
    let row = sqlx::query(&sql).bind(id).fetch_optional(store.pool()).await?;
    Ok(book::read(&row.ok_or_else(|| no_incident(id))?)?)
}

/// Which alerts are listed.
#[derive(Clone, Debug, Default)]
pub struct WhichAlerts {
    pub incident: Option<String>,
    /// Those about this entity.
    pub entity: Option<String>,
    pub detector: Option<String>,
    /// Those alone that were not told to be closed.
    pub open: bool,
    pub limit: u32,
}

/// Alerts with the ids of their incidents, the newest first.
pub async fn alerts(store: &Store, which: &WhichAlerts) -> Result<Vec<(Alert, String)>, StoreError> {
    let sql = "SELECT body, incident_id FROM incident_alerts WHERE (?1 IS NULL OR incident_id = ?1) \
               AND (?2 IS NULL OR entity_value = ?2) AND (?3 IS NULL OR detector = ?3) AND (NOT ?5 OR state <> 'closed') \
               ORDER BY changed_us DESC, opened_us DESC LIMIT ?4";
    let query = sqlx::query(sql).bind(&which.incident).bind(&which.entity).bind(&which.detector).bind(which.limit);
    let rows = query.bind(which.open).fetch_all(store.pool()).await?;
    let alert = |row: &SqliteRow| {
        let body: Vec<u8> = row.try_get(0)?;
        let wrong = |error: serde_json::Error| sqlx::Error::Decode(format!("incident_alerts: {error}").into());
        Ok((serde_json::from_slice(&body).map_err(wrong)?, row.try_get(1)?))
    };
    rows.iter().map(alert).collect()
}

pub async fn alert(store: &Store, id: &str) -> Result<Option<(Alert, String)>, StoreError> {
    let sql = "SELECT body, incident_id FROM incident_alerts WHERE alert_id = ?";
    let Some(row) = sqlx::query(sql).bind(id).fetch_optional(store.pool()).await? else { return Ok(None) };
    let body: Vec<u8> = row.try_get(0)?;
    let wrong = |error: serde_json::Error| sqlx::Error::Decode(format!("incident_alerts: {error}").into());
    Ok(Some((serde_json::from_slice(&body).map_err(wrong)?, row.try_get(1)?)))
}

/// What people did with an incident, in order.
pub async fn notes(store: &Store, incident: &str) -> Result<Vec<Note>, StoreError> {
    let sql = "SELECT time_us, actor, what, text FROM incident_notes WHERE incident_id = ? ORDER BY n";
    let rows = sqlx::query(sql).bind(incident).fetch_all(store.pool()).await?;
    let note = |row: &SqliteRow| {
        let time_us: i64 = row.try_get(0)?;
        Ok(Note { time: super::rfc3339(time_us), actor: row.try_get(1)?, what: row.try_get(2)?, text: row.try_get(3)? })
    };
    rows.iter().map(note).collect()
}

/// What is to become of an incident.
#[derive(Clone, Debug)]
pub enum Deed {
    Comment(String),
    /// Takes it, for oneself or somebody else.
    Assign(String),
    /// Judges it and closes it, or corrects the verdict. What it contains is undone unless the verdict is `true`.
    Close(Verdict, String),
}

/// Does it, in `actor`'s name.
pub async fn act(store: &Store, id: &str, deed: &Deed, actor: &str, now_us: i64) -> Result<Row, DeskError> {
    let mut tx = store.begin().await?;
    let mut row = book::row(&mut tx, id).await?.ok_or_else(|| no_incident(id))?;
    let (what, text) = match deed {
        Deed::Comment(text) => ("comment", text.clone()),
        Deed::Assign(to) => {
            row.assignee = Some(to.clone());
            if row.status == Status::Open {
                row.status = Status::Acknowledged;
            }
            ("assign", to.clone())
        }
        Deed::Close(verdict, why) => {
            if row.status == Status::Closed && row.verdict == Some(*verdict) {
                return Err(DeskError::Closed { id: id.to_owned(), verdict: verdict.name() });
            }
            // What is corrected is told, too.
            if row.verdict.is_some() && row.status == Status::Closed {
                row.status = if row.assignee.is_some() { Status::Acknowledged } else { Status::Open };
            }
            row.verdict = Some(*verdict);
            // The service tells of it and closes it in its next look; who is contained follows at once.
            row.quiet_us = Some(i64::MIN / 4);
            // It is asked who of its alerts counts now.
            book::write(&mut tx, &row).await?;
            let stand = if *verdict == Verdict::True { Stand::Ending } else { Stand::Lift };
            if !row.goes_on_though_judged() {
                wanted::stand_of_incident(&mut tx, id, stand).await?;
            } else {
                replan::owe_incident(&mut tx, id).await?;
            }
            ("close", format!("{}: {why}", verdict.name()))
        }
    };
    row.changed_us = now_us;
    book::write(&mut tx, &row).await?;
    let sql = "INSERT INTO incident_notes (incident_id, time_us, actor, what, text) VALUES (?, ?, ?, ?, ?)";
    let text = scrub(&text);
    sqlx::query(sql).bind(id).bind(now_us).bind(actor).bind(what).bind(&text).execute(&mut *tx).await?;
    let fact = Fact::new(What::Incident, actor, id, json!({ "did": what, "text": text }));
    audit::pend(&mut tx, now_us, &fact).await?;
    tx.commit().await?;
    Ok(row)
}

/// A time in which an entity's alerts become no incident.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Suppression {
    pub n: i64,
    /// A pattern; none: any detector.
    pub detector: Option<String>,
    pub entity_kind: String,
    pub entity_value: String,
    pub owner: String,
    pub reason: String,
    pub created_us: i64,
    pub expires_us: i64,
}

impl Suppression {
    /// One that begins now, checked.
    pub fn new(
        (kind, value): (&str, &str),
        detector: Option<&str>,
        reason: &str,
        length_us: i64,
        owner: &str,
        now_us: i64,
    ) -> Result<Suppression, DeskError> {
        let wrong = |what, problem: &str| DeskError::Words { what, problem: problem.to_owned() };
        let shaped = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if kind.is_empty() || kind.len() > NAME_CHARS_MAX || !kind.chars().all(shaped) {
            return Err(wrong(
                "the kind of entity",
                "expected one such as client_ip, principal, credential or endpoint",
            ));
        }
        // Alerts have the plain spelling of an address.
        let value = match Scope::of_entity(kind, value.trim()) {
            // An IPv6 client is told of as its network.
            Some(scope) if kind == ADDRESS && !scope.is_v4() && scope.is_address() => {
                Scope::around(scope.net().addr(), 64).map_or_else(|| scope.to_string(), |network| network.to_string())
            }
            Some(scope) if scope.is_address() => scope.net().addr().to_string(),
            Some(scope) => scope.to_string(),
            None if kind == ADDRESS => return Err(wrong("the address", "expected one such as 203.0.113.7")),
            None if kind == NETWORK => return Err(wrong("the network", "expected one such as 203.0.113.0/24")),
            None => at_most("the entity", value, VALUE_CHARS_MAX)?,
        };
        if length_us <= 0 || length_us > SUPPRESSED_MAX_US {
            return Err(wrong("the length", "expected more than nothing and at most 365d"));
        }
        Ok(Suppression {
            n: 0,
            detector: detector.map(|pattern| at_most("the detector", pattern, NAME_CHARS_MAX)).transpose()?,
            entity_kind: kind.to_owned(),
            entity_value: value,
            owner: actor(owner)?,
            reason: words("the reason", reason)?,
            created_us: now_us,
            expires_us: now_us.saturating_add(length_us),
        })
    }
}

pub async fn suppress(store: &Store, suppression: &Suppression) -> Result<i64, StoreError> {
    let mut tx = store.begin().await?;
    let sql = "INSERT INTO suppressions (detector, entity_kind, entity_value, owner, reason, created_us, expires_us) \
               VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING n";
    let n: i64 = sqlx::query_scalar(sql)
        .bind(&suppression.detector)
        .bind(&suppression.entity_kind)
        .bind(&suppression.entity_value)
        .bind(&suppression.owner)
        .bind(&suppression.reason)
        .bind(suppression.created_us)
        .bind(suppression.expires_us)
        .fetch_one(&mut *tx)
        .await?;
    let Suppression { detector, entity_kind, entity_value, owner, reason, created_us, expires_us, .. } = suppression;
    let detail = json!({
        "added": true, "detector": detector, "entity_kind": entity_kind, "entity_value": entity_value, "reason": reason,
        "until": super::rfc3339(*expires_us),
    });
    let fact = Fact::new(What::Suppression, owner, &n.to_string(), detail);
    audit::pend(&mut tx, *created_us, &fact).await?;
    tx.commit().await?;
    Ok(n)
}

/// Suppressions in force, the newest first.
pub async fn suppressions(store: &Store, now_us: i64) -> Result<Vec<Suppression>, StoreError> {
    let sql = "SELECT n, detector, entity_kind, entity_value, owner, reason, created_us, expires_us FROM suppressions \
               WHERE expires_us > ? ORDER BY n DESC";
    let rows = sqlx::query(sql).bind(now_us).fetch_all(store.pool()).await?;
    let read = |row: &SqliteRow| {
        Ok(Suppression {
            n: row.try_get(0)?,
            detector: row.try_get(1)?,
            entity_kind: row.try_get(2)?,
            entity_value: row.try_get(3)?,
            owner: row.try_get(4)?,
            reason: row.try_get(5)?,
            created_us: row.try_get(6)?,
            expires_us: row.try_get(7)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Ends a suppression now; false when there is none of that number in force.
pub async fn unsuppress(store: &Store, n: i64, actor: &str, now_us: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let sql = "UPDATE suppressions SET expires_us = ? WHERE n = ? AND expires_us > ?";
    let changed = sqlx::query(sql).bind(now_us).bind(n).bind(now_us).execute(&mut *tx).await?.rows_affected();
    if changed > 0 {
        let fact = Fact::new(What::Suppression, actor, &n.to_string(), json!({ "added": false }));
        audit::pend(&mut tx, now_us, &fact).await?;
    }
    tx.commit().await?;
    Ok(changed > 0)
}

/// Which actions are listed.
#[derive(Clone, Debug, Default)]
pub struct WhichActions {
    pub state: Option<State>,
    pub target: Option<String>,
    pub incident: Option<String>,
    pub limit: u32,
}

/// Actions, the newest first.
pub async fn actions(store: &Store, which: &WhichActions) -> Result<Vec<Shown>, StoreError> {
    let found = Queue::new(store.clone()).list(which).await?;
    Ok(found.iter().map(|(entry, state)| Shown::of(entry, *state)).collect())
}

async fn found(store: &Store, id: &str) -> Result<(Entry, State), DeskError> {
    Queue::new(store.clone()).entry(id).await?.ok_or_else(|| no_action(id))
}

/// Puts a parked action back into the queue.
pub async fn retry(store: &Store, id: &str, actor: &str, now_us: i64) -> Result<(), DeskError> {
    let (entry, state) = found(store, id).await?;
    if state != State::Parked {
        return Err(DeskError::State {
            id: id.to_owned(),
            state: state.name(),
            expected: "only a parked one is tried again",
        });
    }
    let refused = |state: State, expected| Err(DeskError::State { id: id.to_owned(), state: state.name(), expected });
    match Queue::new(store.clone()).release(&entry, now_us, actor).await? {
        Released::Queued => Ok(()),
        Released::Over => refused(State::Cancelled, "its end was told since, and sending it now would open it again"),
        Released::Not => refused(found(store, id).await?.1, "only a parked one is tried again"),
    }
}

/// The targets that any action was ever for, as far as is remembered.
pub async fn targets(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut targets: Vec<String> =
        Queue::new(store.clone()).counts().await?.into_iter().map(|count| count.target).collect();
    targets.dedup();
    Ok(targets)
}

/// Puts every parked action back into the queue, or those of one target; their ids. What is over by now is cancelled.
pub async fn retry_all(
    store: &Store,
    target: Option<&str>,
    actor: &str,
    now_us: i64,
) -> Result<Vec<String>, StoreError> {
    let queue = Queue::new(store.clone());
    let mut ids = Vec::new();
    for entry in queue.parked(target, RETRIED_MAX).await? {
        if queue.release(&entry, now_us, actor).await? == Released::Queued {
            ids.push(entry.action.id);
        }
    }
    Ok(ids)
}

/// Agrees to an action; false when it does not wait for that. What it does lasts from now on for as long as was planned.
pub async fn approve(store: &Store, id: &str, actor: &str, now_us: i64) -> Result<bool, StoreError> {
    let queue = Queue::new(store.clone());
    let Some((mut entry, State::Awaiting)) = queue.entry(id).await? else { return Ok(false) };
    let mut tx = queue.begin().await?;
    // The time that it is to last begins now, and whoever agrees says that the news is still good.
    let lasts_us = entry.action.expires_us.map(|ends| ends.saturating_sub(entry.action.created_us));
    entry.action.expires_us = lasts_us.map(|lasts| now_us.saturating_add(lasts));
    entry.action.about_us = entry.action.about_us.max(now_us);
    let until = entry.action.expires_us.map(super::rfc3339);
    let words = until.as_deref().map(|until| format!("; it lasts until {until}")).unwrap_or_default();
    let step = NewStep::new(StepKind::Approved, format!("by {actor}{words}"));
    Queue::restart(&mut tx, &entry).await?;
    let done = Queue::settle_in(&mut tx, &entry, State::Awaiting, State::Pending, now_us, step).await?;
    if done {
        let detail = json!({ "approved": true, "incident": entry.action.incident_id, "until": until });
        audit::pend(&mut tx, now_us, &Fact::new(What::Approval, actor, id, detail)).await?;
    }
    Queue::commit(tx).await?;
    Ok(done)
}

/// An address or network as people write it.
pub fn network(text: &str) -> Result<Scope, DeskError> {
    let problem = || format!("{:?} is none; expected one such as 203.0.113.7 or 203.0.113.0/24", scrub(text));
    Scope::parse(text).ok_or_else(|| DeskError::Words { what: "the address or network", problem: problem() })
}

/// The shortest prefixes that are taken without being asked for by name: what is wider protects a good part of all addresses.
const PREFIX_MIN: (u8, u8) = (8, 16);

/// Whether so wide a network on the never-block list would leave hardly anybody to be blocked.
fn is_nearly_everything(scope: &Scope) -> bool {
    scope.net().prefix_len() < if scope.is_v4() { PREFIX_MIN.0 } else { PREFIX_MIN.1 }
}

/// Nobody there is blocked from now on, for so long or until it is taken off the list; what is in force is undone.
pub async fn protect(
    store: &Store,
    (entity, everything): (&str, bool),
    reason: &str,
    length_us: Option<i64>,
    owner: &str,
    now_us: i64,
) -> Result<Scope, DeskError> {
    let scope = network(entity)?;
    if is_nearly_everything(&scope) && !everything {
        let problem = format!(
            "{scope} is a good part of all addresses: nobody there could be blocked any more; expected \
                               a smaller network, or --yes-everything (API: \"everything\": true)"
        );
        return Err(DeskError::Words { what: "the network", problem });
    }
    if length_us.is_some_and(|length| length <= 0) {
        return Err(DeskError::Words { what: "the length", problem: "expected more than nothing".to_owned() });
    }
    let never = Never {
        entity: scope.to_string(),
        owner: actor(owner)?,
        reason: words("the reason", reason)?,
        created_us: now_us,
        expires_us: length_us.map(|length| now_us.saturating_add(length)),
    };
    halt::protect(store, scope, &never).await?;
    Ok(scope)
}

impl Outbox {
    /// Looks at once at what a person changed in this process; what another process changes is seen within a moment anyway.
    pub fn look_now(&self) {
        self.wake.notify_one();
        self.lanes.iter().for_each(|lane| lane.wake.notify_one());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_suppressed_as_alerts_tell_of_it() {
        let suppressed = |value: &str| {
            let made = Suppression::new((ADDRESS, value), None, "a test", 1_000_000, "anna", 0);
            made.map(|suppression| suppression.entity_value).ok()
        };
        for (value, told) in [
            ("203.0.113.7", "203.0.113.7"),
            ("2001:db8:0:7::5", "2001:db8:0:7::/64"),
            ("2001:db8:0:7::/64", "2001:db8:0:7::/64"),
            ("2001:db8::/48", "2001:db8::/48"),
        ] {
            assert_eq!(suppressed(value).as_deref(), Some(told), "{value}");
        }
        assert_eq!(suppressed("203.0.113.0/24"), None);
        let network = |value: &str| {
            let made = Suppression::new((NETWORK, value), None, "a test", 1_000_000, "anna", 0);
            made.map(|suppression| suppression.entity_value).map_err(|error| error.to_string())
        };
        assert_eq!(network("203.0.113.9/24").as_deref(), Ok("203.0.113.0/24"));
        assert_eq!(network("the office"), Err("the network: expected one such as 203.0.113.0/24".to_owned()));
    }
}
