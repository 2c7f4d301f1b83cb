//! Promise: a backtest over the events that are kept tells the alerts that were told live, by the same ids; with other
//! detectors it tells what would be added, lost and changed, and which real requests a block would have hit.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::path::Path;

use program::{file, folder, number, path, query, run};
use serde_json::{Value, json};

fn backtest(data: &Path, more: &[&str]) -> Value {
    let ran = run(&[&["backtest", "--data-dir", path(data), "--summary", "-"], more].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).expect("the summary is JSON")
}

fn counts(summary: &Value) -> [u64; 4] {
    ["same", "added", "lost", "changed"].map(|name| summary[name].as_u64().expect(name))
}

#[test]
fn what_was_told_live_is_told_again() {
    let folder = folder();
    let data = folder.path().join("data");
    let ran = run(&["demo", "--events", "60000", "--seed", "3", "--data-dir", path(&data)]);
    // Whether each attack is found is another promise.
    assert!(ran.code < 2, "{}", ran.stderr);
    let (events, alerts) = ("SELECT count(*) FROM events", "SELECT count(*) FROM alerts_latest");
    let live = number(&data, alerts).unsigned_abs();
    assert!(live >= 8, "{live} alerts");
    let versions = number(&data, events);

    let summary = backtest(&data, &[]);
    assert_eq!(counts(&summary), [live, 0, 0, 0], "{summary}");
    assert_eq!((summary["events"].as_i64(), &summary["against"]), (Some(versions), &json!("live")));
    assert_eq!(summary["differences"], json!([]));
    // It changes nothing, and comes to the same again, on several threads.
    assert_eq!((number(&data, events), number(&data, alerts).unsigned_abs()), (versions, live));
    assert_eq!(counts(&backtest(&data, &["--threads", "3"])), [live, 0, 0, 0]);

    // The rows of the lake, counted by SQL, are what blocks would have hit.
    let hits = summary["blocks"].as_array().expect("a list");
    assert!(!hits.is_empty());
    for hit in hits {
        let (alert, entity) = (hit["alert"].as_str().unwrap_or_default(), hit["entity"].as_str().unwrap_or_default());
        let sql = format!(
            "SELECT count(*) FROM events, (SELECT opened FROM alerts_latest WHERE id = '{alert}') a WHERE \
             client_ip = '{entity}' AND time >= a.opened AND time < a.opened + INTERVAL '1 hour'"
        );
        assert_eq!(hit["requests"].as_i64(), Some(number(&data, &sql)), "{hit}");
    }

    // One detector less: its alerts are lost, and what was folded into them stands by itself.
    let first =
        &query(&data, "SELECT detector, count(*) AS n FROM alerts_latest WHERE part_of IS NULL GROUP BY 1 ORDER BY 1")
            [0];
    let (detector, its) = (first["detector"].as_str().expect("a name"), first["n"].as_u64().expect("a number"));
    let summary = backtest(&data, &["--disable", detector]);
    assert_eq!((summary["added"].as_u64(), summary["lost"].as_u64()), (Some(0), Some(its)), "{summary}");
    for difference in summary["differences"].as_array().expect("a list") {
        assert!(difference["what"] == "changed" || difference["alert"]["detector"] == detector, "{difference}");
    }
}

const RULE: &str = "id: refused-often
title: An address is refused often
severity: medium
where: status = 401
entity: client_ip
method:
  threshold: { at_least: 5, within: 1m }
quiet: 10m
respond: [block]
dry_run: false
notes: Sees refusals; a wrong password looks the same; ask whose address it is.
";

/// Requests of one address, one a second: refused but for every fourth.
fn log(first: u32, address: &str, count: u32) -> String {
    let line = |n: u32| {
        let (status, at) = (if n % 4 == 3 { 200 } else { 401 }, first + n);
        format!(
            "{address} - - [21/Sep/2026:14:{:02}:{:02} +0000] \"GET /v1/things/{n} HTTP/1.1\" {status} 12 \"-\" \"c\"\n",
            at / 60,
            at % 60
        )
    };
    (0..count).map(line).collect()
}

