//! The driver of every method: which rows count, what is kept of each entity, what is due by time, episodes with their
//! evidence, saving and loading. A method says what it keeps of an entity and what it decides.
//!
//! Promises: one look-up of state per counted row. At one time it is first decided, for that may prolong an episode; then
//! closed what was quiet; then swept; then heard what begins there (`heard`). Nothing is decided by arrival.
//! Never: knows a method by name.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::heard::{Heard, Hearing};
use super::{Detector, DetectorStats};
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::{Columns, EntityKey};
use crate::engine::episode::{Episodes, Finding, Moment, Telling};
use crate::engine::evidence::Name;
use crate::engine::keyed::{Keep, Keyed, SavedSlots, Slot, Spot, State};
use crate::engine::neighbours::{self, Neighbours, SavedNeighbours};
use crate::engine::run::{EventRow, Hit, Run, Wanted};
use crate::engine::{EngineLimits, next_multiple};
use crate::rule::{EntityColumn, Rule};

/// State is swept at least a minute apart: a sweep looks at every entity.
const SWEEP_LEAST_US: i64 = 60_000_000;

/// How a method decides about entities. It is asked row by row, and at the times that it says itself.
pub(crate) trait Method: Send + 'static {
    /// What it keeps of an entity.
    type State: State;
    /// What one row contributes.
    type Item: Copy;
    /// What it keeps of the late rows of an entity; saved beside the state.
    type Late: Serialize + DeserializeOwned;

    /// Of IPv6 clients, networks in which many do what it counts at the same time count as one, within this time.
    fn joins_within_us(&self) -> Option<i64> {
        None
    }
    /// The length of windows of which it has to know whether anybody was heard in them.
    fn hears_us(&self) -> Option<i64> {
        None
    }
    /// How far sweeps are apart, which look for entities about which nothing matters any more.
    fn sweep_us(&self) -> i64 {
        self.joins_within_us().unwrap_or(0).max(SWEEP_LEAST_US)
    }
    /// The contribution of a row; `None` when it has none.
    fn item(&self, columns: &Columns, row: usize) -> Option<Self::Item>;
    /// Whether a row of this time that stands at this place can still count.
    fn accepts(&self, _time: i64, _place: i64) -> bool {
        true
    }
    /// Whether a row with this contribution can be the first of an entity: of others nothing is kept for it.
    #[inline]
    fn begins(&self, _item: Self::Item) -> bool {
        true
    }
    /// What is kept of an entity before its first row is counted.
    fn begin(&self, row: &Row<'_, '_>) -> Self::State;
    fn on_row(&mut self, item: Self::Item, slot: &mut Slot<Self::State>, row: &mut Row<'_, '_>) -> Counted;
    /// When it is decided about the entities that a row at this place puts on the list; for those that list none, never.
    fn decides_at(&self, _place: i64) -> i64 {
        i64::MAX
    }
    /// Decides about what is on the list, at the time it said, and says when it decides next if nothing is listed.
    fn decide(&mut self, _time: i64, _deciding: Deciding<'_, Self::State>) -> i64 {
        i64::MAX
    }
    /// The entity's episode is over.
    fn closed(&self, _state: &mut Self::State) {}
    /// How much what is known of an entity is worth, when some have to make room.
    fn worth(&self, state: &mut Self::State, place: i64) -> u64;
    /// What becomes of an entity in a sweep. No row at or after `time` has been folded.
    fn sweep(&mut self, slot: &mut Slot<Self::State>, time: i64) -> Fate;
    /// Sweeps what it keeps besides entities, and says whether nothing of that is left.
    fn sweep_own(&mut self, _time: i64) -> bool {
        true
    }
    /// Of what it keeps besides, what went to make room.
    fn evicted(&self) -> u64 {
        0
    }

    /// What it keeps besides entities.
    fn save_own(&self, _out: &mut Vec<u8>) -> Result<(), BinaryError> {
        Ok(())
    }
    fn load_own(&mut self, _bytes: &mut &[u8]) -> Result<(), BinaryError> {
        Ok(())
    }
    /// Whether it lists entities, and so has times to save.
    const LISTS: bool;
    /// Whether it keeps anything of late rows beside the state.
    const KEEPS_LATE: bool;
    fn late(_state: &Self::State) -> Option<&Self::Late> {
        None
    }
    fn set_late(_state: &mut Self::State, _late: Self::Late) {}
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Yes,
    /// It is older than anything that is kept.
    TooLate,
}

