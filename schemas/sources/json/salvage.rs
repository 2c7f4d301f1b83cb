//! Records that no scan reads, because a text in them has a quote that nobody escaped: gateways that build JSON from strings
//! without escaping (nginx with `escape=none`, HAProxy without `json()`) write such ones when a client sends a quote.
//!
//! The keys by which it is told who asked what, and when, are looked for wherever they stand. Text can be added by whoever writes
//! it, but what the gateway wrote cannot be taken away; a key that comes more often than once has all its values, and is settled
//! like any other (`columns/settle.rs`).
//!
//! Promises: time and memory in proportion to the record. Nobody is proven by what is read so, and it never counts as undamaged.
//! Never: reads anything else: accounts, tenants and credentials are whoever's a client says; objects and arrays, which a gateway
//! that escapes nothing does not begin with; keys written with escapes.

use memchr::memmem;

use super::unescape::unescape_lenient;
use super::walk::bare;
use crate::redact::floor;
use crate::sources::mapping::Input;
use crate::sources::plan::Plan;
use crate::sources::slots::{Scalar, Slots};

/// Who and when, and how it was answered: every value counts, each of so many bytes.
const SETTLED: [Input; 7] = [
    Input::ClientIp,
    Input::ForwardedFor,
    Input::Forwarded,
    Input::RealIp,
    Input::Time,
    Input::StartTime,
    Input::Status,
];
const SETTLED_BYTES_MAX: usize = 256;
/// What was asked, and with what: the first value counts.
const ASKED: [Input; 6] =
    [Input::Method, Input::Target, Input::Path, Input::Query, Input::RequestLine, Input::UserAgent];

/// Fills the slots with what stands behind known keys; false for what is no flat object.
pub(super) fn fill<'b>(plan: &Plan, text: &'b str, slots: &mut Slots<'b>) -> bool {
    slots.clear();
    if !is_flat(text) {
        return false;
    }
    for edge in plan.root().edges() {
        let (slot, key) = (plan.node_of(edge).slot, edge.literal.strip_suffix(b":").unwrap_or_default());
        let settled = plan.reads_slot(slot, &SETTLED);
        if key.is_empty() || !(settled || plan.reads_slot(slot, &ASKED)) {
            continue;
        }
        let behind = memmem::find_iter(text.as_bytes(), key)
            .filter(|at| text[..*at].trim_end().ends_with(['{', ',']))
            .filter_map(|at| text[at + key.len()..].trim_start().strip_prefix(':'));
        let (most, bytes_max) = if settled { (usize::MAX, SETTLED_BYTES_MAX) } else { (1, text.len()) };
        for rest in behind.take(most) {
            let value = value(rest.trim_start(), bytes_max, slots);
            slots.fill(slot, value);
        }
    }
    true
}

/// Does the first key stand before something else than an object or an array?
fn is_flat(text: &str) -> bool {
    let first = text.strip_prefix('{').map(str::trim_start).and_then(|text| text.strip_prefix('"'));
    let value = first.and_then(|text| text.split_once("\":")).map(|(_, value)| value.trim_start());
    value.is_some_and(|value| !value.starts_with(['{', '[']))
}

/// The value that `rest` begins with; one that is longer says nothing that a column could hold.
fn value<'b>(rest: &'b str, bytes_max: usize, slots: &mut Slots<'b>) -> Scalar<'b> {
    let rest = &rest[..floor(rest, bytes_max)];
    let Some(text) = rest.strip_prefix('"') else {
        let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
        return if rest.starts_with(['{', '[']) { Scalar::Nested } else { bare(rest[..end].trim_end()) };
    };
    let Some(end) = memchr::memchr_iter(b'"', text.as_bytes()).find(|at| is_end(&text[at + 1..])) else {
        return Scalar::Nested;
    };
    let raw = &text[..end];
    match raw.contains('\\') {
        false => Scalar::Text(raw),
        true => slots.copy(|out| unescape_lenient(raw, out)),
    }
}

/// As `value`, of a key by which it is told who and how it was answered.
pub(in crate::sources) fn value_at<'b>(rest: &'b str, slots: &mut Slots<'b>) -> Scalar<'b> {
    value(rest, SETTLED_BYTES_MAX, slots)
}

