//! Episodes: one alert per attack, not one per event. The first breach opens it, further breaches keep it open and tell
//! again only when what was observed has doubled, a quiet period closes it.
//!
//! Promises: an alert's id is made of the detector, the entity and the time it opened, so every replay tells the same;
//! revisions count 0, 1, 2, ...; closing is decided in event time; evidence of too many suspects at once is cut, their
//! alerts are not.
//! Never: looks at a clock or at another entity.

use std::collections::BTreeSet;
use std::sync::Arc;

use schemas::Alert;
use schemas::alert::{Entity, State, Window};
use serde::{Deserialize, Serialize};
use siphasher::sip128::SipHasher13;

use super::columns::EntityKey;
use super::evidence::{Evidence, Found, Name};
use super::keyed::Gone;
use super::run::{EventRow, position};
use super::snapshot::identity;
use super::time::rfc3339;
use crate::rule::Rule;

/// Why an alert of a detector that goes is closed.
const GAVE_UP: &str = "the detector was changed or taken away";
/// What the evidence of an alert says that was closed because more alerts were open than a detector has places for.
const CLOSED_FOR_ROOM: &str = "to make room";

/// An entity that looks bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Suspect {
    pub name: Name,
    pub evidence: Evidence,
    pub episode: Option<Episode>,
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Episode {
    opened: i64,
    /// Start of the window that opened it.
    from: i64,
    last_breach: i64,
    told: f64,
    revision: u32,
    pub events: u64,
    peak: Finding,
}

impl Episode {
    /// When the rule was last broken.
    pub fn last_breach(&self) -> i64 {
        self.last_breach
    }
}

/// What a method found at a breach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub observed: f64,
    pub expected: Option<f64>,
    pub threshold: f64,
    pub score: f64,
    /// The window that was looked at.
    pub start: i64,
    pub end: i64,
    /// By what share `observed` is off at one sigma, where it is an estimate.
    pub error: Option<f64>,
    /// JSON of what else was found: of a baseline the history behind it (`Settings::found_name`).
    pub baseline: Option<String>,
}

/// When something was decided, for the one order of alerts: what is due by time comes before what a row does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    Due(i64),
    Row(i64),
}

impl Moment {
    pub fn time(self) -> i64 {
        match self {
            Moment::Due(time) | Moment::Row(time) => time,
        }
    }
}

/// One telling, with its place in the order.
pub(crate) struct Telling {
    moment: Moment,
    pub alert: Alert,
}

impl Telling {
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Sorts by time of decision, detector, entity, revision; what is unproven of an address has an id of its own.
    pub fn order(&self) -> (i64, bool, &str, &str, u32, &str) {
        let (time, row) = (self.moment.time(), matches!(self.moment, Moment::Row(_)));
        (time, row, &self.alert.detector, &self.alert.entity.value, self.alert.revision, &self.alert.id)
    }
}

/// The episodes of one detector: what is open, until when, and how much evidence is held.
pub(crate) struct Episodes {
    pub rule: Arc<Rule>,
    /// Of what the rule counts.
    identity: u128,
    columns: Vec<usize>,
    /// When to look whether an episode is over. Earlier than its end when it was prolonged since; exactly one each.
    due: BTreeSet<(i64, EntityKey)>,
    detailed: usize,
    detailed_bound: usize,
    pub opened: u64,
}

impl Episodes {
    pub fn new(rule: Arc<Rule>, detailed_bound: usize) -> Episodes {
        let columns = rule.entity.columns().iter().map(|c| position(c.name())).collect();
        let identity = identity(&rule);
        Episodes { rule, identity, columns, due: BTreeSet::new(), detailed: 0, detailed_bound, opened: 0 }
    }

    pub fn open(&self) -> usize {
        self.due.len()
    }

    /// About whom something is open.
    pub fn open_keys(&self) -> impl Iterator<Item = EntityKey> {
        self.due.iter().map(|(_, key)| *key)
    }

    /// The name of an entity; an IPv6 client is its network of so many bits.
    pub fn name(&self, event: EventRow<'_>, bits: u8) -> Name {
        Name::of(&self.rule.entity, &self.columns, event, bits)
    }

    /// Starts to watch an entity.
    pub fn suspect(&mut self, name: Name) -> Box<Suspect> {
        let detailed = self.detailed < self.detailed_bound;
        self.detailed += usize::from(detailed);
        Box::new(Suspect { name, evidence: Evidence::new(detailed, &self.rule.entity), episode: None })
    }

    /// Stops watching an entity that has no open episode.
    pub fn clear(&mut self, suspect: &mut Option<Box<Suspect>>) {
        if let Some(suspect) = suspect.take_if(|s| s.episode.is_none()) {
            self.detailed -= usize::from(suspect.evidence.is_detailed());
        }
    }

