//! One cause, one alert: when the whole fails, its endpoints are a part of that alert, not fifty alerts; and what several
//! detectors tell of one client at a time is one thing, told once.
//!
//! A detector says of which others its alerts can be a part (`part_of`). An alert is a part of the open one that it is about
//! the same entity as, whose entity made most of its events, or that is about the whole, for an hour after that opened; or a day where
//! it is about the whole and the part is what that does to an endpoint or a client. What opened shortly before the other did, or is left
//! of the one before, becomes its part when that opens.
//! Promises: nothing is left out: a part is told, stored and contained like any alert, with `part_of`, and the other lists it in
//! its evidence. What is graver than the other, asks for more than it, or is real where the other is on trial, is no part; but what asks
//! for a block is one of what is about the whole, which can ask for none. A part that goes on when the other has closed is told as an
//! alert of its own. Depends on what is told alone, in its order, so cuts, restarts and threads change nothing. Bounded: further open
//! alerts than `STANDING_MAX` have no parts and are none.
//! Never: looks at an event; decides what is done about an alert.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use schemas::Alert;
use schemas::alert::{AUTHOR_SHARE, Entity, State, authors};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::binary::{self, BinaryError};
use super::columns::UNPROVEN;
use super::episode::{Moment, Telling};
use super::time::{parse_rfc3339, rfc3339};
use crate::rule::{EntityColumn, Rule};

/// Open alerts that are remembered, some kilobytes each.
const STANDING_MAX: usize = 2_000;
/// Parts that an alert lists; further ones are counted.
const LISTED_MAX: usize = 20;
/// What opened so long before can be a part: the windows of detectors differ by minutes.
const BEFORE_US: i64 = 15 * 60_000_000;
/// What opens so long after can be a part; then it is another cause, and whoever keeps an alert open hides nothing behind it. An
/// outage of the whole, which nobody keeps up unseen, has parts for a day; whom it does not explain is told after the hour.
const AFTER_US: i64 = 3_600_000_000;
const AFTER_OF_WHOLE_US: i64 = 24 * AFTER_US;

/// An open alert that has parts, is one, or may be.
#[derive(Clone, Serialize, Deserialize)]
struct Standing {
    /// As it was told last, as JSON: the same text after a restore.
    told: String,
    detector: String,
    about: About,
    opened: i64,
    /// How long without a breach closes it.
    quiet_us: i64,
    /// Tellings beyond those of its detector.
    extra: u32,
    lead: Option<String>,
    /// When it is told as one of its own, for what it was a part of is over.
    alone_at: Option<i64>,
    parts: u64,
    listed: Vec<Part>,
}

/// Whom an alert is about.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct About {
    kind: String,
    value: String,
    is_unproven: bool,
}

/// A part as it is listed.
#[derive(Clone, Serialize, Deserialize)]
struct Part {
    id: String,
    detector: String,
    kind: String,
    value: String,
    observed: f64,
}

/// Where open alerts are joined.
#[derive(Clone, Default)]
pub(super) struct Causes {
    /// Those that can be a part of others, and those others.
    rules: HashMap<String, Arc<Rule>>,
    open: BTreeMap<String, Standing>,
    /// When a part is told as an alert of its own.
    due: BTreeSet<(i64, String)>,
}

impl Causes {
    pub fn new(rules: &[Arc<Rule>]) -> Causes {
        let leads: BTreeSet<&str> = rules.iter().flat_map(|rule| &rule.part_of).map(String::as_str).collect();
        let concerned = rules.iter().filter(|rule| !rule.part_of.is_empty() || leads.contains(rule.id.as_str()));
        Causes { rules: concerned.map(|rule| (rule.id.clone(), rule.clone())).collect(), ..Causes::default() }
    }

    /// Tells what detectors tell, in order, and what is due up to `until`.
    pub fn join(&mut self, tellings: Vec<Telling>, until: i64) -> Vec<Alert> {
        let mut out = Vec::with_capacity(tellings.len());
        for telling in tellings {
            self.tell_alone(telling.moment().time(), &mut out);
            self.take(telling.moment(), telling.alert, &mut out);
        }
        self.tell_alone(until, &mut out);
        out
    }

    fn take(&mut self, moment: Moment, mut alert: Alert, out: &mut Vec<Alert>) {
        // A known one is not forgotten while it is open, or its revisions would begin anew.
        let Some(standing) = self.open.get_mut(&alert.id) else {
            let has_room = alert.state == State::Open && self.open.len() < STANDING_MAX;
            return match self.rules.get(&alert.detector).filter(|_| has_room).cloned() {
                Some(rule) => self.open(moment, alert, &rule, out),
                None => out.push(alert),
            };
        };
        alert.revision += standing.extra;
        alert.part_of.clone_from(&standing.lead);
        standing.list_in(&mut alert);
        if alert.state == State::Closed {
            self.close(moment, &alert.id);
        } else {
            standing.told = text(&alert);
        }
        out.push(alert);
    }

