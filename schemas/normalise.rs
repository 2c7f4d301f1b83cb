//! The one door from records to events: reads each record by its source's rules, removes what must not be kept, and
//! appends the rest as a row.
//!
//! Promises: each record becomes an event or a reject (a record that is an array: one or the other per element, all
//! with the record's offset); nothing is dropped. No raw secret leaves. In steady state no event costs an allocation
//! outside the columns. The same records give the same events.
//! Never: does I/O, reads a clock, or lets a fault in one record touch another.

use std::sync::{Arc, Mutex, PoisonError};

use crate::draft::Recorded;
use crate::drift::{Drift, Watch};
use crate::enrich::Geo;
use crate::envelope::{self, Parts};
use crate::hash::{self, FastMap};
use crate::limits::RECORD_BYTES_MAX;
use crate::record::{Entry, Lane, RawBatch};
use crate::redact::token::Keys;
use crate::reject::{Code, LaneName, Reject};
use crate::request::Fault;
use crate::rotation::Rows;
use crate::sources::{Bare, Ends, Front, Outcome, Parser, Reader, SourceConfig, SourceError, Usual, W3cFields};
use crate::state::{LaneState, StateError};

use arrow::array::RecordBatch;
use bumpalo::Bump;

/// Requests that are shaped together.
const SHAPED_AT_ONCE: usize = 32;

/// What became of a batch of records.
#[derive(Clone, Debug)]
pub struct Normalised {
    /// Rows of `event::arrow_schema()`, in the order of the records.
    pub events: RecordBatch,
    pub rejects: Vec<Reject>,
    /// What the lane has to know to go on after these records, when it changed: for `Normaliser::restore`.
    pub state: Option<Vec<u8>>,
}

/// Turns the records of one source into events. One thread owns it; `another` gives one for a further thread.
pub struct Normaliser {
    config: Arc<SourceConfig>,
    parser: Arc<Parser>,
    rows: Rows,
    /// Shared by those of one source.
    drift: Arc<Mutex<Watch>>,
    keys: Keys,
    /// By partition, what the last `#Fields` line said.
    fields: FastMap<i32, W3cFields>,
    /// The same, as it was last saved.
    named: FastMap<i32, String>,
    /// By partition, the lines that have begun and have no end yet.
    parts: FastMap<i32, Parts>,
    /// By partition, what stands before the clients.
    fronts: FastMap<i32, (Front, Bare, Usual)>,
    /// Lines of a lane of which no `#Fields` line is known are not read.
    told_fields: bool,
}

impl Normaliser {
    /// For the source that `config` describes; an unknown kind, a bad network or mapping is an error.
    pub fn new(config: &SourceConfig, keys: &Keys) -> Result<Normaliser, SourceError> {
        let parser = Arc::new(Parser::new(config)?);
        let rows = Rows::new(config, parser.gateway(), keys)?;
        Ok(Normaliser {
            config: Arc::new(config.clone()),
            parser,
            rows,
            drift: Arc::default(),
            keys: keys.clone(),
            fields: hash::map(),
            named: hash::map(),
            parts: hash::map(),
            fronts: hash::map(),
            told_fields: false,
        })
    }

    /// One more for the same source. Lanes are divided among them, each knows its own ones; what drifts they see as one, in
    /// the order in which they come to it.
    pub fn another(&self) -> Normaliser {
        let rows = Rows::new(&self.config, self.parser.gateway(), &self.keys);
        Normaliser {
            config: self.config.clone(),
            parser: self.parser.clone(),
            rows: rows.expect("the same settings have made rows before"),
            drift: self.drift.clone(),
            keys: self.keys.clone(),
            fields: hash::map(),
            named: hash::map(),
            parts: hash::map(),
            fronts: hash::map(),
            told_fields: self.told_fields,
        }
    }

    /// Reads no line of a W3C file by the list of the mapping: for records that do not come from the beginning of their file. A
    /// lane without a `#Fields` line (`restore`) makes rejects.
    pub fn by_told_fields(self) -> Normaliser {
        Normaliser { told_fields: true, ..self }
    }

    /// Where to look up what records leave out about their client (country, network, coordinates), from the next record
    /// on; `None` looks nowhere.
    pub fn set_geo(&mut self, geo: Option<Arc<Geo>>) {
        self.rows.set_geo(geo);
    }

