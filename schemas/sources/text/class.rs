//! The classes of fields in a text line: what each may look like, and where it ends.
//!
//! Classes that the gateway writes are strict: their end follows from where they begin. What a client writes (`text`) may
//! be anything; where it ends is `fit.rs`'s part.
//! Never: reads a value; a column does.

use crate::address;

macro_rules! classes {
    ($($name:literal $variant:ident $meaning:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Class { $(#[doc = $meaning] $variant),* }

        impl Class {
            pub(super) fn parse(name: &str) -> Option<Class> {
                match name { $($name => Some(Class::$variant),)* _ => None }
            }

            pub(super) fn name(self) -> &'static str {
                match self { $(Class::$variant => $name),* }
            }

            pub(super) fn names() -> String {
                [$($name),*].join(", ")
            }
        }

        /// Name and meaning of each class of a field in a line form, for the documentation.
        pub static LINE_CLASSES: &[(&str, &str)] = &[$(($name, $meaning)),*];
    };
}

classes! {
    "address" Address "an IP address, with or without port, brackets, zone; `-`; `unix:`";
    "client" Client "the same without `-`";
    "peer" Peer "an address that always has a port behind its last colon, also IPv6 without brackets; `-`";
    "list" List "words joined by commas, with or without blanks behind them, or by ` : `";
    "hops" Hops "of such a list, all but the last word, with the comma behind them";
    "hop" Hop "one word of such a list, with the comma behind it";
    "ident" Ident "a word that is no address";
    "hostname" Hostname "letters, digits, dots and dashes that are no address";
    "clf" Clf "dd/Mon/yyyy:hh:mm:ss, with or without decimals and zone";
    "rfc3339" Rfc3339 "a time as RFC 3339 has it";
    "datetime" Datetime "date and time without a zone";
    "number" Number "a decimal number, `-`, or several of them with commas or colons";
    "count" Count "a whole number, or `-`";
    "status" Status "digits, or `-`";
    "duration" Duration "a number with its unit behind it: 12ms";
    "word" Word "anything without blanks and quotes";
    "id" Id "letters, digits and -_=+/, with a letter among them";
    "hex" Hex "hexadecimal digits and dashes";
    "blob" Blob "anything without quotes";
    "name" Name "anything without blanks and quotes, written by a client";
    "authority" Authority "a host, with or without a port, also nothing";
    "text" Text "anything at all, written by a client";
    "phrase" Phrase "anything without a quote that is not escaped, written by a client";
    "any" Any "whatever follows, also nothing";
}

impl Class {
    /// Its end does not follow from its beginning.
    #[inline]
    pub(super) fn is_free(self) -> bool {
        matches!(self, Class::Text | Class::Phrase | Class::Blob | Class::Any)
    }

    /// No quote that is not escaped can be in it.
    #[inline]
    pub(super) fn is_quiet(self) -> bool {
        matches!(self, Class::Phrase | Class::Blob)
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Class::Count | Class::Status | Class::Number)
    }

    /// A client may have a word in it, though its end is known.
    pub(super) fn is_sent(self) -> bool {
        self.is_free() || matches!(self, Class::Name | Class::Authority | Class::List | Class::Hops | Class::Hop)
    }

    /// Where a status ends that is badly written: three signs, one of them no digit.
    #[cold]
    pub(super) fn loose_status_end(line: &str, at: usize) -> Option<usize> {
        let word = loose_word(line, at)?;
        let wrong = word.chars().filter(|c| !c.is_ascii_digit()).count();
        let is_damaged = word.contains(char::REPLACEMENT_CHARACTER) || wrong == 1;
        (word.chars().count() == 3 && wrong > 0 && is_damaged).then_some(at + word.len())
    }

    /// Where a size ends that is badly written: digits with damaged bytes among them, or with a unit behind them.
    #[cold]
    pub(super) fn loose_size_end(line: &str, at: usize) -> Option<usize> {
        let word = loose_word(line, at)?;
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let unit = word[digits..].trim_end_matches('B').trim_end_matches('i');
        let has_unit = digits > 0 && digits < word.len() && matches!(unit, "" | "k" | "K" | "M" | "G" | "T");
        let is_part = |c: char| c.is_ascii_digit() || c == char::REPLACEMENT_CHARACTER;
        let is_damaged = word.contains(char::REPLACEMENT_CHARACTER) && word.chars().all(is_part);
        (has_unit || is_damaged).then_some(at + word.len())
    }

    /// Where a field of a strict class ends that begins at `at`; `stop` is the byte that stands behind it in the form.
    #[inline]
    pub(super) fn end(self, line: &str, at: usize, stop: Option<u8>) -> Option<usize> {
        self.end_after(line, at, stop, &mut Run::default())
    }

    /// The same, for one of several places of the same field in their order; `last` is what was found for those before.
    #[inline]
    pub(super) fn end_after(self, line: &str, at: usize, stop: Option<u8>, last: &mut Run) -> Option<usize> {
        let bytes = &line.as_bytes()[at..];
        let mut run = |part: fn(u8) -> bool| {
            let length = || bytes.iter().position(|&b| !part(b) || Some(b) == stop).unwrap_or(bytes.len());
            last.end(at, || at + length()) - at
        };
        let length = match self {
            Class::Address => address_length(line, at, stop)?,
            Class::Client => address_length(line, at, stop).filter(|length| bytes[..*length] != *b"-")?,
            Class::Peer => peer_length(line, at)?,
            Class::List => list_length(&bytes[..bytes.len().min(LIST_BYTES_MAX)]),
            Class::Hops => hops_length(&bytes[..bytes.len().min(LIST_BYTES_MAX)]),
            Class::Ident => {
                let length = run(is_word);
                if address::parse(&line[at..at + length]).is_some() { 0 } else { length }
            }
            Class::Hostname => {
                let length = run(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
                if address::parse(&line[at..at + length]).is_some() { 0 } else { length }
            }
            Class::Clf => clf_length(bytes)?,
            Class::Rfc3339 => run(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'+' | b'-')),
            Class::Datetime => datetime_length(bytes)?,
            Class::Number => number_length(&bytes[..bytes.len().min(NUMBERS_BYTES_MAX)]),
            Class::Count | Class::Status => count_length(bytes),
            Class::Duration => {
                let length = run(|b| b.is_ascii_alphanumeric() || b == b'.' || b >= 0x80);
                if bytes.first().is_some_and(u8::is_ascii_digit) { length } else { 0 }
            }
            Class::Word | Class::Name => run(is_word),
            Class::Authority => run(|b| {
                b.is_ascii_alphanumeric()
                    || b >= 0x80
                    || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%' | b'~')
            }),
            Class::Hop => {
                let length = run(is_word);
                if bytes[..length].ends_with(b",") { length } else { 0 }
            }
            Class::Id => {
                let word = &bytes[..run(is_word)];
                let part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'+' | b'/');
                if word.iter().all(part) && word.iter().any(u8::is_ascii_alphabetic) { word.len() } else { 0 }
            }
            Class::Hex => run(|b| b.is_ascii_hexdigit() || b == b'-'),
            Class::Text | Class::Phrase | Class::Blob | Class::Any => return None,
        };
        ((length > 0 || self == Class::Authority) && line.is_char_boundary(at + length)).then_some(at + length)
    }
}

