//! Whose past a newcomer leans on: people on people, machines on machines, and of groups that are neither those of the kind of
//! principal that their requests say.

use std::sync::Arc;

use schemas::Alert;
use schemas::alert::State;
use serde_json::{Value, json};

use crate::engine::testing::alerts_of;
use crate::parse_rule;

const START: i64 = 1_772_323_200_000_000;
const MINUTE: i64 = 60_000_000;
const WINDOWS: i64 = 18;

fn rules(entity: &str, parent: &str) -> Vec<Arc<crate::Rule>> {
    let yaml = format!(
        "id: a\ntitle: A\nseverity: low\nnotes: N.\nentity: {entity}\nmethod:\n  baseline:\n    of: distinct(object_id)\n    \
         window: 10m\n    sigmas: 4\n    floor: 3\n    min_change: 3.0\n    min_value: 25\n    history: 7d\n{parent}"
    );
    vec![Arc::new(parse_rule(&yaml, "a.yaml").unwrap())]
}

/// `many` objects that somebody of a kind asks for, evenly over the window of a number, from an address of their own.
fn asked(window: i64, who: &str, (kind, address): (Option<&str>, &str), many: i64) -> Vec<Value> {
    let row = |n: i64| {
        let time = START + window * 10 * MINUTE + n * 9 * MINUTE / many.max(1) + 1_000;
        let object = format!("k1:{who}-{window}-{n}");
        json!({ "time": time, "principal": who, "principal_kind": kind, "client_ip": address, "object_id": object })
    };
    (0..many).map(row).collect()
}

/// Three hours of thirty people who meet one or two objects in ten minutes, and of ten services that meet some sixty.
fn usual() -> Vec<Value> {
    let mut rows = Vec::new();
    for window in 0..WINDOWS {
        for person in 0..30 {
            let address = format!("198.51.100.{person}");
            let many = 1 + (window + person) % 2;
            rows.extend(asked(window, &format!("person-{person}"), (Some("user"), &address), many));
        }
        for service in 0..10 {
            let address = format!("203.0.113.{service}");
            let many = 60 + 2 * ((window + service) % 7);
            rows.extend(asked(window, &format!("svc-{service}"), (Some("service"), &address), many));
        }
    }
    rows
}

fn alerts(entity: &str, parent: &str, newcomers: Vec<Value>, cut: usize) -> Vec<Alert> {
    let mut rows = usual();
    rows.extend(newcomers);
    alerts_of(&rules(entity, parent), rows, cut)
}

/// Who is told of.
fn opened(entity: &str, parent: &str, newcomers: Vec<Value>) -> Vec<String> {
    let alerts = alerts(entity, parent, newcomers, usize::MAX);
    alerts.into_iter().filter(|alert| alert.state == State::Open).map(|alert| alert.entity.value).collect()
}

const KINDS: &str = "    parent: principal_kind\n";

/// A person and a service, both new, who meet as much as a service does.
fn newcomers() -> Vec<Value> {
    let mut rows = asked(WINDOWS, "new-person", (Some("user"), "192.0.2.1"), 60);
    rows.extend(asked(WINDOWS, "new-svc", (Some("service"), "192.0.2.2"), 60));
    rows
}

#[test]
fn a_new_person_leans_on_people_and_a_new_service_on_services() {
    assert_eq!(
        opened("principal", "", newcomers()),
        Vec::<String>::new(),
        "beside services a person does not stand out"
    );
    assert_eq!(opened("principal", KINDS, newcomers()), ["new-person"]);
}

#[test]
fn an_address_leans_on_those_of_the_kind_of_principal_that_it_brings() {
    assert_eq!(opened("client_ip", "", newcomers()), Vec::<String>::new());
    assert_eq!(opened("client_ip", KINDS, newcomers()), ["192.0.2.1"]);
    // Of whom nothing is known until a later request names somebody.
    let mut rows = asked(WINDOWS, "new-person", (Some("user"), "192.0.2.1"), 60);
    rows[0]["principal"] = Value::Null;
    rows[0]["principal_kind"] = Value::Null;
    assert_eq!(opened("client_ip", KINDS, rows), ["192.0.2.1"]);
    // Who never names anybody is compared with all.
    let mut rows = asked(WINDOWS, "nobody", (None, "192.0.2.1"), 60);
    rows.iter_mut().for_each(|row| row["principal"] = Value::Null);
    assert_eq!(opened("client_ip", KINDS, rows), Vec::<String>::new());
}

#[test]
fn whole_cut_and_restored_tell_the_same_of_kinds() {
    for entity in ["principal", "client_ip"] {
        let whole = alerts(entity, KINDS, newcomers(), usize::MAX);
        assert!(!whole.is_empty());
        for cut in [997, 4099] {
            assert_eq!(alerts(entity, KINDS, newcomers(), cut), whole, "{entity} in batches of {cut}");
        }
    }
}

#[test]
fn all_of_everybody_has_no_kind() {
    let yaml = "id: a\ntitle: A\nseverity: low\nnotes: N.\nentity: whole\nmethod: { baseline: { of: count, window: 5m, parent: \
                principal_kind } }\n";
    let error = parse_rule(yaml, "a.yaml").unwrap_err().to_string();
    assert_eq!(
        error,
        "a.yaml:6:54: method.baseline.parent: expected none: what is all of everybody has nobody around it"
    );
}
