//! What each stage costs, in events per CPU second and bytes per second: read (cut a file into batches), normalise (parse, redact, route, build), redact
//! alone, detect with the whole catalogue, the whole pipeline without and with the lake; and the peak memory.
//!
//! `cargo bench --profile dev` times a million Kong lines of 50,000 clients; without `--bench` (as the tests run it) a tiny
//! input goes through the same code, so that it cannot rot. Each stage runs in a process of its own: memory is its own.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::explicit_write)] // a bench measures with the system's clocks

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use detectors::{Engine, EngineLimits};
use gatewatch::app::FromTheStart;
use gatewatch::demo::{Traffic, TrafficConfig};
use gatewatch::ingest::file::FileSource;
use gatewatch::ingest::{ReadLimits, Signal, Source};
use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig};

const BATCH_ROWS: usize = 8192;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let timed = arguments.iter().any(|a| a == "--bench");
    let (events, clients) = if timed { (1_000_000, 50_000) } else { (60_000, 1_000) };
    if let Some(stage) = arguments.iter().find_map(|a| a.strip_prefix("--stage=")) {
        return run_stage(stage, Path::new(&arguments[1]));
    }
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines.json");
    let bytes = write_lines(&lines, events, clients);
    say(&format!("{events} Kong lines, {} bytes each, {clients} clients", bytes / events));
    say("stage                     events/CPU-s       MB/s    wall s   peak MB");
    for stage in ["read", "normalise", "redact", "detect"] {
        report(
            stage,
            events,
            bytes,
            Command::new(std::env::current_exe().unwrap()).arg(format!("--stage={stage}")).arg(&lines),
        );
    }
    let replay = |extra: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatewatch"));
        command
            .args(["replay", lines.to_str().unwrap(), "--source", "kong", "--alerts", "/dev/null", "--summary", "-"])
            .args(extra);
        command
    };
    report("pipeline, no lake", events, bytes, &mut replay(&["--no-lake"]));
    let data = folder.path().join("data");
    report("pipeline, with lake", events, bytes, &mut replay(&["--data-dir", data.to_str().unwrap()]));
}

fn say(text: &str) {
    writeln!(std::io::stdout(), "{text}").unwrap();
}

fn write_lines(path: &Path, events: u64, clients: u32) -> u64 {
    let mut traffic = Traffic::new(&TrafficConfig::bench(events, clients)).unwrap();
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let (mut buffer, mut bytes) = (Vec::new(), 0);
    while traffic.fill(&mut buffer) {
        file.write_all(&buffer).unwrap();
        bytes += buffer.len() as u64;
        buffer.clear();
    }
    file.flush().unwrap();
    bytes
}

/// Runs a command to its end and prints what it cost, by the system's account of the finished process.
fn report(name: &str, events: u64, bytes: u64, command: &mut Command) {
    let before = children_cpu_seconds();
    let watch = Instant::now();
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let wall = watch.elapsed().as_secs_f64();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // A stage that has to prepare its input says what the measured part alone cost.
    let own: Option<f64> = said.lines().find_map(|line| line.strip_prefix("cpu ")?.parse().ok());
    let cpu = own.unwrap_or(children_cpu_seconds() - before).max(1e-9);
    let summary = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["rss_max_bytes"].as_u64();
    let peak = said.lines().find_map(|line| line.strip_prefix("peak ")?.parse().ok().or_else(|| summary(line)));
    let peak = peak.or_else(|| said.lines().find_map(summary));
    let peak = peak.map_or_else(|| "-".to_owned(), |bytes| (bytes >> 20).to_string());
    say(&format!(
        "{name:<24} {:>14.0} {:>10.0} {:>9.2} {:>9}",
        events as f64 / cpu,
        bytes as f64 / cpu / 1e6,
        wall,
        peak
    ));
}

/// User and system seconds of all children that have ended, from the kernel's 100 Hz account.
fn children_cpu_seconds() -> f64 {
    stat_ticks(&[15, 16]) / 100.0
}

fn own_cpu_seconds() -> f64 {
    stat_ticks(&[13, 14]) / 100.0
}

fn stat_ticks(fields: &[usize]) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The command name is in parentheses and may hold spaces; it is field 2.
    let rest: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields.iter().map(|f| rest[f - 2].parse::<f64>().unwrap()).sum()
}

fn run_stage(stage: &str, lines: &Path) {
    if stage == "read" {
        let start = own_cpu_seconds();
        assert!(read_all(lines) > 0);
        say(&format!("cpu {}", own_cpu_seconds() - start));
        return say(&format!("peak {}", gatewatch::telemetry::rss_max_bytes()));
    }
    let content = std::fs::read(lines).unwrap();
    let batches = batches(&content);
    let keys = Keys::new("k1", b"a key for the bench");
    let config = SourceConfig { name: "bench".into(), kind: "kong".into(), ..SourceConfig::default() };
    let mut normaliser = Normaliser::new(&config, &keys).unwrap();
    let lane = Lane::new("bench", 0);
    let start = own_cpu_seconds();
    let cpu = match stage {
        "normalise" => {
            let events: usize = batches.iter().map(|b| normaliser.normalise(&lane, b).events.num_rows()).sum();
            assert!(events > 0);
            own_cpu_seconds() - start
        }
        "redact" => {
            let text = std::str::from_utf8(&content).unwrap();
            let changed =
                text.lines().filter(|line| matches!(schemas::scrub(line), std::borrow::Cow::Owned(_))).count();
            assert!(changed > 0);
            own_cpu_seconds() - start
        }
        "detect" => {
            let events: Vec<_> = batches.iter().map(|b| normaliser.normalise(&lane, b).events).collect();
            drop((batches, content));
            let rules = detectors::catalogue();
            let mut engine = Engine::new(rules, EngineLimits::default()).unwrap();
            engine.open(&lane, 1_000_000);
            let start = own_cpu_seconds();
            for batch in events {
                engine.push(&lane, batch).unwrap();
                engine.advance().unwrap();
            }
            engine.finish().unwrap();
            own_cpu_seconds() - start
        }
        other => panic!("no stage {other}"),
    };
    say(&format!("cpu {cpu}"));
    say(&format!("peak {}", gatewatch::telemetry::rss_max_bytes()));
}

/// Reads the file as the pipeline does, a batch at a time; how many records there were.
fn read_all(lines: &Path) -> usize {
    let (limits, clock) = (ReadLimits::default(), gatewatch::clock::system());
    let mut source = FileSource::new(&[lines], "bench", limits, Arc::new(FromTheStart), clock).unwrap();
    let mut records = 0;
    while !source.finished() {
        if let Some(Signal::Records { records: batch, .. }) = source.next(Duration::ZERO).unwrap() {
            records += batch.len();
        }
    }
    records
}

fn batches(content: &[u8]) -> Vec<RawBatch> {
    let lines: Vec<&[u8]> = content.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    let mut offset = 0;
    lines
        .chunks(BATCH_ROWS)
        .map(|chunk| {
            let mut batch = RawBatch::new();
            for line in chunk {
                batch.push(offset, 0, line);
                offset += 1;
            }
            batch
        })
        .collect()
}
