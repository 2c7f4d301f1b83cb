//! Seeded chance for the tests of this folder: a small generator (SplitMix64, Steele et al. 2014) and the distributions
//! that ordinary traffic is simulated with. Same seed, same series, on every machine.

use std::f64::consts::TAU;

pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1, never 0.
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        let (mut left, mut count) = (mean, 0.0);
        while left > 0.0 {
            let part = left.min(25.0); // a sum of Poissons is Poisson; each part stays within f64
            let limit = (-part).exp();
            let mut product = self.uniform();
            while product > limit {
                product *= self.uniform();
                count += 1.0;
            }
            left -= part;
        }
        count
    }

    /// Gamma of mean 1 and variance 1/shape (Marsaglia and Tsang 2000), shape at least 1.
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v / shape;
            }
        }
    }

    pub(super) fn negative_binomial(&mut self, mean: f64, shape: f64) -> f64 {
        let mean = mean * self.gamma(shape);
        self.poisson(mean)
    }

    pub(super) fn binomial(&mut self, trials: f64, share: f64) -> f64 {
        (0..trials as u64).filter(|_| self.uniform() < share).count() as f64
    }

    /// Pareto from 1 upwards.
    pub(super) fn pareto(&mut self, index: f64) -> f64 {
        self.uniform().powf(-1.0 / index)
    }
}
