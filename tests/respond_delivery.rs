//! Promises 2 and 5 for messages: delivered at least once with an effect once, whatever the receiver does and whenever
//! the process dies; every step on record. The receiver is strict and real HTTP on loopback.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "one test starts this program again, to kill it")]

mod common;

use std::io::BufRead;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::alerts::{closing, opening, outbox, step_names, steps, tell};
use common::receiver::{End, Receiver, Reply, SECRET};
use common::{wall_clock, wall_us};
use gatewatch::respond::breaker::Position;
use gatewatch::respond::{Clock, Outbox};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::Alert;

const PLENTY: Duration = Duration::from_secs(30);
/// Another test secret: base64 of "another-fake-secret-for-rotation".
const NEXT_SECRET: &str = "whsec_YW5vdGhlci1mYWtlLXNlY3JldC1mb3Itcm90YXRpb24=";

struct Rig {
    folder: tempfile::TempDir,
    receiver: Receiver,
    extra: String,
    clock: Clock,
}

impl Rig {
    /// A receiver, and settings for quick retries; `extra` is added to `delivery`.
    async fn new(extra: &str) -> Rig {
        Rig::with_clock(extra, wall_clock()).await
    }

    async fn with_clock(extra: &str, clock: Clock) -> Rig {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let receiver = Receiver::start(&[SECRET], Arc::clone(&clock)).await;
        Rig { folder, receiver, extra: extra.to_owned(), clock }
    }

    fn config(&self) -> String {
        format!(
            "dry_run: false\nincidents: {{ quiet: 0s, digest_after: 0 }}\ndelivery: {{ backoff_first: 1ms, backoff_max: 5ms, {} }}\ntargets:\n  webhook:\n    \
             - {{ name: soar, url: \"{}\", secrets: [{{ env: SOAR }}], kinds: [case, notify] }}\n",
            self.extra,
            self.receiver.url()
        )
    }

    /// The outbox of a process that starts now on this rig's state store.
    async fn outbox(&self) -> Arc<Outbox> {
        let path = self.folder.path().join("state.db");
        outbox(&path, &self.config(), &[("SOAR", SECRET)], Arc::clone(&self.clock)).await
    }

    fn clean(&self) {
        assert_eq!(self.receiver.violations(), Vec::<String>::new());
    }

    fn effect_types(&self) -> Vec<String> {
        let type_of = |body: &serde_json::Value| body["type"].as_str().expect("a type").to_owned();
        self.receiver.effects().iter().map(|effect| type_of(&effect.body)).collect()
    }
}

/// The address of an attacker of its own; alerts about one attacker are one incident.
fn apart(n: usize) -> String {
    format!("2001:db8:{n:x}::7")
}

fn an_alert() -> Alert {
    opening("al-1", "203.0.113.7", wall_us())
}

#[tokio::test]
async fn an_alert_is_delivered_and_every_step_is_on_record() {
    let rig = Rig::new("").await;
    let outbox = rig.outbox().await;
    let open = an_alert();
    assert_eq!(tell(&outbox, &[open.clone(), closing(&open)], &["case"], wall_us()).await, 2);
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);

    assert_eq!(rig.effect_types(), ["incident.open", "incident.closed"]);
    assert_eq!(rig.receiver.effects()[0].body["alert"], serde_json::to_value(&open).expect("serialises"));
    let steps = steps(&outbox).await;
    let first = &steps[0].action_id;
    let of_first: Vec<&str> = steps.iter().filter(|s| s.action_id == *first).map(|s| s.step.as_str()).collect();
    assert_eq!(of_first, ["planned", "sent", "delivered"]);
    let delivered = steps.iter().find(|step| step.step == "delivered").expect("a delivered step");
    assert_eq!(delivered.answer, "202 {\"status\":202}");
    assert_eq!(
        (delivered.alert_id.as_str(), delivered.detector.as_str(), delivered.target.as_str(), delivered.kind.as_str()),
        ("al-1", "auth-burst-ip", "soar", "case")
    );
    assert_eq!((delivered.entity_kind.as_str(), delivered.entity_value.as_str()), ("client_ip", "203.0.113.7"));
    assert_eq!(rig.receiver.effects()[0].id, *first);
    rig.clean();
}

