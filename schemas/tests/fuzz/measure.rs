//! What a run costs: processor time and resident memory of this process, as the kernel counts them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The kernel adds up a thread's time in ticks.
const TICK: Duration = Duration::from_millis(4);
/// Below this the wall tells enough.
const SHORT: Duration = Duration::from_millis(5);

/// Times pieces of work of one thread. On a busy machine the wall tells how long others ran, so of long pieces it is the
/// thread's own time that counts.
pub struct Meter {
    schedstat: Option<File>,
    /// What the thread had used, and when it was asked.
    used: Duration,
    asked: Instant,
}

impl Meter {
    pub fn new() -> Meter {
        let mut meter = Meter {
            schedstat: File::open("/proc/thread-self/schedstat").ok(),
            used: Duration::ZERO,
            asked: Instant::now(),
        };
        meter.ask();
        meter
    }

    fn ask(&mut self) {
        let mut text = [0; 64];
        let read = self.schedstat.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let nanos = text[..read].split(|b| *b == b' ').next().and_then(|b| std::str::from_utf8(b).ok()?.parse().ok());
        (self.used, self.asked) = (nanos.map_or(self.used, Duration::from_nanos), Instant::now());
    }

    /// How long `work` took.
    pub fn time<T>(&mut self, work: impl FnOnce() -> T) -> (T, Duration) {
        if self.asked.elapsed() > SHORT {
            self.ask();
        }
        let start = Instant::now();
        let done = work();
        let mut took = start.elapsed();
        if took > SHORT && self.schedstat.is_some() {
            let before = self.used;
            self.ask();
            took = took.min(self.used.saturating_sub(before) + TICK);
        }
        (done, took)
    }
}

/// Processor time of this process so far, in ticks of 10 ms.
pub fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Resident memory now and at its highest, in KiB.
pub fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim_matches([':', ' ', '\t', 'k', 'B']).parse().ok()).unwrap_or(0)
    };
    (of("VmRSS"), of("VmHWM"))
}
