//! `gatewatch rejects`: what could not be read, by source and code; opened with the key; read again.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use anyhow::anyhow;
use schemas::{Keys, Lane, SourceConfig};
use serde_json::json;

use super::output::{self, counted};
use super::{Failure, shared, shell, usage};
use crate::audit::{Fact, What};
use crate::config::{self, Config, KeysSection};
use crate::lake::LakeConfig;
use crate::query::{self, Format, QueryError, QueryLimits};
use crate::rejects::{self, Counts, Filter, Replay, Report};
use crate::{app, keys, private, service, trail};

/// Positions named per line.
const NEWEST: usize = 3;

/// List records that could not be read, open them, or read them again after a mapping or version was fixed.
#[derive(clap::Subcommand)]
pub enum Verb {
    List(ListArgs),
    Open(OpenArgs),
    Replay(ReplayArgs),
}

/// List rejects by source and code: how many, since when, why, and where the newest are.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch rejects list
  gatewatch rejects list --config gatewatch.yaml --source edge --since 24h --format json | jq

`open` counts those that are no events yet, `sealed` those of them whose bytes were kept, `replayed` those that became
events later. The same in SQL: the table rejects, and the view rejects_open.")]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    which: Which,
    /// Those that came since then: a time (RFC 3339) or a day, or so long ago (24h, 7d).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Most lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Print the bytes of sealed rejects. Needs the seal key; the log says who opened what.
#[derive(clap::Args)]
#[command(
    visible_alias = "show",
    after_help = "Example:
  gatewatch rejects open edge/0/4711 --config gatewatch.yaml

The bytes are the raw record, with whatever secrets are in it."
)]
pub struct OpenArgs {
    /// Positions as `rejects list` shows them: SOURCE/PARTITION/OFFSET.
    #[arg(required = true, value_name = "POSITION")]
    positions: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Read rejects again with today's mappings; those that are events now are stored, each once.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch rejects replay --config gatewatch.yaml --dry-run
  gatewatch rejects replay --config gatewatch.yaml --source edge --code invalid_time
  gatewatch rejects replay --data-dir gatewatch-data --kind mapping --mapping shop.yaml

Replayed events keep their partition, offset and time of arrival, and have `late` set: detection does not judge them
again. It may be stopped and started at any time. --kind says how records are read that `gatewatch replay` brought in.")]
pub struct ReplayArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    which: Which,
    /// Say what would become of them; store nothing.
    #[arg(long)]
    dry_run: bool,
    /// Without --config: format of the records, as --source of `gatewatch replay`.
    #[arg(long, value_name = "KIND", conflicts_with = "config")]
    kind: Option<String>,
    /// Without --config: mapping file.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    mapping: Option<PathBuf>,
    /// Without --config: proxies (CIDR) whose X-Forwarded-For is believed.
    #[arg(long, value_name = "CIDR", conflicts_with = "config")]
    trusted_proxy: Vec<String>,
    /// Without --config: replace principals by tokens, too.
    #[arg(long, conflicts_with = "config")]
    tokenise_principal: bool,
    /// Without --config: the gateway verifies every credential that it answers well, on all its paths.
    #[arg(long, conflicts_with = "config")]
    verifies_credentials: bool,
    /// Without --config: the tenant of records that name none.
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    tenant: Option<String>,
}

/// Whose rejects.
#[derive(clap::Args)]
struct PlaceArgs {
    /// The data folder of replay or run [default: $GATEWATCH_DATA_DIR, or gatewatch-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration of the service whose rejects they are.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
}

/// Which of them.
#[derive(clap::Args)]
struct Which {
    /// Of this source alone.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// With this code alone.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
}

impl Which {
    fn filter(&self) -> Filter {
        Filter { source: self.source.clone(), code: self.code.clone(), since_us: None }
    }
}

/// A lake and the keys that belong to it.
struct Place {
    lake: LakeConfig,
    section: KeysSection,
    data_dir: PathBuf,
    config: Option<Config>,
}

impl PlaceArgs {
    fn place(&self) -> Result<Place, Failure> {
        if let Some(path) = &self.config {
            let config = Config::load(path).map_err(usage)?;
            let (section, data_dir) = (config.keys.clone(), config.data_dir.clone());
            return Ok(Place { lake: service::lake_config(&config), section, data_dir, config: Some(config) });
        }
        let data_dir = self.data_dir.clone().unwrap_or_else(super::default_data_dir);
        let lake = rejects::lake_at(&app::lake_dir(&data_dir).display().to_string(), HashMap::new());
        Ok(Place { lake, section: KeysSection::default(), data_dir, config: None })
    }
}

impl Place {
    fn trail(&self) -> trail::Place {
        match &self.config {
            Some(config) => trail::Place::of_config(config),
            None => trail::Place::of_data_dir(&self.data_dir),
        }
    }

