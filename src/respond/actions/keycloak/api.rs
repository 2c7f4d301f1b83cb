//! The calls of Keycloak's Admin REST API that revoking needs, with a token of a client's own (client credentials).
//!
//! Promises: one token serves until shortly before it ends; a call that is refused with 401 or 403 gets a new one and is made
//! again, because a token carries the roles of the moment when it was made. A user is written back whole, because a part of it
//! may erase the rest. A refusal that a person can mend says how.
//! Never: shows the secret, a token, or what it knows of a user.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::respond::actions::ask::{below, read};
use crate::respond::config::Secret;
use crate::respond::http::{self, Answer};
use crate::respond::target::Delivery;

const WHO: &str = "Keycloak";
const ISSUER: &str = "Keycloak's token endpoint";
/// A token is renewed this long before it ends.
const TOKEN_MARGIN_US: i64 = 30_000_000;

pub struct Api {
    pub base: Url,
    pub client: Client,
    pub realm: String,
    pub client_realm: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub token: Mutex<Option<Token>>,
}

pub struct Token {
    text: String,
    renew_us: i64,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: i64,
}

#[derive(Deserialize)]
pub struct User {
    pub id: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pub enabled: bool,
}

impl Api {
    /// By the id that tokens carry as `sub`, or by the name, which Keycloak keeps in lower case.
    pub async fn find(&self, principal: &str, now_us: i64) -> Result<Option<User>, Delivery> {
        // The id first: a name that looks like one would be somebody's choice.
        if is_uuid(principal)
            && let Some(user) = self.by_id(principal, now_us).await?
        {
            return Ok(Some(user));
        }
        let mut url = self.users(&[]);
        url.query_pairs_mut().append_pair("username", principal).append_pair("exact", "true");
        let answer = self.call(Method::GET, &url, None, now_us).await?;
        // A search that finds nobody is an empty list.
        if answer.status == StatusCode::NOT_FOUND {
            return Err(self.no_realm(&answer));
        }
        let users: Vec<User> = read(&self.judged(answer)?, WHO)?;
        Ok(users.into_iter().find(|user| user.username.to_lowercase() == principal.to_lowercase()))
    }

    pub async fn by_id(&self, id: &str, now_us: i64) -> Result<Option<User>, Delivery> {
        let answer = self.call(Method::GET, &self.users(&[id]), None, now_us).await?;
        if answer.status == StatusCode::NOT_FOUND {
            // Of a realm that is not there nobody can say that a user is gone.
            let of_realm = String::from_utf8_lossy(&answer.body).to_lowercase().contains("realm not found");
            return if of_realm { Err(self.no_realm(&answer)) } else { Ok(None) };
        }
        read(&self.judged(answer)?, WHO).map(Some)
    }

    pub async fn set_enabled(&self, id: &str, enabled: bool, now_us: i64) -> Result<(), Delivery> {
        let url = self.users(&[id]);
        let mut user: Value = read(&self.judged(self.call(Method::GET, &url, None, now_us).await?)?, WHO)?;
        user["enabled"] = enabled.into();
        let answer = self.call(Method::PUT, &url, Some(&user), now_us).await?;
        // It looks at the whole user, so that what others left out of it stands in the way.
        if answer.status == StatusCode::BAD_REQUEST {
            let reason = "Keycloak does not save this user, who does not fit the realm's user profile (see the answer): mend \
                          the user, or the profile, and retry";
            return Err(refused(&answer, reason));
        }
        self.judged(answer).map(drop)
    }

    pub async fn logout(&self, id: &str, now_us: i64) -> Result<(), Delivery> {
        self.judged(self.call(Method::POST, &self.users(&[id, "logout"]), None, now_us).await?).map(drop)
    }

    /// Whether it is the account of our own client: without it nothing could be undone.
    pub fn is_own(&self, user: &User) -> bool {
        let own = format!("service-account-{}", self.client_id);
        self.client_realm == self.realm && user.username.to_lowercase() == own.to_lowercase()
    }

