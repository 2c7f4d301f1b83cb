//! A listener on loopback, and a client that writes its requests by hand: what is taken, what is refused and how, and
//! what a slow or a large sender gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use flate2::Compression;
use flate2::write::GzEncoder;
use schemas::Lane;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::body::unpack;
use super::*;
use crate::ingest::Source;
use crate::ingest::push::PushSource;
use crate::ingest::spool::{self, SpoolConfig, SpoolKey};
use crate::ingest::testing::{Told, clock, next, nothing};

struct Setup {
    address: SocketAddr,
    source: PushSource<Attached>,
    hub: Hub,
    _folder: TempDir,
    _runtime: Runtime,
}

fn config() -> HttpConfig {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    HttpConfig {
        listen: free.local_addr().expect("an address"),
        path: "/logs/edge".to_owned(),
        token: Some(Token::new("not-a-real-token")),
        tls: None,
        body_max: 64 << 10,
        rate: None,
        connections_max: 8,
        body_timeout: Duration::from_secs(30),
        is_otlp: false,
    }
}

impl Setup {
    fn new(config: HttpConfig) -> Setup {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = Runtime::new().expect("a runtime");
        let spool_config = SpoolConfig {
            folder: folder.path().join("edge"),
            source: "edge".to_owned(),
            key: SpoolKey { id: "p1".to_owned(), bytes: [3; 32] },
            bytes_max: 1 << 20,
            idle_after: Duration::from_secs(5),
        };
        let (clock, _) = clock();
        let (spool, source) =
            spool::open(spool_config, nothing().as_ref(), ReadLimits::default(), clock.clone()).expect("a spool");
        let address = config.listen;
        let hub = Hub::new(runtime.handle().clone(), &[&config]);
        let route = Route::new("edge", config, ReadLimits::default(), clock, spool);
        let attached = hub.attach(route).expect("listens");
        Setup { address, source: PushSource::new(attached, source), hub, _folder: folder, _runtime: runtime }
    }

    fn send(&self, head: &str, body: &[u8]) -> (u16, String) {
        send(self.address, head, body)
    }

    fn post(&self, headers: &str, body: &[u8]) -> (u16, String) {
        let head = format!("POST /logs/edge HTTP/1.1\r\nAuthorization: Bearer not-a-real-token\r\n{headers}");
        self.send(&head, body)
    }
}

