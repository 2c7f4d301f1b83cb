//! Where the secrets of a text are, also behind encodings: the finders run over the text, over each layer of its escapes undone,
//! and over what base64, base32, hexadecimal, quoted-printable and compressed data in it stand for.
//!
//! Promises: the bytes searched for one text are bounded (`limits::SEARCH_WORK_MAX`), and so is the depth; what is still unread
//! then counts as a secret. What is found in a decoded form takes the whole enclosing value.
//! Never: changes a text.

use super::classes::Class;
use super::decode::{self, Decoded};
use super::find::{self, Finding};
use super::policy::Action;
use super::profile::{
    AT, BACKSLASH, CONTROL, DIGITS_MIN, ENTITY, HEX_MIN, ID_MIN, MARKUP, OPEN, PAIR, PERCENT, Profile, QUOTE, RUN_MIN,
    SLASH, SPACE,
};
use super::values::is_placeholder;
use super::{Scrubber, elements, filters, pairs, personal, rules, schemes, segments, shapes, tables, vendor};
use crate::limits::{DECODE_DEPTH_MAX, FINDINGS_MAX, SEARCH_WORK_MAX, URL_DECODE_ROUNDS_MAX};

/// What may begin an escape.
const ESCAPES: u16 = PERCENT | BACKSLASH | ENTITY | CONTROL;

/// A finding in the text as it stands, with the secret as it reads decoded, where that is needed for a token.
pub(crate) struct Hit {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) class: Class,
    pub(crate) whole: bool,
    /// More than the secret goes.
    pub(crate) widened: bool,
    pub(crate) secret: Option<String>,
}

/// What a decoded text holds.
type Inner = (Class, Option<String>);

impl Scrubber {
    /// All hits in `text`, whose columns and classes are not to be kept.
    pub(crate) fn hits(&mut self, text: &str, profile: Profile, hits: &mut Vec<Hit>) {
        self.work = 0;
        self.search(text, profile, 0, hits);
    }

    fn search(&mut self, text: &str, profile: Profile, depth: usize, hits: &mut Vec<Hit>) {
        self.level(text, None, text, profile, depth, hits);
        self.folded(text, None, text, depth, hits);
        if profile.has(ESCAPES) {
            self.layers(text, depth, hits);
        }
        if profile.has(PAIR) {
            self.quoted(text, None, depth, hits);
        }
    }

    /// Undoes escapes layer by layer, and searches each.
    fn layers(&mut self, text: &str, depth: usize, hits: &mut Vec<Hit>) {
        let mut view = self.views.pop().unwrap_or_default();
        let mut next = self.views.pop().unwrap_or_default();
        let mut undone = view.undo(text, None);
        let mut round = 1;
        while undone {
            let profile = Profile::of(view.text.as_bytes());
            self.level(&view.text, Some(&view.map), text, profile, depth, hits);
            self.folded(&view.text, Some(&view.map), text, depth, hits);
            if profile.has(PAIR) {
                self.quoted(&view.text, Some(&view.map), depth, hits);
            }
            undone = profile.has(ESCAPES) && next.undo(&view.text, Some(&view.map));
            if undone && round == URL_DECODE_ROUNDS_MAX {
                // What is still escaped is removed unread.
                let escape = |&(i, b): &(usize, u8)| matches!(b, b'%' | b'\\' | b'&') && i + 1 < view.map.len();
                let places = view.text.bytes().enumerate().filter(escape).take(FINDINGS_MAX + 1);
                hits.extend(
                    places.map(|(i, _)| enclosed(text, view.map[i] as usize, view.map[i + 1] as usize, Class::ENCODED)),
                );
                break;
            }
            std::mem::swap(&mut view, &mut next);
            round += 1;
        }
        self.views.push(view);
        self.views.push(next);
    }

    /// Searches a text as it looks, where that is another one.
    fn folded(&mut self, text: &str, map: Option<&[u32]>, root: &str, depth: usize, hits: &mut Vec<Hit>) {
        if text.is_ascii() {
            return;
        }
        let mut view = self.views.pop().unwrap_or_default();
        if view.fold(text, map) {
            self.level(&view.text, Some(&view.map), root, Profile::of(view.text.as_bytes()), depth, hits);
        }
        self.views.push(view);
    }

