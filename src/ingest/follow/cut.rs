//! Cuts the bytes of a followed file into records, each with the offset of its first byte, and puts together the lines that
//! a container runtime cut (`P` and `F` of the CRI format).
//!
//! Promises: reading on one byte behind a record's offset, with what is below that offset left out, gives the same
//! records. Memory is a chunk, one line and what is being put together, each within the record limit.
//! Never: gives out a line that has no end yet, but for `finish`; gives out empty lines.

use memchr::memchr;

use super::identity::{TAIL_BYTES, without_nuls};
use crate::ingest::ReadLimits;
use crate::ingest::batch::Filling;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Lines of one stream that wait while the other one's line is put together; more: it is given out as it is.
const WAITING_MAX: usize = 24;

pub struct Cutter {
    /// What was read from `base` on.
    buffer: Vec<u8>,
    base: u64,
    /// Where the next record begins, and how far its end was looked for.
    start: usize,
    looked: usize,
    /// Of a line over the limit: its offset, head and length so far.
    long: Option<Record>,
    parts: Parts,
    /// Records below this offset are left out.
    from: i64,
    record_bytes: usize,
    kept_bytes: usize,
}

struct Record {
    offset: i64,
    bytes: Vec<u8>,
    length: u64,
}

impl Cutter {
    /// For a lane that continues at `next`: 0, or one more than the offset of the last record.
    pub fn new(next: i64, limits: &ReadLimits) -> Cutter {
        let start = next.saturating_sub(1).max(0).unsigned_abs();
        let base = start.saturating_sub(TAIL_BYTES);
        let looked = (start - base) as usize;
        Cutter {
            buffer: Vec::new(),
            base,
            start: looked,
            looked,
            long: None,
            parts: Parts::default(),
            from: next,
            record_bytes: limits.record_bytes,
            kept_bytes: limits.kept_bytes,
        }
    }

