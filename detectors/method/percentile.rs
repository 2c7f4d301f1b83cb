//! `percentile`: how slow the slowest are, or how large the largest: a percentile of a number (latency, bytes) over the events of a
//! window, against a bound, against what it usually is for the entity, or both.
//!
//! The window is of two halves, each a sketch (`sketch`); it is decided about at the end of each half, and while one runs each time
//! its events have doubled. What chance does is left out by ranks: with n events the value at rank `n p - z sqrt(n p (1 - p))` is one
//! that the true percentile is no smaller than (z is 3, and 4 while the half runs, for it is looked at more than once). If that value is at or
//! above the bar it is a breach. The bar is `at_least`, and, once `warmup` is known, the larger of `min_value` and what the entity's own past
//! lets expect (`usual`); of both the lower one. While an alert is open the percentile itself is compared.
//!
//! Promises: any order of events within the allowed lateness, any cuts and restarts give the same alerts. A late event counts in its own
//! half, for as long as that belongs to a window. Cost: a few shifts and a search among at most 512 bins per event; per entity 100 bytes, and
//! 8 for each bin of the two halves that has an event (of response times mostly some 200).
//! Never: decides on fewer than `min_events`.

mod sketch;
#[cfg(test)]
mod tests;
mod usual;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::sketch::Sketch;
use self::usual::Usual;
use super::baseline::rounded;
use crate::engine::columns::Columns;
use crate::engine::episode::{Finding, Moment};
use crate::engine::evidence::Name;
use crate::engine::keyed::Slot;
use crate::kit::{Counted, Deciding, Detector, Fate, Method, Row, Settings, Start, index_of, read};
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};

pub(super) const KEYS: &[&str] =
    &["of", "p", "window", "at_least", "times", "min_value", "min_events", "history", "warmup"];

/// So many sigmas of chance are left out: at the end of a half, and while it runs.
const CERTAIN: f64 = 3.0;
const CERTAIN_RUNNING: f64 = 4.0;
/// A half with fewer events is not looked at while it runs.
const LOOKS_LEAST: u32 = 8;
/// What lasts so long is the usual.
const ACCEPTED_US: i64 = 3 * 24 * 3_600_000_000;

#[derive(Clone, Debug)]
struct Percentile {
    of: &'static str,
    /// As a part of one.
    p: f64,
    window_us: i64,
    at_least: Option<f64>,
    times: Option<f64>,
    min_value: f64,
    min_events: u64,
    history_us: i64,
    warmup_us: i64,
}

pub(super) fn read(fields: &mut Fields<'_>, _: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let of = read::amount(fields)?;
    let p = fields.number("p", 50.0, 99.9)? / 100.0;
    let window_us = fields.duration("window", "2s", "1d")?;
    if window_us % 2_000_000 != 0 {
        return Err(fields.error("window", "expected an even number of seconds: it is of two halves"));
    }
    let optional = |fields: &mut Fields<'_>, name: &str, low: f64, high: f64| {
        if fields.optional(name).is_none() { Ok(None) } else { fields.number(name, low, high).map(Some) }
    };
    let at_least = optional(fields, "at_least", 1.0, 1e15)?;
    let times = optional(fields, "times", 1.1, 1000.0)?;
    if at_least.is_none() && times.is_none() {
        return Err(fields.error_of_all("expected `at_least`, `times` or both: nothing else says what is too much"));
    }
    let min_value = read::number_or(fields, "min_value", 0.0, 1e15, 0.0)?;
    let min_events = read::whole_number_or(fields, "min_events", 10, read::AT_LEAST_MAX, 40)? as u64;
    let history_us = fields.optional_duration("history", "1h", "90d")?.unwrap_or(7 * 86_400_000_000);
    let warmup_us = fields.optional_duration("warmup", "0s", "31d")?.unwrap_or(3_600_000_000);
    if history_us < window_us.max(warmup_us) {
        return Err(fields.error("history", "expected at least as long as `window` and `warmup`"));
    }
    Ok(Arc::new(Percentile { of, p, window_us, at_least, times, min_value, min_events, history_us, warmup_us }))
}

