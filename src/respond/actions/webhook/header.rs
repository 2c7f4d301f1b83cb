//! A header of a webhook: a text, or a secret by reference, perhaps with a word before it (`Bearer `).
//!
//! Promises: a header that carries a credential by its name takes a reference only; a value that no header can hold is
//! refused without being repeated.
//! Never: sets what HTTP or the signature sets.

use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::respond::config::{Secret, SecretRef};

#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Written")]
pub enum Header {
    Text(String),
    Secret { prefix: String, reference: SecretRef },
}

/// As it is written. The error repeats nothing: a secret itself may stand there.
#[derive(Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a text, or {env: NAME} or {file: PATH}, perhaps with prefix: \"Bearer \""
)]
enum Written {
    Text(String),
    Env {
        env: String,
        #[serde(default)]
        prefix: String,
    },
    File {
        file: String,
        #[serde(default)]
        prefix: String,
    },
}

impl From<Written> for Header {
    fn from(written: Written) -> Header {
        match written {
            Written::Text(text) => Header::Text(text),
            Written::Env { env, prefix } => Header::Secret { prefix, reference: SecretRef::Env(env) },
            Written::File { file, prefix } => Header::Secret { prefix, reference: SecretRef::File(file) },
        }
    }
}

/// Set by us or by HTTP.
const TAKEN: [&str; 8] = [
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Parts of the names of headers that carry credentials.
const TELLING: [&str; 6] = ["authorization", "token", "secret", "password", "cookie", "api-key"];

impl Header {
    pub fn is_secret(&self) -> bool {
        self.reference().is_some()
    }

    pub fn reference(&self) -> Option<&SecretRef> {
        match self {
            Header::Text(_) => None,
            Header::Secret { reference, .. } => Some(reference),
        }
    }

    pub fn check(&self, name: &str) -> Result<(), String> {
        parse_name(name)?;
        match self {
            Header::Text(text) => {
                let lower = name.to_ascii_lowercase();
                if TELLING.iter().any(|part| lower.contains(part)) {
                    return Err("carries a credential: give {env: NAME} or {file: PATH}, not the value".to_owned());
                }
                parse_value(text).map(drop)
            }
            Header::Secret { prefix, .. } => parse_value(prefix).map(drop),
        }
    }

    /// The header as it is sent; `secret` is what the reference stands for.
    pub fn build(&self, name: &str, secret: Option<&Secret>) -> Result<(HeaderName, HeaderValue), String> {
        let value = match (self, secret) {
            (Header::Secret { prefix, .. }, Some(secret)) => {
                let mut value = parse_value(&format!("{prefix}{}", secret.reveal()))?;
                value.set_sensitive(true);
                value
            }
            (Header::Text(text), _) => parse_value(text)?,
            (Header::Secret { .. }, None) => return Err("its secret is not known".to_owned()),
        };
        Ok((parse_name(name)?, value))
    }
}

fn parse_name(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is no name of a header".to_owned())?;
    if TAKEN.contains(&parsed.as_str()) {
        let own = if parsed == "content-type" { "; it has a key of its own, content_type" } else { "" };
        return Err(format!("is set by Gatewatch{own}"));
    }
    Ok(parsed)
}

fn parse_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| "the value holds characters that no header can hold".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_marked_and_follows_its_prefix() {
        let header: Header = serde_saphyr::from_str("{ env: X, prefix: 'Bearer ' }").expect("valid");
        let (name, value) = header.build("Authorization", Some(&Secret::new("fake\n"))).expect("builds");
        assert_eq!(
            (name.as_str(), value.to_str().ok(), value.is_sensitive()),
            ("authorization", Some("Bearer fake"), true)
        );
        let error = header.build("Authorization", Some(&Secret::new("fa\nke"))).expect_err("two lines");
        assert!(!error.contains("fa"), "{error}");
    }
}
