//! What shippers and tools put around a gateway's record changes nothing of it, whatever its kind and whatever keys stand
//! beside it; and what an application logs of its own stays what it is.

use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json};
use serde_json::{Map, Value, json};

/// The events of one record.
fn events(kind: &str, record: &str) -> Vec<Map<String, Value>> {
    let mut normaliser = Normaliser::new(&SourceConfig::new(kind), &Keys::new("k1", b"fake")).expect("a built-in kind");
    let mut raw = RawBatch::new();
    raw.push(0, 1_790_000_010_000_000, record.as_bytes());
    let events = normaliser.normalise(&Lane::new("test", 0), &raw).events;
    (0..events.num_rows()).map(|row| event_json(&events, row)).collect()
}

/// Records of kinds, without time zones and envelopes.
fn records() -> Vec<(&'static str, String)> {
    let nginx = json!({"msec": "1790000000.000", "remote_addr": "203.0.113.7", "request_method": "GET",
        "request_uri": "/wp-login.php", "status": 404});
    let envoy = json!({"start_time": "2026-09-21T14:13:20Z", "method": "GET", "path": "/wp-login.php", "response_code": 404,
        "downstream_remote_address": "203.0.113.7:5000", "duration": 0});
    let kong = json!({"started_at": 1_790_000_000_000_i64, "client_ip": "203.0.113.7", "latencies": {"request": 0},
        "request": {"method": "GET", "uri": "/wp-login.php"}, "response": {"status": 404}});
    let haproxy = json!({"timestamp": "2026-09-21T14:13:20Z", "client_ip": "203.0.113.7", "method": "GET",
        "uri": "/wp-login.php", "status": 404});
    let lines = [
        (
            "combined",
            "203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] \"GET /wp-login.php HTTP/1.1\" 404 12 \"-\" \"curl/8.5.0\"",
        ),
        (
            "envoy",
            "[2026-09-21T14:13:20.000Z] \"GET /wp-login.php HTTP/1.1\" 404 - 0 12 0 0 \"203.0.113.7\" \"curl/8.5.0\" \"a1b2\" \"api.shop.example\" \"192.0.2.20:8080\"",
        ),
        (
            "haproxy",
            "203.0.113.7:5000 [21/Sep/2026:14:13:20.000] web app/app1 0/0/1/2/0 404 12 - - ---- 1/1/0/0/0 0/0 \"GET /wp-login.php HTTP/1.1\"",
        ),
        (
            "alb",
            "h2 2026-09-21T14:13:20.000000Z app/lb/50dc6c495c0c9188 203.0.113.7:5000 192.0.2.80:80 0.000 0.000 0.000 404 404 0 12 \"GET https://api.shop.example:443/wp-login.php HTTP/2.0\" \"curl/8.5.0\" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/t/73e2d6bc24d8a067 \"Root=1-58337262-36d228ad5d99923122bbe354\" \"-\" \"-\" 0 2026-09-21T14:13:20.000000Z \"forward\" \"-\" \"-\" \"192.0.2.80:80\" \"404\" \"-\" \"-\"",
        ),
    ];
    let objects = [("nginx_json", nginx), ("envoy", envoy), ("kong", kong), ("haproxy", haproxy)];
    let objects = objects.into_iter().map(|(kind, object)| (kind, object.to_string()));
    objects.chain(lines.into_iter().map(|(kind, line)| (kind, line.to_string()))).collect()
}

#[track_caller]
fn check(kind: &str, record: &str, client_source: &Value) {
    let found = events(kind, record);
    assert_eq!(found.len(), 1, "{kind}: {record}");
    let told = ["client_ip", "method", "path", "status"].map(|column| found[0][column].clone());
    assert_eq!(told, [json!("203.0.113.7"), json!("GET"), json!("/wp-login.php"), json!(404)], "{kind}: {record}");
    assert_eq!(&found[0]["client_ip_source"], client_source, "{kind}: {record}");
    assert_eq!(found[0]["damaged"], Value::Null, "{kind}: {record}");
    assert!(found[0]["time"].as_str().is_some_and(|time| time.starts_with("2026-09-21T14:13:20")), "{kind}: {record}");
}

