//! A mapping made ready to run: its paths as a trie, each with a slot for its value; its columns as lists of slots with
//! the unit to read them in.
//!
//! Promises: a value that does not fit its column is a fault with the column's name; `-`, empty and `none` are absent.
//! Never: guesses a unit.

use super::mapping::{Column, Holds, Input, Mapping, Unit};
use super::walk::{Scalar, Slots};
use crate::reject::Code;
use crate::request::{Fault, Request};
use crate::sources::{count, present};
use crate::time;

/// "No slot": nothing is kept of the value here.
pub(super) const SLOT_NONE: u16 = u16::MAX;
const HEADS: usize = 32;

/// One key on a path of the mapping.
#[derive(Clone)]
pub(crate) struct Node {
    pub(super) slot: u16,
    /// Numbers are wanted as text.
    pub(super) is_text: bool,
    ignore_case: bool,
    /// Listed under `known` or `headers`: what is below may be anything.
    is_open: bool,
    /// Per hash of a key the first edge, plus one; 0 for none.
    heads: [u8; HEADS],
    edges: Vec<Edge>,
}

#[derive(Clone)]
struct Edge {
    key: Box<str>,
    node: u16,
    /// The next edge of the same hash, plus one.
    next: u8,
}

impl Node {
    /// For the elements of an array at this node.
    pub(super) fn element(&self) -> Node {
        Node { is_text: self.is_text, ..Node::leaf(self.slot) }
    }

    fn leaf(slot: u16) -> Node {
        Node { slot, is_text: false, ignore_case: false, is_open: false, heads: [0; HEADS], edges: Vec::new() }
    }
}

/// Length, first and last letter tell most keys of one object apart.
#[inline]
fn hash(key: &[u8]) -> usize {
    let (first, last) = match key {
        [] => (0, 0),
        [only] => (*only, *only),
        [first, .., last] => (*first, *last),
    };
    (key.len() ^ usize::from(first | 32) ^ (usize::from(last | 32) << 1)) % HEADS
}

/// A column and where its values come from.
struct Read {
    /// With the unit, where the column has one.
    slots: Vec<(u16, Option<Unit>)>,
    required: bool,
    none: Vec<i64>,
    value: Option<String>,
}

/// A mapping, ready to run.
pub(crate) struct Plan {
    gateway: String,
    batch: bool,
    nodes: Vec<Node>,
    slots: u16,
    reads: [Option<Read>; Input::COUNT],
}

impl Plan {
    pub(super) fn new(mapping: &Mapping) -> Plan {
        let mut plan = Plan {
            gateway: mapping.gateway.clone(),
            batch: mapping.batch,
            nodes: vec![Node::leaf(SLOT_NONE)],
            slots: 0,
            reads: [const { None }; Input::COUNT],
        };
        for path in &mapping.headers {
            let node = plan.node(path);
            (plan.nodes[node].ignore_case, plan.nodes[node].is_open) = (true, true);
        }
        for path in &mapping.known {
            let node = plan.node(path);
            plan.nodes[node].is_open = true;
        }
        for (input, column) in &mapping.columns {
            plan.reads[*input as usize] = Some(plan.read(*input, column));
        }
        plan
    }

    fn read(&mut self, input: Input, column: &Column) -> Read {
        let is_text = matches!(input.holds(), Holds::Text | Holds::Secret);
        let slots = column.paths.iter().map(|path| self.slot(path, is_text));
        let units = column.units.iter().copied().map(Some).chain(std::iter::repeat(None));
        let slots = slots.zip(units).collect();
        Read { slots, required: column.required, none: column.none.clone(), value: column.value.clone() }
    }

    fn slot(&mut self, path: &[String], is_text: bool) -> u16 {
        let node = self.node(path);
        let node = &mut self.nodes[node];
        if node.slot == SLOT_NONE {
            node.slot = self.slots;
            node.is_text = is_text;
            self.slots += 1;
        }
        node.is_text &= is_text;
        node.slot
    }

    /// The node at the end of `path`, made if need be.
    fn node(&mut self, path: &[String]) -> usize {
        path.iter().fold(0, |at, key| {
            let wanted = if self.nodes[at].ignore_case { key.to_ascii_lowercase() } else { key.clone() };
            match self.nodes[at].edges.iter().find(|edge| *edge.key == *wanted) {
                Some(edge) => usize::from(edge.node),
                None => self.add(at, wanted),
            }
        })
    }

