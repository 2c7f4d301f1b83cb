//! Who calls: an address, a user agent, an account and the credential it shows. The credentials have the shape of real
//! ones so that redaction has work to do, and say in clear that they are fake.
//!
//! Never: a credential that any system would accept.

use super::chance::Chance;

/// The secret a caller sends.
#[derive(Clone)]
pub(super) enum Credential {
    None,
    /// The value after `Bearer `.
    Bearer(String),
    /// The value of `x-api-key`.
    ApiKey(String),
    /// The value after `Basic `.
    Basic(String),
}

/// How long a token is good for.
pub(super) const TOKEN_MS: i64 = 3_600_000;

#[derive(Clone)]
pub(super) struct Client {
    pub(super) address: String,
    pub(super) user_agent: &'static str,
    /// Log-in or service name, when the gateway knows it.
    pub(super) principal: Option<String>,
    pub(super) tenant: Option<String>,
    pub(super) credential: Credential,
    pub(super) cookie: Option<String>,
}

impl Client {
    /// Somebody without an account.
    pub(super) fn stranger(address: &str, user_agent: &'static str) -> Client {
        let (principal, tenant, cookie) = (None, None, None);
        Client { address: address.into(), user_agent, principal, tenant, credential: Credential::None, cookie }
    }

    /// A person with a token that is good for an hour from `now_ms` on.
    pub(super) fn person(
        address: String,
        user_agent: &'static str,
        name: String,
        tenant: &str,
        now_ms: i64,
        chance: &mut Chance,
    ) -> Client {
        let token = fake_jwt(&name, tenant, now_ms / 1000 + TOKEN_MS / 1000, chance.bits());
        let cookie = chance.in_ten_thousand(4_000).then(|| format!("sid=fake{:016x}; theme=dark", chance.bits()));
        let (principal, tenant) = (Some(name), Some(tenant.to_owned()));
        Client { address, user_agent, principal, tenant, credential: Credential::Bearer(token), cookie }
    }

    /// A program with an API key.
    pub(super) fn service(
        address: &str,
        user_agent: &'static str,
        name: &str,
        tenant: &str,
        chance: &mut Chance,
    ) -> Client {
        let key = format!("acme_FAKE_{:016x}{:016x}", chance.bits(), chance.bits());
        let (principal, tenant) = (Some(name.to_owned()), Some(tenant.to_owned()));
        let credential = Credential::ApiKey(key);
        Client { address: address.into(), user_agent, principal, tenant, credential, cookie: None }
    }
}

/// A token of three base64url parts; the signature spells that it is none.
fn fake_jwt(subject: &str, tenant: &str, expires: i64, bits: u64) -> String {
    let mut token = String::with_capacity(320);
    token.push_str("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.");
    let claims = format!(
        r#"{{"iss":"https://id.example.com","sub":"{subject}","tenant":"{tenant}","exp":{expires},"scope":"orders:read orders:write"}}"#
    );
    base64url(claims.as_bytes(), &mut token);
    token.push('.');
    base64url(format!("fake-signature-{:08x}", bits as u32).as_bytes(), &mut token);
    token
}

/// Appends base64url without padding.
pub(super) fn base64url(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0u32, |sum, (i, &byte)| sum | u32::from(byte) << (16 - 8 * i));
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(group >> (18 - 6 * i)) as usize & 63]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_matches_known_values() {
        for (plain, encoded) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob?>", "Zm9vYj8-")] {
            let mut out = String::new();
            base64url(plain.as_bytes(), &mut out);
            assert_eq!(out, encoded);
        }
    }

    #[test]
    fn the_token_has_three_parts_and_a_header_that_decodes() {
        let token = fake_jwt("ana.silva", "northwind", 1_767_574_800, 1);
        let mut header = String::new();
        base64url(br#"{"alg":"RS256","typ":"JWT"}"#, &mut header);
        assert_eq!(token.split('.').next(), Some(header.as_str()));
        assert_eq!(token.split('.').count(), 3);
    }
}