#[test]
fn a_record_inside_counts_whatever_stands_beside_it() {
    let file = "/var/log/nginx/access.json";
    for (kind, record) in records() {
        let source = events(kind, &record)[0]["client_ip_source"].clone();
        for envelope in [
            json!({"@version": "1", "@timestamp": "2026-09-21T14:13:21Z", "host": "web1", "path": file, "message": record}),
            json!({"path": file, "log": record, "stream": "stdout"}),
            json!({"path": file, "host": "web1", "message": record}),
            json!({"path": file, "MESSAGE": record, "__REALTIME_TIMESTAMP": "1790000001000000"}),
            json!({"path": file, "event.original": record}),
            json!({"path": file, "event": {"original": record, "dataset": "nginx.access"}}),
            json!({"uri": file, "hostname": "web1", "message": json!({"path": file, "log": record}).to_string()}),
        ] {
            check(kind, &envelope.to_string(), &source);
        }
        // An address that stands beside it fills no column. An application may have logged what its client typed: the client in
        // the line is proven where it is the same.
        for name in ["client_ip", "remote_addr", "source_ip", "client", "ip", "_client_ip", "visitor", "remoteAddress"]
        {
            let mut envelope = json!({"@timestamp": "2026-09-21T14:13:21Z", "path": file, "message": record});
            envelope[name] = json!("192.0.2.99");
            let found = events(kind, &envelope.to_string());
            assert_eq!(found[0]["client_ip_source"], json!("unproven"), "{kind}: {envelope}");
            assert_eq!((found.len(), &found[0]["client_ip"]), (1, &json!("203.0.113.7")), "{kind}: {envelope}");
            assert_eq!(
                (&found[0]["status"], &found[0]["path"]),
                (&json!(404), &json!("/wp-login.php")),
                "{kind}: {envelope}"
            );
        }
    }
}

#[test]
fn what_applications_log_of_their_clients_proves_nobody() {
    for (kind, record) in records() {
        for envelope in [
            json!({"level": "warn", "req": {"ip": "192.0.2.99", "headers": {"host": "shop.example"}}, "message": record}),
            json!({"message": record, "fields": {"network.peer.address": "192.0.2.99"}}),
            json!({"MESSAGE": record, "CLIENT_IP": "192.0.2.99", "_HOSTNAME": "web1"}),
            json!({"body": {"stringValue": record}, "attributes": [{"key": "client.address", "value": {"stringValue": "192.0.2.99"}}]}),
            json!({"textPayload": record, "labels": {"remote": "192.0.2.99:4711"}}),
            json!({"log": json!({"message": record, "ip": "192.0.2.99"}).to_string(), "stream": "stdout"}),
            json!({"log": record, "x_forwarded_for": "203.0.113.7"}),
            json!({"method": "POST", "url": "/login", "message": record}),
            json!({"message": record, "metadata": {"ip": "192.0.2.99", "method": "POST", "statusCode": 400}}),
            json!({"message": record, "gateway": {"clientIp": "192.0.2.99"}}),
            json!({"message": record, "remoteAddress": "/192.0.2.99:4711"}),
            json!({"message": record, "method": "POST", "http_status_code": 400}),
        ] {
            let text = envelope.to_string();
            for found in events(kind, &text) {
                assert_ne!(
                    (&found["client_ip"], &found["client_ip_source"]),
                    (&json!("203.0.113.7"), &json!("peer")),
                    "{kind}: {text}"
                );
            }
        }
    }
    let line = "203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl/8.5.0\"";
    let same = json!({"source": {"ip": "203.0.113.7"}, "event": {"original": line}});
    assert_eq!(events("combined", &same.to_string())[0]["client_ip_source"], json!("peer"));
}

