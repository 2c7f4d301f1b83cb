//! What grows slowly, and what stays just below the numbers of a detector for eight hours.

use serde_json::{Value, json};

use super::town::{Client, DAY, HOUR, MINUTE, SECOND, Town, failed_login, refused};
use super::{Story, Want};

pub const STORIES: &[Story] = &[
    Story {
        name: "ramp of 5 % a window",
        // Thirty times the usual after 70 windows: as slow as that is worth a look, and no page.
        want: Want::Found { by: GREW, within_s: 70 * 600, alerts: 1 },
        tell: |seed| ramp(seed, 1.05, 3),
    },
    Story {
        name: "ramp of 5 % a window, of somebody known for a day",
        // What is expected of somebody so young follows what it does by 2 % a window: it grows with the ramp.
        want: Want::Missed,
        tell: |seed| ramp(seed, 1.05, 1),
    },
    Story {
        name: "ramp of 12 % a window",
        want: Want::Found { by: GREW, within_s: 26 * 600, alerts: 1 },
        tell: |seed| ramp(seed, 1.12, 1),
    },
    Story {
        name: "ramp of 30 % a window",
        want: Want::Found { by: GREW, within_s: 12 * 600, alerts: 1 },
        tell: |seed| ramp(seed, 1.3, 1),
    },
    Story {
        name: "just under: 9 stolen tokens in 2 minutes",
        want: Want::Found { by: &[("credentials-tried-day", STRANGER)], within_s: 3_600, alerts: 1 },
        tell: |seed| {
            eight_hours(seed, 2 * MINUTE / 9, |n| {
                json!({
                    "client_ip": STRANGER, "status": 401, "method": "GET", "path": "/v1/users/me", "endpoint": "GET /v1/users/me",
                    "auth_result": "invalid", "credential": format!("k1:stolen-{n}"), "credential_kind": "bearer",
                })
            })
        },
    },
    Story {
        name: "just under: 9 guesses in 5 minutes at one account",
        // Nine and a little fall into five minutes now and then, in eight hours: told as well, hours later.
        want: Want::Found { by: &[("brute-force-principal-day", "person-7")], within_s: 3_600, alerts: 2 },
        tell: |seed| {
            eight_hours(seed, 5 * MINUTE / 9, |n| failed_login(&format!("203.0.113.{}", 10 + n % 4), "person-7"))
        },
    },
    Story {
        name: "just under: 8 refused paths in 2 minutes",
        want: Want::Found { by: &[("path-probing-day", STRANGER)], within_s: 3_600, alerts: 1 },
        tell: |seed| eight_hours(seed, 2 * MINUTE / 8, |n| refused(STRANGER, &format!("/backup-{n}"))),
    },
    Story {
        name: "just under: 90 endpoints in a minute",
        want: Want::Found { by: &[("traffic-spike-ip", STRANGER)], within_s: 1_200, alerts: 1 },
        tell: |seed| {
            eight_hours(seed, MINUTE / 90, |n| {
                let path = format!("/v1/part-{}", n % 120);
                json!({ "client_ip": STRANGER, "status": 200, "method": "GET", "path": path, "endpoint": format!("GET {path}") })
            })
        },
    },
    Story {
        name: "just under: 9 exports in 5 minutes, of somebody who exports",
        want: Want::Found {
            by: &[("bulk-export-calls", "person-7"), ("bulk-export-calls-hour", "person-7")],
            within_s: 3_600,
            alerts: 1,
        },
        tell: |seed| {
            let export =
                |n| Client::person(7).of_object("GET /v1/exports/{id}/download", &format!("of-{n}"), 200, 60_000);
            let mut town = eight_hours(seed, 5 * MINUTE / 9, export);
            // The day before it exported once an hour.
            town.plant(8 * HOUR, 18 * HOUR, HOUR, |_, n| export(n));
            town
        },
    },
    Story {
        name: "just under: 9.5 MB in 10 minutes",
        want: Want::Found { by: &[("bulk-export-bytes", "person-7")], within_s: 3_600, alerts: 1 },
        tell: |seed| {
            eight_hours(seed, 2 * MINUTE, |_| Client::person(7).request("GET /v1/collection-3", 200, 1_900_000))
        },
    },
    Story {
        name: "just under: 190 objects in 10 minutes",
        // The running sum of requests speaks, too, after three hours.
        want: Want::Found { by: &[("object-walk", "person-7")], within_s: 3_600, alerts: 2 },
        tell: |seed| {
            eight_hours(seed, 10 * MINUTE / 190, |n| {
                Client::person(7).of_object("GET /v1/collection-4/{id}", &format!("order-{n}"), 200, 2_000)
            })
        },
    },
];

const STRANGER: &str = "203.0.113.5";
const GREW: &[(&str, &str)] = &[("traffic-spike-ip", "198.51.100.60")];

/// A machine that makes 30 requests in ten minutes for some days and a morning, then each time so many times more, up to forty times.
fn ramp(seed: u64, factor: f64, days: i64) -> Town {
    let begins = days * DAY + 10 * HOUR;
    let windows = (40_f64.ln() / f64::ln(factor)).ceil() as i32;
    let end = begins + i64::from(windows) * 10 * MINUTE;
    let mut town = Town::new(seed, 0, end + HOUR, 0.2);
    let machine = || Client::machine(59).request("GET /v1/collection-1", 200, 2_000);
    town.plant(0, begins, 20 * SECOND, |_, _| machine());
    for window in 0..windows {
        let from = begins + i64::from(window) * 10 * MINUTE;
        let every = 20.0 * SECOND as f64 / factor.powi(window + 1);
        town.plant(from, from + 10 * MINUTE, every as i64, |_, _| machine());
    }
    town.begins(begins);
    town
}

/// Something every so often for eight hours, on the second day.
fn eight_hours(seed: u64, every: i64, row: impl Fn(u64) -> Value) -> Town {
    let mut town = Town::new(seed, 0, DAY + 18 * HOUR, 0.2);
    town.begins(DAY + 9 * HOUR).plant(DAY + 9 * HOUR, DAY + 17 * HOUR, every, |_, n| row(n));
    town
}
