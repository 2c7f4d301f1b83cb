//! The generic webhook, for any SOAR, chat or on-call system: the JSON message, or a body made by a template; signed by the
//! Standard Webhooks scheme, or with a credential in a header or in the address.
//!
//! Promises: `webhook-id` is the action id, the same on each retry, so the receiver can tell a repetition; its body says how things
//! stand at that attempt. Several secrets may sign during a rotation; a 2xx is a delivery and nothing else is. A template that
//! cannot work is refused before anything starts.
//! Never: follows a redirect, prints the address or a secret.

mod header;
mod sample;
mod sign;
mod template;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;

use self::header::Header;
use self::sign::Signer;
use self::template::Template;
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Action, Kind, Op};
use crate::respond::config::{Address, ConfigError, Secret, SecretRef};
use crate::respond::http;
use crate::respond::target::{Delivery, Order, Target};

/// How a webhook is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    #[default]
    Post,
    Put,
    Patch,
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> reqwest::Method {
        match method {
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
        }
    }
}

http_target_config! {
    /// `respond.targets.webhook`
    pub struct Config {
        /// Written out, or a reference where the address itself is the credential.
        pub url: Address,
        #[serde(default)]
        pub method: Method,
        /// `whsec_` and base64 of 24 to 64 bytes (HMAC), or `whsk_` and base64 of an ed25519 private key. The first is
        /// current; all sign, so that a receiver may know either one.
        #[serde(default)]
        pub secrets: Vec<SecretRef>,
        /// Beside those of the signature.
        #[serde(default)]
        pub headers: BTreeMap<String, Header>,
        /// A template of the body; without it the JSON message is sent.
        #[serde(default)]
        pub body: Option<String>,
        #[serde(default = "json")]
        pub content_type: String,
    }
    able: &[Kind::Notify, Kind::Case, Kind::Page]; by default: Config::ABLE;
}

fn json() -> String {
    "application/json".to_owned()
}

impl Config {
    fn template(&self, at: &str) -> Result<Option<Template>, ConfigError> {
        let at = format!("{at}.body");
        self.body
            .as_ref()
            .map(|body| Template::new(body, &self.content_type))
            .transpose()
            .map_err(|problem| ConfigError::new(at, problem))
    }

    /// Somebody must be able to tell that it comes from us.
    fn check_proof(&self, at: &str) -> Result<(), ConfigError> {
        let proven = !self.secrets.is_empty()
            || self.headers.values().any(Header::is_secret)
            || matches!(self.url, Address::Hidden(_));
        if proven {
            return Ok(());
        }
        let problem = "a receiver must be able to tell who sends: name a secret that signs, or a header with a \
                       credential, or give the address as {env: NAME} or {file: PATH} where it is the credential";
        Err(ConfigError::new(format!("{at}.secrets"), problem))
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
        self.check_proof(at)?;
        for (name, header) in &self.headers {
            header.check(name).map_err(|problem| ConfigError::new(format!("{at}.headers.{name}"), problem))?;
        }
        HeaderValue::from_str(&self.content_type)
            .map_err(|_| ConfigError::new(format!("{at}.content_type"), "expected a media type such as text/plain"))?;
        if let Some(template) = self.template(at)? {
            template.check().map_err(|problem| ConfigError::new(format!("{at}.body"), problem))?;
        }
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        let in_headers = self.headers.values().filter_map(Header::reference);
        self.secrets.iter().chain(in_headers).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let secrets = self.secrets.iter().map(|reference| make.secret("secrets", reference));
        let signer = Signer::new(&secrets.collect::<Result<Vec<Secret>, _>>()?)
            .map_err(|problem| ConfigError::new(format!("{}.secrets", make.at), problem))?;
        let mut headers = HeaderMap::new();
        for (name, header) in &self.headers {
            let key = format!("headers.{name}");
            let secret = header.reference().map(|reference| make.secret(&key, reference)).transpose()?;
            let (name, value) = header
                .build(name, secret.as_ref())
                .map_err(|problem| ConfigError::new(format!("{}.{key}", make.at), problem))?;
            headers.insert(name, value);
        }
        // Checked above: only a media type that fits in a header gets here.
        let content_type = HeaderValue::from_str(&self.content_type)
            .map_err(|_| ConfigError::new(format!("{}.content_type", make.at), "expected a media type"))?;
        headers.insert(CONTENT_TYPE, content_type);
        let (url, client) = (make.url("url", &self.url, &reach)?, make.client(&reach)?);
        let template = self.template(&make.at)?;
        Ok(Arc::new(Webhook { url, method: self.method.into(), signer, headers, template, client }))
    }
}

