//! Telephone numbers: international ones by their `+` (or `00`, or `011`), a calling code and a length that its countries have (as the
//! metadata of `phonenumber` says, see `build.rs`); the North American form with an area in parentheses; German mobile numbers
//! with a blank behind the network. `+` between digits is a blank of a form.
//!
//! Promises: linear time; nothing to load.
//! Never: takes bare digits for a telephone number; a key that says so does (`names`).

use super::super::classes::Class;
use super::super::find::Finding;
use super::card::is_thing;

mod generated {
    include!(concat!(env!("OUT_DIR"), "/phone_lengths.rs"));
}

pub(super) fn find(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr::memchr3(b'+', b'(', b'0', &bytes[from..]).map(|i| from + i) {
        from = at + 1;
        if bytes[at] == b'0' {
            if let Some(end) = dialled_end(bytes, at).or_else(|| mobile_end(bytes, at)) {
                findings.push(Finding { start: at, end, class: Class::PHONE, whole: false });
                from = end;
            }
            continue;
        }
        // Before a bracket a plus is a blank of a form.
        let is_plus = |b: u8| b == b'+' && bytes[at] != b'(';
        let begins = at == 0
            || !(bytes[at - 1].is_ascii_alphanumeric()
                || matches!(bytes[at - 1], b')' | b'%')
                || is_plus(bytes[at - 1]));
        if !begins {
            continue;
        }
        let (whole, digits) = number_end(bytes, at);
        // Another number may stand behind it: `+14155552671 12`.
        let piece = at + 1 + bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let is_number = |end: &usize| match bytes[at] {
            b'(' => digits == 10 && is_area_form(&bytes[at..*end]),
            _ => bytes.get(*end).is_none_or(|b| !b.is_ascii_alphanumeric()) && calling_code(&bytes[at..*end]).is_some(),
        };
        if let Some(end) = [whole, piece].into_iter().find(is_number) {
            findings.push(Finding { start: at, end, class: Class::PHONE, whole: false });
            from = end;
        }
    }
}

/// The end of a number that begins with what is dialled before a calling code: `0049 30...`, `00 49 30...`, `011 49 30...`.
/// Digits in one piece, where something else than a person is numbered, are none.
fn dialled_end(bytes: &[u8], at: usize) -> Option<usize> {
    let is_sign = |b: &u8| matches!(b, b' ' | b'-' | b'(' | b'+' | b'.');
    let prefix = match bytes[at + 1..] {
        [b'0', b'1'..=b'9', ..] => 2,
        [b'0', ref sign, ..] if is_sign(sign) => 2,
        [b'1', b'1', ref sign, ..] if is_sign(sign) => 3,
        _ => return None,
    };
    let before = at.checked_sub(1).map(|i| bytes[i]);
    let is_behind_digit = || at >= 2 && bytes[at - 2].is_ascii_digit();
    let begins = match before {
        None => true,
        Some(b'/') => true,
        Some(b',' | b':' | b'-' | b' ' | b'+') => !is_behind_digit(),
        Some(b) => !b.is_ascii_alphanumeric() && !matches!(b, b')' | b'%' | b'.' | b'_'),
    };
    if !begins {
        return None;
    }
    let first = at + prefix;
    let whole = number_end(bytes, first - 1).0;
    let piece = first + bytes[first..].iter().take_while(|b| b.is_ascii_digit()).count();
    [whole, piece].into_iter().find(|&end| {
        let number = &bytes[first..end.max(first)];
        let is_bare = number.iter().all(u8::is_ascii_digit);
        let code = calling_code(number);
        // Behind a calling code no number begins with a 0, but in Italy.
        let is_right = |width: usize| !is_bare || number[width] != b'0' || number.starts_with(b"39");
        // `00 44 20 79` are bytes.
        let is_pairs = || bytes[at..end].split(|b| !b.is_ascii_digit()).all(|group| group.len() == 2);
        bytes.get(end).is_none_or(|b| !b.is_ascii_alphanumeric())
            && !is_pairs()
            && code.is_some_and(is_right)
            && !(is_bare
                && (is_thing(bytes, at) || before == Some(b'/') && is_behind_digit() || at == 0 && is_article(bytes)))
    })
}

