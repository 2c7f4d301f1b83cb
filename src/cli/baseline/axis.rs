//! The two axes of a picture: UTC time and values, with ticks at round places.
//!
//! Promises: at most about `TICKS` ticks whatever the range; any finite value and any time is mapped into the picture, also where
//! the plotting crate's own axes would overflow or loop (values of 1e300, a range below the precision of its values).

use std::ops::Range;

use chrono::{DateTime, Datelike, NaiveDate};
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

const TICKS: i64 = 8;
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Distances of ticks up to which days are long enough; beyond, months are counted.
const ROUND_TIMES: [i64; 22] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    3 * DAY,
    5 * DAY,
    10 * DAY,
];
const MONTHS: [i64; 4] = [1, 2, 3, 6];

/// Where a value lies between two pixels; what is beyond the range is at its edge.
fn pixel(share: f64, limit: (i32, i32)) -> i32 {
    limit.0 + (share.clamp(0.0, 1.0) * f64::from(limit.1 - limit.0)).round() as i32
}

/// The smallest of 1, 2 or 5 times a power of ten that is at least this.
fn round_up(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-300).log10().floor());
    [1.0, 2.0, 5.0].map(|times| times * power).into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

pub struct Values {
    low: f64,
    high: f64,
    step: f64,
}

impl Values {
    /// From `low` to `high`, which is greater.
    pub fn new(low: f64, high: f64) -> Values {
        let ticks = TICKS as f64;
        Values { low, high, step: round_up(high / ticks - low / ticks) }
    }
}

impl Ranged for Values {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        // In halves: the whole range may be more than a number holds.
        pixel((value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0), limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        let first = (self.low / self.step).ceil();
        let ticks = (0..=TICKS).map(|at| (first + at as f64) * self.step);
        let mut ticks: Vec<f64> = ticks.filter(|tick| (self.low..=self.high).contains(tick)).collect();
        ticks.dedup();
        ticks
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Values {
    fn format_ext(&self, value: &f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        let power = self.step.log10().floor();
        let digits = |least: f64| (least - power).clamp(0.0, 9.0) as usize;
        if *value == 0.0 {
            "0".to_owned()
        } else if (1e-4..1e7).contains(&largest) {
            format!("{value:.*}", digits(0.0))
        } else {
            format!("{value:.*e}", digits(value.abs().log10().floor()))
        }
    }
}

/// How far apart the ticks of time are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Micros(i64),
    Months(i64),
}

pub struct Times {
    low: i64,
    high: i64,
    step: Step,
}

impl Times {
    /// From `low` to `high`, which is later.
    pub fn new(low: i64, high: i64) -> Times {
        let least = (i128::from(high) - i128::from(low)) as f64 / TICKS as f64;
        let step = if least <= (SECOND / 2) as f64 {
            Step::Micros(round_up(least.max(1.0)) as i64)
        } else if let Some(step) = ROUND_TIMES.into_iter().find(|step| *step as f64 >= least) {
            Step::Micros(step)
        } else {
            let months = least / (30 * DAY) as f64;
            let years = || 12 * round_up(least / (365 * DAY) as f64).max(1.0) as i64;
            Step::Months(MONTHS.into_iter().find(|step| *step as f64 >= months).unwrap_or_else(years))
        };
        Times { low, high, step }
    }

    fn months(&self, step: i64) -> Vec<i64> {
        // A time beyond the calendar has no month, and so no ticks.
        let Some(first) = DateTime::from_timestamp_micros(self.low) else { return Vec::new() };
        let first = (i64::from(first.year()) * 12 + i64::from(first.month0())).div_euclid(step) * step;
        let start = |months: i64| {
            let year = i32::try_from(months.div_euclid(12)).ok()?;
            let day = NaiveDate::from_ymd_opt(year, u32::try_from(months.rem_euclid(12)).ok()? + 1, 1)?;
            Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
        };
        (0..=TICKS + 1).filter_map(|at| start(first + at * step)).collect()
    }
}

impl Ranged for Times {
    type FormatOption = NoDefaultFormatting;
    type ValueType = i64;

