//! How fast a target may be spoken to: so many deliveries a minute, a few of them at once.
//!
//! The generic cell rate algorithm (ITU-T I.371): one time says when the next delivery is due if all came evenly; a short
//! burst may come before it.
//! Promises: pure state, driven by the caller's clock; over any minute at most the rate and one burst.

const MINUTE_US: i64 = 60_000_000;
/// Deliveries that may come at once after a pause.
const BURST: i64 = 5;

#[derive(Debug)]
pub struct Pace {
    /// Between two deliveries; none: as fast as it goes.
    every_us: Option<i64>,
    due_us: i64,
}

impl Pace {
    pub fn new(per_minute: Option<u32>) -> Pace {
        Pace { every_us: per_minute.map(|rate| MINUTE_US / i64::from(rate.max(1))), due_us: i64::MIN }
    }

    /// Takes one delivery's place, or says when there is one.
    pub fn take(&mut self, now_us: i64) -> Result<(), i64> {
        let Some(every_us) = self.every_us else { return Ok(()) };
        let due_us = self.due_us.max(now_us);
        // Further ahead than it was ever set: the clock was set back since.
        let due_us = if due_us - now_us > every_us * (BURST + 1) { now_us } else { due_us };
        let earliest_us = due_us - every_us * (BURST - 1);
        if now_us < earliest_us {
            return Err(earliest_us);
        }
        self.due_us = due_us + every_us;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut pace = Pace::new(Some(60));
        assert!((0..5).all(|_| pace.take(0).is_ok()));
        assert_eq!(pace.take(0), Err(1_000_000));
        assert_eq!(pace.take(1_000_000), Ok(()));
        assert_eq!(pace.take(1_000_001), Err(2_000_000));
        assert!((0..100).all(|_| Pace::new(None).take(0).is_ok()));
    }

    proptest! {
        #[test]
        fn no_minute_has_more_than_the_rate_and_a_burst(rate in 1u32..200, steps in prop::collection::vec(0i64..3_000_000, 1..400)) {
            let mut pace = Pace::new(Some(rate));
            let (mut now, mut sent) = (0, Vec::new());
            for step in steps {
                now += step;
                if pace.take(now).is_ok() {
                    sent.push(now);
                }
            }
            for (n, first) in sent.iter().enumerate() {
                let within = sent[n..].iter().take_while(|time| **time < first + MINUTE_US).count() as i64;
                prop_assert!(within <= i64::from(rate) + BURST);
            }
        }
    }
}
