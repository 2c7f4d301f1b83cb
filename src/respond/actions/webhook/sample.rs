//! The messages that a template is tried with before anything starts: each event, with an alert and without.
//!
//! Promises: texts hold what breaks a body that does not quote: quotation marks, a backslash, `<`, `&` and a line end.
//! Never: leaves this process.

use schemas::alert::{Alert, Entity, Severity, State, Window};
use schemas::incident::{Event, Incident, Message, Status};

/// An opening always comes from an alert; the others may come from a person or from a quiet time.
pub const ALL: [(Event, bool); 5] = [
    (Event::Open, true),
    (Event::Updated, true),
    (Event::Updated, false),
    (Event::Closed, true),
    (Event::Closed, false),
];

const OPENED: &str = "2026-03-02T10:00:00.000000Z";
const UPDATED: &str = "2026-03-02T10:00:05.000000Z";
const TITLE: &str = "A \"sample\" \\ <title> & more\nof it";

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

pub fn message(event: Event, with_alert: bool) -> Message {
    let subject = Entity { kind: "client_ip".to_owned(), value: "203.0.113.7".to_owned() };
    let principal = Entity { kind: "principal".to_owned(), value: "jo \"the\" <example>".to_owned() };
    let incident = Incident {
        id: "in-sample".to_owned(),
        revision: u32::from(event != Event::Open),
        status: if event == Event::Closed { Status::Closed } else { Status::Open },
        title: TITLE.to_owned(),
        severity: Severity::High,
        score: 60.5,
        subject,
        opened: OPENED.to_owned(),
        updated: UPDATED.to_owned(),
        entities: vec![principal.clone()],
        detectors: words(&["auth-burst-ip"]),
        alerts: 1,
        alerts_open: u64::from(event != Event::Closed),
        owasp: words(&["API2:2023"]),
        attack: words(&["T1110"]),
        assignee: None,
        verdict: None,
    };
    let alert = with_alert.then(|| alert(event, principal));
    let (timestamp, kind) = (UPDATED.to_owned(), "notify".to_owned());
    Message { event, timestamp, kind, incident, alert, standing: None }
}

fn alert(event: Event, entity: Entity) -> Alert {
    Alert {
        id: "al-sample".to_owned(),
        revision: u32::from(event != Event::Open),
        state: match event {
            Event::Open => State::Open,
            Event::Updated => State::Updated,
            Event::Closed => State::Closed,
        },
        detector: "auth-burst-ip".to_owned(),
        title: TITLE.to_owned(),
        severity: Severity::High,
        entity,
        opened: OPENED.to_owned(),
        updated: UPDATED.to_owned(),
        window: Window { start: OPENED.to_owned(), end: UPDATED.to_owned() },
        observed: 60.0,
        expected: None,
        threshold: 50.0,
        score: 0.8,
        events: 60,
        owasp: words(&["API2:2023"]),
        attack: words(&["T1110"]),
        evidence: serde_json::json!({ "statuses": { "401": 60 }, "paths": ["/login"] }),
        dry_run: false,
        part_of: None,
    }
}
