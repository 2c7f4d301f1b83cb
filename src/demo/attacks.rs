//! The attacks: eight stories, each told as lines with exact times, all in the last ten hours so that there is a past
//! to compare with. Where an attack changes somebody's habit, the habit comes first and is not part of the attack.
//!
//! Never: scales with the amount of ordinary traffic; an attack is whole at any size.

use schemas::alert::Entity;

use super::client::{Client, Credential};
use super::endpoints::{ENDPOINTS, Endpoint, Kind};
use super::plan::Planted;
use super::script::{HOUR_MS, MINUTE_MS, Script, entity};
use super::words;

/// An endpoint that fails for a while, also for the ordinary traffic.
pub(super) struct Fault {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// Of 10,000 calls this many get a 500.
    pub(super) parts: u32,
}

/// What a story says of itself; the extent is filled in from its lines.
struct Story {
    id: &'static str,
    name: &'static str,
    detectors: &'static [&'static str],
    also: &'static [&'static str],
    description: &'static str,
}

impl Story {
    fn on(self, entities: Vec<Entity>) -> Planted {
        let (detectors, also) = (self.detectors.to_vec(), self.also.to_vec());
        let Story { id, name, description, .. } = self;
        Planted { id, name, detectors, also, entities, start_us: 0, end_us: 0, events: 0, description }
    }
}

/// Writes all attacks into the script and returns the fault that ordinary traffic must share.
pub(super) fn write(script: &mut Script) -> Fault {
    let fault = failing_endpoint(script);
    endpoint_sweep(script);
    traffic_spike(script);
    brute_force(script);
    bulk_export(script);
    path_probing(script);
    token_burst(script);
    rejected_imports(script);
    fault
}

fn failing_endpoint(script: &mut Script) -> Fault {
    let endpoint = Endpoint::named("GET", "/v1/orders");
    let (from, to) = (script.late(0, 21, 17), script.late(0, 31, 17));
    let callers: Vec<usize> = (0..40).map(|n| script.cast(passer_by(script_person(n), script.end_ms))).collect();
    let first = script.lines.len();
    for (i, at) in script.scattered(from, to, 160).into_iter().enumerate() {
        let status = if i % 4 == 1 { 500 } else { 200 };
        script.call(at, callers[i * 7 % callers.len()], endpoint, status);
    }
    let story = Story {
        id: "server-errors",
        name: "5xx on one endpoint",
        detectors: &["error-spike-5xx"],
        also: &["error-spike-5xx-whole"],
        description: "GET /v1/orders fails for a quarter of its callers for ten minutes; usually for 0.3 %.",
    };
    script.plant(first, story.on(vec![entity("endpoint", "GET /v1/orders")]));
    Fault { method: endpoint.method, path: endpoint.path, start_ms: from, end_ms: to, parts: 2_500 }
}

/// Walks the API's own endpoints and then guesses more, 150 different ones within a minute.
fn endpoint_sweep(script: &mut Script) {
    let (address, name) = ("203.0.113.77", "trial-7731");
    let end_ms = script.end_ms;
    let sweeper =
        Client::person(address.into(), "Go-http-client/2.0", name.into(), "trial", end_ms, &mut script.chance);
    let client = script.cast(sweeper);
    let first = script.lines.len();
    let known: Vec<&Endpoint> = ENDPOINTS.iter().filter(|e| e.method == "GET" && e.kind != Kind::Story).collect();
    let guesses = GUESSED_ROOTS.iter().flat_map(|root| GUESSED_NAMES.iter().map(move |name| format!("{root}/{name}")));
    let guesses: Vec<String> = guesses.take(150 - known.len()).collect();
    let (from, to) = (script.late(1, 5, 12), script.late(1, 6, 2));
    for (i, at) in script.paced(from, to, 150).into_iter().enumerate() {
        match known.get(i) {
            Some(endpoint) => script.call(at, client, endpoint, if i % 5 == 2 { 403 } else { 200 }),
            None => {
                let status = if i % 9 == 4 { 403 } else { 404 };
                script.guess(at, client, "GET", guesses[i - known.len()].clone(), status);
            }
        }
    }
    let story = Story {
        id: "endpoint-sweep",
        name: "Endpoint sweep",
        detectors: &["endpoint-sweep"],
        also: &["path-probing", "error-spike-4xx", "traffic-spike-ip"],
        description: "A trial account walks 150 different endpoints in 50 seconds, known ones first, then guesses.",
    };
    script.plant(first, story.on(vec![entity("client_ip", address), entity("principal", name)]));
}

const GUESSED_ROOTS: [&str; 8] =
    ["/v1/admin", "/v1/internal", "/v2", "/api", "/v1/debug", "/internal/v1", "/v1/beta", "/manage"];
