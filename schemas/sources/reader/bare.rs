//! Lines with and without a prefix, and several lines in one.
//!
//! A client whose text stands first in a line can begin it as a prefix begins. Whether a lane has prefixes, its lines say: where
//! some came without one, none is taken for certain.
//! Promises: what may be what a client wrote proves nobody, and takes no event away.
//! Never: doubts a prefix where nothing stands before the client's address, or where no line came without one.

use serde::{Deserialize, Serialize};

use super::{Outcome, Piece, Reader, Sink};
use crate::envelope;
use crate::limits::{ENVELOPES_MAX, RECORD_EVENTS_MAX};
use crate::request::Request;
use crate::sources::json;
use crate::sources::w3c::Fields;

/// Lines that came without a prefix and were events: what looks like a prefix in such a lane may be what a client wrote, where
/// something of it stands before its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bare {
    /// As records, and within an envelope.
    outside: bool,
    inside: bool,
}

impl Bare {
    pub(super) fn has(self, depth: usize) -> bool {
        if depth == 0 { self.outside } else { self.inside }
    }

    fn note(&mut self, depth: usize, is_event: bool) {
        let known = if depth == 0 { &mut self.outside } else { &mut self.inside };
        *known |= is_event;
    }
}

/// Of `Bare`: within something.
const WITHIN: usize = 1;

impl<'b> Reader<'b> {
    /// Reads lines that came as one, where more than one of them is an event; false where not. Whoever wrote the end of a line may
    /// have written the next one.
    #[cold]
    pub(super) fn read_lines(
        &mut self,
        piece: Piece<'b>,
        sink: &mut Sink<'_, 'b>,
        mut read: impl FnMut(&mut Reader<'b>, Piece<'b>, &mut Sink<'_, 'b>),
    ) -> bool {
        let lines = || piece.text.lines().map(str::trim).filter(|line| !line.is_empty());
        // Where lines that came in parts wait, a text of several is one.
        if self.parts.holds_texts() {
            return false;
        }
        // What goes over several lines within itself is objects, or a list of them.
        let is_json = piece.text.starts_with(['{', '"']) || json::elements(piece.text).is_some();
        if is_json || !(2..=RECORD_EVENTS_MAX).contains(&lines().count()) {
            return false;
        }
        let before = (self.parts.clone(), self.front, self.bare, self.usual);
        let mut outcomes: Vec<Outcome<'b>> = Vec::new();
        for (n, text) in lines().enumerate() {
            let piece = Piece { text, is_doubtful: piece.is_doubtful || n > 0, ..piece };
            read(self, piece, &mut |outcome| outcomes.push(outcome));
        }
        let is_event = |outcome: &&Outcome<'b>| outcome.as_ref().is_ok_and(|(request, _)| request.tells());
        let is_several = outcomes.iter().filter(is_event).count() > 1;
        if is_several {
            outcomes.into_iter().for_each(sink);
        } else {
            (self.parts, self.front, self.bare, self.usual) = before;
        }
        is_several
    }

    /// Reads a line that has no prefix, and notes that there are such lines.
    pub(super) fn read_bare(
        &mut self,
        piece: Piece<'b>,
        sink: &mut Sink<'_, 'b>,
        read: impl FnOnce(&mut Reader<'b>, &mut Sink<'_, 'b>),
    ) {
        let forms = &self.parser.forms;
        let is_known = self.bare.has(piece.depth) || !(forms.begin_written() || forms.begin_as_prefix());
        if is_known || piece.is_doubtful || piece.text.starts_with(['{', '"']) {
            return read(self, sink);
        }
        let mut is_event = false;
        read(self, &mut |outcome: Outcome<'b>| {
            is_event |= outcome.as_ref().is_ok_and(|(request, _)| request.tells());
            sink(outcome);
        });
        self.bare.note(piece.depth, is_event);
    }

