//! By what a file is known: device and inode, its first bytes, and the bytes before a position.
//!
//! Promises: only hashes of bytes are kept. NULs before the first byte (a file that was cut while its writer went on behind)
//! do not count as first bytes, nor do those behind the last one (room that its writer made).

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::ingest::unpack::{FIRST_BYTES, is_packed, unpack, unreadable};

/// First bytes that are looked at, at most.
pub const HEAD_BYTES: usize = 1024;
/// Bytes before a position that are looked at.
pub const TAIL_BYTES: u64 = 256;
/// Of two plain files with the same first bytes so much is compared, before the end of the shorter one.
const COMPARED_BYTES: u64 = 1 << 20;
/// Read at a time while first bytes are looked for and contents are compared.
const STEP_BYTES: usize = 64 << 10;

/// Where a file lies on disk. Numbers come back once a file is deleted, so they alone say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    pub fn of(meta: &Metadata) -> FileId {
        FileId { device: meta.dev(), inode: meta.ino() }
    }
}

/// The first bytes that are not NUL: where they begin, how many there are, and their hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub at: u64,
    pub length: u64,
    pub hash: String,
}

impl Head {
    /// Of what the file holds now.
    pub fn of(content: &Content) -> io::Result<Head> {
        let Some(at) = content.first_byte()? else { return Ok(Head::default()) };
        let mut bytes = content.some(at, HEAD_BYTES)?;
        bytes.truncate(without_nuls(&bytes));
        Ok(Head { at, length: bytes.len() as u64, hash: hash(&bytes) })
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// It will not grow any more.
    pub fn is_whole(&self) -> bool {
        self.length == HEAD_BYTES as u64
    }

    /// Whether the content begins with these bytes.
    pub fn begins(&self, content: &Content) -> io::Result<bool> {
        if self.is_empty() {
            return Ok(true);
        }
        // What stands before them is NULs, then as now.
        if self.at > 0 && content.some(self.at - 1, 1)? != [0] {
            return Ok(false);
        }
        let bytes = content.some(self.at, self.length as usize)?;
        Ok(bytes.len() as u64 == self.length && hash(&bytes) == self.hash)
    }
}

/// How far a lane is: the next position, and what stands before the end of what was read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub next: i64,
    /// The first byte that was not read,
    pub end: u64,
    /// and the hash of the bytes before it.
    pub tail: String,
}

/// What a content says to a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Same,
    Other,
    /// It ends before the mark.
    Short,
}

impl Mark {
    /// What stands before byte `end` of a content.
    pub fn at(content: &Content, end: u64) -> io::Result<Mark> {
        let from = end.saturating_sub(TAIL_BYTES);
        Ok(Mark { next: 0, end, tail: hash(&content.some(from, (end - from) as usize)?) })
    }

    pub fn fits(&self, content: &Content) -> io::Result<Fit> {
        if self.end == 0 {
            return Ok(Fit::Same);
        }
        let from = self.end.saturating_sub(TAIL_BYTES);
        let bytes = content.some(from, (self.end - from) as usize)?;
        if (bytes.len() as u64) < self.end - from {
            return Ok(Fit::Short);
        }
        Ok(if hash(&bytes) == self.tail { Fit::Same } else { Fit::Other })
    }
}

/// What a content is to another one with the same first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// It holds nothing that the other one does not.
    Within,
    /// It holds all of the other one, and more. The lines before this byte are in both.
    Beyond(u64),
    Other,
}

