//! `travel`: an entity is at two places between which nobody can travel in the time between: a stolen session that goes on beside
//! its owner, an account in two hands.
//!
//! A hop from one site to another (`trail`) is a breach if it is `distance_km` or more, faster than `speed_kmh`, and both sites
//! were seen `sightings` times. It is excused (`habits`) in somebody's first days, if both networks are their own, or if one of
//! the two is an exit that many share. Habits are those of the principal also where the entity is a credential: who has a new
//! session every day goes by the same networks. Where no principal is known they are the entity's.
//!
//! Promises: a hop to a network is told once of a person; while the alert is open further ones keep it open. Nobody is judged by
//! rows without a location or a network. A late row counts as long as nothing later of its entity has come; else it is too late.
//! Never: looks an address up, or trusts a location that was seen once.

mod habits;
#[cfg(test)]
mod tests;
mod trail;

use std::sync::Arc;

use serde_json::{Value, json};

use self::habits::{Exits, Person, Times};
use self::trail::{Found, Reach, Sighting, Site, Trail};
use crate::engine::binary::{self, BinaryError};
use crate::engine::columns::{Columns, EntityKey};
use crate::engine::episode::Finding;
use crate::engine::keyed::{Keep, Keyed, SavedSlots, Slot, Spot};
use crate::engine::location::Location;
use crate::engine::rfc3339;
use crate::engine::run::{EventRow, POSITIONS, position};
use crate::kit::{Counted, Detector, Fate, Method, Row, Settings, Start, read};
use crate::rule::node::Fields;
use crate::rule::{EntityColumn, EntityKind, RuleError};

pub(super) const KEYS: &[&str] =
    &["speed_kmh", "distance_km", "sightings", "network", "shared_by", "learn", "settle", "forget"];

/// What can be a network.
const NETWORKS: &[&str] = &["asn", "as_org", "country"];
const SWEEP_US: i64 = 3_600_000_000;
const DAY_US: i64 = 86_400_000_000;

#[derive(Debug)]
struct Travel {
    reach: Reach,
    network: &'static str,
    shared_by: u64,
    times: Times,
}

pub(super) fn read(fields: &mut Fields<'_>, entity: &EntityKind) -> Result<Arc<dyn Settings>, RuleError> {
    let travels = [EntityColumn::Principal, EntityColumn::Credential];
    if !entity.columns().iter().any(|column| travels.contains(column)) {
        let expected = "expected an entity with principal or credential: of others nobody is at one place";
        return Err(fields.error_of_all(format!("{expected}; the entity is {entity}")));
    }
    let speed_kmh = read::number_or(fields, "speed_kmh", 10.0, 100_000.0, 1000.0)?;
    let distance_km = read::number_or(fields, "distance_km", 100.0, 20_000.0, 500.0)?;
    let sightings = read::whole_number_or(fields, "sightings", 1, 1000, 2)? as u32;
    let named = fields.optional_text("network", "asn, as_org or country")?.unwrap_or("asn");
    let Some(network) = NETWORKS.iter().find(|column| **column == named) else {
        return Err(fields.error("network", format!("expected asn, as_org or country; found `{named}`")));
    };
    let shared_by = read::whole_number_or(fields, "shared_by", 2, 1000, 5)? as u64;
    let learn_us = fields.optional_duration("learn", "0s", "31d")?.unwrap_or(DAY_US);
    let settle_us = fields.optional_duration("settle", "1h", "90d")?.unwrap_or(7 * DAY_US);
    let forget_us = fields.optional_duration("forget", "1d", "365d")?.unwrap_or(90 * DAY_US);
    if forget_us <= learn_us.max(settle_us) {
        let message = "expected longer than `learn` and `settle`: what is learned would be forgotten at once";
        return Err(fields.error("forget", message));
    }
    let reach = Reach { speed_kmh, distance_km, sightings };
    Ok(Arc::new(Travel { reach, network, shared_by, times: Times { learn_us, settle_us, forget_us } }))
}

