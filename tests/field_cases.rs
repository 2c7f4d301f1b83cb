//! Promise: what real logs and real attackers did to other tools, they do not do to this one. The cases are not part of the
//! repository: their folder is below `$GATEWATCH_REFERENCE`, without which this test is ignored. What differs from what the
//! cases call right stands in `LEFT`, each with its reason.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // a test may panic, and is told by the environment where data is

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::program::{path, run};
use serde_json::{Value, json};

const ATTACKER: &str = "203.0.113.66";
const PROXY: &[&str] = &["--trusted-proxy", "198.51.100.0/24"];
const APISIX: &[&str] = &["--mapping", "10-apisix/apisix.yaml"];
const TRAEFIK: &[&str] = &["--mapping", "23-traefik-json/traefik.yaml"];

/// Folder, first letters of the files, the kind that reads them, and what else is said on the command line.
const READ_AS: [(&str, &str, &str, &[&str]); 34] = [
    ("01-", "abcfgh", "combined", &[]),
    ("02-", "abcdefghijl", "combined", &[]),
    ("03-", "abcefgiklmn", "combined", PROXY),
    ("03-", "h", "nginx_json", PROXY),
    ("04-", "acefghikl", "envoy", &[]),
    ("05-", "cdef", "envoy", &[]),
    ("06-", "abcdghi", "nginx_json", &[]),
    ("07-", "acdfh", "nginx_json", &[]),
    ("07-", "e", "kong", &[]),
    ("07-", "i", "combined", &[]),
    ("08-", "ai", "nginx_json", &[]),
    ("08-", "b", "combined", &[]),
    ("08-", "c", "kong", &[]),
    ("08-", "df", "envoy", &[]),
    ("09-", "acdghij", "nginx_json", &[]),
    ("09-", "efk", "combined", &[]),
    ("10-", "ab", "nginx_json", &[]),
    ("10-", "cdefgh", "mapping", APISIX),
    ("11-", "bcln", "nginx_json", &[]),
    ("11-", "h", "kong", &[]),
    ("11-", "j", "envoy", &[]),
    ("12-", "bcef", "combined", &[]),
    ("13-", "abc", "combined", &[]),
    ("13-", "d", "combined", PROXY),
    ("14-", "abd", "combined", &[]),
    ("15-", "bdfghij", "combined", &[]),
    ("17-", "abegi", "combined", &[]),
    ("17-", "h", "combined", &[]),
    ("17-", "j", "nginx_json", &[]),
    ("18-", "bs", "nginx_json", &[]),
    ("20-", "acde", "combined", &[]),
    ("22-", "cd", "nginx_json", &[]),
    ("23-", "abcdefg", "mapping", TRAEFIK),
    ("25-", "ghijk", "envoy", &[]),
];

/// What is not as the cases call it right, and why.
const LEFT: [(&str, &str); 3] = [
    ("05-grpc-status/f-", "read as 403; refusals for want of a right are told as a share, not by their number"),
    ("15-harmless-404s/i-", "auth-burst-new-ip counts a page whose session ended"),
    ("24-odd-text/h-", "paths are cut to 8 KiB, and all of them begin alike"),
];

/// A file whose records are not all events: records, events, rejects.
fn counts_of(file: &str) -> Option<(u64, u64, u64)> {
    Some(match &file[..file.find('/').unwrap() + 2] {
        "08-container-prefix/i" => (1, 0, 1),
        "10-apisix/a" | "10-apisix/c" => (1, 14, 0),
        "11-one-odd-side-field/n" | "22-service-loses-all-in-silence/c" => (14, 0, 14),
        "12-number-before-referrer/f" => (1, 0, 1),
        "23-traefik-json/c" => (15, 14, 1),
        "23-traefik-json/d" => (28, 14, 14),
        _ => return None,
    })
}

