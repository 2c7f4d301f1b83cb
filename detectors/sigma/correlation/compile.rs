//! From a correlation as written to one that can run.
//!
//! Promises: a rule that is not loaded, a kind without its field, a condition without meaning are refused, with what was expected.
//! Never: takes a number from the parser that the parser rounds; the thresholds are read from the file's own tree.

use rsigma_parser::{
    ConditionExpr, ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, WindowMode,
};

use super::super::fields::FieldNames;
use super::super::limits;
use super::super::rule::Complaint;
use super::super::test::Order;
use super::super::time::SECOND_US;
use super::super::tree::{Content, Node};
use super::{Condition, Correlation, Kind, Presence, Source, Step};

/// A correlation as written.
pub struct Definition<'a> {
    pub rule: &'a CorrelationRule,
    pub node: &'a Node,
}

const OPERATORS: [(&str, Order); 6] = [
    ("lt", Order::Less),
    ("lte", Order::AtMost),
    ("gt", Order::More),
    ("gte", Order::AtLeast),
    ("eq", Order::Equal),
    ("neq", Order::Other),
];

/// Compiles a correlation. `resolve` gives what a reference means; its words when it means nothing are the reason.
pub fn compile(
    definition: &Definition,
    names: &mut FieldNames,
    resolve: &dyn Fn(&str) -> Result<Source, String>,
) -> Result<Correlation, Complaint> {
    let rule = definition.rule;
    if rule.window != WindowMode::Sliding {
        return Err(
            Complaint::new("a window that is not sliding, which is no part of the specification").near("window")
        );
    }
    let references = references(rule)?;
    let span_us = span(rule)?;
    let presence = match &rule.condition {
        CorrelationCondition::Extended(expr) => Some(presence(expr, &references)?),
        CorrelationCondition::Threshold { .. } => None,
    };
    let kind = kind(definition)?;
    let condition = match presence {
        Some(presence) => extended(rule, kind, presence, references.len())?,
        None => Condition::Bounds(bounds(definition, references.len())?),
    };
    if kind == Kind::Share {
        within_a_hundred(&condition)?;
    }
    let fields = value_fields(rule, kind)?;
    let mut steps = Vec::with_capacity(references.len());
    for reference in &references {
        let source = resolve(reference).map_err(|why| Complaint::new(why).near("rules"))?;
        let mut number = |name: &String| {
            let alias = rule.aliases.iter().find(|alias| alias.alias == *name);
            let field = alias.and_then(|alias| alias.mapping.get(reference)).unwrap_or(name);
            names.number(field)
        };
        let group = rule.group_by.iter().map(&mut number).collect();
        let value = fields.iter().map(&mut number).collect();
        steps.push(Step { source, group, value });
    }
    Ok(Correlation { kind, steps, group_by: rule.group_by.clone(), span_us, condition, generate: rule.generate })
}

/// The rules as named, or where a condition names them alone, those.
fn references(rule: &CorrelationRule) -> Result<Vec<String>, Complaint> {
    let mut all = rule.rules.clone();
    if let (true, CorrelationCondition::Extended(expr)) = (all.is_empty(), &rule.condition) {
        named(expr, &mut all);
    }
    if all.is_empty() {
        return Err(Complaint::new("no rules; expected the id or name of one or more rules").near("rules"));
    }
    if all.len() > limits::STEPS_MAX {
        let what = format!("{} rules; expected at most {}", all.len(), limits::STEPS_MAX);
        return Err(Complaint::new(what).near("rules"));
    }
    Ok(all)
}

fn named(expr: &ConditionExpr, found: &mut Vec<String>) {
    match expr {
        ConditionExpr::Identifier(name) if !found.contains(name) => found.push(name.clone()),
        ConditionExpr::Identifier(_) | ConditionExpr::Selector { .. } => {}
        ConditionExpr::And(parts) | ConditionExpr::Or(parts) => parts.iter().for_each(|part| named(part, found)),
        ConditionExpr::Not(part) => named(part, found),
    }
}

fn span(rule: &CorrelationRule) -> Result<i64, Complaint> {
    let us = rule.timespan.seconds.saturating_mul(SECOND_US as u64);
    if us == 0 || us > limits::SPAN_US_MAX {
        let what = format!("timespan `{}`; expected more than nothing and at most a year", rule.timespan.original);
        return Err(Complaint::new(what).near("timespan"));
    }
    Ok(us as i64)
}

fn kind(definition: &Definition) -> Result<Kind, Complaint> {
    Ok(match definition.rule.correlation_type {
        CorrelationType::EventCount => Kind::EventCount,
        CorrelationType::ValueCount => Kind::ValueCount,
        CorrelationType::Temporal => Kind::Temporal,
        CorrelationType::TemporalOrdered => Kind::Ordered,
        CorrelationType::ValueSum => Kind::Sum,
        CorrelationType::ValueAvg => Kind::Average,
        CorrelationType::ValueMedian => Kind::Percentile(50.0),
        CorrelationType::ValuePercentile => percentile(definition)?,
    })
}

fn percentile(definition: &Definition) -> Result<Kind, Complaint> {
    let condition = definition.node.get("correlation").and_then(|node| node.get("condition"));
    let Some(written) = condition.and_then(|node| node.get("percentile")) else { return Ok(Kind::Share) };
    match written.number() {
        Some(percentile) if (0.0..=100.0).contains(&percentile) => Ok(Kind::Percentile(percentile)),
        _ => {
            let what = format!("percentile: {}; expected a number from 0 to 100", written.describe());
            Err(Complaint::new(what).near("percentile"))
        }
    }
}

