//! Appending rows to a table exactly once, and the tables of actions and of the audit, which are written beside the pipeline.
//!
//! Promises: rows that carry a number are stored once per number, also by two writers of the same name.

use std::marker::PhantomData;

use arrow::array::RecordBatch;
use deltalake::kernel::Action;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::action_row::ActionRow;
use super::audit_row::AuditRow;
use super::encode::{self, DataFile};
use super::error::{During, LakeError};
use super::layout::Table;
use super::log::{Change, TableLog};
use super::{LakeConfig, check_instance, place, root_url, rows};

/// Attempts to append against another handle of the same name.
const ATTEMPTS_MAX: usize = 8;

/// Stores data files under their table. Returns the actions that would add them.
pub(crate) async fn store(
    log: &TableLog,
    files: Vec<DataFile>,
    now_us: fn() -> i64,
    data_change: bool,
) -> Result<Vec<Action>, LakeError> {
    let store = log.opened().object_store();
    let mut adds = Vec::with_capacity(files.len());
    for file in files {
        let put = store.put(&Path::from(file.path.as_str()), file.bytes.clone().into()).await;
        put.during(|| format!("store {} of table {}", file.path, log.place.name()))?;
        adds.push(Action::Add(file.add(now_us(), data_change)));
    }
    Ok(adds)
}

/// Appends the rows of a checkpoint and moves the marker to its number, unless it is there already.
pub(crate) async fn append_once(
    log: &mut TableLog,
    config: &LakeConfig,
    app_id: &str,
    number: i64,
    rows: &RecordBatch,
) -> Result<(), LakeError> {
    log.refresh().await?;
    let seen = log.marker(app_id).await?;
    if seen.is_some_and(|seen| seen >= number) {
        return Ok(());
    }
    match append_after(log, config, app_id, seen, number, rows).await {
        // A writer of the same name did it in this moment.
        Err(LakeError::Fenced { found, .. }) if found >= number => Ok(()),
        done => done,
    }
}

/// Appends rows and moves the marker from `seen` to `number`, or is fenced.
async fn append_after(
    log: &mut TableLog,
    config: &LakeConfig,
    app_id: &str,
    seen: Option<i64>,
    number: i64,
    rows: &RecordBatch,
) -> Result<(), LakeError> {
    let label = format!("{number:010}-{}", app_id.rsplit('/').next().unwrap_or("rows"));
    // Rows of a state file may have been written before some columns existed.
    let rows = encode::align(log.place.table, rows)?;
    let files = encode::encode(log.place.table, &[rows], &label, config.file_bytes_target)?;
    let actions = store(log, files, config.now_us, true).await?;
    let sets = vec![(app_id.to_string(), number)];
    let expects = vec![(app_id.to_string(), seen)];
    log.commit(&Change { operation: Change::append(), actions, sets, expects }).await?;
    Ok(())
}

/// A row that has a number of its own in its table.
pub trait Numbered {
    const TABLE: Table;

    fn number(&self) -> i64;
    fn batch(rows: &[&Self]) -> Result<RecordBatch, LakeError>;
}

impl Numbered for ActionRow {
    const TABLE: Table = Table::Actions;

    fn number(&self) -> i64 {
        self.seq
    }

    fn batch(rows: &[&ActionRow]) -> Result<RecordBatch, LakeError> {
        rows::actions(rows)
    }
}

impl Numbered for AuditRow {
    const TABLE: Table = Table::Audit;

    fn number(&self) -> i64 {
        self.n
    }

    fn batch(rows: &[&AuditRow]) -> Result<RecordBatch, LakeError> {
        rows::audit(rows)
    }
}

/// A table of numbered rows, opened by one instance. Its own handle, so that who writes it never waits for a checkpoint.
pub struct RowLog<R> {
    config: LakeConfig,
    log: TableLog,
    app_id: String,
    marker: Option<i64>,
    rows: PhantomData<fn(R)>,
}

pub type ActionLog = RowLog<ActionRow>;
pub type AuditLog = RowLog<AuditRow>;

impl<R: Numbered> RowLog<R> {
    pub async fn open(config: &LakeConfig, instance: &str) -> Result<RowLog<R>, LakeError> {
        check_instance(instance)?;
        let root = root_url(&config.uri)?;
        let mut log = TableLog::open(place(config, &root, R::TABLE)).await?;
        let app_id = format!("gatewatch/{}/{instance}", R::TABLE.name());
        let marker = log.marker(&app_id).await?;
        Ok(RowLog { config: config.clone(), log, app_id, marker, rows: PhantomData })
    }

    /// The highest row number stored.
    pub fn marker(&self) -> Option<i64> {
        self.marker
    }

    /// Appends the rows numbered above the marker and moves it to `through`. Returns how many rows were new.
    pub async fn append(&mut self, rows: &[R], through: i64) -> Result<usize, LakeError> {
        if let Some(row) = rows.iter().find(|row| row.number() > through) {
            let message = format!("row {} is above the marker {through} it is stored under", row.number());
            return Err(LakeError::rows(R::TABLE.name(), message));
        }
        for _ in 0..ATTEMPTS_MAX {
            self.log.refresh().await?;
            self.marker = self.log.marker(&self.app_id).await?;
            let new = |row: &&R| self.marker.is_none_or(|marker| row.number() > marker);
            let fresh: Vec<&R> = rows.iter().filter(new).collect();
            if fresh.is_empty() {
                return Ok(0);
            }
            let batch = R::batch(&fresh)?;
            match append_after(&mut self.log, &self.config, &self.app_id, self.marker, through, &batch).await {
                Ok(()) => {
                    self.marker = Some(through);
                    return Ok(fresh.len());
                }
                // Another handle of this name appended in this moment: see what is left to do.
                Err(LakeError::Fenced { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(LakeError::Busy { table: R::TABLE.name(), attempts: ATTEMPTS_MAX })
    }
}
