//! The configuration file of `gatewatch run`: typed, unknown keys refused, checked whole before anything starts.
//! Defaults stand where the field is.
//!
//! Promises: an error names the file, the line (of YAML) or the key (of our own rules), what is wrong and what was expected; a
//! secret is only ever a reference (`{env: NAME}` or `{file: PATH}`), resolved once at the start.
//! Never: starts anything, contacts anything. This is the only module of ours that reads the environment, but for
//! `GATEWATCH_LOG`, which the command line reads; the libraries behind a bucket read the `AWS_` variables, the one behind
//! traces the `OTEL_` variables.

#![allow(clippy::disallowed_methods)] // the one module that may read the environment

mod files;
mod named;
mod observe;
mod push;
mod span;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::audit;
use crate::ingest::follow::FollowConfig;
use crate::ingest::follow::find::Patterns;
use crate::ingest::kafka::{KafkaConfig, OnGap, Sasl, Start, Tls};
use crate::limits;
use crate::respond::{RespondConfig, SecretRef};

pub use files::{read_document, read_text, templates};
pub use observe::{Listen, ObserveSection, OtlpSection};
pub use push::{HttpSection, Size, SyslogSection};
pub use span::Span;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the state store and, unless `lake.uri` says otherwise, the lake live.
    pub data_dir: PathBuf,
    /// Tells copies of the service apart; each needs its own.
    #[serde(default = "default_instance")]
    pub instance: String,
    #[serde(default)]
    pub lake: LakeSection,
    #[serde(default)]
    pub keys: KeysSection,
    pub sources: Vec<SourceSection>,
    /// What is done with each class of secrets and personal data.
    #[serde(default)]
    pub redaction: schemas::Policy,
    #[serde(default)]
    pub enrich: EnrichSection,
    #[serde(default)]
    pub detectors: DetectorsSection,
    #[serde(default)]
    pub respond: RespondConfig,
    #[serde(default)]
    pub observe: ObserveSection,
    /// Threads that normalise, and among which detectors are divided; without a word as many as processors, up to four.
    #[serde(default)]
    pub threads: Option<usize>,
    /// Whether it is read again when its file, one that it names, or a detector changes; SIGHUP asks for it in any case.
    #[serde(default = "default_watch")]
    pub watch_config_files: bool,
    /// What the file says, as hashes: by the name of each key at its top.
    #[serde(skip)]
    pub hashes: BTreeMap<String, String>,
    /// The files it names whose content is part of it.
    #[serde(skip)]
    pub files: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeSection {
    /// A folder or `s3://bucket/prefix`; the default is `data_dir`/lake.
    pub uri: Option<String>,
    /// Options of S3, for example `aws_endpoint`. Credentials are better left to the environment or a role.
    pub options: BTreeMap<String, String>,
    pub checkpoint_every: Span,
    pub checkpoint_rows: usize,
    pub maintain_every: Span,
    /// Days to keep, per table; 0 keeps for ever.
    pub retain_days: BTreeMap<String, u32>,
    /// A day with more files than this is compacted.
    pub compact_after_files: usize,
    pub vacuum_after: Span,
}

