//! Opsgenie (and Jira Service Management, which speaks the same API): an incident is an alert.
//!
//! Promises: the incident's id is the alert's alias, so opening and each update are one alert there and repeating one opens
//! nothing; closing closes it, and so does taking a page back. Opsgenie takes a request in first (202) and works it off later:
//! delivered means worked off, which its request id tells.
//! Never: takes "taken in" for "done".

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use schemas::Message;
use schemas::alert::Severity;
use schemas::incident::Event;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::ask::{ask, below, read};
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Kind, Op, scrub};
use crate::respond::config::{Address, ConfigError, Secret, SecretRef};
use crate::respond::http;
use crate::respond::message;
use crate::respond::target::{Delivery, Order, Target};

/// Opsgenie's limits. The description's, 15,000, is above what `message::text` makes; of the details, 8,000 together.
const MESSAGE_CHARS_MAX: usize = 130;
const ENTITY_CHARS_MAX: usize = 512;
const TAGS_MAX: usize = 20;
const TAG_CHARS_MAX: usize = 50;

const WHO: &str = "Opsgenie";
/// How often it is asked what became of a request within an attempt, and how long to wait before each.
const POLLS: [u64; 5] = [20, 80, 400, 1_000, 2_000];
/// What to wait where it has not been worked off by then; the same request then changes nothing that is there already.
const NOT_YET_AFTER: Duration = Duration::from_secs(10);

http_target_config! {
    /// `respond.targets.opsgenie`
    pub struct Config {
        /// Of the API; the service region EU has `https://api.eu.opsgenie.com`.
        #[serde(default = "region_us")]
        pub url: Address,
        /// Of an API integration that may read, create and close.
        pub api_key: SecretRef,
        /// Where people look an incident up; `{incident}` stands for its id.
        #[serde(default)]
        pub link: Option<String>,
    }
    able: &[Kind::Notify, Kind::Case, Kind::Page]; by default: &[Kind::Page];
}

fn region_us() -> Address {
    Address::Plain("https://api.opsgenie.com".to_owned())
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
        std::iter::once(&self.api_key).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let (url, client) = (make.url("url", &self.url, &reach)?, make.client(&reach)?);
        let api_key = make.secret("api_key", &self.api_key)?;
        Ok(Arc::new(Opsgenie { url, client, api_key, link: self.link.clone() }))
    }
}

pub struct Opsgenie {
    url: Url,
    client: Client,
    api_key: Secret,
    link: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    request_id: String,
}

#[derive(Deserialize)]
struct Processed {
    data: Done,
}

/// What became of a request, in Opsgenie's words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    is_success: bool,
    #[serde(default)]
    status: String,
}

impl Target for Opsgenie {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        self.send(order).boxed()
    }
}

impl Opsgenie {
    async fn send(&self, order: Order<'_>) -> Delivery {
        let message = match message::read(order.action) {
            Ok(message) => message,
            Err(problem) => return Delivery::failed(problem),
        };
        let over = order.action.op == Op::Revert || message.event == Event::Closed;
        let request = if over { self.close(&message) } else { self.create(&message) };
        let now_us = order.attempt.now_us;
        let answer = match ask(self.authorized(request), WHO, now_us).await {
            Ok(answer) => answer,
            Err(failure) => return failure,
        };
        let accepted: Accepted = match read(&answer, WHO) {
            Ok(accepted) => accepted,
            Err(failure) => return failure,
        };
        match self.outcome(&accepted.request_id, now_us).await {
            Ok(done) if done.is_success => Delivery::delivered(scrub(&done.status), Some(message.incident.id)),
            // It was closed by hand, or never opened.
            Ok(done) if over && done.status.contains("does not exist") => {
                Delivery::delivered(scrub(&done.status), Some(message.incident.id))
            }
            Ok(done) => {
                let reason = "Opsgenie took the request in and could not work it off".to_owned();
                Delivery::Retry { after: None, reason, answer: scrub(&done.status) }
            }
            Err(failure) => failure,
        }
    }

    /// What became of a request that was taken in.
    async fn outcome(&self, request_id: &str, now_us: i64) -> Result<Done, Delivery> {
        for wait_ms in POLLS {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let request = self.client.get(below(&self.url, &["v2", "alerts", "requests", request_id]));
            let answer = http::send(self.authorized(request), now_us).await.map_err(Delivery::retry)?;
            match answer.status {
                // It is not known before it is worked off.
                StatusCode::NOT_FOUND => {}
                status if status.is_success() => {
                    return read::<Processed>(&answer, WHO).map(|processed| processed.data);
                }
                _ => {
                    let (after, answer) = (answer.retry_after, answer.text());
                    let reason = "Opsgenie does not say what became of the request".to_owned();
                    return Err(Delivery::Retry { after, reason, answer });
                }
            }
        }
        let reason = "Opsgenie took the request in and has not worked it off yet".to_owned();
        Err(Delivery::Retry { after: Some(NOT_YET_AFTER), reason, answer: String::new() })
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("authorization", format!("GenieKey {}", self.api_key.reveal()))
    }

    /// A second one with the same alias counts up the first.
    fn create(&self, message: &Message) -> RequestBuilder {
        let incident = &message.incident;
        let detail = |(label, value): (&str, String)| (label.to_owned(), Value::from(value));
        let mut details: Map<String, Value> = message::facts(message).into_iter().map(detail).collect();
        let links = message::links(message, self.link.as_deref());
        details.extend(links.into_iter().map(|(label, address)| {
            let label = if label == message::OPEN { "Link".to_owned() } else { label };
            (label, Value::from(address))
        }));
        let tags = incident.owasp.iter().chain(&incident.attack).take(TAGS_MAX);
        let tags: Vec<String> = tags.map(|tag| message::shorten(&scrub(tag), TAG_CHARS_MAX)).collect();
        let entity = format!("{} {}", incident.subject.kind, incident.subject.value);
        let body = json!({
            "message": message::headline(message, MESSAGE_CHARS_MAX),
            "alias": incident.id,
            "description": message::text(message),
            "entity": message::shorten(&scrub(&entity), ENTITY_CHARS_MAX),
            "source": "Gatewatch",
            "priority": priority(incident.severity),
            "tags": tags,
            "details": details,
        });
        self.client.post(below(&self.url, &["v2", "alerts"])).json(&body)
    }

    fn close(&self, message: &Message) -> RequestBuilder {
        let mut url = below(&self.url, &["v2", "alerts", &message.incident.id, "close"]);
        url.query_pairs_mut().append_pair("identifierType", "alias");
        let note = message::headline(message, MESSAGE_CHARS_MAX);
        self.client.post(url).json(&json!({ "source": "Gatewatch", "note": note }))
    }
}

fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "P1",
        Severity::High => "P2",
        Severity::Medium => "P3",
        Severity::Low => "P4",
        Severity::Info => "P5",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_severity_has_a_priority() {
        let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
        assert_eq!(all.map(priority), ["P5", "P4", "P3", "P2", "P1"]);
    }
}