/// Status, and the whole answer.
fn send(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("settable");
    let head = format!("{head}Host: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).expect("written");
    // A listener that has answered already may not take the rest.
    let _answered = stream.write_all(body).is_err();
    answer_of(stream)
}

fn answer_of(mut stream: TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, answer)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn take_apart(body: &[u8], content: Content, is_otlp: bool, limits: &ReadLimits) -> Result<Taken, Refusal> {
    take_apart_within(body, content, is_otlp, limits, Taken::new(memory(1 << 30), 1 << 30))
}

fn take_apart_within(
    body: &[u8],
    content: Content,
    is_otlp: bool,
    limits: &ReadLimits,
    mut taken: Taken,
) -> Result<Taken, Refusal> {
    body::take_apart(body, content, is_otlp, 0, limits, &mut taken)?;
    Ok(taken)
}

/// The records of a body, and how many log entries they are.
fn taken(body: &str, content_type: &str, is_otlp: bool) -> Result<(Vec<String>, usize), String> {
    let content = Content::of(content_type).expect("known");
    let limits = ReadLimits { record_bytes: 100, kept_bytes: 10, ..ReadLimits::default() };
    let taken = take_apart(body.as_bytes(), content, is_otlp, &limits).map_err(|refusal| refusal.message)?;
    Ok((taken.parcel.kept().into_iter().map(|(text, _)| text).collect(), taken.entries))
}

#[track_caller]
fn check(body: &str, content_type: &str, expected: &[&str]) {
    let (records, entries) = taken(body, content_type, false).expect("taken");
    assert_eq!(
        (records, entries),
        (expected.iter().map(|t| (*t).to_owned()).collect(), expected.len()),
        "{content_type}"
    );
}

#[test]
fn a_body_is_taken_apart_by_what_it_says_and_what_it_is() {
    for content_type in
        ["application/json", "application/json; charset=utf-8", "", "text/plain", "application/x-www-form-urlencoded"]
    {
        check(r#"{"a":1}"#, content_type, &[r#"{"a":1}"#]);
        check(r#"[{"a":1}, {"b":[2]} ,3]"#, content_type, &[r#"{"a":1}"#, r#"{"b":[2]}"#, "3"]);
        check("{\"a\":1}\n{\"b\":2}\n", content_type, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check("\u{feff}{\n  \"a\": 1\n}\n[\n]\n", content_type, &["{\n  \"a\": 1\n}"]);
    }
    check("{\"a\":1}\r\n\r\n[1,2]\nno json\n", "application/x-ndjson", &[r#"{"a":1}"#, "[1,2]", "no json"]);
    check("203.0.113.7 - -\n198.51.100.2 - -", "text/plain", &["203.0.113.7 - -", "198.51.100.2 - -"]);
    // Lines may begin with a bracket, or with an object that is none.
    check("[27/Nov/2026] a\n[27/Nov/2026] b\n", "text/plain", &["[27/Nov/2026] a", "[27/Nov/2026] b"]);
    check("{cut\n", "", &["{cut"]);
}

#[test]
fn a_body_that_cannot_be_taken_apart_is_refused_by_its_place() {
    for (body, content_type, words) in [
        (r#"[{"a":1},{"password":"not-a-real-secret"#, "application/json", "the JSON ends early, at line 1"),
        ("{\"a\":1}\n{\"b\":x}", "application/json", "this is no JSON, at line 2, column 6"),
        ("12", "application/json", "expected a JSON object, or an array of them"),
        (" \n\n", "text/plain", "holds no record"),
        ("[]", "application/json", "holds no record"),
        ("", "", "holds no record"),
    ] {
        let error = taken(body, content_type, false).expect_err("refused");
        assert!(error.contains(words) && !error.contains("not-a-real"), "{error}");
    }
}

#[test]
fn a_record_over_the_limit_keeps_its_head_and_its_length() {
    let long = format!("[{{\"a\":\"{}\"}}]", "x".repeat(200));
    let limits = ReadLimits { record_bytes: 100, kept_bytes: 10, ..ReadLimits::default() };
    let taken = take_apart(long.as_bytes(), Content::Json, false, &limits).expect("taken");
    assert_eq!(taken.parcel.kept(), [("{\"a\":\"xxxx".to_owned(), 208)]);
}

fn memory(bytes: usize) -> Held {
    Held { memory: Arc::new(Semaphore::new(bytes)), permit: None }
}

#[test]
fn packed_bodies_are_unpacked_up_to_the_limit() {
    let plain = b"a line\n".repeat(1000);
    let zstd = zstd::encode_all(plain.as_slice(), 1).expect("packed");
    for (packing, packed) in [(Packing::Gzip, gzip(&plain)), (Packing::Zstd, zstd), (Packing::Plain, plain.clone())] {
        assert_eq!(unpack(packing, packed.clone(), 7000, &mut memory(7000)).expect("unpacked"), plain);
        if packing != Packing::Plain {
            assert_eq!(unpack(packing, packed.clone(), 6999, &mut memory(7000)).expect_err("too large").status, 413);
            let status = |packed: &[u8], bytes: usize| {
                unpack(packing, packed.to_vec(), 7000, &mut memory(bytes)).expect_err("refused").status
            };
            assert_eq!(status(&packed[..packed.len() - 9], 7000), 400, "cut");
            assert_eq!(status(b"plain", 7000), 400, "not packed");
            assert_eq!(status(&packed, 6999), 503, "no memory is left for it");
        }
    }
    assert_eq!([Packing::of("GZIP"), Packing::of("br"), Packing::of("gzip, gzip")], [Some(Packing::Gzip), None, None]);
}

#[test]
fn what_is_accepted_is_handed_over() {
    let mut setup = Setup::new(config());
    assert_eq!(next(&mut setup.source), Told::Opened(0));
    let (status, answer) = setup.post("Content-Type: application/json\r\n", br#"[{"a":1},{"b":2}]"#);
    assert_eq!((status, answer.ends_with("{\"accepted\":2}")), (200, true), "{answer}");
    let (status, _) = setup.post("Content-Encoding: gzip\r\n", &gzip(b"one\ntwo\nthree\n"));
    assert_eq!(status, 200);
    let mut told = next(&mut setup.source);
    if told == Told::Records(0, 2, 14, 2) {
        told = next(&mut setup.source);
        assert_eq!(told, Told::Records(0, 3, 11, 5));
    } else {
        assert_eq!(told, Told::Records(0, 5, 25, 5));
    }
}

#[test]
fn detection_is_told_that_all_which_was_pushed_is_read() {
    let mut setup = Setup::new(config());
    assert_eq!((setup.source.at_end(), next(&mut setup.source)), (vec![], Told::Opened(0)));
    let all = [Lane { source: "edge".into(), partition: 0 }];
    assert_eq!(setup.source.at_end(), all);
    assert_eq!(setup.post("", b"one").0, 200);
    assert_eq!(setup.source.at_end(), []);
    assert_eq!(next(&mut setup.source), Told::Records(0, 1, 3, 1));
    assert_eq!(setup.source.at_end(), all);
}

#[test]
fn what_is_refused_says_why() {
    let setup = Setup::new(config());
    let bearer = "Authorization: Bearer not-a-real-token\r\n";
    for (head, body, status, words) in [
        ("POST /logs/shop HTTP/1.1\r\n".to_owned(), "x", 404, "no source has this path"),
        (format!("GET /logs/edge HTTP/1.1\r\n{bearer}"), "", 405, "allow: POST"),
        (format!("HEAD /logs/edge HTTP/1.1\r\n{bearer}"), "", 405, "allow: POST"),
        ("POST /logs/edge HTTP/1.1\r\n".to_owned(), "x", 401, "www-authenticate: Bearer"),
        (
            "POST /logs/edge HTTP/1.1\r\nAuthorization: Bearer wrong\r\n".to_owned(),
            "x",
            401,
            "Authorization: Bearer TOKEN",
        ),
        (
            format!("POST /logs/edge HTTP/1.1\r\n{bearer}Authorization: Bearer wrong\r\n"),
            "x",
            401,
            "Authorization: Bearer TOKEN",
        ),
        (format!("POST /logs/edge HTTP/1.1\r\n{bearer}Content-Encoding: br\r\n"), "x", 415, "gzip, zstd"),
        (
            format!("POST /logs/edge HTTP/1.1\r\n{bearer}Content-Type: multipart/form-data\r\n"),
            "x",
            415,
            "Content-Type",
        ),
        (format!("POST /logs/edge HTTP/1.1\r\n{bearer}Content-Encoding: gzip\r\n"), "x", 400, "no gzip data"),
        (
            format!("POST /logs/edge HTTP/1.1\r\n{bearer}Content-Type: application/json\r\n"),
            "[",
            400,
            "the JSON ends early",
        ),
    ] {
        let (got, answer) = setup.send(&head, body.as_bytes());
        assert_eq!(got, status, "{head}: {answer}");
        assert!(answer.contains(words), "{answer}");
    }
    let (status, answer) = setup.post("", &vec![b'x'; (64 << 10) + 1]);
    assert!(status == 413 && answer.contains("at most 65536 bytes"), "{answer}");
    let (status, _) = setup.post("Content-Encoding: gzip\r\n", &gzip(&vec![b'x'; (64 << 10) + 1]));
    assert_eq!(status, 413);
    assert_eq!(setup.post("", b"a record").0, 200);
}

#[test]
fn above_the_rate_is_429_and_full_is_503() {
    let rate = Rate { per_second: 10, burst: 20 };
    let setup = Setup::new(HttpConfig { rate: Some(rate), ..config() });
    let lines = b"line\n".repeat(20);
    assert_eq!(setup.post("", &lines).0, 200);
    let (status, answer) = setup.post("", &lines);
    assert!(status == 429 && answer.contains("retry-after: 1"), "{answer}");
    drop(setup);

    let setup = Setup::new(config());
    let record = vec![b'x'; 60 << 10];
    let mut taken = 0;
    let answer = loop {
        let (status, answer) = setup.post("", &record);
        if status != 200 {
            break (status, answer);
        }
        taken += 1;
    };
    assert_eq!((answer.0, taken), (503, 17));
    assert!(answer.1.contains("retry-after: 5") && answer.1.contains("the spool is full"), "{}", answer.1);
}

#[test]
fn a_slow_body_is_given_up_and_a_silent_connection_too() {
    let setup = Setup::new(HttpConfig { body_timeout: Duration::from_millis(100), ..config() });
    let mut stream = TcpStream::connect(setup.address).expect("connects");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("settable");
    let head = "POST /logs/edge HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer not-a-real-token\r\nContent-Length: 100\r\n\r\nhalf";
    stream.write_all(head.as_bytes()).expect("written");
    let (status, answer) = answer_of(stream);
    assert!(status == 408 && answer.contains("did not arrive within"), "{answer}");
}

#[test]
fn what_does_not_arrive_takes_no_memory_from_others() {
    let setup = Setup::new(HttpConfig {
        body_max: 5 << 20,
        body_timeout: Duration::from_secs(600),
        connections_max: 64,
        ..config()
    });
    let head = "POST /logs/edge HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer not-a-real-token\r\nTransfer-Encoding: chunked\r\n";
    let silent: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(setup.address).expect("connects");
            // The server asks for the body, so it waits for it.
            stream.write_all(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes()).expect("written");
            stream.set_read_timeout(Some(Duration::from_secs(30))).expect("settable");
            stream.read_exact(&mut [0; 12]).expect("100 Continue");
            stream
        })
        .collect();
    assert_eq!(setup.post("", &vec![b'x'; 1 << 19]).0, 200);
    drop(silent);
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let setup = Setup::new(HttpConfig { connections_max: 1, ..config() });
    let mut first = TcpStream::connect(setup.address).expect("connects");
    let request =
        "POST /logs/edge HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer not-a-real-token\r\nContent-Length: 1\r\n\r\nx";
    first.write_all(request.as_bytes()).expect("written");
    let mut answer = [0; 12];
    first.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut second = TcpStream::connect(setup.address).expect("connects");
    let closed = second.read(&mut [0; 1]);
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}

#[test]
fn a_path_whose_source_is_away_is_503_and_an_address_that_is_taken_is_an_error() {
    let first = config();
    let setup = Setup::new(first.clone());
    let Setup { address, source, hub, _folder, _runtime } = setup;
    let other = HttpConfig { path: "/logs/shop".to_owned(), ..first.clone() };
    let folder = tempfile::tempdir().expect("a folder");
    let spool_config = SpoolConfig {
        folder: folder.path().join("shop"),
        source: "shop".to_owned(),
        key: SpoolKey { id: "p1".to_owned(), bytes: [3; 32] },
        bytes_max: 1 << 20,
        idle_after: Duration::from_secs(5),
    };
    let (clock, _) = clock();
    let (spool, _shop) =
        spool::open(spool_config, nothing().as_ref(), ReadLimits::default(), clock.clone()).expect("a spool");
    let route = |config: HttpConfig| Route::new("shop", config, ReadLimits::default(), clock.clone(), spool.clone());
    let attached = hub.attach(route(other.clone())).expect("shares the listener");
    let post = |path: &str| {
        send(address, &format!("POST {path} HTTP/1.1\r\nAuthorization: Bearer not-a-real-token\r\n"), b"x").0
    };
    assert_eq!((post("/logs/edge"), post("/logs/shop/"), post("/logs")), (200, 200, 404));
    drop(source);
    assert_eq!((post("/logs/edge"), post("/logs/shop")), (503, 200));

    let another = Hub::new(_runtime.handle().clone(), &[&other]);
    let error = another.attach(route(other)).err().expect("taken").to_string();
    assert!(error.starts_with(&format!("{address}: cannot listen: ")), "{error}");
    drop(attached);
    assert!(TcpStream::connect(address).is_err(), "the listener is closed with its last source");
}

const LOGS: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"gw"}}]},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1","a":1},{"b":"resourceLogs"}]},{"logRecords":[]}]}]}"#;

#[test]
fn otlp_in_json_is_passed_on_in_groups() {
    let limits = ReadLimits::default();
    let taken = take_apart(LOGS.as_bytes(), Content::Json, true, &limits).expect("taken");
    let group = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"gw"}}]},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1","a":1},{"b":"resourceLogs"}]}]}]}"#;
    assert_eq!((taken.parcel.kept()[0].0.as_str(), taken.entries), (group, 2));
    let record = format!("{{\"body\":\"{}\"}}", "x".repeat(1000));
    let many =
        format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{}]}}]}}]}}", vec![record; 1000].join(","));
    let taken = take_apart(many.as_bytes(), Content::Json, true, &limits).expect("taken");
    let kept = taken.parcel.kept();
    assert_eq!((taken.entries, kept.len()), (1000, 8), "groups of 129 records and 128 KiB");
    assert!(kept.iter().all(|(text, _)| text.len() <= (128 << 10) + 200));

    let nothing = take_apart(b"{}", Content::Json, true, &limits).expect("an empty request");
    assert_eq!((nothing.parcel.len(), nothing.entries), (0, 0));
    let error = taken_error("{\"resourceLogs\":{}}");
    assert!(error.contains("expected resourceLogs, scopeLogs, logRecords"), "{error}");
    // A record of another kind that has the word in it stays as it is.
    check(r#"{"note":"resourceLogs"}"#, "application/json", &[r#"{"note":"resourceLogs"}"#]);
}

