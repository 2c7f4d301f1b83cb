//! Keyed tokens: what stands for a credential or an identifier in an event. HMAC-SHA-256, printed `k1:` and 32 hex
//! digits; the key id stays with the token, so that keys can rotate with overlap.
//!
//! Promises: equal secrets of one domain give equal tokens under one key; without the key a token says nothing.
//! Never: shows a key. `Keys` has neither Debug nor Display nor Serialize.

use std::sync::Arc;

use aws_lc_rs::hmac;

use super::seal::SealKey;

/// The keys of a deployment: one for tokens, and one for sealing rejects when that is configured.
#[derive(Clone)]
pub struct Keys {
    pub(crate) token: TokenKey,
    pub(crate) seal: Option<Arc<SealKey>>,
}

impl Keys {
    /// Keys that tokenise with `secret`; `id` is printed before each token.
    pub fn new(id: &str, secret: &[u8]) -> Keys {
        Keys { token: TokenKey { id: id.into(), key: hmac::Key::new(hmac::HMAC_SHA256, secret) }, seal: None }
    }

    /// A key for hash tables whose entries outsiders choose: the same as long as the token key is.
    pub fn hash_key(&self) -> (u64, u64) {
        let tag = hmac::sign(&self.token.key, b"hash key\0");
        let word = |at: usize| tag.as_ref()[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        (word(0), word(8))
    }

    /// The same keys, and one that seals the bytes of rejects.
    pub fn with_seal(self, id: &str, key: &[u8; 32]) -> Keys {
        Keys { seal: Some(Arc::new(SealKey::new(id, key))), ..self }
    }
}

#[derive(Clone)]
pub(crate) struct TokenKey {
    id: Arc<str>,
    key: hmac::Key,
}

/// What a token is of. The same bytes as a credential and as an object are two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    Credential,
    Object,
    Principal,
    /// A password inside a text.
    Password,
}

impl TokenKey {
    /// Writes the token of `secret` over `out`.
    pub(crate) fn write(&self, domain: Domain, secret: &[u8], out: &mut String) {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(match domain {
            Domain::Credential => b"credential\0",
            Domain::Object => b"object\0",
            Domain::Principal => b"principal\0",
            Domain::Password => b"password\0",
        });
        context.update(secret);
        let tag = context.sign();
        out.clear();
        out.push_str(&self.id);
        out.push(':');
        for byte in &tag.as_ref()[..16] {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }

    pub(crate) fn token(&self, domain: Domain, secret: &[u8]) -> String {
        let mut out = String::with_capacity(self.id.len() + 33);
        self.write(domain, secret, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_keyed_stable_and_carry_their_key_id() {
        let one = Keys::new("k1", b"not a real key").token;
        let two = Keys::new("k2", b"another fake key").token;
        let token = one.token(Domain::Credential, b"fake-api-key");
        assert_eq!(token.len(), 35);
        assert!(token.starts_with("k1:") && token[3..].bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(token, one.token(Domain::Credential, b"fake-api-key"));
        assert_ne!(token, one.token(Domain::Object, b"fake-api-key"));
        assert_ne!(token, one.token(Domain::Credential, b"fake-api-kez"));
        assert_ne!(token[3..], two.token(Domain::Credential, b"fake-api-key")[3..]);
    }

    #[test]
    fn a_token_is_the_hmac_that_rfc_2104_defines() {
        // python3 -c "import hmac,hashlib; print(hmac.new(b'key', b'object\0' + b'42', hashlib.sha256).hexdigest()[:32])"
        let token = Keys::new("k1", b"key").token.token(Domain::Object, b"42");
        assert_eq!(token, "k1:10972c845089a60613fad78ac7cb44ba");
    }
}
