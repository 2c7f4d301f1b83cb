//! From a change of an incident to what is to be done: messages, and who is to be kept out.
//!
//! Promises: pure. The same change gives the same actions with the same ids and the same bytes, so that telling it again
//! after a replay changes nothing. What is asked for and nobody takes is still planned, at target `none`, and visible.
//! Never: decides whether an action may be sent (`guard.rs`) or sends it.

use std::time::Duration;

use schemas::Message;
use schemas::alert::{Alert, Entity, State, authors};
use schemas::incident::{Event, Status, Verdict};

use super::action::{Action, Kind, Op, hex_id};
use super::actions::common::Common;
use super::incident::{Change, Row, keys, micros_of, rfc3339};
use super::narrow::WAYS;
use super::policy::Decision;
use super::scope::{ADDRESS, NETWORK, Scope};
use super::wanted::{Stand, Wanted};
use super::when::Case;

/// The kind of entity of an action about an address that nobody vouches for: no guard takes it for an address to block.
pub const UNPROVEN_CLIENT: &str = "client_ip_unproven";

/// The target of an action that no configured target takes.
pub const NO_TARGET: &str = "none";

/// The longest body. Receivers of signed webhooks commonly refuse more than some tens of kilobytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The share of an alert's events that a client or principal must have made to be contained for it.
pub const AUTHOR_SHARE: f64 = 0.9;

/// The share of an alert's events in which a principal must have proven who it is to be contained for them.
const PROVEN_SHARE: f64 = 0.5;

/// What planning needs to know besides.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    pub routes: &'a [Common],
    /// Of the configuration; a target may say otherwise for itself.
    pub dry_run: bool,
    /// The prefix at which IPv6 clients are blocked.
    pub ipv6_prefix: u8,
    pub now_us: i64,
    /// What led to it is no older than this, whenever it was last told: it goes on.
    pub news_us: i64,
}

/// What conditions look at.
pub fn case(row: &Row, offences: u32, now_us: i64) -> Case<'_> {
    Case {
        severity: row.severity,
        detectors: &row.detectors,
        entities: &row.entities,
        tenants: &row.tenants,
        owasp: &row.owasp,
        score: row.score,
        offences,
        now_us,
    }
}

/// The messages of a change, in the order of the kinds and the configured targets.
pub fn messages(change: &Change, kinds: &[Kind], case: &Case, around: &Around) -> Vec<Action> {
    let Some(event) = change.event else { return Vec::new() };
    let mut actions = Vec::new();
    for kind in kinds.iter().filter(|kind| !kind.contains()) {
        let (takers, told) = takers(around.routes, *kind, case);
        if !takers {
            actions.push(message_action(change, event, *kind, NO_TARGET, around.dry_run, around));
        }
        actions.extend(told.into_iter().map(|route| message_to(route, change, event, *kind, around)));
    }
    actions
}

/// The message of a change to one target.
pub fn message_to(route: &Common, change: &Change, event: Event, kind: Kind, around: &Around) -> Action {
    let dry_run = route.dry_run.unwrap_or(around.dry_run);
    message_action(change, event, kind, &route.name, dry_run, around)
}

/// Whether any target takes this kind, and those whose `when` holds.
pub fn takers<'a>(routes: &'a [Common], kind: Kind, case: &Case) -> (bool, Vec<&'a Common>) {
    let takers: Vec<&Common> = routes.iter().filter(|route| route.kinds.contains(&kind)).collect();
    (!takers.is_empty(), takers.into_iter().filter(|route| route.when.holds(case)).collect())
}

