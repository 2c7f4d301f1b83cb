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
    Stripped { line: line.trim_start_matches([' ', '\u{feff}']), time_us, is_part: false }
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

/// `Nov 27 10:00:00 host tag[pid]: message`, perhaps with the year behind the day.
fn old(text: &str, observed_us: i64, zone: Zone) -> Option<Stripped<'_>> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|month| text.starts_with(month))? + 1;
    if let Some(year) = year_of(text) {
        let (day, clock) = (text.get(3..6)?.trim(), text.get(12..20)?);
        let day: u32 = day.parse().ok()?;
        let time_us = time::datetime(format!("{year}-{month:02}-{day:02} {clock}").as_bytes(), zone);
        return Some(plain(behind_tag(text[20..].strip_prefix(' ')?), time_us));
    }
    let stamp = text.get(..15)?;
    let (day, clock) = (stamp.get(3..6)?.trim(), stamp.get(7..)?);
    let day: u32 = day.parse().ok().filter(|_| text.as_bytes()[3] == b' ')?;
    let rest = text[15..].strip_prefix(' ')?;
    Some(plain(
        behind_tag(rest),
        in_year(observed_us, |year| time::datetime(format!("{year:04}-{month:02}-{day:02} {clock}").as_bytes(), zone)),
    ))
}

/// The year behind the day.
fn year_of(text: &str) -> Option<&str> {
    let year = text.get(7..11).filter(|year| year.bytes().all(|b| b.is_ascii_digit()));
    year.filter(|_| text.as_bytes().get(11) == Some(&b' '))
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
    let stripped = old(text, observed_us, zone)?;
    let header = if year_of(text).is_some() { 22 } else { 17 };
    (stripped.line.len() + header < text.len()).then_some(stripped)
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
