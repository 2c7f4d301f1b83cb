//! The windows of a baseline: what is kept of an entity, when its window is looked at, and what is learned from it.
//!
//! Promises: what only grows within a window (counts, different values, sums) is judged on the rows that make it large, a share
//! now and then while its window runs, and all again when event time has passed the window's end; by what was known before
//! the window. Then it is taught, but for windows of an episode, which is open until things are as they were. The window in
//! which anybody is first heard is neither judged nor taught, it is only partly seen. Windows without events of an entity
//! count as zeros where the statistics say so; silence, a window without any row of any source, counts as nothing: it teaches
//! nobody, and where less than usual is watched for it is the news of the whole alone. An entity with little past
//! leans on what the entities around it are like, of the parent where there is one, else of all. Its parent is what the first
//! event of the window says that says it; where none does, what the last one said.
//! A late event counts while its own window runs; what is taught is not untaught.

use serde::{Deserialize, Serialize};

use super::{Baseline, Judged};
use crate::baseline::{Direction, Look, Params, Past, When, Window};
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::{Columns, EntityKey};
use crate::engine::episode::Moment;
use crate::engine::evidence::Name;
use crate::engine::keyed::{Keep, Keyed, SavedSlots, Slot, Spot};
use crate::engine::run::Hit;
use crate::kit::{Counted, Deciding, Fate, Method, Row, Summary, index_of};

/// A shift that lasts so long is the new level.
const ACCEPTED_US: i64 = 3 * 24 * 3_600_000_000;

/// Entities whose window a parent is taught, per window: enough to know what is typical, cheap at any crowd.
const TAUGHT_PER_WINDOW: u32 = 64;
/// Before a parent was taught as often, all lend instead of it.
const TAUGHT_LEAST: u32 = 48;
/// A running window that only grows is looked at again when it is so much larger; one of a share when its events have doubled.
const LOOK_AGAIN: f64 = 1.05;

/// What every event touches, kept small: one line of the cache.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "S: Summary, P: Past")]
pub(super) struct Tracked<S, P> {
    now: S,
    /// The value from which evidence is gathered and the running window is looked at; it rises with each look.
    alarm: f64,
    past: Box<Kept<P>>,
}

/// What is touched once a window.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "P: Past")]
struct Kept<P> {
    name: Name,
    past: P,
    /// The number of the last window that was judged, quiet ones included; silent ones have none.
    window: u32,
    /// The last window with events, and how many there were.
    active: u32,
    visits: u32,
    parent: EntityKey,
    started: bool,
    /// How often the running window was looked at.
    looks: u32,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(bound = "P: Past")]
struct Parent<P: Past> {
    pool: P::Pool,
    window: u32,
    /// How often it was taught, and how often it still is in this window.
    taught: u32,
    room: u32,
}

/// The parent of all.
const EVERYBODY: EntityKey = 0;

/// Where the plan put what says who lends to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lenders {
    All,
    /// Those of one key.
    Keys(usize),
    /// Those of one value.
    Values(usize),
}

impl Lenders {
    /// Who lends to the entity of a row; everybody where the row does not say it.
    #[inline]
    fn of(self, row: &Row<'_, '_>) -> EntityKey {
        let (columns, at) = (row.run.columns, row.hit.row);
        match self {
            Lenders::All => EVERYBODY,
            Lenders::Keys(kind) => columns.keys[kind][at],
            Lenders::Values(argument) => EntityKey::from(columns.values[argument][at]),
        }
    }
}

pub(super) struct Windows<S, P: Past> {
    settings: Baseline,
    /// Where the plan put what is measured.
    of: usize,
    lenders: Lenders,
    parent_params: Params,
    parents: Keyed<Parent<P>>,
    everybody: Parent<P>,
    forget_after: u32,
    accepted: u32,
    measure: std::marker::PhantomData<fn() -> S>,
}

impl<S: Summary + 'static, P: Past + 'static> Windows<S, P> {
    pub(super) fn new(settings: Baseline, of: usize, lenders: Lenders, bound: usize) -> Windows<S, P> {
        let params = settings.params.clone();
        let history_windows = params.history_windows.saturating_mul(TAUGHT_PER_WINDOW);
        Windows {
            of,
            lenders,
            parent_params: Params { history_windows, ..params },
            parents: Keyed::new(bound),
            everybody: Parent::default(),
            forget_after: settings.params.history_windows.max(2),
            accepted: u32::try_from(ACCEPTED_US / settings.window_us).unwrap_or(u32::MAX).max(8),
            measure: std::marker::PhantomData,
            settings,
        }
    }

    fn watches_down(&self) -> bool {
        self.settings.params.direction != Direction::Up
    }

