//! Sigma rules, unchanged: read, made ready, and matched against events, whatever these are (`fields`).
//!
//! `Rules::load` takes files as text and gives the rules that can run and, for each that cannot, the file, the line and the reason.
//! `Rules::matches` says which rules an event matches; `correlation::Correlator` takes these and says which correlations hold.
//! `columns` is how our own events look to a rule.
//!
//! Promises: a rule is run as the specification says or not at all, and then with a reason. What a rule or an event can make us do
//! is bounded (`limits`). A thousand rules cost little more than ten, since most are ruled out together (`prefilter`).
//! Never: does I/O, reads a clock, panics on a rule.

mod address;
pub mod columns;
pub mod correlation;
pub mod fields;
pub mod json;
mod limits;
mod load;
mod modifiers;
mod needs;
mod prefilter;
mod read;
mod regexes;
mod rule;
mod test;
#[cfg(test)]
mod tests;
mod text;
pub mod time;
mod tree;

pub use fields::{Fields, Value};
pub use json::JsonEvent;
pub use load::{About, File, Problem};

use correlation::{Correlation, Correlator, Fired};
use fields::{FieldNames, View};
use prefilter::Prefilter;
use rule::Expr;

/// A rule that can run.
#[derive(Clone, Debug)]
pub struct Ready {
    pub about: About,
    /// Whether its matches are told. Those of a rule that a correlation names are only told when one says `generate`.
    pub told: bool,
    expr: Expr,
    /// The names of the fields that it looks at, sorted.
    pub fields: Vec<String>,
    /// Whether it looks for keywords, which is in every field.
    pub keywords: bool,
}

/// A set of rules that can run, and what is to be said of the others.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Ready>,
    correlations: Vec<Correlation>,
    /// What is known of each correlation, and whether it is told.
    about: Vec<(About, bool)>,
    names: FieldNames,
    prefilter: Prefilter,
    /// Files and documents that cannot be used, and why.
    pub problems: Vec<Problem>,
    /// What is odd, but keeps nothing from running.
    pub notes: Vec<Problem>,
}

impl Rules {
    /// The rules, by number.
    pub fn rules(&self) -> &[Ready] {
        &self.rules
    }

    /// The correlations, by number, and whether they are told.
    pub fn correlations(&self) -> &[(About, bool)] {
        &self.about
    }

    /// Rules that have no literal and are judged on every event.
    pub fn without_literal(&self) -> usize {
        self.prefilter.always()
    }

    /// An event as `matches` and `hold` look at it.
    pub fn view<'a>(&'a self, event: &'a dyn Fields) -> View<'a> {
        View::new(event, &self.names)
    }

    /// The numbers of the rules that an event matches, in their order.
    pub fn matches(&self, view: &View) -> Vec<u32> {
        let mut found = self.prefilter.candidates(view);
        found.retain(|rule| self.rules[*rule as usize].expr.matches(view));
        found
    }

    /// The same by judging every rule: what `matches` is held against.
    pub fn matches_one_by_one(&self, view: &View) -> Vec<u32> {
        (0..self.rules.len() as u32).filter(|rule| self.rules[*rule as usize].expr.matches(view)).collect()
    }

    /// The state of the correlations before any event.
    pub fn correlator(&self) -> Correlator {
        Correlator::new(self.correlations.len())
    }

    /// Which correlations hold with this event. Events come in the order of their time.
    pub fn hold(&self, state: &mut Correlator, time_us: i64, matched: &[u32], view: &View, tag: u64) -> Vec<Fired> {
        state.push(&self.correlations, time_us, matched, view, tag)
    }

    /// Which hold at the end of all events.
    pub fn finish(&self, state: &mut Correlator) -> Vec<Fired> {
        state.finish(&self.correlations)
    }
}
