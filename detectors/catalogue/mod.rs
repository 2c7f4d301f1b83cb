//! The built-in detectors, one folder each: `<owasp>/<name>/detector.yaml` and its `cases/`. One line of the table per
//! detector; everything in it is compiled into the binary.
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

macro_rules! entry {
    ($folder:literal: $($case:literal),+) => {
        Entry {
            folder: $folder,
            detector: include_str!(concat!($folder, "/detector.yaml")),
            cases: &[$(($case, include_str!(concat!($folder, "/cases/", $case))),)+],
        }
    };
}

/// The table.
pub static ENTRIES: &[Entry] = &[
    entry!("api1-object-authorization/object-walk":
        "fires-on-counting-up.yaml",
        "look-alike-hourly-synchronisation.yaml",
        "look-alike-the-same-again.yaml",
        "near-miss-three-hundred-and-ninety.yaml"),
    entry!("api2-authentication/auth-burst-new-ip":
        "fires-on-stolen-tokens.yaml",
        "fires-without-credentials.yaml",
        "look-alike-mistyped-password.yaml",
        "look-alike-revoked-key.yaml",
        "look-alike-token-ran-out.yaml",
        "near-miss-nine.yaml",
        "near-miss-slow.yaml"),
    entry!("api2-authentication/brute-force-principal":
        "fires-behind-a-token.yaml",
        "fires-from-six-addresses.yaml",
        "fires-on-basic-authentication.yaml",
        "look-alike-expired-session.yaml",
        "look-alike-mistyped-password.yaml",
        "look-alike-revoked-key.yaml",
        "near-miss-many-accounts.yaml",
        "near-miss-nine.yaml"),
    entry!("api2-authentication/brute-force-principal-day":
        "fires-on-nine-in-five-minutes.yaml",
        "look-alike-old-password.yaml",
        "look-alike-revoked-key.yaml",
        "near-miss-ninety-nine.yaml"),
    entry!("api2-authentication/password-spraying":
        "fires-behind-a-token.yaml",
        "fires-on-a-list.yaml",
        "look-alike-expired-sessions.yaml",
        "look-alike-family.yaml",
        "look-alike-office.yaml",
        "near-miss-seven.yaml"),
    entry!("api2-authentication/password-spraying-day":
        "fires-on-seven-an-hour.yaml",
        "look-alike-office.yaml",
        "look-alike-small-office.yaml",
        "near-miss-twenty-nine.yaml"),
    entry!("api2-authentication/password-spraying-whole":
        "fires-on-twenty-by-twenty.yaml",
        "look-alike-one-account.yaml",
        "look-alike-tokens-ran-out.yaml",
        "near-miss-fourteen.yaml"),
    entry!("api2-authentication/account-many-addresses":
        "fires-on-a-botnet.yaml",
        "look-alike-old-password.yaml",
        "look-alike-shared-account.yaml",
        "near-miss-seven.yaml"),
    entry!("api2-authentication/credentials-tried-day":
        "fires-on-nine-in-two-minutes.yaml",
        "look-alike-revoked-key.yaml",
        "look-alike-tokens-of-an-hour.yaml",
        "near-miss-ninety-nine.yaml"),
    entry!("api4-resource-consumption/traffic-spike-ip":
        "fires-on-twentyfold.yaml",
        "look-alike-hourly-batch.yaml",
        "look-alike-morning.yaml",
        "look-alike-new-client.yaml",
        "near-miss-too-few.yaml",
        "near-miss-twice-as-much.yaml"),
    entry!("api6-business-flows/bulk-export-bytes":
        "fires-on-sixtyfold.yaml",
        "look-alike-few-large-documents.yaml",
        "look-alike-month-end.yaml",
        "look-alike-nightly-job.yaml",
        "near-miss-threefold.yaml",
        "near-miss-too-little.yaml"),
    entry!("api6-business-flows/bulk-export-calls":
        "fires-on-a-first-export.yaml",
        "fires-on-a-script.yaml",
        "look-alike-month-end.yaml",
        "look-alike-nightly-job.yaml",
        "near-miss-nine-calls.yaml",
        "near-miss-refused.yaml"),
    entry!("api6-business-flows/bulk-export-calls-hour":
        "fires-on-nine-in-five-minutes.yaml",
        "look-alike-month-end.yaml",
        "look-alike-nightly-job.yaml",
        "near-miss-thirty-eight.yaml"),
    entry!("api8-misconfiguration/error-spike-4xx-client":
        "fires-on-a-taken-over-integration.yaml",
        "look-alike-expired-key.yaml",
        "look-alike-poller.yaml",
        "look-alike-wall-display.yaml",
        "near-miss-one-in-seven.yaml"),
    entry!("api8-misconfiguration/error-spike-4xx-whole":
        "fires-on-a-broken-release.yaml",
        "look-alike-one-endpoint.yaml",
        "look-alike-quiet-night.yaml",
        "near-miss-eleven-percent.yaml"),
    entry!("api8-misconfiguration/error-spike-4xx":
        "fires-on-refused-imports.yaml",
        "look-alike-missing-file.yaml",
        "look-alike-poller.yaml",
        "near-miss-few-requests.yaml",
        "near-miss-one-in-seven.yaml"),
    entry!("api8-misconfiguration/error-spike-5xx-whole":
        "fires-on-an-outage.yaml",
        "look-alike-one-endpoint.yaml",
        "look-alike-quiet-night.yaml",
        "near-miss-eight-percent.yaml"),
    entry!("api8-misconfiguration/error-spike-5xx":
        "fires-on-a-quarter-failing.yaml",
        "look-alike-always-broken.yaml",
        "look-alike-always-flaky.yaml",
        "look-alike-client-errors.yaml",
        "look-alike-one-error-at-night.yaml",
        "near-miss-nine-percent.yaml"),
    entry!("api8-misconfiguration/error-spike-5xx-small":
        "fires-on-payouts-that-all-fail.yaml",
        "look-alike-always-broken.yaml",
        "look-alike-one-error-at-night.yaml",
        "near-miss-five.yaml"),
    entry!("api9-inventory/endpoint-sweep":
        "fires-on-a-sweep.yaml",
        "fires-under-a-monitors-name.yaml",
        "look-alike-docs-crawler.yaml",
        "look-alike-identifiers.yaml",
        "look-alike-monitor.yaml",
        "look-alike-office.yaml",
        "near-miss-ninety-nine.yaml",
        "near-miss-three-minutes.yaml"),
    entry!("api9-inventory/path-probing":
        "fires-on-a-word-list.yaml",
        "fires-on-disguised-paths.yaml",
        "fires-on-identifiers-behind.yaml",
        "fires-under-a-bots-name.yaml",
        "look-alike-broken-release.yaml",
        "look-alike-contact-sync.yaml",
        "look-alike-missing-files.yaml",
        "look-alike-names-with-escapes.yaml",
        "look-alike-old-page.yaml",
        "look-alike-poller.yaml",
        "look-alike-search-robot.yaml",
        "look-alike-session-ran-out.yaml",
        "near-miss-nine-paths.yaml",
        "near-miss-slow.yaml"),
    entry!("api9-inventory/path-probing-day":
        "fires-on-eight-in-two-minutes.yaml",
        "fires-on-words-with-an-identifier.yaml",
        "look-alike-deleted-objects.yaml",
        "look-alike-office-after-a-move.yaml",
        "near-miss-ninety-nine.yaml"),
    entry!("api9-inventory/path-probing-whole":
        "fires-on-twenty-addresses.yaml",
        "look-alike-broken-release.yaml",
        "look-alike-office.yaml",
        "near-miss-seventy.yaml"),
];

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
