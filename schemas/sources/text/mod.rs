//! Text lines, by forms: the first form that a line fits says what its fields are.
//!
//! Promises: who sent a request and when is never taken from what a client wrote. A line that fits a form in one way is
//! read so; of one that fits in several, or fits several forms, the fields on which they agree are proven, and where they
//! differ in the client or the time the event says so. A line that was cut is read as far as it goes.
//! Never: guesses a form that is not in the mapping.

mod class;
mod fit;
mod form;
mod front;
mod long;
pub(super) mod nginx;
#[cfg(test)]
mod spoofing;

pub use class::LINE_CLASSES;
pub(crate) use form::{Ends, Form};
pub(crate) use front::Front;

use bumpalo::Bump;

use super::mapping::Input;
use super::plan::Plan;
use super::slots::{SLOT_NONE, Scalar, Slots};
use super::{SEVERITY_MAX, severity};
use crate::address;
use crate::limits::LINE_BYTES_MAX;
use crate::reject::Code;
use crate::request::Fault;
use fit::Span;
use form::{Field, Loose};

/// The forms of a mapping, their fields bound to slots.
pub(crate) struct Forms {
    forms: Vec<Bound>,
    /// Of each way in which forms begin, one of them: a line that does not begin so fits none of these.
    beginnings: Vec<usize>,
    /// Whether what stands before the client in other lines of a lane says how to read a line.
    learns: bool,
    /// Whether a line may begin with what a client wrote.
    begins_written: bool,
    /// Whether a line may begin as a prefix does: with a time, or a bracket.
    begins_as_prefix: bool,
    /// Whether nothing that a client may have a word in stands before its address, in any of them.
    tell_client_first: bool,
    /// Which ends of a line some of them lack.
    lack: Ends,
    /// Of each form, the one for lines in which a status or a size is badly written.
    loose: Vec<Form>,
}

struct Bound {
    form: Form,
    /// Which of `beginnings` it has.
    beginning: usize,
    /// Per field.
    fields: Vec<Binding>,
    /// How many fields stand before the end of the first that a client may fill with anything.
    told_first: usize,
    begins_with_client: bool,
    /// Nothing that a client may have a word in stands before the client.
    tells_client_first: bool,
}

#[derive(Clone, Copy)]
struct Binding {
    slot: u16,
    quoted: bool,
    /// A path with its query behind it.
    in_parts: bool,
    role: Role,
}

/// What a field has to do with who and when.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Time,
    Forwarded,
    Status,
    Other,
}

/// Which forms are tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Among {
    All,
    ClientFirst,
}

/// How sure a reading is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// The client can be read otherwise.
    pub(super) unproven: bool,
    /// The time can.
    pub(super) time_unproven: bool,
    /// The status can; the worse one counts.
    pub(super) status_unproven: bool,
    /// The forwarding list can.
    pub(super) list_unproven: bool,
    /// The line ends early.
    pub(super) cut: bool,
    /// Its middle was left out.
    pub(super) shortened: bool,
    /// It is no line, but a JSON object.
    pub(super) is_json: bool,
}

/// Buffers of a reader.
#[derive(Default)]
pub(crate) struct Scratch {
    spans: Vec<Span>,
    other: Vec<Span>,
    /// By beginning, whether the line has it.
    begun: Vec<bool>,
    /// The form that the last line fitted.
    last: usize,
    /// Around the line, where that counts.
    blanks: Option<Ends>,
}

