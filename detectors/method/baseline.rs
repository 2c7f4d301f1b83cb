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

use super::distinct::Seen;
use super::ratio::Share;
use super::sum::Total;
use super::threshold::Count;
use crate::baseline::{Direction, History, Judgement, Kind as Shape, Params};
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::{Columns, EntityKey};
use crate::engine::episode::{Finding, Moment};
use crate::engine::evidence::Name;
use crate::engine::keyed::{Keep, Keyed, SavedSlots, Slot, Spot};
use crate::engine::run::Hit;
use crate::kit::{Counted, Deciding, Detector, Fate, Method, Row, Settings, Start, Summary, index_of, read};
use crate::rule::node::{Fields, Value};
use crate::rule::{EntityKind, RuleError, duration_us, event_column};
use crate::where_sql::Predicate;

pub(super) const KEYS: &[&str] = &[
    "of",
    "window",
    "sigmas",
    "history",
    "warmup",
    "floor",
    "min_change",
    "direction",
    "min_value",
    "min_events",
    "parent",
];

/// The settings.
#[derive(Clone, Debug)]
struct Baseline {
    of: Measure,
    window_us: i64,
    params: Params,
    /// Smaller values (downwards: smaller expectations) are never a breach.
    min_value: f64,
    /// Windows with fewer events are never a breach.
    min_events: u64,
    /// Whose history an entity with little of its own borrows from.
    parent: Option<EntityKind>,
}

