//! Memories of what was computed for a text: user agents, hosts, principals, object identifiers repeat, so their
//! scrubbed form, class or token is looked up instead of made again.
//!
//! Promises: bounded in entries and in bytes per entry; when full, what came longest ago is forgotten (`memory.rs`).
//! Never: lets a raw text out; it is only ever the key.

use bumpalo::Bump;

use crate::draft::Draft;
use crate::hash;
use crate::limits::{SCRUBBED_BYTES_MAX, SCRUBBED_TEXTS_MAX};
use crate::memory::Memory;
use crate::probes::{Place, Probed, Prober};
use crate::redact::{Column, Found, Scrubber, form};

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
    known: Memory<Known, 1>,
    bytes_max: usize,
    /// The last text that was too long to be remembered.
    long: Known,
}

impl Texts {
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Texts {
        Texts { known: Memory::new(entries_max), bytes_max, long: Known::default() }
    }

    /// What is known of `raw`; `learn` computes it the first time.
    #[inline]
    pub(crate) fn get(&mut self, raw: &str, learn: impl FnOnce(&str) -> Known) -> &Known {
        if raw.len() > self.bytes_max {
            self.long = learn(raw);
            return &self.long;
        }
        self.known.get(0, raw, || learn(raw))
    }
}

/// What was found in a text of a column that is not kept as it came, and what is kept of it.
#[derive(Clone, Default)]
struct Scrubbed {
    /// Of a text that is kept as it is, nothing.
    kept: String,
    is_other: bool,
    found: Found,
    probed: Probed,
}

/// The texts of one column, scrubbed and searched for attacks once as long as they are remembered. It belongs to one
/// scrubber, and so to one policy and one key for tokens.
pub(crate) struct ScrubbedTexts {
    column: Column,
    place: Place,
    recent: Recent<Scrubbed>,
    /// By form: is there nothing in it?
    forms: Recent<bool>,
    form: Vec<u8>,
}

impl ScrubbedTexts {
    pub(crate) fn new(column: Column, place: Place) -> ScrubbedTexts {
        ScrubbedTexts {
            column,
            place,
            recent: Recent::new(SCRUBBED_TEXTS_MAX, SCRUBBED_BYTES_MAX),
            forms: Recent::new(SCRUBBED_TEXTS_MAX, SCRUBBED_BYTES_MAX),
            form: Vec::new(),
        }
    }

    /// Puts the text that `part` names into the row as it may be kept: itself when nothing was removed from it.
    pub(crate) fn fill<'d>(
        &mut self,
        drafts: &mut [Draft<'d>],
        arena: &'d Bump,
        scrubber: &mut Scrubber,
        prober: &mut Prober,
        part: impl for<'a> Fn(&'a mut Draft<'d>) -> (Option<&'d str>, &'a mut Option<&'d str>),
    ) {
        let (column, place) = (self.column, self.place);
        // What a person's own patterns find may depend on any digit.
        let form = match column {
            _ if scrubber.has_patterns() => None,
            Column::Path => Some(form::of_path as fn(&str, &mut Vec<u8>) -> bool),
            Column::Query => Some(form::of_query as _),
            _ => None,
        };
        for draft in drafts {
            let (Some(raw), _) = part(draft) else { continue };
            let mut scrub = |known: &mut Scrubbed| {
                known.found = Found::default();
                known.probed = prober.of(raw, place);
                let kept = scrubber.of(column).scrub(raw, &mut known.kept, &mut known.found);
                known.is_other = !std::ptr::eq(kept, raw);
            };
            if form.is_some_and(|form| form(raw, &mut self.form)) {
                let is_plain = self.forms.get(&self.form, |is_plain| {
                    let mut known = Scrubbed::default();
                    scrub(&mut known);
                    *is_plain = !known.is_other && known.found.is_empty() && known.probed == Probed::default();
                });
                if *is_plain {
                    *part(draft).1 = Some(raw);
                    continue;
                }
            }
            let known = self.recent.get(raw, scrub);
            draft.found.merge(known.found);
            draft.probed.merge(known.probed);
            *part(draft).1 = Some(if known.is_other { arena.alloc_str(&known.kept) } else { raw });
        }
    }
}

/// The last text at each of a fixed number of places, chosen by hash, and what was made of it. For texts of which most
/// come once: a new one takes the place of an old one and its buffers, so it costs no allocation either.
pub(crate) struct Recent<T = String> {
    places: Vec<(Vec<u8>, T)>,
    hasher: ahash::RandomState,
    bytes_max: usize,
    long: T,
}

impl<T: Clone + Default> Recent<T> {
    pub(crate) fn new(places: usize, bytes_max: usize) -> Recent<T> {
        Recent { places: vec![Default::default(); places], hasher: hash::state(), bytes_max, long: T::default() }
    }

    /// What `make` writes for `raw`, which is not empty.
    #[inline]
    pub(crate) fn get(&mut self, raw: impl AsRef<[u8]>, make: impl FnOnce(&mut T)) -> &T {
        let raw = raw.as_ref();
        if raw.len() > self.bytes_max {
            make(&mut self.long);
            return &self.long;
        }
        let place = self.hasher.hash_one(raw) as usize % self.places.len();
        let (text, made) = &mut self.places[place];
        if text != raw {
            // The text last: what is made of it is never found under another one.
            text.clear();
            make(made);
            text.extend_from_slice(raw);
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
            let text = recent.get(raw, |out: &mut String| {
                made += 1;
                *out = raw.to_uppercase();
            });
            assert_eq!(*text, raw.to_uppercase());
        }
        assert!((6..=8).contains(&made), "{made}");
    }

    #[test]
    fn a_text_that_is_too_long_is_learned_each_time() {
        let mut texts = Texts::new(2, 4);
        let mut learned = 0;
        for raw in ["a", "a", "too long", "too long"] {
            let known = texts.get(raw, |raw| {
                learned += 1;
                Known { kept: raw.to_uppercase(), ..Known::default() }
            });
            assert_eq!(known.kept, raw.to_uppercase());
        }
        assert_eq!(learned, 3);
    }
}
