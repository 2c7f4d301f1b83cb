//! Keys that vendors issue, told by what they begin with (some by what stands in their middle): several hundred shapes
//! from a maintained rule set and our own, in one pass: where a word begins, its first three bytes tell which shapes may.
//!
//! Promises: linear time; a finding covers the whole key; a prefix counts at the beginning of a word only
//! (`disk_live_migration`, `highs_and_lows` are none), and, but for prefixes nobody else writes, only before
//! characters that look generated.
//! Never: compiles a regular expression; skips a value because it holds a word such as `example`.

mod infix;
mod random;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use super::classes::Class;
use super::find::Finding;
use super::rules::{self, Kind};
use super::values::is_random;
pub(crate) use random::looks_random;
use table::{GROUPS, INNER, Proof};

mod generated {
    include!(concat!(env!("OUT_DIR"), "/vendor_rules.rs"));
}

/// So much of what follows a prefix is looked at before it is known to be a key.
const TAIL_LOOKED_AT: usize = 160;
/// Fewest letters and digits in a row in a text that is searched for marks: the keys they tell have more.
const MARKED_RUN_MIN: u32 = 12;

/// Lower case, upper case, digit; 0 for what is in no word.
static KINDS: [u8; 256] = kinds();

const fn kinds() -> [u8; 256] {
    let mut table = [0; 256];
    let mut b = 0u8;
    while b < 128 {
        table[b as usize] =
            b.is_ascii_lowercase() as u8 | (b.is_ascii_uppercase() as u8) << 1 | (b.is_ascii_digit() as u8) << 2;
        b += 1;
    }
    table
}

/// Longest beginning before an inner word, as `acme` in `acme_live_`.
const STEM_BYTES_MAX: usize = 24;

/// One thing that may follow a prefix.
#[derive(Clone, Copy, Debug)]
struct Row {
    class: Class,
    proof: Proof,
    /// ASCII characters that the rule allows behind the prefix.
    allowed: u128,
    least: usize,
    most: usize,
}

/// A prefix, or an inner word, and what may follow it.
struct Shape {
    prefix: &'static str,
    is_inner: bool,
    /// Most keys that it finds are found by another shape, too.
    is_covered: bool,
    rows: Vec<Row>,
}

struct Shapes {
    /// By their prefixes, so that those with the same first two bytes stand together.
    shapes: Vec<Shape>,
    /// Which first three bytes there may be: a bit for each of their hashes.
    begins: Vec<u64>,
    /// Per pair of first bytes, the place of the first such shape.
    places: FxHashMap<u16, usize>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let shapes = shapes();
    let (mut begins, mut places) = (vec![0u64; 1 << 10], FxHashMap::default());
    for (place, shape) in shapes.iter().enumerate() {
        let prefix = shape.prefix.as_bytes();
        places.entry(pair(prefix, 0)).or_insert(place);
        // A prefix of two bytes goes on with anything.
        let thirds = prefix.get(2).map_or(0..=255, |&third| third..=third);
        for third in thirds {
            let hash = hash([prefix[0], prefix[1], third]);
            begins[hash >> 6] |= 1 << (hash & 63);
        }
    }
    Shapes { shapes, begins, places }
});

/// 16 bits that three bytes are known by.
#[inline]
fn hash(bytes: [u8; 3]) -> usize {
    let number = u32::from(bytes[0]) | u32::from(bytes[1]) << 8 | u32::from(bytes[2]) << 16;
    (number.wrapping_mul(0x9e37_79b1) >> 16) as usize
}

/// Two bytes as one number.
fn pair(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) << 8 | u16::from(bytes[at + 1])
}

