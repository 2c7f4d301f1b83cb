//! Reads the records of a batch one after the other: envelope off, shape by shape, to requests.
//!
//! Promises: of each record comes at least one outcome, but for directives of W3C files. A record that tells of no request
//! as it is, is looked at as an envelope; what is inside is read the same way. Of one that tells of no whole request a line
//! in it counts, when that is a record: what stands beside it are a shipper's keys.
//! Never: decides what may be kept.

mod bare;
mod inside;

use bumpalo::Bump;

pub(crate) use bare::Bare;

use super::columns::Doubt;
use super::json::{self, Elements, Forgiven, Walk};
use super::made::Usual;
use super::mapping::Input;
use super::slots::Slots;
use super::text::{Ends, Front, Reading, Scratch};
use super::w3c::Fields;
use super::{Parser, logfmt};
use crate::envelope::{self, End, Parts, Split, Stripped};
use crate::limits::{ENVELOPES_MAX, RECORD_EVENTS_MAX, SPLIT_BYTES_MAX};
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
    /// The record that is read, and at which ends of it there were blanks, if whoever took them off says it.
    record: &'b str,
    pub(crate) blanks: Option<Ends>,
    /// The lines of the lane that have begun and have no end yet; whoever owns the reader puts them here and takes them back.
    pub(crate) parts: Parts,
    /// What stands before the clients of the lane; so too.
    pub(crate) front: Front,
    /// Whether lines of the lane came without a prefix; so too.
    pub(crate) bare: Bare,
    /// What the records of the lane told of its template; so too.
    pub(crate) usual: Usual,
}

