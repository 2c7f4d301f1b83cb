//! Who vouches for a request: the credential it carried, as a keyed token, with what a JWT or a Basic header says of its
//! owner.
//!
//! Promises: equal secrets give equal tokens, whether they came in a header, a cookie or the query. A credential seen
//! before costs one lookup. A gateway's own placeholder (`REDACTED`) counts as a credential that nobody can tell apart.
//! Never: keeps a raw secret anywhere but as the key of a bounded map in memory.

use crate::hash::{self, FastMap};
use crate::limits::{CREDENTIAL_CACHED_BYTES_MAX, CREDENTIALS_MAX};
use crate::redact::token::{Domain, TokenKey};
use crate::redact::{Class, Found, Scrubber, base64_whole, is_placeholder, jwt, key_class};

/// How a credential came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Authorization,
    ApiKey,
    Session,
    Certificate,
    /// A bearer token in the query.
    Bearer,
}

const ORIGINS: usize = 5;

/// What is known of a credential.
#[derive(Default)]
pub(crate) struct Credential {
    /// Absent when the gateway had removed the secret already.
    pub(crate) token: Option<String>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) algorithm: Option<&'static str>,
    pub(crate) expires_us: Option<i64>,
    pub(crate) issuer: Option<String>,
    pub(crate) scopes: Option<String>,
    pub(crate) principal: Option<String>,
    pub(crate) principal_kind: Option<&'static str>,
    pub(crate) tenant: Option<String>,
    /// What scrubbing the claims removed.
    pub(crate) found: Found,
}

pub(crate) struct Credentials {
    index: [FastMap<Box<str>, u32>; ORIGINS],
    entries: Vec<Credential>,
    long: Credential,
}

impl Credentials {
    pub(crate) fn new() -> Credentials {
        Credentials { index: std::array::from_fn(|_| hash::map()), entries: Vec::new(), long: Credential::default() }
    }

    /// What is known of the credential `raw`.
    pub(crate) fn get(&mut self, origin: Origin, raw: &str, key: &TokenKey, scrubber: &mut Scrubber) -> &Credential {
        if let Some(&at) = self.index[origin as usize].get(raw) {
            return &self.entries[at as usize];
        }
        let credential = Credential::read(origin, raw, key, scrubber);
        if raw.len() > CREDENTIAL_CACHED_BYTES_MAX {
            self.long = credential;
            return &self.long;
        }
        if self.entries.len() >= CREDENTIALS_MAX {
            self.index.iter_mut().for_each(FastMap::clear);
            self.entries.clear();
        }
        let at = self.entries.len();
        self.index[origin as usize].insert(raw.into(), at as u32);
        self.entries.push(credential);
        &self.entries[at]
    }
}

impl Credential {
    pub(crate) fn read(origin: Origin, raw: &str, key: &TokenKey, scrubber: &mut Scrubber) -> Credential {
        let (kind, secret) = match origin {
            Origin::Authorization => scheme(raw),
            Origin::ApiKey => (Some("api_key"), raw),
            Origin::Session => (Some("session"), raw),
            Origin::Certificate => (Some("certificate"), raw),
            Origin::Bearer => (Some("bearer"), raw),
        };
        if secret.is_empty() || is_placeholder(secret.as_bytes()) || secret.contains("REDACTED") {
            return Credential { kind, ..Credential::default() };
        }
        let token = Some(key.token(Domain::Credential, secret.as_bytes()));
        let mut credential = Credential { token, kind, ..Credential::default() };
        if kind == Some("basic") {
            credential.principal = basic_user(secret);
            credential.principal_kind = Some("user");
        } else if origin != Origin::Certificate
            && let Some(claims) = jwt::read(secret)
        {
            credential.take(claims, scrubber);
        }
        credential
    }

