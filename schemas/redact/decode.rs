//! Undoing encodings that hide a text whole: base64 of both alphabets at any alignment, base32, hexadecimal, and in
//! them UTF-16, gzip, zlib and raw deflate.
//!
//! Promises: linear work, no recursion; what is inflated is bounded. What is told is readable text.
//! Never: decides what a decoded text is.

use flate2::{Decompress, FlushDecompress, Status};

use super::rules;
use crate::limits::INFLATED_BYTES_MAX;

/// A stretch of a text that is base64 of readable characters.
pub(crate) struct Decoded {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Fewest readable characters in a row that count as a decoded text.
const READABLE_MIN: usize = 8;

/// Calls `found` with each readable text that base64 in `run` (a run of its alphabet, starting at `base` in the whole
/// text) stands for, at any of the four alignments. Readable is text in UTF-8 without control characters.
pub(crate) fn base64(run: &[u8], base: usize, scratch: &mut Vec<u8>, found: &mut dyn FnMut(Decoded, &str)) {
    let mut tell = |bytes: &[u8], start: usize, end: usize| {
        for chunk in bytes.utf8_chunks().filter(|chunk| chunk.valid().len() >= READABLE_MIN) {
            found(Decoded { start: base + start, end: base + end }, chunk.valid());
        }
    };
    for phase in 0..4.min(run.len()) {
        scratch.clear();
        let mut first = phase;
        let mut at = phase;
        // How many bytes the letter that began still wants.
        let mut wanted = 0;
        while at < run.len() {
            let group = &run[at..run.len().min(at + 4)];
            match readable_group(group, wanted) {
                Some((bytes, count, then)) => {
                    scratch.extend_from_slice(&bytes[..count]);
                    wanted = then;
                }
                None => {
                    if scratch.len() + 4 >= READABLE_MIN {
                        let (start, end) = extend(run, first, at, scratch);
                        tell(scratch, start, end);
                    }
                    scratch.clear();
                    (first, wanted) = (at + 4, 0);
                }
            }
            at += 4;
        }
        if scratch.len() + 2 >= READABLE_MIN {
            let (start, end) = extend(run, first, run.len(), scratch);
            tell(scratch, start, end);
        }
    }
}

/// What is read of the groups before `first` and at `end`, which were not readable as a whole: a text begins and ends amid
/// its group. Returns where it begins and ends with them: behind a `/`, which may be one of a path.
fn extend(run: &[u8], first: usize, end: usize, scratch: &mut Vec<u8>) -> (usize, usize) {
    let is_text = |b: &u8| matches!(b, 0x20..=0x7e);
    let mut start = first;
    if first >= 4 {
        let bytes = group_bytes(&run[first - 4..first]);
        let count = bytes.iter().rev().take_while(|b| is_text(b)).count();
        scratch.splice(..0, bytes[3 - count..].iter().copied());
        if count > 0 {
            start -= run[first - 4..first].iter().rev().take_while(|&&b| b != b'/').count();
        }
    }
    let Some(group) = run.get(end..run.len().min(end + 4)).filter(|group| group.len() > 1) else {
        return (start, end);
    };
    let bytes = group_bytes(group);
    let count = bytes[..group.len() - 1].iter().take_while(|b| is_text(b)).count();
    scratch.extend_from_slice(&bytes[..count]);
    let more = if count > 0 { group.iter().take_while(|&&b| b != b'/').count() } else { 0 };
    (start, end + more)
}

/// The three bytes of a group of four characters; of a shorter one the last are zero.
#[inline]
fn group_bytes(group: &[u8]) -> [u8; 3] {
    let sextet = |i: usize| group.get(i).map_or(0, |&b| u32::from(SEXTETS[usize::from(b)]));
    let bits = sextet(0) << 18 | sextet(1) << 12 | sextet(2) << 6 | sextet(3);
    [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]
}

/// How many bytes a text in UTF-8 still wants for its letter after `b`, when it wanted `wanted` before; none when `b` cannot
/// follow, or is a control character.
#[inline]
fn follow(wanted: u8, b: u8) -> Option<u8> {
    match (wanted, b) {
        (0, 0x20..=0x7e | b'\t' | b'\n' | b'\r') => Some(0),
        (0, 0xc2..=0xdf) => Some(1),
        (0, 0xe0..=0xef) => Some(2),
        (0, 0xf0..=0xf4) => Some(3),
        (1..=3, 0x80..=0xbf) => Some(wanted - 1),
        _ => None,
    }
}

/// The one to three bytes of a group, and how many the letter at its end wants; none when they do not go on a text.
#[inline]
fn readable_group(group: &[u8], wanted: u8) -> Option<([u8; 3], usize, u8)> {
    let first = SEXTETS[usize::from(group[0])];
    // No letter begins with these bits; most groups of other text end here.
    if group.len() < 2 || (wanted == 0 && matches!(first, 32..48 | 62..)) {
        return None;
    }
    let sextet = |i: usize| group.get(i).map_or(0, |&b| u32::from(SEXTETS[usize::from(b)]));
    let bits = u32::from(first) << 18 | sextet(1) << 12 | sextet(2) << 6 | sextet(3);
    let (bytes, count) = ([(bits >> 16) as u8, (bits >> 8) as u8, bits as u8], group.len() - 1);
    let wanted = bytes[..count].iter().try_fold(wanted, |wanted, &b| follow(wanted, b))?;
    Some((bytes, count, wanted))
}

/// Is this a character of either base64 alphabet?
#[inline]
pub(crate) fn is_base64(b: u8) -> bool {
    SEXTETS[usize::from(b)] != 255
}

static SEXTETS: [u8; 256] = sextets();

const fn sextets() -> [u8; 256] {
    let mut table = [255u8; 256];
    let mut i = 0u8;
    while i < 26 {
        table[(b'A' + i) as usize] = i;
        table[(b'a' + i) as usize] = 26 + i;
        if i < 10 {
            table[(b'0' + i) as usize] = 52 + i;
        }
        i += 1;
    }
    (table[b'+' as usize], table[b'-' as usize]) = (62, 62);
    (table[b'/' as usize], table[b'_' as usize]) = (63, 63);
    table
}

/// Decodes base64 (either alphabet, padding ignored) as far as it goes. `None` when a character is not of it.
pub(crate) fn base64_whole(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    out.clear();
    let end = text.iter().rposition(|&b| b != b'=').map_or(0, |i| i + 1);
    for group in text[..end].chunks(4) {
        if group.iter().any(|&b| !is_base64(b)) || group.len() == 1 {
            return None;
        }
        let bits =
            (0..4).fold(0u32, |bits, i| bits << 6 | group.get(i).map_or(0, |&b| u32::from(SEXTETS[usize::from(b)])));
        out.extend_from_slice(&[(bits >> 16) as u8, (bits >> 8) as u8, bits as u8][..group.len() - 1]);
    }
    Some(())
}

/// Base32 of RFC 4648 in either case; false when it does not begin like a text or a compressed one.
pub(crate) fn base32(run: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let (mut bits, mut count) = (0u32, 0);
    for &b in run {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a',
            b'2'..=b'7' => b - b'2' + 26,
            _ => return false,
        };
        bits = bits << 5 | u32::from(value);
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
            if out.len() == 4 && !begins(out) {
                return false;
            }
        }
    }
    true
}

