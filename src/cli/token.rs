//! `gatewatch token`: what stands for a secret in the tables.
//!
//! Never: takes the secret as an argument (others see those), shows it, or writes anything.

use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use schemas::Domain;

use super::{Failure, output, usage};
use crate::config::{Config, KeysSection};
use crate::keys;

/// Longest secret that is read.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Print the tokens of a secret, so that its rows can be found; the secret comes from standard input.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch token < leaked-key.txt
  gatewatch token --config gatewatch.yaml --domain principal < account.txt
  gatewatch query \"select * from events where credential in ('k2026:...', 'k2025:...')\"

One line per token, those of the newest key first. A credential may be given as it stands in a header (`Bearer ...`,
`Basic ...`). An object's identifier has two tokens per key, one where it stands in a path and one where it stands in a
query; a principal has two where it is masked as well (an e-mail address).")]
pub struct Args {
    /// The data folder whose keys are used [default: $GATEWATCH_DATA_DIR, or gatewatch-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration of the service whose keys are used.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
    /// The column it is looked for in.
    #[arg(long, value_enum, default_value_t)]
    domain: Column,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Column {
    /// The column credential: keys, sessions, bearer tokens.
    #[default]
    Credential,
    /// The column object_id: identifiers in paths and queries.
    Object,
    /// The column principal: names of accounts.
    Principal,
    /// A password that stood inside a text.
    Password,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let (section, data_dir) = match &args.config {
        Some(path) => {
            let config = Config::load(path).map_err(usage)?;
            (config.keys, config.data_dir)
        }
        None => (KeysSection::default(), args.data_dir.clone().unwrap_or_else(super::default_data_dir)),
    };
    let keys = keys::existing(&section, &data_dir).map_err(usage)?;
    let domain = match args.domain {
        Column::Credential => Domain::Credential,
        Column::Object => Domain::Object,
        Column::Principal => Domain::Principal,
        Column::Password => Domain::Password,
    };
    let secret = secret().map_err(usage)?;
    let tokens = schemas::tokens(&keys, domain, &secret);
    if tokens.is_empty() {
        return Err(usage(anyhow!("this has no token: gateways write it where they removed a secret")));
    }
    Ok(output::stdout((tokens.join("\n") + "\n").as_bytes())?)
}

fn secret() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).context("standard input")?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(anyhow!("standard input: more than {SECRET_BYTES_MAX} bytes; expected one secret"));
    }
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("standard input: expected UTF-8 text"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(anyhow!("standard input is empty; expected the secret there"));
    }
    Ok(text.to_owned())
}
