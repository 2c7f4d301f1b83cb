//! The message of an action as targets need it: read from its body, and put into the words that people see.
//!
//! Promises: one wording for all targets; texts are one line each, bounded, and free of characters that steer a terminal. What
//! a client may have chosen (paths, names) is quoted by each target's own rules for markup.
//! Never: decides what is sent.

use schemas::Message;
use schemas::alert::{Entity, Severity};
use schemas::incident::{Containment, Event, Standing, Verdict};

use super::action::{Action, scrub};
use super::config::ConfigError;
use super::incident::keys;

/// What the address of the incident is for.
pub const OPEN: &str = "Open the incident";
/// Containments that are put into words; the others are counted.
const CONTAINMENT_TOLD: usize = 3;
/// Of a name in them, which a client may have chosen.
const ENTITY_CHARS_MAX: usize = 80;

/// The message that an action carries.
pub fn read(action: &Action) -> Result<Message, String> {
    serde_json::from_slice(&action.body).map_err(|error| format!("the action's body is no message: {error}"))
}

/// One line: what happened, how bad, to or by whom. At most that many characters.
pub fn headline(message: &Message, chars_max: usize) -> String {
    let incident = &message.incident;
    let what = match message.event {
        // It was over.
        Event::Open if incident.revision > 0 => "Again: ",
        Event::Open => "",
        Event::Updated => "Update: ",
        Event::Closed => "Over: ",
    };
    let subject = format!("{} {}", incident.subject.kind, incident.subject.value);
    let text = format!(
        "{what}[{}] {}: {}{}",
        severity_name(incident.severity),
        incident.title,
        subject.trim_end(),
        also(message).map(|who| format!(", also {who}")).unwrap_or_default()
    );
    shorten(&scrub(&text), chars_max)
}

/// Whom an update is about, where that is somebody besides the subject.
fn also(message: &Message) -> Option<String> {
    let alert = message.alert.as_ref().filter(|_| message.event == Event::Updated)?;
    let subject = &message.incident.subject;
    // Of what failed with the whole, and goes on, it says what that is.
    let is_news = |part: &Entity| keys::is_somebody(part) || subject.kind == "whole";
    let who = keys::parts(alert).into_iter().find(|part| is_news(part) && part != subject)?;
    Some(format!("{} {}", who.kind, who.value))
}