#[test]
fn what_a_client_writes_into_the_line_takes_nothing_from_its_proof() {
    let line = |agent: &str| {
        format!("203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] \"GET /.env HTTP/1.1\" 404 5 \"-\" \"{agent}\"")
    };
    for agent in ["curl/8,1.2.3.4,", "1.2.3.4", "192.0.2.99, 10.0.0.1", "client 192.0.2.99"] {
        let line = line(agent);
        for envelope in [
            json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-09-21T14:13:21Z"}),
            json!({"@timestamp": "2026-09-21T14:13:21Z", "message": line, "host": {"ip": ["10.0.0.5"]}}),
            json!({"MESSAGE": line, "_HOSTNAME": "10.0.0.5"}),
            json!({"textPayload": line}),
            json!({"short_message": line, "host": "10.0.0.5", "version": "1.1"}),
            json!({"event": {"original": line}}),
            // With what a shipper read of it.
            json!({"message": line, "clientip": "203.0.113.7", "verb": "GET", "response": "404", "agent": agent}),
            json!({"message": line, "source": {"address": "203.0.113.7"}, "user_agent": {"original": agent},
                "http": {"request": {"method": "GET"}, "response": {"status_code": 404}}}),
        ] {
            let found = events("combined", &envelope.to_string());
            assert_eq!(found.len(), 1, "{envelope}");
            let who = (&found[0]["client_ip"], &found[0]["client_ip_source"]);
            assert_eq!(who, (&json!("203.0.113.7"), &json!("peer")), "{envelope}");
        }
    }
}

#[test]
fn every_element_and_every_line_in_a_record_has_an_outcome() {
    let count = |kind: &str, record: &str| {
        let config = SourceConfig::new(kind);
        let mut normaliser = Normaliser::new(&config, &Keys::new("k1", b"fake")).expect("a built-in kind");
        let mut raw = RawBatch::new();
        raw.push(0, 1_790_000_010_000_000, record.as_bytes());
        let normalised = normaliser.normalise(&Lane::new("test", 0), &raw);
        (normalised.events.num_rows(), normalised.rejects.len())
    };
    let line = |client: u8| {
        format!("203.0.113.{client} - - [21/Sep/2026:14:13:20 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"")
    };
    let of = |client: u8| json!({ "message": line(client) });
    for (record, expected) in [
        (json!({"logEvents": [of(1), null, 5, "", of(2)]}).to_string(), (2, 3)),
        (json!({"records": [of(1)], "logEvents": [of(2), of(3)]}).to_string(), (3, 0)),
        (json!({"stream": {}, "values": [["1", line(1)], ["2"], ["3", ""], null]}).to_string(), (1, 4)),
        (json!({"message": format!("{}\n{}", line(1), line(2))}).to_string(), (2, 0)),
        (format!("{}\n{}\n", line(1), line(2)), (2, 0)),
        (format!("{}\nat some.Thing.java", line(1)), (1, 0)),
        (format!("{}{}", of(1), of(2)), (2, 0)),
        (format!("{}\n{}\n", of(1), of(2)), (2, 0)),
    ] {
        assert_eq!(count("combined", &record), expected, "{record}");
    }
    let envoy = records().into_iter().find(|(kind, line)| *kind == "envoy" && line.starts_with('['));
    let envoy = envoy.expect("there is one").1;
    assert_eq!(count("envoy", &json!({ "message": format!("{envoy}\n{envoy}") }).to_string()), (2, 0));
    let log = |n: u8| {
        json!({"timeUnixNano": "1790000000000000000", "attributes": [{"key": "client.address",
        "value": {"stringValue": format!("203.0.113.{n}")}}, {"key": "url.path", "value": {"stringValue": "/"}}]})
    };
    let scopes = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [log(1)]}]},
        {"scopeLogs": [{"logRecords": [log(2), log(3)]}, {"logRecords": null}, {"logRecords": 7}]}, {"scopeLogs": null}]});
    assert_eq!(count("otel", &scopes.to_string()), (3, 1));
    // Who wrote the end of a line may have written the next one, and so with the end of an object.
    let two = events("combined", &format!("{}\n{}", line(1), line(2)));
    let sources: Vec<&Value> = two.iter().map(|event| &event["client_ip_source"]).collect();
    assert_eq!(sources, [&json!("peer"), &json!("unproven")]);
    let two = events("combined", &format!("{}{}", of(1), of(2)));
    assert!(two.iter().all(|event| event["client_ip_source"] == json!("unproven")));
}

