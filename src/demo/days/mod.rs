//! The long demo: weeks of an invented business and its customers, with every attack kind of the catalogue at three strengths and
//! a harmless twin beside each, to measure what is found, how soon, and what is told for nothing.
//!
//! Promises: the same seed and days give the same bytes on every machine; memory holds one day of lines and what stories
//! say later; attacks come after a week of quiet at the earliest; the plan is known before the first line.
//! Never: reads a clock, touches a file, knows a detector other than by its id. Event time starts at `START_MS`.

mod credentials;
mod exports;
mod flows;
mod functions;
mod inventory;
mod kinds;
mod line;
mod machines;
mod objects;
mod people;
mod places;
mod probes;
mod report;
mod score;
mod story;
mod tokens;
mod troubles;
mod world;

#[cfg(test)]
mod tests;

use crate::demo::chance::Chance;
use crate::demo::formats::Format;
use crate::demo::source::Lines;

use kinds::{KINDS, Kind};
use line::Line;
use story::{Effect, Fault, Story};
use world::{DAY_MS, HOUR_MS, MINUTE_MS, Stream, World};

pub use places::database;
pub use report::{Ran, document, page};
pub use score::{DaysScore, judge};
pub use story::{Act, Incident};
pub use world::START_MS;

/// A week to learn, and days enough for one act of a kind each.
pub const DAYS_MIN: u32 = 14;
pub const DAYS_MAX: u32 = 60;

/// A stretch of days that cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} days cannot be made: the demo needs {DAYS_MIN} to {DAYS_MAX}, the first week of them without an attack")]
pub struct DaysError(u32);

/// What is planted, and what is not.
#[derive(Clone, Debug, Default)]
pub struct DaysPlan {
    pub days: u32,
    pub incidents: Vec<Incident>,
    /// Kinds that these days are too few for: those who know them learn for longer.
    pub too_early: Vec<&'static str>,
    /// Kinds that no line of this format can show.
    pub blind: Vec<&'static str>,
}

/// A story's place in the calendar.
struct Slot {
    kind: usize,
    act: Act,
    start_ms: i64,
    /// The day of its first line, habits included.
    first_day: u32,
}

/// The lines of the long demo, in time order.
pub struct Days {
    format: Format,
    world: World,
    slots: Vec<Slot>,
    faults: Vec<Fault>,
    plan: DaysPlan,
    /// The next day to be made.
    day: u32,
    /// What is left of the day, last first.
    today: Vec<Line>,
    /// Lines of days to come.
    later: Vec<Line>,
    completed_ms: i64,
}

impl Days {
    pub fn new(seed: u64, days: u32, format: Format) -> Result<Days, DaysError> {
        if !(DAYS_MIN..=DAYS_MAX).contains(&days) {
            return Err(DaysError(days));
        }
        let world = World::new(seed, days);
        let mut plan = DaysPlan { days, ..DaysPlan::default() };
        let (mut slots, mut faults) = (Vec::new(), deploys(&world));
        for (index, kind) in KINDS.iter().enumerate() {
            if kind.after_days + 2 > days {
                plan.too_early.push(kind.id);
                continue;
            }
            if kind.needs.iter().any(|need| !format.holds(*need)) {
                plan.blind.push(kind.id);
                continue;
            }
            for (act, start_ms) in Act::ALL.into_iter().zip(starts(seed, index as u32, kind, days)) {
                let mut story = told(&world, index, act, start_ms);
                plan.incidents.push(story.incident(kind));
                faults.append(&mut story.faults);
                let first = story.lines.iter().chain(&story.habit).map(|line| line.at_ms).min().unwrap_or(start_ms);
                let first_day = ((first - START_MS) / DAY_MS).max(0) as u32;
                slots.push(Slot { kind: index, act, start_ms, first_day });
            }
        }
        plan.incidents.sort_by_key(|incident| incident.start_us);
        let (today, later) = (Vec::new(), Vec::new());
        Ok(Days { format, world, slots, faults, plan, day: 0, today, later, completed_ms: START_MS })
    }

    pub fn plan(&self) -> &DaysPlan {
        &self.plan
    }

    fn make_day(&mut self) {
        let (from, to) = (world::midnight(self.day), world::midnight(self.day + 1));
        let mut lines = Vec::new();
        people::day(&self.world, self.day, &mut lines);
        machines::day(&self.world, self.day, &mut lines);
        for slot in self.slots.iter().filter(|slot| slot.first_day == self.day) {
            let mut story = told(&self.world, slot.kind, slot.act, slot.start_ms);
            lines.append(&mut story.habit);
            self.later.append(&mut story.lines);
        }
        lines.retain(|line| line.at_ms >= from);
        suffer(&self.faults, &self.world, self.day, &mut lines);
        lines.append(&mut self.later);
        lines.retain(|line| !is_lost(&self.faults, line));
        (self.today, self.later) = lines.into_iter().partition(|line| line.at_ms < to);
        self.today.sort_by_key(|line| std::cmp::Reverse((line.at_ms, line.mark)));
        self.day += 1;
    }
}

