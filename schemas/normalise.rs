//! The one door from records to events: reads each record by its source's rules, removes what must not be kept, and
//! appends the rest as a row.
//!
//! Promises: each record becomes an event or a reject (a record that is an array: one or the other per element, all
//! with the record's offset); nothing is dropped. No raw secret leaves. In steady state no event costs an allocation
//! outside the columns. The same records give the same events.
//! Never: does I/O, reads a clock, or lets a fault in one record touch another.

use std::borrow::Cow;
use std::sync::Arc;

use crate::drift::{Drift, Watch};
use crate::enrich::Geo;
use crate::hash::{self, FastMap};
use crate::limits::RECORD_BYTES_MAX;
use crate::record::{Entry, Lane, RawBatch};
use crate::redact::token::Keys;
use crate::reject::{Code, LaneName, Reject};
use crate::request::Fault;
use crate::rotation::Rows;
use crate::sources::{Parser, Reader, SourceConfig, SourceError, W3cFields};
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
    rows: Rows,
    drift: Watch,
    keys: Keys,
    /// By partition, what the last `#Fields` line said.
    fields: FastMap<i32, W3cFields>,
    /// The same, as it was last saved.
    named: FastMap<i32, String>,
}

impl Normaliser {
    /// For the source that `config` describes; an unknown kind, a bad network or mapping is an error.
    pub fn new(config: &SourceConfig, keys: &Keys) -> Result<Normaliser, SourceError> {
        let parser = Arc::new(Parser::new(config)?);
        let rows = Rows::new(config, parser.gateway(), keys)?;
        Ok(Normaliser {
            parser,
            rows,
            drift: Watch::default(),
            keys: keys.clone(),
            fields: hash::map(),
            named: hash::map(),
        })
    }

    /// Where to look up what records leave out about their client (country, network, coordinates), from the next record
    /// on; `None` looks nowhere.
    pub fn set_geo(&mut self, geo: Option<Arc<Geo>>) {
        self.rows.set_geo(geo);
    }

    /// The events and rejects of `raw`, records of `lane`.
    pub fn normalise(&mut self, lane: &Lane, raw: &RawBatch) -> Normalised {
        let parser = self.parser.clone();
        let texts: Vec<_> =
            raw.entries.iter().map(|entry| text_of(entry, &raw.arena[entry.start..entry.end])).collect();
        let mut reader = Reader::new(&parser);
        let mut fields = self.fields.remove(&lane.partition).or_else(|| parser.fields());
        let (rows, keys) = (&mut self.rows, &self.keys);
        let mut rejects = Vec::new();
        rows.begin(lane);
        for (entry, text) in raw.entries.iter().zip(&texts) {
            let text = match text {
                Ok(text) => text.as_ref(),
                Err(fault) => {
                    let bytes = &raw.arena[entry.start..entry.end];
                    rejects.push(reject(keys, lane, entry, None, fault.clone(), bytes, entry.length));
                    continue;
                }
            };
            let (first, mut elements) = (rejects.len(), 0);
            reader.read(text, entry.observed_us, &mut fields, &mut |outcome| {
                let failed = match outcome {
                    Ok((request, bytes)) => rows.append(&request, entry, lane).map_err(|fault| (fault, bytes)),
                    Err(failed) => Err(failed),
                };
                if let Err((fault, bytes)) = failed {
                    // An element of a batch is sealed by itself; everything else as it came, with its envelope.
                    let is_whole =
                        !text.starts_with('[') && bytes.as_ptr_range().end == text.as_bytes().as_ptr_range().end;
                    let (bytes, length) = match is_whole {
                        true => (&raw.arena[entry.start..entry.end], entry.length),
                        false => (bytes, bytes.len() as u64),
                    };
                    rejects.push(reject(keys, lane, entry, Some(elements), fault, bytes, length));
                }
                elements += 1;
            });
            if elements == 1 {
                rejects[first..].iter_mut().for_each(|reject| reject.element = None);
            }
            if Watch::samples(entry.offset) {
                self.drift.observe(parser.plan(), text);
            }
        }
        let named = fields.as_ref().and_then(W3cFields::list).map(str::to_string);
        let renamed = named != self.named.get(&lane.partition).cloned();
        if let Some(fields) = fields {
            self.fields.insert(lane.partition, fields);
        }
        let learned = self.rows.end(lane, raw.next_offset().unwrap_or(i64::MIN), renamed);
        let state = (learned.is_some() || renamed)
            .then(|| LaneState { fields: named.clone(), learned, ..LaneState::default() }.encode());
        if let Some(named) = named {
            self.named.insert(lane.partition, named);
        }
        Normalised { events: self.rows.finish(), rejects, state }
    }

    /// Goes on with a lane where it was left: `state` is the last one that a batch of it came with. After an error the lane
    /// begins anew.
    pub fn restore(&mut self, lane: &Lane, state: &[u8]) -> Result<(), StateError> {
        let state = LaneState::decode(state)?;
        if let (Some(list), Some(fields)) = (&state.fields, self.parser.fields()) {
            self.fields.insert(lane.partition, fields.renamed(list, self.parser.plan()));
            self.named.insert(lane.partition, list.clone());
        }
        match &state.learned {
            Some(learned) if !self.rows.restore(lane, learned) => Err(StateError::Damaged),
            _ => Ok(()),
        }
    }

    /// A lane begins with what another one knows by now: its file came in the place of the other's. Gives the state of the
    /// new lane, if there is anything to know.
    pub fn inherit(&mut self, lane: &Lane, from: &Lane) -> Option<Vec<u8>> {
        let named = self.named.get(&from.partition).cloned();
        let learned = self.rows.learned_of(from);
        if named.is_none() && learned.is_none() {
            return None;
        }
        let state = LaneState { fields: named, learned, ..LaneState::default() }.encode();
        // What a lane has saved makes sense to another one.
        self.restore(lane, &state).is_ok().then_some(state)
    }

    /// How the records (a sample of them) differ from what the source's mapping expects: fields that vanished, changed
    /// their type, or appeared. Sources whose records are no JSON have none.
    pub fn drift(&self) -> Vec<Drift> {
        self.drift.report()
    }
}

/// The text of a record; bytes that are not UTF-8 are U+FFFD.
fn text_of<'r>(entry: &Entry, bytes: &'r [u8]) -> Result<Cow<'r, str>, Fault> {
    if entry.length > bytes.len() as u64 || bytes.len() > RECORD_BYTES_MAX {
        let detail =
            format!("a record has at most {RECORD_BYTES_MAX} bytes or what the source allows, whichever is less");
        return Err(Fault::new(Code::Oversized, detail));
    }
    // NULs stand where a log was cut while its writer went on behind.
    let around = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\0');
    let text = match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.trim_matches(around)),
        Err(_) => Cow::Owned(String::from_utf8_lossy(bytes).trim_matches(around).to_string()),
    };
    if text.is_empty() {
        return Err(Fault::new(Code::Empty, "expected a record, got no bytes or only white space"));
    }
    Ok(text)
}

#[cold]
fn reject(
    keys: &Keys,
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
        sealed: keys.seal.as_ref().and_then(|seals| seals.seal(bytes)),
    }
}
