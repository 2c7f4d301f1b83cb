//! What `Normaliser` promises beside the content of columns: every record accounted for, rejects sealed, the same events
//! however records are cut into batches, drift reported, mistakes in the configuration named.

use arrow::array::AsArray;
use schemas::{
    Code, Drift, DriftKind, Keys, Lane, Mapping, Normaliser, RawBatch, SourceConfig, event_json, limits, unseal,
};

const NOW: i64 = 1_790_000_000_000_000;

fn keys() -> Keys {
    Keys::new("k1", b"fake token key").with_seal("s1", &[7; 32])
}

fn normaliser(kind: &str) -> Normaliser {
    Normaliser::new(&SourceConfig::new(kind), &keys()).expect("a built-in kind")
}

fn lane() -> Lane {
    Lane::new("test", 0)
}

fn record(i: i64) -> String {
    format!(
        r#"{{"started_at":{},"client_ip":"203.0.113.{}","request":{{"method":"GET","uri":"/v1/orders/{i}?page={}","headers":{{"authorization":"Bearer fake-{}","user-agent":"agent-{}"}}}},"response":{{"status":{}}},"latencies":{{"request":{}}}}}"#,
        if i % 5 == 4 { "\"soon\"".to_string() } else { (1_790_000_000_000 + i).to_string() },
        i % 250,
        i % 7,
        i % 40,
        i % 11,
        [200, 201, 401, 404, 200][(i % 5) as usize],
        i % 900,
    )
}

#[test]
fn bad_records_are_sealed_rejects_and_the_good_ones_around_them_are_kept() {
    let mut raw = RawBatch::new();
    let bad: [(&[u8], Code); 6] = [
        (b"", Code::Empty),
        (b" \r\n\t", Code::Empty),
        (b"\xff\xfe{}", Code::InvalidJson),
        (b"{\"started_at\":", Code::InvalidJson),
        (b"\0\0\0", Code::Empty),
        (b"7", Code::NotAnObject),
    ];
    for (i, (bytes, _)) in bad.iter().enumerate() {
        raw.push(2 * i as i64, NOW, record(0).as_bytes());
        raw.push(2 * i as i64 + 1, NOW + i as i64, bytes);
    }
    let normalised = normaliser("kong").normalise(&lane(), &raw);
    assert_eq!((normalised.events.num_rows(), normalised.rejects.len()), (6, 6));
    for (i, (reject, (bytes, code))) in normalised.rejects.iter().zip(bad).enumerate() {
        assert_eq!((reject.code, reject.offset, reject.length), (code, 2 * i as i64 + 1, bytes.len() as u64));
        assert_eq!((reject.observed_us, reject.lane.source.as_str()), (NOW + i as i64, "test"));
        let sealed = reject.sealed.as_ref().expect("a sealing key is set");
        assert_eq!(unseal(&keys(), sealed).as_deref(), Ok(bytes));
    }
    assert_eq!(normalised.rejects[2].detail, "not JSON, at byte 0");
    let unsealed =
        Normaliser::new(&SourceConfig::new("kong"), &Keys::new("k1", b"fake")).map(|mut n| n.normalise(&lane(), &raw));
    assert!(unsealed.expect("kong is a kind").rejects.iter().all(|r| r.sealed.is_none()));
}

