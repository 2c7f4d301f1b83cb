//! Where one entity was lately: a few sites, and the hops between them that nobody can have travelled.
//!
//! Promises: a site is a network at a place; sightings of one network within `NEAR_KM` are one site. A hop leads from the latest
//! sighting of one site to the next of another, so it is judged by the shortest time there was. It is confirmed once both of
//! its sites were seen often enough: one row with a wrong location is no hop. Between sites of one network there is none: the exits
//! of a carrier move. At most `SITES_MAX` sites, of which the one that was seen longest ago goes.
//! Never: knows who uses a network.

use serde::{Deserialize, Serialize};

use crate::engine::location::{DISTANCE_KM_MAX, Location};

const SITES_MAX: usize = 8;
/// Databases of addresses are off by so much, often: it is one place.
const NEAR_KM: f64 = 50.0;
const HOUR_US: f64 = 3_600_000_000.0;

/// What can be travelled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub speed_kmh: f64,
    /// Below it nothing is a hop, however fast.
    pub distance_km: f64,
    /// Sightings of a site before it counts.
    pub sightings: u32,
}

impl Reach {
    /// So long ago that everybody can have come from anywhere.
    pub fn horizon_us(&self) -> i64 {
        (DISTANCE_KM_MAX / self.speed_kmh * HOUR_US).ceil() as i64
    }

    /// From so many kilometres on nobody can have travelled in this time.
    fn limit_km(&self, time_us: i64) -> f64 {
        (self.speed_kmh * time_us as f64 / HOUR_US).ceil().max(self.distance_km)
    }
}

/// One row of an entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub location: Location,
    pub network: u32,
    pub time: i64,
}

/// A network at a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Site {
    pub location: Location,
    pub network: u32,
    pub country: [u8; 2],
    pub asn: u32,
    pub last: i64,
    /// The number of its latest row among all of the entity.
    row: u32,
    sightings: u32,
    /// The worst hop to it that is not confirmed.
    hop: Option<Box<Hop>>,
}

impl Site {
    fn is(&self, network: u32, location: Location) -> bool {
        let is_near = || self.location == location || self.location.distance_km(location) <= NEAR_KM;
        self.network == network && is_near()
    }
}

/// What nobody can have travelled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hop {
    from: (u32, Location),
    /// The sighting it leads from, and the one it leads to.
    pub left: i64,
    pub came: i64,
    row: u32,
    pub km: f64,
    /// So many would have been too many.
    pub limit_km: f64,
}

impl Hop {
    pub fn score(&self) -> f64 {
        self.km / self.limit_km
    }
}

/// A hop with both of its sites.
pub(super) struct Found<'a> {
    pub hop: Hop,
    pub from: &'a Site,
    pub to: &'a Site,
    /// Both sites were seen often enough.
    pub is_confirmed: bool,
    /// Rows of the entity since it left.
    pub events: u32,
}

/// The sites of one entity; the one seen last is the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Trail {
    rows: u32,
    sites: Vec<Site>,
}

impl Trail {
    /// When the entity was seen last.
    pub fn newest(&self) -> i64 {
        self.sites.last().map_or(i64::MIN, |site| site.last)
    }

    /// Notes a row that is no earlier than those before. `about` says country and number of the network of a new site.
    pub fn visit(&mut self, sighting: Sighting, reach: &Reach, about: impl FnOnce() -> ([u8; 2], u32)) {
        let Sighting { location, network, time } = sighting;
        self.rows = self.rows.saturating_add(1);
        self.forget(time, reach);
        let known = self.sites.iter().position(|site| site.is(network, location));
        let stayed = known.is_some_and(|at| at + 1 == self.sites.len());
        let mut site = match known {
            Some(at) => self.sites.remove(at),
            None => {
                if self.sites.len() == SITES_MAX {
                    self.sites.remove(0);
                }
                let (country, asn) = about();
                Site { location, network, country, asn, last: time, row: 0, sightings: 0, hop: None }
            }
        };
        // Who stayed has made no hop, and has had more time since the others were left.
        if !stayed {
            self.look_back(&mut site, time, reach);
        }
        (site.last, site.row, site.sightings) = (time, self.rows, site.sightings.saturating_add(1));
        // Most entities have one or two.
        self.sites.reserve_exact(1);
        self.sites.push(site);
    }

    /// Notes the worst hop from one of the other sites to this one; from one that counts, if there is such.
    fn look_back(&self, site: &mut Site, time: i64, reach: &Reach) {
        let counts = |from: &Site| from.sightings >= reach.sightings;
        let others = self.sites.iter().filter(|other| other.network != site.network);
        let hops = others.filter_map(|other| {
            let (km, limit_km) = (other.location.distance_km(site.location), reach.limit_km(time - other.last));
            let from = (other.network, other.location);
            let hop = Hop { from, left: other.last, came: time, row: other.row, km, limit_km };
            (km >= limit_km).then_some((counts(other), hop))
        });
        let known = site.hop.as_deref().and_then(|hop| Some((counts(self.site(hop.from)?), *hop)));
        let rank = |(counts, hop): &(bool, Hop)| (*counts, hop.score());
        let worst =
            known.into_iter().chain(hops).reduce(|worst, one| if rank(&one) > rank(&worst) { one } else { worst });
        site.hop = worst.map(|(_, hop)| Box::new(hop));
    }

    fn site(&self, (network, location): (u32, Location)) -> Option<&Site> {
        self.sites.iter().find(|site| site.network == network && site.location == location)
    }

    /// The hop to where the entity is now, unless it was taken.
    pub fn found(&self, reach: &Reach) -> Option<Found<'_>> {
        let to = self.sites.last()?;
        let hop = *to.hop.as_deref()?;
        let from = self.site(hop.from)?;
        let is_confirmed = from.sightings >= reach.sightings && to.sightings >= reach.sightings;
        Some(Found { hop, from, to, is_confirmed, events: self.rows.saturating_sub(hop.row).saturating_add(1) })
    }

    /// That hop was judged.
    pub fn take(&mut self) {
        self.sites.last_mut().into_iter().for_each(|site| site.hop = None);
    }

    /// Some hop waits to be confirmed.
    pub fn waits(&self) -> bool {
        self.sites.iter().any(|site| site.hop.is_some())
    }

    /// Drops the sites from which one can be anywhere by now.
    pub fn forget(&mut self, time: i64, reach: &Reach) {
        let horizon = reach.horizon_us();
        let gone = self.sites.iter().take_while(|site| site.last.saturating_add(horizon) < time).count();
        if gone == 0 {
            return;
        }
        self.sites.drain(..gone);
        // What leads from one of those cannot be confirmed any more.
        let left: Vec<(u32, Location)> = self.sites.iter().map(|site| (site.network, site.location)).collect();
        self.sites.iter_mut().for_each(|site| _ = site.hop.take_if(|hop| !left.contains(&hop.from)));
    }

    pub fn sites(&self) -> usize {
        self.sites.len()
    }

    /// Nothing waits to be confirmed any more.
    pub fn drop_hops(&mut self) {
        self.sites.iter_mut().for_each(|site| site.hop = None);
    }
}
