//! The driver of the counting methods: threshold, distinct, sum. They alert on the very row that reaches the count.
//!
//! Promises: one look-up of state per matching row; an entity below half of its count costs nothing more. When an
//! episode closes, counting starts anew, so that no event opens two alerts.
//! Never: decides anything by arrival; sweeps and closings are due at event times.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::panes::Sliding;
use super::{Detector, DetectorStats, PaneSpec, Wiring};
use crate::engine::binary::{self, BinaryError};
use crate::engine::episode::{Episodes, Finding, Moment, Telling};
use crate::engine::keyed::{Keep, Keyed, Place, SavedSlots, Slot, State};
use crate::engine::run::{EventRow, Hit, Run};
use crate::engine::{EngineLimits, next_multiple};
use crate::rule::Rule;

/// State is swept at least a minute apart: a sweep looks at every entity.
pub(super) const SWEEP_LEAST_US: i64 = 60_000_000;

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(bound = "W: Sliding")]
struct Counted<W>(W);

impl<W: Sliding> State for Counted<W> {
    fn known(&self) -> bool {
        false
    }
}

pub(crate) struct Counting<W> {
    wiring: Wiring,
    panes: PaneSpec,
    limits: Counts,
    entities: Keyed<Counted<W>>,
    episodes: Episodes,
    sweep_us: i64,
    next_sweep: i64,
    /// The earliest of all that is due by time.
    due: i64,
}

/// The count, and what follows from it.
#[derive(Clone, Copy)]
struct Counts {
    at_least: u64,
    /// From here on an entity looks bad.
    suspicious: u64,
    /// Beyond this, values need not be told apart: room for two tellings that the value has doubled.
    most: u64,
}

impl<W: Sliding> Counting<W> {
    pub fn new(
        rule: Arc<Rule>,
        wiring: Wiring,
        (at_least, within_us): (u64, i64),
        limits: &EngineLimits,
    ) -> Counting<W> {
        let counts = Counts {
            at_least,
            suspicious: at_least.div_ceil(2).max(2).min(at_least),
            most: at_least.saturating_mul(4),
        };
        Counting {
            wiring,
            panes: PaneSpec::of(within_us),
            limits: counts,
            entities: Keyed::new(limits.entities_per_detector),
            episodes: Episodes::new(rule, limits.suspects_per_detector),
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
        if !self.wiring.counts(run, row, time) {
            return;
        }
        let Some(item) = W::item(run.columns, self.wiring.argument, row) else { return };
        let pane = self.panes.pane(time);
        let Some(slot) = self.entities.enter_at(place, hit, Counted::default) else { return };
        slot.state.0.add(pane, self.panes.span, item, self.limits.most);
        let value = slot.state.0.value(pane, self.panes.span, self.limits.suspicious);
        if self.next_sweep == i64::MAX {
            self.next_sweep = next_multiple(time, self.sweep_us);
            self.due = self.due.min(self.next_sweep);
        }
        if value >= self.limits.suspicious || slot.suspect.is_some() {
            let looked = Looked { counts: self.limits, panes: self.panes, pane, value, time };
            if looked.closer(slot, &mut self.episodes, run.event(row), out) {
                self.entities.release(key);
            }
            self.due = self.next_sweep.min(self.episodes.next_due());
        }
    }

    fn sweep(&mut self, time: i64) {
        let (pane, span, suspicious) = (self.panes.pane(time), self.panes.span, self.limits.suspicious);
        let episodes = &mut self.episodes;
        self.entities.sweep(|slot| {
            if slot.suspect.as_ref().is_some_and(|s| s.episode.is_some()) {
                return Keep::Yes;
            }
            // The window ends with the pane before this time: no row of the pane at `time` has been folded.
            let value = slot.state.0.value(pane, span, 0);
            if value < suspicious {
                episodes.clear(&mut slot.suspect);
            }
            if slot.state.0.events() == 0 { Keep::No } else { Keep::Yes }
        });
        self.next_sweep = if self.entities.is_empty() { i64::MAX } else { next_multiple(time, self.sweep_us) };
    }
}

/// One row of an entity that looks bad.
struct Looked {
    counts: Counts,
    panes: PaneSpec,
    pane: u32,
    value: u64,
    time: i64,
}

impl Looked {
    /// Gathers evidence, opens or prolongs an episode. True when the entity no longer looks bad.
    fn closer<W: Sliding>(
        &self,
        slot: &mut Slot<Counted<W>>,
        episodes: &mut Episodes,
        event: EventRow<'_>,
        out: &mut Vec<Telling>,
    ) -> bool {
        let suspect = slot.suspect.get_or_insert_with(|| episodes.suspect(episodes.name(event)));
        suspect.evidence.record(self.time, event);
        if let Some(episode) = &mut suspect.episode {
            episode.events += 1;
        }
        if self.value >= self.counts.at_least {
            let threshold = self.counts.at_least as f64;
            let finding = Finding {
                observed: self.value as f64,
                expected: None,
                threshold,
                score: self.value as f64 / threshold,
                start: self.panes.start(self.pane),
                end: self.time,
                baseline: None,
            };
            let found = (Moment::Row(self.time), finding, slot.state.0.events());
            episodes.breach(slot.key, suspect, found, Some(event), out);
        } else if self.value < self.counts.suspicious {
            episodes.clear(&mut slot.suspect);
        }
        slot.suspect.is_none()
    }
}

impl<W: Sliding> Detector for Counting<W> {
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
            self.due = ends.min(self.next_sweep);
            if self.due > until {
                return;
            }
            let time = self.due;
            if ends > time {
                self.sweep(time);
            } else if let Some(key) = self.episodes.take_due(time) {
                let Some(slot) = self.entities.get(key) else { continue };
                if self.episodes.close_if_quiet(key, &mut slot.suspect, time, out) {
                    slot.state = Counted::default();
                    self.entities.release(key);
                }
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
        binary::write(out, &(self.next_sweep, self.episodes.opened))?;
        self.entities.save(out)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BinaryError> {
        type Saved<W> = ((i64, u64), SavedSlots<Counted<W>>);
        let ((next_sweep, opened), slots): Saved<W> = binary::read(bytes)?;
        self.next_sweep = next_sweep;
        self.episodes.opened = opened;
        restore_slots(&mut self.entities, &mut self.episodes, slots);
        self.due = self.next_sweep.min(self.episodes.next_due());
        Ok(())
    }
}

pub(super) fn restore_slots<S: State>(entities: &mut Keyed<S>, episodes: &mut Episodes, saved: SavedSlots<S>) {
    for slot in saved.2.iter().chain(&saved.3) {
        episodes.restored(slot.key, slot.suspect.as_deref());
    }
    entities.load(saved);
}

pub(super) fn stats_of<S: State>(episodes: &Episodes, entities: &Keyed<S>) -> DetectorStats {
    DetectorStats {
        id: episodes.rule.id.clone(),
        entities: entities.len(),
        evicted: entities.evicted,
        refused: entities.refused,
        open: episodes.open(),
        opened: episodes.opened,
    }
}