impl Forms {
    pub(super) fn new(forms: &[Form], plan: &Plan) -> Forms {
        let bind = |form: &Form| {
            let ends = form.fields().any(|field| plan.is_end(&field.name));
            let binding = |field: &Field| Binding {
                slot: plan.slot_named(&field.name),
                quoted: field.quoted,
                in_parts: field.in_parts,
                role: plan.role_of(&field.name, ends),
            };
            let told_first = form.fields().position(|field| field.class.is_free()).map_or(usize::MAX, |free| free + 1);
            let fields: Vec<Binding> = form.fields().map(binding).collect();
            let begins_with_client = form.begins_with_field() && fields[0].role == Role::Client;
            let sent = form.fields().position(|field| field.class.is_sent()).unwrap_or(usize::MAX);
            let tells_client_first = fields.iter().take(sent).any(|binding| binding.role == Role::Client);
            Bound { form: form.clone(), beginning: 0, fields, told_first, begins_with_client, tells_client_first }
        };
        let loose = |field: &Field| {
            let slot = plan.slot_named(&field.name);
            let reads = |inputs: &[Input]| field.class.is_number() && plan.reads_slot(slot, inputs);
            let size = reads(&[Input::ResponseBytes, Input::RequestBytes]).then_some(Loose::Size);
            if reads(&[Input::Status]) { Some(Loose::Status) } else { size }
        };
        let loose = forms.iter().map(|form| form.loosened(loose)).collect();
        let mut forms: Vec<Bound> = forms.iter().map(bind).collect();
        let mut beginnings: Vec<usize> = Vec::new();
        for i in 0..forms.len() {
            let is_same = |other: &usize| forms[*other].form.begins_like(&forms[i].form);
            let known = beginnings.iter().position(is_same);
            forms[i].beginning = known.unwrap_or(beginnings.len());
            if known.is_none() {
                beginnings.push(i);
            }
        }
        let learns = forms.iter().any(|bound| bound.form.is_doubt());
        let is_written =
            |form: &Form| form.begins_with_field() && form.fields().next().is_some_and(|f| f.class.is_sent());
        let begins_written = forms.iter().any(|bound| is_written(&bound.form));
        let begins_as_prefix = forms.iter().any(|bound| bound.form.begins_as_prefix());
        let tell_client_first = forms.iter().all(|bound| bound.tells_client_first);
        let lack = |end: fn(Ends) -> bool| forms.iter().any(|bound| end(bound.form.lacks));
        let lack = Ends { first: lack(|ends| ends.first), last: lack(|ends| ends.last) };
        Forms { forms, beginnings, learns, begins_written, begins_as_prefix, tell_client_first, lack, loose }
    }

    pub(super) fn begin_as_prefix(&self) -> bool {
        self.begins_as_prefix
    }

    pub(super) fn tell_client_first(&self) -> bool {
        self.tell_client_first
    }

    /// Whether a client's text may stand first in a line.
    pub(super) fn begin_written(&self) -> bool {
        self.begins_written
    }

