//! How long it takes from a line being written to the alert it causes being logged: a real service follows a file, a writer
//! appends 1,000 lines a second, and now and then a client reaches a threshold.
//!
//! `cargo run --example alert_latency [SECONDS] [LINES_A_SECOND]`, after `cargo build`. Prints the median, the 99th percentile
//! and the longest, in milliseconds.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)] // it measures, on a terminal

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Refused sign-ins of one client until it is told.
const AT_LEAST: u32 = 10;

const DETECTOR: &str = "id: refused\ntitle: A client is refused\nseverity: high\nnotes: For measuring.\nentity: client_ip\n\
                        where: status = 401\nmethod: { threshold: { at_least: 10, within: 1m } }\n";

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let (seconds, rate) = (numbers.next().unwrap_or(60), numbers.next().unwrap_or(1000));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.log");
    let mut file = std::fs::File::create(&log).unwrap();
    let mut service = start(folder.path(), &log);
    // When each client's deciding line was written, and how long its alert took.
    let written: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
    let delays: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let stderr = service.stderr.take().unwrap();
    let reading = std::thread::spawn({
        let (written, delays) = (written.clone(), delays.clone());
        move || read_alerts(stderr, &written, &delays)
    });
    let begin = Instant::now();
    let mut attacks = 0;
    for number in 0..seconds * rate {
        let due = Duration::from_nanos(number * 1_000_000_000 / rate);
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        // A client in a hundred lines, each refused ten times.
        let refused = number % 10 == 0;
        let client =
            if refused { format!("2001:db8:{:x}::1", number / 100) } else { format!("192.0.2.{}", number % 200) };
        let status = if refused { 401 } else { 200 };
        let time = chrono::Utc::now().format("%d/%b/%Y:%H:%M:%S +0000");
        if refused && number % 100 == u64::from(AT_LEAST - 1) * 10 {
            attacks += 1;
            written.lock().unwrap().insert(client.clone(), Instant::now());
        }
        writeln!(file, "{client} - - [{time}] \"GET /v1/orders/{number} HTTP/1.1\" {status} 99 \"-\" \"curl/8.5.0\"")
            .unwrap();
    }
    // The last ones have a moment; then the service stops and its log ends.
    std::thread::sleep(Duration::from_secs(5));
    Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap();
    service.wait().unwrap();
    reading.join().unwrap();
    let mut delays: Vec<u128> = delays.lock().unwrap().iter().map(Duration::as_millis).collect();
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 100];
    println!(
        "{} of {attacks} alerts at {rate} lines a second: p50 {} ms, p99 {} ms, longest {} ms",
        delays.len(),
        at(50),
        at(99),
        at(100)
    );
}

fn start(folder: &Path, log: &Path) -> Child {
    let (detector, config) = (folder.join("refused.yaml"), folder.join("gatewatch.yaml"));
    std::fs::write(&detector, DETECTOR).unwrap();
    let text = format!(
        "data_dir: {}\nsources: [{{ name: edge, kind: combined, files: [{}], follow: true }}]\nobserve: {{ listen: off }}\n\
         detectors: {{ catalogue: false, paths: [{}] }}\n",
        folder.join("data").display(),
        log.display(),
        detector.display()
    );
    std::fs::write(&config, text).unwrap();
    let program = std::env::current_exe().unwrap().parent().unwrap().with_file_name("gatewatch");
    let mut command = Command::new(program);
    command.args(["run", "--log-format", "json", "--config"]).arg(config).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Alerts of the log, matched with when their line was written.
fn read_alerts(stderr: ChildStderr, written: &Mutex<HashMap<String, Instant>>, delays: &Mutex<Vec<Duration>>) {
    for line in BufReader::new(stderr).lines() {
        let line = line.unwrap();
        let Some(at) = line.find("2001:db8:") else { continue };
        let client = line[at..].split(|c: char| c != ':' && !c.is_ascii_hexdigit()).next().unwrap();
        if let Some(begun) = written.lock().unwrap().remove(client) {
            delays.lock().unwrap().push(begun.elapsed());
        }
    }
}