    /// The events and rejects of `raw`, records of `lane`.
    pub fn normalise(&mut self, lane: &Lane, raw: &RawBatch) -> Normalised {
        let parser = self.parser.clone();
        let arena = Bump::new();
        let mut reader = Reader::new(&parser, &arena);
        let mut fields = self.fields.remove(&lane.partition).or_else(|| parser.fields());
        if self.told_fields {
            fields = fields.map(W3cFields::untold);
        }
        // What came before the first record of a lane that is taken up in its midst, nobody knows.
        let is_unknown = self.told_fields || raw.entries.first().is_some_and(|entry| entry.offset > 0);
        let begins = || Parts::after(is_unknown);
        reader.parts = self.parts.remove(&lane.partition).unwrap_or_else(begins);
        let were_open = (reader.parts.streams(), reader.parts.patience());
        let fronts = self.fronts.get(&lane.partition).copied().unwrap_or_default();
        (reader.front, reader.bare, reader.usual) = fronts;
        self.rows.begin(lane);
        let mut waiting = Waiting::new(&mut self.rows, &self.keys, lane, raw);
        for (record, entry) in raw.entries.iter().enumerate() {
            let bytes = &raw.arena[entry.start..entry.end];
            let text = match text_of(bytes, &arena) {
                Ok(text) => text,
                Err(fault) => {
                    waiting.push(record, None, Err((fault, bytes)));
                    continue;
                }
            };
            if self.told_fields {
                // What came before a reject was another record; a part of a line is none by itself now either.
                reader.parts = Parts::after(true);
                (reader.front, reader.bare, reader.usual) = Default::default();
            }
            // Whoever hands on what others wrote may have taken them off.
            reader.blanks = Some(Ends::blanks(bytes)).filter(|_| !self.config.several_writers);
            let samples = Watch::samples(entry.offset);
            let mut first = None;
            if is_cut(entry, bytes) {
                // As far as it goes, if that says anything.
                let mut read = Vec::new();
                reader.read_cut(text, entry.observed_us, &mut fields, &mut |outcome| read.push(outcome));
                read.retain(|outcome| outcome.as_ref().is_ok_and(|(request, _)| request.tells() && request.has_time()));
                if read.is_empty() {
                    read.push(Err((oversized(), bytes)));
                }
                read.into_iter().for_each(|outcome| waiting.push(record, Some(text), outcome));
                continue;
            }
            reader.read(text, entry.observed_us, &mut fields, &mut |outcome| {
                if samples && first.is_none() {
                    first = read_from(&outcome);
                }
                waiting.push(record, Some(text), outcome);
            });
            // The envelope around it is no part of the mapping.
            if let Some(text) = first {
                self.drift.lock().unwrap_or_else(PoisonError::into_inner).observe(parser.plan(), text);
            }
        }
        let rejects = waiting.finish();
        let named = fields.as_ref().and_then(W3cFields::list).map(str::to_string);
        let open = (reader.parts.streams(), reader.parts.patience());
        self.parts.insert(lane.partition, std::mem::take(&mut reader.parts));
        let (front, bare, usual) = (reader.front, reader.bare, reader.usual);
        self.fronts.insert(lane.partition, (front, bare, usual));
        let has_changed =
            named != self.named.get(&lane.partition).cloned() || open != were_open || (front, bare, usual) != fronts;
        if let Some(fields) = fields {
            self.fields.insert(lane.partition, fields);
        }
        let learned = self.rows.end(lane, raw.next_offset().unwrap_or(i64::MIN), has_changed);
        let state = (learned.is_some() || has_changed).then(|| {
            let (open, patience) = open;
            LaneState { fields: named.clone(), open, patience, front, bare, usual, learned, ..LaneState::default() }
                .encode()
        });
        if let Some(named) = named {
            self.named.insert(lane.partition, named);
        }
        Normalised { events: self.rows.finish(), rejects, state }
    }

    /// Goes on with a lane where it was left: `state` is the last one that a batch of it came with. After an error the lane
    /// begins anew.
    pub fn restore(&mut self, lane: &Lane, state: &[u8]) -> Result<(), StateError> {
        let state = LaneState::decode(state)?;
        self.parts.insert(lane.partition, Parts::restored(&state.open, &state.patience));
        self.fronts.insert(lane.partition, (state.front, state.bare, state.usual));
        if let (Some(list), Some(fields)) = (&state.fields, self.parser.fields()) {
            self.fields.insert(lane.partition, fields.renamed(list, self.parser.plan()));
            self.named.insert(lane.partition, list.clone());
        }
        match &state.learned {
            Some(learned) if !self.rows.restore(lane, learned) => Err(StateError::Damaged),
            _ => Ok(()),
        }
    }

    /// What is known of a lane by now, for one that begins with it (`restore`): its file came in the place of the other's, or beside
    /// it. What stands before its clients it says itself: of another log it may be something else.
    pub fn state_of(&self, lane: &Lane) -> Option<Vec<u8>> {
        let named = self.named.get(&lane.partition).cloned();
        let learned = self.rows.learned_of(lane);
        let open = self.parts.get(&lane.partition).map(Parts::streams).unwrap_or_default();
        (named.is_some() || learned.is_some() || !open.is_empty())
            .then(|| LaneState { fields: named, open, learned, ..LaneState::default() }.encode())
    }

    /// How the records (a sample of them) differ from what the source's mapping expects: fields that vanished, changed
    /// their type, or appeared. Sources whose records are no JSON have none.
    pub fn drift(&self) -> Vec<Drift> {
        self.drift.lock().unwrap_or_else(PoisonError::into_inner).report()
    }
}