/// Is this what follows the last quote of a text: another key, or the end of what it stands in?
fn is_end(behind: &str) -> bool {
    let behind = behind.trim_start();
    match behind.strip_prefix(',') {
        Some(next) => next.trim_start().starts_with('"'),
        None => behind.is_empty() || behind.starts_with(['}', ']']),
    }
}

#[cfg(test)]
mod tests {
    use crate::sources::{Parser, Reader, SourceConfig};
    use crate::{Keys, Lane, Normaliser, RawBatch, event_json};

    /// A record as nginx writes it with `escape=none`: keys in an order, and nothing escaped.
    fn record(first: &str, values: [&str; 4]) -> String {
        let [agent, target, referrer, list] = values;
        let mut pairs = [
            format!("\"http_user_agent\": \"{agent}\""),
            format!("\"request_uri\": \"{target}\""),
            format!("\"http_referer\":\"{referrer}\""),
            format!("\"http_x_forwarded_for\": \"{list}\""),
            "\"remote_addr\": \"203.0.113.66\"".to_string(),
            "\"msec\": 1795773600.000".to_string(),
            "\"request_method\": \"GET\",\"status\": 404".to_string(),
        ];
        let at = pairs.iter().position(|pair| pair.contains(first)).expect("a key of the record");
        pairs.rotate_left(at);
        format!("{{{}}}", pairs.join(", "))
    }

    /// Client, whether it is proven, status, and whether the list and the record are in doubt.
    type Told = (Option<String>, bool, Option<i64>, [bool; 2]);

    fn told(line: &str) -> Option<Told> {
        let parser = Parser::new(&SourceConfig::new("nginx_json")).expect("a built-in kind");
        let (mut told, arena) = (None, bumpalo::Bump::new());
        Reader::new(&parser, &arena).read(line, 0, &mut None, &mut |outcome| {
            told = outcome.ok().map(|(request, _)| {
                let doubts = [request.list_unproven, request.damaged.has(crate::request::Damaged::RECORD)];
                (request.peer.map(str::to_string), !request.unproven, request.status.map(i64::from), doubts)
            });
        });
        told
    }

    #[test]
    fn a_quote_that_nobody_escaped_costs_no_client() {
        for first in ["http_user_agent", "remote_addr", "status", "http_x_forwarded_for"] {
            for place in 0..4 {
                for text in [
                    "\"",
                    "curl \"x\"",
                    "\"\"",
                    "a\"b\"c",
                    "\\\"",
                    "\" ",
                    "x\", y",
                    "\",",
                    "\"}",
                    "\"}, \"",
                    "{\"a\":\"b\"}",
                ] {
                    let mut values = ["curl/8.5.0", "/a", "-", "-"];
                    values[place] = text;
                    let line = record(first, values);
                    let told = told(&line).expect(&line);
                    assert_eq!((told.0.as_deref(), told.2), (Some("203.0.113.66"), Some(404)), "{line}");
                }
            }
        }
    }

    #[test]
    fn nobody_passes_for_another_by_writing_keys() {
        let forged = [
            "x\",\"remote_addr\":\"198.51.100.9",
            "x\",\"remote_addr\":\"198.51.100.9\",\"y\":\"",
            "x\",\"remote_addr\":\"198.51.100.9\",\"y\":",
            "\" x\", \"remote_addr\" : \"198.51.100.9\", \"y\": \"",
            "x\"},{\"remote_addr\":\"198.51.100.9\",\"y\":\"",
            "x\"}{\"remote_addr\":\"198.51.100.9\",\"request_uri\":\"/\",\"y\":\"",
            "\",\"remote_addr\":\"198.51.100.9\",\"remote_addr\":\"198.51.100.9\",\"remote_addr\":\"198.51.100.9\",\
             \"remote_addr\":\"198.51.100.9\",\"remote_addr\":\"198.51.100.9\",\"y\":\"\"z",
            "\",\"realip_remote_addr\":\"198.51.100.9\",\"y\":\"\"z",
        ];
        for first in ["http_user_agent", "remote_addr", "status"] {
            for place in 0..4 {
                for text in forged {
                    let mut values = ["curl/8.5.0", "/a", "-", "-"];
                    values[place] = text;
                    let line = record(first, values);
                    let (client, proven, ..) = told(&line).expect(&line);
                    assert!(!proven || client.as_deref() == Some("203.0.113.66"), "{client:?}: {line}");
                }
            }
        }
    }

