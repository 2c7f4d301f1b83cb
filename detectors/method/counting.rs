//! The driver of the counting methods: threshold, distinct, sum. They alert on the very row that reaches the count.
//!
//! Promises: one look-up of state per matching row; an entity below half of its count costs nothing more. When an
//! episode closes, counting starts anew, so that no event opens two alerts. A late row alerts when some window of its own
//! time reaches the count with it.
//! Never: decides anything by arrival; sweeps and closings are due at event times.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::late::{self, Belongs, Late, belongs};
use super::panes::{Held, Sliding};
use super::{Detector, DetectorStats, PaneSpec, Wiring};
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::EntityKey;
use crate::engine::episode::{Episodes, Finding, Moment, Telling};
use crate::engine::keyed::{Keep, Keyed, SavedSlots, Slot, Spot, State};
use crate::engine::neighbours::{self, Neighbours, SavedNeighbours};
use crate::engine::run::{EventRow, Hit, Run};
use crate::engine::{EngineLimits, next_multiple};
use crate::rule::{EntityColumn, Rule};

/// State is swept at least a minute apart: a sweep looks at every entity.
pub(super) const SWEEP_LEAST_US: i64 = 60_000_000;

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(bound = "W: Sliding")]
struct Counted<W> {
    window: W,
    #[serde(skip)]
    late: Option<Box<Late<W>>>,
}

impl<W: Sliding> Counted<W> {
    /// By what share the value of a row is off.
    fn error(&self, late: bool) -> Option<f64> {
        let window = self.late.as_ref().filter(|_| late).map_or(&self.window, |late| &late.window);
        window.error()
    }
}

pub(crate) struct Counting<W> {
    wiring: Wiring,
    panes: PaneSpec,
    limits: Counts,
    neighbours: Option<Neighbours>,
    entities: Keyed<Counted<W>>,
    episodes: Episodes,
    sweep_us: i64,
    next_sweep: i64,
    /// The earliest of all that is due by time.
    due: i64,
    too_late: u64,
}

/// The count, and what follows from it.
#[derive(Clone, Copy)]
struct Counts {
    at_least: u64,
    /// From here on an entity looks bad.
    suspicious: u64,
}

impl<W: Sliding> Counting<W> {
    pub fn new(
        rule: Arc<Rule>,
        wiring: Wiring,
        (at_least, within_us): (u64, i64),
        limits: &EngineLimits,
    ) -> Counting<W> {
        let suspicious = at_least.div_ceil(2).max(2).min(at_least);
        let is_client = rule.entity.columns() == [EntityColumn::ClientIp];
        let neighbours = is_client.then(|| Neighbours::new(limits.entities_per_detector, within_us));
        Counting {
            wiring,
            panes: PaneSpec::of(within_us),
            limits: Counts { at_least, suspicious },
            neighbours,
            entities: Keyed::new(limits.entities_per_detector),
            episodes: Episodes::new(rule, limits.suspects_per_detector),
            sweep_us: within_us.max(SWEEP_LEAST_US),
            next_sweep: i64::MAX,
            due: i64::MAX,
            too_late: 0,
        }
    }

