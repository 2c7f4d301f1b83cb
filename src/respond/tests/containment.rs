//! Who is contained is let go in time, whatever became of the attempts; and what is let go stays so.

use std::sync::Arc;

use schemas::alert::State as AlertState;
use schemas::incident::Verdict;

use super::{Board, Fault, HOUR_US, MINUTE_US, SOMEBODY, Trial, alert, closing, ready};
use crate::respond::action::{Kind, Op};
use crate::respond::halt::{self, Halt};
use crate::respond::incident::{desk, look};
use crate::respond::orphans::Left;
use crate::respond::wanted::{self, Stand};

const BLOCKS: &[Kind] = &[Kind::Block];
const ONE_ATTEMPT: &str = "guard: { ttl: 1h }, delivery: { attempts_max: 1 }";
const HOURLY: &str = "guard: { ttl: 1h }";
/// An id as this copy of the service makes them.
const OURS: &str = "000000000000000000000001e5bff1a5";
const ATTACKER: &str = "203.0.113.7";

#[tokio::test]
async fn what_an_attempt_may_have_left_is_undone_at_its_end() {
    // Waiting for its next attempt, or given up on.
    for (config, state) in [(HOURLY, "pending"), (ONE_ATTEMPT, "parked")] {
        let trial = Trial::new(config, false, BLOCKS).await;
        let open = alert("al-1", ATTACKER);
        trial.board.fault(Fault::Lost);
        trial.tell(&open, &["block"]).await;
        trial.settle().await;
        assert_eq!((trial.board.entities(), trial.in_state(state).await.len()), (vec![ATTACKER.to_owned()], 1));
        trial.tell(&closing(&open), &["block"]).await;
        trial.advance(HOUR_US + MINUTE_US);
        trial.settle().await;
        assert_eq!(trial.board.entities(), [""; 0], "{state}");
        assert_eq!(trial.in_state("expired").await.len(), 1, "{state}");
    }
}

#[tokio::test]
async fn what_ends_by_itself_is_not_undone_at_its_end() {
    let trial = Trial::new(ONE_ATTEMPT, true, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.board.fault(Fault::Lost);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    trial.tell(&closing(&open), &["block"]).await;
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!((trial.board.calls(), trial.in_state("expired").await.len()), (vec![Op::Apply], 1));
}

#[tokio::test]
async fn an_effect_that_comes_after_its_undoing_is_undone_again() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.board.fault(Fault::Busy);
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    let id = trial.in_state("pending").await.remove(0);
    desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
    trial.settle().await;
    assert_eq!(trial.board.calls(), [Op::Apply, Op::Revert]);
    trial.board.put(ATTACKER, &id);
    trial.outbox.reconcile().await.expect("read back");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn what_a_restored_store_does_not_know_is_taken_up_and_ends() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let end_us = trial.now() + HOUR_US;
    trial.board.ends_at(end_us);
    trial.board.put(ATTACKER, OURS);
    trial.board.put("203.0.113.99", SOMEBODY);
    trial.outbox.reconcile().await.expect("read back");
    trial.outbox.reconcile().await.expect("read back again");
    assert_eq!(trial.in_state("delivered").await, [OURS]);
    let in_force = trial.outbox.queue.blocks(10).await.expect("blocks");
    let told: Vec<_> = in_force.iter().map(|(entity, _, _, ends_us)| (entity.as_str(), *ends_us)).collect();
    assert_eq!(told, [(ATTACKER, end_us)]);
    // Whoever is told of again is out already.
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.calls(), [Op::Apply; 0]);
    trial.tell(&closing(&alert("al-1", ATTACKER)), &[]).await;
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!((trial.board.calls(), trial.board.entities()), (vec![Op::Revert], vec!["203.0.113.99".to_owned()]));
    assert_eq!(trial.in_state("reverted").await, [OURS]);
}

