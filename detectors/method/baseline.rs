//! `baseline`: a measure of each closed window against the entity's own history; the statistics are `crate::baseline`.
//!
//! Promises: a window is judged when event time has passed its end, by what was known before it; then it is taught.
//! The window in which a detector first sees anything is neither judged nor taught, it is only partly seen. Windows
//! without events count as zeros where the statistics say so. An entity with little history borrows from its parent:
//! the history of typical windows of the entities around it.
//! A late event counts while its own window runs; what is taught is not untaught.
//! Never: judges a running window; while it runs it only gathers evidence about those who are far above what is usual.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::counting::{restore_slots, stats_of};
use super::{Detector, DetectorStats, Summary, Wiring, index_of};
use crate::baseline::{Direction, History, Judgement, Params};
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::EntityKey;
use crate::engine::episode::{Episodes, Finding, Moment, Telling};
use crate::engine::evidence::Name;
use crate::engine::keyed::{Keep, Keyed, SavedSlots, Slot, Spot};
use crate::engine::run::{Hit, Run};
use crate::engine::{EngineLimits, next_multiple};
use crate::rule::{Baseline, Method, Rule};

/// Entities whose window a parent is taught, per window: enough to know what is typical, cheap at any crowd.
const TAUGHT_PER_WINDOW: u32 = 64;

/// What every event touches, kept small: one line of the cache.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "S: Summary")]
struct Tracked<S> {
    now: S,
    /// The value from which evidence is gathered.
    alarm: f64,
    past: Box<Past>,
}

/// What is touched once a window.
#[derive(Clone, Serialize, Deserialize)]
struct Past {
    name: Name,
    history: History,
    /// The last window that was judged and taught, quiet ones included.
    window: u32,
    /// The last window with events, and how many there were.
    active: u32,
    visits: u32,
    parent: EntityKey,
    started: bool,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Parent {
    history: History,
    window: u32,
    taught: u32,
}

pub(crate) struct BaselineDetector<S> {
    wiring: Wiring,
    /// The column of the parent's keys.
    parent_kind: Option<usize>,
    settings: Baseline,
    parent_params: Params,
    entities: Keyed<Tracked<S>>,
    parents: Keyed<Parent>,
    episodes: Episodes,
    /// Entities with events in the running window.
    listed: Vec<EntityKey>,
    /// The window in which anything was first seen.
    first_window: Option<u32>,
    window_ends: i64,
    forget_after: u32,
    sweep_us: i64,
    next_sweep: i64,
    due: i64,
    too_late: u64,
}

impl<S: Summary> BaselineDetector<S> {
    pub fn new(
        rule: Arc<Rule>,
        wiring: Wiring,
        parent_kind: Option<usize>,
        limits: &EngineLimits,
    ) -> BaselineDetector<S> {
        let Method::Baseline(settings) = rule.method.clone() else {
            unreachable!("the method table builds this for baselines only")
        };
        let params = settings.params.clone();
        let history_windows = params.history_windows.saturating_mul(TAUGHT_PER_WINDOW);
        let forget_after = settings.params.history_windows.max(2);
        let sweep_us = settings.window_us.saturating_mul(i64::from(forget_after.div_ceil(4)));
        BaselineDetector {
            wiring,
            parent_kind,
            settings: *settings,
            parent_params: Params { history_windows, ..params },
            entities: Keyed::new(limits.entities_per_detector),
            parents: Keyed::new(limits.entities_per_detector),
            episodes: Episodes::new(rule, limits.suspects_per_detector),
            listed: Vec::new(),
            first_window: None,
            window_ends: i64::MAX,
            forget_after,
            sweep_us,
            next_sweep: i64::MAX,
            due: i64::MAX,
            too_late: 0,
        }
    }

    fn watches_down(&self) -> bool {
        self.settings.params.direction != Direction::Up
    }

