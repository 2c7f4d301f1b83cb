//! Envoy's text access logs: its default format, and Istio's. JSON logs are read by `mapping.yaml`. A prefix that
//! Kubernetes' container runtime puts before each line (`2026-01-24T01:34:36.743Z stdout F `) is stepped over.
//!
//! Promises: the start time has the duration (milliseconds) added by `shape.rs`. The default format logs no peer, so the
//! last hop of the forwarding header stands for it.
//! Never: reads a format that someone composed; use JSON and a mapping for that.

use crate::grpc;
use crate::reject::Code;
use crate::request::{Fault, Request, request_line};
use crate::sources::{LATENCY_US_MAX, NoCount, count, present};
use crate::time;

/// The line behind a container runtime's prefix, where there is one.
pub(super) fn without_prefix(text: &str) -> &str {
    let mut parts = text.splitn(4, ' ');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(at), Some("stdout" | "stderr"), Some("F" | "P"), Some(line))
            if time::rfc3339(at.as_bytes()).is_some() =>
        {
            line.trim_start()
        }
        _ => text,
    }
}

/// Reads text lines. It keeps nothing between them.
#[derive(Default)]
pub(crate) struct Reader;

/// Tokens of Envoy's default format behind the time, and of Istio's.
const ENVOY_TOKENS: usize = 12;
const ISTIO_TOKENS: usize = 21;

impl Reader {
    pub(super) fn read<'a>(&mut self, line: &'a str) -> Result<Request<'a>, Fault> {
        let (start, rest) = line.strip_prefix('[').and_then(|l| l.split_once(']')).ok_or_else(invalid)?;
        let start_us = time::rfc3339(start.as_bytes())
            .ok_or_else(|| Fault::new(Code::InvalidTime, "start_time: expected RFC 3339 in brackets"))?;
        let mut tokens = [""; ISTIO_TOKENS];
        let found = split(rest, &mut tokens).ok_or_else(invalid)?;
        // Istio writes three columns more behind the flags, the first without quotes.
        let istio = found >= ISTIO_TOKENS - 1;
        if found < ENVOY_TOKENS - 1 {
            return Err(invalid());
        }
        let tail = if istio { &tokens[6..] } else { &tokens[3..] };
        let line = request_line(tokens[0]);
        let logged = status(tokens[1])?;
        // Istio's format has no gRPC status, but says when it refused a call itself.
        let refusal = if istio { grpc::refusal(logged, tokens[3]) } else { None };
        Ok(Request {
            start_us: Some(start_us),
            latency_us: latency(tail[2])?,
            method: line.map(|(method, _)| method),
            target: line.map(|(_, target)| target),
            status: refusal.map(|(_, status)| status).or(logged),
            grpc_status: refusal.map(|(grpc, _)| grpc),
            request_bytes: number("request_bytes", tail[0])?,
            response_bytes: number("response_bytes", tail[1])?,
            peer: if istio { present(tail[12]) } else { None },
            forwarded: present(tail[4]),
            user_agent: present(tail[5]),
            request_id: present(tail[6]),
            host: present(tail[7]),
            ..Request::default()
        })
    }
}

fn invalid() -> Fault {
    Fault::new(Code::InvalidLine, "expected a JSON object, or a line of Envoy's or Istio's default format")
}

fn status(text: &str) -> Result<Option<i32>, Fault> {
    match number("status", text)? {
        Some(status @ (0 | 100..=999)) => Ok(Some(status as i32)),
        None => Ok(None),
        Some(_) => Err(Fault::new(Code::OutOfRange, "status: expected 100 to 999, or 0 for none")),
    }
}

fn latency(text: &str) -> Result<Option<i64>, Fault> {
    match number("latency", text)?.map(|ms| ms.saturating_mul(1000)) {
        Some(us) if us > LATENCY_US_MAX => {
            Err(Fault::new(Code::OutOfRange, "latency: expected a number from 0 to 30 days"))
        }
        latency => Ok(latency),
    }
}

fn number(name: &str, text: &str) -> Result<Option<i64>, Fault> {
    count(text).map_err(|why| {
        let code = if why == NoCount::OutOfRange { Code::OutOfRange } else { Code::WrongType };
        Fault::new(code, format!("{name}: expected a whole number from 0 to 2^40, or -"))
    })
}

/// Splits at spaces outside quotes; the quotes are taken off. `None` when a quote is not closed.
fn split<'a>(text: &'a str, tokens: &mut [&'a str]) -> Option<usize> {
    let mut rest = text.trim_start();
    let mut found = 0;
    while !rest.is_empty() && found < tokens.len() {
        let (token, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        tokens[found] = token;
        found += 1;
        rest = after.trim_start();
    }
    Some(found)
}
