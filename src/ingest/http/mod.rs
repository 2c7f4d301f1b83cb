//! Records that senders push over HTTP: a POST to the path of a source, answered when every record of its body is on disk.
//!
//! Several sources may share an address, each with a path of its own. A request is looked at in this order: path, method,
//! token, packing, size, rate, room; then its body is read, taken apart and put into the source's spool.
//!
//! Promises: 200 means that all records of the body are kept; any other answer means that none of them is, or (503 after
//! a failing disk, and a broken connection) that it is not known. What a sender has to do is in the answer: wait
//! (`Retry-After`), send less, or mend the request. A slow sender holds a connection for a bounded time, and the memory
//! of all bodies together is bounded.
//! Never: repeats in an answer, or logs, what was sent.

mod answer;
mod body;
mod config;
mod otlp;
mod protobuf;
mod rate;
mod server;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use self::config::{HttpConfig, Rate, Token};
pub use self::server::{Attached, Hub};

use self::answer::{Form, Refusal};
use self::body::{Content, Packing, Taken};
use self::rate::Bucket;
use super::accept::count;
use super::spool::{Spool, SpoolError};
use super::{Clock, ReadLimits};

/// Bytes of bodies of one source that are held in memory together, packed, unpacked and as records; a body for which there is
/// no room is refused (503, `full`). What did not arrive yet takes none.
const BODIES_BYTES_MAX: usize = 128 << 20;
/// So many times as large as a body may be, what is made of one may become; a small one may become more.
const GROWTH_MAX: usize = 8;
const GROWN_BYTES_MIN: usize = 1 << 20;
/// Of a body that is refused so much is read and thrown away, so that the sender gets to read the answer.
const DISCARDED_BYTES_MAX: usize = 1 << 20;
/// When to come back to a spool that is full, or a disk that failed.
const AFTER_FULL: Duration = Duration::from_secs(5);

/// A source behind its path.
pub struct Route {
    source: Arc<str>,
    config: HttpConfig,
    limits: ReadLimits,
    clock: Clock,
    spool: Spool,
    bucket: Option<Mutex<Bucket>>,
    /// Bytes of the records of one body.
    records_max: usize,
    /// Bytes of bodies that may still be held.
    memory: Arc<Semaphore>,
}

impl Route {
    pub fn new(source: &str, config: HttpConfig, limits: ReadLimits, clock: Clock, spool: Spool) -> Route {
        let bucket = config.rate.map(|rate| Mutex::new(Bucket::new(rate, clock())));
        // What never fits into the spool is refused for good.
        let fits = usize::try_from(spool.bytes_max()).unwrap_or(usize::MAX);
        let records_max = config.body_max.saturating_mul(GROWTH_MAX).max(GROWN_BYTES_MIN).min(fits);
        // At least one body, packed, unpacked and as records.
        let most = BODIES_BYTES_MAX.max(config.body_max.saturating_mul(2).saturating_add(records_max));
        let memory = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Route { source: source.into(), config, limits, clock, spool, bucket, records_max, memory }
    }

