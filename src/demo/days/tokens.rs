//! API2 and API8: tokens and sessions that are stolen, shared, forged or badly made, and secrets that travel in the open.
//!
//! Promises: each function tells one kind at three strengths and its twin.
//! Never: a token that any system would accept.

use std::sync::Arc;

use crate::demo::chance::Chance;
use crate::demo::client::Client;
use crate::demo::words;

use super::line::{Call, Claims, ISSUER, with_session, with_token};
use super::places;
use super::story::{Act, BROWSER, SCRIPT, Story, hours, minutes};

fn moved(client: &Client, address: &str) -> Arc<Client> {
    Arc::new(Client { address: address.into(), ..client.clone() })
}

/// One account at home and, soon after, on another continent. Twin: the same after a day's journey.
pub(super) fn travel(story: &mut Story<'_>) {
    let home = match story.is_twin() {
        // Who goes on a journey does not work at home meanwhile: an account of its own.
        true => {
            let (name, home) = (story.name(), story.addresses(1).remove(0));
            story.token(&name, &home, BROWSER)
        }
        false => story.insider(),
    };
    for day in -5..0 {
        for at in story.moments(6, hours(2)) {
            story.used_to(hours(24 * day) + at, &home, Call::get("/v1/orders", 200));
        }
    }
    let gap = if story.is_twin() { hours(20) } else { story.of(minutes(150), minutes(60), minutes(15)) };
    for at in [0, 20_000, 50_000, 90_000] {
        story.say(at, &home, Call::get("/v1/orders", 200));
    }
    let (address, name) = (story.address(), story.actors[0].value.clone());
    let away = story.token(&name, &address, BROWSER);
    for step in 0..story.of(4, 15, 60) {
        story.say(gap + step * 20_000, &away, Call::get("/v1/customers", 200));
    }
    story.enough(6);
}

/// A stolen session at work beside its owner: weak a cookie of nobody's name, else the token of an account with a past.
/// Twin: a phone that goes from its carrier to the home network.
pub(super) fn stolen_session(story: &mut Story<'_>) {
    let number = story.chance.bits();
    let owner = match story.act {
        Act::Weak | Act::Twin => {
            let home = story.neighbours(1).remove(0);
            with_session(&home, BROWSER, number, None, None)
        }
        _ => story.insider(),
    };
    for day in -5..0 {
        for at in story.moments(6, hours(2)) {
            story.used_to(hours(24 * day) + at, &owner, Call::get("/v1/orders", 200));
        }
    }
    let other = if story.is_twin() { story.neighbours(2).remove(1) } else { story.address() };
    let thief = moved(&owner, &other);
    let n = story.of(8, 30, 120);
    for (i, at) in (0..).zip(story.moments(n, minutes(50))) {
        let who = if i > n / 4 && i % 2 == 1 { &thief } else { &owner };
        story.say(at, who, Call::get("/v1/invoices", 200));
    }
    story.enough(n as usize / 2 + 2);
}

/// One session in many networks and browsers. Twin: one in three networks, with one browser that was updated.
pub(super) fn shared_session(story: &mut Story<'_>) {
    let number = story.chance.bits();
    let n = if story.is_twin() { 3 } else { story.of(6, 9, 20) };
    let addresses = if story.is_twin() { story.neighbours(n) } else { story.addresses(n) };
    for (i, at) in (0..).zip(story.moments(i64::from(n), minutes(50))) {
        let agent = if story.is_twin() { words::BROWSERS[i / 2 * 2] } else { words::BROWSERS[i % 5] };
        let who = with_session(&addresses[i], agent, number, None, None);
        story.say(at, &who, Call::get("/v1/orders", 200));
    }
    story.enough(5);
}

/// One account used by many at once. Twin: one that changes networks four times on a train.
pub(super) fn resold(story: &mut Story<'_>) {
    let name = story.name();
    let n = if story.is_twin() { 4 } else { story.of(9, 14, 40) };
    let addresses = if story.is_twin() { story.neighbours(n) } else { story.addresses(n) };
    for (i, at) in (0..).zip(story.moments(i64::from(n), minutes(50))) {
        let who = story.token(&name, &addresses[i], words::BROWSERS[i % 5]);
        story.say(at, &who, Call::get("/v1/orders", 200));
    }
    story.enough(8);
}

/// A session identifier that stands for several accounts: fixation, or a cache that mixes people up. Twin: an
/// administrator who looks at one account as its owner sees it.
pub(super) fn session_of_many(story: &mut Story<'_>) {
    let (number, address) = (story.chance.bits(), story.address());
    let n = if story.is_twin() { 2 } else { story.of(3, 6, 20) };
    for at in story.moments(n, minutes(30)) {
        let name = story.name();
        let who = with_session(&address, BROWSER, number, Some(&name), None);
        story.say(at, &who, Call::get("/v1/orders", 200));
    }
    story.enough(3);
}

/// One account with token after token. Twin: a program that asks for a new one every five minutes.
pub(super) fn minting(story: &mut Story<'_>) {
    let (name, address) = (story.name(), story.address());
    let n = if story.is_twin() { 12 } else { story.of(30, 60, 200) };
    for at in story.moments(n, minutes(55)) {
        let who = story.token(&name, &address, SCRIPT);
        story.say(at, &who, Call::get("/v1/orders", 200));
    }
    story.enough(25);
}

