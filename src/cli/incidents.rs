//! `gatewatch incidents`: the alerts of one attacker as one thing to work on.

use std::fmt::Write;

use clap::builder::PossibleValuesParser;
use schemas::Incident;
use schemas::incident::{Status, Verdict};

use super::desk::{ActorArgs, List, ListFormat, PlaceArgs, ShowFormat};
use super::desk::{ago, entity, failure, or_dash, section, severity, short, show, told, when};
use super::{Failure, actions, alerts};
use crate::clock;
use crate::respond::action::scrub;
use crate::respond::incident::desk::{self, Deed, Which, words};
use crate::respond::incident::look::{self, IncidentFile, What};

/// List and show incidents, comment on them, take and close them.
#[derive(clap::Subcommand)]
pub enum Verb {
    List(ListArgs),
    Show(ShowArgs),
    Comment(CommentArgs),
    Assign(AssignArgs),
    Close(CloseArgs),
}

/// List incidents, the newest first.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch incidents list --status open
  gatewatch incidents list --entity 203.0.113.7 --format json | jq -r .id")]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Those that stand so.
    #[arg(long, value_name = "STATUS", value_parser = statuses())]
    status: Option<String>,
    /// Those with an alert about this address, principal or other entity.
    #[arg(long, value_name = "VALUE")]
    entity: Option<String>,
    /// Most lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// Show an incident with its alerts, what people said, and what was done.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch incidents show in-5d0c1f9a
  gatewatch incidents show 5d0c1f9a --format json

The beginning of an id is enough, from 6 characters on.")]
pub struct ShowArgs {
    /// The id, or its beginning.
    id: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// How it is written.
    #[arg(long, value_enum, default_value_t)]
    format: ShowFormat,
}

