//! Rejects come back: read again with today's mapping and version, those that are events now are stored, each once.
//!
//! A batch of them is one checkpoint of an instance of its own: the commit to `events` is the moment they are replayed,
//! and carries the rows by which `rejects` says so; after a crash in between, opening the lake completes it. A second
//! replay at the same time is fenced. No row of `rejects` is changed: a row with the code `replayed` at the same position
//! closes it, and the view `rejects_open` leaves both out.
//!
//! Promises: a replayed event keeps its partition, offset and time of arrival; `late` says that detection did not judge
//! it in its time. A record of which a part is still refused becomes the events it has, and new rejects for the rest.
//! Never: detects; the moment of these events is over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::prelude::SessionContext;
use schemas::{Code, Geo, Keys, Lane, Normaliser, RawBatch, Reject, SealError, SourceConfig, SourceError};

use crate::lake::{self, Checkpoint, Lake, LakeConfig};
use crate::limits::{REPLAY_BYTES_MAX, REPLAY_ROWS_MAX};
use crate::query::{self, QueryLimits};
use crate::{app, clock};

/// The instance under which replays are committed, and the partition that counts them; no source can have its name.
const INSTANCE: &str = "rejects.replay";
const COUNTER: &str = "rejects:replay";

/// Which rejects.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub source: Option<String>,
    pub code: Option<String>,
    pub since_us: Option<i64>,
}

impl Filter {
    /// As conditions after WHERE; `code` is the column that holds the code.
    pub fn sql(&self, code: &str) -> String {
        let mut sql = "true".to_owned();
        if let Some(source) = &self.source {
            sql += &format!(" AND source = {}", quoted(source));
        }
        if let Some(wanted) = &self.code {
            sql += &format!(" AND {code} = {}", quoted(wanted));
        }
        if let Some(since_us) = self.since_us {
            sql += &format!(" AND observed_time >= {}", quoted(&schemas::time_text(since_us)));
        }
        sql
    }
}

/// A text as SQL.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What a replay needs.
pub struct Replay {
    pub lake: LakeConfig,
    pub keys: Keys,
    /// How the records of a source are read, by its name. Without a name: how those of every other source are.
    pub sources: Vec<SourceConfig>,
    pub any_source: Option<SourceConfig>,
    /// Where clients are looked up, if anywhere.
    pub geo: Option<Arc<Geo>>,
    pub filter: Filter,
    pub dry_run: bool,
}

/// What became of the rejects of one source and code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records that are events now, and how many events they made.
    pub replayed: u64,
    pub events: u64,
    /// Still refused, by the code of today.
    pub still: BTreeMap<&'static str, u64>,
    /// Kept without their bytes.
    pub no_bytes: u64,
    /// Sealed by a key that is not there.
    pub no_key: u64,
    /// Of a source that is not configured.
    pub no_source: u64,
}

/// By source and code.
pub type Report = BTreeMap<(String, String), Counts>;

/// Rejects of one day and partition whose offsets follow one another.
#[derive(Debug, PartialEq)]
struct Part {
    day: String,
    lane: Lane,
    first: i64,
    last: i64,
    rows: usize,
    bytes: u64,
}

/// A reject with its bytes still sealed.
struct Kept {
    lane: Lane,
    offset: i64,
    element: Option<i32>,
    observed_us: i64,
    code: String,
    length: u64,
    sealed: Option<Vec<u8>>,
}

/// What a part became.
#[derive(Default)]
struct Became {
    events: Vec<RecordBatch>,
    rejects: Vec<Reject>,
}

/// Replays what can be replayed.
pub async fn replay(job: Replay) -> anyhow::Result<Report> {
    let mut normalisers = Normalisers::new(&job, lake::stored_lane_states(&job.lake).await?)?;
    let mut lake = None;
    if !job.dry_run {
        // Opening completes a replay that was cut short; only then is it known what is open.
        let (mut opened, _) = Lake::open(&job.lake, INSTANCE).await?;
        app::tell_keys(&opened.pin_keys(&job.keys.pins()).await?);
        opened.refresh_positions(&[Lane::new(COUNTER, 0)]).await?;
        lake = Some(opened);
    }
    let limits =
        QueryLimits { rows_max: usize::MAX, timeout: std::time::Duration::from_secs(86_400), ..Default::default() };
    let session = query::session(&job.lake.uri, &job.lake.options, limits).await?;
    let mut report = Report::new();
    for part in parts(&session, &job.filter, limits).await? {
        let kept = part.read(&session, &job.filter, limits).await?;
        let became = normalisers.read_again(&job.keys, kept, &mut report);
        let Some(lake) = lake.as_mut().filter(|_| !became.rejects.is_empty()) else { continue };
        commit(lake, became).await.context("storing replayed rejects")?;
    }
    Ok(report)
}

