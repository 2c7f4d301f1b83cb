//! Tests of the outbox as a whole, one step at a time, by a clock that stands still until it is told.
//!
//! Promises: nothing waits for time or for another task; a target is a list in memory that keeps entries by action, as the real
//! ones do, and the messages that it was told.
//! Never: speaks to anything outside the process.

mod clock_set_back;
mod containment;
mod messages;
mod replanned;
mod who_asks;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::Alert;
use schemas::alert::State as AlertState;
use schemas::incident::Event;
use tempfile::TempDir;

use super::action::{Kind, Op};
use super::actions::common::{Common, Ready};
use super::message;
use super::outbox::locked;
use super::plan;
use super::target::{Delivery, InForce, Order, ReadBack, Target};
use super::{Clock, Outbox, RespondConfig};
use crate::store::Store;

pub(crate) const MINUTE_US: i64 = 60_000_000;
pub(crate) const HOUR_US: i64 = 60 * MINUTE_US;
/// 2026-03-02T10:00:10Z, some seconds after the alerts of `alert`.
const START_US: i64 = 1_772_445_610_000_000;

/// Who puts entries there that are not ours.
pub(crate) const SOMEBODY: &str = "somebody else";

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It has its effect, and the answer is lost.
    Lost,
    /// Not now; without effect.
    Busy,
    /// Never.
    Refused,
}

#[derive(Default)]
struct Held {
    /// Which action holds an entity.
    entries: BTreeMap<String, String>,
    /// What each entry says of its end.
    until_us: Option<i64>,
    faults: VecDeque<Fault>,
    calls: Vec<Op>,
    told: Vec<(Kind, Event)>,
}

/// A target in memory.
#[derive(Default)]
pub(crate) struct Board {
    ends: bool,
    held: Mutex<Held>,
}

impl Board {
    pub fn entities(&self) -> Vec<String> {
        locked(&self.held).entries.keys().cloned().collect()
    }

    /// An effect that comes late, or is brought back by somebody.
    pub fn put(&self, entity: &str, action_id: &str) {
        locked(&self.held).entries.insert(entity.to_owned(), action_id.to_owned());
    }

    /// From now on entries tell when they end.
    pub fn ends_at(&self, us: i64) {
        locked(&self.held).until_us = Some(us);
    }

    pub fn fault(&self, fault: Fault) {
        locked(&self.held).faults.push_back(fault);
    }

    pub fn calls(&self) -> Vec<Op> {
        locked(&self.held).calls.clone()
    }

    /// The messages that arrived.
    pub fn told(&self) -> Vec<(Kind, Event)> {
        locked(&self.held).told.clone()
    }
}

impl Target for Board {
    fn ends_by_itself(&self) -> bool {
        self.ends
    }

    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        let (action, mut held) = (order.action, locked(&self.held));
        held.calls.push(action.op);
        let fault = held.faults.pop_front();
        let outcome = match fault {
            Some(Fault::Busy) => Delivery::retry("busy"),
            Some(Fault::Refused) => Delivery::failed("no"),
            Some(Fault::Lost) => Delivery::retry("the answer got lost"),
            None => Delivery::delivered("done", None),
        };
        if matches!(fault, None | Some(Fault::Lost)) {
            match (action.kind.contains(), action.op) {
                (false, _) => {
                    held.told.push((action.kind, message::read(action).expect("a message").event));
                }
                (true, Op::Apply) => drop(held.entries.insert(action.entity_value.clone(), action.id.clone())),
                (true, Op::Revert) => held.entries.retain(|_, id| Some(&*id) != action.undoes.as_ref()),
            }
        }
        std::future::ready(outcome).boxed()
    }

    fn read_back(&self, _now_us: i64) -> BoxFuture<'_, ReadBack> {
        let held = locked(&self.held);
        let entry = |(entity, action_id): (&String, &String)| InForce {
            kind: None,
            entity: entity.clone(),
            until_us: held.until_us,
            remote_ref: None,
            action_id: Some(action_id.clone()).filter(|id| id != SOMEBODY),
        };
        std::future::ready(Ok(Some(held.entries.iter().map(entry).collect()))).boxed()
    }
}

/// An outbox with one target, `board`.
pub(crate) struct Trial {
    pub outbox: Arc<Outbox>,
    pub board: Arc<Board>,
    clock: Arc<AtomicI64>,
    folder: TempDir,
}

impl Trial {
    /// `config`: keys of `respond` besides, in the flow style. `ends`: entries end at the target by themselves.
    pub async fn new(config: &str, ends: bool, kinds: &[Kind]) -> Trial {
        let folder = tempfile::tempdir().expect("a folder");
        let (board, clock) = (Arc::new(Board { ends, ..Board::default() }), Arc::new(AtomicI64::new(START_US)));
        let outbox = Trial::open(&folder, config, &clock, vec![ready("board", &board, kinds)]).await;
        Trial { outbox, board, clock, folder }
    }

    async fn open(folder: &TempDir, config: &str, clock: &Arc<AtomicI64>, targets: Vec<Ready>) -> Arc<Outbox> {
        // Unless said otherwise an incident is over with its last alert.
        let incidents = if config.contains("incidents:") { "" } else { "incidents: { quiet: 0s }," };
        let yaml = format!("{{ dry_run: false, {incidents} {config} }}");
        let config: RespondConfig = serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        let store = Store::open(&folder.path().join("state.db")).await.expect("the store opens");
        let clock = Arc::clone(clock);
        let clock: Clock = Arc::new(move || clock.load(Ordering::SeqCst));
        Arc::new(Outbox::new(store, config, targets, &[], clock, 1).expect("an outbox"))
    }

    /// The same after a restart, with these targets.
    pub async fn restarted(self, targets: Vec<Ready>) -> Trial {
        self.restarted_with("", targets).await
    }

    /// The same after a restart, with this configuration.
    pub async fn restarted_with(self, config: &str, targets: Vec<Ready>) -> Trial {
        let outbox = Trial::open(&self.folder, config, &self.clock, targets).await;
        Trial { outbox, ..self }
    }

    pub fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    /// Puts the clock forward, or back.
    pub fn advance(&self, us: i64) {
        self.clock.fetch_add(us, Ordering::SeqCst);
    }

    pub async fn tell(&self, alert: &Alert, kinds: &[&str]) {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        self.outbox.tell(&[(alert, kinds.as_slice())], self.now()).await.expect("told");
    }

    /// All that is due now, until nothing is.
    pub async fn settle(&self) {
        self.outbox.changes.refresh(self.now()).await.expect("read");
        for _ in 0..3 {
            self.outbox.pass(true).await.expect("a pass");
            self.outbox.deliver_due().await;
        }
    }

    /// The ids of all actions in this state, oldest first.
    pub async fn in_state(&self, state: &str) -> Vec<String> {
        let sql = "SELECT action_id FROM outbox WHERE state = ? ORDER BY n";
        let ids = sqlx::query_scalar(sql).bind(state).fetch_all(self.outbox.store.pool()).await;
        ids.expect("ids")
    }
}

pub(crate) fn ready(name: &str, board: &Arc<Board>, kinds: &[Kind]) -> Ready {
    let common = Common { name: name.to_owned(), kinds: kinds.to_vec(), ..Common::default() };
    Ready { common, target: board.clone() }
}

/// One that opens.
pub(crate) fn alert(id: &str, address: &str) -> Alert {
    Alert { id: id.to_owned(), ..plan::tests::alert(address) }
}

/// The same one, over.
pub(crate) fn closing(open: &Alert) -> Alert {
    Alert { state: AlertState::Closed, revision: open.revision + 1, ..open.clone() }
}
