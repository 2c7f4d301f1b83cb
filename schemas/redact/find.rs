//! The finders: given a text as it stands, where are secrets in it? By shape, by the name of the key before them, by
//! being a card number, an e-mail address or the userinfo of a URL.
//!
//! Promises: linear time; every finding is a range on character boundaries.
//! Never: decodes (see `mod.rs`), replaces, or keeps anything.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::classes::{Class, SHAPES, Shape, Tail, key_class};
use super::decode;
use super::profile::CARD_DIGITS_MIN;
use super::rules::{self, Kind};

/// A secret found: the bytes `start..end` are of `class`. `whole` asks for a plain replacement, without a mask, as for
/// a value that holds the secret only in encoded form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) class: Class,
    pub(crate) whole: bool,
}

impl Finding {
    fn new(start: usize, end: usize, class: Class) -> Finding {
        Finding { start, end, class, whole: false }
    }
}

static PREFIXES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(SHAPES.iter().map(|s| s.prefix))
        .expect("the prefixes are a short fixed list")
});

/// Secrets by shape.
pub(crate) fn shapes(text: &str, findings: &mut Vec<Finding>) {
    let mut from = 0;
    while let Some(hit) = PREFIXES.find(&text.as_bytes()[from..]) {
        let (start, after) = (from + hit.start(), from + hit.end());
        from = after;
        let shape = &SHAPES[hit.pattern().as_usize()];
        if !rules::on(Kind::Prefix, hit.pattern().as_usize()) {
            continue;
        }
        match match_shape(text, start, after, shape) {
            Some(finding) => {
                findings.push(finding);
                from = finding.end.max(after);
            }
            // The same run without a dot would be read again from each prefix in it.
            None if shape.tail == Tail::Dotted => from = after + dotted_run(&text.as_bytes()[after..]),
            None => {}
        }
    }
}

fn dotted_run(tail: &[u8]) -> usize {
    tail.iter().position(|&b| !(is_key(b) || b == b'=')).unwrap_or(tail.len())
}

fn match_shape(text: &str, start: usize, after: usize, shape: &Shape) -> Option<Finding> {
    let tail = &text.as_bytes()[after..];
    let run = |allowed: fn(u8) -> bool| tail.iter().position(|&b| !allowed(b)).unwrap_or(tail.len());
    let (start, length) = match shape.tail {
        Tail::Capitals => (start, run(|b| b.is_ascii_uppercase() || b.is_ascii_digit())),
        Tail::Key => (start, run(is_key)),
        Tail::Dotted => {
            let length = dotted_run(tail);
            tail[..length].contains(&b'.').then_some((start, length))?
        }
        Tail::Bearer => (after, run(|b| is_key(b) || matches!(b, b'~' | b'+' | b'/' | b'=' | b'%'))),
        Tail::Basic => {
            let length = run(|b| decode::is_base64(b) || b == b'=' || b == b'%');
            is_basic(&tail[..length]).then_some((after, length))?
        }
        Tail::Pem => (start, pem(&text[after..])?),
    };
    (length >= shape.least).then(|| Finding::new(start, after + length, shape.class))
}

fn is_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// Base64 of `user:password`; of a long text without a colon it is taken to be one too.
fn is_basic(token: &[u8]) -> bool {
    let mut plain = Vec::new();
    token.len() >= 16 || (decode::base64_whole(token, &mut plain).is_some() && plain.contains(&b':'))
}

/// Length of a private key block after its `-----BEGIN`: to the end of its last line, or of the text.
fn pem(after: &str) -> Option<usize> {
    let header = &after[..floor(after, 48)];
    header.contains("PRIVATE").then(|| match after.find("-----END") {
        Some(end) => {
            let rest = &after[end + 8..];
            end + 8 + rest.find("-----").map_or(rest.len(), |i| i + 5)
        }
        None => after.len(),
    })
}

