//! Elements of XML and HTML that name a secret: `<Password>x</Password>`, `<key>password</key><string>x</string>`. Attributes
//! are pairs, see `pairs.rs`.
//!
//! Promises: linear time; the text of an element ends at the next tag, that of CDATA at its end.
//! Never: checks that the document is well-formed.

use super::find::Finding;
use super::names::{Memo, NAME_BYTES_MAX, Says};
use super::pairs::confirmed;
use super::rules;

pub(crate) fn elements(text: &str, memo: &mut Memo, findings: &mut Vec<Finding>) {
    if !rules::has(rules::ELEMENT) {
        return;
    }
    let bytes = text.as_bytes();
    // The name that the element before held as its text, and how many elements ago.
    let mut named: Option<(Says, u8)> = None;
    let mut from = 0;
    while let Some(open) = memchr::memchr(b'<', &bytes[from..]).map(|i| from + i) {
        from = open + 1;
        let length = bytes[from..]
            .iter()
            .take(NAME_BYTES_MAX)
            .take_while(|&&b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':') || b >= 0x80)
            .count();
        if length == 0 {
            continue;
        }
        let name = &bytes[from..from + length];
        let name = name.iter().rposition(|&b| b == b':').map_or(name, |colon| &name[colon + 1..]);
        let tag = &bytes[from + length..];
        let Some(close) = memchr::memchr2(b'>', b'<', tag).filter(|&i| tag[i] == b'>') else { continue };
        let start = from + length + close + 1;
        let end = text_end(bytes, start);
        from = start;
        if close > 0 && tag[close - 1] == b'/' || start == end {
            continue;
        }
        let says = memo.says(name);
        let value = &bytes[start..end];
        let says_own = if is_name_of_secret(memo, name, value) { Says::Name } else { says };
        let found = confirmed(says_own, value).or_else(|| named.and_then(|(named, _)| confirmed(named, value)));
        named = match memo.says(trimmed(value)) {
            secret @ (Says::Secret(_) | Says::Unless(_) | Says::Perhaps(_) | Says::Drawn(_))
                if says == Says::Name || name.eq_ignore_ascii_case(b"key") =>
            {
                Some((secret, 0))
            }
            _ => named.filter(|(_, age)| *age < 1 && found.is_none()).map(|(named, age)| (named, age + 1)),
        };
        if let Some(class) = found.filter(|_| !value.iter().all(u8::is_ascii_whitespace)) {
            findings.push(Finding { start, end, class, whole: true });
            from = end;
        }
    }
}

/// `<key>password</key>` names a secret and is none.
fn is_name_of_secret(memo: &mut Memo, name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"key") && matches!(memo.says(trimmed(value)), Says::Secret(_) | Says::Unless(_))
}

fn trimmed(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// The end of the text that begins at `start`.
fn text_end(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    let cdata = rest
        .starts_with(b"<![CDATA[")
        .then(|| memchr::memmem::find(&rest[..rest.len().min(CDATA_MAX)], b"]]>"))
        .flatten();
    let from = if rest.starts_with(b"<!") { 1 } else { 0 };
    let end = cdata.map(|i| i + 3).or_else(|| memchr::memchr(b'<', &rest[from..]).map(|i| from + i));
    end.map_or(bytes.len(), |i| start + i)
}

/// How far the end of CDATA is looked for.
const CDATA_MAX: usize = 4 << 10;
