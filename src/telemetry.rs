//! Logs of the program itself, on standard error, as text or JSON. Standard output belongs to results.
//!
//! Never: logs a record or any part of one; alerts are the business of `respond` and the lake.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, dynamic_filter_fn};
use tracing_subscriber::fmt::MakeWriter;
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
    // A second start (tests in one process) keeps the first.
    let _already = log(format, filter, collector, std::io::stderr)?.try_init().is_err();
    Ok(())
}

fn log<W>(format: LogFormat, filter: &str, collector: Option<Collector>, to: W) -> anyhow::Result<impl Subscriber>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = if filter.trim().is_empty() { DEFAULT } else { filter };
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| anyhow::anyhow!("--log {filter:?}: {e}; expected for example info or gatewatch=debug"))?;
    let lines =
        tracing_subscriber::fmt::layer().with_writer(to).with_target(false).with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let is_span = |meta: &Metadata<'_>| meta.target() == SPANS;
    // Dynamic: asked for each line and span. Answers that are kept are lost: a library that asks whether it would be logged, and
    // logs nothing, leaves the answer with its thread, and the thread's next line is judged by that (tracing-subscriber 0.3).
    let collector = collector.map(|collector| collector.with_filter(dynamic_filter_fn(move |meta, _| is_span(meta))));
    let lines = lines.with_filter(filter.and(dynamic_filter_fn(move |meta, _| !is_span(meta))));
    Ok(tracing_subscriber::registry().with(collector).with(lines))
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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_is_lost_behind_somebody_who_asks_and_logs_nothing() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = Lines::default();
            let to = lines.clone();
            let log = log(format, "info", None, move || to.clone()).expect("a good filter");
            tracing::subscriber::with_default(log, || {
                for n in 0..3 {
                    // As libraries do before they put a text together.
                    let _asked = tracing::enabled!(tracing::Level::TRACE);
                    tracing::warn!("the kill switch was pulled {n}");
                    tracing::warn!(target: SPANS, "no line of the log");
                }
            });
            let said = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("text");
            assert_eq!(said.lines().count(), 3, "{said}");
            assert!((0..3).all(|n| said.contains(&format!("the kill switch was pulled {n}"))), "{said}");
        }
    }
}
