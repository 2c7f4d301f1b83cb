//! Standard input, or any other stream, as a source: one lane, partition 0; the offset of a record is the number of its
//! line. Gzip and zstd are unpacked.
//!
//! Promises: waiting for input never holds the caller longer than it asked: a thread of its own reads ahead, a few chunks
//! at most, and stops when they are not taken. Lines are handed over as soon as nothing more has come.
//!
//! Never: can be read again; a restart continues only if the same input is given anew.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use schemas::Lane;

use super::batch::Filling;
use super::lines::{Lines, Pause};
use super::unpack::unpack;
use super::{Clock, IngestError, Positions, ReadLimits, Signal, Source};

/// Read at a time, and how many of them may wait.
const CHUNK_BYTES: usize = 256 << 10;
const CHUNKS_WAITING: usize = 8;

pub struct StdinSource {
    lane: Lane,
    lines: Lines<Arriving>,
    filling: Filling,
    clock: Clock,
    idle_after_us: i64,
    /// When the last record came, unless `CaughtUp` was said since.
    active_us: Option<i64>,
    paused: bool,
    state: State,
}

enum State {
    Opening,
    Reading,
    Damaged(IngestError),
    Ending,
    Ended,
}

impl StdinSource {
    /// Reads the standard input of the process.
    pub fn new(
        source_name: &str,
        limits: ReadLimits,
        idle_after: Duration,
        positions: Arc<dyn Positions>,
        clock: Clock,
    ) -> Result<StdinSource, IngestError> {
        StdinSource::from_reader(io::stdin(), source_name, limits, idle_after, positions, clock)
    }

    /// Reads any stream.
    pub fn from_reader<R: Read + Send + 'static>(
        stream: R,
        source_name: &str,
        limits: ReadLimits,
        idle_after: Duration,
        positions: Arc<dyn Positions>,
        clock: Clock,
    ) -> Result<StdinSource, IngestError> {
        let lane = Lane::new(source_name, 0);
        let from = positions
            .next_offset(&lane)
            .map_err(|error| failed(format!("cannot look up where to continue: {error:#}")))?;
        let (sender, receiver) = sync_channel(CHUNKS_WAITING);
        thread::Builder::new()
            .name("stdin".to_string())
            .spawn(move || read_ahead(stream, &sender))
            .map_err(|error| failed(format!("cannot start the reading thread: {error}")))?;
        let arriving = Arriving { receiver, chunk: Vec::new(), start: 0, wait: Duration::ZERO };
        Ok(StdinSource {
            lane,
            lines: Lines::new(arriving, CHUNK_BYTES, from.unwrap_or(0), &limits),
            filling: Filling::new(limits, clock.clone()),
            clock,
            idle_after_us: i64::try_from(idle_after.as_micros()).unwrap_or(i64::MAX),
            active_us: None,
            paused: false,
            state: State::Opening,
        })
    }

    fn read(&mut self, timeout: Duration) -> Option<Signal> {
        self.lines.reader_mut().wait = timeout;
        match self.lines.read(&mut self.filling) {
            Ok(Pause::Full | Pause::Quiet) => {}
            Ok(Pause::End) => self.state = State::Ending,
            Err(error) => {
                let line = self.lines.line();
                self.state = State::Damaged(failed(format!(
                    "{error}, in line {}; the {line} lines before it are kept",
                    line + 1
                )));
            }
        }
        if self.filling.is_empty() {
            return self.caught_up();
        }
        self.active_us = Some((self.clock)());
        Some(Signal::Records { lane: self.lane.clone(), records: self.filling.take() })
    }

    fn caught_up(&mut self) -> Option<Signal> {
        let active_us = self.active_us?;
        if ((self.clock)() - active_us).abs() < self.idle_after_us {
            return None;
        }
        self.active_us = None;
        Some(Signal::CaughtUp { lane: self.lane.clone() })
    }
}

fn failed(message: String) -> IngestError {
    IngestError::File { path: "standard input".to_string(), message }
}

impl Source for StdinSource {
    fn next(&mut self, timeout: Duration) -> Result<Option<Signal>, IngestError> {
        match std::mem::replace(&mut self.state, State::Reading) {
            State::Opening => {
                self.active_us = Some((self.clock)());
                Ok(Some(Signal::Opened { lane: self.lane.clone() }))
            }
            State::Reading if self.paused => Ok(None),
            State::Reading => Ok(self.read(timeout)),
            State::Damaged(error) => {
                self.state = State::Ending;
                Err(error)
            }
            State::Ending => {
                self.state = State::Ended;
                Ok(Some(Signal::Ended { lane: self.lane.clone() }))
            }
            State::Ended => {
                self.state = State::Ended;
                Ok(None)
            }
        }
    }

    fn finished(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.paused |= lanes.contains(&self.lane);
        Ok(())
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.paused &= !lanes.contains(&self.lane);
        Ok(())
    }

    /// What is damaged ends where the damage is.
    fn goes_on_after(&self, _error: &IngestError) -> bool {
        true
    }
}

/// Reads and unpacks until the end, an error, or until nobody takes the chunks any more. An empty chunk is the end.
fn read_ahead<R: Read + Send + 'static>(stream: R, sender: &SyncSender<io::Result<Vec<u8>>>) {
    let mut reader = match unpack(stream) {
        Ok(reader) => reader,
        Err(error) => {
            let _ = sender.send(Err(error));
            return;
        }
    };
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match reader.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Ok(bytes) => {
                chunk.truncate(bytes);
                Ok(chunk)
            }
            Err(error) => Err(error),
        };
        let more = matches!(&read, Ok(chunk) if !chunk.is_empty());
        if sender.send(read).is_err() || !more {
            return;
        }
    }
}

/// The chunks as a reader: waits at most `wait` for the first, then takes what is there.
struct Arriving {
    receiver: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    start: usize,
    wait: Duration,
}

impl Arriving {
    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let wait = std::mem::take(&mut self.wait);
        let received = if wait.is_zero() {
            self.receiver.try_recv().map_err(|error| error == TryRecvError::Empty)
        } else {
            self.receiver.recv_timeout(wait).map_err(|error| error == RecvTimeoutError::Timeout)
        };
        match received {
            Ok(chunk) => chunk,
            Err(true) => Err(ErrorKind::WouldBlock.into()),
            // The end is an empty chunk; without one the thread died.
            Err(false) => Err(io::Error::other("reading ended unexpectedly")),
        }
    }
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.chunk.len() {
            self.chunk = self.receive()?;
            self.start = 0;
        }
        let bytes = buffer.len().min(self.chunk.len() - self.start);
        buffer[..bytes].copy_from_slice(&self.chunk[self.start..self.start + bytes]);
        self.start += bytes;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
