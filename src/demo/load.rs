//! When ordinary events happen: a day and a week have a shape, minutes get their share of the events.
//!
//! Promises: exactly the number of events asked for, in time order.

use super::chance::Chance;

/// Activity of people by hour of the day, UTC: an office day seen from Europe, with some customers elsewhere.
const HOURS: [f64; 24] = [
    0.16, 0.13, 0.12, 0.12, 0.15, 0.24, 0.42, 0.66, 0.88, 0.98, 1.00, 0.96, 0.88, 0.94, 0.98, 0.95, 0.86, 0.70, 0.54,
    0.44, 0.36, 0.30, 0.24, 0.19,
];
/// Activity of people by day of the week, from Monday.
const DAYS: [f64; 7] = [1.0, 1.02, 1.03, 1.0, 0.9, 0.35, 0.3];
/// What programs do around the clock, on the same scale.
const PROGRAMS: f64 = 0.3;

/// Activity of people in a minute counted from Monday 00:00: 1 is a busy office hour.
pub(super) fn people(minute: u32) -> f64 {
    let (hour, within) = ((minute / 60) as usize, f64::from(minute % 60) / 60.0);
    let level = |hour: usize| HOURS[hour % 24] * DAYS[hour / 24 % 7];
    level(hour) * (1.0 - within) + level(hour + 1) * within
}

/// Share of the events of a minute that people cause.
pub(super) fn people_share(minute: u32) -> f64 {
    let people = people(minute);
    people / (people + PROGRAMS)
}

pub(super) struct Load {
    events: u64,
    minutes: u32,
    total: f64,
    /// Weight and events of all minutes before `minute`.
    weight_before: f64,
    events_before: u64,
    minute: u32,
    quota: u32,
    /// Events of `minute` given out.
    given: u32,
}

impl Load {
    pub(super) fn new(events: u64, minutes: u32) -> Load {
        let total = (0..minutes).map(|minute| people(minute) + PROGRAMS).sum();
        let mut load =
            Load { events, minutes, total, weight_before: 0.0, events_before: 0, minute: 0, quota: 0, given: 0 };
        load.quota = load.quota_of_minute();
        load
    }

    /// The current minute, counted from the start.
    pub(super) fn minute(&self) -> u32 {
        self.minute
    }

    /// Events in the current minute.
    pub(super) fn quota(&self) -> u32 {
        self.quota
    }

    /// Milliseconds after the start of the next event; `None` after the last.
    pub(super) fn next(&mut self, chance: &mut Chance) -> Option<i64> {
        while self.given == self.quota {
            if self.minute + 1 >= self.minutes {
                return None;
            }
            self.weight_before += people(self.minute) + PROGRAMS;
            self.events_before += u64::from(self.quota);
            self.minute += 1;
            self.given = 0;
            self.quota = self.quota_of_minute();
        }
        let at = (f64::from(self.given) + chance.unit()) / f64::from(self.quota) * 60_000.0;
        self.given += 1;
        Some(i64::from(self.minute) * 60_000 + at as i64)
    }

    fn quota_of_minute(&self) -> u32 {
        let due = if self.minute + 1 == self.minutes {
            self.events
        } else {
            let weight = self.weight_before + people(self.minute) + PROGRAMS;
            ((self.events as f64 * weight / self.total) as u64).min(self.events)
        };
        due.saturating_sub(self.events_before) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_exactly_the_events_in_order_and_most_of_them_in_office_hours() {
        for events in [1, 59, 10_007] {
            let (mut load, mut chance) = (Load::new(events, 24 * 60), Chance::new(1, 1));
            let times: Vec<i64> = std::iter::from_fn(|| load.next(&mut chance)).collect();
            assert_eq!(times.len() as u64, events);
            assert!(times.is_sorted());
            assert!(times.iter().all(|t| (0..24 * 3_600_000).contains(t)));
        }
        let (mut load, mut chance) = (Load::new(10_000, 24 * 60), Chance::new(1, 1));
        let times: Vec<i64> = std::iter::from_fn(|| load.next(&mut chance)).collect();
        let in_hour = |hour: i64| times.iter().filter(|t| **t / 3_600_000 == hour).count();
        assert!(in_hour(10) > 2 * in_hour(3), "{} at ten, {} at three", in_hour(10), in_hour(3));
    }

    #[test]
    fn weekends_are_quiet() {
        assert!(people(10 * 60) > 2.5 * people((5 * 24 + 10) * 60));
    }
}
