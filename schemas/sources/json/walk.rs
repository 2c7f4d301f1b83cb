//! One walk over a record: keys are looked up in the plan's trie as they come, values that a column wants are put in
//! their slot, everything else is stepped over unseen.
//!
//! Records of one gateway have their keys in the same order nearly always. So for each key it is remembered which two came
//! after it last, and those are compared with the text before anything is scanned or looked up.
//!
//! Promises: texts are borrowed from the record; only those with escapes are copied, into one buffer that is reused.
//! Never: recurses deeper than the mapping's paths; what is stepped over is so without recursion.

use super::salvage;
use super::scan::{Bad, DEPTH_MAX, Scan};
use super::unescape::{unescape, unescape_lenient};
use crate::reject::Code;
use crate::request::Fault;
use crate::sources::mapping::Input;
use crate::sources::plan::{Edge, Node, Plan};
use crate::sources::present;
use crate::sources::slots::{SLOT_NONE, Scalar, Slots};

/// Walks records; remembers their usual order of keys.
pub(crate) struct Walk {
    /// By place, the numbers of the edges that followed it last.
    followed_by: Vec<[u16; 2]>,
}

/// What a record had to be forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgiven {
    Nothing,
    /// It ends early.
    Cut,
    /// Quotes that nobody escaped: what a client wrote may stand where the gateway's keys do.
    Quotes,
}

/// No edge has this number.
const NONE: u16 = u16::MAX;

impl Walk {
    pub(crate) fn new(plan: &Plan) -> Walk {
        Walk { followed_by: vec![[NONE; 2]; plan.places()] }
    }