#[test]
fn a_client_whose_text_stands_first_begins_no_prefix() {
    let format =
        "$http_x_forwarded_for - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_user_agent\"";
    let line = |first: &str| format!("{first} - - [21/Sep/2026:14:13:20 +0000] \"GET /.env HTTP/1.1\" 404 5 \"x\"");
    let written = [
        "2026-11-30T06:00:00Z stdout P x",
        "2026-11-30T06:00:00Z stdout F x",
        "2026-11-30T06:00:00Z stderr P 203.0.113.9",
        "<190>1 - - - - - -",
        "<190>Nov 27 09:59:58 gw-1 nginx: 203.0.113.9",
        "[pod/x] 203.0.113.9",
    ];
    let nginx = SourceConfig { log_format: Some(format.to_owned()), trusted_hops: 1, ..SourceConfig::new("nginx") };
    for config in [nginx, SourceConfig::new("combined")] {
        for wrap in [|line: String| line, |line: String| json!({"log": line + "\n", "stream": "stdout"}).to_string()] {
            let mut normaliser = Normaliser::new(&config, &Keys::new("k1", b"fake")).expect("a form");
            let mut raw = RawBatch::new();
            let first = ["198.51.100.2, 198.51.100.3".to_owned()].into_iter();
            let lines =
                first.chain(written.iter().map(|text| format!("{text}, 198.51.100.3"))).map(|text| wrap(line(&text)));
            lines.enumerate().for_each(|(n, line)| raw.push(n as i64, 1_790_000_010_000_000, line.as_bytes()));
            let normalised = normaliser.normalise(&Lane::new("test", 0), &raw);
            let detail: Vec<_> = normalised.rejects.iter().map(|reject| (reject.offset, &reject.detail)).collect();
            assert_eq!((normalised.events.num_rows(), detail), (1 + written.len(), vec![]), "{}", config.kind);
            for row in 0..normalised.events.num_rows() {
                let event = event_json(&normalised.events, row);
                assert_eq!((&event["path"], &event["status"]), (&json!("/.env"), &json!(404)), "{event:?}");
                let is_framed =
                    event["client_ip"] == json!("203.0.113.9") && event["client_ip_source"] != json!("unproven");
                assert!(!is_framed, "{event:?}");
            }
        }
    }
}

