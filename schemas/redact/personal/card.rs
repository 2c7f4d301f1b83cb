//! Card numbers: digits of a range that a scheme issues, of a length it has, with a right check digit, however grouped.
//!
//! Promises: a number that stands alone where an identifier belongs (`/orders/...`, `id=...`) is none, unless what follows
//! belongs to a card: there every tenth identifier of an issued range would be one by chance.
//! Never: takes the date of a day, an article number or a timestamp.

use super::chain::Number;
use super::check::{ean, luhn, number as value};

/// First four digits from and to, and the lengths as bits. Schemes by their published ranges.
#[rustfmt::skip]
static RANGES: &[(u16, u16, u32)] = &[
    (1800, 1800, 1 << 15), (2131, 2131, 1 << 15),                                    // JCB, old
    (2200, 2204, 1 << 16 | 1 << 19),                                                 // Mir
    (2205, 2205, 1 << 16),                                                           // Borica
    (2221, 2720, 1 << 16),                                                           // Mastercard, second series
    (3000, 3059, 1 << 14 | 1 << 16), (3095, 3095, 1 << 14 | 1 << 16),                // Diners Club
    (3400, 3499, 1 << 15), (3700, 3799, 1 << 15),                                    // American Express
    (3528, 3589, 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19),                             // JCB
    (3600, 3699, 1 << 14 | 1 << 16), (3800, 3999, 1 << 14 | 1 << 16),                // Diners Club
    (4000, 4999, 1 << 13 | 1 << 16 | 1 << 19),                                       // Visa
    (5018, 5020, 1 << 16 | 1 << 18 | 1 << 19), (5038, 5038, 1 << 16 | 1 << 18 | 1 << 19), // Maestro, Dankort
    (5041, 5041, 1 << 16), (5895, 5896, 1 << 16), (6042, 6043, 1 << 16),             // Elo, Naranja, Cabal
    (5060, 5061, 1 << 16 | 1 << 18 | 1 << 19), (5066, 5067, 1 << 16), (5078, 5078, 1 << 16), // Verve, Elo, Meeza
    (5081, 5089, 1 << 16), (5090, 5099, 1 << 16),                                    // RuPay, Elo
    (5100, 5599, 1 << 16),                                                           // Mastercard
    (5610, 5610, 1 << 16), (5893, 5893, 1 << 16 | 1 << 18 | 1 << 19),                // Bankcard, Maestro
    (6011, 6011, 1 << 16 | 1 << 19), (6062, 6062, 1 << 16),                          // Discover, Hipercard
    (6069, 6085, 1 << 16), (8172, 8201, 1 << 16),                                    // RuPay
    (6200, 6299, 1 << 16 | 1 << 17 | 1 << 18 | 1 << 19),                             // UnionPay
    (6304, 6304, 1 << 16 | 1 << 18 | 1 << 19), (6360, 6399, 1 << 16 | 1 << 18 | 1 << 19), // Maestro, InterPayment, InstaPayment
    (6440, 6499, 1 << 16 | 1 << 19), (6500, 6599, 1 << 16 | 1 << 19),                // Discover, RuPay, Elo
    (6706, 6709, 1 << 16 | 1 << 18 | 1 << 19), (6759, 6763, 1 << 16 | 1 << 18 | 1 << 19), // Laser, Maestro
    (6767, 6767, 1 << 16 | 1 << 18 | 1 << 19), (6771, 6771, 1 << 16), (8600, 8600, 1 << 16), // Solo, Laser, UzCard
    (9051, 9051, 1 << 16), (9112, 9112, 1 << 16), (9417, 9417, 1 << 16),             // ArCa, Belkart, Elcart
    (9792, 9792, 1 << 16), (9860, 9860, 1 << 16),                                    // Troy, Humo
];

/// Words before a number that say it is an identifier of something else: each numbers a thing. `from`, `to` and `reference` do not,
/// and a card stands behind them as well.
#[rustfmt::skip]
static IDENTIFIERS: &[&str] = &[
    "id", "ids", "uid", "oid", "pid", "gid", "uuid", "guid", "order", "item", "product", "sku", "article", "invoice", "ticket", "case",
    "trace", "span", "request", "correlation", "event", "message", "msg", "post", "status", "ean", "gtin", "upc", "isbn", "serial", "batch",
    "ts", "time", "timestamp", "date", "offset", "cursor", "seq", "sequence", "version",
    "v", "ver", "rev", "build", "hash", "etag", "tracking", "shipment", "parcel", "job", "task", "run", "node", "device", "imei", "object", "barcode",
];

