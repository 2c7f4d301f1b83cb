//! The data contract and the trust boundary of Gatewatch: records go in, redacted events or rejects come out.
//!
//! Promises: no raw secret leaves this crate (the raw type cannot be read outside it); one table defines the event.
//! Never: does I/O, reads a clock or the environment, knows a detector.

mod address;
mod agent;
pub mod alert;
pub mod builder;
mod credential;
mod draft;
mod drift;
mod enrich;
mod envelope;
pub mod event;
mod explain;
mod grpc;
mod hash;
mod identity;
pub mod incident;
pub mod limits;
mod lookup;
mod memory;
mod normalise;
mod probes;
mod recognise;
pub mod record;
pub mod redact;
pub mod reject;
mod request;
mod rotation;
mod route;
mod shape;
pub mod sources;
mod state;
mod texts;
mod time;

pub use alert::Alert;
pub use builder::{EventBuilder, EventRow};
pub use drift::{Drift, DriftKind};
pub use enrich::{Geo, GeoError};
pub use explain::{event_json, time_text};
pub use incident::{Incident, Message};
pub use lookup::tokens;
pub use normalise::{Normalised, Normaliser};
pub use recognise::{Recognised, recognise};
pub use record::{Lane, RawBatch};
pub use redact::seal::{SealError, seal_id, unseal};
pub use redact::token::{Domain, KeyPin, Keys};
pub use redact::{Policy, scrub};
pub use reject::{Code, Reject};
pub use route::{Operation, TemplateError, Templates};
pub use sources::{Mapping, MappingError, SourceConfig, SourceError};
pub use state::StateError;
