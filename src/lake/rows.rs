//! Alerts, rejects, actions and the audit as rows of their tables.
//!
//! Promises: one telling, one reject or one step is one row; nothing is lost on the way except what `Table::schema` has
//! no column for. An alert whose times are not RFC 3339 is an error, never a row with a wrong time.
//! Never: does I/O.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field};
use chrono::DateTime;
use schemas::alert::{Severity, State};
use schemas::{Alert, Reject};

use super::action_row::ActionRow;
use super::audit_row::AuditRow;
use super::error::LakeError;
use super::layout::Table;

/// Rows of `alerts`: one per telling, in order.
pub(crate) fn alerts(tellings: &[Alert]) -> Result<RecordBatch, LakeError> {
    let text = |read: fn(&Alert) -> &str| texts(tellings.iter().map(read));
    let times = |read: fn(&Alert) -> &str| alert_times(tellings, read);
    let revisions: Result<Vec<i32>, _> = tellings.iter().map(|a| i32::try_from(a.revision)).collect();
    let counts: Result<Vec<i64>, _> = tellings.iter().map(|a| i64::try_from(a.events)).collect();
    let name = Table::Alerts.name();
    let columns: Vec<ArrayRef> = vec![
        text(|a| &a.id),
        Arc::new(Int32Array::from(revisions.map_err(|e| LakeError::rows(name, e))?)),
        text(|a| state(a.state)),
        text(|a| &a.detector),
        text(|a| &a.title),
        text(|a| severity(a.severity)),
        text(|a| &a.entity.kind),
        text(|a| &a.entity.value),
        times(|a| &a.opened)?,
        times(|a| &a.updated)?,
        times(|a| &a.window.start)?,
        times(|a| &a.window.end)?,
        floats(tellings.iter().map(|a| Some(a.observed))),
        floats(tellings.iter().map(|a| a.expected)),
        floats(tellings.iter().map(|a| Some(a.threshold))),
        floats(tellings.iter().map(|a| Some(a.score))),
        Arc::new(Int64Array::from(counts.map_err(|e| LakeError::rows(name, e))?)),
        lists(tellings.iter().map(|a| a.owasp.as_slice())),
        lists(tellings.iter().map(|a| a.attack.as_slice())),
        Arc::new(StringArray::from_iter_values(tellings.iter().map(|a| a.evidence.to_string()))),
        Arc::new(BooleanArray::from_iter(tellings.iter().map(|a| Some(a.dry_run)))),
        Arc::new(StringArray::from_iter(tellings.iter().map(|a| a.part_of.as_deref()))),
    ];
    batch(Table::Alerts, columns)
}

/// Rows of `rejects`.
pub(crate) fn rejects(rejects: &[Reject]) -> Result<RecordBatch, LakeError> {
    let lengths = rejects.iter().map(|r| i64::try_from(r.length).unwrap_or(i64::MAX));
    let columns: Vec<ArrayRef> = vec![
        texts(rejects.iter().map(|r| r.lane.source.as_str())),
        Arc::new(Int32Array::from_iter_values(rejects.iter().map(|r| r.lane.partition))),
        Arc::new(Int64Array::from_iter_values(rejects.iter().map(|r| r.offset))),
        timestamps(rejects.iter().map(|r| Some(r.observed_us))),
        texts(rejects.iter().map(|r| r.code.as_str())),
        texts(rejects.iter().map(|r| r.detail.as_str())),
        Arc::new(Int64Array::from_iter_values(lengths)),
        Arc::new(BinaryArray::from_iter(rejects.iter().map(|r| r.sealed.as_deref()))),
        Arc::new(Int32Array::from_iter(rejects.iter().map(|r| r.element))),
    ];
    batch(Table::Rejects, columns)
}

/// Rows of `actions`.
pub(crate) fn actions(rows: &[&ActionRow]) -> Result<RecordBatch, LakeError> {
    let text = |read: fn(&ActionRow) -> &str| texts(rows.iter().map(|row| read(row)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.seq))),
        timestamps(rows.iter().map(|r| Some(r.time_us))),
        text(|r| &r.action_id),
        text(|r| &r.alert_id),
        text(|r| &r.detector),
        text(|r| &r.entity_kind),
        text(|r| &r.entity_value),
        text(|r| &r.target),
        text(|r| &r.kind),
        text(|r| &r.step),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|r| Some(r.dry_run)))),
        timestamps(rows.iter().map(|r| r.expires_us)),
        text(|r| &r.detail),
        Arc::new(StringArray::from_iter(rows.iter().map(|r| r.answer.as_deref()))),
        text(|r| &r.op),
        text(|r| &r.incident_id),
    ];
    batch(Table::Actions, columns)
}

/// Rows of `audit`.
pub(crate) fn audit(rows: &[&AuditRow]) -> Result<RecordBatch, LakeError> {
    let text = |read: fn(&AuditRow) -> &str| texts(rows.iter().map(|row| read(row)));
    let columns: Vec<ArrayRef> = vec![
        text(|r| &r.instance),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.n))),
        timestamps(rows.iter().map(|r| Some(r.time_us))),
        text(|r| &r.actor),
        text(|r| &r.what),
        text(|r| &r.about),
        text(|r| &r.detail),
        text(|r| &r.previous),
        text(|r| &r.hash),
    ];
    batch(Table::Audit, columns)
}

fn batch(table: Table, columns: Vec<ArrayRef>) -> Result<RecordBatch, LakeError> {
    RecordBatch::try_new(table.schema(), columns).map_err(|e| LakeError::rows(table.name(), e))
}

fn alert_times(tellings: &[Alert], read: fn(&Alert) -> &str) -> Result<ArrayRef, LakeError> {
    let parse = |alert: &Alert| {
        let text = read(alert);
        let time = DateTime::parse_from_rfc3339(text);
        time.map(|t| Some(t.timestamp_micros()))
            .map_err(|e| LakeError::rows(Table::Alerts.name(), format!("alert {}: time `{text}`: {e}", alert.id)))
    };
    let times: Result<Vec<Option<i64>>, LakeError> = tellings.iter().map(parse).collect();
    Ok(timestamps(times?.into_iter()))
}

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn floats(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(values))
}

fn timestamps(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter(values).with_timezone("UTC"))
}

fn lists<'a>(values: impl Iterator<Item = &'a [String]>) -> ArrayRef {
    let element = Field::new("element", DataType::Utf8, true);
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(element);
    for list in values {
        for text in list {
            builder.values().append_value(text);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

fn state(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Updated => "updated",
        State::Closed => "closed",
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}
