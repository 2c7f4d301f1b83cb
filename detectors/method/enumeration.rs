//! `enumeration`: somebody goes through objects that are not theirs: more different ones in a window that they had not touched before
//! than they and their peers usually do, refused and answered apart, the fewer the more they are counted up.
//!
//! Of each outcome, with `new` the different objects of the window that the entity had not touched before it, and `share` the part of
//! them whose number is next (at most two away) to one of the eight before it of the same endpoint:
//!
//! * `new >= max(at_least * (1 - order * share), times * usual)`
//!
//! `usual` is the busy level of the entity's own windows, leaning on that of its peers (`usual`); while neither is known nobody is told.
//! Counting up lowers the least number alone: who usually takes in what is new in order, as a machine that synchronises does, is
//! compared with that. Why order: identifiers that are counted up are the way to find objects whose owner one is not (OWASP API1:2023),
//! and of random numbers among N one in N / 32 is next to one of eight, so of 500 objects a fifteenth. Refused is what was answered 400 to
//! 499, but for 429; answered 200 to 399; what failed says nothing about whose it is.
//!
//! Promises: an object that was touched before is never counted, so who works with the same objects all day counts none. Alerts on the
//! very row that reaches the number. Exact up to 768 new objects in a window, then perhaps too few. A late row counts while the window
//! that runs holds its time. Cost: a search among at most 1,024 objects per event, a look at each for a new one once half of the least
//! number is reached; at most 16.5 KB per entity.
//! Never: says what objects are called, but for the first and the last since it looked bad.

#[cfg(test)]
mod tests;
mod touched;
mod usual;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use self::touched::{New, Outcome, Touch, Touched, number_of};
use self::usual::{Numbers, Peers, Usual};
use super::baseline::rounded;
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::Columns;
use crate::engine::episode::Finding;
use crate::engine::keyed::Slot;
use crate::engine::run::{EventRow, position};
use crate::kit::{Counted, Detector, Fate, Method, PaneSpec, Row, Settings, Start, index_of, read};
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};
use crate::where_sql::Predicate;

pub(super) const KEYS: &[&str] = &["of", "within", "refused", "answered", "times", "order", "forget"];

const REFUSED: &str = "status BETWEEN 400 AND 499 AND status <> 429";
const ANSWERED: &str = "status BETWEEN 200 AND 399";
const OUTCOMES: [Outcome; 2] = [Outcome::Refused, Outcome::Answered];
/// More than half of what can be known, so that it can be told apart from what is new.
const AT_LEAST_MAX: i64 = 500;
/// Told so often, it is a habit, and is learned.
const HABIT: u8 = 3;
/// What lasts so long is usual.
const ACCEPTED_US: i64 = 3 * 24 * 3_600_000_000;
const SWEEP_US: i64 = 3_600_000_000;
/// Longest name of an object that is shown, in characters.
const SHOWN_MAX: usize = 80;

#[derive(Clone, Debug)]
struct Enumeration {
    of: Vec<&'static str>,
    within_us: i64,
    /// Refused and answered.
    at_least: [Option<f64>; 2],
    times: f64,
    order: f64,
    forget_us: i64,
}

pub(super) fn read(fields: &mut Fields<'_>, entity: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    if entity.columns().is_empty() {
        return Err(
            fields.error_of_all("expected an entity other than whole: of all together no object is a stranger's")
        );
    }
    let of = if fields.optional("of").is_none() { vec!["object_id"] } else { read::values(fields)? };
    let within_us = read::within(fields)?;
    let least = |fields: &mut Fields<'_>, name: &str| match fields.optional(name) {
        None => Ok(None),
        Some(_) => fields.whole_number(name, 2, AT_LEAST_MAX).map(|number| Some(number as f64)),
    };
    let at_least = [least(fields, "refused")?, least(fields, "answered")?];
    if at_least == [None, None] {
        return Err(fields.error_of_all("expected `refused`, `answered` or both: how many new objects are too many"));
    }
    let times = read::number_or(fields, "times", 1.0, 1000.0, 4.0)?;
    let order = read::number_or(fields, "order", 0.0, 0.9, 0.6)?;
    let forget_us = fields.optional_duration("forget", "1h", "365d")?.unwrap_or(30 * 86_400_000_000);
    if forget_us <= within_us {
        return Err(fields.error("forget", "expected longer than `within`: every object would be new"));
    }
    Ok(Arc::new(Enumeration { of, within_us, at_least, times, order, forget_us }))
}

