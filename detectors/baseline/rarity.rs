//! How rare is a distance like this in this very series: a tail learned from experience.
//!
//! A histogram of distances on a log scale, bounded in size whatever the series does. Inside what was seen the answer
//! is the empirical tail; beyond it the tail is extrapolated from the farthest few (Hill 1975, shrunk to a prior), so a
//! series whose spikes are all alike is surprised by twice that, and a wild one is not.
//! Promises: never more certain than its history is long, nor than Student t of 10 degrees of freedom: no measured
//! series is Gaussian, and 4 sigmas of noise are not worth an alert.
//! Never: lets one long episode pass for a habit; crowded excursions count less and less.

use serde::{Deserialize, Serialize};

use super::tails;

const BINS: usize = 72;
const BINS_PER_OCTAVE: f64 = 4.0;
/// Of a bin, as a natural logarithm.
const BIN_WIDTH: f64 = std::f64::consts::LN_2 / BINS_PER_OCTAVE;
/// Distances below 2^-2 sigmas share the first bin.
const FIRST_OCTAVE: f64 = 2.0;
/// Old experience is halved at this weight, so the tail follows a series that changes.
const TOTAL_MAX: f32 = 8192.0;
/// The extrapolated tail begins at this share of the observations, but at `TOP_MIN` of them at least.
const TOP_SHARE: f32 = 0.0025;
const TOP_MIN: f32 = 4.0;
/// Prior mean log excess (Student t of 5 degrees of freedom), worth this many observations.
const EXCESS_PRIOR: f64 = 0.2;
const EXCESS_PRIOR_WEIGHT: f64 = 4.0;
const FREEDOM_MAX: f64 = 10.0;
/// Below this a distance is ordinary and its tail is not worked out.
const ORDINARY: f64 = 2.0;
/// An excursion is beyond all but this share; below `EXCURSION_AFTER` observations there are none.
const EXCURSION_SHARE: f32 = 0.01;
const EXCURSION_AFTER: f32 = 64.0;
/// Of a crowd of excursions this share remains per observation.
const CROWD_KEPT: f32 = 0.95;
/// Below this the crowd is over.
const CROWD_GONE: f32 = 0.3;
const ROUNDING: f64 = 1e-6;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Rarity {
    bins: Vec<f32>,
    total: f32,
    /// Recent excursions, fading: how crowded it is out there just now.
    crowd: f32,
    /// Farthest bin of the present crowd: its peak counts in full wherever in the crowd it comes.
    peak: usize,
    /// First bin beyond which observations are excursions.
    edge: usize,
    learned: u32,
}

/// A tail probability, and how many sigmas the model takes for it once experience is long.
pub(super) struct Rare {
    tail: f64,
    model: f64,
}

impl Rare {
    pub(super) fn new(tail: f64) -> Rare {
        Rare { tail, model: tails::student_inverse(tail, FREEDOM_MAX) }
    }
}

impl Default for Rarity {
    fn default() -> Self {
        Rarity { bins: vec![0.0; BINS], total: 0.0, crowd: 0.0, peak: 0, edge: BINS, learned: 0 }
    }
}

impl Rarity {
    /// Probability that an ordinary observation is at least this many sigmas out; 1 for ordinary distances.
    pub(super) fn tail(&self, sigmas: f64) -> f64 {
        if sigmas < ORDINARY {
            return 1.0;
        }
        let model = tails::student(sigmas, f64::from(self.total).clamp(1.0, FREEDOM_MAX));
        model.max(self.seen_tail(sigmas)).min(1.0)
    }

