//! Lines that came in several records, records whose end is missing, and objects that are none: nobody is framed by what a client
//! put where such a part begins or ends, nobody hides behind it, and what is missing is named.

use schemas::{Keys, Lane, Normaliser, RawBatch, SourceConfig, event_json};
use serde_json::{Value, json};

const OBSERVED_US: i64 = 1_790_000_000_000_000;
const TRUE_PEER: &str = "203.0.113.7";
const FRAMED: &str = "198.51.100.9";
/// Where container runtimes split.
const PART: usize = 16 << 10;

fn normaliser(kind: &str, trusted: &[&str]) -> Normaliser {
    let trusted_proxies = trusted.iter().map(|network| (*network).to_string()).collect();
    let config = SourceConfig { trusted_proxies, ..SourceConfig::new(kind) };
    Normaliser::new(&config, &Keys::new("k1", b"fake")).expect("a built-in kind")
}

/// Client, source and status of each event, and the codes of the rejects.
type Told = (Vec<(String, String, i64)>, Vec<&'static str>);

/// What comes of the records, handed over in batches of so many.
fn told_in(normaliser: &mut Normaliser, records: &[String], from: i64, at_once: usize) -> (Told, Option<Vec<u8>>) {
    let (mut told, mut state) = (Told::default(), None);
    for (i, some) in records.chunks(at_once).enumerate() {
        let mut raw = RawBatch::new();
        let offset = |at: usize| from + (i * at_once + at) as i64;
        some.iter().enumerate().for_each(|(at, record)| raw.push(offset(at), OBSERVED_US, record.as_bytes()));
        let normalised = normaliser.normalise(&Lane::new("test", 0), &raw);
        told.0.extend((0..normalised.events.num_rows()).map(|row| {
            let event = event_json(&normalised.events, row);
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_string();
            (text("client_ip"), text("client_ip_source"), event["status"].as_i64().unwrap_or(-1))
        }));
        told.1.extend(normalised.rejects.iter().map(|reject| reject.code.as_str()));
        state = normalised.state.or(state);
    }
    (told, state)
}

fn told(kind: &str, records: &[String]) -> Told {
    let (told, _) = told_in(&mut normaliser(kind, &[]), records, 0, 100);
    for at_once in [1, 2] {
        assert_eq!(told_in(&mut normaliser(kind, &[]), records, 0, at_once).0, told, "{kind}: {at_once} at once");
    }
    told
}

fn istio(agent: &str, client: &str, path: &str, status: u16) -> String {
    format!(
        "[2026-09-21T14:13:20.000Z] \"GET {path} HTTP/1.1\" {status} - via_upstream - \"-\" 0 12 48 45 \"-\" \"{agent}\" \
         \"8c5e1f6a-1\" \"h\" \"10.0.0.1:80\" inbound|80|| 127.0.0.6:4000 10.0.0.1:80 {client}:50000 outbound_.80_._.x default"
    )
}

fn traefik(agent: &str, client: &str, path: &str, status: u16) -> String {
    format!(
        "{client} - - [21/Sep/2026:14:13:20 +0000] \"GET {path} HTTP/1.1\" {status} 12 \"-\" \"{agent}\" 700 \"o@d\" \
         \"http://192.0.2.80:8080\" 48ms"
    )
}

/// What is around a part, by its number and whether it is the last one.
type Wrap<'w> = dyn Fn(&str, usize, bool) -> Value + 'w;

/// A line of the true peer whose second part begins with a whole line of the framed one.
fn split_line(line: fn(&str, &str, &str, u16) -> String) -> Vec<String> {
    let head = line("@", TRUE_PEER, "/x", 200).find('@').expect("an agent");
    let agent = format!("{}{}", "u".repeat(PART - head), line("c", FRAMED, "/.env", 404));
    cut(&line(&agent, TRUE_PEER, "/x", 200))
}

fn cut(line: &str) -> Vec<String> {
    line.as_bytes().chunks(PART).map(|part| String::from_utf8(part.to_vec()).expect("ASCII")).collect()
}

fn cri(parts: &[String], stream: &str) -> Vec<String> {
    let tag = |i: usize| if i + 1 == parts.len() { 'F' } else { 'P' };
    let line = |(i, part): (usize, &String)| format!("2026-09-21T14:13:21.1Z {stream} {} {part}", tag(i));
    parts.iter().enumerate().map(line).collect()
}

fn peer(status: i64) -> (String, String, i64) {
    (TRUE_PEER.to_string(), "peer".to_string(), status)
}

#[test]
fn the_rest_of_a_line_frames_nobody_and_hides_nobody() {
    assert_eq!(told("traefik", &cri(&split_line(traefik), "stdout")), (vec![peer(200)], vec!["continuation"]));
    // Envoy escapes no quotes: of two statuses the worse counts.
    assert_eq!(told("envoy", &cri(&split_line(istio), "stdout")), (vec![peer(404)], vec!["continuation"]));
    // In three parts, of which the second is a whole line.
    let forged = |agent: &str| istio(agent, FRAMED, "/.env", 404);
    let middle = forged(&"v".repeat(PART - forged("").len()));
    let head = istio("@", TRUE_PEER, "/x", 401).find('@').expect("an agent");
    let three = cut(&istio(&format!("{}{middle}tail", "u".repeat(PART - head)), TRUE_PEER, "/x", 401));
    assert_eq!(three.len(), 3);
    assert_eq!(told("envoy", &cri(&three, "stdout")), (vec![peer(401)], vec!["continuation"; 2]));
    // And the first one, so that it is a whole line, too.
    let head = forged("").len();
    let first = forged(&"v".repeat(PART - head));
    let two = vec![first, istio("c", TRUE_PEER, "/x", 401)];
    let (events, _) = told("envoy", &cri(&two, "stdout"));
    assert!(events.iter().all(|(client, source, _)| client == TRUE_PEER || source == "unproven"), "{events:?}");
}

#[test]
fn every_runtime_and_shipper_is_heard() {
    let wrapped = |parts: &[String], wrap: &Wrap<'_>| -> Vec<String> {
        let last = parts.len() - 1;
        parts.iter().enumerate().map(|(i, part)| wrap(part, i + 1, i == last).to_string()).collect()
    };
    let wraps: [(&str, &Wrap<'_>); 10] = [
        (
            "docker",
            &|part, _, last| json!({"log": format!("{part}{}", if last { "\n" } else { "" }), "stream": "stdout", "time": "2026-09-21T14:13:21Z"}),
        ),
        (
            "fluent bit",
            &|part, _, last| json!({"log": part, "stream": "stdout", "logtag": if last { "F" } else { "P" }, "kubernetes": {"pod_name": "gw-1"}}),
        ),
        ("fluent bit, unnamed", &|part, _, last| json!({"log": part, "_p": if last { "F" } else { "P" }})),
        ("docker's fluentd", &|part, number, last| {
            json!({"log": part, "container_id": "c1", "partial_message": "true", "partial_id": "p",
                "partial_ordinal": number.to_string(), "partial_last": last.to_string()})
        }),
        ("docker's journald", &|part, number, last| {
            json!({"MESSAGE": part, "CONTAINER_ID": "c1", "CONTAINER_PARTIAL_ID": "p",
                "CONTAINER_PARTIAL_ORDINAL": number.to_string(), "CONTAINER_PARTIAL_LAST": last.to_string()})
        }),
        ("docker's old journald", &|part, _, last| match last {
            true => json!({"MESSAGE": part, "CONTAINER_ID": "c1"}),
            false => json!({"MESSAGE": part, "CONTAINER_ID": "c1", "CONTAINER_PARTIAL_MESSAGE": "true"}),
        }),
        ("journald", &|part, _, last| match last {
            true => json!({"MESSAGE": part, "_PID": "7"}),
            false => json!({"MESSAGE": part, "_PID": "7", "_LINE_BREAK": "line-max"}),
        }),
        ("filebeat", &|part, number, last| {
            let mut log = json!({"offset": number * PART, "file": {"path": "/var/log/containers/gw-1.log"}});
            if !last {
                log["flags"] = json!(["partial"]);
            }
            json!({"@timestamp": "2026-09-21T14:13:21Z", "message": part, "stream": "stdout", "log": log})
        }),
        ("google", &|part, number, last| {
            let total = if last { number } else { number + 1 };
            match total {
                1 => json!({"insertId": "a", "textPayload": part}),
                _ => {
                    json!({"insertId": "a", "textPayload": part, "split": {"uid": "a", "index": number - 1, "totalSplits": total}})
                }
            }
        }),
        ("opentelemetry", &|part, _, last| {
            json!({"body": {"stringValue": part}, "attributes": [
                {"key": "log.iostream", "value": {"stringValue": "stdout"}},
                {"key": "logtag", "value": {"stringValue": if last { "F" } else { "P" }}}]})
        }),
    ];
    for (name, wrap) in wraps {
        for (kind, line) in [("envoy", istio as fn(&str, &str, &str, u16) -> String), ("traefik", traefik)] {
            let (events, rejects) = told(kind, &wrapped(&split_line(line), wrap));
            let is_right = |(client, source, _): &(String, String, i64)| client == TRUE_PEER || source == "unproven";
            assert!(events.iter().all(is_right), "{name}, {kind}: {events:?}");
            assert!(events.iter().any(|(client, ..)| client == TRUE_PEER), "{name}, {kind}: {events:?} {rejects:?}");
            // A line that is whole stays proven.
            let (events, _) = told(kind, &wrapped(&[line("c", TRUE_PEER, "/x", 200)], wrap));
            assert_eq!(events, [peer(200)], "{name}, {kind}");
        }
    }
}

#[test]
fn streams_are_told_apart_and_ordinary_lines_stay_whole() {
    let mut records = cri(&split_line(traefik), "stdout");
    let other = cri(&[traefik("c", "192.0.2.33", "/y", 200)], "stderr");
    records.insert(1, other[0].clone());
    records.extend(cri(&[traefik("c", "192.0.2.34", "/z", 200)], "stdout"));
    let (events, rejects) = told("traefik", &records);
    let clients: Vec<&str> = events.iter().map(|(client, ..)| &**client).collect();
    assert_eq!((clients, rejects), (vec![TRUE_PEER, "192.0.2.33", "192.0.2.34"], vec!["continuation"]));
    assert!(events.iter().all(|(_, source, _)| source == "peer"), "{events:?}");
    // Shippers that take the newline off every line: a long one is whole, and the next one another.
    let long = traefik(&"u".repeat(PART + 9), TRUE_PEER, "/x", 200);
    let log = |line: String| json!({"log": line, "stream": "stdout"}).to_string();
    let (events, _) = told("traefik", &[log(long), log(traefik("c", "192.0.2.33", "/y", 200))]);
    let clients: Vec<&str> = events.iter().map(|(client, ..)| &**client).collect();
    assert_eq!(clients, [TRUE_PEER, "192.0.2.33"]);
}

/// In a topic nothing says of which container a line is, if its record does not.
#[test]
fn the_rest_of_a_line_among_those_of_others_frames_nobody() {
    let docker = |part: &str, is_last: bool| {
        let end = if is_last { "\n" } else { "" };
        json!({"log": format!("{part}{end}"), "stream": "stdout", "time": "2026-09-21T14:13:21Z"}).to_string()
    };
    let unnamed = |part: &str, is_last: bool| json!({"log": part, "_p": if is_last { "F" } else { "P" }}).to_string();
    let by_runtime =
        |part: &str, is_last: bool| format!("2026-09-21T14:13:21.1Z stdout {} {part}", if is_last { "F" } else { "P" });
    let parts = split_line(traefik);
    let config = SourceConfig { several_writers: true, ..SourceConfig::new("traefik") };
    for wrap in [&docker as &dyn Fn(&str, bool) -> String, &unnamed, &by_runtime] {
        let other = |client: &str| wrap(&traefik("c", client, "/y", 200), true);
        let mut records = vec![wrap(&parts[0], false)];
        records.extend((0..40).map(|i| other(&format!("192.0.2.{i}"))));
        records.push(wrap(&parts[1], true));
        records.extend((0..1000).map(|_| other("192.0.2.99")));
        let mut normaliser = Normaliser::new(&config, &Keys::new("k1", b"fake")).expect("a built-in kind");
        let ((events, _), _) = told_in(&mut normaliser, &records, 0, 7);
        let of = |client: &str| events.iter().filter(|(who, ..)| who == client).count();
        assert!(
            events.iter().all(|(client, source, _)| client != FRAMED || source == "unproven"),
            "{:?}",
            &events[..45]
        );
        assert!((0..40).all(|i| of(&format!("192.0.2.{i}")) == 1) && of("192.0.2.99") == 1000, "a line is lost");
        assert_eq!(events.last().map(|(_, source, _)| &**source), Some("peer"));
    }
}

/// One long line does not take the next ones with it, whoever wrote them.
#[test]
fn long_lines_one_after_the_other_among_those_of_others_are_all_read() {
    let wrap = |part: &str, is_last: bool| json!({"log": part, "_p": if is_last { "F" } else { "P" }}).to_string();
    for long in ["path", "agent"] {
        let mut records = Vec::new();
        for client in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            let text = "u".repeat(PART + 900);
            let line = match long {
                "path" => traefik("c", client, &format!("/{text}"), 404),
                _ => traefik(&text, client, "/x", 404),
            };
            let parts = cut(&line);
            records.extend([wrap(&parts[0], false), wrap(&parts[1], true)]);
            records.push(wrap(&traefik("c", "192.0.2.99", "/y", 200), true));
        }
        let (events, _) = told("traefik", &records);
        let of = |client: &str| events.iter().filter(|(who, _, status)| who == client && *status > 0).count();
        let counts = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.99"].map(of);
        assert_eq!(counts, [1, 1, 1, 3], "{long}: {events:?}");
    }
}

