//! Paths to endpoint templates: `/v1/orders/4711` is `/v1/orders/{id}`. What is configured counts first (an OpenAPI document
//! or a list), then the gateway's own route, then what the path itself shows: each segment by its form, and words that
//! vary by what the lane has learned.
//!
//! Promises: a template is made of one spelling of the path (`canonical.rs`), so escapes, dots, doubled slashes and matrix
//! parameters neither multiply templates nor make identifiers; redaction changes no template but that a secret is
//! `{secret}`, which never becomes an object's token. Depth and length are bounded; what is beyond is `{rest}`. The same
//! records of a lane in the same order give the same templates.
//! Never: sees the query.

mod canonical;
mod hidden;
mod learned;
mod logged;
mod pattern;
mod segment;
mod templates;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::hash::{self, FastMap};
use crate::limits::{ENDPOINT_BYTES_MAX, ENDPOINT_SEGMENTS_MAX, TEMPLATE_SEGMENTS_MAX, TEXT_BYTES_MAX};
use crate::record::Lane;
use crate::redact::{Found, Scrubber, floor};

use hidden::Hidden;
use learned::Learned;
use pattern::Pattern;
use segment::{Segment, classify, is_rpc, key_of};

pub(crate) use learned::Saved;
pub(crate) use segment::names_object;
pub use templates::{Operation, TemplateError, Templates};

/// Whether a text may be a template of paths: nothing in it names one thing.
pub(crate) fn may_be_template(path: &str) -> bool {
    let names_one = |segment: &str| matches!(classify(segment, false), Segment::Id(_) | Segment::Key(_));
    !path.contains('?') && !path.split('/').any(names_one)
}

/// What is asked: a request as far as its endpoint depends on it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asked<'r> {
    pub(crate) method: Option<&'r str>,
    /// In lower case, without port.
    pub(crate) host: Option<&'r str>,
    /// The path as it was written.
    pub(crate) path: &'r str,
    /// What redaction left of it; the same text where it found nothing.
    pub(crate) kept: &'r str,
    /// The gateway's route.
    pub(crate) route: Option<&'r str>,
    pub(crate) status: Option<i32>,
    pub(crate) client: Option<&'r str>,
    pub(crate) offset: i64,
}

/// Finds the endpoints of one source's requests.
pub(crate) struct Router {
    templates: Option<Arc<Templates>>,
    routes: logged::Routes,
    lanes: FastMap<Lane, Learned>,
    /// That of the lane whose records are read.
    learned: Learned,
    path: String,
    kept: String,
    bytes: [Vec<u8>; 2],
}

impl Router {
    pub(crate) fn new(templates: Option<Arc<Templates>>) -> Router {
        Router {
            templates: templates.filter(|templates| !templates.is_empty()),
            routes: logged::Routes::default(),
            lanes: hash::map(),
            learned: Learned::default(),
            path: String::new(),
            kept: String::new(),
            bytes: [Vec::new(), Vec::new()],
        }
    }

    /// The next records are of `lane`.
    pub(crate) fn begin(&mut self, lane: &Lane) {
        self.learned = self.lanes.remove(lane).unwrap_or_default();
    }

    /// The records of `lane` up to `next` are done. Returns what it has learned, when that changed or when all is wanted.
    pub(crate) fn end(&mut self, lane: &Lane, next: i64, all: bool) -> Option<Saved> {
        let mut learned = std::mem::take(&mut self.learned);
        // Records that are read again do not teach again.
        learned.next = learned.next.max(next);
        let saved = learned.save(all);
        self.lanes.insert(lane.clone(), learned);
        saved
    }

    /// What was learned so far of the lane that is read.
    pub(crate) fn learned(&mut self) -> Option<Saved> {
        self.learned.save(true)
    }

    /// What was learned so far of a lane that is not being read, for one that begins.
    pub(crate) fn learned_of(&self, lane: &Lane) -> Option<Saved> {
        self.lanes.get(lane).map(Learned::for_another)
    }

    /// Goes on with what another router has learned of the lane that is read.
    pub(crate) fn learn(&mut self, saved: &Saved) {
        self.learned = Learned::restore(saved).unwrap_or_default();
    }

