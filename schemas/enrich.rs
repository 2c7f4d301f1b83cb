//! Where a client is and whose network it uses: `country`, `asn`, `as_org`, `lat`, `lon` from databases in the MaxMind DB
//! (MMDB) format. Understood are the names of MaxMind's City, Country, Enterprise and ASN databases, which others use as
//! well, and the flat ones of DB-IP and IPinfo (`country_code`, `asn` as `AS64496`, `as_name`, `lat`, `lng`).
//!
//! What the record itself says stands: the edge that wrote it knows its client. A database fills what the record leaves
//! out, and only where the two agree: no organisation beside another number, no coordinates in another country. Of
//! several databases the first that has a value wins. Private addresses are looked up like others: organisations keep
//! databases of their own networks.
//!
//! Promises: an address is looked up once while it is remembered; the memory is bounded, and no event costs an
//! allocation in steady state. A value of a form that cannot be is none.
//! Never: reads a file; its bytes are handed in.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bumpalo::Bump;
use maxminddb::{PathElement, Reader};
use serde::Deserialize;

use crate::builder::EventRow;
use crate::hash;
use crate::identity::short;
use crate::limits::LOCATED_MAX;

/// Databases, in order of precedence.
pub struct Geo {
    databases: Vec<Reader<Vec<u8>>>,
}

/// Why the bytes of a file are no database to look addresses up in. `file` counts from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeoError {
    #[error("expected a MaxMind DB (MMDB) file: {problem}")]
    Format { file: usize, problem: String },
    #[error("a database of the type {kind:?} with none of: country, autonomous system, coordinates")]
    Nothing { file: usize, kind: String },
}

impl GeoError {
    /// Which of the files it is, from 0.
    pub fn file(&self) -> usize {
        match self {
            GeoError::Format { file, .. } | GeoError::Nothing { file, .. } => *file,
        }
    }
}

/// Networks that are looked at to see whether a database has anything to say.
const TRIED_MAX: usize = 1000;

impl Geo {
    /// From the bytes of one file each.
    pub fn new(files: Vec<Vec<u8>>) -> Result<Geo, GeoError> {
        let databases = files.into_iter().enumerate().map(|(file, bytes)| open(file, bytes));
        Ok(Geo { databases: databases.collect::<Result<_, _>>()? })
    }

    fn locate(&self, address: IpAddr, found: &mut Located) {
        found.forget();
        for database in &self.databases {
            // An address of a family that the database does not have is an error to the library.
            if let Ok(record) = database.lookup(address) {
                found.take(&Record(record));
            }
        }
    }
}

impl fmt::Debug for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.databases.iter().map(|database| &database.metadata().database_type)).finish()
    }
}

fn open(file: usize, bytes: Vec<u8>) -> Result<Reader<Vec<u8>>, GeoError> {
    let format = |error: maxminddb::MaxMindDbError| GeoError::Format { file, problem: error.to_string() };
    let database = Reader::from_source(bytes).map_err(format)?;
    let mut says_something = false;
    for record in database.networks(Default::default()).map_err(format)?.take(TRIED_MAX) {
        let mut found = Located::default();
        found.take(&Record(record.map_err(format)?));
        if found != Located::default() {
            says_something = true;
            break;
        }
    }
    let kind = || database.metadata().database_type.to_string();
    if says_something { Ok(database) } else { Err(GeoError::Nothing { file, kind: kind() }) }
}

/// What is known of an address.
#[derive(Debug, Default, PartialEq)]
struct Located {
    country: Option<[u8; 2]>,
    asn: Option<i64>,
    /// Empty when unknown.
    as_org: String,
    coordinates: Option<(f32, f32)>,
}

impl Located {
    fn forget(&mut self) {
        self.as_org.clear();
        *self = Located { as_org: std::mem::take(&mut self.as_org), ..Located::default() };
    }

    /// Fills what is not known yet.
    fn take(&mut self, record: &Record<'_>) {
        self.country = self.country.or_else(|| record.country());
        self.coordinates = self.coordinates.or_else(|| record.coordinates());
        if self.asn.is_none() {
            self.asn = record.asn();
            if let Some(name) = self.asn.and_then(|_| record.organisation()) {
                self.as_org.push_str(short(name));
            }
        }
    }

    fn country(&self) -> Option<&str> {
        self.country.as_ref().map(|letters| std::str::from_utf8(letters).expect("two ASCII letters"))
    }
}

/// One record of a database.
struct Record<'d>(maxminddb::LookupResult<'d, Vec<u8>>);

