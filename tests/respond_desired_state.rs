//! Blocks are desired state: renewed while the attack lasts, repaired when they drift, lifted when they end or a person says
//! so; budgets, the kill switch, never-block and dry run hold at every moment, over restarts and faults.

#![allow(clippy::disallowed_methods, reason = "the clock of a test goes where the test says")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::alerts::{closing, opening, step_names, steps, tell};
use common::crowdsec::{Crowdsec, MACHINE, PASSWORD};
use common::hands::{HOUR_US, Hands, LIVE, MINUTE_US, apart, nobody, over, settle, until};
use common::wall::{Fault, Wall};
use common::{wall_clock, wall_us};
use futures::FutureExt;
use futures::future::BoxFuture;
use gatewatch::respond::action::{Kind, Op};
use gatewatch::respond::actions::common::Ready;
use gatewatch::respond::config::RespondConfig;
use gatewatch::respond::halt::{self, Halt, Never};
use gatewatch::respond::incident::desk::{self, Deed, Which};
use gatewatch::respond::link::{Links, LinksConfig};
use gatewatch::respond::scope::Scope;
use gatewatch::respond::{Behind, Bystanders, Clock, Outbox, Question};
use gatewatch::store::Store;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::Alert;
use schemas::alert::Severity;
use schemas::incident::Verdict;

#[tokio::test(flavor = "multi_thread")]
async fn a_block_has_no_gap_while_the_attack_lasts_and_ends_after_it() {
    let lapi = tokio::task::spawn_blocking(Crowdsec::start).await.expect("CrowdSec starts");
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!(
        "dry_run: false\nincidents: {{ quiet: 0s }}\nguard: {{ ttl: 2s }}\ntargets:\n  crowdsec:\n    - {{ name: waf, url: \"{}\", \
         machine_id: {MACHINE}, password: {{ env: LAPI }} }}\n",
        lapi.url()
    );
    let path = folder.path().join("state.db");
    let outbox = common::alerts::outbox(&path, &yaml, &[("LAPI", PASSWORD)], wall_clock()).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&outbox).run(stopped));
    let open = opening("al-1", "203.0.113.7", wall_us());
    tell(&outbox, std::slice::from_ref(&open), &["block"], wall_us()).await;
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    while lapi.decisions("203.0.113.7").await.is_empty() {
        beat.tick().await;
    }
    let (began_us, mut last_seen_us, mut longest_us) = (wall_us(), wall_us(), 0);
    while wall_us() < began_us + 8_000_000 {
        beat.tick().await;
        if !lapi.decisions("203.0.113.7").await.is_empty() {
            longest_us = longest_us.max(wall_us() - last_seen_us);
            last_seen_us = wall_us();
        }
    }
    assert!(longest_us < 1_000_000, "not blocked for {longest_us} us");
    let renewals = step_names(&outbox).await.iter().filter(|step| *step == "delivered").count();
    assert!(renewals >= 4, "{renewals} deliveries in eight seconds of a block of two");
    tell(&outbox, &[closing(&open)], &["block"], wall_us()).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        while !lapi.decisions("203.0.113.7").await.is_empty() {
            beat.tick().await;
        }
    });
    ended.await.expect("the block ends when the attack has");
    stop.send(true).expect("it listens");
    running.await.expect("it stops");
}

