//! A name and its value in two fields of one thing: `{"name": "password", "value": "x"}` in either order, `<input
//! name="password" value="x">`, `<string name="password">x</string>`, a part of a form.
//!
//! Promises: linear time; two objects, or two items of a list, are two things.
//! Never: decides what a name says, see `names.rs`.

use super::find::Finding;
use super::names::{Memo, NAME_BYTES_MAX, Says};
use super::pairs::{Pair, closing, confirmed, is_name, opening_quote};
use super::rules;

/// The pair before, when its value was a name, or its value may belong to a name that follows.
#[derive(Default)]
pub(crate) struct Beside {
    name: Option<Named>,
    value: Option<(usize, usize)>,
}

/// A value that was the name of a secret: what it says, where it ends, and where the name of its field stands.
#[derive(Clone, Copy)]
struct Named {
    says: Says,
    end: usize,
    field: (usize, usize),
}

impl Beside {
    /// Is the value of this pair the name of a secret?
    pub(crate) fn is_name(&self, bytes: &[u8], pair: &Pair<'_>, memo: &mut Memo) -> bool {
        let value = plain_value(bytes, pair.at + 1);
        value.is_some_and(|(start, end)| {
            let name = &bytes[start..end];
            name.len() <= NAME_BYTES_MAX
                && name.iter().all(|&b| is_name(b))
                && matches!(memo.says(name), Says::Secret(_) | Says::Unless(_))
        })
    }

    /// Takes note of a field that holds a name or a value, and finds the value whose name is secret.
    pub(crate) fn take(&mut self, bytes: &[u8], pair: &Pair<'_>, says: Says, memo: &mut Memo) -> Option<Finding> {
        if !rules::has(rules::NAME_VALUE) {
            return None;
        }
        let (start, end) = plain_value(bytes, pair.at + 1)?;
        if says == Says::Name {
            let named = memo.says(&bytes[start..end]);
            let is_secret = !matches!(named, Says::Nothing | Says::Name | Says::Value | Says::Hardly(_));
            let field = (pair.name_start, pair.name_start + pair.name.len());
            // Another field of the same thing does not take its name away: `name="password" id="x7" value="..."`.
            let is_same = |known: &Named| bytes[known.field.0..known.field.1] == *pair.name;
            if is_secret || self.name.as_ref().is_some_and(is_same) {
                self.name = is_secret.then_some(Named { says: named, end, field });
            }
            if is_secret
                && let Some((from, to)) = self.value.take()
                && to <= pair.name_start
                && !is_apart(&bytes[to..pair.name_start])
            {
                return confirmed(named, &bytes[from..to]).map(|class| Finding {
                    start: from,
                    end: to,
                    class,
                    whole: true,
                });
            }
            // `<string name="password">x</string>`, or a part of a form behind its empty line.
            if is_secret
                && !pair.name.eq_ignore_ascii_case(b"type")
                && let Some((from, to)) = text_behind(bytes, end)
            {
                return confirmed(named, &bytes[from..to]).map(|class| Finding {
                    start: from,
                    end: to,
                    class,
                    whole: true,
                });
            }
            return None;
        }
        match self.name {
            Some(Named { says, end: behind, .. })
                if behind <= pair.name_start && !is_apart(&bytes[behind..pair.name_start]) =>
            {
                let end = free_end(bytes, start, end);
                confirmed(says, &bytes[start..end]).map(|class| Finding { start, end, class, whole: true })
            }
            _ => {
                self.value = Some((start, end));
                None
            }
        }
    }
}

/// A value without quotes, which may hold blanks, goes on to the end of its parameter or line.
fn free_end(bytes: &[u8], start: usize, end: usize) -> usize {
    match start.checked_sub(1).map(|i| bytes[i]) {
        Some(b'"' | b'\'' | b'`') => end,
        _ => bytes[end..]
            .iter()
            .position(|&b| matches!(b, b'&' | b'\r' | b'\n' | b'}' | b'<'))
            .map_or(bytes.len(), |i| end + i),
    }
}

/// Two objects, or two items of a list.
fn is_apart(between: &[u8]) -> bool {
    between.len() > 400
        || memchr::memchr2(b'{', b'}', between).is_some()
        || memchr::memmem::find(between, b"\n-").is_some()
}

/// The value at `from` read without knowing what it is: in quotes, or to the next delimiter.
pub(crate) fn plain_value(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let blanks = bytes[from..].iter().take_while(|&&b| matches!(b, b' ' | b'\t' | b'+' | b'>' | b'=')).count();
    let start = from + blanks;
    if let Some(width) = opening_quote(bytes.get(start..)?) {
        let inner = start + width;
        return Some((inner, closing(bytes, inner, &bytes[start..inner])));
    }
    let stop = |b: &u8| {
        matches!(b, b'&' | b',' | b';' | b' ' | b'\t' | b'\r' | b'\n' | b'}' | b']' | b')' | b'>' | b'<' | b'"' | b'\'')
    };
    let end = bytes[start..].iter().position(stop).map_or(bytes.len(), |i| start + i);
    (start < end).then_some((start, end))
}

/// The text that follows the opening tag, or the header of a form part, in which a name stood that ends at `end`.
fn text_behind(bytes: &[u8], end: usize) -> Option<(usize, usize)> {
    let rest = &bytes[end..];
    let close = rest.iter().take(TAG_MAX).position(|&b| matches!(b, b'>' | b'\n' | b'{' | b'}'))?;
    // `<input name="password" value="x">`: its own value comes first.
    if rest[close] == b'>' && has_value(&rest[..close]) {
        return None;
    }
    let start = match rest[close] {
        b'>' if rest[close - 1] != b'/' => end + close + 1,
        b'\n' => {
            let blank = memchr::memmem::find(&rest[..rest.len().min(240)], b"\r\n\r\n").map(|i| i + 4);
            end + blank.or_else(|| memchr::memmem::find(&rest[..rest.len().min(240)], b"\n\n").map(|i| i + 2))?
        }
        _ => return None,
    };
    // `<Attribute Name="password"><AttributeValue>x`: the element in it holds the value.
    let inner = &bytes[start..bytes.len().min(start + TAG_MAX)];
    let start = match (rest[close], inner.trim_ascii_start()) {
        (b'>', [b'<', tag @ ..]) if is_value_tag(tag) => {
            start + inner.len() - tag.len() + memchr::memchr(b'>', tag)? + 1
        }
        _ => start,
    };
    let stop: &[u8] = if rest[close] == b'>' { b"<" } else { b"\n--" };
    let to = memchr::memmem::find(&bytes[start..], stop).map_or(bytes.len(), |i| start + i);
    (start < to).then_some((start, to))
}

/// Does the name of this element end with `value` or `string`?
fn is_value_tag(tag: &[u8]) -> bool {
    let length = tag.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_')).count();
    let name = tag[..length].to_ascii_lowercase();
    name.ends_with(b"value") || name.ends_with(b"string")
}

/// How far the end of a tag is looked for.
const TAG_MAX: usize = 160;

/// Is there an attribute that holds the value of the name beside it?
fn has_value(attributes: &[u8]) -> bool {
    let is = |word: &[u8]| {
        attributes.windows(word.len() + 1).any(|w| w[..word.len()].eq_ignore_ascii_case(word) && w[word.len()] == b'=')
    };
    is(b"value") || is(b"content")
}
