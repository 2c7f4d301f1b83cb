//! What is done about an incident at the moment at which a message about it is sent: who is kept out, where and until when, what
//! a person has to agree to, who closed it and why.
//!
//! Promises: reads alone. A message waits for the first word about its attacker, `SETTLE_MAX` at most, so that it can say what
//! came of it. What is listed is bounded.
//! Never: changes which messages are sent, or their ids; keeps a link in the store.

use std::sync::Arc;
use std::time::Duration;

use schemas::Message;
use schemas::incident::{Closing, Containment, Event, Standing};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::action::{Action, Kind, State, StepKind};
use super::control::LOOKING;
use super::incident::{book, rfc3339};
use super::message;
use super::narrow::GIVES_WAY;
use super::neighbours::PART;
use super::outbox::{Lane, Outbox, locked};
use super::plan::{self, BODY_BYTES_MAX};
use super::queue::{Entry, Queue, Tx};
use super::wanted::queue_of;
use crate::clock::Stopwatch;
use crate::store::StoreError;

/// Containments that a message lists.
const LISTED_MAX: u32 = 10;
/// For so long a message waits until it is known what is done about its attacker.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Messages that wait so, at one target; beyond, all waits begin anew.
const WAITING_MAX: usize = 10_000;

/// Somebody whom an incident wants out.
struct Wanted {
    kind: Kind,
    entity_kind: String,
    entity_value: String,
    stand: String,
    since_us: i64,
    held: Option<String>,
}

impl Outbox {
    /// The body of a message with how things stand now.
    pub(super) async fn told_now(&self, action: &Action, now_us: i64) -> Result<Vec<u8>, StoreError> {
        let Ok(message) = message::read(action) else { return Ok(action.body.clone()) };
        let standing = self.standing(&message, now_us).await?;
        let message = Message { standing: Some(standing), ..message };
        let written = |message: &Message| serde_json::to_vec(message).expect("plain data with string keys");
        let body = written(&message);
        if body.len() <= BODY_BYTES_MAX {
            return Ok(body);
        }
        let mut short = message;
        if let Some(alert) = &mut short.alert {
            alert.evidence = serde_json::json!({ "omitted": "too long for a message; see the alerts table" });
        }
        Ok(written(&short))
    }

    async fn standing(&self, message: &Message, now_us: i64) -> Result<Standing, StoreError> {
        let id = &message.incident.id;
        let mut tx = self.store.pool().begin().await?;
        let mut containment = Vec::new();
        let halted = self.halt().map(|halt| format!("halted by {}: {}", halt.actor, halt.reason));
        // What gives way to something narrower is no news beside that.
        let is_told = |it: &Wanted| !it.held.as_deref().is_some_and(|why| why.starts_with(GIVES_WAY));
        for wanted in wanted_by(&mut tx, id).await?.into_iter().filter(is_told) {
            let lanes = self.lanes.iter().filter(|lane| lane.common.kinds.contains(&wanted.kind));
            let before = containment.len();
            for lane in lanes {
                if let Some((entry, state)) = newest(&mut tx, lane, &wanted).await? {
                    containment.push(self.contained(&mut tx, &wanted, &entry, state, now_us).await?);
                }
            }
            if containment.len() == before {
                let state = match wanted.held.as_deref() {
                    _ if wanted.stand == "lift" => "lifted",
                    Some(why) if why.starts_with(PART) => "in_force",
                    _ => "not_yet",
                };
                let halted = halted.clone().filter(|_| state == "not_yet");
                containment.push(Containment { why: halted.or(wanted.held.clone()), ..wanted.shown(state) });
            }
        }
        containment.truncate(usize::try_from(LISTED_MAX).unwrap_or(usize::MAX));
        let closing = match message.event {
            Event::Closed => closing(&mut tx, id).await?,
            _ => None,
        };
        tx.commit().await?;
        let pattern = self.config.links.as_ref().and_then(|links| links.incident.as_deref());
        Ok(Standing { containment, closing, link: pattern.map(|pattern| message::link(pattern, id)) })
    }

    async fn contained(
        &self,
        tx: &mut Tx,
        wanted: &Wanted,
        entry: &Entry,
        state: State,
        now_us: i64,
    ) -> Result<Containment, StoreError> {
        let action = &entry.action;
        let lasts = action.expires_us.is_some_and(|ends| ends > now_us);
        let is_there = state != State::Pending;
        let undone = wanted.stand == "lift" || Queue::is_being_undone(tx, &action.id).await?;
        let state = match state {
            State::Delivered if lasts && undone => "lifting",
            State::Delivered if lasts => "in_force",
            State::Awaiting => "awaiting",
            // What it prolongs is in force meanwhile.
            State::Pending if action.renews => "in_force",
            State::Pending => "sending",
            State::Parked => "parked",
            State::DryRun if lasts => "dry_run",
            State::Suppressed => "refused",
            _ => "ended",
        };
        let why = match state {
            "awaiting" => why(tx, &action.id, StepKind::Awaiting).await?,
            "parked" => why(tx, &action.id, StepKind::Failed).await?,
            "refused" => why(tx, &action.id, StepKind::Suppressed).await?,
            "sending" => self.halt().map(|halt| format!("halted by {}: {}", halt.actor, halt.reason)),
            _ => None,
        };
        let ends = ["in_force", "lifting", "dry_run"].contains(&state) && is_there;
        let asks = self.links.as_ref().filter(|_| state == "awaiting");
        Ok(Containment {
            target: Some(action.target.clone()),
            until: action.expires_us.filter(|_| ends).map(rfc3339),
            why,
            approve: asks.map(|links| links.approve(&action.id, now_us)),
            ..wanted.shown(state)
        })
    }

