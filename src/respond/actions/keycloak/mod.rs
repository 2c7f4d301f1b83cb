//! Keycloak: the sessions of a user are ended, and the user disabled where that is wanted.
//!
//! Promises: undoing enables a user again only if it was Gatewatch that disabled it, also after a crash in the middle: that
//! an enabled user is about to be disabled is noted before it is done. Where Keycloak refuses to disable somebody, the sessions
//! are ended all the same.
//! Never: changes anything of a user but `enabled`; gives back a session; touches the account of its own client, without which
//! nothing could be undone.

mod api;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex as AsyncMutex;

use self::api::Api;
use super::common::{Common, Make, TargetConfig, check_url, http_target_config, secrets_of};
use crate::respond::action::{Kind, Op};
use crate::respond::config::{Address, ConfigError, SecretRef};
use crate::respond::target::{Delivery, Order, Target};

/// Which entities are users.
const PRINCIPAL: &str = "principal";
/// What `remote_ref` says after the user's id.
const DISABLED: &str = "disabled";
const SESSIONS: &str = "sessions";
const TOKEN: &str = "Gatewatch keeps this principal only as a token, by which Keycloak finds nobody: let the gateway log the \
                     user's id (`sub`), or keep e-mail addresses (`redaction.columns.principal.email: keep`)";

http_target_config! {
    /// `respond.targets.keycloak`
    pub struct Config {
        /// Of the server, such as `https://id.example.com`; with `/auth` where that is its path.
        pub url: Address,
        /// Whose users they are.
        pub realm: String,
        /// Where the client is, if in another realm.
        #[serde(default)]
        pub client_realm: Option<String>,
        /// A confidential client with a service account that may manage users.
        pub client_id: String,
        pub client_secret: SecretRef,
        /// Disable the user beside ending the sessions.
        #[serde(default)]
        pub disable: bool,
    }
    able: &[Kind::Revoke]; by default: Config::ABLE;
}

impl TargetConfig for Config {
    fn common(&self) -> Common {
        self.as_common()
    }

    fn able(&self) -> &'static [Kind] {
        Config::ABLE
    }

    fn check(&self, at: &str) -> Result<(), ConfigError> {
        for (key, text) in [("realm", &self.realm), ("client_id", &self.client_id)] {
            if text.is_empty() {
                return Err(ConfigError::new(format!("{at}.{key}"), "must not be empty"));
            }
        }
        if self.client_realm.as_deref() == Some("") {
            return Err(ConfigError::new(format!("{at}.client_realm"), "must not be empty; leave it out for `realm`"));
        }
        check_url(at, "url", &self.url, &self.reach())
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        std::iter::once(&self.client_secret).chain(secrets_of(Some(&self.url), &self.ca)).collect()
    }

    fn build(&self, make: &Make) -> Result<Arc<dyn Target>, ConfigError> {
        let reach = self.reach();
        let api = Api {
            base: make.url("url", &self.url, &reach)?,
            client: make.client(&reach)?,
            realm: self.realm.clone(),
            client_realm: self.client_realm.clone().unwrap_or_else(|| self.realm.clone()),
            client_id: self.client_id.clone(),
            client_secret: make.secret("client_secret", &self.client_secret)?,
            token: AsyncMutex::new(None),
        };
        Ok(Arc::new(Keycloak { api, disable: self.disable }))
    }
}

pub struct Keycloak {
    api: Api,
    disable: bool,
}

impl Target for Keycloak {
    fn carry_out<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Delivery> {
        async move {
            let done = match order.action.op {
                Op::Apply => self.apply(order).await,
                Op::Revert => self.revert(order).await,
            };
            done.unwrap_or_else(|outcome| outcome)
        }
        .boxed()
    }
}

impl Keycloak {
    /// Disabled first: a session that begins in between would outlive the ending of sessions.
    async fn apply(&self, order: Order<'_>) -> Result<Delivery, Delivery> {
        let (action, now_us) = (order.action, order.attempt.now_us);
        if action.entity_kind != PRINCIPAL {
            return Err(Delivery::failed(format!("the entity is a {}, not a principal", action.entity_kind)));
        }
        if action.expires_us.is_some_and(|end_us| end_us <= now_us) {
            return Err(Delivery::failed("the action ends before it can begin"));
        }
        let Some(user) = self.api.find(&action.entity_value, now_us).await? else {
            return Err(Delivery::failed(match is_token(&action.entity_value) {
                false => "the realm has no user with this name or id",
                true => TOKEN,
            }));
        };
        if self.api.is_own(&user) {
            return Err(Delivery::failed("the user is the account of Gatewatch's own client, and is left alone"));
        }
        let disabled = format!("{} {DISABLED}", user.id);
        // Noted by an attempt before, or by the action that this one renews.
        let ours = order.remote_ref == Some(disabled.as_str());
        let (what, answer) = match (self.disable, user.enabled) {
            // What it renews was done when disabling was still wanted, and is undone by way of this one.
            (false, _) if ours => (DISABLED, "sessions ended"),
            (false, _) => (SESSIONS, "sessions ended"),
            (true, true) if !ours => return Ok(Delivery::Noted { remote_ref: disabled }),
            (true, true) => {
                match self.api.set_enabled(&user.id, false, now_us).await {
                    Ok(()) => {}
                    Err(Delivery::Failed { reason, answer }) => {
                        self.api.logout(&user.id, now_us).await?;
                        return Err(Delivery::Failed {
                            reason: format!("not disabled, sessions ended: {reason}"),
                            answer,
                        });
                    }
                    Err(passing) => return Err(passing),
                }
                (DISABLED, "disabled, sessions ended")
            }
            (true, false) if ours => (DISABLED, "disabled, sessions ended"),
            (true, false) => (SESSIONS, "was disabled already and will stay so; sessions ended"),
        };
        self.api.logout(&user.id, now_us).await?;
        Ok(Delivery::delivered(answer, Some(format!("{} {what}", user.id))))
    }

    async fn revert(&self, order: Order<'_>) -> Result<Delivery, Delivery> {
        let Some((id, DISABLED)) = order.remote_ref.and_then(|text| text.split_once(' ')) else {
            return Ok(Delivery::delivered("nothing to undo: ended sessions stay ended, the user can log in", None));
        };
        let now_us = order.attempt.now_us;
        let answer = match self.api.by_id(id, now_us).await? {
            None => "the user is gone",
            Some(user) if user.enabled => "the user was enabled already",
            Some(_) => {
                self.api.set_enabled(id, true, now_us).await?;
                "the user is enabled again"
            }
        };
        Ok(Delivery::delivered(answer, None))
    }
}

/// Whether it stands for a name that is not kept: a key's id, a colon and 32 hexadecimal digits at the end.
fn is_token(principal: &str) -> bool {
    let token = principal.rsplit_once(':').map_or("", |(_, token)| token);
    token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit())
}
