//! Promise: no raw secret leaves the normaliser. Canaries of every class, plain, URL-encoded, base64 and JSON in JSON, go
//! through every source kind and the whole system; then every byte it wrote or sent is searched: table files (decoded),
//! state files, rejects, alerts, summaries, logs, webhooks.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::program::{self, gatewatch, path, query};

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
            other => panic!("no kind {other}"),
        }
    };
    let mut lines: Vec<String> = targets.iter().map(record).collect();
    // And a record that is broken right after the secret.
    let whole = lines[0].clone();
    lines.push(whole[..whole.len() - 4].to_owned() + "\\");
    lines
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
    for kind in ["combined", "nginx_json", "kong", "envoy"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut lines = Vec::new();
        for (class, secret) in canaries() {
            lines.extend(records(kind, class, &secret));
        }
        let planted = lines.join("\n");
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
            .output()
            .expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        search("standard output", &output.stdout);
        search("standard error at trace level", &output.stderr);
        search("the alerts file", &fs::read(&alerts).expect("alerts"));
        let mut written = Vec::new();
        files_below(&data, &mut written);
        assert!(written.len() > 5, "the lake has files: {written:?}");
        for file in written {
            search(&file.display().to_string(), &fs::read(&file).expect("readable"));
        }
        for table in ["events", "alerts", "rejects"] {
            let rows = query(&data, &format!("select * from {table}"));
            assert!(table != "events" || rows.len() >= 8, "{kind}: {} events", rows.len());
            search(table, serde_json::to_string(&rows).expect("JSON").as_bytes());
        }
        let explained = program::run(&["explain", "--source", kind, path(&log)]);
        assert_eq!(explained.code, 0, "{}", explained.stderr);
        search("explain", explained.stdout.as_bytes());
    }
}

/// The search finds what it looks for.
#[test]
#[should_panic(expected = "canary is in")]
fn the_search_would_notice() {
    search("a sample", format!("x{}y", canaries()[2].1).as_bytes());
}
