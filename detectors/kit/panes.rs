//! A sliding window of panes over any summary.
//!
//! Promises: the window is the running pane and the `span - 1` before it; only panes with events take memory; moving
//! on costs once per pane and entity, adding an event costs one addition. A late event enters the pane of its own time.
//! Never: goes back in time: the end of the window does not move for a late event.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Summary;
use crate::engine::columns::Columns;

/// A window that moves with event time, as the counting methods use it.
pub(crate) trait Sliding: Clone + Default + Serialize + DeserializeOwned + Send {
    type Item: Copy;

    fn item(columns: &Columns, argument: usize, row: usize) -> Option<Self::Item>;
    /// Adds an event in `pane`, no earlier than the window's end.
    fn add(&mut self, pane: u32, span: u32, item: Self::Item);
    /// The value of the window that ends with `pane`. Below `enough` a larger value than the true one may come back,
    /// as long as it is below `enough` too.
    fn value(&mut self, pane: u32, span: u32, enough: u64) -> u64;
    /// Adds a late event in `pane`, which the window that ends with `end` holds, and says the largest value of the windows
    /// that hold it, with the events behind it and the pane that window ends with. `enough` as for `value`.
    fn add_late(&mut self, panes: (u32, u32), span: u32, item: Self::Item, enough: u64) -> Held;
    /// Events behind the value that was last asked for.
    fn events(&self) -> u64;
    /// By what share the value that was last asked for is off at one sigma, where it is an estimate.
    fn error(&self) -> Option<f64> {
        None
    }
}

/// What the best of the windows holds that a late event is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub value: u64,
    pub events: u64,
    pub end: u32,
}

/// The window: the running pane, what the panes before it sum up to, and those panes one by one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Panes<S> {
    pane: u32,
    now: S,
    past: S,
    older: Vec<(u32, S)>,
}

impl<S: Summary> Panes<S> {
    /// Moves the window's end to `pane`.
    #[inline]
    pub fn advance(&mut self, pane: u32, span: u32) {
        if pane > self.pane {
            self.advance_to(pane, span);
        }
    }

    fn advance_to(&mut self, pane: u32, span: u32) {
        let now = std::mem::take(&mut self.now);
        let oldest = (u64::from(pane) + 1).saturating_sub(u64::from(span));
        if now.events() > 0 && u64::from(self.pane) >= oldest {
            self.past.merge(&now);
            self.older.push((self.pane, now));
        }
        self.pane = pane;
        let gone = self.older.iter().take_while(|(pane, _)| u64::from(*pane) < oldest).count();
        if gone > 0 {
            self.older.drain(..gone);
            self.sum_up();
        }
    }

    fn sum_up(&mut self) {
        self.past = S::default();
        for (_, summary) in &self.older {
            self.past.merge(summary);
        }
        if self.older.is_empty() {
            self.older = Vec::new();
        }
    }

    /// Adds an event to the running pane; `advance` went before.
    #[inline]
    pub fn add_now(&mut self, item: S::Item) {
        self.now.add(item);
    }

    /// Adds an event to the pane of its time, which the window holds or which comes after it.
    pub fn add_at(&mut self, pane: u32, span: u32, item: S::Item) {
        self.advance(pane, span);
        if pane == self.pane {
            self.now.add(item);
            return;
        }
        let at = self.older.partition_point(|(older, _)| *older < pane);
        if self.older.get(at).is_none_or(|(older, _)| *older != pane) {
            self.older.insert(at, (pane, S::default()));
        }
        self.older[at].1.add(item);
        self.past.add(item);
    }

    /// The summary of the window that ends with `end`, as far as it is still held.
    pub fn ending(&self, end: u32, span: u32) -> S {
        let mut sum = S::default();
        let holds = |pane: u32| pane <= end && u64::from(pane) + u64::from(span) > u64::from(end);
        self.older.iter().filter(|(pane, _)| holds(*pane)).for_each(|(_, older)| sum.merge(older));
        if holds(self.pane) {
            sum.merge(&self.now);
        }
        sum
    }

    /// The last panes with events of the windows that hold `pane`.
    pub fn ends(&self, pane: u32, span: u32) -> impl Iterator<Item = u32> {
        let last = u64::from(pane) + u64::from(span);
        let all = self.older.iter().map(|(older, _)| *older).chain([self.pane]);
        all.filter(move |end| *end >= pane && u64::from(*end) < last)
    }

    /// The summary of the whole window.
    pub fn total(&self) -> S {
        let mut total = self.past.clone();
        total.merge(&self.now);
        total
    }
}

impl<S: Summary> Sliding for Panes<S> {
    type Item = S::Item;

    #[inline]
    fn item(columns: &Columns, argument: usize, row: usize) -> Option<S::Item> {
        S::item(columns, argument, row)
    }
    #[inline]
    fn add(&mut self, pane: u32, span: u32, item: S::Item) {
        self.advance(pane, span);
        self.now.add(item);
    }
    #[inline]
    fn value(&mut self, pane: u32, span: u32, _enough: u64) -> u64 {
        self.advance(pane, span);
        (self.past.value() + self.now.value()) as u64
    }
    fn add_late(&mut self, (pane, _): (u32, u32), span: u32, item: S::Item, enough: u64) -> Held {
        self.add_at(pane, span, item);
        let held = |sum: S, end| Held { value: sum.value() as u64, events: sum.events(), end };
        let all = held(self.total(), self.pane);
        // No window holds more than all of them.
        if all.value < enough {
            return all;
        }
        // Of equal ones the first: it ends soonest after the event.
        let windows = self.ends(pane, span).map(|end| held(self.ending(end, span), end));
        windows.reduce(|best, one| if one.value > best.value { one } else { best }).unwrap_or(all)
    }
    fn events(&self) -> u64 {
        self.past.events() + self.now.events()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::threshold::Count;

    fn count(window: &mut Panes<Count>, pane: u32) -> u64 {
        window.value(pane, 60, 0)
    }

    #[test]
    fn a_window_of_sixty_panes_forgets_the_sixty_first() {
        let mut window = Panes::<Count>::default();
        for pane in 100..160 {
            window.add(pane, 60, ());
        }
        assert_eq!(count(&mut window, 159), 60);
        assert_eq!(count(&mut window, 160), 59);
        assert_eq!(count(&mut window, 200), 19);
        assert_eq!(count(&mut window, 218), 1);
        assert_eq!(count(&mut window, 219), 0);
    }

    #[test]
    fn an_entity_of_one_pane_owns_no_heap() {
        let mut window = Panes::<Count>::default();
        for _ in 0..1000 {
            window.add(7, 60, ());
        }
        assert_eq!(window.older.capacity(), 0);
        window.add(500, 60, ());
        assert_eq!((count(&mut window, 500), window.older.capacity()), (1, 0));
    }
}