#[tokio::test]
async fn what_an_attempt_may_have_left_is_said_while_everything_is_halted() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.board.fault(Fault::Lost);
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    let id = trial.in_state("pending").await.remove(0);
    let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift: false };
    halt::pull(trial.outbox.store(), &halted).await.expect("pulled");
    let contained = look::contained(trial.outbox.store(), trial.now()).await.expect("read");
    let why = format!("halted by noor: a test; perhaps in force at board, no attempt was answered yet: action {id}");
    assert_eq!(contained.first().and_then(|it| it.why_not.clone()), Some(why));
}

#[tokio::test]
async fn what_is_in_force_and_known_as_never_sent_is_taken_up() {
    // Restored from a backup of before somebody agreed.
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.outbox.pass(true).await.expect("a pass");
    let id = trial.in_state("pending").await.remove(0);
    let sql = "UPDATE outbox SET state = 'awaiting'";
    sqlx::query(sql).execute(trial.outbox.store.pool()).await.expect("put back");
    trial.board.ends_at(trial.now() + HOUR_US);
    trial.board.put(ATTACKER, &id);
    trial.outbox.reconcile().await.expect("read back");
    assert_eq!(trial.in_state("delivered").await, [id.as_str()]);
    let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift: true };
    halt::pull(trial.outbox.store(), &halted).await.expect("pulled");
    trial.settle().await;
    assert_eq!((trial.board.calls(), trial.board.entities()), (vec![Op::Revert], Vec::<String>::new()));
}

#[tokio::test]
async fn what_another_copy_of_the_service_keeps_out_is_left_to_it() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.board.put(ATTACKER, "00000000000000000000000000000001");
    trial.outbox.reconcile().await.expect("read back");
    assert_eq!(trial.in_state("delivered").await, [""; 0]);
    assert_eq!(trial.board.entities(), [ATTACKER]);
}

#[tokio::test]
async fn what_was_taken_up_is_let_go_at_every_target() {
    let trial = Trial::new("", false, BLOCKS).await;
    let (waf, edge) = (Arc::new(Board::default()), Arc::new(Board::default()));
    let trial = trial.restarted(vec![ready("waf", &waf, BLOCKS), ready("edge", &edge, BLOCKS)]).await;
    waf.put(ATTACKER, OURS);
    edge.put(ATTACKER, "000000000000000000000002e5bff1a5");
    trial.outbox.reconcile().await.expect("read back");
    desk::revert(trial.outbox.store(), OURS, "noor", "a customer", trial.now()).await.expect("taken back");
    let contained = look::contained(trial.outbox.store(), trial.now()).await.expect("read");
    let told: Vec<_> =
        contained.iter().map(|it| (it.entity_value.as_str(), it.in_force.len(), it.why_not.is_some())).collect();
    assert_eq!(told, [(ATTACKER, 0, true)], "it is said that it is being undone");
    trial.settle().await;
    assert_eq!((waf.entities(), edge.entities()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn who_could_not_be_let_go_is_shown_while_everything_is_halted() {
    let trial = Trial::new("guard: { ttl: 1h }", false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    trial.board.fault(Fault::Refused);
    let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift: true };
    halt::pull(trial.outbox.store(), &halted).await.expect("pulled");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER], "the target refused to let him go");
    let id = trial.in_state("parked").await.remove(0);
    let why = format!("halted by noor: a test; could not be undone at board, is tried again: action {id}");
    let contained = look::contained(trial.outbox.store(), trial.now()).await.expect("read");
    let shown: Vec<_> = contained.iter().map(|one| (one.entity_value.as_str(), one.why_not.as_deref())).collect();
    assert_eq!(shown, [(ATTACKER, Some(why.as_str()))]);
}

#[tokio::test]
async fn what_an_attempt_may_have_left_ends_in_time_while_everything_is_halted() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.board.fault(Fault::Lost);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift: false };
    halt::pull(trial.outbox.store(), &halted).await.expect("pulled");
    trial.tell(&closing(&open), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!((trial.board.calls(), trial.board.entities()), (vec![Op::Apply, Op::Revert], Vec::<String>::new()));
}