    /// Walks `text`, which must be one JSON object. What is not JSON is walked again, leniently; of what is none even so, the
    /// keys are looked for, and it is read where they tell who it was and what was asked.
    pub(crate) fn fill<'b>(&mut self, plan: &Plan, text: &'b str, slots: &mut Slots<'b>) -> Result<Forgiven, Fault> {
        let mut scan = Scan::new(text);
        let fault = match self.walk(plan, &mut scan, slots) {
            Ok(()) => return Ok(Forgiven::Nothing),
            Err((Bad::Syntax, fault)) if text.starts_with('{') => fault,
            Err((_, fault)) => return Err(fault),
        };
        let mut scan = Scan::lenient(text);
        match self.walk(plan, &mut scan, slots) {
            Ok(()) if !scan.has_ended_within() => return Ok(Forgiven::Nothing),
            Ok(()) => return Ok(Forgiven::Cut),
            Err((Bad::Deep, _)) => return Err(fault),
            Err((Bad::Syntax, _)) => {}
        }
        let there = |input: &Input, slots: &Slots<'b>| plan.has_value(*input, slots);
        let what = [Input::Target, Input::Path, Input::RequestLine, Input::Status];
        let tells = salvage::fill(plan, text, slots)
            && there(&Input::ClientIp, slots)
            && what.iter().any(|input| there(input, slots));
        if tells { Ok(Forgiven::Quotes) } else { Err(fault) }
    }

    fn walk<'b>(&mut self, plan: &Plan, scan: &mut Scan<'b>, slots: &mut Slots<'b>) -> Result<(), (Bad, Fault)> {
        slots.clear();
        let is_object = scan.peek() == b'{';
        let walked = if is_object { self.object(plan, plan.root(), scan, slots, 1) } else { scan.skip(0) };
        walked.and_then(|()| scan.end()).map_err(|bad| (bad, scan.fault(bad)))?;
        let not_an_object = || (Bad::Deep, Fault::new(Code::NotAnObject, "expected a JSON object"));
        if is_object { Ok(()) } else { Err(not_an_object()) }
    }

    /// The object that is next, whose keys are the children of `node`; it is at nesting `depth`.
    fn object<'b>(
        &mut self,
        plan: &Plan,
        node: &Node,
        scan: &mut Scan<'b>,
        slots: &mut Slots<'b>,
        depth: u32,
    ) -> Result<(), Bad> {
        scan.step();
        if scan.peek() == b'}' {
            scan.step();
            return Ok(());
        }
        let mut place = node.start;
        loop {
            let before = scan.place();
            let edge = match self.edge(plan, node, place, scan) {
                Err(_) if scan.is_cut() => return scan.end_within(),
                edge => edge?,
            };
            match edge {
                Some(edge) => {
                    place = edge.place;
                    self.value(plan, plan.node_of(edge), scan, slots, depth)?;
                }
                None => {
                    let is_nested = depth > 1 || matches!(scan.peek(), b'{' | b'[');
                    scan.skip(depth)?;
                    if is_nested {
                        hidden(plan, scan, before, slots);
                    }
                }
            }
            match scan.peek() {
                b',' => scan.step(),
                b'}' => {
                    scan.step();
                    return Ok(());
                }
                0 if scan.is_cut() => return scan.end_within(),
                _ => return Err(Bad::Syntax),
            }
            match scan.peek() {
                // A comma before the end, or the end of what was cut.
                b'}' if scan.is_lenient() => {
                    scan.step();
                    return Ok(());
                }
                0 if scan.is_cut() => return scan.end_within(),
                _ => {}
            }
        }
    }

    /// Steps over the key that is next; its edge, when the mapping knows it.
    #[inline]
    fn edge<'p>(
        &mut self,
        plan: &Plan,
        node: &'p Node,
        place: u16,
        scan: &mut Scan<'_>,
    ) -> Result<Option<&'p Edge>, Bad> {
        scan.peek();
        let [likely, less] = self.followed_by[usize::from(place)];
        for number in [likely, less] {
            if let Some(edge) = node.edge(number)
                && scan.eat(&edge.literal)
            {
                return Ok(Some(edge));
            }
        }
        let key = scan.key()?;
        let number =
            if key.has_escapes { plan.find_named(node, &key.text()) } else { plan.find(node, key.words(), key.raw()) };
        let Some(number) = number else { return Ok(None) };
        if number != likely {
            self.followed_by[usize::from(place)] = [number, likely];
        }
        Ok(node.edge(number))
    }

    /// The value that is next, wanted by `node`. Of a key that is there twice the last value counts, or what
    /// `Plan::settle` makes of them.
    #[inline]
    fn value<'b>(
        &mut self,
        plan: &Plan,
        node: &Node,
        scan: &mut Scan<'b>,
        slots: &mut Slots<'b>,
        depth: u32,
    ) -> Result<(), Bad> {
        let value = match scan.peek() {
            b'{' => {
                slots.fill(node.slot, Scalar::Nested);
                // An object where an array of names and values may stand: its keys are the names.
                if node.has_children() {
                    return self.object(plan, node, scan, slots, depth + 1);
                }
                let start = scan.place();
                scan.skip(depth)?;
                hidden(plan, scan, start, slots);
                return Ok(());
            }
            b'[' if node.is_list => return self.list(plan, node, scan, slots, depth + 1),
            b'[' if node.slot == SLOT_NONE => {
                let start = scan.place();
                scan.skip(depth)?;
                // Nothing at all is `[]` to many a program.
                if node.has_children() && scan.place() - start > "[ ]".len() {
                    spoil(plan, node, slots);
                }
                hidden(plan, scan, start, slots);
                return Ok(());
            }
            b'[' => {
                let start = scan.place();
                array(node, scan, slots, depth)?;
                hidden(plan, scan, start, slots);
                return Ok(());
            }
            b'"' if node.is_headers() => return headers(plan, node, scan, slots),
            b'"' if node.is_packed => return packed(plan, node, scan, slots),
            first => scalar(node, scan, slots, first)?,
        };
        if node.slot == SLOT_NONE && node.has_children() && says_something(value, slots) {
            spoil(plan, node, slots);
        }
        slots.fill(node.slot, value);
        Ok(())
    }

    /// An array of objects that have a name and a value each: the value goes where the name points.
    fn list<'b>(
        &mut self,
        plan: &Plan,
        node: &Node,
        scan: &mut Scan<'b>,
        slots: &mut Slots<'b>,
        depth: u32,
    ) -> Result<(), Bad> {
        if depth + 2 >= DEPTH_MAX {
            return Err(Bad::Deep);
        }
        scan.step();
        while !matches!(scan.peek(), b']' | 0) {
            let start = scan.place();
            if scan.peek() == b'{' {
                self.element(plan, node, scan, slots, depth + 1)?;
            } else {
                scan.skip(depth)?;
            }
            if scan.peek() == b',' {
                scan.step();
            }
            // A value without quotes may be nothing, and what stands here belongs to no array.
            if scan.place() == start {
                return Err(Bad::Syntax);
            }
        }
        if scan.is_cut() { Ok(()) } else { scan.expect(b']') }
    }

    /// One of them: `{"key": "http.route", "value": {"stringValue": "/x"}}`, in any order.
    fn element<'b>(
        &mut self,
        plan: &Plan,
        node: &Node,
        scan: &mut Scan<'b>,
        slots: &mut Slots<'b>,
        depth: u32,
    ) -> Result<(), Bad> {
        scan.step();
        let (mut child, mut place) = (None, None);
        while scan.peek() == b'"' {
            let key = scan.key()?;
            match key.raw() {
                b"key" | b"name" | b"Name" | b"Key" if scan.peek() == b'"' => {
                    let name = scan.string()?;
                    let mut text = String::new();
                    unescape_lenient(name.raw, &mut text);
                    child = plan.child_named(node, &text);
                }
                b"value" | b"Value" => {
                    scan.peek();
                    place = Some(scan.place());
                    scan.skip(depth)?;
                }
                _ => scan.skip(depth)?,
            }
            if scan.peek() == b',' {
                scan.step();
            }
        }
        if !scan.is_cut() {
            scan.expect(b'}')?;
        }
        let (Some(child), Some(place)) = (child, place) else { return Ok(()) };
        let end = scan.place();
        scan.go(place);
        into_any_value(scan)?;
        self.value(plan, child, scan, slots, depth)?;
        scan.go(end);
        Ok(())
    }
}

