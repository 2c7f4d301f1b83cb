//! The columns of a mapping, read from the slots of a record: to a raw request.
//!
//! Promises: a value that does not fit its column costs the column, not the record: it is null and the column is named as
//! damaged; only where the mapping says `required` it is a fault. `-`, empty and `none` are absent.
//! Never: guesses a unit, but `auto`, whose size tells it.

mod settle;

pub(super) use settle::Doubt;

use super::mapping::{Holds, Input, Nothing};
use super::plan::{Plan, Read};
use super::slots::{SLOT_NONE, Scalar, Slots};
use super::unit::Unit;
use bumpalo::Bump;

use crate::grpc;
use crate::reject::Code;
use crate::request::{Damaged, Fault, Request};
use crate::route::may_be_template;
use crate::sources::{COUNT_MAX, LATENCY_US_MAX, present};
use crate::time;

impl Plan {
    /// The request that the values of a record make. `zone_us` is added to times that name no zone. Texts that had escapes
    /// are put into `arena`.
    pub(super) fn request<'b>(
        &'b self,
        slots: &Slots<'b>,
        arena: &'b Bump,
        zone: time::Zone,
    ) -> Result<Request<'b>, Fault> {
        let mut get = Get::new(self, slots, arena, zone);
        let target = get.text(Input::Target);
        // Where a gateway's route stands for the path, it may be the path itself.
        let is_route = |route: &&str| target != Some(*route) || may_be_template(route);
        let request = Request {
            time_us: get.time(Input::Time),
            start_us: get.time(Input::StartTime),
            latency_us: get.duration(),
            method: get.text(Input::Method).and_then(method),
            target,
            path: get.text(Input::Path),
            query: get.text(Input::Query),
            request_line: get.text(Input::RequestLine),
            route: get.text(Input::Route).filter(is_route),
            host: get.text(Input::Host),
            status: get.status(),
            grpc_status: get.grpc_status(),
            details: get.text(Input::Details),
            request_bytes: get.count(Input::RequestBytes),
            response_bytes: get.count(Input::ResponseBytes),
            peer: get.text(Input::ClientIp),
            peer_is_nearest: get.is_nearest(),
            forwarded: get.text(Input::ForwardedFor).map(|list| list.trim_end_matches([',', ' '])),
            elements: get.text(Input::Forwarded).map(|list| list.trim_end_matches([',', ' '])),
            real_ip: get.text(Input::RealIp),
            user_agent: get.text(Input::UserAgent),
            referrer: get.text(Input::Referrer),
            principal: get.text(Input::Principal),
            principal_kind: get.text(Input::PrincipalKind),
            principal_source: get.text(Input::PrincipalSource),
            tenant: get.text(Input::Tenant),
            request_id: get.text(Input::RequestId),
            trace_id: get.text(Input::TraceId),
            authorization: get.text(Input::Authorization),
            api_key: get.text(Input::ApiKey),
            cookie: get.text(Input::Cookie),
            certificate: get.text(Input::Certificate),
            credential_id: get.text(Input::CredentialId),
            scopes: get.text(Input::Scopes),
            tls_version: get.text(Input::TlsVersion),
            country: get.text(Input::Country),
            asn: get.asn(),
            as_org: get.text(Input::AsOrg),
            records: get.count(Input::Records),
            ..Request::default()
        };
        match get.fault {
            None if self.is_no_request(&request) => {
                let detail = "expected an HTTP request: a method, a path, a route or a status";
                Err(Fault::new(Code::MissingField, detail))
            }
            None => {
                let Get { damaged, likely_unit, .. } = get;
                Ok(Request { damaged, likely_unit, unproven: self.unproven, ..refused(request) })
            }
            Some(fault) => Err(fault),
        }
    }
}

