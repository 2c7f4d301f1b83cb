//! Gateways that go on writing their logs, at a gateway's pace.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::wall_us;

/// Does its turn ten times a second until this is dropped.
pub struct Gateway {
    ended: Arc<AtomicBool>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Gateway {
    pub fn open(mut turn: impl FnMut() + Send + 'static) -> Gateway {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let writer = std::thread::spawn(move || {
            while !flag.load(Ordering::Relaxed) {
                turn();
                // A gateway has a pace; nothing is waited for here.
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        Gateway { ended, writer: Some(writer) }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            writer.thread().unpark();
            let ended = writer.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the gateway panicked");
        }
    }
}

/// Appends to a log, in one piece.
pub fn write(log: &Path, lines: impl AsRef<str>) {
    let mut log = OpenOptions::new().create(true).append(true).open(log).expect("the log can be opened");
    log.write_all(lines.as_ref().as_bytes()).expect("the log takes lines");
}

/// A request as nginx_json has it, of this moment unless told otherwise.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub client: &'a str,
    /// Empty where nobody logged in.
    pub user: &'a str,
    pub path: &'a str,
    pub status: u16,
    /// As it stands in the log.
    pub bytes: &'a str,
    pub seconds_ago: i64,
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Entry { client: "192.0.2.7", user: "", path: "/v1/orders", status: 200, bytes: "512", seconds_ago: 0 }
    }
}

impl Entry<'_> {
    pub fn line(&self) -> String {
        let Entry { client, user, path, status, bytes, seconds_ago } = self;
        let time = chrono::DateTime::from_timestamp_micros(wall_us() - seconds_ago * 1_000_000).expect("a time");
        let time = time.to_rfc3339();
        format!(
            "{{\"time_iso8601\":\"{time}\",\"remote_addr\":\"{client}\",\"remote_user\":\"{user}\",\"request_method\":\"GET\",\
             \"request_uri\":\"{path}\",\"status\":{status},\"body_bytes_sent\":{bytes},\
             \"http_user_agent\":\"curl/8.5.0\"}}\n"
        )
    }
}
