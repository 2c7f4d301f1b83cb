//! Options that `replay` and `explain` have in common: how records are read, and which detectors look at them.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use schemas::SourceConfig;
use schemas::sources::KINDS;

use crate::config::{self, DetectorsSection};

/// How the records of a one-off run are read.
#[derive(clap::Args)]
pub struct SourceArgs {
    /// Format of the records.
    #[arg(long = "source", value_name = "KIND", value_parser = kinds())]
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
    /// Replace principals (names of users) by tokens, too.
    #[arg(long)]
    pub tokenise_principal: bool,
    /// The tenant of records that name none.
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
}

impl SourceArgs {
    /// The normaliser settings of the source of this name.
    pub fn config(&self, name: &str) -> anyhow::Result<SourceConfig> {
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
            kind: self.kind.clone(),
            mapping,
            log_format,
            time_zone: self.time_zone.clone(),
            trusted_proxies: self.trusted_proxy.clone(),
            tokenise_principal: self.tokenise_principal,
            tenant: self.tenant.clone(),
            ..SourceConfig::default()
        })
    }
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
    PossibleValuesParser::new(KINDS.iter().map(|kind| PossibleValue::new(kind.name).help(kind.reads)))
}
