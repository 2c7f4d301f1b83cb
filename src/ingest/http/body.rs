//! From the body of a request to records: unpacked, then taken apart. One JSON object is one record, an array is one for
//! each element, and of anything else each line is one.
//!
//! Promises: a body is taken whole or not at all. Whether a record can be read is not asked here: one that cannot becomes
//! a reject with its bytes, while a body that cannot be taken apart is refused. Errors name the place, never what is there.
//! Never: unpacks more than the limit; makes more of a body than may be held.

use std::borrow::Cow;
use std::io::{self, Read};

use axum::http::StatusCode;
use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;

use super::answer::{Form, Refusal};
use super::{Held, otlp, protobuf};
use crate::ingest::ReadLimits;
use crate::ingest::spool::Parcel;

/// Largest window of zstd data, as a power of two: memory that one body may ask for (8 MiB).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Memory for records is held in steps.
const HELD_AT_ONCE: usize = 64 << 10;
/// Unpacked at a time.
const UNPACKED_AT_ONCE: u64 = 256 << 10;

/// How a body is packed, by its `Content-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    /// `None`: one that is not known.
    pub(super) fn of(encoding: &str) -> Option<Packing> {
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Packing::Plain),
            "gzip" | "x-gzip" => Some(Packing::Gzip),
            "zstd" => Some(Packing::Zstd),
            _ => None,
        }
    }
}

/// What a body is, by its `Content-Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    Lines,
    Protobuf,
    /// Not said, or something that says nothing: the body is looked at.
    Unknown,
}

impl Content {
    /// `None`: one that cannot be read.
    pub(super) fn of(content_type: &str) -> Option<Content> {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/x-jsonlines"
            | "application/jsonlines" => Some(Content::Lines),
            "application/x-protobuf" | "application/protobuf" => Some(Content::Protobuf),
            kind if kind == "application/json" || kind.ends_with("+json") => Some(Content::Json),
            kind if kind.starts_with("multipart/") || kind.starts_with("application/grpc") => None,
            _ => Some(Content::Unknown),
        }
    }
}

/// How the answer is written: in OTLP's way to who speaks it.
pub(super) fn form(content: Content, is_otlp: bool) -> Form {
    match content {
        Content::Protobuf => Form::OtlpProtobuf,
        _ if is_otlp => Form::OtlpJson,
        _ => Form::Json,
    }
}

/// The records of a body.
pub(super) struct Taken {
    pub(super) parcel: Parcel,
    /// Log entries, for the rate limit and the answer: a record of OTLP holds several.
    pub(super) entries: usize,
    /// What the records may take, and the memory that is held for them and for the body.
    most: usize,
    pub(super) held: Held,
    held_bytes: usize,
}

impl Taken {
    pub(super) fn new(held: Held, most: usize) -> Taken {
        Taken { parcel: Parcel::default(), entries: 0, most, held, held_bytes: 0 }
    }

    pub(super) fn push(&mut self, observed_us: i64, record: &[u8], limits: &ReadLimits) -> Result<(), Refusal> {
        let kept = if record.len() > limits.record_bytes { &record[..limits.kept_bytes] } else { record };
        self.parcel.push(observed_us, kept, record.len() as u64);
        if self.parcel.bytes() > self.most {
            return Err(grows(self.most));
        }
        if self.parcel.bytes() > self.held_bytes {
            let more = (self.parcel.bytes() - self.held_bytes).max(HELD_AT_ONCE);
            self.held.take(more)?;
            self.held_bytes += more;
        }
        Ok(())
    }
}

fn shape(message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "shape", message)
}

pub(super) fn too_large(body_max: usize) -> Refusal {
    let message = format!("the body is too large; expected at most {body_max} bytes, unpacked: send smaller batches");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "size", message)
}

/// A body may be small and what it becomes large: a resource is kept with each of its scopes.
fn grows(most: usize) -> Refusal {
    let message = format!("the records of this body take more than {most} bytes, each by itself: send smaller batches");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "size", message)
}

/// The body as it was before it was packed; what it grows to is held, too.
pub(super) fn unpack(packing: Packing, body: Vec<u8>, body_max: usize, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    let name = match packing {
        Packing::Plain => return Ok(body),
        Packing::Gzip => "gzip",
        Packing::Zstd => "zstd",
    };
    let wrong = |error: io::Error| shape(format!("the body is no {name} data, or ends early: {error}"));
    let mut reader: Box<dyn Read> = match packing {
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body.as_slice()).map_err(wrong)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(wrong)?;
            Box::new(decoder)
        }
        _ => Box::new(MultiGzDecoder::new(body.as_slice())),
    };
    let mut plain = Vec::new();
    loop {
        let had = plain.len();
        reader.by_ref().take(UNPACKED_AT_ONCE).read_to_end(&mut plain).map_err(wrong)?;
        match plain.len() - had {
            0 => return Ok(plain),
            _ if plain.len() > body_max => return Err(too_large(body_max)),
            more => held.take(more)?,
        }
    }
}

/// Takes a body apart; `is_otlp` says that the source speaks OTLP.
pub(super) fn take_apart(
    body: &[u8],
    content: Content,
    is_otlp: bool,
    observed_us: i64,
    limits: &ReadLimits,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    if content == Content::Protobuf {
        let groups = protobuf::groups(body).map_err(|error| shape(error.to_string()))?;
        return otlp::write(&groups, observed_us, limits, taken);
    }
    // As in every source: bytes that are no UTF-8 become U+FFFD, if the record has to be read as a text at all.
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim_ascii();
    let looks_like_json = text.starts_with(['{', '[']);
    let is_json = match content {
        Content::Json => true,
        Content::Unknown => looks_like_json,
        _ => false,
    };
    let found = if is_json { values(text) } else { Ok(Vec::new()) };
    match found {
        Ok(found) if is_json => {
            for value in found {
                match otlp::json(value, is_otlp).map_err(shape)? {
                    Some(groups) => otlp::write(&groups, observed_us, limits, taken)?,
                    None => {
                        taken.push(observed_us, value.as_bytes(), limits)?;
                        taken.entries += 1;
                    }
                }
            }
        }
        Err(refusal) if content == Content::Json => return Err(refusal),
        // A line may begin with a bracket, too.
        _ => {
            for line in lines(body) {
                taken.push(observed_us, line, limits)?;
                taken.entries += 1;
            }
        }
    }
    if taken.entries == 0 && !is_otlp {
        return Err(shape("the body holds no record; expected JSON, or lines"));
    }
    Ok(())
}

fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// The records of a JSON text: an object, several objects behind one another, arrays of records.
fn values(text: &str) -> Result<Vec<&str>, Refusal> {
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|error| not_json(&error))?.get();
        match value.as_bytes().first() {
            Some(b'{') => found.push(value),
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(value).map_err(|error| not_json(&error))?;
                found.extend(elements.into_iter().map(RawValue::get));
            }
            _ => return Err(shape("expected a JSON object, or an array of them")),
        }
    }
    Ok(found)
}

/// Line and column, and nothing of what stands there.
pub(super) fn not_json(error: &serde_json::Error) -> Refusal {
    let (line, column) = (error.line(), error.column());
    let what = if error.is_eof() { "the JSON ends early" } else { "this is no JSON" };
    shape(format!(
        "{what}, at line {line}, column {column}; expected an object, an array of objects, or objects line by line"
    ))
}

/// A text as JSON has it.
pub(super) fn quoted(text: &[u8]) -> String {
    let text: Cow<'_, str> = String::from_utf8_lossy(text);
    serde_json::Value::from(text.as_ref()).to_string()
}
