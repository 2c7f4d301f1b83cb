//! The five tables: their columns, how they are cut into days, which columns carry statistics.
//!
//! Promises: `events` has exactly the columns of `schemas::event::FIELDS`; every table also has `day`, the UTC date of
//! its time column, by which it is partitioned. Dictionaries are plain text in the table.
//! Never: does I/O.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use schemas::event;

/// The column every table is partitioned by.
pub const DAY: &str = "day";
/// Rows of one row group: what a reader skips or reads as a whole.
const ROW_GROUP_ROWS: usize = 131_072;

/// Text columns in which hardly a value repeats.
const UNIQUE: [&str; 6] = ["request_id", "trace_id", "action_id", "evidence", "previous", "hash"];

/// One table of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    Events,
    Alerts,
    Actions,
    Rejects,
    Audit,
}

impl Table {
    pub const ALL: [Table; 5] = [Table::Events, Table::Alerts, Table::Actions, Table::Rejects, Table::Audit];

    /// The name in SQL, and the folder under the root of the lake.
    pub fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Alerts => "alerts",
            Table::Actions => "actions",
            Table::Rejects => "rejects",
            Table::Audit => "audit",
        }
    }

    /// The column whose UTC date is the `day`.
    pub fn time_column(self) -> &'static str {
        match self {
            Table::Events | Table::Actions | Table::Audit => "time",
            Table::Alerts => "opened",
            Table::Rejects => "observed_time",
        }
    }

    /// The columns as stored, without `day`.
    pub fn schema(self) -> SchemaRef {
        static EVENTS: LazyLock<SchemaRef> = LazyLock::new(events);
        static ALERTS: LazyLock<SchemaRef> = LazyLock::new(alerts);
        static ACTIONS: LazyLock<SchemaRef> = LazyLock::new(actions);
        static REJECTS: LazyLock<SchemaRef> = LazyLock::new(rejects);
        static AUDIT: LazyLock<SchemaRef> = LazyLock::new(audit);
        match self {
            Table::Events => EVENTS.clone(),
            Table::Alerts => ALERTS.clone(),
            Table::Actions => ACTIONS.clone(),
            Table::Rejects => REJECTS.clone(),
            Table::Audit => AUDIT.clone(),
        }
    }

    /// Columns whose least and greatest value are noted per file, so that a query skips files.
    pub(crate) fn indexed(self) -> &'static [&'static str] {
        match self {
            Table::Events => &["time", "observed_time", "source", "partition", "offset", "status"],
            Table::Alerts => &["opened", "updated", "detector"],
            Table::Actions => &["time", "seq"],
            Table::Rejects => &["observed_time", "source", "partition", "offset"],
            Table::Audit => &["time", "instance", "n"],
        }
    }

    /// How files of this table are written.
    pub(crate) fn writer_properties(self) -> WriterProperties {
        let level = ZstdLevel::try_new(1).expect("1 is a zstd level");
        let mut builder = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_coerce_types(true)
            .set_created_by(concat!("gatewatch ", env!("CARGO_PKG_VERSION")).to_string())
            .set_statistics_enabled(EnabledStatistics::None);
        for name in self.indexed() {
            let detail = if *name == self.time_column() { EnabledStatistics::Page } else { EnabledStatistics::Chunk };
            builder = builder.set_column_statistics_enabled(ColumnPath::from(*name), detail);
        }
        for field in self.schema().fields() {
            let column = ColumnPath::from(field.name().as_str());
            match field.data_type() {
                // Neighbours are close to each other, values repeat rarely: differences are smaller than a dictionary.
                DataType::Int64 | DataType::Timestamp(..) => {
                    builder = builder
                        .set_column_dictionary_enabled(column.clone(), false)
                        .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
                }
                // A dictionary would be built only to be given up.
                _ if UNIQUE.contains(&field.name().as_str()) => {
                    builder = builder.set_column_dictionary_enabled(column, false);
                }
                _ => {}
            }
        }
        builder.build()
    }
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn text_list() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))
}

fn events() -> SchemaRef {
    let stored = |kind: event::Kind| match kind {
        event::Kind::Dict => DataType::Utf8,
        event::Kind::TextList => text_list(),
        other => other.data_type(),
    };
    let fields: Vec<Field> = event::FIELDS.iter().map(|f| Field::new(f.name, stored(f.kind), f.nullable)).collect();
    Arc::new(Schema::new(fields))
}

fn alerts() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("revision", DataType::Int32, false),
        Field::new("state", DataType::Utf8, false),
        Field::new("detector", DataType::Utf8, false),
        Field::new("title", DataType::Utf8, false),
        Field::new("severity", DataType::Utf8, false),
        Field::new("entity_kind", DataType::Utf8, false),
        Field::new("entity_value", DataType::Utf8, false),
        Field::new("opened", time(), false),
        Field::new("updated", time(), false),
        Field::new("window_start", time(), false),
        Field::new("window_end", time(), false),
        Field::new("observed", DataType::Float64, false),
        Field::new("expected", DataType::Float64, true),
        Field::new("threshold", DataType::Float64, false),
        Field::new("score", DataType::Float64, false),
        Field::new("events", DataType::Int64, false),
        Field::new("owasp", text_list(), true),
        Field::new("attack", text_list(), true),
        Field::new("evidence", DataType::Utf8, false),
        Field::new("dry_run", DataType::Boolean, false),
        Field::new("part_of", DataType::Utf8, true),
    ]))
}

fn actions() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("seq", DataType::Int64, false),
        Field::new("time", time(), false),
        Field::new("action_id", DataType::Utf8, false),
        Field::new("alert_id", DataType::Utf8, false),
        Field::new("detector", DataType::Utf8, false),
        Field::new("entity_kind", DataType::Utf8, false),
        Field::new("entity_value", DataType::Utf8, false),
        Field::new("target", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("step", DataType::Utf8, false),
        Field::new("dry_run", DataType::Boolean, false),
        Field::new("expires", time(), true),
        Field::new("detail", DataType::Utf8, false),
        Field::new("answer", DataType::Utf8, true),
        Field::new("op", DataType::Utf8, true),
        Field::new("incident_id", DataType::Utf8, true),
    ]))
}

fn audit() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("instance", DataType::Utf8, false),
        Field::new("n", DataType::Int64, false),
        Field::new("time", time(), false),
        Field::new("actor", DataType::Utf8, false),
        Field::new("what", DataType::Utf8, false),
        Field::new("about", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
        Field::new("previous", DataType::Utf8, false),
        Field::new("hash", DataType::Utf8, false),
    ]))
}

fn rejects() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("source", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("observed_time", time(), false),
        Field::new("code", DataType::Utf8, false),
        Field::new("detail", DataType::Utf8, false),
        Field::new("length", DataType::Int64, false),
        Field::new("sealed", DataType::Binary, true),
        Field::new("element", DataType::Int32, true),
    ]))
}