    /// A line behind a prefix: what looks like another one is, unless lines of the lane had none there.
    pub(super) fn read_behind(&mut self, mut piece: Piece<'b>, fields: &mut Option<Fields>, sink: &mut Sink<'_, 'b>) {
        for _ in 1..ENVELOPES_MAX {
            let inner = envelope::strip(piece.text, self.observed_us, self.parser.zone);
            if std::ptr::eq(inner.line, piece.text) || inner.split.is_some() {
                break;
            }
            let behind = Piece { text: inner.line.trim(), time_us: inner.time_us.or(piece.time_us), ..piece };
            if self.may_be_written(WITHIN) {
                let within = |piece| Piece { depth: WITHIN, ..piece };
                return self.read_either(within(behind), within(piece), fields, sink);
            }
            piece = behind;
        }
        self.read_bare(Piece { depth: WITHIN, ..piece }, sink, |reader, sink| reader.read_alone(piece, fields, sink));
    }

    /// Whether what looks like a prefix may be what a client wrote.
    pub(super) fn may_be_written(&self, depth: usize) -> bool {
        // The lines of some begin so themselves.
        let forms = &self.parser.forms;
        let may_stand_first = !self.front.is_nothing() && !forms.tell_client_first();
        (self.bare.has(depth) && may_stand_first) || forms.begin_as_prefix()
    }

    /// A line that has a prefix, or that a client began so. As it stands it counts where it is an event that both readings have of the same
    /// client; else what is behind the prefix proves nobody.
    #[cold]
    pub(super) fn read_either(
        &mut self,
        behind: Piece<'b>,
        whole: Piece<'b>,
        fields: &mut Option<Fields>,
        sink: &mut Sink<'_, 'b>,
    ) {
        let (front, bare) = (self.front, self.bare);
        let whole = Piece { text: whole.text.trim(), ..whole };
        let (mut as_it_stands, mut without): (Vec<Outcome<'b>>, Vec<Outcome<'b>>) = (Vec::new(), Vec::new());
        self.read_whole(whole, fields, &mut |outcome| as_it_stands.push(outcome));
        self.front = front;
        let behind = Piece { text: behind.text.trim(), ..behind };
        self.read_whole(behind, fields, &mut |outcome| without.push(outcome));
        // A lane whose lines begin with the client behind their prefixes, and did so without one, becomes sure of that as others do.
        let learns = bare.has(whole.depth) && !self.parser.forms.begin_as_prefix();
        (self.front, self.bare) = (if learns { self.front } else { front }, bare);
        let is_event = |outcome: &Outcome<'b>| outcome.as_ref().is_ok_and(|(request, _)| request.tells());
        let is_bare = bare.has(whole.depth);
        // In such a lane nobody can write what stands before the address.
        let tells = is_bare && self.parser.forms.tell_client_first();
        let is_sure = match (as_it_stands.as_slice(), without.as_slice()) {
            ([Ok((stands, _))], _) if tells && stands.peer.is_some() && !stands.unproven => true,
            ([Ok((stands, _))], [Ok((without, _))]) => is_same_client(stands, without),
            _ => false,
        };
        if is_sure || !without.iter().any(is_event) {
            return as_it_stands.into_iter().for_each(sink);
        }
        let is_doubtful = is_bare || as_it_stands.iter().any(is_event);
        for outcome in without {
            sink(outcome.map(|(mut request, bytes)| {
                request.unproven |= is_doubtful;
                (request, bytes)
            }));
        }
    }
}

/// Does a line as it stands tell of the client that it tells of without what may be a prefix? Then nobody gained by beginning it so.
fn is_same_client(stands: &Request<'_>, without: &Request<'_>) -> bool {
    if stands.unproven || !stands.tells() {
        return false;
    }
    match (stands.peer, without.peer) {
        (Some(peer), other) => other.is_none_or(|other| other == peer),
        // Who came last is at the end of the list.
        (None, None) => stands.forwarded.zip(without.forwarded).is_some_and(|(list, rest)| list.ends_with(rest)),
        (None, Some(_)) => false,
    }
}
