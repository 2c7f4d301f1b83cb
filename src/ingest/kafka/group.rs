//! What the consumer group asks of a source: to take partitions, to give them back, or to accept that they are lost.
//!
//! Promises: partitions asked back are kept, unread, until all of them are released; the group waits that long. Of lost
//! ones nothing more is handed over, because another member may read them already.

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use schemas::Lane;

use super::context::Change;
use super::member::Member;
use super::partition::Partition;
use super::start::{Beginning, StartError, Starting};
use super::{ASK_AGAIN_MAX_US, KafkaSource};
use crate::ingest::batch::Filling;
use crate::ingest::{IngestError, Signal};

impl KafkaSource {
    pub(super) fn answer_changes(&mut self, now_us: i64) -> Result<(), IngestError> {
        while let Some(change) = self.unanswered.take().or_else(|| self.consumer.context().next_change()) {
            match change {
                Change::Assigned(partitions) => {
                    if !self.assign(&partitions, now_us)? {
                        self.unanswered = Some(Change::Assigned(partitions));
                        return Ok(());
                    }
                }
                Change::Revoked { partitions, lost: true } => self.lose(&partitions)?,
                Change::Revoked { partitions, lost: false } => self.revoke(&partitions)?,
            }
        }
        Ok(())
    }

    /// False when the brokers could not be asked where the partitions begin.
    fn assign(&mut self, partitions: &[i32], now_us: i64) -> Result<bool, IngestError> {
        // Further ahead than it is ever set: the clock was set back.
        if now_us < self.ask_again_us && self.ask_again_us - now_us <= ASK_AGAIN_MAX_US {
            return Ok(false);
        }
        let starting = Starting {
            consumer: &self.consumer,
            config: &self.config,
            source: &self.name,
            positions: self.positions.as_ref(),
            marks: &self.marks,
        };
        let beginnings = match starting.beginnings(partitions) {
            Ok(beginnings) => beginnings,
            Err(StartError::Failed(error)) => return Err(error),
            Err(StartError::Away(error)) => {
                self.asked_in_vain(&format!("cannot find out where to begin: {error}"), now_us);
                return Ok(false);
            }
        };
        self.put_off_us = 0;
        self.take(&beginnings)?;
        self.joined = true;
        if !beginnings.is_empty() {
            self.topic_missing_us = None;
        }
        self.outage.over(&self.config.brokers, now_us);
        Ok(true)
    }

    fn take(&mut self, beginnings: &[Beginning]) -> Result<(), IngestError> {
        let mut list = TopicPartitionList::new();
        for beginning in beginnings {
            let lane = Lane { source: self.name.clone(), partition: beginning.partition };
            let filling = Filling::new(self.limits.clone(), self.clock.clone());
            let topic = &self.config.topic;
            let partition = Partition::new(&self.consumer, topic, lane.clone(), beginning, filling, &self.waker)
                .ok_or_else(|| {
                    self.config.error(format!("the client has no queue for partition {}", lane.partition))
                })?;
            list.add_partition_offset(topic, beginning.partition, beginning.offset)
                .map_err(|error| self.failed("cannot take partitions", &error))?;
            self.partitions.push(partition);
            self.ready.push_back(Signal::Opened { lane });
        }
        self.consumer.incremental_assign(&list).map_err(|error| self.failed("cannot take partitions", &error))
    }

    fn revoke(&mut self, partitions: &[i32]) -> Result<(), IngestError> {
        if partitions.is_empty() {
            return self.unassign(partitions);
        }
        for partition in self.partitions.iter_mut().filter(|p| partitions.contains(&p.lane.partition)) {
            partition.revoking = true;
        }
        let lanes = self.lanes(partitions);
        self.ready.push_back(Signal::Revoking { lanes });
        Ok(())
    }

