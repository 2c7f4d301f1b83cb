//! Card numbers: digits of a range that a scheme issues, of a length it has, with a right check digit, however grouped.
//!
//! Promises: a number that stands alone where an identifier belongs (`/orders/...`, `id=...`) is none: there every tenth
//! identifier of an issued range would be one by chance.
//! Never: takes the date of a day, an article number or a timestamp.

use super::chain::Number;
use super::check::{ean, luhn, number as value};

/// First four digits from and to, and the lengths as bits. Schemes by their published ranges.
#[rustfmt::skip]
static RANGES: &[(u16, u16, u32)] = &[
    (1800, 1800, 1 << 15), (2131, 2131, 1 << 15),                                    // JCB, old
    (2200, 2204, 1 << 16 | 1 << 19),                                                 // Mir
    (2221, 2720, 1 << 16),                                                           // Mastercard, second series
    (3000, 3059, 1 << 14 | 1 << 16), (3095, 3095, 1 << 14 | 1 << 16),                // Diners Club
    (3400, 3499, 1 << 15), (3700, 3799, 1 << 15),                                    // American Express
    (3528, 3589, 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19),                             // JCB
    (3600, 3699, 1 << 14 | 1 << 16), (3800, 3999, 1 << 14 | 1 << 16),                // Diners Club
    (4000, 4999, 1 << 13 | 1 << 16 | 1 << 19),                                       // Visa
    (5018, 5020, 1 << 16 | 1 << 18 | 1 << 19), (5038, 5038, 1 << 16 | 1 << 18 | 1 << 19), // Maestro, Dankort
    (5060, 5061, 1 << 16 | 1 << 18 | 1 << 19), (5066, 5067, 1 << 16), (5078, 5078, 1 << 16), // Verve, Elo, Meeza
    (5081, 5089, 1 << 16), (5090, 5099, 1 << 16),                                    // RuPay, Elo
    (5100, 5599, 1 << 16),                                                           // Mastercard
    (5610, 5610, 1 << 16), (5893, 5893, 1 << 16 | 1 << 18 | 1 << 19),                // Bankcard, Maestro
    (6011, 6011, 1 << 16 | 1 << 19), (6062, 6062, 1 << 16),                          // Discover, Hipercard
    (6200, 6299, 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19),                             // UnionPay
    (6304, 6304, 1 << 16 | 1 << 18 | 1 << 19), (6360, 6399, 1 << 16 | 1 << 18 | 1 << 19), // Maestro, InterPayment, InstaPayment
    (6440, 6499, 1 << 16 | 1 << 19), (6500, 6599, 1 << 16 | 1 << 19),                // Discover, RuPay, Elo
    (6706, 6709, 1 << 16 | 1 << 18 | 1 << 19), (6759, 6763, 1 << 16 | 1 << 18 | 1 << 19), // Laser, Maestro
    (6767, 6767, 1 << 16 | 1 << 18 | 1 << 19), (6771, 6771, 1 << 16), (8600, 8600, 1 << 16), // Solo, Laser, UzCard
    (9792, 9792, 1 << 16), (9860, 9860, 1 << 16),                                    // Troy, Humo
];

/// Words before a number that say it is an identifier of something else.
#[rustfmt::skip]
static IDENTIFIERS: &[&str] = &[
    "id", "ids", "uid", "oid", "pid", "gid", "uuid", "guid", "order", "item", "product", "sku", "article", "invoice", "ticket", "case",
    "trace", "span", "request", "correlation", "event", "message", "msg", "post", "status", "ean", "gtin", "upc", "isbn", "serial", "batch",
    "ts", "time", "timestamp", "date", "since", "until", "from", "to", "before", "after", "offset", "cursor", "seq", "sequence", "version",
    "v", "ver", "rev", "build", "hash", "etag", "tracking", "shipment", "parcel", "job", "task", "run", "node", "device", "imei", "object",
];

/// Words before a number that say it is a card, whatever else they are.
static CARDS: &[&str] = &["cards", "payments", "credits", "debits", "wallets", "accounts", "charges", "details"];

pub(super) fn is_card(bytes: &[u8], number: &Number) -> bool {
    let digits = number.text();
    (13..=19).contains(&digits.len())
        && number.is_digits()
        && is_grouped_so(number)
        && !is_part_of_more(bytes, number)
        && is_number(digits)
        && !(number.groups() == 1 && is_identifier(bytes, number.start))
}

/// The same for digits that are glued to a word before them.
pub(super) fn is_glued_card(number: &Number) -> bool {
    number.is_digits() && is_grouped_so(number) && is_number(number.text())
}

/// Issued, and with a right check digit.
pub(super) fn is_number(digits: &[u8]) -> bool {
    if !(13..=19).contains(&digits.len()) {
        return false;
    }
    let first = value(&digits[..4]) as u16;
    let range = RANGES.iter().find(|(from, to, _)| (*from..=*to).contains(&first));
    let issued = range.is_some_and(|(_, _, lengths)| lengths >> digits.len() & 1 == 1);
    let all_same = digits.iter().all(|b| b == &digits[0]);
    issued && luhn(digits) && !all_same && !(digits.len() == 13 && ean(digits))
}

/// Groups as people write them: one, equal ones (the last may be shorter), or none below three digits.
fn is_grouped_so(number: &Number) -> bool {
    let groups = number.groups();
    let first = number.length(0);
    let equal = (1..groups - 1).all(|i| number.length(i) == first) && number.length(groups - 1) <= first;
    let long = first >= 4 && (1..groups).all(|i| (3..=8).contains(&number.length(i)));
    // `8-4-4` is the beginning of a UUID.
    groups == 1 || ((equal || long) && !(groups == 3 && number.has_lengths(&[8, 4, 4])))
}

/// The digits of a decimal number, or a piece of a UUID or of a longer number. A card between dashes may stand alone.
fn is_part_of_more(bytes: &[u8], number: &Number) -> bool {
    if number.groups() > 1 {
        return number.is_part_of_more(bytes);
    }
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let before = number.start >= 2 && bytes[number.start - 1] == b'.' && digit(number.start - 2);
    before || (bytes.get(number.end) == Some(&b'.') && digit(number.end + 1))
}

/// Does the word before `start` (the path segment, the name of the key) say that an identifier follows?
fn is_identifier(bytes: &[u8], start: usize) -> bool {
    let between = bytes[..start]
        .iter()
        .rev()
        .take(4)
        .take_while(|b| matches!(b, b'/' | b'=' | b':' | b'"' | b' ' | b'['))
        .count();
    let end = start - between;
    let marked = bytes[end..start].iter().any(|b| matches!(b, b'/' | b'=' | b':'));
    let length = bytes[..end].iter().rev().take(24).take_while(|b| b.is_ascii_alphabetic()).count();
    let word = &bytes[end - length..end];
    let is = |known: &&str| word.eq_ignore_ascii_case(known.as_bytes());
    let is_list = bytes[end..start] == *b"/" && length > 3 && word[length - 1] == b's';
    let is_camel_id = length > 2 && (word.ends_with(b"Id") || word.ends_with(b"ID"));
    marked && !CARDS.iter().any(is) && (is_list || is_camel_id || IDENTIFIERS.iter().any(is))
}
