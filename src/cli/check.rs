//! `gatewatch check`: is the configuration, with everything it names, well-formed? Nothing is started or contacted.

use std::path::PathBuf;

use anyhow::Context;

use super::output::{self, counted};
use super::{Failure, usage};
use crate::{app, config::Config, service};

/// Check a configuration file and everything it names, offline.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  gatewatch check --config gatewatch.yaml")]
pub struct Args {
    /// The configuration to check.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(usage)?;
    let parts = service::check(&config).with_context(|| args.config.display().to_string()).map_err(usage)?;
    for warning in service::warnings(&config, &parts) {
        output::stderr_line(&format!("{}: {warning}", args.config.display()));
    }
    let concerns = service::concerns(&config, &parts);
    for concern in &concerns {
        output::stderr_line(&format!("warning: {}: {}; {}", concern.about, concern.message, concern.cure));
    }
    let with = match concerns.len() {
        0 => String::new(),
        n => format!(", with {}", counted(n as u64, "warning")),
    };
    let text = format!(
        "{}: well-formed{with}; {}, {}, {}, lake {}, response {}\n",
        args.config.display(),
        counted(config.sources.len() as u64, "source"),
        counted(parts.rules.len() as u64, "detector"),
        counted(parts.targets as u64, "target"),
        app::lake_uri(&config),
        if config.respond.dry_run { "dry run" } else { "live" },
    );
    output::stdout(text.as_bytes())?;
    for doubt in service::unread(&config)?.into_iter().chain(service::doubts(&config, &parts)?) {
        output::stderr_line(&format!("warning: {doubt}"));
    }
    Ok(())
}
