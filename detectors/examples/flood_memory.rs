//! What a flood of addresses costs, and whom it hides: made-up addresses spread over a day, each of which comes so many
//! times, among them twenty slow attackers, a client whose traffic becomes a hundredfold, and an IPv6 network that probes.
//!
//! `flood_memory [addresses] [times each] [4|6]` runs the built-in catalogue and one detector more, and prints the resident
//! memory before, in the middle and after, the time per event, and whether those were found. With 6 the addresses are
//! IPv6, each in a /48 of its own.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // it measures, on a terminal

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, StringDictionaryBuilder,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Int32Type;
use detectors::{Engine, EngineLimits, catalogue, parse_rule};
use schemas::alert::State;
use schemas::event::{FIELDS, arrow_schema};
use schemas::{Alert, Lane};

const BATCH_ROWS: usize = 8192;
const DAY_US: u64 = 86_400_000_000;
const MINUTE_US: u64 = 60_000_000;
const START_US: u64 = 1_772_323_200_000_000;
/// Of those who come again, each time but the first comes so much later.
const AGAIN_US: u64 = 7 * MINUTE_US;

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A request: when, who, its status, a number for its endpoint.
type Request = (u64, u64, i32, u64);

/// Those who are to be found come first, then the flood.
const SLOW: std::ops::Range<u64> = 0..20;
const SPIKE: u64 = 20;
const NETWORK: u64 = 21;
const FLOOD: u64 = 22;

fn address(who: u64, n: u64, ipv6: bool) -> String {
    match who {
        SPIKE => "198.51.100.7".to_owned(),
        NETWORK => format!("2001:db8:0:7::{:x}", n * 7919 % 65_536),
        who if SLOW.contains(&who) => format!("203.0.113.{who}"),
        who if ipv6 => format!("2a00:{:x}:{:x}::1", who >> 16, who & 0xffff),
        who => format!("{}.{}.{}.{}", 11 + (who >> 24), who >> 16 & 255, who >> 8 & 255, who & 255),
    }
}

/// All requests in order of time.
struct Day {
    streams: Vec<Box<dyn Iterator<Item = Request>>>,
    next: Vec<Option<Request>>,
}

impl Day {
    fn of(addresses: u64, times: u64) -> Day {
        let mut streams: Vec<Box<dyn Iterator<Item = Request>>> = Vec::new();
        for time in 0..times {
            let late = time * AGAIN_US;
            let all = (0..addresses)
                .map(move |n| ((DAY_US - times * AGAIN_US) * n / addresses + late, FLOOD + n, 401, n % 50));
            streams.push(Box::new(all));
        }
        // A refused request every five minutes, for two hours, at another time of the day each.
        for slow in SLOW {
            let from = DAY_US / 24 * (slow + 1);
            streams.push(Box::new((0..24).map(move |n| (from + n * 5 * MINUTE_US, slow, 401, 0))));
        }
        // Thirty in ten minutes, and from eight in the evening on a hundred times as many.
        streams.push(Box::new((0..4320).map(|n| (n * MINUTE_US / 3, SPIKE, 200, n % 5))));
        let evening = DAY_US / 24 * 20;
        streams.push(Box::new((0..18_000).map(move |n| (evening + n * MINUTE_US / 300, SPIKE, 200, n % 5))));
        // 2,000 probes at noon, ten a second, each from another address.
        streams.push(Box::new((0..2000).map(|n| (DAY_US / 2 + n * 100_000, NETWORK, 404, 1000 + n))));
        let next = streams.iter_mut().map(Iterator::next).collect();
        Day { streams, next }
    }

    fn batch(&mut self) -> Vec<Request> {
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        while batch.len() < BATCH_ROWS {
            let first =
                (0..self.next.len()).filter(|n| self.next[*n].is_some()).min_by_key(|n| self.next[*n].map(|r| r.0));
            let Some(first) = first else { break };
            batch.extend(self.next[first]);
            self.next[first] = self.streams[first].next();
        }
        batch
    }
}

fn dictionary(texts: impl Iterator<Item = String>) -> ArrayRef {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    texts.for_each(|text| builder.append_value(text));
    Arc::new(builder.finish())
}