/// What becomes of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// It stays and does not look bad.
    Harmless,
    Goes,
}

/// One row that counts, and what can be said about its entity.
pub(crate) struct Row<'a, 'r> {
    pub run: &'a Run<'r>,
    pub hit: Hit,
    /// In which windows anybody was heard, this row's the last of them; for methods that ask (`hears_us`).
    pub heard: Heard,
    episodes: &'a mut Episodes,
    listed: &'a mut Vec<EntityKey>,
    out: &'a mut Vec<Telling>,
    breached: bool,
}

impl Row<'_, '_> {
    pub fn event(&self) -> EventRow<'_> {
        self.run.event(self.hit.row)
    }

    /// What its entity is called.
    pub fn name(&self) -> Name {
        self.episodes.name(self.event(), self.hit.bits)
    }

    /// Puts the entity on the list of those to be decided about. Once each: the method knows who is on it.
    pub fn list<S>(&mut self, slot: &Slot<S>) {
        self.listed.push(slot.key);
    }

    /// The entity looks bad: the row is evidence. `name` is what it is called, where that is known.
    pub fn gather<S>(&mut self, slot: &mut Slot<S>, name: Option<&Name>) {
        let (run, hit, episodes) = (self.run, self.hit, &mut *self.episodes);
        let event = run.event(hit.row);
        let suspect = slot.suspect.get_or_insert_with(|| {
            let name = name.cloned().unwrap_or_else(|| episodes.name(event, hit.bits));
            episodes.suspect(name)
        });
        suspect.evidence.record(run.columns.times[hit.row], event, run.principals_behind(hit.row));
        if let Some(episode) = &mut suspect.episode {
            episode.events += 1;
        }
    }

    /// The entity, about which evidence is gathered, broke the rule with so many events; this row has shown it if `shown`.
    pub fn breach<S>(&mut self, slot: &mut Slot<S>, finding: Finding, events: u64, shown: bool) {
        let Some(suspect) = slot.suspect.as_deref_mut() else { return };
        let event = shown.then(|| (self.run.columns.times[self.hit.row], self.run.event(self.hit.row)));
        let found = (Moment::Row(self.hit.place), finding, events);
        self.episodes.breach(slot.key, suspect, found, event, self.out);
        self.breached = true;
    }

    /// The entity does not look bad.
    pub fn clear<S>(&mut self, slot: &mut Slot<S>) {
        self.episodes.clear(&mut slot.suspect);
    }
}

/// Where it is decided about those on the list.
pub(crate) struct Deciding<'a, S> {
    pub entities: &'a mut Keyed<S>,
    pub episodes: &'a mut Episodes,
    /// In order of keys.
    pub listed: &'a mut Vec<EntityKey>,
    pub out: &'a mut Vec<Telling>,
    /// In which windows up to now anybody was heard; for methods that ask (`hears_us`).
    pub heard: Heard,
}

pub(crate) struct Driver<M: Method> {
    method: M,
    wanted: Wanted,
    /// Which tracker of first-seen times, and how new an entity must be.
    newness: Option<(usize, i64)>,
    entities: Keyed<M::State>,
    neighbours: Option<Neighbours>,
    episodes: Episodes,
    /// Entities to be decided about, and when.
    listed: Vec<EntityKey>,
    decides: i64,
    next_sweep: i64,
    hearing: Option<Hearing>,
    /// The earliest of all that is due by time.
    due: i64,
    too_late: u64,
}

impl<M: Method> Driver<M> {
    pub fn new(
        method: M,
        rule: Arc<Rule>,
        (wanted, newness): (Wanted, Option<(usize, i64)>),
        limits: &EngineLimits,
    ) -> Driver<M> {
        let is_client = rule.entity.columns() == [EntityColumn::ClientIp];
        let joins = method.joins_within_us().filter(|_| is_client);
        Driver {
            wanted,
            newness,
            entities: Keyed::new(limits.entities_per_detector),
            neighbours: joins.map(|within| Neighbours::new(limits.entities_per_detector, within)),
            episodes: Episodes::new(rule, limits.suspects_per_detector),
            listed: Vec::new(),
            decides: i64::MAX,
            next_sweep: i64::MAX,
            hearing: method.hears_us().map(Hearing::new),
            due: i64::MAX,
            too_late: 0,
            method,
        }
    }

