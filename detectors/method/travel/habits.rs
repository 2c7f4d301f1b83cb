//! Which networks are somebody's own, and which are exits that many share, so that a hop over them says nothing.
//!
//! A network is somebody's own that they came from in their first days (`learn`), that they first came from long ago (`settle`), or
//! of which it was told once. It is a shared exit (of a VPN, of a carrier whose customers all come out in one city, of servers that
//! speak for people) if so many people hopped to it, and at least a quarter of all who were seen there, within thirty days: many
//! customers of a large provider at home use some VPN now and then, and that makes no exit of the provider.
//!
//! Promises: of two networks between which somebody hops the one they came from later counts as hopped to. At most
//! `NETWORKS_MAX` networks of a person, of which the one used longest ago goes; at most `EXITS_MAX` networks of all, of which an eighth
//! with the fewest people goes.
//! Never: judges a hop.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::distinct::Distinct;
use crate::engine::columns::EntityKey;
use crate::kit::index_of;

const NETWORKS_MAX: usize = 32;
const EXITS_MAX: usize = 4096;
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Days in which people are counted, and of how many of them one at least has to hop.
const DAYS: u32 = 30;
const USERS_PER_HOPPER: u64 = 4;

/// How long it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub learn_us: i64,
    pub settle_us: i64,
    pub forget_us: i64,
}

/// A network of a person. Times are hours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Network {
    id: u32,
    first: u32,
    last: u32,
    /// They came from it in their first days.
    is_learned: bool,
    /// A hop to or from it was told.
    is_told: bool,
}

/// What is known of a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Person {
    since: i64,
    networks: Vec<Network>,
}

impl Person {
    pub fn new(since: i64) -> Person {
        Person { since, networks: Vec::new() }
    }

    /// Their first days are over.
    pub fn is_known(&self, place: i64, times: &Times) -> bool {
        place.saturating_sub(self.since) >= times.learn_us
    }

    /// Notes that they came from a network, and says whether it is the first time on this day.
    pub fn note(&mut self, id: u32, place: i64, times: &Times) -> bool {
        let hour = index_of(place, HOUR_US);
        if let Some(known) = self.networks.iter_mut().find(|network| network.id == id) {
            let before = std::mem::replace(&mut known.last, hour);
            return before / 24 != hour / 24;
        }
        if self.networks.len() == NETWORKS_MAX {
            let oldest = (0..NETWORKS_MAX).min_by_key(|at| self.networks[*at].last).unwrap_or(0);
            self.networks.remove(oldest);
        }
        let is_learned = !self.is_known(place, times);
        self.networks.push(Network { id, first: hour, last: hour, is_learned, is_told: false });
        true
    }

    fn get(&self, id: u32) -> Option<&Network> {
        self.networks.iter().find(|network| network.id == id)
    }

    /// Whether a network is their own; while an alert is open, what it tells of is not.
    pub fn owns(&self, id: u32, place: i64, times: &Times, is_open: bool) -> bool {
        let is_settled = |first: u32| place.saturating_sub(i64::from(first) * HOUR_US) >= times.settle_us;
        let is_own = |known: &Network| known.is_learned || is_settled(known.first) || known.is_told && !is_open;
        self.get(id).is_some_and(is_own)
    }

    /// A hop between these was told.
    pub fn tell(&mut self, ids: [u32; 2]) {
        self.networks.iter_mut().filter(|network| ids.contains(&network.id)).for_each(|network| network.is_told = true);
    }

    /// Which of two they came from later: networks stand in the order in which they were first used.
    pub fn later_of(&self, [from, to]: [u32; 2]) -> u32 {
        let at = |id: u32| self.networks.iter().position(|network| network.id == id);
        if at(from) > at(to) { from } else { to }
    }

    /// Forgets the networks that were not used for long; false if none is left.
    pub fn forget(&mut self, time: i64, times: &Times) -> bool {
        let oldest = index_of(time.saturating_sub(times.forget_us), HOUR_US);
        self.networks.retain(|network| network.last >= oldest);
        !self.networks.is_empty()
    }

    /// Who is known for longest is worth most.
    pub fn worth(&self, place: i64) -> u64 {
        place.saturating_sub(self.since).max(0).unsigned_abs()
    }
}

/// The people of a network: who was seen there, and who hopped to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct People {
    seen: Distinct,
    hopped: Distinct,
}

/// The networks of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Exits {
    people: BTreeMap<u32, People>,
    pub evicted: u64,
}

fn day(place: i64) -> u32 {
    index_of(place, DAY_US)
}

/// A person in 32 bits.
fn short(person: EntityKey) -> u32 {
    (person ^ (person >> 32)) as u32
}

impl Exits {
    /// A person was seen in a network.
    pub fn see(&mut self, network: u32, person: EntityKey, place: i64) {
        if !self.people.contains_key(&network) && self.people.len() >= EXITS_MAX {
            self.make_room();
        }
        self.people.entry(network).or_default().seen.put(short(person), day(place));
    }

    /// A person hopped to a network.
    pub fn hop(&mut self, network: u32, person: EntityKey, place: i64) {
        if let Some(people) = self.people.get_mut(&network) {
            people.hopped.put(short(person), day(place));
        }
    }

    pub fn is_shared(&mut self, network: u32, place: i64, shared_by: u64) -> bool {
        let Some(people) = self.people.get_mut(&network) else { return false };
        people.hopped.clear_until(day(place), DAYS);
        people.seen.clear_until(day(place), DAYS);
        let hopped = people.hopped.count();
        hopped >= shared_by && hopped * USERS_PER_HOPPER >= people.seen.count()
    }

    #[cold]
    fn make_room(&mut self) {
        let mut least: Vec<(u64, u32)> =
            self.people.iter().map(|(network, people)| (people.seen.count(), *network)).collect();
        least.sort_unstable();
        for (_, network) in least.into_iter().take(EXITS_MAX / 8) {
            self.people.remove(&network);
            self.evicted += 1;
        }
    }

    /// Forgets networks that nobody came from for long; false if none is left.
    pub fn forget(&mut self, time: i64) -> bool {
        self.people.retain(|_, people| {
            people.seen.clear_until(day(time), DAYS);
            people.hopped.clear_until(day(time), DAYS);
            people.seen.count() > 0
        });
        !self.people.is_empty()
    }
}
