//! Outages and the next one, a small endpoint, and deploys.

use super::town::{Client, DAY, HOUR, MINUTE, SECOND, Town};
use super::{Story, Want};

pub const STORIES: &[Story] = &[
    Story { name: "outage of 15 %, and the next one", want: twice(240), tell: |seed| outage(seed, 15) },
    Story { name: "outage of 50 %, and the next one", want: twice(120), tell: |seed| outage(seed, 50) },
    Story { name: "outage of 100 %, and the next one", want: twice(120), tell: |seed| outage(seed, 100) },
    Story {
        name: "an endpoint of two requests a minute fails wholly",
        want: Want::Found { by: &[("error-spike-5xx-small", SMALL)], within_s: 900, alerts: 1 },
        tell: |seed| small_endpoint(seed, 30 * SECOND),
    },
    Story {
        name: "an endpoint of a request every two minutes fails wholly",
        want: Want::Found { by: &[("error-spike-5xx-small", SMALL)], within_s: 1_800, alerts: 1 },
        tell: |seed| small_endpoint(seed, 2 * MINUTE),
    },
    Story {
        name: "a deploy: 2 % fail for a minute",
        want: Want::Quiet,
        tell: |seed| {
            let mut town = day(seed);
            town.answer((FROM, FROM + MINUTE), 2, 502, |_| true);
            town
        },
    },
    Story {
        name: "a deploy: 30 % fail for a minute",
        // Nobody can know in its first half-minute that it will be over in the second: it is told, once.
        want: Want::Found { by: &[("error-spike-5xx-whole", "")], within_s: 60, alerts: 1 },
        tell: |seed| {
            let mut town = day(seed);
            town.begins(FROM).answer((FROM, FROM + MINUTE), 30, 502, |_| true);
            town
        },
    },
];

const FROM: i64 = 12 * HOUR + 17 * MINUTE;
const SMALL: &str = "POST /v1/payouts";

const fn twice(within_s: i64) -> Want {
    Want::Found { by: &[("error-spike-5xx-whole", "")], within_s, alerts: 2 }
}

fn day(seed: u64) -> Town {
    Town::new(seed, 9 * HOUR, 14 * HOUR, 2.0)
}

/// Half an hour, and again a quarter of an hour later.
fn outage(seed: u64, percent: u64) -> Town {
    let mut town = day(seed);
    for from in [FROM, FROM + 45 * MINUTE] {
        town.begins(from).answer((from, from + 30 * MINUTE), percent, 503, |_| true);
    }
    town
}

fn small_endpoint(seed: u64, every: i64) -> Town {
    let mut town = Town::new(seed, 0, DAY + 12 * HOUR, 0.3);
    town.plant(0, DAY + 12 * HOUR, every, |_, _| Client::machine(2).request(SMALL, 200, 400));
    // In the middle of a window, where the good half hides the bad one.
    let from = DAY + 10 * HOUR + 8 * MINUTE;
    town.begins(from).answer((from, from + HOUR), 100, 500, |row| row["endpoint"] == SMALL);
    town
}
