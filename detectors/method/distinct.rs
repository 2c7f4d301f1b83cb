//! `distinct`: how many different values. Values are 32 bits of a keyed hash: two of them are taken for one with a
//! probability of 2^-32, which can make an alert a row late and never early.
//!
//! `events` of an alert starts from the number of different values, each of which came in at least one event.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Summary;
use super::panes::{Bounds, Held, Sliding};
use crate::engine::columns::Columns;
use crate::engine::keyed::KeyHasher;

/// Up to so many values a scan is faster than a map, and smaller.
const FEW: usize = 64;

/// Each value with the pane in which it was last seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastSeen {
    /// The pane for which values that had left the window were last cleared.
    cleared: u32,
    few: Vec<(u32, u32)>,
    #[allow(clippy::box_collection, reason = "few entities have one, and each of the others is smaller for it")]
    many: Option<Box<HashMap<u64, u32, BuildHasherDefault<KeyHasher>>>>,
}

/// A value, and what it was under the token key before, while the two overlap; else 0.
type Item = (u32, u32);

fn item_of(columns: &Columns, argument: usize, row: usize) -> Option<Item> {
    let short = |hash: u64| (hash ^ (hash >> 32)) as u32;
    let hash = columns.values[argument][row];
    let earlier = columns.earlier_values[argument].as_ref().map_or(0, |earlier| short(earlier[row] as u64));
    (hash != 0).then_some((short(hash), earlier))
}

impl LastSeen {
    fn len(&self) -> usize {
        self.many.as_ref().map_or(self.few.len(), |many| many.len())
    }

    /// A value that comes under a new token key is no new one.
    #[cold]
    fn rename(&mut self, earlier: u32, value: u32) {
        match &mut self.many {
            Some(many) if !many.contains_key(&u64::from(value)) => {
                if let Some(pane) = many.remove(&u64::from(earlier)) {
                    many.insert(u64::from(value), pane);
                }
            }
            None if self.few.iter().all(|(known, _)| *known != value) => {
                self.few.iter_mut().filter(|(known, _)| *known == earlier).for_each(|(known, _)| *known = value);
            }
            _ => {}
        }
    }

    fn put(&mut self, value: u32, pane: u32, most: u64) {
        if let Some(many) = &mut self.many {
            if (many.len() as u64) < most || many.contains_key(&u64::from(value)) {
                let seen = many.entry(u64::from(value)).or_insert(pane);
                *seen = pane.max(*seen);
            }
            return;
        }
        if let Some((_, seen)) = self.few.iter_mut().find(|(known, _)| *known == value) {
            *seen = pane.max(*seen);
            return;
        }
        if self.few.len() as u64 >= most {
            return;
        }
        self.few.push((value, pane));
        if self.few.len() > FEW {
            let few = std::mem::take(&mut self.few);
            self.many = Some(Box::new(few.into_iter().map(|(value, pane)| (u64::from(value), pane)).collect()));
        }
    }

    fn clear_until(&mut self, pane: u32, span: u32) {
        if self.cleared == pane {
            return;
        }
        self.cleared = pane;
        let stays = |seen: u32| u64::from(seen) + u64::from(span) > u64::from(pane);
        self.few.retain(|(_, seen)| stays(*seen));
        let Some(many) = &mut self.many else { return };
        many.retain(|_, seen| stays(*seen));
        if many.len() <= FEW / 2 {
            self.few = many.iter().map(|(value, pane)| (*value as u32, *pane)).collect();
            self.few.sort_unstable();
            self.many = None;
        }
    }

    fn sorted(&self) -> Vec<(u32, u32)> {
        let many = self.many.iter().flat_map(|many| many.iter().map(|(value, pane)| (*value as u32, *pane)));
        let mut all: Vec<(u32, u32)> = self.few.iter().copied().chain(many).collect();
        all.sort_unstable();
        all
    }
}

impl Sliding for LastSeen {
    type Item = Item;

