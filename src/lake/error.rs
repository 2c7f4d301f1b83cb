//! What can go wrong with the lake, in the words of the person who has to act on it.
//!
//! Promises: every error says which table, lane or file it is about; `is_retryable` is true only for errors where the
//! same call may succeed later without anybody changing anything.
//! Never: holds content of events.

use arrow::error::ArrowError;
use deltalake::kernel::transaction::TransactionError;
use deltalake::{DeltaTableError, ObjectStoreError};
use parquet::errors::ParquetError;

#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The configuration cannot work.
    #[error("lake configuration: {0}")]
    Config(String),
    /// Another writer moved what this one believed to own. Stop writing, open again.
    #[error("fenced: another writer moved `{marker}` of table {table} from {expected} to {found}; open the lake again")]
    Fenced { table: &'static str, marker: String, expected: String, found: i64 },
    /// A file this writer wanted to replace is gone: another copy did the same work.
    #[error("{path} of table {table} was replaced by another writer")]
    Replaced { table: &'static str, path: String },
    /// A key has the name of another one that this lake was written with.
    #[error(
        "the {kind} key `{id}` is not the one of that name which this lake was written with: bring the old one back, or \
             give the new one an id of its own"
    )]
    KeyDiffers { kind: &'static str, id: String },
    /// The caller wants to move a position back, which would count events twice.
    #[error("the position of {lane} cannot go back from {held} to {asked}")]
    Backwards { lane: String, held: i64, asked: i64 },
    /// The events table names a checkpoint whose state file is gone.
    #[error("checkpoint {checkpoint} is committed but its state file {path} is missing")]
    StateMissing { checkpoint: i64, path: String },
    /// The state file is not what was committed.
    #[error("state file {path} is damaged ({message})")]
    StateDamaged { path: String, message: String },
    /// The table is not one this version can write.
    #[error("table {table}: {message}")]
    Table { table: &'static str, message: String },
    /// Storage did not do what it was asked.
    #[error("{what}: {message}")]
    Storage { what: String, message: String, retry: bool },
    /// Too many other writers, for too long.
    #[error("table {table}: gave up after {attempts} attempts to commit, other writers were always faster")]
    Busy { table: &'static str, attempts: usize },
    /// Rows that do not fit the table: a mistake of ours.
    #[error("rows for table {table}: {message}")]
    Rows { table: &'static str, message: String },
}

impl LakeError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, LakeError::Storage { retry: true, .. } | LakeError::Busy { .. })
    }

    pub(crate) fn rows(table: &'static str, error: impl std::fmt::Display) -> LakeError {
        LakeError::Rows { table, message: error.to_string() }
    }
}

/// Adds what was attempted to an error of the storage layers.
pub(crate) trait During<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, LakeError>;
}

impl<T, E: Cause> During<T> for Result<T, E> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, LakeError> {
        self.map_err(|e| LakeError::Storage { what: what(), retry: e.retry(), message: e.text() })
    }
}

/// An error of a storage layer.
pub(crate) trait Cause {
    fn retry(&self) -> bool;
    fn text(&self) -> String;
}

impl Cause for ObjectStoreError {
    fn retry(&self) -> bool {
        matches!(self, ObjectStoreError::Generic { .. } | ObjectStoreError::JoinError { .. })
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Cause for DeltaTableError {
    fn retry(&self) -> bool {
        match self {
            DeltaTableError::ObjectStore { source } => source.retry(),
            DeltaTableError::Transaction { source } => source.retry(),
            _ => false,
        }
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Cause for TransactionError {
    fn retry(&self) -> bool {
        match self {
            TransactionError::ObjectStore { source } => source.retry(),
            TransactionError::MaxCommitAttempts(_) | TransactionError::CommitConflict(_) => true,
            _ => false,
        }
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Cause for std::io::Error {
    fn retry(&self) -> bool {
        false
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Cause for ParquetError {
    fn retry(&self) -> bool {
        false
    }
    fn text(&self) -> String {
        self.to_string()
    }
}

impl Cause for ArrowError {
    fn retry(&self) -> bool {
        false
    }
    fn text(&self) -> String {
        self.to_string()
    }
}
