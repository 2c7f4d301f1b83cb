//! What the settings of several methods have in common: columns, windows, numbers with a default.
//!
//! Promises: columns exist and fit; windows are between a second and 31 days; a mistake is an error that names its place.
//! Never: evaluates anything.

use schemas::event::Kind;

use crate::rule::node::Fields;
use crate::rule::{RuleError, event_column};

/// Columns whose values can be told apart.
pub(crate) const VALUE_KINDS: &[Kind] = &[Kind::Dict, Kind::Text, Kind::Int32, Kind::Int64, Kind::Bool];
const AMOUNT: &str = "a column of whole numbers";
/// Most that can be asked for of what is counted one by one.
pub(crate) const AT_LEAST_MAX: i64 = 1_000_000;

/// `within`, the length of a sliding window, in microseconds.
pub(crate) fn within(fields: &mut Fields<'_>) -> Result<i64, RuleError> {
    fields.duration("within", "1s", "31d")
}

/// `of`, one to four columns whose values together are one.
pub(crate) fn values(fields: &mut Fields<'_>) -> Result<Vec<&'static str>, RuleError> {
    values_of(fields, "of")
}

/// The same under another key.
pub(crate) fn values_of(fields: &mut Fields<'_>, key: &str) -> Result<Vec<&'static str>, RuleError> {
    let expected = "a column or a list of at most four columns of text, whole numbers or true/false";
    fields.required(key, expected)?;
    let names = fields.texts(key)?;
    if names.is_empty() || names.len() > 4 {
        return Err(fields.error(key, format!("expected {expected}")));
    }
    let columns: Result<Vec<&'static str>, String> =
        names.iter().map(|(name, _)| event_column(name, VALUE_KINDS, expected)).collect();
    columns.map_err(|message| fields.error(key, message))
}

/// Of columns whose values together are one, what must hold something: of several one is enough.
pub(crate) fn needs_of_values(of: &[&'static str]) -> Vec<&'static str> {
    if let [only] = of { vec![*only] } else { Vec::new() }
}

/// `of`, a column whose numbers can be added up.
pub(crate) fn amount(fields: &mut Fields<'_>) -> Result<&'static str, RuleError> {
    amount_named(fields.text("of", AMOUNT)?).map_err(|message| fields.error("of", message))
}

pub(crate) fn amount_named(name: &str) -> Result<&'static str, String> {
    event_column(name, &[Kind::Int32, Kind::Int64], AMOUNT)
}

pub(crate) fn number_or(
    fields: &mut Fields<'_>,
    name: &str,
    low: f64,
    high: f64,
    default: f64,
) -> Result<f64, RuleError> {
    if fields.optional(name).is_none() { Ok(default) } else { fields.number(name, low, high) }
}

/// A whole number, or what counts where none is written.
pub(crate) fn whole_number_or(
    fields: &mut Fields<'_>,
    name: &str,
    low: i64,
    high: i64,
    default: i64,
) -> Result<i64, RuleError> {
    if fields.optional(name).is_none() { Ok(default) } else { fields.whole_number(name, low, high) }
}
