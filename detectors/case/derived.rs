//! What follows from the path of an event where a case gives the path alone: the endpoint, and the token of the object.
//!
//! Promises: the same as of a record with that path, method, status and client, in the order of the events; what the case gives
//! itself stays.
//! Never: derives anything else.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig};
use serde_json::{Value, json};

use crate::testkit::Row;

/// Events of one batch.
const AT_ONCE: usize = 8_192;
/// A record needs a time; nothing that is derived depends on it.
const TIME_S: i64 = 1_772_366_400;

/// Fills `endpoint` and `object_id` of the rows that have a path and no endpoint.
pub(super) fn fill(rows: &mut [Row]) {
    let wants = |row: &Row| row.get("path").is_some_and(Value::is_string) && !row.contains_key("endpoint");
    if !rows.iter().any(wants) {
        return;
    }
    let Ok(mut normaliser) = Normaliser::new(&SourceConfig::new("nginx_json"), &Keys::new("case", b"a case")) else {
        return;
    };
    let wanting: Vec<usize> = (0..rows.len()).filter(|at| wants(&rows[*at])).collect();
    for some in wanting.chunks(AT_ONCE) {
        let mut raw = RawBatch::new();
        for at in some {
            raw.push(*at as i64, 0, record(&rows[*at]).to_string().as_bytes());
        }
        let events = normaliser.normalise(&Lane::new("case", 0), &raw).events;
        derive(&events, rows);
    }
}

fn record(row: &Row) -> Value {
    let text = |name: &str| row.get(name).and_then(Value::as_str);
    let path = text("path").unwrap_or_default();
    let uri = text("query").map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    json!({
        "msec": TIME_S, "remote_addr": text("client_ip").unwrap_or("192.0.2.1"), "request_uri": uri,
        "request_method": text("method").unwrap_or("GET"), "status": row.get("status").and_then(Value::as_i64).unwrap_or(200),
    })
}

fn derive(events: &RecordBatch, rows: &mut [Row]) {
    let columns = ["offset", "endpoint", "object_id"].map(|name| events.column_by_name(name));
    let [Some(offsets), Some(endpoints), Some(objects)] = columns else { return };
    let offsets = offsets.as_primitive::<Int64Type>();
    let endpoints = endpoints.as_dictionary::<Int32Type>();
    let (names, objects) = (endpoints.values().as_string::<i32>(), objects.as_string::<i32>());
    for event in 0..events.num_rows() {
        let Some(row) = usize::try_from(offsets.value(event)).ok().and_then(|at| rows.get_mut(at)) else { continue };
        let has_method = row.get("method").is_some_and(Value::is_string);
        if let Some(name) = endpoints.key(event).map(|key| names.value(key)) {
            let name = if has_method { name.to_owned() } else { name.replacen("GET ", "- ", 1) };
            row.insert("endpoint".into(), name.into());
        }
        if objects.is_valid(event) && !row.contains_key("object_id") {
            row.insert("object_id".into(), objects.value(event).into());
        }
    }
}
