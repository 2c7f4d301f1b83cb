//! `new_value`: what is told once, what is learned, what is forgotten, and of whom nothing is news.

use std::sync::Arc;

use detectors::testkit::batch_of;
use detectors::{Engine, EngineLimits, parse_rule};
use schemas::Lane;
use serde_json::{Value, json};

const H: i64 = 3_600_000_000;
const START: i64 = 1_772_366_400_000_000;

fn engine(method: &str) -> Engine {
    let yaml = format!(
        "id: news\ntitle: News\nseverity: low\nnotes: For a test.\nentity: principal\nquiet: 10m\nmethod: {{ new_value: {method} }}\n"
    );
    Engine::new(vec![Arc::new(parse_rule(&yaml, "news").expect("a rule"))], EngineLimits::default()).expect("an engine")
}

/// Rows of one principal: hours after the start, and where from. What is told, as (hour, state, observed).
fn told(engine: &mut Engine, rows: &[(f64, &str)]) -> Vec<(f64, String, f64)> {
    let lane = Lane::new("s", 0);
    engine.open(&lane, 0);
    let row = |(number, (hours, country)): (usize, &(f64, &str))| -> Value {
        let time = START + (hours * H as f64) as i64;
        json!({ "time": time, "offset": number, "principal": "anna", "country": country })
    };
    let rows: Vec<Value> = rows.iter().enumerate().map(row).collect();
    engine.push(&lane, batch_of(&rows).expect("rows")).expect("pushed");
    let alerts = engine.finish().expect("finished");
    let hour = |text: &str| (detectors::engine::parse_rfc3339(text).expect("a time") - START) as f64 / H as f64;
    let state = |alert: &schemas::Alert| {
        serde_json::to_value(alert.state).expect("a state").as_str().expect("a name").to_owned()
    };
    alerts.iter().map(|alert| (hour(&alert.updated), state(alert), alert.observed)).collect()
}

#[test]
fn a_value_is_told_once_and_not_while_it_is_learned() {
    let rows =
        [(0.0, "DE"), (5.0, "FR"), (30.0, "DE"), (40.0, "BR"), (41.0, "BR"), (60.0, "BR"), (61.0, "FR"), (62.0, "DE")];
    let told = told(&mut engine("{ of: country, learn: 1d, forget: 30d }"), &rows);
    assert_eq!(told, [(40.0, "open".into(), 1.0), (40.0 + 1.0 / 6.0, "closed".into(), 1.0)]);
}

#[test]
fn further_news_belong_to_the_alert_that_is_open() {
    let rows = [(0.0, "DE"), (30.0, "BR"), (30.1, "CN"), (30.2, "BR"), (60.0, "DE")];
    let told = told(&mut engine("{ of: country, learn: 1d, forget: 30d }"), &rows);
    let states: Vec<(&str, f64)> = told.iter().map(|(_, state, observed)| (state.as_str(), *observed)).collect();
    assert_eq!(states, [("open", 1.0), ("updated", 2.0), ("closed", 2.0)]);
}

#[test]
fn what_did_not_come_for_long_is_news_again_and_an_entity_that_was_away_learns_again() {
    let rows = [(0.0, "DE"), (1.0, "FR"), (40.0, "DE"), (80.0, "DE"), (120.0, "FR"), (400.0, "BR"), (401.0, "DE")];
    let told = told(&mut engine("{ of: country, learn: 1d, forget: 3d }"), &rows);
    let opened: Vec<f64> = told.iter().filter(|(_, state, _)| state == "open").map(|(hour, ..)| *hour).collect();
    assert_eq!(opened, [120.0], "FR is forgotten after three days; after ten days away nothing is known");
}

#[test]
fn of_whom_everything_varies_nothing_is_news() {
    let names: Vec<String> = (0..70).map(|number| format!("C{number}")).collect();
    let mut rows: Vec<(f64, &str)> =
        names.iter().enumerate().map(|(at, name)| (at as f64 / 10.0, name.as_str())).collect();
    rows.push((30.0, "DE"));
    assert_eq!(told(&mut engine("{ of: country, learn: 1d, forget: 30d }"), &rows), []);
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let yaml = |method: &str| {
        format!("id: a\ntitle: A\nseverity: low\nnotes: N.\nentity: principal\nmethod: {{ new_value: {method} }}\n")
    };
    let error = |method: &str| parse_rule(&yaml(method), "a.yaml").unwrap_err().to_string();
    assert!(
        error("{ of: country, learn: 7d, forget: 1d }")
            .contains("method.new_value.forget: expected longer than `learn`")
    );
    assert!(error("{ learn: 7d }").contains("method.new_value.of: missing"));
    assert!(error("{ of: latency }").contains("unknown column"));
    assert!(error("{ of: country, within: 1h }").contains("unknown key"));
}
