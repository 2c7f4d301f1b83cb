//! The script: the lines of the planted stories, each written down with its time before the traffic starts, so that
//! what the plan claims is exactly what is there.
//!
//! Promises: `lines` are sorted by time after `finish`.

use schemas::alert::Entity;

use super::chance::Chance;
use super::client::Client;
use super::endpoints::{Endpoint, Kind};
use super::plan::{LookAlike, Plan, Planted};

pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;

/// One line of a story.
pub(super) struct Scripted {
    pub(super) at_ms: i64,
    pub(super) client: usize,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) service: &'static str,
    pub(super) status: u16,
    pub(super) latency_ms: u32,
    pub(super) request_bytes: u32,
    pub(super) response_bytes: u64,
    /// The client sends no credential with it: a log-in.
    pub(super) open: bool,
}

pub(super) struct Script {
    pub(super) chance: Chance,
    pub(super) clients: Vec<Client>,
    pub(super) lines: Vec<Scripted>,
    pub(super) plan: Plan,
    /// First and last moment of the traffic, milliseconds.
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

/// An entity of the plan.
pub(super) fn entity(kind: &str, value: &str) -> Entity {
    Entity { kind: kind.to_owned(), value: value.to_owned() }
}

impl Script {
    pub(super) fn new(seed: u64, start_ms: i64, end_ms: i64) -> Script {
        let plan = Plan { start_us: start_ms * 1000, end_us: end_ms * 1000, ..Plan::default() };
        let chance = Chance::new(seed, 2);
        Script { chance, clients: Vec::new(), lines: Vec::new(), plan, start_ms, end_ms }
    }

    /// A moment of the last ten hours, in which all attacks happen.
    pub(super) fn late(&self, hour: i64, minute: i64, second: i64) -> i64 {
        self.end_ms - 10 * HOUR_MS + hour * HOUR_MS + minute * MINUTE_MS + second * 1000
    }

    pub(super) fn cast(&mut self, client: Client) -> usize {
        self.clients.push(client);
        self.clients.len() - 1
    }

    /// `n` moments spread by chance, as independent requests are.
    pub(super) fn scattered(&mut self, from: i64, to: i64, n: i64) -> Vec<i64> {
        let mut times: Vec<i64> = (0..n).map(|_| from + (self.chance.unit() * (to - from) as f64) as i64).collect();
        times.sort_unstable();
        times
    }

    /// `n` moments at an even pace, as a program's loop makes them.
    pub(super) fn paced(&mut self, from: i64, to: i64, n: i64) -> Vec<i64> {
        let gap = (to - from) / n.max(1);
        (0..n).map(|i| from + i * gap + self.chance.between(0, gap / 4)).collect()
    }

    /// A call of a known endpoint with sizes and latency as usual for it.
    pub(super) fn call(&mut self, at_ms: i64, client: usize, endpoint: &'static Endpoint, status: u16) {
        let mut path = String::new();
        endpoint.path_into(&mut self.chance, &mut path);
        self.call_at(at_ms, client, endpoint, path, status);
    }

    /// The same with the path given, for stories in which it matters which object is asked for.
    pub(super) fn call_at(
        &mut self,
        at_ms: i64,
        client: usize,
        endpoint: &'static Endpoint,
        path: String,
        status: u16,
    ) {
        let mut query = String::new();
        endpoint.query_into(&mut self.chance, &mut query);
        let response_bytes = match status {
            200 | 201 => self.chance.lognormal(f64::from(endpoint.response_bytes), 0.3) as u64,
            _ => 180 + u64::from(self.chance.below(200)),
        };
        let latency_ms = 1 + self.chance.lognormal(f64::from(endpoint.latency_ms), 0.5) as u32;
        let request_bytes = 420 + self.chance.below(400);
        let (method, service) = (endpoint.method, endpoint.service);
        let open = matches!(endpoint.kind, Kind::Login | Kind::Open);
        self.lines.push(Scripted {
            at_ms,
            client,
            method,
            path,
            query,
            service,
            status,
            latency_ms,
            request_bytes,
            response_bytes,
            open,
        });
    }

    /// A request for something the API does not have, or not for everybody.
    pub(super) fn guess(&mut self, at_ms: i64, client: usize, method: &'static str, path: String, status: u16) {
        let response_bytes = 150 + u64::from(self.chance.below(500));
        let (latency_ms, request_bytes) = (1 + self.chance.below(12), 380 + self.chance.below(200));
        let (query, service) = (String::new(), "edge");
        self.lines.push(Scripted {
            at_ms,
            client,
            method,
            path,
            query,
            service,
            status,
            latency_ms,
            request_bytes,
            response_bytes,
            open: false,
        });
    }

    /// Records the lines from `first` on as an attack; `planted.events`, `start_us` and `end_us` are taken from them.
    pub(super) fn plant(&mut self, first: usize, mut planted: Planted) {
        (planted.events, planted.start_us, planted.end_us) = self.extent(first);
        self.plan.planted.push(planted);
    }

    /// Records the lines from `first` on as a look-alike, likewise.
    pub(super) fn set_beside(&mut self, first: usize, mut look_alike: LookAlike) {
        (look_alike.events, look_alike.start_us, look_alike.end_us) = self.extent(first);
        self.plan.look_alikes.push(look_alike);
    }

    fn extent(&self, first: usize) -> (u64, i64, i64) {
        let times = self.lines[first..].iter().map(|line| line.at_ms);
        let (start, end) = (times.clone().min().unwrap_or(self.start_ms), times.max().unwrap_or(self.start_ms));
        ((self.lines.len() - first) as u64, start * 1000, end * 1000)
    }

    /// The stories are told: bring their lines into time order.
    pub(super) fn finish(&mut self) {
        self.lines.sort_by_key(|line| line.at_ms);
    }
}
