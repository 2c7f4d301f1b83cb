//! SQL conditions over the event columns: `where` of a detector, `of` of a ratio. Compiled once with DataFusion's
//! expression crates, evaluated over whole batches; the same SQL as in the lake.
//!
//! Promises: only true/false expressions over event columns pass; the same row gives the same answer on every day and
//! in every batch (no clock, no random, no subquery, no aggregate); NULL is not a match. A row whose evaluation fails
//! (a division by zero, a cast) is not a match and does not spoil the rest of its batch.
//! Never: touches a table or a file.

pub(crate) mod facts;
mod needs;
mod pattern;

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, FieldRef};
use arrow::record_batch::RecordBatch;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, DataFusionError, SchemaError, TableReference, ToDFSchema};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::planner::{ContextProvider, ExprPlanner};
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{AggregateUDF, Expr, ExprSchemable, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::planner::create_physical_expr;
use datafusion_physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion_sql::planner::{PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast;
use datafusion_sql::sqlparser::dialect::GenericDialect;
use datafusion_sql::sqlparser::parser::Parser;
use datafusion_sql::sqlparser::tokenizer::Token;

/// Longest condition accepted, in bytes.
pub const SQL_BYTES_MAX: usize = 8 * 1024;

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Predicate {
    sql: String,
    /// Over the columns of `columns` alone, in their order: where few rows are left, only what is asked of them is copied.
    expr: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    needs: BTreeSet<String>,
}

impl PartialEq for Predicate {
    fn eq(&self, other: &Predicate) -> bool {
        self.sql == other.sql
    }
}

impl Predicate {
    /// Compiles `sql`, or says in one line what is wrong and what was expected.
    pub fn compile(sql: &str) -> Result<Predicate, String> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(format!("expected at most {SQL_BYTES_MAX} bytes of SQL, found {}", sql.len()));
        }
        let parsed = parse(sql)?;
        let text = parsed.to_string();
        let schema = &ENVIRONMENT.schema;
        let expr = SqlToRel::new(&*ENVIRONMENT)
            .sql_to_expr(parsed, schema, &mut PlannerContext::new())
            .map_err(|error| explain(&error))?;
        refuse_what_is_not_a_condition(&expr)?;
        let context = SimplifyContext::builder()
            .with_schema(schema.clone())
            .with_config_options(ENVIRONMENT.options.clone())
            .build();
        let simplifier = ExprSimplifier::new(context);
        let expr = simplifier.coerce(expr, schema).map_err(|error| explain(&error))?;
        let found = expr.get_type(schema.as_ref()).map_err(|error| explain(&error))?;
        if found != DataType::Boolean {
            return Err(format!("expected a condition that is true or false, found one of type {found}"));
        }
        let expr = simplifier.simplify(expr).map_err(|error| explain(&error))?;
        let needs = needs::of(&expr);
        let expr = create_physical_expr(&expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
            .map_err(|error| explain(&error))?;
        let expr = pattern::compiled_once(expr, schema.as_arrow()).map_err(|error| explain(&error))?;
        let columns: BTreeSet<usize> = collect_columns(&expr).iter().map(Column::index).collect();
        let columns: Vec<usize> = columns.into_iter().collect();
        let few = schema.as_arrow().project(&columns).map_err(|error| error.to_string())?;
        let expr = reassign_expr_columns(expr, &few).map_err(|error| explain(&error))?;
        Ok(Predicate { sql: text, expr, columns, needs })
    }

    /// Columns of which each must hold something for the condition to be met.
    pub fn needs(&self) -> &BTreeSet<String> {
        &self.needs
    }

    /// The condition in canonical form, without comments: safe to put in parentheses inside another query.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Which rows match, and how many could not be evaluated.
    pub fn matches(&self, events: &RecordBatch) -> (BooleanBuffer, usize) {
        match self.evaluate(events) {
            Some(matching) => (matching, 0),
            None => self.matches_one_by_one(events),
        }
    }

    /// One row spoils a whole batch; find out which, so that the others count.
    fn matches_one_by_one(&self, events: &RecordBatch) -> (BooleanBuffer, usize) {
        let mut failed = 0;
        let matching = BooleanBuffer::collect_bool(events.num_rows(), |row| {
            let answer = self.evaluate(&events.slice(row, 1));
            failed += usize::from(answer.is_none());
            answer.is_some_and(|a| a.value(0))
        });
        (matching, failed)
    }

    fn evaluate(&self, events: &RecordBatch) -> Option<BooleanBuffer> {
        let few = events.project(&self.columns).ok()?;
        let array = self.expr.evaluate(&few).and_then(|v| v.into_array(events.num_rows())).ok()?;
        let booleans = array.as_any().downcast_ref::<BooleanArray>()?;
        Some(match booleans.nulls() {
            Some(valid) if valid.null_count() > 0 => booleans.values() & valid.inner(),
            _ => booleans.values().clone(),
        })
    }
}

fn parse(sql: &str) -> Result<ast::Expr, String> {
    let clean = |error: String| error.trim_start_matches("sql parser error: ").to_owned();
    let mut parser = Parser::new(&GenericDialect {})
        .with_recursion_limit(64)
        .try_with_sql(sql)
        .map_err(|error| format!("not valid SQL: {}", clean(error.to_string())))?;
    let parsed = parser.parse_expr().map_err(|error| format!("not valid SQL: {}", clean(error.to_string())))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(format!("not valid SQL: expected the end of the condition, found `{}`", next.token));
    }
    refuse_greedy_distinct(&parsed)?;
    Ok(parsed)
}

