//! The shape of a day and of a week of one series, learned online from its own history.
//!
//! A period is cut into equal slots. A slot's mean is folded into the profile when the slot is over, so what is
//! expected now never contains what is happening now. Each fold is bounded, so one odd day does not become the rule,
//! and weighs at least `SHARE_MIN`, so a season that changes is followed within weeks. A profile is used only while it
//! predicts clearly better than the mean of the last day does: a random walk has no season.

use serde::{Deserialize, Serialize};

use super::bits;

const DAY_US: i64 = 86_400_000_000;
const WEEK_US: i64 = 7 * DAY_US;
const DAY_SLOTS: usize = 48;
const WEEK_SLOTS: usize = 168;
const SHARE_MIN: f64 = 0.15;
/// The season must leave at most this share of the squared error of the plain mean, over `TRIAL` points at least.
const GAIN: f64 = 0.5;
/// The week must beat the day by this much.
const WEEK_GAIN: f64 = 0.9;
const TRIAL: f64 = 100.0;
const ERROR_MEMORY: f64 = 1500.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Season {
    day: Profile,
    week: Profile,
    /// Mean of about the last day, and when it was last moved.
    #[serde(with = "bits")]
    plain: f64,
    at_us: i64,
    /// Mean squared errors of the three, over the same points.
    #[serde(with = "bits")]
    plain_error: f64,
    #[serde(with = "bits")]
    day_error: f64,
    #[serde(with = "bits")]
    week_error: f64,
    #[serde(with = "bits")]
    tried: f64,
    /// When a season was first believed.
    since_us: Option<i64>,
}

impl Season {
    pub(super) fn new() -> Self {
        let (day, week) = (Profile::new(DAY_US, DAY_SLOTS), Profile::new(WEEK_US, WEEK_SLOTS));
        Season {
            day,
            week,
            plain: 0.0,
            at_us: i64::MIN,
            plain_error: 0.0,
            day_error: 0.0,
            week_error: 0.0,
            tried: 0.0,
            since_us: None,
        }
    }

    /// What the season expects now, if there is one; then learns the value. `bound` limits what one point can do.
    pub(super) fn observe(&mut self, time_us: i64, value: f64, bound: f64) -> Option<f64> {
        if self.at_us == i64::MIN {
            self.plain = value;
            self.at_us = time_us;
        }
        let expected = self.expect(time_us, value, bound);
        let elapsed = time_us.saturating_sub(self.at_us) as f64 / DAY_US as f64;
        self.plain += elapsed.clamp(0.0, 1.0) * (value - self.plain);
        self.at_us = time_us;
        self.day.learn(time_us, value, bound);
        self.week.learn(time_us, value, bound);
        expected
    }

    /// What the season is about to expect, if one was believed so far.
    pub(super) fn outlook(&self, time_us: i64) -> Option<f64> {
        self.chosen(self.day.expected(time_us, 2)?, self.week.expected(time_us, 1))
    }

    /// True once a season was believed for a day: by then its errors are known well enough to be judged.
    pub(super) fn settled(&self, time_us: i64) -> bool {
        self.since_us.is_some_and(|since| time_us.saturating_sub(since) > DAY_US)
    }

    fn expect(&mut self, time_us: i64, value: f64, bound: f64) -> Option<f64> {
        let by_day = self.day.expected(time_us, 2)?;
        let by_week = self.week.expected(time_us, 1);
        self.tried += 1.0;
        let share = 1.0 / self.tried.min(ERROR_MEMORY);
        let squared = |expected: f64| (value - expected).clamp(-bound, bound).powi(2);
        self.plain_error += share * (squared(self.plain) - self.plain_error);
        self.day_error += share * (squared(by_day) - self.day_error);
        self.week_error += share * (squared(by_week.unwrap_or(by_day)) - self.week_error);
        let chosen = self.chosen(by_day, by_week)?;
        self.since_us.get_or_insert(time_us);
        Some(chosen)
    }

    /// The day's or the week's shape, or neither, by their errors so far.
    fn chosen(&self, by_day: f64, by_week: Option<f64>) -> Option<f64> {
        // Not less when both are nothing: a series that never moves has no season, and one odd point shall not make one.
        if self.tried < TRIAL || self.day_error.min(self.week_error) >= GAIN * self.plain_error {
            return None;
        }
        if self.week_error < WEEK_GAIN * self.day_error { by_week.or(Some(by_day)) } else { Some(by_day) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Profile {
    period_us: i64,
    #[serde(with = "bits::many")]
    means: Vec<f64>,
    /// Periods in which the slot had values.
    seen: Vec<u32>,
    /// The slot being filled (counted from the epoch), and its running mean.
    open: i64,
    #[serde(with = "bits")]
    open_mean: f64,
    #[serde(with = "bits")]
    open_count: f64,
}

impl Profile {
    fn new(period_us: i64, slots: usize) -> Self {
        let (means, seen) = (vec![0.0; slots], vec![0; slots]);
        Profile { period_us, means, seen, open: i64::MIN, open_mean: 0.0, open_count: 0.0 }
    }

    /// What is usual at this time, once it was seen in `periods` periods; linear between the middles of slots.
    fn expected(&self, time_us: i64, periods: u32) -> Option<f64> {
        let slots = self.means.len();
        let at = time_us.rem_euclid(self.period_us) as f64 / self.period_us as f64 * slots as f64 + slots as f64 - 0.5;
        let (here, next) = (at as usize % slots, (at as usize + 1) % slots);
        match (self.seen[here] >= periods, self.seen[next] >= periods) {
            (true, true) => Some(self.means[here] + (self.means[next] - self.means[here]) * at.fract()),
            (true, false) => Some(self.means[here]),
            (false, true) => Some(self.means[next]),
            (false, false) => None,
        }
    }

    fn learn(&mut self, time_us: i64, value: f64, bound: f64) {
        let slot = time_us.div_euclid(self.period_us / self.means.len() as i64);
        if slot != self.open {
            self.fold(bound);
            (self.open, self.open_mean, self.open_count) = (slot, 0.0, 0.0);
        }
        self.open_count += 1.0;
        self.open_mean += (value - self.open_mean) / self.open_count;
    }

    fn fold(&mut self, bound: f64) {
        if self.open_count == 0.0 {
            return;
        }
        let slot = self.open.rem_euclid(self.means.len() as i64) as usize;
        self.seen[slot] = self.seen[slot].saturating_add(1);
        let off = self.open_mean - self.means[slot];
        if self.seen[slot] == 1 {
            self.means[slot] = self.open_mean;
        } else {
            let share = (1.0 / f64::from(self.seen[slot])).max(SHARE_MIN);
            self.means[slot] += share * off.clamp(-bound, bound);
        }
    }
}
