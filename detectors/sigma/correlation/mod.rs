//! Sigma correlations: rules about how often, how varied, how much, or in which order the matches of other rules come.
//!
//! A window is sliding and ends with the event at hand: it holds the matches of the group whose time is at most `timespan` before.
//! A correlation holds at an event when its condition holds of the window after that event, so it is told at each event that keeps
//! it so. A condition with `not` is decided when the window that begins with the event is over.
//!
//! Promises: groups compare without regard to case; a match without one of the `group-by` fields belongs to no group. The matches of
//! an event that several of the rules match count once. Memory is bounded; what is forgotten for it is counted.
//! Never: reads a clock; time is what the caller says, in its order.

mod compile;
#[cfg(test)]
mod tests;
mod window;

pub use compile::{Definition, compile};
pub use window::{Correlator, Fired};

use super::test::Order;

/// What a correlation looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    EventCount,
    ValueCount,
    /// Which of the rules matched.
    Temporal,
    /// The longest row of the rules in their order that ends with the event.
    Ordered,
    Sum,
    Average,
    /// Linear between the two nearest values; the median is that of 50.
    Percentile(f64),
    /// The percent that the event's value has among the values of the group: how rare it is.
    Share,
}

/// When it holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Every one of them.
    Bounds(Vec<(Order, f64)>),
    Presence(Presence),
}

/// Which of the rules have to match, by their number in the correlation.
#[derive(Clone, Debug, PartialEq)]
pub enum Presence {
    Step(usize),
    All(Vec<Presence>),
    Any(Vec<Presence>),
    Not(Box<Presence>),
}

impl Presence {
    fn holds(&self, present: &dyn Fn(usize) -> bool) -> bool {
        match self {
            Presence::Step(step) => present(*step),
            Presence::All(parts) => parts.iter().all(|part| part.holds(present)),
            Presence::Any(parts) => parts.iter().any(|part| part.holds(present)),
            Presence::Not(part) => !part.holds(present),
        }
    }

    /// The steps that have to be there, not absent.
    fn wanted(&self, turned: bool, found: &mut Vec<usize>) {
        match self {
            Presence::Step(step) if !turned => found.push(*step),
            Presence::Step(_) => {}
            Presence::All(parts) | Presence::Any(parts) => parts.iter().for_each(|part| part.wanted(turned, found)),
            Presence::Not(part) => part.wanted(!turned, found),
        }
    }

    fn has_not(&self) -> bool {
        match self {
            Presence::Step(_) => false,
            Presence::All(parts) | Presence::Any(parts) => parts.iter().any(Presence::has_not),
            Presence::Not(_) => true,
        }
    }
}

/// Whose matches a step counts: those of a rule or those of another correlation, by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Rule(usize),
    Correlation(usize),
}

/// One of the rules of a correlation, with the fields that its aliases come to in the rule's events.
#[derive(Clone, Debug)]
pub struct Step {
    pub source: Source,
    /// For each name in `group-by` the number of the field.
    pub group: Vec<usize>,
    /// The fields of the condition.
    pub value: Vec<usize>,
}

/// A correlation made ready.
#[derive(Clone, Debug)]
pub struct Correlation {
    pub kind: Kind,
    pub steps: Vec<Step>,
    pub group_by: Vec<String>,
    pub span_us: i64,
    pub condition: Condition,
    /// Whether the rules that it names also count on their own.
    pub generate: bool,
}

impl Correlation {
    /// Whether it is decided only when the window is over.
    pub fn waits(&self) -> bool {
        matches!(&self.condition, Condition::Presence(presence) if presence.has_not())
    }
}
