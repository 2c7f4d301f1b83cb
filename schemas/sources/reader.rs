//! Reads the records of a batch one after the other: envelope off, shape by shape, to requests.
//!
//! Promises: of each record comes at least one outcome, but for directives of W3C files. A record that tells of no request
//! as it is, is looked at as an envelope; what is inside is read the same way. Of one that tells of no whole request a line
//! in it counts, when that is a record: what stands beside it are a shipper's keys.
//! Never: decides what may be kept.

use std::borrow::Cow;

use bumpalo::Bump;

use super::columns::Doubt;
use super::json::{self, Forgiven, Walk};
use super::mapping::Input;
use super::slots::Slots;
use super::text::{Reading, Scratch};
use super::w3c::Fields;
use super::{Parser, logfmt};
use crate::envelope::{self, Inner, Stripped};
use crate::limits::{ENVELOPES_MAX, RECORD_EVENTS_MAX};
use crate::reject::Code;
use crate::request::{Damaged, Fault, Request};

/// What a record (or a part of it) turned out to be, with its bytes.
pub(crate) type Outcome<'r> = Result<(Request<'r>, &'r [u8]), (Fault, &'r [u8])>;

pub(crate) type Sink<'s, 'b> = dyn FnMut(Outcome<'b>) + 's;

pub(crate) struct Reader<'b> {
    parser: &'b Parser,
    /// Texts that do not stand in the records as they are read.
    arena: &'b Bump,
    slots: Slots<'b>,
    walk: Walk,
    scratch: Scratch,
    /// When the record arrived.
    observed_us: i64,
}

/// A text to read, and what is known of it from outside.
#[derive(Clone, Copy)]
struct Piece<'b> {
    text: &'b str,
    time_us: Option<i64>,
    is_part: bool,
    /// Envelopes taken off so far.
    depth: usize,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(parser: &'b Parser, arena: &'b Bump) -> Reader<'b> {
        Reader {
            parser,
            arena,
            slots: Slots::new(parser.plan.slots()),
            walk: Walk::new(&parser.plan),
            scratch: Scratch::default(),
            observed_us: 0,
        }
    }

    /// Hands what `text`, which arrived at `observed_us`, tells of to `sink`. `fields` are those of a W3C file so far.
    pub(crate) fn read(
        &mut self,
        text: &'b str,
        observed_us: i64,
        fields: &mut Option<Fields>,
        sink: &mut Sink<'_, 'b>,
    ) {
        self.observed_us = observed_us;
        // Lines that end with a carriage return alone came as one record.
        if memchr::memchr(b'\r', text.as_bytes()).is_some() && !text.contains('\n') {
            for line in text.split('\r').map(str::trim).filter(|line| !line.is_empty()) {
                self.read_line(line, fields, sink);
            }
        } else {
            self.read_line(text, fields, sink);
        }
    }

    fn read_line(&mut self, text: &'b str, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) {
        let Stripped { line, time_us, is_part } = envelope::strip(text, self.observed_us, self.parser.zone);
        if line.is_empty() {
            let fault = Fault::new(Code::Empty, "expected a record, got nothing behind the prefix");
            return sink(Err((fault, text.as_bytes())));
        }
        if let (Some(current), Some(directive)) = (&fields, line.strip_prefix('#')) {
            if let Some(list) = directive.trim_start().strip_prefix("Fields:") {
                *fields = Some(current.renamed(list, &self.parser.plan));
            }
            return;
        }
        self.read_piece(Piece { text: line, time_us, is_part, depth: 0 }, fields.as_ref(), sink);
    }

    /// An array of records, or one record.
    fn read_piece(&mut self, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) {
        match json::elements(piece.text) {
            Some(elements) if elements.is_empty() || elements.len() > RECORD_EVENTS_MAX => {
                let detail = format!("expected an array of 1 to {RECORD_EVENTS_MAX} requests");
                sink(Err((Fault::new(Code::NotAnObject, detail), piece.text.as_bytes())));
            }
            Some(elements) => {
                for text in elements {
                    self.read_one(Piece { text, ..piece }, fields, sink);
                }
            }
            None => self.read_one(piece, fields, sink),
        }
    }

    fn read_one(&mut self, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) {
        let bytes = piece.text.as_bytes();
        let fault = match self.shape(piece, fields) {
            Ok(request) if request.tells() => {
                if request.is_whole() || !self.read_line_in(piece, request.tells_address(), fields, sink) {
                    sink(Ok((request, bytes)));
                }
                return;
            }
            Ok(_) => None,
            Err(fault) => Some(fault),
        };
        if piece.depth < ENVELOPES_MAX && self.read_inside(piece, fields, sink) {
            return;
        }
        match fault {
            Some(_) if piece.is_part => {
                let detail = "a part of a line that the container runtime split; expected whole lines";
                sink(Err((Fault::new(Code::InvalidLine, detail), bytes)));
            }
            Some(fault) => sink(Err((fault, bytes))),
            // It has nothing to act on; whoever makes the row says what is missing.
            None => match self.shape(piece, fields) {
                Ok(request) => sink(Ok((request, bytes))),
                Err(fault) => sink(Err((fault, bytes))),
            },
        }
    }

    /// The request that the text tells of, by its shape.
    fn shape(&mut self, piece: Piece<'b>, fields: Option<&Fields>) -> Result<Request<'b>, Fault> {
        let parser = self.parser;
        let reading = self.fill(piece.text, fields)?;
        parser.plan.decode(&mut self.slots);
        let doubt = match self.slots.has_doubled() || parser.plan.has_rivals(&self.slots) {
            true => parser.plan.settle(&mut self.slots, parser.zone, self.observed_us),
            false => Doubt::default(),
        };
        let mut request = parser.plan.request(&self.slots, self.arena, parser.zone)?;
        request.envelope_us = piece.time_us;
        request.unproven |= reading.unproven;
        request.unproven |= doubt.client;
        request.list_unproven = reading.list_unproven | doubt.list;
        request.damaged.join(doubt.damaged);
        if reading.time_unproven {
            request.damaged.add(Input::Time as u8);
        }
        if reading.status_unproven {
            request.damaged.add(Input::Status as u8);
        }
        if reading.cut || piece.is_part {
            request.damaged.add(Damaged::RECORD);
        }
        Ok(request)
    }
}