#[tokio::test]
async fn what_met_the_budget_is_blocked_as_room_comes() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(true, hands.clock());
    let outbox = over(folder.path(), LIVE, vec![wall.ready("waf", &[Kind::Block])], hands.clock()).await;
    let alerts: Vec<Alert> =
        (0..30).map(|n| opening(&format!("al-{n}"), &format!("2001:db8:{n:x}::1"), hands.now())).collect();
    tell(&outbox, &alerts, &["block"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked().len(), 20);
    let suppressed = |names: Vec<String>| names.iter().filter(|name| *name == "suppressed").count();
    assert_eq!(suppressed(step_names(&outbox).await), 10);
    // Looked at again and again, told once.
    hands.advance(5 * MINUTE_US);
    settle(&outbox).await;
    assert_eq!((wall.blocked().len(), suppressed(step_names(&outbox).await)), (20, 10));
    // A critical one has its reserve.
    let worst = Alert { severity: Severity::Critical, ..opening("al-worst", "2001:db8:ffff::1", hands.now()) };
    tell(&outbox, &[worst], &["block"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked().len(), 21);
    // Whoever was let through has his place, though the reserve is used up as well: let go of, all of them come back.
    let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: hands.now(), lift: true };
    halt::pull(outbox.store(), &halted).await.expect("pulled");
    settle(&outbox).await;
    assert_eq!(wall.blocked(), [""; 0]);
    assert!(halt::release(outbox.store(), "noor", hands.now()).await.expect("released"));
    settle(&outbox).await;
    assert_eq!(wall.blocked().len(), 21);
    for _ in 0..4 {
        hands.advance(20 * MINUTE_US);
        settle(&outbox).await;
    }
    assert_eq!(wall.blocked().len(), 31, "there is room, and all the attacks go on");
}

#[tokio::test]
async fn an_entry_that_stays_until_it_is_taken_out_is_renewed_and_lifted() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(false, hands.clock());
    let outbox = over(folder.path(), LIVE, vec![wall.ready("file", &[Kind::Block])], hands.clock()).await;
    let open = opening("al-1", "203.0.113.7", hands.now());
    tell(&outbox, std::slice::from_ref(&open), &["block"], hands.now()).await;
    for _ in 0..10 {
        settle(&outbox).await;
        assert_eq!(wall.blocked(), ["203.0.113.7"]);
        hands.advance(20 * MINUTE_US);
    }
    assert!(wall.calls().iter().all(|(op, _)| *op == Op::Apply), "{:?}", wall.calls());
    assert_eq!(outbox.blocks(10).await.expect("blocks").len(), 1, "renewed, not doubled");
    tell(&outbox, &[closing(&open)], &["block"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["203.0.113.7"], "it lasts to its end");
    hands.advance(HOUR_US);
    settle(&outbox).await;
    settle(&outbox).await;
    assert!(wall.blocked().is_empty());
    assert!(outbox.blocks(10).await.expect("blocks").is_empty());
}

