//! What a sender is answered: JSON for most, OTLP's own answers for who speaks it.
//!
//! Never: repeats a byte of what was sent.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};

/// Longest wait that is asked for.
const RETRY_AFTER_MAX: u64 = 3600;

/// How the sender wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    OtlpJson,
    OtlpProtobuf,
}

/// Why nothing of a request was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The label of the metric.
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { status, reason, message: message.into(), retry_after: None }
    }

    pub(super) fn after(self, wait: Duration) -> Refusal {
        Refusal { retry_after: Some(wait), ..self }
    }

    pub(super) fn answer(&self, form: Form) -> Response<Body> {
        let body = match form {
            Form::Json => serde_json::json!({ "error": self.message }).to_string().into_bytes(),
            Form::OtlpJson => {
                serde_json::json!({ "code": self.code(), "message": self.message }).to_string().into_bytes()
            }
            Form::OtlpProtobuf => self.status_message(),
        };
        let mut response = respond(self.status, form, body);
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.clamp(1, RETRY_AFTER_MAX)));
        }
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"gatewatch\""));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
            }
            _ => {}
        }
        response
    }

    /// The code of gRPC that OTLP uses.
    fn code(&self) -> u8 {
        match self.status.as_u16() {
            401 => 16,
            404 => 5,
            405 | 415 => 12,
            408 => 4,
            429 => 8,
            500.. => 14,
            _ => 3,
        }
    }

    /// `google.rpc.Status`: `int32 code = 1; string message = 2`.
    fn status_message(&self) -> Vec<u8> {
        let mut bytes = vec![0x08, self.code(), 0x12];
        let mut length = self.message.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(self.message.as_bytes());
        bytes
    }
}

/// All records of the request are on disk.
pub(super) fn accepted(form: Form, records: usize) -> Response<Body> {
    let body = match form {
        Form::Json => serde_json::json!({ "accepted": records }).to_string().into_bytes(),
        // `ExportLogsServiceResponse` without `partial_success`: all of it.
        Form::OtlpJson => b"{}".to_vec(),
        Form::OtlpProtobuf => Vec::new(),
    };
    respond(StatusCode::OK, form, body)
}

fn respond(status: StatusCode, form: Form, body: Vec<u8>) -> Response<Body> {
    let content_type = if form == Form::OtlpProtobuf { "application/x-protobuf" } else { "application/json" };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let slow =
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, "rate", "too many records").after(Duration::from_millis(1200));
        let response = slow.answer(Form::Json);
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(slow.status_message(), b"\x08\x08\x12\x10too many records");
        let long = Refusal::new(StatusCode::BAD_REQUEST, "shape", "x".repeat(300));
        assert_eq!(&long.status_message()[..5], b"\x08\x03\x12\xac\x02");
        assert_eq!(
            Refusal::new(StatusCode::UNAUTHORIZED, "token", "").answer(Form::Json).headers()["www-authenticate"],
            "Bearer realm=\"gatewatch\""
        );
        assert_eq!(
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "shape", "").answer(Form::Json).headers()["allow"],
            "POST"
        );
    }
}
