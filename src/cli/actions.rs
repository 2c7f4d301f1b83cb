//! `gatewatch actions`: what was done about incidents, and the switches of a person: retry, approve, revert, halt.

use std::fmt::Write;

use anyhow::anyhow;
use clap::builder::PossibleValuesParser;

use super::desk::{ActorArgs, List, ListFormat, Place, PlaceArgs, ShowFormat};
use super::desk::{ago, failure, or_dash, section, severity, short, show, told, when};
use super::output::{counted, stderr_line};
use super::status::screen;
use super::{Failure, usage};
use crate::respond::action::{State, scrub};
use crate::respond::halt::{self, Halt};
use crate::respond::incident::desk::{self, Shown, WhichActions, words};
use crate::respond::incident::look::{self, ActionFile, Contained, What};
use crate::respond::link::Links;
use crate::{clock, keys};

/// List and show actions, retry, approve and revert them; who is contained; the kill switch.
#[derive(clap::Subcommand)]
pub enum Verb {
    List(ListArgs),
    Show(ShowArgs),
    Retry(RetryArgs),
    Approve(ApproveArgs),
    Revert(RevertArgs),
    Contained(ContainedArgs),
    Halt(HaltArgs),
    Resume(ResumeArgs),
}

/// List actions, the newest first.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch actions list --state awaiting       those that wait for a person
  gatewatch actions list --state parked --target waf
  gatewatch actions list --incident 5d0c1f9a --format json")]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Those that stand so.
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(State::ALL.map(State::name)))]
    state: Option<String>,
    /// Those at this target.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Those of this incident: its id, or the beginning.
    #[arg(long, value_name = "ID")]
    incident: Option<String>,
    /// Most lines.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// Show an action with every step of it: attempts, answers, who agreed.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch actions show 7be21c04
  gatewatch actions show 7be21c04 --config gatewatch.yaml

With --config, and respond.links in it, an action that waits for a person is shown with the link to agree to it.")]
pub struct ShowArgs {
    /// The id, or its beginning.
    id: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// How it is written.
    #[arg(long, value_enum, default_value_t)]
    format: ShowFormat,
}

/// Put actions that were given up on back into the queue.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch actions retry 7be21c04
  gatewatch actions retry --all --target waf")]
