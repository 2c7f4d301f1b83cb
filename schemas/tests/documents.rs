//! What is published about events, alerts and incidents says what the program does: the pages in the repository are those the schema
//! table makes, and the JSON Schemas of alerts and messages name their fields.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::Path;

use schemas::alert::{Entity, Severity, State, Window};
use schemas::incident::{self, Status, Verdict};
use schemas::{Alert, Incident, Message, event};
use serde_json::{Value, json};

/// Compares a page with what it should be; what it should be is left where the message says.
#[track_caller]
fn check(name: &str, expected: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::fs::read_to_string(&page).unwrap_or_default() != expected {
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&made, expected).unwrap();
        panic!("schemas/{name} is not what the schema table says: copy {} over it", made.display());
    }
}

#[test]
fn the_page_of_the_event_columns_is_up_to_date() {
    let head = "# The columns of an event\n\n`?` behind a type: may be null. Privacy: `technical` says nothing about a \
                person; `personal` may; `scrubbed` is free text from which secrets and personal data were removed; `token` is \
                a keyed hash (HMAC-SHA-256, printed with the id of its key). OCSF and ECS: the field of that schema which \
                means the same.\n\nMade from `event.rs`; a test holds the two together.\n\n";
    check("EVENT.md", &format!("{head}{}", event::markdown()));
}

#[test]
fn the_json_schema_of_events_is_up_to_date() {
    check("event.schema.json", &format!("{}\n", serde_json::to_string_pretty(&event::json_schema()).unwrap()));
}

#[test]
fn the_json_schema_of_alerts_names_their_fields() {
    let schema: Value = serde_json::from_str(include_str!("../alert.schema.json")).unwrap();
    let alert = Alert {
        id: "al-1".into(),
        revision: 0,
        state: State::Open,
        detector: "x".into(),
        title: "x".into(),
        severity: Severity::High,
        entity: Entity { kind: "client_ip".into(), value: "192.0.2.7".into() },
        opened: String::new(),
        updated: String::new(),
        window: Window { start: String::new(), end: String::new() },
        observed: 1.0,
        expected: None,
        threshold: 1.0,
        score: 1.0,
        events: 1,
        owasp: vec![],
        attack: vec![],
        evidence: json!({}),
        dry_run: true,
        part_of: Some("al-0".into()),
    };
    let told = serde_json::to_value(&alert).unwrap();
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&schema["properties"]), keys(&told));
    for part in ["entity", "window"] {
        assert_eq!(keys(&schema["properties"][part]["properties"]), keys(&told[part]));
    }
    let mut required: Vec<&str> = schema["required"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    required.sort_unstable();
    let alone = serde_json::to_value(Alert { part_of: None, ..alert }).unwrap();
    assert_eq!(required, keys(&alone), "what stands for itself says nothing of others");
    let states: Vec<Value> = [State::Open, State::Updated, State::Closed].map(|s| json!(s)).to_vec();
    assert_eq!(schema["properties"]["state"]["enum"], json!(states));
    let severities = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    assert_eq!(schema["properties"]["severity"]["enum"], json!(severities.map(|s| json!(s)).to_vec()));
}

#[test]
fn the_json_schema_of_messages_names_their_fields() {
    let schema: Value = serde_json::from_str(include_str!("../incident.schema.json")).unwrap();
    let incident = Incident {
        id: "in-1".into(),
        revision: 0,
        status: Status::Open,
        title: "x".into(),
        severity: Severity::High,
        score: 1.0,
        subject: Entity { kind: "client_ip".into(), value: "192.0.2.7".into() },
        opened: String::new(),
        updated: String::new(),
        entities: vec![],
        detectors: vec![],
        alerts: 1,
        alerts_open: 1,
        owasp: vec![],
        attack: vec![],
        assignee: None,
        verdict: None,
    };
    let event = incident::Event::Open;
    let message = Message {
        event,
        timestamp: String::new(),
        kind: "case".into(),
        incident,
        alert: None,
        standing: Some(incident::Standing::default()),
    };
    let told = serde_json::to_value(&message).unwrap();
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let required = |schema: &Value| -> Vec<String> {
        let mut names: Vec<String> =
            schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    for (schema, told) in [(&schema, &told), (&schema["properties"]["incident"], &told["incident"])] {
        assert_eq!(keys(&schema["properties"]), keys(told));
        assert_eq!(required(schema), keys(told));
    }
    let statuses = Status::ALL.map(|status| json!(status)).to_vec();
    assert_eq!(schema["properties"]["incident"]["properties"]["status"]["enum"], json!(statuses));
    let mut verdicts = Verdict::ALL.map(|verdict| json!(verdict)).to_vec();
    verdicts.push(Value::Null);
    assert_eq!(schema["properties"]["incident"]["properties"]["verdict"]["enum"], json!(verdicts));
    let events = [incident::Event::Open, incident::Event::Updated, incident::Event::Closed].map(|event| json!(event));
    assert_eq!(schema["properties"]["type"]["enum"], json!(events.to_vec()));
}
