//! Fitting a line to a form: where each field begins and ends.
//!
//! Lines mostly fit in one way, and one pass from the left finds it (`clean`). What a client writes can make a line look
//! like another one: a quote in a user agent, a time in a user name. Then all ways to read the line are looked at together
//! (`every`): the places where each field can begin are followed from the left, those from which the end cannot be reached
//! are dropped, and a field is proven when one place each is left for its beginning and its end.
//!
//! Promises: time in proportion to the length of the line for a given form; a line that fits in any way is found to fit.
//! Where the status can be read in two ways the worse one counts: nobody forges a refusal of his own request.
//! Never: decides what a field means.

use super::class::{Class, Run};
use super::form::{Field, Form, Part};
use crate::sources::severity;

/// Where a field stands in the line, and whether that is the only place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) proven: bool,
}

impl Span {
    fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32, proven: true }
    }
}

/// The fields of `line`, in the order of the form, when it fits in one pass and without doubt. `quotes` are those in the
/// line that no backslash stands before. With `cut`, a line that ends early fits as far as it goes.
pub(super) fn clean(form: &Form, line: &str, quotes: usize, cut: bool, spans: &mut Vec<Span>) -> bool {
    spans.clear();
    if !cut && !form.is_open() && quotes != form.quotes {
        return false;
    }
    let mut at = 0;
    for (i, part) in form.parts.iter().enumerate() {
        let field = match part {
            Part::Literal(literal) => match literal_end(line, at, literal, before_text(form.parts.get(i + 1))) {
                Some(end) => {
                    at = end;
                    continue;
                }
                None => return cut && is_start(line, at, literal),
            },
            Part::Field(field) => field,
        };
        let next = form.parts.get(i + 1);
        let end = match field.class.is_free() {
            true => free_end(field, line, at, next, i < form.last_quote),
            false => field.end(line, at, stop(next)),
        };
        match end {
            // Another line may begin there: what a client wrote, or what stands behind it.
            Some(_) if !cut && field.class == Class::Any && (has_time(&line[at..]) || has_answer(&line[at..])) => {
                return false;
            }
            Some(end) => {
                spans.push(Span::new(at, end));
                at = end;
            }
            None if cut && field.class.is_free() => {
                spans.push(Span::new(at, line.len()));
                return true;
            }
            None => return cut && at >= line.len(),
        }
    }
    at == line.len()
}

/// Does the line begin like the form? One that does not fits in no way, also not as far as it goes.
pub(super) fn begins(form: &Form, line: &str) -> bool {
    match &form.parts[0] {
        Part::Field(field) if field.class.is_free() => true,
        part => strict_end(part, line, 0, form.parts.get(1)).is_some(),
    }
}

/// Is there a time in brackets?
fn has_time(text: &str) -> bool {
    memchr::memchr_iter(b'[', text.as_bytes()).any(|at| Class::Clf.end(text, at + 1, None).is_some())
}

/// Is there a quote with what may be a status behind it?
fn has_answer(text: &str) -> bool {
    let is_answer = |rest: &[u8]| match rest {
        [b' ', a, b, c, end @ ..] => {
            [a, b, c].into_iter().all(u8::is_ascii_digit) && matches!(end.first(), None | Some(b' '))
        }
        _ => false,
    };
    memchr::memchr_iter(b'"', text.as_bytes()).any(|at| is_answer(&text.as_bytes()[at + 1..]))
}

/// How far `line` goes by the form, and what was expected there: for people, when no form fits.
#[cold]
pub(super) fn stops_at<'f>(form: &'f Form, line: &str) -> (usize, &'f Part) {
    let mut at = 0;
    let mut last = &form.parts[0];
    for (i, part) in form.parts.iter().enumerate() {
        let next = form.parts.get(i + 1);
        let end = match part {
            Part::Literal(literal) => literal_end(line, at, literal, before_text(next)),
            Part::Field(field) if field.class.is_free() => free_end(field, line, at, next, i < form.last_quote),
            Part::Field(field) => field.end(line, at, stop(next)),
        };
        last = part;
        match end {
            Some(end) => at = end,
            None => break,
        }
    }
    (at, last)
}

