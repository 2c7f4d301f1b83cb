//! API4, API8 and API10: load, refusals, slowness and failure, of one client or of the whole.
//!
//! Promises: each function tells one kind at three strengths and its twin.
//! Never: changes a line of another story, but for `lost`, which takes them all.

use crate::demo::client::Client;

use std::sync::Arc;

use super::line::{Call, with_session};
use super::story::{BROWSER, Effect, Fault, SCRIPT, Story, hours, minutes};

const AGENTS: [&str; 12] = [
    "Mozilla/5.0 (Windows NT 10.0; rv:120.0)",
    "Mozilla/5.0 (Windows NT 10.0; rv:121.0)",
    "Mozilla/5.0 (Windows NT 10.0; rv:122.0)",
    "Mozilla/5.0 (Windows NT 10.0; rv:123.0)",
    "Mozilla/5.0 (Windows NT 10.0; rv:124.0)",
    "Mozilla/5.0 (Windows NT 10.0; rv:125.0)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:120.0)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:121.0)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:122.0)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:123.0)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:124.0)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:125.0)",
];

/// A program of two requests a minute makes many more. Twin: one that is silent for an hour and then makes eighty.
pub(super) fn spike(story: &mut Story<'_>) {
    let who = story.program("aiohttp/3.11.9");
    let stock = || Call::get("/v1/products/700100/stock", 200);
    if story.is_twin() {
        for hour in -72..1 {
            for at in story.moments(80, minutes(2)) {
                if hour < 0 { story.used_to(hours(hour) + at, &who, stock()) } else { story.say(at, &who, stock()) }
            }
        }
        return;
    }
    for at in story.moments(6 * 480, hours(24)) {
        story.used_to(at - hours(24), &who, stock());
    }
    let (n, within) = story.of((400, minutes(10)), (900, minutes(10)), (3_000, minutes(10)));
    for at in story.moments(n, within) {
        story.say(at, &who, stock());
    }
    story.enough(200);
}

/// A session without a name is used by a program. Twin: a person who works fast.
pub(super) fn hammered(story: &mut Story<'_>) {
    let (number, address) = (story.chance.bits(), story.address());
    let who = with_session(&address, BROWSER, number, None, None);
    let n = if story.is_twin() { 80 } else { story.of(700, 1_500, 4_000) };
    for at in story.moments(n, minutes(9)) {
        story.say(at, &who, Call::get("/v1/dashboard", 200));
    }
    story.enough(500);
}

/// A client is limited and goes on. Twin: one that waits as it is told, thirty times in an hour.
pub(super) fn limited(story: &mut Story<'_>) {
    let who = story.stranger(SCRIPT);
    let (n, within) = if story.is_twin() {
        (30, minutes(60))
    } else {
        story.of((450, minutes(9)), (900, minutes(9)), (3_000, minutes(9)))
    };
    for at in story.moments(n, within) {
        story.say(at, &who, Call::get("/docs/api", 429));
    }
    story.enough(400);
}

/// One client holds requests open. Twin: phones on a bad line, ten of them.
pub(super) fn slow_requests(story: &mut Story<'_>) {
    let who = story.stranger(BROWSER);
    let n = if story.is_twin() { 10 } else { story.of(60, 150, 600) };
    for at in story.moments(n, minutes(4)) {
        story.say(at, &who, Call::post("/v1/documents", 408).takes(30_000));
    }
    story.enough(50);
}

/// One client calls itself something else each time. Twin: twelve people of one office in an hour.
pub(super) fn rotation(story: &mut Story<'_>) {
    let address = story.address();
    let within = if story.is_twin() { minutes(60) } else { story.of(28_000, 20_000, 60_000) };
    for (i, at) in (0..).zip(story.moments(story.of(12, 24, 200), within)) {
        let who = Arc::new(Client::stranger(&address, AGENTS[i % 12]));
        story.say(at, &who, Call::get("/v1/public/prices", 200));
    }
    story.enough(10);
}

/// Far more is sent in than usual. Twin: one large file.
pub(super) fn uploads(story: &mut Story<'_>) {
    let who = story.insider();
    let n = if story.is_twin() { 1 } else { story.of(12, 30, 120) };
    for at in story.moments(n, minutes(50)) {
        story.say(at, &who, Call::post("/v1/documents", 201).sends(600_000_000).takes(9_000));
    }
    story.enough(9);
}