/// What was stepped over may hold what a client put an object around.
#[inline]
fn hidden<'b>(plan: &Plan, scan: &Scan<'b>, from: usize, slots: &mut Slots<'b>) {
    if let Some(made) = &plan.made {
        made.fill_hidden(scan.between(from), slots);
    }
}

fn says_something(value: Scalar<'_>, slots: &Slots<'_>) -> bool {
    match value {
        Scalar::Absent => false,
        Scalar::Text(_) | Scalar::Copied(..) => present(slots.read(value)).is_some(),
        _ => true,
    }
}

/// Something else stands where an object should: what was to be in it cannot be.
#[cold]
fn spoil(plan: &Plan, node: &Node, slots: &mut Slots<'_>) {
    for edge in node.edges() {
        let child = plan.node_of(edge);
        if child.slot != SLOT_NONE && matches!(slots.get(child.slot), Scalar::Absent) {
            slots.put(child.slot, Scalar::Nested);
        }
        spoil(plan, child, slots);
    }
}

/// Into an OpenTelemetry `AnyValue`, `{"intValue": "5"}`: to the value inside, of `arrayValue` to its array; other values
/// stay where they are.
fn into_any_value(scan: &mut Scan<'_>) -> Result<(), Bad> {
    let place = scan.place();
    let mut is_value = false;
    if scan.peek() == b'{' {
        scan.step();
        if scan.peek() == b'"' {
            is_value = match scan.key()?.raw() {
                b"stringValue" | b"intValue" | b"doubleValue" | b"boolValue" | b"string_value" | b"int_value" => true,
                b"arrayValue" | b"array_value" if scan.peek() == b'{' => {
                    scan.step();
                    scan.peek() == b'"' && scan.key()?.raw() == b"values"
                }
                _ => false,
            };
        }
    }
    if is_value {
        scan.peek();
    } else {
        scan.go(place);
    }
    Ok(())
}

