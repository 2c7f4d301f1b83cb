//! What is spread over twenty addresses or twenty accounts, so that none of them stands out.

use super::town::{DAY, HOUR, MINUTE, SECOND, Town, failed_login, pick, refused};
use super::{Story, Want};

pub const STORIES: &[Story] = &[
    Story {
        name: "spread: one account, twenty addresses, three guesses a minute",
        want: Want::Found {
            by: &[("brute-force-principal", "person-9"), ("account-many-addresses", "person-9")],
            within_s: 300,
            // That the log-in refuses so much is told as well.
            alerts: 2,
        },
        tell: |seed| {
            let mut town = second_day(seed);
            town.plant(FROM, FROM + HOUR, 20 * SECOND, |_, n| failed_login(&botnet(n), "person-9"));
            town
        },
    },
    Story {
        name: "spread: twenty accounts, one address, three guesses a minute",
        want: Want::Found { by: &[("password-spraying", "203.0.113.5")], within_s: 300, alerts: 1 },
        tell: |seed| {
            let mut town = second_day(seed);
            town.plant(FROM, FROM + HOUR, 20 * SECOND, |_, n| {
                failed_login("203.0.113.5", &format!("person-{}", n % 20))
            });
            town
        },
    },
    Story {
        name: "spread: twenty accounts, twenty addresses, a guess a minute",
        // After an hour an account that is tried from eight addresses is told for itself.
        want: Want::Found { by: &[("password-spraying-whole", "")], within_s: 3_600, alerts: 2 },
        tell: |seed| guesses(seed, MINUTE, 2 * HOUR),
    },
    Story {
        name: "spread: twenty accounts, twenty addresses, ten guesses a minute",
        // Forty accounts and addresses are parts of it.
        want: Want::Found { by: &[("password-spraying-whole", "")], within_s: 900, alerts: 2 },
        tell: |seed| guesses(seed, 6 * SECOND, 55 * MINUTE),
    },
    Story {
        name: "spread: a scan from twenty addresses, four paths a minute each",
        want: Want::Found { by: &[("path-probing-whole", "")], within_s: 900, alerts: 1 },
        tell: |seed| scan(seed, 4),
    },
    Story {
        name: "spread: a scan from twenty addresses, six paths a minute each",
        want: Want::Found { by: &[("path-probing-whole", "")], within_s: 900, alerts: 1 },
        tell: |seed| scan(seed, 6),
    },
];

const FROM: i64 = DAY + 10 * HOUR;

fn second_day(seed: u64) -> Town {
    let mut town = Town::new(seed, 0, FROM + 3 * HOUR, 0.5);
    town.begins(FROM);
    town
}

/// Addresses of one network.
fn botnet(n: u64) -> String {
    format!("203.0.113.{}", 10 + n % 20)
}

fn guesses(seed: u64, every: i64, length: i64) -> Town {
    let mut town = second_day(seed);
    town.plant(FROM, FROM + length, every, |chance, _| {
        failed_login(&botnet(chance.below(20)), &format!("person-{}", chance.below(20)))
    });
    town
}

/// Half an hour; each address so many paths of its own a minute.
fn scan(seed: u64, per_minute: i64) -> Town {
    let mut town = second_day(seed);
    town.plant(FROM, FROM + 30 * MINUTE, MINUTE / (20 * per_minute), |chance, n| {
        let word = pick(chance, &["/backup", "/admin", "/old/site", "/v2/debug", "/config"]);
        refused(&botnet(n), &format!("{word}-{n}"))
    });
    town
}
