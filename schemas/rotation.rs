//! Rotation: the rows of one batch when the keys of tokens change in it. Each event is shaped with the key in force at
//! its own time; while two keys overlap it is shaped with the older one, too, and `earlier_tokens` names what differs.
//! By that column detection takes an entity on from its old token to the new one, and a person finds old rows.
//!
//! Promises: rows in the order they were appended, whatever key they are of. With one key it costs nothing.
//! Never: lets a token of an older key into any other column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringBuilder};
use arrow::compute::interleave_record_batch;

use crate::draft::Recorded;
use crate::enrich::Geo;
use crate::event::EARLIER_TOKENS;
use crate::hash::{self, FastMap};
use crate::record::Lane;
use crate::redact::token::Keys;
use crate::request::Fault;
use crate::route::Saved;
use crate::shape::Shaper;
use crate::sources::{SourceConfig, SourceError};

/// The columns that hold tokens, by which a person or a thing is told apart.
const TOKENS: [&str; 3] = ["credential", "principal", "object_id"];

/// Makes the rows of one source.
pub(crate) struct Rows {
    keys: Keys,
    /// One per token key, oldest first.
    shapers: Vec<Shaper>,
    /// How many rows each of them made since the last batch.
    made: Vec<usize>,
    rows: Vec<Row>,
    /// By lane, the newest shaper that was used; of the lane that is read, too. What it has learned of paths counts.
    newest: FastMap<Lane, usize>,
    at: usize,
}

/// Where a row is: the shaper, and its number there; and the same row by the key before, while it overlaps.
struct Row {
    place: (usize, usize),
    earlier: Option<(usize, usize)>,
}

impl Rows {
    pub(crate) fn new(config: &SourceConfig, gateway: &str, keys: &Keys) -> Result<Rows, SourceError> {
        let shapers: Result<Vec<Shaper>, SourceError> =
            (0..keys.count()).map(|at| Shaper::new(config, gateway, &keys.only(at))).collect();
        Ok(Rows {
            keys: keys.clone(),
            shapers: shapers?,
            made: vec![0; keys.count()],
            rows: Vec::new(),
            newest: hash::map(),
            at: 0,
        })
    }

    /// Where to look up what records leave out about their client.
    pub(crate) fn set_geo(&mut self, geo: Option<Arc<Geo>>) {
        self.shapers.iter_mut().for_each(|shaper| shaper.set_geo(geo.clone()));
    }

    /// The next records are of `lane`.
    pub(crate) fn begin(&mut self, lane: &Lane) {
        self.at = self.newest.get(lane).copied().unwrap_or(0);
        self.shapers.iter_mut().for_each(|shaper| shaper.begin(lane));
    }

    /// The records of `lane` up to `next` are done: what was learned of its paths, when that changed or `all` is wanted.
    pub(crate) fn end(&mut self, lane: &Lane, next: i64, all: bool) -> Option<Saved> {
        self.newest.insert(lane.clone(), self.at);
        let learned: Vec<Option<Saved>> = self.shapers.iter_mut().map(|shaper| shaper.end(lane, next, all)).collect();
        learned.into_iter().nth(self.at).flatten()
    }

    /// What was learned so far of the paths of a lane that is not being read.
    pub(crate) fn learned_of(&self, lane: &Lane) -> Option<Saved> {
        let at = self.newest.get(lane).copied().unwrap_or(0);
        self.shapers.get(at)?.learned_of(lane)
    }

    /// Goes on with what was learned of a lane's paths; false when it makes no sense.
    pub(crate) fn restore(&mut self, lane: &Lane, learned: &Saved) -> bool {
        self.shapers.iter_mut().all(|shaper| shaper.restore(lane, learned))
    }