/// What is measured in a window.
#[derive(Clone, Debug)]
enum Measure {
    Count,
    Sum(&'static str),
    Ratio(Predicate),
    Distinct(Vec<&'static str>),
}

pub(super) fn read(fields: &mut Fields<'_>, entity: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let of = measure(fields.text("of", MEASURES)?).map_err(|message| fields.error("of", message))?;
    let window_us = fields.duration("window", "1s", "7d")?;
    let params = params(fields, &of, window_us)?;
    let min_value = read::number_or(fields, "min_value", 0.0, 1e15, 0.0)?;
    let least_events = if matches!(of, Measure::Ratio(_)) { 10.0 } else { 1.0 };
    let min_events = read::number_or(fields, "min_events", 0.0, 1e9, least_events)? as u64;
    let parent = parent(fields, entity)?;
    Ok(Arc::new(Baseline { of, window_us, params, min_value, min_events, parent }))
}

/// A day and an hour of five-minute windows.
const HISTORY_WINDOWS: u32 = 288;
const WARMUP_WINDOWS: u32 = 12;

fn params(fields: &mut Fields<'_>, of: &Measure, window_us: i64) -> Result<Params, RuleError> {
    let kind = match of {
        Measure::Count | Measure::Distinct(_) => Shape::Count,
        Measure::Sum(_) => Shape::Amount,
        Measure::Ratio(_) => Shape::Rate,
    };
    let direction = match fields.optional_text("direction", "up, down or both")? {
        None | Some("up") => Direction::Up,
        Some("down") => Direction::Down,
        Some("both") => Direction::Both,
        Some(other) => return Err(fields.error("direction", format!("expected up, down or both, found `{other}`"))),
    };
    Ok(Params {
        sigmas: read::number_or(fields, "sigmas", 1.0, 100.0, 3.0)?,
        history_windows: windows_of(fields, "history", window_us, (HISTORY_WINDOWS, 4))?,
        warmup_windows: windows_of(fields, "warmup", window_us, (WARMUP_WINDOWS, 1))?,
        floor: read::number_or(fields, "floor", 0.0, 1e15, 0.0)?,
        min_change: read::number_or(fields, "min_change", 0.0, 1e6, 0.0)?,
        kind,
        direction,
    })
}

/// A duration as a number of windows, at least `least`; a bare whole number is taken as windows.
fn windows_of(
    fields: &mut Fields<'_>,
    name: &str,
    window_us: i64,
    (default, least): (u32, u32),
) -> Result<u32, RuleError> {
    let Some(node) = fields.optional(name) else { return Ok(default) };
    let windows = match &node.value {
        Value::Int(windows) => Some(*windows),
        Value::Text(text) => duration_us(text).map(|us| us / window_us),
        _ => None,
    };
    match windows.and_then(|w| u32::try_from(w).ok()) {
        Some(windows) if (least..=1_000_000).contains(&windows) => Ok(windows),
        _ => {
            let message = format!(
                "expected a duration of at least {least} windows (30m, 1d) or a number of windows, found {}",
                node.describe()
            );
            Err(fields.error(name, message))
        }
    }
}

fn parent(fields: &mut Fields<'_>, entity: &EntityKind) -> Result<Option<EntityKind>, RuleError> {
    let Some(text) = fields.optional_text("parent", "what to borrow history from")? else { return Ok(None) };
    let parent = EntityKind::parse(text).map_err(|message| fields.error("parent", message))?;
    if parent == *entity || parent.columns().len() > 1 {
        let message = format!("expected a single column other than the entity, or whole; found `{text}`");
        return Err(fields.error("parent", message));
    }
    Ok(Some(parent))
}

const MEASURES: &str = "count, sum(column), ratio(\"condition\") or distinct(column, ...)";

fn measure(text: &str) -> Result<Measure, String> {
    let text = text.trim();
    if text == "count" {
        return Ok(Measure::Count);
    }
    let argument = |name: &str| text.strip_prefix(name)?.trim_start().strip_prefix('(')?.strip_suffix(')');
    if let Some(column) = argument("sum") {
        return read::amount_named(column.trim()).map(Measure::Sum);
    }
    if let Some(condition) = argument("ratio") {
        let condition = condition.trim();
        let bare = condition.strip_prefix('"').and_then(|c| c.strip_suffix('"')).unwrap_or(condition);
        return Predicate::compile(bare).map(Measure::Ratio);
    }
    let Some(columns) = argument("distinct") else { return Err(format!("expected {MEASURES}, found `{text}`")) };
    let expected = "columns of text, whole numbers or true/false";
    let columns: Result<Vec<&'static str>, String> =
        columns.split(',').map(|name| event_column(name.trim(), read::VALUE_KINDS, expected)).collect();
    columns.map(Measure::Distinct)
}

impl Settings for Baseline {
    fn identity(&self) -> String {
        let of = match &self.of {
            Measure::Ratio(of) => format!("ratio({})", of.sql()),
            other => format!("{other:?}"),
        };
        let Baseline { window_us, params, min_value, min_events, parent, .. } = self;
        format!("baseline {of} {window_us} {params:?} {min_value} {min_events} {parent:?}")
    }
    fn window_us(&self) -> i64 {
        self.window_us
    }
    /// It decides once per window, so an episode outlives one ordinary window between two bad ones.
    fn quiet_least_us(&self) -> i64 {
        2 * self.window_us
    }
    fn needs(&self) -> Vec<&str> {
        match &self.of {
            Measure::Count => Vec::new(),
            Measure::Sum(of) => vec![*of],
            Measure::Ratio(of) => of.needs().iter().map(String::as_str).collect(),
            Measure::Distinct(of) => read::needs_of_values(of),
        }
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let parent = self.parent.as_ref().map(|kind| start.plan.kind(kind));
        let (settings, bound) = (self.clone(), start.limits.entities_per_detector);
        match &self.of {
            Measure::Count => start.drive(Windows::<Count>::new(settings, 0, parent, bound)),
            Measure::Sum(of) => {
                let of = start.plan.amount(of);
                start.drive(Windows::<Total>::new(settings, of, parent, bound))
            }
            Measure::Ratio(of) => {
                let of = start.plan.predicate(of);
                start.drive(Windows::<Share>::new(settings, of, parent, bound))
            }
            Measure::Distinct(of) => {
                let of = start.plan.values(of);
                start.drive(Windows::<Seen>::new(settings, of, parent, bound))
            }
        }
    }
}

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

struct Windows<S> {
    settings: Baseline,
    /// Where the plan put what is measured, and the parent's keys.
    of: usize,
    parent_kind: Option<usize>,
    parent_params: Params,
    parents: Keyed<Parent>,
    /// The window in which anything was first seen.
    first_window: Option<u32>,
    forget_after: u32,
    measure: std::marker::PhantomData<fn() -> S>,
}

impl<S: Summary + 'static> Windows<S> {
    fn new(settings: Baseline, of: usize, parent_kind: Option<usize>, bound: usize) -> Windows<S> {
        let params = settings.params.clone();
        let history_windows = params.history_windows.saturating_mul(TAUGHT_PER_WINDOW);
        Windows {
            of,
            parent_kind,
            parent_params: Params { history_windows, ..params },
            parents: Keyed::new(bound),
            first_window: None,
            forget_after: settings.params.history_windows.max(2),
            measure: std::marker::PhantomData,
            settings,
        }
    }

    fn watches_down(&self) -> bool {
        self.settings.params.direction != Direction::Up
    }

    fn end(&self, window: u32) -> i64 {
        (i64::from(window) + 1).saturating_mul(self.settings.window_us)
    }

    /// Judges one entity's window and takes it out of its state.
    fn judge(&self, key: EntityKey, window: u32, deciding: &mut Deciding<'_, Tracked<S>>) -> Option<Judged> {
        let slot = deciding.entities.get(key)?;
        let state = &mut slot.state;
        let past = &mut *state.past;
        let parent = self.parents.peek(past.parent).map(|slot| &slot.state.history);
        let params = &self.settings.params;
        if past.started {
            let quiet = u64::from(window.saturating_sub(past.window)).saturating_sub(1);
            past.history.teach_quiet(params, quiet);
        }
        let now = std::mem::take(&mut state.now);
        (past.window, past.started) = (window, true);
        let (value, events, error) = (now.value(), now.events(), now.error());
        let judged = Judged { key, parent: past.parent, value, events, error };
        let judgement = past.history.judge(params, parent, judged.value, judged.events as f64);
        state.alarm = self.settings.alarm(judgement.as_ref());
        let breach = judgement.as_ref().filter(|j| j.breach && self.settings.matters(&judged, j));
        let Some(judgement) = breach else {
            deciding.episodes.clear(&mut slot.suspect);
            return Some(judged);
        };
        let end = self.end(window);
        let finding = self.settings.finding(&judged, judgement, &past.history, end);
        let (name, episodes) = (&past.name, &mut *deciding.episodes);
        let suspect = slot.suspect.get_or_insert_with(|| episodes.suspect(name.clone()));
        episodes.breach(slot.key, suspect, (Moment::Due(end), finding, judged.events), None, deciding.out);
        Some(judged)
    }

    /// Teaches what was judged, to the entities and to their parents. The parents hear of a few entities each, and of
    /// others every window: keys are hashes, so those next to a point that moves are a fair sample.
    fn teach(&mut self, judged: &[Judged], window: u32, entities: &mut Keyed<Tracked<S>>) {
        for one in judged {
            if let Some(slot) = entities.get(one.key) {
                slot.state.past.history.teach(&self.settings.params, one.value, one.events as f64);
            }
        }
        if self.parent_kind.is_none() {
            return;
        }
        let point = u128::from(window).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let split = judged.partition_point(|one| one.key < point);
        for one in judged[split..].iter().chain(&judged[..split]).filter(|one| one.parent != 0 && one.events > 0) {
            let end = self.end(window);
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
}

impl<S: Summary + 'static> Method for Windows<S> {
    type State = Tracked<S>;
    type Item = S::Item;
    type Late = ();
    const LISTS: bool = true;
    const KEEPS_LATE: bool = false;

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

    fn begin(&self, row: &Row<'_, '_>) -> Tracked<S> {
        let (window, alarm) = (index_of(row.hit.time, self.settings.window_us), self.settings.min_value);
        Tracked {
            now: S::default(),
            alarm: if alarm > 0.0 { alarm } else { f64::INFINITY },
            past: Box::new(Past {
                name: row.name(),
                history: History::default(),
                window,
                active: window,
                visits: 0,
                parent: 0,
                started: false,
            }),
        }
    }

    #[inline]
    fn on_row(&mut self, item: S::Item, slot: &mut Slot<Tracked<S>>, row: &mut Row<'_, '_>) -> Counted {
        if slot.state.now.events() == 0 {
            let window = index_of(row.hit.time, self.settings.window_us);
            self.first_window.get_or_insert(window);
            row.list(slot);
            let past = &mut *slot.state.past;
            past.active = window;
            past.visits = past.visits.saturating_add(1);
            past.parent = self.parent_kind.map_or(0, |kind| row.run.columns.keys[kind][row.hit.row]);
        }
        let state = &mut slot.state;
        state.now.add(item);
        let alarming = state.now.value() >= state.alarm && 2 * state.now.events() >= self.settings.min_events;
        if alarming || slot.suspect.is_some() {
            let name = slot.suspect.is_none().then(|| slot.state.past.name.clone());
            row.gather(slot, name.as_ref());
        }
        Counted::Yes
    }

    fn decides_at(&self, place: i64) -> i64 {
        self.end(index_of(place, self.settings.window_us))
    }

    fn decide(&mut self, end: i64, mut deciding: Deciding<'_, Tracked<S>>) -> i64 {
        let window = index_of(end - 1, self.settings.window_us);
        let mut listed = std::mem::take(deciding.listed);
        if self.watches_down() {
            let quiet = deciding.entities.sorted().into_iter().filter(|slot| slot.state.now.events() == 0);
            listed.extend(quiet.map(|slot| slot.key));
            listed.sort_unstable();
        }
        if self.first_window == Some(window) {
            for key in &listed {
                // It was seen in part alone.
                let Some(slot) = deciding.entities.get(*key) else { continue };
                slot.state.now = S::default();
                (slot.state.past.window, slot.state.past.started) = (window, true);
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
    fn worth(&self, state: &mut Tracked<S>, place: i64) -> u64 {
        let idle = index_of(place, self.settings.window_us).saturating_sub(state.past.active);
        let visits = state.past.visits.saturating_sub(1).min(self.forget_after);
        u64::from(visits) * u64::from(self.forget_after.saturating_sub(idle))
    }

    fn sweep(&mut self, slot: &mut Slot<Tracked<S>>, time: i64) -> Fate {
        let window = index_of(time, self.settings.window_us);
        let idle = slot.state.now.events() == 0 && window.saturating_sub(slot.state.past.active) > self.forget_after;
        if idle && !slot.is_open() { Fate::Goes } else { Fate::Stays }
    }

    fn sweep_own(&mut self, time: i64) -> bool {
        let (window, forget_after) = (index_of(time, self.settings.window_us), self.forget_after);
        let is_old = |parent: &Parent| window.saturating_sub(parent.window) > forget_after;
        self.parents.sweep(|slot| if is_old(&slot.state) { Keep::No } else { Keep::Yes });
        self.parents.is_empty()
    }

    fn evicted(&self) -> u64 {
        self.parents.evicted
    }

    fn save_times(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &self.first_window)
    }

    fn load_times(&mut self, bytes: &mut &[u8]) -> Result<(), BinaryError> {
        self.first_window = binary::take(bytes)?;
        Ok(())
    }

    fn save_own(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        self.parents.save(out)
    }

    fn load_own(&mut self, bytes: &mut &[u8]) -> Result<(), BinaryError> {
        let parents: SavedSlots<Parent> = binary::take(bytes)?;
        self.parents.load(parents);
        Ok(())
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
