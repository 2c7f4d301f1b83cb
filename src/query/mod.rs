//! Investigations: SQL over the tables of the lake, read-only and bounded.
//!
//! A session sees `events`, `alerts`, `actions` and `rejects` as they are when it begins; `alerts_latest`, the last
//! telling of each alert; and `rejects_open`, the rejects that did not become events later.
//!
//! Promises: only questions are answered (SELECT, EXPLAIN, SHOW, DESCRIBE); no statement reads a file outside the lake
//! or writes one; rows, memory and time are limited, and a limit that was hit is said.
//! Never: keeps a table open after the session, or spills rows to disk.

mod error;
mod format;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use futures::StreamExt;

pub use error::QueryError;
pub(crate) use error::nearest;
pub use format::{Format, write};

use crate::lake::{self, Table};

/// Consumers named when memory runs out.
const CONSUMERS_NAMED: usize = 3;
/// The last telling of each alert.
const ALERTS_LATEST: &str = "\
SELECT {columns} FROM (SELECT *, row_number() OVER (PARTITION BY id ORDER BY revision DESC) AS telling FROM alerts) \
WHERE telling = 1";

/// Rejects without those that were replayed. A row with the code `replayed` closes the reject at its position, whose code
/// is its detail.
const REJECTS_OPEN: &str = "\
SELECT {columns} FROM rejects r WHERE r.code <> 'replayed' AND NOT EXISTS (SELECT 1 FROM rejects m WHERE \
m.code = 'replayed' AND m.source = r.source AND m.\"partition\" = r.\"partition\" AND m.\"offset\" = r.\"offset\" \
AND m.detail = r.code AND m.length = r.length{element})";
const SAME_ELEMENT: &str = " AND coalesce(m.element, -1) = coalesce(r.element, -1)";

/// How much one query may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    pub rows_max: usize,
    pub memory_bytes: usize,
    pub timeout: Duration,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits { rows_max: 10_000, memory_bytes: 1 << 30, timeout: Duration::from_secs(300) }
    }
}

/// The answer of a query.
#[derive(Clone, Debug)]
pub struct QueryOutput {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    /// There were more rows than `rows_max`.
    pub truncated: bool,
}

impl QueryOutput {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Opens the tables of a lake for questions.
pub async fn session(
    lake_uri: &str,
    options: &HashMap<String, String>,
    limits: QueryLimits,
) -> Result<SessionContext, QueryError> {
    let pool = GreedyMemoryPool::new(limits.memory_bytes);
    let named = NonZeroUsize::new(CONSUMERS_NAMED).expect("more than none");
    let no_spill = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, named)))
        .with_disk_manager_builder(no_spill)
        .build_arc()
        .map_err(|e| QueryError::Failed(e.to_string()))?;
    let config = SessionConfig::new().with_information_schema(true);
    let context = SessionContext::new_with_config_rt(config, runtime);
    let mut found = 0;
    for table in Table::ALL {
        found += usize::from(register(&context, lake_uri, options, table).await?);
    }
    if found == 0 {
        return Err(QueryError::NoLake { uri: lake_uri.to_string() });
    }
    register_latest(&context).await?;
    register_open(&context).await?;
    Ok(context)
}

/// Runs one statement.
pub async fn run(context: &SessionContext, sql: &str, limits: QueryLimits) -> Result<QueryOutput, QueryError> {
    let answer = tokio::time::timeout(limits.timeout, collect(context, sql, limits.rows_max)).await;
    answer.unwrap_or(Err(QueryError::Timeout { seconds: limits.timeout.as_secs_f64() }))
}

async fn collect(context: &SessionContext, sql: &str, rows_max: usize) -> Result<QueryOutput, QueryError> {
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let fail = |e| error::explain(e, sql, context);
    let frame = context.sql_with_options(sql, read_only).await.map_err(fail)?;
    let mut stream = frame.execute_stream().await.map_err(fail)?;
    let mut output = QueryOutput { schema: stream.schema(), batches: Vec::new(), truncated: false };
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(fail)?;
        let room = rows_max - rows;
        if batch.num_rows() > room {
            output.truncated = true;
            output.batches.push(batch.slice(0, room));
            break;
        }
        rows += batch.num_rows();
        if batch.num_rows() > 0 {
            output.batches.push(batch);
        }
    }
    Ok(output)
}

/// Registers a table of the lake, if it exists.
async fn register(
    context: &SessionContext,
    lake_uri: &str,
    options: &HashMap<String, String>,
    table: Table,
) -> Result<bool, QueryError> {
    let fail = |e: deltalake::DeltaTableError| QueryError::Lake { table: table.name(), message: e.to_string() };
    let uri = if lake_uri.contains("://") {
        format!("{}/{}", lake_uri.trim_end_matches('/'), table.name())
    } else {
        let folder = Path::new(lake_uri).join(table.name());
        // Asking must not create folders, as opening for writing would.
        if !folder.is_dir() {
            return Ok(false);
        }
        folder.to_string_lossy().into_owned()
    };
    let url = lake::root_url(&uri).map_err(|e| QueryError::Lake { table: table.name(), message: e.to_string() })?;
    let mut open = lake::open_table(url, options).and_then(|builder| builder.build()).map_err(fail)?;
    if !open.verify_deltatable_existence().await.map_err(fail)? {
        return Ok(false);
    }
    open.load().await.map_err(fail)?;
    open.update_datafusion_session(&context.state()).map_err(fail)?;
    let provider = open.table_provider().await.map_err(|e| QueryError::Failed(e.to_string()))?;
    context.register_table(table.name(), provider).map_err(|e| QueryError::Failed(e.to_string()))?;
    Ok(true)
}

async fn register_latest(context: &SessionContext) -> Result<(), QueryError> {
    let fail = |e: datafusion::error::DataFusionError| QueryError::Failed(e.to_string());
    if !context.table_exist(Table::Alerts.name()).map_err(fail)? {
        return Ok(());
    }
    let alerts = context.table(Table::Alerts.name()).await.map_err(fail)?;
    let columns: Vec<String> = alerts.schema().fields().iter().map(|f| format!("\"{}\"", f.name())).collect();
    let view = context.sql(&ALERTS_LATEST.replace("{columns}", &columns.join(", "))).await.map_err(fail)?;
    context.register_table("alerts_latest", view.into_view()).map_err(fail)?;
    Ok(())
}

async fn register_open(context: &SessionContext) -> Result<(), QueryError> {
    let fail = |e: datafusion::error::DataFusionError| QueryError::Failed(e.to_string());
    if !context.table_exist(Table::Rejects.name()).map_err(fail)? {
        return Ok(());
    }
    let rejects = context.table(Table::Rejects.name()).await.map_err(fail)?;
    let names: Vec<&str> = rejects.schema().fields().iter().map(|f| f.name().as_str()).collect();
    // A table of an earlier version has no elements yet.
    let element = if names.contains(&"element") { SAME_ELEMENT } else { "" };
    let columns: Vec<String> = names.iter().map(|name| format!("r.\"{name}\"")).collect();
    let sql = REJECTS_OPEN.replace("{columns}", &columns.join(", ")).replace("{element}", element);
    let view = context.sql(&sql).await.map_err(fail)?;
    context.register_table("rejects_open", view.into_view()).map_err(fail)?;
    Ok(())
}
