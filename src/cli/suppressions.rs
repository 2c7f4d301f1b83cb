//! `gatewatch suppressions`: entities whose alerts become no incident for a while.

use anyhow::anyhow;

use super::Failure;
use super::desk::{ActorArgs, List, ListFormat, PlaceArgs, ago, failure, length_us, or_dash, told};
use super::output::stderr_line;
use crate::clock;
use crate::respond::action::scrub;
use crate::respond::incident::desk::{self, Suppression, WhichAlerts};
use crate::respond::incident::{look, rfc3339};

/// Let an entity's alerts become no incident for a while: nobody is told, nobody is contained.
#[derive(clap::Subcommand)]
pub enum Verb {
    List(ListArgs),
    Add(AddArgs),
    End(EndArgs),
}

/// List suppressions in force, the newest first.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch suppressions list")]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// Suppress what detectors tell of an entity from now on. Their alerts stay in the tables.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch suppressions add client_ip 203.0.113.7 --reason 'penetration test, ticket 4711' --for 24h
  gatewatch suppressions add principal load-test --reason 'load test' --for 2h --detector 'traffic-*'

It holds for alerts that open from now on; an incident that is there already is closed with `incidents close`.")]
pub struct AddArgs {
    /// What it is: client_ip, principal, credential, endpoint, tenant.
    #[arg(value_name = "ENTITY_KIND")]
    kind: String,
    /// Which one.
    value: String,
    /// Why, one line.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long: 30m, 24h, 7d.
    #[arg(long = "for", value_name = "TIME")]
    length: String,
    /// What these detectors tell alone: an id, or a pattern with `*`.
    #[arg(long, value_name = "PATTERN")]
    detector: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

/// End a suppression before its time.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch suppressions end 3")]
pub struct EndArgs {
    /// Its number in the list.
    n: i64,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Add(args) => add(args),
        Verb::End(args) => end(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let all = place.ask(look::suppressions(&place.store, clock::now_us()))?;
    let row = |it: &look::SuppressionShown| {
        vec![
            it.n.to_string(),
            scrub(&format!("{} {}", it.entity_kind, it.entity_value)),
            it.detector.as_deref().map_or("any".to_owned(), scrub),
            ago(&it.expires),
            or_dash(&it.owner),
            or_dash(&it.reason),
        ]
    };
    List {
        head: &["n", "who", "detector", "ends", "owner", "reason"],
        row: &row,
        keys: &["n", "entity_kind", "entity_value", "detector", "owner", "reason", "created", "expires"],
    }
    .write(&all, args.format)
}

fn add(args: &AddArgs) -> Result<(), Failure> {
    let (entity, length) = ((args.kind.as_str(), args.value.as_str()), length_us("--for", &args.length)?);
    let actor = args.actor.name()?;
    let new = Suppression::new(entity, args.detector.as_deref(), &args.reason, length, &actor, clock::now_us());
    let new = new.map_err(failure)?;
    let place = args.place.open()?;
    let n = place.ask(desk::suppress(&place.store, &new))?;
    let which = WhichAlerts { entity: Some(new.entity_value.clone()), limit: 1, ..WhichAlerts::default() };
    if place.ask(desk::alerts(&place.store, &which))?.is_empty() {
        stderr_line(&format!(
            "no alert is about {} {} so far; is it written like this?",
            new.entity_kind, new.entity_value
        ));
    }
    told(&format!("{n}: {} {} is suppressed until {}", new.entity_kind, new.entity_value, rfc3339(new.expires_us)))
}

fn end(args: &EndArgs) -> Result<(), Failure> {
    let (place, actor) = (args.place.open()?, args.actor.name()?);
    match place.ask(desk::unsuppress(&place.store, args.n, &actor, clock::now_us()))? {
        true => told(&format!("{}: ended; what is told from now on counts again", args.n)),
        false => Err(anyhow!("no suppression in force has the number {}", args.n).into()),
    }
}