    fn keys(&self) -> Result<Keys, Failure> {
        keys::existing(&self.section, &self.data_dir).map_err(usage)
    }
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Open(args) => open(args),
        Verb::Replay(args) => replay(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let since_us = args.since.as_deref().map(|text| shared::moment("--since", text)).transpose().map_err(usage)?;
    let filter = Filter { since_us, ..args.which.filter() };
    let place = args.place.place()?;
    let limits = QueryLimits { rows_max: args.limit.max(1), ..QueryLimits::default() };
    let answer = app::runtime()?.block_on(async {
        let session = query::session(&place.lake.uri, &place.lake.options, limits).await?;
        query::run(&session, &list_sql(&filter), limits).await
    });
    let answer = answer.map_err(lake_failure)?;
    let mut out = BufWriter::new(io::stdout().lock());
    query::write(&answer, args.format, &mut out)?;
    Ok(out.flush()?)
}

fn list_sql(filter: &Filter) -> String {
    let (open, replayed) = (filter.sql("code"), filter.sql("detail"));
    format!(
        "WITH numbered AS (SELECT *, row_number() OVER (PARTITION BY source, code ORDER BY observed_time DESC, \"offset\" \
         DESC) AS n FROM rejects_open WHERE {open}), \
         waiting AS (SELECT source, code, count(*) AS open, count(sealed) AS sealed, min(observed_time) AS \"first\", \
         max(observed_time) AS \"last\", max(CASE WHEN n = 1 THEN detail END) AS detail, \
         array_agg(concat(source, '/', CAST(\"partition\" AS VARCHAR), '/', CAST(\"offset\" AS VARCHAR)) ORDER BY n) \
         FILTER (WHERE n <= {NEWEST}) AS newest FROM numbered GROUP BY source, code), \
         done AS (SELECT source, detail AS code, count(*) AS replayed FROM rejects WHERE code = 'replayed' AND {replayed} \
         GROUP BY source, detail) \
         SELECT coalesce(w.source, d.source) AS source, coalesce(w.code, d.code) AS code, coalesce(w.open, 0) AS open, \
         coalesce(w.sealed, 0) AS sealed, coalesce(d.replayed, 0) AS replayed, w.\"first\", w.\"last\", w.detail, w.newest \
         FROM waiting w FULL OUTER JOIN done d ON w.source = d.source AND w.code = d.code \
         ORDER BY open DESC, source, code"
    )
}

fn open(args: &OpenArgs) -> Result<(), Failure> {
    let positions: Vec<(Lane, i64)> =
        args.positions.iter().map(|text| position(text)).collect::<anyhow::Result<_>>().map_err(usage)?;
    let place = args.place.place()?;
    let keys = place.keys()?;
    let runtime = app::runtime()?;
    let who = super::who();
    for (lane, offset) in positions {
        let at = format!("{lane}/{offset}");
        let opened = runtime.block_on(rejects::open(&place.lake, &keys, &lane, offset));
        let opened = opened.map_err(|error| match error.downcast::<QueryError>() {
            Ok(error) => lake_failure(error),
            Err(error) => usage(error.context(at.clone())),
        })?;
        for reject in opened {
            // Before the bytes are out: what was seen is said.
            tracing::info!(who, position = at, code = reject.code, key = reject.key, "a sealed reject is opened");
            let detail = json!({ "code": reject.code, "key": reject.key, "bytes": reject.bytes.len() });
            runtime.block_on(place.trail().note(Fact::new(What::RejectsOpened, &who, &at, detail)));
            let mut out = io::stdout().lock();
            out.write_all(&reject.bytes)?;
            if !reject.bytes.ends_with(b"\n") {
                out.write_all(b"\n")?;
            }
            out.flush()?;
        }
    }
    Ok(())
}

/// SOURCE/PARTITION/OFFSET.
fn position(text: &str) -> anyhow::Result<(Lane, i64)> {
    let parse = || {
        let (rest, offset) = text.rsplit_once('/')?;
        let (source, partition) = rest.rsplit_once('/')?;
        Some((Lane::new(source, partition.parse().ok()?), offset.parse().ok()?))
    };
    parse().ok_or_else(|| anyhow!("{text:?} is no position; expected SOURCE/PARTITION/OFFSET, for example edge/0/4711"))
}

fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let place = args.place.place()?;
    let (sources, any_source) = match &place.config {
        Some(config) => (service::source_configs(config).map_err(usage)?, None),
        None => (Vec::new(), Some(args.any_source().map_err(usage)?)),
    };
    let geo = place.config.as_ref().map(service::geo).transpose().map_err(usage)?.flatten();
    app::check_sources(&sources).and_then(|()| app::check_sources(any_source.as_slice())).map_err(usage)?;
    let runtime = app::runtime()?;
    let there = runtime.block_on(query::session(&place.lake.uri, &place.lake.options, QueryLimits::default()));
    there.map(drop).map_err(lake_failure)?;
    if !args.dry_run {
        private::data_folder(&place.data_dir, place.config.as_ref().is_none_or(service::lake_is_within))
            .map_err(usage)?;
    }
    let job = Replay {
        lake: place.lake.clone(),
        keys: place.keys()?,
        sources,
        any_source,
        geo: geo.map(|files| files.geo()),
        filter: args.which.filter(),
        dry_run: args.dry_run,
    };
    let report = runtime.block_on(rejects::replay(job)).map_err(|error| match error.downcast::<QueryError>() {
        Ok(error) => lake_failure(error),
        Err(error) => Failure::Failed(error),
    })?;
    output::stdout(told(&report, args.dry_run).as_bytes())?;
    advice(&report);
    Ok(())
}

