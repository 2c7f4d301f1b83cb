//! What is done about an attack that goes on follows the policy, the detectors and the verdicts of now, also where nothing more is told
//! of it.

use std::collections::HashMap;

use schemas::Alert;
use schemas::alert::{Entity, Severity, State as AlertState};
use schemas::incident::{Event, Verdict};

use super::{Fault, HOUR_US, MINUTE_US, Trial, alert, closing, ready};
use crate::respond::action::Kind;
use crate::respond::halt::{self, Halt};
use crate::respond::incident::{desk, rfc3339};

const BLOCKS: &[Kind] = &[Kind::Block];
const ATTACKER: &str = "203.0.113.7";
const BLOCK: &str = "guard: { ttl: 1h }, policy: [{ do: [block] }]";
const NOTHING: &str = "guard: { ttl: 1h }, policy: [{ do: [] }]";

/// An alert about the attacker is told once, under this policy.
async fn told(config: &str, kinds: &[Kind]) -> Trial {
    let trial = Trial::new(config, false, kinds).await;
    trial.tell(&alert("al-1", ATTACKER), &[]).await;
    trial.settle().await;
    trial
}

/// The service begins again with another policy.
async fn changed(trial: Trial, config: &str, kinds: &[Kind]) -> Trial {
    let board = trial.board.clone();
    let trial = trial.restarted_with(config, vec![ready("board", &board, kinds)]).await;
    trial.settle().await;
    trial
}

/// When what is in force ends, in minutes from now.
async fn lasts(trial: &Trial) -> Option<i64> {
    let blocks = trial.outbox.queue.blocks(10).await.expect("blocks");
    blocks.first().map(|(_, _, _, ends_us)| (ends_us - trial.now()) / MINUTE_US)
}

