//! Times as gateways write them: RFC 3339, the common log format, epochs in four units.
//!
//! Promises: the result is microseconds since 1970 UTC; what is not a time is `None`, never a guess. A time without a
//! zone is read in the zone that the source says, UTC when it says none.
//! Never: reads a clock.

use chrono::{DateTime, Offset, TimeZone};

/// 2000-01-01 and 2100-01-01, UTC: outside of these a time is a broken clock or a wrong unit.
pub(crate) const YEAR_2000_US: i64 = 946_684_800_000_000;
pub(crate) const YEAR_2100_US: i64 = 4_102_444_800_000_000;

/// `2026-01-24T01:34:36.743Z`, with a space for the `T`, any number of decimals, offsets `+01:00` or `+0100`.
pub(crate) fn rfc3339(text: &[u8]) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' || !matches!(rest.first()?, b'T' | b't' | b' ') {
        return None;
    }
    let days = days(number(&date[..4])?, number(&date[5..7])?, number(&date[8..10])?)?;
    let (clock, rest) = rest[1..].split_at_checked(8)?;
    let seconds = clock_seconds(clock)?;
    let (micros, rest) = decimals(rest)?;
    let offset = match rest {
        b"Z" | b"z" => 0,
        _ => offset_seconds(rest)?,
    };
    micros_of(days, seconds - offset, micros)
}

/// Where times are told that name no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Seconds east of Greenwich.
    Offset(i64),
    Named(chrono_tz::Tz),
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::Offset(0)
    }
}

impl Zone {
    /// `Europe/Berlin`, `UTC`, `+01:00`.
    pub(crate) fn parse(text: &str) -> Option<Zone> {
        offset_seconds(text.as_bytes()).map(Zone::Offset).or_else(|| text.parse().ok().map(Zone::Named))
    }

    /// Seconds to take off a local time, given as if it were UTC. Of the two readings of an hour that comes twice the first
    /// counts; a time that never was is read as if the clocks had not moved yet.
    fn seconds(self, local: i64) -> i64 {
        match self {
            Zone::Offset(seconds) => seconds,
            Zone::Named(zone) => DateTime::from_timestamp(local, 0).map_or(0, |utc| {
                let naive = utc.naive_utc();
                let offset = zone.offset_from_local_datetime(&naive).earliest();
                let offset = offset.unwrap_or_else(|| zone.offset_from_utc_datetime(&naive));
                i64::from(offset.fix().local_minus_utc())
            }),
        }
    }
}

/// Date and time without a zone: `2026-01-24 01:34:36.743`, also with slashes, with `T` or ` - ` between them.
pub(crate) fn datetime(text: &[u8], zone: Zone) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    if !matches!(date[4], b'-' | b'/') || date[7] != date[4] {
        return None;
    }
    let days = days(number(&date[..4])?, number(&date[5..7])?, number(&date[8..10])?)?;
    let rest = rest.strip_prefix(b" - ").or_else(|| rest.strip_prefix(b" ")).or_else(|| rest.strip_prefix(b"T"))?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let seconds = clock_seconds(clock)?;
    let (micros, rest) = decimals(rest)?;
    rest.is_empty().then(|| micros_of(days, seconds - zone.seconds(days * 86_400 + seconds), micros)).flatten()
}

/// `10/Oct/2000:13:55:36 -0700`, the inside of the brackets; with decimals, or without the zone, too.
pub(crate) fn clf(text: &[u8], zone: Zone) -> Option<i64> {
    let (date, rest) = text.split_at_checked(11)?;
    if date[2] != b'/' || date[6] != b'/' || rest.first() != Some(&b':') {
        return None;
    }
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = MONTHS.chunks(3).position(|name| name == &date[3..6])? as i64 + 1;
    let days = days(number(&date[7..11])?, month, number(&date[..2])?)?;
    let (clock, rest) = rest[1..].split_at_checked(8)?;
    let seconds = clock_seconds(clock)?;
    let (micros, rest) = decimals(rest)?;
    let offset = match rest.strip_prefix(b" ") {
        Some(offset) => offset_seconds(offset)?,
        None if rest.is_empty() => zone.seconds(days * 86_400 + seconds),
        None => return None,
    };
    micros_of(days, seconds - offset, micros)
}

