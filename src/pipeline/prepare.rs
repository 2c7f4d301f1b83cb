//! What is done with a batch for detection on the thread that normalised it: what our own blocks denied is marked, and what the
//! detectors want of it is computed.
//!
//! Promises: it changes no alert; the engine computes anew what was computed for detectors that are gone.
//! Never: folds a row.

use std::sync::{Arc, PoisonError, RwLock};

use arrow::record_batch::RecordBatch;
use detectors::{Engine, EngineError, Prepared, Wants};

use crate::blocked::Blocked;

/// Shared by the threads that normalise and the one that detects.
pub struct Prepare {
    /// Whom our own blocks keep out.
    blocked: Arc<Blocked>,
    wants: RwLock<Wants>,
}

impl Prepare {
    pub fn new(blocked: Arc<Blocked>, engine: &Engine) -> Prepare {
        Prepare { blocked, wants: RwLock::new(engine.wants()) }
    }

    /// Other detectors run.
    pub fn swapped(&self, engine: &Engine) {
        *self.wants.write().unwrap_or_else(PoisonError::into_inner) = engine.wants();
    }

    /// The events with their marks, and, where it `computes`, what was computed of them; otherwise the engine does.
    pub fn prepare(&self, events: RecordBatch, computes: bool) -> (RecordBatch, Option<Result<Prepared, EngineError>>) {
        let marked = match self.blocked.mark(&events) {
            Ok(marked) => marked,
            Err(error) => return (events, Some(Err(error.into()))),
        };
        let wants = || self.wants.read().unwrap_or_else(PoisonError::into_inner).clone();
        let prepared = computes.then(|| wants().prepare(&marked));
        (marked, prepared)
    }
}
