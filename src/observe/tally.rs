//! What the step loop sees, counted and judged: records, events and rejects of each source, the figures of detection, alerts.
//!
//! Promises: runs on the loop's thread and costs it little: counting per batch, judging once a second. An alert is a line of
//! the log when it opens and when it closes, and at most once a minute in between.
//! Never: changes what the loop does; reads more of an event than its times, flags and which columns hold something.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::TimestampMicrosecondType;
use detectors::{Engine, Rule, WAITS_US_MAX};
use metrics::{counter, gauge, histogram};
use schemas::alert::{Severity, State};
use schemas::{Alert, Code, Lane};

use super::board::{Board, DetectorFacts, SourceFacts};
use super::notify::Manager;
use super::recorder;
use super::warn::{Kind, Warning};
use super::window::{Counts, RECORDS_MIN, Window};
use crate::clock::Stopwatch;
use crate::metric;
use crate::pipeline::{Taken, Watcher};

/// Judging and the figures of detection: once in so long.
const JUDGE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// Of the records: from this share on they are too many rejects, and below half of it no longer.
const REJECTS_ONE_IN: u64 = 10;
const DAMAGED_ONE_IN: u64 = 20;
/// Late ones, and ones ahead.
const ASTRAY_ONE_IN: u64 = 1_000;
/// One late event, or one ahead, is an accident.
const ASTRAY_MIN: u64 = 2;
/// Events of a source before it is said that it never fills a column.
const BLIND_AFTER_EVENTS: u64 = 1_000;
/// Without these hardly any detector sees anything. What else a source has nothing for concerns some detectors: said once, and no
/// warning.
const CORE: [&str; 6] = ["client_ip", "principal", "endpoint", "path", "status", "response_bytes"];
/// Between two lines about updates of one alert.
const UPDATE_EVERY_US: i64 = 60_000_000;
/// Open alerts whose updates are logged; those of more are not.
const ALERTS_MAX: usize = 10_000;
/// Event times whose arrival is remembered, for the delay of alerts.
const ARRIVALS_ROWS_MAX: usize = 131_072;
/// Partitions whose newest time is remembered, for how late late events are; with more it begins anew.
const NEWEST_MAX: usize = 10_000;
/// Filled by attacks and by what is removed, not by sources.
const NOT_OF_SOURCES: [&str; 4] = ["probes", "redactions", "damaged", "earlier_tokens"];

pub struct Tally {
    board: Arc<Board>,
    /// Hears when the loop goes round for the first time: lake and sources are open then.
    manager: Arc<Manager>,
    sources: BTreeMap<String, Source>,
    newest: HashMap<Lane, i64>,
    arrivals: VecDeque<(i64, ScalarBuffer<i64>)>,
    arrived_rows: usize,
    alerts: HashMap<String, Updates>,
    since_judged: Stopwatch,
}

struct Source {
    facts: SourceFacts,
    window: Window,
    /// Nothing new since it was judged.
    judged: bool,
    events: u64,
    newest_us: i64,
    /// Columns that detectors need and that were empty so far.
    unfilled: Vec<String>,
    /// It was said which these are beside `CORE`.
    told_extra: bool,
}

/// The updates of an alert that is open.
#[derive(Default)]
struct Updates {
    told_us: i64,
    passed_over: u64,
}

impl Tally {
    pub fn new(board: Arc<Board>, manager: Arc<Manager>) -> Tally {
        let unfilled = needed(&board.detectors());
        let source = |facts: &SourceFacts| {
            let source = Source {
                facts: facts.clone(),
                window: Window::default(),
                judged: true,
                events: 0,
                newest_us: i64::MIN,
                unfilled: unfilled.clone(),
                told_extra: false,
            };
            (facts.name.clone(), source)
        };
        let sources = board.facts.sources.iter().map(source).collect();
        Tally {
            board,
            manager,
            sources,
            newest: HashMap::new(),
            arrivals: VecDeque::new(),
            arrived_rows: 0,
            alerts: HashMap::new(),
            since_judged: Stopwatch::start(),
        }
    }

