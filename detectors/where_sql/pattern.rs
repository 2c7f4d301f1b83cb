//! Regular expressions of conditions, compiled once instead of for every batch. Of a dictionary each value that rows have is looked
//! at once, and no other.
//!
//! Promises: the same answers as DataFusion's own operators `~`, `~*`, `!~` and `!~*`, NULL for NULL.
//! Never: touches a pattern that is not a literal, or has other flags than `i`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int32Type, Schema};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{ColumnarValue, Operator};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, CastExpr, Literal};
use regex::Regex;

/// The same condition with its patterns compiled. `schema` is that of the columns it reads.
pub(super) fn compiled_once(expr: Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let compile = |node: Arc<dyn PhysicalExpr>| {
        let found = node.downcast_ref::<BinaryExpr>().map(|binary| Pattern::of(binary, schema)).transpose()?.flatten();
        Ok(match found {
            Some(pattern) => Transformed::yes(Arc::new(pattern) as Arc<dyn PhysicalExpr>),
            None => Transformed::no(node),
        })
    };
    expr.transform_up(compile).data()
}

/// Does a text have something in it that a pattern matches?
#[derive(Debug)]
struct Pattern {
    text: Arc<dyn PhysicalExpr>,
    regex: Regex,
    negated: bool,
}

impl Pattern {
    /// `None` for another operator, a pattern that is not a literal, or what is no text.
    fn of(binary: &BinaryExpr, schema: &Schema) -> Result<Option<Pattern>> {
        let (negated, ignores_case) = match binary.op() {
            Operator::RegexMatch => (false, false),
            Operator::RegexIMatch => (false, true),
            Operator::RegexNotMatch => (true, false),
            Operator::RegexNotIMatch => (true, true),
            _ => return Ok(None),
        };
        let literal = binary.right().downcast_ref::<Literal>().map(Literal::value);
        let Some(ScalarValue::Utf8(Some(pattern))) = literal else { return Ok(None) };
        let is_dictionary = |of: &DataType| match of {
            DataType::Dictionary(keys, values) => **keys == DataType::Int32 && **values == DataType::Utf8,
            _ => false,
        };
        let mut text = Arc::clone(binary.left());
        // Texts of a dictionary are taken out of it for other operators.
        if let Some(cast) = binary.left().downcast_ref::<CastExpr>()
            && *cast.cast_type() == DataType::Utf8
            && is_dictionary(&cast.expr().data_type(schema)?)
        {
            text = Arc::clone(cast.expr());
        }
        let found = text.data_type(schema)?;
        if found != DataType::Utf8 && !is_dictionary(&found) {
            return Ok(None);
        }
        let flags = if ignores_case { "(?i)" } else { "" };
        let regex = Regex::new(&format!("{flags}{pattern}"));
        let regex = regex.map_err(|error| DataFusionError::Plan(format!("regular expression: {error}")))?;
        Ok(Some(Pattern { text, regex, negated }))
    }

    fn says(&self, text: &str) -> bool {
        self.regex.is_match(text) != self.negated
    }

    fn of_texts(&self, texts: &StringArray) -> BooleanArray {
        texts.iter().map(|text| text.map(|text| self.says(text))).collect()
    }

    fn of_dictionary(&self, dictionary: &DictionaryArray<Int32Type>, values: &StringArray) -> BooleanArray {
        let mut known: Vec<Option<bool>> = vec![None; values.len()];
        let mut of_code = |code: i32| {
            let code = code as usize;
            (!values.is_null(code)).then(|| *known[code].get_or_insert_with(|| self.says(values.value(code))))
        };
        dictionary.keys().iter().map(|code| of_code(code?)).collect()
    }
}

impl PhysicalExpr for Pattern {
    fn data_type(&self, _schema: &Schema) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.text.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let texts = self.text.evaluate(batch)?.into_array(batch.num_rows())?;
        let found = match (texts.as_string_opt::<i32>(), texts.as_dictionary_opt::<Int32Type>()) {
            (Some(texts), _) => Some(self.of_texts(texts)),
            (None, Some(dictionary)) => {
                dictionary.values().as_string_opt::<i32>().map(|values| self.of_dictionary(dictionary, values))
            }
            (None, None) => None,
        };
        let wrong = || DataFusionError::Execution(format!("expected texts, got {}", texts.data_type()));
        Ok(ColumnarValue::Array(Arc::new(found.ok_or_else(wrong)?)))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.text]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let text = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.text));
        Ok(Arc::new(Pattern { text, regex: self.regex.clone(), negated: self.negated }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} '{}'", self.text, if self.negated { "!~" } else { "~" }, self.regex)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text.eq(&other.text) && self.regex.as_str() == other.regex.as_str() && self.negated == other.negated
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.text, self.regex.as_str(), self.negated).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Predicate;
    use crate::testkit::batch_of;

    /// Whatever the column is made of, and whether a pattern is known before.
    #[test]
    fn patterns_find_what_they_found_in_every_column() {
        let texts = ["/.env", "/a/b.PHP", "", "/shop/é", "/plain"];
        let rows: Vec<_> = texts.iter().map(|text| json!({"time": 0, "path": text, "endpoint": text})).collect();
        let events = batch_of(&[rows, vec![json!({"time": 0})]].concat()).expect("a batch");
        for column in ["path", "endpoint"] {
            for (sql, expected) in [
                (format!("regexp_like({column}, '/[.][a-f]')"), &[0][..]),
                (format!("regexp_like({column}, '[.]ph[pq]$')"), &[]),
                (format!("regexp_like({column}, '[.]ph[pq]$', 'i')"), &[1]),
                (format!("NOT regexp_like({column}, '[.]ph[pq]$', 'i')"), &[0, 2, 3, 4]),
                (format!("{column} ~* '[ÉÈ]$'"), &[3]),
                (format!("{column} !~ '^/[a-z.]'"), &[2]),
                (format!("regexp_like(lower({column}), '^/a/b[.]ph[pq]')"), &[1]),
            ] {
                let predicate = Predicate::compile(&sql).expect(&sql);
                let compiled = format!("{:?}", predicate.expr);
                assert!(compiled.contains("Pattern {"), "{sql}: {compiled}");
                // Values of a dictionary are looked at as they stand there.
                assert!(sql.contains("lower") || !compiled.contains("Cast"), "{sql}: {compiled}");
                let (found, failed) = predicate.matches(&events);
                assert_eq!((found.set_indices().collect::<Vec<_>>(), failed), (expected.to_vec(), 0), "{sql}");
            }
        }
        let error = Predicate::compile("regexp_like(path, '(')").expect_err("no pattern");
        assert!(error.contains("regex parse error"), "{error}");
    }
}
