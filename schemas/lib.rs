//! The data contract and the trust boundary of Gatewatch: records go in, redacted events or rejects come out.
//!
//! Promises: no raw secret leaves this crate (the raw type cannot be read outside it); one table defines the event.
//! Never: does I/O, reads a clock or the environment, knows a detector.

pub mod alert;
pub mod event;
pub mod record;
pub mod reject;

pub use alert::Alert;
pub use record::{Lane, RawBatch};
pub use reject::{Code, Reject};
