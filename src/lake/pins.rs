//! Which keys a lake was written with: per key an application transaction of `events` whose version is the key's
//! fingerprint, a keyed hash that says nothing about the key.
//!
//! Promises: a key that has the name of another one is refused before it writes anything.
//! Never: sees a key.

use schemas::KeyPin;

use super::Lake;
use super::error::LakeError;
use super::log::{Change, TableLog};

/// Set as soon as any key is known.
const ANY: &str = "gatewatch/keys:any";
/// Attempts against other copies that start at the same time.
const ATTEMPTS_MAX: usize = 8;

/// What opening a lake with some keys showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Those that wrote to it before.
    pub known: Vec<KeyPin>,
    /// Those that did not.
    pub new: Vec<KeyPin>,
    /// Other keys wrote to it before.
    pub others: bool,
}

impl Lake {
    /// Remembers these keys, and refuses one whose name another key has here.
    pub async fn pin_keys(&mut self, pins: &[KeyPin]) -> Result<Pinned, LakeError> {
        for _ in 0..ATTEMPTS_MAX {
            let pinned = look(&mut self.events, pins).await?;
            if pinned.new.is_empty() {
                return Ok(pinned);
            }
            let mut sets: Vec<(String, i64)> = pinned.new.iter().map(|pin| (app_id(pin), pin.fingerprint)).collect();
            let expects = sets.iter().map(|(id, _)| (id.clone(), None)).collect();
            sets.push((ANY.to_string(), 1));
            match self.events.commit(&Change { operation: Change::append(), actions: vec![], sets, expects }).await {
                Ok(_) => return Ok(pinned),
                // Another copy named a key in this moment: look whether it is ours.
                Err(LakeError::Fenced { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(LakeError::Busy { table: self.events.place.name(), attempts: ATTEMPTS_MAX })
    }
}

async fn look(events: &mut TableLog, pins: &[KeyPin]) -> Result<Pinned, LakeError> {
    events.refresh().await?;
    let mut pinned = Pinned::default();
    for pin in pins {
        match events.marker(&app_id(pin)).await? {
            Some(fingerprint) if fingerprint == pin.fingerprint => pinned.known.push(pin.clone()),
            Some(_) => return Err(LakeError::KeyDiffers { kind: pin.kind, id: pin.id.clone() }),
            None => pinned.new.push(pin.clone()),
        }
    }
    pinned.others = events.marker(ANY).await?.is_some() && pinned.known.iter().all(|pin| pin.kind != "token");
    Ok(pinned)
}

/// A colon is in no name of a source, so this is the marker of no partition.
fn app_id(pin: &KeyPin) -> String {
    format!("gatewatch/keys:{}:{}", pin.kind, pin.id)
}
