//! Promise: what is odd about a file costs no detection and no patience. Another file in the place of one that was read is
//! noticed, a damaged one is judged by what it has, lines may end in carriage returns, and a FIFO is refused, not waited for.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::HOLES;
use common::http::{Answer, get, until};
use common::program::{number, path, run};
use common::service::Service;

/// Requests of somebody who looks for holes; the first line is the same in every log.
fn probes(count: usize, from: usize) -> String {
    let line = |n: usize| {
        let (second, n) = if n == 0 { (0, 0) } else { (n, n + from) };
        format!(
            "203.0.113.66 - - [05/Jan/2026:10:00:{second:02} +0000] \"GET /{}?n={n} HTTP/1.1\" 404 12 \"-\" \"-\"\n",
            HOLES[n % HOLES.len()]
        )
    };
    (0..count).map(line).collect()
}

/// A file of the folder.
fn write(folder: &Path, name: &str, text: &[u8]) -> String {
    let place = folder.join(name);
    fs::write(&place, text).unwrap();
    path(&place).to_owned()
}

fn probing_alerts(data: &Path) -> i64 {
    number(data, "select count(distinct entity_value) from alerts where detector = 'path-probing'")
}

#[test]
fn another_file_with_the_same_name_and_first_line_is_read_from_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let replay = |file: &str| {
        let ran = run(&["replay", file, "--source", "combined", "--data-dir", path(&data)]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout + &ran.stderr
    };
    let events = || number(&data, "select count(*) from events");
    let log = write(folder.path(), "x.log", probes(7, 0).as_bytes());
    replay(&log);
    assert_eq!((events(), probing_alerts(&data)), (7, 0));

    write(folder.path(), "x.log", probes(30, 100).as_bytes());
    let said = replay(&log);
    assert!(said.contains("is another file than the one that was read before"), "{said}");
    assert_eq!((events(), probing_alerts(&data)), (37, 1));

    let longer = [probes(30, 100), probes(5, 200)].concat();
    write(folder.path(), "x.log", longer.as_bytes());
    let said = replay(&log);
    assert!(!said.contains("is another file"), "it grew: {said}");
    assert_eq!(events(), 42);

    write(folder.path(), "x.log", probes(3, 300).as_bytes());
    replay(&log);
    assert_eq!(events(), 45, "a shorter one is another one, too");
}

#[test]
fn a_file_that_is_cut_is_judged_by_what_it_has_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(probes(30, 0).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let cut = write(folder.path(), "cut.log.gz", &packed[..packed.len() - 12]);
    let whole = write(folder.path(), "whole.log", probes(5, 0).replace("203.0.113.66", "203.0.113.67").as_bytes());
    let ran = run(&["replay", &cut, &whole, "--source", "combined", "--data-dir", path(&data)]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("the gzip data ends early"), "{}", ran.stderr);
    assert_eq!(number(&data, "select count(*) from events where client_ip = '203.0.113.67'"), 5);
    assert_eq!(probing_alerts(&data), 1);
}

#[test]
fn lines_may_end_in_carriage_returns_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = write(folder.path(), "old.log", probes(14, 0).replace('\n', "\r").as_bytes());
    let ran = run(&["replay", &log, "--source", "combined", "--data-dir", path(&data)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(number(&data, "select count(*) from events"), 14);
}

#[test]
fn a_fifo_or_a_socket_is_refused_and_never_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("pipe.log");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let socket = folder.path().join("socket.log");
    let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (place, word) in [(&fifo, "this is a FIFO"), (&socket, "this is a socket")] {
        let ran = run(&["replay", path(place), "--source", "combined", "--no-lake"]);
        assert!(ran.code == 2 && ran.stderr.contains(word), "{} {}", ran.code, ran.stderr);
        for follow in [false, true] {
            let config = folder.path().join("gatewatch.yaml");
            let text = format!(
                "data_dir: {}\nsources: [{{ name: web, kind: combined, files: [\"{}\"], follow: {follow} }}]\n",
                path(&folder.path().join("data")),
                path(place)
            );
            fs::write(&config, text).unwrap();
            let ran = run(&["check", "--config", path(&config)]);
            assert!(ran.code == 2 && ran.stderr.contains(word), "{} {}", ran.code, ran.stderr);
        }
    }
}

#[test]
fn a_name_that_is_not_utf_8_and_a_file_that_cannot_be_read_leave_the_others_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, data) = (folder.path().join("logs"), folder.path().join("data"));
    fs::create_dir_all(logs.join(OsStr::from_bytes(b"\xff"))).unwrap();
    write(&logs, "plain.log", probes(3, 0).as_bytes());
    fs::write(logs.join(OsStr::from_bytes(b"caf\xe9.log")), probes(4, 100)).unwrap();
    // It leads to itself: nobody may read it, not even root.
    std::os::unix::fs::symlink(logs.join("loop.log"), logs.join("loop.log")).unwrap();
    let config = folder.path().join("gatewatch.yaml");
    let text = format!(
        "data_dir: {}\nsources: [{{ name: web, kind: combined, files: [\"{}/*.log\"], follow: true }}]\nlake: {{ checkpoint_every: 300ms }}\n",
        path(&data),
        path(&logs)
    );
    fs::write(&config, text).unwrap();
    let checked = run(&["check", "--config", path(&config)]);
    assert_eq!(checked.code, 0, "{}", checked.stderr);
    assert!(checked.stderr.contains("loop.log: "), "{}", checked.stderr);

    let mut service = Service::start(&config);
    let address = service.address();
    let source = |answer: &Answer| answer.json()["sources"][0].clone();
    let status =
        until(address, "/status", |answer| source(answer)["events"] == 7 && source(answer)["state"] == "failing");
    let error = source(&status)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("loop.log cannot be read: "), "{error}");
    assert!(get(address, "/metrics").body.contains("gatewatch_source_up{source=\"web\"} 0"));
    fs::remove_file(logs.join("loop.log")).unwrap();
    until(address, "/status", |answer| source(answer)["state"] == "up");
    fs::OpenOptions::new()
        .append(true)
        .open(logs.join(OsStr::from_bytes(b"caf\xe9.log")))
        .and_then(|mut log| log.write_all(probes(2, 200).as_bytes()))
        .unwrap();
    until(address, "/status", |answer| source(answer)["events"] == 9);
    service.stop();
    let mut again = Service::start(&config);
    again.wait_for("caught up", 60);
    again.stop();
    assert_eq!(number(&data, "select count(*) from events"), 9, "known again after a restart");
}

#[test]
fn what_was_not_read_when_a_file_went_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = write(folder.path(), "access.log", probes(3, 0).as_bytes());
    let config = folder.path().join("gatewatch.yaml");
    let text = format!(
        "data_dir: {}\nsources: [{{ name: web, kind: combined, files: [\"{log}\"], follow: true }}]\n",
        path(&folder.path().join("data"))
    );
    fs::write(&config, text).unwrap();
    let mut service = Service::start(&config);
    service.wait_for("caught up", 60);
    service.stop();
    fs::rename(&log, folder.path().join("access.log.1")).unwrap();
    fs::write(&log, probes(2, 100)).unwrap();
    let mut service = Service::start(&config);
    let line = service.line_with(&["was renamed, deleted or cut while nothing followed it"], 60);
    assert!(line.contains("access.log") && line.contains("byte="), "{line}");
    service.stop();
}
