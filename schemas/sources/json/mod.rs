//! Records that are JSON: a mapping (data) says which path feeds which column in which unit; one walk over the record
//! collects the values, without building a tree of it. The scanner is our own (`scan.rs`): serde's visitors cost more
//! than everything else an event needs together.
//!
//! Promises: UTF-8 is checked once, before. Of a key that is there twice the last value counts, as in most parsers.
//! Nesting is bounded by the parser. Details of faults name fields and expectations, never content.
//! Never: knows a gateway; the mapping files beside it do.

mod key;
mod mapping;
mod plan;
mod scan;
mod walk;

pub use mapping::{MAPPING_COLUMNS, Mapping, MappingError};
pub(crate) use plan::Plan;
pub(crate) use walk::keys;

use serde_json::value::RawValue;

use crate::limits::RECORD_EVENTS_MAX;
use crate::reject::Code;
use crate::request::Fault;
use crate::sources::Outcome;
use walk::Slots;

/// Reads the JSON records of one batch, reusing its slots.
pub(crate) struct Reader<'p, 'b> {
    plan: &'p Plan,
    slots: Slots<'b>,
}

impl<'p, 'b> Reader<'p, 'b> {
    pub(crate) fn new(plan: &'p Plan) -> Reader<'p, 'b> {
        Reader { plan, slots: Slots::new(plan) }
    }

    pub(crate) fn read(&mut self, text: &'b str, sink: &mut dyn FnMut(Outcome<'_, 'b>)) {
        match text.as_bytes().first() {
            Some(b'[') if self.plan.is_batch() => self.read_array(text, sink),
            _ => self.read_object(text, sink),
        }
    }

    fn read_object(&mut self, text: &'b str, sink: &mut dyn FnMut(Outcome<'_, 'b>)) {
        let request = match self.slots.fill(self.plan, text) {
            Ok(()) => self.plan.request(&self.slots),
            Err(fault) => Err(fault),
        };
        sink(request.map(|request| (request, text.as_bytes())).map_err(|fault| (fault, text.as_bytes())));
    }

    /// A record that is an array of requests: gateways that batch write so.
    fn read_array(&mut self, text: &'b str, sink: &mut dyn FnMut(Outcome<'_, 'b>)) {
        let elements: Vec<&'b RawValue> = match serde_json::from_str(text) {
            Ok(elements) => elements,
            Err(error) => return sink(Err((syntax(&error), text.as_bytes()))),
        };
        if elements.is_empty() || elements.len() > RECORD_EVENTS_MAX {
            let fault =
                Fault::new(Code::NotAnObject, format!("expected an array of 1 to {RECORD_EVENTS_MAX} requests"));
            return sink(Err((fault, text.as_bytes())));
        }
        for element in elements {
            self.read_object(element.get(), sink);
        }
    }
}

/// What is wrong with the JSON, without the parser's words: they may quote the record.
fn syntax(error: &serde_json::Error) -> Fault {
    let (at, what) = (error.column(), if error.is_eof() { "the JSON ends early" } else { "not JSON" });
    Fault::new(Code::InvalidJson, format!("{what}, at byte {at}"))
}