/// One token, made as a story wants it.
fn forged(story: &mut Story<'_>, change: impl Fn(&mut Claims<'_>)) -> Arc<Client> {
    let (name, address) = (story.name(), story.address());
    let mut claims = Claims::of(&name, "northwind", story.start_ms + hours(24));
    change(&mut claims);
    with_token(&address, SCRIPT, &claims, &mut story.chance)
}

/// A token without a signature is answered well. Twin: a signed one in the same script.
pub(super) fn unsigned(story: &mut Story<'_>) {
    let twin = story.is_twin();
    let who = forged(story, |claims| claims.algorithm = if twin { "RS256" } else { "none" });
    let n = story.of(1, 5, 40);
    for at in story.moments(n, minutes(5)) {
        story.say(at, &who, Call::get("/v1/orders", 200));
    }
}

/// The same, refused. Twin: one refusal, from a developer's mistake.
pub(super) fn unsigned_tried(story: &mut Story<'_>) {
    let who = forged(story, |claims| claims.algorithm = "none");
    let n = if story.is_twin() { 1 } else { story.of(4, 10, 60) };
    for at in story.moments(n, minutes(20)) {
        story.say(at, &who, Call::get("/v1/orders", 401));
    }
    story.enough(3);
}

/// A token is taken long after its end. Twin: one that is ten minutes over, at a service whose clock is behind.
pub(super) fn expired(story: &mut Story<'_>) {
    let over = if story.is_twin() { minutes(10) } else { story.of(hours(2), hours(24), hours(24 * 30)) };
    let (start, n) = (story.start_ms, story.of(5, 8, 8));
    let who = forged(story, |claims| claims.expires = Some((start - over) / 1000));
    let paths = [
        "/v1/orders",
        "/v1/customers",
        "/v1/invoices",
        "/v1/documents",
        "/v1/products",
        "/v1/users/me",
        "/v1/dashboard",
        "/v1/contacts",
    ];
    for (at, path) in story.moments(n, minutes(9)).into_iter().zip(paths) {
        story.say(at, &who, Call::get(path, 200));
    }
    story.enough(4);
}

/// A token of an issuer that nobody knows is taken. Twin: a refused one.
pub(super) fn issuer(story: &mut Story<'_>) {
    let issuer = story.of("https://id.example.net", "https://login.example.org", "https://sso.example.edu");
    let who = forged(story, |claims| claims.issuer = issuer);
    let (n, status) = (story.of(1, 5, 40), if story.is_twin() { 401 } else { 200 });
    for at in story.moments(n, minutes(9)) {
        story.say(at, &who, Call::get("/v1/orders", status));
    }
    story.whole();
}

/// The issuer's tokens no longer end. Twin: one that is good for a month.
pub(super) fn endless(story: &mut Story<'_>) {
    let twin_end = story.is_twin().then_some((story.start_ms + hours(24 * 30)) / 1000);
    let issuer = story.of(ISSUER, "https://id2.example.com", "https://id3.example.com");
    if issuer != ISSUER {
        // A second issuer of one's own, known since the first day.
        let known = forged(story, |claims| claims.issuer = issuer);
        for day in 1..=story.day() {
            story.used_to(-hours(24 * day), &known, Call::get("/v1/orders", 200));
        }
    }
    let who = forged(story, |claims| (claims.issuer, claims.expires) = (issuer, twin_end));
    let n = story.of(1, 5, 40);
    for at in story.moments(n, minutes(9)) {
        story.say(at, &who, Call::get("/v1/orders", 200));
    }
    story.whole();
}

/// An endpoint begins to take secrets in the query. Twin: a query with a harmless key of a like name.
pub(super) fn in_query(story: &mut Story<'_>) {
    let (key, path) = if story.is_twin() {
        ("sort_key", "/v1/tokens-report")
    } else {
        ("api_key", story.of("/v1/feed", "/v1/embed", "/v1/widget"))
    };
    let who = story.stranger(BROWSER);
    let n = story.of(1, 8, 60);
    for at in story.moments(n, minutes(20)) {
        let query = format!("{key}=fake{:016x}", story.chance.bits());
        story.say(at, &who, Call::get(path, 200).query(query));
    }
    story.whole();
}

/// A machine's key is used from elsewhere. Twin: the machine gets another address of its own network.
pub(super) fn machine_key(story: &mut Story<'_>) {
    let name = format!("svc-{}-feed", story.act.name());
    story.actor("principal", &name);
    let network = places::CLOUDS.start + 12 + story.act as u32;
    let mut key = Chance::new(7, network.into());
    let home = Client::service(&places::v4(network, 40), "Go-http-client/2.0", &name, "oakbridge", &mut key);
    let home = Arc::new(home);
    for hour in 1..=story.day() * 6 {
        story.used_to(-hours(4 * hour), &home, Call::get("/v1/orders", 200));
    }
    let elsewhere = if story.is_twin() { places::v4(network, 90) } else { story.address() };
    let who = moved(&home, &elsewhere);
    let n = story.of(2, 20, 200);
    for at in story.moments(n, minutes(20)) {
        story.say(at, &who, Call::get("/v1/customers", 200));
    }
}

/// Credentials over an outdated TLS. Twin: an old device, five times a day.
pub(super) fn old_tls(story: &mut Story<'_>) {
    let who = story.program("Java/1.7.0_80");
    let n = if story.is_twin() { 5 } else { story.of(24, 80, 300) };
    for at in story.moments(n, hours(5)) {
        story.say(at, &who, Call::post("/v1/edi/messages", 202).tls("TLSv1.1"));
    }
    story.whole();
    story.enough(20);
}
