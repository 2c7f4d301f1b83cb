//! What an error of the Kafka client means for us: wait, look closer, or give up with advice.
//!
//! Promises: trouble that passes by itself is told once when it begins and once when it is over, not with each retry.
//! An error that cannot pass is an `IngestError` that says what to check.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// librdkafka tries again by itself, for ever.
    Passing,
    /// Nothing stands at the offset that was asked for.
    Gap,
    /// We asked for nothing for so long that the group gave our partitions to others.
    Expelled,
    /// The topic is not there, perhaps not yet.
    TopicMissing,
    /// It cannot pass; the text says what to check.
    Fatal(&'static str),
}

/// Two copies that take each other's place, again and again.
const SAME_INSTANCE: &str =
    "another copy of the service joined this group as the same instance; give each copy its own `instance`";

/// `joined`: the group has let us in before, so the credentials were good. `reason`: the client's own words, which alone
/// tell a refused certificate from a broker that went away during the handshake.
pub fn judge(error: &KafkaError, joined: bool, reason: &str) -> Verdict {
    if let KafkaError::MessageConsumptionFatal(code) = error {
        return match code {
            Code::Fenced | Code::FencedInstanceId => Verdict::Fatal(SAME_INSTANCE),
            _ => Verdict::Fatal("the client cannot go on; start it again"),
        };
    }
    match error.rdkafka_error_code() {
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation) => Verdict::Gap,
        Some(Code::PollExceeded) => Verdict::Expelled,
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => Verdict::TopicMissing,
        Some(Code::Authentication | Code::SaslAuthenticationFailed) if !joined => Verdict::Fatal(
            "check sasl.mechanism, sasl.username and sasl.password, and whether this address expects SASL",
        ),
        Some(Code::SSL) if !joined && !reason.contains("isconnected") => {
            Verdict::Fatal("check tls.ca against the broker's certificate, its host name, and tls.cert and tls.key")
        }
        Some(Code::UnsupportedSASLMechanism | Code::IllegalSASLState) => {
            Verdict::Fatal("check sasl.mechanism against what the broker offers")
        }
        Some(Code::TopicAuthorizationFailed) => {
            Verdict::Fatal("the user needs the right to read and describe the topic")
        }
        Some(Code::GroupAuthorizationFailed) => Verdict::Fatal("the user needs the right to read the consumer group"),
        Some(Code::ClusterAuthorizationFailed) => Verdict::Fatal("the user needs the right to use this cluster"),
        Some(Code::InconsistentGroupProtocol) => Verdict::Fatal(
            "another program uses the same consumer group in another way; give this one a group of its own",
        ),
        Some(Code::Fenced | Code::FencedInstanceId) => Verdict::Fatal(SAME_INSTANCE),
        Some(Code::InvalidGroupId) => Verdict::Fatal("the broker refuses this group name"),
        Some(Code::Fatal) => Verdict::Fatal("the client cannot go on; start it again"),
        _ => Verdict::Passing,
    }
}

/// Tells of trouble once. It is over when something arrives; and is told again when it lasts.
#[derive(Default)]
pub struct Outage {
    since_us: Option<i64>,
    told_us: i64,
    reason: String,
}

const TELL_AGAIN_US: i64 = 600_000_000;

impl Outage {
    pub fn trouble(&mut self, brokers: &str, reason: &str, now_us: i64) {
        let (begins, other) = (self.since_us.is_none(), self.reason != reason);
        self.since_us.get_or_insert(now_us);
        reason.clone_into(&mut self.reason);
        if begins || now_us - self.told_us >= TELL_AGAIN_US {
            self.told_us = now_us;
            tracing::warn!(brokers, "Kafka: {reason}; trying again, nothing is lost");
        } else if other {
            tracing::debug!(brokers, "Kafka: {reason}");
        }
    }

    /// What keeps the brokers from answering, while it does.
    pub fn reason(&self) -> Option<&str> {
        self.since_us.map(|_| self.reason.as_str())
    }

    #[cfg(test)]
    pub fn since_us(&self) -> Option<i64> {
        self.since_us
    }

    pub fn over(&mut self, brokers: &str, now_us: i64) {
        if let Some(since_us) = self.since_us.take() {
            tracing::info!(brokers, outage_ms = (now_us - since_us) / 1000, "Kafka answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumed(code: Code) -> KafkaError {
        KafkaError::MessageConsumption(code)
    }

    #[test]
    fn each_kind_of_error_has_its_verdict() {
        for code in [Code::BrokerTransportFailure, Code::AllBrokersDown, Code::Resolve, Code::NotCoordinator] {
            assert_eq!(judge(&consumed(code), false, ""), Verdict::Passing, "{code:?}");
        }
        assert_eq!(judge(&consumed(Code::AutoOffsetReset), true, ""), Verdict::Gap);
        assert_eq!(judge(&consumed(Code::PollExceeded), true, ""), Verdict::Expelled);
        assert_eq!(judge(&consumed(Code::UnknownTopicOrPartition), true, ""), Verdict::TopicMissing);
        for code in [Code::TopicAuthorizationFailed, Code::GroupAuthorizationFailed, Code::InconsistentGroupProtocol] {
            assert!(matches!(judge(&consumed(code), true, ""), Verdict::Fatal(_)), "{code:?}");
        }
        assert!(matches!(judge(&KafkaError::MessageConsumptionFatal(Code::Fatal), true, ""), Verdict::Fatal(_)));
    }

    #[test]
    fn credentials_that_were_good_once_are_tried_again() {
        for code in [Code::Authentication, Code::SSL] {
            assert!(matches!(judge(&consumed(code), false, ""), Verdict::Fatal(_)), "{code:?}");
            assert_eq!(judge(&consumed(code), true, ""), Verdict::Passing, "{code:?}");
        }
        let gone = judge(
            &consumed(Code::SSL),
            false,
            "SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
        );
        assert_eq!(gone, Verdict::Passing);
    }
}
