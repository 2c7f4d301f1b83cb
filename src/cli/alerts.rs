//! `gatewatch alerts`: what detectors told, as the response stage holds it.

use std::fmt::Write;

use schemas::alert::Alert;

use super::Failure;
use super::desk::{List, ListFormat, PlaceArgs, ShowFormat, ago, entity, json, or_dash, severity, short, show, when};
use crate::respond::action::scrub;
use crate::respond::incident::book::state_name;
use crate::respond::incident::desk::WhichAlerts;
use crate::respond::incident::look::{self, AlertFile, What};

/// List and show alerts.
#[derive(clap::Subcommand)]
pub enum Verb {
    List(ListArgs),
    Show(ShowArgs),
}

/// List alerts, the newest first. Those of a month and more ago are in the table alerts alone (`gatewatch query`).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch alerts list --incident 5d0c1f9a
  gatewatch alerts list --detector auth-burst-ip --format csv
  gatewatch query 'select detector, entity_value, opened from alerts_latest order by opened desc limit 20'")]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Those of this incident: its id, or the beginning.
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// Those about this address, principal or other entity.
    #[arg(long, value_name = "VALUE")]
    entity: Option<String>,
    /// Those of this detector.
    #[arg(long, value_name = "ID")]
    detector: Option<String>,
    /// Most lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// Show an alert with its evidence.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch alerts show 0f3a9c41d2")]
pub struct ShowArgs {
    /// The id, or its beginning.
    id: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// How it is written.
    #[arg(long, value_enum, default_value_t)]
    format: ShowFormat,
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Show(args) => show_one(args),
    }
}

pub const HEAD: [&str; 7] = ["ID", "STATE", "SEVERITY", "DETECTOR", "ABOUT", "EVENTS", "OPENED"];

/// An alert in a table with `HEAD`.
pub fn row(alert: &Alert) -> Vec<String> {
    vec![
        short(&alert.id),
        state(alert),
        severity(alert.severity),
        scrub(&alert.detector),
        entity(&alert.entity),
        alert.events.to_string(),
        ago(&alert.opened),
    ]
}

/// What is told with another alert says so.
fn state(alert: &Alert) -> String {
    let state = state_name(alert.state);
    alert.part_of.as_ref().map_or(state.to_owned(), |lead| format!("{state}, part of {}", short(lead)))
}

/// An alert of a list: flat, and whose it is.
#[derive(serde::Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    alert: &'a Alert,
    incident_id: Option<&'a str>,
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let incident = match &args.incident {
        Some(id) => Some(place.ask(look::id(&place.store, What::Incident, id))?),
        None => None,
    };
    let which = WhichAlerts {
        incident,
        entity: args.entity.clone(),
        detector: args.detector.clone(),
        open: false,
        limit: args.limit.max(1),
    };
    let files = place.ask(look::alerts(&place.store, &which))?;
    let lines: Vec<Line> =
        files.iter().map(|file| Line { alert: &file.alert, incident_id: file.incident_id.as_deref() }).collect();
    let row = |line: &Line| {
        let mut cells = row(line.alert);
        cells.push(line.incident_id.map_or("suppressed".to_owned(), short));
        cells
    };
    List {
        head: &["id", "state", "severity", "detector", "about", "events", "opened", "incident"],
        row: &row,
        keys: &[
            "id",
            "revision",
            "state",
            "detector",
            "severity",
            "title",
            "entity",
            "opened",
            "updated",
            "observed",
            "expected",
            "threshold",
            "score",
            "events",
            "owasp",
            "attack",
            "dry_run",
            "part_of",
            "incident_id",
        ],
    }
    .write(&lines, args.format)
}

fn show_one(args: &ShowArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let file = place.ask(look::alert(&place.store, &args.id))?;
    let evidence = json(&file.alert.evidence, true)?;
    show(&file, args.format, || screen(&file, &evidence))
}

fn screen(AlertFile { alert, incident_id }: &AlertFile, evidence: &str) -> String {
    let (id, state) = (scrub(&alert.id), state(alert));
    let mut text = format!("{id}: {}, {state}\n{}\n\n", severity(alert.severity), scrub(&alert.title));
    let expected = alert.expected.map_or("-".to_owned(), |expected| format!("{expected:.1}"));
    for (name, value) in [
        ("about", entity(&alert.entity)),
        ("detector", scrub(&alert.detector)),
        ("incident", incident_id.as_deref().map_or("none, a suppression holds it back".to_owned(), scrub)),
        ("opened", when(&alert.opened)),
        ("updated", when(&alert.updated)),
        ("window", scrub(&format!("{} to {}", alert.window.start, alert.window.end))),
        ("observed", format!("{:.1}, expected {expected}, threshold {:.1}", alert.observed, alert.threshold)),
        ("events", alert.events.to_string()),
        ("OWASP", or_dash(&alert.owasp.join(", "))),
        ("ATT&CK", or_dash(&alert.attack.join(", "))),
        ("dry run", if alert.dry_run { "yes" } else { "no" }.to_owned()),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    }
    let _ = writeln!(text, "\nEVIDENCE\n{evidence}");
    text
}
