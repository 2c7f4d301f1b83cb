//! `gatewatch backtest`: what other detectors would have told of the events of the lake, beside what was told.
//!
//! Promises: the lake stays as it is; nothing is sent; each difference names its alert.
//! Never: decides whether an alert is a good one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use datafusion::prelude::SessionContext;
use detectors::Rule;
use serde::Serialize;

use super::output::{self, AlertsFile, Progress, counted, grouped, stderr_line};
use super::shared::{self, DetectorArgs};
use super::status::screen::table;
use super::{Failure, desk, usage};
use crate::backtest::blocks::{self, Block, Hit};
use crate::backtest::compare::{self, All, Difference};
use crate::backtest::{Alerts, Backtest, Done, Period};
use crate::clock::Stopwatch;
use crate::config::{Config, DetectorsSection, KeysSection, Span};
use crate::pipeline::Outlet;
use crate::query::QueryLimits;
use crate::respond::action::scrub;
use crate::{app, keys, rules};

/// So long before --from events are read, for what detectors learn.
const LEARN: &str = "28d";
/// So long a block lasts where nothing is said.
const BLOCKED_FOR: &str = "1h";
/// Differences and blocks shown; --summary has all.
const SHOWN: usize = 20;
const MEMORY_BYTES: usize = 2 << 30;

/// Run detectors over the events that are kept, and compare what they tell with what was told.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gatewatch backtest --config gatewatch.yaml --from 7d
  gatewatch backtest --config gatewatch.yaml --detectors my-detectors --disable path-probing --from 2026-06-01
  gatewatch backtest --data-dir gatewatch-data --detectors new/ --against old/ --no-catalogue --summary -

The events go through the same engine in the order in which they were read, so an alert has the id it had live. Without
--against the answer is compared with the alerts that were told live: of the detectors that run here and of those
that --disable leaves out. An alert is added, lost or changed (severity, events, story, on trial).
For each alert that asks for a block it says how many requests of that address followed within --blocked-for, and how many of
them were answered well: what the guard rails of the response would have had to hold.
Detectors that learn begin at the first event that is read: so long before --from as --learn says, if the lake has it.
It differs from live where a lane was silent and came back with events older than the others, where events were
read again from rejects, and where detection was restarted without its past.")]
pub struct Args {
    /// The configuration of the service: its lake, its detectors, the lateness of its sources.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
    /// The data folder of demo, replay or run [default: $GATEWATCH_DATA_DIR, or gatewatch-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    detectors: DetectorArgs,
    /// Compare with these detectors (files or folders, besides the catalogue) in the place of what was told live.
    #[arg(long, value_name = "PATH")]
    against: Vec<PathBuf>,
    /// Alerts that opened since then: a time (RFC 3339) or a day, or so long ago (24h, 7d).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Events before then: a time or a day, or so long ago.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// So long before --from events are read, for what detectors learn.
    #[arg(long, value_name = "SPAN", default_value = LEARN)]
    learn: Span,
    /// How far a record may come behind a later one and still be detected on, of sources that the configuration does not name.
    #[arg(long, default_value = "2m", value_name = "SPAN")]
    lateness: Span,
    /// How long a block is taken to last.
    #[arg(long, value_name = "SPAN", default_value = BLOCKED_FOR)]
    blocked_for: Span,
    /// The last telling of each alert as JSON Lines; - is standard output.
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
    /// One JSON object with all differences and blocks; - is standard output.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Threads among which detectors are divided [default: 1].
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    threads: usize,
}

/// What `--summary` writes. Times are RFC 3339 UTC.
#[derive(Serialize)]
struct Summary<'a> {
    events: u64,
    lanes: usize,
    seconds: f64,
    first_event: Option<String>,
    last_event: Option<String>,
    /// `live`, or the detectors that it was compared with.
    against: String,
    alerts: usize,
    same: usize,
    added: usize,
    lost: usize,
    changed: usize,
    detectors: Vec<OfDetector>,
    differences: &'a [Difference],
    blocks: &'a [Hit],
}

