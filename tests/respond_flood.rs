//! Promise: a flood of alerts is bounded and prioritised. However often the alerts of an attacker are updated, the first word and
//! the newest one wait for a target and no others; what is urgent and comes last is delivered first; nothing that was
//! overtaken vanishes without a step that says so. `examples/alert_flood.rs` measures it.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::alerts::{closing, opening, steps, tell};
use common::wall::Wall;
use common::{wall_clock, wall_us};
use gatewatch::respond::Outbox;
use gatewatch::respond::action::Kind;
use gatewatch::respond::config::RespondConfig;
use gatewatch::store::Store;
use schemas::Alert;
use schemas::alert::{Severity, State};

const ATTACKERS: usize = 100;
const UPDATES: u32 = 10;
const CONFIG: &str = "{ dry_run: false, tell: [open, updated, closed], incidents: { quiet: 0s, digest_after: 0 }, \
                      delivery: { concurrency: 1, backoff_first: 1ms, backoff_max: 5ms } }";

fn address(n: usize) -> String {
    format!("2001:db8:{n:x}::7")
}

fn updated(open: &Alert, revision: u32) -> Alert {
    Alert { state: State::Updated, revision, events: 60 + u64::from(revision), ..open.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_waits_as_one_word_for_each_alert_and_holds_up_nothing_urgent() {
    let folder = tempfile::tempdir().expect("a folder");
    let wall = Wall::new(false, wall_clock());
    let config: RespondConfig = serde_saphyr::from_str(CONFIG).expect("a valid configuration");
    let store = Store::open(&folder.path().join("state.db")).await.expect("the store opens");
    let targets = vec![wall.ready("soar", &[Kind::Notify, Kind::Page, Kind::Block])];
    let outbox = Arc::new(Outbox::new(store, config, targets, &[], wall_clock(), 1).expect("an outbox"));
    let opened: Vec<Alert> = (0..ATTACKERS).map(|n| opening(&format!("al-{n}"), &address(n), wall_us())).collect();
    tell(&outbox, &opened, &["notify"], wall_us()).await;
    for revision in 1..=UPDATES {
        let updates: Vec<Alert> = opened.iter().map(|open| updated(open, revision)).collect();
        tell(&outbox, &updates, &["notify"], wall_us()).await;
    }
    let waiting = async || {
        let counts = outbox.counts().await.expect("counts");
        counts.iter().filter(|count| count.state == "pending").map(|count| count.actions).sum::<u64>()
    };
    assert_eq!(waiting().await, 2 * ATTACKERS as u64, "the first word and the newest");

    let urgent = Alert { severity: Severity::Critical, ..opening("al-last", "203.0.113.7", wall_us()) };
    tell(&outbox, &[urgent], &["page", "block"], wall_us()).await;
    assert_eq!(outbox.drain(Duration::from_secs(60)).await.expect("drains"), 0);
    let calls = wall.calls();
    assert_eq!(calls.len(), 2 * ATTACKERS + 2);
    let first: Vec<&str> = calls[..2].iter().map(|(_, entity)| entity.as_str()).collect();
    assert_eq!(first, ["203.0.113.7", "203.0.113.7"], "the block and the page that came last");

    let steps = steps(&outbox).await;
    let of = |name: &str| steps.iter().filter(|step| step.step == name).count();
    let overtaken = ATTACKERS * (UPDATES as usize - 1);
    assert_eq!((of("cancelled"), of("delivered")), (overtaken, 2 * ATTACKERS + 2));
    // What was delivered of the first attacker is how it began and how it stood at the end.
    let told: Vec<&str> = steps
        .iter()
        .filter(|step| step.entity_value == address(0) && step.step == "delivered")
        .map(|step| step.action_id.as_str())
        .collect();
    let planned: Vec<&str> = steps
        .iter()
        .filter(|step| step.entity_value == address(0) && step.step == "planned")
        .map(|step| step.action_id.as_str())
        .collect();
    assert_eq!(told, [planned[0], planned[UPDATES as usize]]);

    // The end is never overtaken, nor does it overtake.
    let newest: Vec<Alert> = opened.iter().take(3).map(|open| updated(open, UPDATES + 1)).collect();
    let over: Vec<Alert> = newest.iter().map(|open| Alert { revision: UPDATES + 2, ..closing(open) }).collect();
    tell(&outbox, &newest, &["notify"], wall_us()).await;
    tell(&outbox, &over, &["notify"], wall_us()).await;
    assert_eq!(waiting().await, 6);
    assert_eq!(outbox.drain(Duration::from_secs(60)).await.expect("drains"), 0);
}
