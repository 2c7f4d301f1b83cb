//! The plan: what was planted, what was put beside it that looks the same and is harmless, and when. The score of a
//! run is measured against this page.
//!
//! Promises: times are event times in microseconds UTC; `events` counts lines that are in the traffic.

use std::net::IpAddr;

use ipnet::IpNet;
use schemas::alert::Entity;

/// An attack in the traffic.
#[derive(Clone, Debug)]
pub struct Planted {
    pub id: &'static str,
    pub name: &'static str,
    /// The attack is found when one of these detectors alerts on one of `entities`.
    pub detectors: Vec<&'static str>,
    /// These may alert on it too, rightly; they neither find it nor count as unexpected.
    pub also: Vec<&'static str>,
    /// What the attack can be seen at: the one named first is the attacker (or victim) to show.
    pub entities: Vec<Entity>,
    pub start_us: i64,
    pub end_us: i64,
    pub events: u64,
    pub description: &'static str,
}

/// Harmless traffic that looks like an attack.
#[derive(Clone, Debug)]
pub struct LookAlike {
    pub id: &'static str,
    pub name: &'static str,
    /// Id of the attack it could be taken for.
    pub resembles: &'static str,
    /// Detectors that are right to speak about it: the thing they watch for did happen, it only was no attack.
    pub tolerated: Vec<&'static str>,
    pub entities: Vec<Entity>,
    pub start_us: i64,
    pub end_us: i64,
    pub events: u64,
    pub description: &'static str,
}

/// Everything in the traffic that is not ordinary.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub planted: Vec<Planted>,
    pub look_alikes: Vec<LookAlike>,
    pub start_us: i64,
    pub end_us: i64,
}

impl Plan {
    pub fn attack(&self, id: &str) -> Option<&Planted> {
        self.planted.iter().find(|planted| planted.id == id)
    }

    pub fn look_alike(&self, id: &str) -> Option<&LookAlike> {
        self.look_alikes.iter().find(|look_alike| look_alike.id == id)
    }
}

/// Whether two entities are the same: exactly, except that endpoints may spell their placeholders differently and a
/// pair matches when one of its parts does.
pub(super) fn same_entity(alerted: &Entity, planned: &Entity) -> bool {
    let kinds = alerted.kind.split('+');
    if kinds.clone().count() == 1 {
        return same_single(&alerted.kind, &alerted.value, planned);
    }
    kinds.zip(alerted.value.split('+')).any(|(kind, value)| same_single(kind, value, planned))
}

fn same_single(kind: &str, value: &str, planned: &Entity) -> bool {
    if kind != planned.kind {
        return false;
    }
    match kind {
        "endpoint" => same_endpoint(value, &planned.value),
        // An IPv6 client is told of as its network.
        "client_ip" => value == planned.value || is_within(&planned.value, value),
        _ => value == planned.value,
    }
}

fn is_within(address: &str, network: &str) -> bool {
    let (address, network) = (address.parse::<IpAddr>(), network.parse::<IpNet>());
    address.is_ok_and(|address| network.is_ok_and(|network| network.contains(&address)))
}

fn same_endpoint(left: &str, right: &str) -> bool {
    let placeholder = |part: &str| part.starts_with('{');
    let (mut left, mut right) = (left.split('/'), right.split('/'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || (placeholder(a) && placeholder(b)) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(kind: &str, value: &str) -> Entity {
        Entity { kind: kind.into(), value: value.into() }
    }

    #[test]
    fn entities_match_by_kind_and_value() {
        let check = |alerted: (&str, &str), planned: (&str, &str), same: bool| {
            let result = same_entity(&entity(alerted.0, alerted.1), &entity(planned.0, planned.1));
            assert_eq!(result, same, "{alerted:?} {planned:?}");
        };
        check(("client_ip", "192.0.2.1"), ("client_ip", "192.0.2.1"), true);
        check(("client_ip", "192.0.2.1"), ("client_ip", "192.0.2.10"), false);
        check(("client_ip", "2001:db8:1:2::/64"), ("client_ip", "2001:db8:1:2::7"), true);
        check(("client_ip", "2001:db8:1:2::/64"), ("client_ip", "2001:db8:1:3::7"), false);
        check(("principal", "ana"), ("client_ip", "ana"), false);
        check(("endpoint", "GET /v1/orders/{id}"), ("endpoint", "GET /v1/orders/{h}"), true);
        check(("endpoint", "GET /v1/orders/{id}"), ("endpoint", "GET /v1/orders"), false);
        check(("endpoint", "POST /v1/orders/{id}"), ("endpoint", "GET /v1/orders/{id}"), false);
        check(("client_ip+endpoint", "192.0.2.1+GET /a"), ("endpoint", "GET /a"), true);
        check(("client_ip+endpoint", "192.0.2.1+GET /a"), ("endpoint", "GET /b"), false);
    }
}
