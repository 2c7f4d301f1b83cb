//! The look-alikes: harmless traffic that resembles the attacks. A detector that alerts on one of them would wake
//! somebody for nothing; each says what it could be taken for.
//!
//! Never: scales with the amount of ordinary traffic.

use schemas::alert::Entity;

use super::client::Client;
use super::endpoints::{ENDPOINTS, Endpoint, Kind};
use super::plan::LookAlike;
use super::script::{HOUR_MS, MINUTE_MS, Script, entity};
use super::{load, words};

struct Story {
    id: &'static str,
    name: &'static str,
    resembles: &'static str,
    tolerated: &'static [&'static str],
    description: &'static str,
}

impl Story {
    fn on(self, entities: Vec<Entity>) -> LookAlike {
        let tolerated = self.tolerated.to_vec();
        let Story { id, name, resembles, description, .. } = self;
        LookAlike { id, name, resembles, tolerated, entities, start_us: 0, end_us: 0, events: 0, description }
    }
}

pub(super) fn write(script: &mut Script) {
    docs_crawler(script);
    uptime_monitor(script);
    office_nat(script);
    broken_front_end(script);
    expired_key(script);
    mistyped_password(script);
    nightly_export(script);
    month_end(script);
    hourly_batch(script);
    morning_rise(script);
    lone_error(script);
    poller(script);
}

fn docs_crawler(script: &mut Script) {
    let address = "192.0.2.14";
    let client = script.cast(Client::stranger(address, "AcmeDocsIndexer/1.0 (+https://docs.example.com/bot)"));
    let first = script.lines.len();
    let (from, to) = (script.late(1, 31, 0), script.late(1, 34, 45));
    for (i, at) in script.paced(from, to, 150).into_iter().enumerate() {
        let path = format!("/docs/{}/{}", DOC_TOPICS[i / 10], DOC_PAGES[i % 10]);
        script.guess(at, client, "GET", path, 200);
    }
    let story = Story {
        id: "docs-crawler",
        name: "Docs crawler",
        resembles: "endpoint-sweep",
        tolerated: &[],
        description: "An indexer reads 150 pages of the API documentation, forty a minute, all there.",
    };
    script.set_beside(first, story.on(vec![entity("client_ip", address)]));
}

const DOC_TOPICS: [&str; 15] = [
    "authentication",
    "billing",
    "catalog",
    "contacts",
    "customers",
    "documents",
    "errors",
    "exports",
    "invoices",
    "limits",
    "orders",
    "payments",
    "reports",
    "search",
    "webhooks",
];
const DOC_PAGES: [&str; 10] =
    ["overview", "quickstart", "create", "list", "update", "delete", "pagination", "examples", "changelog", "faq"];

/// Checks one endpoint every two minutes, all of them in an hour, day and night.
fn uptime_monitor(script: &mut Script) {
    let address = "192.0.2.200";
    let mut monitor = Client::service(address, "UptimeRobot/2.0", "svc-uptime", "acme-internal", &mut script.chance);
    monitor.tenant = None;
    let client = script.cast(monitor);
    let checks: Vec<&Endpoint> = ENDPOINTS.iter().filter(|e| e.method == "GET" && e.kind != Kind::Story).collect();
    let first = script.lines.len();
    let (from, to) = (script.start_ms, script.end_ms);
    for (i, at) in script.paced(from, to, (to - from) / (2 * MINUTE_MS)).into_iter().enumerate() {
        script.call(at, client, checks[i % checks.len()], 200);
    }
    let story = Story {
        id: "uptime-monitor",
        name: "Uptime monitor",
        resembles: "endpoint-sweep",
        tolerated: &[],
        description: "A monitor checks every readable endpoint in turn, one every two minutes.",
    };
    script.set_beside(first, story.on(vec![entity("client_ip", address), entity("principal", "svc-uptime")]));
}

