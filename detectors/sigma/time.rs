//! Times as events write them, and their parts as the time modifiers ask for them.
//!
//! Promises: RFC 3339 with or without a zone (then UTC), and epoch numbers in seconds, milliseconds, microseconds or
//! nanoseconds, told apart by their size. The parts are of the time as written: the specification converts no zones.
//! Never: guesses at other formats; such a time is none.

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;

/// A time taken apart, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub year: i64,
    pub month: i64,
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    /// Of the second, and of its parts.
    us: i64,
    /// What the zone is ahead of UTC, in microseconds.
    ahead_us: i64,
}

/// What a time modifier asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Written {
    pub fn part(&self, part: Part) -> i64 {
        match part {
            Part::Minute => self.minute,
            Part::Hour => self.hour,
            Part::Day => self.day,
            Part::Week => self.week(),
            Part::Month => self.month,
            Part::Year => self.year,
        }
    }

    /// Microseconds since 1970 in UTC.
    pub fn us(&self) -> i64 {
        let seconds = self.days() * 86_400 + self.hour * 3_600 + self.minute * 60;
        seconds * SECOND_US + self.us - self.ahead_us
    }

    /// Days since 1970-01-01; the algorithm is Hinnant's `days_from_civil`.
    fn days(&self) -> i64 {
        days(self.year, self.month, self.day)
    }

    /// The week of ISO 8601, whose year begins with the week of the first Thursday.
    fn week(&self) -> i64 {
        let thursday = self.days() - (self.days() + 3).rem_euclid(7) + 3;
        let year = if thursday < days(self.year, 1, 1) {
            self.year - 1
        } else if thursday >= days(self.year + 1, 1, 1) {
            self.year + 1
        } else {
            self.year
        };
        (thursday - days(year, 1, 1)) / 7 + 1
    }
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Reads `2026-01-31T08:05:09.25Z` and its like.
pub fn parse(text: &str) -> Option<Written> {
    let text = text.trim();
    if !text.is_ascii() || text.len() < 16 || text.len() > 40 {
        return None;
    }
    let (date, rest) = text.split_at(10);
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let clock = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, zone) = match clock.find(['Z', 'z', '+', '-']) {
        Some(at) => clock.split_at(at),
        None => (clock, "Z"),
    };
    let mut parts = clock.trim().splitn(3, ':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let us = parts.next().map_or(Some(0), seconds_us)?;
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60;
    fits.then_some(Written { year, month, day, hour, minute, us, ahead_us: zone_us(zone)? })
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn seconds_us(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once(['.', ',']).unwrap_or((text, ""));
    let digits: String = part.chars().chain("000000".chars()).take(6).collect();
    let seconds = number(whole).filter(|seconds| *seconds <= 60)?;
    Some(seconds * SECOND_US + number(&digits)?)
}

fn zone_us(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next()? {
        'Z' | 'z' => return (zone.len() == 1).then_some(0),
        '+' => 1,
        _ => -1,
    };
    let digits: String = zone[1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        _ => return None,
    };
    Some(sign * (hours * 3_600 + minutes * 60) * SECOND_US)
}

/// An epoch number as microseconds; its unit is told by its size, which holds for the years 1973 to 5138.
pub fn epoch_us(number: f64) -> Option<i64> {
    let size = number.abs();
    let us = match size {
        _ if !(1e8..1e20).contains(&size) => return None,
        _ if size < 1e11 => number * 1e6,
        _ if size < 1e14 => number * 1e3,
        _ if size < 1e17 => number,
        _ => number / 1e3,
    };
    Some(us as i64)
}

/// The time that a text or a number stands for, in microseconds since 1970.
pub fn us(text: &str) -> Option<i64> {
    match parse(text) {
        Some(written) => Some(written.us()),
        None => epoch_us(text.trim().parse().ok()?),
    }
}

/// The same taken apart.
pub fn written(text: &str) -> Option<Written> {
    if let Some(written) = parse(text) {
        return Some(written);
    }
    let us = epoch_us(text.trim().parse().ok()?)?;
    let (day, of_day) = (us.div_euclid(86_400 * SECOND_US), us.rem_euclid(86_400 * SECOND_US));
    let (year, month, day) = civil(day);
    let seconds = of_day / SECOND_US;
    let (hour, minute) = (seconds / 3_600, seconds / 60 % 60);
    Some(Written { year, month, day, hour, minute, us: of_day % (60 * SECOND_US), ahead_us: 0 })
}

/// The inverse of `days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_forms_that_logs_use() {
        let wanted = 1_769_846_709_250_000;
        assert_eq!(us("2026-01-31T08:05:09.25Z"), Some(wanted));
        assert_eq!(us("2026-01-31 08:05:09.25"), Some(wanted));
        assert_eq!(us("2026-01-31T09:35:09.250+01:30"), Some(wanted));
        assert_eq!(us("1769846709.25"), Some(wanted));
        assert_eq!(us("1769846709250"), Some(wanted));
        assert_eq!(us("1769846709250000"), Some(wanted));
        assert_eq!(us("2026-01-31"), None);
        assert_eq!(us("2026-13-31T08:05:09Z"), None);
        assert_eq!(us("yesterday at about noon"), None);
        assert_eq!(us("200"), None);
    }

    #[test]
    fn the_parts_are_of_the_time_as_written() {
        let time = parse("2026-01-01T23:59:00+02:00").unwrap();
        assert_eq!((time.part(Part::Hour), time.part(Part::Minute), time.part(Part::Day)), (23, 59, 1));
        assert_eq!((time.part(Part::Month), time.part(Part::Year)), (1, 2026));
        let week = |text: &str| parse(text).unwrap().part(Part::Week);
        assert_eq!(week("2026-01-01T00:00:00Z"), 1);
        assert_eq!(week("2027-01-01T00:00:00Z"), 53);
        assert_eq!(week("2024-12-30T00:00:00Z"), 1);
        let epoch = written("1769846709").unwrap();
        assert_eq!((epoch.year, epoch.month, epoch.day, epoch.hour, epoch.minute), (2026, 1, 31, 8, 5));
        assert_eq!(epoch.us(), 1_769_846_709_000_000);
    }
}