/// The largest character boundary of `text` that is at most `at`.
pub(crate) fn floor(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

/// Values under a key that names a secret: `password=x`, `"password": "x"`, `\"password\":\"x\"`, `Cookie: x`.
pub(crate) fn keys(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr::memchr2(b'=', b':', &bytes[from..]).map(|i| from + i) {
        from = at + 1;
        let Some((name, quoted)) = key_before(bytes, at) else { continue };
        let Some(class) = key_class(name) else { continue };
        if let Some((start, end)) = value_after(bytes, at, quoted, class)
            && !is_placeholder(&bytes[start..end])
        {
            findings.push(Finding { start, end, class, whole: true });
            from = from.max(end);
        }
    }
}

/// The key that ends before the separator at `at`, and whether it stands in quotes.
fn key_before(bytes: &[u8], at: usize) -> Option<(&[u8], bool)> {
    let mut end = trim_end(bytes, at);
    let mut quoted = false;
    if let Some(without) = strip_quote(bytes, end) {
        (end, quoted) = (without, true);
    }
    let start = bytes[..end].iter().rposition(|&b| !is_key_name(b)).map_or(0, |i| i + 1);
    // `\x22password` reads as a key `x22password` of which the escape is no part; `normalise` keeps its ending.
    (start < end).then(|| (&bytes[start..end], quoted))
}

fn trim_end(bytes: &[u8], mut end: usize) -> usize {
    while end > 0 && matches!(bytes[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    end
}

fn is_key_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'$')
}

/// Where the text before a closing quote at `end` ends: `"`, `'`, `\"`, `\x22`, `\u0022`.
fn strip_quote(bytes: &[u8], end: usize) -> Option<usize> {
    let mut at = match bytes[..end].last()? {
        b'"' | b'\'' => end - 1,
        b'2' if bytes[..end].ends_with(b"\\x22") => return Some(end - 4),
        b'2' if bytes[..end].ends_with(b"\\u0022") => return Some(end - 6),
        _ => return None,
    };
    while at > 0 && bytes[at - 1] == b'\\' {
        at -= 1;
    }
    Some(at)
}

/// The range of the value after the separator at `at`.
fn value_after(bytes: &[u8], at: usize, key_quoted: bool, class: Class) -> Option<(usize, usize)> {
    let colon = bytes[at] == b':';
    let spaces = bytes[at + 1..].iter().take_while(|&&b| matches!(b, b' ' | b'\t')).count();
    let start = at + 1 + spaces;
    if start >= bytes.len() {
        return None;
    }
    let free = is_free(class) && !key_quoted;
    if !free && let Some(width) = opening_quote(&bytes[start..]) {
        let (open, inner) = (&bytes[start..start + width], start + width);
        let end = memchr::memmem::find(&bytes[inner..], open).map_or(bytes.len(), |i| inner + i);
        return (inner < end).then_some((inner, closing(bytes, inner, end, open)));
    }
    if matches!(bytes[start], b'{' | b'[') && (colon || key_quoted) {
        return Some((start, nested_end(bytes, start)));
    }
    if !colon && spaces > 0 && !key_quoted && !free {
        return None;
    }
    let stop = stops(colon, key_quoted, class);
    let end = bytes[start..].iter().position(|&b| stop(b)).map_or(bytes.len(), |i| start + i);
    let value = &bytes[start..end];
    // `/token:refresh` is a path, `12:30` a time: after a bare colon only what looks like a value counts.
    let plausible = !colon || key_quoted || spaces > 0 || value.iter().any(u8::is_ascii_digit) || value.len() >= 16;
    (start < end && plausible).then_some((start, end))
}

fn opening_quote(bytes: &[u8]) -> Option<usize> {
    let backslashes = bytes.iter().take_while(|&&b| b == b'\\').count();
    match bytes.get(backslashes)? {
        b'"' | b'\'' => Some(backslashes + 1),
        b'x' if backslashes == 1 && bytes.starts_with(b"\\x22") => Some(4),
        b'u' if backslashes == 1 && bytes.starts_with(b"\\u0022") => Some(6),
        _ => None,
    }
}

/// The closing quote may not be escaped itself: after a plain `"`, a `\"` belongs to the value.
fn closing(bytes: &[u8], inner: usize, first: usize, open: &[u8]) -> usize {
    let mut end = first;
    while end < bytes.len() && end > inner && bytes[end - 1] == b'\\' {
        let after = end + open.len();
        end = memchr::memmem::find(&bytes[after..], open).map_or(bytes.len(), |i| after + i);
    }
    end
}

/// The end of the JSON array or object that starts at `start`, or of the text. Brackets in strings do not count; where
/// the quotes themselves are escaped, it ends with the text.
fn nested_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut in_string, mut i) = (0usize, false, start);
    while i < bytes.len() {
        match bytes[i] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => i += 1,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        i += 1;
        if depth == 0 {
            return i.min(bytes.len());
        }
    }
    bytes.len()
}

