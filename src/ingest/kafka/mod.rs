//! A Kafka topic as a source: each partition that the consumer group gives us is a lane, and its offsets are Kafka's own.
//! The time a record is observed is when it was taken from the client, not Kafka's timestamp.
//!
//! Promises: a partition starts where the lake says it ended, and each record of it comes once, also after a pause or a
//! group change. A partition that is taken away is let go only when `release` says that what was read is committed.
//! Brokers that are away are waited for; records that retention removed are never passed over in silence. Memory is
//! bounded by the client's queues (`config.rs`) and a few batches.
//!
//! Never: commits on its own account, except the end where `latest` began; opens a record.

mod config;
mod context;
mod gap;
mod group;
mod marks;
mod member;
mod partition;
mod start;
mod trouble;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::Lane;

pub use self::config::{KafkaConfig, OnGap, Sasl, Start, Tls};
use self::context::Change;
use self::marks::Marks;
use self::member::Member;
use self::partition::Partition;
use self::start::QUESTION;
use self::trouble::{Outage, Verdict, judge};
use super::{Clock, IngestError, Positions, ReadLimits, Signal, Source};

/// Batches that wait in here to be taken, in bytes; one batch more may be over it.
const READY_BYTES_MAX: usize = 16 << 20;
/// Events of the group (changes, errors, log lines) taken at a time.
const EVENTS_AT_A_TIME: usize = 16;
/// The longest wait before the group's events are looked at again.
const WAIT: Duration = Duration::from_millis(50);
/// Before a question to the brokers is asked again.
const ASK_AGAIN_US: i64 = 1_000_000;
const ASK_AGAIN_MAX_US: i64 = 10_000_000;
/// A topic that is not there may be made meanwhile; after this long it is an error.
const TOPIC_WAIT_US: i64 = 30_000_000;

pub struct KafkaSource {
    config: KafkaConfig,
    name: Arc<str>,
    limits: ReadLimits,
    positions: Arc<dyn Positions>,
    marks: Marks,
    clock: Clock,
    /// Holds queues of `consumer`, so it goes first.
    partitions: Vec<Partition>,
    consumer: Member,
    ready: VecDeque<Signal>,
    /// Whose turn it is to be read.
    turn: usize,
    wake: Receiver<()>,
    waker: SyncSender<()>,
    /// An assignment that waits for the brokers to say where it begins.
    unanswered: Option<Change>,
    ask_again_us: i64,
    /// How long that was put off, doubled each time; 0 after an answer.
    put_off_us: i64,
    topic_missing_us: Option<i64>,
    /// The group has let us in.
    joined: bool,
    outage: Outage,
}