    fn quoted(&mut self, text: &str, map: Option<&[u32]>, depth: usize, hits: &mut Vec<Hit>) {
        let mut view = self.views.pop().unwrap_or_default();
        if view.unquote(text, map) && depth < DECODE_DEPTH_MAX {
            let mut inner = Vec::new();
            self.search(&view.text, Profile::of(view.text.as_bytes()), depth + 1, &mut inner);
            for hit in inner {
                let (start, end) = (view.map[hit.start] as usize, view.map[hit.end] as usize);
                let is_token = self.plan.action(self.column, hit.class) == Action::Token && !hit.widened;
                let secret = hit.secret.or_else(|| is_token.then(|| view.text[hit.start..hit.end].to_string()));
                hits.push(Hit { start, end, secret, ..hit });
            }
        }
        self.views.push(view);
    }

    /// The hits of one layer; `map` says where its bytes stand in `root`.
    fn level(
        &mut self,
        text: &str,
        map: Option<&[u32]>,
        root: &str,
        profile: Profile,
        depth: usize,
        hits: &mut Vec<Hit>,
    ) {
        self.work += text.len();
        if self.work > SEARCH_WORK_MAX || hits.len() > 4 * FINDINGS_MAX {
            hits.push(everything(root));
            return;
        }
        if profile.is_clean() && !is_told(text, profile) && !self.plan.has_patterns() {
            return;
        }
        let mut findings = self.lists.pop().unwrap_or_default();
        self.find(text, profile, &mut findings);
        for finding in findings.drain(..) {
            if hits.len() > 4 * FINDINGS_MAX {
                hits.push(everything(root));
                break;
            }
            hits.extend(self.located(finding, text, map, root));
        }
        self.lists.push(findings);
        if profile.run >= RUN_MIN {
            self.opaque(text, map, profile, depth, hits);
        } else if profile.run_all >= HEX_MIN {
            // No base64 can be there, only hexadecimal digits.
            let mut scratch = self.bytes.pop().unwrap_or_default();
            self.hexadecimal(text.as_bytes(), (0, text.len()), map, depth, &mut scratch, hits);
            self.bytes.push(scratch);
        }
        if may_be_pairs(text.as_bytes()) {
            self.pairs_of_digits(text, map, depth, hits);
        }
    }

    /// What hexadecimal digits in pairs stand for: `70:61:73`, `70 61 73`, `0x70, 0x61`.
    fn pairs_of_digits(&mut self, text: &str, map: Option<&[u32]>, depth: usize, hits: &mut Vec<Hit>) {
        let bytes = text.as_bytes();
        let place = |i: usize| map.map_or(i, |map| map[i] as usize);
        let mut scratch = self.bytes.pop().unwrap_or_default();
        let mut from = 0;
        while let Some((start, end)) = decode::hex_pairs(bytes, from, PAIRS_MIN, &mut scratch) {
            if rules::has(rules::HEX_PAIRS)
                && let Some((class, secret)) = self.in_bytes(&scratch, depth)
            {
                hits.push(Hit { start: place(start), end: place(end), class, whole: true, widened: true, secret });
            }
            from = end;
        }
        self.bytes.push(scratch);
    }

