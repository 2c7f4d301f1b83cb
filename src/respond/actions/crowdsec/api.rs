//! The calls of CrowdSec's local API that blocking needs, with a machine's login.
//!
//! Promises: one login serves all calls until it runs out; a call that is refused with 401 logs in once more and is made
//! again. Written to what LAPI 1.4 does: lists may be `null`, ids are numbers here and strings there, a body that does
//! not validate is answered 500.
//! Never: decides anything about the action; keeps the password or the token in an error.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

use crate::respond::actions::ask::below;
use crate::respond::config::Secret;
use crate::respond::http::{self, Answer};
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, InForce};

/// The key under which our action id stands in an event of the alert.
pub const ACTION_KEY: &str = "gatewatch_action";

/// Whose decisions these are.
pub const ORIGIN: &str = "gatewatch";

/// A token is renewed this long before it ends.
const TOKEN_MARGIN_US: i64 = 60_000_000;

/// The alerts of one detector on one address that are looked through for our action id; newest first.
const FIND_MAX: usize = 100;

/// Why a call gave nothing.
pub enum CallError {
    /// May work later.
    Passing { after: Option<Duration>, reason: String, answer: String },
    /// Will not work.
    Refused { reason: String, answer: String },
}

impl CallError {
    pub fn refused(reason: &str) -> CallError {
        CallError::Refused { reason: reason.to_owned(), answer: String::new() }
    }

    fn passing(reason: String) -> CallError {
        CallError::Passing { after: None, reason, answer: String::new() }
    }

    fn of_answer(call: &str, answer: &Answer) -> CallError {
        let (reason, text) = (format!("LAPI answered {call} with {}", answer.status), answer.text());
        // LAPI tells a body that does not validate by 500 and these words.
        let invalid = text.contains("validation failure");
        let passing = answer.status.is_server_error()
            || [StatusCode::UNAUTHORIZED, StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS]
                .contains(&answer.status);
        if passing && !invalid {
            CallError::Passing { after: answer.retry_after, reason, answer: text }
        } else {
            CallError::Refused { reason, answer: text }
        }
    }

    pub fn into_delivery(self) -> Delivery {
        match self {
            CallError::Passing { after, reason, answer } => Delivery::Retry { after, reason, answer },
            CallError::Refused { reason, answer } => Delivery::Failed { reason, answer },
        }
    }
}

/// An alert as LAPI shows it, as far as we look.
#[derive(Debug, Deserialize)]
pub struct RemoteAlert {
    pub id: u64,
    #[serde(default)]
    pub decisions: Option<Vec<RemoteDecision>>,
    #[serde(default)]
    events: Option<Vec<RemoteEvent>>,
    #[serde(default)]
    machine_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct RemoteDecision {
    pub id: u64,
    /// What is left, in Go's notation: `59m59.6s`; below zero when it is over.
    pub duration: String,
    #[serde(default)]
    pub value: String,
}

/// Go's notation of a time span, in microseconds: `1h2m3.5s`, `13.9ms`.
fn left_us(text: &str) -> Option<i64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    let mut total = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[number..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| number + at);
        let scale = match &rest[number..unit] {
            "h" => 3.6e9,
            "m" => 6e7,
            "s" => 1e6,
            "ms" => 1e3,
            "µs" | "us" => 1.0,
            "ns" => 1e-3,
            _ => return None,
        };
        total += rest[..number].parse::<f64>().ok()? * scale;
        rest = &rest[unit..];
    }
    Some((sign * total) as i64)
}

impl RemoteDecision {
    pub fn in_force(&self) -> bool {
        !self.duration.starts_with('-')
    }
}

#[derive(Debug, Deserialize)]
struct RemoteEvent {
    #[serde(default)]
    meta: Option<Vec<RemoteMeta>>,
}

#[derive(Debug, Deserialize)]
struct RemoteMeta {
    key: String,
    value: String,
}

impl RemoteAlert {
    fn carries(&self, action_id: &str) -> bool {
        self.actions().any(|id| id == action_id)
    }

    fn actions(&self) -> impl Iterator<Item = &str> {
        let meta = self.events.iter().flatten().flat_map(|event| event.meta.iter().flatten());
        meta.filter(|meta| meta.key == ACTION_KEY).map(|meta| meta.value.as_str())
    }
}

#[derive(Deserialize)]
struct Login {
    token: String,
    expire: String,
}

