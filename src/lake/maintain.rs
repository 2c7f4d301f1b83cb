//! Keeping the tables small and fast: retention by day, compaction of days with many files, vacuum.
//!
//! Promises: retention only removes whole days and reads no data. Compaction changes no row; it may run beside writers
//! and beside itself, the slower one gives up. A file leaves the disk only `vacuum_after` after it left the table, so a
//! query that began before still finds it.
//! Never: runs by itself; somebody calls it on a timer.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{Days, NaiveDate, TimeDelta};
use deltalake::ObjectStore;
use deltalake::kernel::{Action, LogicalFileView};
use deltalake::operations::vacuum::VacuumMode;
use deltalake::protocol::{DeltaOperation, checkpoints};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::append;
use super::encode::{self, DayWriter};
use super::error::{During, LakeError};
use super::layout::{DAY, Table};
use super::log::{Change, Place, TableLog};
use super::{LakeConfig, place, root_url};

/// Days each table is kept. None: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetainDays {
    pub events: Option<u64>,
    pub alerts: Option<u64>,
    pub actions: Option<u64>,
    pub rejects: Option<u64>,
    pub audit: Option<u64>,
}

impl RetainDays {
    fn of(&self, table: Table) -> Option<u64> {
        match table {
            Table::Events => self.events,
            Table::Alerts => self.alerts,
            Table::Actions => self.actions,
            Table::Rejects => self.rejects,
            Table::Audit => self.audit,
        }
    }
}

/// What to keep, and how tidy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// A day with more small files than this is compacted.
    pub compact_after_files: usize,
    /// Files are merged up to this size; larger ones than half of it are left alone.
    pub target_bytes: u64,
    pub retain: RetainDays,
    /// How long a file that no table names any more stays. Must be longer than the longest query and commit.
    pub vacuum_after: Duration,
}