#[tokio::test]
async fn telling_again_changes_nothing() {
    let rig = Rig::new("").await;
    let outbox = rig.outbox().await;
    let alerts = [an_alert(), closing(&an_alert())];
    assert_eq!(tell(&outbox, &alerts, &["case", "notify"], wall_us()).await, 4);
    assert_eq!(tell(&outbox, &alerts, &["case", "notify"], wall_us()).await, 0);
    outbox.drain(PLENTY).await.expect("drains");
    let before = steps(&outbox).await;
    assert_eq!(tell(&outbox, &alerts, &["case", "notify"], wall_us() + 3_600_000_000).await, 0);
    outbox.drain(PLENTY).await.expect("drains");
    assert_eq!(steps(&outbox).await, before);
    assert_eq!(rig.receiver.seen().len(), 4);
    rig.clean();
}

#[tokio::test]
async fn passing_failures_are_retried_under_the_same_id_with_the_same_bytes() {
    let rig = Rig::new("breaker_failures: 100").await;
    rig.receiver.script([
        Reply::status(500),
        Reply::status(503),
        Reply::status(409),
        Reply::status(429),
        Reply::lost(End::Reset),
        Reply::lost(End::AfterHeaders),
        Reply::status(500),
    ]);
    let outbox = rig.outbox().await;
    let open = an_alert();
    tell(&outbox, &[open.clone(), closing(&open)], &["case"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);

    let seen = rig.receiver.seen();
    assert_eq!(seen.iter().map(|seen| seen.status).collect::<Vec<_>>(), [500, 503, 409, 429, 202, 202, 500, 202, 202]);
    assert!(seen[..8].iter().all(|one| one.id == seen[0].id), "eight attempts of the opening, then the closing");
    // The strict receiver holds another body under the same id for a violation.
    rig.clean();
    assert_eq!(rig.effect_types(), ["incident.open", "incident.closed"]);
    let retries = steps(&outbox).await.into_iter().filter(|step| step.step == "retry").collect::<Vec<_>>();
    assert_eq!(retries.len(), 7);
    assert!(retries[0].detail.starts_with("attempt 1: the receiver answered 500"), "{}", retries[0].detail);
    assert_eq!(retries[3].answer, "429 {\"status\":429}");
    assert!(!retries[4].detail.contains("hooks"), "an address may be a secret: {}", retries[4].detail);
}

#[tokio::test]
async fn retry_after_is_respected_and_capped() {
    let rig = Rig::new("retry_after_max: 1500ms").await;
    rig.receiver.script([Reply::retry_after(429, "1"), Reply::retry_after(503, "86400")]);
    let outbox = rig.outbox().await;
    tell(&outbox, &[an_alert()], &["case"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    let at: Vec<i64> = rig.receiver.seen().iter().map(|seen| seen.at_us).collect();
    assert_eq!(at.len(), 3);
    assert!(at[1] - at[0] >= 1_000_000, "came back after {} us", at[1] - at[0]);
    assert!(at[2] - at[1] >= 1_500_000, "came back after {} us", at[2] - at[1]);
    rig.clean();
}

#[tokio::test]
async fn a_final_refusal_is_parked_at_once_and_can_be_released() {
    for status in [400, 401, 403, 404, 413, 422] {
        let rig = Rig::new("").await;
        rig.receiver.script([Reply::status(status)]);
        let outbox = rig.outbox().await;
        tell(&outbox, &[an_alert()], &["case"], wall_us()).await;
        assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
        assert_eq!(step_names(&outbox).await, ["planned", "sent", "failed", "parked"], "{status}");
        let parked = outbox.parked(Some("soar"), 10).await.expect("the parked actions");
        assert_eq!(parked.len(), 1);
        assert_eq!(outbox.targets()[0].breaker, Position::Closed, "a refusal is an answer");

        outbox.release(&parked[0], "a.example").await.expect("released");
        assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
        assert_eq!(step_names(&outbox).await[4..], ["released", "sent", "delivered"]);
        assert_eq!(rig.receiver.effects().len(), 1);
        rig.clean();
    }
}

#[tokio::test]
async fn attempts_end_and_the_next_of_the_alert_goes_on() {
    let rig = Rig::new("attempts_max: 3").await;
    rig.receiver.script([Reply::status(500), Reply::status(502), Reply::status(504)]);
    let outbox = rig.outbox().await;
    let open = an_alert();
    tell(&outbox, &[open.clone(), closing(&open)], &["case"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(rig.effect_types(), ["incident.closed"]);
    let parked = outbox.parked(None, 10).await.expect("the parked actions");
    assert_eq!((parked.len(), parked[0].attempts), (1, 3));
    let counts = outbox.counts().await.expect("counts");
    let counts: Vec<(&str, u64)> = counts.iter().map(|count| (count.state.as_str(), count.actions)).collect();
    assert_eq!(counts, [("delivered", 1), ("parked", 1)]);
}

#[tokio::test]
async fn a_slow_receiver_times_out_and_the_effect_happens_once() {
    let rig = Rig::new("timeout: 100ms").await;
    rig.receiver.script([Reply::accept().after(Duration::from_secs(20))]);
    let outbox = rig.outbox().await;
    tell(&outbox, &[an_alert()], &["case"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    let retry = steps(&outbox).await.into_iter().find(|step| step.step == "retry").expect("a retry");
    assert!(retry.detail.contains("no answer within 100ms"), "{}", retry.detail);
    assert_eq!((rig.receiver.seen().len(), rig.receiver.effects().len()), (2, 1));
    rig.clean();
}

#[tokio::test]
async fn the_breaker_opens_lets_one_try_and_closes() {
    let now = Arc::new(AtomicI64::new(wall_us()));
    let clock: Clock = {
        let now = Arc::clone(&now);
        Arc::new(move || now.load(Ordering::SeqCst))
    };
    let rig = Rig::with_clock("breaker_failures: 3, breaker_open: 10m, concurrency: 1", clock).await;
    rig.receiver.otherwise(Reply::status(503));
    let outbox = rig.outbox().await;
    let start_us = now.load(Ordering::SeqCst);
    let alerts: Vec<Alert> = (0..10usize).map(|n| opening(&format!("al-{n}"), &apart(n), start_us)).collect();
    tell(&outbox, &alerts, &["case"], start_us).await;
    // The clock stands still, so nothing else becomes due within this time.
    assert_eq!(outbox.drain(Duration::from_millis(500)).await.expect("drains"), 10);
    assert_eq!(rig.receiver.seen().len(), 3, "nothing is sent through an open breaker");
    assert_eq!(outbox.targets()[0].breaker, Position::Open);

    now.fetch_add(600_000_000, Ordering::SeqCst);
    outbox.drain(Duration::from_millis(500)).await.expect("drains");
    assert_eq!(rig.receiver.seen().len(), 4, "one delivery tries");
    assert_eq!(outbox.targets()[0].breaker, Position::Open);

    now.fetch_add(600_000_000, Ordering::SeqCst);
    rig.receiver.otherwise(Reply::accept());
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(outbox.targets()[0].breaker, Position::Closed);
    assert_eq!(rig.receiver.effects().len(), 10);
    rig.clean();
}

#[tokio::test]
async fn a_dead_target_does_not_hold_up_another() {
    let rig = Rig::new("").await;
    let dead = format!(
        "{}    - {{ name: dead, url: \"http://127.0.0.1:9/\", secrets: [{{ env: SOAR }}], kinds: [notify] }}\n",
        rig.config()
    );
    let path = rig.folder.path().join("state.db");
    let outbox = outbox(&path, &dead, &[("SOAR", SECRET)], wall_clock()).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&outbox).run(stopped));
    let alerts: Vec<Alert> = (0..20usize).map(|n| opening(&format!("al-{n}"), &apart(n), wall_us())).collect();
    tell(&outbox, &alerts, &["notify"], wall_us()).await;
    rig.receiver.wait_for_requests(20).await;
    stop.send(true).expect("it listens");
    running.await.expect("it stops cleanly");
    assert_eq!(rig.receiver.effects().len(), 20);
    let waiting = outbox.counts().await.expect("counts");
    assert!(
        waiting
            .iter()
            .any(|count| (count.target.as_str(), count.state.as_str(), count.actions) == ("dead", "pending", 20))
    );
    rig.clean();
}

#[tokio::test]
async fn a_restart_takes_up_what_waited_and_repeats_what_was_uncertain() {
    let rig = Rig::new("").await;
    let open = an_alert();
    let first = rig.outbox().await;
    // The effect happens, the answer never comes, and the process ends while it waits.
    rig.receiver.script([Reply::accept().after(Duration::from_secs(60))]);
    tell(&first, &[open.clone(), closing(&open)], &["case"], wall_us()).await;
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&first).run(stopped));
    while rig.receiver.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    running.abort();
    assert!(running.await.expect_err("cut off").is_cancelled());
    drop(first);

    let second = rig.outbox().await;
    assert_eq!(step_names(&second).await, ["planned", "planned", "sent"]);
    assert_eq!(tell(&second, &[open.clone(), closing(&open)], &["case"], wall_us()).await, 0);
    assert_eq!(second.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(rig.receiver.seen().len(), 3);
    assert_eq!(rig.effect_types(), ["incident.open", "incident.closed"]);
    assert!(steps(&second).await.iter().any(|step| step.step == "sent" && step.detail == "attempt 2"));
    rig.clean();
}

const CHILD: &str = "GATEWATCH_TEST_TELLING_CHILD";
const TOLD: &str = "targets: { webhook: [{ name: soar, url: \"http://127.0.0.1:9/\", secrets: [{ env: SOAR }] }] }";

/// Not a test by itself: the process that the next test kills. It tells alert after alert and says when each is durable.
#[tokio::test]
async fn child_that_tells_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let config = TOLD;
    let outbox = outbox(Path::new(&path), config, &[("SOAR", SECRET)], wall_clock()).await;
    for n in 0usize.. {
        tell(&outbox, &[opening(&format!("al-{n}"), &apart(n), wall_us())], &["case"], wall_us()).await;
        println!("\nTOLD {n}");
    }
}

#[tokio::test]
async fn what_was_told_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("state.db");
    let mut told_before = 0;
    // The later rounds find everything of the earlier ones in place and add to it.
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_that_tells_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut told = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("TOLD ")?.parse::<usize>().ok());
        let last = told.find(|n| *n >= told_before + 20 * round).expect("it tells");
        child.kill().expect("killed");
        child.wait().expect("gone");

        let config = TOLD;
        let outbox = outbox(&path, config, &[("SOAR", SECRET)], wall_clock()).await;
        let names = step_names(&outbox).await;
        let count = |wanted: &str| names.iter().filter(|name| *name == wanted).count();
        let (planned, dry, digested) = (count("planned"), count("dry_run"), count("suppressed"));
        assert!(planned > last, "{planned} alerts are there, {} were told", last + 1);
        assert!(digested > 0, "so many at once are a flood");
        assert_eq!(planned, dry + digested, "an action and its steps are one transaction");
        told_before = planned;
    }
}

