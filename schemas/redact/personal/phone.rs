//! Telephone numbers: international ones by their `+`, a calling code and a length that its countries have (as the
//! metadata of `phonenumber` says, see `build.rs`); the North American form with an area in parentheses.
//!
//! Promises: linear time; nothing to load.
//! Never: takes bare digits for a telephone number; a key that says so does (`names`).

use super::super::classes::Class;
use super::super::find::Finding;

mod generated {
    include!(concat!(env!("OUT_DIR"), "/phone_lengths.rs"));
}

pub(super) fn find(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr::memchr2(b'+', b'(', &bytes[from..]).map(|i| from + i) {
        from = at + 1;
        let begins = at == 0 || !(bytes[at - 1].is_ascii_alphanumeric() || matches!(bytes[at - 1], b'+' | b')' | b'%'));
        if !begins {
            continue;
        }
        let (end, digits) = number_end(bytes, at);
        let is_number = match bytes[at] {
            b'(' => digits == 10 && is_area_form(&bytes[at..end]),
            _ => bytes.get(end).is_none_or(|b| !b.is_ascii_alphanumeric()) && is_international(&bytes[at..end]),
        };
        if is_number {
            findings.push(Finding { start: at, end, class: Class::PHONE, whole: false });
            from = end;
        }
    }
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
            b'+' if separators == 0 && digits > 0 => separators = 1,
            _ => break,
        }
        i += 1;
    }
    (end, digits)
}

/// `(415) 555-2671`.
fn is_area_form(text: &[u8]) -> bool {
    let digit = |i: usize| text.get(i).is_some_and(u8::is_ascii_digit);
    let first = usize::from(text.get(5).is_some_and(|b| b" -".contains(b))) + 5;
    let area = (1..4).all(digit) && text.get(4) == Some(&b')') && text[1] > b'1';
    area && (first..first + 3).all(digit)
        && text[first] > b'1'
        && text.len() == first + 8
        && b"-. ".contains(&text[first + 3])
}

/// Does a country with this calling code have numbers so long? A `0` in parentheses is not part of it: `+44 (0)20`.
fn is_international(text: &[u8]) -> bool {
    let mut digits = [0u8; 16];
    let mut count = 0;
    for (i, &b) in text.iter().enumerate().filter(|(_, b)| b.is_ascii_digit()) {
        let is_trunk = b == b'0' && text[i - 1] == b'(' && text.get(i + 1) == Some(&b')');
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
    (8..=15).contains(&count) && (1..=3).any(fits)
}
