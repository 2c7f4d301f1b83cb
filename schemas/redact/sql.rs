//! Passwords in statements of SQL: `identified by 'x'`, `alter user u password 'x'`, `set password for u = 'x'`, and the values
//! of columns whose names are secret: `insert into u (name, password) values ('bob', 'x')`, or `select 'bob', 'x'`.
//!
//! Promises: linear time: what is looked at before a word and behind it is bounded.
//! Never: parses a statement; a word that no statement stands around says nothing.

use super::classes::Class;
use super::find::Finding;
use super::names::{self, NAME_BYTES_MAX, Says};
use super::pairs::{closing, confirmed, opening_quote};
use super::values::is_placeholder;

/// How far before a word a statement is looked for, and the list of its columns.
const BEFORE_MAX: usize = 240;
const COLUMNS_MAX: usize = 32;
/// Rows of values, and bytes of one value.
const ROWS_MAX: usize = 64;
const VALUE_MAX: usize = 1024;
/// Bytes of what may stand between a word and its password: the name of a plug-in, of a user.
const BETWEEN_MAX: usize = 80;

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'+' | b'\r' | b'\n')
}

fn over_blanks(bytes: &[u8], from: usize) -> usize {
    from + bytes[from.min(bytes.len())..].iter().take_while(|&&b| is_blank(b)).count()
}

/// Where the password is that `word` (`identified`, or one for a password) at `start..end` is followed by.
pub(crate) fn password(bytes: &[u8], start: usize, end: usize, word: &str) -> Option<(usize, usize)> {
    let at = match word {
        "identified" => by(bytes, end)?,
        "password" if is_statement(&bytes[start.saturating_sub(BEFORE_MAX)..start]) => assigned(bytes, end)?,
        _ => return None,
    };
    let (from, to) = text_at(bytes, at).or_else(|| (word == "identified").then(|| bare(bytes, at))?)?;
    (from < to && !is_placeholder(&bytes[from..to])).then_some((from, to))
}

/// Does a statement that may set a password begin before it?
fn is_statement(before: &[u8]) -> bool {
    let mut words = before.split(|b| !b.is_ascii_alphanumeric());
    let verbs: [&[u8]; 4] = [b"alter", b"create", b"set", b"grant"];
    words.any(|word| verbs.iter().any(|verb| word.eq_ignore_ascii_case(verb)))
}

/// Behind `by`, or `with <plug-in> by` or `as`.
fn by(bytes: &[u8], end: usize) -> Option<usize> {
    let mut at = over_blanks(bytes, end);
    let mut with = false;
    while at < bytes.len().min(end + BETWEEN_MAX) {
        let length = bytes[at..].iter().take(BETWEEN_MAX).take_while(|b| !is_blank(**b)).count();
        let word = &bytes[at..at + length];
        let next = over_blanks(bytes, at + length);
        if word.eq_ignore_ascii_case(b"by") || (with && word.eq_ignore_ascii_case(b"as")) {
            let rest = &bytes[next..];
            let filler: [&[u8]; 2] = [b"password", b"values"];
            let skipped = filler.iter().find(|f| rest.len() > f.len() && rest[..f.len()].eq_ignore_ascii_case(f));
            return Some(over_blanks(bytes, next + skipped.map_or(0, |f| f.len())));
        }
        with |= word.eq_ignore_ascii_case(b"with");
        if !with || length == 0 {
            return None;
        }
        at = next;
    }
    None
}

/// The quote of what stands behind `password`: at once, in parentheses, or behind `for <user> =`.
fn assigned(bytes: &[u8], end: usize) -> Option<usize> {
    let mut at = over_blanks(bytes, end);
    if bytes.get(at..at + 4).is_some_and(|word| word[..3].eq_ignore_ascii_case(b"for") && is_blank(word[3])) {
        at += 1 + memchr::memchr(b'=', &bytes[at..bytes.len().min(at + BETWEEN_MAX)])?;
        at = over_blanks(bytes, at);
        let inner = bytes[at..].iter().take(16).take_while(|b| b.is_ascii_alphabetic()).count();
        at += if bytes.get(at + inner) == Some(&b'(') { inner } else { 0 };
    }
    Some(over_blanks(bytes, at + usize::from(bytes.get(at) == Some(&b'('))))
}

