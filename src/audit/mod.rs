//! The audit: what the system and its users did, as a chain that shows when it was touched.
//!
//! Each entry carries the hash of the one before (`entry`); every 256 entries or every minute a head signs the chain so far
//! with the key that only this machine has. The chain lies in the state store and is copied to the lake.
//!
//! Promises: an entry stands or falls with the transaction in which it is written; several processes write one chain,
//! each number once, times never going back. Who checks it needs the entries and the public key alone (`verify`).
//! Never: holds a secret (what is given has been redacted); stops an action because a head cannot be signed.

mod canonical;
mod entry;
pub mod verify;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

pub use canonical::{CanonicalError, canonical, decimal, tolerant};
pub use entry::{BEGINNING, Chained, Entry, Hash, WHATS, What, hex, sha256, unhex};

use crate::clock::Clock;
use crate::keys::signing::{PublicKey, SigningKey};
use crate::limits::{
    AUDIT_DETAIL_BYTES_MAX, AUDIT_HEAD_AGE_US, AUDIT_HEAD_ENTRIES_MAX, AUDIT_KEPT_US, AUDIT_TEXT_BYTES_MAX,
};
use crate::store::{Store, StoreError};

/// Who acts when no person does.
pub const SELF: &str = "gatewatch";

tokio::task_local! {
    /// What the system itself knows of whoever acts in this task.
    static KNOWN: Value;
}

/// Does `work` in the name of somebody of whom the system knows this. A name is claimed; what is known goes beside it, into each
/// entry about what somebody did (`known`).
pub async fn in_the_name_of<T>(known: Value, work: impl Future<Output = T>) -> T {
    KNOWN.scope(known, work).await
}

const SELECT: &str = "SELECT instance, n, time_us, actor, what, about, detail, previous, hash FROM audit";

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the detail of an audit entry {0}")]
    Detail(#[from] CanonicalError),
    #[error("the detail of an audit entry is no JSON object")]
    NoObject,
    #[error("entry {0} of the audit in the state store cannot be read")]
    Broken(i64),
    #[error("the key of the audit: {0:#}")]
    Key(anyhow::Error),
}

impl From<sqlx::Error> for AuditError {
    fn from(error: sqlx::Error) -> AuditError {
        AuditError::Store(error.into())
    }
}

type Result<T> = std::result::Result<T, AuditError>;
type Tx = Transaction<'static, Sqlite>;

/// Something that was done, to be written down.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub what: What,
    /// Who: a person as the system knows them, or `SELF`.
    pub actor: String,
    /// The id of what it is about; empty: the instance.
    pub about: String,
    /// A JSON object, redacted. A number with a fraction is given as a text (`decimal`).
    pub detail: Value,
}

impl Fact {
    pub fn new(what: What, actor: &str, about: &str, detail: Value) -> Fact {
        Fact { what, actor: actor.to_owned(), about: about.to_owned(), detail }
    }
}

/// The chain of one instance.
pub struct Audit {
    store: Store,
    instance: String,
    /// The folder of the key.
    keys: PathBuf,
    clock: Clock,
    /// When it was last said that a head cannot be signed.
    complained_us: AtomicI64,
}

/// Where the chain stands while entries are added.
struct Tip {
    n: i64,
    time_us: i64,
    hash: Hash,
    head_n: i64,
    head_us: i64,
}

impl Audit {
    /// The audit in a state store. The key that signs it is in the folder `keys`, made now when there is none.
    pub fn new(store: Store, instance: &str, keys: &Path, clock: Clock) -> Result<Audit> {
        SigningKey::read_or_make(keys).map_err(AuditError::Key)?;
        let (instance, keys) = (instance.to_owned(), keys.to_owned());
        Ok(Audit { store, instance, keys, clock, complained_us: AtomicI64::new(0) })
    }

    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Adds entries within the caller's transaction, which holds the right to write (`Store::begin`), and a head when one
    /// is due.
    pub async fn append(&self, tx: &mut Tx, entries: &[Fact]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut tip = self.tip(tx).await?;
        for new in entries {
            let detail = bounded(&new.detail)?;
            self.add(tx, &mut tip, new.what, &new.actor, &new.about, detail).await?;
            if tip.n - tip.head_n >= AUDIT_HEAD_ENTRIES_MAX {
                self.head(tx, &mut tip).await?;
            }
        }
        if tip.n > tip.head_n && tip.time_us - tip.head_us >= AUDIT_HEAD_AGE_US {
            self.head(tx, &mut tip).await?;
        }
        Ok(())
    }

