//! The rate limit of a source: a bucket of records that fills at the configured rate.
//!
//! A body larger than the bucket is taken when the bucket is full, and is paid for by what comes after it. Nothing is kept for
//! whoever was refused: senders of small bodies that do not wait can keep one of many records out.

use std::time::Duration;

use super::Rate;

pub(super) struct Bucket {
    rate: Rate,
    /// Records that may come now; below 0 after a body larger than the bucket.
    level: f64,
    seen_us: i64,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now_us: i64) -> Bucket {
        Bucket { rate, level: rate.burst as f64, seen_us: now_us }
    }

    /// Takes so many records, or says how long to wait before they may come.
    pub(super) fn take(&mut self, records: usize, now_us: i64) -> Result<(), Duration> {
        self.ask(records, now_us)?;
        self.level -= records as f64;
        Ok(())
    }

    /// The same without taking.
    pub(super) fn ask(&mut self, records: usize, now_us: i64) -> Result<(), Duration> {
        let (rate, burst) = (self.rate.per_second as f64, self.rate.burst as f64);
        // A clock that is set back fills nothing.
        let seconds = (now_us - self.seen_us).max(0) as f64 / 1e6;
        self.seen_us = now_us;
        self.level = (self.level + seconds * rate).min(burst);
        let missing = (records as f64).min(burst) - self.level;
        if missing <= 0.0 { Ok(()) } else { Err(Duration::from_secs_f64(missing / rate)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_fills_at_its_rate_and_never_beyond() {
        let mut bucket = Bucket::new(Rate { per_second: 100, burst: 200 }, 0);
        assert_eq!(bucket.take(150, 0), Ok(()));
        assert_eq!(bucket.take(100, 0), Err(Duration::from_millis(500)));
        assert_eq!(bucket.take(100, 500_000), Ok(()));
        assert_eq!(bucket.ask(1, 500_000), Err(Duration::from_millis(10)));
        // An hour later it holds 200 and no more; a body of 500 is taken, and the next waits for it.
        assert_eq!(bucket.take(500, 3_600_000_000), Ok(()));
        assert_eq!(bucket.ask(1, 3_600_000_000), Err(Duration::from_secs_f64(3.01)));
        assert_eq!(bucket.take(1, 3_603_010_000), Ok(()));
        // A clock that is set back neither fills nor empties.
        assert_eq!(bucket.ask(1, 0), Err(Duration::from_millis(10)));
    }
}