    fn open(&mut self, moment: Moment, mut alert: Alert, rule: &Rule, out: &mut Vec<Alert>) {
        let id = alert.id.clone();
        alert.part_of = self.lead_of(&alert, rule);
        let standing = Standing {
            told: String::new(),
            detector: alert.detector.clone(),
            about: About::of(&alert),
            opened: parse_rfc3339(&alert.opened).unwrap_or(moment.time()),
            quiet_us: rule.quiet_us,
            extra: 0,
            lead: alert.part_of.clone(),
            alone_at: None,
            parts: 0,
            listed: Vec::new(),
        };
        let taken = self.parts_of(&standing, rule, alert.part_of.as_deref());
        let lead = alert.part_of.clone().unwrap_or_else(|| id.clone());
        self.open.insert(id.clone(), standing);
        let before = self.open.get(&lead).map_or(0, |lead| lead.parts);
        if alert.part_of.is_some() {
            self.list(&lead, Part::of(&alert));
        }
        for part in &taken {
            self.become_part(part, &lead);
        }
        if let Some(standing) = self.open.get_mut(&id) {
            standing.list_in(&mut alert);
            standing.told = text(&alert);
        }
        out.push(alert);
        taken.iter().for_each(|part| self.tell(part, moment, out));
        // Told again when there are twice as many.
        let after = self.open.get(&lead).map_or(0, |lead| lead.parts);
        if lead != id && before.checked_ilog2() != after.checked_ilog2() {
            self.tell(&lead, moment, out);
        }
    }

    /// What an alert that opens is a part of: the first of those that are open.
    fn lead_of(&self, alert: &Alert, rule: &Rule) -> Option<String> {
        let about = About::of(alert);
        let opened = parse_rfc3339(&alert.opened).unwrap_or(i64::MAX);
        let candidates = self.open.iter().filter(|(_, standing)| rule.part_of.contains(&standing.detector));
        let holding = candidates.filter(|(_, standing)| standing.about.holds(&about, &alert.evidence));
        let roots = holding.map(|(id, standing)| standing.lead.as_ref().unwrap_or(id));
        let fitting = roots.filter_map(|id| Some((self.open.get(id)?, id)));
        // Of a part of a part, too: what one client did to the whole is not what others do meanwhile.
        let fitting = fitting.filter(|(lead, _)| {
            let is_outage = lead.about.kind == "whole" && suffers(rule);
            let after_us = if is_outage { AFTER_OF_WHOLE_US } else { AFTER_US };
            opened <= lead.opened.saturating_add(after_us) && lead.about.holds(&about, &alert.evidence)
        });
        let fitting = fitting.filter(|(lead, _)| self.rules.get(&lead.detector).is_some_and(|of| speaks_for(of, rule)));
        fitting.min_by_key(|(lead, id)| (lead.opened, *id)).map(|(_, id)| id.clone())
    }

    /// What is open and becomes a part of one that opens, or of what that is a part of.
    fn parts_of(&self, opening: &Standing, rule: &Rule, lead: Option<&str>) -> Vec<String> {
        let root = lead.and_then(|id| self.open.get(id));
        let lead_rule = root.and_then(|root| self.rules.get(&root.detector)).map_or(rule, |rule| rule);
        let is_part = |(id, standing): (&String, &Standing)| {
            let of = self.rules.get(&standing.detector)?;
            let is_free = standing.lead.is_none() || standing.alone_at.is_some();
            let is_alone = is_free && standing.parts == 0 && lead != Some(id.as_str());
            // What is left of one that is over goes on in the next.
            let is_recent = standing.alone_at.is_some() || standing.opened >= opening.opened.saturating_sub(BEFORE_US);
            let fits = of.part_of.contains(&rule.id) && is_recent && speaks_for(lead_rule, of);
            if !is_alone || !fits {
                return None;
            }
            let evidence = standing.evidence();
            let holds = |lead: &Standing| lead.about.holds(&standing.about, &evidence);
            (holds(opening) && root.is_none_or(holds)).then(|| id.clone())
        };
        self.open.iter().filter_map(is_part).collect()
    }

    fn become_part(&mut self, id: &str, lead: &str) {
        let Some(standing) = self.open.get_mut(id) else { return };
        standing.lead = Some(lead.to_owned());
        if let Some(at) = standing.alone_at.take() {
            self.due.remove(&(at, id.to_owned()));
        }
        if let Some(told) = standing.last_told() {
            self.list(lead, Part::of(&told));
        }
    }

    fn list(&mut self, lead: &str, part: Part) {
        let Some(lead) = self.open.get_mut(lead) else { return };
        lead.parts += 1;
        if lead.listed.len() < LISTED_MAX {
            lead.listed.push(part);
        }
    }

    /// Tells one again whose detector has nothing new to say.
    fn tell(&mut self, id: &str, moment: Moment, out: &mut Vec<Alert>) {
        let Some(standing) = self.open.get_mut(id) else { return };
        let Some(mut alert) = standing.last_told() else { return };
        standing.extra += 1;
        alert.revision += 1;
        alert.state = State::Updated;
        alert.updated = rfc3339(moment.time());
        alert.part_of.clone_from(&standing.lead);
        standing.list_in(&mut alert);
        standing.told = text(&alert);
        out.push(alert);
    }

