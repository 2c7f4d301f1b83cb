//! Promise: what is odd about a file costs no detection and no patience. Another file in the place of one that was read is
//! noticed, a damaged one is judged by what it has, lines may end in carriage returns, and a FIFO is refused, not waited for.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::HOLES;
use common::program::{number, path, run};

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
