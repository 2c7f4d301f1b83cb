//! What is known of each entity from every event, whatever a detector's `where`: when it was first seen in the stream, for
//! detectors that count only new ones (`first_seen_within`); and how many principals there are behind a client, for those
//! that ask for it (`principals_behind`) and for the evidence. A principal counts for a day after an event in which it proved
//! who it is: a name that was only claimed makes nobody's address a shared one.
//!
//! Promises: bounded. At the bound those go who were around for the shortest time and not seen for long (`keyed`), and
//! are new when they come again; as is an entity that was not seen for `remember`.
//! Never: knows a time before the stream began; at its very start everybody is new.

use serde::{Deserialize, Serialize};

use super::binary::{self, BinaryError};
use super::columns::{Columns, Plan};
use super::keyed::{Keep, Keyed, SavedSlots, Spot};
use super::run::{HITS, Hit, Known};
use super::{EngineLimits, next_multiple};
use crate::distinct::Distinct;
use crate::rule::EntityKind;
use crate::where_sql::Predicate;

#[derive(Clone, Serialize, Deserialize)]
struct Visits {
    first: i64,
    last: i64,
    principals: Principals,
}

/// The principals behind a client, each with the hour in which it was last proven there; nearly all clients have one.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Principals {
    only: Option<(u32, u32)>,
    several: Option<Box<Distinct>>,
}

/// Principals are kept by the hour, for a day.
const PANE_US: i64 = 3_600_000_000;
const SPAN: u32 = 24;

/// What shows that a principal is more than a claim; `evidence` says the same of one event.
const PROVEN: &str = "principal_source = 'gateway'";

impl Principals {
    /// Notes one, with what it was under the token key before, or 0.
    fn note(&mut self, (value, earlier): (u32, u32), pane: u32) {
        if let Some(several) = &mut self.several {
            if earlier != 0 {
                several.rename(earlier, value);
            }
            several.put(value, pane);
            return;
        }
        match self.only {
            Some((known, seen)) if known != value && (earlier == 0 || known != earlier) => {
                let mut several = Distinct::default();
                several.put(known, seen);
                several.put(value, pane);
                (self.only, self.several) = (None, Some(Box::new(several)));
            }
            Some((_, seen)) => self.only = Some((value, pane.max(seen))),
            None => self.only = Some((value, pane)),
        }
    }

    fn count(&mut self, pane: u32) -> u32 {
        if let Some(several) = &mut self.several {
            several.clear_until(pane, SPAN);
            return u32::try_from(several.count()).unwrap_or(u32::MAX);
        }
        u32::from(self.only.is_some_and(|(_, seen)| u64::from(seen) + u64::from(SPAN) > u64::from(pane)))
    }
}

/// The trackers of all kinds of entities that some detector asks for.
#[derive(Default)]
pub(crate) struct SeenKinds {
    trackers: Vec<Tracker>,
    /// The one of clients, where principals are counted.
    clients: Option<usize>,
}

struct Tracker {
    kind: usize,
    name: String,
    longest_us: i64,
    /// Where principals are counted: their column, and the condition that they are proven.
    principals: Option<(usize, usize)>,
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
            let principals = None;
            self.trackers.push(Tracker { kind, name, longest_us: 0, principals, visits, remember_us: 0, next_sweep });
            self.trackers.len() - 1
        });
        let longest = &mut self.trackers[index].longest_us;
        *longest = within_us.max(*longest);
        index
    }

    /// Counts the principals behind clients from now on.
    pub fn count_principals(&mut self, plan: &mut Plan) {
        let clients = EntityKind::client();
        let index = self.track(plan.kind(&clients), &clients, 0);
        let proven = Predicate::compile(PROVEN).expect("a condition of our own");
        self.trackers[index].principals = Some((plan.values(&["principal"]), plan.predicate(&proven)));
        self.clients = Some(index);
    }

    pub fn clients(&self) -> Option<usize> {
        self.clients
    }

    /// Sets the bounds, once all detectors are known.
    pub fn start(&mut self, limits: &EngineLimits) {
        for tracker in &mut self.trackers {
            tracker.visits = Some(Keyed::new(limits.first_seen_entities));
            tracker.remember_us = limits.remember_us.max(tracker.longest_us);
        }
    }

    /// Notes the rows and says, per tracker, what is known of the entity of each.
    pub fn fold(&mut self, columns: &Columns, rows: std::ops::Range<usize>) -> Vec<Known> {
        let fold = |tracker: &mut Tracker| {
            let (keys, earlier) = (&columns.keys[tracker.kind], columns.earlier_keys[tracker.kind].as_ref());
            let hit = |row: usize| {
                let (time, place) = (columns.times[row].min(columns.places[row]), columns.places[row]);
                Hit { row, time, place, key: keys[row], earlier: earlier.map_or(0, |keys| keys[row]), bits: 0 }
            };
            let hits: Vec<Hit> = rows.clone().map(hit).collect();
            let mut known = Known { first_seen: Vec::with_capacity(hits.len()), principals: Vec::new() };
            known.principals.reserve(if tracker.principals.is_some() { hits.len() } else { 0 });
            for hits in hits.chunks(HITS) {
                let spots = tracker.visits.as_ref().map_or([Spot::UNKNOWN; HITS], |visits| visits.spots(hits));
                hits.iter().zip(spots).for_each(|(hit, spot)| tracker.visit(columns, *hit, spot, &mut known));
            }
            known
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
    fn visit(&mut self, columns: &Columns, hit: Hit, spot: Spot, known: &mut Known) {
        let Hit { row, time, place, key, .. } = hit;
        let counted = self.principals;
        let Some(visits) = self.visits.as_mut().filter(|_| key != 0) else {
            known.first_seen.push(time);
            known.principals.extend(counted.map(|_| 0));
            return;
        };
        let remember = self.remember_us;
        while place >= self.next_sweep {
            let now = self.next_sweep;
            visits.sweep(|slot| if now - slot.state.last > remember { Keep::No } else { Keep::Yes });
            self.next_sweep = if visits.is_empty() { i64::MAX } else { next_multiple(now, remember / 4 + 1) };
        }
        if self.next_sweep == i64::MAX {
            self.next_sweep = next_multiple(place, remember / 4 + 1);
        }
        if visits.is_full_for(spot, &hit) {
            visits.make_room(|visits| worth(visits, place, remember));
        }
        let visits = &mut visits.enter_at(spot, hit, || Visits::at(time)).state;
        if time - visits.last > remember {
            visits.first = time;
        }
        // A late row may tell of an earlier visit.
        (visits.first, visits.last) = (visits.first.min(time), visits.last.max(time));
        known.first_seen.push(visits.first);
        if let Some((column, proven)) = counted {
            let pane = |time: i64| u32::try_from(time.max(0) / PANE_US).unwrap_or(u32::MAX);
            if columns.filters[proven].value(row)
                && let Some(principal) = columns.value(column, row)
            {
                visits.principals.note(principal, pane(time));
            }
            known.principals.push(visits.principals.count(pane(place)));
        }
    }
}

impl Visits {
    fn at(time: i64) -> Visits {
        Visits { first: time, last: time, principals: Principals::default() }
    }
}

/// How long it has been around, less the longer ago it was seen; in seconds, by a 256th of the time it is remembered.
fn worth(visits: &Visits, now: i64, remember: i64) -> u64 {
    let around = (visits.last - visits.first).max(0) / 1_000_000;
    let left = (remember - (now - visits.last)).clamp(0, remember) / (remember / 256 + 1);
    around.unsigned_abs() * left.unsigned_abs()
}