    /// Adds entries in a transaction of their own.
    pub async fn note(&self, entries: &[Fact]) -> Result<()> {
        let mut tx = self.store.begin().await?;
        self.append(&mut tx, entries).await?;
        Ok(tx.commit().await?)
    }

    /// Chains what was written down with `pend` since, in its order.
    pub async fn gather(&self) -> Result<()> {
        let any = sqlx::query("SELECT 1 FROM audit_pending LIMIT 1").fetch_optional(self.store.pool()).await?;
        if any.is_none() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let sql = "SELECT actor, what, about, detail FROM audit_pending ORDER BY n";
        let rows = sqlx::query(sql).fetch_all(&mut *tx).await?;
        let entry = |row: &SqliteRow| -> Result<Option<Fact>> {
            let (actor, what, about): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let text: String = row.try_get(3)?;
            let detail = Value::Object(detail(&text));
            Ok(What::parse(&what).map(|what| Fact { what, actor, about, detail }))
        };
        let entries = rows.iter().filter_map(|row| entry(row).transpose()).collect::<Result<Vec<Fact>>>()?;
        self.append(&mut tx, &entries).await?;
        sqlx::query("DELETE FROM audit_pending").execute(&mut *tx).await?;
        Ok(tx.commit().await?)
    }

    /// Signs what is not signed yet. `only_due`: unless the last head is younger than a minute.
    pub async fn sign(&self, only_due: bool) -> Result<()> {
        self.gather().await?;
        let mut tx = self.store.begin().await?;
        let mut tip = self.tip(&mut tx).await?;
        let due = !only_due || (self.clock)() - tip.head_us >= AUDIT_HEAD_AGE_US;
        if tip.n > tip.head_n && due {
            self.head(&mut tx, &mut tip).await?;
        }
        Ok(tx.commit().await?)
    }

    /// A new key signs from now on: the last head of the old one names it.
    pub async fn rotate(&self) -> Result<PublicKey> {
        let mut tx = self.store.begin().await?;
        let mut tip = self.tip(&mut tx).await?;
        let old = self.key()?;
        let new = SigningKey::next(&self.keys).map_err(AuditError::Key)?;
        let named = json!({ "next_key": new.public().base64(), "next_key_id": new.public().id() });
        self.signed_head(&mut tx, &mut tip, &old, named).await?;
        // While nobody else can write: the next head, whoever writes it, is by the new key.
        new.install(&self.keys).map_err(AuditError::Key)?;
        tx.commit().await?;
        Ok(new.public().clone())
    }

    /// The entries after this one, in order.
    pub async fn entries_after(&self, n: i64, limit: u32) -> Result<Vec<Chained>> {
        entries_after(&self.store, &self.instance, n, limit).await
    }

    /// The newest entry, or the newest of one kind.
    pub async fn newest(&self, what: Option<What>) -> Result<Option<Chained>> {
        let row = match what {
            Some(what) => {
                let sql = format!("{SELECT} WHERE instance = ? AND what = ? ORDER BY n DESC LIMIT 1");
                sqlx::query(&sql).bind(&self.instance).bind(what.word()).fetch_optional(self.store.pool()).await?
            }
            None => {
                let sql = format!("{SELECT} WHERE instance = ? ORDER BY n DESC LIMIT 1");
                sqlx::query(&sql).bind(&self.instance).fetch_optional(self.store.pool()).await?
            }
        };
        row.map(|row| chained(&row)).transpose()
    }

    /// Goes on after an entry that the lake has and this store has not: the store is new, or was put back from a copy.
    pub async fn continue_after(&self, entry: &Chained) -> Result<()> {
        let mut tx = self.store.begin().await?;
        insert(&mut tx, entry).await?;
        Ok(tx.commit().await?)
    }

