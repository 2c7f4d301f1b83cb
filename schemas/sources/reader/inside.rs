//! What is in an envelope, read as the record that it is.
//!
//! Promises: what stands beside a line decides whether its client is proven (`envelope/around.rs`), never what is read of it.
//! Never: goes further in than `ENVELOPES_MAX`.

use std::borrow::Cow;

use super::{Outcome, Piece, Reader, Sink};
use crate::envelope::{self, Around, End, Inner, Split, Stripped};
use crate::limits::{ENVELOPES_MAX, RECORD_EVENTS_MAX};
use crate::reject::Code;
use crate::request::Fault;
use crate::sources::json::{self, Elements};
use crate::sources::w3c::Fields;

impl<'b> Reader<'b> {
    /// Reads what is inside `piece`, if it is an envelope.
    pub(super) fn read_inside(&mut self, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) -> bool {
        let (mut piece, mut inside) = (piece, Vec::new());
        if piece.text.starts_with(['{', '"']) {
            inside = envelope::unwrap(piece.text);
            if inside.is_empty()
                && let Some(mended) = self.mended(piece)
            {
                piece = mended;
                inside = envelope::unwrap(piece.text);
            }
            if inside.is_empty() && self.read_broken(piece, fields, sink) {
                return true;
            }
        } else if piece.depth == 0 {
            let lines = envelope::strip_tool(piece.text);
            let inner = |line: &Stripped<'b>| Inner { text: line.line.into(), time_us: line.time_us, split: None };
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
        let around = if found && piece.text.starts_with('{') { Around::of(piece.text) } else { Around::default() };
        self.read_around(around, sink, |reader, sink| {
            inside.into_iter().for_each(|inner| reader.read_inner(inner, piece, fields, sink));
        });
        found
    }

    /// The elements of a batch of which one is no JSON, each by itself.
    #[cold]
    fn read_broken(&mut self, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) -> bool {
        let Some((array, is_first)) = envelope::broken_batch(piece.text) else { return false };
        let Some(Elements { texts, sure }) = json::elements(array).filter(|found| !found.texts.is_empty()) else {
            return false;
        };
        if texts.len() > RECORD_EVENTS_MAX {
            return false;
        }
        for (n, text) in texts.into_iter().enumerate() {
            let is_doubtful = piece.is_doubtful || !is_first || n >= sure;
            let inner = Inner { text: Cow::Borrowed(text), time_us: None, split: None };
            self.read_inner(inner, Piece { is_doubtful, ..piece }, fields, sink);
        }
        true
    }

    /// An object or a text that is no JSON, put right. What is missing at its end might have said that the line is a client's.
    #[cold]
    fn mended(&self, piece: Piece<'b>) -> Option<Piece<'b>> {
        let mended = envelope::mended(piece.text)?;
        let is_doubtful = piece.is_doubtful || mended.is_cut;
        Some(Piece { text: self.arena.alloc_str(&mended.text), is_doubtful, ..piece })
    }

    /// Reads the line in `piece`, if that is an object with one that is a record, or holds records. Beside an address that
    /// may be the client's, whose application logged what it typed, the client in it is not proven.
    #[cold]
    pub(super) fn read_line_in(
        &mut self,
        piece: Piece<'b>,
        beside_address: bool,
        fields: Option<&Fields>,
        sink: &mut Sink<'_, 'b>,
    ) -> bool {
        let is_object = piece.text.starts_with('{') && piece.depth < ENVELOPES_MAX;
        let mut is_read = false;
        if is_object {
            let mut lines = envelope::lines(piece.text);
            let mended = if lines.is_empty() { self.mended(piece) } else { None };
            let piece = mended.unwrap_or(piece);
            if mended.is_some() {
                lines = envelope::lines(piece.text);
            }
            let around = Around::of(piece.text);
            let is_unproven = beside_address && around.is_nobody();
            self.read_around(around, sink, |reader, sink| {
                is_read = reader.read_record(lines, piece, is_unproven, fields, sink);
            });
        }
        is_read
    }

    /// Reads what stands beside this: who is not the same there is not proven, nor is anything learned of such lines.
    fn read_around(
        &mut self,
        around: Around,
        sink: &mut Sink<'_, 'b>,
        read: impl FnOnce(&mut Reader<'b>, &mut Sink<'_, 'b>),
    ) {
        if around.is_nobody() {
            return read(self, sink);
        }
        let (front, usual) = (self.front, self.usual);
        read(self, &mut |outcome: Outcome<'b>| {
            sink(outcome.map(|(mut request, bytes)| {
                request.unproven |= around.doubts(request.peer);
                (request, bytes)
            }));
        });
        (self.front, self.usual) = (front, usual);
    }

    /// Reads the first of `lines` that is a record, or holds records; false where none is.
    fn read_record(
        &mut self,
        lines: impl IntoIterator<Item = Inner<'b>>,
        piece: Piece<'b>,
        is_unproven: bool,
        fields: Option<&Fields>,
        sink: &mut Sink<'_, 'b>,
    ) -> bool {
        for line in lines {
            let (mut outcomes, before) = (Vec::new(), self.parts.clone());
            self.read_inner(line, piece, fields, &mut |outcome| outcomes.push(outcome));
            let is_record = |outcome: &Outcome<'b>| match outcome {
                Ok((request, _)) => request.is_record(),
                Err((fault, _)) => fault.code == Code::Continuation,
            };
            if outcomes.iter().any(is_record) {
                for outcome in outcomes {
                    sink(outcome.map(|(mut request, bytes)| {
                        request.unproven |= is_unproven;
                        (request, bytes)
                    }));
                }
                return true;
            }
            self.parts = before;
        }
        false
    }

    fn read_inner(&mut self, inner: Inner<'b>, piece: Piece<'b>, fields: Option<&Fields>, sink: &mut Sink<'_, 'b>) {
        let text = match inner.text {
            Cow::Borrowed(text) => text,
            Cow::Owned(text) => self.arena.alloc_str(&text),
        };
        if inner.split.is_none_or(|split| split.end != End::Later)
            && memchr::memchr(b'\n', text.trim_end().as_bytes()).is_some()
            && self.read_lines(Piece { text, ..piece }, sink, |reader, piece, sink| {
                let line = Inner { text: Cow::Borrowed(piece.text), split: None, ..inner };
                reader.read_inner(line, piece, fields, sink);
            })
        {
            return;
        }
        let stripped = envelope::strip(text, self.observed_us, self.parser.zone);
        // Of which container a line is, its own prefix does not say.
        let prefix = stripped.split.map(Split::among_others);
        let alone = piece.depth == 0;
        let time_us = inner.time_us.or(piece.time_us);
        let whole = Piece { text, time_us, depth: piece.depth + 1, ..piece };
        let behind = Piece { text: stripped.line, time_us: stripped.time_us.or(time_us), ..whole };
        let is_bare = std::ptr::eq(stripped.line, text);
        // Within a line that came in parts, nothing is a prefix.
        let is_one = |split: Split| split.end != End::Later && !split.goes_on && !self.parts.has(split.stream);
        let may_be_written = !is_bare && self.may_be_written(whole.depth);
        let is_mixed = self.parser.several_writers || !alone;
        let outer = inner.split.map(|split| if split.alone && is_mixed { split.among_others() } else { split });
        let is_either = may_be_written && inner.split.is_none_or(is_one);
        let behind = if may_be_written { whole } else { behind };
        let named = outer.filter(|outer| !outer.mixed).zip(stripped.split).map(|(outer, prefix)| prefix.within(outer));
        let split = if may_be_written { outer } else { named.or(prefix).or(outer) };
        let mut reader = Reader::new(self.parser, self.arena);
        reader.observed_us = self.observed_us;
        (reader.parts, reader.front, reader.bare) = (std::mem::take(&mut self.parts), self.front, self.bare);
        reader.usual = self.usual;
        let read = |reader: &mut Reader<'b>, sink: &mut Sink<'_, 'b>| match split {
            Some(split) => reader.read_split(behind, split, &mut fields.cloned(), sink),
            None => reader.read_piece(behind, fields, sink),
        };
        match is_either {
            true => reader.read_either(Piece { text: stripped.line, ..whole }, whole, &mut fields.cloned(), sink),
            false if is_bare => reader.read_bare(whole, sink, read),
            false => read(&mut reader, sink),
        }
        (self.bare, self.usual) = (reader.bare, reader.usual);
        (self.parts, self.front) = (reader.parts, reader.front);
    }
}
