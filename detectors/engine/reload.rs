//! Other detectors in a running engine.
//!
//! Promises: what waits and how far each lane has come stay as they are. A detector that counts what it counted before keeps
//! its state, whatever else of it changed; one that counts something else starts without a past; of those, and of the ones
//! that are gone, every open alert is closed. An error leaves the engine as it was.
//! Never: reads a file.

use std::sync::Arc;

use schemas::Alert;

use super::episode::Telling;
use super::snapshot::identity;
use super::{Engine, EngineError};
use crate::rule::Rule;

impl Engine {
    /// Goes on with these detectors. What it could not keep is in `notes`; the alerts are those that are closed by it.
    pub fn reload(&mut self, rules: Vec<Arc<Rule>>) -> Result<Vec<Alert>, EngineError> {
        // A restore is all that has to be right: of what is kept, and of what is computed anew for the rows that wait.
        let mut next = Engine::restore(rules, self.limits.clone(), &self.snapshot())?;
        let goes_on = |rule: &Rule| {
            let is = |other: &Rule| other.id == rule.id && identity(other) == identity(rule);
            next.detectors.iter().any(|detector| is(detector.rule()))
        };
        let time = self.order.folded_to.unwrap_or(i64::MIN);
        let mut tellings: Vec<Telling> = Vec::new();
        for detector in self.detectors.iter_mut().filter(|detector| !goes_on(detector.rule())) {
            detector.give_up(time, &mut tellings);
        }
        tellings.sort_by(|a, b| a.order().cmp(&b.order()));
        next.crew = std::mem::take(&mut self.crew);
        let closed = self.causes.join(tellings, time);
        *self = next;
        Ok(closed)
    }
}

#[cfg(test)]
mod tests;
