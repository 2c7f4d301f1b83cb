//! The response under watch: it must not end while the service runs.
//!
//! Promises: a panic in it is said in the log and stops the service, which then ends as failed and is started anew by whoever looks
//! after it: detection that tells nobody is worse than a restart.
//! Never: goes on without response; asks a response that broke off for its last deliveries.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::bail;

use crate::respond::Outbox;
use crate::respond::action::{State, scrub};
use crate::store::StoreError;

/// Runs it to its end.
pub async fn response(running: impl Future<Output = ()> + Send + 'static, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let Err(error) = tokio::spawn(running).await else { return Ok(()) };
    let why = scrub(&error.to_string());
    tracing::error!(
        why,
        "the response broke off: nobody is blocked or told any more; the service stops to be started anew"
    );
    stop.store(true, Ordering::Relaxed);
    bail!("the response broke off: {why}")
}

/// Delivers what waits, for so long at most; how many actions still wait then.
pub async fn last_deliveries(outbox: &Arc<Outbox>, broke_off: bool, deadline: Duration) -> Result<u64, StoreError> {
    if !broke_off {
        return outbox.drain(deadline).await;
    }
    let counts = outbox.counts().await?;
    Ok(counts.iter().filter(|count| count.state == State::Pending.name()).map(|count| count.actions).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_response_that_panics_stops_the_service_and_fails_it() {
        let stop = Arc::new(AtomicBool::new(false));
        response(async {}, stop.clone()).await.expect("an end in good order");
        assert!(!stop.load(Ordering::Relaxed));
        let error = response(async { panic!("an invented fault") }, stop.clone()).await.expect_err("it broke off");
        assert!(stop.load(Ordering::Relaxed));
        assert!(error.to_string().contains("an invented fault"), "{error}");
    }
}
