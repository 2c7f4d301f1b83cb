//! Promise: each verb says what it did and did not do, in words a person can act on, and its options do what they say.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::io::Write;
use std::path::Path;

use program::{Ran, file, folder, path, run, run_with_input};
use serde_json::{Value, json};

fn ran_well(ran: Ran) -> Ran {
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran
}

/// An access log: one client asks for these paths, a second apart.
fn log_of(paths: &[&str]) -> String {
    let line = |(second, path): (usize, &&str)| {
        format!(
            "192.0.2.7 - alice [05/Jan/2026:10:00:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 12 \"-\" \"curl/8.5.0\"\n"
        )
    };
    paths.iter().enumerate().map(line).collect()
}

const PATHS: [&str; 5] = ["/orders", "/users", "/carts", "/prices", "/health"];

#[test]
fn a_replay_says_what_was_kept_before_and_leaves_an_earlier_answer_alone() {
    let folder = folder();
    let (log, data) = (file(&folder, "access.log", log_of(&PATHS)), folder.path().join("data"));
    let alerts = folder.path().join("alerts.jsonl");
    let replay = || {
        let arguments = ["replay", path(&log), "--source", "combined", "--data-dir", path(&data)];
        ran_well(run(&[&arguments[..], &["--alerts", path(&alerts)]].concat()))
    };
    let first = replay();
    assert!(first.stderr.contains("5 records: 5 events, 0 rejects, 0 late; 0 alerts; "), "{}", first.stderr);
    assert!(!first.stderr.contains("already"), "{}", first.stderr);
    assert_eq!(fs::read_to_string(&alerts).expect("nothing told is an answer"), "");

    fs::write(&alerts, "earlier\n").expect("written");
    let again = replay();
    let words = format!(
        "access.log: its 5 records are in {} already; --no-lake detects again without keeping\n",
        data.display()
    );
    assert!(again.stderr.contains(&words), "{}", again.stderr);
    assert_eq!(fs::read_to_string(&alerts).expect("the file is there"), "earlier\n");

    fs::write(&log, log_of(&[&PATHS[..], &["/orders"]].concat())).expect("written");
    let grown = replay();
    assert!(grown.stderr.contains("access.log: its first 5 records are in "), "{}", grown.stderr);
    assert!(grown.stderr.contains("1 record: 1 event, 0 rejects, "), "{}", grown.stderr);
    assert!(!grown.stderr.contains("replayed together"), "{}", grown.stderr);
    assert_eq!(fs::read_to_string(&alerts).expect("the file is there"), "");
}

#[test]
fn files_that_were_not_replayed_together_before_are_told_of() {
    let folder = folder();
    let data = folder.path().join("data");
    let (one, two) = (file(&folder, "one.log", log_of(&PATHS)), file(&folder, "two.log", log_of(&PATHS)));
    let replay = |logs: &[&Path]| {
        let mut arguments = vec!["replay", "--source", "combined", "--data-dir", path(&data)];
        arguments.extend(logs.iter().map(|log| path(log)));
        ran_well(run(&arguments)).stderr
    };
    let words = "these files were not replayed together before: detection began without a past\n";
    assert!(!replay(&[&one]).contains(words));
    let both = replay(&[&one, &two]);
    assert!(both.contains(words) && both.contains("one.log: its first 5 records are in "), "{both}");
    assert!(!both.contains("two.log: its"), "{both}");
    assert_eq!(program::number(&data, "select count(*) from events"), 10);
}

#[test]
fn fields_without_a_column_are_named() {
    let folder = folder();
    let record = r#"{"time_iso8601":"2026-01-05T10:00:00+00:00","remote_addr":"192.0.2.7","request_method":"GET","request_uri":"/orders","status":200,"body_bytes_sent":512,"request_time":0.012,"http_user_agent":"curl/8.5.0","host":"api.example.com","extra":1}"#;
    let log = file(&folder, "nginx.log", format!("{record}\n"));
    let ran = ran_well(run(&["replay", path(&log), "--source", "nginx_json", "--no-lake"]));
    let words = "nginx.log: field `extra` is in no column (seen in 1 sampled record)\n";
    assert!(ran.stderr.contains(words), "{}", ran.stderr);
}

const OWN_SWEEP: &str = "\
id: endpoint-sweep
title: Ours
severity: high
entity: client_ip
method: { distinct: { of: endpoint, at_least: 3, within: 1m } }
notes: What it sees.
";

#[test]
fn an_own_detector_runs_in_the_place_of_a_disabled_one() {
    let folder = folder();
    let (log, own) = (file(&folder, "access.log", log_of(&PATHS)), file(&folder, "own.yaml", OWN_SWEEP));
    let replay =
        ["replay", path(&log), "--source", "combined", "--no-lake", "--alerts", "-", "--detectors", path(&own)];
    let refused = run(&replay);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("disable it to run the own one in its place"), "{}", refused.stderr);

    let ran = ran_well(run(&[&replay[..], &["--disable", "endpoint-sweep"]].concat()));
    let told: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).expect("an alert")).collect();
    assert_eq!((&told[0]["detector"], &told[0]["title"]), (&json!("endpoint-sweep"), &json!("Ours")));

    let list = ["detectors", "list", path(&own), "--disable", "endpoint-sweep"];
    let listed = ran_well(run(&list)).stdout;
    let lines: Vec<&str> = listed.lines().filter(|line| line.starts_with("endpoint-sweep ")).collect();
    assert!(lines.len() == 1 && lines[0].ends_with(" Ours"), "{listed}");
}

