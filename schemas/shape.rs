//! From a raw request to a row: times checked, addresses judged, texts scrubbed, secrets turned into tokens.
//!
//! Promises: every text that reaches the builder went through the scrubber, or is one of a fixed set of words, an
//! address that parsed, or a token. This is the place to look when asking what may be in a column.
//! Never: knows a gateway's format.

use arrow::array::RecordBatch;

use crate::address::{self, Trusted};
use crate::agent;
use crate::builder::{EventBuilder, EventRow};
use crate::credential::{self, Credential, Credentials, Origin};
use crate::limits::{ID_BYTES_MAX, OBJECT_CACHED_BYTES_MAX, OBJECTS_MAX, REPEATED_BYTES_MAX, REPEATED_TEXTS_MAX};
use crate::record::{Entry, Lane};
use crate::redact::token::{Domain, Keys, TokenKey};
use crate::redact::{Class, Found, Scrubber, floor};
use crate::reject::Code;
use crate::request::{Fault, Request, Target};
use crate::route;
use crate::sources::{SourceConfig, SourceError};
use crate::texts::{Known, Texts};
use crate::time::{YEAR_2000_US, YEAR_2100_US};

/// Makes rows of one source.
pub(crate) struct Shaper {
    gateway: String,
    trusted: Trusted,
    tokenise_principal: bool,
    ahead_max_us: Option<i64>,
    tenant: Option<String>,
    key: TokenKey,
    scrubber: Scrubber,
    credentials: Credentials,
    agents: Texts,
    hosts: Texts,
    principals: Texts,
    objects: Texts,
    /// Credentials by the gateway's own name for them.
    named: Texts,
    buffers: Buffers,
    builder: EventBuilder,
}

/// What a row borrows while it is put together.
#[derive(Default)]
struct Buffers {
    path: String,
    query: String,
    referrer: String,
    request_id: String,
    trace_id: String,
    tenant: String,
    scopes: String,
    spaced: String,
    method: String,
    country: String,
    endpoint: String,
    identifiers: String,
    client_ip: String,
    names: Vec<&'static str>,
}

impl Shaper {
    pub(crate) fn new(config: &SourceConfig, gateway: &str, keys: &Keys) -> Result<Shaper, SourceError> {
        let trusted = Trusted::parse(&config.trusted_proxies)
            .map_err(|network| SourceError::Network { source_name: config.name.clone(), network })?;
        let repeated = || Texts::new(REPEATED_TEXTS_MAX, REPEATED_BYTES_MAX);
        Ok(Shaper {
            gateway: gateway.to_string(),
            trusted,
            tokenise_principal: config.tokenise_principal,
            ahead_max_us: config.ahead_max_us,
            tenant: config.tenant.clone(),
            key: keys.token.clone(),
            scrubber: Scrubber::default(),
            credentials: Credentials::new(),
            agents: repeated(),
            hosts: repeated(),
            principals: repeated(),
            objects: Texts::new(OBJECTS_MAX, OBJECT_CACHED_BYTES_MAX),
            named: repeated(),
            buffers: Buffers::default(),
            builder: EventBuilder::new(),
        })
    }

