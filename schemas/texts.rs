//! Memories of what was computed for a text: user agents, hosts, principals, object identifiers repeat, so their
//! scrubbed form, class or token is looked up instead of made again.
//!
//! Promises: bounded in entries and in bytes per entry; when full, everything is forgotten. A hit costs one lookup.
//! Never: lets a raw text out; it is only ever the key.

use crate::hash::{self, FastMap};
use crate::redact::Found;

/// What is known of a text.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) kept: String,
    pub(crate) found: Found,
    /// A label derived from it, such as the class of a user agent.
    pub(crate) label: Option<&'static str>,
}

pub(crate) struct Texts {
    index: FastMap<Box<str>, u32>,
    entries: Vec<Known>,
    entries_max: usize,
    bytes_max: usize,
    /// The last text that was too long to be remembered.
    long: Known,
}

impl Texts {
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Texts {
        Texts { index: hash::map(), entries: Vec::new(), entries_max, bytes_max, long: Known::default() }
    }

    /// What is known of `raw`; `learn` computes it the first time.
    #[inline]
    pub(crate) fn get(&mut self, raw: &str, learn: impl FnOnce(&str) -> Known) -> &Known {
        match self.index.get(raw) {
            Some(&at) => &self.entries[at as usize],
            None => self.learn(raw, learn(raw)),
        }
    }

    fn learn(&mut self, raw: &str, known: Known) -> &Known {
        if raw.len() > self.bytes_max {
            self.long = known;
            return &self.long;
        }
        if self.entries.len() >= self.entries_max {
            self.index.clear();
            self.entries.clear();
        }
        let at = self.entries.len();
        self.index.insert(raw.into(), at as u32);
        self.entries.push(known);
        &self.entries[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_memory_forgets_and_goes_on() {
        let mut texts = Texts::new(2, 4);
        let mut learned = 0;
        for raw in ["a", "b", "a", "b", "c", "c", "a", "too long", "too long"] {
            let known = texts.get(raw, |raw| {
                learned += 1;
                Known { kept: raw.to_uppercase(), ..Known::default() }
            });
            assert_eq!(known.kept, raw.to_uppercase());
        }
        assert_eq!((learned, texts.entries.len()), (6, 2));
    }
}