/// `20260124T013436Z`, with decimals and offsets as in RFC 3339: the basic format of ISO 8601.
pub(crate) fn basic(text: &[u8], zone: Zone) -> Option<i64> {
    let (date, rest) = text.split_at_checked(8)?;
    let (clock, rest) = rest.strip_prefix(b"T")?.split_at_checked(6)?;
    let days = days(number(&date[..4])?, number(&date[4..6])?, number(&date[6..])?)?;
    let seconds = clock_seconds(&[clock[0], clock[1], b':', clock[2], clock[3], b':', clock[4], clock[5]])?;
    let (micros, rest) = decimals(rest)?;
    let offset = match rest {
        b"Z" | b"z" => 0,
        b"" => zone.seconds(days * 86_400 + seconds),
        _ => offset_seconds(rest)?,
    };
    micros_of(days, seconds - offset, micros)
}

/// `Sat, 24 Jan 2026 01:34:36 GMT` (RFC 1123, as in headers of HTTP), also with an offset.
pub(crate) fn rfc1123(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc2822(text).ok().map(|at| at.timestamp_micros())
}

/// A decimal number of seconds (or of any unit of `per_unit` microseconds) as text: `1693840791.756`.
pub(crate) fn decimal(text: &[u8], nanos_per_unit: i64) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix(b"+").unwrap_or(text)),
    };
    let point = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
    let whole = i128::from(number(&text[..point])?);
    let mut nanos = whole * i128::from(nanos_per_unit);
    let mut unit = i128::from(nanos_per_unit);
    for &digit in text.get(point + 1..).unwrap_or_default() {
        unit /= 10;
        nanos += i128::from(number(&[digit])?) * unit;
    }
    let micros = i64::try_from(nanos / 1000).ok()?;
    Some(if negative { -micros } else { micros })
}

fn number(digits: &[u8]) -> Option<i64> {
    // Nanoseconds since 1970 have 19 digits.
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0i64, |n, b| {
        let digit = b.is_ascii_digit().then(|| i64::from(b - b'0'))?;
        n.checked_mul(10)?.checked_add(digit)
    })
}

fn clock_seconds(clock: &[u8]) -> Option<i64> {
    let (hour, minute, second) = (number(&clock[..2])?, number(&clock[3..5])?, number(&clock[6..8])?);
    // A leap second is the second after; nothing else is 60.
    let valid = clock[2] == b':' && clock[5] == b':' && hour < 24 && minute < 60 && second <= 60;
    valid.then_some(hour * 3600 + minute * 60 + second)
}

/// `.743000` as microseconds, and what follows. None of them is zero microseconds.
fn decimals(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = text.strip_prefix(b".").or_else(|| text.strip_prefix(b",")) else { return Some((0, text)) };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let micros = (0..6).fold(0, |n, i| n * 10 + if i < count { i64::from(rest[i] - b'0') } else { 0 });
    (count > 0).then_some((micros, &rest[count..]))
}

fn offset_seconds(text: &[u8]) -> Option<i64> {
    let sign = match text.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hour, minute) = match text.len() {
        5 => (number(&text[1..3])?, number(&text[3..5])?),
        6 if text[3] == b':' => (number(&text[1..3])?, number(&text[4..6])?),
        _ => return None,
    };
    (hour < 24 && minute < 60).then_some(sign * (hour * 3600 + minute * 60))
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    let y = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

