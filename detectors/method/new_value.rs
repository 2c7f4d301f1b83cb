//! `new_value`: an entity comes with a value that it has not come with before, such as a principal from a new country, or a
//! credential in the hands of another kind of client.
//!
//! Promises: in the first `learn` of an entity nothing is news. A value is told once, at its first event, and is known from then
//! on for as long as it comes again within `forget`. An entity that comes with more than `VALUES_MAX` different values is of no
//! fixed kind, and nothing about it is news until it was away for `forget`. At most 8 bytes a value.
//! Two values of one hash (32 bits, keyed) are taken for one: once in millions a value is not told.
//! Never: asks what others do.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::columns::Columns;
use crate::engine::episode::Finding;
use crate::engine::keyed::Slot;
use crate::kit::{Counted, Detector, Fate, Method, Row, Settings, Start, index_of, read};
use crate::rule::node::Fields;
use crate::rule::{EntityKind, RuleError};

pub(super) const KEYS: &[&str] = &["of", "learn", "forget"];

/// Values that are known of one entity.
const VALUES_MAX: usize = 64;
/// When a value last came is known by so much.
const PANE_US: i64 = 3_600_000_000;

#[derive(Debug)]
struct NewValue {
    of: Vec<&'static str>,
    learn_us: i64,
    forget_us: i64,
}

pub(super) fn read(fields: &mut Fields<'_>, _: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let of = read::values(fields)?;
    let learn_us = fields.optional_duration("learn", "1m", "31d")?.unwrap_or(7 * 86_400_000_000);
    let forget_us = fields.optional_duration("forget", "1h", "365d")?.unwrap_or(90 * 86_400_000_000);
    if forget_us <= learn_us {
        return Err(fields.error("forget", "expected longer than `learn`: what is learned would be forgotten at once"));
    }
    Ok(Arc::new(NewValue { of, learn_us, forget_us }))
}

impl Settings for NewValue {
    /// One event shows it.
    fn window_us(&self) -> i64 {
        1_000_000
    }
    fn needs(&self) -> Vec<&str> {
        read::needs_of_values(&self.of)
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        let of = start.plan.values(&self.of);
        start.drive(News { learn_us: self.learn_us, forget_us: self.forget_us, of })
    }
}

/// What is kept of an entity.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    /// Where its first row stood.
    since: i64,
    /// The last pane in which it came, and each value with the last one of its own.
    last: u32,
    values: Vec<(u32, u32)>,
    /// It came with too many.
    varies: bool,
    /// News since its alert opened.
    news: u32,
}

impl Known {
    /// Notes a value that came in a pane, and says whether it was unknown. `earlier` is what it was under the token key before.
    fn note(&mut self, (value, earlier): (u32, u32), pane: u32) -> bool {
        self.last = self.last.max(pane);
        if self.varies {
            return false;
        }
        let known = self.values.iter_mut().find(|(known, _)| *known == value || (earlier != 0 && *known == earlier));
        if let Some((known, last)) = known {
            (*known, *last) = (value, pane.max(*last));
            return false;
        }
        if self.values.len() == VALUES_MAX {
            (self.varies, self.values) = (true, Vec::new());
            return false;
        }
        self.values.push((value, pane));
        true
    }
}

struct News {
    learn_us: i64,
    forget_us: i64,
    /// Where the plan put the values.
    of: usize,
}

impl Method for News {
    type State = Known;
    /// A value, and what it was under the token key before, while the two overlap; else 0.
    type Item = (u32, u32);
    type Late = ();
    const LISTS: bool = false;
    const KEEPS_LATE: bool = false;

    fn sweep_us(&self) -> i64 {
        PANE_US
    }

    #[inline]
    fn item(&self, columns: &Columns, row: usize) -> Option<(u32, u32)> {
        columns.value(self.of, row)
    }

    fn begin(&self, row: &Row<'_, '_>) -> Known {
        Known { since: row.hit.place, ..Known::default() }
    }

    #[inline]
    fn on_row(&mut self, value: (u32, u32), slot: &mut Slot<Known>, row: &mut Row<'_, '_>) -> Counted {
        let (time, place) = (row.hit.time, row.hit.place);
        let is_unknown = slot.state.note(value, index_of(time, PANE_US));
        let is_news = is_unknown && place.saturating_sub(slot.state.since) >= self.learn_us;
        if is_news || slot.suspect.is_some() {
            row.gather(slot, None);
        }
        if is_news {
            slot.state.news = slot.state.news.saturating_add(1);
            let observed = f64::from(slot.state.news);
            let finding = Finding {
                observed,
                expected: None,
                threshold: 1.0,
                score: observed,
                start: time,
                end: time,
                error: None,
                baseline: None,
            };
            row.breach(slot, finding, 1, true);
        }
        Counted::Yes
    }

    fn closed(&self, state: &mut Known) {
        state.news = 0;
    }

    /// Who is known for longest is worth most.
    fn worth(&self, state: &mut Known, place: i64) -> u64 {
        place.saturating_sub(state.since).max(0).unsigned_abs()
    }

    fn sweep(&mut self, slot: &mut Slot<Known>, time: i64) -> Fate {
        if slot.is_open() {
            return Fate::Stays;
        }
        let oldest = index_of(time.saturating_sub(self.forget_us), PANE_US);
        slot.state.values.retain(|(_, last)| *last >= oldest);
        if slot.state.last < oldest { Fate::Goes } else { Fate::Harmless }
    }
}
