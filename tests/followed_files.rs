//! Promise: a log that is followed is read line by line, each line once, however it is rotated and whenever the service is
//! killed. A writer of 5,000 lines a second; 50 rotations: renamed, renamed while the old writer goes on, copied and cut,
//! renamed and packed, deleted; SIGKILL of the service between. The alerts are those of one run over all lines.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use common::HOLES;
use common::program::{number, path, query, run};
use common::service::Service;

const ROTATIONS: usize = 50;
/// Written at a time, every ten milliseconds.
const AT_ONCE: usize = 50;
const BETWEEN: usize = 2_500;
const LINES: usize = ROTATIONS * BETWEEN;

/// A line of the log: everyday traffic of 200 clients, and now and then somebody who tries passwords or looks for holes.
fn line(n: usize) -> String {
    let now = chrono::DateTime::from_timestamp_micros(common::wall_us()).unwrap();
    let time = now.format("%d/%b/%Y:%H:%M:%S +0000");
    let (round, within) = (n / 20_000, n % 20_000);
    let (client, request, status) = match within {
        5_000..8_000 if n.is_multiple_of(10) => (format!("203.0.113.{}", round + 1), format!("POST /login?n={n}"), 401),
        10_000..12_000 if n.is_multiple_of(20) => {
            (format!("203.0.113.{}", round + 101), format!("GET /{}?n={n}", HOLES[n / 20 % HOLES.len()]), 404)
        }
        _ => (format!("198.51.100.{}", n % 200 + 1), format!("GET /v1/items?n={n}"), 200),
    };
    // No two files are of one length: a file system gives the number of a deleted file to the next one, and only the length
    // then tells in the registry which of them is committed.
    let agent = "x".repeat(n / BETWEEN);
    format!("{client} - - [{time}] \"{request} HTTP/1.1\" {status} 12 \"-\" \"curl/8.5 ({agent})\"\n")
}

/// Writes the log, and all of it once more into one file that is never rotated.
struct Writer {
    folder: PathBuf,
    registry: PathBuf,
    log: File,
    whole: File,
    next: usize,
    pace: Receiver<()>,
}

impl Writer {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn open(folder: &Path) -> File {
        OpenOptions::new().create(true).append(true).open(folder.join("app.log")).unwrap()
    }

    /// Some lines, in two writes, of which the first ends within a line.
    fn write(&mut self, lines: usize, to: Option<&mut File>) {
        let text: String = (self.next..self.next + lines).map(line).collect();
        self.next += lines;
        self.whole.write_all(text.as_bytes()).unwrap();
        let log = to.unwrap_or(&mut self.log);
        let (first, rest) = text.as_bytes().split_at(text.len() / 2);
        log.write_all(first).unwrap();
        log.write_all(rest).unwrap();
    }

    /// The pace of the writer is part of what is tested.
    fn pause(&self) {
        assert_eq!(self.pace.recv_timeout(Duration::from_millis(10)), Err(RecvTimeoutError::Timeout));
    }

    fn run(mut self) {
        for rotation in 0..ROTATIONS {
            while self.next < rotation * BETWEEN + BETWEEN - 2 * AT_ONCE {
                self.write(AT_ONCE, None);
                self.pause();
            }
            self.rotate(rotation);
            self.write(rotation * BETWEEN + BETWEEN - self.next, None);
        }
        assert_eq!(self.next, LINES);
    }

    fn rotate(&mut self, rotation: usize) {
        let (log, old) = (self.path("app.log"), self.path(&format!("app.log.{rotation}")));
        match rotation % 5 {
            0 => {
                fs::rename(&log, &old).unwrap();
                self.log = Writer::open(&self.folder);
            }
            1 => {
                fs::rename(&log, &old).unwrap();
                let mut late = std::mem::replace(&mut self.log, Writer::open(&self.folder));
                for _ in 0..5 {
                    self.write(5, Some(&mut late));
                    self.write(5, None);
                    self.pause();
                }
            }
            2 => {
                fs::copy(&log, &old).unwrap();
                self.log.set_len(0).unwrap();
            }
            3 => {
                fs::rename(&log, &old).unwrap();
                self.log = Writer::open(&self.folder);
                let packed = File::create(self.path(&format!("app.log.{rotation}.gz"))).unwrap();
                let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
                packed.write_all(&fs::read(&old).unwrap()).unwrap();
                packed.finish().unwrap();
                fs::remove_file(&old).unwrap();
            }
            _ => {
                // What is deleted before it is in the lake cannot be read again after a kill.
                self.wait_until_committed();
                fs::remove_file(&log).unwrap();
                self.log = Writer::open(&self.folder);
            }
        }
    }

    fn wait_until_committed(&self) {
        let meta = self.log.metadata().unwrap();
        let committed =
            |text: String| {
                let registry: serde_json::Value = serde_json::from_str(&text).unwrap();
                registry["lanes"].as_array().unwrap().iter().any(|lane| {
                    lane["id"]["inode"] == meta.ino() && lane["committed"]["end"].as_u64() == Some(meta.len())
                })
            };
        for _ in 0..6_000 {
            if fs::read_to_string(&self.registry).is_ok_and(committed) {
                return;
            }
            self.pause();
        }
        panic!("the service never committed what was written");
    }
}

fn alerts(data: &Path) -> Vec<serde_json::Value> {
    query(data, "select distinct detector, entity_kind, entity_value, opened from alerts order by 1, 2, 3, 4")
}

#[test]
fn fifty_rotations_and_kills_leave_each_line_once_and_the_alerts_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let (logs, data, config) =
        (folder.path().join("logs"), folder.path().join("data"), folder.path().join("gatewatch.yaml"));
    fs::create_dir(&logs).unwrap();
    let text = format!(
        "data_dir: {}\nsources:\n  - name: web\n    kind: combined\n    files: [\"{}/app.log*\"]\n    follow: true\n\
         lake: {{ checkpoint_every: 300ms }}\n",
        path(&data),
        path(&logs)
    );
    fs::write(&config, text).unwrap();
    let (_open, pace) = sync_channel(1);
    let whole = folder.path().join("whole.log");
    let writer = Writer {
        registry: data.join("follow/web.json"),
        log: Writer::open(&logs),
        whole: File::create(&whole).unwrap(),
        folder: logs,
        next: 0,
        pace,
    };
    let writing = std::thread::spawn(move || writer.run());
    let mut kills = 0;
    while !writing.is_finished() {
        // Odd lengths, so that kills fall anywhere within the rotations.
        Service::start(&config).kill_after(Duration::from_millis(2_000 + 370 * (kills % 7)));
        kills += 1;
    }
    writing.join().unwrap();
    assert!(kills >= 8, "{kills} kills");
    let mut service = Service::start(&config);
    service.wait_for("caught up", 60);
    service.stop();

    assert_eq!(number(&data, "select count(distinct query) from events"), LINES as i64);
    assert_eq!(number(&data, "select count(*) from events"), LINES as i64);
    assert_eq!(number(&data, "select count(*) from rejects"), 0);
    assert_eq!(number(&data, "select count(*) from events where late"), 0);

    let once = folder.path().join("once");
    let ran = run(&["replay", path(&whole), "--source", "combined", "--lateness", "2s", "--data-dir", path(&once)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected = alerts(&once);
    assert!(expected.len() >= 4, "{expected:?}");
    assert_eq!(alerts(&data), expected);
}
