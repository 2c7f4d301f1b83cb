//! Runs a case: whole, and cut with a snapshot and restore at every cut.

use std::fmt;
use std::sync::Arc;

use schemas::alert::State;
use schemas::{Alert, Lane};

use super::{Case, Expected};
use crate::engine::{Engine, EngineError, EngineLimits, rfc3339};
use crate::rule::Rule;
use crate::testkit::{Row, batch};

/// Why a case does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub file: String,
    pub message: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.message)
    }
}

/// Cuts with a snapshot in one run: enough to meet every stage of an episode, few enough for long cases.
const CUTS_MAX: usize = 24;

/// Runs the events through an engine with this one detector and compares the alerts with the expected ones; then cuts
/// the same events into batches, with a snapshot and restore at each cut, and compares the alerts with those.
pub fn run_case(rule: &Rule, case: &Case) -> Result<(), Mismatch> {
    let rule = &Arc::new(rule.clone());
    let mismatch = |message: String| Mismatch { file: case.file.clone(), message };
    let whole = alerts_of(rule, &case.events, &[]).map_err(mismatch)?;
    compare(&case.expect, &whole).map_err(|message| mismatch(format!("{message}; {}", matched(rule, &case.events))))?;
    let count = case.events.len();
    for step in [1, 7, count.div_ceil(CUTS_MAX)] {
        let mut cuts: Vec<usize> = (1..count).filter(|at| at % step == 0).collect();
        // A short step over a long case: look at the cuts around the first alert, where it matters most.
        if cuts.len() > CUTS_MAX {
            let around = cuts.partition_point(|at| *at < opening_row(case, &whole));
            let from = around.saturating_sub(CUTS_MAX / 2).min(cuts.len() - CUTS_MAX);
            cuts = cuts[from..from + CUTS_MAX].to_vec();
        }
        let pieces = alerts_of(rule, &case.events, &cuts).map_err(mismatch)?;
        if to_json(&pieces) != to_json(&whole) {
            return Err(mismatch(format!("cut at {cuts:?} and restored, the alerts differ from those of one run")));
        }
    }
    Ok(())
}

/// How many of the events are the detector's business at all.
fn matched(rule: &Arc<Rule>, events: &[Row]) -> String {
    let count = || {
        let engine = Engine::new(vec![rule.clone()], EngineLimits::default()).ok()?;
        let rows: Vec<Row> = events.iter().enumerate().map(|(at, row)| numbered(row, at)).collect();
        let matched = engine.matched(&batch(&rows).ok()?).ok()?;
        Some(matched.iter().filter(|ids| !ids.is_empty()).count())
    };
    count().map_or_else(String::new, |n| format!("`where` matches {n} of {} events", events.len()))
}

/// The row at which the first alert opened, or the middle.
fn opening_row(case: &Case, alerts: &[Alert]) -> usize {
    let opened = alerts.first().and_then(|alert| crate::engine::parse_rfc3339(&alert.opened));
    let time = |row: &Row| row.get("time").and_then(serde_json::Value::as_i64);
    opened.and_then(|t| case.events.iter().position(|row| time(row) >= Some(t))).unwrap_or(case.events.len() / 2)
}

/// The alerts of the events, pushed in batches that end at the cuts, with a restored engine after each cut.
fn alerts_of(rule: &Arc<Rule>, events: &[Row], cuts: &[usize]) -> Result<Vec<Alert>, String> {
    let said = |error: EngineError| error.to_string();
    let lane = Lane::new("case", 0);
    let mut engine = Engine::new(vec![rule.clone()], EngineLimits::default()).map_err(said)?;
    engine.open(&lane, 0);
    let mut alerts = Vec::new();
    let ends = cuts.iter().copied().chain([events.len()]);
    let mut start = 0;
    for end in ends {
        let rows: Vec<Row> = (start..end).map(|at| numbered(&events[at], at)).collect();
        engine.push(&lane, batch(&rows)?).map_err(said)?;
        alerts.extend(engine.advance().map_err(said)?);
        if end < events.len() {
            let bytes = engine.snapshot();
            engine = Engine::restore(vec![rule.clone()], EngineLimits::default(), &bytes).map_err(said)?;
        }
        start = end;
    }
    alerts.extend(engine.finish().map_err(said)?);
    Ok(alerts)
}

fn numbered(row: &Row, at: usize) -> Row {
    let mut row = row.clone();
    row.insert("offset".into(), at.into());
    row
}

fn to_json(alerts: &[Alert]) -> Vec<String> {
    alerts.iter().map(|alert| serde_json::to_string(alert).unwrap_or_default()).collect()
}

fn compare(expected: &[Expected], alerts: &[Alert]) -> Result<(), String> {
    let compared = |state: State| state == State::Open || expected.iter().any(|e| e.state == state);
    let found: Vec<&Alert> = alerts.iter().filter(|alert| compared(alert.state)).collect();
    let listed = || match found.as_slice() {
        [] => "no alert".to_owned(),
        some => some.iter().map(|alert| describe(alert)).collect::<Vec<_>>().join("; "),
    };
    if expected.len() != found.len() {
        return Err(format!("expected {} alerts, found {}", expected.len(), listed()));
    }
    for (number, (expected, alert)) in expected.iter().zip(&found).enumerate() {
        let fits = expected.entity == alert.entity.value
            && expected.state == alert.state
            && expected.opened.is_none_or(|t| rfc3339(t) == alert.opened)
            && expected.observed.is_none_or(|o| (o - alert.observed).abs() <= 1e-6 * o.abs())
            && expected.events.is_none_or(|e| e == alert.events);
        if !fits {
            let (expected, found) = (describe_expected(expected), describe(alert));
            return Err(format!("alert {}: expected {expected}, found {found}", number + 1));
        }
    }
    Ok(())
}

fn describe(alert: &Alert) -> String {
    let state = format!("{:?}", alert.state).to_lowercase();
    let (entity, opened) = (&alert.entity.value, &alert.opened);
    format!("{state} for {entity}, opened {opened}, observed {}, {} events", alert.observed, alert.events)
}

fn describe_expected(expected: &Expected) -> String {
    let mut text = format!("{} for {}", format!("{:?}", expected.state).to_lowercase(), expected.entity);
    if let Some(opened) = expected.opened {
        text += &format!(", opened {}", rfc3339(opened));
    }
    if let Some(observed) = expected.observed {
        text += &format!(", observed {observed}");
    }
    if let Some(events) = expected.events {
        text += &format!(", {events} events");
    }
    text
}
