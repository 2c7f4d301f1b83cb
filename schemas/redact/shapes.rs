//! JWTs and private key blocks by how they begin; such blocks also without their first line, or without both. Keys of vendors
//! are in `vendor`.
//!
//! Promises: one search for all prefixes; linear time.
//! Never: decodes, but for a line of base64, to tell a key from a text.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::classes::Class;
use super::decode;
use super::find::Finding;
use super::rules::{self, Kind};

/// What may follow a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// A JWT: `A-Za-z0-9_-.=`, and there must be a dot.
    Dotted,
    /// Base64: the body of a private key.
    Body,
}

/// A shape: a prefix, and at least `least` characters of its tail.
pub(crate) struct Shape {
    pub(crate) class: Class,
    pub(crate) prefix: &'static str,
    pub(crate) tail: Tail,
    pub(crate) least: usize,
}

const fn shape(class: Class, prefix: &'static str, tail: Tail, least: usize) -> Shape {
    Shape { class, prefix, tail, least }
}

/// The shapes. Minimum lengths are below what vendors issue, so that a cut key is found too.
#[rustfmt::skip]
pub(crate) static SHAPES: &[Shape] = &[
    shape(Class::JWT, "eyJ", Tail::Dotted, 8), shape(Class::JWT, "eyA", Tail::Dotted, 8),
    shape(Class::JWT, "ewo", Tail::Dotted, 8), shape(Class::JWT, "ew0", Tail::Dotted, 8),
    shape(Class::PRIVATE_KEY, "MIIEv", Tail::Body, 60), shape(Class::PRIVATE_KEY, "MIIEp", Tail::Body, 60),
    shape(Class::PRIVATE_KEY, "MIIEo", Tail::Body, 60), shape(Class::PRIVATE_KEY, "MIICX", Tail::Body, 60), shape(Class::PRIVATE_KEY, "MIICd", Tail::Body, 60), shape(Class::PRIVATE_KEY, "MIIJ", Tail::Body, 60),
    shape(Class::PRIVATE_KEY, "MIGHAgEA", Tail::Body, 40), shape(Class::PRIVATE_KEY, "MHcCAQEE", Tail::Body, 40), shape(Class::PRIVATE_KEY, "MC4CAQAw", Tail::Body, 30),
    shape(Class::PRIVATE_KEY, "b3BlbnNzaC1rZXktdjE", Tail::Body, 40),
];

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
        Tail::Dotted => {
            let mut length = dotted_run(tail);
            let dot = tail[..length].iter().position(|&b| b == b'.')?;
            // `eyJ` is `{"` in base64 and in no word; the others stand in `framework.js`, too.
            if shape.prefix != "eyJ" && !is_object(&text.as_bytes()[start..after + dot]) {
                return None;
            }
            // What an SD-JWT discloses.
            while tail.get(length) == Some(&b'~') {
                length += 1 + dotted_run(&tail[length + 1..]);
            }
            (start, length)
        }
        Tail::Body => (start, run(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\r' | b'\n'))),
    };
    (length >= shape.least).then(|| Finding::new(start, after + length, shape.class))
}

/// Is it the beginning of a JSON object in base64?
fn is_object(segment: &[u8]) -> bool {
    let mut plain = Vec::new();
    let whole = &segment[..segment.len().min(48) / 4 * 4];
    decode::base64_whole(whole, &mut plain).is_some()
        && plain.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\""))
}

fn is_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// Private key blocks, from their first line or from what is left of it, to their last line or the end; and what stands
/// before a last line.
pub(crate) fn key_blocks(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    if !rules::has(rules::PEM) {
        return;
    }
    // A form writes blanks as `+`.
    let is_named = |at: &usize| matches!(bytes.get(at + 7), Some(b' ' | b'+')) && bytes[at + 8..].starts_with(b"KEY");
    for at in memchr::memmem::find_iter(bytes, b"PRIVATE").filter(is_named).take(8) {
        let behind = at + 11;
        let is_last = bytes[at.saturating_sub(24)..at].windows(3).any(|w| w == b"END");
        if is_last {
            let line = bytes[..at].iter().rposition(|&b| !is_header(b)).map_or(0, |i| i + 1);
            let start = bytes[..line].iter().rposition(|&b| !is_body(b)).map_or(0, |i| i + 1);
            if line - start >= 16 {
                let end = behind + dashes(&bytes[behind..]);
                findings.push(Finding { start, end, class: Class::PRIVATE_KEY, whole: true });
            }
            continue;
        }
        let rest = &bytes[behind..];
        let end = memchr::memmem::find(rest, b"-----END").unwrap_or_else(|| {
            let head = rest.iter().take_while(|&&b| matches!(b, b'-' | b' ' | b'+')).count();
            head + rest[head..].iter().position(|&b| !is_body(b)).unwrap_or(rest.len() - head)
        });
        if end >= 21 {
            let first = bytes[at.saturating_sub(24)..at].windows(10).rposition(|w| w == b"-----BEGIN");
            let start = first.map_or(behind, |i| at.saturating_sub(24) + i);
            findings.push(Finding { start, end: behind + end, class: Class::PRIVATE_KEY, whole: true });
        }
    }
}