/// The parser takes all that follows `IS DISTINCT FROM` for its right side: `a IS DISTINCT FROM true AND b` compares
/// `a` with `true AND b`. The lake's SQL reads it the same way, so ask for what is meant instead of guessing.
fn refuse_greedy_distinct(parsed: &ast::Expr) -> Result<(), String> {
    let found = ast::visit_expressions(parsed, |expr| match expr {
        ast::Expr::IsDistinctFrom(left, right) | ast::Expr::IsNotDistinctFrom(left, right) => match **right {
            ast::Expr::BinaryOp { op: ast::BinaryOperator::And | ast::BinaryOperator::Or, .. } => {
                ControlFlow::Break(left.to_string())
            }
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    });
    match found {
        ControlFlow::Break(left) => Err(format!("expected parentheses around `{left} IS [NOT] DISTINCT FROM ...`")),
        ControlFlow::Continue(()) => Ok(()),
    }
}

fn refuse_what_is_not_a_condition(expr: &Expr) -> Result<(), String> {
    let mut complaint = None;
    let outcome = expr.apply(|node| {
        complaint = match node {
            Expr::AggregateFunction(f) => Some(format!("aggregate function `{}`", f.func.name())),
            Expr::WindowFunction(f) => Some(format!("window function `{}`", f.fun.name())),
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => Some("a subquery".into()),
            Expr::Placeholder(p) => Some(format!("placeholder `{}`", p.id)),
            node if node.is_volatile_node() => Some(format!("`{node}`, whose answer changes from call to call")),
            _ => None,
        };
        Ok(if complaint.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (outcome, complaint) {
        (Err(error), _) => Err(explain(&error)),
        (_, Some(what)) => Err(format!("expected a condition over the columns of one event, found {what}")),
        _ => Ok(()),
    }
}

/// DataFusion's errors in one line that a person who writes a detector can use.
fn explain(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::SchemaError(schema_error, _) => match schema_error.as_ref() {
            SchemaError::FieldNotFound { field, .. } => unknown_column(&field.name),
            other => other.to_string(),
        },
        root => {
            let text = root.strip_backtrace();
            let text = text.trim_start_matches("Error during planning: ");
            let text = text.trim_start_matches("This feature is not implemented: ");
            text.lines().next().unwrap_or(text).to_owned()
        }
    }
}

fn unknown_column(name: &str) -> String {
    format!("unknown column `{name}`; {}", columns_hint(name))
}

/// "did you mean ...", or all columns.
pub(crate) fn columns_hint(name: &str) -> String {
    let plain = |name: &str| name.to_lowercase().replace('_', "");
    let distance = |field: &&schemas::event::Field| edits(&plain(field.name), &plain(name));
    let close = schemas::event::FIELDS.iter().min_by_key(distance).filter(|field| distance(field) <= 2);
    match close {
        Some(field) => format!("did you mean `{}`?", field.name),
        None => {
            let names: Vec<&str> = schemas::event::FIELDS.iter().map(|f| f.name).collect();
            format!("expected one of {}", names.join(", "))
        }
    }
}

/// Letters to change, add or drop to make one word of the other (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// What SQL can name: the event columns and the functions that need no clock.
struct Environment {
    schema: Arc<DFSchema>,
    functions: HashMap<String, Arc<ScalarUDF>>,
    planners: Vec<Arc<dyn ExprPlanner>>,
    options: Arc<ConfigOptions>,
}

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let schema = schemas::event::arrow_schema().to_dfschema_ref().expect("event columns have distinct names");
    let all = datafusion_functions::core::functions()
        .into_iter()
        .chain(datafusion_functions::string::functions())
        .chain(datafusion_functions::regex::functions())
        .chain(datafusion_functions::unicode::functions())
        .chain(datafusion_functions_nested::all_default_nested_functions());
    let mut functions = HashMap::new();
    for function in all {
        for alias in function.aliases() {
            functions.insert(alias.clone(), function.clone());
        }
        functions.insert(function.name().to_owned(), function);
    }
    let planners: Vec<Arc<dyn ExprPlanner>> = vec![
        Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::NestedFunctionPlanner),
        Arc::new(datafusion_functions_nested::planner::FieldAccessPlanner),
    ];
    Environment { schema, functions, planners, options: Arc::new(ConfigOptions::default()) }
});

