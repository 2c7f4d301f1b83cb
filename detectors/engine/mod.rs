//! The engine: batches of events in, alerts out.
//!
//! For: the pipeline, which pushes batches lane by lane and asks `advance` for what follows from them.
//! Promises: events are folded in one total order (place, lane, offset), so the alerts are the same, byte for byte,
//! however the events are cut into batches, interrupted and restored (`snapshot`, `restore`), or interleaved across
//! lanes within the allowed lateness. No row moves the time of the others on, and late rows are judged, too (`clock`). Memory is bounded by `EngineLimits`, apart from rows held back, which
//! `held_rows` counts and the pipeline bounds by pausing lanes. What happens by time happens in event time.
//! Never: does I/O, reads a clock, or sees a raw record.

pub(crate) mod binary;
mod cause;
mod clock;
pub(crate) mod columns;
mod crew;
pub(crate) mod episode;
pub(crate) mod evidence;
pub(crate) mod keyed;
pub(crate) mod location;
pub(crate) mod neighbours;
pub(crate) mod network;
mod order;
mod prepared;
mod reload;
pub(crate) mod run;
pub(crate) mod seen;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod time;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use schemas::{Alert, Lane};

use self::cause::Causes;
use self::clock::Rows;
pub use self::clock::WAITS_US_MAX;
use self::columns::{Columns, Plan, offset_column, time_column};
use self::crew::Crew;
use self::order::{Frontier, Held, Order, Ready, with_late};
pub use self::prepared::{Prepared, Wants};
use self::run::{Known, Origin, Run};
use self::seen::SeenKinds;
pub use self::time::{parse_rfc3339, rfc3339};
use crate::kit::{Detector, DetectorStats, Start};
use crate::rule::Rule;

/// Bounds of the engine's memory, each with what happens at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// Entities with state, per detector. At the bound an eighth makes room, least worth first (`keyed`).
    pub entities_per_detector: usize,
    /// Entities that look bad whose evidence is gathered in detail, per detector; others alert with less evidence.
    pub suspects_per_detector: usize,
    /// Entities whose first visit is remembered, per kind of entity, for `first_seen_within`.
    pub first_seen_entities: usize,
    /// An entity not seen for so long is new again.
    pub remember_us: i64,
    /// Key of the hash of entities. Set it from a secret where outsiders choose the values and may try to collide.
    pub hash_key: (u64, u64),
}

impl Default for EngineLimits {
    fn default() -> EngineLimits {
        EngineLimits {
            entities_per_detector: 200_000,
            suspects_per_detector: 5_000,
            first_seen_entities: 500_000,
            remember_us: 7 * 86_400_000_000,
            hash_key: (0x6761_7465_7761_7463, 0x6865_6e67_696e_6531),
        }
    }
}

/// Why the engine refused.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("two detectors have the id `{id}`")]
    DuplicateId { id: String },
    #[error("lane {lane} was not opened")]
    UnknownLane { lane: String },
    #[error("a batch does not have the event schema: column `{column}`")]
    Schema { column: &'static str },
    #[error("snapshot: {0}")]
    Snapshot(String),
    #[error("arrow: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// Figures of the engine since it was made, restores included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    pub events: u64,
    pub folded: u64,
    /// Rows behind the watermark of their lane: folded where it stands, counted in their own time.
    pub late: u64,
    /// Rows whose time is ahead of their lane: folded and counted where that stands.
    pub ahead: u64,
    /// Rows for which a condition could not be evaluated (a division by zero, a cast) and so did not match.
    pub unevaluated: u64,
    pub held: usize,
    /// Every row before this time has been folded.
    pub folded_to: Option<i64>,
    pub first_seen_entities: usize,
    pub detectors: Vec<DetectorStats>,
}

/// The engine. One thread owns it.
pub struct Engine {
    limits: EngineLimits,
    plan: Arc<Plan>,
    seen: SeenKinds,
    detectors: Vec<Box<dyn Detector>>,
    order: Order,
    crew: Crew,
    causes: Causes,
    events: u64,
    folded: u64,
    late: u64,
    unevaluated: u64,
    notes: Vec<String>,
    /// Detectors of which a snapshot held something that they could not take over.
    emptied: Vec<String>,
}

