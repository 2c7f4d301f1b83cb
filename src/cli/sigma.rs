//! `gatewatch sigma test|list`: rules of the Sigma project, unchanged.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use detectors::sigma::{Problem, Rules, columns};
use serde_json::{Value, json};

use super::{Failure, output, usage};
use crate::sigma;

/// Run Sigma rules over events, or say what of a folder of rules can run.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  gatewatch sigma list --rules sigma/rules/web
  gatewatch sigma test --rules sigma/rules/web --events events.jsonl | jq .unsupported")]
pub enum Verb {
    /// Match events and print, for each rule, the numbers of those that it matches, and which files cannot be used and why.
    #[command(after_help = "Example:
  gatewatch sigma test --rules sigma/rules/web --events events.jsonl

Prints {\"rules\": {id: [n, ...]}, \"unsupported\": {file: reason}}. docs/sigma.md says what is supported.")]
    Test {
        /// A file or a folder with rules, correlations and filters (*.yml, *.yaml).
        #[arg(long, value_name = "PATH")]
        rules: PathBuf,
        /// Events, one JSON object a line: {"n": 1, "event": {"cs-method": "GET", ...}}.
        #[arg(long, value_name = "FILE")]
        events: PathBuf,
    },
    /// Which rules can run, which not and why, and which of their fields our own events have.
    List {
        /// A file or a folder with rules, correlations and filters (*.yml, *.yaml).
        #[arg(long, value_name = "PATH")]
        rules: PathBuf,
        /// One JSON object per rule and per problem.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Test { rules, events } => test(rules, events),
        Verb::List { rules, json } => list(rules, *json),
    }
}

fn test(rules: &Path, events: &Path) -> Result<(), Failure> {
    let rules = sigma::load(rules).map_err(usage)?;
    let matches = sigma::test(&rules, events).map_err(usage)?;
    rules.notes.iter().for_each(|note| output::stderr_line(&note.to_string()));
    if matches.timeless > 0 {
        let events = output::counted(matches.timeless, "event");
        output::stderr_line(&format!(
            "{events} without a time: to correlations they are of the time of the one before"
        ));
    }
    if matches.forgotten > 0 {
        output::stderr_line(&format!("correlations forgot {} matches for want of room", matches.forgotten));
    }
    let answer = json!({"rules": matches.by_id, "unsupported": sigma::unsupported(&rules.problems)});
    Ok(output::stdout(format!("{answer}\n").as_bytes())?)
}

/// A rule or a correlation, as the list shows it.
struct Row<'a> {
    about: &'a detectors::sigma::About,
    kind: &'static str,
    told: bool,
    /// What it asks for and our own events do not have.
    missing: Vec<String>,
}

fn rows(rules: &Rules) -> Vec<Row<'_>> {
    let missing = |fields: &[String]| fields.iter().filter_map(|field| columns::column(field).err()).collect();
    let rule = |it: &'_ detectors::sigma::Ready| missing(&it.fields);
    let mut rows: Vec<Row> = Vec::new();
    for it in rules.rules() {
        rows.push(Row { about: &it.about, kind: "rule", told: it.told, missing: rule(it) });
    }
    for (about, told) in rules.correlations() {
        rows.push(Row { about, kind: "correlation", told: *told, missing: Vec::new() });
    }
    rows.sort_by(|a, b| (&a.about.file, a.about.line).cmp(&(&b.about.file, b.about.line)));
    rows
}

fn list(path: &Path, json: bool) -> Result<(), Failure> {
    let rules = sigma::load(path).map_err(usage)?;
    let rows = rows(&rules);
    let mut text = String::new();
    if json {
        for row in &rows {
            writeln!(text, "{}", row.json())?;
        }
        for problem in &rules.problems {
            writeln!(text, "{}", told(problem, "unsupported"))?;
        }
        for note in &rules.notes {
            writeln!(text, "{}", told(note, "note"))?;
        }
        return Ok(output::stdout(text.as_bytes())?);
    }
    writeln!(text, "{:<38} {:<13} {:<12} title", "id", "level", "kind")?;
    for row in &rows {
        let about = row.about;
        let level = about.level.unwrap_or("-");
        writeln!(text, "{:<38} {level:<13} {:<12} {}", about.id, row.kind, about.title)?;
        if !row.told {
            writeln!(text, "{:<38} only for a correlation that names it", "")?;
        }
        for why in &row.missing {
            writeln!(text, "{:<38} not in our own events: {why}", "")?;
        }
    }
    for problem in &rules.problems {
        writeln!(text, "unsupported: {problem}")?;
    }
    for note in &rules.notes {
        writeln!(text, "note: {note}")?;
    }
    let count = |kind: &str| rows.iter().filter(|row| row.kind == kind).count() as u64;
    let (ready, correlations) =
        (output::counted(count("rule"), "rule"), output::counted(count("correlation"), "correlation"));
    let problems = output::counted(rules.problems.len() as u64, "problem");
    let always = rules.without_literal();
    writeln!(
        text,
        "{ready} and {correlations} can run, {problems}; {always} without a literal are judged on every event"
    )?;
    Ok(output::stdout(text.as_bytes())?)
}

fn told(problem: &Problem, kind: &str) -> Value {
    json!({"kind": kind, "file": problem.file, "line": problem.line, "what": problem.what})
}

impl Row<'_> {
    fn json(&self) -> Value {
        let about = self.about;
        json!({
            "kind": self.kind, "id": about.id, "title": about.title, "level": about.level, "tags": about.tags,
            "author": about.author, "logsource": about.logsource, "file": about.file, "line": about.line,
            "told": self.told, "missing": self.missing,
        })
    }
}