impl KafkaSource {
    /// Checks the configuration and joins the group in the background; brokers need not be there yet. The lanes are
    /// named `source_name`.
    pub fn new(
        config: KafkaConfig,
        source_name: &str,
        limits: ReadLimits,
        positions: Arc<dyn Positions>,
        clock: Clock,
    ) -> Result<KafkaSource, IngestError> {
        let (waker, wake) = sync_channel(1);
        let consumer = Member::join(&config, &waker)?;
        if config.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == "PLAIN") && config.tls.is_none() {
            tracing::warn!(
                brokers = config.brokers,
                "the password of SASL PLAIN goes over the network as it is: set tls"
            );
        }
        Ok(KafkaSource {
            name: source_name.into(),
            limits,
            positions,
            marks: Marks::load(config.marks.clone()),
            clock,
            partitions: Vec::new(),
            consumer,
            ready: VecDeque::new(),
            turn: 0,
            wake,
            waker,
            unanswered: None,
            ask_again_us: i64::MIN,
            put_off_us: 0,
            topic_missing_us: None,
            joined: false,
            outage: Outage::default(),
            config,
        })
    }

    /// Takes what the client has, without waiting.
    fn gather(&mut self, now_us: i64) -> Result<(), IngestError> {
        self.read_partitions(now_us)?;
        self.mend_gaps(now_us)?;
        self.check_topic(now_us)
    }

    fn serve_group(&mut self, now_us: i64) -> Result<(), IngestError> {
        for _ in 0..EVENTS_AT_A_TIME {
            let error = match self.consumer.poll(Duration::ZERO) {
                None => continue,
                Some(Err(error)) => error,
                // Records come through the partitions' queues, which were split off before the assignment.
                Some(Ok(_)) => {
                    return Err(self.config.error("a record came outside its partition's queue".to_string()));
                }
            };
            self.trouble(&error, None, now_us)?;
        }
        Ok(())
    }

    fn read_partitions(&mut self, now_us: i64) -> Result<(), IngestError> {
        let count = self.partitions.len();
        let idle_after_us = i64::try_from(self.config.idle_after_ms).unwrap_or(i64::MAX).saturating_mul(1000);
        let mut bytes = 0;
        let mut errors = Vec::new();
        for index in (0..count).map(|step| (self.turn + step) % count) {
            let partition = &mut self.partitions[index];
            if !partition.is_readable() {
                continue;
            }
            if let Err(error) = partition.read(now_us) {
                errors.push((index, error));
            }
            if let Some(mark) = partition.replaced {
                let number = partition.lane.partition;
                return Err(self.made_anew(number, mark));
            }
            bytes += partition.kept_bytes();
            self.ready.extend(partition.take_records());
            self.ready.extend(partition.take_caught_up(now_us, idle_after_us));
            if bytes >= READY_BYTES_MAX {
                self.turn = index + 1;
                break;
            }
        }
        if bytes > 0 {
            self.outage.over(&self.config.brokers, now_us);
        }
        errors.into_iter().try_for_each(|(index, error)| self.trouble(&error, Some(index), now_us))
    }

    /// Decides about an error, of one partition or of the whole.
    fn trouble(&mut self, error: &KafkaError, index: Option<usize>, now_us: i64) -> Result<(), IngestError> {
        let said = self.consumer.context().take_reason();
        let reason = if said.is_empty() { error.to_string() } else { said };
        match judge(error, self.joined, &reason) {
            Verdict::Fatal(advice) => return Err(self.config.error(format!("{reason}: {advice}"))),
            Verdict::Gap => match index.and_then(|index| self.partitions.get_mut(index)) {
                Some(partition) => partition.gap = true,
                None => self.outage.trouble(&self.config.brokers, &reason, now_us),
            },
            Verdict::TopicMissing => {
                self.topic_missing_us.get_or_insert(now_us);
                self.outage.trouble(&self.config.brokers, &reason, now_us);
            }
            Verdict::Expelled => self.join_again(&reason)?,
            Verdict::Passing => self.outage.trouble(&self.config.brokers, &reason, now_us),
        }
        Ok(())
    }

    fn asked_in_vain(&mut self, reason: &str, now_us: i64) {
        self.put_off_us = put_off(self.put_off_us);
        // The question took its time.
        self.ask_again_us = (self.clock)() + self.put_off_us;
        self.outage.trouble(&self.config.brokers, reason, now_us);
    }

    fn check_topic(&mut self, now_us: i64) -> Result<(), IngestError> {
        if self.topic_missing_us.is_none_or(|since_us| now_us - since_us < TOPIC_WAIT_US) {
            return Ok(());
        }
        let topic = &self.config.topic;
        let exists = match self.consumer.fetch_metadata(Some(topic), QUESTION) {
            Ok(metadata) => {
                metadata.topics().iter().any(|found| found.name() == topic && !found.partitions().is_empty())
            }
            Err(_) => {
                self.topic_missing_us = Some(now_us);
                return Ok(());
            }
        };
        self.topic_missing_us = None;
        if exists {
            return Ok(());
        }
        let seconds = TOPIC_WAIT_US / 1_000_000;
        let message =
            format!("there is no topic {topic:?}, also not after {seconds} s: check its name, or make it first");
        Err(self.config.error(message))
    }
}