/// Is what is left of the line the beginning of `literal`?
fn is_start(line: &str, at: usize, literal: &str) -> bool {
    literal.starts_with(&line[at..])
}

/// The byte that must stand behind a field.
fn stop(next: Option<&Part>) -> Option<u8> {
    match next {
        Some(Part::Literal(literal)) => literal.bytes().next(),
        _ => None,
    }
}

/// Is this a field that may begin with blanks, or that may be nothing?
fn before_text(next: Option<&Part>) -> bool {
    let may_be = |field: &Field| field.class.is_free() || field.may_be_empty || field.class == Class::Authority;
    matches!(next, Some(Part::Field(field)) if may_be(field))
}

/// Behind `literal`, when it stands at `at`. Of blanks there may be more than in the form, but before a text.
#[inline]
fn literal_end(line: &str, at: usize, literal: &str, before_text: bool) -> Option<usize> {
    literal_end_by(line, at, literal, before_text, |bytes, from, _| end_of_blanks(bytes, from))
}

fn end_of_blanks(bytes: &[u8], from: usize) -> usize {
    from + bytes[from..].iter().take_while(|&&b| b == b' ' || b == b'\t').count()
}

/// The same; `blanks` says where blanks end that begin there, for the how-manieth of the literal.
#[inline]
fn literal_end_by(
    line: &str,
    at: usize,
    literal: &str,
    before_text: bool,
    mut blanks: impl FnMut(&[u8], usize, usize) -> usize,
) -> Option<usize> {
    let bytes = line.as_bytes();
    if bytes[at..].starts_with(literal.as_bytes()) && (before_text || !literal.ends_with(' ')) {
        return Some(at + literal.len());
    }
    let (mut end, mut group) = (at, 0);
    for &wanted in literal.as_bytes() {
        if wanted != b' ' {
            if bytes.get(end) != Some(&wanted) {
                return None;
            }
            end += 1;
            continue;
        }
        let behind = blanks(bytes, end, group);
        if behind == end {
            return None;
        }
        (end, group) = (behind, group + 1);
    }
    Some(end)
}

/// What was found from the places before, in their order: a run of blanks, or of what a class is made of, is looked through once
/// however many places there are in it.
#[derive(Default)]
struct Memo {
    blanks: [Run; 4],
    run: Run,
}

impl Memo {
    fn literal_end(&mut self, line: &str, at: usize, literal: &str, before_text: bool) -> Option<usize> {
        literal_end_by(line, at, literal, before_text, |bytes, from, group| match self.blanks.get_mut(group) {
            Some(run) => run.end(from, || end_of_blanks(bytes, from)),
            None => end_of_blanks(bytes, from),
        })
    }

    /// Where a strict part ends that begins at `start`.
    fn strict_end(&mut self, part: &Part, line: &str, start: u32, next: Option<&Part>) -> Option<u32> {
        let at = start as usize;
        let end = match part {
            Part::Literal(literal) => self.literal_end(line, at, literal, before_text(next))?,
            Part::Field(field) => field.end_after(line, at, stop(next), &mut self.run)?,
        };
        Some(end as u32)
    }
}

/// The end of a text in a line without doubt: what follows it stands there once before the next quote, if the form has one.
fn free_end(field: &Field, line: &str, at: usize, next: Option<&Part>, quotes_follow: bool) -> Option<usize> {
    let bytes = line.as_bytes();
    let Some(Part::Literal(literal)) = next else { return Some(line.len()) };
    let literal = literal.as_bytes();
    if field.quoted {
        return memchr::memchr_iter(b'"', &bytes[at..])
            .map(|i| at + i)
            .find(|&i| !is_escaped(bytes, i))
            .filter(|&i| bytes[i..].starts_with(literal));
    }
    let mut found = memchr::memmem::find_iter(&bytes[at..], literal).map(|i| at + i);
    let first = found.next()?;
    let quote = memchr::memchr_iter(b'"', &bytes[at..]).map(|i| at + i).find(|&i| !is_escaped(bytes, i));
    let quote = quote.filter(|_| quotes_follow).unwrap_or(bytes.len());
    let again = found.next().is_some_and(|second| second < quote);
    let crosses = field.class.is_quiet() && first > quote;
    // A blank may be the end of the field in another form.
    let is_several = field.class != Class::Any && bytes[at..first].contains(&b' ');
    (!again && !crosses && !is_several).then_some(first)
}

