//! What one run did.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;

use crate::survey::Survey;

/// What one run did, for people and for `--summary`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    pub records: u64,
    pub events: u64,
    pub rejects: u64,
    /// By source: what its events and rejects look like as a whole.
    pub surveys: BTreeMap<Arc<str>, Survey>,
    pub late: u64,
    pub ahead: u64,
    pub bytes: u64,
    pub alerts_opened: u64,
    /// Those of them that opened as parts of others.
    pub alert_parts: u64,
    pub first_event_us: Option<i64>,
    pub last_event_us: Option<i64>,
}

impl Totals {
    pub(super) fn note_times(&mut self, events: &arrow::record_batch::RecordBatch) {
        let Some(times) = events.column_by_name("time") else { return };
        let times = times.as_primitive::<TimestampMicrosecondType>();
        if times.is_empty() {
            return;
        }
        let (first, last) = (arrow::compute::min(times), arrow::compute::max(times));
        self.first_event_us = [self.first_event_us, first].into_iter().flatten().min();
        self.last_event_us = [self.last_event_us, last].into_iter().flatten().max();
    }
}
