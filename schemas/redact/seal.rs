//! Sealing: the bytes of a reject, readable only to the role that holds the key. AES-256-GCM with a random 96-bit nonce.
//!
//! Promises: a sealed value is `length of key id (1 byte) || key id || nonce (12) || ciphertext || tag (16)`, and key id
//! and length are authenticated. Nonces are drawn anew for each value from the operating system's generator.
//! Never: opens anything by itself; `unseal` is for the person who replays rejects after a mapping was mended.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;

use super::token::{KeyPin, Keys, fingerprint};

/// The keys of sealed values: the first one seals, all of them open what they sealed once.
#[derive(Clone, Default)]
pub(crate) struct Seals {
    keys: Vec<Arc<SealKey>>,
}

pub(crate) struct SealKey {
    id: Box<str>,
    key: LessSafeKey,
    fingerprint: i64,
}

/// Why a sealed value could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("there is no sealing key to open it with")]
    NoKey,
    #[error("it was sealed under a key of another id")]
    OtherKey,
    #[error("it is cut or changed, or the key is not the right one")]
    Broken,
}

impl Seals {
    pub(super) fn add(&mut self, id: &str, key: &[u8; 32]) {
        self.keys.push(Arc::new(SealKey::new(id, key)));
    }

    /// `None` when there is no key, or sealing failed; the reject is then kept without its bytes.
    pub(crate) fn seal(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.keys.first()?.seal(bytes)
    }

    pub(super) fn pins(&self) -> impl Iterator<Item = KeyPin> {
        let pin = |key: &Arc<SealKey>| KeyPin { kind: "seal", id: key.id.to_string(), fingerprint: key.fingerprint };
        self.keys.iter().map(pin)
    }

    /// Keys of one id may be several: a person may have named two alike.
    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut error = SealError::OtherKey;
        for key in &self.keys {
            match key.open(sealed) {
                Ok(bytes) => return Ok(bytes),
                Err(SealError::Broken) => error = SealError::Broken,
                Err(_) => {}
            }
        }
        Err(error)
    }
}

impl SealKey {
    pub(crate) fn new(id: &str, key: &[u8; 32]) -> SealKey {
        let id: String = id.chars().take(63).collect();
        let fingerprint = fingerprint(&hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"fingerprint\0"));
        let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 keys have 32 bytes");
        SealKey { id: id.into(), key: LessSafeKey::new(key), fingerprint }
    }

    fn header(&self) -> Vec<u8> {
        let mut header = vec![self.id.len() as u8];
        header.extend_from_slice(self.id.as_bytes());
        header
    }

    /// `None` when the system has no randomness or the cipher refuses; the reject is then kept without its bytes.
    pub(crate) fn seal(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let header = self.header();
        let mut nonce = [0u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut body = bytes.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, Aad::from(&header), &mut body).ok()?;
        Some([&header[..], &nonce, &body].concat())
    }

    fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let header = self.header();
        let rest = sealed.strip_prefix(&header[..]).ok_or(SealError::OtherKey)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Broken)?;
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, Aad::from(&header), &mut body).map_err(|_| SealError::Broken)?;
        Ok(plain.to_vec())
    }
}

/// The id of the key that sealed a value; `None` for what is no sealed value.
pub fn seal_id(sealed: &[u8]) -> Option<&str> {
    let (length, rest) = sealed.split_first()?;
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

/// The bytes of the reject that `sealed` holds.
pub fn unseal(keys: &Keys, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    keys.seal.as_ref().ok_or(SealError::NoKey)?.open(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, byte: u8) -> Keys {
        Keys::new("k1", b"fake").with_seal(id, &[byte; 32])
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_key_only() {
        let keys_one = keys("s1", 7);
        let seal = keys_one.seal.as_ref().expect("a sealing key is set");
        let sealed = seal.seal(b"raw bytes \xff").expect("randomness is there");
        assert_eq!(&sealed[..3], b"\x02s1");
        assert_eq!(sealed.len(), 3 + 12 + 11 + 16);
        assert_eq!(unseal(&keys_one, &sealed), Ok(b"raw bytes \xff".to_vec()));
        assert_eq!(unseal(&keys("s1", 8), &sealed), Err(SealError::Broken));
        assert_eq!(unseal(&keys("s2", 7), &sealed), Err(SealError::OtherKey));
        assert_eq!(unseal(&Keys::new("k1", b"fake"), &sealed), Err(SealError::NoKey));
        for i in 3..sealed.len() {
            let mut changed = sealed.clone();
            changed[i] ^= 1;
            assert_eq!(unseal(&keys_one, &changed), Err(SealError::Broken), "byte {i}");
            assert!(unseal(&keys_one, &sealed[..i]).is_err());
        }
    }

    #[test]
    fn the_first_key_seals_and_older_ones_still_open() {
        let old = keys("s1", 7);
        let sealed = old.seal.as_ref().and_then(|seals| seals.seal(b"old")).expect("sealed");
        let both = keys("s2", 8).with_seal("s1", &[7; 32]);
        assert_eq!(unseal(&both, &sealed), Ok(b"old".to_vec()));
        let new = both.seal.as_ref().and_then(|seals| seals.seal(b"new")).expect("sealed");
        assert_eq!(
            (seal_id(&sealed), seal_id(&new), seal_id(b""), seal_id(b"\x05s1")),
            (Some("s1"), Some("s2"), None, None)
        );
        assert_eq!(unseal(&both, &new), Ok(b"new".to_vec()));
        assert_eq!(unseal(&old, &new), Err(SealError::OtherKey));
    }

    #[test]
    fn equal_bytes_are_sealed_differently() {
        let keys = keys("s1", 7);
        let seal = keys.seal.as_ref().expect("a sealing key is set");
        assert_ne!(seal.seal(b"same"), seal.seal(b"same"));
        assert_eq!(unseal(&keys, &seal.seal(b"").expect("sealed")), Ok(Vec::new()));
    }
}
