//! One walk over a record: keys are looked up in the plan's trie as they come, values that a column wants are put in
//! their slot, everything else is skipped unseen.
//!
//! Promises: texts are borrowed from the record; only those with escapes are copied, into one buffer that is reused.
//! Never: recurses deeper than the mapping's paths; what is skipped is skipped without recursion.

use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::plan::{Node, Plan, SLOT_NONE};
use crate::reject::Code;
use crate::request::Fault;

/// A value of a record.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'b> {
    Absent,
    Text(&'b str),
    /// A text with escapes, in the scratch buffer from..to.
    Copied(u32, u32),
    Int(i64),
    /// Beyond i64.
    Large,
    Float(f64),
    Bool,
    /// An object, or an array of something else than texts and numbers.
    Nested,
}

/// The values of one record, by slot of the plan.
pub(crate) struct Slots<'b> {
    values: Vec<Scalar<'b>>,
    scratch: String,
}

impl<'b> Slots<'b> {
    pub(crate) fn new(plan: &Plan) -> Slots<'b> {
        Slots { values: vec![Scalar::Absent; plan.slots()], scratch: String::new() }
    }

    /// Walks `text`, which must be one JSON object.
    pub(crate) fn fill(&mut self, plan: &Plan, text: &'b str) -> Result<(), Fault> {
        self.values.fill(Scalar::Absent);
        self.scratch.clear();
        if !text.starts_with('{') {
            return Err(not_an_object(text));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let walk = Walk { plan, node: plan.root(), slots: self };
        let walked = walk.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        walked.map_err(|error| syntax(&error))
    }

    pub(crate) fn get(&self, slot: u16) -> Scalar<'b> {
        self.values[usize::from(slot)]
    }

    pub(crate) fn copied(&self, from: u32, to: u32) -> &str {
        &self.scratch[from as usize..to as usize]
    }

    fn copy(&mut self, text: &str) -> Scalar<'b> {
        let from = self.scratch.len() as u32;
        self.scratch.push_str(text);
        Scalar::Copied(from, self.scratch.len() as u32)
    }

    /// A number as text, for a column of text.
    fn print(&mut self, number: impl fmt::Display) -> Scalar<'b> {
        let from = self.scratch.len() as u32;
        write!(self.scratch, "{number}").expect("writing to a string succeeds");
        Scalar::Copied(from, self.scratch.len() as u32)
    }

    /// Joins a further text of an array to the value of a slot: two headers of one name are one, with a comma.
    fn join(&mut self, slot: usize, text: &str) {
        let from = self.scratch.len();
        match self.values[slot] {
            Scalar::Text(first) => self.scratch.push_str(first),
            Scalar::Copied(start, end) => self.scratch.extend_from_within_range(start as usize, end as usize),
            _ => return,
        }
        self.scratch.push_str(", ");
        self.scratch.push_str(text);
        self.values[slot] = Scalar::Copied(from as u32, self.scratch.len() as u32);
    }
}

trait ExtendFromWithin {
    fn extend_from_within_range(&mut self, start: usize, end: usize);
}

impl ExtendFromWithin for String {
    fn extend_from_within_range(&mut self, start: usize, end: usize) {
        let text = self[start..end].to_string();
        self.push_str(&text);
    }
}

fn not_an_object(text: &str) -> Fault {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Fault::new(Code::NotAnObject, "expected a JSON object"),
        Err(error) => syntax(&error),
    }
}

/// What is wrong with the JSON, without its words: they may quote the record.
pub(super) fn syntax(error: &serde_json::Error) -> Fault {
    let at = error.column();
    let detail = if error.is_eof() {
        format!("the JSON ends early, at byte {at}")
    } else if error.to_string().starts_with("recursion limit") {
        format!("the JSON is nested too deep, at byte {at}")
    } else {
        format!("not JSON, at byte {at}")
    };
    Fault::new(Code::InvalidJson, detail)
}

/// Reads one value at a node of the trie.
struct Walk<'s, 'p, 'b> {
    plan: &'p Plan,
    node: &'p Node,
    slots: &'s mut Slots<'b>,
}

impl<'b> Walk<'_, '_, 'b> {
    #[inline]
    fn put(self, value: Scalar<'b>) {
        if self.node.slot != SLOT_NONE {
            self.slots.values[usize::from(self.node.slot)] = value;
        }
    }