    /// Whether this message, not tried yet, waits for what is done about its attacker.
    pub(super) async fn is_held_back(&self, lane: &Lane, entry: &Entry) -> Result<bool, StoreError> {
        if entry.action.kind.contains() || entry.attempts > 0 || self.changes.live().halt.is_some() {
            return Ok(false);
        }
        let settled = self.is_settled(&entry.action.incident_id).await?;
        let mut waiting = locked(&lane.held_back);
        if waiting.len() >= WAITING_MAX {
            waiting.clear();
        }
        let long = waiting.entry(entry.n).or_insert_with(Stopwatch::start).elapsed() >= SETTLE_MAX;
        if settled || long {
            waiting.remove(&entry.n);
        }
        Ok(!settled && !long)
    }

    /// Whether each target was asked once for everybody whom this incident wants out, or it is known why not.
    async fn is_settled(&self, incident_id: &str) -> Result<bool, StoreError> {
        let mut tx = self.store.pool().begin().await?;
        let wanted = wanted_by(&mut tx, incident_id).await?;
        if wanted.is_empty() {
            return Ok(true);
        }
        let Some(row) = book::row(&mut tx, incident_id).await? else { return Ok(true) };
        let case = plan::case(&row, 0, (self.clock)());
        for wanted in wanted {
            let kind = wanted.kind;
            let able = |lane: &&Arc<Lane>| lane.common.kinds.contains(&kind) && lane.common.when.holds(&case);
            let (mut meant, mut asked) = (false, false);
            for lane in self.lanes.iter().filter(able) {
                meant = true;
                let Some((entry, state)) = newest(&mut tx, lane, &wanted).await? else { continue };
                asked = true;
                // A first attempt that failed moves the next one.
                if state == State::Pending && entry.next_attempt_us <= entry.action.created_us {
                    return Ok(false);
                }
            }
            let judged = wanted.held.as_deref().is_some_and(|why| why != LOOKING);
            if meant && !asked && !judged && wanted.stand == "active" {
                return Ok(false);
            }
        }
        tx.commit().await?;
        Ok(true)
    }
}

impl Wanted {
    fn shown(&self, state: &str) -> Containment {
        Containment {
            kind: self.kind.name().to_owned(),
            entity_kind: self.entity_kind.clone(),
            entity_value: self.entity_value.clone(),
            state: state.to_owned(),
            target: None,
            until: None,
            why: None,
            approve: None,
        }
    }
}

/// An incident, and those that it tells of as a digest.
const ALL: &str = "SELECT ?1 UNION SELECT incident_id FROM incident_keys WHERE kind = 'flood' AND value = ?1";

async fn wanted_by(tx: &mut Tx, incident_id: &str) -> Result<Vec<Wanted>, StoreError> {
    let sql = format!(
        "SELECT kind, entity_kind, entity_value, state, since_us, held FROM (\
         SELECT kind, entity_kind, entity_value, state, since_us, held FROM wanted WHERE incident_id IN ({ALL}) UNION \
               SELECT w.kind, w.entity_kind, w.entity_value, w.state, w.since_us, w.held FROM incident_alerts AS a \
               JOIN wanted_by AS b ON b.alert_id = a.alert_id JOIN wanted AS w ON w.kind = b.kind \
               AND w.entity_kind = b.entity_kind AND w.entity_value = b.entity_value WHERE a.incident_id IN ({ALL}) \
         ) AS asked ORDER BY held IS NOT NULL, since_us DESC, entity_value LIMIT ?2"
    );
    let rows = sqlx::query(&sql).bind(incident_id).bind(LISTED_MAX).fetch_all(&mut **tx).await?;
    let read = |row: &SqliteRow| {
        let kind: String = row.try_get(0)?;
        let unknown = || sqlx::Error::Decode(format!("wanted: unknown kind `{kind}`").into());
        Ok(Wanted {
            kind: Kind::parse(&kind).ok_or_else(unknown)?,
            entity_kind: row.try_get(1)?,
            entity_value: row.try_get(2)?,
            stand: row.try_get(3)?,
            since_us: row.try_get(4)?,
            held: row.try_get(5)?,
        })
    };
    rows.iter().map(read).collect()
}

/// What was last to be put in force for it at this target.
async fn newest(tx: &mut Tx, lane: &Lane, wanted: &Wanted) -> Result<Option<(Entry, State)>, StoreError> {
    let queue = queue_of(wanted.kind, &wanted.entity_kind, &wanted.entity_value);
    let found = Queue::newest(tx, lane.name(), &queue).await?;
    Ok(found.filter(|(entry, _)| entry.action.created_us >= wanted.since_us))
}

pub(super) async fn why(tx: &mut Tx, action_id: &str, step: StepKind) -> Result<Option<String>, StoreError> {
    let sql = "SELECT detail FROM action_steps WHERE action_id = ? AND step = ? ORDER BY seq DESC LIMIT 1";
    let row = sqlx::query(sql).bind(action_id).bind(step.name()).fetch_optional(&mut **tx).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn closing(tx: &mut Tx, incident_id: &str) -> Result<Option<Closing>, StoreError> {
    let sql = "SELECT actor, text FROM incident_notes WHERE incident_id = ? AND what = 'close' ORDER BY n DESC LIMIT 1";
    let Some(row) = sqlx::query(sql).bind(incident_id).fetch_optional(&mut **tx).await? else { return Ok(None) };
    let text: String = row.try_get(1)?;
    // The verdict stands before it.
    let reason = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason).to_owned();
    Ok(Some(Closing { actor: row.try_get(0)?, reason }))
}
