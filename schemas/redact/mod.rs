//! Redaction: from any text that an outsider may have written to a text that may be kept.
//!
//! Promises: what is found, in the text as it stands or behind percent escapes, backslash escapes, base64 and JSON in
//! JSON, is replaced by `[REDACTED:class]` (cards by `****-1234`, e-mail addresses by `n***@[REDACTED:email]`); found
//! only in a decoded form, the whole enclosing value goes. What is returned, decoded again, holds nothing any more: if
//! it would, the whole text goes. Control characters are printed as `\x1b`. A text with nothing to find is returned as it is, without allocating.
//! Never: guesses secrets that have neither a telling key nor a known shape.

mod classes;
mod decode;
mod find;
pub(crate) mod jwt;
mod profile;
mod rules;
pub mod seal;
pub mod token;

use std::borrow::Cow;

pub use classes::{CLASSES, ClassInfo};
#[doc(hidden)]
pub use rules::testing;
pub(crate) use classes::{Class, Found, key_class};
pub(crate) use decode::base64_whole;
pub(crate) use find::{floor, is_placeholder};

use crate::limits::{DECODE_DEPTH_MAX, FINDINGS_MAX, SEARCH_BYTES_MAX, TEXT_BYTES_MAX};
use find::Finding;
use profile::{AT, BACKSLASH, CARD_DIGITS_MIN, CONTROL, PAIR, PERCENT, Profile, RUN_MIN, SPACE};