    /// The rows since the last call.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        self.builder.finish()
    }

    /// Appends the event of `request`, or says why there is none.
    pub(crate) fn append(&mut self, request: &Request<'_>, entry: &Entry, lane: &Lane) -> Result<(), Fault> {
        let time = self.time(request, entry)?;
        let target = Target::of(request);
        let mut found = Found::default();
        if target.has_userinfo {
            found.add(Class::USERINFO);
        }
        let Shaper { scrubber, buffers: b, .. } = self;
        let mut row = EventRow {
            time,
            observed_time: entry.observed_us,
            source: &lane.source,
            gateway: &self.gateway,
            status: request.status,
            latency_us: request.latency_us,
            request_bytes: request.request_bytes,
            response_bytes: request.response_bytes,
            records: request.records,
            asn: request.asn,
            partition: lane.partition,
            offset: entry.offset,
            ..EventRow::default()
        };
        row.method = target.method.map(|m| upper(m, &mut b.method));
        row.path = target.path.map(|t| scrubber.scrub(t, &mut b.path, &mut found));
        row.query = target.query.map(|t| scrubber.scrub(t, &mut b.query, &mut found));
        row.referrer = request.referrer.map(|t| scrubber.scrub(t, &mut b.referrer, &mut found));
        row.request_id = request.request_id.map(|t| short(scrubber.scrub(t, &mut b.request_id, &mut found)));
        row.trace_id = request.trace_id.map(|t| short(scrubber.scrub(t, &mut b.trace_id, &mut found)));
        row.country = request.country.and_then(|c| country(c, &mut b.country));
        row.tls_version = request.tls_version.and_then(tls_version);

        let host = target.host.map(|h| self.hosts.get(h, |h| learn_host(h, scrubber)));
        row.host = host.map(|h| note(h, &mut found)).filter(|h| !h.is_empty());
        let agent = request.user_agent.map(|u| self.agents.get(u, |u| learn_agent(u, scrubber)));
        row.client_class = agent.and_then(|a| a.label);
        row.user_agent = agent.map(|a| note(a, &mut found));

        endpoint(row.method, target.path, row.path, &mut b.endpoint, &mut b.identifiers);
        row.endpoint = row.path.map(|_| b.endpoint.as_str());
        query_identifiers(target.query, &mut b.identifiers);
        let key = &self.key;
        row.object_id = (!b.identifiers.is_empty())
            .then(|| self.objects.get(&b.identifiers, |ids| learn_token(key, Domain::Object, ids)).kept.as_str());

        if let Some((ip, source)) = address::client(request.peer, request.forwarded, &self.trusted) {
            address::write(ip, &mut b.client_ip);
            (row.client_ip, row.client_ip_source) = (Some(b.client_ip.as_str()), Some(source));
        }

        let used = credential_of(request, target.query, &mut found);
        let used = used.map(|(origin, raw)| self.credentials.get(origin, raw, key, scrubber));
        if let Some(used) = used {
            take_credential(used, &mut row, &mut found);
        }
        if row.credential.is_none()
            && let Some(id) = request.credential_id
        {
            // The gateway took the secret out of its log; its own name for the credential tells it apart as well.
            row.credential = Some(&self.named.get(id, |id| learn_token(key, Domain::Credential, id)).kept);
        }
        let principal = request.principal.or(used.and_then(|u| u.principal.as_deref()));
        if let Some(principal) = principal {
            let tokenise = self.tokenise_principal;
            let known = self.principals.get(principal, |p| learn_principal(p, tokenise, key, scrubber));
            row.principal = Some(note(known, &mut found));
            let named = request.principal.map(|_| request.principal_kind.unwrap_or("user"));
            row.principal_kind = named.and_then(principal_kind).or(used.and_then(|u| u.principal_kind));
        }
        row.tenant = request.tenant.map(|t| short(scrubber.scrub(t, &mut b.tenant, &mut found)));
        row.tenant = row.tenant.or(used.and_then(|u| u.tenant.as_deref())).or(self.tenant.as_deref());
        row.scopes = request.scopes.map(|t| spaced(scrubber.scrub(t, &mut b.scopes, &mut found), &mut b.spaced));
        row.scopes = row.scopes.or(used.and_then(|u| u.scopes.as_deref()));
        row.auth_result = auth_result(&row, used.is_some() || row.credential.is_some() || request.principal.is_some());
        found.names(&mut b.names);
        row.redactions = &b.names;
        self.builder.append(&row);
        Ok(())
    }

    /// When the response was complete, checked.
    fn time(&self, request: &Request<'_>, entry: &Entry) -> Result<i64, Fault> {
        let time = match (request.time_us, request.start_us) {
            (Some(time), _) => time,
            (None, Some(start)) => start.saturating_add(request.latency_us.unwrap_or(0)),
            (None, None) => return Err(Fault::new(Code::MissingField, "time: expected the time of the request")),
        };
        if !(YEAR_2000_US..YEAR_2100_US).contains(&time) {
            return Err(Fault::new(Code::TimeOutOfRange, "time: expected a time from 2000 to 2099"));
        }
        match self.ahead_max_us {
            Some(ahead) if time > entry.observed_us.saturating_add(ahead) => {
                let detail = format!("time: expected at most {ahead} us after the record arrived");
                Err(Fault::new(Code::TimeOutOfRange, detail))
            }
            _ => Ok(time),
        }
    }
}

