//! Rejects: records that could not become events. Each keeps its position, a reason code and its length; the content
//! only sealed.
//!
//! Never: shows a byte of the record. `detail` names what was expected, and where, not what was found there.

use serde::{Deserialize, Serialize};

use crate::record::Lane;

/// Why a record is not an event. The text form is what tables, metrics and `explain` show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No bytes, or only white space.
    Empty,
    /// Longer than the record limit.
    Oversized,
    /// Not JSON, or JSON that ends early.
    InvalidJson,
    /// JSON, but not an object (or an array of objects where the gateway batches).
    NotAnObject,
    /// A text line that does not have the format's shape.
    InvalidLine,
    /// A part of a line that came in several records: what is known of the line is told elsewhere.
    Continuation,
    /// A field the format always has is not there.
    MissingField,
    /// A field has another type than the format gives it.
    WrongType,
    /// A number that cannot be: a negative size, a status of 9999.
    OutOfRange,
    /// A time that cannot be read.
    InvalidTime,
    /// A time before 2000, after 2100, or further ahead of its arrival than the source allows.
    TimeOutOfRange,
    /// No reason, but what became of a reject: it was read again and is an event now. `detail` is the code it had.
    Replayed,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Empty => "empty",
            Code::Oversized => "oversized",
            Code::InvalidJson => "invalid_json",
            Code::NotAnObject => "not_an_object",
            Code::InvalidLine => "invalid_line",
            Code::Continuation => "continuation",
            Code::MissingField => "missing_field",
            Code::WrongType => "wrong_type",
            Code::OutOfRange => "out_of_range",
            Code::InvalidTime => "invalid_time",
            Code::TimeOutOfRange => "time_out_of_range",
            Code::Replayed => "replayed",
        }
    }
}

/// One record that could not become an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reject {
    pub lane: LaneName,
    pub offset: i64,
    /// Which element of the record, from 0, when the record is an array of several.
    pub element: Option<i32>,
    pub observed_us: i64,
    pub code: Code,
    pub detail: String,
    pub length: u64,
    /// AES-256-GCM of the bytes under the sealing key, when one is configured: key id, nonce, ciphertext and tag.
    pub sealed: Option<Vec<u8>>,
}

/// A lane as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneName {
    pub source: String,
    pub partition: i32,
}

impl From<&Lane> for LaneName {
    fn from(lane: &Lane) -> LaneName {
        LaneName { source: lane.source.to_string(), partition: lane.partition }
    }
}