impl Default for Maintenance {
    fn default() -> Maintenance {
        Maintenance {
            compact_after_files: 16,
            target_bytes: super::FILE_BYTES_TARGET,
            retain: RetainDays::default(),
            vacuum_after: Duration::from_secs(86_400),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableReport {
    pub table: &'static str,
    /// Files of days that are no longer kept.
    pub expired: usize,
    /// Small files merged, and the files they became.
    pub merged: usize,
    pub written: usize,
    /// Files deleted from storage.
    pub vacuumed: usize,
}

/// What was done, a line per table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintainReport {
    pub tables: Vec<TableReport>,
}

/// One round of maintenance over all tables that exist.
pub async fn maintain(
    config: &LakeConfig,
    policy: &Maintenance,
    today: NaiveDate,
) -> Result<MaintainReport, LakeError> {
    let root = root_url(&config.uri)?;
    let mut report = MaintainReport::default();
    for table in Table::ALL {
        let place = place(config, &root, table);
        if place.exists().await? {
            report.tables.push(maintain_table(config, policy, place, today).await?);
        }
    }
    Ok(report)
}

async fn maintain_table(
    config: &LakeConfig,
    policy: &Maintenance,
    place: Place,
    today: NaiveDate,
) -> Result<TableReport, LakeError> {
    let mut report = TableReport { table: place.name(), ..TableReport::default() };
    let mut log = TableLog::open_to_rewrite(place.clone()).await?;
    let mut days = days(&log)?;
    if let Some(keep) = policy.retain.of(place.table) {
        let first_kept = today.checked_sub_days(Days::new(keep)).unwrap_or(NaiveDate::MIN);
        let kept = days.split_off(&first_kept);
        report.expired = expire(&mut log, std::mem::replace(&mut days, kept)).await?;
    }
    for (day, files) in days {
        match compact(config, policy, &mut log, day, &files).await {
            Ok((merged, written)) => {
                report.merged += merged;
                report.written += written;
            }
            // Another copy was faster. Its files are as good as ours; ours are vacuumed later.
            Err(LakeError::Replaced { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    report.vacuumed = vacuum(&place, policy.vacuum_after).await?;
    Ok(report)
}

/// The files of each day, oldest first within the day.
fn days(log: &TableLog) -> Result<BTreeMap<NaiveDate, Vec<LogicalFileView>>, LakeError> {
    let state = log.opened().snapshot().during(|| format!("read table {}", log.place.name()))?;
    let mut days: BTreeMap<NaiveDate, Vec<LogicalFileView>> = BTreeMap::new();
    for file in state.log_data().iter() {
        let day = file.partition_values_map().remove(DAY).flatten();
        // A file without a day was not written by us: it is left alone.
        if let Some(day) = day.and_then(|day| day.parse().ok()) {
            days.entry(day).or_default().push(file);
        }
    }
    for files in days.values_mut() {
        files.sort_by_key(|file| file.path().to_string());
    }
    Ok(days)
}

/// Takes whole days out of the table.
async fn expire(log: &mut TableLog, days: BTreeMap<NaiveDate, Vec<LogicalFileView>>) -> Result<usize, LakeError> {
    let Some(last) = days.keys().next_back() else { return Ok(0) };
    let operation = DeltaOperation::Delete { predicate: Some(format!("{DAY} <= '{last}'")) };
    let actions: Vec<Action> = days.values().flatten().map(|file| Action::Remove(file.remove_action(true))).collect();
    let expired = actions.len();
    match log.commit(&Change { operation, actions, sets: vec![], expects: vec![] }).await {
        Ok(_) => Ok(expired),
        // Another copy took some of them out, or merged them; the next round sees what is left.
        Err(LakeError::Replaced { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Merges the small files of one day. Returns how many were merged, into how many.
async fn compact(
    config: &LakeConfig,
    policy: &Maintenance,
    log: &mut TableLog,
    day: NaiveDate,
    files: &[LogicalFileView],
) -> Result<(usize, usize), LakeError> {
    let small = |file: &&LogicalFileView| {
        file.deletion_vector_descriptor().is_none() && (file.size() as u64) < policy.target_bytes / 2
    };
    let small: Vec<&LogicalFileView> = files.iter().filter(small).collect();
    if small.len() <= policy.compact_after_files.max(1) {
        return Ok((0, 0));
    }
    let table = log.place.table;
    let label = format!("{:010}-merged", log.version());
    let store = log.opened().object_store();
    let mut written = Vec::new();
    let mut writer = DayWriter::new(table, day, table.schema())?;
    for file in &small {
        merge_file(store.as_ref(), table, file, &mut writer).await?;
        if writer.size() >= policy.target_bytes {
            let full = std::mem::replace(&mut writer, DayWriter::new(table, day, table.schema())?);
            written.extend(append::store(log, vec![full.finish(&label)?], config.now_us, false).await?);
        }
    }
    let rest = writer.finish(&label)?;
    if rest.rows > 0 {
        written.extend(append::store(log, vec![rest], config.now_us, false).await?);
    }
    let target = i64::try_from(policy.target_bytes).unwrap_or(i64::MAX);
    let operation = DeltaOperation::Optimize { predicate: Some(format!("{DAY} = '{day}'")), target_size: target };
    let counts = (small.len(), written.len());
    let mut actions: Vec<Action> = small.iter().map(|file| Action::Remove(file.remove_action(false))).collect();
    actions.extend(written);
    log.commit(&Change { operation, actions, sets: vec![], expects: vec![] }).await?;
    Ok(counts)
}

/// Appends the rows of one file. Small files fit into memory, by definition of small.
async fn merge_file(
    store: &dyn ObjectStore,
    table: Table,
    file: &LogicalFileView,
    writer: &mut DayWriter,
) -> Result<(), LakeError> {
    let path = file.object_store_path();
    let what = || format!("read {path} of table {}", table.name());
    let bytes = store.get(&path).await.during(what)?.bytes().await.during(what)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).and_then(|builder| builder.build()).during(what)?;
    for batch in reader {
        writer.write(&encode::align(table, &batch.during(what)?)?)?;
    }
    Ok(())
}

/// Deletes files that left the table long enough ago, and log entries no reader needs.
async fn vacuum(place: &Place, after: Duration) -> Result<usize, LakeError> {
    let table = place.load().await?;
    let what = || format!("vacuum table {}", place.name());
    let keep = TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX);
    let build = |table: deltalake::DeltaTable| {
        table.vacuum().with_mode(VacuumMode::Full).with_retention_period(keep).with_enforce_retention_duration(false)
    };
    // A vacuum writes to the log even when it finds nothing, so look first.
    let (table, found) = build(table).with_dry_run(true).await.during(what)?;
    if found.files_deleted.is_empty() {
        return Ok(0);
    }
    let (table, done) = build(table).await.during(what)?;
    checkpoints::cleanup_metadata(&table, None).await.during(|| format!("clean the log of table {}", place.name()))?;
    Ok(done.files_deleted.len())
}
