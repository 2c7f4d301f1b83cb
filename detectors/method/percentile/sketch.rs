//! How values are distributed, in bounded space: numbers of values by bins that are as wide as a 32nd of where they begin.
//!
//! The bins of DDSketch (C. Masson, J. E. Rim, H. K. Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
//! guarantees", VLDB 2019), but with the bounds of HdrHistogram: powers of two cut into 32 even parts, so that a value finds its bin by
//! shifts of whole numbers. No logarithm is taken, so it is the same on every machine. A t-digest was not used: what it says depends
//! on the order of the values, and so would the alerts; nor the DDSketch crate, for logarithms and for a store as wide as the values are apart.
//!
//! Promises: any order of values, and any order and grouping of merges, gives the same sketch, bit for bit. A quantile is off by at most
//! `ERROR`, exact below 64. At most `BINS_MAX` bins are kept, of 8 bytes each: those of the largest values. What would be below counts in
//! the lowest of them, at least sixteen powers of two below the largest value.
//! Never: keeps a value.

use serde::{Deserialize, Serialize};

/// Values below are bins of their own.
const EXACT: u64 = 64;
/// Bins in which a power of two is cut, as a power of two.
const PARTS_BITS: u32 = 5;
const PARTS: u64 = 1 << PARTS_BITS;
pub(super) const BINS_MAX: usize = 512;
/// A bin is a 32nd of its lower bound wide at most, and its middle stands for it.
#[cfg(test)]
pub(super) const ERROR: f64 = 1.0 / 64.0;

/// How many values there were in each bin that has any, in order of bins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sketch {
    bins: Vec<(u16, u32)>,
    many: u32,
}

fn bin_of(value: u64) -> u16 {
    if value < EXACT {
        return value as u16;
    }
    let power = value.ilog2() - PARTS_BITS;
    // The leading bit and the five behind it: 32 to 63.
    let part = value >> power;
    (u64::from(power - 1) * PARTS + EXACT + (part - PARTS)) as u16
}

/// What stands for a bin: its middle.
fn middle(bin: u16) -> f64 {
    let bin = u64::from(bin);
    if bin < EXACT {
        return bin as f64;
    }
    let (power, part) = ((bin - EXACT) / PARTS + 1, (bin - EXACT) % PARTS + PARTS);
    (part as f64 + 0.5 - 0.5 / (1_u64 << power) as f64) * (1_u64 << power) as f64
}

impl Sketch {
    pub fn many(&self) -> u32 {
        self.many
    }

    pub fn add(&mut self, value: u64) {
        self.add_to(bin_of(value), 1);
    }

    /// The sketch of the values of both.
    pub fn merge(&mut self, other: &Sketch) {
        other.bins.iter().for_each(|(bin, many)| self.add_to(*bin, *many));
    }

    fn add_to(&mut self, bin: u16, many: u32) {
        self.many = self.many.saturating_add(many);
        match self.bins.binary_search_by_key(&bin, |(known, _)| *known) {
            Ok(at) => self.bins[at].1 = self.bins[at].1.saturating_add(many),
            Err(0) if self.bins.len() == BINS_MAX => self.bins[0].1 = self.bins[0].1.saturating_add(many),
            Err(at) => self.bins.insert(at, (bin, many)),
        }
        if self.bins.len() > BINS_MAX {
            let (_, lowest) = self.bins.remove(0);
            self.bins[0].1 = self.bins[0].1.saturating_add(lowest);
        }
    }

    /// The value of a rank from 1 on; `None` when there is none.
    pub fn ranked(&self, rank: u64) -> Option<f64> {
        let mut below = 0;
        for (bin, many) in &self.bins {
            below += u64::from(*many);
            if below >= rank.max(1) {
                return Some(middle(*bin));
            }
        }
        self.bins.last().map(|(bin, _)| middle(*bin))
    }

    /// The rank of the `p`th part: the smallest that at least that part is no larger than.
    pub fn rank(&self, p: f64) -> u64 {
        (f64::from(self.many) * p - 1e-9).ceil().max(1.0) as u64
    }

