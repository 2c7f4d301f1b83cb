//! A text with one layer of escapes undone, and where each of its bytes came from: percent escapes (`%41`, `%u0041`),
//! backslash escapes (`\x41`, `\u0041`, `\101`, `\"`), HTML entities, the zero bytes of UTF-16, quoted-printable, and letters
//! and signs that only look like those of ASCII (see `alike.rs`).
//!
//! Promises: one pass; the view is never longer than its source; bytes that are not UTF-8 become `?`.
//! Never: decides what a text is.

use std::ops::Range;

use super::{alike, rules};

/// A decoded text; `map` holds for each of its bytes, and for its end, the place in the text it was made from.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) text: String,
    pub(crate) map: Vec<u32>,
    bytes: Vec<u8>,
    from: Vec<u32>,
}

enum Unit {
    Byte(u8),
    Char(char),
    Nothing,
}

impl View {
    /// Undoes one layer of `text`, whose bytes came from `map` (from themselves, if there is none). False when there was nothing.
    pub(crate) fn undo(&mut self, text: &str, map: Option<&[u32]>) -> bool {
        let bytes = text.as_bytes();
        self.read(bytes, map, |b| matches!(b, b'%' | b'\\' | b'&' | 0 | 0xef), |at| unit(&bytes[at..]))
    }

    /// Undoes quoted-printable, where it is plain that it is that: of the whole text, when a line of it ends softly, else in
    /// parts that pairs cannot be, and of what stands for signs that nobody else writes so.
    pub(crate) fn unquote(&mut self, text: &str, map: Option<&[u32]>) -> bool {
        let bytes = text.as_bytes();
        if !rules::has(rules::QUOTED) || !has_quoted(bytes) {
            return false;
        }
        let mut part = Part::default();
        self.read(
            bytes,
            map,
            |b| b == b'=',
            |at| {
                let (width, unit) = quoted(&bytes[at..])?;
                let is_break = matches!(unit, Unit::Nothing);
                (is_break || part.is_quoted(bytes, at)).then_some((width, unit))
            },
        )
    }

    /// Writes letters, digits and signs that look like those of ASCII as those.
    pub(crate) fn fold(&mut self, text: &str, map: Option<&[u32]>) -> bool {
        if text.is_ascii() || !rules::has(rules::FOLD) {
            return false;
        }
        self.read(
            text.as_bytes(),
            map,
            |b| b >= 0xc0,
            |at| {
                let (c, plain) = alike::plain(text, at)?;
                Some((c.len_utf8(), plain.map_or(Unit::Nothing, Unit::Char)))
            },
        )
    }

    /// Undoes what `unit` knows, which begins with a byte that `begins`. What is between is copied as a whole, and nothing is
    /// before there is something to undo.
    fn read(
        &mut self,
        bytes: &[u8],
        map: Option<&[u32]>,
        begins: impl Fn(u8) -> bool,
        mut unit: impl FnMut(usize) -> Option<(usize, Unit)>,
    ) -> bool {
        self.bytes.clear();
        self.from.clear();
        let (mut copied, mut i, mut changed) = (0, 0, false);
        while let Some(at) = bytes[i..].iter().position(|&b| begins(b)).map(|at| i + at) {
            let Some((width, made)) = unit(at) else {
                i = at + 1;
                continue;
            };
            self.copy(bytes, copied..at, map);
            let from = map.map_or(at as u32, |map| map[at]);
            match made {
                Unit::Byte(b) => self.push(&[b], from),
                Unit::Char(c) => self.push(c.encode_utf8(&mut [0; 4]).as_bytes(), from),
                Unit::Nothing => {}
            }
            i = at + width;
            (copied, changed) = (i, true);
        }
        if changed {
            self.copy(bytes, copied..bytes.len(), map);
            self.from.push(map.map_or(bytes.len() as u32, |map| map[bytes.len()]));
            self.finish();
        }
        changed
    }

    fn copy(&mut self, bytes: &[u8], range: Range<usize>, map: Option<&[u32]>) {
        self.bytes.extend_from_slice(&bytes[range.clone()]);
        match map {
            Some(map) => self.from.extend_from_slice(&map[range]),
            None => self.from.extend(range.start as u32..range.end as u32),
        }
    }