/// One batch of replayed rejects, whole or not at all.
async fn commit(lake: &mut Lake, became: Became) -> anyhow::Result<()> {
    let counter = Lane::new(COUNTER, 0);
    let number = lake.next_offset(&counter).unwrap_or(0) + 1;
    let events = late(&concat_batches(&schemas::event::arrow_schema(), &became.events)?)?;
    let checkpoint = Checkpoint {
        events: vec![events],
        positions: vec![(counter, number)],
        rejects: became.rejects,
        ..Checkpoint::default()
    };
    let committed = lake.commit(&checkpoint).await?;
    tracing::debug!(number, rows = committed.rows, "replayed rejects are events");
    Ok(())
}

/// The events as detection would have got them: too late.
fn late(events: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let at = events.schema().index_of("late")?;
    let mut columns = events.columns().to_vec();
    columns[at] = Arc::new(BooleanArray::from(vec![true; events.num_rows()]));
    Ok(RecordBatch::try_new(events.schema(), columns)?)
}

/// Where the open rejects are, cut into parts that fit into memory.
async fn parts(session: &SessionContext, filter: &Filter, limits: QueryLimits) -> anyhow::Result<Vec<Part>> {
    let sql = format!(
        "SELECT CAST(day AS VARCHAR) AS day, source, \"partition\", \"offset\", count(*) AS rows, \
         sum(CASE WHEN sealed IS NULL THEN 0 ELSE length END) AS bytes FROM rejects_open WHERE {} \
         GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        filter.sql("code")
    );
    let mut parts: Vec<Part> = Vec::new();
    for batch in query::run(session, &sql, limits).await?.batches {
        let columns = Columns::of(&batch);
        for row in 0..batch.num_rows() {
            let (day, offset) = (columns.text("day", row)?, columns.number("offset", row)?);
            let lane = Lane::new(&columns.text("source", row)?, i32::try_from(columns.number("partition", row)?)?);
            let rows = usize::try_from(columns.number("rows", row)?)?;
            let bytes = columns.number("bytes", row)?.unsigned_abs();
            match parts.last_mut() {
                Some(part) if part.takes(&day, &lane, bytes) => {
                    part.last = offset;
                    part.rows += rows;
                    part.bytes += bytes;
                }
                _ => parts.push(Part { day, lane, first: offset, last: offset, rows, bytes }),
            }
        }
    }
    Ok(parts)
}

impl Part {
    fn takes(&self, day: &str, lane: &Lane, bytes: u64) -> bool {
        self.day == day && self.lane == *lane && self.rows < REPLAY_ROWS_MAX && self.bytes + bytes <= REPLAY_BYTES_MAX
    }

    async fn read(&self, session: &SessionContext, filter: &Filter, limits: QueryLimits) -> anyhow::Result<Vec<Kept>> {
        let has_elements = session.table("rejects").await?.schema().has_column_with_unqualified_name("element");
        let sql = format!(
            "SELECT \"offset\", {} AS element, observed_time, code, length, sealed FROM rejects_open WHERE {} \
             AND day = DATE {} AND source = {} AND \"partition\" = {} AND \"offset\" BETWEEN {} AND {} \
             ORDER BY \"offset\", element, code, length",
            if has_elements { "element" } else { "CAST(NULL AS INT)" },
            filter.sql("code"),
            quoted(&self.day),
            quoted(&self.lane.source),
            self.lane.partition,
            self.first,
            self.last
        );
        let mut kept = Vec::new();
        for batch in query::run(session, &sql, limits).await?.batches {
            let columns = Columns::of(&batch);
            for row in 0..batch.num_rows() {
                kept.push(Kept {
                    lane: self.lane.clone(),
                    offset: columns.number("offset", row)?,
                    element: columns.optional_number("element", row)?.map(i32::try_from).transpose()?,
                    observed_us: columns.number("observed_time", row)?,
                    code: columns.text("code", row)?,
                    length: columns.number("length", row)?.unsigned_abs(),
                    sealed: columns.bytes("sealed", row)?,
                });
            }
        }
        Ok(kept)
    }
}

