//! Memories of what was computed for a text: user agents, hosts, principals, object identifiers repeat, so their
//! scrubbed form, class or token is looked up instead of made again.
//!
//! Promises: bounded in entries and in bytes per entry; when full, everything is forgotten. A hit costs one lookup.
//! Never: lets a raw text out; it is only ever the key.

use crate::hash::{self, FastMap};
use crate::probes::Probed;
use crate::redact::Found;

/// What is known of a text.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) kept: String,
    pub(crate) found: Found,
    /// A label derived from it, such as the class of a user agent.
    pub(crate) label: Option<&'static str>,
    /// The attacks in it.
    pub(crate) probed: Probed,
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

/// The last text at each of a fixed number of places, chosen by hash, and what was made of it. For texts of which most
/// come once: a new one takes the place of an old one and its buffers, so it costs no allocation either.
pub(crate) struct Recent {
    places: Vec<(String, String)>,
    hasher: ahash::RandomState,
    bytes_max: usize,
    long: String,
}

impl Recent {
    pub(crate) fn new(places: usize, bytes_max: usize) -> Recent {
        Recent { places: vec![Default::default(); places], hasher: hash::state(), bytes_max, long: String::new() }
    }

    /// What `make` writes for `raw`, which is not empty.
    #[inline]
    pub(crate) fn get(&mut self, raw: &str, make: impl FnOnce(&str, &mut String)) -> &str {
        if raw.len() > self.bytes_max {
            make(raw, &mut self.long);
            return &self.long;
        }
        let place = self.hasher.hash_one(raw) as usize % self.places.len();
        let (text, made) = &mut self.places[place];
        if text != raw {
            text.clear();
            text.push_str(raw);
            make(raw, made);
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_texts_are_made_once_and_right_always() {
        let mut recent = Recent::new(4, 8);
        let mut made = 0;
        for raw in ["a", "a", "b", "c", "d", "e", "a", "longer than eight", "a"] {
            let text = recent.get(raw, |raw, out| {
                made += 1;
                *out = raw.to_uppercase();
            });
            assert_eq!(text, raw.to_uppercase());
        }
        assert!((6..=8).contains(&made), "{made}");
    }

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