/// A text without its secrets and personal data. Borrowed, without any allocation, when there was nothing to remove.
pub fn scrub(text: &str) -> Cow<'_, str> {
    if text.len() <= TEXT_BYTES_MAX && Profile::of(text.as_bytes()).is_clean() {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let unchanged = {
        let kept = Scrubber::default().scrub(text, &mut out, &mut Found::default());
        std::ptr::eq(kept, text)
    };
    if unchanged { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

/// Scrubs texts one after the other, reusing its buffers.
#[derive(Default)]
pub(crate) struct Scrubber {
    findings: Vec<Finding>,
    texts: Vec<String>,
    bytes: Vec<Vec<u8>>,
    lists: Vec<Vec<Finding>>,
}

impl Scrubber {
    /// `text` without secrets: itself when there are none, else written to `out`. What was removed is added to `found`.
    pub(crate) fn scrub<'t>(&mut self, text: &'t str, out: &'t mut String, found: &mut Found) -> &'t str {
        let profile = Profile::of(text.as_bytes());
        if profile.is_clean() && text.len() <= TEXT_BYTES_MAX {
            return text;
        }
        self.scrub_suspect(text, profile, out, found)
    }

    fn scrub_suspect<'t>(
        &mut self,
        text: &'t str,
        profile: Profile,
        out: &'t mut String,
        found: &mut Found,
    ) -> &'t str {
        let window = &text[..floor(text, SEARCH_BYTES_MAX)];
        let mut findings = std::mem::take(&mut self.findings);
        findings.clear();
        self.search(window, profile, 0, &mut findings);
        let residue = profile.has(PERCENT | BACKSLASH);
        let mut kept = text;
        if !findings.is_empty() || text.len() > TEXT_BYTES_MAX || residue || profile.has(CONTROL) {
            rewrite(window, &mut findings, out, found);
            if residue && let Some(class) = self.hidden(out) {
                found.add(class);
                replace_all(out, class);
            }
            if out != text {
                kept = out;
            }
        }
        self.findings = findings;
        kept
    }

    /// What a text still holds when all of it is decoded at once, as a whole.
    fn hidden(&mut self, text: &str) -> Option<Class> {
        let mut decoded = self.texts.pop().unwrap_or_default();
        decoded.clear();
        let mut unfinished = false;
        let mut class = None;
        if text.contains('%') && decode::percent(text, &mut decoded, &mut unfinished) {
            class = if unfinished { Some(Class::ENCODED) } else { self.first_in(&decoded, 1) };
        }
        if class.is_none() && text.contains('\\') {
            let source = if decoded.is_empty() { text.to_string() } else { decoded.clone() };
            if decode::backslashes(&source, &mut decoded) {
                class = self.first_in(&decoded, 1);
            }
        }
        decoded.clear();
        self.texts.push(decoded);
        class
    }

    /// All findings in `text`, also those behind encodings; `depth` decodings were taken to get here.
    fn search(&mut self, text: &str, profile: Profile, depth: usize, findings: &mut Vec<Finding>) {
        if profile.run >= RUN_MIN || profile.has(SPACE) {
            find::shapes(text, findings);
        }
        if profile.has(PAIR) {
            find::keys(text, findings);
        }
        if profile.has(AT) {
            find::addresses(text, findings);
        }
        if profile.digits >= CARD_DIGITS_MIN {
            find::cards(text, findings);
        }
        if profile.has(PERCENT | BACKSLASH) {
            self.search_escaped(text, depth, findings);
        }
        if profile.run >= RUN_MIN {
            self.search_base64(text, depth, findings);
        }
    }

    /// Values with escapes: decoded and searched; what is found takes the whole value.
    fn search_escaped(&mut self, text: &str, depth: usize, findings: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let mut from = 0;
        while let Some(at) = memchr::memchr2(b'%', b'\\', &bytes[from..]).map(|i| from + i) {
            let start = bytes[..at].iter().rposition(|&b| is_delimiter(b)).map_or(0, |i| i + 1);
            let end = bytes[at..].iter().position(|&b| is_delimiter(b)).map_or(bytes.len(), |i| at + i);
            from = end.max(at + 1);
            let value = &text[start..end];
            let mut decoded = self.texts.pop().unwrap_or_default();
            let mut unfinished = false;
            let mut changed = value.contains('%') && decode::percent(value, &mut decoded, &mut unfinished);
            if value.contains('\\') {
                let source = if changed { decoded.clone() } else { value.to_string() };
                changed |= decode::backslashes(&source, &mut decoded);
            }
            let class = match (unfinished, changed) {
                (true, _) => Some(Class::ENCODED),
                (_, true) => self.first_in(&decoded, depth + 1),
                _ => None,
            };
            findings.extend(class.map(|class| Finding { start, end, class, whole: true }));
            self.texts.push(decoded);
        }
    }

    fn search_base64(&mut self, text: &str, depth: usize, findings: &mut Vec<Finding>) {
        let bytes = text.as_bytes();
        let mut scratch = self.bytes.pop().unwrap_or_default();
        let mut at = 0;
        while at < bytes.len() {
            if !decode::is_base64(bytes[at]) {
                at += 1;
                continue;
            }
            let start = at;
            while at < bytes.len() && decode::is_base64(bytes[at]) {
                at += 1;
            }
            let run = &bytes[start..at];
            if run.len() < RUN_MIN as usize {
                continue;
            }
            let mut found = |piece: decode::Decoded, plain: &str| {
                if let Some(class) = self.first_in(plain, depth + 1) {
                    let (start, end) = widen(bytes, piece.start, piece.end);
                    findings.push(Finding { start, end, class, whole: true });
                }
            };
            decode::base64(run, start, &mut scratch, &mut found);
            // `/` may be a character of base64 or stand between two values: look both ways.
            let mut from = start;
            for piece in run.split(|&b| b == b'/').filter(|piece| piece.len() < run.len()) {
                if piece.len() >= RUN_MIN as usize {
                    decode::base64(piece, from, &mut scratch, &mut found);
                }
                from += piece.len() + 1;
            }
        }
        self.bytes.push(scratch);
    }

    /// The class of the first finding in a decoded text. Too deep, whatever is there counts as one.
    fn first_in(&mut self, text: &str, depth: usize) -> Option<Class> {
        let profile = Profile::of(text.as_bytes());
        if profile.is_clean() {
            return None;
        }
        if depth >= DECODE_DEPTH_MAX {
            return Some(Class::ENCODED);
        }
        let mut findings = self.lists.pop().unwrap_or_default();
        findings.clear();
        self.search(text, profile, depth, &mut findings);
        let class = findings.iter().min_by_key(|f| f.start).map(|f| f.class);
        self.lists.push(findings);
        class
    }
}

