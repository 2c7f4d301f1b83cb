//! The methods: how a detector sums up the events of an entity and when it decides.
//!
//! For: the engine, which hands every detector the same runs of rows in total order and asks for tellings.
//! Promises: what is kept per pane or window is a mergeable value of its own type (`merge`), the seam along which a
//! detector can later be spread over machines; everything that is due by event time happens before the first row at or
//! after that time, whatever batch brings the row. A late row counts in its own time where the method still can (`late`);
//! where it cannot, it is counted as too late.
//! Never: sees rows in another order than that of their places.

mod baseline;
mod counting;
mod distinct;
mod late;
mod panes;
mod ratio;
mod sum;
mod threshold;

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::baseline::BaselineDetector;
use self::counting::Counting;
use self::distinct::Values;
use self::panes::Panes;
use self::ratio::{RatioDetector, Share};
use self::sum::Total;
use self::threshold::Count;
use crate::distinct::Distinct;
use crate::engine::EngineLimits;
use crate::engine::binary::BinaryError;
use crate::engine::columns::{Columns, Plan};
use crate::engine::episode::Telling;
use crate::engine::run::{Run, Wanted};
use crate::engine::seen::SeenKinds;
use crate::rule::{EntityColumn, Measure, Method, Rule};

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

/// A running detector.
pub(crate) trait Detector: Send {
    /// Folds rows in order, after whatever is due before each of them.
    fn fold(&mut self, run: &Run<'_>, out: &mut Vec<Telling>);
    /// Does what is due up to `time`: every row before it has been folded.
    fn settle(&mut self, time: i64, out: &mut Vec<Telling>);
    /// Closes what is open: the detector goes.
    fn give_up(&mut self, time: i64, out: &mut Vec<Telling>);
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

/// Where a detector finds its columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wiring {
    pub wanted: Wanted,
    pub argument: usize,
    /// Which tracker of first-seen times, and how new an entity must be.
    pub newness: Option<(usize, i64)>,
}

impl Wiring {
    /// Whether a row's entity is new enough to count.
    #[inline]
    pub fn counts(&self, run: &Run<'_>, row: usize, time: i64) -> bool {
        self.newness
            .is_none_or(|(tracker, within)| time - run.known[tracker].first_seen[row - run.rows.start] <= within)
    }
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

/// Turns a rule into a running detector.
pub(crate) fn build(
    rule: Arc<Rule>,
    plan: &mut Plan,
    seen: &mut SeenKinds,
    limits: &EngineLimits,
) -> Box<dyn Detector> {
    let argument = match &rule.method {
        Method::Threshold { .. } => 0,
        Method::Distinct { of, .. } => plan.values(of),
        Method::Sum { of, .. } => plan.amount(of),
        Method::Ratio { of, .. } => plan.predicate(of),
        Method::Baseline(settings) => match &settings.of {
            Measure::Count => 0,
            Measure::Sum(of) => plan.amount(of),
            Measure::Ratio(of) => plan.predicate(of),
            Measure::Distinct(of) => plan.values(of),
        },
    };
    let kind = plan.kind(&rule.entity);
    let newness = rule.first_seen_within_us.map(|within| (seen.track(kind, &rule.entity, within), within));
    let filter = rule.filter.as_ref().map(|filter| plan.predicate(filter));
    let wiring = Wiring { wanted: Wanted { filter, kind, behind: rule.principals_behind }, argument, newness };
    if rule.principals_behind.is_some() || rule.entity.columns().contains(&EntityColumn::ClientIp) {
        seen.count_principals(plan);
    }
    let method = rule.method.clone();
    match &method {
        Method::Threshold { at_least, within_us } => {
            Box::new(Counting::<Panes<Count>>::new(rule, wiring, (*at_least, *within_us), limits))
        }
        Method::Distinct { at_least, within_us, .. } => {
            Box::new(Counting::<Distinct>::new(rule, wiring, (*at_least, *within_us), limits))
        }
        Method::Sum { at_least, within_us, .. } => {
            Box::new(Counting::<Panes<Total>>::new(rule, wiring, (*at_least, *within_us), limits))
        }
        Method::Ratio { .. } => Box::new(RatioDetector::new(rule, wiring, limits)),
        Method::Baseline(settings) => {
            let parent = settings.parent.as_ref().map(|kind| plan.kind(kind));
            match settings.of {
                Measure::Count => Box::new(BaselineDetector::<Count>::new(rule, wiring, parent, limits)),
                Measure::Sum(_) => Box::new(BaselineDetector::<Total>::new(rule, wiring, parent, limits)),
                Measure::Ratio(_) => Box::new(BaselineDetector::<Share>::new(rule, wiring, parent, limits)),
                Measure::Distinct(_) => Box::new(BaselineDetector::<Values>::new(rule, wiring, parent, limits)),
            }
        }
    }
}