    /// Goes on where the lane was left; false when `saved` makes no sense.
    pub(crate) fn restore(&mut self, lane: &Lane, saved: &Saved) -> bool {
        let learned = Learned::restore(saved);
        let restored = learned.is_some();
        self.lanes.extend(learned.map(|learned| (lane.clone(), learned)));
        restored
    }

    /// Writes `METHOD /template` over `out` by the gateway's route, where no path was logged; false where it says nothing.
    pub(crate) fn route_alone(
        &mut self,
        method: Option<&str>,
        route: &str,
        scrubber: &mut Scrubber,
        out: &mut String,
    ) -> bool {
        out.clear();
        let Some(pattern) = self.routes.alone(route, scrubber) else { return false };
        out.extend([method.unwrap_or("-"), " ", &pattern.text]);
        true
    }

    /// Writes `METHOD /template` over `out` and the identifiers of the path over `identifiers`. Returns whether a document
    /// describes the endpoint; `None` where none covers the host.
    pub(crate) fn route(
        &mut self,
        asked: &Asked<'_>,
        scrubber: &mut Scrubber,
        out: &mut String,
        identifiers: &mut String,
    ) -> Option<bool> {
        out.clear();
        identifiers.clear();
        out.push_str(asked.method.unwrap_or("-"));
        out.push(' ');
        if asked.method == Some("CONNECT") && !asked.path.starts_with('/') {
            // A host and a port, which anybody can name.
            out.push_str("{authority}");
            return None;
        }
        let start = out.len();
        let is_plain = std::ptr::eq(asked.path, asked.kept) && asked.path.len() <= TEXT_BYTES_MAX;
        let mut hidden = Hidden::default();
        let mut path = asked.path;
        if !(is_plain && write(path, hidden, false, out, identifiers)) {
            out.truncate(start);
            identifiers.clear();
            hidden = spell(asked, scrubber, &mut self.path, &mut self.kept, &mut self.bytes);
            path = &self.path;
            write(path, hidden, true, out, identifiers);
        }
        let mut documented = None;
        if self.templates.is_some() || asked.route.is_some() {
            let mut segments = [""; TEMPLATE_SEGMENTS_MAX + 1];
            let segments = segments_of(path, &mut segments);
            if let Some(templates) = &self.templates {
                let (found, covered) = templates.find(asked.host, asked.method.unwrap_or("-"), segments);
                documented = match &found {
                    Some(found) => Some(found.documented),
                    None => (covered && asked.host.is_some()).then_some(false),
                };
                if let Some(found) = found {
                    replace(&found.endpoint.pattern, segments, 0, hidden, (out, start), identifiers);
                    return documented;
                }
            }
            if let Some(route) = asked.route
                && let Some((pattern, before)) = self.routes.find(route, segments, scrubber)
            {
                replace(pattern, &segments[before..], before, hidden, (out, start), identifiers);
                return documented;
            }
        }
        if hidden.is_none() {
            let teaches = asked.offset >= self.learned.next && asked.status.is_some_and(|s| (200..400).contains(&s));
            let teacher = teaches.then(|| asked.client.unwrap_or_default());
            let varying = self.learned.apply(out, start, teacher);
            if varying != 0 {
                let segments = path.strip_prefix('/').unwrap_or(path).split('/').enumerate();
                segments
                    .filter(|(at, _)| *at < 16 && varying >> at & 1 == 1)
                    .for_each(|(_, id)| push_id(id, identifiers));
            }
        }
        documented
    }
}

/// Writes the one spelling of the path to `path`; returns which of its segments are secret.
#[cold]
fn spell(
    asked: &Asked<'_>,
    scrubber: &mut Scrubber,
    path: &mut String,
    kept: &mut String,
    bytes: &mut [Vec<u8>; 2],
) -> Hidden {
    canonical::canonical(asked.path, path, bytes);
    path.truncate(floor(path, TEXT_BYTES_MAX));
    if path == asked.path {
        return Hidden::between(path, asked.kept);
    }
    let hidden = Hidden::between(path, scrubber.scrub(path, kept, &mut Found::default()));
    // Of a text that was cut nobody knows what was taken away.
    let tells = asked.path != asked.kept && !asked.kept.ends_with('…');
    if tells { hidden.and_words(path, (asked.path, asked.kept)) } else { hidden }
}

