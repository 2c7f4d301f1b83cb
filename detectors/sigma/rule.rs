//! A rule made ready: its selections and its condition as one expression over the lines of the selections.
//!
//! Promises: what a condition names exists; a selector that fits no selection is refused, since it would say nothing.
//! Filters are part of the expression: a filter's condition has to hold beside the rule's own.
//! Never: parses; `read` did.

use std::collections::BTreeMap;

use rsigma_parser::{ConditionExpr, Detection, DetectionItem, Detections, Quantifier, SelectorPattern};

use super::fields::{FieldNames, View};
use super::modifiers;
use super::test::Item;

/// What is to hold of an event.
#[derive(Clone, Debug)]
pub enum Expr {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
    /// So many of them.
    AtLeast(usize, Vec<Expr>),
    Item(Item),
}

impl Expr {
    pub fn matches(&self, view: &View) -> bool {
        match self {
            Expr::All(parts) => parts.iter().all(|part| part.matches(view)),
            Expr::Any(parts) => parts.iter().any(|part| part.matches(view)),
            Expr::Not(part) => !part.matches(view),
            Expr::AtLeast(wanted, parts) => {
                *wanted == 0 || parts.iter().filter(|part| part.matches(view)).nth(wanted - 1).is_some()
            }
            Expr::Item(item) => item.matches(view),
        }
    }
}

/// Why something of a rule cannot be, and the key or value beside which it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Complaint {
    pub near: Vec<String>,
    pub what: String,
}

impl Complaint {
    pub fn new(what: impl Into<String>) -> Complaint {
        Complaint { near: Vec::new(), what: what.into() }
    }

    pub fn near(mut self, key: &str) -> Complaint {
        self.near.insert(0, key.to_owned());
        self
    }
}

/// Compiles the `detection` of a rule or the `filter` of a filter.
pub fn compile(detections: &Detections, names: &mut FieldNames) -> Result<Expr, Complaint> {
    let mut selections = BTreeMap::new();
    for (name, detection) in &detections.named {
        let expr = selection(detection, names).map_err(|complaint| complaint.near(name))?;
        selections.insert(name.as_str(), expr);
    }
    let mut conditions = Vec::with_capacity(detections.conditions.len());
    for parsed in &detections.conditions {
        conditions.push(condition(parsed, &selections).map_err(|complaint| complaint.near("condition"))?);
    }
    match conditions.len() {
        0 => Err(Complaint::new("no condition; expected a text such as `selection`").near("condition")),
        1 => Ok(conditions.remove(0)),
        _ => Ok(Expr::Any(conditions)),
    }
}

fn selection(detection: &Detection, names: &mut FieldNames) -> Result<Expr, Complaint> {
    let several = |parts: &[Detection], names: &mut FieldNames| {
        parts.iter().map(|part| selection(part, names)).collect::<Result<Vec<_>, _>>()
    };
    match detection {
        Detection::AllOf(lines) if lines.is_empty() => {
            Err(Complaint::new("an empty selection; expected fields with values, or keywords"))
        }
        Detection::AllOf(lines) => {
            let compile = |line: &DetectionItem| {
                let item = modifiers::item(line, names);
                item.map(Expr::Item).map_err(|what| {
                    let key = key(line);
                    Complaint::new(format!("`{key}`: {what}")).near(&key)
                })
            };
            lines.iter().map(compile).collect::<Result<Vec<_>, _>>().map(Expr::All)
        }
        Detection::AnyOf(parts) if parts.is_empty() => {
            Err(Complaint::new("an empty selection; expected fields with values, or keywords"))
        }
        Detection::AnyOf(parts) => several(parts, names).map(Expr::Any),
        Detection::And(parts) => several(parts, names).map(Expr::All),
        Detection::Keywords(values) => modifiers::keywords(values).map(Expr::Item).map_err(Complaint::new),
        Detection::ArrayMatch { field, .. } => Err(Complaint::new(format!(
            "`{field}[...]` selects members of a list, which is no part of the specification yet"
        ))),
        Detection::Conditional { .. } => {
            Err(Complaint::new("a condition within a selection, which is no part of the specification yet"))
        }
    }
}

/// The key of a line as the file has it, as far as it is known: modifiers that have two names by their first.
fn key(line: &DetectionItem) -> String {
    let name = line.field.name.clone().unwrap_or_default();
    let modifiers = line.field.modifiers.iter().map(|modifier| format!("|{modifier:?}").to_lowercase());
    std::iter::once(name).chain(modifiers).collect()
}

fn condition(parsed: &ConditionExpr, selections: &BTreeMap<&str, Expr>) -> Result<Expr, Complaint> {
    let several =
        |parts: &[ConditionExpr]| parts.iter().map(|part| condition(part, selections)).collect::<Result<Vec<_>, _>>();
    match parsed {
        ConditionExpr::And(parts) => several(parts).map(Expr::All),
        ConditionExpr::Or(parts) => several(parts).map(Expr::Any),
        ConditionExpr::Not(part) => Ok(Expr::Not(Box::new(condition(part, selections)?))),
        ConditionExpr::Identifier(name) => selections.get(name.as_str()).cloned().ok_or_else(|| {
            let known = selections.keys().copied().collect::<Vec<_>>().join(", ");
            Complaint::new(format!("the condition names `{name}`, which is no selection; expected one of: {known}"))
        }),
        ConditionExpr::Selector { quantifier, pattern } => {
            let fits = |name: &&&str| match pattern {
                SelectorPattern::Them => !name.starts_with('_'),
                SelectorPattern::Pattern(pattern) => fits(pattern, name),
            };
            let chosen: Vec<Expr> = selections.keys().filter(fits).map(|name| selections[*name].clone()).collect();
            if chosen.is_empty() {
                return Err(Complaint::new(format!("`{quantifier} of {pattern}` fits no selection")));
            }
            Ok(match quantifier {
                Quantifier::All => Expr::All(chosen),
                Quantifier::Any => Expr::Any(chosen),
                Quantifier::Count(wanted) => {
                    let wanted = usize::try_from(*wanted).unwrap_or(usize::MAX);
                    if wanted > chosen.len() {
                        let what = format!("`{wanted} of {pattern}`, but only {} fit", chosen.len());
                        return Err(Complaint::new(what));
                    }
                    Expr::AtLeast(wanted, chosen)
                }
            })
        }
    }
}

/// Whether a name fits a pattern with any number of `*`. As in pySigma, names that begin with `_` are only chosen by a pattern
/// that does.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('_') && !pattern.starts_with('_') {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_choose_by_their_stars() {
        assert!(fits("selection", "selection"));
        assert!(!fits("selection", "selection_1"));
        assert!(fits("selection*", "selection"));
        assert!(fits("*_main_*", "filter_main_a"));
        assert!(fits("sel*1", "selection_1"));
        assert!(!fits("a*a", "a"));
        assert!(!fits("*", "_hidden"));
        assert!(fits("_h*", "_hidden"));
    }
}