/// A run of bytes that belong together: from where it was looked through, and its end.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    from: usize,
    end: usize,
}

impl Run {
    /// The end of the run that `at` is in, which `find` finds when it is another one than the last.
    #[inline]
    pub(super) fn end(&mut self, at: usize, find: impl FnOnce() -> usize) -> usize {
        if at < self.from || at >= self.end {
            *self = Run { from: at, end: find() };
        }
        self.end
    }
}

/// Bytes of a list of numbers, or of words, that a gateway writes; a longer one is none.
const NUMBERS_BYTES_MAX: usize = 4 << 10;
const LIST_BYTES_MAX: usize = 16 << 10;
/// Characters of a number that is badly written.
const LOOSE_MAX: usize = 20;

/// Letters, digits and damaged bytes.
fn loose_word(line: &str, at: usize) -> Option<&str> {
    let text = line.get(at..)?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == char::REPLACEMENT_CHARACTER;
    let length = text.char_indices().take(LOOSE_MAX + 1).find(|(_, c)| !is_part(*c));
    let length = length.map_or_else(|| if text.len() > LOOSE_MAX { 0 } else { text.len() }, |(at, _)| at);
    Some(&text[..length])
}

fn is_word(b: u8) -> bool {
    !matches!(b, b' ' | b'\t' | b'"')
}