    /// Appends the events of `all`. `faults` gets why there is none, or nothing, for each of them.
    pub(crate) fn append(&mut self, all: &[Recorded<'_>], lane: &Lane, faults: &mut Vec<Option<Fault>>) {
        if let [only] = self.shapers.as_mut_slice() {
            return only.append(all, lane, faults);
        }
        let mut rest = all;
        while let Some(first) = rest.first() {
            let in_force = match self.in_force(first) {
                Ok(in_force) => in_force,
                Err(fault) => {
                    faults.push(Some(fault));
                    rest = &rest[1..];
                    continue;
                }
            };
            let same = rest.iter().take_while(|one| self.in_force(one).is_ok_and(|other| other == in_force)).count();
            self.append_run(&rest[..same], in_force, lane, faults);
            rest = &rest[same..];
        }
    }

    /// Which key is in force at the time of a request, and whether the one before still is.
    fn in_force(&self, one: &Recorded<'_>) -> Result<(usize, bool), Fault> {
        let time = self.shapers[0].time(&one.request, one.entry, &mut one.request.damaged.clone())?;
        Ok(self.keys.in_force(time))
    }

    /// Requests of the time of one key.
    fn append_run(
        &mut self,
        run: &[Recorded<'_>],
        (at, overlaps): (usize, bool),
        lane: &Lane,
        faults: &mut Vec<Option<Fault>>,
    ) {
        let from = faults.len();
        let places = self.shape(at, run, lane, faults);
        let earlier = match overlaps {
            true => self.shape(at - 1, run, lane, &mut Vec::new()),
            false => vec![None; run.len()],
        };
        debug_assert_eq!(faults.len() - from, run.len());
        let rows = places.into_iter().zip(earlier);
        self.rows.extend(rows.filter_map(|(place, earlier)| Some(Row { place: place?, earlier })));
    }

    /// Where the row of each is, if there is one.
    fn shape(
        &mut self,
        at: usize,
        run: &[Recorded<'_>],
        lane: &Lane,
        faults: &mut Vec<Option<Fault>>,
    ) -> Vec<Option<(usize, usize)>> {
        if at > self.at {
            // The first row by a new key: its shaper goes on with what the one before has learned.
            if let Some(learned) = self.shapers[self.at].learned() {
                self.shapers[self.at + 1..=at].iter_mut().for_each(|shaper| shaper.learn(&learned));
            }
            self.at = at;
        }
        let from = faults.len();
        self.shapers[at].append(run, lane, faults);
        let made = &mut self.made[at];
        let place = |fault: &Option<Fault>| {
            fault.is_none().then(|| {
                *made += 1;
                (at, *made - 1)
            })
        };
        faults[from..].iter().map(place).collect()
    }

    /// The rows since the last call.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        let newest = self.shapers.len() - 1;
        // The usual case of several keys: the last rotation is long over.
        if rows.iter().all(|row| row.place.0 == newest && row.earlier.is_none()) {
            self.made[newest] = 0;
            return self.shapers[newest].finish();
        }
        self.made.fill(0);
        let batches: Vec<RecordBatch> = self.shapers.iter_mut().map(Shaper::finish).collect();
        let sources: Vec<&RecordBatch> = batches.iter().collect();
        let places: Vec<(usize, usize)> = rows.iter().map(|row| row.place).collect();
        let events = interleave_record_batch(&sources, &places).expect("all shapers make rows of one schema");
        with_earlier(events, &batches, &rows)
    }
}

/// The events with the tokens they had under the key before.
fn with_earlier(events: RecordBatch, batches: &[RecordBatch], rows: &[Row]) -> RecordBatch {
    let mut list = ListBuilder::new(StringBuilder::new());
    for (row, place) in rows.iter().enumerate() {
        let mut any = false;
        if let Some((shaper, at)) = place.earlier {
            for name in TOKENS {
                let (now, then) = (text(&events, name, row), text(&batches[shaper], name, at));
                if let Some(then) = then.filter(|then| now.as_deref() != Some(then)) {
                    list.values().append_value(format!("{name}={then}"));
                    any = true;
                }
            }
        }
        list.append(any);
    }
    let at = events.schema().index_of(EARLIER_TOKENS).expect("a column of the event");
    let mut columns: Vec<ArrayRef> = events.columns().to_vec();
    columns[at] = Arc::new(list.finish());
    RecordBatch::try_new(events.schema(), columns).expect("the column has the type of its field")
}

fn text(events: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = events.column_by_name(name)?;
    let texts = arrow::compute::cast(&column.slice(row, 1), &arrow::datatypes::DataType::Utf8).ok()?;
    let texts = texts.as_string::<i32>();
    (!texts.is_null(0)).then(|| texts.value(0).to_owned())
}
