//! The kit that methods are made of: one driver that owns what is kept of entities, what is due by time, episodes and their
//! evidence, saving and loading; summaries and windows; and what a method says about itself (`Settings`, `Method`).
//!
//! For: the methods, each of which is one file and one line of `method::METHODS`; the engine knows none of them by name.
//! Promises: what is kept per pane or window is a mergeable value of its own type (`Summary::merge`), the seam along which a
//! detector can later be spread over machines; everything that is due by event time happens before the first row at or
//! after that time, whatever batch brings the row. A late row counts in its own time where the method still can (`late`);
//! where it cannot, it is counted as too late.
//! Never: sees rows in another order than that of their places.

pub(crate) mod driver;
pub(crate) mod heard;
pub(crate) mod late;
pub(crate) mod panes;
pub(crate) mod read;
pub(crate) mod settings;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::engine::binary::BinaryError;
use crate::engine::columns::Columns;
use crate::engine::episode::Telling;
use crate::engine::run::Run;
use crate::rule::Rule;

pub(crate) use driver::{Counted, Deciding, Fate, Method, Row};
pub(crate) use settings::{Settings, Start};

/// What one method makes of some events of one entity.
pub(crate) trait Summary: Clone + Default + Serialize + DeserializeOwned + Send {
    /// What one event contributes.
    type Item: Copy;

    /// The contribution of a row; `None` when it has none. `argument` is where `Plan` put the method's column.
    fn item(columns: &Columns, argument: usize, row: usize) -> Option<Self::Item>;
    fn add(&mut self, item: Self::Item);
    /// The summary of both sets of events.
    fn merge(&mut self, other: &Self);
    fn value(&self) -> f64;
    fn events(&self) -> u64;
    /// By what share `value` is off at one sigma, where it is an estimate.
    fn error(&self) -> Option<f64> {
        None
    }
}

/// A running detector, as the engine sees it.
pub(crate) trait Detector: Send {
    /// Folds rows in order, after whatever is due before each of them.
    fn fold(&mut self, run: &Run<'_>, out: &mut Vec<Telling>);
    /// Does what is due up to `time`: every row before it has been folded.
    fn settle(&mut self, time: i64, out: &mut Vec<Telling>);
    /// Closes what is open: the detector goes.
    fn give_up(&mut self, time: i64, out: &mut Vec<Telling>);
    /// Tells what that would close, and leaves it open.
    fn tell_open(&self, time: i64, out: &mut Vec<Telling>);
    fn rule(&self) -> &Arc<Rule>;
    fn stats(&self) -> DetectorStats;
    fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError>;
    fn load(&mut self, bytes: &[u8]) -> Result<(), BinaryError>;
    /// What is kept of late rows, beside the state.
    fn save_late(&self, out: &mut Vec<u8>) -> Result<(), BinaryError>;
    fn load_late(&mut self, bytes: &[u8]) -> Result<(), BinaryError>;
}

/// How one detector is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetectorStats {
    pub id: String,
    /// Entities with state now.
    pub entities: usize,
    /// Entities that went to make room for newer ones.
    pub evicted: u64,
    /// Rows so late that no window held their time any more; they do not count.
    pub too_late: u64,
    /// Alerts open now.
    pub open: usize,
    /// Alerts opened so far.
    pub opened: u64,
}

/// Panes of a sliding window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PaneSpec {
    pane_us: i64,
    /// Panes in the window, the running one included.
    pub span: u32,
}

impl PaneSpec {
    /// Panes of a second, or a sixtieth of the window where that is longer.
    pub fn of(within_us: i64) -> PaneSpec {
        let pane_us = (within_us.saturating_add(59) / 60).max(1_000_000);
        let span = u32::try_from((within_us + pane_us - 1) / pane_us).unwrap_or(u32::MAX).max(1);
        PaneSpec { pane_us, span }
    }

    #[inline]
    pub fn pane(&self, time: i64) -> u32 {
        index_of(time, self.pane_us)
    }

    pub fn end(&self, pane: u32) -> i64 {
        (i64::from(pane) + 1).saturating_mul(self.pane_us)
    }

    pub fn length_us(&self) -> i64 {
        self.pane_us.saturating_mul(i64::from(self.span))
    }

    /// Start of the window that ends with this pane.
    pub fn start(&self, pane: u32) -> i64 {
        (i64::from(pane) + 1 - i64::from(self.span)).saturating_mul(self.pane_us)
    }
}

/// Which stretch of `length_us` a time falls into; times before 1970 fall into the first.
#[inline]
pub(crate) fn index_of(time: i64, length_us: i64) -> u32 {
    u32::try_from(time.max(0) / length_us).unwrap_or(u32::MAX - 1)
}
