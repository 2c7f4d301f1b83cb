//! The Standard Webhooks signatures over `id.timestamp.body`: `v1,` and base64 of HMAC-SHA-256, or `v1a,` and base64 of
//! ed25519.
//!
//! Promises: one signature per secret, in order, so that a receiver that knows any of them can verify.
//! Never: shows a secret, not even in an error.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::respond::config::Secret;

/// Bytes of an ed25519 private key: the seed, or the seed and the public key behind it.
const SEED_BYTES: usize = 32;
const PAIR_BYTES: usize = 64;

enum Key {
    Hmac(Box<hmac::Key>),
    Ed25519(Box<Ed25519KeyPair>),
}

pub struct Signer {
    keys: Vec<Key>,
}

impl Signer {
    pub fn new(secrets: &[Secret]) -> Result<Signer, String> {
        let keys = secrets.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        Ok(Signer { keys })
    }

    /// The value of the `webhook-signature` header; none without a secret.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        if self.keys.is_empty() {
            return None;
        }
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let signatures = self.keys.iter().map(|key| match key {
            Key::Hmac(key) => format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed))),
            Key::Ed25519(pair) => format!("v1a,{}", STANDARD.encode(pair.sign(&signed))),
        });
        Some(signatures.collect::<Vec<_>>().join(" "))
    }
}

fn key(secret: &Secret) -> Result<Key, String> {
    let text = secret.reveal();
    if let Some(text) = text.strip_prefix("whsk_") {
        let expected = "a private webhook key is `whsk_` and base64 of an ed25519 key: its 32 bytes, or these and the \
                        32 of its public key";
        return STANDARD.decode(text).ok().and_then(|bytes| pair(&bytes)).ok_or_else(|| expected.to_owned());
    }
    let bytes = text.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    match bytes {
        Some(bytes) if (24..=64).contains(&bytes.len()) => {
            Ok(Key::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))))
        }
        _ => Err("a webhook secret is `whsec_` and base64 of 24 to 64 bytes, or `whsk_` and a private key".to_owned()),
    }
}

fn pair(bytes: &[u8]) -> Option<Key> {
    let pair = match bytes.len() {
        SEED_BYTES => Ed25519KeyPair::from_seed_unchecked(bytes),
        PAIR_BYTES => Ed25519KeyPair::from_seed_and_public_key(&bytes[..SEED_BYTES], &bytes[SEED_BYTES..]),
        _ => return None,
    };
    pair.ok().map(|pair| Key::Ed25519(Box::new(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ED25519, KeyPair, UnparsedPublicKey};

    const SHARED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn sign(secrets: &[&str]) -> String {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        Signer::new(&secrets).expect("valid").sign("a", 1, b"{}").expect("a signature")
    }

    /// The example that the Standard Webhooks specification's libraries test themselves with.
    #[test]
    fn the_published_example() {
        let signer = Signer::new(&[Secret::new(SHARED)]).expect("a valid secret");
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signature.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_rotation_signs_with_all_of_both_sorts() {
        let next = format!("whsec_{}", "A".repeat(32));
        let private = format!("whsk_{}", STANDARD.encode([7; 32]));
        let all = sign(&[&next, SHARED, &private]);
        assert_eq!(all, [sign(&[&next]), sign(&[SHARED]), sign(&[&private])].join(" "));
        assert_eq!(Signer::new(&[]).expect("valid").sign("a", 1, b"{}"), None);
    }

    #[test]
    fn a_private_key_signs_for_its_public_key() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a pair");
        let public = pair.public_key().as_ref().to_vec();
        let (short, long) = (STANDARD.encode([7; 32]), STANDARD.encode([[7; 32].as_slice(), &public].concat()));
        let signature = sign(&[&format!("whsk_{short}")]);
        assert_eq!(signature, sign(&[&format!("whsk_{long}")]));
        let bytes = STANDARD.decode(signature.strip_prefix("v1a,").expect("marked")).expect("base64");
        UnparsedPublicKey::new(&ED25519, public).verify(b"a.1.{}", &bytes).expect("verifies");
    }

    #[test]
    fn a_wrong_secret_is_refused_and_not_repeated() {
        let of_another = format!("whsk_{}", STANDARD.encode([7; 64]));
        for wrong in [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_not base64 not base64 not base",
            "whsk_c2hvcnQ=",
            &of_another,
        ] {
            let error = Signer::new(&[Secret::new(wrong)]).err().expect(wrong);
            assert!(wrong.len() < 8 || !error.contains(wrong), "{error}");
        }
    }
}
