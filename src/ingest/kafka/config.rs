//! How to reach a topic: addresses, group, where to start, TLS and SASL, and which of librdkafka's own settings may be
//! changed.
//!
//! Promises: `check` finds what is wrong without a broker, and says what to write instead. The password is in no Debug
//! output and no error.
//!
//! Never: lets a setting be changed that the promises of the source rest on (commits, isolation, offset reset).

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;

use crate::ingest::IngestError;

#[derive(Clone, Debug)]
pub struct KafkaConfig {
    /// `host:port`, several with commas between.
    pub brokers: String,
    pub topic: String,
    pub group: String,
    /// Where a partition begins of which nothing is stored yet.
    pub start: Start,
    /// What to do when retention removed records before they were read.
    pub on_gap: OnGap,
    pub tls: Option<Tls>,
    pub sasl: Option<Sasl>,
    /// A partition that was at its end for this long no longer holds the others back.
    pub idle_after_ms: u64,
    /// Where it is kept which record was the last one read of each partition, so that a topic made anew is noticed.
    pub marks: Option<PathBuf>,
    /// Settings of librdkafka, of those in `EXTRA`.
    pub extra: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    #[default]
    Earliest,
    /// The end of the partition when the group first saw it: that end is committed to the group at once, so that what
    /// arrives before the first checkpoint is not lost to a restart.
    Latest,
    /// The first record whose Kafka timestamp is not before this time, in microseconds.
    Timestamp(i64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnGap {
    /// Stop with an error that tells how many records are gone.
    #[default]
    Fail,
    /// Warn with the count and go on with the oldest record there is.
    Skip,
}

/// Files in PEM form. With none of them the system's certificate authorities are trusted.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Clone)]
pub struct Sasl {
    /// PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    pub mechanism: String,
    pub username: String,
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// What may be set through `extra`. Everything else is refused.
const EXTRA: [&str; 25] = [
    "broker.address.family",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "metadata.max.age.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.cipher.suites",
    "topic.metadata.refresh.interval.ms",
];

/// Memory is bounded by these: what may wait for the pipeline is `queued.max.messages.kbytes` a partition, and a fetch.
/// A full queue is looked at again soon, or a fast reader would wait a second for each few megabytes.
const DEFAULTS: [(&str, &str); 14] = [
    ("client.id", "gatewatch"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("isolation.level", "read_committed"),
    ("auto.offset.reset", "error"),
    ("check.crcs", "true"),
    ("queued.max.messages.kbytes", "4096"),
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.max.bytes", "16777216"),
    ("max.partition.fetch.bytes", "1048576"),
    ("socket.keepalive.enable", "true"),
    // Where the partitions end, for the lag.
    ("statistics.interval.ms", "2000"),
];

impl KafkaConfig {
    /// The least there is to say; the rest by default.
    pub fn new(brokers: &str, topic: &str, group: &str) -> KafkaConfig {
        KafkaConfig {
            brokers: brokers.to_string(),
            topic: topic.to_string(),
            group: group.to_string(),
            start: Start::default(),
            on_gap: OnGap::default(),
            tls: None,
            sasl: None,
            idle_after_ms: 5_000,
            marks: None,
            extra: BTreeMap::new(),
        }
    }

    /// Whether this can be used, without talking to a broker.
    pub fn check(&self) -> Result<(), IngestError> {
        self.problem().map_or(Ok(()), |message| Err(self.error(message)))
    }

    pub(super) fn error(&self, message: String) -> IngestError {
        IngestError::Kafka { brokers: self.brokers.clone(), message }
    }

    /// The addresses that name no port; Kafka's own is taken for them.
    pub fn without_port(&self) -> Vec<&str> {
        let has_port = |broker: &str| {
            let plain = broker.rsplit_once("://").map_or(broker, |(_, rest)| rest);
            let after = plain.rsplit_once(']').map_or(plain, |(_, rest)| rest);
            after.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        };
        self.brokers.split(',').map(str::trim).filter(|broker| !has_port(broker)).collect()
    }

    fn problem(&self) -> Option<String> {
        if self.brokers.split(',').any(|broker| broker.trim().is_empty()) {
            return Some("brokers must be host:port, several with commas between".to_string());
        }
        if self.topic.is_empty() || self.topic.starts_with('^') {
            return Some("topic must be the name of one topic; for several topics write several sources".to_string());
        }
        if self.group.is_empty() {
            return Some("group must be the name of the consumer group".to_string());
        }
        if let Some(key) = self.extra.keys().find(|key| !EXTRA.contains(&key.as_str())) {
            return Some(format!("{key} may not be set here; these may: {}", EXTRA.join(", ")));
        }
        self.tls.as_ref().and_then(Tls::problem).or_else(|| self.sasl.as_ref().and_then(Sasl::problem))
    }

    /// Makes the client, which asks no broker: what it refuses (a value of a property, a certificate that is not the key's) is
    /// found without one.
    pub fn try_client(&self) -> Result<(), IngestError> {
        let mut client = self.client()?;
        client.set("bootstrap.servers", "").set_log_level(RDKafkaLogLevel::Emerg);
        let made: Result<BaseConsumer, _> = client.create();
        made.map(drop).map_err(|error| self.error(error.to_string()))
    }

    pub(super) fn client(&self) -> Result<ClientConfig, IngestError> {
        self.check()?;
        let mut client = ClientConfig::new();
        for (key, value) in DEFAULTS.into_iter().chain(self.extra.iter().map(|(k, v)| (k.as_str(), v.as_str()))) {
            client.set(key, value);
        }
        client.set("bootstrap.servers", &self.brokers).set("group.id", &self.group);
        client.set_log_level(RDKafkaLogLevel::Info);
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        client.set("security.protocol", protocol);
        for (key, path) in self.tls.iter().flat_map(Tls::files) {
            client.set(key, path.to_string_lossy());
        }
        if let Some(sasl) = &self.sasl {
            client.set("sasl.mechanism", &sasl.mechanism);
            client.set("sasl.username", &sasl.username).set("sasl.password", &sasl.password);
        }
        Ok(client)
    }
}

impl Tls {
    fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let files =
            [("ssl.ca.location", &self.ca), ("ssl.certificate.location", &self.cert), ("ssl.key.location", &self.key)];
        files.into_iter().filter_map(|(key, path)| Some((key, path.as_deref()?)))
    }

    fn problem(&self) -> Option<String> {
        if self.cert.is_some() != self.key.is_some() {
            return Some("tls.cert and tls.key belong together: name both or neither".to_string());
        }
        self.files().find_map(|(_, path)| match File::open(path) {
            Err(error) => Some(format!("tls: cannot read {}: {error}", path.display())),
            Ok(_) => None,
        })
    }
}

impl Sasl {
    fn problem(&self) -> Option<String> {
        if !MECHANISMS.contains(&self.mechanism.as_str()) {
            return Some(format!(
                "sasl.mechanism is {:?}; it must be one of {}",
                self.mechanism,
                MECHANISMS.join(", ")
            ));
        }
        (self.username.is_empty() || self.password.is_empty())
            .then(|| "sasl.username and sasl.password must not be empty".to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(change: impl FnOnce(&mut KafkaConfig), expected: &str) {
        let mut config = KafkaConfig::new("192.0.2.1:9092", "access", "gatewatch");
        change(&mut config);
        let error = config.check().expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
    }

    fn sasl(mechanism: &str, password: &str) -> Option<Sasl> {
        Some(Sasl { mechanism: mechanism.to_string(), username: "reader".to_string(), password: password.to_string() })
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_to_write() {
        refused(|c| c.brokers = "a:1,,b:2".into(), "host:port");
        refused(|c| c.topic = "^access.*".into(), "one topic");
        refused(|c| c.group = String::new(), "group must be");
        refused(|c| c.sasl = sasl("GSSAPI", "x"), "must be one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512");
        refused(|c| c.sasl = sasl("PLAIN", ""), "must not be empty");
        refused(
            |c| c.tls = Some(Tls { cert: Some("c.pem".into()), ..Tls::default() }),
            "tls.cert and tls.key belong together",
        );
        refused(
            |c| c.tls = Some(Tls { ca: Some("/nonexistent/ca.pem".into()), ..Tls::default() }),
            "cannot read /nonexistent/ca.pem",
        );
        for key in ["enable.auto.commit", "auto.offset.reset", "isolation.level", "sasl.password", "bogus"] {
            refused(|c| drop(c.extra.insert(key.into(), "x".into())), "may not be set here");
        }
    }

    #[test]
    fn addresses_without_a_port_are_known() {
        let config =
            KafkaConfig::new("a.example.com:9092, b.example.com,[2001:db8::1]:9092,[2001:db8::2],192.0.2.1", "t", "g");
        assert_eq!(config.without_port(), ["b.example.com", "[2001:db8::2]", "192.0.2.1"]);
    }

    #[test]
    fn settings_follow_from_the_configuration() {
        let mut config = KafkaConfig::new("192.0.2.1:9092", "access", "gatewatch");
        config.extra.insert("queued.max.messages.kbytes".into(), "100".into());
        let client = config.client().expect("good");
        for (key, value) in [
            ("security.protocol", "plaintext"),
            ("group.id", "gatewatch"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("queued.max.messages.kbytes", "100"),
        ] {
            assert_eq!(client.get(key), Some(value), "{key}");
        }
        config.sasl = sasl("SCRAM-SHA-512", "not-a-secret");
        assert_eq!(config.client().expect("good").get("security.protocol"), Some("sasl_plaintext"));
        config.tls = Some(Tls::default());
        assert_eq!(config.client().expect("good").get("security.protocol"), Some("sasl_ssl"));
        config.sasl = None;
        assert_eq!(config.client().expect("good").get("security.protocol"), Some("ssl"));
    }

    #[test]
    fn the_password_is_not_printed() {
        let mut config = KafkaConfig::new("192.0.2.1:9092", "access", "gatewatch");
        config.sasl = sasl("PLAIN", "not-a-secret");
        let printed = format!("{config:?}");
        assert!(printed.contains("reader") && !printed.contains("not-a-secret"), "{printed}");
    }

    #[test]
    fn what_the_client_refuses_is_found_without_a_broker() {
        let mut config = KafkaConfig::new("192.0.2.1:9092", "access", "gatewatch");
        assert!(config.try_client().is_ok());
        config.extra.insert("session.timeout.ms".to_string(), "abc".to_string());
        let error = config.try_client().expect_err("no number").to_string();
        assert!(error.contains("192.0.2.1:9092") && error.contains("session.timeout.ms"), "{error}");
    }

    /// librdkafka knows every key that is set or may be set.
    #[test]
    fn every_setting_is_known_to_the_library() {
        let mut config = KafkaConfig::new("192.0.2.1:9092", "access", "gatewatch");
        for key in EXTRA {
            let value = match key {
                "broker.address.family" => "v4",
                "client.id" | "client.rack" | "group.instance.id" => "a",
                "ssl.cipher.suites" => "HIGH",
                "socket.keepalive.enable" => "true",
                "fetch.max.bytes" | "receive.message.max.bytes" => continue,
                "max.poll.interval.ms" => "300000",
                "session.timeout.ms" => "45000",
                _ => "1500",
            };
            config.extra.insert(key.to_string(), value.to_string());
        }
        let client: rdkafka::error::KafkaResult<rdkafka::consumer::BaseConsumer> =
            config.client().expect("good").create();
        assert!(client.is_ok(), "{:?}", client.err());
    }
}
