//! Cases: short sequences of events with the alerts that must follow, beside each detector.
//!
//! ```yaml
//! about: a scanner walks a hundred endpoints in fifty seconds
//! start: 2026-03-01T12:00:00Z            # the default
//! defaults: { gateway: nginx, client_ip: 203.0.113.7 }
//! events:
//!   - { at: 0s, repeat: 120, every: 500ms, status: 404, vary: { endpoint: "GET /v1/item{n}" } }
//!   - { at: 2h, status: 200, client_ip: 192.0.2.1 }
//! expect:                                # or: none
//!   - { entity: 203.0.113.7, opened: 49500ms, observed: 100, events: 100 }
//!   - { entity: 203.0.113.7, state: closed }
//! ```
//! In `vary`, `{n}` is the number of the repetition from 0; `{n%7}` and `{n/10}` its remainder and quotient. Expected
//! alerts are all of their states, in order; states that no expectation names are not compared, but `open` always is.
//! Of an event with a `path` and no `endpoint`, endpoint and object are derived as of a record.
//!
//! Promises: a case passes only if every cut of its events into batches, with a snapshot and restore at the cuts, gives
//! the same alerts, byte for byte.
//! Never: reads a file.

mod derived;
mod run;

use schemas::alert::State;
use serde_json::Value as Json;

pub use self::run::{Mismatch, run_case};
use crate::engine::parse_rfc3339;
use crate::rule::node::{self, Fields, Key, Node, Value};
use crate::rule::{RuleError, duration_us};
use crate::testkit::Row;

/// A case: its events in order of time, and what must follow.
#[derive(Clone, Debug)]
pub struct Case {
    pub file: String,
    pub about: String,
    pub events: Vec<Row>,
    pub expect: Vec<Expected>,
}

/// One expected telling; what is absent is not compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub entity: String,
    pub state: State,
    pub opened: Option<i64>,
    pub observed: Option<f64>,
    pub events: Option<u64>,
}

const START: &str = "2026-03-01T12:00:00Z";
const EVENTS_MAX: usize = 500_000;

/// Reads and checks a case file.
pub fn parse_case(yaml: &str, file: &str) -> Result<Case, RuleError> {
    let document = node::read(yaml, file)?;
    let mut fields = Fields::of(&document, "", file)?;
    let about = fields.text("about", "what happens, in one sentence")?.to_owned();
    let start = fields.optional_text("start", "an RFC 3339 time in UTC")?.unwrap_or(START);
    let start = parse_rfc3339(start)
        .ok_or_else(|| fields.error("start", "expected an RFC 3339 time in UTC like 2026-03-01T12:00:00Z"))?;
    let defaults = match fields.optional("defaults") {
        Some(node) => columns(node, "defaults", file)?,
        None => Row::new(),
    };
    let list = fields.required("events", "a list of events")?;
    let Value::List(items) = &list.value else { return Err(fields.error("events", "expected a list of events")) };
    let mut events = Vec::new();
    for item in items {
        sequence(item, (start, &defaults), file, &mut events)?;
        if events.len() > EVENTS_MAX {
            return Err(RuleError::new(file, item.place, "events", format!("expected at most {EVENTS_MAX} events")));
        }
    }
    events.sort_by_key(|(time, _)| *time);
    let expect = expectations(&mut fields, start, file)?;
    fields.done(&["about", "start", "defaults", "events", "expect"])?;
    let mut events: Vec<Row> = events.into_iter().map(|(_, row)| row).collect();
    derived::fill(&mut events);
    Ok(Case { file: file.to_owned(), about, events, expect })
}

/// One item of `events`: an event, or a sequence of them.
fn sequence(
    item: &Node,
    (start, defaults): (i64, &Row),
    file: &str,
    events: &mut Vec<(i64, Row)>,
) -> Result<(), RuleError> {
    let mut fields = Fields::of(item, "events", file)?;
    let at = match fields.text("at", "a duration after the start, or an RFC 3339 time")? {
        text if text.ends_with('Z') => parse_rfc3339(text),
        text => duration_us(text).map(|us| start + us),
    };
    let at =
        at.ok_or_else(|| fields.error("at", "expected a duration after the start like 90s, or an RFC 3339 time"))?;
    let repeat = match fields.optional("repeat") {
        Some(_) => fields.whole_number("repeat", 1, EVENTS_MAX as i64)?,
        None => 1,
    };
    let every = if repeat > 1 { fields.duration("every", "0ms", "7d")? } else { 0 };
    let vary = match fields.optional("vary") {
        Some(node) => columns(node, "events.vary", file)?,
        None => Row::new(),
    };
    let mut row = defaults.clone();
    let Value::Map(entries) = &item.value else { return Ok(()) };
    for (key, value) in entries.iter().filter(|(k, _)| !["at", "repeat", "every", "vary"].contains(&k.text.as_str())) {
        row.insert(key.text.clone(), column(key, value, "events", file)?);
    }
    for n in 0..repeat {
        let time = at + n * every;
        let mut row = row.clone();
        row.insert("time".into(), time.into());
        for (name, template) in &vary {
            row.insert(name.clone(), varied(template, n));
        }
        events.push((time, row));
    }
    Ok(())
}

