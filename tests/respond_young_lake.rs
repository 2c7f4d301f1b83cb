//! Promise: an empty place and one that nobody has looked at are two things. Where little is stored of the time before an attack,
//! a block waits for what was read to be stored, is short, and gives way to one person who was there; it never waits for ever.

#![allow(clippy::disallowed_methods, reason = "the clock of a test goes where the test says")]

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use common::alerts::{opening, steps, tell};
use common::hands::{Hands, MINUTE_US, settle};
use common::wall::Wall;
use futures::FutureExt;
use futures::future::BoxFuture;
use gatewatch::respond::action::Kind;
use gatewatch::respond::config::RespondConfig;
use gatewatch::respond::incident::look;
use gatewatch::respond::{Behind, Bystanders, Outbox, Question};
use gatewatch::store::Store;

const ATTACKER: &str = "203.0.113.7";
const S: i64 = 1_000_000;
const TTL_4H: &str =
    "{ dry_run: false, incidents: { quiet: 0s }, guard: { ttl: 4h }, delivery: { backoff_first: 1ms } }";

/// What the test says of everybody.
struct Young(Mutex<Result<Behind, String>>);

impl Young {
    fn is(&self, behind: Behind) {
        *self.0.lock().expect("whole") = Ok(behind);
    }

    fn fails(&self) {
        *self.0.lock().expect("whole") = Err("no answer".to_owned());
    }
}

impl Bystanders for Young {
    fn behind<'a>(&'a self, asked: &'a [Question], _now_us: i64) -> BoxFuture<'a, Result<Vec<Behind>, String>> {
        let behind = self.0.lock().expect("whole").clone();
        std::future::ready(behind.map(|behind| vec![behind; asked.len()])).boxed()
    }
}

struct Stage {
    hands: Hands,
    wall: Arc<Wall>,
    lake: Arc<Young>,
    outbox: Arc<Outbox>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Stage {
        let (hands, folder) = (Hands::new(), tempfile::tempdir().expect("a folder"));
        let wall = Wall::new(true, hands.clock());
        let lake = Arc::new(Young(Mutex::new(Ok(Behind::default()))));
        let outbox = over(folder.path(), wall.ready("waf", &[Kind::Block]), &hands).await;
        let outbox = Arc::new(outbox.asking(lake.clone()));
        Stage { hands, wall, lake, outbox, _folder: folder }
    }

    async fn attacked(&self) {
        let now_us = self.hands.now();
        tell(&self.outbox, &[opening("al-1", ATTACKER, now_us)], &["block"], now_us).await;
        settle(&self.outbox).await;
    }

    /// Looks again, so much later.
    async fn after(&self, us: i64) {
        self.hands.advance(us);
        settle(&self.outbox).await;
    }

    /// Why nothing is in force.
    async fn held(&self) -> Option<String> {
        let contained = look::contained(self.outbox.store(), self.hands.now()).await.expect("a list");
        contained.into_iter().next().and_then(|it| it.why_not)
    }

    async fn asked(&self) -> Option<String> {
        steps(&self.outbox).await.into_iter().find(|step| step.step == "awaiting").map(|step| step.detail)
    }
}

async fn over(folder: &Path, target: gatewatch::respond::actions::common::Ready, hands: &Hands) -> Outbox {
    let config: RespondConfig = serde_saphyr::from_str(TTL_4H).expect("a valid configuration");
    let store = Store::open(&folder.join("state.db")).await.expect("the store opens");
    Outbox::new(store, config, vec![target], &[], hands.clock(), 1).expect("an outbox")
}

#[tokio::test]
async fn an_empty_lake_is_waited_for_and_then_a_person_is_asked() {
    let stage = Stage::new().await;
    stage.attacked().await;
    for _ in 0..2 {
        assert_eq!(stage.held().await.as_deref(), Some("who else is behind it is being looked up"));
        assert_eq!((stage.wall.calls().len(), stage.asked().await), (0, None), "neither blocked nor asked");
        stage.after(10 * S).await;
    }
    stage.after(11 * S).await;
    let why = stage.asked().await.expect("a person is asked");
    assert!(why.contains("what was read before it is still not stored"), "{why}");
    assert_eq!(stage.wall.blocked(), [""; 0]);
}