    fn push(&mut self, bytes: &[u8], from: u32) {
        self.bytes.extend_from_slice(bytes);
        self.from.extend(bytes.iter().map(|_| from));
    }

    fn finish(&mut self) {
        self.text.clear();
        if let Ok(text) = std::str::from_utf8(&self.bytes) {
            self.text.push_str(text);
            std::mem::swap(&mut self.map, &mut self.from);
            return;
        }
        for chunk in self.bytes.utf8_chunks() {
            self.text.push_str(chunk.valid());
            // The no-break space of Latin-1 separates, as it does there.
            self.text.extend(chunk.invalid().iter().map(|&b| if b == 0xa0 { ' ' } else { '?' }));
        }
        std::mem::swap(&mut self.map, &mut self.from);
    }
}

fn unit(bytes: &[u8]) -> Option<(usize, Unit)> {
    match bytes[0] {
        b'%' => percent(bytes),
        b'\\' => backslash(bytes),
        b'&' => entity(bytes),
        0 if rules::has(rules::NUL) => Some((1, Unit::Nothing)),
        // Half of a sign that separates, as the no-break space.
        0xef if bytes.starts_with("\u{fffd}\0".as_bytes()) && rules::has(rules::NUL) => Some((4, Unit::Byte(b' '))),
        _ => None,
    }
}

fn percent(bytes: &[u8]) -> Option<(usize, Unit)> {
    if let Some(byte) = hex_byte(bytes.get(1..3)) {
        return rules::has(rules::PERCENT).then_some((3, Unit::Byte(byte)));
    }
    let is_u = matches!(bytes.get(1), Some(b'u' | b'U')) && rules::has(rules::PERCENT_U);
    is_u.then(|| hex(bytes.get(2..6)?)).flatten().map(|unit| (6, Unit::Char(char::from_u32(unit).unwrap_or('?'))))
}

fn backslash(bytes: &[u8]) -> Option<(usize, Unit)> {
    let next = *bytes.get(1)?;
    match next {
        b'x' | b'X' if rules::has(rules::ESCAPE_X) => {
            if let Some(byte) = hex_byte(bytes.get(2..4)) {
                return Some((4, Unit::Byte(byte)));
            }
        }
        b'u' | b'U' if rules::has(rules::ESCAPE_U) => {
            if let Some(unit) = bytes.get(2..6).and_then(hex) {
                return Some((6, Unit::Char(char::from_u32(unit).unwrap_or('?'))));
            }
            if let Some(end) = bytes.iter().take(10).position(|&b| b == b'}')
                && bytes[2] == b'{'
                && let Some(unit) = hex(&bytes[3..end])
            {
                return Some((end + 1, Unit::Char(char::from_u32(unit).unwrap_or('?'))));
            }
        }
        b'0'..=b'7' if rules::has(rules::ESCAPE_OCTAL) => {
            let digits = bytes[1..].iter().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
            let value = bytes[1..=digits].iter().fold(0u32, |value, b| value * 8 + u32::from(b - b'0'));
            if digits == 3 || value == 0 {
                return Some((digits + 1, Unit::Byte(value.min(255) as u8)));
            }
        }
        _ => {}
    }
    if !rules::has(rules::ESCAPE_CHAR) {
        return None;
    }
    Some(match next {
        b'n' => (2, Unit::Byte(b'\n')),
        b'r' => (2, Unit::Byte(b'\r')),
        b't' => (2, Unit::Byte(b'\t')),
        b'\\' => (2, Unit::Byte(b'\\')),
        _ if next.is_ascii() => (2, Unit::Byte(next)),
        _ => (1, Unit::Nothing),
    })
}

