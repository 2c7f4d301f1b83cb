//! Cuts a stream of bytes into lines, each with its number from 0.
//!
//! Promises: memory is one chunk and one line of at most the record limit, however long a line is: of a longer one only
//! its head and its length are kept. `\n` and `\r\n` end a line, and so does the end of the input. A byte order mark
//! before the first line is not part of it. An input without any `\n` that is within the record limit has the lines that `\r`
//! ends. One empty line at the very end is not a line; any other empty line is.
//!
//! Never: looks inside a line, or gives out a line that an error cut short.

use std::io::{self, ErrorKind, Read};

use memchr::memchr;

use super::ReadLimits;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Where the lines of one call go.
pub trait LineSink {
    /// `kept` is the line, or the head of one that had `length` bytes.
    fn line(&mut self, number: i64, kept: &[u8], length: u64);
    fn full(&self) -> bool;
}

/// Why `Lines::read` came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The sink is full.
    Full,
    /// The reader has nothing at the moment (`WouldBlock`), or a good deal was read and skipped.
    Quiet,
    /// The input has ended.
    End,
}

/// A call comes back after this many chunks' worth of bytes, so that a long skip does not hold its caller.
const CHUNKS_PER_CALL: usize = 64;

pub struct Lines<R> {
    reader: R,
    chunk: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
    head: Head,
    numbering: Numbering,
}

impl<R: Read> Lines<R> {
    /// `from`: lines below this number are read over.
    pub fn new(reader: R, chunk_bytes: usize, from: i64, limits: &ReadLimits) -> Lines<R> {
        let head = Head { record_bytes: limits.record_bytes, kept_bytes: limits.kept_bytes, ..Head::default() };
        let numbering = Numbering {
            from,
            next: 0,
            blank: false,
            record_bytes: limits.record_bytes as u64,
            kept_bytes: limits.kept_bytes,
        };
        Lines { reader, chunk: vec![0; chunk_bytes.max(1)], start: 0, end: 0, ended: false, head, numbering }
    }

    /// Gives lines to the sink until it is full, the reader has nothing more for now, or the input has ended. After an
    /// error the sink holds every complete line before it.
    pub fn read<S: LineSink>(&mut self, sink: &mut S) -> io::Result<Pause> {
        let mut bytes_left = (self.chunk.len() * CHUNKS_PER_CALL) as isize;
        loop {
            if !self.cut(sink) {
                return Ok(Pause::Full);
            }
            if self.ended {
                if self.numbering.next == 0 && memchr(b'\r', &self.head.bytes).is_some() && self.head.is_whole() {
                    return Ok(self.cut_at_returns(sink));
                }
                self.head.finish(&mut self.numbering, sink);
                return Ok(Pause::End);
            }
            if bytes_left <= 0 {
                return Ok(Pause::Quiet);
            }
            match self.reader.read(&mut self.chunk) {
                Ok(bytes) => {
                    (self.start, self.end, self.ended) = (0, bytes, bytes == 0);
                    bytes_left -= bytes as isize;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Pause::Quiet),
                Err(error) => return Err(error),
            }
        }
    }

    /// The input was one line, with carriage returns in it: those end its lines. Were they told apart line by line, a client
    /// that can write one into a log could make lines of its own.
    fn cut_at_returns<S: LineSink>(&mut self, sink: &mut S) -> Pause {
        let whole = std::mem::take(&mut self.head).bytes;
        for line in whole.split_inclusive(|byte| *byte == b'\r') {
            self.numbering.give(line, line.len() as u64, line.last().copied(), sink);
        }
        Pause::End
    }

    /// The number of the line being read.
    pub fn line(&self) -> i64 {
        self.numbering.next
    }

    /// Whether there are fewer lines so far than are to be read over.
    pub fn is_short(&self) -> bool {
        self.numbering.next < self.numbering.from
    }

    pub fn reader_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Gives out the lines of the chunk; false when the sink is full before the chunk is used up.
    fn cut<S: LineSink>(&mut self, sink: &mut S) -> bool {
        while self.start < self.end {
            if sink.full() {
                return false;
            }
            let rest = &self.chunk[self.start..self.end];
            match memchr(b'\n', rest) {
                Some(length) if self.head.length == 0 => {
                    self.numbering.give(&rest[..length], length as u64, rest[..length].last().copied(), sink);
                    self.start += length + 1;
                }
                Some(length) => {
                    self.head.add(&rest[..length]);
                    self.head.finish(&mut self.numbering, sink);
                    self.start += length + 1;
                }
                None => {
                    self.head.add(rest);
                    self.start = self.end;
                }
            }
        }
        true
    }
}

/// The beginning of a line that began in an earlier chunk.
#[derive(Default)]
struct Head {
    bytes: Vec<u8>,
    length: u64,
    last: Option<u8>,
    record_bytes: usize,
    kept_bytes: usize,
}

