//! The threads among which detectors are divided. Detectors know nothing of each other, so each sees its rows in order whoever
//! folds them.
//!
//! Promises: what comes of it is the same, in the same order, whatever the number of threads.
//! Never: used for a few rows, which would be folded before a thread has woken up.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::episode::Telling;
use crate::kit::Detector;

/// Rows for which threads are worth their waking up.
const ROWS_LEAST: usize = 512;

#[derive(Default)]
pub(super) struct Crew(Option<ThreadPool>);

impl Crew {
    /// One thread is the caller's own; so is what a machine gives that can start no more.
    pub fn new(threads: usize) -> Crew {
        let named = ThreadPoolBuilder::new().num_threads(threads).thread_name(|at| format!("detect-{}", at + 1));
        Crew(if threads > 1 { named.build().ok() } else { None })
    }

    /// What each detector tells, in the order of detectors, when it does `work` on so many rows.
    pub fn of_each(
        &self,
        detectors: &mut [Box<dyn Detector>],
        rows: usize,
        work: impl Fn(&mut Box<dyn Detector>) -> Vec<Telling> + Send + Sync,
    ) -> Vec<Telling> {
        match &self.0 {
            Some(threads) if rows >= ROWS_LEAST => threads
                .install(|| detectors.par_iter_mut().map(work).collect::<Vec<_>>())
                .into_iter()
                .flatten()
                .collect(),
            _ => detectors.iter_mut().flat_map(work).collect(),
        }
    }
}
