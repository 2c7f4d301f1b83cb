//! One table's transaction log, written by compare-and-swap.
//!
//! A commit is one conditional put of the next log entry. Every entry that somebody else put first is read before the
//! next attempt: if it moved a marker this writer depends on, or removed a file it wants to replace, the commit is
//! refused; anything else (compaction, other lanes) is stepped over. So a commit needs neither the list of files nor
//! the library's conflict rules, which accept a marker that goes back and do not fence a writer that reloads.
//!
//! Promises: a commit succeeds at most once, also when the answer of the storage was lost.
//! Never: reads or writes data files; trusts a marker older than the log entry it commits after.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::{CommitData, TransactionError};
use deltalake::kernel::{Action, StructField, StructType, Transaction, Version};
use deltalake::logstore::{CommitOrBytes, LogStoreRef, commit_uri_from_version, get_actions};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode, checkpoints};
use deltalake::{DeltaTable, DeltaTableBuilder, ObjectStoreError, TableProperty};
use url::Url;

use super::error::{During, LakeError};
use super::layout::{DAY, Table};
use super::{markers, storage};

/// Attempts to commit against other writers.
const ATTEMPTS_MAX: usize = 100;
/// The writer version of the table format we keep to: tables of a later one may have rules we would break.
const WRITER_VERSION: i32 = 2;
/// A checkpoint of the log is written every so many entries, so that a reader need not read them all.
const LOG_CHECKPOINT_EVERY: Version = 100;

/// Where a table is and how to reach it. No Debug: the options may hold credentials.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) table: Table,
    pub(crate) url: Url,
    pub(crate) options: HashMap<String, String>,
}

impl Place {
    pub(crate) async fn load(&self) -> Result<DeltaTable, LakeError> {
        self.builder()?.load().await.during(|| format!("read table {}", self.url))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.table.name()
    }

    /// Whether there is a table here.
    pub(crate) async fn exists(&self) -> Result<bool, LakeError> {
        let table = self.builder()?.build().during(|| format!("open {}", self.url))?;
        table.verify_deltatable_existence().await.during(|| format!("look for a table in {}", self.url))
    }

    fn builder(&self) -> Result<DeltaTableBuilder, LakeError> {
        storage::table(self.url.clone(), &self.options).during(|| format!("open {}", self.url))
    }
}

/// What a commit does, and what must hold for it to be right.
pub(crate) struct Change {
    pub(crate) operation: DeltaOperation,
    /// Files added and removed.
    pub(crate) actions: Vec<Action>,
    /// Markers set: application id and version.
    pub(crate) sets: Vec<(String, i64)>,
    /// Markers that must still have these values.
    pub(crate) expects: Vec<(String, Option<i64>)>,
}

impl Change {
    /// The operation of adding rows.
    pub(crate) fn append() -> DeltaOperation {
        DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(vec![DAY.to_string()]), predicate: None }
    }

    fn adds_only(&self) -> bool {
        self.actions.iter().all(|a| matches!(a, Action::Add(_)))
    }

    fn removes(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().filter_map(|a| match a {
            Action::Remove(remove) => Some(remove.path.as_str()),
            _ => None,
        })
    }
}

/// The log of one table, as far as this writer has read it.
pub(crate) struct TableLog {
    pub(crate) place: Place,
    store: LogStoreRef,
    /// The table as it was opened: answers for markers nobody moved since.
    opened: DeltaTable,
    version: Version,
    markers: HashMap<String, Option<i64>>,
    /// All markers of the table are among them.
    all_markers: bool,
    /// Files removed since the table was opened. None when nobody counts, so that no file may be replaced.
    removed: Option<HashSet<String>>,
}

impl TableLog {
    /// Opens the table, and creates it when there is none.
    pub(crate) async fn open(place: Place) -> Result<TableLog, LakeError> {
        if !place.exists().await? {
            create(&place).await?;
        }
        let mut opened = place.load().await?;
        if let Some(missing) = check_table(place.table, &opened)? {
            add_columns(&place, opened, missing).await?;
            opened = place.load().await?;
            check_table(place.table, &opened)?;
        }
        let store = opened.log_store();
        if store.name() != "DefaultLogStore" {
            let message = format!("storage with {} is not supported: it has no conditional put", store.name());
            return Err(LakeError::Table { table: place.name(), message });
        }
        let version = opened.version().unwrap_or_default();
        Ok(TableLog { place, store, opened, version, markers: HashMap::new(), all_markers: false, removed: None })
    }

    /// Opens the table to replace files of it.
    pub(crate) async fn open_to_rewrite(place: Place) -> Result<TableLog, LakeError> {
        let mut log = TableLog::open(place).await?;
        log.removed = Some(HashSet::new());
        Ok(log)
    }