pub struct RetryArgs {
    /// Ids, or their beginnings.
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// Every parked one.
    #[arg(long)]
    all: bool,
    /// With --all: those at this target.
    #[arg(long, value_name = "NAME", requires = "all")]
    target: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Agree to an action that waits for a person.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch actions approve 7be21c04")]
pub struct ApproveArgs {
    /// The id, or its beginning.
    id: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Take an action back: what waits is cancelled, and who is contained by it is let go at every target.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch actions revert 7be21c04 --reason 'this is our own office'

The same attacker is not contained again while the incident lasts. To keep somebody out of it for good see
`never-block add`.")]
pub struct RevertArgs {
    /// The id, or its beginning.
    id: String,
    /// Why, one line.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Show who is wanted out, where that is in force, and why somebody is not.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch actions contained
  gatewatch actions contained --format json")]
pub struct ContainedArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// Pull the kill switch: within a second nothing that blocks, revokes or throttles is sent any more. Messages still go out.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch actions halt --reason 'customers are locked out' --lift
  gatewatch actions halt --reason 'WAF maintenance'

Without --lift nobody is contained anew, attempts under way are broken off, and what is in force lasts to its end.
With --lift what is in force is undone at every target, too. Both hold, over restarts, until `actions resume`. Detection,
incidents and messages go on.")]
pub struct HaltArgs {
    /// Why, one line; it is shown to everybody who looks.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Undo what is in force.
    #[arg(long)]
    lift: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Let go of the kill switch: whoever is still wanted out is contained again.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch actions contained        who that would be
  gatewatch actions resume")]
pub struct ResumeArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Show(args) => show_one(args),
        Verb::Retry(args) => retry(args),
        Verb::Approve(args) => approve(args),
        Verb::Revert(args) => revert(args),
        Verb::Contained(args) => contained(args),
        Verb::Halt(args) => pull(args),
        Verb::Resume(args) => resume(args),
    }
}

pub const HEAD: [&str; 7] = ["ID", "STATE", "WHAT", "ABOUT", "TARGET", "ATTEMPTS", "CREATED"];

/// An action in a table with `HEAD`.
pub fn row(action: &Shown) -> Vec<String> {
    vec![
        short(&action.id),
        action.state.to_owned(),
        what(action),
        about(action),
        scrub(&action.target),
        action.attempts.to_string(),
        ago(&action.created),
    ]
}

fn what(action: &Shown) -> String {
    let op = if action.op == "revert" { "undo " } else { "" };
    format!("{op}{}", action.kind)
}

fn about(action: &Shown) -> String {
    scrub(&format!("{} {}", action.entity_kind, action.entity_value))
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let incident = match &args.incident {
        Some(id) => Some(place.ask(look::id(&place.store, What::Incident, id))?),
        None => None,
    };
    let state = args.state.as_deref().and_then(State::parse);
    let which = WhichActions { state, target: args.target.clone(), incident, limit: args.limit.max(1) };
    let actions = place.ask(desk::actions(&place.store, &which))?;
    List {
        head: &["id", "state", "what", "about", "target", "attempts", "created"],
        row: &row,
        keys: &[
            "id",
            "op",
            "kind",
            "state",
            "target",
            "entity_kind",
            "entity_value",
            "incident_id",
            "detector",
            "attempts",
            "created",
            "expires",
            "dry_run",
        ],
    }
    .write(&actions, args.format)
}

fn show_one(args: &ShowArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let mut file = place.ask(look::action(&place.store, &args.id))?;
    file.approve = link(&place, &file.action)?;
    show(&file, args.format, || screen(&file))
}

/// The link to agree to an action that waits, where links are configured and the service made their key.
fn link(place: &Place, action: &Shown) -> Result<Option<String>, Failure> {
    let Some(config) = &place.config else { return Ok(None) };
    let Some(links) = config.respond.links.as_ref().filter(|_| action.state == State::Awaiting.name()) else {
        return Ok(None);
    };
    let key = keys::existing_approve(&config.keys, &config.data_dir).map_err(usage)?;
    Ok(key.map(|key| Links::new(links, &key).approve(&action.id, clock::now_us())))
}

fn screen(file: &ActionFile) -> String {
    let action = &file.action;
    let dry_run = if action.dry_run { ", dry run" } else { "" };
    let mut text = format!("{}: {}, {}{dry_run}\n\n", scrub(&action.id), what(action), action.state);
    for (name, value) in [
        ("about", about(action)),
        ("target", scrub(&action.target)),
        ("incident", or_dash(&action.incident_id)),
        ("detector", or_dash(&action.detector)),
        ("attempts", action.attempts.to_string()),
        ("created", when(&action.created)),
        ("ends", action.lasts_seconds.map_or_else(|| action.expires.as_deref().map_or("-".to_owned(), when), lasts)),
    ] {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    }
    if let Some(link) = &file.approve {
        let _ = writeln!(text, "\nIt waits for a person. Agree here: {link}\nThe link counts for a day.");
    }
    let rows: Vec<Vec<String>> = file
        .steps
        .iter()
        .map(|step| vec![when(&step.time), step.step.clone(), or_dash(&step.detail), or_dash(&step.answer)])
        .collect();
    section(&mut text, "STEPS", &["TIME", "STEP", "WHY", "ANSWER"], &rows);
    text
}

/// While a person is asked it has no end yet.
fn lasts(seconds: i64) -> String {
    format!("{} after somebody agrees", screen::span(seconds.saturating_mul(1_000)))
}

fn retry(args: &RetryArgs) -> Result<(), Failure> {
    let (place, actor) = (args.place.open()?, args.actor.name()?);
    if args.all {
        if let Some(target) = &args.target {
            let known = place.ask(desk::targets(&place.store))?;
            if !known.contains(target) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(
                    anyhow!("there is no action of a target {:?}; expected one of: {known}", scrub(target)).into()
                );
            }
        }
        let ids = place.ask(desk::retry_all(&place.store, args.target.as_deref(), &actor, clock::now_us()))?;
        return told(&format!("{} back in the queue", counted(ids.len() as u64, "parked action")));
    }
    // All are looked up before one is changed.
    let ids: Vec<String> = args
        .ids
        .iter()
        .map(|id| place.ask(look::id(&place.store, What::Action, id)))
        .collect::<Result<_, Failure>>()?;
    for id in ids {
        place.ask(desk::retry(&place.store, &id, &actor, clock::now_us()))?;
        told(&format!("{id}: back in the queue"))?;
    }
    Ok(())
}

fn approve(args: &ApproveArgs) -> Result<(), Failure> {
    let (place, actor) = (args.place.open()?, args.actor.name()?);
    let file = place.ask(look::action(&place.store, &args.id))?;
    let Shown { id, target, .. } = &file.action;
    if !place.ask(desk::approve(&place.store, id, &actor, clock::now_us()))? {
        let state = place.ask(look::action(&place.store, id))?.action.state;
        return Err(anyhow!("action {id} is {state}; only one that is awaiting can be approved").into());
    }
    let (what, about) = (what(&file.action), about(&file.action));
    let approved = place.ask(look::action(&place.store, id))?.action;
    let until = approved.expires.as_deref().map(|until| format!(" until {}", when(until))).unwrap_or_default();
    told(&format!("{id}: approved; {what} of {about} goes to {target}{until}"))
}

fn revert(args: &RevertArgs) -> Result<(), Failure> {
    let reason = words("the reason", &args.reason).map_err(failure)?;
    let (place, actor) = (args.place.open()?, args.actor.name()?);
    let file = place.ask(look::action(&place.store, &args.id))?;
    let (id, about) = (&file.action.id, about(&file.action));
    let taken_back = place.ask(desk::revert(&place.store, id, &actor, &reason, clock::now_us()))?;
    let renewed = if taken_back == *id { String::new() } else { format!("it was renewed by {taken_back}, which is ") };
    told(&format!("{id}: {renewed}taken back; {about} is let go at every target"))
}

fn contained(args: &ContainedArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let now_us = clock::now_us();
    if let Some(halt) = place.ask(look::halt(&place.store, now_us))? {
        let lift = if halt.lift { ", what is in force is undone" } else { "" };
        let (who, why) = (or_dash(&halt.actor), or_dash(&halt.reason));
        stderr_line(&format!("HALTED since {} by {who}: {why}{lift}; `actions resume` ends it", when(&halt.since)));
    }
    let contained = place.ask(look::contained(&place.store, now_us))?;
    let row = |it: &Contained| {
        let force = it.in_force.iter().map(|force| format!("{} (ends {})", force.target, ago(&force.until)));
        vec![
            it.kind.to_owned(),
            scrub(&format!("{} {}", it.entity_kind, it.entity_value)),
            it.severity.map_or_else(|| or_dash(""), severity),
            it.wanted.to_owned(),
            ago(&it.since),
            or_dash(&force.collect::<Vec<_>>().join(", ")),
            or_dash(it.why_not.as_deref().unwrap_or_default()),
            or_dash(&short(&it.incident_id)),
        ]
    };
    List {
        head: &["what", "who", "severity", "wanted", "since", "in force at", "why not", "incident"],
        row: &row,
        keys: &[
            "kind",
            "entity_kind",
            "entity_value",
            "severity",
            "wanted",
            "since",
            "in_force",
            "why_not",
            "incident_id",
            "detector",
            "dry_run",
        ],
    }
    .write(&contained, args.format)
}

fn pull(args: &HaltArgs) -> Result<(), Failure> {
    let reason = words("the reason", &args.reason).map_err(failure)?;
    let (place, actor) = (args.place.open()?, args.actor.name()?);
    let halt = Halt { actor, reason, since_us: clock::now_us(), lift: args.lift };
    place.ask(halt::pull(&place.store, &halt))?;
    // One that lifts stays so, whoever pulls it again.
    let lift = place.ask(look::halt(&place.store, clock::now_us()))?.is_some_and(|halt| halt.lift);
    let in_force = match lift {
        true => "what is in force is undone at every target",
        false => "what is in force lasts to its end (--lift undoes it)",
    };
    told(&format!(
        "halted: within a second the running service contains nobody anew; {in_force}. Messages go on. `actions resume` ends it"
    ))
}

fn resume(args: &ResumeArgs) -> Result<(), Failure> {
    let (place, actor) = (args.place.open()?, args.actor.name()?);
    match place.ask(halt::release(&place.store, &actor, clock::now_us()))? {
        true => told("resumed: whoever is still wanted out is contained again"),
        false => Err(anyhow!("the kill switch is not pulled").into()),
    }
}