impl Settings for Enumeration {
    fn window_us(&self) -> i64 {
        self.within_us
    }
    fn found_name(&self) -> &'static str {
        "objects"
    }
    fn needs(&self) -> Vec<&str> {
        let mut needs = read::needs_of_values(&self.of);
        needs.push("status");
        needs
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let condition = |sql: &str| Predicate::compile(sql).expect("a condition over columns of every event");
        let method = Enumerations {
            of: start.plan.values(&self.of),
            endpoint: start.plan.values(&["endpoint"]),
            kind: start.plan.values(&["principal_kind"]),
            outcomes: [REFUSED, ANSWERED].map(|sql| start.plan.predicate(&condition(sql))),
            panes: PaneSpec::of(self.within_us),
            peers: Peers::default(),
            settings: self.clone(),
        };
        start.drive(method)
    }
}

/// What one row contributes.
#[derive(Clone, Copy, Debug)]
struct Asked {
    object: (u32, u32),
    outcome: Outcome,
    endpoint: u32,
    kind: u32,
}

/// What is kept of an entity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Watched {
    touched: Touched,
    usual: Usual,
    /// The kind of principal that its last event with one named; 0 while none did.
    kind: u32,
    /// The window that is learned from, as a number; what is new in it, and whether it was told.
    window: u32,
    numbers: Numbers,
    was_told: bool,
    /// How many alerts there were, and how many windows were told since the last one opened.
    alerts: u8,
    told: u32,
    /// No more than so many are new in the running window.
    most: u32,
    /// The first and the last new object since it looked bad.
    shown: Option<Box<(String, String)>>,
}

/// What is too many.
struct Bar {
    need: f64,
    usual: f64,
}

struct Enumerations {
    settings: Enumeration,
    panes: PaneSpec,
    peers: Peers,
    /// Where the plan put the objects, endpoints, kinds of principals, and the conditions of refused and answered.
    of: usize,
    endpoint: usize,
    kind: usize,
    outcomes: [usize; 2],
}

/// What an object is called, for a person: the segment with its number, else its token.
fn name_of(event: EventRow<'_>) -> String {
    let path = event.text(position("path")).and_then(number_of).map(|(segment, _)| segment);
    path.or_else(|| event.text(position("object_id"))).unwrap_or_default().chars().take(SHOWN_MAX).collect()
}

impl Enumerations {
    /// The first pane of the window that ends with this one.
    fn since(&self, pane: u32) -> u32 {
        pane.saturating_sub(self.panes.span - 1)
    }

    /// From so many new objects on it may look bad.
    fn suspicious(&self) -> u32 {
        let least = self.settings.at_least.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        ((least * (1.0 - self.settings.order) / 2.0) as u32).max(2)
    }

    fn bar(&self, state: &Watched, outcome: usize, new: &New) -> Option<Bar> {
        let least = self.settings.at_least[outcome]?;
        let usual = self.peers.usual(&state.usual, state.kind, outcome)?;
        let least = least * (1.0 - self.settings.order * new.order());
        Some(Bar { need: least.max(self.settings.times * usual).ceil(), usual })
    }

    /// Learns from the window that is over.
    fn turn(&mut self, state: &mut Watched, place: i64) {
        let window = index_of(place, self.settings.within_us);
        if window == state.window {
            return;
        }
        state.told = state.told.saturating_add(u32::from(state.was_told));
        let lasts = i64::from(state.told).saturating_mul(self.settings.within_us) >= ACCEPTED_US;
        if !state.was_told || state.alerts >= HABIT || lasts {
            state.usual.teach_own(state.numbers);
            self.peers.teach(state.kind, state.numbers);
        }
        (state.window, state.numbers, state.was_told) = (window, Numbers::default(), false);
    }

    /// The worse of the outcomes: by what part of its bar, which, and the bar.
    fn worst(&self, state: &Watched, new: &New) -> Option<(f64, Outcome, Bar)> {
        let of = |(at, outcome): (usize, Outcome)| {
            let bar = self.bar(state, at, new)?;
            Some((f64::from(new.of(outcome)) / bar.need, outcome, bar))
        };
        let all = OUTCOMES.into_iter().enumerate().filter_map(of);
        all.reduce(|worst, one| if one.0 > worst.0 { one } else { worst })
    }

    fn finding(
        &self,
        state: &Watched,
        new: &New,
        (score, outcome, bar): (f64, Outcome, Bar),
        pane: u32,
        end: i64,
    ) -> Finding {
        let (first, last) =
            state.shown.as_deref().map(|(first, last)| (first.as_str(), last.as_str())).unwrap_or_default();
        let peers = self.peers.of(state.kind).map(Usual::windows);
        let shown = json!({
            "refused": new.refused,
            "answered": new.answered,
            "in_order": rounded(new.order()),
            "first": first,
            "last": last,
            "usual": rounded(bar.usual),
            "windows": state.usual.windows(),
            "windows_of_peers": peers,
        });
        Finding {
            observed: f64::from(new.of(outcome)),
            expected: Some(rounded(bar.usual)),
            threshold: bar.need,
            score: rounded(score),
            start: self.panes.start(pane),
            end,
            error: None,
            baseline: Some(shown.to_string()),
        }
    }
}

