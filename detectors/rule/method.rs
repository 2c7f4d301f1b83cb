//! The `method` of a detector: how it decides, with checked numbers.
//!
//! Promises: exactly one method; its columns exist and fit; windows between a second and 31 days.
//! Never: evaluates anything.

use schemas::event::Kind;

use super::node::{Fields, Node, Value};
use super::{EntityKind, RuleError, duration_us, event_column};
use crate::baseline::{Direction, Kind as Shape, Params};
use crate::where_sql::Predicate;

/// How a detector decides.
#[derive(Clone, Debug)]
pub enum Method {
    /// Events in a sliding window.
    Threshold { at_least: u64, within_us: i64 },
    /// Different values of the columns in a sliding window.
    Distinct { of: Vec<&'static str>, at_least: u64, within_us: i64 },
    /// The total of a column in a sliding window.
    Sum { of: &'static str, at_least: u64, within_us: i64 },
    /// The share of events that match `of`, in a sliding window, decided each time a pane closes.
    Ratio { of: Predicate, at_least: f64, min_events: u64, within_us: i64 },
    /// A measure of each closed window against the entity's own history.
    Baseline(Box<Baseline>),
}

/// The settings of a baseline.
#[derive(Clone, Debug)]
pub struct Baseline {
    pub of: Measure,
    pub window_us: i64,
    pub params: Params,
    /// Smaller values (downwards: smaller expectations) are never a breach.
    pub min_value: f64,
    /// Windows with fewer events are never a breach.
    pub min_events: u64,
    /// Whose history an entity with little of its own borrows from.
    pub parent: Option<EntityKind>,
}

/// What a baseline measures in a window.
#[derive(Clone, Debug)]
pub enum Measure {
    Count,
    Sum(&'static str),
    Ratio(Predicate),
    Distinct(Vec<&'static str>),
}

impl Method {
    /// Counting methods alert on the very row that reaches the count.
    pub fn counts(&self) -> bool {
        matches!(self, Method::Threshold { .. } | Method::Distinct { .. } | Method::Sum { .. })
    }

    /// Columns of which each must hold something for it to decide anything.
    pub(super) fn needs(&self) -> Vec<&str> {
        // Of several columns of a distinct value one is enough.
        let values = |of: &Vec<&'static str>| if let [only] = of.as_slice() { vec![*only] } else { Vec::new() };
        match self {
            Method::Threshold { .. } => Vec::new(),
            Method::Distinct { of, .. } => values(of),
            Method::Sum { of, .. } => vec![*of],
            Method::Ratio { of, .. } => of.needs().iter().map(String::as_str).collect(),
            Method::Baseline(baseline) => match &baseline.of {
                Measure::Count => Vec::new(),
                Measure::Sum(of) => vec![*of],
                Measure::Ratio(of) => of.needs().iter().map(String::as_str).collect(),
                Measure::Distinct(of) => values(of),
            },
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Method::Threshold { .. } => "threshold",
            Method::Distinct { .. } => "distinct",
            Method::Sum { .. } => "sum",
            Method::Ratio { .. } => "ratio",
            Method::Baseline(_) => "baseline",
        }
    }

    /// The span of events one decision looks at.
    pub fn window_us(&self) -> i64 {
        match self {
            Method::Threshold { within_us, .. }
            | Method::Distinct { within_us, .. }
            | Method::Sum { within_us, .. }
            | Method::Ratio { within_us, .. } => *within_us,
            Method::Baseline(b) => b.window_us,
        }
    }

    /// A baseline decides once per window, so an episode outlives one ordinary window between two bad ones.
    pub(super) fn quiet_least_us(&self) -> i64 {
        if self.counts() || matches!(self, Method::Ratio { .. }) { self.window_us() } else { 2 * self.window_us() }
    }

    pub(super) fn identity(&self) -> String {
        match self {
            Method::Ratio { of, at_least, min_events, within_us } => {
                format!("ratio {} {at_least} {min_events} {within_us}", of.sql())
            }
            Method::Baseline(b) => {
                let of = match &b.of {
                    Measure::Ratio(of) => format!("ratio({})", of.sql()),
                    other => format!("{other:?}"),
                };
                let Baseline { window_us, params, min_value, min_events, parent, .. } = &**b;
                format!("baseline {of} {window_us} {params:?} {min_value} {min_events} {parent:?}")
            }
            counting => format!("{counting:?}"),
        }
    }
}

const METHODS: &str = "one of threshold, distinct, sum, ratio, baseline";
const AT_LEAST_MAX: i64 = 1_000_000;
const TEXT_KINDS: &[Kind] = &[Kind::Dict, Kind::Text, Kind::Int32, Kind::Int64, Kind::Bool];
const WITHIN: [&str; 2] = ["1s", "31d"];

pub(super) fn read(fields: &mut Fields<'_>, entity: &EntityKind, file: &str) -> Result<Method, RuleError> {
    let expected = format!("a mapping with {METHODS}");
    let node = fields.required("method", &expected)?;
    let Value::Map(entries) = &node.value else {
        return Err(fields.error("method", format!("expected {expected}, found {}", node.describe())));
    };
    let [(key, settings)] = entries.as_slice() else {
        return Err(fields.error("method", format!("expected exactly {METHODS}, found {} of them", entries.len())));
    };
    let path = format!("method.{}", key.text);
    let read = match key.text.as_str() {
        "threshold" => threshold,
        "distinct" => distinct,
        "sum" => sum,
        "ratio" => ratio,
        "baseline" => return baseline(settings, &path, entity, file),
        other => {
            let message = format!("unknown method `{other}`; expected {METHODS}");
            return Err(RuleError::new(file, key.place, &path, message));
        }
    };
    read(settings, &path, file)
}

fn threshold(node: &Node, path: &str, file: &str) -> Result<Method, RuleError> {
    let mut fields = Fields::of(node, path, file)?;
    let at_least = fields.whole_number("at_least", 1, AT_LEAST_MAX)? as u64;
    let within_us = fields.duration("within", WITHIN[0], WITHIN[1])?;
    fields.done(&["at_least", "within"])?;
    Ok(Method::Threshold { at_least, within_us })
}

fn distinct(node: &Node, path: &str, file: &str) -> Result<Method, RuleError> {
    let mut fields = Fields::of(node, path, file)?;
    let of = columns(&mut fields)?;
    let at_least = fields.whole_number("at_least", 2, 100_000)? as u64;
    let within_us = fields.duration("within", WITHIN[0], WITHIN[1])?;
    fields.done(&["of", "at_least", "within"])?;
    Ok(Method::Distinct { of, at_least, within_us })
}

fn columns(fields: &mut Fields<'_>) -> Result<Vec<&'static str>, RuleError> {
    let expected = "a column or a list of at most four columns of text, whole numbers or true/false";
    fields.required("of", expected)?;
    let names = fields.texts("of")?;
    if names.is_empty() || names.len() > 4 {
        return Err(fields.error("of", format!("expected {expected}")));
    }
    let columns: Result<Vec<&'static str>, String> =
        names.iter().map(|(name, _)| event_column(name, TEXT_KINDS, expected)).collect();
    columns.map_err(|message| fields.error("of", message))
}

fn sum(node: &Node, path: &str, file: &str) -> Result<Method, RuleError> {
    let mut fields = Fields::of(node, path, file)?;
    let of = amount(fields.text("of", AMOUNT)?).map_err(|message| fields.error("of", message))?;
    let at_least = fields.whole_number("at_least", 1, i64::MAX)? as u64;
    let within_us = fields.duration("within", WITHIN[0], WITHIN[1])?;
    fields.done(&["of", "at_least", "within"])?;
    Ok(Method::Sum { of, at_least, within_us })
}

const AMOUNT: &str = "a column of whole numbers";

fn amount(name: &str) -> Result<&'static str, String> {
    event_column(name, &[Kind::Int32, Kind::Int64], AMOUNT)
}

fn ratio(node: &Node, path: &str, file: &str) -> Result<Method, RuleError> {
    let mut fields = Fields::of(node, path, file)?;
    let sql = fields.text("of", "a SQL condition")?;
    let of = Predicate::compile(sql).map_err(|message| fields.error("of", message))?;
    let at_least = fields.number("at_least", 0.001, 1.0)?;
    let min_events = fields.whole_number("min_events", 1, AT_LEAST_MAX)? as u64;
    let within_us = fields.duration("within", WITHIN[0], WITHIN[1])?;
    fields.done(&["of", "at_least", "min_events", "within"])?;
    Ok(Method::Ratio { of, at_least, min_events, within_us })
}

const BASELINE_KEYS: &[&str] = &[
    "of",
    "window",
    "sigmas",
    "history",
    "warmup",
    "floor",
    "min_change",
    "direction",
    "min_value",
    "min_events",
    "parent",
];

fn baseline(node: &Node, path: &str, entity: &EntityKind, file: &str) -> Result<Method, RuleError> {
    let mut fields = Fields::of(node, path, file)?;
    let of = measure(fields.text("of", MEASURES)?).map_err(|message| fields.error("of", message))?;
    let window_us = fields.duration("window", "1s", "7d")?;
    let params = params(&mut fields, &of, window_us)?;
    let min_value = number_or(&mut fields, "min_value", 0.0, 1e15, 0.0)?;
    let least_events = if matches!(of, Measure::Ratio(_)) { 10.0 } else { 1.0 };
    let min_events = number_or(&mut fields, "min_events", 0.0, 1e9, least_events)? as u64;
    let parent = parent(&mut fields, entity)?;
    fields.done(BASELINE_KEYS)?;
    Ok(Method::Baseline(Box::new(Baseline { of, window_us, params, min_value, min_events, parent })))
}

/// A day and an hour of five-minute windows.
const HISTORY_WINDOWS: u32 = 288;
const WARMUP_WINDOWS: u32 = 12;

fn params(fields: &mut Fields<'_>, of: &Measure, window_us: i64) -> Result<Params, RuleError> {
    let kind = match of {
        Measure::Count | Measure::Distinct(_) => Shape::Count,
        Measure::Sum(_) => Shape::Amount,
        Measure::Ratio(_) => Shape::Rate,
    };
    let direction = match fields.optional_text("direction", "up, down or both")? {
        None | Some("up") => Direction::Up,
        Some("down") => Direction::Down,
        Some("both") => Direction::Both,
        Some(other) => return Err(fields.error("direction", format!("expected up, down or both, found `{other}`"))),
    };
    Ok(Params {
        sigmas: number_or(fields, "sigmas", 1.0, 100.0, 3.0)?,
        history_windows: windows_of(fields, "history", window_us, (HISTORY_WINDOWS, 4))?,
        warmup_windows: windows_of(fields, "warmup", window_us, (WARMUP_WINDOWS, 1))?,
        floor: number_or(fields, "floor", 0.0, 1e15, 0.0)?,
        min_change: number_or(fields, "min_change", 0.0, 1e6, 0.0)?,
        kind,
        direction,
    })
}

fn number_or(fields: &mut Fields<'_>, name: &str, low: f64, high: f64, default: f64) -> Result<f64, RuleError> {
    if fields.optional(name).is_none() { Ok(default) } else { fields.number(name, low, high) }
}

/// A duration as a number of windows, at least `least`; a bare whole number is taken as windows.
fn windows_of(
    fields: &mut Fields<'_>,
    name: &str,
    window_us: i64,
    (default, least): (u32, u32),
) -> Result<u32, RuleError> {
    let Some(node) = fields.optional(name) else { return Ok(default) };
    let windows = match &node.value {
        Value::Int(windows) => Some(*windows),
        Value::Text(text) => duration_us(text).map(|us| us / window_us),
        _ => None,
    };
    match windows.and_then(|w| u32::try_from(w).ok()) {
        Some(windows) if (least..=1_000_000).contains(&windows) => Ok(windows),
        _ => {
            let message = format!(
                "expected a duration of at least {least} windows (30m, 1d) or a number of windows, found {}",
                node.describe()
            );
            Err(fields.error(name, message))
        }
    }
}

fn parent(fields: &mut Fields<'_>, entity: &EntityKind) -> Result<Option<EntityKind>, RuleError> {
    let Some(text) = fields.optional_text("parent", "what to borrow history from")? else { return Ok(None) };
    let parent = EntityKind::parse(text).map_err(|message| fields.error("parent", message))?;
    if parent == *entity || parent.0.len() > 1 {
        let message = format!("expected a single column other than the entity, or whole; found `{text}`");
        return Err(fields.error("parent", message));
    }
    Ok(Some(parent))
}

const MEASURES: &str = "count, sum(column), ratio(\"condition\") or distinct(column, ...)";

fn measure(text: &str) -> Result<Measure, String> {
    let text = text.trim();
    if text == "count" {
        return Ok(Measure::Count);
    }
    let argument = |name: &str| text.strip_prefix(name)?.trim_start().strip_prefix('(')?.strip_suffix(')');
    if let Some(column) = argument("sum") {
        return amount(column.trim()).map(Measure::Sum);
    }
    if let Some(condition) = argument("ratio") {
        let condition = condition.trim();
        let bare = condition.strip_prefix('"').and_then(|c| c.strip_suffix('"')).unwrap_or(condition);
        return Predicate::compile(bare).map(Measure::Ratio);
    }
    let Some(columns) = argument("distinct") else { return Err(format!("expected {MEASURES}, found `{text}`")) };
    let expected = "columns of text, whole numbers or true/false";
    let columns: Result<Vec<&'static str>, String> =
        columns.split(',').map(|name| event_column(name.trim(), TEXT_KINDS, expected)).collect();
    columns.map(Measure::Distinct)
}
