//! One row of the `audit` table: one entry of the chain of one instance.
//!
//! Promises: rows are append-only facts, numbered by the chain; the lake stores each number of an instance once.
//! Never: knows how entries are chained; it keeps what it is given.

/// An entry of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub instance: String,
    /// Number of the entry in its chain: grows by one an entry.
    pub n: i64,
    pub time_us: i64,
    pub actor: String,
    pub what: String,
    pub about: String,
    /// A JSON object, canonical.
    pub detail: String,
    /// The hash of the entry before, and its own, in hexadecimal digits.
    pub previous: String,
    pub hash: String,
}
