//! `gatewatch audit`: who did what; whether it was touched since; taking it elsewhere.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use serde_json::{Value, json};

use super::output::{self, counted};
use super::{Failure, shared, usage};
use crate::audit::verify::{Closing, Counted, Report, Verifier};
use crate::audit::{self, Chained, Fact, What};
use crate::config::{Config, Span};
use crate::keys::signing::{self, PublicKey, SigningKey};
use crate::query::{self, Format, QueryOutput};
use crate::trail::{self, Place, Read};
use crate::{app, clock};

/// Bytes of a line of an export; more: no entry.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Show what the system and its users did, check that it was not touched, and export it.
#[derive(clap::Subcommand)]
pub enum Verb {
    Verify(VerifyArgs),
    Export(ExportArgs),
    Show(ShowArgs),
    RotateKey(RotateArgs),
}

/// Whose audit.
#[derive(clap::Args)]
struct PlaceArgs {
    /// The data folder of the service [default: $GATEWATCH_DATA_DIR, or gatewatch-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration of the service.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
}

impl PlaceArgs {
    fn place(&self) -> Result<Place, Failure> {
        match &self.config {
            Some(path) => Ok(Place::of_config(&Config::load(path).map_err(usage)?)),
            None => Ok(Place::of_data_dir(&self.data_dir.clone().unwrap_or_else(super::default_data_dir))),
        }
    }
}

/// Check that no entry was changed, removed, moved or doubled; name each that was. Needs no network and no service.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch audit verify --config gatewatch.yaml
  gatewatch audit verify --file audit.jsonl --public-key audit.pub          on any machine
  gatewatch audit verify --data-dir gatewatch-data --public-key audit.pub --signed-within 1h

Exit status: 0 nothing was touched, 1 something was. Give the public key from where you kept it: one that lies beside the
audit may have been replaced with it.")]
pub struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// An export, as `audit export` writes it; - is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "config"])]
    file: Option<PathBuf>,
    /// The public key, or a list of them; may be given several times [default: audit.pub in the folder of keys].
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// The newest signature must not be older than this: otherwise the end was cut off, or nothing runs.
    #[arg(long, value_name = "SPAN")]
    signed_within: Option<Span>,
}

/// Write the entries to a file, one JSON object a line, with a signed line that closes it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch audit export --config gatewatch.yaml --out audit.jsonl
  gatewatch audit export --data-dir gatewatch-data --since 30d --out - | zstd > audit.jsonl.zst

That it was exported is an entry, too. `audit verify --file` checks it on any machine.")]
pub struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Where to; - is standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// From then on: a time (RFC 3339) or a day, or so long ago (24h, 7d).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// Show the newest entries: when, who, what, about what.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch audit show --config gatewatch.yaml
  gatewatch audit show --about a1b2c3d4 --limit 200
  gatewatch query \"select actor, count(*) from audit where what = 'query' group by 1\"

The table `audit` in SQL is what the lake has so far; this also shows what is not copied there yet.")]
pub struct ShowArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// About this id alone: of an alert, an incident, an action.
    #[arg(long, value_name = "ID")]
    about: Option<String>,
    /// Most entries.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// How they are written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Put a new signing key in the place of the old one, whose last signature names it.
#[derive(clap::Args)]
#[command(after_help = "Example:
  gatewatch audit rotate-key --config gatewatch.yaml

A running service takes the new key up by itself. Who has the old public key can go on checking with it alone.")]
pub struct RotateArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

pub fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Verify(args) => verify(args),
        Verb::Export(args) => export(args),
        Verb::Show(args) => show(args),
        Verb::RotateKey(args) => rotate(args),
    }
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let place = args.place.place()?;
    let mut files = args.public_key.clone();
    if files.is_empty() {
        if args.file.is_some() {
            return Err(usage(anyhow!("--file needs --public-key FILE: the audit.pub of the machine it is from")));
        }
        files.push(signing::public_file(&place.keys));
    }
    let mut keys: Vec<PublicKey> = Vec::new();
    for file in files {
        keys.extend(PublicKey::read_all(&file).map_err(usage)?);
    }
    let verifier = Verifier::new(keys);
    let report = match &args.file {
        Some(path) if path.as_os_str() == "-" => check_lines(verifier, io::stdin().lock())?,
        Some(path) => {
            let file = File::open(path).with_context(|| path.display().to_string()).map_err(usage)?;
            check_lines(verifier, BufReader::new(file))?
        }
        None => app::runtime()?.block_on(trail::check(&place, verifier)).map_err(usage)?.finish(),
    };
    output::stdout(told(&report).as_bytes())?;
    let found = report.findings.len() as u64 + report.more;
    if found > 0 {
        return Err(Failure::Failed(anyhow!("the audit was touched: {}", counted(found, "finding"))));
    }
    Ok(in_time(&report, args.signed_within)?)
}

/// Takes every line of an export.
fn check_lines(mut verifier: Verifier, mut lines: impl BufRead) -> anyhow::Result<Report> {
    let mut number = 0;
    loop {
        let mut bytes = Vec::new();
        if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(verifier.finish_export());
        }
        number += 1;
        // A line without its end is a part of one, or the file was cut: it is no line that was written.
        let line = bytes.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
        verifier.take_line(number, line.unwrap_or_default());
    }
}