/// The alerts of a file: detector and entity. Of most, somebody probes paths.
fn alerts_of(file: &str) -> BTreeSet<(String, String)> {
    let (folder, name) = file.split_once('/').unwrap();
    let (number, letter) = (&folder[..2], &name[..1]);
    let told: &[(&str, &str)] = match (number, letter) {
        // One line each, harmless, or no attack on its own.
        ("01" | "02" | "09", "a" | "b" | "c") | ("02", "h") | ("09", "e") | ("03", "a" | "b" | "c" | "e" | "i") => &[],
        ("04", "a" | "f") | ("06" | "07" | "20", "a") | ("07", "h") | ("08", "i") | ("20", "d" | "e") => &[],
        ("06", "b" | "c" | "d" | "g" | "i") | ("09", "d" | "f" | "g" | "h" | "i" | "k") | ("11", "n") => &[],
        ("12" | "15", _) | ("22", "c") | ("23" | "25", "g") => &[],
        // The first and the last are parts of the alert that is told.
        ("02", "d" | "f") => {
            &[("auth-burst-new-ip", ATTACKER), ("password-spraying", ATTACKER), ("password-spraying-day", ATTACKER)]
        }
        ("05", "c" | "e" | "f") | ("07", "d") => &[("auth-burst-new-ip", ATTACKER)],
        ("04", "l") => &[("path-probing", "192.0.2.3")],
        ("13", "b") => &[("path-probing", "2001:db8::/64")],
        ("14", "a" | "d") => &[("path-probing", "2001:db8:66:1::/64")],
        ("14", "b") => &[("auth-burst-new-ip", "2001:db8:66:1::/64")],
        ("02", "e") => &[("path-probing", ATTACKER)],
        ("25", "j" | "k") => &[("endpoint-sweep", ATTACKER)],
        _ => &[("path-probing", ATTACKER)],
    };
    told.iter().map(|(detector, entity)| ((*detector).to_owned(), (*entity).to_owned())).collect()
}

/// Fields of the first record, for the files whose point they are.
fn fields_of(file: &str) -> Value {
    match &file[..file.find('/').unwrap() + 2] {
        "01-vhost-is-an-address/a" | "01-vhost-is-an-address/b" => {
            json!({"client_ip": "203.0.113.7", "host": "198.51.100.10", "principal": null, "auth_result": null})
        }
        "01-vhost-is-an-address/c" => {
            json!({"client_ip": "2001:db8:7::7", "host": "[2001:db8:1::10]", "principal": null})
        }
        "02-user-name-with-a-time/a" | "02-user-name-with-a-time/b" | "02-user-name-with-a-time/c" => {
            json!({"client_ip": ATTACKER, "time": "2026-11-27T10:00:00.000000Z", "status": 401, "path": "/v1/orders"})
        }
        "02-user-name-with-a-time/h" => json!({"principal": "anna [ops] team"}),
        "03-forwarded-with-a-word/a"
        | "03-forwarded-with-a-word/b"
        | "03-forwarded-with-a-word/c"
        | "03-forwarded-with-a-word/e" => json!({"client_ip": ATTACKER, "client_ip_source": "forwarded"}),
        "03-forwarded-with-a-word/i" => json!({"client_ip": ATTACKER}),
        "04-envoy-text-quotes/a" => {
            json!({"client_ip": ATTACKER, "client_ip_source": "peer", "user_agent": "Shop \"beta\" 1.2", "host": "api.shop.example"})
        }
        "04-envoy-text-quotes/f" => {
            json!({"user_agent": "Shop \"beta\" 1.2", "host": "api.shop.example",
                "request_id": "6b2f0a52-3ac7-4f55-9a39-0123456789ab"})
        }
        "04-envoy-text-quotes/h" => json!({"status": 404, "client_ip": ATTACKER}),
        "05-grpc-status/c" => json!({"grpc_status": 16, "status": 401}),
        "05-grpc-status/d" => json!({"grpc_status": 12, "status": 404}),
        "05-grpc-status/f" => json!({"grpc_status": 7, "status": 403, "client_ip": ATTACKER}),
        "06-host-is-an-object/a" | "06-host-is-an-object/c" => json!({"host": null, "damaged": ["host"]}),
        "06-host-is-an-object/b" => json!({"host": "api.shop.example", "damaged": null}),
        "06-host-is-an-object/g" => json!({"referrer": null, "damaged": ["referrer"]}),
        "06-host-is-an-object/i" => json!({"request_id": null, "damaged": ["request_id"]}),
        "07-not-utf8/a" => json!({"user_agent": "F\u{FFFD}tbol/1.0 (iPhone; iOS 17.1)"}),
        "09-status-000/a" | "09-status-000/c" | "09-status-000/d" | "09-status-000/e" | "09-status-000/f"
        | "09-status-000/k" => json!({"status": 0, "client_ip": ATTACKER}),
        "12-number-before-referrer/b" => {
            json!({"latency_us": 3000, "referrer": null, "user_agent": "UptimeRobot/2.0", "client_class": "monitor"})
        }
        "20-traefik-clf-quotes/a" => json!({"user_agent": "Shop \"beta\" 1.2"}),
        "20-traefik-clf-quotes/d" => json!({"user_agent": "curl/8.5.0", "client_ip": ATTACKER}),
        "20-traefik-clf-quotes/e" => json!({"path": "/v1/\"x\"", "client_ip": ATTACKER}),
        "25-grpc-service-names/g" => json!({"object_id": null}),
        _ => json!({}),
    }
}

