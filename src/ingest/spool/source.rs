//! A spool as a source: one lane, partition 0; the offset of a record is its number. Each record has the time at which
//! it came in.
//!
//! Promises: waiting never holds the caller longer than it asked, and ends as soon as a record is on disk. Damage is
//! logged with file and byte, the records in it are lost, and reading goes on behind it.
//! Never: hands over a record before its sender could be told that it is kept.

use std::thread::JoinHandle;
use std::time::Duration;

use schemas::{Lane, RawBatch};

use super::frame::Contents;
use super::segment::{self, Cursor, Step};
use super::{Spool, SpoolConfig, SpoolKey, State, Submission};
use crate::ingest::{Clock, IngestError, ReadLimits, Signal, Source};

pub struct SpoolSource {
    lane: Lane,
    spool: Spool,
    key: SpoolKey,
    limits: ReadLimits,
    clock: Clock,
    idle_after_us: i64,
    /// When the last record came, unless `CaughtUp` was said since.
    active_us: Option<i64>,
    opened: bool,
    paused: bool,
    cursor: Option<Cursor>,
    /// What is left of a frame that was opened.
    contents: Option<Contents>,
    /// The number of the next record.
    position: u64,
    writer: Option<JoinHandle<()>>,
}

impl SpoolSource {
    pub(super) fn new(
        spool: Spool,
        writer: JoinHandle<()>,
        config: SpoolConfig,
        lane: Lane,
        position: u64,
        limits: ReadLimits,
        clock: Clock,
    ) -> SpoolSource {
        SpoolSource {
            lane,
            spool,
            key: config.key,
            limits,
            clock,
            idle_after_us: i64::try_from(config.idle_after.as_micros()).unwrap_or(i64::MAX),
            active_us: None,
            opened: false,
            paused: false,
            cursor: None,
            contents: None,
            position,
            writer: Some(writer),
        }
    }

    /// What is on disk and not handed over yet, up to a batch; empty when there is none.
    fn batch(&mut self) -> Result<RawBatch, IngestError> {
        let mut batch = RawBatch::new();
        let mut bytes = 0;
        while batch.len() < self.limits.batch_records && bytes < self.limits.batch_bytes {
            let Some(record) = self.contents.as_mut().and_then(Contents::next) else {
                match self.load() {
                    Ok(true) => continue,
                    Ok(false) => break,
                    // What came before it is handed over first; it will be met again.
                    Err(_) if !batch.is_empty() => break,
                    Err(error) => return Err(error),
                }
            };
            // Numbers stay far below what an offset can hold: one for each nanosecond of three centuries.
            batch.push_cut(record.number.cast_signed(), record.observed_us, record.kept, record.length);
            bytes += record.kept.len();
            self.position = record.number + 1;
        }
        self.spool.shared.lock().position = self.position;
        Ok(batch)
    }

    /// Opens the next frame; false when there is none.
    fn load(&mut self) -> Result<bool, IngestError> {
        self.contents = None;
        loop {
            let segment = {
                let mut state = self.spool.shared.lock();
                state.position = self.position;
                state.unread()
            };
            let Some(segment) = segment else { return Ok(false) };
            if self.cursor.as_ref().is_none_or(|cursor| cursor.first != segment.first) {
                let cursor = Cursor::open(&self.spool.shared.folder, segment.first, &self.key, &self.lane.source)?;
                self.cursor = Some(cursor);
            }
            let cursor = self.cursor.as_mut().expect("just opened");
            match cursor.next(&segment, self.position)? {
                Step::Frame(contents) => {
                    self.contents = Some(contents);
                    return Ok(true);
                }
                Step::Damaged { from, to } => {
                    segment::tell_damage(cursor.path(), from, to);
                    self.spool.shared.lock().note_damage(segment.first);
                }
                // The segment says that it holds more records than it does: they were in what is damaged.
                Step::End => self.position = segment.next,
            }
        }
    }

    fn caught_up(&mut self) -> Option<Signal> {
        let active_us = self.active_us?;
        if ((self.clock)() - active_us).abs() < self.idle_after_us {
            return None;
        }
        self.active_us = None;
        Some(Signal::CaughtUp { lane: self.lane.clone() })
    }

    fn wait(&self, timeout: Duration) {
        let shared = &self.spool.shared;
        let nothing_new = |state: &mut State| state.next <= self.position || self.paused;
        let state = shared.lock();
        // Poisoned or not, what follows looks for itself.
        drop(shared.grown.wait_timeout_while(state, timeout, nothing_new));
    }
}

impl Source for SpoolSource {
    fn next(&mut self, timeout: Duration) -> Result<Option<Signal>, IngestError> {
        if !self.opened {
            self.opened = true;
            self.active_us = Some((self.clock)());
            return Ok(Some(Signal::Opened { lane: self.lane.clone() }));
        }
        self.wait(timeout);
        if self.paused {
            return Ok(None);
        }
        let records = self.batch()?;
        if records.is_empty() {
            return Ok(self.caught_up());
        }
        self.active_us = Some((self.clock)());
        self.spool.shared.tell();
        Ok(Some(Signal::Records { lane: self.lane.clone(), records }))
    }

    fn finished(&self) -> bool {
        false
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.paused |= lanes.contains(&self.lane);
        Ok(())
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.paused &= !lanes.contains(&self.lane);
        Ok(())
    }

    fn at_end(&self) -> Vec<Lane> {
        let ended = self.opened && !self.paused && self.spool.shared.lock().next <= self.position;
        ended.then(|| self.lane.clone()).into_iter().collect()
    }

    /// Removes the segments of which the lake has every record.
    fn committed(&mut self, positions: &[(Lane, i64)]) -> Result<(), IngestError> {
        let own = positions.iter().filter(|(lane, _)| *lane == self.lane);
        let Some(committed) = own.map(|(_, next)| next.unsigned_abs()).max() else { return Ok(()) };
        self.spool.shared.commit(committed);
        Ok(())
    }
}

impl Drop for SpoolSource {
    /// Everything that was queued is written and answered; then the writer's lock is free for who opens the spool next.
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        // Only where the writer is gone already does nobody take it.
        let _gone = self.spool.queue.blocking_send(Submission::Close).is_err();
        // A writer that panicked has nothing to write any more.
        let _panicked = writer.join().is_err();
    }
}