#[tokio::test]
async fn the_kill_switch_stops_what_is_retrying_and_lifts_what_is_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let wall = Wall::new(true, wall_clock());
    let outbox = over(folder.path(), LIVE, vec![wall.ready("waf", &[Kind::Block])], wall_clock()).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&outbox).run(stopped));
    tell(&outbox, &[opening("al-1", "203.0.113.7", wall_us())], &["block"], wall_us()).await;
    until(|| wall.blocked() == ["203.0.113.7"]).await;
    // One that retries all the time, and one that hangs.
    wall.otherwise(Some(Fault::Lost));
    wall.fault([Fault::Busy, Fault::Busy, Fault::Hangs]);
    tell(&outbox, &[opening("al-2", "198.51.100.8", wall_us())], &["block"], wall_us()).await;
    until(|| wall.calls().len() >= 4).await;

    // As another process does it.
    let store = Store::open(&folder.path().join("state.db")).await.expect("opens");
    let halted =
        Halt { actor: "a.example".to_owned(), reason: "wrong people".to_owned(), since_us: wall_us(), lift: false };
    halt::pull(&store, &halted).await.expect("pulled");
    until(|| outbox.targets()[0].in_flight == 0).await;
    let calls = wall.calls().len();
    tell(&outbox, &[opening("al-3", "192.0.2.33", wall_us())], &["block"], wall_us()).await;
    // Two looks of the control loop later nothing more was sent.
    tokio::time::timeout(Duration::from_secs(5), async {
        while step_names(&outbox).await.iter().filter(|step| *step == "retry").count() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the attempt that hung was broken off");
    outbox.pass(true).await.expect("a pass");
    outbox.pass(true).await.expect("a pass");
    assert_eq!(wall.calls().len(), calls, "{:?}", wall.calls());
    assert_eq!(wall.blocked(), ["203.0.113.7"], "what is in force stays");

    wall.otherwise(None);
    halt::pull(&store, &Halt { lift: true, ..halted }).await.expect("pulled");
    until(|| wall.blocked().is_empty()).await;
    assert!(wall.calls()[calls..].iter().all(|(op, _)| *op == Op::Revert), "{:?}", &wall.calls()[calls..]);

    assert!(halt::release(&store, "a.example", wall_us()).await.expect("released"));
    until(|| wall.blocked().len() == 3).await;
    stop.send(true).expect("it listens");
    running.await.expect("it stops");
}

#[tokio::test]
async fn a_detector_on_trial_takes_no_real_block_over_and_stands_in_the_way_of_none() {
    for real_first in [true, false] {
        let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
        let wall = Wall::new(false, hands.clock());
        let outbox = over(folder.path(), LIVE, vec![wall.ready("waf", &[Kind::Block])], hands.clock()).await;
        let real = opening("al-1", "203.0.113.7", hands.now());
        let trial =
            Alert { dry_run: true, detector: "trial".to_owned(), ..opening("al-2", "203.0.113.7", hands.now()) };
        let both = if real_first { [&real, &trial] } else { [&trial, &real] };
        for alert in both {
            tell(&outbox, std::slice::from_ref(alert), &["block"], hands.now()).await;
            settle(&outbox).await;
        }
        for _ in 0..3 {
            assert_eq!(wall.blocked(), ["203.0.113.7"], "renewed while the real one is open, real first: {real_first}");
            hands.advance(40 * MINUTE_US);
            settle(&outbox).await;
        }
        tell(&outbox, &[closing(&real)], &["block"], hands.now()).await;
        hands.advance(2 * HOUR_US);
        settle(&outbox).await;
        assert!(wall.blocked().is_empty(), "it ends with its own attack");
    }
}

#[tokio::test]
async fn what_is_taken_back_while_it_is_tried_again_is_undone() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(false, hands.clock());
    let slow = LIVE.replace("backoff_first: 1ms, backoff_max: 5ms", "backoff_first: 10m, backoff_max: 10m");
    let outbox = over(folder.path(), &slow, vec![wall.ready("waf", &[Kind::Block])], hands.clock()).await;
    wall.fault([Fault::Lost]);
    tell(&outbox, &[opening("al-1", "203.0.113.7", hands.now())], &["block"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["203.0.113.7"], "it had its effect, and nobody knows");
    let id = steps(&outbox).await[0].action_id.clone();
    desk::revert(outbox.store(), &id, "a.example", "a customer", hands.now()).await.expect("taken back");
    settle(&outbox).await;
    assert!(wall.blocked().is_empty(), "{:?}", wall.calls());
}

#[tokio::test]
async fn a_protected_address_is_let_go_and_not_blocked_again() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(true, hands.clock());
    let outbox = over(folder.path(), LIVE, vec![wall.ready("waf", &[Kind::Block])], hands.clock()).await;
    // One is in force, of the other it is not known.
    tell(&outbox, &[opening("al-1", "203.0.113.7", hands.now())], &["block"], hands.now()).await;
    settle(&outbox).await;
    wall.otherwise(Some(Fault::Lost));
    tell(&outbox, &[opening("al-2", "203.0.113.99", hands.now())], &["block"], hands.now()).await;
    outbox.drain(Duration::from_millis(50)).await.expect("drains");
    wall.otherwise(None);
    assert_eq!(wall.blocked(), ["203.0.113.7", "203.0.113.99"]);

    let never = Never {
        entity: String::new(),
        owner: "a.example".to_owned(),
        reason: "our partner".to_owned(),
        created_us: hands.now(),
        expires_us: None,
    };
    halt::protect(outbox.store(), Scope::parse("203.0.113.0/24").expect("a network"), &never).await.expect("protected");
    let before = wall.calls().len();
    settle(&outbox).await;
    settle(&outbox).await;
    assert!(wall.blocked().is_empty(), "{:?}", wall.blocked());
    hands.advance(2 * HOUR_US);
    settle(&outbox).await;
    assert!(wall.blocked().is_empty());
    let after = &wall.calls()[before..];
    assert!(!after.is_empty() && after.iter().all(|(op, _)| *op == Op::Revert), "nothing was blocked again: {after:?}");
}

