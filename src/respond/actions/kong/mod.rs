//! Kong: a consumer is refused or slowed down by a plugin of its own; its credentials stay untouched.
//!
//! Kong has no switch on a credential, and deleting one cannot be undone. What can be: an instance of `request-termination`
//! (revoke) or of `rate-limiting` (throttle) on the consumer, which takes effect after authentication on every route.
//! Promises: our instances carry tags that name the action, the principal and the end; a newer action takes an instance
//! over; undoing deletes only what still carries the tag of the action that is undone.
//! Never: changes a plugin without our tag; touches a credential or a consumer.

mod api;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use self::api::{Api, Plugin};
use super::ask::undone;
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Action, Kind, Op};
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::target::{Delivery, InForce, Order, ReadBack, Target, Unread};

/// Which entities are consumers.
const PRINCIPAL: &str = "principal";
/// The plugins by which a consumer is slowed down and refused.
const THROTTLES: &str = "rate-limiting";
const REVOKES: &str = "request-termination";

http_target_config! {
    /// `respond.targets.kong`
    pub struct Config {
        /// Of the Admin API, with the workspace where there is one: `https://kong.example.com:8444`.
        pub url: Address,
        #[serde(default)]
        pub token: Option<SecretRef>,
        /// The header that carries the token.
        #[serde(default = "token_header")]
        pub token_header: String,
        /// What a throttled consumer may still do.
        #[serde(default = "requests_per_minute")]
        pub requests_per_minute: u32,
    }
    able: &[Kind::Revoke, Kind::Throttle]; by default: Config::ABLE;
}

fn token_header() -> String {
    "Kong-Admin-Token".to_owned()
}

fn requests_per_minute() -> u32 {
    10
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        if self.requests_per_minute == 0 {
            let problem = "at least 1; to refuse every request, use the kind `revoke`";
            return Err(ConfigError::new(format!("{at}.requests_per_minute"), problem));
        }
        if reqwest::header::HeaderName::from_bytes(self.token_header.as_bytes()).is_err() {
            let problem = format!("`{}` is no name of a header", self.token_header);
            return Err(ConfigError::new(format!("{at}.token_header"), problem));
        }
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.token.iter().chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let api = Api {
            base: make.url("url", &self.url, &reach)?,
            client: make.client(&reach)?,
            token: self.token.as_ref().map(|token| make.secret("token", token)).transpose()?,
            token_header: self.token_header.clone(),
        };
        Ok(Arc::new(Kong { api, requests_per_minute: self.requests_per_minute }))
    }
}

pub struct Kong {
    api: Api,
    requests_per_minute: u32,
}

impl Target for Kong {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        async move {
            let done = match order.action.op {
                Op::Apply => self.apply(order).await,
                Op::Revert => self.revert(undone(&order), order.attempt.now_us).await,
            };
            done.unwrap_or_else(|outcome| outcome)
        }
        .boxed()
    }

    fn read_back(&self, now_us: i64) -> BoxFuture<'_, ReadBack> {
        async move { self.in_force(now_us).await.map(Some).map_err(Unread::from) }.boxed()
    }
}

impl Kong {
    async fn apply(&self, order: Order<'_>) -> Result<Delivery, Delivery> {
        let (action, now_us) = (order.action, order.attempt.now_us);
        if action.entity_kind != PRINCIPAL {
            return Err(Delivery::failed(format!("the entity is a {}, not a principal", action.entity_kind)));
        }
        if action.expires_us.is_some_and(|end_us| end_us <= now_us) {
            return Err(Delivery::failed("the action ends before it can begin"));
        }
        let (name, config) = self.plugin(action.kind);
        let Some(consumer) = self.api.consumer(&action.entity_value, now_us).await? else {
            return Err(Delivery::failed("Kong has no consumer with this username or custom_id"));
        };
        let plugins = self.api.plugins_of(&consumer, now_us).await?;
        let found = plugins.into_iter().find(|plugin| plugin.name == name && plugin.on_every_route());
        let tags = tags_of(action);
        let id = match found {
            None => {
                let id = id_of(&action.id);
                let body = json!({ "name": name, "config": config, "tags": tags, "enabled": true });
                self.api.put_plugin(&consumer, &id, &body, now_us).await?;
                id
            }
            Some(plugin) if plugin.is_ours() => {
                if !plugin.enabled || plugin.tags() != tags {
                    let body = json!({ "config": config, "tags": tags, "enabled": true });
                    self.api.patch_plugin(&plugin.id, &body, now_us).await?;
                }
                plugin.id
            }
            Some(_) => {
                let problem =
                    format!("the consumer has a {name} plugin of somebody else's; Kong takes one, and it stays");
                return Err(Delivery::failed(problem));
            }
        };
        Ok(Delivery::delivered(format!("{name} is on the consumer"), Some(id)))
    }