const GUESSED_NAMES: [&str; 15] = [
    "accounts",
    "backup",
    "config",
    "console",
    "credentials",
    "dump",
    "env",
    "flags",
    "health",
    "keys",
    "metrics",
    "roles",
    "sessions",
    "tokens",
    "tenants",
];

/// A sync worker that makes two calls a minute for six hours, then forty a minute.
fn traffic_spike(script: &mut Script) {
    let (address, name) = ("198.51.100.44", "svc-stock-sync");
    let worker = Client::service(address, "aiohttp/3.11.9", name, "quartzlab", &mut script.chance);
    let client = script.cast(worker);
    let (from, to) = (script.late(2, 11, 40), script.late(2, 21, 40));
    for at in script.scattered(from - 8 * HOUR_MS, from, 960) {
        stock_call(script, at, client);
    }
    let first = script.lines.len();
    for at in script.scattered(from, to, 400) {
        stock_call(script, at, client);
    }
    let story = Story {
        id: "traffic-spike",
        name: "Traffic spike from one address",
        detectors: &["traffic-spike-ip"],
        also: &["bulk-export-bytes"],
        description: "An integration's address goes from 2 requests a minute to 40, for ten minutes.",
    };
    script.plant(first, story.on(vec![entity("client_ip", address), entity("principal", name)]));
    for at in script.scattered(to, to + HOUR_MS, 120) {
        stock_call(script, at, client);
    }
}

fn stock_call(script: &mut Script, at: i64, client: usize) {
    let path = *script.chance.pick(&["/v1/products/{n}/stock", "/v1/products/{n}", "/v1/products"]);
    script.call(at, client, Endpoint::named("GET", path), 200);
}

/// One account, 180 passwords, six addresses in turn: each address alone stays modest.
fn brute_force(script: &mut Script) {
    let name = "grace.hollis";
    let login = Endpoint::named("POST", "/v1/auth/login");
    let addresses: Vec<String> = (101..107).map(|host| format!("203.0.113.{host}")).collect();
    let clients: Vec<usize> = addresses
        .iter()
        .map(|address| {
            let mut client = Client::stranger(address, "Mozilla/5.0 (Windows NT 10.0; Win64; x64)");
            client.principal = Some(name.to_owned());
            client.tenant = Some("cedarworks".to_owned());
            script.cast(client)
        })
        .collect();
    let (from, to) = (script.late(3, 2, 5), script.late(3, 8, 5));
    let first = script.lines.len();
    for (i, at) in script.paced(from, to, 180).into_iter().enumerate() {
        script.call(at, clients[i % clients.len()], login, 401);
    }
    let story = Story {
        id: "brute-force",
        name: "Brute force on one account",
        detectors: &["brute-force-principal"],
        also: &["auth-burst-new-ip", "error-spike-4xx", "traffic-spike-ip"],
        description: "180 wrong passwords for one account in six minutes, spread over six addresses.",
    };
    let mut entities = vec![entity("principal", name), entity("endpoint", "POST /v1/auth/login")];
    entities.extend(addresses.iter().map(|address| entity("client_ip", address)));
    script.plant(first, story.on(entities));
}

/// An analyst who downloads an export every ten minutes downloads six a minute.
fn bulk_export(script: &mut Script) {
    let (address, name) = ("198.51.100.61", "tomas.arden");
    let end_ms = script.end_ms;
    let agent = words::BROWSERS[2];
    let analyst = Client::person(address.into(), agent, name.into(), "lumenfoods", end_ms, &mut script.chance);
    let client = script.cast(analyst);
    let download = Endpoint::named("GET", "/v1/exports/{u}/download");
    let (from, to) = (script.late(3, 40, 20), script.late(3, 52, 20));
    let (habit_from, habit_to) = (script.start_ms + 8 * HOUR_MS, script.end_ms - HOUR_MS);
    for at in script.paced(habit_from, from - 5 * MINUTE_MS, (from - habit_from) / (10 * MINUTE_MS)) {
        script.call(at, client, download, 200);
        script.call(at - 40_000, client, Endpoint::named("GET", "/v1/reports"), 200);
    }
    let first = script.lines.len();
    for at in script.paced(from, to, 72) {
        script.call(at, client, download, 200);
    }
    let story = Story {
        id: "bulk-export",
        name: "Bulk export by one account",
        detectors: &["bulk-export-bytes", "bulk-export-calls"],
        also: &["traffic-spike-ip"],
        description: "An analyst exports sixty times the usual number of files and bytes, for twelve minutes.",
    };
    script.plant(first, story.on(vec![entity("principal", name), entity("client_ip", address)]));
    for at in script.paced(to + 30 * MINUTE_MS, habit_to, (habit_to - to) / (10 * MINUTE_MS)) {
        script.call(at, client, download, 200);
    }
}

