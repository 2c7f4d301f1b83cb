//! What was made of texts that repeat, remembered. The texts that came last are the likeliest to come again: when half of the places
//! are taken, those of the half before are forgotten, unless they came again meanwhile.
//!
//! Promises: bounded in entries, and in bytes per text by whoever asks. A hit costs one look-up, two for a text that did not come
//! lately. What is forgotten is made again, and is the same.
//! Never: lets a text out; it is only ever the key.

use crate::hash::{self, FastMap};

/// Of texts of `SPACES` kinds, so that one text may mean something else in each.
pub(crate) struct Memory<V, const SPACES: usize> {
    lately: Half<V, SPACES>,
    before: Half<V, SPACES>,
    half: usize,
}

struct Half<V, const SPACES: usize> {
    index: [FastMap<Box<str>, u32>; SPACES],
    entries: Vec<V>,
}

impl<V, const SPACES: usize> Half<V, SPACES> {
    fn new() -> Half<V, SPACES> {
        Half { index: std::array::from_fn(|_| hash::map()), entries: Vec::new() }
    }

    fn put(&mut self, space: usize, text: Box<str>, made: V) -> &V {
        let at = self.entries.len();
        self.index[space].insert(text, at as u32);
        self.entries.push(made);
        &self.entries[at]
    }
}

impl<V: Default, const SPACES: usize> Memory<V, SPACES> {
    /// Of at most so many texts.
    pub(crate) fn new(entries_max: usize) -> Memory<V, SPACES> {
        Memory { lately: Half::new(), before: Half::new(), half: (entries_max / 2).max(1) }
    }

    /// What was made of the text; `make` makes it when that is not known.
    #[inline]
    pub(crate) fn get(&mut self, space: usize, text: &str, make: impl FnOnce() -> V) -> &V {
        match self.lately.index[space].get(text) {
            Some(&at) => &self.lately.entries[at as usize],
            None => self.get_other(space, text, make),
        }
    }

    fn get_other(&mut self, space: usize, text: &str, make: impl FnOnce() -> V) -> &V {
        let known = self.before.index[space].remove_entry(text);
        let (text, made) = match known {
            Some((text, at)) => (text, std::mem::take(&mut self.before.entries[at as usize])),
            None => (text.into(), make()),
        };
        if self.lately.entries.len() >= self.half {
            self.before = std::mem::replace(&mut self.lately, Half::new());
        }
        self.lately.put(space, text, made)
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lately.entries.len() + self.before.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_remembered_and_the_rest_forgotten() {
        let mut memory = Memory::<String, 2>::new(4);
        let mut made = Vec::new();
        for (space, text) in [
            (0, "a"),
            (0, "b"),
            (0, "a"),
            (1, "a"),
            (0, "a"),
            (0, "c"),
            (0, "b"),
            (0, "a"),
            (0, "d"),
            (0, "a"),
            (0, "b"),
        ] {
            let known = memory.get(space, text, || {
                made.push((space, text));
                format!("{space}{text}")
            });
            assert_eq!(*known, format!("{space}{text}"));
        }
        // `b` came, and came again too late; `a` was never away for long.
        assert_eq!(made, [(0, "a"), (0, "b"), (1, "a"), (0, "c"), (0, "b"), (0, "d")]);
        assert!(memory.len() <= 4);
    }

    #[test]
    fn it_never_holds_more_than_it_may() {
        let mut memory = Memory::<usize, 1>::new(100);
        for number in 0..10_000 {
            assert_eq!(*memory.get(0, &number.to_string(), || number), number);
            assert!(memory.len() <= 100);
        }
    }
}
