//! `baseline`: a measure of each window against the entity's own past; the statistics are `crate::baseline`.
//!
//! For: the settings of the method, as a detector's file has them, and what a finding says. `windows.rs` does the work.

#[cfg(test)]
mod parent_tests;
mod windows;

use std::sync::Arc;

use serde_json::json;

use self::windows::{Lenders, Windows};
use super::distinct::Seen;
use super::ratio::Share;
use super::sum::Total;
use super::threshold::Count;
use crate::baseline::{Counts, Direction, Judgement, Kind as Shape, Params, Past, Rates, When, Window};
use crate::engine::columns::EntityKey;
use crate::engine::episode::Finding;
use crate::kit::{Detector, Settings, Start, read};
use crate::rule::node::{Fields, Value};
use crate::rule::{EntityKind, RuleError, duration_us, event_column};
use crate::where_sql::Predicate;

pub(super) const KEYS: &[&str] = &[
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

/// The settings.
#[derive(Clone, Debug)]
struct Baseline {
    of: Measure,
    window_us: i64,
    params: Params,
    /// Smaller values (downwards: smaller expectations) are never a breach.
    min_value: f64,
    /// Windows with fewer events are never a breach.
    min_events: u64,
    /// Whose history an entity with little of its own borrows from.
    parent: Option<Lender>,
    /// It is about all requests together, so that there being none is about it.
    is_whole: bool,
}

/// Who lends to an entity with little history of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Lender {
    /// Those of the same value in a column that entities can be made of; or all.
    Entity(EntityKind),
    /// Those who are of the same kind: people, consumers or services.
    PrincipalKind,
}

/// The column by whose values people and machines are told apart.
const PRINCIPAL_KIND: &str = "principal_kind";

