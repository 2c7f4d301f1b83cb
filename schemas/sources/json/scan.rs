//! The JSON scanner: strings, numbers and literals of a text that is known to be UTF-8, and how to step over a whole
//! value. Written for speed (eight bytes of a string at a time), since reading JSON is most of what an event costs;
//! `agrees_with_serde_json` holds it to what `serde_json` accepts.
//!
//! Promises: accepts exactly JSON (RFC 8259), to a depth of `DEPTH_MAX`; half a surrogate pair reads as U+FFFD. No
//! recursion, no allocation. A lenient scan also accepts what gateways write that build JSON from strings: bare values
//! (`000`, `-`, nothing, `0.1, 0.2`, `NaN`), `\x22` escapes and control characters in strings, a record that was cut.
//! Never: interprets a value; that is the walk's part.

use super::key::Key;
use crate::reject::Code;
use crate::request::Fault;

/// Deepest nesting of a record; deeper ones are a reject.
pub(super) const DEPTH_MAX: u32 = 127;

/// What is wrong with the JSON; small, because every step may return it. `Scan::fault` says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    Syntax,
    Deep,
}

/// A position in the text of a record.
pub(super) struct Scan<'b> {
    text: &'b str,
    bytes: &'b [u8],
    at: usize,
    lenient: bool,
    /// The text came to its end within an object.
    ended_within: bool,
}

/// A string between its quotes, as it stands there.
#[derive(Clone, Copy)]
pub(super) struct Str<'b> {
    pub(super) raw: &'b str,
    pub(super) has_escapes: bool,
}

/// A number as it stands there; the value when it is a whole one that fits.
#[derive(Clone, Copy)]
pub(super) struct Number<'b> {
    pub(super) raw: &'b str,
    pub(super) whole: Option<i64>,
}

impl<'b> Scan<'b> {
    pub(super) fn new(text: &'b str) -> Scan<'b> {
        Scan { text, bytes: text.as_bytes(), at: 0, lenient: false, ended_within: false }
    }

    /// A scan that forgives.
    pub(super) fn lenient(text: &'b str) -> Scan<'b> {
        Scan { lenient: true, ..Scan::new(text) }
    }

    pub(super) fn is_lenient(&self) -> bool {
        self.lenient
    }

    /// The text is at its end, and an object is not: it is forgiven, and remembered.
    pub(super) fn end_within(&mut self) -> Result<(), Bad> {
        self.ended_within = true;
        Ok(())
    }

    pub(super) fn has_ended_within(&self) -> bool {
        self.ended_within
    }

    /// Did a lenient scan come to the end of the text inside a value?
    pub(super) fn is_cut(&self) -> bool {
        self.lenient && self.at >= self.bytes.len()
    }

    /// The text from a position up to this one.
    pub(super) fn between(&self, from: usize) -> &'b str {
        &self.text[from..self.at.min(self.text.len())]
    }

    /// The position, to come back to.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    pub(super) fn go(&mut self, place: usize) {
        self.at = place;
    }

    /// What is wrong, with the place of it.
    #[cold]
    pub(super) fn fault(&self, bad: Bad) -> Fault {
        let (at, length) = (self.at, self.bytes.len());
        let what = match bad {
            Bad::Deep => format!("the JSON is nested deeper than {DEPTH_MAX}"),
            Bad::Syntax if at >= length => "the JSON ends early".to_string(),
            Bad::Syntax => "not JSON".to_string(),
        };
        Fault::new(Code::InvalidJson, format!("{what}, at byte {at}"))
    }

