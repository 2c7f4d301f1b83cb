//! The data contract and the trust boundary of Gatewatch: records go in, redacted events or rejects come out.
//!
//! Promises: no raw secret leaves this crate (the raw type cannot be read outside it); one table defines the event.
//! Never: does I/O, reads a clock or the environment, knows a detector.

mod address;
mod agent;
pub mod alert;
pub mod builder;
mod credential;
mod drift;
pub mod event;
mod explain;
mod hash;
mod identity;
pub mod limits;
mod normalise;
mod probes;
pub mod record;
pub mod redact;
pub mod reject;
mod request;
mod route;
mod shape;
pub mod sources;
mod texts;
mod time;

pub use alert::Alert;
pub use builder::{EventBuilder, EventRow};
pub use explain::{event_json, time_text};
pub use normalise::{Normalised, Normaliser};
pub use record::{Lane, RawBatch};
pub use redact::seal::{SealError, unseal};
pub use redact::token::Keys;
pub use redact::{Policy, scrub};
pub use reject::{Code, Reject};
pub use sources::{Mapping, MappingError, SourceConfig, SourceError};