#[tokio::test]
async fn a_changed_configuration_converges() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(false, hands.clock());
    let ready = || vec![wall.ready("waf", &[Kind::Block])];
    let outbox = over(folder.path(), LIVE, ready(), hands.clock()).await;
    let alerts: Vec<Alert> =
        (0..3).map(|n| opening(&format!("al-{n}"), &format!("2001:db8:{n:x}::1"), hands.now())).collect();
    tell(&outbox, &alerts, &["block"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["2001:db8:1::/64", "2001:db8:2::/64", "2001:db8::/64"]);
    drop(outbox);

    let listed = LIVE.replace("guard: {", "guard: { never_block: ['2001:db8:2::5'],");
    let outbox = over(folder.path(), &listed, ready(), hands.clock()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["2001:db8:1::/64", "2001:db8::/64"]);
    drop(outbox);

    let outbox = over(folder.path(), &LIVE.replace("dry_run: false", "dry_run: true"), ready(), hands.clock()).await;
    settle(&outbox).await;
    assert!(wall.blocked().is_empty());
    drop(outbox);

    let outbox = over(folder.path(), LIVE, ready(), hands.clock()).await;
    hands.advance(HOUR_US);
    settle(&outbox).await;
    assert_eq!(wall.blocked().len(), 3, "the attacks go on");
}

#[tokio::test]
async fn what_is_changed_behind_our_back_is_repaired() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(false, hands.clock());
    let outbox = over(folder.path(), LIVE, vec![wall.ready("waf", &[Kind::Block])], hands.clock()).await;
    let (one, two) = (opening("al-1", "203.0.113.7", hands.now()), opening("al-2", "198.51.100.8", hands.now()));
    tell(&outbox, &[one, two.clone()], &["block"], hands.now()).await;
    settle(&outbox).await;
    tell(&outbox, &[closing(&two)], &["block"], hands.now()).await;
    // The attack of the second is over, its block is not.
    wall.remove("203.0.113.7");
    wall.remove("198.51.100.8");
    outbox.reconcile().await.expect("read back");
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["198.51.100.8", "203.0.113.7"]);
    assert_eq!(step_names(&outbox).await.iter().filter(|step| *step == "drifted").count(), 2);
    hands.advance(HOUR_US + MINUTE_US);
    settle(&outbox).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["203.0.113.7"], "no longer than it would have");
    // Somebody restores an old copy of the list, and adds an entry of their own.
    wall.add("198.51.100.8");
    wall.add("192.0.2.200");
    outbox.reconcile().await.expect("read back");
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["192.0.2.200", "203.0.113.7"], "ours is lifted, theirs is not ours");
}

