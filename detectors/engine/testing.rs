//! What tests of single parts of the engine need of the others.

use std::sync::Arc;

use super::columns::EntityKey;
use super::episode::{Episodes, Finding, Moment, Suspect, Telling};
use crate::rule::Rule;

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