    /// The finders, those that the profile calls for.
    fn find(&mut self, text: &str, profile: Profile, findings: &mut Vec<Finding>) {
        if profile.run >= RUN_MIN {
            shapes::shapes(text, findings);
        }
        if (profile.run >= RUN_MIN || is_hex_key(text, profile)) && rules::has(rules::VENDOR) {
            vendor::find(text, findings);
        }
        if profile.has(PAIR) {
            pairs::pairs(text, &mut self.memo, findings);
        }
        if profile.has(QUOTE) {
            pairs::lists(text, &mut self.memo, findings);
        }
        if profile.has(MARKUP) {
            elements::elements(text, &mut self.memo, findings);
        }
        if profile.has(SPACE | OPEN) {
            schemes::schemes(text, findings);
            filters::filters(text, &mut self.memo, findings);
        }
        if profile.has(SPACE) {
            schemes::flags(text, &mut self.memo, findings);
            shapes::key_blocks(text, findings);
            if profile.has(CONTROL) {
                shapes::key_lines(text, findings);
                tables::tables(text, &mut self.memo, findings);
            }
        } else if profile.has(PAIR) && profile.run >= RUN_MIN && has_dashes(text.as_bytes()) {
            schemes::flags(text, &mut self.memo, findings);
        }
        if profile.has(AT | OPEN) {
            find::addresses(text, findings);
        }
        if (profile.may_be_number() || profile.run >= RUN_MIN) && rules::has(rules::PERSONAL) {
            personal::find(text, findings);
        }
        if profile.has(SLASH) && (profile.run >= RUN_MIN || profile.run_all >= ID_MIN || profile.digits > 0) {
            segments::segments(text, findings);
        }
        if profile.has(SLASH) && profile.digits >= DIGITS_MIN {
            segments::hooks(text, findings);
        }
        if self.plan.has_patterns() {
            for own in &self.plan.own {
                let matches = own.pattern.iter().flat_map(|pattern| pattern.find_iter(text)).take(FINDINGS_MAX + 1);
                findings.extend(matches.map(|m| Finding {
                    start: m.start(),
                    end: m.end(),
                    class: own.class,
                    whole: true,
                }));
            }
        }
    }

    /// A finding of a layer as a hit in the text it was made from. None when the class is kept, or a mark of ours was found.
    fn located(&self, finding: Finding, text: &str, map: Option<&[u32]>, root: &str) -> Option<Hit> {
        // A finder that looks only so far may stop inside a letter.
        let finding =
            Finding { start: find::floor(text, finding.start), end: find::ceil(text, finding.end), ..finding };
        let secret = text.get(finding.start..finding.end)?;
        let action = self.plan.action(self.column, finding.class);
        if action == Action::Keep || is_placeholder(secret.as_bytes()) {
            return None;
        }
        let Finding { start, end, class, whole } = finding;
        let Some(map) = map else { return Some(Hit { start, end, class, whole, widened: false, secret: None }) };
        let (start, end) = (map[start] as usize, map[end] as usize);
        let wide = enclosing(root.as_bytes(), start, end);
        let needed =
            wide != (start, end) && root.as_bytes()[wide.0..wide.1].iter().any(|b| matches!(b, b'%' | b'\\' | b'&'));
        let (start, end, widened) = if needed { (wide.0, wide.1, true) } else { (start, end, false) };
        let secret = (action != Action::Drop).then(|| secret.to_string());
        Some(Hit { start, end, class, whole: whole || widened, widened, secret })
    }

    /// What runs of base64, base32 and hexadecimal digits stand for.
    fn opaque(&mut self, text: &str, map: Option<&[u32]>, profile: Profile, depth: usize, hits: &mut Vec<Hit>) {
        let bytes = text.as_bytes();
        let place = |i: usize| map.map_or(i, |map| map[i] as usize);
        let mut scratch = self.bytes.pop().unwrap_or_default();
        let mut joined = self.bytes.pop().unwrap_or_default();
        let mut at = 0;
        while let Some(start) = bytes[at..].iter().position(|&b| decode::is_base64(b)).map(|i| at + i) {
            let end = run_end(bytes, start);
            let lines_end = lines_end(bytes, start, end, &mut joined);
            at = lines_end;
            let run = if lines_end > end { &joined[..] } else { &bytes[start..end] };
            if run.len() < RUN_MIN as usize {
                continue;
            }
            let mut push = |from: usize, to: usize, (class, secret): Inner| {
                hits.push(Hit { start: place(from), end: place(to), class, whole: true, widened: true, secret });
            };
            // What is hexadecimal alone is no text in base64.
            if profile.run >= RUN_MIN && run.iter().any(|&b| !is_hex(b) && b != b'-') {
                self.in_base64(run, lines_end > end, depth, &mut scratch, &mut |piece: Decoded, inner| {
                    let (from, to) = match lines_end > end {
                        true => (start, widen(bytes, start, lines_end).1),
                        false => widen(bytes, start + piece.start, start + piece.end),
                    };
                    push(from, to, inner);
                });
                let end = if profile.run >= BASE32_MIN as u32 && rules::has(rules::BASE32) { end } else { start };
                for (from, to) in stretches(bytes, start, end, is_base32, BASE32_MIN) {
                    if decode::base32(&bytes[from..to], &mut scratch)
                        && let Some(inner) = self.in_bytes(&scratch, depth)
                    {
                        push(from, to + bytes[to..].iter().take_while(|&&b| b == b'=').count(), inner);
                    }
                }
            }
            if profile.run_all >= HEX_MIN {
                self.hexadecimal(bytes, (start, end), map, depth, &mut scratch, hits);
            }
        }
        self.bytes.push(scratch);
        self.bytes.push(joined);
    }

