//! A detector as a person writes it (YAML) and as the engine takes it (a checked `Rule`).
//!
//! Promises: a `Rule` that exists is valid: its SQL is compiled, its columns are event columns of the right type, its
//! numbers are in range. Every mistake in a file is an error with file, line, column, field, and what was expected.
//! Never: reads a file; the caller brings the text and the name to show in errors.

mod method;
pub(crate) mod node;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemas::alert::Severity;
use schemas::event::{FIELDS, Kind};

use self::node::{Fields, Place};
use crate::kit::Settings;
use crate::where_sql::{Predicate, columns_hint, facts};

/// A checked detector.
#[derive(Clone, Debug)]
pub struct Rule {
    pub id: String,
    pub title: String,
    pub severity: Severity,
    pub owasp: Vec<String>,
    pub attack: Vec<String>,
    /// Which events count; all when absent.
    pub filter: Option<Predicate>,
    /// Of these only those from a client with so many principals behind it, least and most.
    pub principals_behind: Option<(u32, u32)>,
    pub entity: EntityKind,
    pub(crate) method: Arc<dyn Settings>,
    /// Count only events of entities that were first seen no longer than this before the event.
    pub first_seen_within_us: Option<i64>,
    /// How long without a breach closes an episode.
    pub quiet_us: i64,
    pub respond: Vec<String>,
    /// The detectors of whose alerts those of this one can be a part: both have one cause.
    pub part_of: Vec<String>,
    /// Say what would be done, do nothing. The default, so that a new detector cannot block customers.
    pub dry_run: bool,
    pub notes: String,
    pub runbook: Vec<String>,
}

impl Rule {
    /// What the state of this detector depends on. A detector whose text changes elsewhere (title, notes, severity,
    /// actions) keeps its state over a restart.
    pub fn state_identity(&self) -> String {
        let filter = self.filter.as_ref().map_or("", Predicate::sql);
        let Rule { id, entity, method, first_seen_within_us, quiet_us, principals_behind, .. } = self;
        format!(
            "{id}\n{filter}\n{entity}\n{}\n{first_seen_within_us:?}\n{quiet_us}\n{principals_behind:?}",
            method.identity()
        )
    }

    /// Columns of which each must hold something for this detector ever to see anything.
    pub fn needs(&self) -> BTreeSet<&str> {
        let condition = self.filter.iter().flat_map(Predicate::needs).map(String::as_str);
        let entity = self.entity.columns().iter().map(|column| column.name());
        condition.chain(entity).chain(self.method.needs()).collect()
    }
}

/// What is wrong with a detector file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RuleError {
    pub file: String,
    /// From 1; 0 where unknown.
    pub line: u64,
    pub column: u64,
    /// Dotted path of the field, empty when the whole file is meant.
    pub field: String,
    pub message: String,
}

impl RuleError {
    pub(crate) fn new(file: &str, place: Place, field: &str, message: String) -> RuleError {
        RuleError { file: file.into(), line: place.line, column: place.column, field: field.into(), message }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        let separator = if self.field.is_empty() { "" } else { ": " };
        write!(f, "{separator}{}: {}", self.field, self.message)
    }
}

/// A column an entity can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityColumn {
    ClientIp,
    Principal,
    Credential,
    Endpoint,
    Tenant,
    Asn,
}

impl EntityColumn {
    pub const ALL: [EntityColumn; 6] = [
        EntityColumn::ClientIp,
        EntityColumn::Principal,
        EntityColumn::Credential,
        EntityColumn::Endpoint,
        EntityColumn::Tenant,
        EntityColumn::Asn,
    ];

    /// The name in rules and alerts, which is also the event column's.
    pub fn name(self) -> &'static str {
        match self {
            EntityColumn::ClientIp => "client_ip",
            EntityColumn::Principal => "principal",
            EntityColumn::Credential => "credential",
            EntityColumn::Endpoint => "endpoint",
            EntityColumn::Tenant => "tenant",
            EntityColumn::Asn => "asn",
        }
    }
}

