//! What may be asked, what is answered, and how it looks.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamReader;
use schemas::alert::{Alert, Entity, Severity, State, Window};
use tempfile::TempDir;

use super::*;
use crate::lake::{ActionRow, Checkpoint, Lake, LakeConfig};

async fn lake() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let uri = folder.path().to_str().unwrap().to_string();
    let (mut lake, _) = Lake::open(&LakeConfig::new(&uri, || 0), "a").await.unwrap();
    let alerts = vec![alert("one", 0, State::Open), alert("two", 0, State::Open), alert("one", 1, State::Closed)];
    lake.commit(&Checkpoint { alerts, ..Checkpoint::default() }).await.unwrap();
    let rows: Vec<ActionRow> = (1..=50).map(action).collect();
    lake.append_actions(&rows, 50).await.unwrap();
    (folder, uri)
}

fn alert(id: &str, revision: u32, state: State) -> Alert {
    let time = "2026-01-31T08:00:00.000000Z".to_string();
    Alert {
        id: id.to_string(),
        revision,
        state,
        detector: "endpoint-sweep".to_string(),
        title: "One client walks many endpoints".to_string(),
        severity: Severity::High,
        entity: Entity { kind: "client_ip".to_string(), value: "203.0.113.9".to_string() },
        opened: time.clone(),
        updated: time.clone(),
        window: Window { start: time.clone(), end: time },
        observed: 120.0,
        expected: None,
        threshold: 100.0,
        score: 0.9,
        events: 120,
        owasp: vec![],
        attack: vec![],
        evidence: serde_json::Value::Null,
        dry_run: false,
        part_of: None,
    }
}

fn action(seq: i64) -> ActionRow {
    ActionRow {
        seq,
        time_us: seq * 1_000_000,
        action_id: format!("act-{seq}"),
        alert_id: "one".to_string(),
        detector: "endpoint-sweep".to_string(),
        entity_kind: "client_ip".to_string(),
        entity_value: "203.0.113.9".to_string(),
        target: "waf".to_string(),
        kind: "block".to_string(),
        step: "planned".to_string(),
        dry_run: false,
        expires_us: None,
        detail: String::new(),
        answer: None,
        op: "apply".to_owned(),
        incident_id: "in-1".to_owned(),
    }
}

async fn ask(uri: &str, sql: &str, limits: QueryLimits) -> Result<QueryOutput, QueryError> {
    let session = session(uri, &HashMap::new(), limits).await.unwrap();
    run(&session, sql, limits).await
}

async fn refusal(uri: &str, sql: &str) -> String {
    ask(uri, sql, QueryLimits::default()).await.unwrap_err().to_string()
}