    fn map(&self, time: &i64, limit: (i32, i32)) -> i32 {
        let from_low = |time: i64| (i128::from(time) - i128::from(self.low)) as f64;
        pixel(from_low(*time) / from_low(self.high), limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<i64> {
        let ticks = match self.step {
            Step::Months(step) => self.months(step),
            Step::Micros(step) => {
                let first = self.low.div_euclid(step);
                (0..=TICKS + 1).filter_map(|at| first.checked_add(at)?.checked_mul(step)).collect()
            }
        };
        ticks.into_iter().filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }

    fn range(&self) -> Range<i64> {
        self.low..self.high
    }
}

impl ValueFormatter<i64> for Times {
    fn format_ext(&self, time: &i64) -> String {
        let format = match self.step {
            Step::Micros(step) if step < SECOND => "%H:%M:%S%.6f",
            Step::Micros(step) if step < MINUTE => "%H:%M:%S",
            Step::Micros(step) if step < DAY => "%m-%d %H:%M",
            Step::Micros(_) => "%Y-%m-%d",
            Step::Months(step) if step < 12 => "%Y-%m",
            Step::Months(_) => "%Y",
        };
        written(*time, format)
    }
}

/// A time in UTC; beyond the calendar, as the seconds since 1970.
pub fn written(time_us: i64, format: &str) -> String {
    match DateTime::from_timestamp_micros(time_us) {
        Some(time) => time.format(format).to_string(),
        None => format!("{} s", time_us / SECOND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(low: f64, high: f64) -> Vec<String> {
        let axis = Values::new(low, high);
        axis.key_points(10).iter().map(|tick| axis.format_ext(tick)).collect()
    }

    fn times(low: &str, high: &str) -> Vec<String> {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros();
        let axis = Times::new(at(low), at(high));
        axis.key_points(10).iter().map(|tick| axis.format_ext(tick)).collect()
    }

    #[test]
    fn values_have_round_ticks() {
        assert_eq!(values(-3.0, 12.0), ["-2", "0", "2", "4", "6", "8", "10", "12"]);
        assert_eq!(values(0.1, 0.31), ["0.10", "0.15", "0.20", "0.25", "0.30"]);
        assert_eq!(values(0.0, 3e9), ["0", "5e8", "1.0e9", "1.5e9", "2.0e9", "2.5e9", "3.0e9"]);
        assert_eq!(values(-1e300, 1e300), ["-1.0e300", "-5e299", "0", "5e299", "1.0e300"]);
        assert_eq!(values(1e-12, 2.1e-12)[..2], ["1.0e-12", "1.2e-12"]);
    }

    #[test]
    fn no_range_of_values_makes_many_ticks_or_leaves_the_picture() {
        let pairs = [(f64::MIN, f64::MAX), (1e16, 1e16 + 4.0), (0.0, 1e-300), (-1e-320, 1e-320), (1.0, 1.0 + 1e-15)];
        for (low, high) in pairs {
            let axis = Values::new(low, high);
            assert!(axis.key_points(10).len() <= 9, "{low} {high}");
            assert_eq!((axis.map(&low, (400, 0)), axis.map(&high, (400, 0))), (400, 0), "{low} {high}");
            assert_eq!(axis.map(&f64::NEG_INFINITY, (400, 0)), 400, "{low} {high}");
            assert_eq!(axis.map(&f64::INFINITY, (400, 0)), 0, "{low} {high}");
        }
    }

    #[test]
    fn times_have_round_ticks() {
        assert_eq!(
            times("2014-04-01T00:00:00Z", "2014-04-14T23:55:00Z"),
            ["2014-04-02", "2014-04-04", "2014-04-06", "2014-04-08", "2014-04-10", "2014-04-12", "2014-04-14"]
        );
        assert_eq!(times("2026-01-05T10:07:00Z", "2026-01-05T10:59:00Z")[..2], ["01-05 10:10", "01-05 10:20"]);
        assert_eq!(times("2026-01-05T10:00:00.9Z", "2026-01-05T10:00:08Z")[..2], ["10:00:01", "10:00:02"]);
        assert_eq!(times("2026-01-05T10:00:00Z", "2026-01-05T10:00:00.0008Z")[1], "10:00:00.000100");
        assert_eq!(times("2025-11-20T00:00:00Z", "2026-03-02T00:00:00Z"), ["2025-12", "2026-01", "2026-02", "2026-03"]);
        assert_eq!(times("1991-05-01T00:00:00Z", "2026-01-01T00:00:00Z")[..2], ["1995", "2000"]);
    }

    #[test]
    fn any_range_of_times_has_few_ticks() {
        for (low, high) in [(i64::MIN, i64::MAX), (0, 1), (i64::MAX - 5, i64::MAX), (-DAY, i64::MAX), (-1, 999_999)] {
            let axis = Times::new(low, high);
            let ticks = axis.key_points(10);
            assert!(ticks.len() <= 10 && ticks.is_sorted(), "{low} {high}: {ticks:?}");
            assert!(ticks.iter().all(|tick| !axis.format_ext(tick).is_empty()));
            assert_eq!((axis.map(&low, (0, 1000)), axis.map(&high, (0, 1000))), (0, 1000), "{low} {high}");
        }
    }
}
