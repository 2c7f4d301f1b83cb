//! `gatewatch inventory`: the endpoints that there are, and what is known of each.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use schemas::Templates;

use super::output::{counted, stderr_line};
use super::status::screen::table;
use super::{Failure, desk, shared, usage};
use crate::app;
use crate::backtest::Period;
use crate::config::{self, Config};
use crate::inventory::{self, Endpoint, Wanted};
use crate::query::QueryLimits;
use crate::respond::action::scrub;

/// How the inventory is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// JSON Lines: one object an endpoint.
    Json,
    /// An OpenAPI 3.1 document (JSON) with the endpoints that are in no document.
    Openapi,
}

/// List the endpoints that there are: since when, how much, by whom, with what authentication, documented or not.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch inventory --config gatewatch.yaml --from 30d
  gatewatch inventory --openapi shop.yaml --undocumented
  gatewatch inventory --config gatewatch.yaml --format openapi > undocumented.json

An endpoint is one that was answered (200 to 399) at least once; --all lists what was only refused or not found, too. Documents are those
of the configuration's sources and of --openapi: they say which are deprecated, and by `x-owner` and `x-risk-class`, of the
operation or its path, whose they are and how risky. Who is counted was answered.")]
pub struct Args {
    /// The configuration of the service whose lake is asked; its sources name the documents.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
    /// The data folder of demo, replay or run [default: $GATEWATCH_DATA_DIR, or gatewatch-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// An OpenAPI 3.x document, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    openapi: Vec<PathBuf>,
    /// Events since then: a time (RFC 3339) or a day, or so long ago (24h, 30d).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Events before then.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Those alone that are in no document.
    #[arg(long)]
    undocumented: bool,
    /// Those that were never answered, too.
    #[arg(long)]
    all: bool,
    /// How they are written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.as_deref().map(Config::load).transpose().map_err(usage)?;
    let mut documents: Vec<PathBuf> = args.openapi.clone();
    documents.extend(config.iter().flat_map(|config| &config.sources).flat_map(|source| source.openapi.clone()));
    documents.sort();
    documents.dedup();
    let mut operations = Vec::new();
    for path in &documents {
        let text = config::read_document(path).map_err(usage)?;
        operations.extend(Templates::operations(&text, &path.display().to_string()).map_err(usage)?);
    }
    let (from_us, to_us) = shared::period(args.from.as_deref(), args.to.as_deref()).map_err(usage)?;
    let place = shared::lake_of(config.as_ref(), args.data_dir.as_deref());
    let when = Period::sql(from_us, to_us, "time");
    let wanted = Wanted { when: &when, unanswered: args.all };
    let mut endpoints = app::runtime()?.block_on(async {
        let session = shared::session(&place, QueryLimits::default()).await?;
        inventory::list(&session, wanted, &operations).await.map_err(Failure::from)
    })?;
    if args.undocumented || args.format == Format::Openapi {
        endpoints.retain(Endpoint::is_undocumented);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    match args.format {
        Format::Table => out.write_all(screen(&endpoints).as_bytes())?,
        Format::Json => {
            for endpoint in &endpoints {
                writeln!(out, "{}", desk::json(endpoint, false)?)?;
            }
        }
        Format::Openapi => writeln!(out, "{}", desk::json(&inventory::skeleton(&endpoints), true)?)?,
    }
    out.flush()?;
    said(&endpoints, &documents);
    Ok(())
}

fn screen(endpoints: &[Endpoint]) -> String {
    let day =
        |time: &Option<String>| time.as_deref().map_or("never".to_owned(), |time| time.chars().take(10).collect());
    let row = |endpoint: &Endpoint| {
        let documented = match endpoint.documented {
            Some(true) if endpoint.deprecated => "deprecated",
            Some(true) => "yes",
            Some(false) => "no",
            None => "-",
        };
        let list = |list: &[String]| if list.is_empty() { "-".to_owned() } else { scrub(&list.join(", ")) };
        let text = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), scrub);
        let number = |number: u64| number.to_string();
        vec![
            scrub(&format!("{} {}", endpoint.method, endpoint.path)),
            day(&endpoint.first_seen),
            day(&endpoint.last_seen),
            number(endpoint.requests),
            number(endpoint.answered),
            number(endpoint.principals),
            number(endpoint.tenants),
            list(&endpoint.authentication),
            number(endpoint.anonymous),
            list(&endpoint.sensitive),
            documented.to_owned(),
            text(&endpoint.owner),
            text(&endpoint.risk),
        ]
    };
    let rows: Vec<Vec<String>> = endpoints.iter().map(row).collect();
    let mut text = String::new();
    if !rows.is_empty() {
        let head = [
            "endpoint",
            "first seen",
            "last seen",
            "requests",
            "answered",
            "principals",
            "tenants",
            "authentication",
            "anonymous",
            "sensitive",
            "documented",
            "owner",
            "risk",
        ];
        table(&mut text, &head, &rows);
    }
    text
}

fn said(endpoints: &[Endpoint], documents: &[PathBuf]) {
    let undocumented = endpoints.iter().filter(|endpoint| endpoint.is_undocumented()).count();
    let never = endpoints.iter().filter(|endpoint| endpoint.first_seen.is_none()).count();
    let of = match documents {
        [] => "no document is given (--openapi), so none says which of them are known".to_owned(),
        documents => {
            let names: Vec<String> = documents.iter().map(|path| path.display().to_string()).collect();
            format!("{undocumented} in none of {}, {never} never asked for", names.join(", "))
        }
    };
    stderr_line(&format!("{}: {of}", counted(endpoints.len() as u64, "endpoint")));
}