    /// From the far end down to the observation, or further until the start of the extrapolated tail is known.
    fn seen_tail(&self, sigmas: f64) -> f64 {
        let top = (self.total * TOP_SHARE).max(TOP_MIN);
        let (bin, place) = (bin(sigmas), place(sigmas));
        let (mut beyond, mut places, mut at) = (0.0f32, 0.0f64, BINS);
        while at > 0 && (at > bin || beyond < top) {
            at -= 1;
            if at == bin && beyond + self.bins[at] >= top {
                let part = (bin as f64 + 1.0 - place).clamp(0.0, 1.0) as f32;
                return f64::from(beyond + self.bins[at] * part + 1.0) / f64::from(self.total + 1.0);
            }
            beyond += self.bins[at];
            places += f64::from(self.bins[at]) * (at as f64 + 0.5);
        }
        let start = at as f64; // lower edge of the bin in which the tail begins
        let (share, mean_excess) = self.extrapolated(beyond, places, start);
        share * (-(place - start).max(0.0) * BIN_WIDTH / mean_excess).exp()
    }

    /// The extrapolated tail: its share where it begins, and its mean log excess from there.
    fn extrapolated(&self, beyond: f32, places: f64, start: f64) -> (f64, f64) {
        let excess = (places - f64::from(beyond) * start) * BIN_WIDTH;
        let mean_excess = (excess + EXCESS_PRIOR * EXCESS_PRIOR_WEIGHT) / (f64::from(beyond) + EXCESS_PRIOR_WEIGHT);
        (f64::from(beyond + 1.0) / f64::from(self.total + 1.0), mean_excess)
    }

    /// The sigmas from which on every distance is this rare; infinite where experience says that none is.
    pub(super) fn reach(&self, rare: &Rare) -> f64 {
        let freedom = f64::from(self.total).clamp(1.0, FREEDOM_MAX);
        let model = if freedom < FREEDOM_MAX { tails::student_inverse(rare.tail, freedom) } else { rare.model };
        let seen = (self.seen_reach(rare.tail) / BINS_PER_OCTAVE - FIRST_OCTAVE).exp2();
        // Tails are summed in single precision: its rounding is left inside.
        model.max(seen).max(ORDINARY) * (1.0 + ROUNDING)
    }

    /// The place from which on `seen_tail` is at most this.
    fn seen_reach(&self, tail: f64) -> f64 {
        let top = (self.total * TOP_SHARE).max(TOP_MIN);
        let (mut above, mut beyond, mut places, mut at) = (0.0f32, 0.0f32, 0.0f64, BINS);
        while at > 0 && beyond < top {
            at -= 1;
            above = beyond;
            beyond += self.bins[at];
            places += f64::from(self.bins[at]) * (at as f64 + 0.5);
        }
        let start = at as f64;
        let (share, mean_excess) = self.extrapolated(beyond, places, start);
        let far = start + (share / tail).ln() * mean_excess / BIN_WIDTH;
        if beyond < top {
            return far;
        }
        let wanted = tail * f64::from(self.total + 1.0) - 1.0;
        // The last bin has no far end, and its tail no slope beyond its width.
        let last = at == BINS - 1;
        if last && wanted < 0.0 {
            return f64::INFINITY;
        }
        if !last && (far > start + 1.0 || f64::from(above) >= wanted) {
            return far.max(start + 1.0);
        }
        while at > 0 && f64::from(above + self.bins[at]) < wanted {
            above += self.bins[at];
            at -= 1;
        }
        at as f64 + 1.0 - ((wanted - f64::from(above)) / f64::from(self.bins[at]).max(1e-30)).clamp(0.0, 1.0)
    }

    pub(super) fn learn(&mut self, sigmas: f64) {
        let bin = bin(sigmas);
        let excursion = bin > self.edge;
        if self.crowd < CROWD_GONE {
            self.peak = 0;
        }
        let weight = if excursion && bin <= self.peak { 1.0 / (1.0 + self.crowd) } else { 1.0 };
        if excursion {
            self.peak = self.peak.max(bin);
        }
        self.crowd = self.crowd * CROWD_KEPT + f32::from(u8::from(excursion));
        self.bins[bin] += weight;
        self.total += weight;
        if self.total > TOTAL_MAX {
            self.bins.iter_mut().for_each(|b| *b *= 0.5);
            self.total *= 0.5;
        }
        self.learned = self.learned.wrapping_add(1);
        if self.learned.is_multiple_of(16) && self.total > EXCURSION_AFTER {
            self.edge = self.find_edge();
        }
    }