impl Default for LakeSection {
    fn default() -> LakeSection {
        LakeSection {
            uri: None,
            options: BTreeMap::new(),
            checkpoint_every: Span::seconds(10),
            checkpoint_rows: 131_072,
            maintain_every: Span::seconds(600),
            retain_days: BTreeMap::new(),
            compact_after_files: 24,
            vacuum_after: Span::seconds(86_400),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSection {
    /// Keys of the tokens (HMAC-SHA-256): one, or a list where each next one says from when on it counts. Without any, a
    /// random key is made once in `dir`.
    #[serde(deserialize_with = "one_or_more")]
    pub token: Vec<KeyRef>,
    /// For so long after a key came into force, events also name their tokens under the one before.
    pub overlap: Span,
    /// 32 bytes as 64 hexadecimal digits or in base64: the first one seals the bytes of rejects, all of them open. Without
    /// any, one is made once in `dir`.
    #[serde(deserialize_with = "one_or_more")]
    pub seal: Vec<KeyRef>,
    /// Whether the bytes of rejects are kept, sealed, when `seal` names no key.
    pub seal_rejects: bool,
    /// Where made keys are; the default is `data_dir`/keys.
    pub dir: Option<PathBuf>,
}

impl Default for KeysSection {
    fn default() -> KeysSection {
        let overlap = Span::seconds(7 * 86_400);
        KeysSection { token: Vec::new(), overlap, seal: Vec::new(), seal_rejects: true, dir: None }
    }
}

/// What is added to events from elsewhere.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnrichSection {
    /// Databases of addresses (MMDB), in order of precedence; read again when they are replaced.
    pub mmdb: Vec<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRef {
    pub id: String,
    pub secret: SecretRef,
    /// The event time from which a token key counts, in RFC 3339; the first one has none.
    pub from: Option<String>,
}

impl KeyRef {
    /// Micros of `from`, which was checked; a key without one counts from the beginning.
    pub fn from_us(&self) -> i64 {
        self.from.as_deref().and_then(time_us).unwrap_or(i64::MIN)
    }
}

fn time_us(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros())
}

/// A key, or a list of them.
fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<KeyRef>, D::Error> {
    struct Keys;
    impl<'de> serde::de::Visitor<'de> for Keys {
        type Value = Vec<KeyRef>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a key {id, secret} or a list of keys")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Vec<KeyRef>, A::Error> {
            KeyRef::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|key| vec![key])
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<KeyRef>, A::Error> {
            let mut keys = Vec::new();
            while let Some(key) = list.next_element()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    deserializer.deserialize_any(Keys)
}

impl KeysSection {
    fn check(&self) -> anyhow::Result<()> {
        for (name, keys) in [("token", &self.token), ("seal", &self.seal)] {
            for (at, key) in keys.iter().enumerate() {
                if !crate::keys::is_id(&key.id) {
                    bail!("keys.{name}: id {:?}: expected 1 to 32 letters, digits, '-', '_' or '.'", key.id);
                }
                if keys[..at].iter().any(|earlier| earlier.id == key.id) {
                    bail!("keys.{name}: id {:?} is used twice; expected each key to have its own", key.id);
                }
                match key.from.as_deref() {
                    Some(_) if name == "seal" => {
                        bail!("keys.seal: {}: from: is for token keys; the first key seals", key.id)
                    }
                    Some(from) if time_us(from).is_none() => {
                        bail!(
                            "keys.token: {}: from: {from:?}; expected an RFC 3339 time such as 2026-06-01T00:00:00Z",
                            key.id
                        )
                    }
                    _ => {}
                }
            }
        }
        let mut from: Vec<i64> = self.token.iter().map(KeyRef::from_us).collect();
        from.sort_unstable();
        if from.windows(2).any(|pair| pair[0] == pair[1]) {
            bail!(
                "keys.token: two keys count from the same time; expected `from` on every key but the first, all different"
            );
        }
        Ok(())
    }
}

/// Fetches a secret; a trailing newline of a file does not belong to it.
pub fn resolve(secret: &SecretRef) -> anyhow::Result<String> {
    let value = match secret {
        SecretRef::Env(name) => {
            std::env::var(name).map_err(|_| anyhow::anyhow!("the environment variable {name} is not set"))?
        }
        SecretRef::File(path) => std::fs::read_to_string(path).with_context(|| path.clone())?,
    };
    let value = value.trim_end_matches(['\r', '\n']);
    if value.is_empty() {
        bail!("the {secret} is empty; expected a secret");
    }
    Ok(value.to_owned())
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    pub name: String,
    /// One of `schemas::sources::KINDS`; `mapping` needs `mapping_file`, `nginx` needs `log_format`.
    pub kind: String,
    pub mapping_file: Option<PathBuf>,
    /// nginx's log_format, as it stands in nginx.conf.
    pub log_format: Option<String>,
    /// Of times that name no zone: `Europe/Berlin` or `+01:00`; UTC when it is not said.
    pub time_zone: Option<String>,
    pub kafka: Option<KafkaSection>,
    pub files: Option<Vec<PathBuf>>,
    pub http: Option<HttpSection>,
    pub syslog: Option<SyslogSection>,
    /// The files are followed as they are written and rotated, and may be patterns.
    #[serde(default)]
    pub follow: bool,
    /// Where followed files begin that exist at the very first start.
    pub start: Option<FileStart>,
    /// A followed file at its end for this long no longer holds the others back; 1s when it is not said.
    pub idle_after: Option<Span>,
    /// How long detection waits for records that come behind later ones of their partition.
    #[serde(default = "default_lateness")]
    pub lateness: Span,
    /// A record further ahead of its arrival than this is a reject: nobody knows when it was. Less ahead, it is detected on
    /// where its partition is.
    #[serde(default = "default_ahead")]
    pub ahead_max: Span,
    /// Nothing for so long, although there were records before, is a warning; `0s` is none.
    #[serde(default = "default_silent")]
    pub silent_after: Span,
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
    /// In the place of `trusted_proxies`: how many proxies stand before the gateway.
    pub trusted_hops: Option<usize>,
    /// Trusted proxies set the header with the client's address, and it is believed before the list.
    #[serde(default)]
    pub client_ip_header: bool,
    #[serde(default)]
    pub tokenise_principal: bool,
    #[serde(default)]
    pub verifies_credentials: bool,
    pub tenant: Option<String>,
    /// OpenAPI 3.x documents (YAML or JSON) of what the gateway serves.
    #[serde(default)]
    pub openapi: Vec<PathBuf>,
    /// Endpoints, for example `GET /v1/orders/{id}`; without a method, or with `*`, any.
    #[serde(default)]
    pub endpoints: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileStart {
    Beginning,
    End,
}

impl SourceSection {
    /// How the files are followed, if they are.
    pub fn follow(&self, data_dir: &Path) -> anyhow::Result<Option<FollowConfig>> {
        let Some(files) = self.files.as_ref().filter(|_| self.follow) else { return Ok(None) };
        Ok(Some(FollowConfig {
            patterns: Patterns::new(files)?,
            start_at_end: self.start == Some(FileStart::End),
            idle_after: self.idle_after.unwrap_or(Span::seconds(1)).duration(),
            registry: data_dir.join("follow").join(format!("{}.json", self.name)),
        }))
    }

    fn check_files(&self) -> anyhow::Result<()> {
        let name = &self.name;
        if !self.follow && (self.start.is_some() || self.idle_after.is_some()) {
            bail!("sources: {name}: start and idle_after are for files with follow: true (kafka has its own)");
        }
        match &self.files {
            None if self.follow => bail!("sources: {name}: follow: expected files with it"),
            Some(files) if files.is_empty() => bail!("sources: {name}: files: is empty; expected at least one"),
            _ => Ok(()),
        }
    }
}

/// A topic. Some more settings of librdkafka may go under `properties`; one that is not known is refused with the list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSection {
    pub brokers: String,
    pub topic: String,
    pub group: String,
    /// earliest, latest, or an RFC 3339 time.
    #[serde(default = "default_start")]
    pub start: String,
    /// Retention removed records before they were read: `fail`, or `skip` with a warning.
    #[serde(default)]
    pub on_gap: GapSection,
    pub tls: Option<TlsSection>,
    pub sasl: Option<SaslSection>,
    /// A partition at its end for this long no longer holds the others back.
    #[serde(default = "default_idle")]
    pub idle_after: Span,
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapSection {
    #[default]
    Fail,
    Skip,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaslSection {
    pub mechanism: String,
    pub username: String,
    pub password: SecretRef,
}

impl KafkaSection {
    /// The settings of the source, with the password fetched.
    ///
    /// Instance and source make a static member of the group: a copy that is started again after a crash gets its partitions back
    /// at once, instead of after the broker has missed it for a session timeout.
    pub fn build(&self, instance: &str, source: &str) -> anyhow::Result<KafkaConfig> {
        let mut config = KafkaConfig::new(&self.brokers, &self.topic, &self.group);
        config.start = match self.start.as_str() {
            "earliest" => Start::Earliest,
            "latest" => Start::Latest,
            text => match chrono::DateTime::parse_from_rfc3339(text) {
                Ok(time) => Start::Timestamp(time.timestamp_micros()),
                Err(_) => bail!("kafka.start: {text:?}; expected earliest, latest or an RFC 3339 time"),
            },
        };
        config.on_gap = if self.on_gap == GapSection::Skip { OnGap::Skip } else { OnGap::Fail };
        config.tls = self.tls.as_ref().map(|t| Tls { ca: t.ca.clone(), cert: t.cert.clone(), key: t.key.clone() });
        if let Some(sasl) = &self.sasl {
            let password = resolve(&sasl.password).context("kafka.sasl.password")?;
            config.sasl = Some(Sasl { mechanism: sasl.mechanism.clone(), username: sasl.username.clone(), password });
        }
        config.idle_after_ms = self.idle_after.us.unsigned_abs() / 1000;
        config.extra = self.properties.clone();
        config.extra.entry("group.instance.id".to_owned()).or_insert_with(|| format!("{instance}.{source}"));
        config.check()?;
        Ok(config)
    }
}

fn default_start() -> String {
    "earliest".to_owned()
}

fn default_idle() -> Span {
    Span::seconds(5)
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectorsSection {
    /// Whether the detectors that come with Gatewatch run.
    pub catalogue: bool,
    /// Folders or files with more of them.
    pub paths: Vec<PathBuf>,
    /// Ids that do not run.
    pub disabled: Vec<String>,
}

impl Default for DetectorsSection {
    fn default() -> DetectorsSection {
        DetectorsSection { catalogue: true, paths: Vec::new(), disabled: Vec::new() }
    }
}

/// The hash of what each key at the top of a file holds, however it is written. Two files that say the same have the same.
fn hashes(text: &str) -> BTreeMap<String, String> {
    let fields: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(text).unwrap_or_default();
    let hash = |value: serde_json::Value| {
        let text = audit::canonical(&audit::tolerant(value)).unwrap_or_default();
        audit::hex(&audit::sha256(&[text.as_bytes()])[..8])
    };
    fields.into_iter().map(|(key, value)| (key, hash(value))).collect()
}

fn default_watch() -> bool {
    true
}

fn default_instance() -> String {
    "main".to_owned()
}

/// Several shippers write into one partition, and a quiet partition wakes up beside a busy one.
fn default_lateness() -> Span {
    Span::seconds(2)
}

/// A gateway in another zone than it says is half a day ahead; what is further ahead has no clock.
fn default_ahead() -> Span {
    Span::seconds(86_400)
}

fn default_silent() -> Span {
    Span::seconds(600)
}

impl Config {
    /// Reads and checks the file. Nothing is contacted.
    pub fn load(path: &Path) -> anyhow::Result<Config> {
        let text = read_text(path)?;
        let mut config: Config = yaml::parse(&text).map_err(|e| anyhow::anyhow!(yaml::explain(&e, &text, path)))?;
        config.hashes = hashes(&text);
        config.files = named::files(&text);
        config.respond.guard.mmdb = config.enrich.mmdb.clone();
        config.check().with_context(|| format!("{}", path.display()))?;
        Ok(config)
    }

    /// Rules that the types cannot say.
    fn check(&self) -> anyhow::Result<()> {
        self.keys.check()?;
        if self.sources.is_empty() {
            bail!("sources: is empty; expected at least one source");
        }
        self.redaction.check()?;
        self.observe.check()?;
        let mut names = BTreeSet::new();
        for source in &self.sources {
            let name = &source.name;
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                bail!("sources: name {name:?}: expected letters, digits, '-', '_' or '.'");
            }
            if !names.insert(name) {
                bail!("sources: name {name:?} is used twice; expected each source to have its own");
            }
            let inputs =
                [source.kafka.is_some(), source.files.is_some(), source.http.is_some(), source.syslog.is_some()];
            if inputs.into_iter().filter(|there| *there).count() != 1 {
                bail!("sources: {name}: expected exactly one of kafka, files, http and syslog");
            }
            source.check_files()?;
            if source.trusted_hops == Some(0) {
                bail!("sources: {name}: trusted_hops: 0; expected at least 1, or none of it");
            }
            if source.client_ip_header && source.trusted_hops.is_none() && source.trusted_proxies.is_empty() {
                bail!("sources: {name}: client_ip_header: expected trusted_proxies or trusted_hops with it");
            }
            match (source.kind.as_str(), &source.mapping_file) {
                ("mapping", None) => bail!("sources: {name}: kind mapping needs mapping_file"),
                ("nginx", _) if source.log_format.is_none() => bail!("sources: {name}: kind nginx needs log_format"),
                (kind, _) if kind != "nginx" && source.log_format.is_some() => {
                    bail!("sources: {name}: log_format is for kind nginx, not for {kind}")
                }
                _ => {}
            }
        }
        for table in self.lake.retain_days.keys() {
            if !["events", "alerts", "actions", "rejects", "audit"].contains(&table.as_str()) {
                bail!("lake.retain_days: unknown table {table:?}; expected events, alerts, actions, rejects or audit");
            }
        }
        let least = |name: &str, span: Span, least: Span, text: &str| match span >= least {
            true => Ok(()),
            false => Err(anyhow::anyhow!("lake.{name}: expected at least {text}")),
        };
        least("checkpoint_every", self.lake.checkpoint_every, Span { us: 100_000 }, "100ms")?;
        least("maintain_every", self.lake.maintain_every, Span::seconds(1), "1s")?;
        least("vacuum_after", self.lake.vacuum_after, Span::seconds(3600), "1h: queries and commits need their files")?;
        if self.lake.compact_after_files < 2 {
            bail!("lake.compact_after_files: {}; expected at least 2", self.lake.compact_after_files);
        }
        crate::lake::check_instance(&self.instance)?;
        if let Some(threads) = self.threads {
            limits::check_threads(threads).map_err(|problem| anyhow::anyhow!("threads: {problem}"))?;
        }
        if self.lake.checkpoint_rows == 0 || self.lake.checkpoint_rows > limits::CHECKPOINT_ROWS_MAX {
            bail!("lake.checkpoint_rows: {}; expected 1 to {}", self.lake.checkpoint_rows, limits::CHECKPOINT_ROWS_MAX);
        }
        Ok(())
    }
}

/// What the service manager asks for: where to tell it of us, and how often it wants to hear that we live.
pub fn service_manager() -> Option<(String, Option<std::time::Duration>)> {
    let socket = environment("NOTIFY_SOCKET")?;
    let ours = environment("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let every = environment("WATCHDOG_USEC").filter(|_| ours).and_then(|us| us.parse().ok());
    Some((socket, every.map(std::time::Duration::from_micros)))
}

/// An environment variable the command line documents; empty counts as unset.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_told_by_network_or_number_and_a_header_needs_them() {
        let checked = |keys: &str| {
            let source = format!("{{ name: edge, kind: kong, files: [a.log]{keys} }}");
            let yaml = format!("{{ data_dir: d, sources: [{source}], enrich: {{ mmdb: [city.mmdb, asn.mmdb] }} }}");
            let config: Config = serde_saphyr::from_str(&yaml).expect("a configuration");
            assert_eq!(config.enrich.mmdb.len(), 2);
            config.check().err().map(|error| error.to_string())
        };
        assert_eq!(checked(""), None);
        assert_eq!(checked(", trusted_hops: 1, client_ip_header: true"), None);
        assert_eq!(checked(", trusted_proxies: [192.0.2.1], client_ip_header: true"), None);
        let error = checked(", trusted_hops: 0").expect("refused");
        assert!(error.contains("expected at least 1"), "{error}");
        let error = checked(", client_ip_header: true").expect("refused");
        assert!(error.contains("expected trusted_proxies or trusted_hops"), "{error}");
    }

    #[test]
    fn two_sources_of_one_group_are_two_members_of_it() {
        let section: KafkaSection =
            serde_saphyr::from_str("{ brokers: \"127.0.0.1:9092\", topic: t, group: g }").expect("a section");
        let member = |source: &str| {
            let built = section.build("main", source).expect("settings");
            built.extra.get("group.instance.id").cloned()
        };
        assert_eq!(member("edge").as_deref(), Some("main.edge"));
        assert_eq!(member("shop").as_deref(), Some("main.shop"));
    }
}