    #[inline]
    fn count(&mut self, run: &Run<'_>, hit: Hit, spot: Spot, out: &mut Vec<Telling>) {
        let Hit { row, time, place, .. } = hit;
        if place >= self.due {
            self.settle(place, out);
        }
        if !self.wiring.counts(run, row, time) {
            return;
        }
        let Some(item) = W::item(run.columns, self.wiring.argument, row) else { return };
        let hit = self.neighbours.as_mut().map_or(hit, |neighbours| neighbours.join(run, hit));
        let (pane, span) = (self.panes.pane(time), self.panes.span);
        let belongs = if time == place { Belongs::Now } else { belongs(pane, self.panes.pane(place), self.panes) };
        if self.entities.is_full_for(spot, &hit) {
            self.make_room(place, out);
        }
        let slot = self.entities.enter_at(spot, hit, Counted::default);
        let window = &mut slot.state.window;
        let held = match belongs {
            Belongs::Now => {
                window.add(pane, span, item);
                let value = window.value(pane, span, self.limits.suspicious);
                Held { value, events: window.events(), end: pane }
            }
            Belongs::Window => window.add_late((pane, self.panes.pane(place)), span, item, self.limits.suspicious),
            Belongs::Late => {
                match Late::of(&mut slot.state.late, place).add(pane, span, item, self.limits.suspicious) {
                    Some(held) => held,
                    None => {
                        self.too_late += 1;
                        return;
                    }
                }
            }
        };
        if self.next_sweep == i64::MAX {
            self.next_sweep = next_multiple(place, self.sweep_us);
            self.due = self.due.min(self.next_sweep);
        }
        if held.value >= self.limits.suspicious || slot.suspect.is_some() {
            let end = if belongs == Belongs::Now { time } else { self.panes.end(held.end).min(place) };
            let looked = Looked {
                counts: self.limits,
                held,
                start: self.panes.start(held.end),
                end,
                place,
                time: run.columns.times[row],
                late: belongs != Belongs::Now,
                bits: hit.bits,
                principals: run.principals_behind(row),
            };
            looked.closer(slot, &mut self.episodes, run.event(row), out);
            self.due = self.next_sweep.min(self.episodes.next_due());
        }
    }

    /// Who is nearest to the count is worth most.
    fn make_room(&mut self, place: i64, out: &mut Vec<Telling>) {
        let (pane, span) = (self.panes.pane(place), self.panes.span);
        let gone = self.entities.make_room(|state| state.window.value(pane, span, 0));
        self.episodes.make_room(gone, place, out);
    }

    fn sweep(&mut self, time: i64) {
        let (pane, span, suspicious) = (self.panes.pane(time), self.panes.span, self.limits.suspicious);
        let length_us = self.panes.length_us();
        let episodes = &mut self.episodes;
        self.entities.sweep(|slot| {
            if slot.suspect.as_ref().is_some_and(|s| s.episode.is_some()) {
                return Keep::Yes;
            }
            // The window ends with the pane before this time: no row of the pane at `time` has been folded.
            let value = slot.state.window.value(pane, span, 0);
            late::forget(&mut slot.state.late, time, length_us);
            if slot.state.late.is_some() {
                return Keep::Yes;
            }
            if value < suspicious {
                episodes.clear(&mut slot.suspect);
            }
            if slot.state.window.events() == 0 { Keep::No } else { Keep::Yes }
        });
        self.next_sweep = if self.entities.is_empty() { i64::MAX } else { next_multiple(time, self.sweep_us) };
    }
}

impl<W: Sliding> Late<W> {
    /// Adds a row, and says what the best window with it holds; nothing when it is older than the window.
    fn add(&mut self, pane: u32, span: u32, item: W::Item, enough: u64) -> Option<Held> {
        if pane >= self.newest {
            self.newest = pane;
            self.window.add(pane, span, item);
            let value = self.window.value(pane, span, enough);
            return Some(Held { value, events: self.window.events(), end: pane });
        }
        let holds = u64::from(pane) + u64::from(span) > u64::from(self.newest);
        holds.then(|| self.window.add_late((pane, self.newest), span, item, enough))
    }
}

/// One row of an entity that looks bad.
struct Looked {
    counts: Counts,
    /// The window that was looked at.
    held: Held,
    start: i64,
    end: i64,
    place: i64,
    /// The time of the event.
    time: i64,
    /// The row is late: there are windows that say otherwise.
    late: bool,
    bits: u8,
    principals: u32,
}

