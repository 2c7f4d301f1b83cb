//! `gatewatch check`: is the configuration, with everything it names, well-formed? Nothing is started or contacted.

use std::path::PathBuf;

use super::{Failure, output, usage};
use crate::{app, config::Config, service};

/// Check a configuration file and everything it names, offline.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  gatewatch check --config gatewatch.yaml")]
pub struct Args {
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::load(&args.config).map_err(usage)?;
    let parts = service::check(&config).map_err(usage)?;
    let text = format!(
        "{}: well-formed; {} sources, {} detectors, {} targets, lake {}, response {}\n",
        args.config.display(),
        config.sources.len(),
        parts.rules.len(),
        parts.targets,
        app::lake_uri(&config),
        if config.respond.dry_run { "dry run" } else { "live" },
    );
    Ok(output::stdout(text.as_bytes())?)
}