    fn when(&self, window: u32) -> When {
        When::new(window, self.settings.window_us)
    }

    fn end(&self, window: u32) -> i64 {
        (i64::from(window) + 1).saturating_mul(self.settings.window_us)
    }

    /// What the entities around are like: those of its parent, once enough is known of them, else all.
    fn pool(&self, parent: EntityKey) -> &P::Pool {
        let own = self.parents.peek(parent).map(|slot| &slot.state).filter(|_| parent != EVERYBODY);
        &own.filter(|own| own.taught >= TAUGHT_LEAST).unwrap_or(&self.everybody).pool
    }

    /// An entity of which nobody had said who is around it is compared with those as soon as an event says it.
    fn belong(&self, state: &mut Tracked<S, P>, row: &Row<'_, '_>) {
        let said = self.lenders.of(row);
        let kept = &mut *state.past;
        if said == EVERYBODY || kept.parent != EVERYBODY {
            return;
        }
        kept.parent = said;
        if kept.looks == 0 {
            let empty = Window { events: 1.0, when: self.when(kept.active), ..Window::default() };
            let usual = kept.past.judge(&self.settings.params, self.pool(said), empty, Look::Whole);
            state.alarm = self.settings.alarm(usual.as_ref());
        }
    }

    /// Teaches what nothing happened in since the last window that was judged: up to, and without, the one whose number is `heard`.
    fn catch_up(&self, kept: &mut Kept<P>, heard: u32, window: u32) {
        let quiet = heard.saturating_sub(kept.window).saturating_sub(1);
        if kept.started && quiet > 0 {
            let before = self.when(window.saturating_sub(1));
            kept.past.teach_quiet(&self.settings.params, self.pool(kept.parent), u64::from(quiet), before);
            kept.window = heard - 1;
        }
    }

    /// Judges one entity's window and takes it out of its state.
    fn judge(&self, key: EntityKey, window: u32, deciding: &mut Deciding<'_, Tracked<S, P>>) -> Option<Judged> {
        let slot = deciding.entities.get(key)?;
        let (state, was_open) = (&mut slot.state, slot.suspect.as_ref().is_some_and(|s| s.episode.is_some()));
        let kept = &mut *state.past;
        let (pool, params) = (self.pool(kept.parent), &self.settings.params);
        let (heard, silent) = (deciding.heard.number(), deciding.heard.is_silent(window));
        if !was_open {
            self.catch_up(kept, heard, window);
        }
        let now = std::mem::take(&mut state.now);
        (kept.window, kept.started, kept.looks) = (heard, true, 0);
        let (value, events, error) = (now.value(), now.events(), now.error());
        let judged = Judged { key, parent: kept.parent, value, events, error, when: self.when(window) };
        let judgement = kept.past.judge(params, pool, judged.window(), Look::Whole);
        state.alarm = self.settings.alarm(judgement.as_ref());
        let upward = judgement.as_ref().is_some_and(|j| judged.value >= j.expected);
        let goes_on = was_open && judgement.as_ref().is_some_and(|j| !j.calm) && (upward || self.watches_down());
        let breach = judgement.as_ref().filter(|j| (j.breach || goes_on) && self.settings.matters(&judged, j));
        let Some(judgement) = breach else {
            if silent {
                // Nothing is learned from it.
            } else if was_open {
                kept.past.hold(params, pool, judged.window(), judgement.as_ref(), self.accepted);
            } else {
                kept.past.teach(params, pool, judged.window(), judgement.as_ref());
            }
            deciding.episodes.clear(&mut slot.suspect);
            return Some(judged);
        };
        let end = self.end(window);
        let finding = self.settings.finding(&judged, judgement, &kept.past, end);
        if !silent {
            kept.past.hold(params, pool, judged.window(), Some(judgement), self.accepted);
        }
        let (name, episodes) = (&kept.name, &mut *deciding.episodes);
        let suspect = slot.suspect.get_or_insert_with(|| episodes.suspect(name.clone()));
        episodes.breach(slot.key, suspect, (Moment::Due(end), finding, judged.events), None, deciding.out);
        Some(judged)
    }

