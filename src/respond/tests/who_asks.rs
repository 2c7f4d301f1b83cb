//! Somebody is kept out for as long as any alert asks for it that is open and not judged to be no attack; and no longer.

use schemas::Alert;
use schemas::alert::{Entity, Severity, State as AlertState};
use schemas::incident::{Event, Verdict};

use super::{Fault, HOUR_US, MINUTE_US, Trial, alert, closing};
use crate::respond::action::Kind;
use crate::respond::actions::common::{Common, Ready};
use crate::respond::halt::{self, Halt};
use crate::respond::incident::{desk, look, rfc3339};

const BLOCKS: &[Kind] = &[Kind::Block];
const HOURLY: &str = "guard: { ttl: 1h }";
const ATTACKER: &str = "203.0.113.7";

fn other(id: &str) -> Alert {
    Alert { detector: "sweep".to_owned(), ..alert(id, ATTACKER) }
}

fn again(alert: &Alert, now_us: i64) -> Alert {
    Alert { revision: alert.revision + 1, state: AlertState::Updated, updated: rfc3339(now_us), ..alert.clone() }
}

async fn judge(trial: &Trial, alert_id: &str, verdict: Verdict) -> String {
    let incident = desk::alert(trial.outbox.store(), alert_id).await.expect("read").expect("known").1;
    let close = desk::Deed::Close(verdict, "looked into".to_owned());
    desk::act(trial.outbox.store(), &incident, &close, "noor", trial.now()).await.expect("closed");
    trial.settle().await;
    incident
}

/// An attack that somebody judged to be one, and another alert about the attacker in an incident of its own.
async fn two_incidents(config: &str) -> (Trial, Alert, Alert, [String; 2]) {
    let trial = Trial::new(config, false, BLOCKS).await;
    let (first, second) = (alert("al-1", ATTACKER), other("al-2"));
    trial.tell(&first, &["block"]).await;
    trial.settle().await;
    let judged = judge(&trial, "al-1", Verdict::True).await;
    trial.tell(&second, &["block"]).await;
    trial.settle().await;
    let newer = desk::alert(trial.outbox.store(), "al-2").await.expect("read").expect("known").1;
    assert_ne!(judged, newer);
    (trial, first, second, [judged, newer])
}

async fn named(trial: &Trial) -> Option<String> {
    let contained = look::contained(trial.outbox.store(), trial.now()).await.expect("read");
    contained.first().map(|it| it.incident_id.clone())
}

