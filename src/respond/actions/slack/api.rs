//! The calls of Slack's Web API that posting into threads needs: `chat.postMessage`, and a look at what is there.
//!
//! Promises: each message carries its action's id as metadata, and before a message is posted again the channel, or the
//! thread, is looked through for that id. The first message of an incident is the thread of all others.
//! Never: keeps the token in an error.

use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::respond::action::Action;
use crate::respond::actions::ask::below;
use crate::respond::config::Secret;
use crate::respond::http::{self, Answer};
use crate::respond::target::{Delivery, Order};

/// Messages that are looked through, newest first; Slack gives as many at once.
const FIND_MAX: &str = "200";
/// A message is looked for from this long before its action was planned: clocks differ.
const CLOCK_MARGIN_US: i64 = 300_000_000;

/// The name under which our ids stand in a message's metadata.
const EVENT_TYPE: &str = "gatewatch_incident";

/// Errors that pass. Slack tells all of its own with status 200.
const PASSING: [&str; 6] =
    ["fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout", "service_unavailable"];

pub struct Api {
    pub client: Client,
    pub base: Url,
    pub token: Secret,
    pub channel: String,
}

/// As far as we look.
#[derive(Deserialize)]
struct Said {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    ts: String,
    #[serde(default)]
    messages: Vec<Seen>,
}

#[derive(Deserialize)]
struct Seen {
    ts: String,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    event_type: String,
    #[serde(default)]
    event_payload: Value,
}

impl Api {
    /// One message; `remote_ref` is the thread, which is the first message of the incident.
    pub async fn post(&self, order: Order<'_>, mut body: Value) -> Delivery {
        let (action, thread) = (order.action, order.remote_ref);
        if order.attempt.number > 1 {
            match self.find(order).await {
                Ok(Some(ts)) => return delivered("it was there already", thread.unwrap_or(&ts)),
                Ok(None) => {}
                Err(failed) => return failed,
            }
        }
        body["channel"] = self.channel.as_str().into();
        body["metadata"] = json!({
            "event_type": EVENT_TYPE,
            "event_payload": { "action": action.id, "incident": action.incident_id },
        });
        if let Some(thread) = thread {
            body["thread_ts"] = thread.into();
        }
        let request = self.client.post(self.url("chat.postMessage")).bearer_auth(self.token.reveal()).json(&body);
        match self.call("chat.postMessage", request, order.attempt.now_us).await {
            Ok((said, answer)) => delivered(&answer.text(), thread.unwrap_or(&said.ts)),
            Err(failed) => failed,
        }
    }

    /// The message of this action, where an earlier attempt had its effect.
    async fn find(&self, order: Order<'_>) -> Result<Option<String>, Delivery> {
        let oldest_us = order.action.created_us.saturating_sub(CLOCK_MARGIN_US);
        let oldest = format!("{}.{:06}", oldest_us.div_euclid(1_000_000), oldest_us.rem_euclid(1_000_000));
        let method = if order.remote_ref.is_some() { "conversations.replies" } else { "conversations.history" };
        let mut url = self.url(method);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("channel", &self.channel).append_pair("oldest", &oldest).append_pair("limit", FIND_MAX);
            query.append_pair("include_all_metadata", "true");
            if let Some(thread) = order.remote_ref {
                query.append_pair("ts", thread);
            }
        }
        let request = self.client.get(url).bearer_auth(self.token.reveal());
        let (said, _) = self.call(method, request, order.attempt.now_us).await?;
        Ok(said.messages.into_iter().find(|seen| seen.is_of(order.action)).map(|seen| seen.ts))
    }

    async fn call(
        &self,
        method: &str,
        request: reqwest::RequestBuilder,
        now_us: i64,
    ) -> Result<(Said, Answer), Delivery> {
        let answer = http::send(request, now_us).await.map_err(Delivery::retry)?;
        if !answer.status.is_success() {
            return Err(http::judge(&answer, &format!("Slack's {method}")));
        }
        let Ok(said) = serde_json::from_slice::<Said>(&answer.body) else {
            let reason = format!("Slack's answer to {method} was not understood");
            return Err(Delivery::Retry { after: answer.retry_after, reason, answer: answer.text() });
        };
        if said.ok {
            return Ok((said, answer));
        }
        let reason = format!("Slack refused {method}: {}", crate::respond::action::scrub(&said.error));
        if PASSING.contains(&said.error.as_str()) {
            return Err(Delivery::Retry { after: answer.retry_after, reason, answer: answer.text() });
        }
        Err(Delivery::Failed { reason, answer: answer.text() })
    }

    fn url(&self, method: &str) -> Url {
        below(&self.base, &[method])
    }
}

impl Seen {
    fn is_of(&self, action: &Action) -> bool {
        let ours = |metadata: &Metadata| {
            metadata.event_type == EVENT_TYPE && metadata.event_payload["action"] == action.id.as_str()
        };
        self.metadata.as_ref().is_some_and(ours)
    }
}

fn delivered(answer: &str, thread: &str) -> Delivery {
    Delivery::delivered(answer, Some(thread.to_owned()))
}
