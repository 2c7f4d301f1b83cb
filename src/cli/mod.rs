//! The command line: one file per verb. Results go to standard output, everything else to standard error.
//!
//! Promises: exit 0 done, 1 failed, 2 wrong usage, missing file, wrong configuration, detector or question. An error
//! says what was wrong and what was expected. A reader that goes away (`| head`) is not an error.
//! Never: does the work itself; it parses arguments, calls `app` and prints.

mod actions;
mod alerts;
mod audit;
mod backtest;
mod baseline;
mod check;
mod demo;
mod desk;
mod detectors;
mod explain;
mod incidents;
mod inventory;
mod never_block;
mod output;
mod query;
mod recognise;
mod rejects;
mod replay;
mod run;
mod shared;
mod shell;
mod sigma;
mod status;
mod suppressions;
mod token;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};

use crate::config;
use crate::observe::trace::Traces;
use crate::telemetry::{self, LogFormat};

/// Security monitor for APIs: reads gateway logs, redacts secrets, detects attacks, responds, and keeps everything in
/// open tables.
#[derive(Parser)]
#[command(name = "gatewatch", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    /// Format of the program's own log lines on standard error.
    #[arg(long, global = true, value_enum, default_value_t, help_heading = LOGGING)]
    log_format: LogFormat,
    /// What to log: error, warn, info, debug, or a tracing directive.
    #[arg(
        long,
        global = true,
        help_heading = LOGGING,
        env = "GATEWATCH_LOG",
        default_value = telemetry::DEFAULT
    )]
    log: String,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb has, below its own.
const LOGGING: &str = "Logging";
const AFTER_HELP: &str = "Examples:
  gatewatch demo                                         own traffic with planted attacks, end to end
  gatewatch replay access.log --source combined          detect on a file and keep it as tables
  gatewatch query 'select endpoint, count(*) from events group by 1 order by 2 desc limit 10'
  gatewatch run --config gatewatch.yaml                  the service: Kafka, log files, syslog and HTTP in, alerts out
  gatewatch status                                       how the running service is
  gatewatch incidents list --status open                 what is going on
  gatewatch actions halt --lift --reason TEXT            too much is blocked: let everybody go

Exit status: 0 done, 1 failed, 2 wrong usage, missing file, wrong configuration, detector or question.";

#[derive(Subcommand)]
enum Verb {
    Demo(demo::Args),
    Replay(replay::Args),
    Run(run::Args),
    Status(status::Args),
    #[command(subcommand)]
    Incidents(incidents::Verb),
    #[command(subcommand)]
    Alerts(alerts::Verb),
    #[command(subcommand)]
    Actions(actions::Verb),
    #[command(subcommand)]
    Suppressions(suppressions::Verb),
    #[command(subcommand)]
    NeverBlock(never_block::Verb),
    Explain(explain::Args),
    Query(query::Args),
    #[command(subcommand)]
    Rejects(rejects::Verb),
    #[command(subcommand)]
    Audit(audit::Verb),
    Inventory(inventory::Args),
    Token(token::Args),
    #[command(subcommand)]
    Detectors(detectors::Verb),
    #[command(subcommand)]
    Sigma(sigma::Verb),
    Backtest(backtest::Args),
    Baseline(baseline::Args),
    Check(check::Args),
    /// Print shell completions.
    #[command(after_help = "Example:\n  gatewatch completions bash > /etc/bash_completion.d/gatewatch")]
    Completions {
        /// The shell they are for.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the page of every verb into a folder.
    #[command(hide = true, after_help = "Example:\n  gatewatch man /usr/local/share/man/man1")]
    Man {
        /// Where gatewatch.1, gatewatch-run.1 and so on go; without it gatewatch.1 goes to standard output.
        folder: Option<PathBuf>,
    },
}

/// Why a verb did not do what it was asked.
pub enum Failure {
    /// The user must change something: exit 2.
    Usage(anyhow::Error),
    /// The work failed: exit 1.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(error.into())
    }
}

/// Marks an error as the user's to mend.
pub fn usage(error: impl Into<anyhow::Error>) -> Failure {
    Failure::Usage(error.into())
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let traces = match &cli.verb {
        Verb::Run(args) => args.traces(),
        _ => Ok(None),
    };
    let started = traces.and_then(|traces| {
        let (traces, collector) = traces.unzip();
        telemetry::start(cli.log_format, &cli.log, collector).map(|()| traces)
    });
    let traces = match started {
        Ok(traces) => traces,
        Err(error) => return report(&Failure::Usage(error), false),
    };
    crate::limits::raise_open_files();
    let in_the_log = matches!(cli.verb, Verb::Run(_)) && cli.log_format == LogFormat::Json;
    // Two TLS providers are in the dependency graph; without a choice the first client would panic.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default().is_err();
    let result = dispatch(cli.verb);
    traces.iter().for_each(Traces::finish);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure, in_the_log),
    }
}

fn dispatch(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Demo(args) => demo::run(&args),
        Verb::Replay(args) => replay::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Inventory(args) => inventory::run(&args),
        Verb::Incidents(verb) => incidents::run(&verb),
        Verb::Alerts(verb) => alerts::run(&verb),
        Verb::Actions(verb) => actions::run(&verb),
        Verb::Suppressions(verb) => suppressions::run(&verb),
        Verb::NeverBlock(verb) => never_block::run(&verb),
        Verb::Explain(args) => explain::run(&args),
        Verb::Query(args) => query::run(&args),
        Verb::Rejects(verb) => rejects::run(&verb),
        Verb::Audit(verb) => audit::run(&verb),
        Verb::Token(args) => token::run(&args),
        Verb::Detectors(verb) => detectors::run(&verb),
        Verb::Sigma(verb) => sigma::run(&verb),
        Verb::Backtest(args) => backtest::run(&args),
        Verb::Baseline(args) => baseline::command(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gatewatch", &mut script);
            Ok(output::stdout(&script)?)
        }
        Verb::Man { folder: None } => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            Ok(output::stdout(&page)?)
        }
        Verb::Man { folder: Some(folder) } => clap_mangen::generate_to(Cli::command(), &folder)
            .with_context(|| folder.display().to_string())
            .map_err(usage),
    }
}