#[test]
fn records_over_the_limit_are_read_as_far_as_they_go_or_rejects_with_their_full_length() {
    let mut raw = RawBatch::new();
    raw.push_cut(0, NOW, &record(0).as_bytes()[..10], 5_000_000);
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(limits::RECORD_BYTES_MAX));
    raw.push(1, NOW, long.as_bytes());
    raw.push(2, NOW, record(2).as_bytes());
    let normalised = normaliser("kong").normalise(&lane(), &raw);
    assert_eq!(
        normalised.rejects.iter().map(|r| (r.code, r.length)).collect::<Vec<_>>(),
        [(Code::Oversized, 5_000_000), (Code::Oversized, long.len() as u64),]
    );
    assert_eq!((normalised.events.num_rows(), raw.next_offset()), (1, Some(3)));
    let mut raw = RawBatch::new();
    let head = record(0);
    let head = head.strip_suffix('}').expect("an object");
    raw.push_cut(0, NOW, format!("{head},\"more\":\"xxx").as_bytes(), 5_000_000);
    raw.push(1, NOW, format!("{head},\"more\":\"{}\"}}", "x".repeat(limits::RECORD_BYTES_MAX)).as_bytes());
    let normalised = normaliser("kong").normalise(&lane(), &raw);
    assert!(normalised.rejects.is_empty(), "{:?}", normalised.rejects);
    let damaged = |row| normalised.events.column_by_name("damaged").expect("a column").as_list::<i32>().value(row);
    for row in 0..2 {
        assert_eq!(damaged(row).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["record"]);
    }
}

#[test]
fn events_do_not_depend_on_how_records_are_batched() {
    let told = |size: usize| {
        let mut normaliser = normaliser("kong");
        let (mut events, mut rejects) = (Vec::new(), Vec::new());
        for batch in (0..500).collect::<Vec<i64>>().chunks(size) {
            let mut raw = RawBatch::new();
            batch.iter().for_each(|i| raw.push(*i, NOW, record(*i).as_bytes()));
            let normalised = normaliser.normalise(&lane(), &raw);
            events.extend((0..normalised.events.num_rows()).map(|row| event_json(&normalised.events, row)));
            rejects.extend(normalised.rejects.into_iter().map(|r| (r.offset, r.code, r.detail)));
        }
        (events, rejects)
    };
    let whole = told(500);
    assert_eq!((whole.0.len(), whole.1.len()), (400, 100));
    for size in [1, 7, 64] {
        assert_eq!(told(size), whole, "in batches of {size}");
    }
}