/// What a detector groups by: one or two columns, or nothing (`whole`: all events together).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityKind(pub(crate) Vec<EntityColumn>);

impl EntityKind {
    pub fn columns(&self) -> &[EntityColumn] {
        &self.0
    }

    /// `client_ip` alone.
    pub fn client() -> EntityKind {
        EntityKind(vec![EntityColumn::ClientIp])
    }

    pub(crate) fn parse(text: &str) -> Result<EntityKind, String> {
        let names: Vec<&str> = EntityColumn::ALL.iter().map(|c| c.name()).collect();
        let expected = || format!("expected one of {}, whole, or two of them as a+b; found `{text}`", names.join(", "));
        if text == "whole" {
            return Ok(EntityKind::default());
        }
        let columns: Option<Vec<EntityColumn>> =
            text.split('+').map(|part| EntityColumn::ALL.into_iter().find(|c| c.name() == part.trim())).collect();
        let columns = columns.ok_or_else(expected)?;
        let distinct = columns.len() == 1 || columns.len() == 2 && columns[0] != columns[1];
        if distinct { Ok(EntityKind(columns)) } else { Err(expected()) }
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|c| c.name()).collect();
        f.write_str(if names.is_empty() { "whole" } else { "" })?;
        f.write_str(&names.join("+"))
    }
}

const KEYS: &[&str] = &[
    "id",
    "title",
    "severity",
    "owasp",
    "attack",
    "where",
    "entity",
    "method",
    "first_seen_within",
    "quiet",
    "respond",
    "part_of",
    "dry_run",
    "notes",
    "runbook",
];

/// What a detector may ask for; what it means is up to the configuration of `respond`.
pub const RESPONSES: &[&str] = &["block", "case", "page", "notify"];

/// Reads and checks one detector file.
pub fn parse_rule(yaml: &str, file: &str) -> Result<Rule, RuleError> {
    let document = node::read(yaml, file)?;
    let mut fields = Fields::of(&document, "", file)?;
    let id = id(&mut fields)?;
    let title = fields.text("title", "a short sentence that names the attack")?.to_owned();
    let severity = severity(&mut fields)?;
    let owasp = labels(&mut fields, "owasp", is_owasp, "OWASP identifiers like API4:2023 or A01:2021", file)?;
    let attack = labels(&mut fields, "attack", is_attack, "MITRE ATT&CK techniques like T1110 or T1595.003", file)?;
    let (filter, principals_behind) = match fields.optional_text("where", "SQL over the event columns")? {
        Some(sql) => condition(sql).map_err(|message| fields.error("where", message))?,
        None => (None, None),
    };
    let entity =
        EntityKind::parse(fields.text("entity", "what to group by")?).map_err(|m| fields.error("entity", m))?;
    let method = method::read(&mut fields, &entity, file)?;
    let first_seen_within_us = fields.optional_duration("first_seen_within", "1s", "30d")?;
    if first_seen_within_us.is_some() && (entity.0.is_empty() || !method.decides_on_rows()) {
        let message = "expected only with an entity other than whole and a threshold, distinct, sum or sequence method";
        return Err(fields.error("first_seen_within", message));
    }
    let quiet_us = quiet(&mut fields, &*method)?;
    let respond = labels(&mut fields, "respond", |r| RESPONSES.contains(&r), &RESPONSES.join(", "), file)?;
    if respond.iter().any(|kind| kind == "block") && entity.to_string() != "client_ip" {
        return Err(fields.error("respond", format!("block needs entity client_ip; the entity is {entity}")));
    }
    let part_of = labels(&mut fields, "part_of", |other| is_id(other) && other != id, "ids of other detectors", file)?;
    let dry_run = fields.boolean("dry_run", true)?;
    let notes =
        fields.text("notes", "what it sees, what harmless thing looks the same, first triage steps")?.to_owned();
    let runbook = fields.texts("runbook")?.into_iter().map(|(text, _)| text.to_owned()).collect();
    fields.done(KEYS)?;
    Ok(Rule {
        id,
        title,
        severity,
        owasp,
        attack,
        filter,
        principals_behind,
        entity,
        method,
        first_seen_within_us,
        quiet_us,
        respond,
        part_of,
        dry_run,
        notes,
        runbook,
    })
}

