//! Rows to columns: `EventBuilder` appends `EventRow`s and yields a `RecordBatch` of `event::arrow_schema()`.
//!
//! Promises: the columns are made by walking `event::FIELDS`, in its order; a row cannot leave one out. A batch depends
//! on its rows alone: the dictionary of a column holds the values in order of appearance.
//! Never: redacts or checks a value. The normaliser does; so does whoever invents rows for a test.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BooleanBuilder, DictionaryArray, Float32Builder, Int32Array, Int32Builder, Int64Builder,
    ListBuilder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::Int32Type;

use crate::event::{FIELDS, Kind, arrow_schema};
use crate::hash::{self, FastMap};
use crate::limits::DICTIONARY_MAX;

/// One event, borrowed. Field by field the columns of `event::FIELDS`, where each is explained.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventRow<'a> {
    pub time: i64,
    pub observed_time: i64,
    pub source: &'a str,
    pub gateway: &'a str,
    pub request_id: Option<&'a str>,
    pub trace_id: Option<&'a str>,
    pub method: Option<&'a str>,
    pub host: Option<&'a str>,
    pub path: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub documented: Option<bool>,
    pub object_id: Option<&'a str>,
    pub query: Option<&'a str>,
    pub status: Option<i32>,
    pub grpc_status: Option<i32>,
    pub latency_us: Option<i64>,
    pub request_bytes: Option<i64>,
    pub response_bytes: Option<i64>,
    pub client_ip: Option<&'a str>,
    pub client_ip_source: Option<&'a str>,
    pub country: Option<&'a str>,
    pub asn: Option<i64>,
    pub as_org: Option<&'a str>,
    pub lat: Option<f32>,
    pub lon: Option<f32>,
    pub user_agent: Option<&'a str>,
    pub referrer: Option<&'a str>,
    pub client_class: Option<&'a str>,
    pub principal: Option<&'a str>,
    pub principal_kind: Option<&'a str>,
    pub principal_source: Option<&'a str>,
    pub tenant: Option<&'a str>,
    pub credential: Option<&'a str>,
    pub credential_kind: Option<&'a str>,
    pub jwt_alg: Option<&'a str>,
    pub jwt_iss: Option<&'a str>,
    pub jwt_exp: Option<i64>,
    pub scopes: Option<&'a str>,
    pub auth_result: Option<&'a str>,
    pub denied_by_us: Option<bool>,
    pub tls_version: Option<&'a str>,
    /// Empty is null.
    pub probes: &'a [&'a str],
    pub records: Option<i64>,
    /// Empty is null.
    pub redactions: &'a [&'a str],
    /// Empty is null.
    pub damaged: &'a [&'a str],
    /// Empty is null.
    pub earlier_tokens: &'a [&'a str],
    pub partition: i32,
    pub offset: i64,
    pub late: bool,
}

#[derive(Clone, Copy)]
enum Cell<'a> {
    Text(Option<&'a str>),
    Int(Option<i64>),
    Float(Option<f32>),
    Bool(Option<bool>),
    List(&'a [&'a str]),
}

/// The columns of `EventRow`, in the order of `FIELDS`; `builder_covers_every_field` proves the order.
const COLUMNS: usize = 49;

/// Reads a column of a row.
type Read = for<'r, 'a> fn(&'r EventRow<'a>) -> Cell<'a>;