    fn put_number(self, value: Scalar<'b>, number: impl fmt::Display) {
        let value = if self.node.is_text { self.slots.print(number) } else { value };
        self.put(value);
    }
}

impl<'b> DeserializeSeed<'b> for Walk<'_, '_, 'b> {
    type Value = ();

    #[inline]
    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'b> Visitor<'b> for Walk<'_, '_, 'b> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    #[inline]
    fn visit_borrowed_str<E>(self, text: &'b str) -> Result<(), E> {
        self.put(Scalar::Text(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let value = self.slots.copy(text);
        self.put(value);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.put_number(Scalar::Int(number), number);
        Ok(())
    }

    #[inline]
    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        let value = i64::try_from(number).map_or(Scalar::Large, Scalar::Int);
        self.put_number(value, number);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.put_number(Scalar::Float(number), number);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.put(Scalar::Bool);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.put(Scalar::Absent);
        Ok(())
    }

    #[inline]
    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        let Walk { plan, node, slots } = self;
        if node.slot != SLOT_NONE {
            slots.values[usize::from(node.slot)] = Scalar::Nested;
        }
        while let Some(child) = map.next_key_seed(Key { plan, node })? {
            match child {
                Some(node) => map.next_value_seed(Walk { plan, node, slots })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut array: A) -> Result<(), A::Error> {
        let Walk { plan, node, slots } = self;
        let leaf = node.element();
        if node.slot == SLOT_NONE {
            while array.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let slot = usize::from(node.slot);
        slots.values[slot] = Scalar::Absent;
        let mut first = Scalar::Absent;
        while let Some(()) = array.next_element_seed(Walk { plan, node: &leaf, slots })? {
            let value = std::mem::replace(&mut slots.values[slot], first);
            match (first, value) {
                (Scalar::Absent, value) => slots.values[slot] = value,
                (_, Scalar::Text(text)) => slots.join(slot, text),
                (_, Scalar::Copied(from, to)) => {
                    let text = slots.copied(from, to).to_string();
                    slots.join(slot, &text);
                }
                (_, Scalar::Absent) => {}
                _ => slots.values[slot] = Scalar::Nested,
            }
            first = slots.values[slot];
        }
        Ok(())
    }
}

/// Looks a key up among the children of a node.
struct Key<'p> {
    plan: &'p Plan,
    node: &'p Node,
}

impl<'p, 'b> DeserializeSeed<'b> for Key<'p> {
    type Value = Option<&'p Node>;

    #[inline]
    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'p> Visitor<'_> for Key<'p> {
    type Value = Option<&'p Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    #[inline]
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.plan.child(self.node, key))
    }
}

/// Calls `found` with the path of each key of the object `text` that the plan does not know. What is not JSON has none.
pub(crate) fn unknown_keys(plan: &Plan, text: &str, found: &mut dyn FnMut(&str)) {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let unknown = Unknown { plan, node: plan.root(), path: &mut String::new(), found };
    // An error means a reject, which was reported where it happened.
    let _ = unknown.deserialize(&mut deserializer);
}

struct Unknown<'s, 'p> {
    plan: &'p Plan,
    node: &'p Node,
    path: &'s mut String,
    found: &'s mut dyn FnMut(&str),
}

impl<'b> DeserializeSeed<'b> for Unknown<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'b> Visitor<'b> for Unknown<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<(), A::Error> {
        let Unknown { plan, node, path, found } = self;
        let length = path.len();
        while let Some(key) = map.next_key::<std::borrow::Cow<'b, str>>()? {
            path.truncate(length);
            if length > 0 {
                path.push('.');
            }
            path.push_str(&key);
            match plan.child(node, &key) {
                Some(child) if plan.has_named_children(child) => {
                    let value: &'b serde_json::value::RawValue = map.next_value()?;
                    if value.get().starts_with('{') {
                        let mut inner = serde_json::Deserializer::from_str(value.get());
                        Unknown { plan, node: child, path: &mut *path, found: &mut *found }
                            .deserialize(&mut inner)
                            .map_err(serde::de::Error::custom)?;
                    }
                }
                Some(_) => drop(map.next_value::<IgnoredAny>()?),
                None => {
                    found(path);
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        path.truncate(length);
        Ok(())
    }
}
