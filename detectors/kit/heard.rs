//! In which windows anybody was heard: any row of any source, before a detector asks which rows are its own.
//!
//! For: methods that learn from windows. One in which nobody was heard is silence, from which nothing is learned; one in which
//! others were heard is a true zero.
//! Promises: a few bytes, and one look per run of rows, not per row. A window is heard of when the rows before it have been
//! folded and what was due has been done, so what a decision sees depends on no batch.
//! Never: knows whose rows they were.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::index_of;

/// Windows in which anybody was heard, as numbers: the silent ones have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard {
    /// The window in which anybody was first heard, and so perhaps in part alone.
    first: Option<u32>,
    /// The last one in which anybody was heard, and how many before it were silent.
    last: u32,
    silent: u32,
}

impl Heard {
    /// The number of the last window in which anybody was heard.
    pub fn number(&self) -> u32 {
        self.last - self.silent.min(self.last)
    }

    pub fn is_first(&self, window: u32) -> bool {
        self.first == Some(window)
    }

    /// Whether the window, which is no earlier than any that was heard of, is silent.
    pub fn is_silent(&self, window: u32) -> bool {
        window > self.last
    }

    fn hear(&mut self, window: u32) {
        if self.first.is_none() {
            (self.first, self.last) = (Some(window), window);
        } else if window > self.last {
            self.silent += window - self.last - 1;
            self.last = window;
        }
    }
}

/// What has been heard, and what the rows to be folded will say.
#[derive(Debug)]
pub(crate) struct Hearing {
    pub heard: Heard,
    window_us: i64,
    /// Windows in which rows of this run begin, in order.
    coming: VecDeque<u32>,
}

impl Hearing {
    pub fn new(window_us: i64) -> Hearing {
        Hearing { heard: Heard::default(), window_us, coming: VecDeque::new() }
    }

    /// Takes in where the rows of a run stand, in order, before any of them is folded.
    pub fn announce(&mut self, places: &[i64]) {
        let known = self.coming.back().copied().unwrap_or(self.heard.last);
        let anybody = self.heard.first.is_some() || !self.coming.is_empty();
        let is_known = |place: &i64| anybody && index_of(*place, self.window_us) <= known;
        if places.last().is_none_or(is_known) {
            return;
        }
        let mut rest = &places[places.partition_point(is_known)..];
        while let Some(place) = rest.first() {
            let window = index_of(*place, self.window_us);
            self.coming.push_back(window);
            rest = &rest[rest.partition_point(|place| index_of(*place, self.window_us) <= window)..];
        }
    }

    /// When the next window begins in which somebody is heard.
    pub fn next_due(&self) -> i64 {
        self.coming.front().map_or(i64::MAX, |window| i64::from(*window).saturating_mul(self.window_us))
    }

    /// That time has come.
    pub fn hear_next(&mut self) {
        if let Some(window) = self.coming.pop_front() {
            self.heard.hear(window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears all of it, and says which windows were new.
    fn all(hearing: &mut Hearing, places: &[i64]) -> Vec<i64> {
        hearing.announce(places);
        let due = |hearing: &mut Hearing| (hearing.next_due() < i64::MAX).then(|| hearing.next_due());
        std::iter::from_fn(|| {
            let time = due(hearing)?;
            hearing.hear_next();
            Some(time)
        })
        .collect()
    }

    #[test]
    fn silent_windows_have_no_number_however_rows_are_cut() {
        let places = [-5, 3, 9, 10, 11, 12, 35, 35, 60, 61, 69];
        for size in 1..=places.len() {
            let mut hearing = Hearing::new(10);
            let heard: Vec<i64> = places.chunks(size).flat_map(|places| all(&mut hearing, places)).collect();
            assert_eq!(heard, [0, 10, 30, 60], "{size} at a time");
            assert_eq!((hearing.heard.last, hearing.heard.silent, hearing.heard.number()), (6, 3, 3));
            assert!(hearing.heard.is_first(0) && !hearing.heard.is_first(6));
            assert!(hearing.heard.is_silent(7) && !hearing.heard.is_silent(6));
        }
    }

    #[test]
    fn nothing_is_heard_before_its_time() {
        let mut hearing = Hearing::new(10);
        hearing.announce(&[100, 119, 140]);
        hearing.announce(&[140, 141]);
        assert_eq!((hearing.heard, hearing.next_due()), (Heard::default(), 100));
        hearing.hear_next();
        assert_eq!((hearing.heard.number(), hearing.heard.is_silent(11), hearing.next_due()), (10, true, 110));
        hearing.hear_next();
        hearing.hear_next();
        assert_eq!((hearing.heard.number(), hearing.next_due()), (12, i64::MAX));
    }
}
