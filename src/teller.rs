//! Tells the outbox of alerts, with what their detectors ask for, beside the step loop: a flood of alerts, or a state store that
//! is busy, does not hold detection up.
//!
//! Promises: alerts are taken in in the order they were told, each telling once. What was told before a checkpoint is in the
//! outbox before the lake has that checkpoint (`Outlet::taken`), so that what a crash takes is found again. When the outbox takes
//! nothing for long, the pipeline stops.
//! Never: decides what is done about an alert.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use detectors::Rule;
use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::Alert;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, Stopwatch};
use crate::limits::TELLINGS_WAITING_MAX;
use crate::pipeline::Outlet;
use crate::respond::Outbox;
use crate::respond::incident::left;
use crate::store::StoreError;

/// A state store that takes nothing is asked again for so long, after waits that double from the first to the longest.
const AGAIN_FOR: Duration = Duration::from_secs(300);
const AGAIN_FIRST: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(5);

enum Word {
    Alerts(Vec<(Alert, Vec<String>)>),
    /// What detectors ask for from here on.
    Detectors(HashMap<String, Vec<String>>),
    /// Everything before it is taken in.
    Taken(oneshot::Sender<()>),
}

/// The step loop's end.
pub struct Teller {
    /// What each detector asks for.
    respond: HashMap<String, Vec<String>>,
    words: mpsc::Sender<Word>,
    failure: Failure,
    outbox: Arc<Outbox>,
    runtime: Handle,
}

/// Why nothing is taken in any more.
type Failure = Arc<Mutex<Option<String>>>;

impl Teller {
    pub fn new(
        outbox: Arc<Outbox>,
        rules: &[Arc<Rule>],
        clock: Clock,
        stop: Arc<AtomicBool>,
        runtime: &Handle,
    ) -> Teller {
        let (words, told) = mpsc::channel(TELLINGS_WAITING_MAX);
        let failure = Failure::default();
        let work = Telling { outbox: outbox.clone(), clock, stop };
        runtime.spawn(work.all(told, failure.clone()));
        let respond = responses(rules);
        // The first word has room.
        _ = words.try_send(Word::Detectors(respond.clone()));
        Teller { respond, words, failure, outbox, runtime: runtime.clone() }
    }
}

/// What each detector asks for.
fn responses(rules: &[Arc<Rule>]) -> HashMap<String, Vec<String>> {
    rules.iter().map(|rule| (rule.id.clone(), rule.respond.clone())).collect()
}

fn why(failure: &Failure) -> anyhow::Error {
    let known = failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
    anyhow::anyhow!("alerts are no longer taken in: {}", known.unwrap_or_default())
}

impl Outlet for Teller {
    fn swapped(&mut self, rules: &[Arc<Rule>]) {
        self.respond = responses(rules);
        // Where nobody listens any more the next telling says so.
        _ = self.runtime.block_on(self.words.send(Word::Detectors(self.respond.clone())));
    }

    fn left_open(&mut self, goes_on: &dyn Fn(&str) -> bool) -> anyhow::Result<Vec<Alert>> {
        Ok(self.runtime.block_on(left::closings(self.outbox.store(), goes_on))?)
    }

    fn not_held(&mut self, held: &HashSet<String>) -> anyhow::Result<Vec<Alert>> {
        Ok(self.runtime.block_on(left::not_held(self.outbox.store(), held))?)
    }

    fn tell(&mut self, alerts: &[Alert]) -> anyhow::Result<()> {
        let asked = |alert: &Alert| self.respond.get(&alert.detector).cloned().unwrap_or_default();
        let told = alerts.iter().map(|alert| (alert.clone(), asked(alert))).collect();
        // Waits only when very many wait already.
        self.runtime.block_on(self.words.send(Word::Alerts(told))).map_err(|_closed| why(&self.failure))
    }

    fn taken(&mut self) -> BoxFuture<'static, anyhow::Result<()>> {
        let (words, failure) = (self.words.clone(), self.failure.clone());
        async move {
            let (taken, is_taken) = oneshot::channel();
            let sent = words.send(Word::Taken(taken)).await;
            match sent.is_ok() && is_taken.await.is_ok() {
                true => Ok(()),
                false => Err(why(&failure)),
            }
        }
        .boxed()
    }
}

/// The outbox's end.
struct Telling {
    outbox: Arc<Outbox>,
    clock: Clock,
    stop: Arc<AtomicBool>,
}

