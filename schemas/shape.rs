//! From a raw request to a row: times checked, addresses judged, texts scrubbed, secrets turned into tokens.
//!
//! Promises: every text that reaches the builder went through the scrubber, or is one of a fixed set of words, an
//! address that parsed, or a token. This is the place to look when asking what may be in a column.
//! Never: knows a gateway's format.

use std::net::IpAddr;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bumpalo::Bump;

use crate::address::{self, Trusted, UNPROVEN};
use crate::agent;
use crate::builder::{EventBuilder, EventRow};
use crate::draft::{Draft, Recorded};
use crate::enrich::{Enricher, Geo};
use crate::grpc;
use crate::identity::{Identity, short};
use crate::limits::{FORWARDED_HOPS_MAX, OBJECT_CACHED_BYTES_MAX, OBJECTS_MAX, REPEATED_BYTES_MAX, REPEATED_TEXTS_MAX};
use crate::probes::{Place, Probed, Prober};
use crate::record::{Entry, Lane};
use crate::redact::token::{Domain, Keys, TokenKey};
use crate::redact::{Class, Column, Found, Scrubber};
use crate::reject::Code;
use crate::request::{Damaged, Fault, Request, Target};
use crate::route::{self, Asked, Router};
use crate::sources::{LATENCY_US_MAX, Parser, SourceConfig, SourceError};
use crate::texts::{Known, Recent, ScrubbedTexts, Texts};
use crate::time::{YEAR_2000_US, YEAR_2100_US};

/// The proxies that a source's configuration trusts.
fn trusted(config: &SourceConfig) -> Result<Trusted, SourceError> {
    let (source_name, hops) = (config.name.clone(), config.trusted_hops);
    if hops > FORWARDED_HOPS_MAX {
        return Err(SourceError::Hops { source_name, hops });
    }
    if hops > 0 && !config.trusted_proxies.is_empty() {
        return Err(SourceError::NetworkAndHops { source_name });
    }
    let trusted = Trusted::parse(&config.trusted_proxies);
    let trusted = trusted.map_err(|network| SourceError::Network { source_name, network })?;
    Ok(trusted.with_hops(hops).with_header(config.client_ip_header))
}

/// Makes rows of one source.
pub(crate) struct Shaper {
    gateway: String,
    ahead_max_us: Option<i64>,
    scrubber: Scrubber,
    texts: RequestTexts,
    client: Client,
    route: Route,
    identity: Identity,
    names: Vec<&'static str>,
    damaged: Vec<&'static str>,
    prober: Prober,
    probes: Vec<&'static str>,
    /// What rows borrow while they are made.
    arena: Bump,
    builder: EventBuilder,
}

/// Bytes that an arena keeps for the next requests; a larger one is given back.
const ARENA_BYTES_MAX: usize = 4 << 20;

impl Shaper {
    pub(crate) fn new(config: &SourceConfig, gateway: &str, keys: &Keys) -> Result<Shaper, SourceError> {
        let trusted = trusted(config)?;
        let key = keys.token.clone();
        let plan = config
            .redaction
            .plan()
            .map_err(|error| SourceError::Redaction { source_name: config.name.clone(), error })?;
        Ok(Shaper {
            gateway: gateway.to_string(),
            ahead_max_us: config.ahead_max_us,
            scrubber: Scrubber::new(Arc::new(plan), Some(key.clone())),
            texts: RequestTexts::new(),
            client: Client::new(trusted),
            route: Route::new(key.clone(), Router::new(config.templates.clone())),
            identity: Identity::new(key, config),
            names: Vec::new(),
            damaged: Vec::new(),
            prober: Prober::default(),
            probes: Vec::new(),
            arena: Bump::new(),
            builder: EventBuilder::new(),
        })
    }

    /// Where to look up what records leave out about their client.
    pub(crate) fn set_geo(&mut self, geo: Option<Arc<Geo>>) {
        self.client.located.set(geo);
    }

    /// The next records are of `lane`.
    pub(crate) fn begin(&mut self, lane: &Lane) {
        self.route.router.begin(lane);
    }

    /// The records of `lane` up to `next` are done: what was learned of its paths, when that changed or `all` is wanted.
    pub(crate) fn end(&mut self, lane: &Lane, next: i64, all: bool) -> Option<route::Saved> {
        self.route.router.end(lane, next, all)
    }

