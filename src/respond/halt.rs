//! The kill switch and what else people change while the service runs: halt, never-block list.
//!
//! Promises: what another process writes into the state store is seen within `LOOK_EVERY`; attempts that contain somebody are
//! broken off then. The switch survives restarts.
//! Never: stops messages; on-call has to hear what is going on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use sqlx::Row as _;
use tokio::sync::watch;

use super::scope::Scope;
use crate::audit::{self, Fact, What};
use crate::store::{Store, StoreError};

/// How long a change of another process may go unseen.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The emergency stop, while it is pulled.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Halt {
    pub actor: String,
    pub reason: String,
    pub since_us: i64,
    /// What is in force is undone, too.
    pub lift: bool,
}

/// What people changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub halt: Option<Halt>,
    pub never: Vec<(Scope, String)>,
}

/// The present state of it, for everybody who has to heed it.
pub struct Changes {
    store: Store,
    /// Of the state store; another one when another process wrote into it.
    version: AtomicI64,
    live: watch::Sender<Arc<Live>>,
}

impl Changes {
    pub fn new(store: Store) -> Changes {
        Changes { store, version: AtomicI64::new(0), live: watch::channel(Arc::default()).0 }
    }

    pub fn live(&self) -> Arc<Live> {
        self.live.borrow().clone()
    }

    /// Wakes whenever something changed.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Live>> {
        self.live.subscribe()
    }

    /// Reads it anew; true when something is different, or another process wrote anything: a verdict, an approval.
    pub async fn refresh(&self, now_us: i64) -> Result<bool, StoreError> {
        // Before the rest: what is written in between is seen the next time.
        let version = self.store.version_by_others().await?;
        let written = self.version.swap(version, Ordering::Relaxed) != version;
        let new = read(&self.store, now_us).await?;
        let changed = **self.live.borrow() != new;
        if changed {
            self.live.send_replace(Arc::new(new));
        }
        Ok(changed || written)
    }
}

pub async fn read(store: &Store, now_us: i64) -> Result<Live, StoreError> {
    let sql = "SELECT actor, reason, since_us, lift FROM halt";
    let row = sqlx::query(sql).fetch_optional(store.pool()).await?;
    let halt = row.map(|row| {
        Ok::<_, sqlx::Error>(Halt {
            actor: row.try_get(0)?,
            reason: row.try_get(1)?,
            since_us: row.try_get(2)?,
            lift: row.try_get(3)?,
        })
    });
    let sql = "SELECT entity FROM never_block WHERE expires_us IS NULL OR expires_us > ? ORDER BY n";
    let mut never = Vec::new();
    for row in sqlx::query(sql).bind(now_us).fetch_all(store.pool()).await? {
        let text: String = row.try_get(0)?;
        never.extend(Scope::parse(&text).map(|scope| (scope, text)));
    }
    Ok(Live { halt: halt.transpose()?, never })
}

/// Pulls the switch. Pulling it again changes who and why, and may lift, too; what is lifted stays so until it is released.
pub async fn pull(store: &Store, halt: &Halt) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    let sql = "INSERT INTO halt (one, actor, reason, since_us, lift) VALUES (1, ?, ?, ?, ?) \
               ON CONFLICT (one) DO UPDATE SET actor = excluded.actor, reason = excluded.reason, since_us = excluded.since_us, \
               lift = CASE WHEN excluded.lift THEN excluded.lift ELSE halt.lift END";
    let query = sqlx::query(sql).bind(&halt.actor).bind(&halt.reason).bind(halt.since_us).bind(halt.lift);
    query.execute(&mut *tx).await?;
    let detail = json!({ "halted": true, "reason": halt.reason, "lift": halt.lift });
    audit::pend(&mut tx, halt.since_us, &Fact::new(What::Halt, &halt.actor, "", detail)).await?;
    Ok(tx.commit().await?)
}

/// Lets go of it; false when it was not pulled.
pub async fn release(store: &Store, actor: &str, now_us: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let gone = sqlx::query("DELETE FROM halt").execute(&mut *tx).await?.rows_affected();
    if gone > 0 {
        audit::pend(&mut tx, now_us, &Fact::new(What::Halt, actor, "", json!({ "halted": false }))).await?;
    }
    tx.commit().await?;
    Ok(gone > 0)
}

/// An entry of the never-block list, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Never {
    pub entity: String,
    pub owner: String,
    pub reason: String,
    pub created_us: i64,
    pub expires_us: Option<i64>,
}

