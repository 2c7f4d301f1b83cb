//! Signed links with which a person agrees to an action, as they stand in messages.
//!
//! Promises: pure but for the key it is given. A link names one action and its own end, at most `VALID_FOR` away; both are
//! under the signature (HMAC-SHA-256), which is compared in constant time. Whoever has the link may agree, so it belongs
//! where only those read who may.
//! Never: agrees to anything; that is `desk`.

use std::time::Duration;

use aws_lc_rs::hmac;
use serde::Deserialize;

use super::config::ConfigError;

/// After this a link is of no use; the action can still be agreed to by name.
pub const VALID_FOR: Duration = Duration::from_secs(24 * 3600);

/// Where links lead.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinksConfig {
    /// The address under which people reach `observe.listen`, without a slash at its end.
    pub base: String,
    /// Where people look an incident up, `{incident}` stands for its id: for the messages of every target that has no `link`
    /// of its own.
    #[serde(default)]
    pub incident: Option<String>,
}

impl LinksConfig {
    pub fn check(&self) -> Result<(), ConfigError> {
        let expected = "expected an address such as https://gatewatch.example.com, without `?` and `#`";
        let url = url::Url::parse(&self.base);
        let good = url.is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if !good {
            return Err(ConfigError::new("links.base", expected));
        }
        let wrong = |error: ConfigError| ConfigError::new("links.incident", error.problem);
        super::message::check_link("links", self.incident.as_deref()).map_err(wrong)
    }
}

/// Makes and judges links.
#[derive(Clone)]
pub struct Links {
    base: String,
    key: hmac::Key,
}

/// Why a link does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Forged,
    Old,
}

impl Links {
    pub fn new(config: &LinksConfig, key: &[u8]) -> Links {
        let base = config.base.trim_end_matches('/').to_owned();
        Links { base, key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// The link with which a person agrees to this action, made now.
    pub fn approve(&self, action_id: &str, now_us: i64) -> String {
        let until = now_us / 1_000_000 + i64::try_from(VALID_FOR.as_secs()).unwrap_or(0);
        let sig: String = hmac::sign(&self.key, &signed(action_id, until))
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("{}/approve/{action_id}?until={until}&sig={sig}", self.base)
    }

    /// Whether we made this link, and it still counts.
    pub fn judge(&self, action_id: &str, until: i64, sig: &str, now_us: i64) -> Result<(), Refused> {
        let digits = sig.as_bytes().chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            pair.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        });
        let tag: Option<Vec<u8>> = digits.collect();
        let genuine = tag.is_some_and(|tag| hmac::verify(&self.key, &signed(action_id, until), &tag).is_ok());
        match genuine {
            false => Err(Refused::Forged),
            true if now_us / 1_000_000 >= until => Err(Refused::Old),
            true => Ok(()),
        }
    }
}

/// An id has no line end, so no two links sign the same bytes.
fn signed(action_id: &str, until: i64) -> Vec<u8> {
    format!("approve\n{action_id}\n{until}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_US: i64 = 1_770_000_000_000_000;

    fn links(key: &[u8]) -> Links {
        Links::new(&LinksConfig { base: "https://gatewatch.example.com/".to_owned(), incident: None }, key)
    }

    fn parts(link: &str) -> (String, i64, String) {
        let url = url::Url::parse(link).expect("an address");
        let query: std::collections::HashMap<String, String> = url.query_pairs().into_owned().collect();
        let id = url.path().strip_prefix("/approve/").expect("the path").to_owned();
        (id, query["until"].parse().expect("a number"), query["sig"].clone())
    }

    #[test]
    fn a_link_counts_for_its_action_until_its_end_and_nothing_else_does() {
        let made = links(b"an invented key of 32 bytes ....");
        let link = made.approve("4711aa", NOW_US);
        assert!(link.starts_with("https://gatewatch.example.com/approve/4711aa?until=1770086400&sig="), "{link}");
        let (id, until, sig) = parts(&link);
        assert_eq!(made.judge(&id, until, &sig, NOW_US), Ok(()));
        let day_us = 86_400_000_000;
        assert_eq!(made.judge(&id, until, &sig, NOW_US + day_us - 1_000_000), Ok(()));
        assert_eq!(made.judge(&id, until, &sig, NOW_US + day_us), Err(Refused::Old));
        assert_eq!(made.judge("4711ab", until, &sig, NOW_US), Err(Refused::Forged));
        assert_eq!(made.judge(&id, until + 1, &sig, NOW_US), Err(Refused::Forged));
        let other = links(b"another key of 32 bytes, made up");
        assert_eq!(other.judge(&id, until, &sig, NOW_US), Err(Refused::Forged));
        for sig in ["", "0", "zz", "+1+1", &sig[1..], &format!("{sig}00"), "ä"] {
            assert_eq!(made.judge(&id, until, sig, NOW_US), Err(Refused::Forged), "{sig}");
        }
    }

    #[test]
    fn a_base_is_an_address() {
        for (base, good) in [
            ("https://gatewatch.example.com", true),
            ("http://127.0.0.1:9477/gw/", true),
            ("gatewatch.example.com", false),
            ("ftp://gatewatch.example.com", false),
            ("https://user:not-a-password@gatewatch.example.com", false),
            ("https://gatewatch.example.com?a", false),
        ] {
            assert_eq!(LinksConfig { base: base.to_owned(), incident: None }.check().is_ok(), good, "{base}");
        }
    }
}
