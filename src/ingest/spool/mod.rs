//! The spool: where records that were pushed to us lie, sealed on disk, from the moment their sender was told that they
//! are accepted until the lake has them. One spool per source, in a folder of its own.
//!
//! A sender gives a parcel of records and waits; a thread of the spool writes all parcels that wait as one frame, has the
//! disk confirm it, and then answers all of them. The source reads on from the position that the lake says: a record's
//! offset is its number in the spool, counted for ever. Segments wholly below a committed position are removed.
//!
//! Promises: a parcel that was answered with success is on disk, whole, and is handed over once per position asked for,
//! also after a crash. No byte of a record lies on disk unsealed. The spool never takes more than its limit: a full one
//! says so, and who can waits for room. A frame that a crash cut short was never acknowledged, and is left out.
//! Never: acknowledges what the disk did not confirm; looks into a record.

mod frame;
mod segment;
mod source;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::Lane;
use tokio::sync::{Notify, mpsc, oneshot};

pub use frame::{Parcel, SpoolKey};
pub use source::SpoolSource;

use self::segment::Segment;
use self::writer::Writer;
use super::shown::shown;
use super::{Clock, IngestError, Positions, ReadLimits};
use crate::metric;

/// Parcels that may wait for the writer; more wait to be queued.
const QUEUE_PARCELS: usize = 1024;
/// A new segment begins beyond this, or beyond a sixteenth of the limit.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

pub struct SpoolConfig {
    /// The source's own folder.
    pub folder: PathBuf,
    pub source: String,
    pub key: SpoolKey,
    /// Bytes on disk; full beyond.
    pub bytes_max: u64,
    /// Without a record for so long, the source no longer holds the others back.
    pub idle_after: Duration,
}

/// Why a parcel was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    #[error("the spool is full: records come in faster than they are stored")]
    Full,
    #[error("the source is being stopped")]
    Stopping,
    #[error("the disk did not take it: {0}")]
    Disk(String),
}

/// The way in. Clones lead into the same spool.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Submission>,
}

/// Opens the spool of a source, and makes it the source's records.
pub fn open(
    config: SpoolConfig,
    positions: &dyn Positions,
    limits: ReadLimits,
    clock: Clock,
) -> Result<(Spool, SpoolSource), IngestError> {
    let lane = Lane::new(&config.source, 0);
    let folder = &config.folder;
    let at = |error| segment::failed(folder, error);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at)?;
    // The folder itself has to be there after the power was cut: it is an entry of the one above.
    for above in folder.ancestors().skip(1).take(2).filter(|above| !above.as_os_str().is_empty()) {
        File::open(above).and_then(|above| above.sync_all()).map_err(|error| segment::failed(above, error))?;
    }
    let lock = lock(&config)?;
    let segments = segment::recover(folder, &config.key)?;
    let stored = positions
        .next_offset(&lane)
        .map_err(|error| segment::failed(folder, format!("cannot look up where to continue: {error:#}")))?;
    let state = State::new(segments, stored.map(i64::unsigned_abs));
    if let Some(gone) = state.gone(stored) {
        tracing::warn!(
            source = config.source,
            records = gone,
            "the spool begins behind the position that the lake has: these records were committed to another lake"
        );
    }
    let (position, committed) = (state.position, state.committed);
    let shared = Arc::new(Shared {
        source: config.source.as_str().into(),
        folder: config.folder.clone(),
        bytes_max: config.bytes_max,
        state: Mutex::new(state),
        grown: Condvar::new(),
        room: Notify::new(),
    });
    shared.commit(committed);
    let (queue, submissions) = mpsc::channel(QUEUE_PARCELS);
    let writer = Writer::start(shared.clone(), config.key.clone(), submissions, lock).map_err(at)?;
    let spool = Spool { shared: shared.clone(), queue };
    let source = SpoolSource::new(spool.clone(), writer, config, lane, position, limits, clock);
    Ok((spool, source))
}

/// Two processes would write over each other's numbers.
fn lock(config: &SpoolConfig) -> Result<File, IngestError> {
    let path = config.folder.join("lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(|error| segment::failed(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(segment::failed(&path, "another process has this spool open; expected one service for each data_dir"))
        }
        Err(std::fs::TryLockError::Error(error)) => Err(segment::failed(&path, error)),
    }
}

impl Spool {
    /// Returns when the records are on disk. A full spool refuses at once.
    pub async fn append(&self, parcel: Parcel) -> Result<(), SpoolError> {
        let Some(reserved) = self.shared.reserve(parcel.frame_bytes()) else { return Err(SpoolError::Full) };
        self.submit(parcel, reserved).await
    }

    /// The same, but waits while the spool is full.
    pub async fn append_when_room(&self, parcel: Parcel) -> Result<(), SpoolError> {
        let reserved = loop {
            // Listened for before it is looked: room made in between is not missed.
            let mut room = std::pin::pin!(self.shared.room.notified());
            room.as_mut().enable();
            if let Some(reserved) = self.shared.reserve(parcel.frame_bytes()) {
                break reserved;
            }
            if self.queue.is_closed() {
                return Err(SpoolError::Stopping);
            }
            room.await;
        };
        self.submit(parcel, reserved).await
    }

