//! The table of attack kinds: one row and one small function each, which tells the attack at three strengths and its
//! harmless twin. A new kind is a row here and a function in the file of its OWASP item.
//!
//! Promises: names are different; every kind has a twin.
//! Never: says when a kind is told; `mod.rs` has the calendar.

use super::story::Story;
use super::{credentials, exports, flows, functions, inventory, objects, probes, tokens, troubles};
use crate::demo::formats::Format;

/// What a log must hold for a kind to be seen in it at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Who calls, or with which credential.
    Identity,
    Tenant,
    Records,
    Tls,
    /// Time taken, bytes received.
    Measures,
}

pub(super) struct Kind {
    pub(super) id: &'static str,
    pub(super) owasp: &'static str,
    pub(super) needs: &'static [Need],
    /// Detectors that say what it is.
    pub(super) tells: &'static [&'static str],
    /// Days of quiet that those who know it need first.
    pub(super) after_days: u32,
    /// Happens on a day on which people work.
    pub(super) at_work: bool,
    pub(super) play: fn(&mut Story<'_>),
}

use Need::{Identity, Measures, Records, Tenant, Tls};

const fn row(
    owasp: &'static str,
    id: &'static str,
    needs: &'static [Need],
    play: fn(&mut Story<'_>),
    tells: &'static [&'static str],
) -> Kind {
    Kind { id, owasp, needs, tells, after_days: 8, at_work: false, play }
}

/// For what people have to meet.
const fn at_work(mut kind: Kind) -> Kind {
    kind.at_work = true;
    kind
}

/// For what is news: the detectors learn for a fortnight.
const fn late(mut kind: Kind) -> Kind {
    kind.after_days = 15;
    kind
}

const REFUSED: &[&str] = &[
    "objects-refused",
    "objects-refused-person",
    "objects-refused-day",
    "objects-refused-address",
    "objects-refused-endpoint",
];
const PROBED: &[&str] = &["path-probing", "path-probing-day", "path-probing-whole", "endpoint-sweep"];
const EXPORTED: &[&str] =
    &["bulk-export-bytes", "bulk-export-calls", "bulk-export-calls-hour", "bulk-export-rows", "export-ceiling-day"];
const TRAVEL: &[&str] = &[
    "impossible-travel",
    "token-two-places",
    "session-many-networks",
    "session-many-countries",
    "session-many-agents",
    "account-many-networks",
];
const GUESSED: &[&str] = &[
    "brute-force-principal",
    "brute-force-principal-day",
    "account-many-addresses",
    "login-after-failures",
    "auth-burst-new-ip",
];
const SPRAYED: &[&str] =
    &["password-spraying", "password-spraying-day", "password-spraying-whole", "stuffing-hit", "auth-burst-new-ip"];
const FAILING: &[&str] = &["error-spike-5xx", "error-spike-5xx-whole", "error-spike-5xx-small", "retry-storm"];
const SLOW: &[&str] = &["latency-spike", "latency-spike-whole"];
const FUNCTIONS: &[&str] =
    &["functions-refused", "functions-refused-credential", "functions-refused-day", "admin-refused"];

