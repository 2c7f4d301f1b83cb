//! A mapping made ready to run: its paths as a trie, each with a slot for its value; its columns as lists of slots with
//! the unit to read them in.
//!
//! Promises: a path is looked up in time that does not depend on how many there are.
//! Never: guesses a unit.

use super::json::Words;
use super::made::Made;
use super::mapping::{Column, Decode, ELEMENT, Holds, Input, Mapping, Nothing};
use super::slots::{SLOT_NONE, Scalar, Slots};
use super::text::Role;
use super::unit::Unit;
use crate::request::Request;

const HEADS: usize = 32;
/// The path whose value is that of `date` and of `time` with a blank between.
const DATE_TIME: &str = "date-time";

/// One key on a path of the mapping.
#[derive(Clone)]
pub(crate) struct Node {
    pub(super) slot: u16,
    /// Numbers are wanted as text.
    pub(super) is_text: bool,
    ignore_case: bool,
    /// What is to be below may be written as JSON in a text.
    pub(super) is_packed: bool,
    /// An array of objects with a name and a value each; the names are the children.
    pub(super) is_list: bool,
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
    /// Are its children headers?
    #[inline]
    pub(super) fn is_headers(&self) -> bool {
        self.ignore_case && !self.edges.is_empty()
    }

    fn new(start: u16) -> Node {
        Node {
            slot: SLOT_NONE,
            is_text: false,
            ignore_case: false,
            is_packed: false,
            is_list: false,
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

    pub(super) fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter()
    }

    #[inline]
    pub(super) fn has_children(&self) -> bool {
        !self.edges.is_empty()
    }
}

/// A column and where its values come from.
pub(super) struct Read {
    /// With the unit, where the column has one.
    pub(super) slots: Vec<Source>,
    pub(super) required: bool,
    pub(super) none: Vec<Nothing>,
    pub(super) value: Option<String>,
    pub(super) sum: bool,
    pub(super) dash: Option<i64>,
    /// Its paths are names of one thing.
    pub(super) alike: bool,
}

/// One path of a column.
pub(super) struct Source {
    pub(super) slot: u16,
    pub(super) unit: Option<Unit>,
    /// Counts only when there is a value here, too.
    pub(super) given: u16,
    /// What stands here is the nearest hop of the forwarding list.
    pub(super) nearest: bool,
}

/// A mapping, ready to run.
pub(crate) struct Plan {
    gateway: String,
    nodes: Vec<Node>,
    slots: u16,
    /// Places that a key can follow: each key, and the beginning of each object.
    places: u16,
    pub(super) reads: [Option<Read>; Input::COUNT],
    /// Slots of texts that the gateway wrote in another form.
    decode: Vec<(u16, Decode)>,
    /// Slots of date and time, and of both in one.
    date_time: Option<[u16; 3]>,
    /// What has no method, target, path, route and status is no request.
    http_only: bool,
    /// Where JSON is made of strings.
    pub(super) made: Option<Made>,
    /// Any of `reads` is alike.
    pub(super) has_alike: bool,
    /// Nobody vouches for the addresses of this source.
    pub(super) unproven: bool,
}

impl Plan {
    pub(super) fn new(mapping: &Mapping) -> Plan {
        let mut plan = Plan {
            gateway: mapping.gateway.clone(),
            nodes: vec![Node::new(0)],
            slots: 0,
            places: 1,
            reads: [const { None }; Input::COUNT],
            decode: Vec::new(),
            date_time: None,
            http_only: mapping.http_only,
            made: None,
            has_alike: mapping.columns.values().any(|column| column.alike),
            unproven: mapping.columns.get(&Input::ClientIp).is_some_and(|column| column.unproven),
        };
        for path in &mapping.headers {
            let node = plan.node(path);
            (plan.nodes[node].ignore_case, plan.nodes[node].is_open) = (true, true);
        }
        for path in &mapping.packed {
            let node = plan.node(path);
            plan.nodes[node].is_packed = true;
        }
        for path in &mapping.known {
            let node = plan.node(path);
            plan.nodes[node].is_open = true;
        }
        for (input, column) in &mapping.columns {
            plan.reads[*input as usize] = Some(plan.read(*input, column));
        }
        let both = plan.slot_named(DATE_TIME);
        if both != SLOT_NONE {
            let part = |plan: &mut Plan, name: &str| plan.slot(&[name.to_string()], true);
            plan.date_time = Some([part(&mut plan, "date"), part(&mut plan, "time"), both]);
        }
        plan.made = mapping.strings.then(|| Made::of(&plan));
        plan
    }

