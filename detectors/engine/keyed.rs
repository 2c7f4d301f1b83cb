//! State per entity, with a hard bound and a stated behaviour at it.
//!
//! Promises: never more than `bound` entities. New entities queue in order of arrival; at the bound the oldest of the
//! queue goes, unless it is protected: it looks bad (a suspect) or is known (has history). Protected entities leave
//! the queue and join it again when they stop being protected. When all are protected the newcomer is refused. So a
//! flood of new entities cannot evict one that already looks bad, and the cost per newcomer is constant.
//! An entity whose token got a new key keeps its slot: from the first row that names both keys on it is found by either.
//! Everything that can be seen from outside depends on the order of calls alone, never on the layout of the map.
//! Never: reads a clock; the caller says when to sweep, in event time.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashTable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::binary::{self, BinaryError};
use super::columns::EntityKey;
use super::episode::Suspect;
use super::run::{HITS, Hit};

/// What a method keeps per entity.
pub(crate) trait State: Serialize + DeserializeOwned + Send {
    /// Whether this entity has a past worth keeping over a newcomer's first event.
    fn known(&self) -> bool;
}

/// One entity.
#[derive(Serialize, Deserialize)]
pub(crate) struct Slot<S> {
    pub key: EntityKey,
    pub state: S,
    /// Present while the entity looks bad: its evidence, and its episode once it is open.
    pub suspect: Option<Box<Suspect>>,
    queued: bool,
}

impl<S: State> Slot<S> {
    fn protected(&self) -> bool {
        self.suspect.is_some() || self.state.known()
    }
}

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
    queue: VecDeque<u32>,
    bound: usize,
    pub evicted: u64,
    pub refused: u64,
}

