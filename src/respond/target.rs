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

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The target has it. `remote_ref` is the target's own name for the effect, kept for reverting it.
    Delivered { answer: String, remote_ref: Option<String> },
    /// Not this time; perhaps it had its effect, perhaps not. `after` is what the target asked for.
    Retry { after: Option<Duration>, reason: String, answer: String },
    /// It never will.
    Failed { reason: String, answer: String },
}

pub trait Target: Send + Sync {
    fn name(&self) -> &str;

    fn kinds(&self) -> &[Kind];

    /// The target's own word on dry run, over the configuration's.
    fn dry_run(&self) -> Option<bool>;

    /// How many deliveries may be under way at once, where the target bears fewer than are configured.
    fn concurrency_max(&self) -> Option<usize> {
        None
    }

    fn deliver<'a>(&'a self, action: &'a Action, attempt: Attempt) -> BoxFuture<'a, Delivery>;

    /// Undo a delivered action, named by what `deliver` returned. Undoing what is gone already is a success.
    fn revert<'a>(&'a self, remote_ref: &'a str, attempt: Attempt) -> BoxFuture<'a, Delivery>;
}