/// Where neither status tells of a refusal, the gateway's words may.
fn refused(request: Request<'_>) -> Request<'_> {
    let refusal = match (request.grpc_status, request.details) {
        (None, Some(details)) => grpc::refusal(request.status, details),
        _ => None,
    };
    match refusal {
        Some((code, status)) => Request { grpc_status: Some(code), status: Some(status), ..request },
        None => request,
    }
}

/// Reads columns from the slots of a record; keeps the first fault.
struct Get<'r, 'b> {
    plan: &'b Plan,
    slots: &'r Slots<'b>,
    arena: &'b Bump,
    zone: time::Zone,
    fault: Option<Fault>,
    damaged: Damaged,
    /// In which a time would be between 2000 and 2100 that is not so in the unit of the mapping.
    likely_unit: Option<&'static str>,
}

impl<'r, 'b> Get<'r, 'b> {
    fn new(plan: &'b Plan, slots: &'r Slots<'b>, arena: &'b Bump, zone: time::Zone) -> Get<'r, 'b> {
        Get { plan, slots, arena, zone, fault: None, damaged: Damaged::default(), likely_unit: None }
    }

    /// The value of the column cannot be: it is null, and the record a reject where the mapping insists on it.
    #[cold]
    fn spoil<T>(&mut self, input: Input, code: Code, expected: &str) -> Option<T> {
        self.damaged.add(input as u8);
        if self.plan.reads[input as usize].as_ref().is_some_and(|read| read.required) {
            self.fault.get_or_insert_with(|| Fault::new(code, format!("{}: expected {expected}", input.name())));
        }
        None
    }

    #[cold]
    fn missing<T>(&mut self, input: Input) -> Option<T> {
        self.fault.get_or_insert_with(|| missing(input));
        None
    }

    /// The first value among the paths of a column that says something.
    #[inline]
    fn first(&mut self, input: Input) -> Option<(Option<Unit>, Value<'r>)> {
        let read = self.plan.reads[input as usize].as_ref()?;
        let mut is_spoiled = false;
        for source in &read.slots {
            if source.given != SLOT_NONE && matches!(self.slots.get(source.given), Scalar::Absent) {
                continue;
            }
            let value = match said(read, self.slots.get(source.slot), self.slots) {
                Ok(Some(value)) => value,
                Ok(None) => continue,
                Err(()) => {
                    is_spoiled = true;
                    continue;
                }
            };
            return Some((source.unit, value));
        }
        if is_spoiled {
            return self.spoil(input, Code::WrongType, wanted(input));
        }
        if read.required { self.missing(input) } else { None }
    }

    /// Whether the client's address is the nearest hop of the forwarding list, where there is one.
    fn is_nearest(&self) -> bool {
        let Some(read) = &self.plan.reads[Input::ClientIp as usize] else { return false };
        if !read.slots.iter().any(|source| source.nearest) {
            return false;
        }
        let mut sources = read.slots.iter();
        let first = sources.find(|source| matches!(said(read, self.slots.get(source.slot), self.slots), Ok(Some(_))));
        first.is_some_and(|source| source.nearest)
    }

    /// Where the first value of a column cannot be read: what `read` makes of the first one that can.
    #[cold]
    fn another<T>(&self, input: Input, read: impl Fn(Option<Unit>, Value<'r>) -> Option<T>) -> Option<T> {
        let column = self.plan.reads[input as usize].as_ref()?;
        column.slots.iter().find_map(|source| {
            let is_given = source.given == SLOT_NONE || !matches!(self.slots.get(source.given), Scalar::Absent);
            let value = said(column, self.slots.get(source.slot), self.slots).ok().flatten()?;
            if is_given { read(source.unit, value) } else { None }
        })
    }

    /// As `first`, for texts, which most columns are.
    #[inline]
    fn text(&mut self, input: Input) -> Option<&'b str> {
        let read = self.plan.reads[input as usize].as_ref()?;
        let mut is_spoiled = false;
        for source in &read.slots {
            let text = match self.slots.get(source.slot) {
                Scalar::Absent => continue,
                _ if source.given != SLOT_NONE && matches!(self.slots.get(source.given), Scalar::Absent) => continue,
                Scalar::Text(text) => text,
                Scalar::Copied(from, to) => self.arena.alloc_str(self.slots.copied(from, to)),
                // The slot is shared with a column of numbers, or holds something else than a text.
                Scalar::Int(_) | Scalar::Float(_) | Scalar::Bool | Scalar::Nested => {
                    is_spoiled = true;
                    continue;
                }
            };
            if present(text).is_some() && (read.none.is_empty() || !is_none(read, text)) {
                return Some(text);
            }
        }
        if is_spoiled {
            return self.spoil(input, Code::WrongType, "a text");
        }
        if read.required { self.missing(input) } else { read.value.as_deref() }
    }

    fn count(&mut self, input: Input) -> Option<i64> {
        let is_count = |number: &i64| (0..=COUNT_MAX).contains(number);
        let (code, expected) = match self.first(input)?.1.whole() {
            Ok(None) => return self.plan.reads[input as usize].as_ref().and_then(|read| read.dash),
            Ok(Some(number)) if is_count(&number) => return Some(number),
            Ok(Some(_)) => (Code::OutOfRange, "a whole number from 0 to 2^40"),
            Err(()) => (Code::WrongType, "a whole number"),
        };
        let another = self.another(input, |_, value| value.whole().ok().flatten().filter(is_count));
        another.or_else(|| self.spoil(input, code, expected))
    }

    /// Three digits; what is below 100 (also -1), and a dash, says that there was no answer.
    fn status(&mut self) -> Option<i32> {
        match status_of(self.first(Input::Status)?.1) {
            Ok(status) => Some(status),
            Err((code, expected)) => self
                .another(Input::Status, |_, value| status_of(value).ok().filter(|status| *status > 0))
                .or_else(|| self.spoil(Input::Status, code, expected)),
        }
    }

    fn grpc_status(&mut self) -> Option<i32> {
        let status = match self.first(Input::GrpcStatus)?.1 {
            Value::Int(number) => i32::try_from(number).ok().filter(|number| (0..=16).contains(number)),
            Value::Text(text) => grpc::status(text),
            Value::Float(_) => None,
        };
        status.or_else(|| self.spoil(Input::GrpcStatus, Code::OutOfRange, "0 to 16, or a name such as NOT_FOUND"))
    }

    /// `64500`, also as `AS64500`.
    fn asn(&mut self) -> Option<i64> {
        let value = match self.first(Input::Asn)?.1 {
            Value::Text(text) => Value::Text(text.strip_prefix("AS").unwrap_or(text)),
            other => other,
        };
        match value.whole() {
            Ok(number @ (None | Some(0..=0xffff_ffff))) => number,
            _ => self.spoil(Input::Asn, Code::OutOfRange, "a whole number from 0 to 2^32"),
        }
    }

    fn time(&mut self, input: Input) -> Option<i64> {
        let (Some(unit), value) = self.first(input)? else { return None };
        let micros = micros(unit, value, self.zone);
        if micros.is_some_and(in_range) {
            return micros;
        }
        if nanos_per(unit).is_some() {
            self.likely_unit = self.likely_unit.or_else(|| value.likely_unit());
        }
        let zone = self.zone;
        let another = |unit, value| self::micros(unit, value, zone).filter(|micros| in_range(*micros));
        let another = self.another(input, |unit, value| unit.and_then(|unit| another(unit, value)));
        another.or(micros).or_else(|| self.spoil(input, Code::InvalidTime, &format!("a time as {}", unit_name(unit))))
    }

    /// All parts of the latency together, when all of them have a value.
    fn sum(&mut self) -> Option<i64> {
        let read = self.plan.reads[Input::Latency as usize].as_ref()?;
        let mut sum = 0i64;
        for source in &read.slots {
            let value = match self.slots.get(source.slot) {
                Scalar::Text(text) => Value::Text(text),
                Scalar::Copied(from, to) => Value::Text(self.slots.copied(from, to)),
                Scalar::Int(number) => Value::Int(number),
                Scalar::Float(number) => Value::Float(number),
                Scalar::Absent => return None,
                Scalar::Bool | Scalar::Nested => return self.spoil(Input::Latency, Code::WrongType, "numbers"),
            };
            let is_none = match value {
                Value::Text(text) => present(text).is_none() || is_none(read, text),
                Value::Int(number) => read.none.contains(&Nothing::Number(number)),
                Value::Float(_) => false,
            };
            if is_none {
                return None;
            }
            let nanos = source.unit.and_then(nanos_per)?;
            match value.micros(nanos) {
                Some(micros @ 0..=LATENCY_US_MAX) => sum += micros,
                _ => return self.spoil(Input::Latency, Code::OutOfRange, "numbers from 0 to 30 days"),
            }
        }
        Some(sum)
    }

    fn duration(&mut self) -> Option<i64> {
        if self.plan.reads[Input::Latency as usize].as_ref().is_some_and(|read| read.sum) {
            return self.sum();
        }
        let (Some(unit), value) = self.first(Input::Latency)? else { return None };
        let micros = match (value, nanos_per(unit)) {
            (Value::Text(text), None) => text_duration(text),
            (_, None) => None,
            // A text that brings its own unit is believed.
            (Value::Text(text), Some(nanos)) => value.micros(nanos).or_else(|| text_duration(text)),
            (value, Some(nanos)) => value.micros(nanos),
        };
        match micros {
            Some(micros @ 0..=LATENCY_US_MAX) => Some(micros),
            Some(_) => self.spoil(Input::Latency, Code::OutOfRange, "a number from 0 to 30 days"),
            None => self.spoil(Input::Latency, Code::WrongType, &format!("a number of {}", unit_name(unit))),
        }
    }
}

/// What a value is to a column: nothing where it means none, an error where it can be no value.
#[inline]
fn said<'r>(read: &Read, value: Scalar<'r>, slots: &'r Slots<'_>) -> Result<Option<Value<'r>>, ()> {
    let value = match value {
        Scalar::Absent => return Ok(None),
        // Some gateways write two blanks around it.
        Scalar::Text(text) if text.starts_with(' ') && text.trim() == "-" => Value::Text("-"),
        Scalar::Text(text) => Value::Text(text),
        Scalar::Copied(from, to) => Value::Text(slots.copied(from, to)),
        Scalar::Int(number) if read.none.contains(&Nothing::Number(number)) => return Ok(None),
        Scalar::Int(number) => Value::Int(number),
        Scalar::Float(number) => Value::Float(number),
        Scalar::Bool | Scalar::Nested => return Err(()),
    };
    if let Value::Text(text) = value
        && (text != "-" || read.dash.is_none())
        && (present(text).is_none() || (!read.none.is_empty() && is_none(read, text)))
    {
        return Ok(None);
    }
    Ok(Some(value))
}

