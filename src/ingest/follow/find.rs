//! Finds the files that the patterns of a source match, each once, and the folders in which more could appear.
//!
//! Never: opens anything that is no plain file; waits for a FIFO.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::identity::FileId;
use crate::ingest::IngestError;
use crate::ingest::shown::shown;

/// Links that lead to each other; the system follows no more.
const LINKS_MAX: usize = 40;

/// A file that a pattern matches.
#[derive(Clone, Debug)]
pub struct Found {
    pub path: PathBuf,
    /// The same with its links followed.
    pub real: PathBuf,
    pub pattern: usize,
    pub id: FileId,
    pub size: u64,
    /// When it was last written, in nanoseconds.
    pub written: i64,
}

/// A path that a pattern leads to and that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub path: PathBuf,
    pub why: String,
    /// It may well be a log file or hold some; somebody has to let us read it.
    pub is_error: bool,
}

impl Refused {
    fn unreadable(path: &Path, error: &io::Error) -> Refused {
        Refused { path: path.to_owned(), why: in_words(error), is_error: true }
    }
}

/// What the patterns lead to.
#[derive(Default)]
pub struct Look {
    /// The files there are now, older ones first.
    pub found: Vec<Found>,
    /// What cannot be followed or looked into.
    pub refused: Vec<Refused>,
    /// The folders in which files and folders of the patterns are or may appear, also where links lead.
    pub folders: BTreeSet<PathBuf>,
}

/// As a shell matches: `*` stays within a folder, and a dot at the beginning is written out.
const LIKE_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// What files to follow.
#[derive(Clone, Debug)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Relative ones are relative to the working directory.
    pub fn new(patterns: &[PathBuf]) -> Result<Patterns, IngestError> {
        let one = |path: &PathBuf| {
            let failed = |message: String| IngestError::File { path: shown(path).to_string(), message };
            let text = path.to_str().ok_or_else(|| failed("expected a path in UTF-8".into()))?;
            let whole = std::path::absolute(text).map_err(|error| failed(error.to_string()))?;
            let whole = whole.to_string_lossy().into_owned();
            Pattern::new(&whole).map_err(|error| failed(format!("is no pattern: {}", error.msg)))?;
            Ok(whole)
        };
        patterns.iter().map(one).collect::<Result<_, _>>().map(Patterns)
    }

    pub fn texts(&self) -> &[String] {
        &self.0
    }

    /// Refuses what is named without a wildcard, is there, and is no file.
    pub fn check(&self) -> Result<(), IngestError> {
        for text in self.0.iter().filter(|text| !text.contains(['*', '?', '['])) {
            if let Some(why) = fs::metadata(text).ok().and_then(|meta| not_a_file(&meta.file_type())) {
                return Err(IngestError::File { path: text.clone(), message: why.to_owned() });
            }
        }
        Ok(())
    }

    /// Whether a file of this path would be followed.
    pub fn match_path(&self, path: &Path) -> bool {
        let name = path.to_string_lossy();
        let matches = |text: &String| Pattern::new(text).is_ok_and(|p| p.matches_with(&name, LIKE_A_SHELL));
        self.0.iter().any(matches)
    }

    /// Looks for them.
    pub fn look(&self) -> Look {
        let Look { mut found, mut refused, mut folders } = Look::default();
        let mut seen = BTreeSet::new();
        for (pattern, text) in self.0.iter().enumerate() {
            let walked = walk(text);
            refused.extend(walked.refused);
            folders.extend(walked.folders);
            for path in walked.matched {
                follow_links(&path, &mut folders);
                let meta = match fs::metadata(&path) {
                    Ok(meta) => meta,
                    // Gone between two looks, or a link to nothing.
                    Err(error) if is_nothing(&error) => continue,
                    Err(error) => {
                        refused.push(Refused::unreadable(&path, &error));
                        continue;
                    }
                };
                if let Some(why) = not_a_file(&meta.file_type()) {
                    refused.push(Refused { path, why: why.to_owned(), is_error: false });
                    continue;
                }
                if seen.insert(FileId::of(&meta)) {
                    let written = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
                    let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
                    found.push(Found { path, real, pattern, id: FileId::of(&meta), size: meta.len(), written });
                }
            }
        }
        found.sort_by(|a, b| (a.written, &a.path).cmp(&(b.written, &b.path)));
        Look { found, refused, folders }
    }
}

