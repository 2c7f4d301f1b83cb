//! The ordinary traffic of an invented town: forty people in office hours, eight machines day and night, log-ins of which some
//! fail, dead links, and strangers who ask for a weak spot or two. A story changes it or adds to it.
//!
//! Promises: the same seed gives the same rows. Nothing in it is worth an alert.

use detectors::testkit::Chance;
use serde_json::{Value, json};

pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// 2026-03-02T00:00:00Z. Times of stories count from here.
pub const MONDAY: i64 = 1_772_409_600_000_000;

const PEOPLE: u64 = 40;
const MACHINES: u64 = 8;
const COLLECTIONS: u64 = 24;
/// Of all requests of office hours.
const OF_MACHINES: f64 = 0.3;

pub struct Town {
    pub chance: Chance,
    pub rows: Vec<Value>,
    /// When that begins which is to be found.
    pub begins: Vec<i64>,
}

impl Town {
    /// Its requests between two times; so many a second while offices are open.
    pub fn new(seed: u64, from: i64, to: i64, per_second: f64) -> Town {
        let mut town = Town { chance: Chance::new(seed), rows: Vec::new(), begins: Vec::new() };
        for minute in (from..to).step_by(MINUTE as usize) {
            town.minute(minute, 60.0 * per_second);
        }
        town
    }

    fn minute(&mut self, minute: i64, requests: f64) {
        let by_people = self.chance.poisson(requests * (1.0 - OF_MACHINES) * open(minute));
        for _ in 0..by_people as u64 {
            // People are busy in turns.
            let person = (self.chance.skewed(PEOPLE) + 7 * (minute / HOUR) as u64) % PEOPLE;
            let row = by_person(&mut self.chance, person);
            self.add_within(minute, row);
        }
        for _ in 0..self.chance.poisson(requests * OF_MACHINES) as u64 {
            let machine = Client::machine(self.chance.below(MACHINES));
            let row = ordinary(&mut self.chance, &machine);
            self.add_within(minute, row);
        }
        if self.chance.below(20) == 0 {
            let address = format!("203.0.113.{}", 100 + self.chance.below(100));
            for _ in 0..=self.chance.below(3) {
                let path =
                    *pick(&mut self.chance, &["/wp-login.php", "/.env", "/.git/config", "/robots.txt", "/xmlrpc.php"]);
                self.add_within(minute, refused(&address, path));
            }
        }
    }

    fn add_within(&mut self, minute: i64, row: Value) {
        let at = minute + self.chance.below(MINUTE as u64) as i64;
        self.add(at, row);
    }

    pub fn add(&mut self, at: i64, mut row: Value) {
        row["time"] = (MONDAY + at).into();
        self.rows.push(row);
    }

    /// Evenly, from a moment of chance on: what is just below a number stays below it.
    pub fn plant(&mut self, from: i64, to: i64, every: i64, mut row: impl FnMut(&mut Chance, u64) -> Value) {
        let first = from + self.chance.below(every as u64) as i64;
        for (n, at) in (first..to).step_by(every as usize).enumerate() {
            let row = row(&mut self.chance, n as u64);
            self.add(at, row);
        }
    }

    /// From now on it is to be found; what is found is counted from here.
    pub fn begins(&mut self, at: i64) -> &mut Town {
        self.begins.push(at);
        self
    }

    /// Of these requests so many in a hundred are answered otherwise.
    pub fn answer(&mut self, (from, to): (i64, i64), percent: u64, status: i32, which: impl Fn(&Value) -> bool) {
        for row in &mut self.rows {
            let at = row["time"].as_i64().map_or(0, |time| time - MONDAY);
            if (from..to).contains(&at) && which(row) && self.chance.percent(percent) {
                row["status"] = status.into();
            }
        }
    }

    /// Nothing is heard of anybody.
    pub fn silence(&mut self, from: i64, to: i64) {
        self.rows.retain(|row| row["time"].as_i64().is_none_or(|time| !(from..to).contains(&(time - MONDAY))));
    }
}