#[tokio::test]
async fn whose_time_is_not_over_is_kept_out_again_after_the_halt() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    // Whoever is kept out attacks no more.
    trial.tell(&closing(&open), &["block"]).await;
    trial.settle().await;
    let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift: true };
    halt::pull(trial.outbox.store(), &halted).await.expect("pulled");
    trial.advance(MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    let contained = look::contained(trial.outbox.store(), trial.now()).await.expect("read");
    let why = contained.first().and_then(|it| it.why_not.clone());
    assert_eq!(why.as_deref(), Some("halted by noor: a test"));
    halt::release(trial.outbox.store(), "noor", trial.now()).await.expect("released");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    trial.advance(HOUR_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn what_is_being_undone_went_by_us() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    let id = trial.in_state("delivered").await.remove(0);
    trial.board.fault(Fault::Lost);
    desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0], "its answer got lost");
    trial.outbox.reconcile().await.expect("read back");
    trial.advance(HOUR_US / 2);
    trial.settle().await;
    assert_eq!(trial.in_state("reverted").await, [id]);
}

#[tokio::test]
async fn what_is_taken_up_obeys_the_rails() {
    let trial = Trial::new("guard: { never_block: [203.0.113.0/24] }", true, BLOCKS).await;
    trial.board.put("203.0.113.7", OURS);
    trial.outbox.reconcile().await.expect("read back");
    trial.settle().await;
    assert_eq!((trial.board.calls(), trial.board.entities()), (vec![Op::Revert], Vec::<String>::new()));
}

#[tokio::test]
async fn a_halt_keeps_nobody_out_for_longer() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    // Its renewal waits when the switch is pulled.
    trial.advance(40 * MINUTE_US);
    trial.board.fault(Fault::Busy);
    trial.settle().await;
    assert_eq!(trial.in_state("pending").await.len(), 1);
    let halt = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift: false };
    halt::pull(trial.outbox.store(), &halt).await.expect("pulled");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER], "it lasts to its end");
    trial.advance(HOUR_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    halt::release(trial.outbox.store(), "noor", trial.now()).await.expect("released");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER], "the attack goes on");
}

#[tokio::test]
async fn a_block_is_renewed_for_as_long_as_the_attack_is_open() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    for _ in 0..40 {
        trial.settle().await;
        assert_eq!(trial.board.entities(), [ATTACKER], "after {} h", (trial.now() - super::START_US) / HOUR_US);
        trial.advance(40 * MINUTE_US);
    }
    assert!(trial.board.calls().iter().all(|op| *op == Op::Apply), "without a gap: {:?}", trial.board.calls());
}

#[tokio::test]
async fn an_attack_that_goes_on_is_kept_out_though_somebody_has_judged_it() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    let incident = desk::alert(trial.outbox.store(), "al-1").await.expect("read").expect("known").1;
    let close = desk::Deed::Close(Verdict::True, "customer told".to_owned());
    desk::act(trial.outbox.store(), &incident, &close, "noor", trial.now()).await.expect("closed");
    for _ in 0..5 {
        trial.settle().await;
        assert_eq!(trial.board.entities(), [ATTACKER]);
        trial.advance(40 * MINUTE_US);
    }
    trial.tell(&closing(&open), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER], "to the end");
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn a_part_that_goes_its_own_way_keeps_nobody_out_for_ever() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let lead = alert("al-1", ATTACKER);
    let part =
        schemas::Alert { part_of: Some("al-1".to_owned()), detector: "other".to_owned(), ..alert("al-2", ATTACKER) };
    trial.tell(&lead, &["block"]).await;
    trial.tell(&part, &[]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    let incident = desk::alert(trial.outbox.store(), "al-1").await.expect("read").expect("known").1;
    let close = desk::Deed::Close(Verdict::True, "customer told".to_owned());
    desk::act(trial.outbox.store(), &incident, &close, "noor", trial.now()).await.expect("closed");
    trial.settle().await;
    trial.tell(&closing(&lead), &["block"]).await;
    let alone = schemas::Alert { part_of: None, revision: 1, state: AlertState::Updated, ..part };
    trial.tell(&alone, &[]).await;
    trial.settle().await;
    trial.tell(&closing(&alone), &[]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER], "to the end");
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn what_was_over_and_stands_there_again_is_undone_however_late() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    let id = trial.in_state("delivered").await.remove(0);
    desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
    trial.settle().await;
    trial.advance(30 * HOUR_US);
    trial.board.put(ATTACKER, &id);
    trial.outbox.reconcile().await.expect("read back");
    trial.settle().await;
    assert_eq!((trial.board.entities(), trial.board.calls().len()), (vec![], 3));
    // What another copy keeps out is no concern of ours, though we once did.
    trial.board.put(ATTACKER, "00000000000000000000000000000001");
    for _ in 0..3 {
        trial.outbox.reconcile().await.expect("read back");
        trial.settle().await;
    }
    assert_eq!((trial.board.entities(), trial.board.calls().len()), (vec![ATTACKER.to_owned()], 3));
}

