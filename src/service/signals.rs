//! The signals of the process, on a thread of their own that is there before anything else is and stays until the end.
//!
//! Promises: from `listen` on no SIGTERM, Ctrl-C or SIGHUP ends the process by itself, also while it reads its configuration
//! or starts again; each is counted, so that one that came early is not lost.
//! Never: decides what a signal does.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch::{self, Receiver, Sender};

/// How often each came.
#[derive(Clone)]
pub struct Signals {
    /// SIGTERM and Ctrl-C.
    pub stop: Receiver<u32>,
    /// SIGHUP.
    pub reload: Receiver<u32>,
}

impl Signals {
    pub fn listen() -> anyhow::Result<Signals> {
        let (stop, stops) = watch::channel(0);
        let (reload, reloads) = watch::channel(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().context("signals")?;
        let guard = runtime.enter();
        let open = |kind: SignalKind, name: &str| signal(kind).with_context(|| format!("listening for {name}"));
        let terminate = open(SignalKind::terminate(), "SIGTERM")?;
        let interrupt = open(SignalKind::interrupt(), "Ctrl-C")?;
        let hangup = open(SignalKind::hangup(), "SIGHUP")?;
        drop(guard);
        let count = async move {
            let stops = async { tokio::join!(counted(terminate, &stop), counted(interrupt, &stop)) };
            tokio::join!(stops, counted(hangup, &reload));
        };
        let named = std::thread::Builder::new().name("signals".to_owned());
        named.spawn(move || runtime.block_on(count)).context("signals")?;
        Ok(Signals { stop: stops, reload: reloads })
    }

    /// Somebody wants it to end.
    pub fn stopping(&self) -> bool {
        *self.stop.borrow() > 0
    }
}

async fn counted(mut signal: Signal, count: &Sender<u32>) {
    while signal.recv().await.is_some() {
        count.send_modify(|count| *count += 1);
    }
}
