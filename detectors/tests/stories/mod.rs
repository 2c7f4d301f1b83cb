//! Stories: what happens, and what a person would want to be told of it. Each is told to the whole catalogue, on several seeds.
//!
//! Promises: nothing is asserted of a story that could not fail: what is found must be found on every seed, in time, in so few alerts;
//! what is quiet must be silent; and what is missed today is missed, so that whoever mends it finds it here.

pub mod calendar;
pub mod first_hour;
pub mod outages;
pub mod slow;
pub mod spreads;
pub mod town;

use std::collections::BTreeMap;

use detectors::engine::parse_rfc3339;
use detectors::testkit::batch_of;
use detectors::{Engine, EngineLimits};
use schemas::{Alert, Lane};

use self::town::{MONDAY, SECOND, Town};

pub struct Story {
    pub name: &'static str,
    pub want: Want,
    pub tell: fn(u64) -> Town,
}

pub enum Want {
    /// No alert at all.
    Quiet,
    /// One of these detectors tells of this entity, each time that something begins, within so many seconds; with whatever else is
    /// told in at most so many alerts that stand for themselves.
    Found { by: &'static [(&'static str, &'static str)], within_s: i64, alerts: usize },
    /// Nothing is told of it today, although it should be.
    Missed,
}

/// What became of a story on one seed.
struct Outcome {
    /// From each beginning to the first alert that is wanted.
    seconds: Vec<Option<f64>>,
    /// What stands for itself: (seconds after Monday, detector, entity).
    leads: Vec<(f64, String, String)>,
    parts: usize,
}

/// Every telling.
fn told(town: &mut Town) -> Vec<Alert> {
    let mut engine = Engine::new(detectors::catalogue(), EngineLimits::default()).expect("an engine");
    let lane = Lane::new("made-up", 0);
    engine.open(&lane, 0);
    town.rows.sort_by_key(|row| row["time"].as_i64());
    let mut alerts = Vec::new();
    for rows in town.rows.chunks(8192) {
        engine.push(&lane, batch_of(rows).expect("rows")).expect("pushed");
        alerts.extend(engine.advance().expect("advanced"));
    }
    alerts.extend(engine.finish().expect("finished"));
    alerts
}

fn since_monday(text: &str) -> i64 {
    parse_rfc3339(text).expect("a time") - MONDAY
}

impl Story {
    /// What stands for itself.
    pub fn leads(&self, seed: u64) -> Vec<(f64, String, String)> {
        self.outcome(seed).leads
    }

    fn outcome(&self, seed: u64) -> Outcome {
        let mut town = (self.tell)(seed);
        let alerts = told(&mut town);
        let wanted: &[(&str, &str)] = match self.want {
            Want::Found { by, .. } => by,
            Want::Quiet | Want::Missed => &[],
        };
        let mut first: BTreeMap<&str, i64> = BTreeMap::new();
        for alert in &alerts {
            first.entry(&alert.id).or_insert(since_monday(&alert.updated));
        }
        let is_wanted = |alert: &&Alert| wanted.contains(&(alert.detector.as_str(), alert.entity.value.as_str()));
        let times: Vec<i64> = alerts.iter().filter(is_wanted).map(|alert| first[alert.id.as_str()]).collect();
        let ends = town.begins.iter().skip(1).copied().chain([i64::MAX]);
        let found = |(begin, end): (&i64, i64)| {
            let at = times.iter().filter(|at| (*begin..end).contains(at)).min()?;
            Some((at - begin) as f64 / SECOND as f64)
        };
        let seconds = town.begins.iter().zip(ends).map(found).collect();
        let last: BTreeMap<&str, &Alert> = alerts.iter().map(|alert| (alert.id.as_str(), alert)).collect();
        let (leads, parts): (Vec<&Alert>, Vec<&Alert>) = last.values().partition(|alert| alert.part_of.is_none());
        let lead = |alert: &Alert| {
            (first[alert.id.as_str()] as f64 / SECOND as f64, alert.detector.clone(), alert.entity.value.clone())
        };
        Outcome { seconds, leads: leads.into_iter().map(lead).collect(), parts: parts.len() }
    }

    /// What is not as it should be.
    fn wrong(&self, outcome: &Outcome) -> Option<String> {
        let leads = &outcome.leads;
        match self.want {
            Want::Quiet | Want::Missed if leads.is_empty() => None,
            Want::Quiet | Want::Missed => Some(format!("told: {leads:?}")),
            Want::Found { within_s, alerts, .. } => {
                let in_time = |seconds: &Option<f64>| seconds.is_some_and(|seconds| seconds <= within_s as f64);
                if outcome.seconds.is_empty() || !outcome.seconds.iter().all(in_time) {
                    return Some(format!(
                        "found after {:?} s, not within {within_s}; told: {leads:?}",
                        outcome.seconds
                    ));
                }
                (leads.len() > alerts).then(|| format!("{} alerts, not {alerts}: {leads:?}", leads.len()))
            }
        }
    }
}

/// One line of the table: name, found, median and worst seconds, alerts that stand for themselves and parts in all, and by whom.
fn line(story: &Story, outcomes: &[Outcome]) -> String {
    let mut seconds: Vec<f64> = outcomes.iter().flat_map(|outcome| &outcome.seconds).filter_map(|s| *s).collect();
    seconds.sort_by(f64::total_cmp);
    let all: usize = outcomes.iter().map(|outcome| outcome.seconds.len()).sum();
    let (median, worst) = (seconds.get(seconds.len() / 2), seconds.last());
    let shown = |seconds: Option<&f64>| seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.0}"));
    let parts: usize = outcomes.iter().map(|outcome| outcome.parts).sum();
    let mut by: BTreeMap<&str, usize> = BTreeMap::new();
    let leads = outcomes.iter().flat_map(|outcome| &outcome.leads);
    leads.for_each(|(_, detector, _)| *by.entry(detector).or_default() += 1);
    let found = match story.want {
        Want::Quiet => "quiet".to_owned(),
        Want::Missed => "missed".to_owned(),
        Want::Found { .. } => format!("{}/{all}", seconds.len()),
    };
    format!("{:<58} {found:>7} {:>6} {:>6}  {by:?}, {parts} parts", story.name, shown(median), shown(worst))
}

/// Tells the stories on so many seeds, prints the table, and says what is wrong.
pub fn check(stories: &[Story], seeds: u64) {
    let (mut table, mut wrong) = (String::new(), Vec::new());
    for story in stories {
        let outcomes: Vec<Outcome> = (1..=seeds).map(|seed| story.outcome(seed)).collect();
        for (seed, outcome) in (1..).zip(&outcomes) {
            wrong.extend(story.wrong(outcome).map(|why| format!("{} on seed {seed}: {why}", story.name)));
        }
        table += &line(story, &outcomes);
        table.push('\n');
    }
    print!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
