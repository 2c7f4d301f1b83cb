//! Personal data told by its shape: card, telephone, national, health and bank account numbers, each with the check digits
//! or the rules of its kind, so that dates, order numbers, timestamps and article numbers stay.
//!
//! Promises: linear time; no allocation but for findings; a finding is one whole number with its separators.
//! Never: finds what has no check digit and no rule of its own; that needs a telling key beside it.

mod card;
mod chain;
mod check;
mod iban;
mod mask;
mod national;
mod phone;

use super::classes::Class;
use super::find::Finding;
use chain::Chain;
pub(crate) use mask::mask;

/// Fewest letters and digits of anything found here.
const SHORTEST: usize = 8;

/// Personal data in `text`.
pub(crate) fn find(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    phone::find(text, findings);
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(u8::is_ascii_alphanumeric).map(|i| at + i) {
        let length = bytes[start..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        at = start + length;
        let word = &bytes[start..at];
        // Numbers that begin with letters alone: `AB 12 34 56 C`.
        let is_initial = length == 2 && word.iter().all(u8::is_ascii_uppercase);
        let Some(digit) = word.iter().position(u8::is_ascii_digit).or_else(|| is_initial.then_some(0)) else {
            continue;
        };
        // `card4078...`: the number begins behind the word it is glued to. `%B4078...` begins a magnetic stripe.
        let glued = digit > 2 && word[..digit].iter().any(|b| !b.is_ascii_hexdigit())
            || digit == 2 && word[..2].eq_ignore_ascii_case(b"cc")
            || digit == 1 && start > 0 && bytes[start - 1] == b'%' && matches!(word[0], b'B' | b'b');
        let number = may_begin_number(word).then(|| number_at(bytes, start)).flatten();
        let found = number.or_else(|| glued.then(|| card_at(bytes, start + digit))?);
        if let Some(finding) = found.or_else(|| glued_behind(bytes, start, word)) {
            let finding = with_stripe(bytes, finding);
            at = finding.end.max(at);
            findings.push(finding);
        }
    }
}

/// Small letters stand in numbers of accounts, which begin with a country, in what may follow `mrn`, and as the check digit
/// at an end: most words with digits in paths and most identifiers begin no number.
fn may_begin_number(word: &[u8]) -> bool {
    let Some(small) = word.iter().position(u8::is_ascii_lowercase) else { return true };
    let is_country = word.len() > 2 && word[..2].iter().all(u8::is_ascii_alphabetic) && word[2].is_ascii_digit();
    is_country || (SHORTEST..=12).contains(&word.len()) || small + 1 == word.len()
}

/// Can a number of a person be, or begin, an id of hexadecimal digits without separators, small letters among them? An account
/// begins with its country, a check digit stands at the end, and a card may have the rest of its stripe behind it.
pub(crate) fn may_begin_id(id: &[u8]) -> bool {
    let Some(small) = id.iter().position(u8::is_ascii_lowercase) else { return true };
    let has_stripe = id[small] == b'd' && (13..=19).contains(&small);
    has_stripe || may_begin_number(id)
}

/// The longest number of a known kind whose first group begins at `start`.
fn number_at(bytes: &[u8], start: usize) -> Option<Finding> {
    let chain = Chain::at(bytes, start);
    (1..=chain.count()).rev().find_map(|groups| {
        let number = chain.first(groups);
        if number.text().len() < SHORTEST {
            return None;
        }
        let class = national::class_of(bytes, &number)
            .or_else(|| iban::is_iban(&number).then_some(Class::IBAN))
            .or_else(|| card::is_card(bytes, &number).then_some(Class::CARD))?;
        Some(Finding { start, end: number.end, class, whole: false })
    })
}

/// A card number that begins within a word.
fn card_at(bytes: &[u8], start: usize) -> Option<Finding> {
    let chain = Chain::at(bytes, start);
    (1..=chain.count()).rev().find_map(|groups| {
        let number = chain.first(groups);
        card::is_glued_card(&number).then_some(Finding { start, end: number.end, class: Class::CARD, whole: false })
    })
}

/// A card number that stands in what a magnetic stripe holds: all of that.
fn with_stripe(bytes: &[u8], finding: Finding) -> Finding {
    if finding.class != Class::CARD {
        return finding;
    }
    let stripe = card::stripe(bytes, finding.start, finding.end);
    stripe.map_or(finding, |(start, end)| Finding { start, end, class: Class::CARD, whole: true })
}

/// `4078146197819147x`, `pan4078146197819147end`: one run of digits, and letters that are not all hexadecimal.
fn glued_behind(bytes: &[u8], start: usize, word: &[u8]) -> Option<Finding> {
    let first = word.iter().position(u8::is_ascii_digit)?;
    let length = word[first..].iter().take_while(|b| b.is_ascii_digit()).count();
    let (before, behind) = (&word[..first], &word[first + length..]);
    let letters = |part: &[u8]| part.iter().all(u8::is_ascii_alphabetic);
    let is_word = |part: &[u8]| part.iter().any(|b| !b.is_ascii_hexdigit());
    let glued = !behind.is_empty() && letters(before) && letters(behind) && (is_word(before) || is_word(behind));
    let (from, to) = (start + first, start + first + length);
    // `4078146197819147D2712101...`: as chips hold a stripe.
    let glued =
        glued || (first == 0 && matches!(behind.first(), Some(b'D' | b'd')) && card::stripe(bytes, from, to).is_some());
    let is_card = glued && card::is_number(&bytes[from..to]);
    is_card.then_some(Finding { start: from, end: to, class: Class::CARD, whole: false })
}

#[cfg(test)]
mod tests;
