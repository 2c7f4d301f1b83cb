//! What programs do in a day: monitors, synchronisations, partners that read everything at night, builds, reports,
//! backups, webhooks, a search engine, and the noise of the internet. Deploys are here too, with what they break.
//!
//! Promises: a day depends on the seed and the day alone; what is regular is regular from the first day on.
//! Never: an attack. The noise stays below what anybody would call a scan: a few paths of one address.

use std::sync::Arc;

use crate::demo::chance::Chance;
use crate::demo::client::Client;

use super::line::{Call, Line};
use super::places;
use super::world::{self, DAY_MS, HOUR_MS, MINUTE_MS, Stream, World};

const RESOURCES: [&str; 8] =
    ["orders", "customers", "invoices", "products", "shipments", "documents", "contacts", "payments"];

struct Day<'a> {
    world: &'a World,
    number: u32,
    start: i64,
    chance: Chance,
    out: &'a mut Vec<Line>,
}

pub(super) fn day(world: &World, number: u32, out: &mut Vec<Line>) {
    let start = world::midnight(number);
    let chance = world::chance(world.seed, Stream::Machines(number));
    let mut day = Day { world, number, start, chance, out };
    day.monitors();
    day.synchronisations();
    day.partners();
    day.night_jobs();
    day.builds();
    day.webhooks();
    day.public();
    day.chance = world::chance(world.seed, Stream::Happenings(number));
    day.noise();
    day.forgotten_page();
}

/// A program with an address of a cloud and a key of its own, the same every day.
fn program(name: &str, agent: &'static str, host: u32) -> Arc<Client> {
    let address = places::v4(places::CLOUDS.start + host % places::CLOUDS.len() as u32, host);
    let mut chance = Chance::new(u64::from(host), 9);
    let tenant = crate::demo::words::tenant_name(host as usize % 40);
    Arc::new(Client::service(&address, agent, name, &tenant, &mut chance))
}

fn stranger(network: u32, host: u32, agent: &'static str) -> Arc<Client> {
    Arc::new(Client::stranger(&places::v4(network, host), agent))
}