/// Does an odd number of backslashes stand before the byte at `at`?
fn is_escaped(bytes: &[u8], at: usize) -> bool {
    bytes[..at].iter().rev().take_while(|&&b| b == b'\\').count() % 2 == 1
}

/// Quotes of `line` that no backslash stands before.
pub(super) fn quotes(line: &str) -> usize {
    let bytes = line.as_bytes();
    memchr::memchr_iter(b'"', bytes).filter(|&at| at == 0 || bytes[at - 1] != b'\\' || !is_escaped(bytes, at)).count()
}

/// The fields of `line` when there is any way to read it by the form.
pub(super) fn every(form: &Form, line: &str, spans: &mut Vec<Span>) -> bool {
    spans.clear();
    if !has_literals(form, line) {
        return false;
    }
    let bare = bare_quotes(line);
    let Some(mut places) = forward(form, line, &bare) else { return false };
    if !backward(form, line, &bare, &mut places) {
        return false;
    }
    choose(form, line, &places, spans);
    true
}

/// Do the literals of the form stand in the line one after the other, whatever is between them? A look that most lines of another
/// kind do not pass.
fn has_literals(form: &Form, line: &str) -> bool {
    let mut rest = line.as_bytes();
    for part in &form.parts {
        let Part::Literal(literal) = part else { continue };
        let mut wanted = literal.as_bytes();
        while let Some(first) = wanted.first() {
            let (found, length) = if *first == b' ' {
                (memchr::memchr2(b' ', b'\t', rest), 1)
            } else {
                let length = memchr::memchr(b' ', wanted).unwrap_or(wanted.len());
                let found = match &wanted[..length] {
                    [only] => memchr::memchr(*only, rest),
                    text => memchr::memmem::find(rest, text),
                };
                (found, length)
            };
            let Some(found) = found else { return false };
            (rest, wanted) = (&rest[found + length..], &wanted[length..]);
        }
    }
    true
}

/// Per part, the places where it can begin, as seen from the left; at last the end of the line.
fn forward(form: &Form, line: &str, bare: &[u32]) -> Option<Vec<Vec<u32>>> {
    let mut places = vec![vec![0u32]];
    for (i, part) in form.parts.iter().enumerate() {
        let starts = &places[i];
        let next = form.parts.get(i + 1);
        let ends: Vec<u32> = match part {
            Part::Field(field) if field.class.is_free() => {
                let first = *starts.first()? as usize;
                ends_of_text(field, line, first, next).filter(|end| follows(field, bare, starts, *end)).collect()
            }
            part => {
                let mut memo = Memo::default();
                let mut ends: Vec<u32> =
                    starts.iter().filter_map(|start| memo.strict_end(part, line, *start, next)).collect();
                ends.dedup();
                ends
            }
        };
        places.push(ends);
    }
    let end = line.len() as u32;
    let reached = places.last()?.contains(&end);
    places.pop();
    places.push(vec![end]);
    reached.then_some(places)
}

fn strict_end(part: &Part, line: &str, start: u32, next: Option<&Part>) -> Option<u32> {
    Memo::default().strict_end(part, line, start, next)
}

