//! The files of a spool: which there are, what of the last one was never finished, and reading them frame by frame.
//!
//! A segment is named after the number of its first record, and its numbers end where the next segment's begin: a frame
//! beyond that was never acknowledged (its disk failed, and writing went on in a new segment).
//!
//! Promises: what a crash left half-written at the end is cut; nobody was told that it was accepted. Damage anywhere
//! else is told with file and byte, and what follows is read.
//! Never: writes into a segment of an earlier run, or reads one that was sealed with another key.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::frame::{Cipher, Contents, HEAD_BYTES, HEADER_BYTES, Head, Header, SpoolKey, find};
use crate::ingest::IngestError;
use crate::ingest::shown::shown;

const ENDING: &str = "seg";
/// What a segment with damage is called when it is done with: it is kept for whoever wants to look.
const DAMAGED: &str = "damaged";

/// One file of a spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first record, and the one after its last.
    pub(super) first: u64,
    pub(super) next: u64,
    /// How much of it counts.
    pub(super) bytes: u64,
    pub(super) damaged: bool,
}

pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.{ENDING}"))
}

pub(super) fn failed(path: &Path, message: impl std::fmt::Display) -> IngestError {
    IngestError::File { path: shown(path).to_string(), message: message.to_string() }
}

/// The segments that an earlier run left, in order.
pub(super) fn recover(folder: &Path, key: &SpoolKey) -> Result<VecDeque<Segment>, IngestError> {
    let mut firsts = numbers(folder).map_err(|error| failed(folder, error))?;
    firsts.sort_unstable();
    let mut segments = VecDeque::new();
    for (index, first) in firsts.iter().enumerate() {
        let path = path(folder, *first);
        let next = firsts.get(index + 1).copied();
        let segment = recover_one(&path, *first, next, key).map_err(|error| failed(&path, error))?;
        segments.extend(segment);
    }
    Ok(segments)
}

fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|ending| ending == ENDING);
        numbers.extend(path.file_stem().filter(|_| is_segment).and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
    }
    Ok(numbers)
}

/// `None`: the file holds nothing that counts, and is out of the way.
fn recover_one(path: &Path, first: u64, next: Option<u64>, key: &SpoolKey) -> io::Result<Option<Segment>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let bytes = file.metadata()?.len();
    let header = read_up_to(&file, 0, HEADER_BYTES)?;
    if header.len() < HEADER_BYTES || header.iter().all(|byte| *byte == 0) {
        // The service ended as the file was made: it held no record yet.
        fs::remove_file(path)?;
        return Ok(None);
    }
    let Some(header) = Header::decode(&header).filter(|header| header.first == first) else {
        set_aside(path)?;
        tell_damage(path, 0, bytes);
        return Ok(None);
    };
    if header.key_id != key.id {
        return Err(io::Error::other(format!(
            "it was sealed with the key {}, and spool.key is {}; expected the key that sealed it: put it back, or move the \
             file away and lose what is in it",
            header.key_id, key.id
        )));
    }
    if let Some(next) = next {
        return Ok(Some(Segment { first, next, bytes, damaged: false }));
    }
    let Walked { next, end, torn } = walk(&file, first, bytes)?;
    if end < bytes && torn {
        file.set_len(end)?;
        file.sync_all()?;
        tracing::warn!(
            file = %shown(path), byte = end, cut = bytes - end,
            "the end was half-written when the service was ended; nobody was told that it was accepted, and it is cut off"
        );
    } else if end < bytes {
        tell_damage(path, end, bytes);
    }
    let segment = Segment { first, next, bytes: end, damaged: end < bytes && !torn };
    if next == first {
        // No record of it can be read, and its name is wanted for the next one.
        if segment.damaged {
            set_aside(path)?
        } else {
            fs::remove_file(path)?
        }
        return Ok(None);
    }
    Ok(Some(segment))
}

pub(super) fn tell_damage(path: &Path, from: u64, to: u64) {
    tracing::error!(
        file = %shown(path), byte = from, bytes = to - from,
        "the spool is damaged here: expected a sealed frame; its records are lost unless they were being written when the \
         machine stopped; what follows is read, and the file is kept beside the spool"
    );
}

/// What there is in the last segment.
struct Walked {
    /// The number after the last whole frame, and where that ends.
    next: u64,
    end: u64,
    /// What follows is the beginning of a frame, or was never written; else it is damage.
    torn: bool,
}