/// Three digits; what is below 100 (also -1), and a dash, says that there was no answer.
fn status_of(value: Value<'_>) -> Result<i32, (Code, &'static str)> {
    match value.whole() {
        Ok(None | Some(..=99)) => Ok(0),
        Ok(Some(status @ 100..=999)) => Ok(status as i32),
        Ok(Some(_)) => Err((Code::OutOfRange, "100 to 999, or 0 for none")),
        Err(()) => Err((Code::WrongType, "a whole number")),
    }
}

/// A time, in microseconds since 1970.
fn micros(unit: Unit, value: Value<'_>, zone: time::Zone) -> Option<i64> {
    match (value, nanos_per(unit)) {
        (Value::Text(text), None) => written_time(unit, text, zone),
        (value, None) if unit == Unit::Auto => value.epoch(),
        (_, None) => None,
        (value, Some(nanos)) => value.micros(nanos),
    }
}

fn written_time(unit: Unit, text: &str, zone: time::Zone) -> Option<i64> {
    match unit {
        Unit::Rfc3339 => time::rfc3339(text.as_bytes()),
        Unit::Clf => time::clf(text.trim_matches(['[', ']']).as_bytes(), zone),
        Unit::Datetime => time::datetime(text.as_bytes(), zone),
        _ => {
            let bytes = text.trim_matches(['[', ']']).as_bytes();
            let written = time::rfc3339(bytes).or_else(|| time::clf(bytes, zone));
            let written = written.or_else(|| time::datetime(bytes, zone)).or_else(|| time::basic(bytes, zone));
            written.or_else(|| Value::Text(text).epoch()).or_else(|| time::rfc1123(text))
        }
    }
}