/// Entities that stand for what means something to a grammar.
#[rustfmt::skip]
static ENTITIES: &[(&[u8], char)] = &[
    (b"amp", '&'), (b"lt", '<'), (b"gt", '>'), (b"quot", '"'), (b"apos", '\''), (b"nbsp", ' '), (b"equals", '='), (b"colon", ':'), (b"semi", ';'),
    (b"commat", '@'), (b"period", '.'), (b"comma", ','), (b"sol", '/'), (b"lowbar", '_'), (b"UnderBar", '_'), (b"hyphen", '-'), (b"dash", '-'), (b"num", '#'), (b"percnt", '%'), (b"plus", '+'),
    (b"lbrace", '{'), (b"lcub", '{'), (b"rbrace", '}'), (b"rcub", '}'), (b"lbrack", '['), (b"lsqb", '['), (b"rbrack", ']'), (b"rsqb", ']'), (b"lpar", '('),
    (b"rpar", ')'), (b"bsol", '\\'), (b"Tab", '\t'), (b"NewLine", '\n'), (b"excl", '!'), (b"quest", '?'), (b"dollar", '$'), (b"ast", '*'), (b"midast", '*'), (b"grave", '`'), (b"vert", '|'), (b"verbar", '|'), (b"Hat", '^'),
];

fn entity(bytes: &[u8]) -> Option<(usize, Unit)> {
    if bytes.get(1) == Some(&b'#') {
        return rules::has(rules::ENTITY_NUMBER).then(|| entity_number(bytes)).flatten();
    }
    let end = bytes.iter().take(12).position(|&b| b == b';')?;
    let name = bytes.get(1..end).filter(|_| rules::has(rules::ENTITY_NAME))?;
    ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, c)| (end + 1, Unit::Char(*c)))
}

/// `&#112;`, `&#x70;`; browsers read them without the `;` too.
fn entity_number(bytes: &[u8]) -> Option<(usize, Unit)> {
    let is_hex = matches!(bytes.get(2), Some(b'x' | b'X'));
    let start = if is_hex { 3 } else { 2 };
    let is_digit = |b: &&u8| if is_hex { b.is_ascii_hexdigit() } else { b.is_ascii_digit() };
    let end = start + bytes[start..].iter().take(8).take_while(is_digit).count();
    let digits = std::str::from_utf8(&bytes[start..end]).ok()?;
    let c = char::from_u32(u32::from_str_radix(digits, if is_hex { 16 } else { 10 }).ok()?)?;
    Some((end + usize::from(bytes.get(end) == Some(&b';')), Unit::Char(c)))
}

fn quoted(bytes: &[u8]) -> Option<(usize, Unit)> {
    match bytes {
        [b'=', b'\r', b'\n', ..] => Some((3, Unit::Nothing)),
        [b'=', b'\n', ..] => Some((2, Unit::Nothing)),
        [b'=', ..] => hex_byte(bytes.get(1..3)).map(|byte| (3, Unit::Byte(byte))),
        _ => None,
    }
}

/// Is there an escape or a soft break at all?
fn has_quoted(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'=', bytes).any(|at| quoted(&bytes[at..]).is_some())
}

/// A part of a text that holds one pair at most, and whether it holds more escapes than a pair could.
#[derive(Default)]
struct Part {
    end: usize,
    is_quoted: bool,
    /// The first `=` of the part, behind a name.
    first: usize,
    /// Does a line of the text end softly? Looked for once it matters.
    soft: Option<bool>,
}

impl Part {
    /// Is the escape at `at` one? Two in a part are, and one with no name before it; a single one when it stands for a sign,
    /// or in a text with soft breaks. Behind a name (`q=4716=20...`) what stands for no sign begins the value of a pair.
    fn is_quoted(&mut self, bytes: &[u8], at: usize) -> bool {
        if at >= self.end {
            let start = bytes[self.end..at].iter().rposition(|&b| is_edge(b)).map_or(self.end, |i| self.end + i + 1);
            self.end = bytes[at..].iter().position(|&b| is_edge(b)).map_or(bytes.len(), |i| at + i);
            let part = &bytes[start..self.end];
            let escapes = || memchr::memchr_iter(b'=', part).filter(|&i| hex_byte(part.get(i + 1..i + 3)).is_some());
            let nameless = || escapes().any(|i| i == 0 || part[i - 1] == b'=');
            self.is_quoted = escapes().take(2).count() == 2 || nameless();
            let first = memchr::memchr(b'=', part).filter(|&i| part[..i].iter().any(u8::is_ascii_alphabetic));
            self.first = first.map_or(usize::MAX, |i| start + i);
        }
        if at == self.first && bytes.get(at + 3) != Some(&b'=') {
            return is_sign(bytes, at);
        }
        self.is_quoted || is_sign(bytes, at) || *self.soft.get_or_insert_with(|| has_soft_break(bytes))
    }
}

