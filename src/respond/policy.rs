//! The policy: what is done about an incident, by severity, detector, tenant, history and time of day.
//!
//! The first entry whose `when` holds decides; where none does, the detector's own `respond` list does. `contain` means the
//! narrowest scope that some target can act on: the principal's credentials or sessions, then its rate, then the address.
//! Promises: pure. A repeat offender is contained for longer, up to `TTL_MAX`.
//! Never: lets anything past the guard rails.

use std::time::Duration;

use serde::Deserialize;

use super::action::Kind;
use super::config::{ConfigError, TTL_MAX, span_option};
use super::when::{Case, When};

/// One entry of `respond.policy`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    #[serde(default)]
    pub when: When,
    /// Empty: nothing is done.
    #[serde(rename = "do")]
    pub steps: Vec<Do>,
    /// How long containment lasts; default: `guard.ttl`.
    #[serde(default, deserialize_with = "span_option")]
    pub ttl: Option<Duration>,
    /// A person has to agree before anybody is contained.
    #[serde(default)]
    pub approve: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Do {
    Notify,
    Case,
    Page,
    Block,
    Revoke,
    Throttle,
    /// The narrowest that some target does.
    Contain,
}

impl Do {
    fn kind(self) -> Option<Kind> {
        match self {
            Do::Notify => Some(Kind::Notify),
            Do::Case => Some(Kind::Case),
            Do::Page => Some(Kind::Page),
            Do::Block => Some(Kind::Block),
            Do::Revoke => Some(Kind::Revoke),
            Do::Throttle => Some(Kind::Throttle),
            Do::Contain => None,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub messages: Vec<Kind>,
    /// How somebody is to be kept out, by name.
    pub contain: Vec<Kind>,
    /// Or as narrowly as possible.
    pub narrowest: bool,
    pub ttl: Duration,
    pub approve: bool,
}

/// Doubles with each offence before, for so many of them.
const DOUBLINGS_MAX: u32 = 5;

/// `asked`: what the detector asks for.
pub fn decide(policy: &[Entry], case: &Case, asked: &[Kind], ttl: Duration) -> Decision {
    let entry = policy.iter().find(|entry| entry.when.holds(case));
    let kinds: Vec<Kind> = match entry {
        Some(entry) => entry.steps.iter().filter_map(|step| step.kind()).collect(),
        None => asked.to_vec(),
    };
    let ttl = entry.and_then(|entry| entry.ttl).unwrap_or(ttl);
    let ttl = ttl.saturating_mul(1 << case.offences.min(DOUBLINGS_MAX)).min(TTL_MAX);
    let (contain, messages) = kinds.into_iter().partition(|kind| kind.contains());
    Decision {
        messages,
        contain,
        narrowest: entry.is_some_and(|entry| entry.steps.contains(&Do::Contain)),
        ttl,
        approve: entry.is_some_and(|entry| entry.approve),
    }
}

/// The hours of the entries that have any, and whether they hold: `1`, `0`, and `-` for an entry without.
pub(super) fn hours(policy: &[Entry], now_us: i64) -> String {
    let hold = |entry: &Entry| match &entry.when.hours {
        Some(hours) if hours.hold(now_us) => '1',
        Some(_) => '0',
        None => '-',
    };
    policy.iter().map(hold).collect()
}

/// Whether another entry decided while these hours held.
pub(super) fn hours_decide(policy: &[Entry], case: &Case, before: &str) -> bool {
    let now = policy.iter().position(|entry| entry.when.holds(case));
    let mut then = policy.iter().zip(before.chars());
    now != then.position(|(entry, held)| entry.when.holds_where(case, held != '0'))
}

pub(super) fn check(policy: &[Entry]) -> Result<(), ConfigError> {
    for (n, entry) in policy.iter().enumerate() {
        let at = format!("policy[{n}]");
        entry.when.check(&format!("{at}.when"))?;
        if entry.ttl.is_some_and(|ttl| ttl < Duration::from_secs(1) || ttl > TTL_MAX) {
            return Err(ConfigError::new(format!("{at}.ttl"), "containment lasts between 1s and 7d"));
        }
        // What comes after an entry for everything is never reached.
        if entry.when == When::default() && n + 1 < policy.len() {
            let problem = "an entry without `when` is for everything, so those after it never hold; put it last";
            return Err(ConfigError::new(format!("{at}.when"), problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::alert::Severity;

    const HOUR: Duration = Duration::from_secs(3600);

    fn case(severity: Severity, offences: u32) -> Case<'static> {
        let none: &[String] = &[];
        Case { severity, detectors: none, entities: &[], tenants: none, owasp: none, score: 0.0, offences, now_us: 0 }
    }

    fn policy(text: &str) -> Vec<Entry> {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_first_entry_that_holds_decides_and_the_detector_where_none_does() {
        let policy = policy(
            "- { when: { severity: critical }, do: [contain, page, case], ttl: 8h }\n\
             - { when: { severity: high }, do: [block, case], approve: true }\n\
             - { when: { severity: medium }, do: [] }\n",
        );
        let asked = [Kind::Block, Kind::Notify];
        let critical = decide(&policy, &case(Severity::Critical, 0), &asked, HOUR);
        assert_eq!(
            (critical.messages, critical.narrowest, critical.ttl),
            (vec![Kind::Page, Kind::Case], true, HOUR * 8)
        );
        assert!(critical.contain.is_empty() && !critical.approve);
        let high = decide(&policy, &case(Severity::High, 0), &asked, HOUR);
        assert_eq!((high.contain, high.approve, high.ttl), (vec![Kind::Block], true, HOUR));
        let medium = decide(&policy, &case(Severity::Medium, 0), &asked, HOUR);
        assert!(medium.messages.is_empty() && medium.contain.is_empty() && !medium.narrowest);
        let low = decide(&policy, &case(Severity::Low, 0), &asked, HOUR);
        assert_eq!((low.messages, low.contain), (vec![Kind::Notify], vec![Kind::Block]));
    }

    #[test]
    fn hours_decide_where_another_entry_holds_because_of_them() {
        let policy = policy(
            "- { when: { severity: critical, hours: 'mon-sun 12:00-13:00' }, do: [page] }\n- { when: { severity: high }, do: [block] }\n",
        );
        let (noon, night) = (12 * 3_600_000_000, 0);
        assert_eq!((hours(&policy, noon), hours(&policy, night)), ("1-".to_owned(), "0-".to_owned()));
        for (severity, now_us, before, decide) in [
            (Severity::Critical, noon, "0-", true),
            (Severity::Critical, night, "1-", true),
            (Severity::Critical, noon, "1-", false),
            (Severity::High, noon, "0-", false),
            (Severity::Low, noon, "0-", false),
        ] {
            let case = Case { now_us, ..case(severity, 0) };
            assert_eq!(hours_decide(&policy, &case, before), decide, "{severity:?} {before}");
        }
    }

    #[test]
    fn who_comes_back_is_kept_out_for_longer() {
        let ttl = |offences| decide(&[], &case(Severity::High, offences), &[Kind::Block], HOUR).ttl;
        assert_eq!((ttl(0), ttl(1), ttl(3), ttl(5), ttl(90)), (HOUR, HOUR * 2, HOUR * 8, HOUR * 32, HOUR * 32));
        let day = decide(&[], &case(Severity::High, 9), &[Kind::Block], HOUR * 24).ttl;
        assert_eq!(day, TTL_MAX);
    }

    #[test]
    fn what_can_never_hold_is_refused() {
        let wrong = policy("- { do: [page] }\n- { when: { severity: high }, do: [block] }\n");
        assert_eq!(check(&wrong).expect_err("refused").at, "policy[0].when");
        assert_eq!(check(&policy("- { do: [block], ttl: 30d }\n")).expect_err("refused").at, "policy[0].ttl");
    }
}
