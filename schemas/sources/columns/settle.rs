//! Which value counts where a column has several of them: a key that came twice, or several names of one thing (`alike`). A
//! client whose text is not escaped can write such keys.
//!
//! Promises: of clients the first that is an address, of statuses the worst, of times the one nearest to the arrival; where
//! they differ the event says so. Time and memory in proportion to the record: values are compared where they stand.
//! Never: takes a value away where nothing says something else.

use std::net::IpAddr;
use std::slice;

use super::{Value, micros, said, status_of};
use crate::address;
use crate::limits::TIMES_APART_US;
use crate::request::Damaged;
use crate::sources::mapping::Input;
use crate::sources::plan::{Plan, Read, Source};
use crate::sources::severity;
use crate::sources::slots::{SLOT_NONE, Scalar, Slots};
use crate::time;

/// What several values make doubtful.
#[derive(Clone, Copy, Default)]
pub(in crate::sources) struct Doubt {
    pub(in crate::sources) damaged: Damaged,
    /// Who sent the request.
    pub(in crate::sources) client: bool,
    /// The forwarding list.
    pub(in crate::sources) list: bool,
}

/// The columns that a forged value would move.
const SETTLED: [Input; 7] = [
    Input::ClientIp,
    Input::ForwardedFor,
    Input::Forwarded,
    Input::RealIp,
    Input::Status,
    Input::Time,
    Input::StartTime,
];

impl Input {
    /// May its column have several values, of which one counts?
    pub(in crate::sources) fn is_settled(self) -> bool {
        SETTLED.contains(&self)
    }
}

/// A value as a column has it, and how much it is to be preferred.
#[derive(Clone, Copy)]
struct Reading<'s> {
    weight: i64,
    says: Says<'s>,
}

#[derive(Clone, Copy, PartialEq)]
enum Says<'s> {
    Nothing,
    Number(i64),
    Address(IpAddr),
    Text(&'s str),
}

impl Plan {
    /// Has a column whose names mean one thing values under several of them?
    #[inline]
    pub(in crate::sources) fn has_rivals(&self, slots: &Slots<'_>) -> bool {
        let is_there = |source: &&Source| !matches!(slots.get(source.slot), Scalar::Absent);
        self.has_alike
            && self.reads.iter().flatten().filter(|read| read.alike).any(|read| {
                let mut there = read.slots.iter().filter(is_there);
                there.next().is_some() && there.next().is_some()
            })
    }

    /// Decides which value counts, and puts it where the column finds it.
    #[cold]
    pub(in crate::sources) fn settle(&self, slots: &mut Slots<'_>, zone: time::Zone, observed_us: i64) -> Doubt {
        let mut doubt = Doubt::default();
        for input in SETTLED {
            let Some(read) = &self.reads[input as usize] else { continue };
            let judge = Judge { input, read, zone, observed_us };
            let differs = match read.alike {
                true => judge.settle(&read.slots, slots),
                // Each key by itself: the names of a column may mean different things.
                false => {
                    read.slots.iter().fold(false, |any, source| any | judge.settle(slice::from_ref(source), slots))
                }
            };
            match input {
                Input::ForwardedFor | Input::Forwarded | Input::RealIp => doubt.list |= differs,
                _ if differs => doubt.damaged.add(input as u8),
                _ => {}
            }
            doubt.client |= differs && input == Input::ClientIp;
        }
        doubt
    }
}

/// Judges the values of one column.
struct Judge<'p> {
    input: Input,
    read: &'p Read,
    zone: time::Zone,
    observed_us: i64,
}

impl Judge<'_> {
    /// Leaves one value of those at `sources`; true when others said something else.
    fn settle<'b>(&self, sources: &[Source], slots: &mut Slots<'b>) -> bool {
        let (mut count, mut differs) = (0usize, false);
        let mut first: Option<(u16, Scalar<'b>, Reading<'_>)> = None;
        let mut best: Option<(u16, Scalar<'b>, Reading<'_>)> = None;
        for source in sources {
            if source.given != SLOT_NONE && matches!(slots.get(source.given), Scalar::Absent) {
                continue;
            }
            for value in slots.values_of(source.slot) {
                let reading = self.reading(source, value, slots);
                count += 1;
                // Of several names one may be there for other things; of one key each value counts, and who it was always.
                let counts = reading.says != Says::Nothing || sources.len() == 1 || self.input == Input::ClientIp;
                if counts {
                    let (_, _, told) = first.get_or_insert((source.slot, value, reading));
                    differs |= self.differ(told.says, reading.says, sources.len() > 1);
                }
                if best.is_none_or(|(_, _, best)| reading.weight > best.weight) {
                    best = Some((source.slot, value, reading));
                }
            }
        }
        let Some((slot, value, _)) = (if differs { best } else { first.or(best) }) else { return false };
        if count > 1 {
            sources.iter().for_each(|source| slots.put(source.slot, Scalar::Absent));
            slots.put(slot, value);
        }
        differs
    }

    fn differ(&self, one: Says<'_>, other: Says<'_>, of_several_names: bool) -> bool {
        let is_time = matches!(self.input, Input::Time | Input::StartTime);
        match (one, other) {
            // When it was accepted, read or written: several times of one request.
            (Says::Number(one), Says::Number(other)) if is_time && of_several_names => {
                one.abs_diff(other) > TIMES_APART_US
            }
            _ => one != other,
        }
    }

    fn reading<'s>(&self, source: &Source, value: Scalar<'s>, slots: &'s Slots<'_>) -> Reading<'s> {
        let value = said(self.read, value, slots).ok().flatten();
        match self.input {
            Input::Status => {
                let status = value.and_then(|value| status_of(value).ok());
                let weight = status.map_or(-1, |status| i64::from(severity(status)));
                Reading { weight, says: status.map_or(Says::Nothing, |status| Says::Number(status.into())) }
            }
            Input::Time | Input::StartTime => {
                let time = value.zip(source.unit).and_then(|(value, unit)| micros(unit, value, self.zone));
                let away = |time: i64| i64::try_from(time.abs_diff(self.observed_us)).unwrap_or(i64::MAX);
                Reading {
                    weight: time.map_or(i64::MIN, |time| -away(time)),
                    says: time.map_or(Says::Nothing, Says::Number),
                }
            }
            _ => match value {
                Some(Value::Text(text)) => match address::parse(text) {
                    Some(address) => Reading { weight: 1, says: Says::Address(address) },
                    None => Reading { weight: 0, says: Says::Text(text) },
                },
                _ => Reading { weight: 0, says: Says::Nothing },
            },
        }
    }
}

#[cfg(test)]
mod tests;
