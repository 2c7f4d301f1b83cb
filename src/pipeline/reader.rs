//! The reading half of the pipeline, on its own thread: asks the source for records, has them normalised by the pool, and
//! hands over, in a bounded queue, what the source said in the order it said it. A full queue blocks it, and with it the
//! source: back-pressure, never loss.
//!
//! What the engine's half wants of the source (pause, resume, release, store positions, stop) is left in `Controls`,
//! which merges wishes instead of queueing them, so that the two threads cannot wait for each other.
//! Never: decides what is committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use detectors::{EngineError, Prepared};
use schemas::{Drift, Geo, Lane, Normaliser, Reject};

use super::pool::{LaneStates, Pool};
use super::prepare::Prepare;
use crate::clock::{self, Stopwatch};
use crate::ingest::{IngestError, Signal, Source};

/// What the reader has to say, in the order the source said it.
pub enum Read {
    Opened(Lane),
    Batch(Box<ReadBatch>),
    CaughtUp(Lane),
    /// What was read of these lanes so far is all there was at that time (microseconds since 1970).
    AtEnd(BTreeSet<Lane>, i64),
    Ended(Lane),
    Revoking(Vec<Lane>),
    /// Nothing will come any more.
    Finished,
    Failed(IngestError),
}

/// What the reader hands over, in turn.
pub enum Turn {
    Said(Read),
    /// A batch that is still being normalised, or is done by now.
    Coming(Receiver<ReadBatch>),
}

/// The turns as they are taken up: a batch that is not done yet keeps those behind it waiting.
pub struct Turns {
    queue: Receiver<Turn>,
    coming: Option<Receiver<ReadBatch>>,
}

impl Turns {
    pub fn new(queue: Receiver<Turn>) -> Turns {
        Turns { queue, coming: None }
    }

    /// What comes next, if it comes within `patience` (or twice that).
    pub fn next(&mut self, patience: Duration) -> Result<Read, RecvTimeoutError> {
        let coming = match self.coming.take() {
            Some(coming) => coming,
            None => match self.queue.recv_timeout(patience)? {
                Turn::Said(read) => return Ok(read),
                Turn::Coming(coming) => coming,
            },
        };
        match coming.recv_timeout(patience) {
            Ok(batch) => Ok(Read::Batch(Box::new(batch))),
            Err(error) => {
                self.coming = Some(coming);
                Err(error)
            }
        }
    }
}

/// Events and rejects of consecutive records of one lane.
pub struct ReadBatch {
    pub lane: Lane,
    pub events: RecordBatch,
    /// What was computed for detection of just these events.
    pub prepared: Option<Result<Prepared, EngineError>>,
    pub rejects: Vec<Reject>,
    /// What the lane has to know to go on after these records, when it changed.
    pub state: Option<Vec<u8>>,
    /// The position after these records.
    pub next_offset: i64,
    pub records: u64,
    pub bytes: u64,
}

impl ReadBatch {
    /// Leaves out what lies below `begin`: it is in the lake already.
    pub(super) fn leave_out_before(&mut self, begin: i64) -> Result<(), arrow::error::ArrowError> {
        self.rejects.retain(|reject| reject.offset >= begin);
        let Some(offsets) = self.events.column_by_name("offset") else { return Ok(()) };
        let offsets = offsets.as_primitive::<Int64Type>();
        let wanted: BooleanArray = offsets.values().iter().map(|offset| Some(*offset >= begin)).collect();
        if wanted.true_count() < wanted.len() {
            self.events = arrow::compute::filter_record_batch(&self.events, &wanted)?;
            self.prepared = None;
        }
        Ok(())
    }
}

/// How the records of a source differ from what its mapping expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drifted {
    pub source: Arc<str>,
    pub drift: Drift,
}

/// So often the source is asked which lanes are read to their end.
const ENDS_EVERY: Duration = Duration::from_millis(50);
/// How long the reader waits for the source before it looks at its controls again.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Wishes {
    paused: BTreeSet<Lane>,
    released: Vec<Lane>,
    committed: BTreeMap<Lane, i64>,
    stop: bool,
}

/// What the engine's half wants of the source.
#[derive(Default)]
pub struct Controls {
    wishes: Mutex<Wishes>,
}

