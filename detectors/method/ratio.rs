//! `ratio`: which share of an entity's events match a condition, over a sliding window. Decided each time a pane
//! closes, for the entities that had events in it: while a pane runs, one event more or less is chance.
//!
//! Promises: a decision sees every event before the pane's end and none after. A late event is decided about with the next
//! pane, in every window of its own time; what comes out of a backlog is decided as its own panes end.
//! Never: decides on fewer than `min_events`.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::counting::{SWEEP_LEAST_US, restore_slots, stats_of};
use super::late::{self, Belongs, Late, belongs};
use super::panes::Panes;
use super::{Detector, DetectorStats, PaneSpec, Summary, Wiring};
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::{Columns, EntityKey};
use crate::engine::episode::{Episodes, Finding, Moment, Telling};
use crate::engine::keyed::{Keep, Keyed, SavedSlots, Spot};
use crate::engine::neighbours::{self, Neighbours, SavedNeighbours};
use crate::engine::run::{Hit, Run};
use crate::engine::{EngineLimits, next_multiple};
use crate::rule::{EntityColumn, Method, Rule};

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
    /// The earliest pane that late events fell into since it was decided about, counted from 1; or 0.
    #[serde(skip)]
    behind: u32,
    #[serde(skip)]
    late: Option<Box<Late<Panes<Share>>>>,
}

/// What is too much, of how many.
#[derive(Clone, Copy)]
struct Bounds {
    at_least: f64,
    min_events: u64,
}

impl Bounds {
    fn is_breach(&self, share: &Share) -> bool {
        share.events() >= self.min_events && share.value() >= self.at_least
    }

    fn is_suspicious(&self, share: &Share) -> bool {
        !self.is_harmless(share)
    }

    fn is_harmless(&self, share: &Share) -> bool {
        2 * share.events() < self.min_events || 2.0 * share.value() < self.at_least
    }

    fn finding(&self, share: &Share, panes: PaneSpec, window: u32) -> Finding {
        Finding {
            observed: share.value(),
            expected: None,
            threshold: self.at_least,
            score: share.value() / self.at_least,
            start: panes.start(window),
            end: panes.end(window),
            error: None,
            baseline: None,
        }
    }
}

pub(crate) struct RatioDetector {
    wiring: Wiring,
    panes: PaneSpec,
    bounds: Bounds,
    entities: Keyed<Watched>,
    neighbours: Option<Neighbours>,
    episodes: Episodes,
    /// Entities with events in the running pane.
    listed: Vec<EntityKey>,
    pane_ends: i64,
    sweep_us: i64,
    next_sweep: i64,
    due: i64,
    too_late: u64,
}

/// What is kept of late events, beside the state: `behind` and `late` by entity.
type SavedLate<'a> = Vec<(EntityKey, u32, Option<Cow<'a, Late<Panes<Share>>>>)>;

