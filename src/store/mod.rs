//! The state store: the small mutable state of the service (the outbox, the audit chain), in one embedded SQLite file.
//!
//! Promises: a committed transaction survives `kill -9` and power loss (write-ahead log, synchronous=FULL); opening brings
//! an older file up to date, one transaction per step, and refuses a newer one. One connection serves the process, so
//! transactions never collide inside it; other processes may read at the same time.
//! Never: knows what its tables mean; each part of the service owns the queries on its own tables, in SQL that PostgreSQL reads, too.
//! What only SQLite has is here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Row, Sqlite, Transaction};

use crate::clock::Stopwatch;

/// In order; the position in this table (from 1) is the file's `user_version`. Released entries are never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_outbox.sql"),
    include_str!("migrations/0002_response.sql"),
    include_str!("migrations/0003_audit.sql"),
    include_str!("migrations/0004_narrower.sql"),
    include_str!("migrations/0005_claims.sql"),
    include_str!("migrations/0006_replan.sql"),
    include_str!("migrations/0007_hours.sql"),
];

/// How long a write waits for another process before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("state store {path}: {source}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("state store {path}: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("state store {path} has version {found}; this program knows up to {known}. Use a newer Gatewatch for it")]
    TooNew { path: PathBuf, found: i64, known: usize },
    #[error("state store: {0}")]
    Query(#[from] sqlx::Error),
}

impl StoreError {
    /// Whether the same may succeed later: the disk is full or does not do as it is told, or another process writes.
    pub fn may_pass(&self) -> bool {
        let StoreError::Query(error) = self else { return false };
        // Busy, locked, input or output, full, cannot open.
        matches!(code(error), Some(5 | 6 | 10 | 13 | 14))
    }
}

#[derive(Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Open the file, making it and its folder where they do not exist, and bring it up to date.
    pub async fn open(path: &Path) -> Result<Store, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let failed = |source| StoreError::Folder { path: path.to_owned(), source };
            tokio::fs::create_dir_all(folder).await.map_err(failed)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            // It asks for each statement whether it would be logged.
            .disable_statement_logging();
        let store = Store { pool: connect(options, path).await? };
        store.migrate(path).await?;
        Ok(store)
    }

    /// A transaction that holds the right to write from its beginning, so that what it reads stays true until it commits.
    /// Dropping it, or the future that waits for any part of it, rolls it back.
    pub async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        // Not `begin_with("BEGIN IMMEDIATE")`: dropped in the middle, that leaves the connection inside the transaction
        // (sqlx 0.8). A write that changes nothing takes the same lock.
        let mut tx = self.pool.begin().await?;
        sqlx::query("DELETE FROM outbox WHERE 0").execute(&mut *tx).await?;
        Ok(tx)
    }

    /// A number that is another one after each row that this process changed.
    pub async fn changes(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT total_changes()").fetch_one(&self.pool).await?)
    }

    /// A number that is another one after another process has written.
    pub async fn version_by_others(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("PRAGMA data_version").fetch_one(&self.pool).await?)
    }

    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Write everything into the one file and close it. A store that is dropped without this loses nothing either.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn migrate(&self, path: &Path) -> Result<(), StoreError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let found: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut *tx).await?.try_get(0)?;
        let done = usize::try_from(found).unwrap_or(usize::MAX);
        if done > MIGRATIONS.len() {
            return Err(StoreError::TooNew { path: path.to_owned(), found, known: MIGRATIONS.len() });
        }
        for sql in &MIGRATIONS[done..] {
            sqlx::raw_sql(sql).execute(&mut *tx).await?;
        }
        // A pragma takes no bound parameter; the number is ours.
        sqlx::raw_sql(&format!("PRAGMA user_version = {}", MIGRATIONS.len())).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Where another process opens it at the same moment, SQLite answers at once that it is busy, without the time it was given.
async fn connect(options: SqliteConnectOptions, path: &Path) -> Result<SqlitePool, StoreError> {
    let began = Stopwatch::start();
    loop {
        match SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(source) if is_busy(&source) && began.elapsed() < BUSY_TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(source) => return Err(StoreError::Open { path: path.to_owned(), source }),
        }
    }
}