/// Adds an address or network, in its plain spelling.
pub async fn protect(store: &Store, scope: Scope, never: &Never) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    // Put on the list anew, it stands at its end.
    sqlx::query("DELETE FROM never_block WHERE entity = ?").bind(scope.to_string()).execute(&mut *tx).await?;
    let sql = "INSERT INTO never_block (entity, owner, reason, created_us, expires_us) VALUES (?, ?, ?, ?, ?)";
    let query = sqlx::query(sql).bind(scope.to_string()).bind(&never.owner).bind(&never.reason);
    query.bind(never.created_us).bind(never.expires_us).execute(&mut *tx).await?;
    let until = never.expires_us.map(super::incident::rfc3339);
    let detail = json!({ "added": true, "reason": never.reason, "until": until });
    let fact = Fact::new(What::NeverBlock, &never.owner, &scope.to_string(), detail);
    audit::pend(&mut tx, never.created_us, &fact).await?;
    Ok(tx.commit().await?)
}

/// Takes it off the list; false when it was not on it.
pub async fn unprotect(store: &Store, scope: Scope, actor: &str, now_us: i64) -> Result<bool, StoreError> {
    let mut tx = store.begin().await?;
    let query = sqlx::query("DELETE FROM never_block WHERE entity = ?").bind(scope.to_string());
    let gone = query.execute(&mut *tx).await?.rows_affected();
    if gone > 0 {
        let fact = Fact::new(What::NeverBlock, actor, &scope.to_string(), json!({ "added": false }));
        audit::pend(&mut tx, now_us, &fact).await?;
    }
    tx.commit().await?;
    Ok(gone > 0)
}

pub async fn protected(store: &Store) -> Result<Vec<Never>, StoreError> {
    let sql = "SELECT entity, owner, reason, created_us, expires_us FROM never_block ORDER BY n";
    let rows = sqlx::query(sql).fetch_all(store.pool()).await?;
    let never = |row: &sqlx::sqlite::SqliteRow| {
        Ok(Never {
            entity: row.try_get(0)?,
            owner: row.try_get(1)?,
            reason: row.try_get(2)?,
            created_us: row.try_get(3)?,
            expires_us: row.try_get(4)?,
        })
    };
    rows.iter().map(never).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::incident::desk::{Suppression, suppress};

    #[tokio::test]
    async fn whatever_another_process_writes_is_noticed_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("state.db");
        let (ours, theirs) = (Store::open(&path).await.expect("opens"), Store::open(&path).await.expect("opens again"));
        let changes = Changes::new(ours.clone());
        changes.refresh(0).await.expect("read");
        assert!(!changes.refresh(0).await.expect("read"), "nothing happened");
        let of = |owner| {
            Suppression::new(("client_ip", "203.0.113.7"), None, "a test", 1_000_000, owner, 0).expect("good words")
        };
        suppress(&ours, &of("us")).await.expect("written");
        assert!(!changes.refresh(0).await.expect("read"), "what this process wrote it knows");
        suppress(&theirs, &of("them")).await.expect("written");
        assert!(changes.refresh(0).await.expect("read"), "another process wrote");
        assert!(!changes.refresh(0).await.expect("read"), "it was noticed");

        let halt = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: 1, lift: false };
        pull(&ours, &halt).await.expect("written");
        assert!(changes.refresh(0).await.expect("read"), "the switch counts, whoever pulls it");
        assert_eq!(changes.live().halt, Some(halt.clone()));
        for lift in [true, false] {
            pull(&ours, &Halt { lift, ..halt.clone() }).await.expect("written");
        }
        changes.refresh(0).await.expect("read");
        assert!(changes.live().halt.as_ref().is_some_and(|halt| halt.lift), "what is lifted stays so");
    }

    #[tokio::test]
    async fn what_is_known_of_whoever_acts_stands_beside_the_name_they_claim() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&folder.path().join("state.db")).await.expect("opens");
        let halt = Halt { actor: "noor".to_owned(), reason: "a test".to_owned(), since_us: 1, lift: false };
        let known = json!({ "via": "command line", "uid": "1000", "user": "shop" });
        audit::in_the_name_of(known.clone(), pull(&store, &halt)).await.expect("written");
        release(&store, audit::SELF, 2).await.expect("written");
        let sql = "SELECT actor, detail FROM audit_pending ORDER BY n";
        let rows: Vec<(String, String)> = sqlx::query_as(sql).fetch_all(store.pool()).await.expect("rows");
        let known_of = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON")["known"].clone();
        let told: Vec<_> = rows.iter().map(|(actor, detail)| (actor.as_str(), known_of(detail))).collect();
        assert_eq!(told, [("noor", known), (audit::SELF, serde_json::Value::Null)]);
    }
}
