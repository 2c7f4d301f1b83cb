//! Log files as a source: plain, gzip (also of several members) or zstd (also of several frames), told apart by their
//! first bytes and not by their names. Several files are several lanes of one source, numbered in the order given; the
//! offset of a record is the number of its line, from 0.
//!
//! Promises: every file is opened and looked at before the first record is read, so a missing or unsuitable one is found
//! at once. Files take turns, a batch each. What is readable before damage is handed over, then the damage is reported
//! with file, line and byte.
//!
//! Never: holds more of a file than one chunk, one batch and the decompressor's window.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use schemas::{Lane, RawBatch};

use super::batch::Filling;
use super::follow::find::{self, not_a_file};
use super::lines::{Lines, Pause};
use super::shown::shown;
use super::unpack::unpack;
use super::{Clock, IngestError, Positions, ReadLimits, Signal, Source};

/// More would exhaust file handles and chunk memory; they can be joined (`cat a b | gatewatch replay -`).
const FILES_MAX: usize = 512;
/// Read at a time from one file, when they are few.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks of all files together.
const CHUNKS_BYTES_MAX: usize = 128 << 20;
/// What `identity` looks at, at most.
const IDENTITY_BYTES: u64 = 64 << 10;

pub struct FileSource {
    files: Vec<OpenFile>,
    signals: VecDeque<Signal>,
    /// Whose turn it is.
    turn: usize,
    progress: Progress,
}

impl FileSource {
    /// Opens `paths` in this order as lanes 0, 1, ... of `source_name`; each continues at the position it has.
    pub fn new<P: AsRef<Path>>(
        paths: &[P],
        source_name: &str,
        limits: ReadLimits,
        positions: Arc<dyn Positions>,
        clock: Clock,
    ) -> Result<FileSource, IngestError> {
        if paths.len() > FILES_MAX {
            let message = format!("{} files; at most {FILES_MAX} can be read together", paths.len());
            return Err(IngestError::File { path: source_name.to_string(), message });
        }
        let progress = Progress::default();
        let chunk_bytes = (CHUNKS_BYTES_MAX / paths.len().max(1)).min(CHUNK_BYTES);
        let mut files = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            let lane = Lane::new(source_name, index as i32);
            let from = position(path.as_ref(), &lane, positions.as_ref())?;
            let (reader, read) = open(path.as_ref(), &progress)?;
            let state = State::Reading(Lines::new(reader, chunk_bytes, from, &limits));
            let filling = Filling::new(limits.clone(), clock.clone());
            files.push(OpenFile { path: path.as_ref().into(), lane, state, read, filling, paused: false });
        }
        let signals = files.iter().map(|file| Signal::Opened { lane: file.lane.clone() }).collect();
        Ok(FileSource { files, signals, turn: 0, progress })
    }

    /// How far reading has come; stays valid when the source is handed on.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The next file that may be read.
    fn take_turn(&mut self) -> Option<usize> {
        let count = self.files.len();
        let index = (0..count).map(|step| (self.turn + step) % count).find(|index| self.files[*index].is_readable())?;
        self.turn = index + 1;
        Some(index)
    }

    fn set_paused(&mut self, lanes: &[Lane], paused: bool) {
        for file in self.files.iter_mut().filter(|file| lanes.contains(&file.lane)) {
            file.paused = paused;
        }
    }
}

impl Source for FileSource {
    /// Reading a file does not wait, so `timeout` is not used: `None` comes at once, when every lane is paused or has
    /// ended, or when a long stretch below the position was read over.
    fn next(&mut self, _timeout: Duration) -> Result<Option<Signal>, IngestError> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(Some(signal));
        }
        match self.take_turn() {
            Some(index) => self.files[index].next(),
            None => Ok(None),
        }
    }

    fn finished(&self) -> bool {
        self.signals.is_empty() && self.files.iter().all(OpenFile::has_ended)
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.set_paused(lanes, true);
        Ok(())
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.set_paused(lanes, false);
        Ok(())
    }

    /// A damaged file ends where the damage is.
    fn goes_on_after(&self, _error: &IngestError) -> bool {
        true
    }
}

/// Bytes read of the files as they are on disk, and how many there are.
#[derive(Clone, Default)]
pub struct Progress {
    read: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
}