fn micros_of(days: i64, seconds: i64, micros: i64) -> Option<i64> {
    Some((days * 86_400 + seconds) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_basic_format_and_that_of_headers() {
        let expected = Some(1_769_218_476_000_000);
        for text in ["20260124T013436Z", "20260124T023436+0100", "20260124T013436.000Z", "20260124T013436"] {
            assert_eq!(basic(text.as_bytes(), Zone::default()), expected, "{text}");
        }
        for text in ["Sat, 24 Jan 2026 01:34:36 GMT", "Sat, 24 Jan 2026 02:34:36 +0100", "24 Jan 2026 01:34:36 GMT"] {
            assert_eq!(rfc1123(text), expected, "{text}");
        }
        for text in ["20260124T", "20261324T013436Z", "20260124 013436Z", "Sat, 24 Jan", ""] {
            assert_eq!(basic(text.as_bytes(), Zone::default()).or(rfc1123(text)), None, "{text}");
        }
    }

    #[test]
    fn rfc3339_in_its_forms() {
        let expected = Some(1_769_218_476_743_000);
        for text in [
            "2026-01-24T01:34:36.743Z",
            "2026-01-24t01:34:36.743000000z",
            "2026-01-24 01:34:36.743+00:00",
            "2026-01-24T02:34:36.743+01:00",
            "2026-01-23T18:04:36.743-0730",
        ] {
            assert_eq!(rfc3339(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(rfc3339(b"2000-02-29T00:00:00Z"), Some(951_782_400_000_000));
        assert_eq!(rfc3339(b"2016-12-31T23:59:60Z"), rfc3339(b"2017-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for text in [
            "",
            "2026",
            "2026-01-24",
            "2026-01-24T01:34:36",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-24T24:00:00Z",
            "2026-01-24T01:60:00Z",
            "2026-01-24T01:34:36.Z",
            "2026-01-24T01:34:36+1:00",
            "2026-01-24T01:34:36Zx",
            "x026-01-24T01:34:36Z",
            "2100-02-29T00:00:00Z",
            "yesterday",
            "éééééééééééé",
        ] {
            assert_eq!(rfc3339(text.as_bytes()), None, "{text}");
        }
        for text in
            ["", "10/Oct/2000", "10/Okt/2000:13:55:36 -0700", "10/Oct/2000:13:55:36 PDT", "31/Feb/2000:13:55:36 +0000"]
        {
            assert_eq!(clf(text.as_bytes(), Zone::default()), None, "{text}");
        }
    }

    #[test]
    fn clf_and_decimals() {
        assert_eq!(clf(b"10/Oct/2000:13:55:36 -0700", Zone::default()), Some(971_211_336_000_000));
        assert_eq!(clf(b"10/Dec/2018:12:01:46.395 +0000", Zone::default()), Some(1_544_443_306_395_000));
        assert_eq!(decimal(b"1693840791.7564995", 1_000_000_000), Some(1_693_840_791_756_499));
        assert_eq!(decimal(b"0.050", 1_000_000_000), Some(50_000));
        assert_eq!(decimal(b"-1", 1_000_000), Some(-1_000));
        assert_eq!(
            (decimal(b"", 1), decimal(b"1.2.3", 1000), decimal(b"1e3", 1000), decimal(b".", 1000)),
            (None, None, None, None)
        );
    }

    #[test]
    fn times_without_a_zone_are_told_in_the_source_s() {
        let utc = clf(b"09/Dec/2013:12:59:46.633", Zone::default());
        assert_eq!(utc, Some(1_386_593_986_633_000));
        assert_eq!(datetime(b"2013-12-09 12:59:46.633", Zone::default()), utc);
        assert_eq!(datetime(b"2013/12/09 - 12:59:46", Zone::default()), utc.map(|us| us - 633_000));
        let berlin = Zone::parse("Europe/Berlin").expect("a zone");
        assert_eq!(clf(b"09/Dec/2013:13:59:46.633", berlin), utc);
        assert_eq!(clf(b"09/Dec/2013:13:59:46.633", Zone::parse("+01:00").expect("an offset")), utc);
        // Summer time, the hour that comes twice, the hour that never was.
        assert_eq!(datetime(b"2026-07-01 12:00:00", berlin), rfc3339(b"2026-07-01T10:00:00Z"));
        assert_eq!(datetime(b"2026-10-25 02:30:00", berlin), rfc3339(b"2026-10-25T00:30:00Z"));
        assert_eq!(datetime(b"2026-03-29 02:30:00", berlin), rfc3339(b"2026-03-29T00:30:00Z"));
        assert_eq!((Zone::parse("Mars/Olympus"), Zone::parse("")), (None, None));
    }

    proptest! {
        #[test]
        fn rfc3339_agrees_with_chrono(us in -62_135_596_800_000_000i64..253_402_300_800_000_000) {
            let text = crate::explain::time_text(us);
            prop_assert_eq!(rfc3339(text.as_bytes()), Some(us));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (rfc3339(&bytes), clf(&bytes, Zone::default()), decimal(&bytes, 1_000_000_000));
        }
    }
}