#[test]
fn blanks_at_the_seam_are_kept() {
    let line = istio("an agent", TRUE_PEER, "/x", 200);
    let at = line.find(" agent").expect("a blank");
    for at in [at, at + 1, line.find(" via").expect("a blank"), line.find("via").expect("a word")] {
        let parts = [line[..at].to_string(), line[at..].to_string()];
        assert_eq!(told("envoy", &cri(&parts, "stdout")).0, [peer(200)], "{at}");
    }
}

#[test]
fn a_restart_within_a_line_proves_nobody() {
    for (kind, line) in [("traefik", traefik as fn(&str, &str, &str, u16) -> String), ("envoy", istio)] {
        let records = cri(&split_line(line), "stdout");
        let (_, state) = told_in(&mut normaliser(kind, &[]), &records[..1], 0, 1);
        let state = state.expect("the lane is within a line");
        assert!(!String::from_utf8_lossy(&state).contains(TRUE_PEER), "{kind}");
        let mut again = normaliser(kind, &[]);
        again.restore(&Lane::new("test", 0), &state).expect("a state");
        let (told, state) = told_in(&mut again, &records[1..], 1, 1);
        assert_eq!(told, (vec![], vec!["continuation"]), "{kind}");
        assert!(state.is_some(), "{kind}: the line is over");
        // Where nothing is known of what came before.
        let ((events, _), _) = told_in(&mut normaliser(kind, &[]), &records[1..], 1, 1);
        assert!(events.iter().all(|(_, source, _)| source == "unproven"), "{kind}: {events:?}");
    }
}

