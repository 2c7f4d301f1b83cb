//! Tail probabilities of windows: how often would ordinary traffic go at least this far.
//!
//! For: `History` (counts, rates, amounts) and `rarity` (the model tail before experience takes over).
//! Promises: every answer is a finite probability in 0..=1 for finite arguments; arguments are brought into range.
//! Over-dispersed models throughout: the plain binomial and Poisson are their limits.

use statrs::distribution::{ContinuousCDF, StudentsT};
use statrs::function::beta::{checked_beta_reg, ln_beta};
use statrs::function::gamma::{checked_gamma_lr, ln_gamma};

/// Above this many trials the beta-binomial is summed no longer but taken as a beta of the same mean and variance.
const EXACT_TRIALS_MAX: f64 = 1_000.0;
/// Beyond this the extra dispersion is below rounding and the limit distribution is used.
const CONCENTRATION_MAX: f64 = 1e7;

/// One side of Student's t with `freedom` degrees: the Gaussian tail widened for a spread known from few windows.
pub(super) fn student(sigmas: f64, freedom: f64) -> f64 {
    if sigmas.is_nan() {
        return 1.0;
    }
    // Not reached: both parameters are in range.
    let Ok(t) = StudentsT::new(0.0, 1.0, freedom.clamp(1.0, 1e6)) else { return 1.0 };
    t.sf(sigmas.clamp(-1e9, 1e9)).clamp(0.0, 1.0)
}

/// The sigmas at which `student` is so small.
pub(super) fn student_inverse(tail: f64, freedom: f64) -> f64 {
    // Not reached: both parameters are in range.
    let Ok(t) = StudentsT::new(0.0, 1.0, freedom.clamp(1.0, 1e6)) else { return f64::INFINITY };
    -t.inverse_cdf(tail.clamp(1e-300, 0.5))
}

/// P(X >= count) of a count with this mean and with variance `mean + extra` (negative binomial, Poisson if none).
pub(super) fn count_at_least(count: f64, mean: f64, extra: f64) -> f64 {
    let (count, mean) = (count.ceil(), mean.max(1e-9));
    if count < 1.0 {
        return 1.0;
    }
    let shape = mean * mean / extra.max(1e-12);
    let tail = if shape > CONCENTRATION_MAX {
        checked_gamma_lr(count, mean).unwrap_or(1.0)
    } else {
        regularised(count, shape.max(1e-6), mean / (mean + shape.max(1e-6)))
    };
    tail.clamp(0.0, 1.0)
}

/// P(X <= count) of the same.
pub(super) fn count_at_most(count: f64, mean: f64, extra: f64) -> f64 {
    1.0 - count_at_least(count.floor() + 1.0, mean, extra)
}

/// P(X >= hits) of `hits` among `trials` when the share itself varies with variance `extra` around `mean`
/// (beta-binomial; binomial if it does not vary).
pub(super) fn hits_at_least(hits: f64, trials: f64, mean: f64, extra: f64) -> f64 {
    let (hits, trials) = (hits.ceil(), trials.round().max(1.0));
    if hits < 1.0 {
        return 1.0;
    }
    if hits > trials {
        return 0.0;
    }
    let mean = mean.clamp(1e-9, 1.0 - 1e-9);
    let binary = mean * (1.0 - mean);
    if trials > EXACT_TRIALS_MAX {
        let concentration = (binary / (extra + binary / trials) - 1.0).clamp(1e-3, CONCENTRATION_MAX);
        let edge = ((hits - 0.5) / trials).clamp(0.0, 1.0);
        return regularised((1.0 - mean) * concentration, mean * concentration, 1.0 - edge).clamp(0.0, 1.0);
    }
    let concentration = (binary / extra.max(1e-12) - 1.0).clamp(1e-3, CONCENTRATION_MAX);
    let (a, b) = (mean * concentration, (1.0 - mean) * concentration);
    let tail = if hits >= trials * mean {
        beta_binomial_upper(hits, trials, a, b)
    } else {
        1.0 - beta_binomial_upper(trials - hits + 1.0, trials, b, a)
    };
    tail.clamp(0.0, 1.0)
}

