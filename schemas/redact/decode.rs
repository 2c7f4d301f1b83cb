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
                    if scratch.len() >= READABLE_MIN {
                        tell(scratch, first, at);
                    }
                    scratch.clear();
                    (first, wanted) = (at + 4, 0);
                }
            }
            at += 4;
        }
        if scratch.len() >= READABLE_MIN {
            tell(scratch, first, run.len());
        }
    }
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

/// Could this base64 be of UTF-16 or of compressed data? Raw deflate has no mark; it is tried where `raw` allows.
pub(crate) fn may_be_packed(run: &[u8], raw: bool) -> bool {
    let sextet = |i: usize| run.get(i).map_or(0, |&b| u32::from(SEXTETS[usize::from(b)]));
    if run.len() < 16 {
        return false;
    }
    let bits = |i: usize| sextet(i) << 18 | sextet(i + 1) << 12 | sextet(i + 2) << 6 | sextet(i + 3);
    let (one, two) = (bits(0), bits(4));
    let head = [(one >> 16) as u8, (one >> 8) as u8, one as u8, (two >> 16) as u8];
    let has = |test: fn(&u8) -> bool| run.iter().any(test);
    let is_dense = || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    is_packed(&head) || (raw && run.len() >= 32 && matches!(head[0] >> 1 & 3, 1 | 2) && is_dense())
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

/// The text that bytes in UTF-16 are, when every second one is zero: its letters alone.
pub(crate) fn utf16(bytes: &[u8], out: &mut String) -> bool {
    let zeros = bytes.iter().filter(|&&b| b == 0).count();
    if zeros * 5 < bytes.len() * 2 || zeros < 4 || !rules::has(rules::UTF16) {
        return false;
    }
    out.clear();
    out.extend(bytes.iter().filter(|&&b| b != 0).map(|&b| if b < 0x80 { char::from(b) } else { '?' }));
    true
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
