//! A list of blocked entities in memory, as strict as a firewall's: what a test of the control loop looks at, and a fault
//! injector.
//!
//! Promises: an entry is there once; undoing one that is not there is a success; each call is kept. With `ends` entries end by
//! themselves at their time, as CrowdSec's do; else they stay until they are taken out, as lines of a file do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::FutureExt;
use futures::future::BoxFuture;
use gatewatch::respond::Clock;
use gatewatch::respond::action::{Kind, Op};
use gatewatch::respond::actions::common::{Common, Ready};
use gatewatch::respond::target::{Delivery, InForce, Order, ReadBack, Target};

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Refused for now, without effect.
    Busy,
    /// It has its effect and the answer is lost.
    Lost,
    /// It never answers; what becomes of it is decided by who cuts it off.
    Hangs,
    /// It never will.
    Refused,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, i64>,
    faults: VecDeque<Fault>,
    otherwise: Option<Fault>,
    calls: Vec<(Op, String)>,
    bodies: Vec<Vec<u8>>,
    mute: bool,
}

pub struct Wall {
    ends: bool,
    clock: Clock,
    state: Mutex<State>,
}

impl Wall {
    pub fn new(ends: bool, clock: Clock) -> Arc<Wall> {
        Arc::new(Wall { ends, clock, state: Mutex::default() })
    }

    pub fn ready(self: &Arc<Wall>, name: &str, kinds: &[Kind]) -> Ready {
        let common = Common { name: name.to_owned(), kinds: kinds.to_vec(), ..Common::default() };
        Ready { common, target: self.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds this")
    }

    /// What is in force now.
    pub fn blocked(&self) -> Vec<String> {
        let now_us = (self.clock)();
        let state = self.state();
        let there = state.entries.iter().filter(|(_, ends_us)| !self.ends || **ends_us > now_us);
        there.map(|(entity, _)| entity.clone()).collect()
    }

    pub fn calls(&self) -> Vec<(Op, String)> {
        self.state().calls.clone()
    }

    /// What each call was given.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.state().bodies.clone()
    }

    pub fn fault(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    pub fn otherwise(&self, fault: Option<Fault>) {
        self.state().otherwise = fault;
    }

    /// It accepts questions about its list, and never answers.
    pub fn mute(&self) {
        self.state().mute = true;
    }

    /// Somebody changes the list behind our back.
    pub fn remove(&self, entity: &str) {
        self.state().entries.remove(entity).expect("it was there");
    }

    pub fn add(&self, entity: &str) {
        self.state().entries.insert(entity.to_owned(), i64::MAX);
    }

    fn one(&self, order: Order<'_>) -> Option<Delivery> {
        let entity = order.action.entity_value.clone();
        let mut state = self.state();
        state.calls.push((order.action.op, entity.clone()));
        state.bodies.push(order.action.body.clone());
        let fault = state.faults.pop_front().or(state.otherwise);
        match fault {
            Some(Fault::Busy) => return Some(Delivery::retry("busy")),
            Some(Fault::Refused) => return Some(Delivery::failed("no")),
            Some(Fault::Hangs) => return None,
            Some(Fault::Lost) | None => {}
        }
        match order.action.op {
            Op::Apply => {
                let ends_us = order.action.expires_us.unwrap_or(i64::MAX);
                let entry = state.entries.entry(entity).or_insert(ends_us);
                *entry = (*entry).max(ends_us);
            }
            Op::Revert => drop(state.entries.remove(&entity)),
        }
        Some(match fault {
            Some(Fault::Lost) => Delivery::retry("the answer got lost"),
            _ => Delivery::delivered("done", Some(order.action.id.clone())),
        })
    }
}

impl Target for Wall {
    fn ends_by_itself(&self) -> bool {
        self.ends
    }

    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        async move {
            match self.one(order) {
                Some(delivery) => delivery,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn read_back(&self, now_us: i64) -> BoxFuture<'_, ReadBack> {
        if self.state().mute {
            return std::future::pending().boxed();
        }
        let entries = self.state().entries.clone();
        let there = entries.into_iter().filter(move |(_, ends_us)| !self.ends || *ends_us > now_us);
        let list = there.map(|(entity, ends_us)| InForce {
            kind: None,
            entity,
            until_us: Some(ends_us),
            remote_ref: None,
            action_id: None,
        });
        std::future::ready(Ok(Some(list.collect()))).boxed()
    }
}
