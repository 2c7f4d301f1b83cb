//! Ordinary traffic: people in sessions (log in, work, leave), integrations with API keys around the clock, and callers
//! without an account. A few people and integrations do most of it.
//!
//! Promises: memory grows with the number of clients alone (a few bytes each); nothing is allocated per event but at
//! the start of a session. Every client turns up when there are ten events for each.

use super::attacks::Fault;
use super::chance::{Chance, Weights};
use super::client::{Client, TOKEN_MS};
use super::endpoints::{ENDPOINTS, Endpoint, Kind};
use super::formats::Exchange;
use super::load::{self, Load};
use super::words;

/// Mean time between two requests of a person at work.
const THINK_SECONDS: f64 = 7.0;
/// Share of what programs send that needs no credential, of 10,000.
const OPEN_PARTS: u32 = 1_300;
/// Endpoints one integration uses.
const INTEGRATION_ENDPOINTS: usize = 5;

struct Session {
    client: Client,
    left: u32,
    logged_in: bool,
    /// When its token ends, and the session with it.
    until_ms: i64,
}

struct Integration {
    client: Client,
    uses: [&'static Endpoint; INTEGRATION_ENDPOINTS],
}

pub(super) struct Ordinary {
    chance: Chance,
    load: Load,
    start_ms: i64,
    disorder_ms: u32,
    /// Tenant of each person; the index is the person.
    tenant_of: Vec<u16>,
    tenants: Vec<String>,
    people: Weights,
    /// The next person of the round in which everybody has a turn.
    turn: u32,
    session_events: f64,
    sessions: Vec<Session>,
    integrations: Vec<Integration>,
    integration_weights: Weights,
    open: Vec<(Client, &'static Endpoint)>,
    person_endpoints: Weights,
    fault: Option<Fault>,
    path: String,
    query: String,
    /// When the next event is due, milliseconds after the start.
    due_ms: Option<i64>,
}

/// How much ordinary traffic and by how many.
pub(super) struct Size {
    pub(super) events: u64,
    pub(super) clients: u32,
    pub(super) tenants: u32,
    pub(super) minutes: u32,
}

/// Who makes the next call: a session, an integration or somebody without an account, by index.
#[derive(Clone, Copy)]
enum Caller {
    Person(usize),
    Integration(usize),
    Open(usize),
}

/// What is called, and what becomes of it.
struct Call {
    endpoint: &'static Endpoint,
    status: u16,
}

impl Ordinary {
    pub(super) fn new(seed: u64, start_ms: i64, size: &Size, disorder_ms: u32, fault: Option<Fault>) -> Ordinary {
        let mut chance = Chance::new(seed, 1);
        let tenants: Vec<String> = (0..size.tenants as usize).map(words::tenant_name).collect();
        let tenant_weights = Weights::zipf(tenants.len(), 1.0);
        let tenant_of = (0..size.clients).map(|_| tenant_weights.pick(&mut chance) as u16).collect();
        let integrations = integrations(&tenants, size.clients, &mut chance);
        let mut load = Load::new(size.events, size.minutes);
        let due_ms = load.next(&mut chance);
        // Short sessions when there are many people for the events, so that everybody comes by.
        let session_events = (size.events as f64 * 0.62 / (f64::from(size.clients) * 2.4)).clamp(2.0, 24.0);
        Ordinary {
            load,
            start_ms,
            disorder_ms,
            tenant_of,
            tenants,
            people: Weights::zipf(size.clients as usize, 20.0),
            turn: chance.below(size.clients),
            session_events,
            sessions: Vec::new(),
            integration_weights: Weights::zipf(integrations.len(), 2.0),
            integrations,
            open: open_callers(size.clients),
            person_endpoints: Weights::new(ENDPOINTS.iter().map(|e| match e.kind {
                Kind::Open | Kind::Story => 0.0,
                _ => f64::from(e.weight),
            })),
            fault,
            path: String::new(),
            query: String::new(),
            due_ms,
            chance,
        }
    }

    /// When the next event is complete; `None` when there is none.
    pub(super) fn due_ms(&self) -> Option<i64> {
        self.due_ms.map(|due| self.start_ms + due)
    }