#[tokio::test]
async fn a_rotation_is_signed_so_that_either_secret_verifies() {
    for known in [SECRET, NEXT_SECRET] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let receiver = Receiver::start(&[known], wall_clock()).await;
        let config = "dry_run: false\ntargets:\n  webhook:\n    - { name: soar, url: { env: URL }, secrets: [{ env: NEW }, { env: OLD }] }\n";
        let url = receiver.url();
        let secrets = [("URL", url.as_str()), ("NEW", NEXT_SECRET), ("OLD", SECRET)];
        let outbox = outbox(&folder.path().join("state.db"), config, &secrets, wall_clock()).await;
        tell(&outbox, &[an_alert()], &["page"], wall_us()).await;
        assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
        assert_eq!((receiver.effects().len(), receiver.violations().len()), (1, 0));
        assert_eq!(receiver.seen()[0].signature.split(' ').count(), 2);
    }
}

#[tokio::test]
async fn the_receiver_is_strict() {
    let rig = Rig::new("attempts_max: 1").await;
    let path = rig.folder.path().join("state.db");
    let outbox = outbox(&path, &rig.config(), &[("SOAR", NEXT_SECRET)], wall_clock()).await;
    let strange = Alert { title: String::new(), ..an_alert() };
    tell(&outbox, &[strange], &["case"], wall_us()).await;
    outbox.drain(PLENTY).await.expect("drains");
    let violations = rig.receiver.violations().join("\n");
    assert!(violations.contains("no signature that verifies") && violations.contains("alert.title"), "{violations}");
    assert_eq!(rig.receiver.effects().len(), 0);
}