    fn add(&mut self, at: usize, key: String) -> usize {
        let child = self.nodes.len();
        self.nodes.push(Node::leaf(SLOT_NONE));
        let node = &mut self.nodes[at];
        let head = hash(key.as_bytes());
        let next = node.heads[head];
        node.edges.push(Edge { key: key.into(), node: child as u16, next });
        node.heads[head] = node.edges.len() as u8;
        child
    }

    pub(crate) fn gateway(&self) -> &str {
        &self.gateway
    }

    pub(super) fn is_batch(&self) -> bool {
        self.batch
    }

    pub(super) fn slots(&self) -> usize {
        usize::from(self.slots)
    }

    pub(super) fn root(&self) -> &Node {
        &self.nodes[0]
    }

    /// The child of `node` under `key`.
    #[inline]
    pub(super) fn child(&self, node: &Node, key: &str) -> Option<&Node> {
        let mut at = node.heads[hash(key.as_bytes())];
        while at != 0 {
            let edge = &node.edges[usize::from(at) - 1];
            let equal = if node.ignore_case { edge.key.eq_ignore_ascii_case(key) } else { *edge.key == *key };
            if equal {
                return Some(&self.nodes[usize::from(edge.node)]);
            }
            at = edge.next;
        }
        None
    }

    /// Does the mapping claim to know all keys below this node?
    pub(super) fn has_named_children(&self, node: &Node) -> bool {
        !node.is_open && !node.edges.is_empty()
    }

    /// The request that the values of a record make.
    pub(super) fn request<'r>(&'r self, slots: &'r Slots<'_>) -> Result<Request<'r>, Fault> {
        let text = |input| self.text(input, slots);
        let whole = |input| self.count(input, slots);
        Ok(Request {
            time_us: self.time(Input::Time, slots)?,
            start_us: self.time(Input::StartTime, slots)?,
            latency_us: self.duration(slots)?,
            method: text(Input::Method)?,
            target: text(Input::Target)?,
            path: text(Input::Path)?,
            query: text(Input::Query)?,
            request_line: text(Input::RequestLine)?,
            host: text(Input::Host)?,
            status: self.status(slots)?,
            request_bytes: whole(Input::RequestBytes)?,
            response_bytes: whole(Input::ResponseBytes)?,
            peer: text(Input::ClientIp)?,
            forwarded: text(Input::ForwardedFor)?,
            user_agent: text(Input::UserAgent)?,
            referrer: text(Input::Referrer)?,
            principal: text(Input::Principal)?,
            principal_kind: text(Input::PrincipalKind)?,
            tenant: text(Input::Tenant)?,
            request_id: text(Input::RequestId)?,
            trace_id: text(Input::TraceId)?,
            authorization: text(Input::Authorization)?,
            api_key: text(Input::ApiKey)?,
            cookie: text(Input::Cookie)?,
            certificate: text(Input::Certificate)?,
            credential_id: text(Input::CredentialId)?,
            scopes: text(Input::Scopes)?,
            tls_version: text(Input::TlsVersion)?,
            country: text(Input::Country)?,
            asn: whole(Input::Asn)?,
            records: whole(Input::Records)?,
        })
    }

    /// The first value among the paths of a column that says something.
    #[inline]
    fn first<'r>(&'r self, input: Input, slots: &'r Slots<'_>) -> Result<Option<(Option<Unit>, Value<'r>)>, Fault> {
        let Some(read) = &self.reads[input as usize] else { return Ok(None) };
        for (slot, unit) in &read.slots {
            let value = match slots.get(*slot) {
                Scalar::Absent => continue,
                Scalar::Text(text) => Value::Text(text),
                Scalar::Copied(from, to) => Value::Text(slots.copied(from, to)),
                Scalar::Int(number) if read.none.contains(&number) => continue,
                Scalar::Int(number) => Value::Int(number),
                Scalar::Large => Value::Large,
                Scalar::Float(number) => Value::Float(number),
                Scalar::Bool | Scalar::Nested => return Err(wrong_type(input)),
            };
            if let Value::Text(text) = value
                && (present(text).is_none() || (!read.none.is_empty() && is_none(read, text)))
            {
                continue;
            }
            return Ok(Some((*unit, value)));
        }
        if read.required {
            let detail = format!("{}: expected a value, the format always has one", input.name());
            return Err(Fault::new(Code::MissingField, detail));
        }
        Ok(None)
    }

    #[inline]
    fn text<'r>(&'r self, input: Input, slots: &'r Slots<'_>) -> Result<Option<&'r str>, Fault> {
        match self.first(input, slots)? {
            None => Ok(self.reads[input as usize].as_ref().and_then(|read| read.value.as_deref())),
            Some((_, Value::Text(text))) => Ok(Some(text)),
            Some(_) => Err(wrong_type(input)),
        }
    }

    fn count(&self, input: Input, slots: &Slots<'_>) -> Result<Option<i64>, Fault> {
        match self.first(input, slots)? {
            None => Ok(None),
            Some((_, Value::Int(number))) if number >= 0 => Ok(Some(number)),
            Some((_, Value::Float(number))) if number >= 0.0 && number < 9e15 && number.fract() == 0.0 => {
                Ok(Some(number as i64))
            }
            Some((_, Value::Text(text))) => count(text).map_err(|()| match text.strip_prefix('-') {
                Some(rest) if count(rest).is_ok() => out_of_range(input),
                _ => wrong_type(input),
            }),
            Some(_) => Err(out_of_range(input)),
        }
    }

    fn status(&self, slots: &Slots<'_>) -> Result<Option<i32>, Fault> {
        match self.count(Input::Status, slots)? {
            None => Ok(None),
            Some(0) => Ok(Some(0)),
            Some(status @ 100..=999) => Ok(Some(status as i32)),
            Some(_) => Err(Fault::new(Code::OutOfRange, "status: expected 100 to 999, or 0 for none")),
        }
    }

    fn time(&self, input: Input, slots: &Slots<'_>) -> Result<Option<i64>, Fault> {
        let Some((Some(unit), value)) = self.first(input, slots)? else { return Ok(None) };
        let micros = match (value, nanos_per(unit)) {
            (Value::Text(text), None) if unit == Unit::Rfc3339 => time::rfc3339(text.as_bytes()),
            (Value::Text(text), None) => time::clf(text.trim_matches(['[', ']']).as_bytes()),
            (_, None) => return Err(wrong_type(input)),
            (value, Some(nanos)) => value.micros(nanos),
        };
        match micros {
            Some(micros) => Ok(Some(micros)),
            None => Err(Fault::new(Code::InvalidTime, format!("{}: expected a time as {}", input.name(), unit_name(unit)))),
        }
    }

    fn duration(&self, slots: &Slots<'_>) -> Result<Option<i64>, Fault> {
        let Some((Some(unit), value)) = self.first(Input::Latency, slots)? else { return Ok(None) };
        let micros = match (value, nanos_per(unit)) {
            (Value::Text(text), None) => text_duration(text),
            (_, None) => None,
            (value, Some(nanos)) => value.micros(nanos),
        };
        match micros {
            Some(micros @ 0..=LATENCY_US_MAX) => Ok(Some(micros)),
            Some(_) => Err(out_of_range(Input::Latency)),
            None => Err(Fault::new(Code::WrongType, format!("latency: expected a number of {}", unit_name(unit)))),
        }
    }
}

