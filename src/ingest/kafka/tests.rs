//! Against librdkafka's own mock of a cluster: positions, pausing, odd records, missing topics. Group changes, retention
//! and restarts need a real broker: `tests/kafka_ingest.rs`.

use std::sync::atomic::{AtomicI64, Ordering};

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaRespErr;

use super::*;
use crate::ingest::testing::Told::{self, CaughtUp, Failed, Opened, Records};
use crate::ingest::testing::{clock, next, nothing, stored};

const TOPIC: &str = "access";

struct Cluster(MockCluster<'static, DefaultProducerContext>);

impl Cluster {
    fn new(partitions: i32) -> Cluster {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic(TOPIC, partitions, 1).expect("a topic");
        Cluster(cluster)
    }

    /// Appends records to a partition; `None` is a record without a value.
    fn produce(&self, partition: i32, records: &[Option<&[u8]>]) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.0.bootstrap_servers()).set("message.max.bytes", "10000000");
        let producer: BaseProducer = config.create().expect("a producer");
        for record in records {
            let mut message = BaseRecord::<(), [u8]>::to(TOPIC).partition(partition);
            message.payload = *record;
            producer.send(message).map_err(|(error, _)| error).expect("queued");
        }
        producer.flush(Duration::from_secs(30)).expect("delivered");
    }

    fn config(&self) -> KafkaConfig {
        KafkaConfig::new(&self.0.bootstrap_servers(), TOPIC, "gatewatch")
    }

    fn source(&self, positions: Arc<dyn Positions>, limits: ReadLimits) -> (KafkaSource, Arc<AtomicI64>) {
        let (clock, hand) = clock();
        (KafkaSource::new(self.config(), "web", limits, positions, clock).expect("the configuration is good"), hand)
    }
}

/// Signals until the records of every partition named came, each list of batches joined: partition, records, bytes, next.
fn records(source: &mut KafkaSource, expected: usize) -> Vec<Told> {
    let mut joined: std::collections::BTreeMap<i32, (usize, u64, i64)> = Default::default();
    while joined.values().map(|(count, ..)| count).sum::<usize>() < expected {
        if let Records(partition, count, bytes, next) = next(source) {
            let total = joined.entry(partition).or_default();
            *total = (total.0 + count, total.1 + bytes, next);
        }
    }
    joined.into_iter().map(|(partition, (count, bytes, next))| Records(partition, count, bytes, next)).collect()
}

#[test]
fn a_partition_starts_where_the_lake_says_or_else_at_the_earliest() {
    let cluster = Cluster::new(2);
    cluster.produce(0, &[Some(b"aa".as_slice()); 10]);
    cluster.produce(1, &[Some(b"b".as_slice()); 5]);
    let (mut source, _) = cluster.source(stored(&[("web", 0, 7), ("other", 1, 3)]), ReadLimits::default());
    let mut opened = [next(&mut source), next(&mut source)];
    opened.sort_by_key(|told| format!("{told:?}"));
    assert_eq!(opened, [Opened(0), Opened(1)]);
    assert_eq!(records(&mut source, 8), [Records(0, 3, 6, 10), Records(1, 5, 5, 5)]);
    assert!(!source.finished());
}

#[test]
fn a_paused_partition_gives_nothing_and_then_the_rest_once() {
    let cluster = Cluster::new(2);
    let limits = ReadLimits { batch_records: 10, ..ReadLimits::default() };
    cluster.produce(0, &[Some(b"a".as_slice()); 100]);
    let (mut source, _) = cluster.source(nothing(), limits);
    let read = loop {
        if let Records(0, count, ..) = next(&mut source) {
            break count;
        }
    };
    source.pause(&[Lane::new("web", 0)]).expect("paused");
    cluster.produce(0, &[Some(b"a".as_slice()); 100]);
    cluster.produce(1, &[Some(b"b".as_slice()); 30]);
    assert_eq!(records(&mut source, 30), [Records(1, 30, 30, 30)]);
    source.resume(&[Lane::new("web", 0)]).expect("resumed");
    assert_eq!(records(&mut source, 200 - read), [Records(0, 200 - read, 200 - read as u64, 200)]);
}

