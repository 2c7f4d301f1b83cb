//! The traffic: ordinary requests and planted stories merged in time order and written as gateway log lines.
//!
//! Promises: exactly `events` lines; the same configuration gives the same bytes; a line is complete at most
//! `MAX_DISORDER_MS` earlier than one before it (in formats that write whole seconds, one second more).
//! Never: reads a clock. Event time starts on Monday 2026-01-05 00:00:00 UTC.

use super::attacks;
use super::formats::{Exchange, Format};
use super::look_alikes;
use super::ordinary::{self, Ordinary, Size};
use super::plan::Plan;
use super::script::{HOUR_MS, Script};
use super::words;

/// Start of event time, milliseconds: 2026-01-05T00:00:00Z, a Monday.
pub const START_MS: i64 = 1_767_571_200_000;
/// The smallest number of events that leaves ordinary traffic around the planted stories of a default demo.
pub const EVENTS_MIN: u64 = 20_000;
/// How far a line's completion may lie before that of an earlier line, at the default disorder.
pub const MAX_DISORDER_MS: i64 = 200;

const HOURS_MIN: u32 = 24;
const HOURS_MAX: u32 = 24 * 60;
/// `fill` stops at the first line end after this many bytes.
const FILL_BYTES: usize = 256 * 1024;

#[derive(Clone, Debug)]
pub struct TrafficConfig {
    pub seed: u64,
    /// Lines in all, planted ones included.
    pub events: u64,
    /// People, each with an address of their own.
    pub clients: u32,
    pub tenants: u32,
    pub hours: u32,
    /// Plant the attacks and their look-alikes.
    pub attacks: bool,
    pub format: Format,
    /// Lines come up to this much out of order; 0 for strictly ordered.
    pub disorder_ms: u32,
}

impl Default for TrafficConfig {
    /// The demo: 200,000 requests in thirty hours.
    fn default() -> TrafficConfig {
        TrafficConfig {
            seed: 1,
            events: 200_000,
            clients: 1_500,
            tenants: 40,
            hours: 30,
            attacks: true,
            format: Format::Kong,
            disorder_ms: MAX_DISORDER_MS as u32,
        }
    }
}

impl TrafficConfig {
    /// The input of the benches: many clients in a day.
    pub fn bench(events: u64, clients: u32) -> TrafficConfig {
        let attacks = events >= EVENTS_MIN;
        TrafficConfig { events, clients, tenants: 400, hours: 24, attacks, ..TrafficConfig::default() }
    }

    fn check(&self) -> Result<(), TrafficError> {
        let in_range = |name, value: u64, min: u64, max: u64| {
            if (min..=max).contains(&value) { Ok(()) } else { Err(TrafficError::Range { name, value, min, max }) }
        };
        let (hours_min, events_min) = if self.attacks { (HOURS_MIN, EVENTS_MIN) } else { (1, 1) };
        in_range("events", self.events, events_min, 1_000_000_000)?;
        in_range("hours", self.hours.into(), hours_min.into(), HOURS_MAX.into())?;
        in_range("tenants", self.tenants.into(), 1, 10_000)?;
        in_range("disorder_ms", self.disorder_ms.into(), 0, 60_000)?;
        let spare = ordinary::addresses_used(0, self.tenants) + 200;
        in_range("clients", self.clients.into(), 1, (words::ADDRESSES - spare).into())
    }
}

/// A configuration that cannot be made into traffic.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    #[error("{name} is {value}, it must be between {min} and {max}")]
    Range { name: &'static str, value: u64, min: u64, max: u64 },
    #[error("{events} events are too few for {hours} hours with planted attacks, at least {needed} are needed")]
    TooFew { events: u64, hours: u32, needed: u64 },
}

/// A source of log lines.
pub struct Traffic {
    format: Format,
    ordinary: Ordinary,
    script: Script,
    /// Next line of the script.
    next: usize,
    left: u64,
    completed_ms: i64,
}

impl Traffic {
    pub fn new(config: &TrafficConfig) -> Result<Traffic, TrafficError> {
        config.check()?;
        let end_ms = START_MS + i64::from(config.hours) * HOUR_MS;
        let mut script = Script::new(config.seed, START_MS, end_ms);
        let mut fault = None;
        if config.attacks {
            fault = Some(attacks::write(&mut script));
            look_alikes::write(&mut script);
            script.finish();
        }
        let planted = script.lines.len() as u64;
        // Half as much again as was planted: fewer would not look like a business.
        let needed = planted + planted / 2;
        if config.events < needed {
            return Err(TrafficError::TooFew { events: config.events, hours: config.hours, needed });
        }
        let size = Size {
            events: config.events - planted,
            clients: config.clients,
            tenants: config.tenants,
            minutes: config.hours * 60,
        };
        let ordinary = Ordinary::new(config.seed, START_MS, &size, config.disorder_ms, fault);
        Ok(Traffic { format: config.format, ordinary, script, next: 0, left: config.events, completed_ms: START_MS })
    }

    pub fn plan(&self) -> &Plan {
        &self.script.plan
    }

    /// Lines still to come.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// When the last line written was complete, microseconds: what a clock beside the gateway would show.
    pub fn completed_us(&self) -> i64 {
        self.completed_ms * 1000
    }

    /// Appends about 256 KiB of lines, each with its newline; false when there are none left.
    pub fn fill(&mut self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        while out.len() - start < FILL_BYTES && self.next_line(out) {}
        out.len() > start
    }

    /// Appends one line with its newline; false when there is none left.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> bool {
        let scripted = self.script.lines.get(self.next).map(|line| line.at_ms);
        let exchange = match (self.ordinary.due_ms(), scripted) {
            (_, None) => self.ordinary.next(),
            (Some(due), Some(at)) if due <= at => self.ordinary.next(),
            (_, Some(_)) => {
                self.next += 1;
                Some(scripted_exchange(&mut self.script, self.next - 1))
            }
        };
        let Some(exchange) = exchange else { return false };
        self.completed_ms = exchange.completed_ms;
        self.left -= 1;
        self.format.write(&exchange, out);
        out.push(b'\n');
        true
    }
}

impl Iterator for Traffic {
    type Item = Vec<u8>;

    /// The next line without its newline.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::with_capacity(1024);
        if !self.next_line(&mut line) {
            return None;
        }
        line.pop();
        Some(line)
    }
}

fn scripted_exchange(script: &mut Script, index: usize) -> Exchange<'_> {
    let request_id = [script.chance.bits(), script.chance.bits()];
    let line = &script.lines[index];
    Exchange {
        completed_ms: line.at_ms,
        latency_ms: line.latency_ms,
        method: line.method,
        path: &line.path,
        query: &line.query,
        service: line.service,
        status: line.status,
        request_bytes: line.request_bytes,
        response_bytes: line.response_bytes,
        request_id,
        open: line.open,
        client: &script.clients[line.client],
        detail: None,
    }
}