    fn users(&self, path: &[&str]) -> Url {
        let users = ["admin", "realms", &self.realm, "users"];
        below(&self.base, &users.into_iter().chain(path.iter().copied()).collect::<Vec<_>>())
    }

    async fn call(&self, method: Method, url: &Url, body: Option<&Value>, now_us: i64) -> Result<Answer, Delivery> {
        let answer = self.call_once(&method, url, body, false, now_us).await?;
        if !matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(answer);
        }
        self.call_once(&method, url, body, true, now_us).await
    }

    async fn call_once(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
        fresh: bool,
        now_us: i64,
    ) -> Result<Answer, Delivery> {
        let token = self.token(fresh, now_us).await?;
        let mut request = self.client.request(method.clone(), url.clone()).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(body);
        }
        http::send(request, now_us).await.map_err(|problem| Delivery::retry(format!("{WHO}: {problem}")))
    }

    async fn token(&self, fresh: bool, now_us: i64) -> Result<String, Delivery> {
        // Held over the call on purpose: deliveries that run side by side then share one.
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref().filter(|token| !fresh && now_us < token.renew_us) {
            return Ok(token.text.clone());
        }
        let url = below(&self.base, &["realms", &self.client_realm, "protocol", "openid-connect", "token"]);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.client_secret.reveal())
            .finish();
        let request = self.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer =
            http::send(request, now_us).await.map_err(|problem| Delivery::retry(format!("{ISSUER}: {problem}")))?;
        if let Some(reason) = self.no_token(answer.status) {
            return Err(refused(&answer, reason));
        }
        if !answer.status.is_success() {
            return Err(http::judge(&answer, ISSUER));
        }
        // The answer holds the token, so it stays out of the error.
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| Delivery::retry(format!("the answer of {ISSUER} was not understood")))?;
        let renew_us = now_us.saturating_add(granted.expires_in.saturating_mul(1_000_000) - TOKEN_MARGIN_US);
        Ok(token.insert(Token { text: granted.access_token, renew_us }).text.clone())
    }

    fn no_realm(&self, answer: &Answer) -> Delivery {
        let reason = format!("Keycloak has no realm `{}` at this address: check `realm` and `url`", self.realm);
        refused(answer, reason)
    }

    fn no_token(&self, status: StatusCode) -> Option<String> {
        let (client, realm) = (&self.client_id, &self.client_realm);
        match status {
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED => Some(format!(
                "Keycloak gives the client `{client}` of the realm `{realm}` no token (its answer says why): check `client_id` and \
                 `client_secret`, and that the client has client authentication and service accounts roles on"
            )),
            StatusCode::NOT_FOUND => Some(format!(
                "Keycloak has no realm `{realm}` at this address: check `realm` (or `client_realm`) and `url`, which ends in \
                 /auth where that is Keycloak's path"
            )),
            _ => None,
        }
    }

    fn judged(&self, answer: Answer) -> Result<Answer, Delivery> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        if answer.status != StatusCode::FORBIDDEN {
            return Err(http::judge(&answer, WHO));
        }
        let (client, realm, of) = (&self.client_id, &self.realm, &self.client_realm);
        let role = match of == realm {
            true => "`manage-users` of `realm-management`".to_owned(),
            // Only clients of the realm of administrators may do anything in others.
            false => format!("`manage-users` of `{realm}-realm`, which only clients of the realm `master` can have"),
        };
        let reason = format!(
            "the client `{client}` of the realm `{of}` may not manage the users of `{realm}`: its service account needs the \
             role {role}"
        );
        Err(refused(&answer, reason))
    }
}

/// Final, in words that say what to do.
fn refused(answer: &Answer, reason: impl Into<String>) -> Delivery {
    Delivery::Failed { reason: reason.into(), answer: answer.text() }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(n, c)| if [8, 13, 18, 23].contains(&n) { c == '-' } else { c.is_ascii_hexdigit() })
}
