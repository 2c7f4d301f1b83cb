//! The entries of a block list that others may write too: which are ours, whose action holds each, and what a number of
//! orders changes.
//!
//! Promises: an entry of ours carries a mark that names the action that holds it; a newer action on the same address takes
//! it over, so that undoing the older one does not lift the newer one. Doing or undoing the same again changes nothing.
//! Never: changes or removes an entry without our mark; touches the world.

use std::collections::BTreeMap;
use std::fmt;

use super::ask::undone;
use crate::respond::action::{Action, Op};
use crate::respond::scope::Scope;
use crate::respond::target::{Delivery, InForce, Order};

/// What stands beside an entry of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub action_id: String,
    pub until_us: Option<i64>,
    pub incident_id: Option<String>,
}

impl Mark {
    pub fn of(action: &Action) -> Mark {
        Mark {
            action_id: word(&action.id),
            until_us: action.expires_us,
            incident_id: Some(word(&action.incident_id)).filter(|id| !id.is_empty()),
        }
    }

    /// Reads what `Display` writes; `None` where it is not ours.
    pub fn parse(text: &str) -> Option<Mark> {
        let mut words = text.split_ascii_whitespace();
        if words.next()? != "gatewatch" {
            return None;
        }
        let mut mark = Mark { action_id: words.next()?.to_owned(), until_us: None, incident_id: None };
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            match key {
                "until" => mark.until_us = chrono::DateTime::parse_from_rfc3339(value).ok()?.timestamp_micros().into(),
                "for" => mark.incident_id = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(mark)
    }

    /// In one word, for where there is room for one only: the action and the second in which it ends.
    pub fn compact(&self) -> String {
        let until = self.until_us.map_or_else(String::new, |us| us.div_euclid(1_000_000).to_string());
        format!("gatewatch:{}:{until}", self.action_id)
    }

    pub fn parse_compact(text: &str) -> Option<Mark> {
        let (action_id, until) = text.strip_prefix("gatewatch:")?.rsplit_once(':')?;
        let until_us = match until {
            "" => None,
            seconds => Some(seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?),
        };
        Some(Mark { action_id: action_id.to_owned(), until_us, incident_id: None })
    }

    /// An entry whose end is past is no longer wanted by anybody, whatever became of its revert.
    pub fn ended(&self, now_us: i64) -> bool {
        self.until_us.is_some_and(|until_us| until_us <= now_us)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gatewatch {}", self.action_id)?;
        if let Some(time) = self.until_us.and_then(chrono::DateTime::from_timestamp_micros) {
            write!(f, " until {}", time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))?;
        }
        if let Some(incident) = &self.incident_id {
            write!(f, " for {incident}")?;
        }
        Ok(())
    }
}

/// Our ids are one word already; nothing else may end up in a list that a program reads.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// With the target's own name for it, where it has one.
    Ours { mark: Mark, id: String },
    /// Somebody else's, which has the same effect.
    Other,
    /// Somebody else's, which has the opposite effect.
    Excepted,
}

/// What has to be written, in order of address.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<(Scope, Mark)>,
    /// With the id of the entry, whose mark changes.
    pub taken_over: Vec<(Scope, Mark, String)>,
    pub removed: Vec<(Scope, String)>,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.taken_over.is_empty() && self.removed.is_empty()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Entries {
    before: BTreeMap<Scope, Entry>,
    after: BTreeMap<Scope, Entry>,
}

impl Entries {
    /// Where an address stands there twice, ours is the one that counts.
    pub fn new(list: impl IntoIterator<Item = (Scope, Entry)>) -> Entries {
        let mut before = BTreeMap::new();
        for (scope, entry) in list {
            if !matches!(before.get(&scope), Some(Entry::Ours { .. })) {
                before.insert(scope, entry);
            }
        }
        Entries { after: before.clone(), before }
    }

    pub fn len(&self) -> usize {
        self.after.len()
    }

    pub fn get(&self, scope: &Scope) -> Option<&Entry> {
        self.after.get(scope)
    }

    /// Forget our entries whose end is past.
    pub fn drop_ended(&mut self, now_us: i64) {
        self.after.retain(|_, entry| !matches!(entry, Entry::Ours { mark, .. } if mark.ended(now_us)));
    }

    /// Forget what these actions hold.
    pub fn drop_held(&mut self, action_ids: &[&str]) {
        self.after.retain(
            |_, entry| !matches!(entry, Entry::Ours { mark, .. } if action_ids.contains(&mark.action_id.as_str())),
        );
    }

    /// Do or undo one action; what it comes to once the changes are written.
    pub fn take(&mut self, order: &Order<'_>) -> Delivery {
        let Some(scope) = Scope::of(order.action) else {
            return Delivery::failed("the entity is neither an IP address nor a network");
        };
        match order.action.op {
            Op::Apply => self.apply(scope, order),
            Op::Revert => self.revert(scope, &word(undone(order))),
        }
    }

    fn apply(&mut self, scope: Scope, order: &Order<'_>) -> Delivery {
        let mark = Mark::of(order.action);
        if mark.ended(order.attempt.now_us) {
            return Delivery::failed("the block ends before it can begin");
        }
        let id = match self.after.get(&scope) {
            Some(Entry::Other) => {
                return Delivery::delivered(format!("{scope} is on the list already, by somebody else"), None);
            }
            Some(Entry::Excepted) => {
                return Delivery::failed(format!("somebody excepted {scope} from the list; that stays as it is"));
            }
            Some(Entry::Ours { id, .. }) => id.clone(),
            None => String::new(),
        };
        self.after.insert(scope, Entry::Ours { mark, id });
        Delivery::delivered(format!("{scope} is on the list"), Some(scope.to_string()))
    }