    #[inline]
    fn count(&mut self, run: &Run<'_>, hit: Hit, spot: Spot, out: &mut Vec<Telling>) {
        let Hit { row, time, place, key, .. } = hit;
        if place >= self.due {
            self.settle(place, out);
        }
        let Some(item) = S::item(run.columns, self.wiring.argument, row) else { return };
        let window = index_of(time, self.settings.window_us);
        if time < place && window != index_of(place, self.settings.window_us) {
            self.too_late += 1;
            return;
        }
        if self.entities.is_full_for(spot, &hit) {
            self.make_room(place, out);
        }
        let (episodes, alarm) = (&self.episodes, self.settings.min_value);
        let slot = self.entities.enter_at(spot, hit, || Tracked {
            now: S::default(),
            alarm: if alarm > 0.0 { alarm } else { f64::INFINITY },
            past: Box::new(Past {
                name: episodes.name(run.event(row), hit.bits),
                history: History::default(),
                window,
                active: window,
                visits: 0,
                parent: 0,
                started: false,
            }),
        });
        let episodes = &mut self.episodes;
        let state = &mut slot.state;
        if state.now.events() == 0 {
            self.listed.push(key);
            state.past.active = window;
            state.past.visits = state.past.visits.saturating_add(1);
            state.past.parent = self.parent_kind.map_or(0, |kind| run.columns.keys[kind][row]);
        }
        state.now.add(item);
        let alarming = state.now.value() >= state.alarm && 2 * state.now.events() >= self.settings.min_events;
        if alarming || slot.suspect.is_some() {
            let name = &state.past.name;
            let suspect = slot.suspect.get_or_insert_with(|| episodes.suspect(name.clone()));
            suspect.evidence.record(run.columns.times[row], run.event(row), run.principals_behind(row));
            if let Some(episode) = &mut suspect.episode {
                episode.events += 1;
            }
        }
        if self.window_ends == i64::MAX {
            self.open_window(window, place);
        }
    }

    /// A past is worth the windows in which something happened, less the longer ago that was; who has none, nothing.
    fn make_room(&mut self, place: i64, out: &mut Vec<Telling>) {
        let (window, most) = (index_of(place, self.settings.window_us), self.forget_after);
        let gone = self.entities.make_room(|state| {
            let idle = window.saturating_sub(state.past.active);
            u64::from(state.past.visits.saturating_sub(1).min(most)) * u64::from(most.saturating_sub(idle))
        });
        self.episodes.make_room(gone, place, out);
        self.listed.retain(|key| self.entities.has(*key));
    }

    fn open_window(&mut self, window: u32, time: i64) {
        self.first_window.get_or_insert(window);
        self.window_ends = (i64::from(window) + 1).saturating_mul(self.settings.window_us);
        self.next_sweep = self.next_sweep.min(next_multiple(time, self.sweep_us));
        self.due = self.window_ends.min(self.next_sweep).min(self.episodes.next_due());
    }

    fn close_window(&mut self, end: i64, out: &mut Vec<Telling>) {
        let window = index_of(end - 1, self.settings.window_us);
        let mut listed = std::mem::take(&mut self.listed);
        listed.sort_unstable();
        if self.watches_down() {
            self.list_the_quiet(&mut listed);
        }
        // When all are watched for silence, the next window closes even if nothing happens in it.
        let goes_on = self.watches_down() && !self.entities.is_empty();
        self.window_ends = if goes_on { end.saturating_add(self.settings.window_us) } else { i64::MAX };
        if self.first_window == Some(window) {
            for key in &listed {
                self.forget_partial(*key, window);
            }
        } else {
            let judged: Vec<Judged> = listed.iter().filter_map(|key| self.judge(*key, window, end, out)).collect();
            self.teach(&judged, window);
        }
        listed.clear();
        self.listed = listed;
    }

    fn list_the_quiet(&self, listed: &mut Vec<EntityKey>) {
        let quiet = self.entities.sorted().into_iter().filter(|slot| slot.state.now.events() == 0);
        listed.extend(quiet.map(|slot| slot.key));
        listed.sort_unstable();
    }

    fn forget_partial(&mut self, key: EntityKey, window: u32) {
        if let Some(slot) = self.entities.get(key) {
            slot.state.now = S::default();
            (slot.state.past.window, slot.state.past.started) = (window, true);
            self.episodes.clear(&mut slot.suspect);
        }
    }