/// Thirty people behind one address; at every change of shift they all start at once.
fn office_nat(script: &mut Script) {
    let address = "192.0.2.33";
    let end_ms = script.end_ms;
    let people: Vec<usize> = (0..30)
        .map(|n| {
            let name = format!("{}.shift", words::FIRST_NAMES[n]);
            let agent = words::BROWSERS[n % words::BROWSERS.len()];
            let person = Client::person(address.into(), agent, name, "tidewater", end_ms, &mut script.chance);
            script.cast(person)
        })
        .collect();
    let used: Vec<&Endpoint> = ENDPOINTS.iter().filter(|e| e.weight > 5 && e.kind != Kind::Open).collect();
    let first = script.lines.len();
    let mut shift = script.start_ms + 12 * MINUTE_MS;
    while shift + 3 * MINUTE_MS < script.end_ms {
        for at in script.scattered(shift, shift + 3 * MINUTE_MS, 180) {
            let (person, endpoint) = (*script.chance.pick(&people), *script.chance.pick(&used));
            let status = endpoint.success();
            script.call(at, person, endpoint, status);
        }
        shift += 3 * HOUR_MS;
    }
    let story = Story {
        id: "office-nat",
        name: "Office behind one address",
        resembles: "endpoint-sweep",
        tolerated: &[],
        description: "Thirty people share an address and touch some forty endpoints a minute at every change of shift.",
    };
    script.set_beside(first, story.on(vec![entity("client_ip", address)]));
}

/// A wall display whose page refers to three files that the last deploy forgot.
fn broken_front_end(script: &mut Script) {
    let (address, name) = ("192.0.2.71", "wall-display-2");
    let end_ms = script.end_ms;
    let display =
        Client::person(address.into(), words::BROWSERS[3], name.into(), "harborline", end_ms, &mut script.chance);
    let client = script.cast(display);
    let first = script.lines.len();
    let mut reload = script.start_ms + 41 * MINUTE_MS;
    while reload + 2 * MINUTE_MS < script.end_ms {
        for at in script.paced(reload, reload + 5_000, 4) {
            script.call(at, client, Endpoint::named("GET", "/v1/notifications"), 200);
        }
        for (i, at) in script.paced(reload + 2_000, reload + MINUTE_MS, 25).into_iter().enumerate() {
            script.guess(at, client, "GET", FORGOTTEN[i % 3].to_owned(), 404);
        }
        reload += 90 * MINUTE_MS;
    }
    let story = Story {
        id: "broken-front-end",
        name: "Front-end with missing files",
        resembles: "path-probing",
        tolerated: &[],
        description: "A page asks for the same three missing files 500 times, in bursts, since before the recording.",
    };
    let mut entities = vec![entity("client_ip", address), entity("principal", name)];
    entities.extend(["js", "css"].map(|kind| entity("endpoint", &format!("GET /app/assets/{{file}}.{kind}"))));
    script.set_beside(first, story.on(entities));
}

const FORGOTTEN: [&str; 3] = ["/app/assets/vendor.js", "/app/assets/charts.js", "/app/assets/theme.css"];

/// An integration known for four hours, whose key expires; it goes on retrying until somebody renews it.
fn expired_key(script: &mut Script) {
    let (address, name) = ("192.0.2.90", "svc-parcel-tracking");
    let known = Client::service(address, "okhttp/4.12.0", name, "sunfield", &mut script.chance);
    let known = script.cast(known);
    let expired = Client::service(address, "okhttp/4.12.0", name, "sunfield", &mut script.chance);
    let expired = script.cast(Client { principal: None, tenant: None, ..expired });
    let shipments = Endpoint::named("GET", "/v1/shipments");
    let (from, to) = (script.late(6, 41, 0), script.late(7, 1, 0));
    for at in script.scattered(from - 4 * HOUR_MS, from, 720) {
        script.call(at, known, shipments, 200);
    }
    let first = script.lines.len();
    for at in script.paced(from, to, 80) {
        script.call(at, expired, shipments, 401);
    }
    let story = Story {
        id: "expired-key",
        name: "Integration with an expired key",
        resembles: "token-burst",
        tolerated: &["error-spike-4xx"],
        description: "80 times 401 in twenty minutes, from an address known for hours, with one key. Its errors are real.",
    };
    let entities =
        vec![entity("client_ip", address), entity("principal", name), entity("endpoint", "GET /v1/shipments")];
    script.set_beside(first, story.on(entities));
    for at in script.scattered(to, to + HOUR_MS / 2, 90) {
        script.call(at, known, shipments, 200);
    }
}

