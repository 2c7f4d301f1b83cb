//! Promise: nothing is lost, nothing counts twice. A real Kafka broker with three partitions and 200,000 records; the
//! service is killed with SIGKILL at 20 random moments; the lake then holds each (partition, offset) once, the alerts are
//! those of an uninterrupted run, and a strict receiver saw no effect twice. And: the broker stops and starts.
//!
//! `GATEWATCH_SEED` repeats a run; the seed is printed.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic, and prints its seed

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::kafka::{Broker, Given, send};
use common::program::{WEBHOOK_SECRET, number, query};
use common::receiver::Receiver;
use common::service::Service;
use gatewatch::demo::{Traffic, TrafficConfig};
use rand::{Rng, SeedableRng};
use rdkafka::producer::Producer;

const RECORDS: u64 = 200_000;
const KILLS: u64 = 20;
const PARTITIONS: i32 = 3;

struct Setup {
    folder: PathBuf,
    config: PathBuf,
}

impl Setup {
    /// A data folder and a configuration that reads `topic`.
    fn new(parent: &Path, name: &str, broker: &Broker, topic: &str, idle_after: &str, webhook: Option<&str>) -> Setup {
        let folder = parent.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let targets = webhook.map_or_else(String::new, |url| {
            format!(
                "  targets:\n    webhook:\n      - name: soar\n        url: {url}\n        kinds: [case, notify, page]\n        \
                 secrets: [{{ env: GATEWATCH_TEST_WEBHOOK_SECRET }}]\n"
            )
        });
        let text = format!(
            "data_dir: {}\nsources:\n  - name: edge\n    kind: kong\n    lateness: 2s\n    ahead_max: 36500d\n    kafka:\n      \
             brokers: {}\n      topic: {topic}\n      group: {name}\n      idle_after: {idle_after}\nlake:\n  \
             checkpoint_every: 300ms\n  checkpoint_rows: 10000\n  maintain_every: 2s\n  compact_after_files: 8\nrespond:\n  \
             dry_run: false\n  guard: {{ alert_age_max: 36500d }}\n{targets}",
            folder.join("data").display(),
            broker.brokers()
        );
        let config = folder.join("gatewatch.yaml");
        fs::write(&config, text).expect("the configuration is written");
        Setup { folder, config }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The same, with another patience for partitions at their end.
    fn with_idle_after(&self, span: &str) {
        let text = fs::read_to_string(&self.config).expect("written before");
        let changed: Vec<String> = text
            .lines()
            .map(|line| {
                if line.trim_start().starts_with("idle_after:") {
                    format!("      idle_after: {span}")
                } else {
                    line.to_owned()
                }
            })
            .collect();
        fs::write(&self.config, changed.join("\n")).expect("the configuration is written");
    }

    /// Runs until everything is read and folded, then stops in good order.
    fn run_to_the_end(&self) {
        let mut service = Service::start(&self.config);
        service.wait_for("caught up", 180);
        service.stop();
    }
}

/// The demo's traffic, spread over the partitions by client as a gateway's producer would.
fn produce(broker: &Broker, topic: &str, traffic: &mut Traffic, count: u64) {
    let producer = broker.producer(&[]);
    let mut line = Vec::new();
    for _ in 0..count {
        line.clear();
        assert!(traffic.next_line(&mut line), "the traffic is long enough");
        let text = line.trim_ascii_end();
        let partition =
            text.iter().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte))) % PARTITIONS as u32;
        send(&producer, topic, partition as i32, Given::value(text));
    }
    producer.flush(Duration::from_secs(60)).expect("delivered");
}

fn traffic() -> Traffic {
    Traffic::new(&TrafficConfig { events: RECORDS, ..TrafficConfig::default() }).expect("valid settings")
}

/// What must not depend on how the run went: every telling, in full.
fn tellings(data: &Path) -> Vec<serde_json::Value> {
    query(data, "select * from alerts order by id, revision")
}

fn each_record_is_there_once(data: &Path) {
    assert_eq!(number(data, "select count(*) from events"), RECORDS as i64);
    assert_eq!(
        number(data, "select count(*) from (select distinct partition, \"offset\" from events)"),
        RECORDS as i64
    );
    assert_eq!(number(data, "select count(*) from rejects"), 0);
}

#[allow(clippy::disallowed_methods, reason = "a test is told its seed through the environment")]
fn seed() -> u64 {
    let seed = std::env::var("GATEWATCH_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| common::wall_us().unsigned_abs());
    println!("GATEWATCH_SEED={seed}");
    seed
}

#[test]
fn twenty_kills_leave_the_lake_the_alerts_and_the_receiver_as_one_run_would() {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed());
    let broker = Broker::own();
    let topic = broker.topic(PARTITIONS);
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let receiver = runtime.block_on(Receiver::start(&[WEBHOOK_SECRET], common::wall_clock()));

    let killed = Setup::new(folder.path(), "killed", &broker, &topic, "1h", Some(&receiver.url()));
    let mut traffic = traffic();
    produce(&broker, &topic, &mut traffic, RECORDS / 2);
    for _ in 0..KILLS {
        produce(&broker, &topic, &mut traffic, RECORDS / 2 / KILLS);
        let service = Service::start(&killed.config);
        service.kill_after(Duration::from_millis(rng.random_range(150..2_500)));
    }
    killed.with_idle_after("1s");
    killed.run_to_the_end();
    each_record_is_there_once(&killed.data());

    let whole = Setup::new(folder.path(), "whole", &broker, &topic, "1s", None);
    whole.run_to_the_end();
    each_record_is_there_once(&whole.data());
    let expected = tellings(&whole.data());
    assert!(expected.len() > 10, "the planted attacks were told: {}", expected.len());
    assert_eq!(tellings(&killed.data()), expected);

    assert_eq!(receiver.violations(), Vec::<String>::new());
    let mut ids: Vec<String> = receiver.effects().into_iter().map(|effect| effect.id).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "an effect came twice");
    assert!(all > 0, "no alert reached the receiver");
}

#[test]
fn a_broker_that_stops_and_starts_loses_nothing() {
    let broker = Broker::own();
    let topic = broker.topic(PARTITIONS);
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::new(folder.path(), "outage", &broker, &topic, "1s", None);
    let mut traffic = traffic();
    produce(&broker, &topic, &mut traffic, RECORDS / 2);
    let mut service = Service::start(&setup.config);
    service.wait_for("checkpoint", 120);
    broker.stop();
    broker.start_again();
    produce(&broker, &topic, &mut traffic, RECORDS / 2);
    // Once for the first half at the latest; what counts is that all of it is there in the end.
    service.wait_for("caught up", 180);
    while number(&setup.data(), "select count(*) from events") < RECORDS as i64 {
        service.wait_for("checkpoint", 120);
    }
    service.stop();
    each_record_is_there_once(&setup.data());
}