#[test]
fn detectors_are_compared_with_others_over_several_lanes() {
    let folder = folder();
    let (one, other) = (log(0, "203.0.113.7", 20), log(60, "203.0.113.8", 6));
    let (one, other) = (file(&folder, "one.log", one), file(&folder, "other.log", other));
    let data = folder.path().join("data");
    let rule = file(&folder, "was.yaml", RULE);
    let replay = ["replay", path(&one), path(&other), "--source", "combined", "--data-dir", path(&data)];
    let ran = run(&[&replay[..], &["--no-catalogue", "--detectors", path(&rule)]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    let with =
        |rule: &Path, more: &[&str]| backtest(&data, &[&["--no-catalogue", "--detectors", path(rule)], more].concat());
    let summary = with(&rule, &[]);
    assert_eq!(counts(&summary), [2, 0, 0, 0], "{summary}");
    assert_eq!(summary["lanes"], 2);
    // The fifth refusal comes with the sixth request; of the fifteen from there on four are answered well.
    let hits: Vec<_> = summary["blocks"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|hit| json!([hit["entity"], hit["requests"], hit["answered"], hit["principals"]]))
        .collect();
    assert_eq!(hits.len(), 2);
    assert!(hits.contains(&json!(["203.0.113.7", 15, 4, 0])), "{hits:?}");

    // More is asked for: one is lost, and one opens later, which is another alert. Another severity: changed.
    let lax = file(&folder, "lax.yaml", RULE.replace("at_least: 5", "at_least: 8"));
    assert_eq!(counts(&with(&lax, &[])), [0, 1, 2, 0]);
    let grave = file(&folder, "grave.yaml", RULE.replace("severity: medium", "severity: high"));
    let summary = with(&grave, &[]);
    assert_eq!(counts(&summary), [0, 0, 0, 2], "{summary}");
    assert_eq!(summary["differences"][0]["changes"], json!(["severity: was medium, is high"]));

    // Against other detectors, which never ran here.
    let summary = with(&rule, &["--against", path(&lax)]);
    assert_eq!((counts(&summary), &summary["against"]), ([0, 2, 1, 0], &json!(path(&lax))), "{summary}");
    let differences = summary["differences"].as_array().expect("a list");
    let added: Vec<&Value> = differences.iter().filter(|one| one["what"] == "added").map(|one| &one["alert"]).collect();
    assert_eq!((&added[1]["entity_value"], &added[1]["detector"]), (&json!("203.0.113.8"), &json!("refused-often")));

    // Of a part of the time.
    let summary = with(&rule, &["--from", "2026-09-21T14:01:00Z"]);
    assert_eq!((counts(&summary), summary["events"].as_u64()), ([1, 0, 0, 0], Some(26)));
    assert_eq!(with(&rule, &["--to", "2026-09-21T14:00:20Z"])["events"], 20);
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = folder();
    let data = folder.path().join("nothing");
    let ran = run(&["backtest", "--data-dir", path(&data)]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("no lake") || ran.stderr.contains("no table"), "{}", ran.stderr);
    for (arguments, expected) in [
        (
            ["--from", "yesterday"],
            "--from \"yesterday\": expected a time such as 2026-06-01T00:00:00Z, a day, or a span such as 24h",
        ),
        (["--threads", "0"], "--threads"),
        (["--against", "not-there"], "not-there"),
    ] {
        let ran = run(&[&["backtest", "--data-dir", path(&data)][..], &arguments[..]].concat());
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    let ran = run(&["backtest", "--data-dir", path(&data), "--from", "2026-01-02", "--to", "2026-01-01"]);
    assert_eq!((ran.code, ran.stderr.contains("--from is not before --to")), (2, true), "{}", ran.stderr);
}
