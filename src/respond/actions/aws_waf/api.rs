//! The two calls of WAFv2 that a block list needs, signed with Signature Version 4.
//!
//! Promises: an update carries the lock token of the reading it was made from; which errors pass is decided by their names,
//! which AWS sends with status 400 throughout.
//! Never: shows a credential.

use bytes::Bytes;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::Deserialize;
use serde_json::json;

use super::IpSet;
use crate::respond::http::{self, Answer};
use crate::respond::target::Delivery;

const WHO: &str = "AWS WAF";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

pub enum ApiError {
    /// Somebody changed the set since it was read.
    Raced,
    Other(Delivery),
}

impl ApiError {
    pub fn into_delivery(self) -> Delivery {
        match self {
            ApiError::Raced => Delivery::retry("others changed the IP set each time before it could be written"),
            ApiError::Other(delivery) => delivery,
        }
    }
}

/// An IP set as it was read.
#[derive(Debug)]
pub struct Remote {
    pub addresses: Vec<String>,
    description: Option<String>,
    lock_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Got {
    #[serde(rename = "IPSet")]
    ip_set: GotSet,
    lock_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GotSet {
    addresses: Vec<String>,
    #[serde(default)]
    description: Option<String>,
}

pub struct Api {
    pub client: Client,
    pub url: Url,
    pub credential: AwsCredential,
    pub region: String,
    pub scope: &'static str,
}

impl Api {
    pub async fn get(&self, set: &IpSet, now_us: i64) -> Result<Remote, ApiError> {
        let body = json!({ "Name": set.name, "Scope": self.scope, "Id": set.id });
        let answer = self.call("GetIPSet", &body, now_us).await?;
        let got: Got = serde_json::from_slice(&answer.body).map_err(|_| {
            let reason = format!("the answer of {WHO} was not understood");
            ApiError::Other(Delivery::Retry { after: None, reason, answer: answer.text() })
        })?;
        let description = got.ip_set.description.filter(|text| !text.is_empty());
        Ok(Remote { addresses: got.ip_set.addresses, description, lock_token: got.lock_token })
    }

    /// The description goes along, because an update without one may lose it.
    pub async fn update(&self, set: &IpSet, read: &Remote, addresses: &[String], now_us: i64) -> Result<(), ApiError> {
        let mut body = json!({
            "Name": set.name, "Scope": self.scope, "Id": set.id,
            "Addresses": addresses, "LockToken": read.lock_token,
        });
        if let Some(description) = &read.description {
            body["Description"] = description.as_str().into();
        }
        self.call("UpdateIPSet", &body, now_us).await.map(drop)
    }

    async fn call(&self, name: &str, body: &serde_json::Value, now_us: i64) -> Result<Answer, ApiError> {
        let request = self.sign(name, Bytes::from(body.to_string()));
        let request = request.map_err(|problem| ApiError::Other(Delivery::failed(problem)))?;
        let answer = http::send(request, now_us).await;
        let answer = answer.map_err(|problem| ApiError::Other(Delivery::retry(format!("{WHO}: {problem}"))))?;
        if answer.status.is_success() { Ok(answer) } else { Err(judge(name, &answer)) }
    }

    /// The time of the signature is the system's: AWS refuses one that is minutes off.
    fn sign(&self, name: &str, body: Bytes) -> Result<reqwest::RequestBuilder, String> {
        let mut request = HttpRequest::new(HttpRequestBody::from(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.as_str().parse().map_err(|_| "the address cannot be signed".to_owned())?;
        let target = HeaderValue::try_from(format!("AWSWAF_20190729.{name}")).expect("a name of ours");
        request.headers_mut().insert(TARGET, target);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        AwsAuthorizer::new(&self.credential, "wafv2", &self.region).authorize(&mut request, None);
        Ok(self.client.post(self.url.clone()).headers(request.headers().clone()).body(body))
    }
}

#[derive(Deserialize)]
struct Refusal {
    /// With or without the name of a service before a `#`.
    #[serde(rename = "__type", default)]
    name: String,
}

fn judge(call: &str, answer: &Answer) -> ApiError {
    let refusal = serde_json::from_slice::<Refusal>(&answer.body).map(|refusal| refusal.name).unwrap_or_default();
    let name = refusal.rsplit('#').next().unwrap_or_default();
    let passing = [
        "ThrottlingException",
        "Throttling",
        "WAFInternalErrorException",
        "WAFUnavailableEntityException",
        "RequestExpired",
    ];
    if name == "WAFOptimisticLockException" {
        return ApiError::Raced;
    }
    let words = crate::respond::action::scrub(name);
    let reason = format!("{WHO} answered {call} with {} {words}", answer.status.as_u16());
    if passing.contains(&name) {
        return ApiError::Other(Delivery::Retry { after: answer.retry_after, reason, answer: answer.text() });
    }
    ApiError::Other(match http::judge(answer, WHO) {
        Delivery::Retry { after, answer, .. } => Delivery::Retry { after, reason, answer },
        _ => Delivery::Failed { reason, answer: answer.text() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::StatusCode;

    #[test]
    fn errors_are_told_apart_by_name() {
        for (status, body, expected) in [
            (400, r#"{"__type":"WAFOptimisticLockException","message":"x"}"#, "raced"),
            (400, r#"{"__type":"com.amazonaws.waf#WAFOptimisticLockException"}"#, "raced"),
            (400, r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#, "passes"),
            (500, r#"{"__type":"WAFInternalErrorException"}"#, "passes"),
            (503, "busy", "passes"),
            (400, r#"{"__type":"WAFNonexistentItemException"}"#, "final"),
            (400, r#"{"__type":"WAFLimitsExceededException"}"#, "final"),
            (400, r#"{"__type":"UnrecognizedClientException"}"#, "final"),
            (403, r#"{"__type":"AccessDeniedException"}"#, "final"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = Answer { status, retry_after: None, body: body.into() };
            let became = match judge("UpdateIPSet", &answer) {
                ApiError::Raced => "raced",
                ApiError::Other(Delivery::Retry { .. }) => "passes",
                ApiError::Other(_) => "final",
            };
            assert_eq!(became, expected, "{body}");
        }
    }
}