const CELLS: [Read; COLUMNS] = [
    |row| Cell::Int(Some(row.time)),
    |row| Cell::Int(Some(row.observed_time)),
    |row| Cell::Text(Some(row.source)),
    |row| Cell::Text(Some(row.gateway)),
    |row| Cell::Text(row.request_id),
    |row| Cell::Text(row.trace_id),
    |row| Cell::Text(row.method),
    |row| Cell::Text(row.host),
    |row| Cell::Text(row.path),
    |row| Cell::Text(row.endpoint),
    |row| Cell::Bool(row.documented),
    |row| Cell::Text(row.object_id),
    |row| Cell::Text(row.query),
    |row| Cell::Int(row.status.map(i64::from)),
    |row| Cell::Int(row.grpc_status.map(i64::from)),
    |row| Cell::Int(row.latency_us),
    |row| Cell::Int(row.request_bytes),
    |row| Cell::Int(row.response_bytes),
    |row| Cell::Text(row.client_ip),
    |row| Cell::Text(row.client_ip_source),
    |row| Cell::Text(row.country),
    |row| Cell::Int(row.asn),
    |row| Cell::Text(row.as_org),
    |row| Cell::Float(row.lat),
    |row| Cell::Float(row.lon),
    |row| Cell::Text(row.user_agent),
    |row| Cell::Text(row.referrer),
    |row| Cell::Text(row.client_class),
    |row| Cell::Text(row.principal),
    |row| Cell::Text(row.principal_kind),
    |row| Cell::Text(row.principal_source),
    |row| Cell::Text(row.tenant),
    |row| Cell::Text(row.credential),
    |row| Cell::Text(row.credential_kind),
    |row| Cell::Text(row.jwt_alg),
    |row| Cell::Text(row.jwt_iss),
    |row| Cell::Int(row.jwt_exp),
    |row| Cell::Text(row.scopes),
    |row| Cell::Text(row.auth_result),
    |row| Cell::Bool(row.denied_by_us),
    |row| Cell::Text(row.tls_version),
    |row| Cell::List(row.probes),
    |row| Cell::Int(row.records),
    |row| Cell::List(row.redactions),
    |row| Cell::List(row.damaged),
    |row| Cell::List(row.earlier_tokens),
    |row| Cell::Int(Some(i64::from(row.partition))),
    |row| Cell::Int(Some(row.offset)),
    |row| Cell::Bool(Some(row.late)),
];

/// Appends rows, yields batches; reused from batch to batch.
pub struct EventBuilder {
    columns: Vec<Column>,
    rows: usize,
}

impl EventBuilder {
    pub fn new() -> EventBuilder {
        EventBuilder { columns: FIELDS.iter().map(|f| Column::new(f.kind)).collect(), rows: 0 }
    }

    pub fn append(&mut self, row: &EventRow<'_>) {
        self.extend(&[row]);
    }

    /// Appends rows, column by column: what a column branches on is the same for all of them.
    pub(crate) fn extend(&mut self, rows: &[&EventRow<'_>]) {
        for (column, read) in self.columns.iter_mut().zip(CELLS) {
            for (at, row) in rows.iter().enumerate() {
                column.append(self.rows + at, &read(row));
            }
        }
        self.rows += rows.len();
    }

    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows since the last call, as one batch.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(|column| column.finish(rows)).collect();
        RecordBatch::try_new(arrow_schema(), arrays).expect("columns are made from the fields of the schema")
    }
}

impl Default for EventBuilder {
    fn default() -> EventBuilder {
        EventBuilder::new()
    }
}

/// A column under construction. Nulls are appended late and together: many columns are null in most rows.
struct Column {
    /// Rows that the values hold; what is missing to the rows of the batch are nulls.
    filled: usize,
    values: Values,
}

enum Values {
    Time(TimestampMicrosecondBuilder),
    Dict(Box<Dict>),
    Text(StringBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Bool(BooleanBuilder),
    TextList(Box<ListBuilder<StringBuilder>>),
}

impl Column {
    fn new(kind: Kind) -> Column {
        let values = match kind {
            Kind::Time => Values::Time(TimestampMicrosecondBuilder::new().with_data_type(kind.data_type())),
            Kind::Dict => Values::Dict(Box::new(Dict::new())),
            Kind::Text => Values::Text(StringBuilder::new()),
            Kind::Int32 => Values::Int32(Int32Builder::new()),
            Kind::Int64 => Values::Int64(Int64Builder::new()),
            Kind::Float32 => Values::Float32(Float32Builder::new()),
            Kind::Bool => Values::Bool(BooleanBuilder::new()),
            Kind::TextList => Values::TextList(Box::new(ListBuilder::new(StringBuilder::new()))),
        };
        Column { filled: 0, values }
    }

    #[inline]
    fn append(&mut self, row: usize, cell: &Cell<'_>) {
        if matches!(cell, Cell::Text(None) | Cell::Int(None) | Cell::Float(None) | Cell::Bool(None) | Cell::List([])) {
            return;
        }
        if self.filled < row {
            self.fill(row);
        }
        self.filled = row + 1;
        match (&mut self.values, *cell) {
            (Values::Time(b), Cell::Int(Some(v))) => b.append_value(v),
            (Values::Dict(b), Cell::Text(Some(v))) => b.append(v),
            (Values::Text(b), Cell::Text(Some(v))) => b.append_value(v),
            (Values::Int32(b), Cell::Int(Some(v))) => b.append_value(v as i32),
            (Values::Int64(b), Cell::Int(Some(v))) => b.append_value(v),
            (Values::Float32(b), Cell::Float(Some(v))) => b.append_value(v),
            (Values::Bool(b), Cell::Bool(Some(v))) => b.append_value(v),
            (Values::TextList(b), Cell::List(items)) => {
                items.iter().for_each(|item| b.values().append_value(item));
                b.append(true);
            }
            _ => unreachable!("the cell of each field has the kind of its column"),
        }
    }

