//! The files that say where a client is (MMDB): read at the start, and again when one was replaced.
//!
//! Promises: whether a file was replaced is asked at most every few seconds, by its place on the disk, size and time of
//! change. Files that turn bad are told of once, and what was read before stays in use.
//! Never: looks an address up; `schemas` does.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use schemas::Geo;

use crate::clock::Clock;
use crate::limits;

/// What changes when a file is written or another takes its name: device, inode, size, seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

pub struct GeoFiles {
    files: Vec<PathBuf>,
    clock: Clock,
    /// `None` for a file that is not there.
    stamps: Vec<Option<Stamp>>,
    asked_us: i64,
    geo: Arc<Geo>,
}

impl GeoFiles {
    /// Reads the files; an error names the one it is about. `None` when there are none.
    pub fn open(files: &[PathBuf], clock: Clock) -> anyhow::Result<Option<GeoFiles>> {
        if files.is_empty() {
            return Ok(None);
        }
        let asked_us = clock();
        // Before they are read: what is written meanwhile is noticed next time.
        let stamps = stamps(files);
        let geo = Arc::new(read(files)?);
        Ok(Some(GeoFiles { files: files.to_vec(), clock, stamps, asked_us, geo }))
    }

    /// What was read last.
    pub fn geo(&self) -> Arc<Geo> {
        self.geo.clone()
    }

    /// The databases anew, when a file was replaced since they were read.
    pub fn replaced(&mut self) -> Option<Arc<Geo>> {
        let now_us = (self.clock)();
        // A clock that was set back is no reason never to ask again.
        if now_us >= self.asked_us && now_us - self.asked_us < limits::GEO_ASKED_EVERY_US {
            return None;
        }
        self.asked_us = now_us;
        let stamps = stamps(&self.files);
        if stamps == self.stamps {
            return None;
        }
        self.stamps = stamps;
        match read(&self.files) {
            Ok(geo) => {
                tracing::info!(files = self.files.len(), "the databases of addresses were read again");
                self.geo = Arc::new(geo);
                Some(self.geo())
            }
            Err(error) => {
                tracing::warn!("databases of addresses: {error:#}; those read before stay in use");
                None
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |file: &PathBuf| {
        let of = fs::metadata(file).ok()?;
        Some((of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}

fn read(files: &[PathBuf]) -> anyhow::Result<Geo> {
    let bytes: Vec<Vec<u8>> = files.iter().map(|file| read_one(file)).collect::<anyhow::Result<_>>()?;
    Geo::new(bytes).map_err(|error| anyhow::anyhow!("{}: {error}", files[error.file()].display()))
}

fn read_one(file: &Path) -> anyhow::Result<Vec<u8>> {
    let name = || format!("{}", file.display());
    let length = fs::metadata(file).with_context(name)?.len();
    if length > limits::GEO_BYTES_MAX {
        bail!("{}: {length} bytes; expected at most {}", file.display(), limits::GEO_BYTES_MAX);
    }
    fs::read(file).with_context(name)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/tests/data/geo").join(name)
    }

    #[test]
    fn a_replaced_file_is_read_and_a_bad_one_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("city.mmdb");
        // As tools do it: written beside it, then renamed, so that each is a file of its own.
        let put = |bytes: &[u8]| {
            let new = folder.path().join("new");
            fs::write(&new, bytes).expect("written");
            fs::rename(&new, &file).expect("renamed");
        };
        let (old, new) = (fs::read(data("city.mmdb")).expect("data"), fs::read(data("city-new.mmdb")).expect("data"));
        put(&old);
        let now = Arc::new(AtomicI64::new(0));
        let clock = now.clone();
        let clock: Clock = Arc::new(move || clock.load(Ordering::Relaxed));
        let mut files = GeoFiles::open(std::slice::from_ref(&file), clock).expect("readable").expect("one");
        let mut after = |us: i64| {
            now.fetch_add(us, Ordering::Relaxed);
            files.replaced().is_some()
        };
        let (soon, later) = (limits::GEO_ASKED_EVERY_US - 1, limits::GEO_ASKED_EVERY_US);
        assert!(!after(later), "nothing happened");
        put(&new);
        assert!(!after(soon), "it is not asked yet");
        assert!(after(1));
        assert!(!after(later), "once");
        put(b"not a database");
        assert!(!after(later));
        put(&old);
        assert!(after(later));
        fs::remove_file(&file).expect("removed");
        assert!(!after(later));
        put(&new);
        assert!(after(later));
    }

    #[test]
    fn an_error_names_the_file() {
        let error = |name: &str| {
            let files = [data("city.mmdb"), data(name)];
            let opened = GeoFiles::open(&files, crate::clock::system());
            format!("{:#}", opened.err().expect("not a database"))
        };
        assert!(error("make.py").contains("make.py: expected a MaxMind DB (MMDB) file"), "{}", error("make.py"));
        assert!(error("other.mmdb").contains("other.mmdb: a database of the type"), "{}", error("other.mmdb"));
        assert!(error("missing.mmdb").contains("missing.mmdb"), "{}", error("missing.mmdb"));
    }
}
