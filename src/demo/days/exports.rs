//! API3 and API6: data taken out, at once, in many files, page by page, or shared among accounts.
//!
//! Promises: each function tells one kind at three strengths and its twin.
//! Never: scales with the ordinary traffic; a story is whole at any size.

use crate::demo::client::Client;

use super::line::Call;
use super::story::{BROWSER, SCRIPT, Story, hours, minutes};

/// A person is given very many rows at once. Twin: an export, which is there for that.
pub(super) fn rows_at_once(story: &mut Story<'_>) {
    let who = story.insider();
    let (n, rows) = story.of((3, 12_000), (6, 20_000), (20, 50_000));
    let (n, path) = if story.is_twin() { (1, "/v1/customers/export.csv") } else { (n, "/v1/customers") };
    for at in story.moments(n, minutes(30)) {
        story.say(at, &who, Call::get(path, 200).records(rows).bytes(rows * 230).takes(1_500));
    }
    story.enough(3);
}

fn export(rows: u64) -> Call {
    Call::get("/v1/invoices/export.csv", 200).records(rows).bytes(rows * 260).takes(700)
}

/// An accountant with a past of a few exports a day takes many. Twin: the closing of a month, half as much again.
pub(super) fn burst(story: &mut Story<'_>) {
    let who = story.insider();
    for day in -6..0 {
        for at in story.moments(6, hours(6)) {
            story.used_to(hours(24 * day) + at, &who, export(900));
        }
    }
    let (n, within) = if story.is_twin() {
        (9, hours(6))
    } else {
        story.of((14, minutes(12)), (40, minutes(15)), (150, minutes(15)))
    };
    for at in story.moments(n, within) {
        story.say(at, &who, export(900));
    }
    story.enough(6);
}

/// Twenty accounts share it. Twin: twenty accountants on one morning, one or two files each.
pub(super) fn spread(story: &mut Story<'_>) {
    let each = if story.is_twin() { 1 } else { story.of(5, 9, 20) };
    let addresses = story.addresses(20);
    for (i, address) in (0..).zip(&addresses) {
        let name = story.name();
        let who = story.token(&name, address, BROWSER);
        for at in story.moments(each, minutes(40)) {
            story.say(at + i * 1_500, &who, export(900));
        }
    }
    story.enough(60);
}

/// Very many rows in an hour. Twin: the same work in a tenth of the rows.
pub(super) fn rows_taken(story: &mut Story<'_>) {
    let who = story.insider();
    let (n, rows) = if story.is_twin() { (4, 2_500) } else { story.of((24, 5_000), (30, 10_000), (60, 40_000)) };
    for at in story.moments(n, minutes(50)) {
        let call = Call::get("/v1/orders", 200).query("fields=all").records(rows).bytes(rows * 180).takes(900);
        story.say(at, &who, call);
    }
    let enough = 100_000 / rows;
    story.enough(enough.max(1) as usize);
}

/// An account pages through everything. Twin: a person who looks through sixty pages.
pub(super) fn page_walk(story: &mut Story<'_>) {
    let who = story.insider();
    let (n, within) = if story.is_twin() {
        (60, minutes(40))
    } else {
        story.of((460, minutes(55)), (900, minutes(50)), (2_000, minutes(40)))
    };
    pages(story, &who, n, within);
    story.enough(400);
}

/// A stranger does. Twin: a search engine, 150 pages an hour as all week.
pub(super) fn page_walk_stranger(story: &mut Story<'_>) {
    let agent =
        if story.is_twin() { "Mozilla/5.0 (compatible; Otherbot/1.0; +https://bot.example.net/)" } else { SCRIPT };
    let who = story.stranger(agent);
    let (n, within) = if story.is_twin() {
        (150, minutes(55))
    } else {
        story.of((1_100, minutes(55)), (1_800, minutes(50)), (3_000, minutes(40)))
    };
    pages(story, &who, n, within);
    story.enough(1_000);
}

fn pages(story: &mut Story<'_>, who: &std::sync::Arc<Client>, n: i64, within: i64) {
    for (page, at) in (1..).zip(story.moments(n, within)) {
        let call = Call::get("/v1/products", 200).query(format!("page={page}&limit=50")).records(50).bytes(9_000);
        story.say(at, who, call);
    }
}
