//! What the entities around one are like: what one without a past is compared with, and what a short past leans on.
//!
//! Promises: made of a few entities per window and of values that are bounded each, so that no one entity makes it; constant
//! memory.
//! Never: holds an entity.

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::{Past, bits};

/// Before enough is known: twenty a window, scattering as widely as a mixed population does.
const LEVEL: f64 = 20.0;
const SCATTER: f64 = 1.0;
const BETWEEN: (f64, f64) = (0.5, 4.0);
/// Windows an entity must have had, and looks at entities, before they count for anything.
const WINDOWS_LEAST: u64 = 6;
const KNOWN: f64 = 48.0;
/// The scatter lent is the 0.75 expectile of theirs: most entities scatter less.
const SCATTER_EXPECTILE: f64 = 0.75;
/// A level counts for at most so many times the level of all.
const LEVEL_BOUND: f64 = 20.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Looks at entities, at most what the memory holds.
    #[serde(with = "bits")]
    looks: f64,
    #[serde(with = "bits")]
    level: f64,
    #[serde(with = "bits")]
    square: f64,
    #[serde(with = "bits")]
    scatter: f64,
    #[serde(with = "bits")]
    unit: f64,
    /// The share of entities that were ever far beyond what was usual for them; how often those are, and how far.
    #[serde(with = "bits")]
    bursty: f64,
    #[serde(with = "bits")]
    burst_share: f64,
    #[serde(with = "bits")]
    burst_excess: f64,
}

impl Pool {
    /// Looks at one entity; `memory`: so many looks are remembered.
    pub fn look(&mut self, entity: &Counts, memory: f64) {
        if entity.windows() < WINDOWS_LEAST {
            return;
        }
        self.looks = (self.looks + 1.0).min(memory.max(2.0));
        let share = 1.0 / self.looks;
        let bound = if self.looks > KNOWN { LEVEL_BOUND * self.level } else { f64::INFINITY };
        let level = entity.level().min(bound);
        self.level += share * (level - self.level);
        self.square += share * (level * level - self.square);
        let scatter = entity.scatter();
        let weight = if scatter > self.scatter { SCATTER_EXPECTILE } else { 1.0 - SCATTER_EXPECTILE };
        self.scatter += (2.0 * share * weight).min(1.0) * (scatter - self.scatter);
        let (often, far) = entity.bursts();
        self.bursty += share * (f64::from(u8::from(often > 0.0)) - self.bursty);
        if often > 0.0 {
            let share = (share / self.bursty.max(share)).min(1.0);
            self.burst_share += share * (often - self.burst_share);
            self.burst_excess += share * (far - self.burst_excess);
        }
        let (amount, events) = entity.unit_parts();
        if events > 0.0 {
            self.unit += (amount / events - self.unit) * if self.unit == 0.0 { 1.0 } else { share };
        }
    }

    /// Whether enough is known to lend anything.
    pub fn is_known(&self) -> bool {
        self.looks >= KNOWN
    }

    pub(super) fn level(&self) -> f64 {
        if self.is_known() { self.level.max(1.0) } else { LEVEL }
    }

    pub(super) fn scatter(&self) -> f64 {
        if self.is_known() { self.scatter } else { SCATTER }
    }

    /// Variance of the entities' levels by the square of their mean.
    pub(super) fn between(&self) -> f64 {
        if !self.is_known() {
            return BETWEEN.1;
        }
        (self.square / (self.level * self.level).max(1e-9) - 1.0).clamp(BETWEEN.0, BETWEEN.1)
    }

    /// How likely it is that an entity that did not burst in so many windows is one of those who do, and now goes so far beyond
    /// (`beyond`: its log excess): people come in sessions, and those who burst often show it before long.
    pub(super) fn burst_tail(&self, windows: f64, beyond: f64) -> f64 {
        if !self.is_known() || self.burst_share <= 0.0 {
            return 0.0;
        }
        let share = self.burst_share.min(0.5);
        self.bursty * (1.0 - share).powf(windows) * share * (-beyond / self.burst_excess.max(0.05)).exp()
    }

    /// The amount of a typical event, where there is one.
    pub(super) fn unit(&self) -> Option<f64> {
        Some(self.unit).filter(|unit| *unit > 0.0)
    }
}