impl Head {
    fn add(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let room = self.room();
        self.last = Some(*last);
        self.length += bytes.len() as u64;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.length > self.longest() as u64 {
            self.bytes.truncate(self.kept_bytes);
        }
    }

    /// A line within the limit may still have a byte order mark and a carriage return that do not count.
    fn longest(&self) -> usize {
        self.record_bytes + BYTE_ORDER_MARK.len() + 1
    }

    /// Nothing of it was cut off.
    fn is_whole(&self) -> bool {
        self.length == self.bytes.len() as u64
    }

    fn room(&self) -> usize {
        let most = if self.length > self.longest() as u64 { self.kept_bytes } else { self.longest() };
        most.saturating_sub(self.bytes.len())
    }

    /// Gives the line out, when one has begun.
    fn finish<S: LineSink>(&mut self, numbering: &mut Numbering, sink: &mut S) {
        if self.length > 0 {
            numbering.give(&self.bytes, self.length, self.last, sink);
        }
        self.bytes.clear();
        self.length = 0;
        self.last = None;
    }
}

/// Counts lines, trims them, and leaves out those that were asked to be skipped.
struct Numbering {
    from: i64,
    next: i64,
    /// The line before the next one was empty, and was not given out yet.
    blank: bool,
    record_bytes: u64,
    kept_bytes: usize,
}