/// The method by its number in OCSF's class HTTP Activity: `400203`. Any other number is none.
fn method(text: &str) -> Option<&str> {
    const ACTIVITIES: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE", "PATCH"];
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text);
    }
    let activity = text.strip_prefix("4002")?.parse::<usize>().ok()?.checked_sub(1)?;
    ACTIVITIES.get(activity).copied()
}

fn is_none(read: &Read, text: &str) -> bool {
    read.none.iter().any(|none| match none {
        Nothing::Text(none) => none == text,
        Nothing::Number(none) => text.parse() == Ok(*none),
    })
}

#[derive(Clone, Copy)]
enum Value<'r> {
    Text(&'r str),
    Int(i64),
    Float(f64),
}

impl Value<'_> {
    /// A whole number; none for `-` and nothing, an error for what is none.
    fn whole(self) -> Result<Option<i64>, ()> {
        match self {
            Value::Int(number) => Ok(Some(number)),
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => Ok(Some(number as i64)),
            Value::Float(_) => Err(()),
            Value::Text("-" | "") => Ok(None),
            // HAProxy marks numbers so that may still grow; a longer one is a telephone number.
            Value::Text(text) if text.len() > 10 && text.starts_with('+') => Err(()),
            Value::Text(text) if text.strip_prefix(['-', '+']).unwrap_or(text).bytes().all(|b| b.is_ascii_digit()) => {
                Ok(Some(text.parse().unwrap_or(i64::MAX)))
            }
            // `512.0`, as some serialisers write whole numbers.
            Value::Text(text) => match text.split_once('.') {
                Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => {
                    whole.parse().map(Some).map_err(|_| ())
                }
                _ => Err(()),
            },
        }
    }

    /// An epoch in seconds, milli-, micro- or nanoseconds: between 2000 and 2100 its size tells which.
    fn epoch(self) -> Option<i64> {
        EPOCHS.iter().find_map(|(nanos, _)| self.micros(*nanos).filter(|us| in_range(*us)))
    }

    /// The unit in which it is an epoch between 2000 and 2100.
    fn likely_unit(self) -> Option<&'static str> {
        EPOCHS.iter().find(|(nanos, _)| self.micros(*nanos).is_some_and(in_range)).map(|(_, name)| *name)
    }

    /// The number as microseconds, given the nanoseconds of its unit.
    fn micros(self, nanos: i64) -> Option<i64> {
        match self {
            Value::Int(number) if nanos >= 1000 => number.checked_mul(nanos / 1000),
            Value::Int(number) => Some(number.div_euclid(1000 / nanos)),
            Value::Float(number) => {
                let micros = (number * nanos as f64 / 1000.0).round();
                (micros.abs() < 9e18).then_some(micros as i64)
            }
            Value::Text(text) => time::decimal(text.as_bytes(), nanos),
        }
    }
}

