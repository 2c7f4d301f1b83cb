//! API9 and API10: what is there, what should no longer be, and who sends webhooks.
//!
//! Promises: each function tells one kind at three strengths and its twin.
//! Never: names a weak spot that is not public; what is guessed stands in every list.

use std::sync::Arc;

use crate::demo::client::Client;

use super::line::Call;
use super::places;
use super::story::{BROWSER, SCRIPT, Story, hours, minutes};

const ROOTS: [&str; 14] = [
    "",
    "/admin",
    "/api",
    "/backup",
    "/config",
    "/debug",
    "/internal",
    "/old",
    "/private",
    "/test",
    "/v1",
    "/v2",
    "/web",
    "/www",
];
const LEAVES: [&str; 16] = [
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/admin.php",
    "/config.json",
    "/dump.sql",
    "/console",
    "/phpinfo.php",
    "/server-status",
    "/setup.cgi",
    "/shell.jsp",
    "/web.config",
    "/xmlrpc.php",
    "/backup.zip",
    "/.htpasswd",
    "/metrics",
];

/// The n-th path that is not there.
fn guess(n: usize) -> String {
    format!("{}{}", ROOTS[n / LEAVES.len() % ROOTS.len()], LEAVES[n % LEAVES.len()])
}

fn guesses(story: &mut Story<'_>, who: &Arc<Client>, n: i64, within: i64) {
    for (i, at) in (0..).zip(story.moments(n, within)) {
        let status = *story.chance.pick(&[404, 404, 404, 403]);
        story.say(at, who, Call::get(guess(i), status));
    }
}

/// Endpoint after endpoint within a minute. Twin: an indexer reads the documentation, forty pages a minute.
pub(super) fn sweep(story: &mut Story<'_>) {
    if story.is_twin() {
        let who = story.stranger("ExampleDocsIndexer/1.0 (+https://docs.example.org/bot)");
        for (i, at) in (0..).zip(story.moments(160, minutes(4))) {
            story.say(at, &who, Call::get(format!("/docs/guides/{}", 100 + i), 200).bytes(9_000));
        }
        return;
    }
    let who = story.newcomer("Go-http-client/2.0");
    let (n, within) = story.of((110, 55_000), (160, 50_000), (220, 30_000));
    guesses(story, &who, n, within);
    story.enough(20);
}

/// Well-known weak spots. Twin: a page whose three files the last deploy forgot, reloaded all morning.
pub(super) fn probing(story: &mut Story<'_>) {
    if story.is_twin() {
        let who = story.newcomer(BROWSER);
        for (i, at) in (0..).zip(story.moments(90, hours(2))) {
            let path = ["/app/assets/vendor.js", "/app/assets/charts.js", "/app/old-theme"][i % 3];
            story.say(at, &who, Call::get(path, 404));
        }
        return;
    }
    let who = story.stranger("Mozilla/5.0");
    let (n, within) = story.of((13, 110_000), (40, minutes(3)), (200, minutes(4)));
    guesses(story, &who, n, within);
    story.enough(10);
}

/// One every few minutes. Twin: a crawler with old links to thirty pages.
pub(super) fn probing_slow(story: &mut Story<'_>) {
    story.all_day();
    let who = story.stranger("Mozilla/5.0");
    if story.is_twin() {
        for (i, at) in (0..).zip(story.moments(120, hours(20))) {
            story.say(at, &who, Call::get(format!("/blog/{}", 2_000 + i % 30), 404));
        }
        return;
    }
    let n = story.of(125, 160, 220);
    guesses(story, &who, n, hours(20));
    story.enough(100);
}

/// Sixty addresses share the list. Twin: sixty visitors follow a link that is gone.
pub(super) fn probing_spread(story: &mut Story<'_>) {
    let addresses = story.addresses(60);
    let n = if story.is_twin() { 60 } else { story.of(110, 160, 220) };
    for (i, at) in (0..).zip(story.moments(n, minutes(9))) {
        let who = Arc::new(Client::stranger(&addresses[i % 60], BROWSER));
        let path = if story.is_twin() { "/summer-campaign".to_owned() } else { guess(i) };
        story.say(at, &who, Call::get(path, 404));
    }
    story.whole();
    story.enough(80);
}

/// What is allowed, everywhere. Twin: a browser's page that asks before each of its ten calls.
pub(super) fn options(story: &mut Story<'_>) {
    let who = story.stranger(if story.is_twin() { BROWSER } else { SCRIPT });
    let n = if story.is_twin() { 10 } else { story.of(45, 90, 180) };
    for (i, at) in (0..).zip(story.moments(n, minutes(8))) {
        let path = format!(
            "/v1/{}/{}",
            ["orders", "users", "billing", "crm", "files", "jobs"][i % 6],
            [
                "list", "all", "audit", "bulk", "sync", "meta", "stats", "types", "views", "rules", "tags", "hooks",
                "roles", "terms", "units", "costs", "plans", "seats", "teams", "zones", "links", "forms", "notes",
                "pages", "dates", "years", "items", "codes", "areas", "lines"
            ][i / 6 % 30]
        );
        story.say(at, &who, Call::new("OPTIONS", path, 204));
    }
    story.enough(40);
}

/// An endpoint of an old version comes back to life. Twin: it is asked for and gone.
pub(super) fn zombie(story: &mut Story<'_>) {
    let who = story.newcomer(SCRIPT);
    let path = story.of("/v0/users", "/v0/orders", "/v1/legacy/export");
    let status = if story.is_twin() { 410 } else { 200 };
    for at in story.moments(story.of(1, 10, 80), minutes(20)) {
        story.say(at, &who, Call::get(path, status));
    }
    story.whole();
}

/// A new address sends webhooks that are refused. Twin: the provider itself after a change of the secret, six times.
pub(super) fn webhook_forged(story: &mut Story<'_>) {
    let who = story.stranger(SCRIPT);
    let n = if story.is_twin() { 6 } else { story.of(17, 40, 200) };
    for at in story.moments(n, minutes(9)) {
        story.say(at, &who, Call::post("/webhooks/payments", 401).sends(900));
    }
    story.enough(15);
}

/// A webhook is taken from a network that never sent one. Twin: from another address of the provider's network.
pub(super) fn webhook_elsewhere(story: &mut Story<'_>) {
    let who = match story.is_twin() {
        true => Arc::new(Client::stranger(&places::v4(places::CLOUDS.start + 5, 180), "PayBridge-Webhook/1.4")),
        false => story.stranger("PayBridge-Webhook/1.4"),
    };
    for at in story.moments(story.of(1, 5, 40), minutes(20)) {
        story.say(at, &who, Call::post("/webhooks/payments", 200).sends(900));
    }
    story.at("endpoint", "POST /webhooks/payments");
}
