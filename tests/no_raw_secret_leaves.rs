//! Promise: no raw secret leaves the normaliser. Canaries of every class, plain, URL-encoded, base64 and JSON in JSON, go
//! through every source kind and the whole system; then every byte it wrote or sent is searched: table files (decoded),
//! state files, rejects, alerts, summaries, logs, webhooks.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::program::{self, gatewatch, path, query};
use common::receiver::Receiver;

/// Class and an invented secret of it. Each has a core that nothing else contains.
fn canaries() -> Vec<(&'static str, String)> {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let jwt = format!(
        "{}.{}.Q0FOQVJZ-jwt-signature-not-real-7741",
        part("{\"alg\":\"HS256\"}"),
        part("{\"sub\":\"canary-subject\"}")
    );
    vec![
        ("password", "canary-password-8812".to_owned()),
        ("jwt", jwt),
        ("aws_key", "AKIACANARYCANARY1234".to_owned()),
        ("github_token", "ghp_canaryCANARYcanaryCANARYcanaryCANA12".to_owned()),
        ("stripe_key", format!("sk_{}_canaryCANARYcanary1234", "live")),
        ("card_number", "4111 1111 1111 1111".to_owned()),
        ("email", "canary.person@canary-mail.example".to_owned()),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nQ0FOQVJZY2FuYXJ5\n-----END PRIVATE KEY-----".to_owned()),
    ]
}

/// What must not be found of a canary: the value, and each form it was planted in.
fn forms(secret: &str) -> Vec<String> {
    let url: String = secret.bytes().map(|b| format!("%{b:02X}")).collect();
    vec![secret.to_owned(), url, STANDARD.encode(secret), secret.replace(' ', "%20"), secret.replace('\n', "\\n")]
}

/// Records of one kind, with the value where an attacker or a careless client would put it.
fn records(kind: &str, class: &str, value: &str) -> Vec<String> {
    let text = serde_json::to_string(value).expect("a string is JSON");
    let url: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
    let key = if class == "password" { "password" } else { "note" };
    let targets = [
        format!("/v1/login?{key}={url}"),
        format!("/v1/login?{key}={}", STANDARD.encode(value).replace('+', "%2B").replace('=', "%3D")),
        format!("/v1/login?data=%7B%22{key}%22%3A%22{url}%22%7D"),
        // Without a key that names it, a password in a path is a word like any other.
        if class == "password" { "/v1/login".to_owned() } else { format!("/v1/{url}/items") },
    ];
    let free = if class == "password" { "\"password=".to_owned() + &text[1..] } else { text };
    let record = |target: &String| {
        let target = serde_json::to_string(target).expect("a string is JSON");
        match kind {
            "combined" => format!(
                "192.0.2.7 - - [05/Jan/2026:10:00:00 +0000] \"GET {} HTTP/1.1\" 200 12 \"https://app.example.com{}\" \"agent\"",
                unquote(&target),
                unquote(&target)
            ),
            "nginx_json" => format!(
                "{{\"time_iso8601\":\"2026-01-05T10:00:00+00:00\",\"remote_addr\":\"192.0.2.7\",\"request_method\":\"GET\",\"request_uri\":{target},\"status\":401,\"http_authorization\":{free},\"http_cookie\":{free},\"http_user_agent\":{free},\"http_referer\":{free},\"request_id\":{free},\"host\":\"api.example.com\"}}"
            ),
            "kong" => format!(
                "{{\"started_at\":1767607200000,\"client_ip\":\"192.0.2.7\",\"latencies\":{{\"request\":5}},\"request\":{{\"method\":\"GET\",\"uri\":{target},\"size\":10,\"headers\":{{\"authorization\":{free},\"cookie\":{free},\"x-api-key\":{free},\"user-agent\":{free},\"referer\":{free},\"x-unknown\":{free}}}}},\"response\":{{\"status\":401,\"size\":20}},\"consumer\":{{\"username\":{free}}}}}"
            ),
            "envoy" => format!(
                "{{\"start_time\":\"2026-01-05T10:00:00.000Z\",\"method\":\"GET\",\"path\":{target},\"response_code\":401,\"duration\":5,\"bytes_sent\":1,\"bytes_received\":1,\"downstream_remote_address\":\"192.0.2.7:1234\",\"user_agent\":{free},\"request_id\":{free},\"authority\":\"api.example.com\",\"x_forwarded_for\":{free}}}"
            ),
            "mapping" => format!(
                "{{\"at\":1767607200,\"from\":\"192.0.2.7\",\"verb\":\"GET\",\"what\":{target},\"code\":401,\"who\":{free},\"key\":{free},\"tenant\":{free},\"id\":{free},\"scopes\":[{free},{free}],\"agent\":{free},\"more\":{{\"x\":{free}}}}}"
            ),
            other => panic!("no kind {other}"),
        }
    };
    let mut lines: Vec<String> = targets.iter().map(record).collect();
    // And a record that is broken right after the secret.
    let whole = lines[0].clone();
    lines.push(whole[..whole.len() - 4].to_owned() + "\\");
    lines
}

