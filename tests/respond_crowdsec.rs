//! Promises 5 and 6 against a real CrowdSec local API: a block becomes one decision that a bouncer reads, ends by itself or
//! is reverted, and the guard rails hold.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::alerts::{closing, opening, outbox, step_names, steps, tell};
use common::crowdsec::{Crowdsec, MACHINE, PASSWORD};
use common::proxy::Relay;
use common::{wall_clock, wall_us};
use gatewatch::respond::incident::{desk, look};
use gatewatch::respond::{Clock, Outbox, Step};

const PLENTY: Duration = Duration::from_secs(30);
const ATTACKER: &str = "203.0.113.7";

fn config(url: &str, extra: &str) -> String {
    format!(
        "dry_run: false\n{extra}\ndelivery: {{ backoff_first: 1ms, backoff_max: 20ms }}\ntargets:\n  crowdsec:\n    \
         - {{ name: waf, url: \"{url}\", machine_id: {MACHINE}, password: {{ env: LAPI }} }}\n"
    )
}

async fn over(folder: &Path, url: &str, extra: &str) -> Arc<Outbox> {
    outbox(&folder.join("state.db"), &config(url, extra), &[("LAPI", PASSWORD)], wall_clock()).await
}

async fn lapi() -> (Crowdsec, tempfile::TempDir) {
    let lapi = tokio::task::spawn_blocking(Crowdsec::start).await.expect("CrowdSec starts");
    (lapi, tempfile::tempdir().expect("a temporary folder"))
}

/// Seconds of a duration in Go's notation, such as `3h59m59.2s`.
fn go_seconds(text: &str) -> f64 {
    let mut total = 0.0;
    let mut number = String::new();
    for c in text.chars() {
        let unit = match c {
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            _ => {
                number.push(c);
                continue;
            }
        };
        total += number.parse::<f64>().expect("a number") * unit;
        number.clear();
    }
    total
}

/// Run the outbox until that many steps of this name are on record.
async fn run_until(outbox: &Arc<Outbox>, name: &str, count: usize) {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(outbox).run(stopped));
    let reached = tokio::time::timeout(PLENTY, async {
        while step_names(outbox).await.iter().filter(|step| *step == name).count() < count {
            tokio::task::yield_now().await;
        }
    });
    reached.await.unwrap_or_else(|_| panic!("{count} steps `{name}` do not come"));
    stop.send(true).expect("it listens");
    running.await.expect("it stops");
}

