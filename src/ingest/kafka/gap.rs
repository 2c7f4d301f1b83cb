//! Offsets that are asked for and not there: retention was faster than we, or the topic is not the one it was.
//!
//! Promises: a gap is an error or, if so configured, a warning with its size; never silence. Offsets are never read again
//! from below what is stored.

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::marks::Mark;
use super::start::QUESTION;
use super::{KafkaSource, OnGap};
use crate::ingest::IngestError;

impl KafkaSource {
    /// Waits while a question of the group is open, because what is done here would answer it.
    pub(super) fn mend_gaps(&mut self, now_us: i64) -> Result<(), IngestError> {
        if self.unanswered.is_some() || self.partitions.iter().any(|p| p.revoking) || now_us < self.ask_again_us {
            return Ok(());
        }
        for index in 0..self.partitions.len() {
            if self.partitions[index].gap {
                self.mend(index, now_us)?;
            }
        }
        Ok(())
    }

    fn mend(&mut self, index: usize, now_us: i64) -> Result<(), IngestError> {
        let (number, next) = (self.partitions[index].lane.partition, self.partitions[index].next);
        match self.consumer.fetch_watermarks(&self.config.topic, number, QUESTION) {
            Ok((low, high)) => {
                self.put_off_us = 0;
                let next = self.across_gap(number, next, low, high)?;
                self.continue_at(number, next)?;
                self.partitions[index].next = Some(next);
                self.partitions[index].gap = false;
                self.partitions[index].expected = None;
            }
            Err(error) => {
                self.asked_in_vain(&format!("cannot find out what partition {number} holds: {error}"), now_us);
            }
        }
        Ok(())
    }

    /// After such an error the client has stopped the partition and refuses to seek in it: it is taken anew.
    fn continue_at(&self, number: i32, next: i64) -> Result<(), IngestError> {
        let old = self.listed(&[number]);
        let mut new = TopicPartitionList::new();
        new.add_partition_offset(&self.config.topic, number, Offset::Offset(next))
            .and_then(|()| self.consumer.incremental_unassign(&old))
            .and_then(|()| self.consumer.incremental_assign(&new))
            .map_err(|error| self.failed(&format!("cannot go on at offset {next} of partition {number}"), &error))
    }

    /// A record that was read before is another one now.
    pub(super) fn made_anew(&self, partition: i32, mark: Mark) -> IngestError {
        let (topic, offset) = (&self.config.topic, mark.offset);
        self.config.error(format!(
            "partition {partition} of topic {topic:?} has another record at offset {offset} than was read of it before: the \
             topic was made anew, or this is another cluster. Give the source another name to read it from its start"
        ))
    }

    /// Where to go on in a partition that holds the offsets from `low` to below `high`.
    fn across_gap(&self, number: i32, next: Option<i64>, low: i64, high: i64) -> Result<i64, IngestError> {
        let next = next.unwrap_or(low);
        if next > high {
            let message = format!(
                "partition {number} of topic {:?} ends at offset {high}, but everything below {next} was read of it before: it was \
                 made anew, or this is another cluster. Give the source another name to read it from its start",
                self.config.topic
            );
            return Err(self.config.error(message));
        }
        if next >= low {
            return Ok(next);
        }
        let lost = low - next;
        if self.config.on_gap == OnGap::Fail {
            let message = format!(
                "partition {number} of topic {:?}: {lost} records, offsets {next} to {}, were removed by retention before they \
                 were read. To accept the loss and go on, set on_gap to skip",
                self.config.topic,
                low - 1
            );
            return Err(self.config.error(message));
        }
        tracing::warn!(
            partition = number,
            lost,
            from = next,
            to = low - 1,
            "records were removed by retention before they were read"
        );
        Ok(low)
    }
}
