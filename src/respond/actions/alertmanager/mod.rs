//! Alertmanager: an incident is an alert of its API v2, so its routes, groups, silences and receivers apply.
//!
//! Promises: the labels are the alert's identity and stay the same as long as the incident lives: what may change, such as
//! the severity, is an annotation. An open incident fires until `holds_for` after its last message; closing ends it.
//! Never: ends or changes an alert that is not ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Client, Url};
use schemas::Message;
use schemas::incident::Event;
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::below;
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Kind, Op, scrub};
use crate::respond::config::{Address, ConfigError, Secret, SecretRef, parse_span};
use crate::respond::http;
use crate::respond::message;
use crate::respond::target::{Delivery, Order, Target};

/// Alertmanager has no limit of its own; its receivers have.
const HEADLINE_CHARS_MAX: usize = 250;

/// An ending is dated this much back: Alertmanager keeps an alert alive whose end is still ahead by its own clock.
const CLOCK_MARGIN_US: i64 = 60_000_000;

const HOLDS_FOR_MIN: Duration = Duration::from_secs(60);
const HOLDS_FOR_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The labels that make an alert ours and this incident's.
const OWN_LABELS: [&str; 2] = ["alertname", "incident"];

http_target_config! {
    /// `respond.targets.alertmanager`
    pub struct Config {
        /// Where Alertmanager answers, its `--web.route-prefix` included.
        pub url: Address,
        /// Beside `alertname` and `incident`: for Alertmanager's routes. Changed labels are other alerts.
        #[serde(default)]
        pub labels: BTreeMap<String, String>,
        /// How long an incident fires without another message.
        #[serde(default)]
        pub holds_for: Span,
        /// For a proxy in front that asks for a name and a password, or for a token.
        #[serde(default)]
        pub username: Option<String>,
        #[serde(default)]
        pub password: Option<SecretRef>,
        #[serde(default)]
        pub token: Option<SecretRef>,
        /// Where people look an incident up; `{incident}` stands for its id.
        #[serde(default)]
        pub link: Option<String>,
    }
    able: &[Kind::Notify, Kind::Case, Kind::Page]; by default: &[Kind::Page];
}

/// A length of time: `7d`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(Duration);

impl Default for Span {
    fn default() -> Span {
        Span(Duration::from_secs(7 * 24 * 3600))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Span, String> {
        parse_span(&text).map(Span).ok_or_else(|| format!("`{text}` is no length of time; expected such as 12h or 7d"))
    }
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: &str| Err(ConfigError::new(format!("{at}.{key}"), problem));
        for (label, value) in &self.labels {
            if OWN_LABELS.contains(&label.as_str()) {
                return wrong(
                    &format!("labels.{label}"),
                    "is set by Gatewatch: it is what makes the alert this incident's",
                );
            }
            if !is_label(label) {
                return wrong(&format!("labels.{label}"), "a label's name is of a-z, A-Z, 0-9 and `_`, no digit first");
            }
            if value.is_empty() {
                return wrong(&format!("labels.{label}"), "a label without a value is none");
            }
        }
        if self.holds_for.0 < HOLDS_FOR_MIN || self.holds_for.0 > HOLDS_FOR_MAX {
            return wrong("holds_for", "between 1m and 30d");
        }
        if self.username.is_some() != self.password.is_some() {
            return wrong("username", "username and password go together");
        }
        if self.token.is_some() && self.password.is_some() {
            return wrong("token", "either a token or a username and password");
        }
        message::check_link(at, self.link.as_deref())?;
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.password.iter().chain(&self.token).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let (base, client) = (make.url("url", &self.url, &reach)?, make.client(&reach)?);
        let url = below(&base, &["api", "v2", "alerts"]);
        let password = self.password.as_ref().map(|reference| make.secret("password", reference)).transpose()?;
        let token = self.token.as_ref().map(|reference| make.secret("token", reference)).transpose()?;
        Ok(Arc::new(Alertmanager {
            url,
            client,
            labels: self.labels.clone(),
            holds_us: i64::try_from(self.holds_for.0.as_micros()).expect("at most 30d, as checked"),
            login: self.username.clone().zip(password),
            token,
            link: self.link.clone(),
        }))
    }
}

