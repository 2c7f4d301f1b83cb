//! API1: objects of others, guessed, counted through, or read in the name of other tenants.
//!
//! Promises: each function tells one kind at three strengths and its twin.
//! Never: scales with the ordinary traffic; a story is whole at any size.

use std::sync::Arc;

use crate::demo::client::Client;

use super::line::{Call, Claims, with_token};
use super::story::{SCRIPT, Story, hours, minutes};

/// An account guesses at numbers. Twin: an old list of contacts, most of them deleted, asked for again and again.
pub(super) fn guessing(story: &mut Story<'_>) {
    let who = story.insider();
    if story.is_twin() {
        let contacts: Vec<u32> = (0..12).map(|_| story.number()).collect();
        for (i, at) in (0..).zip(story.moments(90, minutes(60))) {
            story.say(at, &who, Call::get(format!("/v1/contacts/{}", contacts[i % 12]), 404));
        }
        return;
    }
    let (n, within) = story.of((40, minutes(9)), (80, minutes(9)), (300, minutes(9)));
    refused(story, &who, n, within);
    story.enough(25);
}

/// The same, one every few minutes. Twin: a job that meets forty stale identifiers a day, as every day.
pub(super) fn guessing_slow(story: &mut Story<'_>) {
    story.all_day();
    if story.is_twin() {
        let job = story.program("Go-http-client/2.0");
        let stale: Vec<u32> = (0..40).map(|_| story.number()).collect();
        for day in -6..1 {
            for (i, number) in (0..).zip(&stale) {
                let (at, call) = (hours(24 * day) + i * 40_000, Call::get(format!("/v1/products/{number}"), 404));
                if day < 0 { story.used_to(at, &job, call) } else { story.say(at, &job, call) }
            }
        }
        return;
    }
    let who = story.insider();
    let n = story.of(110, 180, 400);
    refused(story, &who, n, hours(20));
    story.enough(80);
}

fn refused(story: &mut Story<'_>, who: &Arc<Client>, n: i64, within: i64) {
    for at in story.moments(n, within) {
        let status = *story.chance.pick(&[403, 404, 403]);
        let call = Call::get(format!("/v1/orders/{}", story.number()), status);
        story.say(at, who, call);
    }
}

/// Several accounts behind one address guess. Twin: an office after a clearing-up, everybody meets a few that are gone.
pub(super) fn guessing_one_address(story: &mut Story<'_>) {
    let address = story.address();
    let (accounts, each) = if story.is_twin() { (15, 4) } else { story.of((8, 18), (10, 25), (12, 60)) };
    for account in 0..accounts {
        let name = story.name();
        let who = story.token(&name, &address, SCRIPT);
        for at in story.moments(each, minutes(55)) {
            let call = Call::get(format!("/v1/invoices/{}", story.number()), 403);
            story.say(at + account * 900, &who, call);
        }
    }
    story.enough(100);
}

/// Forty accounts of forty addresses guess, each a little. Twin: as many who meet one or two that are gone.
pub(super) fn guessing_spread(story: &mut Story<'_>) {
    let addresses = story.addresses(40);
    let each = if story.is_twin() { 2 } else { story.of(5, 9, 20) };
    for (account, address) in (0..).zip(&addresses) {
        let name = story.name();
        let who = story.token(&name, address, super::story::BROWSER);
        for at in story.moments(each, minutes(55)) {
            let call = Call::get(format!("/v1/documents/{}", story.number()), *story.chance.pick(&[403, 404]));
            story.say(at + account * 700, &who, call);
        }
    }
    story.at("endpoint", "GET /v1/documents/{id}");
    story.enough(150);
}

/// One object after the other, and all of them answered. Twin: a synchronisation that reads 150 of them every four
/// hours, as it did all week.
pub(super) fn walk(story: &mut Story<'_>) {
    if story.is_twin() {
        let job = story.program("axios/1.7.9");
        for run in -36..1 {
            for (i, at) in (0..).zip(story.moments(150, minutes(8))) {
                let (at, call) = (at + hours(4 * run), Call::get(format!("/v1/products/{}", 700_000 + i), 200));
                if run < 0 { story.used_to(at, &job, call) } else { story.say(at, &job, call) }
            }
        }
        return;
    }
    let who = story.insider();
    let (n, within) = story.of((480, minutes(55)), (900, minutes(50)), (2_400, minutes(40)));
    let first = i64::from(story.number());
    for (i, at) in (0..).zip(story.moments(n, within)) {
        story.say(at, &who, Call::get(format!("/v1/customers/{}", first + i), 200));
    }
    story.enough(400);
}

/// One account is answered for tenant after tenant. Twin: an account of three tenants, at many endpoints.
pub(super) fn tenants_read(story: &mut Story<'_>) {
    let n = if story.is_twin() { 3 } else { story.of(7, 12, 30) };
    tenants(story, n, 200);
    story.enough(6);
}

/// One account is refused in the name of tenant after tenant. Twin: a token of one tenant that was revoked.
pub(super) fn tenants_tried(story: &mut Story<'_>) {
    let n = if story.is_twin() { 1 } else { story.of(5, 9, 25) };
    tenants(story, n, 403);
    story.enough(5);
}

fn tenants(story: &mut Story<'_>, n: usize, status: u16) {
    let (name, address) = (story.name(), story.address());
    let calls = if story.is_twin() { 30 } else { n };
    let mut tokens = Vec::new();
    for i in 0..n {
        let claims = Claims::of(&name, story.tenant(i), story.start_ms + hours(24));
        tokens.push(with_token(&address, super::story::BROWSER, &claims, &mut story.chance));
    }
    for (i, at) in (0..).zip(story.moments(calls as i64, minutes(40))) {
        let path = *story.chance.pick(&["/v1/orders", "/v1/invoices", "/v1/users/me"]);
        story.say(at, &tokens[i % n], Call::get(path, status));
    }
}
