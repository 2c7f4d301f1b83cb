//! The windows of correlations while events come.
//!
//! Promises: what a window says is kept up as matches come and go, so that an event costs no walk over its window (but for
//! percentiles, whose sorted values are shifted). At most `REMEMBERED_MAX` matches per correlation are remembered.
//! Never: goes back in time: an event that is older than the one before counts as of that one's time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::super::fields::{Held, View};
use super::super::limits::REMEMBERED_MAX;
use super::{Condition, Correlation, Kind, Source};

/// A correlation that holds at an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Its number.
    pub correlation: usize,
    /// What the caller called the event.
    pub tag: u64,
}

type GroupKey = Arc<[String]>;

/// The state of all correlations of a set of rules.
#[derive(Debug, Default)]
pub struct Correlator {
    states: Vec<State>,
    now_us: i64,
}

impl Correlator {
    pub fn new(correlations: usize) -> Correlator {
        Correlator { states: (0..correlations).map(|_| State::default()).collect(), now_us: i64::MIN }
    }

    /// Takes an event, with the numbers of the rules that match it, and says which correlations hold now. `correlations` are in
    /// such an order that each comes after those that it names.
    pub fn push(
        &mut self,
        correlations: &[Correlation],
        time_us: i64,
        matched: &[u32],
        view: &View,
        tag: u64,
    ) -> Vec<Fired> {
        self.now_us = self.now_us.max(time_us);
        let mut fired = self.decide(correlations, self.now_us - 1);
        // The groups in which a correlation holds with this very event.
        let mut held: Vec<Vec<GroupKey>> = vec![Vec::new(); correlations.len()];
        for (number, correlation) in correlations.iter().enumerate() {
            let matches = matches(correlation, correlations, matched, &held, view);
            if matches.is_empty() {
                continue;
            }
            let groups = self.states[number].add(correlation, self.now_us, matches, tag);
            if !groups.is_empty() {
                fired.push(Fired { correlation: number, tag });
            }
            held[number] = groups;
        }
        fired
    }

    /// Says what holds of the windows that are over by then: those of conditions with `not`.
    pub fn decide(&mut self, correlations: &[Correlation], until_us: i64) -> Vec<Fired> {
        let mut fired = Vec::new();
        for (number, (correlation, state)) in correlations.iter().zip(&mut self.states).enumerate() {
            if correlation.waits() {
                let tags = state.decide(correlation, until_us);
                fired.extend(tags.into_iter().map(|tag| Fired { correlation: number, tag }));
            }
        }
        fired
    }

    /// The same at the end of all events: a window that is over exactly with the last one is over.
    pub fn finish(&mut self, correlations: &[Correlation]) -> Vec<Fired> {
        self.decide(correlations, self.now_us)
    }

    /// How many matches were forgotten for want of room.
    pub fn forgotten(&self) -> u64 {
        self.states.iter().map(|state| state.forgotten).sum()
    }
}

/// One match that a correlation counts.
struct Match {
    step: usize,
    key: GroupKey,
    value: Option<Measured>,
}

#[derive(Clone, Debug, PartialEq)]
enum Measured {
    Number(f64),
    Text(Arc<str>),
}

/// What an event is to a correlation.
fn matches(
    correlation: &Correlation,
    all: &[Correlation],
    matched: &[u32],
    held: &[Vec<GroupKey>],
    view: &View,
) -> Vec<Match> {
    let mut found: Vec<Match> = Vec::new();
    for (number, step) in correlation.steps.iter().enumerate() {
        let inner: Vec<Option<&GroupKey>> = match step.source {
            Source::Rule(rule) if matched.binary_search(&(rule as u32)).is_ok() => vec![None],
            Source::Rule(_) => continue,
            Source::Correlation(other) => held[other].iter().map(Some).collect(),
        };
        for inner_key in inner {
            let field = |(at, name): (usize, &String)| {
                let known = match (step.source, inner_key) {
                    (Source::Correlation(other), Some(key)) => {
                        all[other].group_by.iter().position(|inner| inner == name).map(|at| key[at].clone())
                    }
                    _ => None,
                };
                known.or_else(|| {
                    view.field(step.group[at]).iter().find(|it| !it.is_null()).map(|it| it.folded().to_owned())
                })
            };
            let Some(key) = correlation.group_by.iter().enumerate().map(field).collect::<Option<Vec<String>>>() else {
                continue;
            };
            let value = measured(correlation.kind, &step.value, view);
            if value.is_none() && !step.value.is_empty() {
                continue;
            }
            let key: GroupKey = key.into();
            // Which of the rules matched is nothing to a count; the event is one.
            let by_step = matches!(correlation.kind, Kind::Temporal | Kind::Ordered);
            let same = |other: &Match| other.key == key && other.value == value && (!by_step || other.step == number);
            if !found.iter().any(same) {
                found.push(Match { step: number, key, value });
            }
        }
    }
    found
}

