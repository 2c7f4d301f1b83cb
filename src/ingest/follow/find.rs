//! Finds the files that the patterns of a source match, each once, and the folders in which more could appear.
//!
//! Never: opens anything that is no plain file; waits for a FIFO.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::identity::FileId;
use crate::ingest::IngestError;

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
            let failed = |message: String| IngestError::File { path: path.display().to_string(), message };
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
        let matches = |text: &String| Pattern::new(text).is_ok_and(|p| p.matches_path_with(path, LIKE_A_SHELL));
        self.0.iter().any(matches)
    }

    /// The files there are now, older ones first, and what cannot be followed.
    pub fn find(&self) -> (Vec<Found>, Vec<(PathBuf, String)>) {
        let (mut found, mut refused): (Vec<Found>, Vec<_>) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for (pattern, text) in self.0.iter().enumerate() {
            let Ok(paths) = glob::glob_with(text, LIKE_A_SHELL) else { continue };
            for path in paths.filter_map(Result::ok) {
                let meta = match fs::metadata(&path) {
                    Ok(meta) => meta,
                    // Gone between two looks, or a link to nothing.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => {
                        refused.push((path, error.to_string()));
                        continue;
                    }
                };
                if let Some(why) = not_a_file(&meta.file_type()) {
                    refused.push((path, why.to_owned()));
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
        (found, refused)
    }

    /// The folders in which files and folders of the patterns are or may appear.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for text in &self.0 {
            let path = Path::new(text);
            let parts: Vec<Component> = path.components().collect();
            let is_wild = |part: &Component| part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
            let wild = parts.iter().position(is_wild).unwrap_or(parts.len() - 1).min(parts.len() - 1);
            let base: PathBuf = parts[..wild].iter().collect();
            match base.ancestors().find(|folder| folder.is_dir()) {
                Some(folder) if folder == base => {}
                Some(folder) => {
                    folders.insert(folder.to_owned());
                    continue;
                }
                None => continue,
            }
            folders.insert(base);
            for depth in wild + 1..parts.len() {
                let level: PathBuf = parts[..depth].iter().collect();
                let Some(level) = level.to_str() else { continue };
                let Ok(paths) = glob::glob_with(level, LIKE_A_SHELL) else { continue };
                folders.extend(paths.filter_map(Result::ok).filter(|path| path.is_dir()));
            }
        }
        folders
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
        let (found, refused) = patterns.find();
        let mut names: Vec<_> = found.iter().map(|f| f.path.file_name().expect("named").to_owned()).collect();
        names.sort();
        assert_eq!(names, ["a.log", "b.log"]);
        let mut refused: Vec<_> = refused.into_iter().map(|(_, why)| why).collect();
        refused.sort();
        assert!(refused[0].starts_with("this is a directory") && refused[1].starts_with("this is a socket"));
        assert!(patterns.match_path(&at("new.log")) && !patterns.match_path(&at("new.txt")));
    }

    #[test]
    fn folders_that_do_not_exist_yet_are_waited_for_where_they_would_appear() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = folder.path().to_owned();
        let patterns = Patterns::new(&[base.join("pods/*/app/*.log")]).expect("a pattern");
        assert_eq!(patterns.folders(), BTreeSet::from([base.clone()]));
        fs::create_dir_all(base.join("pods/one/app")).expect("made");
        let expected = ["pods", "pods/one", "pods/one/app"].map(|name| base.join(name));
        assert_eq!(patterns.folders(), BTreeSet::from(expected));
    }

    #[test]
    fn a_pattern_that_is_none_is_an_error() {
        let error = Patterns::new(&["/var/log/a**b.log".into()]).expect_err("no pattern").to_string();
        assert!(error.contains("is no pattern"), "{error}");
    }
}