    fn events(kind: &str, line: &str) -> Vec<serde_json::Map<String, serde_json::Value>> {
        let mut normaliser =
            Normaliser::new(&SourceConfig::new(kind), &Keys::new("k1", b"fake")).expect("a built-in kind");
        let mut raw = RawBatch::new();
        raw.push(0, 1_795_773_600_000_000, line.as_bytes());
        let events = normaliser.normalise(&Lane::new("test", 0), &raw).events;
        (0..events.num_rows()).map(|row| event_json(&events, row)).collect()
    }

    /// Beside a key of the gateway's that is nested, or behind which the record was cut, an added one stands alone.
    #[test]
    fn a_key_that_stands_alone_proves_nobody_either() {
        let nested = r#"{"client_received_start_timestamp":"1795773600000","client":{"ip":"203.0.113.66"},"request_verb":"GET","request_path":"/a","response_status_code":"404","useragent":"x"z","client_ip":"198.51.100.9","y":""}"#;
        let cut = r#"{"time":"27/Nov/2026:10:00:00.000","uri":"/login","status":401,"user_agent":"x"z","client_ip":"198.51.100.9","y":"AAAA"#;
        let empty = r#"{"remote_addr":,"msec":1795773600.0,"request_uri":"/a","status":404,"http_user_agent":"x"z","client_ip":"198.51.100.9"}"#;
        for (kind, line) in [("apigee", nested), ("haproxy", cut), ("nginx_json", empty)] {
            let events = events(kind, line);
            assert_eq!(events.len(), 1, "{kind}");
            assert_eq!(events[0]["client_ip_source"], "unproven", "{kind}: {:?}", events[0]["client_ip"]);
        }
    }

    #[test]
    fn an_account_a_tenant_and_a_credential_are_nobodys_word() {
        let line = r#"{"remote_addr":"203.0.113.66","msec":"1795773600.0","request_uri":"/a","request_body":"{"remote_user":"boss","tenant":"t9","host":"evil.example","http_authorization":"Bearer fake","http_cookie":"session=fake"}","status":404}"#;
        let events = events("nginx_json", line);
        let told = |name: &str| events[0][name].clone();
        assert_eq!((events.len(), told("client_ip"), told("status")), (1, "203.0.113.66".into(), 404.into()));
        for name in ["principal", "principal_source", "tenant", "host", "credential", "credential_kind"] {
            assert!(told(name).is_null(), "{name}: {}", told(name));
        }
    }

    #[test]
    fn a_key_that_is_written_very_often_chooses_nothing() {
        for times in [1, 3, 4, 5, 300] {
            let forged = format!("x\"z\"{}", ",\"status\":\"200\"".repeat(times));
            let line = record("http_user_agent", [&forged, "/a", "-", "-"]);
            assert_eq!(
                told(&line).map(|(client, _, status, _)| (client, status)),
                Some((Some("203.0.113.66".into()), Some(404)))
            );
        }
    }

    #[test]
    fn what_is_read_so_says_that_it_is_damaged() {
        let line = record("remote_addr", ["a \"quoted\" agent", "/a", "-", "198.51.100.9"]);
        assert_eq!(told(&line), Some((Some("203.0.113.66".to_string()), false, Some(404), [true, true])));
        let honest = record("remote_addr", ["an agent", "/a", "-", "198.51.100.9"]);
        assert_eq!(told(&honest), Some((Some("203.0.113.66".to_string()), true, Some(404), [false, false])));
    }

    #[test]
    fn what_tells_neither_who_nor_what_is_no_record() {
        let batch =
            "{\"records\":[{\"remote_addr\":\"203.0.113.66\",\"status\":404,\"request_uri\":\"/a\",\"x\":\"a\"b\"}]}";
        // What is whole before it is read, and proves nobody.
        assert_eq!(told(batch), Some((Some("203.0.113.66".to_string()), false, Some(404), [false, false])));
        for line in
            ["{\"remote_addr\": \"203.0.113.66\" x}", "{\"status\": \"404\" \"a\"}", "{\"a\" b \"remote_addr\" 1}"]
        {
            assert_eq!(told(line), None, "{line}");
        }
    }
}