    /// The next event.
    pub(super) fn next(&mut self) -> Option<Exchange<'_>> {
        let due_ms = self.start_ms + self.due_ms?;
        let share = (load::people_share(self.load.minute()) * 10_000.0) as u32;
        let (people_due, quota) = (self.chance.in_ten_thousand(share), self.load.quota());
        self.due_ms = self.load.next(&mut self.chance);
        let completed_ms = due_ms - i64::from(self.chance.below(self.disorder_ms + 1));
        let caller = if people_due {
            Caller::Person(self.session(completed_ms, f64::from(quota) * f64::from(share) / 10_000.0))
        } else if self.chance.in_ten_thousand(OPEN_PARTS) {
            Caller::Open(self.chance.below(self.open.len() as u32) as usize)
        } else {
            Caller::Integration(self.integration_weights.pick(&mut self.chance))
        };
        let call = self.call(caller);
        self.fill_target(call.endpoint);
        Some(self.exchange(completed_ms, &call, caller))
    }

    /// What a caller calls next.
    fn call(&mut self, caller: Caller) -> Call {
        let endpoint = match caller {
            Caller::Person(at) => return self.person_call(at),
            Caller::Open(at) => self.open[at].1,
            Caller::Integration(at) => *self.chance.pick(&self.integrations[at].uses),
        };
        Call { endpoint, status: endpoint.ordinary_status(&mut self.chance) }
    }

    /// Index of a running session, opened if need be. As many run as the load of the minute asks for.
    fn session(&mut self, now_ms: i64, people_per_minute: f64) -> usize {
        let running = ((people_per_minute * THINK_SECONDS / 60.0) as u32).max(4);
        let at = self.chance.below(running) as usize;
        if at >= self.sessions.len() {
            let session = self.open_session(now_ms);
            self.sessions.push(session);
            return self.sessions.len() - 1;
        }
        if self.sessions[at].left == 0 || self.sessions[at].until_ms <= now_ms {
            self.sessions[at] = self.open_session(now_ms);
        }
        at
    }

    fn open_session(&mut self, now_ms: i64) -> Session {
        let people = self.tenant_of.len() as u32;
        let person = if self.chance.in_ten_thousand(5_000) {
            self.turn = (self.turn + 1) % people;
            self.turn
        } else {
            self.people.pick(&mut self.chance) as u32
        };
        let tenant = &self.tenants[usize::from(self.tenant_of[person as usize])];
        let agent = words::BROWSERS[(person.wrapping_mul(2_654_435_761) >> 16) as usize % words::BROWSERS.len()];
        let (address, name) = (words::address(person), words::user_name(person));
        let client = Client::person(address, agent, name, tenant, now_ms, &mut self.chance);
        let left = 1 + self.chance.lognormal((self.session_events - 1.0) * 0.75, 0.75) as u32;
        // Four sessions in five begin with a log-in, the others with a token that is still good.
        let logged_in = self.chance.in_ten_thousand(2_000);
        Session { client, left, logged_in, until_ms: now_ms + TOKEN_MS }
    }

    fn person_call(&mut self, at: usize) -> Call {
        let session = &mut self.sessions[at];
        session.left -= 1;
        if !session.logged_in {
            let login = &ENDPOINTS[0];
            let status = if self.chance.in_ten_thousand(400) { 401 } else { 200 };
            session.logged_in = status == 200;
            session.left = session.left.max(1);
            return Call { endpoint: login, status };
        }
        let endpoint = &ENDPOINTS[self.person_endpoints.pick(&mut self.chance)];
        Call { endpoint, status: endpoint.ordinary_status(&mut self.chance) }
    }

    fn fill_target(&mut self, endpoint: &Endpoint) {
        self.path.clear();
        self.query.clear();
        endpoint.path_into(&mut self.chance, &mut self.path);
        endpoint.query_into(&mut self.chance, &mut self.query);
        // Now and then somebody looks for a person by e-mail address.
        if endpoint.path == "/v1/users" && endpoint.method == "GET" && self.chance.in_ten_thousand(800) {
            let name = words::user_name(self.chance.below(self.tenant_of.len() as u32));
            self.query.clear();
            self.query.extend(["email=", &name, "%40example.com"]);
        }
    }