impl Settings for Travel {
    fn window_us(&self) -> i64 {
        self.reach.horizon_us()
    }
    /// A hop is told once, however short the quiet is.
    fn quiet_least_us(&self) -> i64 {
        1_000_000
    }
    fn needs(&self) -> Vec<&str> {
        vec!["lat", "lon", self.network]
    }
    fn found_name(&self) -> &'static str {
        "places"
    }
    fn start(&self, start: Start<'_>) -> Box<dyn Detector> {
        start.plan.locations();
        let method = Travels {
            reach: self.reach,
            times: self.times,
            shared_by: self.shared_by,
            network: start.plan.values(&[self.network]),
            principal: start.plan.kind(&EntityKind(vec![EntityColumn::Principal])),
            people: Keyed::new(start.limits.entities_per_detector),
            exits: Exits::default(),
        };
        start.drive(method)
    }
}

/// What one row contributes.
#[derive(Clone, Copy, Debug)]
struct Seen {
    location: Location,
    network: u32,
    /// Who it is, and who they were under the token key before; 0 where no principal is known.
    person: EntityKey,
    earlier: EntityKey,
}

struct Travels {
    reach: Reach,
    times: Times,
    shared_by: u64,
    /// Where the plan put the networks, and the principals.
    network: usize,
    principal: usize,
    people: Keyed<Person>,
    exits: Exits,
}

impl Travels {
    /// The person a row is of.
    fn person(&mut self, seen: Seen, row: &Row<'_, '_>) -> &mut Slot<Person> {
        let mut hit = row.hit;
        if seen.person != 0 {
            (hit.key, hit.earlier) = (seen.person, seen.earlier);
        }
        if self.people.is_full_for(Spot::UNKNOWN, &hit) {
            self.people.make_room(|person| person.worth(hit.place));
        }
        self.people.enter_at(Spot::UNKNOWN, hit, || Person::new(hit.place))
    }

    /// Notes where a person is, judges the hop there, and says whether it is to be told.
    fn judge(&mut self, seen: Seen, found: Option<&Found<'_>>, is_open: bool, row: &Row<'_, '_>) -> bool {
        let (place, times, shared_by) = (row.hit.place, self.times, self.shared_by);
        let slot = self.person(seen, row);
        // The key of the slot stays when that of the token rotates.
        let (key, person) = (slot.key, &mut slot.state);
        let is_first_today = person.note(seen.network, place, &times);
        let Some(found) = found else {
            if is_first_today {
                self.exits.see(seen.network, key, place);
            }
            return false;
        };
        let networks = [found.from.network, found.to.network];
        let owns = networks.iter().all(|network| person.owns(*network, place, &times, is_open));
        let is_excused = owns || !person.is_known(place, &times);
        let later = person.later_of(networks);
        if is_first_today {
            self.exits.see(seen.network, key, place);
        }
        let is_shared = networks.iter().any(|network| self.exits.is_shared(*network, place, shared_by));
        if found.is_confirmed {
            self.exits.hop(later, key, place);
        }
        !is_excused && !is_shared
    }
}

/// Country and number of the network of an event.
fn about(event: EventRow<'_>) -> ([u8; 2], u32) {
    let country = event.text(POSITIONS.country).and_then(|country| country.as_bytes().try_into().ok());
    let asn = event.number(position("asn")).and_then(|asn| u32::try_from(asn).ok());
    (country.unwrap_or_default(), asn.unwrap_or_default())
}

/// A hop as the evidence shows it.
fn shown(found: &Found<'_>) -> String {
    let hundredths = |degrees: f32| (f64::from(degrees) * 100.0).round() / 100.0;
    let site = |site: &Site, time: i64| {
        let country = std::str::from_utf8(&site.country).ok().filter(|country| !country.starts_with('\0'));
        let asn = Some(site.asn).filter(|asn| *asn > 0);
        let (lat, lon) = (hundredths(site.location.lat), hundredths(site.location.lon));
        json!({ "time": rfc3339(time), "lat": lat, "lon": lon, "country": country, "asn": asn })
    };
    let hop = &found.hop;
    let seconds = (hop.came - hop.left) / 1_000_000;
    let places: Value = json!({
        "from": site(found.from, hop.left), "to": site(found.to, hop.came), "km": hop.km, "seconds": seconds,
    });
    places.to_string()
}