#[test]
fn unknown_keys_are_drift_and_known_ones_are_not() {
    let mut normaliser = normaliser("kong");
    let mut raw = RawBatch::new();
    for i in 0..640 {
        let line = record(i / 5 * 5);
        let extra =
            if i >= 320 { r#","plugin_x":{"a":1},"service":{"anything":1},"request":{"new.field":1}}"# } else { "}" };
        raw.push(i, NOW, format!("{}{extra}", &line[..line.len() - 1]).as_bytes());
    }
    normaliser.normalise(&lane(), &raw);
    let appeared = |path: &str, sampled| Drift { path: path.to_string(), kind: DriftKind::Appeared, sampled, of: 40 };
    assert_eq!(normaliser.drift(), [appeared("plugin_x", 20), appeared("request.new.field", 20)]);
    let mut raw = RawBatch::new();
    for i in 0..1000 {
        let secret =
            format!(r#"{{"started_at":1790000000000,"response":{{"status":200}},"k{i}":1,"password=fake{i}":1}}"#);
        raw.push(i * limits::DRIFT_SAMPLE, NOW, secret.as_bytes());
    }
    normaliser.normalise(&lane(), &raw);
    let drift = normaliser.drift();
    assert!(
        drift.len() <= limits::DRIFT_KEYS_MAX + 10 && drift.iter().all(|drift| !drift.path.contains("fake")),
        "{drift:?}"
    );
    let named: Vec<&Drift> = drift.iter().filter(|drift| drift.path == "password=[REDACTED:password]").collect();
    assert!(named.len() == 1 && named[0].sampled == 1000, "{named:?}");
}

#[test]
fn what_is_around_a_record_has_not_drifted() {
    let mut normaliser = normaliser("kong");
    let mut raw = RawBatch::new();
    for i in 0..640 {
        let line = record(0).replacen('{', r#"{"plugin_x":1,"#, 1);
        let record = match i / 16 % 3 {
            0 => serde_json::json!({ "log": line, "stream": "stdout", "time": "2026-09-21T14:13:20Z" }).to_string(),
            1 => format!("2026-09-21T14:13:20Z stdout F {line}"),
            _ => format!("[{line}]"),
        };
        raw.push(i, NOW, record.as_bytes());
    }
    assert_eq!(normaliser.normalise(&lane(), &raw).events.num_rows(), 640);
    let expected = Drift { path: "plugin_x".to_string(), kind: DriftKind::Appeared, sampled: 40, of: 40 };
    assert_eq!(normaliser.drift(), [expected]);
}

#[test]
fn a_line_that_does_not_come_from_the_beginning_of_its_file_is_read_by_its_fields_or_not_at_all() {
    let fields = "#Fields: date time c-ip cs-method cs-uri-stem sc-status";
    let line = "2026-09-21 14:13:20 203.0.113.7 GET /v1/orders 404";
    let batch = |records: &[&str]| {
        let mut raw = RawBatch::new();
        records.iter().for_each(|record| raw.push(0, NOW, record.as_bytes()));
        raw
    };
    let state = normaliser("w3c").normalise(&lane(), &batch(&[fields])).state.expect("the lane learned its fields");
    let mut later = normaliser("w3c").by_told_fields();
    let untold = later.normalise(&lane(), &batch(&[line]));
    let details: Vec<&str> = untold.rejects.iter().map(|reject| reject.detail.as_str()).collect();
    assert_eq!((untold.events.num_rows(), details), (0, vec!["expected a #Fields line before it"]));
    later.restore(&lane(), &state).expect("a state");
    let told = later.normalise(&lane(), &batch(&[line]));
    assert_eq!((told.events.num_rows(), &event_json(&told.events, 0)["status"]), (1, &404.into()));
}

/// Records of a thousand, of which those from the middle on are changed.
fn drift_of(change: impl Fn(i64, String) -> String) -> Vec<Drift> {
    let mut normaliser = normaliser("kong");
    let mut raw = RawBatch::new();
    (0..1000).for_each(|i| raw.push(i, NOW, change(i, record(i / 5 * 5)).as_bytes()));
    normaliser.normalise(&lane(), &raw);
    normaliser.drift()
}

/// The status of a record as a text.
fn as_text(record: &str) -> String {
    record.replace("\"status\":200", "\"status\":\"200\"")
}

#[test]
fn fields_that_vanish_or_change_their_type_are_drift() {
    assert_eq!(drift_of(|_, record| record), []);
    let vanished = drift_of(|i, record| if i < 500 { record } else { record.replace("\"client_ip\"", "\"service\"") });
    let expected = Drift { path: "client_ip".to_string(), kind: DriftKind::Vanished, sampled: 31, of: 63 };
    assert_eq!(vanished, [expected]);
    let changed = drift_of(|i, record| if i < 500 { record } else { as_text(&record) });
    let kind = DriftKind::ChangedType { was: "number", is: "text" };
    assert_eq!(changed, [Drift { path: "response.status".to_string(), kind, sampled: 31, of: 63 }]);
}

#[test]
fn fields_that_come_and_go_or_were_always_of_two_kinds_are_no_drift() {
    let seldom = drift_of(
        |i, record| if i % 64 == 0 || i > 900 { record.replace("\"client_ip\"", "\"service\"") } else { record },
    );
    assert_eq!(seldom, []);
    let mixed = drift_of(|i, record| if i % 32 == 0 || i > 700 { as_text(&record) } else { record });
    assert_eq!(mixed, []);
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    let kinds: Vec<&str> = schemas::sources::KINDS.iter().map(|kind| kind.name).collect();
    let error = |config: SourceConfig| Normaliser::new(&config, &keys()).err().expect("it is wrong").to_string();
    assert_eq!(
        error(SourceConfig::new("apache")),
        format!("source apache: unknown kind \"apache\", expected one of {}", kinds.join(", "))
    );
    assert_eq!(error(SourceConfig::new("mapping")), "source mapping: the kind mapping needs a mapping file");
    let proxies = vec!["10.0.0.0/8".to_string(), "proxy.example".to_string()];
    assert_eq!(
        error(SourceConfig { trusted_proxies: proxies, ..SourceConfig::new("kong") }),
        "source kong: trusted proxy \"proxy.example\": expected a network such as 10.0.0.0/8, an address, or unix:"
    );
    let mapping = Mapping::parse("gateway: g\ncolumns:\n  tiem: { from: t, unit: epoch_s }\n", "gw.yaml");
    let message = mapping.expect_err("it is wrong").to_string();
    assert!(
        message.starts_with("gw.yaml:3:3: ") && message.contains("tiem") && message.contains("start_time"),
        "{message}"
    );
}

#[test]
fn full_memories_do_not_change_events() {
    // More credentials, agents and hosts than are remembered; the first ones come again at the end.
    let mut normaliser = normaliser("kong");
    let mut first = Vec::new();
    for round in 0..3i64 {
        let mut raw = RawBatch::new();
        for i in 0..20_000i64 {
            let line = format!(
                r#"{{"started_at":1790000000000,"request":{{"uri":"/","headers":{{"authorization":"Bearer fake-{i}","user-agent":"agent {i}","host":"h{i}.example"}}}},"response":{{"status":200}}}}"#
            );
            raw.push(i, NOW, line.as_bytes());
        }
        let normalised = normaliser.normalise(&lane(), &raw);
        let rows: Vec<_> = [0, 17_000, 19_999].map(|row| event_json(&normalised.events, row)).to_vec();
        if round == 0 {
            first = rows;
        } else {
            assert_eq!(rows, first);
        }
    }
}

#[test]
fn a_record_of_nothing_but_wide_blanks_is_not_lost() {
    for (kind, blank) in [("kong", "\u{a0}\r\u{a0}"), ("combined", "\u{85}\r\r\u{3000}"), ("iis", "\u{2028}\r\u{a0}")] {
        let mut raw = RawBatch::new();
        raw.push(0, NOW, blank.as_bytes());
        let normalised = normaliser(kind).normalise(&lane(), &raw);
        let codes: Vec<Code> = normalised.rejects.iter().map(|reject| reject.code).collect();
        assert_eq!((normalised.events.num_rows(), codes), (0, vec![Code::Empty]), "{kind}");
    }
}

/// Each of these made a reader stop once: found by the fuzz targets.
#[test]
fn records_that_stopped_a_reader() {
    for (kind, record) in [
        // A bracket too many in a list of names and values was read as an empty value, again and again.
        ("otel", r#"{"attributes":[{"key":"a","val":"200"}},{"key":"b"}]}"#),
        ("otel", r#"{"attributes":[}"#),
        // A wide character where the day ends.
        ("combined", "Nov 27\u{a0}10:00:00 gw nginx: x"),
        ("combined", "<34>Nov 2\u{a0}\u{a0}10:00:00 gw nginx: x"),
        ("kong", r#"{"message":"Nov 27  \u00a010:00:00 gw nginx: x"}"#),
        // A key with an escape that is none, in a record that only a lenient scan reads.
        ("kong", r#"{"a":-,"\uery":1}"#),
        ("kong", r#"{"a":-,"x\ä":1}"#),
        ("kong", r#"{"a":-,"\u00"#),
        ("kong", r#"{"a":-,"b\"#),
        ("otel", r#"{"a":-,"attributes":[{"key":"\ux","value":1}]}"#),
        // A line of blanks in an envelope.
        ("iis", r#"" ""#),
        ("iis", r#"2026-11-27T10:00:00.123456789Z stdout F "\r\n""#),
        ("w3c", r#"{"message":"\t"}"#),
        ("cloudfront", r#""\t\t""#),
    ] {
        let mut raw = RawBatch::new();
        raw.push(0, NOW, record.as_bytes());
        let normalised = normaliser(kind).normalise(&lane(), &raw);
        assert_eq!(normalised.events.num_rows() + normalised.rejects.len(), 1, "{kind}: {record}");
    }
}

/// Two headers of one name are one, in their order, whether or not they are written with escapes; and a record that is one
/// long list costs no more than it holds.
#[test]
fn lists_are_joined_in_their_order() {
    let agent = |list: &str| {
        let record = record(0).replace("\"agent-0\"", list);
        let mut raw = RawBatch::new();
        raw.push(0, NOW, record.as_bytes());
        let normalised = normaliser("kong").normalise(&lane(), &raw);
        assert!(normalised.rejects.is_empty(), "{list}: {:?}", normalised.rejects);
        event_json(&normalised.events, 0)["user_agent"].as_str().map(str::to_owned)
    };
    let (plain, escaped) = (["a", "b", "c"], ["\\u0061", "\\u0062", "\\u0063"]);
    for choice in 0..8 {
        let element = |i: usize| format!("\"{}\"", if choice >> i & 1 == 1 { escaped[i] } else { plain[i] });
        let list = format!("[{}, {}, {}]", element(0), element(1), element(2));
        assert_eq!(agent(&list).as_deref(), Some("a, b, c"), "{list}");
    }
    assert_eq!(agent("[null, \"a\", null, \"b\"]").as_deref(), Some("a, b"));
    for element in ["\"x\"", "\"\\u0078\""] {
        let long = agent(&format!("[{}]", vec![element; 60_000].join(","))).expect("a text");
        assert!(long.starts_with("x, x, x, ") && long.ends_with('…') && long.len() < 9_000, "{} bytes", long.len());
    }
}

#[test]
fn a_text_that_comes_again_is_told_as_it_was_the_first_time() {
    let long = format!("/v1/export?page=1&note={}&token=fake-4f8a1c9e2b7d6035", "word%20".repeat(60));
    let targets = [
        "/v1/orders",
        "/v1/users/ann@mail.example?page=2",
        "/reset/4f8a1c9e2b7d60358c1e?next=%2Fhome",
        "/v1/search?q=%27%20or%201=1--&api_key=fake-4f8a1c9e2b7d6035",
        "/a/../../etc/passwd?password=fake-secret-1",
        "/v1/orders?password=fake-secret-2",
        &long,
    ];
    let line = |target: &str| {
        format!(
            r#"{{"started_at":{NOW},"client_ip":"203.0.113.7","request":{{"method":"GET","uri":"{target}","headers":{{"referer":"https://shop.example{target}"}}}},"response":{{"status":200}}}}"#,
            NOW = NOW / 1000,
        )
    };
    let told = |events: &arrow::array::RecordBatch, row| {
        let event = event_json(events, row);
        ["path", "query", "referrer", "redactions", "probes"].map(|column| event[column].clone())
    };
    let first = targets.map(|target| {
        let mut raw = RawBatch::new();
        raw.push(0, NOW, line(target).as_bytes());
        told(&normaliser("kong").normalise(&lane(), &raw).events, 0)
    });
    assert!(first.iter().filter(|event| !event[3].is_null()).count() >= 5, "{first:?}");
    assert!(first.iter().filter(|event| !event[4].is_null()).count() >= 2, "{first:?}");
    // Among more other texts than are remembered, so that all of them were forgotten and came again.
    let mut raw = RawBatch::new();
    let others = |round: usize| (0..3 * limits::SCRUBBED_TEXTS_MAX).map(move |i| format!("/v1/o/{i}?r={round}{i}"));
    let mut rows = Vec::new();
    for round in 0..2 {
        for target in targets.iter().chain(&targets).map(|t| t.to_string()).chain(others(round)) {
            rows.push(targets.iter().position(|t| **t == target));
            raw.push(rows.len() as i64, NOW, line(&target).as_bytes());
        }
    }
    let events = normaliser("kong").normalise(&lane(), &raw).events;
    for (row, target) in rows.iter().enumerate() {
        if let Some(target) = target {
            assert_eq!(told(&events, row), first[*target], "row {row}, {}", targets[*target]);
        }
    }
    assert_eq!(rows.iter().flatten().count(), 4 * targets.len());
}
