//! One open file being read: its bytes go to the cutter, and each chunk is checked to be of the file that was begun.
//!
//! Promises: no byte of a file that was cut or replaced in place is taken for the continuation of the one before. A packed
//! file gives everything before its damage. NULs up to the end of a file are room that its writer made: they are not read
//! before something stands behind them.

use std::io::{self, ErrorKind, Read};

use super::cut::Cutter;
use super::identity::{Content, Head, without_nuls};
use crate::ingest::ReadLimits;
use crate::ingest::batch::Filling;

/// Read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// A call comes back after so many chunks.
const CHUNKS_PER_CALL: usize = 32;

/// Why reading came back.
#[derive(Debug)]
pub enum Pause {
    /// There may be more.
    More,
    /// Nothing more for now; of a packed file, for good.
    End,
    /// The file was cut, or another one stands in its place.
    Replaced,
    /// Packed data that is damaged or not whole yet.
    Damaged(io::Error),
}

pub struct Tail {
    pub content: Content,
    pub cutter: Cutter,
    unpacking: Option<Box<dyn Read + Send>>,
    blank: Blank,
    /// The length of the file when nothing more could be read of it, also because that failed.
    ended_at: Option<u64>,
}

/// What is known of the NULs behind what was read: a hole with text behind it, or room up to the end of the file.
#[derive(Default)]
struct Blank {
    /// Where they begin, and how far they were looked through.
    from: u64,
    to: u64,
    /// Behind a byte that is not NUL.
    text: u64,
    /// The length of the file up to whose end there was nothing else.
    whole: Option<u64>,
}

impl Tail {
    /// Reads on at position `next`.
    pub fn new(content: Content, next: i64, limits: &ReadLimits) -> Tail {
        let cutter = Cutter::new(next, limits);
        Tail { content, cutter, unpacking: None, blank: Blank::default(), ended_at: None }
    }

    /// Fills the batch. `head` is what the file has to begin with.
    pub fn read(&mut self, head: &Head, filling: &mut Filling) -> io::Result<Pause> {
        // Before the reading: what comes meanwhile is news.
        let size = self.content.size();
        let pause = self.read_on(head, filling);
        self.ended_at = matches!(pause, Ok(Pause::End) | Err(_)).then_some(size);
        pause
    }

    fn read_on(&mut self, head: &Head, filling: &mut Filling) -> io::Result<Pause> {
        for _ in 0..CHUNKS_PER_CALL {
            if !self.cutter.cut(filling) {
                return Ok(Pause::More);
            }
            let pause = if self.content.packed { self.unpack() } else { self.read_plain(head)? };
            if let Some(pause) = pause {
                return Ok(pause);
            }
        }
        self.cutter.cut(filling);
        Ok(Pause::More)
    }

    fn read_plain(&mut self, head: &Head) -> io::Result<Option<Pause>> {
        let (at, content) = (self.cutter.end(), &self.content);
        let (before, size) = (self.cutter.last().to_vec(), content.size());
        let bytes = self.cutter.add(CHUNK_BYTES, |buffer| content.read_at(buffer, at))?;
        let is_still = content.size() >= self.cutter.end()
            && head.begins(content)?
            && content.some(at - before.len() as u64, before.len())? == before;
        if !is_still {
            self.cutter.take_back(bytes);
            return Ok(Some(Pause::Replaced));
        }
        let nuls = self.cutter.nuls(bytes);
        if nuls == 0 || self.cutter.end() <= self.blank.text {
            return Ok((bytes == 0).then_some(Pause::End));
        }
        self.cutter.take_back(nuls);
        let is_whole = nuls == bytes && self.blank.look(content, at, at + bytes as u64, size)?;
        Ok(is_whole.then_some(Pause::End))
    }

    fn unpack(&mut self) -> Option<Pause> {
        match self.unpack_chunk() {
            Ok(0) => Some(Pause::End),
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::Interrupted => None,
            Err(error) => {
                // It may be whole later; then it is unpacked anew up to here.
                self.unpacking = None;
                Some(Pause::Damaged(error))
            }
        }
    }

    fn unpack_chunk(&mut self) -> io::Result<usize> {
        if self.unpacking.is_none() {
            let mut reader = self.content.unpacked()?;
            let at = self.cutter.end();
            let skipped = io::copy(&mut reader.by_ref().take(at), &mut io::sink())?;
            if skipped < at {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "it is shorter than what was read of it"));
            }
            self.unpacking = Some(reader);
        }
        let Some(reader) = &mut self.unpacking else { return Ok(0) };
        self.cutter.add(CHUNK_BYTES, |buffer| reader.read(buffer))
    }

    /// Bytes that are no records yet: not read, or of a line without its end. Unknown of a packed file.
    pub fn left(&self) -> u64 {
        let end = if self.has_moved() { self.content.size() } else { self.cutter.end() };
        if self.content.packed { 0 } else { end.saturating_sub(self.cutter.read().0) }
    }

    /// Whether the file has another length than what was read.
    pub fn has_moved(&self) -> bool {
        let size = self.content.size();
        !self.content.packed && size != self.cutter.end() && self.blank.whole != Some(size)
    }

    /// Whether that is news: some files never give as much as their length says, and some that much only later.
    pub fn has_news(&self) -> bool {
        self.has_moved() && self.ended_at != Some(self.content.size())
    }
}

impl Blank {
    /// Looks on through the NULs that begin at `from`, of which those before `to` were read: a chunk for each call. True when
    /// they go to the end of a file of this length.
    fn look(&mut self, content: &Content, from: u64, to: u64, size: u64) -> io::Result<bool> {
        let known = self.from <= from && from <= self.to;
        (self.from, self.to) = (from, if known { self.to.max(to) } else { to });
        // Their room is filled from its beginning on: as long as it has its length, what is behind need not be looked at again.
        if known && self.whole == Some(size) {
            return Ok(true);
        }
        let bytes = content.some(self.to, CHUNK_BYTES)?;
        match without_nuls(&bytes) {
            0 => {}
            length => self.text = self.to + length as u64,
        }
        self.to += bytes.len() as u64;
        self.whole = bytes.is_empty().then_some(size);
        Ok(bytes.is_empty())
    }
}