#[test]
fn records_without_value_and_over_the_limit_are_records() {
    let cluster = Cluster::new(1);
    let limits = ReadLimits { record_bytes: 1000, kept_bytes: 10, ..ReadLimits::default() };
    cluster.produce(0, &[Some(b"first"), None, Some(b""), Some(&[b'x'; 3_000_000]), Some(b"\xFF\x00"), Some(b"last")]);
    let (mut source, _) = cluster.source(nothing(), limits);
    assert_eq!(records(&mut source, 6), [Records(0, 6, 5 + 3_000_000 + 2 + 4, 6)]);
}

#[test]
fn a_partition_at_its_end_is_caught_up_after_a_while_and_again_after_more() {
    let cluster = Cluster::new(1);
    cluster.produce(0, &[Some(b"a")]);
    let (mut source, hand) = cluster.source(nothing(), ReadLimits::default());
    assert_eq!([next(&mut source), next(&mut source)], [Opened(0), Records(0, 1, 1, 1)]);
    for round in 2..4 {
        while source.partitions[0].is_active() {
            assert!(source.next(WAIT).expect("no error").is_none(), "not idle for long enough");
        }
        hand.fetch_add(4_999_999, Ordering::Relaxed);
        assert!(source.next(Duration::ZERO).expect("no error").is_none());
        hand.fetch_add(1, Ordering::Relaxed);
        assert_eq!(next(&mut source), CaughtUp(0));
        hand.fetch_add(60_000_000, Ordering::Relaxed);
        assert!(source.next(Duration::ZERO).expect("no error").is_none(), "said once");
        cluster.produce(0, &[Some(b"b")]);
        assert_eq!(next(&mut source), Records(0, 1, 1, round));
    }
}

#[test]
fn a_topic_that_does_not_come_is_an_error() {
    let cluster = Cluster::new(1);
    cluster.0.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).expect("set");
    let (mut source, hand) = cluster.source(nothing(), ReadLimits::default());
    while source.topic_missing_us.is_none() {
        assert!(source.next(WAIT).expect("it may still come").is_none());
    }
    hand.fetch_add(TOPIC_WAIT_US, Ordering::Relaxed);
    let Failed(error) = next(&mut source) else { panic!("a missing topic") };
    assert!(error.contains("there is no topic \"access\", also not after 30 s: check its name"), "{error}");
}

#[test]
fn brokers_that_are_away_are_waited_for() {
    let cluster = Cluster::new(1);
    cluster.produce(0, &[Some(b"a".as_slice()); 3]);
    let (mut source, _) = cluster.source(nothing(), ReadLimits::default());
    assert_eq!(records(&mut source, 3), [Records(0, 3, 3, 3)]);
    cluster.0.broker_down(1).expect("down");
    while source.outage.since_us().is_none() {
        assert!(source.next(WAIT).expect("no error").is_none());
    }
    cluster.0.broker_up(1).expect("up");
    cluster.produce(0, &[Some(b"b".as_slice()); 2]);
    assert_eq!(records(&mut source, 2), [Records(0, 2, 2, 5)]);
    assert_eq!(source.outage.since_us(), None, "told that it is over");
}

#[test]
fn a_position_that_cannot_be_looked_up_is_an_error() {
    struct Broken;
    impl Positions for Broken {
        fn next_offset(&self, _lane: &Lane) -> anyhow::Result<Option<i64>> {
            anyhow::bail!("the lake is away")
        }
    }
    let cluster = Cluster::new(1);
    let (mut source, _) = cluster.source(Arc::new(Broken), ReadLimits::default());
    let Failed(error) = next(&mut source) else { panic!("no position") };
    assert!(error.ends_with("cannot look up where partitions [0] continue: the lake is away"), "{error}");
}

