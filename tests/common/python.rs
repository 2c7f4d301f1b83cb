//! The Python environment that `scripts/python-programs.sh` makes, outside the tree.

use std::path::PathBuf;

/// A program of the environment, or a panic that says how to make it.
#[allow(clippy::disallowed_methods, reason = "a test finds its programs through the environment")]
pub fn python_program(name: &str) -> PathBuf {
    let cache = std::env::var("XDG_CACHE_HOME")
        .map_or_else(|_| PathBuf::from(std::env::var("HOME").expect("a home folder")).join(".cache"), PathBuf::from);
    let program = cache.join("gatewatch/python/bin").join(name);
    assert!(program.exists(), "{} is missing; run scripts/python-programs.sh", program.display());
    program
}
