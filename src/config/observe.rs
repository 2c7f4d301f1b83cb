//! The `observe` section: where the service shows itself, and who collects its traces.
//!
//! Promises: on by default, on loopback only; an address that is none is refused with what was expected.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{environment, resolve};
use crate::ingest::http::Token;
use crate::respond::SecretRef;

/// How the service is watched itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObserveSection {
    /// Where /metrics, /healthz, /readyz and /status are; see `ObserveSection::listen`.
    listen: Option<Listen>,
    /// A collector of traces.
    pub otlp: Option<OtlpSection>,
    /// What people and programs may change over HTTP; without it they may not.
    api: Option<ApiSection>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiSection {
    /// What callers show as `Authorization: Bearer`.
    token: SecretRef,
}

/// Characters of the token of the API; a shorter one is refused, it could be guessed.
const TOKEN_CHARS_MIN: usize = 16;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpSection {
    /// The collector's OTLP/HTTP address; `/v1/traces` is added.
    pub endpoint: String,
}

/// An address and port, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Off,
    At(SocketAddr),
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match (text, text.parse()) {
            ("off", _) => Ok(Listen::Off),
            (_, Ok(address)) => Ok(Listen::At(address)),
            _ => Err(format!("{text:?}; expected an address and port such as 127.0.0.1:9477, or off")),
        }
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Listen, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Takes the place of `observe.listen` where the file does not name it: for images that serve several hosts.
const LISTEN_VARIABLE: &str = "GATEWATCH_OBSERVE_LISTEN";
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9477);

impl ObserveSection {
    /// Where to listen: as the file says, else as the environment says, else on loopback.
    pub fn listen(&self) -> anyhow::Result<Listen> {
        match (self.listen, environment(LISTEN_VARIABLE)) {
            (Some(listen), _) => Ok(listen),
            (None, Some(text)) => text.parse().map_err(|e| anyhow::anyhow!("{LISTEN_VARIABLE}: {e}")),
            (None, None) => Ok(Listen::At(LISTEN_DEFAULT)),
        }
    }

    /// The token of the API, fetched; none: there is no API.
    pub fn api_token(&self) -> anyhow::Result<Option<Token>> {
        let Some(api) = &self.api else { return Ok(None) };
        let token = resolve(&api.token).context("observe.api.token")?;
        if token.chars().count() < TOKEN_CHARS_MIN {
            bail!("observe.api.token: is short; expected at least {TOKEN_CHARS_MIN} characters, better 32 random ones");
        }
        Ok(Some(Token::new(&token)))
    }

    /// What to tell whoever keeps the API's token in a file that others may write to: they can choose the token.
    pub fn open_token(&self) -> Option<String> {
        let SecretRef::File(path) = &self.api.as_ref()?.token else { return None };
        let mode = std::fs::metadata(path).ok()?.mode() & 0o7777;
        (mode & 0o022 != 0).then(|| {
            format!(
                "observe.api.token: {path} can be written by others than its owner (mode {mode:04o}): chmod 600 {path}"
            )
        })
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.listen()?;
        let Some(otlp) = &self.otlp else { return Ok(()) };
        // The address stays out of the message: it may hold a password.
        let url = url::Url::parse(&otlp.endpoint).map_err(|e| anyhow::anyhow!("observe.otlp.endpoint: {e}"))?;
        if url.scheme() != "http" || url.host().is_none() {
            bail!("observe.otlp.endpoint: expected an http address such as http://127.0.0.1:4318");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(yaml: &str) -> Result<ObserveSection, String> {
        let section: ObserveSection = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        section.check().map_err(|error| error.to_string()).map(|()| section)
    }

    #[test]
    fn an_address_or_off() {
        for (yaml, expected) in [
            ("{ listen: off }", Listen::Off),
            ("{ listen: \"off\" }", Listen::Off),
            ("{ listen: 127.0.0.1:9000 }", Listen::At(SocketAddr::from(([127, 0, 0, 1], 9000)))),
            ("{ listen: \"[::1]:9000\" }", Listen::At("[::1]:9000".parse().expect("an address"))),
        ] {
            assert_eq!(section(yaml).and_then(|s| s.listen().map_err(|e| e.to_string())), Ok(expected), "{yaml}");
        }
        for (yaml, words) in [
            ("{ listen: localhost }", "expected an address and port such as 127.0.0.1:9477, or off"),
            ("{ listen: 9477 }", "expected an address and port"),
            ("{ otlp: { endpoint: \"https://collector.example.com\" } }", "expected an http address"),
            ("{ otlp: { endpoint: collector } }", "observe.otlp.endpoint"),
            ("{ port: 1 }", "unknown field `port`"),
            ("{ api: {} }", "missing field `token`"),
            ("{ api: { token: not-a-real-token } }", "not the secret itself"),
        ] {
            let error = section(yaml).expect_err(yaml);
            assert!(error.contains(words), "{yaml}: {error}");
        }
    }
}
