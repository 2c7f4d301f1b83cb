//! The first hour: nothing is known of anybody, and it is free for nobody.

use super::town::{Client, HOUR, MINUTE, SECOND, Town};
use super::{Story, Want};

pub const STORIES: &[Story] = &[
    Story {
        name: "first hour: half of everything fails",
        want: Want::Found { by: &[("error-spike-5xx-whole", "")], within_s: 120, alerts: 1 },
        tell: |seed| {
            let mut town = morning(seed);
            town.begins(FROM).answer((FROM, TO), 50, 503, |_| true);
            town
        },
    },
    Story {
        name: "first hour: 45 % of one endpoint fail",
        want: Want::Found { by: &[("error-spike-5xx", "GET /v1/collection-0")], within_s: 300, alerts: 1 },
        tell: |seed| {
            let mut town = morning(seed);
            town.begins(FROM).answer((FROM, TO), 45, 500, |row| row["endpoint"] == "GET /v1/collection-0");
            town
        },
    },
    Story {
        name: "first hour: an export of 800 MB",
        want: Want::Found {
            by: &[("bulk-export-bytes", "person-3"), ("bulk-export-calls", "person-3")],
            within_s: 120,
            alerts: 1,
        },
        tell: |seed| {
            let mut town = morning(seed);
            town.begins(FROM).plant(FROM, FROM + 8 * MINUTE, 6 * SECOND, |_, n| {
                Client::person(3).of_object("GET /v1/exports/{id}/download", &format!("all-{n}"), 200, 10_000_000)
            });
            town
        },
    },
    Story {
        name: "first hour: 3,000 requests of one client in ten minutes",
        want: Want::Found { by: &[("traffic-spike-ip", "192.0.2.6")], within_s: 300, alerts: 1 },
        tell: |seed| {
            let mut town = morning(seed);
            town.begins(FROM).plant(FROM, FROM + 10 * MINUTE, SECOND / 5, |_, _| {
                Client::person(5).request("GET /v1/collection-2", 200, 2_000)
            });
            town
        },
    },
    Story {
        name: "first hour: 60 % of one client's requests are refused",
        // Where others ask the endpoint as much as it does, that is told as well.
        want: Want::Found { by: &[("error-spike-4xx-client", "198.51.100.50")], within_s: 600, alerts: 2 },
        tell: |seed| {
            let mut town = morning(seed);
            let shop = || Client::machine(49);
            town.plant(9 * HOUR, 10 * HOUR, 7 * SECOND, |_, _| shop().request("GET /v1/collection-5", 200, 2_000));
            town.begins(FROM).answer((FROM, TO), 60, 403, |row| row["client_ip"] == "198.51.100.50");
            town
        },
    },
];

/// When it goes wrong, and until when.
const FROM: i64 = 9 * HOUR + 25 * MINUTE;
const TO: i64 = FROM + 20 * MINUTE;

fn morning(seed: u64) -> Town {
    Town::new(seed, 9 * HOUR, 10 * HOUR, 2.0)
}
