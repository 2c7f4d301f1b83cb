//! State per entity, with a hard bound and a stated behaviour at it.
//!
//! Promises: never more than `bound` entities, and a newcomer always gets a place at its first row. When places run out, an
//! eighth of them is freed at once, so the cost per newcomer is constant. Who goes:
//! - nobody whose alert is open, as long as these hold at most three quarters of the places; beyond that, those of them
//!   that broke the rule longest ago;
//! - of the others none of the half that was seen last: who is active is judged, known or not;
//! - of the half that was seen longest ago those of least worth: first who does not look bad, of these who has earned least
//!   (`worth`, which the method says), of equals who was seen longest ago.
//!
//! So what is kept for its past holds at most half of the places, and a flood of entities that come once moves through the
//! other half. An entity whose token got a new key keeps its slot: from the first row that names both keys on it is found
//! by either. Everything that can be seen from outside depends on the order of calls alone, never on the layout of the map.
//! Never: reads a clock; the caller says what time it is, in event time.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashTable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::binary::{self, BinaryError};
use super::columns::EntityKey;
use super::episode::Suspect;
use super::run::{HITS, Hit};

/// What a method keeps per entity.
pub(crate) trait State: Serialize + DeserializeOwned + Send {}

impl<S: Serialize + DeserializeOwned + Send> State for S {}

/// One entity.
#[derive(Serialize, Deserialize)]
pub(crate) struct Slot<S> {
    pub key: EntityKey,
    pub state: S,
    /// Present while the entity looks bad: its evidence, and its episode once it is open.
    pub suspect: Option<Box<Suspect>>,
    /// Where its latest row stood.
    seen: i64,
}

impl<S> Slot<S> {
    /// Whether its alert is open.
    pub fn is_open(&self) -> bool {
        self.open().is_some()
    }

    /// When it last broke the rule, while its alert is open.
    fn open(&self) -> Option<i64> {
        Some(self.suspect.as_ref()?.episode.as_ref()?.last_breach())
    }
}

/// What went to make room and looked bad.
pub(crate) type Gone = (EntityKey, Box<Suspect>);

/// Of the places, one in so many is freed at a time.
const FREED: usize = 8;

/// What a sweep does with an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Yes,
    /// Nothing about it matters any more.
    No,
}

/// Where a slot was when it was looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot(u32);

impl Spot {
    pub const UNKNOWN: Spot = Spot(u32::MAX);
}

/// Passes a hash through: keys are hashes already.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// The slots of all entities, and where each key's slot is. The table holds nothing but spots, five bytes an entity,
/// so that looking up costs one miss of the cache for the slot and seldom one for the table.
pub(crate) struct Keyed<S> {
    spots: HashTable<u32>,
    /// By a newer key of an entity, the key of its slot. Empty unless keys of tokens rotated while entities lived.
    renamed: HashMap<EntityKey, EntityKey, BuildHasherDefault<KeyHasher>>,
    slots: Vec<Option<Slot<S>>>,
    free: Vec<u32>,
    bound: usize,
    pub evicted: u64,
}