fn taken_error(body: &str) -> String {
    taken(body, "application/json", true).expect_err("refused")
}

/// A field of protobuf with a length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

fn pair(key: &str, value: &[u8]) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, value)].concat()
}

fn request(record: &[u8]) -> Vec<u8> {
    let resource = field(1, &field(1, &pair("service.name", &field(1, b"gw"))));
    let scope = field(1, &[field(1, b"s"), field(2, b"1.0")].concat());
    let scope_logs = field(2, &[scope, field(2, record)].concat());
    field(1, &[resource, scope_logs].concat())
}

#[test]
fn otlp_in_protobuf_becomes_its_json() {
    let mut record = vec![0x09];
    record.extend_from_slice(&1_795_773_600_000_000_000u64.to_le_bytes());
    record.extend_from_slice(&[0x10, 9]);
    record.extend(field(3, b"INFO"));
    record.extend(field(5, &field(1, "a \"line\" \u{e9}".as_bytes())));
    record.extend(field(6, &pair("i", &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])));
    record.extend(field(6, &pair("b", &[0x10, 1])));
    record.extend(field(6, &pair("d", &[&[0x21][..], &1.5f64.to_le_bytes()].concat())));
    record.extend(field(6, &pair("n", &[&[0x21][..], &f64::NAN.to_le_bytes()].concat())));
    record.extend(field(6, &pair("l", &field(5, &field(1, &field(1, b"x"))))));
    record.extend(field(6, &pair("m", &field(6, &field(1, &pair("k", &field(1, b"v")))))));
    record.extend(field(6, &pair("y", &field(7, &[1, 2, 3]))));
    record.push(0x45);
    record.extend_from_slice(&1u32.to_le_bytes());
    record.extend(field(9, &[0xab; 2]));
    // A field of a later version.
    record.extend(field(15, b"unknown"));
    let taken = take_apart(&request(&record), Content::Protobuf, true, &ReadLimits::default()).expect("taken");
    let expected = concat!(
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"gw"}}]},"#,
        r#""scopeLogs":[{"scope":{"name":"s","version":"1.0","attributes":[]},"logRecords":[{"#,
        r#""timeUnixNano":"1795773600000000000","severityNumber":9,"severityText":"INFO","#,
        r#""body":{"stringValue":"a \"line\" é"},"flags":1,"traceId":"abab","attributes":["#,
        r#"{"key":"i","value":{"intValue":"-1"}},{"key":"b","value":{"boolValue":true}},"#,
        r#"{"key":"d","value":{"doubleValue":1.5}},{"key":"n","value":{"doubleValue":"NaN"}},"#,
        r#"{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"}]}}},"#,
        r#"{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"stringValue":"v"}}]}}},"#,
        r#"{"key":"y","value":{"bytesValue":"AQID"}}]}]}]}]}"#
    );
    assert_eq!(taken.parcel.kept(), [(expected.to_owned(), expected.len() as u64)]);
    assert_eq!(taken.entries, 1);

    let mut deep = field(1, b"x");
    for _ in 0..20 {
        deep = field(5, &field(1, &deep));
    }
    for (body, words) in [
        (request(&field(5, &deep)), "nested deeper than 16"),
        (request(&[0x0f]), "no protobuf of ExportLogsServiceRequest"),
        (request(&record)[..40].to_vec(), "no protobuf of ExportLogsServiceRequest"),
        (b"{\"resourceLogs\":[]}".to_vec(), "no protobuf of ExportLogsServiceRequest"),
    ] {
        let refusal = take_apart(&body, Content::Protobuf, true, &ReadLimits::default()).err().expect("refused");
        assert!(refusal.message.contains(words), "{}", refusal.message);
    }
}

