//! What counts where a record says something twice.

use crate::request::Damaged;
use crate::sources::mapping::Input;
use crate::sources::{Parser, Reader, SourceConfig};

const ARRIVAL_US: i64 = 1_790_000_010_000_000;

#[derive(Debug, PartialEq)]
struct Told {
    peer: Option<String>,
    forwarded: Option<String>,
    status: Option<i32>,
    start_us: Option<i64>,
    unproven: bool,
    list_unproven: bool,
    damaged: Damaged,
}

fn told(kind: &str, record: &str) -> Told {
    let parser = Parser::new(&SourceConfig::new(kind)).expect("a built-in kind");
    let arena = bumpalo::Bump::new();
    let mut told = None;
    Reader::new(&parser, &arena).read(record, ARRIVAL_US, &mut None, &mut |outcome| {
        let (request, _) = outcome.expect("a request");
        told = Some(Told {
            peer: request.peer.map(str::to_string),
            forwarded: request.forwarded.map(str::to_string),
            status: request.status,
            start_us: request.start_us,
            unproven: request.unproven,
            list_unproven: request.list_unproven,
            damaged: request.damaged,
        });
    });
    told.expect("an outcome")
}

/// A record of HAProxy with `more` before the gateway's own keys, and behind them.
fn haproxy(more: &str) -> [Told; 2] {
    let own = r#""request_date":"2026-09-21T14:13:20Z","client_ip":"203.0.113.7","xff":"203.0.113.9","uri":"/","status_code":403"#;
    [format!("{{{more},{own}}}"), format!("{{{own},{more}}}")].map(|record| told("haproxy", &record))
}

fn damaged(inputs: &[Input]) -> Damaged {
    let mut damaged = Damaged::default();
    inputs.iter().for_each(|input| damaged.add(*input as u8));
    damaged
}

fn own() -> Told {
    Told {
        peer: Some("203.0.113.7".to_string()),
        forwarded: Some("203.0.113.9".to_string()),
        status: Some(403),
        start_us: Some(1_790_000_000_000_000),
        unproven: false,
        list_unproven: false,
        damaged: Damaged::default(),
    }
}

#[test]
fn another_name_of_the_same_thing_does_not_go_before_the_gateways() {
    for forged in haproxy(r#""code":200"#).into_iter().chain(haproxy(r#""ST":"200","status":"good""#)) {
        assert_eq!(forged, Told { damaged: damaged(&[Input::Status]), ..own() });
    }
    for forged in haproxy(r#""start":"20/Sep/2026:00:00:00.000""#) {
        assert_eq!(forged, Told { damaged: damaged(&[Input::StartTime]), ..own() });
    }
    for forged in haproxy(r#""x_forwarded_for":"198.51.100.77""#) {
        assert!(forged.list_unproven && forged.forwarded.is_some(), "{forged:?}");
        assert_eq!(forged.damaged, Damaged::default());
    }
    for forged in haproxy(r#""client":"198.51.100.77""#) {
        assert!(forged.unproven && forged.peer.is_some(), "{forged:?}");
        assert_eq!(forged.damaged, damaged(&[Input::ClientIp]));
    }
    for forged in haproxy(r#""client":"nobody""#) {
        assert_eq!(forged, Told { unproven: true, damaged: damaged(&[Input::ClientIp]), ..own() });
    }
}

#[test]
fn names_that_say_the_same_are_no_doubt() {
    let same = r#""client":"203.0.113.7:52114","ST":"403","status":"shed","http_x_forwarded_for":"203.0.113.9","@timestamp":"2026-09-21T14:13:25Z""#;
    // Behind a list of `-` it is not known yet who wrote the next one.
    let none = r#""ci":"203.0.113.7","code":null,"forwarded_for":"-","status":{}"#;
    for (told, list_unproven) in [(haproxy(same), [false, false]), (haproxy(none), [true, false])] {
        for (told, list_unproven) in told.into_iter().zip(list_unproven) {
            let peer = told.peer.clone();
            assert_eq!(Told { peer: own().peer, ..told }, Told { list_unproven, ..own() });
            assert!(peer.is_some_and(|peer| peer.starts_with("203.0.113.7")));
        }
    }
}

#[test]
fn of_a_key_that_came_twice_the_first_address_the_worst_status_and_the_nearest_time_count() {
    let record = r#"{"timestamp":"2020-01-01T00:00:00Z","client_ip":"-","status_code":200,"uri":"/","client_ip":"203.0.113.7","client_ip":"198.51.100.77","status_code":429,"status_code":404,"timestamp":"2026-09-21T14:13:20Z"}"#;
    let inputs = [Input::ClientIp, Input::Status, Input::StartTime];
    let expected = Told { status: Some(429), forwarded: None, unproven: true, damaged: damaged(&inputs), ..own() };
    assert_eq!(told("haproxy", record), expected);
}

/// Each of the many values was once compared as a copy of what the whole column said, which is long here: gigabytes.
#[test]
fn many_values_of_one_key_are_compared_where_they_stand() {
    let long = "\\u0061".repeat(64 << 10);
    let many: String = (0..40_000).map(|i| format!(r#""ClientHost":"{i}","#)).collect();
    let record =
        format!(r#"{{"ClientAddr":"{long}",{many}"ClientHost":"203.0.113.7","StartUTC":"2026-09-21T14:13:20Z"}}"#);
    let told = told("traefik", &record);
    assert_eq!(
        (told.peer.map(|peer| peer.len()), told.unproven, told.start_us.is_some()),
        (Some(64 << 10), true, true)
    );
}
