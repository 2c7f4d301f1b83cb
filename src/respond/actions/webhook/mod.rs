//! The generic webhook: a signed POST by the Standard Webhooks scheme, for any SOAR, chat or on-call system.
//!
//! Promises: `webhook-id` is the action id and the body's bytes are the same on each retry, so the receiver can tell a
//! repetition; several secrets may sign during a rotation; a 2xx is a delivery and nothing else is.
//! Never: follows a redirect, prints the address or a secret.

mod sign;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use super::TargetConfig;
use crate::respond::action::{Action, Kind};
use crate::respond::config::{Address, ConfigError, Resolve, Secret, SecretRef, check_target};
use crate::respond::http::{self, Answer, Transport};
use crate::respond::target::{Attempt, Delivery, Target};

pub use sign::Signer;

/// `respond.targets.webhook`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub name: String,
    /// Written out, or a reference where the address itself is the credential.
    pub url: Address,
    /// `whsec_` and base64 of 24 to 64 bytes. The first is current; all sign, so that a receiver may know either one.
    pub secrets: Vec<SecretRef>,
    #[serde(default = "messages")]
    pub kinds: Vec<Kind>,
    #[serde(default)]
    pub dry_run: Option<bool>,
    /// Allow http to another machine.
    #[serde(default)]
    pub insecure: bool,
    /// Certificates in PEM to trust besides the system's.
    #[serde(default)]
    pub ca: Option<SecretRef>,
    #[serde(default)]
    pub proxy: Option<String>,
}

const ABLE: &[Kind] = &[Kind::Notify, Kind::Case, Kind::Page];

fn messages() -> Vec<Kind> {
    ABLE.to_vec()
}

impl TargetConfig for Config {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        check_target(at, &self.name, &self.kinds, ABLE)?;
        if self.secrets.is_empty() {
            return Err(ConfigError::new(format!("{at}.secrets"), "a webhook is signed: name at least one secret"));
        }
        match &self.url {
            Address::Plain(url) => http::parse_url(url, self.insecure, &format!("{at}.url")).map(|_| ()),
            Address::Hidden(_) => Ok(()),
        }
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        let hidden = match &self.url {
            Address::Hidden(reference) => Some(reference),
            Address::Plain(_) => None,
        };
        self.secrets.iter().chain(hidden).chain(&self.ca).collect()
    }

    fn build(&self, at: &str, resolve: Resolve) -> Result<Arc<dyn Target>, ConfigError> {
        let lookup = |key: &str, reference: &SecretRef| {
            resolve(reference).map_err(|problem| ConfigError::new(format!("{at}.{key}"), problem))
        };
        let url = match &self.url {
            Address::Plain(url) => url.clone(),
            Address::Hidden(reference) => lookup("url", reference)?.reveal().to_owned(),
        };
        let url = http::parse_url(&url, self.insecure, &format!("{at}.url"))?;
        let secrets = self.secrets.iter().map(|reference| lookup("secrets", reference));
        let signer = Signer::new(&secrets.collect::<Result<Vec<Secret>, _>>()?)
            .map_err(|problem| ConfigError::new(format!("{at}.secrets"), problem))?;
        let ca_pem = self.ca.as_ref().map(|reference| lookup("ca", reference)).transpose()?;
        let ca_pem = ca_pem.map(|pem| pem.reveal().to_owned());
        let client = Transport { ca_pem, proxy: self.proxy.clone() }.client(at)?;
        let (name, kinds, dry_run) = (self.name.clone(), self.kinds.clone(), self.dry_run);
        Ok(Arc::new(Webhook { name, kinds, dry_run, url, signer, client }))
    }
}

pub struct Webhook {
    name: String,
    kinds: Vec<Kind>,
    dry_run: Option<bool>,
    url: Url,
    signer: Signer,
    client: Client,
}

impl Target for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    fn dry_run(&self) -> Option<bool> {
        self.dry_run
    }

    fn deliver<'a>(&'a self, action: &'a Action, attempt: Attempt) -> BoxFuture<'a, Delivery> {
        self.post(action, attempt).boxed()
    }

    fn revert<'a>(&'a self, _remote_ref: &'a str, _attempt: Attempt) -> BoxFuture<'a, Delivery> {
        let reason = "a message cannot be taken back".to_owned();
        async move { Delivery::Failed { reason, answer: String::new() } }.boxed()
    }
}

impl Webhook {
    async fn post(&self, action: &Action, attempt: Attempt) -> Delivery {
        let timestamp = attempt.now_us.div_euclid(1_000_000);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &action.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.signer.sign(&action.id, timestamp, &action.body))
            .body(action.body.clone());
        match http::send(request, attempt.now_us).await {
            Ok(answer) => judge(&answer),
            Err(reason) => Delivery::Retry { after: None, reason, answer: String::new() },
        }
    }
}

/// What an answer means. Only a refusal that repeating cannot change is final.
fn judge(answer: &Answer) -> Delivery {
    let text = answer.text();
    if answer.status.is_success() {
        return Delivery::Delivered { answer: text, remote_ref: None };
    }
    let reason = format!("the receiver answered {}", answer.status);
    if is_final(answer.status) {
        return Delivery::Failed { reason, answer: text };
    }
    let after: Option<Duration> = answer.retry_after;
    Delivery::Retry { after, reason, answer: text }
}

/// Redirects are final because they are not followed. A conflict, a full queue or a time-out passes.
fn is_final(status: StatusCode) -> bool {
    let passing =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    (status.is_client_error() && !passing.contains(&status)) || status.is_redirection()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_answers_end_an_action() {
        let outcome = |code: u16| {
            let status = StatusCode::from_u16(code).expect("a status");
            match judge(&Answer { status, retry_after: Some(Duration::from_secs(9)), body: b"x".to_vec() }) {
                Delivery::Delivered { .. } => "delivered",
                Delivery::Retry { after, .. } => {
                    assert_eq!(after, Some(Duration::from_secs(9)));
                    "retry"
                }
                Delivery::Failed { .. } => "failed",
            }
        };
        for (codes, expected) in [
            (&[200, 201, 202, 204][..], "delivered"),
            (&[301, 302, 307, 400, 401, 403, 404, 405, 410, 413, 415, 422], "failed"),
            (&[408, 409, 425, 429, 500, 502, 503, 504], "retry"),
        ] {
            for code in codes {
                assert_eq!(outcome(*code), expected, "{code}");
            }
        }
    }

    #[test]
    fn a_webhook_without_a_secret_and_a_block_are_refused() {
        let config = Config {
            name: "soar".to_owned(),
            url: Address::Plain("https://soar.example.com".to_owned()),
            secrets: Vec::new(),
            kinds: messages(),
            dry_run: None,
            insecure: false,
            ca: None,
            proxy: None,
        };
        assert_eq!(config.check("w").expect_err("refused").at, "w.secrets");
        let secrets = vec![SecretRef::Env("X".to_owned())];
        let config = Config { secrets, kinds: vec![Kind::Block], ..config };
        assert_eq!(config.check("w").expect_err("refused").at, "w.kinds");
    }
}
