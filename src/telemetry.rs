//! Logs of the program itself, on standard error, as text or JSON. Standard output belongs to results.
//!
//! Never: logs a record or any part of one; alerts are the business of `respond` and the lake.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// What is logged when nobody says what.
pub const DEFAULT: &str = "warn,gatewatch=info,deltalake=error,delta_kernel=error,buoyant_kernel=error";

/// The target of the spans of traces: batches read, checkpoints, deliveries. They are no lines of the log.
pub const SPANS: &str = "gatewatch_spans";

/// A collector of spans.
pub type Collector = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging. `filter` is a tracing directive such as `info` or `gatewatch=debug`; empty is the default.
pub fn start(format: LogFormat, filter: &str, collector: Option<Collector>) -> anyhow::Result<()> {
    let filter = if filter.trim().is_empty() { DEFAULT } else { filter };
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| anyhow::anyhow!("--log {filter:?}: {e}; expected for example info or gatewatch=debug"))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let is_span = |meta: &Metadata<'_>| meta.target() == SPANS;
    let collector = collector.map(|collector| collector.with_filter(filter_fn(is_span)));
    let lines = lines.with_filter(filter.and(filter_fn(move |meta| !is_span(meta))));
    // A second start (tests in one process) keeps the first.
    let _already = tracing_subscriber::registry().with(collector).with(lines).try_init().is_err();
    Ok(())
}

/// Highest resident memory of this process so far, in bytes; 0 where the system does not tell.
pub fn rss_max_bytes() -> u64 {
    proc_status("VmHWM:")
}

/// Resident memory of this process now, in bytes; 0 where the system does not tell.
pub fn rss_bytes() -> u64 {
    proc_status("VmRSS:")
}

fn proc_status(key: &str) -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
