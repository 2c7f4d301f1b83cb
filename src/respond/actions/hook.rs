//! What Tines and Shuffle have in common: a story or workflow that starts when JSON is posted to its own secret address.
//!
//! Promises: the body is the message with `id`, the same on each retry, by which the workflow can tell a repetition. The
//! address and the header are secrets and appear nowhere.
//! Never: waits for the workflow to end; that it started is all that is known.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::HeaderMap;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::Value;

use super::case::{filled, secret_header};
use super::common::{Make, Reach};
use crate::respond::action::{Action, Op};
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::http;
use crate::respond::target::{Delivery, Order, Target};

/// A header with a secret that the workflow checks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub name: String,
    pub value: SecretRef,
}

impl Header {
    pub(super) fn check(&self, at: &str) -> Result<(), ConfigError> {
        filled(at, "header.name", &self.name, "the name of a header, such as X-Gatewatch-Key")?;
        let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match self.name.chars().all(named) && !self.name.eq_ignore_ascii_case("content-type") {
            true => Ok(()),
            false => Err(ConfigError::new(format!("{at}.header.name"), format!("`{}` cannot be used", self.name))),
        }
    }
}

pub(super) struct Hook {
    client: Client,
    url: Url,
    headers: HeaderMap,
    who: &'static str,
}

impl Hook {
    pub fn build(
        who: &'static str,
        make: &Make,
        url: &SecretRef,
        header: Option<&Header>,
        reach: &Reach,
    ) -> Result<Arc<dyn Target>, ConfigError> {
        let url = make.url("url", &Address::Hidden(url.clone()), reach)?;
        let headers = match header {
            Some(header) => {
                let value = make.secret("header.value", &header.value)?;
                secret_header(&header.name, &make.at, "header", &value)?
            }
            None => HeaderMap::new(),
        };
        Ok(Arc::new(Hook { client: make.client(reach)?, url, headers, who }))
    }

    async fn post(&self, order: Order<'_>) -> Delivery {
        if order.action.op == Op::Revert {
            return Delivery::failed("a message cannot be taken back");
        }
        let body = match body(order.action) {
            Ok(body) => body,
            Err(problem) => return Delivery::failed(problem),
        };
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).json(&body);
        let answer = match http::send(request, order.attempt.now_us).await {
            Ok(answer) => answer,
            Err(reason) => return Delivery::retry(reason),
        };
        let outcome = http::judge(&answer, self.who);
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match outcome {
            // Started nothing, told with a 2xx.
            Delivery::Delivered { answer, .. } if said["success"] == false || said["status"] == "error" => {
                Delivery::Failed { reason: format!("{} started nothing", self.who), answer }
            }
            other => other,
        }
    }
}

impl Target for Hook {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        self.post(order).boxed()
    }
}

/// The message with our id.
fn body(action: &Action) -> Result<Value, String> {
    let mut body: Value =
        serde_json::from_slice(&action.body).map_err(|error| format!("the action's body is no message: {error}"))?;
    match body.as_object_mut() {
        Some(fields) => fields.insert("id".to_owned(), action.id.as_str().into()),
        None => return Err("the action's body is no message".to_owned()),
    };
    Ok(body)
}
