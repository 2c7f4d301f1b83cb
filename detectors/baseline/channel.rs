//! One statistic of a series, followed over time: standardised against its own long run, then asked how rare that is.
//!
//! The long run is an exponentially weighted mean and variance with bounded (winsorised) updates; where a tenth or so of
//! the points are spikes, bounding would shrink the variance without end, so the mean absolute deviation, not bounded,
//! holds it up. Both sides have their own tail: what is far below may be rarer than what is far above.

use serde::{Deserialize, Serialize};

use super::bits;
use super::rarity::{Rare, Rarity};

/// Updates are bounded at this many spreads, once there are `BOUND_AFTER` points.
const HUBER: f64 = 4.0;
const BOUND_AFTER: f64 = 20.0;
const LEARN_AFTER: f64 = 5.0;
const JUDGE_AFTER: f64 = 10.0;
/// No tail is taken for less.
const TAIL_MIN: f64 = 1e-30;
pub(super) const SURPRISE_MAX: f64 = 30.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Channel {
    #[serde(with = "bits")]
    count: f64,
    #[serde(with = "bits")]
    mean: f64,
    #[serde(with = "bits")]
    variance: f64,
    #[serde(with = "bits")]
    deviation: f64,
    above: Rarity,
    below: Rarity,
}

impl Channel {
    /// How surprising `x` is: minus log10 of its tail probability, 0 if ordinary. Then learns it.
    /// `floor`: a spread below which differences mean nothing.
    pub(super) fn observe(&mut self, x: f64, memory: f64, floor: f64) -> f64 {
        let spread = self.least_spread(floor);
        let sigmas = (x - self.mean) / spread;
        let mut surprise = 0.0;
        if self.count >= JUDGE_AFTER {
            let tail = if sigmas > 0.0 { self.above.tail(sigmas) } else { self.below.tail(-sigmas) };
            surprise = -tail.max(TAIL_MIN).log10();
        }
        if self.count >= LEARN_AFTER {
            self.above.learn(sigmas.max(0.0));
            self.below.learn((-sigmas).max(0.0));
        }
        self.learn(x, spread, memory);
        surprise
    }

    /// The range outside which every `x` is this rare.
    pub(super) fn ordinary(&self, rare: &Rare, floor: f64) -> (f64, f64) {
        if self.count < JUDGE_AFTER {
            return (f64::NEG_INFINITY, f64::INFINITY);
        }
        let spread = self.least_spread(floor);
        (self.mean - self.below.reach(rare) * spread, self.mean + self.above.reach(rare) * spread)
    }

    fn least_spread(&self, floor: f64) -> f64 {
        self.spread().max(self.mean.abs() * 1e-6).max(floor).max(1e-12)
    }

    pub(super) fn mean(&self) -> f64 {
        self.mean
    }

    pub(super) fn spread(&self) -> f64 {
        self.variance.sqrt().max(self.deviation)
    }

    fn learn(&mut self, x: f64, spread: f64, memory: f64) {
        self.count += 1.0;
        let share = 1.0 / self.count.min(memory);
        let bound = if self.count > BOUND_AFTER { HUBER * spread } else { f64::INFINITY };
        let off = x - self.mean;
        self.deviation += share * (off.abs() - self.deviation);
        let off = off.clamp(-bound, bound);
        self.mean += share * off;
        self.variance += share * ((1.0 - share) * off * off - self.variance);
    }
}