    pub(crate) fn opened(&self) -> &DeltaTable {
        &self.opened
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The value of a marker at the log entry read last.
    pub(crate) async fn marker(&mut self, app_id: &str) -> Result<Option<i64>, LakeError> {
        if let Some(known) = self.markers.get(app_id) {
            return Ok(*known);
        }
        self.read_all_markers().await;
        if self.all_markers {
            return Ok(self.markers.get(app_id).copied().flatten());
        }
        let version = match self.read_marker(app_id).await {
            Ok(version) => version,
            // The log entries it needs may have been cleaned up since the table was opened.
            Err(_) => {
                self.reload().await?;
                self.read_marker(app_id).await?
            }
        };
        self.markers.insert(app_id.to_string(), version);
        Ok(version)
    }

    /// Those that somebody moved since the table was opened are known, and newer.
    async fn read_all_markers(&mut self) {
        let opened = self.opened.version().filter(|_| !self.all_markers);
        let Some(opened) = opened else { return };
        let Some(all) = markers::at(&self.store, opened).await else { return };
        for (app_id, version) in all {
            self.markers.entry(app_id).or_insert(Some(version));
        }
        self.all_markers = true;
    }

    async fn read_marker(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        let what = || format!("read marker {app_id} of table {}", self.place.name());
        let state = self.opened.snapshot().during(what)?;
        state.transaction_version(self.store.as_ref(), app_id).await.during(what)
    }

    /// Reads what others committed since.
    pub(crate) async fn refresh(&mut self) -> Result<(), LakeError> {
        let mut moved = false;
        while let Some(entry) = self.entry(self.version + 1).await? {
            self.apply(self.version + 1, &entry).await?;
            moved = true;
        }
        // No next entry: either we are at the end, or so far behind that the entries were cleaned up.
        if !moved && self.entry_is_gone(self.version).await? {
            self.reload().await?;
        }
        Ok(())
    }

    /// Commits, or says why it must not.
    pub(crate) async fn commit(&mut self, change: &Change) -> Result<Version, LakeError> {
        for (app_id, _) in &change.expects {
            self.marker(app_id).await?;
        }
        for _ in 0..ATTEMPTS_MAX {
            self.refresh().await?;
            self.check(change)?;
            let target = self.version + 1;
            let bytes = entry_bytes(change).during(|| format!("commit to table {}", self.place.name()))?;
            let put = self.store.write_commit_entry(target, CommitOrBytes::LogBytes(bytes.clone()), Default::default());
            match put.await {
                Ok(()) => return self.committed(target, &bytes).await,
                // Someone was faster, or we were and the answer was lost: the entry itself tells.
                Err(error) => match self.entry(target).await? {
                    Some(entry) if entry == bytes => return self.committed(target, &bytes).await,
                    Some(_) => {}
                    None => return Err(error).during(|| format!("commit to table {}", self.place.name())),
                },
            }
        }
        Err(LakeError::Busy { table: self.place.name(), attempts: ATTEMPTS_MAX })
    }

    /// Forgets what was read and reads the newest state of the table.
    async fn reload(&mut self) -> Result<(), LakeError> {
        self.opened = self.place.load().await?;
        check_table(self.place.table, &self.opened)?;
        self.version = self.opened.version().unwrap_or_default();
        let known: Vec<String> = self.markers.drain().map(|(app_id, _)| app_id).collect();
        (self.removed, self.all_markers) = (None, false);
        self.read_all_markers().await;
        for app_id in known {
            if self.all_markers {
                self.markers.entry(app_id).or_insert(None);
                continue;
            }
            let version = self.read_marker(&app_id).await?;
            self.markers.insert(app_id, version);
        }
        Ok(())
    }

    fn check(&self, change: &Change) -> Result<(), LakeError> {
        for (app_id, expected) in &change.expects {
            let found = self.markers.get(app_id).copied().flatten();
            if found != *expected {
                return Err(LakeError::Fenced {
                    table: self.place.name(),
                    marker: app_id.clone(),
                    expected: expected.map_or("nothing".to_string(), |v| v.to_string()),
                    found: found.unwrap_or(-1),
                });
            }
        }
        let gone = |path: &&str| self.removed.as_ref().is_none_or(|removed| removed.contains(*path));
        match change.removes().find(gone) {
            None => Ok(()),
            Some(path) => Err(LakeError::Replaced { table: self.place.name(), path: path.to_string() }),
        }
    }

    async fn committed(&mut self, version: Version, bytes: &Bytes) -> Result<Version, LakeError> {
        self.apply(version, bytes).await?;
        if version.is_multiple_of(LOG_CHECKPOINT_EVERY)
            && let Err(error) = self.checkpoint_log().await
        {
            // The table is whole without it; readers only have more entries to read.
            tracing::warn!(table = self.place.name(), version, %error, "could not write a checkpoint of the table log");
        }
        Ok(version)
    }

    /// Writes a checkpoint of the log at its newest version.
    pub(crate) async fn checkpoint_log(&self) -> Result<(), LakeError> {
        let table = self.place.load().await?;
        let done = checkpoints::create_checkpoint(&table, None).await;
        done.during(|| format!("checkpoint the log of table {}", self.place.name()))
    }

    async fn entry(&self, version: Version) -> Result<Option<Bytes>, LakeError> {
        let read = self.store.read_commit_entry(version).await;
        read.during(|| format!("read log entry {version} of table {}", self.place.name()))
    }

    async fn entry_is_gone(&self, version: Version) -> Result<bool, LakeError> {
        use object_store::ObjectStoreExt;
        let store = self.store.object_store(None);
        match store.head(&commit_uri_from_version(Some(version))).await {
            Ok(_) => Ok(false),
            Err(ObjectStoreError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error).during(|| format!("look for log entry {version} of table {}", self.place.name())),
        }
    }

    /// Takes over one log entry.
    async fn apply(&mut self, version: Version, entry: &Bytes) -> Result<(), LakeError> {
        let actions = get_actions(version, entry).during(|| format!("read log entry {version}"))?;
        let mut changed = false;
        for action in actions {
            match action {
                Action::Txn(txn) => {
                    self.markers.insert(txn.app_id, Some(txn.version));
                }
                Action::Remove(remove) => {
                    if let Some(removed) = &mut self.removed {
                        removed.insert(remove.path);
                    }
                }
                Action::Metadata(_) | Action::Protocol(_) => changed = true,
                _ => {}
            }
        }
        self.version = version;
        if changed { self.reload().await } else { Ok(()) }
    }
}

fn entry_bytes(change: &Change) -> Result<Bytes, TransactionError> {
    let blind = ("isBlindAppend".to_string(), serde_json::Value::Bool(change.adds_only()));
    let sets = change.sets.iter().map(|(app_id, version)| Transaction::new(app_id, *version)).collect();
    CommitData::new(change.actions.clone(), change.operation.clone(), HashMap::from([blind]), sets).get_bytes()
}

async fn create(place: &Place) -> Result<(), LakeError> {
    let fields = place.table.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    match create_with(place, fields).await {
        Ok(()) => Ok(()),
        // Another copy may have created it in this moment; then it can be read.
        Err(_) if place.exists().await? => Ok(()),
        Err(error) => Err(error),
    }
}

pub(crate) async fn create_with(place: &Place, fields: Vec<Field>) -> Result<(), LakeError> {
    let table = place.builder()?.build().during(|| format!("open {}", place.url))?;
    let columns = kernel_columns(fields).map_err(|message| LakeError::Table { table: place.name(), message })?;
    let created = CreateBuilder::new()
        .with_log_store(table.log_store())
        .with_table_name(place.name())
        .with_columns(columns.fields().cloned())
        .with_partition_columns([DAY])
        .with_configuration_property(TableProperty::DataSkippingStatsColumns, Some(place.table.indexed().join(",")))
        .await;
    created.map(|_| ()).during(|| format!("create table {}", place.url))
}

/// The columns in the table format's types, `day` last.
fn columns(table: Table) -> Result<StructType, String> {
    kernel_columns(table.schema().fields().iter().map(|f| f.as_ref().clone()).collect())
}

fn kernel_columns(mut fields: Vec<Field>) -> Result<StructType, String> {
    fields.push(Field::new(DAY, DataType::Date32, false));
    (&Schema::new(fields)).try_into_kernel().map_err(|e| e.to_string())
}

/// A table made before some of today's columns existed gets them; its old rows have nulls there.
async fn add_columns(place: &Place, table: DeltaTable, missing: Vec<StructField>) -> Result<(), LakeError> {
    let names: Vec<&str> = missing.iter().map(|field| field.name().as_str()).collect();
    tracing::info!(table = place.name(), columns = names.join(", "), "adding columns to the table");
    match table.add_columns().with_fields(missing).await {
        Ok(_) => Ok(()),
        // Another copy may be adding them in this moment.
        Err(_) if check_table(place.table, &place.load().await?)?.is_none() => Ok(()),
        Err(error) => Err(error).during(|| format!("add columns to table {}", place.name())),
    }
}

/// Refuses a table this version would damage. Returns the columns it lacks, when there are any and they can be added.
fn check_table(table: Table, found: &DeltaTable) -> Result<Option<Vec<StructField>>, LakeError> {
    let refuse = |message: String| Err(LakeError::Table { table: table.name(), message });
    let state = found.snapshot().during(|| format!("read table {}", table.name()))?;
    let writer = state.protocol().min_writer_version();
    if writer > WRITER_VERSION {
        return refuse(format!("its format asks for writer version {writer}; this program writes {WRITER_VERSION}"));
    }
    let expected = columns(table).map_err(|message| LakeError::Table { table: table.name(), message })?;
    let schema = state.schema();
    let mut missing = Vec::new();
    for field in expected.fields() {
        match schema.field(field.name()) {
            None if field.is_nullable() => missing.push(field.clone()),
            None => return refuse(format!("it has no column `{}`: it was made by another program", field.name())),
            Some(there) if there.data_type() != field.data_type() => {
                let (there, here) = (there.data_type(), field.data_type());
                return refuse(format!("column `{}` is {there} there and {here} here", field.name()));
            }
            Some(_) => {}
        }
    }
    Ok((!missing.is_empty()).then_some(missing))
}