impl<'d> Record<'d> {
    fn get<T: Deserialize<'d>>(&self, path: &[&'static str]) -> Option<T> {
        let mut elements = [PathElement::Key(""), PathElement::Key("")];
        for (element, name) in elements.iter_mut().zip(path) {
            *element = PathElement::Key(name);
        }
        self.0.decode_path::<T>(&elements[..path.len()]).ok().flatten()
    }

    fn country(&self) -> Option<[u8; 2]> {
        let paths: [&[&'static str]; 5] = [
            &["country", "iso_code"],
            &["country_code"],
            &["country"],
            &["countryCode"],
            &["registered_country", "iso_code"],
        ];
        paths.iter().find_map(|path| letters(self.get::<&str>(path)?))
    }

    fn asn(&self) -> Option<i64> {
        let paths: [&[&'static str]; 4] =
            [&["autonomous_system_number"], &["traits", "autonomous_system_number"], &["asn"], &["as_number"]];
        let number = paths.iter().find_map(|path| {
            let text = || {
                let text = self.get::<&str>(path)?;
                text.trim_start_matches(['A', 'S', 'a', 's']).parse::<u32>().ok()
            };
            self.get::<u32>(path).or_else(text)
        });
        number.filter(|number| *number > 0).map(i64::from)
    }

    fn organisation(&self) -> Option<&'d str> {
        let paths: [&[&'static str]; 5] = [
            &["autonomous_system_organization"],
            &["traits", "autonomous_system_organization"],
            &["as_name"],
            &["as_org"],
            &["name"],
        ];
        paths.iter().find_map(|path| self.get::<&str>(path)).filter(|name| !name.is_empty())
    }

    fn coordinates(&self) -> Option<(f32, f32)> {
        let latitude = self.degrees(&[&["location", "latitude"], &["latitude"], &["lat"]], 90.0)?;
        let longitude = self.degrees(&[&["location", "longitude"], &["longitude"], &["lng"], &["lon"]], 180.0)?;
        Some((latitude, longitude))
    }

    fn degrees(&self, paths: &[&[&'static str]], most: f64) -> Option<f32> {
        let number = paths.iter().find_map(|path| {
            let text = || self.get::<&str>(path)?.parse::<f64>().ok();
            self.get::<f64>(path).or_else(text)
        });
        number.filter(|degrees| degrees.abs() <= most).map(|degrees| degrees as f32)
    }
}

/// A code of two letters; a name of a country is none.
fn letters(code: &str) -> Option<[u8; 2]> {
    let code: [u8; 2] = code.as_bytes().try_into().ok()?;
    code.iter().all(u8::is_ascii_alphabetic).then(|| code.map(|b| b.to_ascii_uppercase()))
}

/// Fills rows, and remembers what it looked up: the last address at each of a fixed number of places.
pub(crate) struct Enricher {
    geo: Option<Arc<Geo>>,
    places: Vec<(Option<IpAddr>, Located)>,
    hasher: ahash::RandomState,
}

impl Enricher {
    pub(crate) fn new() -> Enricher {
        Enricher { geo: None, places: Vec::new(), hasher: hash::state() }
    }

    /// Looks up in these databases from now on; what was remembered of others is forgotten.
    pub(crate) fn set(&mut self, geo: Option<Arc<Geo>>) {
        self.places.clear();
        if geo.is_some() {
            self.places.resize_with(LOCATED_MAX, Default::default);
        }
        self.geo = geo;
    }

    /// Fills what the record left out about its client.
    pub(crate) fn fill<'d>(&mut self, row: &mut EventRow<'d>, address: IpAddr, arena: &'d Bump) {
        let Some(geo) = &self.geo else { return };
        let place = self.hasher.hash_one(address) as usize % self.places.len();
        let (known, located) = &mut self.places[place];
        if *known != Some(address) {
            geo.locate(address, located);
            *known = Some(address);
        }
        located.fill(row, arena);
    }
}

impl Located {
    fn fill<'d>(&self, row: &mut EventRow<'d>, arena: &'d Bump) {
        let country = self.country().map(|country| &*arena.alloc_str(country));
        if (row.country.is_none() || row.country == country)
            && let Some((latitude, longitude)) = self.coordinates
        {
            (row.lat, row.lon) = (Some(latitude), Some(longitude));
        }
        row.country = row.country.or(country);
        if row.as_org.is_none() && (row.asn.is_none() || row.asn == self.asn) {
            row.asn = row.asn.or(self.asn);
            row.as_org = Some(&self.as_org).filter(|name| !name.is_empty()).map(|name| &*arena.alloc_str(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CITY: &[u8] = include_bytes!("tests/data/geo/city.mmdb");
    const ASN: &[u8] = include_bytes!("tests/data/geo/asn.mmdb");
    const FLAT: &[u8] = include_bytes!("tests/data/geo/flat.mmdb");
    const OTHER: &[u8] = include_bytes!("tests/data/geo/other.mmdb");

    fn geo(files: &[&[u8]]) -> Arc<Geo> {
        Arc::new(Geo::new(files.iter().map(|bytes| bytes.to_vec()).collect()).expect("databases"))
    }

    /// Country, number, organisation, coordinates.
    type Values<'a> = (Option<&'a str>, Option<i64>, Option<&'a str>, Option<(f32, f32)>);

    /// What a row has of an address, given what the record says.
    #[track_caller]
    fn check(files: &[&[u8]], address: &str, told: EventRow<'_>, expected: Values<'_>) {
        let mut enricher = Enricher::new();
        enricher.set(Some(geo(files)));
        // Twice: looked up, and remembered.
        let arena = Bump::new();
        for _ in 0..2 {
            let mut row = told;
            enricher.fill(&mut row, address.parse().expect("an address"), &arena);
            assert_eq!((row.country, row.asn, row.as_org, row.lat.zip(row.lon)), expected, "{address}");
        }
    }

    #[test]
    fn databases_of_several_makers() {
        let silent = EventRow::default();
        let (lower, upper) = (Some((52.5, 13.25)), Some((-33.5, 151.25)));
        check(&[CITY, ASN], "192.0.2.7", silent, (Some("DE"), Some(64496), Some("Example Carrier"), lower));
        check(&[CITY, ASN], "2001:db8:7::9", silent, (Some("AU"), Some(64497), Some("Example Hosting"), upper));
        check(&[CITY], "198.51.100.1", silent, (Some("FR"), None, None, None));
        check(&[ASN], "192.0.2.7", silent, (None, Some(64496), Some("Example Carrier"), None));
        check(&[FLAT], "192.0.2.7", silent, (Some("NL"), Some(64500), Some("Flat Networks"), Some((51.5, 4.5))));
        check(&[FLAT], "10.1.2.3", silent, (Some("CH"), None, None, None));
        check(&[CITY, FLAT], "192.0.2.7", silent, (Some("DE"), Some(64500), Some("Flat Networks"), lower));
        check(&[CITY, ASN, FLAT], "203.0.113.1", silent, (None, None, None, None));
    }

    #[test]
    fn what_the_record_says_stands() {
        let row = EventRow { country: Some("FR"), asn: Some(64511), ..EventRow::default() };
        check(&[CITY, ASN], "192.0.2.7", row, (Some("FR"), Some(64511), None, None));
        let row = EventRow { country: Some("DE"), asn: Some(64496), ..EventRow::default() };
        check(&[CITY, ASN], "192.0.2.7", row, (Some("DE"), Some(64496), Some("Example Carrier"), Some((52.5, 13.25))));
        let row = EventRow { as_org: Some("Told"), ..EventRow::default() };
        check(&[ASN], "192.0.2.7", row, (None, None, Some("Told"), None));
    }

    #[test]
    fn no_databases_fill_nothing_and_new_ones_are_looked_up_anew() {
        let mut enricher = Enricher::new();
        let address = "192.0.2.7".parse().expect("an address");
        let country = |enricher: &mut Enricher| {
            let (mut row, arena) = (EventRow::default(), Bump::new());
            enricher.fill(&mut row, address, &arena);
            row.country.map(str::to_owned)
        };
        assert_eq!(country(&mut enricher), None);
        enricher.set(Some(geo(&[CITY])));
        assert_eq!(country(&mut enricher).as_deref(), Some("DE"));
        enricher.set(Some(geo(&[FLAT])));
        assert_eq!(country(&mut enricher).as_deref(), Some("NL"));
        enricher.set(None);
        assert_eq!(country(&mut enricher), None);
    }

    #[test]
    fn what_is_no_database_is_told_by_its_place() {
        let error = |files: Vec<Vec<u8>>| Geo::new(files).expect_err("not a database");
        let cut = CITY[..CITY.len() / 2].to_vec();
        for bad in [b"city: Berlin".to_vec(), Vec::new(), cut] {
            let error = error(vec![CITY.to_vec(), bad]);
            assert_eq!(error.file(), 1);
            assert!(error.to_string().starts_with("expected a MaxMind DB (MMDB) file"), "{error}");
        }
        let error = error(vec![OTHER.to_vec()]);
        assert!(error.to_string().contains("\"Example-Other\" with none of: country"), "{error}");
    }

    #[test]
    fn a_damaged_database_never_panics() {
        for at in 0..CITY.len() {
            let mut bytes = CITY.to_vec();
            bytes[at] ^= 0xff;
            let Ok(geo) = Geo::new(vec![bytes]) else { continue };
            for address in ["192.0.2.7", "2001:db8:7::9", "198.51.100.1"] {
                geo.locate(address.parse().expect("an address"), &mut Located::default());
            }
        }
    }
}
