//! `gatewatch detectors list|show|check|test`: detectors as code.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use detectors::Rule;
use detectors::catalogue::ENTRIES;
use serde_json::{Value, json};

use super::{Failure, output, usage};
use crate::config::{DetectorsSection, read_text};
use crate::query::nearest;
use crate::rules::{self, Found};

/// List, show, check and test detectors.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  gatewatch detectors list
  gatewatch detectors show endpoint-sweep > my-detectors/sweep/detector.yaml
  gatewatch detectors check my-detectors/
  gatewatch detectors test my-detectors/sweep/")]
pub enum Verb {
    /// The built-in detectors and those at the given paths.
    List {
        /// Files or folders with more detectors.
        paths: Vec<PathBuf>,
        /// Leave one detector out; an own one with the id of a built-in one is then listed in its place.
        #[arg(long, value_name = "ID")]
        disable: Vec<String>,
        /// One JSON object per detector, with its method, its notes and the rest.
        #[arg(long)]
        json: bool,
    },
    /// Print the file of one detector: what it sees, why it matters, what to do, and its settings.
    Show {
        /// The id of the detector.
        id: String,
        /// Files or folders with more detectors; their own come before built-in ones of the same id.
        #[arg(long, value_name = "PATH")]
        detectors: Vec<PathBuf>,
    },
    /// Check detector files: exit 2 and file, line, field and what was expected when one is broken.
    Check {
        /// Files or folders with detectors.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Run the cases beside each detector; without a path, those of the catalogue.
    Test {
        /// Files or folders with detectors.
        paths: Vec<PathBuf>,
    },
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List { paths, disable, json } => list(paths, disable, *json),
        Verb::Show { id, detectors } => show(id, detectors),
        Verb::Check { paths } => check(paths),
        Verb::Test { paths } => test(paths),
    }
}

fn list(paths: &[PathBuf], disable: &[String], json: bool) -> Result<(), Failure> {
    let section = DetectorsSection { catalogue: true, paths: paths.to_vec(), disabled: disable.to_vec() };
    let found = rules::find(&section).map_err(usage)?;
    let mut text = String::new();
    if !json {
        writeln!(text, "{:<26} {:<9} {:<20} title", "id", "severity", "entity")?;
    }
    for found in found {
        let rule = &found.rule;
        if json {
            writeln!(text, "{}", summary(&found)?)?;
        } else {
            let severity = format!("{:?}", rule.severity).to_lowercase();
            writeln!(text, "{:<26} {severity:<9} {:<20} {}", rule.id, rule.entity.to_string(), rule.title)?;
        }
    }
    Ok(output::stdout(text.as_bytes())?)
}

/// A detector as one JSON object. The method is as the file has it, in the words the documents use.
fn summary(found: &Found) -> anyhow::Result<Value> {
    let rule = &found.rule;
    let written: Value = serde_saphyr::from_str(&found.text)?;
    Ok(json!({
        "id": rule.id, "title": rule.title, "severity": rule.severity, "owasp": rule.owasp, "attack": rule.attack,
        "where": rule.filter.as_ref().map(|filter| filter.sql()), "entity": rule.entity.to_string(),
        "method": written["method"], "respond": rule.respond, "dry_run": rule.dry_run, "notes": rule.notes,
        "runbook": rule.runbook, "place": found.place,
    }))
}

fn show(id: &str, paths: &[PathBuf]) -> Result<(), Failure> {
    let mut all = rules::own(paths).map_err(usage)?;
    all.extend(rules::built_in()?);
    match all.iter().find(|found| found.rule.id == id) {
        Some(found) => Ok(output::stdout(found.text.as_bytes())?),
        None => Err(usage(unknown(id, &all))),
    }
}

fn unknown(id: &str, all: &[Found]) -> anyhow::Error {
    let ids = || all.iter().map(|found| found.rule.id.as_str());
    match nearest(id, ids()).as_slice() {
        [] => anyhow!("there is no detector `{id}`; there are: {}", ids().collect::<Vec<_>>().join(", ")),
        near => anyhow!("there is no detector `{id}`, did you mean `{}`?", near.join("` or `")),
    }
}

fn check(paths: &[PathBuf]) -> Result<(), Failure> {
    let section = DetectorsSection { catalogue: false, paths: paths.to_vec(), disabled: Vec::new() };
    let rules = rules::load(&section).map_err(usage)?;
    let built_in = rules::built_in()?;
    for rule in rules.iter().filter(|rule| built_in.iter().any(|found| found.rule.id == rule.id)) {
        let id = &rule.id;
        output::stderr_line(&format!("{id} is also in the catalogue: it can only run with that one disabled"));
    }
    let are = if rules.len() == 1 { "is" } else { "are" };
    let text = format!("{} {are} well-formed\n", output::counted(rules.len() as u64, "detector"));
    Ok(output::stdout(text.as_bytes())?)
}

/// Runs the cases and reports each that does not hold.
fn test(paths: &[PathBuf]) -> Result<(), Failure> {
    let mut report = String::new();
    let mut tally = Tally::default();
    if paths.is_empty() {
        for entry in ENTRIES {
            let rule = Arc::new(entry.rule().map_err(usage)?);
            for (name, text) in entry.cases {
                tally.run(&rule, name, text, &mut report)?;
            }
        }
    }
    for path in paths {
        for file in rules::files(path).map_err(usage)? {
            let name = file.display().to_string();
            let rule = Arc::new(detectors::parse_rule(&read_text(&file).map_err(usage)?, &name).map_err(usage)?);
            tally.run_beside(&rule, &file, &mut report)?;
        }
    }
    let (held, hold) = (output::counted(tally.held, "case"), if tally.held == 1 { "holds" } else { "hold" });
    let (broken, do_not) = (tally.broken, if tally.broken == 1 { "does not" } else { "do not" });
    writeln!(report, "{held} {hold}, {broken} {do_not}")?;
    output::stdout(report.as_bytes())?;
    if broken > 0 {
        return Err(Failure::Failed(anyhow!("{} {do_not} hold", output::counted(broken, "case"))));
    }
    if tally.held == 0 {
        return Err(usage(anyhow!("{}", tally.without.join("\n"))));
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    held: u64,
    broken: u64,
    /// What is said of detectors that have no case.
    without: Vec<String>,
}

impl Tally {
    fn run(&mut self, rule: &Arc<Rule>, name: &str, text: &str, report: &mut String) -> Result<(), Failure> {
        let case = detectors::parse_case(text, name).map_err(usage)?;
        match detectors::run_case(rule, &case) {
            Ok(()) => {
                self.held += 1;
                writeln!(report, "ok      {:<26} {name}", rule.id)?;
            }
            Err(mismatch) => {
                self.broken += 1;
                writeln!(report, "BROKEN  {:<26} {name}\n        {mismatch}", rule.id)?;
            }
        }
        Ok(())
    }

    fn run_beside(&mut self, rule: &Arc<Rule>, file: &Path, report: &mut String) -> Result<(), Failure> {
        let folder = file.parent().unwrap_or(Path::new(".")).join("cases");
        let cases = if folder.is_dir() { rules::yaml_below(&folder).map_err(usage)? } else { Vec::new() };
        if cases.is_empty() {
            let what = format!("{}: no cases; expected a folder `cases` beside it with *.yaml", file.display());
            writeln!(report, "none    {:<26} {what}", rule.id)?;
            self.without.push(what);
        }
        for case in cases {
            self.run(rule, &case.display().to_string(), &read_text(&case).map_err(usage)?, report)?;
        }
        Ok(())
    }
}
