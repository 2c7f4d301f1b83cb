//! What a power loss or a bad disk did to a lake in a folder, found before it is opened for writing: a log entry that was cut, data
//! files that were cut, emptied or are gone.
//!
//! A cut entry was no commit: it is moved aside, positions are those of the entry before it, and its records are read again. A data
//! file whose rows are gone is taken out of its table, so that the rest can be read; its rows and offsets are named.
//!
//! Promises: changes nothing in a lake that is whole. Nothing is deleted: what is moved aside or taken out stays on the disk.
//! Never: looks into a bucket, whose store answers for what it said was stored; repairs a file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path as FsPath, PathBuf};

use deltalake::kernel::Action;
use deltalake::protocol::DeltaOperation;
use serde_json::Value;

use super::error::{During, LakeError};
use super::layout::Table;
use super::log::{Change, TableLog};
use super::{LakeConfig, place, root_url};

/// At the end of every Parquet file.
const MAGIC: &[u8; 4] = b"PAR1";

/// Something that is not as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub table: &'static str,
    /// Below the folder of the table.
    pub path: String,
    /// What is wrong, and what follows from it.
    pub what: String,
    /// Rows that are gone.
    pub rows: u64,
}

/// Looks through a lake in a folder and makes it readable again.
pub async fn mend(config: &LakeConfig) -> Result<Vec<Damage>, LakeError> {
    let root = root_url(&config.uri)?;
    let mut found = Vec::new();
    let Some(folder) = root.to_file_path().ok().filter(|_| root.scheme() == "file") else { return Ok(found) };
    for table in Table::ALL {
        let at = folder.join(table.name());
        let entries = cut_entries(table, &at).during(|| format!("look through {}", at.display()))?;
        found.extend(entries);
        let place = place(config, &root, table);
        if at.join("_delta_log").is_dir() && place.exists().await? {
            found.extend(lost_files(TableLog::open_to_rewrite(place).await?, &at).await?);
        }
    }
    Ok(found)
}

/// Moves cut entries at the end of a log aside.
fn cut_entries(table: Table, at: &FsPath) -> io::Result<Vec<Damage>> {
    let folder = at.join("_delta_log");
    let mut entries: Vec<PathBuf> = match fs::read_dir(&folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.retain(|path| is_entry(path));
    entries.sort();
    let mut found = Vec::new();
    while let Some(path) = entries.pop() {
        if is_whole(&fs::read(&path)?) {
            break;
        }
        let aside = path.with_extension("json.cut");
        fs::rename(&path, &aside)?;
        File::open(&folder)?.sync_all()?;
        found.push(Damage {
            table: table.name(),
            path: format!("_delta_log/{}", name_of(&path)),
            what: "this entry of the log was cut and was no commit: it was moved aside, and what it held is read again"
                .to_owned(),
            rows: 0,
        });
    }
    Ok(found)
}

/// `00000000000000000012.json`
fn is_entry(path: &FsPath) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    path.extension().is_some_and(|ending| ending == "json")
        && !stem.is_empty()
        && stem.bytes().all(|b| b.is_ascii_digit())
}

fn name_of(path: &FsPath) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Lines of JSON, at least one.
fn is_whole(entry: &[u8]) -> bool {
    let mut lines = entry.split(|b| *b == b'\n').filter(|line| !line.is_empty()).peekable();
    lines.peek().is_some() && lines.all(|line| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok())
}

/// Takes files out of a table that are not as they were stored.
async fn lost_files(mut log: TableLog, at: &FsPath) -> Result<Vec<Damage>, LakeError> {
    let table = log.place.name();
    let state = log.opened().snapshot().during(|| format!("read table {table}"))?;
    let (mut found, mut actions) = (Vec::new(), Vec::new());
    for file in state.log_data().iter() {
        let path = file.path().to_string();
        let Some(wrong) = wrong_with(&at.join(&path), file.size()) else { continue };
        let statistics = file.stats().and_then(|text| serde_json::from_str::<HashMap<String, Value>>(&text).ok());
        let statistics = statistics.unwrap_or_default();
        let rows = file.num_records().unwrap_or(0) as u64;
        let range = range_of(&statistics).unwrap_or_default();
        let what = format!("this data file {wrong}: it is taken out of the table, and its {rows} rows{range} are gone");
        found.push(Damage { table, path, what, rows });
        actions.push(Action::Remove(file.remove_action(true)));
    }
    if !actions.is_empty() {
        let operation = DeltaOperation::Delete { predicate: Some("files that the disk lost".to_owned()) };
        log.commit(&Change { operation, actions, sets: vec![], expects: vec![] }).await?;
    }
    Ok(found)
}

/// What is wrong with a file that should have `size` bytes.
fn wrong_with(path: &FsPath, size: i64) -> Option<String> {
    let is = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some("is not there".to_owned()),
        // It may be readable another time.
        Err(_) => return None,
    };
    let wanted = u64::try_from(size).unwrap_or(0);
    if is != wanted {
        return Some(format!("has {is} of its {wanted} bytes"));
    }
    match end_of(path) {
        Ok(end) if end != *MAGIC => Some("holds something else than rows".to_owned()),
        _ => None,
    }
}

fn end_of(path: &FsPath) -> io::Result<[u8; 4]> {
    let mut end = [0; 4];
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut end)?;
    Ok(end)
}

/// `, of source edge, offsets 100 to 200`, as far as the log says.
fn range_of(statistics: &HashMap<String, Value>) -> Option<String> {
    let (least, greatest) = (statistics.get("minValues")?, statistics.get("maxValues")?);
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let range = |name: &str, word: &str| {
        let (from, to) = (text(least.get(name)?), text(greatest.get(name)?));
        Some(if from == to { format!(", {word} {from}") } else { format!(", {word} {from} to {to}") })
    };
    let parts = [
        range("source", "source"),
        range("partition", "partition"),
        range("offset", "offsets"),
        range("time", "times"),
    ];
    Some(parts.into_iter().flatten().collect())
}
