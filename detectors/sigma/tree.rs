//! YAML documents as trees in which every value knows its line, and back again into a plain form of YAML.
//!
//! Promises: duplicate keys, alias bombs and deep nests are errors; reading is bounded.
//! Never: interprets a value.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::limits;

/// What stands somewhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub text: String,
    pub line: u64,
}

/// A value and its line.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub content: Content,
    pub line: u64,
}

/// Reads the documents of a text; an error has its line.
pub fn read(text: &str) -> Result<Vec<Node>, (u64, String)> {
    let mut options = serde_saphyr::Options::default();
    options.strict_booleans = true;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = limits::DEPTH_MAX;
        budget.max_aliases = 1_000;
    }
    let documents: Vec<Spanned<Content>> =
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(0, |place| place.line());
            let said = error.without_snippet().to_string();
            (line, said.lines().next().unwrap_or_default().to_owned())
        })?;
    Ok(documents.into_iter().map(node).collect())
}

fn node(spanned: Spanned<Content>) -> Node {
    Node { line: spanned.referenced.line(), content: spanned.value }
}

impl Node {
    pub fn entries(&self) -> &[(Key, Node)] {
        if let Content::Map(entries) = &self.content { entries } else { &[] }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(name, _)| name.text == key).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let Content::Map(entries) = &mut self.content else { return None };
        entries.iter_mut().find(|(name, _)| name.text == key).map(|(_, value)| value)
    }

    pub fn text(&self) -> Option<&str> {
        if let Content::Text(text) = &self.content { Some(text) } else { None }
    }

    pub fn number(&self) -> Option<f64> {
        match &self.content {
            Content::Int(number) => Some(*number as f64),
            Content::Float(number) => Some(*number),
            _ => None,
        }
    }

    pub fn is_branch(&self) -> bool {
        matches!(self.content, Content::List(_) | Content::Map(_))
    }

    /// What this is, in the words of an error message.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Null => "nothing".into(),
            Content::Bool(is) => is.to_string(),
            Content::Int(number) => number.to_string(),
            Content::Float(number) => number.to_string(),
            Content::Text(text) => format!("`{}`", text.chars().take(60).collect::<String>()),
            Content::List(_) => "a list".into(),
            Content::Map(_) => "a mapping".into(),
        }
    }

    /// The line of the last of these keys that is there, each within the one before.
    pub fn line_of(&self, keys: &[&str]) -> u64 {
        let (mut at, mut line) = (self, self.line);
        for name in keys {
            let Some((key, value)) = at.entries().iter().find(|(key, _)| key.text == *name) else { break };
            (at, line) = (value, key.line);
        }
        line
    }

    /// The texts at these keys, be it one or a list.
    pub fn texts_of(&self, keys: &[&str]) -> Vec<&str> {
        let mut at = self;
        for name in keys {
            match at.get(name) {
                Some(value) => at = value,
                None => return Vec::new(),
            }
        }
        match &at.content {
            Content::List(members) => members.iter().filter_map(Node::text).collect(),
            _ => at.text().into_iter().collect(),
        }
    }

    /// The line of the first key that is such a one, at any level. Recursion is bounded by the reader.
    pub fn find(&self, such: &dyn Fn(&str) -> bool) -> Option<u64> {
        match &self.content {
            Content::Map(entries) => {
                entries.iter().find_map(|(key, value)| if such(&key.text) { Some(key.line) } else { value.find(such) })
            }
            Content::List(members) => members.iter().find_map(|member| member.find(such)),
            _ => None,
        }
    }
}

/// A document as one line of YAML, with no anchors, tags or plain texts: every reader reads it alike.
pub fn plain(node: &Node) -> String {
    let mut out = String::new();
    write(node, &mut out);
    out
}

fn write(node: &Node, out: &mut String) {
    match &node.content {
        Content::Null => out.push_str("null"),
        Content::Bool(is) => out.push_str(if *is { "true" } else { "false" }),
        Content::Int(number) => out.push_str(&number.to_string()),
        Content::Float(number) if number.is_finite() => out.push_str(&format!("{number:?}")),
        Content::Float(number) => quote(&number.to_string(), out),
        Content::Text(text) => quote(text, out),
        Content::List(members) => {
            out.push('[');
            for (nr, member) in members.iter().enumerate() {
                out.push_str(if nr == 0 { "" } else { ", " });
                write(member, out);
            }
            out.push(']');
        }
        Content::Map(entries) => {
            out.push('{');
            for (nr, (key, value)) in entries.iter().enumerate() {
                // The mark of a key that is longer than YAML lets an unmarked one be.
                out.push_str(if nr == 0 { "? " } else { ", ? " });
                quote(&key.text, out);
                out.push_str(" : ");
                write(value, out);
            }
            out.push('}');
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(c),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }
    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Content, E> {
        Ok(Content::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Content, E> {
        Ok(Content::Int(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Content, E> {
        Ok(i64::try_from(v).map_or(Content::Float(v as f64), Content::Int))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Content, E> {
        Ok(Content::Float(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Content, E> {
        Ok(Content::Text(v.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = seq.next_element::<Spanned<Content>>()? {
            members.push(node(member));
        }
        Ok(Content::List(members))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let value = map.next_value::<Spanned<Content>>()?;
            entries.push((Key { line: key.referenced.line(), text: key.value }, node(value)));
        }
        Ok(Content::Map(entries))
    }
}
