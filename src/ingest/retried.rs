//! A source that fails alone: the others go on, and it is opened again, from where the lake says, after a wait that doubles.
//!
//! While it is away its lanes are ended, so that detection waits for none of them. What was read of them and is not
//! committed yet is no matter of the source: the pipeline commits it before it takes a lane up again, and leaves out what
//! is read a second time.
//!
//! Promises: a failure is logged when it begins, every ten minutes while it lasts, and when it is over; it is in `Health`
//! and in the metrics. The wait is bounded and jittered, so a source that always fails costs little. Settings that cannot
//! be right are an error of the start.
//! Never: gives up on a source whose records go on coming. Files that are read once are given up on where nothing else
//! is read, so that such a run ends.

use std::any::Any;
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use metrics::{counter, gauge};
use rand::Rng;
use schemas::Lane;

use super::health::Health;
use super::{Clock, IngestError, Signal, Source};
use crate::metric;

/// The first wait, and the longest.
const WAIT_FIRST_US: i64 = 1_000_000;
const WAIT_MAX_US: i64 = 60_000_000;
/// A source that was opened again and has not failed for so long is well, also when nothing came.
const WELL_AFTER_US: i64 = 30_000_000;
const TELL_AGAIN_US: i64 = 600_000_000;
/// How often lag and trouble are asked for.
const LOOK_EVERY_US: u64 = 1_000_000;

/// Opens the source anew, from where the lake says.
pub type Open = Box<dyn FnMut() -> Result<Box<dyn Source>, IngestError> + Send>;

pub struct Retried {
    name: String,
    open: Open,
    /// None while it is away.
    source: Option<Box<dyn Source>>,
    /// Nothing else is read: what fails is not tried again.
    once: bool,
    health: Health,
    clock: Clock,
    /// Opened and not ended.
    lanes: BTreeSet<Lane>,
    /// Ends of the lanes of a source that failed, not handed over yet.
    ends: VecDeque<Lane>,
    paused: BTreeSet<Lane>,
    failure: Option<Failure>,
    /// The partitions whose lag is shown.
    lagging: BTreeSet<i32>,
    looked_us: i64,
    ended: bool,
}

/// A failure that is not over.
struct Failure {
    times: u32,
    since_us: i64,
    told_us: i64,
    next_try_us: i64,
    /// It was opened again then.
    reopened_us: Option<i64>,
}

impl Retried {
    /// Opens it for the first time. A file that cannot be read may be readable later; any other error is one of the settings.
    /// An address that is in use may be free later, too.
    pub fn first(name: &str, once: bool, mut open: Open, health: Health, clock: Clock) -> Result<Retried, IngestError> {
        let opened = caught(name, &mut open);
        let mut retried = Retried {
            name: name.to_owned(),
            open,
            source: None,
            once,
            health,
            clock,
            lanes: BTreeSet::new(),
            ends: VecDeque::new(),
            paused: BTreeSet::new(),
            failure: None,
            lagging: BTreeSet::new(),
            looked_us: i64::MIN,
            ended: false,
        };
        counter!(metric::SOURCE_FAILURES, "source" => retried.name.clone()).absolute(0);
        match opened {
            Ok(source) => {
                retried.source = Some(source);
                retried.set_up(true);
                retried.health.change(name, |_| {});
            }
            Err(error) if may_pass(&error) => retried.failed(&error),
            Err(error) => return Err(error),
        }
        Ok(retried)
    }

    fn set_up(&self, up: bool) {
        gauge!(metric::SOURCE_UP, "source" => self.name.clone()).set(f64::from(u8::from(up)));
    }

    fn show_partitions(&self) {
        gauge!(metric::PARTITIONS, "source" => self.name.clone()).set(self.lanes.len() as f64);
    }

