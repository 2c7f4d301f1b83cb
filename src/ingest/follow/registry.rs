//! Which lane number is which file, on disk, so that a restart knows the files again.
//!
//! Promises: the file is replaced as a whole (written aside, synced, renamed, its folder synced) and is for its owner
//! alone. A number that was given out is never given to another file.
//! Never: holds bytes of a log, only hashes of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

use super::identity::{FileId, Head, Mark};
use crate::ingest::IngestError;
use crate::ingest::shown::shown;

const VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub number: i32,
    pub id: FileId,
    /// Where the file was last seen. A name that is not UTF-8 is kept as well as text can.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    pub head: Head,
    /// The position at which reading began.
    pub begin: i64,
    /// How far it was committed.
    pub committed: Mark,
    /// Size and time of change of a file that was read to its end for good, in bytes and nanoseconds.
    pub done: Option<(u64, i64)>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    version: u32,
    /// The number of the next lane.
    pub next: i32,
    pub lanes: Vec<Entry>,
}

impl Registry {
    /// `None` when there is none yet.
    pub fn load(path: &Path) -> Result<Option<Registry>, IngestError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(path, &error.to_string())),
        };
        let registry: Registry = serde_json::from_slice(&text).map_err(|error| {
            failed(
                path,
                &format!("it is damaged ({error}); when it is removed, the files are read again from their beginning"),
            )
        })?;
        if registry.version != VERSION {
            return Err(failed(path, &format!("version {}; expected {VERSION}", registry.version)));
        }
        Ok(Some(registry))
    }

    pub fn new(next: i32, lanes: Vec<Entry>) -> Registry {
        Registry { version: VERSION, next, lanes }
    }

    pub fn save(&self, path: &Path) -> Result<(), IngestError> {
        let written = serde_json::to_vec(self).map_err(io::Error::from).and_then(|text| write_private(path, &text));
        written.map_err(|error| failed(path, &format!("cannot be written: {error}")))
    }
}

/// Puts a file of ours in the place of the one before, whole or not at all.
pub fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let aside = path.with_extension("json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(folder)?.sync_all()
}

fn as_text<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

fn failed(path: &Path, message: &str) -> IngestError {
    IngestError::File { path: shown(path).to_string(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_saved_is_loaded_and_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("follow/edge.json");
        assert_eq!(Registry::load(&path).expect("none yet"), None);
        let entry = Entry {
            number: 3,
            id: FileId { device: 1, inode: 2 },
            path: "/var/log/a.log".into(),
            head: Head { at: 0, length: 4, hash: "ab".into() },
            begin: 0,
            committed: Mark { next: 5, end: 9, tail: "cd".into() },
            done: Some((9, 77)),
        };
        let registry = Registry::new(4, vec![entry]);
        registry.save(&path).expect("saved");
        registry.save(&path).expect("saved over the one before");
        assert_eq!(Registry::load(&path).expect("readable"), Some(registry));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(folder.path().join("follow")).expect("there").permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_damaged_one_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("edge.json");
        fs::write(&path, "{\"version\":1,").expect("written");
        let error = Registry::load(&path).expect_err("damaged").to_string();
        assert!(error.contains("it is damaged") && error.contains("read again from their beginning"), "{error}");
    }
}
