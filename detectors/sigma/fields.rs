//! What a rule sees of an event: names with values. A JSON event of any kind and one of our own are the same to it.
//!
//! Promises: a field is asked for at most once per event, and folded at most once, however many rules name it.
//! Never: knows where an event came from.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use super::text::fold;

/// One value of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// The field is there and says nothing.
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

/// An event, as rules ask for it.
pub trait Fields {
    /// Adds what the event has under this name: nothing when it has no such field, several values when it holds a list.
    fn values<'a>(&'a self, name: &str, found: &mut Vec<Value<'a>>);
    /// Adds every value of the event, which is what keywords are looked for in.
    fn everything<'a>(&'a self, found: &mut Vec<Value<'a>>);
}

/// The names of the fields that rules ask for, each with a number.
#[derive(Clone, Debug, Default)]
pub struct FieldNames {
    names: Vec<String>,
    numbers: HashMap<String, usize>,
}

impl FieldNames {
    pub fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// A value with the forms of it that tests look at.
#[derive(Debug)]
pub struct Held<'a> {
    value: Value<'a>,
    text: Cow<'a, str>,
    folded: OnceCell<String>,
    as_is: bool,
}

impl<'a> Held<'a> {
    fn new(mut value: Value<'a>) -> Held<'a> {
        let text = match &mut value {
            Value::Null => Cow::Borrowed(""),
            Value::Bool(true) => Cow::Borrowed("true"),
            Value::Bool(false) => Cow::Borrowed("false"),
            Value::Int(number) => Cow::Owned(number.to_string()),
            Value::Float(number) => Cow::Owned(number.to_string()),
            Value::Text(text) => std::mem::take(text),
        };
        let as_is = text.is_ascii() && !text.bytes().any(|b| b.is_ascii_uppercase());
        Held { value, text, folded: OnceCell::new(), as_is }
    }

    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The value as text; empty for a null.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn folded(&self) -> &str {
        if self.as_is { &self.text } else { self.folded.get_or_init(|| fold(&self.text).into_owned()) }
    }

    /// The value as a finite number, be it one or the text of one.
    pub fn number(&self) -> Option<f64> {
        let number = match &self.value {
            Value::Int(number) => *number as f64,
            Value::Float(number) => *number,
            Value::Text(_) => self.text.trim().parse().ok()?,
            Value::Null | Value::Bool(_) => return None,
        };
        number.is_finite().then_some(number)
    }
}

/// One event while rules look at it.
pub struct View<'a> {
    event: &'a dyn Fields,
    names: &'a [String],
    held: Vec<OnceCell<Vec<Held<'a>>>>,
    everything: OnceCell<Vec<Held<'a>>>,
}

impl<'a> View<'a> {
    pub fn new(event: &'a dyn Fields, names: &'a FieldNames) -> View<'a> {
        let names = names.names();
        View { event, names, held: names.iter().map(|_| OnceCell::new()).collect(), everything: OnceCell::new() }
    }

    /// The values of the field with this number.
    pub fn field(&self, number: usize) -> &[Held<'a>] {
        self.held[number].get_or_init(|| {
            let mut found = Vec::new();
            self.event.values(&self.names[number], &mut found);
            found.into_iter().map(Held::new).collect()
        })
    }

    pub fn everything(&self) -> &[Held<'a>] {
        self.everything.get_or_init(|| {
            let mut found = Vec::new();
            self.event.everything(&mut found);
            found.into_iter().map(Held::new).collect()
        })
    }
}