/// What a person wants to know first, as (label, value), in order; without addresses to follow (`links`).
pub fn facts(message: &Message) -> Vec<(&'static str, String)> {
    let incident = &message.incident;
    let mut facts = vec![("Incident", incident.id.clone())];
    facts.extend(closing(message).map(|words| ("Closed", words)));
    facts.extend(message.standing.as_ref().map(|standing| ("Containment", containment(standing))));
    facts.extend([
        ("Severity", severity_name(incident.severity).to_owned()),
        ("Risk score", format!("{:.0}", incident.score)),
        ("Subject", format!("{} {}", incident.subject.kind, incident.subject.value)),
        ("Detectors", incident.detectors.join(", ")),
        ("Alerts", alerts(message)),
        ("Opened", incident.opened.clone()),
        ("Updated", incident.updated.clone()),
    ]);
    facts.extend(also(message).map(|who| ("Also", who)));
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

/// What was judged, by whom and why; where nobody did, that.
fn closing(message: &Message) -> Option<String> {
    let standing = message.standing.as_ref().filter(|_| message.event == Event::Closed)?;
    let verdict = message.incident.verdict.map(|verdict| match verdict {
        Verdict::True => "true: it was an attack",
        Verdict::False => "false: it was no attack",
        Verdict::Expected => "expected: it was meant to happen",
    });
    Some(match (verdict, &standing.closing) {
        (Some(verdict), Some(closing)) => format!("verdict {verdict}; by {}: {}", closing.actor, closing.reason),
        (Some(verdict), None) => format!("verdict {verdict}"),
        (None, _) => "it has been quiet for a while; nobody has judged it".to_owned(),
    })
}

/// Whether the attacker is kept out, where, and until when.
fn containment(standing: &Standing) -> String {
    if standing.containment.is_empty() {
        return "nobody is kept out because of it".to_owned();
    }
    let told: Vec<String> = standing.containment.iter().take(CONTAINMENT_TOLD).map(contained).collect();
    match standing.containment.len().saturating_sub(CONTAINMENT_TOLD) {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

fn contained(it: &Containment) -> String {
    let what = deed(it);
    let until = it.until.as_deref().unwrap_or("its end");
    let why = it.why.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    match it.state.as_str() {
        "in_force" => format!("{what} is in force until {until}{why}"),
        "awaiting" => format!("{what} waits for a person to agree{why}"),
        "sending" => format!("{what} is being sent{why}"),
        "parked" => format!("{what} was given up on{why}"),
        "dry_run" => format!("{what} was not sent: dry run"),
        "refused" => format!("{what} was refused{why}"),
        "lifting" => format!("{what} is being undone"),
        "lifted" => format!("{what} was lifted"),
        "ended" => format!("{what} has ended"),
        _ => format!("{what} is not in force{why}"),
    }
}

fn deed(it: &Containment) -> String {
    let at = it.target.as_deref().map(|target| format!(" at {target}")).unwrap_or_default();
    format!("{} of {} {}{at}", it.kind, it.entity_kind, shorten(&it.entity_value, ENTITY_CHARS_MAX))
}

/// How many alerts; how many are open is said while that matters.
fn alerts(message: &Message) -> String {
    let incident = &message.incident;
    match message.event == Event::Closed && incident.verdict.is_some() {
        true => incident.alerts.to_string(),
        false => format!("{} ({} open)", incident.alerts, incident.alerts_open),
    }
}

/// The addresses to follow, as (what happens there, address): the incident, by the target's own pattern where it has one, and
/// where a person agrees to what waits.
pub fn links(message: &Message, pattern: Option<&str>) -> Vec<(String, String)> {
    let standing = message.standing.as_ref();
    let own = pattern.map(|pattern| link(pattern, &message.incident.id));
    let incident = own.or_else(|| standing.and_then(|standing| standing.link.clone()));
    let mut links: Vec<(String, String)> = incident.into_iter().map(|address| (OPEN.to_owned(), address)).collect();
    let waiting = standing.map(|standing| standing.containment.as_slice()).unwrap_or_default();
    let approvals = waiting.iter().filter_map(|it| Some((it, it.approve.clone()?)));
    links.extend(
        approvals.take(CONTAINMENT_TOLD).map(|(it, address)| (scrub(&format!("Agree to the {}", deed(it))), address)),
    );
    links
}

/// The facts and what else can be done as text, one a line; below 10,000 characters.
pub fn text(message: &Message) -> String {
    lines(message, None).join("\n")
}

/// The same, with the target's own pattern for the incident.
pub fn lines(message: &Message, pattern: Option<&str>) -> Vec<String> {
    let facts = facts(message).into_iter().map(|(label, value)| format!("{label}: {value}"));
    let links = links(message, pattern).into_iter().map(|(label, address)| format!("{label}: {address}"));
    facts.chain(links).collect()
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
    use schemas::incident::{Closing, Status};

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
        let (timestamp, kind) = (alert.updated.clone(), kind.name().to_owned());
        Message { event, timestamp, kind, incident, alert: Some(alert), standing: None }
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
        let mut goes_on = message(Event::Updated, Kind::Page);
        let entity = |kind: &str, value: &str| Entity { kind: kind.to_owned(), value: value.to_owned() };
        goes_on.incident.subject = entity("whole", "");
        goes_on.alert.as_mut().expect("an alert").entity = entity("endpoint", "GET /v1/orders");
        let expected = "Update: [high] Many refused logins from one address: whole, also endpoint GET /v1/orders";
        assert_eq!(headline(&goes_on, 200), expected, "what failed with the whole and goes on");
        let short = headline(&open, 20);
        assert_eq!((short.chars().count(), short.ends_with('…')), (20, true));
    }

    /// Somebody kept out, somebody who waits for a person, a closing and a link.
    pub(crate) fn standing() -> Standing {
        let contained = |value: &str, state: &str| Containment {
            kind: "block".to_owned(),
            entity_kind: "client_ip".to_owned(),
            entity_value: value.to_owned(),
            state: state.to_owned(),
            target: Some("edge".to_owned()),
            until: (state == "in_force").then(|| "2026-03-02T14:00:00.000000Z".to_owned()),
            why: (state == "awaiting").then(|| "the policy asks for a person's word".to_owned()),
            approve: (state == "awaiting").then(|| "https://gw.example.com/approve/1?until=2&sig=3".to_owned()),
        };
        let containment = vec![contained("203.0.113.7", "in_force"), contained("203.0.113.8", "awaiting")];
        let closing = Some(Closing { actor: "noor".to_owned(), reason: "our own scanner".to_owned() });
        Standing { containment, closing, link: Some("https://soc.example.com/in-1".to_owned()) }
    }

    fn fact(message: &Message, label: &str) -> Option<String> {
        facts(message).into_iter().find(|(known, _)| *known == label).map(|(_, value)| value)
    }

    #[test]
    fn a_message_says_who_is_kept_out_and_what_a_person_has_to_agree_to() {
        let mut open = message(Event::Open, Kind::Page);
        assert_eq!(fact(&open, "Containment"), None, "nothing is said of what is not known");
        open.standing = Some(standing());
        let expected = "block of client_ip 203.0.113.7 at edge is in force until 2026-03-02T14:00:00.000000Z; block of \
                        client_ip 203.0.113.8 at edge waits for a person to agree (the policy asks for a person's word)";
        assert_eq!(fact(&open, "Containment").as_deref(), Some(expected));
        assert_eq!(fact(&open, "Closed"), None);
        let agree =
            "Agree to the block of client_ip 203.0.113.8 at edge: https://gw.example.com/approve/1?until=2&sig=3";
        let text = text(&open);
        assert!(text.ends_with(&format!("Open the incident: https://soc.example.com/in-1\n{agree}")), "{text}");
        let own = links(&open, Some("https://own.example.com/{incident}"));
        assert_eq!(own[0].1, "https://own.example.com/in-0123456789abcdef", "the target's own pattern comes first");
        open.standing = Some(Standing::default());
        assert_eq!(fact(&open, "Containment").as_deref(), Some("nobody is kept out because of it"));
    }

    #[test]
    fn what_is_over_says_what_it_was_found_to_be_by_whom_and_why() {
        let mut closed = message(Event::Closed, Kind::Notify);
        closed.standing = Some(standing());
        closed.incident.verdict = Some(Verdict::False);
        closed.incident.alerts_open = 1;
        let expected = "verdict false: it was no attack; by noor: our own scanner";
        assert_eq!(fact(&closed, "Closed").as_deref(), Some(expected));
        assert_eq!(fact(&closed, "Alerts").as_deref(), Some("1"));
        closed.incident.verdict = None;
        assert_eq!(fact(&closed, "Closed").as_deref(), Some("it has been quiet for a while; nobody has judged it"));
    }

    #[test]
    fn who_joins_is_named() {
        let mut update = message(Event::Updated, Kind::Notify);
        assert_eq!(fact(&update, "Also"), None);
        update.alert.as_mut().expect("an alert").entity.value = "203.0.113.120".to_owned();
        assert_eq!(fact(&update, "Also").as_deref(), Some("client_ip 203.0.113.120"));
        assert!(headline(&update, 200).ends_with("client_ip 203.0.113.7, also client_ip 203.0.113.120"));
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
