//! A source whose records are pushed to us: a spool, and the listeners that fill it.
//!
//! Promises: when it is dropped, the listeners are closed first, and what they took is on disk before the spool is let go.

use std::time::Duration;

use schemas::Lane;

use super::spool::SpoolSource;
use super::{IngestError, Signal, Source};

/// `L` closes its listeners when it is dropped.
pub struct PushSource<L> {
    /// Goes first: fields are dropped in order.
    _listeners: L,
    spool: SpoolSource,
}

impl<L: Send> PushSource<L> {
    pub fn new(listeners: L, spool: SpoolSource) -> PushSource<L> {
        PushSource { _listeners: listeners, spool }
    }
}

impl<L: Send> Source for PushSource<L> {
    fn next(&mut self, timeout: Duration) -> Result<Option<Signal>, IngestError> {
        self.spool.next(timeout)
    }

    fn finished(&self) -> bool {
        self.spool.finished()
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.spool.pause(lanes)
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.spool.resume(lanes)
    }

    fn committed(&mut self, positions: &[(Lane, i64)]) -> Result<(), IngestError> {
        self.spool.committed(positions)
    }

    fn at_end(&self) -> Vec<Lane> {
        self.spool.at_end()
    }
}
