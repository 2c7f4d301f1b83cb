//! One walk over a record: keys are looked up in the plan's trie as they come, values that a column wants are put in
//! their slot, everything else is stepped over unseen.
//!
//! Records of one gateway have their keys in the same order nearly always. So for each key it is remembered which two came
//! after it last, and those are compared with the text before anything is scanned or looked up.
//!
//! Promises: texts are borrowed from the record; only those with escapes are copied, into one buffer that is reused.
//! Never: recurses deeper than the mapping's paths; what is stepped over is so without recursion.

use super::plan::{Edge, Node, Plan, SLOT_NONE};
use super::scan::{Bad, DEPTH_MAX, Scan, unescape};
use crate::limits::SEARCH_BYTES_MAX;
use crate::reject::Code;
use crate::request::Fault;

/// A value of a record.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'b> {
    Absent,
    Text(&'b str),
    /// A text with escapes, in the scratch buffer from..to.
    Copied(u32, u32),
    Int(i64),
    Float(f64),
    Bool,
    /// An object, or an array of something else than texts and numbers.
    Nested,
}

/// The values of one record, by slot of the plan.
pub(crate) struct Slots<'b> {
    values: Vec<Scalar<'b>>,
    scratch: String,
    /// By place, the numbers of the edges that followed it last.
    followed_by: Vec<[u16; 2]>,
}

/// No edge has this number.
const NONE: u16 = u16::MAX;

impl<'b> Slots<'b> {
    pub(crate) fn new(plan: &Plan) -> Slots<'b> {
        Slots {
            values: vec![Scalar::Absent; plan.slots()],
            scratch: String::new(),
            followed_by: vec![[NONE; 2]; plan.places()],
        }
    }

    /// Walks `text`, which must be one JSON object.
    pub(crate) fn fill(&mut self, plan: &Plan, text: &'b str) -> Result<(), Fault> {
        self.values.fill(Scalar::Absent);
        self.scratch.clear();
        let mut scan = Scan::new(text);
        let is_object = scan.peek() == b'{';
        let walked = if is_object { self.object(plan, plan.root(), &mut scan, 1) } else { scan.skip(0) };
        walked.and_then(|()| scan.end()).map_err(|bad| scan.fault(bad))?;
        if is_object { Ok(()) } else { Err(Fault::new(Code::NotAnObject, "expected a JSON object")) }
    }

    #[inline]
    pub(crate) fn get(&self, slot: u16) -> Scalar<'b> {
        self.values[usize::from(slot)]
    }

    pub(crate) fn copied(&self, from: u32, to: u32) -> &str {
        &self.scratch[from as usize..to as usize]
    }

    /// The object that is next, whose keys are the children of `node`; it is at nesting `depth`.
    fn object(&mut self, plan: &Plan, node: &Node, scan: &mut Scan<'b>, depth: u32) -> Result<(), Bad> {
        scan.step();
        if scan.peek() == b'}' {
            scan.step();
            return Ok(());
        }
        let mut place = node.start;
        loop {
            match self.edge(plan, node, place, scan)? {
                Some(edge) => {
                    place = edge.place;
                    self.value(plan, plan.node_of(edge), scan, depth)?;
                }
                None => scan.skip(depth)?,
            }
            match scan.peek() {
                b',' => scan.step(),
                b'}' => {
                    scan.step();
                    return Ok(());
                }
                _ => return Err(Bad::Syntax),
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
        scan: &mut Scan<'b>,
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

    /// The value that is next, wanted by `node`. A slot that is filled twice keeps the last value.
    #[inline]
    fn value(&mut self, plan: &Plan, node: &Node, scan: &mut Scan<'b>, depth: u32) -> Result<(), Bad> {
        let value = match scan.peek() {
            b'{' => {
                self.put(node.slot, Scalar::Nested);
                return if node.has_children() { self.object(plan, node, scan, depth + 1) } else { scan.skip(depth) };
            }
            b'[' if node.slot == SLOT_NONE => return scan.skip(depth),
            b'[' => return self.array(node, scan, depth),
            first => self.scalar(node, scan, first)?,
        };
        self.put(node.slot, value);
        Ok(())
    }

    #[inline]
    fn put(&mut self, slot: u16, value: Scalar<'b>) {
        if slot != SLOT_NONE {
            self.values[usize::from(slot)] = value;
        }
    }

    /// A value that is no object and no array; its first byte is `first`.
    #[inline]
    fn scalar(&mut self, node: &Node, scan: &mut Scan<'b>, first: u8) -> Result<Scalar<'b>, Bad> {
        match first {
            b'"' => {
                let text = scan.string()?;
                Ok(if text.has_escapes { self.copy(text.raw) } else { Scalar::Text(text.raw) })
            }
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

    #[cold]
    fn copy(&mut self, raw: &str) -> Scalar<'b> {
        let from = self.scratch.len() as u32;
        unescape(raw, &mut self.scratch);
        Scalar::Copied(from, self.scratch.len() as u32)
    }

    /// An array of scalars counts as its elements joined with a comma: two headers of one name are one.
    fn array(&mut self, node: &Node, scan: &mut Scan<'b>, depth: u32) -> Result<(), Bad> {
        if depth >= DEPTH_MAX {
            return Err(Bad::Deep);
        }
        scan.step();
        let mut joined = Scalar::Absent;
        if scan.peek() == b']' {
            scan.step();
            self.put(node.slot, joined);
            return Ok(());
        }
        loop {
            let value = match scan.peek() {
                b'{' | b'[' => scan.skip(depth + 1).map(|()| Scalar::Nested)?,
                first => self.scalar(node, scan, first)?,
            };
            joined = self.join(joined, value);
            match scan.peek() {
                b',' => scan.step(),
                b']' => {
                    scan.step();
                    self.put(node.slot, joined);
                    return Ok(());
                }
                _ => return Err(Bad::Syntax),
            }
        }
    }

    /// In place: what was joined so far is the end of the buffer, so that many elements cost what they hold. Of more than
    /// is ever searched, the rest is left out.
    fn join(&mut self, first: Scalar<'b>, second: Scalar<'b>) -> Scalar<'b> {
        match (first, second) {
            (Scalar::Absent, other) | (other, Scalar::Absent) => return other,
            (Scalar::Text(_) | Scalar::Copied(..), Scalar::Text(_) | Scalar::Copied(..)) => {}
            _ => return Scalar::Nested,
        }
        if self.read(first).len() > SEARCH_BYTES_MAX {
            return first;
        }
        // A copied second element stands at the end of the buffer already.
        let end = match second {
            Scalar::Copied(from, _) => from as usize,
            _ => self.scratch.len(),
        };
        let from = match first {
            Scalar::Copied(from, _) => {
                self.scratch.insert_str(end, ", ");
                from
            }
            _ => {
                self.scratch.insert_str(end, ", ");
                if let Scalar::Text(text) = first {
                    self.scratch.insert_str(end, text);
                }
                end as u32
            }
        };
        if let Scalar::Text(text) = second {
            self.scratch.push_str(text);
        }
        Scalar::Copied(from, self.scratch.len() as u32)
    }

    fn read<'s>(&'s self, value: Scalar<'b>) -> &'s str {
        match value {
            Scalar::Text(text) => text,
            Scalar::Copied(from, to) => self.copied(from, to),
            _ => "",
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
