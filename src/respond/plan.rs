//! From a telling of an alert to the actions it asks for.
//!
//! Promises: pure. The same telling gives the same actions with the same ids and the same bytes, so that telling it again
//! after a replay changes nothing. What a rule asks for and nobody takes is still planned, at target `none`, and visible.
//! Never: decides whether an action may be sent (`guard.rs`) or sends it.

use std::net::IpAddr;

use aws_lc_rs::digest;
use schemas::alert::{Alert, State};
use serde::Serialize;

use super::action::{Action, Kind};
use super::config::{RespondConfig, Telling};

/// The kind of entity of an action about an address that nobody vouches for: no guard takes it for an address to block.
pub const UNPROVEN_CLIENT: &str = "client_ip_unproven";

/// The target of an action that no configured target takes.
pub const NO_TARGET: &str = "none";

/// The longest body. Receivers of signed webhooks commonly refuse more than some tens of kilobytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// What planning needs to know of a target.
#[derive(Clone, Debug)]
pub struct Route {
    pub target: String,
    pub kinds: Vec<Kind>,
    /// The target's own word on dry run, over the configuration's.
    pub dry_run: Option<bool>,
}

/// The message that every target gets, in its body or as the source of it.
#[derive(Serialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    type_name: &'static str,
    timestamp: &'a str,
    kind: Kind,
    data: &'a Alert,
}

/// The actions of one telling, in the order of the rule's list and the configured targets. Unknown kinds ask for nothing;
/// the rule's own check refuses them long before.
pub fn plan(alert: &Alert, kinds: &[String], config: &RespondConfig, routes: &[Route], now_us: i64) -> Vec<Action> {
    if !config.tell.contains(&telling_of(alert.state)) {
        return Vec::new();
    }
    let mut wanted: Vec<Kind> = Vec::new();
    for kind in kinds.iter().filter_map(|name| Kind::parse(name)) {
        if !wanted.contains(&kind) && (kind != Kind::Block || alert.state == State::Open) {
            wanted.push(kind);
        }
    }
    let mut actions = Vec::new();
    for kind in wanted {
        let takers: Vec<&Route> = routes.iter().filter(|route| route.kinds.contains(&kind)).collect();
        if takers.is_empty() {
            let dry_run = alert.dry_run || config.dry_run;
            actions.push(action(alert, kind, NO_TARGET, dry_run, config, now_us));
        }
        for route in takers {
            let dry_run = alert.dry_run || route.dry_run.unwrap_or(config.dry_run);
            actions.push(action(alert, kind, &route.target, dry_run, config, now_us));
        }
    }
    actions
}

fn action(alert: &Alert, kind: Kind, target: &str, dry_run: bool, config: &RespondConfig, now_us: i64) -> Action {
    let ttl_us = i64::try_from(config.guard.ttl.as_micros()).unwrap_or(i64::MAX);
    Action {
        id: action_id(alert, kind, target),
        alert_id: alert.id.clone(),
        detector: alert.detector.clone(),
        entity_kind: entity_kind(alert),
        entity_value: alert.entity.value.clone(),
        target: target.to_owned(),
        kind,
        queue: queue_of(alert, kind),
        body: body(alert, kind),
        dry_run,
        created_us: now_us,
        expires_us: (kind == Kind::Block).then(|| now_us.saturating_add(ttl_us)),
    }
}

fn entity_kind(alert: &Alert) -> String {
    let unproven = alert.evidence["client_ip_source"] == "unproven" && alert.entity.kind == "client_ip";
    if unproven { UNPROVEN_CLIENT.to_owned() } else { alert.entity.kind.clone() }
}

