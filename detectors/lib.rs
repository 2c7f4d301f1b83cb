//! Detection: batches of events in, alerts out.
//!
//! Promises: the same events give the same alerts, byte for byte, however they are cut into batches, interrupted and
//! restored, or interleaved across lanes within the allowed lateness. State is bounded and can be snapshotted.
//! Never: does I/O, is async, reads a clock, sees a raw record.

pub mod baseline;
pub mod case;
pub mod catalogue;
mod distinct;
pub mod engine;
mod kit;
mod method;
pub mod rule;
pub mod sigma;
pub mod testkit;
mod where_sql;

pub use case::{Case, Mismatch, parse_case, run_case};
pub use catalogue::catalogue;
pub use engine::{Engine, EngineError, EngineLimits, EngineStats, Prepared, WAITS_US_MAX, Wants};
pub use kit::DetectorStats;
pub use rule::{Rule, RuleError, parse_rule};
pub use where_sql::Predicate;
