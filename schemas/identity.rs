//! Who made a request: credential, principal, tenant, scopes, and how authentication went.
//!
//! Promises: credentials become keyed tokens, or are gone; a principal that is an e-mail address (or holds a secret) is
//! kept as its first letter and a token, so that two people stay two. What the gateway names wins over claims, and a column says
//! whether it vouches for the name.
//! Never: judges a claim; detectors do.

use bumpalo::Bump;

use crate::builder::EventRow;
use crate::credential::{self, Credentials, Origin};
use crate::draft::Draft;
use crate::limits::{ID_BYTES_MAX, REPEATED_BYTES_MAX, REPEATED_TEXTS_MAX};
use crate::redact::token::{Domain, TokenKey};
use crate::redact::{Class, Column, Found, Scrubber, floor};
use crate::request::Request;
use crate::sources::SourceConfig;
use crate::texts::{Known, Texts};

/// Fills the columns about who.
pub(crate) struct Identity {
    key: TokenKey,
    tokenise_principal: bool,
    verifies_credentials: bool,
    /// Of records that name none.
    tenant: Option<String>,
    credentials: Credentials,
    /// Credentials by the gateway's own name for them.
    named: Texts,
    principals: Texts,
    buffer: String,
    scopes_spaced: String,
}

impl Identity {
    pub(crate) fn new(key: TokenKey, config: &SourceConfig) -> Identity {
        let repeated = || Texts::new(REPEATED_TEXTS_MAX, REPEATED_BYTES_MAX);
        Identity {
            key,
            tokenise_principal: config.tokenise_principal,
            verifies_credentials: config.verifies_credentials,
            tenant: config.tenant.clone(),
            credentials: Credentials::new(),
            named: repeated(),
            principals: repeated(),
            buffer: String::new(),
            scopes_spaced: String::new(),
        }
    }

    /// Fills rows, whose other columns are filled already.
    pub(crate) fn fill<'d>(&mut self, drafts: &mut [Draft<'d>], arena: &'d Bump, scrubber: &mut Scrubber) {
        for draft in drafts {
            self.fill_one(draft, arena, scrubber);
        }
    }

    fn fill_one<'d>(&mut self, draft: &mut Draft<'d>, arena: &'d Bump, scrubber: &mut Scrubber) {
        let Draft { request, row, found, .. } = draft;
        let Identity { key, credentials, .. } = self;
        let keep = |text: &str| &*arena.alloc_str(text);
        let used = credential_of(request, draft.target.query, found);
        let used = used.map(|(origin, raw)| credentials.get(origin, raw, key, scrubber));
        if let Some(used) = used {
            found.merge(used.found);
            row.credential = used.token.as_deref().map(keep);
            row.credential_kind = used.kind;
            row.jwt_alg = used.algorithm;
            row.jwt_iss = used.issuer.as_deref().map(keep);
            row.jwt_exp = used.expires_us;
        }
        if row.credential.is_none()
            && let Some(id) = request.credential_id
        {
            // The gateway took the secret out of its log; its own name for the credential tells it apart as well.
            row.credential = Some(keep(&self.named.get(id, |id| learn_token(key, Domain::Credential, id)).kept));
        }
        if let Some(principal) = request.principal.or(used.and_then(|u| u.principal.as_deref())) {
            let tokenise = self.tokenise_principal;
            let known = self.principals.get(principal, |p| learn_principal(p, tokenise, key, scrubber));
            found.merge(known.found);
            row.principal = Some(keep(&known.kept));
            let named = request.principal.map(|_| request.principal_kind.unwrap_or("user"));
            row.principal_kind = named.and_then(principal_kind).or(used.and_then(|u| u.principal_kind));
        }
        let tenant = request.tenant.map(|t| short(scrubber.of(Column::Other).scrub(t, &mut self.buffer, found)));
        let tenant = tenant.or(used.and_then(|u| u.tenant.as_deref())).or(self.tenant.as_deref());
        row.tenant = tenant.map(keep);
        let spaces = &mut self.scopes_spaced;
        let scopes =
            request.scopes.map(|t| spaced(scrubber.of(Column::Other).scrub(t, &mut self.buffer, found), spaces));
        row.scopes = scopes.or(used.and_then(|u| u.scopes.as_deref())).map(keep);
        row.auth_result = auth_result(row, used.is_some() || row.credential.is_some() || request.principal.is_some());
        row.principal_source = row.principal.map(|_| self.principal_source(request, row));
    }

    /// Who vouches for the principal of a row. A token that the gateway did not verify, sent to a page that asks for none, is
    /// answered as well as a true one; and a refused log-in names whomever it likes.
    fn principal_source(&self, request: &Request<'_>, row: &EventRow<'_>) -> &'static str {
        let vouched = request.principal.is_some() && request.principal_source.is_some_and(|said| said != UNPROVEN);
        // Redirects and preflights are answered before anybody looks at a credential.
        let well = matches!(row.status, Some(200..=299)) && row.method != Some("OPTIONS");
        let named = vouched && row.status != Some(401);
        let verified = self.verifies_credentials && row.auth_result == Some("ok") && well;
        if (named || verified) && !request.who_unproven { GATEWAY } else { UNPROVEN }
    }
}

