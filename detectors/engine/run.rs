//! A run: rows in total order, as detectors read them. One batch where that is already in order, or rows gathered from
//! several batches.
//!
//! Promises: detectors see one contiguous range of columns either way; a row's own batch is reached only for the few
//! rows whose texts are wanted (evidence, names of entities).
//! Never: copies a batch.

use std::ops::Range;
use std::sync::LazyLock;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use schemas::event::FIELDS;

use super::columns::{Columns, EntityKey};
use super::network::CLIENT_BITS;

/// Where the rows of a run came from.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    One(&'a RecordBatch),
    Many { batches: &'a [&'a RecordBatch], order: &'a [(u32, u32)] },
}

/// Rows in total order.
pub(crate) struct Run<'a> {
    pub columns: &'a Columns,
    pub rows: Range<usize>,
    pub origin: Origin<'a>,
    /// Per tracked kind of entity, what is known of the entity of each row of `rows`.
    pub known: &'a [Known],
    /// Which of them is about clients, where some detector is.
    pub clients: Option<usize>,
}

/// Which rows a detector counts: those that meet a condition, of entities of a kind, from clients with so many principals
/// behind them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub filter: Option<usize>,
    pub kind: usize,
    pub behind: Option<(u32, u32)>,
}

/// What is known of the entities of some rows.
#[derive(Default)]
pub(crate) struct Known {
    /// When each was first seen.
    pub first_seen: Vec<i64>,
    /// How many principals there are behind each; empty where that is not counted.
    pub principals: Vec<u32>,
}

impl Run<'_> {
    /// Calls `visit` with the rows that match a filter and have a key, in order, a few at a time: so that a detector
    /// can look up all of them before it folds the first.
    #[inline]
    pub fn visit(&self, Wanted { filter, kind, behind }: Wanted, mut visit: impl FnMut(&[Hit])) {
        let (times, places, keys) = (&self.columns.times, &self.columns.places, &self.columns.keys[kind]);
        let earlier = self.columns.earlier_keys[kind].as_deref();
        let mut hits = [Hit::default(); HITS];
        let mut count = 0;
        let mut one = |row: usize| {
            let key = keys[row];
            if key == 0 || behind.is_some_and(|(least, most)| !(least..=most).contains(&self.principals_behind(row))) {
                return;
            }
            let (place, earlier) = (places[row], earlier.map_or(0, |keys| keys[row]));
            hits[count] = Hit { row, time: times[row].min(place), place, key, earlier, bits: CLIENT_BITS };
            count += 1;
            if count == HITS {
                visit(&hits);
                count = 0;
            }
        };
        match filter {
            None => self.rows.clone().for_each(&mut one),
            Some(filter) => {
                let start = self.rows.start;
                let matching = self.columns.filters[filter].slice(start, self.rows.len());
                matching.set_indices().for_each(|at| one(start + at));
            }
        }
        visit(&hits[..count]);
    }

    /// How many principals there were behind the client of a row in the last day; 0 where that is not counted.
    #[inline]
    pub fn principals_behind(&self, row: usize) -> u32 {
        let known = self.clients.and_then(|clients| self.known.get(clients));
        known.and_then(|known| known.principals.get(row - self.rows.start)).copied().unwrap_or(0)
    }

    /// The event of a row.
    pub fn event(&self, row: usize) -> EventRow<'_> {
        match self.origin {
            Origin::One(events) => EventRow { events, row },
            Origin::Many { batches, order } => {
                let (source, row) = order[row];
                EventRow { events: batches[source as usize], row: row as usize }
            }
        }
    }
}

/// Rows that are looked up together. Look-ups miss the cache; a few at once wait for memory together.
pub(crate) const HITS: usize = 32;

/// A row that a detector counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hit {
    pub row: usize,
    /// When it happened: the event's own time, or its place where its time is ahead.
    pub time: i64,
    /// When it is folded; later than `time` for a late row.
    pub place: i64,
    pub key: EntityKey,
    /// The key its entity had under the token key before, while the two overlap; else 0.
    pub earlier: EntityKey,
    /// Bits of the network that an IPv6 client is judged as.
    pub bits: u8,
}

/// One event, column by column.
#[derive(Clone, Copy)]
pub(crate) struct EventRow<'a> {
    events: &'a RecordBatch,
    row: usize,
}

/// Positions of the columns detectors read texts of. Batches have the event schema, which `Engine::push` checks.
pub(crate) struct Positions {
    pub source: usize,
    pub request_id: usize,
    pub endpoint: usize,
    pub status: usize,
    pub client_ip: usize,
    pub client_ip_source: usize,
    pub country: usize,
    pub principal: usize,
    pub principal_source: usize,
    pub partition: usize,
    pub offset: usize,
}

pub(crate) fn position(name: &str) -> usize {
    FIELDS.iter().position(|f| f.name == name).expect("the column is in the event schema")
}

pub(crate) static POSITIONS: LazyLock<Positions> = LazyLock::new(|| Positions {
    source: position("source"),
    request_id: position("request_id"),
    endpoint: position("endpoint"),
    status: position("status"),
    client_ip: position("client_ip"),
    client_ip_source: position("client_ip_source"),
    country: position("country"),
    principal: position("principal"),
    principal_source: position("principal_source"),
    partition: position("partition"),
    offset: position("offset"),
});

impl<'a> EventRow<'a> {
    /// The text of a text column; `None` when NULL.
    pub fn text(&self, column: usize) -> Option<&'a str> {
        let array = self.events.column(column);
        if array.is_null(self.row) {
            return None;
        }
        if let Some(texts) = array.as_string_opt::<i32>() {
            return Some(texts.value(self.row));
        }
        let dictionary = array.as_dictionary_opt::<Int32Type>()?;
        let code = dictionary.key(self.row)?;
        Some(dictionary.values().as_string_opt::<i32>()?.value(code))
    }

    /// The number of a whole-number column; `None` when NULL.
    pub fn number(&self, column: usize) -> Option<i64> {
        let array = self.events.column(column);
        if array.is_null(self.row) {
            return None;
        }
        match array.as_primitive_opt::<Int64Type>() {
            Some(numbers) => Some(numbers.value(self.row)),
            None => array.as_primitive_opt::<Int32Type>().map(|numbers| i64::from(numbers.value(self.row))),
        }
    }
}