    async fn submit(&self, parcel: Parcel, reserved: Reserved) -> Result<(), SpoolError> {
        let (answer, answered) = oneshot::channel();
        let submission = Submission::Parcel { parcel, reserved, answer };
        self.queue.send(submission).await.map_err(|_| SpoolError::Stopping)?;
        answered.await.unwrap_or(Err(SpoolError::Stopping))
    }

    /// Whether another parcel of this many bytes would be taken now.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.shared.lock().has_room(bytes, self.shared.bytes_max)
    }

    /// All the room there ever is.
    pub fn bytes_max(&self) -> u64 {
        self.shared.bytes_max
    }
}

/// What the writer is asked for.
enum Submission {
    Parcel {
        parcel: Parcel,
        reserved: Reserved,
        answer: oneshot::Sender<Result<(), SpoolError>>,
    },
    /// Answer what came before, then end.
    Close,
}

/// What both ends and the writer know.
struct Shared {
    source: Arc<str>,
    folder: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
    /// There is more to read.
    grown: Condvar,
    /// There may be room again.
    room: Notify,
}

struct State {
    segments: VecDeque<Segment>,
    /// The segment that is being written.
    active: Option<u64>,
    /// The number of the next record that comes in: all below are on disk.
    next: u64,
    /// The number of the next record that is handed over.
    position: u64,
    /// The lake has everything below.
    committed: u64,
    /// Bytes of all segments, and of the parcels that wait.
    bytes: u64,
    reserved: u64,
}

impl State {
    /// After a restart: `stored` is the position that the lake has, if any.
    fn new(segments: VecDeque<Segment>, stored: Option<u64>) -> State {
        let committed = stored.or(segments.front().map(|segment| segment.first)).unwrap_or(0);
        let end = segments.back().map_or(0, |segment| segment.next);
        let bytes = segments.iter().map(|segment| segment.bytes).sum();
        // The lake may be further than the spool: its folder may be new. Numbers are never given twice.
        State { segments, active: None, next: end.max(committed), position: committed, committed, bytes, reserved: 0 }
    }

    /// Records between the lake's position and the first one that is here.
    fn gone(&self, stored: Option<i64>) -> Option<u64> {
        let first = self.segments.front()?.first;
        first.checked_sub(stored?.unsigned_abs()).filter(|gone| *gone > 0)
    }

    fn has_room(&self, bytes: u64, bytes_max: u64) -> bool {
        self.bytes + self.reserved + bytes <= bytes_max
    }

    /// The segment with the next record to hand over, of what is on disk.
    fn unread(&self) -> Option<Segment> {
        self.segments.iter().find(|segment| segment.next > self.position).cloned()
    }

    fn note_damage(&mut self, first: u64) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.first == first) {
            segment.damaged = true;
        }
    }

    /// Bytes of segments that hold a record which the lake does not have.
    fn uncommitted_bytes(&self) -> u64 {
        self.segments.iter().filter(|segment| segment.next > self.committed).map(|segment| segment.bytes).sum()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is held under this lock is plain numbers; a panic leaves them usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reserved> {
        let mut state = self.lock();
        if !state.has_room(bytes, self.bytes_max) {
            return None;
        }
        state.reserved += bytes;
        Some(Reserved { shared: self.clone(), bytes })
    }

    /// The lake has everything below: segments of which it has every record go, and make room.
    fn commit(&self, committed: u64) {
        let mut removed = Vec::new();
        let mut state = self.lock();
        state.committed = state.committed.max(committed);
        while let Some(front) = state.segments.front() {
            if front.next > state.committed || state.active == Some(front.first) {
                break;
            }
            let bytes = front.bytes;
            state.bytes -= bytes;
            removed.extend(state.segments.pop_front());
        }
        drop(state);
        for gone in removed {
            // What stays is removed after the next start; its records are passed over then.
            if let Err(error) = segment::remove(&self.folder, &gone) {
                let file = segment::path(&self.folder, gone.first);
                tracing::warn!(file = %shown(&file), %error, "a file of the spool that is done with stays");
            }
        }
        self.room.notify_waiters();
        self.tell();
    }

    /// Metrics of the moment.
    fn tell(&self) {
        let state = self.lock();
        let source = &*self.source;
        metrics::gauge!(metric::SPOOL_BYTES, "source" => source.to_owned()).set(state.uncommitted_bytes() as f64);
        metrics::gauge!(metric::SPOOL_LIMIT_BYTES, "source" => source.to_owned()).set(self.bytes_max as f64);
        let lag = state.next.saturating_sub(state.position);
        metrics::gauge!(metric::LAG_RECORDS, "source" => source.to_owned(), "partition" => "0").set(lag as f64);
    }
}

/// Room for a parcel; given back when the parcel is written, refused or forgotten.
struct Reserved {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.shared.lock().reserved -= self.bytes;
        self.shared.room.notify_waiters();
    }
}