/// What is measured in a window.
#[derive(Clone, Debug)]
enum Measure {
    Count,
    Sum(&'static str),
    Ratio(Predicate),
    Distinct(Vec<&'static str>),
}

pub(super) fn read(fields: &mut Fields<'_>, entity: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let of = measure(fields.text("of", MEASURES)?).map_err(|message| fields.error("of", message))?;
    let window_us = fields.duration("window", "1s", "7d")?;
    let params = params(fields, &of, window_us)?;
    let min_value = read::number_or(fields, "min_value", 0.0, 1e15, 0.0)?;
    let least_events = if matches!(of, Measure::Ratio(_)) { 10.0 } else { 1.0 };
    let min_events = read::number_or(fields, "min_events", 0.0, 1e9, least_events)? as u64;
    let (parent, is_whole) = (parent(fields, entity)?, entity.columns().is_empty());
    Ok(Arc::new(Baseline { of, window_us, params, min_value, min_events, parent, is_whole }))
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
        sigmas: read::number_or(fields, "sigmas", 1.0, 100.0, 3.0)?,
        history_windows: windows_of(fields, "history", window_us, (HISTORY_WINDOWS, 4))?,
        warmup_windows: windows_of(fields, "warmup", window_us, (WARMUP_WINDOWS, 1))?,
        floor: read::number_or(fields, "floor", 0.0, 1e15, 0.0)?,
        min_change: read::number_or(fields, "min_change", 0.0, 1e6, 0.0)?,
        kind,
        direction,
    })
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

fn parent(fields: &mut Fields<'_>, entity: &EntityKind) -> Result<Option<Lender>, RuleError> {
    let expected = "principal_kind, a single column other than the entity, or whole";
    let Some(text) = fields.optional_text("parent", expected)? else { return Ok(None) };
    if text == PRINCIPAL_KIND {
        return match entity.columns().is_empty() {
            true => Err(fields.error("parent", "expected none: what is all of everybody has nobody around it")),
            false => Ok(Some(Lender::PrincipalKind)),
        };
    }
    let wrong = |found: &str| format!("expected {expected}; found `{found}`");
    let parent = EntityKind::parse(text).map_err(|_| fields.error("parent", wrong(text)))?;
    if parent == *entity || parent.columns().len() > 1 {
        return Err(fields.error("parent", wrong(text)));
    }
    Ok(Some(Lender::Entity(parent)))
}

const MEASURES: &str = "count, sum(column), ratio(\"condition\") or distinct(column, ...)";

fn measure(text: &str) -> Result<Measure, String> {
    let text = text.trim();
    if text == "count" {
        return Ok(Measure::Count);
    }
    let argument = |name: &str| text.strip_prefix(name)?.trim_start().strip_prefix('(')?.strip_suffix(')');
    if let Some(column) = argument("sum") {
        return read::amount_named(column.trim()).map(Measure::Sum);
    }
    if let Some(condition) = argument("ratio") {
        let condition = condition.trim();
        let bare = condition.strip_prefix('"').and_then(|c| c.strip_suffix('"')).unwrap_or(condition);
        return Predicate::compile(bare).map(Measure::Ratio);
    }
    let Some(columns) = argument("distinct") else { return Err(format!("expected {MEASURES}, found `{text}`")) };
    let expected = "columns of text, whole numbers or true/false";
    let columns: Result<Vec<&'static str>, String> =
        columns.split(',').map(|name| event_column(name.trim(), read::VALUE_KINDS, expected)).collect();
    columns.map(Measure::Distinct)
}

impl Settings for Baseline {
    fn identity(&self) -> String {
        let of = match &self.of {
            Measure::Ratio(of) => format!("ratio({})", of.sql()),
            other => format!("{other:?}"),
        };
        let Baseline { window_us, params, min_value, min_events, parent, .. } = self;
        // As it was written before there were kinds: what was learned by an older version goes on.
        let parent = match parent {
            Some(Lender::PrincipalKind) => PRINCIPAL_KIND.to_owned(),
            Some(Lender::Entity(kind)) => format!("{:?}", Some(kind)),
            None => "None".to_owned(),
        };
        // What was learned before counts had hours of the week, or shares a running sum, is of another form.
        let form = if matches!(self.of, Measure::Ratio(_)) { "summed" } else { "hours" };
        format!("baseline {of} {window_us} {params:?} {min_value} {min_events} {parent} {form}")
    }
    fn window_us(&self) -> i64 {
        self.window_us
    }
    /// It decides once per window, so an episode outlives one ordinary window between two bad ones.
    fn quiet_least_us(&self) -> i64 {
        2 * self.window_us
    }
    fn needs(&self) -> Vec<&str> {
        match &self.of {
            Measure::Count => Vec::new(),
            Measure::Sum(of) => vec![*of],
            Measure::Ratio(of) => of.needs().iter().map(String::as_str).collect(),
            Measure::Distinct(of) => read::needs_of_values(of),
        }
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let parent = match &self.parent {
            None => Lenders::All,
            Some(Lender::Entity(kind)) => Lenders::Keys(start.plan.kind(kind)),
            Some(Lender::PrincipalKind) => Lenders::Values(start.plan.values(&[PRINCIPAL_KIND])),
        };
        let (settings, bound) = (self.clone(), start.limits.entities_per_detector);
        match &self.of {
            Measure::Count => start.drive(Windows::<Count, Counts>::new(settings, 0, parent, bound)),
            Measure::Sum(of) => {
                let of = start.plan.amount(of);
                start.drive(Windows::<Total, Counts>::new(settings, of, parent, bound))
            }
            Measure::Ratio(of) => {
                let of = start.plan.predicate(of);
                start.drive(Windows::<Share, Rates>::new(settings, of, parent, bound))
            }
            Measure::Distinct(of) => {
                let of = start.plan.values(of);
                start.drive(Windows::<Seen, Counts>::new(settings, of, parent, bound))
            }
        }
    }
}

/// A window of one entity.
struct Judged {
    key: EntityKey,
    parent: EntityKey,
    value: f64,
    events: u64,
    error: Option<f64>,
    when: When,
}

impl Judged {
    fn window(&self) -> Window {
        Window { value: self.value, events: self.events as f64, when: self.when }
    }
}

impl Baseline {
    /// Half-way to a breach is where evidence begins.
    fn alarm(&self, judgement: Option<&Judgement>) -> f64 {
        let usual = judgement.map(|j| j.expected + 0.5 * self.params.sigmas * j.spread);
        match usual {
            Some(usual) => usual.max(0.5 * self.min_value),
            None if self.min_value > 0.0 => self.min_value,
            None => f64::INFINITY,
        }
    }

    fn matters(&self, judged: &Judged, judgement: &Judgement) -> bool {
        let upward = judged.value >= judgement.expected;
        let size = if upward { judged.value } else { judgement.expected };
        size >= self.min_value && (!upward || judged.events >= self.min_events)
    }

    fn finding(&self, judged: &Judged, judgement: &Judgement, past: &impl Past, end: i64) -> Finding {
        let margin = self.params.sigmas * judgement.spread;
        let upward = judged.value >= judgement.expected;
        let shown = json!({
            "window_seconds": self.window_us / 1_000_000,
            "recent": past.recent().into_iter().map(rounded).collect::<Vec<f64>>(),
            "expected": rounded(judgement.expected),
            "spread": rounded(judgement.spread),
            "sigmas": rounded(judgement.sigmas),
            "tail": rounded(judgement.tail),
            "windows": past.windows(),
        });
        Finding {
            observed: judged.value,
            expected: Some(rounded(judgement.expected)),
            threshold: rounded(judgement.expected + if upward { margin } else { -margin }),
            score: rounded(judgement.sigmas.abs()),
            start: end.saturating_sub(self.window_us),
            end,
            error: judged.error,
            baseline: Some(shown.to_string()),
        }
    }
}

/// Six significant digits: what a person can use, and the same text after a restore.
pub(super) fn rounded(number: f64) -> f64 {
    if !number.is_finite() { number } else { format!("{number:.5e}").parse().unwrap_or(number) }
}
