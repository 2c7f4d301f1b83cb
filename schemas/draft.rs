//! Requests on their way to rows: so many at a time go through one stage, then through the next, so that the code of a stage
//! and what it branches on stay in the caches (`benches/README.md` has what that is worth).
//!
//! Promises: what a row borrows lives as long as its draft: in the record, or in an arena that belongs to the drafts.
//! Never: decides what may be kept.

use crate::builder::EventRow;
use crate::probes::Probed;
use crate::record::Entry;
use crate::redact::Found;
use crate::request::{Damaged, Request, Target};

/// A request, and the record that tells of it.
pub(crate) struct Recorded<'b> {
    pub(crate) request: Request<'b>,
    pub(crate) entry: &'b Entry,
}

/// A row that is being filled.
pub(crate) struct Draft<'d> {
    pub(crate) request: &'d Request<'d>,
    pub(crate) target: Target<'d>,
    pub(crate) row: EventRow<'d>,
    /// Columns that are null or doubtful.
    pub(crate) damaged: Damaged,
    /// What was removed so far.
    pub(crate) found: Found,
    /// The attacks seen so far.
    pub(crate) probed: Probed,
}
