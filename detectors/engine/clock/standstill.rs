//! A clock that stands still while rows come: one that is stuck. Nothing of the lane would be folded, and nothing of the others,
//! which wait for it.
//!
//! * After `ROWS_MAX` rows the watermark goes just past the clock: what waits is folded, so there is no more than that.
//! * Once rows have come for longer than `STANDS_US` and none moved the clock, the watermark goes on as arrivals do. Rows are late
//!   then. Time in which no rows came does not count: what is read after it was written before.
//!
//! Promises: follows from the lane's rows alone. No single arrival counts, only what the last `ARRIVALS` all say.
//! Never: counts rows that move the clock; makes good for a clock that was wrong before it stood still.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// So many rows may wait for a clock that stands still: more than come in one second, or in most minutes, where times are whole ones.
pub(super) const ROWS_MAX: u32 = 131_072;
/// Times may be whole minutes.
pub(super) const STANDS_US: i64 = 90_000_000;
/// Between two rows no more than this counts.
const GAP_US_MAX: i64 = 5_000_000;
const ARRIVALS: usize = 8;

/// What came since the clock last moved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standstill {
    rows: u32,
    /// For how long rows have come.
    stood_us: i64,
    /// The arrival at which it moved; of the first row where that is not known.
    since: Option<i64>,
    last: VecDeque<i64>,
}

impl Standstill {
    /// A row went by, and `moved` the clock or not.
    pub(super) fn row(&mut self, moved: bool, observed: i64) {
        if moved {
            (self.rows, self.stood_us, self.since) = (0, 0, Some(observed));
        } else {
            let gap_us = self.last.back().map_or(0, |last| observed.saturating_sub(*last));
            self.rows = self.rows.saturating_add(1);
            self.stood_us = self.stood_us.saturating_add(gap_us.clamp(0, GAP_US_MAX));
            self.since = self.since.or(Some(observed));
        }
        if self.last.len() == ARRIVALS {
            self.last.pop_front();
        }
        self.last.push_back(observed);
    }

    /// Rows went by of which the one at `mover` was the last that moved the clock, if any did.
    pub(super) fn rows(&mut self, observed: &[i64], mover: Option<usize>) {
        let from = match mover {
            Some(at) => {
                self.row(true, observed[at]);
                at + 1
            }
            None => 0,
        };
        observed[from..].iter().for_each(|observed| self.row(false, *observed));
        self.last = observed[observed.len().saturating_sub(ARRIVALS)..].iter().copied().collect();
    }

    /// Whether these can go by without anything to do.
    pub(super) fn is_far_from_over(&self, observed: &[i64]) -> bool {
        let (first, last) = (observed.iter().min(), observed.iter().max());
        let span_us = first.zip(last).map_or(0, |(first, last)| last.saturating_sub(*first)).saturating_add(GAP_US_MAX);
        self.rows as usize + observed.len() < ROWS_MAX as usize && self.stood_us.saturating_add(span_us) <= STANDS_US
    }

    /// True once each time that there are so many.
    pub(super) fn is_too_many(&mut self) -> bool {
        let is = self.rows >= ROWS_MAX;
        if is {
            self.rows = 0;
        }
        is
    }

    /// By how much arrivals have gone on, where rows have come for longer than any clock may stand.
    pub(super) fn elapsed_us(&self) -> Option<i64> {
        let least = self.last.iter().min().filter(|_| self.last.len() == ARRIVALS && self.stood_us > STANDS_US)?;
        Some(least.saturating_sub(self.since?)).filter(|us| *us > 0)
    }
}