impl Day<'_> {
    fn say(&mut self, at_ms: i64, client: &Arc<Client>, call: Call) {
        let mark = [self.chance.bits(), self.chance.bits()];
        self.out.push(Line { at_ms, client: client.clone(), call, mark });
    }

    fn any_time(&mut self) -> i64 {
        self.start + self.chance.between(0, DAY_MS)
    }

    fn monitors(&mut self) {
        let health = stranger(places::CLOUDS.start, 10, "kube-probe/1.31");
        let uptime = stranger(places::CLOUDS.start + 1, 11, "UptimeRobot/2.0");
        for minute in 0..24 * 60 {
            self.say(self.start + minute * MINUTE_MS + 3, &health, Call::get("/healthz", 200).takes(2).bytes(2));
            if minute % 5 == 0 {
                self.say(self.start + minute * MINUTE_MS + 700, &uptime, Call::get("/status", 200).bytes(20));
            }
        }
        let checks = program("svc-synthetics", "Datadog/Synthetics", 12);
        for step in 0..24 * 6 {
            for (after, resource) in (0..).zip(RESOURCES) {
                let call = Call::get(format!("/v1/{resource}"), 200).query("page=1&limit=1").records(1);
                self.say(self.start + step * 10 * MINUTE_MS + after * 250, &checks, call);
            }
        }
    }

    /// Ask every few minutes for what is new, and write back in office hours.
    fn synchronisations(&mut self) {
        for n in 0..8u32 {
            let client = program(&format!("svc-sync-{n}"), "okhttp/4.12.0", 20 + n);
            for step in 0..24 * 12 {
                let at = self.start + step * 5 * MINUTE_MS + i64::from(n) * 7_000 + self.chance.between(0, 900);
                let rows = u64::from(self.chance.below(40));
                let since = at / 1000 - 300;
                let call = Call::get("/v1/orders", 200).query(format!("updated_since={since}")).records(rows);
                self.say(at, &client, call.bytes(200 + rows * 240));
                if (96..216).contains(&step) && self.chance.in_ten_thousand(3_000) {
                    let status = if self.chance.in_ten_thousand(300) { 409 } else { 200 };
                    let path = self.world.object(20 + n as usize % 8, "orders", &mut self.chance);
                    self.say(at + 2_000, &client, Call::new("PUT", path, status).sends(900));
                }
            }
        }
    }

    /// Page through everything each night; the last one only since the second week.
    fn partners(&mut self) {
        for (n, pages, gap_ms) in [(0u32, 220, 900), (1, 380, 400), (2, 120, 1_500), (3, 300, 600)] {
            if n == 3 && self.number < 6 {
                continue;
            }
            let client = program(&format!("svc-partner-{n}"), "python-requests/2.32.3", 40 + n);
            let mut at = self.start + (2 * HOUR_MS) + i64::from(n) * 30 * MINUTE_MS + self.chance.between(0, 600_000);
            for page in 0..pages + self.chance.between(0, 12) {
                at += self.chance.between(gap_ms / 2, gap_ms * 2);
                let resource = RESOURCES[n as usize % 4];
                let query = format!("page={page}&limit=100");
                if n == 1 && self.chance.in_ten_thousand(300) {
                    self.say(at - 100, &client, Call::get(format!("/v1/{resource}"), 429).query(query.clone()));
                }
                let bytes = 20_000 + u64::from(self.chance.below(20_000));
                self.say(at, &client, Call::get(format!("/v1/{resource}"), 200).query(query).records(100).bytes(bytes));
            }
        }
    }

    fn night_jobs(&mut self) {
        let reports = program("svc-bi", "Java-http-client/21.0.5", 50);
        for n in 0..70 {
            let at = self.start + HOUR_MS + n * 25_000 + self.chance.between(0, 9_000);
            let takes = 4_000 + self.chance.below(15_000);
            self.say(at, &reports, Call::get(format!("/v1/reports/{}", 1_000 + n), 200).takes(takes).bytes(200_000));
        }
        let backup = program("svc-backup", "rclone/1.68", 51);
        for n in 0..20 {
            let at = self.start + 4 * HOUR_MS + n * 40_000;
            let call = Call::new("PUT", format!("/v1/backups/{}/parts", 5_000 + n), 200).sends(90_000_000).takes(9_000);
            self.say(at, &backup, call);
        }
        let export = program("svc-nightly-export", "Java-http-client/21.0.5", 52);
        for n in 0..60 {
            let at = self.start + 3 * HOUR_MS + n * 60_000;
            self.say(at, &export, Call::get("/v1/orders/export.csv", 200).bytes(240_000).records(900).takes(800));
        }
        if self.number % 7 == 6 {
            let weekly = program("svc-weekly", "Java-http-client/21.0.5", 53);
            for page in 0..350 {
                let call = Call::get("/v1/archive", 200).query(format!("page={page}")).records(200).bytes(50_000);
                self.say(self.start + 5 * HOUR_MS + page * 2_500, &weekly, call);
            }
        }
    }

    /// Builds test the API: new objects, mistakes on purpose, and things that are not there.
    fn builds(&mut self) {
        let runs = if world::is_free(self.number) { 1 } else { 2 + self.chance.below(4) };
        for _ in 0..runs {
            let client = program("svc-ci", "node-fetch/1.0", 60 + self.chance.below(2));
            let mut at = self.start + self.chance.between(9 * HOUR_MS, 19 * HOUR_MS);
            for _ in 0..60 + self.chance.below(90) {
                at += self.chance.between(150, 700);
                let status = [200, 201, 400, 404, 422][world::weighted(&[12, 2, 1, 1, 1], &mut self.chance)];
                let method = *self.chance.pick(&["GET", "GET", "POST", "PUT"]);
                let resource = *self.chance.pick(&RESOURCES);
                self.say(at, &client, Call::new(method, format!("/v1/{resource}"), status));
            }
            self.say(at + 900, &client, Call::post("/v1/artifacts", 201).sends(60_000_000).takes(4_000));
        }
    }

    /// A payment provider; for two hours of one day with a secret that was changed on one side alone.
    fn webhooks(&mut self) {
        for _ in 0..180 {
            let at = self.any_time();
            let client = stranger(places::CLOUDS.start + 5, 100 + self.chance.below(4), "PayBridge-Webhook/1.4");
            let hour = (at - self.start) / HOUR_MS;
            let wrong = self.number == 12 && (10..12).contains(&hour);
            let call = |status| Call::post("/webhooks/payments", status).sends(900);
            self.say(at, &client, call(if wrong { 401 } else { 200 }));
            if wrong {
                self.say(at + 20_000, &client, call(401));
            }
        }
    }

    /// A search engine on the documentation, and people who sign up.
    fn public(&mut self) {
        let agent = "Mozilla/5.0 (compatible; Examplebot/2.1; +https://bot.example.org/)";
        let crawler = stranger(places::CLOUDS.start + 7, 90, agent);
        for _ in 0..220 {
            let (at, page) = (self.any_time(), self.chance.below(60));
            let status = if self.chance.in_ten_thousand(600) { 404 } else { 200 };
            let topic = *self.chance.pick(&RESOURCES);
            self.say(at, &crawler, Call::get(format!("/docs/{topic}/{page}"), status).bytes(9_000));
        }
        // A webinar on one day.
        let sign_ups = if self.number == 8 { 50 } else { 4 + self.chance.below(9) };
        for _ in 0..sign_ups {
            let at = self.start + self.chance.between(8 * HOUR_MS, 19 * HOUR_MS);
            let network = places::HOMES.start + self.chance.below(places::HOMES.len() as u32);
            let agent = *self.chance.pick(&crate::demo::words::BROWSERS[..5]);
            let client = stranger(network, self.chance.below(250), agent);
            self.say(at, &client, Call::post("/v1/signup", 201).sends(700));
        }
    }

    /// A few well-known paths each from a few addresses, as everybody on the internet gets.
    fn noise(&mut self) {
        const PATHS: [&str; 8] = [
            "/",
            "/robots.txt",
            "/.env",
            "/favicon.ico",
            "/wp-login.php",
            "/admin",
            "/login",
            "/.well-known/security.txt",
        ];
        for _ in 0..6 + self.chance.below(10) {
            let at = self.any_time();
            let network = places::far_plain(20 + self.chance.below(20));
            let agent = *self.chance.pick(&["curl/8.7.1", "Go-http-client/1.1", "Mozilla/5.0"]);
            let client = stranger(network, self.chance.below(250), agent);
            for step in 0..1 + i64::from(self.chance.below(6)) {
                let (path, status) = (*self.chance.pick(&PATHS), *self.chance.pick(&[404, 404, 403]));
                self.say(at + step * 2_000, &client, Call::get(path, status));
            }
        }
    }

    /// A page left open over night with a token that ran out asks every minute.
    fn forgotten_page(&mut self) {
        if self.number % 4 != 2 {
            return;
        }
        let people = &self.world.people;
        let person = &people[self.chance.below(people.len() as u32) as usize];
        let start = self.start + 18 * HOUR_MS;
        let tenant = &self.world.tenants[person.tenant].name;
        let claims = super::line::Claims::of(&person.name, tenant, start);
        let client = super::line::with_token(&person.home, person.agent, &claims, &mut self.chance);
        for minute in 0..300 {
            self.say(start + minute * MINUTE_MS, &client, Call::get("/v1/notifications", 401));
        }
    }
}
