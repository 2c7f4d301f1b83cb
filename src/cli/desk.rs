//! What the verbs over incidents and actions have in common: where the state store is, who acts, and how things are shown.
//!
//! Promises: the store is opened beside the running service; a place without one is the user's to mend and nothing is made
//! there. Text from elsewhere cannot steer a terminal.

use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use chrono::DateTime;
use clap::ValueEnum;
use schemas::alert::{Entity, Severity};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::status::screen;
use super::{Failure, output, shell, usage};
use crate::config::{self, Config, Span};
use crate::query::{self, QueryOutput};
use crate::respond::action::{scrub, steers};
use crate::respond::incident::desk::{self, DeskError};
use crate::store::{Store, StoreError};
use crate::{app, audit, clock};

/// Characters of an id in a table; the beginning is enough to name it.
const ID_SHOWN: usize = 12;

/// Whose incidents and actions.
#[derive(clap::Args)]
pub struct PlaceArgs {
    /// The data folder of the service [default: $GATEWATCH_DATA_DIR, or gatewatch-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration of the service, which names its data folder.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
}

/// In whose name.
#[derive(clap::Args)]
pub struct ActorArgs {
    /// Who does it, for the record [default: your user].
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,
}

impl ActorArgs {
    pub fn name(&self) -> Result<String, Failure> {
        match &self.actor {
            Some(name) => desk::actor(name).map_err(failure),
            None => Ok(user()),
        }
    }
}

/// The user by the name they go by: behind sudo that of whoever called it, which the environment claims, else the account's.
fn user() -> String {
    let (uid, account) = account();
    let named = [config::environment("SUDO_USER"), account].into_iter().flatten();
    let mut good = named.filter_map(|name| desk::actor(&name).ok());
    good.next().unwrap_or_else(|| format!("uid {uid}"))
}

/// The number of the user that this process belongs to, and its account's name.
pub fn account() -> (String, Option<String>) {
    let uid = std::fs::metadata("/proc/self").map(|meta| meta.uid().to_string()).unwrap_or_default();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let account = name_of(&uid, &accounts);
    (uid, account)
}

/// What the system knows of whoever acts here, for the record; what the environment says is told as a claim.
fn known() -> Value {
    let (uid, account) = account();
    let mut known = serde_json::json!({ "via": "command line", "uid": uid, "user": account });
    if let Some(caller) = config::environment("SUDO_USER") {
        known["sudo_user_claimed"] = scrub(&caller).into();
    }
    known
}

/// The name that goes with this number in a file of accounts (name:password:uid:...).
fn name_of(uid: &str, accounts: &str) -> Option<String> {
    let account = accounts.lines().find(|line| line.split(':').nth(2) == Some(uid))?;
    account.split(':').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// The state store of a service.
pub struct Place {
    pub store: Store,
    pub config: Option<Config>,
    pub runtime: Runtime,
}

impl PlaceArgs {
    pub fn open(&self) -> Result<Place, Failure> {
        let config = self.config.as_deref().map(Config::load).transpose().map_err(usage)?;
        let data_dir = match &config {
            Some(config) => config.data_dir.clone(),
            None => self.data_dir.clone().unwrap_or_else(super::default_data_dir),
        };
        let path = data_dir.join("state.db");
        let program = shell::program();
        let theirs =
            || format!("{}: this user may not use it; expected the user of the service, or root", path.display());
        match std::fs::metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(usage(anyhow!(
                    "{}: there is no such file: `{program} run` makes it; name the service's --data-dir or --config",
                    path.display()
                )));
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(usage(anyhow!(theirs()))),
            Err(error) => return Err(usage(anyhow::Error::from(error).context(path.display().to_string()))),
        }
        let runtime = app::runtime()?;
        let store = runtime.block_on(Store::open(&path)).map_err(|error| match error {
            StoreError::TooNew { .. } => usage(error),
            error => Failure::from(anyhow::Error::from(error).context(theirs())),
        })?;
        Ok(Place { store, config, runtime })
    }
}

impl Place {
    /// Asks or changes something in the store.
    pub fn ask<T, E: Into<DeskError>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
        let work = audit::in_the_name_of(known(), work);
        self.runtime.block_on(work).map_err(|error| failure(error.into()))
    }
}

/// What the user has to say differently is wrong usage; an id that is not there, or a state that does not fit, is a failure.
pub fn failure(error: DeskError) -> Failure {
    match error {
        DeskError::Short(_) | DeskError::Several { .. } | DeskError::Words { .. } => usage(error),
        error => Failure::Failed(error.into()),
    }
}

/// A length of time on the command line, in microseconds.
pub fn length_us(option: &str, text: &str) -> Result<i64, Failure> {
    text.parse::<Span>().map(|span| span.us).map_err(|error| usage(anyhow!("{option}: {error}")))
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// Aligned columns, for people.
    #[default]
    Table,
    /// JSON Lines: one object a row.
    Json,
    /// With a header; a list is JSON in its cell.
    Csv,
}