pub struct Webhook {
    url: Url,
    method: reqwest::Method,
    signer: Signer,
    headers: HeaderMap,
    template: Option<Template>,
    client: Client,
}

impl Target for Webhook {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        self.send(order).boxed()
    }
}

impl Webhook {
    async fn send(&self, order: Order<'_>) -> Delivery {
        let Order { action, attempt, .. } = order;
        if action.op == Op::Revert {
            return Delivery::failed("a message cannot be taken back");
        }
        let body = match self.body(action) {
            Ok(body) => body,
            Err(problem) => return Delivery::failed(problem),
        };
        let timestamp = attempt.now_us.div_euclid(1_000_000);
        let mut request = self
            .client
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .header("webhook-id", &action.id)
            .header("webhook-timestamp", timestamp);
        if let Some(signature) = self.signer.sign(&action.id, timestamp, &body) {
            request = request.header("webhook-signature", signature);
        }
        match http::send(request.body(body), attempt.now_us).await {
            Ok(answer) => http::judge(&answer, "the receiver"),
            Err(reason) => Delivery::retry(reason),
        }
    }

    fn body(&self, action: &Action) -> Result<Vec<u8>, String> {
        match &self.template {
            None => Ok(action.body.clone()),
            Some(template) => template.render(action),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::respond::actions::TargetsConfig;
    use crate::respond::config::ConfigError;

    fn check(rest: &str) -> Result<(), ConfigError> {
        let text = format!("webhook: [{{ name: soar, url: 'https://soar.example.com', {rest} }}]");
        let config: TargetsConfig = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        config.check()
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        for (rest, at) in [
            ("secrets: []", "secrets"),
            ("headers: { X-Team: api }", "secrets"),
            ("secrets: [{ env: X }], kinds: [block]", "kinds"),
            ("secrets: [{ env: X }], per_minute: 0", "per_minute"),
            ("secrets: [{ env: X }], headers: { 'a b': c }", "headers.a b"),
            ("secrets: [{ env: X }], headers: { Authorization: 'Bearer abc' }", "headers.Authorization"),
            ("secrets: [{ env: X }], headers: { Webhook-Id: '1' }", "headers.Webhook-Id"),
            ("secrets: [{ env: X }], headers: { X-A: \"b\\nc\" }", "headers.X-A"),
            ("secrets: [{ env: X }], content_type: \"a\\nb\"", "content_type"),
            ("secrets: [{ env: X }], body: '{{ incident.nonsense }}'", "body"),
        ] {
            assert_eq!(check(rest).expect_err(rest).at, format!("targets.webhook[0].{at}"), "{rest}");
        }
    }

    #[test]
    fn a_signature_a_secret_header_or_a_secret_address_is_enough() {
        for rest in ["secrets: [{ env: X }]", "headers: { Authorization: { env: X, prefix: 'Bearer ' } }"] {
            check(rest).expect(rest);
        }
        let hidden = "webhook: [{ name: soar, url: { env: X }, method: PUT, body: 'x', content_type: text/plain }]";
        let config: TargetsConfig = serde_saphyr::from_str(hidden).expect("valid");
        config.check().expect("the address is the credential");
        assert!(serde_saphyr::from_str::<TargetsConfig>(&hidden.replace("PUT", "GET")).is_err());
    }
}