#[tokio::test]
async fn what_the_policy_no_longer_asks_for_is_not_renewed() {
    let trial = changed(told(BLOCK, BLOCKS).await, NOTHING, BLOCKS).await;
    trial.advance(40 * MINUTE_US);
    trial.settle().await;
    assert_eq!((trial.board.entities(), lasts(&trial).await), (vec![ATTACKER.to_owned()], Some(20)), "to its end");
    trial.advance(21 * MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    // Nor by its next telling.
    let again = Alert { revision: 1, state: AlertState::Updated, ..alert("al-1", ATTACKER) };
    trial.tell(&again, &[]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn what_the_policy_asks_for_now_is_done() {
    let trial = changed(told(NOTHING, BLOCKS).await, BLOCK, BLOCKS).await;
    for _ in 0..4 {
        assert_eq!(trial.board.entities(), [ATTACKER]);
        trial.advance(40 * MINUTE_US);
        trial.settle().await;
    }
    trial.tell(&closing(&alert("al-1", ATTACKER)), &[]).await;
    let trial = changed(trial, &BLOCK.replace("1h", "2h"), BLOCKS).await;
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0], "what is over is not begun again");
}

#[tokio::test]
async fn a_person_who_is_no_longer_asked_is_not_waited_for() {
    let trial = told("policy: [{ do: [block], approve: true }]", BLOCKS).await;
    assert_eq!((trial.board.entities(), trial.in_state("awaiting").await.len()), (vec![], 1));
    let trial = changed(trial, BLOCK, BLOCKS).await;
    assert_eq!((trial.board.entities(), trial.in_state("awaiting").await.len()), (vec![ATTACKER.to_owned()], 0));
}

#[tokio::test]
async fn who_is_to_hear_of_it_now_hears_of_it_once() {
    let kinds: &[Kind] = &[Kind::Block, Kind::Page];
    let trial = told(BLOCK, kinds).await;
    assert_eq!(trial.board.told(), []);
    let paged = "guard: { ttl: 1h }, policy: [{ do: [block, page] }]";
    let trial = changed(trial, paged, kinds).await;
    assert_eq!(trial.board.told(), [(Kind::Page, Event::Updated)]);
    let trial = changed(trial, &paged.replace("1h", "2h"), kinds).await;
    assert_eq!(trial.board.told().len(), 1);
}

#[tokio::test]
async fn what_detectors_ask_for_is_followed_for_alerts_that_they_have_open() {
    let trial = told("guard: { ttl: 1h }", BLOCKS).await;
    let respond = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        HashMap::from([("auth-burst-ip".to_owned(), names)])
    };
    trial.outbox.detectors_ask(&respond(&["case"])).await.expect("taken");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    trial.outbox.detectors_ask(&respond(&["block"])).await.expect("taken");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    trial.outbox.detectors_ask(&respond(&[])).await.expect("taken");
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn alerts_of_an_older_version_wait_for_what_their_detectors_ask_for() {
    let trial = Trial::new("guard: { ttl: 1h }", false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    for sql in ["UPDATE incident_alerts SET asked = NULL", "DELETE FROM planned_by"] {
        sqlx::query(sql).execute(trial.outbox.store().pool()).await.expect("as it was before");
    }
    let board = trial.board.clone();
    let trial = trial.restarted_with("guard: { ttl: 1h }", vec![ready("board", &board, BLOCKS)]).await;
    trial.settle().await;
    for _ in 0..3 {
        trial.advance(40 * MINUTE_US);
        trial.settle().await;
        assert_eq!(trial.board.entities(), [ATTACKER]);
    }
    let respond = HashMap::from([("auth-burst-ip".to_owned(), Vec::new())]);
    trial.outbox.detectors_ask(&respond).await.expect("taken");
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn a_verdict_that_is_corrected_counts_at_once() {
    let trial = told(BLOCK, BLOCKS).await;
    let incident = desk::alert(trial.outbox.store(), "al-1").await.expect("read").expect("known").1;
    for (verdict, kept_out) in [(Verdict::False, false), (Verdict::True, true), (Verdict::Expected, false)] {
        let close = desk::Deed::Close(verdict, "looked into".to_owned());
        desk::act(trial.outbox.store(), &incident, &close, "noor", trial.now()).await.expect("closed");
        trial.settle().await;
        assert_eq!(trial.board.entities().len(), usize::from(kept_out), "{verdict:?}");
    }
}

#[tokio::test]
async fn what_was_judged_wrongly_is_no_offence() {
    let trial = told(BLOCK, BLOCKS).await;
    let incident = desk::alert(trial.outbox.store(), "al-1").await.expect("read").expect("known").1;
    for verdict in [Verdict::False, Verdict::True, Verdict::False, Verdict::True] {
        let close = desk::Deed::Close(verdict, "looked into".to_owned());
        desk::act(trial.outbox.store(), &incident, &close, "noor", trial.now()).await.expect("closed");
        trial.settle().await;
        trial.advance(MINUTE_US);
    }
    assert_eq!(lasts(&trial).await, Some(59));
}

/// Too much is blocked at three in the night: everything is halted, the policy mended, and let go on.
#[tokio::test]
async fn what_is_asked_for_no_longer_is_not_begun_when_a_halt_ends() {
    for lift in [true, false] {
        let trial = Trial::new(BLOCK, false, BLOCKS).await;
        trial.tell(&alert("al-1", ATTACKER), &[]).await;
        if lift {
            trial.settle().await;
        }
        let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift };
        halt::pull(trial.outbox.store(), &halted).await.expect("pulled");
        trial.settle().await;
        let trial = changed(trial, NOTHING, BLOCKS).await;
        halt::release(trial.outbox.store(), "noor", trial.now()).await.expect("released");
        trial.advance(MINUTE_US);
        trial.settle().await;
        assert_eq!(trial.board.entities(), [""; 0], "{lift}");
    }
}

/// What alerts asked for that are over by then.
#[tokio::test]
async fn what_was_asked_for_by_what_is_over_is_not_begun_either() {
    let trial = Trial::new(BLOCK, false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift: false };
    halt::pull(trial.outbox.store(), &halted).await.expect("pulled");
    trial.settle().await;
    trial.tell(&open, &[]).await;
    trial.settle().await;
    trial.tell(&closing(&open), &[]).await;
    trial.settle().await;
    let trial = changed(trial, NOTHING, BLOCKS).await;
    halt::release(trial.outbox.store(), "noor", trial.now()).await.expect("released");
    trial.advance(MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

/// At a start with another policy, before the detectors are read.
#[tokio::test]
async fn nobody_is_contained_before_it_is_decided_again() {
    let trial = Trial::new(BLOCK, false, BLOCKS).await;
    trial.settle().await;
    trial.tell(&alert("al-1", ATTACKER), &[]).await;
    let Trial { outbox, board, clock, folder } = trial;
    drop(outbox);
    let outbox = Trial::open(&folder, NOTHING, &clock, vec![ready("board", &board, BLOCKS)]).await;
    let outbox = std::sync::Arc::into_inner(outbox).expect("nobody else has it").expecting_detectors();
    let trial = Trial { outbox: outbox.into(), board, clock, folder };
    trial.settle().await;
    assert_eq!(trial.board.calls().len(), 0);
    trial.outbox.detectors_ask(&HashMap::new()).await.expect("taken");
    trial.settle().await;
    assert_eq!((trial.board.entities(), trial.board.calls().len()), (vec![], 0));
}

#[tokio::test]
async fn what_waits_at_a_target_is_not_sent_when_the_policy_asks_for_it_no_longer() {
    let trial = Trial::new(BLOCK, false, BLOCKS).await;
    trial.board.fault(Fault::Busy);
    trial.tell(&alert("al-1", ATTACKER), &[]).await;
    trial.settle().await;
    let trial = changed(trial, NOTHING, BLOCKS).await;
    trial.advance(MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn a_target_that_comes_later_is_told_what_nobody_took() {
    let paged = "policy: [{ do: [page] }]";
    let trial = told(paged, BLOCKS).await;
    let trial = changed(trial, paged, &[Kind::Block, Kind::Page]).await;
    let trial = changed(trial, "policy: [{ do: [page] }], guard: { ttl: 2h }", &[Kind::Block, Kind::Page]).await;
    assert_eq!(trial.board.told(), [(Kind::Page, Event::Updated)]);
}

#[tokio::test]
async fn nothing_is_decided_before_it_is_known_what_detectors_ask_for_now() {
    let trial = Trial::new(NOTHING, false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    let Trial { outbox, board, clock, folder } = trial;
    drop(outbox);
    let outbox = Trial::open(&folder, "guard: { ttl: 1h }", &clock, vec![ready("board", &board, BLOCKS)]).await;
    let outbox = std::sync::Arc::into_inner(outbox).expect("nobody else has it").expecting_detectors();
    let trial = Trial { outbox: outbox.into(), board, clock, folder };
    trial.settle().await;
    let respond = HashMap::from([("auth-burst-ip".to_owned(), vec!["case".to_owned()])]);
    trial.outbox.detectors_ask(&respond).await.expect("taken");
    trial.settle().await;
    assert_eq!((trial.board.entities(), trial.board.calls().len()), (vec![], 0));
}

#[tokio::test]
async fn a_longer_time_to_live_counts_at_once_and_is_no_second_offence() {
    let policy = "policy: [{ when: { severity: critical }, do: [block], ttl: 2h }, { do: [block], ttl: 10m }]";
    let trial = told(policy, BLOCKS).await;
    assert_eq!(lasts(&trial).await, Some(10));
    let worse = Alert { severity: Severity::Critical, ..alert("al-1", ATTACKER) };
    for revision in 1..4 {
        trial.tell(&Alert { revision, state: AlertState::Updated, ..worse.clone() }, &[]).await;
        trial.settle().await;
        assert_eq!(lasts(&trial).await, Some(120));
    }
    let trial = changed(trial, &policy.replace("2h", "4h"), BLOCKS).await;
    assert_eq!(lasts(&trial).await, Some(240));
    // A shorter one counts with the next renewal.
    let trial = changed(trial, &policy.replace("2h", "1h"), BLOCKS).await;
    trial.advance(225 * MINUTE_US);
    trial.settle().await;
    assert_eq!(lasts(&trial).await, Some(60));
}

#[tokio::test]
async fn who_comes_back_is_a_repeat_offender_and_who_goes_on_is_none() {
    let policy = "guard: { ttl: 1h }, policy: [{ when: { offences: 1 }, do: [block, page] }, { do: [block] }]";
    let kinds: &[Kind] = &[Kind::Block, Kind::Page];
    let trial = told(policy, kinds).await;
    let open = alert("al-1", ATTACKER);
    let again = Alert { revision: 1, state: AlertState::Updated, ..open.clone() };
    trial.tell(&again, &[]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), []);
    trial.tell(&closing(&again), &[]).await;
    trial.advance(2 * HOUR_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    trial.tell(&Alert { updated: rfc3339(trial.now()), ..alert("al-2", ATTACKER) }, &[]).await;
    trial.settle().await;
    assert_eq!((trial.board.told(), lasts(&trial).await), (vec![(Kind::Page, Event::Open)], Some(120)));
}

#[tokio::test]
async fn what_is_asked_for_at_night_alone_begins_when_the_night_does() {
    // It is ten in the morning.
    let policy = "guard: { ttl: 1h }, policy: [{ when: { hours: 'mon-sun 12:00-13:00' }, do: [block] }, { do: [] }]";
    let trial = told(policy, BLOCKS).await;
    let (mut next_us, mut rails) = (i64::MIN, true);
    for (after, kept_out) in [(119, false), (1, true), (59, true), (2, true), (70, false)] {
        trial.advance(after * MINUTE_US);
        trial.outbox.beat(&mut next_us, &mut rails).await.expect("a look");
        trial.outbox.deliver_due().await;
        assert_eq!(trial.board.entities().len(), usize::from(kept_out), "{after} minutes later");
    }
}

/// A policy that is put right after a mistake is no new containment: nobody who is out waits for room, or for a person, or counts again.
#[tokio::test]
async fn what_is_asked_for_again_within_its_time_goes_on() {
    for put_back in [
        "guard: { ttl: 1h, blocks_per_hour: 0 }, policy: [{ do: [block] }]",
        "guard: { ttl: 1h }, policy: [{ do: [block], approve: true }]",
        "guard: { ttl: 1h }, policy: [{ when: { offences: 1 }, do: [page] }, { do: [block] }]",
    ] {
        let trial = changed(told(BLOCK, BLOCKS).await, NOTHING, BLOCKS).await;
        trial.advance(2 * MINUTE_US);
        let trial = changed(trial, put_back, BLOCKS).await;
        for _ in 0..4 {
            trial.advance(40 * MINUTE_US);
            trial.settle().await;
            assert_eq!(
                (trial.board.entities(), lasts(&trial).await),
                (vec![ATTACKER.to_owned()], Some(60)),
                "{put_back}"
            );
        }
    }
}

/// A score goes down by itself: whoever attacks some more lets himself in by nothing.
#[tokio::test]
async fn what_an_incident_becomes_withdraws_nothing() {
    // An hour that begins for others changes nothing about that.
    for other in ["", "{ when: { detectors: [other], hours: 'mon-sun 23:00-23:30' }, do: [page] }, "] {
        let policy =
            format!("guard: {{ ttl: 1h }}, policy: [{other}{{ when: {{ score: 50 }}, do: [block] }}, {{ do: [] }}]");
        let trial = told(&policy, BLOCKS).await;
        assert_eq!(trial.board.entities(), [ATTACKER]);
        trial.advance(12 * HOUR_US);
        trial.settle().await;
        let (updated, detector) = (rfc3339(trial.now()), "sweep".to_owned());
        trial.tell(&Alert { severity: Severity::Low, updated, detector, ..alert("al-2", ATTACKER) }, &[]).await;
        for _ in 0..4 {
            trial.advance(40 * MINUTE_US);
            trial.settle().await;
            assert_eq!(trial.board.entities(), [ATTACKER]);
        }
    }
}

/// A steady attack is told ever more rarely.
#[tokio::test]
async fn what_goes_on_is_no_old_news_however_long_ago_it_was_told() {
    let kinds: &[Kind] = &[Kind::Block, Kind::Page];
    let trial = told("guard: { ttl: 1h }, policy: [{ do: [] }]", kinds).await;
    trial.advance(50 * HOUR_US);
    let both = "guard: { ttl: 1h }, policy: [{ do: [block, page] }]";
    let trial = changed(trial, both, kinds).await;
    let told = vec![(Kind::Page, Event::Updated)];
    assert_eq!((trial.board.entities(), trial.board.told()), (vec![ATTACKER.to_owned()], told));
    // What was old when it was read is.
    let trial = Trial::new(NOTHING, false, kinds).await;
    trial.advance(50 * HOUR_US);
    trial.tell(&alert("al-1", ATTACKER), &[]).await;
    let trial = changed(trial, both, kinds).await;
    assert_eq!((trial.board.entities(), trial.board.told()), (vec![], vec![]));
}

#[tokio::test]
async fn what_waits_for_a_person_is_cancelled_when_the_policy_asks_for_it_no_longer() {
    let trial = told("guard: { ttl: 1h }, policy: [{ do: [block], approve: true }]", BLOCKS).await;
    let trial = changed(trial, NOTHING, BLOCKS).await;
    trial.advance(MINUTE_US);
    trial.settle().await;
    assert_eq!((trial.in_state("awaiting").await, trial.in_state("cancelled").await.len()), (vec![], 1));
    assert_eq!(trial.board.entities(), [""; 0], "nor is it begun without asking");
}

#[tokio::test]
async fn who_has_heard_of_it_is_not_told_again_because_others_are() {
    let kinds: &[Kind] = &[Kind::Notify, Kind::Page];
    let trial = told("policy: [{ do: [page] }]", kinds).await;
    let trial = changed(trial, "policy: [{ do: [notify] }]", kinds).await;
    let trial = changed(trial, "policy: [{ do: [notify, page] }]", kinds).await;
    assert_eq!(trial.board.told(), [(Kind::Page, Event::Open), (Kind::Notify, Event::Updated)]);
}

#[tokio::test]
async fn a_flood_that_is_to_be_told_now_is_told_as_one() {
    let trial =
        Trial::new("policy: [{ do: [] }], incidents: { quiet: 1h, digest_after: 3 }", false, &[Kind::Page]).await;
    for n in 1..=9 {
        trial.tell(&alert(&format!("al-{n}"), &format!("203.0.{n}.7")), &[]).await;
    }
    let trial =
        changed(trial, "policy: [{ do: [page] }], incidents: { quiet: 1h, digest_after: 3 }", &[Kind::Page]).await;
    assert_eq!(trial.board.told().len(), 4, "three, and the digest of the others");
}

#[tokio::test]
async fn what_a_person_let_go_after_the_policy_did_stays_so() {
    let trial =
        Trial::new("guard: { ttl: 1h }, policy: [{ do: [block] }], incidents: { quiet: 5h }", false, BLOCKS).await;
    let first = alert("al-1", ATTACKER);
    trial.tell(&first, &[]).await;
    trial.settle().await;
    let incident = desk::alert(trial.outbox.store(), "al-1").await.expect("read").expect("known").1;
    let close = desk::Deed::Close(Verdict::True, "an attack".to_owned());
    desk::act(trial.outbox.store(), &incident, &close, "noor", trial.now()).await.expect("closed");
    // In an incident of its own.
    trial.tell(&Alert { detector: "sweep".to_owned(), ..alert("al-2", ATTACKER) }, &[]).await;
    trial.settle().await;
    let trial = changed(trial, NOTHING, BLOCKS).await;
    let id = trial.in_state("delivered").await.pop().expect("one that holds");
    desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
    trial.settle().await;
    let trial = changed(trial, BLOCK, BLOCKS).await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn an_alert_that_cannot_be_read_holds_nothing_up() {
    let trial = Trial::new(NOTHING, false, BLOCKS).await;
    for n in 1..=250 {
        trial.tell(&alert(&format!("al-{n:03}"), &format!("203.0.{n}.7")), &[]).await;
    }
    let sql = "UPDATE incident_alerts SET asked = '[\"a kind to come\"]' WHERE alert_id = 'al-001'";
    sqlx::query(sql).execute(trial.outbox.store().pool()).await.expect("written by a newer version");
    let trial = changed(trial, "guard: { ttl: 1h, blocks_per_hour: 1000 }, policy: [{ do: [block] }]", BLOCKS).await;
    let sql = "SELECT count(*) FROM wanted WHERE state = 'active'";
    let active: i64 = sqlx::query_scalar(sql).fetch_one(trial.outbox.store().pool()).await.expect("a number");
    assert_eq!(active, 249, "all the others, in several transactions");
}

#[tokio::test]
async fn the_terms_are_those_of_all_who_ask() {
    let policy =
        "policy: [{ when: { detectors: [sweep] }, do: [block], ttl: 2h, approve: true }, { do: [block], ttl: 10m }]";
    let trial = Trial::new(&format!("{policy}, incidents: {{ quiet: 0s, join_within: 1s }}"), false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &[]).await;
    trial.settle().await;
    let later = rfc3339(trial.now() + MINUTE_US);
    let second = Alert { detector: "sweep".to_owned(), updated: later, ..alert("al-2", ATTACKER) };
    trial.tell(&second, &[]).await;
    trial.settle().await;
    assert_eq!(lasts(&trial).await, Some(120), "as long as one of them says, and asked outright by the other");
    trial.tell(&closing(&second), &[]).await;
    trial.advance(115 * MINUTE_US);
    trial.settle().await;
    assert_eq!(lasts(&trial).await, Some(10));
}

#[tokio::test]
async fn what_an_incident_becomes_counts_for_all_its_alerts() {
    let policy = "policy: [{ when: { severity: critical }, do: [block] }, { do: [] }]";
    let trial = told(policy, BLOCKS).await;
    assert_eq!(trial.board.entities(), [""; 0]);
    let principal = Entity { kind: "principal".to_owned(), value: "tok_1".to_owned() };
    let part = serde_json::json!({ "principals": [{ "value": "tok_1", "count": 60 }] });
    let (first, second) = (alert("al-1", ATTACKER), alert("al-2", "203.0.113.9"));
    let again = Alert { revision: 1, state: AlertState::Updated, ..first };
    trial.tell(&again, &[]).await;
    let worse = Alert {
        severity: Severity::Critical,
        part_of: Some("al-1".to_owned()),
        entity: principal,
        evidence: part,
        ..second
    };
    trial.tell(&worse, &[]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
}

#[tokio::test]
async fn another_way_of_keeping_somebody_out_takes_the_place_of_the_former() {
    let kinds: &[Kind] = &[Kind::Block, Kind::Revoke];
    let trial = Trial::new("guard: { ttl: 1h }, policy: [{ do: [contain] }]", false, kinds).await;
    let evidence = serde_json::json!({
        "counted": 60, "principals": [{ "value": "tok_1", "count": 60 }], "proven": [{ "value": "tok_1", "count": 60 }],
    });
    trial.tell(&Alert { evidence, ..alert("al-1", ATTACKER) }, &[]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), ["tok_1"]);
    let trial = changed(trial, BLOCK, kinds).await;
    assert_eq!(trial.board.entities(), [ATTACKER, "tok_1"]);
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    let trial = changed(trial, "guard: { ttl: 1h }, policy: [{ do: [contain] }]", kinds).await;
    assert_eq!(trial.board.entities(), ["tok_1"], "the block gives way again");
    let trial = changed(trial, "guard: { ttl: 1h }, policy: [{ do: [block, revoke] }]", kinds).await;
    assert_eq!(trial.board.entities(), [ATTACKER, "tok_1"], "what is asked for by its name gives way to nothing");
}

#[tokio::test]
async fn what_was_renewed_is_taken_back_by_its_first_id_too() {
    let trial = told(BLOCK, BLOCKS).await;
    let first = trial.in_state("delivered").await.remove(0);
    for _ in 0..3 {
        trial.advance(40 * MINUTE_US);
        trial.settle().await;
    }
    let newest = trial.in_state("delivered").await.pop().expect("one that holds");
    let store = trial.outbox.store();
    let taken_back = desk::revert(store, &first, "noor", "a customer", trial.now()).await.expect("taken back");
    trial.settle().await;
    assert_eq!((trial.board.entities(), taken_back), (vec![], newest));
    let error = desk::revert(store, &first, "noor", "a customer", trial.now()).await.expect_err("it is over");
    assert!(error.to_string().contains("only what waits or was delivered"), "{error}");
}
