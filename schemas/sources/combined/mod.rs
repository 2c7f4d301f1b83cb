//! Access logs of nginx and Apache: common and combined format, with what people put around them: a virtual host or a
//! forwarding list before the address, `$http_x_forwarded_for` or an ingress controller's fields behind the user agent.
//!
//! Promises: nginx writes the line when the response is complete. A request line that is not HTTP (TLS sent to a plain
//! port, worms) is an event without method and path. Escapes (`\"`, `\x22`) are resolved where they stand for printable
//! text.
//! Never: guesses a latency; the formats have none. Apache's `%t` is the start of the request, and stays it.

use std::borrow::Cow;

use crate::address;
use crate::reject::Code;
use crate::request::{Fault, Request, request_line};
use crate::sources::{LATENCY_US_MAX, NoCount, count, present};
use crate::time;

/// Reads lines; its buffers hold the texts that had escapes.
#[derive(Default)]
pub(crate) struct Reader {
    request: String,
    referrer: String,
    user_agent: String,
    user: String,
}

/// `dd/Mon/yyyy:hh:mm:ss +zzzz`.
const TIME_BYTES: usize = 26;

impl Reader {
    pub(super) fn read<'r>(&'r mut self, line: &'r str) -> Result<Request<'r>, Fault> {
        let (before, time_us, after) = split_at_time(line)?;
        let mut request = Request { time_us: Some(time_us), ..Request::default() };
        let user = head(before, &mut request)?;
        let mut rest = Rest(after);
        let requested = unescape(rest.quoted()?, &mut self.request);
        if let Some((method, target)) = request_line(requested) {
            (request.method, request.target) = (Some(method), Some(target));
        }
        request.status = status(rest.token())?;
        request.response_bytes = match rest.token() {
            // `%b` writes `-` for no bytes at all.
            Some("-") => Some(0),
            Some(text) => count(text).map_err(|_| expected("response_bytes", "a whole number from 0 to 2^40, or -"))?,
            None => return Err(expected("response_bytes", "a whole number or -")),
        };
        request.referrer = rest.optional().and_then(present).map(|t| unescape(t, &mut self.referrer));
        request.user_agent = rest.optional().and_then(present).map(|t| unescape(t, &mut self.user_agent));
        request.principal = user.and_then(present).map(|t| unescape(t, &mut self.user));
        tail(rest, &mut request);
        Ok(request)
    }
}

fn expected(field: &str, what: &str) -> Fault {
    Fault::new(Code::InvalidLine, format!("{field}: expected {what}"))
}

/// What stands before the time, the time, and what stands behind it. A user name may hold a bracket, so the first
/// bracket with a time in it counts.
fn split_at_time(line: &str) -> Result<(&str, i64, &str), Fault> {
    let bytes = line.as_bytes();
    let mut had_bracket = false;
    for open in memchr::memchr_iter(b'[', bytes) {
        let Some(close) = memchr::memchr(b']', &bytes[open..]).map(|i| open + i) else { break };
        let inside = &bytes[open + 1..close];
        if let Some(time_us) = time::clf(inside).or_else(|| time::rfc3339(inside)) {
            return Ok((&line[..open], time_us, &line[close + 1..]));
        }
        had_bracket |= inside.len() == TIME_BYTES && inside[2] == b'/';
    }
    if had_bracket {
        return Err(Fault::new(Code::InvalidTime, "time: expected [dd/Mon/yyyy:hh:mm:ss +zzzz]"));
    }
    Err(expected("time", "[dd/Mon/yyyy:hh:mm:ss +zzzz] behind the address"))
}

/// The part before the time: addresses into `request`; returns the user.
fn head<'a>(before: &'a str, request: &mut Request<'a>) -> Result<Option<&'a str>, Fault> {
    let mut rest = before.trim();
    if let Some(quoted) = rest.strip_prefix('"')
        && let Some((list, after)) = quoted.split_once('"')
    {
        (request.forwarded, rest) = (present(list), after.trim_start());
    }
    let (mut first, mut after) = token(rest);
    if first.ends_with(',') {
        // A forwarding list without quotes: its last address is the nearest.
        let (list, behind) = forwarding_list(rest);
        (request.forwarded, request.peer) = (Some(list), list.rsplit(',').next().map(str::trim));
        return user(behind, request);
    }
    if address::parse(first).is_none() && first != "unix:" {
        let (second, behind) = token(after);
        if address::parse(second).is_some() || second == "unix:" {
            request.host = present(first).filter(|host| *host != "_");
            (first, after) = (second, behind);
        } else if !is_host_name(first) || after.trim().split(' ').count() > 2 {
            return Err(expected("client_ip", "an address at the start of the line"));
        }
    }
    request.peer = Some(first);
    user(after, request)
}

/// Apache can be told to log names instead of addresses.
fn is_host_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'))
}

fn token(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(' ').unwrap_or((text, ""))
}

fn forwarding_list(text: &str) -> (&str, &str) {
    let mut end = 0;
    for part in text.split_inclusive(' ') {
        end += part.len();
        if !part.trim_end().ends_with(',') {
            break;
        }
    }
    (text[..end].trim_end(), &text[end..])
}