    /// What was learned so far of the paths of the lane that is read.
    pub(crate) fn learned(&mut self) -> Option<route::Saved> {
        self.route.router.learned()
    }

    /// What was learned so far of the paths of a lane that is not being read.
    pub(crate) fn learned_of(&self, lane: &Lane) -> Option<route::Saved> {
        self.route.router.learned_of(lane)
    }

    /// Goes on with what another shaper has learned of the lane that is read.
    pub(crate) fn learn(&mut self, learned: &route::Saved) {
        self.route.router.learn(learned);
    }

    /// Goes on with what was learned of a lane's paths; false when it makes no sense.
    pub(crate) fn restore(&mut self, lane: &Lane, learned: &route::Saved) -> bool {
        self.route.router.restore(lane, learned)
    }

    /// The rows since the last call.
    pub(crate) fn finish(&mut self) -> RecordBatch {
        self.builder.finish()
    }

    /// Appends the events of `all`. `faults` gets why there is none, or nothing, for each of them.
    pub(crate) fn append(&mut self, all: &[Recorded<'_>], lane: &Lane, faults: &mut Vec<Option<Fault>>) {
        let mut arena = std::mem::take(&mut self.arena);
        self.append_in(&arena, all, lane, faults);
        if arena.allocated_bytes() > ARENA_BYTES_MAX {
            arena = Bump::new();
        }
        arena.reset();
        self.arena = arena;
    }

    fn append_in(&mut self, arena: &Bump, all: &[Recorded<'_>], lane: &Lane, faults: &mut Vec<Option<Fault>>) {
        let mut drafts = Vec::with_capacity(all.len());
        for one in all {
            let draft = draft(one, self.ahead_max_us);
            faults.push(draft.map(|draft| drafts.push(draft)).err());
        }
        let Shaper { gateway, scrubber, prober, .. } = self;
        for Draft { row, .. } in &mut drafts {
            (row.source, row.gateway, row.partition) = (&lane.source, &*gateway, lane.partition);
        }
        self.texts.fill(&mut drafts, arena, scrubber, prober);
        self.client.fill(&mut drafts, arena, scrubber, prober);
        self.route.fill(&mut drafts, arena, scrubber.of(Column::Path));
        self.identity.fill(&mut drafts, arena, scrubber);
        for Draft { row, damaged, found, probed, .. } in &mut drafts {
            damaged_columns(*damaged, &mut self.damaged);
            row.damaged = arena.alloc_slice_copy(&self.damaged);
            found.names(|class| scrubber.name(class), &mut self.names);
            row.redactions = arena.alloc_slice_copy(&self.names);
            probed.names(&mut self.probes);
            row.probes = arena.alloc_slice_copy(&self.probes);
        }
        let rows: Vec<&EventRow<'_>> = drafts.iter().map(|draft| &draft.row).collect();
        self.builder.extend(&rows);
    }

    /// When the response was complete, checked.
    pub(crate) fn time(&self, request: &Request<'_>, entry: &Entry, damaged: &mut Damaged) -> Result<i64, Fault> {
        time_of(request, entry, self.ahead_max_us, damaged)
    }
}

/// The row of a request as far as it has no texts, or why there is none.
fn draft<'d>(one: &'d Recorded<'_>, ahead_max_us: Option<i64>) -> Result<Draft<'d>, Fault> {
    let Recorded { request, entry } = one;
    let mut damaged = request.damaged;
    let time = time_of(request, entry, ahead_max_us, &mut damaged)?;
    if !request.tells() && request.status.is_none() {
        let detail = "expected a client or a request; the record tells of neither";
        return Err(Fault::new(Code::MissingField, detail));
    }
    let target = Target::of(request);
    let mut found = Found::default();
    if target.has_userinfo {
        found.add(Class::USERINFO);
    }
    let row = EventRow {
        time,
        observed_time: entry.observed_us,
        status: grpc::effective_status(request.status, request.grpc_status),
        grpc_status: request.grpc_status,
        latency_us: request.latency_us.or_else(|| took(request)),
        request_bytes: request.request_bytes,
        response_bytes: request.response_bytes,
        records: request.records,
        asn: request.asn,
        tls_version: request.tls_version.and_then(tls_version),
        offset: entry.offset,
        ..EventRow::default()
    };
    Ok(Draft { request, target, row, damaged, found, probed: Probed::default() })
}

/// When the response was complete, checked.
fn time_of(
    request: &Request<'_>,
    entry: &Entry,
    ahead_max_us: Option<i64>,
    damaged: &mut Damaged,
) -> Result<i64, Fault> {
    let time = match (request.time_us, request.start_us, request.envelope_us) {
        (Some(time), _, _) => time,
        (None, Some(start), _) => start.saturating_add(request.latency_us.unwrap_or(0)),
        (None, None, Some(time)) => time,
        (None, None, None) => return Err(no_time(damaged, request.likely_unit)),
    };
    if !(YEAR_2000_US..YEAR_2100_US).contains(&time) {
        let detail = format!("time: expected a time from 2000 to 2099{}", likely(request.likely_unit));
        return Err(Fault::new(Code::TimeOutOfRange, detail));
    }
    match ahead_max_us {
        Some(ahead) if time > entry.observed_us.saturating_add(ahead) => {
            let (most, got) = (ahead / 1_000_000, time.saturating_sub(entry.observed_us) / 1_000_000);
            let detail = format!("time: expected at most {most} s after the record arrived (ahead_max), got {got} s");
            Err(Fault::new(Code::TimeOutOfRange, detail))
        }
        _ => Ok(time),
    }
}

/// The unit that a number which is no time in the mapping's has likely.
fn likely(unit: Option<&str>) -> String {
    unit.map_or_else(String::new, |unit| format!("; the number would be one in {unit}"))
}

/// Why a record has no time: it was there and could not be read, the record ends before it, or it is not there.
#[cold]
fn no_time(damaged: &Damaged, likely_unit: Option<&str>) -> Fault {
    if damaged.iter().any(|number| Parser::damaged_column(number) == "time") {
        let detail = format!("time: expected a time in the form that the source has{}", likely(likely_unit));
        return Fault::new(Code::InvalidTime, detail);
    }
    if damaged.has(Damaged::RECORD) {
        return Fault::new(Code::InvalidJson, "the record ends early, before the time of the request");
    }
    Fault::new(Code::MissingField, "time: expected the time of the request")
}

/// From start to end, where both are logged.
fn took(request: &Request<'_>) -> Option<i64> {
    let took = request.time_us?.checked_sub(request.start_us?)?;
    (0..=LATENCY_US_MAX).contains(&took).then_some(took)
}

fn damaged_columns(damaged: Damaged, names: &mut Vec<&'static str>) {
    names.clear();
    for name in damaged.iter().map(Parser::damaged_column) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The texts of the request that differ from event to event.
struct RequestTexts {
    paths: ScrubbedTexts,
    queries: ScrubbedTexts,
    referrers: ScrubbedTexts,
    buffer: String,
}

impl RequestTexts {
    fn new() -> RequestTexts {
        RequestTexts {
            paths: ScrubbedTexts::new(Column::Path, Place::Path),
            queries: ScrubbedTexts::new(Column::Query, Place::Query),
            referrers: ScrubbedTexts::new(Column::Referrer, Place::Header),
            buffer: String::new(),
        }
    }

    fn fill<'d>(&mut self, drafts: &mut [Draft<'d>], arena: &'d Bump, scrubber: &mut Scrubber, prober: &mut Prober) {
        self.paths.fill(drafts, arena, scrubber, prober, |draft| (draft.target.path, &mut draft.row.path));
        self.queries.fill(drafts, arena, scrubber, prober, |draft| (draft.target.query, &mut draft.row.query));
        self.referrers.fill(drafts, arena, scrubber, prober, |draft| (draft.request.referrer, &mut draft.row.referrer));
        scrubber.of(Column::Other);
        let buffer = &mut self.buffer;
        for Draft { request, target, row, found, .. } in drafts {
            let mut id = |text: Option<&'d str>| Some(short(scrubbed(text?, scrubber, buffer, found, arena)));
            (row.request_id, row.trace_id) = (id(request.request_id), id(request.trace_id));
            row.method = target.method.map(|method| upper(method, arena));
        }
    }
}

/// The text as it may be kept: itself, or in the arena.
fn scrubbed<'d>(
    text: &'d str,
    scrubber: &mut Scrubber,
    buffer: &mut String,
    found: &mut Found,
    arena: &'d Bump,
) -> &'d str {
    let kept = scrubber.scrub(text, buffer, found);
    if std::ptr::eq(kept, text) { text } else { arena.alloc_str(kept) }
}

