//! How a source takes records over HTTP: where, from whom, how much.
//!
//! Promises: the token is in no Debug output; it is kept as a digest and compared in constant time.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::ingest::tls::ServerTls;

#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// Begins with a slash and does not end with one.
    pub path: String,
    /// Whoever has it may send; without one everybody may.
    pub token: Option<Token>,
    pub tls: Option<ServerTls>,
    /// Bytes of a body, also unpacked.
    pub body_max: usize,
    pub rate: Option<Rate>,
    /// Of the listener.
    pub connections_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// The source speaks OTLP: an empty request is one, and what is not OTLP is read as OTLP's own JSON.
    pub is_otlp: bool,
}

/// Records per second, and how many may come at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u64,
    pub burst: u64,
}

/// What a sender shows as `Authorization: Bearer`.
#[derive(Clone)]
pub struct Token(Digest);

impl Token {
    pub fn new(token: &str) -> Token {
        Token(digest(&SHA256, token.as_bytes()))
    }

    /// Whether the value of the header `Authorization` shows it.
    pub fn is_shown_by(&self, authorization: &[u8]) -> bool {
        let Some((scheme, shown)) = authorization.split_at_checked(b"Bearer ".len()) else { return false };
        let shown = digest(&SHA256, shown.trim_ascii());
        // Digests have one length, and say nothing about how much of the token was right.
        scheme.eq_ignore_ascii_case(b"Bearer ") && verify_slices_are_equal(self.0.as_ref(), shown.as_ref()).is_ok()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_whole_or_not_at_all() {
        let token = Token::new("not-a-real-token");
        for (shown, right) in [
            ("Bearer not-a-real-token", true),
            ("bearer  not-a-real-token ", true),
            ("Bearer not-a-real-toke", false),
            ("Bearer not-a-real-token2", false),
            ("Basic not-a-real-token", false),
            ("not-a-real-token", false),
            ("Bearer ", false),
            ("", false),
        ] {
            assert_eq!(token.is_shown_by(shown.as_bytes()), right, "{shown}");
        }
        assert_eq!(format!("{token:?}"), "***");
    }
}
