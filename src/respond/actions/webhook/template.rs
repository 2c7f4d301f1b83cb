//! The template of a webhook's body, in the language of Jinja, over the message.
//!
//! Promises: a name that the message does not have is an error, not an empty text; a body that should be JSON is JSON; at
//! most `BODY_BYTES_MAX` come out. An error names the line of the template.
//! Never: escapes by itself (`| tojson` quotes), reads a file or another template.

use std::io;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use schemas::incident::{Event, Incident, Standing};
use schemas::{Alert, Message};
use serde::Serialize;

use super::sample;
use crate::respond::action::Action;
use crate::respond::message;

/// The longest body that a template may make; what would be longer fails.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest headline that a template sees.
const HEADLINE_CHARS_MAX: usize = 250;

pub struct Template {
    text: String,
    is_json: bool,
}

/// What a template can name: the message, and what people read first.
#[derive(Serialize)]
struct Context<'a> {
    #[serde(rename = "type")]
    event: Event,
    timestamp: &'a str,
    kind: &'a str,
    incident: &'a Incident,
    alert: Option<&'a Alert>,
    standing: Standing,
    action_id: &'a str,
    headline: String,
}

impl Template {
    pub fn new(text: &str, content_type: &str) -> Result<Template, String> {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = essence == "application/json" || essence.ends_with("+json");
        environment().template_from_named_str("body", text).map_err(|error| describe(&error))?;
        Ok(Template { text: text.to_owned(), is_json })
    }

    /// Try it with a sample of each message.
    pub fn check(&self) -> Result<(), String> {
        for (event, with_alert) in sample::ALL {
            let message = sample::message(event, with_alert);
            self.fill(&message, "ac-sample").map_err(|problem| {
                let alert = if with_alert { "" } else { " without an alert" };
                format!("{problem} (tried with a sample of {}{alert})", event.name())
            })?;
        }
        Ok(())
    }

    pub fn render(&self, action: &Action) -> Result<Vec<u8>, String> {
        self.fill(&message::read(action)?, &action.id)
    }

    fn fill(&self, message: &Message, action_id: &str) -> Result<Vec<u8>, String> {
        let environment = environment();
        let template = environment.template_from_named_str("body", &self.text).map_err(|error| describe(&error))?;
        let context = Context {
            event: message.event,
            timestamp: &message.timestamp,
            kind: &message.kind,
            incident: &message.incident,
            alert: message.alert.as_ref(),
            standing: message.standing.clone().unwrap_or_default(),
            action_id,
            headline: message::headline(message, HEADLINE_CHARS_MAX),
        };
        let mut body = Bounded::default();
        let rendered = template.render_captured_to(context, &mut body).map(drop);
        if body.overflowed {
            return Err(format!("the body would be longer than {BODY_BYTES_MAX} bytes"));
        }
        rendered.map_err(|error| describe(&error))?;
        if self.is_json {
            serde_json::from_slice::<serde::de::IgnoredAny>(&body.bytes).map_err(|error| {
                format!("the body is no JSON: {error}; write texts as {{{{ incident.title | tojson }}}}")
            })?;
        }
        Ok(body.bytes)
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment
}

/// Where and what.
fn describe(error: &minijinja::Error) -> String {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    let hint = if error.kind() == minijinja::ErrorKind::UndefinedError {
        "; the message has no such value here, perhaps no alert (write {% if alert %})"
    } else {
        ""
    };
    crate::respond::action::scrub(&format!("{line}{}{detail}{hint}", error.kind()))
}

/// A body that takes so much and no more.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    overflowed: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > BODY_BYTES_MAX {
            self.overflowed = true;
            return Err(io::Error::other("the body is full"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::action::Kind;
    use crate::respond::message::tests::action;

    fn check(text: &str, content_type: &str) -> Result<(), String> {
        Template::new(text, content_type)?.check()
    }

    #[test]
    fn a_body_is_made_of_the_message() {
        let text = "{\n  \"id\": {{ action_id | tojson }}, \"what\": {{ type | tojson }},\n  \
                    \"who\": {{ incident.subject.value | tojson }}, \"title\": {{ headline | tojson }}\
                    {% if alert %}, \"events\": {{ alert.events }}{% endif %}\n}";
        check(text, "application/json; charset=utf-8").expect("valid");
        let template = Template::new(text, "application/json").expect("valid");
        let body = template.render(&action(Event::Open, Kind::Case)).expect("renders");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let expected = serde_json::json!({
            "id": "ac-case-0", "what": "incident.open", "who": "203.0.113.7", "events": 60,
            "title": "[high] Many refused logins from one address: client_ip 203.0.113.7",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_line() {
        for (text, content_type, expected) in [
            ("a\n{{ incident.titel }}", "text/plain", "line 2: undefined value"),
            ("{{ alert.entity.value }}", "text/plain", "incident.updated without an alert"),
            ("{{ nothing }}", "text/plain", "line 1: undefined value"),
            ("{% if alert %}", "text/plain", "line 1: syntax error"),
            ("\n\n{{ incident.title | shout }}", "text/plain", "line 3: unknown filter"),
            (
                "{\"title\": \"{{ incident.title }}\"}",
                "application/json",
                "write texts as {{ incident.title | tojson }}",
            ),
            ("{\"a\": 1,}", "application/vnd.example+json", "the body is no JSON"),
            ("{% for n in range(70000) %}x{% endfor %}", "text/plain", "longer than 65536 bytes"),
            ("{% include 'other' %}", "text/plain", "line 1"),
        ] {
            let error = check(text, content_type).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        check("{{ incident.title }}{% if alert %}{{ alert.entity.value }}{% endif %}", "text/plain").expect("valid");
    }
}
