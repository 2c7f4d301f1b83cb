//! When each entity was first seen in the stream, for detectors that count only new ones (`first_seen_within`). Looks
//! at every event, whatever the detector's `where`.
//!
//! Promises: bounded. At the bound the oldest newcomer goes, never an entity that has been around for longer than any
//! detector's `first_seen_within`; if all have, a further one is taken for new each time it comes. An entity that was
//! not seen for `remember` is new again.
//! Never: knows a time before the stream began; at its very start everybody is new.

use serde::{Deserialize, Serialize};

use super::binary::{self, BinaryError};
use super::columns::Columns;
use super::keyed::{Keep, Keyed, SavedSlots, Spot, State};
use super::run::{HITS, Hit};
use super::{EngineLimits, next_multiple};
use crate::rule::EntityKind;

#[derive(Clone, Serialize, Deserialize)]
struct Visits {
    first: i64,
    last: i64,
    /// Around for longer than any detector takes it for new.
    settled: bool,
}

impl State for Visits {
    fn known(&self) -> bool {
        self.settled
    }
}

/// The trackers of all kinds of entities that some detector asks for.
#[derive(Default)]
pub(crate) struct SeenKinds {
    trackers: Vec<Tracker>,
}

struct Tracker {
    kind: usize,
    name: String,
    longest_us: i64,
    visits: Option<Keyed<Visits>>,
    remember_us: i64,
    next_sweep: i64,
}

impl SeenKinds {
    /// The index of the tracker for a kind of entity, made if there is none.
    pub fn track(&mut self, kind: usize, entity: &EntityKind, within_us: i64) -> usize {
        let known = self.trackers.iter().position(|t| t.kind == kind);
        let index = known.unwrap_or_else(|| {
            let name = entity.to_string();
            let (visits, next_sweep) = (None, i64::MAX);
            self.trackers.push(Tracker { kind, name, longest_us: 0, visits, remember_us: 0, next_sweep });
            self.trackers.len() - 1
        });
        let longest = &mut self.trackers[index].longest_us;
        *longest = within_us.max(*longest);
        index
    }

    /// Sets the bounds, once all detectors are known.
    pub fn start(&mut self, limits: &EngineLimits) {
        for tracker in &mut self.trackers {
            tracker.visits = Some(Keyed::new(limits.first_seen_entities));
            tracker.remember_us = limits.remember_us.max(tracker.longest_us);
        }
    }

    /// Notes the rows and says, per tracker, when the entity of each was first seen.
    pub fn fold(&mut self, columns: &Columns, rows: std::ops::Range<usize>) -> Vec<Vec<i64>> {
        let fold = |tracker: &mut Tracker| {
            let (keys, earlier) = (&columns.keys[tracker.kind], columns.earlier_keys[tracker.kind].as_ref());
            let hit = |row: usize| {
                let (time, place) = (columns.times[row].min(columns.places[row]), columns.places[row]);
                Hit { row, time, place, key: keys[row], earlier: earlier.map_or(0, |keys| keys[row]) }
            };
            let hits: Vec<Hit> = rows.clone().map(hit).collect();
            let mut first = Vec::with_capacity(hits.len());
            for hits in hits.chunks(HITS) {
                let spots = tracker.visits.as_ref().map_or([Spot::UNKNOWN; HITS], |visits| visits.spots(hits));
                first.extend(hits.iter().zip(spots).map(|(hit, spot)| tracker.visit(*hit, spot)));
            }
            first
        };
        self.trackers.iter_mut().map(fold).collect()
    }

    pub fn names(&self) -> Vec<&str> {
        self.trackers.iter().map(|t| t.name.as_str()).collect()
    }

    pub fn entities(&self) -> usize {
        self.trackers.iter().filter_map(|t| t.visits.as_ref()).map(Keyed::len).sum()
    }

    pub fn save(&self, index: usize) -> Result<Vec<u8>, BinaryError> {
        let mut out = Vec::new();
        if let Some(Tracker { visits: Some(visits), next_sweep, .. }) = self.trackers.get(index) {
            binary::write(&mut out, next_sweep)?;
            visits.save(&mut out)?;
        }
        Ok(out)
    }

    /// Restores the tracker of this name; false when no detector needs it any more.
    pub fn load(&mut self, name: &str, bytes: &[u8]) -> Result<bool, BinaryError> {
        let Some(tracker) = self.trackers.iter_mut().find(|t| t.name == name) else { return Ok(false) };
        let (next_sweep, saved): (i64, SavedSlots<Visits>) = binary::read(bytes)?;
        tracker.next_sweep = next_sweep;
        if let Some(visits) = &mut tracker.visits {
            visits.load(saved);
        }
        Ok(true)
    }
}

impl Tracker {
    fn visit(&mut self, hit: Hit, spot: Spot) -> i64 {
        let Hit { time, place, key, .. } = hit;
        let Some(visits) = self.visits.as_mut().filter(|_| key != 0) else { return time };
        let remember = self.remember_us;
        while place >= self.next_sweep {
            let now = self.next_sweep;
            visits.sweep(|slot| if now - slot.state.last > remember { Keep::No } else { Keep::Yes });
            self.next_sweep = if visits.is_empty() { i64::MAX } else { next_multiple(now, remember / 4 + 1) };
        }
        if self.next_sweep == i64::MAX {
            self.next_sweep = next_multiple(place, remember / 4 + 1);
        }
        let Some(slot) = visits.enter_at(spot, hit, || Visits { first: time, last: time, settled: false }) else {
            return time;
        };
        let visits = &mut slot.state;
        if time - visits.last > remember {
            visits.first = time;
        }
        // A late row may tell of an earlier visit.
        (visits.first, visits.last) = (visits.first.min(time), visits.last.max(time));
        visits.settled = visits.last - visits.first > self.longest_us;
        visits.first
    }
}