impl Settings for Percentile {
    fn window_us(&self) -> i64 {
        self.window_us
    }
    fn found_name(&self) -> &'static str {
        "percentile"
    }
    fn needs(&self) -> Vec<&str> {
        vec![self.of]
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let of = start.plan.amount(self.of);
        start.drive(Percentiles { settings: self.clone(), half_us: self.window_us / 2, of })
    }
}

/// What is kept of an entity.
#[derive(Clone, Serialize, Deserialize)]
struct Watched {
    name: Name,
    /// The half that runs, counted from 1, and the one before it.
    half: u32,
    now: Sketch,
    before: Sketch,
    /// The half in which it was last put on the list of those to decide about, counted from 1.
    listed: u32,
    /// Values from here on are too large for a percentile, and how many the running half has.
    alarm: f64,
    large: u32,
    usual: Usual,
}

/// How a window compares.
struct Judged {
    value: f64,
    certain: f64,
    bar: f64,
    events: u64,
}

impl Watched {
    /// Moves on to a half.
    fn advance(&mut self, half: u32) {
        if half <= self.half {
            return;
        }
        let now = std::mem::take(&mut self.now);
        self.before = if half == self.half + 1 { now } else { Sketch::default() };
        (self.half, self.large) = (half, 0);
    }

    fn events(&self) -> u64 {
        u64::from(self.now.many()) + u64::from(self.before.many())
    }
}

struct Percentiles {
    settings: Percentile,
    half_us: i64,
    /// Where the plan put the number.
    of: usize,
}

impl Percentiles {
    /// Halves are counted from 1.
    fn half(&self, time: i64) -> u32 {
        index_of(time, self.half_us).saturating_add(1)
    }

    fn end(&self, half: u32) -> i64 {
        i64::from(half).saturating_mul(self.half_us)
    }

    fn halves(&self, length_us: i64) -> u32 {
        u32::try_from(length_us / self.half_us).unwrap_or(u32::MAX).max(1)
    }

    /// The least that is too much for an entity, where anything is.
    fn bar(&self, usual: &Usual) -> f64 {
        let s = &self.settings;
        let is_known = s.warmup_us == 0 || usual.windows() >= self.halves(s.warmup_us);
        let times = s.times.filter(|_| usual.windows() > 0 && is_known);
        let usual = times.map(|times| usual.bound(times).max(s.min_value));
        usual.into_iter().chain(s.at_least).fold(f64::INFINITY, f64::min)
    }

    /// The window that ends with the running half; `None` when it has too few events.
    fn judge(&self, state: &Watched, sigmas: f64) -> Option<Judged> {
        if state.events() < self.settings.min_events {
            return None;
        }
        let mut all = state.before.clone();
        all.merge(&state.now);
        let value = all.ranked(all.rank(self.settings.p))?;
        let certain = all.ranked(all.rank_at_least(self.settings.p, sigmas))?;
        Some(Judged { value, certain, bar: self.bar(&state.usual), events: state.events() })
    }

    fn finding(&self, judged: &Judged, state: &Watched, end: i64) -> Finding {
        let is_known = state.usual.windows() > 0 && self.settings.times.is_some();
        let usual = is_known.then(|| rounded(state.usual.value()));
        let shown = json!({
            "p": rounded(self.settings.p * 100.0),
            "window_seconds": self.settings.window_us / 1_000_000,
            "certain": rounded(judged.certain),
            "usual": usual,
            "windows": state.usual.windows(),
        });
        Finding {
            observed: judged.value,
            expected: usual,
            threshold: rounded(judged.bar),
            score: rounded(judged.value / judged.bar),
            start: end.saturating_sub(self.settings.window_us),
            end,
            error: None,
            baseline: Some(shown.to_string()),
        }
    }
}

impl Method for Percentiles {
    type State = Watched;
    type Item = u64;
    type Late = ();
    const LISTS: bool = true;
    const KEEPS_LATE: bool = false;

    fn sweep_us(&self) -> i64 {
        (self.settings.history_us / 4).max(self.settings.window_us)
    }

