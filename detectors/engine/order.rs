//! One order: rows of all lanes by place, then lane, then offset; a row's place is its event time unless it is late or
//! ahead (`clock.rs`). Rows are held back until every live lane has passed their place, less the lane's allowed lateness.
//!
//! Promises: the places of a lane's rows, and the order of all, depend on the rows alone and not on batches or interleaving.
//! A single lane whose rows come in order costs no sort and no copy. What is held back is compacted, so that a few rows do
//! not keep big batches alive.
//! Never: looks at what is in a row beyond times and offset.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schemas::Lane;

use super::EngineError;
use super::clock::{LaneClock, Moved, Placed, Rows};
use super::columns::{Columns, time_column};
use super::run::position;

/// Rows of one batch that wait.
pub(crate) struct Held {
    pub lane: Lane,
    pub events: RecordBatch,
    pub columns: Columns,
    pub waiting: Waiting,
}

/// Which rows of a batch wait, in offset order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Waiting {
    Range(usize, usize),
    Rows(Vec<u32>),
}

impl Waiting {
    pub fn len(&self) -> usize {
        match self {
            Waiting::Range(start, end) => end - start,
            Waiting::Rows(rows) => rows.len(),
        }
    }

    fn has(&self, row: u32) -> bool {
        match self {
            Waiting::Range(start, end) => (*start as u32..*end as u32).contains(&row),
            Waiting::Rows(rows) => rows.binary_search(&row).is_ok(),
        }
    }

    pub fn rows(&self) -> Vec<u32> {
        match self {
            Waiting::Range(start, end) => (*start as u32..*end as u32).collect(),
            Waiting::Rows(rows) => rows.clone(),
        }
    }
}

/// What can be folded now.
pub(crate) enum Ready {
    Nothing,
    /// Parts of batches that follow one another: (index into `held`, rows).
    Straight(Vec<(usize, std::ops::Range<usize>)>),
    /// Rows of several batches in order: (index into `held`, row).
    Merged(Vec<(u32, u32)>),
}

/// How far folding may go: rows whose place is before `before`; `settled` is the event time everything is known up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frontier {
    pub before: i64,
    pub settled: i64,
}

#[derive(Default)]
pub(crate) struct Order {
    pub lanes: BTreeMap<Lane, LaneClock>,
    pub held: Vec<Held>,
    /// Rows that stand before this have been folded.
    pub folded_to: Option<i64>,
    /// Rows ahead, of lanes that are closed.
    pub ahead_of_closed: u64,
    /// So many batches were left when small ones were joined last.
    left: usize,
}

impl Order {
    pub fn open(&mut self, lane: &Lane, lateness_us: i64) {
        let clock = self.lanes.entry(lane.clone()).or_default();
        clock.set_lateness(lateness_us);
        clock.idle = false;
    }

    /// Nothing more comes from this lane: what is ahead among its last rows is known now.
    pub fn close(&mut self, lane: &Lane) {
        let Some(mut clock) = self.lanes.remove(lane) else { return };
        let moved = clock.end(self.folded_to());
        self.move_rows(lane, &moved);
        self.ahead_of_closed += clock.ahead;
    }

    pub fn held_rows(&self) -> usize {
        self.held.iter().map(|held| held.waiting.len()).sum()
    }

    /// Rows ahead so far.
    pub fn ahead(&self) -> u64 {
        self.ahead_of_closed + self.lanes.values().map(|clock| clock.ahead).sum::<u64>()
    }

    fn folded_to(&self) -> i64 {
        self.folded_to.unwrap_or(i64::MIN)
    }

    /// Moves the lane on, and says where the rows of its next batch stand and which of them are late.
    pub fn place(&mut self, lane: &Lane, rows: &Rows<'_>) -> Result<Placed, EngineError> {
        let folded_to = self.folded_to();
        let clock = self.lanes.get_mut(lane).ok_or_else(|| EngineError::UnknownLane { lane: lane.to_string() })?;
        if !rows.times.is_empty() {
            clock.idle = false;
        }
        Ok(clock.take(rows, folded_to))
    }

    /// Rows that turned out to be ahead get their places, unless they were folded meanwhile.
    pub fn move_rows(&mut self, lane: &Lane, moved: &[Moved]) {
        for row in moved {
            let mut batches = self.held.iter_mut().rev().filter(|held| held.lane == *lane);
            batches.find_map(|held| held.move_row(row));
        }
    }

    /// The lane everybody waits for: of those that are waited for, the one that is furthest behind.
    pub fn laggard(&self) -> Option<&Lane> {
        LaneClock::awaited(self.lanes.iter()).min_by_key(|(_, clock)| clock.watermark()).map(|(lane, _)| lane)
    }

    /// How far folding may go now. `None` while a lane that is waited for has not shown how far it is.
    pub fn frontier(&self) -> Option<Frontier> {
        let frontier = match LaneClock::awaited(self.lanes.iter()).map(|(_, clock)| clock.watermark()).min() {
            Some(i64::MIN) => return None,
            Some(watermark) => Frontier { before: watermark, settled: watermark },
            None => {
                // Nobody holds back: fold all there is. A row of the same last instant is still in time afterwards.
                let newest = self.newest_arrived()?;
                Frontier { before: newest.saturating_add(1), settled: newest }
            }
        };
        let folded_to = self.folded_to();
        Some(Frontier { before: frontier.before.max(folded_to), settled: frontier.settled.max(folded_to) })
    }

