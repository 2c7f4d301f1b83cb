//! A file of Sigma rules: YAML in, its documents out, each with the places of its keys.
//!
//! The YAML is read once, by the reader that also reads our own detectors (bounded in depth, nodes and aliases, with lines). What
//! it read is handed document by document, in plain form, to `rsigma-parser`, which knows Sigma.
//!
//! Promises: a broken document costs itself, not its neighbours; each complaint has a line where one can be told.
//! Never: panics on a file, whatever it holds; decides whether a rule can run.

use std::borrow::Cow;

use rsigma_parser::{CorrelationRule, FilterRule, SigmaCollection, SigmaRule, parse_sigma_yaml};

use super::limits;
use super::tree::{self, Content, Node};

/// A document that Sigma knows.
#[derive(Debug)]
pub enum Parsed {
    Rule(Box<SigmaRule>),
    Correlation(Box<CorrelationRule>),
    Filter(Box<FilterRule>),
}

/// A document and its text's places.
#[derive(Debug)]
pub struct Document {
    pub parsed: Parsed,
    pub node: Node,
    /// What is odd about it, but keeps it from nothing.
    pub notes: Vec<String>,
}

/// What is wrong with a file, and in which line; 0 where that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub line: u64,
    pub what: String,
}

impl Wrong {
    fn at(line: u64, what: impl Into<String>) -> Wrong {
        Wrong { line, what: what.into() }
    }
}

/// The documents of a file, and what is wrong with the others.
pub fn read(text: &str) -> (Vec<Document>, Vec<Wrong>) {
    if text.len() > limits::FILE_BYTES_MAX {
        let what = format!("{} bytes; expected at most {}", text.len(), limits::FILE_BYTES_MAX);
        return (Vec::new(), vec![Wrong::at(0, what)]);
    }
    let nodes = match tree::read(text) {
        Ok(nodes) if nodes.is_empty() => return (Vec::new(), vec![Wrong::at(0, "empty; expected a Sigma rule")]),
        Ok(nodes) => nodes,
        Err((line, what)) => return (Vec::new(), vec![Wrong::at(line, format!("not valid YAML: {what}"))]),
    };
    let actions = nodes.iter().any(|node| node.get("action").is_some());
    let most = if actions { limits::ACTION_DOCUMENTS_MAX } else { limits::DOCUMENTS_MAX };
    if nodes.len() > most {
        let what = format!("{} documents; expected at most {most}", nodes.len());
        return (Vec::new(), vec![Wrong::at(0, what)]);
    }
    let (mut documents, mut wrong) = (Vec::new(), Vec::new());
    let mut before = String::new();
    let mut counts = (0, 0, 0, 0);
    for node in nodes {
        if let Err(complaint) = shape(&node) {
            wrong.push(complaint);
            continue;
        }
        // Under `action` a document depends on those before it, so it is read with them, and what is new is its own.
        let stream = format!("{before}---\n{}\n", tree::plain(&whole_bounds(&node)));
        let (parsed, complaints) = match parse_sigma_yaml(&stream) {
            Ok(collection) => last(collection, &mut counts),
            Err(error) => (None, vec![error.to_string()]),
        };
        if actions {
            before = stream;
        } else {
            counts = (0, 0, 0, 0);
        }
        let is_action = node.get("action").is_some_and(|action| matches!(action.text(), Some("global" | "reset")));
        match parsed {
            Some(parsed) => documents.push(Document { parsed, node, notes: complaints }),
            None if is_action && complaints.is_empty() => {}
            None => wrong.push(explained(&node, &complaints.join("; "))),
        }
    }
    (documents, wrong)
}

/// The document with bounds that the parser can read: it knows whole numbers only. What is put in their place is looked at by nobody:
/// bounds are read from the tree.
fn whole_bounds(node: &Node) -> Cow<'_, Node> {
    let bound = |key: &str| ["lt", "lte", "gt", "gte", "eq", "neq"].contains(&key);
    let whole = |value: &Node| matches!(value.content, Content::Int(0..));
    let condition = node.get("correlation").and_then(|node| node.get("condition"));
    if condition.is_none_or(|node| node.entries().iter().all(|(key, value)| !bound(&key.text) || whole(value))) {
        return Cow::Borrowed(node);
    }
    let mut node = node.clone();
    let condition = node.get_mut("correlation").and_then(|node| node.get_mut("condition"));
    if let Some(Node { content: Content::Map(entries), .. }) = condition {
        entries.iter_mut().filter(|(key, _)| bound(&key.text)).for_each(|(_, value)| value.content = Content::Int(0));
    }
    Cow::Owned(node)
}

