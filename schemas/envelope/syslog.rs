//! Syslog headers: RFC 5424, RFC 3164 as it is really written, and the forms that rsyslog and syslogd write to files.
//!
//! Never: reads structured data; what a gateway says of a request is in the message.

use super::Stripped;
use crate::time::{self, Zone};

/// A message with its priority, as it comes over the network.
pub(super) fn message(text: &str, observed_us: i64, zone: Zone) -> Option<Stripped<'_>> {
    let (priority, rest) = text.strip_prefix('<')?.split_once('>')?;
    if !(1..=3).contains(&priority.len()) || !priority.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    match rest.strip_prefix("1 ") {
        Some(rest) => rfc5424(rest),
        None => old(rest, observed_us, zone).or_else(|| file(rest)).or(Some(plain(rest, None))),
    }
}

/// `72 <134>1 ...`: a message behind its length, as syslog goes over TCP (RFC 6587).
pub(super) fn counted(text: &str, observed_us: i64, zone: Zone) -> Option<Stripped<'_>> {
    let (length, rest) = text.split_once(' ')?;
    let is_length = length.len() <= 7 && length.bytes().all(|b| b.is_ascii_digit());
    if is_length { message(rest, observed_us, zone) } else { None }
}

fn plain(line: &str, time_us: Option<i64>) -> Stripped<'_> {
    let line = line.trim_start_matches([' ', '\u{feff}']);
    // The cookie of CEE, before JSON.
    let line = line.strip_prefix("@cee:").map_or(line, str::trim_start);
    Stripped { line, time_us, split: None }
}

/// `TIMESTAMP HOST APP PROCID MSGID [data] message`.
fn rfc5424(text: &str) -> Option<Stripped<'_>> {
    let mut parts = text.splitn(6, ' ');
    let at = parts.next()?;
    let data = parts.nth(4)?;
    let line = data.strip_prefix('-').or_else(|| structured_end(data).map(|end| &data[end..]));
    // Heroku leaves the structured data out.
    let line = line.unwrap_or(data);
    let time_us = time::rfc3339(at.as_bytes());
    (time_us.is_some() || at == "-").then(|| plain(line, time_us))
}

/// The end of `[id name="value"][...]`, where a value may hold `\]` and `\"`.
fn structured_end(data: &str) -> Option<usize> {
    let bytes = data.as_bytes();
    let (mut at, mut in_value) = (0, false);
    if bytes.first() != Some(&b'[') {
        return None;
    }
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_value => at += 1,
            b'"' => in_value = !in_value,
            b']' if !in_value && bytes.get(at + 1) != Some(&b'[') => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// `Nov 27 10:00:00 host tag[pid]: message`, perhaps with the year behind the day, with decimals, with a zone behind the
/// clock, or with the sign of a clock that is not set (`*`, `.`) before it: as routers write it.
fn old(text: &str, observed_us: i64, zone: Zone) -> Option<Stripped<'_>> {
    let (rest, time_us) = old_time(text, observed_us, zone)?;
    Some(plain(behind_tag(rest), time_us))
}

/// The time of such a header, and what is behind it.
fn old_time(text: &str, observed_us: i64, zone: Zone) -> Option<(&str, Option<i64>)> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = text.strip_prefix(['*', '.']).unwrap_or(text);
    let month = MONTHS.iter().position(|month| text.starts_with(month))? + 1;
    let (day, rest) = text[3..].strip_prefix(' ')?.trim_start().split_once(' ')?;
    let day: u32 = day.parse().ok().filter(|_| day.len() <= 2)?;
    let is_year = |year: &&str| year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit());
    let (year, rest) = match rest.split_once(' ').filter(|(year, _)| is_year(year)) {
        Some((year, rest)) => (Some(year), rest),
        None => (None, rest),
    };
    let clock = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.'))?;
    // A colon ends the time of some.
    let (clock, rest) = (rest[..clock].trim_end_matches(':'), rest[clock..].strip_prefix(' ')?);
    let (zone, rest) = named_zone(rest).unwrap_or((zone, rest));
    let time = |year: &str| time::datetime(format!("{year}-{month:02}-{day:02} {clock}").as_bytes(), zone);
    let time_us = match year {
        Some(year) => time(year),
        None => in_year(observed_us, |year| time(&format!("{year:04}"))),
    };
    // A time that never was is still the time of a header.
    let is_clock = clock.len() >= 8 && clock.as_bytes()[2] == b':' && clock.as_bytes()[5] == b':';
    is_clock.then_some((rest, time_us))
}

/// A zone by its name, as routers write it behind the clock, and what is behind it.
fn named_zone(text: &str) -> Option<(Zone, &str)> {
    const ZONES: [(&str, i64); 18] = [
        ("UTC", 0),
        ("GMT", 0),
        ("Z", 0),
        ("WET", 0),
        ("BST", 60),
        ("WEST", 60),
        ("CET", 60),
        ("CEST", 120),
        ("EET", 120),
        ("EEST", 180),
        ("MSK", 180),
        ("EST", -300),
        ("EDT", -240),
        ("CST", -360),
        ("CDT", -300),
        ("MST", -420),
        ("PST", -480),
        ("PDT", -420),
    ];
    let (name, rest) = text.split_once(' ')?;
    let minutes = ZONES.iter().find(|(zone, _)| *zone == name.trim_end_matches(':'))?.1;
    Some((Zone::Offset(minutes * 60), rest))
}

/// In the year that puts it closest before the arrival; a day ahead is allowed.
fn in_year(observed_us: i64, at: impl Fn(i64) -> Option<i64>) -> Option<i64> {
    const DAY_US: i64 = 86_400_000_000;
    let year = 1970 + observed_us.div_euclid(31_556_952_000_000);
    let times = [year + 1, year, year - 1].map(at);
    times.into_iter().flatten().find(|time| *time <= observed_us.saturating_add(DAY_US))
}

/// The same without a priority, as syslogd writes it to a file; the tag must be there.
pub(super) fn old_file(text: &str, observed_us: i64, zone: Zone) -> Option<Stripped<'_>> {
    let (rest, time_us) = old_time(text, observed_us, zone)?;
    let line = behind_tag(rest);
    (line.len() < rest.len()).then(|| plain(line, time_us))
}

/// `2026-11-27T10:00:00+00:00 host tag[pid]: message`, as rsyslog writes it.
pub(super) fn file(text: &str) -> Option<Stripped<'_>> {
    let (at, rest) = text.split_once(' ')?;
    let time_us = time::rfc3339(at.as_bytes())?;
    let line = behind_tag(rest);
    (line.len() < rest.len()).then(|| plain(line, Some(time_us)))
}

/// `haproxy[28029]: message`, of which the rest of the header is gone already.
pub(super) fn tag(text: &str) -> Option<Stripped<'_>> {
    let (name, rest) = text.split_once('[')?;
    let (pid, line) = rest.split_once("]: ")?;
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'));
    (is_name && !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit())).then(|| plain(line, None))
}

/// The message behind `host tag[pid]: `; where there is no such tag, all of the text.
fn behind_tag(text: &str) -> &str {
    let is_tag = |tag: &str| {
        tag.len() > 1
            && tag.ends_with(':')
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b'[' | b']' | b':'))
            && !tag.contains("://")
    };
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (second, behind) = rest.split_once(' ').unwrap_or((rest, ""));
    if is_tag(second) {
        behind
    } else if is_tag(first) {
        rest
    } else {
        text
    }
}
