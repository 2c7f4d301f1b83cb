//! Incidents: the alerts of one attacker as one thing to work on.
//!
//! `keys` says what alerts have in common, `score` how much they weigh, `book` joins them and knows the tables, `desk` is what
//! people do with them, `look` what they see of them, `left` what an earlier run left open.
//! Promises: the same telling of an alert changes an incident once. An incident's id is made of its first alert's, so a
//! replay makes the same. What is kept about one is bounded.
//! Never: decides what is done about an incident (`policy`, `plan`).

pub mod book;
pub mod desk;
mod hushed;
pub mod keys;
pub mod left;
pub mod look;
mod revert;
pub mod score;

use schemas::Incident;
use schemas::alert::{Alert, Entity, Severity};
use schemas::incident::{Event, Status, Verdict};

use super::action::Kind;

/// Entities, detectors and labels that an incident lists; further ones are counted with the alerts alone.
pub const LISTED_MAX: usize = 20;

/// An incident as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: String,
    pub revision: u32,
    pub status: Status,
    pub title: String,
    pub severity: Severity,
    pub score: f64,
    pub score_us: i64,
    pub subject: Entity,
    pub opened_us: i64,
    pub updated_us: i64,
    pub changed_us: i64,
    pub quiet_us: Option<i64>,
    pub alerts: u64,
    pub alerts_open: u64,
    pub entities: Vec<Entity>,
    pub detectors: Vec<String>,
    pub tenants: Vec<String>,
    pub owasp: Vec<String>,
    pub attack: Vec<String>,
    /// The messages it was asked for so far.
    pub kinds: Vec<Kind>,
    pub assignee: Option<String>,
    pub verdict: Option<Verdict>,
    pub dry_run: bool,
}

impl Row {
    /// Judged to be an attack, which goes on: whoever is contained stays so until its alerts are closed.
    pub fn goes_on_though_judged(&self) -> bool {
        self.verdict == Some(Verdict::True) && self.alerts_open > 0
    }

    /// As it is sent and shown.
    pub fn show(&self) -> Incident {
        Incident {
            id: self.id.clone(),
            revision: self.revision,
            status: self.status,
            title: self.title.clone(),
            severity: self.severity,
            score: (self.score * 10.0).round() / 10.0,
            subject: self.subject.clone(),
            opened: rfc3339(self.opened_us),
            updated: rfc3339(self.updated_us),
            entities: self.entities.clone(),
            detectors: self.detectors.clone(),
            alerts: self.alerts,
            alerts_open: self.alerts_open,
            owasp: self.owasp.clone(),
            attack: self.attack.clone(),
            assignee: self.assignee.clone(),
            verdict: self.verdict,
        }
    }
}

/// What a telling made of an incident.
#[derive(Clone, Debug)]
pub struct Change {
    pub row: Row,
    /// The message that is due, if one is.
    pub event: Option<Event>,
    /// What led to it; none where it was a person or time.
    pub alert: Option<Alert>,
}

pub fn rfc3339(us: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(us).unwrap_or(chrono::DateTime::UNIX_EPOCH);
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// A time of an alert in microseconds; `None` when it cannot be read.
pub fn micros_of(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}
