//! Published ranges of those who are never blocked: search engines, monitors, partners, each list in a file.
//!
//! A file is what its publisher publishes: JSON (Google's and Bing's `{"prefixes": [{"ipv4Prefix": ..}]}`, AWS's, GitHub's: every
//! text in it that is an address or network counts), or text with one of them a line and `#` before a comment.
//! Promises: a file that was replaced is read again; one that cannot be read or says nothing leaves what was known of it.
//! Never: fetches a list; takes a network so wide that it would except half the internet.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::config::ConfigError;
use super::scope::Scope;

/// Bytes of a file that is read; the largest of the known lists has two megabytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Ranges of all files together; more is refused.
pub const RANGES_MAX: usize = 100_000;
/// The widest network of a list.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// What tells that a file is another one than before.
pub(super) type Stamp = (u64, u64, u64, i64, i64);

#[derive(Debug)]
struct Published {
    path: PathBuf,
    stamp: Option<Stamp>,
    ranges: Vec<Scope>,
}

/// The ranges of all configured files, as they are now.
#[derive(Debug, Default)]
pub struct Ranges {
    files: Mutex<Vec<Published>>,
}

impl Ranges {
    /// Reads all files; what is wrong with one names its key.
    pub fn new(paths: &[PathBuf]) -> Result<Ranges, ConfigError> {
        let mut files = Vec::with_capacity(paths.len());
        let mut count = 0;
        for (n, path) in paths.iter().enumerate() {
            let at = format!("guard.never_block_files[{n}]");
            let problem = |problem: String| ConfigError::new(&at, format!("{}: {problem}", path.display()));
            // Before it is read: what is replaced meanwhile is read again.
            let stamp = stamp(path);
            let ranges = read(path).map_err(problem)?;
            count += ranges.len();
            if count > RANGES_MAX {
                return Err(problem(format!("more than {RANGES_MAX} ranges in all files")));
            }
            files.push(Published { path: path.clone(), stamp, ranges });
        }
        Ok(Ranges { files: Mutex::new(files) })
    }

    /// Reads again what was replaced; true when that changed anything.
    pub fn refresh(&self) -> bool {
        let mut changed = false;
        let mut files = self.locked();
        for place in 0..files.len() {
            let others: usize = files.iter().map(|file| file.ranges.len()).sum::<usize>() - files[place].ranges.len();
            let file = &mut files[place];
            let now = stamp(&file.path);
            if now == file.stamp {
                continue;
            }
            file.stamp = now;
            let name = file.path.display().to_string();
            match read(&file.path) {
                Ok(ranges) if others + ranges.len() > RANGES_MAX => {
                    tracing::warn!(file = name, "more than {RANGES_MAX} ranges in all files; what was known stays");
                }
                Ok(ranges) => {
                    tracing::info!(file = name, ranges = ranges.len(), "published ranges are read again");
                    changed |= ranges != file.ranges;
                    file.ranges = ranges;
                }
                Err(problem) => tracing::warn!(file = name, problem, "published ranges; what was known stays"),
            }
        }
        changed
    }