    /// Removes entries that are in the lake (up to `through`) and old, but not those from which the chain goes on: the
    /// newest head and what follows, and the last start. Returns how many.
    pub async fn forget(&self, through: i64) -> Result<u64> {
        let before_us = (self.clock)() - AUDIT_KEPT_US;
        let sql = "DELETE FROM audit WHERE instance = ?1 AND n <= ?2 AND time_us < ?3 \
                   AND n < (SELECT max(n) FROM audit WHERE instance = ?1 AND what = 'head') \
                   AND n < coalesce((SELECT max(n) FROM audit WHERE instance = ?1 AND what = 'start'), ?2 + 1)";
        let done = sqlx::query(sql).bind(&self.instance).bind(through).bind(before_us);
        Ok(done.execute(self.store.pool()).await?.rows_affected())
    }

    fn key(&self) -> Result<SigningKey> {
        // Read each time: another process may have put another key there.
        let key = SigningKey::read_or_make(&self.keys);
        key.map_err(AuditError::Key)
    }

    async fn tip(&self, tx: &mut Tx) -> Result<Tip> {
        let sql = "SELECT n, time_us, hash FROM audit WHERE instance = ? ORDER BY n DESC LIMIT 1";
        let last = sqlx::query(sql).bind(&self.instance).fetch_optional(&mut **tx).await?;
        let Some(last) = last else {
            return Ok(Tip { n: 0, time_us: 0, hash: BEGINNING, head_n: 0, head_us: 0 });
        };
        let (n, hash): (i64, Vec<u8>) = (last.try_get(0)?, last.try_get(2)?);
        let hash = hash.try_into().map_err(|_| AuditError::Broken(n))?;
        let sql = "SELECT n, time_us FROM audit WHERE instance = ? AND what = 'head' ORDER BY n DESC LIMIT 1";
        let head = sqlx::query(sql).bind(&self.instance).fetch_optional(&mut **tx).await?;
        let (head_n, head_us) = match head {
            Some(head) => (head.try_get(0)?, head.try_get(1)?),
            None => (0, 0),
        };
        Ok(Tip { n, time_us: last.try_get(1)?, hash, head_n, head_us })
    }

    /// Adds one entry behind the tip.
    async fn add(
        &self,
        tx: &mut Tx,
        tip: &mut Tip,
        what: What,
        actor: &str,
        about: &str,
        detail: Map<String, Value>,
    ) -> Result<()> {
        let entry = self.entry(tip, what, actor, about, detail).chain(tip.hash)?;
        insert(tx, &entry).await?;
        (tip.n, tip.time_us, tip.hash) = (entry.entry.n, entry.entry.time_us, entry.hash);
        Ok(())
    }

    fn entry(&self, tip: &Tip, what: What, actor: &str, about: &str, detail: Map<String, Value>) -> Entry {
        Entry {
            n: tip.n + 1,
            // A clock that is put back makes no entry older than the one before: retention cuts at a day.
            time_us: (self.clock)().max(tip.time_us),
            instance: self.instance.clone(),
            actor: cut(actor),
            what: what.word().to_owned(),
            about: cut(about),
            detail,
        }
    }

    /// A head by the key of the folder. Without the key the chain goes on unsigned, which is said once a minute.
    async fn head(&self, tx: &mut Tx, tip: &mut Tip) -> Result<()> {
        match self.key() {
            Ok(key) => self.signed_head(tx, tip, &key, json!({})).await,
            Err(error) => {
                let now_us = (self.clock)();
                if now_us - self.complained_us.swap(now_us, Ordering::Relaxed) >= AUDIT_HEAD_AGE_US {
                    tracing::warn!(%error, "the audit goes on unsigned");
                }
                Ok(())
            }
        }
    }

    async fn signed_head(&self, tx: &mut Tx, tip: &mut Tip, key: &SigningKey, detail: Value) -> Result<()> {
        let mut detail = detail.as_object().cloned().unwrap_or_default();
        detail.insert("key".to_owned(), key.public().id().into());
        let unsigned = self.entry(tip, What::Head, SELF, "", detail.clone());
        let signature = key.sign(&unsigned.signed_bytes(&tip.hash)?);
        detail.insert("signature".to_owned(), BASE64_STANDARD.encode(signature).into());
        let head = Entry { detail, ..unsigned }.chain(tip.hash)?;
        insert(tx, &head).await?;
        let (n, time_us) = (head.entry.n, head.entry.time_us);
        *tip = Tip { n, time_us, hash: head.hash, head_n: n, head_us: time_us };
        Ok(())
    }
}