impl ContextProvider for Environment {
    fn get_table_source(&self, name: TableReference) -> datafusion_common::Result<Arc<dyn TableSource>> {
        Err(DataFusionError::Plan(format!("expected a condition over one event, found table `{name}`")))
    }
    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.planners
    }
    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.functions.get(name).cloned()
    }
    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }
    fn get_aggregate_meta(&self, _name: &str) -> Option<Arc<AggregateUDF>> {
        None
    }
    fn get_window_meta(&self, _name: &str) -> Option<Arc<WindowUDF>> {
        None
    }
    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }
    fn get_variable_field(&self, _names: &[String]) -> Option<FieldRef> {
        None
    }
    fn options(&self) -> &ConfigOptions {
        &self.options
    }
    fn udf_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.functions.keys().cloned().collect();
        names.sort();
        names
    }
    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }
    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::batch_of;
    use serde_json::json;

    fn refused(sql: &str) -> String {
        Predicate::compile(sql).expect_err(sql)
    }

    fn matching(sql: &str, events: &RecordBatch) -> Vec<usize> {
        let predicate = Predicate::compile(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        predicate.matches(events).0.set_indices().collect()
    }

    fn events() -> RecordBatch {
        batch_of(&[
            json!({"time": 0, "status": 401, "client_class": "monitor", "endpoint": "GET /v1/orders/{id}", "probes": ["sqli"]}),
            json!({"time": 1, "status": 200, "client_class": "browser", "endpoint": "GET /v1/Export", "records": 0}),
            json!({"time": 2, "endpoint": "POST /login", "records": 5, "response_bytes": 100}),
            json!({"time": 3, "status": 503, "client_class": "bot", "asn": 64500, "documented": true}),
        ])
        .unwrap()
    }

    #[test]
    fn the_sql_of_the_lake_works() {
        let cases: &[(&str, &[usize])] = &[
            ("status = 401", &[0]),
            ("status >= 500 OR status IS NULL", &[2, 3]),
            ("client_class <> 'monitor'", &[1, 3]),
            ("(client_class IS DISTINCT FROM 'monitor') AND status IS DISTINCT FROM 200", &[2, 3]),
            ("NOT (status BETWEEN 200 AND 299)", &[0, 3]),
            ("client_class IN ('bot', 'browser', 'library', 'scanner', 'x')", &[1, 3]),
            ("endpoint LIKE '%/v1/%'", &[0, 1]),
            ("regexp_like(endpoint, '[Ee]xport|[Dd]ownload')", &[1]),
            ("lower(endpoint) = 'get /v1/export'", &[1]),
            ("coalesce(client_class, 'none') NOT IN ('browser', 'bot')", &[0, 2]),
            ("array_has(probes, 'sqli')", &[0]),
            ("documented", &[3]),
            ("asn = 64500", &[3]),
            ("\"offset\" % 2 = 1", &[1, 3]),
            ("time >= TIMESTAMP '1970-01-01T00:00:00.000002Z'", &[2, 3]),
            ("substr(endpoint, 1, 4) = 'POST' -- a comment", &[2]),
            ("true", &[0, 1, 2, 3]),
        ];
        let events = events();
        for (sql, expected) in cases {
            assert_eq!(matching(sql, &events), *expected, "{sql}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_evaluated_does_not_spoil_the_others() {
        let predicate = Predicate::compile("response_bytes / records > 10 OR status = 401").unwrap();
        let rows = [
            json!({"time": 0, "response_bytes": 100, "records": 0}),
            json!({"time": 1, "response_bytes": 100, "records": 5}),
            json!({"time": 2, "response_bytes": 10, "records": 5}),
        ];
        let (matching, failed) = predicate.matches(&batch_of(&rows).unwrap());
        assert_eq!((matching.set_indices().collect::<Vec<_>>(), failed), (vec![1], 1));
    }

    #[test]
    fn what_is_not_a_condition_over_one_event_is_refused_with_what_was_expected() {
        let cases = [
            ("statuz = 1", "unknown column `statuz`; did you mean `status`?"),
            ("colour = 1", "unknown column `colour`; expected one of time, observed_time,"),
            ("clientip = 'a'", "unknown column `clientip`; did you mean `client_ip`?"),
            ("status", "expected a condition that is true or false, found one of type Int32"),
            ("status = 'abc'", "Cannot"),
            ("count(*) > 3", "Invalid function 'count'"),
            ("status IN (SELECT 1)", ""),
            ("now() > time", "Invalid function 'now'"),
            ("random() > 0.5", "Invalid function 'random'"),
            ("uuid() = 'x'", "expected a condition over the columns of one event, found `uuid()`"),
            ("status = $1", ""),
            ("status = 1 extra", "not valid SQL: expected the end of the condition, found `extra`"),
            ("status = ", "not valid SQL: Expected: an expression"),
            ("status = 1; DROP TABLE events", "not valid SQL: expected the end of the condition, found `;`"),
            (
                "documented IS DISTINCT FROM true AND status = 401",
                "expected parentheses around `documented IS [NOT] DISTINCT FROM ...`",
            ),
        ];
        for (sql, expected) in cases {
            let found = refused(sql);
            assert!(found.contains(expected), "{sql}: {found}");
            assert!(!found.contains('\n'), "{sql}: {found}");
        }
        assert!(refused(&"(".repeat(3000)).starts_with("not valid SQL: "));
        assert!(refused(&"x".repeat(9000)).contains("expected at most 8192 bytes"));
    }

    #[test]
    fn comments_do_not_survive_into_the_canonical_text() {
        let predicate = Predicate::compile("status = 401 -- ) OR true\n").unwrap();
        assert_eq!(predicate.sql(), "status = 401");
    }
}
