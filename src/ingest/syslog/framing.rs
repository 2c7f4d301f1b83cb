//! Where a message of syslog over TCP ends (RFC 6587), told apart message by message: by a count of its bytes that stands
//! before it (`57 <190>...`), or by the newline or NUL behind it.
//!
//! A count is digits, a space and the `<` of a message; anything else that begins with digits is a line of a gateway that
//! sends no syslog header. After a counted message there is the next one, or a line end that some senders add: anything
//! else means that the counts are wrong, and the connection has to be closed, for what follows cannot be told apart.
//!
//! Promises: holds at most one message up to its limit; of a longer one the head, and how long it was.
//! Never: opens a message.

/// Digits of a count; more are no count.
const COUNT_DIGITS_MAX: usize = 9;

/// What is wrong with the framing: what was expected. What was there is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error(
        "after a message with a count of its bytes: expected the count of the next one, `<`, or a line end; its count was wrong"
    )]
    AfterCounted,
    #[error("the connection ended within a message: expected as many bytes as its count says")]
    EndsEarly,
}

pub struct Framer {
    /// What came of the message that is not whole yet, up to the limit.
    held: Vec<u8>,
    state: State,
    message_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a message; `counted` says that the last one had a count.
    Between { counted: bool },
    /// Within digits that may be a count; they are in `held`.
    Digits { counted: bool },
    /// Behind digits and a space, which are in `held`: what follows tells whether they are a count.
    Space { counted: bool },
    /// Within a message of so many bytes, of which so many are still to come.
    Counted { length: u64, left: u64 },
    /// Within a line of which so many bytes came.
    Line { length: u64 },
}

impl Framer {
    pub fn new(message_max: usize) -> Framer {
        Framer { held: Vec::new(), state: State::Between { counted: false }, message_max }
    }

