//! A mapping made ready to run: its paths as a trie, each with a slot for its value; its columns as lists of slots with
//! the unit to read them in.
//!
//! Promises: a value that does not fit its column is a fault with the column's name; `-`, empty and `none` are absent.
//! Never: guesses a unit.

use super::key::Words;
use super::mapping::{Column, Holds, Input, Mapping, Unit};
use super::walk::{Scalar, Slots};
use crate::reject::Code;
use crate::request::{Fault, Request};
use crate::sources::{COUNT_MAX, LATENCY_US_MAX, NoCount, count, present};
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
    heads: [u16; HEADS],
    edges: Vec<Edge>,
    /// The beginning of an object here, as a place that keys follow.
    pub(super) start: u16,
}

#[derive(Clone)]
pub(super) struct Edge {
    words: Words,
    key: Box<str>,
    /// The key as records nearly always have it: `"key":`. Empty for one that is written with escapes.
    pub(super) literal: Box<[u8]>,
    pub(super) node: u16,
    /// The next edge of the same hash, plus one.
    next: u16,
    /// This key, as a place that other keys follow.
    pub(super) place: u16,
}

impl Edge {
    /// Is this the edge of `raw`, given that the words are equal?
    #[inline]
    fn is(&self, raw: &[u8], ignore_case: bool) -> bool {
        if ignore_case {
            return self.key.as_bytes().eq_ignore_ascii_case(raw);
        }
        raw.len() <= 16 || self.key.as_bytes() == raw
    }
}

impl Node {
    fn new(start: u16) -> Node {
        Node {
            slot: SLOT_NONE,
            is_text: false,
            ignore_case: false,
            is_open: false,
            heads: [0; HEADS],
            edges: Vec::new(),
            start,
        }
    }

    /// The edge of this number, if there are so many.
    #[inline]
    pub(super) fn edge(&self, number: u16) -> Option<&Edge> {
        self.edges.get(usize::from(number))
    }

    #[inline]
    pub(super) fn has_children(&self) -> bool {
        !self.edges.is_empty()
    }
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
    /// Places that a key can follow: each key, and the beginning of each object.
    places: u16,
    reads: [Option<Read>; Input::COUNT],
}

impl Plan {
    pub(super) fn new(mapping: &Mapping) -> Plan {
        let mut plan = Plan {
            gateway: mapping.gateway.clone(),
            batch: mapping.batch,
            nodes: vec![Node::new(0)],
            slots: 0,
            places: 1,
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
        self.nodes.push(Node::new(self.places));
        let place = self.places + 1;
        self.places += 2;
        let is_plain = !key.contains(|c: char| c == '"' || c == '\\' || c.is_control());
        let literal = if is_plain { format!("\"{key}\":").into_bytes().into() } else { Box::default() };
        let node = &mut self.nodes[at];
        let words = Words::of(key.as_bytes());
        let words = if node.ignore_case { words.lower() } else { words };
        let next = node.heads[words.hash()];
        node.edges.push(Edge { words, key: key.into(), literal, node: child as u16, next, place });
        node.heads[words.hash()] = node.edges.len() as u16;
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

    pub(super) fn places(&self) -> usize {
        usize::from(self.places)
    }

    #[inline]
    pub(super) fn node_of(&self, edge: &Edge) -> &Node {
        &self.nodes[usize::from(edge.node)]
    }

    /// The number of the edge of `node` under the key `raw`, of which `words` are the numbers.
    #[inline]
    pub(super) fn find(&self, node: &Node, words: Words, raw: &[u8]) -> Option<u16> {
        let words = if node.ignore_case { words.lower() } else { words };
        let mut at = node.heads[words.hash()];
        while at != 0 {
            let edge = &node.edges[usize::from(at) - 1];
            if edge.words == words && edge.is(raw, node.ignore_case) {
                return Some(at - 1);
            }
            at = edge.next;
        }
        None
    }

    pub(super) fn find_named(&self, node: &Node, key: &str) -> Option<u16> {
        self.find(node, Words::of(key.as_bytes()), key.as_bytes())
    }

    pub(super) fn child_named(&self, node: &Node, key: &str) -> Option<&Node> {
        node.edge(self.find_named(node, key)?).map(|edge| self.node_of(edge))
    }

    /// Does the mapping claim to know all keys below this node?
    pub(super) fn has_named_children(&self, node: &Node) -> bool {
        !node.is_open && !node.edges.is_empty()
    }

    /// The request that the values of a record make.
    pub(super) fn request<'r>(&'r self, slots: &'r Slots<'_>) -> Result<Request<'r>, Fault> {
        let mut get = Get { plan: self, slots, fault: None };
        let request = Request {
            time_us: get.time(Input::Time),
            start_us: get.time(Input::StartTime),
            latency_us: get.duration(),
            method: get.text(Input::Method),
            target: get.text(Input::Target),
            path: get.text(Input::Path),
            query: get.text(Input::Query),
            request_line: get.text(Input::RequestLine),
            host: get.text(Input::Host),
            route: get.text(Input::Route),
            status: get.status(),
            request_bytes: get.count(Input::RequestBytes),
            response_bytes: get.count(Input::ResponseBytes),
            peer: get.text(Input::ClientIp),
            forwarded: get.text(Input::ForwardedFor),
            user_agent: get.text(Input::UserAgent),
            referrer: get.text(Input::Referrer),
            principal: get.text(Input::Principal),
            principal_kind: get.text(Input::PrincipalKind),
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
            asn: get.count(Input::Asn),
            records: get.count(Input::Records),
        };
        match get.fault {
            None => Ok(request),
            Some(fault) => Err(fault),
        }
    }
}