#[tokio::test]
async fn a_first_start_on_a_year_of_attacks_pages_and_blocks_nobody() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(true, hands.clock());
    let targets = vec![wall.ready("waf", &[Kind::Block]), wall.ready("pager", &[Kind::Page, Kind::Notify])];
    let outbox = over(folder.path(), LIVE, targets, hands.clock()).await;
    for day in (2..=365).rev() {
        let then_us = hands.now() - i64::from(day) * 24 * HOUR_US;
        let open = opening(&format!("al-{day}"), &apart(day as usize), then_us);
        let shut = Alert { updated: open.updated.clone(), ..closing(&open) };
        let kinds = ["block", "page", "notify"];
        tell(&outbox, if day % 2 == 0 { vec![open, shut] } else { vec![open] }.as_slice(), &kinds, hands.now()).await;
    }
    settle(&outbox).await;
    assert_eq!(wall.calls(), [], "nothing was sent");
    let steps = steps(&outbox).await;
    let count = |step: &str, kind: &str| steps.iter().filter(|s| s.step == step && s.kind == kind).count();
    assert!(count("suppressed", "page") >= 364, "{}", count("suppressed", "page"));
    assert!(count("suppressed", "block") >= 100, "the attacks that never ended are on record");
    let open = Which { limit: 1000, ..Which::default() };
    assert_eq!(desk::incidents(outbox.store(), &open).await.expect("incidents").len(), 364);
}

struct Office;

impl Bystanders for Office {
    fn behind<'a>(&'a self, asked: &'a [Question], now_us: i64) -> BoxFuture<'a, Result<Vec<Behind>, String>> {
        let crowd = Behind { principals: 200, tenants: 1, good_requests: 9_000, ..nobody(now_us) };
        let behind = |question: &Question| {
            if question.scope.to_string() == "203.0.113.7" { crowd } else { nobody(now_us) }
        };
        std::future::ready(Ok(asked.iter().map(behind).collect())).boxed()
    }
}

async fn with_office(folder: &Path, yaml: &str, targets: Vec<Ready>, clock: Clock) -> Arc<Outbox> {
    let config: RespondConfig = serde_saphyr::from_str(yaml).expect("a valid configuration");
    let store = Store::open(&folder.join("state.db")).await.expect("the store opens");
    let outbox = Outbox::new(store, config, targets, &[], clock, 1).expect("an outbox");
    let links = LinksConfig { base: "https://gw.example.com".to_owned(), incident: None };
    let links = Links::new(&links, b"an invented key of 32 bytes ....");
    Arc::new(outbox.asking(Arc::new(Office)).linking(Some(links)))
}

#[tokio::test]
async fn an_office_behind_one_address_is_not_cut_off() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(true, hands.clock());
    let outbox = with_office(folder.path(), LIVE, vec![wall.ready("waf", &[Kind::Block])], hands.clock()).await;
    tell(
        &outbox,
        &[opening("al-1", "203.0.113.7", hands.now()), opening("al-2", "198.51.100.8", hands.now())],
        &["block"],
        hands.now(),
    )
    .await;
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["198.51.100.8"]);
    let waits = steps(&outbox).await.into_iter().find(|step| step.step == "awaiting").expect("a person is asked");
    assert!(waits.detail.contains("200 principals of 1 tenants made 9000 good requests"), "{}", waits.detail);
    // The person comes late; the time it lasts counts from their word.
    hands.advance(2 * HOUR_US);
    assert!(outbox.approve(&waits.action_id, "a.example").await.expect("approved"));
    let approved = steps(&outbox).await.into_iter().find(|step| step.step == "approved").expect("it is on record");
    let (ends_us, now_us) = (approved.expires_us.expect("an end"), hands.now());
    assert!(ends_us > now_us + HOUR_US - MINUTE_US && ends_us <= now_us + HOUR_US, "{ends_us} {now_us}");
    assert!(approved.detail.starts_with("by a.example; it lasts until "), "{}", approved.detail);
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["198.51.100.8", "203.0.113.7"]);
}

