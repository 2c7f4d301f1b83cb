//! Promise: rules of the Sigma project run unchanged, and what cannot run is named with file, line and reason.
//!
//! The rules and events here are our own. Those of others are measured where `$GATEWATCH_REFERENCE` names their folder.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use program::{file, folder, path, run};
use serde_json::{Value, json};

const SHELL: &str = "title: A shell behind an upload
id: 7d0f3c3e-5b0e-4a2f-9c1e-000000000001
status: test
logsource:
  category: webserver
detection:
  selection_path:
    cs-uri-query|contains: '/uploads/'
  selection_command:
    - cs-uri-query|contains|all: ['cmd=', 'whoami']
    - cs-uri-query|re: '[?&]exec=[a-z]+'
  filter_main_office:
    c-ip|cidr: 192.0.2.0/24
  condition: all of selection_* and not 1 of filter_main_*
level: high
";

const REFUSED: &str = "title: A refused log-in
id: 7d0f3c3e-5b0e-4a2f-9c1e-000000000002
name: refused_login
logsource:
  category: webserver
detection:
  selection:
    cs-method: POST
    cs-uri-stem: /login
    sc-status: [401, 403]
  condition: selection
---
title: Many refused log-ins
id: 7d0f3c3e-5b0e-4a2f-9c1e-000000000003
correlation:
  type: event_count
  rules: [refused_login]
  group-by: [c-ip]
  timespan: 1m
  condition:
    gte: 3
level: medium
";

const FILTER: &str = "title: The monitor tries its log-in
logsource:
  category: webserver
filter:
  rules: [refused_login]
  selection:
    cs-user-agent|startswith: monitor/
  condition: not selection
";

const BROKEN: &str = "title: Not yet
detection:
  selection:
    cs-uri|like: '/a'
  condition: selection
";

fn event(n: u64, seconds: u32, fields: Value) -> String {
    format!("{}\n", json!({"n": n, "time": format!("2026-01-05T10:00:{seconds:02}Z"), "event": fields}))
}

fn login(n: u64, seconds: u32, ip: &str, agent: &str) -> String {
    let fields =
        json!({"cs-method": "POST", "cs-uri-stem": "/login", "sc-status": 401, "c-ip": ip, "cs-user-agent": agent});
    event(n, seconds, fields)
}

#[test]
fn rules_filters_and_correlations_over_a_file_of_events() {
    let folder = folder();
    let rules = folder.path().join("rules/web");
    fs::create_dir_all(&rules).expect("a folder");
    for (name, text) in [("shell.yml", SHELL), ("login.yaml", REFUSED), ("filter.yml", FILTER), ("broken.yml", BROKEN)]
    {
        fs::write(rules.join(name), text).expect("written");
    }
    let shell = |n, query: &str, ip: &str| event(n, 0, json!({"cs-uri-query": query, "c-ip": ip, "sc-status": 200}));
    let events = [
        shell(1, "/Uploads/a.php?CMD=whoami", "198.51.100.7"),
        shell(2, "/uploads/a.php?cmd=whoami", "192.0.2.7"),
        shell(3, "/uploads/a.php?exec=id", "203.0.113.9"),
        shell(4, "/uploads/a.php?x=1", "203.0.113.9"),
        login(5, 1, "203.0.113.9", "curl/8.5.0"),
        login(6, 2, "203.0.113.9", "curl/8.5.0"),
        login(8, 50, "203.0.113.9", "curl/8.5.0"),
        login(7, 3, "203.0.113.9", "monitor/1"),
    ];
    let events = file(&folder, "events.jsonl", events.concat());
    let ran = run(&["sigma", "test", "--rules", path(&folder.path().join("rules")), "--events", path(&events)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    let id = |last: u32| format!("7d0f3c3e-5b0e-4a2f-9c1e-00000000000{last}");
    assert_eq!(
        answer["rules"],
        json!({id(1): [1, 3], id(3): [8]}),
        "the rule that is correlated is not told for itself"
    );
    let unsupported = answer["unsupported"].as_object().expect("an object");
    assert_eq!(unsupported.keys().collect::<Vec<_>>(), ["web/broken.yml"]);
    let reason = unsupported["web/broken.yml"].as_str().expect("a text");
    assert!(reason.starts_with("line 4: unknown modifier `like`; expected one of: "), "{reason}");

    let listed = run(&["sigma", "list", "--rules", path(&folder.path().join("rules"))]);
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    assert!(
        listed.stdout.contains("2 rules and 1 correlation can run, 1 problem; 0 without a literal"),
        "{}",
        listed.stdout
    );
    assert!(listed.stdout.contains("unsupported: web/broken.yml:4: unknown modifier `like`"), "{}", listed.stdout);
    assert!(listed.stdout.contains("only for a correlation that names it"), "{}", listed.stdout);
    let lines = run(&["sigma", "list", "--json", "--rules", path(&folder.path().join("rules"))]).stdout;
    let kinds =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("one JSON object a line")["kind"].clone());
    assert_eq!(kinds.collect::<Vec<_>>(), ["rule", "correlation", "rule", "unsupported"]);
}

#[test]
fn what_is_no_event_and_no_folder_is_said_with_its_place() {
    let folder = folder();
    let rules = file(&folder, "shell.yml", SHELL);
    let refused = |events: &str, words: &str| {
        let events = file(&folder, "events.jsonl", events);
        let ran = run(&["sigma", "test", "--rules", path(&rules), "--events", path(&events)]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    };
    refused(
        "{\"n\": 1, \"event\": {}}\n\n{\"n\": 2}\n",
        "events.jsonl:3: no object event; expected {\"n\": 1, \"event\": {...}}",
    );
    refused("{\"event\": {}}\n", "events.jsonl:1: no whole number n");
    refused("[]\n", "events.jsonl:1: no JSON object");
    let none = run(&["sigma", "list", "--rules", path(&folder.path().join("nowhere"))]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("there is no such file"), "{}", none.stderr);
    fs::create_dir(folder.path().join("empty")).expect("a folder");
    let none = run(&["sigma", "list", "--rules", path(&folder.path().join("empty"))]);
    assert!(none.code == 2 && none.stderr.contains("holds no rule; expected *.yml or *.yaml files"), "{}", none.stderr);
}

/// Public rules for web servers and proxies, over events for which another implementation says what each matches.
#[test]
#[ignore = "needs GATEWATCH_REFERENCE"]
#[allow(clippy::disallowed_methods, reason = "only a test program reads where the data is")]
fn public_rules_match_what_another_implementation_says() {
    let root = std::env::var_os("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the folder of the data");
    let data = Path::new(&root).join("sigma");
    let text = fs::read_to_string(data.join("expected_matches.json")).expect("the matches are there");
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    let ran =
        run(&["sigma", "test", "--rules", path(&data.join("rules")), "--events", path(&data.join("events.jsonl"))]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    assert_eq!(answer["unsupported"], json!({}));
    let wanted = expected["expected"].as_object().expect("an object");
    let differ: BTreeMap<&String, (&Value, &Value)> = wanted
        .iter()
        .map(|(id, rule)| (id, (&rule["matches"], &answer["rules"][id])))
        .filter(|(_, (wanted, found))| wanted != found)
        .collect();
    assert!(differ.is_empty(), "of {} rules these differ (wanted, found): {differ:#?}", wanted.len());
    assert_eq!(answer["rules"].as_object().map(serde_json::Map::len), Some(wanted.len()));
}
