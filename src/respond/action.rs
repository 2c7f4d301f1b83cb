//! The words of the response stage: what an action is, what kinds there are, and the steps it goes through.
//!
//! Promises: plain data; a `Step` is one row of the lake's `actions` table.
//! Never: decides or sends anything.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

/// What a rule may ask for in `respond:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Tell somebody: chat, mail, any webhook.
    Notify,
    /// Open a case in the SOAR or ticket system.
    Case,
    /// Wake the person on call.
    Page,
    /// Keep an address or network out at the WAF, for a limited time.
    Block,
    /// Take the credentials or sessions of a principal away at the gateway or identity provider.
    Revoke,
    /// Let a principal make few requests at the gateway, for a limited time.
    Throttle,
}

impl Kind {
    pub const ALL: [Kind; 6] = [Kind::Notify, Kind::Case, Kind::Page, Kind::Block, Kind::Revoke, Kind::Throttle];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Notify => "notify",
            Kind::Case => "case",
            Kind::Page => "page",
            Kind::Block => "block",
            Kind::Revoke => "revoke",
            Kind::Throttle => "throttle",
        }
    }

    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it keeps somebody from something, and so has an end, passes the guard rails and can be undone. The others are
    /// messages.
    pub fn contains(self) -> bool {
        matches!(self, Kind::Block | Kind::Revoke | Kind::Throttle)
    }
}

/// Whether an action is to be done or undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Apply,
    /// Undo the action that `Action::undoes` names.
    Revert,
}

impl Op {
    pub fn name(self) -> &'static str {
        match self {
            Op::Apply => "apply",
            Op::Revert => "revert",
        }
    }

    pub fn parse(name: &str) -> Option<Op> {
        [Op::Apply, Op::Revert].into_iter().find(|op| op.name() == name)
    }
}

/// One thing to do, or to undo, at one target because of one change of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Stable: the same change gives the same id in every replay. The target's idempotency key.
    pub id: String,
    pub op: Op,
    /// The action that this one undoes.
    pub undoes: Option<String>,
    pub incident_id: String,
    /// The alert that led to it; empty where none did.
    pub alert_id: String,
    pub detector: String,
    pub entity_kind: String,
    pub entity_value: String,
    pub target: String,
    pub kind: Kind,
    /// Actions of one queue at one target are delivered one after the other: an incident's messages, an address's blocks.
    pub queue: String,
    /// The message (`schemas::Message`) as JSON; a pure function of the incident's change and the kind.
    pub body: Vec<u8>,
    pub dry_run: bool,
    pub created_us: i64,
    /// The event time of what led to it.
    pub about_us: i64,
    /// When the effect ends; whatever contains somebody has one.
    pub expires_us: Option<i64>,
    /// It prolongs what is in force.
    pub renews: bool,
}

impl Action {
    /// What waits longer when a target is slow: 0 is first.
    pub fn urgency(&self) -> u8 {
        match self.kind {
            Kind::Block | Kind::Revoke | Kind::Throttle => 0,
            Kind::Page => 1,
            Kind::Case => 2,
            Kind::Notify => 3,
        }
    }
}

/// Where an action stands. `Pending` is the only state that is still to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    /// A person has to agree first.
    Awaiting,
    Delivered,
    /// Given up on, kept for a person to look at and release.
    Parked,
    DryRun,
    /// A guard rail said no.
    Suppressed,
    /// Its time ran out, before or after it was delivered.
    Expired,
    Reverted,
    /// Not needed any more before it was sent.
    Cancelled,
}

impl State {
    pub const ALL: [State; 9] = [
        State::Pending,
        State::Awaiting,
        State::Delivered,
        State::Parked,
        State::DryRun,
        State::Suppressed,
        State::Expired,
        State::Reverted,
        State::Cancelled,
    ];

    pub fn parse(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Awaiting => "awaiting",
            State::Delivered => "delivered",
            State::Parked => "parked",
            State::DryRun => "dry_run",
            State::Suppressed => "suppressed",
            State::Expired => "expired",
            State::Reverted => "reverted",
            State::Cancelled => "cancelled",
        }
    }
}

