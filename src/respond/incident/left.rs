//! Alerts of which only one side knows: detection or the state store.
//!
//! * Those that are open and that nobody can close: their detector is gone, or goes on without what it held. At a start, and when
//!   detectors are changed while the service runs.
//! * Those that detection holds open and the state store does not know, since it was lost or restored; and those that are open there
//!   alone, once all was read to its end.
//!
//! Promises: each that nobody can close is closed by an update of its own that says why and is dated as its last one, so that its
//! incident ends and what keeps its attacker out is no longer renewed.
//! Never: closes an alert whose detector goes on before all was read to its end: what was read since the last checkpoint is read, and
//! told, again.

use std::collections::HashSet;

use schemas::Alert;
use schemas::alert::State;

use super::desk::{self, WhichAlerts};
use crate::store::{Store, StoreError};

/// What the evidence says, as after a change while the service runs.
const WHY: &str = "the detector was changed or taken away";
const NOT_HELD: &str = "detection does not hold it open, as after a restore";

/// The updates that close them.
pub async fn closings(store: &Store, goes_on: impl Fn(&str) -> bool) -> Result<Vec<Alert>, StoreError> {
    let open = desk::alerts(store, &WhichAlerts { open: true, limit: u32::MAX, ..WhichAlerts::default() }).await?;
    let left = open.into_iter().map(|(alert, _)| alert).filter(|alert| !goes_on(&alert.detector));
    Ok(left.map(|alert| closed(alert, WHY)).collect())
}

/// Those that the state store does not know: whoever answers alerts never heard of them.
pub async fn unknown(store: &Store, open: Vec<Alert>) -> Result<Vec<Alert>, StoreError> {
    let mut unknown = Vec::new();
    for alert in open {
        if desk::alert(store, &alert.id).await?.is_none() {
            unknown.push(alert);
        }
    }
    Ok(unknown)
}

/// The updates that close what is open here and is none of these, all that detection holds once it has read everything.
pub async fn not_held(store: &Store, held: &HashSet<String>) -> Result<Vec<Alert>, StoreError> {
    let open = desk::alerts(store, &WhichAlerts { open: true, limit: u32::MAX, ..WhichAlerts::default() }).await?;
    let left = open.into_iter().map(|(alert, _)| alert).filter(|alert| !held.contains(&alert.id));
    Ok(left.map(|alert| closed(alert, NOT_HELD)).collect())
}

fn closed(mut alert: Alert, why: &str) -> Alert {
    if let Some(evidence) = alert.evidence.as_object_mut() {
        evidence.insert("closed".to_owned(), why.into());
    }
    Alert { state: State::Closed, revision: alert.revision.saturating_add(1), ..alert }
}
