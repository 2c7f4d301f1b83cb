//! `sequence`: ordered steps within a time, such as ten failed log-ins of an account and then one that succeeds. Each step is a
//! condition that so many events have to meet; the events of a step come after all those of the step before.
//!
//! Promises: it alerts on the very row that completes a sequence, and found are the same sequences that a search through all
//! subsequences would find first (`chain`). Rows of a complete one are in no other. With `by`, all its events have the same values there; no
//! event that meets `without` comes in between. Only an event of the first step makes an entity known.
//! A late row is an event of its own time as long as nothing later of its entity has come; else it is one among late ones (a
//! backlog is judged as if it had come alone), and too late if one of these was later.
//! Never: looks back at events.

mod chain;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::chain::{Chain, Meets, Pattern};
use crate::engine::columns::Columns;
use crate::engine::episode::Finding;
use crate::engine::keyed::Slot;
use crate::kit::{Counted, Detector, Fate, Method, Row, Settings, Start, read};
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};
use crate::where_sql::Predicate;

pub(super) const KEYS: &[&str] = &["steps", "within", "by", "without"];
const STEP_KEYS: &[&str] = &["where", "times", "different"];

/// Steps of a sequence, and events of all steps together.
const STEPS_MAX: usize = 8;
const EVENTS_MAX: usize = 64;
/// Values of `by` that are watched of one entity. Beyond it goes the one of which nothing came for longest.
const BY_MAX: usize = 8;
/// In the place of a step: the row comes in between.
const WITHOUT: u16 = 1 << 15;

#[derive(Debug)]
struct Step {
    of: Predicate,
    times: usize,
    different: Vec<&'static str>,
}

#[derive(Debug)]
struct Sequence {
    steps: Vec<Step>,
    within_us: i64,
    by: Vec<&'static str>,
    without: Option<Predicate>,
}

pub(super) fn read(fields: &mut Fields<'_>, _: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let expected = format!("a list of 2 to {STEPS_MAX} steps, each with `where`, and `times` if more than one");
    let listed = fields.mappings("steps", &expected)?;
    if !(2..=STEPS_MAX).contains(&listed.len()) {
        return Err(fields.error("steps", format!("expected {expected}; found {} of them", listed.len())));
    }
    let steps: Result<Vec<Step>, RuleError> =
        listed.into_iter().enumerate().map(|(at, step)| read_step(step, at == 0)).collect();
    let steps = steps?;
    let events: usize = steps.iter().map(|step| step.times).sum();
    if events > EVENTS_MAX {
        let message = format!("expected at most {EVENTS_MAX} events in all steps together, found {events}");
        return Err(fields.error("steps", message));
    }
    let within_us = read::within(fields)?;
    let by = if fields.optional("by").is_some() { read::values_of(fields, "by")? } else { Vec::new() };
    let without = fields.optional_text("without", "a SQL condition")?.map(Predicate::compile).transpose();
    let without = without.map_err(|message| fields.error("without", message))?;
    Ok(Arc::new(Sequence { steps, within_us, by, without }))
}

fn read_step(mut fields: Fields<'_>, is_first: bool) -> Result<Step, RuleError> {
    let sql = fields.text("where", "a SQL condition")?;
    let of = Predicate::compile(sql).map_err(|message| fields.error("where", message))?;
    let times = read::whole_number_or(&mut fields, "times", 1, EVENTS_MAX as i64, 1)? as usize;
    let mut different = Vec::new();
    if fields.optional("different").is_some() {
        different = read::values_of(&mut fields, "different")?;
        if !is_first || times < 2 {
            return Err(fields.error("different", "expected only in the first step, with `times` of at least 2"));
        }
    }
    fields.done(STEP_KEYS)?;
    Ok(Step { of, times, different })
}

