//! `gatewatch detectors list|check|test`: detectors as code.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use detectors::Rule;

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
            writeln!(text, "{}", rule.summary_json())?;
        } else {
            writeln!(text, "{:<24} {:<9} {:<18} {}", &rule.id, rule.severity_name(), rule.entity_name(), rule.title())?;
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
        for entry in detectors::catalogue_entries() {
            let rule = detectors::parse_rule(entry.yaml, entry.name).map_err(usage)?;
            for (name, text) in entry.cases {
                tally.run(&rule, name, text, &mut report)?;
            }
        }
    }
    for path in paths {
        for file in rules::files(path).map_err(usage)? {
            let rule = detectors::parse_rule(&read_text(&file).map_err(usage)?, &file.display().to_string()).map_err(usage)?;
            tally.run_beside(&rule, &file, &mut report)?;
        }
    }
    writeln!(report, "{} cases hold, {} do not", tally.held, tally.broken)?;
    output::stdout(report.as_bytes())?;
    if tally.broken > 0 {
        return Err(Failure::Failed(anyhow::anyhow!("{} cases do not hold", tally.broken)));
    }
    if tally.held == 0 {
        return Err(usage(anyhow::anyhow!("there is no case; expected YAML files in a folder `cases` beside each detector")));
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    held: usize,
    broken: usize,
}

impl Tally {
    fn run(&mut self, rule: &Rule, name: &str, text: &str, report: &mut String) -> Result<(), Failure> {
        let case = detectors::parse_case(text, name).map_err(usage)?;
        match detectors::run_case(rule, &case) {
            Ok(()) => {
                self.held += 1;
                writeln!(report, "ok      {:<24} {name}", &rule.id)?;
            }
            Err(mismatch) => {
                self.broken += 1;
                writeln!(report, "BROKEN  {:<24} {name}\n        {mismatch}", &rule.id)?;
            }
        }
        Ok(())
    }

    fn run_beside(&mut self, rule: &Rule, file: &Path, report: &mut String) -> Result<(), Failure> {
        let folder = file.parent().unwrap_or(Path::new(".")).join("cases");
        if !folder.is_dir() {
            writeln!(report, "none    {:<24} has no folder {}", &rule.id, folder.display())?;
            return Ok(());
        }
        for case in rules::files(&folder).map_err(usage)? {
            self.run(rule, &case.display().to_string(), &read_text(&case).map_err(usage)?, report)?;
        }
        Ok(())
    }
}