/// What is told of the client: its address, its program, the host it asked for.
struct Client {
    trusted: Trusted,
    agents: Texts,
    hosts: Texts,
    buffer: String,
    located: Enricher,
}

impl Client {
    fn new(trusted: Trusted) -> Client {
        let repeated = || Texts::new(REPEATED_TEXTS_MAX, REPEATED_BYTES_MAX);
        Client { trusted, agents: repeated(), hosts: repeated(), buffer: String::new(), located: Enricher::new() }
    }

    fn fill<'d>(&mut self, drafts: &mut [Draft<'d>], arena: &'d Bump, scrubber: &mut Scrubber, prober: &mut Prober) {
        for Draft { target, row, found, probed, .. } in &mut *drafts {
            let Some(host) = target.host else { continue };
            let host = self.hosts.get(host, |host| learn_host(host, scrubber, prober));
            probed.merge(host.probed);
            row.host = Some(note(host, found, arena)).filter(|host| !host.is_empty());
        }
        for Draft { request, row, found, probed, .. } in &mut *drafts {
            let Some(agent) = request.user_agent else { continue };
            let agent = self.agents.get(agent, |agent| learn_agent(agent, scrubber, prober));
            probed.merge(agent.probed);
            row.client_class = agent.label;
            row.user_agent = Some(note(agent, found, arena));
        }
        scrubber.of(Column::Other);
        for Draft { request, row, found, damaged, .. } in drafts {
            row.as_org = request.as_org.map(|t| short(scrubbed(t, scrubber, &mut self.buffer, found, arena)));
            row.country = request.country.and_then(|c| country(c, arena));
            if let Some((ip, source)) = self.of(request, arena) {
                address::write(ip, &mut self.buffer);
                // Of a proxy whose list is not known the client is not known.
                let by_list = source != address::PEER || self.trusted.contains(ip);
                let unproven = request.unproven || (request.list_unproven && by_list);
                let source = if unproven { UNPROVEN } else { source };
                row.client_ip = Some(arena.alloc_str(&self.buffer));
                row.client_ip_source = Some(source);
                self.located.fill(row, ip, arena);
            } else if request.peer.is_some_and(|peer| !address::is_socket(peer)) {
                damaged.add(Parser::CLIENT_IP);
            }
        }
    }
}

