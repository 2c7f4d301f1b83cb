//! The objects that an entity has touched: which are new to it, what came of asking for them, and whether they were counted up.
//!
//! Promises: an object is new from when it was first touched until the window has passed; touched again later it is known, until it
//! was not touched for `forget`. At most `OBJECTS_MAX` are known, of 16 bytes each; beyond that the quarter that was touched longest
//! ago is forgotten, so of more new ones than that some are not counted. Two objects of one hash (32 bits, keyed) are one.
//! Never: keeps what an object is called.

use serde::{Deserialize, Serialize};

pub(super) const OBJECTS_MAX: usize = 1024;
/// Numbers with which the next one is compared: so many requests at a time, or endpoints by turns, hide no order.
const RECENT_MAX: usize = 8;
/// So far apart numbers are in order: one may be left out.
const STEP_MAX: u64 = 2;

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Refused,
    Answered,
}

const REFUSED: u8 = 1;
const ANSWERED: u8 = 2;
const IN_ORDER: u8 = 4;

impl Outcome {
    fn flag(self) -> u8 {
        match self {
            Outcome::Refused => REFUSED,
            Outcome::Answered => ANSWERED,
        }
    }
}

/// What a touch was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// Of an object that is known, or with an outcome that the new object has had already.
    Known,
    /// Of a new one, with another outcome than before.
    Again,
    /// The first one.
    New,
}

/// How many objects of a window are new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct New {
    pub all: u32,
    pub refused: u32,
    pub answered: u32,
    pub in_order: u32,
}

impl New {
    pub fn of(&self, outcome: Outcome) -> u32 {
        match outcome {
            Outcome::Refused => self.refused,
            Outcome::Answered => self.answered,
        }
    }

