//! Who was told that something began is told how it ends, and a flood hides nothing that is worse than it.

use std::sync::Arc;

use schemas::Alert;
use schemas::alert::{Entity, Severity, State};
use schemas::incident::Event::{Closed, Open, Updated};
use schemas::incident::Verdict;

use super::{Board, Fault, HOUR_US, Trial, alert, closing, ready};
use crate::respond::action::Kind::{self, Block, Case, Notify, Page};
use crate::respond::actions::common::{Common, Ready};
use crate::respond::incident::desk::{self, Suppression};
use crate::respond::release::Released;

const PEOPLE: &[Kind] = &[Notify, Case, Page];

#[tokio::test]
async fn the_end_is_told_however_old_the_beginning_is() {
    let trial = Trial::new("", true, PEOPLE).await;
    let open = alert("al-1", "203.0.113.7");
    trial.tell(&open, &["case"]).await;
    trial.settle().await;
    trial.advance(48 * HOUR_US);
    trial.board.fault(Fault::Busy);
    trial.tell(&closing(&open), &["case"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Case, Open)], "the target is away");
    trial.advance(30 * HOUR_US);
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Case, Open), (Case, Closed)]);
}

#[tokio::test]
async fn of_what_was_never_told_the_end_is_not_told_either() {
    let trial = Trial::new("", true, PEOPLE).await;
    let open = alert("al-1", "203.0.113.7");
    trial.advance(48 * HOUR_US);
    trial.tell(&open, &["case"]).await;
    trial.tell(&closing(&open), &["case"]).await;
    trial.settle().await;
    assert_eq!((trial.board.told(), trial.in_state("suppressed").await.len()), (vec![], 2));
}

#[tokio::test]
async fn what_is_over_is_not_opened_again_by_a_release() {
    let trial = Trial::new("", true, PEOPLE).await;
    let open = alert("al-1", "203.0.113.7");
    trial.board.fault(Fault::Refused);
    trial.tell(&open, &["page"]).await;
    trial.settle().await;
    let parked = trial.outbox.parked(None, 10).await.expect("parked").remove(0);
    trial.tell(&closing(&open), &["page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Closed)]);
    let store = trial.outbox.store();
    let refused = desk::retry(store, &parked.action.id, "noor", trial.now()).await.expect_err("it is over");
    let words = format!(
        "action {} is cancelled; its end was told since, and sending it now would open it again",
        parked.action.id
    );
    assert_eq!(refused.to_string(), words);
    assert_eq!(trial.outbox.release(&parked, "noor").await.expect("asked"), Released::Not, "parked no more");
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Closed)]);
    let steps = trial.outbox.steps_after(0, 100).await.expect("steps");
    assert!(!steps.iter().any(|step| step.step == "released"), "nothing was: {steps:?}");
}

#[tokio::test]
async fn what_is_not_over_is_released() {
    let trial = Trial::new("", true, PEOPLE).await;
    trial.board.fault(Fault::Refused);
    trial.tell(&alert("al-1", "203.0.113.7"), &["page"]).await;
    trial.settle().await;
    let parked = trial.outbox.parked(None, 10).await.expect("parked").remove(0);
    assert_eq!(trial.outbox.release(&parked, "noor").await.expect("asked"), Released::Queued);
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open)]);
}

/// Whoever was paged by night is told the end by day, though by day others are paged.
#[tokio::test]
async fn who_was_told_at_his_hours_is_told_the_end_outside_them() {
    let trial = Trial::new("", true, PEOPLE).await;
    let target = |hours: &str| {
        let mut target = ready("board", &trial.board, PEOPLE);
        target.common.when = serde_saphyr::from_str(&format!("{{ hours: 'mon-sun {hours}' }}")).expect("a condition");
        target
    };
    // It is ten o'clock; the other pager is not asked before twelve.
    let (night, day) = (target("09:00-11:00"), target("12:00-13:00"));
    let other = Arc::new(Board::default());
    let day = Ready { common: Common { name: "day".to_owned(), ..day.common }, target: other.clone() };
    let trial = trial.restarted(vec![night, day]).await;
    let open = alert("al-1", "203.0.113.7");
    trial.tell(&open, &["page"]).await;
    trial.settle().await;
    assert_eq!((trial.board.told(), other.told()), (vec![(Page, Open)], vec![]));
    trial.advance(2 * HOUR_US);
    trial.tell(&closing(&open), &["page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open), (Page, Closed)]);
}

#[tokio::test]
async fn what_is_being_ended_is_not_opened_again_by_a_release() {
    let trial = Trial::new("", true, PEOPLE).await;
    let open = alert("al-1", "203.0.113.7");
    trial.board.fault(Fault::Refused);
    trial.tell(&open, &["page"]).await;
    trial.settle().await;
    let parked = trial.outbox.parked(None, 10).await.expect("parked").remove(0);
    // The end was sent, and its answer got lost.
    trial.board.fault(Fault::Lost);
    trial.tell(&closing(&open), &["page"]).await;
    trial.settle().await;
    assert_eq!((trial.board.told(), trial.in_state("pending").await.len()), (vec![(Page, Closed)], 1));
    assert_eq!(trial.outbox.release(&parked, "noor").await.expect("asked"), Released::Over);
    trial.advance(HOUR_US);
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Closed), (Page, Closed)], "at least once, and nothing opens");
}

