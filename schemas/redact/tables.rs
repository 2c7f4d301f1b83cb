//! Tables in a text: lines of fields under a line of names, `user,password` and below it `bob,x`.
//!
//! Promises: linear time; the sign between fields is `,`, `;`, tab or `|`; a row with another number of fields ends the table.
//! Never: takes a line that holds other things than names for the head of a table.

use super::find::Finding;
use super::names::{Memo, NAME_BYTES_MAX, Says};
use super::pairs::{confirmed, is_name};
use super::rules;

const COLUMNS_MAX: usize = 64;

/// Values below secret names.
pub(crate) fn tables(text: &str, memo: &mut Memo, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(end) = memchr::memchr(b'\n', &bytes[at..]).map(|i| at + i) {
        let line = bytes[at..end].strip_suffix(b"\r").unwrap_or(&bytes[at..end]);
        at = end + 1;
        if rules::has(rules::TABLE)
            && let Some((sign, columns)) = head(line, memo)
        {
            at = rows(bytes, at, sign, &columns, findings);
        }
    }
}

/// What the names of a head say, and the sign between them; of a line that begins with something else its end.
fn head(line: &[u8], memo: &mut Memo) -> Option<(u8, Vec<Says>)> {
    let sign = *line.iter().rev().take(NAME_BYTES_MAX).find(|b| matches!(b, b',' | b';' | b'\t' | b'|'))?;
    let inside = |b: &u8| is_name(*b) || matches!(*b, b' ' | b'"' | b'\'') || *b == sign;
    let start = line.iter().rposition(|b| !inside(b)).map_or(0, |i| i + 1);
    let names = line[start..].split(|b| *b == sign).take(COLUMNS_MAX + 1);
    let columns: Vec<Says> = names.map(|name| memo.says(unquoted(name))).collect();
    let is_head = (2..=COLUMNS_MAX).contains(&columns.len()) && columns.iter().any(|says| says.class().is_some());
    is_head.then_some((sign, columns))
}

fn unquoted(name: &[u8]) -> &[u8] {
    let name = name.trim_ascii();
    let edge = |b: &u8| matches!(b, b'"' | b'\'');
    let from = name.iter().position(|b| !edge(b)).unwrap_or(name.len());
    let to = name.iter().rposition(|b| !edge(b)).map_or(from, |i| i + 1);
    &name[from..to]
}

/// Reads rows from `at` on; where the table ends.
fn rows(bytes: &[u8], mut at: usize, sign: u8, columns: &[Says], findings: &mut Vec<Finding>) -> usize {
    while at < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |i| at + i);
        let first = findings.len();
        let (mut count, mut from) = (0, at);
        while from <= end && count <= columns.len() {
            let (start, to, next) = field(bytes, from, end, sign);
            if let Some(class) = columns.get(count).and_then(|says| confirmed(*says, &bytes[start..to])) {
                findings.push(Finding { start, end: to, class, whole: true });
            }
            count += 1;
            from = next;
        }
        if count != columns.len() {
            findings.truncate(first);
            return at;
        }
        at = end + 1;
    }
    bytes.len()
}

/// The field that begins at `from`: where its text is, and where the next one begins (behind `end` for none).
fn field(bytes: &[u8], from: usize, end: usize, sign: u8) -> (usize, usize, usize) {
    let start = from + bytes[from..end].iter().take_while(|&&b| b == b' ').count();
    if let Some(quote @ (b'"' | b'\'')) = bytes[start..end].first().copied()
        && let Some(close) = memchr::memchr(quote, &bytes[start + 1..end]).map(|i| start + 1 + i)
    {
        let next = memchr::memchr(sign, &bytes[close..end]).map_or(end + 1, |i| close + i + 1);
        return (start + 1, close, next);
    }
    let to = memchr::memchr(sign, &bytes[start..end]).map_or(end, |i| start + i);
    // The last field of a table that stands in quotes or in a parameter.
    let text = if to == end { bytes[start..to].iter().position(|b| matches!(b, b'"' | b'&' | b'\r')) } else { None };
    (start, text.map_or(to, |i| start + i), to + 1)
}
