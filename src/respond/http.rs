//! HTTP as all targets use it: one way to build a client, to read a bounded answer and to name an error.
//!
//! Promises: TLS by rustls; redirects are not followed (a body and its signature go to the configured address only);
//! an answer is read up to a bound; an error's text never contains the address, which may be a secret.
//! Never: retries, and never uses a proxy that the configuration does not name.

use std::time::Duration;

use chrono::{Datelike, NaiveDateTime};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url, redirect};

use super::config::ConfigError;
use super::target::Delivery;

/// What is read of an answer; the rest is left unread and the connection dropped.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// What the record may be made from; it ends up far shorter.
const TEXT_BYTES_MAX: usize = 4 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How targets of one kind reach their servers.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// PEM certificates to trust, besides the system's.
    pub ca_pem: Option<String>,
    pub proxy: Option<String>,
}

impl Transport {
    pub fn client(&self, at: &str) -> Result<Client, ConfigError> {
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("gatewatch/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &self.proxy {
            let wrong = |_| ConfigError::new(format!("{at}.proxy"), "expected an address such as http://proxy:3128");
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(wrong)?);
        }
        if let Some(pem) = &self.ca_pem {
            let wrong = |_| ConfigError::new(format!("{at}.ca"), "expected certificates in PEM");
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(wrong)?;
            builder = builder.tls_certs_merge(certificates);
        }
        builder.build().map_err(|error| ConfigError::new(at, format!("no HTTP client: {}", describe(error))))
    }
}

/// An address as configured: https, or http where that is local or explicitly allowed.
pub fn parse_url(text: &str, insecure: bool, at: &str) -> Result<Url, ConfigError> {
    // The text stays out of the message: it may be a secret.
    let url = Url::parse(text).map_err(|error| ConfigError::new(at, format!("not an address: {error}")))?;
    if url.password().is_some() || !url.username().is_empty() {
        let problem = "a user or password in an address is seen by whoever sees the address; put it into the keys that are \
                       for it (a header, a token, user and password), by reference";
        return Err(ConfigError::new(at, problem));
    }
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if local || insecure => Ok(url),
        "http" => Err(ConfigError::new(at, "http would send alerts in the clear; use https, or set insecure: true")),
        other => Err(ConfigError::new(at, format!("scheme `{other}` is not known here; use https"))),
    }
}

/// What came back: status, what was asked about waiting, and the bounded body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Status and the beginning of the body, for the record.
    pub fn text(&self) -> String {
        let start = &self.body[..self.body.len().min(TEXT_BYTES_MAX)];
        super::action::scrub(&format!("{} {}", self.status.as_u16(), String::from_utf8_lossy(start)))
    }
}

/// What an answer means where the target has no more to say: a 2xx is a delivery, and only a refusal that repeating cannot
/// change is final.
pub fn judge(answer: &Answer, who: &str) -> Delivery {
    let text = answer.text();
    if answer.status.is_success() {
        return Delivery::delivered(text, None);
    }
    let reason = format!("{who} answered {}", answer.status);
    if is_final(answer.status) {
        return Delivery::Failed { reason, answer: text };
    }
    Delivery::Retry { after: answer.retry_after, reason, answer: text }
}

/// Redirects are final because they are not followed. A conflict, a full queue or a time-out passes.
fn is_final(status: StatusCode) -> bool {
    let passing =
        [StatusCode::REQUEST_TIMEOUT, StatusCode::CONFLICT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    (status.is_client_error() && !passing.contains(&status)) || status.is_redirection()
}

/// Send and read, or say in words what failed.
pub async fn send(request: reqwest::RequestBuilder, now_us: i64) -> Result<Answer, String> {
    let mut response = request.send().await.map_err(describe)?;
    let status = response.status();
    let retry_after = retry_after(response.headers(), now_us);
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]),
            Ok(None) => break,
            // A 2xx whose body breaks off is uncertain: the target may have failed while it worked.
            Err(error) => return Err(format!("answer {} broke off: {}", status.as_u16(), describe(error))),
        }
    }
    Ok(Answer { status, retry_after, body })
}