fn shapes() -> Vec<Shape> {
    let mut rows: BTreeMap<&'static str, Vec<Row>> = BTreeMap::new();
    // Hashes of passwords are told by their marks, with a class and an end of their own.
    let rules = generated::RULES.iter().filter(|(prefix, ..)| !infix::is_crypt(prefix));
    for &(prefix, allowed, least, most) in rules {
        let (least, most) = (usize::from(least), usize::from(most));
        let open = matches!(prefix.as_bytes().last(), Some(b'_' | b'-' | b'.' | b'$' | b'~')) && prefix.len() >= 4;
        // What was cut at two thirds is a key still, but behind a word of everybody's.
        let least = if open && prefix != "app-" { least.min((least * 2 / 3).max(16)) } else { least };
        let proof = if open { Proof::Random } else { Proof::Exact };
        rows.entry(prefix).or_default().push(Row { class: class_of(prefix), proof, allowed, least, most });
    }
    for group in GROUPS {
        for prefix in group.prefixes.split_ascii_whitespace() {
            let row = Row {
                class: group.class,
                proof: group.proof,
                allowed: 0,
                least: usize::from(group.least),
                most: usize::MAX,
            };
            rows.entry(prefix).or_default().insert(0, row);
        }
    }
    let covered: BTreeSet<&'static str> = rows.keys().copied().filter(|prefix| is_covered(prefix, &rows)).collect();
    let shape = |(prefix, rows)| Shape { prefix, is_inner: false, is_covered: covered.contains(prefix), rows };
    let mut shapes: Vec<Shape> = rows.into_iter().map(shape).collect();
    shapes.extend(INNER.iter().map(|&prefix| {
        let row =
            Row { class: Class::VENDOR_KEY, proof: Proof::Random, allowed: 0, least: INNER_LEAST, most: usize::MAX };
        Shape { prefix, is_inner: true, is_covered: false, rows: vec![row] }
    }));
    // Of two that both fit, the longer one says more.
    shapes.sort_by_key(|shape| (pair(shape.prefix.as_bytes(), 0), std::cmp::Reverse(shape.prefix.len())));
    shapes
}

/// Least characters of a key with an inner word.
const INNER_LEAST: usize = 20;

/// Does another shape find nearly all that this prefix would: a shorter prefix, or an inner word in it? It is kept for the rest: keys
/// behind a sign of names, with other characters, or with the first hyphen early.
fn is_covered(prefix: &str, rows: &BTreeMap<&'static str, Vec<Row>>) -> bool {
    let own = &rows[prefix];
    let is_generated = |row: &Row| matches!(row.proof, Proof::Random | Proof::Exact);
    let by = |least: usize, at: usize| {
        let more = prefix.len() - at;
        own.iter().all(|row| is_generated(row) && row.least.min(TAIL_LOOKED_AT) + more >= least)
    };
    let inner = |word: &str| {
        prefix.find(word).is_some_and(|at| (1..=STEM_BYTES_MAX).contains(&at) && by(INNER_LEAST, at + word.len()))
    };
    let shorter = |length: usize| {
        let (short, more) = prefix.split_at(length);
        // A shape whose prefix ends within a word asks for more of that word.
        let is_open = !short.ends_with(|c: char| c.is_ascii_alphanumeric());
        let goes_on = |row: &Row| match row.proof {
            Proof::Prefix => true,
            Proof::Random => is_open || more.bytes().all(|b| b.is_ascii_alphanumeric()),
            _ => false,
        };
        let known = rows.get(short).into_iter().flatten();
        more.bytes().all(is_key) && known.into_iter().any(|row| goes_on(row) && by(row.least, length))
    };
    INNER.iter().any(|word| inner(word)) || (1..prefix.len()).filter(|at| prefix.is_char_boundary(*at)).any(shorter)
}

/// The class of a rule's own prefix, where it is not one of ours.
fn class_of(prefix: &str) -> Class {
    let group = GROUPS
        .iter()
        .find(|g| g.class != Class::VENDOR_KEY && g.prefixes.split_ascii_whitespace().any(|p| prefix.starts_with(p)));
    group.map_or(Class::VENDOR_KEY, |group| group.class)
}

