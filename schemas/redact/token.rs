//! Keyed tokens: what stands for a credential or an identifier in an event. HMAC-SHA-256, printed `k1:` and 32 hex
//! digits; the key id stays with the token, so that keys can rotate with overlap.
//!
//! Which key makes the tokens of an event depends on the event's own time, so a replay makes them again. For a while
//! after a key came into force (`overlap_us`) events also name their tokens under the key before; see `rotation.rs`.
//!
//! Promises: equal secrets of one domain give equal tokens under one key; without the key a token says nothing.
//! Never: shows a key. `Keys` has neither Debug nor Display nor Serialize.

use std::sync::Arc;

use aws_lc_rs::hmac;

use super::seal::Seals;

/// The keys of a deployment: those for tokens, one after the other, and those for sealing rejects, when there are any.
#[derive(Clone)]
pub struct Keys {
    /// The newest.
    pub(crate) token: TokenKey,
    /// The ones before it, oldest first, each with the event time at which the next one came into force.
    older: Vec<(TokenKey, i64)>,
    overlap_us: i64,
    pub(crate) seal: Option<Arc<Seals>>,
}

/// What a lake remembers of a key: that one of this name wrote it, and a number by which another key of the same name
/// is noticed. The number is a keyed hash of a constant: it says nothing about the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPin {
    /// `token` or `seal`.
    pub kind: &'static str,
    pub id: String,
    pub fingerprint: i64,
}

impl Keys {
    /// Keys that tokenise with `secret`; `id` is printed before each token.
    pub fn new(id: &str, secret: &[u8]) -> Keys {
        Keys { token: TokenKey::new(id, secret), older: Vec::new(), overlap_us: 0, seal: None }
    }

    /// The same keys, and one that takes their place for events from `from_us` on; later than any before it.
    pub fn then(mut self, from_us: i64, id: &str, secret: &[u8]) -> Keys {
        let before = std::mem::replace(&mut self.token, TokenKey::new(id, secret));
        self.older.push((before, from_us));
        self
    }

    /// For so long after a key came into force, events also name their tokens under the one before.
    pub fn with_overlap(self, overlap_us: i64) -> Keys {
        Keys { overlap_us, ..self }
    }

    /// The same keys, and one for the bytes of rejects: the first one given seals, the others only open.
    pub fn with_seal(self, id: &str, key: &[u8; 32]) -> Keys {
        let mut seals = self.seal.as_deref().cloned().unwrap_or_default();
        seals.add(id, key);
        Keys { seal: Some(Arc::new(seals)), ..self }
    }

    /// A key for hash tables whose entries outsiders choose: the same as long as the token key is.
    pub fn hash_key(&self) -> (u64, u64) {
        let tag = hmac::sign(&self.token.key, b"hash key\0");
        let word = |at: usize| tag.as_ref()[at..at + 8].iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        (word(0), word(8))
    }

    /// What a lake has to remember of each key, the newest token key first.
    pub fn pins(&self) -> Vec<KeyPin> {
        let token = |key: &TokenKey| KeyPin {
            kind: "token",
            id: key.id.to_string(),
            fingerprint: fingerprint(&hmac::sign(&key.key, b"fingerprint\0")),
        };
        let seals = self.seal.iter().flat_map(|seals| seals.pins());
        self.newest_first().map(token).chain(seals).collect()
    }

    /// The token keys, newest first.
    pub(crate) fn newest_first(&self) -> impl Iterator<Item = &TokenKey> {
        std::iter::once(&self.token).chain(self.older.iter().rev().map(|(key, _)| key))
    }

    /// How many token keys there are.
    pub(crate) fn count(&self) -> usize {
        self.older.len() + 1
    }

    /// Which key is in force at an event time, counted from the oldest, and whether the one before it still overlaps.
    pub(crate) fn in_force(&self, time_us: i64) -> (usize, bool) {
        let at = self.older.partition_point(|(_, until)| *until <= time_us);
        let overlaps = at > 0 && time_us < self.older[at - 1].1.saturating_add(self.overlap_us);
        (at, overlaps)
    }

    /// The keys as if only this one, counted from the oldest, was there for tokens.
    pub(crate) fn only(&self, at: usize) -> Keys {
        let token = self.older.get(at).map_or(&self.token, |(key, _)| key).clone();
        Keys { token, older: Vec::new(), overlap_us: 0, seal: self.seal.clone() }
    }
}

/// The first 63 bits of a keyed hash: what fits into the version of an application transaction of a table.
pub(super) fn fingerprint(tag: &hmac::Tag) -> i64 {
    let number = tag.as_ref()[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    (number >> 1) as i64
}

#[derive(Clone)]
pub(crate) struct TokenKey {
    id: Arc<str>,
    key: hmac::Key,
}

/// What a token is of. The same bytes as a credential and as an object are two tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    Credential,
    Object,
    Principal,
    /// A password inside a text.
    Password,
}

impl TokenKey {
    fn new(id: &str, secret: &[u8]) -> TokenKey {
        TokenKey { id: id.into(), key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

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

    #[test]
    fn the_key_of_an_event_is_the_newest_that_was_in_force_at_its_time() {
        let keys = Keys::new("k1", b"one").then(100, "k2", b"two").then(200, "k3", b"three").with_overlap(30);
        let expected = [
            (i64::MIN, (0, false)),
            (99, (0, false)),
            (100, (1, true)),
            (129, (1, true)),
            (130, (1, false)),
            (199, (1, false)),
            (200, (2, true)),
            (i64::MAX, (2, false)),
        ];
        for (time, force) in expected {
            assert_eq!(keys.in_force(time), force, "at {time}");
        }
        let id = |at| keys.only(at).token.id.to_string();
        assert_eq!([id(0), id(1), id(2)], ["k1", "k2", "k3"]);
        let newest_first: Vec<String> = keys.newest_first().map(|key| key.id.to_string()).collect();
        assert_eq!(newest_first, ["k3", "k2", "k1"]);
    }

    #[test]
    fn pins_tell_keys_apart_and_are_the_same_in_every_run() {
        let pins = |secret: &[u8]| Keys::new("k1", secret).with_seal("s1", &[7; 32]).pins();
        let one = pins(b"one");
        assert_eq!(one, pins(b"one"));
        assert_eq!((one[0].kind, one[0].id.as_str()), ("token", "k1"));
        assert_eq!((one[1].kind, one[1].id.as_str()), ("seal", "s1"));
        assert_ne!(one[0].fingerprint, pins(b"two")[0].fingerprint);
        assert_eq!(one[1], pins(b"two")[1]);
        assert!(one.iter().all(|pin| pin.fingerprint >= 0));
    }
}