/// A remembered text, and what was removed from it.
fn note<'k>(known: &'k Known, found: &mut Found) -> &'k str {
    found.merge(known.found);
    &known.kept
}

fn short(text: &str) -> &str {
    &text[..floor(text, ID_BYTES_MAX)]
}

fn upper<'b>(method: &'b str, buffer: &'b mut String) -> &'b str {
    if method.bytes().all(|b| b.is_ascii_uppercase()) {
        return method;
    }
    buffer.clear();
    buffer.extend(method.chars().map(|c| c.to_ascii_uppercase()));
    buffer
}

/// Scopes with spaces between them, as OAuth has them; gateways write commas, too.
fn spaced<'b>(scopes: &'b str, buffer: &'b mut String) -> &'b str {
    if !scopes.contains(',') {
        return scopes;
    }
    buffer.clear();
    for scope in scopes.split([',', ' ']).filter(|scope| !scope.is_empty()) {
        if !buffer.is_empty() {
            buffer.push(' ');
        }
        buffer.push_str(scope);
    }
    buffer
}

/// ISO 3166-1 alpha-2, upper case; `-`, `XX` and longer names say nothing.
fn country<'b>(text: &str, buffer: &'b mut String) -> Option<&'b str> {
    let is_code = text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) && !text.eq_ignore_ascii_case("xx");
    buffer.clear();
    buffer.extend(text.chars().take(2).map(|c| c.to_ascii_uppercase()));
    is_code.then_some(buffer.as_str())
}

/// The versions there are, by the names and numbers gateways give them.
fn tls_version(text: &str) -> Option<&'static str> {
    let digits: &str = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let is_ssl = text.len() >= 3 && text.as_bytes()[..3].eq_ignore_ascii_case(b"ssl");
    match digits {
        "1.3" | "1_3" | "772" => Some("TLSv1.3"),
        "1.2" | "1_2" | "771" => Some("TLSv1.2"),
        "1.1" | "1_1" | "770" => Some("TLSv1.1"),
        "1" | "1.0" | "1_0" | "769" if !is_ssl => Some("TLSv1"),
        "3" | "3.0" if is_ssl => Some("SSLv3"),
        _ => None,
    }
}

fn principal_kind(kind: &str) -> Option<&'static str> {
    ["user", "consumer", "service"].into_iter().find(|known| *known == kind)
}

/// A host in lower case without port and userinfo.
fn learn_host(raw: &str, scrubber: &mut Scrubber) -> Known {
    let mut known = Known::default();
    let host = match raw.rsplit_once('@') {
        Some((_, host)) => {
            known.found.add(Class::USERINFO);
            host
        }
        None => raw,
    };
    let host = match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    };
    // Scrubbed before it is lowered: shapes have their case.
    known.kept = short(scrubber.scrub(host, &mut String::new(), &mut known.found)).to_string();
    if known.found.is_empty() {
        known.kept.make_ascii_lowercase();
    }
    known
}

fn learn_agent(raw: &str, scrubber: &mut Scrubber) -> Known {
    let mut known = Known { label: agent::class(raw), ..Known::default() };
    known.kept = scrubber.scrub(raw, &mut String::new(), &mut known.found).to_string();
    known
}

fn learn_token(key: &TokenKey, domain: Domain, secret: &str) -> Known {
    Known { kept: key.token(domain, secret.as_bytes()), ..Known::default() }
}

