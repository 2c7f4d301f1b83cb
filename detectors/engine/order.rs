//! One order: rows of all lanes by event time, then lane, then offset. Rows are held back until every live lane has
//! passed their time, less the lane's allowed lateness.
//!
//! Promises: which rows are late by their own lane, and the order of all others, depend on the rows alone and not on
//! batches or interleaving. A single lane whose rows come in order costs no sort and no copy. What is held back is
//! compacted, so that a few rows do not keep big batches alive.
//! Never: looks at what is in a row beyond time and offset.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use schemas::Lane;
use serde::{Deserialize, Serialize};

use super::EngineError;
use super::columns::Columns;
use super::run::position;

/// A lane: how far it has come and whether others wait for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LaneState {
    pub lateness_us: i64,
    /// Latest event time so far.
    pub newest: Option<i64>,
    pub idle: bool,
}

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

/// How far folding may go: rows before `before`; `settled` is the event time everything is known up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frontier {
    pub before: i64,
    pub settled: i64,
}

#[derive(Default)]
pub(crate) struct Order {
    pub lanes: BTreeMap<Lane, LaneState>,
    pub held: Vec<Held>,
    /// Rows older than this have been folded.
    pub folded_to: Option<i64>,
    /// Latest event time of any lane, also of lanes that are closed.
    pub newest: Option<i64>,
    /// So many batches were left when small ones were joined last.
    left: usize,
}

impl Order {
    pub fn open(&mut self, lane: &Lane, lateness_us: i64) {
        let state = self.lanes.entry(lane.clone()).or_default();
        state.lateness_us = lateness_us.max(0);
        state.idle = false;
    }

    pub fn held_rows(&self) -> usize {
        self.held.iter().map(|held| held.waiting.len()).sum()
    }

    /// Marks each row of a batch late or not, and moves the lane on. Returns the flags, or `None` when none is late.
    pub fn mark_late(&mut self, lane: &Lane, times: &[i64]) -> Result<Option<Vec<bool>>, EngineError> {
        let folded_to = self.folded_to.unwrap_or(i64::MIN);
        let state = self.lanes.get_mut(lane).ok_or_else(|| EngineError::UnknownLane { lane: lane.to_string() })?;
        let mut any = false;
        let mut newest = state.newest.unwrap_or(i64::MIN);
        let late: Vec<bool> = times
            .iter()
            .map(|&time| {
                let late = time < newest.saturating_sub(state.lateness_us) || time < folded_to;
                newest = newest.max(time);
                any |= late;
                late
            })
            .collect();
        if !times.is_empty() {
            state.newest = Some(newest);
            state.idle = false;
            self.newest = self.newest.max(Some(newest));
        }
        Ok(any.then_some(late))
    }

    /// The lane everybody waits for: the live one that is furthest behind.
    pub fn laggard(&self) -> Option<&Lane> {
        let live = self.lanes.iter().filter(|(_, state)| !state.idle);
        live.min_by_key(|(_, state)| watermark_of(state)).map(|(lane, _)| lane)
    }

    /// How far folding may go now. `None` while a live lane has not shown a row.
    pub fn frontier(&self) -> Option<Frontier> {
        let live: Vec<&LaneState> = self.lanes.values().filter(|state| !state.idle).collect();
        let frontier = if live.is_empty() {
            // Nobody holds back: fold all there is. A row of the same last instant is still in time afterwards.
            let newest = self.newest?;
            Frontier { before: newest.saturating_add(1), settled: newest }
        } else {
            let watermark = live.iter().map(|state| watermark_of(state)).min().unwrap_or(i64::MIN);
            if watermark == i64::MIN {
                return None;
            }
            Frontier { before: watermark, settled: watermark }
        };
        let folded_to = self.folded_to.unwrap_or(i64::MIN);
        Some(Frontier { before: frontier.before.max(folded_to), settled: frontier.settled.max(folded_to) })
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
                let time = columns.times[row as usize];
                if time < before {
                    rows.push((time, lane, columns.offsets[row as usize], index as u32, row));
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
            let times = &held.columns.times[start..end];
            if held.lane != first.lane || times.first().is_some_and(|t| *t < last) || !times.is_sorted() {
                return None;
            }
            last = times.last().copied().unwrap_or(last);
            let ready = times.partition_point(|t| *t < before);
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

fn watermark_of(state: &LaneState) -> i64 {
    state.newest.map_or(i64::MIN, |newest| newest.saturating_sub(state.lateness_us))
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
    let first = &parts[0];
    let lane = first.lane.clone();
    let events = joined_events(&parts.iter().collect::<Vec<_>>())?;
    let waiting = Waiting::Range(0, events.num_rows());
    Ok(Some(Held { lane, columns: compute(&events)?, events, waiting }))
}

fn joined_events(parts: &[&Held]) -> Result<RecordBatch, EngineError> {
    let batches: Result<Vec<RecordBatch>, EngineError> =
        parts.iter().map(|part| compacted(&part.events, &part.waiting.rows())).collect();
    let joined = concat_batches(&schemas::event::arrow_schema(), &batches?)?;
    let columns: Result<Vec<ArrayRef>, ArrowError> = joined.columns().iter().map(repacked).collect();
    Ok(RecordBatch::try_new(joined.schema(), columns?)?)
}

impl Order {
    /// What waits, as one batch per lane: the same however it arrived.
    pub fn waiting_by_lane(&self) -> Result<Vec<(Lane, RecordBatch)>, EngineError> {
        let mut lanes: BTreeMap<&Lane, Vec<&Held>> = BTreeMap::new();
        self.held.iter().for_each(|part| lanes.entry(&part.lane).or_default().push(part));
        lanes.into_iter().map(|(lane, parts)| Ok((lane.clone(), joined_events(&parts)?))).collect()
    }
}

impl Held {
    fn drop_before(&mut self, before: i64) {
        let times = &self.columns.times;
        if let Waiting::Range(start, end) = self.waiting
            && times[start..end].is_sorted()
        {
            self.waiting = Waiting::Range(start + times[start..end].partition_point(|t| *t < before), end);
            return;
        }
        let mut rows = self.waiting.rows();
        rows.retain(|row| times[*row as usize] >= before);
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
