//! Where new detectors wait for the step loop, which takes them between two batches.
//!
//! Promises: the newest ones count; ones that were not taken yet give way to them.
//! Never: reads a file, or decides whether detectors are right.

use std::sync::{Arc, Mutex, PoisonError};

use detectors::Rule;

/// Handed over by whoever read them, taken by the loop.
#[derive(Default)]
pub struct Swap(Mutex<Option<Vec<Arc<Rule>>>>);

impl Swap {
    pub fn put(&self, rules: Vec<Arc<Rule>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules);
    }

    pub(super) fn take(&self) -> Option<Vec<Arc<Rule>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