    /// How far the late events of a batch lie behind the newest of their partition, at most. No event is newer than its
    /// arrival.
    fn behind_us_max(&mut self, lane: &Lane, events: &RecordBatch) -> i64 {
        let column = |name| Some(events.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?.values());
        let (Some(times), Some(observed)) = (column("time"), column("observed_time")) else { return 0 };
        if self.newest.len() >= NEWEST_MAX && !self.newest.contains_key(lane) {
            self.newest.clear();
        }
        let newest = self.newest.entry(lane.clone()).or_insert(i64::MIN);
        let late = events.column_by_name("late").map(|late| late.as_boolean());
        let mut behind_us_max = 0;
        for (row, (time, observed)) in times.iter().zip(observed.iter()).enumerate() {
            if late.is_some_and(|late| late.value(row)) {
                behind_us_max = behind_us_max.max(newest.saturating_sub(*time));
            }
            *newest = (*newest).max(*time.min(observed));
        }
        behind_us_max
    }

    fn note_arrival(&mut self, events: &RecordBatch) {
        let column = |name: &str| {
            let column = events.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some(column.values().clone())
        };
        let (Some(times), Some(observed)) = (column("time"), column("observed_time")) else { return };
        let Some(first) = observed.first() else { return };
        self.arrived_rows += times.len();
        self.arrivals.push_back((*first, times));
        while self.arrived_rows > ARRIVALS_ROWS_MAX && self.arrivals.len() > 1 {
            let gone = self.arrivals.pop_front().map_or(0, |(_, times)| times.len());
            self.arrived_rows -= gone;
        }
    }

    /// When the event of this time came; when none has it, the newest of all.
    fn arrival_of(&self, time_us: i64) -> Option<i64> {
        let newest_first = || self.arrivals.iter().rev();
        let exact = newest_first().find(|(_, times)| times.contains(&time_us));
        exact.or_else(|| self.arrivals.back()).map(|(observed_us, _)| *observed_us)
    }

    fn judge(&mut self, engine: &Engine) {
        self.since_judged = Stopwatch::start();
        show_detection(engine);
        let board = &self.board;
        for source in self.sources.values_mut().filter(|source| !source.judged) {
            source.judged = true;
            let counts = source.window.counts();
            judge_rejects(board, source, &counts);
            judge_late(board, source, &counts);
            judge_ahead(board, source, &counts);
            judge_damaged(board, source, &counts);
            judge_blind(board, source);
        }
    }

    /// One line of the log, and the delay of an alert that opened.
    fn tell(&mut self, alert: &Alert) {
        let now_us = self.board.now_us();
        match alert.state {
            State::Open => {
                if self.alerts.len() < ALERTS_MAX {
                    self.alerts.insert(alert.id.clone(), Updates { told_us: now_us, passed_over: 0 });
                }
                line(alert, 0);
                let opened = chrono::DateTime::parse_from_rfc3339(&alert.updated).map(|time| time.timestamp_micros());
                if let Some(observed_us) = opened.ok().and_then(|opened| self.arrival_of(opened)) {
                    histogram!(metric::ALERT_DELAY).record((now_us - observed_us).max(0) as f64 / 1e6);
                }
            }
            State::Updated => {
                if self.alerts.len() >= ALERTS_MAX && !self.alerts.contains_key(&alert.id) {
                    return;
                }
                // One that was open before a restart is told of at its first update.
                let updates =
                    self.alerts.entry(alert.id.clone()).or_insert(Updates { told_us: i64::MIN, passed_over: 0 });
                if now_us.saturating_sub(updates.told_us).unsigned_abs() < UPDATE_EVERY_US.unsigned_abs() {
                    updates.passed_over += 1;
                    return;
                }
                updates.told_us = now_us;
                line(alert, std::mem::take(&mut updates.passed_over));
            }
            State::Closed => {
                let updates = self.alerts.remove(&alert.id).unwrap_or_default();
                line(alert, updates.passed_over);
            }
        }
    }
}

