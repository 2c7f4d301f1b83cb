//! Who is kept out wrongly is let go at once: a flood of attackers, a lake that does not answer and a target that says nothing delay
//! neither the kill switch nor a person's word, and what nobody can vouch for any more ends by itself.

#![allow(clippy::disallowed_methods, reason = "the clock of a test goes where the test says")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use common::alerts::{opening, tell};
use common::hands::{Hands, LIVE, MINUTE_US, apart, nobody, over, settle, until};
use common::wall::Wall;
use common::{wall_clock, wall_us};
use futures::FutureExt;
use futures::future::BoxFuture;
use gatewatch::respond::action::Kind;
use gatewatch::respond::config::RespondConfig;
use gatewatch::respond::halt::{self, Halt};
use gatewatch::respond::incident::desk;
use gatewatch::respond::{Behind, Bystanders, Outbox, Question};
use gatewatch::store::Store;
use schemas::Alert;

/// A lake that never answers once it was told so.
#[derive(Default)]
struct Slow {
    hangs: AtomicBool,
    asked: AtomicI64,
}

impl Bystanders for Slow {
    fn behind<'a>(&'a self, asked: &'a [Question], now_us: i64) -> BoxFuture<'a, Result<Vec<Behind>, String>> {
        self.asked.fetch_add(asked.len() as i64, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            return std::future::pending().boxed();
        }
        std::future::ready(Ok(vec![nobody(now_us); asked.len()])).boxed()
    }
}

/// A flood of attackers, a lake that does not answer and a target that accepts and says nothing: the switch is heeded at once.
#[tokio::test(flavor = "multi_thread")]
async fn letting_go_waits_for_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (waf, silent) = (Wall::new(false, wall_clock()), Wall::new(true, wall_clock()));
    silent.mute();
    let targets = vec![silent.ready("silent", &[Kind::Block]), waf.ready("waf", &[Kind::Block])];
    let lake = Arc::new(Slow::default());
    let yaml = LIVE.replace("ttl: 1h", "ttl: 1h, blocks_per_hour: 10");
    let config: RespondConfig = serde_saphyr::from_str(&yaml).expect("a valid configuration");
    let store = Store::open(&folder.path().join("state.db")).await.expect("the store opens");
    let outbox = Outbox::new(store, config, targets, &[], wall_clock(), 1).expect("an outbox").asking(lake.clone());
    let outbox = Arc::new(outbox);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(Arc::clone(&outbox).run(stopped));
    let alerts: Vec<Alert> = (0..2).map(|n| opening(&format!("al-{n}"), &apart(n), wall_us())).collect();
    tell(&outbox, &alerts, &["block"], wall_us()).await;
    until(|| waf.blocked().len() == 2).await;

    lake.hangs.store(true, Ordering::SeqCst);
    let flood: Vec<Alert> =
        (0..1_000).map(|n| opening(&format!("fl-{n}"), &format!("2001:db8:{n:x}::1"), wall_us())).collect();
    tell(&outbox, &flood, &["block"], wall_us()).await;
    until(|| lake.asked.load(Ordering::SeqCst) > 2).await;
    assert_eq!(lake.asked.load(Ordering::SeqCst), 2 + 8, "no more are looked up than there is room for");
    let halted = Halt { actor: "a.example".to_owned(), reason: "wrong".to_owned(), since_us: wall_us(), lift: true };
    let other = Store::open(&folder.path().join("state.db")).await.expect("opens");
    halt::pull(&other, &halted).await.expect("pulled");
    let pulled_us = wall_us();
    until(|| waf.blocked().is_empty()).await;
    let took_us = wall_us() - pulled_us;
    assert!(took_us < 3_000_000, "it took {took_us} us");
    stop.send(true).expect("it listens");
    running.await.expect("it stops");
}

/// More is wanted than any one transaction looks at; a person's word about the newest is heeded.
#[tokio::test]
async fn however_much_is_wanted_the_newest_is_applied_and_lifted() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(true, hands.clock());
    let yaml = LIVE.replace("ttl: 1h", "ttl: 1h, blocks_per_hour: 1000");
    let outbox = over(folder.path(), &yaml, vec![wall.ready("waf", &[Kind::Block])], hands.clock()).await;
    let alerts: Vec<Alert> = (0..450).map(|n| opening(&format!("al-{n}"), &apart(n), hands.now())).collect();
    tell(&outbox, &alerts, &["block"], hands.now()).await;
    hands.advance(1_000_000);
    let newest = opening("al-newest", "192.0.2.77", hands.now());
    tell(&outbox, &[newest], &["block"], hands.now()).await;
    settle(&outbox).await;
    assert_eq!(wall.blocked().len(), 451);
    let (id, ..) = outbox
        .blocks(1_000)
        .await
        .expect("blocks")
        .into_iter()
        .find(|(entity, ..)| entity == "192.0.2.77")
        .map(|(_, _, id, _)| (id,))
        .expect("in force");
    desk::revert(outbox.store(), &id, "a.example", "ours", hands.now()).await.expect("reverted");
    settle(&outbox).await;
    assert!(!wall.blocked().contains(&"192.0.2.77".to_owned()));
}

#[tokio::test]
async fn where_no_events_come_any_more_a_block_ends() {
    let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let wall = Wall::new(false, hands.clock());
    let outbox = over(folder.path(), LIVE, vec![wall.ready("file", &[Kind::Block])], hands.clock()).await;
    tell(&outbox, &[opening("al-1", "203.0.113.7", hands.now())], &["block"], hands.now()).await;
    for _ in 0..5 {
        outbox.heard(hands.now());
        settle(&outbox).await;
        assert_eq!(wall.blocked(), ["203.0.113.7"], "others are heard of, and the alert is open");
        hands.advance(40 * MINUTE_US);
    }
    // From here on nothing comes: not from the attacker, and from nobody whose events would close the alert.
    hands.advance(25 * MINUTE_US);
    for _ in 0..3 {
        settle(&outbox).await;
        hands.advance(MINUTE_US);
    }
    assert!(wall.blocked().is_empty(), "an hour after the last event");
    outbox.heard(hands.now());
    settle(&outbox).await;
    assert_eq!(wall.blocked(), ["203.0.113.7"], "events come, and the alert is open still");
}