/// Records, events and rejects, as `replay` sums them up.
fn counted(said: &str) -> Option<(u64, u64, u64)> {
    let line = said.lines().find(|line| line.contains(" late; "))?;
    let mut numbers = line.split([':', ',', ';']).map_while(|part| part.trim().split(' ').next()?.parse().ok());
    Some((numbers.next()?, numbers.next()?, numbers.next()?))
}

fn files(root: &Path, folder: &str, letters: &str) -> Vec<String> {
    let listed = |place: &Path| -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let folder = listed(root).into_iter().find(|name| name.starts_with(folder)).expect("a folder of this number");
    let is_meant = |name: &String| {
        let is_log = [".log", ".log.gz"].iter().any(|end| name.ends_with(end));
        is_log && letters.contains(&name[..1]) && (name.as_bytes()[1] == b'-' || folder.starts_with("18-"))
    };
    listed(&root.join(&folder)).into_iter().filter(is_meant).map(|name| format!("{folder}/{name}")).collect()
}

/// What is wrong with how this file is read.
fn wrong(root: &Path, file: &str, kind: &str, extra: &[&str], scratch: &Path) -> Vec<String> {
    let place = root.join(file);
    let extra: Vec<String> = extra
        .iter()
        .map(|word| if word.ends_with(".yaml") { path(&root.join(word)).to_owned() } else { (*word).to_owned() })
        .collect();
    let with = |verb: &[&str]| {
        let words: Vec<&str> = verb
            .iter()
            .copied()
            .chain(["--source", kind])
            .chain(extra.iter().map(String::as_str))
            .chain([path(&place)])
            .collect();
        run(&words)
    };
    let told = scratch.join("alerts.jsonl");
    let _ = fs::remove_file(&told);
    let ran = with(&["replay", "--no-lake", "--alerts", path(&told)]);
    let mut wrong = Vec::new();
    let mut check = |what: &str, found: String, expected: String| {
        if found != expected {
            wrong.push(format!("{file}: {what}: found {found}, expected {expected}"));
        }
    };
    let counts = counted(&(ran.stdout + &ran.stderr));
    match counts_of(file) {
        Some(expected) => check("records, events, rejects", format!("{counts:?}"), format!("{:?}", Some(expected))),
        // The end of a damaged file is told instead of counts.
        None if file.starts_with("17-compressed-and-ends/b-") => {
            check("exit status", ran.code.to_string(), "1".to_owned())
        }
        None => check("all are events", format!("{counts:?}"), format!("{:?}", counts.map(|(all, ..)| (all, all, 0)))),
    }
    let alerts: Vec<Value> =
        fs::read_to_string(&told).unwrap_or_default().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |alert: &Value, at: &str| alert.pointer(at).and_then(Value::as_str).unwrap_or("?").to_owned();
    let found: BTreeSet<(String, String)> =
        alerts.iter().map(|alert| (text(alert, "/detector"), text(alert, "/entity/value"))).collect();
    check("alerts", format!("{found:?}"), format!("{:?}", alerts_of(file)));
    let expected = fields_of(file);
    if expected.as_object().is_some_and(|fields| !fields.is_empty()) {
        let explained = with(&["explain"]);
        let first: Value = serde_json::from_str(explained.stdout.lines().next().unwrap_or("null")).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            check(name, first["event"][name].to_string(), value.to_string());
        }
    }
    wrong
}

#[test]
#[ignore = "needs GATEWATCH_REFERENCE, the folder of the reference data"]
fn every_field_case_is_read_and_judged_as_is_right() {
    let root = std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data");
    let root = PathBuf::from(root).join("field-cases");
    let scratch = tempfile::tempdir().unwrap();
    let (mut read, mut wrongs, mut left) = (0, Vec::new(), BTreeSet::new());
    for (folder, letters, kind, extra) in READ_AS.iter().chain(&[("24-", "abcdefhijk", "nginx_json", &[] as &[&str])]) {
        for file in files(&root, folder, letters) {
            read += 1;
            let found = wrong(&root, &file, kind, extra, scratch.path());
            match LEFT.iter().find(|(name, _)| file.starts_with(name)) {
                // A reason that holds no longer is taken out of the list.
                Some((name, _)) if !found.is_empty() => drop(left.insert(*name)),
                _ => wrongs.extend(found),
            }
        }
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    let named: BTreeSet<&str> = LEFT.iter().map(|(name, _)| *name).collect();
    assert_eq!(left, named, "what is left and what is named as left");
    assert!(read >= 110, "only {read} files were read");
}
