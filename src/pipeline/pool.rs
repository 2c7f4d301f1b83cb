//! Normalising, and what can be prepared for detection, on several threads. All records of a lane go to the same thread, in their order, so that what a lane has
//! learned stays with it; lanes of one source are spread over the threads.
//!
//! Promises: the rows of a lane are the same whatever the number of threads. A thread that panics takes the reader with it.
//! Never: reads a source, or decides in which order batches are taken up.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use schemas::{Geo, Lane, Normaliser, RawBatch};

use super::prepare::Prepare;
use super::reader::ReadBatch;
use crate::limits;
use crate::telemetry::SPANS;

/// What each lane knew when it was left.
pub type LaneStates = Vec<(Lane, Arc<[u8]>)>;

enum Job {
    /// From here on this thread has lanes of that source.
    Source(Arc<str>, Box<Normaliser>),
    Geo(Arc<Geo>),
    /// The lane goes on where it was left.
    Restore(Lane, Arc<[u8]>),
    /// What is known of this lane goes to one that begins with it.
    Tell(Lane, SyncSender<Option<Vec<u8>>>),
    /// The lane begins with that. Whoever tells it has been asked before, so nobody waits for himself.
    Begin(Lane, Receiver<Option<Vec<u8>>>),
    /// Whether what detection wants of the rows is computed here too.
    Records(Lane, RawBatch, bool, SyncSender<ReadBatch>),
}

/// The threads, as the reader sees them.
pub(super) struct Pool<'scope> {
    workers: Vec<Worker<'scope>>,
    /// Which of them has a lane.
    placed: HashMap<Lane, usize>,
    /// By source name: what the threads' own ones are made from.
    normalisers: HashMap<Arc<str>, Normaliser>,
    lane_states: HashMap<Lane, Arc<[u8]>>,
    geo: Option<Arc<Geo>>,
}

struct Worker<'scope> {
    jobs: SyncSender<Job>,
    thread: ScopedJoinHandle<'scope, ()>,
    /// By source, how many lanes it has.
    lanes: HashMap<Arc<str>, usize>,
}

impl<'scope> Pool<'scope> {
    /// `threads` of them. The lanes that `lane_states` names go on where they were left.
    pub fn start(
        scope: &'scope Scope<'scope, '_>,
        threads: usize,
        prepare: &'scope Prepare,
        normalisers: HashMap<Arc<str>, Normaliser>,
        lane_states: LaneStates,
    ) -> std::io::Result<Pool<'scope>> {
        let start = |number: usize| {
            let (jobs, todo) = sync_channel(limits::READ_QUEUE_BATCHES);
            let named = Builder::new().name(format!("normalise-{number}"));
            let thread = named.spawn_scoped(scope, move || Work::new(prepare).all(&todo))?;
            Ok(Worker { jobs, thread, lanes: HashMap::new() })
        };
        Ok(Pool {
            workers: (1..=threads.max(1)).map(start).collect::<std::io::Result<_>>()?,
            placed: HashMap::new(),
            normalisers,
            lane_states: lane_states.into_iter().collect(),
            geo: None,
        })
    }

    /// From the next batch on, clients are looked up there.
    pub fn set_geo(&mut self, geo: &Arc<Geo>) {
        self.geo = Some(geo.clone());
        for worker in &self.workers {
            worker.take(Job::Geo(geo.clone()));
        }
    }

    /// `lane` begins with what `before` knows, whose file it takes the place of.
    pub fn inherit(&mut self, lane: Lane, before: &Lane) {
        let (Some(from), Some(to)) = (self.place(before), self.place(&lane)) else { return };
        let (tell, told) = sync_channel(1);
        self.workers[from].take(Job::Tell(before.clone(), tell));
        self.workers[to].take(Job::Begin(lane, told));
    }

    /// Where the rows of these records, of which there is at least one, will be.
    pub fn normalise(&mut self, lane: Lane, records: RawBatch) -> Receiver<ReadBatch> {
        let (done, batch) = sync_channel(1);
        let at = self.place(&lane).expect("every source the composition root opens has a normaliser");
        // A thread that does all the normalising is what everybody else waits for; the engine's, which has time, computes then.
        let computes = self.workers.iter().filter(|worker| !worker.lanes.is_empty()).nth(1).is_some();
        self.workers[at].take(Job::Records(lane, records, computes, done));
        batch
    }

    /// The thread that has this lane; `None` for a source that is not known.
    fn place(&mut self, lane: &Lane) -> Option<usize> {
        if let Some(at) = self.placed.get(lane) {
            return Some(*at);
        }
        self.normalisers.get(&lane.source)?;
        // Where the fewest of its kind are, and the fewest of all; of equals the first.
        let busy = |worker: &Worker<'_>| {
            (worker.lanes.get(&lane.source).copied().unwrap_or(0), worker.lanes.values().sum::<usize>())
        };
        let at = (0..self.workers.len()).min_by_key(|at| busy(&self.workers[*at]))?;
        let worker = &mut self.workers[at];
        if !worker.lanes.contains_key(&lane.source) {
            let mut own = self.normalisers.get(&lane.source)?.another();
            own.set_geo(self.geo.clone());
            worker.take(Job::Source(lane.source.clone(), Box::new(own)));
        }
        *worker.lanes.entry(lane.source.clone()).or_default() += 1;
        if let Some(state) = self.lane_states.remove(lane) {
            worker.take(Job::Restore(lane.clone(), state));
        }
        self.placed.insert(lane.clone(), at);
        Some(at)
    }

    /// Waits for the threads; what drifted can then be asked of the normalisers.
    pub fn finish(self) -> HashMap<Arc<str>, Normaliser> {
        let threads: Vec<ScopedJoinHandle<'_, ()>> = self.workers.into_iter().map(|worker| worker.thread).collect();
        for thread in threads {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
        self.normalisers
    }
}