/// What came with the last document: itself, and what was said about it.
fn last(mut all: SigmaCollection, counts: &mut (usize, usize, usize, usize)) -> (Option<Parsed>, Vec<String>) {
    let (rules, correlations, filters, errors) = *counts;
    *counts = (all.rules.len(), all.correlations.len(), all.filters.len(), all.errors.len());
    let complaints = all.errors.split_off(errors.min(all.errors.len()));
    let parsed = if all.rules.len() > rules {
        all.rules.pop().map(|rule| Parsed::Rule(Box::new(rule)))
    } else if all.correlations.len() > correlations {
        all.correlations.pop().map(|rule| Parsed::Correlation(Box::new(rule)))
    } else if all.filters.len() > filters {
        all.filters.pop().map(|rule| Parsed::Filter(Box::new(rule)))
    } else {
        None
    };
    (parsed, complaints)
}

/// What the parser takes in silence, and would then read as something else.
fn shape(node: &Node) -> Result<(), Wrong> {
    let Content::Map(_) = &node.content else {
        return Err(Wrong::at(node.line, format!("{}; expected a mapping with title and detection", node.describe())));
    };
    for key in ["title", "id", "name", "level", "status", "description"] {
        if let Some(value) = node.get(key)
            && value.text().is_none()
        {
            return Err(Wrong::at(value.line, format!("{key}: {}; expected text", value.describe())));
        }
    }
    bounded(node)?;
    for key in ["logsource", "detection", "correlation", "filter"] {
        if let Some(value) = node.get(key)
            && !matches!(value.content, Content::Map(_))
        {
            return Err(Wrong::at(value.line, format!("{key}: {}; expected a mapping", value.describe())));
        }
    }
    if let Some(detection) = node.get("detection").or(node.get("filter")) {
        detection.entries().iter().try_for_each(|(key, value)| values(&key.text, value, true))?;
    }
    node.get("correlation").map_or(Ok(()), correlation)
}

/// Refuses keys and conditions over which the parser would recurse too deep. Recursion here is bounded by the reader.
fn bounded(node: &Node) -> Result<(), Wrong> {
    match &node.content {
        Content::Map(entries) => entries.iter().try_for_each(|(key, value)| {
            let brackets = key.text.matches('[').count();
            if key.text.len() > limits::KEY_BYTES_MAX || brackets > limits::KEY_BRACKETS_MAX {
                let most = (limits::KEY_BYTES_MAX, limits::KEY_BRACKETS_MAX);
                let what =
                    format!("a key of {} bytes and {brackets} brackets; expected at most {most:?}", key.text.len());
                return Err(Wrong::at(key.line, what));
            }
            if key.text == "condition" {
                let texts: Vec<&Node> =
                    if let Content::List(members) = &value.content { members.iter().collect() } else { vec![value] };
                texts.iter().try_for_each(|text| text.text().map_or(Ok(()), |it| shallow(it, text.line)))?;
            }
            bounded(value)
        }),
        Content::List(members) => members.iter().try_for_each(bounded),
        _ => Ok(()),
    }
}

fn shallow(condition: &str, line: u64) -> Result<(), Wrong> {
    let (mut open, mut deepest, mut nots) = (0_usize, 0, 0);
    for word in condition.replace('(', " ( ").replace(')', " ) ").split_whitespace() {
        nots = if word == "not" { nots + 1 } else { 0 };
        match word {
            "(" => open += 1,
            ")" => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open).max(nots);
    }
    if condition.len() <= limits::CONDITION_BYTES_MAX && deepest <= limits::CONDITION_DEPTH_MAX {
        return Ok(());
    }
    let most = (limits::CONDITION_BYTES_MAX, limits::CONDITION_DEPTH_MAX);
    let what = format!("a condition of {} bytes and {deepest} levels; expected at most {most:?}", condition.len());
    Err(Wrong::at(line, what))
}