/// Columns that detectors need and that sources fill.
fn needed(detectors: &DetectorFacts) -> Vec<String> {
    detectors.needs.keys().filter(|column| !NOT_OF_SOURCES.contains(&column.as_str())).cloned().collect()
}

impl Watcher for Tally {
    fn swapped(&mut self, rules: &[Arc<Rule>]) {
        let (before, now) = (self.board.detectors(), DetectorFacts::of(rules));
        for gone in before.ids.iter().filter(|id| !now.ids.contains(id)) {
            for name in [metric::ENTITIES, metric::ALERTS_OPEN] {
                gauge!(name, "detector" => gone.clone()).set(0.0);
            }
            for source in self.sources.keys() {
                let labels = [("detector", gone.clone()), ("source", source.clone())];
                gauge!(metric::DETECTOR_BLIND, &labels).set(0.0);
            }
        }
        // What a source fills is seen anew.
        for source in self.sources.values_mut() {
            (source.unfilled, source.events, source.told_extra) = (needed(&now), 0, false);
        }
        let (ids, sources): (Vec<&str>, Vec<&str>) =
            (now.ids.iter().map(String::as_str).collect(), self.sources.keys().map(String::as_str).collect());
        recorder::begin_detectors(&ids, &sources);
        self.board.set_detectors(now);
    }

    fn opened(&mut self, lane: &Lane, position: Option<i64>) {
        let before = position.is_some_and(|position| position > 0);
        self.board.note_activity(&lane.source, |activity| activity.before |= before);
    }

    fn took(&mut self, taken: &Taken<'_>) {
        let name = &*taken.lane.source;
        let source_label = || name.to_owned();
        counter!(metric::RECORDS, "source" => source_label()).increment(taken.records);
        counter!(metric::RECORD_BYTES, "source" => source_label()).increment(taken.bytes);
        let mut counts = counts_of(taken);
        counts.behind_us_max = self.behind_us_max(taken.lane, taken.events);
        counter!(metric::EVENTS, "source" => source_label()).increment(counts.events);
        counter!(metric::LATE, "source" => source_label()).increment(counts.late);
        for (code, count) in &counts.rejects {
            counter!(metric::REJECTS, "source" => source_label(), "code" => code.as_str()).increment(*count);
        }
        counter!(metric::AHEAD, "source" => source_label()).increment(counts.ahead);
        for (column, count) in &counts.damaged {
            counter!(metric::DAMAGED, "source" => source_label(), "column" => column.clone()).increment(*count);
        }
        let now_us = self.board.now_us();
        gauge!(metric::SOURCE_LAST_RECORD, "source" => source_label()).set(now_us as f64 / 1e6);
        self.board.note_activity(name, |activity| activity.last_us = Some(now_us));
        self.note_arrival(taken.events);
        let Some(source) = self.sources.get_mut(name) else { return };
        source.window.push(now_us, &counts, taken.rejects);
        source.judged = false;
        source.events += counts.events;
        source.note_columns(taken.events);
    }

    fn told(&mut self, alerts: &[Alert]) {
        for alert in alerts {
            counter!(metric::ALERTS, "detector" => alert.detector.clone(), "state" => name_of(alert.state))
                .increment(1);
            self.tell(alert);
        }
    }

    fn turned(&mut self, engine: &Engine) {
        if self.board.beat() {
            self.manager.ready();
        }
        if self.since_judged.elapsed() >= JUDGE_EVERY {
            self.judge(engine);
        }
    }

    fn ended(&mut self, engine: &Engine) {
        self.judge(engine);
    }
}

