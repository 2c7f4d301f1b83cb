//! Stories: what a stranger does first, and what ordinary traffic must look like afterwards.

#[allow(dead_code)] // Each test program uses its own part.
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use program::{number, path, query, run};
use serde_json::Value;

#[test]
fn the_demo_finds_every_planted_attack_and_alerts_on_no_look_alike() {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in ["1", "2", "3"] {
        let data = folder.path().join(seed);
        let ran = run(&["demo", "--seed", seed, "--data-dir", path(&data)]);
        assert_eq!(ran.code, 0, "seed {seed}: {}{}", ran.stdout, ran.stderr);
        assert!(!ran.stdout.contains("OTHER ALERTS"), "seed {seed}: {}", ran.stdout);
        assert_eq!(number(&data, "select count(*) from events"), 200_000);
        assert!(number(&data, "select count(*) from actions where step = 'dry_run' or step = 'suppressed'") > 0);
        if seed == "1" {
            try_next(&ran.stdout);
        }
    }
}

/// The commands at the end of the screen, copied into a shell as they stand.
fn try_next(screen: &str) {
    let (_, commands) = screen.split_once("TRY NEXT").expect("the screen ends with commands");
    let output = Command::new("sh").args(["-e", "-c", commands]).output().expect("a shell");
    let (answers, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{commands}\n{errors}");
    let rows = |line: &&str| line.ends_with(" rows") || *line == "1 row";
    assert_eq!(answers.lines().filter(rows).count(), 3, "{answers}");
    assert!(!answers.lines().any(|line| line == "0 rows"), "{answers}");
}

#[test]
fn a_replay_of_the_same_file_adds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("access.log");
    let line = |n: usize| {
        format!(
            "192.0.2.7 - - [05/Jan/2026:10:00:{:02} +0000] \"GET /v1/orders/{n} HTTP/1.1\" 200 12 \"-\" \"curl/8.5.0\"\n",
            n % 60
        )
    };
    fs::write(&log, (0..30).map(line).collect::<String>()).expect("written");
    let data = folder.path().join("data");
    let replay = || run(&["replay", path(&log), "--source", "combined", "--data-dir", path(&data), "--summary", "-"]);
    let first: Value = serde_json::from_str(&replay().stdout).expect("a summary");
    let second: Value = serde_json::from_str(&replay().stdout).expect("a summary");
    assert_eq!((&first["events"], &second["events"]), (&30.into(), &0.into()));
    // The file grows: only what is new is read.
    let mut grown = fs::read_to_string(&log).expect("readable");
    grown.push_str(&line(59));
    fs::write(&log, grown).expect("written");
    let third: Value = serde_json::from_str(&replay().stdout).expect("a summary");
    assert_eq!(third["events"], 1);
    assert_eq!(number(&data, "select count(*) from events"), 31);
    assert_eq!(number(&data, "select count(distinct endpoint) from events"), 1);
}

/// The reference logs are not part of the repository.
#[test]
#[ignore = "needs GATEWATCH_REFERENCE, the folder of the reference logs"]
#[allow(clippy::disallowed_methods, reason = "a test finds its data through the environment")]
fn a_real_access_log_is_read_whole_and_stays_quiet() {
    let reference = std::env::var("GATEWATCH_REFERENCE").expect("GATEWATCH_REFERENCE names the reference logs");
    let folder = PathBuf::from(reference).join("access-logs");
    let mut logs: Vec<PathBuf> = fs::read_dir(folder).expect("readable").map(|e| e.expect("an entry").path()).collect();
    logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    assert!(!logs.is_empty());
    let data = tempfile::tempdir().expect("a folder");
    let mut arguments = vec!["replay", "--source", "combined", "--summary", "-", "--data-dir", path(data.path())];
    arguments.extend(logs.iter().map(|log| path(log)));
    let ran = run(&arguments);
    let summary: Value = serde_json::from_str(&ran.stdout).expect("a summary");
    assert_eq!((&summary["events"], &summary["rejects"]), (&10_000.into(), &0.into()));
    let alerts = query(data.path(), "select detector, entity_value, observed, threshold, evidence from alerts_latest");
    assert!(alerts.len() <= 10, "{alerts:#?}");
}
