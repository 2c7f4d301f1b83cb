//! Text and patterns: how Sigma compares text when nothing else is said, which is without regard to case, and with the
//! wildcards `*` and `?`.
//!
//! Promises: folding maps one character to one character, whatever stands beside it; so where a folded pattern is found in a
//! folded text, each of its parts is found there, too, which is what the pre-filter stands on. A search is linear in the text.
//! Never: changes what `cased` compares.

use std::borrow::Cow;

use memchr::memmem::Finder;
use regex::Regex;

use super::limits;
use super::regexes;

/// The form of a character in which case does not count. Characters whose lower case is several (there is one) stay.
pub fn fold_char(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        // The long s and the final sigma are lower case, and yet another case of a letter.
        (Some('ſ'), None) => 's',
        (Some('ς'), None) => 'σ',
        (Some(one), None) => one,
        _ => c,
    }
}

/// A text in which case does not count.
pub fn fold(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return Cow::Owned(text.chars().map(fold_char).collect());
    }
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

/// A part of a text to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// `*`
    Many,
    /// `?`
    One,
    /// Any of the characters that a Windows command line takes for a dash.
    Dash,
}

/// What takes the place of a dash under `windash`.
pub const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// A compiled text to match.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub cased: bool,
    shape: Shape,
    /// The longest text that every match contains, folded.
    literal: String,
}

#[derive(Clone, Debug)]
enum Shape {
    Equals(String),
    Starts(String),
    Ends(String),
    Contains(Box<Finder<'static>>),
    /// Texts in order, with anything between them.
    Row {
        first: String,
        middle: Vec<Finder<'static>>,
        last: String,
    },
    Regex(Box<Regex>),
}

impl Pattern {
    pub fn new(pieces: &[Piece], cased: bool) -> Result<Pattern, String> {
        let pieces: Vec<Piece> = if cased { pieces.to_vec() } else { pieces.iter().map(folded).collect() };
        let chars: usize = pieces.iter().map(|p| if let Piece::Text(t) = p { t.chars().count() } else { 1 }).sum();
        if chars > limits::PATTERN_CHARS_MAX {
            return Err(format!("a text of {chars} characters; expected at most {}", limits::PATTERN_CHARS_MAX));
        }
        let texts = pieces.iter().filter_map(|p| if let Piece::Text(t) = p { Some(t.as_str()) } else { None });
        let literal = fold(texts.max_by_key(|t| t.len()).unwrap_or_default()).into_owned();
        Ok(Pattern { cased, shape: shape(&pieces)?, literal })
    }

    /// Whether it matches: `text` as it is for a cased pattern, folded for any other.
    pub fn matches(&self, text: &str) -> bool {
        match &self.shape {
            Shape::Equals(whole) => text == whole,
            Shape::Starts(start) => text.starts_with(start.as_str()),
            Shape::Ends(end) => text.ends_with(end.as_str()),
            Shape::Contains(finder) => finder.find(text.as_bytes()).is_some(),
            Shape::Row { first, middle, last } => in_order(text.as_bytes(), first, middle, last),
            Shape::Regex(regex) => regex.is_match(text),
        }
    }

    /// A text that is in every folded text that this matches; empty where there is none.
    pub fn literal(&self) -> &str {
        &self.literal
    }
}

fn folded(piece: &Piece) -> Piece {
    match piece {
        Piece::Text(text) => Piece::Text(fold(text).into_owned()),
        other => other.clone(),
    }
}

fn shape(pieces: &[Piece]) -> Result<Shape, String> {
    if pieces.iter().any(|p| matches!(p, Piece::One | Piece::Dash)) {
        return regex(pieces).map(|regex| Shape::Regex(Box::new(regex)));
    }
    // Between wildcards: `a*b` is [a, b], `*a*` is ["", a, ""].
    let mut rows = vec![String::new()];
    for piece in pieces {
        match piece {
            Piece::Text(text) => rows.last_mut().map(|row| row.push_str(text)).unwrap_or_default(),
            _ => rows.push(String::new()),
        }
    }
    if let [whole] = rows.as_slice() {
        return Ok(Shape::Equals(whole.clone()));
    }
    let last = rows.pop().unwrap_or_default();
    let first = rows.remove(0);
    let mut middle: Vec<String> = rows.into_iter().filter(|text| !text.is_empty()).collect();
    Ok(match (first.is_empty(), middle.len(), last.is_empty()) {
        (false, 0, true) => Shape::Starts(first),
        (true, 0, false) => Shape::Ends(last),
        (true, 1, true) => Shape::Contains(Box::new(finder(&middle.remove(0)))),
        _ => Shape::Row { first, middle: middle.iter().map(|text| finder(text)).collect(), last },
    })
}

fn finder(text: &str) -> Finder<'static> {
    Finder::new(text.as_bytes()).into_owned()
}

/// `?` is one character, which is several bytes: that is left to the regex engine, which is linear.
fn regex(pieces: &[Piece]) -> Result<Regex, String> {
    let mut text = String::from(r"(?s)\A");
    for piece in pieces {
        match piece {
            Piece::Text(plain) => text.push_str(&regex::escape(plain)),
            Piece::Many => text.push_str(".*"),
            Piece::One => text.push('.'),
            Piece::Dash => {
                text.push('[');
                DASHES.iter().for_each(|dash| text.push_str(&regex::escape(&dash.to_string())));
                text.push(']');
            }
        }
    }
    text.push_str(r"\z");
    regexes::build(&text, regexes::Flags::default())
}

fn in_order(text: &[u8], first: &str, middle: &[Finder<'static>], last: &str) -> bool {
    let Some(mut rest) = text.strip_prefix(first.as_bytes()).and_then(|t| t.strip_suffix(last.as_bytes())) else {
        return false;
    };
    for finder in middle {
        let Some(at) = finder.find(rest) else { return false };
        rest = &rest[at + finder.needle().len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str, cased: bool) -> Pattern {
        let mut pieces = Vec::new();
        for part in text.split_inclusive(['*', '?']) {
            let plain = part.trim_end_matches(['*', '?']);
            if !plain.is_empty() {
                pieces.push(Piece::Text(plain.to_owned()));
            }
            match part.chars().last() {
                Some('*') => pieces.push(Piece::Many),
                Some('?') => pieces.push(Piece::One),
                _ => {}
            }
        }
        Pattern::new(&pieces, cased).expect("a small pattern")
    }

    #[test]
    fn wildcards_match_as_sigma_says() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a", "A", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("*b*", "abc", true),
            ("a*c", "abc", true),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("*a*b*", "xaybz", true),
            ("*b*a*", "xaybz", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("?", "\n", true),
            ("*?b", "ab", true),
            ("straße", "STRASSE", false),
            ("ΣΊΣΥΦΟΣ", "σίσυφος", true),
            ("kelvin", "\u{212a}elvin", true),
        ];
        for (text, value, wanted) in table {
            assert_eq!(pattern(text, false).matches(&fold(value)), wanted, "{text} on {value}");
        }
    }

    #[test]
    fn cased_is_by_letter() {
        assert!(pattern("Ab*", true).matches("Abc"));
        assert!(!pattern("Ab*", true).matches("abc"));
        assert_eq!(pattern("Ab*", true).literal(), "ab");
    }

    #[test]
    fn folding_is_one_to_one_and_settled() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            assert_eq!(fold_char(fold_char(c)), fold_char(c), "{c:?}");
        }
    }
}
