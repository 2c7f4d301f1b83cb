//! The command line: one file per verb. Results go to standard output, everything else to standard error.
//!
//! Promises: exit 0 done, 1 failed, 2 wrong usage, configuration or detector file. An error says what was wrong and what
//! was expected. A reader that goes away (`| head`) is not an error.
//! Never: does the work itself; it parses arguments, calls `app` and prints.

mod baseline;
mod check;
mod demo;
mod detectors;
mod explain;
mod output;
mod query;
mod replay;
mod run;
mod shared;
mod shell;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config;
use crate::telemetry::{self, LogFormat};

/// Security monitor for APIs: reads gateway logs, redacts secrets, detects attacks, responds, and keeps everything in
/// open tables.
#[derive(Parser)]
#[command(name = "gatewatch", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Cli {
    /// Format of the program's own log lines on standard error.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    /// What to log: error, warn, info, debug, or a tracing directive.
    #[arg(
        long,
        global = true,
        env = "GATEWATCH_LOG",
        default_value = "warn,gatewatch=info,deltalake=error,delta_kernel=error,buoyant_kernel=error"
    )]
    log: String,
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "Examples:
  gatewatch demo                                         own traffic with planted attacks, end to end
  gatewatch replay access.log --source combined          detect on a file and keep it as tables
  gatewatch query 'select endpoint, count(*) from events group by 1 order by 2 desc limit 10'
  gatewatch run --config gatewatch.yaml                  the service: Kafka in, alerts out

Exit status: 0 done, 1 failed, 2 wrong usage, configuration or detector file.";

#[derive(Subcommand)]
enum Verb {
    Demo(demo::Args),
    Replay(replay::Args),
    Run(run::Args),
    Explain(explain::Args),
    Query(query::Args),
    #[command(subcommand)]
    Detectors(detectors::Verb),
    Baseline(baseline::Args),
    Check(check::Args),
    /// Print shell completions.
    #[command(after_help = "Example:\n  gatewatch completions bash > /etc/bash_completion.d/gatewatch")]
    Completions {
        shell: clap_complete::Shell,
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
    if let Err(error) = telemetry::start(cli.log_format, &cli.log) {
        return report(&Failure::Usage(error));
    }
    // Two TLS providers are in the dependency graph; without a choice the first client would panic.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default().is_err();
    match dispatch(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn dispatch(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Demo(args) => demo::run(&args),
        Verb::Replay(args) => replay::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Query(args) => query::run(&args),
        Verb::Detectors(verb) => detectors::run(&verb),
        Verb::Baseline(args) => baseline::command(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gatewatch", &mut script);
            Ok(output::stdout(&script)?)
        }
    }
}

fn report(failure: &Failure) -> ExitCode {
    let (error, code) = match failure {
        Failure::Usage(error) => (error, 2),
        Failure::Failed(error) => (error, 1),
    };
    if output::is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    output::stderr_line(&format!("gatewatch: {error:#}"));
    ExitCode::from(code)
}

/// The environment variable that names the data folder.
fn default_data_dir() -> std::path::PathBuf {
    config::environment("GATEWATCH_DATA_DIR").unwrap_or_else(|| "gatewatch-data".to_owned()).into()
}
