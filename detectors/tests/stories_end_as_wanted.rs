//! Stories end as a person would want: found in time and in few alerts, or quiet. The whole catalogue over an invented town.
//!
//! `cargo test -p detectors --test stories_end_as_wanted -- --include-ignored --nocapture` prints the table of twenty seeds.

#![allow(clippy::print_stdout)] // a table for whoever asks for it

mod stories;

use stories::town::{DAY, Town};
use stories::{Story, Want, calendar, check, first_hour, outages, slow, spreads};

/// In each ordinary run.
const SEEDS: u64 = 2;

#[test]
fn the_first_hour() {
    check(first_hour::STORIES, SEEDS);
}

#[test]
fn what_grows_slowly_or_stays_just_below() {
    check(slow::STORIES, SEEDS);
}

#[test]
fn what_is_spread_over_addresses_and_accounts() {
    check(spreads::STORIES, SEEDS);
}

#[test]
fn outages_and_deploys() {
    check(outages::STORIES, SEEDS);
}

#[test]
fn what_the_calendar_brings() {
    check(calendar::STORIES, SEEDS);
}

#[test]
#[ignore = "twenty seeds take some minutes"]
fn the_first_hour_on_twenty_seeds() {
    check(first_hour::STORIES, 20);
}

#[test]
#[ignore = "twenty seeds take some minutes"]
fn what_grows_slowly_or_stays_just_below_on_twenty_seeds() {
    check(slow::STORIES, 20);
}

#[test]
#[ignore = "twenty seeds take some minutes"]
fn what_is_spread_over_addresses_and_accounts_on_twenty_seeds() {
    check(spreads::STORIES, 20);
}

#[test]
#[ignore = "twenty seeds take some minutes"]
fn outages_and_deploys_on_twenty_seeds() {
    check(outages::STORIES, 20);
}

#[test]
#[ignore = "twenty seeds take some minutes"]
fn what_the_calendar_brings_on_twenty_seeds() {
    check(calendar::STORIES, 20);
}

/// At most one false alert in five days.
#[test]
#[ignore = "six weeks of traffic take a minute"]
fn six_quiet_weeks() {
    let tell = |seed| Town::new(seed, 0, 14 * DAY, 0.5);
    let told: Vec<_> = (1..=3).flat_map(|seed| Story { name: "quiet", want: Want::Quiet, tell }.leads(seed)).collect();
    println!("{} false alerts in 42 days: {told:?}", told.len());
    assert!(told.len() as f64 <= 0.2 * 42.0, "{told:?}");
}
