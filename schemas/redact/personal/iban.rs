//! International bank account numbers: a country, two check digits, and as many characters as that country has.
//!
//! Promises: either case, grouped or not, by whatever sign.
//! Never: takes a number of a country that issues none.

use super::chain::Number;
use super::check::mod97;

/// Country and length of all its numbers, as the registry lists them.
#[rustfmt::skip]
static LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24), (b"AE", 23), (b"AL", 28), (b"AT", 20), (b"AZ", 28), (b"BA", 20), (b"BE", 16), (b"BG", 22), (b"BH", 22), (b"BI", 27),
    (b"BR", 29), (b"BY", 28), (b"CH", 21), (b"CR", 22), (b"CY", 28), (b"CZ", 24), (b"DE", 22), (b"DJ", 27), (b"DK", 18), (b"DO", 28),
    (b"EE", 20), (b"EG", 29), (b"ES", 24), (b"FI", 18), (b"FK", 18), (b"FO", 18), (b"FR", 27), (b"GB", 22), (b"GE", 22), (b"GI", 23),
    (b"GL", 18), (b"GR", 27), (b"GT", 28), (b"HN", 28), (b"HR", 21), (b"HU", 28), (b"IE", 22), (b"IL", 23), (b"IQ", 23), (b"IS", 26),
    (b"IT", 27), (b"JO", 30), (b"KW", 30), (b"KZ", 20), (b"LB", 28), (b"LC", 32), (b"LI", 21), (b"LT", 20), (b"LU", 20), (b"LV", 21),
    (b"LY", 25), (b"MC", 27), (b"MD", 24), (b"ME", 22), (b"MK", 19), (b"MN", 20), (b"MR", 27), (b"MT", 31), (b"MU", 30), (b"NI", 28),
    (b"NL", 18), (b"NO", 15), (b"OM", 23), (b"PK", 24), (b"PL", 28), (b"PS", 29), (b"PT", 25), (b"QA", 29), (b"RO", 24), (b"RS", 22),
    (b"RU", 33), (b"SA", 24), (b"SC", 31), (b"SD", 18), (b"SE", 24), (b"SI", 19), (b"SK", 24), (b"SM", 27), (b"SO", 23), (b"ST", 25),
    (b"SV", 28), (b"TL", 23), (b"TN", 24), (b"TR", 26), (b"UA", 29), (b"VA", 22), (b"VG", 24), (b"XK", 20), (b"YE", 30),
];

pub(super) fn is_iban(number: &Number) -> bool {
    let text = number.text();
    if text.len() < 15 || !text[2].is_ascii_digit() || !text[3].is_ascii_digit() {
        return false;
    }
    let country = [text[0].to_ascii_uppercase(), text[1].to_ascii_uppercase()];
    let length = LENGTHS.iter().find(|(known, _)| **known == country).map(|(_, length)| *length);
    let grouped = number.groups() == 1 || (number.separator().is_some() && number.length(0) <= 4);
    length == Some(text.len()) && grouped && mod97(text[4..].iter().chain(&text[..4]).copied()) == 1
}