fn has_soft_break(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]).ends_with(b"="))
}

/// Between pairs, and between values.
fn is_edge(b: u8) -> bool {
    matches!(
        b,
        b'&' | b';' | b',' | b'|' | b'/' | b'?' | b'#' | b' ' | b'\t' | b'\r' | b'\n' | b'"' | b'\'' | b'<' | b'>'
    )
}

/// Does the one escape at `at` stand for a sign that mails must write so or that keys and addresses have: `=3D`, `=5F`, `=40`?
/// A blank (`=20`) begins too many numbers: only behind the word of a scheme, and before a card, which has a check digit.
fn is_sign(bytes: &[u8], at: usize) -> bool {
    match &bytes[at + 1..at + 3] {
        [b'3', b'D' | b'd' | b'A' | b'a'] | [b'5', b'F' | b'f'] | [b'2', b'D'..=b'F' | b'B'] => true,
        [b'4', b'0'] => bytes.get(at + 3).is_some_and(u8::is_ascii_alphabetic),
        [b'2', b'0'] => {
            let word = bytes[..at].iter().rev().take_while(|b| b.is_ascii_alphabetic()).count();
            [&b"bearer"[..], b"basic", b"card"].iter().any(|s| bytes[at - word..at].eq_ignore_ascii_case(s))
        }
        _ => false,
    }
}

fn hex_byte(pair: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = pair? else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

fn hex(digits: &[u8]) -> Option<u32> {
    let fits = (1..=6).contains(&digits.len());
    fits.then(|| digits.iter().try_fold(0, |value, &b| Some(value * 16 + char::from(b).to_digit(16)?))).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_undone_one_by_one() {
        for (text, expected) in [
            ("a%3Db", "a=b"),
            ("a%253Db", "a%3Db"),
            ("%u0070w", "pw"),
            ("\\x70\\u0071\\162\\\"", "pqr\""),
            ("&#112;&#x71;&equals;", "pq="),
            ("&#112&#x71 &#0000061x", "pq =x"),
            ("p\0w\0", "pw"),
            (r"a\\b", r"a\b"),
            ("%ff", "?"),
            (r"\u{70}w", "pw"),
        ] {
            let mut view = View::default();
            assert!(view.undo(text, None), "{text}");
            assert_eq!(view.text, expected);
            assert_eq!((view.map.len(), view.map[0]), (expected.len() + 1, 0));
            assert_eq!(*view.map.last().expect("an end"), text.len() as u32);
        }
        for text in ["", "a=b&c=d;e", "100%", "a & b", "&copy=1"] {
            assert!(!View::default().undo(text, None), "{text}");
        }
        let mut view = View::default();
        assert!(view.unquote("d==70=61=73=\r\n=73", None) && view.text == "d=pass");
        for (text, expected) in [
            ("pass=\nword=3Dx", "password=x"),
            ("4539=201488=200343=206467", "4539 1488 0343 6467"),
            ("ann=40mail.example", "ann@mail.example"),
            ("ghp=5Fabc", "ghp_abc"),
            ("q==2B14155552671", "q=+14155552671"),
            ("Bearer=20abc", "Bearer abc"),
            ("q=4716=200253=202858=202972", "q=4716 0253 2858 2972"),
            ("q=4024=204300=204900=205138", "q=4024 4300 4900 5138"),
            ("q=DE82=2D9403=2D5541", "q=DE82-9403-5541"),
            ("q=4716 0253=\r\n 2858 297=\r\n2", "q=4716 0253 2858 2972"),
        ] {
            assert!(view.unquote(text, None), "{text}");
            assert_eq!(view.text, expected);
        }
        for text in
            ["a=12&b=34&c=56", "order=202609210000123456", "x=10/y=20/z=30", "from=2026;to=2027", "a=b==", "=", "a=4"]
        {
            assert!(!view.unquote(text, None), "{text}");
        }
    }
}