/// Hexadecimal; false when it does not begin like a text or a compressed one.
pub(crate) fn hex(run: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    let digit = |b: u8| char::from(b).to_digit(16);
    for pair in run.chunks_exact(2) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        out.push((high * 16 + low) as u8);
        if out.len() == 4 && !begins(out) {
            return false;
        }
    }
    true
}

/// The next `least` or more pairs of hexadecimal digits in a row from `from` on, one sign (and a blank behind it) between
/// them; where they begin and end, what they stand for in `out`.
pub(crate) fn hex_pairs(bytes: &[u8], from: usize, least: usize, out: &mut Vec<u8>) -> Option<(usize, usize)> {
    let mut at = from;
    while let Some(sign) =
        bytes.get(at..)?.iter().position(|&b| matches!(b, b':' | b' ' | b'-' | b',' | b'+')).map(|i| at + i)
    {
        at = sign + 1;
        // A pair before it, and one behind it before the same sign: all else is dismissed here.
        if sign < 2 || !bytes[sign - 2].is_ascii_hexdigit() || !bytes[sign - 1].is_ascii_hexdigit() {
            continue;
        }
        let marked = sign >= 4 && bytes[sign - 4..sign - 2].eq_ignore_ascii_case(b"0x");
        let start = sign - if marked { 4 } else { 2 };
        if start > 0 && bytes[start - 1].is_ascii_alphanumeric() {
            continue;
        }
        out.clear();
        let mut end = start;
        while let Some((byte, width)) = hex_pair(&bytes[end..], marked) {
            out.push(byte);
            end += width;
            if bytes.get(end) != Some(&bytes[sign]) {
                break;
            }
            let blank = usize::from(matches!(bytes[sign], b',' | b':') && bytes.get(end + 1) == Some(&b' '));
            match hex_pair(&bytes[end + 1 + blank..], marked) {
                Some(_) => end += 1 + blank,
                None => break,
            }
        }
        at = at.max(end);
        if out.len() >= least {
            return Some((start, end));
        }
    }
    None
}

