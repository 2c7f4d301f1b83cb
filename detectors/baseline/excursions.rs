//! What one entity's windows have done so far beyond the usual: how often they were far beyond it and how far, and what they
//! add up to.
//!
//! For: counts and shares alike. Who bursts daily is no news (a tail learned from peaks over a threshold, Hill 1975); who stays
//! just below the bar for hours, or grows slowly, is (a running sum of log likelihood ratios, Page 1954).
//! Never: knows what a window's value is.

use serde::{Deserialize, Serialize};

use super::{Params, bits};

/// Beyond this many sigmas the learned tail begins.
pub(super) const OUTER: f64 = 3.0;
/// Prior of the learned tail's mean excess: that of Student t with 5 degrees of freedom, heavy on purpose.
const EXCESS: f64 = 0.2;
/// The running sum weighs so many times the expected level (shares: odds) against so many that are tolerated: a good day is below
/// 1.5 times the usual, an attack above 3.
pub(super) const SUM_OF: (f64, f64) = (3.0, 1.5);
/// No one window adds more than `SUM_STEP`; at `SUM_BREACH` the odds are 10^6 to 1.
const SUM_STEP: f64 = 3.0;
pub(super) const SUM_BREACH: f64 = 14.0;

/// How a kind of value learns from excursions.
pub(super) struct Learning {
    /// How much one excursion moves the mean excess: after an incident or two the same again still alerts, then it is a habit.
    pub share: f64,
    /// Windows without an excursion that a new entity is taken to have had: what others' experience is worth.
    pub unseen: f64,
    /// How far beyond `OUTER`, on the scale on which the tail of this kind of value is exponential.
    pub excess: fn(f64) -> f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Excursions {
    /// Share of windows with which an excursion beyond `OUTER` began, and their mean excess over it.
    #[serde(with = "bits")]
    pub often: f64,
    #[serde(with = "bits")]
    pub far: f64,
    was_outer: bool,
    #[serde(with = "bits")]
    pub sum: f64,
}

impl Excursions {
    /// How often an entity of so many windows goes so far out, by its own experience.
    pub fn tail(&self, learning: &Learning, windows: u64, outward: f64) -> f64 {
        if outward <= OUTER {
            return 0.0;
        }
        // Rule of succession: what was not seen in n windows may still be an ordinary one in n.
        let unseen = 1.0 / (windows as f64 + learning.unseen + 1.0);
        let mean_excess = if self.often > 0.0 { self.far.max(0.05) } else { EXCESS };
        (self.often + unseen) * (-(learning.excess)(outward) / mean_excess).exp()
    }

    /// Learns from the window after so many. An excursion counts once however many windows it lasts: habits are learned, one long
    /// incident is not a habit.
    pub fn learn(&mut self, learning: &Learning, p: &Params, windows: u64, sigmas: f64) {
        let outward = p.direction.outward(sigmas);
        // Rare events need a longer memory than the level.
        let memory = (windows.max(1) as f64).min(4.0 * f64::from(p.history_windows.max(2)));
        let outer = outward > OUTER;
        let begins = outer && !self.was_outer;
        if begins {
            if self.often == 0.0 {
                self.far = EXCESS;
            }
            self.far += learning.share * ((learning.excess)(outward) - self.far);
        }
        self.often += (f64::from(u8::from(begins)) - self.often) / memory;
        if self.often < 1e-12 {
            self.often = 0.0;
        }
        self.was_outer = outer;
    }

    /// The running sum with a window that is so much likelier (natural logarithm) under the first of `SUM_OF` than under the second.
    /// What is beyond the breach is forgotten, so that a few ordinary windows end it.
    pub fn sum_with(&self, likelier: f64) -> f64 {
        (self.sum + likelier.min(SUM_STEP)).clamp(0.0, SUM_BREACH + SUM_STEP)
    }
}
