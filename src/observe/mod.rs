//! Watching the service itself: metrics, health, status, warnings, lines of the log, traces.
//!
//! The way of what is seen: stages count metrics where things happen (`metric.rs`); the step loop tells `tally`, which counts
//! what only it sees and judges the shares of a source; `watch` judges by wall clock; both hold `warn`ings. `serve` shows all
//! of it over HTTP (beside `api` and `approval`, where people change what is done), `status` as one JSON document made of the same figures as `/metrics`.
//!
//! Promises: watching changes nothing; only who shows the API's token or a signed link does. Labels and words come from the configuration and from fixed sets; the lines of alerts
//! hold what alerts hold, which is redacted. Listening is on loopback unless the configuration says otherwise.
//! Never: shows a record, or what a client wrote into a request to us.

pub mod api;
mod approval;
pub mod board;
pub mod notify;
pub mod recorder;
pub mod serve;
pub mod status;
mod tally;
pub mod trace;
pub mod warn;
mod watch;
mod window;

pub use board::{Board, DetectorFacts, Facts, Phase, SourceFacts};
pub use notify::Manager;
pub use status::Status;
pub use tally::Tally;
pub use watch::watch;