/// A source with marks kept in this file, which goes on where the lake says. Each is a group of its own: the mock keeps members
/// that left for a while.
fn marked(cluster: &Cluster, marks: &std::path::Path, position: Option<i64>) -> KafkaSource {
    let group = format!("gatewatch-{position:?}");
    let config = KafkaConfig { marks: Some(marks.to_owned()), group, ..cluster.config() };
    let positions = position.map_or_else(nothing, |next| stored(&[("web", 0, next)]));
    KafkaSource::new(config, "web", ReadLimits::default(), positions, clock().0).expect("the configuration is good")
}

#[test]
fn a_topic_made_anew_with_more_records_than_were_read_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let marks = folder.path().join("web.marks");
    let cluster = Cluster::new(1);
    cluster.produce(0, &[Some(b"before".as_slice()); 20]);
    let mut source = marked(&cluster, &marks, None);
    assert_eq!(records(&mut source, 20), [Records(0, 20, 120, 20)]);
    source.committed(&[(Lane::new("web", 0), 20)]).expect("accepted");
    drop(source);

    // The same topic goes on, from the marked record on, which is not handed over again.
    cluster.produce(0, &[Some(b"more".as_slice()); 5]);
    let mut source = marked(&cluster, &marks, Some(20));
    assert_eq!(records(&mut source, 5), [Records(0, 5, 20, 25)]);
    drop(source);

    let anew = Cluster::new(1);
    anew.produce(0, &[Some(b"another".as_slice()); 45]);
    let mut source = marked(&anew, &marks, Some(20));
    assert_eq!(next(&mut source), Opened(0));
    let Failed(error) = next(&mut source) else { panic!("it is another topic") };
    let expected = "partition 0 of topic \"access\" has another record at offset 19 than was read of it before";
    assert!(error.contains(expected) && error.contains("Give the source another name"), "{error}");
    drop(source);

    // Without a mark nothing is claimed.
    let mut source = marked(&anew, &folder.path().join("none"), Some(20));
    assert_eq!(records(&mut source, 25), [Records(0, 25, 175, 45)]);
}

#[test]
fn a_topic_made_anew_that_is_shorter_is_noticed_with_a_mark_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let marks = folder.path().join("web.marks");
    Marks::load(Some(marks.clone())).keep([(0, marks::Mark { offset: 9, time_ms: None, length: 1 })]);
    let cluster = Cluster::new(1);
    cluster.produce(0, &[Some(b"a".as_slice()); 5]);
    let mut source = marked(&cluster, &marks, Some(10));
    assert_eq!(next(&mut source), Opened(0));
    let Failed(error) = next(&mut source) else { panic!("it is shorter") };
    assert!(error.contains("ends at offset 5, but everything below 10 was read of it before"), "{error}");
}

#[test]
fn how_far_behind_a_partition_is_is_known() {
    let cluster = Cluster::new(1);
    cluster.produce(0, &[Some(b"a".as_slice()); 50]);
    let (mut source, _) = cluster.source(stored(&[("web", 0, 40)]), ReadLimits::default());
    assert_eq!(records(&mut source, 10), [Records(0, 10, 10, 50)]);
    let at_end = (0..600).any(|_| {
        assert!(source.next(Duration::from_millis(50)).expect("no error").is_none());
        source.lag() == [(0, 0)]
    });
    assert!(at_end, "{:?}", source.lag());
    assert_eq!(source.trouble(), None);
}

#[test]
fn questions_in_vain_are_put_off_for_longer_each_time() {
    let waits: Vec<i64> = std::iter::successors(Some(put_off(0)), |wait| Some(put_off(*wait))).take(6).collect();
    assert_eq!(waits, [1, 2, 4, 8, 10, 10].map(|seconds| seconds * 1_000_000));
}