    fn lose(&mut self, partitions: &[i32]) -> Result<(), IngestError> {
        tracing::warn!(brokers = self.config.brokers, ?partitions, "the group took partitions away without asking");
        let lost = self.lanes(partitions);
        self.forget(&lost);
        self.unassign(partitions)?;
        self.ready.extend(lost.into_iter().map(|lane| Signal::Ended { lane }));
        Ok(())
    }

    /// Starts over as a new member. librdkafka, when expelled while an answer to the group is open, would go on as if the
    /// rest of its partitions were still its own.
    pub(super) fn join_again(&mut self, reason: &str) -> Result<(), IngestError> {
        tracing::warn!(brokers = self.config.brokers, "{reason}: others have our partitions; joining the group again");
        let lost: Vec<Lane> = self.partitions.iter().map(|partition| partition.lane.clone()).collect();
        self.answer_before_closing();
        self.forget(&lost);
        self.partitions.clear();
        self.consumer = Member::join(&self.config, &self.waker)?;
        self.ready.extend(lost.into_iter().map(|lane| Signal::Ended { lane }));
        Ok(())
    }

    /// Another member may read these lanes already: what was read of them and not handed over is not ours to give.
    fn forget(&mut self, lost: &[Lane]) {
        self.ready.retain(|signal| match signal {
            Signal::Opened { lane }
            | Signal::Succeeds { lane, .. }
            | Signal::Records { lane, .. }
            | Signal::CaughtUp { lane } => !lost.contains(lane),
            Signal::Revoking { lanes } => !lanes.iter().all(|lane| lost.contains(lane)),
            Signal::Ended { .. } => true,
        });
    }

    fn unassign(&mut self, partitions: &[i32]) -> Result<(), IngestError> {
        let list = self.listed(partitions);
        self.consumer.give_up(&list).map_err(|error| self.failed("cannot give partitions back", &error))?;
        self.partitions.retain(|partition| !partitions.contains(&partition.lane.partition));
        Ok(())
    }

    /// The group goes on once all lanes of one `Revoking` are let go.
    pub(super) fn let_go(&mut self, lanes: &[Lane]) -> Result<(), IngestError> {
        self.partitions.iter_mut().filter(|p| p.revoking && lanes.contains(&p.lane)).for_each(|p| p.released = true);
        let asked_back: Vec<&Partition> = self.partitions.iter().filter(|p| p.revoking).collect();
        if asked_back.is_empty() || asked_back.iter().any(|p| !p.released) {
            return Ok(());
        }
        let partitions: Vec<i32> = asked_back.iter().map(|p| p.lane.partition).collect();
        self.unassign(&partitions)
    }

    pub(super) fn answer_before_closing(&mut self) {
        self.consumer.context().close();
        let asked_back: Vec<i32> = self.partitions.iter().filter(|p| p.revoking).map(|p| p.lane.partition).collect();
        let revoked = (!asked_back.is_empty()).then_some(Change::Revoked { partitions: asked_back, lost: false });
        let mut waiting: Vec<Change> = self.unanswered.take().into_iter().chain(revoked).collect();
        waiting.extend(std::iter::from_fn(|| self.consumer.context().next_change()));
        for change in waiting {
            let answer = match change {
                Change::Assigned(_) => self.consumer.incremental_assign(&TopicPartitionList::new()),
                Change::Revoked { partitions, .. } => self.consumer.give_up(&self.listed(&partitions)),
            };
            if let Err(error) = answer {
                tracing::debug!(brokers = self.config.brokers, "group change while closing: {error}");
            }
        }
    }

    /// The lanes of these partitions, in their order.
    fn lanes(&self, partitions: &[i32]) -> Vec<Lane> {
        partitions.iter().map(|partition| Lane { source: self.name.clone(), partition: *partition }).collect()
    }

    pub(super) fn listed(&self, partitions: &[i32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.config.topic, *partition);
        }
        list
    }

    pub(super) fn failed(&self, what: &str, error: &KafkaError) -> IngestError {
        self.config.error(format!("{what}: {error}"))
    }
}