/// A condition over columns, and what it asks of the client.
fn condition(sql: &str) -> Result<(Option<Predicate>, Option<facts::Span>), String> {
    let (rest, principals_behind) = facts::split(sql)?;
    Ok((rest.map(|sql| Predicate::compile(&sql)).transpose()?, principals_behind))
}

fn id(fields: &mut Fields<'_>) -> Result<String, RuleError> {
    let expected = "lower-case letters, digits and dashes, at most 64, starting with a letter";
    let id = fields.text("id", expected)?;
    if is_id(id) { Ok(id.to_owned()) } else { Err(fields.error("id", format!("expected {expected}, found `{id}`"))) }
}

fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn severity(fields: &mut Fields<'_>) -> Result<Severity, RuleError> {
    let expected = "info, low, medium, high or critical";
    match fields.text("severity", expected)? {
        "info" => Ok(Severity::Info),
        "low" => Ok(Severity::Low),
        "medium" => Ok(Severity::Medium),
        "high" => Ok(Severity::High),
        "critical" => Ok(Severity::Critical),
        other => Err(fields.error("severity", format!("expected {expected}, found `{other}`"))),
    }
}

fn labels(
    fields: &mut Fields<'_>,
    name: &str,
    fine: impl Fn(&str) -> bool,
    expected: &str,
    file: &str,
) -> Result<Vec<String>, RuleError> {
    let texts = fields.texts(name)?;
    match texts.iter().find(|(text, _)| !fine(text)) {
        None => Ok(texts.into_iter().map(|(text, _)| text.to_owned()).collect()),
        Some((text, place)) => {
            let message = format!("expected {expected}; found `{text}`");
            Err(RuleError::new(file, *place, &fields.path_of(name), message))
        }
    }
}

fn is_owasp(label: &str) -> bool {
    let Some((risk, year)) = label.split_once(':') else { return false };
    let number = risk.strip_prefix("API").or_else(|| risk.strip_prefix('A'));
    let digits = |text: &str| !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    number.is_some_and(digits) && year.len() == 4 && digits(year)
}

fn is_attack(label: &str) -> bool {
    let Some(rest) = label.strip_prefix('T') else { return false };
    let (technique, sub) = rest.split_once('.').unwrap_or((rest, "000"));
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    digits(technique, 4) && digits(sub, 3)
}

/// Below the window's length an episode could close and the same events open the next one.
fn quiet(fields: &mut Fields<'_>, method: &dyn Settings) -> Result<i64, RuleError> {
    const FIVE_MINUTES_US: i64 = 300_000_000;
    let least = method.quiet_least_us();
    match fields.optional_duration("quiet", "1s", "30d")? {
        Some(quiet) if quiet >= least => Ok(quiet),
        Some(_) => Err(fields.error("quiet", format!("expected at least {}", duration_text(least)))),
        None => Ok(least.max(FIVE_MINUTES_US)),
    }
}

/// An event column by name, when its kind is one of `kinds`.
pub(crate) fn event_column(name: &str, kinds: &[Kind], expected: &str) -> Result<&'static str, String> {
    match FIELDS.iter().find(|f| f.name == name) {
        Some(field) if kinds.contains(&field.kind) => Ok(field.name),
        Some(_) => Err(format!("expected {expected}; `{name}` is not")),
        None => Err(format!("unknown column `{name}`; {}", columns_hint(name))),
    }
}

/// `30s 5m 1h 7d` in microseconds.
pub(crate) fn duration_us(text: &str) -> Option<i64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_us: i64 = match unit {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_us)
}

/// The shortest exact form of a duration.
pub(crate) fn duration_text(us: i64) -> String {
    let units = [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms")];
    match units.into_iter().find(|(unit, _)| us >= *unit && us % unit == 0) {
        Some((unit, name)) => format!("{}{name}", us / unit),
        None => format!("{us}us"),
    }
}

/// A rule shared by everyone who looks at it.
pub type SharedRule = Arc<Rule>;