/// Values that people choose, and may hold any character: quotes, semicolons, spaces.
fn is_free(class: Class) -> bool {
    class == Class::PASSWORD || class == Class::SECRET
}

/// Where a value without quotes ends.
fn stops(colon: bool, key_quoted: bool, class: Class) -> fn(u8) -> bool {
    if is_free(class) && !key_quoted {
        return |b| matches!(b, b'&' | b'\r' | b'\n');
    }
    if class == Class::AUTHORIZATION || class == Class::COOKIE {
        return if colon {
            |b| matches!(b, b'"' | b'\'' | b'\r' | b'\n')
        } else {
            |b| matches!(b, b'"' | b'\'' | b'\r' | b'\n' | b'&')
        };
    }
    if colon && key_quoted {
        return |b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
    }
    |b| matches!(b, b'&' | b';' | b'#' | b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\')
}

/// What others put where a secret was, or a value that says nothing.
pub(crate) fn is_placeholder(value: &[u8]) -> bool {
    value.starts_with(b"[REDACTED")
        || value.iter().all(|&b| matches!(b, b'*' | b'-' | b'x' | b'X'))
        || [&b"REDACTED"[..], b"redacted", b"[FILTERED]", b"<redacted>", b"null", b"true", b"false", b"undefined"]
            .contains(&value)
}

/// E-mail addresses, and `user:password@` of URLs.
pub(crate) fn addresses(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let stop = |b: &u8| matches!(b, b'/' | b'?' | b'#' | b' ' | b'"' | b'\'' | b'<' | b'>');
    // Behind the last stop so far, and how far was looked: each byte is looked at once, however many `@` there are.
    let (mut start, mut seen) = (None, 0);
    for at in memchr::memchr_iter(b'@', bytes) {
        start = bytes[seen..at].iter().rposition(stop).map(|i| seen + i + 1).or(start);
        seen = at;
        if let Some(finding) = start.and_then(|start| userinfo(bytes, start, at)).or_else(|| email(bytes, at)) {
            findings.push(finding);
        }
    }
}

/// `user:password` between `//` and the `@` at `at`.
fn userinfo(bytes: &[u8], start: usize, at: usize) -> Option<Finding> {
    let is_authority = start >= 2 && &bytes[start - 2..start] == b"//";
    (is_authority && start < at).then(|| Finding::new(start, at, Class::USERINFO))
}

fn email(bytes: &[u8], at: usize) -> Option<Finding> {
    let local =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'') || *b >= 0x80;
    let domain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-') || *b >= 0x80;
    let start = bytes[..at].iter().rposition(|b| !local(b)).map_or(0, |i| i + 1);
    let mut end = bytes[at + 1..].iter().position(|b| !domain(b)).map_or(bytes.len(), |i| at + 1 + i);
    while end > at + 1 && matches!(bytes[end - 1], b'.' | b'-') {
        end -= 1;
    }
    let host = &bytes[at + 1..end];
    let dot = host.iter().rposition(|&b| b == b'.')?;
    let top = &host[dot + 1..];
    let is_email = start < at && dot > 0 && top.len() >= 2 && !top.iter().all(u8::is_ascii_digit);
    is_email.then(|| Finding::new(start, end, Class::EMAIL))
}

