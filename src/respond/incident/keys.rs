//! What the alerts of one attacker have in common: the keys by which alerts become one incident.
//!
//! Promises: pure. An alert about a client, a principal or a credential has that as a key; one about something else (an
//! endpoint, the whole) has the client or principal that made most of it, and itself. An address that nobody vouches for is a key
//! of a kind of its own, so that it never drags a real client into an incident; nor does a principal that no counted request
//! proved: it is a name that anybody can write into a request.
//! Never: takes a tenant or an autonomous system for one attacker.

use schemas::Alert;
use schemas::alert::{AUTHOR_SHARE, Entity, authors};
use serde_json::Value;

use crate::respond::plan::UNPROVEN_CLIENT;
use crate::respond::scope::{ADDRESS, Scope};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: String,
    pub value: String,
}

impl Key {
    fn new(kind: impl Into<String>, value: impl Into<String>) -> Key {
        Key { kind: kind.into(), value: value.into() }
    }
}

/// The parts of an alert's entity, by kind: a pair has two.
pub fn parts(alert: &Alert) -> Vec<Entity> {
    let entity = |kind: &str, value: &str| Entity { kind: kind.to_owned(), value: value.to_owned() };
    let unproven = alert.evidence["client_ip_source"] == "unproven";
    let named = |kind: &str| if kind == ADDRESS && unproven { UNPROVEN_CLIENT.to_owned() } else { kind.to_owned() };
    let whole = alert.evidence["entity"].as_object().filter(|map| map.len() > 1).map(|map| {
        let part = |(kind, value): (&String, &Value)| entity(&named(kind), value.as_str().unwrap_or_default());
        map.iter().map(part).collect::<Vec<_>>()
    });
    whole.unwrap_or_else(|| vec![entity(&named(&alert.entity.kind), &alert.entity.value)])
}

/// Whether it is somebody who attacks, not what is attacked.
pub fn is_somebody(entity: &Entity) -> bool {
    [ADDRESS, UNPROVEN_CLIENT, "principal", "credential"].contains(&entity.kind.as_str())
}

/// Whether some of this principal's requests among those that the alert counted authenticated: until then it is a name that
/// anybody can claim.
fn is_proven(alert: &Alert, principal: &str) -> bool {
    let proven = alert.evidence["proven"].as_array().map(Vec::as_slice).unwrap_or_default();
    proven.iter().any(|name| name["value"] == principal)
}

/// The keys of an alert, in order, each once.
pub fn keys(alert: &Alert) -> Vec<Key> {
    let mut keys = Vec::new();
    let (mut about_somebody, mut claimed) = (false, None);
    for part in parts(alert) {
        match part.kind.as_str() {
            ADDRESS => {
                about_somebody = true;
                keys.extend(address_keys(&part.value, &alert.detector));
                keys.extend(joined_keys(alert, &part.value));
            }
            "credential" | UNPROVEN_CLIENT => {
                about_somebody = true;
                keys.push(Key::new(part.kind, part.value));
            }
            "principal" if is_proven(alert, &part.value) => {
                about_somebody = true;
                keys.push(Key::new(part.kind, part.value));
            }
            // Anybody can claim any name: it joins what the same detector says of it, and nothing else.
            "principal" => claimed = Some(Key::new("principal_claimed", format!("{} {}", part.value, alert.detector))),
            _ => {}
        }
    }
    if !about_somebody {
        keys.push(claimed.unwrap_or_else(|| Key::new(alert.entity.kind.clone(), alert.entity.value.clone())));
        for client in authors(&alert.evidence, "client_ips", AUTHOR_SHARE) {
            keys.extend(address_keys(client, &alert.detector));
        }
    }
    if !keys.iter().any(|key| key.kind == "principal") {
        let principals =
            authors(&alert.evidence, "principals", AUTHOR_SHARE).into_iter().filter(|name| is_proven(alert, name));
        keys.extend(principals.map(|principal| Key::new("principal", principal)));
    }
    keys.sort();
    keys.dedup();
    keys
}

/// An address, and its neighbourhood: an IPv6 customer has a /64; of IPv4 a /24 counts where the same detector tells of it.
fn address_keys(address: &str, detector: &str) -> Vec<Key> {
    let Some(scope) = Scope::of_entity(ADDRESS, address) else { return vec![Key::new(ADDRESS, address)] };
    let around = |bits| Scope::around(scope.net().addr(), bits).map(|net| net.to_string()).unwrap_or_default();
    let neighbours = if scope.is_v4() {
        Key::new("network", format!("{} {detector}", around(24)))
    } else {
        Key::new("network", around(scope.net().prefix_len().min(64)))
    };
    vec![Key::new(ADDRESS, scope.to_string()), neighbours]
}