fn columns(node: &Node, path: &str, file: &str) -> Result<Row, RuleError> {
    Fields::of(node, path, file)?;
    let Value::Map(entries) = &node.value else { return Ok(Row::new()) };
    entries.iter().map(|(key, value)| Ok((key.text.clone(), column(key, value, path, file)?))).collect()
}

/// A cell of an event; the name must be a column.
fn column(key: &Key, node: &Node, path: &str, file: &str) -> Result<Json, RuleError> {
    let field = format!("{path}.{}", key.text);
    if schemas::event::FIELDS.iter().all(|f| f.name != key.text) {
        let message = format!("unknown column; {}", crate::where_sql::columns_hint(&key.text));
        return Err(RuleError::new(file, key.place, &field, message));
    }
    let scalar = |node: &Node| match &node.value {
        Value::Null => Some(Json::Null),
        Value::Bool(b) => Some(Json::from(*b)),
        Value::Int(i) => Some(Json::from(*i)),
        Value::Float(f) => Some(Json::from(*f)),
        Value::Text(t) => Some(Json::from(t.as_str())),
        Value::List(_) | Value::Map(_) => None,
    };
    let cell = match &node.value {
        Value::List(items) => items.iter().map(scalar).collect::<Option<Vec<Json>>>().map(Json::from),
        _ => scalar(node),
    };
    cell.ok_or_else(|| RuleError::new(file, node.place, &field, format!("expected a value, found {}", node.describe())))
}

/// Fills a template; what is then a whole number is one where the template was only a placeholder.
fn varied(template: &Json, n: i64) -> Json {
    let Some(text) = template.as_str() else { return template.clone() };
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{n") {
        let Some((operation, tail)) = after.split_once('}') else { break };
        filled.push_str(before);
        let operand = operation.get(1..).and_then(|d| d.parse::<i64>().ok()).filter(|d| *d > 0);
        let value = match (operation.chars().next(), operand) {
            (Some('%'), Some(d)) => n % d,
            (Some('/'), Some(d)) => n / d,
            (Some('+'), Some(d)) => n + d,
            (Some('*'), Some(d)) => n * d,
            _ => n,
        };
        filled.push_str(&value.to_string());
        rest = tail;
    }
    filled.push_str(rest);
    let numeric = text.starts_with("{n") && text.ends_with('}');
    match filled.parse::<i64>() {
        Ok(number) if numeric => number.into(),
        _ => filled.into(),
    }
}

fn expectations(fields: &mut Fields<'_>, start: i64, file: &str) -> Result<Vec<Expected>, RuleError> {
    let expected = "`none` or a list of alerts";
    let node = fields.required("expect", expected)?;
    match &node.value {
        Value::Text(text) if text == "none" => Ok(Vec::new()),
        Value::List(items) if !items.is_empty() => items.iter().map(|item| expectation(item, start, file)).collect(),
        _ => Err(fields.error("expect", format!("expected {expected}, found {}", node.describe()))),
    }
}

fn expectation(item: &Node, start: i64, file: &str) -> Result<Expected, RuleError> {
    let mut fields = Fields::of(item, "expect", file)?;
    let entity = match &fields.required("entity", "the value of the entity")?.value {
        Value::Text(text) => text.clone(),
        _ => return Err(fields.error("entity", "expected the value of the entity as text")),
    };
    let state = match fields.optional_text("state", "open, updated or closed")? {
        None | Some("open") => State::Open,
        Some("updated") => State::Updated,
        Some("closed") => State::Closed,
        Some(other) => return Err(fields.error("state", format!("expected open, updated or closed, found `{other}`"))),
    };
    let opened = match fields.optional_text("opened", "a duration after the start")? {
        None => None,
        Some(text) => {
            let us = if text.ends_with('Z') { parse_rfc3339(text) } else { duration_us(text).map(|us| start + us) };
            Some(us.ok_or_else(|| fields.error("opened", "expected a duration after the start, or an RFC 3339 time"))?)
        }
    };
    let observed = match fields.optional("observed") {
        Some(_) => Some(fields.number("observed", 0.0, 1e18)?),
        None => None,
    };
    let events = match fields.optional("events") {
        Some(_) => Some(fields.whole_number("events", 0, i64::MAX)? as u64),
        None => None,
    };
    fields.done(&["entity", "state", "opened", "observed", "events"])?;
    Ok(Expected { entity, state, opened, observed, events })
}