fn mistyped_password(script: &mut Script) {
    let (address, name) = ("192.0.2.118", "henrik.soler");
    let end_ms = script.end_ms;
    let agent = words::BROWSERS[4];
    let user = Client::person(address.into(), agent, name.into(), "foxglove", end_ms, &mut script.chance);
    let client = script.cast(user);
    let login = Endpoint::named("POST", "/v1/auth/login");
    let from = script.late(3, 21, 10);
    let first = script.lines.len();
    for attempt in 0..4 {
        script.call(from + attempt * 9_000, client, login, 401);
    }
    script.call(from + 44_000, client, login, 200);
    for at in script.scattered(from + 46_000, from + 6 * MINUTE_MS, 12) {
        script.call(at, client, Endpoint::named("GET", "/v1/orders/{h}"), 200);
    }
    let story = Story {
        id: "mistyped-password",
        name: "Mistyped password",
        resembles: "brute-force",
        tolerated: &[],
        description: "A user types a password wrong four times, then right, then works.",
    };
    script.set_beside(first, story.on(vec![entity("principal", name), entity("client_ip", address)]));
}

/// Moves the same amount every five minutes from midnight to five, every night.
fn nightly_export(script: &mut Script) {
    let (address, name) = ("192.0.2.150", "svc-nightly-export");
    let job = Client::service(address, "Java-http-client/21.0.5", name, "zephyr-bank", &mut script.chance);
    let client = script.cast(job);
    let download = Endpoint::named("GET", "/v1/exports/{u}/download");
    let first = script.lines.len();
    let mut midnight = script.start_ms;
    while midnight < script.end_ms {
        let until = (midnight + 5 * HOUR_MS).min(script.end_ms);
        for at in script.paced(midnight, until, (until - midnight) / (75_000)) {
            script.call(at, client, download, 200);
        }
        midnight += 24 * HOUR_MS;
    }
    let story = Story {
        id: "nightly-export",
        name: "Nightly export job",
        resembles: "bulk-export",
        tolerated: &[],
        description: "A job downloads four exports every five minutes from midnight to five, the same every night.",
    };
    script.set_beside(first, story.on(vec![entity("principal", name), entity("client_ip", address)]));
}

/// An accountant's exports grow by half.
fn month_end(script: &mut Script) {
    let (address, name) = ("192.0.2.166", "ines.castell");
    let end_ms = script.end_ms;
    let accountant =
        Client::person(address.into(), words::BROWSERS[0], name.into(), "granite-hr", end_ms, &mut script.chance);
    let client = script.cast(accountant);
    let download = Endpoint::named("GET", "/v1/exports/{u}/download");
    let (from, to) = (script.late(2, 0, 0), script.late(6, 0, 0));
    for at in script.paced(from - 8 * HOUR_MS, from, 8 * 12 * 2) {
        script.call(at, client, download, 200);
    }
    let first = script.lines.len();
    for at in script.paced(from, to, 4 * 12 * 3) {
        script.call(at, client, download, 200);
    }
    let story = Story {
        id: "month-end",
        name: "Month-end closing",
        resembles: "bulk-export",
        tolerated: &[],
        description: "An accountant who exports two files in five minutes exports three, for four hours.",
    };
    script.set_beside(first, story.on(vec![entity("principal", name), entity("client_ip", address)]));
}