#[tokio::test]
async fn a_message_says_who_is_kept_out_and_what_waits_for_a_person() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let (wall, chat) = (Wall::new(true, hands.clock()), Wall::new(true, hands.clock()));
    let targets = vec![chat.ready("chat", &[Kind::Notify]), wall.ready("waf", &[Kind::Block])];
    let outbox = with_office(folder.path(), LIVE, targets, hands.clock()).await;
    let alerts = [opening("al-1", "203.0.113.7", hands.now()), opening("al-2", "198.51.100.8", hands.now())];
    tell(&outbox, &alerts, &["notify", "block"], hands.now()).await;
    settle(&outbox).await;
    let mut told: Vec<(String, String, bool, bool)> = Vec::new();
    for body in chat.bodies() {
        let message: schemas::Message = serde_json::from_slice(&body).expect("a message");
        let standing = message.standing.expect("how things stand");
        let [it] = standing.containment.as_slice() else { panic!("{standing:?}") };
        assert_eq!((it.kind.as_str(), it.target.as_deref()), ("block", Some("waf")));
        let link = it.approve.as_deref().is_some_and(|link| link.starts_with("https://gw.example.com/approve/"));
        told.push((it.entity_value.clone(), it.state.clone(), it.until.is_some(), link));
    }
    told.sort();
    let expected = [("198.51.100.8", "in_force", true, false), ("203.0.113.7", "awaiting", false, true)];
    assert_eq!(told, expected.map(|(who, state, until, link)| (who.to_owned(), state.to_owned(), until, link)));
}

#[tokio::test]
async fn where_a_gateway_can_the_attackers_own_account_is_taken_instead() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let (wall, gateway) = (Wall::new(true, hands.clock()), Wall::new(true, hands.clock()));
    let targets = vec![wall.ready("waf", &[Kind::Block]), gateway.ready("kong", &[Kind::Revoke])];
    let outbox = with_office(folder.path(), LIVE, targets, hands.clock()).await;
    let mut open = opening("al-1", "203.0.113.7", hands.now());
    open.evidence = serde_json::json!({ "counted": 60, "principals": [{ "value": "mallory", "count": 60 }],
        "proven": [{ "value": "mallory", "count": 58 }] });
    tell(&outbox, &[open], &["block"], hands.now()).await;
    settle(&outbox).await;
    settle(&outbox).await;
    assert_eq!((wall.blocked(), gateway.blocked()), (vec![], vec!["mallory".to_owned()]));
    let refused = steps(&outbox).await.into_iter().find(|step| step.step == "suppressed").expect("it says why");
    assert!(refused.detail.ends_with("revoke of principal mallory instead"), "{}", refused.detail);
}

#[tokio::test]
async fn alerts_of_one_attacker_are_one_incident_with_one_page() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let pager = Wall::new(true, hands.clock());
    let yaml = LIVE.replace("quiet: 0s", "quiet: 5m");
    let outbox = over(folder.path(), &yaml, vec![pager.ready("pager", &[Kind::Page])], hands.clock()).await;
    let first = opening("al-1", "203.0.113.7", hands.now());
    let sweep = Alert { detector: "endpoint-sweep".to_owned(), ..opening("al-2", "203.0.113.7", hands.now()) };
    let again = opening("al-3", "203.0.113.7", hands.now());
    let neighbour = opening("al-4", "203.0.113.8", hands.now());
    let stranger = opening("al-5", "198.51.100.8", hands.now());
    tell(&outbox, &[first.clone(), sweep.clone(), again.clone(), neighbour.clone(), stranger], &["page"], hands.now())
        .await;
    let which = Which { limit: 10, ..Which::default() };
    let incidents = desk::incidents(outbox.store(), &which).await.expect("incidents");
    assert_eq!(incidents.len(), 2);
    let one = incidents.iter().find(|row| row.subject.value == "203.0.113.7").expect("the attacker's");
    assert_eq!((one.alerts, one.alerts_open, one.detectors.len()), (4, 4, 2));
    assert!((one.score - (60.0 + 60.0 + 15.0 + 15.0)).abs() < 0.1, "{}", one.score);
    // One page for each incident, a word that the first is worse than it looked, and one that a neighbour joined.
    assert_eq!(step_names(&outbox).await, ["planned", "planned", "planned", "planned"]);

    for alert in [&first, &sweep, &again, &neighbour] {
        tell(&outbox, &[closing(alert)], &["page"], hands.now()).await;
    }
    settle(&outbox).await;
    let closed =
        |rows: Vec<gatewatch::respond::incident::Row>| rows.iter().filter(|row| row.status.name() == "closed").count();
    assert_eq!(closed(desk::incidents(outbox.store(), &which).await.expect("incidents")), 0, "it may go on");
    hands.advance(5 * MINUTE_US);
    settle(&outbox).await;
    assert_eq!(closed(desk::incidents(outbox.store(), &which).await.expect("incidents")), 1);
    assert_eq!(pager.calls().len(), 5, "opened, worse, a neighbour, the other opened, the first closed");
    // Back within the hour: the same incident.
    tell(&outbox, &[opening("al-6", "203.0.113.7", hands.now())], &["page"], hands.now()).await;
    let incidents = desk::incidents(outbox.store(), &which).await.expect("incidents");
    assert_eq!((incidents.len(), closed(incidents)), (2, 0));
}

