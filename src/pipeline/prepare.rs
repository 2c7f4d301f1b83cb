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

    /// The events with their marks, and what was computed of them.
    pub fn prepare(&self, events: RecordBatch) -> (RecordBatch, Result<Prepared, EngineError>) {
        let wants = self.wants.read().unwrap_or_else(PoisonError::into_inner).clone();
        match self.blocked.mark(&events) {
            Ok(marked) => {
                let prepared = wants.prepare(&marked);
                (marked, prepared)
            }
            Err(error) => (events, Err(error.into())),
        }
    }
}