/// Two hexadecimal digits that stand alone, with their `0x` or without.
fn hex_pair(rest: &[u8], marked: bool) -> Option<(u8, usize)> {
    let digits = if marked { rest.get(2..).filter(|_| rest[..2].eq_ignore_ascii_case(b"0x"))? } else { rest };
    let digit = |i: usize| digits.get(i).and_then(|&b| char::from(b).to_digit(16));
    let byte = (digit(0)? * 16 + digit(1)?) as u8;
    digits.get(2).is_none_or(|b| !b.is_ascii_alphanumeric()).then_some((byte, if marked { 4 } else { 2 }))
}

/// Does this stretch of hexadecimal digits begin like a text or a compressed one, from its first digit or its second?
pub(crate) fn hex_begins(run: &[u8]) -> Option<usize> {
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
    let head =
        |skip: usize| std::array::from_fn::<u8, 4, _>(|i| digit(run[skip + 2 * i]) << 4 | digit(run[skip + 2 * i + 1]));
    (0..2).find(|&skip| run.len() >= skip + 8 && begins(&head(skip)))
}

/// Could a text begin so, or UTF-16, or something compressed?
fn begins(bytes: &[u8]) -> bool {
    bytes.iter().try_fold(0, |wanted, &b| follow(wanted, b)).is_some() || is_packed(bytes)
}