/// A year; longer is no request.
const LATENCY_US_MAX: i64 = 366 * 86_400 * 1_000_000;

fn is_none(read: &Read, text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| read.none.contains(&number))
}

#[derive(Clone, Copy)]
enum Value<'r> {
    Text(&'r str),
    Int(i64),
    Float(f64),
    Large,
}

impl Value<'_> {
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
            Value::Large => None,
        }
    }
}

fn nanos_per(unit: Unit) -> Option<i64> {
    match unit {
        Unit::EpochS | Unit::S => Some(1_000_000_000),
        Unit::EpochMs | Unit::Ms => Some(1_000_000),
        Unit::EpochUs | Unit::Us => Some(1_000),
        Unit::EpochNs | Unit::Ns => Some(1),
        Unit::Rfc3339 | Unit::Clf | Unit::Text => None,
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Rfc3339 => "RFC 3339 with a zone",
        Unit::Clf => "dd/Mon/yyyy:hh:mm:ss +zzzz",
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

/// `0.012s`, `12ms`, `250us`, `250µs`, `99ns`.
fn text_duration(text: &str) -> Option<i64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let nanos = match text[at..].trim() {
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1_000,
        "ns" => 1,
        _ => return None,
    };
    time::decimal(text[..at].as_bytes(), nanos)
}

#[cold]
fn wrong_type(input: Input) -> Fault {
    let expected = match input {
        Input::Status | Input::RequestBytes | Input::ResponseBytes | Input::Records | Input::Asn => "a whole number",
        Input::Latency => "a number",
        Input::Time | Input::StartTime => "a time",
        _ => "a text",
    };
    Fault::new(Code::WrongType, format!("{}: expected {expected}", input.name()))
}

#[cold]
fn out_of_range(input: Input) -> Fault {
    Fault::new(Code::OutOfRange, format!("{}: expected a whole number from 0 on", input.name()))
}
