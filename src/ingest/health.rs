//! How the sources are: which can be read, which failed and when they are tried again. Sources write it, whoever shows
//! the service reads it.
//!
//! Promises: one entry per configured source, so it is bounded by the configuration; words of errors only, which never hold
//! a record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How one source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceHealth {
    /// Why it cannot be read now; none while it can.
    pub error: Option<String>,
    /// Since when, in microseconds since 1970.
    pub since_us: Option<i64>,
    /// When it is opened again; none where the source itself tries again, and where nobody does.
    pub next_try_us: Option<i64>,
    /// How often it failed.
    pub failures: u64,
    /// Of a topic: how many of its partitions this copy reads, of how many.
    pub share: Option<(u32, u32)>,
    /// Since when that is fewer than all.
    pub shared_since_us: Option<i64>,
    /// It was read to its end, or given up on.
    pub ended: bool,
}

/// Of all sources, by name.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<BTreeMap<String, SourceHealth>>>);

impl Health {
    /// Changes the entry of one source.
    pub fn change(&self, source: &str, change: impl FnOnce(&mut SourceHealth)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(source) {
            Some(health) => change(health),
            None => change(all.entry(source.to_owned()).or_default()),
        }
    }

    pub fn all(&self) -> BTreeMap<String, SourceHealth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The sources that ended with an error nobody mends any more.
    pub fn given_up(&self) -> Vec<(String, String)> {
        let given_up = |(name, health): (String, SourceHealth)| Some((name, health.error.filter(|_| health.ended)?));
        self.all().into_iter().filter_map(given_up).collect()
    }
}