    /// What hexadecimal digits in a range stand for.
    fn hexadecimal(
        &mut self,
        bytes: &[u8],
        (start, end): (usize, usize),
        map: Option<&[u32]>,
        depth: usize,
        scratch: &mut Vec<u8>,
        hits: &mut Vec<Hit>,
    ) {
        let place = |i: usize| map.map_or(i, |map| map[i] as usize);
        for (from, to) in stretches(bytes, start, end, is_hex, HEX_MIN as usize) {
            if let Some(skip) = decode::hex_begins(&bytes[from..to])
                && rules::has(rules::HEX)
                && decode::hex(&bytes[from + skip..to], scratch)
                && let Some((class, secret)) = self.in_bytes(scratch, depth)
            {
                hits.push(Hit { start: place(from), end: place(to), class, whole: true, widened: true, secret });
            }
        }
    }

    fn in_base64(
        &mut self,
        run: &[u8],
        lines: bool,
        depth: usize,
        scratch: &mut Vec<u8>,
        found: &mut dyn FnMut(Decoded, Inner),
    ) {
        if !rules::has(rules::BASE64) || (lines && !rules::has(rules::BASE64_LINES)) {
            return;
        }
        let mut told = |piece: Decoded, plain: &str| {
            if let Some(inner) = self.first_in(plain, depth + 1) {
                found(piece, inner);
            }
        };
        decode::base64(run, 0, scratch, &mut told);
        self.in_utf16(run, depth, scratch, found);
        let mut told = |piece: Decoded, plain: &str| {
            if let Some(inner) = self.first_in(plain, depth + 1) {
                found(piece, inner);
            }
        };
        // `/` may be a character of base64 or stand between two values: look both ways.
        let mut from = 0;
        for piece in run.split(|&b| b == b'/').filter(|piece| piece.len() < run.len()) {
            if piece.len() >= RUN_MIN as usize {
                decode::base64(piece, from, scratch, &mut told);
            }
            from += piece.len() + 1;
        }
        // A stream ends by itself: what begins behind a `/` may go over the next ones.
        let begins =
            memchr::memchr_iter(b'/', run).map(|at| at + 1).filter(|&at| decode::may_be_packed(&run[at..], depth == 0));
        let streams = begins.take(STREAMS_MAX).map(|at| (at, &run[at..]));
        let pieces = run.split(|&b| b == b'/').filter(|piece| piece.len() < run.len());
        let pieces = pieces.scan(0, |from, piece| {
            let at = *from;
            *from += piece.len() + 1;
            Some((at, piece))
        });
        for (at, piece) in [(0, run)].into_iter().chain(streams).chain(pieces) {
            if decode::may_be_packed(piece, depth == 0)
                && decode::base64_whole(&piece[..piece.len() - usize::from(piece.len() % 4 == 1)], scratch).is_some()
                && let Some(inner) = self.in_packed(scratch, depth, depth == 0)
            {
                found(Decoded { start: at, end: at + piece.len() }, inner);
            }
        }
    }

    /// UTF-16 in base64, at any alignment: its mark may have been cut, or be read as the path before it.
    fn in_utf16(&mut self, run: &[u8], depth: usize, scratch: &mut Vec<u8>, found: &mut dyn FnMut(Decoded, Inner)) {
        if !decode::may_be_utf16(run) {
            return;
        }
        let mut text = self.texts.pop().unwrap_or_default();
        let mut piece = self.bytes.pop().unwrap_or_default();
        for padding in 0..4 {
            piece.clear();
            piece.extend_from_slice(&b"AAA"[..padding]);
            piece.extend_from_slice(run);
            piece.truncate(piece.len() - usize::from(piece.len() % 4 == 1));
            if decode::base64_whole(&piece, scratch).is_some()
                && decode::utf16(scratch, &mut text)
                && let Some(inner) = self.first_in(&text, depth + 1)
            {
                found(Decoded { start: 0, end: run.len() }, inner);
                break;
            }
        }
        self.bytes.push(piece);
        self.texts.push(text);
    }

