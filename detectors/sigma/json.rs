//! A JSON object as an event: its keys are the names of fields, as `sigma test` reads them.
//!
//! Promises: `a.b` is the key `a.b`, and where there is none, `b` within `a`; a list is each of its members.
//! Never: follows more levels than JSON itself was read with.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::fields::{Fields, Value};

/// An event in JSON.
pub struct JsonEvent<'a>(pub &'a Map<String, Json>);

impl Fields for JsonEvent<'_> {
    fn values<'a>(&'a self, name: &str, found: &mut Vec<Value<'a>>) {
        lookup(self.0, name, found);
    }

    fn everything<'a>(&'a self, found: &mut Vec<Value<'a>>) {
        self.0.values().for_each(|value| flatten(value, found));
    }
}

fn lookup<'a>(object: &'a Map<String, Json>, name: &str, found: &mut Vec<Value<'a>>) {
    if let Some(value) = object.get(name) {
        return add(value, found);
    }
    // Keys may hold dots themselves: every cut is tried, the longest key first.
    let cuts = name.match_indices('.').map(|(at, _)| at).collect::<Vec<_>>();
    for at in cuts.into_iter().rev() {
        let (head, rest) = (&name[..at], &name[at + 1..]);
        match object.get(head) {
            Some(Json::Object(inner)) => return lookup(inner, rest, found),
            Some(Json::Array(members)) => {
                members.iter().filter_map(Json::as_object).for_each(|inner| lookup(inner, rest, found));
                return;
            }
            _ => {}
        }
    }
}

fn add<'a>(value: &'a Json, found: &mut Vec<Value<'a>>) {
    match value {
        Json::Array(members) if members.is_empty() => found.push(Value::Null),
        Json::Array(members) => members.iter().for_each(|member| add(member, found)),
        // A rule that names an object can only ask whether it is there, or look into its text.
        Json::Object(_) => found.push(Value::Text(Cow::Owned(value.to_string()))),
        plain => found.extend(scalar(plain)),
    }
}

fn flatten<'a>(value: &'a Json, found: &mut Vec<Value<'a>>) {
    match value {
        Json::Array(members) => members.iter().for_each(|member| flatten(member, found)),
        Json::Object(inner) => inner.values().for_each(|member| flatten(member, found)),
        plain => found.extend(scalar(plain)),
    }
}

fn scalar(value: &Json) -> Option<Value<'_>> {
    Some(match value {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Bool(*is),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64()?),
        },
        Json::String(text) => Value::Text(Cow::Borrowed(text)),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_reach_into_objects_and_lists() {
        let event = json!({
            "a.b": 1, "a": {"b": 2, "c": {"d": "x"}}, "list": ["p", 7, null], "of": [{"k": 1}, {"k": 2}], "none": [],
        });
        let event = JsonEvent(event.as_object().unwrap());
        let values = |name: &str| {
            let mut found = Vec::new();
            event.values(name, &mut found);
            found
        };
        assert_eq!(values("a.b"), [Value::Int(1)]);
        assert_eq!(values("a.c.d"), [Value::Text("x".into())]);
        assert_eq!(values("list"), [Value::Text("p".into()), Value::Int(7), Value::Null]);
        assert_eq!(values("of.k"), [Value::Int(1), Value::Int(2)]);
        assert_eq!(values("none"), [Value::Null]);
        assert_eq!(values("a.c.e"), []);
        assert_eq!(values("missing"), []);
        let mut all = Vec::new();
        event.everything(&mut all);
        assert_eq!(all.len(), 8);
    }
}
