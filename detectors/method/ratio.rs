//! `ratio`: which share of an entity's events match a condition, over a sliding window. Decided each time a pane
//! closes, for the entities that had events in it: while a pane runs, one event more or less is chance.
//!
//! Promises: a decision sees every event before the pane's end and none after. A late event is decided about with the next
//! pane, in every window of its own time; what comes out of a backlog is decided as its own panes end.
//! Never: decides on fewer than `min_events`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::columns::Columns;
use crate::engine::episode::{Finding, Moment};
use crate::engine::keyed::Slot;
use crate::kit::late::{self, Belongs, Late, belongs};
use crate::kit::panes::Panes;
use crate::kit::{Counted, Deciding, Detector, Fate, Method, PaneSpec, Row, Settings, Start, Summary, read};
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};
use crate::where_sql::Predicate;

pub(super) const KEYS: &[&str] = &["of", "at_least", "min_events", "within"];

#[derive(Debug)]
struct Ratio {
    of: Predicate,
    bounds: Bounds,
    within_us: i64,
}

pub(super) fn read(fields: &mut Fields<'_>, _: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let sql = fields.text("of", "a SQL condition")?;
    let of = Predicate::compile(sql).map_err(|message| fields.error("of", message))?;
    let at_least = fields.number("at_least", 0.001, 1.0)?;
    let min_events = fields.whole_number("min_events", 1, read::AT_LEAST_MAX)? as u64;
    Ok(Arc::new(Ratio { of, bounds: Bounds { at_least, min_events }, within_us: read::within(fields)? }))
}

impl Settings for Ratio {
    fn identity(&self) -> String {
        let Bounds { at_least, min_events } = self.bounds;
        format!("ratio {} {at_least} {min_events} {}", self.of.sql(), self.within_us)
    }
    fn window_us(&self) -> i64 {
        self.within_us
    }
    fn needs(&self) -> Vec<&str> {
        self.of.needs().iter().map(String::as_str).collect()
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let of = start.plan.predicate(&self.of);
        start.drive(Shares { panes: PaneSpec::of(self.within_us), within_us: self.within_us, bounds: self.bounds, of })
    }
}

/// Events, and how many of them match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    hits: u32,
    events: u32,
}

impl Summary for Share {
    type Item = bool;

    #[inline]
    fn item(columns: &Columns, argument: usize, row: usize) -> Option<bool> {
        Some(columns.filters[argument].value(row))
    }
    #[inline]
    fn add(&mut self, hit: bool) {
        self.hits = self.hits.saturating_add(u32::from(hit));
        self.events = self.events.saturating_add(1);
    }
    fn merge(&mut self, other: &Share) {
        self.hits = self.hits.saturating_add(other.hits);
        self.events = self.events.saturating_add(other.events);
    }
    #[inline]
    fn value(&self) -> f64 {
        if self.events == 0 { 0.0 } else { f64::from(self.hits) / f64::from(self.events) }
    }
    #[inline]
    fn events(&self) -> u64 {
        u64::from(self.events)
    }
}

/// What is kept of an entity.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Watched {
    window: Panes<Share>,
    /// The pane in which it was last put on the list of those to decide about, counted from 1: a new entity is on no list.
    listed: u32,
    #[serde(skip)]
    behind: Behind,
}

/// What is kept of late events.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Behind {
    /// The earliest pane that late events fell into since it was decided about, counted from 1; or 0.
    pane: u32,
    late: Option<Box<Late<Panes<Share>>>>,
}

/// What is too much, of how many.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    at_least: f64,
    min_events: u64,
}

impl Bounds {
    fn is_breach(&self, share: &Share) -> bool {
        share.events() >= self.min_events && share.value() >= self.at_least
    }

    fn is_harmless(&self, share: &Share) -> bool {
        2 * share.events() < self.min_events || 2.0 * share.value() < self.at_least
    }

    fn finding(&self, share: &Share, panes: PaneSpec, window: u32) -> Finding {
        Finding {
            observed: share.value(),
            expected: None,
            threshold: self.at_least,
            score: share.value() / self.at_least,
            start: panes.start(window),
            end: panes.end(window),
            error: None,
            baseline: None,
        }
    }
}

struct Shares {
    panes: PaneSpec,
    within_us: i64,
    bounds: Bounds,
    /// Where the plan put the condition.
    of: usize,
}

impl Shares {
    /// Counts a row that is older than the running window, in a window of its own; the share there, unless it is older than
    /// that, too.
    fn count_late(&self, matches: bool, slot: &mut Slot<Watched>, row: &mut Row<'_, '_>) -> Option<Share> {
        let (pane, span) = (self.panes.pane(row.hit.time), self.panes.span);
        let late = Late::of(&mut slot.state.behind.late, row.hit.place);
        if u64::from(pane) + u64::from(span) <= u64::from(late.newest) {
            return None;
        }
        let mut ended = None;
        if pane > late.newest {
            let newest = std::mem::replace(&mut late.newest, pane);
            ended = Some((newest, late.window.ending(newest, span)));
        }
        late.window.add_at(pane, span, matches);
        let share = late.window.ending(pane, span);
        if let Some((pane, ended)) = ended.filter(|(_, ended)| self.bounds.is_breach(ended)) {
            row.breach(slot, self.bounds.finding(&ended, self.panes, pane), ended.events(), false);
        }
        Some(share)
    }