/// Retry-After in either of its forms: seconds, or a date.
fn retry_after(headers: &HeaderMap, now_us: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    u64::try_from(http_date_us(text, now_us)?.saturating_sub(now_us)).ok().map(Duration::from_micros)
}

/// A date in any of the three forms that HTTP knows (RFC 9110, section 5.6.7): IMF-fixdate, RFC 850 with a year of two
/// digits, and that of `asctime`.
fn http_date_us(text: &str, now_us: i64) -> Option<i64> {
    if let Ok(date) = chrono::DateTime::parse_from_rfc2822(text) {
        return Some(date.timestamp_micros());
    }
    let asctime = NaiveDateTime::parse_from_str(text, "%a %b %e %H:%M:%S %Y");
    if let Ok(date) = asctime {
        return Some(date.and_utc().timestamp_micros());
    }
    // The weekday is left out: with two digits of a year it says nothing that can be relied on.
    let (_, rest) = text.split_once(", ")?;
    let (day_month, rest) = rest.rsplit_once('-')?;
    let (year, time) = rest.split_once(' ')?;
    let year: i32 = year.parse().ok().filter(|_| year.len() == 2)?;
    let this_year = chrono::DateTime::from_timestamp_micros(now_us)?.year();
    // More than 50 years ahead is the past of that century.
    let mut year = this_year - this_year.rem_euclid(100) + year;
    year -= if year > this_year + 50 { 100 } else { 0 };
    let date = NaiveDateTime::parse_from_str(&format!("{day_month}-{year} {time}"), "%d-%b-%Y %H:%M:%S GMT").ok()?;
    Some(date.and_utc().timestamp_micros())
}

/// The error with its causes, without the address.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    super::action::scrub(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, insecure, expected) in [
            ("https://soar.example.com/x", false, None),
            ("http://127.0.0.1:8080", false, None),
            ("http://[::1]:8080", false, None),
            ("http://localhost/", false, None),
            ("http://crowdsec:8080", true, None),
            ("http://crowdsec:8080", false, Some("in the clear")),
            ("http://127.0.0.1.example.com", false, Some("in the clear")),
            ("ftp://a.example", false, Some("scheme `ftp`")),
            ("soar.example.com", false, Some("not an address")),
        ] {
            let result = parse_url(text, insecure, "url");
            match expected {
                None => assert!(result.is_ok(), "{text}"),
                Some(words) => assert!(result.expect_err(text).problem.contains(words), "{text}"),
            }
        }
    }

    #[test]
    fn which_answers_end_an_action() {
        let outcome = |code: u16| {
            let status = StatusCode::from_u16(code).expect("a status");
            let answer = Answer { status, retry_after: Some(Duration::from_secs(9)), body: b"x".to_vec() };
            match judge(&answer, "the receiver") {
                Delivery::Delivered { .. } => "delivered",
                Delivery::Retry { after, .. } => {
                    assert_eq!(after, Some(Duration::from_secs(9)));
                    "retry"
                }
                Delivery::Noted { .. } => "noted",
                Delivery::Later { .. } => "later",
                Delivery::Failed { .. } => "failed",
            }
        };
        for (codes, expected) in [
            (&[200, 201, 202, 204][..], "delivered"),
            (&[301, 302, 307, 400, 401, 403, 404, 405, 410, 413, 415, 422], "failed"),
            (&[408, 409, 425, 429, 500, 502, 503, 504], "retry"),
        ] {
            for code in codes {
                assert_eq!(outcome(*code), expected, "{code}");
            }
        }
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let parse = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("a header value"));
            // 2026-03-02T10:00:00Z
            retry_after(&headers, 1_772_445_600_000_000)
        };
        assert_eq!(parse("120"), Some(Duration::from_secs(120)));
        assert_eq!(parse("Mon, 02 Mar 2026 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(parse("Monday, 02-Mar-26 10:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(parse("Mon Mar  2 10:00:30 2026"), Some(Duration::from_secs(30)));
        assert_eq!(parse("Mon, 02 Mar 2026 09:00:00 GMT"), None);
        assert_eq!(parse("Wednesday, 02-Mar-94 10:00:30 GMT"), None, "1994, not 2094");
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("-5"), None);
    }
}
