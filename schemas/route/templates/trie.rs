//! The templates of one host as a trie of segments.
//!
//! Promises: a search visits at most `TEMPLATE_VISITS_MAX` nodes, most concrete first; when that is not enough the
//! request matches nothing.

use crate::hash::{self, FastMap};
use crate::limits::TEMPLATE_VISITS_MAX;
use crate::route::pattern::{Bit, Pattern, matches_bits};

use super::Match;

/// A documented template and the methods it is documented for.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) pattern: Pattern,
    /// Upper case; empty is any.
    methods: Vec<Box<str>>,
}

impl Endpoint {
    fn has(&self, method: &str) -> bool {
        let falls_under = |own: &str| own == method || (method == "HEAD" && own == "GET") || method == "OPTIONS";
        self.methods.is_empty() || self.methods.iter().any(|own| falls_under(own))
    }
}

#[derive(Clone, Debug)]
struct Node {
    words: FastMap<Box<str>, u32>,
    /// Segments of literals and parameters, the most literal first.
    mixed: Vec<(Vec<Bit>, u32)>,
    param: Option<u32>,
    tail: Option<u32>,
    ends: Vec<Endpoint>,
}

#[derive(Clone, Debug)]
pub(super) struct Trie {
    /// The first is the root.
    nodes: Vec<Node>,
}

impl Default for Trie {
    fn default() -> Trie {
        let mut trie = Trie { nodes: Vec::new() };
        trie.push();
        trie
    }
}

impl Trie {
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1 && self.nodes[0].ends.is_empty()
    }

    fn push(&mut self) -> u32 {
        let node = Node { words: hash::map(), mixed: Vec::new(), param: None, tail: None, ends: Vec::new() };
        self.nodes.push(node);
        self.nodes.len() as u32 - 1
    }

    pub(super) fn add(&mut self, pattern: Pattern, methods: &[&str]) {
        let mut at = 0;
        let last = pattern.segments.len().wrapping_sub(1);
        for (number, bits) in pattern.segments.iter().enumerate() {
            at = self.child(at, bits, pattern.has_tail && number == last);
        }
        let ends = &mut self.nodes[at as usize].ends;
        match ends.iter_mut().find(|end| end.pattern.text == pattern.text) {
            Some(end) if end.methods.is_empty() || methods.is_empty() => end.methods.clear(),
            Some(end) => {
                let new = methods.iter().filter(|method| !end.methods.iter().any(|own| **own == ***method));
                let new: Vec<Box<str>> = new.map(|method| (*method).into()).collect();
                end.methods.extend(new);
            }
            None => ends.push(Endpoint { pattern, methods: methods.iter().map(|method| (*method).into()).collect() }),
        }
    }

    fn child(&mut self, at: u32, bits: &[Bit], is_tail: bool) -> u32 {
        let node = &self.nodes[at as usize];
        let known = match bits {
            [Bit::Param(_)] if is_tail => node.tail,
            [Bit::Param(_)] => node.param,
            [Bit::Literal(word)] => node.words.get(word).copied(),
            _ => node.mixed.iter().find(|(own, _)| own == bits).map(|(_, child)| *child),
        };
        if let Some(known) = known {
            return known;
        }
        let child = self.push();
        let node = &mut self.nodes[at as usize];
        match bits {
            [Bit::Param(_)] if is_tail => node.tail = Some(child),
            [Bit::Param(_)] => node.param = Some(child),
            [Bit::Literal(word)] => drop(node.words.insert(word.clone(), child)),
            _ => {
                node.mixed.push((bits.to_vec(), child));
                node.mixed.sort_by_key(|(bits, _)| std::cmp::Reverse(literal_bytes(bits)));
            }
        }
        child
    }

    pub(super) fn merge(&mut self, other: Trie) {
        for end in other.nodes.into_iter().flat_map(|node| node.ends) {
            let methods: Vec<&str> = end.methods.iter().map(|method| &**method).collect();
            self.add(end.pattern.clone(), &methods);
        }
    }

    /// The most concrete endpoint with the method, else the most concrete without.
    pub(super) fn find(&self, method: &str, path: &[&str]) -> Option<Match<'_>> {
        let mut fallback = None;
        let mut open = vec![(0_u32, 0_usize)];
        for _ in 0..TEMPLATE_VISITS_MAX {
            let Some((at, depth)) = open.pop() else { break };
            let node = &self.nodes[at as usize];
            if depth >= path.len() {
                if let Some(endpoint) = node.ends.iter().find(|end| end.has(method)) {
                    return Some(Match { endpoint, documented: true });
                }
                fallback = fallback.or(node.ends.first());
                continue;
            }
            // What is to be looked at first is pushed last. A tail is at its end, however much is left.
            open.extend(node.tail.map(|tail| (tail, usize::MAX)));
            open.extend(node.param.map(|param| (param, depth + 1)));
            let mixed = node.mixed.iter().rev().filter(|(bits, _)| matches_bits(bits, path[depth], |_, _| {}));
            open.extend(mixed.map(|(_, child)| (*child, depth + 1)));
            open.extend(node.words.get(path[depth]).map(|word| (*word, depth + 1)));
        }
        fallback.map(|endpoint| Match { endpoint, documented: false })
    }
}

fn literal_bytes(bits: &[Bit]) -> usize {
    bits.iter().map(|bit| if let Bit::Literal(text) = bit { text.len() } else { 0 }).sum()
}
