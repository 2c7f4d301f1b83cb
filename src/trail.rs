//! The audit from end to end: what the service writes when it starts and stops, what verbs write, and reading the whole
//! chain back from the lake and the state store.
//!
//! Promises: the chain goes on where the lake says it stands, also over a state store that was lost. A verb that cannot
//! write its entry says so and does its work. What is read is told as it lies there, whoever changed it.
//! Never: decides whether a chain is good; `audit::verify` does.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;

use crate::audit::verify::{Verifier, Wrong};
use crate::audit::{self, Audit, BEGINNING, Chained, Entry, Fact, SELF, What};
use crate::config::{Config, KeysSection};
use crate::lake::{AuditLog, LakeConfig};
use crate::query::{self, QueryError, QueryLimits};
use crate::rejects::{self, Columns, quoted};
use crate::store::Store;
use crate::{app, clock, keys, limits, service};

/// How long a verb waits for its turn to write an entry.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often what was written down is chained, and a head made when one is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of a question that is kept.
const SQL_BYTES_MAX: usize = 4 << 10;
const COLUMNS: &str = "instance, n, time, actor, what, about, detail, previous, hash";

/// Where an audit is.
pub struct Place {
    pub data_dir: PathBuf,
    /// The folder of its key.
    pub keys: PathBuf,
    pub lake: LakeConfig,
    /// Whose chain; none: that of the state store.
    pub instance: Option<String>,
}

impl Place {
    /// The audit of a configured service.
    pub fn of_config(config: &Config) -> Place {
        Place {
            data_dir: config.data_dir.clone(),
            keys: keys::folder(&config.keys, &config.data_dir),
            lake: service::lake_config(config),
            instance: Some(config.instance.clone()),
        }
    }

    /// The audit below a data folder.
    pub fn of_data_dir(data_dir: &Path) -> Place {
        Place {
            data_dir: data_dir.to_owned(),
            keys: keys::folder(&KeysSection::default(), data_dir),
            lake: rejects::lake_at(&app::lake_dir(data_dir).display().to_string(), HashMap::new()),
            instance: None,
        }
    }

    /// The state store, if there is one.
    async fn store(&self) -> anyhow::Result<Option<Store>> {
        let path = self.data_dir.join("state.db");
        match path.try_exists().with_context(|| path.display().to_string())? {
            true => Ok(Some(Store::open(&path).await?)),
            false => Ok(None),
        }
    }

    async fn instance(&self, store: Option<&Store>) -> anyhow::Result<String> {
        let stored = match (&self.instance, store) {
            (Some(instance), _) => Some(instance.clone()),
            (None, Some(store)) => audit::instance_of(store).await?,
            (None, None) => None,
        };
        Ok(stored.unwrap_or_else(|| "main".to_owned()))
    }

    /// The audit, to write to it; none when there is no state store.
    pub async fn writer(&self) -> anyhow::Result<Option<Audit>> {
        let Some(store) = self.store().await? else { return Ok(None) };
        let instance = self.instance(Some(&store)).await?;
        Ok(Some(Audit::new(store, &instance, &self.keys, clock::system())?))
    }

    /// Writes what a verb did, unless there is no state store. That it cannot is said, and stops nobody.
    pub async fn note(&self, new: Fact) {
        let write = async {
            match self.writer().await? {
                Some(audit) => Ok(audit.note(&[new]).await?),
                None => Ok(()),
            }
        };
        let written: anyhow::Result<()> = match tokio::time::timeout(PATIENCE, write).await {
            Ok(written) => written,
            Err(_) => Err(anyhow::anyhow!("the state store is busy")),
        };
        if let Err(error) = written {
            tracing::warn!("this is not in the audit: {error:#}");
        }
    }
}

/// A question that was asked: by whom, in which words, and what it gave.
pub fn question(actor: &str, sql: &str, rows: Option<usize>, took: Duration) -> Fact {
    let scrubbed = schemas::scrub(sql);
    let mut end = scrubbed.len().min(SQL_BYTES_MAX);
    while !scrubbed.is_char_boundary(end) {
        end -= 1;
    }
    let seconds = format!("{:.3}", took.as_secs_f64());
    let detail = match rows {
        Some(rows) => json!({ "sql": &scrubbed[..end], "rows": rows, "seconds": seconds }),
        None => json!({ "sql": &scrubbed[..end], "failed": true, "seconds": seconds }),
    };
    Fact::new(What::Query, actor, "", detail)
}

/// The audit of a service that starts, with its first entry.
pub async fn begin(config: &Config, store: Store) -> anyhow::Result<Arc<Audit>> {
    let place = Place::of_config(config);
    let audit = Audit::new(store, &config.instance, &place.keys, clock::system())?;
    let newest = audit.newest(None).await?.map_or(0, |newest| newest.entry.n);
    let stored = AuditLog::open(&place.lake, &config.instance).await?.marker().unwrap_or(0);
    if stored > newest {
        let last = entry_in_lake(&place, &config.instance, stored).await?;
        tracing::warn!(
            stored,
            here = newest,
            "the state store is older than the lake: the audit goes on behind the lake's"
        );
        audit.continue_after(&last).await?;
    }
    let before = audit.newest(Some(What::Start)).await?;
    let stopped = audit.newest(Some(What::Stop)).await?.map_or(0, |stop| stop.entry.n);
    audit.note(&started(config, before.as_ref(), stopped, stored > newest)).await?;
    tell_tip(&audit, "the audit begins").await?;
    Ok(Arc::new(audit))
}

