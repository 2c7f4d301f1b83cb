//! A batch of records while it is being filled: knows when it is full and cuts what is over the record limit.
//!
//! Promises: all records of a batch have the same arrival time, read from the clock when the first one came in; what is
//! kept of a batch stays within the batch limit and one record.

use schemas::RawBatch;

use super::lines::LineSink;
use super::{Clock, ReadLimits};

pub struct Filling {
    records: RawBatch,
    kept_bytes: usize,
    observed_us: i64,
    limits: ReadLimits,
    clock: Clock,
}

impl Filling {
    pub fn new(limits: ReadLimits, clock: Clock) -> Filling {
        Filling { records: RawBatch::new(), kept_bytes: 0, observed_us: 0, limits, clock }
    }

    /// Appends a record of `length` bytes, of which `kept` is all or the head.
    pub fn push(&mut self, offset: i64, kept: &[u8], length: u64) {
        if self.records.is_empty() {
            self.observed_us = (self.clock)();
        }
        let most = if length > self.limits.record_bytes as u64 { self.limits.kept_bytes } else { kept.len() };
        let kept = &kept[..kept.len().min(most)];
        self.records.push_cut(offset, self.observed_us, kept, length);
        self.kept_bytes += kept.len();
    }

    pub fn is_full(&self) -> bool {
        self.records.len() >= self.limits.batch_records || self.kept_bytes >= self.limits.batch_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes held in memory.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// Hands the records over and starts the next batch.
    pub fn take(&mut self) -> RawBatch {
        self.kept_bytes = 0;
        std::mem::take(&mut self.records)
    }
}

impl LineSink for Filling {
    fn line(&mut self, number: i64, kept: &[u8], length: u64) {
        self.push(number, kept, length);
    }

    fn full(&self) -> bool {
        self.is_full()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[test]
    fn a_batch_is_full_by_records_or_by_bytes_and_reads_the_clock_once() {
        let reads = Arc::new(AtomicI64::new(0));
        let counter = reads.clone();
        let clock: Clock = Arc::new(move || counter.fetch_add(1, Ordering::Relaxed));
        let limits = ReadLimits { record_bytes: 10, kept_bytes: 4, batch_records: 3, batch_bytes: 12 };
        let mut filling = Filling::new(limits, clock);
        filling.push(0, b"0123456789", 10);
        assert!(!filling.is_full());
        filling.push(1, b"0123456789a", 11);
        assert_eq!((filling.kept_bytes(), filling.is_full()), (14, true));
        let batch = filling.take();
        assert_eq!((batch.len(), batch.bytes(), batch.next_offset()), (2, 21, Some(2)));
        for offset in 2..5 {
            assert!(!filling.is_full());
            filling.push(offset, b"", 0);
        }
        assert!(filling.is_full());
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}
