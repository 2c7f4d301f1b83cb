//! What tests of single parts of the engine need of the others.

use std::sync::Arc;

use schemas::{Alert, Lane};
use serde_json::Value;

use super::columns::EntityKey;
use super::episode::{Episodes, Finding, Moment, Suspect, Telling};
use super::{Engine, EngineLimits};
use crate::rule::Rule;
use crate::testkit::batch_of;

pub fn rule() -> Arc<Rule> {
    let yaml = "id: test\ntitle: A test\nseverity: low\nentity: client_ip\nnotes: none\n\
        method: { threshold: { at_least: 2, within: 1m } }\n";
    Arc::new(crate::parse_rule(yaml, "test").unwrap())
}

/// Opens an episode at `place`.
pub fn breach(episodes: &mut Episodes, key: EntityKey, suspect: &mut Suspect, place: i64, out: &mut Vec<Telling>) {
    let finding = Finding {
        observed: 2.0,
        expected: None,
        threshold: 2.0,
        score: 1.0,
        start: place,
        end: place,
        error: None,
        baseline: None,
    };
    episodes.breach(key, suspect, (Moment::Row(place), finding, 2), None, out);
}

/// What rules tell of rows of one lane, in the order of their times, so many at once; between them the engine is made anew of its
/// snapshot, unless all come at once.
pub fn alerts_of(rules: &[Arc<Rule>], mut rows: Vec<Value>, cut: usize) -> Vec<Alert> {
    rows.sort_by_key(|row| row["time"].as_i64());
    rows.iter_mut().zip(0..).for_each(|(row, offset)| row["offset"] = Value::from(offset));
    let mut engine = Engine::new(rules.to_vec(), EngineLimits::default()).unwrap();
    let lane = Lane::new("s", 0);
    engine.open(&lane, 0);
    let mut alerts = Vec::new();
    for rows in rows.chunks(cut) {
        engine.push(&lane, batch_of(rows).unwrap()).unwrap();
        alerts.extend(engine.advance().unwrap());
        if cut < usize::MAX {
            let bytes = engine.snapshot();
            engine = Engine::restore(rules.to_vec(), EngineLimits::default(), &bytes).unwrap();
            assert!(engine.snapshot() == bytes, "a snapshot restores to itself");
        }
    }
    alerts.extend(engine.finish().unwrap());
    alerts
}