impl Client {
    /// Who the client is, by the lists that there are: of two each alone has to find the same one.
    fn of<'d>(&self, request: &Request<'d>, arena: &'d Bump) -> Option<(IpAddr, &'static str)> {
        let by = |request: &Request<'d>| {
            let (peer, list) = ends_of(request, &self.trusted, arena);
            address::client(peer, list, request.real_ip, &self.trusted)
        };
        let Some(elements) = request.elements else { return by(request) };
        let other = by(&Request { forwarded: Some(elements), ..*request });
        match request.forwarded.and_then(|_| by(request)) {
            None => other,
            Some((ip, source)) => Some((ip, if other == Some((ip, source)) { source } else { UNPROVEN })),
        }
    }
}

/// The peer, and the forwarding list. Where the nearest hop stands in the peer's place and a list was sent, or proxies stand before
/// the gateway, there is no peer, and that hop is the last of the list.
fn ends_of<'d>(request: &Request<'d>, trusted: &Trusted, arena: &'d Bump) -> (Option<&'d str>, Option<&'d str>) {
    let (peer, list) = (request.peer, request.forwarded);
    let Some(nearest) = peer.filter(|_| request.peer_is_nearest) else { return (peer, list) };
    match list.filter(|list| *list != nearest) {
        Some(list) => (None, Some(arena.alloc_str(&format!("{list}, {nearest}")))),
        None if trusted.any() || nearest.contains(',') => (None, Some(nearest)),
        None => (peer, None),
    }
}

/// The endpoint, and the token of what it was asked about.
struct Route {
    key: TokenKey,
    router: Router,
    objects: Recent,
    endpoint: String,
    identifiers: String,
}

impl Route {
    fn new(key: TokenKey, router: Router) -> Route {
        let objects = Recent::new(OBJECTS_MAX, OBJECT_CACHED_BYTES_MAX);
        Route { key, router, objects, endpoint: String::new(), identifiers: String::new() }
    }