impl Controls {
    fn with<T>(&self, change: impl FnOnce(&mut Wishes) -> T) -> T {
        // A panic while holding this lock leaves plain values behind; they stay usable.
        change(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The lanes that shall not be read for now; all others shall.
    pub fn pause(&self, lanes: impl IntoIterator<Item = Lane>) {
        self.with(|w| w.paused = lanes.into_iter().collect());
    }

    pub fn release(&self, lanes: Vec<Lane>) {
        self.with(|w| w.released.extend(lanes));
    }

    pub fn committed(&self, positions: &[(Lane, i64)]) {
        self.with(|w| w.committed.extend(positions.iter().cloned()));
    }

    pub fn stop(&self) {
        self.with(|w| w.stop = true);
    }
}

/// Reads until the source is finished, fails, or `stop` is wished.
pub struct Reader {
    pub controls: Arc<Controls>,
    source: Box<dyn Source>,
    /// By source name.
    normalisers: HashMap<Arc<str>, Normaliser>,
    lane_states: LaneStates,
    threads: usize,
    paused: BTreeSet<Lane>,
    geo: Option<Arc<Geo>>,
    /// Asked before each batch: databases of addresses that take the place of the last ones.
    new_geo: NewGeo,
}

/// Says when there are other databases of addresses, and which; it is asked often.
pub type NewGeo = Box<dyn FnMut() -> Option<Arc<Geo>> + Send>;

impl Reader {
    pub fn new(source: Box<dyn Source>, normalisers: HashMap<Arc<str>, Normaliser>, controls: Arc<Controls>) -> Reader {
        Reader {
            controls,
            source,
            normalisers,
            lane_states: Vec::new(),
            threads: 1,
            paused: BTreeSet::new(),
            geo: None,
            new_geo: Box::new(|| None),
        }
    }

    /// With databases to look addresses up in, and a way to learn of newer ones.
    pub fn with_geo(mut self, geo: Arc<Geo>, new_geo: NewGeo) -> Reader {
        self.new_geo = new_geo;
        self.geo = Some(geo);
        self
    }

    /// With what lanes knew when they were left.
    pub fn continuing(self, lane_states: LaneStates) -> Reader {
        Reader { lane_states, ..self }
    }

    /// With so many threads that normalise; one, if nothing is said.
    pub fn on_threads(self, threads: usize) -> Reader {
        Reader { threads, ..self }
    }

    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The thread's body. The receiver hanging up ends it. Returns what drifted, source by source.
    pub fn run(mut self, out: &SyncSender<Turn>, prepare: &Prepare) -> Vec<Drifted> {
        let normalisers = std::mem::take(&mut self.normalisers);
        let normalisers = std::thread::scope(|scope| {
            let lane_states = std::mem::take(&mut self.lane_states);
            let pool = Pool::start(scope, self.threads, prepare, normalisers, lane_states);
            let mut pool = pool.expect("a thread can be started");
            let last = match self.read_all(&mut pool, out) {
                Ok(()) => Read::Finished,
                Err(error) => Read::Failed(error),
            };
            // A receiver that hung up knows already that it stopped.
            let _gone = out.send(Turn::Said(last)).is_err();
            pool.finish()
        });
        let drifted = |(source, normaliser): (&Arc<str>, &Normaliser)| {
            let source = source.clone();
            normaliser.drift().into_iter().map(move |drift| Drifted { source: source.clone(), drift })
        };
        let mut all: Vec<Drifted> = normalisers.iter().flat_map(drifted).collect();
        // Stable: those of one source keep their order.
        all.sort_by(|a, b| a.source.cmp(&b.source));
        all
    }

    fn read_all(&mut self, pool: &mut Pool<'_>, out: &SyncSender<Turn>) -> Result<(), IngestError> {
        let (mut since_ends, mut told) = (Stopwatch::start(), false);
        self.geo.iter().for_each(|geo| pool.set_geo(geo));
        loop {
            if self.obey()? {
                return Ok(());
            }
            if since_ends.elapsed() >= ENDS_EVERY {
                since_ends = Stopwatch::start();
                let now_us = clock::now_us();
                let ended: BTreeSet<Lane> = self.source.at_end().into_iter().collect();
                let at_end = Turn::Said(Read::AtEnd(ended.clone(), now_us));
                if (told || !ended.is_empty()) && out.send(at_end).is_err() {
                    return Ok(());
                }
                told = !ended.is_empty();
            }
            let Some(signal) = self.source.next(PATIENCE)? else {
                if self.source.finished() {
                    return Ok(());
                }
                continue;
            };
            let turn = match signal {
                Signal::Opened { lane } => Turn::Said(Read::Opened(lane)),
                Signal::Succeeds { lane, before } => {
                    pool.inherit(lane, &before);
                    continue;
                }
                Signal::Records { records, .. } if records.is_empty() => continue,
                Signal::Records { lane, records } => {
                    (self.new_geo)().iter().for_each(|geo| pool.set_geo(geo));
                    Turn::Coming(pool.normalise(lane, records))
                }
                Signal::CaughtUp { lane } => Turn::Said(Read::CaughtUp(lane)),
                Signal::Ended { lane } => Turn::Said(Read::Ended(lane)),
                Signal::Revoking { lanes } => Turn::Said(Read::Revoking(lanes)),
            };
            if out.send(turn).is_err() {
                return Ok(());
            }
        }
    }

    /// Does what the other half wishes; true when it wishes to stop.
    fn obey(&mut self) -> Result<bool, IngestError> {
        let (paused, released, committed, stop) = self.controls.with(|w| {
            let changed = (w.paused != self.paused).then(|| w.paused.clone());
            (changed, std::mem::take(&mut w.released), std::mem::take(&mut w.committed), w.stop)
        });
        if let Some(paused) = paused {
            let pause: Vec<Lane> = paused.difference(&self.paused).cloned().collect();
            let resume: Vec<Lane> = self.paused.difference(&paused).cloned().collect();
            self.source.pause(&pause)?;
            self.source.resume(&resume)?;
            self.paused = paused;
        }
        if !committed.is_empty() {
            self.source.committed(&committed.into_iter().collect::<Vec<_>>())?;
        }
        if !released.is_empty() {
            self.source.release(&released)?;
        }
        Ok(stop)
    }
}