/// The folders to which the links of a path lead, step by step, also where the last one leads to nothing: a file that was
/// rotated away comes back there. The nearest one that is there.
fn follow_links(path: &Path, folders: &mut BTreeSet<PathBuf>) {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let (Ok(target), Some(folder)) = (fs::read_link(&path), path.parent()) else { return };
        path = folder.join(target);
        let there = path.ancestors().skip(1).find_map(|folder| fs::canonicalize(folder).ok());
        folders.extend(there.filter(|folder| folder.is_dir()));
    }
}

/// What one pattern leads to.
#[derive(Default)]
struct Walked {
    matched: Vec<PathBuf>,
    /// In which the pattern was looked for: from the first one with a wildcard in it on, or the nearest one that is there.
    folders: Vec<PathBuf>,
    /// What may not be looked into.
    refused: Vec<Refused>,
}

/// Goes down the folders part by part of the pattern. Names need not be UTF-8: what is not counts as one odd character.
fn walk(pattern: &str) -> Walked {
    let parts: Vec<Component> = Path::new(pattern).components().collect();
    let last = parts.len() - 1;
    let wild = parts.iter().position(|part| is_wild(part.as_os_str())).unwrap_or(last).min(last);
    let base: PathBuf = parts[..wild].iter().collect();
    let mut walked = Walked::default();
    if !base.is_dir() {
        walked.folders.extend(base.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned));
    }
    let mut level = vec![base];
    for part in &parts[wild..] {
        let name = part.as_os_str();
        if name == "**" {
            level = level.into_iter().flat_map(|folder| all_below(folder, &mut walked.refused)).collect();
        }
        walked.folders.extend(level.iter().filter(|folder| folder.is_dir()).cloned());
        if name == "**" {
            continue;
        }
        if !is_wild(name) {
            level.iter_mut().for_each(|folder| folder.push(name));
            continue;
        }
        let Ok(matches) = Pattern::new(&name.to_string_lossy()) else { return walked };
        let mut next = Vec::new();
        for folder in &level {
            let names = names_in(folder, &mut walked.refused);
            let fitting = names.into_iter().filter(|name| matches.matches_with(&name.to_string_lossy(), LIKE_A_SHELL));
            next.extend(fitting.map(|name| folder.join(name)));
        }
        level = next;
    }
    walked.matched = level;
    walked
}

fn is_wild(part: &OsStr) -> bool {
    part.to_string_lossy().contains(['*', '?', '['])
}

/// The folder and all that lie below it, but for hidden ones and those to which only links lead.
fn all_below(folder: PathBuf, refused: &mut Vec<Refused>) -> Vec<PathBuf> {
    let mut all = vec![folder];
    let mut next = 0;
    while let Some(folder) = all.get(next).cloned() {
        next += 1;
        let is_shown = |name: &OsString| !name.as_encoded_bytes().starts_with(b".");
        let below = names_in(&folder, refused).into_iter().filter(is_shown).map(|name| folder.join(name));
        all.extend(below.filter(|path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())));
    }
    all
}

/// Sorted. Of what is no folder: none.
fn names_in(folder: &Path, refused: &mut Vec<Refused>) -> Vec<OsString> {
    let read =
        fs::read_dir(folder).and_then(|entries| entries.map(|e| Ok(e?.file_name())).collect::<Result<Vec<_>, _>>());
    let mut names = match read {
        Ok(names) => names,
        Err(error) => {
            if !is_nothing(&error) {
                refused.push(Refused::unreadable(folder, &error));
            }
            return Vec::new();
        }
    };
    names.sort();
    names
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Why a file or folder cannot be read, and what helps.
pub fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "permission denied: this user may not read it; add the user to the group that may".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Why something cannot be read as a log file.
pub fn not_a_file(kind: &fs::FileType) -> Option<&'static str> {
    if kind.is_dir() {
        Some("this is a directory; name the files in it, for example with a pattern of the shell")
    } else if kind.is_fifo() {
        Some("this is a FIFO; expected a file. `gatewatch replay - < FIFO` reads one")
    } else if kind.is_socket() {
        Some("this is a socket; expected a file")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("this is a device; expected a file")
    } else {
        None
    }
}