fn address_length(line: &str, at: usize, stop: Option<u8>) -> Option<usize> {
    let bytes = &line.as_bytes()[at..];
    let brackets = bytes.first() == Some(&b'[');
    let ends =
        |b: u8| matches!(b, b' ' | b'\t' | b'"' | b',' | b')' | b'>') || (Some(b) == stop && b != b':' && b != b']');
    let mut length = bytes.iter().position(|&b| ends(b)).unwrap_or(bytes.len());
    if !brackets && let Some(close) = bytes[..length].iter().position(|&b| b == b']') {
        length = close;
    }
    let text = &line[at..at + length];
    (text == "-" || text.starts_with("unix:") || address::parse(text).is_some()).then_some(length)
}

/// The port is not part of the field: IPv6 without brackets could not be told from it.
fn peer_length(line: &str, at: usize) -> Option<usize> {
    let word = &line[at..][..line.as_bytes()[at..].iter().position(|&b| !is_word(b)).unwrap_or(line.len() - at)];
    if word == "-" {
        return Some(1);
    }
    let (address, port) = word.rsplit_once(':')?;
    let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    (is_port && (address == "unix" || address::parse(address).is_some())).then_some(address.len())
}

/// `a, b,c`: a word, and further ones as long as there is a comma before them.
fn list_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        length += bytes[length..].iter().position(|&b| !is_word(b)).unwrap_or(bytes.len() - length);
        // nginx puts it between the groups of an internal redirect.
        if length > 0 && bytes[length..].starts_with(b" : ") {
            length += 3;
            continue;
        }
        let comma = length > 0 && bytes[length - 1] == b',';
        if !comma || bytes.get(length) != Some(&b' ') {
            return length;
        }
        length += 1;
    }
}

/// Up to the last word of a list; nothing of a list of one.
fn hops_length(bytes: &[u8]) -> usize {
    let list = &bytes[..list_length(bytes)];
    let behind = list.iter().rposition(|&b| b == b',').map_or(0, |comma| comma + 1);
    if list.get(behind) == Some(&b' ') { behind + 1 } else { behind }
}

fn clf_length(bytes: &[u8]) -> Option<usize> {
    if bytes.get(2) != Some(&b'/') || bytes.get(6) != Some(&b'/') {
        return None;
    }
    let time = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b':' | b'.' | b',');
    let length = bytes.iter().position(|b| !time(b)).unwrap_or(bytes.len());
    match &bytes[length..] {
        [b' ', b'+' | b'-', zone @ ..] if zone.get(2) == Some(&b':') && has_digits(zone, &[0, 1, 3, 4]) => {
            Some(length + 7)
        }
        [b' ', b'+' | b'-', zone @ ..] if zone.len() >= 4 && zone[..4].iter().all(u8::is_ascii_digit) => {
            Some(length + 6)
        }
        _ => Some(length),
    }
}

fn has_digits(bytes: &[u8], places: &[usize]) -> bool {
    places.iter().all(|place| bytes.get(*place).is_some_and(u8::is_ascii_digit))
}

fn datetime_length(bytes: &[u8]) -> Option<usize> {
    let date = bytes.get(..10)?;
    if !date[0].is_ascii_digit() || !matches!(date[4], b'-' | b'/') {
        return None;
    }
    let between = [&b" - "[..], b" ", b"T"].into_iter().find(|text| bytes[10..].starts_with(text))?.len();
    let clock = &bytes[10 + between..];
    let length =
        clock.iter().position(|b| !b.is_ascii_digit() && !matches!(b, b':' | b'.' | b',')).unwrap_or(clock.len());
    (length >= 8).then_some(10 + between + length)
}

/// Numbers and dashes; several of them, as nginx logs them of several upstreams, with `,` or ` : ` between.
fn number_length(bytes: &[u8]) -> usize {
    let part = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E');
    let starts = |rest: &[u8]| rest.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-');
    let mut length = bytes.iter().position(|b| !part(b)).unwrap_or(bytes.len());
    while length > 0 {
        let rest = &bytes[length..];
        let between = [&b", "[..], b",", b" : ", b":"]
            .into_iter()
            .find(|text| rest.starts_with(text) && starts(&rest[text.len()..]));
        let Some(between) = between else { break };
        let rest = &rest[between.len()..];
        length += between.len() + rest.iter().position(|b| !part(b)).unwrap_or(rest.len());
    }
    length
}