    /// Judges one entity's window and takes it out of its state.
    fn judge(&mut self, key: EntityKey, window: u32, end: i64, out: &mut Vec<Telling>) -> Option<Judged> {
        let parent_key = self.entities.peek(key)?.state.past.parent;
        let parent = self.parents.peek(parent_key).map(|slot| &slot.state.history);
        let slot = self.entities.get(key)?;
        let params = &self.settings.params;
        let state = &mut slot.state;
        let past = &mut *state.past;
        if past.started {
            let quiet = u64::from(window.saturating_sub(past.window)).saturating_sub(1);
            past.history.teach_quiet(params, quiet);
        }
        let now = std::mem::take(&mut state.now);
        (past.window, past.started) = (window, true);
        let (value, events, error) = (now.value(), now.events(), now.error());
        let judged = Judged { key, parent: parent_key, value, events, error };
        let judgement = past.history.judge(params, parent, judged.value, judged.events as f64);
        state.alarm = self.settings.alarm(judgement.as_ref());
        let breach = judgement.as_ref().filter(|j| j.breach && self.settings.matters(&judged, j));
        let Some(judgement) = breach else {
            self.episodes.clear(&mut slot.suspect);
            return Some(judged);
        };
        let finding = self.settings.finding(&judged, judgement, &past.history, end);
        let (name, episodes) = (&past.name, &mut self.episodes);
        let suspect = slot.suspect.get_or_insert_with(|| episodes.suspect(name.clone()));
        episodes.breach(key, suspect, (Moment::Due(end), finding, judged.events), None, out);
        Some(judged)
    }

    /// Teaches what was judged, to the entities and to their parents. The parents hear of a few entities each, and of
    /// others every window: keys are hashes, so those next to a point that moves are a fair sample.
    fn teach(&mut self, judged: &[Judged], window: u32) {
        for one in judged {
            if let Some(slot) = self.entities.get(one.key) {
                slot.state.past.history.teach(&self.settings.params, one.value, one.events as f64);
            }
        }
        if self.parent_kind.is_none() {
            return;
        }
        let point = u128::from(window).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let split = judged.partition_point(|one| one.key < point);
        for one in judged[split..].iter().chain(&judged[..split]).filter(|one| one.parent != 0 && one.events > 0) {
            let end = (i64::from(window) + 1).saturating_mul(self.settings.window_us);
            if self.parents.is_full_for(Spot::UNKNOWN, &Hit { key: one.parent, ..Hit::default() }) {
                let forget_after = self.forget_after;
                self.parents.make_room(|parent| {
                    let idle = window.saturating_sub(parent.window);
                    parent.history.windows() * u64::from(forget_after.saturating_sub(idle))
                });
            }
            let parent = &mut self.parents.enter(one.parent, end, Parent::default).state;
            if parent.window != window {
                (parent.window, parent.taught) = (window, 0);
            }
            if parent.taught < TAUGHT_PER_WINDOW {
                parent.taught += 1;
                parent.history.teach(&self.parent_params, one.value, one.events as f64);
            }
        }
    }

    fn sweep(&mut self, time: i64) {
        let (window, forget_after) = (index_of(time, self.settings.window_us), self.forget_after);
        let episodes = &mut self.episodes;
        self.entities.sweep(|slot: &mut Slot<Tracked<S>>| {
            let open = slot.suspect.as_ref().is_some_and(|s| s.episode.is_some());
            let idle = slot.state.now.events() == 0 && window.saturating_sub(slot.state.past.active) > forget_after;
            if open || !idle {
                return Keep::Yes;
            }
            episodes.clear(&mut slot.suspect);
            Keep::No
        });
        self.parents.sweep(
            |slot| {
                if window.saturating_sub(slot.state.window) > forget_after { Keep::No } else { Keep::Yes }
            },
        );
        let empty = self.entities.is_empty() && self.parents.is_empty();
        self.next_sweep = if empty { i64::MAX } else { next_multiple(time, self.sweep_us) };
    }
}

/// A closed window of one entity.
struct Judged {
    key: EntityKey,
    parent: EntityKey,
    value: f64,
    events: u64,
    error: Option<f64>,
}

impl Baseline {
    /// Half-way to a breach is where evidence begins.
    fn alarm(&self, judgement: Option<&Judgement>) -> f64 {
        let usual = judgement.map(|j| j.expected + 0.5 * self.params.sigmas * j.spread);
        match usual {
            Some(usual) => usual.max(0.5 * self.min_value),
            None if self.min_value > 0.0 => self.min_value,
            None => f64::INFINITY,
        }
    }