    fn take(&mut self, claims: jwt::Claims, scrubber: &mut Scrubber) {
        let mut found = Found::default();
        let mut clean =
            |text: Option<String>| text.map(|text| scrubber.scrub(&text, &mut String::new(), &mut found).to_string());
        self.kind = Some("jwt");
        self.algorithm = claims.algorithm;
        self.expires_us = claims.expires_us;
        self.issuer = clean(claims.issuer);
        self.scopes = clean(claims.scopes);
        self.tenant = clean(claims.tenant);
        // The principal is masked where principals are, see `normalise.rs`.
        self.principal_kind = Some(if claims.is_service { "service" } else { "user" });
        self.principal = claims.subject;
        self.found = found;
    }
}

/// The kind an Authorization header names, and the secret in it that stays the same from request to request.
fn scheme(raw: &str) -> (Option<&'static str>, &str) {
    let raw = raw.trim();
    let Some((scheme, rest)) = raw.split_once([' ', '\t']) else { return (Some("bearer"), raw) };
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer")
        || scheme.eq_ignore_ascii_case("token")
        || scheme.eq_ignore_ascii_case("dpop")
    {
        (Some("bearer"), rest)
    } else if scheme.eq_ignore_ascii_case("basic") {
        (Some("basic"), rest)
    } else if scheme.to_ascii_lowercase().contains("key") {
        (Some("api_key"), rest)
    } else if scheme.starts_with("AWS4-") {
        // The signature differs each time; the access key is what was used.
        (Some("api_key"), between(rest, "Credential=", '/').unwrap_or(rest))
    } else if scheme.eq_ignore_ascii_case("digest") {
        (None, between(rest, "username=\"", '"').unwrap_or(rest))
    } else {
        (None, raw)
    }
}

fn between<'a>(text: &'a str, before: &str, after: char) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split(after).next().filter(|part| !part.is_empty())
}

fn basic_user(secret: &str) -> Option<String> {
    let mut bytes = Vec::new();
    base64_whole(secret.as_bytes(), &mut bytes)?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    // Many services take an API key as the user, with no password or a word in its place.
    let is_key = matches!(password, "" | "x" | "X" | "api_token" | "api_key" | "token") || looks_like_key(user);
    (!user.is_empty() && !is_key).then(|| user.to_string())
}

/// Is this name rather a machine's key: long, without separators, hexadecimal or of capitals, letters and digits? UUIDs
/// and the identifiers of common databases (24 hexadecimal digits) are names.
pub(crate) fn looks_like_key(name: &str) -> bool {
    let has = |class: fn(&u8) -> bool| name.as_bytes().iter().any(class);
    let is_hex = || name.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    let is_plain = name.len() >= 24 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_mixed = || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    is_plain && has(u8::is_ascii_digit) && if is_hex() { name.len() >= 32 } else { is_mixed() }
}

/// The session in a Cookie header, by the name of the cookie. Other cookies are no credential.
pub(crate) fn session_cookie(header: &str) -> Option<&str> {
    header.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let class = key_class(name.trim().as_bytes())?;
        let is_session = matches!(class, Class::SESSION | Class::TOKEN | Class::AUTHORIZATION | Class::API_KEY);
        let is_guard = name.to_ascii_lowercase().contains("srf");
        (is_session && !is_guard && !value.trim().is_empty()).then(|| value.trim())
    })
}

/// A credential in the query string: `access_token=`, `api_key=`, `sid=`.
pub(crate) fn in_query(query: &str) -> Option<(Origin, &str)> {
    query.split(['&', ';']).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let origin = match key_class(name.as_bytes())? {
            Class::API_KEY => Origin::ApiKey,
            Class::SESSION => Origin::Session,
            Class::AUTHORIZATION => Origin::Authorization,
            Class::TOKEN if is_access_token(name) => Origin::Bearer,
            _ => return None,
        };
        (!value.is_empty()).then_some((origin, value))
    })
}