/// A large resource, and so many scopes of it with one record each, or none.
fn scopes(count: usize, record: Option<&[u8]>) -> Vec<u8> {
    let resource = field(1, &field(1, &pair("service.name", &field(1, &[b'x'; 10_000]))));
    let scope = field(2, &record.map(|record| field(2, record)).unwrap_or_default());
    field(1, &[resource, scope.repeat(count)].concat())
}

#[test]
fn a_small_body_does_not_become_a_large_one() {
    let limits = ReadLimits::default();
    let json = |records: &str, count: usize| {
        let scope = format!("{{\"logRecords\":[{records}]}}");
        let resource = format!("{{\"attributes\":[{{\"key\":\"{}\"}}]}}", "x".repeat(10_000));
        let scopes = vec![scope; count].join(",");
        format!("{{\"resourceLogs\":[{{\"resource\":{resource},\"scopeLogs\":[{scopes}]}}]}}").into_bytes()
    };
    let record = field(3, b"INFO");
    for (content, body, empty) in [
        (Content::Protobuf, scopes(1000, Some(&record)), scopes(100_000, None)),
        (Content::Json, json("{}", 1000), json("", 10_000)),
    ] {
        let within = |body: &[u8], bytes: usize, most: usize| {
            let taken = Taken::new(memory(bytes), most);
            take_apart_within(body, content, true, &limits, taken)
        };
        let taken = within(&body, 64 << 20, 64 << 20).expect("taken");
        assert_eq!((taken.entries, taken.parcel.len()), (1000, 1000));
        assert!((10_000_000..12_000_000).contains(&taken.parcel.bytes()), "each with its resource");
        let refusal = within(&body, 64 << 20, 1 << 20).err().expect("for good");
        assert_eq!((refusal.status.as_u16(), refusal.reason), (413, "size"));
        assert!(refusal.message.contains("more than 1048576 bytes"), "{}", refusal.message);
        let refusal = within(&body, 1 << 20, 64 << 20).err().expect("for now");
        assert_eq!((refusal.status.as_u16(), refusal.reason), (503, "full"));
        assert_eq!(within(&empty, 0, 0).expect("no record").entries, 0);
    }
    assert!(protobuf::groups(&scopes(100_000, None)).expect("well formed").is_empty());
}

#[test]
fn otlp_is_answered_as_it_asks() {
    let setup = Setup::new(HttpConfig { is_otlp: true, ..config() });
    let (status, answer) = setup.post("Content-Type: application/json\r\n", LOGS.as_bytes());
    assert_eq!((status, answer.ends_with("\r\n\r\n{}")), (200, true), "{answer}");
    let (status, answer) = setup.post("Content-Type: application/x-protobuf\r\n", &request(&field(3, b"INFO")));
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("content-type: application/x-protobuf") && answer.ends_with("\r\n\r\n"), "{answer}");
    let (status, answer) = setup.post("Content-Type: application/x-protobuf\r\n", b"\x0f");
    assert!(status == 400 && answer.contains("\r\n\r\n\x08\x03\x12"), "{answer}");
    let (status, answer) = setup.post("Content-Type: application/json\r\n", b"[");
    assert!(status == 400 && answer.contains("{\"code\":3,"), "{answer}");
}