/// An object as an element of an array of scalars: the value inside of an `AnyValue`.
fn any_element<'b>(node: &Node, scan: &mut Scan<'b>, slots: &mut Slots<'b>, depth: u32) -> Result<Scalar<'b>, Bad> {
    let place = scan.place();
    scan.skip(depth)?;
    let end = scan.place();
    scan.go(place);
    into_any_value(scan)?;
    let value = match scan.peek() {
        b'{' | b'[' => Scalar::Nested,
        first => scalar(node, scan, slots, first)?,
    };
    scan.go(end);
    Ok(value)
}

/// A text where headers belong: they may be written as JSON in it. Anything else in it says nothing.
#[cold]
fn headers<'b>(plan: &Plan, node: &Node, scan: &mut Scan<'b>, slots: &mut Slots<'b>) -> Result<(), Bad> {
    let value = scalar(node, scan, slots, b'"')?;
    let parsed = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(slots.read(value));
    for (name, value) in parsed.unwrap_or_default() {
        let Some(child) = plan.child_named(node, &name) else { continue };
        let write = |out: &mut String, value: &serde_json::Value| match value {
            serde_json::Value::String(text) => out.push_str(text),
            serde_json::Value::Number(number) => out.push_str(&number.to_string()),
            _ => {}
        };
        let text = slots.copy(|out| match &value {
            serde_json::Value::Array(all) => all.iter().enumerate().for_each(|(i, one)| {
                out.push_str(if i == 0 { "" } else { "," });
                write(out, one);
            }),
            one => write(out, one),
        });
        slots.fill(child.slot, text);
    }
    slots.fill(node.slot, value);
    Ok(())
}

/// A text where an object belongs, which is written as JSON in it.
#[cold]
fn packed<'b>(plan: &Plan, node: &Node, scan: &mut Scan<'b>, slots: &mut Slots<'b>) -> Result<(), Bad> {
    let value = scalar(node, scan, slots, b'"')?;
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(slots.read(value)) {
        Ok(object) => fill_object(plan, node, &object, slots),
        Err(_) if says_something(value, slots) => spoil(plan, node, slots),
        Err(_) => {}
    }
    Ok(())
}

/// Recurses along the mapping's paths only.
fn fill_object(plan: &Plan, node: &Node, object: &serde_json::Map<String, serde_json::Value>, slots: &mut Slots<'_>) {
    for (name, value) in object {
        let Some(child) = plan.child_named(node, name) else { continue };
        let scalar = match value {
            serde_json::Value::Object(object) => {
                fill_object(plan, child, object, slots);
                Scalar::Nested
            }
            serde_json::Value::String(text) => slots.copy(|out| out.push_str(text)),
            serde_json::Value::Number(number) if child.is_text => slots.copy(|out| out.push_str(&number.to_string())),
            serde_json::Value::Number(number) => {
                let float = || Scalar::Float(number.as_f64().unwrap_or(f64::NAN));
                number.as_i64().map_or_else(float, Scalar::Int)
            }
            serde_json::Value::Array(all) => slots.copy(|out| {
                let texts: Vec<&str> = all.iter().filter_map(serde_json::Value::as_str).collect();
                out.push_str(&texts.join(", "));
            }),
            serde_json::Value::Bool(_) => Scalar::Bool,
            serde_json::Value::Null => Scalar::Absent,
        };
        slots.fill(child.slot, scalar);
    }
}