/// Vendors' keys in `text`.
pub(crate) fn find(text: &str, findings: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let known = &*SHAPES;
    let mut run = Run::default();
    let (mut at, mut letters, mut kinds, mut may_be_marked) = (0, 0u32, 0u8, false);
    let mut longest = 0;
    while let Some(&[first, second, third]) = bytes.get(at..at + 3) {
        // Kinds of characters in the word so far; words of one kind are no keys with a mark.
        let kind = KINDS[usize::from(first)];
        (letters, kinds) = if kind == 0 { (0, 0) } else { (letters + 1, kinds | kind) };
        longest = longest.max(letters);
        may_be_marked |= letters >= MARKED_RUN_MIN && kinds & (kinds - 1) != 0;
        let hash = hash([first, second, third]);
        let is_known = known.begins[hash >> 6] >> (hash & 63) & 1 == 1;
        if is_known
            && (letters <= 1 || follows_escape(bytes, at))
            && let Some(finding) = known.key_at(bytes, at, &mut run)
        {
            at = finding.end.max(at + 1);
            (letters, may_be_marked) = (0, true);
            if finding.class == Class::AWS_KEY {
                infix::aws_secret(bytes, finding.start, finding.end, findings);
            }
            findings.push(finding);
        } else {
            at += 1;
        }
    }
    if may_be_marked {
        infix::find(bytes, findings);
    }
    // The last two letters are not read above.
    if longest + 2 >= infix::WALLET_MIN {
        infix::wallets(bytes, findings);
    }
}

impl Shapes {
    /// The key that begins at `at`, or whose inner word does.
    fn key_at(&self, bytes: &[u8], at: usize, run: &mut Run) -> Option<Finding> {
        let first = pair(bytes, at);
        let from = *self.places.get(&first)?;
        let alike = (from..).zip(&self.shapes[from..]);
        let alike = alike.take_while(|(_, shape)| pair(shape.prefix.as_bytes(), 0) == first);
        let mut begun = alike.filter(|(_, shape)| bytes[at..].starts_with(shape.prefix.as_bytes()));
        begun.find_map(|(place, shape)| key_of(bytes, at, shape, run).filter(|_| rules::on(Kind::Vendor, place)))
    }
}

/// The shapes that nothing else stands in for, with their places.
pub(super) fn names() -> impl Iterator<Item = (usize, &'static str)> {
    let shapes = SHAPES.shapes.iter().enumerate();
    shapes.filter(|(_, shape)| !shape.is_covered).map(|(place, shape)| (place, shape.prefix))
}

/// The run of key characters that was measured last, so that each is measured once however many prefixes are in it.
#[derive(Default)]
struct Run {
    start: usize,
    end: usize,
}

impl Run {
    fn end_from(&mut self, bytes: &[u8], at: usize) -> usize {
        if !(self.start..self.end).contains(&at) {
            let length = bytes[at..].iter().position(|&b| !is_key(b)).unwrap_or(bytes.len() - at);
            (self.start, self.end) = (at, at + length);
        }
        self.end
    }
}

fn key_of(bytes: &[u8], start: usize, shape: &Shape, run: &mut Run) -> Option<Finding> {
    let after = start + shape.prefix.len();
    let start = if shape.is_inner { stem(bytes, start)? } else { start };
    if !shape.is_inner && !begins_word(bytes, start, shape.prefix) {
        return None;
    }
    let end = run.end_from(bytes, after);
    let tail = &bytes[after..end.min(after + TAIL_LOOKED_AT)];
    if !NO_ASSETS.contains(&shape.prefix) && is_asset(&bytes[after..end]) {
        return None;
    }
    let row = shape.rows.iter().find(|row| fits(bytes, (start, after), tail, row))?;
    let (start, end) = match row.proof {
        Proof::Capitals => (start, after + capitals(tail)),
        Proof::Base64 => (start, after + base64_length(&bytes[after..])),
        Proof::Hook => (after, hook_end(bytes, after, end)?),
        _ => (start, whole_end(bytes, after, end, shape, row)),
    };
    Some(Finding { start, end, class: row.class, whole: false })
}

/// Prefixes that no build tool gives its files: `shpat_<hash>.json` is a key.
static NO_ASSETS: [&str; 8] = ["shpat_", "shpca_", "shppa_", "shpss_", "sbp_", "dapi", "key-", "SK"];

