//! Who looks at the step loop while it runs: counts, warns, logs. The loop tells it what happened, on its own thread.
//!
//! Promises: a watcher changes nothing of what the loop does.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use detectors::{Engine, Rule};
use schemas::{Alert, Lane, Reject};

/// What came of a batch of records.
pub struct Taken<'a> {
    pub lane: &'a Lane,
    pub records: u64,
    pub bytes: u64,
    pub rejects: &'a [Reject],
    /// Events of the lane that turned out to be ahead meanwhile, these or earlier ones.
    pub ahead: u64,
    /// With `late` decided.
    pub events: &'a RecordBatch,
}

pub trait Watcher: Send {
    /// A lane is read from now on; something of it was committed before when there is a position.
    fn opened(&mut self, _lane: &Lane, _position: Option<i64>) {}
    fn took(&mut self, _taken: &Taken<'_>) {}
    fn told(&mut self, _alerts: &[Alert]) {}
    /// From now on these detectors run.
    fn swapped(&mut self, _rules: &[Arc<Rule>]) {}
    /// The loop has gone round once more.
    fn turned(&mut self, _engine: &Engine) {}
    /// Nothing more is read.
    fn ended(&mut self, _engine: &Engine) {}
}

/// Nobody looks.
pub struct Nobody;

impl Watcher for Nobody {}
