//! Which of many rules an event can match at all, told in one pass over its values.
//!
//! Promises: never leaves out a rule that matches (a property test holds it against judging every rule); the pass is linear in
//! the event and its hits, not in the number of rules.
//! Never: says that a rule matches.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, MatchKind};

use super::fields::{Held, View};
use super::needs::Literal;

/// The literals of all rules in one automaton.
#[derive(Debug, Default)]
pub struct Prefilter {
    /// None where no rule has a clause.
    automaton: Option<AhoCorasick>,
    /// For each pattern of the automaton the clauses that it fulfils, each with the field in which it has to stand.
    postings: Vec<Vec<Posting>>,
    /// For each rule a bit for each of its clauses: all of them have to be fulfilled.
    wanted: Vec<u8>,
    /// Rules without a clause: candidates of every event.
    always: Vec<u32>,
    /// The fields whose values are looked through, and whether all values are.
    fields: Vec<usize>,
    everything: bool,
}

#[derive(Clone, Copy, Debug)]
struct Posting {
    field: Option<usize>,
    rule: u32,
    clause: u8,
}

impl Prefilter {
    pub fn new(rules: &[Vec<Vec<Literal>>]) -> Prefilter {
        let mut filter = Prefilter { wanted: vec![0; rules.len()], ..Prefilter::default() };
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        let mut texts: Vec<&str> = Vec::new();
        for (rule, clauses) in rules.iter().enumerate() {
            if clauses.is_empty() {
                filter.always.push(rule as u32);
            }
            for (bit, literal) in (0..).zip(clauses).flat_map(|(bit, clause)| clause.iter().map(move |it| (bit, it))) {
                let number = *numbers.entry(&literal.text).or_insert_with(|| {
                    texts.push(&literal.text);
                    filter.postings.push(Vec::new());
                    texts.len() - 1
                });
                let clause = 1_u8 << bit;
                filter.wanted[rule] |= clause;
                filter.postings[number].push(Posting { field: literal.field, rule: rule as u32, clause });
                match literal.field {
                    Some(field) if !filter.fields.contains(&field) => filter.fields.push(field),
                    Some(_) => {}
                    None => filter.everything = true,
                }
            }
        }
        if !texts.is_empty() {
            match AhoCorasick::builder().match_kind(MatchKind::Standard).build(&texts) {
                Ok(automaton) => filter.automaton = Some(automaton),
                // More literals than the automaton can number: then every rule is judged, which is slow and right.
                Err(_) => filter.always = (0..rules.len() as u32).collect(),
            }
        }
        filter
    }

    /// The rules that this event can match, in their order.
    pub fn candidates(&self, view: &View) -> Vec<u32> {
        let Some(automaton) = &self.automaton else { return self.always.clone() };
        let mut scan = Scan {
            fulfilled: vec![0; self.wanted.len()],
            found: Bits::new(self.wanted.len()),
            seen: Bits::new(self.postings.len()),
        };
        self.always.iter().for_each(|rule| scan.found.set(*rule as usize));
        for field in &self.fields {
            self.scan(automaton, view.field(*field), Some(*field), &mut scan);
        }
        if self.everything {
            self.scan(automaton, view.everything(), None, &mut scan);
        }
        scan.found.ones()
    }

    /// Rules that are judged on every event, for want of a literal.
    pub fn always(&self) -> usize {
        self.always.len()
    }

    fn scan(&self, automaton: &AhoCorasick, values: &[Held], field: Option<usize>, scan: &mut Scan) {
        if values.is_empty() {
            return;
        }
        scan.seen.clear();
        for value in values {
            for hit in automaton.find_overlapping_iter(value.folded()) {
                let pattern = hit.pattern().as_usize();
                if scan.seen.get(pattern) {
                    continue;
                }
                scan.seen.set(pattern);
                for posting in self.postings[pattern].iter().filter(|posting| posting.field == field) {
                    let rule = posting.rule as usize;
                    scan.fulfilled[rule] |= posting.clause;
                    if scan.fulfilled[rule] == self.wanted[rule] {
                        scan.found.set(rule);
                    }
                }
            }
        }
    }
}

struct Scan {
    /// For each rule the clauses that are fulfilled so far.
    fulfilled: Vec<u8>,
    found: Bits,
    /// Patterns seen in the field at hand: a text that repeats one a thousand times costs no thousand walks.
    seen: Bits,
}

/// A set of small numbers.
struct Bits(Vec<u64>);

impl Bits {
    fn new(length: usize) -> Bits {
        Bits(vec![0; length.div_ceil(64)])
    }

    fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    fn get(&self, at: usize) -> bool {
        self.0[at / 64] & (1 << (at % 64)) != 0
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn ones(&self) -> Vec<u32> {
        let mut all = Vec::new();
        for (word, bits) in self.0.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                all.push(word as u32 * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
        all
    }
}