impl Method for Enumerations {
    type State = Watched;
    type Item = Asked;
    type Late = ();
    const LISTS: bool = false;
    const KEEPS_LATE: bool = false;

    fn sweep_us(&self) -> i64 {
        SWEEP_US.max(self.settings.within_us)
    }

    #[inline]
    fn item(&self, columns: &Columns, row: usize) -> Option<Asked> {
        let object = columns.value(self.of, row)?;
        let is = |at: usize| columns.filters[self.outcomes[at]].value(row);
        let outcome = OUTCOMES.into_iter().enumerate().find(|(at, _)| is(*at))?.1;
        let value = |argument: usize| columns.value(argument, row).map_or(0, |(value, _)| value);
        Some(Asked { object, outcome, endpoint: value(self.endpoint), kind: value(self.kind) })
    }

    #[inline]
    fn accepts(&self, time: i64, place: i64) -> bool {
        time >= place || self.panes.pane(time) >= self.since(self.panes.pane(place))
    }

    fn begin(&self, row: &Row<'_, '_>) -> Watched {
        Watched { window: index_of(row.hit.place, self.settings.within_us), ..Watched::default() }
    }

    fn on_row(&mut self, asked: Asked, slot: &mut Slot<Watched>, row: &mut Row<'_, '_>) -> Counted {
        let (time, place) = (row.hit.time, row.hit.place);
        let running = self.panes.pane(place);
        let since = self.since(running);
        if asked.kind != 0 {
            slot.state.kind = asked.kind;
        }
        self.turn(&mut slot.state, place);
        let state = &mut slot.state;
        let touch = state.touched.touch(asked.object, (self.panes.pane(time), since), asked.outcome);
        if touch == Touch::Known {
            if slot.suspect.is_some() {
                row.gather(slot, None);
            }
            return Counted::Yes;
        }
        let number = row.event().text(position("path")).and_then(number_of);
        if let Some((_, number)) = number.filter(|_| touch == Touch::New) {
            state.touched.number(asked.object.0, (asked.endpoint, number));
        }
        let number = &mut state.numbers[usize::from(asked.outcome == Outcome::Answered)];
        *number = number.saturating_add(1);
        state.most = state.most.saturating_add(1);
        if state.most < self.suspicious() && slot.suspect.is_none() {
            return Counted::Yes;
        }
        let new = state.touched.count(since);
        state.most = new.all;
        let Some(worst) = self.worst(state, &new) else { return Counted::Yes };
        if worst.0 < 0.5 {
            state.shown = None;
            row.clear(slot);
            if slot.suspect.is_some() {
                row.gather(slot, None);
            }
            return Counted::Yes;
        }
        let name = name_of(row.event());
        match &mut state.shown {
            Some(shown) => shown.1 = name,
            none => *none = Some(Box::new((name.clone(), name))),
        }
        row.gather(slot, None);
        if worst.0 >= 1.0 {
            let state = &mut slot.state;
            state.was_told = true;
            let finding = self.finding(state, &new, worst, running, place);
            row.breach(slot, finding, u64::from(new.all), true);
        }
        Counted::Yes
    }

    fn closed(&self, state: &mut Watched) {
        (state.alerts, state.told, state.shown) = (state.alerts.saturating_add(1), 0, None);
    }

    /// Who has touched most is known best.
    fn worth(&self, state: &mut Watched, _: i64) -> u64 {
        state.touched.len() as u64
    }

    fn sweep(&mut self, slot: &mut Slot<Watched>, time: i64) -> Fate {
        if slot.is_open() {
            return Fate::Stays;
        }
        let (pane, state) = (self.panes.pane(time), &mut slot.state);
        state.touched.forget(self.panes.pane(time.saturating_sub(self.settings.forget_us)));
        state.most = state.touched.count(self.since(pane)).all;
        match state.touched.len() {
            0 => Fate::Goes,
            _ if state.most >= self.suspicious() => Fate::Stays,
            _ => {
                state.shown = None;
                Fate::Harmless
            }
        }
    }

    fn sweep_own(&mut self, _: i64) -> bool {
        self.peers.is_empty()
    }

    fn save_own(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &self.peers)
    }

    fn load_own(&mut self, bytes: &mut &[u8]) -> Result<(), BinaryError> {
        self.peers = binary::take(bytes)?;
        Ok(())
    }
}