fn message_action(change: &Change, event: Event, kind: Kind, target: &str, dry_run: bool, around: &Around) -> Action {
    let row = &change.row;
    let revision = row.revision.to_string();
    Action {
        id: hex_id(&["message", &row.id, &revision, kind.name(), target]),
        op: Op::Apply,
        undoes: None,
        incident_id: row.id.clone(),
        alert_id: change.alert.as_ref().map(|alert| alert.id.clone()).unwrap_or_default(),
        detector: change.alert.as_ref().map(|alert| alert.detector.clone()).unwrap_or_default(),
        entity_kind: row.subject.kind.clone(),
        entity_value: row.subject.value.clone(),
        target: target.to_owned(),
        kind,
        queue: format!("incident:{}", row.id),
        body: body(change, event, kind.name()),
        dry_run: row.dry_run || dry_run,
        created_us: around.now_us,
        about_us: row.updated_us.max(around.news_us),
        expires_us: None,
        renews: false,
    }
}

/// Who is to be kept out because of this change. Where the decision leaves the way open that is each that some target can go,
/// narrowest first: the wider give way to it (`narrow.rs`).
pub fn containment(change: &Change, decision: &Decision, around: &Around) -> Vec<Wanted> {
    let Some(alert) = &change.alert else { return Vec::new() };
    let goes_on = match change.row.verdict {
        // A person's word counts, also before the incident is closed for it.
        Some(verdict) => verdict == Verdict::True,
        None => change.row.status != Status::Closed,
    };
    if alert.state == State::Closed || !goes_on {
        return Vec::new();
    }
    let mut wanted: Vec<(Kind, Entity, Option<String>)> = Vec::new();
    for kind in &decision.contain {
        match entity_for(alert, *kind, around.ipv6_prefix) {
            Some(entity) => wanted.push((*kind, entity, None)),
            // Nobody in particular: told as such, and refused by the guard.
            None => wanted.push((*kind, alert.entity.clone(), None)),
        }
    }
    if decision.narrowest {
        let able = |kind: &Kind| around.routes.iter().any(|route| route.kinds.contains(kind));
        let (mut narrower, mut ways) = (None, Vec::new());
        for kind in WAYS.into_iter().filter(able) {
            let Some(entity) = entity_for(alert, kind, around.ipv6_prefix) else { continue };
            let principal = (kind != Kind::Block).then(|| entity.value.clone());
            ways.push((kind, entity, narrower.clone()));
            narrower = narrower.or(principal);
        }
        if ways.is_empty() {
            ways.push((Kind::Block, alert.entity.clone(), None));
        }
        // What is asked for by its name gives way to nothing.
        wanted.extend(ways.into_iter().filter(|(kind, ..)| !decision.contain.contains(kind)));
    }
    let make = |(kind, entity, narrower): (Kind, Entity, Option<String>)| Wanted {
        kind,
        entity_kind: entity.kind,
        entity_value: entity.value,
        incident_id: change.row.id.clone(),
        alert_id: alert.id.clone(),
        detector: alert.detector.clone(),
        stand: Stand::Active,
        since_us: around.now_us,
        // Of this alert: that of the incident may be another attacker's of the same network.
        attack_us: micros_of(&alert.updated).unwrap_or(change.row.updated_us).max(around.news_us),
        ttl_us: micros(decision.ttl),
        approve: decision.approve,
        held: None,
        body: body(change, change.event.unwrap_or(Event::Updated), kind.name()),
        dry_run: change.row.dry_run,
        severity: change.row.severity,
        narrower,
        instead: false,
        by_name: decision.contain.contains(&kind),
    };
    wanted.into_iter().map(make).collect()
}

/// The kinds of containment that a decision asks for, whether or not the alert names somebody for each.
pub fn asks(decision: &Decision, around: &Around) -> Vec<Kind> {
    let able = |kind: &Kind| around.routes.iter().any(|route| route.kinds.contains(kind));
    let ways = WAYS.into_iter().filter(|kind| decision.narrowest && able(kind));
    decision.contain.iter().copied().chain(ways).collect()
}

