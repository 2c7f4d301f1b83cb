//! Sigma rules from a folder, over a file of events: what `gatewatch sigma` does.
//!
//! Promises: every file that cannot be used is named with the line and the reason; the answer does not depend on the order in which the
//! folder is read. An event that is no event stops the run with its line.
//! Never: changes a rule, writes anything.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use detectors::sigma::{self, Fields, JsonEvent, Problem, Rules, Value as Field};
use serde_json::{Map, Value};

use crate::limits;

/// The rules in a file or a folder. Files are named as they stand below it.
pub fn load(path: &Path) -> anyhow::Result<Rules> {
    let (mut texts, mut broken) = (Vec::new(), Vec::new());
    for file in files(path)? {
        let name = file.strip_prefix(path).ok().filter(|rest| !rest.as_os_str().is_empty()).unwrap_or(&file);
        let name = name.display().to_string();
        match String::from_utf8(read_bytes(&file)?) {
            Ok(text) => texts.push((name, text)),
            Err(_) => broken.push(Problem { file: name, line: 0, what: "no UTF-8; expected YAML in UTF-8".to_owned() }),
        }
    }
    let files: Vec<sigma::File> = texts.iter().map(|(name, text)| sigma::File { name, text }).collect();
    let mut rules = Rules::load(&files);
    rules.problems.extend(broken);
    Ok(rules)
}

/// The file itself, or every `*.yml` and `*.yaml` below the folder, in order.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let meta = fs::metadata(path).with_context(|| path.display().to_string())?;
    if meta.is_file() {
        return Ok(vec![path.to_path_buf()]);
    }
    let (mut found, mut folders) = (Vec::new(), vec![path.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry.with_context(|| folder.display().to_string())?;
            let (kind, path) = (entry.file_type()?, entry.path());
            // A link to a folder could lead back to where we are.
            if kind.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml") && !path.is_dir() {
                found.push(path);
            }
        }
        if found.len() > limits::SIGMA_FILES_MAX {
            bail!("{}: more than {} files of rules", path.display(), limits::SIGMA_FILES_MAX);
        }
    }
    if found.is_empty() {
        bail!("{}: holds no rule; expected *.yml or *.yaml files", path.display());
    }
    found.sort();
    Ok(found)
}

fn read_bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let mut bytes = Vec::new();
    // One byte more than a rule may have, so that the reader sees that it is too long.
    file.take(limits::CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    Ok(bytes)
}

/// Files that cannot be used, wholly or in part, and why.
pub fn unsupported(problems: &[Problem]) -> BTreeMap<&str, String> {
    let mut by_file: BTreeMap<&str, String> = BTreeMap::new();
    for problem in problems {
        let reason = match problem.line {
            0 => problem.what.clone(),
            line => format!("line {line}: {}", problem.what),
        };
        let said = by_file.entry(&problem.file).or_default();
        if !said.is_empty() {
            said.push_str("; ");
        }
        said.push_str(&reason);
    }
    by_file
}

/// What a file of events came to.
#[derive(Debug, Default)]
pub struct Matches {
    /// For each rule and correlation that is told the numbers of the events that it matches, in their order.
    pub by_id: BTreeMap<String, Vec<u64>>,
    pub events: u64,
    /// Events without a time, where a correlation would have needed it.
    pub timeless: u64,
    /// Matches that correlations forgot for want of room.
    pub forgotten: u64,
}

/// An event of the file.
struct Line {
    number: u64,
    time_us: Option<i64>,
    event: Map<String, Value>,
}

