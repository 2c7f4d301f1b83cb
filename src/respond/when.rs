//! Which incidents something is about: the `when` of targets, of the policy and of suppressions.
//!
//! Promises: every condition that is written must hold; an empty `when` is about everything. Hours are those of a named
//! time zone, its changes of summer time included.
//! Never: reads a clock.

use chrono::{Datelike, NaiveTime, Timelike, Weekday};
use chrono_tz::Tz;
use schemas::alert::{Entity, Severity};
use serde::Deserialize;

use super::config::ConfigError;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub severity: Severity,
    pub detectors: &'a [String],
    pub entities: &'a [Entity],
    pub tenants: &'a [String],
    pub owasp: &'a [String],
    pub score: f64,
    /// How often its subject was contained before.
    pub offences: u32,
    pub now_us: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// The least severity.
    pub severity: Option<Severity>,
    /// Any of these; `*` stands for any text.
    pub detectors: Vec<String>,
    pub tenants: Vec<String>,
    pub owasp: Vec<String>,
    /// Kinds of entity: `client_ip`, `principal`, ...
    pub entities: Vec<String>,
    /// The least risk score.
    pub score: Option<f64>,
    /// How often the subject was contained before, at least.
    pub offences: Option<u32>,
    pub hours: Option<Hours>,
}

/// Hours of the week: `mon-fri 08:00-18:00 Europe/Berlin`; with `outside: true` the other ones.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Hours {
    days: [bool; 7],
    from: NaiveTime,
    until: NaiveTime,
    zone: Tz,
    outside: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected `mon-fri 08:00-18:00 Europe/Berlin`, or {within: ...} or {outside: ...}")]
enum Written {
    Plain(String),
    Within { within: String },
    Outside { outside: String },
}

impl TryFrom<Written> for Hours {
    type Error = String;

    fn try_from(written: Written) -> Result<Hours, String> {
        match written {
            Written::Plain(text) | Written::Within { within: text } => Hours::parse(&text, false),
            Written::Outside { outside: text } => Hours::parse(&text, true),
        }
    }
}

impl Hours {
    fn parse(text: &str, outside: bool) -> Result<Hours, String> {
        let wrong = |what: &str| {
            format!("`{text}` is no time of the week ({what}); expected `mon-fri 08:00-18:00 Europe/Berlin`")
        };
        let mut words = text.split_whitespace();
        let (Some(days), Some(span), zone, None) = (words.next(), words.next(), words.next(), words.next()) else {
            return Err(wrong("days, hours and a time zone"));
        };
        let days = parse_days(days).ok_or_else(|| wrong("days"))?;
        let time = |text: &str| match text {
            // The end of the day, which has no time of its own.
            "24:00" => Some(NaiveTime::MIN),
            _ => NaiveTime::parse_from_str(text, "%H:%M").ok(),
        };
        let (from, until) = span.split_once('-').ok_or_else(|| wrong("hours"))?;
        let (from, until) = (time(from).ok_or_else(|| wrong("hours"))?, time(until).ok_or_else(|| wrong("hours"))?);
        let zone = zone.unwrap_or("UTC").parse().map_err(|_| wrong("time zone"))?;
        Ok(Hours { days, from, until, zone, outside })
    }

    pub fn hold(&self, now_us: i64) -> bool {
        let now = chrono::DateTime::from_timestamp_micros(now_us).unwrap_or_default().with_timezone(&self.zone);
        let time = NaiveTime::from_num_seconds_from_midnight_opt(now.num_seconds_from_midnight(), 0);
        let time = time.unwrap_or(NaiveTime::MIN);
        let on = |day: Weekday| self.days[day.num_days_from_monday() as usize];
        let within = if self.from < self.until {
            on(now.weekday()) && time >= self.from && time < self.until
        } else {
            // Over midnight: the hours belong to the day on which they begin.
            (on(now.weekday()) && time >= self.from) || (on(now.weekday().pred()) && time < self.until)
        };
        within != self.outside
    }
}

fn parse_days(text: &str) -> Option<[bool; 7]> {
    let day = |text: &str| text.parse::<Weekday>().ok().map(|day| day.num_days_from_monday() as usize);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let mut at = first;
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Some(days)
}

impl When {
    /// Whether it asks what alerts are about, not only how bad they are and when they come.
    pub fn is_about_alerts(&self) -> bool {
        [&self.detectors, &self.tenants, &self.owasp, &self.entities].iter().any(|list| !list.is_empty())
    }

    pub fn holds(&self, case: &Case) -> bool {
        self.holds_where(case, self.hours.as_ref().is_none_or(|hours| hours.hold(case.now_us)))
    }