/// How the records of each source are read today.
struct Normalisers {
    by_source: HashMap<String, Normaliser>,
    any_source: Option<SourceConfig>,
    keys: Keys,
    geo: Option<Arc<Geo>>,
    /// What lanes know that were not read yet: the fields of W3C lines, the names in paths.
    lane_states: HashMap<Lane, Arc<[u8]>>,
}

impl Normalisers {
    fn new(job: &Replay, lane_states: HashMap<Lane, Arc<[u8]>>) -> anyhow::Result<Normalisers> {
        let (any_source, keys, geo) = (job.any_source.clone(), job.keys.clone(), job.geo.clone());
        let mut all = Normalisers { by_source: HashMap::new(), any_source, keys, geo, lane_states };
        for config in &job.sources {
            let normaliser = all.make(config)?;
            all.by_source.insert(config.name.clone(), normaliser);
        }
        Ok(all)
    }

    /// One that reads W3C lines only by fields that are known: rejects do not come from the beginning of their file.
    fn make(&self, config: &SourceConfig) -> Result<Normaliser, SourceError> {
        let mut normaliser = Normaliser::new(config, &self.keys)?.by_told_fields();
        normaliser.set_geo(self.geo.clone());
        Ok(normaliser)
    }

    /// That of a lane, which goes on where the lane stands.
    fn of(&mut self, lane: &Lane) -> Option<&mut Normaliser> {
        let source = &*lane.source;
        if !self.by_source.contains_key(source) {
            let config = SourceConfig { name: source.to_owned(), ..self.any_source.clone()? };
            let normaliser = self.make(&config).ok()?;
            self.by_source.insert(source.to_owned(), normaliser);
        }
        let normaliser = self.by_source.get_mut(source)?;
        if let Some(state) = self.lane_states.remove(lane)
            && let Err(error) = normaliser.restore(lane, &state)
        {
            tracing::warn!(%lane, %error, "what was known of this lane cannot be used");
        }
        Some(normaliser)
    }

    /// What the rejects of one part are today. Those that cannot be told apart (of a table that had no elements yet)
    /// become events together or not at all.
    fn read_again(&mut self, keys: &Keys, kept: Vec<Kept>, report: &mut Report) -> Became {
        let mut became = Became::default();
        let mut at = 0;
        while at < kept.len() {
            let alike = kept[at..].iter().take_while(|other| other.is_like(&kept[at])).count();
            let group = &kept[at..at + alike];
            at += alike;
            let counts = report.entry((group[0].lane.source.to_string(), group[0].code.clone())).or_default();
            let read: Vec<Option<Became>> = group.iter().map(|reject| self.read_one(keys, reject, counts)).collect();
            if read.iter().any(Option::is_none) {
                continue;
            }
            for (reject, one) in group.iter().zip(read.into_iter().flatten()) {
                counts.replayed += 1;
                counts.events += one.events.iter().map(|events| events.num_rows() as u64).sum::<u64>();
                became.events.extend(one.events);
                became.rejects.extend(one.rejects);
                became.rejects.push(reject.closed());
            }
        }
        became
    }

    fn read_one(&mut self, keys: &Keys, reject: &Kept, counts: &mut Counts) -> Option<Became> {
        let Some(sealed) = &reject.sealed else {
            counts.no_bytes += 1;
            return None;
        };
        let Ok(bytes) = schemas::unseal(keys, sealed) else {
            counts.no_key += 1;
            return None;
        };
        let Some(normaliser) = self.of(&reject.lane) else {
            counts.no_source += 1;
            return None;
        };
        let mut raw = RawBatch::new();
        raw.push_cut(reject.offset, reject.observed_us, &bytes, reject.length.max(bytes.len() as u64));
        let made = normaliser.normalise(&reject.lane, &raw);
        if made.events.num_rows() == 0 {
            let code = made.rejects.first().map_or("empty", |reject| reject.code.as_str());
            *counts.still.entry(code).or_default() += 1;
            return None;
        }
        Some(Became { events: vec![made.events], rejects: made.rejects })
    }
}