impl Worker<'_> {
    fn take(&self, job: Job) {
        // One that panicked takes nothing any more, which `finish` and who waits for the batch find.
        let _gone = self.jobs.send(job).is_err();
    }
}

/// What one thread has.
struct Work<'p> {
    prepare: &'p Prepare,
    normalisers: HashMap<Arc<str>, Normaliser>,
    /// What lanes began with, until it is saved with their first records.
    inherited: HashMap<Lane, Vec<u8>>,
}

impl<'p> Work<'p> {
    fn new(prepare: &'p Prepare) -> Work<'p> {
        Work { prepare, normalisers: HashMap::new(), inherited: HashMap::new() }
    }

    fn all(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            match job {
                Job::Source(source, normaliser) => drop(self.normalisers.insert(source, *normaliser)),
                Job::Geo(geo) => self.normalisers.values_mut().for_each(|one| one.set_geo(Some(geo.clone()))),
                Job::Restore(lane, state) => _ = self.restore(&lane, &state),
                // Who asked may have panicked.
                Job::Tell(lane, tell) => _ = tell.send(self.of(&lane).state_of(&lane)).is_err(),
                Job::Begin(lane, told) => {
                    let state = told.recv().ok().flatten().filter(|state| self.restore(&lane, state));
                    self.inherited.extend(state.map(|state| (lane, state)));
                }
                Job::Records(lane, records, computes, done) => {
                    // Who hung up knows already that it stopped.
                    let _gone = done.send(self.normalise(lane, &records, computes)).is_err();
                }
            }
        }
    }

    fn of(&mut self, lane: &Lane) -> &mut Normaliser {
        self.normalisers.get_mut(&lane.source).expect("a source comes before its lanes")
    }

    /// One whose state cannot be used begins anew, which costs templates their past, no data.
    fn restore(&mut self, lane: &Lane, state: &[u8]) -> bool {
        let restored = self.of(lane).restore(lane, state);
        if let Err(error) = &restored {
            tracing::warn!(%lane, %error, "what was learned of this lane's paths is learned anew");
        }
        restored.is_ok()
    }

    fn normalise(&mut self, lane: Lane, records: &RawBatch, computes: bool) -> ReadBatch {
        let (source, partition, count) = (&*lane.source, lane.partition, records.len());
        let span = tracing::info_span!(target: SPANS, "batch", source, partition, records = count);
        let normalised = span.in_scope(|| self.of(&lane).normalise(&lane, records));
        let inherited = self.inherited.remove(&lane);
        let (events, prepared) = self.prepare.prepare(normalised.events, computes);
        ReadBatch {
            events,
            prepared,
            rejects: normalised.rejects,
            state: normalised.state.or(inherited),
            next_offset: records.next_offset().unwrap_or(i64::MIN),
            records: records.len() as u64,
            bytes: records.bytes(),
            lane,
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Keys, SourceConfig};

    use super::*;

    #[test]
    fn lanes_of_one_source_are_spread_and_stay_where_they_are() {
        let normaliser = |name: &str| {
            let config = SourceConfig { name: name.into(), kind: "combined".into(), ..SourceConfig::default() };
            (Arc::from(name), Normaliser::new(&config, &Keys::new("k1", b"fake")).expect("a normaliser"))
        };
        let normalisers = HashMap::from([normaliser("busy"), normaliser("quiet")]);
        let engine = detectors::Engine::new(Vec::new(), detectors::EngineLimits::default()).expect("an engine");
        let prepare = Prepare::new(Arc::default(), &engine);
        std::thread::scope(|scope| {
            let mut pool = Pool::start(scope, 2, &prepare, normalisers, LaneStates::new()).expect("threads");
            let mut place = |source: &str, partition| pool.place(&Lane::new(source, partition));
            let places = [("busy", 0), ("quiet", 0), ("busy", 1), ("quiet", 1), ("busy", 2), ("busy", 0), ("none", 0)];
            let placed = places.map(|(source, partition)| place(source, partition));
            assert_eq!(placed, [Some(0), Some(1), Some(1), Some(0), Some(0), Some(0), None]);
            for successor in 7..13 {
                pool.inherit(Lane::new("busy", successor), &Lane::new("busy", successor - 1));
            }
            let on_first = (0..13).filter(|n| pool.place(&Lane::new("busy", *n)) == Some(0)).count();
            assert!(
                (6..=7).contains(&on_first),
                "{on_first} of 13: who takes another's place is on the thread with room"
            );
            assert_eq!(pool.finish().len(), 2);
        });
    }
}
