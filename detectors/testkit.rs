//! Batches of events from partial rows, and seeded chance ([`Chance`]), for detector cases and for tests of whoever uses the engine.
//!
//! Promises: a row names only the columns that matter; the others are NULL or, where NULL is not allowed, a plain
//! default (source `case`, gateway `case`, partition 0, the row's number as offset, observed when it happened).
//! Never: used on real input; that comes through the normaliser.

mod chance;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float32Builder, Int32Builder, Int64Builder, ListBuilder, RecordBatch, StringBuilder,
    StringDictionaryBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, Int32Type};
use schemas::event::{FIELDS, Field, Kind, arrow_schema};
use serde_json::{Map, Value};

use crate::engine::parse_rfc3339;

pub use chance::Chance;

/// One event: column name to value. `time` is RFC 3339 text or a whole number of microseconds.
pub type Row = Map<String, Value>;

/// Builds a batch of the event schema. Says which row and column is wrong, and what was expected.
pub fn batch(rows: &[Row]) -> Result<RecordBatch, String> {
    // Each name once: most columns are in no row, and cost nothing then.
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for (number, row) in rows.iter().enumerate() {
        for key in row.keys().map(String::as_str) {
            if !named.contains(key) {
                if FIELDS.iter().all(|field| field.name != key) {
                    return Err(format!("row {number}: `{key}` is not a column of the event"));
                }
                named.insert(key);
            }
        }
    }
    let of = |field: &Field| match field.nullable && !named.contains(field.name) {
        true => Ok(new_null_array(&field.kind.data_type(), rows.len())),
        false => column(field, rows),
    };
    let columns: Result<Vec<ArrayRef>, String> = FIELDS.iter().map(of).collect();
    RecordBatch::try_new(arrow_schema(), columns?).map_err(|error| error.to_string())
}

/// A batch from JSON objects, for tests that write them with `json!`.
pub fn batch_of(rows: &[Value]) -> Result<RecordBatch, String> {
    let rows: Option<Vec<Row>> = rows.iter().map(|row| row.as_object().cloned()).collect();
    batch(&rows.ok_or("a row is not an object")?)
}

fn column(field: &Field, rows: &[Row]) -> Result<ArrayRef, String> {
    let cells = rows.iter().enumerate().map(|(number, row)| cell(field, number, row));
    let text = |v: &Value| v.as_str().map(str::to_owned);
    Ok(match field.kind {
        Kind::Time => {
            let times = collect(field, cells, "a time (RFC 3339 or microseconds)", time_us)?;
            let mut builder = TimestampMicrosecondBuilder::new().with_data_type(Kind::Time.data_type());
            times.into_iter().for_each(|t| builder.append_option(t));
            Arc::new(builder.finish())
        }
        Kind::Dict => {
            let mut builder = StringDictionaryBuilder::<Int32Type>::new();
            collect(field, cells, "text", text)?.into_iter().for_each(|t| builder.append_option(t));
            Arc::new(builder.finish())
        }
        Kind::Text => {
            let mut builder = StringBuilder::new();
            collect(field, cells, "text", text)?.into_iter().for_each(|t| builder.append_option(t));
            Arc::new(builder.finish())
        }
        Kind::Int32 => {
            let numbers = collect(field, cells, "a whole number", |v| v.as_i64().and_then(|n| i32::try_from(n).ok()))?;
            let mut builder = Int32Builder::new();
            numbers.into_iter().for_each(|n| builder.append_option(n));
            Arc::new(builder.finish())
        }
        Kind::Int64 => {
            let mut builder = Int64Builder::new();
            collect(field, cells, "a whole number", Value::as_i64)?.into_iter().for_each(|n| builder.append_option(n));
            Arc::new(builder.finish())
        }
        Kind::Float32 => {
            let mut builder = Float32Builder::new();
            let numbers = collect(field, cells, "a number", Value::as_f64)?;
            numbers.into_iter().for_each(|n| builder.append_option(n.map(|n| n as f32)));
            Arc::new(builder.finish())
        }
        Kind::Bool => {
            let mut builder = BooleanBuilder::new();
            collect(field, cells, "true or false", Value::as_bool)?.into_iter().for_each(|b| builder.append_option(b));
            Arc::new(builder.finish())
        }
        Kind::TextList => text_lists(field, cells)?,
    })
}

fn text_lists(field: &Field, cells: impl Iterator<Item = (usize, Option<Value>)>) -> Result<ArrayRef, String> {
    let texts = |v: &Value| v.as_array()?.iter().map(|t| t.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in collect(field, cells, "a list of texts", texts)? {
        builder.append_option(list.map(|list| list.into_iter().map(Some)));
    }
    Ok(Arc::new(builder.finish()))
}

/// The cell of a row, with the defaults of columns that cannot be NULL.
fn cell(field: &Field, number: usize, row: &Row) -> (usize, Option<Value>) {
    let given = row.get(field.name).filter(|v| !v.is_null()).cloned();
    let default = || match field.name {
        "observed_time" => row.get("time").cloned(),
        "source" | "gateway" => Some(Value::from("case")),
        "partition" => Some(Value::from(0)),
        "offset" => Some(Value::from(number)),
        "late" => Some(Value::from(false)),
        _ => None,
    };
    (number, given.or_else(default))
}

fn collect<T>(
    field: &Field,
    cells: impl Iterator<Item = (usize, Option<Value>)>,
    expected: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<Option<T>>, String> {
    let wrong = |number: usize| format!("row {number}: expected {expected} for `{}`", field.name);
    cells
        .map(|(number, cell)| match cell {
            None if field.nullable => Ok(None),
            None => Err(wrong(number)),
            Some(value) => read(&value).map(Some).ok_or_else(|| wrong(number)),
        })
        .collect()
}

fn time_us(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| parse_rfc3339(value.as_str()?))
}

/// Whether every column has the type the schema says; the builders above are checked by it in tests.
pub fn has_event_schema(events: &RecordBatch) -> bool {
    let types: Vec<&DataType> = events.columns().iter().map(|c| c.data_type()).collect();
    types.iter().zip(FIELDS).all(|(found, field)| **found == field.kind.data_type()) && types.len() == FIELDS.len()
}