/// What `explain` makes of one line with these options.
fn explained(options: &[&str]) -> Value {
    let arguments = [&["explain", "--source", "combined"], options].concat();
    let ran = ran_well(run_with_input(&arguments, log_of(&["/orders"]).as_bytes()));
    serde_json::from_str(&ran.stdout).expect("one JSON object")
}

#[test]
fn explain_takes_the_options_of_replay() {
    let plain = explained(&[]);
    let sweep = json!("endpoint-sweep");
    assert_eq!((&plain["event"]["principal"], &plain["event"]["tenant"]), (&json!("alice"), &Value::Null));
    assert!(plain["matched"].as_array().expect("a list").contains(&sweep), "{plain}");

    let set = explained(&["--tokenise-principal", "--tenant", "acme", "--disable", "endpoint-sweep"]);
    let principal = set["event"]["principal"].as_str().expect("a text");
    let (key, token) = principal.split_once(':').expect("a token with the id of its key");
    assert!(key.starts_with('k') && token.len() == 32 && !token.contains("alice"), "{principal}");
    assert_eq!(set["event"]["tenant"], "acme");
    assert!(!set["matched"].as_array().expect("a list").contains(&sweep), "{set}");

    assert_eq!(explained(&["--no-catalogue"])["matched"], json!([]));
}

#[test]
fn detectors_are_shown_as_they_are_written() {
    let folder = folder();
    let written =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("detectors/catalogue/api9-inventory/endpoint-sweep/detector.yaml");
    let written = fs::read_to_string(written).expect("the catalogue is there");
    assert_eq!(ran_well(run(&["detectors", "show", "endpoint-sweep"])).stdout, written);
    let own = file(&folder, "own.yaml", OWN_SWEEP);
    let shown = ran_well(run(&["detectors", "show", "endpoint-sweep", "--detectors", path(&own)])).stdout;
    assert_eq!(shown, OWN_SWEEP);
}

#[test]
fn a_list_of_detectors_has_a_header_or_is_json() {
    let text = ran_well(run(&["detectors", "list"])).stdout;
    let header: Vec<&str> = text.lines().next().expect("a header").split_whitespace().collect();
    assert_eq!(header, ["id", "severity", "entity", "title"]);
    let lines = ran_well(run(&["detectors", "list", "--json"])).stdout;
    assert_eq!(lines.lines().count(), text.lines().count() - 1);
    let all: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let sweep = all.iter().find(|detector| detector["id"] == "endpoint-sweep").expect("it is built in");
    assert_eq!(sweep["method"], json!({ "distinct": { "of": "endpoint", "at_least": 100, "within": "1m" } }));
    assert_eq!((&sweep["entity"], &sweep["dry_run"]), (&json!("client_ip"), &json!(false)));
    assert_eq!(sweep["respond"], json!(["block", "case"]));
    assert!(sweep["where"].as_str().is_some_and(|sql| sql.contains("client_class")), "{sweep}");
    assert!(sweep["notes"].as_str().is_some_and(|notes| notes.starts_with("Sees: ")), "{sweep}");
}

#[test]
fn a_check_counts_in_words() {
    let folder = folder();
    let log = file(&folder, "a.log", "");
    let text = format!("data_dir: data\nsources:\n  - name: edge\n    kind: kong\n    files: [{}]\n", log.display());
    let config = file(&folder, "gatewatch.yaml", text);
    let ran = ran_well(run(&["check", "--config", path(&config)]));
    assert!(ran.stdout.contains("well-formed, with 1 warning; 1 source, "), "{}", ran.stdout);
    assert!(ran.stdout.contains(" detectors, 0 targets, lake "), "{}", ran.stdout);
}

#[test]
fn check_and_explain_say_when_a_log_tells_of_times_after_it_was_written() {
    let folder = folder();
    let log = file(&folder, "access.log", log_of(&PATHS));
    // Long before any of its times.
    let written = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    let handle = std::fs::File::options().append(true).open(&log).expect("it can be opened");
    handle.set_modified(written).expect("a time can be set");
    let text =
        format!("data_dir: data\nsources:\n  - name: edge\n    kind: combined\n    files: [{}]\n", log.display());
    let config = file(&folder, "gatewatch.yaml", text);
    for ran in [
        ran_well(run(&["check", "--config", path(&config)])),
        ran_well(run(&["explain", "--source", "combined", path(&log)])),
    ] {
        assert!(ran.stderr.contains(" h after the log was last written: is the zone (time_zone)"), "{}", ran.stderr);
    }
}