impl Lines for Days {
    fn next_line(&mut self, out: &mut Vec<u8>) -> bool {
        while self.today.is_empty() {
            if self.day == self.world.days {
                return false;
            }
            self.make_day();
        }
        let Some(line) = self.today.pop() else { return false };
        self.completed_ms = line.at_ms;
        self.format.write(&line.exchange(), out);
        out.push(b'\n');
        true
    }

    fn completed_us(&self) -> i64 {
        self.completed_ms * 1000
    }
}

/// When the stories of a kind begin, one of each act: on different days after its detectors have learned, at any hour.
fn starts(seed: u64, index: u32, kind: &Kind, days: u32) -> [i64; 4] {
    let mut chance = world::chance(seed, Stream::Calendar(index));
    // Not on the last day: a story may last into the next.
    let mut possible: Vec<u32> = (kind.after_days..days - 1).collect();
    let mut day_of = |act: Act, chance: &mut Chance| {
        // Twins are people at work, most of them.
        let at_work = kind.at_work || act == Act::Twin;
        let suits: Vec<usize> = (0..possible.len()).filter(|at| !at_work || !world::is_free(possible[*at])).collect();
        match suits.as_slice() {
            // Few days for the kinds that need most: a day has room for two.
            [] => kind.after_days,
            suits => possible.swap_remove(*chance.pick(suits)),
        }
    };
    // The twin first, which has fewer days to choose from.
    let twin = day_of(Act::Twin, &mut chance);
    Act::ALL.map(|act| {
        let day = if act == Act::Twin { twin } else { day_of(act, &mut chance) };
        let hours = if act == Act::Twin { 8..17 } else { 5..20 };
        // After ten there is an hour in which all lines may be lost, see `troubles::lost`: nothing else begins then.
        let hour = match chance.between(hours.start, hours.end) {
            9 => 8,
            10 => 11,
            hour => hour,
        };
        world::midnight(day) + hour * HOUR_MS + chance.between(0, 60) * MINUTE_MS
    })
}

fn told(world: &World, kind: usize, act: Act, start_ms: i64) -> Story<'_> {
    let mut story = Story::new(world, kind as u32, act, start_ms);
    (KINDS[kind].play)(&mut story);
    story
}

/// Two deploys a week, each with half a minute in which one service answers some calls badly.
fn deploys(world: &World) -> Vec<Fault> {
    let mut faults = Vec::new();
    for day in (0..world.days).filter(|day| matches!(day % 7, 1 | 3)) {
        let mut chance = world::chance(world.seed, Stream::Faults(1_000 + day));
        let from_ms = world::midnight(day) + 14 * HOUR_MS + chance.between(0, 2 * HOUR_MS);
        let prefix = *chance.pick(&["/v1/orders", "/v1/customers", "/v1/invoices", "/v1/documents"]);
        let to_ms = from_ms + chance.between(15_000, 40_000);
        faults.push(Fault { from_ms, to_ms, prefix, parts: 2_500, effect: Effect::Status(502) });
    }
    faults
}

/// What the service's faults do to the lines of a day.
fn suffer(faults: &[Fault], world: &World, day: u32, lines: &mut [Line]) {
    let (from, to) = (world::midnight(day), world::midnight(day + 1));
    let today: Vec<&Fault> = faults.iter().filter(|fault| fault.from_ms < to && fault.to_ms >= from).collect();
    let mut chance = world::chance(world.seed, Stream::Faults(day));
    for line in lines {
        let hits = |fault: &&&Fault| {
            (fault.from_ms..fault.to_ms).contains(&line.at_ms) && line.call.path.starts_with(fault.prefix)
        };
        for fault in today.iter().filter(hits).copied().collect::<Vec<_>>() {
            if !chance.in_ten_thousand(fault.parts) {
                continue;
            }
            match fault.effect {
                Effect::Status(status) => (line.call.status, line.call.response_bytes) = (status, 160),
                Effect::SlowMs(ms) => line.call.latency_ms += ms,
                Effect::Lost => {}
            }
        }
    }
}

/// Whether a line never arrives; decided by the line itself, so that a story's lines are lost like all others.
fn is_lost(faults: &[Fault], line: &Line) -> bool {
    faults.iter().any(|fault| {
        matches!(fault.effect, Effect::Lost)
            && (fault.from_ms..fault.to_ms).contains(&line.at_ms)
            && line.mark[0] % 10_000 < u64::from(fault.parts)
    })
}
