//! Undoing encodings, so that a secret is seen through them: percent escapes (to the bottom), `\x22`, `\u0022` and `\"`
//! escapes, base64 of both alphabets at any alignment.
//!
//! Promises: bounded work, no recursion; what is written is text (bytes that are not UTF-8 become `?`).
//! Never: decides what a decoded text is.

use crate::limits::URL_DECODE_ROUNDS_MAX;

/// Percent-decodes `text` until nothing changes. True when it changed at all. `unfinished` tells whether it would
/// still change.
pub(crate) fn percent(text: &str, out: &mut String, unfinished: &mut bool) -> bool {
    let mut bytes = text.as_bytes().to_vec();
    let mut changed = false;
    for _ in 0..URL_DECODE_ROUNDS_MAX {
        if !percent_once(&mut bytes) {
            write_text(&bytes, out);
            return changed;
        }
        changed = true;
    }
    *unfinished = percent_once(&mut bytes.clone());
    write_text(&bytes, out);
    changed
}

/// One round, in place: the result is never longer.
fn percent_once(bytes: &mut Vec<u8>) -> bool {
    let (mut read, mut write, length) = (0, 0, bytes.len());
    while read < length {
        let escape = if bytes[read] == b'%' { hex_pair(bytes.get(read + 1..read + 3)) } else { None };
        bytes[write] = escape.unwrap_or(bytes[read]);
        read += if escape.is_some() { 3 } else { 1 };
        write += 1;
    }
    bytes.truncate(write);
    write < length
}

fn hex_pair(pair: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = pair? else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// Resolves the escapes of JSON strings and of access logs. True when there were any.
pub(crate) fn backslashes(text: &str, out: &mut String) -> bool {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut i = 0;
    let mut changed = false;
    while i < bytes.len() {
        if bytes[i] != b'\\' || i + 1 == bytes.len() {
            plain.push(bytes[i]);
            i += 1;
            continue;
        }
        changed = true;
        i += escape(&bytes[i..], &mut plain);
    }
    write_text(&plain, out);
    changed
}

/// Writes what the escape at the start of `bytes` stands for; returns its width.
fn escape(bytes: &[u8], plain: &mut Vec<u8>) -> usize {
    match bytes[1] {
        b'x' | b'X' => match hex_pair(bytes.get(2..4)) {
            Some(byte) => plain.push(byte),
            None => return 1,
        },
        b'u' => {
            let (Some(high), Some(low)) = (hex_pair(bytes.get(2..4)), hex_pair(bytes.get(4..6))) else { return 1 };
            let unit = char::from_u32(u32::from(high) << 8 | u32::from(low)).unwrap_or('?');
            plain.extend_from_slice(unit.encode_utf8(&mut [0; 4]).as_bytes());
            return 6;
        }
        b'n' | b'r' | b't' => {
            plain.push(b' ');
            return 2;
        }
        other => {
            plain.push(other);
            return 2;
        }
    }
    4
}

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

fn write_text(bytes: &[u8], out: &mut String) {
    out.clear();
    match std::str::from_utf8(bytes) {
        Ok(text) => out.push_str(text),
        Err(_) => out.extend(bytes.iter().map(|&b| if b.is_ascii() { char::from(b) } else { '?' })),
    }
}