    fn matters(&self, judged: &Judged, judgement: &Judgement) -> bool {
        let upward = judged.value >= judgement.expected;
        let size = if upward { judged.value } else { judgement.expected };
        size >= self.min_value && (!upward || judged.events >= self.min_events)
    }

    fn finding(&self, judged: &Judged, judgement: &Judgement, history: &History, end: i64) -> Finding {
        let margin = self.params.sigmas * judgement.spread;
        let upward = judged.value >= judgement.expected;
        let shown = json!({
            "window_seconds": self.window_us / 1_000_000,
            "recent": history.recent().into_iter().map(rounded).collect::<Vec<f64>>(),
            "expected": rounded(judgement.expected),
            "spread": rounded(judgement.spread),
            "sigmas": rounded(judgement.sigmas),
            "tail": rounded(judgement.tail),
            "windows": history.windows(),
        });
        Finding {
            observed: judged.value,
            expected: Some(rounded(judgement.expected)),
            threshold: rounded(judgement.expected + if upward { margin } else { -margin }),
            score: rounded(judgement.sigmas.abs()),
            start: end.saturating_sub(self.window_us),
            end,
            error: judged.error,
            baseline: Some(shown.to_string()),
        }
    }
}

/// Six significant digits: what a person can use, and the same text after a restore.
fn rounded(number: f64) -> f64 {
    if !number.is_finite() { number } else { format!("{number:.5e}").parse().unwrap_or(number) }
}

impl<S: Summary> Detector for BaselineDetector<S> {
    fn fold(&mut self, run: &Run<'_>, out: &mut Vec<Telling>) {
        run.visit(self.wiring.wanted, |hits| {
            let spots = self.entities.spots(hits);
            hits.iter().zip(spots).for_each(|(hit, spot)| self.count(run, *hit, spot, out));
        });
    }

    fn settle(&mut self, until: i64, out: &mut Vec<Telling>) {
        loop {
            let ends = self.episodes.next_due();
            self.due = ends.min(self.next_sweep).min(self.window_ends);
            let time = self.due;
            if time > until {
                return;
            }
            // At one time: first judge, for that may prolong an episode; then close; then sweep.
            if self.window_ends == time {
                self.close_window(time, out);
            } else if ends == time {
                let Some(key) = self.episodes.take_due(time) else { continue };
                let Some(slot) = self.entities.get(key) else { continue };
                self.episodes.close_if_quiet(key, &mut slot.suspect, time, out);
            } else {
                self.sweep(time);
            }
        }
    }

    fn give_up(&mut self, time: i64, out: &mut Vec<Telling>) {
        while let Some(key) = self.episodes.take_due(i64::MAX) {
            if let Some(suspect) = self.entities.get(key).and_then(|slot| slot.suspect.as_mut()) {
                self.episodes.give_up(suspect, time, out);
            }
        }
    }

    fn rule(&self) -> &Arc<Rule> {
        &self.episodes.rule
    }

    fn stats(&self) -> DetectorStats {
        let mut stats = stats_of(&self.episodes, &self.entities);
        stats.evicted += self.parents.evicted;
        DetectorStats { too_late: self.too_late, ..stats }
    }

    fn save_late(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &self.too_late)
    }

    fn load_late(&mut self, bytes: &[u8]) -> Result<(), BinaryError> {
        self.too_late = binary::read(bytes)?;
        Ok(())
    }

    fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        let mut listed = self.listed.clone();
        listed.sort_unstable();
        let times = (self.next_sweep, self.window_ends, self.first_window, self.episodes.opened);
        binary::write(out, &(times, listed))?;
        self.parents.save(out)?;
        self.entities.save(out)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<(), BinaryError> {
        type Times = (i64, i64, Option<u32>, u64);
        type Saved<S> = ((Times, Vec<EntityKey>), SavedSlots<Parent>, SavedSlots<Tracked<S>>);
        let ((times, listed), parents, slots): Saved<S> = binary::read(bytes)?;
        (self.next_sweep, self.window_ends, self.first_window, self.episodes.opened) = times;
        self.listed = listed;
        self.parents.load(parents);
        restore_slots(&mut self.entities, &mut self.episodes, slots);
        self.due = self.next_sweep.min(self.window_ends).min(self.episodes.next_due());
        Ok(())
    }
}
