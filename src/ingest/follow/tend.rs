//! What becomes of lanes as time goes by: caught up, closed until they are written to, ended.
//!
//! Promises: a lane that is read to its end, or cannot be read on, holds nobody up for longer than the configuration says.
//! Never: reads a file but for the last line of one that is gone.

use super::{FollowSource, QUIET_US, REST_US, Signal, scan};
use crate::ingest::shown::shown;

impl FollowSource {
    /// What happens as time goes by: lanes at their end, lanes whose file is gone.
    pub(super) fn tend(&mut self) {
        let now_us = (self.clock)();
        let idle_us = i64::try_from(self.config.idle_after.as_micros()).unwrap_or(i64::MAX);
        let numbers: Vec<i32> = self.lanes.iter().filter(|(_, lane)| lane.open).map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(lane) = self.lanes.get_mut(&number) else { continue };
            if lane.paused || self.hot.contains(&number) {
                continue;
            }
            if lane.end_us.is_some_and(|end_us| (now_us - end_us).abs() >= idle_us) {
                // A last look: the watches may have been slow.
                if lane.tail.as_ref().is_some_and(|tail| tail.has_news()) {
                    self.hot.insert(number);
                    continue;
                }
                lane.end_us = None;
                if let Some(tail) = &mut lane.tail {
                    tail.cutter.rest();
                }
                self.signals.push_back(Signal::CaughtUp { lane: lane.lane.clone() });
            }
            let quiet_us = now_us - lane.read_us.max(lane.lost_us.unwrap_or(i64::MIN));
            let untold = quiet_us >= QUIET_US && !lane.returns_told;
            if untold && lane.tail.as_ref().is_some_and(|tail| tail.cutter.has_returns()) {
                lane.returns_told = true;
                tracing::warn!(
                    source = &*self.name,
                    file = %shown(&lane.path),
                    "its lines end in carriage returns alone, so none of them is read: expected newlines (LF or CR LF)"
                );
            }
            if lane.lost_us.is_some() && lane.tail.as_ref().is_some_and(|tail| tail.has_news()) {
                self.hot.insert(number);
            } else if lane.lost_us.is_some() && quiet_us >= QUIET_US {
                self.leave(number);
            } else if lane.damage.is_some() && quiet_us >= QUIET_US {
                self.give_up(number);
            } else if lane.lost_us.is_none() && now_us - lane.read_us >= REST_US && lane.damage.is_none() {
                self.rest(number);
            }
        }
    }

    /// No path leads to the file and nothing is written to it: it has ended, unless there is a copy to read on in.
    fn leave(&mut self, number: i32) {
        if let Some(lane) = self.lanes.get_mut(&number) {
            self.places.remove(&lane.id);
            lane.home = false;
        }
        if !self.move_to_copy(number) {
            self.finish(number);
        }
    }

    fn give_up(&mut self, number: i32) {
        let Some(lane) = self.lanes.get_mut(&number) else { return };
        if let Some((error, _)) = &lane.damage {
            tracing::warn!(source = &*self.name, file = %shown(&lane.path), "{error}; what was before it is read");
        }
        self.finish(number);
    }

    /// Nothing will come any more: the last line needs no newline.
    pub(super) fn finish(&mut self, number: i32) {
        let Some(lane) = self.lanes.get_mut(&number) else { return };
        if lane.damage.is_none()
            && let Some(tail) = &mut lane.tail
        {
            tail.cutter.finish(&mut lane.filling);
        }
        let records = lane.take_records();
        let at_end = lane.tail.as_ref().and_then(|tail| tail.content.metadata().ok());
        // Also of a file that is gone: it was read to its end.
        lane.done = Some(at_end.map_or((lane.handed.end, 0), |meta| scan::size_and_time(&meta)));
        self.open_files -= usize::from(lane.tail.take().is_some());
        (lane.open, lane.end_us) = (false, None);
        self.stale = true;
        self.note_lag(number, 0);
        self.hot.remove(&number);
        self.scan_wanted |= self.awaited.remove(&number);
        let lane = self.lane(number);
        self.signals.extend(records.map(|records| Signal::Records { lane: lane.clone(), records }));
        self.signals.push_back(Signal::Ended { lane });
    }

    /// Closes the file until it is written to again; false when it may have more to say.
    pub(super) fn rest(&mut self, number: i32) -> bool {
        let Some(lane) = self.lanes.get_mut(&number) else { return false };
        if lane.tail.as_ref().is_some_and(|tail| tail.cutter.is_within() || tail.has_moved()) {
            return false;
        }
        lane.done = lane.tail.as_ref().and_then(|tail| tail.content.metadata().ok()).map(|m| scan::size_and_time(&m));
        self.open_files -= usize::from(lane.tail.take().is_some());
        (lane.open, lane.end_us) = (false, None);
        self.note_lag(number, 0);
        self.signals.push_back(Signal::Ended { lane: self.lane(number) });
        true
    }
}
