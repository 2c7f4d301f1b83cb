//! `threshold`: how many events.

use serde::{Deserialize, Serialize};

use super::Summary;
use crate::engine::columns::Columns;

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
