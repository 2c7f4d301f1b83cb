//! The score: a run's alerts held against the plan of its traffic.
//!
//! Promises: every episode is counted in exactly one place: it found an attack, accompanied one, was a mistake about a
//! look-alike, was right about one, or was unexpected. Times are event times.
//! Never: guesses. An alert belongs to a story when detector, entity and time fit.

use std::collections::{HashMap, HashSet};

use chrono::DateTime;
use schemas::Alert;
use schemas::alert::Entity;

use super::plan::{LookAlike, Plan, Planted, same_entity};

/// A window-based detector may date an episode by its window, which can begin this long before the attack.
const LEAD_US: i64 = 5 * 60 * 1_000_000;
/// And it may decide when the window after the last event closes.
const GRACE_US: i64 = 10 * 60 * 1_000_000;

/// An attack that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub id: &'static str,
    /// The detector that spoke first, and its alert.
    pub detector: String,
    pub alert: String,
    /// All episodes that belong to the attack, in the order they opened.
    pub alerts: Vec<String>,
    /// From the first event of the attack to the alert.
    pub seconds: f64,
}

/// A look-alike that was left in peace.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    pub id: &'static str,
    /// Alerts of detectors that were right to speak.
    pub tolerated: Vec<Other>,
}

/// A look-alike that was taken for an attack.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerted {
    pub id: &'static str,
    pub alerts: Vec<Other>,
}

/// An alert that found nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Other {
    pub alert: String,
    pub detector: String,
    pub entity: Entity,
    pub opened: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    pub found: Vec<Found>,
    pub missed: Vec<&'static str>,
    pub quiet: Vec<Quiet>,
    pub alerted: Vec<Alerted>,
    pub unexpected: Vec<Other>,
}

impl Score {
    /// Every attack found, no look-alike alerted, and no alert about anything else.
    pub fn perfect(&self) -> bool {
        self.missed.is_empty() && self.alerted.is_empty() && self.unexpected.is_empty()
    }
}

/// An episode: its first telling, with the time it opened.
struct Episode<'a> {
    alert: &'a Alert,
    opened_us: i64,
    /// What it was told to be a part of.
    lead: Option<&'a str>,
}

/// Scores the tellings of a run's alerts, in the order they were told.
pub fn score(plan: &Plan, alerts: &[Alert]) -> Score {
    let episodes = episodes(alerts);
    let mut taken = HashSet::new();
    let mut score = Score::default();
    for planted in &plan.planted {
        match found(planted, &episodes, &mut taken) {
            Some(found) => score.found.push(found),
            None => score.missed.push(planted.id),
        }
    }
    for look_alike in &plan.look_alikes {
        judge(look_alike, &episodes, &mut taken, &mut score);
    }
    let unexpected = episodes.iter().filter(|episode| !taken.contains(episode.alert.id.as_str()));
    score.unexpected = unexpected.map(|episode| other(episode.alert)).collect();
    score
}

fn episodes(alerts: &[Alert]) -> Vec<Episode<'_>> {
    let mut seen = HashSet::new();
    let first_tellings = alerts.iter().filter(|alert| seen.insert(alert.id.as_str()));
    // A time that cannot be read puts the episode before all stories: it becomes unexpected, and is seen.
    let opened_us = |alert: &Alert| DateTime::parse_from_rfc3339(&alert.opened).map_or(0, |t| t.timestamp_micros());
    let leads: HashMap<&str, &str> =
        alerts.iter().filter_map(|alert| Some((alert.id.as_str(), alert.part_of.as_deref()?))).collect();
    let lead = |alert: &Alert| leads.get(alert.id.as_str()).copied();
    let mut episodes: Vec<_> =
        first_tellings.map(|alert| Episode { alert, opened_us: opened_us(alert), lead: lead(alert) }).collect();
    episodes.sort_by(|a, b| (a.opened_us, &a.alert.id).cmp(&(b.opened_us, &b.alert.id)));
    episodes
}

fn found<'a>(planted: &Planted, episodes: &[Episode<'a>], taken: &mut HashSet<&'a str>) -> Option<Found> {
    let known = |detector: &str| planted.detectors.contains(&detector) || planted.also.contains(&detector);
    let mine: Vec<&Episode<'a>> = episodes
        .iter()
        .filter(|episode| {
            within(episode.opened_us, planted.start_us, planted.end_us)
                && known(&episode.alert.detector)
                && concerns(&episode.alert.entity, &planted.entities)
        })
        .collect();
    let ids: HashSet<&str> = mine.iter().map(|episode| episode.alert.id.as_str()).collect();
    let is_part = |episode: &&Episode<'a>| episode.lead.is_some_and(|lead| ids.contains(lead));
    taken.extend(episodes.iter().filter(is_part).map(|episode| episode.alert.id.as_str()));
    taken.extend(mine.iter().map(|episode| episode.alert.id.as_str()));
    let first = mine.iter().find(|episode| planted.detectors.contains(&episode.alert.detector.as_str()))?;
    Some(Found {
        id: planted.id,
        detector: first.alert.detector.clone(),
        alert: first.alert.id.clone(),
        alerts: mine.iter().map(|episode| episode.alert.id.clone()).collect(),
        seconds: (first.opened_us - planted.start_us).max(0) as f64 / 1e6,
    })
}

fn judge<'a>(look_alike: &LookAlike, episodes: &[Episode<'a>], taken: &mut HashSet<&'a str>, score: &mut Score) {
    let mine: Vec<&'a Alert> = episodes
        .iter()
        .filter(|episode| {
            !taken.contains(episode.alert.id.as_str())
                && within(episode.opened_us, look_alike.start_us, look_alike.end_us)
                && concerns(&episode.alert.entity, &look_alike.entities)
        })
        .map(|episode| episode.alert)
        .collect();
    taken.extend(mine.iter().map(|alert| alert.id.as_str()));
    let tolerated = |alert: &Alert| look_alike.tolerated.contains(&alert.detector.as_str());
    let (right, wrong): (Vec<&Alert>, Vec<&Alert>) = mine.into_iter().partition(|alert| tolerated(alert));
    if wrong.is_empty() {
        score.quiet.push(Quiet { id: look_alike.id, tolerated: right.into_iter().map(other).collect() });
    } else {
        score.alerted.push(Alerted { id: look_alike.id, alerts: wrong.into_iter().map(other).collect() });
    }
}

fn within(opened_us: i64, start_us: i64, end_us: i64) -> bool {
    (start_us - LEAD_US..=end_us + GRACE_US).contains(&opened_us)
}

fn concerns(entity: &Entity, planned: &[Entity]) -> bool {
    planned.iter().any(|planned| same_entity(entity, planned))
}

fn other(alert: &Alert) -> Other {
    Other {
        alert: alert.id.clone(),
        detector: alert.detector.clone(),
        entity: alert.entity.clone(),
        opened: alert.opened.clone(),
    }
}
