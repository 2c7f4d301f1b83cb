//! What the events and rejects of one source look like as a whole, and what about it cannot be right: units, times, kinds.
//!
//! Promises: bounded: counts, no values. Deterministic in the events, whatever the batches.
//! Never: decides about a record; it is for people.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use schemas::{Code, Reject};

/// Fewer values than these say nothing about a unit.
const VALUES_MIN: u64 = 20;
/// Half of the requests of no gateway take longer: 2^29 us, about nine minutes. Latencies are counted by powers of two.
const MEDIAN_US_MAX: u64 = 1 << 29;
/// Latencies that are not zero, and shorter than any gateway takes.
const TOO_SHORT_US: u64 = 8;
const HOUR_US: i64 = 3_600_000_000;

/// Counts over the records of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    pub events: u64,
    pub late: u64,
    pub rejects: BTreeMap<Code, u64>,
    /// Per column, events in which it is null or doubtful because the record held something there that cannot be.
    pub damaged: BTreeMap<String, u64>,
    /// Latencies by their number of binary digits.
    latencies: [u64; 32],
    last_us: Option<i64>,
}

impl Survey {
    pub fn note_rejects(&mut self, rejects: &[Reject]) {
        rejects.iter().for_each(|reject| *self.rejects.entry(reject.code).or_default() += 1);
    }

    pub fn note_events(&mut self, events: &RecordBatch) {
        self.events += events.num_rows() as u64;
        if let Some(late) = events.column_by_name("late") {
            self.late += late.as_boolean().true_count() as u64;
        }
        if let Some(times) = events.column_by_name("time") {
            let last = arrow::compute::max(times.as_primitive::<TimestampMicrosecondType>());
            self.last_us = self.last_us.max(last);
        }
        if let Some(latencies) = events.column_by_name("latency_us") {
            let latencies = latencies.as_primitive::<Int64Type>();
            for latency in latencies.iter().flatten() {
                self.latencies[latency.max(0).checked_ilog2().map_or(0, |digits| digits as usize + 1).min(31)] += 1;
            }
        }
        self.note_damaged(events);
    }

    fn note_damaged(&mut self, events: &RecordBatch) {
        let Some(damaged) = events.column_by_name("damaged") else { return };
        if damaged.null_count() == damaged.len() {
            return;
        }
        for columns in damaged.as_list::<i32>().iter().flatten() {
            for name in columns.as_string::<i32>().iter().flatten() {
                match self.damaged.get_mut(name) {
                    Some(count) => *count += 1,
                    None => drop(self.damaged.insert(name.to_owned(), 1)),
                }
            }
        }
    }

    pub fn rejected(&self) -> u64 {
        self.rejects.values().sum()
    }

    /// What cannot be right, a sentence each. `written_us` is when the log was last written, where that is known.
    pub fn doubts(&self, written_us: Option<i64>) -> Vec<String> {
        let mut doubts = self.share_doubts();
        doubts.extend(self.latency_doubt());
        if let (Some(last), Some(written)) = (self.last_us, written_us)
            && last > written + HOUR_US
        {
            let hours = (last - written + HOUR_US / 2) / HOUR_US;
            doubts.push(format!(
                "the last time is {hours} h after the log was last written: is the zone (time_zone) or the unit right?"
            ));
        }
        doubts
    }

    /// Of what too many are. The service warns of these while it runs.
    fn share_doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let records = self.events + self.rejected();
        if let Some((code, count)) = self.rejects.iter().max_by_key(|(_, count)| **count)
            && self.rejected() * 10 >= records
        {
            let (rejected, code) = (self.rejected(), code.as_str());
            doubts.push(format!(
                "{rejected} of {records} records are rejects, {count} of them {code}: is the kind of the source right?"
            ));
        }
        for (column, count) in self.damaged.iter().filter(|(_, count)| **count * 20 >= self.events) {
            let what = if column == "record" { "the record ends early" } else { "the value there cannot be" };
            doubts.push(format!("{column} is damaged in {count} of {} events: {what}", self.events));
        }
        if self.late * 2 > self.events {
            doubts.push(format!(
                "{} of {} events are late: are the times of one zone (time_zone), and is lateness long enough?",
                self.late, self.events
            ));
        }
        doubts
    }

    pub fn latency_doubt(&self) -> Option<String> {
        let count: u64 = self.latencies.iter().sum();
        if count < VALUES_MIN {
            return None;
        }
        let bucket_at = |share: u64| {
            let mut seen = 0;
            self.latencies.iter().position(|bucket| {
                seen += bucket;
                seen * 100 >= count * share
            })
        };
        let lower = |bucket: usize| if bucket == 0 { 0 } else { 1u64 << (bucket - 1) };
        let median = lower(bucket_at(50)?);
        if median >= MEDIAN_US_MAX {
            let seconds = median / 1_000_000;
            return Some(format!(
                "half of the latencies are above {seconds} s: is their unit right? A unit 1,000 times smaller (ms for s, us for ms) would make that {}",
                told_us(median / 1000)
            ));
        }
        let (zeros, some) = (self.latencies[0], count - self.latencies[0]);
        let short: u64 = self.latencies[1..=TOO_SHORT_US.ilog2() as usize].iter().sum();
        (some >= VALUES_MIN && short * 100 >= some * 95).then(|| {
            format!(
                "{} of {count} latencies are below {TOO_SHORT_US} us: is their unit right? A unit 1,000 times larger (ms for us, s for ms) may be",
                short + zeros
            )
        })
    }
}

/// A length of time as people say it.
fn told_us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use schemas::{EventBuilder, EventRow};

    use super::*;

    fn survey(latencies: impl Iterator<Item = i64>, damaged: &[&str]) -> Survey {
        let mut builder = EventBuilder::new();
        for latency in latencies {
            builder.append(&EventRow { time: 1_000, latency_us: Some(latency), damaged, ..EventRow::default() });
        }
        let mut survey = Survey::default();
        survey.note_events(&builder.finish());
        survey
    }

    #[test]
    fn units_that_cannot_be_right_are_told_with_the_likely_one() {
        let right = survey((0..100).map(|i| i * 1_000), &[]);
        assert!(right.doubts(None).is_empty());
        // Milliseconds read as seconds.
        let doubts = survey((0..100).map(|i| 1_000_000_000 + i), &[]).doubts(None);
        assert!(
            doubts[0].starts_with("half of the latencies are above 536 s") && doubts[0].ends_with("536 ms"),
            "{doubts:?}"
        );
        // Milliseconds read as microseconds.
        let doubts = survey((0..100).map(|i| i % 8), &[]).doubts(None);
        assert!(doubts[0].starts_with("100 of 100 latencies are below 8 us"), "{doubts:?}");
        // Milliseconds without decimals are often 0.
        assert!(survey((0..100).map(|i| if i < 97 { 0 } else { 2_000 }), &[]).doubts(None).is_empty());
        assert!(survey((0..10).map(|_| 4_000_000_000), &[]).doubts(None).is_empty(), "too few to say");
    }

    #[test]
    fn damage_and_times_after_the_log_are_told() {
        let survey = survey((0..40).map(|i| i * 1_000), &["response_bytes"]);
        assert_eq!(survey.damaged.get("response_bytes"), Some(&40));
        let doubts = survey.doubts(Some(-2 * HOUR_US));
        assert_eq!(doubts.len(), 2, "{doubts:?}");
        assert!(doubts[0].starts_with("response_bytes is damaged in 40 of 40 events"), "{doubts:?}");
        assert!(doubts[1].starts_with("the last time is 2 h after the log was last written"), "{doubts:?}");
    }
}
