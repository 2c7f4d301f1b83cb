//! The only place where the wall clock is read. Detection never sees it: it lives in event time. What does need the
//! wall clock (arrival times, retries, checkpoints by age) takes a `Clock`, so that a test can be the clock.
//!
//! Never: sleeps.

#![allow(clippy::disallowed_methods)] // the one module that may ask the system for the time

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01 UTC, from wherever the owner takes them.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The system's clock.
pub fn system() -> Clock {
    Arc::new(now_us)
}

/// Microseconds since 1970-01-01 UTC; before 1970 it is 0.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A stopwatch that wall-clock jumps do not disturb.
#[derive(Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
