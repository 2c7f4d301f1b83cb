//! Errors of a query, in words that say what to do next.
//!
//! Promises: an unknown column or table names those that are nearest; a limit names itself.

use std::collections::BTreeSet;

use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

/// Names offered in place of an unknown one.
const SUGGESTIONS_MAX: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("there is no lake in {uri}")]
    NoLake { uri: String },
    #[error("table {table} cannot be read: {message}")]
    Lake { table: &'static str, message: String },
    #[error("there is no column `{column}`{}; {}", suggest(.near), describe(.tables))]
    UnknownColumn {
        column: String,
        near: Vec<String>,
        /// Those the query asks.
        tables: Vec<String>,
    },
    #[error("there is no table `{table}`; there are: {}", .tables.join(", "))]
    UnknownTable { table: String, tables: Vec<String> },
    #[error("only questions are allowed here (SELECT, EXPLAIN, SHOW, DESCRIBE): {0}")]
    NotAQuestion(String),
    #[error("SQL: {0}")]
    Sql(String),
    #[error(
        "the query needs more memory than it may use: ask for fewer columns or a shorter time, or raise \
             --memory-mb ({0})"
    )]
    Memory(String),
    #[error(
        "the query took longer than {seconds} seconds: ask for a shorter time (`day = DATE '2026-01-31'` reads one day), or raise --timeout"
    )]
    Timeout { seconds: f64 },
    #[error("the query failed: {0}")]
    Failed(String),
    #[error("writing the answer: {0}")]
    Output(String),
}

impl QueryError {
    /// Whether the question, or where it was asked, has to change.
    pub fn is_usage(&self) -> bool {
        match self {
            QueryError::NoLake { .. }
            | QueryError::UnknownColumn { .. }
            | QueryError::UnknownTable { .. }
            | QueryError::NotAQuestion(_)
            | QueryError::Sql(_) => true,
            QueryError::Lake { .. }
            | QueryError::Memory(_)
            | QueryError::Timeout { .. }
            | QueryError::Failed(_)
            | QueryError::Output(_) => false,
        }
    }
}

fn suggest(near: &[String]) -> String {
    match near {
        [] => String::new(),
        [one] => format!(", did you mean `{one}`?"),
        several => format!(", did you mean one of `{}`?", several.join("`, `")),
    }
}

/// Which statement lists the columns of these tables.
fn describe(tables: &[String]) -> String {
    match tables {
        [] => "`DESCRIBE` and the name of a table lists its columns".to_owned(),
        [one] => format!("`DESCRIBE {one}` lists the columns"),
        several => format!("`DESCRIBE {}` list the columns", several.join("` and `DESCRIBE ")),
    }
}

/// The planner's error in our words.
pub(crate) fn explain(error: DataFusionError, sql: &str, context: &SessionContext) -> QueryError {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => QueryError::UnknownColumn {
                column: field.name.clone(),
                near: nearest(&field.name, valid_fields.iter().map(|f| f.name.as_str())),
                tables: asked(valid_fields, sql, context),
            },
            other => QueryError::Sql(other.to_string()),
        },
        DataFusionError::SQL(parser, _) => QueryError::Sql(format!("{parser}{}", hint(sql))),
        DataFusionError::ResourcesExhausted(message) => QueryError::Memory(message.lines().next().unwrap_or("").into()),
        DataFusionError::Plan(message) => plan(message, context),
        DataFusionError::NotImplemented(message) if message.starts_with("Unsupported SQL statement") => {
            QueryError::NotAQuestion(message.clone())
        }
        DataFusionError::NotImplemented(message) => QueryError::Sql(message.clone()),
        other => QueryError::Failed(other.strip_backtrace()),
    }
}

/// A column of `events` whose name the SQL parser takes for a keyword.
fn hint(sql: &str) -> &'static str {
    let bare = sql.to_ascii_lowercase().replace("\"offset\"", "");
    if words(&bare).any(|word| word == "offset") {
        return " (offset is a word of SQL: write the column as \"offset\")";
    }
    ""
}

fn words(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

fn plan(message: &str, context: &SessionContext) -> QueryError {
    if let Some(rest) = message.strip_prefix("table '")
        && let Some((name, _)) = rest.split_once("' not found")
    {
        let table = name.rsplit('.').next().unwrap_or(name).to_string();
        return QueryError::UnknownTable { table, tables: tables(context) };
    }
    if message.contains("not supported: ") {
        return QueryError::NotAQuestion(message.to_string());
    }
    QueryError::Sql(message.to_string())
}

fn tables(context: &SessionContext) -> Vec<String> {
    let catalog = context.catalog("datafusion").and_then(|catalog| catalog.schema("public"));
    let mut names = catalog.map(|schema| schema.table_names()).unwrap_or_default();
    names.sort();
    names
}

/// The tables a query asks: those its columns belong to, or where these have other names in it, those it names.
fn asked(columns: &[Column], sql: &str, context: &SessionContext) -> Vec<String> {
    let owners: BTreeSet<&str> = columns.iter().filter_map(|c| Some(c.relation.as_ref()?.table())).collect();
    let tables = tables(context);
    if !owners.is_empty() && owners.iter().all(|owner| tables.iter().any(|table| table == owner)) {
        return owners.into_iter().map(str::to_owned).collect();
    }
    let sql = sql.to_ascii_lowercase();
    tables.into_iter().filter(|table| words(&sql).any(|word| word == table)).collect()
}

/// The names closest to a mistyped one: those that differ little, or contain it.
pub(crate) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let flat = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    let asked = flat(wrong);
    let mut scored: Vec<(usize, String)> = Vec::new();
    for name in names {
        let candidate = flat(name);
        let distance = levenshtein(&asked, &candidate);
        let related = asked.len() > 2 && (candidate.contains(&asked) || asked.contains(&candidate));
        if (related || distance <= asked.len().max(3) / 3) && !scored.iter().any(|(_, n)| n == name) {
            scored.push((distance, name.to_string()));
        }
    }
    scored.sort();
    if scored.first().is_some_and(|(distance, _)| *distance == 0) {
        scored.truncate(1);
    }
    scored.into_iter().take(SUGGESTIONS_MAX).map(|(_, name)| name).collect()
}
