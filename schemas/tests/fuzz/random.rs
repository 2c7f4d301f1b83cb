//! Chance from a seed (SplitMix64): the same numbers in every run.
//!
//! Promises: what `of_input` gives depends on the seed and the number alone, so any input of a run can be made again.

pub struct Random(u64);

impl Random {
    pub fn of_input(seed: u64, number: u64) -> Random {
        let mut random = Random(seed);
        let start = random.next();
        Random(start ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when there is none.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn of<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.below(items.len())]
    }

    /// A length up to `max`, short ones as likely as long ones.
    pub fn length(&mut self, max: usize) -> usize {
        let bits = self.below(max.max(2).ilog2() as usize + 2);
        self.below(1 << bits).min(max)
    }
}