fn count_length(bytes: &[u8]) -> usize {
    let sign = usize::from(bytes.first() == Some(&b'-'));
    sign + bytes[sign..].iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len() - sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(class: &str, line: &str, expected: Option<&str>) {
        let class = Class::parse(class).expect("a class");
        assert_eq!(class.end(line, 0, None).map(|end| &line[..end]), expected, "{line}");
    }

    #[test]
    fn fields_end_where_their_class_says() {
        check("address", "192.0.2.1:443 x", Some("192.0.2.1:443"));
        check("address", "[2001:db8::1]:443] x", None);
        check("address", "[2001:db8::1]:443 x", Some("[2001:db8::1]:443"));
        check("address", "192.0.2.1] x", Some("192.0.2.1"));
        check("address", "- -", Some("-"));
        check("address", "unix: -", Some("unix:"));
        check("address", "shop.example -", None);
        check("client", "- -", None);
        check("client", "192.0.2.1 -", Some("192.0.2.1"));
        check("ident", "shop.example -", Some("shop.example"));
        check("ident", "192.0.2.1 -", None);
        check("peer", "2001:db8::1:50599 x", Some("2001:db8::1"));
        check("peer", "192.0.2.1:443 x", Some("192.0.2.1"));
        check("peer", "192.0.2.1 x", None);
        check("peer", "unix:1 x", Some("unix"));
        check("peer", "unix: x", None);
        check("list", "192.0.2.1:80, 192.0.2.2:80 : - x", Some("192.0.2.1:80, 192.0.2.2:80 : -"));
        check("list", "a, 192.0.2.1,b - -", Some("a, 192.0.2.1,b"));
        check("hops", "a, 192.0.2.1,b - -", Some("a, 192.0.2.1,"));
        check("hops", "a, 192.0.2.1 - -", Some("a, "));
        check("hops", "192.0.2.1 - -", None);
        check("clf", "21/Sep/2026:14:13:20 +0000] x", Some("21/Sep/2026:14:13:20 +0000"));
        check("clf", "21/Sep/2026:14:13:20.123] x", Some("21/Sep/2026:14:13:20.123"));
        check("clf", "21/Sep/2026:14:13:20 +00:00] x", Some("21/Sep/2026:14:13:20 +00:00"));
        check("datetime", "2026/09/21 - 14:13:20 | 200", Some("2026/09/21 - 14:13:20"));
        check("datetime", "2026-09-21T14:13:20.5Z", Some("2026-09-21T14:13:20.5"));
        check("number", "0.001, 0.002 x", Some("0.001, 0.002"));
        check("number", "1790000000.250,\"ip\"", Some("1790000000.250"));
        check("number", "0.001 : - x", Some("0.001 : -"));
        check("count", "-1 x", Some("-1"));
        check("status", "000 x", Some("000"));
        check("id", "JKJaXmPLvHcESHA= x", Some("JKJaXmPLvHcESHA="));
        check("id", "1234 x", None);
        check("id", "0/1020 x", None);
        check("id", "TLSv1.3 x", None);
        check("duration", "12.5ms|", Some("12.5ms"));
        check("duration", "µs", None);
        check("word", "a\"b", Some("a"));
        check("word", " a", None);
    }

    #[test]
    fn numbers_of_other_fields_are_no_badly_written_ones() {
        let ends = |line: &str| (Class::loose_status_end(line, 0), Class::loose_size_end(line, 0));
        for (line, status, size) in [
            ("2O0 12", Some(3), None),
            ("20x", Some(3), None),
            ("2\u{fffd}0 12", Some(5), Some(5)),
            ("\u{fffd}\u{fffd}0 12", Some(7), Some(7)),
            ("12kB \"-\"", None, Some(4)),
            ("12B", Some(3), Some(3)),
            ("3MiB,x", None, Some(4)),
            ("200 12", None, None),
            ("0.005 200", None, None),
            ("5ms 200", None, None),
            ("1O2 x", Some(3), None),
            ("502, 200", None, None),
            ("h2 200", None, None),
            ("upstream-7 x", None, None),
            ("HTTP/1.1 200", None, None),
            ("\"200\" x", None, None),
            ("12345678901234567890kB", None, None),
            ("", None, None),
        ] {
            assert_eq!(ends(line), (status, size), "{line}");
        }
    }
}
