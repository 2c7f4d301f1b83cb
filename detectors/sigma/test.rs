//! One line of a selection: a field and the values it is held against.
//!
//! Promises: a field with several values matches when one of them does; a field that is not there matches only `null`,
//! `exists: false` and what is negated. Never an error while judging: what cannot be judged was refused before.
//! Never: looks at more than the event.

use regex::Regex;

use super::address::Network;
use super::fields::{Held, View};
use super::text::{Pattern, fold};
use super::time::{self, Part};

/// What a value is held against.
#[derive(Clone, Debug)]
pub enum Test {
    Text(Pattern),
    Regex { regex: Box<Regex>, literals: Option<Vec<String>> },
    Number(f64),
    Compare(Order, f64),
    Part(Part, i64),
    Network(Network),
    Null,
    Exists(bool),
    Field { number: usize, place: Place, cased: bool },
}

/// How a number has to stand to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Other,
}

impl Order {
    pub fn holds(self, is: f64, bound: f64) -> bool {
        match self {
            Order::Less => is < bound,
            Order::AtMost => is <= bound,
            Order::More => is > bound,
            Order::AtLeast => is >= bound,
            Order::Equal => is == bound,
            Order::Other => is != bound,
        }
    }
}

/// Where in a text another has to stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Whole,
    Start,
    End,
    Anywhere,
}

/// A field, or all of them for keywords, with the tests of its values.
#[derive(Clone, Debug)]
pub struct Item {
    /// None: keywords, looked for in every field.
    pub field: Option<usize>,
    /// One list for each value as written; modifiers may make several tests of a value, of which one has to hold.
    pub values: Vec<Vec<Test>>,
    /// Every value has to match, not one of them.
    pub all: bool,
    pub negated: bool,
}

impl Item {
    pub fn matches(&self, view: &View) -> bool {
        let held = match self.field {
            Some(number) => view.field(number),
            None => view.everything(),
        };
        let value = |tests: &Vec<Test>| tests.iter().any(|test| test.matches(held, view));
        let found = if self.all { self.values.iter().all(value) } else { self.values.iter().any(value) };
        found != self.negated
    }
}

impl Test {
    fn matches(&self, held: &[Held], view: &View) -> bool {
        match self {
            Test::Null => held.iter().all(Held::is_null),
            Test::Exists(wanted) => held.is_empty() != *wanted,
            _ => held.iter().any(|value| !value.is_null() && self.holds(value, view)),
        }
    }

    fn holds(&self, value: &Held, view: &View) -> bool {
        match self {
            Test::Text(pattern) => pattern.matches(if pattern.cased { value.text() } else { value.folded() }),
            Test::Regex { regex, .. } => regex.is_match(value.text()),
            Test::Number(wanted) => value.number() == Some(*wanted),
            Test::Compare(order, bound) => value.number().is_some_and(|is| order.holds(is, *bound)),
            Test::Part(part, wanted) => time::written(value.text()).is_some_and(|time| time.part(*part) == *wanted),
            Test::Network(network) => network.contains(value.text()),
            Test::Field { number, place, cased } => {
                view.field(*number).iter().any(|other| !other.is_null() && alike(value, other, *place, *cased))
            }
            Test::Null | Test::Exists(_) => false,
        }
    }

    /// Folded texts one of which is in the value wherever the test holds; none where no such are known.
    pub fn literals(&self) -> Option<Vec<String>> {
        match self {
            Test::Text(pattern) => Some(vec![pattern.literal().to_owned()]),
            Test::Regex { literals, .. } => literals.clone(),
            _ => None,
        }
    }
}

fn alike(value: &Held, other: &Held, place: Place, cased: bool) -> bool {
    if let (Place::Whole, Some(one), Some(two)) = (place, value.number(), other.number())
        && one == two
    {
        return true;
    }
    let (text, part) = if cased { (value.text(), other.text()) } else { (value.folded(), other.folded()) };
    match place {
        Place::Whole => text == part,
        Place::Start => text.starts_with(part),
        Place::End => text.ends_with(part),
        Place::Anywhere => text.contains(part),
    }
}

/// The literals of a regular expression as the tests keep them: those that are empty say nothing.
pub fn telling(literals: Option<Vec<String>>) -> Option<Vec<String>> {
    literals.filter(|all| all.iter().all(|text| !text.is_empty() && *text == fold(text)))
}
