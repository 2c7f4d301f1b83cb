//! The `method` of a detector: which one, by the table of methods.
//!
//! Promises: exactly one method, with keys that it knows.
//! Never: knows a method by name.

use std::sync::Arc;

use super::node::{Fields, Value};
use super::{EntityKind, RuleError};
use crate::kit::Settings;
use crate::method::METHODS;

pub(super) fn read(fields: &mut Fields<'_>, entity: &EntityKind, file: &str) -> Result<Arc<dyn Settings>, RuleError> {
    let names: Vec<&str> = METHODS.iter().map(|(name, ..)| *name).collect();
    let names = format!("one of {}", names.join(", "));
    let expected = format!("a mapping with {names}");
    let node = fields.required("method", &expected)?;
    let Value::Map(entries) = &node.value else {
        return Err(fields.error("method", format!("expected {expected}, found {}", node.describe())));
    };
    let [(key, settings)] = entries.as_slice() else {
        return Err(fields.error("method", format!("expected exactly {names}, found {} of them", entries.len())));
    };
    let path = format!("method.{}", key.text);
    let Some((_, keys, read)) = METHODS.iter().find(|(name, ..)| *name == key.text) else {
        let message = format!("unknown method `{}`; expected {names}", key.text);
        return Err(RuleError::new(file, key.place, &path, message));
    };
    let mut fields = Fields::of(settings, &path, file)?;
    let method = read(&mut fields, entity)?;
    fields.done(keys)?;
    Ok(method)
}