/// What happened to an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Planned,
    /// An attempt begins: from here on the target may have it.
    Sent,
    Delivered,
    Retry,
    Failed,
    Parked,
    /// A person put a parked action back into the queue.
    Released,
    /// A person has to agree.
    Awaiting,
    /// A person did.
    Approved,
    Expired,
    Reverted,
    /// It is not in force any more, and not by us.
    Drifted,
    /// It stands at the target with our mark, and nothing was known of it here.
    Adopted,
    Cancelled,
    DryRun,
    Suppressed,
}

impl StepKind {
    pub const ALL: [StepKind; 16] = [
        StepKind::Awaiting,
        StepKind::Approved,
        StepKind::Drifted,
        StepKind::Adopted,
        StepKind::Cancelled,
        StepKind::Planned,
        StepKind::Sent,
        StepKind::Delivered,
        StepKind::Retry,
        StepKind::Failed,
        StepKind::Parked,
        StepKind::Released,
        StepKind::Expired,
        StepKind::Reverted,
        StepKind::DryRun,
        StepKind::Suppressed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            StepKind::Planned => "planned",
            StepKind::Sent => "sent",
            StepKind::Delivered => "delivered",
            StepKind::Retry => "retry",
            StepKind::Failed => "failed",
            StepKind::Parked => "parked",
            StepKind::Released => "released",
            StepKind::Awaiting => "awaiting",
            StepKind::Approved => "approved",
            StepKind::Drifted => "drifted",
            StepKind::Adopted => "adopted",
            StepKind::Cancelled => "cancelled",
            StepKind::Expired => "expired",
            StepKind::Reverted => "reverted",
            StepKind::DryRun => "dry_run",
            StepKind::Suppressed => "suppressed",
        }
    }

    pub fn parse(name: &str) -> Option<StepKind> {
        StepKind::ALL.into_iter().find(|step| step.name() == name)
    }
}

/// One row of an action's history, in the order in which it happened (`seq`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub seq: i64,
    pub time_us: i64,
    pub action_id: String,
    pub op: String,
    pub incident_id: String,
    pub alert_id: String,
    pub detector: String,
    pub entity_kind: String,
    pub entity_value: String,
    pub target: String,
    pub kind: String,
    pub step: String,
    pub dry_run: bool,
    pub expires_us: Option<i64>,
    /// Why, in words: the reason of a suppression, the error of an attempt.
    pub detail: String,
    /// What the target answered, bounded and without control characters.
    pub answer: String,
}

/// A stable id: the beginning of a hash over these parts, each with its length before it, so that no two lists of parts
/// spell the same bytes.
pub fn hex_id(parts: &[&str]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The longest answer of a target that is kept.
pub const ANSWER_CHARS_MAX: usize = 512;

/// Whether it steers a terminal, turns the direction of writing, ends a line, or is not seen at all.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || ('\u{2028}'..='\u{202e}').contains(&c)
        || ('\u{2060}'..='\u{206f}').contains(&c)
        || ('\u{fff9}'..='\u{fffb}').contains(&c)
        || ('\u{e0000}'..='\u{e007f}').contains(&c)
}

/// Text from outside made safe to store and print: one line, bounded, without characters that steer a terminal, turn
/// the direction of writing or cannot be seen.
pub fn scrub(text: &str) -> String {
    let clean: String = text.chars().map(|c| if steers(c) { ' ' } else { c }).collect();
    clean.trim().chars().take(ANSWER_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_serialised_names_and_parse_back() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("serialises"), kind.name());
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
        for step in StepKind::ALL {
            assert_eq!(serde_json::to_value(step).expect("serialises"), step.name());
            assert_eq!(StepKind::parse(step.name()), Some(step));
        }
        assert_eq!(Kind::parse("Block"), None);
    }

    #[test]
    fn an_answer_is_one_bounded_line() {
        assert_eq!(scrub("  a\r\nb\u{1b}[31mc\u{202e}d\0 "), "a  b [31mc d");
        assert_eq!(scrub("ad\u{200b}min\u{feff}x\u{200e}"), "ad min x", "what cannot be seen is not there");
        assert_eq!(scrub(&"ä".repeat(2000)).chars().count(), ANSWER_CHARS_MAX);
    }
}
