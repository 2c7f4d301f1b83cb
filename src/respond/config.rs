//! What an operator may say about responses: the `respond` section of the configuration.
//!
//! Promises: typed, unknown keys refused; defaults are written where the field is and are the careful choice (dry run on).
//! Secrets are references (`env` or `file`), never values.
//! Never: reads an environment variable or a file; the caller resolves references.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::action::Kind;
use super::actions::TargetsConfig;
use super::actions::common::Common;
use super::link::LinksConfig;
use super::policy;

/// A response configuration that cannot be used, and what was expected instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("respond.{at}: {problem}")]
pub struct ConfigError {
    /// The key, from `respond` down.
    pub at: String,
    pub problem: String,
}

impl ConfigError {
    pub fn new(at: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError { at: at.into(), problem: problem.into() }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RespondConfig {
    /// Record every action, send none. A target may say otherwise for itself.
    pub dry_run: bool,
    /// Which changes of an incident go out as messages.
    pub tell: Vec<Telling>,
    pub incidents: IncidentsConfig,
    /// What is done about which incident; the first entry that holds decides.
    pub policy: Vec<policy::Entry>,
    /// How often what is in force is held against what is wanted.
    #[serde(deserialize_with = "span")]
    pub reconcile_every: Duration,
    pub guard: GuardConfig,
    pub delivery: DeliveryConfig,
    pub targets: TargetsConfig,
    /// Links with which people agree to an action; without it there are none.
    pub links: Option<LinksConfig>,
}

impl Default for RespondConfig {
    fn default() -> RespondConfig {
        RespondConfig {
            dry_run: true,
            tell: vec![Telling::Open, Telling::Closed],
            incidents: IncidentsConfig::default(),
            policy: Vec::new(),
            reconcile_every: Duration::from_secs(60),
            guard: GuardConfig::default(),
            delivery: DeliveryConfig::default(),
            targets: TargetsConfig::default(),
            links: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Telling {
    Open,
    Updated,
    Closed,
}

/// How alerts become incidents.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IncidentsConfig {
    /// An alert joins an incident of the same attacker that was last told of within this time (of the events).
    #[serde(deserialize_with = "span")]
    pub join_within: Duration,
    /// An incident closes when none of its alerts has been open for so long.
    #[serde(deserialize_with = "span")]
    pub quiet: Duration,
    /// After this time a risk score is worth half.
    #[serde(deserialize_with = "span")]
    pub half_life: Duration,
    /// More new incidents than this within ten minutes are told of as one; 0: each by itself.
    pub digest_after: u32,
}

impl Default for IncidentsConfig {
    fn default() -> IncidentsConfig {
        IncidentsConfig {
            join_within: Duration::from_secs(3600),
            quiet: Duration::from_secs(300),
            half_life: Duration::from_secs(6 * 3600),
            digest_after: 20,
        }
    }
}

/// What happens to a block that would hit others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shared {
    /// It waits for a person.
    Ask,
    Refuse,
    /// It is sent all the same.
    Block,
}

/// Who may be behind an address that is blocked without asking.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PreflightConfig {
    /// Principals that made good requests from there in the day before.
    pub principals_max: u64,
    pub tenants_max: u64,
    pub shared: Shared,
}

impl Default for PreflightConfig {
    fn default() -> PreflightConfig {
        PreflightConfig { principals_max: 3, tenants_max: 1, shared: Shared::Ask }
    }
}

/// The guard rails of containment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Addresses and networks that are never blocked. Private, loopback and other special ranges and the trusted proxies
    /// of every source are always in.
    pub never_block: Vec<String>,
    /// Files with the published ranges of search engines and monitors, read again when they are replaced.
    pub never_block_files: Vec<PathBuf>,
    /// Autonomous systems whose addresses are never blocked.
    pub never_asns: Vec<u32>,
    /// Databases that tell the system of an address: those of `enrich.mmdb`, which the configuration as a whole has.
    #[serde(skip)]
    pub mmdb: Vec<PathBuf>,
    /// Principals that are neither revoked nor throttled.
    pub never_principals: Vec<String>,
    /// Offenders beyond this many within an hour wait until there is room.
    pub blocks_per_hour: u32,
    /// So many more, for critical incidents alone.
    pub critical_reserve: u32,
    /// The prefix at which IPv6 clients are blocked: a customer has at least a /64.
    pub ipv6_prefix: u8,
    /// More networks than this of one IPv6 range are blocked as the range; 0: never.
    pub neighbours_max: u32,
    pub preflight: PreflightConfig,
    /// How long a block lasts.
    #[serde(deserialize_with = "span")]
    pub ttl: Duration,
    /// What was last told longer ago than this is neither blocked nor told: the address may be somebody else's by now.
    #[serde(deserialize_with = "span")]
    pub alert_age_max: Duration,
}

/// No block lasts longer than this, whatever is configured.
pub const TTL_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

impl Default for GuardConfig {
    fn default() -> GuardConfig {
        GuardConfig {
            never_block: Vec::new(),
            never_block_files: Vec::new(),
            never_asns: Vec::new(),
            mmdb: Vec::new(),
            never_principals: Vec::new(),
            blocks_per_hour: 20,
            critical_reserve: 5,
            ipv6_prefix: 64,
            neighbours_max: 8,
            preflight: PreflightConfig::default(),
            ttl: Duration::from_secs(4 * 3600),
            alert_age_max: Duration::from_secs(24 * 3600),
        }
    }
}

/// How the outbox delivers. One set of figures for all targets.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// For one attempt, from connecting to the last byte of the answer.
    #[serde(deserialize_with = "span")]
    pub timeout: Duration,
    /// Then the action is parked. With the back-off below that is after three to seven hours of trying.
    pub attempts_max: u32,
    #[serde(deserialize_with = "span")]
    pub backoff_first: Duration,
    #[serde(deserialize_with = "span")]
    pub backoff_max: Duration,
    /// The longest wait a target can ask for with Retry-After.
    #[serde(deserialize_with = "span")]
    pub retry_after_max: Duration,
    /// Deliveries at the same time to one target.
    pub concurrency: usize,
    /// Failures in a row that open a target's breaker.
    pub breaker_failures: u32,
    /// How long it stays open before one delivery may try again.
    #[serde(deserialize_with = "span")]
    pub breaker_open: Duration,
    /// Actions that may wait for delivery, all targets together; what comes beyond is suppressed, visibly.
    pub pending_max: u32,
}

