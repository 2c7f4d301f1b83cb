//! One partition that is ours: its queue in the client, the batch being filled from it, and how far it is.
//!
//! Promises: no record comes twice, whatever the client fetches again after a pause or a group change; a record without
//! a value is a record of no bytes. Pausing leaves what was fetched where it is: the client stops by itself when the
//! queue is full.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use schemas::Lane;

use super::context::Context;
use super::start::Beginning;
use super::wake_up;
use crate::ingest::Signal;
use crate::ingest::batch::Filling;

pub struct Partition {
    pub lane: Lane,
    queue: PartitionQueue<Context>,
    filling: Filling,
    /// The next offset that is wanted; unknown until the first record when reading begins at the earliest.
    pub next: Option<i64>,
    pub paused: bool,
    /// The group takes it away: nothing more is read.
    pub revoking: bool,
    /// What was read of it is stored; it may go.
    pub released: bool,
    /// Nothing stands at `next`; where to go on must be found out.
    pub gap: bool,
    /// What was last committed to the group.
    pub committed: Option<i64>,
    /// Since when nothing more was there to read, unless `CaughtUp` was said since.
    end_us: Option<i64>,
}

impl Partition {
    /// Takes the partition's records out of the consumer's common queue, which must be done before it is assigned: then
    /// none can come the other way.
    pub fn new(
        consumer: &Arc<BaseConsumer<Context>>,
        topic: &str,
        lane: Lane,
        beginning: &Beginning,
        filling: Filling,
        waker: &SyncSender<()>,
    ) -> Option<Partition> {
        let mut queue = consumer.split_partition_queue(topic, lane.partition)?;
        queue.set_nonempty_callback(wake_up(waker));
        Some(Partition {
            lane,
            queue,
            filling,
            next: beginning.next,
            paused: false,
            revoking: false,
            released: false,
            gap: false,
            committed: None,
            end_us: None,
        })
    }

    pub fn is_readable(&self) -> bool {
        !self.paused && !self.revoking && !self.gap
    }

    /// Takes what is there, at most a batch. After an error the batch holds what came before it.
    pub fn read(&mut self, now_us: i64) -> Result<(), KafkaError> {
        while !self.filling.is_full() {
            match self.queue.poll(Duration::ZERO) {
                None => return Ok(()),
                Some(Ok(message)) => {
                    let offset = message.offset();
                    if self.next.is_some_and(|next| offset < next) {
                        continue;
                    }
                    let payload = message.payload().unwrap_or_default();
                    self.filling.push(offset, payload, payload.len() as u64);
                    self.next = Some(offset + 1);
                    self.end_us = None;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => self.end_us = Some(self.end_us.unwrap_or(now_us)),
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Its end was not met yet.
    #[cfg(test)]
    pub fn is_active(&self) -> bool {
        self.end_us.is_none()
    }

    pub fn kept_bytes(&self) -> usize {
        self.filling.kept_bytes()
    }

    pub fn take_records(&mut self) -> Option<Signal> {
        (!self.filling.is_empty()).then(|| Signal::Records { lane: self.lane.clone(), records: self.filling.take() })
    }

    /// Says once that nothing more came for `idle_after_us`.
    pub fn take_caught_up(&mut self, now_us: i64, idle_after_us: i64) -> Option<Signal> {
        let end_us = self.end_us.filter(|_| self.is_readable())?;
        if now_us - end_us < idle_after_us {
            return None;
        }
        self.end_us = None;
        Some(Signal::CaughtUp { lane: self.lane.clone() })
    }
}