    /// The offset of the next byte to read.
    pub fn end(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Reads at most `most` bytes behind those that are there.
    pub fn add<E>(&mut self, most: usize, read: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<usize, E> {
        self.forget();
        let had = self.buffer.len();
        self.buffer.resize(had + most, 0);
        let result = read(&mut self.buffer[had..]);
        self.buffer.truncate(had + *result.as_ref().unwrap_or(&0));
        result
    }

    /// The NULs at the end of the last bytes that were added.
    pub fn nuls(&self, bytes: usize) -> usize {
        bytes - without_nuls(&self.buffer[self.buffer.len() - bytes..])
    }

    /// Takes back the last bytes that were added.
    pub fn take_back(&mut self, bytes: usize) {
        self.buffer.truncate(self.buffer.len() - bytes);
    }

    /// What was given out goes, but for the bytes before the next record.
    fn forget(&mut self) {
        let gone = self.start.min(self.buffer.len()).saturating_sub(TAIL_BYTES as usize);
        if gone > 0 {
            self.buffer.drain(..gone);
            self.base += gone as u64;
            self.start -= gone;
            self.looked -= gone;
        }
    }

    /// Nothing more comes for now: the buffer needs no more than it holds.
    pub fn rest(&mut self) {
        self.forget();
        self.buffer.shrink_to(4096);
    }

    /// The first byte that is not cut yet, and the bytes before it.
    pub fn read(&self) -> (u64, &[u8]) {
        let start = self.start.min(self.buffer.len());
        (self.base + start as u64, &self.buffer[start.saturating_sub(TAIL_BYTES as usize)..start])
    }

    /// The last bytes that were added, at most those that are looked at before a position.
    pub fn last(&self) -> &[u8] {
        &self.buffer[self.buffer.len().saturating_sub(TAIL_BYTES as usize)..]
    }

    /// Whether a line has begun that has no end yet.
    pub fn is_within(&self) -> bool {
        self.start < self.buffer.len() || self.long.is_some() || self.parts.is_open()
    }

    /// Whether what has begun and has no end holds carriage returns, as if they were to end lines.
    pub fn has_returns(&self) -> bool {
        let text = self.long.as_ref().map_or(&self.buffer[self.start.min(self.buffer.len())..], |long| &long.bytes);
        // One at the end may be followed by its newline.
        memchr::memchr_iter(b'\r', &text[..text.len().saturating_sub(1)]).nth(1).is_some()
    }

    /// Gives out the lines that have an end; false when the sink is full before.
    pub fn cut(&mut self, sink: &mut Filling) -> bool {
        while self.start < self.buffer.len() {
            if sink.is_full() {
                return false;
            }
            if self.long.is_none() {
                let nuls = self.buffer[self.start..].iter().take_while(|byte| **byte == 0).count();
                self.start += nuls;
                if self.base + self.start as u64 == 0 && self.buffer.starts_with(BYTE_ORDER_MARK) {
                    self.start += BYTE_ORDER_MARK.len();
                }
                self.looked = self.looked.max(self.start);
            }
            match memchr(b'\n', &self.buffer[self.looked..]) {
                Some(length) => {
                    self.line(self.looked + length, sink);
                    self.start = self.looked + length + 1;
                    self.looked = self.start;
                }
                None => {
                    self.looked = self.buffer.len();
                    self.lengthen();
                    return true;
                }
            }
        }
        true
    }

    /// The file has ended for good: what stands there is the last line.
    pub fn finish(&mut self, sink: &mut Filling) {
        if self.start < self.buffer.len() || self.long.is_some() {
            self.line(self.buffer.len(), sink);
            self.start = self.buffer.len();
            self.looked = self.start;
        }
        let from = self.from;
        self.parts.give_up(&mut |record| give(record, from, sink));
    }

    /// Of a line over the limit only the head stays.
    fn lengthen(&mut self) {
        let rest = &self.buffer[self.start..];
        match &mut self.long {
            Some(long) => long.length += rest.len() as u64,
            None if rest.len() > self.record_bytes + 1 => {
                let offset = (self.base + self.start as u64) as i64;
                let bytes = rest[..self.kept_bytes.min(rest.len())].to_vec();
                self.long = Some(Record { offset, bytes, length: rest.len() as u64 });
            }
            None => return,
        }
        self.start = self.buffer.len();
    }

    /// A line that ends before `end` in the buffer.
    fn line(&mut self, end: usize, sink: &mut Filling) {
        let from = self.from;
        let mut out = |record: Record| give(record, from, sink);
        let line = &self.buffer[self.start..end];
        if let Some(mut long) = self.long.take() {
            long.length += line.len() as u64;
            self.parts.give_up(&mut out);
            return out(long);
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return;
        }
        let offset = (self.base + self.start as u64) as i64;
        match container_line(line) {
            Some(cri) if cri.partial || self.parts.is_open() => {
                self.parts.add(&cri, line, offset, self.record_bytes, self.kept_bytes, &mut out);
            }
            _ => {
                self.parts.give_up(&mut out);
                if offset >= from {
                    sink.push(offset, line, line.len() as u64);
                }
            }
        }
    }
}

fn give(record: Record, from: i64, sink: &mut Filling) {
    if record.offset >= from {
        sink.push(record.offset, &record.bytes, record.length);
    }
}

/// The prefix of a line that a container runtime wrote.
struct ContainerLine {
    /// 0 is standard output, 1 standard error.
    stream: usize,
    partial: bool,
    /// Where the flag stands, and where the text begins.
    flag: usize,
    text: usize,
}

/// `2026-01-24T01:34:36.743Z stdout P text`
fn container_line(line: &[u8]) -> Option<ContainerLine> {
    if line.get(4) != Some(&b'-') || line.get(10) != Some(&b'T') || !line[0].is_ascii_digit() {
        return None;
    }
    let time = memchr(b' ', &line[..line.len().min(40)])?;
    let rest = &line[time + 1..];
    let stream = if rest.starts_with(b"stdout ") { 0 } else { 1 };
    if stream == 1 && !rest.starts_with(b"stderr ") {
        return None;
    }
    let flag = time + 8;
    let partial = *line.get(flag)? == b'P';
    let known = partial || line[flag] == b'F';
    (known && line.get(flag + 1) == Some(&b' ')).then_some(ContainerLine { stream, partial, flag, text: flag + 2 })
}

/// Lines that are put together, by stream, and what came whole meanwhile.
#[derive(Default)]
struct Parts {
    open: [Option<Record>; 2],
    waiting: Vec<Record>,
}

impl Parts {
    fn is_open(&self) -> bool {
        self.open.iter().any(Option::is_some)
    }

    fn add(
        &mut self,
        cri: &ContainerLine,
        line: &[u8],
        offset: i64,
        record_bytes: usize,
        kept_bytes: usize,
        out: &mut dyn FnMut(Record),
    ) {
        let slot = &mut self.open[cri.stream];
        match slot {
            Some(record) => {
                let text = &line[cri.text..];
                record.length += text.len() as u64;
                if record.length <= record_bytes as u64 {
                    record.bytes.extend_from_slice(text);
                } else {
                    record.bytes.truncate(kept_bytes);
                }
            }
            None => {
                let mut bytes = line.to_vec();
                bytes[cri.flag] = b'F';
                *slot = Some(Record { offset, bytes, length: line.len() as u64 });
            }
        }
        if !cri.partial {
            self.waiting.extend(slot.take());
        }
        let bytes: usize = self.waiting.iter().map(|record| record.bytes.len()).sum();
        if !self.is_open() {
            self.give_out(offset, out);
        } else if self.waiting.len() >= WAITING_MAX || bytes > record_bytes {
            let open = self.open.iter_mut().filter_map(Option::take);
            self.waiting.extend(open);
            self.give_out(offset, out);
        }
    }

    /// Offsets rise, and reading again behind any of them leaves out what was given out: the first record has that of its
    /// first line, the others follow each other within the line that released them.
    fn give_out(&mut self, line: i64, out: &mut dyn FnMut(Record)) {
        self.waiting.sort_by_key(|record| record.offset);
        for (index, mut record) in self.waiting.drain(..).enumerate() {
            if index > 0 {
                record.offset = line + index as i64 - 1;
            }
            out(record);
        }
    }

    /// What is there is given out as it is.
    fn give_up(&mut self, out: &mut dyn FnMut(Record)) {
        if self.is_open() {
            self.waiting.extend(self.open.iter_mut().filter_map(Option::take));
            self.waiting.sort_by_key(|record| record.offset);
            // No line of its own released them; each keeps the offset of its first line, in order.
            self.waiting.drain(..).for_each(out);
        }
    }
}

#[cfg(test)]
mod tests;
