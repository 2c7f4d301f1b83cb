//! `sum`: the total of a column. Events without a value do not count.

use serde::{Deserialize, Serialize};

use super::Summary;
use crate::engine::columns::Columns;

/// A total, and of how many events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Total {
    sum: u64,
    events: u32,
}

impl Summary for Total {
    type Item = u64;

    #[inline]
    fn item(columns: &Columns, argument: usize, row: usize) -> Option<u64> {
        u64::try_from(columns.amounts[argument][row]).ok()
    }
    #[inline]
    fn add(&mut self, amount: u64) {
        self.sum = self.sum.saturating_add(amount);
        self.events = self.events.saturating_add(1);
    }
    fn merge(&mut self, other: &Total) {
        self.sum = self.sum.saturating_add(other.sum);
        self.events = self.events.saturating_add(other.events);
    }
    #[inline]
    fn value(&self) -> f64 {
        self.sum as f64
    }
    fn events(&self) -> u64 {
        u64::from(self.events)
    }
}
