//! The clock of a lane: how far its events have come, in a way that single odd times, or the times of one gateway among
//! several, cannot push; and the place of each of its rows in the order of all.
//!
//! The clock is the running maximum of the median (the lower of two) of the last `WINDOW` times; until there are so many, of
//! their lower quartile, and before `FIRST` of them there is none. The watermark is the clock less the allowed lateness.
//!
//! * A row in time stands at its time.
//! * A row behind the watermark is late: it stands at the watermark, which is where the fold is, and keeps its time.
//! * A row ahead stands where its lane is. It is ahead when its time is further beyond its own arrival than `slack`, and then
//!   it stands at its arrival; or when `FOLLOWERS` rows later the clock is still further behind it than `slack`.
//!
//! A clock that stands still while rows come holds nothing back for ever (`standstill.rs`), nor does one that is far behind the
//! others although its lane is read to its end (`awaited`).
//!
//! Promises: places follow from the lane's rows alone (times, arrivals, order), however they are cut into batches. Rows out
//! of order by no more than the lateness are never taken for ahead, however sparse or bursty they are. Rows in order cost
//! next to nothing.
//! Never: reads a clock; `at_end` is told the time by the pipeline, where a lane is read to its end.

mod standstill;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

pub(crate) use standstill::Standstill;

/// Times the clock looks at. A gateway of four that is ahead brings a quarter of them, by chance more: that it brings more
/// than half of 64 happens once in some hundred thousand rows, of 256 never; nor can a run of its rows, as producers send
/// them, be more than half of them.
const WINDOW: usize = 256;
/// So many rows later it is known whether a row is ahead. With half of the window the median of rows in order is the very
/// row that is asked about.
const FOLLOWERS: usize = WINDOW / 2;
/// Before so many rows nothing is known.
const FIRST: usize = 8;
/// A time may be so far beyond its arrival, or beyond the clock, and be believed; longer where the lateness is longer.
const SLACK_LEAST_US: i64 = 30_000_000;
/// At the end of a lane rows may take so much longer than usual; longer where the lateness is longer. Many logs have whole
/// seconds.
const TAKES_LONGER_US: i64 = 1_000_000;

/// The others do not wait for a lane that is read to its end and is further behind them; longer where its lateness is longer.
/// No zone is less than a quarter of an hour from another, and services that deliver logs later do so in files.
pub const WAITS_US_MAX: i64 = 900_000_000;
/// A lane that was read to its end so long ago counts as read to its end.
const ENDED_US: i64 = 60_000_000;

/// A row the clock looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    time: i64,
    offset: i64,
    observed: i64,
    /// Its time was not believed; `time` is its arrival.
    ahead: bool,
}

/// A lane: how far it has come and whether others wait for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaneClock {
    lateness_us: i64,
    pub idle: bool,
    clock: Option<i64>,
    /// Rows before it are late. The least there is while nothing is known.
    watermark: i64,
    /// Rows ahead so far.
    pub ahead: u64,
    recent: VecDeque<Seen>,
    /// The times of `recent` in order; empty when it has to be made again.
    #[serde(skip)]
    sorted: Vec<i64>,
    /// Saved beside it (`snapshot.rs`).
    #[serde(skip)]
    pub standstill: Standstill,
    /// When it was last read to its end.
    #[serde(skip)]
    ended_us: Option<i64>,
}

/// The rows of one batch, as the clock sees them.
pub(crate) struct Rows<'a> {
    pub times: &'a [i64],
    pub observed: &'a [i64],
    pub offsets: &'a [i64],
}

/// Where the rows of a batch stand.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Placed {
    /// By row; none when every row stands at its time.
    pub places: Option<Vec<i64>>,
    /// By row; none when none is late.
    pub late: Option<Vec<bool>>,
    /// Rows of this or an earlier batch that turned out to be ahead.
    pub moved: Vec<Moved>,
}

/// A row that is ahead: where it stood, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub offset: i64,
    pub from: i64,
    pub to: i64,
}

impl Default for LaneClock {
    fn default() -> LaneClock {
        LaneClock::starting_at(i64::MIN)
    }
}

impl LaneClock {
    /// A lane whose past is known only in so far as rows before `watermark` were late.
    pub fn starting_at(watermark: i64) -> LaneClock {
        let (recent, sorted, standstill) = (VecDeque::new(), Vec::new(), Standstill::default());
        let (clock, ended_us) = (None, None);
        LaneClock { lateness_us: 0, idle: false, clock, watermark, ahead: 0, recent, sorted, standstill, ended_us }
    }

