//! Events as people read them: one row of a batch as a JSON object, every column by name.
//!
//! Promises: all columns in the order of the schema, nulls included; times RFC 3339 UTC with microseconds; lists as
//! arrays. It works on any batch whose columns have the types of `event::FIELDS`, also one read back from the lake.
//! Never: sees anything but events, which are redacted.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use serde_json::{Map, Value};

/// Row `row` of `batch`; panics when there is no such row, as indexing does.
pub fn event_json(batch: &RecordBatch, row: usize) -> Map<String, Value> {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    columns.map(|(field, column)| (field.name().clone(), value_json(column.as_ref(), row))).collect()
}

fn value_json(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Timestamp(_, _) => time_text(column.as_primitive::<TimestampMicrosecondType>().value(row)).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float32 => f64::from(column.as_primitive::<Float32Type>().value(row)).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Dictionary(_, _) => {
            let dictionary = column.as_any_dictionary();
            value_json(dictionary.values().as_ref(), dictionary.normalized_keys()[row])
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            (0..items.len()).map(|i| value_json(items.as_ref(), i)).collect()
        }
        other => format!("({other})").into(),
    }
}

/// Microseconds since 1970 as RFC 3339 UTC with six decimals.
pub fn time_text(us: i64) -> String {
    match chrono::DateTime::from_timestamp_micros(us) {
        Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        None => format!("{us}us"),
    }
}
