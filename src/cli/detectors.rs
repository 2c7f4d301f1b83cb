//! `gatewatch detectors list|check|test`: detectors as code.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detectors::Rule;
use detectors::catalogue::ENTRIES;
use serde_json::json;

use super::{Failure, output, usage};
use crate::config::{DetectorsSection, read_text};
use crate::rules;

/// List, check and test detectors.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  gatewatch detectors list
  gatewatch detectors check my-detectors/
  gatewatch detectors test my-detectors/sweep/")]
pub enum Verb {
    /// The built-in detectors and those at the given paths.
    List {
        paths: Vec<PathBuf>,
        #[arg(long)]
        json: bool,
    },
    /// Check detector files: exit 2 and file, line, field and what was expected when one is broken.
    Check {
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Run the cases beside each detector; without a path, those of the catalogue.
    Test { paths: Vec<PathBuf> },
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List { paths, json } => list(paths, *json),
        Verb::Check { paths } => check(paths),
        Verb::Test { paths } => test(paths),
    }
}

fn list(paths: &[PathBuf], json: bool) -> Result<(), Failure> {
    let section = DetectorsSection { paths: paths.to_vec(), ..DetectorsSection::default() };
    let mut text = String::new();
    for rule in rules::load(&section).map_err(usage)? {
        if json {
            let summary = json!({
                "id": rule.id, "title": rule.title, "severity": rule.severity, "entity": rule.entity.to_string(),
                "owasp": rule.owasp, "attack": rule.attack, "respond": rule.respond, "dry_run": rule.dry_run,
            });
            writeln!(text, "{summary}")?;
        } else {
            let severity = format!("{:?}", rule.severity).to_lowercase();
            writeln!(text, "{:<26} {severity:<9} {:<20} {}", rule.id, rule.entity.to_string(), rule.title)?;
        }
    }
    Ok(output::stdout(text.as_bytes())?)
}

fn check(paths: &[PathBuf]) -> Result<(), Failure> {
    let section = DetectorsSection { catalogue: false, paths: paths.to_vec(), disabled: Vec::new() };
    let rules = rules::load(&section).map_err(usage)?;
    Ok(output::stdout(format!("{} detectors are well-formed\n", rules.len()).as_bytes())?)
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
    writeln!(report, "{} cases hold, {} do not", tally.held, tally.broken)?;
    output::stdout(report.as_bytes())?;
    if tally.broken > 0 {
        return Err(Failure::Failed(anyhow::anyhow!("{} cases do not hold", tally.broken)));
    }
    if tally.held == 0 {
        return Err(usage(anyhow::anyhow!(
            "there is no case; expected YAML files in a folder `cases` beside each detector"
        )));
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    held: usize,
    broken: usize,
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
        if !folder.is_dir() {
            writeln!(report, "none    {:<26} has no folder {}", rule.id, folder.display())?;
            return Ok(());
        }
        for case in rules::files(&folder).map_err(usage)? {
            self.run(rule, &case.display().to_string(), &read_text(&case).map_err(usage)?, report)?;
        }
        Ok(())
    }
}
