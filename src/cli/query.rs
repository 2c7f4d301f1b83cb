//! `gatewatch query`: SQL over the lake.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::{Failure, shell, usage};
use crate::app;
use crate::clock::Stopwatch;
use crate::config::Config;
use crate::query::{self, Format, QueryError, QueryLimits, QueryOutput};
use crate::trail::{self, Place};

/// Ask the tables in SQL: events, alerts, alerts_latest, actions, rejects, rejects_open, audit.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch query 'select detector, entity_value, state, opened from alerts_latest order by opened'
  gatewatch query \"select status, count(*) n from events where client_ip = '192.0.2.7' group by 1\" --format json | jq
  gatewatch query 'describe events'
  gatewatch query --config gatewatch.yaml 'select count(*) from events'

--format json writes one JSON object per row.")]
pub struct Args {
    /// One question: SELECT, DESCRIBE, SHOW TABLES or EXPLAIN.
    sql: String,
    /// The data folder of demo, replay or run [default: $GATEWATCH_DATA_DIR, or gatewatch-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration of the service whose lake is asked, wherever that is.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Most rows to print.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000)]
    rows_max: usize,
    /// Memory the query may use, in megabytes.
    #[arg(long, value_name = "MB", default_value_t = 1024)]
    memory_mb: u32,
    /// Seconds after which the query is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let answer = ask(args)?;
    let mut out = BufWriter::new(io::stdout().lock());
    query::write(&answer, args.format, &mut out)?;
    out.flush()?;
    if answer.truncated {
        super::output::stderr_line(&format!("only the first {} rows are shown; --rows-max shows more", args.rows_max));
    }
    Ok(())
}

fn ask(args: &Args) -> Result<QueryOutput, Failure> {
    let limits = QueryLimits {
        rows_max: args.rows_max,
        memory_bytes: (args.memory_mb as usize) << 20,
        timeout: std::time::Duration::from_secs(args.timeout),
    };
    let place = place(args)?;
    let (uri, options) = (place.lake.uri.clone(), place.lake.options.clone());
    let runtime = app::runtime()?;
    let answer = runtime.block_on(async {
        let took = Stopwatch::start();
        let session = query::session(&uri, &options, limits).await?;
        let answer = query::run(&session, &args.sql, limits).await;
        // Before anything is shown: what was asked is written down.
        let rows = answer.as_ref().ok().map(QueryOutput::rows);
        place.note(trail::question(&super::who(), &args.sql, rows, took.elapsed())).await;
        answer
    });
    answer.map_err(|error| match error {
        QueryError::NoLake { .. } => usage(anyhow!("{error}: {}", how_to_fill(args))),
        error if error.is_usage() => usage(error),
        error => Failure::from(error),
    })
}

/// The lake that is asked, how it is reached, and where it is written down.
fn place(args: &Args) -> Result<Place, Failure> {
    match &args.config {
        Some(path) => Ok(Place::of_config(&Config::load(path).map_err(usage)?)),
        None => Ok(Place::of_data_dir(&data_dir(args))),
    }
}

fn data_dir(args: &Args) -> PathBuf {
    args.data_dir.clone().unwrap_or_else(super::default_data_dir)
}

fn how_to_fill(args: &Args) -> String {
    let program = shell::program();
    let word = |path: &Path| shell::quoted(&path.display().to_string());
    match &args.config {
        Some(config) => format!("`{program} run --config {}` fills it", word(config)),
        None => {
            let folder = word(&data_dir(args));
            format!(
                "fill one first, for example with `{program} demo --data-dir {folder}` or \
                 `{program} replay FILE --source KIND --data-dir {folder}`"
            )
        }
    }
}