/// The low byte of what SQLite says.
fn code(error: &sqlx::Error) -> Option<u32> {
    error.as_database_error()?.code()?.parse::<u32>().ok().map(|code| code & 0xFF)
}

fn is_busy(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(5 | 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_may_make_it_at_once() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("state.db");
            let opened = futures::future::join_all((0..8).map(|_| Store::open(&path))).await;
            assert_eq!(opened.iter().filter_map(|store| store.as_ref().err()).map(ToString::to_string).next(), None);
        }
    }

    #[tokio::test]
    async fn opening_twice_keeps_what_was_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("deeper/state.db");
        let store = Store::open(&path).await.expect("opens");
        let insert = "INSERT INTO blocks VALUES ('203.0.113.7', 'waf', 'a1', 99)";
        sqlx::query(insert).execute(store.pool()).await.expect("inserts");
        drop(store);

        let store = Store::open(&path).await.expect("opens again");
        let row = sqlx::query("SELECT expires_us FROM blocks").fetch_one(store.pool()).await.expect("one row");
        assert_eq!(row.get::<i64, _>(0), 99);
        let sync = sqlx::query("PRAGMA synchronous").fetch_one(store.pool()).await.expect("a row");
        assert_eq!(sync.get::<i64, _>(0), 2, "synchronous is FULL");
        let journal = sqlx::query("PRAGMA journal_mode").fetch_one(store.pool()).await.expect("a row");
        assert_eq!(journal.get::<String, _>(0), "wal");
    }

    #[tokio::test]
    async fn a_transaction_given_up_at_any_point_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&folder.path().join("state.db")).await.expect("opens");
        let write = async || {
            let mut tx = store.begin().await?;
            sqlx::query("DELETE FROM blocks").execute(&mut *tx).await?;
            tx.commit().await?;
            Ok::<(), StoreError>(())
        };
        // Polled once more in each round before it is dropped, so every place where it waits is hit.
        for polls in 0..40 {
            let mut attempt = Box::pin(write());
            for _ in 0..polls {
                if futures::poll!(&mut attempt).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(attempt);
            write().await.unwrap_or_else(|error| panic!("after {polls} polls: {error}"));
        }
    }

    #[tokio::test]
    async fn two_processes_write_in_turn() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let (one, two) = (Store::open(&path).await.expect("opens"), Store::open(&path).await.expect("opens again"));
        let add = async |store: &Store, name: &str| {
            for n in 0..50 {
                let mut tx = store.begin().await.expect("its turn comes");
                let row = sqlx::query("SELECT count(*) FROM blocks").fetch_one(&mut *tx).await.expect("a row");
                let insert = sqlx::query("INSERT INTO blocks VALUES (?, ?, ?, ?)").bind(name).bind("waf").bind(n);
                insert.bind(row.get::<i64, _>(0)).execute(&mut *tx).await.expect("inserts");
                tx.commit().await.expect("commits");
            }
        };
        tokio::join!(add(&one, "one"), add(&two, "two"));
        // Each counted what was there and wrote the count: all differ when no two ran at once.
        let sql = "SELECT count(DISTINCT expires_us) FROM blocks";
        let row = sqlx::query(sql).fetch_one(one.pool()).await.expect("a row");
        assert_eq!(row.get::<i64, _>(0), 100);
    }

    #[tokio::test]
    async fn a_full_disk_may_pass_and_a_wrong_statement_does_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&folder.path().join("state.db")).await.expect("opens");
        // No page more than there are: what a full disk amounts to.
        let pages = sqlx::query("PRAGMA page_count").fetch_one(store.pool()).await.expect("a row").get::<i64, _>(0);
        sqlx::raw_sql(&format!("PRAGMA max_page_count = {pages}")).execute(store.pool()).await.expect("sets");
        let fill = async || -> Result<(), StoreError> {
            let mut tx = store.begin().await?;
            let insert = "INSERT INTO blocks VALUES (hex(randomblob(200000)), 'waf', 'a1', 99)";
            sqlx::query(insert).execute(&mut *tx).await?;
            Ok(tx.commit().await?)
        };
        let full = fill().await.expect_err("no room");
        assert!(full.may_pass() && full.to_string().contains("full"), "{full}");
        sqlx::raw_sql("PRAGMA max_page_count = 1000000").execute(store.pool()).await.expect("sets");
        fill().await.expect("there is room again, and nothing was left open");
        let wrong = sqlx::query("INSERT INTO nothing VALUES (1)").execute(store.pool()).await.expect_err("no table");
        assert!(!StoreError::from(wrong).may_pass());
    }

    #[tokio::test]
    async fn what_an_older_version_wants_is_asked_for_by_its_alerts() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let incident = |id: &str, verdict: &str| {
            format!(
                "INSERT INTO incidents (incident_id, revision, status, title, severity, score, score_us, subject_kind, subject_value, \
                 opened_us, updated_us, changed_us, alerts, alerts_open, entities, detectors, tenants, owasp, attack, kinds, verdict, dry_run) \
                 VALUES ('{id}', 0, 'open', '', 'high', 0, 0, '', '', 0, 0, 0, 1, 1, '', '', '', '', '', '', {verdict}, 0);"
            )
        };
        let alert = |id: &str, incident: &str, state: &str, entity: &str| {
            format!(
                "INSERT INTO incident_alerts VALUES ('{id}', '{incident}', 0, '{state}', 'd', 'high', 'client_ip', '{entity}', 0, 0, 0, '');"
            )
        };
        let wanted = |kind: &str, entity: &str, incident: &str, alert: &str, state: &str| {
            format!(
                "INSERT INTO wanted VALUES ('block', '{kind}', '{entity}', '{incident}', '{alert}', 'd', '{state}', 0, 0, 1, 0, NULL, '', 0, \
                 'high', '');"
            )
        };
        let rows = [
            format!("{}; PRAGMA user_version = 4;", MIGRATIONS[..4].join(";")),
            incident("in-1", "NULL"),
            incident("in-2", "'false'"),
            alert("al-1", "in-1", "open", "192.0.2.1"),
            alert("al-2", "in-1", "updated", "192.0.2.1"),
            alert("al-3", "in-1", "closed", "192.0.2.1"),
            alert("al-4", "in-1", "open", "192.0.2.2"),
            wanted("client_ip", "192.0.2.1", "in-1", "al-1", "active"),
            wanted("client_ip", "192.0.2.2", "in-1", "al-4", "lift"),
            wanted("client_ip", "192.0.2.3", "in-2", "al-5", "lift"),
            wanted("range", "2001:db8::/48", "in-1", "al-1", "active"),
        ];
        let older = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let older = connect(older, &path).await.expect("a file");
        sqlx::raw_sql(&rows.concat()).execute(&older).await.expect("as it was");
        older.close().await;
        let store = Store::open(&path).await.expect("opens");
        let sql = "SELECT entity_value, alert_id, let_go FROM wanted_by ORDER BY 1, 2";
        let found: Vec<(String, String, bool)> = sqlx::query_as(sql).fetch_all(store.pool()).await.expect("rows");
        let found: Vec<_> = found.iter().map(|(entity, id, let_go)| (entity.as_str(), id.as_str(), *let_go)).collect();
        let first = [("192.0.2.1", "al-1", false), ("192.0.2.1", "al-2", false)];
        assert_eq!(found, [&first[..], &[("192.0.2.2", "al-4", true), ("192.0.2.3", "al-5", false)]].concat());
        let sql = "SELECT count(*) FROM wanted_by AS b JOIN wanted AS w USING (kind, entity_kind, entity_value) \
                   WHERE b.ttl_us = 1 AND NOT b.instead AND NOT b.dropped AND w.ttl_max_us > 1";
        let alike: i64 = sqlx::query_scalar(sql).fetch_one(store.pool()).await.expect("a number");
        assert_eq!(alike, 4, "each asks for as long as it did");
    }

    #[tokio::test]
    async fn a_newer_file_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let store = Store::open(&path).await.expect("opens");
        sqlx::raw_sql("PRAGMA user_version = 999").execute(store.pool()).await.expect("sets");
        store.close().await;
        let refused = Store::open(&path).await.err().expect("refused").to_string();
        assert!(refused.contains("has version 999"), "{refused}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused_with_its_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, vec![b'x'; 8192]).expect("writes");
        let refused = Store::open(&path).await.err().expect("refused").to_string();
        assert!(refused.contains("notes.txt"), "{refused}");
    }
}