/// Writes down what happened in the transaction in which it does; the service chains it a moment later (`gather`). What
/// has no canonical form is made to have one.
pub async fn pend(tx: &mut Tx, time_us: i64, new: &Fact) -> std::result::Result<(), StoreError> {
    let mut detail = new.detail.clone();
    if new.actor != SELF
        && let (Some(fields), Ok(known)) = (detail.as_object_mut(), KNOWN.try_with(Value::clone))
    {
        fields.insert("known".to_owned(), known);
    }
    let written = canonical(&tolerant(detail)).unwrap_or_else(|_| "{}".to_owned());
    let sql = "INSERT INTO audit_pending (time_us, actor, what, about, detail) VALUES (?, ?, ?, ?, ?)";
    let row = sqlx::query(sql).bind(time_us).bind(&new.actor).bind(new.what.word());
    row.bind(&new.about).bind(written).execute(&mut **tx).await?;
    Ok(())
}

/// The instance whose chain a state store has; the newest if there are several.
pub async fn instance_of(store: &Store) -> Result<Option<String>> {
    let sql = "SELECT instance FROM audit ORDER BY time_us DESC LIMIT 1";
    let row = sqlx::query(sql).fetch_optional(store.pool()).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// The entries of an instance after this one, in order.
pub async fn entries_after(store: &Store, instance: &str, n: i64, limit: u32) -> Result<Vec<Chained>> {
    let sql = format!("{SELECT} WHERE instance = ? AND n > ? ORDER BY n LIMIT ?");
    let rows = sqlx::query(&sql).bind(instance).bind(n).bind(limit).fetch_all(store.pool()).await?;
    rows.iter().map(chained).collect()
}

async fn insert(tx: &mut Tx, chained: &Chained) -> Result<()> {
    let entry = &chained.entry;
    let detail = canonical(&Value::Object(entry.detail.clone()))?;
    let sql = "INSERT INTO audit (instance, n, time_us, actor, what, about, detail, previous, hash) \
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let row = sqlx::query(sql).bind(&entry.instance).bind(entry.n).bind(entry.time_us).bind(&entry.actor);
    let row = row.bind(&entry.what).bind(&entry.about).bind(detail);
    row.bind(chained.previous.as_slice()).bind(chained.hash.as_slice()).execute(&mut **tx).await?;
    Ok(())
}

/// A row as it is. What somebody made of it that is no entry is given back as one that does not have its hash.
fn chained(row: &SqliteRow) -> Result<Chained> {
    let n: i64 = row.try_get("n")?;
    let hash = |name: &str| -> Result<Hash> {
        let bytes: Vec<u8> = row.try_get(name)?;
        bytes.try_into().map_err(|_| AuditError::Broken(n))
    };
    let entry = Entry {
        n,
        time_us: row.try_get("time_us")?,
        instance: row.try_get("instance")?,
        actor: row.try_get("actor")?,
        what: row.try_get("what")?,
        about: row.try_get("about")?,
        detail: detail(row.try_get("detail")?),
    };
    Ok(Chained { entry, previous: hash("previous")?, hash: hash("hash")? })
}

/// The detail that a text is. One that is not written as it should be is kept as a text, which has another hash.
pub fn detail(text: &str) -> Map<String, Value> {
    match serde_json::from_str::<Value>(text) {
        Ok(value @ Value::Object(_)) if canonical(&value).is_ok_and(|again| again == text) => {
            value.as_object().cloned().unwrap_or_default()
        }
        _ => Map::from_iter([("unreadable".to_owned(), Value::String(text.to_owned()))]),
    }
}

/// The detail, or its length and hash when it is too long.
fn bounded(detail: &Value) -> Result<Map<String, Value>> {
    let fields = detail.as_object().ok_or(AuditError::NoObject)?;
    let text = canonical(detail)?;
    if text.len() <= AUDIT_DETAIL_BYTES_MAX {
        return Ok(fields.clone());
    }
    let short = json!({ "too_long_bytes": text.len(), "sha256": hex(&sha256(&[text.as_bytes()])) });
    Ok(short.as_object().cloned().unwrap_or_default())
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(AUDIT_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