impl<S: State> Keyed<S> {
    pub fn new(bound: usize) -> Keyed<S> {
        Keyed {
            spots: HashTable::new(),
            renamed: HashMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            bound,
            evicted: 0,
            refused: 0,
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

    /// The slot of a row's entity, made if there is none; `None` when the newcomer is refused. `spot` is where it was a
    /// moment ago; it is checked.
    #[inline]
    pub fn enter_at(&mut self, spot: Spot, hit: Hit, make: impl FnOnce() -> S) -> Option<&mut Slot<S>> {
        let there = self.slots.get(spot.0 as usize).and_then(Option::as_ref).is_some_and(|slot| slot.key == hit.key);
        if there {
            return self.slots[spot.0 as usize].as_mut();
        }
        if hit.earlier != 0 {
            self.rename(hit.earlier, hit.key);
        }
        self.enter(hit.key, make)
    }

    /// The entity's slot, made if there is none; `None` when the newcomer is refused.
    pub fn enter(&mut self, key: EntityKey, make: impl FnOnce() -> S) -> Option<&mut Slot<S>> {
        let spot = match self.spot(key) {
            Some(spot) => spot,
            None => self.admit(key, make)?,
        };
        self.slots[spot as usize].as_mut()
    }

    fn admit(&mut self, key: EntityKey, make: impl FnOnce() -> S) -> Option<u32> {
        if self.spots.len() >= self.bound && !self.evict_one() {
            self.refused += 1;
            return None;
        }
        let slot = Slot { key, state: make(), suspect: None, queued: true };
        let spot = self.store(slot);
        self.queue.push_back(spot);
        Some(spot)
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

    fn evict_one(&mut self) -> bool {
        while let Some(spot) = self.queue.pop_front() {
            let Some(slot) = self.slots[spot as usize].as_mut() else { continue };
            if slot.protected() {
                slot.queued = false;
                continue;
            }
            let key = slot.key;
            self.remove_spot(key, spot);
            self.evicted += 1;
            return true;
        }
        false
    }

    fn remove_spot(&mut self, key: EntityKey, spot: u32) {
        self.forget(key, spot);
        self.free.push(spot);
    }

    fn forget(&mut self, key: EntityKey, spot: u32) {
        if let Ok(entry) = self.spots.find_entry(key as u64, |known| *known == spot) {
            entry.remove();
        }
        self.slots[spot as usize] = None;
    }

    /// An entity that stopped being protected can be evicted again.
    pub fn release(&mut self, key: EntityKey) {
        let Some(spot) = self.spot(key) else { return };
        let Some(slot) = self.slots[spot as usize].as_mut() else { return };
        if !slot.queued && !slot.protected() {
            slot.queued = true;
            self.queue.push_back(spot);
        }
    }

    /// Looks at every entity. Those that stopped being protected join the queue in order of their keys.
    pub fn sweep(&mut self, mut look: impl FnMut(&mut Slot<S>) -> Keep) {
        let mut released: Vec<(EntityKey, u32)> = Vec::new();
        for spot in 0..self.slots.len() {
            let Some(slot) = self.slots[spot].as_mut() else { continue };
            if look(slot) == Keep::No {
                let key = slot.key;
                self.forget(key, spot as u32);
            } else if !slot.queued && !slot.protected() {
                slot.queued = true;
                released.push((slot.key, spot as u32));
            }
        }
        self.forget_names();
        let slots = &self.slots;
        self.queue.retain(|spot| slots[*spot as usize].is_some());
        released.sort_unstable();
        self.queue.extend(released.into_iter().map(|(_, spot)| spot));
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
            self.queue.shrink_to(2 * self.queue.len());
        }
    }

    /// Every entity, in order of keys.
    pub fn sorted(&self) -> Vec<&Slot<S>> {
        let mut all: Vec<&Slot<S>> = self.slots.iter().flatten().collect();
        all.sort_unstable_by_key(|slot| slot.key);
        all
    }

    /// The queue first, in its order, then the others by key: the layout of the map leaves no trace.
    pub fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        let queued: Vec<&Slot<S>> = self.queue.iter().filter_map(|spot| self.slots[*spot as usize].as_ref()).collect();
        let others: Vec<&Slot<S>> = self.sorted().into_iter().filter(|slot| !slot.queued).collect();
        let mut renamed: Vec<(EntityKey, EntityKey)> = self.renamed.iter().map(|(key, first)| (*key, *first)).collect();
        renamed.retain(|(_, first)| self.spot_of(*first).is_some());
        renamed.sort_unstable();
        binary::write(out, &(self.evicted, self.refused, queued, others, renamed))
    }

    pub fn load(&mut self, saved: SavedSlots<S>) {
        let (evicted, refused, queued, others, renamed) = saved;
        self.evicted = evicted;
        self.refused = refused;
        for slot in queued {
            let spot = self.store(Slot { queued: true, ..slot });
            self.queue.push_back(spot);
        }
        for slot in others {
            self.store(Slot { queued: false, ..slot });
        }
        self.renamed = renamed.into_iter().collect();
    }
}

/// Keys are hashes; the table wants 64 bits of them.
fn hash_of<S>(slots: &[Option<Slot<S>>], spot: u32) -> u64 {
    slots[spot as usize].as_ref().map_or(0, |slot| slot.key as u64)
}

/// What `save` wrote: evicted, refused, the queue, the others, newer keys of some of them.
pub(crate) type SavedSlots<S> = (u64, u64, Vec<Slot<S>>, Vec<Slot<S>>, Vec<(EntityKey, EntityKey)>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::evidence::{Evidence, Name};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Seen(u64);

    impl State for Seen {
        fn known(&self) -> bool {
            self.0 > 1
        }
    }

    fn suspect() -> Option<Box<Suspect>> {
        Some(Box::new(Suspect { name: Name::default(), evidence: Evidence::new(true), episode: None }))
    }

    fn key(n: u64) -> EntityKey {
        (u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).max(2)
    }

    #[test]
    fn a_million_newcomers_do_not_evict_a_suspect_or_a_known_entity() {
        let mut keyed = Keyed::<Seen>::new(1000);
        keyed.enter(key(1), || Seen(1)).unwrap().suspect = suspect();
        keyed.enter(key(2), || Seen(1)).unwrap().state = Seen(2);
        for n in 10..1_000_010 {
            keyed.enter(key(n), || Seen(1));
        }
        assert_eq!((keyed.len(), keyed.evicted, keyed.refused), (1000, 1_000_000 - 998, 0));
        assert!(keyed.peek(key(1)).is_some() && keyed.peek(key(2)).is_some());
        assert!(keyed.peek(key(1_000_009)).is_some(), "the newest stays");
        assert!(keyed.peek(key(10)).is_none(), "the oldest goes");
    }

    #[test]
    fn when_all_are_protected_a_newcomer_is_refused_until_one_is_released() {
        let mut keyed = Keyed::<Seen>::new(3);
        for n in 1..=3 {
            keyed.enter(key(n), || Seen(1)).unwrap().suspect = suspect();
        }
        assert!(keyed.enter(key(9), || Seen(1)).is_none());
        assert!(keyed.enter(key(9), || Seen(1)).is_none());
        assert_eq!((keyed.len(), keyed.refused), (3, 2));
        keyed.get(key(2)).unwrap().suspect = None;
        keyed.release(key(2));
        assert!(keyed.enter(key(9), || Seen(1)).is_some());
        assert!(keyed.peek(key(2)).is_none());
    }

    #[test]
    fn an_entity_under_a_new_key_keeps_its_slot_over_a_second_rotation_and_a_restore() {
        let hit =
            |now, before| Hit { key: key(now), earlier: if before == 0 { 0 } else { key(before) }, ..Hit::default() };
        let mut keyed = Keyed::<Seen>::new(3);
        keyed.enter_at(Spot::UNKNOWN, hit(1, 0), || Seen(7)).unwrap();
        assert_eq!(keyed.enter_at(Spot::UNKNOWN, hit(2, 1), || Seen(0)).unwrap().state, Seen(7));
        assert_eq!(keyed.enter_at(Spot::UNKNOWN, hit(3, 2), || Seen(0)).unwrap().state, Seen(7));
        let mut bytes = Vec::new();
        keyed.save(&mut bytes).unwrap();
        let mut restored = Keyed::<Seen>::new(3);
        restored.load(binary::read(&bytes).unwrap());
        for name in [1, 2, 3] {
            assert_eq!(restored.peek(key(name)).map(|slot| slot.state.clone()), Some(Seen(7)), "{name}");
        }
        assert_eq!(restored.len(), 1);
        restored.sweep(|_| Keep::No);
        assert!(restored.is_empty() && restored.renamed.is_empty() && restored.peek(key(3)).is_none());
        // The new key is not that of a stranger who has come by it before.
        restored.enter(key(5), || Seen(5)).unwrap();
        restored.enter(key(4), || Seen(4)).unwrap();
        assert_eq!(restored.enter_at(Spot::UNKNOWN, hit(5, 4), || Seen(0)).unwrap().state, Seen(5));
    }

    #[test]
    fn a_sweep_drops_requeues_and_leaves_no_trace_of_the_layout() {
        let build = |order: &[u64]| {
            let mut keyed = Keyed::<Seen>::new(10);
            for n in order {
                keyed.enter(key(*n), || Seen(2)).unwrap();
            }
            // All are known, so a newcomer's search for a spot empties the queue.
            keyed.evict_one();
            keyed.sweep(|slot| {
                slot.state.0 = 1;
                if slot.key == key(4) { Keep::No } else { Keep::Yes }
            });
            let mut bytes = Vec::new();
            keyed.save(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(build(&[1, 2, 3, 4, 5]), build(&[5, 4, 3, 2, 1]));
        let (.., queue, others, _): SavedSlots<Seen> = binary::read(&build(&[1, 2, 3, 4, 5])).unwrap();
        let mut keys = [key(1), key(2), key(3), key(5)];
        keys.sort_unstable();
        assert_eq!(queue.iter().map(|slot| slot.key).collect::<Vec<_>>(), keys);
        assert!(others.is_empty());
    }
}
