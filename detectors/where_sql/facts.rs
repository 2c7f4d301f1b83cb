//! Facts: what a condition can ask that is no column of the event but is known of who sent it. There is one:
//! `principals_behind`, how many principals proved who they are from the client's address in the last day.
//!
//! Promises: a fact stands beside other conditions, joined by AND, and is compared with a whole number; anything else is an
//! error that says so. What is left is a condition over columns alone.
//! Never: knows a fact's value.

use datafusion_sql::sqlparser::ast::{self, BinaryOperator, Expr};

use super::{SQL_BYTES_MAX, parse};

/// The one fact.
pub(crate) const PRINCIPALS_BEHIND: &str = "principals_behind";

/// Least and most that are wanted.
pub(crate) type Span = (u32, u32);

/// Takes the fact out of a condition: what is left of it, and which values of the fact are wanted.
pub(crate) fn split(sql: &str) -> Result<(Option<String>, Option<Span>), String> {
    if sql.len() > SQL_BYTES_MAX || !sql.to_ascii_lowercase().contains(PRINCIPALS_BEHIND) {
        return Ok((Some(sql.to_owned()), None));
    }
    let mut parts = Vec::new();
    conjuncts(&parse(sql)?, &mut parts);
    let (mut rest, mut span) = (Vec::new(), None);
    for part in parts {
        if !mentions(&part) {
            rest.push(part.to_string());
            continue;
        }
        let (least, most) = wanted(&part).ok_or_else(|| {
            format!("expected `{PRINCIPALS_BEHIND}` compared with a whole number by <, <=, =, >= or >, and AND beside it; found `{part}`")
        })?;
        let (so_far_least, so_far_most) = span.unwrap_or((0, u32::MAX));
        span = Some((least.max(so_far_least), most.min(so_far_most)));
    }
    if let Some((least, most)) = span
        && least > most
    {
        return Err(format!("no number of `{PRINCIPALS_BEHIND}` meets this condition"));
    }
    Ok(((!rest.is_empty()).then(|| rest.join(" AND ")), span))
}

fn conjuncts(expr: &Expr, parts: &mut Vec<Expr>) {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        Expr::Nested(inner) if matches!(**inner, Expr::BinaryOp { op: BinaryOperator::And, .. }) => {
            conjuncts(inner, parts);
        }
        Expr::Nested(inner) if wanted(inner).is_some() => parts.push((**inner).clone()),
        other => parts.push(other.clone()),
    }
}

fn is_fact(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name) if name.value.eq_ignore_ascii_case(PRINCIPALS_BEHIND))
}

fn mentions(expr: &Expr) -> bool {
    let found = ast::visit_expressions(expr, |part| match is_fact(part) {
        true => std::ops::ControlFlow::Break(()),
        false => std::ops::ControlFlow::Continue(()),
    });
    found.is_break()
}

fn wanted(expr: &Expr) -> Option<Span> {
    let Expr::BinaryOp { left, op, right } = expr else { return None };
    let number = |expr: &Expr| match expr {
        Expr::Value(value) => value.to_string().parse::<u32>().ok(),
        _ => None,
    };
    let (op, number) = if is_fact(left) { (op.clone(), number(right)?) } else { (mirrored(op)?, number(left)?) };
    if !is_fact(left) && !is_fact(right) {
        return None;
    }
    match op {
        BinaryOperator::Lt => Some((0, number.checked_sub(1)?)),
        BinaryOperator::LtEq => Some((0, number)),
        BinaryOperator::Eq => Some((number, number)),
        BinaryOperator::GtEq => Some((number, u32::MAX)),
        BinaryOperator::Gt => Some((number.checked_add(1)?, u32::MAX)),
        _ => None,
    }
}

fn mirrored(op: &BinaryOperator) -> Option<BinaryOperator> {
    match op {
        BinaryOperator::Lt => Some(BinaryOperator::Gt),
        BinaryOperator::LtEq => Some(BinaryOperator::GtEq),
        BinaryOperator::Eq => Some(BinaryOperator::Eq),
        BinaryOperator::GtEq => Some(BinaryOperator::LtEq),
        BinaryOperator::Gt => Some(BinaryOperator::Lt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_taken_out_and_the_rest_stays() {
        for (sql, rest, span) in [
            ("status = 401", Some("status = 401"), None),
            ("principals_behind < 20", None, Some((0, 19))),
            ("status = 401 AND principals_behind <= 20", Some("status = 401"), Some((0, 20))),
            (
                "(status = 1 OR status = 2) AND (principals_behind > 3 AND 9 >= PRINCIPALS_BEHIND)",
                Some("(status = 1 OR status = 2)"),
                Some((4, 9)),
            ),
            (
                "principals_behind = 1 AND status = 2 AND tenant = 'a'",
                Some("status = 2 AND tenant = 'a'"),
                Some((1, 1)),
            ),
            ("(principals_behind >= 2)", None, Some((2, u32::MAX))),
        ] {
            assert_eq!(split(sql), Ok((rest.map(str::to_owned), span)), "{sql}");
        }
        for sql in [
            "status = 401 OR principals_behind < 20",
            "NOT (principals_behind < 20)",
            "principals_behind < status",
            "principals_behind <> 3",
            "principals_behind < 0",
            "principals_behind < 1.5",
            "principals_behind",
            "principals_behind IS NULL",
        ] {
            assert!(split(sql).unwrap_err().starts_with("expected `principals_behind` compared"), "{sql}");
        }
        assert!(split("principals_behind > 5 AND principals_behind < 3").unwrap_err().starts_with("no number"));
    }
}