/// The same of one detector.
#[derive(Clone, Debug, Default, Serialize)]
struct OfDetector {
    detector: String,
    alerts: usize,
    per_day: f64,
    added: usize,
    lost: usize,
    changed: usize,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = args.config.as_deref().map(Config::load).transpose().map_err(usage)?;
    let section = section(args, config.as_ref());
    let mut sets = vec![rules::load(&section).map_err(usage)?];
    if !args.against.is_empty() {
        let section = DetectorsSection { paths: args.against.clone(), ..args.detectors.section() };
        sets.push(rules::load(&section).context("--against").map_err(usage)?);
    }
    let period = period(args).map_err(usage)?;
    let alerts_file = args.alerts.as_deref().map(AlertsFile::new).transpose().map_err(usage)?;
    let data_dir = args.data_dir.clone().unwrap_or_else(super::default_data_dir);
    let place = shared::lake_of(config.as_ref(), args.data_dir.as_deref());
    let default = KeysSection::default();
    let key_place = config.as_ref().map_or((&default, &data_dir), |config| (&config.keys, &config.data_dir));
    // Which entities make room at a bound hangs on it, and nothing else.
    let hash_key = keys::existing(key_place.0, key_place.1).map_or((0, 0), |keys| keys.hash_key());
    let sources = config.as_ref().map(|config| config.sources.as_slice()).unwrap_or_default();
    let backtest = Backtest {
        period,
        sets,
        lateness_us: sources.iter().map(|source| (source.name.clone(), source.lateness.us)).collect::<HashMap<_, _>>(),
        lateness_else_us: args.lateness.us,
        hash_key,
        threads: crate::limits::check_threads(args.threads).map_err(|error| usage(anyhow!("--threads: {error}")))?,
    };
    let watch = Stopwatch::start();
    let runtime = app::runtime()?;
    let limits = QueryLimits { memory_bytes: MEMORY_BYTES, ..QueryLimits::default() };
    runtime.block_on(async {
        let session = shared::session(&place, limits).await?;
        let done = read(&backtest, &session).await?;
        let after = compare::told(&done.alerts[0])?;
        let before = match done.alerts.get(1) {
            Some(alerts) => compare::told(alerts)?,
            None => live(&session, period, &backtest.sets[0], &section.disabled).await?,
        };
        let until = period.to_us.map(schemas::time_text);
        let differences = compare::compare(&before, &after, until.as_deref());
        let hits = blocks::hits(&session, &wanted(&backtest.sets[0], &done.alerts[0], args.blocked_for)?).await?;
        if let Some(mut file) = alerts_file {
            file.open()?;
            file.tell(&done.alerts[0].values().cloned().collect::<Vec<_>>())?;
        }
        tell(args, &done, &differences, &hits, watch.elapsed().as_secs_f64())
    })
}

/// The detectors that are tried: those of the configuration, unless the command line says otherwise.
fn section(args: &Args, config: Option<&Config>) -> DetectorsSection {
    let said = args.detectors.section();
    match config {
        None => said,
        Some(config) => DetectorsSection {
            catalogue: config.detectors.catalogue && said.catalogue,
            paths: if said.paths.is_empty() { config.detectors.paths.clone() } else { said.paths },
            disabled: config.detectors.disabled.iter().cloned().chain(said.disabled).collect(),
        },
    }
}

fn period(args: &Args) -> anyhow::Result<Period> {
    let (from_us, to_us) = shared::period(args.from.as_deref(), args.to.as_deref())?;
    Ok(Period { read_from_us: from_us.map(|from| from.saturating_sub(args.learn.us)), from_us, to_us })
}

async fn read(backtest: &Backtest, session: &SessionContext) -> Result<Done, Failure> {
    if !session.table_exist("events")? {
        return Err(usage(anyhow!("the lake has no events yet")));
    }
    let mut progress: Option<Progress> = None;
    let done = backtest.run(session, |read, total| {
        let bar = progress.get_or_insert_with(|| Progress::new(Some(total), false));
        bar.at(read, String::new());
    });
    let done = done.await?;
    progress.iter().for_each(Progress::done);
    if done.events == 0 {
        return Err(Failure::Failed(anyhow!("no event of the lake is in this period")));
    }
    Ok(done)
}

/// What was told live by the detectors that run here, and by those that shall run no more.
async fn live(
    session: &SessionContext,
    period: Period,
    rules: &[Arc<Rule>],
    disabled: &[String],
) -> anyhow::Result<All> {
    let mut all = compare::told_live(session, period).await?;
    let known: BTreeSet<&str> = rules.iter().map(|rule| &*rule.id).chain(disabled.iter().map(String::as_str)).collect();
    all.retain(|_, alert| known.contains(alert.detector.as_str()));
    Ok(all)
}

/// The blocks that these alerts ask for. One that is on trial, or the part of another, asks for none.
fn wanted(rules: &[Arc<Rule>], alerts: &Alerts, length: Span) -> anyhow::Result<Vec<Block>> {
    let asks = |rule: &Arc<Rule>| rule.respond.iter().any(|kind| kind == "block");
    let asking: BTreeSet<&str> = rules.iter().filter(|rule| asks(rule)).map(|rule| &*rule.id).collect();
    let asked =
        alerts.values().filter(|alert| asking.contains(&*alert.detector) && !alert.dry_run && alert.part_of.is_none());
    asked
        .map(|alert| {
            let from_us =
                chrono::DateTime::parse_from_rfc3339(&alert.opened).context("the time of an alert")?.timestamp_micros();
            Ok(Block {
                alert: alert.id.clone(),
                detector: alert.detector.clone(),
                entity: alert.entity.value.clone(),
                from_us,
                to_us: from_us.saturating_add(length.us),
            })
        })
        .collect()
}

fn by_detector(alerts: &Alerts, differences: &[Difference], days: f64) -> Vec<OfDetector> {
    let mut all: BTreeMap<&str, OfDetector> = BTreeMap::new();
    for alert in alerts.values() {
        all.entry(&alert.detector).or_default().alerts += 1;
    }
    for difference in differences {
        let one = all.entry(&difference.alert().detector).or_default();
        match difference {
            Difference::Added { .. } => one.added += 1,
            Difference::Lost { .. } => one.lost += 1,
            Difference::Changed { .. } => one.changed += 1,
        }
    }
    let named = |(detector, one): (&str, OfDetector)| OfDetector {
        detector: detector.to_owned(),
        per_day: one.alerts as f64 / days,
        ..one
    };
    all.into_iter().map(named).collect()
}