fn rows(requests: &[Request], offset: u64, ipv6: bool) -> Result<RecordBatch, Box<dyn Error>> {
    let count = requests.len();
    let times = TimestampMicrosecondArray::from_iter_values(requests.iter().map(|r| (START_US + r.0) as i64));
    let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
    let columns: Vec<ArrayRef> = FIELDS
        .iter()
        .map(|field| -> ArrayRef {
            match field.name {
                "time" | "observed_time" => times.clone(),
                "source" | "gateway" => dictionary(requests.iter().map(|_| "bench".to_owned())),
                "endpoint" => dictionary(requests.iter().map(|r| format!("GET /v1/collection-{}/{{id}}", r.3))),
                "path" => {
                    Arc::new(StringArray::from_iter_values(requests.iter().map(|r| format!("/v1/collection-{}", r.3))))
                }
                "client_ip" => {
                    Arc::new(StringArray::from_iter_values(requests.iter().map(|r| address(r.1, r.3, ipv6))))
                }
                "status" => Arc::new(Int32Array::from_iter_values(requests.iter().map(|r| r.2))),
                "partition" => Arc::new(Int32Array::from(vec![0; count])),
                "offset" => Arc::new(Int64Array::from_iter_values((0..count as i64).map(|n| offset as i64 + n))),
                "late" => Arc::new(BooleanArray::from(vec![false; count])),
                _ => new_null_array(&field.kind.data_type(), count),
            }
        })
        .collect();
    Ok(RecordBatch::try_new(arrow_schema(), columns)?)
}

fn resident_megabytes(name: &str) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such line")?;
    Ok(line.split_whitespace().nth(1).ok_or("no number")?.parse::<f64>()? / 1024.0)
}

/// User and system time of this process in seconds, from the kernel's accounts in hundredths.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let argument = |n: usize, default: u64| std::env::args().nth(n).map_or(Ok(default), |text| text.parse());
    let (addresses, times, ipv6) = (argument(1, 10_000_000)?, argument(2, 1)?, argument(3, 4)? == 6);
    let slow = "id: slow\ntitle: A slow attacker\nseverity: low\nentity: client_ip\nnotes: none\nwhere: status = 401\n\
                method: { threshold: { at_least: 12, within: 1h } }\n";
    let mut rules = catalogue();
    rules.push(Arc::new(parse_rule(slow, "slow")?));
    let mut engine = Engine::new(rules, EngineLimits::default())?;
    let lane = Lane::new("bench", 0);
    engine.open(&lane, 0);
    let (mut day, mut opened, mut done, mut spent) = (Day::of(addresses, times), Vec::<Alert>::new(), 0, 0.0);
    let mut out = std::io::stdout();
    writeln!(out, "before: {:.0} MB", resident_megabytes("VmRSS:")?)?;
    let total = addresses * times;
    loop {
        let requests = day.batch();
        if requests.is_empty() {
            break;
        }
        let batch = rows(&requests, done, ipv6)?;
        let before = cpu_seconds()?;
        engine.push(&lane, batch)?;
        opened.extend(engine.advance()?.into_iter().filter(|alert| alert.state == State::Open));
        spent += cpu_seconds()? - before;
        let eighths = |done: u64| (8 * done / total.max(1)).min(8);
        let then = done + requests.len() as u64;
        if eighths(done) != eighths(then) {
            let (events, now) = (then, resident_megabytes("VmRSS:")?);
            writeln!(out, "after {events} events: {now:.0} MB, {:.0} ns each", spent * 1e9 / events as f64)?;
        }
        done = then;
    }
    opened.extend(engine.finish()?.into_iter().filter(|alert| alert.state == State::Open));
    writeln!(out, "peak: {:.0} MB", resident_megabytes("VmHWM:")?)?;
    let has = |detector: &str, entity: &str| {
        opened.iter().any(|alert| alert.detector == detector && alert.entity.value == entity)
    };
    let found = SLOW.filter(|n| has("slow", &address(*n, 0, false))).count();
    writeln!(out, "slow attackers: {found} of 20 found")?;
    writeln!(
        out,
        "hundredfold: {}",
        if has("traffic-spike-ip", &address(SPIKE, 0, false)) { "found" } else { "missed" }
    )?;
    let network = has("path-probing", "2001:db8:0:7::/64");
    writeln!(out, "2,000 probes out of one /64: {}", if network { "found as one" } else { "missed" })?;
    writeln!(out, "alerts opened: {}", opened.len())?;
    for detector in engine.stats().detectors {
        writeln!(out, "  {:<24} {:>7} entities, {} evicted", detector.id, detector.entities, detector.evicted)?;
    }
    let bytes = engine.snapshot().len();
    writeln!(out, "snapshot: {:.1} MB", bytes as f64 / 1e6)?;
    Ok(())
}