    /// Takes what came; `message` is called with what is kept of each message that is whole, and its length.
    pub fn feed(&mut self, mut bytes: &[u8], message: &mut impl FnMut(&[u8], u64)) -> Result<(), FramingError> {
        while let Some(first) = bytes.first().copied() {
            let used = match self.state {
                State::Between { counted } => self.begin(first, counted)?,
                State::Digits { counted } => self.digit(first, counted)?,
                State::Space { counted } => self.behind_space(first, counted)?,
                State::Counted { length, left } => self.counted(bytes, length, left, message),
                State::Line { length } => self.line(bytes, length, message),
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// The sender has nothing more to say: a line without its end is a message, a counted one that is not whole is none.
    pub fn end(&mut self, message: &mut impl FnMut(&[u8], u64)) -> Result<(), FramingError> {
        match self.state {
            State::Between { .. } => Ok(()),
            State::Counted { .. } => Err(FramingError::EndsEarly),
            State::Digits { counted: true } | State::Space { counted: true } => Err(FramingError::EndsEarly),
            State::Digits { .. } | State::Space { .. } => {
                self.finish(self.held.len() as u64, false, message);
                Ok(())
            }
            State::Line { length } => {
                self.finish(length, false, message);
                Ok(())
            }
        }
    }

    /// The first byte of a message; returns how many bytes were used, as the others do.
    fn begin(&mut self, first: u8, counted: bool) -> Result<usize, FramingError> {
        match first {
            // Line ends between messages; some senders put one behind a counted message.
            b'\n' | b'\r' | 0 => return Ok(1),
            b'1'..=b'9' => {
                self.state = State::Digits { counted };
                return Ok(0);
            }
            b'<' => {}
            _ if counted => return Err(FramingError::AfterCounted),
            _ => {}
        }
        self.state = State::Line { length: 0 };
        Ok(0)
    }

    fn digit(&mut self, byte: u8, counted: bool) -> Result<usize, FramingError> {
        match byte {
            b'0'..=b'9' if self.held.len() < COUNT_DIGITS_MAX => self.held.push(byte),
            b' ' => {
                self.held.push(byte);
                self.state = State::Space { counted };
            }
            _ if counted => return Err(FramingError::AfterCounted),
            // No count: a line that begins with digits.
            _ => {
                self.state = State::Line { length: self.held.len() as u64 };
                return Ok(0);
            }
        }
        Ok(1)
    }

    fn behind_space(&mut self, byte: u8, counted: bool) -> Result<usize, FramingError> {
        if byte == b'<' {
            let digits = self.held.iter().take_while(|byte| byte.is_ascii_digit());
            let length = digits.fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
            self.held.clear();
            self.state = State::Counted { length, left: length };
        } else if counted {
            return Err(FramingError::AfterCounted);
        } else {
            self.state = State::Line { length: self.held.len() as u64 };
        }
        Ok(0)
    }

    fn counted(&mut self, bytes: &[u8], length: u64, left: u64, message: &mut impl FnMut(&[u8], u64)) -> usize {
        let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.hold(&bytes[..used]);
        let left = left - used as u64;
        self.state = State::Counted { length, left };
        if left == 0 {
            self.finish(length, true, message);
        }
        used
    }

    fn line(&mut self, bytes: &[u8], length: u64, message: &mut impl FnMut(&[u8], u64)) -> usize {
        let end = memchr::memchr2(b'\n', 0, bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        self.hold(part);
        let length = length + part.len() as u64;
        self.state = State::Line { length };
        if end.is_some() {
            self.finish(length, false, message);
        }
        part.len() + usize::from(end.is_some())
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = self.message_max.saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn finish(&mut self, length: u64, counted: bool, message: &mut impl FnMut(&[u8], u64)) {
        let whole = length <= self.message_max as u64;
        // A line end of the sender's system, or one within the count, is not of the message.
        let kept = if whole { trim_end(&self.held) } else { &self.held };
        if !kept.is_empty() {
            message(kept, if whole { kept.len() as u64 } else { length });
        }
        self.held.clear();
        self.state = State::Between { counted };
    }
}

/// Without the line ends and NULs at the end.
pub fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r' | 0] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages in `bytes`, fed in pieces of every size, which must not matter.
    fn framed(bytes: &[u8], message_max: usize) -> (Vec<(String, u64)>, Result<(), FramingError>) {
        let mut outcomes = Vec::new();
        for piece in [1, 2, 3, 7, bytes.len().max(1)] {
            let mut found = Vec::new();
            let mut framer = Framer::new(message_max);
            let mut note = |kept: &[u8], length| found.push((String::from_utf8_lossy(kept).into_owned(), length));
            let fed = bytes.chunks(piece).try_for_each(|piece| framer.feed(piece, &mut note));
            let ended = fed.and_then(|()| framer.end(&mut note));
            outcomes.push((found, ended));
        }
        assert!(outcomes.windows(2).all(|pair| pair[0] == pair[1]), "{outcomes:?}");
        outcomes.swap_remove(0)
    }

    #[track_caller]
    fn check(bytes: &str, expected: &[&str]) {
        let (found, ended) = framed(bytes.as_bytes(), 1000);
        let texts: Vec<&str> = found.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!((texts.as_slice(), ended), (expected, Ok(())), "{bytes:?}");
    }

    #[test]
    fn messages_are_told_apart_one_by_one() {
        check("<1>a\n<2>b\n", &["<1>a", "<2>b"]);
        check("<1>a\r\n<2>b", &["<1>a", "<2>b"]);
        check("<1>a\0<2>b\0", &["<1>a", "<2>b"]);
        check("4 <1>a5 <2>bc", &["<1>a", "<2>bc"]);
        check("4 <1>a\n5 <2>bc\n<3>d\n4 <4>e", &["<1>a", "<2>bc", "<3>d", "<4>e"]);
        check("11 <1>a\nb\nc\nde4 <2>f", &["<1>a\nb\nc\nde", "<2>f"]);
        check("5 <1>a\n", &["<1>a"]);
        check("\n\n\r\n\0", &[]);
        check("", &[]);
    }

    #[test]
    fn lines_without_a_header_are_messages_also_those_that_begin_with_digits() {
        check("203.0.113.7 - - [x]\n{\"a\":1}\n", &["203.0.113.7 - - [x]", "{\"a\":1}"]);
        check("200 GET /\n12345678901 <x\n7\n", &["200 GET /", "12345678901 <x", "7"]);
        check("42", &["42"]);
        check("42 ", &["42 "]);
    }

    #[test]
    fn a_message_over_the_limit_keeps_its_head_and_its_length() {
        let (found, ended) = framed(b"<1>abcdefgh\n20 <2>aaaaaaaaaaaaaaaaa4 <3>b", 6);
        assert_eq!(ended, Ok(()));
        let expected = [("<1>abc", 11), ("<2>aaa", 20), ("<3>b", 4)];
        assert_eq!(found, expected.map(|(text, length)| (text.to_owned(), length)));
    }

    #[test]
    fn wrong_counts_are_an_error() {
        let (found, ended) = framed(b"4 <1>abc\n", 100);
        assert_eq!((found, ended), (vec![("<1>a".to_owned(), 4)], Err(FramingError::AfterCounted)));
        for wrong in ["4 <1>a7 x", "4 <1>a7x", "4 <1>ax"] {
            assert_eq!(framed(wrong.as_bytes(), 100).1, Err(FramingError::AfterCounted), "{wrong}");
        }
        let (found, ended) = framed(b"9 <1>a", 100);
        assert_eq!((found, ended), (Vec::new(), Err(FramingError::EndsEarly)));
    }
}
