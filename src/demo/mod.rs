//! Made-up API traffic: a seeded generator of gateway log lines with planted attacks and benign look-alikes beside
//! them, the scoring of a run against that plan, and the screen that tells the result. Used by `gatewatch demo`, the
//! benches and the tests.
//!
//! Promises: the same configuration gives the same bytes on every machine; every person, company and secret is
//! invented, every address comes from a range that is reserved for documentation or benchmarks; what `Plan` claims is
//! in the lines. Event time starts at a fixed date. The short demo is here, the long one in `days`.
//! Never: reads a clock, touches a file or the network, knows a detector other than by its id.

mod attacks;
mod chance;
mod client;
pub mod days;
mod endpoints;
mod formats;
mod load;
mod look_alikes;
mod ordinary;
mod plan;
mod report;
mod score;
mod script;
mod source;
mod traffic;
mod words;

#[cfg(test)]
mod tests;

pub use formats::Format;
pub use plan::{LookAlike, Plan, Planted};
pub use report::{Run, Tables, render};
pub use score::{Alerted, Found, Other, Quiet, Score, score};
pub use source::{DemoSource, Lines};
pub use traffic::{EVENTS_MIN, MAX_DISORDER_MS, START_MS, Traffic, TrafficConfig, TrafficError};