impl<S: State> Keyed<S> {
    pub fn new(bound: usize) -> Keyed<S> {
        Keyed {
            spots: HashTable::new(),
            renamed: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            bound: bound.max(1),
            evicted: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.spots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spots.is_empty()
    }

    #[inline]
    fn spot(&self, key: EntityKey) -> Option<u32> {
        let found = self.spot_of(key);
        if found.is_some() || self.renamed.is_empty() {
            return found;
        }
        self.spot_of(*self.renamed.get(&key)?)
    }

    #[inline]
    fn spot_of(&self, key: EntityKey) -> Option<u32> {
        let slots = &self.slots;
        let is_it = |spot: &u32| slots[*spot as usize].as_ref().is_some_and(|slot| slot.key == key);
        self.spots.find(key as u64, is_it).copied()
    }

    /// From now on the entity that had `earlier` is found by `key`, too; unless there is one by that key already.
    #[cold]
    fn rename(&mut self, earlier: EntityKey, key: EntityKey) {
        if self.spot(key).is_some() {
            return;
        }
        let Some(slot) = self.spot(earlier).and_then(|spot| self.slots[spot as usize].as_ref()) else { return };
        let first = slot.key;
        if self.renamed.len() >= self.bound {
            self.forget_names();
        }
        self.renamed.insert(key, first);
    }

    /// Drops the newer keys of entities that are gone.
    fn forget_names(&mut self) {
        let mut renamed = std::mem::take(&mut self.renamed);
        renamed.retain(|_, first| self.spot_of(*first).is_some());
        self.renamed = renamed;
    }

    pub fn get(&mut self, key: EntityKey) -> Option<&mut Slot<S>> {
        let spot = self.spot(key)?;
        self.slots[spot as usize].as_mut()
    }

    pub fn peek(&self, key: EntityKey) -> Option<&Slot<S>> {
        self.slots[self.spot(key)? as usize].as_ref()
    }

    /// Where the slots of these rows' entities are now; `Spot::UNKNOWN` where there is none.
    #[inline]
    pub fn spots(&self, hits: &[Hit]) -> [Spot; HITS] {
        let mut spots = [Spot::UNKNOWN; HITS];
        for (spot, hit) in spots.iter_mut().zip(hits) {
            *spot = self.spot(hit.key).map_or(Spot::UNKNOWN, Spot);
        }
        spots
    }

    /// Whether room has to be made before this row's entity can enter.
    #[inline]
    pub fn is_full_for(&self, spot: Spot, hit: &Hit) -> bool {
        self.spots.len() >= self.bound && !self.knows(spot, hit)
    }

    /// Whether there is a slot of this row's entity.
    #[inline]
    pub fn knows(&self, spot: Spot, hit: &Hit) -> bool {
        self.is_at(spot, hit.key) || self.has(hit.key) || hit.earlier != 0 && self.has(hit.earlier)
    }

    pub fn has(&self, key: EntityKey) -> bool {
        self.spot(key).is_some()
    }

    #[inline]
    fn is_at(&self, spot: Spot, key: EntityKey) -> bool {
        self.slots.get(spot.0 as usize).and_then(Option::as_ref).is_some_and(|slot| slot.key == key)
    }

    /// The slot of a row's entity, made if there is none. `spot` is where it was a moment ago; it is checked.
    #[inline]
    pub fn enter_at(&mut self, spot: Spot, hit: Hit, make: impl FnOnce() -> S) -> &mut Slot<S> {
        let spot = if self.is_at(spot, hit.key) {
            spot.0
        } else {
            if hit.earlier != 0 {
                self.rename(hit.earlier, hit.key);
            }
            self.spot(hit.key).unwrap_or_else(|| self.admit(hit.key, make))
        };
        self.seen(spot, hit.place)
    }

    /// The entity's slot, made if there is none, at `place`.
    pub fn enter(&mut self, key: EntityKey, place: i64, make: impl FnOnce() -> S) -> &mut Slot<S> {
        let spot = self.spot(key).unwrap_or_else(|| self.admit(key, make));
        self.seen(spot, place)
    }

    #[inline]
    fn seen(&mut self, spot: u32, place: i64) -> &mut Slot<S> {
        let slot = self.slots[spot as usize].as_mut().expect("a spot that was just found or made");
        slot.seen = place;
        slot
    }

    fn admit(&mut self, key: EntityKey, make: impl FnOnce() -> S) -> u32 {
        debug_assert!(self.spots.len() < self.bound, "room is made first");
        self.store(Slot { key, state: make(), suspect: None, seen: i64::MIN })
    }

    /// Frees an eighth of the places, and says who of those that went looked bad, in order of keys. `worth` is what a state
    /// has earned.
    #[cold]
    pub fn make_room(&mut self, mut worth: impl FnMut(&mut S) -> u64) -> Vec<Gone> {
        let (mut open, mut others): (Vec<Rank>, Vec<Rank>) = (Vec::new(), Vec::new());
        for (spot, slot) in (0..).zip(&self.slots) {
            let Some(slot) = slot else { continue };
            match slot.open() {
                Some(breach) => open.push(Rank { worth: 0, seen: breach, spot }),
                None => others.push(Rank { worth: 0, seen: slot.seen, spot }),
            }
        }
        let open_most = self.bound - self.bound.div_ceil(4);
        let going = open.len().saturating_sub(open_most);
        let mut leaving = self.least(open, going);
        let older = others.len().div_ceil(2);
        let mut older = self.least(others, older);
        for rank in &mut older {
            if let Some(slot) = &mut self.slots[rank.spot as usize] {
                let looks_bad = u64::from(slot.suspect.is_some()) << 63;
                rank.worth = looks_bad | worth(&mut slot.state).min(u64::MAX >> 1);
            }
        }
        let going = (self.bound / FREED).max(1);
        leaving.extend(self.least(older, going));
        let mut gone = Vec::new();
        for rank in leaving {
            let Some(slot) = self.take(rank.spot) else { continue };
            self.evicted += 1;
            gone.extend(slot.suspect.map(|suspect| (slot.key, suspect)));
        }
        gone.sort_unstable_by_key(|(key, _)| *key);
        gone
    }

    /// The `many` that rank lowest, of equals by key.
    fn least(&self, mut ranks: Vec<Rank>, many: usize) -> Vec<Rank> {
        if many < ranks.len() && many > 0 {
            let key = |rank: &Rank| self.slots[rank.spot as usize].as_ref().map_or(0, |slot| slot.key);
            let order = |rank: &Rank| (rank.worth, rank.seen, key(rank));
            ranks.select_nth_unstable_by(many - 1, |a, b| order(a).cmp(&order(b)));
        }
        ranks.truncate(many);
        ranks
    }

    fn store(&mut self, slot: Slot<S>) -> u32 {
        let key = slot.key;
        let spot = match self.free.pop() {
            Some(spot) => {
                self.slots[spot as usize] = Some(slot);
                spot
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.spots.insert_unique(key as u64, spot, |spot| hash_of(slots, *spot));
        spot
    }

    /// Takes a slot out and frees its spot.
    fn take(&mut self, spot: u32) -> Option<Slot<S>> {
        let slot = self.slots[spot as usize].take()?;
        if let Ok(entry) = self.spots.find_entry(slot.key as u64, |known| *known == spot) {
            entry.remove();
        }
        self.free.push(spot);
        Some(slot)
    }

    /// Looks at every entity.
    pub fn sweep(&mut self, mut look: impl FnMut(&mut Slot<S>) -> Keep) {
        for spot in 0..self.slots.len() {
            let Some(slot) = self.slots[spot].as_mut() else { continue };
            if look(slot) == Keep::No {
                self.take(spot as u32);
            }
        }
        self.forget_names();
        self.shrink();
    }

    /// Gives memory back after a peak, and lists the free spots anew.
    fn shrink(&mut self) {
        while matches!(self.slots.last(), Some(None)) {
            self.slots.pop();
        }
        self.free = (0..self.slots.len() as u32).filter(|spot| self.slots[*spot as usize].is_none()).collect();
        if self.slots.capacity() > 4 * self.slots.len() + 1024 {
            self.slots.shrink_to(2 * self.slots.len());
            let (room, slots) = (2 * self.spots.len(), &self.slots);
            self.spots.shrink_to(room, |spot| hash_of(slots, *spot));
        }
    }

    /// Every entity, in order of keys.
    pub fn sorted(&self) -> Vec<&Slot<S>> {
        let mut all: Vec<&Slot<S>> = self.slots.iter().flatten().collect();
        all.sort_unstable_by_key(|slot| slot.key);
        all
    }

    /// In order of keys: the layout of the map leaves no trace.
    pub fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        let mut renamed: Vec<(EntityKey, EntityKey)> = self.renamed.iter().map(|(key, first)| (*key, *first)).collect();
        renamed.retain(|(_, first)| self.spot_of(*first).is_some());
        renamed.sort_unstable();
        binary::write(out, &(self.evicted, self.sorted(), renamed))
    }

    pub fn load(&mut self, saved: SavedSlots<S>) {
        let (evicted, slots, renamed) = saved;
        self.evicted = evicted;
        slots.into_iter().for_each(|slot| _ = self.store(slot));
        self.renamed = renamed.into_iter().collect();
    }
}

/// Where an entity stands among those that may have to go.
#[derive(Clone, Copy)]
struct Rank {
    worth: u64,
    seen: i64,
    spot: u32,
}

/// Keys are hashes; the table wants 64 bits of them.
fn hash_of<S>(slots: &[Option<Slot<S>>], spot: u32) -> u64 {
    slots[spot as usize].as_ref().map_or(0, |slot| slot.key as u64)
}

/// What `save` wrote: evicted, all slots, newer keys of some of them.
pub(crate) type SavedSlots<S> = (u64, Vec<Slot<S>>, Vec<(EntityKey, EntityKey)>);

#[cfg(test)]
mod tests;