    /// The rank which the one of the `p`th part is no lower than, whatever the distribution: of so many values, those below the true
    /// percentile are binomial (G. J. Hahn, W. Q. Meeker, "Statistical Intervals", 1991, 5.2), `sigmas` of them by the normal
    /// approximation.
    pub fn rank_at_least(&self, p: f64, sigmas: f64) -> u64 {
        let many = f64::from(self.many);
        (many * p - sigmas * (many * p * (1.0 - p)).sqrt()).floor().max(1.0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Chance;

    fn sketch(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        sketch
    }

    /// As response times are, with a few far out; or all over, or all small.
    fn values(seed: u64) -> Vec<u64> {
        let mut chance = Chance::new(seed);
        let many = 1 + chance.below(3_000);
        let value = |chance: &mut Chance| match seed % 3 {
            0 => (20_000.0 * (0.8 * chance.normal()).exp()) as u64 + 800_000 * u64::from(chance.percent(3)),
            1 => chance.bits() >> chance.below(64),
            _ => chance.below(90),
        };
        (0..many).map(|_| value(&mut chance)).collect()
    }

    #[test]
    fn every_value_is_in_a_bin_whose_middle_is_near() {
        let mut chance = Chance::new(1);
        let some = (0..100_000).map(|_| chance.bits() >> chance.below(64));
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]).chain([u64::MAX]);
        for value in some.chain(edges).chain(0..5_000) {
            let off = (middle(bin_of(value)) - value as f64).abs();
            assert!(off <= value as f64 * ERROR, "{value} is off by {off}");
            assert!(value >= EXACT || off == 0.0, "{value}");
        }
        for pair in (0..20_000_u64).collect::<Vec<_>>().windows(2) {
            assert!(bin_of(pair[0]) <= bin_of(pair[1]), "{pair:?}");
        }
        assert_eq!(bin_of(u64::MAX), 64 + 57 * 32 + 31, "the last bin");
    }

    #[test]
    fn percentiles_are_off_by_no_more_than_it_says() {
        for seed in 0..60 {
            let mut values = values(seed);
            let sketch = sketch(&values);
            values.sort_unstable();
            // Of what is all over only the upper bins are kept.
            let least = if sketch.bins.len() < BINS_MAX { 0.0 } else { 0.9 };
            for p in [0.5, 0.75, 0.9, 0.95, 0.99, 0.999].into_iter().filter(|p| *p >= least) {
                let rank = sketch.rank(p);
                let exact = values[rank as usize - 1] as f64;
                let off = (sketch.ranked(rank).unwrap() - exact).abs();
                assert!(off <= exact * ERROR, "seed {seed}: p{p} {exact} is off by {off}");
            }
        }
    }

    #[test]
    fn any_order_and_any_grouping_is_the_same_sketch() {
        for seed in 0..60 {
            let (mut values, mut chance) = (values(seed), Chance::new(seed));
            let whole = sketch(&values);
            assert!(whole.bins.len() <= BINS_MAX);
            for at in (1..values.len()).rev() {
                values.swap(at, chance.below(at as u64 + 1) as usize);
            }
            assert_eq!(sketch(&values), whole, "seed {seed}");
            let cuts = [values.len() / 7, values.len() / 2];
            let [a, b, c] = [&values[..cuts[0]], &values[cuts[0]..cuts[1]], &values[cuts[1]..]].map(sketch);
            let (mut left, mut right, mut turned) = (a.clone(), b.clone(), c.clone());
            left.merge(&b);
            left.merge(&c);
            right.merge(&c);
            let mut first = a.clone();
            first.merge(&right);
            turned.merge(&b);
            turned.merge(&a);
            assert_eq!((&left, &first, &turned), (&whole, &whole, &whole), "seed {seed}");
        }
    }

    #[test]
    fn it_is_bounded_and_comes_back_from_a_snapshot() {
        let mut sketch = Sketch::default();
        for power in 0..64 {
            (0..40).for_each(|part| sketch.add((1_u64 << power) | ((part << power) / 40)));
        }
        assert_eq!((sketch.bins.len(), sketch.many()), (BINS_MAX, 64 * 40));
        assert_eq!(sketch.bins.iter().map(|(_, many)| many).sum::<u32>(), 64 * 40, "nothing is lost");
        let mut bytes = Vec::new();
        crate::engine::binary::write(&mut bytes, &sketch).unwrap();
        assert_eq!(crate::engine::binary::read::<Sketch>(&bytes).unwrap(), sketch);
        assert_eq!(Sketch::default().ranked(1), None);
    }

    #[test]
    fn the_rank_that_is_certain_is_lower_the_fewer_values_there_are() {
        let ranks = [40_u64, 400, 4_000].map(|many| {
            let sketch = sketch(&(0..many).collect::<Vec<u64>>());
            (sketch.rank(0.95), sketch.rank_at_least(0.95, 3.0))
        });
        assert_eq!(ranks, [(38, 33), (380, 366), (3_800, 3_758)]);
    }
}