    /// The worst of the windows that were to be decided about at the end of a pane; of equal ones the first.
    fn worst(&self, state: &Watched, pane: u32, running: &Share, behind: u32) -> Option<(u32, Share)> {
        let span = self.panes.span;
        let mut windows = vec![(pane, running.clone())];
        if behind > 0 {
            let ends = state.window.ends(behind - 1, span.saturating_mul(2)).filter(|end| *end < pane);
            windows.extend(ends.map(|end| (end, state.window.ending(end, span))));
        }
        windows.extend(state.behind.late.iter().map(|late| (late.newest, late.window.ending(late.newest, span))));
        let breaches = windows.into_iter().filter(|(_, share)| self.bounds.is_breach(share));
        breaches.reduce(|worst, one| if one.1.value() > worst.1.value() { one } else { worst })
    }
}

impl Method for Shares {
    type State = Watched;
    type Item = bool;
    type Late = Behind;
    const LISTS: bool = true;
    const KEEPS_LATE: bool = true;

    fn joins_within_us(&self) -> Option<i64> {
        Some(self.within_us)
    }

    #[inline]
    fn item(&self, columns: &Columns, row: usize) -> Option<bool> {
        Share::item(columns, self.of, row)
    }

    fn begin(&self, _: &Row<'_, '_>) -> Watched {
        Watched::default()
    }

    #[inline]
    fn on_row(&mut self, matches: bool, slot: &mut Slot<Watched>, row: &mut Row<'_, '_>) -> Counted {
        let (pane, running, span) = (self.panes.pane(row.hit.time), self.panes.pane(row.hit.place), self.panes.span);
        let state = &mut slot.state;
        let share = match belongs(pane, running, self.panes) {
            Belongs::Now => {
                state.window.advance(pane, span);
                state.window.add_now(matches);
                state.window.total()
            }
            Belongs::Window => {
                state.window.add_at(pane, span, matches);
                let behind = &mut state.behind.pane;
                *behind = if *behind == 0 { pane + 1 } else { (pane + 1).min(*behind) };
                state.window.ending(pane, span)
            }
            Belongs::Late => match self.count_late(matches, slot, row) {
                Some(share) => share,
                None => return Counted::TooLate,
            },
        };
        if slot.state.listed != running + 1 {
            slot.state.listed = running + 1;
            row.list(slot);
        }
        if !self.bounds.is_harmless(&share) || slot.suspect.is_some() {
            row.gather(slot, None);
        }
        Counted::Yes
    }

    fn decides_at(&self, place: i64) -> i64 {
        self.panes.end(self.panes.pane(place))
    }

    /// Decides about the entities with events in the pane that ends.
    fn decide(&mut self, end: i64, deciding: Deciding<'_, Watched>) -> i64 {
        let (pane, span) = (self.panes.pane(end - 1), self.panes.span);
        for key in deciding.listed.drain(..) {
            let Some(slot) = deciding.entities.get(key) else { continue };
            slot.state.window.advance(pane, span);
            let share = slot.state.window.total();
            let behind = std::mem::take(&mut slot.state.behind.pane);
            let Some(suspect) = slot.suspect.as_deref_mut() else { continue };
            if let Some((window, share)) = self.worst(&slot.state, pane, &share, behind) {
                let finding = self.bounds.finding(&share, self.panes, window);
                deciding.episodes.breach(
                    slot.key,
                    suspect,
                    (Moment::Due(end), finding, share.events()),
                    None,
                    deciding.out,
                );
            } else if self.bounds.is_harmless(&share) && slot.state.behind.late.is_none() {
                deciding.episodes.clear(&mut slot.suspect);
            }
        }
        i64::MAX
    }

    fn closed(&self, state: &mut Watched) {
        *state = Watched { listed: state.listed, ..Watched::default() };
    }

    /// Who has most events that match is worth most.
    fn worth(&self, state: &mut Watched, place: i64) -> u64 {
        u64::from(state.window.ending(self.panes.pane(place), self.panes.span).hits)
    }

    fn sweep(&mut self, slot: &mut Slot<Watched>, time: i64) -> Fate {
        slot.state.window.advance(self.panes.pane(time), self.panes.span);
        late::forget(&mut slot.state.behind.late, time, self.panes.length_us());
        let is_idle = slot.state.behind.late.is_none() && slot.state.window.total().events() == 0;
        if is_idle && !slot.is_open() { Fate::Goes } else { Fate::Stays }
    }

    fn late(state: &Watched) -> Option<&Behind> {
        Some(&state.behind).filter(|behind| behind.pane > 0 || behind.late.is_some())
    }

    fn set_late(state: &mut Watched, late: Behind) {
        state.behind = late;
    }
}