fn measured(kind: Kind, fields: &[usize], view: &View) -> Option<Measured> {
    let first = |field: &usize| view.field(*field).iter().find(|it| !it.is_null());
    match kind {
        Kind::EventCount | Kind::Temporal | Kind::Ordered => None,
        Kind::ValueCount | Kind::Share => {
            let texts: Option<Vec<&str>> = fields.iter().map(|field| first(field).map(Held::folded)).collect();
            Some(Measured::Text(texts?.join("\u{1f}").into()))
        }
        Kind::Sum | Kind::Average | Kind::Percentile(_) => {
            fields.first().and_then(first).and_then(Held::number).map(Measured::Number)
        }
    }
}

#[derive(Debug, Default)]
struct State {
    groups: HashMap<GroupKey, Group>,
    /// The matches of all groups as they came: what is to be forgotten first is in front.
    order: VecDeque<(i64, GroupKey)>,
    waiting: VecDeque<Waiting>,
    forgotten: u64,
}

/// An event whose window is not over.
#[derive(Debug)]
struct Waiting {
    from_us: i64,
    key: GroupKey,
    tag: u64,
}

#[derive(Debug)]
struct Entry {
    time_us: i64,
    step: usize,
    value: Option<Measured>,
}

/// The window of one group, and what is asked of it.
#[derive(Debug, Default)]
struct Group {
    entries: VecDeque<Entry>,
    by_step: Vec<u32>,
    by_value: HashMap<Arc<str>, u32>,
    sum: f64,
    sorted: Vec<f64>,
    /// For each step and length the latest time at which a row of that length, ending with that step, began.
    rows: Vec<Vec<Option<i64>>>,
}

impl State {
    /// Adds the matches of one event; says in which groups the condition holds.
    fn add(&mut self, correlation: &Correlation, now_us: i64, matches: Vec<Match>, tag: u64) -> Vec<GroupKey> {
        self.age(now_us - correlation.span_us);
        let mut touched: Vec<(GroupKey, Option<Measured>, usize)> = Vec::new();
        // From the last step to the first, so that one event is not two steps of a row.
        for one in matches.into_iter().rev() {
            let group = self.groups.entry(one.key.clone()).or_default();
            let row = group.add(correlation, Entry { time_us: now_us, step: one.step, value: one.value.clone() });
            self.order.push_back((now_us, one.key.clone()));
            match touched.iter_mut().find(|(key, value, _)| *key == one.key && *value == one.value) {
                Some((_, _, longest)) => *longest = row.max(*longest),
                None => touched.push((one.key, one.value, row)),
            }
        }
        while self.order.len() > REMEMBERED_MAX {
            self.forgotten += 1;
            self.forget_first();
        }
        let mut held = Vec::new();
        for (key, value, row) in touched {
            if correlation.waits() {
                self.wait(correlation, &key, now_us, tag);
            } else if self.groups.get(&key).is_some_and(|group| group.holds(correlation, value.as_ref(), row))
                && !held.contains(&key)
            {
                held.push(key);
            }
        }
        held
    }

    fn age(&mut self, before_us: i64) {
        while self.order.front().is_some_and(|(time, _)| *time < before_us) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some((_, key)) = self.order.pop_front() else { return };
        let empty = self.groups.get_mut(&key).is_some_and(|group| {
            group.forget_first();
            group.entries.is_empty()
        });
        if empty {
            self.groups.remove(&key);
        }
    }

    /// Remembers an event from which a window has to be watched: one of a rule that has to match.
    fn wait(&mut self, correlation: &Correlation, key: &GroupKey, now_us: i64, tag: u64) {
        let Condition::Presence(presence) = &correlation.condition else { return };
        let mut wanted = Vec::new();
        presence.wanted(false, &mut wanted);
        let here = |entry: &&Entry| entry.time_us == now_us && wanted.contains(&entry.step);
        let last =
            self.groups.get(key).and_then(|group| group.entries.iter().rev().take(correlation.steps.len()).find(here));
        if last.is_some() {
            if self.waiting.len() >= REMEMBERED_MAX {
                self.waiting.pop_front();
                self.forgotten += 1;
            }
            self.waiting.push_back(Waiting { from_us: now_us, key: key.clone(), tag });
        }
    }