/// What `principal_source` says: the gateway vouches for the principal, or nobody but the client does.
const GATEWAY: &str = "gateway";
const UNPROVEN: &str = "unproven";

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

fn learn_token(key: &TokenKey, domain: Domain, secret: &str) -> Known {
    Known { kept: key.token(domain, secret.as_bytes()), ..Known::default() }
}

/// A principal as it may be kept.
pub(crate) fn learn_principal(raw: &str, tokenise: bool, key: &TokenKey, scrubber: &mut Scrubber) -> Known {
    if tokenise || credential::looks_like_key(raw) {
        return learn_token(key, Domain::Principal, raw);
    }
    let mut known = Known::default();
    known.kept = short(scrubber.of(Column::Principal).scrub(raw, &mut String::new(), &mut known.found)).to_string();
    if !known.found.is_empty() {
        let token = key.token(Domain::Principal, raw.to_lowercase().as_bytes());
        let mut email = Found::default();
        email.add(Class::EMAIL);
        let initial = raw.chars().next().filter(|_| known.found == email);
        known.kept = initial.map_or(token.clone(), |initial| format!("{initial}***@{token}"));
    }
    known
}

fn principal_kind(kind: &str) -> Option<&'static str> {
    ["user", "consumer", "service"].into_iter().find(|known| *known == kind)
}

/// The start of a text, for columns that hold names and ids.
pub(crate) fn short(text: &str) -> &str {
    &text[..floor(text, ID_BYTES_MAX)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_authentication_went() {
        for (status, has_credential, exp, expected) in [
            (Some(401), false, None, Some("missing")),
            (Some(401), true, None, Some("invalid")),
            (Some(401), true, Some(99), Some("expired")),
            (Some(401), true, Some(101), Some("invalid")),
            (Some(403), false, None, Some("forbidden")),
            (Some(429), true, None, Some("limited")),
            (Some(200), true, None, Some("ok")),
            (Some(302), true, Some(99), Some("ok")),
            (Some(200), false, None, None),
            (Some(500), true, None, None),
            (None, true, None, None),
        ] {
            let row = EventRow { time: 100, status, jwt_exp: exp, ..EventRow::default() };
            assert_eq!(auth_result(&row, has_credential), expected, "{status:?} {has_credential} {exp:?}");
        }
    }

    #[test]
    fn principals_stay_readable_or_become_distinct_masks() {
        let key = crate::redact::token::Keys::new("k1", b"fake").token;
        let learn = |raw: &str, tokenise| learn_principal(raw, tokenise, &key, &mut Scrubber::default()).kept;
        assert_eq!(learn("alice", false), "alice");
        assert_eq!(learn("spiffe://cluster.example/ns/shop", false), "spiffe://cluster.example/ns/shop");
        let (one, two) = (learn("maria@example.com", false), learn("martin@example.com", false));
        assert!(one.starts_with("m***@k1:") && two.starts_with("m***@k1:") && one != two, "{one} {two}");
        assert_eq!(learn("Maria@Example.com", false)[4..], one[4..]);
        assert!(learn("password=fake", false).starts_with("k1:"));
        assert!(learn("9f8e7d6c5b4a39281706f5e4d3c2b1a0", false).starts_with("k1:"));
        assert!(learn("alice", true).starts_with("k1:"));
    }

    #[test]
    fn a_principal_is_vouched_for_by_a_gateway_that_authenticated_it() {
        let source = |verifies_credentials: bool, named: &str, status: i32| {
            let config = SourceConfig { verifies_credentials, ..SourceConfig::new("kong") };
            let identity = Identity::new(crate::redact::token::Keys::new("k1", b"fake").token, &config);
            let principal_source = (named == GATEWAY).then_some(GATEWAY);
            let request = Request {
                principal: (!named.is_empty()).then_some("anna"),
                principal_source,
                status: Some(status),
                ..Request::default()
            };
            let mut row = EventRow { status: Some(status), method: Some("GET"), ..EventRow::default() };
            row.auth_result = auth_result(&row, true);
            let preflight = EventRow { method: Some("OPTIONS"), ..row };
            let unnamed = Request { principal_source: None, ..request };
            assert_eq!(identity.principal_source(&unnamed, &preflight), UNPROVEN);
            identity.principal_source(&request, &row)
        };
        for (verifies_credentials, named, status, expected) in [
            (false, GATEWAY, 200, GATEWAY),
            (false, GATEWAY, 404, GATEWAY),
            // A log-in that was refused names whomever it likes.
            (false, GATEWAY, 401, UNPROVEN),
            // Basic authentication, or a token: what a client writes.
            (false, "user", 200, UNPROVEN),
            (false, "", 200, UNPROVEN),
            (true, "", 200, GATEWAY),
            (true, "user", 204, GATEWAY),
            (true, "user", 302, UNPROVEN),
            (true, "", 404, UNPROVEN),
            (true, "", 401, UNPROVEN),
        ] {
            assert_eq!(
                source(verifies_credentials, named, status),
                expected,
                "{verifies_credentials} {named} {status}"
            );
        }
    }
}
