//! Suppressions: whether a person has said that an alert is not to be told of.
//!
//! Promises: one about an address or a network holds for every alert about an address within it, and for those of which one in it
//! made nearly all; one about anything else for alerts about exactly that. A principal counts as the author where it is proven.
//! Never: takes what anybody can claim (an unproven address, a name) for the author, so that nobody hides behind somebody else.

use schemas::Alert;
use schemas::alert::{Entity, authors};
use sqlx::Row as _;

use super::keys;
use crate::respond::action::Kind;
use crate::respond::plan::{self, AUTHOR_SHARE, UNPROVEN_CLIENT};
use crate::respond::queue::Tx;
use crate::respond::scope::{ADDRESS, Scope};
use crate::respond::when::matches;
use crate::store::StoreError;

/// Why this alert is not to be told of, if a person said so.
pub(super) async fn why(tx: &mut Tx, alert: &Alert, now_us: i64) -> Result<Option<String>, StoreError> {
    let sql = "SELECT detector, entity_kind, entity_value, owner, reason FROM suppressions \
               WHERE created_us <= ? AND expires_us > ? ORDER BY n";
    let about = about(alert);
    for row in sqlx::query(sql).bind(now_us).bind(now_us).fetch_all(&mut **tx).await? {
        let detector: Option<String> = row.try_get(0)?;
        let hushed = Entity { kind: row.try_get(1)?, value: row.try_get(2)? };
        if detector.is_none_or(|pattern| matches(&pattern, &alert.detector))
            && about.iter().any(|it| holds(&hushed, it))
        {
            let (owner, reason): (String, String) = (row.try_get(3)?, row.try_get(4)?);
            return Ok(Some(format!("suppressed by {owner}: {reason}")));
        }
    }
    Ok(None)
}

/// Whom and what an alert is about, and who made nearly all of it.
fn about(alert: &Alert) -> Vec<Entity> {
    let mut about = keys::parts(alert);
    if !about.iter().any(|part| part.kind == UNPROVEN_CLIENT) && alert.evidence["client_ip_source"] != "unproven" {
        let authors = authors(&alert.evidence, "client_ips", AUTHOR_SHARE).into_iter();
        about.extend(authors.map(|value| Entity { kind: ADDRESS.to_owned(), value: value.to_owned() }));
    }
    about.extend(plan::entity_for(alert, Kind::Revoke, 128));
    about
}

fn holds(hushed: &Entity, entity: &Entity) -> bool {
    let scope = |entity: &Entity| Scope::of_entity(&entity.kind, &entity.value);
    match (scope(hushed), scope(entity)) {
        (Some(hushed), Some(entity)) => hushed.contains(&entity),
        _ => hushed == entity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::plan::tests::alert;
    use serde_json::json;

    fn is_hushed(alert: &Alert, (kind, value): (&str, &str)) -> bool {
        let hushed = Entity { kind: kind.to_owned(), value: value.to_owned() };
        about(alert).iter().any(|entity| holds(&hushed, entity))
    }

    #[test]
    fn a_network_holds_for_the_addresses_in_it() {
        for (address, hushed, is) in [
            ("203.0.113.7", ("client_ip", "203.0.113.7"), true),
            ("203.0.113.7", ("client_ip", "203.0.113.8"), false),
            ("203.0.113.7", ("network", "203.0.113.0/24"), true),
            ("203.0.114.7", ("network", "203.0.113.0/24"), false),
            ("2001:db8:0:7::/64", ("client_ip", "2001:db8:0:7::/64"), true),
            ("2001:db8:0:7::/64", ("network", "2001:db8::/48"), true),
            ("2001:db8::/48", ("network", "2001:db8:0:7::/64"), false),
            ("203.0.113.7", ("principal", "203.0.113.7"), false),
        ] {
            assert_eq!(is_hushed(&alert(address), hushed), is, "{address} {hushed:?}");
        }
    }

    #[test]
    fn who_made_nearly_all_of_it_counts_and_nobody_who_is_only_claimed() {
        let mut spike = alert("");
        spike.entity = Entity { kind: "endpoint".to_owned(), value: "POST /login".to_owned() };
        spike.evidence = json!({ "counted": 100, "client_ips": [{ "value": "203.0.113.7", "count": 95 }],
            "principals": [{ "value": "anna", "count": 95 }] });
        let (tester, anna) = (("network", "203.0.113.0/24"), ("principal", "anna"));
        assert!(is_hushed(&spike, ("endpoint", "POST /login")) && is_hushed(&spike, tester));
        assert!(!is_hushed(&spike, anna), "a name that anybody can write");
        spike.evidence["proven"] = json!([{ "value": "anna", "count": 95 }]);
        assert!(is_hushed(&spike, anna));
        spike.evidence["client_ips"][0]["count"] = 80.into();
        assert!(!is_hushed(&spike, tester), "others had a part in it");
        spike.evidence["client_ips"][0]["count"] = 95.into();
        spike.evidence["client_ip_source"] = "unproven".into();
        assert!(!is_hushed(&spike, tester), "an address that anybody can write");
    }
}
