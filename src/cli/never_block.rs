//! `gatewatch never-block`: addresses and networks that are never contained, changed while the service runs.

use anyhow::anyhow;

use super::Failure;
use super::desk::{ActorArgs, List, ListFormat, PlaceArgs, ago, failure, length_us, or_dash, told};
use super::output::stderr_line;
use crate::clock;
use crate::respond::action::scrub;
use crate::respond::halt;
use crate::respond::incident::{desk, look};

/// Addresses and networks that are never blocked, besides those of the configuration (respond.guard.never_block).
#[derive(clap::Subcommand)]
pub enum Verb {
    List(ListArgs),
    Add(AddArgs),
    Remove(RemoveArgs),
}

/// List what was added while the service ran.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch never-block list

Those of the configuration, private and other special ranges and the trusted proxies are never blocked either; they are not
in this list.")]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// How the list is written.
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// Add an address or network: within a second nobody there is blocked any more, and what is in force is undone.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch never-block add 203.0.113.7 --reason 'the office in Leiden'
  gatewatch never-block add 2001:db8:40::/48 --reason 'partner, until their new range' --for 7d")]
pub struct AddArgs {
    /// The address, or the network with its bits.
    #[arg(value_name = "ADDRESS_OR_CIDR")]
    entity: String,
    /// Why, one line.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For how long: 30m, 24h, 7d [default: until it is removed].
    #[arg(long = "for", value_name = "TIME")]
    length: Option<String>,
    /// Take a network that is a good part of all addresses (wider than /8, IPv6: /16): hardly anybody is blocked any more.
    #[arg(long)]
    yes_everything: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

/// Take an address or network off the list: whoever is wanted out there is blocked again.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch never-block remove 203.0.113.7")]
pub struct RemoveArgs {
    /// As it stands in the list.
    #[arg(value_name = "ADDRESS_OR_CIDR")]
    entity: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    actor: ActorArgs,
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(args) => list(args),
        Verb::Add(args) => add(args),
        Verb::Remove(args) => remove(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let place = args.place.open()?;
    let all = place.ask(look::never_block(&place.store, clock::now_us()))?;
    let row = |it: &look::NeverShown| {
        vec![
            scrub(&it.entity),
            it.expires.as_deref().map_or("never".to_owned(), ago),
            or_dash(&it.owner),
            or_dash(&it.reason),
        ]
    };
    List {
        head: &["entity", "ends", "owner", "reason"],
        row: &row,
        keys: &["entity", "owner", "reason", "created", "expires"],
    }
    .write(&all, args.format)
}

fn add(args: &AddArgs) -> Result<(), Failure> {
    let length = args.length.as_deref().map(|text| length_us("--for", text)).transpose()?;
    let actor = args.actor.name()?;
    desk::network(&args.entity).map_err(failure)?;
    let place = args.place.open()?;
    let entity = (args.entity.as_str(), args.yes_everything);
    let scope = place.ask(desk::protect(&place.store, entity, &args.reason, length, &actor, clock::now_us()))?;
    if args.entity.contains('/') && scope.to_string() != args.entity.trim() {
        stderr_line(&format!("{} lies in {scope}: that whole network is taken", scrub(&args.entity)));
    }
    told(&format!("{scope}: never blocked from now on; what is in force there is undone"))
}

fn remove(args: &RemoveArgs) -> Result<(), Failure> {
    let scope = desk::network(&args.entity).map_err(failure)?;
    let (place, actor) = (args.place.open()?, args.actor.name()?);
    match place.ask(halt::unprotect(&place.store, scope, &actor, clock::now_us()))? {
        true => told(&format!("{scope}: off the list")),
        false => Err(anyhow!("{scope} is not on the list").into()),
    }
}
