//! Groups of letters and digits with single separators between them, as people write numbers: `536-22-9677`,
//! `DE68 6349 ...`, `4466/8006/...`.
//!
//! Promises: no allocation; at most 20 groups and 40 characters are read.
//! Never: knows a kind of number.

const GROUPS_MAX: usize = 20;
const BYTES_MAX: usize = 40;

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
            match bytes.get(at) {
                Some(&b @ (b' ' | b'-' | b'.' | b'/' | b'+')) => (separator, at) = (b, at + 1),
                _ => break,
            }
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