pub fn hash(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a file holds, unpacked when it is packed.
#[derive(Clone)]
pub struct Content {
    file: Arc<File>,
    pub packed: bool,
}

impl Content {
    /// An error for packings that cannot be read.
    pub fn new(file: File) -> io::Result<Content> {
        let mut first = [0; FIRST_BYTES];
        let bytes = file.read_at(&mut first, 0)?;
        unreadable(&first[..bytes])?;
        Ok(Content { packed: is_packed(&first[..bytes]), file: Arc::new(file) })
    }

    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }

    /// Reads plain bytes from here.
    pub fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// The unpacked bytes from the beginning.
    pub fn unpacked(&self) -> io::Result<Box<dyn Read + Send>> {
        unpack(At { file: self.file.clone(), at: 0 })
    }

    /// Compares with another one that is being read.
    pub fn against(&self, other: &Content) -> io::Result<Against> {
        let both_plain = !self.packed && !other.packed;
        let from = if both_plain { self.size().min(other.size()).saturating_sub(COMPARED_BYTES) } else { 0 };
        let (Some(mut own), Some(mut others)) = (self.reader(from), other.reader(from)) else {
            return Ok(Against::Other);
        };
        let (mut left, mut right) = (vec![0; STEP_BYTES], vec![0; STEP_BYTES]);
        let (mut at, mut line) = (from, 0);
        loop {
            // Ours first: what the other one gains meanwhile is no matter.
            let (ours, theirs) = (fill(&mut own, &mut left), fill(&mut others, &mut right));
            let both = ours.min(theirs);
            if left[..both] != right[..both] {
                return Ok(Against::Other);
            }
            if let Some(index) = memchr::memrchr(b'\n', &left[..both]) {
                line = at + index as u64 + 1;
            }
            at += both as u64;
            if both < STEP_BYTES {
                return Ok(if ours == both { Against::Within } else { Against::Beyond(line) });
            }
        }
    }

    /// Reads from a plain byte on, or a packed file from its beginning; none when it cannot be unpacked at all.
    fn reader(&self, from: u64) -> Option<Box<dyn Read + Send>> {
        match self.packed {
            true => self.unpacked().ok(),
            false => Some(Box::new(At { file: self.file.clone(), at: from })),
        }
    }

    /// At most `most` bytes from `at` on. Of a packed file that is damaged or not yet whole, those before its end.
    pub fn some(&self, at: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let mut filled = 0;
        if !self.packed {
            while filled < most {
                match self.read_at(&mut bytes[filled..], at + filled as u64)? {
                    0 => break,
                    more => filled += more,
                }
            }
            bytes.truncate(filled);
            return Ok(bytes);
        }
        let Ok(mut reader) = self.unpacked() else { return Ok(Vec::new()) };
        if io::copy(&mut reader.by_ref().take(at), &mut io::sink()).is_ok_and(|skipped| skipped == at) {
            filled = fill(&mut reader, &mut bytes);
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Packed data that can be unpacked to its end: nobody is packing it any more.
    pub fn is_whole(&self) -> bool {
        self.packed && self.unpacked().is_ok_and(|mut reader| io::copy(&mut reader, &mut io::sink()).is_ok())
    }

    /// Where the room begins that the writer of a plain file made behind what it wrote: NULs up to the end.
    pub fn end_of_text(&self) -> io::Result<u64> {
        let mut end = self.size();
        while end > 0 {
            let from = end.saturating_sub(STEP_BYTES as u64);
            let bytes = self.some(from, (end - from) as usize)?;
            match without_nuls(&bytes) {
                0 => end = from,
                length => return Ok(from + length as u64),
            }
        }
        Ok(0)
    }

    /// Where the first byte stands that is not NUL.
    fn first_byte(&self) -> io::Result<Option<u64>> {
        // Of packed data that is damaged or not yet whole, what comes before its end.
        let Some(mut reader) = self.reader(0) else { return Ok(None) };
        let (mut at, mut buffer) = (0, vec![0; STEP_BYTES]);
        loop {
            let bytes = match reader.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) if self.packed => return Ok(None),
                read => read?,
            };
            if bytes == 0 {
                return Ok(None);
            }
            if let Some(index) = buffer[..bytes].iter().position(|byte| *byte != 0) {
                return Ok(Some(at + index as u64));
            }
            at += bytes as u64;
        }
    }
}

/// The length without the NULs at the end. Looks at many at once: a hole may be long.
pub fn without_nuls(bytes: &[u8]) -> usize {
    static NULS: [u8; 4096] = [0; 4096];
    let mut end = bytes.len();
    while end > 0 {
        let from = end.saturating_sub(NULS.len());
        if bytes[from..end] != NULS[..end - from] {
            let last = bytes[from..end].iter().rposition(|byte| *byte != 0);
            return last.map_or(from, |last| from + last + 1);
        }
        end = from;
    }
    0
}

/// Fills the buffer as far as there is something; what is damaged ends there.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> usize {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(more) if more > 0 => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => break,
        }
    }
    filled
}

