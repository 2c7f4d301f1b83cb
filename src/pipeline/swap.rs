//! New detectors wait here for the step loop, which takes them between two batches.
//!
//! Promises: the newest ones count; ones that were not taken yet give way to them. Every alert of a detector that does not go on is
//! closed, also one that it told before a crash and has not told again.
//! Never: reads a file, or decides whether detectors are right.

use std::sync::{Arc, Mutex, PoisonError};

use detectors::Rule;
use schemas::Alert;

use super::ledger::Ledger;
use super::{Pipeline, PipelineError};

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

impl Pipeline<'_> {
    /// Takes new detectors, if there are some: before the next row is judged.
    pub(super) fn swap_detectors(&mut self) -> Result<(), PipelineError> {
        let Some(rules) = self.swap.take() else { return Ok(()) };
        let closed = self.engine.reload(rules.clone())?;
        self.prepare.swapped(&self.engine);
        self.tell(&closed)?;
        let left = self.left_open(&rules)?;
        self.tell(&left)?;
        self.outlets.iter_mut().for_each(|outlet| outlet.swapped(&rules));
        self.watcher.swapped(&rules);
        self.ledger.iter_mut().for_each(Ledger::owe);
        for note in self.engine.notes() {
            tracing::info!("{note}");
        }
        let alerts_closed = closed.len() + left.len();
        tracing::info!(detectors = rules.len(), alerts_closed, "other detectors run from here on");
        Ok(())
    }

    /// What a detector told before a crash, and was about to tell again when it was changed, the engine does not hold.
    fn left_open(&mut self, rules: &[Arc<Rule>]) -> Result<Vec<Alert>, PipelineError> {
        let taken: Vec<_> = self.outlets.iter_mut().map(|outlet| outlet.taken()).collect();
        taken.into_iter().try_for_each(futures::executor::block_on).map_err(PipelineError::Outlet)?;
        let engine = &self.engine;
        let goes_on = |id: &str| rules.iter().any(|rule| rule.id == id) && !engine.was_emptied(id);
        let mut left = Vec::new();
        for outlet in &mut self.outlets {
            left.extend(outlet.left_open(&goes_on).map_err(PipelineError::Outlet)?);
        }
        Ok(left)
    }
}
