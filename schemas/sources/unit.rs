//! The units of times and durations, as a mapping names them.
//!
//! Promises: a column has a unit exactly where it needs one, and only one that fits it.
//! Never: converts anything.

use super::mapping::{Holds, Input};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Rfc3339,
    Clf,
    /// Date and time without a zone.
    Datetime,
    /// RFC 3339, or an epoch whose unit its size tells.
    Auto,
    EpochS,
    EpochMs,
    EpochUs,
    EpochNs,
    S,
    Ms,
    Us,
    Ns,
    /// A number with its unit behind it: `0.012s`, `12ms`.
    Text,
}

impl Unit {
    pub(super) fn parse(text: &str) -> Option<Unit> {
        Some(match text {
            "rfc3339" => Unit::Rfc3339,
            "clf" => Unit::Clf,
            "datetime" => Unit::Datetime,
            "auto" => Unit::Auto,
            "epoch_s" => Unit::EpochS,
            "epoch_ms" => Unit::EpochMs,
            "epoch_us" => Unit::EpochUs,
            "epoch_ns" => Unit::EpochNs,
            "s" => Unit::S,
            "ms" => Unit::Ms,
            "us" => Unit::Us,
            "ns" => Unit::Ns,
            "text" => Unit::Text,
            _ => return None,
        })
    }
}

/// Checks that every unit exists (`None` is one that does not) and fits the column.
pub(super) fn check_units(input: Input, units: &[Option<Unit>]) -> Result<(), &'static str> {
    use Unit::{Auto, Clf, Datetime, EpochMs, EpochNs, EpochS, EpochUs, Ms, Ns, Rfc3339, S, Text, Us};
    let is_time = |unit: &Option<Unit>| {
        matches!(unit, Some(Rfc3339 | Clf | Datetime | Auto | EpochS | EpochMs | EpochUs | EpochNs))
    };
    let is_duration = |unit: &Option<Unit>| matches!(unit, Some(S | Ms | Us | Ns | Text));
    match input.holds() {
        Holds::Time if units.is_empty() || !units.iter().all(is_time) => {
            Err("expected unit: rfc3339, clf, datetime, auto, epoch_s, epoch_ms, epoch_us or epoch_ns")
        }
        Holds::Duration if units.is_empty() || !units.iter().all(is_duration) => {
            Err("expected unit: s, ms, us, ns, or text for a number with its unit behind it")
        }
        Holds::Text | Holds::Secret | Holds::Count if !units.is_empty() => Err("this column has no unit"),
        _ => Ok(()),
    }
}