#[test]
fn a_series_comes_from_standard_input_or_a_file_packed_or_not() {
    let folder = folder();
    let plain = b"date,requests\n2014-04-01,7\n".to_vec();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("a vector takes all");
    let packed = gzip.finish().expect("a vector takes all");
    let zstd = zstd::encode_all(plain.as_slice(), 1).expect("a slice does not fail");
    for series in [plain, packed, zstd] {
        let named = file(&folder, "series.csv", &series);
        for ran in [
            run_with_input(&["baseline"], &series),
            run_with_input(&["baseline", "-"], &series),
            run(&["baseline", path(&named)]),
        ] {
            let want = "timestamp,value,anomaly_score,alert,expected,low,high\n2014-04-01,7,0.000000,0,,,\n";
            assert_eq!(ran_well(ran).stdout, want);
        }
    }
}

/// Lines of a day's shape with one spike, every five minutes for four days.
fn a_series() -> String {
    let value = |at: i64| if at == 1000 { 900 } else { 100 + (at % 288 - 144).abs() / 4 + at * 7 % 5 };
    let line = |at: i64| format!("{},{}\n", 1_396_310_400 + at * 300, value(at));
    (0..1152).map(line).collect()
}

#[test]
fn a_series_is_drawn_and_scored_as_without_a_picture() {
    let folder = folder();
    let series = file(&folder, "a <b> & c.csv", a_series().as_bytes());
    let svg = folder.path().join("series.svg");
    let drawn = ran_well(run(&["baseline", path(&series), "--plot", path(&svg)]));
    assert_eq!((drawn.stderr.as_str(), &drawn.stdout), ("", &ran_well(run(&["baseline", path(&series)])).stdout));
    let picture = std::fs::read_to_string(&svg).expect("it was written");
    for part in [
        "<title id=\"title\">a &lt;b&gt; &amp; c.csv</title>",
        "\"description\">1,152 lines, 1 alert: ",
        "role=\"img\"",
        "UTC, 2014-04-01 00:00:00 to 2014-04-04 23:55:00",
        "2014-04-0",
        ">\nexpected\n<",
        ">\nalert\n<",
        "width=\"1200\" height=\"500\"",
    ] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    // The mark in the legend, and that of the alert.
    assert_eq!(picture.matches("<circle ").count(), 2, "{picture}");
    for never in ["<script", "href", "@import", "url(", "a <b>"] {
        assert!(!picture.contains(never), "{never}: {picture}");
    }
    assert!(picture.len() < 100_000, "{}", picture.len());
}

#[test]
fn a_picture_shows_what_was_read_before_a_bad_line_or_says_that_there_is_nothing() {
    let folder = folder();
    let svg = folder.path().join("series.svg");
    let picture = |input: &str| {
        let ran = run_with_input(&["baseline", "--plot", path(&svg)], input.as_bytes());
        (ran.code, ran.stdout.lines().count(), std::fs::read_to_string(&svg).expect("it was written"))
    };
    let (code, lines, text) = picture("1,5\n2,6\nyesterday,5\n");
    assert_eq!((code, lines), (1, 3));
    assert!(text.contains("2 lines, 0 alerts") && text.contains(">standard input</title>"), "{text}");
    for (input, lines) in [("", "0 lines"), ("1,\n2,nan\n", "2 lines")] {
        let (code, _, text) = picture(input);
        assert_eq!(code, 0);
        assert!(text.contains(lines) && text.contains("There is nothing to draw: no line has a value."), "{text}");
    }
}

#[test]
fn a_query_says_whether_the_question_or_the_work_failed() {
    let folder = folder();
    let (log, data) = (file(&folder, "access.log", log_of(&PATHS)), folder.path().join("data"));
    ran_well(run(&["replay", path(&log), "--source", "combined", "--data-dir", path(&data)]));
    let heavy = "select count(distinct value) from generate_series(1, 2000000)";
    for (sql, code, words) in [
        ("select nothing from alerts_latest", 2, "`DESCRIBE alerts_latest` lists the columns"),
        ("select * from event", 2, "there is no table `event`"),
        ("selec 1", 2, "SQL: "),
        ("drop table events", 2, "only questions are allowed here"),
        (heavy, 1, "or raise --memory-mb"),
    ] {
        let ran = run(&["query", sql, "--data-dir", path(&data), "--memory-mb", "1"]);
        assert_eq!(ran.code, code, "{sql}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{sql}: {}", ran.stderr);
    }
}

#[test]
fn help_has_the_verbs_own_options_before_those_of_logging() {
    let help = ran_well(run(&["replay", "--help"])).stdout;
    let place = |words: &str| help.find(words).unwrap_or_else(|| panic!("{words:?} is not in\n{help}"));
    let own = [place("--source <KIND>"), place("--data-dir <DIR>"), place("--tenant <NAME>")];
    assert!(own.iter().all(|own| *own < place("Logging:")), "{help}");
    assert!(place("Logging:") < place("--log-format"), "{help}");
    for words in ["Kong http-log", "$GATEWATCH_DATA_DIR, or gatewatch-data"] {
        place(words);
    }
}
