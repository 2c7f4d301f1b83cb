//! API2: passwords and tokens that are guessed.
//!
//! Promises: each function tells one kind at three strengths and its twin.
//! Never: a password or token that any system would accept.

use std::sync::Arc;

use crate::demo::client::{Client, Credential};

use super::line::Call;
use super::story::{BROWSER, SCRIPT, Story, hours, minutes};

/// Many passwords for one account. Twin: somebody mistypes four times, then gets in.
pub(super) fn brute_force(story: &mut Story<'_>) {
    let (name, address) = (story.name(), story.address());
    if story.is_twin() {
        return mistyped(story, &address, &name, 4);
    }
    let (n, within) = story.of((14, minutes(4)), (40, minutes(4)), (180, minutes(6)));
    for at in story.moments(n, within) {
        story.log_in(at, &address, &name, 401);
    }
    story.enough(10);
}

fn mistyped(story: &mut Story<'_>, address: &str, name: &str, times: i64) {
    for attempt in 0..times {
        story.log_in(attempt * 11_000, address, name, 401);
    }
    story.log_in(times * 11_000, address, name, 200);
    let who = story.token(name, address, BROWSER);
    for at in story.moments(20, minutes(20)) {
        story.say(times * 11_000 + 1_000 + at, &who, Call::get("/v1/orders", 200));
    }
}

/// One every few minutes, all day. Twin: a device with an old password, three times an hour, as all week.
pub(super) fn brute_force_slow(story: &mut Story<'_>) {
    story.all_day();
    let (name, address) = (story.name(), story.address());
    let n = if story.is_twin() { 60 } else { story.of(130, 220, 500) };
    for at in story.moments(n, hours(21)) {
        story.log_in(at, &address, &name, 401);
    }
    story.enough(100);
}

/// One account, many addresses. Twin: a traveller who mistypes in three places.
pub(super) fn brute_force_spread(story: &mut Story<'_>) {
    let name = story.name();
    let addresses = story.addresses(if story.is_twin() { 3 } else { story.of(9, 15, 40) });
    let n = if story.is_twin() { 5 } else { story.of(18, 40, 160) };
    for (i, at) in (0..).zip(story.moments(n, minutes(45))) {
        story.log_in(at, &addresses[i % addresses.len()], &name, 401);
    }
    story.enough(8);
}

/// Failures, then in. Twin: five failures, then in, at the address where the person works every day.
pub(super) fn guessed_password(story: &mut Story<'_>) {
    let (name, address) = (story.name(), story.address());
    if story.is_twin() {
        return mistyped(story, &address, &name, 5);
    }
    let (n, within) = story.of((12, minutes(50)), (25, minutes(40)), (80, minutes(20)));
    for at in story.moments(n, within) {
        story.log_in(at, &address, &name, 401);
    }
    let enough = story.lines.len() + 1;
    story.log_in(within + 4_000, &address, &name, 200);
    let who = story.token(&name, &address, SCRIPT);
    for step in 0..12 {
        story.say(within + 6_000 + step * 3_000, &who, Call::get("/v1/customers", 200));
    }
    story.enough(enough);
}

/// One address, one password, many accounts. Twin: an office on Monday morning, where six mistype and then get in.
pub(super) fn spraying(story: &mut Story<'_>) {
    let (n, within) = story.of((10, minutes(50)), (40, minutes(40)), (200, minutes(30)));
    spray(story, n, within);
    story.enough(8);
}

/// The same over a day. Twin: the same office, all day.
pub(super) fn spraying_slow(story: &mut Story<'_>) {
    story.all_day();
    let n = story.of(36, 60, 100);
    spray(story, n, hours(20));
    story.enough(30);
}