    #[inline]
    fn item(&self, columns: &Columns, row: usize) -> Option<u64> {
        u64::try_from(columns.amounts[self.of][row]).ok()
    }

    #[inline]
    fn accepts(&self, time: i64, place: i64) -> bool {
        time >= place || self.half(time) + 1 >= self.half(place)
    }

    fn begin(&self, row: &Row<'_, '_>) -> Watched {
        let usual = Usual::default();
        Watched {
            name: row.name(),
            half: self.half(row.hit.place),
            now: Sketch::default(),
            before: Sketch::default(),
            listed: 0,
            alarm: self.bar(&usual),
            large: 0,
            usual,
        }
    }

    fn on_row(&mut self, value: u64, slot: &mut Slot<Watched>, row: &mut Row<'_, '_>) -> Counted {
        let running = self.half(row.hit.place);
        let state = &mut slot.state;
        state.advance(running);
        let half = if self.half(row.hit.time) == running { &mut state.now } else { &mut state.before };
        half.add(value);
        let is_large = value as f64 >= state.alarm;
        state.large += u32::from(is_large);
        // Half of those that it takes at least.
        let enough = 0.5 * (1.0 - self.settings.p) * self.settings.min_events as f64;
        let alarming = is_large && f64::from(state.large) >= enough.max(2.0);
        if state.listed != running {
            state.listed = running;
            row.list(slot);
        }
        if alarming || slot.suspect.is_some() {
            let name = slot.suspect.is_none().then(|| slot.state.name.clone());
            row.gather(slot, name.as_ref());
        }
        let many = slot.state.now.many();
        if slot.suspect.is_none() || many < LOOKS_LEAST || !many.is_power_of_two() {
            return Counted::Yes;
        }
        let judged = self.judge(&slot.state, CERTAIN_RUNNING).filter(|judged| judged.certain >= judged.bar);
        if let Some(judged) = judged {
            let finding = self.finding(&judged, &slot.state, self.end(running));
            row.breach(slot, finding, judged.events, true);
        }
        Counted::Yes
    }

    fn decides_at(&self, place: i64) -> i64 {
        self.end(self.half(place))
    }

    fn decide(&mut self, end: i64, deciding: Deciding<'_, Watched>) -> i64 {
        let s = &self.settings;
        let (history, accepted) = (self.halves(s.history_us), self.halves(ACCEPTED_US));
        for key in deciding.listed.drain(..) {
            let Some(slot) = deciding.entities.get(key) else { continue };
            let (is_open, judged) = (slot.is_open(), self.judge(&slot.state, CERTAIN));
            let breach = judged.as_ref().filter(|j| j.certain >= j.bar || is_open && j.value >= j.bar);
            if let Some(judged) = breach {
                let finding = self.finding(judged, &slot.state, end);
                slot.state.usual.hold(judged.value, accepted);
                let name = &slot.state.name;
                let suspect = slot.suspect.get_or_insert_with(|| deciding.episodes.suspect(name.clone()));
                deciding.episodes.breach(key, suspect, (Moment::Due(end), finding, judged.events), None, deciding.out);
            } else if let Some(judged) = judged {
                if !is_open && s.times.is_some() {
                    slot.state.usual.teach(judged.value, s.times.unwrap_or(1.0), history);
                }
                deciding.episodes.clear(&mut slot.suspect);
            }
            slot.state.alarm = self.bar(&slot.state.usual);
        }
        i64::MAX
    }

    fn closed(&self, state: &mut Watched) {
        state.usual.let_go();
    }

    /// Whose past is longest is worth most.
    fn worth(&self, state: &mut Watched, _: i64) -> u64 {
        u64::from(state.usual.windows())
    }

    fn sweep(&mut self, slot: &mut Slot<Watched>, time: i64) -> Fate {
        if slot.is_open() {
            return Fate::Stays;
        }
        let idle = self.half(time).saturating_sub(slot.state.half);
        if idle <= 1 {
            return Fate::Stays;
        }
        // No window holds them any more.
        (slot.state.now, slot.state.before) = (Sketch::default(), Sketch::default());
        if idle > self.halves(self.settings.history_us) { Fate::Goes } else { Fate::Harmless }
    }
}
