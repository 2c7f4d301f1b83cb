//! Lines of `key=value` pairs (logfmt): values with blanks stand in quotes.
//!
//! Promises: of a key that is there twice the first value counts, since what a client writes stands behind what the gateway
//! does; a quote that is never closed ends with the line.
//! Never: allocates, but for values with escapes.

use super::plan::Plan;
use super::slots::{SLOT_NONE, Scalar, Slots};
use super::text::unescape;
use crate::reject::Code;
use crate::request::Fault;

pub(super) fn fill<'b>(plan: &Plan, line: &'b str, slots: &mut Slots<'b>) -> Result<(), Fault> {
    slots.clear();
    let mut rest = line.trim_start();
    let mut pairs = 0;
    while !rest.is_empty() {
        let end = rest.find([' ', '=']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            rest = after.trim_start();
            continue;
        };
        pairs += 1;
        let (value, after) = value(after);
        let slot = plan.slot_named(key);
        if slot != SLOT_NONE && matches!(slots.get(slot), Scalar::Absent) {
            let scalar = match value.contains('\\') {
                true => slots.copy(|out| unescape(value, out)),
                false => Scalar::Text(value),
            };
            slots.put(slot, scalar);
        }
        rest = after.trim_start();
    }
    if pairs == 0 { Err(Fault::new(Code::InvalidLine, "expected pairs of key=value")) } else { Ok(()) }
}

/// The value that is next, without its quotes, and what follows.
fn value(text: &str) -> (&str, &str) {
    let Some(inner) = text.strip_prefix('"') else {
        return text.split_once(' ').unwrap_or((text, ""));
    };
    let bytes = inner.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]).map(|i| at + i) {
        if bytes[found] == b'"' {
            return (&inner[..found], &inner[found + 1..]);
        }
        // Past the character behind the backslash, whatever its width.
        at = found + 1 + inner[found + 1..].chars().next().map_or(0, char::len_utf8);
    }
    (inner, "")
}