/// A principal as it may be kept. An e-mail address becomes its first letter and a token, so that two people stay two.
fn learn_principal(raw: &str, tokenise: bool, key: &TokenKey, scrubber: &mut Scrubber) -> Known {
    if tokenise {
        return learn_token(key, Domain::Principal, raw);
    }
    let mut known = Known::default();
    known.kept = short(scrubber.scrub(raw, &mut String::new(), &mut known.found)).to_string();
    if !known.found.is_empty() {
        let token = key.token(Domain::Principal, raw.to_lowercase().as_bytes());
        let mut email = Found::default();
        email.add(Class::EMAIL);
        let initial = raw.chars().next().filter(|_| known.found == email);
        known.kept = initial.map_or(token.clone(), |initial| format!("{initial}***@{token}"));
    }
    known
}

/// Writes `METHOD /template` and the identifiers of the path. Templates come from the scrubbed path, identifiers (which
/// only ever become a token) from the raw one.
fn endpoint(
    method: Option<&str>,
    raw: Option<&str>,
    scrubbed: Option<&str>,
    out: &mut String,
    identifiers: &mut String,
) {
    out.clear();
    identifiers.clear();
    let (Some(raw), Some(scrubbed)) = (raw, scrubbed) else { return };
    out.push_str(method.unwrap_or("-"));
    out.push(' ');
    let mut collect = |id: &str| {
        if !identifiers.is_empty() {
            identifiers.push('/');
        }
        identifiers.push_str(id);
    };
    if std::ptr::eq(raw, scrubbed) {
        route::template(raw, out, collect);
    } else {
        route::template(scrubbed, out, |_| {});
        route::template(raw, &mut String::new(), &mut collect);
    }
}

fn query_identifiers(query: Option<&str>, identifiers: &mut String) {
    let pairs = query.into_iter().flat_map(|q| q.split('&')).filter_map(|pair| pair.split_once('='));
    for (key, value) in pairs {
        if !value.is_empty() && route::names_object(key) {
            identifiers.push('?');
            identifiers.push_str(value);
        }
    }
}

/// The credential a request came with, the strongest first, and what of it counts as removed from the record.
fn credential_of<'r>(request: &Request<'r>, query: Option<&'r str>, found: &mut Found) -> Option<(Origin, &'r str)> {
    for (field, class) in [
        (request.authorization, Class::AUTHORIZATION),
        (request.api_key, Class::API_KEY),
        (request.cookie, Class::COOKIE),
    ] {
        if field.is_some() {
            found.add(class);
        }
    }
    let header = request.authorization.map(|raw| (Origin::Authorization, raw));
    header
        .or_else(|| request.api_key.map(|raw| (Origin::ApiKey, raw)))
        .or_else(|| query.filter(|_| !found.is_empty()).and_then(credential::in_query))
        .or_else(|| request.cookie.and_then(credential::session_cookie).map(|raw| (Origin::Session, raw)))
        .or_else(|| request.certificate.map(|raw| (Origin::Certificate, raw)))
}

fn take_credential<'c>(used: &'c Credential, row: &mut EventRow<'c>, found: &mut Found) {
    found.merge(used.found);
    row.credential = used.token.as_deref();
    row.credential_kind = used.kind;
    row.jwt_alg = used.algorithm;
    row.jwt_iss = used.issuer.as_deref();
    row.jwt_exp = used.expires_us;
}

/// How authentication went, as far as status and credential tell.
fn auth_result(row: &EventRow<'_>, has_credential: bool) -> Option<&'static str> {
    match row.status? {
        401 if !has_credential => Some("missing"),
        401 if row.jwt_exp.is_some_and(|exp| exp < row.time) => Some("expired"),
        401 => Some("invalid"),
        403 => Some("forbidden"),
        429 => Some("limited"),
        200..=399 if has_credential => Some("ok"),
        _ => None,
    }
}
