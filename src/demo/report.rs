//! The screen at the end of a demo: what was planted, what was found and how soon, what stayed quiet, how fast it
//! went, what was redacted, and what to try next.
//!
//! Promises: at most `WIDTH` columns, except where a path alone is wider; colour only when asked for; commands can be
//! copied as they stand.
//! Never: prints; it returns text.

use std::fmt::Write;

use chrono::DateTime;

use super::plan::{Plan, Planted};
use super::score::{Found, Other, Score};

pub const WIDTH: usize = 100;

/// What the run that is reported on did.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    pub seed: u64,
    pub events: u64,
    pub rejects: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// Class of what was removed, and from how many events.
    pub redactions: &'a [(String, u64)],
    /// The program, as a command names it.
    pub program: &'a str,
    /// None when the run had no lake.
    pub lake: Option<Tables<'a>>,
}

/// Where the tables of a run are.
#[derive(Clone, Copy, Debug)]
pub struct Tables<'a> {
    pub folder: &'a str,
    /// The command that asks them, without its SQL.
    pub query: &'a str,
}

/// The report as text.
pub fn render(plan: &Plan, score: &Score, run: &Run<'_>, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    let hours = (plan.end_us - plan.start_us) / 3_600_000_000;
    let title = format!("Gatewatch demo, seed {}: {} requests in {hours} hours", run.seed, thousands(run.events));
    page.line(&[(BOLD, &title)]);
    attacks(&mut page, plan, score);
    look_alikes(&mut page, plan, score);
    unexpected(&mut page, &score.unexpected);
    figures(&mut page, run);
    try_next(&mut page, plan, score, run);
    page.text
}

const PLAIN: &str = "";
const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    /// One line of pieces, each in its style.
    fn line(&mut self, pieces: &[(&str, &str)]) {
        for (style, piece) in pieces {
            if self.colour && !style.is_empty() {
                self.text.extend(["\u{1b}[", style, "m", piece, "\u{1b}[0m"]);
            } else {
                self.text.push_str(piece);
            }
        }
        while self.text.ends_with(' ') {
            self.text.pop();
        }
        self.text.push('\n');
    }

    /// The same, broken before a mark where the line would be too wide; the next begins at column `indent`.
    fn wrapped(&mut self, pieces: &[(&str, String)], indent: usize) {
        let margin = " ".repeat(indent);
        let mut line: Vec<(&str, &str)> = Vec::new();
        let mut width = 0;
        for (at, (style, piece)) in pieces.iter().enumerate() {
            // A mark and the text after it stay together.
            let ahead: usize = pieces[at..].iter().take(2).map(|(_, piece)| piece.trim_end().chars().count() + 1).sum();
            if at % 2 == 1 && width > indent && width + ahead > WIDTH {
                self.line(&line);
                line = vec![(PLAIN, &margin)];
                width = indent;
            }
            width += piece.chars().count();
            line.push((style, piece));
        }
        self.line(&line);
    }

    fn heading(&mut self, title: &str, note: &str) {
        self.text.push('\n');
        self.line(&[(BOLD, title), (DIM, "  "), (DIM, note)]);
    }
}

fn attacks(page: &mut Page, plan: &Plan, score: &Score) {
    let note = format!("{} planted, {} found", plan.planted.len(), score.found.len());
    page.heading("ATTACKS", &note);
    page.line(&[(DIM, &format!("    {:<31}{:<15}{:<14}{:<13}{}", "what", "who", "began", "found after", "by"))]);
    for planted in &plan.planted {
        let found = score.found.iter().find(|found| found.id == planted.id);
        let (mark, style) = if found.is_some() { ("✓", GREEN) } else { ("✗", RED) };
        let who = planted.entities.first().map_or("", |entity| entity.value.as_str());
        let row = format!(" {:<31}{:<15}{:<14}", cut(planted.name, 30), cut(who, 14), when(planted.start_us));
        let after = found.map_or("missed".to_owned(), |found| seconds(found.seconds));
        let by = found.map_or("", |found| found.detector.as_str());
        page.line(&[
            (style, &format!("  {mark}")),
            (PLAIN, &row),
            (style, &format!("{after:<13}")),
            (DIM, &cut(by, 23)),
        ]);
    }
}

/// One line for each attack that something harmless could be taken for.
fn look_alikes(page: &mut Page, plan: &Plan, score: &Score) {
    let note = format!("{} beside them, harmless: {} stayed quiet", plan.look_alikes.len(), score.quiet.len());
    page.heading("LOOK-ALIKES", &note);
    for planted in &plan.planted {
        let mut pieces = vec![(DIM, format!("    {:<31}", cut(planted.name, 30)))];
        for look_alike in plan.look_alikes.iter().filter(|it| it.resembles == planted.id) {
            let wrong = score.alerted.iter().find(|alerted| alerted.id == look_alike.id);
            match wrong.and_then(|alerted| alerted.alerts.first()) {
                None => pieces.push((GREEN, "✓ ".to_owned())),
                Some(_) => pieces.push((RED, "✗ ".to_owned())),
            }
            let said = match wrong.and_then(|alerted| alerted.alerts.first()) {
                Some(other) => format!(" ({})", other.detector),
                None => String::new(),
            };
            pieces.push((PLAIN, format!("{}{said}  ", look_alike.name)));
        }
        page.wrapped(&pieces, 35);
    }
}

