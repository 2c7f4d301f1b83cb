//! The circuit breaker of one target: after enough failures in a row nothing is sent for a while, then one delivery tries.
//!
//! A target that names a time (Retry-After) is left alone until then, by all actions, from its first such answer. What lets somebody go
//! waits a minute of it at most: whoever is blocked is not to pay for it.
//!
//! Promises: pure state, driven by the caller's clock. While open nothing passes; while half-open one delivery passes and
//! its result decides. A delivery that was given up in between frees its place.
//! Never: drops anything; what may not pass waits in the outbox and costs no attempt.

/// What the breaker is doing, for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    Closed,
    HalfOpen,
    Open,
}

impl Position {
    pub fn name(self) -> &'static str {
        match self {
            Position::Closed => "closed",
            Position::HalfOpen => "half_open",
            Position::Open => "open",
        }
    }
}

/// A caller may hold a `now` that is older than what others told since, by the length of its work; further back than this a
/// clock was set.
pub const STALE_US_MAX: i64 = 60_000_000;

/// An undoing waits so long after a target asked to be left alone, and no longer.
pub const LETS_GO_AFTER_US: i64 = 60_000_000;

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until_us: i64 },
    HalfOpen { trying: bool },
}

#[derive(Debug)]
pub struct Breaker {
    state: State,
    failures_max: u32,
    open_us: i64,
    /// The target asked to be left alone until then, and when it said so last.
    not_before_us: i64,
    asked_us: i64,
    /// For no longer than this, whatever it asks.
    asked_us_max: i64,
}

/// Whether a delivery may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    Yes,
    /// Not before this time.
    NotBefore(i64),
    /// One delivery is trying; its result comes first.
    Wait,
}

impl Breaker {
    pub fn new(failures_max: u32, open_us: i64, asked_us_max: i64) -> Breaker {
        Breaker {
            state: State::Closed { failures: 0 },
            failures_max,
            open_us,
            not_before_us: i64::MIN,
            asked_us: i64::MIN,
            asked_us_max,
        }
    }

    /// Ask to start a delivery, one that lets somebody go or another. After `Yes`, exactly one of `succeeded`, `failed` and
    /// `abandoned` must follow.
    pub fn pass(&mut self, now_us: i64, lets_go: bool) -> Pass {
        let most_us = if lets_go { self.asked_us.saturating_add(LETS_GO_AFTER_US) } else { i64::MAX };
        if let Some(until_us) =
            self.asked_until(now_us).map(|until_us| until_us.min(most_us)).filter(|until_us| now_us < *until_us)
        {
            return Pass::NotBefore(until_us);
        }
        if let State::Open { until_us } = self.state {
            if lies_ahead(now_us, until_us, self.open_us) {
                return Pass::NotBefore(until_us);
            }
            self.state = State::HalfOpen { trying: false };
        }
        match &mut self.state {
            State::HalfOpen { trying: true } => Pass::Wait,
            State::HalfOpen { trying } => {
                *trying = true;
                Pass::Yes
            }
            State::Closed { .. } | State::Open { .. } => Pass::Yes,
        }
    }

    /// Until when the target asked to be left alone, where that is still to come.
    pub fn asked_until(&self, now_us: i64) -> Option<i64> {
        lies_ahead(now_us, self.not_before_us, self.asked_us_max).then_some(self.not_before_us)
    }

    /// The target asks to be left alone for so long.
    pub fn asked(&mut self, now_us: i64, after_us: i64) {
        self.not_before_us = self.not_before_us.max(now_us.saturating_add(after_us.min(self.asked_us_max)));
        self.asked_us = now_us;
    }

    /// The target answered, whatever it said about this one action.
    pub fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// The target did not answer, or said that it cannot take anything now; `after_us`: for how long.
    pub fn failed(&mut self, now_us: i64, after_us: Option<i64>) {
        if let Some(after_us) = after_us {
            self.asked(now_us, after_us);
        }
        let failures = match self.state {
            State::Closed { failures } => failures.saturating_add(1),
            State::HalfOpen { .. } => self.failures_max,
            // A delivery that started before it opened; the time it stays open does not grow.
            State::Open { .. } => return,
        };
        self.state = if failures >= self.failures_max {
            State::Open { until_us: now_us.saturating_add(self.open_us) }
        } else {
            State::Closed { failures }
        };
    }

    /// The delivery ended without a word from the target.
    pub fn abandoned(&mut self) {
        if let State::HalfOpen { trying } = &mut self.state {
            *trying = false;
        }
    }

    pub fn position(&self) -> Position {
        match self.state {
            State::Closed { .. } => Position::Closed,
            State::HalfOpen { .. } => Position::HalfOpen,
            State::Open { .. } => Position::Open,
        }
    }
}

