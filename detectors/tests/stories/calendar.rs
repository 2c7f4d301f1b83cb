//! What the calendar brings, and what the log itself lacks: nothing of it is worth an alert.

use serde_json::Value;

use super::town::{Client, DAY, HOUR, MINUTE, SECOND, Town, failed_login, refused};
use super::{Story, Want};

pub const STORIES: &[Story] = &[
    Story {
        name: "two hours without a record",
        want: Want::Quiet,
        tell: |seed| {
            let mut town = Town::new(seed, 0, 2 * DAY, 0.3);
            town.silence(DAY + 10 * HOUR, DAY + 12 * HOUR);
            town
        },
    },
    Story {
        name: "half an hour of silence",
        // The service's heartbeat tells of it (`observe`); detectors see events alone.
        want: Want::Quiet,
        tell: |seed| {
            let mut town = Town::new(seed, 0, 2 * DAY, 0.3);
            town.silence(DAY + 10 * HOUR, DAY + 10 * HOUR + 30 * MINUTE);
            town
        },
    },
    Story { name: "a weekend, and Monday", want: Want::Quiet, tell: |seed| Town::new(seed, 2 * DAY, 9 * DAY, 0.2) },
    Story {
        name: "the end of the month: two days of twice as much",
        want: Want::Quiet,
        tell: |seed| {
            let mut town = Town::new(seed, 0, 10 * DAY, 0.15);
            let closing = Town::new(seed + 1_000, 8 * DAY, 10 * DAY, 0.15);
            town.rows.extend(closing.rows);
            for person in 0..5 {
                // Two exports each hour all the time, six at the end of the month.
                for (from, to, every) in [(0, 8 * DAY, 30), (8 * DAY, 10 * DAY, 10)] {
                    town.plant(from, to, every * MINUTE, |chance, n| {
                        let bytes = 50_000 + chance.below(100_000);
                        Client::person(person).of_object("GET /v1/exports/{id}/download", &format!("m-{n}"), 200, bytes)
                    });
                }
            }
            town
        },
    },
    Story {
        name: "an office opens on its second day",
        want: Want::Quiet,
        tell: |seed| {
            let mut town = Town::new(seed, 0, 2 * DAY, 0.3);
            for day in 0..2 {
                office(&mut town, day * DAY + 8 * HOUR);
            }
            town
        },
    },
    Story {
        name: "an office meets the dead links of a site that has moved",
        want: Want::Quiet,
        tell: |seed| {
            let mut town = Town::new(seed, 0, DAY + 18 * HOUR, 0.3);
            for day in 0..2 {
                office(&mut town, day * DAY + 8 * HOUR);
            }
            town.plant(DAY + 9 * HOUR, DAY + 17 * HOUR, 2 * MINUTE, |chance, _| {
                let mut row = refused(OFFICE, &format!("/handbook/chapter-{}", chance.skewed(40)));
                row["principal"] = format!("clerk-{}", chance.below(60)).into();
                row["principal_source"] = "gateway".into();
                row
            });
            town
        },
    },
];

const OFFICE: &str = "198.51.100.200";

/// Sixty people behind one address log in within half an hour and work until five.
fn office(town: &mut Town, opens: i64) {
    town.plant(opens, opens + 30 * MINUTE, 25 * SECOND, |chance, n| {
        let name = format!("clerk-{}", n % 60);
        if chance.percent(4) { failed_login(OFFICE, &name) } else { clerk(&name, "POST /v1/login") }
    });
    town.plant(opens + 5 * MINUTE, opens + 9 * HOUR, 7 * SECOND, |chance, _| {
        let name = format!("clerk-{}", chance.below(60));
        clerk(&name, &format!("GET /v1/collection-{}", chance.skewed(24)))
    });
}

fn clerk(name: &str, endpoint: &str) -> Value {
    let mut row = Client::person(0).request(endpoint, 200, 3_000);
    (row["client_ip"], row["principal"]) = (OFFICE.into(), name.into());
    row["credential"] = format!("k1:{name}").into();
    row
}
