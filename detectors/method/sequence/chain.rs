//! Sequences that have begun: of how many events, and when.
//!
//! Of all ways to have come as far as `n` events of a sequence, only the one that began last matters: it is within the time
//! whenever any of them is. So one time per number of events says all, whatever came in between (the dynamic programme by
//! which a subsequence is found; no event is tried twice, none is looked back at).
//!
//! Promises: exact, to the microsecond. An event counts once in a sequence. At most 8 bytes for each event of the sequence, and
//! 16 where values have to differ.
//! Never: holds what cannot become a sequence within the time any more for longer than until it is swept.

use serde::{Deserialize, Serialize};

/// No such sequence.
const NONE: i64 = i64::MIN;

/// What a sequence is made of.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// Which step each of its events belongs to.
    pub steps: Vec<u8>,
    /// So many events of the first step have to be of different values; 0 where they need not.
    pub different: usize,
    pub within_us: i64,
}

/// What one row is: a bit for each step whose condition it meets, and its value for the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meets {
    pub steps: u16,
    pub value: u32,
    /// What it was under the token key before, while the two overlap; else 0.
    pub earlier: u32,
}

impl Meets {
    fn is(self, step: u8) -> bool {
        self.steps & (1 << step) != 0
    }
}

/// The sequences of one entity that have begun.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Chain {
    /// By how many events they have, less one: when the last of them began.
    began: Vec<i64>,
    /// Of a first step whose events have to be of different values: these, and when each came last; the latest last.
    values: Vec<(u32, i64)>,
}

impl Chain {
    /// Notes a row. If a sequence is complete with it, says when that began.
    pub fn put(&mut self, pattern: &Pattern, meets: Meets, time: i64) -> Option<i64> {
        let oldest = time.saturating_sub(pattern.within_us);
        // From the longest on: no row is two events of one sequence.
        for at in (pattern.different..pattern.steps.len()).rev().filter(|at| meets.is(pattern.steps[*at])) {
            let began = if at == 0 { time } else { self.began.get(at - 1).copied().unwrap_or(NONE) };
            if began < oldest {
                continue;
            }
            if at + 1 == pattern.steps.len() {
                return Some(began);
            }
            self.reach(at, began);
        }
        if pattern.different > 0 && meets.is(0) {
            self.see(pattern.different, meets, time);
        }
        None
    }

    fn reach(&mut self, at: usize, began: i64) {
        if self.began.len() <= at {
            self.began.resize(at + 1, NONE);
        }
        self.began[at] = began.max(self.began[at]);
    }

    /// Notes one of the different values. The last `enough` of them are all that matter.
    fn see(&mut self, enough: usize, meets: Meets, time: i64) {
        let Meets { value, earlier, .. } = meets;
        self.values.retain(|(known, _)| *known != value && (earlier == 0 || *known != earlier));
        if self.values.len() == enough {
            self.values.remove(0);
        }
        self.values.push((value, time));
        if self.values.len() == enough {
            self.reach(enough - 1, self.values[0].1);
        }
    }