/// A time further ahead than it was ever set means that the clock was set back since; a little further only that this caller
/// looked at the clock before the failure that set it.
pub(super) fn lies_ahead(now_us: i64, until_us: i64, most_us: i64) -> bool {
    now_us < until_us && until_us.saturating_sub(now_us) <= most_us.saturating_add(STALE_US_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(3, 100, 1_000);
        for now in [0, 1, 2] {
            assert_eq!(breaker.pass(now, false), Pass::Yes);
            breaker.failed(now, None);
        }
        assert_eq!(breaker.position(), Position::Open);
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::new(3, 100, 1_000);
        for _ in 0..10 {
            breaker.failed(0, None);
            breaker.failed(0, None);
            breaker.succeeded();
        }
        assert_eq!(breaker.position(), Position::Closed);
        let mut breaker = opened();
        assert_eq!(breaker.pass(101, false), Pass::NotBefore(102));
    }

    #[test]
    fn one_delivery_tries_and_decides() {
        let mut breaker = opened();
        assert_eq!(breaker.pass(102, false), Pass::Yes);
        assert_eq!(breaker.position(), Position::HalfOpen);
        assert_eq!(breaker.pass(103, false), Pass::Wait);
        breaker.failed(110, None);
        assert_eq!(breaker.pass(209, false), Pass::NotBefore(210));
        assert_eq!(breaker.pass(210, false), Pass::Yes);
        breaker.succeeded();
        assert_eq!(breaker.position(), Position::Closed);
    }

    #[test]
    fn an_abandoned_try_frees_its_place() {
        let mut breaker = opened();
        assert_eq!(breaker.pass(102, false), Pass::Yes);
        breaker.abandoned();
        assert_eq!(breaker.pass(103, false), Pass::Yes);
    }

    #[test]
    fn late_failures_do_not_prolong_the_opening() {
        let mut breaker = opened();
        breaker.failed(90, None);
        assert_eq!(breaker.pass(102, false), Pass::Yes);
    }

    #[test]
    fn a_target_that_names_a_time_is_left_alone_until_then() {
        let mut breaker = Breaker::new(3, 100, 1_000);
        breaker.failed(0, Some(600));
        assert_eq!(breaker.pass(599, false), Pass::NotBefore(600));
        breaker.failed(10, Some(100));
        assert_eq!(breaker.pass(599, false), Pass::NotBefore(600), "a shorter one does not shorten it");
        assert_eq!(breaker.pass(600, false), Pass::Yes);
        breaker.succeeded();
        breaker.failed(600, Some(9_999));
        assert_eq!(breaker.pass(1_599, false), Pass::NotBefore(1_600), "within the configured bound");
        assert_eq!(breaker.pass(1_600, false), Pass::Yes);
        assert_eq!(breaker.position(), Position::Closed, "it answered; nothing broke");
    }

    #[test]
    fn what_lets_somebody_go_waits_a_minute_of_it() {
        let mut breaker = Breaker::new(3, 100, 3_600_000_000);
        breaker.failed(1_000_000, Some(3_600_000_000));
        assert_eq!(breaker.pass(2_000_000, false), Pass::NotBefore(3_601_000_000));
        assert_eq!(breaker.pass(2_000_000, true), Pass::NotBefore(61_000_000));
        assert_eq!(breaker.pass(61_000_000, true), Pass::Yes);
        // It says so again: another minute.
        breaker.failed(61_000_000, Some(3_600_000_000));
        assert_eq!(breaker.pass(62_000_000, true), Pass::NotBefore(121_000_000));
        let mut breaker = Breaker::new(3, 100, 3_600_000_000);
        breaker.failed(1_000_000, Some(5_000_000));
        assert_eq!(breaker.pass(2_000_000, true), Pass::NotBefore(6_000_000), "a shorter one is kept");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_hold_it_open() {
        let mut breaker = Breaker::new(1, 100, 1_000);
        breaker.failed(2 * STALE_US_MAX, None);
        assert_eq!(breaker.pass(5, false), Pass::Yes);
    }

    #[test]
    fn a_now_from_before_the_failure_does_not_half_open_it() {
        let mut breaker = Breaker::new(1, 30_000_000, 60_000_000);
        breaker.failed(1_000_000, None);
        assert_eq!(breaker.pass(999_000, false), Pass::NotBefore(31_000_000));
        assert_eq!(breaker.position(), Position::Open);
        let mut asked = Breaker::new(5, 30_000_000, 60_000_000);
        asked.failed(1_000_000, Some(90_000_000));
        assert_eq!(asked.pass(999_000, false), Pass::NotBefore(61_000_000), "its longest wait is kept, too");
    }
}
