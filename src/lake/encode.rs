//! Rows to Parquet files, one or more per day, with the statistics by which readers skip them.
//!
//! Why not the table library's own writer: it casts dictionaries to plain text and plans each write as a query. Here a
//! dictionary column goes straight to the Parquet encoder, and a checkpoint that lies in one day is not copied at all.
//!
//! Promises: a file holds rows of one UTC day, in the order given, and ends at the first batch that takes it over the
//! target size. The name of a file contains a digest of its content, so that no file is ever overwritten by another.
//! Never: does I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, SecondsFormat};
use deltalake::kernel::Add;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

use super::error::LakeError;
use super::layout::{DAY, Table};

const DAY_US: i64 = 86_400_000_000;

/// One Parquet file, ready to be stored and named in a commit.
pub(crate) struct DataFile {
    pub(crate) path: String,
    pub(crate) bytes: Bytes,
    pub(crate) rows: usize,
    day: NaiveDate,
    stats: String,
}

impl DataFile {
    /// The action that adds this file to its table.
    pub(crate) fn add(&self, now_us: i64, data_change: bool) -> Add {
        Add {
            path: self.path.clone(),
            partition_values: HashMap::from([(DAY.to_string(), Some(self.day.to_string()))]),
            size: i64::try_from(self.bytes.len()).unwrap_or(i64::MAX),
            modification_time: now_us / 1_000,
            data_change,
            stats: Some(self.stats.clone()),
            ..Add::default()
        }
    }
}

/// Encodes batches of one table. `label` starts the file names and says who wrote them.
pub(crate) fn encode(
    table: Table,
    batches: &[RecordBatch],
    label: &str,
    target: u64,
) -> Result<Vec<DataFile>, LakeError> {
    let mut files = Vec::new();
    for (day, parts) in split_by_day(table, batches)? {
        let mut open: Option<DayWriter> = None;
        for part in &parts {
            let mut writer = match open.take() {
                Some(writer) => writer,
                None => DayWriter::new(table, day, part.schema())?,
            };
            writer.write(part)?;
            if writer.size() < target {
                open = Some(writer);
            } else {
                files.push(writer.finish(label)?);
            }
        }
        if let Some(writer) = open {
            files.push(writer.finish(label)?);
        }
    }
    Ok(files)
}

/// Writes one file of one day.
pub(crate) struct DayWriter {
    table: Table,
    day: NaiveDate,
    writer: ArrowWriter<Vec<u8>>,
}

impl DayWriter {
    pub(crate) fn new(table: Table, day: NaiveDate, schema: SchemaRef) -> Result<DayWriter, LakeError> {
        // The Arrow schema is left out: it would tell readers about our dictionaries, which the table does not have.
        let options =
            ArrowWriterOptions::new().with_properties(table.writer_properties()).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options);
        Ok(DayWriter { table, day, writer: writer.map_err(|e| LakeError::rows(table.name(), e))? })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.writer.write(batch).map_err(|e| LakeError::rows(self.table.name(), e))
    }

    /// Bytes so far, those still being encoded estimated.
    pub(crate) fn size(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    pub(crate) fn finish(mut self, label: &str) -> Result<DataFile, LakeError> {
        let fail = |e| LakeError::rows(self.table.name(), e);
        let metadata = self.writer.finish().map_err(fail)?;
        let bytes = Bytes::from(std::mem::take(self.writer.inner_mut()));
        let hash: String = digest(&SHA256, &bytes).as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
        Ok(DataFile {
            path: format!("{DAY}={}/{label}-{hash}.zstd.parquet", self.day),
            rows: usize::try_from(metadata.file_metadata().num_rows()).unwrap_or(0),
            day: self.day,
            stats: statistics(self.table, &metadata),
            bytes,
        })
    }
}

/// The batches of each day. A batch that lies in one day, as nearly all do, is passed on as it is.
fn split_by_day(table: Table, batches: &[RecordBatch]) -> Result<BTreeMap<NaiveDate, Vec<RecordBatch>>, LakeError> {
    let mut days: BTreeMap<NaiveDate, Vec<RecordBatch>> = BTreeMap::new();
    for batch in batches.iter().filter(|b| b.num_rows() > 0) {
        let times = times(table, batch)?;
        let (mut least, mut greatest) = (i64::MAX, i64::MIN);
        for &time in times {
            least = least.min(time);
            greatest = greatest.max(time);
        }
        if least.div_euclid(DAY_US) == greatest.div_euclid(DAY_US) {
            days.entry(date(table, least)?).or_default().push(batch.clone());
            continue;
        }
        let mut rows: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, time) in times.iter().enumerate() {
            rows.entry(time.div_euclid(DAY_US)).or_default().push(row as u32);
        }
        for (day, rows) in rows {
            let part = take_record_batch(batch, &UInt32Array::from(rows));
            let part = part.map_err(|e| LakeError::rows(table.name(), e))?;
            days.entry(date(table, day * DAY_US)?).or_default().push(part);
        }
    }
    Ok(days)
}