/// Of neighbours that are judged as one network: the networks of those that the evidence names.
fn joined_keys(alert: &Alert, network: &str) -> Vec<Key> {
    let is_wide = |scope: &Scope| !scope.is_v4() && scope.net().prefix_len() < 64;
    let Some(network) = Scope::of_entity(ADDRESS, network).filter(is_wide) else { return Vec::new() };
    let seen = alert.evidence["client_ips"].as_array().map(Vec::as_slice).unwrap_or_default();
    let scopes = seen.iter().filter_map(|seen| Scope::of_entity(ADDRESS, seen["value"].as_str()?));
    let within = scopes.filter(|scope| network.contains(scope));
    within.filter_map(|scope| Some(Key::new("network", Scope::around(scope.net().addr(), 64)?.to_string()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::plan::tests::alert;
    use serde_json::json;

    fn of(alert: &Alert) -> Vec<String> {
        keys(alert).into_iter().map(|key| format!("{}={}", key.kind, key.value)).collect()
    }

    #[test]
    fn clients_share_their_address_and_their_neighbourhood() {
        assert_eq!(of(&alert("203.0.113.7")), ["client_ip=203.0.113.7", "network=203.0.113.0/24 auth-burst-ip"]);
        assert_eq!(of(&alert("2001:db8::1")), ["client_ip=2001:db8::1", "network=2001:db8::/64"]);
        assert_eq!(of(&alert("2001:db8::/64")), ["client_ip=2001:db8::/64", "network=2001:db8::/64"]);
        let mut joined = alert("2001:db8::/48");
        joined.evidence = json!({ "client_ips": [{ "value": "2001:db8:0:7::1", "count": 2 }, { "value": "2001:db8:0:7::2", "count": 1 },
            { "value": "2001:db8:9::1", "count": 1 }] });
        assert_eq!(of(&joined), ["client_ip=2001:db8::/48", "network=2001:db8:0:7::/64", "network=2001:db8::/48"]);
    }

    #[test]
    fn a_pair_has_both_and_an_unproven_address_is_its_own_kind() {
        let mut pair = alert("203.0.113.7+anna");
        pair.entity.kind = "client_ip+principal".to_owned();
        pair.evidence = json!({ "entity": { "client_ip": "203.0.113.7", "principal": "anna" } });
        assert_eq!(of(&pair), ["client_ip=203.0.113.7", "network=203.0.113.0/24 auth-burst-ip"], "a claimed name");
        pair.evidence["proven"] = json!([{ "value": "anna", "count": 9 }]);
        assert_eq!(of(&pair), ["client_ip=203.0.113.7", "network=203.0.113.0/24 auth-burst-ip", "principal=anna"]);
        pair.evidence["client_ip_source"] = "unproven".into();
        assert_eq!(of(&pair), ["client_ip_unproven=203.0.113.7", "principal=anna"]);
    }

    #[test]
    fn a_claimed_name_joins_nobody_else() {
        let refused = |address: &str| {
            let mut alert = alert(address);
            alert.evidence = json!({ "counted": 60, "principals": [{ "value": "pentest", "count": 60 }] });
            of(&alert)
        };
        let (one, other) = (refused("203.0.113.7"), refused("198.51.100.9"));
        assert!(!one.iter().any(|key| other.contains(key)), "{one:?} {other:?}");
        let mut named = alert("anna");
        named.entity = Entity { kind: "principal".to_owned(), value: "anna".to_owned() };
        assert_eq!(of(&named), ["principal_claimed=anna auth-burst-ip"]);
        named.evidence = json!({ "counted": 9, "proven": [{ "value": "anna", "count": 9 }] });
        assert_eq!(of(&named), ["principal=anna"]);
    }

    #[test]
    fn what_one_client_made_of_an_endpoint_is_that_clients() {
        let mut spike = alert("");
        spike.entity = Entity { kind: "endpoint".to_owned(), value: "POST /login".to_owned() };
        spike.evidence = json!({ "counted": 100, "client_ips": [{ "value": "203.0.113.7", "count": 80 }, { "value": "203.0.113.8", "count": 20 }],
            "principals": [{ "value": "anna", "count": 40 }] });
        assert_eq!(
            of(&spike),
            ["client_ip=203.0.113.7", "endpoint=POST /login", "network=203.0.113.0/24 auth-burst-ip"]
        );
    }
}