    /// An alert is over: its parts have until they would be over, too.
    fn close(&mut self, moment: Moment, id: &str) {
        let Some(over) = self.open.remove(id) else { return };
        if let Some(at) = over.alone_at {
            self.due.remove(&(at, id.to_owned()));
        }
        if over.parts > 0 {
            self.leave(id, moment.time());
        }
    }

    /// What was a part of this one is to be told as its own if it goes on.
    fn leave(&mut self, lead: &str, time: i64) {
        for (id, part) in self.open.iter_mut().filter(|(_, standing)| standing.lead.as_deref() == Some(lead)) {
            // One that ends with its last breach before this is over by then.
            let at = time.saturating_add(part.quiet_us).saturating_add(1);
            part.alone_at = Some(at);
            self.due.insert((at, id.clone()));
        }
    }

    fn tell_alone(&mut self, until: i64, out: &mut Vec<Alert>) {
        while self.due.first().is_some_and(|(at, _)| *at <= until) {
            let Some((at, id)) = self.due.pop_first() else { return };
            if let Some(standing) = self.open.get_mut(&id) {
                (standing.lead, standing.alone_at) = (None, None);
                self.tell(&id, Moment::Due(at), out);
            }
        }
    }

    pub fn save(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &self.open)
    }

    /// Takes over what `save` wrote at `time`, of the detectors that go on.
    pub fn load(&mut self, saved: &[u8], goes_on: impl Fn(&str) -> bool, time: i64) -> Result<(), BinaryError> {
        self.open = binary::read(saved)?;
        self.open.retain(|_, standing| goes_on(&standing.detector));
        let due = self.open.iter().filter_map(|(id, standing)| Some((standing.alone_at?, id.clone())));
        self.due = due.collect();
        let left = self.open.values().filter(|standing| standing.alone_at.is_none());
        let left: BTreeSet<String> =
            left.filter_map(|standing| standing.lead.clone()).filter(|lead| !self.open.contains_key(lead)).collect();
        left.iter().for_each(|lead| self.leave(lead, time));
        Ok(())
    }
}

impl Standing {
    fn last_told(&self) -> Option<Alert> {
        serde_json::from_str(&self.told).ok()
    }

    fn evidence(&self) -> Value {
        self.last_told().map_or(Value::Null, |told| told.evidence)
    }

    fn list_in(&self, alert: &mut Alert) {
        if self.parts > 0 {
            let listed = |part: &Part| {
                json!({ "id": part.id, "detector": part.detector, "entity": { "kind": part.kind, "value": part.value },
                    "observed": part.observed })
            };
            let listed: Vec<Value> = self.listed.iter().map(listed).collect();
            alert.evidence["parts"] = json!({ "count": self.parts, "listed": listed });
        }
    }
}

impl About {
    fn of(alert: &Alert) -> About {
        let Entity { kind, value } = alert.entity.clone();
        About { kind, value, is_unproven: alert.evidence["client_ip_source"] == UNPROVEN }
    }

    /// Whether what is about `other`, with this evidence, is a part of what is about this one.
    fn holds(&self, other: &About, evidence: &Value) -> bool {
        if self.kind == "whole" || self == other {
            return true;
        }
        // An address that nobody vouches for is nobody's.
        if self.is_unproven || other.is_unproven {
            return false;
        }
        let list = match self.kind.as_str() {
            "client_ip" => "client_ips",
            "principal" => "proven",
            _ => return false,
        };
        let is_author = || authors(evidence, list, AUTHOR_SHARE).contains(&self.value.as_str());
        evidence["entity"][&self.kind] == *self.value || is_author()
    }
}

impl Part {
    fn of(alert: &Alert) -> Part {
        let Entity { kind, value } = alert.entity.clone();
        Part { id: alert.id.clone(), detector: alert.detector.clone(), kind, value, observed: alert.observed }
    }
}

/// Whether whoever is told of the one is told enough of the other: it is not graver, asks for nothing more, and is on trial
/// where the one is.
fn speaks_for(lead: &Rule, part: &Rule) -> bool {
    let loudness =
        |rule: &Rule| ["notify", "case", "page"].iter().rposition(|kind| rule.respond.iter().any(|r| r == kind));
    // The whole cannot be blocked; what is a part of it still is.
    let is_whole = lead.entity.columns().is_empty();
    part.severity <= lead.severity
        && loudness(part) <= loudness(lead)
        && (is_whole || blocks(lead) || !blocks(part))
        && (part.dry_run || !lead.dry_run)
}

fn blocks(rule: &Rule) -> bool {
    rule.respond.iter().any(|kind| kind == "block")
}

/// Whether it tells of what a failing whole does to endpoints and clients, and not of what somebody does.
fn suffers(rule: &Rule) -> bool {
    let is_account = |column: &EntityColumn| matches!(column, EntityColumn::Principal | EntityColumn::Credential);
    let columns = rule.entity.columns();
    !columns.is_empty() && !columns.iter().any(is_account) && !blocks(rule)
}

fn text(alert: &Alert) -> String {
    serde_json::to_string(alert).expect("an alert is plain data with string keys")
}

#[cfg(test)]
mod tests;