/// Where a text that begins at `first` or later can end: before each of what follows it in the form.
fn ends_of_text<'l>(
    field: &Field,
    line: &'l str,
    first: usize,
    next: Option<&'l Part>,
) -> Box<dyn Iterator<Item = u32> + 'l> {
    match next {
        Some(Part::Literal(literal)) if field.class != Class::Any => {
            let found = Overlapping { text: &line.as_bytes()[first..], literal: literal.as_bytes(), at: 0 };
            Box::new(found.map(move |at| (first + at) as u32))
        }
        _ => Box::new(std::iter::once(line.len() as u32)),
    }
}

/// Every place of `literal` in `text`, also those that overlap.
struct Overlapping<'l> {
    text: &'l [u8],
    literal: &'l [u8],
    at: usize,
}

impl Iterator for Overlapping<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let found = self.at + memchr::memmem::find(self.text.get(self.at..)?, self.literal)?;
        self.at = found + 1;
        Some(found)
    }
}

/// Can a text that ends at `end` have begun at one of `starts`?
fn follows(field: &Field, bare: &[u32], starts: &[u32], end: u32) -> bool {
    let before = starts.partition_point(|start| *start <= end);
    let Some(last) = before.checked_sub(1).map(|i| starts[i]) else { return false };
    !field.class.is_quiet() || is_quiet(bare, last, end)
}

/// The quotes of `line` that no backslash stands before.
fn bare_quotes(line: &str) -> Vec<u32> {
    let bytes = line.as_bytes();
    let (mut bare, mut at) = (Vec::new(), 0);
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += found;
        if bytes[at] == b'\\' {
            at += 1;
        } else {
            bare.push(at as u32);
        }
        at += 1;
    }
    bare
}

/// Is none of the bare quotes between?
fn is_quiet(bare: &[u32], from: u32, to: u32) -> bool {
    bare.get(bare.partition_point(|quote| *quote < from)).is_none_or(|quote| *quote >= to)
}

/// Drops the places from which the end of the line cannot be reached; false when none is left.
fn backward(form: &Form, line: &str, bare: &[u32], places: &mut [Vec<u32>]) -> bool {
    for (i, part) in form.parts.iter().enumerate().rev() {
        let (before, after) = places.split_at_mut(i + 1);
        let (starts, ends) = (&mut before[i], &after[0]);
        let next = form.parts.get(i + 1);
        match part {
            Part::Field(field) if field.class.is_free() => {
                let Some(last) = ends.last().copied() else { return false };
                starts.retain(|start| {
                    let Some(first) = ends.get(ends.partition_point(|end| end < start)) else { return false };
                    *start <= last && (!field.class.is_quiet() || is_quiet(bare, *start, *first))
                });
            }
            part => {
                let mut memo = Memo::default();
                starts.retain(|start| {
                    memo.strict_end(part, line, *start, next).is_some_and(|end| ends.binary_search(&end).is_ok())
                });
            }
        }
        if starts.is_empty() {
            return false;
        }
    }
    true
}

/// One way through the places: texts as short as they can be, but for those before the time and before the status.
fn choose(form: &Form, line: &str, places: &[Vec<u32>], spans: &mut Vec<Span>) {
    let (mut at, mut agree) = (0u32, true);
    for (i, part) in form.parts.iter().enumerate() {
        let ends = &places[i + 1];
        let end = match part {
            Part::Field(field) if field.class.is_free() => {
                let possible = &ends[ends.partition_point(|end| *end < at)..];
                let shortest = possible.first().copied().unwrap_or(line.len() as u32);
                let request = worst_status(form, line, i, at, possible);
                agree &= request.is_none_or(|worst| worst.agree);
                request
                    .map(|worst| worst.end)
                    .or_else(|| last_time(form, line, i, places, possible))
                    .unwrap_or(shortest)
            }
            part => strict_end(part, line, at, form.parts.get(i + 1)).unwrap_or(line.len() as u32),
        };
        if let Part::Field(field) = part {
            let one = places[i].len() == 1 && ends.len() == 1;
            let proven = if field.class == Class::Status { agree } else { one };
            spans.push(Span { start: at, end, proven });
        }
        at = end;
    }
}