/// Whom to keep out in this way because of an alert: who it is about, or who made nearly all of it.
pub fn entity_for(alert: &Alert, kind: Kind, ipv6_prefix: u8) -> Option<Entity> {
    let parts = keys::parts(alert);
    match kind {
        Kind::Block => {
            if let Some(unproven) = parts.iter().find(|part| part.kind == UNPROVEN_CLIENT) {
                return Some(unproven.clone());
            }
            let named = parts.iter().find(|part| part.kind == ADDRESS).map(|part| part.value.as_str());
            let author = || authors(&alert.evidence, "client_ips", AUTHOR_SHARE).first().copied();
            let value = named.or_else(author)?;
            Some(widened(value, ipv6_prefix))
        }
        Kind::Revoke | Kind::Throttle => {
            let named = parts.iter().find(|part| part.kind == "principal").map(|part| part.value.as_str());
            let author = || authors(&alert.evidence, "principals", AUTHOR_SHARE).first().copied();
            // Anybody can write a name into a request, and the one at whom passwords are guessed is the victim.
            let proven = authors(&alert.evidence, "proven", PROVEN_SHARE);
            let value = named.or_else(author).filter(|value| proven.contains(value))?;
            Some(Entity { kind: "principal".to_owned(), value: value.to_owned() })
        }
        Kind::Notify | Kind::Case | Kind::Page => None,
    }
}

/// An IPv6 client has at least a /64, and changes its address within it at will.
fn widened(address: &str, ipv6_prefix: u8) -> Entity {
    let entity = |kind: &str, value: String| Entity { kind: kind.to_owned(), value };
    let scope = Scope::of_entity(ADDRESS, address);
    // What was judged as a network is kept out as one, and never less of it.
    let bits = |scope: &Scope| ipv6_prefix.min(scope.net().prefix_len());
    match scope.filter(|scope| !scope.is_v4() && bits(scope) < 128) {
        Some(scope) => match Scope::around(scope.net().addr(), bits(&scope)) {
            Some(network) => entity(NETWORK, network.to_string()),
            None => entity(ADDRESS, address.to_owned()),
        },
        None => entity(ADDRESS, address.to_owned()),
    }
}

/// What a target is told, in JSON.
pub(super) fn body(change: &Change, event: Event, kind: &str) -> Vec<u8> {
    let message = Message {
        event,
        timestamp: rfc3339(change.row.updated_us),
        kind: kind.to_owned(),
        incident: change.row.show(),
        alert: change.alert.clone(),
        standing: None,
    };
    let bytes = written(&message);
    if bytes.len() <= BODY_BYTES_MAX {
        return bytes;
    }
    // Evidence is the one part of an alert that can be large, and the lake's alerts table has it whole.
    let note = format!("{} bytes, too long for a message; see the alerts table", bytes.len());
    let short = |alert: Alert| Alert { evidence: serde_json::json!({ "omitted": note }), ..alert };
    written(&Message { alert: message.alert.clone().map(short), ..message })
}