    /// Teaches the parents. They hear of a few entities each, and of others every window: keys are hashes, so those next to a
    /// point that moves are a fair sample.
    fn teach(&mut self, judged: &[Judged], window: u32, entities: &mut Keyed<Tracked<S, P>>) {
        let point = u128::from(window).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let split = judged.partition_point(|one| one.key < point);
        let end = self.end(window);
        for one in judged[split..].iter().chain(&judged[..split]).filter(|one| one.events > 0) {
            let to_all = P::LENDS_TO_ALL && self.everybody.has_room(window);
            if !to_all && one.parent == EVERYBODY {
                continue;
            }
            let Some(slot) = entities.get(one.key).filter(|slot| !slot.is_open()) else { continue };
            let own = &slot.state.past.past;
            if to_all {
                self.everybody.hear(&self.parent_params, window, own, one.window());
            }
            if one.parent == EVERYBODY {
                continue;
            }
            if self.parents.is_full_for(Spot::UNKNOWN, &Hit { key: one.parent, ..Hit::default() }) {
                let forget_after = self.forget_after;
                self.parents.make_room(|parent| {
                    let idle = window.saturating_sub(parent.window);
                    u64::from(parent.taught) * u64::from(forget_after.saturating_sub(idle))
                });
            }
            let parent = &mut self.parents.enter(one.parent, end, Parent::default).state;
            parent.hear(&self.parent_params, window, own, one.window());
        }
    }

    /// Looks at a window that still runs, on a row that made it larger.
    fn look(&self, slot: &mut Slot<Tracked<S, P>>, row: &mut Row<'_, '_>) {
        let state = &mut slot.state;
        let (now, kept) = (&state.now, &mut *state.past);
        let (value, events, error) = (now.value(), now.events(), now.error());
        let when = self.when(kept.active);
        let judged = Judged { key: slot.key, parent: kept.parent, value, events, error, when };
        kept.looks = kept.looks.saturating_add(1);
        let pool = self.pool(kept.parent);
        let judgement = kept.past.judge(&self.settings.params, pool, judged.window(), Look::Running(kept.looks));
        let least = self.settings.min_value;
        if P::GROWS {
            let next = (judged.value * LOOK_AGAIN).max(judged.value + 1.0);
            state.alarm = if judged.value < least { next.min(least) } else { next };
        }
        // What is left of the window may still thin a share out.
        if !P::GROWS && judged.value < 2.0 * least {
            return;
        }
        let Some(judgement) = judgement.filter(|j| j.breach && self.settings.matters(&judged, j)) else { return };
        let finding = self.settings.finding(&judged, &judgement, &kept.past, self.end(kept.active));
        row.breach(slot, finding, judged.events, true);
    }
}

impl<P: Past> Parent<P> {
    fn has_room(&self, window: u32) -> bool {
        self.window != window || self.room > 0
    }

    fn hear(&mut self, p: &Params, window: u32, own: &P, value: Window) {
        if self.window != window {
            self.window = window;
            self.room = TAUGHT_PER_WINDOW;
        }
        if self.room > 0 {
            self.room -= 1;
            self.taught = self.taught.saturating_add(1);
            P::lend(&mut self.pool, p, own, value);
        }
    }
}

impl<S: Summary + 'static, P: Past + 'static> Method for Windows<S, P> {
    type State = Tracked<S, P>;
    type Item = S::Item;
    type Late = ();
    const LISTS: bool = true;
    const KEEPS_LATE: bool = false;

    fn hears_us(&self) -> Option<i64> {
        Some(self.settings.window_us)
    }

    fn sweep_us(&self) -> i64 {
        self.settings.window_us.saturating_mul(i64::from(self.forget_after.div_ceil(4)))
    }

    #[inline]
    fn item(&self, columns: &Columns, row: usize) -> Option<S::Item> {
        S::item(columns, self.of, row)
    }

    #[inline]
    fn accepts(&self, time: i64, place: i64) -> bool {
        let window_us = self.settings.window_us;
        time >= place || index_of(time, window_us) == index_of(place, window_us)
    }

    fn begin(&self, row: &Row<'_, '_>) -> Tracked<S, P> {
        let window = index_of(row.hit.time, self.settings.window_us);
        let parent = self.lenders.of(row);
        let past = P::default();
        let first = Window { value: 0.0, events: 1.0, when: self.when(window) };
        let usual = past.judge(&self.settings.params, self.pool(parent), first, Look::Whole);
        Tracked {
            now: S::default(),
            alarm: self.settings.alarm(usual.as_ref()),
            past: Box::new(Kept {
                name: row.name(),
                past,
                window: row.heard.number(),
                active: window,
                visits: 0,
                parent,
                started: false,
                looks: 0,
            }),
        }
    }

