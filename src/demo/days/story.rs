//! A story: one instance of an attack kind, or its harmless twin, written down line by line with who acts in it and the
//! moment at which there is enough to tell it.
//!
//! Promises: a story depends on the seed, its kind and its act alone, so that it can be told twice; its people and
//! addresses are its own, but for accounts of the world that it takes over.
//! Never: asks what other stories do.

use std::sync::Arc;

use schemas::alert::Entity;

use crate::demo::chance::Chance;
use crate::demo::client::Client;
use crate::demo::words;

use super::line::{Call, Claims, Line, with_password, with_token};
use super::places;
use super::world::{self, DAY_MS, HOUR_MS, MINUTE_MS, Stream, World};

/// How strong an attack is, or that it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    Weak,
    Medium,
    Strong,
    /// Harmless, and looks the same.
    Twin,
}

impl Act {
    pub const ALL: [Act; 4] = [Act::Weak, Act::Medium, Act::Strong, Act::Twin];

    pub fn name(self) -> &'static str {
        match self {
            Act::Weak => "weak",
            Act::Medium => "medium",
            Act::Strong => "strong",
            Act::Twin => "twin",
        }
    }
}

/// What is wrong with the service for a while, for whoever calls.
#[derive(Clone)]
pub(super) struct Fault {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    /// Calls of paths that begin so; empty for all.
    pub(super) prefix: &'static str,
    /// Of 10,000 calls this many.
    pub(super) parts: u32,
    pub(super) effect: Effect,
}

#[derive(Clone, Copy)]
pub(super) enum Effect {
    Status(u16),
    SlowMs(u32),
    /// The line never comes.
    Lost,
}

/// A story as the plan tells it.
#[derive(Clone, Debug)]
pub struct Incident {
    pub kind: &'static str,
    pub owasp: &'static str,
    pub act: Act,
    /// Who does it, or at whom it can be seen.
    pub actors: Vec<Entity>,
    /// Detectors that say what it is.
    pub tells: &'static [&'static str],
    /// Whole API, endpoint or tenant: at these only the detectors of `tells` count.
    pub shared: Vec<Entity>,
    pub start_us: i64,
    /// When there was enough to tell it.
    pub enough_us: i64,
    pub end_us: i64,
    pub lines: u64,
    /// For a twin: when its habit began, which is part of it.
    pub habit_us: i64,
}

pub(super) struct Story<'a> {
    pub(super) world: &'a World,
    pub(super) chance: Chance,
    pub(super) act: Act,
    pub(super) start_ms: i64,
    /// Different for every story of a run.
    number: u32,
    addresses: u32,
    names: u32,
    enough: usize,
    pub(super) lines: Vec<Line>,
    pub(super) habit: Vec<Line>,
    pub(super) faults: Vec<Fault>,
    pub(super) actors: Vec<Entity>,
    pub(super) shared: Vec<Entity>,
    /// Extent of a story that has no lines of its own.
    pub(super) span_ms: Option<(i64, i64)>,
}

pub(super) const BROWSER: &str = words::BROWSERS[0];
pub(super) const SCRIPT: &str = words::LIBRARIES[0];

impl<'a> Story<'a> {
    pub(super) fn new(world: &'a World, kind: u32, act: Act, start_ms: i64) -> Story<'a> {
        Story {
            world,
            chance: world::chance(world.seed, Stream::Story(kind, act as u32)),
            act,
            start_ms,
            number: kind * 4 + act as u32,
            addresses: 0,
            names: 0,
            enough: 1,
            lines: Vec::new(),
            habit: Vec::new(),
            faults: Vec::new(),
            actors: Vec::new(),
            shared: Vec::new(),
            span_ms: None,
        }
    }

    pub(super) fn is_twin(&self) -> bool {
        self.act == Act::Twin
    }

    /// By strength; a twin that asks is as loud as the weak one.
    pub(super) fn of<T>(&self, weak: T, medium: T, strong: T) -> T {
        match self.act {
            Act::Weak | Act::Twin => weak,
            Act::Medium => medium,
            Act::Strong => strong,
        }
    }

    /// Begins at the start of its day, for what takes a day.
    pub(super) fn all_day(&mut self) {
        self.start_ms = (self.start_ms - world::START_MS).div_euclid(DAY_MS) * DAY_MS + world::START_MS + HOUR_MS;
    }

    pub(super) fn actor(&mut self, kind: &str, value: &str) {
        self.actors.push(Entity { kind: kind.into(), value: value.into() });
    }

    /// The whole API, or one of its endpoints.
    pub(super) fn at(&mut self, kind: &str, value: &str) {
        self.shared.push(Entity { kind: kind.into(), value: value.into() });
    }

    pub(super) fn whole(&mut self) {
        self.at("whole", "whole");
    }

    /// An address far away that nobody else has.
    pub(super) fn address(&mut self) -> String {
        let id = self.number * 10 + self.addresses % 10;
        self.addresses += 1;
        let address = places::v4(places::far_network(id), id / 84);
        self.actor("client_ip", &address);
        address
    }

    /// `n` addresses in as many networks as there are, at most a hundred.
    pub(super) fn addresses(&mut self, n: u32) -> Vec<String> {
        let id = |i: u32| self.number * 100 + i;
        let addresses: Vec<_> = (0..n).map(|i| places::v4(places::near_network(id(i)), id(i) / 124)).collect();
        addresses.iter().for_each(|address| self.actor("client_ip", address));
        addresses
    }

    /// The same in networks of one city, at most twelve.
    pub(super) fn neighbours(&mut self, n: u32) -> Vec<String> {
        let id = |i: u32| self.number * 100 + i * places::NEAR_STEP;
        let addresses: Vec<_> = (0..n).map(|i| places::v4(places::near_network(id(i)), id(i) / 124)).collect();
        addresses.iter().for_each(|address| self.actor("client_ip", address));
        addresses
    }

    /// The number of its day, and of days before it.
    pub(super) fn day(&self) -> i64 {
        (self.start_ms - world::START_MS) / DAY_MS
    }

    /// An account that nobody else has.
    pub(super) fn name(&mut self) -> String {
        let name = words::user_name(10_000 + self.number * 500 + self.names);
        self.names += 1;
        self.actor("principal", &name);
        name
    }

    pub(super) fn tenant(&self, n: usize) -> &'a str {
        &self.world.tenants[n % self.world.tenants.len()].name
    }