/// What build tools name the files of a page by: `app-<hash>.js`, `main-<hash>.chunk.css.map`.
fn is_asset(tail: &[u8]) -> bool {
    let mut pieces = tail.split(|&b| b == b'.');
    let is_hash =
        |piece: &[u8]| (6..=40).contains(&piece.len()) && piece.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    pieces.next().is_some_and(is_hash)
        && pieces.clone().next_back().is_some_and(|last| ASSETS.contains(&last))
        && pieces.all(|piece| piece.len() <= 6 && piece.iter().all(u8::is_ascii_alphanumeric))
}

static ASSETS: [&[u8]; 20] = [
    b"js", b"mjs", b"css", b"map", b"woff", b"woff2", b"ttf", b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp",
    b"avif", b"ico", b"html", b"wasm", b"mp4", b"json", b"txt",
];

/// How much of `rest` is base64, with its padding.
fn base64_length(rest: &[u8]) -> usize {
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
    rest.iter().take_while(|b| is_base64(b)).count()
}

/// The end of the secret behind the number of a webhook, which ends at `slash`. Behind `hooks/` it may be a short one.
fn hook_end(bytes: &[u8], after: usize, slash: usize) -> Option<usize> {
    let rest = bytes.get(slash..)?.strip_prefix(b"/")?;
    let length = rest.iter().take_while(|&&b| is_key(b) && b != b'.').count();
    let is_short = bytes[..after].ends_with(b"/catch/") || bytes[..after].ends_with(b"/standard/");
    let is_secret = length >= 24 || is_random(&rest[..length]) || (is_short && length >= 5);
    is_secret.then_some(slash + 1 + length)
}

fn capitals(tail: &[u8]) -> usize {
    tail.iter().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count()
}

fn fits(bytes: &[u8], (start, after): (usize, usize), tail: &[u8], row: &Row) -> bool {
    let prefix_len = after - start;
    match row.proof {
        Proof::Prefix => tail.len() >= row.least,
        Proof::Capitals => capitals(tail) >= row.least,
        Proof::Random => {
            // Behind a letter the key itself must go on: `AQE` is no word of `AQE-report-2f...`.
            let is_open = !bytes[after - 1].is_ascii_alphanumeric();
            let piece = tail.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(tail.len());
            let looked_at = if is_open { tail } else { &tail[..piece] };
            let piece_min = if prefix_len >= 5 { 6 } else { 10 };
            looked_at.len() >= row.least.min(TAIL_LOOKED_AT) && looks_random(looked_at, piece_min)
        }
        Proof::Base64 => {
            let rest = &bytes[after..bytes.len().min(after + TAIL_LOOKED_AT)];
            let key = &rest[..base64_length(rest)];
            key.len() >= row.least && looks_random(key, 6)
        }
        Proof::Hook => {
            tail.len() >= row.least
                && tail.iter().all(u8::is_ascii_digit)
                && hook_end(bytes, after, after + tail.len()).is_some()
        }
        Proof::Mixed => {
            let any = |is: fn(&u8) -> bool| tail.iter().any(is);
            let mixed = any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase) && any(u8::is_ascii_digit);
            // A dot at its end ends the sentence, not the key.
            let dots = tail.iter().rev().take_while(|&&b| b == b'.').count();
            let key = &tail[..tail.len() - dots];
            key.len() == row.least && mixed && !key.contains(&b'.') && looks_random(key, 6)
        }
        Proof::Exact => {
            let rest = &bytes[after..];
            let looked_at = &rest[..rest.len().min(TAIL_LOOKED_AT)];
            let length = looked_at.iter().position(|&b| !allows(row.allowed, b)).unwrap_or(looked_at.len());
            let ends = length == TAIL_LOOKED_AT || rest.get(length).is_none_or(|b| !b.is_ascii_alphanumeric());
            let least = row.least.min(TAIL_LOOKED_AT);
            ends && (least..=row.most.max(least)).contains(&length) && looks_random(&rest[..length], 10)
        }
    }
}

