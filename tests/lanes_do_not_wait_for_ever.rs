//! Promise: lanes wait for each other only as long as it takes. Rotated logs, each beginning where the one before ends, are
//! read together: the later ones are far ahead, are held back, and get their turn. A source whose times are hours behind is not
//! waited for, is judged, and is told of.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fmt::Write;
use std::fs::OpenOptions;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use common::program;
use common::service::Service;

/// A run that hangs is what this looks for; it takes seconds.
const PATIENCE: Duration = Duration::from_secs(120);
const LINES: u64 = 60_000;

/// A log of `per_second` lines a second from `start` on.
fn log(start_s: u64, per_second: u64) -> String {
    let mut text = String::new();
    for line in 0..LINES {
        let at = start_s + line / per_second;
        let (hour, minute, second) = (at / 3600, at / 60 % 60, at % 60);
        writeln!(
            text,
            "192.0.2.{} - - [05/Jan/2026:{hour:02}:{minute:02}:{second:02} +0000] \"GET /v1/items HTTP/1.1\" 200 12 \"-\" \"-\"",
            line % 200 + 1
        )
        .unwrap();
    }
    text
}

#[test]
fn rotated_logs_are_read_to_their_end_in_whatever_order_they_are_named() {
    for per_second in [20, 100, 300] {
        let folder = tempfile::tempdir().unwrap();
        let seconds = LINES / per_second;
        let files: Vec<String> = (0..4)
            .map(|n| {
                let path = folder.path().join(format!("access.log.{n}"));
                std::fs::write(&path, log(n * seconds, per_second)).unwrap();
                path.to_str().unwrap().to_owned()
            })
            .collect();
        for names in [files.clone(), files.iter().rev().cloned().collect()] {
            let (done, result) = sync_channel(1);
            std::thread::spawn(move || {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let ran = program::run(&[&["replay", "--source", "combined", "--no-lake"], names.as_slice()].concat());
                done.send((ran.code, ran.stdout + &ran.stderr)).unwrap();
            });
            let (code, said) = result.recv_timeout(PATIENCE).expect("the run comes to its end");
            assert_eq!(code, 0, "{said}");
            assert!(said.contains("240,000 events, 0 rejects, 0 late"), "{said}");
        }
    }
}

/// A line of now by a clock that is so many hours wrong.
fn now_line(client: &str, request: &str, status: u16, hours: i64) -> String {
    let now = chrono::DateTime::from_timestamp_micros(common::wall_us() - hours * 3_600_000_000).unwrap();
    let time = now.format("%d/%b/%Y:%H:%M:%S +0000");
    format!("{client} - - [{time}] \"{request} HTTP/1.1\" {status} 12 \"-\" \"-\"\n")
}

#[test]
fn a_source_hours_behind_holds_nobody_back_and_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let logs = [("edge", 0), ("branch", 3)].map(|(name, hours)| {
        let mut options = OpenOptions::new();
        (options.create(true).append(true).open(folder.path().join(format!("{name}.log"))).unwrap(), hours)
    });
    let sources: String = ["edge", "branch"]
        .iter()
        .map(|name| {
            let log = folder.path().join(format!("{name}.log"));
            format!("  - {{ name: {name}, kind: combined, files: [{}], follow: true }}\n", log.display())
        })
        .collect();
    let config = folder.path().join("gatewatch.yaml");
    let text = format!("data_dir: {}\nsources:\n{sources}", folder.path().join("data").display());
    std::fs::write(&config, text).unwrap();
    let mut service = Service::start(&config);
    // Both are written all the time; one client of each is refused again and again.
    let (stop, pace) = sync_channel::<()>(0);
    let writer = std::thread::spawn(move || {
        for n in 0_u64.. {
            for (source, (mut log, hours)) in logs.iter().map(|(log, hours)| (log, *hours)).enumerate() {
                let client = format!("192.0.2.{}", n % 200 + 1);
                let mut lines = now_line(&client, "GET /v1/items", 200, hours);
                if n > 100 {
                    lines += &now_line(&format!("203.0.113.{}", 66 + source), "POST /login", 401, hours);
                }
                std::io::Write::write_all(&mut log, lines.as_bytes()).unwrap();
            }
            if pace.recv_timeout(Duration::from_millis(20)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    for client in ["203.0.113.66", "203.0.113.67"] {
        service.line_with(&["alert opened: ", &format!("entity=\"{client}\"")], 60);
    }
    let told = service.line_with(&["warning=\"late\"", "about=\"branch\""], 60);
    let cure = "s after its time, and detection of the other sources does not wait for that: are the clock and the zone (time_zone)";
    assert!(told.contains("each comes at least 1080") && told.contains(cure), "{told}");
    drop(stop);
    writer.join().unwrap();
    let said = service.stop();
    assert!(!said.iter().any(|line| line.contains("about=\"edge\"")), "{}", said.join("\n"));
}
