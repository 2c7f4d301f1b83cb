//! What an event must hold for a rule to match at all: clauses of literals, of each of which one has to be there.
//!
//! Promises: wherever the rule matches, at least one literal of each of its clauses is in a value of the literal's field. A rule of
//! which that cannot be said has no clause.
//! Never: judges an event; `prefilter` does.

use super::limits::CLAUSE_MAX;
use super::rule::Expr;
use super::test::{Item, Test};

/// A folded text, in the values of a field; without a field in any value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Literal {
    pub field: Option<usize>,
    pub text: String,
}

/// Clauses of one rule: as many as a byte has bits.
pub const CLAUSES_MAX: usize = 8;

/// The clauses of an expression, the most telling ones: every part of what has to hold together gives its own.
pub fn clauses(expr: &Expr) -> Vec<Vec<Literal>> {
    let mut all = Vec::new();
    collect(expr, &mut all);
    all.sort_by_key(|clause| std::cmp::Reverse(worth(clause)));
    all.truncate(CLAUSES_MAX);
    all
}

fn collect(expr: &Expr, all: &mut Vec<Vec<Literal>>) {
    match expr {
        Expr::All(parts) => parts.iter().for_each(|part| collect(part, all)),
        Expr::Item(item) if item.all && !item.negated => {
            all.extend(item.values.iter().filter_map(|it| of_value(item, it)))
        }
        other => all.extend(clause(other)),
    }
}

/// The most telling clause of an expression.
fn clause(expr: &Expr) -> Option<Vec<Literal>> {
    match expr {
        // Every part has to hold, so the most telling one will do.
        Expr::All(parts) => parts.iter().filter_map(clause).max_by_key(|clause| worth(clause)),
        Expr::Any(parts) => union(parts),
        Expr::AtLeast(wanted, parts) if *wanted > 0 => union(parts),
        Expr::AtLeast(..) | Expr::Not(_) => None,
        Expr::Item(item) => of_item(item),
    }
}

/// How telling a clause is: its shortest literal counts, and of those alike the fewest.
fn worth(clause: &[Literal]) -> (usize, usize) {
    let shortest = clause.iter().map(|literal| literal.text.len()).min().unwrap_or(0);
    // Beyond a few letters a longer text is no rarer.
    (shortest.min(8), usize::MAX - clause.len())
}

fn union(parts: &[Expr]) -> Option<Vec<Literal>> {
    let mut all = Vec::new();
    for part in parts {
        all.extend(clause(part)?);
        if all.len() > CLAUSE_MAX {
            return None;
        }
    }
    all.sort_by(|a: &Literal, b| (a.field, &a.text).cmp(&(b.field, &b.text)));
    all.dedup();
    (!all.is_empty()).then_some(all)
}

/// One of the literals of the tests of a value, of which one has to hold.
fn of_value(item: &Item, tests: &[Test]) -> Option<Vec<Literal>> {
    let mut all = Vec::new();
    for test in tests {
        for text in test.literals()? {
            if text.is_empty() {
                return None;
            }
            all.push(Literal { field: item.field, text });
        }
    }
    (!all.is_empty()).then_some(all)
}

fn of_item(item: &Item) -> Option<Vec<Literal>> {
    if item.negated {
        return None;
    }
    if item.all {
        return item.values.iter().filter_map(|tests| of_value(item, tests)).max_by_key(|clause| worth(clause));
    }
    let mut all = Vec::new();
    for tests in &item.values {
        all.extend(of_value(item, tests)?);
        if all.len() > CLAUSE_MAX {
            return None;
        }
    }
    (!all.is_empty()).then_some(all)
}