#[tokio::test]
async fn dry_run_is_the_default_and_sends_nothing() {
    let rig = Rig::new("").await;
    let path = rig.folder.path().join("state.db");
    let careful = rig.config().replace("dry_run: false\n", "");
    let outbox = outbox(&path, &careful, &[("SOAR", SECRET)], wall_clock()).await;
    tell(&outbox, &[an_alert()], &["case"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(step_names(&outbox).await, ["planned", "dry_run"]);
    assert!(steps(&outbox).await.iter().all(|step| step.dry_run));

    // A detector on trial stays dry where everything else is live.
    let rig = Rig::new("").await;
    let outbox = rig.outbox().await;
    tell(&outbox, &[Alert { dry_run: true, ..an_alert() }], &["case"], wall_us()).await;
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    assert_eq!(step_names(&outbox).await, ["planned", "dry_run"]);
    assert_eq!(rig.receiver.seen().len(), 0);
}

#[tokio::test]
async fn a_full_outbox_says_so() {
    let rig = Rig::new("pending_max: 2").await;
    let outbox = rig.outbox().await;
    let alerts: Vec<Alert> = (0..3usize).map(|n| opening(&format!("al-{n}"), &apart(n), wall_us())).collect();
    tell(&outbox, &alerts, &["case"], wall_us()).await;
    let last = steps(&outbox).await.pop().expect("steps");
    assert_eq!((last.step.as_str(), last.detail.as_str()), ("suppressed", "2 actions are waiting already"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let rig = Rig::new("").await;
    rig.receiver.script([Reply::status(307)]);
    let outbox = rig.outbox().await;
    tell(&outbox, &[an_alert()], &["case"], wall_us()).await;
    outbox.drain(PLENTY).await.expect("drains");
    assert_eq!(step_names(&outbox).await, ["planned", "sent", "failed", "parked"]);
}

#[tokio::test]
async fn two_loops_share_the_work() {
    let rig = Rig::new("concurrency: 8").await;
    let outbox = rig.outbox().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&outbox).run(stopped));
    for n in 0..50usize {
        let open = opening(&format!("al-{n}"), &apart(n), wall_us());
        tell(&outbox, &[open.clone(), closing(&open)], &["case"], wall_us()).await;
    }
    assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    stop.send(true).expect("it listens");
    running.await.expect("it stops");
    assert_eq!((rig.receiver.seen().len(), rig.receiver.effects().len()), (100, 100));
    rig.clean();
}

#[tokio::test]
async fn forgetting_keeps_what_still_matters() {
    let rig = Rig::new("attempts_max: 1").await;
    rig.receiver.script([Reply::accept(), Reply::status(400)]);
    let outbox = rig.outbox().await;
    for (n, id) in ["al-done", "al-parked", "al-new"].into_iter().enumerate() {
        tell(&outbox, &[opening(id, &apart(n), wall_us())], &["case"], wall_us()).await;
        assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0);
    }
    let before = steps(&outbox).await;
    let new_us = before.iter().find(|step| step.alert_id == "al-new").expect("a step").time_us;
    let parked_through = before.iter().rfind(|step| step.alert_id == "al-parked").expect("a step").seq;
    assert_eq!(outbox.forget(new_us, parked_through - 1).await.expect("forgets"), 1);
    let left: Vec<(String, String)> = steps(&outbox).await.into_iter().map(|step| (step.alert_id, step.step)).collect();
    let expected = [("al-parked", "parked"), ("al-new", "planned"), ("al-new", "sent"), ("al-new", "delivered")];
    assert_eq!(left, expected.map(|(alert, step)| (alert.to_owned(), step.to_owned())));
    assert_eq!(outbox.parked(None, 10).await.expect("parked").len(), 1);
    // Their incidents are open, so their alerts are known.
    let again = ["al-done", "al-parked", "al-new"].map(|id| opening(id, &apart(9), wall_us()));
    assert_eq!(tell(&outbox, &again, &["case"], wall_us()).await, 0);
}

/// Promise 2 at random: alerts told again and again, a receiver that fails in every passing way, deliveries cut off,
/// processes replaced. In the end each telling had its effect once, the opening before the closing.
#[tokio::test]
async fn whatever_happens_each_telling_has_its_effect_once() {
    for seed in 0..12 {
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rig = Rig::new("attempts_max: 1000, breaker_failures: 1000, timeout: 50ms").await;
        rig.receiver.script((0..80).map(|_| passing_failure(&mut rng)));
        let opens: Vec<Alert> = (0..8usize).map(|n| opening(&format!("al-{n}"), &apart(n), wall_us())).collect();
        let mut outbox = rig.outbox().await;
        for _ in 0..10 {
            let open = &opens[rng.random_range(0..opens.len())];
            let both = [open.clone(), closing(open)];
            tell(&outbox, &both[..rng.random_range(1..=2)], &["case"], wall_us()).await;
            outbox.drain(Duration::from_millis(rng.random_range(1..40))).await.expect("drains");
            if rng.random_bool(0.3) {
                outbox = rig.outbox().await;
            }
        }
        let all: Vec<Alert> = opens.iter().flat_map(|open| [open.clone(), closing(open)]).collect();
        tell(&outbox, &all, &["case"], wall_us()).await;
        assert_eq!(outbox.drain(PLENTY).await.expect("drains"), 0, "seed {seed}");
        rig.clean();
        for open in &opens {
            let effects = rig.receiver.effects();
            let mine = effects
                .iter()
                .filter(|effect| effect.body["incident"]["subject"]["value"] == open.entity.value.as_str());
            let types: Vec<&str> = mine.map(|effect| effect.body["type"].as_str().expect("a type")).collect();
            assert_eq!(types, ["incident.open", "incident.closed"], "seed {seed}, {}", open.id);
        }
    }
}

fn passing_failure(rng: &mut ChaCha8Rng) -> Reply {
    match rng.random_range(0..8) {
        0 => Reply::status(500),
        1 => Reply::status(503),
        2 => Reply::retry_after(429, "0"),
        3 => Reply::status(409),
        4 => Reply::lost(End::Reset),
        5 => Reply::lost(End::AfterHeaders),
        6 => Reply::accept().after(Duration::from_millis(80)),
        _ => Reply::accept(),
    }
}