    /// What decoded bytes hold: text, UTF-16, or something compressed.
    fn in_bytes(&mut self, bytes: &[u8], depth: usize) -> Option<Inner> {
        self.in_packed(bytes, depth, false).or_else(|| self.in_readable(bytes, depth))
    }

    fn in_readable(&mut self, bytes: &[u8], depth: usize) -> Option<Inner> {
        let mut inner = None;
        decode::readable(bytes, &mut |text| inner = inner.take().or_else(|| self.first_in(text, depth + 1)));
        inner
    }

    fn in_packed(&mut self, bytes: &[u8], depth: usize, raw: bool) -> Option<Inner> {
        let mut text = self.texts.pop().unwrap_or_default();
        let mut inner = None;
        if decode::utf16(bytes, &mut text) {
            inner = self.first_in(&text, depth + 1);
        }
        if inner.is_none() && depth < DECODE_DEPTH_MAX {
            let mut inflater = std::mem::take(&mut self.inflater);
            self.work += INFLATE_COST;
            if let Some((plain, more)) = inflater.inflate(bytes, raw) {
                self.work += plain.len();
                inner = match more || self.work > SEARCH_WORK_MAX {
                    true => Some((Class::ENCODED, None)),
                    false => self.in_readable(plain, depth),
                };
            }
            self.inflater = inflater;
        }
        self.texts.push(text);
        inner
    }

    /// The first hit in a decoded text. Too deep, whatever is suspect counts as one.
    fn first_in(&mut self, text: &str, depth: usize) -> Option<Inner> {
        let profile = Profile::of(text.as_bytes());
        if profile.is_clean() {
            return None;
        }
        if depth >= DECODE_DEPTH_MAX {
            return Some((Class::ENCODED, None));
        }
        let mut hits = Vec::new();
        self.search(text, profile, depth, &mut hits);
        let hit = hits.into_iter().min_by_key(|hit| hit.start)?;
        let secret = hit.secret.or_else(|| {
            (self.plan.action(self.column, hit.class) == Action::Token).then(|| text[hit.start..hit.end].to_string())
        });
        Some((hit.class, secret))
    }
}

/// Bytes of search that one try to inflate counts for.
const INFLATE_COST: usize = 4 << 10;

/// The whole text as a hit: it cannot be read to the end.
fn everything(root: &str) -> Hit {
    Hit { start: 0, end: root.len(), class: Class::ENCODED, whole: true, widened: true, secret: None }
}

fn enclosed(text: &str, start: usize, end: usize, class: Class) -> Hit {
    let (start, end) = enclosing(text.as_bytes(), start, end);
    Hit { start, end, class, whole: true, widened: true, secret: None }
}

/// The value around a range: to the next delimiter on both sides.
fn enclosing(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let from = bytes[..start].iter().rposition(|&b| is_delimiter(b)).map_or(0, |i| i + 1);
    let to = bytes[end..].iter().position(|&b| is_delimiter(b)).map_or(bytes.len(), |i| end + i);
    (from, to)
}

/// Between values. `/` is one here: a path segment is a value.
#[rustfmt::skip]
fn is_delimiter(b: u8) -> bool {
    matches!(b, b'&' | b';' | b'?' | b'#' | b'/' | b'=' | b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b',' | b'<' | b'>' | b'(' | b')' | b'|' | b'{' | b'}' | b'[' | b']')
}

/// A piece of base64 and what of its alphabet stands around it, up to a `/`.
fn widen(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let part = |b: u8| (decode::is_base64(b) && b != b'/') || b == b'=';
    let before = bytes[..start].iter().rev().take_while(|&&b| part(b) && b != b'=').count();
    let after = bytes[end..].iter().take_while(|&&b| part(b)).count();
    (start - before, end + after)
}

fn run_end(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|&b| !decode::is_base64(b)).map_or(bytes.len(), |i| start + i)
}

/// Compressed streams that are looked for behind the `/` of one run.
const STREAMS_MAX: usize = 4;

