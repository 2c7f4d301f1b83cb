//! Promise: whoever moves through the networks of one /56 or /48 is met by the range, narrowest first, and uses up neither the
//! list nor the budget; never where the range holds a protected address or somebody good, and no longer than needed.

mod common;

use std::path::Path;
use std::sync::Arc;

use common::alerts::{closing, opening, step_names, steps, tell};
use common::hands::{HOUR_US, Hands, LIVE, MINUTE_US, nobody, over, settle};
use common::wall::Wall;
use futures::FutureExt;
use futures::future::BoxFuture;
use gatewatch::respond::action::Kind;
use gatewatch::respond::config::RespondConfig;
use gatewatch::respond::halt::{self, Never};
use gatewatch::respond::incident::{desk, look};
use gatewatch::respond::scope::Scope;
use gatewatch::respond::{Behind, Bystanders, Outbox, Question};
use gatewatch::store::Store;
use schemas::Alert;
use schemas::alert::State;

/// So many of one range are blocked one by one.
const MOST: usize = 8;
/// `2001:db8:7:LAST::1`, in a network of its own.
fn neighbour(last: usize, now_us: i64) -> Alert {
    opening(&format!("al-{last:x}"), &format!("2001:db8:7:{last:x}::1"), now_us)
}

/// Of sites apart from each other: each in a /56 of its own.
fn apart(n: usize, now_us: i64) -> Alert {
    neighbour((n + 1) * 0x100, now_us)
}

fn parts(lasts: impl Iterator<Item = usize>) -> Vec<String> {
    let name = |last| match last {
        0 => "2001:db8:7::/64".to_owned(),
        last => format!("2001:db8:7:{last:x}::/64"),
    };
    let mut names: Vec<String> = lasts.map(name).collect();
    names.sort();
    names
}

struct Stage {
    hands: Hands,
    wall: Arc<Wall>,
    outbox: Arc<Outbox>,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// With a list whose entries stay until they are taken out.
    async fn new() -> Stage {
        let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
        let wall = Wall::new(false, hands.clock());
        let outbox = over(folder.path(), LIVE, vec![wall.ready("waf", &[Kind::Block])], hands.clock()).await;
        Stage { hands, wall, outbox, _folder: folder }
    }

    async fn tell(&self, alerts: &[Alert]) {
        tell(&self.outbox, alerts, &["block"], self.hands.now()).await;
        settle(&self.outbox).await;
        settle(&self.outbox).await;
    }
}

#[tokio::test]
async fn many_networks_of_one_range_are_one_block() {
    let stage = Stage::new().await;
    let now_us = stage.hands.now();
    // More than the budget of 20 has room for, and one far away.
    let mut alerts: Vec<Alert> = (0..30).map(|n| apart(n, now_us)).collect();
    alerts.push(opening("al-far", "2001:db8:9::1", now_us));
    stage.tell(&alerts).await;
    assert_eq!(stage.wall.blocked(), ["2001:db8:7::/48", "2001:db8:9::/64"]);
    assert_eq!(stage.wall.calls().len(), 2, "{:?}", stage.wall.calls());
    let contained = look::contained(stage.outbox.store(), stage.hands.now()).await.expect("a list");
    let part = contained.iter().find(|it| it.entity_value == "2001:db8:7:100::/64").expect("it is wanted");
    assert_eq!(part.why_not.as_deref(), Some("kept out as part of 2001:db8:7::/48"));
    // It is renewed as one, too.
    stage.hands.advance(40 * MINUTE_US);
    settle(&stage.outbox).await;
    assert_eq!(stage.wall.calls().len(), 4, "{:?}", stage.wall.calls());
}

#[tokio::test]
async fn the_narrowest_range_that_holds_them_is_taken_when_one_too_many_comes() {
    let stage = Stage::new().await;
    let now_us = stage.hands.now();
    let all: Vec<Alert> = (0..=MOST).map(|n| neighbour(n, now_us)).collect();
    stage.tell(&all[..MOST]).await;
    assert_eq!(stage.wall.blocked(), parts(0..MOST), "so many are blocked one by one");
    stage.tell(&all[MOST..]).await;
    assert_eq!(stage.wall.blocked(), ["2001:db8:7::/56"], "its parts are undone when it is in force");
    // Others of the /48, each in a site of its own: that site is one of them.
    let others: Vec<Alert> = (0..MOST - 1).map(|n| apart(n, now_us)).collect();
    stage.tell(&others).await;
    let mut expected = parts((1..MOST).map(|n| n * 0x100));
    expected.push("2001:db8:7::/56".to_owned());
    expected.sort();
    assert_eq!(stage.wall.blocked(), expected);
    stage.tell(&[apart(MOST - 1, now_us), apart(MOST, now_us)]).await;
    assert_eq!(stage.wall.blocked(), ["2001:db8:7::/48"]);
}