    fn revert(&mut self, scope: Scope, action_id: &str) -> Delivery {
        let answer = match self.after.get(&scope) {
            Some(Entry::Ours { mark, .. }) if mark.action_id == action_id => {
                self.after.remove(&scope);
                format!("{scope} is taken off the list")
            }
            Some(Entry::Ours { mark, .. }) => format!("{scope} stays: action {} holds it now", mark.action_id),
            Some(_) => format!("{scope} stays: somebody else put it there"),
            None => format!("{scope} was gone already"),
        };
        Delivery::delivered(answer, None)
    }

    pub fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for (scope, entry) in &self.after {
            match (entry, self.before.get(scope)) {
                (Entry::Ours { mark, .. }, None) => changes.added.push((*scope, mark.clone())),
                (Entry::Ours { mark, id }, Some(before)) if before != entry => {
                    changes.taken_over.push((*scope, mark.clone(), id.clone()));
                }
                _ => {}
            }
        }
        for (scope, entry) in &self.before {
            if let (Entry::Ours { id, .. }, false) = (entry, self.after.contains_key(scope)) {
                changes.removed.push((*scope, id.clone()));
            }
        }
        changes
    }

    /// Ours, in order of address.
    pub fn ours(&self) -> impl Iterator<Item = (Scope, &Mark)> {
        self.after.iter().filter_map(|(scope, entry)| match entry {
            Entry::Ours { mark, .. } => Some((*scope, mark)),
            Entry::Other | Entry::Excepted => None,
        })
    }

    pub fn in_force(&self) -> Vec<InForce> {
        self.ours().map(|(scope, mark)| in_force(scope, Some(mark))).collect()
    }
}

/// One entry as read-back tells it; its name at the target is the address itself.
pub fn in_force(scope: Scope, mark: Option<&Mark>) -> InForce {
    InForce {
        kind: None,
        entity: scope.to_string(),
        until_us: mark.and_then(|mark| mark.until_us),
        remote_ref: Some(scope.to_string()),
        action_id: mark.map(|mark| mark.action_id.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::action::Kind;
    use crate::respond::message::tests::action;
    use crate::respond::target::{Attempt, Unread};
    use schemas::incident::Event;

    fn block(id: &str, address: &str) -> Action {
        Action { id: id.to_owned(), entity_value: address.to_owned(), ..action(Event::Open, Kind::Block) }
    }

    fn lift(action: &Action) -> Action {
        let id = format!("{}-lift", action.id);
        Action { id, op: Op::Revert, undoes: Some(action.id.clone()), ..action.clone() }
    }

    fn take(entries: &mut Entries, action: &Action) -> String {
        let attempt = Attempt { number: 1, now_us: action.created_us };
        Unread::from(entries.take(&Order { action, attempt, remote_ref: None })).reason
    }

    #[test]
    fn a_mark_reads_back_in_both_forms() {
        let mark = Mark::of(&block("ac-1", "203.0.113.7"));
        assert_eq!(mark.to_string(), "gatewatch ac-1 until 2026-03-02T11:00:10Z for in-0123456789abcdef");
        assert_eq!(Mark::parse(&mark.to_string()), Some(mark.clone()));
        assert_eq!(mark.compact(), "gatewatch:ac-1:1772449210");
        assert_eq!(Mark::parse_compact("gatewatch:ac-1:1772449210"), Some(Mark { incident_id: None, ..mark }));
        for other in ["", "gatewatch", "by A. Example", "gatewatcher ac-1"] {
            assert_eq!(Mark::parse(other), None, "{other}");
            assert_eq!(Mark::parse_compact(other), None, "{other}");
        }
        let sly = Mark::of(&Action { id: "a; allow all\n# x".to_owned(), ..block("x", "203.0.113.7") });
        assert_eq!(sly.action_id, "aallowallx");
    }

    #[test]
    fn the_newest_action_holds_an_entry_and_others_stay_untouched() {
        let other: Scope = Scope::parse("203.0.113.9").expect("an address");
        let mut entries = Entries::new([(other, Entry::Other)]);
        let (first, second) = (block("ac-1", "203.0.113.7"), block("ac-2", "203.0.113.7"));
        assert_eq!(take(&mut entries, &first), "203.0.113.7 is on the list");
        assert_eq!(take(&mut entries, &second), "203.0.113.7 is on the list");
        assert_eq!(take(&mut entries, &lift(&first)), "203.0.113.7 stays: action ac-2 holds it now");
        assert_eq!(entries.changes().added, [(Scope::parse("203.0.113.7").expect("one"), Mark::of(&second))]);
        let foreign = block("ac-3", "203.0.113.9");
        assert_eq!(take(&mut entries, &foreign), "203.0.113.9 is on the list already, by somebody else");
        assert_eq!(take(&mut entries, &lift(&foreign)), "203.0.113.9 stays: somebody else put it there");
        assert_eq!(take(&mut entries, &lift(&second)), "203.0.113.7 is taken off the list");
        assert_eq!(take(&mut entries, &lift(&second)), "203.0.113.7 was gone already");
        assert!(entries.changes().is_empty());
    }

    #[test]
    fn what_ended_is_dropped_and_cannot_begin() {
        let late = block("ac-1", "203.0.113.7");
        let mut entries = Entries::default();
        take(&mut entries, &late);
        let end_us = late.expires_us.expect("an end");
        let order = Order { action: &late, attempt: Attempt { number: 2, now_us: end_us }, remote_ref: None };
        assert_eq!(entries.take(&order), Delivery::failed("the block ends before it can begin"));
        entries.drop_ended(end_us - 1);
        assert_eq!(entries.in_force().len(), 1);
        entries.drop_ended(end_us);
        assert!(entries.in_force().is_empty());
    }
}
