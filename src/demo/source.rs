//! The demo's traffic as a source of records: one lane, from the start, at full speed.

use std::time::Duration;

use schemas::{Lane, RawBatch};

use super::Traffic;
use crate::ingest::{IngestError, Signal, Source};

/// Lines of one batch.
const BATCH_LINES: usize = 8192;

/// Made-up lines in the order of their completion.
pub trait Lines: Send {
    /// Appends one line with its newline; false when there is none left.
    fn next_line(&mut self, out: &mut Vec<u8>) -> bool;
    /// When the last line written was complete, microseconds: what a clock beside the gateway would show.
    fn completed_us(&self) -> i64;
}

impl Lines for Traffic {
    fn next_line(&mut self, out: &mut Vec<u8>) -> bool {
        Traffic::next_line(self, out)
    }

    fn completed_us(&self) -> i64 {
        Traffic::completed_us(self)
    }
}

enum Stage {
    NotOpened,
    Reading,
    Ended,
}

pub struct DemoSource {
    lane: Lane,
    traffic: Box<dyn Lines>,
    next_offset: i64,
    line: Vec<u8>,
    stage: Stage,
}

impl DemoSource {
    pub fn new(name: &str, traffic: impl Lines + 'static) -> DemoSource {
        let traffic = Box::new(traffic);
        DemoSource { lane: Lane::new(name, 0), traffic, next_offset: 0, line: Vec::new(), stage: Stage::NotOpened }
    }

    fn read(&mut self) -> RawBatch {
        let mut records = RawBatch::new();
        while records.len() < BATCH_LINES {
            self.line.clear();
            if !self.traffic.next_line(&mut self.line) {
                break;
            }
            // The made-up gateway's clock is also ours: nothing here depends on when the demo runs.
            records.push(self.next_offset, self.traffic.completed_us(), self.line.trim_ascii_end());
            self.next_offset += 1;
        }
        records
    }
}

impl Source for DemoSource {
    fn next(&mut self, _timeout: Duration) -> Result<Option<Signal>, IngestError> {
        let lane = self.lane.clone();
        match self.stage {
            Stage::NotOpened => {
                self.stage = Stage::Reading;
                Ok(Some(Signal::Opened { lane }))
            }
            Stage::Reading => {
                let records = self.read();
                if records.is_empty() {
                    self.stage = Stage::Ended;
                    return Ok(Some(Signal::Ended { lane }));
                }
                Ok(Some(Signal::Records { lane, records }))
            }
            Stage::Ended => Ok(None),
        }
    }

    fn finished(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// One lane cannot be ahead of itself.
    fn pause(&mut self, _lanes: &[Lane]) -> Result<(), IngestError> {
        Ok(())
    }

    fn resume(&mut self, _lanes: &[Lane]) -> Result<(), IngestError> {
        Ok(())
    }
}
