//! The score of a long demo: its alerts held against its plan.
//!
//! Promises: an alert belongs to an attack when it was told within the attack's time and is about one of those who act in
//! it, or most of its evidence is theirs, or, about the whole or an endpoint, by a detector that says what the attack is.
//! An attack is told when one of the detectors that say what it is told it. What is a part of another alert is not counted
//! beside it. Every other alert is a twin's or false.
//! Never: forgives: twins and ordinary traffic have no detectors that may speak of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::DateTime;
use schemas::Alert;
use schemas::alert::{Entity, State};
use serde::Serialize;

use super::story::{Act, Incident};
use super::{DaysPlan, kinds::KINDS};
use crate::demo::plan::same_entity;

/// An alert may come so long after the last line: when the window closes.
const GRACE_US: i64 = 20 * 60 * 1_000_000;
/// And so long where it is about one who acted: windows of a day count what was done in it.
const GRACE_OF_ACTORS_US: i64 = 24 * 60 * 60 * 1_000_000;

/// An attack that was told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    pub detector: String,
    /// From the moment at which there was enough, 0 when it was told before.
    pub seconds: f64,
    /// It was compared with a past, not counted.
    pub compared: bool,
    /// Alerts of their own about it.
    pub alerts: usize,
}

/// An alert about nothing that was planted as an attack.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Wrong {
    pub detector: String,
    pub entity: String,
    pub opened: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct KindScore {
    pub kind: &'static str,
    pub owasp: &'static str,
    /// By strength; `None` where it was missed.
    pub told: BTreeMap<&'static str, Option<Told>>,
    /// Alerts about the twin.
    pub twin: Vec<Wrong>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DaysScore {
    pub days: u32,
    pub kinds: Vec<KindScore>,
    pub too_early: Vec<&'static str>,
    pub blind: Vec<&'static str>,
    pub false_alerts: Vec<Wrong>,
}

/// One telling of an alert.
struct Telling<'a> {
    alert: &'a Alert,
    opened_us: i64,
    updated_us: i64,
    /// Everybody its evidence names.
    named: Vec<Entity>,
    /// How many events of each.
    counts: Vec<f64>,
}

/// Scores the tellings of a run's alerts.
pub fn judge(plan: &DaysPlan, alerts: &[Alert]) -> DaysScore {
    let tellings: Vec<Telling<'_>> = alerts.iter().map(telling).collect();
    // The last word on what an alert is a part of.
    let leads: HashMap<&str, Option<&str>> = alerts.iter().map(|a| (a.id.as_str(), a.part_of.as_deref())).collect();
    let mut taken: HashSet<&str> = HashSet::new();
    let mut kinds: Vec<KindScore> = Vec::new();
    for kind in KINDS.iter().filter(|kind| plan.incidents.iter().any(|incident| incident.kind == kind.id)) {
        kinds.push(KindScore { kind: kind.id, owasp: kind.owasp, ..KindScore::default() });
    }
    // Attacks first: what belongs to one is no twin's.
    for incident in plan.incidents.iter().filter(|incident| incident.act != Act::Twin) {
        let told = tell(incident, &tellings, &leads, &mut taken);
        if let Some(kind) = kinds.iter_mut().find(|kind| kind.kind == incident.kind) {
            kind.told.insert(incident.act.name(), told);
        }
    }
    // A part of something that was rightly told is told there.
    let parts = leads.iter().filter(|(_, lead)| lead.is_some_and(|lead| taken.contains(lead)));
    let parts: Vec<&str> = parts.map(|(id, _)| *id).collect();
    taken.extend(parts);
    for incident in plan.incidents.iter().filter(|incident| incident.act == Act::Twin) {
        let mine = tellings.iter().filter(|t| opened_within(t, incident) && concerns(t, incident));
        let mine: Vec<&Telling<'_>> = mine.filter(|t| taken.insert(t.alert.id.as_str())).collect();
        if let Some(kind) = kinds.iter_mut().find(|kind| kind.kind == incident.kind) {
            kind.twin.extend(mine.iter().filter(|t| is_own(t, &leads)).map(|t| wrong(t.alert)));
        }
    }
    let mixed = tellings.iter().filter(|t| is_of_several(t, plan)).map(|t| t.alert.id.as_str());
    taken.extend(mixed);
    let rest = tellings.iter().filter(|t| is_own(t, &leads) && taken.insert(t.alert.id.as_str()));
    let false_alerts = rest.map(|t| wrong(t.alert)).collect();
    let (too_early, blind) = (plan.too_early.clone(), plan.blind.clone());
    DaysScore { days: plan.days, kinds, too_early, blind, false_alerts }
}

fn telling(alert: &Alert) -> Telling<'_> {
    // A time that cannot be read lies before everything, so that the alert becomes a false one and is seen.
    let us = |text: &str| DateTime::parse_from_rfc3339(text).map_or(0, |time| time.timestamp_micros());
    let (mut named, mut counts) = (Vec::new(), Vec::new());
    for (list, kind) in [("client_ips", "client_ip"), ("principals", "principal")] {
        for value in alert.evidence[list].as_array().into_iter().flatten() {
            counts.push(value["count"].as_f64().unwrap_or(0.0));
            let value = value["value"].as_str().unwrap_or_default().to_owned();
            named.push(Entity { kind: kind.into(), value });
        }
    }
    Telling { alert, opened_us: us(&alert.opened), updated_us: us(&alert.updated), named, counts }
}

fn is_own(telling: &Telling<'_>, leads: &HashMap<&str, Option<&str>>) -> bool {
    leads.get(telling.alert.id.as_str()).is_none_or(Option::is_none)
}