/// A text to read, and what is known of it from outside.
#[derive(Clone, Copy)]
struct Piece<'b> {
    text: &'b str,
    time_us: Option<i64>,
    is_part: bool,
    /// It may be what a client wrote, or of two records that do not belong together.
    is_doubtful: bool,
    /// Envelopes taken off so far.
    depth: usize,
    /// A prefix stood before it.
    is_behind_prefix: bool,
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
            record: "",
            blanks: None,
            parts: Parts::default(),
            front: Front::default(),
            bare: Bare::default(),
            usual: Usual::default(),
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
        (self.observed_us, self.record) = (observed_us, text);
        let piece =
            Piece { text, time_us: None, is_part: false, is_doubtful: false, depth: 0, is_behind_prefix: false };
        if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
            return self.read_line(piece, fields, sink);
        }
        // Lines that end with a carriage return alone came as one record.
        if !text.contains('\n') {
            // Whoever wrote the end of one may have written the next one.
            for (n, text) in text.split('\r').map(str::trim).filter(|line| !line.is_empty()).enumerate() {
                self.read_line(Piece { text, is_doubtful: n > 0, ..piece }, fields, sink);
            }
        } else if !self.read_lines(piece, sink, |reader, piece, sink| reader.read_line(piece, fields, sink)) {
            self.read_line(piece, fields, sink);
        }
    }

    /// A record of which only the beginning is there, in one line.
    pub(crate) fn read_cut(
        &mut self,
        text: &'b str,
        observed_us: i64,
        fields: &mut Option<Fields>,
        sink: &mut Sink<'_, 'b>,
    ) {
        (self.observed_us, self.record) = (observed_us, text);
        if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
            let piece =
                Piece { text, time_us: None, is_part: true, is_doubtful: false, depth: 0, is_behind_prefix: false };
            self.read_line(piece, fields, sink);
        }
    }

    fn read_line(&mut self, whole: Piece<'b>, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) {
        let text = whole.text;
        let Stripped { line, time_us, split } = envelope::strip(text, self.observed_us, self.parser.zone);
        if std::ptr::eq(line, text) {
            return self.read_bare(whole, sink, |reader, sink| reader.read_whole(whole, fields, sink));
        }
        let piece = Piece { text: line, time_us, is_behind_prefix: true, ..whole };
        let several_writers = self.parser.several_writers;
        let split = split.map(|split| if several_writers { split.among_others() } else { split });
        // In a lane of lines with a prefix one may be a part of a line.
        let goes_on = |split: Split| split.end == End::Later || self.parts.is_unknown || self.parts.has(split.stream);
        let is_part = split.is_some_and(goes_on) && !self.bare.has(0);
        if self.may_be_written(0) && !is_part {
            return self.read_either(piece, whole, fields, sink);
        }
        if let Some(split) = split {
            return self.read_split(piece, split, fields, sink);
        }
        self.read_whole(piece, fields, sink);
    }

    /// A line without its prefix, which may have another one in it.
    fn read_whole(&mut self, piece: Piece<'b>, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) {
        match piece.is_behind_prefix && piece.depth == 0 {
            true => self.read_behind(piece, fields, sink),
            false => self.read_alone(piece, fields, sink),
        }
    }

    fn read_alone(&mut self, piece: Piece<'b>, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) {
        let line = piece.text;
        if line.is_empty() && piece.depth == 0 {
            let fault = Fault::new(Code::Empty, "expected a record, got nothing behind the prefix");
            return sink(Err((fault, line.as_bytes())));
        }
        if piece.depth == 0
            && let (Some(current), Some(directive)) = (&fields, line.strip_prefix('#'))
            && !self.is_record(piece, current)
        {
            if let Some(list) = directive.trim_start().strip_prefix("Fields:") {
                *fields = Some(current.renamed(list, &self.parser.plan));
            }
            return;
        }
        self.read_piece(piece, fields.as_ref(), sink);
    }

    /// Whether a line that begins as a directive of a W3C file does is a record whose first value a client wrote.
    #[cold]
    fn is_record(&mut self, piece: Piece<'b>, fields: &Fields) -> bool {
        let is_whole =
            |request: Request<'_>| request.status.is_some() && request.tells_address() && request.tells_what();
        fields.list().is_some() && self.shape(piece, Some(fields)).is_ok_and(is_whole)
    }

    /// An array of records, or one record.
    fn read_piece(&mut self, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) {
        match json::elements(piece.text) {
            Some(Elements { texts, .. }) if texts.is_empty() || texts.len() > RECORD_EVENTS_MAX => {
                let detail = format!("expected an array of 1 to {RECORD_EVENTS_MAX} requests");
                sink(Err((Fault::new(Code::NotAnObject, detail), piece.text.as_bytes())));
            }
            Some(Elements { texts, sure }) => {
                for (n, text) in texts.into_iter().enumerate() {
                    self.read_one(Piece { text, is_doubtful: piece.is_doubtful || n >= sure, ..piece }, fields, sink);
                }
            }
            None => self.read_one(piece, fields, sink),
        }
    }

    fn read_one(&mut self, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) {
        let bytes = piece.text.as_bytes();
        let fault = match self.shape(piece, fields) {
            Ok(request) if request.tells() => {
                // What a shipper made of a line may have no time that this kind knows.
                let is_enough = request.is_whole() && request.has_time();
                if is_enough || !self.read_line_in(piece, request.tells_address(), fields, sink) {
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
            Some(fault) => {
                let objects = if fault.code == Code::InvalidJson { json::objects(piece.text) } else { Vec::new() };
                if objects.is_empty() {
                    return sink(Err((fault, bytes)));
                }
                // Where a gateway writes JSON without escapes, a client can end one object and begin another.
                for text in objects {
                    self.read_one(Piece { text, is_doubtful: true, ..piece }, fields, sink);
                }
            }
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
        let reading = self.fill(piece, fields)?;
        parser.plan.decode(&mut self.slots);
        if self.slots.has_hidden() {
            self.slots.uncover(|slots, slot| parser.plan.has_value_beside(slot, slots));
        }
        let doubt = match self.slots.has_doubled() || parser.plan.has_rivals(&self.slots) {
            true => parser.plan.settle(&mut self.slots, parser.zone, self.observed_us),
            false => Doubt::default(),
        };
        let mut request = parser.plan.request(&self.slots, self.arena, parser.zone)?;
        request.envelope_us = piece.time_us;
        request.unproven |= reading.unproven | piece.is_doubtful;
        request.unproven |= doubt.client;
        request.list_unproven = reading.list_unproven | doubt.list;
        request.damaged.join(doubt.damaged);
        if request.elements.is_some() || (request.forwarded.is_some() && parser.plan.reads_elements()) {
            let learns = !(request.unproven || request.list_unproven || reading.cut || piece.is_part);
            self.usual.choose(&mut request, learns);
        }
        if let Some(made) = parser.plan.made.as_ref().filter(|_| reading.is_json) {
            let is_sure = !(request.unproven || request.list_unproven || reading.cut || piece.is_part);
            let learns = is_sure && request.is_whole();
            let unproven = made.judge(&parser.plan, &self.slots, piece.text, learns, &mut self.usual);
            request.unproven |= unproven.client;
            request.list_unproven |= unproven.list;
            request.who_unproven = unproven.who;
            if unproven.no_list {
                (request.forwarded, request.elements, request.real_ip) = (None, None, None);
            }
        }
        if reading.time_unproven {
            request.damaged.add(Input::Time as u8);
        }
        if reading.status_unproven {
            request.damaged.add(Input::Status as u8);
        }
        if reading.shortened {
            request.damaged.add(Damaged::RECORD);
        }
        if reading.cut || piece.is_part {
            request.damaged.add(Damaged::RECORD);
            doubt_cut(&mut request, piece.text, parser.plan.reads_list());
        }
        Ok(request)
    }
}

/// Of a record whose end is missing, a value that stands there may be half of one, and a list without its nearest hop.
#[cold]
fn doubt_cut(request: &mut Request<'_>, text: &str, has_list: bool) {
    let behind = |value: &str| {
        let end = (value.as_ptr() as usize + value.len()).checked_sub(text.as_ptr() as usize)?;
        text.as_bytes().get(end).copied()
    };
    request.unproven |= request.peer.is_some_and(|peer| behind(peer).is_none());
    // Without a peer nobody says who wrote the list.
    request.list_unproven |= request.peer.is_none();
    let is_json = text.starts_with('{');
    request.list_unproven |= match request.forwarded {
        Some(list) => !behind(list).is_some_and(|byte| byte == b'"' || !is_json),
        None => is_json && has_list,
    };
}

/// Lines that came in several records.
impl<'b> Reader<'b> {
    /// A record that may be a part of a line. What goes on with a line may be what a client wrote: it is read together with what
    /// came before, or proves nobody.
    fn read_split(&mut self, piece: Piece<'b>, split: Split, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) {
        let whole = Piece { text: piece.text.trim(), ..piece };
        let is_unknown = std::mem::take(&mut self.parts.is_unknown);
        let Some(mut open) = self.parts.take(split.stream) else {
            return match split.end {
                // By their numbers it is known of each that it is one; the first may come behind it.
                _ if split.goes_on => sink(Err((rest_of_a_line(), whole.text.as_bytes()))),
                End::Later => self.read_first(piece, split, fields, sink),
                End::Here | End::Perhaps => {
                    let is_doubtful = piece.is_doubtful || is_unknown;
                    self.read_whole(Piece { is_doubtful, ..whole }, fields, sink);
                }
            };
        };
        if split.end == End::Later && open.may_be_over() {
            return self.read_first(Piece { is_doubtful: true, ..piece }, split, fields, sink);
        }
        let doubtful = Piece { is_doubtful: true, ..whole };
        let joined = open.text.as_ref().map(|text| format!("{text}{}", piece.text));
        match (split.end, joined) {
            (End::Later, joined) => {
                let long = joined.as_ref().filter(|text| text.len() > SPLIT_BYTES_MAX);
                match long.map(|text| &*self.arena.alloc_str(text.trim())) {
                    Some(text) => {
                        self.read_joined(Piece { text, is_part: true, ..doubtful }, whole.text, fields, sink);
                    }
                    None => sink(Err((rest_of_a_line(), whole.text.as_bytes()))),
                }
                self.parts.put(split.stream, joined);
            }
            (End::Here, Some(joined)) => {
                let text = self.arena.alloc_str(joined.trim());
                // Of numbered parts one between may be missing.
                let is_doubtful = piece.is_doubtful || split.goes_on;
                self.read_joined(Piece { text, is_doubtful, ..piece }, whole.text, fields, sink);
            }
            (End::Here, None) => sink(Err((rest_of_a_line(), whole.text.as_bytes()))),
            (End::Perhaps, joined) => {
                // Together and each by itself, as far as it makes sense: no line is lost by what came before it.
                let before = joined.zip(open.text.take()).map(|(joined, text)| [joined, text]).into_iter().flatten();
                let mut any = false;
                for text in before {
                    let text = self.arena.alloc_str(text.trim());
                    any = any || self.read_events(Piece { text, ..doubtful }, fields, sink);
                }
                if !self.read_events(doubtful, fields, sink) && !any {
                    sink(Err((rest_of_a_line(), whole.text.as_bytes())));
                }
                if split.mixed {
                    self.parts.keep(open);
                }
            }
        }
    }

    /// The first part of a line. Where it says who, what and how it was answered, that is the event; else it waits for the rest.
    fn read_first(&mut self, piece: Piece<'b>, split: Split, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) {
        let mut outcomes: Vec<Outcome<'b>> = Vec::new();
        let part = Piece { text: piece.text.trim(), is_part: true, ..piece };
        self.read_whole(part, fields, &mut |outcome| outcomes.push(outcome));
        let tells = |outcome: &Outcome<'b>| match outcome {
            Ok((request, _)) => {
                let is_proven = request.peer.is_some() && !request.unproven && !request.list_unproven;
                is_proven && request.tells_what() && request.status.is_some()
            }
            Err(_) => false,
        };
        if piece.text.len() > SPLIT_BYTES_MAX || (!outcomes.is_empty() && outcomes.iter().all(tells)) {
            if outcomes.is_empty() {
                sink(Err((rest_of_a_line(), part.text.as_bytes())));
            }
            outcomes.into_iter().for_each(sink);
            return self.parts.put(split.stream, None);
        }
        let detail = "a part of a line that the container runtime split; it is read with what follows";
        sink(Err((Fault::new(Code::Continuation, detail), part.text.as_bytes())));
        self.parts.put(split.stream, Some(piece.text.to_string()));
    }

    /// A line whose last part is this record: of a directive of a W3C file something comes, too, for it is no record by itself.
    fn read_joined(&mut self, piece: Piece<'b>, part: &'b str, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) {
        let mut any = false;
        self.read_whole(piece, fields, &mut |outcome| {
            any = true;
            sink(outcome);
        });
        if !any {
            sink(Err((rest_of_a_line(), part.as_bytes())));
        }
    }

    /// Hands on the events that there are; true for any.
    fn read_events(&mut self, piece: Piece<'b>, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) -> bool {
        let mut any = false;
        self.read_whole(piece, fields, &mut |outcome| {
            if outcome.as_ref().is_ok_and(|(request, _)| request.tells()) {
                any = true;
                sink(outcome);
            }
        });
        any
    }
}

#[cold]
fn rest_of_a_line() -> Fault {
    Fault::new(Code::Continuation, "a later part of a line that the container runtime split; it is no record by itself")
}

/// Which shape a text has.
impl<'b> Reader<'b> {
    fn fill(&mut self, piece: Piece<'b>, fields: Option<&Fields>) -> Result<Reading, Fault> {
        let (parser, text) = (self.parser, piece.text);
        let has_lines = fields.is_some() || parser.logfmt || !parser.forms.is_empty();
        if !has_lines || (text.starts_with('{') && !parser.forms_first) {
            let walked = self.walk.fill(&parser.plan, text, &mut self.slots);
            match walked {
                Ok(Forgiven::Nothing) => return Ok(Reading { is_json: true, ..Reading::default() }),
                Ok(Forgiven::Cut) => return Ok(Reading { cut: true, is_json: true, ..Reading::default() }),
                Ok(Forgiven::Quotes) => {
                    return Ok(Reading { cut: true, unproven: true, list_unproven: true, ..Reading::default() });
                }
                Err(fault) if !has_lines => return Err(fault),
                // A line may begin with a brace, too: a host can be anything.
                Err(fault) => return self.fill_line(piece, fields).map_err(|_| fault),
            }
        }
        self.fill_line(piece, fields)
    }

    fn fill_line(&mut self, piece: Piece<'b>, fields: Option<&Fields>) -> Result<Reading, Fault> {
        let (parser, text) = (self.parser, piece.text);
        if let Some(fields) = fields {
            return fields.fill(text, &parser.plan, &mut self.slots);
        } else if parser.logfmt {
            logfmt::fill(&parser.plan, text, &mut self.slots)?;
        } else {
            let mut front = self.front;
            let blanks = self.blanks.filter(|_| std::ptr::eq(text, self.record));
            let cut = (piece.is_part, blanks);
            let reading = parser.forms.fill(text, self.arena, cut, &mut front, &mut self.scratch, &mut self.slots);
            if !piece.is_doubtful {
                self.front = front;
            }
            return reading;
        }
        Ok(Reading::default())
    }
}