const MAPPING: &str = "
gateway: own
columns:
  time: { from: at, unit: epoch_s, required: true }
  client_ip: { from: from }
  method: { from: verb }
  target: { from: what }
  status: { from: code }
  principal: { from: who }
  api_key: { from: key }
  tenant: { from: tenant }
  request_id: { from: id }
  scopes: { from: scopes }
  user_agent: { from: agent }
";

/// All canaries in all places of a kind.
fn planted(kind: &str) -> String {
    canaries().iter().flat_map(|(class, secret)| records(kind, class, secret)).collect::<Vec<_>>().join("\n")
}

fn unquote(json: &str) -> &str {
    json.trim_matches('"')
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files_below(&path, found) } else { found.push(path) }
    }
}

/// Fails when any form of any canary is in the bytes.
fn search(where_from: &str, bytes: &[u8]) {
    for (class, secret) in canaries() {
        for form in forms(&secret) {
            let found = memchr::memmem::find(bytes, form.as_bytes()).is_some();
            assert!(!found, "a {class} canary is in {where_from}");
        }
    }
}

#[test]
fn canaries_in_every_source_are_in_nothing_that_is_written() {
    for kind in ["combined", "nginx_json", "kong", "envoy", "mapping"] {
        let folder = tempfile::tempdir().expect("a folder");
        let planted = planted(kind);
        let mapping = folder.path().join("mapping.yaml");
        fs::write(&mapping, MAPPING).expect("the mapping is written");
        let mapping: &[&str] = if kind == "mapping" { &["--mapping", path(&mapping)] } else { &[] };
        assert!(memchr::memmem::find(planted.as_bytes(), b"canary").is_some() || kind == "combined");
        let log = folder.path().join("planted.log");
        fs::write(&log, &planted).expect("the log is written");
        let data = folder.path().join("data");
        let alerts = folder.path().join("alerts.jsonl");
        let output = gatewatch()
            .env("GATEWATCH_LOG", "trace")
            .args([
                "replay",
                path(&log),
                "--source",
                kind,
                "--data-dir",
                path(&data),
                "--alerts",
                path(&alerts),
                "--summary",
                "-",
            ])
            .args(mapping)
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        search("standard output", &output.stdout);
        search("standard error at trace level", &output.stderr);
        let alerts = fs::read(&alerts).expect("alerts");
        assert!(!alerts.is_empty() || kind == "combined", "{kind}: no alert could tell a secret");
        search("the alerts file", &alerts);
        let mut written = Vec::new();
        files_below(&data, &mut written);
        assert!(written.len() > 5, "the lake has files: {written:?}");
        search_files(&written);
        for table in ["events", "alerts", "rejects"] {
            let rows = query(&data, &format!("select * from {table}"));
            assert!(table != "events" || rows.len() >= 8, "{kind}: {} events", rows.len());
            search(table, serde_json::to_string(&rows).expect("JSON").as_bytes());
        }
        let explained = program::run(&[&["explain", "--source", kind], mapping, &[path(&log)]].concat());
        assert_eq!(explained.code, 0, "{}", explained.stderr);
        search("explain", explained.stdout.as_bytes());
    }
}