    pub(super) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// Fills the slots from `line`, of a lane before whose clients stands what `front` says; `is_part` says that its end is
    /// missing, `blanks` at which ends there were any, if that is known. What is made anew is put into `arena`.
    pub(super) fn fill<'b>(
        &self,
        line: &'b str,
        arena: &'b Bump,
        (is_part, blanks): (bool, Option<Ends>),
        front: &mut Front,
        scratch: &mut Scratch,
        slots: &mut Slots<'b>,
    ) -> Result<Reading, Fault> {
        slots.clear();
        if line.len() > LINE_BYTES_MAX && !is_part {
            let (short, told) = long::shortened(line, arena);
            if let Some((bound, mut reading)) = self.read(short, blanks, *front, scratch).filter(|(_, read)| !read.cut)
            {
                bound.put(short, scratch, slots);
                bound.doubt_cut(&scratch.spans, told, &mut reading);
                return Ok(Reading { shortened: true, ..reading });
            }
        }
        let whole = long::beginning(line);
        let (bound, mut reading) = self.read(whole, blanks, *front, scratch).ok_or_else(|| self.unknown(whole))?;
        bound.put(whole, scratch, slots);
        reading.cut |= is_part || whole.len() < line.len();
        if reading.cut {
            bound.doubt_cut(&scratch.spans, whole.len(), &mut reading);
        } else if self.learns && !(reading.unproven && bound.begins_with_client) {
            front.observe(bound.begins_with_client);
        }
        Ok(reading)
    }

    /// The form that counts; its fields are in `scratch.spans`.
    fn read(&self, line: &str, blanks: Option<Ends>, front: Front, scratch: &mut Scratch) -> Option<(&Bound, Reading)> {
        let quotes = fit::quotes(line);
        scratch.blanks = blanks.filter(|_| self.lack.any());
        let is_whole = !self.lack.any() || scratch.blanks == Some(Ends::default());
        let Scratch { spans, last, begun, .. } = scratch;
        let likely = self.forms.get(*last).filter(|bound| !bound.form.is_open() && is_whole);
        if let Some(bound) = likely.filter(|bound| fit::clean(&bound.form, line, quotes, false, spans)) {
            return Some((bound, bound.clean()));
        }
        begun.clear();
        begun.extend(self.beginnings.iter().map(|form| fit::begins(&self.forms[*form].form, line)));
        // Where nothing stands before the client, what its user is called looks like that.
        let narrow = if front.is_nothing() { self.read_among(Among::ClientFirst, line, quotes, scratch) } else { None };
        narrow
            .or_else(|| self.read_among(Among::All, line, quotes, scratch))
            .or_else(|| self.read_cut(line, quotes, scratch))
    }

    fn read_among(&self, among: Among, line: &str, quotes: usize, scratch: &mut Scratch) -> Option<(&Bound, Reading)> {
        let Scratch { spans, last, begun, blanks, .. } = scratch;
        // A line of which an end may be missing is compared with every form.
        let is_whole = !self.lack.any() || *blanks == Some(Ends::default());
        for (i, bound) in self.begun(among, *blanks, begun).filter(|_| is_whole) {
            if fit::clean(&bound.form, line, quotes, false, spans) {
                *last = i;
                return Some((bound, bound.clean()));
            }
        }
        let strict = self.read_doubtful(among, |i| &self.forms[i].form, line, scratch);
        strict.or_else(|| {
            let (bound, reading) = self.read_doubtful(among, |i| &self.loose[i], line, scratch)?;
            Some((bound, Reading { unproven: reading.unproven || !bound.tells_client_first, ..reading }))
        })
    }

    /// Whether a line with these blanks around it may be of the form: where nothing was written for an end, a blank stands there. That
    /// one stands there proves nothing; a client may have sent it.
    fn may_be(form: &Form, blanks: Option<Ends>) -> bool {
        blanks.is_none_or(|blanks| (blanks.first || !form.lacks.first) && (blanks.last || !form.lacks.last))
    }

    /// The forms that begin like the line.
    fn begun<'f, 's>(
        &'f self,
        among: Among,
        blanks: Option<Ends>,
        begun: &'s [bool],
    ) -> impl Iterator<Item = (usize, &'f Bound)> + use<'f, 's> {
        let is_among = move |bound: &Bound| {
            (among == Among::All || bound.begins_with_client) && Forms::may_be(&bound.form, blanks)
        };
        self.forms.iter().enumerate().filter(move |(_, bound)| begun[bound.beginning] && is_among(bound))
    }

    /// A line that fits no form without doubt: the first form that it fits at all, compared with every other one. Of readings
    /// with the same client the one with the worse status counts.
    fn read_doubtful<'f>(
        &'f self,
        among: Among,
        form: impl Fn(usize) -> &'f Form,
        line: &str,
        scratch: &mut Scratch,
    ) -> Option<(&'f Bound, Reading)> {
        let Scratch { spans, other, begun, blanks, .. } = scratch;
        let (first, mut bound) = self.begun(among, *blanks, begun).find(|(i, _)| fit::every(form(*i), line, spans))?;
        let mut reading = Reading { unproven: bound.form.unproven, ..Reading::default() };
        for (binding, span) in bound.fields.iter().zip(&*spans) {
            reading.doubt(binding.role, !span.proven);
        }
        for (i, another) in self.begun(among, *blanks, begun).filter(|(i, _)| *i > first) {
            let is_worst = bound.status(line, spans).map(severity) == Some(SEVERITY_MAX);
            let is_settled = reading.unproven && reading.time_unproven && reading.status_unproven && is_worst;
            if is_settled || !fit::every(form(i), line, other) {
                continue;
            }
            for role in [Role::Client, Role::Time] {
                // What never proves who the client is, is no reason to doubt another reading of it.
                if role == Role::Client && !another.form.doubts {
                    continue;
                }
                let doubtful = |(binding, span): (&Binding, &Span)| binding.role == role && !span.proven;
                let is_doubtful = another.fields.iter().zip(&*other).any(doubtful);
                let (one, two) = (bound.places(role, spans), another.places(role, other));
                reading.doubt(role, is_doubtful || conflict(role, &one, &two));
            }
            let (status, others) = (bound.status(line, spans), another.status(line, other));
            reading.status_unproven |= status != others;
            let is_same = bound.places(Role::Client, spans) == another.places(Role::Client, other);
            let is_worse = is_same && others.map(severity) > status.map(severity);
            // No address at all, where another reading has one, is a text that a client wrote.
            let is_somebody =
                !is_same && another.form.doubts && !bound.names(line, spans) && another.names(line, other);
            if is_worse || is_somebody {
                reading.unproven |= is_somebody;
                std::mem::swap(spans, other);
                bound = another;
            }
        }
        Some((bound, reading))
    }

    /// A line that ends early: the form of which most fields are there, if the client and the time are.
    fn read_cut(&self, line: &str, quotes: usize, scratch: &mut Scratch) -> Option<(&Bound, Reading)> {
        let Scratch { spans, begun, blanks, .. } = scratch;
        let mut best: Option<(usize, usize)> = None;
        for (i, bound) in self.begun(Among::All, *blanks, begun).filter(|(_, bound)| !bound.form.lacks.any()) {
            let fits = fit::clean(&bound.form, line, quotes, true, spans);
            let wanted = |role| bound.fields.iter().filter(|binding| binding.role == role).count();
            let all = |role| bound.places(role, spans).len() == wanted(role) && wanted(role) > 0;
            if fits && all(Role::Client) && all(Role::Time) && best.is_none_or(|(_, fields)| spans.len() > fields) {
                best = Some((i, spans.len()));
            }
        }
        let bound = &self.forms[best?.0];
        fit::clean(&bound.form, line, quotes, true, spans);
        Some((bound, Reading { cut: true, ..bound.clean() }))
    }
}