fn text(output: &QueryOutput, format: Format) -> String {
    let mut bytes = Vec::new();
    write(output, format, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_can_be_asked() {
    let (_folder, uri) = lake().await;
    for (sql, expected) in [
        ("SELECT count(*) FROM events", "{\"count(*)\":0}\n"),
        ("SELECT count(*) AS n FROM rejects", "{\"n\":0}\n"),
        ("SELECT max(seq) AS n FROM actions", "{\"n\":50}\n"),
        (
            "SELECT id, state FROM alerts_latest ORDER BY id",
            "{\"id\":\"one\",\"state\":\"closed\"}\n{\"id\":\"two\",\"state\":\"open\"}\n",
        ),
        ("SELECT day, opened FROM alerts LIMIT 1", "{\"day\":\"2026-01-31\",\"opened\":\"2026-01-31T08:00:00Z\"}\n"),
        ("SELECT partition, \"offset\" FROM events WHERE late ORDER BY \"offset\" LIMIT 1", ""),
        ("SELECT expires, answer FROM actions LIMIT 1", "{\"expires\":null,\"answer\":null}\n"),
    ] {
        let output = ask(&uri, sql, QueryLimits::default()).await.unwrap();
        assert_eq!(text(&output, Format::Json), expected, "{sql}");
    }
    let output = ask(&uri, "SHOW TABLES", QueryLimits::default()).await.unwrap();
    let shown = text(&output, Format::Csv);
    for table in ["events", "alerts", "alerts_latest", "actions", "rejects", "rejects_open"] {
        assert!(shown.contains(&format!(",{table},")), "{shown}");
    }
    let output = ask(&uri, "DESCRIBE alerts", QueryLimits::default()).await.unwrap();
    assert_eq!(output.rows(), 23);
    assert!(ask(&uri, "EXPLAIN SELECT * FROM events", QueryLimits::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_questions() {
    let (folder, uri) = lake().await;
    let secret = folder.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let copy = folder.path().join("out.parquet");
    for sql in [
        "DROP TABLE events".to_string(),
        "DELETE FROM actions".to_string(),
        "UPDATE alerts SET state = 'closed'".to_string(),
        "INSERT INTO actions SELECT * FROM actions".to_string(),
        "CREATE TABLE t AS SELECT 1".to_string(),
        "CREATE VIEW v AS SELECT 1".to_string(),
        format!("CREATE EXTERNAL TABLE t (a INT) STORED AS CSV LOCATION '{}'", secret.display()),
        format!("COPY (SELECT 1) TO '{}'", copy.display()),
        "SET datafusion.execution.batch_size = 1".to_string(),
        "BEGIN TRANSACTION".to_string(),
        "PREPARE p AS SELECT 1".to_string(),
    ] {
        let error = ask(&uri, &sql, QueryLimits::default()).await.unwrap_err();
        assert!(matches!(error, QueryError::NotAQuestion(_)), "{sql}: {error:?}");
    }
    for sql in [
        format!("SELECT * FROM '{}'", secret.display()),
        format!("SELECT * FROM read_csv('{}')", secret.display()),
        "SELECT 1; SELECT 2".to_string(),
    ] {
        assert!(ask(&uri, &sql, QueryLimits::default()).await.is_err(), "{sql}");
    }
    assert!(!copy.exists());
    let output = ask(&uri, "SELECT count(*) AS n FROM actions", QueryLimits::default()).await.unwrap();
    assert_eq!(text(&output, Format::Json), "{\"n\":50}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_answered_with_help() {
    let (folder, uri) = lake().await;
    assert_eq!(
        refusal(&uri, "SELECT clientip FROM events").await,
        "there is no column `clientip`, did you mean `client_ip`?; `DESCRIBE events` lists the columns"
    );
    assert_eq!(
        refusal(&uri, "SELECT e.stauts FROM events e").await,
        "there is no column `stauts`, did you mean `status`?; `DESCRIBE events` lists the columns"
    );
    let other = refusal(&uri, "SELECT entity FROM alerts_latest").await;
    assert!(other.ends_with("; `DESCRIBE alerts_latest` lists the columns"), "{other}");
    let both = refusal(&uri, "SELECT zzz FROM alerts a JOIN actions b ON a.id = b.alert_id").await;
    assert_eq!(both, "there is no column `zzz`; `DESCRIBE actions` and `DESCRIBE alerts` list the columns");
    assert_eq!(
        refusal(&uri, "SELECT * FROM event").await,
        "there is no table `event`; there are: actions, alerts, alerts_latest, audit, events, rejects, rejects_open"
    );
    assert!(refusal(&uri, "SELEC 1").await.starts_with("SQL: "));
    let keyword = refusal(&uri, "SELECT source, offset FROM events").await;
    assert!(keyword.ends_with("(offset is a word of SQL: write the column as \"offset\")"), "{keyword}");
    assert!(refusal(&uri, "SELECT nofunction(1)").await.contains("nofunction"));
    let empty = folder.path().join("none").to_str().unwrap().to_string();
    let error = session(&empty, &HashMap::new(), QueryLimits::default()).await.err().unwrap();
    assert_eq!(error.to_string(), format!("there is no lake in {empty}"));
    assert!(error.is_usage());
    assert!(!std::path::Path::new(&empty).exists(), "asking creates nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_are_said() {
    let (_folder, uri) = lake().await;
    let few = QueryLimits { rows_max: 7, ..QueryLimits::default() };
    let output = ask(&uri, "SELECT seq FROM actions ORDER BY seq", few).await.unwrap();
    assert_eq!((output.rows(), output.truncated), (7, true));
    assert!(text(&output, Format::Table).ends_with("7 rows, there are more\n"));
    let exact = QueryLimits { rows_max: 50, ..QueryLimits::default() };
    let output = ask(&uri, "SELECT seq FROM actions", exact).await.unwrap();
    assert_eq!((output.rows(), output.truncated), (50, false));

    let small = QueryLimits { memory_bytes: 200_000, ..QueryLimits::default() };
    let heavy = "SELECT count(DISTINCT value) FROM generate_series(1, 2000000)";
    let error = ask(&uri, heavy, small).await.unwrap_err();
    assert!(matches!(error, QueryError::Memory(_)) && !error.is_usage(), "{error:?}");

    let short = QueryLimits { timeout: Duration::from_millis(50), ..QueryLimits::default() };
    let endless = "SELECT count(*) FROM generate_series(1, 4000000) a, generate_series(1, 4000000) b WHERE a.value % 7 = b.value % 11";
    let error = ask(&uri, endless, short).await.unwrap_err();
    assert!(matches!(error, QueryError::Timeout { .. }) && !error.is_usage(), "{error:?}");
}

fn sample() -> QueryOutput {
    let mut list = ListBuilder::new(StringBuilder::new());
    list.values().append_value("a,\"b\"");
    list.values().append_value("c");
    list.append(true);
    list.append(false);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from(vec![Some(1), None]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1_769_846_400_250_000), None]).with_timezone("UTC"))),
        ("text", Arc::new(StringArray::from(vec![Some("x\u{1b}[31m\ny"), None]))),
        ("share", Arc::new(Float64Array::from(vec![Some(0.5), None]))),
        ("late", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ("list", Arc::new(list.finish())),
        ("sealed", Arc::new(BinaryArray::from(vec![Some(&[1u8, 255][..]), None]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    QueryOutput { schema: batch.schema(), batches: vec![batch], truncated: false }
}

#[test]
fn json_is_one_object_a_line_with_every_column() {
    let text = text(&sample(), Format::Json);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "{\"n\":1,\"at\":\"2026-01-31T08:00:00.250Z\",\"text\":\"x\\u001b[31m\\ny\",\"share\":0.5,\"late\":true,\
         \"list\":[\"a,\\\"b\\\"\",\"c\"],\"sealed\":\"01ff\"}"
    );
    assert_eq!(
        lines[1],
        "{\"n\":null,\"at\":null,\"text\":null,\"share\":null,\"late\":null,\"list\":null,\"sealed\":null}"
    );
    assert_eq!(lines.len(), 2);
}

#[test]
fn csv_has_a_header_and_lists_as_json() {
    assert_eq!(
        text(&sample(), Format::Csv),
        "n,at,text,share,late,list,sealed\n\
         1,2026-01-31T08:00:00.250Z,\"x\u{1b}[31m\ny\",0.5,true,\"[\"\"a,\\\"\"b\\\"\"\"\",\"\"c\"\"]\",01ff\n,,,,,,\n"
    );
}

#[test]
fn a_table_shows_control_characters_instead_of_sending_them() {
    let table = text(&sample(), Format::Table);
    assert!(table.contains("x\\u{1b}[31m\\ny"), "{table}");
    assert!(!table.contains('\u{1b}'));
    assert!(table.ends_with("2 rows\n"));
}

#[test]
fn an_arrow_stream_is_read_back_as_it_was() {
    let mut bytes = Vec::new();
    write(&sample(), Format::Arrow, &mut bytes).unwrap();
    let read: Vec<RecordBatch> = StreamReader::try_new(bytes.as_slice(), None).unwrap().map(|b| b.unwrap()).collect();
    assert_eq!(read, sample().batches);
}

#[test]
fn no_rows_still_have_columns() {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let empty = QueryOutput { schema, batches: vec![], truncated: false };
    assert_eq!(text(&empty, Format::Json), "");
    assert_eq!(text(&empty, Format::Csv), "n\n");
    assert_eq!(text(&empty, Format::Table), "+---+\n| n |\n+---+\n+---+\n0 rows\n");
}