/// Shortest line of base64 that goes on in the next.
const LINE_MIN: usize = 16;

/// The end of a run that goes on over line breaks; it is in `joined` then, without them.
fn lines_end(bytes: &[u8], start: usize, end: usize, joined: &mut Vec<u8>) -> usize {
    let (mut from, mut to) = (start, end);
    joined.clear();
    while to - from >= LINE_MIN {
        let breaks = bytes[to..].iter().take(4).take_while(|&&b| matches!(b, b'\r' | b'\n')).count();
        let next = to + breaks;
        if breaks == 0 || next >= bytes.len() || !decode::is_base64(bytes[next]) {
            break;
        }
        joined.extend_from_slice(&bytes[from..to]);
        (from, to) = (next, run_end(bytes, next));
    }
    if from > start {
        joined.extend_from_slice(&bytes[from..to]);
    }
    to
}

/// Fewest hexadecimal digits in pairs that are looked into: an address of a network card has six.
const PAIRS_MIN: usize = 9;

/// Shortest stretch of base32 that is looked into.
const BASE32_MIN: usize = 16;

/// Keys that are of hexadecimal digits and `-` to the last letter: behind `fc-`, in the path of a webhook, or behind a number and a colon.
fn is_hex_key(text: &str, profile: Profile) -> bool {
    let bytes = text.as_bytes();
    let ends = |last: u8, word: &[u8]| memchr::memchr_iter(last, bytes).any(|at| bytes[..at].ends_with(word));
    profile.run_all >= 32
        && (ends(b'-', b"fc")
            || (profile.has(PAIR) && memchr::memmem::find(bytes, b":fx").is_some())
            || (profile.has(SLASH) && ends(b'/', b"hooks"))
            || (profile.has(PAIR) && profile.has(SLASH) && memchr::memchr(b':', bytes).is_some()))
}

/// Is there a `--`?
fn has_dashes(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'-', bytes).any(|at| bytes.get(at + 1) == Some(&b'-'))
}

/// Are there enough signs for a row of pairs of hexadecimal digits?
fn may_be_pairs(bytes: &[u8]) -> bool {
    bytes.len() >= PAIRS_MIN * 3 - 1
        && bytes.iter().filter(|b| matches!(b, b':' | b' ' | b'-' | b',')).count() >= PAIRS_MIN - 1
}

/// Does a word in a path tell of a short secret behind it?
pub(crate) fn is_told(text: &str, profile: Profile) -> bool {
    profile.has(SLASH) && profile.digits > 0 && segments::any_telling(text)
}

/// Can an id hide something: is a hexadecimal number in it a text, or does a word before it tell?
pub(crate) fn may_hide(text: &str, profile: Profile) -> bool {
    let bytes = text.as_bytes();
    if profile.is_hex() {
        return profile.run_all >= HEX_MIN && decode::hex_begins(bytes).is_some();
    }
    let is_text = |(from, to): (usize, usize)| decode::hex_begins(&bytes[from..to]).is_some();
    (profile.run_all >= HEX_MIN && stretches(bytes, 0, bytes.len(), is_hex, HEX_MIN as usize).any(is_text))
        || is_hex_key(text, profile)
        || (profile.run_all as usize >= PAIRS_MIN * 3 - 1
            && may_be_pairs(bytes)
            && decode::hex_pairs(bytes, 0, PAIRS_MIN, &mut Vec::new()).is_some())
        || (profile.has(SLASH) && segments::any_telling(text))
}

#[inline]
fn is_hex(b: u8) -> bool {
    b.is_ascii_hexdigit()
}

#[inline]
fn is_base32(b: u8) -> bool {
    b.is_ascii_alphabetic() || matches!(b, b'2'..=b'7')
}

/// The stretches of at least `least` such digits in a range.
fn stretches(
    bytes: &[u8],
    start: usize,
    end: usize,
    is_digit: impl Fn(u8) -> bool,
    least: usize,
) -> impl Iterator<Item = (usize, usize)> {
    let mut at = start;
    std::iter::from_fn(move || {
        while at < end {
            let from = at;
            while at < end && is_digit(bytes[at]) {
                at += 1;
            }
            let to = at;
            at += usize::from(from == to);
            if to - from >= least {
                return Some((from, to));
            }
        }
        None
    })
}
