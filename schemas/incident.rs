//! The incident: the alerts of one attacker, as people work on it and as it is sent to chat, on-call and SOAR. This is a
//! published contract; its JSON Schema is `incident.schema.json` beside this file.
//!
//! Promises: plain data. `id` stays the same in every replay; `id` and `revision` together name one message about it.
//! Never: holds a raw value; it is made of alerts, which are made of redacted events.

use serde::{Deserialize, Serialize};

use crate::Alert;
use crate::alert::{Entity, Severity};

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has taken it yet.
    Open,
    /// Somebody has.
    Acknowledged,
    Closed,
}

impl Status {
    pub const ALL: [Status; 3] = [Status::Open, Status::Acknowledged, Status::Closed];

    pub fn name(self) -> &'static str {
        match self {
            Status::Open => "open",
            Status::Acknowledged => "acknowledged",
            Status::Closed => "closed",
        }
    }

    pub fn parse(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// What a person found an incident to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    True,
    False,
    /// It happened and was meant to: a load test, a scan by our own people.
    Expected,
}

impl Verdict {
    pub const ALL: [Verdict; 3] = [Verdict::True, Verdict::False, Verdict::Expected];

    pub fn name(self) -> &'static str {
        match self {
            Verdict::True => "true",
            Verdict::False => "false",
            Verdict::Expected => "expected",
        }
    }

    pub fn parse(name: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// Times are RFC 3339 UTC with microseconds, those of the alerts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: String,
    /// Counts the messages about it: 0 is the first.
    pub revision: u32,
    pub status: Status,
    pub title: String,
    /// The highest of its alerts.
    pub severity: Severity,
    /// Risk: the weights of its alerts, halved with each half-life since; at the time of this message.
    pub score: f64,
    /// The attacker: what its alerts have in common.
    pub subject: Entity,
    pub opened: String,
    pub updated: String,
    /// Everything its alerts named, the subject among them; bounded.
    pub entities: Vec<Entity>,
    pub detectors: Vec<String>,
    pub alerts: u64,
    pub alerts_open: u64,
    pub owasp: Vec<String>,
    pub attack: Vec<String>,
    pub assignee: Option<String>,
    pub verdict: Option<Verdict>,
}

/// Why a message about an incident is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Event {
    #[serde(rename = "incident.open")]
    Open,
    #[serde(rename = "incident.updated")]
    Updated,
    #[serde(rename = "incident.closed")]
    Closed,
}

impl Event {
    pub fn name(self) -> &'static str {
        match self {
            Event::Open => "incident.open",
            Event::Updated => "incident.updated",
            Event::Closed => "incident.closed",
        }
    }
}

/// The message that every target gets, in its body or as the source of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    #[serde(rename = "type")]
    pub event: Event,
    /// Of the change that it tells, RFC 3339 UTC.
    pub timestamp: String,
    /// `notify`, `case`, `page`, `block`, `revoke` or `throttle`.
    pub kind: String,
    pub incident: Incident,
    /// The alert that led to it; none where a person or the end of a quiet time did.
    pub alert: Option<Alert>,
    /// How things stood when the message was sent; none before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

/// What is done about an incident, at the moment at which a message about it is sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Who is kept out, or is to be, at each target; at most ten.
    pub containment: Vec<Containment>,
    /// Who closed it and why, where a person did.
    pub closing: Option<Closing>,
    /// Where people look the incident up.
    pub link: Option<String>,
}

/// Somebody who is kept out at a target, or why not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Containment {
    /// `block`, `revoke` or `throttle`.
    pub kind: String,
    pub entity_kind: String,
    pub entity_value: String,
    /// `in_force`, `awaiting` (a person has to agree), `sending`, `parked`, `dry_run`, `refused`, `not_yet`, `lifting`,
    /// `lifted` or `ended`.
    pub state: String,
    pub target: Option<String>,
    /// When it ends.
    pub until: Option<String>,
    pub why: Option<String>,
    /// Where a person agrees to it.
    pub approve: Option<String>,
}

/// A person's last word about an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    pub actor: String,
    pub reason: String,
}