/// Silent for an hour, then eighty requests in two minutes; every hour from the first on.
fn hourly_batch(script: &mut Script) {
    let (address, name) = ("192.0.2.180", "svc-price-batch");
    let batch = Client::service(address, "Go-http-client/2.0", name, "copperleaf", &mut script.chance);
    let client = script.cast(batch);
    let first = script.lines.len();
    let mut run = script.start_ms + 31 * MINUTE_MS;
    while run + 2 * MINUTE_MS < script.end_ms {
        for at in script.paced(run, run + 2 * MINUTE_MS, 80) {
            script.call(at, client, Endpoint::named("GET", "/v1/price-lists"), 200);
        }
        run += HOUR_MS;
    }
    let story = Story {
        id: "hourly-batch",
        name: "Hourly batch client",
        resembles: "traffic-spike",
        tolerated: &[],
        description: "A client is silent for an hour and then makes eighty requests in two minutes, every hour.",
    };
    script.set_beside(first, story.on(vec![entity("client_ip", address), entity("principal", name)]));
}

/// A shop whose requests grow tenfold from night to noon, with its customers.
fn morning_rise(script: &mut Script) {
    let (address, name) = ("192.0.2.61", "svc-storefront");
    let shop = Client::service(address, "axios/1.7.9", name, "rosewood", &mut script.chance);
    let client = script.cast(shop);
    let first = script.lines.len();
    for quarter in 8..72 {
        let from = script.start_ms + quarter * 15 * MINUTE_MS;
        let calls = (27.0 * load::people((quarter * 15) as u32)) as i64;
        for at in script.scattered(from, from + 15 * MINUTE_MS, calls) {
            script.call(at, client, Endpoint::named("GET", "/v1/products/{n}"), 200);
        }
    }
    let story = Story {
        id: "morning-rise",
        name: "Morning rise",
        resembles: "traffic-spike",
        tolerated: &[],
        description: "A shop's requests grow eightfold from three at night to ten in the morning, as every day.",
    };
    script.set_beside(first, story.on(vec![entity("client_ip", address), entity("principal", name)]));
}

/// Two requests in a window at night, one of them a 500: half of almost nothing.
fn lone_error(script: &mut Script) {
    let (address, name) = ("192.0.2.77", "svc-tax-reader");
    let reader = Client::service(address, "python-requests/2.32.3", name, "pinecone", &mut script.chance);
    let client = script.cast(reader);
    let tax = Endpoint::named("GET", "/v1/tax-tables/{n}");
    let at = script.late(7, 3, 20);
    for i in 1..=10 {
        script.call(at - i * 2 * HOUR_MS, client, tax, 200);
    }
    let first = script.lines.len();
    script.call(at, client, tax, 500);
    script.call(at + 2_000, client, tax, 200);
    let story = Story {
        id: "lone-error",
        name: "One error at night",
        resembles: "server-errors",
        tolerated: &[],
        description: "A rare endpoint gets two requests in five minutes and one fails: 50 %, and nothing at all.",
    };
    script
        .set_beside(first, story.on(vec![entity("endpoint", "GET /v1/tax-tables/{id}"), entity("client_ip", address)]));
}

/// Asks for results before they exist: most answers are 404, and always were.
fn poller(script: &mut Script) {
    let (address, name) = ("192.0.2.49", "svc-job-poller");
    let program = Client::service(address, "acme-sdk-node/3.4.1", name, "nimbus-law", &mut script.chance);
    let client = script.cast(program);
    let result = Endpoint::named("GET", "/v1/jobs/{u}/result");
    let first = script.lines.len();
    let (from, to) = (script.start_ms, script.end_ms);
    let mut path = String::new();
    for (i, at) in script.paced(from, to, (to - from) / 90_000).into_iter().enumerate() {
        if i % 5 == 0 {
            path.clear();
            result.path_into(&mut script.chance, &mut path);
        }
        script.call_at(at, client, result, path.clone(), if i % 5 < 3 { 404 } else { 200 });
    }
    let story = Story {
        id: "poller",
        name: "Impatient poller",
        resembles: "client-errors",
        tolerated: &[],
        description: "A client polls for results that do not exist yet: 60 % of its answers are 404, always.",
    };
    let entities =
        vec![entity("client_ip", address), entity("principal", name), entity("endpoint", "GET /v1/jobs/{id}/result")];
    script.set_beside(first, story.on(entities));
}