impl Settings for Sequence {
    fn identity(&self) -> String {
        let step = |step: &Step| format!("{} x{} {:?}", step.of.sql(), step.times, step.different);
        let steps: Vec<String> = self.steps.iter().map(step).collect();
        let without = self.without.as_ref().map_or("", Predicate::sql);
        format!("sequence {steps:?} {} {:?} {without:?}", self.within_us, self.by)
    }
    fn window_us(&self) -> i64 {
        self.within_us
    }
    fn decides_on_rows(&self) -> bool {
        true
    }
    fn needs(&self) -> Vec<&str> {
        let steps = self.steps.iter().flat_map(|step| step.of.needs()).map(String::as_str);
        let different = self.steps.iter().flat_map(|step| read::needs_of_values(&step.different));
        steps.chain(different).chain(read::needs_of_values(&self.by)).collect()
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let values =
            |plan: &mut crate::engine::columns::Plan, of: &[&'static str]| (!of.is_empty()).then(|| plan.values(of));
        let first = &self.steps[0];
        let event_steps = self.steps.iter().zip(0..).flat_map(|(step, at)| std::iter::repeat_n(at, step.times));
        let different = if first.different.is_empty() { 0 } else { first.times };
        let pattern = Pattern { steps: event_steps.collect(), different, within_us: self.within_us };
        let half = pattern.steps.len().div_ceil(2).max(2);
        let method = Sequences {
            suspicious: half,
            steps: self.steps.iter().map(|step| start.plan.predicate(&step.of)).collect(),
            without: self.without.as_ref().map(|without| start.plan.predicate(without)),
            different: values(start.plan, &first.different),
            by: values(start.plan, &self.by),
            pattern,
        };
        start.drive(method)
    }
}

/// Sequences that have begun, in one order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Begun {
    /// The time of the latest row.
    newest: i64,
    /// By value of `by`, or 0: when its latest row was, and what has begun.
    chains: Vec<(u32, i64, Chain)>,
}

impl Begun {
    /// The chain of a value, if it has one; made where `begins`.
    fn chain(&mut self, (value, earlier): (u32, u32), time: i64, begins: bool) -> Option<usize> {
        let is = |known: u32| known == value || earlier != 0 && known == earlier;
        let found = self.chains.iter().position(|(known, ..)| is(*known));
        if found.is_none() && !begins {
            return None;
        }
        let at = found.unwrap_or_else(|| {
            if self.chains.len() == BY_MAX {
                let oldest = (0..BY_MAX).min_by_key(|at| self.chains[*at].1).unwrap_or(0);
                self.chains.remove(oldest);
            }
            // Nearly all have one.
            self.chains.reserve_exact(1);
            self.chains.push((value, time, Chain::default()));
            self.chains.len() - 1
        });
        (self.chains[at].0, self.chains[at].1) = (value, time);
        Some(at)
    }

    /// Notes a row, and says when the sequence began that it completes.
    fn put(&mut self, pattern: &Pattern, event: Event, time: i64) -> Option<i64> {
        self.newest = time;
        let at = self.chain(event.by, time, event.begins())?;
        if event.meets.steps == WITHOUT {
            self.chains.remove(at);
            return None;
        }
        let began = self.chains[at].2.put(pattern, event.meets, time)?;
        self.chains.remove(at);
        Some(began)
    }

    fn progress(&self, pattern: &Pattern, time: i64) -> usize {
        self.chains.iter().map(|(.., chain)| chain.progress(pattern, time)).max().unwrap_or(0)
    }

    /// Drops what no row at or after `time` can complete.
    fn forget(&mut self, pattern: &Pattern, time: i64) {
        self.chains.retain(|(.., chain)| chain.progress(pattern, time) > 0);
        if self.chains.is_empty() {
            self.chains = Vec::new();
        }
    }
}

/// What is kept of an entity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Watched {
    now: Begun,
    /// Among rows that came after later ones; with where the last of them stood.
    late: Option<Box<(Begun, i64)>>,
    /// Sequences since its alert opened.
    told: u32,
}

/// What one row contributes.
#[derive(Clone, Copy, Debug)]
struct Event {
    meets: Meets,
    by: (u32, u32),
}

impl Event {
    fn begins(self) -> bool {
        self.meets.steps & 1 != 0
    }
}

