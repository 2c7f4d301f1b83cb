//! A text with one layer of escapes undone, and where each of its bytes came from: percent escapes (`%41`, `%u0041`),
//! backslash escapes (`\x41`, `\u0041`, `\101`, `\"`), HTML entities, the zero bytes of UTF-16, quoted-printable.
//!
//! Promises: one pass; the view is never longer than its source; bytes that are not UTF-8 become `?`.
//! Never: decides what a text is.

use super::rules;

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
        self.read(text, map, unit)
    }

    /// Undoes quoted-printable, where it is plain that it is that.
    pub(crate) fn unquote(&mut self, text: &str, map: Option<&[u32]>) -> bool {
        rules::has(rules::QUOTED) && is_quoted_printable(text.as_bytes()) && self.read(text, map, quoted)
    }

    fn read(&mut self, text: &str, map: Option<&[u32]>, unit: fn(&[u8]) -> Option<(usize, Unit)>) -> bool {
        let bytes = text.as_bytes();
        let place = |i: usize| map.map_or(i as u32, |map| map[i]);
        self.bytes.clear();
        self.from.clear();
        let (mut i, mut changed) = (0, false);
        while i < bytes.len() {
            let from = place(i);
            match unit(&bytes[i..]) {
                None => {
                    self.push(&bytes[i..=i], from);
                    i += 1;
                }
                Some((width, made)) => {
                    changed = true;
                    match made {
                        Unit::Byte(b) => self.push(&[b], from),
                        Unit::Char(c) => self.push(c.encode_utf8(&mut [0; 4]).as_bytes(), from),
                        Unit::Nothing => {}
                    }
                    i += width;
                }
            }
        }
        self.from.push(place(bytes.len()));
        if changed {
            self.finish();
        }
        changed
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
            self.text.extend(chunk.invalid().iter().map(|_| '?'));
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
    let end = bytes.iter().take(12).position(|&b| b == b';')?;
    let name = bytes.get(1..end)?;
    match name {
        [b'#', b'x' | b'X', digits @ ..] if rules::has(rules::ENTITY_NUMBER) => char::from_u32(hex(digits)?),
        [b'#', digits @ ..] if rules::has(rules::ENTITY_NUMBER) => {
            char::from_u32(std::str::from_utf8(digits).ok()?.parse::<u32>().ok()?)
        }
        _ if rules::has(rules::ENTITY_NAME) => ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, c)| *c),
        _ => None,
    }
    .map(|c| (end + 1, Unit::Char(c)))
}

fn quoted(bytes: &[u8]) -> Option<(usize, Unit)> {
    match bytes {
        [b'=', b'\r', b'\n', ..] => Some((3, Unit::Nothing)),
        [b'=', b'\n', ..] => Some((2, Unit::Nothing)),
        [b'=', ..] => hex_byte(bytes.get(1..3)).map(|byte| (3, Unit::Byte(byte))),
        _ => None,
    }
}

/// Three escapes in a row: `=70=61=73`. Fewer may be pairs of a query.
fn is_quoted_printable(bytes: &[u8]) -> bool {
    let mut row = 0;
    let mut i = 0;
    while let Some(at) = memchr::memchr(b'=', &bytes[i..]).map(|at| at + i) {
        row = if at == i && at > 0 { row } else { 0 };
        if hex_byte(bytes.get(at + 1..at + 3)).is_none() {
            i = at + 1;
            row = 0;
            continue;
        }
        row += 1;
        i = at + 3;
        if row == 3 {
            return true;
        }
    }
    false
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
        assert!(!view.unquote("a=12&b=34&c=56", None));
    }
}