/// A value of a selection is text, a number, true or false, nothing, or a list of these.
fn values(key: &str, node: &Node, selection: bool) -> Result<(), Wrong> {
    match &node.content {
        Content::Map(entries) if selection => entries.iter().try_for_each(|(key, value)| {
            let list = matches!(value.content, Content::Map(_)) && !key.text.contains('[');
            if list {
                let expected = "expected a value or a list of values; a field within a field is written `a.b`";
                return Err(Wrong::at(value.line, format!("`{}`: a mapping; {expected}", key.text)));
            }
            values(&key.text, value, false)
        }),
        Content::List(members) if selection => members.iter().try_for_each(|member| values(key, member, true)),
        Content::List(members) => match members.iter().find(|member| member.is_branch()) {
            None => Ok(()),
            Some(member) => {
                let what = format!("`{key}`: {} among its values; expected text, numbers or null", member.describe());
                Err(Wrong::at(member.line, what))
            }
        },
        _ => Ok(()),
    }
}

fn correlation(node: &Node) -> Result<(), Wrong> {
    let known =
        ["type", "rules", "group-by", "timespan", "timeframe", "condition", "aliases", "generate", "window", "gap"];
    for (key, value) in node.entries() {
        let wrong = |expected: &str| {
            Err(Wrong::at(value.line, format!("correlation: {}: {}; expected {expected}", key.text, value.describe())))
        };
        let texts = match &value.content {
            Content::List(members) => members.iter().all(|member| member.text().is_some()),
            _ => value.text().is_some(),
        };
        match key.text.as_str() {
            "rules" | "group-by" if !texts => return wrong("a text or a list of texts"),
            "type" | "timespan" | "timeframe" if value.text().is_none() => return wrong("a text"),
            "generate" if !matches!(value.content, Content::Bool(_)) => return wrong("true or false"),
            "aliases" if !value.entries().iter().all(|(_, fields)| matches!(fields.content, Content::Map(_))) => {
                return wrong("for each alias a mapping from a rule's name to a field");
            }
            name if !known.contains(&name) => {
                let what = format!("correlation: `{name}` is not known; expected one of: {}", known.join(", "));
                return Err(Wrong::at(key.line, what));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The parser's complaint with the line that it is about, and with what was expected where it does not say so.
fn explained(node: &Node, complaint: &str) -> Wrong {
    let quoted = complaint.split('\'').nth(1).unwrap_or_default();
    if complaint.starts_with("Missing required field") {
        let what = match quoted {
            "title" => "no title; expected a text",
            "condition" => "no condition; expected a text such as `selection`",
            "detection" => {
                "no detection; expected a mapping with selections and a condition (or correlation, or filter)"
            }
            other => return Wrong::at(node.line, format!("no {other}")),
        };
        let line = if quoted == "condition" { node.line_of(&["detection"]) } else { node.line };
        return Wrong::at(line, what);
    }
    if complaint.starts_with("Unknown modifier") {
        let line = node.find(&|key| key.split('|').skip(1).any(|modifier| modifier == quoted));
        let expected = "expected one of: contains, startswith, endswith, all, re (i, m, s), cidr, base64, base64offset, \
                        wide, utf16, utf16le, utf16be, windash, cased, exists, fieldref, lt, lte, gt, gte, neq, minute, \
                        hour, day, week, month, year";
        return Wrong::at(line.unwrap_or(node.line), format!("unknown modifier `{quoted}`; {expected}"));
    }
    if complaint.starts_with("Condition parse error") {
        let line = node.line_of(&["detection", "condition"]);
        let old = node.texts_of(&["detection", "condition"]).iter().any(|text| text.contains('|'));
        let what = if old {
            "an aggregation after `|`, which Sigma gave up; expected a correlation rule beside a plain condition"
                .to_owned()
        } else {
            let said = complaint.lines().map(str::trim).filter(|line| line.starts_with("= "));
            let said = said.map(|line| line.trim_start_matches("= ")).collect::<Vec<_>>().join("; ");
            let said = if said.is_empty() { complaint.to_owned() } else { said };
            format!("the condition is not understood: {said}")
        };
        return Wrong::at(line, what);
    }
    let line = if complaint.contains("timespan") || complaint.contains("timeframe") {
        node.line_of(&["correlation", "timespan"])
    } else if complaint.contains("ondition") {
        node.line_of(&["correlation", "condition"])
    } else if complaint.contains("orrelation") {
        node.line_of(&["correlation", "type"])
    } else {
        node.line
    };
    let expected = if complaint.contains("Invalid timespan") { "; expected a number and s, m, h or d" } else { "" };
    Wrong::at(line, format!("{complaint}{expected}"))
}
