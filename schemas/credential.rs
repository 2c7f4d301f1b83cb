//! Who vouches for a request: the credential it carried, as a keyed token, with what a JWT or a Basic header says of its
//! owner.
//!
//! Promises: equal secrets give equal tokens, whether they came in a header, a cookie or the query. A credential seen
//! before costs one lookup. A gateway's own placeholder (`REDACTED`) counts as a credential that nobody can tell apart.
//! Never: keeps a raw secret anywhere but as the key of a bounded map in memory.

use std::borrow::Cow;

use crate::limits::{CREDENTIAL_CACHED_BYTES_MAX, CREDENTIALS_MAX};
use crate::memory::Memory;
use crate::redact::token::{Domain, TokenKey};
use crate::redact::{
    Class, Column, Found, Scrubber, base64_whole, canonical, is_placeholder, is_random_anywhere, jwt, value_class,
};

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
    known: Memory<Credential, ORIGINS>,
    long: Credential,
}

impl Credentials {
    pub(crate) fn new() -> Credentials {
        Credentials { known: Memory::new(CREDENTIALS_MAX), long: Credential::default() }
    }

    /// What is known of the credential `raw`.
    pub(crate) fn get(&mut self, origin: Origin, raw: &str, key: &TokenKey, scrubber: &mut Scrubber) -> &Credential {
        if raw.len() > CREDENTIAL_CACHED_BYTES_MAX {
            self.long = Credential::read(origin, raw, key, scrubber);
            return &self.long;
        }
        self.known.get(origin as usize, raw, || Credential::read(origin, raw, key, scrubber))
    }
}

impl Credential {
    pub(crate) fn read(origin: Origin, raw: &str, key: &TokenKey, scrubber: &mut Scrubber) -> Credential {
        let plain = unquoted(raw);
        let (named, secret) = scheme(&plain);
        let kind = match origin {
            Origin::Authorization => named.unwrap_or(Some("bearer")),
            Origin::ApiKey => Some("api_key"),
            Origin::Session => Some("session"),
            Origin::Certificate => Some("certificate"),
            Origin::Bearer => Some("bearer"),
        };
        if secret.is_empty() || is_placeholder(secret.as_bytes()) || secret.contains("REDACTED") {
            return Credential { kind, ..Credential::default() };
        }
        let pair = if named == Some(Some("basic")) { basic_pair(secret) } else { None };
        // The pair, not its base64: padding and alphabet may differ. Else the secret without quotes and escapes.
        let token = match &pair {
            Some(pair) => key.token(Domain::Credential, pair.as_bytes()),
            None => key.token(Domain::Credential, canonical(secret).as_bytes()),
        };
        let mut credential = Credential { token: Some(token), kind, ..Credential::default() };
        if kind == Some("basic") {
            credential.principal = pair.as_deref().and_then(basic_user);
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
        let mut clean = |text: Option<String>| {
            text.map(|text| scrubber.of(Column::Other).scrub(&text, &mut String::new(), &mut found).to_string())
        };
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

/// A credential as it was sent: without quotes around it, and, where it has no blank but escapes, these undone, since
/// a scheme may stand in it (`Bearer%20x`, `Bearer+x`).
fn unquoted(raw: &str) -> Cow<'_, str> {
    let raw = raw.trim().trim_matches('"').trim();
    if raw.contains([' ', '\t']) || !raw.contains(['%', '+']) {
        return Cow::Borrowed(raw);
    }
    let plain = canonical(raw);
    if plain.split_once(' ').is_some_and(|(word, _)| kind_of(word).is_some()) {
        Cow::Owned(plain)
    } else {
        Cow::Borrowed(raw)
    }
}

/// What kind of credential a scheme announces; the outer is none for what is no scheme.
fn kind_of(scheme: &str) -> Option<Option<&'static str>> {
    const BEARER: [&str; 9] = ["bearer", "token", "dpop", "jwt", "oauth", "gnap", "privatetoken", "negotiate", "ntlm"];
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    if BEARER.iter().any(|name| is(name)) {
        Some(Some("bearer"))
    } else if is("basic") {
        Some(Some("basic"))
    } else if is("digest") || is("hawk") || is("mac") || is("hoba") {
        Some(None)
    } else if (scheme.to_ascii_lowercase().contains("key") && scheme.len() <= 16)
        || scheme.starts_with("AWS4-")
        || is("ssws")
    {
        Some(Some("api_key"))
    } else {
        None
    }
}

/// The kind that the scheme in front of a credential names, when there is one, and the secret in it that stays the same
/// from request to request.
fn scheme(raw: &str) -> (Option<Option<&'static str>>, &str) {
    let Some((scheme, rest)) = raw.split_once([' ', '\t']) else { return (None, raw) };
    let Some(kind) = kind_of(scheme) else { return (None, raw) };
    let rest = rest.trim();
    let secret = if scheme.starts_with("AWS4-") {
        // The signature differs each time; the access key is what was used.
        between(rest, "Credential=", '/').unwrap_or(rest)
    } else if kind.is_none() {
        ["username=\"", "id=\""].iter().find_map(|before| between(rest, before, '"')).unwrap_or(rest)
    } else {
        parameter(rest).unwrap_or(rest)
    };
    (Some(kind), secret)
}

/// The token in `token="x"`, `oauth_token="x", ...`.
fn parameter(rest: &str) -> Option<&str> {
    let (name, _) = rest.split_once('=')?;
    if !name.trim_end_matches(' ').bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') {
        return None;
    }
    let found = rest.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let is_token = matches!(
            name.trim().to_ascii_lowercase().as_str(),
            "token" | "oauth_token" | "access_token" | "key" | "api_key" | "apikey"
        );
        (is_token && !value.trim_matches('=').is_empty()).then(|| value.trim().trim_matches('"'))
    });
    found.filter(|value| !value.is_empty())
}