/// Reads columns from the slots of a record; keeps the first fault.
struct Get<'r, 's> {
    plan: &'r Plan,
    slots: &'r Slots<'s>,
    fault: Option<Fault>,
}

impl<'r> Get<'r, '_> {
    #[cold]
    fn fail<T>(&mut self, fault: Fault) -> Option<T> {
        self.fault.get_or_insert(fault);
        None
    }

    /// The first value among the paths of a column that says something.
    #[inline]
    fn first(&mut self, input: Input) -> Option<(Option<Unit>, Value<'r>)> {
        let read = self.plan.reads[input as usize].as_ref()?;
        for (slot, unit) in &read.slots {
            let value = match self.slots.get(*slot) {
                Scalar::Absent => continue,
                Scalar::Text(text) => Value::Text(text),
                Scalar::Copied(from, to) => Value::Text(self.slots.copied(from, to)),
                Scalar::Int(number) if read.none.contains(&number) => continue,
                Scalar::Int(number) => Value::Int(number),
                Scalar::Float(number) => Value::Float(number),
                Scalar::Bool | Scalar::Nested => return self.fail(wrong_type(input)),
            };
            if let Value::Text(text) = value
                && (present(text).is_none() || (!read.none.is_empty() && is_none(read, text)))
            {
                continue;
            }
            return Some((*unit, value));
        }
        if read.required { self.fail(missing(input)) } else { None }
    }

    /// As `first`, for texts, which most columns are.
    #[inline]
    fn text(&mut self, input: Input) -> Option<&'r str> {
        let read = self.plan.reads[input as usize].as_ref()?;
        for (slot, _) in &read.slots {
            let text = match self.slots.get(*slot) {
                Scalar::Absent => continue,
                Scalar::Text(text) => text,
                Scalar::Copied(from, to) => self.slots.copied(from, to),
                // The slot is shared with a column of numbers.
                Scalar::Int(_) | Scalar::Float(_) | Scalar::Bool | Scalar::Nested => {
                    return self.fail(wrong_type(input));
                }
            };
            if present(text).is_some() {
                return Some(text);
            }
        }
        if read.required { self.fail(missing(input)) } else { read.value.as_deref() }
    }

    fn count(&mut self, input: Input) -> Option<i64> {
        match self.first(input)?.1 {
            Value::Int(number @ 0..=COUNT_MAX) => Some(number),
            Value::Float(number) if (0.0..COUNT_MAX as f64).contains(&number) && number.fract() == 0.0 => {
                Some(number as i64)
            }
            Value::Int(_) | Value::Float(_) => self.fail(out_of_range(input)),
            Value::Text(text) => match count(text) {
                Ok(number) => number,
                Err(NoCount::OutOfRange) => self.fail(out_of_range(input)),
                Err(NoCount::NoNumber) => self.fail(wrong_type(input)),
            },
        }
    }

    fn status(&mut self) -> Option<i32> {
        match self.count(Input::Status)? {
            status @ (0 | 100..=999) => Some(status as i32),
            _ => self.fail(Fault::new(Code::OutOfRange, "status: expected 100 to 999, or 0 for none")),
        }
    }

    fn time(&mut self, input: Input) -> Option<i64> {
        let (Some(unit), value) = self.first(input)? else { return None };
        let micros = match (value, nanos_per(unit)) {
            (Value::Text(text), None) if unit == Unit::Rfc3339 => time::rfc3339(text.as_bytes()),
            (Value::Text(text), None) => time::clf(text.trim_matches(['[', ']']).as_bytes()),
            (_, None) => return self.fail(wrong_type(input)),
            (value, Some(nanos)) => value.micros(nanos),
        };
        match micros {
            None => {
                let detail = format!("{}: expected a time as {}", input.name(), unit_name(unit));
                self.fail(Fault::new(Code::InvalidTime, detail))
            }
            micros => micros,
        }
    }

    fn duration(&mut self) -> Option<i64> {
        let (Some(unit), value) = self.first(Input::Latency)? else { return None };
        let micros = match (value, nanos_per(unit)) {
            (Value::Text(text), None) => text_duration(text),
            (_, None) => None,
            (value, Some(nanos)) => value.micros(nanos),
        };
        match micros {
            Some(micros @ 0..=LATENCY_US_MAX) => Some(micros),
            Some(_) => self.fail(out_of_range(Input::Latency)),
            None => {
                let detail = format!("latency: expected a number of {}", unit_name(unit));
                self.fail(Fault::new(Code::WrongType, detail))
            }
        }
    }
}

fn is_none(read: &Read, text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|number| read.none.contains(&number))
}

#[derive(Clone, Copy)]
enum Value<'r> {
    Text(&'r str),
    Int(i64),
    Float(f64),
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
    time::decimal(&text.as_bytes()[..at], nanos)
}

#[cold]
fn missing(input: Input) -> Fault {
    Fault::new(Code::MissingField, format!("{}: expected a value, the format always has one", input.name()))
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
    let expected = if input == Input::Latency { "a number from 0 to 30 days" } else { "a whole number from 0 to 2^40" };
    Fault::new(Code::OutOfRange, format!("{}: expected {expected}", input.name()))
}
