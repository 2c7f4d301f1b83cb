//! The catalogue as a whole: every built-in detector is complete, every file beside it is used, and every case holds,
//! whole, cut into batches, and restored at the cuts.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic, and prints its seed

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detectors::catalogue::{ENTRIES, Entry};
use detectors::{Case, Rule, run_case};
use rayon::prelude::*;

fn rule(entry: &Entry) -> Rule {
    entry.rule().unwrap_or_else(|error| panic!("{error}"))
}

fn cases(entry: &Entry) -> Vec<Case> {
    entry.cases().unwrap_or_else(|error| panic!("{error}"))
}

/// A rule over every detector: `broken` returns what is wrong with it.
fn check(broken: impl Fn(&Entry, &Rule) -> Option<String>) {
    let complaints: Vec<String> = ENTRIES
        .iter()
        .filter_map(|entry| broken(entry, &rule(entry)).map(|why| format!("{}: {why}", entry.folder)))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue")
}

/// Names in a folder, sorted.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn ids_are_the_folders_names_and_unique() {
    check(|entry, rule| {
        let name = entry.folder.rsplit('/').next();
        (name != Some(rule.id.as_str())).then(|| format!("the detector in it is called {}", rule.id))
    });
    let ids: BTreeSet<String> = ENTRIES.iter().map(|entry| rule(entry).id).collect();
    assert_eq!(ids.len(), ENTRIES.len(), "two detectors share an id");
    assert!(ENTRIES.len() >= 11, "only {} detectors; did the table lose some?", ENTRIES.len());
}

#[test]
fn the_folder_above_is_the_first_owasp_risk() {
    check(|entry, rule| {
        let risk = rule.owasp.first().and_then(|label| label.split_once(':')).map(|(risk, _)| risk.to_lowercase());
        let Some(risk) = risk else { return Some("has no OWASP risk".into()) };
        let fits = entry.folder.starts_with(&format!("{risk}-"));
        (!fits).then(|| format!("its first risk is {risk}"))
    });
}

#[test]
fn an_operator_finds_what_is_needed() {
    check(|_, rule| {
        let parts = ["Sees:", "Why it matters:", "Looks the same and is harmless:", "Parameters:"];
        let missing = parts.iter().find(|part| !rule.notes.contains(*part));
        missing.map(|part| format!("its notes have no paragraph `{part}`"))
    });
    check(|_, rule| rule.attack.is_empty().then(|| "names no ATT&CK technique".into()));
    check(|_, rule| rule.respond.is_empty().then(|| "asks for no response".into()));
    check(|_, rule| {
        let steps = rule.runbook.len();
        (!(2..=4).contains(&steps)).then(|| format!("its runbook has {steps} steps, expected two to four"))
    });
    check(|_, rule| {
        let sql = rule.runbook.iter().filter(|step| step.contains("SELECT ") && step.contains("FROM events")).count();
        (sql < 1).then(|| "no step of its runbook has a query over `events`".into())
    });
}

#[test]
fn a_blocking_detector_counts_by_something_that_can_be_blocked() {
    check(|_, rule| {
        let blocks = rule.respond.iter().any(|response| response == "block");
        let entity = rule.entity.to_string();
        (blocks && !entity.contains("client_ip") && !entity.contains("credential"))
            .then(|| format!("asks to block {entity}"))
    });
}

#[test]
fn every_file_is_in_the_table() {
    let mut on_disk = Vec::new();
    for risk in names(&folder()).iter().filter(|name| folder().join(name).is_dir()) {
        for name in names(&folder().join(risk)) {
            on_disk.push(format!("{risk}/{name}"));
        }
    }
    let in_table: BTreeSet<String> = ENTRIES.iter().map(|entry| entry.folder.to_owned()).collect();
    assert_eq!(on_disk.into_iter().collect::<BTreeSet<_>>(), in_table);
    for entry in ENTRIES {
        let listed: BTreeSet<&str> = entry.cases.iter().map(|(name, _)| *name).collect();
        let there = names(&folder().join(entry.folder).join("cases"));
        assert_eq!(there.iter().map(String::as_str).collect::<BTreeSet<_>>(), listed, "{}", entry.folder);
    }
}

/// The name of a case says what it is for; each detector has at least one of each kind.
#[test]
fn cases_are_what_their_names_say() {
    for entry in ENTRIES {
        let cases = cases(entry);
        for kind in ["fires-", "near-miss-", "look-alike-"] {
            let some = entry.cases.iter().any(|(name, _)| name.starts_with(kind));
            assert!(some, "{}: no case {kind}...", entry.folder);
        }
        for ((name, _), case) in entry.cases.iter().zip(&cases) {
            let quiet = name.starts_with("near-miss-") || name.starts_with("look-alike-");
            assert!(quiet || name.starts_with("fires-"), "{}: what is {name}?", entry.folder);
            assert_eq!(case.expect.is_empty(), quiet, "{}: {name}", entry.folder);
        }
    }
}

#[test]
fn every_case_holds() {
    let complaints: Vec<String> = ENTRIES
        .par_iter()
        .flat_map_iter(|entry| {
            let rule = Arc::new(rule(entry));
            cases(entry).into_iter().filter_map(move |case| run_case(&rule, &case).err()).map(|wrong| wrong.to_string())
        })
        .collect();
    assert!(complaints.is_empty(), "{} cases do not hold:\n{}", complaints.len(), complaints.join("\n"));
}