impl RatioDetector {
    pub fn new(rule: Arc<Rule>, wiring: Wiring, limits: &EngineLimits) -> RatioDetector {
        let (at_least, min_events) = match &rule.method {
            Method::Ratio { at_least, min_events, .. } => (*at_least, *min_events),
            _ => (1.0, u64::MAX),
        };
        let within_us = rule.method.window_us();
        let is_client = rule.entity.columns() == [EntityColumn::ClientIp];
        RatioDetector {
            wiring,
            panes: PaneSpec::of(within_us),
            bounds: Bounds { at_least, min_events },
            entities: Keyed::new(limits.entities_per_detector),
            neighbours: is_client.then(|| Neighbours::new(limits.entities_per_detector, within_us)),
            episodes: Episodes::new(rule, limits.suspects_per_detector),
            listed: Vec::new(),
            pane_ends: i64::MAX,
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
        let Some(matches) = Share::item(run.columns, self.wiring.argument, row) else { return };
        let hit = self.neighbours.as_mut().map_or(hit, |neighbours| neighbours.join(run, hit));
        let (pane, running, span) = (self.panes.pane(time), self.panes.pane(place), self.panes.span);
        if self.entities.is_full_for(spot, &hit) {
            self.make_room(place, out);
        }
        let key = hit.key;
        let slot = self.entities.enter_at(spot, hit, Watched::default);
        let share = match belongs(pane, running, self.panes) {
            Belongs::Now => {
                slot.state.window.advance(pane, span);
                slot.state.window.add_now(matches);
                slot.state.window.total()
            }
            Belongs::Window => {
                slot.state.window.add_at(pane, span, matches);
                let behind = &mut slot.state.behind;
                *behind = if *behind == 0 { pane + 1 } else { (pane + 1).min(*behind) };
                slot.state.window.ending(pane, span)
            }
            Belongs::Late => {
                let late = Late::of(&mut slot.state.late, place);
                if u64::from(pane) + u64::from(span) <= u64::from(late.newest) {
                    self.too_late += 1;
                    return;
                }
                if pane > late.newest {
                    let ended = std::mem::replace(&mut late.newest, pane);
                    let (share, decided) = (late.window.ending(ended, span), Moment::Row(place));
                    if let Some(suspect) = slot.suspect.as_deref_mut() {
                        let found = (decided, self.bounds.finding(&share, self.panes, ended), share.events());
                        if self.bounds.is_breach(&share) {
                            self.episodes.breach(key, suspect, found, None, out);
                        }
                    }
                }
                late.window.add_at(pane, span, matches);
                late.window.ending(pane, span)
            }
        };
        if self.listed.is_empty() {
            self.pane_ends = self.panes.end(running);
            self.next_sweep = self.next_sweep.min(next_multiple(place, self.sweep_us));
            self.due = self.due.min(self.pane_ends).min(self.next_sweep);
        }
        // Panes count from 0, `listed` from 1: a new entity is on no list.
        if slot.state.listed != running + 1 {
            slot.state.listed = running + 1;
            self.listed.push(key);
        }
        if self.bounds.is_suspicious(&share) || slot.suspect.is_some() {
            let event = run.event(row);
            let episodes = &mut self.episodes;
            let suspect = slot.suspect.get_or_insert_with(|| episodes.suspect(episodes.name(event, hit.bits)));
            suspect.evidence.record(run.columns.times[row], event, run.principals_behind(row));
            if let Some(episode) = &mut suspect.episode {
                episode.events += 1;
            }
        }
        self.due = self.due.min(self.episodes.next_due());
    }

    /// Decides about the entities with events in the pane that ends at `end`.
    fn close_pane(&mut self, end: i64, out: &mut Vec<Telling>) {
        let (pane, span) = (self.panes.pane(end - 1), self.panes.span);
        let mut listed = std::mem::take(&mut self.listed);
        self.pane_ends = i64::MAX;
        listed.sort_unstable();
        for key in listed.drain(..) {
            let Some(slot) = self.entities.get(key) else { continue };
            let state = &mut slot.state;
            state.window.advance(pane, span);
            let share = state.window.total();
            let behind = std::mem::take(&mut state.behind);
            let Some(suspect) = slot.suspect.as_deref_mut() else { continue };
            let mut windows = vec![(pane, share.clone())];
            if behind > 0 {
                let ends = state.window.ends(behind - 1, span.saturating_mul(2)).filter(|end| *end < pane);
                windows.extend(ends.map(|end| (end, state.window.ending(end, span))));
            }
            windows.extend(state.late.iter().map(|late| (late.newest, late.window.ending(late.newest, span))));
            // Of equal ones the first.
            let breaches = windows.into_iter().filter(|(_, share)| self.bounds.is_breach(share));
            let worst = breaches.reduce(|worst, one| if one.1.value() > worst.1.value() { one } else { worst });
            if let Some((window, share)) = worst {
                let finding = self.bounds.finding(&share, self.panes, window);
                self.episodes.breach(key, suspect, (Moment::Due(end), finding, share.events()), None, out);
            } else if self.bounds.is_harmless(&share) && state.late.is_none() {
                self.episodes.clear(&mut slot.suspect);
            }
        }
        self.listed = listed;
    }

    /// Who has most events that match is worth most.
    fn make_room(&mut self, place: i64, out: &mut Vec<Telling>) {
        let (pane, span) = (self.panes.pane(place), self.panes.span);
        let gone = self.entities.make_room(|state| u64::from(state.window.ending(pane, span).hits));
        self.episodes.make_room(gone, place, out);
        self.listed.retain(|key| self.entities.has(*key));
    }

    fn sweep(&mut self, time: i64) {
        let (pane, span, length_us) = (self.panes.pane(time), self.panes.span, self.panes.length_us());
        let episodes = &mut self.episodes;
        self.entities.sweep(|slot| {
            slot.state.window.advance(pane, span);
            late::forget(&mut slot.state.late, time, length_us);
            if slot.state.late.is_some() {
                return Keep::Yes;
            }
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
        run.visit(self.wiring.wanted, |hits| {
            let spots = self.entities.spots(hits);
            hits.iter().zip(spots).for_each(|(hit, spot)| self.count(run, *hit, spot, out));
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
                    let listed = slot.state.listed;
                    slot.state = Watched { listed, ..Watched::default() };
                }
            } else {
                self.sweep(time);
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

    fn save_late(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        let mut all: SavedLate<'_> = Vec::new();
        for slot in self.entities.sorted() {
            let Watched { behind, late, .. } = &slot.state;
            if *behind > 0 || late.is_some() {
                all.push((slot.key, *behind, late.as_deref().map(Cow::Borrowed)));
            }
        }
        binary::write(out, &(self.too_late, all))
    }

    fn load_late(&mut self, bytes: &[u8]) -> Result<(), BinaryError> {
        let (too_late, late): (u64, SavedLate<'_>) = binary::read(bytes)?;
        self.too_late = too_late;
        for (key, behind, late) in late {
            if let Some(slot) = self.entities.get(key) {
                slot.state.behind = behind;
                slot.state.late = late.map(|late| Box::new(late.into_owned()));
            }
        }
        Ok(())
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        let mut listed = self.listed.clone();
        listed.sort_unstable();
        binary::write(out, &(self.next_sweep, self.pane_ends, self.episodes.opened, listed))?;
        neighbours::save(self.neighbours.as_ref(), out)?;
        self.entities.save(out)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BinaryError> {
        type Saved = ((i64, i64, u64, Vec<EntityKey>), Option<SavedNeighbours>, SavedSlots<Watched>);
        let ((next_sweep, pane_ends, opened, listed), saved, slots): Saved = binary::read(bytes)?;
        (self.next_sweep, self.pane_ends, self.listed) = (next_sweep, pane_ends, listed);
        self.episodes.opened = opened;
        neighbours::load(self.neighbours.as_mut(), saved);
        restore_slots(&mut self.entities, &mut self.episodes, slots);
        self.due = self.next_sweep.min(self.pane_ends).min(self.episodes.next_due());
        Ok(())
    }
}