/// Twenty-five different paths that are not there, in two minutes: few, but nobody's habit.
fn path_probing(script: &mut Script) {
    let address = "203.0.113.19";
    let client = script.cast(Client::stranger(address, "Mozilla/5.0"));
    let (from, to) = (script.late(5, 16, 33), script.late(5, 18, 31));
    let first = script.lines.len();
    for (i, at) in script.paced(from, to, PROBED.len() as i64).into_iter().enumerate() {
        script.guess(at, client, "GET", PROBED[i].to_owned(), 404);
    }
    let story = Story {
        id: "path-probing",
        name: "Path probing",
        detectors: &["path-probing"],
        also: &["error-spike-4xx"],
        description: "One address asks for 25 well-known weak spots in two minutes; all of them are missing.",
    };
    script.plant(first, story.on(vec![entity("client_ip", address)]));
}

const PROBED: [&str; 25] = [
    "/wp-login.php",
    "/.env",
    "/.git/config",
    "/wp-admin/",
    "/phpmyadmin/",
    "/.aws/credentials",
    "/server-status",
    "/actuator/env",
    "/xmlrpc.php",
    "/backup.zip",
    "/.svn/entries",
    "/config.json",
    "/admin.php",
    "/api/swagger.json",
    "/cgi-bin/luci",
    "/solr/admin/info",
    "/.DS_Store",
    "/telescope/requests",
    "/vendor/phpunit/phpunit.xml",
    "/debug/default/view",
    "/owa/auth/logon.aspx",
    "/.htpasswd",
    "/dump.sql",
    "/manager/html",
    "/setup.cgi",
];

/// Sixty stolen or invented tokens tried from an address nobody has seen before.
fn token_burst(script: &mut Script) {
    let address = "203.0.113.140";
    let clients: Vec<usize> = (0..60)
        .map(|_| {
            let mut client = Client::stranger(address, "python-requests/2.32.3");
            client.credential = Credential::Bearer(format!("fake_opaque_{:016x}", script.chance.bits()));
            script.cast(client)
        })
        .collect();
    let (from, to) = (script.late(6, 4, 48), script.late(6, 7, 48));
    let me = Endpoint::named("GET", "/v1/users/me");
    let first = script.lines.len();
    for (i, at) in script.paced(from, to, 60).into_iter().enumerate() {
        script.call(at, clients[i], me, 401);
    }
    let story = Story {
        id: "token-burst",
        name: "401 burst from a new address",
        detectors: &["auth-burst-new-ip"],
        also: &["error-spike-4xx"],
        description: "Sixty different tokens tried in three minutes from an address never seen before.",
    };
    script.plant(first, story.on(vec![entity("client_ip", address), entity("endpoint", "GET /v1/users/me")]));
}

/// A loader that is refused one time in fifty starts to be refused nearly always: somebody tries field values.
fn rejected_imports(script: &mut Script) {
    let (address, name) = ("198.51.100.83", "svc-catalog-loader");
    let loader = Client::service(address, "GuzzleHttp/7", name, "ironvale", &mut script.chance);
    let client = script.cast(loader);
    let imports = Endpoint::named("POST", "/v1/imports");
    let (from, to) = (script.late(7, 32, 9), script.late(7, 42, 9));
    for (i, at) in script.scattered(from - 9 * HOUR_MS, from, 540).into_iter().enumerate() {
        script.call(at, client, imports, if i % 50 == 17 { 422 } else { 201 });
    }
    let first = script.lines.len();
    for (i, at) in script.scattered(from, to, 120).into_iter().enumerate() {
        let status = [422, 400, 422, 422, 422, 400, 201][i % 7];
        script.call(at, client, imports, status);
    }
    let story = Story {
        id: "client-errors",
        name: "4xx spike of one client",
        detectors: &["error-spike-4xx", "error-spike-4xx-client"],
        also: &["traffic-spike-ip"],
        description: "A loader that is refused 2 % of the time is refused 86 % of the time, for ten minutes.",
    };
    let entities =
        vec![entity("client_ip", address), entity("principal", name), entity("endpoint", "POST /v1/imports")];
    script.plant(first, story.on(entities));
    for at in script.scattered(to, to + HOUR_MS, 60) {
        script.call(at, client, imports, 201);
    }
}

/// The n-th of the people who happen to call during the outage.
fn script_person(n: u32) -> (String, String) {
    (words::address(words::ADDRESSES - 1 - n), format!("{}.arnaud", words::FIRST_NAMES[n as usize % 40]))
}

fn passer_by((address, name): (String, String), now_ms: i64) -> Client {
    let mut chance = super::chance::Chance::new(u64::from(address.len() as u32), 3);
    let agent = words::BROWSERS[address.len() % words::BROWSERS.len()];
    Client::person(address, agent, name, "oakbridge", now_ms, &mut chance)
}
