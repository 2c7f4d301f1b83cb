//! `distinct`: how many different values. Values are 32 bits of a keyed hash (`crate::distinct`): exact up to a thousand, then
//! an estimate whose error the evidence says. Two values of one hash can make an alert a row late and never early.
//!
//! `events` of an alert starts from the number of different values, each of which came in at least one event.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::counting::Counting;
use crate::distinct::{Distinct, EXACT};
use crate::engine::columns::Columns;
use crate::kit::panes::{Held, Sliding};
use crate::kit::{Detector, Settings, Start, Summary, read};
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};

pub(super) const KEYS: &[&str] = &["of", "at_least", "within"];

#[derive(Debug)]
struct DistinctValues {
    of: Vec<&'static str>,
    at_least: u64,
    within_us: i64,
}

pub(super) fn read(fields: &mut Fields<'_>, _: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let of = read::values(fields)?;
    let at_least = fields.whole_number("at_least", 2, 100_000)? as u64;
    Ok(Arc::new(DistinctValues { of, at_least, within_us: read::within(fields)? }))
}

impl Settings for DistinctValues {
    fn identity(&self) -> String {
        let DistinctValues { of, at_least, within_us } = self;
        format!("Distinct {{ of: {of:?}, at_least: {at_least}, within_us: {within_us} }}")
    }
    fn window_us(&self) -> i64 {
        self.within_us
    }
    fn decides_on_rows(&self) -> bool {
        true
    }
    fn needs(&self) -> Vec<&str> {
        read::needs_of_values(&self.of)
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let of = start.plan.values(&self.of);
        start.drive(Counting::<Distinct>::new(self.at_least, self.within_us, of))
    }
}

/// A value, and what it was under the token key before, while the two overlap; else 0.
type Item = (u32, u32);

fn note(values: &mut Distinct, (value, earlier): Item, pane: u32) {
    if earlier != 0 {
        values.rename(earlier, value);
    }
    values.put(value, pane);
}

impl Sliding for Distinct {
    type Item = Item;

    #[inline]
    fn item(columns: &Columns, argument: usize, row: usize) -> Option<Item> {
        columns.value(argument, row)
    }
    fn add(&mut self, pane: u32, span: u32, item: Item) {
        // What has left the window must not make a sample of the rest.
        if self.count() >= EXACT as u64 {
            self.clear_until(pane, span);
        }
        note(self, item, pane);
    }
    fn value(&mut self, pane: u32, span: u32, enough: u64) -> u64 {
        if self.count() >= enough {
            self.clear_until(pane, span);
        }
        self.count()
    }
    /// Of each value only the last pane is known: the window that ends now stands for those that ended since.
    fn add_late(&mut self, (pane, end): (u32, u32), span: u32, item: Item, _enough: u64) -> Held {
        self.clear_until(end, span);
        note(self, item, pane);
        Held { value: self.count(), events: self.count(), end }
    }
    fn events(&self) -> u64 {
        self.count()
    }
    fn error(&self) -> Option<f64> {
        Distinct::error(self)
    }
}

/// The different values of one window, for a baseline of their number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    seen: Distinct,
    events: u32,
}

impl Summary for Seen {
    type Item = Item;

    fn item(columns: &Columns, argument: usize, row: usize) -> Option<Item> {
        columns.value(argument, row)
    }
    fn add(&mut self, item: Item) {
        note(&mut self.seen, item, 0);
        self.events = self.events.saturating_add(1);
    }
    fn merge(&mut self, other: &Seen) {
        self.seen.merge(&other.seen);
        self.events = self.events.saturating_add(other.events);
    }
    fn value(&self) -> f64 {
        self.seen.count() as f64
    }
    fn events(&self) -> u64 {
        u64::from(self.events)
    }
    fn error(&self) -> Option<f64> {
        self.seen.error()
    }
}
