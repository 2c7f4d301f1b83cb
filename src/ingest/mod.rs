//! Sources of records: files, standard input, Kafka, and what is pushed to us over HTTP and syslog. A source hands over opaque records with their positions and says
//! which lanes are open, caught up or ended; it never looks inside a record, and it never decides what is committed.
//!
//! Promises: records of a lane come in offset order, each once per position asked for; memory is bounded (`limits.rs`):
//! a source reads only when it is asked, so a slow consumer stops it.

pub mod accept;
pub mod batch;
pub mod file;
pub mod follow;
pub mod health;
pub mod http;
pub mod kafka;
pub mod lines;
pub mod merged;
pub mod network;
pub mod push;
pub mod retried;
mod seats;
mod shown;
pub mod spool;
pub mod stdin;
pub mod syslog;
pub mod tls;
pub mod unpack;

#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Duration;

use schemas::{Lane, RawBatch};

/// Where arrival times come from: microseconds since 1970 (UTC). Read once per batch.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How much a source takes in at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// A record longer than this is not kept whole; it becomes a reject.
    pub record_bytes: usize,
    /// What is kept of such a record.
    pub kept_bytes: usize,
    /// A batch ends at this many records,
    pub batch_records: usize,
    /// or at this many bytes.
    pub batch_bytes: usize,
}

impl Default for ReadLimits {
    fn default() -> ReadLimits {
        ReadLimits { record_bytes: 1 << 20, kept_bytes: 64 << 10, batch_records: 8192, batch_bytes: 1 << 20 }
    }
}

/// What a source has to say next.
pub enum Signal {
    /// A lane is ours from now on: detection waits for it.
    Opened { lane: Lane },
    /// A lane that is opened next came in the place of another one: it begins with what was learned there.
    Succeeds { lane: Lane, before: Lane },
    /// Records of one lane, in offset order.
    Records { lane: Lane, records: RawBatch },
    /// Nothing more to read in this lane for the source's `idle_after`; more may come later.
    CaughtUp { lane: Lane },
    /// Nothing will come from this lane any more: end of file, or the partition was lost.
    Ended { lane: Lane },
    /// The group takes these lanes away. Commit what was read of them, then call `release`; no `Ended` follows. The group
    /// stands still until then.
    Revoking { lanes: Vec<Lane> },
}

/// Where a lane continues: the next offset to read, when something of it was committed before.
pub trait Positions: Send + Sync {
    fn next_offset(&self, lane: &Lane) -> anyhow::Result<Option<i64>>;

    /// The same for several lanes, in their order; where looking once serves all, it is worth its own code.
    fn next_offsets(&self, lanes: &[Lane]) -> anyhow::Result<Vec<Option<i64>>> {
        lanes.iter().map(|lane| self.next_offset(lane)).collect()
    }
}

/// A source of records. One thread owns it and calls it.
pub trait Source: Send {
    /// The next signal, `None` when nothing happened for `timeout` (or, once every lane has ended, for ever).
    fn next(&mut self, timeout: Duration) -> Result<Option<Signal>, IngestError>;
    /// True when every lane has ended and none can come: files and standard input that were read to their end.
    fn finished(&self) -> bool;
    /// Stop reading these lanes for now; they are too far ahead of the others.
    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError>;
    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError>;
    /// The lanes named in `Revoking` are committed; let them go. Not for sources that never say it.
    fn release(&mut self, _lanes: &[Lane]) -> Result<(), IngestError> {
        Ok(())
    }
    /// Whether such an error concerns one lane, which ends, and the others can be read on.
    fn goes_on_after(&self, _error: &IngestError) -> bool {
        false
    }
    /// The lake holds everything below these offsets. Kafka stores it for its lag dashboards; files ignore it.
    fn committed(&mut self, _positions: &[(Lane, i64)]) -> Result<(), IngestError> {
        Ok(())
    }
    /// Why nothing can come for now, in words, where the source itself tries again.
    fn trouble(&self) -> Option<String> {
        None
    }
    /// Records of each partition that wait to be read, where the source knows.
    fn lag(&self) -> Vec<(i32, u64)> {
        Vec::new()
    }
    /// How many partitions there are, where they may be divided among copies of the service and the source knows it.
    fn partitions_of_topic(&self) -> Option<u32> {
        None
    }
    /// Lanes of which everything there is has been read, and more may come. Not for sources that do not see their end.
    fn at_end(&self) -> Vec<Lane> {
        Vec::new()
    }
    /// It failed and waits to be opened again: nothing comes before.
    fn is_away(&self) -> bool {
        false
    }
}

/// The world failed: what, where, and whether to try again.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    #[error("{path}: {message}")]
    File { path: String, message: String },
    #[error("kafka {brokers}: {message}")]
    Kafka { brokers: String, message: String },
    #[error("{address}: {message}")]
    Listen { address: String, message: String },
    /// The address is another program's now, or none of this machine's yet.
    #[error("{address}: {message}")]
    InUse { address: String, message: String },
    #[error("{source_name}: {message}; this is a bug")]
    Bug { source_name: String, message: String },
}
