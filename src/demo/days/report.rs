//! The report of a long demo: a table of the kinds with what was told of each and how soon, the twins, the false alerts,
//! and the figures, as text and as one JSON document.
//!
//! Promises: at most 120 columns; nothing is left out: what was missed stands there by name.
//! Never: prints; it returns text.

use std::fmt::Write;

use serde_json::{Value, json};

use super::score::{DaysScore, Told, Wrong};
use super::story::Act;

/// What was run.
pub struct Ran<'a> {
    pub seed: u64,
    pub format: &'a str,
    pub events: u64,
    pub rejects: u64,
    pub seconds: f64,
}

pub fn page(score: &DaysScore, ran: &Ran<'_>) -> String {
    let mut text = String::new();
    // A String takes any text, so the results of `writeln` say nothing.
    let _ = writeln!(
        text,
        "Gatewatch demo, seed {}, {}: {} days, {} requests, {} rejects, {:.0} s",
        ran.seed, ran.format, score.days, ran.events, ran.rejects, ran.seconds
    );
    let _ = writeln!(text, "\n{:<6}{:<28}{:<19}{:<19}{:<19}twin", "", "kind", "weak", "medium", "strong");
    for kind in &score.kinds {
        let cell = |act: Act| match kind.told.get(act.name()) {
            Some(Some(told)) => after(told),
            _ => "MISSED".to_owned(),
        };
        let twin = kind.twin.first().map_or("quiet".to_owned(), |wrong| format!("ALERTED {}", wrong.detector));
        let (weak, medium, strong) = (cell(Act::Weak), cell(Act::Medium), cell(Act::Strong));
        let _ = writeln!(text, "{:<6}{:<28}{weak:<19}{medium:<19}{strong:<19}{twin}", kind.owasp, kind.kind);
    }
    let _ = writeln!(text, "\nFigures");
    for (name, value) in figures(score) {
        let _ = writeln!(text, "  {name:<46}{value}");
    }
    for (name, kinds) in
        [("not planted, too few days", &score.too_early), ("cannot be seen in this format", &score.blind)]
    {
        if !kinds.is_empty() {
            let _ = writeln!(text, "  {name:<46}{}", kinds.join(", "));
        }
    }
    if !score.false_alerts.is_empty() {
        let _ = writeln!(text, "\nFalse alerts");
        for Wrong { detector, entity, opened } in &score.false_alerts {
            let _ = writeln!(text, "  {detector:<28}{entity:<60.58}{opened:.19}");
        }
    }
    text
}

/// How soon after there was enough.
fn after(told: &Told) -> String {
    match told.seconds {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3_600.0),
    }
}

fn figures(score: &DaysScore) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for act in [Act::Weak, Act::Medium, Act::Strong] {
        let (told, planted) = score.recall(act);
        let share = told as f64 / planted.max(1) as f64;
        rows.push((format!("recall, {}", act.name()), format!("{share:.3} ({told} of {planted})")));
    }
    rows.push(("twins alerted".into(), format!("{} of {}", score.twins_alerted(), score.kinds.len())));
    rows.push(("false alerts per day".into(), format!("{:.2}", score.false_per_day())));
    rows.push(("alerts per attack".into(), format!("{:.2}", score.alerts_per_incident())));
    for (name, compared) in [("counting", false), ("comparing", true)] {
        let median = score.median_seconds(compared).map_or("none".into(), |seconds| format!("{seconds:.0} s"));
        rows.push((format!("median from enough to alert, {name}"), median));
    }
    rows
}

/// The same for programs.
pub fn document(score: &DaysScore, ran: &Ran<'_>) -> Value {
    let recall = |act: Act| {
        let (told, planted) = score.recall(act);
        json!({ "told": told, "planted": planted, "share": told as f64 / planted.max(1) as f64 })
    };
    json!({
        "seed": ran.seed,
        "format": ran.format,
        "events": ran.events,
        "rejects": ran.rejects,
        "recall": { "weak": recall(Act::Weak), "medium": recall(Act::Medium), "strong": recall(Act::Strong) },
        "twins_alerted": score.twins_alerted(),
        "false_alerts_per_day": score.false_per_day(),
        "alerts_per_attack": score.alerts_per_incident(),
        "median_seconds": { "counting": score.median_seconds(false), "comparing": score.median_seconds(true) },
        "score": score,
    })
}