impl Looked {
    /// Gathers evidence, opens or prolongs an episode, or finds that the entity no longer looks bad.
    fn closer<W: Sliding>(
        &self,
        slot: &mut Slot<Counted<W>>,
        episodes: &mut Episodes,
        event: EventRow<'_>,
        out: &mut Vec<Telling>,
    ) {
        let suspect = slot.suspect.get_or_insert_with(|| episodes.suspect(episodes.name(event, self.bits)));
        suspect.evidence.record(self.time, event, self.principals);
        if let Some(episode) = &mut suspect.episode {
            episode.events += 1;
        }
        let Held { value, events, .. } = self.held;
        if value >= self.counts.at_least {
            let threshold = self.counts.at_least as f64;
            let finding = Finding {
                observed: value as f64,
                expected: None,
                threshold,
                score: value as f64 / threshold,
                start: self.start,
                end: self.end,
                error: slot.state.error(self.late),
                baseline: None,
            };
            episodes.breach(
                slot.key,
                suspect,
                (Moment::Row(self.place), finding, events),
                Some((self.time, event)),
                out,
            );
        } else if value < self.counts.suspicious && !self.late && slot.state.late.is_none() {
            episodes.clear(&mut slot.suspect);
        }
    }
}

impl<W: Sliding> Detector for Counting<W> {
    fn fold(&mut self, run: &Run<'_>, out: &mut Vec<Telling>) {
        run.visit(self.wiring.wanted, |hits| {
            let spots = self.entities.spots(hits);
            hits.iter().zip(spots).for_each(|(hit, spot)| self.count(run, *hit, spot, out));
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
                }
            }
        }
    }

    fn give_up(&mut self, time: i64, out: &mut Vec<Telling>) {
        while let Some(key) = self.episodes.take_due(i64::MAX) {
            if let Some(suspect) = self.entities.get(key).and_then(|slot| slot.suspect.as_mut()) {
                self.episodes.give_up(suspect, time, out);
            }
        }
    }

    fn rule(&self) -> &Arc<Rule> {
        &self.episodes.rule
    }

    fn stats(&self) -> DetectorStats {
        DetectorStats { too_late: self.too_late, ..stats_of(&self.episodes, &self.entities) }
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &(self.next_sweep, self.episodes.opened))?;
        neighbours::save(self.neighbours.as_ref(), out)?;
        self.entities.save(out)
    }

    fn save_late(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        let slots = self.entities.sorted();
        let late: Vec<(EntityKey, &Late<W>)> =
            slots.into_iter().filter_map(|slot| Some((slot.key, slot.state.late.as_deref()?))).collect();
        binary::write(out, &(self.too_late, late))
    }

    fn load_late(&mut self, bytes: &[u8]) -> Result<(), BinaryError> {
        let (too_late, late): (u64, Vec<(EntityKey, Late<W>)>) = binary::read(bytes)?;
        self.too_late = too_late;
        for (key, late) in late {
            if let Some(slot) = self.entities.get(key) {
                slot.state.late = Some(Box::new(late));
            }
        }
        Ok(())
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BinaryError> {
        type Saved<W> = ((i64, u64), Option<SavedNeighbours>, SavedSlots<Counted<W>>);
        let ((next_sweep, opened), saved, slots): Saved<W> = binary::read(bytes)?;
        self.next_sweep = next_sweep;
        self.episodes.opened = opened;
        neighbours::load(self.neighbours.as_mut(), saved);
        restore_slots(&mut self.entities, &mut self.episodes, slots);
        self.due = self.next_sweep.min(self.episodes.next_due());
        Ok(())
    }
}

pub(super) fn restore_slots<S: State>(entities: &mut Keyed<S>, episodes: &mut Episodes, saved: SavedSlots<S>) {
    for slot in &saved.1 {
        episodes.restored(slot.key, slot.suspect.as_deref());
    }
    entities.load(saved);
}

pub(super) fn stats_of<S: State>(episodes: &Episodes, entities: &Keyed<S>) -> DetectorStats {
    DetectorStats {
        id: episodes.rule.id.clone(),
        entities: entities.len(),
        evicted: entities.evicted,
        too_late: 0,
        open: episodes.open(),
        opened: episodes.opened,
    }
}