impl Default for DeliveryConfig {
    fn default() -> DeliveryConfig {
        DeliveryConfig {
            timeout: Duration::from_secs(10),
            attempts_max: 25,
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30 * 60),
            retry_after_max: Duration::from_secs(3600),
            concurrency: 4,
            breaker_failures: 5,
            breaker_open: Duration::from_secs(30),
            pending_max: 100_000,
        }
    }
}

impl RespondConfig {
    /// Everything that can be checked without the world; the first problem found.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.guard.check()?;
        policy::check(&self.policy)?;
        let day = Duration::from_secs(24 * 3600);
        if self.incidents.quiet > day || self.incidents.join_within > day * 30 {
            return Err(ConfigError::new("incidents", "`quiet` is at most 1d and `join_within` at most 30d"));
        }
        if self.incidents.half_life.is_zero() {
            return Err(ConfigError::new("incidents.half_life", "above 0"));
        }
        if self.reconcile_every < Duration::from_millis(100) || self.reconcile_every > day {
            return Err(ConfigError::new("reconcile_every", "between 100ms and 1d"));
        }
        self.delivery.check()?;
        self.links.as_ref().map_or(Ok(()), LinksConfig::check)?;
        self.targets.check()
    }
}

impl GuardConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if self.ttl < Duration::from_secs(1) || self.ttl > TTL_MAX {
            return Err(ConfigError::new("guard.ttl", "a block lasts between 1s and 7d"));
        }
        if !(32..=128).contains(&self.ipv6_prefix) {
            return Err(ConfigError::new("guard.ipv6_prefix", "between 32 and 128"));
        }
        if !self.never_asns.is_empty() && self.mmdb.is_empty() {
            let problem = "whose network an address is in is not known: it needs a database of autonomous systems in \
                           enrich.mmdb";
            return Err(ConfigError::new("guard.never_asns", problem));
        }
        Ok(())
    }
}

impl DeliveryConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: &str| Err(ConfigError::new(format!("delivery.{key}"), problem));
        let day = Duration::from_secs(24 * 3600);
        if self.timeout < Duration::from_millis(10) || self.timeout > Duration::from_secs(120) {
            return wrong("timeout", "between 10ms and 120s");
        }
        if self.attempts_max == 0 || self.attempts_max > 1000 {
            return wrong("attempts_max", "between 1 and 1000");
        }
        if self.backoff_first.is_zero() || self.backoff_first > self.backoff_max || self.backoff_max > day {
            return wrong("backoff_first", "above 0, at most backoff_max, and that at most 1d");
        }
        if self.retry_after_max > day {
            return wrong("retry_after_max", "at most 1d");
        }
        if self.concurrency == 0 || self.concurrency > 64 {
            return wrong("concurrency", "between 1 and 64");
        }
        if self.breaker_failures == 0 {
            return wrong("breaker_failures", "at least 1");
        }
        if self.breaker_open.is_zero() || self.breaker_open > day {
            return wrong("breaker_open", "above 0 and at most 1d");
        }
        if self.pending_max == 0 {
            return wrong("pending_max", "at least 1");
        }
        Ok(())
    }
}

/// Where a secret is to be found: `{ env: NAME }` or `{ file: PATH }`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub enum SecretRef {
    Env(String),
    File(String),
}

/// A reference as it is written. The error repeats nothing: a secret itself may stand there.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields, expecting = "expected {env: NAME} or {file: PATH}, not the secret itself")]
enum Written {
    Env { env: String },
    File { file: String },
}

impl From<Written> for SecretRef {
    fn from(written: Written) -> SecretRef {
        match written {
            Written::Env { env } => SecretRef::Env(env),
            Written::File { file } => SecretRef::File(file),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretRef::Env(name) => write!(f, "environment variable {name}"),
            SecretRef::File(path) => write!(f, "file {path}"),
        }
    }
}