/// A client hammers an endpoint that fails. Twin: one that tries every ten seconds.
pub(super) fn retries(story: &mut Story<'_>) {
    let who = story.program("okhttp/4.12.0");
    let n = if story.is_twin() { 8 } else { story.of(700, 1_500, 5_000) };
    for at in story.moments(n, minutes(9)) {
        story.say(at, &who, Call::post("/v1/labels", 503));
    }
    if story.is_twin() {
        // Most of what it asks is answered.
        for at in story.moments(80, minutes(9)) {
            story.say(at, &who, Call::post("/v1/labels", 201));
        }
    }
    story.at("endpoint", "POST /v1/labels");
    story.enough(600);
}

/// A loader refused one time in fifty is refused nearly always. Twin: one refused more often than not since the first day.
pub(super) fn client_refused(story: &mut Story<'_>) {
    let who = story.program("GuzzleHttp/7");
    let path = format!("/v1/imports/{}", story.act.name());
    for (i, at) in (0..).zip(story.moments(1_200, hours(24))) {
        let good = if story.is_twin() { i % 5 > 2 } else { i % 50 > 0 };
        story.used_to(at - hours(24), &who, Call::post(&*path, if good { 201 } else { 422 }));
    }
    let parts = if story.is_twin() { 6_000 } else { story.of(3_500, 6_000, 9_000) };
    for at in story.moments(story.of(120, 160, 300), minutes(15)) {
        let status = if story.chance.in_ten_thousand(parts) { 422 } else { 201 };
        story.say(at, &who, Call::post(&*path, status));
    }
    story.at("endpoint", &format!("POST {path}"));
    story.enough(20);
}

/// A fault of the service for this long; what is ordinary shows it.
fn fault(story: &mut Story<'_>, long: i64, prefix: &'static str, parts: u32, effect: Effect) {
    let (from_ms, to_ms) = (story.start_ms, story.start_ms + long);
    story.faults.push(Fault { from_ms, to_ms, prefix, parts, effect });
    story.span_ms = Some((from_ms, to_ms));
    story.whole();
}

/// Moves the story into the hours of work, each kind to its own: what people meet has to happen when there are people.
fn at(story: &mut Story<'_>, hour: i64) {
    story.all_day();
    story.start_ms += hours(hour - 1) + minutes(20);
}

const ORDERS: [&str; 8] = [
    "GET /v1/orders",
    "POST /v1/orders",
    "GET /v1/orders/{id}",
    "PUT /v1/orders/{id}",
    "PATCH /v1/orders/{id}",
    "GET /v1/orders/export.csv",
    "DELETE /v1/orders/{id}",
    "GET /v1/orders/{id}/items",
];

/// One service fails for some of its callers. Twin: a deploy, forty seconds of it.
pub(super) fn endpoint_fails(story: &mut Story<'_>) {
    at(story, 11);
    let (parts, long) = if story.is_twin() {
        (2_500, 40_000)
    } else {
        story.of((2_500, minutes(20)), (5_000, minutes(15)), (9_500, minutes(15)))
    };
    fault(story, long, "/v1/orders", parts, Effect::Status(502));
    ORDERS.into_iter().for_each(|endpoint| story.at("endpoint", endpoint));
    story.enough(300);
}

/// Everything fails. Twin: a restart of the gateway, twenty seconds of it.
pub(super) fn outage(story: &mut Story<'_>) {
    at(story, 9);
    let (parts, long) = if story.is_twin() {
        (3_000, 20_000)
    } else {
        story.of((2_500, minutes(5)), (6_000, minutes(10)), (9_900, minutes(15)))
    };
    fault(story, long, "", parts, Effect::Status(503));
    story.at("any", "");
    story.enough(60);
}

/// One service is slow. Twin: for a minute.
pub(super) fn slow_endpoint(story: &mut Story<'_>) {
    at(story, 13);
    let (parts, long) = if story.is_twin() {
        (5_000, 60_000)
    } else {
        story.of((5_500, minutes(20)), (8_000, minutes(20)), (10_000, minutes(25)))
    };
    fault(story, long, "/v1/orders", parts, Effect::SlowMs(4_000));
    ORDERS.into_iter().for_each(|endpoint| story.at("endpoint", endpoint));
    story.enough(300);
}

/// Nearly nothing comes any more. Twin: half of it for ten minutes.
pub(super) fn lost(story: &mut Story<'_>) {
    at(story, 10);
    let (parts, long) = if story.is_twin() {
        (5_000, minutes(10))
    } else {
        story.of((9_700, minutes(15)), (9_900, minutes(30)), (9_990, minutes(35)))
    };
    fault(story, long, "", parts, Effect::Lost);
    story.enough(300);
}
