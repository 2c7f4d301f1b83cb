//! The sections of sources that records are pushed to: `http` and `syslog`.
//!
//! Promises: `build` says with its key what cannot be, and what was expected; secrets are fetched, certificates are not
//! read yet.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::{Span, resolve};
use crate::ingest::accept::is_loopback;
use crate::ingest::http::{HttpConfig, Rate, Token};
use crate::ingest::network::Networks;
use crate::ingest::syslog::SyslogConfig;
use crate::ingest::tls::ServerTls;
use crate::limits;
use crate::respond::SecretRef;

/// The kind whose senders speak OTLP, and where they send to.
const OTLP_KIND: &str = "otel";
const OTLP_PATH: &str = "/v1/logs";
/// A syslog connection that has not said anything for so long is closed.
const FIRST_TIME_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// `127.0.0.1:8088`; several sources may share one.
    pub listen: String,
    /// The default is a slash and the source's name; `/v1/logs` for kind `otel`.
    pub path: Option<String>,
    /// What senders show as `Authorization: Bearer`; may only be left out on loopback.
    pub token: Option<SecretRef>,
    pub tls: Option<HttpTlsSection>,
    /// Bytes of a body, also unpacked.
    #[serde(default = "default_body_max")]
    pub body_max: Size,
    pub records_per_second: Option<u64>,
    /// Records that may come at once after a quiet time; the default is what comes in two seconds.
    pub burst: Option<u64>,
    #[serde(default = "default_connections_max")]
    pub connections_max: usize,
    /// How long a body may take to arrive.
    #[serde(default = "default_body_timeout")]
    pub body_timeout: Span,
    #[serde(default = "default_spool_max")]
    pub spool_max: Size,
    #[serde(default = "super::default_idle")]
    pub idle_after: Span,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTlsSection {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogSection {
    pub udp: Option<String>,
    pub tcp: Option<String>,
    pub tls: Option<SyslogTlsSection>,
    /// Bytes of a message; a longer one is a reject.
    #[serde(default = "default_message_max")]
    pub message_max: Size,
    /// Of each of TCP and TLS.
    #[serde(default = "default_connections_max")]
    pub connections_max: usize,
    /// A connection that says nothing for so long is closed.
    #[serde(default = "default_idle_timeout")]
    pub idle_timeout: Span,
    /// Networks or addresses that may send; without any, everybody may.
    #[serde(default)]
    pub allow: Vec<String>,
    #[serde(default = "default_spool_max")]
    pub spool_max: Size,
    #[serde(default = "super::default_idle")]
    pub idle_after: Span,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogTlsSection {
    pub listen: String,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Clients without a certificate of these authorities are refused.
    pub client_ca: Option<PathBuf>,
}

fn default_body_max() -> Size {
    Size { bytes: 5 << 20 }
}

fn default_connections_max() -> usize {
    256
}

fn default_body_timeout() -> Span {
    Span::seconds(30)
}

fn default_spool_max() -> Size {
    Size { bytes: 1 << 30 }
}

fn default_message_max() -> Size {
    Size { bytes: 64 << 10 }
}

/// Senders keep their connection open for as long as there is traffic, and some do not notice when it is closed.
fn default_idle_timeout() -> Span {
    Span::seconds(3600)
}

impl HttpSection {
    /// The settings of the source, with the token fetched.
    pub fn build(&self, source: &str, kind: &str) -> anyhow::Result<HttpConfig> {
        let listen = address("http.listen", &self.listen)?;
        let is_otlp = kind == OTLP_KIND;
        let own = || if is_otlp { OTLP_PATH.to_owned() } else { format!("/{source}") };
        let path = self.path.clone().unwrap_or_else(own);
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"?#%\\".contains(&byte);
        if !path.starts_with('/') || !path.bytes().all(fits) || (path.len() > 1 && path.ends_with('/')) {
            bail!(
                "http.path: {path:?}; expected a path such as /logs/edge, without escapes and without a slash at its end"
            );
        }
        let token = match &self.token {
            Some(token) => Some(Token::new(&resolve(token).context("http.token")?)),
            None if is_loopback(listen.ip()) => None,
            None => bail!(
                "http.token: is not there, and {listen} can be reached from other machines; expected a token, or a listen \
                 address such as 127.0.0.1:8088"
            ),
        };
        let rate = match (self.records_per_second, self.burst) {
            (None, None) => None,
            (None, Some(_)) => bail!("http.burst: expected records_per_second with it"),
            (Some(0), _) | (_, Some(0)) => bail!("http.records_per_second and http.burst: expected at least 1"),
            (Some(per_second), burst) => {
                Some(Rate { per_second, burst: burst.unwrap_or_else(|| per_second.saturating_mul(2)) })
            }
        };
        within("http.body_max", self.body_max, 1 << 10, limits::BODY_BYTES_MAX)?;
        spool("http", self.spool_max, 8 * self.body_max.bytes)?;
        connections("http", self.connections_max)?;
        timeout("http.body_timeout", self.body_timeout, Span { us: 100_000 }, "100ms")?;
        Ok(HttpConfig {
            listen,
            path,
            token,
            tls: self.tls.as_ref().map(|tls| ServerTls {
                cert: tls.cert.clone(),
                key: tls.key.clone(),
                client_ca: None,
            }),
            body_max: self.body_max.usize(),
            rate,
            connections_max: self.connections_max,
            body_timeout: self.body_timeout.duration(),
            is_otlp,
        })
    }
}

impl SyslogSection {
    /// The settings of the source.
    pub fn build(&self) -> anyhow::Result<SyslogConfig> {
        if self.udp.is_none() && self.tcp.is_none() && self.tls.is_none() {
            bail!("syslog: listens nowhere; expected at least one of udp, tcp and tls");
        }
        let tls = match &self.tls {
            Some(tls) => {
                let files =
                    ServerTls { cert: tls.cert.clone(), key: tls.key.clone(), client_ca: tls.client_ca.clone() };
                Some((address("syslog.tls.listen", &tls.listen)?, files))
            }
            None => None,
        };
        let optional = |key: &str, text: &Option<String>| text.as_ref().map(|text| address(key, text)).transpose();
        within("syslog.message_max", self.message_max, 480, limits::RECORD_BYTES_MAX as u64)?;
        spool("syslog", self.spool_max, 0)?;
        connections("syslog", self.connections_max)?;
        timeout("syslog.idle_timeout", self.idle_timeout, Span::seconds(1), "1s")?;
        let allow = Networks::parse(&self.allow).map_err(|text| {
            anyhow::anyhow!("syslog.allow: {text:?}; expected a network such as 192.0.2.0/24, or an address")
        })?;
        Ok(SyslogConfig {
            udp: optional("syslog.udp", &self.udp)?,
            tcp: optional("syslog.tcp", &self.tcp)?,
            tls,
            message_max: self.message_max.usize(),
            connections_max: self.connections_max,
            first_timeout: FIRST_TIME_MAX.min(self.idle_timeout.duration()),
            idle_timeout: self.idle_timeout.duration(),
            allow,
        })
    }
}

fn address(key: &str, text: &str) -> anyhow::Result<SocketAddr> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(address),
        _ => {
            bail!("{key}: {text:?}; expected an address and a port, such as 127.0.0.1:8088, 0.0.0.0:6514 or [::]:6514")
        }
    }
}

