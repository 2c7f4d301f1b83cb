//! Answers as text or bytes: an aligned table, JSON Lines, CSV, an Arrow stream.
//!
//! Promises: times are RFC 3339 in UTC; JSON has one object a line with every selected column in it, null included, so
//! that `jq` and line tools agree on the fields; CSV has a header, and lists as JSON in one cell.
//! Never: changes the order of rows.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{LineDelimited, WriterBuilder as JsonWriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;
use clap::ValueEnum;

use super::{QueryError, QueryOutput};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// JSON Lines: one object a row.
    Json,
    /// With a header; a list is JSON in its cell.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

/// Writes an answer.
pub fn write(output: &QueryOutput, format: Format, to: &mut dyn Write) -> Result<(), QueryError> {
    let written = match format {
        Format::Table => table(output, to),
        Format::Json => json(output, to),
        Format::Csv => csv(output, to),
        Format::Arrow => ipc(output, to),
    };
    written.map_err(|e| QueryError::Output(e.to_string()))
}

fn table(output: &QueryOutput, to: &mut dyn Write) -> Result<(), ArrowError> {
    let batches: Result<Vec<_>, _> =
        output.batches.iter().map(|b| map_columns(b, &output.schema, plain_text)).collect();
    let mut batches = batches?;
    if batches.is_empty() {
        batches.push(map_columns(&RecordBatch::new_empty(output.schema.clone()), &output.schema, plain_text)?);
    }
    let text = pretty_format_batches_with_options(&batches, &FormatOptions::default())?;
    writeln!(to, "{text}")?;
    let rows = output.rows();
    let more = if output.truncated { ", there are more" } else { "" };
    writeln!(to, "{rows} row{}{more}", if rows == 1 { "" } else { "s" })?;
    Ok(())
}

fn json(output: &QueryOutput, to: &mut dyn Write) -> Result<(), ArrowError> {
    let mut writer = JsonWriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(to);
    for batch in &output.batches {
        writer.write(batch)?;
    }
    writer.finish()
}

fn csv(output: &QueryOutput, to: &mut dyn Write) -> Result<(), ArrowError> {
    let mut writer = CsvWriterBuilder::new().with_header(true).build(to);
    for batch in &output.batches {
        writer.write(&map_columns(batch, &output.schema, list_as_json)?)?;
    }
    if output.batches.is_empty() {
        writer.write(&map_columns(&RecordBatch::new_empty(output.schema.clone()), &output.schema, list_as_json)?)?;
    }
    Ok(())
}

fn ipc(output: &QueryOutput, to: &mut dyn Write) -> Result<(), ArrowError> {
    let mut writer = StreamWriter::try_new(to, &output.schema)?;
    for batch in &output.batches {
        writer.write(batch)?;
    }
    writer.finish()
}

/// A batch with some columns turned into text. `turn` returns none for a column that stays.
fn map_columns(
    batch: &RecordBatch,
    schema: &SchemaRef,
    turn: fn(&ArrayRef) -> Result<Option<ArrayRef>, ArrowError>,
) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        match turn(column)? {
            Some(text) => {
                fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
                columns.push(text);
            }
            None => {
                fields.push(field.clone());
                columns.push(column.clone());
            }
        }
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

/// CSV has no lists: they become JSON arrays in a cell.
fn list_as_json(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    if !column.data_type().is_nested() {
        return Ok(None);
    }
    let schema = Arc::new(Schema::new(vec![Field::new("v", column.data_type().clone(), true)]));
    let mut texts: Vec<Option<String>> = Vec::with_capacity(column.len());
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.push(None);
            continue;
        }
        let one = RecordBatch::try_new(schema.clone(), vec![column.slice(row, 1)])?;
        let mut line = Vec::new();
        let mut writer = JsonWriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut line);
        writer.write(&one)?;
        writer.finish()?;
        let line = String::from_utf8_lossy(&line);
        let value = line.trim().strip_prefix("{\"v\":").and_then(|rest| rest.strip_suffix('}'));
        texts.push(value.map(str::to_string));
    }
    Ok(Some(Arc::new(StringArray::from(texts))))
}

/// On a terminal, text from outside must not move the cursor: control characters are shown, not sent.
fn plain_text(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    if !may_hold_text(column.data_type()) {
        return Ok(None);
    }
    let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default())?;
    let escape = |row: usize| {
        (!column.is_null(row)).then(|| {
            let text = formatter.value(row).to_string();
            if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text }
        })
    };
    Ok(Some(Arc::new((0..column.len()).map(escape).collect::<StringArray>())))
}

fn may_hold_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => may_hold_text(value),
        other => other.is_nested(),
    }
}
