//! Slack: an incident is a message of a channel; with a bot's token, what follows goes into that message's thread.
//!
//! Promises: with a token, an action is one message, however often it is delivered: before it posts again it looks for its
//! own id in the channel. Text that a client may have chosen is quoted, so it makes no link and calls nobody.
//! Never: mentions anyone; posts to another channel. An incoming webhook cannot be looked into: there a lost answer may
//! double a message.

mod api;
mod blocks;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::{Client, Url};

use self::api::Api;
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Kind, Op};
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::http;
use crate::respond::message;
use crate::respond::target::{Delivery, Order, Target};

http_target_config! {
    /// `respond.targets.slack`
    pub struct Config {
        /// Of an incoming webhook, by reference: it is the credential. With a token, of the Web API; that has a default.
        #[serde(default)]
        pub url: Option<Address>,
        /// A bot's: `xoxb-...`.
        #[serde(default)]
        pub token: Option<SecretRef>,
        /// The id of the channel, with a token.
        #[serde(default)]
        pub channel: Option<String>,
        /// Where people look an incident up; `{incident}` stands for its id.
        #[serde(default)]
        pub link: Option<String>,
    }
    able: &[Kind::Notify, Kind::Case, Kind::Page]; by default: &[Kind::Notify];
}

const API: &str = "https://slack.com/api";

impl Config {
    fn api_url(&self) -> Address {
        self.url.clone().unwrap_or_else(|| Address::Plain(API.to_owned()))
    }
}

/// `C024BE91L`: a public channel, a private one or a conversation.
fn is_channel(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    id.starts_with(['C', 'G', 'D']) && (9..=32).contains(&id.len()) && id.bytes().all(allowed)
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
        message::check_link(at, self.link.as_deref())?;
        match (&self.token, &self.channel) {
            (Some(_), Some(id)) if is_channel(id) => check_url(at, "url", &self.api_url(), &self.reach()),
            (Some(_), _) => wrong(
                "channel",
                "expected the id of the channel, such as C024BE91L; it stands at the end of its details",
            ),
            (None, Some(_)) => {
                wrong("channel", "needs a token; an incoming webhook posts to the channel it was made for")
            }
            (None, None) => match &self.url {
                Some(Address::Hidden(_)) => Ok(()),
                Some(Address::Plain(_)) => {
                    wrong("url", "the address of an incoming webhook is a credential: give {env: NAME} or {file: PATH}")
                }
                None => wrong("url", "name an incoming webhook by url, or a bot by token and channel"),
            },
        }
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.token.iter().chain(secrets_of(self.url.as_ref(), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let (url, client) = (make.url("url", &self.api_url(), &reach)?, make.client(&reach)?);
        let way = match (&self.token, &self.channel) {
            (Some(token), Some(channel)) => {
                let token = make.secret("token", token)?;
                Way::Bot(Api { client, base: url, token, channel: channel.clone() })
            }
            _ => Way::Webhook { client, url },
        };
        Ok(Arc::new(Slack { way, link: self.link.clone() }))
    }
}

enum Way {
    Webhook { client: Client, url: Url },
    Bot(Api),
}

pub struct Slack {
    way: Way,
    link: Option<String>,
}

impl Target for Slack {
    /// Slack takes about one message a second in a channel.
    fn concurrency_max(&self) -> Option<usize> {
        Some(1)
    }

    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        self.send(order).boxed()
    }
}

impl Slack {
    async fn send(&self, order: Order<'_>) -> Delivery {
        if order.action.op == Op::Revert {
            return Delivery::failed("a message cannot be taken back");
        }
        let body = match message::read(order.action) {
            Ok(message) => blocks::body(&message, self.link.as_deref()),
            Err(problem) => return Delivery::failed(problem),
        };
        match &self.way {
            Way::Bot(api) => api.post(order, body).await,
            Way::Webhook { client, url } => {
                let request = client.post(url.clone()).json(&body);
                match http::send(request, order.attempt.now_us).await {
                    Ok(answer) => http::judge(&answer, "Slack"),
                    Err(reason) => Delivery::retry(reason),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        let check = |rest: &str| {
            let text = format!("slack: [{{ name: chat, {rest} }}]");
            let config: crate::respond::actions::TargetsConfig = serde_saphyr::from_str(&text).expect(rest);
            config.check()
        };
        for (rest, at) in [
            ("kinds: [notify]", "url"),
            ("url: 'https://hooks.slack.com/services/T0/B0/x'", "url"),
            ("url: { env: X }, channel: C024BE91L", "channel"),
            ("token: { env: X }", "channel"),
            ("token: { env: X }, channel: '#alerts'", "channel"),
            ("url: { env: X }, link: x", "link"),
        ] {
            assert_eq!(check(rest).expect_err(rest).at, format!("targets.slack[0].{at}"), "{rest}");
        }
        for rest in ["url: { env: X }", "token: { env: X }, channel: C024BE91L"] {
            check(rest).expect(rest);
        }
    }
}