fn between<'a>(text: &'a str, before: &str, after: char) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split(after).next().filter(|part| !part.is_empty())
}

/// The `user:password` of a Basic credential.
fn basic_pair(secret: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let plain = if secret.contains('%') {
        Cow::Owned(secret.replace("%3D", "=").replace("%3d", "=").replace("%2B", "+").replace("%2F", "/"))
    } else {
        Cow::Borrowed(secret)
    };
    base64_whole(plain.as_bytes(), &mut bytes)?;
    String::from_utf8(bytes).ok().filter(|pair| pair.contains(':'))
}

/// What some services want as the password when the user is a key; and as the user when the password is one.
static NO_PASSWORD: [&str; 14] = [
    "",
    "x",
    "X",
    "none",
    "null",
    "unused",
    "token",
    "api_token",
    "api_key",
    "apikey",
    "x-oauth-basic",
    "x-token-auth",
    "oauth2",
    "pass",
];

fn basic_user(pair: &str) -> Option<String> {
    let (user, password) = pair.split_once(':')?;
    // Many services take an API key as the user, with no password or a word in its place.
    let is_key = NO_PASSWORD.contains(&password) || looks_like_key(user);
    (!user.is_empty() && !is_key).then(|| user.to_string())
}

/// Is this name rather a machine's key: long, without separators, hexadecimal or of capitals, letters and digits? UUIDs
/// and the identifiers of common databases (24 hexadecimal digits) are names.
pub(crate) fn looks_like_key(name: &str) -> bool {
    let has = |class: fn(&u8) -> bool| name.as_bytes().iter().any(class);
    let is_hex = || name.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    let is_plain = name.len() >= 24 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_mixed = || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let is_id = || name.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let is_drawn = || name.len() >= 20 && !is_id() && is_random_anywhere(name.as_bytes());
    (is_plain && has(u8::is_ascii_digit) && if is_hex() { name.len() >= 32 } else { is_mixed() }) || is_drawn()
}

/// The session in a Cookie header, by the name of the cookie. Other cookies are no credential.
pub(crate) fn session_cookie(header: &str) -> Option<&str> {
    header.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let class = value_class(name.trim().as_bytes(), value.trim().as_bytes())?;
        let is_session = matches!(class, Class::SESSION | Class::TOKEN | Class::AUTHORIZATION | Class::API_KEY);
        let is_guard = name.to_ascii_lowercase().contains("srf");
        (is_session && !is_guard && !value.trim().is_empty()).then(|| value.trim())
    })
}

/// A credential in the query string: `access_token=`, `api_key=`, `sid=`.
pub(crate) fn in_query(query: &str) -> Option<(Origin, &str)> {
    query.split(['&', ';']).find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let plain_name = if name.contains('%') { Cow::Owned(canonical(name)) } else { Cow::Borrowed(name) };
        let origin = match value_class(plain_name.as_bytes(), value.as_bytes())? {
            Class::API_KEY => Origin::ApiKey,
            Class::SESSION => Origin::Session,
            Class::AUTHORIZATION => Origin::Authorization,
            Class::TOKEN if is_access_token(&plain_name) => Origin::Bearer,
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
        for (origin, same) in [
            (Origin::Bearer, "fake-opaque-token"),
            (Origin::Bearer, "fake%2Dopaque-token"),
            (Origin::ApiKey, "fake-opaque-token"),
            (Origin::Session, "\"fake-opaque-token\""),
            (Origin::Session, "fake%2dopaque%2dtoken"),
            (Origin::Authorization, "Token token=\"fake-opaque-token\""),
            (Origin::Authorization, "Bearer%20fake-opaque-token"),
            (Origin::Authorization, "bearer+fake-opaque-token"),
            (Origin::Authorization, "OAuth oauth_token=\"fake-opaque-token\", oauth_nonce=\"7\""),
            (Origin::ApiKey, "ApiKey fake-opaque-token"),
        ] {
            assert_eq!(get(origin, same).token, header, "{same}");
        }
        let one = get(Origin::Bearer, "ab%2Bcd%2Fef%3D%3D").token;
        assert_eq!(get(Origin::Authorization, "Bearer ab+cd/ef==").token, one);
        assert_eq!(get(Origin::Bearer, "ab+cd/ef==").token, one);
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
        for same in ["Basic YWxpY2U6ZmFrZQ", "basic  YWxpY2U6ZmFrZQ==", "Basic%20YWxpY2U6ZmFrZQ%3D%3D"] {
            assert_eq!(get(Origin::Authorization, same).token, basic.token, "{same}");
        }
        for key in ["user:none", "fakekey1:x-oauth-basic", ":", "vq33azc5lzpd7wq3w5bqyhp:z"] {
            assert_eq!(get(Origin::Authorization, &format!("Basic {}", base64_of(key))).principal, None, "{key}");
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
