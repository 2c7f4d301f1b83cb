//! The risk score of an incident: each alert adds the weight of its severity, and all of it is halved with each half-life.
//!
//! This is risk-based alerting as Splunk ES and others do it: many small things about one attacker weigh as much as one
//! large one. A detector that is told again within an incident adds a quarter, so that one noisy rule does not reach by
//! itself what several different ones do.
//!
//! Promises: pure; never negative, never above `SCORE_MAX`; the order in which alerts of one time come changes nothing.

use schemas::alert::Severity;

pub const SCORE_MAX: f64 = 1000.0;
/// Of the weight, for a detector that the incident knows already.
const AGAIN: f64 = 0.25;

/// What one alert of that severity weighs.
pub fn weight(severity: Severity) -> f64 {
    match severity {
        Severity::Info => 1.0,
        Severity::Low => 10.0,
        Severity::Medium => 30.0,
        Severity::High => 60.0,
        Severity::Critical => 100.0,
    }
}

/// What a score is worth some time later.
pub fn decayed(score: f64, from_us: i64, to_us: i64, half_life_us: i64) -> f64 {
    let age_us = to_us.saturating_sub(from_us).max(0);
    score * (-(age_us as f64) / half_life_us.max(1) as f64).exp2()
}

/// The score with one more alert.
pub fn with_alert(score: f64, severity: Severity, known_detector: bool) -> f64 {
    let share = if known_detector { AGAIN } else { 1.0 };
    (score + weight(severity) * share).min(SCORE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn a_score_is_halved_with_each_half_life_and_does_not_grow_backwards() {
        assert_eq!(decayed(80.0, 0, 6 * HOUR_US, 6 * HOUR_US), 40.0);
        assert_eq!(decayed(80.0, 0, 12 * HOUR_US, 6 * HOUR_US), 20.0);
        assert_eq!(decayed(80.0, HOUR_US, 0, 6 * HOUR_US), 80.0);
    }

    #[test]
    fn different_detectors_weigh_more_than_one_that_repeats_itself() {
        let different = with_alert(with_alert(0.0, Severity::High, false), Severity::Medium, false);
        let same = with_alert(with_alert(0.0, Severity::High, false), Severity::High, true);
        assert_eq!((different, same), (90.0, 75.0));
        assert_eq!(with_alert(999.0, Severity::Critical, false), SCORE_MAX);
    }
}