impl Source {
    /// The newest event time, and which of the needed columns hold something now.
    fn note_columns(&mut self, events: &RecordBatch) {
        if events.num_rows() == 0 {
            return;
        }
        if let Some(times) = events.column_by_name("time")
            && let Some(newest) = arrow::compute::max(times.as_primitive::<TimestampMicrosecondType>())
            && newest > self.newest_us
        {
            self.newest_us = newest;
            gauge!(metric::SOURCE_LAST_EVENT, "source" => self.facts.name.clone()).set(newest as f64 / 1e6);
        }
        let is_empty = |column: &String| {
            events.column_by_name(column).is_none_or(|column| column.logical_null_count() == column.len())
        };
        self.unfilled.retain(is_empty);
    }
}

fn counts_of(taken: &Taken<'_>) -> Counts {
    let events = taken.events.num_rows() as u64;
    let mut counts = Counts { events, ahead: taken.ahead, took_us_min: took_us_min(taken.events), ..Counts::default() };
    if let Some(late) = taken.events.column_by_name("late") {
        counts.late = late.as_boolean().true_count() as u64;
    }
    taken.rejects.iter().for_each(|reject| *counts.rejects.entry(reject.code).or_default() += 1);
    if let Some(damaged) = taken.events.column_by_name("damaged").filter(|damaged| damaged.null_count() < damaged.len())
    {
        for columns in damaged.as_list::<i32>().iter().flatten() {
            for name in columns.as_string::<i32>().iter().flatten() {
                match counts.damaged.get_mut(name) {
                    Some(count) => *count += 1,
                    None => drop(counts.damaged.insert(name.to_owned(), 1)),
                }
            }
        }
    }
    counts
}

/// How long after it happened the quickest of these events came.
fn took_us_min(events: &RecordBatch) -> Option<i64> {
    let column = |name| Some(events.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?.values());
    let (times, observed) = (column("time")?, column("observed_time")?);
    times.iter().zip(observed).map(|(time, observed)| observed.saturating_sub(*time)).min()
}

/// The figures that detection has of itself.
fn show_detection(engine: &Engine) {
    let stats = engine.stats();
    if let Some(folded_to) = stats.folded_to {
        gauge!(metric::WATERMARK).set(folded_to as f64 / 1e6);
    }
    gauge!(metric::HELD_ROWS).set(stats.held as f64);
    counter!(metric::UNEVALUATED).absolute(stats.unevaluated);
    for detector in stats.detectors {
        let label = || detector.id.clone();
        gauge!(metric::ENTITIES, "detector" => label()).set(detector.entities as f64);
        gauge!(metric::ALERTS_OPEN, "detector" => label()).set(detector.open as f64);
        counter!(metric::EVICTED, "detector" => label()).absolute(detector.evicted);
        counter!(metric::TOO_LATE, "detector" => label()).absolute(detector.too_late);
    }
}

/// Holds the warning from `one_in` on, ends it below half of that.
fn judge(board: &Board, kind: Kind, about: &str, share: (u64, u64), one_in: u64, warning: impl FnOnce() -> Warning) {
    let (count, of) = share;
    let held = || board.warnings.in_force().iter().any(|held| held.warning == kind && held.about == about);
    if of >= RECORDS_MIN && count > 0 && count * one_in >= of {
        board.warnings.hold(warning(), board.now_us(), false);
    } else if count > 0 && count * one_in * 2 >= of && held() {
        // Between the two it stays, with new figures.
        board.warnings.hold(warning(), board.now_us(), false);
    } else {
        board.warnings.end(kind, about, board.now_us(), false);
    }
}