/// Card numbers: digits in one piece or in groups, of a known issuer's range, with a right check digit.
pub(crate) fn cards(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else { return };
        let (end, grouped) = digits_end(bytes, start);
        at = end;
        if let Some((from, to)) = card_in(bytes, start, end, grouped) {
            findings.push(Finding::new(from, to, Class::CARD));
        }
    }
}

/// The end of the digits from `start` on, over single separators, and whether there were any.
fn digits_end(bytes: &[u8], start: usize) -> (usize, bool) {
    let (mut end, mut grouped) = (start + 1, false);
    while end < bytes.len() {
        let separated = matches!(bytes[end], b' ' | b'-' | b'+') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !bytes[end].is_ascii_digit() && !separated {
            break;
        }
        grouped |= separated;
        end += 1;
    }
    (end, grouped)
}

fn card_in(bytes: &[u8], start: usize, end: usize, grouped: bool) -> Option<(usize, usize)> {
    let range = &bytes[start..end];
    if grouped {
        // In groups, a neighbour that is a letter means an identifier, such as a UUID; each piece may still be a card.
        let free = |b: Option<&u8>| !b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'-');
        let before = start.checked_sub(1).and_then(|i| bytes.get(i));
        if free(before) && free(bytes.get(end)) && is_card(range) {
            return Some((start, end));
        }
    }
    let mut at = start;
    for piece in range.split(|b| !b.is_ascii_digit()) {
        if piece.len() as u32 >= CARD_DIGITS_MIN && !in_hex(bytes, at, at + piece.len()) && is_card(piece) {
            return Some((at, at + piece.len()));
        }
        at += piece.len() + 1;
    }
    None
}

/// Are these digits part of a longer hexadecimal number?
fn in_hex(bytes: &[u8], start: usize, end: usize) -> bool {
    let hex = |b: &u8| matches!(b, b'a'..=b'f' | b'A'..=b'F');
    start.checked_sub(1).is_some_and(|i| hex(&bytes[i])) || bytes.get(end).is_some_and(hex)
}

fn is_card(text: &[u8]) -> bool {
    let digits = || text.iter().rev().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0'));
    let count = digits().count();
    if !(CARD_DIGITS_MIN as usize..=19).contains(&count) || !is_issued(text, count) {
        return false;
    }
    let doubled = |d: u32| if d > 4 { d * 2 - 9 } else { d * 2 };
    let sum: u32 = digits().enumerate().map(|(i, d)| if i % 2 == 1 { doubled(d) } else { d }).sum();
    sum.is_multiple_of(10)
}

/// Is there an issuer of numbers that start so and are so long? Without this every tenth timestamp is a card.
fn is_issued(text: &[u8], count: usize) -> bool {
    let mut digits = text.iter().filter(|b| b.is_ascii_digit());
    let (first, second) = (digits.next().copied(), digits.next().copied());
    let second = second.unwrap_or(b'0');
    match (first, count) {
        (Some(b'4'), 13 | 16 | 18 | 19) => true,
        (Some(b'3'), 14) => matches!(second, b'0' | b'6' | b'8' | b'9'),
        (Some(b'3'), 15) => matches!(second, b'4' | b'7'),
        (Some(b'1' | b'2'), 15) => matches!(second, b'8' | b'0' | b'1'),
        (Some(b'2' | b'3' | b'5'), 16) => true,
        (Some(b'3' | b'5'), 17..=19) => true,
        (Some(b'6'), 13..=19) => true,
        _ => false,
    }
}
