//! One open file being read: its bytes go to the cutter, and each chunk is checked to be of the file that was begun.
//!
//! Promises: no byte of a file that was cut or replaced in place is taken for the continuation of the one before. A packed
//! file gives everything before its damage.

use std::io::{self, ErrorKind, Read};

use super::cut::Cutter;
use super::identity::{Content, Head};
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
}

impl Tail {
    /// Reads on at position `next`.
    pub fn new(content: Content, next: i64, limits: &ReadLimits) -> Tail {
        Tail { content, cutter: Cutter::new(next, limits), unpacking: None }
    }

    /// Fills the batch. `head` is what the file has to begin with.
    pub fn read(&mut self, head: &Head, filling: &mut Filling) -> io::Result<Pause> {
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
        let before = self.cutter.last().to_vec();
        let bytes = self.cutter.add(CHUNK_BYTES, |buffer| content.read_at(buffer, at))?;
        let is_still = content.size() >= self.cutter.end()
            && head.begins(content)?
            && content.some(at - before.len() as u64, before.len())? == before;
        if !is_still {
            self.cutter.take_back(bytes);
            return Ok(Some(Pause::Replaced));
        }
        Ok((bytes == 0).then_some(Pause::End))
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
        if self.content.packed { 0 } else { self.content.size().saturating_sub(self.cutter.read().0) }
    }

    /// Whether the file has another length than what was read.
    pub fn has_moved(&self) -> bool {
        !self.content.packed && self.content.size() != self.cutter.end()
    }
}