fn written(message: &Message) -> Vec<u8> {
    serde_json::to_vec(message).expect("an incident is plain data with string keys")
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::respond::policy;
    use schemas::alert::{Severity, Window};

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
            part_of: None,
        }
    }

    fn routes() -> Vec<Common> {
        let route = |name: &str, kinds: &[Kind], dry_run| Common {
            name: name.to_owned(),
            kinds: kinds.to_vec(),
            dry_run,
            ..Common::default()
        };
        vec![
            route("soar", &[Kind::Case, Kind::Notify], None),
            route("pager", &[Kind::Page], Some(true)),
            route("waf", &[Kind::Block], None),
        ]
    }

    fn change(alert: &Alert) -> Change {
        let row = Row {
            id: "in-1".to_owned(),
            revision: 0,
            status: Status::Open,
            title: alert.title.clone(),
            severity: alert.severity,
            score: 60.0,
            score_us: 0,
            subject: alert.entity.clone(),
            opened_us: 0,
            updated_us: 5,
            changed_us: 0,
            quiet_us: None,
            alerts: 1,
            alerts_open: 1,
            entities: vec![alert.entity.clone()],
            detectors: vec![alert.detector.clone()],
            tenants: Vec::new(),
            owasp: Vec::new(),
            attack: Vec::new(),
            kinds: Vec::new(),
            assignee: None,
            verdict: None,
            dry_run: alert.dry_run,
        };
        Change { row, event: Some(Event::Open), alert: Some(alert.clone()) }
    }

    fn told(change: &Change, kinds: &[Kind], routes: &[Common], dry_run: bool) -> Vec<Action> {
        let around = Around { routes, dry_run, ipv6_prefix: 64, now_us: 7, news_us: i64::MIN };
        messages(change, kinds, &case(&change.row, 0, 7), &around)
    }

    fn shape(actions: &[Action]) -> Vec<(&str, &str, bool)> {
        actions.iter().map(|a| (a.target.as_str(), a.kind.name(), a.dry_run)).collect()
    }

    #[test]
    fn a_message_goes_to_whoever_takes_it_and_otherwise_to_nobody() {
        let change = change(&alert("203.0.113.7"));
        let actions = told(&change, &[Kind::Case, Kind::Page, Kind::Block], &routes(), false);
        assert_eq!(shape(&actions), [("soar", "case", false), ("pager", "page", true)]);
        assert_eq!((actions[0].expires_us, actions[0].queue.as_str()), (None, "incident:in-1"));
        assert_eq!(shape(&told(&change, &[Kind::Case], &[], false)), [(NO_TARGET, "case", false)]);
        assert_eq!(shape(&told(&change, &[Kind::Case], &routes(), true)), [("soar", "case", true)]);
    }

    #[test]
    fn a_target_hears_of_what_its_when_is_about() {
        let mut routes = routes();
        routes[0].when = serde_saphyr::from_str("severity: critical").expect("a condition");
        let change = change(&alert("203.0.113.7"));
        assert!(told(&change, &[Kind::Case], &routes, false).is_empty(), "taken, and not for this one");
        let worse = Change { row: Row { severity: Severity::Critical, ..change.row.clone() }, ..change };
        assert_eq!(shape(&told(&worse, &[Kind::Case], &routes, false)), [("soar", "case", false)]);
    }

    #[test]
    fn ids_are_stable_and_tell_apart_what_differs() {
        let ids = |change: &Change| -> Vec<String> {
            let actions = told(change, &[Kind::Case, Kind::Notify], &routes(), false);
            actions.into_iter().map(|action| action.id).collect()
        };
        let first = change(&alert("203.0.113.7"));
        // Pinned: an id that changed between versions would repeat every action after an upgrade.
        assert_eq!(ids(&first)[0], "66def2e353bfd280957d00351704cdeb");
        let second = Change { row: Row { revision: 1, ..first.row.clone() }, ..first.clone() };
        let other = Change { row: Row { id: "in-2".to_owned(), ..first.row.clone() }, ..first.clone() };
        let mut all = [ids(&first), ids(&second), ids(&other)].concat();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
    }

    #[test]
    fn a_body_stays_below_its_bound() {
        let long = Alert { evidence: serde_json::json!({ "paths": "x".repeat(200_000) }), ..alert("203.0.113.7") };
        let actions = told(&change(&long), &[Kind::Case], &routes(), false);
        assert!(actions[0].body.len() < BODY_BYTES_MAX);
        let body: serde_json::Value = serde_json::from_slice(&actions[0].body).expect("JSON");
        assert!(body["alert"]["evidence"]["omitted"].as_str().expect("a note").contains("see the alerts table"));
    }

    /// (kind, kind of entity, entity) of what is wanted because of this alert.
    fn wanted(alert: &Alert, policy: &str, routes: &[Common]) -> Vec<(&'static str, String, String)> {
        let policy: Vec<policy::Entry> = serde_saphyr::from_str(policy).expect("a policy");
        let change = change(alert);
        let decision = policy::decide(&policy, &case(&change.row, 0, 7), &[], Duration::from_secs(60));
        let around = Around { routes, dry_run: false, ipv6_prefix: 64, now_us: 7, news_us: i64::MIN };
        let wanted = containment(&change, &decision, &around);
        wanted.into_iter().map(|w| (w.kind.name(), w.entity_kind, w.entity_value)).collect()
    }

    fn owned<const N: usize>(list: [(&'static str, &str, &str); N]) -> Vec<(&'static str, String, String)> {
        list.map(|(kind, what, value)| (kind, what.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn an_address_is_blocked_and_of_ipv6_its_network() {
        let block = "[{ do: [block] }]";
        assert_eq!(wanted(&alert("203.0.113.7"), block, &routes()), owned([("block", "client_ip", "203.0.113.7")]));
        assert_eq!(wanted(&alert("2001:db8::7"), block, &routes()), owned([("block", "network", "2001:db8::/64")]));
        assert_eq!(wanted(&alert("2001:db8::/64"), block, &routes()), owned([("block", "network", "2001:db8::/64")]));
        assert_eq!(wanted(&alert("2001:db8::/48"), block, &routes()), owned([("block", "network", "2001:db8::/48")]));
        let mut unproven = alert("203.0.113.7");
        unproven.evidence["client_ip_source"] = "unproven".into();
        assert_eq!(wanted(&unproven, block, &routes()), owned([("block", UNPROVEN_CLIENT, "203.0.113.7")]));
        let closed = Alert { state: State::Closed, ..alert("203.0.113.7") };
        assert!(wanted(&closed, block, &routes()).is_empty());
    }

    #[test]
    fn the_narrowest_scope_that_somebody_can_act_on() {
        let contain = "[{ do: [contain] }]";
        let mut pair = alert("");
        pair.entity = Entity { kind: "client_ip+principal".to_owned(), value: "203.0.113.7+anna".to_owned() };
        pair.evidence = serde_json::json!({ "entity": { "client_ip": "203.0.113.7", "principal": "anna" }, "counted": 60,
            "proven": [{ "value": "anna", "count": 60 }] });
        assert_eq!(wanted(&pair, contain, &routes()), owned([("block", "client_ip", "203.0.113.7")]));
        let mut gateway = routes();
        gateway.push(Common { name: "kong".to_owned(), kinds: vec![Kind::Revoke], ..Common::default() });
        let both = owned([("revoke", "principal", "anna"), ("block", "client_ip", "203.0.113.7")]);
        assert_eq!(wanted(&pair, contain, &gateway), both, "the wider gives way to the narrower");
        // A name that was only claimed, or at which passwords were guessed, is not the attacker's.
        pair.evidence["proven"] = serde_json::json!([{ "value": "anna", "count": 29 }]);
        assert_eq!(wanted(&pair, contain, &gateway), owned([("block", "client_ip", "203.0.113.7")]));
        let mut claimed = alert("203.0.113.66");
        claimed.evidence = serde_json::json!({ "counted": 12, "statuses": [{ "value": "404", "count": 12 }],
            "principals": [{ "value": "alice", "count": 12 }] });
        assert_eq!(wanted(&claimed, contain, &gateway), owned([("block", "client_ip", "203.0.113.66")]));
        let mut victim = alert("");
        victim.entity = Entity { kind: "principal".to_owned(), value: "bob".to_owned() };
        victim.evidence = serde_json::json!({ "entity": { "principal": "bob" }, "counted": 12,
            "principals": [{ "value": "bob", "count": 12 }] });
        assert_eq!(
            wanted(&victim, contain, &gateway),
            owned([("block", "principal", "bob")]),
            "which no guard lets pass"
        );
        // A policy that says so means it.
        assert_eq!(wanted(&victim, "[{ do: [revoke] }]", &gateway), owned([("revoke", "principal", "bob")]));
        // Who made nearly all of it is who is meant.
        let mut endpoint = alert("");
        endpoint.entity = Entity { kind: "endpoint".to_owned(), value: "GET /v1/orders/{id}".to_owned() };
        endpoint.evidence =
            serde_json::json!({ "counted": 100, "client_ips": [{ "value": "203.0.113.7", "count": 95 }] });
        assert_eq!(wanted(&endpoint, contain, &gateway), owned([("block", "client_ip", "203.0.113.7")]));
        endpoint.evidence["counted"] = 200.into();
        assert_eq!(wanted(&endpoint, contain, &gateway), owned([("block", "endpoint", "GET /v1/orders/{id}")]));
    }
}