#[tokio::test]
async fn who_comes_back_next_door_meets_the_range() {
    let stage = Stage::new().await;
    for n in 0..MOST {
        let alert = neighbour(n, stage.hands.now());
        stage.tell(std::slice::from_ref(&alert)).await;
        stage.tell(&[closing(&alert)]).await;
        stage.hands.advance(2 * HOUR_US);
        stage.tell(&[]).await;
        assert!(stage.wall.blocked().is_empty(), "{:?}", stage.wall.blocked());
    }
    let last = neighbour(MOST, stage.hands.now());
    stage.tell(std::slice::from_ref(&last)).await;
    assert_eq!(stage.wall.blocked(), ["2001:db8:7::/56"], "the ninth within a day");
    stage.tell(&[closing(&last)]).await;
    for _ in 0..3 {
        stage.hands.advance(2 * HOUR_US);
        stage.tell(&[]).await;
    }
    assert!(stage.wall.blocked().is_empty(), "the range ends with the attack");
}

#[tokio::test]
async fn a_protected_address_keeps_the_range_from_being_blocked() {
    let stage = Stage::new().await;
    let never = Never {
        entity: String::new(),
        owner: "a.example".to_owned(),
        reason: "our partner".to_owned(),
        created_us: stage.hands.now(),
        expires_us: None,
    };
    let all: Vec<Alert> = (0..=MOST).map(|n| neighbour(n, stage.hands.now())).collect();
    stage.tell(&all).await;
    assert_eq!(stage.wall.blocked(), ["2001:db8:7::/56"]);
    let partner = Scope::parse("2001:db8:7:ff::1").expect("an address");
    halt::protect(stage.outbox.store(), partner, &never).await.expect("protected");
    stage.tell(&[]).await;
    stage.tell(&[]).await;
    assert_eq!(stage.wall.blocked(), parts(0..=MOST), "the range is let go, and its parts are what is blocked");
    let told = steps(&stage.outbox).await;
    let refused: Vec<&str> =
        told.iter().filter(|step| step.step == "suppressed").map(|step| step.detail.as_str()).collect();
    assert_eq!(refused, ["2001:db8:7::/56 is on the never-block list (2001:db8:7:ff::1)"], "told once");
}

