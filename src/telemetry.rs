//! Logs of the program itself, on standard error, as text or JSON. Standard output belongs to results.
//!
//! Never: logs a record or any part of one; alerts are the business of `respond` and the lake.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What is logged when nobody says what.
pub const DEFAULT: &str = "warn,gatewatch=info,deltalake=error,delta_kernel=error,buoyant_kernel=error";

/// Starts logging. `filter` is a tracing directive such as `info` or `gatewatch=debug`; empty is the default.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = if filter.trim().is_empty() { DEFAULT } else { filter };
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| anyhow::anyhow!("--log {filter:?}: {e}; expected for example info or gatewatch=debug"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start (tests in one process) keeps the first.
    let _already = match format {
        LogFormat::Text => builder.try_init().is_err(),
        LogFormat::Json => builder.json().try_init().is_err(),
    };
    Ok(())
}

/// Highest resident memory of this process so far, in bytes; 0 where the system does not tell.
pub fn rss_max_bytes() -> u64 {
    proc_status("VmHWM:")
}

fn proc_status(key: &str) -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