    /// A breach at `moment`: opens an episode of `events` events, or keeps the open one open. `event` has shown it, and is of
    /// the time given.
    pub fn breach(
        &mut self,
        key: EntityKey,
        suspect: &mut Suspect,
        (moment, finding, events): (Moment, Finding, u64),
        event: Option<(i64, EventRow<'_>)>,
        out: &mut Vec<Telling>,
    ) {
        let time = moment.time();
        let state = match &mut suspect.episode {
            None => {
                self.opened += 1;
                self.due.insert((time + self.rule.quiet_us, key));
                suspect.episode = Some(Episode {
                    opened: time,
                    from: finding.start,
                    last_breach: time,
                    told: finding.observed,
                    revision: 0,
                    events,
                    peak: finding.clone(),
                });
                State::Open
            }
            Some(episode) => {
                episode.last_breach = time;
                if finding.score > episode.peak.score {
                    episode.peak = finding.clone();
                }
                if finding.observed < 2.0 * episode.told || finding.observed <= 0.0 {
                    return;
                }
                episode.told = finding.observed;
                episode.revision += 1;
                State::Updated
            }
        };
        if let Some((time, event)) = event {
            suspect.evidence.keep_telling(time, event);
        }
        self.tell(suspect, moment, state, &finding, out);
    }

    /// The earliest time at which an episode may be over.
    pub fn next_due(&self) -> i64 {
        self.due.first().map_or(i64::MAX, |(due, _)| *due)
    }

    /// Takes the next entity whose episode may be over at `time`.
    pub fn take_due(&mut self, time: i64) -> Option<EntityKey> {
        if self.next_due() > time {
            return None;
        }
        self.due.pop_first().map(|(_, key)| key)
    }

    /// Closes the episode when it was quiet for long enough at `time`; otherwise looks again later. True when closed.
    pub fn close_if_quiet(
        &mut self,
        key: EntityKey,
        suspect: &mut Option<Box<Suspect>>,
        time: i64,
        out: &mut Vec<Telling>,
    ) -> bool {
        let Some(watched) = suspect.as_deref_mut() else { return false };
        let Some(episode) = watched.episode.as_mut() else { return false };
        let end = episode.last_breach + self.rule.quiet_us;
        if end > time {
            self.due.insert((end, key));
            return false;
        }
        self.close(watched, Moment::Due(end), out);
        self.clear(suspect);
        true
    }

    /// Ends the episode at `time`, whatever the entity does: its detector goes.
    pub fn give_up(&self, suspect: &mut Suspect, time: i64, out: &mut Vec<Telling>) {
        let end = suspect.episode.as_ref().map_or(time, |episode| time.max(episode.last_breach));
        let told = out.len();
        self.close(suspect, Moment::Due(end), out);
        for telling in &mut out[told..] {
            telling.alert.evidence["closed"] = GAVE_UP.into();
        }
    }

    fn close(&self, suspect: &mut Suspect, moment: Moment, out: &mut Vec<Telling>) {
        let Some(episode) = suspect.episode.as_mut() else { return };
        episode.revision += 1;
        let finding = Finding { start: episode.from, end: episode.last_breach, ..episode.peak.clone() };
        self.tell(suspect, moment, State::Closed, &finding, out);
        suspect.episode = None;
    }

    /// Those who went to make room at `place`: what was open about them is told to be closed.
    pub fn make_room(&mut self, gone: Vec<Gone>, place: i64, out: &mut Vec<Telling>) {
        let had_open = gone.iter().any(|(_, suspect)| suspect.episode.is_some());
        if had_open {
            let at = |key: &EntityKey| gone.binary_search_by_key(key, |(gone, _)| *gone).is_ok();
            self.due.retain(|(_, key)| !at(key));
        }
        for (_, mut suspect) in gone {
            self.detailed -= usize::from(suspect.evidence.is_detailed());
            let told = out.len();
            self.close(&mut suspect, Moment::Row(place), out);
            for telling in &mut out[told..] {
                telling.alert.evidence["closed"] = CLOSED_FOR_ROOM.into();
            }
        }
    }

    /// After a restore: what was open is due again.
    pub fn restored(&mut self, key: EntityKey, suspect: Option<&Suspect>) {
        let Some(suspect) = suspect else { return };
        self.detailed += usize::from(suspect.evidence.is_detailed());
        if let Some(episode) = &suspect.episode {
            self.due.insert((episode.last_breach + self.rule.quiet_us, key));
        }
    }

    fn tell(&self, suspect: &Suspect, moment: Moment, state: State, finding: &Finding, out: &mut Vec<Telling>) {
        let Some(episode) = &suspect.episode else { return };
        let rule = &*self.rule;
        let entity = Entity { kind: rule.entity.to_string(), value: suspect.name.shown() };
        let found = Found { baseline: finding.baseline.as_deref(), error: finding.error };
        let until = finding.end.max(episode.last_breach);
        let alert = Alert {
            id: alert_id(self.identity, &entity, suspect.name.is_unproven(), episode.opened),
            revision: episode.revision,
            state,
            detector: rule.id.clone(),
            title: rule.title.clone(),
            severity: rule.severity,
            opened: rfc3339(episode.opened),
            updated: rfc3339(moment.time()),
            window: Window { start: rfc3339(finding.start), end: rfc3339(finding.end) },
            observed: finite(finding.observed),
            expected: finding.expected.map(finite),
            threshold: finite(finding.threshold),
            score: finite(finding.score),
            events: episode.events,
            owasp: rule.owasp.clone(),
            attack: rule.attack.clone(),
            evidence: suspect.evidence.show(rule, &suspect.name, (episode.from, until), found),
            dry_run: rule.dry_run,
            entity,
            part_of: None,
        };
        out.push(Telling { moment, alert });
    }
}

/// JSON has no infinity.
fn finite(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.clamp(-1e300, 1e300) }
}

/// The same on every machine and in every run: it does not use the engine's hash key. Of a detector that counts something else than
/// before the ids are others: what it told of the same entity at the same time is another alert.
fn alert_id(detector: u128, entity: &Entity, unproven: bool, opened: i64) -> String {
    let hasher = SipHasher13::new_with_keys(0x6761_7465_7761_7463, 0x6865_7061_6c65_7274);
    let mark = if unproven { "\u{1f}unproven" } else { "" };
    let text = format!("{detector:032x}\u{1f}{}\u{1f}{}\u{1f}{opened}{mark}", entity.kind, entity.value);
    format!("{:032x}", hasher.hash(text.as_bytes()).as_u128())
}
