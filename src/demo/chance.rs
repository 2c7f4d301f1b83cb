//! Chance: a seeded stream of numbers and the few distributions the traffic needs.
//!
//! Promises: uses only addition, multiplication and division of floats, which give the same bits on every machine; the
//! mathematical library of the platform (exp, ln, cos) does not.
//! Never: fit for anything but making sample data.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

pub(super) struct Chance {
    rng: ChaCha8Rng,
}

impl Chance {
    /// `stream` separates the users of one seed: what one draws does not shift what another gets.
    pub(super) fn new(seed: u64, stream: u64) -> Chance {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Chance { rng }
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform in `0..n`; `n` is at least 1.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.rng.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// Uniform in `low..high`, in milliseconds or any other whole unit.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::from(self.below((high - low).max(1) as u32))
    }

    /// Uniform in [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True in `parts` of 10,000 cases.
    pub(super) fn in_ten_thousand(&mut self, parts: u32) -> bool {
        self.below(10_000) < parts
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u32) as usize]
    }

    /// Close to the standard normal, within +-3.46: the sum of four uniforms.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.bits();
        let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
        (sum as f64 / 65_536.0 - 2.0) * 1.732_050_807_568_877_2
    }

    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp2(self.normal() * sigma * std::f64::consts::LOG2_E)
    }
}

/// 2 to the power of x for |x| < 100, to about six digits, from multiplication alone.
fn exp2(x: f64) -> f64 {
    let whole = x.floor();
    let y = (x - whole) * std::f64::consts::LN_2;
    let part = 1.0 + y * (1.0 + y / 2.0 * (1.0 + y / 3.0 * (1.0 + y / 4.0 * (1.0 + y / 5.0 * (1.0 + y / 6.0)))));
    f64::from_bits(((1023 + whole as i64) as u64) << 52) * part
}

/// Picks an index by weight.
pub(super) struct Weights {
    sums: Vec<f64>,
}

impl Weights {
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Weights {
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Weights { sums: sums.collect() }
    }

    /// The k-th of `n` weighs 1 / (k + flat): Zipf, less steep at the head for a larger `flat`.
    pub(super) fn zipf(n: usize, flat: f64) -> Weights {
        Weights::new((0..n).map(|k| 1.0 / (k as f64 + flat)))
    }

    pub(super) fn pick(&self, chance: &mut Chance) -> usize {
        let total = self.sums.last().copied().unwrap_or(0.0);
        let at = chance.unit() * total;
        self.sums.partition_point(|sum| *sum <= at).min(self.sums.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp2_is_close_to_the_library() {
        for i in -400..400 {
            let x = f64::from(i) / 20.0;
            assert!((exp2(x) / x.exp2() - 1.0).abs() < 2e-5, "{x}");
        }
    }

    #[test]
    fn lognormal_has_its_median_and_spread() {
        let mut chance = Chance::new(7, 0);
        let mut values: Vec<f64> = (0..20_001).map(|_| chance.lognormal(100.0, 0.5)).collect();
        values.sort_by(f64::total_cmp);
        assert!((values[10_000] - 100.0).abs() < 3.0, "median {}", values[10_000]);
        assert!((values[16_827] / 100.0 - 1.65).abs() < 0.1, "84th percentile {}", values[16_827]);
    }

    #[test]
    fn zipf_gives_the_first_most() {
        let (mut chance, weights) = (Chance::new(7, 0), Weights::zipf(4, 1.0));
        let mut counts = [0u32; 4];
        (0..25_000).for_each(|_| counts[weights.pick(&mut chance)] += 1);
        assert!(counts[0].abs_diff(12_000) < 400 && counts[3].abs_diff(3_000) < 300, "{counts:?}");
    }
}
