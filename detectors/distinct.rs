//! How many different values a sliding window holds: exactly while they are few, by a sample when they are many
//! (Gibbons, "Distinct Sampling for Highly-Accurate Answers to Distinct Values Queries", VLDB 2001).
//!
//! Each value is 32 bits of a keyed hash, kept with the pane in which it was last seen. Up to `EXACT` values all are kept and
//! the number is exact, but for two values of one hash (a probability of 2^-32 for each pair). Beyond that only hashes below
//! a bound are kept, which halves as often as needed, so between half of `EXACT` and `EXACT` stand for all: the number is off
//! by at most 4.4 % at one sigma, and `error` says by how much. When the window empties (three eighths of `EXACT` are left:
//! 5.1 %) the bound doubles again; until what was there before has left, each value counts by the bound that held when it was
//! last seen.
//!
//! Promises: memory and cost per value are the same for a thousand values and a million; slides with the window; two merge.
//! Never: forgets a value of the window because of another one, while it is exact.

use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Values that are counted exactly.
pub(crate) const EXACT: usize = 1024;
/// When so few are left of a sample, more are kept again.
const SPARSE: usize = EXACT * 3 / 8;
/// Up to so many values a scan is faster than a table, and smaller.
const FEW: usize = 32;

/// A value, and the pane in which it was last seen.
type Pair = (u32, u32);

/// The set of values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distinct {
    /// The pane for which values that had left the window were last cleared.
    cleared: u32,
    few: Vec<Pair>,
    many: Option<Box<Many>>,
}

#[derive(Clone, Debug, Default)]
struct Many {
    table: HashTable<Pair>,
    /// One hash in 2^level is kept.
    level: u8,
    /// Of values last seen before this pane one in 2^earlier is kept, which are fewer, and so many of them there are.
    lowered: u32,
    earlier: u8,
    before: u32,
}

