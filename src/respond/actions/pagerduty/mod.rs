//! PagerDuty: an incident is an alert of a service, by the Events API v2.
//!
//! Promises: the incident's id is the `dedup_key`, so opening and each update are one alert there, and repeating an event
//! changes nothing; closing resolves it, and so does taking a page back.
//! Never: acknowledges; that is the on-call's word.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Client, Url};
use schemas::Message;
use schemas::alert::{Entity, Severity};
use schemas::incident::Event;
use serde_json::{Map, Value, json};

use super::ask::below;
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Kind, Op, scrub};
use crate::respond::config::{Address, ConfigError, Secret, SecretRef};
use crate::respond::http;
use crate::respond::message;
use crate::respond::target::{Delivery, Order, Target};

/// PagerDuty's limit on the summary. What else is text is bounded already, so an event stays far below its 512 KiB.
const SUMMARY_CHARS_MAX: usize = 1024;
/// Letters and digits of an integration key.
const KEY_CHARS: usize = 32;
/// Entities that are told; the incident may hold more.
const ENTITIES_MAX: usize = 50;

http_target_config! {
    /// `respond.targets.pagerduty`
    pub struct Config {
        /// Of the Events API; the service region EU has `https://events.eu.pagerduty.com`.
        #[serde(default = "region_us")]
        pub url: Address,
        /// The integration key of an `Events API v2` integration.
        pub routing_key: SecretRef,
        /// Where people look an incident up; `{incident}` stands for its id.
        #[serde(default)]
        pub link: Option<String>,
    }
    able: &[Kind::Notify, Kind::Case, Kind::Page]; by default: &[Kind::Page];
}

fn region_us() -> Address {
    Address::Plain("https://events.pagerduty.com".to_owned())
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        message::check_link(at, self.link.as_deref())?;
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.routing_key).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let routing_key = make.secret("routing_key", &self.routing_key)?;
        let (chars, key) = (routing_key.reveal().chars().count(), routing_key.reveal());
        if chars != KEY_CHARS || !key.chars().all(|c| c.is_ascii_alphanumeric()) {
            let problem = format!("is no integration key ({chars} characters): expected 32 letters and digits");
            return Err(ConfigError::new(format!("{}.routing_key", make.at), problem));
        }
        let (base, client) = (make.url("url", &self.url, &reach)?, make.client(&reach)?);
        let url = below(&base, &["v2", "enqueue"]);
        Ok(Arc::new(Pagerduty { url, client, routing_key, link: self.link.clone() }))
    }
}

pub struct Pagerduty {
    url: Url,
    client: Client,
    routing_key: Secret,
    link: Option<String>,
}

impl Target for Pagerduty {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        self.send(order).boxed()
    }
}

impl Pagerduty {
    async fn send(&self, order: Order<'_>) -> Delivery {
        let message = match message::read(order.action) {
            Ok(message) => message,
            Err(problem) => return Delivery::failed(problem),
        };
        let over = order.action.op == Op::Revert || message.event == Event::Closed;
        let body = if over { self.resolve(&message) } else { self.trigger(&message) };
        let request = self.client.post(self.url.clone()).json(&body);
        let answer = match http::send(request, order.attempt.now_us).await {
            Ok(answer) => answer,
            Err(reason) => return Delivery::retry(reason),
        };
        match http::judge(&answer, "PagerDuty") {
            Delivery::Delivered { answer, .. } => Delivery::delivered(answer, Some(message.incident.id)),
            other => other,
        }
    }

    fn resolve(&self, message: &Message) -> Value {
        json!({
            "routing_key": self.routing_key.reveal(),
            "event_action": "resolve",
            "dedup_key": message.incident.id,
        })
    }

    fn trigger(&self, message: &Message) -> Value {
        let incident = &message.incident;
        let mut event = json!({
            "routing_key": self.routing_key.reveal(),
            "event_action": "trigger",
            "dedup_key": incident.id,
            "client": "Gatewatch",
            "payload": {
                "summary": message::headline(message, SUMMARY_CHARS_MAX),
                "source": scrub(&format!("{} {}", incident.subject.kind, incident.subject.value)),
                "severity": severity(incident.severity),
                "timestamp": incident.updated,
                "component": scrub(&incident.detectors.join(", ")),
                "group": "api",
                "class": scrub(&incident.owasp.join(", ")),
                "custom_details": details(message),
            },
        });
        let links = message::links(message, self.link.as_deref());
        if let Some((_, incident)) = links.first().filter(|(label, _)| label == message::OPEN) {
            event["client_url"] = incident.as_str().into();
        }
        let shown = |(text, href): (String, String)| json!({ "href": href, "text": text });
        let links: Vec<Value> = links.into_iter().map(shown).collect();
        if !links.is_empty() {
            event["links"] = links.into();
        }
        event
    }
}

/// What PagerDuty knows are four.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}

fn details(message: &Message) -> Value {
    let facts = message::facts(message).into_iter();
    let mut details: Map<String, Value> = facts.map(|(label, value)| (label.to_owned(), value.into())).collect();
    let entity = |entity: &Entity| scrub(&format!("{} {}", entity.kind, entity.value));
    let entities: Vec<String> = message.incident.entities.iter().take(ENTITIES_MAX).map(entity).collect();
    details.insert("Entities".to_owned(), entities.into());
    Value::Object(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_severity_has_one_there() {
        let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        assert_eq!(all.map(severity), ["info", "info", "warning", "error", "critical"]);
    }

    #[test]
    fn a_key_written_out_and_a_wrong_link_are_refused() {
        let parse = |rest: &str| {
            let text = format!("pagerduty: [{{ name: pd, {rest} }}]");
            serde_saphyr::from_str::<crate::respond::actions::TargetsConfig>(&text)
        };
        let error = parse("routing_key: 0123456789abcdef").expect_err("a key");
        // As the configuration is read: without the piece of the file.
        let error = error.without_snippet().to_string();
        assert!(error.contains("not the secret itself") && !error.contains("0123456789abcdef"), "{error}");
        let link = parse("routing_key: { env: X }, link: soc").expect("parses").check().expect_err("a link");
        assert_eq!(link.at, "targets.pagerduty[0].link");
        let config = parse("routing_key: { env: X }").expect("parses");
        config.check().expect("valid");
        for key in ["R0123456789", "0123456789abcdef0123456789abcde-", ""] {
            let error = config.build(&|_| Ok(Secret::new(key))).err().expect("no key");
            assert_eq!(error.at, "targets.pagerduty[0].routing_key");
            assert!(error.problem.ends_with("expected 32 letters and digits"), "{}", error.problem);
        }
        assert_eq!(config.pagerduty[0].kinds, [Kind::Page]);
    }
}