#[test]
fn who_begins_a_line_as_a_prefix_begins_is_proven_where_the_gateway_says_who_it_is() {
    let prefixes =
        ["<1>x", "[pod/x] 203.0.113.9", "2026-11-30T06:00:00Z stdout P x", "<190>1 - - - - - - x", "nginx[3]: x"];
    let behind_time = [
        "x: 2026-11-30T08:00:00+00:00 203.0.113.9 -",
        "x:",
        "stdout F x",
        "stdout P 2026-11-30T08:00:00+00:00 203.0.113.9 -",
    ];
    let behind_bracket = ["pod/a] x", "pod/a/b] 203.0.113.9"];
    let at = "2026-09-21T14:13:20+00:00";
    for (format, texts, line) in [
        ("$http_x_forwarded_for $remote_addr", &prefixes[..], "TEXT 198.51.100.66"),
        ("$time_iso8601 $remote_addr $http_x_forwarded_for", &behind_time[..], "AT 198.51.100.66 TEXT"),
        ("$time_iso8601 $remote_addr $http_host", &["h:"][..], "AT 198.51.100.66 TEXT"),
        ("$time_iso8601 $server_name: $remote_addr", &["-"][..], "AT api.example: 198.51.100.66"),
        ("[$http_x_request_id] $remote_addr", &behind_bracket[..], "[TEXT] 198.51.100.66"),
    ] {
        let format = format!("{format} [$time_local] \"$request\" $status $body_bytes_sent");
        let config = SourceConfig { log_format: Some(format.clone()), ..SourceConfig::new("nginx") };
        for in_docker in [false, true] {
            let mut normaliser = Normaliser::new(&config, &Keys::new("k1", b"fake")).expect("a form");
            let mut raw = RawBatch::new();
            let texts: Vec<&str> = ["a", "b"].iter().chain(texts).copied().collect();
            for (n, text) in texts.iter().enumerate() {
                let before = line.replace("AT", at).replace("TEXT", text);
                let line = format!("{before} [21/Sep/2026:14:13:20 +0000] \"GET /.env HTTP/1.1\" 404 5");
                let docker = || json!({"log": format!("{line}\n"), "stream": "stdout", "time": at}).to_string();
                let record = if in_docker { docker() } else { line.clone() };
                raw.push(n as i64, 1_790_000_010_000_000, record.as_bytes());
            }
            let events = normaliser.normalise(&Lane::new("test", 0), &raw).events;
            assert_eq!(events.num_rows(), texts.len(), "{format}");
            for (row, text) in texts.iter().enumerate() {
                let event = event_json(&events, row);
                let who = (&event["client_ip"], &event["client_ip_source"]);
                assert_eq!(who, (&json!("198.51.100.66"), &json!("peer")), "{format}: {text}");
            }
        }
    }
}

#[test]
fn lines_that_get_a_prefix_later_become_sure_and_those_with_a_list_first_never() {
    let line = |front: &str| format!("{front}203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] \"GET /a HTTP/1.1\" 200 5");
    let prefixed = |text: &str| format!("Sep 21 14:13:20 web-1 nginx: {text}");
    // The first line without a prefix; its client is at the front of the lines, or a list is.
    for (first, sure) in [(line(""), true), (line("198.51.100.9, "), false), (line("- "), false)] {
        let mut normaliser =
            Normaliser::new(&SourceConfig::new("combined"), &Keys::new("k1", b"fake")).expect("a kind");
        let mut raw = RawBatch::new();
        let records: Vec<String> =
            std::iter::once(first.clone()).chain((0..150).map(|_| prefixed(&line("")))).collect();
        records.iter().enumerate().for_each(|(n, text)| raw.push(n as i64, 1_790_000_010_000_000, text.as_bytes()));
        let events = normaliser.normalise(&Lane::new("test", 0), &raw).events;
        let last = event_json(&events, events.num_rows() - 1);
        let source = if sure { "peer" } else { "unproven" };
        assert_eq!((events.num_rows(), &last["client_ip_source"]), (151, &json!(source)), "{first}");
    }
}

#[test]
fn what_a_shipper_made_of_a_line_is_read_with_the_line_where_it_lacks_something() {
    let vector = json!({"client": "203.0.113.7", "status": 200, "request": "GET /a HTTP/1.1", "method": "GET", "path": "/a",
        "size": 5, "timestamp": "2026-09-21T14:13:20Z", "source_type": "file", "host": "web-1",
        "message": "203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] \"GET /a HTTP/1.1\" 200 5 \"-\" \"curl/8.5.0\""});
    let logstash = json!({"client_ip": "203.0.113.7", "client_port": "3317", "accept_date": "21/Sep/2026:14:13:20.655",
        "time_duration": "109", "http_status_code": "200", "bytes_read": "2750", "http_verb": "GET", "http_request": "/a",
        "http_version": "1.1", "program": "haproxy"});
    for (kind, record) in [("combined", vector), ("haproxy", logstash)] {
        let all = events(kind, &record.to_string());
        let event = all.first().unwrap_or_else(|| panic!("{kind}: no event"));
        let told = ["client_ip", "client_ip_source", "method", "path", "status"].map(|name| event[name].clone());
        assert_eq!(told, [json!("203.0.113.7"), json!("peer"), json!("GET"), json!("/a"), json!(200)], "{kind}");
    }
}

