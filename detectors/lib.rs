//! Detection: batches of events in, alerts out.
//!
//! Promises: the same events give the same alerts, byte for byte, however they are cut into batches, interrupted and
//! restored, or interleaved across lanes within the allowed lateness. State is bounded and can be snapshotted.
//! Never: does I/O, is async, reads a clock, sees a raw record.

pub mod baseline;
