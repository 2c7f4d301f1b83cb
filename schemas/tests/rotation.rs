//! Keys that rotate: each event has the tokens of the key in force at its time, names those of the key before while the
//! two overlap, and stays in its place among the others.

#![allow(clippy::unwrap_used)] // a test may panic

use schemas::{Domain, Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json, tokens};
use serde_json::Value;

const ROTATION_US: i64 = 1_767_607_260_000_000;

fn keys() -> Keys {
    Keys::new("k1", b"an invented key").then(ROTATION_US, "k2", b"another invented key").with_overlap(60_000_000)
}

/// The events of requests at these seconds after 2026-01-05T10:00:00Z, all by one credential and one e-mail address.
fn events(keys: &Keys, seconds: &[i64]) -> Vec<Value> {
    let config = SourceConfig { tokenise_principal: true, ..SourceConfig::new("nginx_json") };
    let mut normaliser = Normaliser::new(&config, keys).unwrap();
    let mut raw = RawBatch::new();
    for (offset, second) in seconds.iter().enumerate() {
        let time = schemas::time_text(1_767_607_200_000_000 + second * 1_000_000);
        let record = format!(
            "{{\"time_iso8601\":\"{time}\",\"remote_addr\":\"192.0.2.7\",\"request_method\":\"GET\",\
             \"request_uri\":\"/v1/orders/4711?n={offset}\",\"status\":401,\"http_x_api_key\":\"fake-key-of-nobody\",\
             \"remote_user\":\"maria\",\"http_user_agent\":\"curl/8.5.0\"}}"
        );
        raw.push(offset as i64, 0, record.as_bytes());
    }
    let made = normaliser.normalise(&Lane::new("edge", 0), &raw);
    assert!(made.rejects.is_empty(), "{:?}", made.rejects);
    (0..made.events.num_rows()).map(|row| Value::Object(event_json(&made.events, row))).collect()
}

#[test]
fn events_have_the_tokens_of_the_key_in_force_at_their_time_and_name_the_ones_before() {
    let found = events(&keys(), &[0, 59, 60, 30, 119, 120]);
    let id = |event: &Value, column: &str| event[column].as_str().unwrap()[..2].to_owned();
    for (event, (offset, key, overlaps)) in found.iter().zip([
        (0, "k1", false),
        (1, "k1", false),
        (2, "k2", true),
        (3, "k1", false),
        (4, "k2", true),
        (5, "k2", false),
    ]) {
        assert_eq!(event["offset"], offset, "in the order of the records");
        for column in ["credential", "principal", "object_id"] {
            assert_eq!(id(event, column), key, "{offset} {column}");
        }
        let earlier: Vec<String> = match overlaps {
            false => Vec::new(),
            true => ["credential", "principal", "object_id"]
                .iter()
                .map(|column| format!("{column}={}", found[0][column].as_str().unwrap()))
                .collect(),
        };
        let named: Vec<String> = serde_json::from_value(event["earlier_tokens"].clone()).unwrap_or_default();
        assert_eq!(named, earlier, "{offset}");
    }
    assert_eq!(found[2]["credential"], found[5]["credential"]);
}

#[test]
fn a_batch_after_a_long_past_rotation_is_like_one_of_a_single_key() {
    let many = events(&keys(), &[3_000, 3_001]);
    let one = events(&Keys::new("k2", b"another invented key"), &[3_000, 3_001]);
    assert_eq!(many, one);
    let before = events(&keys(), &[0, 1]);
    assert_eq!(before, events(&Keys::new("k1", b"an invented key"), &[0, 1]));
}

#[test]
fn the_tokens_of_a_secret_are_found_under_every_key_newest_first() {
    let found = events(&keys(), &[0, 3_000]);
    let column = |name: &str| [&found[1][name], &found[0][name]].map(|v| v.as_str().unwrap().to_owned());
    assert_eq!(tokens(&keys(), Domain::Credential, "fake-key-of-nobody"), column("credential"));
    assert_eq!(tokens(&keys(), Domain::Credential, "Bearer fake-key-of-nobody"), column("credential"));
    assert_eq!(tokens(&keys(), Domain::Principal, "maria"), column("principal"));
    let objects = tokens(&keys(), Domain::Object, "4711");
    assert_eq!(objects.len(), 4);
    assert!(column("object_id").iter().all(|token| objects.contains(token)), "{objects:?}");
    let people = tokens(&keys(), Domain::Principal, "maria@example.com");
    assert!(people.iter().filter(|token| token.starts_with("m***@k")).count() == 2, "{people:?}");
}
