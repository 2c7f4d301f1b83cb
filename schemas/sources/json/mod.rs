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

/// The elements of a text that is an array of objects or texts; `None` when it is something else.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    if !text.starts_with('[') {
        return None;
    }
    let mut scan = Scan::lenient(text);
    scan.step();
    let mut elements = Vec::new();
    loop {
        match scan.peek() {
            b'{' | b'"' => {}
            b']' if elements.is_empty() => break,
            _ => return None,
        }
        let start = scan.place();
        scan.skip(0).ok()?;
        elements.push(&text[start..scan.place().min(text.len())]);
        match scan.peek() {
            b',' => scan.step(),
            b']' => break,
            // The array was cut.
            0 => return Some(elements),
            _ => return None,
        }
    }
    scan.step();
    scan.end().ok().map(|()| elements)
}
