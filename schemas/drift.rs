//! Drift: keys in the records that the mapping does not know. A gateway was upgraded, a plugin was added, a field was
//! renamed: here it shows first.
//!
//! Promises: a deterministic sample (by offset), bounded memory; key names are scrubbed, for a key may hold anything.
//! Never: looks at values.

use std::collections::BTreeMap;

use crate::limits::{DRIFT_KEY_BYTES_MAX, DRIFT_KEYS_MAX, DRIFT_SAMPLE};
use crate::redact::{floor, scrub};
use crate::sources::Plan;
use crate::sources::json::unknown_keys;

#[derive(Default)]
pub(crate) struct Drift {
    counts: BTreeMap<String, u64>,
}

impl Drift {
    /// Is the record at this offset one of the sample?
    pub(crate) fn samples(offset: i64) -> bool {
        offset.rem_euclid(DRIFT_SAMPLE) == 0
    }

    pub(crate) fn observe(&mut self, plan: &Plan, text: &str) {
        unknown_keys(plan, text, &mut |path| {
            let key = scrub(&path[..floor(path, DRIFT_KEY_BYTES_MAX)]);
            if let Some(count) = self.counts.get_mut(key.as_ref()) {
                *count += 1;
                return;
            }
            let key = if self.counts.len() < DRIFT_KEYS_MAX { key.into_owned() } else { "…".to_string() };
            *self.counts.entry(key).or_default() += 1;
        });
    }

    pub(crate) fn report(&self) -> Vec<(String, u64)> {
        let mut report: Vec<_> = self.counts.iter().map(|(key, count)| (key.clone(), *count)).collect();
        report.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        report
    }
}