fn place_of(value: u32) -> u64 {
    u64::from(value).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Many {
    fn of(pairs: impl IntoIterator<Item = Pair>) -> Many {
        let mut many = Many::default();
        pairs.into_iter().for_each(|pair| many.insert(pair));
        many
    }

    fn insert(&mut self, pair: Pair) {
        self.table.insert_unique(place_of(pair.0), pair, |(value, _)| place_of(*value));
    }

    fn takes(&self, value: u32, pane: u32) -> bool {
        let level = if pane < self.lowered { self.earlier } else { self.level };
        u64::from(value) <= u64::from(u32::MAX) >> level
    }

    fn put(&mut self, value: u32, pane: u32) {
        let lowered = self.lowered;
        if let Some((_, seen)) = self.table.find_mut(place_of(value), |(known, _)| *known == value) {
            self.before -= u32::from(*seen < lowered && pane >= lowered);
            *seen = pane.max(*seen);
            return;
        }
        if !self.takes(value, pane) {
            return;
        }
        self.insert((value, pane));
        self.before += u32::from(pane < lowered);
        while self.table.len() > EXACT {
            self.raise((self.level + 1).max(self.level_of_all()));
        }
    }

    /// From now on one in 2^level, whenever it was seen.
    fn raise(&mut self, level: u8) {
        (self.level, self.lowered, self.earlier, self.before) = (level, 0, level, 0);
        self.table.retain(|(value, _)| u64::from(*value) <= u64::from(u32::MAX) >> level);
    }

    fn remove(&mut self, value: u32) -> Option<u32> {
        let found = self.table.find_entry(place_of(value), |(known, _)| *known == value).ok()?;
        let ((_, pane), _) = found.remove();
        self.before -= u32::from(pane < self.lowered);
        Some(pane)
    }

    fn clear(&mut self, stays: impl Fn(u32) -> bool, pane: u32) {
        self.table.retain(|(_, seen)| stays(*seen));
        if self.lowered > 0 && !stays(self.lowered - 1) {
            (self.lowered, self.earlier) = (0, self.level);
        }
        self.before = self.table.iter().filter(|(_, seen)| *seen < self.lowered).count() as u32;
        if self.level > 0 && self.lowered == 0 && self.table.len() <= SPARSE {
            self.earlier = self.level;
            while self.level > 0 && self.table.len().max(1) << (self.earlier - self.level + 1) <= 2 * SPARSE {
                self.level -= 1;
            }
            // From the next pane on: of this one some values have come already.
            self.lowered = pane.saturating_add(1);
            self.before = self.table.len() as u32;
        }
    }

    /// The level by which all values are kept, whenever they were seen.
    fn level_of_all(&self) -> u8 {
        if self.lowered > 0 { self.earlier } else { self.level }
    }

    fn is_exact(&self) -> bool {
        self.level == 0 && self.lowered == 0
    }

    fn count(&self) -> u64 {
        let before = u64::from(self.before);
        ((self.table.len() as u64 - before) << self.level) + (before << self.earlier)
    }
}

impl Distinct {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.many.as_ref().map_or(self.few.len() as u64, |many| many.count())
    }

    /// By what share the number is off, at one sigma; `None` where it is exact.
    pub fn error(&self) -> Option<f64> {
        let many = self.many.as_ref().filter(|many| !many.is_exact())?;
        // Of so many values each stands for 2^level, by chance.
        let variance =
            |values: f64, level: u8| values * (4.0_f64.powi(i32::from(level)) - 2.0_f64.powi(i32::from(level)));
        let before = f64::from(many.before);
        let of_before = if many.lowered > 0 { variance(before.max(1.0), many.earlier) } else { 0.0 };
        let of_all = variance(many.table.len() as f64 - before, many.level) + of_before;
        Some(of_all.sqrt() / many.count().max(1) as f64)
    }

    /// Notes a value in a pane.
    pub fn put(&mut self, value: u32, pane: u32) {
        if let Some(many) = &mut self.many {
            many.put(value, pane);
            return;
        }
        if let Some((_, seen)) = self.few.iter_mut().find(|(known, _)| *known == value) {
            *seen = pane.max(*seen);
            return;
        }
        self.few.push((value, pane));
        if self.few.len() > FEW {
            self.many = Some(Box::new(Many::of(std::mem::take(&mut self.few))));
        }
    }

    /// A value that comes under a new token key is no new one.
    #[cold]
    pub fn rename(&mut self, earlier: u32, value: u32) {
        let has = |value: u32| match &self.many {
            Some(many) => many.table.find(place_of(value), |(known, _)| *known == value).is_some(),
            None => self.few.iter().any(|(known, _)| *known == value),
        };
        if has(value) {
            return;
        }
        match &mut self.many {
            Some(many) => {
                if let Some(pane) = many.remove(earlier) {
                    many.put(value, pane);
                }
            }
            None => self.few.iter_mut().filter(|(known, _)| *known == earlier).for_each(|(known, _)| *known = value),
        }
    }

    /// Forgets what the window of `span` panes that ends with `pane` does not hold.
    pub fn clear_until(&mut self, pane: u32, span: u32) {
        if self.cleared == pane {
            return;
        }
        self.cleared = pane;
        let stays = |seen: u32| u64::from(seen) + u64::from(span) > u64::from(pane);
        self.few.retain(|(_, seen)| stays(*seen));
        let Some(many) = &mut self.many else { return };
        many.clear(stays, pane);
        if many.is_exact() && many.table.len() <= FEW / 2 {
            self.few = many.table.iter().copied().collect();
            self.few.sort_unstable();
            self.many = None;
        }
    }

    /// The values of both. Of each the later pane counts.
    pub fn merge(&mut self, other: &Distinct) {
        let level = other.many.as_ref().map_or(0, |many| many.level_of_all());
        if level > 0 {
            let few = std::mem::take(&mut self.few);
            let many = self.many.get_or_insert_with(|| Box::new(Many::of(few)));
            many.raise(level.max(many.level_of_all()));
        }
        other.sorted().into_iter().for_each(|(value, pane)| self.put(value, pane));
    }

    fn sorted(&self) -> Vec<Pair> {
        let many = self.many.iter().flat_map(|many| many.table.iter());
        let mut all: Vec<Pair> = self.few.iter().chain(many).copied().collect();
        all.sort_unstable();
        all
    }
}

impl PartialEq for Distinct {
    fn eq(&self, other: &Distinct) -> bool {
        self.saved() == other.saved()
    }
}

/// Cleared; level, lowered and earlier of a table; values.
type Saved = (u32, Option<(u8, u32, u8)>, Vec<Pair>);

impl Distinct {
    fn saved(&self) -> Saved {
        (self.cleared, self.many.as_ref().map(|many| (many.level, many.lowered, many.earlier)), self.sorted())
    }
}