    fn exchange(&mut self, completed_ms: i64, call: &Call, caller: Caller) -> Exchange<'_> {
        let endpoint = call.endpoint;
        let status = self.with_fault(endpoint, call.status, completed_ms);
        let response_bytes = match status {
            200 | 201 => self.chance.lognormal(f64::from(endpoint.response_bytes), 0.5) as u64,
            204 | 304 => 0,
            _ => 160 + u64::from(self.chance.below(240)),
        };
        let latency_ms = match status {
            504 => 15_000,
            _ => 1 + self.chance.lognormal(f64::from(endpoint.latency_ms), 0.6) as u32,
        };
        let body = if endpoint.method == "GET" { 0 } else { self.chance.lognormal(700.0, 0.7) as u32 };
        let request_bytes = 360 + self.chance.below(320) + body;
        let request_id = [self.chance.bits(), self.chance.bits()];
        Exchange {
            completed_ms,
            latency_ms,
            method: endpoint.method,
            path: &self.path,
            query: &self.query,
            service: endpoint.service,
            status,
            request_bytes,
            response_bytes,
            request_id,
            open: matches!(endpoint.kind, Kind::Login | Kind::Open),
            client: match caller {
                Caller::Person(at) => &self.sessions[at].client,
                Caller::Open(at) => &self.open[at].0,
                Caller::Integration(at) => &self.integrations[at].client,
            },
            detail: None,
        }
    }

    /// Ordinary calls of a failing endpoint fail as well.
    fn with_fault(&mut self, endpoint: &Endpoint, status: u16, at_ms: i64) -> u16 {
        let Some(fault) = &self.fault else { return status };
        let hit = endpoint.path == fault.path
            && endpoint.method == fault.method
            && (fault.start_ms..=fault.end_ms).contains(&at_ms)
            && self.chance.in_ten_thousand(fault.parts);
        if hit { 500 } else { status }
    }
}

/// Integrations: one and a half per tenant, the large tenants have more.
fn integrations(tenants: &[String], clients: u32, chance: &mut Chance) -> Vec<Integration> {
    let usable = |e: &&Endpoint| {
        !matches!(e.kind, Kind::Open | Kind::Story | Kind::Login | Kind::Refresh) && e.path != "/v1/users/me"
    };
    let endpoints: Vec<&'static Endpoint> = ENDPOINTS.iter().filter(usable).collect();
    let weights = Weights::new(endpoints.iter().map(|e| f64::from(e.weight)));
    let owners = Weights::zipf(tenants.len(), 3.0);
    (0..count_of_integrations(tenants.len()))
        .map(|n| {
            let tenant = &tenants[owners.pick(chance)];
            let name = format!("svc-{}-{}", tenant, chance.pick(&["erp", "sync", "bi", "crm", "shop"]));
            let agent = words::LIBRARIES[n as usize % words::LIBRARIES.len()];
            let client = Client::service(&words::address(clients + n), agent, &format!("{name}-{n}"), tenant, chance);
            Integration { client, uses: std::array::from_fn(|_| endpoints[weights.pick(chance)]) }
        })
        .collect()
}

fn count_of_integrations(tenants: usize) -> u32 {
    (tenants * 3 / 2).max(2) as u32
}

/// Addresses that ordinary traffic takes for itself.
pub(super) fn addresses_used(clients: u32, tenants: u32) -> u32 {
    clients + count_of_integrations(tenants as usize) + 3
}

/// Callers without an account: two load balancers and a payment provider.
fn open_callers(clients: u32) -> Vec<(Client, &'static Endpoint)> {
    let status = Endpoint::named("GET", "/status");
    let docs = Endpoint::named("GET", "/docs/openapi.json");
    let payments = Endpoint::named("POST", "/v1/inbound/payments");
    let caller = |n: u32, agent, endpoint| {
        let address = words::address(words::ADDRESSES - 100 - n);
        debug_assert!(words::ADDRESSES - 100 - n > clients, "clients end below the callers");
        (Client::stranger(&address, agent), endpoint)
    };
    let health = "ELB-HealthChecker/2.0";
    vec![
        caller(0, health, status),
        caller(1, health, status),
        caller(2, "PayBridge-Webhook/1.4", payments),
        caller(2, "PayBridge-Webhook/1.4", payments),
        caller(3, "acme-sdk-node/3.4.1", docs),
    ]
}