fn is_label(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub struct Alertmanager {
    url: Url,
    client: Client,
    labels: BTreeMap<String, String>,
    holds_us: i64,
    login: Option<(String, Secret)>,
    token: Option<Secret>,
    link: Option<String>,
}

impl Target for Alertmanager {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        self.send(order).boxed()
    }
}

impl Alertmanager {
    async fn send(&self, order: Order<'_>) -> Delivery {
        let message = match message::read(order.action) {
            Ok(message) => message,
            Err(problem) => return Delivery::failed(problem),
        };
        let over = order.action.op == Op::Revert || message.event == Event::Closed;
        let mut request = self.client.post(self.url.clone()).json(&self.alerts(&message, over, order.attempt.now_us));
        if let Some((name, password)) = &self.login {
            request = request.basic_auth(name, Some(password.reveal()));
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.reveal());
        }
        let answer = match http::send(request, order.attempt.now_us).await {
            Ok(answer) => answer,
            Err(reason) => return Delivery::retry(reason),
        };
        match http::judge(&answer, "Alertmanager") {
            Delivery::Delivered { answer, .. } => Delivery::delivered(answer, Some(message.incident.id)),
            other => other,
        }
    }

    fn alerts(&self, message: &Message, over: bool, now_us: i64) -> Value {
        let incident = &message.incident;
        let mut labels = self.labels.clone();
        labels.insert("alertname".to_owned(), "gatewatch".to_owned());
        labels.insert("incident".to_owned(), incident.id.clone());
        let opened_us = DateTime::parse_from_rfc3339(&incident.opened).map_or(now_us, |time| time.timestamp_micros());
        // Events may be dated ahead of our clock; an alert that begins after its end is refused.
        let end_us = if over { now_us.saturating_sub(CLOCK_MARGIN_US) } else { now_us.saturating_add(self.holds_us) };
        let start_us = opened_us.min(now_us);
        let mut alert = json!({
            "labels": labels,
            "annotations": annotations(message),
            "startsAt": rfc3339(start_us),
            "endsAt": rfc3339(end_us.max(start_us)),
        });
        let links = message::links(message, self.link.as_deref());
        if let Some((_, incident)) = links.into_iter().find(|(label, _)| label == message::OPEN) {
            alert["generatorURL"] = incident.into();
        }
        json!([alert])
    }
}

fn annotations(message: &Message) -> Value {
    let incident = &message.incident;
    json!({
        "summary": message::headline(message, HEADLINE_CHARS_MAX),
        "description": message::text(message),
        "severity": message::severity_name(incident.severity),
        "score": format!("{:.0}", incident.score),
        "subject_kind": scrub(&incident.subject.kind),
        "subject": scrub(&incident.subject.value),
        "detectors": scrub(&incident.detectors.join(", ")),
    })
}

fn rfc3339(us: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(us)
        .unwrap_or(DateTime::UNIX_EPOCH)
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        for (rest, at) in [
            ("labels: { alertname: x }", "labels.alertname"),
            ("labels: { 'a-b': x }", "labels.a-b"),
            ("labels: { team: '' }", "labels.team"),
            ("holds_for: 1s", "holds_for"),
            ("username: x", "username"),
            ("token: { env: X }, username: x, password: { env: Z }", "token"),
            ("link: 'ftp://x'", "link"),
        ] {
            let text = format!("alertmanager: [{{ name: am, url: 'https://am.example.com', {rest} }}]");
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(rest);
            assert_eq!(config.check().expect_err(rest).at, format!("targets.alertmanager[0].{at}"));
        }
    }
}
