//! Promise: lanes wait for each other only as long as it takes. Rotated logs, each beginning where the one before ends, are
//! read together: the later ones are far ahead, are held back, and get their turn.

#![allow(clippy::unwrap_used)] // a test may panic

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::fmt::Write;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

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