/// Behind the address: the ident and the user, which may hold spaces; some formats leave the user out, BunkerWeb puts a
/// request id before it.
fn user<'a>(text: &'a str, request: &mut Request<'a>) -> Result<Option<&'a str>, Fault> {
    let (_ident, rest) = token(text);
    let rest = rest.trim();
    match rest.rsplit_once(' ') {
        Some((id, "-")) if request.host.is_some() && !id.contains(' ') => {
            request.request_id = present(id);
            Ok(None)
        }
        _ => Ok(Some(rest).filter(|user| !user.is_empty())),
    }
}

fn status(text: Option<&str>) -> Result<Option<i32>, Fault> {
    match text.map(count) {
        Some(Ok(None)) => Ok(None),
        Some(Ok(Some(status @ (0 | 100..=999)))) => Ok(Some(status as i32)),
        Some(Ok(Some(_)) | Err(NoCount::OutOfRange)) => {
            Err(Fault::new(Code::OutOfRange, "status: expected 100 to 999, or 0 for none"))
        }
        _ => Err(expected("status", "a whole number behind the request")),
    }
}

/// The part of a line that is not read yet.
#[derive(Clone, Copy)]
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// The text in quotes that comes next. A backslash keeps a quote from ending it.
    fn quoted(&mut self) -> Result<&'a str, Fault> {
        let text = self.0.trim_start();
        let inner = text.strip_prefix('"').ok_or_else(|| expected("request", "quotes around it"))?;
        let bytes = inner.as_bytes();
        let mut at = 0;
        while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
            if bytes[at + found] == b'"' {
                self.0 = &inner[at + found + 1..];
                return Ok(&inner[..at + found]);
            }
            at = (at + found + 2).min(bytes.len());
        }
        Err(expected("request", "a closing quote"))
    }

    fn token(&mut self) -> Option<&'a str> {
        let (token, rest) = token(self.0);
        self.0 = rest;
        (!token.is_empty()).then_some(token)
    }

    /// A text in quotes, or a bare `-`, or nothing at the end of the line. A closing quote may be missing where a line
    /// was cut: everything that counts is before it.
    fn optional(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        if let Some(cut) = text.strip_prefix('"') {
            return Some(self.quoted().unwrap_or_else(|_| {
                self.0 = "";
                cut
            }));
        }
        if text.starts_with("- ") || text == "-" { self.token() } else { None }
    }
}

/// What stands behind the user agent: a forwarding list in quotes, the fields of ingress-nginx (`462 0.050 [name] ...
/// request id`), or Traefik's (`... 13ms`).
fn tail<'a>(mut rest: Rest<'a>, request: &mut Request<'a>) {
    let text = rest.0.trim();
    if text.starts_with('"') {
        if let Ok(list) = rest.quoted()
            && let Some(list) = present(list)
            && list.split(',').all(|hop| address::parse(hop).is_some())
        {
            request.forwarded = Some(list);
        }
        return;
    }
    let mut words = text.split(' ');
    let (first, second, third) = (words.next(), words.next(), words.next());
    let last = text.rsplit(' ').next().unwrap_or("");
    if let (Some(length), Some(seconds), Some(name)) = (first, second, third)
        && name.starts_with('[')
        && let (Ok(Some(bytes)), Some(micros)) = (count(length), time::decimal(seconds.as_bytes(), 1_000_000_000))
    {
        request.request_bytes = Some(bytes);
        request.latency_us = Some(micros).filter(|us| (0..=LATENCY_US_MAX).contains(us));
        request.request_id = Some(last).filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    } else if let Some(Ok(Some(ms))) = last.strip_suffix("ms").map(count) {
        request.latency_us = ms.checked_mul(1000).filter(|us| *us <= LATENCY_US_MAX);
    }
}

/// `text` with its escapes resolved, where what they stand for is printable.
fn unescape<'b>(text: &'b str, buffer: &'b mut String) -> &'b str {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return text;
    }
    match resolve(text) {
        Cow::Borrowed(text) => text,
        Cow::Owned(resolved) => {
            *buffer = resolved;
            buffer
        }
    }
}

fn resolve(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (byte, width) = match (bytes[at], bytes.get(at + 1)) {
            (b'\\', Some(b'"' | b'\\' | b'\'')) => (bytes[at + 1], 2),
            (b'\\', Some(b'x')) => match hex(bytes.get(at + 2..at + 4)) {
                Some(byte) if byte >= 0x20 && byte != 0x7f => (byte, 4),
                _ => (b'\\', 1),
            },
            (byte, _) => (byte, 1),
        };
        plain.push(byte);
        at += width;
    }
    match String::from_utf8(plain) {
        Ok(plain) => Cow::Owned(plain),
        // The bytes were not text; the escapes are.
        Err(_) => Cow::Borrowed(text),
    }
}

fn hex(pair: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = pair? else { return None };
    let digit = |b: u8| char::from(b).to_digit(16);
    Some((digit(high)? * 16 + digit(low)?) as u8)
}