impl Engine {
    /// An engine without any past.
    pub fn new(mut rules: Vec<Arc<Rule>>, limits: EngineLimits) -> Result<Engine, EngineError> {
        rules.sort_by(|a, b| a.id.cmp(&b.id));
        if let Some(pair) = rules.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(EngineError::DuplicateId { id: pair[0].id.clone() });
        }
        let (mut plan, mut seen) = (Plan::new(limits.hash_key), SeenKinds::default());
        let start = |rule: Arc<Rule>| {
            let method = rule.method.clone();
            method.start(Start { rule, plan: &mut plan, seen: &mut seen, limits: &limits })
        };
        let causes = Causes::new(&rules);
        let detectors = rules.into_iter().map(start).collect();
        seen.start(&limits);
        Ok(Engine {
            limits,
            plan: Arc::new(plan),
            seen,
            detectors,
            order: Order::default(),
            crew: Crew::default(),
            causes,
            events: 0,
            folded: 0,
            late: 0,
            unevaluated: 0,
            notes: Vec::new(),
            emptied: Vec::new(),
        })
    }

    /// With so many threads among which detectors are divided; one, if nothing is said. The alerts are the same.
    pub fn on_threads(self, threads: usize) -> Engine {
        Engine { crew: Crew::new(threads), ..self }
    }

    /// A lane is read from now on: the others wait for it until it has rows, is idle or is closed. Opening a lane again
    /// keeps how far it has come.
    pub fn open(&mut self, lane: &Lane, lateness_us: i64) {
        self.order.open(lane, lateness_us);
    }

    /// The lane has nothing to read for now: nobody waits for it until its next row.
    pub fn idle(&mut self, lane: &Lane) {
        if let Some(clock) = self.order.lanes.get_mut(lane) {
            clock.idle = true;
        }
    }

    /// The lane is read to its end at `now`, a time by the clock of this machine: its rows need not wait for further ones to
    /// show how far it is.
    pub fn at_end(&mut self, lane: &Lane, now_us: i64) {
        if let Some(clock) = self.order.lanes.get_mut(lane) {
            clock.at_end(now_us);
        }
    }

    /// Nothing more comes from this lane. What it brought is folded in its turn.
    pub fn close(&mut self, lane: &Lane) {
        self.order.close(lane);
    }

    /// The lanes that are open. After a restore they are those of the snapshot; close the ones that are not read here.
    pub fn lanes(&self) -> Vec<Lane> {
        self.order.lanes.keys().cloned().collect()
    }

    /// What `push_prepared` wants to be computed of a batch.
    pub fn wants(&self) -> Wants {
        Wants::new(&self.plan)
    }

    /// Takes the next rows of a lane. They come back with `late` set.
    pub fn push(&mut self, lane: &Lane, events: RecordBatch) -> Result<RecordBatch, EngineError> {
        let prepared = self.wants().prepare(&events)?;
        self.push_prepared(lane, events, prepared)
    }

    /// Takes the next rows of a lane, of which `prepared` was computed. They come back with `late` set.
    pub fn push_prepared(
        &mut self,
        lane: &Lane,
        events: RecordBatch,
        prepared: Prepared,
    ) -> Result<RecordBatch, EngineError> {
        let (times, observed) = (time_column(&events, "time")?, time_column(&events, "observed_time")?);
        let offsets = offset_column(&events)?;
        let rows = Rows { times: &times, observed: &observed, offsets: &offsets };
        let placed = self.order.place(lane, &rows)?;
        let events = with_late(&events, placed.late.as_deref())?;
        let late = placed.late.map_or(0, |late| late.into_iter().filter(|late| *late).count() as u64);
        self.events += events.num_rows() as u64;
        self.late += late;
        if events.num_rows() > 0 {
            let (mut columns, unevaluated) = prepared.fitting(&self.plan, &events, late > 0)?;
            self.unevaluated += unevaluated as u64;
            if let Some(places) = placed.places {
                columns = columns.standing_at(places);
            }
            self.order.held.push(Held::whole(lane.clone(), columns, events.clone()));
            self.order.move_rows(lane, &placed.moved);
            let plan = &self.plan;
            self.order.join_small(|events| Ok(plan.compute(events)?.0))?;
        }
        Ok(events)
    }

    /// Rows of this lane that were ahead, as far as that is known: of a row some others have to come first.
    pub fn ahead(&self, lane: &Lane) -> u64 {
        self.order.lanes.get(lane).map_or(0, |clock| clock.ahead)
    }

    /// Folds every row that no live lane can precede any more, and tells what follows.
    pub fn advance(&mut self) -> Result<Vec<Alert>, EngineError> {
        self.order.frontier().map_or(Ok(Vec::new()), |frontier| self.advance_to(frontier))
    }

    fn advance_to(&mut self, frontier: Frontier) -> Result<Vec<Alert>, EngineError> {
        let ready = self.order.ready(frontier.before);
        let held = &self.order.held;
        let batches: Vec<&RecordBatch> = held.iter().map(|held| &held.events).collect();
        let (merged, order);
        let parts: Vec<(&Columns, Range<usize>, Origin<'_>)> = match ready {
            Ready::Nothing => Vec::new(),
            Ready::Straight(parts) => {
                let part = |(index, rows)| {
                    let held: &Held = &held[index];
                    (&held.columns, rows, Origin::One(&held.events))
                };
                parts.into_iter().map(part).collect()
            }
            Ready::Merged(rows) => {
                let sources: Vec<&Columns> = held.iter().map(|held| &held.columns).collect();
                order = rows;
                merged = Columns::gather(&sources, &order);
                vec![(&merged, 0..order.len(), Origin::Many { batches: &batches, order: &order })]
            }
        };
        let known: Vec<Vec<Known>> =
            parts.iter().map(|(columns, rows, _)| self.seen.fold(columns, rows.clone())).collect();
        let clients = self.seen.clients();
        let runs = parts.into_iter().zip(&known);
        let runs: Vec<Run<'_>> =
            runs.map(|((columns, rows, origin), known)| Run { columns, rows, origin, known, clients }).collect();
        let folded: usize = runs.iter().map(|run| run.rows.len()).sum();
        self.folded += folded as u64;
        let mut tellings = self.crew.of_each(&mut self.detectors, folded, |detector| {
            let mut told = Vec::new();
            runs.iter().for_each(|run| detector.fold(run, &mut told));
            detector.settle(frontier.settled, &mut told);
            told
        });
        self.order.folded(frontier)?;
        tellings.sort_by(|a, b| a.order().cmp(&b.order()));
        Ok(self.causes.join(tellings, frontier.settled))
    }

    /// The end of the input: closes all lanes, folds what is held back, and does what is due up to the last event.
    pub fn finish(&mut self) -> Result<Vec<Alert>, EngineError> {
        self.lanes().iter().for_each(|lane| self.close(lane));
        self.order.last_frontier().map_or(Ok(Vec::new()), |frontier| self.advance_to(frontier))
    }

    /// Rows that wait for other lanes.
    pub fn held_rows(&self) -> usize {
        self.order.held_rows()
    }

    /// The live lane that is furthest behind, for which the others wait.
    pub fn laggard(&self) -> Option<Lane> {
        self.order.laggard().cloned()
    }

    /// Per row, the ids of the detectors whose `where` it meets.
    pub fn matched(&self, events: &RecordBatch) -> Result<Vec<Vec<String>>, EngineError> {
        check_schema(events)?;
        let mut matched = vec![Vec::new(); events.num_rows()];
        for detector in &self.detectors {
            let rule = detector.rule();
            let matching = rule.filter.as_ref().map(|filter| filter.matches(events).0);
            for (row, ids) in matched.iter_mut().enumerate() {
                if matching.as_ref().is_none_or(|m| m.value(row)) {
                    ids.push(rule.id.clone());
                }
            }
        }
        Ok(matched)
    }

    /// What a restore could not keep, one line each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether a restore dropped what this detector held.
    pub fn was_emptied(&self, detector: &str) -> bool {
        self.emptied.iter().any(|id| id == detector)
    }

    /// Whether it dropped what any of them held.
    pub fn was_any_emptied(&self) -> bool {
        !self.emptied.is_empty()
    }

    pub fn stats(&self) -> EngineStats {
        EngineStats {
            events: self.events,
            folded: self.folded,
            late: self.late,
            ahead: self.order.ahead(),
            unevaluated: self.unevaluated,
            held: self.held_rows(),
            folded_to: self.order.folded_to,
            first_seen_entities: self.seen.entities(),
            detectors: self.detectors.iter().map(|d| d.stats()).collect(),
        }
    }
}

fn check_schema(events: &RecordBatch) -> Result<(), EngineError> {
    let (expected, found) = (schemas::event::arrow_schema(), events.schema());
    if Arc::ptr_eq(&expected, &found) {
        return Ok(());
    }
    for (at, field) in schemas::event::FIELDS.iter().enumerate() {
        let fits =
            found.fields().get(at).is_some_and(|f| f.name() == field.name && *f.data_type() == field.kind.data_type());
        if !fits {
            return Err(EngineError::Schema { column: field.name });
        }
    }
    Ok(())
}

/// The first multiple of `period_us` after `time`.
pub(crate) fn next_multiple(time: i64, period_us: i64) -> i64 {
    (time.div_euclid(period_us) + 1).saturating_mul(period_us)
}
