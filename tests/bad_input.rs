//! Promise: bad input gets a clear answer, and everything good around it is kept. A broken record becomes a reject with a
//! code; a broken file, configuration or detector is refused with what was wrong and what was expected.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::fs;

use program::{file, folder, path, run, run_with_input};
use serde_json::Value;

const GOOD: &str = r#"{"time_iso8601":"2026-01-05T10:00:00+00:00","remote_addr":"192.0.2.7","request_method":"GET","request_uri":"/v1/orders/17","status":200,"body_bytes_sent":512,"request_time":0.012,"http_user_agent":"curl/8.5.0","host":"api.example.com"}"#;

/// What `explain` says of each record: the code of its reject, or `event`.
fn verdicts(kind: &str, input: &[u8]) -> Vec<String> {
    let ran = run_with_input(&["explain", "--source", kind], input);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let verdict = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("each line is one JSON object");
        match value["reject"]["code"].as_str() {
            Some(code) => code.to_owned(),
            None if value["event"].is_object() => "event".to_owned(),
            None => panic!("neither event nor reject: {line}"),
        }
    };
    ran.stdout.lines().map(verdict).collect()
}

/// One bad record between two good ones: the good ones stay events.
fn between_good(bad: &[u8]) -> String {
    let mut input = format!("{GOOD}\n").into_bytes();
    input.extend_from_slice(bad);
    input.extend_from_slice(format!("\n{GOOD}\n").as_bytes());
    let verdicts = verdicts("nginx_json", &input);
    assert_eq!(verdicts.len(), 3, "{verdicts:?}");
    assert_eq!((verdicts[0].as_str(), verdicts[2].as_str()), ("event", "event"));
    verdicts[1].clone()
}

#[test]
fn each_kind_of_broken_record_has_its_code_and_a_damaged_one_is_an_event() {
    let with = |from: &str, to: &str| GOOD.replace(from, to).into_bytes();
    let mut invalid_utf8 = GOOD.as_bytes().to_vec();
    let at = GOOD.find("curl").expect("the agent is there");
    invalid_utf8[at] = 0xff;
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("oversized", [b"{\"request_uri\":\"".to_vec(), vec![b'a'; 5 << 20], b"\"}".to_vec()].concat()),
        // One odd byte, a side field that cannot be, the end of the record cut off: an event all the same.
        ("event", invalid_utf8),
        ("event", GOOD.as_bytes()[..GOOD.len() - 40].to_vec()),
        ("event", with("\"status\":200", "\"status\":\"many\"")),
        ("event", with("\"status\":200", "\"status\":{\"code\":200}")),
        ("event", with("\"body_bytes_sent\":512", "\"body_bytes_sent\":-512")),
        ("event", with("\"status\":200", "\"status\":20000")),
        ("invalid_json", b"{\"time_iso8601\" 7}".to_vec()),
        ("not_an_object", b"[1, 2, 3]".to_vec()),
        ("missing_field", b"{\"status\": 200}".to_vec()),
        ("invalid_time", with("2026-01-05T10:00:00+00:00", "yesterday")),
        ("time_out_of_range", with("2026-01-05T10:00:00+00:00", "9999-01-05T10:00:00+00:00")),
        ("empty", b"   ".to_vec()),
    ];
    for (code, record) in cases {
        let shown = String::from_utf8_lossy(&record[..record.len().min(90)]).into_owned();
        assert_eq!(between_good(&record), code, "{shown}");
    }
}

#[test]
fn deep_nesting_and_nul_bytes_do_no_harm() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let verdict = between_good(deep.as_bytes());
    assert!(["missing_field", "invalid_json"].contains(&verdict.as_str()), "{verdict}");
    let deep_and_good =
        GOOD.replace("{\"time", &format!("{{\"x\":{}1{},\"time", "{\"a\":".repeat(10_000), "}".repeat(10_000)));
    let verdict = between_good(deep_and_good.as_bytes());
    assert!(["event", "invalid_json"].contains(&verdict.as_str()), "{verdict}");
    // A NUL inside a string must be escaped in JSON; bare, it costs nothing but itself.
    assert_eq!(between_good(&GOOD.replace("curl", "cu\0rl").into_bytes()), "event");
    assert_eq!(between_good(&GOOD.replace("curl", "cu\\u0000rl").into_bytes()), "event");
}

#[test]
fn a_text_line_that_is_none_is_a_reject() {
    let line = r#"192.0.2.7 - - [05/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12 "-" "curl/8.5.0""#;
    let input = format!("{line}\nthis is not a log line\n{line}\n");
    assert_eq!(verdicts("combined", input.as_bytes()), ["event", "invalid_line", "event"]);
}