/// P(X <= hits) of the same.
pub(super) fn hits_at_most(hits: f64, trials: f64, mean: f64, extra: f64) -> f64 {
    let trials = trials.round().max(1.0);
    hits_at_least(trials - hits.floor(), trials, 1.0 - mean, extra)
}

/// How likely exactly so many hits are under the same model, as a natural logarithm less what does not depend on it.
pub(super) fn hits_likelihood(hits: f64, trials: f64, mean: f64, extra: f64) -> f64 {
    let mean = mean.clamp(1e-9, 1.0 - 1e-9);
    let concentration = (mean * (1.0 - mean) / extra.max(1e-12) - 1.0).clamp(1e-3, CONCENTRATION_MAX);
    let (a, b) = (mean * concentration, (1.0 - mean) * concentration);
    let hits = hits.clamp(0.0, trials);
    ln_beta(hits + a, trials - hits + b) - ln_beta(a, b)
}

/// The regularised incomplete beta function; 1, nothing unusual, where rounding leaves its domain.
fn regularised(a: f64, b: f64, x: f64) -> f64 {
    checked_beta_reg(a, b, x.clamp(0.0, 1.0)).unwrap_or(1.0)
}

/// Sum of the mass from `hits`, at or above the mean, to `trials`: terms fall from the start, so it stops early.
fn beta_binomial_upper(hits: f64, trials: f64, a: f64, b: f64) -> f64 {
    let choose = ln_gamma(trials + 1.0) - ln_gamma(hits + 1.0) - ln_gamma(trials - hits + 1.0);
    let mut mass = (choose + ln_beta(hits + a, trials - hits + b) - ln_beta(a, b)).exp();
    let (mut sum, mut k) = (mass, hits);
    while k < trials && mass > sum * 1e-9 {
        mass *= (trials - k) / (k + 1.0) * (k + a) / (trials - k - 1.0 + b);
        sum += mass;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64) {
        assert!((got / want - 1.0).abs() < 1e-3, "got {got:e}, want {want:e}");
    }

    #[test]
    fn known_values() {
        close(student(3.0, 1e6), 0.001_349_9);
        close(student(3.0, 5.0), 0.015_049_6);
        close(count_at_least(10.0, 3.0, 0.0), 0.001_102_49); // Poisson(3)
        close(count_at_least(2.0, 1.0, 1.0), 0.25); // geometric with mean 1: 1/2, 1/4, ...
        close(count_at_most(0.0, 3.0, 0.0), (-3.0f64).exp());
        close(hits_at_least(2.0, 2.0, 0.01, 0.0), 1e-4); // a 2-request window
        close(hits_at_least(3.0, 10.0, 0.1, 0.0), 0.070_190_8);
        close(hits_at_most(0.0, 10.0, 0.1, 0.0), 0.9f64.powi(10));
        close(hits_at_least(1.0, 4.0, 0.5, 1.0 / 12.0), 0.8); // uniform share: every number of hits alike
    }

    #[test]
    fn the_inverse_of_student_is_one() {
        for freedom in [5.0, 10.0] {
            for tail in [0.02, 7.2e-4, 1e-6, 1e-12, 1e-30] {
                close(student(student_inverse(tail, freedom), freedom), tail);
            }
        }
    }

    #[test]
    fn large_windows_agree_with_small_ones() {
        let exact = hits_at_least(60.0, 1000.0, 0.03, 0.0001);
        let approximate = hits_at_least(61.0, 1001.0, 0.03, 0.0001);
        assert!((approximate / exact).ln().abs() < 0.5, "{exact:e} {approximate:e}");
    }

    #[test]
    fn odd_arguments_stay_probabilities() {
        for hits in [0.0, 1.0, 5.0, 1e6] {
            for mean in [0.0, 1e-12, 0.5, 1.0, 1e9] {
                for extra in [0.0, 1e-20, 1.0, 1e18] {
                    for tail in [
                        hits_at_least(hits, 10.0, mean, extra),
                        hits_at_most(hits, 1e6, mean, extra),
                        count_at_least(hits, mean, extra),
                        count_at_most(hits, mean, extra),
                    ] {
                        assert!((0.0..=1.0).contains(&tail), "{hits} {mean} {extra}: {tail}");
                    }
                }
            }
        }
    }
}