/// Say something about an incident.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch incidents comment 5d0c1f9a 'the partner confirms: their load test'")]
pub struct CommentArgs {
    /// The id, or its beginning.
    id: String,
    /// What is said, one line.
    text: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Take an incident, or give it to somebody.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch incidents assign 5d0c1f9a           you take it
  gatewatch incidents assign 5d0c1f9a noor

An open incident is acknowledged by it.")]
pub struct AssignArgs {
    /// The id, or its beginning.
    id: String,
    /// Who works on it from now on [default: you].
    who: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Judge an incident and close it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch incidents close 5d0c1f9a --verdict true --reason 'credential stuffing, customer told'
  gatewatch incidents close 5d0c1f9a --verdict expected --reason 'load test of the shop team'

true:      an attack; blocks are kept up until its alerts are closed, and last to their end
false:     no attack; whoever is contained because of it alone is let go at once
expected:  it happened and was meant to; the same is let go
A closed and judged incident stays closed: what comes later is a new one. Closed again with another verdict the verdict is
corrected. To hear no more of it see `suppressions add`.")]
pub struct CloseArgs {
    /// The id, or its beginning.
    id: String,
    /// What it was.
    #[arg(long, value_name = "VERDICT", value_parser = verdicts())]
    verdict: String,
    /// Why, one line.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

fn statuses() -> PossibleValuesParser {
    PossibleValuesParser::new(Status::ALL.map(Status::name))
}

fn verdicts() -> PossibleValuesParser {
    PossibleValuesParser::new(Verdict::ALL.map(Verdict::name))
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Show(args) => show_one(args),
        Verb::Comment(args) => {
            let text = words("the comment", &args.text).map_err(failure)?;
            let incident = act(&args.place, &args.actor, &args.id, |_| Ok(Deed::Comment(text)))?;
            told(&format!("{}: noted", incident.id))
        }
        Verb::Assign(args) => {
            let who = args.who.as_deref().map(desk::actor).transpose().map_err(failure)?;
            let incident = act(&args.place, &args.actor, &args.id, |me| Ok(Deed::Assign(who.unwrap_or(me))))?;
            told(&format!("{}: {} has it", incident.id, or_dash(incident.assignee.as_deref().unwrap_or_default())))
        }
        Verb::Close(args) => close(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let which = Which {
        status: args.status.as_deref().and_then(Status::parse),
        entity: args.entity.clone(),
        limit: args.limit.max(1),
    };
    let rows = place.ask(desk::incidents(&place.store, &which))?;
    let incidents: Vec<Incident> = rows.iter().map(|row| row.show()).collect();
    let row = |incident: &Incident| {
        vec![
            short(&incident.id),
            incident.status.name().to_owned(),
            severity(incident.severity),
            format!("{:.1}", incident.score),
            entity(&incident.subject),
            format!("{} ({} open)", incident.alerts, incident.alerts_open),
            ago(&incident.updated),
            or_dash(incident.assignee.as_deref().unwrap_or_default()),
            incident.verdict.map_or("-", Verdict::name).to_owned(),
            scrub(&incident.title),
        ]
    };
    List {
        head: &["id", "status", "severity", "score", "who", "alerts", "updated", "assignee", "verdict", "title"],
        row: &row,
        keys: &[
            "id",
            "revision",
            "status",
            "severity",
            "score",
            "title",
            "subject",
            "opened",
            "updated",
            "alerts",
            "alerts_open",
            "assignee",
            "verdict",
            "detectors",
            "entities",
        ],
    }
    .write(&incidents, args.format)
}

fn show_one(args: &ShowArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let file = place.ask(look::incident(&place.store, &args.id))?;
    show(&file, args.format, || screen(&file))
}

fn screen(file: &IncidentFile) -> String {
    let Incident { id, status, title, score, subject, opened, updated, .. } = &file.incident;
    let incident = &file.incident;
    let listed = |items: &[String]| or_dash(&items.join(", "));
    let named: Vec<String> = incident.entities.iter().map(entity).collect();
    let mut text = format!("{}: {}, {}\n{}\n\n", scrub(id), severity(incident.severity), status.name(), scrub(title));
    for (name, value) in [
        ("who", entity(subject)),
        ("named", listed(&named)),
        ("score", format!("{score:.1}")),
        ("opened", when(opened)),
        ("updated", when(updated)),
        ("alerts", format!("{}, {} of them open", incident.alerts, incident.alerts_open)),
        ("detectors", listed(&incident.detectors)),
        ("OWASP", listed(&incident.owasp)),
        ("ATT&CK", listed(&incident.attack)),
        ("assignee", or_dash(incident.assignee.as_deref().unwrap_or_default())),
        ("verdict", incident.verdict.map_or("-", Verdict::name).to_owned()),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    }
    let rows: Vec<Vec<String>> = file.alerts.iter().map(alerts::row).collect();
    section(&mut text, "ALERTS", &alerts::HEAD, &rows);
    let rows: Vec<Vec<String>> = file.actions.iter().map(actions::row).collect();
    section(&mut text, "ACTIONS", &actions::HEAD, &rows);
    let rows: Vec<Vec<String>> = file
        .notes
        .iter()
        .map(|note| vec![when(&note.time), or_dash(&note.actor), note.what.clone(), scrub(&note.text)])
        .collect();
    section(&mut text, "NOTES", &["TIME", "WHO", "WHAT", "TEXT"], &rows);
    text
}

/// Does it to the incident that is meant.
fn act(
    place: &PlaceArgs,
    actor: &ActorArgs,
    id: &str,
    deed: impl FnOnce(String) -> Result<Deed, Failure>,
) -> Result<Incident, Failure> {
    let (place, actor) = (place.open()?, actor.name()?);
    let deed = deed(actor.clone())?;
    let id = place.ask(look::id(&place.store, What::Incident, id))?;
    Ok(place.ask(desk::act(&place.store, &id, &deed, &actor, clock::now_us()))?.show())
}

fn close(args: &CloseArgs) -> Result<(), Failure> {
    let reason = words("the reason", &args.reason).map_err(failure)?;
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.name() == args.verdict);
    let verdict = verdict.expect("the parser of arguments knows the same names");
    let incident = act(&args.place, &args.actor, &args.id, |_| Ok(Deed::Close(verdict, reason)))?;
    let contained = match verdict {
        Verdict::True => "whoever is contained stays so until the attack is over and the time is up",
        Verdict::False | Verdict::Expected => "whoever is contained because of it alone is let go",
    };
    told(&format!(
        "{}: judged {}; the running service closes it within a second, {contained}",
        incident.id,
        verdict.name()
    ))
}
