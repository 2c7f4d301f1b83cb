//! What strings with escapes stand for.
//!
//! Never: checks the escapes; the scanner did.

/// Writes what a string with escapes stands for. The escapes were checked by `string`.
pub(super) fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let kind = rest.as_bytes()[at + 1];
        rest = &rest[at + 2..];
        match kind {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => rest = unescape_unicode(rest, out),
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
}

/// The same for strings of a lenient scan: `\x22` is a byte, and an escape that is none stays as it is.
pub(super) fn unescape_lenient(raw: &str, out: &mut String) {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|text| u32::from_str_radix(text, 16).ok());
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match after {
            [b'x', high, low, more @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(&[*high, *low]).unwrap_or(0) as u8);
                rest = more;
            }
            [b'u', digits @ ..] if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) => {
                let mut character = String::new();
                // Behind an ASCII character a character begins.
                let text = &raw[raw.len() - digits.len()..];
                let more = unescape_unicode(text, &mut character);
                bytes.extend_from_slice(character.as_bytes());
                rest = &digits[digits.len() - more.len()..];
            }
            [kind @ (b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't'), more @ ..] => {
                bytes.push(match kind {
                    b'b' => 8,
                    b'f' => 12,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                rest = more;
            }
            _ => bytes.push(byte),
        }
    }
    out.push_str(&String::from_utf8_lossy(&bytes));
}

/// Writes the character behind `\u`, of one unit or of a surrogate pair; returns what follows.
fn unescape_unicode<'b>(rest: &'b str, out: &mut String) -> &'b str {
    let unit = |text: &str| u32::from_str_radix(text, 16).unwrap_or(0xfffd);
    let (first, after) = rest.split_at(4);
    let first = unit(first);
    if (0xd800..0xdc00).contains(&first)
        && let Some(low) = after.strip_prefix("\\u").and_then(|low| low.get(..4))
        && let second @ 0xdc00..0xe000 = unit(low)
    {
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
        return &after[6..];
    }
    out.push(char::from_u32(first).unwrap_or('\u{fffd}'));
    after
}
