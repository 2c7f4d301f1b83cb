//! `gatewatch run`: the service.

use std::path::PathBuf;

use anyhow::Context;

use super::{Failure, usage};
use crate::config::Config;
use crate::observe::trace::{self, Traces};
use crate::service::{self, Signals};
use crate::telemetry::Collector;

/// Run the service until SIGTERM or Ctrl-C: records from Kafka, files as they are written, syslog, HTTP and OpenTelemetry.
///
/// The configuration and the detectors are read again when they change, and on SIGHUP.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch check --config gatewatch.yaml
  gatewatch run --config gatewatch.yaml --log-format json")]
pub struct Args {
    /// The configuration of the service.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Args {
    /// Whoever collects traces, when the configuration names one. What is wrong with the file, `run` says.
    pub fn traces(&self) -> anyhow::Result<Option<(Traces, Collector)>> {
        let Ok(config) = Config::load(&self.config) else { return Ok(None) };
        config.observe.otlp.map(|otlp| trace::start(&otlp.endpoint, &config.instance)).transpose()
    }
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let signals = Signals::listen()?;
    let config = Config::load(&args.config).map_err(usage)?;
    let parts = service::check(&config).with_context(|| args.config.display().to_string()).map_err(usage)?;
    Ok(service::serve(&args.config, config, parts, &signals)?)
}
