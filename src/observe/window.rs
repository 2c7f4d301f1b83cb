//! The latest records of one source, as counts: what share of them are rejects, late, damaged.
//!
//! Promises: the window holds at most so many records and goes back at most ten minutes, but never so far down that it says
//! nothing; when nothing comes, it stays as it is. Counts and codes only, no values.

use std::collections::{BTreeMap, VecDeque};

use schemas::{Code, Reject};

/// Records the window holds; older ones leave it.
const RECORDS_MAX: u64 = 10_000;
const AGE_MAX_US: i64 = 600_000_000;
/// Fewer records say nothing about a share.
pub const RECORDS_MIN: u64 = 20;
/// What comes within so long is one step of the window.
const STEP_US: i64 = 1_000_000;

/// Counts over some records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    pub late: u64,
    pub ahead: u64,
    /// How far late events lay behind the newest of their partition, at most.
    pub behind_us_max: i64,
    /// How long after it happened the quickest event came.
    pub took_us_min: Option<i64>,
    pub rejects: BTreeMap<Code, u64>,
    pub damaged: BTreeMap<String, u64>,
}

impl Counts {
    pub fn rejected(&self) -> u64 {
        self.rejects.values().sum()
    }

    pub fn records(&self) -> u64 {
        self.events + self.rejected()
    }

    fn add(&mut self, other: &Counts) {
        self.events += other.events;
        self.late += other.late;
        self.ahead += other.ahead;
        self.behind_us_max = self.behind_us_max.max(other.behind_us_max);
        self.took_us_min = [self.took_us_min, other.took_us_min].into_iter().flatten().min();
        other.rejects.iter().for_each(|(code, n)| *self.rejects.entry(*code).or_default() += n);
        other.damaged.iter().for_each(|(column, n)| *self.damaged.entry(column.clone()).or_default() += n);
    }
}

#[derive(Default)]
pub struct Window {
    steps: VecDeque<(i64, Counts)>,
    /// What was expected in the record of the last reject of each code; codes are few.
    details: BTreeMap<Code, String>,
}

impl Window {
    pub fn push(&mut self, now_us: i64, counts: &Counts, rejects: &[Reject]) {
        if counts.records() == 0 {
            return;
        }
        for reject in rejects {
            reject.detail.clone_into(self.details.entry(reject.code).or_default());
        }
        match self.steps.back_mut() {
            Some((at_us, step)) if now_us.saturating_sub(*at_us).abs() < STEP_US => step.add(counts),
            _ => self.steps.push_back((now_us, counts.clone())),
        }
        let mut records: u64 = self.steps.iter().map(|(_, step)| step.records()).sum();
        while let Some((at_us, oldest)) = self.steps.front() {
            let left = records - oldest.records();
            let leaves = left >= RECORDS_MAX || (left >= RECORDS_MIN && now_us - at_us > AGE_MAX_US);
            if !leaves {
                return;
            }
            records = left;
            self.steps.pop_front();
        }
    }

    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.steps.iter().for_each(|(_, step)| all.add(step));
        all
    }

    pub fn detail(&self, code: Code) -> &str {
        self.details.get(&code).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(events: u64, rejects: u64) -> Counts {
        let rejects = if rejects > 0 { [(Code::Empty, rejects)].into() } else { BTreeMap::new() };
        Counts { events, rejects, ..Counts::default() }
    }

    #[test]
    fn old_records_leave_and_a_quiet_source_keeps_its_last_ones() {
        let mut window = Window::default();
        let minute = 60_000_000;
        window.push(0, &batch(0, 50), &[]);
        window.push(minute, &batch(30, 0), &[]);
        assert_eq!((window.counts().records(), window.counts().rejected()), (80, 50));
        window.push(11 * minute, &batch(5, 0), &[]);
        assert_eq!((window.counts().records(), window.counts().rejected()), (35, 0), "ten minutes");
        window.push(40 * minute, &batch(5, 0), &[]);
        assert_eq!(window.counts().records(), 40, "the last twenty stay, however old");
        window.push(40 * minute + 1, &batch(0, 20_000), &[]);
        window.push(41 * minute, &batch(10_000, 0), &[]);
        assert_eq!(window.counts(), batch(10_000, 0));
    }
}
