//! The Standard Webhooks signature: `v1,` and base64 of HMAC-SHA-256 over `id.timestamp.body`.
//!
//! Promises: one signature per secret, in order, so that a receiver that knows any of them can verify.
//! Never: shows a secret, not even in an error.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::respond::config::Secret;

pub struct Signer {
    keys: Vec<hmac::Key>,
}

impl Signer {
    pub fn new(secrets: &[Secret]) -> Result<Signer, String> {
        let keys = secrets.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err("a webhook is signed: name at least one secret".to_owned());
        }
        Ok(Signer { keys })
    }

    /// The value of the `webhook-signature` header.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signatures = self.keys.iter().map(|key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{timestamp}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn key(secret: &Secret) -> Result<hmac::Key, String> {
    let expected = "a webhook secret is `whsec_` and base64 of 24 to 64 bytes";
    let bytes = secret.reveal().strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    match bytes {
        Some(bytes) if (24..=64).contains(&bytes.len()) => Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes)),
        _ => Err(expected.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the Standard Webhooks specification's libraries test themselves with.
    #[test]
    fn the_published_example() {
        let signer = Signer::new(&[Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).expect("a valid secret");
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_rotation_signs_with_both() {
        let (old, new) =
            (Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), Secret::new(format!("whsec_{}", "A".repeat(32))));
        let sign = |secrets: &[Secret]| Signer::new(secrets).expect("valid").sign("a", 1, b"{}");
        let both = sign(&[new.clone(), old.clone()]);
        assert_eq!(both, format!("{} {}", sign(&[new]), sign(&[old])));
    }

    #[test]
    fn a_wrong_secret_is_refused_and_not_repeated() {
        for wrong in
            ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_not base64 not base64 not base"]
        {
            let error = Signer::new(&[Secret::new(wrong)]).err().expect(wrong);
            assert!(wrong.len() < 8 || !error.contains(wrong), "{error}");
        }
        assert!(Signer::new(&[]).is_err());
    }
}
