//! Groups of letters and digits with separators between them, as people write numbers: `536-22-9677`, `DE68 6349 ...`,
//! `4466/8006/...`, also with the spaces and dashes of other alphabets than ASCII.
//!
//! Promises: no allocation; at most 20 groups and 40 characters are read.
//! Never: knows a kind of number.

const GROUPS_MAX: usize = 20;
const BYTES_MAX: usize = 40;
/// Stands for several signs between two groups, as two blanks or ` - `.
pub(super) const SEVERAL: u8 = b'W';

/// A group: where its text ends, where it ends in the whole (from the start of the chain), the separator before it, and
/// whether all so far are digits.
#[derive(Clone, Copy)]
struct Group {
    text_end: u8,
    end: u8,
    separator: u8,
    is_digits: bool,
}

/// The groups from one place on, as far as they may belong to one number.
pub(super) struct Chain {
    text: [u8; BYTES_MAX],
    groups: [Group; GROUPS_MAX],
    count: usize,
    start: usize,
}

/// The first groups of a chain.
pub(super) struct Number<'c> {
    chain: &'c Chain,
    count: usize,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Chain {
    pub(super) fn at(bytes: &[u8], start: usize) -> Chain {
        let none = Group { text_end: 0, end: 0, separator: 0, is_digits: false };
        let mut chain = Chain { text: [0; BYTES_MAX], groups: [none; GROUPS_MAX], count: 0, start };
        let (mut at, mut length, mut separator, mut is_digits) = (start, 0, 0, true);
        while chain.count < GROUPS_MAX {
            let group = bytes[at..].iter().take(BYTES_MAX + 1).take_while(|b| b.is_ascii_alphanumeric()).count();
            if group == 0 || length + group > BYTES_MAX {
                break;
            }
            let text = &bytes[at..at + group];
            is_digits &= text.iter().all(u8::is_ascii_digit);
            chain.text[length..length + group].copy_from_slice(text);
            length += group;
            at += group;
            let end = (at - start) as u8;
            chain.groups[chain.count] = Group { text_end: length as u8, end, separator, is_digits };
            chain.count += 1;
            let width;
            (separator, width) = separator_at(&bytes[at..]);
            // Other signs than the usual ones stand in lists, too: only groups as long as those of cards and accounts go on.
            let goes_on = is_usual(separator)
                || (is_digits && matches!(group, 4 | 6) && bytes.get(at + width).is_some_and(u8::is_ascii_digit))
                || (group == 4 && begins_account(&chain.text));
            if width == 0 || !goes_on {
                break;
            }
            at += width;
        }
        chain
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn first(&self, count: usize) -> Number<'_> {
        Number { chain: self, count, start: self.start, end: self.start + usize::from(self.groups[count - 1].end) }
    }
}

/// A country and two check digits.
fn begins_account(text: &[u8]) -> bool {
    text[..2].iter().all(u8::is_ascii_alphabetic) && text[2..4].iter().all(u8::is_ascii_digit)
}

/// May this stand between the groups of any number?
fn is_usual(separator: u8) -> bool {
    matches!(separator, b' ' | b'-' | b'.' | b'/' | b'+')
}

/// What separates two groups at the beginning of `rest`, as one sign, and how many bytes that takes: 0 for nothing.
fn separator_at(rest: &[u8]) -> (u8, usize) {
    let (first, width) = sign_at(rest);
    if width == 0 {
        return (0, 0);
    }
    let mut all = width;
    for _ in 0..2 {
        let (next, width) = sign_at(&rest[all..]);
        if width == 0 || !matches!(next, b' ' | b'-' | b'+') {
            break;
        }
        all += width;
    }
    if all == width { (first, width) } else { (SEVERAL, all) }
}

/// One separator; the spaces and dashes of Unicode are read as those of ASCII.
#[inline]
fn sign_at(rest: &[u8]) -> (u8, usize) {
    match rest {
        [b @ (b' ' | b'-' | b'.' | b'/' | b'+'), ..] => (*b, 1),
        [b @ (b'_' | b',' | b':' | b'|' | b'\t' | b'*' | b'~' | b'\\'), ..] => (*b, 1),
        [0xc2, 0xa0, ..] => (b' ', 2),
        [0xe2, 0x80, 0x80..=0x8b | 0xaf, ..] | [0xe3, 0x80, 0x80, ..] => (b' ', 3),
        [0xe2, 0x80, 0x90..=0x95, ..] | [0xe2, 0x88, 0x92, ..] => (b'-', 3),
        [0xc2, 0xb7, ..] => (b'.', 2),
        _ => (0, 0),
    }
}

impl Number<'_> {
    /// The letters and digits, without separators.
    pub(super) fn text(&self) -> &[u8] {
        &self.chain.text[..usize::from(self.chain.groups[self.count - 1].text_end)]
    }

    pub(super) fn is_digits(&self) -> bool {
        self.chain.groups[self.count - 1].is_digits
    }

    pub(super) fn groups(&self) -> usize {
        self.count
    }

    /// The length of a group.
    pub(super) fn length(&self, group: usize) -> usize {
        let end = |i: usize| usize::from(self.chain.groups[i].text_end);
        end(group) - if group == 0 { 0 } else { end(group - 1) }
    }

    pub(super) fn has_lengths(&self, lengths: &[usize]) -> bool {
        lengths.len() == self.count && lengths.iter().enumerate().all(|(i, &length)| self.length(i) == length)
    }

    /// Are these, in order, the separators?
    pub(super) fn has_separators(&self, separators: &[u8]) -> bool {
        separators.len() + 1 == self.count
            && separators.iter().enumerate().all(|(i, &s)| self.chain.groups[i + 1].separator == s)
    }

    /// The one separator that is between all groups, when it is one of `allowed`.
    pub(super) fn is_separated_by(&self, allowed: &[u8]) -> bool {
        let first = if self.count > 1 { self.chain.groups[1].separator } else { return true };
        allowed.contains(&first) && (1..self.count).all(|i| self.chain.groups[i].separator == first)
    }

    /// Is there another separator than the usual ones?
    pub(super) fn is_odd(&self) -> bool {
        (1..self.count).any(|i| !is_usual(self.chain.groups[i].separator))
    }

    pub(super) fn has_separator(&self, separator: u8) -> bool {
        (1..self.count).any(|i| self.chain.groups[i].separator == separator)
    }

    /// The one separator between all groups.
    pub(super) fn separator(&self) -> Option<u8> {
        let first = self.chain.groups.get(1).map(|group| group.separator)?;
        (self.count > 1 && (2..self.count).all(|i| self.chain.groups[i].separator == first)).then_some(first)
    }

    /// Does the number go on, or began before, with a separator of its own? `1-536-22-9677` holds no `536-22-9677`.
    pub(super) fn is_part_of_more(&self, bytes: &[u8]) -> bool {
        let joins = |b: u8| {
            matches!(b, b'-' | b'.')
                && (self.count == 1 || (1..self.count).any(|i| self.chain.groups[i].separator == b))
        };
        let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let before = self.start >= 2 && joins(bytes[self.start - 1]) && digit(bytes.get(self.start - 2));
        let behind = bytes.get(self.end).is_some_and(|&b| joins(b)) && digit(bytes.get(self.end + 1));
        before || behind
    }
}
