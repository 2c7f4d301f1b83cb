//! Warnings in force: each is logged when it begins, every ten minutes while it lasts, and when it is over; all of them
//! stand in `/status`.
//!
//! Promises: one warning per kind and subject (a source, a target, a column of a source), so they are bounded by the
//! configuration. Each says how many, and what cures it.
//! Never: decides whether something is worth a warning; never holds content of a record.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::gauge;
use serde::{Deserialize, Serialize};

use crate::metric;

const TELL_AGAIN_US: i64 = 600_000_000;

/// What can be wrong, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Many records of a source are rejects.
    Rejects,
    /// Events come behind the watermark of their partition.
    Late,
    /// Events are ahead of their partition.
    Ahead,
    /// A column cannot be read in many events.
    Damaged,
    /// Nothing comes from a source.
    Silent,
    /// A source cannot be read.
    Failing,
    /// Other copies read a part of a source's topic.
    Shared,
    /// Detectors see nothing on a source, because a column is never filled.
    Blind,
    /// Detectors ask for what no target does.
    NoTarget,
    /// A target takes what nothing asks for when it matters.
    NotAsked,
    /// An address that is guessed in part, or open to more than it should be.
    Address,
    /// What was read is not committed in time.
    Checkpoint,
    /// A target does not answer.
    Breaker,
    /// Actions were given up on.
    Parked,
    /// Actions wait for a person to agree.
    Awaiting,
    /// The kill switch is pulled.
    Halted,
    /// More attackers than may be kept out within an hour.
    Budget,
    /// What is in force at a target cannot be read.
    Unread,
    /// The configuration was changed and is wrong.
    Reload,
}

impl Kind {
    pub const ALL: [Kind; 19] = [
        Kind::Rejects,
        Kind::Late,
        Kind::Ahead,
        Kind::Damaged,
        Kind::Silent,
        Kind::Failing,
        Kind::Shared,
        Kind::Blind,
        Kind::NoTarget,
        Kind::NotAsked,
        Kind::Address,
        Kind::Checkpoint,
        Kind::Breaker,
        Kind::Parked,
        Kind::Awaiting,
        Kind::Halted,
        Kind::Budget,
        Kind::Unread,
        Kind::Reload,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Rejects => "rejects",
            Kind::Late => "late",
            Kind::Ahead => "ahead",
            Kind::Damaged => "damaged",
            Kind::Silent => "silent",
            Kind::Failing => "failing",
            Kind::Shared => "shared",
            Kind::Blind => "blind",
            Kind::NoTarget => "no_target",
            Kind::NotAsked => "not_asked",
            Kind::Address => "address",
            Kind::Checkpoint => "checkpoint",
            Kind::Breaker => "breaker",
            Kind::Parked => "parked",
            Kind::Awaiting => "awaiting",
            Kind::Halted => "halted",
            Kind::Budget => "budget",
            Kind::Unread => "unread",
            Kind::Reload => "reload",
        }
    }
}

/// What the warning is about while there is no target at all.
pub const NO_TARGETS: &str = "respond.targets";

/// One warning: about what, how many, what it is, and what cures it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    pub kind: Kind,
    pub about: String,
    pub count: u64,
    pub message: String,
    pub cure: String,
}

/// As `/status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    pub warning: Kind,
    pub about: String,
    pub count: u64,
    pub message: String,
    pub cure: String,
    #[serde(skip)]
    pub since_us: i64,
    #[serde(skip)]
    told_us: i64,
}

#[derive(Default)]
pub struct Warnings(Mutex<BTreeMap<(Kind, String), InForce>>);

impl Warnings {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(Kind, String), InForce>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The warning is in force, with these figures. Logged unless somebody else does it (`quietly`).
    pub fn hold(&self, warning: Warning, now_us: i64, quietly: bool) {
        let Warning { kind, about, count, message, cure } = warning;
        let mut all = self.all();
        let (since_us, told_us) =
            all.get(&(kind, about.clone())).map_or((now_us, i64::MIN), |held| (held.since_us, held.told_us));
        // The clock may be set back; then it is told again sooner.
        let due = now_us.saturating_sub(told_us).unsigned_abs() >= TELL_AGAIN_US.unsigned_abs();
        if due && !quietly {
            tracing::warn!(warning = kind.name(), about, count, cure, "{message}");
        }
        let told_us = if due { now_us } else { told_us };
        let held = InForce { warning: kind, about: about.clone(), count, message, cure, since_us, told_us };
        all.insert((kind, about), held);
        show(&all, kind);
    }

    /// It is no longer so.
    pub fn end(&self, kind: Kind, about: &str, now_us: i64, quietly: bool) {
        let mut all = self.all();
        let Some(held) = all.remove(&(kind, about.to_owned())) else { return };
        if !quietly {
            let seconds = (now_us - held.since_us) / 1_000_000;
            tracing::info!(warning = kind.name(), about, seconds, "is over: {}", held.message);
        }
        show(&all, kind);
    }

    /// Those in force, the longest first within a kind.
    pub fn in_force(&self) -> Vec<InForce> {
        self.all().values().cloned().collect()
    }
}

fn show(all: &BTreeMap<(Kind, String), InForce>, kind: Kind) {
    let count = all.keys().filter(|(held, _)| *held == kind).count();
    gauge!(metric::WARNINGS, "warning" => kind.name()).set(count as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(count: u64) -> Warning {
        Warning {
            kind: Kind::Late,
            about: "edge".to_owned(),
            count,
            message: format!("{count} events are late"),
            cure: "lateness: 5s".to_owned(),
        }
    }

    #[test]
    fn a_warning_keeps_its_beginning_and_is_told_again_after_ten_minutes() {
        let warnings = Warnings::default();
        for (now_us, count) in [(1_000_000, 3), (2_000_000, 4), (601_000_000, 5), (602_000_000, 6)] {
            warnings.hold(warning(count), now_us, true);
            let [held] = <[InForce; 1]>::try_from(warnings.in_force()).expect("one");
            assert_eq!((held.count, held.since_us), (count, 1_000_000));
            assert_eq!(held.told_us, if now_us < 601_000_000 { 1_000_000 } else { 601_000_000 });
        }
        warnings.end(Kind::Late, "shop", 700_000_000, true);
        assert_eq!(warnings.in_force().len(), 1, "another source");
        warnings.end(Kind::Late, "edge", 700_000_000, true);
        assert_eq!(warnings.in_force(), []);
    }

    #[test]
    fn names_are_the_serialised_names() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("serialises"), kind.name());
        }
    }
}