/// Says why it ended: as a line of the log where a machine reads it, else as plain text.
fn report(failure: &Failure, in_the_log: bool) -> ExitCode {
    let (error, code) = match failure {
        Failure::Usage(error) => (error, 2),
        Failure::Failed(error) => (error, 1),
    };
    if output::is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let why = words(error);
    if in_the_log && tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{why}");
    } else {
        output::stderr_line(&format!("gatewatch: {why}"));
    }
    ExitCode::from(code)
}

/// An error and its causes in one line. The system's words for a missing file become ours.
fn words(error: &anyhow::Error) -> String {
    let one = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<io::Error>() {
        Some(io) if io.kind() == io::ErrorKind::NotFound && io.raw_os_error().is_some() => {
            "there is no such file".to_owned()
        }
        _ => cause.to_string(),
    };
    let mut words: Vec<String> = Vec::new();
    for cause in error.chain().map(one) {
        // Many an error repeats what it comes from.
        if !words.last().is_some_and(|before| before.contains(&cause)) {
            words.push(cause);
        }
    }
    words.join(": ")
}

/// Where tables are when nothing else was said.
fn default_data_dir() -> PathBuf {
    config::environment("GATEWATCH_DATA_DIR").unwrap_or_else(|| "gatewatch-data".to_owned()).into()
}

/// The name that the environment claims, and beside it what the system knows: the number of the user and its account.
fn who() -> String {
    let (uid, account) = desk::account();
    let name = config::environment("USER").or_else(|| config::environment("LOGNAME")).or_else(|| account.clone());
    let account = account.map_or_else(String::new, |account| format!(", account {account}"));
    let through =
        config::environment("SUDO_USER").map_or_else(String::new, |user| format!(", says by sudo from {user}"));
    format!("{} (uid {uid}{account}{through})", name.unwrap_or_else(|| "unnamed".to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    #[test]
    fn an_error_says_everything_once() {
        let inner = crate::lake::LakeError::Config("no room".to_owned());
        let error = anyhow::Error::from(crate::pipeline::PipelineError::Lake(inner)).context("run");
        assert_eq!(words(&error), "run: lake: lake configuration: no room");
    }

    /// Every verb, with those below it.
    fn verbs() -> Vec<Command> {
        let (mut all, mut next) = (Vec::new(), vec![Cli::command()]);
        while let Some(command) = next.pop() {
            next.extend(command.get_subcommands().cloned());
            all.push(command);
        }
        all
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_and_every_argument_has_a_help_text() {
        let verbs = verbs();
        assert!(verbs.len() > 12, "{} verbs", verbs.len());
        for verb in &verbs {
            let name = verb.get_name();
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains("one-off run"), "{name}: {about}");
            for argument in verb.get_arguments() {
                assert!(argument.get_help().is_some(), "{name} {}", argument.get_id());
            }
        }
    }

    #[test]
    fn every_verb_that_is_shown_has_a_manual_page() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(dispatch(Verb::Man { folder: Some(folder.path().to_owned()) }).is_ok());
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let whole = page("gatewatch.1");
        assert!(whole.contains(".TH gatewatch 1 "), "{whole}");
        for verb in Cli::command().get_subcommands() {
            let name = verb.get_name();
            let shown = !verb.is_hide_set();
            // A manual page writes `-` as `\-`.
            let named = format!("gatewatch\\-{}(1)", name.replace('-', "\\-"));
            assert_eq!(whole.contains(&named), shown, "{name}: {whole}");
            assert_eq!(page(&format!("gatewatch-{name}.1")).contains(".SH SYNOPSIS"), shown, "{name}");
        }
        assert!(page("gatewatch-rejects-list.1").contains("rejects"), "verbs below a verb have pages, too");
        let missing = dispatch(Verb::Man { folder: Some(folder.path().join("missing")) });
        assert!(matches!(missing, Err(Failure::Usage(_))), "a folder that is not there is the user's to mend");
    }

    #[test]
    fn the_kinds_of_source_are_those_of_the_table() {
        let kinds: Vec<String> = schemas::sources::KINDS.iter().map(|kind| kind.name.to_owned()).collect();
        // `rejects replay` has a --source, too: the name of one of the configuration.
        for verb in ["replay", "explain"] {
            let command = Cli::command();
            let verb = command.find_subcommand(verb).expect("a verb of the program");
            let source = verb.get_arguments().find(|argument| argument.get_long() == Some("source"));
            let values = source.expect("both have it").get_possible_values();
            let named: Vec<String> = values.iter().map(|value| value.get_name().to_owned()).collect();
            assert_eq!(named.split_first(), Some((&"auto".to_owned(), kinds.as_slice())));
        }
    }

    #[test]
    fn a_missing_file_has_one_wording() {
        let missing = io::Error::from_raw_os_error(2);
        let error = anyhow::Error::from(missing).context("a.yaml").context("sources: edge");
        assert_eq!(words(&error), "sources: edge: a.yaml: there is no such file");
        let other = anyhow::Error::from(io::Error::other("the gzip data ends early")).context("a.gz");
        assert_eq!(words(&other), "a.gz: the gzip data ends early");
    }
}
