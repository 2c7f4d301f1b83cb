//! `sum`: the total of a column in a sliding window. Events without a value do not count.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::counting::Counting;
use crate::engine::columns::Columns;
use crate::kit::panes::Panes;
use crate::kit::{Detector, Settings, Start, Summary, read};
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};

pub(super) const KEYS: &[&str] = &["of", "at_least", "within"];

#[derive(Debug)]
struct Sum {
    of: &'static str,
    at_least: u64,
    within_us: i64,
}

pub(super) fn read(fields: &mut Fields<'_>, _: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let of = read::amount(fields)?;
    let at_least = fields.whole_number("at_least", 1, i64::MAX)? as u64;
    Ok(Arc::new(Sum { of, at_least, within_us: read::within(fields)? }))
}

impl Settings for Sum {
    fn window_us(&self) -> i64 {
        self.within_us
    }
    fn decides_on_rows(&self) -> bool {
        true
    }
    fn needs(&self) -> Vec<&str> {
        vec![self.of]
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let of = start.plan.amount(self.of);
        start.drive(Counting::<Panes<Total>>::new(self.at_least, self.within_us, of))
    }
}

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