    /// Notes and tells a failure, and when the next attempt is.
    fn failed(&mut self, error: &IngestError) {
        let now_us = (self.clock)();
        counter!(metric::SOURCE_FAILURES, "source" => self.name.clone()).increment(1);
        self.set_up(false);
        let failure = self.failure.get_or_insert(Failure {
            times: 0,
            since_us: now_us,
            told_us: i64::MIN,
            next_try_us: 0,
            reopened_us: None,
        });
        let doubled = WAIT_FIRST_US.saturating_mul(1 << failure.times.min(16)).min(WAIT_MAX_US);
        let wait_us = rand::rng().random_range(doubled / 2..=doubled);
        failure.times = failure.times.saturating_add(1);
        failure.next_try_us = now_us.saturating_add(wait_us);
        failure.reopened_us = None;
        let (name, again) = (self.name.as_str(), !self.once);
        if now_us.saturating_sub(failure.told_us) >= TELL_AGAIN_US {
            failure.told_us = now_us;
            let times = failure.times;
            match again {
                true => tracing::error!(
                    source = name,
                    times,
                    wait_ms = wait_us / 1000,
                    "this source fails and is tried again; the others go on: {error}"
                ),
                false => tracing::error!(source = name, "this source fails; the others are read to their end: {error}"),
            }
        } else {
            tracing::debug!(source = name, wait_ms = wait_us / 1000, "still fails: {error}");
        }
        let (since_us, next_try_us) = (failure.since_us, failure.next_try_us);
        self.health.change(name, |health| {
            health.failures += 1;
            health.error = Some(error.to_string());
            health.since_us = Some(since_us);
            health.next_try_us = again.then_some(next_try_us);
        });
    }

    fn well_again(&mut self) {
        let Some(failure) = self.failure.take() else { return };
        let seconds = ((self.clock)() - failure.since_us) / 1_000_000;
        tracing::info!(source = self.name, times = failure.times, seconds, "this source can be read again");
        self.set_up(true);
        self.health.change(&self.name, |health| {
            (health.error, health.since_us, health.next_try_us) = (None, None, None);
        });
    }

    /// Lets go of the source after an error that it cannot go on after.
    fn drop_source(&mut self) {
        self.source = None;
        self.ends.extend(std::mem::take(&mut self.lanes));
        self.show_partitions();
    }

    /// Opens it again when it is time.
    fn try_again(&mut self) {
        let Some(failure) = &mut self.failure else { return };
        let now_us = (self.clock)();
        // Further ahead than any wait is: the clock was set back.
        let ahead_us = failure.next_try_us.saturating_sub(now_us);
        if ahead_us > 0 && ahead_us <= WAIT_MAX_US {
            return;
        }
        match caught(&self.name, &mut self.open) {
            Ok(source) => {
                failure.reopened_us = Some(now_us);
                self.source = Some(source);
            }
            Err(error) => self.failed(&error),
        }
    }

    fn noted(&mut self, signal: &Signal) -> Result<(), IngestError> {
        match signal {
            Signal::Opened { lane } => {
                self.lanes.insert(lane.clone());
                self.show_partitions();
                // The wish is older than this opening.
                if let (true, Some(source)) = (self.paused.contains(lane), &mut self.source) {
                    source.pause(std::slice::from_ref(lane))?;
                }
            }
            // Of a source that goes on after the failure of one lane, the other lanes say nothing about that one.
            Signal::Records { .. } | Signal::CaughtUp { .. } => {
                if self.failure.as_ref().is_some_and(|failure| failure.reopened_us.is_some()) {
                    self.well_again();
                }
            }
            Signal::Ended { lane } => {
                self.lanes.remove(lane);
                self.show_partitions();
            }
            Signal::Succeeds { .. } | Signal::Revoking { .. } => {}
        }
        Ok(())
    }

    fn show_lag(&mut self, lag: &[(i32, u64)]) {
        let show = |partition: i32, records: u64| {
            gauge!(metric::LAG_RECORDS, "source" => self.name.clone(), "partition" => partition.to_string())
                .set(records as f64);
        };
        lag.iter().for_each(|(partition, records)| show(*partition, *records));
        let shown: BTreeSet<i32> = lag.iter().map(|(partition, _)| *partition).collect();
        // What is not ours any more is nobody's lag here.
        self.lagging.difference(&shown).for_each(|gone| show(*gone, 0));
        self.lagging = shown;
    }

    /// How much of a topic this copy reads.
    fn show_share(&self, of: Option<u32>, now_us: i64) {
        let Some(of) = of else { return };
        gauge!(metric::TOPIC_PARTITIONS, "source" => self.name.clone()).set(f64::from(of));
        let open = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        self.health.change(&self.name, |health| {
            health.share = Some((open, of));
            health.shared_since_us = (open < of).then(|| health.shared_since_us.unwrap_or(now_us));
        });
    }

