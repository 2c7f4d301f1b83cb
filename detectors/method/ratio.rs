//! `ratio`: which share of an entity's events match a condition, over a sliding window. Decided each time a pane
//! closes, for the entities that had events in it: while a pane runs, one event more or less is chance.
//!
//! Promises: a decision sees every event before the pane's end and none after.
//! Never: decides on fewer than `min_events`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::counting::{SWEEP_LEAST_US, restore_slots, stats_of};
use super::panes::Panes;
use super::{Detector, DetectorStats, PaneSpec, Summary, Wiring};
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::{Columns, EntityKey};
use crate::engine::episode::{Episodes, Finding, Moment, Telling};
use crate::engine::keyed::{Keep, Keyed, Place, SavedSlots, State};
use crate::engine::run::{Hit, Run};
use crate::engine::{EngineLimits, next_multiple};
use crate::rule::{Method, Rule};

/// Events, and how many of them match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    hits: u32,
    events: u32,
}

impl Summary for Share {
    type Item = bool;

    #[inline]
    fn item(columns: &Columns, argument: usize, row: usize) -> Option<bool> {
        Some(columns.filters[argument].value(row))
    }
    #[inline]
    fn add(&mut self, hit: bool) {
        self.hits = self.hits.saturating_add(u32::from(hit));
        self.events = self.events.saturating_add(1);
    }
    fn merge(&mut self, other: &Share) {
        self.hits = self.hits.saturating_add(other.hits);
        self.events = self.events.saturating_add(other.events);
    }
    #[inline]
    fn value(&self) -> f64 {
        if self.events == 0 { 0.0 } else { f64::from(self.hits) / f64::from(self.events) }
    }
    #[inline]
    fn events(&self) -> u64 {
        u64::from(self.events)
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Watched {
    window: Panes<Share>,
    /// The pane in which it was last put on the list of those to decide about.
    listed: u32,
}

impl State for Watched {
    fn known(&self) -> bool {
        false
    }
}

pub(crate) struct RatioDetector {
    wiring: Wiring,
    panes: PaneSpec,
    at_least: f64,
    min_events: u64,
    entities: Keyed<Watched>,
    episodes: Episodes,
    /// Entities with events in the running pane.
    listed: Vec<EntityKey>,
    pane_ends: i64,
    sweep_us: i64,
    next_sweep: i64,
    due: i64,
}

impl RatioDetector {
    pub fn new(rule: Arc<Rule>, wiring: Wiring, limits: &EngineLimits) -> RatioDetector {
        let (at_least, min_events) = match &rule.method {
            Method::Ratio { at_least, min_events, .. } => (*at_least, *min_events),
            _ => (1.0, u64::MAX),
        };
        let within_us = rule.method.window_us();
        RatioDetector {
            wiring,
            panes: PaneSpec::of(within_us),
            at_least,
            min_events,
            entities: Keyed::new(limits.entities_per_detector),
            episodes: Episodes::new(rule, limits.suspects_per_detector),
            listed: Vec::new(),
            pane_ends: i64::MAX,
            sweep_us: within_us.max(SWEEP_LEAST_US),
            next_sweep: i64::MAX,
            due: i64::MAX,
        }
    }

    #[inline]
    fn count(&mut self, run: &Run<'_>, hit: Hit, place: Place, out: &mut Vec<Telling>) {
        let Hit { row, time, key, .. } = hit;
        if time >= self.due {
            self.settle(time, out);
        }
        let Some(matches) = Share::item(run.columns, self.wiring.argument, row) else { return };
        let pane = self.panes.pane(time);
        let Some(slot) = self.entities.enter_at(place, hit, Watched::default) else { return };
        slot.state.window.advance(pane, self.panes.span);
        slot.state.window.add_now(matches);
        if self.listed.is_empty() {
            self.pane_ends = self.panes.end(pane);
            self.next_sweep = self.next_sweep.min(next_multiple(time, self.sweep_us));
            self.due = self.due.min(self.pane_ends).min(self.next_sweep);
        }
        // Panes count from 0, `listed` from 1: a new entity is on no list.
        if slot.state.listed != pane + 1 {
            slot.state.listed = pane + 1;
            self.listed.push(key);
        }
        let share = slot.state.window.total();
        let suspicious = 2 * share.events() >= self.min_events && 2.0 * share.value() >= self.at_least;
        if suspicious || slot.suspect.is_some() {
            let event = run.event(row);
            let episodes = &mut self.episodes;
            let suspect = slot.suspect.get_or_insert_with(|| episodes.suspect(episodes.name(event)));
            suspect.evidence.record(time, event);
            if let Some(episode) = &mut suspect.episode {
                episode.events += 1;
            }
        }
    }

    /// Decides about the entities with events in the pane that ends at `end`.
    fn close_pane(&mut self, end: i64, out: &mut Vec<Telling>) {
        let pane = self.panes.pane(end - 1);
        let mut listed = std::mem::take(&mut self.listed);
        self.pane_ends = i64::MAX;
        listed.sort_unstable();
        for key in listed.drain(..) {
            let Some(slot) = self.entities.get(key) else { continue };
            slot.state.window.advance(pane, self.panes.span);
            let share = slot.state.window.total();
            let Some(suspect) = slot.suspect.as_deref_mut() else { continue };
            if share.events() >= self.min_events && share.value() >= self.at_least {
                let finding = Finding {
                    observed: share.value(),
                    expected: None,
                    threshold: self.at_least,
                    score: share.value() / self.at_least,
                    start: self.panes.start(pane),
                    end,
                    baseline: None,
                };
                self.episodes.breach(key, suspect, (Moment::Due(end), finding, share.events()), None, out);
            } else if 2 * share.events() < self.min_events || 2.0 * share.value() < self.at_least {
                self.episodes.clear(&mut slot.suspect);
                self.entities.release(key);
            }
        }
        self.listed = listed;
    }

    fn sweep(&mut self, time: i64) {
        let (pane, span) = (self.panes.pane(time), self.panes.span);
        let episodes = &mut self.episodes;
        self.entities.sweep(|slot| {
            slot.state.window.advance(pane, span);
            if slot.state.window.total().events() > 0 || slot.suspect.as_ref().is_some_and(|s| s.episode.is_some()) {
                return Keep::Yes;
            }
            episodes.clear(&mut slot.suspect);
            Keep::No
        });
        self.next_sweep = if self.entities.is_empty() { i64::MAX } else { next_multiple(time, self.sweep_us) };
    }
}

impl Detector for RatioDetector {
    fn fold(&mut self, run: &Run<'_>, out: &mut Vec<Telling>) {
        let (filter, kind) = (self.wiring.filter, self.wiring.kind);
        run.visit(filter, kind, |hits| {
            let places = self.entities.places(hits);
            hits.iter().zip(places).for_each(|(hit, place)| self.count(run, *hit, place, out));
        });
    }

    fn settle(&mut self, until: i64, out: &mut Vec<Telling>) {
        loop {
            let ends = self.episodes.next_due();
            self.due = ends.min(self.next_sweep).min(self.pane_ends);
            let time = self.due;
            if time > until {
                return;
            }
            // At one time: first decide, for that may prolong an episode; then close; then sweep.
            if self.pane_ends == time {
                self.close_pane(time, out);
            } else if ends == time {
                let Some(key) = self.episodes.take_due(time) else { continue };
                let Some(slot) = self.entities.get(key) else { continue };
                if self.episodes.close_if_quiet(key, &mut slot.suspect, time, out) {
                    slot.state.window = Panes::default();
                    self.entities.release(key);
                }
            } else {
                self.sweep(time);
            }
        }
    }

    fn rule(&self) -> &Arc<Rule> {
        &self.episodes.rule
    }

    fn stats(&self) -> DetectorStats {
        stats_of(&self.episodes, &self.entities)
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        let mut listed = self.listed.clone();
        listed.sort_unstable();
        binary::write(out, &(self.next_sweep, self.pane_ends, self.episodes.opened, listed))?;
        self.entities.save(out)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BinaryError> {
        type Saved = ((i64, i64, u64, Vec<EntityKey>), SavedSlots<Watched>);
        let ((next_sweep, pane_ends, opened, listed), slots): Saved = binary::read(bytes)?;
        (self.next_sweep, self.pane_ends, self.listed) = (next_sweep, pane_ends, listed);
        self.episodes.opened = opened;
        restore_slots(&mut self.entities, &mut self.episodes, slots);
        self.due = self.next_sweep.min(self.pane_ends).min(self.episodes.next_due());
        Ok(())
    }
}