#[test]
fn a_prefix_in_a_prefix_is_taken_off_too() {
    let line = "203.0.113.7:52114 [21/Sep/2026:14:13:20.250] web app/app1 0/0/1/2/3 404 12 - - ---- 1/1/0/0/0 0/0 \"GET /a HTTP/1.1\"";
    let combined = "203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] \"GET /a HTTP/1.1\" 404 5";
    let cri = "2026-09-21T14:13:21Z stdout F ";
    for (kind, line) in [("haproxy", line), ("combined", combined)] {
        for inner in ["<134>Sep 21 14:13:20 localhost haproxy[1]: ", "<134>1 2026-09-21T14:13:20Z - haproxy 1 - - ", ""]
        {
            let all = events(kind, &format!("{cri}{inner}{line}"));
            let event = all.first().unwrap_or_else(|| panic!("{kind}: {inner}: no event"));
            let told = ["client_ip", "client_ip_source", "path", "status"].map(|name| event[name].clone());
            assert_eq!(told, [json!("203.0.113.7"), json!("peer"), json!("/a"), json!(404)], "{kind}: {inner}");
        }
        // As many as one likes are no reason to go deeper.
        let many = format!("{cri}{}{line}", "<134>Sep 21 14:13:20 localhost haproxy[1]: ".repeat(20_000));
        let is_proven = |event: &Map<String, Value>| event["client_ip_source"] == json!("peer");
        assert!(!events(kind, &many).iter().any(is_proven), "{kind}");
    }
    // Where lines come without a second one, a client may have begun its text so.
    let mut normaliser = Normaliser::new(&SourceConfig::new("combined"), &Keys::new("k1", b"fake")).expect("a kind");
    let mut raw = RawBatch::new();
    let listed =
        |list: &str| format!("{cri}{list}, 198.51.100.7 - - [21/Sep/2026:14:13:20 +0000] \"GET /a HTTP/1.1\" 404 5");
    let written = format!("<134>Sep 21 14:13:20 a b: {combined}");
    for (n, text) in
        [listed("192.0.2.9"), listed("192.0.2.8"), listed(&written), listed("<134>1 - - - - - - 203.0.113.7")]
            .iter()
            .enumerate()
    {
        raw.push(n as i64, 1_790_000_010_000_000, text.as_bytes());
    }
    let found = normaliser.normalise(&Lane::new("test", 0), &raw).events;
    for row in 0..found.num_rows() {
        let event = event_json(&found, row);
        let is_framed = event["client_ip"] == json!("203.0.113.7") && event["client_ip_source"] != json!("unproven");
        assert!(!is_framed, "{event:?}");
    }
}

#[test]
fn what_is_no_json_around_a_line_loses_nothing_of_it() {
    let line = "203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] \\\"GET /a HTTP/1.1\\\" 404 5 \\\"-\\\" \\\"";
    for (agent, rest, source) in [
        ("\\udcff\\\"", "\"}", "peer"),
        ("\\ud800 x\\\"", "\",\"stream\":\"stdout\"}", "peer"),
        ("a\tb\u{1b}\\\"", "\"}", "peer"),
        ("a\\\"", "\",\"n\":1,}", "peer"),
        ("a\\\"", "\",\"stream\":\"stdout\",\"ti", "unproven"),
        ("a\\\"", "\",", "unproven"),
    ] {
        for key in ["log", "message", "MESSAGE"] {
            let record = format!("{{\"{key}\":\"{line}{agent}{rest}");
            let all = events("combined", &record);
            let event = all.first().unwrap_or_else(|| panic!("no event: {record}"));
            let told = ["client_ip", "client_ip_source", "path", "status"].map(|name| event[name].clone());
            assert_eq!(told, [json!("203.0.113.7"), json!(source), json!("/a"), json!(404)], "{record}");
        }
    }
    // Records of their own that end behind a comma.
    let kong = r#"{"started_at":1790000000000,"client_ip":"203.0.113.7","request":{"method":"GET","uri":"/a"},"#;
    let nginx = r#"{"msec":"1790000000.000","remote_addr":"203.0.113.7","request_method":"GET","request_uri":"/a","status":"404","#;
    for (kind, record, status) in [("kong", kong, Value::Null), ("nginx_json", nginx, json!(404))] {
        let all = events(kind, record);
        let event = all.first().unwrap_or_else(|| panic!("{kind}: no event"));
        assert_eq!((&event["client_ip_source"], &event["status"]), (&json!("peer"), &status), "{kind}");
        assert_eq!(event["damaged"], json!(["record"]), "{kind}");
    }
}