#[rustfmt::skip]
pub(super) static KINDS: &[Kind] = &[
    row("API1", "object-guessing", &[Identity], objects::guessing, REFUSED),
    row("API1", "object-guessing-slow", &[Identity], objects::guessing_slow, REFUSED),
    row("API1", "object-guessing-one-address", &[], objects::guessing_one_address, REFUSED),
    row("API1", "object-guessing-spread", &[], objects::guessing_spread, REFUSED),
    row("API1", "object-walk", &[], objects::walk, &["object-walk", "object-walk-address"]),
    row("API1", "tenants-read", &[Identity, Tenant], objects::tenants_read, &["tenants-many"]),
    row("API1", "tenants-tried", &[Identity, Tenant], objects::tenants_tried, &["tenants-refused"]),
    row("API2", "brute-force", &[Identity], credentials::brute_force, GUESSED),
    row("API2", "brute-force-slow", &[Identity], credentials::brute_force_slow, GUESSED),
    row("API2", "brute-force-spread", &[Identity], credentials::brute_force_spread, GUESSED),
    row("API2", "guessed-password", &[Identity], credentials::guessed_password, GUESSED),
    row("API2", "spraying", &[Identity], credentials::spraying, SPRAYED),
    row("API2", "spraying-slow", &[Identity], credentials::spraying_slow, SPRAYED),
    row("API2", "spraying-spread", &[Identity], credentials::spraying_spread, SPRAYED),
    row("API2", "stuffing-hit", &[Identity], credentials::stuffing_hit, SPRAYED),
    row("API2", "tokens-tried", &[Identity], credentials::tokens_tried, &["auth-burst-new-ip", "credentials-tried-day"]),
    row("API2", "tokens-tried-slow", &[Identity], credentials::tokens_tried_slow, &["credentials-tried-day"]),
    row("API2", "attack-tool-inside", &[Identity], credentials::attack_tool, &["account-with-attack-tool", "scanner-agent"]),
    row("API2", "impossible-travel", &[Identity], tokens::travel, TRAVEL),
    row("API2", "stolen-session", &[Identity], tokens::stolen_session, TRAVEL),
    row("API2", "shared-session", &[Identity], tokens::shared_session, TRAVEL),
    row("API2", "account-resold", &[Identity], tokens::resold, TRAVEL),
    row("API2", "session-of-many", &[Identity], tokens::session_of_many, &["session-many-principals"]),
    row("API2", "token-minting", &[Identity], tokens::minting, &["account-many-credentials"]),
    row("API2", "unsigned-token", &[Identity], tokens::unsigned, &["jwt-none-accepted"]),
    row("API2", "unsigned-token-tried", &[Identity], tokens::unsigned_tried, &["jwt-none-tried"]),
    row("API2", "expired-token-accepted", &[Identity], tokens::expired, &["jwt-expired-accepted"]),
    row("API2", "foreign-issuer", &[Identity], tokens::issuer, &["jwt-new-issuer"]),
    row("API2", "endless-token", &[Identity], tokens::endless, &["jwt-without-expiry"]),
    row("API2", "secret-in-query", &[], tokens::in_query, &["secret-in-query"]),
    late(row("API2", "stolen-machine-key", &[Identity], tokens::machine_key, &["machine-new-network"])),
    row("API3", "rows-at-once", &[Identity, Records], exports::rows_at_once, &["rows-ceiling", "bulk-export-rows", "bulk-export-bytes"]),
    row("API4", "traffic-spike", &[], troubles::spike, &["traffic-spike-ip", "traffic-spike-credential", "request-flood"]),
    row("API4", "session-hammered", &[Identity], troubles::hammered, &["traffic-spike-ip", "traffic-spike-credential"]),
    row("API4", "limited-and-goes-on", &[], troubles::limited, &["limited-and-goes-on", "error-spike-4xx-client"]),
    row("API4", "slow-requests", &[Measures], troubles::slow_requests, &["slow-requests-client"]),
    at_work(row("API4", "endpoint-slow", &[Measures], troubles::slow_endpoint, SLOW)),
    row("API4", "agent-rotation", &[], troubles::rotation, &["agent-rotation"]),
    row("API4", "upload-flood", &[Identity, Measures], troubles::uploads, &["bulk-upload-bytes"]),
    row("API4", "retry-storm", &[], troubles::retries, FAILING),
    row("API5", "functions-tried", &[Identity], functions::tried, FUNCTIONS),
    row("API5", "functions-tried-slow", &[Identity], functions::tried_slow, FUNCTIONS),
    row("API5", "functions-tried-session", &[Identity], functions::tried_session, FUNCTIONS),
    row("API5", "admin-tried", &[Identity], functions::admin_tried, FUNCTIONS),
    row("API5", "methods-tried", &[], functions::methods, &["methods-tried", "method-tampering"]),
    late(row("API5", "new-administrator", &[Identity], functions::new_admin, &["admin-newcomer", "admin-scope-newcomer"])),
    late(row("API5", "administrator-abroad", &[Identity], functions::admin_abroad, &["admin-new-country", "admin-newcomer", "impossible-travel"])),
    row("API6", "export-burst", &[Identity], exports::burst, EXPORTED),
    row("API6", "export-spread", &[Identity], exports::spread, EXPORTED),
    row("API6", "rows-taken-out", &[Identity, Records], exports::rows_taken, EXPORTED),
    row("API6", "page-walk", &[Identity], exports::page_walk, &["page-walk", "bulk-export-rows", "bulk-export-bytes"]),
    row("API6", "page-walk-stranger", &[], exports::page_walk_stranger, &["page-walk-client"]),
    row("API6", "card-testing", &[], flows::cards, &["card-testing"]),
    row("API6", "code-guessing", &[], flows::codes, &["code-guessing"]),
    row("API6", "otp-sending", &[], flows::otp, &["otp-sending-client", "otp-sending-whole"]),
    row("API6", "otp-sending-spread", &[], flows::otp_spread, &["otp-sending-whole"]),
    row("API6", "sign-ups", &[], flows::sign_ups, &["signup-burst-client", "signup-spike-whole"]),
    row("API6", "sign-ups-spread", &[], flows::sign_ups_spread, &["signup-spike-whole"]),
    row("API7", "ssrf-metadata", &[], probes::metadata, &["ssrf-metadata"]),
    row("API7", "ssrf-internal", &[], probes::internal, &["ssrf-internal-targets"]),
    row("API8", "client-refused", &[], troubles::client_refused, &["error-spike-4xx", "error-spike-4xx-client"]),
    at_work(row("API8", "endpoint-fails", &[], troubles::endpoint_fails, FAILING)),
    at_work(row("API8", "outage", &[], troubles::outage, FAILING)),
    row("API8", "debug-page", &[], probes::debug_page, &["debug-path-answered"]),
    row("API8", "injection", &[], probes::injection, &["injection-probing", "injection-answered"]),
    row("API8", "injection-answered", &[], probes::answered, &["injection-probing", "injection-answered"]),
    row("API8", "log4shell", &[], probes::log4shell, &["log4shell"]),
    row("API8", "method-tampering", &[], functions::tampering, &["method-tampering", "methods-tried"]),
    row("API8", "old-tls", &[Identity, Tls], tokens::old_tls, &["old-tls-credentials"]),
    row("API8", "scanner", &[], probes::scanner, &["scanner-agent"]),
    row("API8", "trace-answered", &[], functions::trace, &["trace-answered"]),
    row("API9", "endpoint-sweep", &[], inventory::sweep, PROBED),
    row("API9", "path-probing", &[], inventory::probing, PROBED),
    row("API9", "path-probing-slow", &[], inventory::probing_slow, PROBED),
    row("API9", "path-probing-spread", &[], inventory::probing_spread, PROBED),
    row("API9", "options-sweep", &[], inventory::options, &["options-sweep"]),
    late(row("API9", "zombie-endpoint", &[], inventory::zombie, &["zombie-endpoint-answers"])),
    at_work(row("API10", "traffic-lost", &[], troubles::lost, &["traffic-lost"])),
    row("API10", "webhook-forged", &[], inventory::webhook_forged, &["webhook-forged"]),
    late(row("API10", "webhook-from-elsewhere", &[], inventory::webhook_elsewhere, &["webhook-new-network"])),
];

impl Format {
    /// Whether a line of this format, as the demo writes it, holds what a kind needs.
    pub(super) fn holds(self, need: Need) -> bool {
        match self {
            Format::Kong | Format::NginxJson => true,
            Format::Envoy => !matches!(need, Need::Tenant | Need::Records),
            Format::NginxCombined => false,
        }
    }
}