/// How one thing is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// A screen, for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// A list, as people and as programs see it.
pub struct List<'a, T> {
    /// The columns of the table.
    pub head: &'a [&'a str],
    pub row: &'a dyn Fn(&T) -> Vec<String>,
    /// The columns of CSV: keys of the JSON objects.
    pub keys: &'a [&'a str],
}

impl<T: Serialize> List<'_, T> {
    pub fn write(&self, items: &[T], format: ListFormat) -> Result<(), Failure> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        match format {
            ListFormat::Table => {
                let rows: Vec<Vec<String>> = items.iter().map(|item| (self.row)(item)).collect();
                query::write(&columns(self.head, &rows)?, query::Format::Table, &mut out)?;
            }
            ListFormat::Csv => {
                let mut rows = Vec::with_capacity(items.len());
                for item in items {
                    let object = serde_json::to_value(item).context("a row")?;
                    rows.push(self.keys.iter().map(|key| cell(&object[*key])).collect());
                }
                query::write(&columns(self.keys, &rows)?, query::Format::Csv, &mut out)?;
            }
            ListFormat::Json => {
                for item in items {
                    writeln!(out, "{}", json(item, false)?)?;
                }
            }
        }
        Ok(out.flush()?)
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => scrub(text),
        other => plain_json(&other.to_string()),
    }
}

fn columns(head: &[&str], rows: &[Vec<String>]) -> anyhow::Result<QueryOutput> {
    let fields: Vec<Field> = head.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let column =
        |at: usize| -> ArrayRef { Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row[at].as_str()))) };
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = (0..head.len()).map(column).collect();
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    Ok(QueryOutput { schema, batches: vec![batch], truncated: false })
}

/// As JSON in which no character steers a terminal.
pub fn json<T: Serialize>(item: &T, pretty: bool) -> anyhow::Result<String> {
    let text = if pretty { serde_json::to_string_pretty(item) } else { serde_json::to_string(item) };
    Ok(plain_json(&text?))
}

/// Such characters stand inside strings alone, but for the line ends of a pretty one.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !steers(c) {
            plain.push(c);
            continue;
        }
        let mut units = [0; 2];
        c.encode_utf16(&mut units).iter().for_each(|unit| plain.push_str(&format!("\\u{unit:04x}")));
    }
    plain
}

/// Shows one thing.
pub fn show<T: Serialize>(item: &T, format: ShowFormat, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let text = match format {
        ShowFormat::Json => json(item, true)? + "\n",
        ShowFormat::Text => text(),
    };
    Ok(output::stdout(text.as_bytes())?)
}

/// What was done, in a line.
pub fn told(text: &str) -> Result<(), Failure> {
    Ok(output::stdout(format!("{text}\n").as_bytes())?)
}

/// The beginning of an id.
pub fn short(id: &str) -> String {
    scrub(id).chars().take(ID_SHOWN).collect()
}

/// A text, or a dash where there is none.
pub fn or_dash(text: &str) -> String {
    let text = scrub(text);
    if text.is_empty() { "-".to_owned() } else { text }
}

pub fn entity(entity: &Entity) -> String {
    scrub(&format!("{} {}", entity.kind, entity.value))
}

pub fn severity(severity: Severity) -> String {
    format!("{severity:?}").to_lowercase()
}

/// An RFC 3339 time from now on: `3 s ago`, `in 4 s`.
pub fn ago(time: &str) -> String {
    let Ok(then) = DateTime::parse_from_rfc3339(time) else { return "-".to_owned() };
    let ms = clock::now_us() / 1_000 - then.timestamp_millis();
    if ms < 0 { format!("in {}", screen::span(-ms)) } else { format!("{} ago", screen::span(ms)) }
}

/// A time and how long ago that is.
pub fn when(time: &str) -> String {
    format!("{} ({})", scrub(time), ago(time))
}

/// A table inside a screen, below its title.
pub fn section(text: &mut String, title: &str, head: &[&str], rows: &[Vec<String>]) {
    if !rows.is_empty() {
        text.push_str(&format!("\n{title}"));
        screen::table(text, head, rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_steers_no_terminal_and_stays_the_same_value() {
        let value = serde_json::json!({ "title": "a\u{1b}[31mb\u{9b}1mc\u{202e}d\n" });
        let text = json(&value, false).expect("JSON");
        assert!(text.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
    }

    #[test]
    fn a_user_has_the_name_of_its_account() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nnoor:x:1000:1000::/home/noor:/bin/sh\n:x:7:7::/:\n";
        let named: Vec<Option<String>> = ["1000", "0", "100", "7", ""].map(|uid| name_of(uid, accounts)).to_vec();
        assert_eq!(named, [Some("noor".to_owned()), Some("root".to_owned()), None, None, None]);
    }

    #[test]
    fn csv_cells_are_plain_words_and_json_for_lists() {
        let cells: Vec<String> =
            [serde_json::json!(null), "a\nb".into(), 4.into(), serde_json::json!(["x"])].iter().map(cell).collect();
        assert_eq!(cells, ["", "a b", "4", "[\"x\"]"]);
    }
}