impl ReplayArgs {
    /// How every record is read when no configuration says so.
    fn any_source(&self) -> anyhow::Result<SourceConfig> {
        let kind = self.kind.clone().ok_or_else(|| {
            let kinds: Vec<&str> = schemas::sources::KINDS.iter().map(|kind| kind.name).collect();
            anyhow!("how are the records read? Expected --config FILE, or --kind with one of {}", kinds.join(", "))
        })?;
        let mapping = match &self.mapping {
            Some(path) => Some(schemas::Mapping::parse(&config::read_text(path)?, &path.display().to_string())?),
            None => None,
        };
        Ok(SourceConfig {
            name: "any".to_owned(),
            kind,
            mapping,
            trusted_proxies: self.trusted_proxy.clone(),
            tokenise_principal: self.tokenise_principal,
            verifies_credentials: self.verifies_credentials,
            tenant: self.tenant.clone(),
            ..SourceConfig::default()
        })
    }
}

fn told(report: &Report, dry_run: bool) -> String {
    let mut text = String::new();
    for ((source, code), counts) in report {
        let (would, store) = if dry_run { ("would become ", "") } else { ("became ", " and are stored") };
        let mut parts = Vec::new();
        if counts.replayed > 0 {
            let (records, events) = (counted(counts.replayed, "reject"), counted(counts.events, "event"));
            parts.push(format!("{records} {would}{events}{store}"));
        }
        let still: u64 = counts.still.values().sum();
        if still > 0 {
            let codes: Vec<String> =
                counts.still.iter().map(|(code, n)| format!("{code} {}", output::grouped(*n))).collect();
            parts.push(format!("{} still refused ({})", output::grouped(still), codes.join(", ")));
        }
        for (number, what) in [
            (counts.no_bytes, "without their bytes"),
            (counts.no_key, "sealed with a key that is not there"),
            (counts.no_source, "of a source that is not configured"),
        ] {
            if number > 0 {
                parts.push(format!("{} {what}", output::grouped(number)));
            }
        }
        text += &format!("{source} {code}: {}\n", parts.join("; "));
    }
    if report.is_empty() {
        text = "no open rejects\n".to_owned();
    }
    text
}

/// How what could not be replayed can be, next time.
fn advice(report: &Report) {
    let sum = |of: fn(&Counts) -> u64| report.values().map(of).sum::<u64>();
    if sum(|counts| counts.no_bytes) > 0 {
        output::stderr_line(
            "rejects without their bytes cannot be replayed: they came while no seal key was set; keys.seal, or \
             keys.seal_rejects: true, keeps those that come from now on",
        );
    }
    if sum(|counts| counts.no_key) > 0 {
        output::stderr_line(
            "list every key that sealed them in keys.seal; `rejects open POSITION` names the one it lacks",
        );
    }
    if sum(|counts| counts.events) > 0 {
        output::stderr_line("detection does not judge replayed events: they are late");
    }
}

fn lake_failure(error: QueryError) -> Failure {
    match error {
        QueryError::NoLake { .. } => {
            let program = shell::program();
            usage(anyhow!("{error}: `{program} replay` or `{program} run` fills one; see --data-dir and --config"))
        }
        error if error.is_usage() => usage(error),
        error => Failure::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_from_its_end() {
        let read =
            |text: &str| position(text).ok().map(|(lane, offset)| (lane.source.to_string(), lane.partition, offset));
        assert_eq!(read("edge/0/4711"), Some(("edge".to_owned(), 0, 4711)));
        assert_eq!(read("a.log@1a2b/3/0"), Some(("a.log@1a2b".to_owned(), 3, 0)));
        for text in ["edge", "edge/4711", "edge/x/1", "edge/0/", ""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
