//! What detectors need of a batch, computed before the engine gets it: on any thread, by what the engine wants at the time.
//!
//! Promises: a batch that was prepared gives the same alerts as one that was not. What was prepared for other detectors, or
//! before it was known which rows are late, where that counts, is computed anew.
//! Never: keeps anything of one batch for the next.

use std::sync::Arc;

use arrow::array::RecordBatch;

use super::columns::{Columns, Plan};
use super::{EngineError, check_schema};

/// What the detectors of an engine want of every batch. A reload of detectors changes it.
#[derive(Clone, Debug)]
pub struct Wants {
    plan: Arc<Plan>,
}

/// What was computed of one batch.
pub struct Prepared {
    plan: Arc<Plan>,
    columns: Columns,
    unevaluated: usize,
}

impl Wants {
    pub(super) fn new(plan: &Arc<Plan>) -> Wants {
        Wants { plan: plan.clone() }
    }

    /// Computes it for a batch of the event schema.
    pub fn prepare(&self, events: &RecordBatch) -> Result<Prepared, EngineError> {
        check_schema(events)?;
        let (columns, unevaluated) = self.plan.compute(events)?;
        Ok(Prepared { plan: self.plan.clone(), columns, unevaluated })
    }
}

impl Prepared {
    /// What was computed, if it is what `plan` wants of these events, of which some are late if `any_late`; else that is
    /// computed now. With it, how many conditions could not be evaluated.
    pub(super) fn fitting(
        self,
        plan: &Arc<Plan>,
        events: &RecordBatch,
        any_late: bool,
    ) -> Result<(Columns, usize), EngineError> {
        let fits = Arc::ptr_eq(&self.plan, plan) && self.columns.times.len() == events.num_rows();
        if fits && !(any_late && plan.reads_late()) {
            return Ok((self.columns, self.unevaluated));
        }
        plan.compute(events)
    }
}
