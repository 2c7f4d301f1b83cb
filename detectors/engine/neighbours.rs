//! Neighbours: networks of one detector in which many IPv6 clients do what it counts at the same time are one attacker who
//! has more than a /64. Their rows count for the /56 they share, or the /48, as long as that lasts.
//!
//! Promises: joined are requests that were refused (status 400 to 499), of those of whom `MANY` made such within the detector's
//! window: the many customers of one carrier are answered well, and count each for themselves. An attacker gains at most so many
//! counts by rotating through a /56, and as many by rotating through the /56s of a /48; what each of them had counted before stays
//! theirs. Bounded like entities are. What it says depends on the order of rows alone.
//! Never: joins IPv4, or clients that only did what the detector does not count.

use serde::{Deserialize, Serialize};

use super::binary::{self, BinaryError};
use super::columns::EntityKey;
use super::keyed::{Keep, Keyed, SavedSlots, Spot};
use super::network::JOINED_BITS;
use super::next_multiple;
use super::run::{Hit, POSITIONS, Run};

/// Active at once are those who counted within the detector's window, or within this where that is longer.
const AT_ONCE_US: i64 = 600_000_000;

/// Looked through so far apart at least.
const SWEEP_LEAST_US: i64 = 60_000_000;

/// So many neighbours at once are one: far more than a household or an office has, of 256 that there can be.
const MANY: usize = 16;

/// The members of a network that were active last: a hash, and where their latest row stood.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Network {
    members: Vec<(u64, i64)>,
}

impl Network {
    /// Notes a member, and says whether many were active since.
    fn note(&mut self, member: u64, place: i64, since: i64) -> bool {
        if let Some((_, seen)) = self.members.iter_mut().find(|(known, _)| *known == member) {
            *seen = place;
        } else if self.members.len() < MANY {
            self.members.push((member, place));
        } else if let Some(oldest) = self.members.iter_mut().min_by_key(|(member, seen)| (*seen, *member)) {
            *oldest = (member, place);
        }
        self.members.len() == MANY && self.members.iter().all(|(_, seen)| *seen > since)
    }
}

/// Whether the gateway found something wrong with the request.
fn is_refused(run: &Run<'_>, row: usize) -> bool {
    matches!(run.event(row).number(POSITIONS.status), Some(400..=499))
}

/// The networks of one detector.
pub(crate) struct Neighbours {
    networks: Keyed<Network>,
    within_us: i64,
    next_sweep: i64,
}

impl Neighbours {
    pub fn new(bound: usize, within_us: i64) -> Neighbours {
        Neighbours { networks: Keyed::new(bound), within_us: within_us.min(AT_ONCE_US), next_sweep: i64::MAX }
    }

    /// The row as one of the network that its client is joined into, if it is.
    #[inline]
    pub fn join(&mut self, run: &Run<'_>, hit: Hit) -> Hit {
        match &run.columns.wider {
            Some(wider) if wider[hit.row][0] != 0 && is_refused(run, hit.row) => self.join_ipv6(wider[hit.row], hit),
            _ => hit,
        }
    }

    fn join_ipv6(&mut self, wider: [EntityKey; 2], hit: Hit) -> Hit {
        self.sweep(hit.place);
        let mut joined = hit;
        for (key, bits) in wider.into_iter().zip(JOINED_BITS) {
            let member = if bits == JOINED_BITS[0] { hit.key } else { wider[0] };
            if self.is_joined(key, member, hit.place) {
                (joined.key, joined.bits) = (key, bits);
            }
        }
        joined
    }

    fn is_joined(&mut self, key: EntityKey, member: EntityKey, place: i64) -> bool {
        if self.networks.is_full_for(Spot::UNKNOWN, &Hit { key, ..Hit::default() }) {
            self.networks.make_room(|network| network.members.len() as u64);
        }
        let network = &mut self.networks.enter(key, place, Network::default).state;
        network.note(member as u64, place, place.saturating_sub(self.within_us))
    }

    fn sweep(&mut self, place: i64) {
        while place >= self.next_sweep {
            let (now, within) = (self.next_sweep, self.within_us);
            self.networks.sweep(|slot| {
                slot.state.members.retain(|(_, seen)| now - seen < within);
                if slot.state.members.is_empty() { Keep::No } else { Keep::Yes }
            });
            self.next_sweep = if self.networks.is_empty() { i64::MAX } else { self.after(now) };
        }
        if self.next_sweep == i64::MAX {
            self.next_sweep = self.after(place);
        }
    }

    fn after(&self, time: i64) -> i64 {
        next_multiple(time, self.within_us.max(SWEEP_LEAST_US))
    }
}

/// Writes those of a detector, where it has any.
pub(crate) fn save(neighbours: Option<&Neighbours>, out: &mut Vec<u8>) -> Result<(), BinaryError> {
    let Some(neighbours) = neighbours else { return binary::write(out, &None::<()>) };
    // As `Some` of what `SavedNeighbours` is.
    binary::write(out, &Some(neighbours.next_sweep))?;
    neighbours.networks.save(out)
}

pub(crate) fn load(neighbours: Option<&mut Neighbours>, saved: Option<SavedNeighbours>) {
    if let (Some(neighbours), Some((next_sweep, networks))) = (neighbours, saved) {
        neighbours.next_sweep = next_sweep;
        neighbours.networks.load(networks);
    }
}

/// What `save` wrote.
pub(crate) type SavedNeighbours = (i64, SavedSlots<Network>);
