//! Every place of every source: the fields of the records in `sources/*/cases/`, each with something planted into it.
//!
//! JSON is planted by its structure: each value, below each object that holds headers, and as a key. Text is cut into
//! what stands in quotes, in brackets and between blanks. A new kind is found by walking `KINDS`.

use std::path::{Path, PathBuf};

use schemas::{Mapping, SourceConfig, sources::KINDS};
use serde_json::Value;

use super::encodings::percent;

/// A place in a record of one source.
pub struct Place {
    /// Index into the sources that `all` returns.
    pub source: usize,
    pub name: String,
    record: Record,
    how: How,
}

enum Record {
    Json {
        template: Value,
        path: Vec<Step>,
    },
    /// What stands before and behind the place in a line.
    Text {
        before: String,
        after: String,
    },
}

#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
    /// A key that is not there yet.
    New(String),
    /// The planted text is the key.
    AsKey,
}

/// What is done with the text before it is put there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// The whole value.
    Whole,
    /// A part of a path: what would end it is escaped.
    Path,
    /// The value of a pair in a query.
    Query,
    /// A whole query as it stands, but for what would end it.
    RawQuery,
    /// Among the words of a text.
    Words,
}

pub struct Source {
    pub name: String,
    pub config: SourceConfig,
}

/// All sources, and all places in their records.
pub fn all() -> (Vec<Source>, Vec<Place>) {
    let (mut sources, mut places) = (Vec::new(), Vec::new());
    for kind in KINDS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sources").join(kind.name).join("cases");
        let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
            .expect("each kind has cases")
            .map(|f| f.expect("a readable entry").path())
            .filter(|f| f.extension().is_some_and(|e| e == "json"))
            .collect();
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a case file can be read");
            let cases: Vec<Value> = serde_json::from_str(&text).expect("a case file is JSON");
            let stem = file.file_stem().and_then(|s| s.to_str()).expect("a name").to_string();
            // One of each form: what is JSON, and what is text.
            for text in [false, true] {
                let Some(case) = cases.iter().find(|c| c["record"].is_string() == text) else { continue };
                sources
                    .push(Source { name: format!("{}/{stem}", kind.name), config: config(kind.name, case, &folder) });
                plant(sources.len() - 1, &case["record"], &mut places);
            }
        }
    }
    (sources, places)
}

fn config(kind: &str, case: &Value, folder: &Path) -> SourceConfig {
    let mut config = SourceConfig::new(kind);
    if let Some(file) = case["mapping"].as_str() {
        let yaml = std::fs::read_to_string(folder.join(file)).expect("the mapping of a case can be read");
        config.mapping = Some(Mapping::parse(&yaml, file).expect("the mapping of a case is valid"));
    }
    config.log_format = case["log_format"].as_str().map(str::to_string);
    // The peers of the cases are proxies, so that forwarded addresses are read.
    config.trusted_proxies = vec!["203.0.113.0/24".into(), "198.51.100.0/24".into()];
    config
}

fn plant(source: usize, record: &Value, places: &mut Vec<Place>) {
    match record {
        Value::String(line) => match serde_json::from_str::<Value>(line) {
            Ok(inner) if inner.is_object() => plant_json(source, &inner, places),
            _ => plant_text(source, line, places),
        },
        json => plant_json(source, json, places),
    }
}

fn plant_json(source: usize, template: &Value, places: &mut Vec<Place>) {
    let mut paths = Vec::new();
    leaves(template, &mut Vec::new(), &mut paths);
    paths.push((vec![Step::New("unknown_field".into())], "x".into()));
    paths.push((vec![Step::AsKey], "x".into()));
    for (path, value) in paths {
        for (how, part) in ways(&value) {
            let name = path.iter().map(Step::name).collect::<Vec<_>>().join(".");
            let record = Record::Json { template: template.clone(), path: path.clone() };
            let record = record.with_prefix(part);
            places.push(Place { source, name: format!("{name} {how:?}"), record, how });
        }
    }
}

impl Step {
    fn name(&self) -> String {
        match self {
            Step::Key(key) | Step::New(key) => key.clone(),
            Step::Index(index) => index.to_string(),
            Step::AsKey => "(key)".to_string(),
        }
    }
}

impl Record {
    /// What of the old value stays around what is planted, kept in the template in its place.
    fn with_prefix(self, around: (String, String)) -> Record {
        match self {
            Record::Json { mut template, path } => {
                let text = format!("{}\u{0}{}", around.0, around.1);
                put(&mut template, &path, text);
                Record::Json { template, path }
            }
            text => text,
        }
    }
}

/// Puts a text where `path` leads, or makes it a key.
fn put(template: &mut Value, path: &[Step], text: String) {
    let mut at = template;
    if at.is_array() {
        at = &mut at[0];
    }
    for step in path {
        at = match step {
            Step::Key(key) => &mut at[key],
            Step::Index(index) => &mut at[*index],
            Step::New(key) => {
                at[key.as_str()] = Value::Null;
                &mut at[key.as_str()]
            }
            Step::AsKey => {
                at[text.as_str()] = Value::from(1);
                return;
            }
        };
    }
    *at = Value::String(text);
}

