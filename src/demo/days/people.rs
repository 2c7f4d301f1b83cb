//! What people do in a day: they log in, work in one or two stretches at a desk, at home or on the road, look at their
//! phones, export, and make the mistakes that people make.
//!
//! Promises: a person's day depends on the seed, the person and the day alone.
//! Never: an attack.

use std::sync::Arc;

use crate::demo::chance::Chance;
use crate::demo::client::Client;

use super::line::{Call, Claims, Line, with_password, with_session, with_token};
use super::places;
use super::world::{self, HOUR_MS, MINUTE_MS, Person, Role, Stream, World};

const KINDS: [&str; 5] = ["orders", "customers", "invoices", "documents", "products"];
const PHONE: &str = "okhttp/4.12.0";
const TOKEN_MS: i64 = 3_600_000;

/// One person's day, as it is made.
struct Day<'a> {
    world: &'a World,
    person: &'a Person,
    number: u32,
    chance: Chance,
    out: &'a mut Vec<Line>,
}

/// The credential in use and until when.
struct Pass {
    client: Arc<Client>,
    until_ms: i64,
}

pub(super) fn day(world: &World, number: u32, out: &mut Vec<Line>) {
    for (index, person) in world.people.iter().enumerate() {
        let mut chance = world::chance(world.seed, Stream::Person(index as u32, number));
        let works = if world::is_free(number) { 500 } else { 7_600 };
        // Nobody works on the way there or back.
        let on_the_way = person.trip.is_some_and(|(from, until, _)| number == from || number == until);
        if on_the_way || !chance.in_ten_thousand(works) {
            continue;
        }
        let mut day = Day { world, person, number, chance, out };
        for (hour, parts) in [(8.8, 8_500), (11.0, 5_500), (13.6, 6_500), (15.8, 4_500)] {
            if day.chance.in_ten_thousand(parts) {
                day.stretch(hour, 0.45);
            }
        }
        if day.chance.in_ten_thousand(700) {
            day.stretch(20.0, 0.35);
        }
        day.phone();
    }
}

