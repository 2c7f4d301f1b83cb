//! The alert: one episode of one detector on one entity, as it is written, sent and stored. This is a published
//! contract; its JSON Schema is `alert.schema.json` beside this file.
//!
//! Promises: everything in it comes from events, so a replay tells it again byte for byte. `id` and `revision` together
//! name one telling.
//! Never: holds a raw value; it only sees events, which are redacted.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Open,
    Updated,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entity {
    /// client_ip, principal, credential, endpoint, tenant, `whole`, or a pair joined with `+`.
    pub kind: String,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub start: String,
    pub end: String,
}

/// One telling of an alert. Times are RFC 3339 UTC with microseconds, from the events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub id: String,
    pub revision: u32,
    pub state: State,
    pub detector: String,
    pub title: String,
    pub severity: Severity,
    pub entity: Entity,
    pub opened: String,
    pub updated: String,
    pub window: Window,
    pub observed: f64,
    pub expected: Option<f64>,
    pub threshold: f64,
    pub score: f64,
    /// Events that counted in this episode so far.
    pub events: u64,
    pub owasp: Vec<String>,
    pub attack: Vec<String>,
    pub evidence: serde_json::Value,
    pub dry_run: bool,
    /// The alert with whose cause this one goes, while it does: the id of that. It is told there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
}

/// The share of an alert's events that makes a client or principal its author.
pub const AUTHOR_SHARE: f64 = 0.5;

/// Those in a list of an alert's evidence (`client_ips`, `principals`, `proven`) who made more than this share of its events.
pub fn authors<'e>(evidence: &'e serde_json::Value, list: &str, share: f64) -> Vec<&'e str> {
    let counted = evidence["counted"].as_f64().unwrap_or(0.0);
    let values = evidence[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let large = values.iter().filter(|value| counted > 0.0 && value["count"].as_f64().unwrap_or(0.0) / counted > share);
    large.filter_map(|value| value["value"].as_str()).filter(|value| !value.is_empty()).collect()
}
