//! A real Kafka broker for tests, through `scripts/kafka.sh`, with what tests need to prepare: topics, records, deletions.
//!
//! A broker that cannot be had is a failed test, never a skipped one. `Broker::shared` uses `GATEWATCH_KAFKA_BROKERS` when
//! that is set; `Broker::own` is always one of the test's own, which it may stop and kill.

#![allow(dead_code)] // Each test binary uses its part.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tempfile::TempDir;

const WAIT: Duration = Duration::from_secs(60);

pub struct Broker {
    folder: TempDir,
    brokers: String,
    own: bool,
}

/// One record to append.
#[derive(Clone, Copy, Default)]
pub struct Given<'a> {
    pub value: Option<&'a [u8]>,
    pub time_ms: Option<i64>,
}

impl<'a> Given<'a> {
    pub fn value(value: &'a [u8]) -> Given<'a> {
        Given { value: Some(value), time_ms: None }
    }
}

impl Broker {
    /// The broker that tests share while any of them runs.
    pub fn shared() -> Arc<Broker> {
        static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let broker = Arc::new(Broker::begin(false));
            *shared = Arc::downgrade(&broker);
            broker
        })
    }

    /// A broker for one test.
    pub fn own() -> Broker {
        Broker::begin(true)
    }

    fn begin(own: bool) -> Broker {
        let folder = tempfile::tempdir().expect("a folder");
        let brokers = script(folder.path(), "start", own);
        Broker { folder, brokers, own }
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The address that wants TLS and SASL; only a broker of one's own has it.
    pub fn sasl_brokers(&self) -> String {
        let address =
            std::fs::read_to_string(self.folder.path().join("broker/bootstrap.sasl")).expect("a broker of one's own");
        address.trim().to_string()
    }

    /// A file of the TLS folder: `ca.pem`, `client.crt`, `client.key`.
    pub fn tls(&self, name: &str) -> PathBuf {
        self.folder.path().join("broker/tls").join(name)
    }

    /// Ends the broker in order; its data stays.
    pub fn stop(&self) {
        script(self.folder.path(), "stop", self.own);
    }

    /// Ends the broker with SIGKILL.
    pub fn kill(&self) {
        script(self.folder.path(), "kill", self.own);
    }

    /// Starts it again with its data, at the same address.
    pub fn start_again(&self) {
        assert_eq!(script(self.folder.path(), "start", self.own), self.brokers);
    }

    /// Makes a topic with a name of its own.
    pub fn topic(&self, partitions: i32) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("access-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.create_topic(&name, partitions);
        name
    }

    pub fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1)).set("max.message.bytes", "16777216");
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        let made = block_on(self.admin().create_topics([&topic], &options)).expect("the broker answers");
        made.into_iter().for_each(|result| drop(result.expect("the topic is made")));
    }

    /// Deletes a topic, and waits until its name is free.
    pub fn delete_topic(&self, name: &str) {
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        let gone = block_on(self.admin().delete_topics(&[name], &options)).expect("the broker answers");
        gone.into_iter().for_each(|result| drop(result.expect("the topic is deleted")));
        let reader: BaseConsumer = self.client().create().expect("a consumer");
        let is_there = || {
            let metadata = reader.fetch_metadata(None, WAIT).expect("the broker answers");
            metadata.topics().iter().any(|topic| topic.name() == name)
        };
        while is_there() {}
    }

    /// Removes the records below `offset`, as retention would.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let options = AdminOptions::new().operation_timeout(Some(WAIT));
        block_on(self.admin().delete_records(&list, &options)).expect("the records are removed");
    }

    /// Appends records to one partition, in order, and waits until the broker has them all.
    pub fn produce<'a>(&self, topic: &str, partition: i32, records: impl IntoIterator<Item = Given<'a>>) {
        let producer = self.producer(&[]);
        for given in records {
            send(&producer, topic, partition, given);
        }
        producer.flush(WAIT).expect("delivered");
    }

    /// Appends `count` short records.
    pub fn fill(&self, topic: &str, partition: i32, count: usize) {
        self.produce(topic, partition, (0..count).map(|_| Given::value(b"{\"status\":200}")));
    }

    pub fn producer(&self, settings: &[(&str, &str)]) -> BaseProducer {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("message.max.bytes", "16777216").set("linger.ms", "5");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config.create().expect("a producer")
    }

    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = command(self.folder.path(), "kill", self.own).output();
    }
}

/// Queues one record; polls while the queue is full.
pub fn send(producer: &BaseProducer, topic: &str, partition: i32, given: Given<'_>) {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition);
    record.payload = given.value;
    record.timestamp = given.time_ms;
    while let Err((_, again)) = producer.send(record) {
        producer.poll(Duration::from_millis(100));
        record = again;
    }
}

fn command(folder: &Path, verb: &str, own: bool) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka.sh"));
    command.arg(verb).arg(folder.join("broker"));
    if own {
        command.env_remove("GATEWATCH_KAFKA_BROKERS");
    }
    command
}

fn script(folder: &Path, verb: &str, own: bool) -> String {
    let output = command(folder, verb, own).output().expect("scripts/kafka.sh can be run");
    assert!(output.status.success(), "kafka.sh {verb}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}
