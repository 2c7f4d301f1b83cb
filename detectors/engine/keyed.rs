//! State per entity, with a hard bound and a stated behaviour at it.
//!
//! Promises: never more than `bound` entities. New entities queue in order of arrival; at the bound the oldest of the
//! queue goes, unless it is protected: it looks bad (a suspect) or is known (has history). Protected entities leave
//! the queue and join it again when they stop being protected. When all are protected the newcomer is refused. So a
//! flood of new entities cannot evict one that already looks bad, and the cost per newcomer is constant.
//! Everything that can be seen from outside depends on the order of calls alone, never on the layout of the map.
//! Never: reads a clock; the caller says when to sweep, in event time.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::binary::{self, BinaryError};
use super::columns::EntityKey;
use super::episode::Suspect;

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
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

pub(crate) type KeyMap<V> = HashMap<EntityKey, V, BuildHasherDefault<KeyHasher>>;

pub(crate) struct Keyed<S> {
    places: KeyMap<u32>,
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
            places: KeyMap::default(),
            slots: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            bound,
            evicted: 0,
            refused: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub fn get(&mut self, key: EntityKey) -> Option<&mut Slot<S>> {
        let place = *self.places.get(&key)?;
        self.slots[place as usize].as_mut()
    }

    pub fn peek(&self, key: EntityKey) -> Option<&Slot<S>> {
        let place = *self.places.get(&key)?;
        self.slots[place as usize].as_ref()
    }

    /// The entity's slot, made if there is none; `None` when the newcomer is refused.
    #[inline]
    pub fn enter(&mut self, key: EntityKey, make: impl FnOnce() -> S) -> Option<&mut Slot<S>> {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => self.admit(key, make)?,
        };
        self.slots[place as usize].as_mut()
    }

    fn admit(&mut self, key: EntityKey, make: impl FnOnce() -> S) -> Option<u32> {
        if self.places.len() >= self.bound && !self.evict_one() {
            self.refused += 1;
            return None;
        }
        let slot = Slot { key, state: make(), suspect: None, queued: true };
        let place = self.store(slot);
        self.queue.push_back(place);
        Some(place)
    }

    fn store(&mut self, slot: Slot<S>) -> u32 {
        let key = slot.key;
        let place = match self.free.pop() {
            Some(place) => {
                self.slots[place as usize] = Some(slot);
                place
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as u32
            }
        };
        self.places.insert(key, place);
        place
    }

    fn evict_one(&mut self) -> bool {
        while let Some(place) = self.queue.pop_front() {
            let Some(slot) = self.slots[place as usize].as_mut() else { continue };
            if slot.protected() {
                slot.queued = false;
                continue;
            }
            let key = slot.key;
            self.remove_place(key, place);
            self.evicted += 1;
            return true;
        }
        false
    }

    fn remove_place(&mut self, key: EntityKey, place: u32) {
        self.places.remove(&key);
        self.slots[place as usize] = None;
        self.free.push(place);
    }

    /// An entity that stopped being protected can be evicted again.
    pub fn release(&mut self, key: EntityKey) {
        let Some(&place) = self.places.get(&key) else { return };
        let Some(slot) = self.slots[place as usize].as_mut() else { return };
        if !slot.queued && !slot.protected() {
            slot.queued = true;
            self.queue.push_back(place);
        }
    }

    /// Looks at every entity. Those that stopped being protected join the queue in order of their keys.
    pub fn sweep(&mut self, mut look: impl FnMut(&mut Slot<S>) -> Keep) {
        let mut released: Vec<(EntityKey, u32)> = Vec::new();
        for place in 0..self.slots.len() {
            let Some(slot) = self.slots[place].as_mut() else { continue };
            if look(slot) == Keep::No {
                let key = slot.key;
                self.places.remove(&key);
                self.slots[place] = None;
            } else if !slot.queued && !slot.protected() {
                slot.queued = true;
                released.push((slot.key, place as u32));
            }
        }
        let slots = &self.slots;
        self.queue.retain(|place| slots[*place as usize].is_some());
        released.sort_unstable();
        self.queue.extend(released.into_iter().map(|(_, place)| place));
        self.shrink();
    }

    /// Gives memory back after a peak, and lists the free places anew.
    fn shrink(&mut self) {
        while matches!(self.slots.last(), Some(None)) {
            self.slots.pop();
        }
        self.free = (0..self.slots.len() as u32).filter(|place| self.slots[*place as usize].is_none()).collect();
        if self.slots.capacity() > 4 * self.slots.len() + 1024 {
            self.slots.shrink_to(2 * self.slots.len());
            self.places.shrink_to(2 * self.places.len());
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
        let queued: Vec<&Slot<S>> =
            self.queue.iter().filter_map(|place| self.slots[*place as usize].as_ref()).collect();
        let others: Vec<&Slot<S>> = self.sorted().into_iter().filter(|slot| !slot.queued).collect();
        binary::write(out, &(self.evicted, self.refused, queued, others))
    }

    pub fn load(&mut self, saved: SavedSlots<S>) {
        let (evicted, refused, queued, others) = saved;
        self.evicted = evicted;
        self.refused = refused;
        for slot in queued {
            let place = self.store(Slot { queued: true, ..slot });
            self.queue.push_back(place);
        }
        for slot in others {
            self.store(Slot { queued: false, ..slot });
        }
    }
}

/// What `save` wrote: evicted, refused, the queue, the others.
pub(crate) type SavedSlots<S> = (u64, u64, Vec<Slot<S>>, Vec<Slot<S>>);
