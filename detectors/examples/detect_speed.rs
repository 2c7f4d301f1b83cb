//! How fast the engine is: the built-in catalogue over made-up traffic of 50,000 clients, in order, in batches of 8192.
//!
//! `detect_speed [events] [clients] [lanes]` prints events per CPU second (of the engine alone, making the traffic is
//! not counted), what each detector holds, and the peak memory of the process.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // it measures, on a terminal

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, StringDictionaryBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int32Type;
use detectors::testkit::Chance;
use detectors::{Engine, EngineLimits, catalogue};
use schemas::Lane;
use schemas::event::{FIELDS, arrow_schema};

const BATCH_ROWS: usize = 8192;
const BATCHES_PER_ROUND: usize = 24;

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Few are busy, most are not.
fn busy_few(chance: &mut Chance, bound: u64) -> u64 {
    let unit = chance.below(1 << 30) as f64 / (1_u64 << 30) as f64;
    ((unit * unit * bound as f64) as u64).min(bound - 1)
}

struct Traffic {
    chance: Chance,
    clients: u64,
    time: i64,
    offsets: Vec<i64>,
}

fn dictionary(texts: impl Iterator<Item = String>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    texts.for_each(|text| builder.append_value(text));
    Arc::new(builder.finish())
}

impl Traffic {
    /// A batch of one lane; time goes on at 2,000 events a second.
    fn batch(&mut self, lane: usize) -> Result<RecordBatch, Box<dyn Error>> {
        let rows = BATCH_ROWS;
        let start = self.time;
        self.time += rows as i64 * 500;
        let times = TimestampMicrosecondArray::from_iter_values((0..rows as i64).map(|n| start + n * 500));
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        let clients: Vec<u64> = (0..rows).map(|_| busy_few(&mut self.chance, self.clients)).collect();
        let client_ips: Vec<String> =
            clients.iter().map(|c| format!("10.{}.{}.{}", c >> 16, c >> 8 & 255, c & 255)).collect();
        let statuses: Vec<i32> = (0..rows)
            .map(|_| match self.chance.below(1000) {
                0..=9 => 401,
                10..=29 => 404,
                30..=33 => 500,
                _ => 200,
            })
            .collect();
        let endpoints: Vec<u64> = (0..rows).map(|_| busy_few(&mut self.chance, 200)).collect();
        let offset = self.offsets[lane];
        self.offsets[lane] += rows as i64;
        let sizes: Vec<i64> = (0..rows).map(|_| busy_few(&mut self.chance, 60_000) as i64).collect();
        let columns: Vec<ArrayRef> = FIELDS
            .iter()
            .map(|field| -> ArrayRef {
                match field.name {
                    "time" | "observed_time" => times.clone(),
                    "source" => dictionary((0..rows).map(|_| "bench".to_owned())),
                    "gateway" => dictionary((0..rows).map(|_| "kong".to_owned())),
                    "method" => dictionary((0..rows).map(|_| "GET".to_owned())),
                    "client_class" => {
                        dictionary(clients.iter().map(|c| ["browser", "library", "bot"][(c % 3) as usize].to_owned()))
                    }
                    "auth_result" => {
                        dictionary(statuses.iter().map(|s| if *s == 401 { "invalid" } else { "ok" }.to_owned()))
                    }
                    "endpoint" => dictionary(endpoints.iter().map(|e| format!("GET /v1/collection-{e}/{{id}}"))),
                    "path" => Arc::new(StringArray::from_iter_values(
                        endpoints.iter().zip(&clients).map(|(e, c)| format!("/v1/collection-{e}/{c}")),
                    )),
                    "client_ip" => Arc::new(StringArray::from_iter_values(&client_ips)),
                    "principal" => Arc::new(StringArray::from_iter_values(
                        clients.iter().map(|c| format!("user-{}@example", c / 2)),
                    )),
                    "credential" => Arc::new(StringArray::from_iter_values(
                        clients.iter().map(|c| format!("k1:{:032x}", u128::from(*c) * 77)),
                    )),
                    "object_id" => {
                        Arc::new(StringArray::from_iter_values(clients.iter().map(|c| format!("k1:{c:032x}"))))
                    }
                    "status" => Arc::new(Int32Array::from(statuses.clone())),
                    "response_bytes" | "latency_us" => Arc::new(Int64Array::from(sizes.clone())),
                    "partition" => Arc::new(Int32Array::from(vec![lane as i32; rows])),
                    "offset" => Arc::new(Int64Array::from_iter_values(offset..offset + rows as i64)),
                    "late" => Arc::new(BooleanArray::from(vec![false; rows])),
                    _ => new_null_array(&field.kind.data_type(), rows),
                }
            })
            .collect();
        Ok(RecordBatch::try_new(arrow_schema(), columns)?)
    }
}

/// User and system time of this process in seconds, from the kernel's accounts in hundredths.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn peak_megabytes() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<f64>()? / 1024.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |n: usize, default: usize| std::env::args().nth(n).map_or(Ok(default), |text| text.parse());
    let (events, clients, lanes) = (argument(1, 3_000_000)?, argument(2, 50_000)?, argument(3, 1)?);
    let mut engine = Engine::new(catalogue(), EngineLimits::default())?;
    let names: Vec<Lane> = (0..lanes).map(|partition| Lane::new("bench", partition as i32)).collect();
    names.iter().for_each(|lane| engine.open(lane, if lanes > 1 { 2_000_000 } else { 0 }));
    let start = 1_772_366_400_000_000;
    let mut traffic = Traffic { chance: Chance::new(7), clients: clients as u64, time: start, offsets: vec![0; lanes] };
    let (mut done, mut alerts, mut spent) = (0, 0, 0.0);
    while done < events {
        let mut round = Vec::with_capacity(BATCHES_PER_ROUND);
        for batch in 0..BATCHES_PER_ROUND {
            // Lanes run side by side: the same stretch of time in each.
            if batch % lanes != 0 {
                traffic.time -= BATCH_ROWS as i64 * 500;
            }
            round.push((batch % lanes, traffic.batch(batch % lanes)?));
        }
        let before = cpu_seconds()?;
        for (lane, batch) in round {
            done += batch.num_rows();
            engine.push(&names[lane], batch)?;
            alerts += engine.advance()?.len();
        }
        spent += cpu_seconds()? - before;
    }
    let mut out = std::io::stdout();
    let (rate, nanoseconds) = (done as f64 / spent / 1e6, spent * 1e9 / done as f64);
    writeln!(
        out,
        "{done} events of {clients} clients in {lanes} lanes: {spent:.2} CPU s, {rate:.2} M events per CPU s, {nanoseconds:.0} ns each"
    )?;
    writeln!(out, "{alerts} tellings, {} rows held, peak memory {:.0} MB", engine.held_rows(), peak_megabytes()?)?;
    for detector in engine.stats().detectors {
        writeln!(
            out,
            "  {:<24} {:>7} entities, {} evicted, {} opened",
            detector.id, detector.entities, detector.evicted, detector.opened
        )?;
    }
    let before = cpu_seconds()?;
    let bytes = engine.snapshot();
    writeln!(out, "snapshot: {:.1} MB in {:.2} CPU s", bytes.len() as f64 / 1e6, cpu_seconds()? - before)?;
    Ok(())
}