    fn plugin(&self, kind: Kind) -> (&'static str, Value) {
        match kind {
            Kind::Throttle => {
                let config = json!({ "minute": self.requests_per_minute, "limit_by": "consumer", "policy": "local" });
                (THROTTLES, config)
            }
            _ => (REVOKES, json!({ "status_code": 403, "message": "Access is suspended" })),
        }
    }

    async fn revert(&self, action_id: &str, now_us: i64) -> Result<Delivery, Delivery> {
        let held = self.api.plugins_tagged(&action_tag(action_id), now_us).await?;
        let count = held.len();
        for plugin in held.iter().filter(|plugin| plugin.is_ours()) {
            self.api.delete_plugin(&plugin.id, now_us).await?;
        }
        let answer = match count {
            0 => "no plugin of this action is left".to_owned(),
            count => format!("{count} plugin deleted"),
        };
        Ok(Delivery::delivered(answer, None))
    }

    async fn in_force(&self, now_us: i64) -> Result<Vec<InForce>, Delivery> {
        let plugins = self.api.plugins_tagged(OURS, now_us).await?;
        Ok(plugins.into_iter().filter(|plugin| plugin.enabled).filter_map(known).collect())
    }
}

/// Tags can hold anything but commas and slashes.
const OURS: &str = "gatewatch";
const ACTION_TAG: &str = "gatewatch:action:";
const PRINCIPAL_TAG: &str = "gatewatch:principal:";
const UNTIL_TAG: &str = "gatewatch:until:";

fn action_tag(action_id: &str) -> String {
    format!("{ACTION_TAG}{action_id}")
}

fn tags_of(action: &Action) -> Vec<String> {
    let mut tags =
        vec![OURS.to_owned(), action_tag(&action.id), format!("{PRINCIPAL_TAG}{}", encode(&action.entity_value))];
    tags.extend(action.expires_us.map(|us| format!("{UNTIL_TAG}{}", us.div_euclid(1_000_000))));
    tags
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn known(plugin: Plugin) -> Option<InForce> {
    let tags = plugin.tags();
    let after = |start: &str| tags.iter().find_map(|tag| tag.strip_prefix(start).map(str::to_owned));
    let principal = after(PRINCIPAL_TAG)?;
    let entity = url::form_urlencoded::parse(format!("k={principal}").as_bytes()).next()?.1.into_owned();
    let until_us = after(UNTIL_TAG).and_then(|text| text.parse::<i64>().ok()?.checked_mul(1_000_000));
    let kind = if plugin.name == THROTTLES { Kind::Throttle } else { Kind::Revoke };
    let action_id = after(ACTION_TAG);
    Some(InForce { kind: Some(kind), entity, until_us, remote_ref: Some(plugin.id), action_id })
}

/// An id that the same action gets each time, in the form of a name-based UUID.
fn id_of(action_id: &str) -> String {
    let digest =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("gatewatch/kong/{action_id}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    bytes[6] = 0x50 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex = hex(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_gets_the_same_id_each_time_and_a_principal_survives_its_tag() {
        let id = id_of("ac-1");
        assert_eq!((id.len(), id.as_bytes()[14], &id), (36, b'5', &id_of("ac-1")));
        assert_ne!(id, id_of("ac-2"));
        let action = Action {
            entity_value: "a,b/c d%é".to_owned(),
            ..crate::respond::message::tests::action(schemas::incident::Event::Open, Kind::Revoke)
        };
        let tags = tags_of(&action);
        assert!(tags.iter().all(|tag| !tag.contains([',', '/'])), "{tags:?}");
        let plugin: Plugin = serde_json::from_value(json!({ "id": "1", "name": "x", "tags": tags })).expect("a plugin");
        assert_eq!(known(plugin).expect("ours").entity, action.entity_value);
    }
}
