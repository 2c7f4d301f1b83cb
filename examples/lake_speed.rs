//! Measures what an event costs to store: `cargo run --example lake_speed [rows] [rows per checkpoint]
//! [folder]`.
//!
//! Made-up gateway traffic of a realistic shape goes through `Lake::commit` in checkpoints; then the rows are counted
//! again with a query. Prints CPU time per event, which is what the pipeline pays, and the size on disk.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // it measures, on a terminal

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Int32Array, Int64Array, ListBuilder, RecordBatch,
    StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::Int32Type;
use chrono::NaiveDate;
use gatewatch::lake::{Checkpoint, Lake, LakeConfig, Maintenance};
use gatewatch::query::{self, Format, QueryLimits};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::Lane;
use schemas::event::{FIELDS, Kind, arrow_schema};

const BATCH_ROWS: usize = 8192;
/// 2026-01-31 08:00 UTC.
const START_US: i64 = 1_769_846_400_000_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.next().map_or(Ok(1_000_000), |text| text.parse::<usize>())?;
    let every = arguments.next().map_or(Ok(131_072), |text| text.parse::<usize>())?;
    let folder = tempfile::tempdir()?;
    let uri = arguments.next().unwrap_or_else(|| folder.path().to_string_lossy().into_owned());
    let (mut lake, _) = Lake::open(&LakeConfig::new(&uri, || START_US), "speed").await?;
    let lane = Lane::new("kong", 0);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut offset, mut cpu, mut wall, mut bytes, mut checkpoints) = (0, 0.0, 0.0, 0, 0);
    while offset < rows {
        let mut events = Vec::new();
        while events.len() * BATCH_ROWS < every && offset < rows {
            let size = BATCH_ROWS.min(rows - offset);
            events.push(batch(&mut random, offset, size));
            offset += size;
        }
        let positions = vec![(lane.clone(), offset as i64)];
        let (cpu_before, before) = (cpu_seconds()?, Instant::now());
        let done =
            lake.commit(&Checkpoint { events, positions, snapshot: vec![7; 4096], ..Checkpoint::default() }).await?;
        cpu += cpu_seconds()? - cpu_before;
        wall += before.elapsed().as_secs_f64();
        bytes += done.bytes;
        checkpoints += 1;
    }
    let per = |seconds: f64| seconds * 1e6 / rows as f64;
    println!(
        "write    {rows} rows, {checkpoints} checkpoints: {:.2} us CPU, {:.2} us wall per event",
        per(cpu),
        per(wall)
    );
    println!("size     {:.1} bytes per event", bytes as f64 / rows as f64);
    ask(&uri, "SELECT count(*) AS rows, min(time) AS first, max(time) AS last FROM events").await?;
    ask(&uri, "SELECT client_ip, count(*) AS n FROM events WHERE status = 401 GROUP BY client_ip ORDER BY n DESC, client_ip LIMIT 3").await?;
    let policy = Maintenance { compact_after_files: 2, ..Maintenance::default() };
    let (cpu_before, before) = (cpu_seconds()?, Instant::now());
    let report = lake.maintain(&policy, NaiveDate::from_ymd_opt(2026, 2, 1).unwrap_or_default()).await?;
    println!(
        "compact  {:.2} us CPU per event, {:.2} s: {report:?}",
        per(cpu_seconds()? - cpu_before),
        before.elapsed().as_secs_f64()
    );
    ask(&uri, "SELECT count(*) AS rows, min(time) AS first, max(time) AS last FROM events").await
}

async fn ask(uri: &str, sql: &str) -> anyhow::Result<()> {
    let before = Instant::now();
    let limits = QueryLimits::default();
    let session = query::session(uri, &Default::default(), limits).await?;
    let answer = query::run(&session, sql, limits).await?;
    query::write(&answer, Format::Table, &mut std::io::stdout().lock())?;
    println!("query    {:.2} s", before.elapsed().as_secs_f64());
    Ok(())
}

/// CPU time of this process, all threads.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn batch(random: &mut ChaCha8Rng, first: usize, rows: usize) -> RecordBatch {
    let columns: Vec<ArrayRef> =
        FIELDS.iter().map(|field| column(random, field.name, field.kind, first, rows)).collect();
    RecordBatch::try_new(arrow_schema(), columns).expect("the columns follow the table of fields")
}