#[tokio::test]
async fn a_flood_of_incidents_is_told_as_one_and_the_worst_by_themselves() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let chat = Wall::new(true, hands.clock());
    let yaml = LIVE.replace("quiet: 0s", "quiet: 5m");
    let outbox = over(folder.path(), &yaml, vec![chat.ready("chat", &[Kind::Notify])], hands.clock()).await;
    let flood: Vec<Alert> =
        (0..60).map(|n| opening(&format!("al-{n}"), &format!("2001:db8:{n:x}::1"), hands.now())).collect();
    tell(&outbox, &flood, &["notify"], hands.now()).await;
    let worst = Alert { severity: Severity::Critical, ..opening("al-worst", "203.0.113.7", hands.now()) };
    tell(&outbox, &[worst], &["notify"], hands.now()).await;
    settle(&outbox).await;
    // 20, the digest's beginning, its tenth, and the critical one.
    assert_eq!(chat.calls().len(), 20 + 2 + 1);
    let suppressed = steps(&outbox).await.into_iter().filter(|step| step.step == "suppressed").count();
    assert_eq!(suppressed, 40, "each is on record");
    let which = Which { limit: 100, ..Which::default() };
    let incidents = desk::incidents(outbox.store(), &which).await.expect("incidents");
    assert_eq!(incidents.len(), 62, "and in the list");
    let digest = incidents.iter().find(|row| row.subject.kind == "flood").expect("a digest");
    assert_eq!(digest.title, "40 more incidents in a flood, see gatewatch incidents list");
    // The ends of those are no messages either; the digest has an end of its own.
    let over: Vec<Alert> = flood.iter().map(closing).collect();
    tell(&outbox, &over, &["notify"], hands.now()).await;
    hands.advance(6 * MINUTE_US);
    settle(&outbox).await;
    assert_eq!(chat.calls().len(), 23 + 20 + 1);
    // Later it is calm again.
    hands.advance(20 * MINUTE_US);
    tell(&outbox, &[opening("al-later", "192.0.2.77", hands.now())], &["notify"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(chat.calls().len(), 45);
}

#[tokio::test]
async fn a_false_alarm_is_lifted_at_once_and_suppressed_ones_stay_quiet() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(false, hands.clock());
    let targets = vec![wall.ready("waf", &[Kind::Block]), wall.ready("chat", &[Kind::Notify])];
    let outbox = over(folder.path(), LIVE, targets, hands.clock()).await;
    let open = opening("al-1", "203.0.113.7", hands.now());
    tell(&outbox, std::slice::from_ref(&open), &["block"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["203.0.113.7"]);
    let store = outbox.store();
    let id = desk::incidents(store, &Which { limit: 1, ..Which::default() }).await.expect("incidents")[0].id.clone();
    desk::act(store, &id, &Deed::Close(Verdict::False, "our own scan".to_owned()), "a.example", hands.now())
        .await
        .expect("closed");
    settle(&outbox).await;
    settle(&outbox).await;
    assert!(wall.blocked().is_empty());
    // The same alert goes on being told; what a person has judged stays judged.
    let louder = Alert { revision: 1, state: schemas::alert::State::Updated, ..open };
    tell(&outbox, &[louder], &["block"], hands.now()).await;
    settle(&outbox).await;
    assert!(wall.blocked().is_empty());

    let quiet = desk::Suppression {
        n: 0,
        detector: Some("auth-*".to_owned()),
        entity_kind: "client_ip".to_owned(),
        entity_value: "203.0.113.7".to_owned(),
        owner: "a.example".to_owned(),
        reason: "load test".to_owned(),
        created_us: hands.now(),
        expires_us: hands.now() + HOUR_US,
    };
    desk::suppress(store, &quiet).await.expect("suppressed");
    tell(&outbox, &[opening("al-2", "203.0.113.7", hands.now())], &["block"], hands.now()).await;
    settle(&outbox).await;
    assert!(wall.blocked().is_empty());
    hands.advance(2 * HOUR_US);
    tell(&outbox, &[opening("al-3", "203.0.113.7", hands.now())], &["block"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["203.0.113.7"], "its time is over");
}

/// At random: alerts open and close, targets fail in every way, entries are changed behind our back, processes are replaced and the
/// switch is pulled. Then the world is well again, and what is in force is what is wanted.
#[tokio::test]
async fn whatever_happens_the_list_becomes_what_is_wanted() {
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
        let wall = Wall::new(seed % 2 == 0, hands.clock());
        let yaml = LIVE
            .replace("backoff_max: 5ms", "backoff_max: 5ms, attempts_max: 1000, breaker_failures: 1000, timeout: 20ms");
        let start = || over(folder.path(), &yaml, vec![wall.ready("waf", &[Kind::Block])], hands.clock());
        let mut outbox = start().await;
        let mut open: Vec<Alert> = Vec::new();
        for n in 0..40 {
            match rng.random_range(0..7) {
                0 | 1 if open.len() < 8 => {
                    let alert = opening(&format!("al-{n}"), &format!("2001:db8:{n:x}::1"), hands.now());
                    tell(&outbox, std::slice::from_ref(&alert), &["block"], hands.now()).await;
                    open.push(alert);
                }
                2 if !open.is_empty() => {
                    let alert = open.swap_remove(rng.random_range(0..open.len()));
                    tell(&outbox, &[closing(&alert)], &["block"], hands.now()).await;
                }
                3 => wall.fault([[Fault::Busy, Fault::Lost, Fault::Hangs][rng.random_range(0..3)]]),
                4 => {
                    let blocked = wall.blocked();
                    if let Some(entity) = blocked.first() {
                        wall.remove(entity);
                    }
                }
                5 => {
                    outbox = start().await;
                }
                _ => hands.advance(rng.random_range(0..20 * MINUTE_US)),
            }
            outbox.drain(Duration::from_millis(rng.random_range(1..30))).await.expect("drains");
        }
        // All is well again; what ended has had its time.
        outbox.reconcile().await.expect("read back");
        settle(&outbox).await;
        hands.advance(2 * HOUR_US);
        for _ in 0..3 {
            outbox.reconcile().await.expect("read back");
            settle(&outbox).await;
        }
        let network = |alert: &Alert| {
            let address = alert.entity.value.parse().expect("an address");
            Scope::around(address, 64).expect("a network").to_string()
        };
        let mut wanted: Vec<String> = open.iter().map(network).collect();
        wanted.sort();
        assert_eq!(wall.blocked(), wanted, "seed {seed}");
    }
}
