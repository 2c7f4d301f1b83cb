//! The places of a listener: so many connections at a time, and so many of one peer.
//!
//! Promises: a place is given back when it is dropped. What is known of peers is bounded by the places.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::network::one_peer;

pub struct Seats {
    most: usize,
    of_peer_max: usize,
    /// How many each peer has.
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// The place of a connection.
pub struct Seat {
    peer: IpAddr,
    seats: Arc<Seats>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    All,
    OfPeer,
}

impl Seats {
    pub fn new(most: usize, of_peer_max: usize) -> Arc<Seats> {
        Arc::new(Seats { most, of_peer_max, taken: Mutex::default() })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Counts are changed in one step; a panic leaves them usable.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(self: &Arc<Seats>, address: IpAddr) -> Result<Seat, Full> {
        let (mut taken, peer) = (self.taken(), one_peer(address));
        if taken.values().sum::<usize>() >= self.most {
            return Err(Full::All);
        }
        if taken.get(&peer).is_some_and(|count| *count >= self.of_peer_max) {
            return Err(Full::OfPeer);
        }
        *taken.entry(peer).or_default() += 1;
        Ok(Seat { peer, seats: self.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(count) = taken.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_does_not_get_all_places_and_each_is_given_back() {
        let at = |text: &str| text.parse::<IpAddr>().expect("an address");
        let seats = Seats::new(4, 2);
        let take = |text: &str| seats.take(at(text));
        let mut held = vec![take("192.0.2.1").ok(), take("::ffff:192.0.2.1").ok()];
        assert_eq!(take("192.0.2.1").err(), Some(Full::OfPeer));
        held.extend([take("2001:db8::1").ok(), take("2001:db8::2").ok()]);
        assert_eq!(take("192.0.2.9").err(), Some(Full::All));
        assert!(held.iter().all(Option::is_some));
        drop(held);
        assert!(take("2001:db8::3").is_ok());
        assert!(seats.taken().is_empty());
    }
}
