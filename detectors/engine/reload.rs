//! Other detectors in a running engine.
//!
//! Promises: what waits and how far each lane has come stay as they are. A detector that counts what it counted before keeps
//! its state, whatever else of it changed; one that counts something else starts without a past; of those, and of the ones
//! that are gone, every open alert is closed. An error leaves the engine as it was.
//! Never: reads a file.

use std::collections::HashSet;
use std::sync::Arc;

use schemas::Alert;
use schemas::alert::State;

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

    /// The ids of the alerts that are open.
    pub fn open_ids(&self) -> HashSet<String> {
        self.open_tellings().into_iter().map(|telling| telling.alert.id).collect()
    }

    fn open_tellings(&self) -> Vec<Telling> {
        let (time, mut tellings) = (self.order.folded_to.unwrap_or(i64::MIN), Vec::new());
        self.detectors.iter().for_each(|detector| detector.tell_open(time, &mut tellings));
        tellings
    }

    /// The alerts that are open, with what was found since they were told last: for whoever has to know them and does not.
    pub fn open_alerts(&self) -> Vec<Alert> {
        let (time, mut tellings) = (self.order.folded_to.unwrap_or(i64::MIN), self.open_tellings());
        tellings.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut open = self.causes.clone().join(tellings, time);
        for alert in &mut open {
            if let Some(evidence) = alert.evidence.as_object_mut() {
                evidence.remove("closed");
            }
            (alert.state, alert.revision) = (State::Updated, alert.revision.saturating_sub(1));
        }
        // What others are parts of comes first: parts are told with it.
        open.sort_by_key(|alert| alert.part_of.is_some());
        open
    }
}

#[cfg(test)]
mod tests;