/// Rejects are read again one by one, as they were sealed.
#[test]
fn a_rest_that_is_read_again_proves_nobody() {
    let config = SourceConfig::new("traefik");
    let keys = Keys::new("k1", b"fake").with_seal("s1", &[7; 32]);
    let parts = split_line(traefik);
    let docker = |i: usize| {
        let end = if i + 1 == parts.len() { "\n" } else { "" };
        json!({"log": format!("{}{end}", parts[i]), "stream": "stdout", "time": "2026-09-21T14:13:21Z"}).to_string()
    };
    for (records, keeps) in [(cri(&parts, "stdout"), true), (vec![docker(0), docker(1)], false)] {
        let mut raw = RawBatch::new();
        records.iter().enumerate().for_each(|(at, record)| raw.push(at as i64, OBSERVED_US, record.as_bytes()));
        let mut first = Normaliser::new(&config, &keys).expect("a built-in kind");
        let normalised = first.normalise(&Lane::new("test", 0), &raw);
        let rejects: Vec<bool> = normalised.rejects.iter().map(|reject| reject.sealed.is_some()).collect();
        assert_eq!(rejects, [keeps]);
        let mut again = Normaliser::new(&config, &keys).expect("a built-in kind").by_told_fields();
        if let Some(state) = normalised.state {
            again.restore(&Lane::new("test", 0), &state).expect("a state");
        }
        let rests = [records[1].clone(), records[1].clone()];
        let ((events, _), _) = told_in(&mut again, &rests, 1, 2);
        assert!(!events.is_empty() && events.iter().all(|(_, source, _)| source == "unproven"), "{events:?}");
    }
}

