//! What the tests of the sources share: stored positions, a clock that stands where it is put, and a plain form of the
//! signals to compare.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use schemas::Lane;

use super::{Clock, Positions, Signal, Source};

#[derive(Default)]
pub struct Stored(pub HashMap<Lane, i64>);

impl Positions for Stored {
    fn next_offset(&self, lane: &Lane) -> anyhow::Result<Option<i64>> {
        Ok(self.0.get(lane).copied())
    }
}

/// Nothing was stored.
pub fn nothing() -> Arc<dyn Positions> {
    Arc::new(Stored::default())
}

pub fn stored(positions: &[(&str, i32, i64)]) -> Arc<dyn Positions> {
    Arc::new(Stored(positions.iter().map(|(source, partition, next)| (Lane::new(source, *partition), *next)).collect()))
}

/// A clock, and the hand that moves it.
pub fn clock() -> (Clock, Arc<AtomicI64>) {
    let hand = Arc::new(AtomicI64::new(1_000_000));
    let read = hand.clone();
    (Arc::new(move || read.load(Ordering::Relaxed)), hand)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Opened(i32),
    Succeeds(i32, i32),
    /// Partition, number of records, their bytes, the next offset.
    Records(i32, usize, u64, i64),
    CaughtUp(i32),
    Ended(i32),
    Revoking(Vec<i32>),
    Failed(String),
}

pub fn told(signal: Signal) -> Told {
    match signal {
        Signal::Opened { lane } => Told::Opened(lane.partition),
        Signal::Succeeds { lane, before } => Told::Succeeds(lane.partition, before.partition),
        Signal::Records { lane, records } => {
            Told::Records(lane.partition, records.len(), records.bytes(), records.next_offset().unwrap_or(-1))
        }
        Signal::CaughtUp { lane } => Told::CaughtUp(lane.partition),
        Signal::Ended { lane } => Told::Ended(lane.partition),
        Signal::Revoking { lanes } => Told::Revoking(lanes.iter().map(|lane| lane.partition).collect()),
    }
}

/// The next signal or error; waits for it, and fails after a while.
pub fn next(source: &mut dyn Source) -> Told {
    for _ in 0..600 {
        match source.next(Duration::from_millis(100)) {
            Ok(Some(signal)) => return told(signal),
            Ok(None) => {}
            Err(error) => return Told::Failed(error.to_string()),
        }
    }
    panic!("no signal within a minute");
}

/// Everything a source says until it is finished, with batches that follow each other joined.
pub fn joined(source: &mut dyn Source) -> Vec<Told> {
    let mut joined: Vec<Told> = Vec::new();
    for told in all(source) {
        match (joined.last_mut(), told) {
            (Some(Told::Records(before, count, bytes, next)), Told::Records(lane, more, length, end))
                if *before == lane =>
            {
                (*count, *bytes, *next) = (*count + more, *bytes + length, end);
            }
            (_, told) => joined.push(told),
        }
    }
    joined
}

/// Everything a source says until it is finished.
pub fn all(source: &mut dyn Source) -> Vec<Told> {
    let mut told = Vec::new();
    while !source.finished() {
        told.push(next(source));
    }
    assert!(matches!(source.next(Duration::ZERO), Ok(None)), "a finished source has nothing to say");
    told
}