#[tokio::test]
async fn the_end_of_another_incident_lets_nobody_in() {
    let (trial, first, second, [judged, newer]) = two_incidents(HOURLY).await;
    assert_eq!(named(&trial).await, Some(newer));
    trial.tell(&closing(&second), &["block"]).await;
    for _ in 0..5 {
        trial.settle().await;
        assert_eq!(trial.board.entities(), [ATTACKER]);
        trial.advance(40 * MINUTE_US);
    }
    assert_eq!(named(&trial).await, Some(judged), "whose alert asks for it");
    trial.tell(&closing(&first), &["block"]).await;
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn the_end_of_what_was_judged_lets_nobody_in_whom_another_incident_wants_out() {
    let (trial, first, second, _) = two_incidents(HOURLY).await;
    trial.tell(&closing(&first), &["block"]).await;
    for _ in 0..5 {
        trial.settle().await;
        assert_eq!(trial.board.entities(), [ATTACKER]);
        trial.advance(40 * MINUTE_US);
    }
    trial.tell(&closing(&second), &["block"]).await;
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn a_wrong_alarm_about_an_attacker_lets_nobody_in() {
    let (trial, _, second, [judged, _]) = two_incidents(HOURLY).await;
    judge(&trial, "al-2", Verdict::False).await;
    trial.tell(&again(&second, trial.now()), &["block"]).await;
    trial.settle().await;
    assert_eq!((trial.board.entities(), named(&trial).await), (vec![ATTACKER.to_owned()], Some(judged)));
    // A verdict can be corrected.
    judge(&trial, "al-1", Verdict::False).await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn a_wrong_alarm_is_not_blocked_again_by_its_own_alert() {
    let trial = Trial::new("guard: { ttl: 1h }, incidents: { quiet: 1h }", false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    judge(&trial, "al-1", Verdict::Expected).await;
    assert_eq!(trial.board.entities(), [""; 0]);
    trial.tell(&again(&open, trial.now()), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    let judged_again = desk::alert(trial.outbox.store(), "al-1").await.expect("read").expect("known").1;
    let close = desk::Deed::Close(Verdict::Expected, "the same".to_owned());
    let error = desk::act(trial.outbox.store(), &judged_again, &close, "noor", trial.now()).await.expect_err("judged");
    assert_eq!(error.to_string(), format!("incident {judged_again} is closed already, with this verdict: expected"));
}

#[tokio::test]
async fn whom_a_person_let_go_stays_so_though_two_incidents_ask() {
    let (trial, first, second, _) = two_incidents(HOURLY).await;
    let id = trial.in_state("delivered").await.remove(0);
    desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
    trial.settle().await;
    for (revision, open) in [&first, &second].into_iter().cycle().take(4).enumerate() {
        let told = Alert { revision: u32::try_from(revision).expect("few") + 1, ..again(open, trial.now()) };
        trial.tell(&told, &["block"]).await;
        trial.settle().await;
        assert_eq!(trial.board.entities(), [""; 0]);
    }
    // Also by what the newer incident adds, and when the older is over.
    trial.tell(&Alert { revision: 9, ..closing(&first) }, &["block"]).await;
    trial.settle().await;
    trial.tell(&Alert { detector: "guesses".to_owned(), ..other("al-3") }, &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    trial.tell(&Alert { revision: 9, ..closing(&second) }, &["block"]).await;
    trial.tell(&closing(&other("al-3")), &["block"]).await;
    trial.settle().await;
    trial.tell(&other("al-4"), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER], "what comes when all is over is another attack");
}

#[tokio::test]
async fn a_verdict_is_no_letting_go_by_other_incidents() {
    let trial = Trial::new("guard: { ttl: 1h }, incidents: { quiet: 1h, join_within: 1m }", false, BLOCKS).await;
    let first = alert("al-1", ATTACKER);
    trial.tell(&first, &["block"]).await;
    let later = rfc3339(trial.now() + 5 * MINUTE_US);
    let second = Alert { updated: later.clone(), ..other("al-2") };
    trial.tell(&second, &["block"]).await;
    trial.settle().await;
    trial.tell(&closing(&first), &["block"]).await;
    // Its undoing waits when the first incident, that nobody has judged, brings another alert.
    trial.board.fault(Fault::Busy);
    judge(&trial, "al-2", Verdict::False).await;
    let third = Alert { detector: "guesses".to_owned(), ..alert("al-3", ATTACKER) };
    trial.tell(&third, &["block"]).await;
    trial.advance(MINUTE_US);
    trial.settle().await;
    let owner = async |id: &str| desk::alert(trial.outbox.store(), id).await.expect("read").expect("known").1;
    assert_eq!((owner("al-3").await, trial.board.entities()), (owner("al-1").await, vec![ATTACKER.to_owned()]));
}

#[tokio::test]
async fn a_verdict_that_is_corrected_is_told_and_keeps_out_again() {
    let trial = Trial::new(HOURLY, false, &[Kind::Block, Kind::Case]).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block", "case"]).await;
    trial.settle().await;
    // It is corrected before the undoing is through.
    trial.board.fault(Fault::Busy);
    judge(&trial, "al-1", Verdict::False).await;
    judge(&trial, "al-1", Verdict::True).await;
    trial.tell(&again(&open, trial.now()), &["block", "case"]).await;
    trial.advance(MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    let told: Vec<Event> = trial.board.told().into_iter().map(|(_, event)| event).collect();
    assert_eq!(told, [Event::Open, Event::Closed, Event::Closed]);
}

#[tokio::test]
async fn what_comes_after_a_verdict_is_another_incident_also_before_it_is_closed() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    trial.tell(&alert("al-1", ATTACKER), &["block"]).await;
    trial.settle().await;
    let judged = desk::alert(trial.outbox.store(), "al-1").await.expect("read").expect("known").1;
    let close = desk::Deed::Close(Verdict::False, "a test".to_owned());
    desk::act(trial.outbox.store(), &judged, &close, "noor", trial.now()).await.expect("closed");
    trial.tell(&other("al-2"), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    assert_ne!(named(&trial).await, Some(judged));
}

#[tokio::test]
async fn an_alert_keeps_out_whom_it_names_now() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let (before, now) = ("203.0.113.66", "203.0.113.77");
    let made_by = |address: &str| {
        let evidence = serde_json::json!({ "counted": 100, "client_ips": [{ "value": address, "count": 95 }] });
        let entity = Entity { kind: "endpoint".to_owned(), value: "GET /v1/orders/{id}".to_owned() };
        Alert { evidence, entity, ..alert("al-1", address) }
    };
    trial.tell(&made_by(before), &["block"]).await;
    trial.settle().await;
    trial.tell(&Alert { revision: 1, state: AlertState::Updated, ..made_by(now) }, &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [before, now]);
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [now], "whose attack it was first is not kept out for another's");
}

#[tokio::test]
async fn what_lasts_to_its_end_is_not_lifted_by_another_incidents_verdict() {
    let (trial, first, second, _) = two_incidents(HOURLY).await;
    trial.tell(&closing(&second), &["block"]).await;
    trial.tell(&closing(&first), &["block"]).await;
    trial.settle().await;
    judge(&trial, "al-2", Verdict::False).await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn what_a_person_let_go_is_kept_out_for_what_others_find_alone() {
    let trial = Trial::new("guard: { ttl: 1h }, incidents: { quiet: 1h, join_within: 1m }", false, BLOCKS).await;
    let first = alert("al-1", ATTACKER);
    trial.tell(&first, &["block"]).await;
    trial.settle().await;
    let id = trial.in_state("delivered").await.remove(0);
    desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
    trial.settle().await;
    trial.advance(5 * MINUTE_US);
    let second = Alert { updated: rfc3339(trial.now()), ..other("al-2") };
    trial.tell(&second, &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER], "another incident asks anew");
    judge(&trial, "al-2", Verdict::False).await;
    assert_eq!(trial.board.entities(), [""; 0], "the other one was let go");
    for revision in 1..4 {
        let told = Alert { revision, ..again(&first, trial.now()) };
        trial.tell(&told, &["block"]).await;
        trial.settle().await;
        assert_eq!(trial.board.entities(), [""; 0]);
    }
}

#[tokio::test]
async fn what_a_person_let_go_stays_so_after_another_incident_ends() {
    let trial = Trial::new("guard: { ttl: 1h }, incidents: { quiet: 5h, join_within: 1m }", false, BLOCKS).await;
    let first = alert("al-1", ATTACKER);
    trial.tell(&first, &["block"]).await;
    trial.settle().await;
    let id = trial.in_state("delivered").await.remove(0);
    desk::revert(trial.outbox.store(), &id, "noor", "a customer", trial.now()).await.expect("taken back");
    trial.settle().await;
    trial.advance(5 * MINUTE_US);
    let second = Alert { updated: rfc3339(trial.now()), ..other("al-2") };
    trial.tell(&second, &["block"]).await;
    trial.settle().await;
    trial.tell(&closing(&second), &["block"]).await;
    // Neither what it tells while that lasts nor another alert of the same incident is heard.
    trial.tell(&Alert { revision: 1, ..again(&first, trial.now()) }, &["block"]).await;
    trial.tell(&Alert { detector: "guesses".to_owned(), ..alert("al-3", ATTACKER) }, &["block"]).await;
    trial.settle().await;
    // A second offence lasts for longer.
    trial.advance(100 * HOUR_US);
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    trial.tell(&Alert { revision: 2, ..again(&first, trial.now()) }, &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn an_alert_that_names_nobody_for_a_moment_keeps_out_whom_it_named() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let shared = |count: u32| {
        let evidence = serde_json::json!({ "counted": 100, "client_ips": [{ "value": ATTACKER, "count": count }] });
        let entity = Entity { kind: "endpoint".to_owned(), value: "GET /v1/orders/{id}".to_owned() };
        Alert { evidence, entity, ..alert("al-1", ATTACKER) }
    };
    trial.tell(&shared(95), &["block"]).await;
    trial.settle().await;
    trial.tell(&Alert { revision: 1, state: AlertState::Updated, ..shared(50) }, &["block"]).await;
    for _ in 0..4 {
        trial.settle().await;
        assert_eq!(trial.board.entities(), [ATTACKER]);
        trial.advance(40 * MINUTE_US);
    }
}

#[tokio::test]
async fn a_judged_attack_is_remembered_for_as_long_as_it_goes_on() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    let incident = judge(&trial, "al-1", Verdict::True).await;
    trial.advance(40 * 24 * HOUR_US);
    trial.settle().await;
    trial.outbox.forget(trial.now() - 30 * 24 * HOUR_US, i64::MAX).await.expect("forgotten");
    trial.tell(&closing(&open), &["block"]).await;
    let all =
        desk::incidents(trial.outbox.store(), &desk::Which { limit: 10, ..Default::default() }).await.expect("read");
    assert_eq!(all.iter().map(|row| (row.id.as_str(), row.alerts_open)).collect::<Vec<_>>(), [(incident.as_str(), 0)]);
    trial.advance(HOUR_US + MINUTE_US);
    trial.settle().await;
    assert_eq!((trial.board.entities(), named(&trial).await), (vec![], None));
    trial.outbox.forget(trial.now() + HOUR_US, i64::MAX).await.expect("forgotten");
    assert!(desk::incident(trial.outbox.store(), &incident).await.is_err(), "in its time it is forgotten");
}

#[tokio::test]
async fn who_was_judged_is_kept_out_again_after_a_gap_however_old_the_attack() {
    let trial = Trial::new("guard: { ttl: 1h, alert_age_max: 30m }", false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    judge(&trial, "al-1", Verdict::True).await;
    trial.advance(5 * HOUR_US);
    trial.tell(&again(&open, trial.now()), &["block"]).await;
    let halted = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: trial.now(), lift: true };
    halt::pull(trial.outbox.store(), &halted).await.expect("pulled");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
    trial.advance(10 * MINUTE_US);
    halt::release(trial.outbox.store(), "noor", trial.now()).await.expect("released");
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
}

#[tokio::test]
async fn what_is_on_trial_keeps_nothing_up_that_a_verdict_lifts() {
    let trial = Trial::new("guard: { ttl: 1h }, incidents: { quiet: 1h }", false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    trial.tell(&closing(&open), &["block"]).await;
    trial.tell(&Alert { dry_run: true, ..other("al-2") }, &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    judge(&trial, "al-1", Verdict::False).await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn what_had_its_time_is_not_begun_again() {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &["block"]).await;
    trial.settle().await;
    trial.advance(20 * MINUTE_US);
    let later = again(&open, trial.now());
    trial.tell(&later, &["block"]).await;
    trial.tell(&closing(&later), &["block"]).await;
    trial.settle().await;
    trial.advance(41 * MINUTE_US);
    for _ in 0..3 {
        trial.settle().await;
        assert_eq!((trial.board.entities(), trial.board.calls().len()), (vec![], 2));
    }
}

/// Two incidents about one attacker at a target that hears of the worst alone: the older is.
async fn at_a_target_for_the_worst() -> (Trial, Alert) {
    let trial = Trial::new(HOURLY, false, BLOCKS).await;
    let Ready { common, target } = super::ready("board", &trial.board, BLOCKS);
    let when = serde_saphyr::from_str("severity: critical").expect("a condition");
    let trial = trial.restarted(vec![Ready { common: Common { when, ..common }, target }]).await;
    let worst = Alert { severity: Severity::Critical, ..alert("al-1", ATTACKER) };
    trial.tell(&worst, &["block"]).await;
    trial.settle().await;
    judge(&trial, "al-1", Verdict::True).await;
    trial.tell(&other("al-2"), &["block"]).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [ATTACKER]);
    (trial, worst)
}

#[tokio::test]
async fn a_target_keeps_out_for_any_incident_that_it_is_meant_for() {
    let (trial, worst) = at_a_target_for_the_worst().await;
    for _ in 0..5 {
        trial.settle().await;
        assert_eq!(trial.board.entities(), [ATTACKER]);
        trial.advance(20 * MINUTE_US);
    }
    trial.tell(&closing(&worst), &["block"]).await;
    for _ in 0..10 {
        trial.tell(&again(&other("al-2"), trial.now()), &["block"]).await;
        trial.settle().await;
        trial.advance(40 * MINUTE_US);
    }
    assert_eq!(trial.board.entities(), [""; 0], "the other one is not for this target");
}

#[tokio::test]
async fn a_target_lets_go_what_was_judged_though_another_incident_that_it_is_not_meant_for_lasts() {
    let (trial, _) = at_a_target_for_the_worst().await;
    judge(&trial, "al-1", Verdict::False).await;
    trial.settle().await;
    assert_eq!(trial.board.entities(), [""; 0]);
}

#[tokio::test]
async fn what_becomes_so_bad_that_nobody_is_asked_waits_for_nobody() {
    let policy = "guard: { ttl: 1h }, policy: [{ when: { severity: critical }, do: [block] }, \
                  { when: { severity: high }, do: [block], approve: true }]";
    let trial = Trial::new(policy, false, BLOCKS).await;
    let open = alert("al-1", ATTACKER);
    trial.tell(&open, &[]).await;
    trial.settle().await;
    assert_eq!((trial.board.entities(), trial.in_state("awaiting").await.len()), (vec![], 1));
    trial.tell(&Alert { severity: Severity::Critical, ..again(&open, trial.now()) }, &[]).await;
    trial.settle().await;
    assert_eq!((trial.board.entities(), trial.in_state("awaiting").await.len()), (vec![ATTACKER.to_owned()], 0));
}

/// A person is asked where all who ask for it want that.
#[tokio::test]
async fn whoever_asks_for_it_outright_waits_for_no_person_because_of_another() {
    let policy = "policy: [{ when: { detectors: [sweep] }, do: [block], approve: true }, { when: { severity: high }, do: [block] }]";
    let (trial, outright, asks, _) = two_incidents(&format!("{HOURLY}, {policy}")).await;
    let asked = async || -> Vec<bool> {
        let asked = sqlx::query_scalar("SELECT approve FROM wanted").fetch_all(trial.outbox.store().pool()).await;
        asked.expect("read")
    };
    assert_eq!((asked().await, trial.board.entities()), (vec![false], vec![ATTACKER.to_owned()]));
    trial.tell(&again(&asks, trial.now()), &["block"]).await;
    assert_eq!(asked().await, [false]);
    // Once only the other one wants it, a person is asked again, also where nothing more is told of that.
    trial.tell(&closing(&outright), &["block"]).await;
    assert_eq!(asked().await, [true]);
}