impl Telling {
    /// Until nothing can be told any more, or the outbox takes nothing.
    async fn all(self, mut told: mpsc::Receiver<Word>, failure: Failure) {
        while let Some(word) = told.recv().await {
            match word {
                // Who asked may be gone.
                Word::Taken(taken) => _ = taken.send(()).is_err(),
                word => {
                    if let Err(error) = self.take_in(&word).await {
                        tracing::error!("alerts are no longer taken in: {error:#}");
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
                        return;
                    }
                }
            }
        }
    }

    /// All of it or nothing is taken in, and each telling once: the same is told again.
    async fn take_in(&self, word: &Word) -> anyhow::Result<()> {
        let (since, mut wait) = (Stopwatch::start(), AGAIN_FIRST);
        while let Err(error) = self.try_to(word).await {
            if !error.may_pass() || since.elapsed() >= AGAIN_FOR {
                return Err(error.into());
            }
            let seconds = since.elapsed().as_secs();
            tracing::warn!(seconds, "alerts wait for the state store and are told again; nothing is lost: {error}");
            // Told to stop, it does not wait: what was not told is not committed either, and is found again.
            if self.stop.load(Ordering::Relaxed) {
                return Err(error).context("told to stop while alerts waited for the state store");
            }
            tokio::time::sleep(wait).await;
            wait = (2 * wait).min(AGAIN_MAX);
        }
        Ok(())
    }

    async fn try_to(&self, word: &Word) -> Result<(), StoreError> {
        match word {
            Word::Alerts(alerts) => {
                let told: Vec<(&Alert, &[String])> =
                    alerts.iter().map(|(alert, asked)| (alert, asked.as_slice())).collect();
                self.outbox.tell(&told, (self.clock)()).await.map(|_new| ())
            }
            Word::Detectors(respond) => self.outbox.detectors_ask(respond).await,
            Word::Taken(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock;
    use crate::respond::RespondConfig;
    use crate::store::Store;

    fn alert(number: usize) -> Alert {
        let time = "2026-03-02T10:00:00.000000Z";
        let alert = json!({
            "id": format!("al-{number}"), "revision": 0, "state": "open", "detector": "auth-burst", "title": "A burst",
            "severity": "low", "entity": { "kind": "client_ip", "value": format!("198.51.100.{}", number % 200) },
            "opened": time, "updated": time, "window": { "start": time, "end": time }, "observed": 60.0, "expected": null,
            "threshold": 50.0, "score": 1.2, "events": 60, "owasp": [], "attack": [], "evidence": {}, "dry_run": true,
        });
        serde_json::from_value(alert).expect("an alert")
    }

    /// A store in a folder, and who tells its outbox.
    fn started(runtime: &Handle) -> (tempfile::TempDir, Store, Teller) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = runtime.block_on(Store::open(&folder.path().join("state.db"))).expect("a store");
        let outbox = Outbox::new(store.clone(), RespondConfig::default(), Vec::new(), &[], clock::system(), 1);
        let outbox = Arc::new(outbox.expect("an outbox"));
        let teller = Teller::new(outbox, &[], clock::system(), Arc::default(), runtime);
        (folder, store, teller)
    }

    #[test]
    fn what_was_told_is_in_the_outbox_once_it_is_taken() {
        let runtime = crate::app::runtime().expect("a runtime");
        let (_folder, store, mut teller) = started(runtime.handle());
        let count = || {
            let count = sqlx::query_scalar("SELECT count(*) FROM incident_alerts").fetch_one(store.pool());
            runtime.block_on(count).expect("counted")
        };
        // More than may wait.
        let all = 2 * TELLINGS_WAITING_MAX as i64;
        (0..all).for_each(|number| teller.tell(&[alert(number as usize)]).expect("told"));
        runtime.block_on(teller.taken()).expect("taken");
        let taken: i64 = count();
        assert_eq!(taken, all);
        teller.tell(&[alert(0)]).expect("told again");
        runtime.block_on(teller.taken()).expect("taken");
        assert_eq!(count(), all, "each telling once");
    }

    #[test]
    fn a_state_store_that_will_never_take_it_stops_the_loop_before_it_commits() {
        let runtime = crate::app::runtime().expect("a runtime");
        let (_folder, store, mut teller) = started(runtime.handle());
        runtime.block_on(teller.taken()).expect("what detectors ask for is taken in");
        runtime.block_on(store.close());
        teller.tell(&[alert(1)]).expect("it waits");
        let error = runtime.block_on(teller.taken()).expect_err("never taken");
        assert!(error.to_string().contains("state store"), "{error}");
        let error = teller.tell(&[alert(2)]).expect_err("nobody listens");
        assert!(error.to_string().contains("no longer taken in"), "{error}");
    }
}