    pub fn set_lateness(&mut self, lateness_us: i64) {
        self.lateness_us = lateness_us.max(0);
    }

    /// Rows before it are late; the least number there is while nothing is known.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    fn slack_us(&self) -> i64 {
        self.lateness_us.max(SLACK_LEAST_US)
    }

    /// Takes the next rows, in offset order. `folded_to`: what is before it has been folded, whoever's it is.
    pub fn take(&mut self, rows: &Rows<'_>, folded_to: i64) -> Placed {
        if rows.times.len() > FOLLOWERS && self.is_tidy(rows, folded_to) {
            self.take_tidy(rows);
            return Placed::default();
        }
        if self.sorted.len() != self.recent.len() {
            self.sorted = self.recent.iter().map(|seen| seen.time).collect();
            self.sorted.sort_unstable();
        }
        let mut placed = Placed::default();
        for row in 0..rows.times.len() {
            let (time, observed, offset) = (rows.times[row], rows.observed[row], rows.offsets[row]);
            let floor = self.watermark.max(folded_to);
            let ahead = time > observed.saturating_add(self.slack_us());
            let believed = if ahead { observed } else { time };
            self.ahead += u64::from(ahead);
            let (place, late) = (believed.max(floor), time < floor);
            if place != time {
                placed.places.get_or_insert_with(|| rows.times.to_vec())[row] = place;
            }
            if late {
                placed.late.get_or_insert_with(|| vec![false; rows.times.len()])[row] = true;
            }
            // What is far behind comes out of a backlog: it says nothing of how far the lane has come.
            let before = self.clock;
            if believed >= self.watermark.saturating_sub(self.slack_us()) {
                placed.moved.extend(self.tick(Seen { time: believed, offset, observed, ahead }, folded_to));
            }
            self.standstill.row(self.clock != before, observed);
            self.leave_standstill();
        }
        placed
    }

    /// A clock that stands still holds nothing back for ever.
    fn leave_standstill(&mut self) {
        let Some(clock) = self.clock else { return };
        if self.standstill.is_too_many() {
            self.watermark = self.watermark.max(clock).saturating_add(1);
        }
        if let Some(elapsed_us) = self.standstill.elapsed_us() {
            let longer_us = self.lateness_us.max(TAKES_LONGER_US);
            self.watermark = self.watermark.max(clock.saturating_add(elapsed_us).saturating_sub(longer_us));
        }
    }

    /// Rows in order, after rows in order, none late or beyond its arrival, and the clock does not stand: each stands at its time.
    fn is_tidy(&self, rows: &Rows<'_>, folded_to: i64) -> bool {
        let slack_us = self.slack_us();
        let (times, first) = (rows.times, rows.times.first().copied().unwrap_or(i64::MIN));
        first >= self.watermark.max(folded_to)
            && self.recent.len() == WINDOW
            && self.clock <= Some(times[times.len() - 1 - FOLLOWERS])
            && self.standstill.is_far_from_over(rows.observed)
            && self.recent.back().is_none_or(|last| last.time <= first)
            && self.recent.iter().is_sorted_by_key(|seen| seen.time)
            && times.is_sorted()
            && times.iter().zip(rows.observed).all(|(time, observed)| *time <= observed.saturating_add(slack_us))
    }

    fn take_tidy(&mut self, rows: &Rows<'_>) {
        // The row that made the clock what it will be: the median of a full window in order is the row so many before.
        let clock = rows.times[rows.times.len() - 1 - FOLLOWERS];
        let first = rows.times.partition_point(|time| *time < clock);
        // Its like at the end of the window may be older than this batch.
        let before = if first > 0 { 0 } else { self.recent.iter().rev().take_while(|seen| seen.time == clock).count() };
        let mover = (self.clock < Some(clock)).then_some((first + FOLLOWERS).saturating_sub(before));
        self.standstill.rows(rows.observed, mover);
        let from = rows.times.len().saturating_sub(WINDOW);
        let seen = |row| {
            let (time, observed, offset) = (rows.times[row], rows.observed[row], rows.offsets[row]);
            Seen { time, offset, observed, ahead: false }
        };
        self.recent.extend((from..rows.times.len()).map(seen));
        self.recent.drain(..self.recent.len().saturating_sub(WINDOW));
        self.sorted = self.recent.iter().map(|seen| seen.time).collect();
        self.move_on();
    }

    /// One row goes by. Says which earlier one is known to be ahead now.
    fn tick(&mut self, seen: Seen, folded_to: i64) -> Option<Moved> {
        if self.recent.len() == WINDOW
            && let Some(oldest) = self.recent.pop_front()
        {
            self.sorted.remove(self.sorted.partition_point(|time| *time < oldest.time));
        }
        self.recent.push_back(seen);
        self.sorted.insert(self.sorted.partition_point(|time| *time <= seen.time), seen.time);
        self.move_on();
        let asked = self.recent[self.recent.len().checked_sub(FOLLOWERS + 1)?];
        let here = self.sorted[(self.sorted.len() - 1) / 2].max(self.clock?);
        self.judge(asked, here, folded_to)
    }

    fn judge(&mut self, asked: Seen, here: i64, folded_to: i64) -> Option<Moved> {
        if asked.time <= here.saturating_add(self.slack_us()) {
            return None;
        }
        self.ahead += u64::from(!asked.ahead);
        Some(Moved { offset: asked.offset, from: asked.time, to: here.max(folded_to) })
    }

    fn move_on(&mut self) {
        let count = self.sorted.len();
        if count < FIRST {
            return;
        }
        let at = (count - 1) / if count < WINDOW { 4 } else { 2 };
        let clock = self.clock.map_or(self.sorted[at], |clock| clock.max(self.sorted[at]));
        self.clock = Some(clock);
        self.watermark = self.watermark.max(clock.saturating_sub(self.lateness_us));
    }

    /// Nothing follows: of the last rows, those are ahead that stand out from as many rows before and after them.
    pub fn end(&mut self, folded_to: i64) -> Vec<Moved> {
        let count = self.recent.len();
        let mut moved = Vec::new();
        for at in count.saturating_sub(FOLLOWERS)..count.saturating_sub(FIRST) {
            let followers = count - 1 - at;
            let mut around: Vec<i64> =
                self.recent.range((at + 1).saturating_sub(followers)..).map(|seen| seen.time).collect();
            around.sort_unstable();
            let here = around[(around.len() - 1) / 2].max(self.clock.unwrap_or(i64::MIN));
            moved.extend(self.judge(self.recent[at], here, folded_to));
        }
        moved
    }

    /// How long the last rows took to come, in the middle.
    fn delay_of_last(&self, count: usize) -> i64 {
        let last = self.recent.iter().rev().take(count);
        let mut delays: Vec<i64> = last.map(|seen| seen.observed.saturating_sub(seen.time)).collect();
        let middle = (delays.len() - 1) / 2;
        (*delays.select_nth_unstable(middle).1).max(0)
    }

    /// The lane is read to its end at `now`: what still comes is as old as its rows usually are, or late. Where none came yet, nothing
    /// is known of that.
    pub fn at_end(&mut self, now: i64) {
        self.ended_us = Some(now);
        if self.recent.is_empty() {
            return;
        }
        // As long as usually, and as long as now.
        let delay_us = self.delay_of_last(WINDOW).max(self.delay_of_last(FIRST));
        let longer_us = self.lateness_us.max(TAKES_LONGER_US);
        self.watermark = self.watermark.max(now.saturating_sub(delay_us).saturating_sub(longer_us));
    }

    /// The lanes the others wait for: not those that are idle, nor those that are read to their end, as others are, and have no rows
    /// yet or are then further behind the others than `WAITS_US_MAX`: a wrong zone, a wrong clock, or what comes hours later.
    pub fn awaited<'a, K: 'a>(
        lanes: impl Iterator<Item = (K, &'a LaneClock)> + Clone,
    ) -> impl Iterator<Item = (K, &'a LaneClock)> {
        let known = lanes.clone().filter(|(_, clock)| clock.clock.is_some());
        let reached = |clock: &LaneClock| clock.watermark.saturating_add(clock.lateness_us);
        let ended = known.filter_map(|(_, clock)| Some((clock.ended_us?, reached(clock))));
        let (last_us, furthest) =
            ended.fold((i64::MIN, i64::MIN), |(at, to), (ended_us, reached)| (at.max(ended_us), to.max(reached)));
        lanes.filter(move |(_, clock)| {
            let has_ended = clock.ended_us.is_some_and(|us| us >= last_us.saturating_sub(ENDED_US));
            let waits_us = clock.lateness_us.max(WAITS_US_MAX);
            let is_behind = clock.recent.is_empty() || reached(clock) < furthest.saturating_sub(waits_us);
            !(clock.idle || has_ended && is_behind)
        })
    }
}

#[cfg(test)]
mod tests;
