//! A clock that a test can put forward, and an outbox that goes by it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gatewatch::respond::actions::common::Ready;
use gatewatch::respond::config::RespondConfig;
use gatewatch::respond::{Behind, Clock, Outbox};
use gatewatch::store::Store;

use super::wall_us;

pub const PLENTY: Duration = Duration::from_secs(30);
pub const MINUTE_US: i64 = 60_000_000;
pub const HOUR_US: i64 = 60 * MINUTE_US;

/// A clock that a test can put forward.
pub struct Hands(Arc<AtomicI64>);

impl Hands {
    pub fn new() -> Hands {
        Hands(Arc::new(AtomicI64::new(0)))
    }

    pub fn now(&self) -> i64 {
        wall_us() + self.0.load(Ordering::SeqCst)
    }

    pub fn advance(&self, us: i64) {
        self.0.fetch_add(us, Ordering::SeqCst);
    }

    pub fn clock(&self) -> Clock {
        let ahead = self.0.clone();
        Arc::new(move || wall_us() + ahead.load(Ordering::SeqCst))
    }
}

pub async fn over(folder: &Path, yaml: &str, targets: Vec<Ready>, clock: Clock) -> Arc<Outbox> {
    let config: RespondConfig = serde_saphyr::from_str(yaml).expect("a valid configuration");
    let store = Store::open(&folder.join("state.db")).await.expect("the store opens");
    Arc::new(Outbox::new(store, config, targets, &[], clock, 1).expect("an outbox"))
}

pub const LIVE: &str = "{ dry_run: false, incidents: { quiet: 0s }, guard: { ttl: 1h }, reconcile_every: 1m, \
                    delivery: { backoff_first: 1ms, backoff_max: 5ms } }";

/// What is found where the day before is known, and nobody was there.
pub fn nobody(now_us: i64) -> Behind {
    Behind { known: Some((now_us - 24 * HOUR_US, now_us)), ..Behind::default() }
}

/// An address far from the others.
pub fn apart(n: usize) -> String {
    format!("203.0.{}.{}", n / 250, n % 250 + 1)
}

/// Everything that is due now, until nothing is.
pub async fn settle(outbox: &Arc<Outbox>) {
    outbox.drain(PLENTY).await.expect("drains");
}

/// Waits for what another task brings about.
pub async fn until(holds: impl Fn() -> bool) {
    let reached = tokio::time::timeout(PLENTY, async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    });
    reached.await.expect("it comes about");
}