async fn last(outbox: &Outbox) -> Step {
    steps(outbox).await.pop().expect("steps")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_becomes_a_decision_that_ends_and_can_be_reverted() {
    let (lapi, folder) = lapi().await;
    let outbox = over(folder.path(), &lapi.url(), "").await;
    let open = opening("al-1", ATTACKER, wall_us());
    assert_eq!(tell(&outbox, std::slice::from_ref(&open), &["block"], wall_us()).await, 0);
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);

    let decisions = lapi.decisions(ATTACKER).await;
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    let decision = &decisions[0];
    assert_eq!(decision["type"], "ban");
    assert_eq!(decision["scope"], "Ip");
    assert_eq!(decision["value"], ATTACKER);
    assert_eq!(decision["origin"], "gatewatch");
    assert_eq!(decision["scenario"], "gatewatch/auth-burst-ip");
    let left = go_seconds(decision["duration"].as_str().expect("a duration"));
    assert!((14_390.0..=14_400.0).contains(&left), "{left} s are left of four hours");
    assert_eq!(step_names(&outbox).await, ["planned", "sent", "delivered"]);
    let delivered = last(&outbox).await;
    assert!(delivered.answer.starts_with("alert 1, decision 1, 3h59m"), "{}", delivered.answer);
    let blocks = outbox.blocks(10).await.expect("blocks");
    assert_eq!((blocks.len(), blocks[0].0.as_str(), Some(blocks[0].3)), (1, ATTACKER, delivered.expires_us));

    let revert = || desk::revert(outbox.store(), &delivered.action_id, "a.example", "false positive", wall_us());
    revert().await.expect("planned");
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(lapi.decisions(ATTACKER).await.len(), 0);
    let of = |op: &str, all: &[Step]| -> Vec<(String, String)> {
        let mine = all.iter().filter(|step| step.op == op).skip(if op == "apply" { 3 } else { 0 });
        mine.map(|step| (step.step.clone(), step.answer.clone())).collect()
    };
    let all = steps(&outbox).await;
    let undoing = of("revert", &all);
    assert_eq!(undoing[2], ("delivered".to_owned(), "1 decisions deleted".to_owned()), "{undoing:?}");
    assert_eq!(of("apply", &all), [("reverted".to_owned(), String::new())]);
    let planned = all.iter().find(|step| step.op == "revert").expect("planned");
    assert!(planned.detail.ends_with("by a.example: false positive"), "{}", planned.detail);
    assert!(outbox.blocks(10).await.expect("blocks").is_empty());
    let again = revert().await.expect_err("reverted once");
    assert!(again.to_string().contains("is reverted"), "{again}");

    // A replay tells the alert again; what was reverted stays so.
    assert_eq!(tell(&outbox, &[open], &["block"], wall_us()).await, 0);
    assert_eq!(lapi.decisions(ATTACKER).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_of_a_lost_store_is_taken_up_and_can_be_reverted() {
    let (lapi, folder) = lapi().await;
    let first = over(folder.path(), &lapi.url(), "").await;
    tell(&first, &[opening("al-1", ATTACKER, wall_us())], &["block"], wall_us()).await;
    assert_eq!(first.drain(PLENTY).await.expect("drains"), 0);
    let (ends_us, id) = (last(&first).await.expires_us.expect("an end"), last(&first).await.action_id);
    drop(first);

    let empty = tempfile::tempdir().expect("a temporary folder");
    let second = over(empty.path(), &lapi.url(), "").await;
    second.reconcile().await.expect("read back");
    second.reconcile().await.expect("read back again");
    assert_eq!(step_names(&second).await, ["adopted"]);
    let contained = look::contained(second.store(), wall_us()).await.expect("read");
    let told = contained.first().expect("one").clone();
    assert_eq!(
        (contained.len(), told.wanted, told.kind, told.entity_value.as_str()),
        (1, "adopted", "block", ATTACKER)
    );
    let blocks = second.blocks(10).await.expect("blocks");
    assert_eq!((blocks.len(), blocks[0].2.as_str()), (1, id.as_str()));
    let off_us = blocks[0].3.abs_diff(ends_us);
    assert!(off_us < 5_000_000, "LAPI says what is left, to the second or so: {off_us} us apart");
    desk::revert(second.store(), &id, "a.example", "restored", wall_us()).await.expect("planned");
    assert_eq!(second.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(lapi.decisions(ATTACKER).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_does_not_block_twice() {
    let (lapi, folder) = lapi().await;
    let server = lapi.url().trim_start_matches("http://").parse().expect("an address");
    let relay = Relay::start(server, "POST /v1/alerts").await;
    let outbox = over(folder.path(), &relay.url(), "").await;
    relay.lose(1);
    tell(&outbox, &[opening("al-1", ATTACKER, wall_us())], &["block"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(relay.losses_left(), 0, "the answer was lost");
    assert_eq!(step_names(&outbox).await, ["planned", "sent", "retry", "sent", "delivered"]);
    assert_eq!(lapi.decisions(ATTACKER).await.len(), 1);

    // The same detector on another address: the search must not take the one for the other.
    relay.lose(1);
    tell(&outbox, &[opening("al-2", "203.0.113.8", wall_us())], &["block"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(lapi.decisions("203.0.113.8").await.len(), 1);
    // Reverting the one leaves the other.
    let newest = last(&outbox).await.action_id;
    desk::revert(outbox.store(), &newest, "a.example", "test", wall_us()).await.expect("planned");
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!((lapi.decisions("203.0.113.8").await.len(), lapi.decisions(ATTACKER).await.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_sending_and_recording_does_not_block_twice() {
    let (lapi, folder) = lapi().await;
    let server = lapi.url().trim_start_matches("http://").parse().expect("an address");
    let relay = Relay::start(server, "POST /v1/alerts").await;
    // One attempt, whose answer is lost: what a process leaves behind that dies before it records the answer.
    let dying = config(&relay.url(), "").replace("delivery: {", "delivery: { attempts_max: 1,");
    let path = folder.path().join("state.db");
    let first = outbox(&path, &dying, &[("LAPI", PASSWORD)], wall_clock()).await;
    relay.lose(1);
    tell(&first, &[opening("al-1", ATTACKER, wall_us())], &["block"], wall_us()).await;
    first.drain(PLENTY).await.expect("drains");
    let parked = first.parked(None, 10).await.expect("parked");
    assert_eq!(parked.len(), 1);
    drop(first);
    assert_eq!(lapi.decisions(ATTACKER).await.len(), 1, "the effect happened");

    let second = over(folder.path(), &lapi.url(), "").await;
    second.release(&parked[0], "a.example").await.expect("released");
    assert_eq!(second.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(last(&second).await.step, "delivered");
    assert_eq!(lapi.decisions(ATTACKER).await.len(), 1, "and was recognised");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_lapi_is_waited_for_and_the_ban_ends_when_planned() {
    let (mut lapi, folder) = lapi().await;
    lapi.stop();
    let outbox = over(folder.path(), &lapi.url(), "guard: { ttl: 1h }").await;
    // Planned ten minutes ago.
    let planned_us = wall_us() - 600_000_000;
    tell(&outbox, &[opening("al-1", ATTACKER, planned_us)], &["block"], planned_us).await;
    run_until(&outbox, "retry", 1).await;

    let lapi = tokio::task::spawn_blocking(move || {
        lapi.restart();
        lapi
    })
    .await
    .expect("CrowdSec starts again");
    drop(outbox);
    let outbox = over(folder.path(), &lapi.url(), "guard: { ttl: 1h }").await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    let decisions = lapi.decisions(ATTACKER).await;
    let left = go_seconds(decisions[0]["duration"].as_str().expect("a duration"));
    assert!((3_550.0..=3_600.0).contains(&left), "the attack goes on, so it is blocked for an hour from now: {left} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_block_is_recorded_and_an_overdue_one_is_not_sent() {
    let (lapi, folder) = lapi().await;
    let ahead = Arc::new(AtomicI64::new(0));
    let clock: Clock = {
        let ahead = Arc::clone(&ahead);
        Arc::new(move || wall_us() + ahead.load(Ordering::SeqCst))
    };
    let config = config(&lapi.url(), "guard: { ttl: 1h }");
    let outbox = outbox(&folder.path().join("state.db"), &config, &[("LAPI", PASSWORD)], clock).await;
    tell(&outbox, &[opening("al-1", ATTACKER, wall_us())], &["block"], wall_us()).await;
    // Over for more than an hour.
    let overdue_us = wall_us() - 3_601_000_000;
    let over = opening("al-2", "198.51.100.8", overdue_us);
    tell(&outbox, &[over.clone(), closing(&over)], &["block"], overdue_us).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(lapi.decisions("198.51.100.8").await.len(), 0);
    assert_eq!(outbox.blocks(10).await.expect("blocks").len(), 1);

    // The attack ends, and then its block.
    let open = opening("al-1", ATTACKER, wall_us());
    tell(&outbox, &[closing(&open)], &["block"], wall_us()).await;
    ahead.store(3_601_000_000, Ordering::SeqCst);
    run_until(&outbox, "expired", 1).await;
    let steps = steps(&outbox).await;
    let of = |alert: &str| -> Vec<&str> {
        steps.iter().filter(|step| step.alert_id == alert).map(|step| step.step.as_str()).collect()
    };
    // Our clock is ahead of LAPI's, so what is read back is still there and is undone.
    assert_eq!(of("al-1")[..4], ["planned", "sent", "delivered", "expired"]);
    assert!(of("al-2").is_empty(), "nobody is blocked for what is long over");
    assert!(outbox.blocks(10).await.expect("blocks").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_retried_and_never_shown() {
    let (lapi, folder) = lapi().await;
    let path = folder.path().join("state.db");
    let wrong = "wrong-not-a-real-password";
    let config = config(&lapi.url(), "").replace("delivery: {", "delivery: { attempts_max: 2,");
    let outbox = outbox(&path, &config, &[("LAPI", wrong)], wall_clock()).await;
    tell(&outbox, &[opening("al-1", ATTACKER, wall_us())], &["block"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(step_names(&outbox).await, ["planned", "sent", "retry", "sent", "failed", "parked"]);
    let steps = steps(&outbox).await;
    let retry = steps.iter().find(|step| step.step == "retry").expect("a retry");
    assert!(retry.detail.contains("refused the login of machine gatewatch with 401"), "{}", retry.detail);
    assert!(!format!("{steps:?}").contains(wrong));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_rails_hold() {
    let (lapi, folder) = lapi().await;
    let extra = "guard: { never_block: [203.0.113.64/28], blocks_per_hour: 2, ipv6_prefix: 128 }";
    let outbox = over(folder.path(), &lapi.url(), extra).await;
    let now_us = wall_us();
    let alert = |id: &str, address: &str| opening(id, address, now_us);
    let mut trial = alert("al-dry", "203.0.113.10");
    trial.dry_run = true;
    let mut person = alert("al-user", "tok_4f1c");
    person.entity.kind = "principal".to_owned();
    let stale = opening("al-old", "203.0.113.11", now_us - 25 * 3_600_000_000);
    let alerts = [
        alert("al-partner", "203.0.113.70"),
        alert("al-proxy", "192.0.2.80"),
        alert("al-inside", "10.1.2.3"),
        alert("al-mapped", "::ffff:10.1.2.3"),
        trial,
        person,
        stale,
        alert("al-1", "203.0.113.1"),
        alert("al-2", "2001:db8::2"),
        alert("al-3", "203.0.113.3"),
    ];
    tell(&outbox, &alerts, &["block"], now_us).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    let steps = steps(&outbox).await;
    let end = |alert: &str| {
        let step = steps.iter().rfind(|step| step.alert_id == alert).expect("a step");
        format!("{}: {}", step.step, step.detail)
    };
    assert_eq!(end("al-partner"), "suppressed: 203.0.113.70 is on the never-block list (203.0.113.64/28)");
    assert_eq!(end("al-proxy"), "suppressed: 192.0.2.80 is on the never-block list (192.0.2.80)");
    assert_eq!(end("al-inside"), "suppressed: 10.1.2.3 is on the never-block list (10.0.0.0/8)");
    assert_eq!(end("al-mapped"), "suppressed: 10.1.2.3 is on the never-block list (10.0.0.0/8)");
    assert_eq!(end("al-dry"), "dry_run: would be sent");
    assert_eq!(end("al-user"), "suppressed: neither an IP address nor a network: the entity is of kind principal");
    assert_eq!(end("al-old"), "suppressed: what led to it is more than 24 h old");
    // How often a busy LAPI had to be asked is not the point.
    assert!(end("al-1").starts_with("delivered: "), "{}", end("al-1"));
    assert!(end("al-2").starts_with("delivered: "), "{}", end("al-2"));
    assert_eq!(end("al-3"), "suppressed: the budget of 2 offenders per hour is used up; it is looked at again");
    for address in ["203.0.113.70", "192.0.2.80", "10.1.2.3", "203.0.113.10", "203.0.113.11", "203.0.113.3"] {
        assert_eq!(lapi.decisions(address).await.len(), 0, "{address}");
    }
    assert_eq!(lapi.decisions("203.0.113.1").await.len(), 1);
    assert_eq!(lapi.decisions("2001:db8::2").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_detectors_on_one_address_make_one_decision() {
    let (lapi, folder) = lapi().await;
    let outbox = over(folder.path(), &lapi.url(), "").await;
    let now_us = wall_us();
    let mut other = opening("al-2", ATTACKER, now_us);
    other.detector = "endpoint-sweep".to_owned();
    // Both at once, and a third when the first is in force.
    tell(&outbox, &[opening("al-1", ATTACKER, now_us), other], &["block"], now_us).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    tell(&outbox, &[opening("al-3", ATTACKER, wall_us())], &["block"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(lapi.decisions(ATTACKER).await.len(), 1);
    assert_eq!(step_names(&outbox).await, ["planned", "sent", "delivered"]);
}
