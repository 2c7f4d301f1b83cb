//! The built-in detectors, one folder each: `<owasp>/<name>/detector.yaml` and its `cases/`, compiled into the
//! binary. A detector is added by its folder alone.
//!
//! Promises: every detector is valid and has a case that fires and one that must stay quiet (`tests/catalogue.rs` walks the table).
//! Never: reads a file at run time.

use std::sync::Arc;

use crate::case::{Case, parse_case};
use crate::rule::{Rule, RuleError, parse_rule};

/// A built-in detector and its cases, as text.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Folder below `catalogue/`.
    pub folder: &'static str,
    pub detector: &'static str,
    /// File name and text of each case.
    pub cases: &'static [(&'static str, &'static str)],
}

/// The table, which `build.rs` makes of the folders.
pub static ENTRIES: &[Entry] = include!(concat!(env!("OUT_DIR"), "/catalogue.rs"));

impl Entry {
    pub fn rule(&self) -> Result<Rule, RuleError> {
        parse_rule(self.detector, &format!("{}/detector.yaml", self.folder))
    }

    pub fn cases(&self) -> Result<Vec<Case>, RuleError> {
        self.cases.iter().map(|(name, text)| parse_case(text, &format!("{}/cases/{name}", self.folder))).collect()
    }
}

/// All built-in detectors.
pub fn catalogue() -> Vec<Arc<Rule>> {
    ENTRIES.iter().map(|entry| Arc::new(entry.rule().expect("tests check every built-in detector"))).collect()
}
