//! A sliding window of panes over any summary.
//!
//! Promises: the window is the running pane and the `span - 1` before it; only panes with events take memory; moving
//! on costs once per pane and entity, adding an event costs one addition.
//! Never: goes back in time; rows come in order.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Summary;
use crate::engine::columns::Columns;

/// A window that moves with event time, as the counting methods use it.
pub(crate) trait Sliding: Clone + Default + Serialize + DeserializeOwned + Send {
    type Item: Copy;

    fn item(columns: &Columns, argument: usize, row: usize) -> Option<Self::Item>;
    /// Adds an event in `pane`; panes never go down. Values from `most` on need not be told apart.
    fn add(&mut self, pane: u32, span: u32, item: Self::Item, most: u64);
    /// The value of the window that ends with `pane`. Below `enough` a larger value than the true one may come back,
    /// as long as it is below `enough` too.
    fn value(&mut self, pane: u32, span: u32, enough: u64) -> u64;
    /// Events behind the value that was last asked for.
    fn events(&self) -> u64;
    /// The window over the events of both.
    fn merge(&mut self, other: &Self, span: u32);
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
    fn add(&mut self, pane: u32, span: u32, item: S::Item, _most: u64) {
        self.advance(pane, span);
        self.now.add(item);
    }
    #[inline]
    fn value(&mut self, pane: u32, span: u32, _enough: u64) -> u64 {
        self.advance(pane, span);
        (self.past.value() + self.now.value()) as u64
    }
    fn events(&self) -> u64 {
        self.past.events() + self.now.events()
    }
    fn merge(&mut self, other: &Panes<S>, span: u32) {
        let mut other = other.clone();
        let pane = self.pane.max(other.pane);
        self.advance(pane, span);
        other.advance(pane, span);
        self.now.merge(&other.now);
        for (pane, summary) in &other.older {
            match self.older.binary_search_by_key(pane, |(pane, _)| *pane) {
                Ok(at) => self.older[at].1.merge(summary),
                Err(at) => self.older.insert(at, (*pane, summary.clone())),
            }
        }
        self.sum_up();
    }
}

#[cfg(test)]
mod tests {
    use super::super::threshold::Count;
    use super::*;

    fn count(window: &mut Panes<Count>, pane: u32) -> u64 {
        window.value(pane, 60, 0)
    }

    #[test]
    fn a_window_of_sixty_panes_forgets_the_sixty_first() {
        let mut window = Panes::<Count>::default();
        for pane in 100..160 {
            window.add(pane, 60, (), u64::MAX);
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
            window.add(7, 60, (), u64::MAX);
        }
        assert_eq!(window.older.capacity(), 0);
        window.add(500, 60, (), u64::MAX);
        assert_eq!((count(&mut window, 500), window.older.capacity()), (1, 0));
    }

    #[test]
    fn merging_two_halves_is_the_whole() {
        let (mut whole, mut left, mut right) = (Panes::default(), Panes::default(), Panes::default());
        for (at, pane) in [1, 1, 2, 30, 59, 59, 61, 70].into_iter().enumerate() {
            Sliding::add(&mut whole, pane, 60, (), u64::MAX);
            let half: &mut Panes<Count> = if at % 3 == 0 { &mut left } else { &mut right };
            half.add(pane, 60, (), u64::MAX);
        }
        left.merge(&right, 60);
        assert_eq!((count(&mut left, 70), left.events()), (count(&mut whole, 70), whole.events()));
        assert_eq!(left, whole);
    }
}
