//! Seeded chance for made-up traffic: a small generator (Sebastiano Vigna's splitmix64; Steele et al. 2014) and the
//! distributions that ordinary traffic is simulated with.
//!
//! Promises: the same seed gives the same numbers on every machine, so that a seed names a whole run.
//! Never: used where something is decided about real events.

use std::f64::consts::TAU;

#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// Small numbers are far more frequent than large ones.
    pub fn skewed(&mut self, bound: u64) -> u64 {
        let (one, two) = (self.below(bound), self.below(bound));
        one * two / bound
    }

    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// Uniform in 0..1, never 0.
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (TAU * self.uniform()).cos()
    }

    /// Waiting times of this mean, as queues have them.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -self.uniform().ln() * mean
    }

    pub fn poisson(&mut self, mean: f64) -> f64 {
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
    pub fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v / shape;
            }
        }
    }

    pub fn negative_binomial(&mut self, mean: f64, shape: f64) -> f64 {
        let mean = mean * self.gamma(shape);
        self.poisson(mean)
    }

    pub fn binomial(&mut self, trials: f64, share: f64) -> f64 {
        (0..trials as u64).filter(|_| self.uniform() < share).count() as f64
    }

    /// Pareto from 1 upwards.
    pub fn pareto(&mut self, index: f64) -> f64 {
        self.uniform().powf(-1.0 / index)
    }
}
