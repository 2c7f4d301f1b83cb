//! The events of each lane out of the lake, in the order of their offsets, some thousand at a time.
//!
//! Promises: each event of the period once; no more rows in memory than a few questions bring.
//! Never: sorts more than one piece of one lane.

use std::collections::VecDeque;

use anyhow::{Context, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::prelude::SessionContext;
use schemas::Lane;
use schemas::event::arrow_schema;

use super::Period;
use crate::lake;
use crate::query::{self, QueryLimits};
use crate::rejects::quoted;

/// Rows that one question is to bring. Offsets may be numbers of lines or bytes of a file: how many rows there are in a piece of
/// them is told by how many there are in all.
const ROWS: i64 = 65_536;

/// The rows of one lane that are still to be read.
pub struct Rows {
    lane: Lane,
    period: Period,
    rows: u64,
    /// The first offset that was not asked for yet, and the last there is.
    from: i64,
    last: i64,
    /// Offsets of one piece.
    span: i64,
    read: VecDeque<RecordBatch>,
}

/// The lanes that have events in the period.
pub async fn of(session: &SessionContext, period: Period) -> anyhow::Result<Vec<Rows>> {
    let when = Period::sql(period.read_from_us, period.to_us, "time");
    let sql = format!(
        "SELECT arrow_cast(source, 'Utf8') AS source, \"partition\", count(*) AS n, min(\"offset\") AS first, max(\"offset\") AS last \
         FROM events WHERE {when} GROUP BY source, \"partition\" ORDER BY source, \"partition\""
    );
    let mut lanes = Vec::new();
    for batch in ask(session, &sql).await? {
        let number = |column: usize, row: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
        for row in 0..batch.num_rows() {
            let source = batch.column(0).as_string::<i32>().value(row);
            let partition = batch.column(1).as_primitive::<Int32Type>().value(row);
            let (rows, from, last) = (number(2, row), number(3, row), number(4, row));
            let span = (i128::from(last - from) + 1) * i128::from(ROWS) / i128::from(rows.max(1));
            lanes.push(Rows {
                lane: Lane::new(source, partition),
                period,
                rows: rows.unsigned_abs(),
                from,
                last,
                span: i64::try_from(span).unwrap_or(i64::MAX).max(1),
                read: VecDeque::new(),
            });
        }
    }
    Ok(lanes)
}

impl Rows {
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// How many there are in all.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// The next of them; none at the end.
    pub async fn next(&mut self, session: &SessionContext) -> anyhow::Result<Option<RecordBatch>> {
        while self.read.is_empty() {
            if self.from > self.last {
                return Ok(None);
            }
            let to = self.from.saturating_add(self.span);
            let when = Period::sql(self.period.read_from_us, self.period.to_us, "time");
            let sql = format!(
                "SELECT * FROM events WHERE source = {} AND \"partition\" = {} AND \"offset\" >= {} AND \"offset\" < {to} \
                 AND {when} ORDER BY \"offset\"",
                quoted(&self.lane.source),
                self.lane.partition,
                self.from,
            );
            self.from = to;
            let schema = arrow_schema();
            for batch in ask(session, &sql).await? {
                self.read.push_back(lake::fit(&schema, &batch)?);
            }
        }
        Ok(self.read.pop_front())
    }
}

async fn ask(session: &SessionContext, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let limits = QueryLimits { rows_max: usize::MAX, ..QueryLimits::default() };
    let answer = query::run(session, sql, limits).await.context("reading events")?;
    if answer.truncated {
        bail!("reading events: some of them are left out");
    }
    Ok(answer.batches)
}

/// The first and the last time of these events.
pub fn times_us(events: &RecordBatch) -> Option<(i64, i64)> {
    let times = events.column_by_name("time")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    Some((arrow::compute::min(times)?, arrow::compute::max(times)?))
}