#[test]
fn rejects_are_kept_with_position_and_code() {
    let folder = folder();
    let log = file(&folder, "mixed.log", format!("{GOOD}\nbroken\n{GOOD}\n"));
    let data = folder.path().join("data");
    let ran = run(&["replay", path(&log), "--source", "nginx_json", "--data-dir", path(&data)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let rows = program::query(&data, "select \"offset\", code, length from rejects");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["offset"], 1);
    assert_eq!(rows[0]["code"], "invalid_json");
    assert_eq!(rows[0]["length"], 6);
    assert_eq!(program::number(&data, "select count(*) from events"), 2);
}

#[test]
fn a_replay_of_which_nothing_is_an_event_fails_and_says_how_to_look() {
    let folder = folder();
    let log = file(&folder, "other.log", "one\ntwo\nthree\n");
    let data = folder.path().join("data");
    let words =
        ["3 rejects: invalid_json 3; `", " explain --source kong ", "other.log` shows each", "is --source kong right?"];
    refused(&["replay", path(&log), "--source", "kong", "--data-dir", path(&data)], 1, &words);
    assert_eq!(program::number(&data, "select count(*) from rejects where code = 'invalid_json'"), 3);
}

/// Exit status and words of a refusal.
fn refused(arguments: &[&str], code: i32, words: &[&str]) {
    let ran = run(arguments);
    assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{arguments:?} should say {word:?}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = folder();
    let missing = folder.path().join("missing.log");
    let missing = path(&missing);
    for arguments in [
        &["replay", missing, "--source", "combined", "--no-lake"][..],
        &["explain", missing, "--source", "combined"],
        &["explain", "--source", "mapping", "--mapping", missing],
        &["explain", "--source", "combined", "--openapi", missing],
        &["explain", "--source", "combined", "--detectors", missing],
        &["baseline", missing],
        &["check", "--config", missing],
        &["run", "--config", missing],
        &["query", "select 1", "--config", missing],
        &["detectors", "check", missing],
        &["detectors", "test", missing],
    ] {
        refused(arguments, 2, &["missing.log: there is no such file\n"]);
    }
    for verb in
        [&["replay", "--source", "combined", "--no-lake"][..], &["explain", "--source", "combined"], &["baseline"]]
    {
        refused(&[verb, &[path(folder.path())]].concat(), 2, &["directory"]);
    }
    let alerts = folder.path().join("none/alerts.jsonl");
    let log = file(&folder, "a.log", "");
    let replay = ["replay", path(&log), "--source", "combined", "--no-lake", "--alerts", path(&alerts)];
    refused(&replay, 2, &["none/alerts.jsonl: cannot be written; expected a file in a folder that is there"]);
    let (series, svg) = (file(&folder, "a.csv", "1,2\n"), folder.path().join("none/a.svg"));
    let cannot = "none/a.svg: cannot be written (No such file or directory (os error 2)); expected a file in a folder";
    refused(&["baseline", path(&series), "--plot", path(&svg)], 2, &[cannot]);
    refused(&["baseline", path(&series), "--plot", path(&series)], 2, &["a.csv: is the series itself; expected"]);
    let ok = file(&folder, "a.log", "");
    refused(&["replay", path(&ok), "--source", "nonsense", "--no-lake"], 2, &["nonsense", "combined", "kong"]);
}

#[test]
fn an_empty_file_is_no_error() {
    let folder = folder();
    let log = file(&folder, "empty.log", "");
    let summary = folder.path().join("summary.json");
    let ran = run(&["replay", path(&log), "--source", "combined", "--no-lake", "--summary", path(&summary)]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let summary: Value = serde_json::from_str(&fs::read_to_string(summary).expect("a summary")).expect("JSON");
    assert_eq!((&summary["records"], &summary["events"], &summary["rejects"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!(summary["first_event"], Value::Null);
}

#[test]
fn a_broken_configuration_is_refused_with_line_and_expectation() {
    let folder = folder();
    let base = "data_dir: data\nsources:\n  - name: edge\n    kind: kong\n    files: [a.log]\n";
    let config = |text: &str| file(&folder, "gatewatch.yaml", text);
    let cases: Vec<(String, Vec<&str>)> = vec![
        (format!("{base}colour: blue\n"), vec!["gatewatch.yaml:6:1: unknown field `colour`, expected one of"]),
        (base.replace("kong", "kongg"), vec!["gatewatch.yaml: ", "kongg"]),
        (base.to_owned(), vec!["gatewatch.yaml: sources: edge: ", "a.log: there is no such file"]),
        (format!("{base}respond:\n  guard: {{ never_block: [bogus] }}\n"), vec!["never_block", "`bogus` is neither"]),
        (
            format!("{base}keys:\n  token: {{ id: k, secret: {{ env: NO_SUCH }} }}\n"),
            vec!["keys.token", "NO_SUCH is not set\n"],
        ),
        (
            format!("{base}keys:\n  seal: {{ id: k, secret: {{ env: HOME }} }}\n"),
            vec!["keys.seal", "64 hexadecimal digits"],
        ),
        (
            base.replace("    files:", "    endpoints: [\"GET /a\", \"b\"]\n    files:"),
            vec!["sources: edge: endpoints:2:1: \"b\": expected METHOD /path/{name}"],
        ),
        (format!("{base}instance: ../evil\n"), vec!["instance name `../evil`"]),
        (format!("{base}lake: {{ vacuum_after: 1s }}\n"), vec!["lake.vacuum_after: expected at least 1h"]),
        (
            format!("{base}lake: {{ compact_after_files: 0 }}\n"),
            vec!["lake.compact_after_files: 0; expected at least 2"],
        ),
        (format!("{base}lake: {{ options: {{ aws_region: x }} }}\n"), vec!["`aws_region` means nothing for a folder"]),
        (base.replace("    files: [a.log]\n", ""), vec!["edge", "exactly one of kafka, files, http and syslog"]),
        (
            format!("{base}lake: {{ checkpoint_every: soon }}\n"),
            vec!["gatewatch.yaml:6:27: ", "\"soon\" is not a length of time; expected for example"],
        ),
        ("sources: []\n".to_owned(), vec!["data_dir"]),
        ("data_dir: [\n".to_owned(), vec!["gatewatch.yaml"]),
    ];
    for (text, words) in cases {
        let written = config(&text);
        for verb in ["check", "run"] {
            refused(&[verb, "--config", path(&written)], 2, &words);
        }
    }
}

#[test]
fn a_broken_openapi_document_is_refused_with_line_and_expectation() {
    let folder = folder();
    let document = file(&folder, "api.yaml", "openapi: 3.1.0\npaths:\n  /a: { get: {} }\n  b: { get: {} }\n");
    let log = file(&folder, "a.log", "");
    let explain = ["explain", path(&log), "--source", "combined", "--openapi", path(&document)];
    refused(&explain, 2, &["api.yaml:4:1: \"b\": expected a path that begins with /"]);
}

#[test]
fn a_broken_detector_is_refused_with_line_field_and_expectation() {
    let folder = folder();
    let good = "id: mine\ntitle: Mine\nseverity: high\nentity: client_ip\nmethod: { threshold: { at_least: 5, within: 1m } }\nnotes: What it sees.\n";
    let cases: Vec<(String, Vec<&str>)> = vec![
        (good.replace("at_least: 5", "at_least: many"), vec![":5:", "at_least", "expected"]),
        (good.replace("severity: high", "severity: hihg"), vec![":3:", "severity", "critical"]),
        (good.replace("entity: client_ip", "entity: client_pi"), vec![":4:", "client_ip"]),
        (format!("{good}where: \"stauts = 401\"\n"), vec!["where", "stauts", "status"]),
        (format!("{good}colour: blue\n"), vec!["colour"]),
        (good.replace("notes: What it sees.\n", ""), vec!["notes"]),
    ];
    for (text, words) in cases {
        let detector = file(&folder, "mine.yaml", &text);
        refused(&["detectors", "check", path(&detector)], 2, &words);
        let log = file(&folder, "a.log", "");
        refused(
            &["replay", path(&log), "--source", "combined", "--no-lake", "--detectors", path(&detector)],
            2,
            &words,
        );
    }
    let detector = file(&folder, "mine.yaml", good);
    let ran = run(&["detectors", "check", path(&detector)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "1 detector is well-formed\n"), "{}", ran.stderr);
}

#[test]
fn a_detector_without_cases_is_told_what_they_are() {
    let folder = folder();
    let own = "id: endpoint-sweep\ntitle: Ours\nseverity: high\nentity: client_ip\nmethod: { threshold: { at_least: 5, within: 1m } }\nnotes: What it sees.\n";
    let detector = file(&folder, "mine.yaml", own);
    let words = ["mine.yaml: no cases; expected a folder `cases` beside it with *.yaml\n"];
    refused(&["detectors", "test", path(&detector)], 2, &words);
    fs::create_dir(folder.path().join("cases")).expect("a folder");
    refused(&["detectors", "test", path(&detector)], 2, &words);
    let ran = run(&["detectors", "check", path(&detector)]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "1 detector is well-formed\n"), "{}", ran.stderr);
    let note = "endpoint-sweep is also in the catalogue: it can only run with that one disabled\n";
    assert_eq!(ran.stderr, note);
}

#[test]
fn the_log_of_the_service_ends_in_json_when_it_is_json() {
    let ran = run(&["run", "--config", "no-such.yaml", "--log-format", "json"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let line: Value = serde_json::from_str(ran.stderr.trim_end()).expect("one line of JSON");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["fields"]["message"], "no-such.yaml: there is no such file");
}

#[test]
fn wrong_usage_is_exit_2() {
    refused(&["replay"], 2, &["FILES"]);
    refused(&["nonsense"], 2, &["nonsense"]);
    let no_lake = "there is no lake in no-such-folder/lake: fill one first, for example with `";
    let words = [no_lake, " demo --data-dir no-such-folder`", " replay FILE --source KIND --data-dir no-such-folder`"];
    refused(&["query", "drop table events", "--data-dir", "no-such-folder"], 2, &words);
    refused(&["query", "select 1", "--format", "xml"], 2, &["xml", "table, json, csv, arrow"]);
    refused(&["explain", "--source", "kongg"], 2, &["kongg", "auto, combined, nginx_json, kong, envoy"]);
    refused(&["detectors", "show", "endpoint-swep"], 2, &["`endpoint-swep`, did you mean `endpoint-sweep`?"]);
    refused(
        &["detectors", "show", "zzzz"],
        2,
        &["there is no detector `zzzz`; there are: object-walk, object-walk-address, objects-in-order, "],
    );
}