/// Units of epochs, in nanoseconds.
const EPOCHS: [(i64, &str); 4] =
    [(1_000_000_000, "seconds"), (1_000_000, "milliseconds"), (1_000, "microseconds"), (1, "nanoseconds")];

fn in_range(micros: i64) -> bool {
    (time::YEAR_2000_US..time::YEAR_2100_US).contains(&micros)
}

fn nanos_per(unit: Unit) -> Option<i64> {
    match unit {
        Unit::EpochS | Unit::S => Some(1_000_000_000),
        Unit::EpochMs | Unit::Ms => Some(1_000_000),
        Unit::EpochUs | Unit::Us => Some(1_000),
        Unit::EpochNs | Unit::Ns => Some(1),
        Unit::Rfc3339 | Unit::Clf | Unit::Datetime | Unit::Auto | Unit::Text => None,
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Rfc3339 => "RFC 3339 with a zone",
        Unit::Clf => "dd/Mon/yyyy:hh:mm:ss +zzzz",
        Unit::Datetime => "yyyy-mm-dd hh:mm:ss",
        Unit::Auto => "RFC 3339, or since 1970 in s, ms, us or ns",
        Unit::EpochS => "seconds since 1970",
        Unit::EpochMs => "milliseconds since 1970",
        Unit::EpochUs => "microseconds since 1970",
        Unit::EpochNs => "nanoseconds since 1970",
        Unit::S => "seconds",
        Unit::Ms => "milliseconds",
        Unit::Us => "microseconds",
        Unit::Ns => "nanoseconds",
        Unit::Text => "ns, us, ms or s, with the unit behind it",
    }
}

/// `0.012s`, `12ms`, `250us`, `250µs`, `99ns`, and several of them as Go writes them: `1m2.5s`.
fn text_duration(text: &str) -> Option<i64> {
    let (mut rest, mut sum) = (text.trim(), 0i64);
    while !rest.is_empty() {
        let at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[at..].trim_start();
        let end = unit.find(|c: char| c.is_ascii_digit()).unwrap_or(unit.len());
        let (factor, nanos) = match unit[..end].trim() {
            "h" => (3600, 1_000_000_000),
            "m" => (60, 1_000_000_000),
            "s" => (1, 1_000_000_000),
            "ms" => (1, 1_000_000),
            "us" | "µs" | "μs" => (1, 1_000),
            "ns" => (1, 1),
            _ => return None,
        };
        sum = sum.checked_add(time::decimal(&rest.as_bytes()[..at], nanos)?.checked_mul(factor)?)?;
        rest = &unit[end..];
    }
    (!text.trim().is_empty()).then_some(sum)
}

#[cold]
fn missing(input: Input) -> Fault {
    Fault::new(Code::MissingField, format!("{}: expected a value, the format always has one", input.name()))
}

/// What a column holds, for people.
fn wanted(input: Input) -> &'static str {
    match input.holds() {
        Holds::Count => "a whole number",
        Holds::Duration => "a number",
        Holds::Time => "a time",
        Holds::Text | Holds::Secret => "a text",
    }
}
