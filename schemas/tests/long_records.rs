//! A record that is too long, or one of many that is broken, costs no more than itself: who asked, and how it was answered, stay.

use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json, limits};
use serde_json::{Map, Value};

fn told(kind: &str, records: &[String]) -> (Vec<Map<String, Value>>, Vec<&'static str>) {
    let keys = Keys::new("k1", b"fake");
    let mut normaliser = Normaliser::new(&SourceConfig::new(kind), &keys).expect("a built-in kind");
    let mut raw = RawBatch::new();
    records.iter().enumerate().for_each(|(i, record)| raw.push(i as i64, 0, record.as_bytes()));
    let normalised = normaliser.normalise(&Lane::new("test", 0), &raw);
    let events = (0..normalised.events.num_rows()).map(|row| event_json(&normalised.events, row)).collect();
    (events, normalised.rejects.iter().map(|reject| reject.code.as_str()).collect())
}

const CLIENT: &str = "203.0.113.7";

/// Lines in which one field that a client writes is that long.
fn lines(text: &str) -> Vec<(&'static str, String)> {
    let of = |path: &str, referrer: &str, agent: &str| {
        let combined = format!(
            "{CLIENT} - - [27/Nov/2026:10:00:00 +0000] \"GET /{path} HTTP/1.1\" 404 12 \"{referrer}\" \"{agent}\""
        );
        let envoy = format!(
            "[2026-11-27T10:00:00.123Z] \"GET /{path} HTTP/1.1\" 404 - 0 12 3 2 \"203.0.113.7\" \"{agent}\" \"8a1f0c1e-1111-4222-8333-444455556666\" \"shop.example\" \"192.0.2.9:8080\""
        );
        let traefik = format!("{combined} 700 \"orders@docker\" \"http://192.0.2.80:8080\" 48ms");
        [("combined", combined), ("envoy", envoy), ("traefik", traefik)]
    };
    [of(text, "-", "x"), of("a", text, "x"), of("a", "-", text)].into_iter().flatten().collect()
}

#[test]
fn of_a_long_line_status_and_client_stay() {
    for length in [limits::LINE_BYTES_MAX - 300, limits::LINE_BYTES_MAX, 3 * limits::LINE_BYTES_MAX] {
        for (kind, line) in lines(&"x".repeat(length)) {
            let (events, rejects) = told(kind, std::slice::from_ref(&line));
            assert!(rejects.is_empty(), "{kind}: {rejects:?}");
            let event = &events[0];
            assert_eq!((&event["status"], &event["method"]), (&404.into(), &"GET".into()), "{kind} {length}");
            if kind != "envoy" {
                assert_eq!(
                    (&event["client_ip"], &event["client_ip_source"]),
                    (&CLIENT.into(), &"peer".into()),
                    "{kind}"
                );
            }
            let is_long = line.len() > limits::LINE_BYTES_MAX;
            assert_eq!(event["damaged"].as_array().is_some_and(|d| d.contains(&"record".into())), is_long, "{kind}");
        }
    }
}

/// What a client writes into a long line is no other client, and no other status where quotes are escaped.
#[test]
fn a_long_line_frames_nobody() {
    let forged =
        r#"\" 200 1 \"-\" \"y\" 198.51.100.9 - - [27/Nov/2026:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"z"#;
    for shift in 0..40 {
        let text = format!("{}{}", "x".repeat(shift), forged.repeat(1_000));
        for (kind, line) in lines(&text).into_iter().filter(|(kind, _)| *kind == "combined") {
            let (events, rejects) = told(kind, &[line]);
            let event = &events[0];
            let told = (&event["client_ip"], &event["status"], rejects.len());
            assert_eq!(told, (&CLIENT.into(), &404.into(), 0), "{kind} {shift}");
        }
    }
}

fn kong(client: &str, more: &str) -> String {
    format!(
        r#"{{"started_at":1790000000000,"client_ip":"{client}","request":{{"method":"GET","uri":"/a"}},"response":{{"status":200}}{more}}}"#
    )
}

#[test]
fn one_bad_element_of_an_array_costs_itself() {
    for bad in [r#","x":}"#, r#",,"y":1"#, r#","x":[}"#] {
        let elements = [kong("192.0.2.1", ""), kong("192.0.2.2", bad), kong("192.0.2.3", "")];
        let array = elements.join(",");
        for record in
            [format!("[{array}]"), format!("[{}]", elements.join(" ,\n ")), format!("{{\"records\":[{array}]}}")]
        {
            let (events, rejects) = told("kong", &[record]);
            let clients: Vec<_> =
                events.iter().map(|e| (e["client_ip"].clone(), e["client_ip_source"].clone())).collect();
            // Who could break one may have written what follows.
            assert_eq!(clients.first(), Some(&("192.0.2.1".into(), "peer".into())), "{bad}");
            assert_eq!(clients.last(), Some(&("192.0.2.3".into(), "unproven".into())), "{bad}");
            assert_eq!(clients.len() + rejects.len(), 3, "{bad}: {rejects:?}");
        }
    }
    // What a client wrote may have begun the batch.
    let forged = format!("{{\"x\":\"y\",\"records\":[{},{}]}}", kong("192.0.2.9", ""), kong("192.0.2.8", r#","x":}"#));
    let (events, _) = told("kong", &[forged]);
    assert!(events.iter().all(|event| event["client_ip_source"] == "unproven"), "{events:?}");
    // Python's `NaN` is forgiven.
    let (events, rejects) =
        told("kong", &[format!("[{},{}]", kong("192.0.2.1", r#","x":NaN"#), kong("192.0.2.3", ""))]);
    assert_eq!((events.len(), rejects.len(), &events[1]["client_ip_source"]), (2, 0, &"peer".into()));
    let (events, rejects) = told("kong", &[format!("[{},null,7,{}]", kong("192.0.2.1", ""), kong("192.0.2.3", ""))]);
    assert_eq!((events.len(), rejects.len()), (2, 2));
}
