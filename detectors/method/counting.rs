//! What the counting methods share: threshold, distinct, sum. They alert on the very row that reaches the count.
//!
//! Promises: an entity below half of its count costs nothing but counting. When an episode closes, counting starts anew, so
//! that no event opens two alerts. A late row alerts when some window of its own time reaches the count with it.
//! Never: decides anything by arrival.

use serde::{Deserialize, Serialize};

use crate::engine::columns::Columns;
use crate::engine::episode::Finding;
use crate::engine::keyed::Slot;
use crate::kit::late::{self, Belongs, Late, belongs};
use crate::kit::panes::{Held, Sliding};
use crate::kit::{Counted, Fate, Method, PaneSpec, Row};

/// What is kept of an entity.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(bound = "W: Sliding")]
pub(super) struct Watched<W> {
    window: W,
    #[serde(skip)]
    late: Option<Box<Late<W>>>,
}

impl<W: Sliding> Watched<W> {
    /// By what share the value of a row is off.
    fn error(&self, late: bool) -> Option<f64> {
        let window = self.late.as_ref().filter(|_| late).map_or(&self.window, |late| &late.window);
        window.error()
    }
}

pub(super) struct Counting<W> {
    panes: PaneSpec,
    within_us: i64,
    at_least: u64,
    /// From here on an entity looks bad.
    suspicious: u64,
    /// Where the plan put what is counted.
    of: usize,
    window: std::marker::PhantomData<fn() -> W>,
}

impl<W: Sliding> Counting<W> {
    pub fn new(at_least: u64, within_us: i64, of: usize) -> Counting<W> {
        let suspicious = at_least.div_ceil(2).max(2).min(at_least);
        let panes = PaneSpec::of(within_us);
        Counting { panes, within_us, at_least, suspicious, of, window: std::marker::PhantomData }
    }

    fn finding(&self, held: Held, (start, end): (i64, i64), error: Option<f64>) -> Finding {
        let threshold = self.at_least as f64;
        let observed = held.value as f64;
        Finding { observed, expected: None, threshold, score: observed / threshold, start, end, error, baseline: None }
    }
}

impl<W: Sliding + 'static> Method for Counting<W> {
    type State = Watched<W>;
    type Item = W::Item;
    type Late = Box<Late<W>>;
    const LISTS: bool = false;
    const KEEPS_LATE: bool = true;

    fn joins_within_us(&self) -> Option<i64> {
        Some(self.within_us)
    }

    #[inline]
    fn item(&self, columns: &Columns, row: usize) -> Option<W::Item> {
        W::item(columns, self.of, row)
    }

    fn begin(&self, _: &Row<'_, '_>) -> Watched<W> {
        Watched::default()
    }

    #[inline]
    fn on_row(&mut self, item: W::Item, slot: &mut Slot<Watched<W>>, row: &mut Row<'_, '_>) -> Counted {
        let (time, place) = (row.hit.time, row.hit.place);
        let (pane, span) = (self.panes.pane(time), self.panes.span);
        let belongs = if time == place { Belongs::Now } else { belongs(pane, self.panes.pane(place), self.panes) };
        let window = &mut slot.state.window;
        let held = match belongs {
            Belongs::Now => {
                window.add(pane, span, item);
                let value = window.value(pane, span, self.suspicious);
                Held { value, events: window.events(), end: pane }
            }
            Belongs::Window => window.add_late((pane, self.panes.pane(place)), span, item, self.suspicious),
            Belongs::Late => match Late::of(&mut slot.state.late, place).add(pane, span, item, self.suspicious) {
                Some(held) => held,
                None => return Counted::TooLate,
            },
        };
        if held.value >= self.suspicious || slot.suspect.is_some() {
            row.gather(slot, None);
            let is_late = belongs != Belongs::Now;
            if held.value >= self.at_least {
                let end = if is_late { self.panes.end(held.end).min(place) } else { time };
                let finding = self.finding(held, (self.panes.start(held.end), end), slot.state.error(is_late));
                row.breach(slot, finding, held.events, true);
            } else if held.value < self.suspicious && !is_late && slot.state.late.is_none() {
                row.clear(slot);
            }
        }
        Counted::Yes
    }

    fn closed(&self, state: &mut Watched<W>) {
        *state = Watched::default();
    }

    /// Who is nearest to the count is worth most.
    fn worth(&self, state: &mut Watched<W>, place: i64) -> u64 {
        state.window.value(self.panes.pane(place), self.panes.span, 0)
    }

    fn sweep(&mut self, slot: &mut Slot<Watched<W>>, time: i64) -> Fate {
        if slot.is_open() {
            return Fate::Stays;
        }
        // The window ends with the pane before this time.
        let value = slot.state.window.value(self.panes.pane(time), self.panes.span, 0);
        late::forget(&mut slot.state.late, time, self.panes.length_us());
        if slot.state.late.is_some() || value >= self.suspicious {
            Fate::Stays
        } else if slot.state.window.events() == 0 {
            Fate::Goes
        } else {
            Fate::Harmless
        }
    }

    fn late(state: &Watched<W>) -> Option<&Box<Late<W>>> {
        state.late.as_ref()
    }

    fn set_late(state: &mut Watched<W>, late: Box<Late<W>>) {
        state.late = Some(late);
    }
}
