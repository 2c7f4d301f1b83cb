//! API5 and API8: functions that are not for the caller, methods that should be off, new administrators.
//!
//! Promises: each function tells one kind at three strengths and its twin.
//! Never: what an account of the world does on an ordinary day.

use std::sync::Arc;

use crate::demo::client::Client;

use super::line::{Call, Claims, with_session, with_token};
use super::story::{Act, BROWSER, Story, hours, minutes};
use super::world::{Person, Role};

const NOUNS: [&str; 12] = [
    "users", "roles", "webhooks", "settings", "keys", "plans", "teams", "flags", "jobs", "queues", "quotas", "regions",
];
const PARTS: [&str; 5] = ["", "/all", "/policy", "/owners", "/limits"];

/// The n-th function that is not for everybody.
fn function(n: usize) -> String {
    format!("/v1/{}{}", NOUNS[n % NOUNS.len()], PARTS[n / NOUNS.len() % PARTS.len()])
}

fn refused(story: &mut Story<'_>, who: &Arc<Client>, n: i64, within: i64) {
    for (i, at) in (0..).zip(story.moments(n, within)) {
        let method = *story.chance.pick(&["DELETE", "PUT", "POST"]);
        story.say(at, who, Call::new(method, function(i), 403));
    }
}

/// An account is refused function after function. Twin: one whose tenant is suspended: everything it uses is refused.
pub(super) fn tried(story: &mut Story<'_>) {
    let who = story.insider();
    if story.is_twin() {
        for (i, at) in (0..).zip(story.moments(40, minutes(9))) {
            let path = ["/v1/users/me", "/v1/orders", "/v1/notifications", "/v1/dashboard", "/v1/features"][i % 5];
            story.say(at, &who, Call::get(path, 403));
        }
        return;
    }
    let n = story.of(14, 26, 60);
    refused(story, &who, n, minutes(9));
    story.enough(10);
}

/// The same over a day. Twin: a page that asks for eight it may not show, all day.
pub(super) fn tried_slow(story: &mut Story<'_>) {
    story.all_day();
    let who = story.insider();
    if story.is_twin() {
        for (i, at) in (0..).zip(story.moments(80, hours(9))) {
            story.say(at + hours(7), &who, Call::get(function(i % 8), 403));
        }
        return;
    }
    let n = story.of(36, 48, 60);
    refused(story, &who, n, hours(20));
    story.enough(30);
}

/// The same with a session whose owner the gateway does not name. Twin: a session that is refused five pages.
pub(super) fn tried_session(story: &mut Story<'_>) {
    let (number, address) = (story.chance.bits(), story.address());
    let who = with_session(&address, BROWSER, number, None, None);
    let n = if story.is_twin() { 5 } else { story.of(18, 30, 60) };
    refused(story, &who, n, minutes(50));
    story.enough(15);
}

/// Functions of administrators. Twin: an administrator's own day.
pub(super) fn admin_tried(story: &mut Story<'_>) {
    let who = story.newcomer(BROWSER);
    if story.is_twin() {
        // Two of them are for the owner alone.
        for (i, at) in (0..).zip(story.moments(12, minutes(40))) {
            story.say(at, &who, Call::get(format!("/v1/admin/{}", NOUNS[i % 2]), 403));
        }
        return;
    }
    let n = story.of(7, 12, 12);
    for (i, at) in (0..).zip(story.moments(n, story.of(minutes(50), minutes(20), minutes(2)))) {
        story.say(at, &who, Call::get(format!("/v1/admin/{}", NOUNS[i]), 403));
    }
    story.enough(6);
}

/// Method after method at one address. Twin: one client that uses PUT where PATCH is meant.
pub(super) fn methods(story: &mut Story<'_>) {
    let who = story.stranger("curl/8.7.1");
    let methods = ["PUT", "PATCH", "DELETE", "POST", "HEAD", "GET"];
    let n = if story.is_twin() { 1 } else { story.of(4, 5, 6) };
    for (i, at) in (0..).zip(story.moments(story.of(8, 20, 60), minutes(8))) {
        story.say(at, &who, Call::new(methods[i % n], "/v1/users/me", 405));
    }
    story.enough(4);
}

/// Methods that do not exist. Twin: a client of WebDAV.
pub(super) fn tampering(story: &mut Story<'_>) {
    let who = story.stranger("curl/8.7.1");
    let invented = ["FOO", "TRACK", "DEBUG", "TRACE", "JEFF", "GETX", "XGET", "TEST"];
    let webdav = ["PROPFIND", "LOCK", "UNLOCK", "MKCOL"];
    let n = story.of(4, 6, 8);
    for (i, at) in (0..).zip(story.moments(story.of(4, 16, 80), minutes(8))) {
        let method = if story.is_twin() { webdav[i % 4] } else { invented[i % n] };
        story.say(at, &who, Call::new(method, "/v1/files", 405));
    }
    story.enough(3);
}

/// TRACE is answered. Twin: it is refused.
pub(super) fn trace(story: &mut Story<'_>) {
    let who = story.stranger("curl/8.7.1");
    let status = if story.is_twin() { 405 } else { 200 };
    for at in story.moments(story.of(1, 3, 20), minutes(8)) {
        story.say(at, &who, Call::new("TRACE", "/", status));
    }
    story.whole();
}

/// An account that never did uses an administrator's functions. Twin: it is refused there, once.
pub(super) fn new_admin(story: &mut Story<'_>) {
    let (name, address, start) = (story.name(), story.addresses(1).remove(0), story.start_ms);
    let mut claims = Claims::of(&name, "northwind", start + hours(24));
    claims.scope = if story.is_twin() { "read write" } else { "read write admin" };
    let who = with_token(&address, BROWSER, &claims, &mut story.chance);
    let status = if story.is_twin() { 403 } else { 200 };
    for at in story.moments(story.of(1, 8, 40), minutes(20)) {
        story.say(at, &who, Call::get("/v1/admin/users", status).bytes(8_000));
    }
    story.whole();
}

/// A known administrator's token in a country where none ever worked. Twin: in the country next door, where others do.
pub(super) fn admin_abroad(story: &mut Story<'_>) {
    let suits = |person: &&Person| person.role == Role::Admin && !person.cookie && person.trip.is_none();
    let Some(person) = story.world.people.iter().filter(suits).nth(story.act as usize) else { return };
    if story.act == Act::Strong {
        // Far countries take turns by address: without this one the weak story's would come again.
        story.address();
    }
    story.actor("principal", &person.name);
    let address = if story.is_twin() { person.home.clone() } else { story.address() };
    let mut claims = Claims::of(&person.name, story.tenant(person.tenant), story.start_ms + hours(24));
    claims.scope = "read write admin";
    let who = with_token(&address, BROWSER, &claims, &mut story.chance);
    for at in story.moments(story.of(2, 10, 40), minutes(20)) {
        story.say(at, &who, Call::get("/v1/admin/users", 200).bytes(8_000));
    }
    story.whole();
}