/// Without a percentile the condition is about a share; a bound above 100 means that one was forgotten.
fn within_a_hundred(condition: &Condition) -> Result<(), Complaint> {
    let Condition::Bounds(bounds) = condition else { return Ok(()) };
    if bounds.iter().all(|(_, bound)| *bound <= 100.0) {
        return Ok(());
    }
    let what = "without `percentile` the condition is about the percent that a value has in its group, which is at most 100; \
                expected a `percentile` beside it, such as 95";
    Err(Complaint::new(what).near("condition"))
}

fn value_fields(rule: &CorrelationRule, kind: Kind) -> Result<Vec<String>, Complaint> {
    let written = match &rule.condition {
        CorrelationCondition::Threshold { field, .. } => field.clone().unwrap_or_default(),
        CorrelationCondition::Extended(_) => Vec::new(),
    };
    let name = rule.correlation_type.as_str();
    match kind {
        Kind::EventCount | Kind::Temporal | Kind::Ordered => Ok(Vec::new()),
        _ if written.is_empty() => {
            Err(Complaint::new(format!("{name} without a field; expected `field` in its condition")).near("condition"))
        }
        Kind::Sum | Kind::Average | Kind::Percentile(_) if written.len() > 1 => {
            Err(Complaint::new(format!("{name} of {} fields; expected one", written.len())).near("field"))
        }
        _ => Ok(written),
    }
}

/// The bounds of a condition as the file has them; the parser knows whole numbers only.
fn bounds(definition: &Definition, steps: usize) -> Result<Vec<(Order, f64)>, Complaint> {
    let written = definition.node.get("correlation").and_then(|node| node.get("condition"));
    let Some(written) = written else {
        return match definition.rule.correlation_type {
            CorrelationType::Temporal | CorrelationType::TemporalOrdered => Ok(vec![(Order::AtLeast, steps as f64)]),
            // It came from a global document; then the parser has it.
            _ => Ok(parsed(definition.rule)),
        };
    };
    let mut bounds = Vec::new();
    for (key, value) in written.entries() {
        let Some((_, order)) = OPERATORS.iter().find(|(name, _)| *name == key.text) else {
            if ["field", "percentile"].contains(&key.text.as_str()) {
                continue;
            }
            let what = format!(
                "condition: `{}` is not known; expected lt, lte, gt, gte, eq, neq, field or percentile",
                key.text
            );
            return Err(Complaint::new(what).near(&key.text));
        };
        let number = match &value.content {
            Content::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => value.number(),
        };
        let wrong = || Complaint::new(format!("{}: {}; expected a number", key.text, value.describe())).near(&key.text);
        bounds.push((*order, number.ok_or_else(wrong)?));
    }
    if bounds.is_empty() {
        return Err(Complaint::new("a condition without a bound; expected one such as `gte: 10`").near("condition"));
    }
    Ok(bounds)
}

fn parsed(rule: &CorrelationRule) -> Vec<(Order, f64)> {
    let CorrelationCondition::Threshold { predicates, .. } = &rule.condition else { return Vec::new() };
    let order = |operator: &ConditionOperator| match operator {
        ConditionOperator::Lt => Order::Less,
        ConditionOperator::Lte => Order::AtMost,
        ConditionOperator::Gt => Order::More,
        ConditionOperator::Gte => Order::AtLeast,
        ConditionOperator::Eq => Order::Equal,
        ConditionOperator::Neq => Order::Other,
    };
    predicates.iter().map(|(operator, bound)| (order(operator), *bound as f64)).collect()
}

fn presence(expr: &ConditionExpr, references: &[String]) -> Result<Presence, Complaint> {
    let several =
        |parts: &[ConditionExpr]| parts.iter().map(|part| presence(part, references)).collect::<Result<Vec<_>, _>>();
    match expr {
        ConditionExpr::And(parts) => several(parts).map(Presence::All),
        ConditionExpr::Or(parts) => several(parts).map(Presence::Any),
        ConditionExpr::Not(part) => Ok(Presence::Not(Box::new(presence(part, references)?))),
        ConditionExpr::Identifier(name) => {
            references.iter().position(|reference| reference == name).map(Presence::Step).ok_or_else(|| {
                let what = format!("the condition names `{name}`; expected one of: {}", references.join(", "));
                Complaint::new(what).near("condition")
            })
        }
        ConditionExpr::Selector { .. } => {
            Err(Complaint::new("a condition with `of`; expected names of rules with and, or, not").near("condition"))
        }
    }
}

fn extended(rule: &CorrelationRule, kind: Kind, presence: Presence, steps: usize) -> Result<Condition, Complaint> {
    let wrong = |what: &str| Err(Complaint::new(what).near("condition"));
    match kind {
        Kind::Temporal => {
            let mut wanted = Vec::new();
            presence.wanted(false, &mut wanted);
            if wanted.is_empty() {
                return wrong("a condition that only says what must not come; expected a rule that has to match");
            }
            Ok(Condition::Presence(presence))
        }
        Kind::Ordered => {
            let in_order = Presence::All((0..steps).map(Presence::Step).collect());
            if presence == in_order || (steps == 1 && presence == Presence::Step(0)) {
                return Ok(Condition::Bounds(vec![(Order::AtLeast, steps as f64)]));
            }
            wrong(
                "an ordered correlation takes its order from `rules`; expected these joined by `and`, in the same order",
            )
        }
        _ => {
            let name = rule.correlation_type.as_str();
            wrong(&format!("{name} with a text as its condition; expected a bound such as `gte: 10`"))
        }
    }
}