    /// Now and then: how far behind it is, and what keeps it.
    fn look(&mut self) {
        let now_us = (self.clock)();
        if now_us.saturating_sub(self.looked_us).unsigned_abs() < LOOK_EVERY_US {
            return;
        }
        self.looked_us = now_us;
        let Some(source) = &self.source else { return };
        let (lag, trouble, of) = (source.lag(), source.trouble(), source.partitions_of_topic());
        self.show_lag(&lag);
        self.show_share(of, now_us);
        match (self.failure.as_ref().map(|failure| failure.reopened_us), trouble) {
            (Some(Some(at_us)), None) if now_us - at_us >= WELL_AFTER_US => self.well_again(),
            (Some(_), _) => {}
            (None, trouble) => {
                self.set_up(trouble.is_none());
                self.health.change(&self.name, |health| {
                    health.since_us = trouble.is_some().then(|| health.since_us.unwrap_or(now_us));
                    health.error = trouble;
                });
            }
        }
    }

    /// The source has nothing more to say. One that failed in part is opened again, unless this is a run that ends.
    fn end(&mut self) {
        match &self.failure {
            Some(failure) if failure.reopened_us.is_none() && !self.once => self.source = None,
            Some(Failure { reopened_us: Some(_), .. }) if !self.once => {
                self.well_again();
                self.ended = true;
            }
            _ => self.ended = true,
        }
        let ended = self.ended;
        if ended && self.failure.is_none() {
            // Neither up nor down: what is no number is not shown.
            gauge!(metric::SOURCE_UP, "source" => self.name.clone()).set(f64::NAN);
        }
        self.health.change(&self.name, |health| health.ended = ended);
    }

    /// Hands the wish of the pipeline on; a source that cannot follow it has failed.
    fn act(&mut self, act: impl FnOnce(&mut dyn Source) -> Result<(), IngestError>) {
        let Some(source) = &mut self.source else { return };
        if let Err(error) = caught(&self.name, || act(source.as_mut())) {
            self.drop_source();
            self.failed(&error);
        }
    }
}

/// Whether what keeps a source from being opened may be over later.
fn may_pass(error: &IngestError) -> bool {
    matches!(error, IngestError::File { .. } | IngestError::InUse { .. } | IngestError::Bug { .. })
}

/// A bug in one source is its failure, not that of the others.
fn caught<T>(name: &str, call: impl FnOnce() -> Result<T, IngestError>) -> Result<T, IngestError> {
    // After a panic the source is let go of, whatever state it is in.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(IngestError::Bug { source_name: name.to_owned(), message: text_of_panic(panic.as_ref()) })
    })
}

/// What a panic said.
pub fn text_of_panic(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

impl Source for Retried {
    fn next(&mut self, timeout: Duration) -> Result<Option<Signal>, IngestError> {
        if let Some(lane) = self.ends.pop_front() {
            return Ok(Some(Signal::Ended { lane }));
        }
        if self.ended {
            return Ok(None);
        }
        if self.source.is_none() && self.once {
            self.end();
            return Ok(None);
        }
        if self.source.is_none() {
            self.try_again();
        }
        self.look();
        let Some(source) = &mut self.source else {
            std::thread::park_timeout(timeout);
            return Ok(None);
        };
        let said = caught(&self.name, || source.next(timeout));
        let finished = source.finished();
        match said {
            Ok(Some(signal)) => {
                if let Err(error) = self.noted(&signal) {
                    self.drop_source();
                    self.failed(&error);
                }
                Ok(Some(signal))
            }
            Ok(None) => {
                if finished {
                    self.end();
                }
                Ok(None)
            }
            Err(error) => {
                let is_broken = matches!(error, IngestError::Bug { .. });
                if is_broken || !source.goes_on_after(&error) {
                    self.drop_source();
                }
                self.failed(&error);
                Ok(None)
            }
        }
    }

    fn finished(&self) -> bool {
        self.ended && self.ends.is_empty()
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.paused.extend(lanes.iter().cloned());
        self.act(|source| source.pause(lanes));
        Ok(())
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.paused.retain(|lane| !lanes.contains(lane));
        self.act(|source| source.resume(lanes));
        Ok(())
    }

    fn release(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.lanes.retain(|lane| !lanes.contains(lane));
        self.show_partitions();
        self.act(|source| source.release(lanes));
        Ok(())
    }

    fn committed(&mut self, positions: &[(Lane, i64)]) -> Result<(), IngestError> {
        self.act(|source| source.committed(positions));
        Ok(())
    }

    /// What cannot be read is not at its end, though nothing comes.
    fn at_end(&self) -> Vec<Lane> {
        match &self.source {
            Some(source) if self.failure.is_none() && source.trouble().is_none() => source.at_end(),
            _ => Vec::new(),
        }
    }

    fn is_away(&self) -> bool {
        self.source.is_none()
    }
}

#[cfg(test)]
mod tests;
