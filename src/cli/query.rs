//! `gatewatch query`: SQL over the lake.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use super::{Failure, usage};
use crate::app;
use crate::config::Config;
use crate::query::{self, Format, QueryLimits};

/// Ask the tables in SQL: events, alerts, alerts_latest, actions, rejects.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch query 'select detector, entity_value, state, opened from alerts_latest order by opened'
  gatewatch query \"select status, count(*) n from events where client_ip = '192.0.2.7' group by 1\" --format json | jq
  gatewatch query 'describe events'
  gatewatch query --config gatewatch.yaml 'select count(*) from events'

--format json writes one JSON object per row.")]
pub struct Args {
    sql: String,
    /// The data folder of demo, replay or run.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration of the service whose lake is asked, wherever that is.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
    /// table, json, csv or arrow.
    #[arg(long, default_value = "table")]
    format: Format,
    /// Most rows to print.
    #[arg(long, default_value_t = 10_000)]
    rows_max: usize,
    /// Seconds after which the query is given up.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let limits = QueryLimits {
        rows_max: args.rows_max,
        timeout: std::time::Duration::from_secs(args.timeout),
        ..QueryLimits::default()
    };
    let (uri, options) = lake(args)?;
    let runtime = app::runtime()?;
    let answer = runtime.block_on(async {
        let session = query::session(&uri, &options, limits).await?;
        query::run(&session, &args.sql, limits).await
    })?;
    let mut out = BufWriter::new(io::stdout().lock());
    query::write(&answer, args.format, &mut out)?;
    out.flush()?;
    if answer.truncated {
        super::output::stderr_line(&format!("only the first {} rows are shown; --rows-max shows more", args.rows_max));
    }
    Ok(())
}

/// The lake that is asked, and how it is reached.
fn lake(args: &Args) -> Result<(String, HashMap<String, String>), Failure> {
    if let Some(path) = &args.config {
        let config = Config::load(path).map_err(usage)?;
        return Ok((app::lake_uri(&config), app::lake_options(&config)));
    }
    let data_dir = args.data_dir.clone().unwrap_or_else(super::default_data_dir);
    Ok((app::lake_dir(&data_dir).display().to_string(), HashMap::new()))
}