    /// The next byte that is not white space, without stepping over it; 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(&byte) => return byte,
                None => return 0,
            }
        }
    }

    /// Steps over the byte that `peek` showed.
    #[inline]
    pub(super) fn step(&mut self) {
        self.at += 1;
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Bad> {
        if self.peek() != byte {
            return Err(Bad::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but white space may follow.
    pub(super) fn end(&mut self) -> Result<(), Bad> {
        self.peek();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Bad::Syntax) }
    }

    /// A string; its opening quote is next.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Str<'b>, Bad> {
        let (start, end, has_escapes) = self.quoted()?;
        Ok(Str { raw: &self.text[start..end], has_escapes })
    }

    /// Steps over these bytes, if they are next. No bytes never are.
    #[inline]
    pub(super) fn eat(&mut self, literal: &[u8]) -> bool {
        let is_next = !literal.is_empty() && self.bytes[self.at..].starts_with(literal);
        if is_next {
            self.at += literal.len();
        }
        is_next
    }

    /// A key and the colon behind it.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Key<'b>, Bad> {
        let (start, end, has_escapes) = self.quoted()?;
        // Mostly the colon is the very next byte.
        if self.bytes.get(self.at) == Some(&b':') {
            self.at += 1;
        } else {
            self.expect(b':')?;
        }
        Ok(Key::new(self.bytes, start, end, has_escapes))
    }

    /// Steps over a string; where it starts and ends between its quotes.
    #[inline]
    fn quoted(&mut self) -> Result<(usize, usize, bool), Bad> {
        self.expect(b'"')?;
        let start = self.at;
        let end = special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok((start, end, false));
        }
        self.at = end;
        self.escaped().map(|end| (start, end, true))
    }

    /// The end of a string that has an escape (or a mistake) here.
    fn escaped(&mut self) -> Result<usize, Bad> {
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(self.at - 1);
                }
                Some(b'\\') => self.escape()?,
                Some(_) if self.lenient => self.at += 1,
                // The record was cut here.
                None if self.lenient => return Ok(self.bytes.len()),
                _ => return Err(Bad::Syntax),
            }
            self.at = special(self.bytes, self.at);
        }
    }

    /// Checks the escape at the backslash and steps over it.
    fn escape(&mut self) -> Result<(), Bad> {
        self.at += 1;
        if self.lenient {
            // The character behind may be any, of any width; what it stands for is `unescape_lenient`'s part.
            let width = self.text[self.at..].chars().next().map_or(0, char::len_utf8);
            self.at += width;
            return Ok(());
        }
        match self.bytes.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                for _ in 0..4 {
                    self.at += 1;
                    if !self.bytes.get(self.at).is_some_and(u8::is_ascii_hexdigit) {
                        return Err(Bad::Syntax);
                    }
                }
                self.at += 1;
            }
            _ => return Err(Bad::Syntax),
        }
        Ok(())
    }

    /// A value without quotes of a lenient scan: up to the end of the object or array, or to a comma before the next key.
    pub(super) fn bare(&mut self) -> &'b str {
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                None | Some(b'}' | b']') => break,
                Some(b',')
                    if self.bytes[self.at + 1..]
                        .trim_ascii_start()
                        .first()
                        .is_none_or(|&b| matches!(b, b'"' | b'}' | b']')) =>
                {
                    break;
                }
                Some(_) => self.at += 1,
            }
        }
        self.text[start..self.at].trim_ascii()
    }

    /// A number; its first byte, a digit or `-`, is next.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'b>, Bad> {
        let start = self.at;
        let negative = self.bytes.get(self.at) == Some(&b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut value = 0i64;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 || (digits > 1 && self.bytes[first] == b'0') {
            return Err(Bad::Syntax);
        }
        let is_whole = !matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E'));
        if !is_whole {
            self.fraction()?;
        }
        let raw = &self.text[start..self.at];
        let whole = match (is_whole, digits <= 18) {
            (true, true) => Some(if negative { -value } else { value }),
            (true, false) => raw.parse().ok(),
            (false, _) => None,
        };
        Ok(Number { raw, whole })
    }

    fn fraction(&mut self) -> Result<(), Bad> {
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Bad> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Bad::Syntax) }
    }

    /// `true`, `false` or `null`.
    pub(super) fn literal(&mut self, word: &str) -> Result<(), Bad> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(Bad::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    /// A value that is no object and no array, stepped over; its first byte is `first`.
    #[inline]
    fn skip_scalar(&mut self, first: u8) -> Result<(), Bad> {
        if self.lenient && first != b'"' {
            self.bare();
            return Ok(());
        }
        match first {
            b'"' => self.quoted().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(Bad::Syntax),
        }
    }

    #[inline]
    fn skip_key(&mut self) -> Result<(), Bad> {
        match self.key() {
            Err(_) if self.is_cut() => Ok(()),
            key => key.map(drop),
        }
    }

    /// Steps over a whole value at nesting `depth`. The kinds of the open brackets are bits, so nothing recurses.
    pub(super) fn skip(&mut self, depth: u32) -> Result<(), Bad> {
        let mut open = 0u32;
        let mut objects = 0u128;
        loop {
            // Before a value.
            match self.peek() {
                bracket @ (b'{' | b'[') => {
                    self.step();
                    if depth + open >= DEPTH_MAX {
                        return Err(Bad::Deep);
                    }
                    let is_object = bracket == b'{';
                    open += 1;
                    objects = objects << 1 | u128::from(is_object);
                    if self.peek() != bracket + 2 {
                        if is_object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
                first => {
                    self.skip_scalar(first)?;
                    if open == 0 {
                        return Ok(());
                    }
                }
            }
            // Behind a value, or at the end of an empty object or array.
            loop {
                let is_object = objects & 1 == 1;
                match self.peek() {
                    b',' => {
                        self.step();
                        if is_object {
                            self.skip_key()?;
                        }
                        break;
                    }
                    0 if self.is_cut() => return Ok(()),
                    close if close == if is_object { b'}' } else { b']' } => {
                        self.step();
                        open -= 1;
                        objects >>= 1;
                        if open == 0 {
                            return Ok(());
                        }
                    }
                    _ => return Err(Bad::Syntax),
                }
            }
        }
    }
}

/// The first quote, backslash or control character from `at` on, or the end.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zeros = |x: u64| x.wrapping_sub(ONES) & !x;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let chunk = u64::from_le_bytes(*chunk);
        let quotes = zeros(chunk ^ (ONES * 0x22));
        let backslashes = zeros(chunk ^ (ONES * 0x5c));
        let controls = chunk.wrapping_sub(ONES * 0x20) & !chunk;
        let found = (quotes | backslashes | controls) & HIGHS;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while at < bytes.len() && bytes[at] >= 0x20 && bytes[at] != b'"' && bytes[at] != b'\\' {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::super::unescape::unescape;
    use super::*;

    fn accepts(text: &str) -> bool {
        let mut scan = Scan::new(text);
        scan.skip(0).and_then(|()| scan.end()).is_ok()
    }

    fn unescaped(text: &str) -> String {
        let mut out = String::new();
        unescape(Scan::new(text).string().expect("a string").raw, &mut out);
        out
    }

    #[test]
    fn accepts_json_and_nothing_else() {
        for good in [
            "{}",
            "[]",
            " [ ] ",
            "[1,2]",
            r#"{"a":{"b":[{},[]]},"c":null}"#,
            "-0.5e+3",
            "0",
            "true",
            "\"\\u00e4\\n\"",
            "[[],[[]]]",
        ] {
            assert!(accepts(good), "{good}");
        }
        for bad in [
            "",
            "{",
            "}",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "[1 2]",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "nul",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "[1]]",
            "{}{}",
            "{\"a\":1,}",
            "[}",
            "{]",
            "\u{0}",
            "[\u{1}]",
            "{\"a\":1 \"b\":2}",
        ] {
            assert!(!accepts(bad), "{bad}");
            assert!(serde_json::from_str::<IgnoredAny>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(accepts(&nested(DEPTH_MAX as usize)));
        for deep in [nested(DEPTH_MAX as usize + 1), "[".repeat(1_000_000), "{\"a\":".repeat(100_000)] {
            assert_eq!(Scan::new(&deep).skip(0), Err(Bad::Deep));
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescaped(r#""a\"b\\c\/d\b\f\n\r\te""#), "a\"b\\c/d\u{8}\u{c}\n\r\te");
        assert_eq!(unescaped(r#""\u00e4\ud83d\ude00x""#), "ä😀x");
        assert_eq!(unescaped(r#""\ud83d!\ude00\ud83d\u0041""#), "\u{fffd}!\u{fffd}\u{fffd}A");
    }

    /// JSON with mistakes in it.
    fn nearly_json() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"\"",
            "\"\\\"é\\u0041\"",
            "1",
            "-2.5e3",
            "0",
            "01",
            "true",
            "null",
            " ",
            "\n",
            "\"\\\\\"",
            "\"long enough for eight bytes\"",
            "\"tab\t\"",
            "x",
            "\"",
        ]);
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            prop::num::f64::NORMAL.prop_map(Into::into),
            "\\PC{0,12}".prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in prop_oneof![nearly_json(), any::<String>(), "[\\[\\]{}:,\"0-9a-e\\\\ .-]{0,20}"]) {
            prop_assert_eq!(accepts(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn accepts_what_is_json(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            prop_assert!(accepts(&text.expect("a value prints")));
        }

        #[test]
        fn strings_read_as_they_were_written(text in any::<String>()) {
            prop_assert_eq!(unescaped(&serde_json::to_string(&text).expect("a string prints")), text);
        }
    }
}