/// Matches the events of a file.
pub fn test(rules: &Rules, path: &Path) -> anyhow::Result<Matches> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    if file.metadata().is_ok_and(|meta| meta.is_dir()) {
        bail!("{}: is a directory; expected a file with one event a line", path.display());
    }
    let mut reader = BufReader::new(file);
    let mut found = Matches::default();
    let told = rules.rules().iter().filter(|rule| rule.told).map(|rule| &rule.about);
    let told = told.chain(rules.correlations().iter().filter(|(_, told)| *told).map(|(about, _)| about));
    found.by_id.extend(told.map(|about| (about.id.clone(), Vec::new())));
    let mut kept = Vec::new();
    let mut bytes = Vec::new();
    for line in 1_u64.. {
        bytes.clear();
        let most = limits::SIGMA_EVENT_BYTES_MAX;
        let place = || format!("{}:{line}", path.display());
        reader.by_ref().take(most + 1).read_until(b'\n', &mut bytes).with_context(place)?;
        if bytes.is_empty() {
            break;
        }
        if bytes.len() as u64 > most {
            bail!("{}: longer than {most} bytes", place());
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let event = parse(&bytes).with_context(place)?;
        found.events += 1;
        found.note_rules(rules, &event);
        if !rules.correlations().is_empty() {
            if kept.len() >= limits::SIGMA_EVENTS_MAX {
                bail!("{}: correlations hold at most {} events", place(), limits::SIGMA_EVENTS_MAX);
            }
            kept.push(event);
        }
    }
    found.note_correlations(rules, kept);
    found.by_id.values_mut().for_each(|numbers| {
        numbers.sort_unstable();
        numbers.dedup();
    });
    Ok(found)
}

fn parse(bytes: &[u8]) -> anyhow::Result<Line> {
    let expected = "expected {\"n\": 1, \"event\": {...}}";
    let mut line: Map<String, Value> =
        serde_json::from_slice(bytes).map_err(|error| anyhow!("no JSON object: {error}; {expected}"))?;
    let number = line.get("n").and_then(Value::as_u64).ok_or_else(|| anyhow!("no whole number n; {expected}"))?;
    let Some(Value::Object(event)) = line.remove("event") else { bail!("no object event; {expected}") };
    let time_us = time_us(&JsonEvent(&line)).or_else(|| time_us(&JsonEvent(&event)));
    Ok(Line { number, time_us, event })
}

/// Where an event may have its time, the first that is one.
const TIMES: [&str; 9] =
    ["timestamp", "@timestamp", "time", "_time", "datetime", "EventTime", "UtcTime", "TimeCreated", "SystemTime"];

fn time_us(event: &dyn Fields) -> Option<i64> {
    let first = |name: &str| {
        let mut values = Vec::new();
        event.values(name, &mut values);
        match values.into_iter().next()? {
            Field::Text(text) => Some(text.into_owned()),
            Field::Int(number) => Some(number.to_string()),
            Field::Float(number) => Some(number.to_string()),
            Field::Null | Field::Bool(_) => None,
        }
    };
    let one = |name: &&str| first(name).and_then(|text| sigma::time::us(&text));
    // W3C logs have the day and the time of day apart.
    let two = || sigma::time::us(&format!("{}T{}", first("date")?, first("time")?));
    TIMES.iter().find_map(one).or_else(two)
}

impl Matches {
    fn note_rules(&mut self, rules: &Rules, line: &Line) {
        let event = JsonEvent(&line.event);
        for number in rules.matches(&rules.view(&event)) {
            let rule = &rules.rules()[number as usize];
            if rule.told {
                self.by_id.entry(rule.about.id.clone()).or_default().push(line.number);
            }
        }
    }

    /// Correlations, over the events in the order of their times. An event without one is at the time of the event before it in the
    /// file: where no event has a time, all are at one, in the order of the file.
    fn note_correlations(&mut self, rules: &Rules, mut lines: Vec<Line>) {
        let mut last_us = lines.iter().find_map(|line| line.time_us).unwrap_or(0);
        for line in &mut lines {
            self.timeless += u64::from(line.time_us.is_none());
            last_us = line.time_us.unwrap_or(last_us);
            line.time_us = Some(last_us);
        }
        lines.sort_by_key(|line| line.time_us);
        let mut state = rules.correlator();
        let mut fired = Vec::new();
        for line in &lines {
            let event = JsonEvent(&line.event);
            let view = rules.view(&event);
            let matched = rules.matches(&view);
            fired.extend(rules.hold(&mut state, line.time_us.unwrap_or(last_us), &matched, &view, line.number));
        }
        fired.extend(rules.finish(&mut state));
        self.forgotten = state.forgotten();
        for one in fired {
            let (about, told) = &rules.correlations()[one.correlation];
            if *told {
                self.by_id.entry(about.id.clone()).or_default().push(one.tag);
            }
        }
    }
}
