//! Makes the table of built-in detectors: one entry for each folder `catalogue/<owasp>/<name>` with its cases, so that a detector is
//! added by its folder alone.
//!
//! Promises: the same table for the same files; a folder without a detector or without cases ends the build and is named.
//! Never: reads what is in them; the tests of the catalogue do.

#![allow(clippy::disallowed_methods)] // cargo tells a build script by the environment where things are

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The entries of a folder, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = read.map(|entry| entry.expect("an entry of the folder").path()).collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("names of the catalogue are UTF-8")
}

/// `api10-...` comes behind `api9-...`.
fn number(folder: &Path) -> u32 {
    let digits: String = name(folder).trim_start_matches("api").chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(u32::MAX)
}

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where it is")).join("catalogue");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut groups: Vec<PathBuf> = entries(&root).into_iter().filter(|path| path.is_dir()).collect();
    groups.sort_by_key(|group| number(group));
    let mut table = "&[\n".to_owned();
    for folder in groups.iter().flat_map(|group| entries(group)) {
        let detector = folder.join("detector.yaml");
        let cases: Vec<PathBuf> =
            entries(&folder.join("cases")).into_iter().filter(|path| name(path).ends_with(".yaml")).collect();
        assert!(detector.is_file(), "{}: expected a file", detector.display());
        assert!(!cases.is_empty(), "{}: expected cases beside the detector", folder.display());
        let below = folder.strip_prefix(&root).expect("a folder of the catalogue").to_str().expect("names are UTF-8");
        let text = |path: &Path| format!("include_str!({:?})", path.to_str().expect("names are UTF-8"));
        let cases: Vec<String> = cases.iter().map(|case| format!("({:?}, {})", name(case), text(case))).collect();
        writeln!(
            table,
            "Entry {{ folder: {below:?}, detector: {}, cases: &[{}] }},",
            text(&detector),
            cases.join(", ")
        )
        .expect("a text can be written to");
    }
    table.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to")).join("catalogue.rs");
    fs::write(&out, table).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}