    /// The rows have method, host, path, status and client by now. Identifiers come from the raw path; they only ever
    /// become a token.
    fn fill<'d>(&mut self, drafts: &mut [Draft<'d>], arena: &'d Bump, scrubber: &mut Scrubber) {
        for Draft { request, target, row, .. } in drafts {
            self.identifiers.clear();
            if target.is_raw {
                row.endpoint = Some(NOT_HTTP);
            } else if let (Some(path), Some(kept)) = (target.path, row.path) {
                let (method, host, status, client) = (row.method, row.host, row.status, row.client_ip);
                let asked =
                    Asked { method, host, path, kept, route: request.route, status, client, offset: row.offset };
                row.documented = self.router.route(&asked, scrubber, &mut self.endpoint, &mut self.identifiers);
                row.endpoint = Some(arena.alloc_str(&self.endpoint));
            } else if let (None, Some(route)) = (target.path, request.route)
                && self.router.route_alone(row.method, route, scrubber, &mut self.endpoint)
            {
                row.endpoint = Some(arena.alloc_str(&self.endpoint));
            }
            query_identifiers(target.query, &mut self.identifiers);
            if !self.identifiers.is_empty() {
                let key = &self.key;
                let ids = self.identifiers.as_bytes();
                let token = self.objects.get(ids, |out: &mut String| key.write(Domain::Object, ids, out));
                row.object_id = Some(arena.alloc_str(token));
            }
        }
    }
}

/// The endpoint of what is no HTTP request: one for all of them.
const NOT_HTTP: &str = "- {other}";

/// A remembered text, and what was removed from it.
fn note<'d>(known: &Known, found: &mut Found, arena: &'d Bump) -> &'d str {
    found.merge(known.found);
    arena.alloc_str(&known.kept)
}

fn upper<'d>(method: &'d str, arena: &'d Bump) -> &'d str {
    let is_upper = method.bytes().all(|b| b.is_ascii_uppercase());
    if is_upper { method } else { arena.alloc_str(&method.to_ascii_uppercase()) }
}

/// ISO 3166-1 alpha-2, upper case; `-`, `XX` and longer names say nothing.
fn country<'d>(text: &'d str, arena: &'d Bump) -> Option<&'d str> {
    let is_code = text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) && !text.eq_ignore_ascii_case("xx");
    is_code.then(|| upper(text, arena))
}

/// The versions there are, by the names and numbers gateways give them.
fn tls_version(text: &str) -> Option<&'static str> {
    let digits: &str = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let is_ssl = text.len() >= 3 && text.as_bytes()[..3].eq_ignore_ascii_case(b"ssl");
    match digits {
        "1.3" | "1_3" | "13" | "772" => Some("TLSv1.3"),
        "1.2" | "1_2" | "12" | "771" => Some("TLSv1.2"),
        "1.1" | "1_1" | "11" | "770" => Some("TLSv1.1"),
        "1" | "1.0" | "1_0" | "10" | "769" if !is_ssl => Some("TLSv1"),
        "3" | "3.0" if is_ssl => Some("SSLv3"),
        _ => None,
    }
}

/// A host in lower case without port and userinfo.
fn learn_host(raw: &str, scrubber: &mut Scrubber, prober: &mut Prober) -> Known {
    let mut known = Known { probed: prober.of(raw, Place::Header), ..Known::default() };
    // What is no name of a host is searched as a whole.
    let is_host = |host: &str| host.bytes().all(|b| !matches!(b, b' ' | b'\'' | b'"' | b'='));
    let host = match raw.rsplit_once('@').filter(|(_, host)| is_host(host)) {
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
    known.kept = short(scrubber.of(Column::Host).scrub(host, &mut String::new(), &mut known.found)).to_string();
    if known.found.is_empty() {
        known.kept.make_ascii_lowercase();
    }
    known
}

fn learn_agent(raw: &str, scrubber: &mut Scrubber, prober: &mut Prober) -> Known {
    let mut known = Known { label: agent::class(raw), probed: prober.of(raw, Place::Header), ..Known::default() };
    known.kept = scrubber.of(Column::UserAgent).scrub(raw, &mut String::new(), &mut known.found).to_string();
    known
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