    /// Whether a row's entity is new enough to count.
    #[inline]
    fn is_new(&self, run: &Run<'_>, hit: Hit) -> bool {
        let first_seen = |tracker: usize| run.known[tracker].first_seen[hit.row - run.rows.start];
        self.newness.is_none_or(|(tracker, within)| hit.time - first_seen(tracker) <= within)
    }

    #[inline]
    fn count(&mut self, run: &Run<'_>, hit: Hit, spot: Spot, out: &mut Vec<Telling>) {
        if hit.place >= self.due {
            self.settle(hit.place, out);
        }
        if !self.is_new(run, hit) {
            return;
        }
        let Some(item) = self.method.item(run.columns, hit.row) else { return };
        if !self.method.accepts(hit.time, hit.place) {
            self.too_late += 1;
            return;
        }
        let hit = self.neighbours.as_mut().map_or(hit, |neighbours| neighbours.join(run, hit));
        if !self.method.begins(item) && !self.entities.knows(spot, &hit) {
            return;
        }
        if self.entities.is_full_for(spot, &hit) {
            self.make_room(hit.place, out);
        }
        let heard = self.heard();
        let Driver { method, entities, episodes, listed, .. } = self;
        let mut row = Row { run, hit, heard, episodes, listed, out, breached: false };
        let slot = entities.enter_at(spot, hit, || method.begin(&row));
        let counted = method.on_row(item, slot, &mut row);
        let breached = row.breached;
        if counted == Counted::TooLate {
            self.too_late += 1;
        } else if self.next_sweep == i64::MAX || M::LISTS && self.decides == i64::MAX {
            self.plan(hit.place);
        }
        if breached {
            self.due = self.earliest();
        }
    }

    /// The first row after a while: says when things are due.
    fn plan(&mut self, place: i64) {
        if self.next_sweep == i64::MAX {
            self.next_sweep = next_multiple(place, self.method.sweep_us());
        }
        if self.decides == i64::MAX && !self.listed.is_empty() {
            self.decides = self.method.decides_at(place);
        }
        self.due = self.due.min(self.next_sweep).min(self.decides);
    }

    fn earliest(&self) -> i64 {
        self.episodes.next_due().min(self.next_sweep).min(self.decides).min(self.next_heard())
    }

    fn next_heard(&self) -> i64 {
        self.hearing.as_ref().map_or(i64::MAX, Hearing::next_due)
    }

    #[inline]
    fn heard(&self) -> Heard {
        self.hearing.as_ref().map(|hearing| hearing.heard).unwrap_or_default()
    }

    #[cold]
    fn make_room(&mut self, place: i64, out: &mut Vec<Telling>) {
        let method = &self.method;
        let gone = self.entities.make_room(|state| method.worth(state, place));
        self.episodes.make_room(gone, place, out);
        self.listed.retain(|key| self.entities.has(*key));
    }

    fn decide(&mut self, time: i64, out: &mut Vec<Telling>) {
        let mut listed = std::mem::take(&mut self.listed);
        listed.sort_unstable();
        let heard = self.heard();
        let Driver { method, entities, episodes, .. } = self;
        self.decides = method.decide(time, Deciding { entities, episodes, listed: &mut listed, out, heard });
        listed.clear();
        self.listed = listed;
    }

    fn close(&mut self, time: i64, out: &mut Vec<Telling>) {
        let Some(key) = self.episodes.take_due(time) else { return };
        let Some(slot) = self.entities.get(key) else { return };
        if self.episodes.close_if_quiet(key, &mut slot.suspect, time, out) {
            self.method.closed(&mut slot.state);
        }
    }

    fn sweep(&mut self, time: i64) {
        let Driver { method, entities, episodes, .. } = self;
        entities.sweep(|slot| {
            let fate = method.sweep(slot, time);
            if fate != Fate::Stays {
                episodes.clear(&mut slot.suspect);
            }
            if fate == Fate::Goes { Keep::No } else { Keep::Yes }
        });
        let is_empty = method.sweep_own(time) && entities.is_empty();
        self.next_sweep = if is_empty { i64::MAX } else { next_multiple(time, method.sweep_us()) };
    }
}