struct Token {
    text: String,
    renew_us: i64,
}

pub struct Api {
    client: Client,
    base: Url,
    machine_id: String,
    password: Secret,
    token: Mutex<Option<Token>>,
}

impl Api {
    pub fn new(client: Client, base: Url, machine_id: String, password: Secret) -> Api {
        Api { client, base, machine_id, password, token: Mutex::new(None) }
    }

    /// Post one alert and read it back.
    pub async fn post(&self, body: &serde_json::Value, now_us: i64) -> Result<RemoteAlert, CallError> {
        let url = self.url(&["v1", "alerts"]);
        let answer = self.call(Method::POST, url, Some(body), now_us).await?;
        if !answer.status.is_success() {
            return Err(CallError::of_answer("the alert", &answer));
        }
        let ids: Option<Vec<String>> = parse("the alert", &answer)?;
        let Some(id) = ids.unwrap_or_default().first().and_then(|id| id.parse().ok()) else {
            let reason = "LAPI dropped the alert; an allowlist may hold the address".to_owned();
            return Err(CallError::Refused { reason, answer: answer.text() });
        };
        let posted = self.alert(id, now_us).await?;
        posted.ok_or_else(|| CallError::passing(format!("LAPI does not know alert {id}, which it has just taken")))
    }

    /// The alert that carries this action id, where an earlier attempt had its effect.
    pub async fn find(
        &self,
        scope: &Scope,
        scenario: &str,
        action_id: &str,
        now_us: i64,
    ) -> Result<Option<RemoteAlert>, CallError> {
        let mut url = self.url(&["v1", "alerts"]);
        url.query_pairs_mut()
            .append_pair(if scope.is_address() { "ip" } else { "range" }, &scope.to_string())
            .append_pair("scenario", scenario)
            .append_pair("limit", &FIND_MAX.to_string());
        let answer = self.call(Method::GET, url, None, now_us).await?;
        if !answer.status.is_success() {
            return Err(CallError::of_answer("the search", &answer));
        }
        let alerts: Option<Vec<RemoteAlert>> = parse("the search", &answer)?;
        Ok(alerts.into_iter().flatten().find(|alert| alert.carries(action_id)))
    }

    /// The decisions of ours that are in force.
    pub async fn in_force(&self, now_us: i64) -> Result<Vec<InForce>, CallError> {
        let mut url = self.url(&["v1", "alerts"]);
        url.query_pairs_mut()
            .append_pair("origin", ORIGIN)
            .append_pair("has_active_decision", "true")
            .append_pair("limit", "0");
        let answer = self.call(Method::GET, url, None, now_us).await?;
        if !answer.status.is_success() {
            return Err(CallError::of_answer("the list", &answer));
        }
        let alerts: Option<Vec<RemoteAlert>> = parse("the list", &answer)?;
        let mut found = Vec::new();
        for alert in alerts.into_iter().flatten() {
            // Another machine's are somebody else's, who may use Gatewatch, too.
            if alert.machine_id.as_ref().is_some_and(|machine| *machine != self.machine_id) {
                continue;
            }
            let action_id = alert.actions().next().map(str::to_owned);
            for decision in alert.decisions.into_iter().flatten().filter(RemoteDecision::in_force) {
                let entity = Scope::parse(&decision.value).map_or(decision.value, |scope| scope.to_string());
                let until_us = left_us(&decision.duration).map(|left| now_us.saturating_add(left));
                let remote_ref = Some(alert.id.to_string());
                found.push(InForce { kind: None, entity, until_us, remote_ref, action_id: action_id.clone() });
            }
        }
        Ok(found)
    }