/// The entries of a start: what runs, and how its configuration differs from that of the last start.
fn started(config: &Config, before: Option<&Chained>, stopped: i64, store_lost: bool) -> Vec<Fact> {
    let hashes: BTreeMap<String, Value> = config.hashes.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
    let whole = json!(hashes);
    let hash = |value: &Value| audit::hex(&audit::sha256(&[audit::canonical(value).unwrap_or_default().as_bytes()]));
    let mut detail = json!({
        "version": env!("CARGO_PKG_VERSION"), "configuration": hash(&whole), "keys": whole,
        // The service was killed, or its machine went down.
        "after_crash": before.is_some_and(|before| before.entry.n > stopped),
    });
    if store_lost {
        detail["state_store_lost"] = true.into();
    }
    let mut entries = vec![Fact::new(What::Start, SELF, "", detail)];
    let was = before.and_then(|before| before.entry.detail.get("keys")?.as_object().cloned());
    if let Some(was) = was {
        let mut changed: Vec<&String> = hashes.keys().filter(|key| hashes.get(*key) != was.get(*key)).collect();
        changed.extend(was.keys().filter(|key| !hashes.contains_key(*key)));
        if !changed.is_empty() {
            let detail = json!({ "changed": changed, "configuration": hash(&json!(hashes)), "was": hash(&json!(was)) });
            entries.push(Fact::new(What::Configuration, SELF, "", detail));
        }
    }
    entries
}

/// The last entry of a service that stops, signed.
pub async fn end(audit: &Audit, detail: Value) -> anyhow::Result<()> {
    audit.note(&[Fact::new(What::Stop, SELF, "", detail)]).await?;
    audit.sign(false).await?;
    tell_tip(audit, "the audit ends").await
}

/// The newest entry in the log, which may be kept elsewhere: a chain that was cut off ends before it.
async fn tell_tip(audit: &Audit, words: &str) -> anyhow::Result<()> {
    if let Some(tip) = audit.newest(None).await? {
        tracing::info!(n = tip.entry.n, hash = audit::hex(&tip.hash), "{words}");
    }
    Ok(())
}

/// Signs what is due, also while nothing else happens, until the service ends.
pub async fn keep_signed(audit: Arc<Audit>, mut ended: Receiver<bool>) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = look.tick() => {}
            // The one change is the end; an error says that the service is gone.
            _ = ended.changed() => return,
        }
        if let Err(error) = audit.sign(true).await {
            tracing::warn!(%error, "the audit is not signed; it is tried again");
        }
    }
}

/// The entry from which the chain goes on. When retention took it away, one that says that the chain begins anew.
async fn entry_in_lake(place: &Place, instance: &str, n: i64) -> anyhow::Result<Chained> {
    let lake = Lake::open(place).await?;
    if let Some(found) = lake.entries(instance, n, n + 1).await?.pop() {
        return Ok(found);
    }
    let detail = json!({ "chain": "begins anew: the entry before is neither here nor in the lake" });
    let entry = Entry {
        n: n + 1,
        time_us: clock::now_us(),
        instance: instance.to_owned(),
        actor: SELF.to_owned(),
        what: What::Configuration.word().to_owned(),
        about: String::new(),
        detail: detail.as_object().cloned().unwrap_or_default(),
    };
    Ok(entry.chain(BEGINNING)?)
}

/// The table of the audit in a lake; none when the lake has no such table.
struct Lake(Option<SessionContext>);

impl Lake {
    async fn open(place: &Place) -> anyhow::Result<Lake> {
        let session = match query::session(&place.lake.uri, &place.lake.options, limits_of_page()).await {
            Ok(session) => session,
            Err(QueryError::NoLake { .. }) => return Ok(Lake(None)),
            Err(error) => return Err(error.into()),
        };
        let there = session.table_exist("audit")?;
        Ok(Lake(there.then_some(session)))
    }

    async fn ask(&self, sql: &str) -> anyhow::Result<Vec<arrow::array::RecordBatch>> {
        match &self.0 {
            Some(session) => Ok(query::run(session, sql, limits_of_page()).await?.batches),
            None => Ok(Vec::new()),
        }
    }

    /// The least and greatest number from `n` on.
    async fn range(&self, instance: &str, n: i64) -> anyhow::Result<Option<(i64, i64)>> {
        let instance = quoted(instance);
        let sql = format!("SELECT min(n) AS a, max(n) AS b FROM audit WHERE instance = {instance} AND n >= {n}");
        let batches = self.ask(&sql).await?;
        let Some(batch) = batches.first() else { return Ok(None) };
        let columns = Columns::of(batch);
        Ok(columns.optional_number("a", 0)?.zip(columns.optional_number("b", 0)?))
    }