fn finding(found: &Found<'_>, time: i64) -> Finding {
    let hop = &found.hop;
    Finding {
        observed: hop.km,
        expected: None,
        threshold: hop.limit_km,
        score: hop.score(),
        start: hop.left,
        end: time,
        error: None,
        baseline: Some(shown(found)),
    }
}

impl Method for Travels {
    type State = Trail;
    type Item = Seen;
    type Late = ();
    const LISTS: bool = false;
    const KEEPS_LATE: bool = false;

    fn sweep_us(&self) -> i64 {
        SWEEP_US
    }

    #[inline]
    fn item(&self, columns: &Columns, row: usize) -> Option<Seen> {
        let location = columns.locations[row];
        let (network, _) = columns.value(self.network, row)?;
        let person = columns.keys[self.principal][row];
        let earlier = columns.earlier_keys[self.principal].as_ref().map_or(0, |keys| keys[row]);
        location.is_known().then_some(Seen { location, network, person, earlier })
    }

    fn begin(&self, _: &Row<'_, '_>) -> Trail {
        Trail::default()
    }

    fn on_row(&mut self, seen: Seen, slot: &mut Slot<Trail>, row: &mut Row<'_, '_>) -> Counted {
        let (time, is_open) = (row.hit.time, slot.is_open());
        if time < slot.state.newest() {
            return Counted::TooLate;
        }
        let sighting = Sighting { location: seen.location, network: seen.network, time };
        slot.state.visit(sighting, &self.reach, || about(row.event()));
        let found = slot.state.found(&self.reach);
        let is_told = self.judge(seen, found.as_ref(), is_open, row);
        let confirmed = found.filter(|found| found.is_confirmed);
        let breach = confirmed
            .as_ref()
            .filter(|_| is_told)
            .map(|found| (finding(found, time), u64::from(found.events), [found.from.network, found.to.network]));
        if confirmed.is_some() {
            slot.state.take();
        }
        if is_told || slot.suspect.is_some() {
            row.gather(slot, None);
        }
        if let Some((finding, events, networks)) = breach {
            self.person(seen, row).state.tell(networks);
            row.breach(slot, finding, events, true);
        } else if !slot.state.waits() {
            row.clear(slot);
        }
        Counted::Yes
    }

    fn closed(&self, trail: &mut Trail) {
        trail.drop_hops();
    }

    /// Of whom a hop waits is worth most, then who was at most sites.
    fn worth(&self, trail: &mut Trail, _: i64) -> u64 {
        u64::from(trail.waits()) << 8 | trail.sites() as u64
    }

    fn sweep(&mut self, slot: &mut Slot<Trail>, time: i64) -> Fate {
        if slot.is_open() {
            return Fate::Stays;
        }
        slot.state.forget(time, &self.reach);
        match slot.state.sites() {
            0 => Fate::Goes,
            _ if slot.state.waits() => Fate::Stays,
            _ => Fate::Harmless,
        }
    }

    fn sweep_own(&mut self, time: i64) -> bool {
        let times = self.times;
        self.people.sweep(|slot| if slot.state.forget(time, &times) { Keep::Yes } else { Keep::No });
        let is_left = self.exits.forget(time);
        !is_left && self.people.is_empty()
    }

    fn evicted(&self) -> u64 {
        self.people.evicted + self.exits.evicted
    }

    fn save_own(&self, out: &mut Vec<u8>) -> Result<(), BinaryError> {
        binary::write(out, &self.exits)?;
        self.people.save(out)
    }

    fn load_own(&mut self, bytes: &mut &[u8]) -> Result<(), BinaryError> {
        self.exits = binary::take(bytes)?;
        let people: SavedSlots<Person> = binary::take(bytes)?;
        self.people.load(people);
        Ok(())
    }
}