/// Between values. `/` is one here: a path segment is a value.
fn is_delimiter(b: u8) -> bool {
    matches!(
        b,
        b'&' | b';'
            | b'?'
            | b'#'
            | b'/'
            | b'='
            | b' '
            | b'\t'
            | b'\r'
            | b'\n'
            | b'"'
            | b'\''
            | b','
            | b'<'
            | b'>'
            | b'('
            | b')'
            | b'|'
            | b'{'
            | b'}'
            | b'['
            | b']'
    )
}

/// A piece of base64 and what of its alphabet stands around it, up to a `/`.
fn widen(bytes: &[u8], start: usize, end: usize) -> (usize, usize) {
    let part = |b: u8| (decode::is_base64(b) && b != b'/') || b == b'=';
    let before = bytes[..start].iter().rev().take_while(|&&b| part(b) && b != b'=').count();
    let after = bytes[end..].iter().take_while(|&&b| part(b)).count();
    (start - before, end + after)
}

/// Writes `text` with its findings replaced; overlapping ones become one. At most `TEXT_BYTES_MAX` of it are kept.
fn rewrite(text: &str, findings: &mut [Finding], out: &mut String, found: &mut Found) {
    out.clear();
    findings.iter().for_each(|f| found.add(f.class));
    if findings.len() > FINDINGS_MAX {
        replace_all(out, findings[0].class);
        return;
    }
    findings.sort_unstable_by_key(|f| (f.start, std::cmp::Reverse(f.end)));
    let limit = floor(text, TEXT_BYTES_MAX);
    let mut at = 0;
    let mut i = 0;
    while i < findings.len() && findings[i].start < limit {
        let merged = merge(findings, &mut i);
        push_printable(&text[at..merged.start], out);
        write_replacement(text, merged, out);
        at = merged.end;
    }
    if at < limit {
        push_printable(&text[at..limit], out);
    }
    if limit < text.len() {
        out.push('…');
    }
}

/// Appends `text`, control characters as `\x1b`.
fn push_printable(text: &str, out: &mut String) {
    for piece in text.split_inclusive(|c: char| c.is_ascii_control()) {
        match piece.chars().next_back() {
            Some(last) if last.is_ascii_control() => {
                out.push_str(&piece[..piece.len() - 1]);
                out.push_str(&format!("\\x{:02x}", u32::from(last)));
            }
            _ => out.push_str(piece),
        }
    }
}

/// The finding at `i` joined with those that overlap it; `i` moves behind them. A value found by its key that holds
/// one masked thing keeps that mask only when the thing is the whole value.
fn merge(findings: &[Finding], i: &mut usize) -> Finding {
    let mut merged = findings[*i];
    *i += 1;
    while let Some(next) = findings.get(*i)
        && next.start < merged.end
    {
        if (next.start, next.end) != (merged.start, merged.end) {
            merged.whole = true;
        }
        merged.end = merged.end.max(next.end);
        *i += 1;
    }
    merged
}

fn write_replacement(text: &str, finding: Finding, out: &mut String) {
    let secret = &text[finding.start..finding.end];
    if !finding.whole && finding.class == Class::CARD {
        out.push_str("****-");
        let digits = || secret.chars().filter(char::is_ascii_digit);
        out.extend(digits().skip(digits().count().saturating_sub(4)));
        return;
    }
    if !finding.whole && finding.class == Class::EMAIL {
        out.extend(secret.chars().next());
        out.push_str("***@");
    }
    write_class(out, finding.class);
}

fn write_class(out: &mut String, class: Class) {
    out.push_str("[REDACTED:");
    out.push_str(class.name());
    out.push(']');
}

fn replace_all(out: &mut String, class: Class) {
    out.clear();
    write_class(out, class);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_scrubbed_before_does_not_matter() {
        let mut scrubber = Scrubber::default();
        let nested = r"{\x22a\x22:\x22{\x5c\x22b\x5c\x22:\x5c\x22pwd=fake\x5c\x22}\x22}";
        for before in ["", "/a%20path/with%41escapes", "bG9uZyBlbm91Z2ggdGV4dCBpbiBiYXNlNjQ", r"q=\x41\x42\x43", nested]
        {
            let (mut out, mut found) = (String::new(), Found::default());
            scrubber.scrub(before, &mut out, &mut found);
            let mut kept = String::new();
            assert_eq!(scrubber.scrub(nested, &mut kept, &mut found), "[REDACTED:password]", "after {before}");
        }
    }
}