fn spray(story: &mut Story<'_>, n: i64, within: i64) {
    let address = story.address();
    if story.is_twin() {
        // Thirty work there, and did all week.
        let names: Vec<String> = (0..30).map(|_| story.name()).collect();
        for name in &names {
            let who = story.token(name, &address, BROWSER);
            for at in story.moments(3, hours(10)) {
                story.used_to(at - hours(12), &who, Call::get("/v1/orders", 200));
            }
        }
        for (i, at) in (0..).zip(story.moments(6, within)) {
            story.log_in(at, &address, &names[i], 401);
            story.log_in(at + 15_000, &address, &names[i], 200);
        }
        return;
    }
    for at in story.moments(n, within) {
        let name = story.name();
        story.log_in(at, &address, &name, 401);
    }
}

/// Twenty addresses share the accounts. Twin: a campaign sends forty people to the page, five mistype.
pub(super) fn spraying_spread(story: &mut Story<'_>) {
    let addresses = story.addresses(20);
    let n = if story.is_twin() { 6 } else { story.of(40, 110, 400) };
    for (i, at) in (0..).zip(story.moments(n, minutes(50))) {
        let name = story.name();
        story.log_in(at, &addresses[i % 20], &name, 401);
        if story.is_twin() {
            story.log_in(at + 14_000, &addresses[i % 20], &name, 200);
        }
    }
    story.whole();
    story.enough(15);
}

/// Failures of many accounts, then one of them is in. Twin: a shared workstation where three mistype and get in.
pub(super) fn stuffing_hit(story: &mut Story<'_>) {
    let address = story.address();
    let n = if story.is_twin() { 3 } else { story.of(9, 30, 120) };
    for at in story.moments(n, minutes(40)) {
        let name = story.name();
        story.log_in(at, &address, &name, 401);
        if story.is_twin() {
            story.log_in(at + 20_000, &address, &name, 200);
        }
    }
    if !story.is_twin() {
        let name = story.name();
        story.log_in(minutes(41), &address, &name, 200);
        let enough = story.lines.len();
        story.enough(enough);
    }
}

fn invented(story: &mut Story<'_>, address: &str) -> Arc<Client> {
    let mut client = Client::stranger(address, SCRIPT);
    client.credential = Credential::Bearer(format!("fake_opaque_{:016x}", story.chance.bits()));
    Arc::new(client)
}

/// Invented tokens, one after the other. Twin: one token that ran out, tried again every ten seconds.
pub(super) fn tokens_tried(story: &mut Story<'_>) {
    let address = story.address();
    if story.is_twin() {
        let (name, start) = (story.name(), story.start_ms);
        let claims = super::line::Claims::of(&name, "northwind", start - minutes(5));
        let who = super::line::with_token(&address, BROWSER, &claims, &mut story.chance);
        for at in story.moments(40, minutes(6)) {
            story.say(at, &who, Call::get("/v1/notifications", 401));
        }
        return;
    }
    let (n, within) = story.of((14, minutes(2)), (40, minutes(3)), (150, minutes(3)));
    for at in story.moments(n, within) {
        let who = invented(story, &address);
        story.say(at, &who, Call::get("/v1/users/me", 401));
    }
    story.enough(10);
}

/// A hundred in a day. Twin: an address of a carrier where twenty phones wake with old tokens.
pub(super) fn tokens_tried_slow(story: &mut Story<'_>) {
    story.all_day();
    let address = story.address();
    let n = if story.is_twin() { 20 } else { story.of(120, 200, 400) };
    for at in story.moments(n, hours(20)) {
        let who = invented(story, &address);
        story.say(at, &who, Call::get("/v1/users/me", 401));
    }
    story.enough(100);
}

/// A valid token in a scanner. Twin: the same account's own script with curl.
pub(super) fn attack_tool(story: &mut Story<'_>) {
    let agent = if story.is_twin() { "curl/8.7.1" } else { "sqlmap/1.8.11#stable (https://sqlmap.org)" };
    let who = story.newcomer(agent);
    let n = story.of(6, 25, 150);
    for at in story.moments(n, minutes(8)) {
        story.say(at, &who, Call::get("/v1/orders", 200).query("page=2&limit=50"));
    }
    story.enough(5);
}