impl Forms {
    /// Why a line fits no form: where the nearest one stops. Names what was expected, never what is there.
    #[cold]
    fn unknown(&self, line: &str) -> Fault {
        let begun: Vec<bool> = self.beginnings.iter().map(|form| fit::begins(&self.forms[*form].form, line)).collect();
        let stops = self.begun(Among::All, None, &begun).map(|(_, bound)| fit::stops_at(&bound.form, line));
        let at_once = self.forms.last().map(|bound| fit::stops_at(&bound.form, line));
        let detail = match at_once.into_iter().chain(stops).max_by_key(|(at, _)| *at) {
            Some((at, part)) => format!("fits no form of this source; the nearest stops at byte {at}, expected {part}"),
            None => "expected a JSON object".to_string(),
        };
        Fault::new(Code::InvalidLine, detail)
    }
}

impl Bound {
    /// Puts its fields into their slots.
    fn put<'b>(&self, line: &'b str, scratch: &Scratch, slots: &mut Slots<'b>) {
        for (binding, span) in self.fields.iter().zip(&scratch.spans) {
            if binding.slot == SLOT_NONE {
                continue;
            }
            let mut text = &line[span.start as usize..span.end as usize];
            // For a query that is not there nginx writes a dash.
            if binding.in_parts && !text.contains('?') {
                text = text.strip_suffix('-').unwrap_or(text);
            }
            let has_escapes = binding.quoted && memchr::memchr(b'\\', text.as_bytes()).is_some();
            let value = if has_escapes { slots.copy(|out| unescape(text, out)) } else { Scalar::Text(text) };
            slots.put(binding.slot, value);
        }
    }

    fn clean(&self) -> Reading {
        Reading { unproven: self.form.unproven, ..Reading::default() }
    }

    /// Of a line whose end is missing, what a client wrote may look like that end; and what stands last may be half of it.
    #[cold]
    fn doubt_cut(&self, spans: &[Span], length: usize, reading: &mut Reading) {
        for (i, binding) in self.fields.iter().enumerate() {
            let is_whole = i < self.told_first && spans.get(i).is_some_and(|span| (span.end as usize) < length);
            if matches!(binding.role, Role::Client | Role::Forwarded) {
                reading.doubt(binding.role, !is_whole);
            }
        }
    }

    /// The status, where it is a number.
    fn status(&self, line: &str, spans: &[Span]) -> Option<i32> {
        self.text(Role::Status, line, spans)?.parse().ok()
    }

    /// Whether it says by an address who the client is.
    fn names(&self, line: &str, spans: &[Span]) -> bool {
        self.text(Role::Client, line, spans).is_some_and(|text| address::parse(text).is_some())
    }

    fn text<'l>(&self, role: Role, line: &'l str, spans: &[Span]) -> Option<&'l str> {
        let (_, span) = self.fields.iter().zip(spans).find(|(binding, _)| binding.role == role)?;
        Some(&line[span.start as usize..span.end as usize])
    }

    /// Where the fields of a role stand.
    fn places(&self, role: Role, spans: &[Span]) -> Vec<(u16, u32, u32)> {
        let of = |(binding, span): (&Binding, &Span)| (binding.slot, span.start, span.end);
        self.fields.iter().zip(spans).filter(|(binding, _)| binding.role == role).map(of).collect()
    }
}