#[test]
fn what_was_cut_before_its_list_is_not_the_proxy() {
    let keys = Keys::new("k1", b"fake");
    let record = r#"{"msec":"1790000000.000","remote_addr":"198.51.100.9","request_method":"GET","request_uri":"/a","status":404,"http_x_forwarded_for":"203.0.113.7"}"#;
    let list = record.find("\"http_x").expect("a list");
    for (end, is_proven) in [(record.len(), true), (list + 15, false), (list, false)] {
        let proxies = vec!["198.51.100.9".to_owned()];
        let config = SourceConfig { trusted_proxies: proxies, ..SourceConfig::new("nginx_json") };
        let mut normaliser = Normaliser::new(&config, &keys).expect("a kind");
        let mut raw = RawBatch::new();
        raw.push(0, 1_790_000_010_000_000, &record.as_bytes()[..end]);
        let found = normaliser.normalise(&Lane::new("test", 0), &raw).events;
        assert_eq!(event_json(&found, 0)["client_ip_source"] != json!("unproven"), is_proven, "{end}");
    }
    // Behind an inner brace, too.
    let kong = r#"{"started_at":1790000000000,"client_ip":"203.0.113.7","request":{"method":"GET","uri":"/a"}"#;
    assert_eq!(events("kong", kong)[0]["damaged"], json!(["record"]));
}

#[test]
fn a_name_of_tls_frames_nobody() {
    let format = "$ssl_server_name $remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent";
    let config = SourceConfig { log_format: Some(format.to_owned()), ..SourceConfig::new("nginx") };
    let mut normaliser = Normaliser::new(&config, &Keys::new("k1", b"fake")).expect("a form");
    let mut raw = RawBatch::new();
    let names = ["api.shop.example", "x 203.0.113.7 -", "203.0.113.7", "x y"];
    for (n, name) in names.iter().enumerate() {
        let line = format!("{name} 198.51.100.66 - - [21/Sep/2026:14:13:20 +0000] \"GET /a HTTP/1.1\" 404 5");
        raw.push(n as i64, 1_790_000_010_000_000, line.as_bytes());
    }
    let found = normaliser.normalise(&Lane::new("test", 0), &raw).events;
    assert_eq!(found.num_rows(), names.len());
    for row in 0..found.num_rows() {
        let event = event_json(&found, row);
        let is_framed = event["client_ip"] == json!("203.0.113.7") && event["client_ip_source"] != json!("unproven");
        assert!(!is_framed, "{event:?}");
    }
}

#[test]
fn what_follows_a_carriage_return_proves_nobody() {
    let line =
        |client: &str| format!("{client} - - [21/Sep/2026:14:13:20 +0000] \"GET /a HTTP/1.1\" 404 5 \"-\" \"x\"");
    let all = events("combined", &format!("{}\r{}", line("198.51.100.66"), line("203.0.113.7")));
    let told: Vec<_> = all.iter().map(|event| (&event["client_ip"], &event["client_ip_source"])).collect();
    assert_eq!(told, [(&json!("198.51.100.66"), &json!("peer")), (&json!("203.0.113.7"), &json!("unproven"))]);
}