/// Every file as it is, and state files also unpacked: zstd from its magic number on.
fn search_files(files: &[PathBuf]) {
    let mut unpacked = 0;
    for file in files {
        let bytes = fs::read(file).expect("readable");
        search(&file.display().to_string(), &bytes);
        if file.extension().is_some_and(|e| e == "checkpoint") {
            let at = memchr::memmem::find(&bytes, &[0x28, 0xb5, 0x2f, 0xfd]).expect("packed with zstd");
            let plain = zstd::decode_all(&bytes[at..]).expect("whole");
            assert!(plain.len() > 100, "{} has a state", file.display());
            search(&format!("{}, unpacked", file.display()), &plain);
            unpacked += 1;
        }
    }
    assert!(unpacked > 0, "no state file among {files:?}");
}

/// The service with everything on: all kinds at once, rejects sealed, cases sent to a receiver.
#[test]
fn canaries_are_in_nothing_the_service_keeps_or_sends() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let receiver = runtime.block_on(Receiver::start(&[program::WEBHOOK_SECRET], common::wall_clock()));
    let mapping = folder.path().join("mapping.yaml");
    fs::write(&mapping, MAPPING).expect("the mapping is written");
    let kinds = ["combined", "nginx_json", "kong", "envoy", "mapping"];
    let mut sources = String::new();
    for kind in kinds {
        let log = folder.path().join(format!("{kind}.log"));
        let mut lines = planted(kind);
        // Nothing of these says who or what: they are rejects, and sealed.
        lines.extend(canaries().iter().map(|(_, secret)| format!("\nbroken {secret}")));
        fs::write(&log, lines).expect("the log is written");
        sources +=
            &format!("  - name: {kind}\n    kind: {kind}\n    ahead_max: 36500d\n    files: [{}]\n", log.display());
    }
    sources += &format!("    mapping_file: {}\n", mapping.display());
    let data = folder.path().join("data");
    let config = folder.path().join("gatewatch.yaml");
    let text = format!(
        "data_dir: {}\nkeys:\n  seal: {{ id: s1, secret: {{ env: GATEWATCH_TEST_SEAL_KEY }} }}\nsources:\n{sources}respond:\n  \
         dry_run: false\n  guard: {{ alert_age_max: 36500d }}\n  tell: [open, updated, closed]\n  targets:\n    webhook:\n      \
         - name: soar\n        url: {}\n        kinds: [case, notify, page]\n        \
         secrets: [{{ env: GATEWATCH_TEST_WEBHOOK_SECRET }}]\n",
        data.display(),
        receiver.url(),
    );
    fs::write(&config, text).expect("the configuration is written");
    let ran = gatewatch()
        .env("GATEWATCH_LOG", "trace")
        .env("GATEWATCH_TEST_SEAL_KEY", "00".repeat(32))
        .args(["run", "--config", path(&config)])
        .output()
        .expect("the program runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    search("the log at trace level", &ran.stderr);

    let effects = receiver.effects();
    assert!(!effects.is_empty(), "no case was opened");
    assert_eq!(receiver.violations(), Vec::<String>::new());
    for seen in receiver.seen() {
        search("a webhook body", seen.body.to_string().as_bytes());
    }
    let mut written = Vec::new();
    files_below(&data, &mut written);
    assert!(written.iter().any(|file| file.ends_with("state.db")), "{written:?}");
    search_files(&written);
    for table in ["events", "alerts", "rejects", "actions"] {
        let rows = query(&data, &format!("select * from {table}"));
        assert!(rows.len() >= 2, "{table} has {} rows", rows.len());
        search(table, serde_json::to_string(&rows).expect("JSON").as_bytes());
    }
}

/// The search finds what it looks for.
#[test]
#[should_panic(expected = "canary is in")]
fn the_search_would_notice() {
    search("a sample", format!("x{}y", canaries()[2].1).as_bytes());
}