impl Kept {
    fn is_like(&self, other: &Kept) -> bool {
        (self.offset, self.element, &self.code, self.length) == (other.offset, other.element, &other.code, other.length)
    }

    /// The row that closes it.
    fn closed(&self) -> Reject {
        Reject {
            lane: (&self.lane).into(),
            offset: self.offset,
            element: self.element,
            observed_us: self.observed_us,
            code: Code::Replayed,
            detail: self.code.clone(),
            length: self.length,
            sealed: None,
        }
    }
}

/// A reject that was opened.
pub struct Opened {
    pub bytes: Vec<u8>,
    pub code: String,
    /// The id of the key that had sealed it.
    pub key: String,
}

/// Opens the rejects at a position: all elements of the record that were refused.
pub async fn open(lake: &LakeConfig, keys: &Keys, lane: &Lane, offset: i64) -> anyhow::Result<Vec<Opened>> {
    let limits = QueryLimits { rows_max: schemas::limits::RECORD_EVENTS_MAX, ..QueryLimits::default() };
    let session = query::session(&lake.uri, &lake.options, limits).await?;
    let sql = format!(
        "SELECT code, sealed FROM rejects WHERE source = {} AND \"partition\" = {} AND \"offset\" = {offset} AND \
         code <> 'replayed' ORDER BY length",
        quoted(&lane.source),
        lane.partition
    );
    let mut opened = Vec::new();
    for batch in query::run(&session, &sql, limits).await?.batches {
        let columns = Columns::of(&batch);
        for row in 0..batch.num_rows() {
            let sealed = columns
                .bytes("sealed", row)?
                .context("its bytes were not kept: keys.seal or keys.seal_rejects keep them")?;
            let key = schemas::seal_id(&sealed).unwrap_or_default().to_owned();
            let bytes = schemas::unseal(keys, &sealed).map_err(|error| match error {
                SealError::NoKey | SealError::OtherKey => {
                    anyhow!("it was sealed with the key `{key}`, which is not there")
                }
                SealError::Broken => anyhow!("it was sealed with a key `{key}`: {error}"),
            })?;
            opened.push(Opened { bytes, code: columns.text("code", row)?, key });
        }
    }
    if opened.is_empty() {
        return Err(anyhow!("there is no reject there"));
    }
    Ok(opened)
}

/// The lake of a local folder or bucket, with the system's clock.
pub fn lake_at(uri: &str, options: HashMap<String, String>) -> LakeConfig {
    LakeConfig { options, ..LakeConfig::new(uri, clock::now_us) }
}

/// Columns of an answer, whatever of the text types and widths the query engine chose.
pub(crate) struct Columns<'a>(&'a RecordBatch);

impl<'a> Columns<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Columns<'a> {
        Columns(batch)
    }

    /// One cell as a column of one row.
    fn cell(&self, name: &str, row: usize) -> anyhow::Result<ArrayRef> {
        let column = self.0.column_by_name(name).with_context(|| format!("no column {name} in the answer"))?;
        Ok(column.slice(row, 1))
    }

    pub(crate) fn text(&self, name: &str, row: usize) -> anyhow::Result<String> {
        let cell = arrow::compute::cast(&self.cell(name, row)?, &DataType::Utf8)?;
        Ok(cell.as_string::<i32>().value(0).to_owned())
    }

    /// A whole number, or the microseconds of a time.
    pub(crate) fn optional_number(&self, name: &str, row: usize) -> anyhow::Result<Option<i64>> {
        let cell = arrow::compute::cast(&self.cell(name, row)?, &DataType::Int64)?;
        Ok((!cell.is_null(0)).then(|| cell.as_primitive::<Int64Type>().value(0)))
    }

    pub(crate) fn number(&self, name: &str, row: usize) -> anyhow::Result<i64> {
        self.optional_number(name, row)?.with_context(|| format!("{name} is null in the answer"))
    }

    fn bytes(&self, name: &str, row: usize) -> anyhow::Result<Option<Vec<u8>>> {
        let cell = arrow::compute::cast(&self.cell(name, row)?, &DataType::Binary)?;
        let cell = cell.as_binary::<i32>();
        Ok((!cell.is_null(0)).then(|| cell.value(0).to_vec()))
    }
}