    /// Answers a request on this path.
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, mut body) = request.into_parts();
        let asked = match self.look_at(&parts.method, &parts.headers) {
            Ok(asked) => asked,
            Err(refusal) => {
                if !parts.headers.contains_key("expect") {
                    discard(&mut body, self.config.body_timeout).await;
                }
                return self.refuse(&refusal, self.form(&parts.headers));
            }
        };
        match self.take_in(body, asked).await {
            Ok(entries) => answer::accepted(asked.form, entries),
            Err(refusal) => self.refuse(&refusal, asked.form),
        }
    }

    fn form(&self, headers: &HeaderMap) -> Form {
        let content = Content::of(text_of(headers, &CONTENT_TYPE)).unwrap_or(Content::Unknown);
        body::form(content, self.config.is_otlp)
    }

    fn refuse(&self, refusal: &Refusal, form: Form) -> Response<Body> {
        count(&self.source, refusal.reason);
        tracing::debug!(source = &*self.source, status = refusal.status.as_u16(), reason = refusal.reason, "refused");
        refusal.answer(form)
    }

    /// Everything that can be said before the body is read.
    fn look_at(&self, method: &Method, headers: &HeaderMap) -> Result<Asked, Refusal> {
        if *method != Method::POST {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "shape", "expected a POST"));
        }
        if let Some(token) = &self.config.token {
            // Of two nobody can say which one a proxy before us looked at.
            let mut values = headers.get_all(AUTHORIZATION).iter();
            let shown = match (values.next(), values.next()) {
                (Some(value), None) => value.as_bytes(),
                _ => &[],
            };
            if !token.is_shown_by(shown) {
                let message = "expected the header `Authorization: Bearer TOKEN` with the token of this source";
                return Err(Refusal::new(StatusCode::UNAUTHORIZED, "token", message));
            }
        }
        let unsupported = |message| Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "shape", message);
        let packing = Packing::of(text_of(headers, &CONTENT_ENCODING))
            .ok_or_else(|| unsupported("expected Content-Encoding: gzip, zstd, or none"))?;
        let content = Content::of(text_of(headers, &CONTENT_TYPE)).ok_or_else(|| {
            unsupported(
                "expected Content-Type: application/json, application/x-ndjson, text/plain or application/x-protobuf",
            )
        })?;
        let length = text_of(headers, &CONTENT_LENGTH).parse::<usize>().ok();
        if length.is_some_and(|length| length > self.config.body_max) {
            return Err(body::too_large(self.config.body_max));
        }
        self.ask_rate(1, false)?;
        if !self.spool.has_room(length.unwrap_or(0) as u64) {
            return Err(not_taken(&SpoolError::Full));
        }
        Ok(Asked { packing, content, form: body::form(content, self.config.is_otlp) })
    }

    /// Reads the body, and returns how many log entries of it are on disk.
    async fn take_in(&self, mut body: Body, asked: Asked) -> Result<usize, Refusal> {
        let mut held = Held { memory: self.memory.clone(), permit: None };
        let reading = read(&mut body, self.config.body_max, &mut held);
        let slow = || {
            let message = format!("the body did not arrive within {} s", self.config.body_timeout.as_secs());
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow", message)
        };
        let read = tokio::time::timeout(self.config.body_timeout, reading).await;
        let packed = read.map_err(|_| slow())??;
        let (body_max, limits, is_otlp) = (self.config.body_max, self.limits.clone(), self.config.is_otlp);
        let (observed_us, records_max) = ((self.clock)(), self.records_max);
        // Unpacking and taking apart a large body would hold up the connections of this thread.
        let taken = tokio::task::spawn_blocking(move || {
            let plain = body::unpack(asked.packing, packed, body_max, &mut held)?;
            let mut taken = Taken::new(held, records_max);
            body::take_apart(&plain, asked.content, is_otlp, observed_us, &limits, &mut taken)?;
            Ok::<_, Refusal>(taken)
        });
        let Taken { parcel, entries, held: _held, .. } =
            taken.await.map_err(|_| not_taken(&SpoolError::Stopping))??;
        if parcel.is_empty() {
            return Ok(0);
        }
        self.ask_rate(entries, true)?;
        self.spool.append(parcel).await.map_err(|error| not_taken(&error))?;
        Ok(entries)
    }

    fn ask_rate(&self, entries: usize, take: bool) -> Result<(), Refusal> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let now_us = (self.clock)();
        // A bucket is two numbers; a panic leaves them usable.
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = if take { bucket.take(entries, now_us) } else { bucket.ask(entries, now_us) };
        asked.map_err(|wait| {
            let message = "above records_per_second of this source; nothing of the body was taken";
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", message).after(wait)
        })
    }
}

/// What the head of a request asks for.
#[derive(Clone, Copy)]
struct Asked {
    packing: Packing,
    content: Content,
    form: Form,
}

/// Memory that a request holds, of what all of its source may hold together; given back when this is dropped.
struct Held {
    memory: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// More of it, or a refusal: whoever waited for memory while holding some could wait for ever.
    fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = self.memory.clone().try_acquire_many_owned(bytes).map_err(|_| {
            let message =
                "as many bodies are on their way as may be held; nothing of this one was taken: send it again";
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "full", message).after(AFTER_FULL)
        })?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

fn not_taken(error: &SpoolError) -> Refusal {
    let reason = match error {
        SpoolError::Full => "full",
        SpoolError::Stopping => "stopping",
        SpoolError::Disk(_) => "disk",
    };
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, reason, error.to_string()).after(AFTER_FULL)
}

/// One header, as far as it is a text; of several with this name all, which no known value is.
fn text_of<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().unwrap_or("?"),
        (None, _) => "",
        _ => "?",
    }
}

async fn read(body: &mut Body, body_max: usize, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut chunks = std::mem::take(body).into_data_stream();
    while let Some(chunk) = chunks.next().await {
        // The sender went away, or its chunks are none; nobody may be there to read the answer.
        let chunk = chunk.map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "shape", "the body ends early"))?;
        if bytes.len() + chunk.len() > body_max {
            return Err(body::too_large(body_max));
        }
        held.take(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads what is left of a body, up to a bound: a sender that still writes would not get to read the answer.
async fn discard(body: &mut Body, body_timeout: Duration) {
    let mut chunks = std::mem::take(body).into_data_stream();
    let discarding = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes += chunk.len();
            if bytes > DISCARDED_BYTES_MAX {
                return;
            }
        }
    };
    // What comes later than that is for a closed connection.
    let _late = tokio::time::timeout(body_timeout, discarding).await.is_err();
}