/// How open offices are.
fn open(at: i64) -> f64 {
    let (day, hour) = (at.div_euclid(DAY).rem_euclid(7), at.rem_euclid(DAY) as f64 / HOUR as f64);
    let least = 0.03;
    if day >= 5 {
        return least;
    }
    let level = if (12.0..13.0).contains(&hour) { 0.7 } else { 1.0 };
    ((hour - 7.5) / 1.5).min((18.5 - hour) / 1.5).clamp(least, level)
}

pub fn pick<'a, T>(chance: &mut Chance, list: &'a [T]) -> &'a T {
    &list[chance.below(list.len() as u64) as usize]
}

/// Somebody who is known.
pub struct Client {
    pub address: String,
    pub name: String,
    kind: &'static str,
}

impl Client {
    pub fn person(n: u64) -> Client {
        Client { address: format!("192.0.2.{}", n + 1), name: format!("person-{n}"), kind: "session" }
    }

    pub fn machine(n: u64) -> Client {
        Client { address: format!("198.51.100.{}", n + 1), name: format!("svc-{n}"), kind: "api_key" }
    }

    /// A request whose user the gateway knows.
    pub fn request(&self, endpoint: &str, status: i32, bytes: u64) -> Value {
        let (method, path) = endpoint.split_once(' ').unwrap_or(("GET", endpoint));
        json!({
            "client_ip": self.address, "status": status, "method": method, "endpoint": endpoint, "path": path,
            "principal": self.name, "principal_source": "gateway", "credential": format!("k1:{}", self.name),
            "credential_kind": self.kind, "auth_result": "ok", "response_bytes": bytes,
        })
    }

    /// The same of one object.
    pub fn of_object(&self, endpoint: &str, object: &str, status: i32, bytes: u64) -> Value {
        let mut row = self.request(endpoint, status, bytes);
        row["object_id"] = format!("k1:{object}").into();
        row["path"] = row["path"].as_str().map(|path| path.replace("{id}", object)).into();
        row
    }
}

/// Somebody tries to log in as `name`, and fails.
pub fn failed_login(address: &str, name: &str) -> Value {
    json!({
        "client_ip": address, "status": 401, "method": "POST", "path": "/v1/login", "endpoint": "POST /v1/login",
        "auth_result": "invalid", "principal": name, "principal_source": "unproven",
    })
}

/// A stranger asks for something that is not there.
pub fn refused(address: &str, path: &str) -> Value {
    json!({ "client_ip": address, "status": 404, "method": "GET", "path": path, "endpoint": format!("GET {path}"), "user_agent": "Mozilla/5.0" })
}

fn by_person(chance: &mut Chance, n: u64) -> Value {
    let person = Client::person(n);
    match chance.below(1_000) {
        // Of log-ins one in twenty-five fails.
        0..=19 if chance.percent(4) => failed_login(&person.address, &person.name),
        0..=19 => person.request("POST /v1/login", 200, 900),
        20..=29 => {
            let bytes = 20_000 + chance.below(180_000);
            person.of_object("GET /v1/exports/{id}/download", &format!("export-{}", chance.below(1_000)), 200, bytes)
        }
        30..=32 => person.request(&format!("GET /guide/page-{}", chance.below(12)), 404, 300),
        _ => ordinary(chance, &person),
    }
}

fn ordinary(chance: &mut Chance, client: &Client) -> Value {
    let collection = chance.skewed(COLLECTIONS);
    let bytes = 500 + chance.skewed(30_000);
    let status = match chance.below(1_000) {
        0..=2 => 500,
        3..=7 => 400,
        _ => 200,
    };
    if chance.percent(30) {
        let status = if chance.percent(2) { 404 } else { status };
        let object = format!("{}-{}", client.name, chance.below(40));
        return client.of_object(&format!("GET /v1/collection-{collection}/{{id}}"), &object, status, bytes);
    }
    client.request(&format!("GET /v1/collection-{collection}"), status, bytes)
}
