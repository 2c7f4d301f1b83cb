//! The one door from records to events: reads each record by its source's rules, removes what must not be kept, and
//! appends the rest as a row.
//!
//! Promises: each record becomes an event or a reject (a record that is an array: one or the other per element, all
//! with the record's offset); nothing is dropped. No raw secret leaves. In steady state no event costs an allocation
//! outside the columns. The same records give the same events.
//! Never: does I/O, reads a clock, or lets a fault in one record touch another.

use std::sync::Arc;

use crate::drift::Drift;
use crate::limits::RECORD_BYTES_MAX;
use crate::record::{Entry, Lane, RawBatch};
use crate::redact::token::Keys;
use crate::reject::{Code, LaneName, Reject};
use crate::request::Fault;
use crate::shape::Shaper;
use crate::sources::{Parser, SourceConfig, SourceError};
use crate::state::{LaneState, StateError};

use arrow::array::RecordBatch;

/// What became of a batch of records.
#[derive(Clone, Debug)]
pub struct Normalised {
    /// Rows of `event::arrow_schema()`, in the order of the records.
    pub events: RecordBatch,
    pub rejects: Vec<Reject>,
    /// What the lane has to know to go on after these records, when it changed: for `Normaliser::restore`.
    pub state: Option<Vec<u8>>,
}

/// Turns the records of one source into events. One thread owns it.
pub struct Normaliser {
    parser: Arc<Parser>,
    shaper: Shaper,
    drift: Drift,
    keys: Keys,
}

impl Normaliser {
    /// For the source that `config` describes; an unknown kind, a bad network or mapping is an error.
    pub fn new(config: &SourceConfig, keys: &Keys) -> Result<Normaliser, SourceError> {
        let parser = Arc::new(Parser::new(config)?);
        let shaper = Shaper::new(config, parser.gateway(), keys)?;
        Ok(Normaliser { parser, shaper, drift: Drift::default(), keys: keys.clone() })
    }

    /// The events and rejects of `raw`, records of `lane`.
    pub fn normalise(&mut self, lane: &Lane, raw: &RawBatch) -> Normalised {
        let parser = self.parser.clone();
        let mut reader = parser.reader();
        let mut rejects = Vec::new();
        self.shaper.begin(lane);
        for entry in &raw.entries {
            let bytes = &raw.arena[entry.start..entry.end];
            let text = match self.check(entry, bytes) {
                Ok(text) => text,
                Err(fault) => {
                    rejects.push(self.reject(lane, entry, fault, bytes, entry.length));
                    continue;
                }
            };
            let mut sealable: Vec<(Fault, &[u8])> = Vec::new();
            reader.read(text, &mut |result| {
                let outcome = match result {
                    Ok((request, bytes)) => self.shaper.append(&request, entry, lane).map_err(|fault| (fault, bytes)),
                    Err(failed) => Err(failed),
                };
                sealable.extend(outcome.err());
            });
            rejects
                .extend(sealable.into_iter().map(|(f, bytes)| self.reject(lane, entry, f, bytes, bytes.len() as u64)));
            if Drift::samples(entry.offset)
                && let Some(plan) = parser.plan()
            {
                self.drift.observe(plan, text);
            }
        }
        let learned = self.shaper.end(lane, raw.next_offset().unwrap_or(i64::MIN));
        let state = learned.map(|learned| LaneState { learned: Some(learned), ..LaneState::default() }.encode());
        Normalised { events: self.shaper.finish(), rejects, state }
    }

    /// Goes on with a lane where it was left: `state` is the last one that a batch of it came with. After an error the lane
    /// begins anew.
    pub fn restore(&mut self, lane: &Lane, state: &[u8]) -> Result<(), StateError> {
        let state = LaneState::decode(state)?;
        match &state.learned {
            Some(learned) if !self.shaper.restore(lane, learned) => Err(StateError::Damaged),
            _ => Ok(()),
        }
    }

    /// Keys in the records that the source's mapping does not know, with the number of sampled records (one in
    /// `limits::DRIFT_SAMPLE`) that had them; most frequent first.
    pub fn drift(&self) -> Vec<(String, u64)> {
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
    fn reject(&self, lane: &Lane, entry: &Entry, fault: Fault, bytes: &[u8], length: u64) -> Reject {
        Reject {
            lane: LaneName::from(lane),
            offset: entry.offset,
            observed_us: entry.observed_us,
            code: fault.code,
            detail: fault.detail,
            length,
            sealed: self.keys.seal.as_ref().and_then(|key| key.seal(bytes)),
        }
    }
}
