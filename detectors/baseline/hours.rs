//! How busy one entity gets in each hour of the week: nights and weekends of an office are quiet, and an attack in them is none of
//! its busy hours.
//!
//! Method. Of each of the 168 hours the largest window is kept, in an eighth of an octave, and fades by a quarter a week. What is
//! expected at most in an hour is the largest of it and its two neighbours, so that who comes early or stays late is expected.
//! Promises: about 200 bytes whatever the length of the past. Says nothing before two weeks of hours were seen.
//! Never: says that an hour is busier than the entity is when it is busy; what to make of it is decided in `counts.rs`.

use serde::{Deserialize, Serialize};

use super::bits;

const HOUR_US: i64 = 3_600_000_000;
pub(super) const HOURS: usize = 168;
/// Hours that must have been seen: two weeks.
const SEEN_LEAST: u32 = 2 * HOURS as u32;
/// Steps per octave in which a level is kept, and how many of them an hour loses in a week: a quarter.
const STEPS: f64 = 8.0;
const FADE: u8 = 3;

/// Where in time a window lies; the default is nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct When {
    window: u32,
    window_us: i64,
}

impl When {
    /// The window of this number from 1970 on, of windows of so many microseconds.
    pub fn new(window: u32, window_us: i64) -> When {
        When { window, window_us }
    }

    /// So many windows earlier.
    pub(super) fn earlier(self, windows: u64) -> When {
        let windows = u32::try_from(windows).unwrap_or(u32::MAX);
        When { window: self.window.saturating_sub(windows), ..self }
    }

    /// The hour of the week, UTC, from 0 on a Thursday; windows longer than an hour have none.
    fn hour(self) -> Option<usize> {
        let start = i64::from(self.window).saturating_mul(self.window_us);
        (1..=HOUR_US).contains(&self.window_us).then_some((start / HOUR_US) as usize % HOURS)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hours {
    /// The hour that runs, its largest window, and how many hours there were before.
    hour: u8,
    #[serde(with = "bits")]
    largest: f64,
    seen: u32,
    /// Of each hour of the week the largest window in steps; 0: not seen yet.
    largest_of: Box<[u8]>,
}

impl Default for Hours {
    fn default() -> Hours {
        Hours { hour: 0, largest: -1.0, seen: 0, largest_of: vec![0; HOURS].into() }
    }
}

impl Hours {
    /// Takes in a window, in the order of time.
    pub fn teach(&mut self, when: When, value: f64) {
        let Some(hour) = when.hour() else { return };
        if hour != usize::from(self.hour) {
            if self.largest >= 0.0 {
                let kept = &mut self.largest_of[usize::from(self.hour)];
                *kept = steps(self.largest).max(kept.saturating_sub(FADE));
                self.seen = self.seen.saturating_add(1);
            }
            (self.hour, self.largest) = (hour as u8, -1.0);
        }
        self.largest = self.largest.max(value);
    }

    /// Whether as many were seen as it takes.
    pub fn is_known(&self) -> bool {
        self.seen >= SEEN_LEAST
    }

    /// What is to be expected at most at this time; nothing while that is not known.
    pub fn most(&self, when: When) -> Option<f64> {
        let hour = when.hour().filter(|_| self.is_known())?;
        let around = [HOURS - 1, 0, 1].map(|off| self.largest_of[(hour + off) % HOURS]);
        (!around.contains(&0)).then(|| around.into_iter().map(value).fold(0.0, f64::max))
    }
}

fn steps(value: f64) -> u8 {
    1 + (STEPS * (1.0 + value).log2()).ceil().clamp(0.0, 254.0) as u8
}

fn value(steps: u8) -> f64 {
    (f64::from(steps.saturating_sub(1)) / STEPS).exp2() - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW_US: i64 = 600_000_000;

    /// Sixty an hour at ten in the morning, one at other times.
    fn taught(hours: u32) -> Hours {
        let mut all = Hours::default();
        for window in 0..hours * 6 {
            all.teach(When::new(window, WINDOW_US), if window / 6 % 24 == 10 { 10.0 } else { 1.0 });
        }
        all
    }

    #[test]
    fn an_hour_and_its_neighbours_are_expected_after_two_weeks() {
        let at = |hours: &Hours, hour: u32| hours.most(When::new(hour * 6, WINDOW_US));
        assert_eq!(at(&taught(2 * 168), 10), None);
        let hours = taught(2 * 168 + 1);
        let most = [8, 9, 10, 11, 12, 24 + 10, 168 + 10].map(|hour| at(&hours, hour).expect("known").round());
        assert_eq!(most, [1.0, 10.0, 10.0, 10.0, 1.0, 10.0, 10.0]);
        assert_eq!(hours.most(When::new(3, 2 * HOUR_US)), None, "windows longer than an hour have no hour");
        assert_eq!(hours.most(When::default()), None);
    }

    #[test]
    fn what_was_once_fades() {
        let mut hours = taught(3 * 168);
        for window in 3 * 168 * 6..9 * 168 * 6 + 1 {
            hours.teach(When::new(window, WINDOW_US), 1.0);
        }
        let most = hours.most(When::new(10 * 6, WINDOW_US)).expect("known");
        assert!((1.0..2.5).contains(&most), "{most} after six weeks");
    }

    #[test]
    fn a_level_is_kept_within_a_tenth_and_from_zero_to_any_size() {
        for level in [0.0, 0.3, 1.0, 7.0, 1e3, 1e6] {
            let kept = value(steps(level));
            assert!((level..=level * 1.1 + 0.1).contains(&kept), "{level} {kept}");
        }
        assert_eq!((steps(f64::MAX), steps(f64::NAN), value(0)), (255, 1, 0.0));
    }
}