/// Where the key ends: with its run, over what else a rule of this prefix allows, without the dot of a sentence or of a
/// file's name.
fn whole_end(bytes: &[u8], after: usize, run_end: usize, shape: &Shape, row: &Row) -> usize {
    let allowed = shape.rows.iter().fold(0, |set, row| set | row.allowed);
    let mut end = run_end;
    if allowed != 0 {
        let rest = bytes[end..].iter().take_while(|&&b| is_key(b) || allows(allowed, b)).count();
        end += without_path(&bytes[end..end + rest]);
    }
    // Base64 goes on behind a `+`, other keys behind `~`, `:` and `|`; so does anything that looks the same.
    while let Some(b'+' | b'~' | b':' | b'|' | b'$' | b'!') = bytes.get(end) {
        let is_base64 = bytes[end] == b'+';
        let length = bytes[end + 1..].iter().take_while(|&&b| is_key(b) || (is_base64 && b == b'/')).count();
        if !looks_random(&bytes[end + 1..end + 1 + length], 8) {
            break;
        }
        end += 1 + length;
    }
    end += bytes[end..].iter().take(3).take_while(|&&b| b == b'=').count();
    end += checksum(bytes, end);
    while end > after && bytes[end - 1] == b'.' {
        end -= 1;
    }
    if let Some(dot) = bytes[after..end].iter().rposition(|&b| b == b'.')
        && end - after - dot <= 5
        && dot >= row.least
    {
        end = after + dot;
    }
    end
}

/// The eight capital hexadecimal digits of a checksum, where one `=` ends at `end`: `ATATT3...=1A2B3C4D`.
fn checksum(bytes: &[u8], end: usize) -> usize {
    let is_digit = |b: &u8| b.is_ascii_digit() || matches!(b, b'A'..=b'F');
    let digits = bytes[end..].iter().take(9).take_while(|b| is_digit(b)).count();
    let ends = digits == 8 && bytes.get(end + 8).is_none_or(|b| !b.is_ascii_alphanumeric());
    if ends && bytes[end - 1] == b'=' && bytes[end - 2] != b'=' { 8 } else { 0 }
}

/// How much of this belongs to a key: a `/` may be one of base64, or of the path behind the key.
fn without_path(more: &[u8]) -> usize {
    let slash = |from: usize| memchr::memchr(b'/', &more[from..]).map_or(more.len(), |at| from + at);
    let mut end = slash(0);
    while end < more.len() {
        let rest = &more[end..];
        if !(rest.contains(&b'+') || rest.contains(&b'=') || looks_random(rest, 10)) {
            break;
        }
        end = slash(end + 1);
    }
    end
}

#[inline]
pub(super) fn is_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

fn allows(set: u128, b: u8) -> bool {
    b < 128 && set >> b & 1 == 1
}

/// May a word begin at `start` with this prefix? Behind a sign of names only with a long one, behind a `+` of base64 only
/// with one that is none.
fn begins_word(bytes: &[u8], start: usize, prefix: &str) -> bool {
    let is_base64 = || prefix.bytes().all(|b| b.is_ascii_alphanumeric());
    prefix.len() >= 4
        || bytes[..start].last().is_none_or(|last| match last {
            b'_' | b'-' | b'.' => false,
            b'+' => !is_base64(),
            _ => true,
        })
}

/// Behind an escape a word begins too: `%20`, `\n`, `\x22`, `\u0022`.
fn follows_escape(bytes: &[u8], start: usize) -> bool {
    let before = &bytes[..start];
    let hex = |n: usize| before.len() > n && before[before.len() - n..].iter().all(u8::is_ascii_hexdigit);
    let mark = |n: usize, marks: &[u8]| before.len() >= n && before[before.len() - n..].starts_with(marks);
    (hex(2) && (mark(3, b"%") || mark(4, b"\\x")))
        || (hex(4) && mark(6, b"\\u"))
        || (before.last().is_some_and(|b| b"nrt".contains(b)) && mark(2, b"\\"))
}

/// The beginning of the word that an inner word stands in, when it is a short one.
fn stem(bytes: &[u8], start: usize) -> Option<usize> {
    let length = bytes[..start].iter().rev().take(STEM_BYTES_MAX + 1).take_while(|&&b| is_key(b) && b != b'.').count();
    (1..=STEM_BYTES_MAX).contains(&length).then_some(start - length)
}

#[cfg(test)]
mod tests;
