//! Which columns a condition needs: those of which each must hold something for the condition ever to be met. A source
//! that never fills one of them is a source on which the detector sees nothing.
//!
//! Promises: careful. A column is named only where SQL's rules for NULL leave no other way; functions and forms that can
//! make something of NULL (`coalesce`, `IS NULL`, `CASE`, `IS DISTINCT FROM`) need nothing.
//! Never: looks at a row.

use std::collections::BTreeSet;

use datafusion_expr::{BinaryExpr, Expr, Operator};

/// Functions that make NULL of NULL, whatever the argument.
const STRICT: &[&str] = &[
    "array_has",
    "array_has_all",
    "array_has_any",
    "btrim",
    "character_length",
    "date_part",
    "date_trunc",
    "ends_with",
    "left",
    "lower",
    "octet_length",
    "regexp_like",
    "reverse",
    "right",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "trim",
    "upper",
];

type Columns = BTreeSet<String>;

/// The columns that must hold something for `condition` to be true.
pub(super) fn of(condition: &Expr) -> Columns {
    decided(condition, true)
}

/// The columns that must hold something for the condition to be `wanted` (and not NULL, nor the other).
fn decided(condition: &Expr, wanted: bool) -> Columns {
    match condition {
        Expr::Alias(alias) => decided(&alias.expr, wanted),
        Expr::Not(inner) => decided(inner, !wanted),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (decided(left, wanted), decided(right, wanted));
            // Both sides decide a true AND and a false OR; either one decides the others.
            match (*op == Operator::And) == wanted {
                true => left.union(&right).cloned().collect(),
                false => left.intersection(&right).cloned().collect(),
            }
        }
        Expr::IsTrue(inner) if wanted => decided(inner, true),
        Expr::IsFalse(inner) if wanted => decided(inner, false),
        Expr::IsNotNull(inner) | Expr::IsNotUnknown(inner) if wanted => held(inner),
        Expr::IsNull(inner) | Expr::IsUnknown(inner) if !wanted => held(inner),
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_) => Columns::new(),
        other => held(other),
    }
}

/// The columns that must hold something for the value of `expr` not to be NULL.
fn held(expr: &Expr) -> Columns {
    let all = |parts: &[&Expr]| parts.iter().flat_map(|part| held(part)).collect();
    match expr {
        Expr::Column(column) => [column.name.clone()].into(),
        Expr::Alias(alias) => held(&alias.expr),
        Expr::Cast(cast) => held(&cast.expr),
        Expr::TryCast(cast) => held(&cast.expr),
        Expr::Negative(inner) | Expr::Not(inner) => held(inner),
        Expr::Like(like) | Expr::SimilarTo(like) => all(&[&like.expr, &like.pattern]),
        Expr::Between(between) => held(&between.expr),
        Expr::InList(list) => held(&list.expr),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And | Operator::Or | Operator::IsDistinctFrom | Operator::IsNotDistinctFrom => Columns::new(),
            _ => all(&[left, right]),
        },
        Expr::ScalarFunction(call) if STRICT.contains(&call.func.name()) => call.args.iter().flat_map(held).collect(),
        _ => Columns::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::where_sql::Predicate;

    #[test]
    fn a_column_is_needed_where_nothing_is_met_without_it() {
        for (sql, expected) in [
            ("status = 401", "status"),
            ("status = 401 AND principal <> 'a'", "principal status"),
            ("status = 401 OR grpc_status = 16", ""),
            ("status = 401 OR status = 403", "status"),
            ("(status = 401 AND tenant = 'x') OR (status = 403 AND asn = 1)", "status"),
            ("status BETWEEN 400 AND 499", "status"),
            ("status IN (400, 401, 402, 403, 404, 405)", "status"),
            ("NOT (status BETWEEN 200 AND 299)", "status"),
            ("NOT (status = 200 OR tenant = 'x')", "status tenant"),
            ("NOT (status = 200 AND tenant = 'x')", ""),
            ("status IS DISTINCT FROM 401", ""),
            ("object_id IS NULL", ""),
            ("NOT (object_id IS NULL)", "object_id"),
            ("object_id IS NOT NULL", "object_id"),
            ("coalesce(client_class, 'none') NOT IN ('browser', 'bot')", ""),
            ("regexp_like(endpoint, '[Ee]xport')", "endpoint"),
            ("lower(user_agent) LIKE '%curl%'", "user_agent"),
            ("response_bytes / records > 10", "records response_bytes"),
            ("documented", "documented"),
            ("NOT documented", "documented"),
            ("CASE WHEN status = 1 THEN tenant = 'a' ELSE asn = 1 END", ""),
            ("true", ""),
        ] {
            let predicate = Predicate::compile(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            let needs: Vec<&str> = predicate.needs().iter().map(String::as_str).collect();
            assert_eq!(needs.join(" "), expected, "{sql}");
        }
    }
}