fn times(table: Table, batch: &RecordBatch) -> Result<&[i64], LakeError> {
    let name = table.time_column();
    let column = batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
    let column = column.ok_or_else(|| LakeError::rows(table.name(), format!("no time column `{name}`")))?;
    if column.null_count() > 0 {
        return Err(LakeError::rows(table.name(), format!("`{name}` is null")));
    }
    Ok(column.values())
}

fn date(table: Table, time_us: i64) -> Result<NaiveDate, LakeError> {
    let time = DateTime::from_timestamp_micros(time_us);
    time.map(|t| t.date_naive()).ok_or_else(|| LakeError::rows(table.name(), format!("time {time_us} is out of range")))
}

/// The statistics of a file in the table format's JSON.
fn statistics(table: Table, metadata: &ParquetMetaData) -> String {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    let schema = table.schema();
    for name in table.indexed() {
        let Ok(field) = schema.field_with_name(name) else { continue };
        let Some((low, high, null_count)) = column_range(metadata.row_groups(), name) else { continue };
        nulls.insert((*name).to_string(), json!(null_count));
        if let (Some(low), Some(high)) = (scalar(low, field.data_type()), scalar(high, field.data_type())) {
            least.insert((*name).to_string(), low);
            greatest.insert((*name).to_string(), high);
        }
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": least,
        "maxValues": greatest,
        "nullCount": nulls,
    })
    .to_string()
}

/// A least or greatest value as Parquet keeps it.
#[derive(Clone, PartialEq, PartialOrd)]
enum Bound {
    Number(i64),
    Text(Vec<u8>),
}

/// The range of one column over all row groups; none when a row group cannot say, or the column holds only nulls.
fn column_range(groups: &[RowGroupMetaData], name: &str) -> Option<(Bound, Bound, u64)> {
    let mut range: Option<(Bound, Bound)> = None;
    let mut nulls = 0;
    for group in groups {
        let column = group.columns().iter().find(|c| c.column_path().string() == name)?;
        let statistics = column.statistics()?;
        nulls += statistics.null_count_opt()?;
        let Some((low, high)) = bounds(statistics) else {
            // Only nulls: the group says nothing about the range.
            if statistics.null_count_opt()? == group.num_rows() as u64 {
                continue;
            }
            return None;
        };
        range = Some(match range {
            None => (low, high),
            Some((least, greatest)) => {
                (if low < least { low } else { least }, if high > greatest { high } else { greatest })
            }
        });
    }
    range.map(|(low, high)| (low, high, nulls))
}

fn bounds(statistics: &Statistics) -> Option<(Bound, Bound)> {
    match statistics {
        Statistics::Int32(s) => Some((Bound::Number((*s.min_opt()?).into()), Bound::Number((*s.max_opt()?).into()))),
        Statistics::Int64(s) => Some((Bound::Number(*s.min_opt()?), Bound::Number(*s.max_opt()?))),
        Statistics::ByteArray(s) if s.min_is_exact() && s.max_is_exact() => {
            Some((Bound::Text(s.min_opt()?.data().to_vec()), Bound::Text(s.max_opt()?.data().to_vec())))
        }
        _ => None,
    }
}

fn scalar(bound: Bound, kind: &DataType) -> Option<Value> {
    match (bound, kind) {
        (Bound::Number(us), DataType::Timestamp(..)) => {
            Some(DateTime::from_timestamp_micros(us)?.to_rfc3339_opts(SecondsFormat::Micros, true).into())
        }
        (Bound::Number(number), _) => Some(number.into()),
        (Bound::Text(bytes), _) => Some(String::from_utf8(bytes).ok()?.into()),
    }
}

/// The columns of a table from a batch that may have been written before some of them existed.
pub(crate) fn align(table: Table, batch: &RecordBatch) -> Result<RecordBatch, LakeError> {
    fit(&table.schema(), batch).map_err(|e| LakeError::rows(table.name(), e))
}

/// The columns of a schema, each as its type; null where the batch has none.
pub(crate) fn fit(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let column = |field: &Arc<arrow::datatypes::Field>| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => arrow::compute::cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns: Result<Vec<_>, _> = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema.clone(), columns?)
}