impl Reading {
    fn doubt(&mut self, role: Role, is_doubtful: bool) {
        match role {
            Role::Client => self.unproven |= is_doubtful,
            Role::Time => self.time_unproven |= is_doubtful,
            Role::Forwarded => self.list_unproven |= is_doubtful,
            Role::Status => self.status_unproven |= is_doubtful,
            Role::Other => {}
        }
    }
}

/// Do two readings put something that both know in different places? A time is one however it is written.
fn conflict(role: Role, one: &[(u16, u32, u32)], other: &[(u16, u32, u32)]) -> bool {
    let is_same = |place: &(u16, u32, u32), another: &(u16, u32, u32)| role == Role::Time || place.0 == another.0;
    one.iter().any(|place| {
        other.iter().any(|another| is_same(place, another) && (place.1, place.2) != (another.1, another.2))
    })
}

/// Appends `text` with its escapes resolved, where what they stand for is printable: `\"`, `\\`, `\x22`, `\u0022`.
pub(super) fn unescape(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (byte, width) = match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'"' | b'\\' | b'\'' | b'/')) => (bytes[at + 1], 2),
            (b'\\', Some(b'x')) => match hex(bytes.get(at + 2..at + 4)) {
                Some(byte) if byte >= 0x20 && byte != 0x7f => (byte, 4),
                _ => (b'\\', 1),
            },
            (b'\\', Some(b'u')) => match (hex(bytes.get(at + 2..at + 4)), hex(bytes.get(at + 4..at + 6))) {
                (Some(0), Some(byte @ 0x20..0x7f)) => (byte, 6),
                _ => (b'\\', 1),
            },
            (byte, _) => (byte, 1),
        };
        plain.push(byte);
        at += width;
    }
    // Where the bytes were no text, the escapes are.
    out.push_str(std::str::from_utf8(&plain).unwrap_or(text));
}

fn hex(pair: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = pair? else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}