/// Paths to all values, with the value as a text; below an object of headers also to some that are not there.
fn leaves(value: &Value, path: &mut Vec<Step>, out: &mut Vec<(Vec<Step>, String)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                path.push(Step::Key(key.clone()));
                if key.to_lowercase().contains("header") && value.is_object() {
                    for name in [
                        "x-custom",
                        "cookie",
                        "authorization",
                        "x-api-key",
                        "referer",
                        "user-agent",
                        "x-forwarded-for",
                        "x-request-id",
                    ] {
                        if value.get(name).is_none() {
                            path.push(Step::New(name.into()));
                            out.push((
                                path.clone(),
                                if name == "referer" { "https://r.example/x".into() } else { "x".into() },
                            ));
                            path.pop();
                        }
                    }
                }
                leaves(value, path, out);
                path.pop();
            }
        }
        Value::Array(items) if path.is_empty() => items.first().into_iter().for_each(|item| leaves(item, path, out)),
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate().take(12) {
                path.push(Step::Index(index));
                leaves(value, path, out);
                path.pop();
            }
        }
        Value::String(text) => out.push((path.clone(), text.clone())),
        other => out.push((path.clone(), other.to_string())),
    }
}

/// The ways of planting into a place that holds `old`: what stays before and behind it.
fn ways(old: &str) -> Vec<(How, (String, String))> {
    let plain = |how| (how, (String::new(), String::new()));
    let method = old
        .split_once(' ')
        .filter(|(m, rest)| m.len() > 2 && m.bytes().all(|b| b.is_ascii_uppercase()) && rest.starts_with('/'));
    if let Some((method, _)) = method {
        let protocol = " HTTP/1.1".to_string();
        return vec![
            (How::Path, (format!("{method} /v1/"), format!("/x{protocol}"))),
            (How::Query, (format!("{method} /v1/x?a=1&q="), format!("&z=1{protocol}"))),
            (How::RawQuery, (format!("{method} /v1/x?"), protocol)),
            plain(How::Whole),
        ];
    }
    if old.starts_with('/') || old.starts_with("http://") || old.starts_with("https://") {
        let base = old.split(['?', '#']).next().unwrap_or(old).trim_end_matches('/').to_string();
        return vec![
            (How::Path, (format!("{base}/"), "/x".into())),
            (How::Query, (format!("{base}?a=1&q="), "&z=1".into())),
            (How::RawQuery, (format!("{base}?"), String::new())),
            plain(How::Whole),
        ];
    }
    if old.contains(' ') {
        return vec![(How::Words, ("curl/8 (".into(), ") x".into())), plain(How::Whole)];
    }
    vec![plain(How::Whole)]
}

/// Cuts a line into quoted, bracketed and blank-separated parts, and plants into each.
fn plant_text(source: usize, line: &str, places: &mut Vec<Place>) {
    let mut at = 0;
    while at < line.len() {
        let rest = &line[at..];
        let (skip, inner) = match rest.as_bytes()[0] {
            quote @ (b'"' | b'[') => {
                let end = rest[1..].find(if quote == b'"' { '"' } else { ']' }).map_or(rest.len(), |i| i + 1);
                (1, &rest[1..end.max(1)])
            }
            b' ' | b'\t' => {
                at += 1;
                continue;
            }
            _ => (0, &rest[..rest.find([' ', '\t']).unwrap_or(rest.len())]),
        };
        let start = at + skip;
        let end = start + inner.len();
        // Behind the address stands an identity that no server has asked for in decades, and no client writes.
        if inner == "-" && !line[..at].trim_end().contains(' ') {
            at = end;
            continue;
        }
        for (how, (before, after)) in ways(inner) {
            let record = Record::Text {
                before: format!("{}{before}", &line[..start]),
                after: format!("{after}{}", &line[end..]),
            };
            places.push(Place { source, name: format!("@{start} {how:?}"), record, how });
        }
        at = end + skip;
    }
    let record = Record::Text { before: format!("{line} "), after: String::new() };
    places.push(Place { source, name: "behind the line Whole".into(), record, how: How::Whole });
}

impl Place {
    pub fn how(&self) -> How {
        self.how
    }

    /// Can a gateway have written `text` here? Bare columns of a line of text hold no blanks and no quotes.
    pub fn takes(&self, text: &str) -> bool {
        let bare = matches!(self.record, Record::Text { .. }) && self.how == How::Whole;
        !bare || !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '+')
    }

    /// The record with `text` planted in it.
    pub fn record(&self, text: &str) -> String {
        let fitted = fit(text, self.how);
        match &self.record {
            Record::Text { before, after } => {
                let escaped: String = fitted
                    .chars()
                    .map(|c| {
                        if c == '"' || c == '\\' || c.is_control() {
                            format!("\\x{:02X}", c as u32)
                        } else {
                            c.to_string()
                        }
                    })
                    .collect();
                format!("{before}{escaped}{after}")
            }
            // In JSON only the NUL is to be replaced, as JSON writes it.
            Record::Json { template, path } if matches!(path.last(), Some(Step::AsKey)) => {
                let key = Value::from(text).to_string();
                template.to_string().replacen("\"\\u0000\"", &key, 1)
            }
            Record::Json { template, .. } => {
                let escaped = Value::from(fitted).to_string();
                template.to_string().replacen("\\u0000", &escaped[1..escaped.len() - 1], 1)
            }
        }
    }
}

fn fit(text: &str, how: How) -> String {
    let escape = |ending: &str| -> String {
        let one = |c: char| {
            let breaks = c.is_control() || c == ' ' || c == '"' || ending.contains(c) || !c.is_ascii();
            if breaks { percent(&c.to_string(), true) } else { c.to_string() }
        };
        text.chars().map(one).collect()
    };
    match how {
        How::Whole => text.to_string(),
        // A text with slashes of its own is several segments.
        How::Path if text.starts_with('/') => escape("?#").trim_start_matches('/').to_string(),
        How::Path => escape("?#/"),
        How::Query => escape("#&+"),
        How::RawQuery => escape("#"),
        How::Words => text.to_string(),
    }
}