fn told(report: &Report) -> String {
    let mut text: String = report.findings.iter().map(|finding| format!("{finding}\n")).collect();
    if report.more > 0 {
        text += &format!("and {} more\n", output::grouped(report.more));
    }
    let entries = output::grouped(report.entries);
    text += &format!("instance {}: {entries} entries, {} to {}\n", report.instance, report.first, report.last);
    if let Some((n, time_us, key)) = &report.signed {
        let time = schemas::time_text(*time_us);
        text += &format!("signed up to entry {n}, the last time at {time} by key {key}\n");
        if *n < report.last {
            text += &format!("entries {} to {} wait for the next signature\n", n + 1, report.last);
        }
    }
    if report.first > 1 && report.is_good() {
        let (first, before) = (report.first, report.first - 1);
        text += &format!(
            "verified from entry {first} on; 1 to {before} were removed by retention or left out by --since\n"
        );
    }
    if report.is_good() {
        text += "nothing was changed, removed, moved or doubled\n";
    }
    text
}

fn in_time(report: &Report, within: Option<Span>) -> anyhow::Result<()> {
    let Some(within) = within else { return Ok(()) };
    match &report.signed {
        Some((_, time_us, _)) if clock::now_us() - time_us <= within.us => Ok(()),
        Some((n, time_us, _)) => bail!(
            "the newest signature is of {}, over entry {n}: older than --signed-within; the end was cut off, or the service \
             does not run",
            schemas::time_text(*time_us)
        ),
        None => bail!("nothing is signed"),
    }
}

fn export(args: &ExportArgs) -> Result<(), Failure> {
    let since_us = args.since.as_deref().map(|text| shared::moment("--since", text)).transpose().map_err(usage)?;
    let place = args.place.place()?;
    let key = SigningKey::read(&place.keys).map_err(usage)?;
    let missing =
        || anyhow!("{}: there is no key to close the export with", signing::private_file(&place.keys).display());
    let key = key.ok_or_else(|| usage(missing()))?;
    let runtime = app::runtime()?;
    let mut out = output::create_private(&args.out).map_err(usage)?;
    let counted = runtime.block_on(async {
        if let Some(audit) = place.writer().await? {
            let detail = args.since.as_ref().map_or_else(|| json!({}), |since| json!({ "since": since }));
            audit.note(&[Fact::new(What::Exported, &super::who(), "", detail)]).await?;
            audit.sign(false).await?;
        }
        let mut counted = Counted::default();
        trail::read(&place, |read| {
            // What differs in the state store, `verify` names; the export is of the lake, then of the rest.
            let Read::Entry(chained) = read else { return Ok(()) };
            if since_us.is_none_or(|since_us| chained.entry.time_us >= since_us) {
                counted.add(chained);
                writeln!(out, "{}", chained.line()?)?;
            }
            Ok(())
        })
        .await?;
        anyhow::Ok(counted)
    })?;
    if counted.entries == 0 {
        return Err(usage(anyhow!("there is no entry to export")));
    }
    writeln!(out, "{}", Closing::sign(&counted, clock::now_us(), &key).line())?;
    out.flush()?;
    let (entries, first, last) = (output::grouped(counted.entries), counted.first, counted.last);
    output::stderr_line(&format!("exported {entries} entries, {first} to {last}, signed by key {}", key.public().id()));
    Ok(())
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let place = args.place.place()?;
    let entries = app::runtime()?.block_on(trail::newest(&place, args.about.as_deref(), args.limit.max(1)))?;
    let batch = table(&entries)?;
    let answer = QueryOutput { schema: batch.schema(), batches: vec![batch], truncated: false };
    let mut out = BufWriter::new(io::stdout().lock());
    query::write(&answer, args.format, &mut out)?;
    Ok(out.flush()?)
}

fn table(entries: &[Chained]) -> anyhow::Result<RecordBatch> {
    let text = |read: &dyn Fn(&Chained) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(entries.iter().map(read)))
    };
    let detail = |one: &Chained| audit::canonical(&Value::Object(one.entry.detail.clone())).unwrap_or_default();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(entries.iter().map(|one| one.entry.n)));
    Ok(RecordBatch::try_from_iter([
        ("n", numbers),
        ("time", text(&|one| schemas::time_text(one.entry.time_us))),
        ("who", text(&|one| one.entry.actor.clone())),
        ("what", text(&|one| one.entry.what.clone())),
        ("about", text(&|one| one.entry.about.clone())),
        ("detail", text(&detail)),
    ])?)
}

fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let place = args.place.place()?;
    let new = app::runtime()?.block_on(async {
        let audit = place.writer().await?;
        let audit = audit.with_context(|| format!("{}: there is no audit", place.data_dir.display()))?;
        anyhow::Ok(audit.rotate().await?)
    })?;
    let file = signing::public_file(&place.keys);
    output::stderr_line(&format!("key {} signs from now on; {} lists it first", new.id(), file.display()));
    Ok(())
}