/// Opens a plain file. A FIFO that took its place is not waited for.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match not_a_file(&file.metadata()?.file_type()) {
        Some(why) => Err(io::Error::new(io::ErrorKind::InvalidInput, why)),
        None => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn files_are_found_once_and_others_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["a.log", "b.log", ".hidden.log"] {
            fs::write(at(name), name).expect("written");
        }
        fs::hard_link(at("a.log"), at("again.log")).expect("linked");
        std::os::unix::fs::symlink(at("b.log"), at("link.log")).expect("linked");
        std::os::unix::fs::symlink(at("nothing"), at("dangling.log")).expect("linked");
        fs::create_dir(at("folder.log")).expect("made");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.log")).expect("bound");
        let patterns = Patterns::new(&[at("*.log"), at("a.log")]).expect("patterns");
        let Look { found, refused, .. } = patterns.look();
        let mut names: Vec<_> = found.iter().map(|f| f.path.file_name().expect("named").to_owned()).collect();
        names.sort();
        assert_eq!(names, ["a.log", "b.log"]);
        let mut refused: Vec<_> = refused.into_iter().map(|refused| refused.why).collect();
        refused.sort();
        assert!(refused[0].starts_with("this is a directory") && refused[1].starts_with("this is a socket"));
        assert!(patterns.match_path(&at("new.log")) && !patterns.match_path(&at("new.txt")));
    }

    #[test]
    fn names_need_not_be_utf_8() {
        let folder = tempfile::tempdir().expect("a folder");
        let odd = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
        fs::create_dir_all(odd(b"\xff/sub")).expect("made");
        for name in [&b"\xff/sub/caf\xe9.log"[..], b"\xff/plain.log", b"caf\xe9.log", b".hid\xe9.log", b"\xff/.hid.log"]
        {
            fs::write(odd(name), name).expect("written");
        }
        let found = |pattern: &str| {
            let patterns = Patterns::new(&[folder.path().join(pattern)]).expect("a pattern");
            let Look { found, refused, folders } = patterns.look();
            assert!(folders.contains(folder.path()));
            assert_eq!(refused, []);
            let mut paths: Vec<_> = found.into_iter().map(|found| found.path).collect();
            assert!(paths.iter().all(|path| patterns.match_path(path)));
            paths.sort();
            paths
        };
        assert_eq!(found("*.log"), [odd(b"caf\xe9.log")]);
        assert_eq!(found("caf?.log"), [odd(b"caf\xe9.log")]);
        assert_eq!(found(".*.log"), [odd(b".hid\xe9.log")]);
        assert_eq!(found("*/*.log"), [odd(b"\xff/plain.log")]);
        let all = [&b"caf\xe9.log"[..], b"\xff/plain.log", b"\xff/sub/caf\xe9.log"].map(odd);
        assert_eq!(found("**/*.log"), all);
    }

    #[test]
    fn folders_that_do_not_exist_yet_are_waited_for_where_they_would_appear() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().to_owned();
        let patterns = Patterns::new(&[base.join("pods/*/app/*.log")]).expect("a pattern");
        assert_eq!(patterns.look().folders, BTreeSet::from([base.clone()]));
        fs::create_dir_all(base.join("pods/one/app")).expect("made");
        let expected = ["pods", "pods/one", "pods/one/app"].map(|name| base.join(name));
        assert_eq!(patterns.look().folders, BTreeSet::from(expected));
    }

    #[test]
    fn the_folders_of_each_step_of_a_link_are_watched_also_when_it_leads_to_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = fs::canonicalize(folder.path()).expect("there");
        for name in ["containers", "pods/one", "real"] {
            fs::create_dir_all(base.join(name)).expect("made");
        }
        std::os::unix::fs::symlink("../pods/one/0.log", base.join("containers/a.log")).expect("linked");
        std::os::unix::fs::symlink(base.join("real/gone/x.log"), base.join("pods/one/0.log")).expect("linked");
        let patterns = Patterns::new(&[base.join("containers/*.log")]).expect("a pattern");
        let look = patterns.look();
        assert!(look.found.is_empty() && look.refused.is_empty());
        assert_eq!(look.folders, BTreeSet::from(["containers", "pods/one", "real"].map(|name| base.join(name))));
    }

    #[test]
    fn a_pattern_that_is_none_is_an_error() {
        let error = Patterns::new(&["/var/log/a**b.log".into()]).expect_err("no pattern").to_string();
        assert!(error.contains("is no pattern"), "{error}");
    }
}