fn opened_within(telling: &Telling<'_>, incident: &Incident) -> bool {
    let start = if incident.act == Act::Twin { incident.habit_us } else { incident.start_us };
    let acted = incident.actors.iter().any(|actor| same_entity(&telling.alert.entity, actor));
    let grace = if acted { GRACE_OF_ACTORS_US } else { GRACE_US };
    (start..=incident.end_us + grace).contains(&telling.opened_us)
}

/// Whether most of what the evidence counts, of those it names, is of these actors.
fn is_mostly(telling: &Telling<'_>, actors: &[Entity]) -> bool {
    let share = |kind: &str| {
        let of_kind = || telling.named.iter().zip(&telling.counts).filter(|(named, _)| named.kind == kind);
        let is_actor = |named: &Entity| actors.iter().any(|actor| same_entity(named, actor));
        let mine: f64 = of_kind().filter(|(named, _)| is_actor(named)).map(|(_, count)| count).sum();
        mine > 0.0 && 2.0 * mine >= of_kind().map(|(_, count)| count).sum()
    };
    share("client_ip") || share("principal")
}

/// Whether most of it is of attacks, though of none alone: what is told of the whole counts all that went on at once.
fn is_of_several(telling: &Telling<'_>, plan: &DaysPlan) -> bool {
    let at_once = plan.incidents.iter().filter(|i| i.act != Act::Twin && opened_within(telling, i));
    let actors: Vec<Entity> = at_once.flat_map(|incident| incident.actors.clone()).collect();
    is_mostly(telling, &actors)
}

fn names(telling: &Telling<'_>, incident: &Incident) -> bool {
    telling.named.iter().any(|named| incident.actors.iter().any(|actor| same_entity(named, actor)))
}

/// Whether a telling is about an incident, its time aside.
fn concerns(telling: &Telling<'_>, incident: &Incident) -> bool {
    let entity = &telling.alert.entity;
    if incident.actors.iter().any(|actor| same_entity(entity, actor)) {
        return true;
    }
    // Of a credential the plan does not know the token; the evidence says whose it is.
    if entity.kind == "credential" {
        return names(telling, incident);
    }
    if is_mostly(telling, &incident.actors) {
        return true;
    }
    let says = incident.tells.contains(&telling.alert.detector.as_str());
    let at = |shared: &Entity| {
        shared.kind == "any" || entity.kind == "whole" && shared.kind == "whole" || same_entity(entity, shared)
    };
    let is_at = says && incident.shared.iter().any(at);
    // Whoever acts in a twin is named by what is told about it; a fault has nobody.
    is_at && (incident.act != Act::Twin || incident.actors.is_empty() || names(telling, incident))
}

fn tell<'a>(
    incident: &Incident,
    tellings: &[Telling<'a>],
    leads: &HashMap<&str, Option<&str>>,
    taken: &mut HashSet<&'a str>,
) -> Option<Told> {
    let mine = tellings.iter().filter(|t| opened_within(t, incident) && concerns(t, incident));
    let mine: Vec<&Telling<'a>> = mine.collect();
    let ids: HashSet<&str> = mine.iter().map(|t| t.alert.id.as_str()).collect();
    taken.extend(mine.iter().map(|t| t.alert.id.as_str()));
    let own: HashSet<&str> = mine.iter().filter(|t| is_own(t, leads)).map(|t| t.alert.id.as_str()).collect();
    // An alert that was open before may tell it too: it is told again, then.
    let later = tellings.iter().filter(|t| {
        let in_time = (incident.start_us..=incident.end_us + GRACE_US).contains(&t.updated_us);
        let again = t.opened_us < incident.start_us && t.alert.state == State::Updated;
        in_time && again && (names(t, incident) || concerns(t, incident))
    });
    let said = mine.iter().copied().chain(later).filter(|t| incident.tells.contains(&t.alert.detector.as_str()));
    let first = said.min_by_key(|t| (t.updated_us, &t.alert.id))?;
    Some(Told {
        detector: first.alert.detector.clone(),
        seconds: ((first.updated_us - incident.enough_us).max(0)) as f64 / 1e6,
        compared: !first.alert.evidence["baseline"].is_null(),
        alerts: own.len().max(usize::from(!ids.is_empty())),
    })
}

fn wrong(alert: &Alert) -> Wrong {
    let entity = format!("{} {}", alert.entity.kind, alert.entity.value);
    Wrong { detector: alert.detector.clone(), entity, opened: alert.opened.clone() }
}

impl DaysScore {
    /// Told and planted of one strength.
    pub fn recall(&self, act: Act) -> (usize, usize) {
        let told = self.kinds.iter().filter_map(|kind| kind.told.get(act.name()));
        (told.clone().flatten().count(), told.count())
    }

    pub fn twins_alerted(&self) -> usize {
        self.kinds.iter().filter(|kind| !kind.twin.is_empty()).count()
    }

    pub fn false_per_day(&self) -> f64 {
        self.false_alerts.len() as f64 / f64::from(self.days)
    }

    fn all_told(&self) -> impl Iterator<Item = &Told> {
        self.kinds.iter().flat_map(|kind| kind.told.values()).flatten()
    }

    /// Median seconds from enough to told, of those that compare or those that count.
    pub fn median_seconds(&self, compared: bool) -> Option<f64> {
        let mut seconds: Vec<f64> = self.all_told().filter(|t| t.compared == compared).map(|t| t.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied()
    }

    pub fn alerts_per_incident(&self) -> f64 {
        let (alerts, incidents) = self.all_told().fold((0, 0), |(alerts, n), told| (alerts + told.alerts, n + 1));
        alerts as f64 / f64::from(incidents.max(1))
    }
}
