//! The one door from records to events: reads each record by its source's rules, removes what must not be kept, and
//! appends the rest as a row.
//!
//! Promises: each record becomes an event or a reject (a record that is an array: one or the other per element, all
//! with the record's offset); nothing is dropped. No raw secret leaves. In steady state no event costs an allocation
//! outside the columns. The same records give the same events.
//! Never: does I/O, reads a clock, or lets a fault in one record touch another.

use std::sync::Arc;

use crate::drift::{Drift, Watch};
use crate::limits::RECORD_BYTES_MAX;
use crate::record::{Entry, Lane, RawBatch};
use crate::redact::token::Keys;
use crate::reject::{Code, LaneName, Reject};
use crate::request::Fault;
use crate::rotation::Rows;
use crate::sources::{Parser, SourceConfig, SourceError};

use arrow::array::RecordBatch;

/// What became of a batch of records.
#[derive(Clone, Debug)]
pub struct Normalised {
    /// Rows of `event::arrow_schema()`, in the order of the records.
    pub events: RecordBatch,
    pub rejects: Vec<Reject>,
}

/// Turns the records of one source into events. One thread owns it.
pub struct Normaliser {
    parser: Arc<Parser>,
    rows: Rows,
    drift: Watch,
    keys: Keys,
}

impl Normaliser {
    /// For the source that `config` describes; an unknown kind, a bad network or mapping is an error.
    pub fn new(config: &SourceConfig, keys: &Keys) -> Result<Normaliser, SourceError> {
        let parser = Arc::new(Parser::new(config)?);
        let rows = Rows::new(config, parser.gateway(), keys)?;
        Ok(Normaliser { parser, rows, drift: Watch::default(), keys: keys.clone() })
    }

    /// The events and rejects of `raw`, records of `lane`.
    pub fn normalise(&mut self, lane: &Lane, raw: &RawBatch) -> Normalised {
        let parser = self.parser.clone();
        let mut reader = parser.reader();
        let mut rejects = Vec::new();
        for entry in &raw.entries {
            let bytes = &raw.arena[entry.start..entry.end];
            let text = match self.check(entry, bytes) {
                Ok(text) => text,
                Err(fault) => {
                    rejects.push(self.reject(lane, entry, None, fault, bytes, entry.length));
                    continue;
                }
            };
            let mut sealable: Vec<(i32, Fault, &[u8])> = Vec::new();
            let mut elements = 0;
            reader.read(text, &mut |result| {
                let outcome = match result {
                    Ok((request, bytes)) => self.rows.append(&request, entry, lane).map_err(|fault| (fault, bytes)),
                    Err(failed) => Err(failed),
                };
                sealable.extend(outcome.err().map(|(fault, bytes)| (elements, fault, bytes)));
                elements += 1;
            });
            rejects.extend(sealable.into_iter().map(|(element, fault, bytes)| {
                let element = (elements > 1).then_some(element);
                self.reject(lane, entry, element, fault, bytes, bytes.len() as u64)
            }));
            if Watch::samples(entry.offset)
                && let Some(plan) = parser.plan()
            {
                self.drift.observe(plan, text);
            }
        }
        Normalised { events: self.rows.finish(), rejects }
    }

    /// How the records (a sample of them) differ from what the source's mapping expects: fields that vanished, changed
    /// their type, or appeared. Sources whose records are no JSON have none.
    pub fn drift(&self) -> Vec<Drift> {
        self.drift.report()
    }

    fn check<'r>(&self, entry: &Entry, bytes: &'r [u8]) -> Result<&'r str, Fault> {
        if entry.length > bytes.len() as u64 || bytes.len() > RECORD_BYTES_MAX {
            let detail =
                format!("a record has at most {RECORD_BYTES_MAX} bytes or what the source allows, whichever is less");
            return Err(Fault::new(Code::Oversized, detail));
        }
        let text = simdutf8::compat::from_utf8(bytes).map_err(|error| {
            Fault::new(Code::InvalidUtf8, format!("expected UTF-8, byte {} is not", error.valid_up_to()))
        })?;
        let text = text.trim_matches(['\n', '\r', ' ', '\t', '\u{feff}']);
        if text.is_empty() {
            return Err(Fault::new(Code::Empty, "expected a record, got no bytes or only white space"));
        }
        Ok(text)
    }

    #[cold]
    fn reject(
        &self,
        lane: &Lane,
        entry: &Entry,
        element: Option<i32>,
        fault: Fault,
        bytes: &[u8],
        length: u64,
    ) -> Reject {
        Reject {
            lane: LaneName::from(lane),
            offset: entry.offset,
            element,
            observed_us: entry.observed_us,
            code: fault.code,
            detail: fault.detail,
            length,
            sealed: self.keys.seal.as_ref().and_then(|seals| seals.seal(bytes)),
        }
    }
}