#[tokio::test]
async fn a_store_that_is_lost_gives_no_id_a_second_time() {
    let mut ids = Vec::new();
    for life in 0..2 {
        let trial = Trial::new(HOURLY, false, BLOCKS).await;
        trial.advance(life * 7 * MINUTE_US);
        trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
        trial.settle().await;
        ids.extend(trial.in_state("delivered").await);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_detector_on_trial_leaves_alone_what_a_person_let_go() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    let id = trial.in_state("delivered").await.remove(0);
    desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
    let on_trial = schemas::Alert { dry_run: true, detector: "trial".to_owned(), ..alert("al-2", ATTACKER) };
    trial.tell(&on_trial, &["block"]).await;
    let mut tx = trial.outbox.queue.begin().await.expect("begins");
    let rows = wanted::all(&mut tx, 10).await.expect("rows");
    drop(tx);
    assert_eq!(rows.iter().map(|row| (row.stand, row.dry_run)).collect::<Vec<_>>(), [(Stand::Lift, false)]);
    trial.settle().await;
    trial.tell(&schemas::Alert { revision: 1, ..open }, &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn an_offence_is_what_a_target_took_and_counts_once() {
    let offences = async |trial: &Trial| {
        let sql = "SELECT count(*) FROM offences WHERE entity = 'block:203.0.113.7'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(trial.outbox.store().pool()).await.expect("a number")
    };
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let other = Arc::new(Board::default());
    let both = vec![ready("board", &trial.board, BLOCKS), ready("other", &other, BLOCKS)];
    let trial = trial.restarted(both).await;
    trial.board.fault(Fault::Refused);
    trial.board.fault(Fault::Refused);
    let open = alert("al-1", ATTACKER);
    other.fault(Fault::Busy);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    assert_eq!(offences(&trial).await, 0, "wanted, and not contained anywhere");
    trial.advance(MINUTE_US);
    trial.settle().await;
    assert_eq!((other.entities(), offences(&trial).await), (vec![ATTACKER.to_owned()], 1));
    let parked = trial.outbox.parked(None, 10).await.expect("parked").remove(0);
    trial.outbox.release(&parked, "noor").await.expect("released");
    trial.settle().await;
    trial.outbox.release(&parked, "noor").await.expect("released");
    trial.settle().await;
    assert_eq!((trial.board.entities(), offences(&trial).await), (vec![ATTACKER.to_owned()], 1), "at two targets");
}

#[tokio::test]
async fn what_a_removed_target_holds_is_told_and_is_not_ours_for_ever() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    assert!(trial.outbox.orphans().await.expect("read").is_empty());
    let ends_us = trial.now() + 4 * HOUR_US;
    assert_eq!(trial.outbox.in_force(ends_us).await.expect("read").0.len(), 1, "until it is undone");

    let renamed = vec![ready("renamed", &trial.board, BLOCKS)];
    let trial = trial.restarted(renamed).await;
    let orphans: Vec<_> = trial.outbox.orphans().await.expect("read").into_iter().collect();
    assert_eq!(orphans, [("board".to_owned(), Left { waiting: 0, in_force: 1 })]);
    let (in_force, next_us) = trial.outbox.in_force(trial.now()).await.expect("read");
    assert_eq!((in_force.len(), next_us), (1, trial.now() + HOUR_US));
    assert!(trial.outbox.in_force(next_us).await.expect("read").0.is_empty());
}