    fn decide(&mut self, correlation: &Correlation, until_us: i64) -> Vec<u64> {
        let Condition::Presence(presence) = &correlation.condition else { return Vec::new() };
        let mut tags = Vec::new();
        while self.waiting.front().is_some_and(|waiting| waiting.from_us + correlation.span_us <= until_us) {
            let Some(waiting) = self.waiting.pop_front() else { break };
            let end_us = waiting.from_us + correlation.span_us;
            let group = self.groups.get(&waiting.key);
            let present = |step: usize| {
                let within = |entry: &&Entry| entry.time_us >= waiting.from_us && entry.time_us <= end_us;
                group.is_some_and(|group| group.entries.iter().filter(within).any(|entry| entry.step == step))
            };
            if presence.holds(&present) {
                tags.push(waiting.tag);
            }
        }
        tags
    }
}

impl Group {
    /// Adds a match; returns the length of the longest row that ends with it.
    fn add(&mut self, correlation: &Correlation, entry: Entry) -> usize {
        self.by_step.resize(correlation.steps.len(), 0);
        self.by_step[entry.step] += 1;
        match (&entry.value, correlation.kind) {
            (Some(Measured::Text(text)), _) => *self.by_value.entry(text.clone()).or_default() += 1,
            (Some(Measured::Number(number)), Kind::Percentile(_)) => {
                let at = self.sorted.partition_point(|other| other < number);
                self.sorted.insert(at, *number);
            }
            (Some(Measured::Number(number)), _) => self.sum += number,
            (None, _) => {}
        }
        let row = if correlation.kind == Kind::Ordered { self.row(correlation, entry.step, entry.time_us) } else { 0 };
        self.entries.push_back(entry);
        row
    }

    fn row(&mut self, correlation: &Correlation, step: usize, now_us: i64) -> usize {
        let steps = correlation.steps.len();
        self.rows.resize(steps, vec![None; steps]);
        let oldest = now_us - correlation.span_us;
        let mut longest = 1;
        self.rows[step][0] = Some(now_us);
        for length in 1..=step {
            let began = (0..step).filter_map(|before| self.rows[before][length - 1]).max();
            if let Some(began) = began.filter(|began| *began >= oldest) {
                self.rows[step][length] = Some(self.rows[step][length].map_or(began, |other| other.max(began)));
                longest = length + 1;
            }
        }
        longest
    }

    fn forget_first(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if let Some(count) = self.by_step.get_mut(entry.step) {
            *count = count.saturating_sub(1);
        }
        match entry.value {
            Some(Measured::Text(text)) => {
                if let Some(count) = self.by_value.get_mut(&text) {
                    *count -= 1;
                    if *count == 0 {
                        self.by_value.remove(&text);
                    }
                }
            }
            Some(Measured::Number(number)) if self.sorted.is_empty() => self.sum -= number,
            Some(Measured::Number(number)) => {
                let at = self.sorted.partition_point(|other| *other < number);
                self.sorted.remove(at);
            }
            None => {}
        }
        // What rounding left of a sum must not outlive its numbers.
        if self.entries.is_empty() {
            self.sum = 0.0;
        }
    }

    fn holds(&self, correlation: &Correlation, value: Option<&Measured>, row: usize) -> bool {
        let present = |step: usize| self.by_step.get(step).is_some_and(|count| *count > 0);
        match &correlation.condition {
            Condition::Presence(presence) => presence.holds(&present),
            Condition::Bounds(bounds) => {
                let is = self.metric(correlation.kind, value, row);
                bounds.iter().all(|(order, bound)| order.holds(is, *bound))
            }
        }
    }

    fn metric(&self, kind: Kind, value: Option<&Measured>, row: usize) -> f64 {
        let count = self.entries.len() as f64;
        match kind {
            Kind::EventCount => count,
            Kind::ValueCount => self.by_value.len() as f64,
            Kind::Temporal => self.by_step.iter().filter(|count| **count > 0).count() as f64,
            Kind::Ordered => row as f64,
            Kind::Sum => self.sum,
            Kind::Average => self.sum / count,
            Kind::Percentile(percentile) => interpolated(&self.sorted, percentile),
            Kind::Share => match value {
                Some(Measured::Text(text)) => 100.0 * f64::from(self.by_value.get(text).copied().unwrap_or(0)) / count,
                _ => 100.0,
            },
        }
    }
}

/// The percentile of sorted values, linear between the two nearest (Hyndman and Fan 1996, type 7).
fn interpolated(sorted: &[f64], percentile: f64) -> f64 {
    let place = percentile / 100.0 * sorted.len().saturating_sub(1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(low), sorted.get(high)) {
        (Some(low), Some(high)) => low + (high - low) * place.fract(),
        _ => f64::NAN,
    }
}