#[test]
fn of_a_long_list_the_nearest_hop_counts() {
    let trusted = &["10.0.0.0/8"];
    for times in [1_050, 1_300, 20_000] {
        let far = vec![FRAMED; times].join(", ");
        let kong = json!({"started_at": OBSERVED_US / 1000, "client_ip": "10.0.0.1", "latencies": {"request": 1},
            "request": {"method": "GET", "uri": "/x", "headers": {"x-forwarded-for": [far, TRUE_PEER]}}, "response": {"status": 200}});
        let caddy = json!({"ts": OBSERVED_US / 1_000_000, "status": 200, "duration": 0.1, "request": {"remote_ip": "10.0.0.1",
            "method": "GET", "uri": "/x", "headers": {"X-Forwarded-For": [far, TRUE_PEER]}}});
        let nginx = json!({"msec": "1790000000.0", "remote_addr": "10.0.0.1", "request_uri": "/x", "status": 200,
            "http_x_forwarded_for": format!("{far}, {TRUE_PEER}")});
        for (kind, record) in [("kong", kong), ("caddy", caddy), ("nginx_json", nginx)] {
            let (told, _) = told_in(&mut normaliser(kind, trusted), &[record.to_string()], 0, 1);
            assert_eq!(told.0, [(TRUE_PEER.to_string(), "forwarded".to_string(), 200)], "{kind}, {times}");
        }
    }
}