#[tokio::test]
async fn a_lake_that_fails_is_asked_again_before_a_person_is() {
    let stage = Stage::new().await;
    stage.lake.fails();
    stage.attacked().await;
    stage.after(10 * S).await;
    assert_eq!((stage.wall.calls().len(), stage.asked().await), (0, None), "neither blocked nor asked");
    let now_us = stage.hands.now();
    stage.lake.is(Behind { known: Some((now_us - 120 * MINUTE_US, now_us)), ..Behind::default() });
    stage.after(2 * S).await;
    assert_eq!((stage.wall.blocked(), stage.asked().await), (vec![ATTACKER.to_owned()], None));

    let stage = Stage::new().await;
    stage.lake.fails();
    stage.attacked().await;
    stage.after(31 * S).await;
    let why = stage.asked().await.expect("a person is asked");
    assert!(why.contains("nobody knows who else is behind it: no answer"), "{why}");
}

#[tokio::test]
async fn the_next_checkpoint_lets_the_block_through_and_it_is_short() {
    let stage = Stage::new().await;
    stage.attacked().await;
    assert_eq!(stage.wall.blocked(), [""; 0]);
    let now_us = stage.hands.now();
    stage.lake.is(Behind { known: Some((now_us - 5 * MINUTE_US, now_us)), ..Behind::default() });
    stage.after(2 * S).await;
    assert_eq!(stage.wall.blocked(), [ATTACKER]);
    let ends_us = stage.outbox.blocks(10).await.expect("blocks")[0].3;
    let lasts_us = ends_us - stage.hands.now();
    assert!((14 * MINUTE_US..=15 * MINUTE_US).contains(&lasts_us), "{lasts_us}");
    // While the attack goes on it is renewed, for no longer.
    for _ in 0..3 {
        stage.after(10 * MINUTE_US).await;
        assert_eq!(stage.wall.blocked(), [ATTACKER]);
        let ends_us = stage.outbox.blocks(10).await.expect("blocks")[0].3;
        assert!(ends_us <= stage.hands.now() + 15 * MINUTE_US, "{}", ends_us - stage.hands.now());
    }
}

#[tokio::test]
async fn one_who_was_there_is_enough_to_ask_and_the_engine_may_have_seen_them() {
    let stage = Stage::new().await;
    let now_us = stage.hands.now();
    let known = Some((now_us - 5 * MINUTE_US, now_us + S));
    stage.lake.is(Behind { principals: 1, good_requests: 3, known, ..Behind::default() });
    stage.attacked().await;
    let why = stage.asked().await.expect("a person is asked");
    assert!(why.contains("1 principals of 0 tenants were there already, with 3 good requests"), "{why}");

    let stage = Stage::new().await;
    stage.lake.is(Behind { known, ..Behind::default() });
    let mut alert = opening("al-1", ATTACKER, stage.hands.now());
    alert.evidence["principals_behind"] = 40.into();
    tell(&stage.outbox, &[alert], &["block"], stage.hands.now()).await;
    settle(&stage.outbox).await;
    let why = stage.asked().await.expect("a person is asked");
    assert!(why.contains("40 principals of 0 tenants"), "{why}");
}

/// Of the day before, all but its last quarter of an hour: a lake that lags is one that knows.
#[tokio::test]
async fn where_the_day_is_known_a_lag_delays_nothing() {
    let stage = Stage::new().await;
    let now_us = stage.hands.now();
    let known = Some((now_us - 20 * 60 * MINUTE_US, now_us - 15 * MINUTE_US));
    stage.lake.is(Behind { principals: 3, good_requests: 30, known, ..Behind::default() });
    stage.attacked().await;
    assert_eq!(stage.wall.blocked(), [ATTACKER], "as many as may be behind an address");
    let ends_us = stage.outbox.blocks(10).await.expect("blocks")[0].3;
    assert!(ends_us > stage.hands.now() + 3 * 60 * MINUTE_US);
}
