//! Several sources as one: asked in turn, so that none starves. Lanes keep their own source's name.

use std::time::Duration;

use schemas::Lane;

use super::{IngestError, Signal, Source};

/// A source and the name its lanes carry.
pub struct Named {
    pub name: String,
    pub source: Box<dyn Source>,
}

pub struct Merged {
    sources: Vec<Named>,
    /// Whose turn it is.
    turn: usize,
}

impl Merged {
    pub fn new(sources: Vec<Named>) -> Merged {
        Merged { sources, turn: 0 }
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
            if let Some(signal) = self.sources[index].source.next(Duration::ZERO)? {
                return Ok(Some(signal));
            }
        }
        // All are quiet: wait on one of those that can still speak.
        match self.sources.iter_mut().find(|named| !named.source.finished()) {
            Some(named) => named.source.next(timeout),
            None => Ok(None),
        }
    }

    fn finished(&self) -> bool {
        self.sources.iter().all(|named| named.source.finished())
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.each(lanes, |source, own| source.pause(own))
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.each(lanes, |source, own| source.resume(own))
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