impl Numbering {
    fn give<S: LineSink>(&mut self, mut kept: &[u8], mut length: u64, last: Option<u8>, sink: &mut S) {
        let number = self.next;
        self.next += 1;
        if last == Some(b'\r') {
            length -= 1;
            kept = &kept[..kept.len().min(length as usize)];
        }
        if number == 0 && kept.starts_with(BYTE_ORDER_MARK) {
            length -= BYTE_ORDER_MARK.len() as u64;
            kept = &kept[BYTE_ORDER_MARK.len()..];
        }
        if self.blank && number > self.from {
            sink.line(number - 1, b"", 0);
        }
        self.blank = length == 0;
        if !self.blank && number >= self.from {
            let most = if length > self.record_bytes { self.kept_bytes } else { kept.len() };
            sink.line(number, &kept[..kept.len().min(most)], length);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Seen {
        lines: Vec<(i64, Vec<u8>, u64)>,
        most: usize,
    }

    impl LineSink for Seen {
        fn line(&mut self, number: i64, kept: &[u8], length: u64) {
            self.lines.push((number, kept.to_vec(), length));
        }
        fn full(&self) -> bool {
            self.lines.len() >= self.most
        }
    }

    fn limits(record_bytes: usize, kept_bytes: usize) -> ReadLimits {
        ReadLimits { record_bytes, kept_bytes, ..ReadLimits::default() }
    }

    /// All lines of `input`, read in chunks of `chunk` bytes and calls of `most` lines.
    fn read(input: &[u8], chunk: usize, most: usize, from: i64, limits: &ReadLimits) -> Vec<(i64, Vec<u8>, u64)> {
        let mut lines = Lines::new(input, chunk, from, limits);
        let mut all = Vec::new();
        loop {
            let mut seen = Seen { most, ..Seen::default() };
            let pause = lines.read(&mut seen).expect("a slice does not fail");
            all.extend(seen.lines);
            if pause == Pause::End {
                return all;
            }
        }
    }

    #[track_caller]
    fn check(input: &[u8], expected: &[(i64, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(n, text)| (*n, text.as_bytes().to_vec(), text.len() as u64)).collect();
        for chunk in [1, 2, 3, 7, 1024] {
            assert_eq!(read(input, chunk, 1, 0, &limits(100, 10)), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn lines_end_with_newline_carriage_return_or_the_input() {
        check(b"one\ntwo\r\nthree", &[(0, "one"), (1, "two"), (2, "three")]);
        check(b"one\r", &[(0, "one")]);
        check(b"a\rb\n", &[(0, "a\rb")]);
        check(b"a\rb\nc\rd", &[(0, "a\rb"), (1, "c\rd")]);
    }

    #[test]
    fn an_input_without_any_newline_has_the_lines_that_carriage_returns_end() {
        check(b"one\rtwo\r", &[(0, "one"), (1, "two")]);
        check(b"one\rtwo", &[(0, "one"), (1, "two")]);
    }

    #[test]
    fn only_one_empty_line_at_the_end_is_left_out() {
        check(b"", &[]);
        check(b"\n", &[]);
        check(b"\r\n", &[]);
        check(b"\n\n", &[(0, "")]);
        check(b"a\n\nb\n\n", &[(0, "a"), (1, ""), (2, "b")]);
        check(b"a\n\n\r\n\n", &[(0, "a"), (1, ""), (2, "")]);
    }

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_first_line() {
        check(b"\xEF\xBB\xBFa\n\xEF\xBB\xBFb\n", &[(0, "a"), (1, "\u{FEFF}b")]);
    }

    #[test]
    fn any_bytes_pass() {
        let seen = read(b"\xFF\xFE\0\x01\n\x80\n", 2, 10, 0, &limits(100, 10));
        assert_eq!(seen, [(0, b"\xFF\xFE\0\x01".to_vec(), 4), (1, vec![0x80], 1)]);
    }

    #[test]
    fn a_line_over_the_limit_is_cut_and_its_length_told() {
        let input = [b"ok\n".as_slice(), &[b'x'; 5000], b"\r\nok\n"].concat();
        for chunk in [1, 11, 64, 10_000] {
            let seen = read(&input, chunk, 1, 0, &limits(100, 10));
            assert_eq!(seen, [(0, b"ok".to_vec(), 2), (1, vec![b'x'; 10], 5000), (2, b"ok".to_vec(), 2)]);
        }
    }

    #[test]
    fn the_limit_itself_is_within() {
        for (length, kept) in [(99, 99), (100, 100), (101, 10), (102, 10), (103, 10), (104, 10), (105, 10)] {
            let input = [vec![b'x'; length], b"\r\n".to_vec()].concat();
            for chunk in [1, 7, 1024] {
                assert_eq!(read(&input, chunk, 1, 0, &limits(100, 10)), [(0, vec![b'x'; kept], length as u64)]);
            }
        }
    }

    /// A reader that counts what it would take to hold a line: the head never grows past the limit.
    #[test]
    fn an_endless_line_needs_no_more_memory_than_the_limit() {
        let mut lines = Lines::new(io::repeat(b'x').take(100 << 20), 1 << 16, 0, &limits(1 << 20, 1 << 16));
        let mut seen = Seen { most: 1, ..Seen::default() };
        let mut quiet = 0;
        while lines.read(&mut seen).expect("repeat does not fail") == Pause::Quiet {
            assert!(lines.head.bytes.capacity() <= 3 << 20);
            quiet += 1;
        }
        assert_eq!(quiet, 100 * 16 / CHUNKS_PER_CALL, "comes back after each {CHUNKS_PER_CALL} chunks");
        assert_eq!(seen.lines, [(0, vec![b'x'; 1 << 16], 100 << 20)]);
    }

    #[test]
    fn lines_below_the_position_are_skipped() {
        let input = b"a\n\nc\nd";
        assert_eq!(read(input, 3, 2, 1, &limits(9, 9)), [(1, vec![], 0), (2, b"c".to_vec(), 1), (3, b"d".to_vec(), 1)]);
        assert_eq!(read(input, 3, 2, 2, &limits(9, 9)), [(2, b"c".to_vec(), 1), (3, b"d".to_vec(), 1)]);
        assert_eq!(read(input, 3, 2, 9, &limits(9, 9)), []);
    }

    /// Gives what it has, then an error.
    struct Broken<'a>(&'a [u8]);
    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("torn")),
                bytes => Ok(bytes),
            }
        }
    }

    #[test]
    fn an_error_keeps_the_lines_before_it_and_no_half_line() {
        let mut lines = Lines::new(Broken(b"a\nb\nhal"), 4, 0, &limits(9, 9));
        let mut seen = Seen { most: 9, ..Seen::default() };
        assert_eq!(lines.read(&mut seen).expect_err("torn").to_string(), "torn");
        assert_eq!(seen.lines, [(0, b"a".to_vec(), 1), (1, b"b".to_vec(), 1)]);
        assert_eq!(lines.line(), 2);
    }

    proptest! {
        #[test]
        fn lines_are_those_of_a_plain_split(
            lines in prop::collection::vec("[a-z\r]{0,30}", 0..20),
            last in "[a-z]{0,30}",
            chunk in 1usize..40,
            most in 1usize..5,
            from in 0i64..25,
        ) {
            let mut input: Vec<u8> = lines.iter().flat_map(|l| [l.as_bytes(), b"\n"].concat()).collect();
            input.extend_from_slice(last.as_bytes());
            let text = String::from_utf8(input.clone()).expect("made of letters");
            let mut expected: Vec<&str> = text.split('\n').collect();
            if expected.last() == Some(&"") {
                expected.pop();
            }
            let trim = |line: &&str| line.strip_suffix('\r').unwrap_or(line).to_string();
            let mut expected: Vec<String> = expected.iter().map(trim).collect();
            if expected.last().is_some_and(String::is_empty) {
                expected.pop();
            }
            let expected: Vec<_> = expected
                .iter()
                .enumerate()
                .filter(|(n, _)| *n as i64 >= from)
                .map(|(n, l)| (n as i64, l.as_bytes()[..if l.len() > 20 { 5 } else { l.len() }].to_vec(), l.len() as u64))
                .collect();
            prop_assert_eq!(read(&input, chunk, most, from, &limits(20, 5)), expected);
        }
    }
}