/// A hash of what makes the action this one: which telling of which alert, what is done, where.
fn action_id(alert: &Alert, kind: Kind, target: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    let revision = alert.revision.to_string();
    // A telling is open or closed once in an alert's life; updates are told apart by their revision.
    let revision = if alert.state == State::Updated { revision.as_str() } else { "" };
    for part in [alert.id.as_str(), target, kind.name(), type_name(alert.state), revision] {
        // With its length before it, no two lists of parts spell the same bytes.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn queue_of(alert: &Alert, kind: Kind) -> String {
    if kind != Kind::Block {
        return format!("alert:{}", alert.id);
    }
    let plain = |address: IpAddr| address.to_canonical().to_string();
    let value = &alert.entity.value;
    format!("block:{}", value.parse().map_or_else(|_| value.clone(), plain))
}

fn body(alert: &Alert, kind: Kind) -> Vec<u8> {
    let bytes = message(alert, kind);
    if bytes.len() <= BODY_BYTES_MAX {
        return bytes;
    }
    // Evidence is the one part of an alert that can be large, and the lake's alerts table has it whole.
    let note = format!("{} bytes, too long for a message; see the alerts table", bytes.len());
    let short = Alert { evidence: serde_json::json!({ "omitted": note }), ..alert.clone() };
    message(&short, kind)
}

fn message(alert: &Alert, kind: Kind) -> Vec<u8> {
    let message = Message { type_name: type_name(alert.state), timestamp: &alert.updated, kind, data: alert };
    serde_json::to_vec(&message).expect("an alert is plain data with string keys")
}

fn type_name(state: State) -> &'static str {
    match state {
        State::Open => "alert.open",
        State::Updated => "alert.updated",
        State::Closed => "alert.closed",
    }
}

fn telling_of(state: State) -> Telling {
    match state {
        State::Open => Telling::Open,
        State::Updated => Telling::Updated,
        State::Closed => Telling::Closed,
    }
}