const FLOODED: &str = "incidents: { quiet: 5m, digest_after: 1 }";

/// One incident each, more than are told one by one.
async fn flood(trial: &Trial, severity: Severity) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for n in 0..4 {
        let one = Alert { severity, ..alert(&format!("al-{n}"), &format!("2001:db8:{n:x}::1")) };
        trial.tell(&one, &["notify"]).await;
        alerts.push(one);
    }
    trial.settle().await;
    alerts
}

#[tokio::test]
async fn a_flood_of_minor_incidents_swallows_no_page() {
    let trial = Trial::new(FLOODED, true, PEOPLE).await;
    flood(&trial, Severity::Medium).await;
    let quiet = [(Notify, Open), (Notify, Open)];
    assert_eq!(trial.board.told(), quiet, "the first, and a digest of the others");
    let worse = Alert { severity: Severity::High, ..alert("al-worse", "198.51.100.1") };
    trial.tell(&worse, &["notify"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told()[2..], [(Notify, Updated)], "worse than all before");
    trial.tell(&alert("al-page", "198.51.99.200"), &["notify", "page"]).await;
    trial.settle().await;
    let mut told = trial.board.told()[3..].to_vec();
    told.sort_by_key(|(kind, _)| kind.name());
    assert_eq!(told, [(Notify, Updated), (Page, Updated)], "none before asked for a page");
    let again = alert("al-more", "192.0.2.77");
    trial.tell(&again, &["notify", "page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told().len(), 5, "neither worse nor anything new");
}

#[tokio::test]
async fn one_of_a_flood_that_grows_worse_is_told() {
    let trial = Trial::new(FLOODED, true, PEOPLE).await;
    let alerts = flood(&trial, Severity::Medium).await;
    let worse = Alert { severity: Severity::High, state: State::Updated, revision: 1, ..alerts[3].clone() };
    trial.tell(&worse, &["notify", "page"]).await;
    trial.settle().await;
    let mut told = trial.board.told()[2..].to_vec();
    told.sort_by_key(|(kind, _)| kind.name());
    assert_eq!(told, [(Notify, Updated), (Page, Updated)]);
}

/// The whole, told first, and an endpoint's alert that is a part of it.
fn outage() -> (Alert, Alert) {
    let about = |kind: &str, value: &str| Entity { kind: kind.to_owned(), value: value.to_owned() };
    let whole = Alert { entity: about("whole", ""), detector: "all".to_owned(), ..alert("al-whole", "") };
    let endpoint = about("endpoint", "GET /v1/orders");
    let part =
        Alert { entity: endpoint, detector: "one".to_owned(), part_of: Some(whole.id.clone()), ..alert("al-part", "") };
    (whole, part)
}

#[tokio::test]
async fn a_part_is_told_with_what_it_is_a_part_of_and_alone_when_it_goes_on() {
    let trial = Trial::new("incidents: { quiet: 5m }", true, PEOPLE).await;
    let (whole, part) = outage();
    trial.tell(&whole, &["page"]).await;
    trial.tell(&part, &["page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open)]);
    let store = trial.outbox.store();
    let all = desk::incidents(store, &desk::Which { limit: 9, ..desk::Which::default() }).await.expect("incidents");
    assert_eq!((all.len(), all[0].alerts, all[0].alerts_open), (1, 2, 2));
    assert!(all[0].entities.iter().all(|entity| entity.kind == "whole"), "its parts are its alerts");

    // The whole is as before; the endpoint is not.
    trial.tell(&closing(&whole), &["page"]).await;
    trial.tell(&Alert { revision: 1, state: State::Updated, part_of: None, ..part.clone() }, &["page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open), (Page, Updated)]);
    trial.tell(&Alert { revision: 2, state: State::Closed, part_of: None, ..part }, &["page"]).await;
    trial.advance(HOUR_US);
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open), (Page, Updated), (Page, Closed)]);
}

#[tokio::test]
async fn a_part_of_what_is_judged_hushed_or_on_trial_stands_for_itself() {
    let trial = Trial::new("", true, PEOPLE).await;
    let (whole, part) = outage();
    trial.tell(&Alert { dry_run: true, ..whole.clone() }, &["page"]).await;
    trial.tell(&part, &["page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open)], "that of the part alone");

    let trial = Trial::new("", true, PEOPLE).await;
    let hushed = Suppression::new(("whole", "all"), None, "maintenance", HOUR_US, "noor", trial.now());
    desk::suppress(trial.outbox.store(), &hushed.expect("words")).await.expect("suppressed");
    trial.tell(&Alert { entity: Entity { value: "all".to_owned(), ..whole.entity.clone() }, ..whole }, &["page"]).await;
    trial.tell(&part, &["page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open)], "that of the part alone");
}

#[tokio::test]
async fn what_a_part_asks_to_be_blocked_is_blocked() {
    let trial = Trial::new("", true, &[Page, Case, Block]).await;
    let lead = alert("al-1", "203.0.113.7");
    let part = Alert { detector: "other".to_owned(), part_of: Some("al-1".to_owned()), ..alert("al-2", "203.0.113.7") };
    trial.tell(&lead, &["case"]).await;
    trial.tell(&part, &["block", "case"]).await;
    trial.settle().await;
    assert_eq!((trial.board.told(), trial.board.entities()), (vec![(Case, Open)], vec!["203.0.113.7".to_owned()]));
}

#[tokio::test]
async fn whom_a_part_is_about_is_told_of_when_they_do_something_else() {
    let trial = Trial::new("", true, &[Page, Block]).await;
    let (whole, _) = outage();
    trial.tell(&whole, &["page"]).await;
    for (id, address) in [("al-a", "203.0.113.7"), ("al-b", "198.51.100.9")] {
        let part = Alert { part_of: Some(whole.id.clone()), detector: "one".to_owned(), ..alert(id, address) };
        trial.tell(&part, &["page"]).await;
    }
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open)]);
    for (id, address) in [("al-c", "203.0.113.7"), ("al-d", "198.51.100.9")] {
        trial.tell(&alert(id, address), &["block", "page"]).await;
    }
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open); 3], "an incident each");
    // A verdict on the one lets nobody else go.
    let incident = desk::alert(trial.outbox.store(), "al-c").await.expect("read").expect("known").1;
    let close = desk::Deed::Close(Verdict::Expected, "a test of ours".to_owned());
    desk::act(trial.outbox.store(), &incident, &close, "noor", trial.now()).await.expect("closed");
    trial.settle().await;
    assert_eq!(trial.board.entities(), ["198.51.100.9"]);
}

#[tokio::test]
async fn a_part_of_what_cannot_be_joined_is_told_where_it_makes_something_worse() {
    let trial = Trial::new("", true, PEOPLE).await;
    trial.tell(&Alert { severity: Severity::Low, ..alert("al-1", "203.0.113.7") }, &["page"]).await;
    let part = Alert { part_of: Some("al-unknown".to_owned()), ..alert("al-2", "203.0.113.7") };
    trial.tell(&part, &["page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open), (Page, Updated)]);
}

#[tokio::test]
async fn what_goes_on_after_its_cause_was_judged_is_an_incident_of_its_own() {
    let trial = Trial::new("incidents: { quiet: 5m }", true, PEOPLE).await;
    let (whole, part) = outage();
    trial.tell(&whole, &["page"]).await;
    trial.tell(&part, &["page"]).await;
    trial.tell(&closing(&whole), &["page"]).await;
    trial.settle().await;
    let incident = desk::alert(trial.outbox.store(), &part.id).await.expect("read").expect("known").1;
    let close = desk::Deed::Close(Verdict::True, "the database is back".to_owned());
    desk::act(trial.outbox.store(), &incident, &close, "noor", trial.now()).await.expect("closed");
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open), (Page, Closed)]);
    trial.tell(&Alert { revision: 1, state: State::Updated, part_of: None, ..part }, &["page"]).await;
    trial.settle().await;
    assert_eq!(trial.board.told(), [(Page, Open), (Page, Closed), (Page, Open)]);
}