fn judge_rejects(board: &Board, source: &Source, counts: &Counts) {
    let (rejected, records) = (counts.rejected(), counts.records());
    judge(board, Kind::Rejects, &source.facts.name, (rejected, records), REJECTS_ONE_IN, || {
        let (code, most) =
            counts.rejects.iter().max_by_key(|(_, count)| **count).map_or((Code::Empty, 0), |(c, n)| (*c, *n));
        let detail = source.window.detail(code);
        let kind = &source.facts.kind;
        let cure = match code {
            Code::TimeOutOfRange => {
                "is the clock of the gateway right, and the zone (time_zone)? ahead_max says how far ahead a time may be".to_owned()
            }
            Code::Oversized => "of records longer than the limit only the beginning is read: are they of one line each?".to_owned(),
            _ => format!(
                "is kind: {kind} right? `gatewatch explain --source {kind} FILE` shows each record, `gatewatch rejects` those \
                 that were kept"
            ),
        };
        Warning {
            kind: Kind::Rejects,
            about: source.facts.name.clone(),
            count: rejected,
            message: format!(
                "{rejected} of the last {records} records are rejects, {most} of them {} ({detail})",
                code.as_str()
            ),
            cure,
        }
    });
}

fn judge_late(board: &Board, source: &Source, counts: &Counts) {
    let late = if counts.late >= ASTRAY_MIN { counts.late } else { 0 };
    judge(board, Kind::Late, &source.facts.name, (late, counts.events), ASTRAY_ONE_IN, || {
        let (behind_us, lateness_us) = (counts.behind_us_max, source.facts.lateness_us);
        let seconds = in_seconds(behind_us);
        let took_us = counts.took_us_min.unwrap_or(0);
        let cure = match behind_us {
            // Of a backlog, which is waited for, some come behind the others of their partition.
            _ if took_us > WAITS_US_MAX.max(lateness_us) && behind_us <= lateness_us => {
                let took = in_seconds(took_us);
                format!(
                    "each comes at least {took} s after its time, and detection of the other sources does not wait for that: are the \
                     clock and the zone (time_zone) of this source right? If they are, lateness: {took}s on it makes the others wait"
                )
            }
            _ if behind_us > 3_600_000_000 => {
                format!("they come up to {seconds} s behind: are all times of one zone (time_zone)?")
            }
            _ if behind_us > lateness_us => {
                format!(
                    "they come up to {seconds} s behind the newest of their partition: set lateness: {seconds}s on this source"
                )
            }
            _ => {
                "their partition was idle or away while the others went on: a longer idle_after waits for it".to_owned()
            }
        };
        Warning {
            kind: Kind::Late,
            about: source.facts.name.clone(),
            count: late,
            message: format!(
                "{late} of the last {} events came late: they count where a window still holds their time, and not in baselines",
                counts.events
            ),
            cure,
        }
    });
}

fn in_seconds(us: i64) -> i64 {
    us.saturating_add(999_999) / 1_000_000
}

fn judge_ahead(board: &Board, source: &Source, counts: &Counts) {
    let ahead = if counts.ahead >= ASTRAY_MIN { counts.ahead } else { 0 };
    judge(board, Kind::Ahead, &source.facts.name, (ahead, counts.events), ASTRAY_ONE_IN, || Warning {
        kind: Kind::Ahead,
        about: source.facts.name.clone(),
        count: ahead,
        message: format!(
            "{ahead} of the last {} events are ahead of the others of their partition: they are detected on as if they had \
             happened where it is",
            counts.events
        ),
        cure: "set the clock of the gateway that is ahead right (NTP); hours ahead: is its zone (time_zone) right?"
            .to_owned(),
    });
}

fn judge_damaged(board: &Board, source: &Source, counts: &Counts) {
    let name = &source.facts.name;
    let prefix = format!("{name}: ");
    let gone = board.warnings.in_force().into_iter().filter(|held| {
        let column = held.about.strip_prefix(&prefix);
        held.warning == Kind::Damaged && column.is_some_and(|column| !counts.damaged.contains_key(column))
    });
    for held in gone {
        board.warnings.end(Kind::Damaged, &held.about, board.now_us(), false);
    }
    for (column, count) in &counts.damaged {
        let about = format!("{prefix}{column}");
        judge(board, Kind::Damaged, &about, (*count, counts.events), DAMAGED_ONE_IN, || {
            let what = if column == "record" { "the records end early" } else { "the value there cannot be" };
            Warning {
                kind: Kind::Damaged,
                about: about.clone(),
                count: *count,
                message: format!("{column} is damaged in {count} of the last {} events: {what}", counts.events),
                cure: format!(
                    "what does the gateway write there? `gatewatch explain --source {} FILE` shows it; a mapping_file says \
                     what it means",
                    source.facts.kind
                ),
            }
        });
    }
}

