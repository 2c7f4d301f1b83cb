//! What a target is: the one trait behind which each WAF, SOAR and on-call system stands.
//!
//! Promises (of every implementation): delivering the same action again has no second effect; an attempt ends within the
//! caller's timeout; no secret appears in a reason or an answer.
//! Never: retries, waits or records; that is the outbox's work.

use std::time::Duration;

use futures::future::BoxFuture;

use super::action::{Action, Kind};

/// One attempt: the how-manieth (from 1), and when. From the second on, an earlier one may have had its effect.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub number: u32,
    pub now_us: i64,
}

/// One action to carry out, with what was learned before.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pub action: &'a Action,
    pub attempt: Attempt,
    /// What this target called an earlier effect: of the action that is to be undone (`Op::Revert`); else what it noted
    /// about this very action (`Delivery::Noted`); else of the newest delivered action of the same queue, such as the
    /// ticket that a message is about.
    pub remote_ref: Option<&'a str>,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The target has it. `remote_ref` is the target's own name for the effect, kept for reverting or updating it.
    Delivered { answer: String, remote_ref: Option<String> },
    /// Nothing was done yet. What is about to be done is written down first, as this action's `remote_ref`, and then it is
    /// attempted again, at once: where the world does not show afterwards whose doing it was, a crash in between loses nothing.
    Noted { remote_ref: String },
    /// Not this time; perhaps it had its effect, perhaps not. `after` is what the target asked for.
    Retry { after: Option<Duration>, reason: String, answer: String },
    /// Nothing was tried: it cannot be known yet whether an earlier attempt had its effect. It counts neither as an attempt
    /// nor for or against the target.
    Later { after: Duration, reason: String },
    /// It never will.
    Failed { reason: String, answer: String },
}

impl Delivery {
    pub fn delivered(answer: impl Into<String>, remote_ref: Option<String>) -> Delivery {
        Delivery::Delivered { answer: answer.into(), remote_ref }
    }

    pub fn retry(reason: impl Into<String>) -> Delivery {
        Delivery::Retry { after: None, reason: reason.into(), answer: String::new() }
    }

    pub fn failed(reason: impl Into<String>) -> Delivery {
        Delivery::Failed { reason: reason.into(), answer: String::new() }
    }
}

/// Why a target's list could not be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub reason: String,
    /// What the target asked to wait.
    pub after: Option<Duration>,
}

impl From<String> for Unread {
    fn from(reason: String) -> Unread {
        Unread { reason, after: None }
    }
}

impl From<Delivery> for Unread {
    fn from(failure: Delivery) -> Unread {
        match failure {
            Delivery::Retry { after, reason, .. } => Unread { reason, after },
            Delivery::Later { after, reason } => Unread { reason, after: Some(after) },
            Delivery::Failed { reason, .. } | Delivery::Delivered { answer: reason, .. } => reason.into(),
            Delivery::Noted { remote_ref } => remote_ref.into(),
        }
    }
}

/// What a target says is in force there; `None` where it cannot say.
pub type ReadBack = Result<Option<Vec<InForce>>, Unread>;

/// One entry of a target's list that is, or may be, ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Where one target contains in several ways; none: it does so in one.
    pub kind: Option<Kind>,
    /// An address in its plain form, a network as `203.0.113.0/24`, or the name of a principal.
    pub entity: String,
    /// When it ends there by itself, where the target says so.
    pub until_us: Option<i64>,
    pub remote_ref: Option<String>,
    /// The action that holds it, where the entry says so: then it is ours for certain.
    pub action_id: Option<String>,
}

pub trait Target: Send + Sync {
    /// How many deliveries may be under way at once, where the target bears fewer than are configured.
    fn concurrency_max(&self) -> Option<usize> {
        None
    }

    /// How many actions one call carries out; above one where a list changes as a whole.
    fn orders_max(&self) -> usize {
        1
    }

    /// Whether what was applied ends there by itself at `expires_us`; where it does not, the outbox reverts it then.
    fn ends_by_itself(&self) -> bool {
        false
    }

    /// Does or undoes one action (`Action::op`). Undoing what is gone already is a success.
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery>;

    /// Several at once, at most `orders_max`: one outcome each, in order.
    fn carry_out_all<'a>(&'a self, orders: &'a [Order<'a>]) -> BoxFuture<'a, Vec<Delivery>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(orders.len());
            for order in orders {
                outcomes.push(self.carry_out(*order).await);
            }
            outcomes
        })
    }

    /// What is in force there now; `None` where the target cannot say. Entries that are certainly somebody else's are left
    /// out.
    fn read_back(&self, now_us: i64) -> BoxFuture<'_, ReadBack> {
        let _ = now_us;
        Box::pin(std::future::ready(Ok(None)))
    }
}