#[test]
fn the_last_part_of_a_line_proves_nobody_whoever_ships_it() {
    let (first, rest) = (
        "198.51.100.66 - - [21/Sep/2026:14:13:20 +0000] \"GET /",
        "203.0.113.7 - - [21/Sep/2026:14:13:20 +0000] \"GET /b HTTP/1.1\" 404 5",
    );
    for (marked, last) in [
        (
            json!({"message": first, "_LINE_BREAK": "line-max", "__REALTIME_TIMESTAMP": "1790000000000000"}),
            json!({"message": rest, "__REALTIME_TIMESTAMP": "1790000000000001"}),
        ),
        (
            json!({"message": first, "_partial": true, "source_type": "docker_logs"}),
            json!({"message": rest, "source_type": "docker_logs"}),
        ),
    ] {
        let mut normaliser =
            Normaliser::new(&SourceConfig::new("combined"), &Keys::new("k1", b"fake")).expect("a kind");
        let mut raw = RawBatch::new();
        [marked, last]
            .iter()
            .enumerate()
            .for_each(|(n, record)| raw.push(n as i64, 1_790_000_010_000_000, record.to_string().as_bytes()));
        let found = normaliser.normalise(&Lane::new("test", 0), &raw).events;
        for row in 0..found.num_rows() {
            let event = event_json(&found, row);
            let is_framed =
                event["client_ip"] == json!("203.0.113.7") && event["client_ip_source"] != json!("unproven");
            assert!(!is_framed, "{event:?}");
        }
    }
}

#[test]
fn a_record_of_its_own_stays_whatever_is_said_in_it() {
    let forged = json!({"msec": "1790000000.000", "remote_addr": "198.51.100.77", "request_method": "GET",
        "request_uri": "/forged", "status": 200});
    let own =
        json!({"msec": "1790000000.000", "remote_addr": "203.0.113.7", "request_method": "POST", "request_uri": "/x"});
    for (name, text) in [
        ("message", "request handled".to_string()),
        ("message", forged.to_string()),
        ("log", forged.to_string()),
        ("body", forged.to_string()),
    ] {
        let mut record = own.clone();
        record[name] = json!(text);
        for status in [Value::Null, json!(404)] {
            record["status"] = status.clone();
            let event = &events("nginx_json", &record.to_string())[0];
            assert_eq!(
                (&event["client_ip"], &event["client_ip_source"]),
                (&json!("203.0.113.7"), &json!("peer")),
                "{record}"
            );
            assert_eq!((&event["path"], &event["status"]), (&json!("/x"), &status), "{record}");
        }
    }
    // A text that is no record of the kind makes no envelope of what an application wrote.
    let note = json!({"time": "2026-09-21T14:13:20Z", "level": "info", "path": "/jobs", "message": "done in {x: 1}"});
    let event = &events("nginx_json", &note.to_string())[0];
    assert_eq!((&event["path"], &event["client_ip"]), (&json!("/jobs"), &Value::Null));
    // Where nobody can tell, the client in the text is not proven.
    let chat = json!({"time": "2026-09-21T14:13:20Z", "remote_addr": "203.0.113.7", "path": "/chat", "message": forged.to_string()});
    assert_eq!(events("nginx_json", &chat.to_string())[0]["client_ip_source"], json!("unproven"));
}

#[test]
fn what_tools_put_before_a_line_is_taken_off_for_every_kind() {
    for (kind, record) in records() {
        let source = events(kind, &record)[0]["client_ip_source"].clone();
        for before in [
            "lb-1  | 2026-09-21T14:13:21.123456789Z ",
            "lb-1  | ",
            "2026-09-21T14:13:21.123000+00:00 ecs/lb/abc ",
            "2026-09-21T14:13:21.123456789Z ",
            "[pod/lb-5d/lb] 2026-09-21T14:13:21.123456789Z ",
        ] {
            let line = format!("{before}{record}");
            // `combined` knows lines with a list or a host in front, which a client may have written: there nobody is proven.
            let found = events(kind, &line)[0]["client_ip_source"].clone();
            let may_be_a_list = kind == "combined" && found == json!("unproven");
            check(kind, &line, if may_be_a_list { &found } else { &source });
        }
    }
}
