//! What is normal for one entity, and how far from it a window is: the statistics behind the `baseline` method.
//!
//! For: detectors that compare a window with the entity's own past ([`Past`]): events, different values and amounts
//! ([`Counts`]), shares ([`Rates`]); and any other regularly sampled series ([`series::Series`]).
//! Promises: constant memory, no clock, no chance: the same values in the same order give the same judgement, also
//! across a snapshot. A judgement never looks ahead. Non-finite input never spreads into the state.
//! Never: decides what an alert is beyond one window (episodes and cool-down belong to the caller).
//!
//! # Why not a bare three-sigma rule
//! Mean + 3 sigma is right for 13 windows of 10,000 to be beyond it only if windows are independent and Gaussian.
//! Traffic is neither: it has days and nights, bursts, and many series are nearly empty. So three things must agree:
//! the value is `sigmas` spreads away, its tail probability is fifty times smaller than the Gaussian one, and the
//! change matters (`min_change`). What goes into the spread is listed in `counts.rs` and `rates.rs`; what many windows add up to is
//! in `excursions.rs`.

mod bits;
mod channel;
mod counts;
mod excursions;
mod hours;
#[cfg(test)]
mod hours_tests;
#[cfg(test)]
mod past_tests;
mod pool;
mod rarity;
mod rates;
mod season;
pub mod series;
#[cfg(test)]
mod sim;
mod tails;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use hours::When;
pub use pool::Pool;
pub use rates::Rates;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a window's value is; it decides the sampling error and the shape of the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Events in the window: Poisson noise plus over-dispersion, negative binomial tail.
    Count,
    /// A sum (bytes, money) of at least 0: judged as a count of typical events' amounts.
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

impl Direction {
    /// How far out in the direction that counts.
    fn outward(self, sigmas: f64) -> f64 {
        match self {
            Direction::Up => sigmas,
            Direction::Down => -sigmas,
            Direction::Both => sigmas.abs(),
        }
    }
}

/// How a detector wants its windows judged. The same `Params` must be used for every call on one history.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Spreads away from the expected value from which a window can be a breach.
    pub sigmas: f64,
    /// Effective memory in windows: 288 five-minute windows are a day.
    pub history_windows: u32,
    /// Windows until an entity is judged by its own past alone.
    pub warmup_windows: u32,
    /// What is expected at least, in the unit of the value: a series that never moved is not infinitely sensitive. For shares it
    /// is added to what is expected. For amounts it is also what a typical event has before any was seen.
    pub floor: f64,
    /// Smallest change relative to the expected value: 0.5 asks for half as much again.
    pub min_change: f64,
    pub kind: Kind,
    pub direction: Direction,
}

/// When a window is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is over.
    Whole,
    /// For the how-manieth time while it runs, from 1. What only grows (counts, amounts) may be looked at as often as one likes.
    Running(u32),
}

impl Look {
    /// By how much less likely what is seen must be: the sum of 1 / (k (k + 1)) is 1.
    fn price(self) -> f64 {
        match self {
            Look::Whole => 1.0,
            Look::Running(number) => f64::from(number.max(1)) * (f64::from(number.max(1)) + 1.0),
        }
    }
}

/// One entity's window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    pub value: f64,
    /// Of how many events the value is.
    pub events: f64,
    pub when: When,
}

/// The past of one entity. The same `Params` must be used for every call.
pub trait Past: Clone + Default + Serialize + DeserializeOwned + Send {
    /// Whether the value of a window only grows while the window runs.
    const GROWS: bool;
    /// Whether entities are alike enough that all lend to each where the detector names no parent.
    const LENDS_TO_ALL: bool;
    /// What the entities around are like.
    type Pool: Clone + Default + Serialize + DeserializeOwned + Send;

    /// Compares a window with this past; `None` while neither it nor the pool knows enough, and for what is no window.
    fn judge(&self, p: &Params, pool: &Self::Pool, window: Window, look: Look) -> Option<Judgement>;
    /// Adds a window that is over and was judged so, and that belongs to no episode.
    fn teach(&mut self, p: &Params, pool: &Self::Pool, window: Window, judged: Option<&Judgement>);
    /// Holds back a window of an episode; a shift that lasted for `accepted` windows is the new level.
    fn hold(&mut self, p: &Params, pool: &Self::Pool, window: Window, judged: Option<&Judgement>, accepted: u32);
    /// The episode is over: its mean teaches once.
    fn let_go(&mut self, p: &Params, pool: &Self::Pool);
    /// Adds so many windows up to one in which nothing happened while others were heard.
    fn teach_quiet(&mut self, p: &Params, pool: &Self::Pool, windows: u64, until: When);
    /// Teaches a pool this entity and its last window.
    fn lend(pool: &mut Self::Pool, p: &Params, own: &Self, window: Window);
    /// Whether what is expected depends on the time of the week.
    fn knows_hours(&self) -> bool {
        false
    }
    /// Windows so far.
    fn windows(&self) -> u64;
    /// The last few windows, oldest first.
    fn recent(&self) -> Vec<f64>;
}

/// A ring of the last values of so many, oldest first.
fn last_of(ring: &[f32], many: u64) -> Vec<f64> {
    let length = ring.len() as u64;
    (many - many.min(length)..many).map(|i| f64::from(ring[(i % length) as usize])).collect()
}

/// How one window compares with what was expected of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    pub expected: f64,
    /// One sigma of the prediction, in the unit of the value: history, estimation error and sampling error together.
    pub spread: f64,
    /// Signed distance: negative below the expected value.
    pub sigmas: f64,
    /// Probability of a window at least this far out in the watched direction; 1 within one spread.
    pub tail: f64,
    pub breach: bool,
    /// Within two spreads of what is expected: things are as they were.
    pub calm: bool,
    /// The running sum over windows, after this one.
    pub sum: f64,
}