/// What stands in quotes at `at`.
fn text_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..bytes.len().min(at + VALUE_MAX))?;
    let width = opening_quote(rest)?;
    let to = closing(rest, width, &rest[..width]);
    (to < rest.len()).then_some((at + width, at + to))
}

/// A word that is not English at `at`: `identified by hunter2`.
fn bare(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    let length =
        rest.iter().take(VALUE_MAX).take_while(|b| b.is_ascii_graphic() && !matches!(b, b';' | b'+' | b'&')).count();
    let value = &rest[..length];
    let is_told = value.iter().any(u8::is_ascii_digit) || (length >= 8 && rest.get(length).is_none_or(|b| *b == b';'));
    is_told.then_some((at, at + length))
}

/// The values of secret columns behind the word at `start..end`, which stand in parentheses (`values`), or do not
/// (`select`); how far was read.
pub(crate) fn values(bytes: &[u8], start: usize, end: usize, in_rows: bool, findings: &mut Vec<Finding>) -> usize {
    let mut columns = [Says::Nothing; COLUMNS_MAX];
    let Some(count) = columns_before(bytes, start, &mut columns) else { return end };
    let mut at = over_blanks(bytes, end);
    for _ in 0..ROWS_MAX {
        if in_rows && bytes.get(at) != Some(&b'(') {
            break;
        }
        at += usize::from(in_rows);
        for says in columns.iter().take(count) {
            at = over_blanks(bytes, at);
            let (from, to) = text_at(bytes, at).unwrap_or_else(|| {
                let rest = &bytes[at..bytes.len().min(at + VALUE_MAX)];
                (at, at + rest.iter().position(|b| matches!(b, b',' | b')')).unwrap_or(rest.len()))
            });
            if let Some(class) = confirmed(*says, &bytes[from..to]) {
                findings.push(Finding { start: from, end: to, class, whole: class != Class::PHONE });
            }
            let rest = &bytes[to..bytes.len().min(to + VALUE_MAX)];
            match rest.iter().position(|b| matches!(b, b',' | b')')) {
                Some(i) => at = to + i + 1,
                None => return to,
            }
            if bytes[at - 1] == b')' {
                break;
            }
        }
        at = over_blanks(bytes, at);
        if !in_rows || bytes.get(at) != Some(&b',') {
            break;
        }
        at = over_blanks(bytes, at + 1);
    }
    at
}

/// What the names in the parentheses before `start` say; None when none of them names a secret.
fn columns_before(bytes: &[u8], start: usize, columns: &mut [Says; COLUMNS_MAX]) -> Option<usize> {
    let before = &bytes[start.saturating_sub(BEFORE_MAX)..start];
    let blanks = before.iter().rev().take_while(|&&b| is_blank(b)).count();
    let list = before[..before.len() - blanks].strip_suffix(b")")?;
    let list = &list[memchr::memrchr(b'(', list)? + 1..];
    let mut count = 0;
    for name in list.split(|&b| b == b',').take(COLUMNS_MAX) {
        let edge = |b: &u8| is_blank(*b) || matches!(b, b'"' | b'`' | b'[' | b']' | b'\'' | b'\\');
        let from = name.iter().position(|b| !edge(b)).unwrap_or(name.len());
        let to = name.iter().rposition(|b| !edge(b)).map_or(from, |i| i + 1);
        if to - from <= NAME_BYTES_MAX {
            columns[count] = names::says(&name[from..to]);
        }
        count += 1;
    }
    columns[..count].iter().any(|says| says.class().is_some()).then_some(count)
}