    /// Nulls up to this row.
    #[cold]
    fn fill(&mut self, row: usize) {
        let nulls = row - std::mem::replace(&mut self.filled, row);
        match &mut self.values {
            Values::Time(b) => b.append_nulls(nulls),
            Values::Dict(b) => b.keys.append_nulls(nulls),
            Values::Text(b) => (0..nulls).for_each(|_| b.append_null()),
            Values::Int32(b) => b.append_nulls(nulls),
            Values::Int64(b) => b.append_nulls(nulls),
            Values::Float32(b) => b.append_nulls(nulls),
            Values::Bool(b) => b.append_nulls(nulls),
            Values::TextList(b) => (0..nulls).for_each(|_| b.append(false)),
        }
    }

    /// The values so far, as an array. The next batch is expected to be about as large: growing by doubling would copy
    /// every text several times.
    fn finish(&mut self, rows: usize) -> ArrayRef {
        self.fill(rows);
        self.filled = 0;
        match &mut self.values {
            Values::Time(b) => {
                let next = TimestampMicrosecondBuilder::with_capacity(b.len());
                let data_type = Kind::Time.data_type();
                Arc::new(std::mem::replace(b, next.with_data_type(data_type)).finish())
            }
            Values::Dict(b) => b.finish(),
            Values::Text(b) => {
                let next = StringBuilder::with_capacity(b.len(), b.values_slice().len());
                Arc::new(std::mem::replace(b, next).finish())
            }
            Values::Int32(b) => Arc::new(std::mem::replace(b, Int32Builder::with_capacity(b.len())).finish()),
            Values::Int64(b) => Arc::new(std::mem::replace(b, Int64Builder::with_capacity(b.len())).finish()),
            Values::Float32(b) => Arc::new(b.finish()),
            Values::Bool(b) => Arc::new(b.finish()),
            Values::TextList(b) => Arc::new(b.finish()),
        }
    }
}

/// A dictionary column. It remembers its values across batches, so a value that repeats costs no allocation; each batch
/// gets a dictionary of its own values only.
struct Dict {
    keys: Int32Builder,
    values: StringBuilder,
    known: FastMap<Box<str>, u32>,
    /// Per known value: the batch it was last used in, and its key there.
    uses: Vec<(u64, i32)>,
    batch: u64,
    count: i32,
    last: String,
    /// Key of `last`; -1 when no row was appended yet.
    last_key: i32,
}

impl Dict {
    fn new() -> Dict {
        Dict {
            keys: Int32Builder::new(),
            values: StringBuilder::new(),
            known: hash::map(),
            uses: Vec::new(),
            batch: 0,
            count: 0,
            last: String::new(),
            last_key: -1,
        }
    }

    #[inline]
    fn append(&mut self, value: &str) {
        if self.last_key >= 0 && self.last == value {
            self.keys.append_value(self.last_key);
        } else {
            self.append_other(value);
        }
    }

    fn append_other(&mut self, value: &str) {
        let key = match self.known.get(value) {
            Some(&symbol) => self.key_of(symbol as usize, value),
            None => self.learn(value),
        };
        self.keys.append_value(key);
        self.last.clear();
        self.last.push_str(value);
        self.last_key = key;
    }

    fn key_of(&mut self, symbol: usize, value: &str) -> i32 {
        let (batch, key) = self.uses[symbol];
        if batch == self.batch {
            return key;
        }
        let key = self.add(value);
        self.uses[symbol] = (self.batch, key);
        key
    }

    fn learn(&mut self, value: &str) -> i32 {
        let key = self.add(value);
        if self.uses.len() < DICTIONARY_MAX {
            self.known.insert(value.into(), self.uses.len() as u32);
            self.uses.push((self.batch, key));
        } else {
            // Full: start over. The dictionary of this batch may hold a value twice, which Arrow allows.
            self.known.clear();
            self.uses.clear();
        }
        key
    }

    fn add(&mut self, value: &str) -> i32 {
        let key = self.count;
        self.values.append_value(value);
        self.count += 1;
        key
    }