fn is_access_token(name: &str) -> bool {
    let name: String =
        name.bytes().filter(u8::is_ascii_alphanumeric).map(|b| char::from(b.to_ascii_lowercase())).collect();
    matches!(
        name.as_str(),
        "token" | "accesstoken" | "authtoken" | "oauthtoken" | "jwt" | "idtoken" | "bearer" | "bearertoken"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::token::Keys;

    fn get(origin: Origin, raw: &str) -> Credential {
        Credential::read(origin, raw, &Keys::new("k1", b"fake").token, &mut Scrubber::default())
    }

    fn base64_of(text: &str) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |group: &[u8]| -> String {
            let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
            (0..=group.len()).map(|i| char::from(ALPHABET[(bits >> (18 - 6 * i)) as usize & 63])).collect()
        };
        text.as_bytes().chunks(3).map(group).collect()
    }

    #[test]
    fn names_and_keys() {
        for name in [
            "alice",
            "550e8400-e29b-41d4-a716-446655440000",
            "507f1f77bcf86cd799439011",
            "a_service_account_of_a_tenant",
        ] {
            assert!(!looks_like_key(name), "{name}");
        }
        for key in ["9f8e7d6c5b4a39281706f5e4d3c2b1a0", "FAKEfake0123456789FAKEfake"] {
            assert!(looks_like_key(key), "{key}");
        }
    }

    #[test]
    fn equal_secrets_give_equal_tokens_however_they_come() {
        let header = get(Origin::Authorization, "Bearer fake-opaque-token").token;
        assert!(header.is_some());
        for same in ["bearer  fake-opaque-token", "TOKEN fake-opaque-token", "fake-opaque-token"] {
            assert_eq!(get(Origin::Authorization, same).token, header, "{same}");
        }
        assert_eq!(get(Origin::Bearer, "fake-opaque-token").token, header);
        assert_ne!(get(Origin::Authorization, "Bearer other-opaque-token").token, header);
    }

    #[test]
    fn kinds_and_owners() {
        let basic = get(Origin::Authorization, "Basic YWxpY2U6ZmFrZQ==");
        assert_eq!((basic.kind, basic.principal.as_deref()), (Some("basic"), Some("alice")));
        for key in ["9f8e7d6c5b4a39281706f5e4d3c2b1a0:", "fake:x", "FAKEfake0123456789FAKEfake:y"] {
            let encoded = base64_of(key);
            assert_eq!(get(Origin::Authorization, &format!("Basic {encoded}")).principal, None, "{key}");
        }
        let aws = |signature| {
            get(
                Origin::Authorization,
                &format!("AWS4-HMAC-SHA256 Credential=AKIAFAKEFAKEFAKEFAKE/2024/x, Signature={signature}"),
            )
        };
        assert_eq!(aws("00").token, aws("11").token);
        assert_eq!(aws("00").kind, Some("api_key"));
        for hidden in ["REDACTED", "Bearer REDACTED", "***", "Basic [REDACTED]", ""] {
            assert_eq!(get(Origin::Authorization, hidden).token, None, "{hidden}");
        }
        let token = jwt::tests::encode(
            r#"{"alg":"ES256"}"#,
            r#"{"sub":"user-7","iss":"https://i.example","scope":"a password=fake"}"#,
        );
        let jwt = get(Origin::Authorization, &format!("Bearer {token}"));
        assert_eq!((jwt.kind, jwt.algorithm, jwt.principal.as_deref()), (Some("jwt"), Some("ES256"), Some("user-7")));
        assert_eq!(jwt.scopes.as_deref(), Some("a password=[REDACTED:password]"));
        assert_eq!(get(Origin::Session, &token).token, jwt.token);
    }

    #[test]
    fn sessions_in_cookies_and_credentials_in_queries() {
        assert_eq!(session_cookie("_ga=GA1.2; JSESSIONID=fake1; theme=dark"), Some("fake1"));
        assert_eq!(session_cookie("connect.sid=s%3Afake"), Some("s%3Afake"));
        assert_eq!(session_cookie("csrftoken=fake; theme=dark"), None);
        assert_eq!(in_query("page=1&access_token=fake2"), Some((Origin::Bearer, "fake2")));
        assert_eq!(in_query("api_key=fake3"), Some((Origin::ApiKey, "fake3")));
        assert_eq!(in_query("csrf_token=fake&code=fake&next_token=fake"), None);
    }
}
