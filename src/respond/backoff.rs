//! How long to wait before the next attempt.
//!
//! Promises: exponential with full jitter, so that many actions that failed together do not come back together; never
//! sooner than the target asked for with Retry-After; never longer than the configured bounds.
//! Never: reads a clock; chance comes from the caller's generator.

use std::time::Duration;

use rand::Rng;

use super::config::DeliveryConfig;

/// The wait after attempt number `attempt` (from 1).
pub fn wait(config: &DeliveryConfig, attempt: u32, retry_after: Option<Duration>, rng: &mut impl Rng) -> Duration {
    let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    let ceiling = config.backoff_first.saturating_mul(doubled).min(config.backoff_max);
    match retry_after {
        // The target set the earliest time; the jitter on top keeps those it sent away from returning as one.
        Some(asked) => asked.min(config.retry_after_max) + fraction(config.backoff_first, rng),
        None => fraction(ceiling, rng),
    }
}

fn fraction(of: Duration, rng: &mut impl Rng) -> Duration {
    of.mul_f64(rng.random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    proptest! {
        #[test]
        fn stays_within_its_bounds(seed: u64, attempt in 1u32..10_000, asked in proptest::option::of(0u64..100_000)) {
            let config = DeliveryConfig::default();
            let asked = asked.map(Duration::from_secs);
            let wait = wait(&config, attempt, asked, &mut ChaCha8Rng::seed_from_u64(seed));
            match asked {
                Some(asked) => {
                    let least = asked.min(config.retry_after_max);
                    prop_assert!(wait >= least && wait <= least + config.backoff_first);
                }
                None => prop_assert!(wait <= config.backoff_max),
            }
        }
    }

    #[test]
    fn grows_on_average_and_spreads() {
        let config = DeliveryConfig::default();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut mean = |attempt| {
            let total: f64 = (0..2000).map(|_| wait(&config, attempt, None, &mut rng).as_secs_f64()).sum();
            total / 2000.0
        };
        for (attempt, expected) in [(1, 0.5), (2, 1.0), (5, 8.0), (40, 900.0)] {
            let mean = mean(attempt);
            assert!((mean / expected - 1.0).abs() < 0.1, "attempt {attempt}: {mean} s, expected about {expected} s");
        }
    }

    #[test]
    fn same_seed_same_waits() {
        let config = DeliveryConfig::default();
        let draw = || {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            (1..20).map(|attempt| wait(&config, attempt, None, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}