fn within(key: &str, size: Size, least: u64, most: u64) -> anyhow::Result<()> {
    if size.bytes < least || size.bytes > most {
        bail!("{key}: {size}; expected {} to {}", Size { bytes: least }, Size { bytes: most });
    }
    Ok(())
}

fn spool(section: &str, size: Size, least: u64) -> anyhow::Result<()> {
    let least = Size { bytes: least.max(limits::SPOOL_BYTES_MIN) };
    if size < least {
        bail!("{section}.spool_max: {size}; expected at least {least}");
    }
    Ok(())
}

fn connections(section: &str, connections: usize) -> anyhow::Result<()> {
    if !(1..=limits::CONNECTIONS_MAX).contains(&connections) {
        bail!("{section}.connections_max: {connections}; expected 1 to {}", limits::CONNECTIONS_MAX);
    }
    Ok(())
}

fn timeout(key: &str, span: Span, least: Span, text: &str) -> anyhow::Result<()> {
    if span < least || span.duration() > Duration::from_secs(7 * 86_400) {
        bail!("{key}: expected {text} to 7d");
    }
    Ok(())
}

/// A number of bytes, written `500`, `64KiB`, `5MiB` or `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    pub bytes: u64,
}

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

impl Size {
    pub fn usize(self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Size> {
        let (digits, factor) =
            UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), factor)))?;
        digits.parse::<u64>().ok()?.checked_mul(*factor).map(|bytes| Size { bytes })
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = UNITS.iter().find(|(_, factor)| self.bytes >= *factor && self.bytes.is_multiple_of(*factor));
        let (unit, factor) = unit.unwrap_or(&("", 1));
        write!(f, "{}{unit}", self.bytes / factor)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        let text = String::deserialize(deserializer)?;
        Size::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is no size; expected for example 64KiB, 5MiB or 1GiB"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(keys: &str) -> Result<HttpConfig, String> {
        let yaml = format!("{{ listen: \"127.0.0.1:8088\"{keys} }}");
        let section: HttpSection = serde_saphyr::from_str(&yaml).map_err(|error| error.to_string())?;
        section.build("edge", "kong").map_err(|error| format!("{error:#}"))
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug>(built: Result<T, String>, words: &str) {
        let error = built.expect_err("refused");
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn http_has_defaults_and_bounds() {
        let config = http("").expect("the least there is to say");
        assert_eq!((config.path.as_str(), config.body_max, config.rate), ("/edge", 5 << 20, None));
        assert!(config.token.is_none() && config.tls.is_none());
        let config = http(", records_per_second: 100, body_max: 64KiB, path: /in").expect("good");
        assert_eq!((config.path.as_str(), config.body_max), ("/in", 65_536));
        assert_eq!(config.rate, Some(Rate { per_second: 100, burst: 200 }));
        for (keys, words) in [
            (", path: edge", "http.path"),
            (", path: /a b", "http.path"),
            (", path: /edge/", "http.path"),
            (", burst: 10", "expected records_per_second with it"),
            (", records_per_second: 0", "at least 1"),
            (", body_max: 1GiB", "http.body_max: 1GiB; expected 1KiB to 64MiB"),
            (", body_max: 64MiB, spool_max: 500MiB", "http.spool_max: 500MiB; expected at least 512MiB"),
            (", spool_max: 1MiB", "expected at least 64MiB"),
            (", connections_max: 0", "http.connections_max: 0"),
            (", body_timeout: 1ms", "http.body_timeout: expected 100ms to 7d"),
            (", body_max: 5MB", "\"5MB\" is no size"),
            (", token: abc", "{env: NAME}"),
            (", token: { env: GATEWATCH_TEST_NO_SUCH_VARIABLE }", "http.token"),
        ] {
            refused(http(keys), words);
        }
    }

    #[test]
    fn a_listener_that_others_can_reach_needs_a_token() {
        let section: HttpSection = serde_saphyr::from_str("{ listen: \"0.0.0.0:8088\" }").expect("a section");
        refused(section.build("edge", "kong").map_err(|e| e.to_string()), "http.token: is not there, and 0.0.0.0:8088");
        let section: HttpSection = serde_saphyr::from_str("{ listen: \"localhost:8088\" }").expect("a section");
        refused(section.build("edge", "kong").map_err(|e| e.to_string()), "http.listen: \"localhost:8088\"");
        let section: HttpSection = serde_saphyr::from_str("{ listen: \"[::1]:4318\" }").expect("a section");
        assert_eq!(section.build("collector", "otel").expect("loopback").path, "/v1/logs");
    }

    #[test]
    fn syslog_listens_somewhere() {
        let syslog = |yaml: &str| -> Result<SyslogConfig, String> {
            let section: SyslogSection = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
            section.build().map_err(|error| format!("{error:#}"))
        };
        let config = syslog("{ udp: \"127.0.0.1:5514\", allow: [192.0.2.0/24] }").expect("good");
        assert_eq!((config.message_max, config.tcp), (65_536, None));
        for (yaml, words) in [
            ("{}", "at least one of udp, tcp and tls"),
            ("{ tcp: \"127.0.0.1\" }", "syslog.tcp"),
            ("{ tcp: \"127.0.0.1:0\" }", "syslog.tcp"),
            ("{ udp: \"127.0.0.1:1\", allow: [gateway] }", "syslog.allow: \"gateway\""),
            ("{ udp: \"127.0.0.1:1\", message_max: 2MiB }", "expected 480 to 1MiB"),
            ("{ tls: { listen: \"x\", cert: a, key: b } }", "syslog.tls.listen"),
        ] {
            refused(syslog(yaml), words);
        }
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        for (text, bytes) in [("500", 500), ("64KiB", 65_536), ("5 MiB", 5 << 20), ("1GiB", 1 << 30)] {
            assert_eq!(Size::parse(text), Some(Size { bytes }), "{text}");
        }
        for text in ["", "KiB", "5MB", "-1", "1.5MiB", "99999999999999GiB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
        assert_eq!(
            [500, 65_536, 5 << 20, 1 << 30].map(|bytes| Size { bytes }.to_string()),
            ["500", "64KiB", "5MiB", "1GiB"]
        );
    }
}
