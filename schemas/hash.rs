//! One hasher for the maps of this crate: fast, and seeded per process, so that nobody who writes log lines can make
//! keys collide.
//!
//! Never: decides anything that ends up in an event; only where in a map something lies.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

pub(crate) type FastMap<K, V> = HashMap<K, V, ahash::RandomState>;

pub(crate) fn map<K, V>() -> FastMap<K, V> {
    HashMap::with_hasher(state())
}

pub(crate) fn state() -> ahash::RandomState {
    let seed = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    ahash::RandomState::with_seeds(seed(), seed(), seed(), seed())
}
