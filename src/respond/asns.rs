//! Autonomous systems that are never blocked: whose network an address is in say the databases of `enrich.mmdb`.
//!
//! Promises: a network that holds one address of such a system counts as a whole; a database that was replaced is read again,
//! and one that cannot be read leaves what was known. Nothing is held in memory where no system is listed.
//! Never: believes what a record says about its client's system; the client's gateway may have been told by the client.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use maxminddb::{LookupResult, PathElement, Reader};

use super::config::ConfigError;
use super::ranges::{Stamp, stamp};
use super::scope::Scope;
use crate::limits::GEO_BYTES_MAX;

/// Records of a database that are looked at to see whether it knows of systems.
const TRIED_MAX: usize = 1_000;
/// Records of a network that are looked at; its first address always is.
const RECORDS_MAX: usize = 10_000;
/// Under which names databases tell the number.
const NAMES: [&[&str]; 4] =
    [&["autonomous_system_number"], &["traits", "autonomous_system_number"], &["asn"], &["as_number"]];
const AT: &str = "guard.never_asns";

type Database = Reader<Vec<u8>>;

#[derive(Default)]
pub struct Asns {
    never: Vec<u32>,
    files: Vec<PathBuf>,
    read: Mutex<Read>,
}

impl std::fmt::Debug for Asns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asns").field("never", &self.never).field("files", &self.files).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Read {
    stamps: Vec<Option<Stamp>>,
    databases: Vec<Database>,
}

impl Asns {
    pub fn new(never: &[u32], files: &[PathBuf]) -> Result<Asns, ConfigError> {
        if never.is_empty() {
            return Ok(Asns::default());
        }
        // Before they are read: what is replaced meanwhile is read again.
        let stamps = files.iter().map(|file| stamp(file)).collect();
        let databases = open(files).map_err(|problem| ConfigError::new(AT, problem))?;
        let read = Mutex::new(Read { stamps, databases });
        Ok(Asns { never: never.to_vec(), files: files.to_vec(), read })
    }

    /// Reads again what was replaced; true when that changed anything.
    pub fn refresh(&self) -> bool {
        let mut read = self.locked();
        let now: Vec<Option<Stamp>> = self.files.iter().map(|file| stamp(file)).collect();
        if self.never.is_empty() || now == read.stamps {
            return false;
        }
        read.stamps = now;
        match open(&self.files) {
            Ok(databases) => {
                read.databases = databases;
                true
            }
            Err(problem) => {
                tracing::warn!(problem, "databases of addresses for {AT}; what was known stays");
                false
            }
        }
    }

    /// A system of the list that has an address in common with this.
    pub fn hit(&self, scope: &Scope) -> Option<u32> {
        let read = self.locked();
        let listed = |record: LookupResult<'_, Vec<u8>>| number(&record).filter(|asn| self.never.contains(asn));
        read.databases.iter().find_map(|database| {
            let first = || database.lookup(scope.net().addr()).ok().and_then(listed);
            let inside = || {
                let records =
                    scope.cidr().parse().ok().and_then(|net| database.within(net, Default::default()).ok())?;
                records.take(RECORDS_MAX).filter_map(Result::ok).find_map(listed)
            };
            first().or_else(|| if scope.is_address() { None } else { inside() })
        })
    }

    fn locked(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number(record: &LookupResult<'_, Vec<u8>>) -> Option<u32> {
    let number = NAMES.iter().find_map(|path| {
        let path: Vec<PathElement<'_>> = path.iter().map(|name| PathElement::Key(name)).collect();
        let text = || {
            let text = record.decode_path::<&str>(&path).ok().flatten()?;
            text.trim_start_matches(['A', 'S', 'a', 's']).parse::<u32>().ok()
        };
        record.decode_path::<u32>(&path).ok().flatten().or_else(text)
    });
    number.filter(|number| *number > 0)
}

fn open(files: &[PathBuf]) -> Result<Vec<Database>, String> {
    let databases = files.iter().map(|file| open_one(file)).collect::<Result<Vec<_>, _>>()?;
    let knows = |database: &Database| {
        let records = database.networks(Default::default()).into_iter().flatten();
        records.take(TRIED_MAX).filter_map(Result::ok).any(|record| number(&record).is_some())
    };
    match databases.iter().any(knows) {
        true => Ok(databases),
        false => Err("no database of enrich.mmdb says whose network an address is in; expected one with autonomous \
                      systems, such as GeoLite2-ASN.mmdb"
            .to_owned()),
    }
}

fn open_one(file: &Path) -> Result<Database, String> {
    let problem = |problem: String| format!("{}: {problem}", file.display());
    let length = fs::metadata(file).map_err(|error| problem(error.to_string()))?.len();
    if length > GEO_BYTES_MAX {
        return Err(problem(format!("{length} bytes; expected at most {GEO_BYTES_MAX}")));
    }
    let bytes = fs::read(file).map_err(|error| problem(error.to_string()))?;
    Reader::from_source(bytes).map_err(|error| problem(format!("expected a MaxMind DB (MMDB) file: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/tests/data/geo").join(name)
    }

    #[test]
    fn an_address_and_a_network_are_found_by_their_system() {
        let asns = Asns::new(&[64_497], &[data("city.mmdb"), data("asn.mmdb")]).expect("two databases");
        let hit = |text: &str| asns.hit(&Scope::parse(text).expect(text));
        for inside in ["2001:db8::7", "2001:db8:5::/64", "2001:db8:5::/48", "2001::/16"] {
            assert_eq!(hit(inside), Some(64_497), "{inside}");
        }
        for outside in ["198.18.0.1", "2001:4:112::/48"] {
            assert_eq!(hit(outside), None, "{outside}");
        }
        let other = Asns::new(&[64_511], &[data("asn.mmdb")]).expect("a database");
        assert_eq!(other.hit(&Scope::parse("2001:db8::7").expect("an address")), None);
    }

    #[test]
    fn a_list_without_a_database_that_knows_is_refused() {
        for (file, expected) in [("city.mmdb", "GeoLite2-ASN.mmdb"), ("make.py", "expected a MaxMind DB")] {
            let error = Asns::new(&[64_497], &[data(file)]).expect_err(file);
            assert_eq!(error.at, AT);
            assert!(error.problem.contains(expected), "{}", error.problem);
        }
        assert!(Asns::new(&[], &[]).is_ok(), "no list needs none");
    }
}
