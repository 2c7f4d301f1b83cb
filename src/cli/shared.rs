//! Options that `replay` and `explain` have in common: how records are read, and which detectors look at them.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::builder::{PossibleValue, PossibleValuesParser};
use datafusion::prelude::SessionContext;
use schemas::SourceConfig;
use schemas::sources::KINDS;

use super::recognise::{self, AUTO};
use super::{Failure, shell, usage};
use crate::clock;
use crate::config::{self, Config, DetectorsSection, Span};
use crate::geo::GeoFiles;
use crate::query::{self, QueryError, QueryLimits};
use crate::trail::Place;

/// How the records of a one-off run are read.
#[derive(clap::Args)]
pub struct SourceArgs {
    /// Format of the records; auto looks at the first ones and says what it recognised.
    #[arg(long = "source", value_name = "KIND", value_parser = kinds(), default_value = AUTO)]
    pub kind: String,
    /// Mapping file: what a record's fields mean. Needed by --source mapping, replaces the built-in one of the others.
    #[arg(long, value_name = "FILE")]
    pub mapping: Option<PathBuf>,
    /// nginx's log_format as it stands in nginx.conf, or @FILE with it. Needed by --source nginx.
    #[arg(long, value_name = "FORMAT")]
    pub nginx_format: Option<String>,
    /// Zone of times that name none: Europe/Berlin, +01:00.
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Proxies (CIDR) whose X-Forwarded-For is believed.
    #[arg(long, value_name = "CIDR")]
    pub trusted_proxy: Vec<String>,
    /// In the place of --trusted-proxy: how many proxies stand before the gateway.
    #[arg(long, value_name = "N", conflicts_with = "trusted_proxy", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub trusted_hops: Option<u8>,
    /// Believe the header with the client's address (X-Real-IP and the like) from trusted proxies, before the list.
    #[arg(long)]
    pub client_ip_header: bool,
    /// Database of addresses (MMDB) for country, network and coordinates; several are used in this order.
    #[arg(long, value_name = "FILE")]
    pub mmdb: Vec<PathBuf>,
    /// Replace principals (names of users) by tokens, too.
    #[arg(long)]
    pub tokenise_principal: bool,
    /// The gateway verifies every credential that it answers well, on all its paths.
    #[arg(long)]
    pub verifies_credentials: bool,
    /// The tenant of records that name none.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// OpenAPI 3.x document (YAML or JSON) of what the gateway serves: its templates name the endpoints.
    #[arg(long, value_name = "FILE")]
    pub openapi: Vec<PathBuf>,
}

impl SourceArgs {
    /// The kind of the log in `path`: the one that is named, or what its first records say.
    fn kind_of(&self, path: &Path) -> anyhow::Result<String> {
        if self.kind != AUTO {
            return Ok(self.kind.clone());
        }
        // What only one kind takes names it.
        if self.nginx_format.is_some() {
            return Ok("nginx".to_owned());
        }
        if self.mapping.is_some() { Ok("mapping".to_owned()) } else { recognise::kind_of(path) }
    }

    /// The normaliser settings of the source of this name, which reads `path`.
    pub fn config(&self, name: &str, path: &Path) -> anyhow::Result<SourceConfig> {
        let mapping = match &self.mapping {
            Some(path) => Some(schemas::Mapping::parse(&config::read_text(path)?, &path.display().to_string())?),
            None => None,
        };
        let log_format = match self.nginx_format.as_deref().map(|format| (format, format.strip_prefix('@'))) {
            Some((_, Some(path))) => Some(config::read_text(std::path::Path::new(path))?),
            Some((format, None)) => Some(format.to_owned()),
            None => None,
        };
        Ok(SourceConfig {
            name: name.to_owned(),
            kind: self.kind_of(path)?,
            mapping,
            log_format,
            time_zone: self.time_zone.clone(),
            trusted_proxies: self.trusted_proxy.clone(),
            trusted_hops: self.trusted_hops.map_or(0, usize::from),
            client_ip_header: self.client_ip_header,
            tokenise_principal: self.tokenise_principal,
            verifies_credentials: self.verifies_credentials,
            tenant: self.tenant.clone(),
            templates: config::templates(&self.openapi, &[], "")?,
            ..SourceConfig::default()
        })
    }

