//! Numbers that states and health systems give to people, each by its own form and check digits.
//!
//! Promises: adding a kind is one line in one of the two tables.
//! Never: takes a date with a time for a person's number.

use super::super::classes::Class;
use super::chain::Number;
use super::check::{digit, ean, is_date, is_day, luhn, number as value, verhoeff, weighted};

/// One kind of number: the lengths of its groups, the separators it may have, and its rule.
struct Kind {
    class: Class,
    lengths: &'static [usize],
    /// What may stand between groups: the same sign everywhere, or all of these in order.
    separators: Separators,
    is_right: fn(&[u8]) -> bool,
}

#[derive(Clone, Copy)]
enum Separators {
    Any(&'static [u8]),
    Each(&'static [u8]),
}
use Separators::{Any, Each};

const fn kind(class: Class, lengths: &'static [usize], separators: Separators, is_right: fn(&[u8]) -> bool) -> Kind {
    Kind { class, lengths, separators, is_right }
}

/// No kind has more groups.
const GROUPS_MAX: usize = 7;

/// Numbers of digits alone.
#[rustfmt::skip]
static DIGITS: &[Kind] = &[
    kind(Class::NATIONAL_ID, &[3, 2, 4], Any(b"- +."), social_security),
    kind(Class::HEALTH_ID, &[3, 3, 4], Any(b"- +"), nhs),
    kind(Class::PHONE, &[3, 3, 4], Any(b"-."), north_american),
    kind(Class::PHONE, &[1, 3, 3, 4], Any(b"-."), |d| d[0] == b'1' && north_american(&d[1..])),
    kind(Class::NATIONAL_ID, &[3, 3, 3], Any(b"- +"), |d| social_insurance(d) || tax_file(d)),
    kind(Class::NATIONAL_ID, &[3, 3, 3, 2], Each(b"..-"), cpf),
    kind(Class::NATIONAL_ID, &[2, 3, 3, 4, 2], Each(b"../-"), cnpj),
    kind(Class::NATIONAL_ID, &[4, 4, 4], Any(b"- +"), |d| d[0] > b'1' && verhoeff(d)),
    kind(Class::NATIONAL_ID, &[3, 4, 4, 2], Any(b".- +"), ahv),
    kind(Class::NATIONAL_ID, &[13], Any(b""), ahv),
    kind(Class::NATIONAL_ID, &[15], Any(b""), nir),
    kind(Class::NATIONAL_ID, &[13, 2], Any(b"- +"), nir),
    kind(Class::NATIONAL_ID, &[1, 2, 2, 2, 3, 3, 2], Any(b"- .+"), nir),
    kind(Class::NATIONAL_ID, &[6, 4], Any(b"-+"), |d| person_sweden(d) || identity_finland(d)),
    kind(Class::NATIONAL_ID, &[8, 4], Any(b"-+"), |d| is_date(&d[..8]) && person_sweden(&d[2..])),
    kind(Class::NATIONAL_ID, &[6, 7], Any(b"-"), resident_korea),
    kind(Class::NATIONAL_ID, &[6, 2, 4], Any(b"-"), |d| is_day(&d[2..4], &d[4..6]) && (1..=59).contains(&value(&d[6..8]))),
    kind(Class::NATIONAL_ID, &[2, 2, 2, 3, 2], Each(b"..-."), register_belgium),
    kind(Class::NATIONAL_ID, &[2, 8, 1], Any(b"-"), cuit),
    kind(Class::NATIONAL_ID, &[2, 3, 3, 1], Each(b"..-"), rut),
    kind(Class::NATIONAL_ID, &[18], Any(b""), resident_china),
    kind(Class::HEALTH_ID, &[4, 5, 1], Any(b"- +"), medicare_australia),
    kind(Class::HEALTH_ID, &[16], Any(b""), |d| d.starts_with(b"800360") && luhn(d)),
    kind(Class::HEALTH_ID, &[15], Any(b""), |d| d.starts_with(b"80840") && luhn(d)),
];

/// Numbers with letters, which are capitals.
#[rustfmt::skip]
static MIXED: &[Kind] = &[
    kind(Class::NATIONAL_ID, &[9], Any(b""), |t| insurance_britain(t) || identity_spain(t) || identity_singapore(t)),
    kind(Class::NATIONAL_ID, &[2, 2, 2, 2, 1], Any(b"- +"), insurance_britain),
    kind(Class::NATIONAL_ID, &[2, 6, 1], Any(b"- +"), insurance_britain),
    kind(Class::NATIONAL_ID, &[8, 1], Any(b"-"), |t| identity_spain(t) || rut(t)),
    kind(Class::NATIONAL_ID, &[1, 7, 1], Any(b"-"), identity_spain),
    kind(Class::NATIONAL_ID, &[2, 3, 3, 1], Each(b"..-"), rut),
    kind(Class::NATIONAL_ID, &[16], Any(b""), fiscal_italy),
    kind(Class::NATIONAL_ID, &[18], Any(b""), |t| resident_china(t) || has_form(t, b"AAAA000000AAAAAA*0") && is_day(&t[6..8], &t[8..10])),
    kind(Class::NATIONAL_ID, &[15], Any(b""), nir),
    kind(Class::NATIONAL_ID, &[1, 2, 2, 2, 3, 3, 2], Any(b"- .+"), nir),
    kind(Class::NATIONAL_ID, &[10], Any(b""), |t| account_india(t) || identity_taiwan(t)),
    kind(Class::NATIONAL_ID, &[6, 4], Any(b"-+"), identity_finland),
    kind(Class::HEALTH_ID, &[11], Any(b""), beneficiary),
    kind(Class::HEALTH_ID, &[4, 3, 4], Any(b"- +"), beneficiary),
    kind(Class::HEALTH_ID, &[9], Any(b""), drug_enforcement),
    kind(Class::HEALTH_ID, &[4, 3, 3, 2], Any(b"- +"), |t| has_form(t, b"0000000000AA") && luhn(&t[..10])),
];

/// The class of a number, when it is of a known kind and stands alone.
pub(super) fn class_of(bytes: &[u8], number: &Number) -> Option<Class> {
    if number.groups() > GROUPS_MAX || number.text().iter().all(|&b| b == b'0') {
        return None;
    }
    let text = number.text();
    let table = if number.is_digits() { DIGITS } else { MIXED };
    let is = |kind: &&Kind| {
        number.has_lengths(kind.lengths)
            && match kind.separators {
                Any(signs) => number.is_separated_by(signs),
                Each(signs) => number.has_separators(signs),
            }
            && (kind.is_right)(text)
    };
    let class = table.iter().find(is).map(|kind| kind.class).or_else(|| beside_word(bytes, number));
    class.filter(|_| !number.is_part_of_more(bytes))
}

/// A number right behind the word that names it: `MRN: 12345678`, `npi 1234567893`.
fn beside_word(bytes: &[u8], number: &Number) -> Option<Class> {
    let text = number.text();
    if number.groups() != 1 || text.len() > 12 {
        return None;
    }
    let between = bytes[..number.start].iter().rev().take(3).take_while(|b| b" :=#-/\"".contains(b)).count();
    let end = number.start - between;
    let length = bytes[..end].iter().rev().take(16).take_while(|b| b.is_ascii_alphabetic()).count();
    let word = &bytes[end - length..end];
    let is = |name: &[u8]| between > 0 && word.eq_ignore_ascii_case(name);
    let npi = || text.len() == 10 && number.is_digits() && (is(b"npi") || is(b"provider"));
    (is(b"mrn") || npi()).then_some(Class::HEALTH_ID)
}

/// `0` a digit, `A` a capital, `*` either; else itself.
fn has_form(text: &[u8], form: &[u8]) -> bool {
    let is = |(&b, &f): (&u8, &u8)| match f {
        b'0' => b.is_ascii_digit(),
        b'A' => b.is_ascii_uppercase(),
        b'*' => b.is_ascii_digit() || b.is_ascii_uppercase(),
        _ => b == f,
    };
    text.len() == form.len() && text.iter().zip(form).all(is)
}

/// Social Security Administration: no area 000, 666 or 9.., no group 00, no serial 0000. Numbers for tax alone (ITIN)
/// begin with 9 and have groups of their own.
fn social_security(d: &[u8]) -> bool {
    let (area, group, serial) = (value(&d[..3]), value(&d[3..5]), value(&d[5..]));
    let itin = area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    serial != 0 && (itin || (group != 0 && !matches!(area, 0 | 666 | 900..)))
}

fn nhs(d: &[u8]) -> bool {
    let check = 11 - weighted(d, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    check != 10 && check % 11 == digit(d[9]) && d.iter().any(|&b| b != b'0')
}

fn north_american(d: &[u8]) -> bool {
    d[0] > b'1' && d[3] > b'1' && &d[1..3] != b"11" && &d[4..6] != b"11"
}

fn social_insurance(d: &[u8]) -> bool {
    !matches!(d[0], b'0' | b'8') && luhn(d)
}

fn tax_file(d: &[u8]) -> bool {
    weighted(d, &[1, 4, 3, 7, 5, 8, 6, 9, 10]).is_multiple_of(11)
}

/// The check digit that makes a weighted sum a multiple of 11, 0 where it would be 10.
fn eleven(digits: &[u8], weights: &[u32]) -> u32 {
    match weighted(digits, weights) % 11 {
        0 | 1 => 0,
        rest => 11 - rest,
    }
}

fn cpf(d: &[u8]) -> bool {
    eleven(d, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) == digit(d[9])
        && eleven(d, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == digit(d[10])
}

fn cnpj(d: &[u8]) -> bool {
    eleven(d, &[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == digit(d[12])
        && eleven(d, &[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == digit(d[13])
}

fn ahv(d: &[u8]) -> bool {
    d.starts_with(b"756") && ean(d)
}

/// Sex, year, month, place and number, then 97 less the rest; `2A` and `2B` are Corsica.
fn nir(t: &[u8]) -> bool {
    let mut d = [0u8; 15];
    d.copy_from_slice(&t[..15]);
    if d[5] == b'2' && matches!(d[6], b'A' | b'B') {
        (d[5], d[6]) = (b'1', if d[6] == b'A' { b'9' } else { b'8' });
    }
    let month = matches!(value(&d[3..5]), 1..=12 | 20..=42);
    d.iter().all(u8::is_ascii_digit)
        && matches!(d[0], b'1' | b'2')
        && month
        && 97 - value(&d[..13]) % 97 == value(&d[13..])
}

/// A day and a number with a check digit; a day and a time of day is none.
fn person_sweden(d: &[u8]) -> bool {
    let is_time = value(&d[6..8]) < 24 && value(&d[8..10]) < 60 && (15..=39).contains(&value(&d[..2]));
    is_day(&d[2..4], &d[4..6]) && luhn(d) && !is_time
}

/// A day of birth, then century and sex; numbers given since 2020 have no check digit.
fn resident_korea(d: &[u8]) -> bool {
    is_day(&d[2..4], &d[4..6]) && (b'1'..=b'8').contains(&d[6])
}

fn register_belgium(d: &[u8]) -> bool {
    let (born, check) = (value(&d[..9]), value(&d[9..]));
    is_day(&d[2..4], &d[4..6]) && (97 - born % 97 == check || 97 - (2_000_000_000 + born) % 97 == check)
}

fn cuit(d: &[u8]) -> bool {
    let kind = matches!(&d[..2], b"20" | b"23" | b"24" | b"27" | b"30" | b"33" | b"34");
    kind && (11 - weighted(d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11 == digit(d[10])
}

/// Chile: weights 2 to 7 from the right, `K` for ten.
fn rut(t: &[u8]) -> bool {
    let (body, check) = (&t[..t.len() - 1], t[t.len() - 1]);
    let sum: u32 = body.iter().rev().enumerate().map(|(i, &b)| digit(b) * (i as u32 % 6 + 2)).sum();
    let expected = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        rest => b'0' + rest as u8,
    };
    body.iter().all(u8::is_ascii_digit) && check.to_ascii_uppercase() == expected
}

fn resident_china(t: &[u8]) -> bool {
    let sum = weighted(t, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]);
    let is_right = || b"10X98765432"[sum as usize % 11] == t[17].to_ascii_uppercase();
    t[..17].iter().all(u8::is_ascii_digit) && is_date(&t[6..14]) && (b'1'..=b'8').contains(&t[0]) && is_right()
}

fn medicare_australia(d: &[u8]) -> bool {
    (b'2'..=b'6').contains(&d[0]) && weighted(d, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == digit(d[8])
}

fn insurance_britain(t: &[u8]) -> bool {
    let unused = [&b"BG"[..], b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"].contains(&&t[..2]);
    let letters = !b"DFIQUV".contains(&t[0]) && !b"DFIQUVO".contains(&t[1]);
    has_form(t, b"AA000000A") && letters && !unused && t[8] <= b'D'
}

fn identity_spain(t: &[u8]) -> bool {
    let letter = |n: u64| b"TRWAGMYFPDXBNJZSQVHLCKE"[(n % 23) as usize];
    if has_form(t, b"00000000A") {
        return letter(value(&t[..8])) == t[8] && !is_date(&t[..8]);
    }
    let first = b"XYZ".iter().position(|&b| b == t[0]);
    has_form(t, b"A0000000A") && first.is_some_and(|n| letter(n as u64 * 10_000_000 + value(&t[1..8])) == t[8])
}

fn identity_singapore(t: &[u8]) -> bool {
    if !has_form(t, b"A0000000A") {
        return false;
    }
    let sum = weighted(&t[1..8], &[2, 7, 6, 5, 4, 3, 2]) as usize;
    match t[0] {
        b'S' => b"JZIHGFEDCBA"[sum % 11] == t[8],
        b'T' => b"JZIHGFEDCBA"[(sum + 4) % 11] == t[8],
        b'F' => b"XWUTRQPNMLK"[sum % 11] == t[8],
        b'G' => b"XWUTRQPNMLK"[(sum + 4) % 11] == t[8],
        _ => false,
    }
}

/// Name, year, month as a letter, day, place and a check letter over the values of odd and even places.
fn fiscal_italy(t: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let place = |b: u8| usize::from(if b.is_ascii_digit() { b - b'0' } else { b - b'A' });
    let at = |(i, &b): (usize, &u8)| if i % 2 == 0 { ODD[place(b)] } else { place(b) as u32 };
    has_form(t, b"AAAAAA00A00A000A")
        && b"ABCDEHLMPRST".contains(&t[8])
        && t[..15].iter().enumerate().map(at).sum::<u32>() % 26 == u32::from(t[15] - b'A')
}

fn account_india(t: &[u8]) -> bool {
    has_form(t, b"AAAAA0000A") && b"ABCFGHLJPT".contains(&t[3])
}

fn identity_taiwan(t: &[u8]) -> bool {
    const PLACES: &[u8] = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let Some(place) = PLACES.iter().position(|&b| b == t[0]) else { return false };
    let (tens, ones) = ((place as u32 + 10) / 10, (place as u32 + 10) % 10);
    let sum = tens + ones * 9 + weighted(&t[1..], &[8, 7, 6, 5, 4, 3, 2, 1, 1]);
    has_form(t, b"A000000000") && matches!(t[1], b'1' | b'2') && sum.is_multiple_of(10)
}

fn identity_finland(t: &[u8]) -> bool {
    let number = value(&t[..6]) * 1000 + value(&t[6..9]);
    let letter = || b"0123456789ABCDEFHJKLMNPRSTUVWXY"[(number % 31) as usize] == t[9];
    t[..9].iter().all(u8::is_ascii_digit) && is_day(&t[2..4], &t[..2]) && letter()
}

/// Medicare beneficiary identifier of the United States: no letter that looks like a digit.
fn beneficiary(t: &[u8]) -> bool {
    let letters = |i: usize| !b"SLOIBZ".contains(&t[i]);
    has_form(t, b"0A*0A*0AA00") && t[0] != b'0' && [1, 2, 4, 5, 7, 8].into_iter().all(letters)
}

fn drug_enforcement(t: &[u8]) -> bool {
    let d = |i: usize| digit(t[i]);
    let form = has_form(t, b"AA0000000") && b"ABCDEFGHJKLMPRSTUX".contains(&t[0]);
    form && (d(2) + d(4) + d(6) + 2 * (d(3) + d(5) + d(7))) % 10 == d(8)
}