/// What was read of the records of a batch and waits to be shaped, in order.
struct Waiting<'w, 'b> {
    rows: &'w mut Rows,
    keys: &'w Keys,
    lane: &'w Lane,
    raw: &'b RawBatch,
    requests: Vec<Recorded<'b>>,
    /// Of each request and of each fault between them.
    origins: Vec<Origin<'b>>,
    faults: Vec<Option<Fault>>,
    /// With the number of the record.
    rejects: Vec<(usize, Reject)>,
    /// How many requests and faults came of the records so far, of each.
    elements: Vec<i32>,
}

/// Where an outcome comes from.
struct Origin<'b> {
    record: usize,
    element: i32,
    /// The part of the record, to be sealed if it is a reject.
    bytes: Option<&'b [u8]>,
    length: u64,
    /// Why there is no request.
    fault: Option<Fault>,
}

impl<'w, 'b> Waiting<'w, 'b> {
    fn new(rows: &'w mut Rows, keys: &'w Keys, lane: &'w Lane, raw: &'b RawBatch) -> Waiting<'w, 'b> {
        Waiting {
            rows,
            keys,
            lane,
            raw,
            requests: Vec::with_capacity(SHAPED_AT_ONCE),
            origins: Vec::with_capacity(SHAPED_AT_ONCE),
            faults: Vec::with_capacity(SHAPED_AT_ONCE),
            rejects: Vec::new(),
            elements: vec![0; raw.len()],
        }
    }

    /// Takes what came of a record; `text` is all of it, if it could be read.
    fn push(&mut self, record: usize, text: Option<&'b str>, outcome: Outcome<'b>) {
        let entry = &self.raw.entries[record];
        let (request, fault, bytes) = match outcome {
            Ok((request, bytes)) => (Some(request), None, bytes),
            Err((fault, bytes)) => (None, Some(fault), bytes),
        };
        // An element of a batch is sealed by itself; everything else as it came, with its envelope.
        let is_whole =
            |text: &str| !text.starts_with('[') && bytes.as_ptr_range().end == text.as_bytes().as_ptr_range().end;
        let (bytes, length) = match text.is_none_or(is_whole) {
            true => (&self.raw.arena[entry.start..entry.end], entry.length),
            false => (bytes, bytes.len() as u64),
        };
        // Without what is around it, the rest of a line would be a line by itself when it is read again.
        let is_bare = |fault: &Fault| fault.code == Code::Continuation && !text.is_none_or(is_whole);
        let bytes = Some(bytes).filter(|_| !fault.as_ref().is_some_and(is_bare));
        self.origins.push(Origin { record, element: self.elements[record], bytes, length, fault });
        self.elements[record] += 1;
        self.requests.extend(request.map(|request| Recorded { request, entry }));
        if self.origins.len() == SHAPED_AT_ONCE {
            self.shape();
        }
    }

    fn shape(&mut self) {
        self.faults.clear();
        self.rows.append(&self.requests, self.lane, &mut self.faults);
        self.requests.clear();
        let mut shaped = self.faults.drain(..);
        for origin in self.origins.drain(..) {
            let fault = origin.fault.or_else(|| shaped.next().expect("of each request something came"));
            if let Some(fault) = fault {
                let (entry, element) = (&self.raw.entries[origin.record], Some(origin.element));
                let reject = reject(self.keys, self.lane, entry, element, fault, origin.bytes, origin.length);
                self.rejects.push((origin.record, reject));
            }
        }
    }

    /// The rejects of the batch, whose rows are all appended.
    fn finish(mut self) -> Vec<Reject> {
        self.shape();
        let elements = &self.elements;
        let whole = |(record, reject): (usize, Reject)| {
            let element = reject.element.filter(|_| elements[record] > 1);
            Reject { element, ..reject }
        };
        self.rejects.into_iter().map(whole).collect()
    }
}

/// The text that became a request, or was to become one.
fn read_from<'b>(outcome: &Outcome<'b>) -> Option<&'b str> {
    let (Ok((_, bytes)) | Err((_, bytes))) = outcome;
    std::str::from_utf8(bytes).ok()
}

/// Is it longer than is read?
fn is_cut(entry: &Entry, bytes: &[u8]) -> bool {
    entry.length > bytes.len() as u64 || bytes.len() > RECORD_BYTES_MAX
}

fn oversized() -> Fault {
    let detail = format!("a record has at most {RECORD_BYTES_MAX} bytes or what the source allows, whichever is less");
    Fault::new(Code::Oversized, detail)
}

/// The text of a record, of one that is too long its beginning; bytes that are not UTF-8 are U+FFFD.
fn text_of<'b>(bytes: &'b [u8], arena: &'b Bump) -> Result<&'b str, Fault> {
    let bytes = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
    // NULs stand where a log was cut while its writer went on behind.
    let around = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\0');
    let text = match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => arena.alloc_str(&String::from_utf8_lossy(bytes)),
    };
    let text = text.trim_start_matches(around);
    let whole = text.trim_end_matches(around);
    let text = match whole.len() < text.len() && envelope::goes_on(text) {
        true => text.trim_end_matches(['\r', '\n']),
        false => whole,
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
    bytes: Option<&[u8]>,
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
        sealed: keys.seal.as_ref().zip(bytes).and_then(|(seals, bytes)| seals.seal(bytes)),
    }
}