    /// The databases that are named.
    pub fn geo(&self) -> anyhow::Result<Option<GeoFiles>> {
        GeoFiles::open(&self.mmdb, clock::system()).context("--mmdb")
    }
}

/// A time, a day, or a length of time before now, in microseconds since 1970.
pub fn moment(option: &str, text: &str) -> anyhow::Result<i64> {
    if let Ok(span) = text.parse::<Span>() {
        return Ok(clock::now_us() - span.us);
    }
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_micros());
    }
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    day.map(|day| day.and_utc().timestamp_micros()).ok_or_else(|| {
        anyhow!("{option} {text:?}: expected a time such as 2026-06-01T00:00:00Z, a day, or a span such as 24h")
    })
}

/// What `--from` and `--to` say, in microseconds since 1970; open where nothing is said.
pub fn period(from: Option<&str>, to: Option<&str>) -> anyhow::Result<(Option<i64>, Option<i64>)> {
    let from_us = from.map(|text| moment("--from", text)).transpose()?;
    let to_us = to.map(|text| moment("--to", text)).transpose()?;
    match (from_us, to_us) {
        (Some(from), Some(to)) if from >= to => {
            Err(anyhow!("--from is not before --to: expected a period of which events can be read"))
        }
        period => Ok(period),
    }
}

/// The lake of the configuration, or below the data folder.
pub fn lake_of(config: Option<&Config>, data_dir: Option<&Path>) -> Place {
    match (config, data_dir) {
        (Some(config), _) => Place::of_config(config),
        (None, Some(data_dir)) => Place::of_data_dir(data_dir),
        (None, None) => Place::of_data_dir(&super::default_data_dir()),
    }
}

/// Opens a lake for questions; one that is not there is the user's to fill.
pub async fn session(place: &Place, limits: QueryLimits) -> Result<SessionContext, Failure> {
    let session = query::session(&place.lake.uri, &place.lake.options, limits).await;
    session.map_err(|error| match error {
        QueryError::NoLake { .. } => usage(anyhow!("{error}: `{} run` or `replay` fills it", shell::program())),
        error => Failure::from(error),
    })
}

/// Which detectors a one-off run has.
#[derive(clap::Args)]
pub struct DetectorArgs {
    /// Detectors besides the built-in catalogue: a file or a folder.
    #[arg(long, value_name = "PATH")]
    pub detectors: Vec<PathBuf>,
    /// Leave the built-in catalogue out.
    #[arg(long)]
    pub no_catalogue: bool,
    /// Leave one detector out; an own one with the id of a built-in one then runs in its place.
    #[arg(long, value_name = "ID")]
    pub disable: Vec<String>,
}

impl DetectorArgs {
    pub fn section(&self) -> DetectorsSection {
        DetectorsSection {
            catalogue: !self.no_catalogue,
            paths: self.detectors.clone(),
            disabled: self.disable.clone(),
        }
    }
}

fn kinds() -> PossibleValuesParser {
    let auto = PossibleValue::new(AUTO).help("what the first records look like; needs a file");
    let kinds = KINDS.iter().map(|kind| PossibleValue::new(kind.name).help(kind.reads));
    PossibleValuesParser::new(std::iter::once(auto).chain(kinds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_day_or_a_span() {
        assert_eq!(moment("--since", "2026-01-01T00:00:00Z").ok(), moment("--since", "2026-01-01").ok());
        assert!(moment("--since", "24h").is_ok_and(|us| us < clock::now_us()));
        assert!(moment("--since", "yesterday").is_err());
    }
}