/// Begins like UTF-16, gzip or zlib.
pub(crate) fn is_packed(bytes: &[u8]) -> bool {
    match bytes {
        [0x1f, 0x8b, ..] | [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [a, 0, b, 0, ..] | [0, a, 0, b, ..] => *a != 0 && *b != 0,
        [a, b, ..] => is_zlib(*a, *b),
        _ => false,
    }
}

fn is_zlib(a: u8, b: u8) -> bool {
    a == 0x78 && (u32::from(a) << 8 | u32::from(b)).is_multiple_of(31)
}

/// Could this base64 be of compressed data? Raw deflate has no mark; it is tried where `raw` allows.
pub(crate) fn may_be_packed(run: &[u8], raw: bool) -> bool {
    if run.len() < 16 {
        return false;
    }
    let (one, two) = (group_bytes(&run[..4]), group_bytes(&run[4..8]));
    let head = [one[0], one[1], one[2], two[0], two[1], two[2]];
    is_packed(&head) || (raw && may_be_deflate(&head, run))
}

/// Shortest base64 of a deflate block with codes of its own: such a block begins with some fifty bytes of them.
const OWN_CODES_MIN: usize = 56;

/// So much of base64 tells whether it looks drawn.
const LOOKED_AT: usize = 64;

/// Could a block of raw deflate begin so, in base64 that looks drawn? One with the fixed codes is told by its first two
/// letters, which are of a text.
fn may_be_deflate(head: &[u8; 6], run: &[u8]) -> bool {
    let bits = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let begins = match bits >> 1 & 3 {
        1 => {
            // Huffman codes stand with their first bit first: those of 32 to 126 are eight bits, from 0x50 on.
            let letter = |at: u32| ((bits >> at) as u8).reverse_bits().wrapping_sub(0x30);
            [3, 11].into_iter().all(|at| matches!(letter(at), 0x20..=0x7e | b'\t' | b'\n' | b'\r'))
        }
        // Counts of codes that there may be.
        2 => run.len() >= OWN_CODES_MIN && bits >> 3 & 31 <= 29 && bits >> 8 & 31 <= 29,
        _ => false,
    };
    let has = |test: fn(&u8) -> bool| run.iter().take(LOOKED_AT).any(test);
    begins && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
}

/// Could this base64 be of UTF-16? Of every eight characters then two are `A`, at least.
pub(crate) fn may_be_utf16(run: &[u8]) -> bool {
    run.len() >= 16 && memchr::memchr_iter(b'A', run).count() * 6 >= run.len()
}

/// Decodes compressed data, with buffers of its own.
#[derive(Default)]
pub(crate) struct Inflater {
    zlib: Option<Decompress>,
    raw: Option<Decompress>,
    out: Vec<u8>,
}

impl Inflater {
    /// What `bytes` inflate to, at most `INFLATED_BYTES_MAX`; the second is true when there was more.
    /// Raw deflate, which has no mark, is tried where `raw` says so.
    pub(crate) fn inflate(&mut self, bytes: &[u8], raw: bool) -> Option<(&[u8], bool)> {
        let (zlib, body) = match bytes {
            [0x1f, 0x8b, 8, flags, ..] if rules::has(rules::GZIP) => (false, gzip_body(bytes, *flags)?),
            [a, b, ..] if is_zlib(*a, *b) && rules::has(rules::ZLIB) => (true, bytes),
            // A block of raw deflate that is compressed at all.
            [a, ..] if raw && matches!(a >> 1 & 3, 1 | 2) && rules::has(rules::DEFLATE) => (false, bytes),
            _ => return None,
        };
        let place = if zlib { &mut self.zlib } else { &mut self.raw };
        let inflate = place.get_or_insert_with(|| Decompress::new(zlib));
        inflate.reset(zlib);
        self.out.resize(INFLATED_BYTES_MAX, 0);
        let ended = inflate.decompress(body, &mut self.out, FlushDecompress::Finish);
        let count = inflate.total_out() as usize;
        let more = !matches!(ended, Ok(Status::StreamEnd)) && count >= INFLATED_BYTES_MAX;
        (count > 0).then(|| (&self.out[..count], more))
    }
}

/// What follows the header of a gzip member: its optional fields are skipped.
fn gzip_body(bytes: &[u8], flags: u8) -> Option<&[u8]> {
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(*bytes.get(at)?) + usize::from(*bytes.get(at + 1)?) * 256;
    }
    for flag in [8, 16] {
        if flags & flag != 0 {
            at += bytes.get(at..)?.iter().position(|&b| b == 0)? + 1;
        }
    }
    at += if flags & 2 != 0 { 2 } else { 0 };
    bytes.get(at..)
}

/// The text that bytes in UTF-16 of either order are, where every second one is zero for four letters at least.
pub(crate) fn utf16(bytes: &[u8], out: &mut String) -> bool {
    out.clear();
    if !rules::has(rules::UTF16) || !bytes.contains(&0) {
        return false;
    }
    let (mut at, mut from) = (0, 0);
    while let Some(pair) = bytes.get(at..at + 2) {
        if matches!(*pair, [0xff, 0xfe] | [0xfe, 0xff]) {
            end_stretch(out, &mut from);
            at += 2;
            continue;
        }
        let letter = match *pair {
            [0, b] | [b, 0] if b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r') => Some(b),
            _ => None,
        };
        match letter {
            Some(b) => {
                out.push(char::from(b));
                at += 2;
            }
            None => {
                end_stretch(out, &mut from);
                at += 1;
            }
        }
    }
    // Read a byte too late, the last letter stands alone.
    if let Some(&b) = bytes.get(at).filter(|b| out.len() > from && matches!(b, 0x20..=0x7e)) {
        out.push(char::from(b));
    }
    end_stretch(out, &mut from);
    !out.is_empty()
}

/// Ends a stretch of letters that began at `from`: one of fewer than four was none.
fn end_stretch(out: &mut String, from: &mut usize) {
    if out[*from..].chars().take(4).count() < 4 {
        out.truncate(*from);
    } else {
        out.push('\n');
    }
    *from = out.len();
}

/// Calls `found` with each readable stretch of `bytes`.
pub(crate) fn readable(bytes: &[u8], found: &mut dyn FnMut(&str)) {
    for chunk in bytes.utf8_chunks() {
        for text in chunk.valid().split(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            if text.len() >= READABLE_MIN {
                found(text);
            }
        }
    }
}