/// Reads a file from a place of its own, whoever else reads it.
struct At {
    file: Arc<File>,
    at: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(buffer, self.at)?;
        self.at += bytes as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn content(bytes: &[u8]) -> Content {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        Content::new(file).expect("readable")
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("a vector takes all");
        encoder.finish().expect("a vector takes all")
    }

    #[test]
    fn a_head_is_that_of_the_content_however_it_is_packed() {
        let text = b"one line\n".repeat(500);
        let head = Head::of(&content(&text)).expect("read");
        assert_eq!((head.at, head.length, head.is_whole()), (0, 1024, true));
        assert_eq!(Head::of(&content(&gzip(&text))).expect("read"), head);
        assert!(head.begins(&content(&[&text[..], b"more"].concat())).expect("read"));
        assert!(!head.begins(&content(&text[..1000])).expect("read"), "shorter than the head");
        assert!(!head.begins(&content(b"another\n")).expect("read"));
    }

    #[test]
    fn leading_nuls_are_no_first_bytes_but_tell_files_apart() {
        let cut = content(&[&[0; 100_000][..], b"line\n"].concat());
        let head = Head::of(&cut).expect("read");
        assert_eq!((head.at, head.length), (100_000, 5));
        assert!(head.begins(&cut).expect("read"));
        assert!(!Head::of(&content(b"line\n")).expect("read").begins(&cut).expect("read"));
        assert!(Head::of(&content(&[0; 50])).expect("read").is_empty());
        let packed = content(&gzip(&[&[0; 100_000][..], b"line\n"].concat()));
        assert_eq!(Head::of(&packed).expect("read"), head, "packed or not");
        assert!(head.begins(&packed).expect("read"));
    }

    #[test]
    fn room_behind_the_text_is_no_text() {
        let room = content(&[&b"one\0two\n"[..], &[0; 100_000]].concat());
        let head = Head::of(&room).expect("read");
        assert_eq!((head.at, head.length, room.end_of_text().expect("read")), (0, 8, 8));
        assert_eq!(content(&[0; 70_000]).end_of_text().expect("read"), 0);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (first, word) in [
            (&b"\xFD7zXZ\0\0\x04"[..], "xz"),
            (b"BZh91AY", "bzip2"),
            (b"PK\x03\x04..", "zip"),
            (b"\xFF\xFEl\0", "UTF-16"),
        ] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(first).expect("written");
            let error = Content::new(file).err().expect(word);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn contents_are_compared_as_far_as_both_go() {
        let text: Vec<u8> = (0..200_000).flat_map(|n: u32| format!("line {n:06}\n").into_bytes()).collect();
        let longer = [&text[..], b"part of a line"].concat();
        let mut other = text.clone();
        other[text.len() - 500] = b'x';
        let pack = |bytes: &[u8], packed: bool| content(&if packed { gzip(bytes) } else { bytes.to_vec() });
        for (a, b) in [(false, false), (true, false), (false, true), (true, true)] {
            let said = |own: &[u8], others: &[u8]| pack(own, a).against(&pack(others, b)).expect("read");
            assert_eq!(said(&text, &text), Against::Within);
            assert_eq!(said(&text[..777], &text), Against::Within);
            assert_eq!(said(&text, &longer), Against::Within);
            assert_eq!(said(&longer, &text), Against::Beyond(text.len() as u64));
            assert_eq!(said(&text, &longer[..1205]), Against::Beyond(1200), "the line that is cut is not in both");
            assert_eq!(said(&other, &text), Against::Other);
        }
    }

    #[test]
    fn a_mark_fits_the_content_it_was_made_of() {
        let text = b"0123456789\n".repeat(100);
        let mark = Mark { next: 1090, end: 1100, tail: hash(&text[844..1100]) };
        for bytes in [text.clone(), gzip(&text)] {
            assert_eq!(mark.fits(&content(&bytes)).expect("read"), Fit::Same);
        }
        assert_eq!(mark.fits(&content(&text[..1099])).expect("read"), Fit::Short);
        assert_eq!(mark.fits(&content(&b"9876543210\n".repeat(100))).expect("read"), Fit::Other);
    }
}
