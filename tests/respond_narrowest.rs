//! Promise: the narrowest way that has an effect. An address is blocked where taking the attacker's own credentials is only a dry
//! run, or fails; and it is let go when that takes effect later.

#![allow(clippy::disallowed_methods, reason = "the clock of a test goes where the test says")]

mod common;

use std::sync::Arc;

use common::alerts::{closing, opening, tell};
use common::hands::{HOUR_US, Hands, LIVE, MINUTE_US, over, settle};
use common::wall::{Fault, Wall};
use gatewatch::respond::Outbox;
use gatewatch::respond::action::Kind;
use gatewatch::respond::actions::common::{Common, Ready};
use schemas::Alert;

const ATTACKER: &str = "203.0.113.7";
const S: i64 = 1_000_000;

/// An alert about an address from which one proven principal did it all.
fn by_mallory(now_us: i64) -> Alert {
    let mut open = opening("al-1", ATTACKER, now_us);
    open.evidence = serde_json::json!({ "counted": 60, "principals": [{ "value": "mallory", "count": 60 }],
        "proven": [{ "value": "mallory", "count": 58 }] });
    open
}

struct Stage {
    hands: Hands,
    /// Of addresses.
    wall: Arc<Wall>,
    /// Of principals.
    gateway: Arc<Wall>,
    outbox: Arc<Outbox>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new(gateway_dry_run: bool) -> Stage {
        let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
        let (wall, gateway) = (Wall::new(false, hands.clock()), Wall::new(false, hands.clock()));
        let kong = gateway.ready("kong", &[Kind::Revoke]);
        let kong = Ready { common: Common { dry_run: Some(gateway_dry_run), ..kong.common }, ..kong };
        let targets = vec![wall.ready("waf", &[Kind::Block]), kong];
        let policy = LIVE.replace("dry_run: false,", "dry_run: false, policy: [{ do: [contain] }],");
        let policy = policy.replace("delivery: {", "delivery: { attempts_max: 3, breaker_failures: 1000,");
        let outbox = over(folder.path(), &policy, targets, hands.clock()).await;
        Stage { hands, wall, gateway, outbox, _folder: folder }
    }

    async fn attacked(&self) -> Alert {
        let open = by_mallory(self.hands.now());
        tell(&self.outbox, std::slice::from_ref(&open), &["block"], self.hands.now()).await;
        self.after(0).await;
        open
    }

    async fn after(&self, us: i64) {
        self.hands.advance(us);
        settle(&self.outbox).await;
        settle(&self.outbox).await;
    }

    /// Who is kept out at the wall and at the gateway.
    fn out(&self) -> (Vec<String>, Vec<String>) {
        (self.wall.blocked(), self.gateway.blocked())
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn where_the_narrow_way_works_the_address_is_left_alone() {
    let stage = Stage::new(false).await;
    let open = stage.attacked().await;
    assert_eq!(stage.out(), (names(&[]), names(&["mallory"])));
    for _ in 0..4 {
        stage.after(30 * MINUTE_US).await;
        assert_eq!(stage.out(), (names(&[]), names(&["mallory"])), "renewed, and no wider");
    }
    assert!(stage.wall.calls().is_empty(), "{:?}", stage.wall.calls());
    tell(&stage.outbox, &[closing(&open)], &["block"], stage.hands.now()).await;
    stage.after(2 * HOUR_US).await;
    stage.after(S).await;
    assert_eq!(stage.out(), (names(&[]), names(&[])), "it ends, and nothing wider takes its place");
}

/// What gave way is not begun when that to which it gave way ends: by then the attack is long over.
#[tokio::test]
async fn an_attack_that_ends_behind_the_narrow_way_leaves_nothing_to_come_back_to() {
    let stage = Stage::new(false).await;
    let open = stage.attacked().await;
    stage.after(55 * MINUTE_US).await;
    let more = Alert { revision: 1, observed: 120.0, updated: by_mallory(stage.hands.now()).updated, ..open };
    tell(&stage.outbox, std::slice::from_ref(&more), &["block"], stage.hands.now()).await;
    stage.after(S).await;
    let closed = Alert { revision: 2, ..closing(&more) };
    tell(&stage.outbox, &[closed], &["block"], stage.hands.now()).await;
    for _ in 0..18 {
        stage.after(10 * MINUTE_US).await;
        assert!(stage.wall.calls().is_empty(), "{:?}", stage.wall.calls());
    }
    assert_eq!(stage.out(), (names(&[]), names(&[])));
}

#[tokio::test]
async fn a_dry_run_of_the_narrow_way_keeps_nobody_out() {
    let stage = Stage::new(true).await;
    stage.attacked().await;
    assert_eq!(stage.out(), (names(&[ATTACKER]), names(&[])));
}

#[tokio::test]
async fn where_the_narrow_way_fails_the_wider_follows_until_it_takes_effect() {
    let stage = Stage::new(false).await;
    stage.gateway.otherwise(Some(Fault::Busy));
    stage.attacked().await;
    stage.after(S).await;
    assert_eq!(stage.out(), (names(&[ATTACKER]), names(&[])), "the address, meanwhile");
    stage.gateway.otherwise(None);
    let parked = stage.outbox.parked(None, 10).await.expect("parked");
    assert_eq!(parked.len(), 1, "it was given up on");
    stage.outbox.release(&parked[0], "a.example").await.expect("released");
    stage.after(S).await;
    stage.after(S).await;
    assert_eq!(stage.out(), (names(&[]), names(&["mallory"])), "and back");
}

#[tokio::test]
async fn a_refused_narrow_way_is_none() {
    let stage = Stage::new(false).await;
    stage.gateway.otherwise(Some(Fault::Refused));
    stage.attacked().await;
    stage.after(2 * S).await;
    assert_eq!(stage.out().0, names(&[ATTACKER]));
}