/// How long the next question waits after one in vain: other sources wait as long as one is open.
fn put_off(before_us: i64) -> i64 {
    (2 * before_us).clamp(ASK_AGAIN_US, ASK_AGAIN_MAX_US)
}

/// Ends the wait in `next`. That the channel is full means that a wake-up waits already.
fn wake_up(waker: &SyncSender<()>) -> impl Fn() + Send + Sync + 'static {
    let waker = waker.clone();
    move || {
        let _ = waker.try_send(());
    }
}

impl Source for KafkaSource {
    fn next(&mut self, timeout: Duration) -> Result<Option<Signal>, IngestError> {
        let mut left = timeout;
        loop {
            // The group comes first: records of a partition that was lost meanwhile must not be handed over.
            let now_us = (self.clock)();
            self.serve_group(now_us)?;
            self.answer_changes(now_us)?;
            if let Some(signal) = self.ready.pop_front() {
                return Ok(Some(signal));
            }
            self.gather(now_us)?;
            if self.ready.is_empty() {
                if left.is_zero() {
                    return Ok(None);
                }
                let wait = left.min(WAIT);
                // A wake-up counts as a moment, so that ever so many of them end.
                let woken = self.wake.recv_timeout(wait).is_ok();
                left -= if woken { wait.min(Duration::from_millis(1)) } else { wait };
            }
        }
    }

    fn finished(&self) -> bool {
        false
    }

    fn pause(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.partitions.iter_mut().filter(|p| lanes.contains(&p.lane)).for_each(|p| p.paused = true);
        Ok(())
    }

    fn resume(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.partitions.iter_mut().filter(|p| lanes.contains(&p.lane)).for_each(Partition::resume);
        Ok(())
    }

    fn release(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.let_go(lanes)
    }

    /// Stored in the group for dashboards, without waiting; where we continue, the lake says.
    fn committed(&mut self, positions: &[(Lane, i64)]) -> Result<(), IngestError> {
        let mut list = TopicPartitionList::new();
        let mut marks = Vec::new();
        for (lane, next) in positions {
            let Some(partition) = self.partitions.iter_mut().find(|partition| partition.lane == *lane) else {
                continue;
            };
            marks.extend(partition.mark_below(*next).map(|mark| (lane.partition, mark)));
            if partition.committed.replace(*next) != Some(*next) {
                list.add_partition_offset(&self.config.topic, lane.partition, Offset::Offset(*next))
                    .map_err(|error| self.config.error(format!("offset {next} of {lane}: {error}")))?;
            }
        }
        self.marks.keep(marks);
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(brokers = self.config.brokers, "the group's offsets were not stored: {error}");
        }
        Ok(())
    }

    fn trouble(&self) -> Option<String> {
        // Nothing may come for long after the brokers are back; that they are up is enough.
        let well = self.joined && self.topic_missing_us.is_none() && self.consumer.context().is_up();
        let reason = self.outage.reason().filter(|_| !well)?;
        Some(format!("kafka {}: {reason}", self.config.brokers))
    }

    fn lag(&self) -> Vec<(i32, u64)> {
        let of = |partition: &Partition| {
            let number = partition.lane.partition;
            Some((number, partition.lag(self.consumer.context().end_of(number))?))
        };
        self.partitions.iter().filter_map(of).collect()
    }

    fn partitions_of_topic(&self) -> Option<u32> {
        self.consumer.context().partitions_of_topic()
    }

    fn at_end(&self) -> Vec<Lane> {
        let ended = self.partitions.iter().filter(|partition| partition.is_at_end() && partition.is_readable());
        ended.map(|partition| partition.lane.clone()).collect()
    }
}

impl Drop for KafkaSource {
    /// Leaves the group. Questions of the group that wait for an answer would hold the client for ever.
    fn drop(&mut self) {
        self.answer_before_closing();
        self.partitions.clear();
    }
}

#[cfg(test)]
mod tests;