    /// Which share was counted up.
    pub fn order(&self) -> f64 {
        if self.all == 0 { 0.0 } else { f64::from(self.in_order) / f64::from(self.all) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Object {
    hash: u32,
    /// The panes in which it was touched first and last.
    first: u32,
    last: u32,
    flags: u8,
}

/// By hash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Touched {
    objects: Vec<Object>,
    /// The numbers of the last new objects, each with its endpoint; the oldest first.
    recent: Vec<(u32, u64)>,
}

impl Touched {
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    fn find(&self, hash: u32) -> Result<usize, usize> {
        self.objects.binary_search_by_key(&hash, |object| object.hash)
    }

    /// Notes that an object was touched in a pane. `earlier` is what it was under the token key before, or 0; the window begins with the
    /// pane `since`.
    pub fn touch(&mut self, (hash, earlier): (u32, u32), (pane, since): (u32, u32), outcome: Outcome) -> Touch {
        if earlier != 0
            && self.find(hash).is_err()
            && let Ok(at) = self.find(earlier)
        {
            let object = self.objects.remove(at);
            let at = self.find(hash).unwrap_or_else(|at| at);
            self.objects.insert(at, Object { hash, ..object });
        }
        match self.find(hash) {
            Ok(at) => {
                let object = &mut self.objects[at];
                object.last = object.last.max(pane);
                if object.first < since || object.flags & outcome.flag() != 0 {
                    return Touch::Known;
                }
                object.flags |= outcome.flag();
                Touch::Again
            }
            Err(_) => {
                if self.objects.len() == OBJECTS_MAX {
                    self.make_room();
                }
                let at = self.find(hash).unwrap_or_else(|at| at);
                self.objects.insert(at, Object { hash, first: pane, last: pane, flags: outcome.flag() });
                Touch::New
            }
        }
    }

    /// The number of a new object of an endpoint.
    pub fn number(&mut self, hash: u32, (endpoint, number): (u32, u64)) {
        let is_next = |(of, known): &(u32, u64)| *of == endpoint && (1..=STEP_MAX).contains(&known.abs_diff(number));
        if self.recent.iter().any(is_next)
            && let Ok(at) = self.find(hash)
        {
            self.objects[at].flags |= IN_ORDER;
        }
        if self.recent.len() == RECENT_MAX {
            self.recent.remove(0);
        }
        self.recent.push((endpoint, number));
    }

    /// What is new in the window that begins with a pane.
    pub fn count(&self, since: u32) -> New {
        let mut new = New::default();
        for object in self.objects.iter().filter(|object| object.first >= since) {
            new.all += 1;
            new.refused += u32::from(object.flags & REFUSED != 0);
            new.answered += u32::from(object.flags & ANSWERED != 0);
            new.in_order += u32::from(object.flags & IN_ORDER != 0);
        }
        new
    }

    fn make_room(&mut self) {
        let mut touched: Vec<(u32, u32)> = self.objects.iter().map(|object| (object.last, object.hash)).collect();
        let (_, least, _) = touched.select_nth_unstable(OBJECTS_MAX / 4);
        let least = *least;
        self.objects.retain(|object| (object.last, object.hash) >= least);
    }

    /// Forgets what was not touched since a pane.
    pub fn forget(&mut self, before: u32) {
        self.objects.retain(|object| object.last >= before);
        if self.objects.is_empty() {
            *self = Touched::default();
        }
    }
}

/// The number of the identifier in a path: the digits at the end of the last segment that has any there, behind at most eight other
/// characters, none of them a digit. `/v1/orders/1001/lines` and `/orders/ORD-1001` have 1001.
pub(super) fn number_of(path: &str) -> Option<(&str, u64)> {
    path.rsplit('/').find_map(|segment| {
        let name = segment.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_plain = name.len() <= 8 && !name.bytes().any(|byte| byte.is_ascii_digit());
        let number = segment[name.len()..].parse().ok().filter(|_| is_plain)?;
        Some((segment, number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(touched: &mut Touched, hash: u32, pane: u32) -> Touch {
        touched.touch((hash, 0), (pane, pane.saturating_sub(59)), Outcome::Answered)
    }

    #[test]
    fn an_object_is_new_until_the_window_has_passed_and_then_known() {
        let mut touched = Touched::default();
        assert_eq!(touch(&mut touched, 7, 100), Touch::New);
        assert_eq!(touch(&mut touched, 7, 120), Touch::Known);
        assert_eq!(touched.touch((7, 0), (120, 61), Outcome::Refused), Touch::Again);
        assert_eq!(touched.count(61), New { all: 1, refused: 1, answered: 1, in_order: 0 });
        assert_eq!(touched.count(101), New::default());
        assert_eq!(touched.touch((7, 0), (500, 441), Outcome::Refused), Touch::Known);
        touched.forget(501);
        assert_eq!(touch(&mut touched, 7, 510), Touch::New);
    }

    #[test]
    fn an_object_under_a_new_token_key_is_the_one_it_was() {
        let mut touched = Touched::default();
        touch(&mut touched, 7, 100);
        assert_eq!(touched.touch((9, 7), (300, 241), Outcome::Answered), Touch::Known);
        assert_eq!(touch(&mut touched, 9, 300), Touch::Known);
        assert_eq!(touched.len(), 1);
    }

    #[test]
    fn order_is_seen_through_requests_at_a_time_and_endpoints_by_turns() {
        let order = |numbers: &[(u32, u64)]| {
            let mut touched = Touched::default();
            for (at, number) in numbers.iter().enumerate() {
                touch(&mut touched, at as u32, 100);
                touched.number(at as u32, *number);
            }
            touched.count(0).in_order
        };
        let up: Vec<(u32, u64)> = (1001..1021).map(|number| (1, number)).collect();
        assert_eq!(order(&up), 19);
        let down: Vec<(u32, u64)> = up.iter().rev().copied().collect();
        assert_eq!(order(&down), 19);
        let by_turns: Vec<(u32, u64)> = (1001..1021).flat_map(|number| [(1, number), (2, number + 70_000)]).collect();
        assert_eq!(order(&by_turns), 38);
        let six_at_a_time: Vec<(u32, u64)> =
            (0..20).map(|at| (1, 1001 + [2, 0, 5, 1, 4, 3][at % 6] + at as u64 / 6 * 6)).collect();
        assert_eq!(order(&six_at_a_time), 13, "two in three");
        let scattered: Vec<(u32, u64)> = (0..20).map(|at| (1, 1001 + at * 37 % 500)).collect();
        assert_eq!(order(&scattered), 0);
    }

    #[test]
    fn it_is_bounded_and_what_was_touched_last_stays() {
        let mut touched = Touched::default();
        (0..5_000_u32).for_each(|n| _ = touch(&mut touched, n.wrapping_mul(2_654_435_761), n / 10));
        assert!(touched.len() <= OBJECTS_MAX);
        assert_eq!(touch(&mut touched, 4_990_u32.wrapping_mul(2_654_435_761), 500), Touch::Known);
        assert!(touched.count(0).all as usize >= OBJECTS_MAX * 3 / 4);
        let mut bytes = Vec::new();
        crate::engine::binary::write(&mut bytes, &touched).unwrap();
        assert_eq!(crate::engine::binary::read::<Touched>(&bytes).unwrap(), touched);
    }

    #[test]
    fn numbers_of_paths() {
        for (path, expected) in [
            ("/v1/orders/1001", Some(("1001", 1001))),
            ("/v1/orders/1001/lines", Some(("1001", 1001))),
            ("/v1/tenants/7/orders/ORD-001002", Some(("ORD-001002", 1002))),
            ("/orders/3f2a91c4-1b2c-4a5e-9d7f-0a1b2c3d4e57", None),
            ("/orders/99999999999999999999999", None),
            ("/orders/list", None),
            ("", None),
        ] {
            assert_eq!(number_of(path), expected, "{path}");
        }
    }
}