impl Progress {
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub fn total_bytes(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

struct OpenFile {
    path: PathBuf,
    lane: Lane,
    state: State,
    read: Arc<AtomicU64>,
    filling: Filling,
    paused: bool,
}

enum State {
    Reading(Lines<Box<dyn Read + Send>>),
    /// Damage was met; it is reported once what came before it was handed over.
    Damaged(IngestError),
    Ending,
    Ended,
}

impl OpenFile {
    fn is_readable(&self) -> bool {
        !self.paused && !self.has_ended()
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    fn next(&mut self) -> Result<Option<Signal>, IngestError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Reading(lines) => self.read(lines),
            State::Damaged(error) => {
                self.state = State::Ending;
                Err(error)
            }
            State::Ending => Ok(Some(Signal::Ended { lane: self.lane.clone() })),
            State::Ended => Ok(None),
        }
    }

    fn read(&mut self, mut lines: Lines<Box<dyn Read + Send>>) -> Result<Option<Signal>, IngestError> {
        let read = lines.read(&mut self.filling);
        let packed_bytes = self.read.load(Ordering::Relaxed);
        self.state = match read {
            Ok(Pause::Full | Pause::Quiet) => State::Reading(lines),
            Ok(Pause::End) if lines.is_short() => State::Damaged(replaced(&self.path, lines.line())),
            Ok(Pause::End) => {
                if packed_bytes == 0 {
                    tracing::warn!(file = %shown(&self.path), "the file is empty: no records");
                }
                State::Ending
            }
            Err(error) => State::Damaged(damage(&self.path, lines.line(), packed_bytes, &error)),
        };
        match (self.filling.is_empty(), &self.state) {
            (false, _) => Ok(Some(Signal::Records { lane: self.lane.clone(), records: self.filling.take() })),
            (true, State::Reading(_)) => Ok(None),
            (true, _) => self.next(),
        }
    }
}

/// Lines are counted from 1 for people.
fn damage(path: &Path, line: i64, byte: u64, error: &io::Error) -> IngestError {
    let message =
        format!("{error}, in line {} near byte {byte} of the file; the {line} lines before it are kept", line + 1);
    IngestError::File { path: shown(path).to_string(), message }
}

/// The file is shorter than what was read of it before.
fn replaced(path: &Path, lines: i64) -> IngestError {
    let message = format!(
        "it has {lines} lines, fewer than were read of it before: it was rotated or replaced. `follow: true` reads files that \
         are rotated; `gatewatch replay` reads a copy of it under another name"
    );
    IngestError::File { path: shown(path).to_string(), message }
}

fn position(path: &Path, lane: &Lane, positions: &dyn Positions) -> Result<i64, IngestError> {
    let position = positions.next_offset(lane).map_err(|error| {
        let message = format!("cannot look up where to continue: {error:#}");
        IngestError::File { path: shown(path).to_string(), message }
    })?;
    Ok(position.unwrap_or(0))
}

/// The first records of a file; none of an empty one.
pub fn head(path: &Path) -> Result<Option<RawBatch>, IngestError> {
    struct Start;
    impl Positions for Start {
        fn next_offset(&self, _lane: &Lane) -> anyhow::Result<Option<i64>> {
            Ok(None)
        }
    }
    let mut source = FileSource::new(&[path], "head", ReadLimits::default(), Arc::new(Start), crate::clock::system())?;
    while !source.finished() {
        if let Some(Signal::Records { records, .. }) = source.next(Duration::ZERO)? {
            return Ok(Some(records));
        }
    }
    Ok(None)
}

/// When a file was last written, in microseconds since 1970.
pub fn written_us(path: &Path) -> Option<i64> {
    let written = fs::metadata(path).ok()?.modified().ok()?;
    i64::try_from(written.duration_since(std::time::UNIX_EPOCH).ok()?.as_micros()).ok()
}

/// The content of a file, unpacked, for whoever has no positions in it.
pub fn unpacked(path: &Path) -> Result<Box<dyn Read + Send>, IngestError> {
    open(path, &Progress::default()).map(|(reader, _)| reader)
}

/// Opens a file and unpacks it. Also gives the count of bytes read of it.
fn open(path: &Path, progress: &Progress) -> Result<(Box<dyn Read + Send>, Arc<AtomicU64>), IngestError> {
    let failed = |message: String| IngestError::File { path: shown(path).to_string(), message };
    // One that is no file is not opened: opening a FIFO would wait for its writer.
    let metadata = fs::metadata(path).map_err(|error| failed(explain(&error)))?;
    if let Some(why) = not_a_file(&metadata.file_type()) {
        return Err(failed(why.into()));
    }
    let file = find::open(path).map_err(|error| failed(explain(&error)))?;
    progress.total.fetch_add(metadata.len(), Ordering::Relaxed);
    let read = Arc::new(AtomicU64::new(0));
    let counted = Counted { file, read: read.clone(), all: progress.read.clone() };
    let reader = unpack(counted).map_err(|error| failed(explain(&error)))?;
    Ok((reader, read))
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_string(),
        ErrorKind::PermissionDenied => "permission denied: this user may not read it".to_string(),
        _ => error.to_string(),
    }
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
    all: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        self.all.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// A name by which a file is known again: a hash of its canonical path and its first line (unpacked, without its line
/// ending, at most 64 KiB of it), so that a rotated log is another file under the same name, and a log that grew is the
/// same. A file of one line that is still being written changes its identity until that line is complete.
pub fn identity(path: &Path) -> Result<String, IngestError> {
    let failed = |error: io::Error| IngestError::File { path: shown(path).to_string(), message: explain(&error) };
    let (reader, _) = open(path, &Progress::default())?;
    let mut first = Vec::new();
    BufReader::new(reader.take(IDENTITY_BYTES)).read_until(b'\n', &mut first).map_err(failed)?;
    while first.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        first.pop();
    }
    let canonical = fs::canonicalize(path).map_err(failed)?;
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(canonical.as_os_str().as_encoded_bytes());
    hash.update(b"\0");
    hash.update(&first);
    Ok(hash.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