    #[inline]
    fn on_row(&mut self, item: S::Item, slot: &mut Slot<Tracked<S, P>>, row: &mut Row<'_, '_>) -> Counted {
        if slot.state.now.events() == 0 {
            let window = index_of(row.hit.time, self.settings.window_us);
            row.list(slot);
            let state = &mut slot.state;
            let kept = &mut *state.past;
            kept.active = window;
            kept.visits = kept.visits.saturating_add(1);
            kept.parent = Some(self.lenders.of(row)).filter(|said| *said != EVERYBODY).unwrap_or(kept.parent);
            if kept.past.knows_hours() {
                // The alarm was set by what was usual in the last window in which it was active.
                if slot.suspect.as_ref().is_none_or(|suspect| suspect.episode.is_none()) {
                    self.catch_up(kept, row.heard.number(), window);
                }
                let empty = Window { when: self.when(window), ..Window::default() };
                let usual = kept.past.judge(&self.settings.params, self.pool(kept.parent), empty, Look::Whole);
                state.alarm = self.settings.alarm(usual.as_ref());
            }
        } else if self.lenders != Lenders::All {
            self.belong(&mut slot.state, row);
        }
        let state = &mut slot.state;
        state.now.add(item);
        let alarming = state.now.value() >= state.alarm && 2 * state.now.events() >= self.settings.min_events;
        if alarming || slot.suspect.is_some() {
            let name = slot.suspect.is_none().then(|| slot.state.past.name.clone());
            row.gather(slot, name.as_ref());
        }
        let looks = if P::GROWS { alarming } else { alarming && slot.state.now.events().is_power_of_two() };
        if looks && !row.heard.is_first(slot.state.past.active) {
            self.look(slot, row);
        }
        Counted::Yes
    }

    fn decides_at(&self, place: i64) -> i64 {
        self.end(index_of(place, self.settings.window_us))
    }

    fn decide(&mut self, end: i64, mut deciding: Deciding<'_, Tracked<S, P>>) -> i64 {
        let window = index_of(end - 1, self.settings.window_us);
        let mut listed = std::mem::take(deciding.listed);
        let silent = deciding.heard.is_silent(window);
        if self.watches_down() && (self.settings.is_whole || !silent) {
            let quiet = deciding.entities.sorted().into_iter().filter(|slot| slot.state.now.events() == 0);
            listed.extend(quiet.map(|slot| slot.key));
            listed.sort_unstable();
        }
        if deciding.heard.is_first(window) {
            for key in &listed {
                // It was seen in part alone.
                let Some(slot) = deciding.entities.get(*key) else { continue };
                slot.state.now = S::default();
                (slot.state.past.window, slot.state.past.started) = (deciding.heard.number(), true);
                deciding.episodes.clear(&mut slot.suspect);
            }
        } else {
            let judged: Vec<Judged> = listed.iter().filter_map(|key| self.judge(*key, window, &mut deciding)).collect();
            self.teach(&judged, window, deciding.entities);
        }
        listed.clear();
        *deciding.listed = listed;
        // When all are watched for silence, the next window closes even if nothing happens in it.
        let goes_on = self.watches_down() && !deciding.entities.is_empty();
        if goes_on { end.saturating_add(self.settings.window_us) } else { i64::MAX }
    }

    /// A past is worth the windows in which something happened, less the longer ago that was; who has none, nothing.
    fn worth(&self, state: &mut Tracked<S, P>, place: i64) -> u64 {
        let idle = index_of(place, self.settings.window_us).saturating_sub(state.past.active);
        let visits = state.past.visits.saturating_sub(1).min(self.forget_after);
        u64::from(visits) * u64::from(self.forget_after.saturating_sub(idle))
    }

    /// Things are as they were: what the episode's windows were on the whole is learned once.
    fn closed(&self, state: &mut Tracked<S, P>) {
        let pool = self.pool(state.past.parent);
        state.past.past.let_go(&self.settings.params, pool);
    }

    fn sweep(&mut self, slot: &mut Slot<Tracked<S, P>>, time: i64) -> Fate {
        let window = index_of(time, self.settings.window_us);
        let idle = slot.state.now.events() == 0 && window.saturating_sub(slot.state.past.active) > self.forget_after;
        if idle && !slot.is_open() { Fate::Goes } else { Fate::Stays }
    }

    fn sweep_own(&mut self, time: i64) -> bool {
        let (window, forget_after) = (index_of(time, self.settings.window_us), self.forget_after);
        let is_old = |parent: &Parent<P>| window.saturating_sub(parent.window) > forget_after;
        self.parents.sweep(|slot| if is_old(&slot.state) { Keep::No } else { Keep::Yes });
        self.parents.is_empty()
    }

    fn evicted(&self) -> u64 {
        self.parents.evicted
    }

    fn save_own(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &self.everybody)?;
        self.parents.save(out)
    }

    fn load_own(&mut self, bytes: &mut &[u8]) -> Result<(), BinaryError> {
        self.everybody = binary::take(bytes)?;
        let parents: SavedSlots<Parent<P>> = binary::take(bytes)?;
        self.parents.load(parents);
        Ok(())
    }
}