/// When the alert opened, in microseconds; `None` when its time cannot be read.
pub fn opened_us(alert: &Alert) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(&alert.opened).ok().map(|time| time.timestamp_micros())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use schemas::alert::{Entity, Severity, Window};

    pub(crate) fn alert(address: &str) -> Alert {
        Alert {
            id: "al-1".to_owned(),
            revision: 0,
            state: State::Open,
            detector: "auth-burst-ip".to_owned(),
            title: "Many refused logins from one address".to_owned(),
            severity: Severity::High,
            entity: Entity { kind: "client_ip".to_owned(), value: address.to_owned() },
            opened: "2026-03-02T10:00:00.000000Z".to_owned(),
            updated: "2026-03-02T10:00:05.000000Z".to_owned(),
            window: Window {
                start: "2026-03-02T09:59:05.000000Z".to_owned(),
                end: "2026-03-02T10:00:05.000000Z".to_owned(),
            },
            observed: 60.0,
            expected: None,
            threshold: 50.0,
            score: 0.8,
            events: 60,
            owasp: vec!["API2:2023".to_owned()],
            attack: vec!["T1110".to_owned()],
            evidence: serde_json::json!({ "statuses": { "401": 60 } }),
            dry_run: false,
        }
    }

    fn routes() -> Vec<Route> {
        let route =
            |target: &str, kinds: &[Kind], dry_run| Route { target: target.to_owned(), kinds: kinds.to_vec(), dry_run };
        vec![
            route("soar", &[Kind::Case, Kind::Notify], None),
            route("pager", &[Kind::Page], Some(true)),
            route("waf", &[Kind::Block], None),
        ]
    }

    fn live() -> RespondConfig {
        RespondConfig { dry_run: false, ..RespondConfig::default() }
    }

    fn words(list: &[&str]) -> Vec<String> {
        list.iter().map(|word| (*word).to_owned()).collect()
    }

    fn shape(actions: &[Action]) -> Vec<(&str, &str, bool)> {
        actions.iter().map(|a| (a.target.as_str(), a.kind.name(), a.dry_run)).collect()
    }

    #[test]
    fn an_opening_alert_goes_to_whoever_takes_what_the_rule_asks_for() {
        let kinds = words(&["block", "case", "page", "case", "dance"]);
        let actions = plan(&alert("203.0.113.7"), &kinds, &live(), &routes(), 7);
        assert_eq!(shape(&actions), [("waf", "block", false), ("soar", "case", false), ("pager", "page", true)]);
        assert_eq!(actions[0].expires_us, Some(7 + 14_400_000_000));
        assert_eq!(actions[0].queue, "block:203.0.113.7");
        assert_eq!(actions[1].expires_us, None);
        assert_eq!(actions[1].queue, "alert:al-1");
    }

    #[test]
    fn what_nobody_takes_is_planned_for_nobody() {
        let actions = plan(&alert("203.0.113.7"), &words(&["block"]), &live(), &[], 7);
        assert_eq!(shape(&actions), [(NO_TARGET, "block", false)]);
    }

    #[test]
    fn dry_run_of_the_configuration_and_of_the_alert() {
        let careful = plan(&alert("203.0.113.7"), &words(&["case"]), &RespondConfig::default(), &routes(), 7);
        assert_eq!(shape(&careful), [("soar", "case", true)]);
        let trying = Alert { dry_run: true, ..alert("203.0.113.7") };
        assert_eq!(shape(&plan(&trying, &words(&["case"]), &live(), &routes(), 7)), [("soar", "case", true)]);
    }

    #[test]
    fn updates_stay_here_and_a_closing_alert_blocks_nobody() {
        let kinds = words(&["block", "notify"]);
        let updated = Alert { state: State::Updated, revision: 3, ..alert("203.0.113.7") };
        assert!(plan(&updated, &kinds, &live(), &routes(), 7).is_empty());
        let closed = Alert { state: State::Closed, revision: 4, ..alert("203.0.113.7") };
        assert_eq!(shape(&plan(&closed, &kinds, &live(), &routes(), 7)), [("soar", "notify", false)]);
        let chatty = RespondConfig { tell: vec![Telling::Updated], ..live() };
        assert_eq!(shape(&plan(&updated, &kinds, &chatty, &routes(), 7)), [("soar", "notify", false)]);
    }

    #[test]
    fn ids_are_stable_and_tell_apart_what_differs() {
        let kinds = words(&["case", "notify"]);
        let ids = |alert: &Alert, now| -> Vec<String> {
            plan(alert, &kinds, &live(), &routes(), now).into_iter().map(|action| action.id).collect()
        };
        let open = alert("203.0.113.7");
        assert_eq!(ids(&open, 7), ids(&open, 999), "the time of planning is not part of the id");
        // Pinned: an id that changed between versions would repeat every action after an upgrade.
        assert_eq!(ids(&open, 7)[0], "a039430b4e7163c24079e6144139889b");
        let closed = Alert { state: State::Closed, ..open.clone() };
        let other = Alert { id: "al-2".to_owned(), ..open.clone() };
        let mut all = [ids(&open, 7), ids(&closed, 7), ids(&other, 7)].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn the_body_is_the_published_alert_in_an_envelope() {
        let alert = alert("203.0.113.7");
        let actions = plan(&alert, &words(&["case"]), &live(), &routes(), 7);
        let body: serde_json::Value = serde_json::from_slice(&actions[0].body).expect("JSON");
        let expected = serde_json::json!({
            "type": "alert.open",
            "timestamp": "2026-03-02T10:00:05.000000Z",
            "kind": "case",
            "data": serde_json::to_value(&alert).expect("serialises"),
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_body_stays_below_its_bound() {
        let long = Alert { evidence: serde_json::json!({ "paths": "x".repeat(200_000) }), ..alert("203.0.113.7") };
        let actions = plan(&long, &words(&["case"]), &live(), &routes(), 7);
        assert!(actions[0].body.len() < BODY_BYTES_MAX);
        let body: serde_json::Value = serde_json::from_slice(&actions[0].body).expect("JSON");
        assert!(body["data"]["evidence"]["omitted"].as_str().expect("a note").contains("see the alerts table"));
    }

    #[test]
    fn one_address_has_one_queue_in_every_spelling() {
        let queue = |entity: &str| plan(&alert(entity), &words(&["block"]), &live(), &routes(), 7)[0].queue.clone();
        assert_eq!(queue("::ffff:203.0.113.7"), queue("203.0.113.7"));
    }
}
