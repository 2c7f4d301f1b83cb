//! `score` on alerts made by hand.

use schemas::Alert;
use schemas::alert::{Entity, Severity, State, Window};

use super::*;

pub(super) fn rfc3339(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

pub(in crate::demo) fn alert(id: &str, detector: &str, entity: &Entity, opened_us: i64) -> Alert {
    let opened = rfc3339(opened_us);
    Alert {
        id: id.into(),
        revision: 0,
        state: State::Open,
        detector: detector.into(),
        title: detector.into(),
        severity: Severity::High,
        entity: entity.clone(),
        opened: opened.clone(),
        updated: opened.clone(),
        window: Window { start: opened.clone(), end: opened },
        observed: 1.0,
        expected: None,
        threshold: 1.0,
        score: 1.0,
        events: 1,
        owasp: vec![],
        attack: vec![],
        evidence: Value::Null,
        dry_run: true,
        part_of: None,
    }
}

pub(super) fn plan() -> Plan {
    Traffic::new(&small()).unwrap().plan().clone()
}

/// What a detector that knows everything would say.
pub(super) fn all_found(plan: &Plan) -> Vec<Alert> {
    let one = |p: &Planted| alert(p.id, p.detectors[0], &p.entities[0], p.start_us + 40_000_000);
    plan.planted.iter().map(one).collect()
}

#[test]
fn nothing_said_is_all_missed_and_all_quiet() {
    let plan = plan();
    let score = score(&plan, &[]);
    assert_eq!((score.found.len(), score.missed.len(), score.quiet.len()), (0, 8, 12));
    assert!(!score.perfect());
}

#[test]
fn everything_found_is_perfect() {
    let plan = plan();
    let score = score(&plan, &all_found(&plan));
    assert!(score.perfect() && score.unexpected.is_empty(), "{score:?}");
    assert_eq!(score.found.len(), 8);
    assert!(score.found.iter().all(|found| found.seconds == 40.0 && found.alerts == [found.id]));
}

#[test]
fn an_alert_about_nothing_planted_is_not_perfect() {
    let plan = plan();
    let stranger = Entity { kind: "client_ip".into(), value: "198.18.0.7".into() };
    let mut alerts = all_found(&plan);
    alerts.push(alert("else", "endpoint-sweep", &stranger, plan.attack("endpoint-sweep").unwrap().start_us));
    let score = score(&plan, &alerts);
    assert_eq!((score.missed.len(), score.alerted.len(), score.unexpected.len()), (0, 0, 1));
    assert!(!score.perfect());
}

#[test]
fn tellings_of_one_episode_count_once_and_company_is_kept_with_its_attack() {
    let plan = plan();
    let brute = plan.attack("brute-force").unwrap();
    let at = brute.start_us;
    let opened = alert("a", "brute-force-principal", &brute.entities[0], at + 90_000_000);
    let mut closed = alert("a", "brute-force-principal", &brute.entities[0], at + 90_000_000);
    (closed.state, closed.revision) = (State::Closed, 1);
    let company = alert("b", "auth-burst-new-ip", &brute.entities[2], at + 60_000_000);
    let score = score(&plan, &[company, opened, closed]);
    let found = &score.found[0];
    assert_eq!((found.detector.as_str(), found.alert.as_str(), found.seconds), ("brute-force-principal", "a", 90.0));
    assert_eq!(found.alerts, ["b", "a"]);
    assert!(score.unexpected.is_empty());
}

#[test]
fn company_alone_does_not_find_an_attack() {
    let plan = plan();
    let brute = plan.attack("brute-force").unwrap();
    let score = score(&plan, &[alert("b", "auth-burst-new-ip", &brute.entities[2], brute.start_us)]);
    assert!(score.missed.contains(&"brute-force") && score.unexpected.is_empty());
}

#[test]
fn the_wrong_time_entity_or_detector_is_unexpected() {
    let plan = plan();
    let sweep = plan.attack("endpoint-sweep").unwrap();
    let hour = 3_600_000_000;
    let stranger = Entity { kind: "client_ip".into(), value: "198.18.0.7".into() };
    let alerts = [
        alert("early", "endpoint-sweep", &sweep.entities[0], sweep.start_us - hour),
        alert("late", "endpoint-sweep", &sweep.entities[0], sweep.end_us + hour),
        alert("else", "endpoint-sweep", &stranger, sweep.start_us),
        alert("odd", "bulk-export-bytes", &sweep.entities[0], sweep.start_us),
    ];
    let score = score(&plan, &alerts);
    let ids: Vec<&str> = score.unexpected.iter().map(|other| other.alert.as_str()).collect();
    assert_eq!(ids, ["early", "else", "odd", "late"]);
    assert_eq!(score.missed.len(), 8);
}

#[test]
fn a_look_alike_is_alerted_by_what_it_is_not_and_tolerated_for_what_it_is() {
    let plan = plan();
    let key = plan.look_alike("expired-key").unwrap();
    let right = alert("r", "error-spike-4xx", &key.entities[0], key.start_us + 1);
    let wrong = alert("w", "auth-burst-new-ip", &key.entities[0], key.start_us + 2);
    let quiet = score(&plan, std::slice::from_ref(&right));
    assert!(quiet.alerted.is_empty() && quiet.unexpected.is_empty());
    let tolerated = &quiet.quiet.iter().find(|quiet| quiet.id == "expired-key").unwrap().tolerated;
    assert_eq!(tolerated[0].alert, "r");
    let alerted = score(&plan, &[right, wrong]);
    assert_eq!(alerted.quiet.len(), 11);
    assert_eq!((alerted.alerted[0].id, alerted.alerted[0].alerts[0].alert.as_str()), ("expired-key", "w"));
}
