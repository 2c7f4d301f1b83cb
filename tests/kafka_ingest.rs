//! The Kafka source against a real broker: group changes, broker restarts, where to start, odd records, retention, TLS and
//! SASL. A stand-in for the lake keeps the position of each partition and refuses anything but the next record.

#[path = "common/kafka.rs"]
mod kafka;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gatewatch::ingest::kafka::{KafkaConfig, KafkaSource, OnGap, Sasl, Start, Tls};
use gatewatch::ingest::{Clock, Positions, ReadLimits, Signal, Source};
use kafka::{Broker, Given, send};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::Lane;

/// A wait for a signal; a step of `until` when nothing comes.
const STEP: Duration = Duration::from_millis(20);
/// Steps before a test gives up: a minute or more.
const STEPS_MAX: usize = 4_000;

/// What is committed: the next offset of each lane.
#[derive(Default)]
struct Lake(Mutex<BTreeMap<i32, i64>>);

impl Lake {
    fn at(positions: &[(i32, i64)]) -> Arc<Lake> {
        Arc::new(Lake(Mutex::new(positions.iter().copied().collect())))
    }

    fn positions(&self) -> BTreeMap<i32, i64> {
        self.0.lock().expect("no panic").clone()
    }

    fn total(&self) -> i64 {
        self.positions().values().sum()
    }

    /// Stores offsets `from` to before `next`. Nothing may be missing before them, and nothing may come twice.
    #[track_caller]
    fn commit(&self, partition: i32, from: i64, next: i64) {
        let stored = self.0.lock().expect("no panic").insert(partition, next);
        assert_eq!(stored.unwrap_or(0), from, "partition {partition}");
    }
}

impl Positions for Lake {
    fn next_offset(&self, lane: &Lane) -> anyhow::Result<Option<i64>> {
        Ok(self.positions().get(&lane.partition).copied())
    }
}

/// Time passes by being looked at.
fn clock() -> Clock {
    let now_us = AtomicI64::new(0);
    Arc::new(move || now_us.fetch_add(20_000, Ordering::Relaxed))
}

/// One consumer with what it read and did not commit yet.
struct Member {
    source: KafkaSource,
    lake: Arc<Lake>,
    uncommitted: BTreeMap<i32, (i64, i64)>,
    owned: BTreeSet<i32>,
    revoked: BTreeSet<i32>,
    ended: BTreeSet<i32>,
    caught_up: BTreeSet<i32>,
    records: usize,
    bytes: u64,
}

