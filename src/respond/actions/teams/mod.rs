//! Microsoft Teams: an incident's messages are Adaptive Cards, posted by a workflow's webhook.
//!
//! Promises: what a client may have chosen stands in text runs, which know no markup, so it makes no link and calls nobody; a
//! card is smaller than the 28 KB that Teams takes.
//! Never: updates or finds a card: a workflow's webhook can only post. After a lost answer a card may come twice.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Client, Url};
use schemas::Message;
use schemas::alert::Severity;
use schemas::incident::Event;
use serde_json::{Value, json};

use super::common::{Common, Make, TargetConfig, http_target_config, secrets_of};
use crate::respond::action::{Kind, Op};
use crate::respond::config::{ConfigError, SecretRef};
use crate::respond::http;
use crate::respond::message;
use crate::respond::target::{Delivery, Order, Target};

const HEADLINE_CHARS_MAX: usize = 250;
/// With a dozen facts of at most four bytes a character a card stays below 28 KB.
const FACT_CHARS_MAX: usize = 350;

http_target_config! {
    /// `respond.targets.teams`
    pub struct Config {
        /// Of the workflow, by reference: it is the credential.
        pub url: SecretRef,
        /// Where people look an incident up; `{incident}` stands for its id.
        #[serde(default)]
        pub link: Option<String>,
    }
    able: &[Kind::Notify, Kind::Case, Kind::Page]; by default: &[Kind::Notify];
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        message::check_link(at, self.link.as_deref())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.url).chain(secrets_of(None, &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let url =
            http::parse_url(make.secret("url", &self.url)?.reveal(), reach.insecure, &format!("{}.url", make.at))?;
        Ok(Arc::new(Teams { url, client: make.client(&reach)?, link: self.link.clone() }))
    }
}

pub struct Teams {
    url: Url,
    client: Client,
    link: Option<String>,
}

impl Target for Teams {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        self.post(order).boxed()
    }
}

impl Teams {
    async fn post(&self, order: Order<'_>) -> Delivery {
        if order.action.op == Op::Revert {
            return Delivery::failed("a message cannot be taken back");
        }
        let body = match message::read(order.action) {
            Ok(message) => body(&message, self.link.as_deref()),
            Err(problem) => return Delivery::failed(problem),
        };
        match http::send(self.client.post(self.url.clone()).json(&body), order.attempt.now_us).await {
            Ok(answer) => http::judge(&answer, "the Teams workflow"),
            Err(reason) => Delivery::retry(reason),
        }
    }
}

fn body(message: &Message, link: Option<&str>) -> Value {
    let headline = json!({
        "type": "TextRun",
        "text": message::headline(message, HEADLINE_CHARS_MAX),
        "weight": "Bolder",
        "size": "Medium",
        "color": color(message),
    });
    let mut blocks = vec![json!({ "type": "RichTextBlock", "inlines": [headline] })];
    blocks.extend(message::facts(message).into_iter().map(|(label, value)| {
        let label = json!({ "type": "TextRun", "text": format!("{label}: "), "weight": "Bolder" });
        let value = json!({ "type": "TextRun", "text": message::shorten(&value, FACT_CHARS_MAX) });
        json!({ "type": "RichTextBlock", "spacing": "Small", "inlines": [label, value] })
    }));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": blocks,
    });
    let open = |(title, url): (String, String)| json!({ "type": "Action.OpenUrl", "title": title, "url": url });
    let links: Vec<Value> = message::links(message, link).into_iter().map(open).collect();
    if !links.is_empty() {
        card["actions"] = links.into();
    }
    let attachment = json!({
        "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card,
    });
    json!({ "type": "message", "attachments": [attachment] })
}

fn color(message: &Message) -> &'static str {
    match (message.event, message.incident.severity) {
        (Event::Closed, _) => "Good",
        (_, Severity::High | Severity::Critical) => "Attention",
        (_, Severity::Medium) => "Warning",
        (_, Severity::Low | Severity::Info) => "Accent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_card_fits() {
        let mut message = message::tests::message(Event::Updated, Kind::Notify);
        let wide = "𝕏".repeat(5000);
        let many: Vec<String> = (0..1000).map(|_| wide.clone()).collect();
        message.incident.subject.value = wide.clone();
        let mut standing = message::tests::standing();
        standing.containment.iter_mut().for_each(|it| {
            it.entity_value = wide.clone();
            it.why = Some(wide.clone());
        });
        message.standing = Some(standing);
        message.incident.title = wide.clone();
        (message.incident.detectors, message.incident.owasp, message.incident.attack) =
            (many.clone(), many.clone(), many);
        if let Some(alert) = &mut message.alert {
            alert.evidence = json!({ "sql": wide });
        }
        let bytes = body(&message, Some("https://soc.example.com/{incident}")).to_string().len();
        assert!(bytes < 28_000, "{bytes}");
        assert!(bytes > 8_000, "the test is about large cards: {bytes}");
    }

    #[test]
    fn an_address_written_out_is_refused_and_not_repeated() {
        let text = "teams: [{ name: soc, url: 'https://x.example/?sig=fake' }]";
        let error = serde_saphyr::from_str::<crate::respond::actions::TargetsConfig>(text).expect_err("a secret");
        assert!(error.to_string().contains("not the secret itself"), "{error}");
    }
}
