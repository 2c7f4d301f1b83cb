//! `threshold`: how many events, in a sliding window.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::counting::Counting;
use crate::engine::columns::Columns;
use crate::kit::panes::Panes;
use crate::kit::{Detector, Settings, Start, Summary, read};
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};

pub(super) const KEYS: &[&str] = &["at_least", "within"];

#[derive(Debug)]
struct Threshold {
    at_least: u64,
    within_us: i64,
}

pub(super) fn read(fields: &mut Fields<'_>, _: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let at_least = fields.whole_number("at_least", 1, read::AT_LEAST_MAX)? as u64;
    Ok(Arc::new(Threshold { at_least, within_us: read::within(fields)? }))
}

impl Settings for Threshold {
    fn window_us(&self) -> i64 {
        self.within_us
    }
    fn decides_on_rows(&self) -> bool {
        true
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        start.drive(Counting::<Panes<Count>>::new(self.at_least, self.within_us, 0))
    }
}

/// A number of events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count(u32);

impl Summary for Count {
    type Item = ();

    #[inline]
    fn item(_: &Columns, _: usize, _: usize) -> Option<()> {
        Some(())
    }
    #[inline]
    fn add(&mut self, (): ()) {
        self.0 = self.0.saturating_add(1);
    }
    fn merge(&mut self, other: &Count) {
        self.0 = self.0.saturating_add(other.0);
    }
    #[inline]
    fn value(&self) -> f64 {
        f64::from(self.0)
    }
    fn events(&self) -> u64 {
        u64::from(self.0)
    }
}