    /// The range that has an address in common with this, and the name of its file.
    pub fn hit(&self, scope: &Scope) -> Option<String> {
        let files = self.locked();
        let hit = files.iter().find_map(|file| Some((file.ranges.iter().find(|range| range.overlaps(scope))?, file)));
        hit.map(|(range, file)| {
            let name = file.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            format!("{range} of {name}")
        })
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Published>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let of = fs::metadata(path).ok()?;
    Some((of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec()))
}

fn read(path: &Path) -> Result<Vec<Scope>, String> {
    let text = read_text(path).map_err(|error| error.to_string())?;
    let found = match text.trim_start().starts_with(['{', '[']) {
        true => in_json(&text)?,
        false => in_lines(&text)?,
    };
    if found.is_empty() {
        return Err("no address and no network in it".to_owned());
    }
    if let Some(wide) = found.iter().find(|scope| is_too_wide(scope)) {
        return Err(format!("{wide} is wider than /{WIDEST_V4} (IPv6: /{WIDEST_V6})"));
    }
    Ok(found)
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn is_too_wide(scope: &Scope) -> bool {
    scope.net().prefix_len() < if scope.is_v4() { WIDEST_V4 } else { WIDEST_V6 }
}

fn in_json(text: &str) -> Result<Vec<Scope>, String> {
    let root: Value = serde_json::from_str(text)
        .map_err(|error| format!("no JSON: line {} column {}", error.line(), error.column()))?;
    let (mut found, mut left) = (Vec::new(), vec![&root]);
    while let Some(value) = left.pop() {
        match value {
            Value::Object(fields) => left.extend(fields.values()),
            Value::Array(list) => left.extend(list),
            Value::String(text) => found.extend(Scope::parse(text)),
            _ => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn in_lines(text: &str) -> Result<Vec<Scope>, String> {
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            let scope = Scope::parse(line);
            found.push(scope.ok_or_else(|| format!("line {} is no address or network", n + 1))?);
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).expect(text)
    }

    #[test]
    fn lists_are_read_as_they_are_published_and_again_when_they_are_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let (google, aws, own) =
            (folder.path().join("googlebot.json"), folder.path().join("ip-ranges.json"), folder.path().join("own.txt"));
        let list = r#"{ "creationTime": "2026-03-02T10:00:00.000000",
            "prefixes": [{ "ipv6Prefix": "2001:db8:7::/48" }, { "ipv4Prefix": "203.0.113.0/27" }] }"#;
        fs::write(&google, list).expect("written");
        let list = r#"{ "syncToken": "1772445600", "createDate": "2026-03-02-10-00-00",
            "prefixes": [{ "ip_prefix": "198.51.100.0/28", "region": "eu-central-1" }],
            "ipv6_prefixes": [{ "ipv6_prefix": "2001:db8:9::/56" }] }"#;
        fs::write(&aws, list).expect("written");
        fs::write(&own, "# our monitor\n192.0.2.17\n\n192.0.2.32/30 # and its spare\n").expect("written");
        let ranges = Ranges::new(&[google.clone(), aws, own.clone()]).expect("three lists");
        for (text, hit) in [
            ("203.0.113.7", Some("203.0.113.0/27 of googlebot.json")),
            ("203.0.113.32", None),
            ("2001:db8:7:1::/64", Some("2001:db8:7::/48 of googlebot.json")),
            ("198.51.100.15", Some("198.51.100.0/28 of ip-ranges.json")),
            ("2001:db8:9:ff::1", Some("2001:db8:9::/56 of ip-ranges.json")),
            ("192.0.2.17", Some("192.0.2.17 of own.txt")),
            ("192.0.2.0/24", Some("192.0.2.17 of own.txt")),
            ("192.0.2.18", None),
        ] {
            assert_eq!(ranges.hit(&scope(text)).as_deref(), hit, "{text}");
        }
        assert!(!ranges.refresh(), "nothing was replaced");
        fs::write(&own, "192.0.2.18\n").expect("replaced");
        assert!(ranges.refresh());
        assert_eq!(ranges.hit(&scope("192.0.2.17")), None);
        assert_eq!(ranges.hit(&scope("192.0.2.18")).as_deref(), Some("192.0.2.18 of own.txt"));
        for wrong in ["", "{", "<html>", "0.0.0.0/1\n"] {
            fs::write(&google, wrong).expect("replaced");
            assert!(!ranges.refresh(), "{wrong}");
            assert!(ranges.hit(&scope("203.0.113.7")).is_some(), "what was known stays: {wrong}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        for (text, problem) in [
            ("", "no address and no network in it"),
            ("203.0.113.7\nx\n", "line 2 is no address or network"),
            ("{ \"prefixes\": [] }", "no address and no network in it"),
            ("{ \"prefixes\": ", "no JSON: line 1"),
            ("4.0.0.0/6\n", "4.0.0.0/6 is wider than /8"),
        ] {
            let path = folder.path().join("list");
            fs::write(&path, text).expect("written");
            let error = Ranges::new(&[path]).expect_err(text);
            assert_eq!(error.at, "guard.never_block_files[0]");
            assert!(error.problem.contains(problem), "{text}: {}", error.problem);
        }
        let error = Ranges::new(&[folder.path().join("nowhere")]).expect_err("no file");
        assert!(error.problem.contains("No such file"), "{}", error.problem);
    }
}
