//! The circuit breaker of one target: after enough failures in a row nothing is sent for a while, then one delivery tries.
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
    pub fn new(failures_max: u32, open_us: i64) -> Breaker {
        Breaker { state: State::Closed { failures: 0 }, failures_max, open_us }
    }

    /// Ask to start a delivery. After `Yes`, exactly one of `succeeded`, `failed` and `abandoned` must follow.
    pub fn pass(&mut self, now_us: i64) -> Pass {
        if let State::Open { until_us } = self.state {
            if now_us < until_us {
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

    /// The target answered, whatever it said about this one action.
    pub fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// The target did not answer, or said that it cannot take anything now.
    pub fn failed(&mut self, now_us: i64) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(3, 100);
        for now in [0, 1, 2] {
            assert_eq!(breaker.pass(now), Pass::Yes);
            breaker.failed(now);
        }
        assert_eq!(breaker.position(), Position::Open);
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::new(3, 100);
        for _ in 0..10 {
            breaker.failed(0);
            breaker.failed(0);
            breaker.succeeded();
        }
        assert_eq!(breaker.position(), Position::Closed);
        let mut breaker = opened();
        assert_eq!(breaker.pass(101), Pass::NotBefore(102));
    }

    #[test]
    fn one_delivery_tries_and_decides() {
        let mut breaker = opened();
        assert_eq!(breaker.pass(102), Pass::Yes);
        assert_eq!(breaker.position(), Position::HalfOpen);
        assert_eq!(breaker.pass(103), Pass::Wait);
        breaker.failed(110);
        assert_eq!(breaker.pass(209), Pass::NotBefore(210));
        assert_eq!(breaker.pass(210), Pass::Yes);
        breaker.succeeded();
        assert_eq!(breaker.position(), Position::Closed);
    }

    #[test]
    fn an_abandoned_try_frees_its_place() {
        let mut breaker = opened();
        assert_eq!(breaker.pass(102), Pass::Yes);
        breaker.abandoned();
        assert_eq!(breaker.pass(103), Pass::Yes);
    }

    #[test]
    fn late_failures_do_not_prolong_the_opening() {
        let mut breaker = opened();
        breaker.failed(90);
        assert_eq!(breaker.pass(102), Pass::Yes);
    }
}