fn judge_blind(board: &Board, source: &mut Source) {
    let name = &source.facts.name;
    let held = board.warnings.in_force().into_iter().filter(|held| held.warning == Kind::Blind);
    let about_of = |column: &str| format!("{name}: {column}");
    let prefix = format!("{name}: ");
    // A column that is filled by now ends its warning.
    for held in held {
        let is_over = held.about.strip_prefix(&prefix).is_some_and(|c| !source.unfilled.iter().any(|u| u == c));
        if is_over {
            board.warnings.end(Kind::Blind, &held.about, board.now_us(), false);
        }
    }
    if source.events < BLIND_AFTER_EVENTS {
        return;
    }
    let mut blind: BTreeMap<&str, bool> = BTreeMap::new();
    let facts = board.detectors();
    let (mut extra, mut without) = (Vec::new(), BTreeSet::new());
    for (column, detectors) in &facts.needs {
        let is_unfilled = source.unfilled.contains(column);
        if is_unfilled && !CORE.contains(&column.as_str()) {
            extra.push(column.as_str());
            without.extend(detectors.iter().map(String::as_str));
            continue;
        }
        detectors.iter().for_each(|detector| *blind.entry(detector).or_default() |= is_unfilled);
        if !is_unfilled {
            continue;
        }
        let events = source.events;
        let warning = Warning {
            kind: Kind::Blind,
            about: about_of(column),
            count: detectors.len() as u64,
            message: format!(
                "{column} was never filled in {events} events of this source: {} cannot see there",
                detectors.join(", ")
            ),
            cure: cure_of(column),
        };
        board.warnings.hold(warning, board.now_us(), false);
    }
    for (detector, is_blind) in blind {
        gauge!(metric::DETECTOR_BLIND, "detector" => detector.to_owned(), "source" => name.clone())
            .set(f64::from(u8::from(is_blind)));
    }
    if !extra.is_empty() && !std::mem::replace(&mut source.told_extra, true) {
        let (columns, detectors) = (extra.join(", "), without.into_iter().collect::<Vec<_>>().join(", "));
        tracing::info!(source = %name, columns, detectors, "these columns are never filled here, so these detectors see nothing of it");
    }
}

/// Where a column that is never filled could come from.
fn cure_of(column: &str) -> String {
    match column {
        "country" | "asn" | "as_org" | "lat" | "lon" => "name databases of addresses in enrich.mmdb".to_owned(),
        "documented" => "name what the gateway serves in openapi or endpoints of this source".to_owned(),
        "tenant" => "name it in tenant of this source, or let the gateway log it".to_owned(),
        _ => format!(
            "let the gateway log what {column} is made of, or map it (mapping_file); else leave these detectors out \
             (detectors.disabled)"
        ),
    }
}

fn name_of(state: State) -> &'static str {
    match state {
        State::Open => "opened",
        State::Updated => "updated",
        State::Closed => "closed",
    }
}

/// One line for an update of an alert.
fn line(alert: &Alert, passed_over: u64) {
    let Alert { id, detector, title, entity, observed, threshold, events, part_of, .. } = alert;
    let state = name_of(alert.state);
    let severity = match alert.severity {
        Severity::Info => "info",
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    };
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                detector,
                severity,
                entity_kind = entity.kind,
                entity = entity.value,
                observed,
                threshold,
                events,
                passed_over,
                alert = id,
                part_of,
                "alert {state}: {title}"
            )
        };
    }
    let is_news = alert.state == State::Open && part_of.is_none();
    if is_news && alert.severity >= Severity::High { say!(warn) } else { say!(info) }
}
