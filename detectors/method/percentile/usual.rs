//! What the percentile of an entity usually is: its own windows, in a few numbers.
//!
//! With x the natural logarithm of a window's percentile, no further above the level than `ln times`, and k the windows so far, at most the
//! history: the level moves by `min(1, 5 t / k) (x - level)`, t 0.9 upwards and 0.1 downwards, so it is near the 0.9 expectile
//! (W. K. Newey, J. L. Powell, Econometrica 55, 1987): the slow hours of the day, not the mean of day and night. The spread is the
//! mean distance from it, leaning on a quarter as if that had been seen in four windows. The bound is `exp(level + max(ln times, 4 spread))`:
//! of what scatters as widely as it likes, four mean distances are about three sigmas.
//!
//! Promises: constant memory; a window moves the level by no more than `times`; a level that lasted for three days is the usual one.
//! Never: learns from a window that was told, before that.

use serde::{Deserialize, Serialize};

const UPWARDS: f64 = 0.9;
const PRIOR_WINDOWS: f64 = 4.0;
const PRIOR_SPREAD: f64 = 0.223_143_551_314_209_76;
/// Of mean distances.
const SPREADS: f64 = 4.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Usual {
    windows: u32,
    level: f64,
    spread: f64,
    /// Windows that were told since the alert opened, and the mean of their logarithms.
    held: u32,
    held_level: f64,
}

impl Usual {
    pub fn windows(&self) -> u32 {
        self.windows
    }

    pub fn value(&self) -> f64 {
        self.level.exp()
    }

    /// From which value on a window is no usual one.
    pub fn bound(&self, times: f64) -> f64 {
        (self.level + times.ln().max(SPREADS * self.spread)).exp()
    }

    pub fn teach(&mut self, value: f64, times: f64, history: u32) {
        let x = value.max(1.0).ln();
        if self.windows == 0 {
            *self = Usual { windows: 1, level: x, spread: PRIOR_SPREAD, ..Usual::default() };
            return;
        }
        self.windows = self.windows.saturating_add(1).min(history);
        let far = (x - self.level).min(times.ln());
        let side = if far > 0.0 { UPWARDS } else { 1.0 - UPWARDS };
        self.level += (5.0 * side / f64::from(self.windows)).min(1.0) * far;
        self.spread += (far.abs() - self.spread) / (f64::from(self.windows) + PRIOR_WINDOWS);
    }

    /// Holds back a window that was told; what lasted for so many is the usual.
    pub fn hold(&mut self, value: f64, accepted: u32) {
        self.held += 1;
        self.held_level += (value.max(1.0).ln() - self.held_level) / f64::from(self.held);
        if self.held >= accepted {
            (self.level, self.spread) = (self.held_level, PRIOR_SPREAD);
            self.let_go();
        }
    }

    pub fn let_go(&mut self) {
        (self.held, self.held_level) = (0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Chance;

    #[test]
    fn the_level_is_that_of_the_slow_hours() {
        let mut usual = Usual::default();
        for hour in 0..24 * 14 {
            let value = if (8..18).contains(&(hour % 24)) { 120_000.0 } else { 40_000.0 };
            usual.teach(value, 2.0, 2_016);
        }
        assert!((90_000.0..125_000.0).contains(&usual.value()), "{}", usual.value());
        assert!(usual.bound(2.0) >= 2.0 * usual.value());
    }

    #[test]
    fn one_window_moves_it_by_no_more_than_times_and_noise_by_little() {
        let (mut usual, mut chance) = (Usual::default(), Chance::new(7));
        for _ in 0..500 {
            usual.teach(100_000.0 * (0.1 * chance.normal()).exp(), 2.0, 2_016);
        }
        let before = usual.bound(2.0);
        assert!((190_000.0..260_000.0).contains(&before), "{before}");
        usual.teach(1e12, 2.0, 2_016);
        assert!(usual.bound(2.0) < 1.02 * before);
    }

    #[test]
    fn what_scatters_has_a_higher_bound() {
        let bound = |sigma: f64| {
            let (mut usual, mut chance) = (Usual::default(), Chance::new(3));
            (0..500).for_each(|_| usual.teach(100_000.0 * (sigma * chance.normal()).exp(), 2.0, 2_016));
            usual.bound(2.0) / usual.value()
        };
        assert!((bound(0.05) - 2.0).abs() < 1e-9);
        assert!(bound(0.6) > 5.0, "{}", bound(0.6));
    }

    #[test]
    fn what_lasts_is_the_usual() {
        let mut usual = Usual::default();
        (0..50).for_each(|_| usual.teach(100.0, 2.0, 2_016));
        (0..9).for_each(|_| usual.hold(900.0, 10));
        assert!((usual.value() - 100.0).abs() < 1e-6);
        usual.hold(900.0, 10);
        assert!((usual.value() - 900.0).abs() < 1e-6);
    }
}