/// Which shape a text has.
impl<'b> Reader<'b> {
    fn fill(&mut self, text: &'b str, fields: Option<&Fields>) -> Result<Reading, Fault> {
        let parser = self.parser;
        let has_lines = fields.is_some() || parser.logfmt || !parser.forms.is_empty();
        if !has_lines || (text.starts_with('{') && !parser.forms_first) {
            let walked = self.walk.fill(&parser.plan, text, &mut self.slots);
            match walked {
                Ok(Forgiven::Nothing) => return Ok(Reading::default()),
                Ok(Forgiven::Cut) => return Ok(Reading { cut: true, ..Reading::default() }),
                Ok(Forgiven::Quotes) => {
                    return Ok(Reading { cut: true, unproven: true, list_unproven: true, ..Reading::default() });
                }
                Err(fault) if !has_lines => return Err(fault),
                // A line may begin with a brace, too: a host can be anything.
                Err(fault) => return self.fill_line(text, fields).map_err(|_| fault),
            }
        }
        self.fill_line(text, fields)
    }

    fn fill_line(&mut self, text: &'b str, fields: Option<&Fields>) -> Result<Reading, Fault> {
        let parser = self.parser;
        if let Some(fields) = fields {
            return fields.fill(text, &parser.plan, &mut self.slots);
        } else if parser.logfmt {
            logfmt::fill(&parser.plan, text, &mut self.slots)?;
        } else {
            return parser.forms.fill(text, &mut self.scratch, &mut self.slots);
        }
        Ok(Reading::default())
    }
}

/// What is in an envelope.
impl<'b> Reader<'b> {
    /// Reads what is inside `piece`, if it is an envelope.
    fn read_inside(&self, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) -> bool {
        let mut inside = Vec::new();
        if piece.text.starts_with('{') {
            inside = envelope::unwrap(piece.text);
        } else if piece.text.starts_with('"') {
            inside.extend(envelope::quoted(piece.text));
        } else if piece.depth == 0 {
            let lines = envelope::strip_tool(piece.text);
            let inner = |line: &Stripped<'b>| Inner { text: line.line.into(), time_us: line.time_us };
            if self.read_record(lines.iter().map(inner), piece, false, fields, sink) {
                return true;
            }
            inside.extend(lines.first().map(inner));
        }
        if inside.len() > RECORD_EVENTS_MAX {
            let detail = format!("expected at most {RECORD_EVENTS_MAX} requests in one record");
            sink(Err((Fault::new(Code::NotAnObject, detail), piece.text.as_bytes())));
            return true;
        }
        let found = !inside.is_empty();
        inside.into_iter().for_each(|inner| self.read_inner(inner, piece, fields, sink));
        found
    }

    /// Reads the line in `piece`, if that is an object with one that is a record, or holds records. Beside an address that
    /// may be the client's, whose application logged what it typed, the client in it is not proven.
    #[cold]
    fn read_line_in(
        &self,
        piece: Piece<'b>,
        beside_address: bool,
        fields: Option<&Fields>,
        sink: &mut Sink<'_, 'b>,
    ) -> bool {
        let is_object = piece.text.starts_with('{') && piece.depth < ENVELOPES_MAX;
        is_object && self.read_record(envelope::lines(piece.text), piece, beside_address, fields, sink)
    }

    /// Reads the first of `lines` that is a record, or holds records; false where none is.
    fn read_record(
        &self,
        lines: impl IntoIterator<Item = Inner<'b>>,
        piece: Piece<'b>,
        is_unproven: bool,
        fields: Option<&Fields>,
        sink: &mut Sink<'_, 'b>,
    ) -> bool {
        for line in lines {
            let mut outcomes = Vec::new();
            self.read_inner(line, piece, fields, &mut |outcome| outcomes.push(outcome));
            let is_record = |outcome: &Outcome<'b>| matches!(outcome, Ok((request, _)) if request.is_record());
            if outcomes.iter().any(is_record) {
                for outcome in outcomes {
                    sink(outcome.map(|(mut request, bytes)| {
                        request.unproven |= is_unproven;
                        (request, bytes)
                    }));
                }
                return true;
            }
        }
        false
    }

    fn read_inner(&self, inner: Inner<'b>, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) {
        let text = match inner.text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => self.arena.alloc_str(&text),
        };
        let stripped = envelope::strip(text, self.observed_us, self.parser.zone);
        let time_us = stripped.time_us.or(inner.time_us).or(piece.time_us);
        let depth = piece.depth + 1;
        let mut reader = Reader::new(self.parser, self.arena);
        reader.observed_us = self.observed_us;
        reader.read_piece(Piece { text: stripped.line, time_us, is_part: stripped.is_part, depth }, fields, sink);
    }
}
