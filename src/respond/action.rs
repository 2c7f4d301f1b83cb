//! The words of the response stage: what an action is, what kinds there are, and the steps it goes through.
//!
//! Promises: plain data; a `Step` is one row of the lake's `actions` table.
//! Never: decides or sends anything.

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
    /// Keep an address out at the WAF, for a limited time.
    Block,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Notify, Kind::Case, Kind::Page, Kind::Block];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Notify => "notify",
            Kind::Case => "case",
            Kind::Page => "page",
            Kind::Block => "block",
        }
    }

    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One thing to do at one target because of one telling of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Stable: the same telling gives the same id in every replay. The target's idempotency key.
    pub id: String,
    pub alert_id: String,
    pub detector: String,
    pub entity_kind: String,
    pub entity_value: String,
    pub target: String,
    pub kind: Kind,
    /// Actions of one queue at one target are delivered one after the other: an alert's tellings, an address's blocks.
    pub queue: String,
    /// The message as JSON; a pure function of the alert and the kind.
    pub body: Vec<u8>,
    pub dry_run: bool,
    pub created_us: i64,
    /// When the effect ends by itself; each block has one.
    pub expires_us: Option<i64>,
}

/// Where an action stands. `Pending` is the only state that is still to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Delivered,
    /// Given up on, kept for a person to look at and release.
    Parked,
    DryRun,
    /// A guard rail said no.
    Suppressed,
    /// Its time ran out, before or after it was delivered.
    Expired,
    Reverted,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Delivered => "delivered",
            State::Parked => "parked",
            State::DryRun => "dry_run",
            State::Suppressed => "suppressed",
            State::Expired => "expired",
            State::Reverted => "reverted",
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
    Expired,
    Reverted,
    DryRun,
    Suppressed,
}

impl StepKind {
    pub const ALL: [StepKind; 11] = [
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

/// The longest answer of a target that is kept.
pub const ANSWER_CHARS_MAX: usize = 512;

/// Text from outside made safe to store and print: one line, bounded, without characters that steer a terminal or turn
/// the direction of writing.
pub fn scrub(text: &str) -> String {
    let steers =
        |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c);
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
        assert_eq!(scrub(&"ä".repeat(2000)).chars().count(), ANSWER_CHARS_MAX);
    }
}
