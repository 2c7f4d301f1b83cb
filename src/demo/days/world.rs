//! The world of the long demo: its calendar, its tenants and their people, and how busy an hour is.
//!
//! Promises: the same seed gives the same world; everything that a day needs to know of the days before it is here, so
//! that a day can be made by itself.
//! Never: makes a line.

use crate::demo::chance::{Chance, Weights};
use crate::demo::words;

use super::places;

pub(super) const MINUTE_MS: i64 = 60_000;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// Start of event time, milliseconds: 2026-01-12T00:00:00Z, a Monday. The month ends on the twentieth day.
pub const START_MS: i64 = 1_768_176_000_000;
/// Days from which the month's closing is worked on, and its last.
const MONTH_END: std::ops::RangeInclusive<u32> = 16..=19;
/// A holiday, on the first Wednesday.
const HOLIDAY: u32 = 2;
const TENANTS: usize = 40;

/// Chance by purpose, so that what one draws does not shift what another gets.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    World,
    Person(u32, u32),
    Machines(u32),
    Happenings(u32),
    Faults(u32),
    Story(u32, u32),
    Calendar(u32),
}

pub(super) fn chance(seed: u64, stream: Stream) -> Chance {
    let number = |kind: u64, a: u32, b: u32| 0x1_0000 | (kind << 60) | (u64::from(a) << 24) | u64::from(b);
    let stream = match stream {
        Stream::World => number(1, 0, 0),
        Stream::Person(person, day) => number(2, person, day),
        Stream::Machines(day) => number(3, 0, day),
        Stream::Happenings(day) => number(4, 0, day),
        Stream::Faults(day) => number(5, 0, day),
        Stream::Story(kind, act) => number(6, kind, act),
        Stream::Calendar(kind) => number(7, kind, 0),
    };
    Chance::new(seed, stream)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Limited,
    Accountant,
    Admin,
}

pub(super) struct Person {
    pub(super) name: String,
    pub(super) tenant: usize,
    pub(super) network: u32,
    pub(super) home: String,
    pub(super) agent: &'static str,
    /// A phone beside the desk, and the network of its carrier.
    pub(super) phone: Option<u32>,
    /// Sits behind the tenant's one address most of the time.
    pub(super) office: bool,
    /// The relay of a VPN that it turns on now and then.
    pub(super) relay: Option<u32>,
    pub(super) role: Role,
    /// Works with a session cookie instead of tokens.
    pub(super) cookie: bool,
    pub(super) pace: f64,
    /// Away from and until these days, in that network.
    pub(super) trip: Option<(u32, u32, u32)>,
}

pub(super) struct Tenant {
    pub(super) name: String,
    pub(super) office: String,
    pub(super) people: u32,
    /// The first of its objects' numbers.
    pub(super) objects: u32,
}

pub(super) struct World {
    pub(super) seed: u64,
    pub(super) days: u32,
    pub(super) tenants: Vec<Tenant>,
    pub(super) people: Vec<Person>,
}

impl World {
    pub(super) fn new(seed: u64, days: u32) -> World {
        let mut chance = chance(seed, Stream::World);
        let mut world = World { seed, days, tenants: Vec::new(), people: Vec::new() };
        for index in 0..TENANTS {
            let size = (150.0 / (index as f64 + 1.5)) as u32 + 2;
            let network = places::OFFICES.start + chance.below(places::OFFICES.len() as u32);
            let office = places::v4(network, index as u32 * 5);
            let objects = 1_000_000 + index as u32 * 100_000;
            world.tenants.push(Tenant { name: words::tenant_name(index), office, people: size, objects });
            for seat in 0..size {
                let person = world.person(index, seat, network, &mut chance);
                world.people.push(person);
            }
        }
        world
    }

    fn person(&self, tenant: usize, seat: u32, office: u32, chance: &mut Chance) -> Person {
        let number = self.people.len() as u32;
        // Most live where the office is.
        let network = match chance.in_ten_thousand(8_500) {
            true => places::neighbour(&places::HOMES, office, chance.below(1_000)),
            false => places::HOMES.start + chance.below(places::HOMES.len() as u32),
        };
        let v6 = chance.in_ten_thousand(1_200);
        let carrier = places::neighbour(&places::CARRIERS, network, chance.below(1_000));
        let desk = chance.below(5) as usize;
        let role = match (seat, chance.below(10)) {
            (0, _) => Role::Admin,
            (_, 0) => Role::Accountant,
            (_, 1 | 2) => Role::Limited,
            _ => Role::User,
        };
        let first = chance.below(self.days.max(2) - 1);
        let away = chance.in_ten_thousand(3_000);
        let abroad = match chance.in_ten_thousand(3_000) {
            true => places::far_plain(chance.below(20)),
            false => places::HOMES.start + chance.below(places::HOMES.len() as u32),
        };
        let relay = places::RELAYS.start + chance.below(places::RELAYS.len() as u32);
        Person {
            name: words::user_name(number),
            tenant,
            network,
            home: if v6 { places::v6(network, number) } else { places::v4(network, number) },
            agent: words::BROWSERS[desk],
            phone: chance.in_ten_thousand(3_000).then_some(carrier),
            // Who lives elsewhere works from there.
            office: seat % 5 < 3 && places::together(network, office),
            relay: chance.in_ten_thousand(600).then_some(relay),
            role,
            cookie: chance.in_ten_thousand(3_000),
            pace: chance.lognormal(1.0, 0.45),
            trip: away.then(|| (first, first + 1 + chance.below(4), abroad)),
        }
    }

    /// One of a tenant's objects; the first are asked for most.
    pub(super) fn object(&self, tenant: usize, kind: &str, chance: &mut Chance) -> String {
        let objects = 40 + self.tenants[tenant].people * 40;
        let at = (chance.unit() * chance.unit() * f64::from(objects)) as u32;
        // Spread over the number space by a bijection, so that neighbours in use are no neighbours by number.
        let number = self.tenants[tenant].objects + at.wrapping_mul(7_919) % 99_991;
        format!("/v1/{kind}/{number}")
    }
}

pub(super) fn midnight(day: u32) -> i64 {
    START_MS + i64::from(day) * DAY_MS
}

/// A day on which people do not work.
pub(super) fn is_free(day: u32) -> bool {
    day % 7 >= 5 || day == HOLIDAY
}

pub(super) fn is_month_end(day: u32) -> bool {
    MONTH_END.contains(&day)
}

/// Index by weight, for the few tables of weights.
pub(super) fn weighted(weights: &[u32], chance: &mut Chance) -> usize {
    Weights::new(weights.iter().map(|weight| f64::from(*weight))).pick(chance)
}