    /// The end of the input: everything is folded, wherever it stands.
    pub fn last_frontier(&self) -> Option<Frontier> {
        Some(Frontier { before: i64::MAX, settled: self.newest_arrived()? })
    }

    /// The latest place that is known, of what has arrived: a row that is ahead of its arrival is no reason to go there.
    /// Lanes that are read to their end know a time, too.
    fn newest_arrived(&self) -> Option<i64> {
        let held = self.held.iter().filter_map(Held::newest_arrived).max();
        let ended = self.lanes.values().map(LaneClock::watermark).filter(|watermark| *watermark > i64::MIN).min();
        held.max(ended).max(self.folded_to)
    }

    /// The rows before `before`, in total order.
    pub fn ready(&self, before: i64) -> Ready {
        if self.held.is_empty() {
            return Ready::Nothing;
        }
        if let Some(straight) = self.straight(before) {
            return if straight.is_empty() { Ready::Nothing } else { Ready::Straight(straight) };
        }
        let mut lanes: Vec<&Lane> = self.held.iter().map(|held| &held.lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        let mut rows: Vec<(i64, u32, i64, u32, u32)> = Vec::new();
        for (index, held) in self.held.iter().enumerate() {
            let lane = lanes.partition_point(|lane| **lane < held.lane) as u32;
            let columns = &held.columns;
            let mut take = |row: u32| {
                let place = columns.places[row as usize];
                if place < before {
                    rows.push((place, lane, columns.offsets[row as usize], index as u32, row));
                }
            };
            match &held.waiting {
                Waiting::Range(start, end) => (*start as u32..*end as u32).for_each(&mut take),
                Waiting::Rows(waiting) => waiting.iter().copied().for_each(&mut take),
            }
        }
        rows.sort();
        if rows.is_empty() { Ready::Nothing } else { Ready::Merged(rows.into_iter().map(|r| (r.3, r.4)).collect()) }
    }

    /// The parts to fold when they need no merge: one lane, in order within and across its batches.
    fn straight(&self, before: i64) -> Option<Vec<(usize, std::ops::Range<usize>)>> {
        let first = self.held.first()?;
        let mut parts = Vec::with_capacity(self.held.len());
        let mut last = i64::MIN;
        for (index, held) in self.held.iter().enumerate() {
            let Waiting::Range(start, end) = held.waiting else { return None };
            let places = &held.columns.places[start..end];
            if held.lane != first.lane || places.first().is_some_and(|place| *place < last) || !places.is_sorted() {
                return None;
            }
            last = places.last().copied().unwrap_or(last);
            let ready = places.partition_point(|place| *place < before);
            if ready > 0 {
                parts.push((index, start..start + ready));
            }
        }
        Some(parts)
    }

    /// Joins small batches that wait one after the other, so that many of them do not cost more than their rows. It begins
    /// when they have doubled, so that each row is joined a few times only, however many lanes there are.
    pub fn join_small(
        &mut self,
        compute: impl Fn(&RecordBatch) -> Result<Columns, EngineError>,
    ) -> Result<(), EngineError> {
        const SMALL: usize = 1024;
        const PARTS_MAX: usize = 64;
        if self.held.len() <= PARTS_MAX.max(2 * self.left) {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        for (_, parts) in by_lane(held) {
            let mut small: Vec<Held> = Vec::new();
            for part in parts {
                if part.waiting.len() >= SMALL || small.iter().map(|p| p.waiting.len()).sum::<usize>() >= SMALL {
                    self.held.extend(joined(std::mem::take(&mut small), &compute)?);
                }
                if part.waiting.len() >= SMALL { self.held.push(part) } else { small.push(part) }
            }
            self.held.extend(joined(small, &compute)?);
        }
        self.left = self.held.len();
        Ok(())
    }

    /// Lets go of the rows before `before`, which have been folded.
    pub fn folded(&mut self, frontier: Frontier) -> Result<(), EngineError> {
        self.folded_to = Some(frontier.settled);
        let held = std::mem::take(&mut self.held);
        for mut held in held {
            held.drop_before(frontier.before);
            if held.waiting.len() > 0 {
                held.compact()?;
                self.held.push(held);
            }
        }
        self.left = self.left.min(self.held.len());
        Ok(())
    }
}

/// Batches by lane, in order of arrival within each.
fn by_lane(held: Vec<Held>) -> BTreeMap<Lane, Vec<Held>> {
    let mut lanes: BTreeMap<Lane, Vec<Held>> = BTreeMap::new();
    held.into_iter().for_each(|part| lanes.entry(part.lane.clone()).or_default().push(part));
    lanes
}

/// The waiting rows of several batches of one lane as one batch.
fn joined(
    mut parts: Vec<Held>,
    compute: impl Fn(&RecordBatch) -> Result<Columns, EngineError>,
) -> Result<Option<Held>, EngineError> {
    if parts.len() <= 1 {
        return Ok(parts.pop());
    }
    let lane = parts[0].lane.clone();
    let parts: Vec<&Held> = parts.iter().collect();
    let events = joined_events(&parts)?;
    Ok(Some(Held::whole(lane, compute(&events)?.standing_at(joined_places(&parts)), events)))
}

fn joined_places(parts: &[&Held]) -> Vec<i64> {
    let places = |part: &&Held| {
        let rows = part.waiting.rows();
        rows.into_iter().map(|row| part.columns.places[row as usize]).collect::<Vec<i64>>()
    };
    parts.iter().flat_map(places).collect()
}

fn joined_events(parts: &[&Held]) -> Result<RecordBatch, EngineError> {
    let batches: Result<Vec<RecordBatch>, EngineError> =
        parts.iter().map(|part| compacted(&part.events, &part.waiting.rows())).collect();
    let joined = concat_batches(&schemas::event::arrow_schema(), &batches?)?;
    let columns: Result<Vec<ArrayRef>, ArrowError> = joined.columns().iter().map(repacked).collect();
    Ok(RecordBatch::try_new(joined.schema(), columns?)?)
}

impl Order {
    /// What waits, as one batch per lane, and where its rows stand: the same however it arrived.
    pub fn waiting_by_lane(&self) -> Result<Vec<(Lane, RecordBatch, Vec<i64>)>, EngineError> {
        let mut lanes: BTreeMap<&Lane, Vec<&Held>> = BTreeMap::new();
        self.held.iter().for_each(|part| lanes.entry(&part.lane).or_default().push(part));
        let one = |(lane, parts): (&Lane, Vec<&Held>)| {
            let events = joined_events(&parts)?;
            Ok((lane.clone(), events, joined_places(&parts)))
        };
        lanes.into_iter().map(one).collect()
    }
}

impl Held {
    /// A batch of which every row waits.
    pub fn whole(lane: Lane, columns: Columns, events: RecordBatch) -> Held {
        let waiting = Waiting::Range(0, events.num_rows());
        Held { lane, events, columns, waiting }
    }

    /// The latest place of what waits, as far as it is no later than its arrival.
    fn newest_arrived(&self) -> Option<i64> {
        let observed = time_column(&self.events, "observed_time").ok()?;
        let rows = self.waiting.rows().into_iter().map(|row| row as usize);
        rows.map(|row| self.columns.places[row].min(observed[row])).max()
    }

    /// Moves the row, if it is here and waits.
    fn move_row(&mut self, moved: &Moved) -> Option<()> {
        let (offsets, places) = (&self.columns.offsets, &mut self.columns.places);
        let first = offsets.partition_point(|offset| *offset < moved.offset);
        let of_record = (first..offsets.len()).take_while(|row| offsets[*row] == moved.offset);
        let row = of_record.into_iter().find(|row| places[*row] == moved.from && self.waiting.has(*row as u32))?;
        places[row] = moved.to;
        Some(())
    }

    fn drop_before(&mut self, before: i64) {
        let places = &self.columns.places;
        if let Waiting::Range(start, end) = self.waiting
            && places[start..end].is_sorted()
        {
            self.waiting = Waiting::Range(start + places[start..end].partition_point(|place| *place < before), end);
            return;
        }
        let mut rows = self.waiting.rows();
        rows.retain(|row| places[*row as usize] >= before);
        self.waiting = Waiting::Rows(rows);
    }

    /// Copies the waiting rows out when they are less than half of their batch.
    fn compact(&mut self) -> Result<(), EngineError> {
        if 2 * self.waiting.len() >= self.events.num_rows() {
            return Ok(());
        }
        let rows = self.waiting.rows();
        self.events = compacted(&self.events, &rows)?;
        let order: Vec<(u32, u32)> = rows.iter().map(|row| (0, *row)).collect();
        self.columns = Columns::gather(&[&self.columns], &order);
        self.waiting = Waiting::Range(0, rows.len());
        Ok(())
    }
}

/// The rows alone: with dictionaries cut down to the values they use.
pub(crate) fn compacted(events: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, EngineError> {
    let taken = take_record_batch(events, &UInt32Array::from(rows.to_vec()))?;
    let columns: Result<Vec<ArrayRef>, ArrowError> = taken.columns().iter().map(|c| repacked(c)).collect();
    Ok(RecordBatch::try_new(taken.schema(), columns?)?)
}

fn repacked(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Dictionary(_, values) => cast(&cast(column, values)?, column.data_type()),
        _ => Ok(column.clone()),
    }
}

/// The batch with its `late` column replaced.
pub(crate) fn with_late(events: &RecordBatch, late: Option<&[bool]>) -> Result<RecordBatch, EngineError> {
    let flags = match late {
        Some(flags) => BooleanArray::from(flags.to_vec()),
        None => BooleanArray::from(vec![false; events.num_rows()]),
    };
    let mut columns = events.columns().to_vec();
    columns[position("late")] = Arc::new(flags);
    Ok(RecordBatch::try_new(events.schema(), columns)?)
}
