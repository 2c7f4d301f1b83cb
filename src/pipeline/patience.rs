//! How long something of the lake that may pass is tried again. Each attempt at a checkpoint that fails is counted.
//!
//! Never: decides whether an error may pass.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::clock::Stopwatch;
use crate::lake::{Checkpoint, Committed, Lake, LakeError};
use crate::metric;

/// Something that fails is tried again for so long, after waits that double from the first to the longest.
const RETRY_FOR: Duration = Duration::from_secs(300);
const RETRY_WAIT_FIRST: Duration = Duration::from_secs(1);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(15);

/// The lake takes the same checkpoint again, and never twice.
pub async fn commit(lake: &mut Lake, checkpoint: &Checkpoint, retrying: &AtomicBool) -> Result<Committed, LakeError> {
    let mut patience = Patience::new("a checkpoint");
    loop {
        match lake.commit(checkpoint).await {
            Err(error) => {
                metrics::counter!(metric::CHECKPOINTS, "result" => "failed").increment(1);
                patience.bear(error, retrying).await?;
            }
            done => return done,
        }
    }
}

/// How long something that may pass is tried again. Being fenced is final.
pub struct Patience {
    what: &'static str,
    since: Stopwatch,
    wait: Duration,
}

impl Patience {
    pub fn new(what: &'static str) -> Patience {
        Patience { what, since: Stopwatch::start(), wait: RETRY_WAIT_FIRST }
    }

    /// Waits before the next attempt, or gives the error back.
    pub async fn bear(&mut self, error: LakeError, retrying: &AtomicBool) -> Result<(), LakeError> {
        if !error.is_retryable() || self.since.elapsed() >= RETRY_FOR {
            return Err(error);
        }
        retrying.store(true, Ordering::Relaxed);
        let seconds = self.since.elapsed().as_secs();
        tracing::warn!(seconds, "{} fails and is tried again; nothing is lost: {error}", self.what);
        tokio::time::sleep(self.wait).await;
        self.wait = (2 * self.wait).min(RETRY_WAIT_MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::lake::LakeConfig;

    #[test]
    fn each_attempt_that_fails_is_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lake");
        let config = LakeConfig::new(&path.display().to_string(), crate::clock::now_us);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (mut lake, _) = runtime.block_on(Lake::open(&config, "one")).expect("a lake");
        std::fs::rename(path.join("events"), path.join("away")).expect("the table was made");
        std::fs::write(path.join("events"), "no folder").expect("written");
        let recorder = PrometheusBuilder::new().build_recorder();
        let (handle, retrying) = (recorder.handle(), AtomicBool::new(false));
        let checkpoint = Checkpoint { snapshot: b"state".to_vec(), ..Checkpoint::default() };
        let counted = async {
            while !handle.render().contains("gatewatch_checkpoints_total{result=\"failed\"} 2") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        metrics::with_local_recorder(&recorder, || {
            runtime.block_on(async {
                tokio::select! {
                    done = commit(&mut lake, &checkpoint, &retrying) => panic!("it is tried again: {done:?}"),
                    () = counted => {}
                }
            });
        });
        assert!(retrying.load(Ordering::Relaxed));
    }
}