impl Serialize for Distinct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.saved().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Distinct, D::Error> {
        let (cleared, table, pairs) = Saved::deserialize(deserializer)?;
        let Some((level, lowered, earlier)) = table else { return Ok(Distinct { cleared, few: pairs, many: None }) };
        let mut many = Many::of(pairs);
        (many.level, many.lowered, many.earlier) = (level.min(31), lowered, earlier.min(31));
        many.before = many.table.iter().filter(|(_, seen)| *seen < lowered).count() as u32;
        Ok(Distinct { cleared, few: Vec::new(), many: Some(Box::new(many)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As uniform as a hash.
    fn hash(n: u32) -> u32 {
        let mut z = u64::from(n).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }

    fn count(set: &mut Distinct, pane: u32) -> u64 {
        set.clear_until(pane, 60);
        set.count()
    }

    #[test]
    fn counts_values_of_the_window_and_forgets_older_ones() {
        let mut set = Distinct::default();
        (0..100).for_each(|pane| set.put(hash(pane % 80), pane));
        assert_eq!(count(&mut set, 99), 60);
        assert_eq!(count(&mut set, 158), 1);
        assert_eq!(count(&mut set, 159), 0);
    }

    #[test]
    fn is_exact_up_to_its_bound_and_then_off_by_what_it_says() {
        let mut beyond = 0;
        for seed in 0..20 {
            let mut set = Distinct::default();
            for n in 0..EXACT as u32 {
                set.put(hash(seed * 10_000_000 + n), 1);
                assert_eq!((set.count(), set.error()), (u64::from(n) + 1, None));
            }
            for n in EXACT as u32..200_000 {
                set.put(hash(seed * 10_000_000 + n), 1);
                set.put(hash(seed * 10_000_000 + n / 2), 1);
            }
            let (count, error) = (set.count() as f64, set.error().unwrap());
            assert!(error < 0.0445, "{error}");
            let off = (count / 200_000.0 - 1.0).abs();
            assert!(off < 4.0 * error, "{count}: off by {off}, and says {error}");
            beyond += u32::from(off > error);
            assert!(set.many.as_ref().unwrap().table.len() <= EXACT);
        }
        assert!((1..14).contains(&beyond), "a third is off by more than a sigma: {beyond} of 20");
    }

    #[test]
    fn becomes_exact_again_when_the_window_moves_on() {
        let mut set = Distinct::default();
        (0..100_000).for_each(|n| set.put(hash(n), n / 2000));
        let mut errors = Vec::new();
        for pane in 50..1000 {
            (0..10).for_each(|n| set.put(hash(1_000_000 + pane * 10 + n), pane));
            let (count, error) = (count(&mut set, pane) as f64, set.error());
            let held =
                (50..=pane).rev().take(60).count() as u32 * 10 + 2000 * 50_u32.saturating_sub(pane.saturating_sub(59));
            let off = (count / f64::from(held) - 1.0).abs();
            assert!(off < 5.0 * error.unwrap_or(0.0) + 1e-9, "pane {pane}: {count} of {held}, and says {error:?}");
            errors.push(error);
        }
        assert!(errors[0].is_some() && errors.last() == Some(&None));
    }

    #[test]
    fn a_value_under_a_new_token_key_is_the_one_it_was() {
        for size in [5, 500] {
            let mut set = Distinct::default();
            (1..=size).for_each(|n| set.put(hash(n), 1));
            for _ in 0..2 {
                for n in 1..=size {
                    set.rename(hash(n), hash(n + 100_000));
                    set.put(hash(n + 100_000), 2);
                }
            }
            assert_eq!(count(&mut set, 3), u64::from(size));
            set.rename(hash(77_777_777), hash(size + 1));
            set.put(hash(size + 1), 3);
            assert_eq!(count(&mut set, 3), u64::from(size) + 1);
        }
    }

    #[test]
    fn a_set_of_any_size_survives_saving() {
        for size in [0, 5, 32, 33, 1024, 1025, 60_000] {
            let mut set = Distinct::default();
            (0..size).for_each(|n| set.put(hash(n), n / 1000));
            set.clear_until(size / 1000, 30);
            let mut bytes = Vec::new();
            crate::engine::binary::write(&mut bytes, &set).unwrap();
            let mut back: Distinct = crate::engine::binary::read(&bytes).unwrap();
            assert_eq!((back.count(), back.error()), (set.count(), set.error()));
            (0..2000).for_each(|n| back.put(hash(90_000 + n), 70));
            (0..2000).for_each(|n| set.put(hash(90_000 + n), 70));
            back.clear_until(100, 60);
            set.clear_until(100, 60);
            assert!(back == set, "{size}");
        }
    }

    #[test]
    fn merging_two_halves_is_the_whole() {
        for size in [150, 1500, 40_000] {
            let (mut whole, mut left, mut right) = (Distinct::default(), Distinct::default(), Distinct::default());
            for n in 0..2 * size {
                whole.put(hash(n * 7 % size), 0);
                if n % 2 == 0 { &mut left } else { &mut right }.put(hash(n * 7 % size), 0);
            }
            left.merge(&right);
            assert_eq!(left.sorted(), whole.sorted(), "{size}");
            assert_eq!(left.count(), whole.count());
        }
    }
}