/// A resolved secret. It prints as `***`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(value: impl Into<String>) -> Secret {
        Secret(value.into())
    }

    /// The value, without the line end that files of secrets tend to have.
    pub fn reveal(&self) -> &str {
        self.0.trim_end_matches(['\r', '\n'])
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Turns a reference into its value; the error says what is missing, never a value.
pub type Resolve<'a> = &'a dyn Fn(&SecretRef) -> Result<Secret, String>;

/// The address of a target: written out, or a secret where the address itself is the credential.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected an address, or {env: NAME} or {file: PATH}")]
pub enum Address {
    Plain(String),
    Hidden(SecretRef),
}

/// What every kind of target has, checked the same way.
pub(super) fn check_target(at: &str, common: &Common, able: &[Kind]) -> Result<(), ConfigError> {
    let shaped = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let name = common.name.as_str();
    if name.is_empty() || name.len() > 64 || !name.chars().all(shaped) || name == super::plan::NO_TARGET {
        let expected = "1 to 64 of a-z, 0-9, `-` and `_`, and not `none`";
        return Err(ConfigError::new(format!("{at}.name"), format!("`{name}` is no name: {expected}")));
    }
    if common.kinds.is_empty() {
        return Err(ConfigError::new(format!("{at}.kinds"), "a target takes at least one kind of action"));
    }
    if let Some(kind) = common.kinds.iter().find(|kind| !able.contains(kind)) {
        let known: Vec<&str> = able.iter().map(|kind| kind.name()).collect();
        let problem = format!("`{}` is not something this target does; it does: {}", kind.name(), known.join(", "));
        return Err(ConfigError::new(format!("{at}.kinds"), problem));
    }
    if common.per_minute == Some(0) {
        return Err(ConfigError::new(format!("{at}.per_minute"), "at least 1"));
    }
    common.when.check(&format!("{at}.when"))
}

/// A length of time as people write it: a whole number and one of ms, s, m, h, d.
pub fn parse_span(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_span(&text).ok_or_else(|| {
        let expected = "expected a whole number with a unit: 250ms, 10s, 5m, 4h, 7d";
        serde::de::Error::custom(format!("`{text}` is no length of time; {expected}"))
    })
}

/// The same where the key may be left out.
pub(super) fn span_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    span(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RespondConfig, String> {
        serde_saphyr::from_str::<RespondConfig>(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_careful_and_valid() {
        let config = parse("{}").expect("an empty section is valid");
        assert!(config.dry_run);
        assert_eq!(config.tell, [Telling::Open, Telling::Closed]);
        assert_eq!(config.guard.ttl, Duration::from_secs(14_400));
        config.check().expect("the defaults pass the check");
    }

    #[test]
    fn a_whole_section_is_read() {
        let config = parse(
            r#"
dry_run: false
guard:
  never_block: [203.0.113.0/28]
  ttl: 30m
delivery:
  timeout: 250ms
targets:
  webhook:
    - name: soar
      url: https://soar.example.com/hooks/gatewatch
      secrets: [{ env: SOAR_SECRET }, { file: /run/secrets/soar-old }]
      kinds: [case]
    - name: chat
      url: { env: CHAT_URL }
      dry_run: true
      secrets: [{ env: CHAT_SECRET }]
  crowdsec:
    - name: waf
      url: http://127.0.0.1:8080
      machine_id: gatewatch
      password: { file: /run/secrets/crowdsec }
"#,
        )
        .expect("a valid section");
        config.check().expect("passes");
        assert_eq!(config.guard.ttl, Duration::from_secs(1800));
        assert_eq!(config.delivery.timeout, Duration::from_millis(250));
        assert_eq!(config.targets.webhook.len(), 2);
        assert_eq!(config.targets.crowdsec[0].kinds, [Kind::Block]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("dryrun: false", "unknown field `dryrun`"),
            ("guard: { ttl: 4 hours }", "expected a whole number with a unit"),
            ("delivery: { retries: 3 }", "unknown field `retries`"),
            ("targets: { webhook: [{ name: x, url: \"https://a.example\", secrets: [abc] }] }", "secrets"),
            ("targets: { pager: [{ name: x }] }", "unknown field `pager`"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        for (text, at) in [
            ("guard: { ttl: 30d }", "guard.ttl"),
            ("guard: { never_asns: [64496] }", "guard.never_asns"),
            ("delivery: { attempts_max: 0 }", "delivery.attempts_max"),
            ("delivery: { backoff_first: 2h }", "delivery.backoff_first"),
        ] {
            assert_eq!(parse(text).expect(text).check().expect_err(text).at, at);
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("s3cret\n");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(secret.reveal(), "s3cret");
    }

    #[test]
    fn spans() {
        assert_eq!(parse_span("90s"), Some(Duration::from_secs(90)));
        for wrong in ["", "s", "10", "-1s", "1.5h", "1w", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_span(wrong), None, "{wrong}");
        }
    }
}