    fn read(&mut self, input: Input, column: &Column) -> Read {
        let is_text = matches!(input.holds(), Holds::Text | Holds::Secret);
        let slots: Vec<u16> = column.paths.iter().map(|path| self.slot(path, is_text)).collect();
        self.decode.extend(slots.iter().flat_map(|slot| column.decode.map(|decode| (*slot, decode))));
        let given = |path: &Option<Vec<String>>| path.as_ref().map_or(SLOT_NONE, |path| self.slot(path, is_text));
        let given: Vec<u16> = column.given.iter().map(given).collect();
        let source = |(i, slot)| Source {
            slot,
            unit: column.units.get(i).copied(),
            given: given.get(i).copied().unwrap_or(SLOT_NONE),
            nearest: column.nearest.contains(&column.paths[i]),
        };
        Read {
            slots: slots.into_iter().enumerate().map(source).collect(),
            required: column.required,
            none: column.none.clone(),
            value: column.value.clone(),
            sum: column.sum,
            // A status of `-` says that there was no answer.
            dash: column.dash.or((input == Input::Status).then_some(0)),
            alike: column.alike,
        }
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
            let key = match key.strip_prefix(ELEMENT) {
                Some(name) => {
                    self.nodes[at].is_list = true;
                    name
                }
                None => key,
            };
            let wanted = if self.nodes[at].ignore_case { key.to_ascii_lowercase() } else { key.to_string() };
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

    /// The slot of a value that is not inside an object: a field of a text line.
    pub(super) fn slot_named(&self, name: &str) -> u16 {
        self.child_named(self.root(), name).map_or(SLOT_NONE, |node| node.slot)
    }

    /// Undoes the escapes that the gateway put into texts.
    #[inline]
    pub(super) fn decode(&self, slots: &mut Slots<'_>) {
        self.decode.iter().for_each(|(slot, decode)| slots.decode(*slot, *decode == Decode::Plus));
        if let Some([date, time, both]) = self.date_time {
            slots.put_joined(both, date, time);
        }
    }

    /// What a field of this name has to do with who and when; `ends` says that the end of the request is logged too, and
    /// its start is only what the latency may be made of.
    pub(super) fn role_of(&self, name: &str, ends: bool) -> Role {
        let when = if ends { Input::Time } else { Input::StartTime };
        match () {
            () if self.feeds(name, &[Input::ClientIp]) => Role::Client,
            () if self.feeds(name, &[when]) => Role::Time,
            () if self.feeds(name, &[Input::Status]) => Role::Status,
            () if self.feeds(name, &[Input::ForwardedFor, Input::Forwarded, Input::RealIp]) => Role::Forwarded,
            () => Role::Other,
        }
    }

    /// Says when the response was complete.
    pub(super) fn is_end(&self, name: &str) -> bool {
        self.feeds(name, &[Input::Time])
    }

    fn feeds(&self, name: &str, inputs: &[Input]) -> bool {
        self.reads_slot(self.slot_named(name), inputs)
    }

    /// Is it none, where records of other things may be among requests?
    pub(super) fn is_no_request(&self, request: &Request<'_>) -> bool {
        let is_silent = request.status.is_none() && request.route.is_none() && request.path.is_none();
        self.http_only && is_silent && !request.tells_what()
    }

    /// Is there a value of this column?
    pub(super) fn has_value(&self, input: Input, slots: &Slots<'_>) -> bool {
        let mut sources = self.reads[input as usize].iter().flat_map(|read| &read.slots);
        sources.any(|source| !matches!(slots.get(source.slot), Scalar::Absent))
    }

    /// Has a column whose names mean one thing, and which is read from this slot too, any value?
    pub(super) fn has_value_beside(&self, slot: u16, slots: &Slots<'_>) -> bool {
        let is_there = |source: &Source| !matches!(slots.get(source.slot), Scalar::Absent);
        let of_slot = |read: &&Read| read.slots.iter().any(|source| source.slot == slot);
        self.reads.iter().flatten().filter(of_slot).any(|read| read.alike && read.slots.iter().any(is_there))
    }

    /// May there be one as RFC 7239 has it?
    pub(super) fn reads_elements(&self) -> bool {
        self.reads[Input::Forwarded as usize].is_some()
    }

    /// May there be a forwarding list?
    pub(super) fn reads_list(&self) -> bool {
        [Input::ForwardedFor, Input::Forwarded].iter().any(|input| self.reads[*input as usize].is_some())
    }

    /// Is there a time, in one value or in two that are not joined yet?
    pub(super) fn tells_time(&self, slots: &Slots<'_>) -> bool {
        let is_there = |slot: u16| !matches!(slots.get(slot), Scalar::Absent);
        let both = self.date_time.is_some_and(|[date, time, _]| is_there(date) && is_there(time));
        both || self.has_value(Input::Time, slots) || self.has_value(Input::StartTime, slots)
    }

    /// Is this slot read for one of these columns?
    pub(super) fn reads_slot(&self, slot: u16, inputs: &[Input]) -> bool {
        let reads = inputs.iter().filter_map(|input| self.reads[*input as usize].as_ref());
        slot != SLOT_NONE && reads.flat_map(|read| &read.slots).any(|source| source.slot == slot)
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
}