/// Words before a number that say it is a card, whatever else they are.
static CARDS: &[&str] = &["cards", "payments", "credits", "debits", "wallets", "accounts", "charges", "details"];

pub(super) fn is_card(bytes: &[u8], number: &Number) -> bool {
    let digits = number.text();
    (13..=19).contains(&digits.len())
        && number.is_digits()
        && is_grouped_so(number)
        && is_number(digits)
        && match number.groups() {
            1 => {
                let is_told = || has_expiry(bytes, number.end) || stripe(bytes, number.start, number.end).is_some();
                !is_decimal(bytes, number) && (!is_identifier(bytes, number.start) || is_told())
            }
            _ => !is_part_of_more(bytes, number) || has_expiry(bytes, number.end),
        }
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

/// Groups as people write them: one, equal ones (the last may be shorter), six and the rest, or none below three digits. By
/// signs that lists have, too, only as they stand on cards.
fn is_grouped_so(number: &Number) -> bool {
    let groups = number.groups();
    if groups == 1 {
        return true;
    }
    if number.is_odd() {
        return number.separator().is_some() && is_printed_so(number);
    }
    let first = number.length(0);
    let equal = (1..groups - 1).all(|i| number.length(i) == first) && number.length(groups - 1) <= first;
    let long = first >= 4 && (1..groups).all(|i| (3..=8).contains(&number.length(i)));
    let two = groups == 2 && (4..=8).contains(&first);
    // `8-4-4` is the beginning of a UUID.
    (equal || long || two) && !(groups == 3 && number.has_lengths(&[8, 4, 4]))
}

/// In the groups that stand on cards: of four digits, or 4-6-5 and 4-6-4.
fn is_printed_so(number: &Number) -> bool {
    let groups = number.groups();
    let fours = groups >= 4 && (0..groups - 1).all(|i| number.length(i) == 4) && number.length(groups - 1) <= 4;
    fours || number.has_lengths(&[4, 6, 5]) || number.has_lengths(&[4, 6, 4])
}

/// The digits of a decimal number.
fn is_decimal(bytes: &[u8], number: &Number) -> bool {
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let before = number.start >= 2 && bytes[number.start - 1] == b'.' && digit(number.start - 2);
    before || (bytes.get(number.end) == Some(&b'.') && digit(number.end + 1))
}

/// Does its separator join it with a number, or with a piece of a UUID? `card-4111-...` is a word and a card.
fn is_part_of_more(bytes: &[u8], number: &Number) -> bool {
    let joins = |b: Option<&u8>| {
        b.is_some_and(|&b| b.is_ascii_punctuation() && !matches!(b, b'+' | b'/') && number.has_separator(b))
    };
    let is_piece = |run: &mut dyn Iterator<Item = &u8>| {
        let mut all_hex = true;
        let mut length = 0;
        for &b in run.take(12).take_while(|b| b.is_ascii_alphanumeric()) {
            if b.is_ascii_digit() {
                return true;
            }
            all_hex &= b.is_ascii_hexdigit();
            length += 1;
        }
        all_hex && length >= 4
    };
    let before = number.start.checked_sub(1).map(|i| &bytes[i]);
    (joins(before) && is_piece(&mut bytes[..number.start - 1].iter().rev()))
        || (joins(bytes.get(number.end)) && is_piece(&mut bytes[number.end + 1..].iter()))
        // Of two groups also a third one behind a blank.
        || (number.groups() == 2 && is_row(bytes, number))
}

/// Does a number stand before or behind, over one sign? Behind a blank one or two digits are none: a size, a month.
fn is_row(bytes: &[u8], number: &Number) -> bool {
    let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    let sign = |b: Option<&u8>| b.is_some_and(|b| b" +-.,".contains(b));
    let before = number.start >= 2 && sign(bytes.get(number.start - 1)) && digit(bytes.get(number.start - 2));
    let least = if matches!(bytes.get(number.end), Some(b' ' | b'+')) { 3 } else { 1 };
    before || (sign(bytes.get(number.end)) && (1..=least).all(|i| digit(bytes.get(number.end + i))))
}

/// Month and year behind a number: `|12|2027`, ` 12/27`, `-1227`; then it is a card, whatever stands before it.
fn has_expiry(bytes: &[u8], end: usize) -> bool {
    let rest = &bytes[end..];
    let digits = |from: usize| rest[from.min(rest.len())..].iter().take(5).take_while(|b| b.is_ascii_digit()).count();
    let is_sign = |b: &u8| b" +-/|,;:\t_".contains(b);
    let signs = |from: usize| rest[from.min(rest.len())..].iter().take(2).take_while(|b| is_sign(b)).count();
    let first = signs(0);
    let (month, width) = (rest.get(first..first + 2), digits(first));
    if first == 0 || !month.is_some_and(|m| m.iter().all(u8::is_ascii_digit) && (1..=12).contains(&value(m))) {
        return false;
    }
    let between = if width == 2 { signs(first + 2) } else { 0 };
    let from = first + 2 + between;
    let year = if width == 4 { 2 } else { digits(from) };
    let is_year = |y: &[u8]| y.len() == 4 && y.starts_with(b"20") || y.len() == 2 && (20..50).contains(&value(y));
    (width == 4 || between > 0) && rest.get(from..from + year).is_some_and(is_year)
}

/// The end of what a magnetic stripe holds, where a number that begins at `start` and ends at `end` stands in one:
/// `%B4111...^DOE/JANE^2712101...?`, `;4111...=2712101...?`, `4111...D2712101...`. Returns where it begins, too.
pub(super) fn stripe(bytes: &[u8], start: usize, end: usize) -> Option<(usize, usize)> {
    let rest = &bytes[end..];
    let caret = |from: usize| match rest.get(from..) {
        Some([b'^', ..]) => 1,
        Some([b'%', b'5', b'E' | b'e', ..]) => 3,
        _ => 0,
    };
    let first = caret(0);
    let data = if first > 0 {
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || b" /.'-+%".contains(b);
        let name = rest[first..].iter().take(40).take_while(|b| is_name(b) && **b != b'^').count();
        // The name may have swallowed an escaped caret.
        let name = rest[first..first + name].windows(3).position(|w| w.eq_ignore_ascii_case(b"%5E")).unwrap_or(name);
        first + name + caret(first + name)
    } else if matches!(rest.first(), Some(b'=' | b'D' | b'd')) && digits_at(rest, 1) >= 7 {
        1
    } else if rest.len() > 3 && rest[..3].eq_ignore_ascii_case(b"%3D") && digits_at(rest, 3) >= 7 {
        3
    } else {
        return None;
    };
    let digits = data + digits_at(rest, data);
    let to = digits + usize::from(matches!(rest.get(digits), Some(b'?' | b'F' | b'f')));
    let is_sentinel = |b: &u8| matches!(b, b'%' | b';' | b'B' | b'b');
    let before = bytes[..start].iter().rev().take(2).take_while(|b| is_sentinel(b)).count();
    Some((start - before, end + to))
}

fn digits_at(rest: &[u8], from: usize) -> usize {
    rest[from.min(rest.len())..].iter().take(64).take_while(|b| b.is_ascii_digit()).count()
}

/// Does the word before `start` (the path segment, the name of the key) say that an identifier follows?
fn is_identifier(bytes: &[u8], start: usize) -> bool {
    let (word, is_list) = told(bytes, start);
    let is = |known: &&str| word.eq_ignore_ascii_case(known.as_bytes());
    !CARDS.iter().any(is) && (is_list || is_of_a_thing(word))
}

/// The same, where what stands behind the plural of a thing that people have (`/customers/...`) may be theirs.
pub(super) fn is_thing(bytes: &[u8], start: usize) -> bool {
    let (word, _) = told(bytes, start);
    is_of_a_thing(word) || word.strip_suffix(b"s").is_some_and(is_of_a_thing)
}

fn is_of_a_thing(word: &[u8]) -> bool {
    let is_camel_id = word.len() > 2 && (word.ends_with(b"Id") || word.ends_with(b"ID"));
    is_camel_id || IDENTIFIERS.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// The word that stands before `start` and belongs to it, and whether it is a segment in the plural. Empty for none.
fn told(bytes: &[u8], start: usize) -> (&[u8], bool) {
    let between = bytes[..start]
        .iter()
        .rev()
        .take(4)
        .take_while(|b| matches!(b, b'/' | b'=' | b':' | b'"' | b' ' | b'['))
        .count();
    let end = start - between;
    let marked = bytes[end..start].iter().any(|b| matches!(b, b'/' | b'=' | b':'));
    let length = bytes[..end].iter().rev().take(24).take_while(|b| b.is_ascii_alphabetic()).count();
    let word = if marked { &bytes[end - length..end] } else { &[] };
    (word, bytes[end..start] == *b"/" && word.len() > 3 && word.ends_with(b"s"))
}
