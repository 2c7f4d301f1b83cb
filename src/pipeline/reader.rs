//! The reading half of the pipeline, on its own thread: asks the source for records, has them normalised, and hands
//! batches of events over a bounded queue. A full queue blocks it, and with it the source: back-pressure, never loss.
//!
//! What the engine's half wants of the source (pause, resume, release, store positions, stop) is left in `Controls`,
//! which merges wishes instead of queueing them, so that the two threads cannot wait for each other.
//! Never: decides what is committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use schemas::{Drift, Geo, Lane, Normaliser, RawBatch, Reject};

use crate::clock::{self, Stopwatch};
use crate::ingest::{IngestError, Signal, Source};
use crate::telemetry::SPANS;

/// What the reader has to say, in the order the source said it.
pub enum Read {
    Opened(Lane),
    Batch(ReadBatch),
    CaughtUp(Lane),
    /// What was read of these lanes so far is all there was at that time (microseconds since 1970).
    AtEnd(BTreeSet<Lane>, i64),
    Ended(Lane),
    Revoking(Vec<Lane>),
    /// Nothing will come any more.
    Finished,
    Failed(IngestError),
}

/// Events and rejects of consecutive records of one lane.
pub struct ReadBatch {
    pub lane: Lane,
    pub events: RecordBatch,
    pub rejects: Vec<Reject>,
    /// What the lane has to know to go on after these records, when it changed.
    pub state: Option<Vec<u8>>,
    /// The position after these records.
    pub next_offset: i64,
    pub records: u64,
    pub bytes: u64,
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
    pub source: Box<dyn Source>,
    /// By source name.
    pub normalisers: HashMap<Arc<str>, Normaliser>,
    pub controls: Arc<Controls>,
    paused: BTreeSet<Lane>,
    /// What lanes began with, until it is saved with their first records.
    inherited: BTreeMap<Lane, Vec<u8>>,
    /// Asked before each batch: databases of addresses that take the place of the last ones.
    new_geo: NewGeo,
}

/// Says when there are other databases of addresses, and which; it is asked often.
pub type NewGeo = Box<dyn FnMut() -> Option<Arc<Geo>> + Send>;

impl Reader {
    pub fn new(source: Box<dyn Source>, normalisers: HashMap<Arc<str>, Normaliser>, controls: Arc<Controls>) -> Reader {
        Reader {
            source,
            normalisers,
            controls,
            paused: BTreeSet::new(),
            inherited: BTreeMap::new(),
            new_geo: Box::new(|| None),
        }
    }

    /// With databases to look addresses up in, and a way to learn of newer ones.
    pub fn with_geo(mut self, geo: Arc<Geo>, new_geo: NewGeo) -> Reader {
        self.new_geo = new_geo;
        self.set_geo(&geo);
        self
    }

    fn set_geo(&mut self, geo: &Arc<Geo>) {
        self.normalisers.values_mut().for_each(|normaliser| normaliser.set_geo(Some(geo.clone())));
    }

    /// The thread's body. The receiver hanging up ends it. Returns what drifted, source by source.
    pub fn run(mut self, out: &SyncSender<Read>) -> Vec<Drifted> {
        let last = match self.read_all(out) {
            Ok(()) => Read::Finished,
            Err(error) => Read::Failed(error),
        };
        // A receiver that hung up knows already that it stopped.
        let _gone = out.send(last).is_err();
        let drifted = |(source, normaliser): (&Arc<str>, &Normaliser)| {
            let source = source.clone();
            normaliser.drift().into_iter().map(move |drift| Drifted { source: source.clone(), drift })
        };
        let mut all: Vec<Drifted> = self.normalisers.iter().flat_map(drifted).collect();
        // Stable: those of one source keep their order.
        all.sort_by(|a, b| a.source.cmp(&b.source));
        all
    }

    fn read_all(&mut self, out: &SyncSender<Read>) -> Result<(), IngestError> {
        let (mut since_ends, mut told) = (Stopwatch::start(), false);
        loop {
            if self.obey()? {
                return Ok(());
            }
            if since_ends.elapsed() >= ENDS_EVERY {
                since_ends = Stopwatch::start();
                let now_us = clock::now_us();
                let ended: BTreeSet<Lane> = self.source.at_end().into_iter().collect();
                if (told || !ended.is_empty()) && out.send(Read::AtEnd(ended.clone(), now_us)).is_err() {
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
            let read = match signal {
                Signal::Opened { lane } => Read::Opened(lane),
                Signal::Succeeds { lane, before } => {
                    self.inherit(lane, &before);
                    continue;
                }
                Signal::Records { lane, records } => match self.normalise(lane, &records) {
                    Some(batch) => Read::Batch(batch),
                    None => continue,
                },
                Signal::CaughtUp { lane } => Read::CaughtUp(lane),
                Signal::Ended { lane } => Read::Ended(lane),
                Signal::Revoking { lanes } => Read::Revoking(lanes),
            };
            if out.send(read).is_err() {
                return Ok(());
            }
        }
    }

    fn inherit(&mut self, lane: Lane, before: &Lane) {
        let Some(normaliser) = self.normalisers.get_mut(&lane.source) else { return };
        if let Some(state) = normaliser.inherit(&lane, before) {
            self.inherited.insert(lane, state);
        }
    }

    fn normalise(&mut self, lane: Lane, records: &RawBatch) -> Option<ReadBatch> {
        let next_offset = records.next_offset()?;
        if let Some(geo) = (self.new_geo)() {
            self.set_geo(&geo);
        }
        let normaliser =
            self.normalisers.get_mut(&lane.source).expect("every source the composition root opens has a normaliser");
        let (source, partition, count) = (&*lane.source, lane.partition, records.len());
        let span = tracing::info_span!(target: SPANS, "batch", source, partition, records = count);
        let normalised = span.in_scope(|| normaliser.normalise(&lane, records));
        let inherited = self.inherited.remove(&lane);
        Some(ReadBatch {
            events: normalised.events,
            rejects: normalised.rejects,
            state: normalised.state.or(inherited),
            next_offset,
            records: records.len() as u64,
            bytes: records.bytes(),
            lane,
        })
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