impl<M: Method> Detector for Driver<M> {
    fn fold(&mut self, run: &Run<'_>, out: &mut Vec<Telling>) {
        if let Some(hearing) = &mut self.hearing {
            hearing.announce(&run.columns.places[run.rows.clone()]);
            self.due = self.due.min(hearing.next_due());
        }
        run.visit(self.wanted, |hits| {
            let spots = self.entities.spots(hits);
            hits.iter().zip(spots).for_each(|(hit, spot)| self.count(run, *hit, spot, out));
        });
    }

    fn settle(&mut self, until: i64, out: &mut Vec<Telling>) {
        loop {
            self.due = self.earliest();
            let time = self.due;
            if time > until {
                return;
            }
            if self.decides == time {
                self.decide(time, out);
            } else if self.episodes.next_due() == time {
                self.close(time, out);
            } else if self.next_sweep == time {
                self.sweep(time);
            } else if let Some(hearing) = &mut self.hearing {
                hearing.hear_next();
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

    fn tell_open(&self, time: i64, out: &mut Vec<Telling>) {
        for key in self.episodes.open_keys() {
            let suspect = self.entities.peek(key).and_then(|slot| slot.suspect.clone());
            suspect.into_iter().for_each(|mut suspect| self.episodes.give_up(&mut suspect, time, out));
        }
    }

    fn rule(&self) -> &Arc<Rule> {
        &self.episodes.rule
    }

    fn stats(&self) -> DetectorStats {
        DetectorStats {
            id: self.episodes.rule.id.clone(),
            entities: self.entities.len(),
            evicted: self.entities.evicted + self.method.evicted(),
            too_late: self.too_late,
            open: self.episodes.open(),
            opened: self.episodes.opened,
        }
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &self.next_sweep)?;
        if M::LISTS {
            binary::write(out, &self.decides)?;
        }
        if let Some(hearing) = &self.hearing {
            binary::write(out, &hearing.heard)?;
        }
        binary::write(out, &self.episodes.opened)?;
        if M::LISTS {
            let mut listed = self.listed.clone();
            listed.sort_unstable();
            binary::write(out, &listed)?;
        }
        self.method.save_own(out)?;
        if self.method.joins_within_us().is_some() {
            neighbours::save(self.neighbours.as_ref(), out)?;
        }
        self.entities.save(out)
    }

    fn load(&mut self, mut bytes: &[u8]) -> Result<(), BinaryError> {
        let bytes = &mut bytes;
        self.next_sweep = binary::take(bytes)?;
        if M::LISTS {
            self.decides = binary::take(bytes)?;
        }
        if let Some(hearing) = &mut self.hearing {
            hearing.heard = binary::take(bytes)?;
        }
        self.episodes.opened = binary::take(bytes)?;
        if M::LISTS {
            self.listed = binary::take(bytes)?;
        }
        self.method.load_own(bytes)?;
        if self.method.joins_within_us().is_some() {
            let saved: Option<SavedNeighbours> = binary::take(bytes)?;
            neighbours::load(self.neighbours.as_mut(), saved);
        }
        let slots: SavedSlots<M::State> = binary::read(bytes)?;
        for slot in &slots.1 {
            self.episodes.restored(slot.key, slot.suspect.as_deref());
        }
        self.entities.load(slots);
        self.due = self.earliest();
        Ok(())
    }

    fn save_late(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &self.too_late)?;
        if !M::KEEPS_LATE {
            return Ok(());
        }
        let slots = self.entities.sorted().into_iter();
        let late: Vec<(EntityKey, &M::Late)> =
            slots.filter_map(|slot| Some((slot.key, M::late(&slot.state)?))).collect();
        binary::write(out, &late)
    }

    fn load_late(&mut self, mut bytes: &[u8]) -> Result<(), BinaryError> {
        self.too_late = binary::take(&mut bytes)?;
        if !M::KEEPS_LATE {
            return Ok(());
        }
        let late: Vec<(EntityKey, M::Late)> = binary::read(bytes)?;
        for (key, late) in late {
            if let Some(slot) = self.entities.get(key) {
                M::set_late(&mut slot.state, late);
            }
        }
        Ok(())
    }
}
