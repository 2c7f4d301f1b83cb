//! Changes an input a little: bits, cuts, splices, repeats, tokens of the grammars.
//!
//! Promises: at most `INPUT_BYTES_MAX` bytes come out.

use super::hostile::hostile;
use super::random::Random;

/// A little more than a record may have.
pub const INPUT_BYTES_MAX: usize = (1 << 20) + 100;

/// What means something to one of the readers.
const TOKENS: &[&str] = &[
    "\"",
    "\\\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "{}",
    "[]",
    "null",
    "true",
    "\\u0000",
    "\\ud800",
    "\\udc00\\ud800",
    "\\x22",
    "1e999",
    "-1",
    "-0",
    "9223372036854775807",
    "9223372036854775808",
    "0.00000001",
    "1e-400",
    "NaN",
    "- - ",
    "-",
    " ",
    "  ",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{2028}",
    "\u{a0}",
    "\u{85}",
    "ä",
    "[27/Nov/2026:10:00:00 +0000]",
    "[29/Feb/2100:24:60:61 -9999]",
    "2026-11-27T10:00:00Z",
    "9999-99-99T99:99:99.999999999999Z",
    "0000-00-00",
    "1790000000",
    "\"GET / HTTP/1.1\"",
    "GET http://a:b@c:d/e?f#g HTTP/9.9",
    "%",
    "%2",
    "%25",
    "%00",
    "%u0041",
    "%2f..%2f",
    "&",
    "=",
    ";",
    "&amp;",
    "#",
    "#Fields: date time c-ip cs-uri sc-status",
    "#Fields:",
    "#Fields: \t",
    "<34>Nov 27 10:00:00 gw nginx: ",
    "<34>1 2026-11-27T10:00:00Z gw nginx - - [a b=\"c\"] ",
    "2026-11-27T10:00:00Z stdout F ",
    "2026-11-27T10:00:00Z stderr P ",
    "{\"log\":\"",
    "{\"message\":",
    "{\"records\":[",
    "\"logEvents\":[",
    "\"resourceLogs\":[",
    "203.0.113.7",
    "2001:db8::1",
    "[2001:db8::1%eth0]:443",
    "unix:",
    "_hidden",
    "unknown",
    "Bearer ",
    "Basic ",
    "password=",
    "token=",
    "eyJhbGciOiJIUzI1NiJ9.e30.",
    "4111111111111111",
    "anna@shop.example",
    "/../",
    "/{id}",
    "$remote_addr",
    "${",
    "<a:text>",
    "<",
    ">",
    "&a [*a]",
    "*a",
    "\n  ",
];

const BYTES: [u8; 16] = [0, 1, 0x1b, 0x7f, 0x80, 0xbf, 0xc3, 0xed, 0xf0, 0xff, b'"', b'\\', b'\'', b' ', b'0', b'9'];

/// Changes `bytes`, now and then with a part of `other`.
pub fn mutate(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + random.length(12) {
        once(random, bytes, other);
        bytes.truncate(INPUT_BYTES_MAX);
    }
}

fn once(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let (start, end) = range(random, bytes);
    match random.below(16) {
        0 | 1 if start < bytes.len() => bytes[start] ^= 1 << random.below(8),
        2 if start < bytes.len() => bytes[start] = *random.of(&BYTES),
        3..=5 => insert(bytes, start, random.of(TOKENS).as_bytes()),
        6 => drop(bytes.drain(start..end)),
        7 => bytes.truncate(start),
        8 => {
            let (from, to) = range(random, other);
            insert(bytes, start, &other[from..to]);
        }
        9 => {
            let times = 1 + random.length(200);
            let piece = bytes[start..end.min(start + 64)].repeat(times);
            insert(bytes, start, &piece);
        }
        10 | 11 => {
            let (from, to) = field(random, bytes);
            let piece = bytes[from..to].to_vec();
            insert(bytes, to, &piece);
        }
        12 => {
            let (from, to) = field(random, bytes);
            bytes.splice(from..to, random.of(TOKENS).bytes());
        }
        13 => {
            let (from, to) = field(random, bytes);
            let piece = bytes.drain(from..to).collect::<Vec<u8>>();
            let to = random.below(bytes.len() + 1);
            insert(bytes, to, &piece);
        }
        14 => {
            let digits = bytes.iter().skip(start).position(u8::is_ascii_digit).map_or(bytes.len(), |i| start + i);
            insert(bytes, digits, &b"9"[..].repeat(random.length(400)));
        }
        _ if random.one_in(4) => {
            let size = random.length(32 << 10);
            let text = hostile(random, size);
            insert(bytes, start, &text);
        }
        _ => bytes[start..end.min(start + 16)].reverse(),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// A part of `bytes`, mostly a short one.
fn range(random: &mut Random, bytes: &[u8]) -> (usize, usize) {
    let start = random.below(bytes.len() + 1);
    let end = start + random.length(bytes.len() - start);
    (start, end)
}

/// From one separator to the next: a field of a line, a pair, an element.
fn field(random: &mut Random, bytes: &[u8]) -> (usize, usize) {
    let separator = *random.of(b",, \t&\"/\n;");
    let at = random.below(bytes.len() + 1);
    let start = bytes[..at].iter().rposition(|b| *b == separator).unwrap_or(0);
    let end = bytes[at..].iter().position(|b| *b == separator).map_or(bytes.len(), |i| at + i);
    (start, end)
}
