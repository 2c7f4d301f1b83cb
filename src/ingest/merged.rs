//! Several sources as one: asked in turn, so that none starves. Lanes keep their own source's name.
//!
//! Promises: a file that is damaged fails alone. What is wrong with it is told at once, the others are read to their end, and
//! then it is the error of the whole.

use std::time::Duration;

use schemas::Lane;

use super::{IngestError, Signal, Source};
use crate::metric;

/// A source and the name its lanes carry.
pub struct Named {
    pub name: String,
    pub source: Box<dyn Source>,
}

pub struct Merged {
    sources: Vec<Named>,
    /// Whose turn it is.
    turn: usize,
    /// The first error that is told when nothing is left to read.
    put_off: Option<IngestError>,
}

impl Merged {
    pub fn new(sources: Vec<Named>) -> Merged {
        Merged { sources, turn: 0, put_off: None }
    }

    /// An error of a source that goes on nevertheless stays for the end.
    fn ask(&mut self, index: usize, timeout: Duration) -> Result<Option<Signal>, IngestError> {
        let named = &mut self.sources[index];
        match named.source.next(timeout) {
            Err(error) if named.source.goes_on_after(&error) => {
                tracing::error!(source = named.name, "{error}");
                metrics::counter!(metric::SOURCE_FAILURES, "source" => named.name.clone()).increment(1);
                self.put_off.get_or_insert(error);
                Ok(None)
            }
            result => result,
        }
    }

    /// Hands the lanes of each source to it.
    fn each(
        &mut self,
        lanes: &[Lane],
        mut act: impl FnMut(&mut dyn Source, &[Lane]) -> Result<(), IngestError>,
    ) -> Result<(), IngestError> {
        for named in &mut self.sources {
            let own: Vec<Lane> = lanes.iter().filter(|lane| *lane.source == *named.name).cloned().collect();
            if !own.is_empty() {
                act(named.source.as_mut(), &own)?;
            }
        }
        Ok(())
    }
}

impl Source for Merged {
    fn next(&mut self, timeout: Duration) -> Result<Option<Signal>, IngestError> {
        let count = self.sources.len();
        for _ in 0..count {
            let index = self.turn;
            self.turn = (self.turn + 1) % count;
            if let Some(signal) = self.ask(index, Duration::ZERO)? {
                return Ok(Some(signal));
            }
        }
        // All are quiet: wait on one of those that can still speak; on one that failed if there is no other.
        let can_speak = |named: &Named| !named.source.finished();
        let waits = self.sources.iter().position(|named| can_speak(named) && !named.source.is_away());
        match waits.or_else(|| self.sources.iter().position(can_speak)) {
            Some(index) => self.ask(index, timeout),
            None => self.put_off.take().map_or(Ok(None), Err),
        }
    }

    fn finished(&self) -> bool {
        self.put_off.is_none() && self.sources.iter().all(|named| named.source.finished())
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.each(lanes, |source, own| source.pause(own))
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.each(lanes, |source, own| source.resume(own))
    }

    fn at_end(&self) -> Vec<Lane> {
        self.sources.iter().flat_map(|named| named.source.at_end()).collect()
    }

    fn release(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.each(lanes, |source, own| source.release(own))
    }

    fn committed(&mut self, positions: &[(Lane, i64)]) -> Result<(), IngestError> {
        for named in &mut self.sources {
            let own: Vec<(Lane, i64)> =
                positions.iter().filter(|(lane, _)| *lane.source == *named.name).cloned().collect();
            if !own.is_empty() {
                named.source.committed(&own)?;
            }
        }
        Ok(())
    }
}
