//! What is normal for one entity, and how far from it a closed window is: the statistics behind the `baseline` method.
//!
//! For: detectors that compare a window (events counted, bytes summed, share of errors) with the entity's own history
//! ([`History`]), and any other regularly sampled series ([`series::Series`]).
//! Promises: constant memory, no clock, no chance: the same values in the same order give the same judgement, also
//! across a snapshot. A judgement never looks ahead. Non-finite input never spreads into the state.
//! Never: decides what an alert is beyond one window (episodes and cool-down belong to the caller of `History`).
//!
//! # Why not a bare three-sigma rule
//! Mean + 3 sigma is right for 13 windows of 10,000 to be beyond it only if windows are independent and Gaussian.
//! Traffic is neither: it has days and nights, bursts, and many series are nearly empty. So three things must agree:
//! the value is `sigmas` spreads away, its tail probability is fifty times smaller than the Gaussian one, and the
//! change matters (`min_change`). What goes into the spread is listed in `history.rs`.

mod bits;
mod channel;
mod history;
mod rarity;
mod season;
pub mod series;
#[cfg(test)]
mod sim;
mod tails;
#[cfg(test)]
mod tests;

pub use history::History;

/// What a window's value is; it decides the sampling error and the shape of the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Events in the window: Poisson noise plus over-dispersion, negative binomial tail.
    Count,
    /// A sum (bytes, money) of at least 0: heavy-tailed, so judged on a log scale, Student t tail.
    Amount,
    /// A share in 0..=1 of `n` events: binomial noise plus over-dispersion, beta-binomial tail.
    Rate,
}

/// Which deviations count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
    Both,
}

/// How a detector wants its windows judged. The same `Params` must be used for every call on one history.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Spreads away from the expected value from which a window can be a breach.
    pub sigmas: f64,
    /// Effective memory in windows: 288 five-minute windows are a day.
    pub history_windows: u32,
    /// Windows an entity must have been taught before it is judged by itself.
    pub warmup_windows: u32,
    /// Smallest spread, in the unit of the value: a series that never moved is not infinitely sensitive. For amounts
    /// it is also where the log scale begins: differences below it mean nothing.
    pub floor: f64,
    /// Smallest change relative to the expected value: 0.5 asks for half as much again.
    pub min_change: f64,
    pub kind: Kind,
    pub direction: Direction,
}

/// How one window compares with what was expected of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    pub expected: f64,
    /// One sigma of the prediction, in the unit of the value: history, estimation error and sampling error together.
    pub spread: f64,
    /// Signed distance: negative below the expected value. For amounts it is measured on the log scale.
    pub sigmas: f64,
    /// Probability of a window at least this far out in the watched direction; 1 within one spread.
    pub tail: f64,
    pub breach: bool,
}