impl Member {
    fn new(config: &KafkaConfig, lake: &Arc<Lake>) -> Member {
        let limits = ReadLimits { batch_records: 500, ..ReadLimits::default() };
        let source =
            KafkaSource::new(config.clone(), "web", limits, lake.clone(), clock()).expect("a good configuration");
        Member {
            source,
            lake: lake.clone(),
            uncommitted: BTreeMap::new(),
            owned: BTreeSet::new(),
            revoked: BTreeSet::new(),
            ended: BTreeSet::new(),
            caught_up: BTreeSet::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// Takes one signal, when one comes. Of a revocation, the answer is left to the caller.
    fn take(&mut self) -> Result<Option<Vec<Lane>>, String> {
        match self.source.next(STEP).map_err(|error| error.to_string())? {
            None => {}
            Some(Signal::Opened { lane }) => assert!(self.owned.insert(lane.partition), "{lane} opened twice"),
            Some(Signal::Records { lane, records }) => {
                assert!(self.owned.contains(&lane.partition), "records of {lane}, which is not ours");
                let next = records.next_offset().expect("records");
                let from = next - records.len() as i64;
                let read = self.uncommitted.entry(lane.partition).or_insert((from, from));
                assert_eq!(read.1, from, "{lane} goes on where it was");
                read.1 = next;
                self.records += records.len();
                self.bytes += records.bytes();
                self.caught_up.remove(&lane.partition);
            }
            Some(Signal::CaughtUp { lane }) => drop(self.caught_up.insert(lane.partition)),
            Some(Signal::Ended { lane }) => {
                assert!(self.owned.remove(&lane.partition), "{lane} was not ours");
                self.uncommitted.remove(&lane.partition);
                self.ended.insert(lane.partition);
            }
            Some(Signal::Revoking { lanes }) => return Ok(Some(lanes)),
            Some(Signal::Succeeds { lane, .. }) => panic!("{lane} of a topic takes nobody's place"),
        }
        Ok(None)
    }

    fn commit(&mut self) {
        let committed = std::mem::take(&mut self.uncommitted);
        committed.iter().for_each(|(partition, (from, next))| self.lake.commit(*partition, *from, *next));
        let positions: Vec<_> = committed.iter().map(|(p, (_, next))| (Lane::new("web", *p), *next)).collect();
        self.source.committed(&positions).expect("accepted");
    }

    /// Takes one signal and does what the pipeline does: commits now and then, and before lanes are released.
    fn step(&mut self) {
        let revoking = self.take().expect("no error");
        if self.uncommitted.values().map(|(from, next)| next - from).sum::<i64>() >= 1_700 {
            self.commit();
        }
        if let Some(lanes) = revoking {
            self.commit();
            self.source.release(&lanes).expect("released");
            for lane in lanes {
                assert!(self.owned.remove(&lane.partition), "{lane} was not ours");
                self.revoked.insert(lane.partition);
            }
        }
    }

    /// Steps until an error comes.
    fn error(&mut self) -> String {
        for _ in 0..STEPS_MAX {
            if let Err(error) = self.take() {
                return error;
            }
        }
        panic!("no error");
    }
}

#[track_caller]
fn until(members: &mut [&mut Member], mut done: impl FnMut(&[&mut Member]) -> bool) {
    for _ in 0..STEPS_MAX {
        if done(members) {
            return;
        }
        members.iter_mut().for_each(|member| member.step());
    }
    panic!("not within {STEPS_MAX} steps");
}

fn config(broker: &Broker, topic: &str) -> KafkaConfig {
    let mut config = KafkaConfig::new(broker.brokers(), topic, &format!("gatewatch-{topic}"));
    config.idle_after_ms = 1_000;
    config.extra.insert("heartbeat.interval.ms".to_string(), "200".to_string());
    config.extra.insert("reconnect.backoff.max.ms".to_string(), "200".to_string());
    config
}

fn fill_all(broker: &Broker, topic: &str, count: usize) {
    (0..3).for_each(|partition| broker.fill(topic, partition, count));
}

#[test]
fn members_that_join_and_leave_hand_over_each_record_once() {
    let broker = Broker::shared();
    let topic = broker.topic(3);
    let (config, lake) = (config(&broker, &topic), Lake::at(&[]));
    fill_all(&broker, &topic, 4_000);
    let mut first = Member::new(&config, &lake);
    until(&mut [&mut first], |m| m[0].owned.len() == 3 && lake.total() >= 6_000);

    let mut second = Member::new(&config, &lake);
    until(&mut [&mut first, &mut second], |m| !m[1].owned.is_empty());
    assert_eq!((first.owned.len() + second.owned.len(), first.revoked.len()), (3, second.owned.len()), "cooperative");
    fill_all(&broker, &topic, 3_000);
    until(&mut [&mut first, &mut second], |m| {
        m[1].records > 0 && m[0].uncommitted.values().any(|(from, next)| next > from)
    });

    // The first leaves with records that it read and did not commit: the second reads them again.
    drop(first);
    fill_all(&broker, &topic, 3_000);
    until(&mut [&mut second], |m| m[0].caught_up.len() == 3);
    second.commit();
    assert_eq!(lake.positions(), BTreeMap::from([(0, 10_000), (1, 10_000), (2, 10_000)]));
}

/// Steps both until the group asks the first for lanes, which it does not answer.
fn asked_back(first: &mut Member, second: &mut Member) -> Vec<Lane> {
    for _ in 0..STEPS_MAX {
        second.step();
        if let Some(lanes) = first.take().expect("no error") {
            return lanes;
        }
    }
    panic!("the group asked for nothing");
}

#[test]
fn a_member_that_is_asked_to_give_back_keeps_its_lanes_until_it_releases_them_all() {
    let broker = Broker::shared();
    let topic = broker.topic(4);
    let (config, lake) = (config(&broker, &topic), Lake::at(&[]));
    let mut first = Member::new(&config, &lake);
    until(&mut [&mut first], |m| m[0].owned.len() == 4);
    let mut second = Member::new(&config, &lake);
    let asked = asked_back(&mut first, &mut second);
    assert_eq!(asked.len(), 2);
    first.source.release(&asked[..1]).expect("released");
    for _ in 0..50 {
        assert!(first.take().expect("no error").is_none());
        second.step();
    }
    assert!(second.owned.is_empty(), "the other lane is not released yet");
    first.source.release(&asked[1..]).expect("released");
    until(&mut [&mut first, &mut second], |m| m[1].owned.len() == 2);
    assert_eq!(second.owned, asked.iter().map(|lane| lane.partition).collect());
}

#[test]
fn a_member_that_is_asked_to_give_back_can_close_without_answering() {
    let broker = Broker::shared();
    let topic = broker.topic(3);
    let (config, lake) = (config(&broker, &topic), Lake::at(&[]));
    fill_all(&broker, &topic, 1_000);
    let mut first = Member::new(&config, &lake);
    until(&mut [&mut first], |m| m[0].caught_up.len() == 3);
    let mut second = Member::new(&config, &lake);
    asked_back(&mut first, &mut second);
    drop(first);
    let missing = 3_000 - lake.total();
    until(&mut [&mut second], |m| m[0].records as i64 == missing);
    second.commit();
    assert_eq!(lake.total(), 3_000);
}

#[test]
fn a_member_that_is_silent_for_too_long_loses_its_lanes_and_commits_nothing_of_them() {
    let broker = Broker::shared();
    let topic = broker.topic(3);
    let (mut config, lake) = (config(&broker, &topic), Lake::at(&[]));
    fill_all(&broker, &topic, 1_000);
    let second = config.clone();
    config
        .extra
        .extend(["session.timeout.ms", "max.poll.interval.ms"].map(|key| (key.to_string(), "6000".to_string())));
    let mut first = Member::new(&config, &lake);
    until(&mut [&mut first], |m| m[0].owned.len() == 3 && !m[0].uncommitted.is_empty());
    // The first is not asked for its signals any more, as if it hung.
    let mut second = Member::new(&second, &lake);
    let missing = 3_000 - lake.total();
    until(&mut [&mut second], |m| m[0].owned.len() == 3 && m[0].records as i64 == missing);
    second.commit();
    until(&mut [&mut first, &mut second], |m| m[0].ended.len() == 3);
    until(&mut [&mut first, &mut second], |m| !m[0].owned.is_empty() && m[0].owned.len() + m[1].owned.len() == 3);
    assert_eq!(lake.positions(), BTreeMap::from([(0, 1_000), (1, 1_000), (2, 1_000)]));
}

#[test]
fn a_broker_that_stops_or_is_killed_and_comes_back_loses_nothing() {
    let broker = Broker::own();
    let topic = broker.topic(3);
    let lake = Lake::at(&[]);
    let mut member = Member::new(&config(&broker, &topic), &lake);
    #[allow(clippy::type_complexity)] // two names and two functions
    let ends: [(&str, fn(&Broker)); 2] = [("stop", Broker::stop), ("kill", Broker::kill)];
    for (round, (how, end)) in ends.into_iter().enumerate() {
        let before = round * 6_000;
        fill_all(&broker, &topic, 1_000);
        until(&mut [&mut member], |m| m[0].records > before);
        end(&broker);
        for _ in 0..100 {
            member.step();
        }
        assert!(member.records <= before + 3_000);
        broker.start_again();
        fill_all(&broker, &topic, 1_000);
        until(&mut [&mut member], |m| m[0].records == before + 6_000);
        member.commit();
        let each = (round as i64 + 1) * 2_000;
        assert_eq!(lake.positions(), BTreeMap::from([(0, each), (1, each), (2, each)]), "after {how}");
    }
}

#[test]
fn a_source_closes_while_the_broker_is_away() {
    let broker = Broker::own();
    let topic = broker.topic(1);
    broker.fill(&topic, 0, 10);
    let mut member = Member::new(&config(&broker, &topic), &Lake::at(&[]));
    until(&mut [&mut member], |m| m[0].records == 10);
    broker.kill();
    drop(member);
}

#[test]
fn reading_starts_at_a_time() {
    let broker = Broker::shared();
    let topic = broker.topic(3);
    let base_ms = 1_700_000_000_000;
    for (partition, shift_ms) in [(0, 0), (1, -5_000), (2, 5_000)] {
        let at = |i: i64| Given { value: Some(b"{}".as_slice()), time_ms: Some(base_ms + shift_ms + i * 10) };
        broker.produce(&topic, partition, (0..100).map(at));
    }
    for (start_us, expected) in [(505_000, 51), (510_000, 51), (509_999, 51), (510_001, 52)] {
        let mut config = config(&broker, &topic);
        config.group = format!("{topic}-{start_us}");
        config.start = Start::Timestamp(base_ms * 1000 + start_us);
        let lake = Lake::at(&[]);
        let mut member = Member::new(&config, &lake);
        until(&mut [&mut member], |m| m[0].caught_up.len() == 3);
        let from: Vec<_> =
            member.uncommitted.iter().map(|(partition, (from, next))| (*partition, *from, *next)).collect();
        assert_eq!(
            from,
            [(0, expected, 100), (2, 0, 100)],
            "from {start_us}: partition 1 is older and begins at its end"
        );
    }
}

#[test]
fn latest_is_decided_once() {
    let broker = Broker::shared();
    let topic = broker.topic(1);
    broker.fill(&topic, 0, 100);
    let mut config = config(&broker, &topic);
    config.start = Start::Latest;
    let lake = Lake::at(&[]);
    let mut member = Member::new(&config, &lake);
    until(&mut [&mut member], |m| m[0].caught_up.len() == 1);
    assert_eq!(member.records, 0);
    drop(member);
    // What comes while nobody reads, before anything was committed, is read after the restart.
    broker.fill(&topic, 0, 7);
    let mut member = Member::new(&config, &lake);
    until(&mut [&mut member], |m| m[0].caught_up.len() == 1);
    assert_eq!(member.uncommitted, BTreeMap::from([(0, (100, 107))]));
}

#[test]
fn odd_records_are_records_with_their_lengths() {
    let broker = Broker::shared();
    let topic = broker.topic(1);
    let giant = vec![b'x'; 5 << 20];
    let deep = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
    let values: [&[u8]; 6] = [b"{\"status\":200}", b"", b"\xFF\xFE\0", &giant, &deep, b"{\"cut"];
    broker.produce(&topic, 0, values.map(Given::value).into_iter().chain([Given::default()]));
    let mut member = Member::new(&config(&broker, &topic), &Lake::at(&[]));
    until(&mut [&mut member], |m| m[0].caught_up.len() == 1);
    assert_eq!((member.records, member.bytes), (7, values.iter().map(|value| value.len() as u64).sum()));
    assert_eq!(member.uncommitted, BTreeMap::from([(0, (0, 7))]));
}

#[test]
fn records_that_retention_removed_are_told_or_skipped_by_choice() {
    let broker = Broker::shared();
    let topic = broker.topic(1);
    broker.fill(&topic, 0, 100);
    broker.delete_before(&topic, 0, 50);
    let mut config = config(&broker, &topic);
    let error = Member::new(&config, &Lake::at(&[(0, 20)])).error();
    let expected = "30 records, offsets 20 to 49, were removed by retention before they were read. To accept the loss";
    assert!(error.contains(expected), "{error}");

    config.on_gap = OnGap::Skip;
    let lake = Lake::at(&[(0, 20)]);
    let mut member = Member::new(&config, &lake);
    until(&mut [&mut member], |m| m[0].caught_up.len() == 1);
    assert_eq!(member.uncommitted, BTreeMap::from([(0, (50, 100))]));
    drop(member);

    // Nothing was read before: there is no gap.
    config.on_gap = OnGap::Fail;
    let mut member = Member::new(&config, &Lake::at(&[]));
    until(&mut [&mut member], |m| m[0].caught_up.len() == 1);
    assert_eq!(member.uncommitted, BTreeMap::from([(0, (50, 100))]));
}

#[test]
fn a_topic_shorter_than_what_was_read_of_it_is_an_error() {
    let broker = Broker::shared();
    let topic = broker.topic(1);
    broker.fill(&topic, 0, 100);
    let mut config = config(&broker, &topic);
    config.on_gap = OnGap::Skip;
    let error = Member::new(&config, &Lake::at(&[(0, 500)])).error();
    assert!(error.contains("ends at offset 100, but everything below 500 was read of it before"), "{error}");
}

#[test]
fn a_topic_made_anew_under_the_same_name_is_noticed_also_when_it_is_longer() {
    let broker = Broker::own();
    let (topic, folder) = (broker.topic(1), tempfile::tempdir().expect("a folder"));
    let mut config = config(&broker, &topic);
    config.marks = Some(folder.path().join("web.marks"));
    broker.fill(&topic, 0, 20);
    let lake = Lake::at(&[]);
    let mut member = Member::new(&config, &lake);
    until(&mut [&mut member], |m| m[0].records == 20);
    member.commit();
    drop(member);

    // A restart over the same topic goes on, and reads nothing twice.
    broker.fill(&topic, 0, 5);
    let mut member = Member::new(&config, &lake);
    until(&mut [&mut member], |m| m[0].caught_up.len() == 1);
    assert_eq!(member.uncommitted, BTreeMap::from([(0, (20, 25))]));
    drop(member);

    broker.delete_topic(&topic);
    broker.create_topic(&topic, 1);
    broker.fill(&topic, 0, 45);
    let error = Member::new(&config, &lake).error();
    let expected = "has another record at offset 19 than was read of it before: the topic was made anew";
    assert!(error.contains(expected) && error.contains("Give the source another name"), "{error}");
}

#[test]
fn records_of_an_aborted_transaction_are_not_read() {
    let broker = Broker::shared();
    let topic = broker.topic(1);
    let producer = broker.producer(&[("transactional.id", &topic)]);
    let wait = Duration::from_secs(30);
    producer.init_transactions(wait).expect("the broker has transactions");
    for commit in [false, true] {
        producer.begin_transaction().expect("begins");
        (0..10).for_each(|_| send(&producer, &topic, 0, Given::value(b"{}")));
        producer.flush(wait).expect("delivered");
        if commit { producer.commit_transaction(wait) } else { producer.abort_transaction(wait) }.expect("ends");
    }
    let mut member = Member::new(&config(&broker, &topic), &Lake::at(&[]));
    until(&mut [&mut member], |m| m[0].caught_up.len() == 1);
    // Ten aborted records and their mark stand before.
    assert_eq!(member.uncommitted, BTreeMap::from([(0, (11, 21))]));
}

#[test]
fn committed_positions_are_stored_in_the_group_for_dashboards() {
    let broker = Broker::shared();
    let topic = broker.topic(1);
    broker.fill(&topic, 0, 50);
    let config = config(&broker, &topic);
    let mut member = Member::new(&config, &Lake::at(&[]));
    until(&mut [&mut member], |m| m[0].caught_up.len() == 1);
    member.commit();
    drop(member);
    let reader: BaseConsumer = broker.client().set("group.id", &config.group).create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition(&topic, 0);
    let stored = reader.committed_offsets(list, Duration::from_secs(30)).expect("answered");
    assert_eq!(stored.elements()[0].offset(), Offset::Offset(50));
}

fn secured(broker: &Broker, topic: &str, mechanism: &str, password: &str) -> KafkaConfig {
    let mut config = config(broker, topic);
    config.brokers = broker.sasl_brokers();
    config.tls = Some(Tls { ca: Some(broker.tls("ca.pem")), ..Tls::default() });
    let (mechanism, username, password) = (mechanism.to_string(), "gatewatch".to_string(), password.to_string());
    config.sasl = Some(Sasl { mechanism, username, password });
    config
}

#[test]
fn tls_and_sasl_let_in_who_may_and_say_what_is_wrong() {
    let broker = Broker::own();
    let topic = broker.topic(1);
    broker.fill(&topic, 0, 10);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut config = secured(&broker, &topic, mechanism, "not-a-secret");
        if mechanism == "PLAIN" {
            let tls = config.tls.as_mut().expect("set");
            (tls.cert, tls.key) = (Some(broker.tls("client.crt")), Some(broker.tls("client.key")));
        }
        let mut member = Member::new(&config, &Lake::at(&[]));
        until(&mut [&mut member], |m| m[0].records == 10);
    }
    let wrong = |config: KafkaConfig| Member::new(&config, &Lake::at(&[])).error();
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let error = wrong(secured(&broker, &topic, mechanism, "wrong"));
        assert!(error.contains("check sasl.mechanism, sasl.username and sasl.password"), "{error}");
    }
    let mut unknown = secured(&broker, &topic, "PLAIN", "not-a-secret");
    unknown.tls = Some(Tls::default());
    let error = wrong(unknown);
    assert!(error.contains("check tls.ca against the broker's certificate"), "{error}");
}