    pub async fn alert(&self, id: u64, now_us: i64) -> Result<Option<RemoteAlert>, CallError> {
        let url = self.url(&["v1", "alerts", &id.to_string()]);
        let answer = self.call(Method::GET, url, None, now_us).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => parse("the alert's id", &answer).map(Some),
            _ => Err(CallError::of_answer("the alert's id", &answer)),
        }
    }

    pub async fn delete_decision(&self, id: u64, now_us: i64) -> Result<(), CallError> {
        let url = self.url(&["v1", "decisions", &id.to_string()]);
        let answer = self.call(Method::DELETE, url, None, now_us).await?;
        if answer.status.is_success() { Ok(()) } else { Err(CallError::of_answer("the deletion", &answer)) }
    }

    /// Make a call, with a fresh login where the present one is not accepted.
    async fn call(
        &self,
        method: Method,
        url: Url,
        body: Option<&serde_json::Value>,
        now_us: i64,
    ) -> Result<Answer, CallError> {
        let answer = self.call_once(&method, &url, body, false, now_us).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.call_once(&method, &url, body, true, now_us).await
    }

    async fn call_once(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&serde_json::Value>,
        fresh: bool,
        now_us: i64,
    ) -> Result<Answer, CallError> {
        let token = self.token(fresh, now_us).await?;
        let mut request = self.client.request(method.clone(), url.clone()).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        http::send(request, now_us).await.map_err(CallError::passing)
    }

    async fn token(&self, fresh: bool, now_us: i64) -> Result<String, CallError> {
        // Held over the login on purpose: deliveries that run side by side then share one.
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref().filter(|token| !fresh && now_us < token.renew_us) {
            return Ok(token.text.clone());
        }
        let new = self.login(now_us).await?;
        Ok(token.insert(new).text.clone())
    }

    async fn login(&self, now_us: i64) -> Result<Token, CallError> {
        let body = serde_json::json!({
            "machine_id": self.machine_id, "password": self.password.reveal(), "scenarios": [],
        });
        let request = self.client.post(self.url(&["v1", "watchers", "login"])).json(&body);
        let answer = http::send(request, now_us).await.map_err(CallError::passing)?;
        if !answer.status.is_success() {
            // 401 included: a machine that awaits its validation, or a password in the middle of its change.
            let reason = format!("LAPI refused the login of machine {} with {}", self.machine_id, answer.status);
            return Err(CallError::Passing { after: answer.retry_after, reason, answer: answer.text() });
        }
        // The answer holds the token, so it stays out of the error.
        let login: Login = serde_json::from_slice(&answer.body)
            .map_err(|_| CallError::passing("LAPI's answer to the login was not understood".to_owned()))?;
        let expires_us =
            chrono::DateTime::parse_from_rfc3339(&login.expire).map_or(now_us, |time| time.timestamp_micros());
        Ok(Token { text: login.token, renew_us: expires_us.saturating_sub(TOKEN_MARGIN_US) })
    }

    fn url(&self, path: &[&str]) -> Url {
        below(&self.base, path)
    }
}

fn parse<T: DeserializeOwned>(call: &str, answer: &Answer) -> Result<T, CallError> {
    serde_json::from_slice(&answer.body).map_err(|_| CallError::Passing {
        after: None,
        reason: format!("LAPI's answer to {call} was not understood"),
        answer: answer.text(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lapi_shows_is_understood() {
        let shown = r#"[{"id":1,"decisions":[{"duration":"59m22.1s","id":7,"type":"ban"}],
            "events":[{"meta":[{"key":"gatewatch_action","value":"abc"}],"timestamp":"x"}],"labels":null},
            {"id":2,"decisions":null,"events":null}]"#;
        let alerts: Vec<RemoteAlert> = serde_json::from_str(shown).expect("understood");
        assert!(alerts[0].carries("abc") && !alerts[0].carries("ab") && !alerts[1].carries("abc"));
        let decision = &alerts[0].decisions.as_ref().expect("decisions")[0];
        assert!(decision.id == 7 && decision.in_force());
        let over = RemoteDecision { id: 1, duration: "-13.9ms".to_owned(), value: String::new() };
        assert!(!over.in_force());
        for (text, us) in
            [("59m22.1s", 3_562_100_000), ("-13.9ms", -13_900), ("4h0m0s", 14_400_000_000), ("1h", 3_600_000_000)]
        {
            assert_eq!(left_us(text), Some(us), "{text}");
        }
        assert_eq!(left_us("soon"), None);
    }

    #[test]
    fn which_answers_pass() {
        for (status, body, passes) in [
            (500, "database is locked", true),
            (500, r#"{"message":"validation failure list:\n0.leakspeed in body is required"}"#, false),
            (401, "", true),
            (429, "", true),
            (503, "", true),
            (400, "", false),
            (403, r#"{"message":"access forbidden"}"#, false),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let error = CallError::of_answer("x", &Answer { status, retry_after: None, body: body.into() });
            assert_eq!(matches!(error, CallError::Passing { .. }), passes, "{status} {body}");
        }
    }
}
