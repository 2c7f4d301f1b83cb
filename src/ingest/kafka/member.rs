//! One membership of the consumer group: the client, and its end.
//!
//! Promises: letting it go holds the source up for `LEAVE_MAX` at most. Leaving waits for the brokers and for answers to the
//! group's questions; librdkafka waits for those without an end, so what does not end in time ends on its own thread.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::config::KafkaConfig;
use super::context::Context;
use super::wake_up;
use crate::ingest::IngestError;

/// Members leave within a second or two as long as a broker answers.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// Whoever holds queues of the client lets go of them first.
pub struct Member {
    /// There until the end.
    client: Option<Arc<BaseConsumer<Context>>>,
}

impl Member {
    /// A new one, which asks for the topic in the background.
    pub fn join(config: &KafkaConfig, waker: &SyncSender<()>) -> Result<Member, IngestError> {
        let failed = |error: KafkaError| config.error(error.to_string());
        let mut client: BaseConsumer<Context> =
            config.client()?.create_with_context(Context::default()).map_err(failed)?;
        client.set_nonempty_callback(wake_up(waker));
        client.subscribe(&[&config.topic]).map_err(failed)?;
        Ok(Member { client: Some(Arc::new(client)) })
    }

    /// Answers the group that these partitions are given back. Of partitions that the client does not think its own any more it
    /// takes no answer but that none is.
    pub fn give_up(&self, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
        self.incremental_unassign(partitions).or_else(|_| self.unassign())
    }
}

impl Deref for Member {
    type Target = Arc<BaseConsumer<Context>>;

    fn deref(&self) -> &Self::Target {
        self.client.as_ref().expect("it is taken at the end alone")
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        ends_within(LEAVE_MAX, move || drop(client));
    }
}

/// Does something on a thread of its own, and goes on when it is done or the time is over.
fn ends_within(most: Duration, end: impl FnOnce() + Send + 'static) -> bool {
    let (done, ended) = sync_channel(1);
    let thread = Builder::new().name("kafka-leave".into()).spawn(move || {
        end();
        // Who waited may be gone.
        let _late = done.send(()).is_err();
    });
    let in_time = thread.is_ok() && ended.recv_timeout(most).is_ok();
    if !in_time {
        tracing::warn!(
            seconds = most.as_secs(),
            "the Kafka client does not leave its group; going on without waiting for it"
        );
    }
    in_time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_does_not_come_is_not_waited_for() {
        let (hold, held) = sync_channel::<()>(1);
        assert!(!ends_within(Duration::from_millis(10), move || assert!(held.recv().is_err())));
        drop(hold);
        assert!(ends_within(Duration::from_secs(60), || ()));
    }
}