struct Sequences {
    pattern: Pattern,
    /// From so many events on an entity looks bad.
    suspicious: usize,
    /// Where the plan put the conditions, and the values.
    steps: Vec<usize>,
    without: Option<usize>,
    different: Option<usize>,
    by: Option<usize>,
}

impl Sequences {
    /// The longest of what has begun, at `time` by the rows in time, and at the latest row by the late ones.
    fn progress(&self, state: &Watched, time: i64) -> usize {
        let late = state.late.as_ref().map_or(0, |late| late.0.progress(&self.pattern, late.0.newest));
        state.now.progress(&self.pattern, time).max(late)
    }
}

impl Method for Sequences {
    type State = Watched;
    type Item = Event;
    type Late = ();
    const LISTS: bool = false;
    const KEEPS_LATE: bool = false;

    #[inline]
    fn item(&self, columns: &Columns, row: usize) -> Option<Event> {
        let meets = |filter: usize| columns.filters[filter].value(row);
        let mut steps = 0;
        for (at, filter) in self.steps.iter().enumerate() {
            steps |= u16::from(meets(*filter)) << at;
        }
        if self.without.is_some_and(meets) {
            steps = WITHOUT;
        }
        let of = self.different.filter(|_| steps & 1 != 0 && steps != WITHOUT);
        let value = of.and_then(|of| columns.value(of, row));
        if of.is_some() && value.is_none() {
            steps &= !1;
        }
        if steps == 0 {
            return None;
        }
        let by = self.by.map_or(Some((0, 0)), |by| columns.value(by, row))?;
        let (value, earlier) = value.unwrap_or_default();
        Some(Event { meets: Meets { steps, value, earlier }, by })
    }

    #[inline]
    fn begins(&self, event: Event) -> bool {
        event.begins()
    }

    fn begin(&self, _: &Row<'_, '_>) -> Watched {
        Watched::default()
    }

    fn on_row(&mut self, event: Event, slot: &mut Slot<Watched>, row: &mut Row<'_, '_>) -> Counted {
        let (time, place) = (row.hit.time, row.hit.place);
        let state = &mut slot.state;
        let began = if time >= state.now.newest {
            state.now.put(&self.pattern, event, time)
        } else {
            let (late, touched) = &mut **state.late.get_or_insert_default();
            if time < late.newest {
                return Counted::TooLate;
            }
            *touched = place;
            late.put(&self.pattern, event, time)
        };
        let looks_bad = self.progress(&slot.state, time) >= self.suspicious;
        if looks_bad || began.is_some() || slot.suspect.is_some() {
            row.gather(slot, None);
        }
        if let Some(start) = began {
            slot.state.told = slot.state.told.saturating_add(1);
            let observed = f64::from(slot.state.told);
            let finding = Finding {
                observed,
                expected: None,
                threshold: 1.0,
                score: observed,
                start,
                end: time,
                error: None,
                baseline: None,
            };
            row.breach(slot, finding, self.pattern.steps.len() as u64, true);
        } else if !looks_bad {
            row.clear(slot);
        }
        Counted::Yes
    }

    fn closed(&self, state: &mut Watched) {
        let newest = state.now.newest;
        *state = Watched::default();
        state.now.newest = newest;
    }

    /// Who has come furthest is worth most.
    fn worth(&self, state: &mut Watched, place: i64) -> u64 {
        self.progress(state, place) as u64
    }

    fn sweep(&mut self, slot: &mut Slot<Watched>, time: i64) -> Fate {
        if slot.is_open() {
            return Fate::Stays;
        }
        let state = &mut slot.state;
        state.now.forget(&self.pattern, time);
        state.late.take_if(|late| late.1.saturating_add(self.pattern.within_us) <= time);
        if self.progress(state, time) >= self.suspicious {
            Fate::Stays
        } else if state.late.is_none() && state.now.chains.is_empty() {
            Fate::Goes
        } else {
            Fate::Harmless
        }
    }
}
