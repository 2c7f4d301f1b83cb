//! JWTs: the few claims that detect misuse. Signatures are not checked: the gateway did or did not, and what it let
//! through is exactly what we want to know.
//!
//! Promises: texts are returned as they are in the token, so the caller must scrub them; a claim of a strange type is
//! left out, the others stay.
//! Never: returns the token or a part of it.

use serde_json::{Map, Value};

use super::decode::base64_whole;
use crate::limits::JWT_PART_BYTES_MAX;

/// Claims of one token, unscrubbed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Claims {
    pub(crate) algorithm: Option<&'static str>,
    pub(crate) issuer: Option<String>,
    pub(crate) expires_us: Option<i64>,
    pub(crate) scopes: Option<String>,
    pub(crate) subject: Option<String>,
    /// The subject is a program, not a person.
    pub(crate) is_service: bool,
    pub(crate) tenant: Option<String>,
}

/// Algorithms by the names of RFC 7518, 8037 and 8812; anything else is `other`, since an attacker may write anything.
static ALGORITHMS: &[&str] = &[
    "none",
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "ES256",
    "ES384",
    "ES512",
    "PS256",
    "PS384",
    "PS512",
    "EdDSA",
    "ES256K",
    "dir",
    "RSA-OAEP",
    "RSA-OAEP-256",
    "A128KW",
    "A256KW",
    "ECDH-ES",
    "A128GCMKW",
    "A256GCMKW",
];

/// The claims, when `token` has the form of a JWT: dotted parts, the first of them a JSON object in base64url.
pub(crate) fn read(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let header = object(parts.next()?)?;
    let body = parts.next()?;
    let mut claims = Claims { algorithm: header.get("alg").map(algorithm), ..Claims::default() };
    // The body of a JWE is encrypted: the header is all there is to know.
    if let Some(body) = object(body) {
        read_body(&body, &mut claims);
    }
    Some(claims)
}

fn object(part: &str) -> Option<Map<String, Value>> {
    if part.len() < 4 || part.len() > JWT_PART_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    base64_whole(part.as_bytes(), &mut bytes)?;
    serde_json::from_slice(&bytes).ok()
}

fn algorithm(value: &Value) -> &'static str {
    let name = value.as_str().unwrap_or("other");
    let known =
        ALGORITHMS.iter().find(|known| **known == name || (**known == "none" && name.eq_ignore_ascii_case("none")));
    known.unwrap_or(&"other")
}

fn read_body(body: &Map<String, Value>, claims: &mut Claims) {
    let text = |names: &[&str]| {
        names.iter().filter_map(|name| body.get(*name)).find_map(|value| match value {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        })
    };
    claims.issuer = text(&["iss"]);
    claims.expires_us = body.get("exp").and_then(seconds);
    claims.scopes = ["scope", "scp", "scopes"].iter().find_map(|name| body.get(*name).and_then(scopes));
    claims.tenant = text(&["tenant", "tenant_id", "tid", "org_id", "org", "organization_id"]);
    let (subject, client) = (text(&["sub"]), text(&["client_id", "azp", "appid", "cid"]));
    let is_client = body.get("gty").and_then(Value::as_str) == Some("client-credentials");
    claims.is_service = is_client || subject.is_none() || subject == client;
    claims.subject = subject.or(client);
}

/// `exp` is seconds since 1970; out of the years 1970 to 9999 it says nothing.
fn seconds(value: &Value) -> Option<i64> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    (0.0..253_402_300_800.0).contains(&seconds).then_some((seconds * 1e6) as i64)
}

fn scopes(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An unsigned token with a fake signature; for tests.
    pub(crate) fn encode(header: &str, body: &str) -> String {
        format!("{}.{}.ZmFrZS1zaWduYXR1cmU", base64url(header.as_bytes()), base64url(body.as_bytes()))
    }

    pub(crate) fn base64url(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(*group.get(i).unwrap_or(&0)));
            let sextet = |i: usize| char::from(ALPHABET[(bits >> (18 - 6 * i)) as usize & 63]);
            text.extend((0..=group.len()).map(sextet));
        }
        text
    }

    #[test]
    fn claims_are_read() {
        let token = encode(
            r#"{"alg":"RS256","typ":"JWT"}"#,
            r#"{"iss":"https://issuer.example/","sub":"user-7","exp":1700000000,"scope":"read write","tid":"acme"}"#,
        );
        let claims = read(&token).expect("a JWT");
        assert_eq!(claims.algorithm, Some("RS256"));
        assert_eq!(claims.issuer.as_deref(), Some("https://issuer.example/"));
        assert_eq!(claims.expires_us, Some(1_700_000_000_000_000));
        assert_eq!(claims.scopes.as_deref(), Some("read write"));
        assert_eq!((claims.subject.as_deref(), claims.is_service), (Some("user-7"), false));
        assert_eq!(claims.tenant.as_deref(), Some("acme"));
    }

    #[test]
    fn strange_claims_are_left_out_and_the_rest_stays() {
        let token = encode(
            r#"{"alg":"NONE"}"#,
            r#"{"iss":7,"exp":1e300,"scp":["a","b",3],"azp":"batch-job","gty":"client-credentials","org_id":null}"#,
        );
        let claims = read(&token).expect("a JWT");
        assert_eq!(claims.algorithm, Some("none"));
        assert_eq!(claims.issuer.as_deref(), Some("7"));
        assert_eq!((claims.expires_us, claims.tenant.as_deref()), (None, None));
        assert_eq!(claims.scopes.as_deref(), Some("a b"));
        assert_eq!((claims.subject.as_deref(), claims.is_service), (Some("batch-job"), true));
    }

    #[test]
    fn other_texts_are_no_jwt() {
        for text in ["", "a.b.c", "opaque-token", "eyJ.eyJ", "....", "bm90IGpzb24.bm90IGpzb24.x"] {
            assert_eq!(read(text), None, "{text}");
        }
        let unknown = encode(r#"{"alg":"<script>"}"#, "{}");
        assert_eq!(read(&unknown).and_then(|c| c.algorithm), Some("other"));
    }
}