#[test]
fn a_list_whose_end_is_missing_proves_nobody() {
    let trusted = &["10.0.0.0/8"];
    let line = format!(
        "10.0.0.1 - - [21/Sep/2026:14:13:20 +0000] \"GET /x HTTP/1.1\" 200 12 \"-\" \"c\" \"{}, {TRUE_PEER}\"",
        vec![FRAMED; 8_000].join(", ")
    );
    let json = json!({"msec": "1790000000.0", "remote_addr": "10.0.0.1", "request_uri": "/x", "status": 200,
        "http_x_forwarded_for": format!("{FRAMED}, {FRAMED}, {TRUE_PEER}")})
    .to_string();
    let json = json.replace(r#""http_x_forwarded_for":"#, r#""msec":"1790000000.0","http_x_forwarded_for":"#);
    let end = json.find(TRUE_PEER).expect("the peer");
    let text = line.find(FRAMED).expect("a hop") + 30;
    for (kind, record) in [("combined", &line[..]), ("combined", &line[..text]), ("nginx_json", &json[..end - 2])] {
        let ((events, rejects), _) = told_in(&mut normaliser(kind, trusted), &[record.to_string()], 0, 1);
        assert!(
            events.iter().all(|(client, source, _)| client != FRAMED || source == "unproven"),
            "{kind}: {events:?}"
        );
        assert_eq!((events.len(), rejects.len()), (1, 0), "{kind}");
    }
    // Half of an address, and the end of a line as a client wrote it.
    let whole = istio("c", "203.0.113.77", "/x", 200);
    let half = &whole[..whole.find("203.0.113.77").expect("the client") + "203.0.113.7".len()];
    let forged = format!("{} more", istio(&istio("c", FRAMED, "/.env", 404)[20..], TRUE_PEER, "/x", 200));
    let seen = forged.find(" default").expect("an end");
    for record in [half, &forged[..seen]] {
        let ((events, _), _) = told_in(&mut normaliser("envoy", &[]), &[record.to_string()], 0, 1);
        assert!(events.iter().all(|(_, source, _)| source == "unproven"), "{events:?}: {record}");
    }
}

/// Something else stands where an object or a number should: the columns that it should have filled are named.
#[test]
fn a_container_of_the_wrong_type_is_named() {
    let record = |request: Value, response: Value| {
        json!({"started_at": OBSERVED_US / 1000, "client_ip": "203.0.113.7", "latencies": {"request": 1}, "request": request,
            "response": response})
        .to_string()
    };
    let whole = json!({"method": "GET", "uri": "/x", "size": 10, "headers": {"user-agent": "c"}});
    for (line, expected) in [
        (record(json!(true), json!({"status": 200})), &["method", "path"][..]),
        (record(json!([1, 2]), json!({"status": 200})), &["method", "path"]),
        (record(whole.clone(), json!("x")), &["status"]),
        (record(whole.clone(), json!({"status": [], "size": 5})), &["status"]),
        (record(whole.clone(), json!({"status": 200})), &[]),
        (record(whole.clone(), json!(null)), &[]),
        (record(whole, json!([])), &[]),
    ] {
        let mut raw = RawBatch::new();
        raw.push(0, OBSERVED_US, line.as_bytes());
        let events = normaliser("kong", &[]).normalise(&Lane::new("test", 0), &raw).events;
        let event = event_json(&events, 0);
        let damaged: Vec<&str> = event["damaged"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(expected.iter().all(|name| damaged.contains(name)), "{damaged:?}: {line}");
        assert_eq!(damaged.is_empty(), expected.is_empty(), "{damaged:?}: {line}");
    }
}

/// A directive of a W3C log that came in parts is no record, and each of its parts is a reject.
#[test]
fn of_each_part_of_a_directive_something_comes() {
    let part = |tag: &str, text: &str| format!("2026-11-27T10:00:00Z stderr {tag} {text}");
    let long = "x".repeat(300 << 10);
    for records in [
        vec![part("P", "#Version: 1.0 "), part("P", &long), part("F", "end")],
        vec![part("P", "#Version: "), part("F", "1.0")],
        vec![part("P", &format!("#Version: {long}")), part("F", "1.0")],
    ] {
        let (events, codes) = told("cloudfront", &records);
        assert_eq!((events.len(), codes), (0, vec!["continuation"; records.len()]), "{} records", records.len());
    }
}