/// Alerts that belong to no story: few are listed, the rest is counted.
fn unexpected(page: &mut Page, others: &[Other]) {
    const LISTED: usize = 5;
    if others.is_empty() {
        return;
    }
    page.heading("OTHER ALERTS", &format!("{} that belong to nothing planted", others.len()));
    for other in others.iter().take(LISTED) {
        let row =
            format!(" {:<24}{:<52}{}", cut(&other.detector, 23), cut(&other.entity.value, 51), cut(&other.opened, 19));
        page.line(&[(YELLOW, "  ?"), (PLAIN, &row)]);
    }
    if others.len() > LISTED {
        page.line(&[(DIM, &format!("    and {} more", others.len() - LISTED))]);
    }
}

fn figures(page: &mut Page, run: &Run<'_>) {
    let span = run.seconds.max(1e-9);
    let speed = format!(
        "{} events/s, {:.1} MB/s: {} in {:.1} s, {}",
        thousands((run.events as f64 / span) as u64),
        run.bytes as f64 / 1e6 / span,
        counted(run.events + run.rejects, "record"),
        run.seconds,
        counted(run.rejects, "reject"),
    );
    page.text.push('\n');
    page.line(&[(BOLD, "SPEED     "), (PLAIN, &speed)]);
    let classes: Vec<String> = run.redactions.iter().map(|(class, n)| format!("{class} {}", thousands(*n))).collect();
    let classes = if classes.is_empty() { vec!["nothing".to_owned()] } else { classes };
    for (i, line) in wrapped(&classes, WIDTH - 10).iter().enumerate() {
        page.line(&[(BOLD, if i == 0 { "REDACTED  " } else { "          " }), (PLAIN, line)]);
    }
    let nothing = || "none: this run kept nothing".to_owned();
    let lake = run.lake.map_or_else(nothing, |tables| format!("{} (Delta Lake tables)", tables.folder));
    page.line(&[(BOLD, "LAKE      "), (PLAIN, &lake)]);
}

/// Three commands, with the names and ids of this run.
fn try_next(page: &mut Page, plan: &Plan, score: &Score, run: &Run<'_>) {
    page.heading("TRY NEXT", "");
    let Some(tables) = run.lake else {
        for arguments in ["demo --data-dir ./demo-lake", "detectors list", "demo --seed 2"] {
            page.line(&[(PLAIN, "  "), (PLAIN, run.program), (PLAIN, " "), (PLAIN, arguments)]);
        }
        return;
    };
    for (why, sql) in queries(plan, score) {
        page.line(&[(DIM, "  # "), (DIM, &why)]);
        page.line(&[(PLAIN, "  "), (PLAIN, tables.query), (PLAIN, " \\")]);
        for (i, part) in sql.iter().enumerate() {
            let (open, close) = (if i == 0 { "    \"" } else { "     " }, if i + 1 == sql.len() { "\"" } else { "" });
            page.line(&[(PLAIN, open), (PLAIN, part), (PLAIN, close)]);
        }
    }
}

/// What to ask and the SQL for it, in lines.
fn queries(plan: &Plan, score: &Score) -> Vec<(String, Vec<String>)> {
    let mut queries = Vec::new();
    if let Some(attacker) = attacker(plan, "endpoint-sweep") {
        let sql = vec![
            "SELECT date_trunc('minute', time) AS minute, count(DISTINCT endpoint) AS endpoints,".to_owned(),
            "count(*) AS requests FROM events".to_owned(),
            format!("WHERE client_ip = '{attacker}' GROUP BY 1 ORDER BY 1"),
        ];
        queries.push((format!("how {attacker} walked the API, minute by minute"), sql));
    }
    if let Some(Found { alert, detector, .. }) = score.found.last() {
        let sql = vec![
            "SELECT state, opened, updated, observed, expected, score, events FROM alerts".to_owned(),
            format!("WHERE id = '{alert}' ORDER BY revision"),
        ];
        queries.push((format!("the alert of {detector}, telling by telling"), sql));
    }
    if let Some(name) = attacker(plan, "bulk-export") {
        let sql = vec![
            "SELECT date_trunc('hour', time) AS hour, count(*) AS calls, sum(response_bytes) AS bytes".to_owned(),
            format!("FROM events WHERE principal = '{name}' GROUP BY 1 ORDER BY 1"),
        ];
        queries.push((format!("the hours of {name}: one of them is not like the others"), sql));
    }
    queries
}

fn attacker<'a>(plan: &'a Plan, id: &str) -> Option<&'a str> {
    let planted: &Planted = plan.attack(id)?;
    Some(planted.entities.first()?.value.as_str())
}

/// `Mon 21:05:12`.
fn when(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map_or_else(String::new, |time| time.format("%a %H:%M:%S").to_string())
}

fn seconds(seconds: f64) -> String {
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.1} min", seconds / 60.0) }
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(n), if n == 1 { "" } else { "s" })
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// The parts joined by a dot, broken into lines of at most `width`.
fn wrapped(parts: &[String], width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in parts {
        let last = lines.last_mut().expect("there is a first line");
        if !last.is_empty() && last.chars().count() + 3 + part.chars().count() > width {
            lines.push(part.clone());
        } else {
            let joint = if last.is_empty() { "" } else { " · " };
            write!(last, "{joint}{part}").expect("a String takes any text");
        }
    }
    lines
}
