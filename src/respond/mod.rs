//! Response: alerts become actions, actions pass the guard rails, the outbox delivers them.
//!
//! The way of an alert: `plan` (which actions) -> `guard` (may they) -> `outbox` and `queue` (durable) -> `worker`
//! (attempts, back-off, breaker) -> `actions/<target>`.
//! Promises: an action is delivered at least once and has its effect once; every step of it is recorded; it is sent only
//! where dry run is switched off; a block passes the guard rails and ends by itself.
//! Never: blocks on the path of events. Telling an alert is one transaction; delivery goes on beside it.

pub mod action;
pub mod actions;
mod adopt;
mod asns;
mod backoff;
pub mod breaker;
pub mod config;
pub mod control;
mod due;
mod endings;
mod flood;
mod follow;
pub mod guard;
pub mod halt;
mod http;
pub mod incident;
mod kept_out;
pub mod link;
pub mod message;
mod narrow;
mod neighbours;
mod orphans;
pub mod outbox;
mod pace;
pub mod plan;
pub mod policy;
pub mod preflight;
pub mod queue;
pub mod ranges;
mod read_back;
pub mod release;
mod replan;
pub mod scope;
mod standing;
pub mod target;
#[cfg(test)]
pub(crate) mod tests;
mod undo;
pub mod wanted;
pub mod when;
mod worker;

pub use action::{Action, Kind, Step, StepKind};
pub use config::{ConfigError, RespondConfig, Secret, SecretRef};
pub use guard::Behind;
pub use outbox::{Clock, Outbox};
pub use preflight::{Bystanders, Owned, Question};
pub use target::{Attempt, Delivery, Target};
