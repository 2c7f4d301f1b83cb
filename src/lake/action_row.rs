//! One row of the `actions` table: one step in the life of one action.
//!
//! Promises: rows are append-only facts, numbered by the responder's own `seq`; the lake stores each number once.
//! Never: holds a secret. `detail` and `answer` are shown to every investigator.

/// A step of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRow {
    /// Number of the row in the responder's log: grows by one a row.
    pub seq: i64,
    pub time_us: i64,
    pub action_id: String,
    pub alert_id: String,
    pub detector: String,
    pub entity_kind: String,
    pub entity_value: String,
    pub target: String,
    pub kind: String,
    /// planned, sent, delivered, failed, retry, parked, expired, reverted, dry_run, suppressed, awaiting,
    /// approved, released, drifted, adopted or cancelled.
    pub step: String,
    pub dry_run: bool,
    pub expires_us: Option<i64>,
    pub detail: String,
    pub answer: Option<String>,
    /// apply or revert.
    pub op: String,
    /// The incident that it belongs to; empty for actions of before there were any.
    pub incident_id: String,
}