/// What of a key file has no line that names it: the lines behind `Private-Lines:` of PuTTY, and lines of base64 of one length.
pub(crate) fn key_lines(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    if !rules::has(rules::KEY_LINES) {
        return;
    }
    if let Some(at) = memchr::memmem::find(bytes, b"Private-Lines:") {
        let start = at + 14;
        let mac = memchr::memmem::find(&bytes[start..], b"Private-MAC:").map(|i| start + i + 12);
        let from = mac.unwrap_or(start);
        let rest = bytes[from..].iter().position(|&b| !(is_body(b) || b == b'\\')).unwrap_or(bytes.len() - from);
        findings.push(Finding { start, end: from + rest, class: Class::PRIVATE_KEY, whole: true });
    }
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'\n', &bytes[from..]).map(|i| from + i) {
        let end = lines_end(bytes, at);
        if let Some((start, end)) = end {
            findings.push(Finding { start, end, class: Class::PRIVATE_KEY, whole: true });
        }
        from = end.map_or(at + 1, |(_, end)| end.max(at + 1));
    }
}

/// Lines of base64 in a key file have so many characters.
const LINE_LENGTHS: std::ops::RangeInclusive<usize> = 60..=76;
/// So many of one length in a row are looked at.
const LINES_MIN: usize = 3;

/// Where lines of one length begin and end, of which the first ends at `at`; none when they are readable, or public.
fn lines_end(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let is = |at: usize, b: u8| usize::from(bytes.get(at) == Some(&b));
    let stop = if at > 0 && bytes[at - 1] == b'\r' { at - 1 } else { at };
    let length = bytes[..stop].iter().rev().take(LINE_LENGTHS.end() + 1).take_while(|b| base64(b)).count();
    if !LINE_LENGTHS.contains(&length) {
        return None;
    }
    let (start, mut end, mut lines) = (stop - length, stop, 1);
    let before = &bytes[start.saturating_sub(40)..start];
    let is_public = [&b"CERTIFICATE"[..], b"PUBLIC"].iter().any(|w| memchr::memmem::find(before, w).is_some());
    if is_public || !is_binary(&bytes[start..stop]) {
        return None;
    }
    loop {
        let feed = end + is(end, b'\r');
        let next = feed + is(feed, b'\n');
        let length_next =
            bytes.get(next..).map_or(0, |rest| rest.iter().take(length + 1).take_while(|b| base64(b)).count());
        if length_next == 0 {
            break;
        }
        (end, lines) = (next + length_next, lines + 1);
        if length_next != length || !matches!(bytes.get(end), Some(b'\r' | b'\n')) {
            break;
        }
    }
    (lines >= LINES_MIN).then_some((start, end))
}

/// Does base64 stand for something else than a text?
fn is_binary(line: &[u8]) -> bool {
    let mut plain = Vec::new();
    decode::base64_whole(&line[..line.len() / 4 * 4], &mut plain).is_some()
        && plain.iter().filter(|b| !matches!(b, 0x20..=0x7e | b'\t' | b'\r' | b'\n')).count() * 4 > plain.len()
}

/// Dashes at the beginning of `rest`.
fn dashes(rest: &[u8]) -> usize {
    rest.iter().take_while(|&&b| b == b'-').count()
}

/// Of the last line of a block: `-----END RSA `.
fn is_header(b: u8) -> bool {
    matches!(b, b'-' | b' ' | b'+') || b.is_ascii_uppercase()
}

fn is_body(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\r' | b'\n' | b' ' | b'-' | b'_')
}
