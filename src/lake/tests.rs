//! The promises of the lake, each at the point where it could break.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, DictionaryArray, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;
use schemas::alert::{Entity, Severity, State as AlertState, Window};
use schemas::event::{FIELDS, arrow_schema};
use schemas::{Code, reject::LaneName};
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
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lake_has_nothing_to_recover() {
    let folder = Folder::new();
    let (lake, recovered) = folder.open("a").await;
    assert_eq!(recovered, None);
    assert_eq!(lake.checkpoint(), 0);
    assert_eq!(lake.next_offset(&lane(0)), None);
    assert_eq!(folder.count("events").await, 0);
    assert_eq!(folder.count("alerts_latest").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_recovered_as_it_was() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let first = lake.commit(&checkpoint(0, 10)).await.unwrap();
    assert_eq!((first.checkpoint, first.rows, first.files), (1, 10, 1));
    let second = lake.commit(&checkpoint(10, 25)).await.unwrap();
    assert_eq!((second.checkpoint, second.rows), (2, 15));
    assert_eq!(lake.next_offset(&lane(0)), Some(25));
    drop(lake);

    let (lake, recovered) = folder.open("a").await;
    let expected = Recovered { checkpoint: 2, positions: vec![(lane(0), 25)], snapshot: b"engine at 25".to_vec() };
    assert_eq!(recovered, Some(expected));
    assert_eq!(lake.next_offset(&lane(0)), Some(25));
    assert_eq!(folder.count("events").await, 25);
    assert_eq!(folder.events().await, 25);
    assert_eq!(folder.count("alerts").await, 2);
    assert_eq!(folder.count("rejects").await, 2);
    assert_eq!(folder.number("SELECT sum(\"offset\") FROM events").await, (0..25).sum::<i64>());
    let sealed = "SELECT count(*) FROM rejects WHERE sealed = X'010203' AND code = 'invalid_json' AND length = 90";
    assert_eq!(folder.number(sealed).await, 2);
    let told = "SELECT count(*) FROM alerts WHERE opened = TIMESTAMP '2026-01-31T08:00:05.25Z' AND owasp[1] = 'API9:2023' \
                AND cardinality(attack) = 0 AND expected IS NULL AND severity = 'high' AND state = 'open'";
    assert_eq!(folder.number(told).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_two_state_files_are_kept() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    for n in 0..5 {
        lake.commit(&checkpoint(n, n + 1)).await.unwrap();
    }
    let numbers = |files: Vec<PathBuf>| -> Vec<i64> {
        files.iter().map(|f| state::number(f.file_name().unwrap().to_str().unwrap()).unwrap()).collect()
    };
    assert_eq!(numbers(folder.state_files("a")), [4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_commit_leaves_the_checkpoint_before() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    // Data and state are stored, the commit never happens.
    lake.prepare(&checkpoint(10, 20)).await.unwrap();
    drop(lake);

    let (mut lake, recovered) = folder.open("a").await;
    let recovered = recovered.unwrap();
    assert_eq!((recovered.checkpoint, recovered.snapshot.as_slice()), (1, b"engine at 10".as_slice()));
    assert_eq!(folder.count("events").await, 10);
    // The next run cuts the batches differently.
    lake.commit(&checkpoint(10, 17)).await.unwrap();
    drop(lake);
    let (_, recovered) = folder.open("a").await;
    assert_eq!(recovered.unwrap().snapshot, b"engine at 17");
    assert_eq!((folder.count("events").await, folder.events().await), (17, 17));
    assert_eq!(folder.number("SELECT count(*) FROM alerts WHERE id = 'a20'").await, 0);
    assert_eq!(folder.count("alerts").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_commit_still_tells_the_alerts_once() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    let prepared = lake.prepare(&checkpoint(10, 20)).await.unwrap();
    lake.commit_prepared(prepared).await.unwrap();
    drop(lake);
    assert_eq!((folder.count("events").await, folder.count("alerts").await, folder.count("rejects").await), (20, 1, 1));

    for _ in 0..2 {
        let (_, recovered) = folder.open("a").await;
        assert_eq!(recovered.unwrap().checkpoint, 2);
        assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_alerts_and_rejects_tells_each_once() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let prepared = lake.prepare(&checkpoint(0, 10)).await.unwrap();
    lake.commit_prepared(prepared).await.unwrap();
    let rows = lake.unfinished.as_ref().unwrap().alerts.clone().unwrap();
    assert!(append::append_once(&mut lake.alerts, &folder.config, &instance_id("a"), 1, &[rows]).await.unwrap());
    drop(lake);
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (1, 0));
    folder.open("a").await;
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_checkpoint_is_finished_before_the_next() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let prepared = lake.prepare(&checkpoint(0, 10)).await.unwrap();
    lake.commit_prepared(prepared).await.unwrap();
    lake.commit(&checkpoint(10, 20)).await.unwrap();
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_without_events_moves_the_positions() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let only_rejects = Checkpoint { events: vec![], ..checkpoint(0, 7) };
    let done = lake.commit(&only_rejects).await.unwrap();
    assert_eq!((done.rows, done.files), (0, 0));
    lake.commit(&Checkpoint { snapshot: b"idle".to_vec(), ..Checkpoint::default() }).await.unwrap();
    drop(lake);
    let (lake, recovered) = folder.open("a").await;
    let recovered = recovered.unwrap();
    assert_eq!((recovered.checkpoint, recovered.snapshot.as_slice()), (2, b"idle".as_slice()));
    assert_eq!(recovered.positions, [(lane(0), 7)]);
    assert_eq!(lake.next_offset(&lane(0)), Some(7));
    assert_eq!((folder.count("events").await, folder.count("rejects").await), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_of_the_same_lane_fences_the_first() {
    let folder = Folder::new();
    let (mut first, _) = folder.open("a").await;
    first.commit(&checkpoint(0, 10)).await.unwrap();
    let (mut second, _) = folder.open("b").await;
    assert_eq!(second.refresh_positions(&[lane(0)]).await.unwrap(), [(lane(0), Some(10))]);
    second.commit(&checkpoint(10, 20)).await.unwrap();

    let refused = first.commit(&checkpoint(10, 15)).await.unwrap_err();
    assert!(
        matches!(&refused, LakeError::Fenced { marker, found: 20, .. } if marker == "gatewatch/kong/0"),
        "{refused}"
    );
    assert!(!refused.is_retryable());
    assert_eq!((folder.count("events").await, folder.events().await), (20, 20));
    assert_eq!(folder.count("alerts").await, 2);
    // It goes on after it has looked where the lane stands.
    let (mut first, recovered) = folder.open("a").await;
    assert_eq!(recovered.unwrap().positions, [(lane(0), 20)]);
    first.commit(&checkpoint(20, 30)).await.unwrap();
    assert_eq!((folder.count("events").await, folder.events().await), (30, 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_of_one_name_fence_each_other() {
    let folder = Folder::new();
    let (mut first, _) = folder.open("a").await;
    let (mut second, _) = folder.open("a").await;
    first.commit(&checkpoint(0, 10)).await.unwrap();
    // Its lanes differ, yet its name is taken; and its state file must not replace the one of the first.
    let other = Checkpoint { positions: vec![(lane(1), 5)], events: vec![events(1, 0..5, 0)], ..checkpoint(0, 5) };
    let refused = second.commit(&other).await.unwrap_err();
    assert!(matches!(&refused, LakeError::Fenced { marker, .. } if marker == "gatewatch/instance/a"), "{refused}");
    drop((first, second));
    let (_, recovered) = folder.open("a").await;
    assert_eq!(recovered.unwrap().snapshot, b"engine at 10");
    assert_eq!((folder.count("events").await, folder.count("alerts").await), (10, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_never_looked_cannot_count_a_lane_twice() {
    let folder = Folder::new();
    let (mut first, _) = folder.open("a").await;
    let (mut second, _) = folder.open("b").await;
    first.commit(&checkpoint(0, 10)).await.unwrap();
    let refused = second.commit(&checkpoint(0, 10)).await.unwrap_err();
    assert!(matches!(refused, LakeError::Fenced { found: 10, .. }), "{refused}");
    assert_eq!(folder.count("events").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_with_their_own_lanes_do_not_disturb_each_other() {
    let folder = Folder::new();
    let (mut first, _) = folder.open("a").await;
    let (mut second, _) = folder.open("b").await;
    for n in 0..6 {
        first.commit(&checkpoint(n * 10, n * 10 + 10)).await.unwrap();
        let part = Checkpoint {
            events: vec![events(1, n * 10..n * 10 + 10, 0)],
            positions: vec![(lane(1), n * 10 + 10)],
            ..Checkpoint::default()
        };
        second.commit(&part).await.unwrap();
    }
    assert_eq!((folder.count("events").await, folder.events().await), (120, 120));
    // Lane 1 goes to the first copy, which has never seen it.
    assert_eq!(first.refresh_positions(&[lane(1)]).await.unwrap(), [(lane(1), Some(60))]);
    let both = Checkpoint {
        events: vec![events(1, 60..70, 0)],
        positions: vec![(lane(0), 60), (lane(1), 70)],
        ..Checkpoint::default()
    };
    first.commit(&both).await.unwrap();
    let late =
        Checkpoint { positions: vec![(lane(1), 65)], events: vec![events(1, 60..65, 0)], ..Checkpoint::default() };
    assert!(matches!(second.commit(&late).await, Err(LakeError::Fenced { found: 70, .. })));
    assert_eq!((folder.count("events").await, folder.events().await), (130, 130));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_never_goes_back() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    let refused = lake.commit(&checkpoint(4, 8)).await.unwrap_err();
    assert!(matches!(refused, LakeError::Backwards { held: 10, asked: 8, .. }), "{refused}");
    assert_eq!(folder.count("events").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_damaged_state_file_is_said() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    drop(lake);
    let file = folder.state_files("a").pop().unwrap();
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let refused = Lake::open(&folder.config, "a").await.err().unwrap();
    assert!(matches!(refused, LakeError::StateDamaged { .. }), "{refused}");
    std::fs::remove_file(&file).unwrap();
    let refused = Lake::open(&folder.config, "a").await.err().unwrap();
    assert!(matches!(refused, LakeError::StateMissing { checkpoint: 1, .. }), "{refused}");
    std::fs::write(&file, whole).unwrap();
    assert_eq!(folder.open("a").await.1.unwrap().checkpoint, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_outlive_checkpoints_of_the_log() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    let (mut idle, _) = folder.open("idle").await;
    idle.commit(&Checkpoint { positions: vec![(lane(9), 3)], ..Checkpoint::default() }).await.unwrap();
    for n in 0..120 {
        lake.commit(&Checkpoint { positions: vec![(lane(0), n + 1)], ..Checkpoint::default() }).await.unwrap();
    }
    drop(lake);
    let log = folder.folder.path().join("lake/events/_delta_log");
    assert!(log.join("00000000000000000100.checkpoint.parquet").exists());
    // Entries before the checkpoint are gone, as after a month.
    for version in 0..100 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let (mut lake, recovered) = folder.open("a").await;
    assert_eq!(recovered.unwrap().positions, [(lane(0), 120)]);
    assert_eq!(lake.refresh_positions(&[lane(9)]).await.unwrap(), [(lane(9), Some(3))]);
    // A writer that slept through all of it notices.
    let slept = Checkpoint { positions: vec![(lane(0), 1)], ..Checkpoint::default() };
    assert!(matches!(idle.commit(&slept).await, Err(LakeError::Fenced { found: 120, .. })));
    idle.commit(&Checkpoint { positions: vec![(lane(9), 4)], ..Checkpoint::default() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn days_become_partitions_and_times_prune_files() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    // 16 hours after the start the next day begins: rows 57,600 seconds on.
    let across = events(0, 57_595..57_605, 0);
    let done = lake
        .commit(&Checkpoint { events: vec![across], positions: vec![(lane(0), 57_605)], ..Checkpoint::default() })
        .await
        .unwrap();
    assert_eq!((done.rows, done.files), (10, 2));
    assert_eq!(folder.number("SELECT count(*) FROM events WHERE day = DATE '2026-01-31'").await, 5);
    assert_eq!(folder.number("SELECT count(*) FROM events WHERE day = DATE '2026-02-01'").await, 5);
    let range = "SELECT count(*) FROM events WHERE time >= TIMESTAMP '2026-02-01T00:00:02Z'";
    assert_eq!(folder.number(range).await, 3);
    let plan = folder.text(&format!("EXPLAIN {range}")).await;
    assert!(plan.contains("day=2026-02-01") && !plan.contains("day=2026-01-31"), "{plan}");
    let adds: Vec<serde_json::Value> =
        std::fs::read_to_string(folder.folder.path().join(format!("lake/events/_delta_log/{:020}.json", done.version)))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|action: &serde_json::Value| action.get("add").is_some())
            .collect();
    let stats: serde_json::Value = serde_json::from_str(adds[0]["add"]["stats"].as_str().unwrap()).unwrap();
    assert_eq!(stats["numRecords"], 5);
    assert_eq!(stats["minValues"]["time"], "2026-01-31T23:59:55.000000Z");
    assert_eq!(stats["maxValues"]["time"], "2026-01-31T23:59:59.000000Z");
    assert_eq!(stats["maxValues"]["offset"], 57_599);
    assert_eq!(stats["minValues"]["source"], "kong");
    assert_eq!(stats["nullCount"]["status"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_takes_out_whole_days() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    for day in 0..4 {
        let events = vec![events(0, day * 10..day * 10 + 10, day)];
        lake.commit(&Checkpoint { events, positions: vec![(lane(0), day * 10 + 10)], ..Checkpoint::default() })
            .await
            .unwrap();
    }
    let retain = RetainDays { events: Some(2), ..RetainDays::default() };
    let policy = Maintenance { retain, ..Maintenance::default() };
    let today = NaiveDate::from_ymd_opt(2026, 2, 4).unwrap();
    let report = lake.maintain(&policy, today).await.unwrap();
    assert_eq!(report.tables[0], TableReport { table: "events", expired: 2, ..TableReport::default() });
    assert_eq!(folder.number("SELECT min(\"offset\") FROM events").await, 20);
    // The writer steps over it.
    lake.commit(&checkpoint(40, 50)).await.unwrap();
    assert_eq!(folder.count("events").await, 30);
    assert_eq!(lake.maintain(&policy, today).await.unwrap().tables[0].expired, 1, "the rows just added are old, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_keeps_every_row_and_vacuum_removes_the_rest() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    for n in 0..5 {
        lake.commit(&checkpoint(n * 10, n * 10 + 10)).await.unwrap();
    }
    let policy = Maintenance { compact_after_files: 3, vacuum_after: Duration::ZERO, ..Maintenance::default() };
    let today = NaiveDate::from_ymd_opt(2026, 2, 1).unwrap();
    let report = lake.maintain(&policy, today).await.unwrap();
    assert_eq!((report.tables[0].merged, report.tables[0].written, report.tables[0].vacuumed), (5, 1, 5));
    assert_eq!((report.tables[1].table, report.tables[1].merged), ("alerts", 5));
    assert_eq!((folder.count("events").await, folder.events().await), (50, 50));
    assert_eq!(folder.number("SELECT count(*) FROM events WHERE source = 'kong' AND status = 201").await, 25);
    assert_eq!(folder.number("SELECT count(*) FROM alerts WHERE owasp[1] = 'API9:2023'").await, 5);
    lake.commit(&checkpoint(50, 60)).await.unwrap();
    drop(lake);
    assert_eq!(folder.open("a").await.1.unwrap().positions, [(lane(0), 60)]);
    assert_eq!(folder.count("events").await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_and_appends_race_without_loss() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    for n in 0..8 {
        lake.commit(&checkpoint(n * 10, n * 10 + 10)).await.unwrap();
    }
    let policy = Maintenance { compact_after_files: 1, ..Maintenance::default() };
    let today = NaiveDate::from_ymd_opt(2026, 2, 1).unwrap();
    let appends = async {
        for n in 8..24 {
            lake.commit(&checkpoint(n * 10, n * 10 + 10)).await.unwrap();
        }
    };
    let rounds = || async {
        let mut merged = 0;
        for _ in 0..4 {
            merged += maintain(&folder.config, &policy, today).await.unwrap().tables[0].merged;
        }
        merged
    };
    let ((), one, other) = tokio::join!(appends, rounds(), rounds());
    assert!(one + other >= 8, "{one} and {other} files were merged");
    assert_eq!((folder.count("events").await, folder.events().await), (240, 240));
    assert_eq!((folder.count("alerts").await, folder.count("rejects").await), (24, 24));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_slower_of_two_rewrites_gives_up() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    let root = root_url(&folder.config.uri).unwrap();
    let place = place(&folder.config, &root, Table::Events);
    let mut slow = TableLog::open_to_rewrite(place.clone()).await.unwrap();
    let removes = |log: &TableLog| -> Change {
        let state = log.opened().snapshot().unwrap();
        let actions = state.log_data().iter().map(|file| Action::Remove(file.remove_action(true))).collect();
        Change { operation: Change::append(), actions, sets: vec![], expects: vec![] }
    };
    let late = removes(&slow);
    let mut fast = TableLog::open_to_rewrite(place).await.unwrap();
    fast.commit(&removes(&fast)).await.unwrap();
    assert!(matches!(slow.commit(&late).await, Err(LakeError::Replaced { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn action_rows_are_stored_once() {
    let folder = Folder::new();
    let (mut lake, _) = folder.open("a").await;
    assert_eq!(lake.actions_marker(), None);
    assert_eq!(lake.append_actions(&[action(1), action(2)], 2).await.unwrap(), 2);
    assert_eq!(lake.append_actions(&[action(1), action(2), action(3)], 3).await.unwrap(), 1);
    assert_eq!(lake.append_actions(&[action(2), action(3)], 3).await.unwrap(), 0);
    drop(lake);
    let (mut lake, _) = folder.open("a").await;
    assert_eq!(lake.actions_marker(), Some(3));
    // A second handle appends beside it; the first notices.
    let mut beside = ActionLog::open(&folder.config, "a").await.unwrap();
    assert_eq!(beside.append(&[action(4)], 4).await.unwrap(), 1);
    assert_eq!(lake.append_actions(&[action(3), action(4), action(5)], 5).await.unwrap(), 1);
    assert!(matches!(lake.append_actions(&[action(9)], 8).await, Err(LakeError::Rows { .. })));
    assert_eq!(folder.count("actions").await, 5);
    assert_eq!(folder.number("SELECT sum(seq) FROM actions WHERE dry_run AND step = 'planned'").await, 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_table_gets_the_new_columns() {
    let folder = Folder::new();
    let root = root_url(&folder.config.uri).unwrap();
    let all = Table::Rejects.schema();
    let place = place(&folder.config, &root, Table::Rejects);
    let older: Vec<_> = all.fields().iter().filter(|f| f.name() != "sealed").map(|f| f.as_ref().clone()).collect();
    log::create_with(&place, older).await.unwrap();
    let (mut lake, _) = folder.open("a").await;
    lake.commit(&checkpoint(0, 10)).await.unwrap();
    assert_eq!(folder.number("SELECT count(*) FROM rejects WHERE sealed IS NOT NULL").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_could_mislead_are_refused() {
    let folder = Folder::new();
    for name in ["", "7", "a/b", "..", ".a", "a b", &"a".repeat(65)] {
        let refused = Lake::open(&folder.config, name).await.err().unwrap();
        assert!(matches!(refused, LakeError::Config(_)), "{name}: {refused}");
    }
}

#[test]
fn the_lake_can_be_driven_from_another_thread() {
    fn sendable<T: Send>(_: &T) {}
    let folder = Folder::new();
    let opening = Lake::open(&folder.config, "a");
    sendable(&opening);
    let (policy, today) = (Maintenance::default(), NaiveDate::MIN);
    sendable(&maintain(&folder.config, &policy, today));
    sendable(&async {
        let (mut lake, _) = Lake::open(&folder.config, "a").await.unwrap();
        lake.commit(&Checkpoint::default()).await.unwrap();
    });
}

fn sample_state() -> State {
    State {
        instance: "a".to_string(),
        checkpoint: 3,
        positions: vec![(lane(0), 5), (Lane::new("envoy", 2), 9)],
        snapshot: (0..=255).collect(),
        alerts: Some(rows::alerts(&[alert("x", 0), alert("x", 1)]).unwrap()),
        rejects: None,
    }
}

#[test]
fn a_state_file_is_read_as_it_was_written() {
    let file = sample_state().encode().unwrap();
    assert_eq!(State::decode(&file.bytes, file.digest).unwrap(), sample_state());
    assert_eq!(State::decode(&file.bytes, file.digest ^ 1), Err("it is not the file that was committed".to_string()));
    assert_eq!(state::number("000000000003-00ff.checkpoint"), Some(3));
    assert_eq!(state::number("notes.txt"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_damage_to_a_state_file_goes_unnoticed(position in any::<prop::sample::Index>(), bit in 0..8, cut in any::<bool>()) {
        let file = sample_state().encode().unwrap();
        let mut bytes = file.bytes.clone();
        let at = position.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1u8 << bit;
        }
        prop_assert!(State::decode(&bytes, file.digest).is_err());
    }

    #[test]
    fn every_row_lands_in_the_file_of_its_day(seconds in prop::collection::vec(0i64..400_000, 1..200), target in 1u64..5_000) {
        let batches: Vec<RecordBatch> = seconds.chunks(7).map(|part| {
            let offsets: Vec<RecordBatch> = part.iter().map(|s| events(0, *s..*s + 1, 0)).collect();
            arrow::compute::concat_batches(&arrow_schema(), &offsets).unwrap()
        }).collect();
        let files = encode::encode(Table::Events, &batches, "t", target).unwrap();
        let mut read: Vec<i64> = Vec::new();
        for file in files {
            let day = file.path.strip_prefix("day=").unwrap().split('/').next().unwrap().to_string();
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file.bytes.clone()).unwrap();
            for batch in reader.build().unwrap() {
                let batch = encode::align(Table::Events, &batch.unwrap()).unwrap();
                let offsets = batch.column_by_name("offset").unwrap().as_primitive::<Int64Type>().clone();
                for offset in offsets.values() {
                    let time = chrono::DateTime::from_timestamp_micros(START_US + offset * 1_000_000).unwrap();
                    prop_assert_eq!(time.date_naive().to_string(), day.clone());
                    read.push(*offset);
                }
                prop_assert_eq!(offsets.null_count(), 0);
            }
        }
        let mut expected = seconds.clone();
        expected.sort();
        read.sort();
        prop_assert_eq!(read, expected);
    }
}
