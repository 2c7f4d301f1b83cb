//! Where a partition begins when it is assigned to us: where the lake says, or else where the configuration says.
//!
//! Promises: what the lake says always wins over the group's own offsets. `latest` is decided once: the end that was found
//! is committed to the group before anything is read, and found again there after a restart.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schemas::Lane;

use super::config::{KafkaConfig, Start};
use super::context::Context;
use super::marks::{Mark, Marks};
use crate::ingest::{IngestError, Positions};

/// A question to the brokers waits this long for its answer, and all other sources with it.
pub const QUESTION: Duration = Duration::from_secs(2);

pub struct Beginning {
    pub partition: i32,
    pub offset: Offset,
    /// No record below this one is wanted.
    pub next: Option<i64>,
    /// The last record read before: reading begins with it, to see that it is still the same.
    pub mark: Option<Mark>,
}

impl Beginning {
    fn at(partition: i32, next: i64) -> Beginning {
        Beginning { partition, offset: Offset::Offset(next), next: Some(next), mark: None }
    }

    fn with(self, mark: Option<Mark>) -> Beginning {
        let offset = mark.map_or(self.offset, |mark| Offset::Offset(mark.offset));
        Beginning { offset, mark, ..self }
    }

    fn earliest(partition: i32) -> Beginning {
        Beginning { partition, offset: Offset::Beginning, next: None, mark: None }
    }
}

pub enum StartError {
    /// The brokers do not answer; ask again later.
    Away(KafkaError),
    Failed(IngestError),
}

impl From<KafkaError> for StartError {
    fn from(error: KafkaError) -> StartError {
        StartError::Away(error)
    }
}

pub struct Starting<'a> {
    pub consumer: &'a BaseConsumer<Context>,
    pub config: &'a KafkaConfig,
    pub source: &'a str,
    pub positions: &'a dyn Positions,
    pub marks: &'a Marks,
}

impl Starting<'_> {
    pub fn beginnings(&self, partitions: &[i32]) -> Result<Vec<Beginning>, StartError> {
        let mut known = Vec::with_capacity(partitions.len());
        let mut unknown = TopicPartitionList::new();
        let lanes: Vec<Lane> = partitions.iter().map(|partition| Lane::new(self.source, *partition)).collect();
        let positions = self.positions.next_offsets(&lanes).map_err(|error| {
            let message = format!("cannot look up where partitions {partitions:?} continue: {error:#}");
            StartError::Failed(self.config.error(message))
        })?;
        for (&partition, position) in partitions.iter().zip(positions) {
            match position {
                Some(next) => known.push(Beginning::at(partition, next).with(self.marks.before(partition, next))),
                None => {
                    unknown.add_partition(&self.config.topic, partition);
                }
            }
        }
        if unknown.count() > 0 {
            known.extend(self.first_beginnings(unknown)?);
        }
        Ok(known)
    }

    fn first_beginnings(&self, partitions: TopicPartitionList) -> Result<Vec<Beginning>, StartError> {
        match self.config.start {
            Start::Earliest => Ok(partitions.elements().iter().map(|e| Beginning::earliest(e.partition())).collect()),
            Start::Latest => self.latest(partitions),
            Start::Timestamp(time_us) => self.at_time(partitions, time_us),
        }
    }

    fn latest(&self, partitions: TopicPartitionList) -> Result<Vec<Beginning>, StartError> {
        let mut begin = Vec::with_capacity(partitions.count());
        let mut ends = TopicPartitionList::new();
        let committed = self.consumer.committed_offsets(partitions, QUESTION)?;
        for element in committed.elements() {
            let partition = element.partition();
            let (low, high) = self.consumer.fetch_watermarks(&self.config.topic, partition, QUESTION)?;
            let next = match element.offset() {
                Offset::Offset(offset) => offset.max(low),
                _ => high,
            };
            ends.add_partition_offset(&self.config.topic, partition, Offset::Offset(next))?;
            begin.push(Beginning::at(partition, next));
        }
        self.consumer.commit(&ends, CommitMode::Sync)?;
        Ok(begin)
    }

    /// Kafka counts in milliseconds; a time within one begins with the next. A time after the last record is the end.
    fn at_time(&self, mut partitions: TopicPartitionList, time_us: i64) -> Result<Vec<Beginning>, StartError> {
        let time_ms = time_us.div_euclid(1000) + i64::from(time_us.rem_euclid(1000) > 0);
        partitions.set_all_offsets(Offset::Offset(time_ms))?;
        let found = self.consumer.offsets_for_times(partitions, QUESTION)?;
        let mut begin = Vec::with_capacity(found.count());
        for element in found.elements() {
            element.error()?;
            begin.push(match element.offset() {
                Offset::Offset(offset) => Beginning::at(element.partition(), offset),
                _ => {
                    let (_, high) =
                        self.consumer.fetch_watermarks(&self.config.topic, element.partition(), QUESTION)?;
                    Beginning::at(element.partition(), high)
                }
            });
        }
        Ok(begin)
    }
}
