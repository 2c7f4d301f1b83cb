//! How many new objects are usual: for an entity, and for those around it.
//!
//! Of each outcome the numbers of windows in which an entity was active, in their 0.9 expectile: with k the windows so far, at most the
//! memory, the level moves by `min(1, 5 t / k) (y - level)`, t 0.9 upwards and 0.1 downwards (W. K. Newey, J. L. Powell, Econometrica
//! 55, 1987). Of an entity with n windows whose peers have the level m, `(n own + 6 m) / (n + 6)` is usual (credibility, H. Buhlmann,
//! ASTIN Bulletin 4, 1967). Peers are those of the same kind of principal.
//!
//! Promises: constant memory per entity, and for at most `KINDS_MAX` kinds; each entity has one vote per window among its peers.
//! Never: learns from a window that was told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const UPWARDS: f64 = 0.9;
/// Windows that are remembered: of an entity, and of peers.
const OWN: u32 = 168;
const PEERS: u32 = 2_000;
/// Windows of peers, and of its own, from which on something is known.
pub(super) const PEERS_LEAST: u32 = 20;
pub(super) const OWN_LEAST: u32 = 3;
/// Windows of its own that its peers are worth.
const PEERS_WORTH: f64 = 6.0;
pub(super) const KINDS_MAX: usize = 8;

/// By outcome: refused, answered.
pub(super) type Numbers = [u32; 2];

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Usual {
    windows: u32,
    level: [f64; 2],
}

impl Usual {
    pub fn windows(&self) -> u32 {
        self.windows
    }

    fn teach(&mut self, numbers: Numbers, memory: u32) {
        self.windows = self.windows.saturating_add(1).min(memory);
        for (level, number) in self.level.iter_mut().zip(numbers) {
            let far = f64::from(number) - *level;
            let side = if far > 0.0 { UPWARDS } else { 1.0 - UPWARDS };
            *level += if self.windows == 1 { far } else { (5.0 * side / f64::from(self.windows)).min(1.0) * far };
        }
    }

    pub fn teach_own(&mut self, numbers: Numbers) {
        self.teach(numbers, OWN);
    }
}

/// The peers of each kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Peers(BTreeMap<u32, Usual>);

impl Peers {
    /// Of more kinds than there are, those that come last are of none.
    fn kind(&self, kind: u32) -> u32 {
        if self.0.len() < KINDS_MAX || self.0.contains_key(&kind) { kind } else { 0 }
    }

    pub fn teach(&mut self, kind: u32, numbers: Numbers) {
        let kind = self.kind(kind);
        self.0.entry(kind).or_default().teach(numbers, PEERS);
    }

    pub fn of(&self, kind: u32) -> Option<&Usual> {
        self.0.get(&self.kind(kind)).filter(|peers| peers.windows >= PEERS_LEAST)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is usual for an entity of a kind; `None` while nothing is known of it or its peers.
    pub fn usual(&self, own: &Usual, kind: u32, outcome: usize) -> Option<f64> {
        let (windows, level) = (f64::from(own.windows), own.level[outcome]);
        match self.of(kind) {
            Some(peers) => Some((windows * level + PEERS_WORTH * peers.level[outcome]) / (windows + PEERS_WORTH)),
            None => (own.windows >= OWN_LEAST).then_some(level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newcomer_leans_on_its_peers_and_later_on_itself() {
        let (mut peers, mut own) = (Peers::default(), Usual::default());
        assert_eq!(peers.usual(&own, 1, 0), None);
        for _ in 0..PEERS_LEAST {
            peers.teach(1, [2, 10]);
            peers.teach(2, [50, 400]);
        }
        assert_eq!((peers.usual(&own, 1, 1), peers.usual(&own, 2, 1)), (Some(10.0), Some(400.0)));
        assert_eq!(peers.usual(&own, 3, 1), None, "of a kind of its own there are no peers");
        (0..60).for_each(|_| own.teach_own([0, 100]));
        let usual = peers.usual(&own, 1, 1).unwrap();
        assert!((90.0..100.0).contains(&usual), "{usual}");
        (0..OWN_LEAST).for_each(|_| own.teach_own([0, 100]));
        assert_eq!(peers.usual(&own, 3, 1), Some(100.0));
    }

    #[test]
    fn the_level_is_that_of_busy_windows() {
        let mut own = Usual::default();
        (0..200).for_each(|n| own.teach_own([0, if n % 4 == 0 { 40 } else { 4 }]));
        assert!((25.0..40.0).contains(&own.level[1]), "{}", own.level[1]);
    }

    #[test]
    fn kinds_are_bounded() {
        let mut peers = Peers::default();
        (1..100).for_each(|kind| peers.teach(kind, [1, 1]));
        assert_eq!(peers.0.len(), KINDS_MAX + 1);
    }
}