/// A value that is no object and no array; its first byte is `first`.
#[inline]
fn scalar<'b>(node: &Node, scan: &mut Scan<'b>, slots: &mut Slots<'b>, first: u8) -> Result<Scalar<'b>, Bad> {
    match first {
        b'"' => {
            let text = scan.string()?;
            Ok(match (text.has_escapes, scan.is_lenient()) {
                (false, _) => Scalar::Text(text.raw),
                (true, false) => slots.copy(|out| unescape(text.raw, out)),
                (true, true) => slots.copy(|out| unescape_lenient(text.raw, out)),
            })
        }
        _ if scan.is_lenient() => Ok(bare(scan.bare())),
        b't' => scan.literal("true").map(|()| Scalar::Bool),
        b'f' => scan.literal("false").map(|()| Scalar::Bool),
        b'n' => scan.literal("null").map(|()| Scalar::Absent),
        b'-' | b'0'..=b'9' => {
            let number = scan.number()?;
            Ok(match number.whole {
                _ if node.is_text => Scalar::Text(number.raw),
                Some(whole) => Scalar::Int(whole),
                // Digits and signs as `number` lets through always parse.
                None => Scalar::Float(number.raw.parse().unwrap_or(f64::NAN)),
            })
        }
        _ => Err(Bad::Syntax),
    }
}

/// What a value without quotes says.
pub(super) fn bare(text: &str) -> Scalar<'_> {
    match text {
        "" | "null" => Scalar::Absent,
        "true" | "false" => Scalar::Bool,
        _ => Scalar::Text(text),
    }
}

/// An array of scalars counts as its elements joined with a comma: two headers of one name are one.
fn array<'b>(node: &Node, scan: &mut Scan<'b>, slots: &mut Slots<'b>, depth: u32) -> Result<(), Bad> {
    if depth >= DEPTH_MAX {
        return Err(Bad::Deep);
    }
    scan.step();
    let mut joined = Scalar::Absent;
    if scan.peek() == b']' {
        scan.step();
        // No header, but no number either.
        slots.fill(node.slot, if node.is_text { joined } else { Scalar::Nested });
        return Ok(());
    }
    loop {
        let value = match scan.peek() {
            b'{' => any_element(node, scan, slots, depth + 1)?,
            b'[' => scan.skip(depth + 1).map(|()| Scalar::Nested)?,
            first => scalar(node, scan, slots, first)?,
        };
        joined = slots.join(joined, value);
        match scan.peek() {
            b',' => scan.step(),
            0 if scan.is_cut() => return Ok(()),
            b']' => {
                scan.step();
                slots.fill(node.slot, joined);
                return Ok(());
            }
            _ => return Err(Bad::Syntax),
        }
    }
}

/// Calls `found` with the path of each key of the object `text` that the plan does not know, and of each one that a column
/// is read from, with the first byte of its value. What is not JSON was a reject already, and has none.
pub(crate) fn keys(plan: &Plan, text: &str, found: &mut dyn FnMut(&str, Option<u8>)) {
    let mut scan = Scan::new(text);
    if scan.peek() == b'{' {
        let _ = keys_in(plan, plan.root(), &mut scan, &mut String::new(), found, 1);
    }
}

/// Recurses along the mapping's paths only, as the walk does.
fn keys_in(
    plan: &Plan,
    node: &Node,
    scan: &mut Scan<'_>,
    path: &mut String,
    found: &mut dyn FnMut(&str, Option<u8>),
    depth: u32,
) -> Result<(), Bad> {
    let length = path.len();
    scan.expect(b'{')?;
    while scan.peek() == b'"' {
        let key = scan.key()?.text();
        path.truncate(length);
        if length > 0 {
            path.push('.');
        }
        path.push_str(&key);
        let child = plan.child_named(node, &key);
        match child {
            None => found(path, None),
            Some(child) if child.slot != SLOT_NONE => found(path, Some(scan.peek())),
            Some(_) => {}
        }
        match child {
            Some(child) if plan.has_named_children(child) && scan.peek() == b'{' => {
                keys_in(plan, child, scan, path, found, depth + 1)?;
            }
            _ => scan.skip(depth)?,
        }
        if scan.peek() == b',' {
            scan.step();
        }
    }
    path.truncate(length);
    scan.expect(b'}')
}