    fn finish(&mut self) -> ArrayRef {
        let next = Int32Builder::with_capacity(self.keys.len());
        let keys: Int32Array = std::mem::replace(&mut self.keys, next).finish();
        let values = Arc::new(self.values.finish());
        self.batch += 1;
        self.count = 0;
        self.last_key = -1;
        let array = DictionaryArray::<Int32Type>::try_new(keys, values);
        Arc::new(array.expect("every key was made by adding its value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::event_json;

    fn full_row<'a>() -> EventRow<'a> {
        EventRow {
            time: 1,
            observed_time: 2,
            source: "source",
            gateway: "gateway",
            request_id: Some("request_id"),
            trace_id: Some("trace_id"),
            method: Some("method"),
            host: Some("host"),
            path: Some("path"),
            endpoint: Some("endpoint"),
            documented: Some(true),
            object_id: Some("object_id"),
            query: Some("query"),
            status: Some(200),
            grpc_status: Some(11),
            latency_us: Some(3),
            request_bytes: Some(4),
            response_bytes: Some(5),
            client_ip: Some("client_ip"),
            client_ip_source: Some("client_ip_source"),
            country: Some("country"),
            asn: Some(6),
            as_org: Some("as_org"),
            lat: Some(0.5),
            lon: Some(0.25),
            user_agent: Some("user_agent"),
            referrer: Some("referrer"),
            client_class: Some("client_class"),
            principal: Some("principal"),
            principal_kind: Some("principal_kind"),
            principal_source: Some("principal_source"),
            tenant: Some("tenant"),
            credential: Some("credential"),
            credential_kind: Some("credential_kind"),
            jwt_alg: Some("jwt_alg"),
            jwt_iss: Some("jwt_iss"),
            jwt_exp: Some(7),
            scopes: Some("scopes"),
            auth_result: Some("auth_result"),
            denied_by_us: Some(true),
            tls_version: Some("tls_version"),
            probes: &["probes"],
            records: Some(8),
            redactions: &["redactions"],
            damaged: &["damaged"],
            earlier_tokens: &["earlier_tokens"],
            partition: 9,
            offset: 10,
            late: true,
        }
    }

    #[test]
    fn builder_covers_every_field() {
        assert_eq!(COLUMNS, FIELDS.len());
        let mut builder = EventBuilder::new();
        builder.append(&full_row());
        let event = event_json(&builder.finish(), 0);
        for f in FIELDS {
            let value = &event[f.name];
            match f.kind {
                Kind::Dict | Kind::Text => assert_eq!(value, f.name),
                Kind::TextList => assert_eq!(value, &serde_json::json!([f.name])),
                Kind::Bool => assert_eq!(value, true),
                _ => assert!(!value.is_null(), "{} is null", f.name),
            }
        }
        assert_eq!(event["time"], "1970-01-01T00:00:00.000001Z");
        assert_eq!(event["jwt_exp"], "1970-01-01T00:00:00.000007Z");
        assert_eq!((event["offset"].as_i64(), event["records"].as_i64()), (Some(10), Some(8)));
    }

    #[test]
    fn absent_values_are_null_between_present_ones() {
        let mut builder = EventBuilder::new();
        let empty = EventRow { source: "s", gateway: "g", ..EventRow::default() };
        for row in [empty, full_row(), empty, empty, full_row()] {
            builder.append(&row);
        }
        assert_eq!(builder.len(), 5);
        let batch = builder.finish();
        assert!(builder.is_empty());
        for f in FIELDS.iter().filter(|f| f.nullable) {
            let nulls: Vec<bool> = (0..5).map(|row| event_json(&batch, row)[f.name].is_null()).collect();
            assert_eq!(nulls, [true, false, true, true, false], "{}", f.name);
        }
    }

    #[test]
    fn dictionaries_start_anew_with_each_batch() {
        let mut builder = EventBuilder::new();
        let row = |method| EventRow { source: "s", gateway: "g", method: Some(method), ..EventRow::default() };
        let methods = ["GET", "POST", "GET", "PUT", "GET"];
        for _ in 0..3 {
            methods.iter().for_each(|m| builder.append(&row(m)));
            let batch = builder.finish();
            let column = batch.column_by_name("method").expect("the column exists");
            let dictionary = arrow::array::AsArray::as_any_dictionary(column);
            assert_eq!(dictionary.values().len(), 3);
            let read: Vec<_> = (0..5).map(|i| event_json(&batch, i)["method"].clone()).collect();
            assert_eq!(read, methods);
        }
    }
}
