//! Canonical JSON (RFC 8785) for the part of JSON that the audit uses: objects, arrays, strings, integers, booleans, null.
//!
//! Promises: two values are equal exactly when their canonical texts are, on every machine. A number that not every
//! reader holds exactly is refused: who has one writes it as a text.
//! Never: does I/O.

use serde_json::Value;

/// Integers beyond this are not exact in every reader of JSON.
const INTEGER_MAX: u64 = (1 << 53) - 1;
/// How deep a value may be nested.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    #[error("holds a number that is no whole one, or beyond 2^53 - 1; expected it as a text")]
    Number,
    #[error("is nested deeper than 32 levels")]
    Deep,
}

/// The canonical text of a value.
pub fn canonical(value: &Value) -> Result<String, CanonicalError> {
    let mut text = String::new();
    write(value, 0, &mut text)?;
    Ok(text)
}

/// A number with a fraction as the audit holds it.
pub fn decimal(number: f64) -> Value {
    Value::String(number.to_string())
}

/// The same value with every number that canonical JSON refuses as a text.
pub fn tolerant(value: Value) -> Value {
    match value {
        Value::Number(number) if !exact(&number) => Value::String(number.to_string()),
        Value::Array(items) => items.into_iter().map(tolerant).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, tolerant(value))).collect(),
        other => other,
    }
}

fn exact(number: &serde_json::Number) -> bool {
    match (number.as_u64(), number.as_i64()) {
        (Some(number), _) => number <= INTEGER_MAX,
        (None, Some(number)) => number.unsigned_abs() <= INTEGER_MAX,
        (None, None) => false,
    }
}

fn write(value: &Value, depth: usize, out: &mut String) -> Result<(), CanonicalError> {
    if depth > DEPTH_MAX {
        return Err(CanonicalError::Deep);
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) if exact(number) => out.push_str(&number.to_string()),
        Value::Number(_) => return Err(CanonicalError::Number),
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, depth + 1, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            // By code units of UTF-16, as RFC 8785 asks.
            sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                quote(key, out);
                out.push(':');
                write(value, depth + 1, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_example_of_the_standard_as_far_as_it_is_ours() {
        let value = json!({
            "string": "\u{20ac}$\u{f}\nA'B\"\\\\\"/", "literals": [null, true, false],
            "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis",
            "\u{20ac}": "Euro Sign",
        });
        let text = canonical(&value).expect("canonical");
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"literals\":[null,true,false],\
             \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\",\"\u{80}\":\"Control\",\
             \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
             \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(text, expected);
    }

    #[test]
    fn numbers_that_are_not_exact_everywhere_are_refused() {
        for (value, text) in [(json!(9007199254740991_i64), "9007199254740991"), (json!(-5), "-5"), (json!(0), "0")] {
            assert_eq!(canonical(&value).as_deref(), Ok(text));
        }
        for value in [json!(0.5), json!(9007199254740992_i64), json!(-9007199254740992_i64), json!(u64::MAX)] {
            assert_eq!(canonical(&json!({ "a": [value] })), Err(CanonicalError::Number), "{value}");
            assert!(canonical(&tolerant(json!({ "a": [value] }))).is_ok(), "{value}");
        }
        let deep = (0..100).fold(json!(1), |value, _| json!([value]));
        assert_eq!(canonical(&deep), Err(CanonicalError::Deep));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_says_the_same_and_is_the_same_when_read_again(value in values()) {
            let text = canonical(&value).expect("canonical");
            let read: Value = serde_json::from_str(&text).expect("JSON");
            prop_assert_eq!(&read, &value);
            prop_assert_eq!(canonical(&read).expect("canonical"), text);
        }

        #[test]
        fn the_order_of_fields_does_not_matter(fields in prop::collection::btree_map(any::<String>(), values(), 0..8)) {
            let forward: serde_json::Map<String, Value> = fields.clone().into_iter().collect();
            let backward: serde_json::Map<String, Value> = fields.into_iter().rev().collect();
            prop_assert_eq!(canonical(&Value::Object(forward)), canonical(&Value::Object(backward)));
        }

        #[test]
        fn different_values_have_different_texts(one in values(), other in values()) {
            prop_assert_eq!(one == other, canonical(&one) == canonical(&other));
        }
    }
}