/// An article number (GTIN-13 or 14) that begins with zeros: its last digit checks the others, by weights of 3 and 1. One
/// telephone number in ten does, too: only what is all of a value may be an article.
fn is_article(digits: &[u8]) -> bool {
    let weighed = |(i, b): (usize, &u8)| u32::from(b.wrapping_sub(b'0')) * if i % 2 == 1 { 3 } else { 1 };
    matches!(digits.len(), 13 | 14)
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().rev().enumerate().map(weighed).sum::<u32>() % 10 == 0
}

/// Where the digits end that begin at `at`, over single separators, and how many there are (counted to 16).
fn number_end(bytes: &[u8], at: usize) -> (usize, usize) {
    let (mut end, mut digits, mut i) = (at + 1, 0, at + 1);
    let mut separators = 0;
    while let Some(&b) = bytes.get(i) {
        match b {
            b'0'..=b'9' if digits < 16 => {
                digits += 1;
                separators = 0;
                end = i + 1;
            }
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if separators < 2 => separators += 1,
            b'+' if separators < 2 && digits > 0 => separators += 1,
            _ => break,
        }
        i += 1;
    }
    (end, digits)
}

/// `(415) 555-2671`.
fn is_area_form(text: &[u8]) -> bool {
    let digit = |i: usize| text.get(i).is_some_and(u8::is_ascii_digit);
    let first = usize::from(text.get(5).is_some_and(|b| b" -+".contains(b))) + 5;
    let area = (1..4).all(digit) && text.get(4) == Some(&b')') && text[1] > b'1';
    area && (first..first + 3).all(digit)
        && text[first] > b'1'
        && text.len() == first + 8
        && b"-. +".contains(&text[first + 3])
}

/// The end of a German mobile number as people write it at home: `0151 23456789`, the network and a blank before the rest.
fn mobile_end(bytes: &[u8], at: usize) -> Option<usize> {
    let [b'0', b'1', b'5'..=b'7', b'0'..=b'9', b' ' | b'+' | b'/', b'1'..=b'9', ..] = bytes[at..] else { return None };
    let begins =
        at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'.' | b'-' | b'/' | b'%'));
    let rest = at + 5;
    let length = bytes[rest..].iter().take_while(|b| b.is_ascii_digit()).count();
    let ends = bytes.get(rest + length).is_none_or(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'.' | b'-' | b'/'));
    (begins && ends && (7..=8).contains(&length)).then_some(rest + length)
}

/// The length of the calling code, when its countries have numbers so long. A `0` in parentheses is not part of it: `+44 (0)20`.
fn calling_code(text: &[u8]) -> Option<usize> {
    let mut digits = [0u8; 16];
    let mut count = 0;
    for (i, &b) in text.iter().enumerate().filter(|(_, b)| b.is_ascii_digit()) {
        let is_trunk = b == b'0' && i > 0 && text[i - 1] == b'(' && text.get(i + 1) == Some(&b')');
        if !is_trunk && count < digits.len() {
            digits[count] = b - b'0';
            count += 1;
        }
    }
    let lengths = |code: u16| {
        let place = generated::LENGTHS.binary_search_by_key(&code, |(known, _)| *known).ok()?;
        Some(generated::LENGTHS[place].1)
    };
    let fits = |width: usize| {
        let code = digits[..width].iter().fold(0, |code, &d| code * 10 + u16::from(d));
        digits[0] != 0 && count > width && lengths(code).is_some_and(|bits| bits >> (count - width) & 1 == 1)
    };
    (1..=3).find(|&width| (8..=15).contains(&count) && fits(width))
}