fn tell(args: &Args, done: &Done, differences: &[Difference], hits: &[Hit], seconds: f64) -> Result<(), Failure> {
    let alerts = &done.alerts[0];
    let (first_us, last_us) = done.times_us.unwrap_or_default();
    let told_from_us = args.from.as_deref().and_then(|text| shared::moment("--from", text).ok()).unwrap_or(first_us);
    // A part of a day counts as one, or ten minutes of a log would tell hundreds a day.
    let days = ((last_us - told_from_us.max(first_us)) as f64 / 86_400e6).max(1.0);
    let detectors = by_detector(alerts, differences, days);
    let count = |of: fn(&OfDetector) -> usize| detectors.iter().map(of).sum::<usize>();
    let (added, lost, changed) = (count(|one| one.added), count(|one| one.lost), count(|one| one.changed));
    let against: Vec<String> = args.against.iter().map(|path| path.display().to_string()).collect();
    let summary = Summary {
        events: done.events,
        lanes: done.lanes,
        seconds,
        first_event: Some(schemas::time_text(first_us)),
        last_event: Some(schemas::time_text(last_us)),
        against: if against.is_empty() { "live".to_owned() } else { against.join(", ") },
        alerts: alerts.len(),
        same: alerts.len() - added - changed,
        added,
        lost,
        changed,
        detectors,
        differences,
        blocks: hits,
    };
    if let Some(path) = &args.summary {
        let mut out = output::create(path).map_err(usage)?;
        writeln!(out, "{}", desk::json(&summary, false)?).and_then(|()| out.flush()).context("--summary")?;
    }
    let is_taken = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.as_os_str() == "-");
    let text = screen(&summary);
    if is_taken(&args.summary) || is_taken(&args.alerts) {
        text.lines().for_each(stderr_line);
        return Ok(());
    }
    Ok(output::stdout(text.as_bytes())?)
}

/// What a person reads.
fn screen(summary: &Summary<'_>) -> String {
    let time = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut text = format!(
        "{} of {}, {} to {}; {:.1} s\n{}: {} as {}, {} added, {} lost, {} changed\n",
        counted(summary.events, "event"),
        counted(summary.lanes as u64, "lane"),
        time(&summary.first_event),
        time(&summary.last_event),
        summary.seconds,
        counted(summary.alerts as u64, "alert"),
        grouped(summary.same as u64),
        if summary.against == "live" { "told live".to_owned() } else { format!("by {}", summary.against) },
        grouped(summary.added as u64),
        grouped(summary.lost as u64),
        grouped(summary.changed as u64),
    );
    let rows: Vec<Vec<String>> = summary
        .detectors
        .iter()
        .map(|one| {
            let number = |n: usize| n.to_string();
            let per_day = format!("{:.2}", one.per_day);
            vec![
                one.detector.clone(),
                number(one.alerts),
                per_day,
                number(one.added),
                number(one.lost),
                number(one.changed),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table(&mut text, &["detector", "alerts", "a day", "added", "lost", "changed"], &rows);
    }
    let rows: Vec<Vec<String>> = summary.differences.iter().take(SHOWN).map(difference).collect();
    if !rows.is_empty() {
        table(&mut text, &["what", "opened", "detector", "entity", "severity", "events", "how"], &rows);
        more(&mut text, summary.differences.len());
    }
    let block = |hit: &Hit| {
        let numbers = [hit.requests, hit.answered, hit.principals].map(|number| number.to_string());
        [vec![hit.entity.clone(), hit.detector.clone()], numbers.to_vec()].concat()
    };
    let mut hits: Vec<&Hit> = summary.blocks.iter().collect();
    hits.sort_by(|a, b| (b.answered, b.requests, &a.alert).cmp(&(a.answered, a.requests, &b.alert)));
    let rows: Vec<Vec<String>> = hits.iter().take(SHOWN).map(|hit| block(hit)).collect();
    if !rows.is_empty() {
        table(&mut text, &["to be blocked", "detector", "requests after it", "answered well", "principals"], &rows);
        more(&mut text, hits.len());
    }
    text
}

fn more(text: &mut String, all: usize) {
    if all > SHOWN {
        text.push_str(&format!("... and {} more; --summary has them all\n", all - SHOWN));
    }
}

fn difference(difference: &Difference) -> Vec<String> {
    let (what, how) = match difference {
        Difference::Added { .. } => ("added", String::new()),
        Difference::Lost { .. } => ("lost", String::new()),
        Difference::Changed { changes, .. } => ("changed", changes.join("; ")),
    };
    let alert = difference.alert();
    let of_alert = [&alert.opened, &alert.detector, &alert.entity_value, &alert.severity].map(|text| scrub(text));
    [vec![what.to_owned()], of_alert.to_vec(), vec![alert.events.to_string(), how]].concat()
}
