//! One partition that is ours: its queue in the client, the batch being filled from it, and how far it is.
//!
//! Promises: no record comes twice, whatever the client fetches again after a pause or a group change; a record without
//! a value is a record of no bytes. Where the last record read before is marked, reading begins with it, and a record that
//! is another one is noticed. Pausing leaves what was fetched where it is: the client stops by itself when the
//! queue is full.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use schemas::Lane;

use super::context::Context;
use super::marks::Mark;
use super::start::Beginning;
use super::wake_up;
use crate::ingest::Signal;
use crate::ingest::batch::Filling;

/// Marks of batches that are not committed yet; with more, the oldest go.
const MARKS_MAX: usize = 4_096;

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
    /// The last record read before, which must come first.
    pub expected: Option<Mark>,
    /// It came, and was another one: its mark as it was.
    pub replaced: Option<Mark>,
    /// The record before `next` was not met yet.
    below: bool,
    /// The last records of what was handed over and is not committed.
    handed: VecDeque<Mark>,
    /// The last record that was read.
    last: Option<Mark>,
    /// Nothing more was there the last time it was looked at.
    at_end: bool,
    /// It was looked at since it was paused last.
    looked: bool,
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
            expected: beginning.mark,
            replaced: None,
            below: beginning.mark.is_some(),
            handed: VecDeque::new(),
            last: None,
            at_end: false,
            looked: true,
            end_us: None,
        })
    }

    pub fn is_readable(&self) -> bool {
        !self.paused && !self.revoking && !self.gap
    }

    /// It is read again; what came meanwhile is seen when it is looked at.
    pub fn resume(&mut self) {
        (self.paused, self.looked) = (false, false);
    }

    /// All that was there the last time it was looked at is read.
    pub fn is_at_end(&self) -> bool {
        self.at_end && self.looked
    }

    /// Takes what is there, at most a batch. After an error the batch holds what came before it.
    pub fn read(&mut self, now_us: i64) -> Result<(), KafkaError> {
        while !self.filling.is_full() {
            match self.queue.poll(Duration::ZERO) {
                None => {
                    self.looked = true;
                    return Ok(());
                }
                Some(Ok(message)) => {
                    let offset = message.offset();
                    let mark = Mark::of(&message);
                    if let Some(expected) = self.expected.take_if(|expected| expected.offset <= offset) {
                        // One behind it: the marked one is gone, which says nothing.
                        if expected.offset == offset && expected != mark {
                            self.replaced = Some(expected);
                            return Ok(());
                        }
                    }
                    self.below &= self.next.is_some_and(|next| offset + 1 < next);
                    if self.next.is_some_and(|next| offset < next) {
                        continue;
                    }
                    self.last = Some(mark);
                    self.at_end = false;
                    let payload = message.payload().unwrap_or_default();
                    self.filling.push(offset, payload, payload.len() as u64);
                    self.next = Some(offset + 1);
                    self.end_us = None;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    self.end_us = Some(self.end_us.unwrap_or(now_us));
                    // It ends before what was read of it, or what lies there is no record.
                    self.gap |= std::mem::take(&mut self.below);
                }
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

    /// The mark of the last record below a committed position; what is older is forgotten.
    pub fn mark_below(&mut self, committed: i64) -> Option<Mark> {
        let mut found = None;
        while let Some(mark) = self.handed.pop_front_if(|mark| mark.offset < committed) {
            found = Some(mark);
        }
        found
    }

    /// Records that wait, when the partition ends at `end`.
    pub fn lag(&self, end: Option<i64>) -> Option<u64> {
        if self.is_at_end() && !self.paused {
            return Some(0);
        }
        Some(u64::try_from(end? - self.next?).unwrap_or(0))
    }

    pub fn take_records(&mut self) -> Option<Signal> {
        if !self.filling.is_empty() {
            self.handed.extend(self.last);
            if self.handed.len() > MARKS_MAX {
                self.handed.pop_front();
            }
        }
        (!self.filling.is_empty()).then(|| Signal::Records { lane: self.lane.clone(), records: self.filling.take() })
    }

    /// Says once that nothing more came for `idle_after_us`.
    pub fn take_caught_up(&mut self, now_us: i64, idle_after_us: i64) -> Option<Signal> {
        let end_us = self.end_us.filter(|_| self.is_readable())?;
        if (now_us - end_us).abs() < idle_after_us {
            return None;
        }
        self.end_us = None;
        Some(Signal::CaughtUp { lane: self.lane.clone() })
    }
}