    fn find_edge(&self) -> usize {
        let (mut beyond, mut at) = (0.0f32, BINS);
        while at > 0 && beyond < self.total * EXCURSION_SHARE {
            at -= 1;
            beyond += self.bins[at];
        }
        at
    }
}

/// Where on the histogram's log axis, in bins.
fn place(sigmas: f64) -> f64 {
    ((sigmas.max(1e-9).log2() + FIRST_OCTAVE) * BINS_PER_OCTAVE).max(0.0)
}

fn bin(sigmas: f64) -> usize {
    (place(sigmas) as usize).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::super::sim::seeded;
    use super::*;
    use crate::testkit::Chance;

    fn taught(seed: u64, count: usize, mut distance: impl FnMut(&mut Chance) -> f64) -> Rarity {
        let (mut chance, mut rarity) = (seeded(seed), Rarity::default());
        for _ in 0..count {
            rarity.learn(distance(&mut chance));
        }
        rarity
    }

    #[test]
    fn a_wild_series_is_surprised_less_by_the_same_distance() {
        let calm = taught(1, 4000, |c| c.normal().abs());
        let wild = taught(1, 4000, |c| c.pareto(1.5));
        assert!(calm.tail(30.0) < 1e-6, "{:e}", calm.tail(30.0));
        let got = wild.tail(30.0); // true: 30^-1.5 = 0.0061
        assert!((0.003..0.012).contains(&got), "{got}");
    }

    #[test]
    fn spikes_all_alike_make_twice_their_size_rare() {
        let regular = taught(2, 4000, |c| if c.uniform() < 0.01 { 10.0 } else { c.normal().abs() });
        assert!(regular.tail(10.0) > 0.002, "{}", regular.tail(10.0));
        assert!(regular.tail(20.0) < regular.tail(10.0) / 4.0, "{} {}", regular.tail(20.0), regular.tail(10.0));
    }

    #[test]
    fn one_long_episode_is_not_a_habit() {
        let mut rarity = taught(3, 2000, |c| c.normal().abs());
        for _ in 0..100 {
            rarity.learn(12.0);
        }
        assert!(rarity.tail(12.0) < 0.01, "{}", rarity.tail(12.0));
    }

    #[test]
    fn beyond_its_reach_everything_is_so_rare_and_within_it_is_not() {
        let kinds: [fn(&mut Chance) -> f64; 4] = [
            |c| c.normal().abs(),
            |c| c.pareto(1.5),
            |c| if c.uniform() < 0.02 { 10.0 } else { c.normal().abs() },
            |c| if c.uniform() < 0.01 { 1e6 * c.pareto(2.0) } else { 0.0 },
        ];
        for (seed, kind) in kinds.into_iter().enumerate() {
            for count in [10, 60, 1000, 20_000] {
                let rarity = taught(seed as u64 + 5, count, kind);
                for tail in [1e-2, 7.2e-4, 1e-5, 1e-10, 1e-30] {
                    let reach = rarity.reach(&Rare::new(tail));
                    if reach == f64::INFINITY {
                        assert!(rarity.tail(1e30) > tail, "{seed} {count} {tail:e}");
                        continue;
                    }
                    for times in [1.0001, 1.1, 2.0, 1e3, 1e9] {
                        assert!(rarity.tail(reach * times) <= tail, "{seed} {count} {tail:e} {reach} {times}");
                    }
                    let within = rarity.tail(0.9999 * reach);
                    assert!(within > tail, "{seed} {count} {tail:e} {reach} {within:e}");
                }
            }
        }
    }

    #[test]
    fn ordinary_and_odd_distances() {
        let rarity = taught(4, 100, |c| c.normal().abs());
        assert_eq!(rarity.tail(1.0), 1.0);
        assert_eq!(rarity.tail(f64::NAN), 1.0);
        assert!(rarity.tail(f64::INFINITY) < 1e-9);
        assert!(Rarity::default().tail(3.0) > 0.05, "nothing learned, little is rare");
    }
}
