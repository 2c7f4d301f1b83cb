//! The promise of the trust boundary: a secret planted in any field of any source, plain or encoded, is in no column and
//! no reject of what comes out, in none of these forms. And arbitrary bytes never panic, and none is lost.
//!
//! The search decodes on its own (`reveals`), so a mistake of the redaction code is not repeated here.

#[allow(dead_code)] // the leak hunt uses all of it
#[path = "leak_hunt/encodings.rs"]
mod encodings;
#[allow(dead_code)] // the same
#[path = "leak_hunt/places.rs"]
mod places;

use arrow::array::AsArray;
use places::How;
use proptest::prelude::*;
use schemas::sources::KINDS;
use schemas::{Keys, Lane, Normalised, Normaliser, RawBatch, SourceConfig, event_json};
use serde_json::{Value, json};

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const JWT_BODY: &str = "eyJzdWIiOiJjYW5hcnkiLCJpc3MiOiJodHRwczovL2kuZXhhbXBsZSJ9";

/// A secret: the text that is planted, and the part of it that must not be seen again.
#[derive(Clone, Debug)]
struct Canary {
    class: &'static str,
    text: String,
    needle: String,
}

fn canaries() -> Vec<Canary> {
    let canary = |class, text: &str, needle: &str| Canary { class, text: text.into(), needle: needle.into() };
    let body = "MIIEfakefakefakecanarykeybody";
    let pem = format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----");
    let mut all = vec![
        canary("jwt", &format!("eyJhbGciOiJSUzI1NiJ9.{JWT_BODY}.Y2FuYXJ5c2lnbmF0dXJl"), "Y2FuYXJ5c2lnbmF0dXJl"),
        canary("bearer", "Bearer canary-opaque-71c5d2", "canary-opaque-71c5d2"),
        canary("basic", "Basic Y2FuYXJ5OnN3b3JkZmlzaDcx", "Y2FuYXJ5OnN3b3JkZmlzaDcx"),
        canary("aws_key", "AKIACANARYCANARY0071", "AKIACANARYCANARY0071"),
        canary("aws_key", "ASIACANARYCANARY0071", "ASIACANARYCANARY0071"),
        canary("gcp_key", "AIzaSyCanary_0071-abcdefghijklmnopqrstu", "Canary_0071-abc"),
        canary("github_token", "ghp_canary0071abcdefghijABCDEFGHIJ012345", "canary0071abc"),
        canary("github_token", "github_pat_11CANARY0071_abcdefgh", "11CANARY0071"),
        canary("slack_token", "xoxb-canary-0071-abcdefghijkl", "canary-0071-abc"),
        canary("stripe_key", "sk_live_canary0071abcdefghijkl", "canary0071abc"),
        canary("gitlab_token", "glpat-canary0071abcdefghi", "canary0071abc"),
        canary("private_key", &pem, body),
        canary("card", "4111111111111111", "411111111111"),
        canary("card", "5500 0055 5555 5559", "5500 0055 5555"),
        canary("card", "3782-822463-10005", "3782-822463"),
        canary("email", "canary.bird@mail.example.com", "canary.bird@mail"),
        canary("userinfo", "https://canary:swordfish0071@db.example.com/x", "swordfish0071"),
    ];
    for key in [
        "password",
        "passwd",
        "pwd",
        "secret",
        "token",
        "access_token",
        "refresh_token",
        "id_token",
        "client_secret",
        "api_key",
        "apikey",
        "key",
        "sig",
        "signature",
        "code",
        "session",
        "sid",
        "auth",
        "jwt",
        "ssn",
        "user[password]",
        "X-Amz-Signature",
        "newPassword",
        "aws_secret_access_key",
    ] {
        all.push(canary(key, &format!("{key}=swordfish0071"), "swordfish0071"));
        all.push(canary(key, &format!(r#"{{"a":1,"{key}":"swordfish 0071","b":[2]}}"#), "swordfish 0071"));
    }
    all.push(canary(
        "password in a nested object",
        r#"{"user":{"credentials":{"x":"swordfish0071"}}}"#,
        "swordfish0071",
    ));
    all.push(canary("authorization line", "Authorization: Digest swordfish0071", "swordfish0071"));
    all.push(canary("cookie line", "Cookie: theme=dark; x=swordfish0071", "swordfish0071"));
    all
}

/// The forms in which a secret is planted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Plain,
    Url,
    UrlAll,
    DoubleUrl,
    Base64,
    Base64Url,
    Json,
    UrlOfJson,
    Base64OfJson,
    UrlOfBase64,
    Base64OfUrl,
}

const FORMS: [Form; 11] = [
    Form::Plain,
    Form::Url,
    Form::UrlAll,
    Form::DoubleUrl,
    Form::Base64,
    Form::Base64Url,
    Form::Json,
    Form::UrlOfJson,
    Form::Base64OfJson,
    Form::UrlOfBase64,
    Form::Base64OfUrl,
];

fn encode(text: &str, form: Form) -> String {
    match form {
        Form::Plain => text.to_string(),
        Form::Url => url(text, false),
        Form::UrlAll => url(text, true),
        Form::DoubleUrl => url(&url(text, false), false),
        Form::Base64 => base64(text.as_bytes()),
        Form::Base64Url => base64(text.as_bytes()).replace('+', "-").replace('/', "_").replace('=', ""),
        Form::Json => json!({"data": json!({"inner": text}).to_string()}).to_string(),
        Form::UrlOfJson => url(&json!({"data": text}).to_string(), false),
        Form::Base64OfJson => base64(json!({"data": text}).to_string().as_bytes()),
        Form::UrlOfBase64 => url(&base64(text.as_bytes()), false),
        Form::Base64OfUrl => base64(url(text, false).as_bytes()),
    }
}

fn url(text: &str, all: bool) -> String {
    let keep = |b: u8| !all && (b.is_ascii_alphanumeric() || b"-_.~".contains(&b));
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(*group.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = char::from(BASE64[(bits >> (18 - 6 * i)) as usize & 63]);
            text.push(if i <= group.len() { digit } else { '=' });
        }
    }
    text
}

/// Does `text` hold `needle`, as it stands or behind up to three decodings?
fn reveals(text: &[u8], needle: &str, depth: usize) -> bool {
    if text.windows(needle.len()).any(|w| w == needle.as_bytes()) {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let decoded = unescaped(text);
    if decoded != text && reveals(&decoded, needle, depth - 1) {
        return true;
    }
    let sextet = |b: u8| match b {
        b'-' => Some(62),
        b'_' => Some(63),
        _ => BASE64.iter().position(|&c| c == b),
    };
    text.split(|&b| sextet(b).is_none()).filter(|run| run.len() >= 8).any(|run| {
        (0..4).any(|phase| {
            let bytes: Vec<u8> = run[phase..]
                .chunks(4)
                .filter(|group| group.len() > 1)
                .flat_map(|group| {
                    let bits = (0..4).fold(0, |bits, i| bits << 6 | group.get(i).and_then(|&b| sextet(b)).unwrap_or(0));
                    [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8].into_iter().take(group.len() - 1)
                })
                .collect();
            reveals(&bytes, needle, depth - 1)
        })
    })
}

/// Percent, `\x` and backslash escapes undone once.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let hex = |pair: Option<&[u8]>| pair.and_then(|p| u8::from_str_radix(std::str::from_utf8(p).ok()?, 16).ok());
    let mut out = Vec::new();
    let mut i = 0;
    while i < text.len() {
        let escape = match text[i] {
            b'%' => hex(text.get(i + 1..i + 3)).map(|b| (b, 3)),
            b'\\' if text.get(i + 1) == Some(&b'x') => hex(text.get(i + 2..i + 4)).map(|b| (b, 4)),
            b'\\' => text.get(i + 1).map(|&b| (b, 2)),
            _ => None,
        };
        let (byte, width) = escape.unwrap_or((text[i], 1));
        out.push(byte);
        i += width;
    }
    out
}

/// Records of a source with `secret` in one field each; the field's name first.
fn planted(kind: &str, secret: &str) -> Vec<(String, String)> {
    match kind {
        "combined" => combined(secret),
        _ => {
            let (template, extra) = template(kind);
            let mut paths = Vec::new();
            leaves(&template, &mut Vec::new(), &mut paths);
            let mut records: Vec<(String, String)> = paths
                .iter()
                .map(|path| {
                    let mut record = template.clone();
                    let leaf = path.iter().fold(&mut record, |at, key| &mut at[key]);
                    *leaf = match (path.last().map(String::as_str), leaf.as_str()) {
                        (Some("uri" | "url" | "request_uri" | "path"), Some(_)) => {
                            format!("/v1/x/{secret}?q={secret}&z=1").into()
                        }
                        (Some("request"), Some(_)) => format!("GET /v1/{secret}?q={secret} HTTP/1.1").into(),
                        _ => secret.into(),
                    };
                    (path.join("."), record.to_string())
                })
                .collect();
            for field in extra {
                let mut record = template.clone();
                record[field] = secret.into();
                records.push((field.to_string(), record.to_string()));
            }
            records
        }
    }
}

fn combined(secret: &str) -> Vec<(String, String)> {
    // As nginx writes it: what would break the line is an escape.
    let escaped: String = secret
        .chars()
        .map(|c| if c == '"' || c == '\\' || c.is_control() { format!("\\x{:02X}", c as u32) } else { c.to_string() })
        .collect();
    let time = "[21/Sep/2026:14:13:20 +0000]";
    let s = &escaped;
    [
        ("path", format!(r#"203.0.113.7 - - {time} "GET /v1/{s}/x HTTP/1.1" 200 5 "-" "curl/8""#)),
        ("query", format!(r#"203.0.113.7 - - {time} "GET /v1?q={s}&z=1 HTTP/1.1" 200 5 "-" "curl/8""#)),
        ("matrix", format!(r#"203.0.113.7 - - {time} "GET /v1;{s};z=1 HTTP/1.1" 200 5 "-" "curl/8""#)),
        ("url", format!(r#"203.0.113.7 - - {time} "GET http://{s}@h.example/{s} HTTP/1.1" 200 5 "-" "curl/8""#)),
        ("request", format!(r#"203.0.113.7 - - {time} "{s}" 400 5 "-" "curl/8""#)),
        ("method", format!(r#"203.0.113.7 - - {time} "{s} / HTTP/1.1" 400 5 "-" "curl/8""#)),
        (
            "referrer",
            format!(r#"203.0.113.7 - - {time} "GET / HTTP/1.1" 200 5 "https://r.example/{s}?x={s}" "curl/8""#),
        ),
        ("user_agent", format!(r#"203.0.113.7 - - {time} "GET / HTTP/1.1" 200 5 "-" "curl/8 ({s}) x""#)),
        ("user", format!(r#"203.0.113.7 - {s} {time} "GET / HTTP/1.1" 401 5 "-" "curl/8""#)),
        ("host", format!(r#"{s} 203.0.113.7 - - {time} "GET / HTTP/1.1" 200 5 "-" "curl/8""#)),
        ("client_ip", format!(r#"{s} - - {time} "GET / HTTP/1.1" 200 5 "-" "curl/8""#)),
        ("forwarded", format!(r#"203.0.113.7 - - {time} "GET / HTTP/1.1" 200 5 "-" "curl/8" "{s}""#)),
        ("status", format!(r#"203.0.113.7 - - {time} "GET / HTTP/1.1" {s} 5 "-" "curl/8""#)),
        ("time", format!(r#"203.0.113.7 - - [{s}] "GET / HTTP/1.1" 200 5 "-" "curl/8""#)),
        ("behind", format!(r#"203.0.113.7 - - {time} "GET / HTTP/1.1" 200 5 "-" "curl/8" 12 0.5 [{s}] {s}"#)),
    ]
    .map(|(field, line)| (field.to_string(), line))
    .to_vec()
}

/// A full record of a kind, and fields of the mapping that it lacks.
fn template(kind: &str) -> (Value, &'static [&'static str]) {
    match kind {
        "kong" => (
            json!({
                "started_at": 1_790_000_000_000i64, "client_ip": "203.0.113.7", "unknown": "x",
                "request": {"id": "1", "method": "GET", "uri": "/", "size": 1, "headers": {
                    "host": "h", "user-agent": "u", "referer": "r", "x-forwarded-for": "192.0.2.1", "authorization": "a",
                    "cookie": "c", "apikey": "k", "x-tenant-id": "t", "traceparent": "p", "x-consumer-groups": "g", "x-custom": "c"}},
                "response": {"status": 200, "size": 2, "headers": {"x-total-count": 3}},
                "latencies": {"request": 4}, "consumer": {"username": "u"}, "authenticated_entity": {"id": "e"},
                "tls": {"version": "v"},
            }),
            &[],
        ),
        "nginx_json" => (
            json!({
                "msec": 1_790_000_000, "remote_addr": "203.0.113.7", "remote_user": "u", "request": "GET / HTTP/1.1",
                "status": 200, "body_bytes_sent": 1, "request_length": 2, "request_time": 0.1, "http_host": "h",
                "http_user_agent": "u", "http_referer": "r", "http_x_forwarded_for": "f", "http_authorization": "a",
                "http_cookie": "c", "http_x_api_key": "k", "request_id": "i", "ssl_protocol": "p", "trace_id": "t",
                "ssl_client_fingerprint": "s", "http_x_tenant_id": "t", "geoip_country_code": "DE",
            }),
            &["request_uri", "request_method", "uri", "args", "time_local", "host"],
        ),
        _ => (
            json!({
                "start_time": "2026-09-21T14:13:20Z", "duration": 1, "method": "GET", "path": "/", "authority": "h",
                "response_code": 200, "bytes_received": 1, "bytes_sent": 2, "downstream_remote_address": "203.0.113.7:1",
                "x_forwarded_for": "f", "user_agent": "u", "request_id": "i", "trace_id": "t", "authorization": "a",
                "cookie": "c", "downstream_peer_uri_san": "spiffe://x", "downstream_tls_version": "v",
            }),
            &["referer", "x-envoy-original-path", "api_key"],
        ),
    }
}

fn leaves(value: &Value, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    match value.as_object() {
        Some(object) => {
            for (key, value) in object {
                path.push(key.clone());
                leaves(value, path, out);
                path.pop();
            }
        }
        None => out.push(path.clone()),
    }
}

fn normaliser(kind: &str) -> Normaliser {
    let config = SourceConfig { trusted_proxies: vec!["203.0.113.0/24".into()], ..SourceConfig::new(kind) };
    Normaliser::new(&config, &Keys::new("k1", b"fake key of the canary tests")).expect("a built-in kind")
}

fn outputs(normalised: &Normalised) -> Vec<String> {
    let events = &normalised.events;
    let mut texts: Vec<String> = normalised.rejects.iter().map(|r| format!("{:?} {}", r.code, r.detail)).collect();
    for row in 0..events.num_rows() {
        for (name, value) in event_json(events, row) {
            match value {
                Value::String(text) => texts.push(text),
                other => texts.push(format!("{name} {other}")),
            }
        }
    }
    // Dictionaries must not hold what no row shows.
    for column in events.columns() {
        let dictionary = column.as_any_dictionary_opt().and_then(|column| column.values().as_string_opt::<i32>());
        texts.extend(dictionary.iter().flat_map(|values| values.iter().flatten()).map(str::to_string));
    }
    texts
}

#[test]
fn no_canary_gets_through() {
    let mut failures = Vec::new();
    let mut checked = 0;
    for kind in TEMPLATED {
        let mut normaliser = normaliser(kind);
        for canary in canaries() {
            for form in FORMS {
                let secret = encode(&canary.text, form);
                for (field, record) in planted(kind, &secret) {
                    let mut raw = RawBatch::new();
                    raw.push(0, 1_790_000_000_000_000, record.as_bytes());
                    let normalised = normaliser.normalise(&Lane::new("canary", 0), &raw);
                    checked += 1;
                    assert!(normalised.events.num_rows() + normalised.rejects.len() >= 1, "{record} was lost");
                    for text in outputs(&normalised) {
                        if reveals(text.as_bytes(), &canary.needle, 4) {
                            failures.push(format!("{kind} {field} {} {form:?}: {text}", canary.class));
                        }
                    }
                }
            }
        }
        for drift in normaliser.drift() {
            assert!(!drift.path.contains("0071"), "drift shows {drift:?}");
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {checked} got through:\n{}",
        failures.len(),
        failures[..failures.len().min(40)].join("\n")
    );
    assert!(checked > 20_000, "only {checked} were checked");
}

/// Each canary in each form in one place of every source that has cases, another place for the next.
#[test]
fn no_canary_gets_through_any_kind() {
    let (sources, all) = places::all();
    let (mut failures, mut checked) = (Vec::new(), 0);
    for (number, source) in sources.iter().enumerate() {
        let config = source.config.clone();
        let keys = Keys::new("k1", b"fake key of the canary tests");
        let mut normaliser = Normaliser::new(&config, &keys).expect("the source of a case is valid");
        let places: Vec<&places::Place> = all.iter().filter(|place| place.source == number).collect();
        let planted = canaries().into_iter().flat_map(|canary| FORMS.map(|form| (canary.clone(), form)));
        for (turn, (canary, form)) in planted.enumerate() {
            let secret = encode(&canary.text, form);
            // Digits alone behind `/orders/` are an identifier far more often than a card.
            let takes =
                |place: &&&places::Place| place.takes(&secret) && !(canary.class == "card" && place.how() == How::Path);
            let Some(place) = places.iter().cycle().skip(turn % places.len()).take(places.len()).find(takes) else {
                continue;
            };
            let record = place.record(&secret);
            let mut raw = RawBatch::new();
            raw.push(0, 1_790_000_000_000_000, record.as_bytes());
            let normalised = normaliser.normalise(&Lane::new("canary", 0), &raw);
            checked += 1;
            assert!(normalised.events.num_rows() + normalised.rejects.len() >= 1, "{record} was lost");
            for text in outputs(&normalised) {
                if reveals(text.as_bytes(), &canary.needle, 4) {
                    failures.push(format!("{} {} {} {form:?}: {text}", source.name, place.name, canary.class));
                }
            }
        }
        for drift in normaliser.drift() {
            assert!(!drift.path.contains("0071"), "drift shows {drift:?}");
        }
    }
    let told = sources.iter().map(|source| source.name.split('/').next().unwrap_or_default());
    let told: std::collections::BTreeSet<&str> = told.collect();
    assert_eq!(told.len(), KINDS.len(), "{told:?}");
    let shown = failures[..failures.len().min(40)].join("\n");
    assert!(failures.is_empty(), "{} of {checked} got through:\n{shown}", failures.len());
    assert!(checked > 20_000, "only {checked} were checked");
}

/// Behind an ingress-nginx line stands a request id of 32 hexadecimal digits; what only is as long may be half of a secret.
#[test]
fn what_stands_behind_a_line_is_an_id_or_nothing() {
    for (last, expected) in [
        ("Basic Y2FuYXJ5OnN3b3JkZmlzaDcx\"aaaa", Value::Null),
        ("0af7651916cd43dd8448eb211c80319c", Value::from("0af7651916cd43dd8448eb211c80319c")),
    ] {
        let time = "[28/Jan/2026:10:27:10 +0000]";
        let line = format!(r#"203.0.113.7 - - {time} "GET / HTTP/1.1" 200 5 "-" "curl/8" 12 0.5 [up] {last}"#);
        let mut raw = RawBatch::new();
        raw.push(0, 1_790_000_000_000_000, line.as_bytes());
        let events = normaliser("combined").normalise(&Lane::new("canary", 0), &raw).events;
        assert_eq!(event_json(&events, 0)["request_id"], expected, "{last}");
    }
}

#[test]
fn the_search_finds_what_is_there() {
    for form in FORMS {
        let text = format!("x/{}", encode("password=swordfish0071", form));
        assert!(reveals(text.as_bytes(), "swordfish0071", 4), "{form:?}");
    }
    assert!(!reveals(b"password=[REDACTED:password]", "swordfish0071", 4));
}

/// Kinds with a full record here.
const TEMPLATED: [&str; 4] = ["combined", "nginx_json", "kong", "envoy"];

fn templated() -> impl Strategy<Value = &'static str> {
    prop::sample::select(TEMPLATED.to_vec())
}

/// All that need nothing but their name.
fn kinds() -> impl Strategy<Value = &'static str> {
    let named = KINDS.iter().map(|kind| kind.name).filter(|name| !matches!(*name, "mapping" | "nginx"));
    prop::sample::select(named.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Secrets among random text around them, in random fields, from a random source.
    #[test]
    fn no_canary_gets_through_in_company(
        kind in templated(),
        which in any::<prop::sample::Index>(),
        form in prop::sample::select(FORMS.to_vec()),
        field in any::<prop::sample::Index>(),
        before in "[a-z]{0,8}[ /&=;,.%:]{0,2}",
        after in "[ /&;,\"]{0,1}[a-z0-9%]{0,8}",
    ) {
        let all = canaries();
        let canary = which.get(&all);
        // Some names say that a number is none of a card: `v`, `ts`.
        let before = if canary.class == "card" { format!("qz{before}") } else { before };
        // A letter before a key makes it another key; a digit beside a card makes it another number.
        let glue = if before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '%') { "&" } else { "" };
        let tail = if after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '%') { "&" } else { "" };
        let secret = format!("{before}{glue}{}{tail}{after}", encode(&canary.text, form));
        let records = planted(kind, &secret);
        let (name, record) = field.get(&records);
        let mut raw = RawBatch::new();
        raw.push(0, 1_790_000_000_000_000, record.as_bytes());
        let normalised = normaliser(kind).normalise(&Lane::new("canary", 0), &raw);
        for text in outputs(&normalised) {
            prop_assert!(!reveals(text.as_bytes(), &canary.needle, 4), "{} {} {:?}: {}", name, canary.class, form, text);
        }
    }

    /// Every record becomes an event or a reject, whatever its bytes.
    #[test]
    fn arbitrary_bytes_are_accounted_for(
        kind in kinds(),
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
    ) {
        account(kind, &records)?;
    }

    /// The same for records that are nearly right.
    #[test]
    fn damaged_records_are_accounted_for(
        kind in templated(),
        field in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        text in "\\PC{0,30}",
    ) {
        let all = planted(kind, &text);
        let (_, record) = field.get(&all);
        let mut damaged = record.clone().into_bytes();
        let at = cut.index(damaged.len());
        damaged[at] = byte;
        account(kind, &[record.clone().into_bytes(), damaged, record.as_bytes()[..at].to_vec()])?;
    }
}

fn account(kind: &str, records: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let mut raw = RawBatch::new();
    for (offset, record) in records.iter().enumerate() {
        raw.push(offset as i64, 1_790_000_000_000_000, record);
    }
    let normalised = normaliser(kind).normalise(&Lane::new("any", 0), &raw);
    let mut seen = vec![0; records.len()];
    for row in 0..normalised.events.num_rows() {
        seen[event_json(&normalised.events, row)["offset"].as_u64().expect("an offset") as usize] += 1;
    }
    for reject in &normalised.rejects {
        seen[reject.offset as usize] += 1;
    }
    for (offset, count) in seen.iter().enumerate() {
        // An array is several records, and so are lines that end with a carriage return alone.
        let is_batch = records[offset].trim_ascii_start().starts_with(b"[") || records[offset].contains(&b'\r');
        // A line of W3C files that begins so is a directive, and is nothing.
        let is_directive = matches!(kind, "iis" | "w3c" | "cloudfront") && records[offset].contains(&b'#');
        let is_told = *count == 1 || (is_batch && *count > 1) || is_directive;
        prop_assert!(is_told, "record {} was told {} times", offset, count);
    }
    Ok(())
}
