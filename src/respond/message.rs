//! The message of an action as targets need it: read from its body, and put into the words that people see.
//!
//! Promises: one wording for all targets; texts are one line each, bounded, and free of characters that steer a terminal. What
//! a client may have chosen (paths, names) is quoted by each target's own rules for markup.
//! Never: decides what is sent.

use schemas::Message;
use schemas::alert::Severity;
use schemas::incident::Event;

use super::action::{Action, scrub};
use super::config::ConfigError;

/// The message that an action carries.
pub fn read(action: &Action) -> Result<Message, String> {
    serde_json::from_slice(&action.body).map_err(|error| format!("the action's body is no message: {error}"))
}

/// One line: what happened, how bad, to or by whom. At most that many characters.
pub fn headline(message: &Message, chars_max: usize) -> String {
    let incident = &message.incident;
    let what = match message.event {
        Event::Open => "",
        Event::Updated => "Update: ",
        Event::Closed => "Over: ",
    };
    let text = format!(
        "{what}[{}] {}: {} {}",
        severity_name(incident.severity),
        incident.title,
        incident.subject.kind,
        incident.subject.value
    );
    shorten(&scrub(&text), chars_max)
}

/// What a person wants to know first, as (label, value), in order.
pub fn facts(message: &Message) -> Vec<(&'static str, String)> {
    let incident = &message.incident;
    let mut facts = vec![
        ("Incident", incident.id.clone()),
        ("Severity", severity_name(incident.severity).to_owned()),
        ("Risk score", format!("{:.0}", incident.score)),
        ("Subject", format!("{} {}", incident.subject.kind, incident.subject.value)),
        ("Detectors", incident.detectors.join(", ")),
        ("Alerts", format!("{} ({} open)", incident.alerts, incident.alerts_open)),
        ("Opened", incident.opened.clone()),
        ("Updated", incident.updated.clone()),
    ];
    let mut list = |label, values: &[String]| {
        if !values.is_empty() {
            facts.push((label, values.join(", ")));
        }
    };
    list("OWASP", &incident.owasp);
    list("ATT&CK", &incident.attack);
    if let Some(alert) = &message.alert {
        facts.push(("Observed", format!("{} (threshold {})", alert.observed, alert.threshold)));
        if let Some(sql) = alert.evidence.get("sql").and_then(|sql| sql.as_str()) {
            facts.push(("Rows", sql.to_owned()));
        }
    }
    facts.into_iter().map(|(label, value)| (label, scrub(&value))).collect()
}

/// The facts as text, one a line; below 10,000 characters.
pub fn text(message: &Message) -> String {
    let line = |(label, value): (&str, String)| format!("{label}: {value}");
    facts(message).into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What stands for the incident's id in a `link`.
const LINK_PLACE: &str = "{incident}";

/// Where people look an incident up: the configured address with the incident's id in its place.
pub fn link(pattern: &str, incident_id: &str) -> String {
    let id: String = url::form_urlencoded::byte_serialize(incident_id.as_bytes()).collect();
    pattern.replace(LINK_PLACE, &id)
}

/// A `link` as configured: an address of the web, such as a dashboard's.
pub fn check_link(at: &str, pattern: Option<&str>) -> Result<(), ConfigError> {
    let Some(pattern) = pattern else { return Ok(()) };
    let parsed = url::Url::parse(&link(pattern, "id")).ok();
    if parsed.is_some_and(|url| ["http", "https"].contains(&url.scheme())) {
        return Ok(());
    }
    let expected = "expected an address such as https://soc.example.com/incidents/{incident}";
    Err(ConfigError::new(format!("{at}.link"), expected))
}

pub fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// At most that many characters; a cut is shown.
pub fn shorten(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::respond::action::{Kind, Op};
    use crate::respond::plan::tests::alert;
    use schemas::Incident;
    use schemas::incident::Status;

    /// A message for the tests of targets.
    pub(crate) fn message(event: Event, kind: Kind) -> Message {
        let alert = alert("203.0.113.7");
        let incident = Incident {
            id: "in-0123456789abcdef".to_owned(),
            revision: u32::from(event != Event::Open),
            status: if event == Event::Closed { Status::Closed } else { Status::Open },
            title: alert.title.clone(),
            severity: alert.severity,
            score: 60.0,
            subject: alert.entity.clone(),
            opened: alert.opened.clone(),
            updated: alert.updated.clone(),
            entities: vec![alert.entity.clone()],
            detectors: vec![alert.detector.clone()],
            alerts: 1,
            alerts_open: u64::from(event != Event::Closed),
            owasp: alert.owasp.clone(),
            attack: alert.attack.clone(),
            assignee: None,
            verdict: None,
        };
        Message { event, timestamp: alert.updated.clone(), kind: kind.name().to_owned(), incident, alert: Some(alert) }
    }

    /// The action that carries it, planned at 2026-03-02T10:00:10Z.
    pub(crate) fn action(event: Event, kind: Kind) -> Action {
        let message = message(event, kind);
        let created_us = 1_772_445_610_000_000;
        Action {
            id: format!("ac-{}-{}", kind.name(), message.incident.revision),
            op: Op::Apply,
            undoes: None,
            incident_id: message.incident.id.clone(),
            alert_id: "al-1".to_owned(),
            detector: "auth-burst-ip".to_owned(),
            entity_kind: "client_ip".to_owned(),
            entity_value: "203.0.113.7".to_owned(),
            target: "target".to_owned(),
            kind,
            queue: "incident:in-0123456789abcdef".to_owned(),
            body: serde_json::to_vec(&message).expect("plain data"),
            dry_run: false,
            created_us,
            about_us: created_us,
            renews: false,
            expires_us: kind.contains().then_some(created_us + 3_600_000_000),
        }
    }

    #[test]
    fn the_headline_says_what_how_bad_and_whom_and_is_bounded() {
        let open = message(Event::Open, Kind::Page);
        assert_eq!(headline(&open, 200), "[high] Many refused logins from one address: client_ip 203.0.113.7");
        assert!(headline(&message(Event::Closed, Kind::Page), 200).starts_with("Over: [high] "));
        let short = headline(&open, 20);
        assert_eq!((short.chars().count(), short.ends_with('…')), (20, true));
    }

    #[test]
    fn a_link_takes_the_id_in() {
        assert_eq!(link("https://soc.example.com/i/{incident}?a=1", "in/1"), "https://soc.example.com/i/in%2F1?a=1");
        for (pattern, fits) in [("https://soc.example.com", true), ("javascript:{incident}", false), ("/i", false)] {
            assert_eq!(check_link("x", Some(pattern)).is_ok(), fits, "{pattern}");
        }
    }

    #[test]
    fn an_action_gives_back_its_message() {
        let read = read(&action(Event::Updated, Kind::Case)).expect("a message");
        assert_eq!(read, message(Event::Updated, Kind::Case));
        assert_eq!(facts(&read)[0], ("Incident", "in-0123456789abcdef".to_owned()));
    }
}