    /// Whether it holds if its hours do, or do not.
    pub fn holds_where(&self, case: &Case, in_hours: bool) -> bool {
        self.severity.is_none_or(|least| case.severity >= least)
            && self.score.is_none_or(|least| case.score >= least)
            && self.offences.is_none_or(|least| case.offences >= least)
            && any(&self.detectors, case.detectors.iter().map(String::as_str))
            && any(&self.tenants, case.tenants.iter().map(String::as_str))
            && any(&self.owasp, case.owasp.iter().map(String::as_str))
            && any(&self.entities, case.entities.iter().map(|entity| entity.kind.as_str()))
            && in_hours
    }

    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        if self.score.is_some_and(|score| !score.is_finite() || score < 0.0) {
            return Err(ConfigError::new(format!("{at}.score"), "a number from 0"));
        }
        Ok(())
    }
}

fn any<'a>(wanted: &[String], mut found: impl Iterator<Item = &'a str>) -> bool {
    wanted.is_empty() || found.any(|text| wanted.iter().any(|pattern| matches(pattern, text)))
}

/// `*` stands for any text; everything else for itself.
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(now_us: i64) -> Case<'static> {
        Case {
            severity: Severity::High,
            detectors: &[],
            entities: &[],
            tenants: &[],
            owasp: &[],
            score: 50.0,
            offences: 0,
            now_us,
        }
    }

    fn when(text: &str) -> When {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_written_condition_must_hold() {
        let (detectors, owasp) = (["auth-burst-new-ip".to_owned()], ["API2:2023".to_owned()]);
        let entities = [Entity { kind: "client_ip".to_owned(), value: "203.0.113.7".to_owned() }];
        let case = Case { detectors: &detectors, entities: &entities, owasp: &owasp, ..case(0) };
        for (text, holds) in [
            ("{}", true),
            ("severity: high", true),
            ("severity: critical", false),
            ("detectors: [endpoint-*, auth-*]", true),
            ("detectors: [endpoint-*]", false),
            ("{ severity: medium, owasp: [\"API2:2023\"] }", true),
            ("{ severity: medium, owasp: [\"API1:2023\"] }", false),
            ("entities: [principal]", false),
            ("entities: [principal, client_ip]", true),
            ("tenants: [acme]", false),
            ("score: 50", true),
            ("score: 50.1", false),
            ("offences: 1", false),
        ] {
            assert_eq!(when(text).holds(&case), holds, "{text}");
        }
    }

    #[test]
    fn hours_follow_the_time_zone_and_go_over_midnight() {
        let at = |text: &str| chrono::DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros();
        for (hours, time, holds) in [
            // A Monday in winter: Berlin is one hour ahead.
            ("mon-fri 08:00-18:00 Europe/Berlin", "2026-03-02T07:00:00Z", true),
            ("mon-fri 08:00-18:00 Europe/Berlin", "2026-03-02T06:59:59Z", false),
            ("mon-fri 08:00-18:00 Europe/Berlin", "2026-03-02T17:00:00Z", false),
            // In summer two.
            ("mon-fri 08:00-18:00 Europe/Berlin", "2026-07-06T06:00:00Z", true),
            ("sat,sun 00:00-24:00", "2026-03-01T23:59:59Z", true),
            ("sat,sun 00:00-24:00", "2026-03-02T00:00:00Z", false),
            ("fri-sun 22:00-06:00", "2026-03-02T05:59:00Z", true),
            ("fri-sun 22:00-06:00", "2026-03-02T22:00:00Z", false),
        ] {
            let when = when(&format!("hours: {hours}"));
            assert_eq!(when.holds(&case(at(time))), holds, "{hours} at {time}");
            let outside =
                super::When { hours: when.hours.map(|hours| Hours { outside: true, ..hours }), ..When::default() };
            assert_eq!(outside.holds(&case(at(time))), !holds, "outside {hours} at {time}");
        }
    }

    #[test]
    fn what_is_no_time_of_the_week_is_refused_with_what_was_expected() {
        for text in
            ["always", "mon 8-18 UTC", "mon-fri 08:00-18:00 Mars/Base", "mo 08:00-18:00", "mon 08:00-18:00 UTC x"]
        {
            let error = serde_saphyr::from_str::<When>(&format!("hours: {text}")).expect_err(text).to_string();
            assert!(error.contains("expected `mon-fri 08:00-18:00 Europe/Berlin`"), "{text}: {error}");
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, holds) in [
            ("auth-*", "auth-burst", true),
            ("*", "", true),
            ("*-ip", "auth-burst-ip", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("auth", "auth-burst", false),
        ] {
            assert_eq!(matches(pattern, text), holds, "{pattern} {text}");
        }
    }
}