    #[inline]
    fn item(columns: &Columns, argument: usize, row: usize) -> Option<Item> {
        item_of(columns, argument, row)
    }
    fn add(&mut self, pane: u32, span: u32, (value, earlier): Item, most: u64) {
        if earlier != 0 {
            self.rename(earlier, value);
        }
        if self.len() as u64 >= most {
            self.clear_until(pane, span);
        }
        self.put(value, pane, most);
    }
    fn value(&mut self, pane: u32, span: u32, enough: u64) -> u64 {
        if self.len() as u64 >= enough {
            self.clear_until(pane, span);
        }
        self.len() as u64
    }
    /// Of each value only the last pane is known: the window that ends now stands for those that ended since.
    fn add_late(&mut self, (pane, end): (u32, u32), span: u32, (value, earlier): Item, bounds: Bounds) -> Held {
        if earlier != 0 {
            self.rename(earlier, value);
        }
        self.clear_until(end, span);
        self.put(value, pane, bounds.most);
        Held { value: self.len() as u64, events: self.len() as u64, end }
    }
    fn events(&self) -> u64 {
        self.len() as u64
    }
}

impl Serialize for LastSeen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.cleared, self.sorted()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for LastSeen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LastSeen, D::Error> {
        let (cleared, values) = <(u32, Vec<(u32, u32)>)>::deserialize(deserializer)?;
        let mut set = LastSeen { cleared, ..LastSeen::default() };
        values.into_iter().for_each(|(value, pane)| set.put(value, pane, u64::MAX));
        Ok(set)
    }
}

/// The different values of one window, for a baseline of their number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Values {
    seen: LastSeen,
    events: u32,
}

/// Different values counted per window of a baseline; more than this is this.
const VALUES_MAX: u64 = 100_000;

impl Summary for Values {
    type Item = Item;

    fn item(columns: &Columns, argument: usize, row: usize) -> Option<Item> {
        item_of(columns, argument, row)
    }
    fn add(&mut self, (value, earlier): Item) {
        if earlier != 0 {
            self.seen.rename(earlier, value);
        }
        self.seen.put(value, 0, VALUES_MAX);
        self.events = self.events.saturating_add(1);
    }
    fn merge(&mut self, other: &Values) {
        other.seen.sorted().into_iter().for_each(|(value, _)| self.seen.put(value, 0, VALUES_MAX));
        self.events = self.events.saturating_add(other.events);
    }
    fn value(&self) -> f64 {
        self.seen.len() as f64
    }
    fn events(&self) -> u64 {
        u64::from(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_values_of_the_window_and_forgets_older_ones() {
        let mut set = LastSeen::default();
        for value in 0..100 {
            set.add(value, 60, (value % 80, 0), 400);
        }
        assert_eq!(set.value(99, 60, 0), 60);
        assert_eq!(set.value(158, 60, 0), 1);
        assert_eq!(set.value(159, 60, 0), 0);
    }

    #[test]
    fn a_value_under_a_new_token_key_is_the_one_it_was() {
        for size in [5, 500] {
            let mut set = LastSeen::default();
            (1..=size).for_each(|value| set.add(1, 60, (value, 0), 10_000));
            (1..=size).for_each(|value| set.add(2, 60, (value + 100_000, value), 10_000));
            (1..=size).for_each(|value| set.add(3, 60, (value + 100_000, value), 10_000));
            assert_eq!(set.value(3, 60, 0), u64::from(size));
            set.add(3, 60, (size + 1, 77_777), 10_000);
            assert_eq!(set.value(3, 60, 0), u64::from(size) + 1);
        }
    }

    #[test]
    fn a_large_set_survives_saving_and_stops_at_its_bound() {
        let mut set = LastSeen::default();
        for value in 0..5000 {
            set.add(1, 60, (value, 0), 1000);
        }
        assert_eq!(set.value(1, 60, 0), 1000);
        let mut bytes = Vec::new();
        crate::engine::binary::write(&mut bytes, &set).unwrap();
        let back: LastSeen = crate::engine::binary::read(&bytes).unwrap();
        assert_eq!(back.sorted(), set.sorted());
    }

    #[test]
    fn merging_two_halves_is_the_whole() {
        let (mut whole, mut left, mut right) = (Values::default(), Values::default(), Values::default());
        for at in 0..300_u32 {
            whole.add((at * 7 % 150, 0));
            if at % 2 == 0 { &mut left } else { &mut right }.add((at * 7 % 150, 0));
        }
        left.merge(&right);
        assert_eq!((left.seen.sorted(), left.events()), (whole.seen.sorted(), whole.events()));
        assert_eq!(left.value(), 150.0);
    }
}
