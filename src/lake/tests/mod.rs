//! The promises of the lake, each at the point where it could break. Here: the folder and the rows the tests share.

mod crash;
mod fence;
mod files;
mod power;
mod upkeep;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{Int32Type, Int64Type};
use schemas::alert::{Entity, Severity, State as AlertState, Window};
use schemas::event::{FIELDS, arrow_schema};
use schemas::{Code, KeyPin, reject::LaneName};
use tempfile::TempDir;

use super::*;
use crate::query::{self, QueryLimits};

/// 2026-01-31 08:00 UTC.
const START_US: i64 = 1_769_846_400_000_000;
const DAY_US: i64 = 86_400_000_000;

fn clock() -> i64 {
    START_US
}

struct Folder {
    folder: TempDir,
    config: LakeConfig,
}

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let config = LakeConfig::new(folder.path().join("lake").to_str().unwrap(), clock);
        Folder { folder, config }
    }

    async fn open(&self, instance: &str) -> (Lake, Option<Recovered>) {
        Lake::open(&self.config, instance).await.unwrap()
    }

    /// The single number a query answers.
    async fn number(&self, sql: &str) -> i64 {
        let limits = QueryLimits::default();
        let session = query::session(&self.config.uri, &Default::default(), limits).await.unwrap();
        let answer = query::run(&session, sql, limits).await.unwrap();
        answer.batches[0].column(0).as_primitive::<Int64Type>().value(0)
    }

    async fn text(&self, sql: &str) -> String {
        let limits = QueryLimits::default();
        let session = query::session(&self.config.uri, &Default::default(), limits).await.unwrap();
        let answer = query::run(&session, sql, limits).await.unwrap();
        let mut bytes = Vec::new();
        query::write(&answer, query::Format::Csv, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Events of different positions.
    async fn events(&self) -> i64 {
        self.number("SELECT count(DISTINCT \"offset\" * 1000 + partition) FROM events").await
    }

    async fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    fn state_files(&self, instance: &str) -> Vec<PathBuf> {
        let folder = self.folder.path().join("lake").join(state::folder(instance));
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn lane(partition: i32) -> Lane {
    Lane::new("kong", partition)
}

/// Events of one lane with these offsets, a second apart, on the day after the start by `day`.
fn events(partition: i32, offsets: std::ops::Range<i64>, day: i64) -> RecordBatch {
    let rows = (offsets.end - offsets.start) as usize;
    let time = |shift: i64| -> ArrayRef {
        let at = offsets.clone().map(|offset| START_US + day * DAY_US + offset * 1_000_000 + shift);
        Arc::new(TimestampMicrosecondArray::from_iter_values(at).with_timezone("UTC"))
    };
    let dictionary = |text: &str| -> ArrayRef {
        Arc::new(std::iter::repeat_n(Some(text), rows).collect::<DictionaryArray<Int32Type>>())
    };
    let column = |name: &str| -> Option<ArrayRef> {
        Some(match name {
            "time" => time(0),
            "observed_time" => time(500),
            "source" => dictionary("kong"),
            "gateway" => dictionary("kong"),
            "client_ip" => {
                Arc::new(StringArray::from_iter_values(offsets.clone().map(|o| format!("192.0.2.{}", o % 250))))
            }
            "status" => Arc::new(Int32Array::from_iter_values(offsets.clone().map(|o| 200 + (o % 2) as i32))),
            "partition" => Arc::new(Int32Array::from(vec![partition; rows])),
            "offset" => Arc::new(Int64Array::from_iter_values(offsets.clone())),
            "late" => Arc::new(BooleanArray::from(vec![false; rows])),
            _ => return None,
        })
    };
    let columns = FIELDS.iter().map(|f| column(f.name).unwrap_or_else(|| new_null_array(&f.kind.data_type(), rows)));
    RecordBatch::try_new(arrow_schema(), columns.collect()).unwrap()
}

fn alert(id: &str, revision: u32) -> Alert {
    Alert {
        id: id.to_string(),
        revision,
        state: if revision == 0 { AlertState::Open } else { AlertState::Updated },
        detector: "endpoint-sweep".to_string(),
        title: "One client walks many endpoints".to_string(),
        severity: Severity::High,
        entity: Entity { kind: "client_ip".to_string(), value: "203.0.113.9".to_string() },
        opened: "2026-01-31T08:00:05.250000Z".to_string(),
        updated: "2026-01-31T08:00:09.000001Z".to_string(),
        window: Window {
            start: "2026-01-31T08:00:00.000000Z".to_string(),
            end: "2026-01-31T08:01:00.000000Z".to_string(),
        },
        observed: 120.0,
        expected: None,
        threshold: 100.0,
        score: 0.9,
        events: 120,
        owasp: vec!["API9:2023".to_string()],
        attack: vec![],
        evidence: serde_json::json!({"endpoints": ["GET /v1/orders/{id}"]}),
        dry_run: false,
        part_of: None,
    }
}

fn reject(offset: i64) -> Reject {
    Reject {
        lane: LaneName { source: "kong".to_string(), partition: 0 },
        offset,
        observed_us: START_US,
        code: Code::InvalidJson,
        detail: "expected `,` or `}` at column 7".to_string(),
        length: 90,
        sealed: Some(vec![1, 2, 3]),
        element: None,
    }
}

/// Offsets `from..to` of lane 0, with an alert and a reject named after `to`.
fn checkpoint(from: i64, to: i64) -> Checkpoint {
    Checkpoint {
        events: vec![events(0, from..to, 0)],
        positions: vec![(lane(0), to)],
        snapshot: format!("engine at {to}").into_bytes(),
        alerts: vec![alert(&format!("a{to}"), 0)],
        rejects: vec![reject(to)],
        lane_states: vec![(lane(0), format!("lane at {to}").into_bytes().into())],
    }
}

fn action(seq: i64) -> ActionRow {
    ActionRow {
        seq,
        time_us: START_US + seq,
        action_id: format!("act-{seq}"),
        alert_id: "a10".to_string(),
        detector: "endpoint-sweep".to_string(),
        entity_kind: "client_ip".to_string(),
        entity_value: "203.0.113.9".to_string(),
        target: "waf".to_string(),
        kind: "block".to_string(),
        step: "planned".to_string(),
        dry_run: true,
        expires_us: None,
        detail: "block for 1h".to_string(),
        answer: None,
        op: "apply".to_owned(),
        incident_id: "in-1".to_owned(),
    }
}