fn segments_of<'p, 'b>(path: &'p str, buffer: &'b mut [&'p str; TEMPLATE_SEGMENTS_MAX + 1]) -> &'b [&'p str] {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return &[];
    }
    let mut count = 0;
    for (place, segment) in buffer.iter_mut().zip(path.split('/')) {
        *place = segment;
        count += 1;
    }
    &buffer[..count]
}

/// Shows `pattern` instead, which `segments` match; `before` of the path's segments stand before them.
fn replace(
    pattern: &Pattern,
    segments: &[&str],
    before: usize,
    hidden: Hidden,
    (out, start): (&mut String, usize),
    identifiers: &mut String,
) {
    out.truncate(start);
    out.push_str(&pattern.text);
    identifiers.clear();
    pattern.values(segments, |at, value, is_object| {
        if is_object && !hidden.has(before + at) {
            push_id(value, identifiers);
        }
    });
}

fn push_id(id: &str, identifiers: &mut String) {
    if !identifiers.is_empty() {
        identifiers.push('/');
    }
    identifiers.push_str(id);
}

/// Appends the template that the path by itself shows to `out`, and what in it is an identifier to `identifiers`. False,
/// with something written, for a path that is not in its one spelling, unless `is_canonical` says that it is.
fn write(path: &str, hidden: Hidden, is_canonical: bool, out: &mut String, identifiers: &mut String) -> bool {
    let limit = out.len() + ENDPOINT_BYTES_MAX;
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    if path.starts_with('/') && rest.is_empty() {
        out.push('/');
        return true;
    }
    let (mut shown, mut at, mut is_method, mut was_secret) = (0, 0, false, false);
    loop {
        let (segment, after) = match memchr::memchr(b'/', rest.as_bytes()) {
            Some(slash) => (&rest[..slash], Some(&rest[slash + 1..])),
            None => (rest, None),
        };
        let kind = if hidden.has(at) {
            Segment::Secret
        } else if is_method || (segment.len() < 20 && segment.bytes().all(|b| b.is_ascii_lowercase())) {
            Segment::Word
        } else {
            let last = after.is_none();
            if !is_canonical && canonical::is_odd(segment, last) {
                return false;
            }
            is_method = after.is_some_and(|after| is_rpc(segment, after));
            if is_method { Segment::Word } else { classify(segment, last) }
        };
        if segment.is_empty() && after.is_some() && !is_canonical {
            return false;
        }
        match kind {
            Segment::Id(extension) if segment[segment.len() - extension..].starts_with(':') => {
                push_id(&segment[..segment.len() - extension], identifiers);
            }
            Segment::Id(_) | Segment::Slug => push_id(segment, identifiers),
            Segment::Key(name) => push_id(key_of(segment, name), identifiers),
            _ => {}
        }
        let is_secret = kind == Segment::Secret;
        // A secret with slashes in it is one secret.
        if !(is_secret && was_secret) {
            if shown < ENDPOINT_SEGMENTS_MAX {
                shown = if push(kind, segment, limit, out) { shown + 1 } else { ENDPOINT_SEGMENTS_MAX + 1 };
            } else if shown == ENDPOINT_SEGMENTS_MAX {
                out.push_str("/{rest}");
                shown += 1;
            }
        }
        was_secret = is_secret;
        at += 1;
        match after {
            Some(after) => rest = after,
            None => return true,
        }
    }
}

/// Appends a segment; when it does not fit, `{rest}`, and false.
fn push(kind: Segment, segment: &str, limit: usize, out: &mut String) -> bool {
    if out.len() + segment.len().max(8) + 8 > limit {
        out.push_str("/{rest}");
        return false;
    }
    out.push('/');
    match kind {
        Segment::Word => out.push_str(segment),
        Segment::Id(extension) => {
            out.push_str("{id}");
            out.push_str(&segment[segment.len() - extension..]);
        }
        Segment::File(extension) => {
            out.push_str("{file}");
            out.push_str(&segment[segment.len() - extension..]);
        }
        Segment::Key(name) => {
            out.push_str(&segment[..name]);
            out.push_str("({id})");
        }
        Segment::Slug => out.push_str("{slug}"),
        Segment::Other => out.push_str("{other}"),
        Segment::Secret => out.push_str("{secret}"),
    }
    true
}
