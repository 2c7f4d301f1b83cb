//! All markers of a table at once. The library reads the log anew for each one that is asked for, which takes long where many
//! lanes are taken up.
//!
//! Promises: what is returned is what the library would answer for each name.
//! Never: guesses; a log that is written in another way than ours is left to the library.

use std::collections::HashMap;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use deltalake::kernel::{Action, Version};
use deltalake::logstore::{LogStoreRef, get_actions};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

/// Entries behind the newest checkpoint of a log that are read; there are more only where checkpoints fail.
const ENTRIES_MAX: u64 = 300;
const COLUMN: &str = "txn";

/// The file that names the newest checkpoint of a log.
#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
    /// Files it is made of; one when it is not said.
    parts: Option<u64>,
}

/// The markers as they stand at this version; none when the log is not one that can be read here.
pub(crate) async fn at(store: &LogStoreRef, version: Version) -> Option<HashMap<String, i64>> {
    let (mut markers, first) = match last_checkpoint(store).await? {
        None => (HashMap::new(), 0),
        Some(checkpoint) if checkpoint.version <= version && checkpoint.parts.is_none() => {
            let path = Path::from(format!("_delta_log/{:020}.checkpoint.parquet", checkpoint.version));
            let bytes = store.object_store(None).get(&path).await.ok()?.bytes().await.ok()?;
            (of_checkpoint(bytes)?, checkpoint.version + 1)
        }
        Some(_) => return None,
    };
    if version.saturating_sub(first) > ENTRIES_MAX {
        return None;
    }
    for version in first..=version {
        let entry = store.read_commit_entry(version).await.ok()??;
        for action in get_actions(version, &entry).ok()? {
            if let Action::Txn(txn) = action {
                markers.insert(txn.app_id, txn.version);
            }
        }
    }
    Some(markers)
}

/// `Some(None)` when the log has no checkpoint yet.
async fn last_checkpoint(store: &LogStoreRef) -> Option<Option<LastCheckpoint>> {
    match store.object_store(None).get(&Path::from("_delta_log/_last_checkpoint")).await {
        Ok(found) => Some(Some(serde_json::from_slice(&found.bytes().await.ok()?).ok()?)),
        Err(Error::NotFound { .. }) => Some(None),
        Err(_) => None,
    }
}

fn of_checkpoint(bytes: Bytes) -> Option<HashMap<String, i64>> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?;
    let column = ProjectionMask::columns(builder.parquet_schema(), [COLUMN]);
    let mut markers = HashMap::new();
    for batch in builder.with_projection(column).build().ok()? {
        let batch = batch.ok()?;
        let txn = batch.column_by_name(COLUMN)?.as_struct_opt()?;
        let names = cast(txn.column_by_name("appId")?, &DataType::Utf8).ok()?;
        let versions = cast(txn.column_by_name("version")?, &DataType::Int64).ok()?;
        let (names, versions) = (names.as_string_opt::<i32>()?, versions.as_primitive_opt::<Int64Type>()?);
        for row in (0..txn.len()).filter(|row| txn.is_valid(*row)) {
            markers.insert(names.value(row).to_owned(), versions.value(row));
        }
    }
    Some(markers)
}
