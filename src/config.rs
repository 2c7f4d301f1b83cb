//! The configuration file of `gatewatch run`: typed, unknown keys refused, checked whole before anything starts.
//! Defaults stand where the field is.
//!
//! Promises: an error names the file, the line (of YAML) or the key (of our own rules), what is wrong and what was expected; a
//! secret is only ever a reference (`{env: NAME}` or `{file: PATH}`), resolved once at the start.
//! Never: starts anything, contacts anything. This is the only module of ours that reads the environment, but for
//! `GATEWATCH_LOG`, which the command line reads; the libraries behind a bucket read the `AWS_` variables.

#![allow(clippy::disallowed_methods)] // the one module that may read the environment

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::ingest::kafka::{KafkaConfig, OnGap, Sasl, Start, Tls};
use crate::limits;
use crate::respond::{RespondConfig, SecretRef};

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
    pub detectors: DetectorsSection,
    #[serde(default)]
    pub respond: RespondConfig,
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

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysSection {
    /// Key of the tokens (HMAC-SHA-256). Without one, a random key is made once in `data_dir`/keys.
    pub token: Option<KeyRef>,
    /// 32 bytes as 64 hexadecimal digits or in base64: seals the bytes of rejects. Without one they keep only their position.
    pub seal: Option<KeyRef>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRef {
    pub id: String,
    pub secret: SecretRef,
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
    /// combined, nginx_json, kong, envoy, or `mapping` with `mapping_file`.
    pub kind: String,
    pub mapping_file: Option<PathBuf>,
    pub kafka: Option<KafkaSection>,
    pub files: Option<Vec<PathBuf>>,
    /// How far a record may come behind a later one of its own partition and still be detected on.
    #[serde(default = "default_lateness")]
    pub lateness: Span,
    /// A record further ahead of its arrival than this is a reject; it would blind detection to everything before it.
    #[serde(default = "default_ahead")]
    pub ahead_max: Span,
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
    #[serde(default)]
    pub tokenise_principal: bool,
    pub tenant: Option<String>,
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

fn default_instance() -> String {
    "main".to_owned()
}

/// Several shippers write into one partition, and a quiet partition wakes up beside a busy one.
fn default_lateness() -> Span {
    Span::seconds(2)
}

/// One clock that runs ahead makes everybody else of its partition late.
fn default_ahead() -> Span {
    Span::seconds(300)
}

/// A length of time, written `500ms`, `30s`, `5m`, `1h` or `7d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub us: i64,
}

impl Span {
    pub const fn seconds(seconds: i64) -> Span {
        Span { us: seconds * 1_000_000 }
    }

    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.us.unsigned_abs())
    }

    fn parse(text: &str) -> Option<Span> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = text[..digits].parse().ok()?;
        let unit: i64 = match &text[digits..] {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        number.checked_mul(unit).map(|us| Span { us })
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        Span::parse(text)
            .ok_or_else(|| format!("{text:?} is not a length of time; expected for example 500ms, 30s, 5m, 1h or 7d"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads a text file that a person wrote, within the size limit.
pub fn read_text(path: &Path) -> anyhow::Result<String> {
    let meta = std::fs::metadata(path).with_context(|| format!("{}", path.display()))?;
    if meta.is_dir() {
        bail!("{}: is a directory; expected a file", path.display());
    }
    if meta.len() > limits::CONFIG_BYTES_MAX {
        bail!("{}: {} bytes; expected at most {}", path.display(), meta.len(), limits::CONFIG_BYTES_MAX);
    }
    std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))
}

/// An error of the YAML reader as `file:line:column: what is wrong`.
fn explain(error: &serde_saphyr::Error, path: &Path) -> String {
    let whole = error.without_snippet().to_string();
    let file = path.display();
    match error.location() {
        Some(at) => {
            let (line, column) = (at.line(), at.column());
            let place = format!(" at line {line}, column {column}");
            let message = whole.strip_suffix(&place).unwrap_or(&whole);
            format!("{file}:{line}:{column}: {message}")
        }
        None => format!("{file}: {whole}"),
    }
}

impl Config {
    /// Reads and checks the file. Nothing is contacted.
    pub fn load(path: &Path) -> anyhow::Result<Config> {
        let text = read_text(path)?;
        let config: Config = serde_saphyr::from_str(&text).map_err(|e| anyhow::anyhow!(explain(&e, path)))?;
        config.check().with_context(|| format!("{}", path.display()))?;
        Ok(config)
    }

    /// Rules that the types cannot say.
    fn check(&self) -> anyhow::Result<()> {
        if self.sources.is_empty() {
            bail!("sources: is empty; expected at least one source");
        }
        self.redaction.check()?;
        let mut names = std::collections::BTreeSet::new();
        for source in &self.sources {
            let name = &source.name;
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                bail!("sources: name {name:?}: expected letters, digits, '-', '_' or '.'");
            }
            if !names.insert(name) {
                bail!("sources: name {name:?} is used twice; expected each source to have its own");
            }
            match (&source.kafka, &source.files) {
                (Some(_), None) | (None, Some(_)) => {}
                _ => bail!("sources: {name}: expected exactly one of kafka and files"),
            }
            match (source.kind.as_str(), &source.mapping_file) {
                ("mapping", None) => bail!("sources: {name}: kind mapping needs mapping_file"),
                ("combined", Some(_)) => bail!("sources: {name}: kind combined is no JSON and takes no mapping_file"),
                _ => {}
            }
        }
        for table in self.lake.retain_days.keys() {
            if !["events", "alerts", "actions", "rejects"].contains(&table.as_str()) {
                bail!("lake.retain_days: unknown table {table:?}; expected events, alerts, actions or rejects");
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
        if self.lake.checkpoint_rows == 0 || self.lake.checkpoint_rows > limits::CHECKPOINT_ROWS_MAX {
            bail!("lake.checkpoint_rows: {}; expected 1 to {}", self.lake.checkpoint_rows, limits::CHECKPOINT_ROWS_MAX);
        }
        Ok(())
    }
}

/// An environment variable the command line documents; empty counts as unset.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

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
