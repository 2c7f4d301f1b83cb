//! A clock that is set back keeps nobody out for longer, fills no budget and starves no loop.

use super::{HOUR_US, MINUTE_US, Trial, alert, closing};
use crate::respond::action::Kind;

const BLOCKS: &[Kind] = &[Kind::Block];
const YEAR_US: i64 = 365 * 24 * HOUR_US;

#[tokio::test]
async fn offenders_of_a_time_to_come_use_up_no_budget() {
    let trial = Trial::new("guard: { ttl: 1h, blocks_per_hour: 1, critical_reserve: 0 }", false, BLOCKS).await;
    let first = alert("al-1", "203.0.113.7");
    trial.tell(&first, &["block"]).await;
    trial.settle().await;
    trial.advance(-YEAR_US);
    trial.tell(&alert("al-2", "198.51.100.8"), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), ["198.51.100.8", "203.0.113.7"]);
}

#[tokio::test]
async fn a_block_that_is_dated_ahead_lasts_no_longer_than_meant() {
    let trial = Trial::new("guard: { ttl: 1h }", false, BLOCKS).await;
    let open = alert("al-1", "203.0.113.7");
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    trial.advance(-YEAR_US);
    for _ in 0..3 {
        trial.settle().await;
        trial.advance(MINUTE_US);
    }
    assert_eq!(trial.board.entities(), ["203.0.113.7"]);
    assert_eq!(trial.board.calls().len(), 2, "one new end, and not one in each pass");
    trial.tell(&closing(&open), &["block"]).await;
    trial.advance(HOUR_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn one_that_ends_and_is_dated_ahead_is_undone() {
    let trial = Trial::new("guard: { ttl: 1h }", false, BLOCKS).await;
    let open = alert("al-1", "203.0.113.7");
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    trial.tell(&closing(&open), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), ["203.0.113.7"], "it lasts to its end");
    trial.advance(-YEAR_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn the_control_loop_does_not_wait_for_a_time_to_come() {
    let trial = Trial::new("", false, BLOCKS).await;
    let (mut next_us, mut rails) = (i64::MIN, true);
    trial.outbox.beat(&mut next_us, &mut rails).await.expect("a beat");
    next_us = trial.now() + YEAR_US;
    trial.outbox.beat(&mut next_us, &mut rails).await.expect("a beat");
    assert!(next_us <= trial.now() + MINUTE_US, "{next_us}");
}
