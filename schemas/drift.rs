//! Drift: what records have that their mapping does not expect, or no longer have. A gateway was upgraded, a plugin was
//! added, a field was renamed or is written in another way: here it shows first.
//!
//! Promises: a deterministic sample (by offset), bounded memory; key names are scrubbed, for a key may hold anything. A
//! field that some records never had, or that was always of two kinds, has not drifted.
//! Never: looks at values, beyond the first byte, by which JSON tells its kinds apart.

use std::collections::BTreeMap;

use crate::limits::{
    DRIFT_AFTER, DRIFT_KEY_BYTES_MAX, DRIFT_KEYS_MAX, DRIFT_OFTEN, DRIFT_OFTEN_UNTIL, DRIFT_SAMPLE, MAPPING_PATHS_MAX,
};
use crate::redact::{floor, scrub};
use crate::sources::Plan;
use crate::sources::json::keys;

/// A difference between a source's records and its mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Keys joined by dots.
    pub path: String,
    pub kind: DriftKind,
    /// In how many of the sampled records it is so.
    pub sampled: u64,
    /// How many were sampled.
    pub of: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// The mapping does not know this key.
    Appeared,
    /// A field of a column that nearly all records had; the last ones have not.
    Vanished,
    /// A field of a column that was nearly always of one kind of JSON value, and in the last records was of another.
    ChangedType { was: &'static str, is: &'static str },
}

/// What was seen of the records of one source.
#[derive(Default)]
pub(crate) struct Watch {
    records: u64,
    unknown: BTreeMap<String, u64>,
    mapped: BTreeMap<String, Field>,
}

/// What was seen of one field that a column is read from.
struct Field {
    /// The number of the first and of the last record that had it.
    first: u64,
    last: u64,
    /// Records with it, by kind.
    kinds: [u64; KINDS.len()],
    /// The kind of the last ones, and how many in a row.
    run: (usize, u64),
    /// The kinds before and after the last change.
    changed: Option<(usize, usize)>,
}

const KINDS: [&str; 5] = ["text", "number", "true or false", "object", "list"];

/// The kind of a value by its first byte; `null` is none.
fn kind_of(first: u8) -> Option<usize> {
    match first {
        b'"' => Some(0),
        b'-' | b'0'..=b'9' => Some(1),
        b't' | b'f' => Some(2),
        b'{' => Some(3),
        b'[' => Some(4),
        _ => None,
    }
}

impl Watch {
    /// Is the record at this offset one of the sample? Of the first ones more are, so that short files show drift, too.
    pub(crate) fn samples(offset: i64) -> bool {
        let every = if offset < DRIFT_OFTEN_UNTIL { DRIFT_OFTEN } else { DRIFT_SAMPLE };
        offset.rem_euclid(every) == 0
    }

    pub(crate) fn observe(&mut self, plan: &Plan, text: &str) {
        self.records += 1;
        keys(plan, text, &mut |path, first| {
            // A key that stands here already was scrubbed.
            if let (Some(field), Some(first)) = (self.mapped.get_mut(path), first) {
                kind_of(first).into_iter().for_each(|kind| field.note(self.records, kind));
                return;
            }
            // Cut before, what makes a secret of its beginning would be gone.
            let key = scrub(path);
            let key = &key[..floor(&key, DRIFT_KEY_BYTES_MAX)];
            match first {
                None => self.note_unknown(key),
                Some(first) => {
                    kind_of(first).into_iter().for_each(|kind| self.note_mapped(key, kind));
                }
            }
        });
    }

    fn note_unknown(&mut self, key: &str) {
        if let Some(count) = self.unknown.get_mut(key) {
            *count += 1;
            return;
        }
        let key = if self.unknown.len() < DRIFT_KEYS_MAX { key } else { "…" };
        *self.unknown.entry(key.to_owned()).or_default() += 1;
    }

    fn note_mapped(&mut self, key: &str, kind: usize) {
        let record = self.records;
        if let Some(field) = self.mapped.get_mut(key) {
            field.note(record, kind);
        } else if self.mapped.len() < MAPPING_PATHS_MAX {
            let mut field =
                Field { first: record, last: record, kinds: [0; KINDS.len()], run: (kind, 0), changed: None };
            field.note(record, kind);
            self.mapped.insert(key.to_owned(), field);
        }
    }

    /// What drifted: what vanished first, then what changed, then what appeared, most frequent first.
    pub(crate) fn report(&self) -> Vec<Drift> {
        let mut report: Vec<Drift> = Vec::new();
        for (path, field) in &self.mapped {
            let drift = |kind, sampled| Drift { path: path.clone(), kind, sampled, of: self.records };
            if field.vanished(self.records) {
                report.push(drift(DriftKind::Vanished, self.records - field.last));
            } else if let Some((was, is)) = field.changed {
                let kind = DriftKind::ChangedType { was: KINDS[was], is: KINDS[is] };
                report.push(drift(kind, field.kinds[is]));
            }
        }
        let unknown = self.unknown.iter();
        report.extend(unknown.map(|(path, count)| Drift {
            path: path.clone(),
            kind: DriftKind::Appeared,
            sampled: *count,
            of: self.records,
        }));
        let rank = |kind: DriftKind| match kind {
            DriftKind::Vanished => 0,
            DriftKind::ChangedType { .. } => 1,
            DriftKind::Appeared => 2,
        };
        report.sort_by_key(|drift| (rank(drift.kind), std::cmp::Reverse(drift.sampled)));
        report
    }
}

impl Field {
    fn note(&mut self, record: u64, kind: usize) {
        self.last = record;
        self.kinds[kind] += 1;
        self.run = if self.run.0 == kind { (kind, self.run.1 + 1) } else { (kind, 1) };
        if self.run.1 != DRIFT_AFTER {
            return;
        }
        let before = |of: usize| self.kinds[of] - if of == kind { DRIFT_AFTER } else { 0 };
        let all: u64 = (0..KINDS.len()).map(before).sum();
        let usual = (0..KINDS.len()).max_by_key(|of| before(*of)).unwrap_or(kind);
        if usual != kind && all >= DRIFT_AFTER && nearly(before(usual), all) {
            self.changed = Some((usual, kind));
        }
    }

    fn vanished(&self, records: u64) -> bool {
        let had: u64 = self.kinds.iter().sum();
        let among = self.last - self.first + 1;
        records - self.last >= DRIFT_AFTER && had >= DRIFT_AFTER && nearly(had, among)
    }
}

/// Nine in ten: so much that a dozen others in a row are no chance.
fn nearly(part: u64, all: u64) -> bool {
    10 * part >= 9 * all
}