/// Where a request ends, by the status behind it.
#[derive(Clone, Copy)]
struct Worst {
    end: u32,
    severity: u8,
    /// All statuses that may stand there are the same.
    agree: bool,
}

/// Where the text at `part`, which begins at `at`, ends when the worst status that may stand behind it does. Where a request
/// can end with its protocol, it does.
fn worst_status(form: &Form, line: &str, part: usize, at: u32, possible: &[u32]) -> Option<Worst> {
    let [Part::Literal(literal), Part::Field(field), ..] = form.parts.get(part + 1..)? else { return None };
    if field.class != Class::Status || possible.len() < 2 {
        return None;
    }
    let mut memo = Memo::default();
    let mut status = |end: u32| {
        let at = memo.literal_end(line, end as usize, literal, false)?;
        line[at..field.class.end(line, at, None)?].parse::<i32>().ok()
    };
    let is_whole = |end: &u32| ends_with_protocol(&line[at as usize..*end as usize]);
    let wholes: Vec<u32> = possible.iter().copied().filter(is_whole).collect();
    let possible = if wholes.is_empty() { possible } else { &wholes };
    let first = status(possible[0]);
    let mut worst = Worst { end: possible[0], severity: first.map_or(0, severity), agree: true };
    for end in &possible[1..] {
        let found = status(*end);
        worst.agree &= found == first;
        let found = found.map_or(0, severity);
        if found > worst.severity {
            worst = Worst { end: *end, severity: found, ..worst };
        }
    }
    Some(worst)
}

/// ` HTTP/1.1` and its like.
fn ends_with_protocol(request: &str) -> bool {
    const NAME: &[u8] = b" HTTP/";
    let bytes = request.as_bytes();
    let is_version = |text: &[u8]| text.iter().all(|b| b.is_ascii_digit() || *b == b'.');
    (1..=3).any(|version| {
        let name = bytes.len().checked_sub(version + NAME.len());
        name.is_some_and(|at| bytes[at..].starts_with(NAME) && is_version(&bytes[at + NAME.len()..]))
    })
}

/// Places that are looked at where several times stand in a line: so many from each end.
const TIMES_TRIED: usize = 4;

/// Where the text at `part` ends when a time stands behind it, and behind that the worst status; of equals the last.
fn last_time(form: &Form, line: &str, part: usize, places: &[Vec<u32>], possible: &[u32]) -> Option<u32> {
    let [open, Part::Field(time), close, Part::Field(request), ..] = form.parts.get(part + 1..)? else { return None };
    if !matches!(time.class, Class::Clf | Class::Rfc3339) || !request.class.is_free() || possible.len() < 2 {
        return None;
    }
    let severity = |end: u32| {
        let at = strict_end(open, line, end, None)?;
        let at = time.class.end(line, at as usize, stop(Some(close)))?;
        let at = strict_end(close, line, at as u32, None)?;
        let ends = places.get(part + 5)?;
        let possible = &ends[ends.partition_point(|end| *end < at)..];
        let worst = worst_status(form, line, part + 4, at, possible);
        Some(worst.map_or_else(|| only_status(form, line, part + 4, possible), |worst| worst.severity))
    };
    let tried =
        possible.iter().take(TIMES_TRIED).chain(possible.iter().skip(TIMES_TRIED).rev().take(TIMES_TRIED).rev());
    tried.copied().max_by_key(|end| severity(*end))
}

/// How bad the status is behind the only place where a request can end.
fn only_status(form: &Form, line: &str, part: usize, possible: &[u32]) -> u8 {
    let parts = (form.parts.get(part + 1), form.parts.get(part + 2), possible.first());
    let (Some(literal), Some(Part::Field(field)), Some(end)) = parts else { return 0 };
    let status = strict_end(literal, line, *end, None)
        .and_then(|at| Some(&line[at as usize..field.class.end(line, at as usize, None)?]))
        .and_then(|text| text.parse().ok());
    status.map_or(0, severity)
}

#[cfg(test)]
mod tests;