    /// A token for the day.
    pub(super) fn token(&mut self, name: &str, address: &str, agent: &'static str) -> Arc<Client> {
        let tenant = self.tenant(self.number as usize);
        with_token(address, agent, &Claims::of(name, tenant, self.start_ms + DAY_MS), &mut self.chance)
    }

    /// An account of the world, at home: with the past of that person.
    pub(super) fn insider(&mut self) -> Arc<Client> {
        let people = &self.world.people;
        let person = &people[self.number as usize * 13 % people.len()];
        self.actor("principal", &person.name);
        self.actor("client_ip", &person.home);
        let tenant = &self.world.tenants[person.tenant].name;
        let claims = Claims::of(&person.name, tenant, self.start_ms + DAY_MS);
        with_token(&person.home, person.agent, &claims, &mut self.chance)
    }

    /// A new account with a token and an address of its own.
    pub(super) fn newcomer(&mut self, agent: &'static str) -> Arc<Client> {
        let (name, address) = (self.name(), self.address());
        self.token(&name, &address, agent)
    }

    pub(super) fn stranger(&mut self, agent: &'static str) -> Arc<Client> {
        Arc::new(Client::stranger(&self.address(), agent))
    }

    /// A program with a key.
    pub(super) fn program(&mut self, agent: &'static str) -> Arc<Client> {
        let (address, name) = (self.address(), format!("svc-story-{}", self.number));
        self.actor("principal", &name);
        let tenant = self.tenant(self.number as usize).to_owned();
        Arc::new(Client::service(&address, agent, &name, &tenant, &mut self.chance))
    }

    /// Somebody tries a password.
    pub(super) fn log_in(&mut self, after_ms: i64, address: &str, name: &str, status: u16) {
        let client = with_password(address, SCRIPT, name, &mut self.chance);
        self.say(after_ms, &client, Call::post("/v1/auth/login", status).takes(130));
    }

    /// A line of the story, so long after its start.
    pub(super) fn say(&mut self, after_ms: i64, client: &Arc<Client>, call: Call) {
        let line = self.line(after_ms, client, call);
        self.lines.push(line);
    }

    /// A line that is not part of an attack: what the same client did before.
    pub(super) fn used_to(&mut self, after_ms: i64, client: &Arc<Client>, call: Call) {
        let line = self.line(after_ms, client, call);
        self.habit.push(line);
    }

    fn line(&mut self, after_ms: i64, client: &Arc<Client>, call: Call) -> Line {
        let mark = [self.chance.bits(), self.chance.bits()];
        Line { at_ms: self.start_ms + after_ms, client: client.clone(), call, mark }
    }

    /// `n` moments within this time, about evenly.
    pub(super) fn moments(&mut self, n: i64, within_ms: i64) -> Vec<i64> {
        let gap = within_ms / n.max(1);
        (0..n).map(|i| i * gap + self.chance.between(0, (gap / 2).max(1))).collect()
    }

    /// The number of its own lines after which there is enough to tell it; of one without lines, seconds.
    pub(super) fn enough(&mut self, lines: usize) {
        self.enough = lines;
    }

    pub(super) fn number(&mut self) -> u32 {
        self.chance.between(100_000, 9_000_000) as u32
    }

    pub(super) fn incident(&mut self, kind: &super::kinds::Kind) -> Incident {
        self.lines.sort_by_key(|line| (line.at_ms, line.mark));
        let first = self.lines.first().map(|line| line.at_ms);
        let (start, end) = self
            .span_ms
            .unwrap_or((first.unwrap_or(self.start_ms), self.lines.last().map_or(self.start_ms, |line| line.at_ms)));
        let enough = match self.span_ms {
            Some((start, end)) => (start + self.enough as i64 * 1000).min(end),
            None => self.lines.get(self.enough.max(1) - 1).map_or(end, |line| line.at_ms),
        };
        let habit = self.habit.iter().map(|line| line.at_ms).min().unwrap_or(start).min(start);
        Incident {
            kind: kind.id,
            owasp: kind.owasp,
            act: self.act,
            actors: self.actors.clone(),
            tells: kind.tells,
            shared: self.shared.clone(),
            start_us: start * 1000,
            enough_us: enough * 1000,
            end_us: end * 1000,
            lines: self.lines.len() as u64,
            habit_us: habit * 1000,
        }
    }
}

/// A span in minutes, in milliseconds.
pub(super) const fn minutes(n: i64) -> i64 {
    n * MINUTE_MS
}

pub(super) const fn hours(n: i64) -> i64 {
    n * HOUR_MS
}
