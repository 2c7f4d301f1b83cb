//! Records that are JSON: one walk over the record collects the values that the mapping wants, without building a tree of
//! it. The scanner is our own (`scan.rs`): serde's visitors cost more than everything else an event needs together.
//!
//! Promises: UTF-8 is checked once, before. Of a key that is there twice the last value counts, as in most parsers;
//! where that is the client, the time or the status, the record says that it is in doubt (`Plan::settle`).
//! Nesting is bounded by the parser. Details of faults name fields and expectations, never content. What gateways write
//! that build JSON from strings is read too, see `scan.rs`.
//! Never: knows a gateway; the mapping files do.

mod key;
mod salvage;
mod scan;
mod unescape;
mod walk;

pub(super) use key::Words;
pub(super) use salvage::value_at;
pub(crate) use walk::keys;
pub(super) use walk::{Forgiven, Walk};

use scan::Scan;

use crate::limits::RECORD_EVENTS_MAX;

/// Objects that stand one behind the other, when there are several and nothing else.
#[cold]
pub(super) fn objects(text: &str) -> Vec<&str> {
    let (mut scan, mut objects) = (Scan::lenient(text), Vec::new());
    while scan.peek() == b'{' && objects.len() < RECORD_EVENTS_MAX {
        let start = scan.place();
        if scan.skip(0).is_err() {
            return Vec::new();
        }
        objects.push(&text[start..scan.place().min(text.len())]);
    }
    if scan.end().is_ok() && objects.len() > 1 { objects } else { Vec::new() }
}

/// The elements of an array, and how many of them come before the first that is not as it should be: who wrote into that one may have
/// written what follows.
pub(super) struct Elements<'b> {
    pub(super) texts: Vec<&'b str>,
    pub(super) sure: usize,
}

/// The elements of a text that is an array of objects or texts; `None` when it is something else. One that is no JSON costs
/// itself, where the array ends as one and others of it are sound.
pub(super) fn elements(text: &str) -> Option<Elements<'_>> {
    if !text.starts_with('[') {
        return None;
    }
    let mut scan = Scan::lenient(text);
    scan.step();
    let (mut texts, mut sure, mut is_lost) = (Vec::new(), None, false);
    loop {
        let next = scan.peek();
        let start = scan.place();
        match next {
            b']' if texts.is_empty() => break,
            b'{' | b'"' if scan.skip(0).is_ok() && matches!(scan.peek(), b',' | b']' | 0) => {
                texts.push(&text[start..scan.place().min(text.len())]);
            }
            _ if texts.is_empty() && next != b'{' || !text.ends_with(']') => return None,
            _ => {
                sure.get_or_insert(texts.len());
                let end = start + length_of_bad(&text[start..], &mut is_lost);
                texts.push(text[start..end].trim());
                scan.go(end);
            }
        }
        if texts.len() > RECORD_EVENTS_MAX {
            break;
        }
        match scan.peek() {
            b',' => scan.step(),
            b']' => break,
            // The array was cut.
            0 => return Some(Elements { sure: sure.unwrap_or(texts.len()), texts }),
            _ => return None,
        }
    }
    if texts.len() <= RECORD_EVENTS_MAX {
        scan.step();
        scan.end().ok()?;
    }
    let sure = sure.unwrap_or(texts.len());
    let is_all_bad = sure == 0 && texts.iter().all(|text| Scan::lenient(text).skip(0).is_err());
    (texts.is_empty() || !is_all_bad).then_some(Elements { texts, sure })
}

/// Where an element of an array ends that is no JSON: at the comma or the bracket behind it as far as its quotes are right, else
/// before the next object. Once that was not found up to the end it is looked for no more: the work stays in proportion to the text.
#[cold]
fn length_of_bad(text: &str, is_lost: &mut bool) -> usize {
    let bytes = if *is_lost { "" } else { text };
    let (mut depth, mut in_text, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in bytes.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => depth += 1,
            b',' | b']' if depth == 0 => return at,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    *is_lost = true;
    text.find("},{").map_or(text.len() - 1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each of these looks as if it went on to the end of the text.
    #[test]
    fn where_no_element_ends_each_is_looked_for_once() {
        let text = format!("[{}{{}}]", "{[},".repeat(5_000));
        let found = elements(&text).expect("an array");
        assert_eq!((found.texts.last(), found.sure), (Some(&"{}"), 0), "{}", found.texts.len());
        let mut is_lost = false;
        assert_eq!((length_of_bad("{[},{},{}]", &mut is_lost), is_lost), (3, true));
        // What would have ended at the comma ends before the next object from now on.
        assert_eq!(length_of_bad("7,{},{}]", &mut is_lost), 4);
        assert_eq!(length_of_bad("7,{},{}]", &mut false), 1);
    }
}
