//! What librdkafka calls while it is polled: group changes are only noted here, and carried out by the source, which can
//! look up positions, commit, and fail.
//!
//! Promises: a group change that meets a closing source is answered at once, so that closing never hangs.
//! Never: blocks, or answers a revocation before the lanes were released.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;

/// A change of the group that waits to be answered.
#[derive(Debug)]
pub enum Change {
    Assigned(Vec<i32>),
    Revoked { partitions: Vec<i32>, lost: bool },
}

#[derive(Default)]
pub struct Context {
    /// At most a few: librdkafka waits for the answer to one before it sends the next.
    changes: Mutex<VecDeque<Change>>,
    /// The words of the last error, which the error that `poll` returns does not carry.
    reason: Mutex<String>,
    closing: AtomicBool,
    /// By partition, the offset after the last record the broker told of.
    ends: Mutex<BTreeMap<i32, i64>>,
    /// How many partitions the topic has; 0: not known.
    partitions: AtomicU32,
    /// A broker answered when the client last told.
    up: AtomicBool,
}

/// What is read of the client's statistics.
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    /// -1 for an address of the configuration, which stays beside the broker it leads to.
    nodeid: i32,
    state: String,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: BTreeMap<i32, Ends>,
}

#[derive(Deserialize)]
struct Ends {
    /// -1 and below: not known.
    #[serde(default)]
    hi_offset: i64,
}

impl Context {
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// The end of a partition as far as the client knows it.
    pub fn end_of(&self, partition: i32) -> Option<i64> {
        lock(&self.ends).get(&partition).copied()
    }

    /// How many partitions the topic has, as far as the client knows it.
    pub fn partitions_of_topic(&self) -> Option<u32> {
        Some(self.partitions.load(Ordering::Relaxed)).filter(|count| *count > 0)
    }

    pub fn next_change(&self) -> Option<Change> {
        lock(&self.changes).pop_front()
    }

    pub fn take_reason(&self) -> String {
        std::mem::take(&mut *lock(&self.reason))
    }

    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

/// The data behind these locks is whole at any time, so a panic elsewhere does not make it unusable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    /// librdkafka repeats itself while a broker is away; what a person needs is said through errors.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(target: "gatewatch::kafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "gatewatch::kafka", facility, "{message}"),
        }
    }

    /// The client consumes one topic, so its partitions are those of all topics.
    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else { return };
        let up = statistics.brokers.values().any(|broker| broker.nodeid >= 0 && broker.state == "UP");
        self.up.store(up, Ordering::Relaxed);
        let all: Vec<(i32, Ends)> = statistics.topics.into_values().flat_map(|topic| topic.partitions).collect();
        let count = all.iter().filter(|(partition, _)| *partition >= 0).count();
        self.partitions.store(u32::try_from(count).unwrap_or(u32::MAX), Ordering::Relaxed);
        let all = all.into_iter();
        let known = all.filter(|(partition, ends)| *partition >= 0 && ends.hi_offset >= 0);
        lock(&self.ends).extend(known.map(|(partition, ends)| (partition, ends.hi_offset)));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            *lock(&self.reason) = reason.to_string();
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, change: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let assigned = change == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Acquire) {
            let answer = if assigned {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.incremental_unassign(partitions).or_else(|_| consumer.unassign())
            };
            if let Err(error) = answer {
                tracing::debug!(target: "gatewatch::kafka", "group change while closing: {error}");
            }
            return;
        }
        let partitions = partitions.elements().iter().map(|element| element.partition()).collect();
        let change = match assigned {
            true => Change::Assigned(partitions),
            false => Change::Revoked { partitions, lost: consumer.assignment_lost() },
        };
        lock(&self.changes).push_back(change);
    }

    /// The lake knows the position; the group's is for dashboards and may lag.
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(target: "gatewatch::kafka", "the group's offsets were not stored: {error}");
        }
    }
}