impl Day<'_> {
    fn at(&mut self, hour: f64, spread: f64) -> i64 {
        let hours = hour + self.chance.normal() * spread;
        world::midnight(self.number) + (hours * HOUR_MS as f64) as i64
    }

    fn say(&mut self, at_ms: i64, client: &Arc<Client>, call: Call) {
        let mark = [self.chance.bits(), self.chance.bits()];
        self.out.push(Line { at_ms, client: client.clone(), call, mark });
    }

    /// Where the person is during a stretch of work.
    fn address(&mut self) -> (String, u32) {
        let person = self.person;
        match person.trip {
            Some((from, until, network)) if (from..=until).contains(&self.number) => {
                (places::v4(network, self.chance.below(250)), network)
            }
            _ if person.office && self.chance.in_ten_thousand(8_000) => {
                (self.world.tenants[person.tenant].office.clone(), person.network)
            }
            _ => (person.home.clone(), person.network),
        }
    }

    fn pass(&mut self, address: &str, agent: &'static str, now_ms: i64) -> Pass {
        let (person, tenant) = (self.person, &self.world.tenants[self.person.tenant]);
        if person.cookie && agent != PHONE {
            let session = self.chance.bits();
            return Pass { client: with_session(address, agent, session, None, None), until_ms: i64::MAX };
        }
        let until_ms = now_ms + TOKEN_MS;
        let mut claims = Claims::of(&person.name, &tenant.name, until_ms);
        claims.scope = match person.role {
            Role::Admin => "read write admin",
            Role::Limited => "read",
            _ => "read write",
        };
        Pass { client: with_token(address, agent, &claims, &mut self.chance), until_ms }
    }

    /// The same credential from another address.
    fn moved(pass: &Pass, address: &str) -> Arc<Client> {
        Arc::new(Client { address: address.into(), ..Client::clone(&pass.client) })
    }

    fn stretch(&mut self, hour: f64, hours: f64) {
        let person = self.person;
        let mut now = self.at(hour, 0.8);
        let end = now + (self.chance.lognormal(hours, 0.6) * HOUR_MS as f64) as i64;
        let (address, _) = self.address();
        now = self.log_in(now, &address);
        let mut pass = self.pass(&address, person.agent, now);
        let relay = person.relay.filter(|_| self.chance.in_ten_thousand(4_000));
        let switch = now + (end - now) / 3;
        while now < end {
            if now >= pass.until_ms {
                now = self.renew(&mut pass, now);
            }
            let client = match relay {
                Some(network) if now > switch => Day::moved(&pass, &places::v4(network, 99)),
                _ => pass.client.clone(),
            };
            self.request(now, &client);
            let busy = if world::is_month_end(self.number) { 1.3 } else { 1.0 };
            now += (70_000.0 / (person.pace * busy) * self.chance.lognormal(0.7, 0.9)) as i64 + 300;
        }
    }

    /// One in seventeen passwords is mistyped; some tenants ask for a code as well.
    fn log_in(&mut self, mut now: i64, address: &str) -> i64 {
        if !self.chance.in_ten_thousand(6_000) {
            return now;
        }
        let (name, agent) = (&self.person.name, self.person.agent);
        while self.chance.in_ten_thousand(600) {
            let client = with_password(address, agent, name, &mut self.chance);
            self.say(now, &client, Call::post("/v1/auth/login", 401).takes(140));
            now += self.chance.between(5_000, 20_000);
        }
        let client = with_password(address, agent, name, &mut self.chance);
        self.say(now, &client, Call::post("/v1/auth/login", 200).takes(140).bytes(900));
        if self.person.tenant % 4 == 1 {
            self.say(now + 2_000, &client, Call::post("/v1/auth/otp/send", 202).open());
            self.say(now + 25_000, &client, Call::post("/v1/auth/otp/verify", 200).open());
            now += 25_000;
        }
        now + 2_000
    }

    /// The page comes with the old token first, is refused, and gets a new one.
    fn renew(&mut self, pass: &mut Pass, now: i64) -> i64 {
        let old = pass.client.clone();
        if self.chance.in_ten_thousand(7_000) {
            self.say(now, &old, Call::get("/v1/users/me", 401));
        }
        self.say(now + 400, &old, Call::post("/v1/auth/refresh", 200).bytes(1_800));
        *pass = self.pass(&old.address, old.user_agent, now);
        now + 900
    }

    fn request(&mut self, now: i64, client: &Arc<Client>) {
        let (world, tenant) = (self.world, self.person.tenant);
        let kind = KINDS[world::weighted(&[5, 3, 2, 1, 2], &mut self.chance)];
        let call = match self.chance.below(1_000) {
            0..270 => {
                let rows = *self.chance.pick(&[20u64, 50, 50, 100]);
                let page = 1 + (self.chance.unit() * self.chance.unit() * 9.0) as u32;
                Call::get(format!("/v1/{kind}"), 200)
                    .query(format!("page={page}&limit={rows}"))
                    .bytes(rows * 240)
                    .records(rows)
                    .takes(40)
            }
            270..740 => {
                let status = [200, 404, 403, 500][world::weighted(&[970, 20, 4, 2], &mut self.chance)];
                Call::get(world.object(tenant, kind, &mut self.chance), status)
            }
            740..830 => {
                let refused = if self.person.role == Role::Limited { 150 } else { 6 };
                let status = [200, 422, 409, 403][world::weighted(&[930, 45, 5, refused], &mut self.chance)];
                let method = *self.chance.pick(&["PATCH", "PUT"]);
                Call::new(method, world.object(tenant, kind, &mut self.chance), status).sends(1_400).takes(60)
            }
            830..880 => {
                let status = [201, 422][world::weighted(&[93, 7], &mut self.chance)];
                Call::post(format!("/v1/{kind}"), status).sends(1_900).takes(90)
            }
            880..890 => return self.exports(now, client, kind),
            890..896 => Call::get(format!("{}/content", world.object(tenant, "documents", &mut self.chance)), 200)
                .bytes(400_000)
                .takes(250),
            896..902 => Call::post("/v1/documents", 201).sends(1_500_000).takes(900),
            902..930 => {
                let word =
                    *self.chance.pick(&["invoice", "annual+plan", "overdue", "o%27brien", "select+all", "10.0.0.1"]);
                Call::get("/v1/search", 200).query(format!("q={word}&limit=25")).bytes(9_000).takes(80)
            }
            930..940 if self.person.role == Role::Admin => {
                Call::get(*self.chance.pick(&["/v1/admin/users", "/v1/admin/audit", "/v1/admin/flags"]), 200)
                    .bytes(8_000)
            }
            _ => Call::get(
                *self.chance.pick(&["/v1/users/me", "/v1/notifications", "/v1/dashboard", "/v1/features"]),
                200,
            ),
        };
        let call = call.scattered(&mut self.chance);
        self.say(now, client, call);
        if self.person.role == Role::Limited && self.chance.in_ten_thousand(300) {
            // A page that asks for more than its reader may see.
            for (after, path) in [(200, "/v1/billing/plan"), (300, "/v1/settings/limits")] {
                self.say(now + after, client, Call::get(path, 403));
            }
        }
    }

    fn exports(&mut self, now: i64, client: &Arc<Client>, kind: &str) {
        let files = match self.person.role {
            Role::Accountant if world::is_month_end(self.number) => 3,
            Role::Accountant => 1,
            _ => i64::from(self.chance.in_ten_thousand(3_000)),
        };
        for file in 0..files {
            let rows = 200 + u64::from(self.chance.below(2_500));
            let call = Call::get(format!("/v1/{kind}/export.csv"), 200).records(rows).bytes(rows * 260).takes(700);
            self.say(now + file * 20_000, client, call);
        }
    }

    /// The phone wakes with a token that ran out, moves between carrier and home, and is looked at now and then.
    fn phone(&mut self) {
        let Some(carrier) = self.person.phone else { return };
        // Somebody on a journey has no carrier at home.
        if self.person.trip.is_some_and(|(from, until, _)| (from..=until).contains(&self.number)) {
            return;
        }
        let mut now = self.at(7.2, 0.5);
        let roaming = places::v4(carrier, self.chance.below(250));
        let mut pass = self.pass(&roaming, PHONE, now - 2 * TOKEN_MS);
        now = self.renew(&mut pass, now);
        for look in 0..self.chance.below(4) + 1 {
            let address = if look % 2 == 0 { roaming.clone() } else { self.person.home.clone() };
            let client = Day::moved(&pass, &address);
            for _ in 0..1 + self.chance.below(5) {
                self.request(now, &client);
                now += self.chance.between(2_000, 40_000);
            }
            now += self.chance.between(10 * MINUTE_MS, 150 * MINUTE_MS);
            if now >= pass.until_ms {
                now = self.renew(&mut pass, now);
            }
        }
    }
}