    /// The entries with `from <= n < to`, in order.
    async fn entries(&self, instance: &str, from: i64, to: i64) -> anyhow::Result<Vec<Chained>> {
        let instance = quoted(instance);
        let condition = format!("instance = {instance} AND n >= {from} AND n < {to} ORDER BY n");
        self.rows(&condition).await
    }

    async fn rows(&self, condition: &str) -> anyhow::Result<Vec<Chained>> {
        let mut entries = Vec::new();
        for batch in self.ask(&format!("SELECT {COLUMNS} FROM audit WHERE {condition}")).await? {
            let columns = Columns::of(&batch);
            for row in 0..batch.num_rows() {
                entries.push(chained(&columns, row)?);
            }
        }
        Ok(entries)
    }
}

fn limits_of_page() -> QueryLimits {
    QueryLimits { rows_max: usize::MAX, ..QueryLimits::default() }
}

/// A row of the lake as it is; a hash that is none is read as one that fits nothing.
fn chained(columns: &Columns, row: usize) -> anyhow::Result<Chained> {
    let text = |name| columns.text(name, row);
    let entry = Entry {
        n: columns.number("n", row)?,
        time_us: columns.number("time", row)?,
        instance: text("instance")?,
        actor: text("actor")?,
        what: text("what")?,
        about: text("about")?,
        detail: audit::detail(&text("detail")?),
    };
    let hash = |name| anyhow::Ok(audit::unhex(&text(name)?).unwrap_or([0xff; 32]));
    Ok(Chained { entry, previous: hash("previous")?, hash: hash("hash")? })
}

/// Something about a chain, in order.
pub enum Read<'a> {
    Entry(&'a Chained),
    /// The state store has another entry of this number than the lake.
    Differs(i64),
}

/// Reads the whole chain of a place: what is in the lake, then what only the state store has. Returns the instance.
pub async fn read(place: &Place, mut take: impl FnMut(Read) -> anyhow::Result<()>) -> anyhow::Result<String> {
    let store = place.store().await?;
    let lake = Lake::open(place).await?;
    if store.is_none() && lake.0.is_none() {
        bail!("{}: there is no audit; `gatewatch run` writes one", place.data_dir.display());
    }
    let instance = place.instance(store.as_ref()).await?;
    let page = i64::from(limits::AUDIT_ENTRIES_MAX);
    let mut last = 0;
    while let Some((from, _)) = lake.range(&instance, last + 1).await? {
        let entries = lake.entries(&instance, from, from + page).await?;
        let here: HashMap<i64, Chained> = match &store {
            Some(store) => {
                let beside = audit::entries_after(store, &instance, from - 1, limits::AUDIT_ENTRIES_MAX).await?;
                beside.into_iter().map(|chained| (chained.entry.n, chained)).collect()
            }
            None => HashMap::new(),
        };
        for chained in &entries {
            take(Read::Entry(chained))?;
            if here.get(&chained.entry.n).is_some_and(|beside| beside != chained) {
                take(Read::Differs(chained.entry.n))?;
            }
        }
        last = from + page - 1;
    }
    let Some(store) = store else { return Ok(instance) };
    let mut last = lake.range(&instance, 0).await?.map_or(0, |(_, greatest)| greatest);
    loop {
        let entries = audit::entries_after(&store, &instance, last, limits::AUDIT_ENTRIES_MAX).await?;
        let Some(end) = entries.last() else { return Ok(instance) };
        last = end.entry.n;
        entries.iter().try_for_each(|chained| take(Read::Entry(chained)))?;
    }
}

/// The newest entries, about one id if it is given, oldest first.
pub async fn newest(place: &Place, about: Option<&str>, limit: usize) -> anyhow::Result<Vec<Chained>> {
    let store = place.store().await?;
    let lake = Lake::open(place).await?;
    let instance = place.instance(store.as_ref()).await?;
    let mut condition = format!("instance = {}", quoted(&instance));
    if let Some(about) = about {
        condition += &format!(" AND about = {}", quoted(about));
    }
    let mut entries = lake.rows(&format!("{condition} ORDER BY n DESC LIMIT {limit}")).await?;
    entries.reverse();
    if let Some(store) = &store {
        let mut last = lake.range(&instance, 0).await?.map_or(0, |(_, greatest)| greatest);
        loop {
            let more = audit::entries_after(store, &instance, last, limits::AUDIT_ENTRIES_MAX).await?;
            let Some(end) = more.last() else { break };
            last = end.entry.n;
            entries.extend(more.into_iter().filter(|one| about.is_none_or(|about| one.entry.about == about)));
            entries.drain(..entries.len().saturating_sub(limit));
        }
    }
    Ok(entries)
}

/// Checks the chain of a place.
pub async fn check(place: &Place, mut verifier: Verifier) -> anyhow::Result<Verifier> {
    read(place, |read| {
        match read {
            Read::Entry(chained) => verifier.take(chained),
            Read::Differs(n) => verifier.found(n, Wrong::Differs),
        }
        Ok(())
    })
    .await?;
    Ok(verifier)
}