    /// How many events the longest has that can still be completed at `time`.
    pub fn progress(&self, pattern: &Pattern, time: i64) -> usize {
        let oldest = time.saturating_sub(pattern.within_us);
        let longest = self.began.iter().rposition(|began| *began >= oldest).map_or(0, |at| at + 1);
        let different = self.values.iter().filter(|(_, last)| *last >= oldest).count();
        longest.max(different)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(steps: &[u8], different: usize, within_us: i64) -> Pattern {
        Pattern { steps: steps.to_vec(), different, within_us }
    }

    /// Feeds rows (time, steps met, value); says when sequences were complete, and when these began.
    fn complete(pattern: &Pattern, rows: &[(i64, u16, u32)]) -> Vec<(i64, i64)> {
        let mut chain = Chain::default();
        let mut found = Vec::new();
        for (time, steps, value) in rows {
            if let Some(began) = chain.put(pattern, Meets { steps: *steps, value: *value, earlier: 0 }, *time) {
                found.push((*time, began));
                chain = Chain::default();
            }
        }
        found
    }

    #[test]
    fn three_and_then_one_in_time() {
        let pattern = pattern(&[0, 0, 0, 1], 0, 10);
        let rows = |times: [i64; 4]| [(times[0], 1, 0), (times[1], 1, 0), (times[2], 1, 0), (times[3], 2, 0)];
        assert_eq!(complete(&pattern, &rows([0, 1, 2, 10])), [(10, 0)]);
        assert_eq!(complete(&pattern, &rows([0, 1, 2, 11])), []);
        // A fourth of the first step: the last three are what counts.
        assert_eq!(complete(&pattern, &[(0, 1, 0), (5, 1, 0), (6, 1, 0), (7, 1, 0), (14, 2, 0)]), [(14, 5)]);
        // One that comes too early is none.
        assert_eq!(complete(&pattern, &[(0, 1, 0), (1, 1, 0), (2, 2, 0), (3, 1, 0)]), []);
    }

    #[test]
    fn a_row_that_meets_two_steps_is_one_event() {
        let pattern = pattern(&[0, 1], 0, 10);
        assert_eq!(complete(&pattern, &[(0, 3, 0)]), []);
        assert_eq!(complete(&pattern, &[(0, 3, 0), (1, 3, 0)]), [(1, 0)]);
    }

    #[test]
    fn different_values_count_by_when_each_came_last() {
        let pattern = pattern(&[0, 0, 0, 1], 3, 10);
        assert_eq!(complete(&pattern, &[(0, 1, 7), (1, 1, 7), (2, 1, 8), (3, 2, 0)]), []);
        assert_eq!(complete(&pattern, &[(0, 1, 7), (1, 1, 8), (2, 1, 9), (3, 2, 0)]), [(3, 0)]);
        assert_eq!(complete(&pattern, &[(0, 1, 7), (1, 1, 8), (9, 1, 9), (10, 1, 7), (11, 2, 0)]), [(11, 1)]);
        assert_eq!(complete(&pattern, &[(0, 1, 7), (1, 1, 8), (9, 1, 9), (12, 2, 0)]), []);
    }

    /// The same as trying every subsequence.
    #[test]
    fn finds_what_a_search_through_all_of_them_finds() {
        let pattern = pattern(&[0, 0, 1, 2], 0, 6);
        let mut chance = crate::testkit::Chance::new(7);
        for _ in 0..150 {
            let mut time = 0;
            let rows: Vec<(i64, u16, u32)> = (0..8)
                .map(|_| {
                    time += chance.below(3) as i64;
                    (time, chance.below(8) as u16, 0)
                })
                .collect();
            let first = complete(&pattern, &rows).first().copied();
            assert_eq!(first, search(&pattern, &rows), "{rows:?}");
        }
    }

    /// The first row that completes a sequence, and the latest start of one that it completes.
    fn search(pattern: &Pattern, rows: &[(i64, u16, u32)]) -> Option<(i64, i64)> {
        let wanted = pattern.steps.len();
        let meets = |row: usize, at: usize| Meets { steps: rows[row].1, value: 0, earlier: 0 }.is(pattern.steps[at]);
        (0..rows.len()).find_map(|end| {
            let subsets = 0..1_u32 << rows.len();
            let began = subsets.filter_map(|subset| {
                let picked: Vec<usize> = (0..rows.len()).filter(|row| subset & (1 << row) != 0).collect();
                let fits = picked.len() == wanted
                    && picked[wanted - 1] == end
                    && rows[end].0 - rows[picked[0]].0 <= pattern.within_us
                    && picked.iter().enumerate().all(|(at, row)| meets(*row, at));
                fits.then(|| rows[picked[0]].0)
            });
            Some((rows[end].0, began.max()?))
        })
    }
}
