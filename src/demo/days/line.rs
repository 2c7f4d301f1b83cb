//! One exchange of the long demo, with what goes into a log line, and how calls are written down with few words.
//!
//! Promises: sizes and times are set for the status, and a call that says nothing else is an ordinary small one.
//! Never: a credential that any system would accept.

use std::sync::Arc;

use crate::demo::chance::Chance;
use crate::demo::client::{Client, Credential, base64url};
use crate::demo::formats::{Detail, Exchange};

/// What is asked and answered.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) status: u16,
    pub(super) latency_ms: u32,
    pub(super) request_bytes: u32,
    pub(super) response_bytes: u64,
    pub(super) records: Option<u64>,
    pub(super) tls: &'static str,
    /// The credential is not sent.
    pub(super) open: bool,
}

impl Call {
    pub(super) fn new(method: &'static str, path: impl Into<String>, status: u16) -> Call {
        let (path, query) = (path.into(), String::new());
        let response_bytes = match status {
            204 | 304 => 0,
            200..=299 => 1_400,
            _ => 180,
        };
        let (latency_ms, request_bytes, tls) = (18, 520, "TLSv1.3");
        Call { method, path, query, status, latency_ms, request_bytes, response_bytes, records: None, tls, open: false }
    }

    pub(super) fn get(path: impl Into<String>, status: u16) -> Call {
        Call::new("GET", path, status)
    }

    pub(super) fn post(path: impl Into<String>, status: u16) -> Call {
        Call::new("POST", path, status)
    }

    pub(super) fn query(mut self, query: impl Into<String>) -> Call {
        self.query = query.into();
        self
    }

    pub(super) fn bytes(mut self, bytes: u64) -> Call {
        self.response_bytes = bytes;
        self
    }

    pub(super) fn sends(mut self, bytes: u32) -> Call {
        self.request_bytes = bytes;
        self
    }

    pub(super) fn takes(mut self, latency_ms: u32) -> Call {
        self.latency_ms = latency_ms;
        self
    }

    pub(super) fn records(mut self, records: u64) -> Call {
        self.records = Some(records);
        self
    }

    pub(super) fn tls(mut self, tls: &'static str) -> Call {
        self.tls = tls;
        self
    }

    pub(super) fn open(mut self) -> Call {
        self.open = true;
        self
    }

    /// Scatters size and latency, as calls of one endpoint do.
    pub(super) fn scattered(mut self, chance: &mut Chance) -> Call {
        self.response_bytes = chance.lognormal(self.response_bytes as f64, 0.5) as u64;
        self.latency_ms = 1 + chance.lognormal(f64::from(self.latency_ms), 0.6) as u32;
        self.request_bytes += chance.below(300);
        self
    }
}

/// A call with its caller and time.
pub(super) struct Line {
    pub(super) at_ms: i64,
    pub(super) client: Arc<Client>,
    pub(super) call: Call,
    /// Tells of two lines of one millisecond which is first, and gives the request its id.
    pub(super) mark: [u64; 2],
}

impl Line {
    pub(super) fn exchange(&self) -> Exchange<'_> {
        let call = &self.call;
        let service = call.path.split('/').nth(2).filter(|part| !part.is_empty()).unwrap_or("edge");
        Exchange {
            completed_ms: self.at_ms,
            latency_ms: call.latency_ms,
            method: call.method,
            path: &call.path,
            query: &call.query,
            service,
            status: call.status,
            request_bytes: call.request_bytes,
            response_bytes: call.response_bytes,
            request_id: self.mark,
            open: call.open,
            client: &self.client,
            detail: Some(Detail { tls: call.tls, records: call.records }),
        }
    }
}

/// What a token says.
pub(super) struct Claims<'a> {
    pub(super) algorithm: &'a str,
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) tenant: &'a str,
    /// Seconds; none for a token that does not end.
    pub(super) expires: Option<i64>,
    pub(super) scope: &'a str,
}

pub(super) const ISSUER: &str = "https://id.example.com";

impl<'a> Claims<'a> {
    pub(super) fn of(subject: &'a str, tenant: &'a str, expires_ms: i64) -> Claims<'a> {
        let expires = Some(expires_ms / 1000);
        Claims { algorithm: "RS256", issuer: ISSUER, subject, tenant, expires, scope: "read write" }
    }

    pub(super) fn token(&self, bits: u64) -> Credential {
        let mut token = String::with_capacity(320);
        base64url(format!(r#"{{"alg":"{}","typ":"JWT"}}"#, self.algorithm).as_bytes(), &mut token);
        token.push('.');
        let expires = self.expires.map_or_else(String::new, |expires| format!(r#""exp":{expires},"#));
        let Claims { issuer, subject, tenant, scope, .. } = self;
        let claims = format!(
            r#"{{"iss":"{issuer}","sub":"{subject}","tenant":"{tenant}",{expires}"scope":"{scope}","jti":"{bits:016x}"}}"#
        );
        base64url(claims.as_bytes(), &mut token);
        token.push('.');
        if self.algorithm != "none" {
            base64url(format!("fake-signature-{:08x}", bits as u32).as_bytes(), &mut token);
        }
        Credential::Bearer(token)
    }
}

/// Somebody with a token.
pub(super) fn with_token(address: &str, agent: &'static str, claims: &Claims<'_>, chance: &mut Chance) -> Arc<Client> {
    let (credential, tenant) = (claims.token(chance.bits()), Some(claims.tenant.to_owned()));
    Arc::new(Client { address: address.into(), user_agent: agent, principal: None, tenant, credential, cookie: None })
}

/// Somebody who shows a name and a password.
pub(super) fn with_password(address: &str, agent: &'static str, name: &str, chance: &mut Chance) -> Arc<Client> {
    let mut pair = String::new();
    base64url(format!("{name}:fake-{:08x}", chance.bits() as u32).as_bytes(), &mut pair);
    // Basic wants its padding.
    pair.extend(std::iter::repeat_n('=', (4 - pair.len() % 4) % 4));
    let (credential, principal, tenant) = (Credential::Basic(pair), None, None);
    Arc::new(Client { address: address.into(), user_agent: agent, principal, tenant, credential, cookie: None })
}

/// Somebody with a session cookie, whose name the gateway does not know unless it is given.
pub(super) fn with_session(
    address: &str,
    agent: &'static str,
    session: u64,
    principal: Option<&str>,
    tenant: Option<&str>,
) -> Arc<Client> {
    let cookie = Some(format!("session=fake{session:016x}; theme=dark"));
    let (principal, tenant) = (principal.map(str::to_owned), tenant.map(str::to_owned));
    let credential = Credential::None;
    Arc::new(Client { address: address.into(), user_agent: agent, principal, tenant, credential, cookie })
}
