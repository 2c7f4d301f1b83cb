//! API6: the business's own flows, used by programs: cards, coupons, codes by message, accounts.
//!
//! Promises: each function tells one kind at three strengths and its twin.
//! Never: a real card, code or number.

use std::sync::Arc;

use crate::demo::client::Client;

use super::line::Call;
use super::story::{BROWSER, SCRIPT, Story, hours, minutes};

/// One client tries out cards. Twin: a shop with a bad day, eight of a hundred declined.
pub(super) fn cards(story: &mut Story<'_>) {
    let who = story.stranger(SCRIPT);
    if story.is_twin() {
        for (i, at) in (0..).zip(story.moments(100, hours(3))) {
            story.say(at, &who, Call::post("/v1/payments", if i % 12 == 5 { 402 } else { 201 }));
        }
        return;
    }
    let n = story.of(30, 80, 400);
    for at in story.moments(n, minutes(50)) {
        let status = if story.chance.in_ten_thousand(500) { 201 } else { 402 };
        story.say(at, &who, Call::post("/v1/payments", status));
    }
    story.enough(26);
}

/// One client guesses at coupons. Twin: somebody types one of a voucher that ran out, five times.
pub(super) fn codes(story: &mut Story<'_>) {
    let who = story.stranger(BROWSER);
    let (n, within) =
        if story.is_twin() { (5, minutes(3)) } else { story.of((36, minutes(9)), (90, minutes(9)), (500, minutes(9))) };
    for at in story.moments(n, within) {
        story.say(at, &who, Call::post("/v1/coupons/redeem", 404));
    }
    story.enough(30);
}

/// One address has many codes sent. Twin: an office of forty where everybody logs in once in an hour.
pub(super) fn otp(story: &mut Story<'_>) {
    let who = story.stranger(SCRIPT);
    let (n, within) = if story.is_twin() {
        (40, minutes(60))
    } else {
        story.of((70, minutes(9)), (150, minutes(9)), (600, minutes(9)))
    };
    for at in story.moments(n, within) {
        story.say(at, &who, Call::post("/v1/auth/otp/send", 202));
    }
    story.enough(60);
}

/// A hundred addresses do, two or more each. Twin: sixty people after a webinar, one each within an hour.
pub(super) fn otp_spread(story: &mut Story<'_>) {
    let within = if story.is_twin() { minutes(60) } else { minutes(9) };
    let n = if story.is_twin() { 60 } else { story.of(180, 300, 900) };
    from_hundred(story, n, within, || Call::post("/v1/auth/otp/send", 202));
    story.enough(150);
}

/// One address signs up many accounts. Twin: a trainer with a class of twenty.
pub(super) fn sign_ups(story: &mut Story<'_>) {
    let who = story.stranger(SCRIPT);
    let n = if story.is_twin() { 20 } else { story.of(46, 100, 400) };
    for at in story.moments(n, minutes(50)) {
        story.say(at, &who, Call::post("/v1/signup", 201).sends(700));
    }
    story.enough(40);
}

/// A hundred addresses do. Twin: a campaign, forty in an hour.
pub(super) fn sign_ups_spread(story: &mut Story<'_>) {
    let n = if story.is_twin() { 40 } else { story.of(130, 250, 800) };
    from_hundred(story, n, minutes(50), || Call::post("/v1/signup", 201).sends(700));
    story.enough(100);
}

fn from_hundred(story: &mut Story<'_>, n: i64, within: i64, call: impl Fn() -> Call) {
    let addresses = story.addresses(100);
    let clients: Vec<_> = addresses.iter().map(|address| Arc::new(Client::stranger(address, BROWSER))).collect();
    for (i, at) in (0..).zip(story.moments(n, within)) {
        story.say(at, &clients[i % 100], call());
    }
    story.whole();
}
