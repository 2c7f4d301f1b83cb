//! Raw records: the bytes of log entries with their positions, on their way from a source to the normaliser.
//!
//! Promises: outside this crate a record is opaque. There is no Debug, Display, Serialize or accessor for its bytes;
//! the only thing to do with a `RawBatch` is to hand it to `Normaliser::normalise`.
//! Never: parses anything.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers of batches that are done, for the next ones: growing a new one for each batch costs as much as reading it.
static SPARE: Mutex<Vec<(Vec<u8>, Vec<Entry>)>> = Mutex::new(Vec::new());
/// Buffers that are kept, and the size from which one is let go.
const SPARE_MAX: usize = 8;
const SPARE_BYTES_MAX: usize = 4 << 20;

/// One ordered stream of records: a partition of a topic, or one file. `source` is the configured source name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    pub source: Arc<str>,
    pub partition: i32,
}

impl Lane {
    pub fn new(source: &str, partition: i32) -> Lane {
        Lane { source: source.into(), partition }
    }
}

impl std::fmt::Display for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.source, self.partition)
    }
}

pub(crate) struct Entry {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) offset: i64,
    pub(crate) observed_us: i64,
    /// The length the record had; larger than what is kept when it was over the limit.
    pub(crate) length: u64,
}

/// Consecutive raw records of one lane, in offset order, in one arena.
pub struct RawBatch {
    pub(crate) arena: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

impl Default for RawBatch {
    fn default() -> RawBatch {
        RawBatch::new()
    }
}

impl Drop for RawBatch {
    fn drop(&mut self) {
        if self.arena.capacity() == 0 || self.arena.capacity() > SPARE_BYTES_MAX {
            return;
        }
        self.clear();
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_MAX {
            spare.push((std::mem::take(&mut self.arena), std::mem::take(&mut self.entries)));
        }
    }
}

impl RawBatch {
    pub fn new() -> RawBatch {
        let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (arena, entries) = spare.unwrap_or_default();
        RawBatch { arena, entries }
    }

    /// Appends a record.
    pub fn push(&mut self, offset: i64, observed_us: i64, bytes: &[u8]) {
        self.push_cut(offset, observed_us, bytes, bytes.len() as u64);
    }

    /// Appends a record of `length` bytes of which only the first ones were kept, because it is over the limit. What
    /// these say is read; where that is nothing, it becomes a reject with the code `oversized`.
    pub fn push_cut(&mut self, offset: i64, observed_us: i64, bytes: &[u8], length: u64) {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        self.entries.push(Entry { start, end: self.arena.len(), offset, observed_us, length });
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the records, as they were before any cut.
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|e| e.length).sum()
    }

    /// The offset after the last record: the position to commit once these are stored.
    pub fn next_offset(&self) -> Option<i64> {
        self.entries.last().map(|e| e.offset + 1)
    }

    pub fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }
}
