//! Check digits and dates: the arithmetic by which one number is told from another.
//!
//! Promises: every function takes ASCII digits (or the letters it names) and is total.
//! Never: reads a text.

pub(super) fn digit(b: u8) -> u32 {
    u32::from(b.wrapping_sub(b'0'))
}

/// ISO/IEC 7812: every second digit from the right doubled.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let doubled = |d: u32| if d > 4 { d * 2 - 9 } else { d * 2 };
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(i, &b)| if i % 2 == 1 { doubled(digit(b)) } else { digit(b) }).sum();
    sum.is_multiple_of(10)
}

/// EAN and GTIN: weights 1 and 3 from the right.
pub(super) fn ean(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().map(|(i, &b)| digit(b) * if i % 2 == 1 { 3 } else { 1 }).sum();
    sum.is_multiple_of(10)
}

/// The sum of the digits, each times its weight.
pub(super) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(&b, w)| digit(b) * w).sum()
}

/// ISO 7064 mod 97 over digits and letters (A is 10).
pub(super) fn mod97(text: impl Iterator<Item = u8>) -> u32 {
    text.fold(0, |rest, b| match b {
        b'0'..=b'9' => (rest * 10 + digit(b)) % 97,
        _ => (rest * 100 + u32::from(b.to_ascii_uppercase().wrapping_sub(b'A')) + 10) % 97,
    })
}

pub(super) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0u64, |n, &b| n.wrapping_mul(10).wrapping_add(u64::from(digit(b))))
}

/// Verhoeff's scheme, over the dihedral group of ten.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    let times = |a: usize, b: usize| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    const TURN: [usize; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let check = digits.iter().rev().enumerate().fold(0, |check, (i, &b)| {
        let turned = (0..i % 8).fold(digit(b) as usize % 10, |d, _| TURN[d]);
        times(check, turned)
    });
    check == 0
}

/// Month and day of some year.
pub(super) fn is_day(month: &[u8], day: &[u8]) -> bool {
    (1..=12).contains(&number(month)) && (1..=31).contains(&number(day))
}

/// `yyyymmdd` of these two centuries.
pub(super) fn is_date(digits: &[u8]) -> bool {
    digits.len() == 8 && matches!(&digits[..2], b"19" | b"20") && is_day(&digits[4..6], &digits[6..8])
}