/// Behind which ranges somebody good was, or that it cannot be known.
struct Good(Result<&'static str, String>);

impl Bystanders for Good {
    fn behind<'a>(&'a self, asked: &'a [Question], now_us: i64) -> BoxFuture<'a, Result<Vec<Behind>, String>> {
        let found = self.0.clone().map(|good| {
            let good = Scope::parse(good).expect("an address");
            let behind = |question: &Question| match question.scope.contains(&good) {
                true => Behind { principals: 1, tenants: 1, good_requests: 12, ..nobody(now_us) },
                false => nobody(now_us),
            };
            asked.iter().map(behind).collect()
        });
        // Of a single network it can be said.
        let is_wide = asked.iter().any(|question| question.scope.net().prefix_len() < 64);
        let found = if is_wide { found } else { found.or_else(|_| Ok(vec![nobody(now_us); asked.len()])) };
        std::future::ready(found).boxed()
    }
}

async fn beside(folder: &Path, hands: &Hands, wall: &Arc<Wall>, good: Good) -> Arc<Outbox> {
    let config: RespondConfig = serde_saphyr::from_str(LIVE).expect("a valid configuration");
    let store = Store::open(&folder.join("state.db")).await.expect("the store opens");
    let targets = vec![wall.ready("waf", &[Kind::Block])];
    Arc::new(Outbox::new(store, config, targets, &[], hands.clock(), 1).expect("an outbox").asking(Arc::new(good)))
}

#[tokio::test]
async fn one_good_principal_in_the_range_keeps_it_from_being_blocked() {
    // Three principals may be behind one network; behind a range nobody may.
    for (good, expected) in [
        ("2001:db8:7:fe::1", parts(0..=MOST)),
        ("2001:db8:7:100::1", vec!["2001:db8:7::/56".to_owned()]),
        ("2001:db8:8::1", vec!["2001:db8:7::/56".to_owned()]),
    ] {
        let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
        let wall = Wall::new(false, hands.clock());
        let outbox = beside(folder.path(), &hands, &wall, Good(Ok(good))).await;
        let all: Vec<Alert> = (0..=MOST).map(|n| neighbour(n, hands.now())).collect();
        tell(&outbox, &all, &["block"], hands.now()).await;
        settle(&outbox).await;
        settle(&outbox).await;
        assert_eq!(wall.blocked(), expected, "{good}");
        assert!(!step_names(&outbox).await.contains(&"awaiting".to_owned()), "nobody is asked about a range");
    }
}

#[tokio::test]
async fn a_person_who_lets_one_go_lets_the_range_go() {
    let stage = Stage::new().await;
    let all: Vec<Alert> = (0..=MOST + 1).map(|n| neighbour(n, stage.hands.now())).collect();
    stage.tell(&all[..MOST]).await;
    let steps = steps(&stage.outbox).await;
    let third = "2001:db8:7:3::/64";
    let of_third = steps.iter().find(|step| step.entity_value == third).expect("it was blocked").action_id.clone();
    let store = stage.outbox.store();
    desk::revert(store, &of_third, "a.example", "a customer", stage.hands.now()).await.expect("taken back");
    stage.tell(&all[MOST..]).await;
    let mut expected = parts((0..=MOST + 1).filter(|n| *n != 3));
    expected.sort();
    assert_eq!(stage.wall.blocked(), expected, "the range would hold whom a person let go");
}

#[tokio::test]
async fn when_most_have_gone_those_that_are_left_are_blocked_one_by_one() {
    let stage = Stage::new().await;
    let all: Vec<Alert> = (0..=MOST).map(|n| neighbour(n, stage.hands.now())).collect();
    stage.tell(&all).await;
    assert_eq!(stage.wall.blocked(), ["2001:db8:7::/56"]);
    let over: Vec<Alert> = all[2..].iter().map(closing).collect();
    stage.tell(&over).await;
    for hour in 1..=28 {
        stage.hands.advance(HOUR_US / 2);
        settle(&stage.outbox).await;
        stage.hands.advance(HOUR_US / 2);
        let goes_on = |open: &Alert| Alert {
            state: State::Updated,
            revision: hour,
            updated: opening("al", "192.0.2.1", stage.hands.now()).updated,
            ..open.clone()
        };
        stage.tell(&[goes_on(&all[0]), goes_on(&all[1])]).await;
        if hour == 20 {
            assert_eq!(stage.wall.blocked(), ["2001:db8:7::/56"], "for a day the others count as neighbours");
        }
    }
    assert_eq!(stage.wall.blocked(), parts(0..2), "the attack of two goes on");
}

#[tokio::test]
async fn a_range_that_an_alert_is_about_is_blocked_as_one_client_is() {
    let wide = |now_us| opening("al-wide", "2001:db8:7::/48", now_us);
    let stage = Stage::new().await;
    stage.tell(&[wide(stage.hands.now())]).await;
    for _ in 0..3 {
        assert_eq!(stage.wall.blocked(), ["2001:db8:7::/48"], "as long as the attack lasts");
        stage.hands.advance(40 * MINUTE_US);
        settle(&stage.outbox).await;
    }
    stage.tell(&[closing(&wide(stage.hands.now()))]).await;
    stage.hands.advance(2 * HOUR_US);
    settle(&stage.outbox).await;
    assert!(stage.wall.blocked().is_empty());

    // As many may be behind it as behind one client; and where nobody knows, a person is asked.
    for (good, expected, asks) in [
        (Good(Ok("2001:db8:7:fe::1")), vec!["2001:db8:7::/48".to_owned()], false),
        (Good(Err("no answer".to_owned())), Vec::new(), true),
    ] {
        let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
        let wall = Wall::new(false, hands.clock());
        let outbox = beside(folder.path(), &hands, &wall, good).await;
        tell(&outbox, &[wide(hands.now())], &["block"], hands.now()).await;
        settle(&outbox).await;
        // It is tried again for half a minute.
        hands.advance(MINUTE_US);
        settle(&outbox).await;
        settle(&outbox).await;
        assert_eq!(wall.blocked(), expected);
        assert_eq!(step_names(&outbox).await.contains(&"awaiting".to_owned()), asks);
    }
}

#[tokio::test]
async fn a_network_is_blocked_until_the_last_alert_about_it_is_closed() {
    let stage = Stage::new().await;
    let alert = |id: &str, detector: &str| Alert {
        detector: detector.to_owned(),
        ..opening(id, "2001:db8:7:1::/64", stage.hands.now())
    };
    let (first, second) = (alert("al-1", "burst"), alert("al-2", "sweep"));
    stage.tell(&[first.clone(), second.clone()]).await;
    stage.tell(&[closing(&second)]).await;
    stage.hands.advance(40 * MINUTE_US);
    settle(&stage.outbox).await;
    stage.hands.advance(40 * MINUTE_US);
    settle(&stage.outbox).await;
    assert_eq!(stage.wall.blocked(), ["2001:db8:7:1::/64"], "the other attack goes on");
    stage.tell(&[closing(&first)]).await;
    stage.hands.advance(2 * HOUR_US);
    settle(&stage.outbox).await;
    assert!(stage.wall.blocked().is_empty());
}