fn walk(file: &File, first: u64, bytes: u64) -> io::Result<Walked> {
    let mut walked = Walked { next: first, end: HEADER_BYTES as u64, torn: false };
    while walked.end < bytes {
        let at = walked.end;
        let whole = |head: &Head, at: u64| at + head.frame_bytes() <= bytes;
        let head = Head::decode(&read_up_to(file, at, HEAD_BYTES)?);
        if let Some(head) = head.filter(|head| whole(head, at)) {
            (walked.next, walked.end) = (walked.next.max(head.next()), at + head.frame_bytes());
            continue;
        }
        match find_from(file, at + 1, bytes)? {
            // Damage in the middle is told when it is read.
            Some((found, head)) if whole(&head, found) => walked.end = found,
            _ => {
                let rest = read_up_to(file, at, usize::try_from(bytes - at).unwrap_or(usize::MAX))?;
                walked.torn = head.is_some() || rest.len() < HEAD_BYTES || rest.iter().all(|byte| *byte == 0);
                break;
            }
        }
    }
    Ok(walked)
}

fn find_from(file: &File, from: u64, end: u64) -> io::Result<Option<(u64, Head)>> {
    let rest = read_up_to(file, from, usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX))?;
    Ok(find(&rest).and_then(|at| Some((from + at as u64, Head::decode(&rest[at..])?))))
}

/// The bytes at `at`, fewer where the file ends.
fn read_up_to(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let there = file.metadata()?.len().saturating_sub(at);
    let mut bytes = vec![0; length.min(usize::try_from(there).unwrap_or(usize::MAX))];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Removes a segment whose records are all in the lake; one with damage is set aside.
pub(super) fn remove(folder: &Path, segment: &Segment) -> io::Result<()> {
    let path = path(folder, segment.first);
    if segment.damaged { set_aside(&path) } else { fs::remove_file(path) }
}

fn set_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, path.with_extension(DAMAGED))
}

/// Reads a segment.
pub(super) struct Cursor {
    file: File,
    path: PathBuf,
    cipher: Cipher,
    pub(super) first: u64,
    at: u64,
}

/// What a cursor comes to.
pub(super) enum Step {
    Frame(Contents),
    /// These bytes could not be read, and were passed over.
    Damaged {
        from: u64,
        to: u64,
    },
    /// Nothing more, for now.
    End,
}

impl Cursor {
    pub(super) fn open(folder: &Path, first: u64, key: &SpoolKey, source: &str) -> Result<Cursor, IngestError> {
        let path = path(folder, first);
        let file = File::open(&path).map_err(|error| failed(&path, error))?;
        let header = read_up_to(&file, 0, HEADER_BYTES).map_err(|error| failed(&path, error))?;
        let header =
            Header::decode(&header).ok_or_else(|| failed(&path, "damaged at byte 0: no spool file begins so"))?;
        Ok(Cursor { file, path, cipher: Cipher::new(key, source, &header), first, at: HEADER_BYTES as u64 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next frame with records from `wanted` on, of what `segment` says counts.
    pub(super) fn next(&mut self, segment: &Segment, wanted: u64) -> Result<Step, IngestError> {
        self.step(segment, wanted).map_err(|error| failed(&self.path, format!("at byte {}: {error}", self.at)))
    }

    fn step(&mut self, segment: &Segment, wanted: u64) -> io::Result<Step> {
        while self.at < segment.bytes {
            let (at, left) = (self.at, segment.bytes - self.at);
            let head = Head::decode(&read_up_to(&self.file, at, HEAD_BYTES)?);
            let Some(head) = head.filter(|head| head.frame_bytes() <= left) else {
                let found = find_from(&self.file, at + 1, segment.bytes)?;
                self.at = found.map_or(segment.bytes, |(found, _)| found);
                return Ok(Step::Damaged { from: at, to: self.at });
            };
            self.at = at + head.frame_bytes();
            if head.first >= segment.next {
                self.at = segment.bytes;
                break;
            }
            if head.next() <= wanted {
                continue;
            }
            let sealed = read_up_to(&self.file, at + HEAD_BYTES as u64, head.sealed as usize)?;
            let Some(mut contents) = self.cipher.open(at, &head, sealed) else {
                return Ok(Step::Damaged { from: at, to: self.at });
            };
            contents.skip_to(wanted);
            return Ok(Step::Frame(contents));
        }
        Ok(Step::End)
    }
}