fn column(random: &mut ChaCha8Rng, name: &str, kind: Kind, first: usize, rows: usize) -> ArrayRef {
    let mut pick = |of: usize| -> Vec<usize> { (0..rows).map(|_| random.random_range(0..of)).collect() };
    let number =
        |values: Vec<usize>| -> ArrayRef { Arc::new(Int64Array::from_iter_values(values.iter().map(|v| *v as i64))) };
    let time =
        |at: Vec<Option<i64>>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(at).with_timezone("UTC")) };
    match (name, kind) {
        ("time", _) => time((0..rows).map(|row| Some(START_US + (first + row) as i64 * 250)).collect()),
        ("observed_time", _) => time((0..rows).map(|row| Some(START_US + (first + row) as i64 * 250 + 900)).collect()),
        ("request_id", _) => {
            Arc::new(StringArray::from_iter_values((0..rows).map(|_| format!("{:032x}", random.random::<u128>()))))
        }
        ("path", _) => text(pick(20_000), |v| format!("/v1/orders/{v}/items")),
        ("object_id", _) => text(pick(20_000), |v| format!("k1:{:016x}", v.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
        ("client_ip", _) => text(pick(5_000), |v| format!("198.51.{}.{}", v / 250, v % 250)),
        ("principal", _) => text(pick(3_000), |v| format!("user-{v}")),
        ("credential", _) => text(pick(4_000), |v| format!("k1:{:016x}", v.wrapping_mul(0x517c_c1b7_2722_0a95))),
        ("query", _) => maybe_text(pick(40), |v| (v > 30).then(|| format!("page={v}&size=50"))),
        ("status", _) => Arc::new(Int32Array::from_iter_values(pick(20).iter().map(|v| match v {
            0 => 401,
            1 => 404,
            _ => 200,
        }))),
        ("latency_us" | "request_bytes" | "response_bytes", _) => number(pick(60_000)),
        ("partition", _) => Arc::new(Int32Array::from(vec![0; rows])),
        ("offset", _) => Arc::new(Int64Array::from_iter_values((first..first + rows).map(|v| v as i64))),
        ("late" | "documented", _) => Arc::new(BooleanArray::from(vec![false; rows])),
        ("user_agent", _) => dictionary(&pick(200), |v| format!("Mozilla/5.0 (X11; Linux x86_64) Browser/{v}.0")),
        ("endpoint", _) => dictionary(&pick(60), |v| format!("GET /v1/resource{v}/{{id}}/items")),
        ("trace_id" | "referrer" | "scopes", _) => Arc::new(StringArray::new_null(rows)),
        (_, Kind::Dict) => dictionary(&pick(6), |v| format!("{name}-{v}")),
        (_, Kind::Text) => Arc::new(StringArray::new_null(rows)),
        (_, Kind::Float32) => Arc::new(Float32Array::from(vec![None; rows])),
        (_, Kind::Int64) => Arc::new(Int64Array::from(vec![None; rows])),
        (_, Kind::Int32) => Arc::new(Int32Array::from(vec![None; rows])),
        (_, Kind::Bool) => Arc::new(BooleanArray::from(vec![None; rows])),
        (_, Kind::Time) => time(vec![None; rows]),
        (_, Kind::TextList) => {
            let mut builder = ListBuilder::new(StringBuilder::new());
            (0..rows).for_each(|row| {
                if row % 100 == 0 {
                    builder.values().append_value("sqli");
                }
                builder.append(true);
            });
            Arc::new(builder.finish())
        }
    }
}

fn text(values: Vec<usize>, make: impl Fn(usize) -> String) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values.into_iter().map(make)))
}

fn maybe_text(values: Vec<usize>, make: impl Fn(usize) -> Option<String>) -> ArrayRef {
    Arc::new(values.into_iter().map(make).collect::<StringArray>())
}

fn dictionary(values: &[usize], make: impl Fn(usize) -> String) -> ArrayRef {
    let texts: Vec<String> = values.iter().map(|v| make(*v)).collect();
    Arc::new(texts.iter().map(|t| Some(t.as_str())).collect::<DictionaryArray<Int32Type>>())
}
