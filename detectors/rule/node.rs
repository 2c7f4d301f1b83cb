//! A YAML document as a tree in which every value knows its place, so that each complaint about a detector file can
//! name line, column and field.
//!
//! Promises: keeps keys in file order; a duplicate key, an alias bomb or a second document is an error of the reader.
//! Never: interprets a value; `Fields` only hands out what was asked for and names what nobody asked for.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::RuleError;

/// A value without its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub text: String,
    pub place: Place,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub value: Value,
    pub place: Place,
}

/// Line and column, both from 1; 0 where unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

impl From<Location> for Place {
    fn from(location: Location) -> Place {
        Place { line: location.line(), column: location.column() }
    }
}

/// Reads one YAML document.
pub fn read(yaml: &str, file: &str) -> Result<Node, RuleError> {
    let document: Spanned<Value> = serde_saphyr::from_str(yaml).map_err(|error| {
        let place = error.location().map(Place::from).unwrap_or_default();
        let text = error.without_snippet().to_string();
        RuleError::new(file, place, "", format!("not valid YAML: {}", first_line(&text)))
    })?;
    Ok(Node { value: document.value, place: document.referenced.into() })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

impl Node {
    /// What this is, in the words of an error message.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(b) => format!("{b}"),
            Value::Int(i) => format!("{i}"),
            Value::Float(f) => format!("{f}"),
            Value::Text(t) => format!("`{}`", t.chars().take(60).collect::<String>()),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Int(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(i64::try_from(v).map_or(Value::Float(v as f64), Value::Int))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Text(v.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Value>>()? {
            items.push(Node { value: item.value, place: item.referenced.into() });
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Spanned<Value>>()?;
            let key = Key { text: key.value, place: key.referenced.into() };
            entries.push((key, Node { value: value.value, place: value.referenced.into() }));
        }
        Ok(Value::Map(entries))
    }
}

/// A mapping being read: take what is expected, then `done` complains about what is left.
pub struct Fields<'a> {
    file: &'a str,
    /// The dotted path of the mapping, empty at the top.
    path: String,
    place: Place,
    entries: Vec<(&'a Key, &'a Node, bool)>,
}

impl<'a> Fields<'a> {
    pub fn of(node: &'a Node, path: &str, file: &'a str) -> Result<Fields<'a>, RuleError> {
        let Value::Map(entries) = &node.value else {
            let message = format!("expected a mapping, found {}", node.describe());
            return Err(RuleError::new(file, node.place, path, message));
        };
        let entries = entries.iter().map(|(k, v)| (k, v, false)).collect();
        Ok(Fields { file, path: path.to_owned(), place: node.place, entries })
    }

    pub fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// An error about the value of `name`, at its place or, when it is missing, at the mapping's.
    pub fn error(&self, name: &str, message: impl Into<String>) -> RuleError {
        let place = self.entries.iter().find(|(k, ..)| k.text == name).map_or(self.place, |(_, v, _)| v.place);
        RuleError::new(self.file, place, &self.path_of(name), message.into())
    }

    /// An error about the mapping as a whole.
    pub fn error_of_all(&self, message: impl Into<String>) -> RuleError {
        RuleError::new(self.file, self.place, &self.path, message.into())
    }

    pub fn optional(&mut self, name: &str) -> Option<&'a Node> {
        let entry = self.entries.iter_mut().find(|(k, ..)| k.text == name)?;
        entry.2 = true;
        (entry.1.value != Value::Null).then_some(entry.1)
    }

    pub fn required(&mut self, name: &str, expected: &str) -> Result<&'a Node, RuleError> {
        self.optional(name).ok_or_else(|| self.error(name, format!("missing; expected {expected}")))
    }

    /// Complains about the first key nobody asked for.
    pub fn done(self, known: &[&str]) -> Result<(), RuleError> {
        match self.entries.iter().find(|(.., used)| !used) {
            None => Ok(()),
            Some((key, ..)) => {
                let message = format!("unknown key; expected one of {}", known.join(", "));
                Err(RuleError::new(self.file, key.place, &self.path_of(&key.text), message))
            }
        }
    }

    pub fn text(&mut self, name: &str, expected: &str) -> Result<&'a str, RuleError> {
        let node = self.required(name, expected)?;
        match &node.value {
            Value::Text(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(self.error(name, format!("expected {expected}, found {}", node.describe()))),
        }
    }

    pub fn optional_text(&mut self, name: &str, expected: &str) -> Result<Option<&'a str>, RuleError> {
        if self.optional(name).is_none() { Ok(None) } else { self.text(name, expected).map(Some) }
    }

    pub fn whole_number(&mut self, name: &str, low: i64, high: i64) -> Result<i64, RuleError> {
        let expected = format!("a whole number from {low} to {high}");
        let node = self.required(name, &expected)?;
        match node.value {
            Value::Int(i) if (low..=high).contains(&i) => Ok(i),
            _ => Err(self.error(name, format!("expected {expected}, found {}", node.describe()))),
        }
    }

    pub fn number(&mut self, name: &str, low: f64, high: f64) -> Result<f64, RuleError> {
        let expected = format!("a number from {low} to {high}");
        let node = self.required(name, &expected)?;
        let number = match node.value {
            Value::Int(i) => i as f64,
            Value::Float(f) => f,
            _ => f64::NAN,
        };
        if (low..=high).contains(&number) {
            return Ok(number);
        }
        Err(self.error(name, format!("expected {expected}, found {}", node.describe())))
    }

    pub fn boolean(&mut self, name: &str, default: bool) -> Result<bool, RuleError> {
        match self.optional(name).map(|node| (&node.value, node)) {
            None => Ok(default),
            Some((Value::Bool(b), _)) => Ok(*b),
            Some((_, node)) => Err(self.error(name, format!("expected true or false, found {}", node.describe()))),
        }
    }

    /// A list of texts; one text stands for a list of one.
    pub fn texts(&mut self, name: &str) -> Result<Vec<(&'a str, Place)>, RuleError> {
        let Some(node) = self.optional(name) else { return Ok(Vec::new()) };
        match &node.value {
            Value::Text(text) => Ok(vec![(text.as_str(), node.place)]),
            Value::List(items) => items.iter().map(|item| self.list_item(name, item)).collect(),
            _ => Err(self.error(name, format!("expected a list of texts, found {}", node.describe()))),
        }
    }

    /// A list of mappings, each to be read in its turn; the first is called `name.1`.
    pub fn mappings(&mut self, name: &str, expected: &str) -> Result<Vec<Fields<'a>>, RuleError> {
        let node = self.required(name, expected)?;
        let Value::List(items) = &node.value else {
            return Err(self.error(name, format!("expected {expected}, found {}", node.describe())));
        };
        let path = self.path_of(name);
        let numbered = items.iter().zip(1..);
        numbered.map(|(item, number): (_, usize)| Fields::of(item, &format!("{path}.{number}"), self.file)).collect()
    }

    fn list_item(&self, name: &str, item: &'a Node) -> Result<(&'a str, Place), RuleError> {
        match &item.value {
            Value::Text(text) if !text.trim().is_empty() => Ok((text, item.place)),
            _ => {
                let message = format!("expected a list of texts, found {} in it", item.describe());
                Err(RuleError::new(self.file, item.place, &self.path_of(name), message))
            }
        }
    }

    /// A duration from `low` to `high`, in microseconds.
    pub fn duration(&mut self, name: &str, low: &str, high: &str) -> Result<i64, RuleError> {
        let expected = format!("a duration from {low} to {high} (30s, 5m, 1h, 7d)");
        let node = self.required(name, &expected)?;
        let range = super::duration_us(low).unwrap_or(0)..=super::duration_us(high).unwrap_or(i64::MAX);
        let given = if let Value::Text(text) = &node.value { super::duration_us(text) } else { None };
        match given {
            Some(us) if range.contains(&us) => Ok(us),
            _ => Err(self.error(name, format!("expected {expected}, found {}", node.describe()))),
        }
    }

    pub fn optional_duration(&mut self, name: &str, low: &str, high: &str) -> Result<Option<i64>, RuleError> {
        if self.optional(name).is_none() { Ok(None) } else { self.duration(name, low, high).map(Some) }
    }
}
